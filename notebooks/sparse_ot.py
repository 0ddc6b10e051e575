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
# # Sparsity-constrained optimal transport
#
# Liu, Puigcerver and Blondel, *Sparsity-Constrained Optimal Transport*, ICLR 2023.
#
# Every target may receive mass from at most $k$ sources. This notebook builds the method from its objective, shows
# where its plan misses a marginal and why, compares it with POT, and ends in the paper's figures.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab import figures, ot
from lab.numerics import Chunked
from lab.ot import mixture, routing
from lab.ot.bounds import duality_gap
from lab.ot.exact import linear_program
from lab.studies import SparseOT, draw

hv.output(size=100)
pictures = SparseOT.pictures

# %% [markdown]
# ## The problem
#
# $$ \min_{T \in U(a,b)} \langle T, C\rangle + \sum_j \Omega(t_j), \qquad
# \Omega(t) = \tfrac{\gamma}{2}\|t\|_2^2 \text{ if } \|t\|_0 \le k, \ +\infty \text{ otherwise,} $$
#
# over the plans with row sums $a$ and column sums $b$. The paper's 1-D example moves one bump to two on 32 bins. The
# bars at the sides are the masses that are asked for, and the line on them what the plan sums to.

# %%
study = SparseOT(data="one-bump-to-two", k=2, gamma=1.0)
result = lab.run(study)
pictures.plan(result)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result

# %%
result.attrs["advice"]

# %% [markdown]
# ## What is solved: the semi-dual
#
# $$ D(\alpha) = \alpha^\top a - \sum_j \max_{t \ge 0,\ \mathbf 1^\top t = b_j,\ \|t\|_0 \le k}
# (\alpha - c_j)^\top t - \tfrac\gamma2\|t\|^2 $$
#
# is concave. The maximizer in each column is the projection of $(\alpha - c_j)/\gamma$ on the $k$-sparse part of the
# simplex of total $b_j$. So the columns of the plan sum to $b$ at *any* $\alpha$, and never have more than $k$
# nonzeros:

# %%
arrays = study.load().arrays
problem = ot.problem(arrays["cost"], arrays["a"], arrays["b"])
regularizer = ot.KSparse(gamma=1.0, k=2)
alpha = 0.1 * jax.random.normal(jax.random.key(0), problem.a.shape)

anywhere = ot.semi_dual(problem, regularizer, alpha)
found, (_, a, b) = np.asarray(anywhere.plan), (np.asarray(values) for values in problem)
print("error of the columns      ", abs(found.sum(0) - b).max())
print("most nonzeros in a column ", (found > 0).sum(0).max())

# %% [markdown]
# The gradient of $D$ is the error of the rows, $a - T\mathbf 1$; and the full dual, in $\alpha$ and $\beta$, has the
# same value at the $\beta$ that goes with $\alpha$.

# %%
gradient = jax.jit(jax.grad(lambda alpha: ot.semi_dual(problem, regularizer, alpha).value))(alpha)
print("gradient against row error", abs(gradient - (a - found.sum(1))).max())
print("dual less semi-dual       ", float(ot.dual(problem, regularizer, alpha, anywhere.beta).value - anywhere.value))

# %% [markdown]
# ## What is solved really: the biconjugate
#
# The primal is not convex, so there may be a duality gap. The dual solves the relaxed problem in which half the
# squared $k$-support norm takes the place of $\Omega$. Its optimal plan meets both marginals. Where it has more than
# $k$ nonzeros in a column, sources tie for the $k$-th place there, and the $k$-sparse plan of the dual has no zero gradient:
# it misses the rows however long one iterates. Other 2-sparse plans satisfy both marginals here; the dual does not find them.

# %%
relaxed = lab.run(study.but(plan="relaxed"))
pictures.plan(relaxed)

# %%
pd.DataFrame(
    {
        name: {key: run[key].item() for key in ("value", "transport_cost", "row_error_l1", "max_col_nnz", "n_ties")}
        for name, run in {"k-sparse": result, "relaxed": relaxed}.items()
    }
)

# %% [markdown]
# The relaxed plan also certifies the value. By weak duality no dual value exceeds the relaxed cost of a feasible
# plan, so the distance between the two bounds the distance to the optimum:

# %%
float(duality_gap(problem, relaxed.value.item(), jnp.asarray(relaxed.plan.values), 1.0, 2))

