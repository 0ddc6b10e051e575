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
# # Optimal boundary conditions
#
# Ma, Yang, Yang, Fu and Liu, *Solving Diffusion ODEs with Optimal Boundary Conditions for Better Image Super-Resolution*,
# ICLR 2024.
#
# A deterministic sampler is a function of its initial noise, the start. Some starts have a lower error than others, and a
# start that is good for some images is good for others: the method searches one start on a few reference images and uses
# it for all others. Here the denoiser is exact, so that only the start and the steps cause errors, and the possible gain
# of a search is known.

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
import pandas as pd

from lab import datasets, diffusion, figures, studies
from lab.clustering.mixtures import fitted
from lab.diffusion import boundary, sharing
from lab.diffusion import boundary_theory as theory
from lab.diffusion.conditional import conditional
from lab.diffusion.samplers import DDIM
from lab.diffusion.tableau import Tableau
from lab.numerics.mixtures import Mixture
from lab.studies.diffusion.optimal_boundary import OptimalBoundary

hv.output(size=100)
pictures = OptimalBoundary.pictures

# %% [markdown]
# ## The gain of random search
#
# For a posterior $N(\mu(y), C)$ the flow ends at $\mu + C^{1/2} x_T$, with the expected squared error
# $\mathrm{tr}\,C + x_T^\top C x_T$ for every y: a random start has twice the error of $x_T = 0$. The best of K draws keeps
# a fraction of the excess error that grows with the dimension:

# %%
simulated = {d: np.random.default_rng(0).chisquare(d, (4000, 100)).min(axis=1).mean() / d for d in (8, 64, 1024)}
pd.DataFrame({"exact": {d: float(theory.best_of(100, d)) for d in simulated}, "simulated": simulated}).rename_axis(
    "dimension"
)

# %% [markdown]
# ## Digits at half resolution
#
# The prior is a mixture of Gaussians that is fitted to training images; y are means of 2 x 2 pixels with a little noise.
# The posterior given y is a mixture again, whose covariances are the same for all y.

# %%
pixels = datasets.resolve("digit-images", "images", seed=0).arrays["pixels"].reshape(-1, 64).astype(float)
law = fitted(jnp.asarray(pixels[:1400]), 10, jax.random.key(0), least=0.02).mixture
pool = np.kron(np.eye(4), [[0.5, 0.5]])
operator = np.kron(pool, pool)
model = conditional(law, operator, 0.02)
images = pixels[1400:1480]
y = images @ operator.T + 0.02 * np.random.default_rng(0).normal(size=(80, 16))
# single precision is enough for a search, and twice as fast
model, images, given = jax.tree.map(
    lambda each: each.astype(jnp.float32), (model, jnp.asarray(images), model.given(jnp.asarray(y)))
)

# %% [markdown]
# ## The search
#
# h is a sampler with its steps; the candidates are draws of $N(0, I)$. Thirty images select the start, fifty others test
# it. The table compares it with a random start, ancestral sampling, and $x_T = 0$.

# %%
vp = diffusion.noise("vp")
walk = boundary.Walk(model, vp, diffusion.grid(vp, 10), DDIM())
starts = boundary.candidates(jax.random.key(0), 60, 64, jnp.float32)
seen = jax.tree.map(lambda each: each[:30], (images, given))
other = jax.tree.map(lambda each: each[30:], (images, given))
found = boundary.search(walk, starts, *seen)
judged = boundary.search(walk, jnp.stack([found.x, jnp.zeros(64, jnp.float32), *starts[:10]]), *other)
fresh = boundary.Walk(model, vp, walk.times, DDIM(1.0))
drawn = jax.vmap(fresh.drawn)(jnp.zeros_like(other[0]), other[1], jax.random.split(jax.random.key(1), 50))
scores = {
    "random start": float(judged.mean[2:].mean()),
    "ancestral": float(jax.vmap(boundary.squared)(drawn, other[0]).mean()),
    "found start": float(judged.mean[0]),
    "start at 0": float(judged.mean[1]),
}
assert scores["start at 0"] < scores["found start"] < scores["random start"]
pd.Series(scores, name="mean squared error")

