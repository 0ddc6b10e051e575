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
# # Where denoisers look
#
# Lukoianov, Yuan, Solomon and Sitzmann, *Locality in Image Diffusion Models Emerges from Data Statistics*, NeurIPS 2025.
#
# A diffusion model is a denoiser. The exact minimiser of its loss on a finite data set only memorises; trained networks
# generalize, because each pixel looks at its neighbourhood. The paper says that the covariance of the data dictates this
# neighbourhood. This notebook computes where denoisers look on handwritten digits, by hand and with the library, builds the
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
# Digits of 8 x 8 pixels, a fifth of them held out. Above: a noisy test image and what each denoiser makes of it. Below: the
# derivative of the framed pixel of each estimate by the pixels of the input. The U-Net is trained the first time, in seconds,
# and kept.

# %%
study = LocalityDenoisers(
    data="digit-images", train=1000, networks="U-Net", train_steps=200, row=4, column=3, sigma=0.6, samples=4
)
result = study.run()
print(result.attrs["advice"])
pictures.look(result)

# %% [markdown]
# The optimal denoiser looks at the difference of the few training images that it still considers. The others look around
# the pixel, and the Wiener filter needs nothing but mean and covariance to say where. It is not the convolutions: with
# `networks="all"` (the preset `architectures`) a perceptron and a transformer do the same.

# %% [markdown]
# ## By hand
#
# With $S = U\,\mathrm{diag}(\lambda)\,U^\top$ the best linear denoiser is $\mu + W(x - \mu)$,
# $W = S(S + \sigma^2 I)^{-1}$, and its field is a row of $W$. The paper's denoiser takes from $W$ only which pixels matter,
# and does a softmax over the training images for each pixel, through that mask:

# %%
arrays = datasets.load("digit-images").arrays
x = arrays["pixels"][~arrays["held_out"]][:1000].reshape(1000, 64).astype(float)
sigma, q, noisy = 0.6, 4 * 8 + 3, result.noisy.values.ravel()
S = np.cov(x.T)
W = np.linalg.solve(S + sigma**2 * np.eye(64), S)
print("Wiener field:", np.abs(result.field.sel(denoiser="Wiener").values.ravel() - W[q]).max(), "apart")

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
# Every denoiser, a network or your own function too, is called as `D(x, sigma)`; score, velocity, sensitivity and samples
# follow from that.

# %%
images = denoise.Images(jnp.asarray(x), (1, 8, 8))
basis = denoise.spectrum(images)
local = denoise.PCALocality(images, basis)
print(float(abs(local(jnp.asarray(noisy), sigma) - by_hand).max()))
print(float(local.score(jnp.asarray(noisy), sigma).std()))

# %% [markdown]
# ## How wide, and why
#
# Directions with $\lambda > \sigma^2$ pass. The more noise, the fewer pass, and the wider is what a pixel looks at.

# %%
pictures.spectrum(result)

# %%
pictures.sensitivity(result)

# %% [markdown]
# ## Agreement with the network
#
# $r^2$ of each denoiser with the U-Net, on the same noisy images. On these small digits the networks are nearly linear, and
# Wiener is the nearest; on MNIST at full size (the preset `table`) the paper's denoiser is ahead of it by far at medium
# noise. The optimal denoiser is last on both. The bands, and the row ± 95%, are intervals of the mean over test images.

# %%
pictures.agreement(result)

# %%
pictures.table(result)

# %% [markdown]
# Which of them denoises best is another question. At low noise the optimal one can only give a training image:

# %%
pictures.error_table(result)

# %% [markdown]
# ## Samples, and copies
#
# Ten steps of DDIM, from the same noise in each column. The optimal denoiser returns training images.

# %%
pictures.samples(result)

# %%
pictures.memory(result)

# %% [markdown]
# ## A planted pattern
#
# Add the same letter to every image, with a random strength for each. The covariance then has one more direction, and each
# pixel on the letter looks at all of it, near or far, convolutional or not. Above the field of the framed pixel, below
# $J^\top P$, where the whole letter is looked for. The table has the correlations with the letter: the median and the least
# over all pixels on it. LS, whose patch is small, can't see it.

# %%
planted = study.but(plant=True, sigma=4.0, strength=8.0, row=3, column=6).run()
pictures.pattern(planted)

# %%
pictures.pattern_table(planted)

# %% [markdown]
# Next: `lab serve` and the page *Locality denoisers*, where a click in any image chooses the pixel; your own images by
# `LocalityDenoisers(data="folder.zip")`; and the sweep
# `lab sweep locality-denoisers --theta 0.005:0.5:log8 --radius 0:5`.