# %% [markdown]
# ## From an assignment to quadratic transport
#
# The value falls from the linear program plus $\frac\gamma2\|b\|^2$ at $k = 1$ to that of quadratic transport, and
# stays there once $k$ reaches the largest support of a column of the quadratic plan. Gray: the bounds that are known
# before solving.

# %%
along_k = study.picture_result(pictures.value)
pictures.value(along_k)

# %% [markdown]
# The L1 row-marginal error of the $k$-sparse plan (red, as a fraction of the mass) falls to zero as $k$ grows.

# %%
pictures.feasibility(along_k)

# %% [markdown]
# The exact value of the linear program is known, so the constant can be checked:

# %%
plane = SparseOT(data="gaussians-2d", n=32, k=1, gamma=1.0).run()
plane.value.item() - 0.5 * float(plane.b @ plane.b) - plane.lp.item()

# %% [markdown]
# ## Solvers
#
# L-BFGS stalls at the kinks of the objective when $k$ is small. The ladder lowers $k$ step by step, each rung started
# from the one above. The default, a proximal Newton method on the semi-dual, finds the potentials and the relaxed plan
# together. (`pictures.convergence` of `study.picture_result(pictures.convergence)` has ADAM and the dual as well.)

# %%
runs = {name: study.but(solver=name).run() for name in ("lbfgs", "ladder")} | {"newton": result}
best = max(float(run.history.max()) for run in runs.values())
draw.convergence(
    {name: np.maximum(best - run.history.values, 1e-16) for name, run in runs.items()}, ylabel="below the best value"
)

# %% [markdown]
# ## Derivatives
#
# By the envelope theorem the potentials are prices: $\partial V/\partial b = \beta$, up to a constant, because the
# total must stay. Move a little mass between two targets, solve again, and compare.

# %%
smooth = ot.KSparse(gamma=1.0, k=16)  # no ties here
options = {"tolerance": 1e-10, "loop": Chunked()}  # the study's own loop: nothing new is compiled
step = 1e-5 * (np.eye(32)[8] - np.eye(32)[16])


def value(b):
    return ot.solve(problem._replace(b=b), smooth, **options).value


price = jax.grad(value)(problem.b)
print("by the envelope theorem  ", float(price[8] - price[16]))
print("by two more solves       ", float((value(problem.b + step) - value(problem.b - step)) / 2e-5))

# %% [markdown]
# The plan is differentiated by the implicit function theorem, never through the iterations. Here is its whole
# derivative when mass moves between these two targets: the plan gives way along its support.


# %%
def plan(b):
    return ot.solve(problem._replace(b=b), smooth, **options).plan()


_, change = jax.jvp(plan, (problem.b,), (jnp.asarray(step / 1e-5),))
differences = (np.asarray(plan(problem.b + step)) - np.asarray(plan(problem.b - step))) / 2e-5
print("against finite differences", abs(change - differences).max())
draw.heatmap(change, xlabel="target bin", ylabel="source bin", clabel="change of mass", signed=True)

# %% [markdown]
# ## Colours of two photographs
#
# Real data: each picture is reduced to weighted colours, and each colour of the first moves to the mean of where its
# mass goes. Small $k$ keeps colours pure, larger $k$ blends them.

# %%
colours = SparseOT(data="photographs", n=32).along(
    k=[1, 2, 4, 8], keep=["transferred", "source_image", "target_image", "row_error_l1", "transport_cost", "nnz"]
)
pictures.transfer(colours)

# %%
colours[["row_error_l1", "transport_cost", "nnz"]].to_dataframe()

# %%
pictures.links(SparseOT(data="photographs", n=32).run())

# %% [markdown]
# ## Tokens to experts
#
# In a mixture of experts with a hard capacity $k$ each expert picks its $k$ tokens. When each picks by its own gate
# alone, popular tokens are taken several times and others by no one. Transport, with the token masses as constraint,
# leaves few.

# %%
routed = lab.run(SparseOT.preset("routing"))
pictures.routing(routed)

# %%
gates = jnp.asarray(routed.gates.values)
k = routing.capacity(*gates.shape, factor=1.0)
table = {"top k": routing.top_k_routing(gates, k), "Sinkhorn": routing.sinkhorn_routing(gates, k)}
table |= {f"k-sparse OT, {n} steps": routing.sparse_ot_routing(gates, k, iterations=n) for n in (20, 100, 1000)}
told = {name: routing.statistics(gates, made) for name, made in table.items()}
pd.DataFrame(
    {name: {"without expert": float(s.uncovered), "gate mass kept": float(s.gate_mass)} for name, s in told.items()}
).T

