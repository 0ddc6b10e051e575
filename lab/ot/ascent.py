r"""Ascent of the dual of a matrix of costs, in units in which costs span 1 and the mass is 1, by any of four methods."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab import precision
from lab.numerics import Loop, Run, pure, tell
from lab.numerics.differentiation import held_constant
from lab.numerics.jit import jit
from lab.ot import entropic, first_order, newton
from lab.ot.operators import nearness, semi_dual, tied_columns
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, KSparse, Regularizer, as_sparse
from lab.ot.rounding import round_plan
from lab.ot.solution import Solution, evaluate, judged
from lab.ot.work import Work

_LIMITS = {"newton": 1000, "ladder": 15_000, "lbfgs": 500, "adam": 2000}
_FINEST = 1e-9  # tolerance of a solve for its relaxed plan


class Ascent(Solution):
    """The answer of ``run``. Newton's state holds the relaxed plan; where another method ran, Newton's goes on from there."""

    def relaxed_optimum(self) -> Float[Array, "m n"]:
        """See ``Solution.relaxed_optimum``."""
        fixed = held_constant(self)
        return _relaxed(fixed) if isinstance(self.state, newton.State) else _further(fixed).relaxed_optimum()


def run(
    problem: Problem,
    regularizer: Regularizer,
    method: str,
    formulation: str,
    tolerance: Array,
    start: Float[Array, " m"] | None,
    max_iterations: int | None,
    loop: Loop,
    axis: str,
) -> Ascent:
    """Solve, and put the answer in the units of the problem. With ``axis="rows"`` the rows are the exact side."""
    side = problem if axis == "columns" else problem.T
    prepared = _prepare(side, regularizer, tolerance, start, formulation, method)
    limit = _LIMITS[method] if max_iterations is None else max_iterations
    ran = loop(_rule(regularizer, method, formulation), prepared, max_iterations=limit)
    return _finish(problem, regularizer, ran, prepared.tolerance, formulation, axis)


def _rule(regularizer: Regularizer, method: str, formulation: str):
    if method == "newton":
        return newton.NEWTON
    if method == "ladder":
        return (first_order.LADDER if isinstance(regularizer, KSparse) else first_order.LBFGS)[formulation]
    return {"lbfgs": first_order.LBFGS, "adam": first_order.ADAM}[method][formulation]


def _units(problem: Problem) -> tuple[Array, Array]:
    """The spread of costs and the mass: in these units methods and tolerances are free of scale."""
    spread = problem.cost.max() - problem.cost.min()
    return jnp.where(spread > 0, spread, 1.0), problem.a.sum()


def _prepare_traced(problem, regularizer, tolerance, start, formulation, method) -> Work:
    problem, regularizer, start = jax.lax.stop_gradient((problem, regularizer, start))
    m = problem.cost.shape[0]
    spread, mass = _units(problem)
    unit = Problem(problem.cost / spread, problem.a / mass, problem.b / mass)
    scaled = regularizer.rescaled(spread, mass).cast(problem.cost.dtype)
    alpha = jnp.zeros_like(problem.a) if start is None else start
    x = alpha / spread
    if formulation == "dual":
        x = jnp.concatenate([x, semi_dual(unit, scaled, x).beta])
    return Work(unit, as_sparse(scaled, m) if method == "newton" else scaled, x, tolerance)


_prepare = jit(_prepare_traced)


def _finish_traced(problem: Problem, regularizer: Regularizer, state, reason, tolerance, formulation: str, axis: str):
    side = problem if axis == "columns" else problem.T
    fixed, fixed_regularizer, state = jax.lax.stop_gradient((side, regularizer, state))
    m = side.a.shape[0]
    spread, mass = _units(fixed)
    best = _point(state) * spread
    alpha, beta = best[:m], best[m:]
    if formulation == "dual":
        beta = beta + fixed_regularizer.shift(mass)
    value, plan, beta = evaluate(fixed, fixed_regularizer, alpha, beta, formulation)
    relaxed = state.relaxed * mass if isinstance(state, newton.State) else plan
    # zero, with the envelope's first derivatives
    penalty = regularizer.relaxed_penalty(relaxed).sum() - fixed_regularizer.relaxed_penalty(relaxed).sum()
    change = ((side.cost - fixed.cost) * relaxed).sum() + alpha @ (side.a - fixed.a) + beta @ (side.b - fixed.b)
    value = value + change + penalty
    row_error = jnp.abs(plan.sum(axis=1) - fixed.a).sum()
    column_error = jnp.abs(plan.sum(axis=0) - fixed.b).sum()
    ties = tied_columns(fixed, fixed_regularizer, alpha, plan, nearness(fixed.cost.dtype) * spread)
    # where columns are tied it is the relaxed plan that holds
    error = jnp.where(ties > 0, 0, row_error + column_error)
    reason = judged(reason, value, error, tolerance * mass)
    if axis == "rows":
        alpha, beta, row_error, column_error = beta, alpha, column_error, row_error
    level = alpha.mean()
    # numbers that are there, or what is fused with them rounds otherwise, and breaks ties otherwise
    alpha, beta = jax.lax.optimization_barrier((alpha - level, beta + level))
    return alpha, beta, value, row_error, column_error, ties, reason


def _point(state) -> Array:
    return state.best if isinstance(state, newton.State) else first_order.point(state)


_finish_jit = jit(_finish_traced)


def _finish(
    problem: Problem, regularizer: Regularizer, run: Run, tolerance: Array, formulation: Any, axis: Any
) -> Ascent:
    alpha, beta, value, row_error, column_error, ties, reason = _finish_jit(
        problem, regularizer, run.state, jnp.asarray(run.reason), tolerance, formulation, axis
    )
    trace = _in_units(problem, regularizer, run)
    return Ascent(
        alpha,
        beta,
        value,
        row_error,
        column_error,
        ties,
        run.iterations,
        reason,
        trace,
        problem,
        regularizer,
        run.state,
        formulation,
        axis,
    )


def _in_units(problem: Problem, regularizer: Regularizer, run: Run) -> dict[str, Any]:
    """The trace in the units of the problem; on the host where it is there, for its length differs by run."""
    spread, mass, level = _scales(problem, regularizer)
    if isinstance(run.trace["value"], np.ndarray):
        spread, mass, level = map(np.asarray, (spread, mass, level))
    scaled = {"value": run.trace["value"] * (spread * mass) + level, "row_error": run.trace["row_error"] * mass}
    return {**run.trace, **scaled}


@jit
def _scales(problem: Problem, regularizer: Regularizer) -> tuple[Array, Array, Array]:
    spread, mass = _units(problem)
    return spread, mass, mass * regularizer.shift(mass)


def _further(solution: Ascent) -> Solution:
    """The solution of Newton's method from the potentials of another's."""
    problem, regularizer, axis = solution.problem, solution.regularizer, solution.axis
    assert isinstance(problem, Problem)
    alpha = solution.alpha if axis == "columns" else solution.beta
    tolerance = jnp.asarray(precision.reachable(_FINEST, alpha.dtype), alpha.dtype)
    start = alpha - alpha.mean()
    if isinstance(regularizer, Entropic):
        choice = entropic.choose(problem if axis == "columns" else problem.T, regularizer, "auto")
        found = entropic.run(problem, regularizer, choice, tolerance, start, None, pure, axis)
    else:
        found = run(problem, regularizer, "newton", "semi-dual", tolerance, start, None, pure, axis)
    tell("lab.ot.solve", found.reason, found.iterations)
    return found


@jit
def _relaxed(solution: Ascent) -> Array:
    state: Any = solution.state
    plan = state.relaxed * solution.problem.a.sum()
    return round_plan(plan if solution.axis == "columns" else plan.T, solution.problem.a, solution.problem.b)
