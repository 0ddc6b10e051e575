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
# # DPM-OT: an expressway from noise to data
#
# Li, Li, Wang, Lei, Luo and Gu, *DPM-OT: A New Diffusion Probabilistic Model Based on Optimal Transport*, ICCV 2023.
#
# A sampler takes most of its steps far from the data. DPM-OT replaces them by one jump, the optimal transport map from noise to
# noised data. The map is *semi-discrete*: it cuts the noise into cells of equal mass, one for each stored point.

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

from lab import diffusion, figures
from lab.diffusion import expressway
from lab.numerics.mixtures import Mixture
from lab.ot import semidiscrete, singular
from lab.studies.diffusion.dpm_ot import DPMOT

hv.output(size=100)
pictures = DPMOT.pictures

# %% [markdown]
# ## Cells of equal mass
#
# $u_h(x) = \max_i \langle x, y_i \rangle + h_i$; the cell of $y_i$ is where it attains the maximum. The energy
# $\int u_h - \sum \nu_i h_i$ is convex; its gradient is the error of the masses of the cells. In the square both masses and
# derivatives are exact, and Newton's method takes four steps. The network simplex of POT solves the same problem on a grid:

# %%
draws = np.random.default_rng(3)
y, nu = draws.uniform(0.1, 0.9, (12, 2)), draws.dirichlet(3 * np.ones(12))
exact = semidiscrete.in_square(y, nu)
side = (np.arange(50) + 0.5) / 50
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
pd.Series(
    {
        "steps": int(exact.iterations),
        "largest error of a mass": float(abs(exact.masses - nu).max()),
        "cost": float(exact.cost),
        "POT, 50 x 50": pot.emd2([], nu, pot.dist(grid, y)),
    }
)

# %%
study = DPMOT()
result = lab.run(study)

# %% [markdown]
# ## Masses from samples, and the floor of their error
#
# For noise in many dimensions masses are counts of N random points. The estimate for balanced cells then has an error of
# $TV \approx 0.4 \sqrt{m / N}$, and no solver can meet a smaller tolerance. The learning rate falls by three decades.

# %%
pd.Series({name: float(result[name]) for name in ("tv", "tv_floor", "empty", "chi_squared")})

# %%
pictures.balance.strip(result, 3)

# %% [markdown]
# ## Where the map jumps
#
# Brenier's potential is piecewise linear. Where two of its planes meet at a large angle, the map jumps between modes.

# %%
pictures.potential(result)

# %%
ring = np.asarray(result.targets)
near, far = ring[:1], ring[np.argsort(((ring - ring[0]) ** 2).sum(1))[[1, -1]]]
[
    float(singular.angle(jnp.asarray(near[0]), jnp.asarray(other))) for other in far
]  # to a neighbour, and across the ring

# %% [markdown]
# ## The expressway
#
# The jump, then the last k steps. All methods but the full sampler evaluate the denoiser equally often.

# %%
pictures.motion.strip(result, 3).cols(1)

# %%
table = pd.DataFrame(
    {name: np.asarray(result[name]) for name in ("nfe", "w2", "off_mode", "mmr", "nn_to_target")},
    index=list(result.way.values),
)
table

# %% [markdown]
# The same in a few lines, with another sampler:

# %%
angle = 2 * np.pi * np.arange(8) / 8
law = diffusion.Exact(Mixture(np.full(8, 1 / 8), np.c_[np.cos(angle), np.sin(angle)], np.full(8, 0.06**2)))
noise = diffusion.noise("edm", first=0.01, last=3.0)
times, k = diffusion.grid(noise, 99), 5
targets = expressway.targets(noise, times, k, jnp.asarray(result.stored), jax.random.key(1))
cells = semidiscrete.by_samples(
    semidiscrete.Gaussian(2), targets, key=jax.random.key(2), iterations=400, batch=2000, tested=50
)
z = jax.random.normal(jax.random.key(3), (400, 2))
ends = expressway.expressway(
    law, noise, times, k, targets, cells.heights, z, diffusion.SAMPLERS["ddim"], key=jax.random.key(4)
)
int(ends.evaluations), float(abs(jnp.sqrt((ends.end**2).sum(1)) - 1).mean())  # from the circle

# %% [markdown]
# ## Memorization
#
# The map jumps to stored points. Samples are closer to them than held-out data are, until many steps follow:

# %%
rows = {}
for k in (0, 5, 40):
    run = lab.run(DPMOT(k=k))
    rows[k] = {name: float(run[name]) for name in ("nfe_express", "from_own", "nn_express", "nn_fresh")}
pd.DataFrame(rows).T

# %% [markdown]
# Digits show it: each sample next to the stored digit of its jump.

# %%
digits = lab.run(DPMOT.preset("digits"))
pictures.images(digits)

# %%
float(digits.nn_express), float(digits.nn_fresh)

# %% [markdown]
# ## The figures
#
# Each file contains its recipe: `lab reproduce FILE` computes it again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.potential, result, folder / "potential.pdf", width="column")
figures.export_picture(pictures.scatter, result, folder / "scatter.pdf", width="column")
sorted(path.name for path in folder.iterdir())
