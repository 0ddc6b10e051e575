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
# # The Monge gap
#
# Uscidda and Cuturi, *The Monge Gap: A Regularizer to Learn All Transport Maps*, ICML 2023.
#
# Many maps take one cloud to another. The gap says what a map pays beyond the least for its own image; it needs no convex
# network and takes any cost.

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

from lab import figures
from lab.ot import bures, convex, maps, monge
from lab.studies import MongeGap
from lab.studies.ot import map_comparison

pictures = MongeGap.pictures

# %% [markdown]
# ## One image, many maps
#
# The map between Gaussians, rotated by 60 degrees: thick lines contribute to the gap.

# %%
study = MongeGap()
result = lab.run(study)
pictures.arrows(result)

# %% [markdown]
# All rotated maps have one image, so that no divergence between images can distinguish them. The gap does: between
# Gaussians it is $2 (1 - \cos\theta)\, \mathrm{tr}\, C$.

# %%
pictures.turns(result)

# %% [markdown]
# The same points and images, by an optimal assignment:

# %%
result[["displacement", "least", "gap"]].to_pandas()

# %% [markdown]
# ## The gap of any map
#
# Points and where they go are enough, for any cost: a function of two points.

# %%
x = np.random.default_rng(0).normal(size=(200, 2))
swirl = x + 0.8 * np.c_[-x[:, 1], x[:, 0]]
rows = {
    name: {"gap": monge.exact_gap(x, swirl, cost).value, "mean cost": monge.exact_gap(x, swirl, cost).displacement}
    for name, cost in {"squared": "squared", "distance": "distance", "power": monge.PNorm(1.5)}.items()
}
pd.DataFrame(rows).T

# %% [markdown]
# With an entropy it can be derived, and is never 0: between $\varepsilon \log n$ and twice that above the exact one.

# %%
pictures.bracket(result)

# %%
slope = jax.grad(lambda y: monge.loss(jnp.asarray(x), y, 0.05))(jnp.asarray(swirl))
float(jnp.abs(slope).max())

# %% [markdown]
# ## A map that is learned
#
# A network of no special form, from samples alone. The best map is known here, so that what it misses is known too; without the
# gap the image is as right, and the map is another.

# %%
learned = {strength: lab.run(MongeGap.preset("learned").but(strength=strength)) for strength in (1.0, 0.0)}
pd.DataFrame(
    {
        f"λ = {strength:g}": {name: float(run[name]) for name in ("fit", "gap", "uvp")}
        for strength, run in learned.items()
    }
)

# %%
pictures.arrows(learned[0.0])

# %%
pictures.arrows(learned[1.0])

# %%
pictures.rivals(learned[1.0])

# %% [markdown]
# ## In a few lines
#
# The same without the study; beside it a convex network, which learns the way back too.

# %%
data = MongeGap.preset("learned").load().arrays
found = maps.learn(jax.random.key(1), data["x0"], data["x"], form="residual", steps=300, batch=128)
dual = convex.learn(jax.random.key(1), data["x0"], data["x"], width=32, steps=200, batch=128)
affine = bures(*maps.moments(jnp.asarray(data["x0"])), *maps.moments(jnp.asarray(data["x"])))
fresh = jnp.asarray(data["x0"][:500])
truth, variance = jnp.asarray(data["moved"][:500]), float(np.var(data["moved"], axis=0).sum())
pd.Series(
    {
        "residual network": float(monge.unexplained(found.map(fresh), truth, variance)),
        "convex network": float(monge.unexplained(dual.forth(fresh), truth, variance)),
        "Gaussian": float(monge.unexplained(jax.vmap(affine)(fresh), truth, variance)),
        "entropic": float(
            monge.unexplained(map_comparison.entropic(data["x0"][:300], data["x"][:300])(fresh), truth, variance)
        ),
    },
    name="unexplained, %",
)

# %% [markdown]
# ## A figure for a paper

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.arrows, result, folder / "arrows.pdf", width="column")
