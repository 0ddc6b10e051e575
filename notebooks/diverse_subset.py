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
# # A diverse subset of rows
#
# Kulesza and Taskar, *k-DPPs: Fixed-Size Determinantal Point Processes*, ICML 2011.
#
# A few rows that stand for all: to label, to look at, to compute with. A k-DPP takes k rows that differ, at random, with
# probabilities that are known, so that weighted sums over the few are unbiased for sums over all.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import holoviews as hv
import jax
import numpy as np
import pandas as pd

from lab import sampling
from lab.sampling import subsets
from lab.studies import DiverseSubset

hv.output(size=100)
pictures = DiverseSubset.pictures

# %% [markdown]
# ## Row by row
#
# Dark rows would still add much. Each chosen row makes its neighbours lighter.

# %%
moons = DiverseSubset(data="two-moons", n=300, length=0.3, k=12, draws=100)
result = moons.run()
pictures.choice.strip(result, 3).cols(1)

# %% [markdown]
# ## Beside chance, and the greedy choice

# %%
pictures.beside(result)

# %%
pictures.coverage(result)

# %% [markdown]
# ## Unbiased sums
#
# With weights $1/P(i \in S)$ the mean of any function over the subset is right on average. Over 2000 subsets:

# %%
data = moons.load()
rows = data.arrays["x"]
spectrum = subsets.decompose(rows, 12, length_scale=0.3 * subsets.median_distance(rows))
chosen = subsets.from_spectrum(jax.random.key(0), spectrum, 12, size=2000)
f = np.exp(-(rows[:, 0] ** 2))
sums = (np.asarray(chosen.weights) * f[np.asarray(chosen.indices)]).sum(axis=1) / len(rows)
rng = np.random.default_rng(0)
chance = np.array([f[rng.permutation(len(rows))[:12]].mean() for _ in range(2000)])
pd.DataFrame(
    {"mean": [f.mean(), sums.mean(), chance.mean()], "standard deviation": [0, sums.std(), chance.std()]},
    index=["all rows", "k-DPP", "random"],
)

# %% [markdown]
# ## Digits
#
# Which handwriting differs? Classes are not told to the method; in 64 dimensions distances differ little, and so the gain over
# chance is smaller than in the plane.

# %%
digits = DiverseSubset(draws=50, n=300)
chosen_digits = digits.run()
print(f"{float(chosen_digits.classes_found):.2f} of 10 classes, at random {float(chosen_digits.classes_random):.2f}")
pictures.gallery(chosen_digits)

# %% [markdown]
# ## Rows of your own
#
# A path does: `.csv`, `.parquet`, `.npz`, `.npy`. Where columns have different units, standardise. In Python one call suffices.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mine.csv"
    table = pd.DataFrame({"height (m)": rng.normal(1.7, 0.1, 200), "weight (kg)": rng.normal(70, 12, 200)})
    table.to_csv(path, index=False)
    mine = DiverseSubset(data=str(path), standardise=True, k=8, draws=20).run()
table.iloc[mine.indices.sel(way="k-DPP").values].round(2)

# %%
few = sampling.diverse(jax.random.key(0), ((table - table.mean()) / table.std()).values, 8)
print(np.asarray(few.indices), np.asarray(few.weights).round(1))

# %% [markdown]
# A kernel that does not tell so many rows apart is told in a sentence:

# %%
try:
    DiverseSubset(data="two-moons", n=300, length=20.0, k=60).run()
except ValueError as sentence:
    print(sentence)
