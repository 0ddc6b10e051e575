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
# # Inverse problems with a denoiser
#
# Something was measured of an image, $y = A(x) + \sigma_y \varepsilon$, and many images fit. A denoiser knows what images look
# like, and a dozen methods use it. Here all of them work on the same measurement, beside the exact posterior, and then on an
# operator and a denoiser of one's own.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab import datasets, denoise, inverse, studies
from lab.denoise.images import dense_spectrum, pool
from lab.studies import InverseProblems

pictures = InverseProblems.pictures

# %% [markdown]
# ## Half of the pixels of a digit
#
# The prior is a Gaussian with the mean and the covariance of 1000 digits, whose denoiser is the Wiener filter. So the posterior
# is known: $E[x \mid y]$ is the best that can be done on average.

# %%
study = InverseProblems()
result = lab.run(study)
pictures.answers(result)

# %% [markdown]
# Plug-and-play by ADMM converges to the posterior mean: a Wiener filter *is* the proximal operator of its Gaussian. Averaged
# samples of other methods approach it; the error of a single sample is larger, as for a single exact sample.

# %%
pictures.quality(result)

# %% [markdown]
# ## Uncertainty
#
# The histogram of the samples at one pixel, over its exact posterior; and the standard deviation over samples, pixel by pixel.

# %%
pictures.pixel(result)

# %%
pictures.spreads(result)

# %%
pictures.calibration(result)

# %%
pictures.coverage(result)

# %% [markdown]
# ## The posterior, by hand
#
# The same mean by `numpy.linalg.solve`, from the pixels that the mask shows.

# %%
data = datasets.resolve("mnist-images", "images", seed=0)
train = data.arrays["pixels"][~data.arrays["held_out"]][:1000] / 127.5 - 1
images = train.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
m, s = images.mean(axis=0), np.cov(images.T)
start = result.start.values.ravel()
seen = start != 0  # the pseudo-inverse of a mask is 0 where nothing is seen
gain = np.linalg.solve(s[np.ix_(seen, seen)] + study.noise**2 * np.eye(seen.sum()), s[seen]).T
by_hand = m + gain @ (start[seen] - m[seen])
print("largest difference:", abs(by_hand - result.posterior_mean.values.ravel()).max())

# %% [markdown]
# ## Three lines, with an operator and a denoiser of one's own
#
# Any function of an image is an operator, and any function of images and noise levels a denoiser.

# %%
half = inverse.operator(lambda image: image[:, :, ::2], (1, 14, 14), linear=True)
shrink = denoise.denoiser(
    lambda x, sigma: (x - sigma.reshape(-1, 1, 1, 1) ** 2) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2), (1, 14, 14)
)
problem = inverse.problem(half, result.clean.values[:, :, ::2], 0.1)
found = inverse.solve(problem, shrink, inverse.PiGDM(steps=20), seeds=4)
found.x.shape

# %% [markdown]
# Methods are configurations: those that `solve` takes, on the same problem with a better prior.

# %%
pixels = pool(jnp.asarray(data.arrays["pixels"][~data.arrays["held_out"]][:1000]), 2).reshape(1000, -1)
prior = denoise.Wiener(dense_spectrum(pixels), (1, 14, 14))
methods = {
    "total variation": inverse.Variation(lam=3.0),
    "PnP-ADMM": inverse.PlugAndPlay(0.3, steps=40),
    "DDRM": inverse.DDRM(steps=40),
    "RED-diff": inverse.REDDiff(lam=0.25, rate=0.1, steps=40),
}
truth = jnp.asarray(result.clean.values)
reached = {}
for name, method in methods.items():
    answer = inverse.solve(problem, prior, method, key=jax.random.key(0), seeds=8).x.mean(axis=0)
    reached[name] = float(inverse.metrics.psnr(answer, truth))
pd.Series(reached, name="PSNR of the mean, dB").round(2)

# %% [markdown]
# ## A page of one's own
#
# `inverse_study` makes a study of a damage, of a denoiser, of images, or of images *and* their measurements; in a file of ten
# lines it serves `lab serve my_problem.py`. Here every second column of small digits is lost.

# %%
digits = datasets.resolve("digit-images", "images", seed=0).arrays["pixels"][:400]
Columns = studies.inverse_study(
    "Every second column", lambda image: image[:, :, ::2], digits, steps=20, seeds=4, tests=4, row=3, column=3
)
mine = Columns().run()
Columns.pictures.answers(mine)

# %% [markdown]
# ## All in numbers

# %%
pictures.table(result)

# %% [markdown]
# `study.panel()` opens the live page in a cell: choose a degradation, a prior, a pixel. `lab verify inverse-problems` measures
# the claims, one by one.
