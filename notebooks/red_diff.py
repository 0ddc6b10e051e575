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
# # RED-diff
#
# Mardani, Song, Kautz and Vahdat, *A Variational Perspective on Solving Inverse Problems with Diffusion Models*, ICLR 2024.
#
# An image was measured in part, and a denoiser knows what images look like. RED-diff fits one image μ to both by stochastic
# gradient steps, from much noise to little, without a derivative of the denoiser. Here the prior is a Gaussian, whose denoiser
# is the Wiener filter, so that the exact posterior stands beside each answer.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab import denoise, figures, inverse
from lab.inverse import reddiff
from lab.studies import REDDiff

pictures = REDDiff.pictures

# %% [markdown]
# ## Half of the pixels
#
# Left what was measured, then what the denoiser sees, the answer, the exact posterior mean, and the truth.
# `pictures.film.movie(result)` plays it.

# %%
study = REDDiff()
result = lab.run(study)
pictures.film.strip(result, 3).cols(1)

# %% [markdown]
# ## The same without a study
#
# An operator, a measurement, a denoiser, a method.

# %%
rng = np.random.default_rng(0)
half = rng.normal(size=(16, 16))
covariance = half @ half.T / 16 + 0.1 * np.eye(16)
values, vectors = np.linalg.eigh(covariance)
spectrum = denoise.Spectrum(
    jnp.zeros(16), jnp.asarray(values[::-1]), jnp.asarray(vectors[:, ::-1]), jnp.asarray(values.sum())
)
shape = (1, 4, 4)
mask = inverse.Mask(jnp.asarray(rng.random(shape) < 0.5))
truth = jnp.asarray(rng.multivariate_normal(np.zeros(16), covariance)).reshape(shape)
problem = inverse.measure(mask, truth, 0.1, jax.random.key(0))
denoiser = denoise.Wiener(spectrum, shape)
method = inverse.REDDiff(lam=0.05, rate=0.05)
found = inverse.solve(problem, denoiser, method, key=jax.random.key(1), seeds=8)
found.x.shape

# %% [markdown]
# ## One step, by hand
#
# With the weight $\sigma_t / \alpha_t$ the pull of the prior is $\lambda\,(\mu - \hat x_0)$, that of regularization by
# denoising, for any denoiser.

# %%
mu, eps, abar = jnp.asarray(rng.normal(size=(1, 16))), jnp.asarray(rng.normal(size=(1, 16))), 0.3
alpha, sigma = jnp.sqrt(abar), jnp.sqrt(1 - abar)
pull = sigma / alpha * reddiff.residual(denoiser, alpha, sigma, mu, eps)
x0 = denoiser.denoise(mu + sigma / alpha * eps, sigma / alpha)
float(jnp.abs(pull - (mu - x0)).max())

# %% [markdown]
# Its mean over the noise is known for a Gaussian, $\alpha\sigma C^{-1}(\mu - m)$.

# %%
many = jax.random.normal(jax.random.key(2), (100_000, 16))
each = reddiff.residual(denoiser, alpha, sigma, mu, many)
exact = alpha * sigma * np.linalg.solve(abar * covariance + (1 - abar) * np.eye(16), mu[0])
errors = (each.mean(axis=0) - exact) / (each.std(axis=0) / 100_000**0.5)
print("largest deviation in standard errors:", round(float(jnp.abs(errors).max()), 2))

# %% [markdown]
# ## Weights of the family

# %%
pictures.strengths(result)

# %% [markdown]
# ## The order is part of the method
#
# The objective averaged over all times rests at a point that is known in closed form, far from the posterior mean. In random
# order the answers end there; from much noise to little they come much nearer.

# %%
orders = study.picture_result(pictures.order)
pictures.order(orders)

# %%
names = ["quality_posterior", "quality", "quality_rest", "quality_draw", "quality_start"]
pd.Series({result[name].attrs["long_name"]: float(result[name]) for name in names}, name="dB").round(2)

# %% [markdown]
# ## How sure?
#
# A point is fitted. Answers differ by the noise of the method alone, and that is less than what the posterior leaves open.

# %%
pictures.spread(result)

# %% [markdown]
# In the plane, where $x_1$ is measured and $x_2$ is hidden, each answer ends in one mode.

# %%
pictures.modes(result)

# %% [markdown]
# ## The paper's figures
#
# Coarse things settle first, and high frequencies enter last:

# %%
pictures.strip(result)

# %%
folder = Path(tempfile.mkdtemp())
for name, drawn in {"strip": result, "order": orders}.items():
    figures.export_picture(pictures[name], drawn, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: change the damage, the prior, the rate; bring your own images.
# `lab verify red-diff` measures what the paper and mathematics claim, one by one.
