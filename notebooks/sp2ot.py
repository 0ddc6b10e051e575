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
# # Progressive partial transport for clusters of uneven size
#
# Zhang, Ren and He, *P²OT: Progressive Partial Optimal Transport for Deep Imbalanced Clustering*, ICLR 2024, and
# *SP²OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering*, 2024.
#
# Pseudo-labels are a transport plan between samples and clusters. Two things make it fit for classes of uneven size:
# the clusters may differ in size at a price, and only a share $\rho$ of the samples is labelled, the confident ones
# first. This notebook builds the plan from its objective, solves it in two ways, compares it with POT, looks at the
# term that ties neighbours together and at where it fails to descend, trains with it, and ends in the papers' figures.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
import time
from pathlib import Path

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd
from scipy.special import expit, logsumexp

from lab import clustering, figures, ot
from lab.numerics.statistics import mean_interval
from lab.ot import partial
from lab.studies import SP2OT, draw

hv.output(size=100)
pictures = SP2OT.pictures

# %% [markdown]
# ## The problem
#
# $n$ samples have class probabilities $p_i$, the costs are $C_{ik} = -\log p_{ik}$, and the $K$ clusters have a prior
# $\beta$, here uniform:
#
# $$ \min_{Q \ge 0} \ \langle Q, C\rangle + \lambda\,\mathrm{KL}(Q^\top \mathbf 1 \mid \rho\beta)
# + \varepsilon\, h([Q, \xi]) \quad\text{with}\quad \xi = \tfrac1n - Q\mathbf 1 \ge 0,
# \quad \mathbf 1^\top Q\, \mathbf 1 = \rho. $$
#
# The mass $\xi$ that is left goes to a *virtual cluster* of cost 0. The data are 707 handwritten digits, ten times more
# zeros than nines, and the probabilities those of the clusters of one run of k-means. A third is labelled; the last
# column is the virtual cluster.

# %%
study = SP2OT(rho=0.3)
result = study.run()
pictures.plan(result)

# %%
pictures.curriculum(result)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result

# %% [markdown]
# ## What holds at the optimum
#
# The same plan from the costs, without the study. Three laws are read off the optimality conditions, with $g$ the
# potentials of the clusters and $g_\xi$ that of the virtual one:
#
# $$ s_k = \rho\beta_k e^{-g_k/\lambda}, \qquad
# w_i = n \sum_k Q_{ik} = \mathrm{sigmoid}\Big(\log \sum_k e^{(g_k - C_{ik})/\varepsilon} - g_\xi/\varepsilon\Big),
# \qquad \tfrac1n \sum_i w_i = \rho. $$
#
# A cluster larger than its prior has a negative potential, and a sample is labelled by a soft threshold on confidence.

# %%
inputs = SP2OT.inputs(study.load())
x, classes = inputs["x"], inputs["classes"]
n, k = len(x), 10
centres, _ = clustering.kmeans.kmeans(jax.random.split(jax.random.key(0))[0], x, k)
cost = -jax.nn.log_softmax(
    clustering.training.logits(clustering.training.Model(jnp.eye(x.shape[1]), centres), x), axis=1
)

problem, entropy = ot.problem(cost), ot.Entropic(0.1)
found = partial.solve(problem, entropy, rho=0.3, lam=1.0)
plan, weight = np.asarray(found.plan()), np.asarray(partial.row_weights(found))
cost, beta, slack = (np.asarray(values) for values in (cost, found.beta, found.slack))
level = logsumexp((beta - cost) / 0.1, axis=1) - slack / 0.1
pd.Series(
    {
        "mass less ρ": float(abs(plan.sum() - 0.3)),
        "sizes against their law": float(abs(plan.sum(0) - 0.3 / k * np.exp(-beta)).max()),
        "weights against the threshold": float(abs(weight - expit(level)).max()),
        "largest weight": float(weight.max()),
        "cluster sizes against the study's": float(abs(np.sort(plan.sum(0)) - np.sort(result.cluster_mass)).max()),
    }
)

# %% [markdown]
# The dual is solved, so the primal objective of its plan measures the error: without a gap both are equal.

# %%
whole = np.c_[plan, 1 / n - plan.sum(1)]
sizes, prior = plan.sum(0), 0.3 / k
primal = (
    (plan * cost).sum() + (sizes * np.log(sizes / prior) - sizes + prior).sum() + 0.1 * (whole * np.log(whole)).sum()
)
float(primal - found.value)

