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
# # Survival from bags of patches by transport
#
# Ren, Wang, Fang, Ling and You, *OTSurv: A Novel Multiple Instance Learning Framework for Survival Prediction with
# Heterogeneity-aware Optimal Transport*, MICCAI 2025.
#
# A slide is cut into patches, and the survival time of the patient is predicted from all of them. A transport plan pools
# the bag of patches into a few trainable prototypes: unequal masses of prototypes cost, and only the share of the mass that
# fits the prototypes is pooled. This notebook builds that pooling, checks it, trains it with Cox's loss on bags whose true
# risk is known, and compares it with mean and attention pooling by statistics that agree with lifelines.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
import time
import warnings
from pathlib import Path

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd

from lab import datasets, figures, survival
from lab.studies import OTSurv
from lab.survival import pooling, statistics

hv.output(size=100)
pictures = OTSurv.pictures

# %% [markdown]
# ## The pooling
#
# $n$ patches with features $h_i$ and $K$ prototypes $z_k$ have the costs $C_{ik} = d_{ik}/\max d$, where $d_{ik}$ is the
# distance of the two after the smallest entry of each row is subtracted from the row. With a weight $\lambda$ and a share
# $\rho$,
#
# $$ \min_{Q \ge 0} \ \langle Q, C\rangle + \lambda\,\mathrm{KL}(Q^\top \mathbf 1 \mid \tfrac\rho K\mathbf 1)
# + \varepsilon\, h([Q, \xi]) \quad\text{with}\quad \xi = \tfrac1n - Q\mathbf 1 \ge 0,
# \quad \mathbf 1^\top Q\, \mathbf 1 = \rho, $$
#
# and the bag becomes $G = A^\top H$ with $A = Q/\rho$. The layer is an equinox module like any other.

# %%
rng = np.random.default_rng(0)
prototypes = survival.OTPooling(3, 5, jax.random.key(0))
h = jnp.asarray(
    np.r_[np.repeat(prototypes.prototypes, 8, axis=0) + 0.3 * rng.normal(size=(24, 5)), 6 * rng.normal(size=(6, 5))]
)
present = jnp.ones(len(h), bool)
pooled = prototypes(h, present, survival.Transport(rho=0.6))
weights = np.asarray(pooled.weights)
row = 0.6 * len(h) * weights.sum(axis=1)
pd.Series(
    {
        "pooled of a patch near a prototype": row[:24].mean(),
        "pooled of an outlier": row[24:].mean(),
        "total of the weights": weights.sum(),
        "largest pooled share of a patch": row.max(),
        "residual of the plan": float(pooled.residual),
    }
)

# %% [markdown]
# The six patches of broad noise are left out, although they have no labels. At $\rho = 1$ nothing is left out, and POT has
# a solver for this case; with one prototype, the pooling is the mean.

# %%
cost = np.asarray(pooling.cost(h, prototypes.prototypes))
uniform = np.full(30, 1 / 30), np.full(3, 1 / 3)
by_pot = pot.sinkhorn_unbalanced(
    *uniform, cost, 0.1, (np.inf, 1.0), reg_type="entropy", numItermax=100_000, stopThr=1e-14
)
whole = prototypes(h, present, survival.Transport(rho=1.0))
one = survival.OTPooling(1, 5, jax.random.key(1))(h, present, survival.Transport(rho=1.0))
pd.Series(
    {
        "plan against POT's": abs(np.asarray(whole.weights) - by_pot).max(),
        "one prototype against the mean": abs(np.asarray(one.vectors)[0] - np.asarray(h).mean(axis=0)).max(),
    }
)

# %% [markdown]
# ### Its derivative
#
# The published code differentiates through up to a thousand unrolled scaling steps. Here the implicit function theorem
# gives the same derivative from one $(K+1) \times (K+1)$ system. Both derivatives and their times:


