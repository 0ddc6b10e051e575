"""The one entry point: problem, regularizer and method in, ``Solution`` out."""

import numbers
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab import precision
from lab.choices import check_choice, check_choices, chosen
from lab.numerics import Loop, Run, pure, tell
from lab.ot import entropic, first_order, marginals, newton, partial, sinkhorn, sinkhorn_newton, unbalanced
from lab.ot.absent import Part, Present, limited, restored
from lab.ot.exact import linear_program
from lab.ot.geometry import Cloud, from_ott
from lab.ot.marginals import Partial, Unbalanced
from lab.ot.operators import nearness, semi_dual, tied_columns
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, KSparse, Quadratic, Regularizer
from lab.ot.rounding import round_plan
from lab.ot.sinkhorn import Sinkhorn
from lab.ot.sinkhorn_newton import SinkhornNewton
from lab.ot.solution import Solution, evaluate, judged, reachable
from lab.ot.work import Work

type Balanced = Literal["auto", "newton", "sinkhorn", "ladder", "lbfgs", "adam"] | str | Sinkhorn | SinkhornNewton
type Relaxing = Literal["auto"] | str | unbalanced.Name
type Method = Balanced | Relaxing
_LIMITS = {"newton": 1000, "ladder": 15_000, "lbfgs": 500, "adam": 2000}


@chosen
def solve(
    problem: Problem | Cloud | Any,
    regularizer: Regularizer | None = None,
    *,
    marginals: Unbalanced | Partial | None = None,
    formulation: Literal["semi-dual", "dual"] | str = "semi-dual",
    method: Method = "auto",
    axis: Literal["columns", "rows"] | str = "columns",
    tolerance: ArrayLike | None = None,
    max_iterations: int | None = None,
    init: Solution | ArrayLike | Literal["exact"] | None = None,
    loop: Loop = pure,
) -> Solution:
    r"""Solve regularized optimal transport through its dual: balanced, unbalanced or partial.

    $$ \max_\alpha \alpha^\top a - \sum_j \Omega^*_{b_j}(\alpha - c_j)
       \;=\; \min_{T \in U(a,b)} \langle T, C \rangle + \sum_j \Omega^{**}(t_j) . $$

    For ``Entropic`` and ``Quadratic`` the biconjugate is the regularizer. For ``KSparse`` with $k < m$ it is the convex
    relaxation; the plan of the dual has at most k nonzeros in each column, and satisfies the row marginals only where
    no column is tied (``n_ties``).

    Args:
        problem: see ``lab.ot.problem``; may carry a batch only under ``vmap``. For ``Entropic`` also a ``Cloud``, whose
            matrix of costs is never formed, and an ``ott`` geometry or linear problem, as it is.
        regularizer: ``Entropic(gamma)``, ``Quadratic(gamma)`` or ``KSparse(gamma, k)``; its numbers are traced. Of an
            ``ott`` problem its own epsilon when omitted.
        marginals: what they may do beside hold, for ``Entropic``: ``Unbalanced(rows, columns)`` misses them at a price,
            ``Partial(rho, lam)`` moves a share of the mass. ``method`` is then "auto", "newton" or "scaling", ``init``
            the answer to a neighbouring problem, and the answer a ``lab.ot.unbalanced.Relaxed``. Masses of
            different totals, which ``Unbalanced`` serves, come from ``problem(..., balanced=False)``.
        formulation: the semi-dual has m unknowns and exact column sums at every iterate. The dual has m + n unknowns,
            and is there to be compared.
        method: ``newton`` (default of the semi-dual) finds the optimum to high accuracy for every k, in time
            O(m^2 n + m^3) and memory O(m n + m^2) an iteration. ``ladder`` (default of the dual), ``lbfgs`` and ``adam``
            take O(m n) an iteration and stall at kinks for small k. For ``Entropic``, ``newton`` is
            ``SinkhornNewton()`` and ``sinkhorn`` is ``Sinkhorn()``, which may be given with other settings; ``auto``
            takes the latter for clouds and where gamma is at least 0.05 of the mean cost, else the former, with a
            backend by size and device. ``Solution.method`` and ``.why`` say what ran.
        axis: whose nonzeros k bounds. Rows: the transposed problem is solved, and its answer transposed.
        tolerance: 1e-6 when omitted, of relaxed marginals 1e-10, in float32 1e-5; with ``Entropic`` what rounding leaves of a
            plan where that is more, 4 u max|c| / gamma with u the machine epsilon, and at most 1e-3.
            It is relative to the total mass for marginals (L1), and to the value for the gap. ``newton`` tests the row
            error and the gap of the feasible relaxed plan to the dual value. The others test the marginal error of
            ``plan()``, which for tied columns never vanishes; they then end with ``Reason.STALLED``.
        max_iterations: static; 1000 for newton, 20000 for sinkhorn, 15000 for ladder, 500 for lbfgs, 2000 for adam when
            omitted.
        init: row potentials (m,), or column potentials (n,) with ``axis="rows"``, or the ``Solution`` of a neighbouring
            problem of the same shape. "exact" solves the linear program without regularization first, on the host, and
            starts at its potentials: a half to a third of the time of ``newton``, above all where gamma is small.
        loop: ``lab.numerics.pure`` (works under ``jit`` and ``vmap``) or a ``lab.numerics.Chunked``.

    Returns:
        A ``Solution``. Its ``value`` is the exact objective, a lower bound of the optimum whether converged or not, and
        is differentiable once in the problem and gamma by the envelope theorem.

    Raises:
        ValueError, TypeError: an argument outside what is allowed.

    Warns:
        NotConverged: the answer is not the one asked for. Inside ``jit`` and ``vmap``, and where ``loop`` is a
            ``Chunked``, look at ``Solution.converged``.

    Source: Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.
    """
    if type(problem).__module__.split(".")[0] == "ott":
        problem, epsilon, relaxed = from_ott(problem)
        marginals = relaxed if marginals is None else marginals
        regularizer = Entropic(epsilon) if regularizer is None else regularizer
        if isinstance(problem, Cloud) and not isinstance(regularizer, Entropic):
            problem = problem.dense()  # which these need
    if not isinstance(problem, Problem | Cloud):
        raise TypeError(
            f"a problem is needed, but {type(problem).__name__} was given: make one by ot.problem(cost, a, b)"
        )
    if regularizer is None:
        raise TypeError("no regularizer was given: take Entropic(gamma), Quadratic(gamma) or KSparse(gamma, k)")
    if isinstance(problem, Problem):
        _check_strength(problem, regularizer)
    if marginals is not None:
        found = _relax(
            problem, regularizer, marginals, formulation, method, axis, tolerance, max_iterations, init, loop
        )
    else:
        found = _balance(problem, regularizer, formulation, method, axis, tolerance, max_iterations, init, loop)
    if loop is pure:
        tell("lab.ot.solve", found.reason, found.iterations)
    return found


