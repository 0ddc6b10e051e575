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
# # FLAIR
#
# Erbach, Narnhofer, Dombos, Schiele, Lenssen and Schindler, *Solving Inverse Problems with FLAIR*, NeurIPS 2025.
#
# FLAIR restores images with a flow model that was not trained for the task: it adds noise to an estimate, moves it toward the
# model's denoised image, and projects it onto the data. This notebook checks the equations numerically, runs the solver,
# switches its three components off one by one, and compares its samples with the exact posterior of a Gaussian prior and of a
# mixture.

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

from lab import denoise, figures, inverse
from lab.inverse import ambiguous
from lab.studies import FLAIR

hv.output(size=100)
pictures = FLAIR.pictures

# %% [markdown]
# ## Velocity from a denoiser
#
# With $x_t = (1-t)\,x_0 + t\,\varepsilon$ the velocity is $v = (x - D)/t$, where $D$ is the denoiser. For a Gaussian $N(m, S)$
# the Wiener denoiser gives the same velocity as the closed form, and $(1-t)\,\hat x_0 + t\,\hat x_1 = x$.

# %%
rng = np.random.default_rng(0)
half = rng.normal(size=(6, 6))
m, S = rng.normal(size=6), half @ half.T / 6 + 0.2 * np.eye(6)
values, vectors = np.linalg.eigh(S)
spectrum = denoise.Spectrum(
    *(jnp.asarray(z) for z in (m, values[::-1].copy(), vectors[:, ::-1].copy(), S.trace())),
)
wiener = denoise.Wiener(spectrum, (1, 1, 6))
x, t = rng.normal(size=6), 0.4
C = (1 - t) ** 2 * S + t**2 * np.eye(6)
closed = -m + (t * np.eye(6) - (1 - t) * S) @ np.linalg.solve(C, x - (1 - t) * m)
ends = (1 - t) * wiener.x0_from_flow(x, t) + t * wiener.x1_hat(x, t)
print("velocity", abs(wiener.velocity(x, t) - closed).max(), "ends", abs(ends - x).max())

# %% [markdown]
# The step of the prior, $\mu - \lambda\,(v - (\varepsilon - \mu))$, moves $\mu$ by the fraction $\lambda/t$ toward the denoised
# image. The mean of $v - (\varepsilon - \mu)$ over the noise is $t\,C_t^{-1}(\mu - m)$.

# %%
mu, eps = rng.normal(size=6), rng.normal(size=(100_000, 6))
noised = (1 - t) * mu + t * eps
g = np.asarray(wiener.velocity(noised, t)) - (eps - mu)
step = mu - 0.3 * g
print("step identity", abs(step - (mu + 0.3 / t * (np.asarray(wiener.x0_from_flow(noised, t)) - mu))).max())
pd.DataFrame({"mean": g.mean(0), "standard error": g.std(0) / len(g) ** 0.5, "exact": t * np.linalg.solve(C, mu - m)})

# %% [markdown]
# ## The solver
#
# A problem, a denoiser and a method. The weight at each time is calibrated by the model's velocity error.

# %%
mask = inverse.Mask(jnp.asarray([[[True, False, True, True, False, False]]]))
problem = inverse.measure(mask, rng.multivariate_normal(m, S).reshape(1, 1, 6), 0.05, jax.random.key(0))
method = inverse.Flair(inverse.calibrate(wiener, None, jax.random.key(0)), c=0.25, steps=400, t_min=0.02)
found = inverse.solve(problem, wiener, method, key=jax.random.key(1), seeds=200)

H, y = np.asarray(mask.matrix()), np.asarray(problem.y).ravel()
seen = np.asarray(mask.seen).ravel()
gain = S @ H.T @ np.linalg.pinv(H @ S @ H.T + 0.05**2 * H @ H.T)
answers = np.asarray(found.x).reshape(200, 6)
pd.DataFrame(
    {
        "observed": seen,
        "sample mean": answers.mean(0),
        "posterior mean": m + gain @ (y - H @ m),
        "standard deviation": answers.std(0),
        "posterior deviation": np.sqrt(np.maximum(np.diag(S - gain @ H @ S), 0)),
    }
)