# %%
def read(z, h=h):
    """A number that depends on the plan."""
    net = survival.OTPooling(3, 5, jax.random.key(0))
    net = jax.tree.map(lambda _: z, net)
    return (net(h, present, survival.Transport(rho=0.6)).vectors ** 2).sum()


def unrolled(z, h=h, steps=500):
    kernel = jnp.exp(-jnp.c_[pooling.cost(h, z), jnp.zeros(len(h))] / 0.1)
    prior, power = jnp.array([0.2, 0.2, 0.2, 0.4]), jnp.array([1 / 1.1, 1 / 1.1, 1 / 1.1, 1.0])

    def sweep(b, _):
        return (prior / (kernel.T @ (1 / len(h) / (kernel @ b)))) ** power, None

    b, _ = jax.lax.scan(sweep, jnp.ones(4), None, length=steps)
    plan = (1 / len(h) / (kernel @ b))[:, None] * kernel * b[None, :]
    return (((plan[:, :3] / 0.6).T @ h) ** 2).sum()


def timed(f):
    f = jax.jit(jax.grad(f))
    slope = jax.block_until_ready(f(prototypes.prototypes))
    began = time.perf_counter()
    for _ in range(20):
        jax.block_until_ready(f(prototypes.prototypes))
    return slope, 50 * (time.perf_counter() - began)


(ours, ms), (theirs, ms_unrolled) = timed(read), timed(unrolled)
pd.Series(
    {
        "derivatives apart": abs(np.asarray(ours) - theirs).max(),
        "implicit, ms": ms,
        "500 unrolled steps, ms": ms_unrolled,
    }
)

# %% [markdown]
# ## Bags with known risk
#
# 240 bags of 100 patches of six kinds. The log risk of a bag is linear in the fractions of the two rarest kinds, the time
# is exponential with that rate, and about half of the times are censored. The last third of the bags is the test fold.
# The default run trains for 15 epochs only. Compare its C-index with the C-index of the true risk, which is below 1 since
# the times are random.

# %%
study = OTSurv()
result = lab.run(study)
result[["cindex", "cindex_train", "cindex_oracle", "chi2", "p"]].to_pandas()

# %%
pictures.truth(result)

# %%
pictures.km(result)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result

# %% [markdown]
# ## The statistics, checked with lifelines
#
# The C-index with its rules for ties, Kaplan-Meier curves with log-log bands, and the log-rank test are pure JAX. On the
# 686 patients of the German breast cancer study, whose times have many ties:

# %%
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_gbsg2, load_rossi
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index

warnings.filterwarnings("ignore")
patients = load_gbsg2()
at, event, nodes = (patients[name].to_numpy(float) for name in ("time", "cens", "pnodes"))
high = nodes > np.median(nodes)
km = KaplanMeierFitter().fit(at, event)
rank = logrank_test(at[high], at[~high], event[high], event[~high])
prisoners = load_rossi().astype(float)
cox = CoxPHFitter().fit(prisoners, "week", "arrest")


@jax.jit
def ours(at, event, nodes, high, places, risk, week, arrest):
    curve = statistics.kaplan_meier(at, event, places)
    return [
        statistics.cindex(nodes, at, event),
        statistics.log_rank(at, event, high).chi2,
        curve.survival[-1],
        curve.low[-1],
        survival.cox(risk, week, arrest, ties="efron"),
    ]


lab_says = ours(
    at,
    event,
    nodes,
    high,
    km.survival_function_.index.to_numpy(),
    prisoners[cox.params_.index].to_numpy() @ cox.params_.to_numpy(),
    prisoners.week.to_numpy(),
    prisoners.arrest.to_numpy(),
)
lifelines_says = {
    "C-index of the lymph nodes": concordance_index(at, -nodes, event),
    "log-rank χ²": rank.test_statistic,
    "survival at the end": km.survival_function_.iloc[-1, 0],
    "its lower 95% end": km.confidence_interval_.iloc[-1, 0],
    "Cox loss, Efron's ties": -cox.log_likelihood_ / prisoners.arrest.sum(),
}
pd.DataFrame({"lab": np.array(lab_says), "lifelines": lifelines_says.values()}, index=list(lifelines_says))