def _relax(problem, regularizer, asked, formulation, method, axis, tolerance, max_iterations, init, loop) -> Solution:
    if not isinstance(asked, Unbalanced | Partial):
        raise TypeError(f"marginals = {asked!r}, but Unbalanced(rows, columns), Partial(rho, lam) or None is needed")
    if isinstance(problem, Cloud):
        raise ValueError("a cloud has no matrix of costs, which relaxed marginals need: use Cloud.dense()")
    if formulation != "semi-dual" or axis != "columns":
        raise ValueError("relaxed marginals are solved in the semi-dual, by columns: leave out formulation and axis")
    check_choice("method", method, Relaxing, " with relaxed marginals")
    name, why = marginals.choose(problem.b.shape[-1]) if method == "auto" else (method, "asked for")
    door: Any = unbalanced if isinstance(asked, Unbalanced) else partial
    found = door.solve(
        problem, regularizer, **asked._asdict(), method=name, tolerance=tolerance, max_iterations=max_iterations,
        init=init, loop=loop,
    )  # fmt: skip
    return replace(found, why=why)


def _balance(problem, regularizer, formulation, method, axis, tolerance, max_iterations, init, loop) -> Solution:
    chosen = _check_choices(formulation, method, axis, regularizer)
    takes_absent = isinstance(regularizer, Entropic) and chosen not in ("ladder", "lbfgs", "adam")
    if not takes_absent and (present := Present.of(problem)):
        part = present.part(problem)
        given = limited(regularizer, part.cost.shape[0 if axis == "columns" else 1])
        start = present.start(init, axis)
        found = _balance(part, given, formulation, method, axis, tolerance, max_iterations, start, loop)
        return restored(problem, regularizer, present, found)
    if tolerance is None and isinstance(regularizer, Entropic):
        tolerance = reachable(1e-6, problem, regularizer.gamma)
    elif tolerance is None:
        tolerance = precision.reachable(1e-6, problem.a.dtype)
    side = problem if axis == "columns" else problem.T
    _check(side, regularizer, axis, tolerance, max_iterations)
    dtype = side.a.dtype
    regularizer = _cast(regularizer, dtype)
    assert regularizer is not None
    if isinstance(regularizer, Entropic) and chosen not in ("ladder", "lbfgs", "adam"):
        asked = chosen if method != "auto" else "auto"
        choice = entropic.choose(side, regularizer, asked)
        start = _start(init, side, axis)
        return entropic.run(
            problem, regularizer, choice, jnp.asarray(tolerance, dtype), start, max_iterations, loop, axis
        )
    if isinstance(problem, Cloud):
        raise ValueError("a cloud has no matrix of costs, which this method needs: use Cloud.dense()")
    rule = _rule(regularizer, chosen, formulation)
    prepared = _prepare(side, regularizer, jnp.asarray(tolerance, dtype), _start(init, side, axis), formulation, chosen)
    run = loop(rule, prepared, max_iterations=_LIMITS[chosen] if max_iterations is None else max_iterations)
    return _finish(problem, regularizer, run, prepared.tolerance, formulation, axis)


