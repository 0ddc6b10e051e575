"""Sinkhorn-Newton-Sparse against Sinkhorn's algorithm: what two solves of one entropic problem did, step by step."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.jit import jit
from lab.ot.bounds import sinkhorn_rate
from lab.ot.plans import figures, ranked, spread_ranks
from lab.ot.problem import Problem
from lab.ot.sinkhorn_newton import Absolute, Adaptive, Density, SinkhornNewton
from lab.ot.solution import Solution
from lab.ot.traces import at_counts, padded, per_decade

SOLVERS = ("Sinkhorn-Newton-Sparse", "Sinkhorn")
"""In the order of every axis ``solver``."""
_SPECTRAL = 1024  # points of the smaller side up to which s_2 is computed
_EXP = 10  # multiply-adds that an exponential takes as long as: measured, a pass of either over a matrix
_HALVINGS = 12  # trials of a refused step


class Comparison(NamedTuple):
    """Masses are shares of the total. Of a trace by ``step`` of Sinkhorn-Newton-Sparse; NaN where that was a sweep."""

    newton_steps: Int[Array, ""]
    sinkhorn_sweeps: Int[Array, ""]
    sinkhorn_error: Float[Array, ""]  # L1 error of both marginals where Sinkhorn ended
    work_ratio: Float[Array, ""]  # multiply-adds of Sinkhorn over those of Sinkhorn-Newton-Sparse
    sweeps_per_decade_observed: Float[Array, ""]  # see ``traces.per_decade``
    row_error_l1: Float[Array, ""]
    column_error_l1: Float[Array, ""]
    value: Float[Array, ""]
    duality_gap: Float[Array, ""]  # entropic objective of the plan less the dual value
    transport_cost: Float[Array, ""]
    eta: Float[Array, ""]  # (max c - min c) / epsilon
    cutoff: Float[Array, ""]  # smallest entry that the last Hessian kept
    kept_mass: Float[Array, ""]  # of the entries above it
    err: Float[Array, "solver count"]  # L1 error of both marginals, at ``traces.COUNTS``
    f_gap: Float[Array, "solver count"]  # best dual value of both less that of the iterate
    work: Float[Array, "solver count"]  # multiply-adds so far
    total_work: Float[Array, " solver"]
    history_error: Float[Array, " step"]
    history_gap: Float[Array, " step"]
    history_epsilon: Float[Array, " step"]  # of the level that the ladder has come to
    cg_iters: Float[Array, " step"]
    nnz_row: Float[Array, " step"]  # entries in a row that the Hessian keeps, on average
    dropped_mass: Float[Array, " step"]
    alpha: Float[Array, " step"]  # size of the step, 0 where the line search refused it
    sorted_entry: Float[Array, " rank"]  # at ``plans.spread_ranks``, in units of the mean mass of a row
    mass_beyond: Float[Array, " rank"]
    s2: Float[Array, ""] | None  # of ``bounds.sinkhorn_rate``; None where the smaller side has above 1024 points
    spectral_gap: Float[Array, ""] | None
    sweeps_per_decade: Float[Array, ""] | None


def compare(
    newton: Solution, sinkhorn: Solution, method: SinkhornNewton, tolerance: ArrayLike, steps: int, sweeps: int
) -> Comparison:
    """Describe two solutions of one problem, of which Sinkhorn-Newton-Sparse gives the plan.

    Args:
        newton, sinkhorn: with their traces.
        method: how the first one was found.
        tolerance: of the marginals, for both.
        steps, sweeps: limits of iterations of the one and the other, which size the program.
    """
    traces = padded(newton.trace, steps), padded(sinkhorn.trace, sweeps)
    counts = jnp.asarray(newton.iterations), jnp.asarray(sinkhorn.iterations)
    started = sinkhorn.row_error + sinkhorn.column_error  # of masses as they are
    return _compare(newton.bare(), traces, counts, started, method.threshold, tolerance, method.backend == "dense")


@jit
def _compare(
    solution: Solution, traces, counts, started: ArrayLike, threshold, tolerance: ArrayLike, dense: bool
) -> Comparison:
    problem: Any = solution.problem
    cost, mass, epsilon = problem.cost, problem.a.sum(), jnp.asarray(solution.regularizer.gamma)
    m, n = cost.shape
    plan = solution.plan()
    share = plan / mass
    found = figures(Problem(cost, problem.a / mass, problem.b / mass), share)
    fast, slow = traces
    newton = fast["kept"] > 0
    best = jnp.maximum(jnp.nanmax(fast["value"], initial=-jnp.inf), jnp.nanmax(slow["value"], initial=-jnp.inf))
    gaps = [jnp.maximum(best - trace["value"], 0) for trace in traces]  # NaN stays
    work = newton_work(fast, newton, m, n, dense), 2.0 * m * n * jnp.arange(1, slow["value"].shape[0] + 1)
    start = _EXP * float(m * n)  # of a method that ends there: it has to evaluate it
    total = jnp.stack([jnp.where(k > 0, w[jnp.maximum(k, 1) - 1], start) for w, k in zip(work, counts, strict=True)])
    cutoff, kept = last_hessian(share, fast, newton, threshold, tolerance, dense)
    entropy = jnp.where(plan > 0, plan * jnp.log(jnp.where(plan > 0, plan, 1)), 0).sum()
    moved = (plan * cost).sum()
    entries = ranked(share, spread_ranks(m, n))
    last = jnp.maximum(counts[1], 1) - 1
    # of the optimal plan, which an unfinished run does not have
    rate = [None] * 3
    if min(m, n) <= _SPECTRAL:
        rate = [jnp.where(solution.converged, value, jnp.nan) for value in sinkhorn_rate(share)]

    def by_step(values):
        return jnp.where(newton, values, jnp.nan)

    def of_both(values):
        return jnp.stack([at_counts(rows, count) for rows, count in zip(values, counts, strict=True)])

    return Comparison(
        newton_steps=newton.sum(),
        sinkhorn_sweeps=counts[1],
        sinkhorn_error=jnp.where(counts[1] > 0, slow["residual"][last], started / mass),
        work_ratio=total[1] / total[0],
        sweeps_per_decade_observed=per_decade(slow["residual"], last),
        row_error_l1=found.row_error_l1,
        column_error_l1=found.column_error_l1,
        value=solution.value,
        duality_gap=moved + epsilon * entropy - solution.value,
        transport_cost=moved,
        eta=(cost.max() - cost.min()) / epsilon,
        cutoff=cutoff,
        kept_mass=kept,
        err=of_both([trace["residual"] for trace in traces]),
        f_gap=of_both(gaps),
        work=of_both(work),
        total_work=total,
        history_error=fast["residual"],
        history_gap=gaps[0],
        history_epsilon=fast["epsilon"],
        cg_iters=by_step(fast["inner"]),
        nnz_row=by_step(fast["kept"] / m),
        dropped_mass=by_step(fast["dropped"]),
        alpha=by_step(fast["size"]),
        sorted_entry=entries.entry * m,
        mass_beyond=entries.mass_beyond,
        s2=rate[0],
        spectral_gap=rate[1],
        sweeps_per_decade=rate[2],
    )


def newton_work(
    trace: Mapping[str, Array], newton: Bool[Array, " step"], m: int, n: int, dense: bool
) -> Float[Array, " step"]:
    """Multiply-adds up to each step: passes of exponentials, products with what the Hessian keeps, or its factor.

    Args:
        trace: of ``SinkhornNewton``.
        newton: which steps were no sweeps.
        dense: whether the Hessian was factorized whole.
    """
    size, entries = trace["size"], float(m * n)
    trials = jnp.where(size > 0, 1 + jnp.maximum(-jnp.log2(jnp.where(size > 0, size, 1.0)), 0), _HALVINGS)
    solve = m * m * n + m**3 / 3 if dense else 2 * trace["inner"] * trace["kept"]
    level = jnp.append(trace["epsilon"][:1], trace["epsilon"][:-1])
    passes = jnp.where(newton, trials, 1.0) + (trace["epsilon"] < level)  # a lower level makes the plan again
    step = _EXP * entries * passes + jnp.where(newton, solve + entries, 0.0)
    return _EXP * entries + jnp.cumsum(step)


class Kept(NamedTuple):
    """What a Hessian keeps of a plan of mass 1."""

    cutoff: Float[Array, ""]  # the smallest entry
    mass: Float[Array, ""]


def last_hessian(
    share: Float[Array, "m n"],
    trace: Mapping[str, Array],
    newton: Bool[Array, " step"],
    threshold: Adaptive | Absolute | Density,
    tolerance: ArrayLike,
    dense: bool,
) -> Kept:
    """The threshold of the last Newton step, at the plan that came of it. Arguments as of ``newton_work``."""
    if dense:
        return Kept(jnp.zeros_like(share[0, 0]), jnp.ones_like(share[0, 0]))
    step = newton.shape[0] - 1 - jnp.argmax(newton[::-1])
    error = trace["residual"][jnp.maximum(step - 1, 0)]
    error = jnp.where(newton.any() & jnp.isfinite(error), error, 1.0)
    cutoff = threshold.cutoff(share, error, jnp.asarray(tolerance, share.dtype))
    return Kept(cutoff, jnp.where(share >= cutoff, share, 0).sum())