# %% [markdown]
# ## How it is solved
#
# The authors scale columns and rows in turn, a Sinkhorn iteration in which each column has its own exponent. With the
# row potentials eliminated, the dual is a concave function of $K + 1$ numbers only, and Newton's method on it needs some
# five steps, at any $\rho$. Scaling slows down as $\rho$ falls.

# %%
solvers = study.picture_result(pictures.steps)
pictures.steps(solvers)

# %% [markdown]
# ## Compared with POT
#
# POT has no weight for each column, so it can't hold the virtual cluster exactly and leave the others free. Two limits
# it can: $\rho = 1$ with a KL on one side (`sinkhorn_unbalanced`), and $\lambda = \infty$ at $\rho < 1$, balanced
# transport with one more column of cost 0 (`sinkhorn_log`). Both sides go to the same tolerance; our time is that of a
# second call, compiled.


# %%
def timed(solve):
    began = time.perf_counter()
    answer = jax.block_until_ready(solve())
    return answer, 1e3 * (time.perf_counter() - began)


a, b, c = (np.asarray(v) for v in (problem.a, problem.b, problem.cost))
extended = np.c_[c, np.zeros(n)], np.r_[0.3 * b, 0.7]
cases = {
    "all samples, flexible sizes": (
        {"rho": 1.0, "lam": 1.0},
        lambda: pot.sinkhorn_unbalanced(
            a, b, c, 0.1, (np.inf, 1.0), reg_type="kl", c=np.ones_like(c), numItermax=100_000, stopThr=1e-12
        ),
    ),
    "a third, equal sizes": (
        {"rho": 0.3},
        lambda: pot.bregman.sinkhorn_log(a, extended[1], extended[0], 0.1, numItermax=100_000, stopThr=1e-12)[:, :k],
    ),
}
rows = []
for name, (options, by_pot) in cases.items():
    partial.solve(problem, entropy, **options).plan()
    ours, ms = timed(lambda options=options: partial.solve(problem, entropy, **options).plan())
    theirs, ms_pot = timed(by_pot)
    rows.append(
        {
            "problem": name,
            "plans apart, of a sample": n * float(abs(ours - theirs).max()),
            "lab, ms": ms,
            "POT, ms": ms_pot,
        }
    )
pd.DataFrame(rows).set_index("problem")

# %% [markdown]
# ## Limits: from collapse to clusters of one size
#
# $\lambda \to \infty$ makes all clusters equally large, which cuts the frequent classes to pieces; $\lambda \to 0$ takes
# each sample to its cheapest cluster, and nothing keeps the sizes from falling apart. In between the divergence of the
# sizes from the prior falls monotonically.

# %%
prices = np.geomspace(0.01, 100, 13)
along_price = SP2OT(algorithm="uot").along(lam=prices, keep=["size_kl", "precision_labelled", "cluster_mass"])
draw.plot(
    draw.curve(prices, along_price.size_kl.values, markers=True),
    logx=True,
    logy=True,
    xlabel=draw.label(along_price.lam),
    ylabel=draw.label(along_price.size_kl),
)

# %% [markdown]
# ## Confident samples first
#
# Five blobs in the plane: as $\rho$ grows, labels spread from the middle of each blob to its rim.

# %%
blobs = SP2OT(data="long-tailed-blobs")
pictures.curriculum(blobs.but(rho=0.1).run())

# %%
pictures.curriculum(blobs.but(rho=0.8).run())

# %% [markdown]
# Of the digits, what is labelled first is right more often. Labels that are right can't be more than the labelled share.

# %%
along_rho = study.picture_result(pictures.quality)
pictures.quality(along_rho)

# %% [markdown]
# ## Neighbours agree
#
# SP²OT adds $-\mu\langle S, QQ^\top\rangle$, where $S$ is a Gaussian similarity of nearest neighbours. It is minimized
# by majorization: each step is a partial plan at the cost $C - \mu (S + S^\top) Q_t$. That is a majorizer only where
# $S + S^\top$ is positive semi-definite. The similarity of the authors' code has a zero diagonal, so its eigenvalues
# sum to zero and some are negative:

# %%
near = clustering.similarity(blobs.inputs(blobs.load())["x"], 10)
dense, shifted = np.asarray(near.dense()), np.asarray(near.shifted().dense())
lowest = np.linalg.eigvalsh(dense + dense.T)[0]
print("lowest eigenvalue          ", lowest)
print("with the diagonal raised   ", np.linalg.eigvalsh(shifted + shifted.T)[0])

# %% [markdown]
# With a strong pull the objective then rises, and goes round in circles. Raising the diagonal just enough makes it fall
# for sure, for an objective that also rewards decided samples.

# %%
descent = SP2OT.preset("neighbours")
pictures.outer(descent.picture_result(pictures.outer))

