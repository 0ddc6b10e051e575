"""Solve sparsity-constrained transport and describe the plan."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, UInt8

from lab import ot
from lab.numerics import Loop
from lab.ot.bounds import bounds, effective_strength
from lab.ot.plans import recoloured
from lab.ot.traces import best_so_far
from lab.studies.contract import Mood, Outputs, Run, out

DENSE = 1 << 22  # entries up to which a result holds the plan as a matrix, and the linear program is solved


def holds(error: float, result: xr.Dataset) -> Mood:
    """Whether a marginal is satisfied to the tolerance of the run, and to 0.01% of the mass where that is loose."""
    tolerance = json.loads(result.attrs["parameters"])["tolerance"] if "parameters" in result.attrs else 1e-6
    return "good" if error <= min(max(tolerance, 1e-9), 1e-4) * float(result.a.sum()) else "warn"


_TOO_LARGE = "these data are too large for their linear program"
_NO_POINTS = "these data have no points, only a cost"
_NO_PICTURES = "these data do not come from two pictures"
_EMPTY = "points without mass have no finite potential"
_WHOLE = "a small plan is stored as a matrix"


class Experiment(Outputs):
    """One transport problem, solved."""

    value: Float[Array, ""] = out("optimal value", "optimum of the dual, that is of the relaxed problem", headline=True)
    transport_cost: Float[Array, ""] = out("transport cost", "inner product of plan and cost", headline=True)
    row_error_l1: Float[Array, ""] = out(
        "L1 row-marginal error",
        "distance of the row sums of the plan from the source masses",
        headline=True,
        judge=holds,
    )
    column_error_l1: Float[Array, ""] = out(
        "L1 column-marginal error", "distance of the column sums from the target masses", headline=True, judge=holds
    )
    nnz: Int[Array, ""] = out("nonzeros", "entries of the plan that carry mass", headline=True)
    max_col_nnz: Int[Array, ""] = out("most in a column", "largest number of nonzeros in a column of the plan")
    max_row_nnz: Int[Array, ""] = out("most in a row", "largest number of nonzeros in a row of the plan")
    n_ties: Int[Array, ""] = out(
        "ties",
        "columns (rows) whose k-th and next score are equal: there the plan from the dual may miss a marginal",
        headline=True,
        judge=lambda value, result: "warn" if value > 0 else "good",
    )
    converged: Bool[Array, ""] | None = out(
        "dual converged",
        "whether the dual optimum was reached to the tolerance; the plan recovered from it may still miss a marginal",
        headline=True,
        judge=lambda value, result: "good" if value else "warn",
    )
    lp_gap: Float[Array, ""] | None = out(
        "above the linear program", "value minus LP: the cost of the regularization", absent=_TOO_LARGE
    )
    lp: Float[Array, ""] | None = out("linear program", "optimal cost without regularization, exact", absent=_TOO_LARGE)
    lower: Float[Array, ""] | None = out("lower bound", "LP + gamma L, known before solving", absent=_TOO_LARGE)
    upper: Float[Array, ""] | None = out("upper bound", "LP + gamma U, known before solving", absent=_TOO_LARGE)
    strength: Float[Array, ""] | None = out(
        "effective strength",
        "gamma ||b||^2 / |LP|, comparable across sizes and units",
        absent=_TOO_LARGE,
        undefined="all costs are equal",
    )
    plan: Float[Array, "row col"] | None = out(
        "mass", "the transport plan", absent="a large plan is stored by its entries: plan_row, plan_col, plan_value"
    )
    plan_row: Int[Array, " entry"] | None = out("source of the entry", "rows of a large plan's nonzeros", absent=_WHOLE)
    plan_col: Int[Array, " entry"] | None = out(
        "target of the entry", "columns of a large plan's nonzeros", absent=_WHOLE
    )
    plan_value: Float[Array, " entry"] | None = out(
        "mass of the entry", "values of a large plan's nonzeros", absent=_WHOLE
    )
    lp_plan: Float[Array, "row col"] | None = out(
        "mass", "an optimal plan of the linear program", absent="these data are too large"
    )
    alpha: Float[Array, " row"] = out(
        "source potential", "price of one more unit at a source; mean 0", undefined=_EMPTY
    )
    beta: Float[Array, " col"] = out("target potential", "price of one more unit at a target", undefined=_EMPTY)
    a: Float[Array, " row"] = out("source mass", "mass of each source")
    b: Float[Array, " col"] = out("target mass", "mass that each target receives")
    history: Float[Array, " iteration"] = out("value", "best objective so far, by iteration")
    history_error: Float[Array, " iteration"] = out("L1 marginal error", "error of the marginals, by iteration")
    x: Float[Array, "row axis"] | None = out("source position", "points of the sources", absent=_NO_POINTS)
    y: Float[Array, "col axis"] | None = out("target position", "points of the targets", absent=_NO_POINTS)
    x_plane: Float[Array, "row plane"] | None = out(
        "source in the plane", "sources on two principal axes", absent=_NO_POINTS
    )
    y_plane: Float[Array, "col plane"] | None = out(
        "target in the plane", "targets on two principal axes", absent=_NO_POINTS
    )
    gates: Float[Array, "row col"] | None = out(
        "gate", "how well an expert suits a token", absent="these data have no gates of tokens to experts"
    )
    source_image: UInt8[Array, "source_height source_width channel"] | None = out(
        "source picture", "the source photograph", absent=_NO_PICTURES
    )
    transferred: UInt8[Array, "source_height source_width channel"] | None = out(
        "source picture in the target's colors",
        "each color moved to the mean of the colors that receive its mass",
        absent=_NO_PICTURES,
    )
    target_image: UInt8[Array, "target_height target_width channel"] | None = out(
        "target picture", "the target photograph", absent=_NO_PICTURES
    )


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Solve the dual, recover the plan, and measure it."""
    problem = inputs["problem"]
    init = warm if warm is not None and warm.axis == p.constraint else None
    newton = p.formulation == "semi-dual" and p.solver in ("auto", "newton") and p.regularizer != "entropic"
    if init is None and newton and "prices" in inputs:  # the paper's own solvers start at 0
        init = inputs["prices"][p.constraint == "rows"]
    solution = ot.solve(
        problem,
        _regularizer(p),
        formulation=p.formulation,
        method=p.solver,
        axis=p.constraint,
        tolerance=p.tolerance,
        max_iterations=p.max_iterations,
        init=init,
        loop=loop,
    )
    bare = solution.bare()
    plan = bare.relaxed_plan() if p.regularizer == "k-sparse" and p.plan == "relaxed" else bare.plan()
    found: dict[str, Any] = ot.figures(problem, plan)._asdict()
    if plan.size <= DENSE:
        found["plan"] = plan
    elif not isinstance(plan, Tracer):  # the number of entries is known only on the host
        found["plan_row"], found["plan_col"] = i, j = np.nonzero(np.asarray(plan))
        found["plan_value"] = np.asarray(plan)[i, j]
    if "lp" in inputs:
        found |= {"lp": inputs["lp"], "lp_gap": solution.value - inputs["lp"]}
        found["strength"] = jnp.abs(effective_strength(problem, inputs["lp"], p.gamma))
        if p.regularizer != "entropic":
            turned = problem if p.constraint == "columns" else problem.T
            k = p.k if p.regularizer == "k-sparse" else turned.a.shape[0]
            found["lower"], found["upper"] = bounds(turned, inputs["lp"], p.gamma, k)
    if "source_image" in inputs:
        found["transferred"] = recoloured(plan, inputs["x"], inputs["y"], inputs["source_label"])
    best: Any = best_so_far(solution.trace["value"])  # in NumPy on the host: in JAX, each length is another program
    errors: Any = solution.trace["row_error"]
    passed = ("lp_plan", "x", "y", "x_plane", "y_plane", "gates", "source_image", "target_image")
    outputs = Experiment(
        value=solution.value,
        n_ties=solution.n_ties,
        alpha=solution.alpha,
        beta=solution.beta,
        a=problem.a,
        b=problem.b,
        history=best,
        history_error=errors,
        **found,
        **{name: inputs[name] for name in passed if name in inputs},
    )
    return Run(outputs, solution.reason, solution.iterations, bare)


def _regularizer(p: Any) -> Any:
    if p.regularizer == "entropic":
        return ot.Entropic(p.gamma)
    return ot.Quadratic(p.gamma) if p.regularizer == "quadratic" else ot.KSparse(p.gamma, p.k)
