# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Immiscible diffusion
#
# Li, Liang, Kondratyuk, Tomizuka, Keutzer and Xu, *Improved Immiscible Diffusion: Accelerate Diffusion Training by Reducing
# Its Miscibility*, 2025; and *Immiscible Diffusion*, NeurIPS 2024.
#
# Diffusion sends every image to all of the noise. At high noise a denoiser cannot know which image it sees, and predicts an
# average: images *mix*. Give each image a noise that is near to it, and they mix less. This notebook does so with exact
# denoisers, without a network: whose noise is it, how much images still mix, what that costs, how the rules compare with POT
# and SciPy, and what is left of it in the 64 dimensions of digits.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.stats import ncx2, norm

from lab import figures
from lab.datasets.samples import THREE_POINTS as POINTS
from lab.paths import immiscible
from lab.paths.couplings import Assignment, Nearest
from lab.studies import ImmiscibleDiffusion

hv.output(size=100)
pictures = ImmiscibleDiffusion.pictures

# %% [markdown]
# ## Whose noise is it?
#
# Three points in the plane stand for three images. Of $k = 4$ noises each takes the nearest. The plane of noise falls into
# territories: the stronger the colour, the surer one can be which image a noise was chosen for.

# %%
study = ImmiscibleDiffusion()
result = lab.run(study)
pictures.territories(result)

# %% [markdown]
# The same where 32 noises are assigned to 32 images, as in the first paper.

# %%
pictures.assigned(result)

# %% [markdown]
# The pairs themselves. Where lines of two colours cross, a denoiser can but average.

# %%
pictures.trajectories(result)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result[["H", "eps_mse", "reduction", "norm_drift", "ks_p", "cluster_dist", "share_error"]]

# %% [markdown]
# ## How much images mix
#
# $H$ is the entropy of which image a noisy one came from, over $\log N$: 1 where nothing is known. At $\bar\alpha = 0$, pure
# noise, it is 1 for independent noise, whatever the data. The ε-MSE is the loss that no network goes below.

# %%
pictures.miscibility(result)

# %%
pictures.loss(result)

# %% [markdown]
# ## Nearest: the law of the noise that is chosen
#
# $$ p_k(n | x) = k\, \phi(n)\, [1 - F_x(|n - x|^2)]^{k - 1}, $$
#
# with $F_x$ the distribution function of the noncentral $\chi^2$ law. By SciPy on a grid, by the lab, and by drawing:

# %%
x, k = np.array([1.2, -0.5]), 4
side = np.linspace(-7, 7, 401)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
cell = (side[1] - side[0]) ** 2
squared = ((grid - x) ** 2).sum(1)
by_scipy = k * norm.pdf(grid).prod(1) * ncx2.sf(squared, 2, x @ x) ** (k - 1) * cell
by_lab = np.exp(immiscible.log_density(jnp.asarray(grid), jnp.asarray(x), k)) * cell
keys = jax.random.split(jax.random.key(0))
noise = jax.random.normal(keys[0], (100_000, 2))
drawn = np.asarray(Nearest(k)(keys[1], noise, np.broadcast_to(x, noise.shape)).x0)


def moments(p):
    return [p.sum(), *(p @ grid), p @ (grid**2).sum(1), p @ np.sqrt(squared)]


by_draws = [1, *drawn.mean(0), (drawn**2).sum(1).mean(), np.linalg.norm(drawn - x, axis=1).mean()]
pd.DataFrame(
    [moments(by_scipy), moments(by_lab), by_draws],
    index=["SciPy", "lab", "100,000 draws"],
    columns=["mass", "first", "second", "E|n|²", "E|n - x|"],
)

# %% [markdown]
# ## Assignment: compared with SciPy and POT
#
# The noises of a batch are permuted so that the distances sum to the least. POT's network simplex finds the same cost.