# %% [markdown]
# ## Transport, mean, attention
#
# Three folds, each tested with a model that was not trained on it. **The three have similar C-indices**, and folds differ
# more than methods: the risk is linear in the fractions of kinds, so a mean can represent it. With five folds of a hundred
# patients, as in the paper's cohorts, differences of a few points of C-index are within the noise too.

# %%
folds = study.picture_result(pictures.folds)
pictures.folds(folds)

# %%
table = folds.cindex.to_pandas()
table["mean"] = table.mean(axis=1)
table["standard deviation"] = folds.cindex.std("fold", ddof=1)
table.round(3)

# %% [markdown]
# `lab verify otsurv` runs the full training with five seeds and compares its C-index with the one of the true risk.
#
# ## The share of the mass
#
# During training the share grows, $\rho_t = \min(\rho, 0.1 + e^{-5(1 - t/T)^2})$: at first, only the patches that fit the
# prototypes are pooled.

# %%
hv.Curve((result.epoch, result.pooled_share), "epoch", "pooled share")

# %% [markdown]
# Small shares help where a third to more than half of the patches of each bag are artifacts. These are far from all
# prototypes, so the plan leaves them out. The pooled share depends on the kind:

# %%
spoilt = OTSurv(data="artefact-bags", rho=0.5, share=0.4)
left = lab.run(spoilt)
pictures.kinds(left)

# %%
pictures.slide(left)

# %%
pictures.plan(left)

# %%
rows = {}
for name, changed in {
    "transport, ρ = 0.5": spoilt,
    "transport, ρ = 1": spoilt.but(rho=1.0),
    "mean": spoilt.but(pooling="mean"),
}.items():
    runs = [left if changed is spoilt else changed.run(), changed.but(seed=1).run()]
    rows[name] = {f"seed {seed}": float(run.cindex) for seed, run in enumerate(runs)}
rows["truth"] = {f"seed {seed}": float(run.cindex_oracle) for seed, run in enumerate(runs)}
artefacts = pd.DataFrame(rows).T
artefacts["mean"] = artefacts.mean(axis=1)
artefacts.round(3)

# %% [markdown]
# ## A long tail
#
# At a small $\lambda$, few prototypes receive most of a bag; at a large one, all masses are equal, as in balanced
# transport.

# %%
pictures.tail(study.along(lam=[0.01, 10.0], keep=pictures.tail.keep))

# %% [markdown]
# ## Tissue
#
# A photograph of stained tissue in windows of 4 × 4 patches; a window's risk grows with its brown share, and the times are
# simulated. Color: main prototype of a patch, paler where less of the patch is pooled.

# %%
tissue = lab.run(OTSurv.preset("tissue"))
pictures.slide(tissue)

# %% [markdown]
# ## Your own bags
#
# An `.npz` with `x` (patches, features), `bag` (patches,), `time` and `event` (bags,); or the same arrays. An error
# states what is missing or not allowed.

# %%
folder = Path(tempfile.mkdtemp())
known = datasets.load("morphology-bags", n=60, patches=20).arrays
mine = {name: known[name] for name in ("x", "bag", "time", "event")}
np.savez(folder / "mine.npz", **mine)
own = OTSurv(data=str(folder / "mine.npz"))
print(own.load(), *own.load().notices, sep="\n")
np.savez(folder / "wrong.npz", **(mine | {"event": 2 * mine["event"]}))
try:
    OTSurv(data=str(folder / "wrong.npz")).load()
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# Exported figures are vector graphics at the width of a journal's column, and carry their recipe: `lab reproduce FILE`
# computes them again.

# %%
for name, drawn in {"km": result, "folds": folds}.items():
    figures.export_picture(pictures[name], drawn, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.glob("*.pdf"))

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: choose a bag and move the shown share to see which patches are left out;
# this needs no new training. `lab verify otsurv` measures the paper's claims.