def _rule(regularizer: Regularizer, method: str, formulation: str):
    if method == "newton":
        return newton.NEWTON
    if method == "ladder":
        return (first_order.LADDER if isinstance(regularizer, KSparse) else first_order.LBFGS)[formulation]
    return {"lbfgs": first_order.LBFGS, "adam": first_order.ADAM}[method][formulation]


def _cast(regularizer: Any, dtype) -> Any:
    gamma = jnp.asarray(regularizer.gamma, dtype)
    if isinstance(regularizer, KSparse):
        return KSparse(gamma, jnp.asarray(regularizer.k, jnp.int32))
    return regularizer._replace(gamma=gamma)


def _units(problem: Problem) -> tuple[Array, Array]:
    """The spread of costs and the mass: in these units methods and tolerances are free of scale."""
    spread = problem.cost.max() - problem.cost.min()
    return jnp.where(spread > 0, spread, 1.0), problem.a.sum()


def _start(init: Solution | ArrayLike | str | None, side: Problem | Cloud, axis: str):
    """Row potentials to start from, when there are some."""
    m, n = side.a.shape[0], side.b.shape[0]
    if init is None:
        return None
    if isinstance(init, str):
        if isinstance(side, Cloud) or isinstance(side.cost, Tracer):
            raise ValueError("init = 'exact' takes a matrix of costs, outside jit: give potentials or a Solution")
        init = linear_program(side, centred=False).alpha
    if isinstance(init, Solution):
        alpha = init.alpha if axis == "columns" else init.beta
        if (init.alpha.shape[0], init.beta.shape[0])[:: 1 if axis == "columns" else -1] != (m, n) or init.axis != axis:
            raise ValueError("init is the solution of a problem of another shape or axis: leave it out")
        alpha = jnp.where(jnp.isfinite(alpha), alpha, 0.0)  # without mass it is infinite
        return alpha - alpha.mean()
    alpha = jnp.asarray(init, side.a.dtype)
    if alpha.shape != (m,):
        raise ValueError(f"init has shape {alpha.shape}, but {m} potentials are needed, shape ({m},)")
    return alpha - alpha.mean()


def _prepare_traced(problem, regularizer, tolerance, start, formulation, method) -> Work:
    problem, regularizer, start = jax.lax.stop_gradient((problem, regularizer, start))
    m = problem.cost.shape[0]
    spread, mass = _units(problem)
    unit = Problem(problem.cost / spread, problem.a / mass, problem.b / mass)
    scaled = _cast(regularizer.rescaled(spread, mass), problem.cost.dtype)
    alpha = jnp.zeros_like(problem.a) if start is None else start
    x = alpha / spread
    if formulation == "dual":
        x = jnp.concatenate([x, semi_dual(unit, scaled, x).beta])
    work = Work(unit, scaled, x, tolerance)
    if method != "newton":
        return work
    return work._replace(regularizer=KSparse(scaled.gamma, jnp.int32(m))) if isinstance(scaled, Quadratic) else work


_prepare = jax.jit(_prepare_traced, static_argnums=(4, 5))