# %% [markdown]
# On held-out images the found start has a lower error than a random one, as the paper says. The start at 0 has a lower error
# still: its final samples are near the posterior mean, which minimizes the expected squared error.
#
# ## Is it shared?
#
# Two single images hardly agree on the ranking of the candidates; two halves of the images do. That is no argument against
# sharing: under one Gaussian, where all images share one ranking, mean scores of n images correlate by n / (n + 2), a third
# for single images.

# %%
alike = sharing.groups(found.scores, jax.random.key(0), (1, 5, 15))
pd.DataFrame({"measured": alike, "shared exactly": [float(theory.agreement(n)) for n in (1, 5, 15)]}, index=[1, 5, 15])

# %% [markdown]
# ## Fewer walks, better starts
#
# Successive halving drops the worse half of the candidates after each doubling of the images. Gradient descent through the
# sampler, on the sphere near which $N(0, I)$ concentrates, finds starts with a much lower error:

# %%
halved = boundary.search(walk, starts, *seen, halving=4)
slope = boundary.down(walk, found.x, *seen, steps=30)
pd.DataFrame(
    {
        "walks": [int(found.walks), int(halved.walks), slope.walks],
        "score on its images": [float(found.value), float(halved.value), float(slope.value)],
    },
    index=["all", "halving", "gradients"],
)

# %% [markdown]
# ## Where no start serves all inputs
#
# On a line the optimal start is the normal quantile of the mode. Where two modes compete it jumps:

# %%
two = Mixture([0.5, 0.5], [[-1.0], [1.0]], [[0.04], [0.09]])
rows = jnp.asarray([-1.2, -0.4, 0.0, 0.3, 0.9])
pd.Series(np.asarray(theory.line_optimum(two, 0.5, rows)), index=np.asarray(rows), name="best start").rename_axis(
    "y"
).round(4)

# %% [markdown]
# ## The study
#
# The page of the study (`lab serve`) shows all results; one call computes them:

# %%
study = OptimalBoundary()
result = lab.run(study)
pictures.plane(result)

# %%
pictures.images(result)

# %%
pictures.line(result, 0.1)

# %% [markdown]
# ## Your own metric, sampler and decoder
#
# Each is a function. The metric compares a final sample with an image; the sampler is a Butcher tableau (here the method of
# Ralston) or a function of one step; the decoder changes each final sample before it is scored, here by clipping.

# %%
Mine = studies.boundary_study(
    "Worst pixel",
    metric=lambda x, z: jnp.abs(x - z).max(),
    sampler=([[], [2 / 3]], [1 / 4, 3 / 4]),
    decoder=lambda x: jnp.clip(x, -1, 1),
    candidates=20,
    references=20,
    tests=20,
    steps=5,
    refine=False,
)
own = Mine().run()
pd.Series({name: float(own[name]) for name in ("random", "searched", "zero")}, name="largest error of a pixel")

# %% [markdown]
# A model of your own needs no study: `boundary.search` takes any function of a start and of a row of the measurements. Here
# it searches for a flow in closed form, and with the tableau of Heun's method:

# %%
heun = boundary.Walk(model, vp, diffusion.grid(vp, 5), Tableau([[], [1.0]], [0.5, 0.5]))
linear = boundary.search(lambda x, row: row + 0.3 * x, starts, *(2 * [seen[0]]))
pd.Series(
    {
        "closed form": float(linear.value),
        "its theory": 0.09 * float((starts**2).mean(axis=1).min()),
        "Heun, of ten": float(boundary.search(heun, starts[:10], *seen).value),
    },
    name="best mean score",
)

# %% [markdown]
# ## A figure
#
# `export_picture` writes a figure for a paper, at a journal's size, with its recipe inside.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.histogram, result, folder / "histogram.pdf", width="column")
sorted(path.name for path in folder.iterdir())