# %% [markdown]
# A small mixture of four experts on handwritten digits, trained with two of the routers. The paper's networks are
# out of reach here; what can be seen is how many tokens each router leaves out on the way.

# %%
from lab.datasets.packaged import labelled_images

images, classes = labelled_images("digits")
order = np.random.default_rng(0).permutation(len(images))
x, y = jnp.asarray(images[order] / 16), jnp.asarray(classes[order].astype(int))
train, test = mixture.Labelled(x[:1280], y[:1280]), mixture.Labelled(x[1280:], y[1280:])
histories = {}
for router in ("top-k", "sparse-ot"):
    settings = mixture.Settings(router=router, epochs=5)
    _, histories[router] = jax.jit(mixture.train, static_argnums=3, static_argnames="classes")(
        jax.random.key(0), train, test, settings, classes=10
    )
pd.DataFrame(
    {
        router: {"test accuracy": float(h.accuracy[-1]), "training tokens without expert": float(h.uncovered[-1])}
        for router, h in histories.items()
    }
).T

# %%
draw.convergence(
    {router: np.asarray(h.uncovered) for router, h in histories.items()},
    xlabel="epoch",
    ylabel="tokens without expert",
    log=False,
)

# %% [markdown]
# ## Compared with POT
#
# POT maximizes the same semi-dual by L-BFGS-B. It is run here with its defaults; it prints at every evaluation, which
# is silenced. Our time is that of the whole run without compilation. A higher value is better: both are lower bounds of
# one optimum.

# %%
import ot as pot


def by_pot(problem, gamma, k):
    cost, a, b = map(np.asarray, problem)
    began = time.perf_counter()
    with redirect_stdout(StringIO()):
        plan = pot.smooth.smooth_ot_semi_dual(a, b, cost, gamma, reg_type="sparsity_constrained", max_nz=k, log=True)
    return plan[0], plan[1]["alpha"], time.perf_counter() - began


rows = []
for name, seen in (("one-bump-to-two", study), ("photographs", SparseOT(data="photographs", n=32))):
    data = seen.load().arrays
    masses = data["a"], data["b"]
    here = ot.problem(data["cost"], *masses) if "cost" in data else ot.from_points(data["x"], data["y"], *masses)
    for k in (2, 8):
        ours = seen.but(k=k).run()
        plan_of_pot, alpha_of_pot, seconds_of_pot = by_pot(here, 1.0, k)
        theirs = ot.semi_dual(here, ot.KSparse(1.0, k), jnp.asarray(alpha_of_pot))
        for who, value, plan, spent in (
            ("lab", ours.value, ours.plan.values, ours.attrs["run_seconds"]),
            ("POT", theirs.value, plan_of_pot, seconds_of_pot),
        ):
            error = abs(plan.sum(1) - masses[0]).sum()
            rows.append(
                {
                    "data": f"{name}, n = {len(masses[0])}",
                    "k": k,
                    "by": who,
                    "value": float(value),
                    "row error": error,
                    "milliseconds": 1e3 * spent,
                }
            )
pd.DataFrame(rows).set_index(["data", "k", "by"])

# %% [markdown]
# The linear program behind them all, exact:

# %%
float(linear_program(problem).value)

# %% [markdown]
# ## The paper's figures
#
# Four regularizations of the 1-D example, side by side, and the links between two clouds, of 32 points here. Exported
# figures are vector graphics at the width of a journal's column, and carry their recipe: `lab reproduce FILE` computes
# them again.

# %%
one_dimensional = SparseOT.preset("figure-1d")
panels = one_dimensional.picture_result(pictures.paper_plans)
pictures.paper_plans(panels)

# %%
clouds = SparseOT.preset("figure-2d").but(n=32)
entropic = clouds.but(regularizer="entropic", gamma=0.1).run()
pictures.links(entropic)

# %%
sparse = clouds.run()
pictures.links(sparse)

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.paper_plans, panels, folder / "plans.pdf", width="text")
figures.export_picture(pictures.links, sparse, folder / "links.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $k$ and $\gamma$, drag the points, bring your own data.
# `lab verify sparse-ot` measures what the paper and mathematics claim, one by one.