def _finish_traced(problem: Problem, regularizer: Regularizer, state, reason, tolerance, formulation: str, axis: str):
    side = problem if axis == "columns" else problem.T
    fixed, fixed_regularizer, state = jax.lax.stop_gradient((side, regularizer, state))
    m = side.a.shape[0]
    spread, mass = _units(fixed)
    best = _point(state) * spread
    alpha, beta = best[:m], best[m:]
    if formulation == "dual" and isinstance(fixed_regularizer, Entropic):
        beta = beta + fixed_regularizer.gamma * jnp.log(mass)  # its plan is exponential in the potentials
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


_finish_jit = jax.jit(_finish_traced, static_argnums=(5, 6))


def _finish(
    problem: Problem, regularizer: Regularizer, run: Run, tolerance: Array, formulation: Any, axis: Any
) -> Solution:
    alpha, beta, value, row_error, column_error, ties, reason = _finish_jit(
        problem, regularizer, run.state, run.reason, tolerance, formulation, axis
    )
    trace = _in_units(problem, regularizer, run)
    return Solution(
        alpha, beta, value, row_error, column_error, ties, run.iterations, reason, trace,
        problem, regularizer, run.state, formulation, axis,
    )  # fmt: skip


def _in_units(problem: Problem, regularizer: Regularizer, run: Run) -> dict[str, Any]:
    """The trace in the units of the problem; on the host where it is there, for its length differs by run."""
    spread, mass, level = _scales(problem, regularizer)
    if isinstance(run.trace["value"], np.ndarray):
        spread, mass, level = map(np.asarray, (spread, mass, level))
    scaled = {"value": run.trace["value"] * (spread * mass) + level, "row_error": run.trace["row_error"] * mass}
    return {**run.trace, **scaled}


@jax.jit
def _scales(problem: Problem, regularizer: Regularizer) -> tuple[Array, Array, Array]:
    spread, mass = _units(problem)
    # the entropy of a plan of other mass has a term of its own
    level = regularizer.gamma * mass * jnp.log(mass) if isinstance(regularizer, Entropic) else jnp.zeros_like(mass)
    return spread, mass, jnp.asarray(level)


def relaxed_plan(solution: Solution) -> Float[Array, "m n"]:
    """A feasible plan of the relaxation; see ``Solution.relaxed_plan``."""
    if isinstance(solution.state, Part):
        return solution.state.present.whole(relaxed_plan(solution.state.solution))
    if not isinstance(solution.state, newton.State | sinkhorn.State | sinkhorn_newton.State):
        problem, regularizer, axis = solution.problem, solution.regularizer, solution.axis
        alpha = solution.alpha if axis == "columns" else solution.beta
        solution = solve(problem, regularizer, axis=axis, init=alpha, tolerance=_finest(problem.cost.dtype))  # type: ignore[arg-type]
    return _relaxed(solution)


@jax.jit
def _relaxed(solution: Solution) -> Array:
    plan = solution.plan()
    if isinstance(solution.state, newton.State):
        t = solution.state.relaxed * solution.problem.a.sum()
        plan = t if solution.axis == "columns" else t.T
    return round_plan(plan, solution.problem.a, solution.problem.b)


def _finest(dtype) -> float:
    return precision.reachable(1e-9, dtype)


def _check_choices(formulation: str, method: Any, axis: str, regularizer: Any) -> Any:
    configured = isinstance(method, Sinkhorn | SinkhornNewton)
    check_choice("method", method, Balanced)
    if not isinstance(regularizer, Entropic | Quadratic | KSparse):
        raise TypeError(
            f"the regularizer is {regularizer!r}: give Entropic(gamma), Quadratic(gamma) or KSparse(gamma, k)"
        )
    if (configured or method == "sinkhorn") and not isinstance(regularizer, Entropic):
        raise ValueError(f"{method!r} solves Entropic(gamma) only, not {type(regularizer).__name__}")
    if configured:
        return _checked(method)
    if method in ("newton", "sinkhorn") and formulation == "dual":
        raise ValueError(
            f"{method} maximises the semi-dual: take formulation='semi-dual', or 'lbfgs', 'adam' or 'ladder'"
        )
    if method == "auto":
        return "newton" if formulation == "semi-dual" else "ladder"
    return method


