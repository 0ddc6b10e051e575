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
# # Which pixels a denoiser uses
#
# Lukoianov, Yuan, Solomon and Sitzmann, *Locality in Image Diffusion Models Emerges from Data Statistics*, NeurIPS 2025.
#
# A diffusion model is a denoiser. The exact minimizer of its loss on a finite data set memorizes; trained networks
# generalize, because each pixel depends on its neighborhood. According to the paper, the covariance of the data determines
# this neighborhood. This notebook computes sensitivity maps on handwritten digits, by hand and with the library, builds the
# paper's denoiser, and compares it with a small U-Net.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax.numpy as jnp
import numpy as np

from lab import datasets, denoise
from lab.studies import LocalityDenoisers

hv.output(size=100)
pictures = LocalityDenoisers.pictures

# %% [markdown]
# ## One image, one pixel, all denoisers
#
# Digits of 8 x 8 pixels, a fifth of them held out. Top: a noisy test image and the estimate of each denoiser. Bottom: the
# derivative of the framed pixel of each estimate with respect to the pixels of the input. The U-Net is trained the first time,
# in seconds, and cached.

# %%
study = LocalityDenoisers(
    data="digit-images", train=1000, networks="U-Net", train_steps=200, row=4, column=3, sigma=0.6, samples=4
)
result = study.run()
print(result.attrs["advice"])
pictures.look(result)

# %% [markdown]
# The map of the optimal denoiser is a difference of the few training images that it averages. The other maps are local, and
# the map of the Wiener filter depends on mean and covariance alone. Convolutions are not the cause: with
# `networks="all"` (the preset `architectures`) a perceptron and a transformer have similar maps.

# %% [markdown]
# ## By hand
#
# With $S = U\,\mathrm{diag}(\lambda)\,U^\top$ the optimal linear denoiser is $\mu + W(x - \mu)$,
# $W = S(S + \sigma^2 I)^{-1}$, and its sensitivity map is a row of $W$. The paper's denoiser takes from $W$ only a mask of
# pixels, and computes a softmax over the training images for each pixel through that mask:

# %%
arrays = datasets.load("digit-images").arrays
x = arrays["pixels"][~arrays["held_out"]][:1000].reshape(1000, 64).astype(float)
sigma, q, noisy = 0.6, 4 * 8 + 3, result.noisy.values.ravel()
S = np.cov(x.T)
W = np.linalg.solve(S + sigma**2 * np.eye(64), S)
print("Wiener map:", np.abs(result.field.sel(denoiser="Wiener").values.ravel() - W[q]).max(), "apart")

d = np.sqrt(np.where(np.diag(W) > 1e-12, np.diag(W), np.inf))
mask = np.abs(W / d[:, None] / d[None, :]) >= 0.1
logits = -((noisy - x) ** 2) @ mask / (2 * sigma**2)
weights = np.exp(logits - logits.max(axis=0))
by_hand = (weights * x).sum(axis=0) / weights.sum(axis=0)
print(
    "PCA locality:", np.abs(result.estimate_here.sel(denoiser="PCA locality").values.ravel() - by_hand).max(), "apart"
)

# %% [markdown]
# ## The same with the library
#
# Every denoiser, including a network or your own function, is called as `D(x, sigma)`; score, velocity, sensitivity and
# samples follow from it.

# %%
images = denoise.Images(jnp.asarray(x), (1, 8, 8))
basis = denoise.spectrum(images)
local = denoise.PCALocality(images, basis)
print(float(abs(local(jnp.asarray(noisy), sigma) - by_hand).max()))
print(float(local.score(jnp.asarray(noisy), sigma).std()))

# %% [markdown]
# ## Width of the sensitivity maps
#
# Directions with $\lambda > \sigma^2$ pass. With more noise fewer directions pass, and the maps widen.

# %%
pictures.spectrum(result)

# %%
pictures.sensitivity(result)

# %% [markdown]
# ## Agreement with the network
#
# $r^2$ of each denoiser with the U-Net, on the same noisy images. On these small digits the network is nearly linear, and
# the Wiener filter agrees closely; on MNIST at full size (the preset `table`) the paper's denoiser is ahead of it at medium
# noise. The optimal denoiser is last on both. The bands are intervals of the mean over test images.

# %%
pictures.agreement(result)

# %% [markdown]
# Denoising error is another question. At low noise the optimal denoiser can only return a training image:

# %%
pictures.errors(result)

# %% [markdown]
# ## Samples, and copies
#
# Ten steps of DDIM, from the same noise in each column. The optimal denoiser returns training images: their distance to the
# nearest one is 0.

# %%
pictures.samples(result)

# %%
print(result.nearest_distance.mean("sample").dropna("denoiser").to_series())

# %% [markdown]
# ## A planted pattern
#
# Add the same letter to every image, with a random strength for each. The covariance then has one more direction, and the map
# of each pixel on the letter is the whole letter, with or without convolutions. Top: map of the framed pixel. Bottom:
# $J^\top P$. Then the smallest correlation with the letter, over all pixels on it. The map of LS ends with its small patch.

# %%
planted = study.but(plant=True, sigma=4.0, strength=8.0, row=3, column=6).run()
pictures.pattern(planted)

# %%
print(planted.pattern_rows.min("stroke").dropna("denoiser").to_series())

# %% [markdown]
# Next: `lab serve` and the page *Locality denoisers*, where a click in any image selects the pixel; your own images with
# `LocalityDenoisers(data="folder.zip")`; and the sweep
# `lab sweep locality-denoisers --theta 0.005:0.5:log8 --radius 0:5`.
