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
# # Road agents: what a traffic graph reveals
#
# Chandra, Guan, Panuganti, Mittal, Bhattacharya, Bera and Manocha, *Forecasting Trajectory and Behavior of Road-Agents Using
# Spectral Clustering in Graph-LSTMs*, IEEE RA-L 2020.
#
# Near agents are joined by an edge. This notebook builds the graph and its spectrum, checks them, simulates a highway with
# known drivers, labels behavior from degrees as in the paper, and compares forecasts.

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
# $A_{ij} = e^{-|v_i - v_j|/s}$ within the radius r, and $L = D - A$. An agent that enters adds a rank-one update for each of
# its edges, so no eigenvalue decreases. If L becomes L + E, an eigenvector turns by an angle with $\sin \le 2|E|_2/g$, where
# g is the gap.

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
        "difference from NumPy": float(np.abs(here.values - np.linalg.eigvalsh(np.asarray(L))).max()),
        "difference of the update": float(np.abs(graphs.arrival(before, A[-1, :-1]) - L).max()),
        "largest turn / bound": float(
            (
                np.sqrt(1 - np.minimum(cosine, 1) ** 2) / spectra.bounds(here.values, np.linalg.norm(moved - L, 2)).sine
            ).max()
        ),
    }
)

# %% [markdown]
# ## A highway with known drivers
#
# The intelligent driver model along the lanes, MOBIL across them. Drivers prefer 18, 25 or 33 m/s. Positions agree with
# highway-env to rounding errors, as the tests show.

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
# ## The rule does not recognize the driver
#
# An agent whose degree grows is over; an agent whose degree falls is under. **The rate has correlation about 0 with the driver
# type**; speed reveals it after some seconds. The rule measures how a neighborhood changes.

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
# ## Forecasts of positions
#
# Five seconds ahead, on four held-out roads. A linear regression of ten future positions on six past positions halves the error
# of constant velocity. LSTMs need a minute of training to match it (`RoadAgents.preset("streams")`); this training takes
# seconds.

# %%
short = lab.run(RoadAgents(train_steps=120, units=32, forecast="one stream"))
short[["ade", "fde"]].to_dataframe().round(2)

# %%
pictures.rmse(short)

# %%
pictures.regions(result, 6.0)

# %% [markdown]
# ## Your own road
#
# A table with a row for each agent in each frame: frame, agent, x and y in meters. Agents may enter and leave; absent agents
# have no edges. An unusable table raises an error that says why.

# %%
frame, agent = np.divmod(np.arange(60 * 5), 5)
table = pd.DataFrame(
    {"frame": frame, "agent": agent, "x": 2.0 * frame * (1 + 0.1 * agent) + 9 * agent, "y": 3.5 * (agent % 2)}
)
own = RoadAgents(data=table, radius=30.0, scale=10.0)
print(own.load(), *own.load().notices, sep="\n")
print(float(own.run().ade_velocity), "m with constant velocity")
try:
    RoadAgents(data=table[table.frame < 20]).run()
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page: play the road, move the threshold. `lab verify road-agents` measures the claims of the
# paper and of mathematics.