def _checked(method: Sinkhorn | SinkhornNewton) -> Sinkhorn | SinkhornNewton:
    def within(name, value, fine, allowed):
        if not _traced(value) and not fine(value):
            raise ValueError(f"{name} = {value!r}, but it must be {allowed}")

    if isinstance(method, Sinkhorn):
        omega, memory = method.relaxation, method.memory
        check_choices(method)
        within(
            "memory", memory, lambda k: isinstance(k, numbers.Integral) and int(k) >= 0, "a whole number, 0 for none"
        )
        if not _traced(omega):
            within("relaxation", omega, lambda w: w == "auto" or 1 <= float(w) < 2, "in [1, 2) or 'auto'")
            if memory and omega != 1:
                raise ValueError(f"relaxation = {omega!r} with memory = {memory}: over-relaxation needs memory=0")
        return method
    check_choices(method)
    within(
        "width", method.width, lambda w: isinstance(w, numbers.Integral) and int(w) >= 1, "a whole number of at least 1"
    )
    within("sweeps", method.sweeps, lambda w: int(w) >= 0, "at least 0")
    for number in method.threshold:
        within("threshold", number, lambda x: float(x) >= 0, "of numbers that are not negative")
    return method


def _check(problem: Problem | Cloud, regularizer: Any, axis: str, tolerance: Any, max_iterations: Any) -> None:
    if isinstance(problem, Problem) and problem.cost.ndim != 2:
        raise ValueError(
            f"the cost has shape {problem.cost.shape}: one problem (m, n) is solved, use jax.vmap for batches"
        )
    m, dtype = problem.a.shape[0], problem.a.dtype
    if isinstance(regularizer, KSparse):
        k = regularizer.k
        if isinstance(k, bool) or not (isinstance(k, numbers.Integral) or _is_integer_array(k)):
            raise TypeError(f"k = {k!r}, but it must be an integer: a number of nonzeros")
        if not _traced(k) and not (np.all(np.asarray(k) >= 1) and np.all(np.asarray(k) <= m)):
            what = "rows m" if axis == "columns" else "columns n"
            raise ValueError(f"k = {int(np.asarray(k))} with {what} = {m}: k must be between 1 and {m}")
    gamma = regularizer.gamma
    if not _traced(gamma) and not (np.all(np.asarray(gamma) > 0) and np.all(np.isfinite(np.asarray(gamma)))):
        raise ValueError(f"gamma = {float(np.asarray(gamma))}, but it must be positive and finite")
    if not _traced(tolerance):
        if not float(np.asarray(tolerance)) > 0:
            raise ValueError(f"tolerance = {float(np.asarray(tolerance))}, but it must be positive")
        if dtype != jnp.float64 and float(np.asarray(tolerance)) < 0.99 * precision.REACH:
            raise ValueError(
                f"tolerance = {float(np.asarray(tolerance)):g} with {dtype} costs, which resolve {precision.REACH:g} at best: "
                f"{precision.advice()}, or a tolerance of at least {precision.REACH:g}"
            )
    if max_iterations is not None and not (isinstance(max_iterations, numbers.Integral) and int(max_iterations) >= 1):
        raise ValueError(f"max_iterations = {max_iterations!r}, but it must be a whole number of at least 1")


def _check_strength(problem: Problem, regularizer: Any) -> None:
    """Refuse a strength that costs round away: no potentials of this precision have a plan, and values may overflow."""
    gamma = getattr(regularizer, "gamma", None)
    if gamma is None or np.ndim(gamma) or _traced(gamma) or any(map(_traced, problem)):
        return
    largest = float(np.abs(np.asarray(problem.cost)).max())
    mass = 1.0 if isinstance(regularizer, Entropic) else float(np.asarray(problem.a).sum())
    strength = float(np.asarray(gamma)) * mass
    if 0 < strength < float(jnp.finfo(problem.cost.dtype).eps) * largest:
        what = "gamma" if isinstance(regularizer, Entropic) else "gamma times the mass"
        raise ValueError(
            f"{what} = {strength:.3g} with costs up to {largest:.3g}, whose rounding in {problem.cost.dtype} is more: divide "
            "the costs by their mean, or give a larger gamma"
        )


def _traced(x: Any) -> bool:
    return isinstance(x, Tracer)


def _is_integer_array(k: Any) -> bool:
    return hasattr(k, "dtype") and jnp.issubdtype(k.dtype, jnp.integer) and jnp.ndim(k) == 0