# %%
rng = np.random.default_rng(0)
images, noises = POINTS[rng.integers(3, size=64)], rng.normal(size=(64, 2))
pairs = Assignment("norm")(keys[0], jnp.asarray(noises), jnp.asarray(images))
costs = np.linalg.norm(images[:, None] - noises[None], axis=2)
print("lab  ", np.linalg.norm(np.asarray(pairs.x1) - np.asarray(pairs.x0), axis=1).sum())
print("SciPy", costs[linear_sum_assignment(costs)].sum())
print("POT  ", 64 * pot.emd2([], [], costs))
print("the same noises:", np.array_equal(np.sort(pairs.x0, axis=0), np.sort(noises, axis=0)))

# %% [markdown]
# Its denoiser has a closed form too, for batches of any size. Whatever the other noises and images of a batch are, one noise
# more goes to the image of least distance *plus price*. Here are 500 noises, put into the batch one by one:

# %%
price = np.asarray(immiscible.prices(jnp.asarray(costs)))
agree = 0
for _ in range(500):
    costs[:, 0] = np.linalg.norm(images - rng.normal(size=2), axis=1)
    rows, columns = linear_sum_assignment(costs)
    given, least = rows[columns == 0][0], (costs[:, 0] + price).argmin()
    agree += (images[given] == images[least]).all()  # several images of the batch are the same point
print(agree, "of 500 agree")

# %% [markdown]
# ## Benefit and bias
#
# More noises to choose from are nearer, and mix less. But the law of what was chosen is no longer $N(0, I)$, where samplers
# start: too many samples end at some images. Assignment keeps the law.

# %%
over_k = study.along(k=[1, 2, 4, 16, 64], keep=sorted({*pictures.curves.keep, *pictures.bargain.keep}))
pictures.curves(over_k)

# %%
pictures.bargain(over_k)

# %% [markdown]
# Particles moved by the exact velocity of each rule, half way and at the end. `pictures.sampling.movie(result)` plays them.

# %%
pictures.sampling.strip(ImmiscibleDiffusion(k=16).run(), 2).cols(1)

# %% [markdown]
# ## Image scaling
#
# Images multiplied by c move apart. Under independent noise that is another level, and nothing else:
# $\bar\alpha' = c^2\bar\alpha/(1 - \bar\alpha + c^2\bar\alpha)$.

# %%
over_c = study.along(scaling=[0.5, 1.0, 2.0, 4.0], keep=sorted({*pictures.scales.keep, "H_independent"}))
same = study.but(alpha_bar=4 * 0.1 / (1 - 0.1 + 4 * 0.1)).run()
print(float(over_c.H_independent.sel(scaling=2.0)), float(same.H_independent))

# %%
pictures.scales(over_c)

# %% [markdown]
# ## Digits
#
# Forty images of 64 pixels, at pure noise: $E[x_0 | n]$ is the grey mean for independent noise, and has something of the image
# for many noises to choose from.

# %%
digits = ImmiscibleDiffusion(data="digit-samples", n=40, k=8, draws=40, batch=32, euler_steps=2)
features = digits.along(k=[1, 8, 64], alpha_bar=[0.0], keep=pictures.features.keep)
pictures.features(features)

# %% [markdown]
# In many dimensions choosing among k noises brings them nearer by $m_k \sigma / (2(d + |x|^2))$ with $\sigma = \sqrt{2d +
# 4|x|^2}$ and $m_k$ the mean of the largest of k standard normals: little, and enough.

# %%
pd.DataFrame(
    [
        [k, d, *(float(v) for v in immiscible.predict(k, d, d / 4))]
        for k, d in ((8, 64), (8, 3072), (4, 3072), (64, 4096))
    ],
    columns=["k", "d", "nearer by", "shift of E|n|²", "mean along x"],
)

# %% [markdown]
# ## The paper's figures

# %%
folder = Path(tempfile.mkdtemp())
for name, shown in {"trajectories": result, "bargain": over_k}.items():
    figures.export_picture(pictures[name], shown, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $k$, $B$, $c$ and $\bar\alpha$, choose all digits or MNIST, bring your own
# images. *Training steps* above 0 train a small network under each rule. `lab verify immiscible-diffusion` measures what the
# papers and mathematics claim; their FIDs need their networks and data, and are not among it.
