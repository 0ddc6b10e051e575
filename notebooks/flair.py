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
# A flow model restores images that it was never trained to restore: an estimate is noised, pulled to what the model says, and
# put back on the data. This notebook checks the equations by hand, builds the solver of them, switches its three parts off
# one by one, and puts the exact posterior beside its answers, which a Gaussian prior and a mixture allow.

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
# ## What a flow knows
#
# In flow coordinates $x_t = (1-t)\,x_0 + t\,\varepsilon$ the velocity is $v = (x - D)/t$ with the denoiser $D$. For a Gaussian
# $N(m, S)$ it is known twice: by the Wiener denoiser, and in closed form. The two ends of the way add up to the point.

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
# The step of the prior, $\mu - \lambda\,(v - (\varepsilon - \mu))$, goes the share $\lambda/t$ of the way to the denoised
# image, and its mean over the noise is $\lambda\,t\,C_t^{-1}(\mu - m)$.

# %%
mu, eps = rng.normal(size=6), rng.normal(size=(100_000, 6))
noised = (1 - t) * mu + t * eps
g = np.asarray(wiener.velocity(noised, t)) - (eps - mu)
step = mu - 0.3 * g
print("share of the way", abs(step - (mu + 0.3 / t * (np.asarray(wiener.x0_from_flow(noised, t)) - mu))).max())
pd.DataFrame({"mean of draws": g.mean(0), "error": g.std(0) / len(g) ** 0.5, "exact": t * np.linalg.solve(C, mu - m)})

# %% [markdown]
# ## The solver
#
# In three lines: a problem, a denoiser, a method. The weight is calibrated by how well the model predicts at each time.

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
        "seen": seen,
        "mean answer": answers.mean(0),
        "posterior mean": m + gain @ (y - H @ m),
        "spread": answers.std(0),
        "of the posterior": np.sqrt(np.maximum(np.diag(S - gain @ H @ S), 0)),
    }
)

# %% [markdown]
# The mean of many answers is near the posterior mean; what was seen is held fast, and the answers spread less than they should.
#
# ## Digits
#
# MNIST at half size, half of the pixels, noise of 0.1; the Wiener denoiser of 1000 images is the prior, whose posterior is
# known. Below, where answers differ: in the hidden pixels alone.

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
# The weight follows from the error of the velocity, $\lambda = c\,\max(b(t) - b(0), 0)$ with $b \propto 1/e$. Dashed: what was
# published of Stable Diffusion 3.

# %%
pictures.calibration(result)

# %%
pictures.relaxation(result)

# %% [markdown]
# A constant weight crosses the line $2t$ near the data, and what it does there grows in every step.

# %%
stability = study.picture_result(pictures.stability)
pictures.stability(stability)

# %% [markdown]
# ## On the way
#
# The estimate, what the model is shown, what it makes of it, and the noise end, of which the next noise is made.

# %%
pictures.filmstrip(result)

# %% [markdown]
# ## Does the trajectory adjustment pay?
#
# Under a Gaussian prior it changes next to nothing. Under the optimal denoiser of the training images it gains some 2 dB.

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
# In the plane, with the exact velocity of a mixture, two modes agree with the data. Both are found with and without it; the law
# of the answers is nearer to the posterior without.

# %%
pictures.plane.strip(result, 3).cols(1)

# %%
pictures.modes(result)

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
# ## Fidelity or diversity
#
# As c grows answers spread as they should, and each of them alone is further from the image; their mean is not.

# %%
tradeoff = study.picture_result(pictures.tradeoff)
pictures.tradeoff(tradeoff)

# %% [markdown]
# ## The paper's figure: which part matters
#
# The paper finds, by perceptual measures on faces, that DTA matters most, then HDC, then CRW. Here, by PSNR and under a
# Gaussian prior, the data step and the weight matter, and DTA does not.

# %%
parts = study.picture_result(pictures.parts)
pictures.parts(parts)

# %% [markdown]
# Exported figures are vector graphics at the width of a journal's column, and carry their recipe: `lab reproduce FILE`
# computes them again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.parts, parts, folder / "parts.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $c$ and the last time, hide a box, take another prior, bring your own
# images. `lab verify flair` measures what the paper and mathematics claim, one by one.
