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
# # Weighted conditional flow matching
#
# Calvo-Ordonez, Meunier, Cartea, Reisinger, Gal and Hernandez-Lobato, *Weighted Conditional Flow Matching*, 2025.
#
# Flow matching pairs noise with data at random. Pairing by optimal transport gives shorter, straighter flows, and costs a
# transport problem in every batch. The paper uses random pairs and weights their losses by $e^{-c(x, y)/\varepsilon}$, which
# costs nothing but tilts the marginals. This notebook builds the weighted field in closed form, shows where it helps and where
# it only seems to, compares it with independent, minibatch and entropic couplings (POT included), and trains a network.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import softmax

from lab import figures, paths
from lab.paths import weighted
from lab.studies import WeightedCFM

hv.output(size=100)
pictures = WeightedCFM.pictures

# %% [markdown]
# ## A gain: eight Gaussians
#
# The same noise on the flows of four couplings. At $\varepsilon = 2$ the normalized path energy (NPE) of W-CFM is at most a
# tenth of the NPE of I-CFM, and $W_2^2$ to held-out data ties.

# %%
study = WeightedCFM()
result = lab.run(study)
pictures.table(result)

# %%
pictures.motion.strip(result, 3).cols(1)

# %% [markdown]
# ## The weighted field, by hand
#
# From $N(0, I)$ to points $y_j$, at time $t$ and place $z$, the source of the line to $y_j$ is $x_j = (z - t y_j)/(1 - t)$,
# and
#
# $$ v(t, z) = \sum_j q_j \frac{y_j - z}{1 - t}, \qquad
#    q = \mathrm{softmax}_j\Big(-\tfrac12 |x_j|^2 - \tfrac{1}{\varepsilon} c(x_j, y_j)\Big) . $$
#
# Drop the last term and it is I-CFM. In the library it is a *tilt* of the exact field:

# %%
y = result.points.values
z, t, epsilon = np.array([[0.5, -1.0], [2.0, 1.0]]), 0.4, 2.0
x = (z[:, None] - t * y) / (1 - t)
logits = -(x**2).sum(2) / 2 - np.linalg.norm(x - y, axis=2) / epsilon
by_hand = np.einsum("nj,njd->nd", softmax(logits, axis=1), y - z[:, None]) / (1 - t)
field = paths.exact(paths.Linear(), paths.standard(2), jnp.asarray(y), tilt=weighted.Gibbs(epsilon))
print(by_hand, "at most", abs(by_hand - np.asarray(field.velocity(t, jnp.asarray(z)))).max(), "apart")

# %% [markdown]
# ## It is entropic transport, of other marginals
#
# The weighted plan of a sample is what POT's Sinkhorn finds for the weighted plan's *own* row and column sums.

# %%
rng = np.random.default_rng(0)
costs = cdist(rng.normal(size=(60, 2)), y[:60])
plan = np.exp(-costs / epsilon)
plan /= plan.sum()
again = pot.sinkhorn(plan.sum(1), plan.sum(0), costs, epsilon, stopThr=1e-14)
even = pot.sinkhorn([], [], costs, epsilon)
print(f"own marginals: {abs(plan - again).max():.1e} apart; even marginals: {abs(plan - even).max():.1e}")

# %%
pictures.plans(result)

# %% [markdown]
# What the weights make of the masses of the data is $\tau_\nu(y) = E_\mu\, e^{-c(X, y)/\varepsilon}$. Around the origin it
# depends on the distance from it only: on a ring the inner side of each mode gains, and no mode loses to another.

# %%
pictures.reweighted(result)

# %% [markdown]
# ## The trap: noisy moons
#
# On moons at $\varepsilon = 4$ the NPE is lower still, and $W_2^2$ to held-out data is nearly three times as large. The energy
# fell because mass moved to the region where noise and data meet. An energy *below* $W_2^2$ of source and data proves that a
# marginal is wrong; an energy just above it proves nothing.

# %%
moons = WeightedCFM.preset("moons")
trapped = lab.run(moons)
print(trapped.attrs["advice"])
pictures.reweighted(trapped)

# %% [markdown]
# As $\varepsilon$ falls (from right to left), the energy falls and $W_2^2$ to the data rises from the start. On eight Gaussians
# $W_2^2$ is level at first: `pictures.trap(study.along(epsilon=[2, 4, 16]))`.

# %%
energies = moons.along(epsilon=[1.0, 4.0, 16.0])
pictures.trap(energies)

# %% [markdown]
# ## Choosing epsilon
#
# The tilt $R$ and the effective fraction of pairs require no flow: they are sums over samples, cheap at any $\varepsilon =
# \kappa\sqrt d$.

# %%
pictures.elbow(trapped)

# %% [markdown]
# ## Where it ends
#
# The weighted flow carries the tilted source to the tilted data exactly. Started from the source itself, as in practice, it
# ends at another distribution (`start="source"`). For four points on a line all masses are known.

# %%
tilted = WeightedCFM.preset("atoms-tilted").but(compare=False).run()
pd.DataFrame(
    {
        "under the weights": tilted.mass_weighted.values,
        "W-CFM from the tilted source": tilted.mass.sel(coupling="W-CFM").values,
        "I-CFM": tilted.mass.sel(coupling="I-CFM").values,
    },
    index=[f"{place:g}" for place in tilted.points.values[:, 0]],
)

# %% [markdown]
# ## Batches of optimal transport
#
# Pairs of minibatch transport get cheaper with the batch; weights have no batch. Both here, the batches by SciPy:

# %%
pairs = rng.normal(size=(512, 2)), y[rng.integers(len(y), size=512)]
rows = {"W-CFM": float(result.pair_cost.sel(coupling="W-CFM"))}
for size in (1, 8, 32, 128):
    tables = [cdist(*(side[at : at + size] for side in pairs)) for at in range(0, 512, size)]
    rows[f"OT-CFM, batches of {size}"] = sum(c[linear_sum_assignment(c)].sum() for c in tables) / 512
pd.Series(rows, name="mean distance of a pair")

# %% [markdown]
# ## A network
#
# The same loss, on weighted pairs, with the library's training loop. The weights reduce the
# effective number of pairs in each batch.

# %%
trained = study.but(train_steps=800).run()
print(f"W2² {float(trained.net_w2sq):.3f}, exact field {float(trained.w2sq):.3f}; NPE {float(trained.net_npe):.3f}")
pictures.training(trained)

# %% [markdown]
# ## Figures
#
# Exported pictures carry their recipe: `lab reproduce FILE` computes them again.

# %%
folder = Path(tempfile.mkdtemp())
for name, drawn in {"trap": energies, "plans": result}.items():
    figures.export_picture(pictures[name], drawn, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $\varepsilon$, choose digits and centre them, bring your own samples.
# `lab verify weighted-cfm` measures what the paper and mathematics claim, one by one.
