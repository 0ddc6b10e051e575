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
# # What a data source is worth
#
# Kang, Just, Sahu and Jia, *Performance Scaling via Optimal Transport: Enabling Data Selection from Partially Revealed
# Sources*, NeurIPS 2023.
#
# Three providers each show a small sample. How accurate is a model trained on N points of a mixture of them, and which mixture
# should one buy? This notebook computes the distance between a mixture and the validation set, checks it, fits the scores of
# two small pilots, and shows where projections hold and where they do not.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd

from lab.ot import labelled
from lab.studies import Projektor
from lab.valuation import designs, distance, projection

hv.output(size=100)
pictures = Projektor.pictures

# %% [markdown]
# ## The distance of a mixture
#
# The cost between labeled points is half of their squared distance plus half of the squared Wasserstein distance between their
# classes. If $h_i$ is the mean potential over source i, the distance of $\mu_p = \sum_i p_i \mu_i$ has the slope $h_i$ in
# $p_i$. All mixtures share one kernel, so they are solved in one batch.

# %%
rng = np.random.default_rng(0)
source = np.repeat(np.arange(3), (30, 40, 20))
labels, others = rng.integers(0, 3, 90), rng.integers(0, 3, 40)
x, y = rng.normal(size=(90, 4)) + labels[:, None] + 0.5 * source[:, None], rng.normal(size=(40, 4)) + others[:, None]
costs = distance.costs(*map(jnp.asarray, (x, labels, y, others)), 3, debiased=False)
p = np.array([[0.5, 0.3, 0.2], [0.501, 0.299, 0.2]])
found = distance.distances(jnp.asarray(p), costs, jnp.asarray(source), 0.5, tolerance=1e-11)

a, b, matrix = p[0][source] / np.array([30, 40, 20])[source], np.full(40, 1 / 40), np.asarray(costs.matrix)
plan = pot.sinkhorn(a, b, matrix, 0.5, method="sinkhorn_log", stopThr=1e-12, numItermax=10_000)
by_pot = (plan * matrix).sum() + 0.5 * (plan * np.log(plan / np.outer(a, b))).sum()
slope = float(found.mean[0, 0] - found.mean[0, 1])
pd.Series(
    {
        "difference from POT": abs(float(found.value[0]) - by_pot),
        "slope from potentials": slope,
        "slope from finite differences": float(found.value[1] - found.value[0]) / 1e-3,
        "without entropy, by a linear program": float(labelled.exact_mixture(p[0], costs.matrix, source).value),
    }
)

# %% [markdown]
# ## Digits from three sources
#
# The first source has mostly the digits 0 to 3, the second 4 to 6, the third 7 to 9. For each of the 66 mixtures of a grid,
# multinomial logistic regressions are trained on draws of 100 and of 200 points.

# %%
study = Projektor()
result = lab.run(study)
result[["predicted", "measured", "best_predicted", "best_measured", "equal_measured", "correlation"]].to_pandas()

# %%
pictures.map(result)

# %%
pictures.distances(result)

# %% [markdown]
# ## Which fits extrapolate?
#
# Fits to the mixtures with less than half of the second source are tested on the others. **A line in the distance extrapolates.
# At this size and noise, the paper's ten columns do not, and neither does a quadratic fit without the distance.** Between the
# fitted mixtures, the ten columns do as well as the line.

# %%
errors = result.mae.sel(size="N₁").to_pandas().T.round(1)
errors

# %%
pictures.errors(result)

# %% [markdown]
# ## To other sizes
#
# A line in log N through two sizes amplifies errors, more so for pilots of similar size.

# %%
pairs = {(1000, 1500, 10_000), (100, 200, 400), (100, 200, 800), (170, 200, 400)}
pd.Series({pair: float(projection.amplification(pair[2], *pair[:2])) ** 0.5 for pair in sorted(pairs)}).round(2)

# %%
pictures.sizes(result)

# %% [markdown]
# Accuracy saturates and a line does not, so projections are too high. For sources of 300 points, projections of accuracy or
# log-loss are not better than the scores at the larger pilot.

# %%
loss = lab.run(study.but(measure="log-loss"))
names = ["mae_projected", "mae_raw", "mae_same"]
pd.DataFrame({"accuracy (points)": result[names].to_pandas(), "log-loss (nats)": loss[names].to_pandas()}).round(2)

# %% [markdown]
# ## What a source is worth
#
# The calibrated gradient is the decrease of the distance per unit of weight that a source gains while the others lose in
# proportion.

# %%
pictures.worth(result)

# %% [markdown]
# ## Wrong labels
#
# The cost includes a label term, so wrong labels of the first source increase the distance.

# %%
noisy = lab.run(study.but(noise=0.6))
pd.DataFrame(
    {
        name: [float(run.ot_here), float(run.measured)]
        for name, run in (("correct labels", result), ("wrong labels", noisy))
    },
    ["distance", "accuracy"],
)

# %% [markdown]
# ## Your own sources
#
# Use a table with integer columns `classes` and `source`. The source -1 marks rows of the validation set; without such rows, a
# quarter of all rows is held out. Unusable data raise an error that states why.

# %%
classes, of = rng.integers(0, 3, 600), rng.integers(0, 3, 600)
table = pd.DataFrame(rng.normal(size=(600, 3)) + np.c_[classes, classes == 1, of], columns=["u", "v", "w"])
own = Projektor(data=table.assign(classes=classes, source=of), n0=30, n1=60, n=120, grid=5)
print(own.load(), *own.load().notices, sep="\n")
try:
    Projektor(data=table.assign(classes=classes, source=of % 2)).run()
except ValueError as error:
    print(error)

# %%
designs.simplex_grid(3, 2)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page: click the triangle. `lab verify projektor` checks the claims of the paper and of
# mathematics.