# %% [markdown]
# The sample mean is close to the posterior mean. Observed values are kept exactly, and the samples' standard deviation is below
# that of the posterior.
#
# ## Digits
#
# MNIST at half size, half of the pixels observed with noise 0.1. The prior is the Wiener denoiser of 1000 images, whose
# posterior is known. Samples differ only at masked pixels.

# %%
study = FLAIR()
result = lab.run(study)
pictures.answers(result)

# %%
pictures.spread(result)

# %%
result

# %% [markdown]
# ## Calibration
#
# The weight depends on the velocity error e: $\lambda = c\,\max(b(t) - b(0), 0)$ with $b \propto 1/e$. Dashed: published values
# of Stable Diffusion 3.

# %%
pictures.calibration(result)

# %% [markdown]
# A constant weight exceeds $2t$ near the data, where errors grow in each step.

# %%
final_times = (0.02, 0.05, 0.1, 0.18, 0.3)
pd.DataFrame(
    {
        name: [float(study.but(c=0.5, t_min=t, crw=crw).run().psnr_one) for t in final_times]
        for name, crw in (("calibrated", True), ("constant", False))
    },
    index=pd.Index(final_times, name="final time"),
)

# %% [markdown]
# ## One sample, step by step
#
# Rows: the estimate, its noised version, the denoised image, and the noise endpoint, from which DTA makes the next noise.

# %%
pictures.filmstrip(result)

# %% [markdown]
# ## Does trajectory adjustment raise PSNR?
#
# Hardly under a Gaussian prior; by about 2 dB under the optimal denoiser of the training images.

# %%
memory = study.but(prior="optimal").run()
pd.DataFrame(
    {
        name: {
            "PSNR": float(run.psnr_one),
            "without DTA": float(run.psnr_fresh),
            "gain": float(run.dta_gain),
            "±": float(run.dta_gain_half),
        }
        for name, run in {"Wiener": result, "optimal": memory}.items()
    }
).T

# %% [markdown]
# In the plane, with the exact velocity of a mixture, two modes agree with the data. Samples reach both with and without DTA;
# without it their distribution is closer to the posterior.

# %%
pictures.plane.strip(result, 3).cols(1)

# %%
result.plane_share.to_pandas()

# %%
table = inverse.calibrate(
    denoise.Posterior(ambiguous.prior(), ambiguous.SHAPE), ambiguous.prior().means, jax.random.key(0)
)
rows = {}
for c in (0.1, 0.25, 0.5):
    tried = ambiguous.decide(inverse.Flair(table, c=c), 0.1, jax.random.key(0), 300, lab.numerics.pure)
    rows[c] = dict(zip(("W1 with DTA", "without"), np.asarray(tried.distance), strict=True))
pd.DataFrame(rows).T.rename_axis("c")

# %% [markdown]
# ## PSNR and standard deviation
#
# As c increases, the standard deviation of samples approaches that of the posterior. The PSNR of a single sample decreases; the
# PSNR of their mean does not.

# %%
tradeoff = study.picture_result(pictures.tradeoff)
pictures.tradeoff(tradeoff)

# %% [markdown]
# ## Ablation
#
# In the paper, by perceptual measures on faces, DTA matters most, then HDC, then CRW. Here, by PSNR and under a Gaussian prior,
# HDC and CRW matter and DTA does not.

# %%
parts = study.picture_result(pictures.parts)
pictures.parts(parts)

# %% [markdown]
# Exported figures are vector graphics as wide as a journal column. They contain the parameters: `lab reproduce FILE`
# recomputes them.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.parts, parts, folder / "parts.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the interactive page in a cell: change $c$, the final time, the mask or the prior, or use your own
# images. `lab verify flair` measures each claim of the paper.
