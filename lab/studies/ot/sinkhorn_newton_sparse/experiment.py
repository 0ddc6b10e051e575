"""Solve one entropic problem by Sinkhorn-Newton-Sparse and by Sinkhorn's algorithm, and compare their iterations and work."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lab import ot
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.ot.bounds import cost_unit, sinkhorn_rate
from lab.ot.plans import figures, ranked, spread_ranks
from lab.ot.problem import Problem
from lab.ot.solution import Solution
from lab.ot.traces import EXPONENTIAL, at_counts, newton_work, padded, per_decade
from lab.studies.contract import Outputs, Run, out

SOLVERS = ("Sinkhorn-Newton-Sparse", "Sinkhorn")  # in the order of the dimension solver
_DENSE = 1 << 22  # entries up to which a result holds the plan
_SPECTRAL = 1024  # points of the smaller side up to which s₂ is computed
_NO_SPECTRUM = "s₂ is computed up to 1024 points of the smaller side"
_EMPTY = "points without mass have no finite price"
_FELL = "the error did not fall through a decade in Sinkhorn's sweeps"


class Experiment(Outputs):
    """Both methods on one problem; the plan is Sinkhorn-Newton-Sparse's. Masses and errors are fractions of the total."""

    newton_steps: Int[Array, ""] = out("Newton steps", "Newton steps at all levels of ε", headline=True)
    iterations: Int[Array, ""] | None = out("iterations", "Newton steps and sweeps of the method", headline=True)
    sinkhorn_sweeps: Int[Array, ""] = out("Sinkhorn sweeps", "iterations of the baseline", headline=True)
    sinkhorn_error: Float[Array, ""] = out(
        "Sinkhorn's error", "L1 error of both marginals at the baseline's last sweep"
    )
    work_ratio: Float[Array, ""] = out(
        "work saved",
        "multiply-adds of Sinkhorn over those of Sinkhorn-Newton-Sparse, an exponential counted as 10; "
        "a lower bound where Sinkhorn met its limit",
    )
    s2: Float[Array, ""] | None = out(
        "s₂", "second singular value of the plan scaled to unit row and column sums", absent=_NO_SPECTRUM
    )
    spectral_gap: Float[Array, ""] | None = out(
        "1 − s₂²", "fraction of the error that a sweep removes", headline=True, absent=_NO_SPECTRUM
    )
    sweeps_per_decade: Float[Array, ""] | None = out(
        "predicted sweeps per decade", "ln 10 over −ln s₂²: plain sweeps for a tenth of the error", absent=_NO_SPECTRUM
    )
    sweeps_per_decade_observed: Float[Array, ""] = out(
        "observed sweeps per decade", "over the last decade of the error", undefined=_FELL
    )
    row_error_l1: Float[Array, ""] = out(
        "L1 row-marginal error", "L1 distance of the row sums from the source masses", headline=True
    )
    value: Float[Array, ""] = out("optimal value", "optimum of the dual")
    duality_gap: Float[Array, ""] = out("duality gap", "entropic objective of the plan minus the dual value")
    transport_cost: Float[Array, ""] = out("transport cost", "inner product of plan and cost", headline=True)
    eta: Float[Array, ""] = out("η", "range of the cost over ε; 1200 in the paper", headline=True)
    converged: Bool[Array, ""] | None = out(
        "converged",
        "whether Newton's marginal error is below the tolerance",
        headline=True,
        judge=lambda value, result: "good" if value else "warn",
    )
    cutoff: Float[Array, ""] = out("threshold", "smallest entry that the last Hessian kept", unit="mass")
    err: Float[Array, "solver count"] = out("L1 marginal error", "error of both marginals, by iteration")
    f_gap: Float[Array, "solver count"] = out("optimality gap", "best dual value minus the iterate's, by iteration")
    total_work: Float[Array, " solver"] = out("multiply-adds", "total work, an exponential counted as 10")
    history_error: Float[Array, " iteration"] = out("L1 marginal error", "of Sinkhorn-Newton-Sparse, by step")
    history_epsilon: Float[Array, " iteration"] = out("ε of the level", "current level of the ε scaling, by step")
    cg_iters: Float[Array, " iteration"] = out("CG iterations", "of each Newton step; NaN for a sweep")
    nnz_row: Float[Array, " iteration"] = out("entries per row", "kept by the Hessian, on average; NaN for a sweep")
    dropped_mass: Float[Array, " iteration"] = out("dropped mass", "dropped by the Hessian; NaN for a sweep")
    alpha: Float[Array, " iteration"] = out("step size", "of the line search, 0 where it failed; NaN for a sweep")
    sorted_entry: Float[Array, " rank"] = out(
        "entry over row mass", "entries in decreasing order, over the mean row mass"
    )
    plan: Float[Array, "row col"] | None = out(
        "mass", "the transport plan", absent="the plan is too large to be stored: choose fewer points"
    )
    row_potential: Float[Array, " row"] = out(
        "source potential", "price of one more unit at a source; mean 0", undefined=_EMPTY
    )
    column_potential: Float[Array, " col"] = out(
        "target potential", "price of one more unit at a target", undefined=_EMPTY
    )
    a: Float[Array, " row"] = out("source mass", "mass of each source")
    b: Float[Array, " col"] = out("target mass", "mass that each target receives")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Solve by both methods from zero. Without warm starts, since iterations are counted."""
    problem = inputs[p.ground]
    threshold = {
        "adaptive": lambda: ot.Adaptive(p.theta),
        "entries": lambda: ot.Density(p.per_row / problem.b.shape[0]),
        "absolute": lambda: ot.Absolute(p.rho),
    }[p.threshold]()
    newton = ot.SinkhornNewton(p.backend, threshold, p.sweeps, p.ladder, p.per_column)
    sinkhorn = {
        "plain": ot.Sinkhorn("kernel", 1.0, memory=0, ladder=False),
        "relaxed": ot.Sinkhorn("kernel", "auto", memory=0, ladder=False),
        "anderson": ot.Sinkhorn("kernel"),
    }[p.baseline]
    entropic = ot.Entropic(p.epsilon * cost_unit(problem.cost, p.cost_unit))
    solved = partial(ot.solve, problem, entropic, tolerance=p.tolerance, loop=loop)
    fast = solved(method=newton, max_iterations=p.max_iterations)
    slow = solved(method=sinkhorn, max_iterations=p.max_sweeps)
    traces = padded(fast.trace, p.max_iterations), padded(slow.trace, p.max_sweeps)
    counts = jnp.asarray(fast.iterations), jnp.asarray(slow.iterations)
    started, dense = slow.row_error + slow.column_error, newton.backend == "dense"
    found = _compared(fast.bare(), traces, counts, started, newton.threshold, p.tolerance, dense)
    if problem.cost.size <= _DENSE:
        found["plan"] = fast.bare().plan()
    prices = {"row_potential": fast.alpha, "column_potential": fast.beta}
    reason = jnp.where(jnp.asarray(slow.reason) == Reason.STOPPED, Reason.STOPPED, jnp.asarray(fast.reason))
    return Run(Experiment(**found, **prices, a=problem.a, b=problem.b), reason, fast.iterations)


@jit
def _compared(
    solution: Solution, traces: Any, counts: Any, started: Any, threshold: Any, tolerance: Any, dense: bool
) -> dict[str, Any]:
    problem: Any = solution.problem
    cost, mass, epsilon = problem.cost, problem.a.sum(), jnp.asarray(solution.regularizer.gamma)
    m, n = cost.shape
    plan = solution.plan()
    share = plan / mass
    fast, slow = traces
    newton = fast["kept"] > 0
    best = jnp.maximum(jnp.nanmax(fast["value"], initial=-jnp.inf), jnp.nanmax(slow["value"], initial=-jnp.inf))
    work = newton_work(fast, newton, m, n, dense), 2.0 * m * n * jnp.arange(1, slow["value"].shape[0] + 1)
    start = EXPONENTIAL * float(m * n)  # a method that stops at its start has evaluated the plan there
    total = jnp.stack([jnp.where(k > 0, w[jnp.maximum(k, 1) - 1], start) for w, k in zip(work, counts, strict=True)])
    entropy = jnp.where(plan > 0, plan * jnp.log(jnp.where(plan > 0, plan, 1)), 0).sum()
    moved = (plan * cost).sum()
    last = jnp.maximum(counts[1], 1) - 1
    rate = {}
    if min(m, n) <= _SPECTRAL:  # of the optimal plan, which an unfinished run does not have
        names = "s2", "spectral_gap", "sweeps_per_decade"
        values = [jnp.where(solution.converged, value, jnp.nan) for value in sinkhorn_rate(share)]
        rate = dict(zip(names, values, strict=True))

    def by_step(values: Array) -> Array:
        return jnp.where(newton, values, jnp.nan)

    def of_both(values: list[Array]) -> Array:
        return jnp.stack([at_counts(rows, count) for rows, count in zip(values, counts, strict=True)])

    return rate | {
        "newton_steps": newton.sum(),
        "sinkhorn_sweeps": counts[1],
        "sinkhorn_error": jnp.where(counts[1] > 0, slow["residual"][last], started / mass),
        "work_ratio": total[1] / total[0],
        "sweeps_per_decade_observed": per_decade(slow["residual"], last),
        "row_error_l1": figures(Problem(cost, problem.a / mass, problem.b / mass), share).row_error_l1,
        "value": solution.value,
        "duality_gap": moved + epsilon * entropy - solution.value,
        "transport_cost": moved,
        "eta": (cost.max() - cost.min()) / epsilon,
        "cutoff": _last_cutoff(share, fast, newton, threshold, tolerance, dense),
        "err": of_both([trace["residual"] for trace in traces]),
        "f_gap": of_both([jnp.maximum(best - trace["value"], 0) for trace in traces]),  # NaN stays
        "total_work": total,
        "history_error": fast["residual"],
        "history_epsilon": fast["epsilon"],
        "cg_iters": by_step(fast["inner"]),
        "nnz_row": by_step(fast["kept"] / m),
        "dropped_mass": by_step(fast["dropped"]),
        "alpha": by_step(fast["size"]),
        "sorted_entry": ranked(share, spread_ranks(m, n)).entry * m,
    }


def _last_cutoff(share: Array, trace: Any, newton: Array, threshold: Any, tolerance: Any, dense: bool) -> Array:
    """The threshold of the last Newton step, at the plan after it."""
    if dense:
        return jnp.zeros_like(share[0, 0])
    step = newton.shape[0] - 1 - jnp.argmax(newton[::-1])
    error = trace["residual"][jnp.maximum(step - 1, 0)]
    error = jnp.where(newton.any() & jnp.isfinite(error), error, 1.0)
    return threshold.cutoff(share, error, jnp.asarray(tolerance, share.dtype))
