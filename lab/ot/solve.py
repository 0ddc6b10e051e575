"""The one entry point: problem, regularizer and method in, ``Solution`` out."""

import numbers
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from lab import precision
from lab.choices import check_choice, chosen
from lab.numerics import Loop, pure, tell
from lab.numerics.differentiation import held_constant
from lab.ot import ascent, entropic, marginals, partial, unbalanced
from lab.ot.absent import Present, restored
from lab.ot.derivatives import attach
from lab.ot.exact import linear_program
from lab.ot.geometry import Cloud, from_ott
from lab.ot.marginals import Partial, Unbalanced
from lab.ot.problem import Problem, as_numbers, one
from lab.ot.regularizers import Entropic, Regularizer
from lab.ot.sinkhorn import Sinkhorn
from lab.ot.sinkhorn_newton import SinkhornNewton
from lab.ot.solution import Solution

type Balanced = Literal["auto", "newton", "sinkhorn", "ladder", "lbfgs", "adam"] | str | Sinkhorn | SinkhornNewton
type Relaxing = Literal["auto"] | str | unbalanced.Name
type Method = Balanced | Relaxing


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
        A ``Solution``. Its ``value`` is the exact objective, a lower bound of the optimum whether converged or not.
        Potentials, plan, marginals, costs and value are differentiable in the problem and gamma, see ``Solution``.

    Raises:
        ValueError: an argument outside what is allowed.
        TypeError: a problem, regularizer or marginals of another type, or no regularizer.

    Warns:
        NotConverged: the answer is not the one asked for. Inside ``jit`` and ``vmap``, and where ``loop`` is a
            ``Chunked``, look at ``Solution.converged``.

    Source:
        Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> found = ot.solve(ot.problem(1 - np.eye(2)), ot.Entropic(1 / np.log(3)))
        >>> np.round(found.plan(), 6).tolist()  # 3 : 1, as exp(-cost / gamma)
        [[0.375, 0.125], [0.125, 0.375]]
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
    if isinstance(problem, Problem):
        problem = Problem(*map(_floats, Problem._fields, problem))
    if regularizer is None:
        raise TypeError("no regularizer was given: take Entropic(gamma), Quadratic(gamma) or KSparse(gamma, k)")
    if isinstance(problem, Problem) and isinstance(regularizer, Regularizer):
        regularizer.check_rounding(problem)
    if marginals is not None:
        found = _relax(
            problem, regularizer, marginals, formulation, method, axis, tolerance, max_iterations, init, loop
        )
    else:
        # solved without derivatives, with the values that are known, and differentiable by the optimum that was found
        fixed, strength = held_constant((problem, regularizer))
        found = _balance(fixed, strength, formulation, method, axis, tolerance, max_iterations, init, loop)
        found = attach(found, problem, regularizer)
    if loop is pure:
        tell("lab.ot.solve", found.reason, found.iterations)
    return found


def _floats(name: str, given: Any) -> Any:
    """Arrays in at least single precision as they are, of anything else numbers."""
    dtype = getattr(given, "dtype", None)
    usable = isinstance(given, jax.Array | np.ndarray) and dtype in (jnp.float32, jnp.float64)
    return given if usable else as_numbers(name, given)


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
        problem,
        regularizer,
        **asked._asdict(),
        method=name,
        tolerance=tolerance,
        max_iterations=max_iterations,
        init=init,
        loop=loop,
    )
    return replace(found, why=why)


def _balance(problem, regularizer, formulation, method, axis, tolerance, max_iterations, init, loop) -> Solution:
    ran = _check_choices(formulation, method, regularizer)
    ascends = not isinstance(regularizer, Entropic) or ran in ("ladder", "lbfgs", "adam")
    if ascends and (present := Present.of(problem)):  # each point needs a mass
        part = present.part(problem)
        given = regularizer.limited(part.cost.shape[0 if axis == "columns" else 1])
        start = present.start(init, axis)
        found = _balance(part, given, formulation, method, axis, tolerance, max_iterations, start, loop)
        return restored(problem, regularizer, present, found)
    tolerance = regularizer.reachable(1e-6, problem) if tolerance is None else tolerance
    side = problem if axis == "columns" else problem.T
    if isinstance(side, Problem):
        one(side)
    regularizer.check(side.a.shape[0], "rows m" if axis == "columns" else "columns n")
    dtype = side.a.dtype
    _check_stop(tolerance, max_iterations, dtype)
    regularizer, tolerance = regularizer.cast(dtype), jnp.asarray(tolerance, dtype)
    if isinstance(regularizer, Entropic) and not ascends:
        choice = entropic.choose(side, regularizer, "auto" if method == "auto" else ran)
        return entropic.run(
            problem, regularizer, choice, tolerance, _start(init, side, axis), max_iterations, loop, axis
        )
    if isinstance(problem, Cloud):
        raise ValueError("a cloud has no matrix of costs, which this method needs: use Cloud.dense()")
    start = _start(init, side, axis)
    return ascent.run(problem, regularizer, ran, formulation, tolerance, start, max_iterations, loop, axis)


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


def _check_choices(formulation: str, method: Any, regularizer: Any) -> Any:
    """The method, by its name or as it was configured; its own choice among backends is left to ``entropic``."""
    configured = isinstance(method, Sinkhorn | SinkhornNewton)
    check_choice("method", method, Balanced)
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"the regularizer is {regularizer!r}: give Entropic(gamma), Quadratic(gamma) or KSparse(gamma, k)"
        )
    if (configured or method == "sinkhorn") and not isinstance(regularizer, Entropic):
        raise ValueError(f"{method!r} solves Entropic(gamma) only, not {type(regularizer).__name__}")
    if configured:
        method.check()
        return method
    if method in ("newton", "sinkhorn") and formulation == "dual":
        raise ValueError(
            f"{method} maximises the semi-dual: take formulation='semi-dual', or 'lbfgs', 'adam' or 'ladder'"
        )
    if method == "auto":
        return "newton" if formulation == "semi-dual" else "ladder"
    return method


def _check_stop(tolerance: Any, max_iterations: Any, dtype: Any) -> None:
    if not isinstance(tolerance, Tracer):
        if not float(np.asarray(tolerance)) > 0:
            raise ValueError(f"tolerance = {float(np.asarray(tolerance))}, but it must be positive")
        if dtype != jnp.float64 and float(np.asarray(tolerance)) < 0.99 * precision.REACH:
            raise ValueError(
                f"tolerance = {float(np.asarray(tolerance)):g} with {dtype} costs, which resolve {precision.REACH:g} at best: "
                f"{precision.advice()}, or a tolerance of at least {precision.REACH:g}"
            )
    if max_iterations is not None and not (isinstance(max_iterations, numbers.Integral) and int(max_iterations) >= 1):
        raise ValueError(f"max_iterations = {max_iterations!r}, but it must be a whole number of at least 1")