# %%
descent.run().attrs["advice"]

# %% [markdown]
# With no pull, SP²OT is the partial plan, in one step:

# %%
none = study.but(algorithm="sp2ot", strength=0.0).run()
print("steps", int(none.iterations), "  apart", n * float(abs(none.plan - result.plan).max()))

# %% [markdown]
# ## Derivatives
#
# The plan is differentiated by the implicit function theorem, one $(K + 1)$-sized solve and no unrolling: in the costs,
# and in $\rho$, $\lambda$ and $\varepsilon$. Here the mass of the first cluster.


# %%
def first(rho, lam, epsilon):
    return partial.solve(problem, ot.Entropic(epsilon), rho=rho, lam=lam, tolerance=1e-13).plan()[:, 0].sum()


at, h = (0.3, 1.0, 0.1), 1e-5
slopes = jax.grad(first, argnums=(0, 1, 2))(*at)
moved = [
    (first(*(v + h * (i == j) for j, v in enumerate(at))) - first(*(v - h * (i == j) for j, v in enumerate(at))))
    / (2 * h)
    for i in range(3)
]
pd.DataFrame({"implicit": np.array(slopes, float), "finite differences": np.array(moved, float)}, index=["ρ", "λ", "ε"])

# %% [markdown]
# ## Training on the labels
#
# A linear layer and a cosine head see two noisy views of each sample, and each view learns the labels of the other. The
# labelled share grows by $\rho_t = \rho_0 + (\rho_1 - \rho_0)\, e^{-5(1 - t/T)^2}$; the pull of neighbours fades out.

# %%
epochs = np.arange(41) / 40
draw.plot(
    draw.curve(epochs, clustering.Schedule()(epochs), "sigmoid"),
    draw.curve(epochs, clustering.Schedule(linear=True)(epochs), "linear", color=draw.TARGET, dash=True),
    xlabel="share of the training",
    ylabel="labelled share ρ",
    ylim=(0, 1.08),
)

# %%
trained = SP2OT(epochs=20, rho=1.0)
pictures.curves(trained.run())

# %% [markdown]
# The authors train the last block of a vision transformer on images of hundreds of classes. The order of the methods can
# be seen here, but not their numbers.
#
# ## The papers' figures
#
# Sizes of clusters and classes, largest first, before training:

# %%
sizes = study.along(algorithm=["balanced", "uot", "p2ot"], keep=["cluster_mass", "class_share"])
shares = np.sort(sizes.cluster_mass / sizes.cluster_mass.sum("cluster"), axis=-1)[:, ::-1]
pd.DataFrame([*shares, np.sort(sizes.class_share.values[0])[::-1]], index=[*sizes.algorithm.values, "classes"]).round(3)

# %% [markdown]
# The scores after training. One seed is not enough: each has other samples and another start of k-means. Three seeds,
# three methods, and their common start. (`trained.picture_result(pictures.scores)` has five seeds and SP²OT as well,
# whose training takes several times as long.)

# %%
scores = trained.along(
    seed=[0, 1, 2], algorithm=["balanced", "uot", "p2ot"], epochs=[0, 20], keep=[*pictures.scores.keep, "group_acc"]
)
pictures.scores(scores)

# %% [markdown]
# Most of the variation above is between starts, which all methods share. So the *gain* of a method over its start is known
# more precisely than its score: the paired difference to k-means with its 95% interval. Balanced labels lose NMI and F1;
# flexible sizes lose less, and progressive labels do not lose.

# %%
gains = {}
for name in pictures.scores.keep:
    start = scores[name].isel(algorithm=0).sel(epochs=0).values
    for method in scores.algorithm.values:
        gain = mean_interval(scores[name].sel(algorithm=method, epochs=20).values - start)
        gains[method, draw.label(scores[name])] = f"{gain.mean:+.3f} ± {gain.half:.3f}"
pd.Series(gains).unstack().loc[scores.algorithm.values]

# %% [markdown]
# The accuracy of frequent and rare classes, for the first seed:

# %%
scores.group_acc.sel(seed=0, epochs=20).to_pandas().round(3)

# %% [markdown]
# Exported figures are vector graphics at the width of a journal's column, and carry their recipe: `lab reproduce FILE`
# computes them again.

# %%
folder = Path(tempfile.mkdtemp())
for name, drawn in {"quality": along_rho, "scores": scores}.items():
    figures.export_picture(pictures[name], drawn, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $\rho$ and $\lambda$, choose an algorithm, bring your own labelled
# features. `lab verify sp2ot` measures what the papers and mathematics claim, one by one; what fails is shown as failing.
