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
# # Road agents: what a traffic graph tells, and what it does not
#
# Chandra, Guan, Panuganti, Mittal, Bhattacharya, Bera and Manocha, *Forecasting Trajectory and Behavior of Road-Agents Using
# Spectral Clustering in Graph-LSTMs*, IEEE RA-L 2020.
#
# Agents that are near each other are joined by an edge. This notebook builds the graph and its spectrum, checks them,
# simulates a highway whose drivers are known, reads behaviour from degrees as the paper does, and compares forecasts.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab.studies import RoadAgents
from lab.traffic import behaviour, graphs, simulation, spectra

hv.output(size=100)
pictures = RoadAgents.pictures

# %% [markdown]
# ## The graph and its spectrum
#
# $A_{ij} = e^{-|v_i - v_j|/s}$ within the radius r, and $L = D - A$. An agent that comes adds an update of rank one for each of
# its edges, so that no eigenvalue falls. If L becomes L + E, a vector turns by at most $\sin \le 2|E|_2/g$, with g the gap.

# %%
rng = np.random.default_rng(0)
positions = jnp.asarray(rng.uniform(0, 6, (8, 2)))
A = graphs.adjacency(positions)
L, before = graphs.laplacian(A), graphs.laplacian(A[:-1, :-1])
moved = graphs.laplacian(graphs.adjacency(positions + 1e-3 * jnp.asarray(rng.normal(size=(8, 2)))))
here, there = spectra.spectrum(L), spectra.spectrum(moved)
cosine = np.abs((here.vectors * there.vectors).sum(axis=0))
pd.Series(
    {
        "apart from NumPy": float(np.abs(here.values - np.linalg.eigvalsh(np.asarray(L))).max()),
        "arrival, apart": float(np.abs(graphs.arrival(before, A[-1, :-1]) - L).max()),
        "largest turn, of its bound": float(
            (
                np.sqrt(1 - np.minimum(cosine, 1) ** 2) / spectra.bounds(here.values, np.linalg.norm(moved - L, 2)).sine
            ).max()
        ),
    }
)

# %% [markdown]
# ## A highway whose drivers are known
#
# The intelligent driver model along the lanes, MOBIL across them. Drivers want 18, 25 or 33 m/s. Positions are those of
# highway-env to rounding errors, which the tests show.

# %%
road, profile = simulation.roads([0, 1, 2, 3], agents=20, frames=100)
speed = np.asarray(road.speed)
pd.DataFrame(
    {
        name: speed.transpose(0, 2, 1)[profile == k].mean(axis=0)[[0, 20, 50, 99]]
        for k, name in ((-1, "slow"), (0, "neutral"), (1, "fast"))
    },
    ["0 s", "10 s", "25 s", "50 s"],
).round(1)

# %% [markdown]
# ## The rule does not see the driver
#
# An agent whose degree grows is over, one whose degree falls is under. **The correlation of that rate with who drives is about
# 0**; speed sees it after some seconds. The rule says how a neighbourhood changes.

# %%
rows = {}
for radius, scale in ((10.0, 1.0), (10.0, 5.0), (50.0, 10.0)):
    theta = graphs.degree(graphs.adjacency(road.position, radius=radius, scale=scale))
    rates = [behaviour.rate(jnp.moveaxis(theta[:, t : t + 11], 1, 0), 0.5) for t in range(0, 90, 10)]
    means = [speed[:, t : t + 11].mean(axis=1) for t in range(0, 90, 10)]
    who = np.stack([profile] * len(rates)).ravel()
    rows[f"r = {radius:g} m, s = {scale:g} m"] = {
        "rate and driver": np.corrcoef(np.stack(rates).ravel(), who)[0, 1],
        "speed and driver": np.corrcoef(np.stack(means).ravel(), who)[0, 1],
    }
pd.DataFrame(rows).T.round(2)

# %%
study = RoadAgents()
result = lab.run(study)
pictures.play(result, 6.0)

# %%
pictures.degrees(result, 6.0)

# %%
pictures.confusion(result)

# %% [markdown]
# ## Where everybody will be
#
# Five seconds ahead, on four roads that were not learned from. A linear regression of ten future positions on six past ones
# halves the error of constant velocity. LSTMs need a minute of training to match it (`RoadAgents.preset("streams")`); here is a
# short one.

# %%
short = lab.run(RoadAgents.preset("quick"))
short[["ade", "fde"]].to_dataframe().round(2)

# %%
pictures.rmse(short)

# %%
pictures.regions(result, 6.0)

# %% [markdown]
# ## Your own road
#
# A table with a row for each agent in each frame: frame, agent, x and y in metres. Agents may come and go; who is absent counts
# nowhere. What can't be used is refused in a sentence.

# %%
frame, agent = np.divmod(np.arange(60 * 5), 5)
table = pd.DataFrame(
    {"frame": frame, "agent": agent, "x": 2.0 * frame * (1 + 0.1 * agent) + 9 * agent, "y": 3.5 * (agent % 2)}
)
own = RoadAgents(data=table, radius=30.0, scale=10.0)
print(own.load(), *own.load().notices, sep="\n")
print(float(own.run().ade_velocity), "m by constant velocity")
try:
    RoadAgents(data=table[table.frame < 20]).run()
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page: play the road, move the threshold. `lab verify road-agents` measures what the paper and
# mathematics claim.
