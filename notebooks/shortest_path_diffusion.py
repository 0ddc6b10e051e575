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
# # Shortest-path diffusion
#
# Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu and Bernacchia, *Image generation with shortest path diffusion*, ICML 2023.
#
# Diffusion turns images into noise along a path of covariances. One path is shortest in the Fisher metric; for images it is a
# noise schedule for each frequency, without a parameter to tune. For Gaussian data the length of a path and the output of a
# sampler are known exactly.

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

from lab import datasets, figures
from lab.diffusion import shortest, spectra
from lab.diffusion import shortest_sampling as back
from lab.numerics import pure
from lab.paths.carry import carry
from lab.studies.diffusion.shortest_path_diffusion import ShortestPathDiffusion

hv.output(size=100)
pictures = ShortestPathDiffusion.pictures

# %% [markdown]
# ## The shortest path between two Gaussians
#
# A straight line of covariances is longer than the geodesic, and its speed is not constant.

# %%
first, last = jnp.array([[1.0, 0.95], [0.95, 1.0]]), jnp.eye(2)
s = np.linspace(0, 1, 101)
straight = jnp.stack([(1 - at) * first + at * last for at in s])
geodesic = jnp.stack([shortest.geodesic(first, last, float(at)) for at in s[::10]])
middle = np.asarray(geodesic[5])
pd.Series(
    {
        "distance": float(shortest.distance(first, last)),
        "length of the geodesic": float(shortest.path_length(geodesic)),
        "length of the straight line": float(shortest.path_length(straight)),
        "half of the straight line": float(shortest.path_length(straight[:51])),
        "X S0^-1 X - S1": abs(middle @ np.linalg.solve(np.asarray(first), middle) - np.eye(2)).max(),
    }
)

# %% [markdown]
# ## The spectrum of images

# %%
given = datasets.load("photograph-tiles").arrays
images = jnp.asarray(given["pixels"][~given["held_out"]][:, 0] / 127.5 - 1)
D = spectra.spectrum(images)
law = spectra.fit(D.ravel(), jnp.asarray(spectra.radii((32, 32))))
{"largest": float(D.max()), "least": float(D.min())} | {name: float(each) for name, each in law._asdict().items()}

# %% [markdown]
# The schedule is $\bar a = (1 - D^\tau)/(1 - D)$: strong frequencies are lost first. One image during diffusion:

# %%
study = ShortestPathDiffusion()
result = lab.run(study)
pictures.film(result, 0.4)

# %%
pictures.curves(result)

# %% [markdown]
# ## The output of samplers
#
# The spectrum that the paper fits to CIFAR-10, one channel, 100 steps, the optimal denoiser. The reverse chain is linear, so
# its output is known.

# %%
cifar = spectra.power_law((32, 32)).ravel()
schedules = {
    "shortest path": shortest.shortest(cifar, shortest.times(100)),
    "cosine": shortest.cosine(100),
    "linear": shortest.linear(100),
    "blurring": shortest.blurring(100, spectra.radii((32, 32))),
}


def row(corruption):
    path = corruption.spectra(cifar)
    ends = {variance: back.outcome(cifar, corruption, variance) for variance in ("large", "small", "none")}
    kls = {f"KL, {variance}": float(end.kl) for variance, end in ends.items()}
    w2 = {f"W2², {variance}": float(end.w2_squared) for variance, end in ends.items()}
    sums = shortest.divergence(path[:-1], path[1:]).sum()
    return {"length": float(shortest.length(path)), "sum of KLs": float(sums)} | kls | w2


pd.DataFrame({name: row(each) for name, each in schedules.items()}).T

# %% [markdown]
# The paths of the cosine and the linear schedule have the same length: one schedule for all frequencies follows the straight
# line of covariances, whatever its betas. The ranking depends on the measure: W₂², which gives strong frequencies more weight,
# is lower for the linear schedule with DDIM than for the shortest path.

# %%
pictures.speed(result)

# %% [markdown]
# ## Leaving the path
#
# With the variance of the paper's sampler KL is minimal on the path. With DDIM the minimum is slightly off the path, and with
# the small variance far off: the shortest path is not optimal for every sampler.

# %%
pictures.gamma(result)

# %%
pictures.warp(result)

# %% [markdown]
# ## A step of the released code
#
# The released code writes the mean of a step with the predicted noise; here it is the mean of the posterior, which also holds
# for blurring.

# %%
corruption = schedules["shortest path"]
at, u = 40, np.random.default_rng(0).normal(size=cifar.shape)
a, before = np.asarray(corruption.signal[at]), np.asarray(corruption.signal[at - 1])
alpha, beta = a / before, 1 - a / before
data = np.asarray(back.OfGaussian(cifar)(jnp.asarray(u)[None], corruption.signal[at], corruption.noise[at]))[0]
eps = (u - np.sqrt(a) * data) / np.sqrt(1 - a)
theirs = (u - beta / np.sqrt(1 - a) * eps) / np.sqrt(alpha)
step = jax.tree.map(lambda each: each[at], back.steps_of(corruption))
float(abs(np.asarray(back.moved(step, u, data, "large")) - theirs).max())

# %% [markdown]
# ## In continuous time, and in few steps
#
# Any integrator can follow the flow; for Gaussian data its velocity is $\frac12 \log D\, u$.

# %%
power = cifar[np.array([0, 1, 40, 500])]
predict = back.OfGaussian(power)


def flow(tau, u):
    a, b = shortest.signal(jnp.log(power), tau), shortest.noise(jnp.log(power), tau)
    return shortest.velocity(power, tau, u, predict(u, a, b))


start = jnp.ones((1, 4))
end = carry(pure, flow, start, jnp.linspace(0.02, 0.98, 41)).end
pd.DataFrame({"Runge-Kutta": end[0], "closed form": power ** (0.96 / 2)})

# %%
{
    steps: [round(float(back.outcome(cifar, shortest.thinned(each, steps)).kl), 4) for each in schedules.values()]
    for steps in (10, 25, 50)
}

# %% [markdown]
# ## Images themselves
#
# Images are not Gaussian. Drawn in ten steps with the optimal denoiser of known images:

# %%
pictures.images(result)

# %%
digits = lab.run(ShortestPathDiffusion.preset("digits"))
pd.DataFrame(
    {"sliced W2²": digits.sliced_all, "to the nearest known": digits.nearest}, index=digits.schedule.values
).assign(floor=float(digits.sliced_floor))

# %% [markdown]
# ## A spectrum of your own
#
# A file with `power`, for any rectangle. A network of yours is a function of coefficients, signal and noise.

# %%
folder = Path(tempfile.mkdtemp())
np.savez(folder / "mine.npz", power=np.asarray(spectra.power_law((8, 12), 0.8, 0.5, 2.0)))
mine = ShortestPathDiffusion(data=folder / "mine.npz", drawn=16).run()
float(mine.distance), float(mine.error), float(mine.error_cosine)

# %%
figures.export_picture(pictures.gamma, result, folder / "gamma.pdf", width="column")
figures.export_picture(pictures.images, result, folder / "images.pdf", width="text")
sorted(path.name for path in folder.iterdir())
