r"""Unregularized transport, solved exactly on the host, and with it the k = 1 end of sparsity-constrained transport."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics.differentiation import (
    NotDifferentiableError,
    held_constant,
    is_traced,
    needs_values,
    refuse_derivative,
    without_derivative,
)
from lab.ot.absent import Present
from lab.ot.problem import Problem

type Solver = Literal["auto", "assignment", "network-simplex", "highs"] | str

_CENTRE_LIMIT = 1024  # rows up to which the potentials are centred: m^3 operations, about a second
_TRACED = "Use ot.solve with a small Entropic(gamma) there."
_JUMPS = (
    "plan and potentials of ot.exact.linear_program have no derivative: they jump from vertex to vertex. Differentiate the "
    "value, or use ot.solve with a small Entropic(gamma)"
)
_TIE = 1e-9  # of the range of the cost; the potentials of a vertex are known to about 1e-12 of it


class Exact(NamedTuple):
    """An optimal plan and optimal potentials of the transport linear program."""

    value: Float[Array, ""]
    plan: Float[Array, "m n"]
    alpha: Float[Array, " m"]
    beta: Float[Array, " n"]


class K1(NamedTuple):
    """The exact answer at k = 1. ``plan`` is dense and built on request."""

    value: Float[Array, ""]
    alpha: Float[Array, " m"]
    beta: Float[Array, " n"]
    index: Int[Array, " n"]  # the one source that serves each target
    mass: Float[Array, " n"]  # what it sends: b
    row_error: Float[Array, ""]  # L1
    n_ties: Int[Array, ""]  # targets with more than one best source
    linear_program: Exact  # its plan is the optimal relaxed plan

    @property
    def plan(self) -> Float[Array, "m n"]:
        m, n = self.alpha.shape[0], self.index.shape[0]
        return jnp.zeros((m, n), self.mass.dtype).at[self.index, jnp.arange(n)].set(self.mass)


@chosen
def linear_program(problem: Problem, solver: Solver = "auto", *, centred: bool = True) -> Exact:
    r"""Solve the transport problem without regularization.

    $$ \min_{T \in U(a, b)} \langle T, C \rangle
       = \max_{\alpha, \beta} \alpha^\top a + \beta^\top b
       \quad \text{subject to} \quad \alpha_i + \beta_j \le c_{ij} $$

    Runs on the host in float64, outside ``jit`` and ``vmap``; the solution has the dtype of the problem. Under ``grad`` and
    ``jvp`` the value has its first derivatives (envelope theorem): the plan in the cost, the potentials in the masses. Plan
    and potentials jump between vertices, and raise an error when they are differentiated. Up to 1024 sources the
    potentials are the centred ones: among all optimal potentials the mean of the extreme ones, for which
    $\alpha_i + \beta_j = c_{ij}$ only where every optimal pair has it. They have mean(alpha) = 0.

    Args:
        problem: without batch dimensions.
        solver: "assignment" (uniform masses on a square only), "network-simplex" (needs POT), "highs", or
            "auto": the first of these that can be used. Time at m = n = 256: 0.05 s, 0.03 s, 0.7 s of one core.
        centred: False takes any optimal potentials, which saves O(m^3).

    Returns:
        an ``Exact``: the value in units of cost times mass, an optimal plan (m, n), and potentials (m,) and (n,).

    Raises:
        ValueError: a solver that does not fit the problem, or a batch of problems.
        ImportError: "network-simplex" without POT.
        RuntimeError: no solver reached a duality gap of 1e-7 of the cost's range times the mass.
        NotDifferentiableError: inside ``jit`` or ``vmap``.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 3.

    Examples:
        >>> from lab import ot
        >>> found = ot.exact.linear_program(ot.from_points([[0.0], [1.0]], [[2.0], [1.0]], p=2))
        >>> float(found.value), found.plan.tolist()  # in order: 0 to 1, and 1 to 2
        (1.0, [[0.0, 0.5], [0.5, 0.0]])
    """
    held = held_constant(problem)
    if is_traced(held):
        raise NotDifferentiableError(
            f"ot.exact.linear_program computes on the host and cannot be traced by jit or vmap. {_TRACED}"
        )
    found = _linear_program(held, solver, centred)
    if not is_traced(problem):
        return found
    return Exact(_envelope(problem, *found), *without_derivative(found[1:], problem, _JUMPS))


@jax.custom_jvp
def _envelope(problem: Problem, value: Array, plan: Array, alpha: Array, beta: Array) -> Array:
    return value


@_envelope.defjvp
def _envelope_jvp(primals, tangents):
    problem, value, *optimum = primals
    plan, alpha, beta = without_derivative(tuple(optimum), problem, _JUMPS)
    change = tangents[0]
    return value, (plan * change.cost).sum() + alpha @ change.a + beta @ change.b


def _linear_program(problem: Problem, solver: str, centred: bool) -> Exact:
    cost, a, b = (np.asarray(x, np.float64) for x in problem)
    if cost.ndim != 2:
        raise ValueError(f"the cost has shape {cost.shape}, but the exact solver takes one problem (m, n) at a time")
    if present := Present.of(problem):
        found = _linear_program(present.part(problem), solver, centred)
        potentials = present.potentials(problem.cost, found.alpha, found.beta)
        return Exact(found.value, present.whole(found.plan), *potentials)
    b = b * (a.sum() / b.sum())
    square = cost.shape[0] == cost.shape[1] and np.ptp(a) <= 1e-12 * a[0] and np.ptp(b) <= 1e-12 * b[0]
    if solver == "assignment" and not square:
        raise ValueError("the assignment solver needs as many sources as targets, all of equal mass: use 'auto'")

    # Shifted to [0, 1] and to mean mass 1, because the solvers' tolerances are absolute.
    low, scale, unit = cost.min(), np.ptp(cost) or 1.0, a.sum() / max(cost.shape)
    c, p, q = (cost - low) / scale, a / unit, b / unit
    routes = [solver] if solver != "auto" else (["assignment"] if square and centred else ["network-simplex", "highs"])
    for route in routes:
        try:
            plan, alpha = _SOLVERS[route](c, p, q)
        except ImportError:
            if solver != "auto":
                raise ImportError(
                    "the network simplex needs POT: pip install \"transport-lab[oracle]\", or use 'highs'"
                ) from None
            continue
        if centred or alpha is None:
            alpha = _centred(c, plan, alpha)
        beta = (c - alpha[:, None]).min(0)
        if np.sum(plan * c) - alpha @ p - beta @ q <= 1e-7 * p.sum():
            break
    else:
        raise RuntimeError(f"the linear program was not solved to optimality by {' nor '.join(routes)}")

    shift = alpha.mean()
    alpha, beta = (alpha - shift) * scale, (beta + shift) * scale + low
    dtype = problem.cost.dtype
    value, plan = np.sum(plan * cost) * unit, plan * unit
    return Exact(*(jnp.asarray(x, dtype) for x in (value, plan, alpha, beta)))


def vertex_gap(problem: Problem) -> float | Array:
    r"""How much the second best vertex of the transport polytope costs more than the best; 0 where that is not unique.

    $$ \Delta = \min_{(i,j) : T^*_{ij} > 0} \; \min_{T \in U(a, b),\, T_{ij} = 0} \langle T, C\rangle - \langle T^*, C\rangle $$

    A vertex is known by its support, so that every other one lacks an entry of that of $T^*$: one linear program for each,
    at most m + n - 1. On the host, in float64; infinite where there is one vertex only. Differentiable in the cost outside
    ``jit`` and ``vmap``, with both vertices held.

    Args:
        problem: without batch dimensions.

    Returns:
        the gap, in units of cost times mass.

    Raises:
        NotDifferentiableError: under ``jit`` or ``vmap``, or in a derivative with respect to the masses.

    Source:
        Weed, An explicit analysis of the entropic penalty in linear programming, COLT 2018; Tang et al., Accelerating
        Sinkhorn algorithm with sparse Newton iterations, ICLR 2024.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> round(ot.vertex_gap(ot.problem(1 - np.eye(2))), 6)  # the identity costs 0, the exchange 1
        1.0
    """
    gap, change = _vertex_gap(held_constant(problem))
    if not is_traced(problem):
        return gap
    refuse_derivative(
        (problem.a, problem.b),
        "ot.vertex_gap has no derivative in the masses: it jumps where vertices become degenerate",
    )
    return gap + (change * (problem.cost - jax.lax.stop_gradient(problem.cost))).sum()


@needs_values(_TRACED)
def _vertex_gap(problem: Problem) -> tuple[float, np.ndarray]:
    """The gap and the second vertex less the best, 0 where there is one vertex only."""
    best = linear_program(problem, centred=False)
    cost, a, b = (np.asarray(x, np.float64) for x in problem)
    low, scale, unit = cost.min(), np.ptp(cost) or 1.0, a.sum()
    c, p, q = (cost - low) / scale, a / unit, b / b.sum()
    plan = np.asarray(best.plan, np.float64) / unit
    value, second, other = float((plan * c).sum()), np.inf, plan
    for place in np.argwhere(plan > 1e-12 * plan.max()):
        found = _linprog(c, p, q, (int(place[0]), int(place[1])))
        if found.status == 0 and found.fun < second:
            second, other = float(found.fun), found.x.reshape(c.shape)
    return float(np.maximum(second - value, 0.0) * scale * unit), (other - plan) * unit


@needs_values(_TRACED)
def k1(problem: Problem, gamma: float) -> K1:
    r"""The exact solution of k-sparse transport at k = 1, where gamma only shifts the value.

    $$ V_1 = \mathrm{LP} + \tfrac{\gamma}{2} \|b\|_2^2, \qquad
       t_j = b_j\, e_{i(j)}, \quad i(j) = \arg\max_i\, (\alpha_i - c_{ij}), $$

    with optimal potentials $\alpha$ of the linear program: a Laguerre cell assignment when the cost is a squared
    distance. Among equal values the smallest index is taken; a target is tied when two sources agree to 1e-9 of
    the range of the cost. The rows of the plan hold only if no target must be split, hence ``row_error``.

    Args:
        problem: without batch dimensions; as in ``linear_program``.
        gamma: positive strength of the quadratic regularization, in units of cost per mass.

    Returns:
        a ``K1``: the value, potentials (m,) and (n,), the source of each target (n,), and the linear program's answer.

    Source:
        Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> found = ot.exact.k1(ot.problem(1 - np.eye(2)), 4.0)
        >>> found.index.tolist(), round(float(found.value), 6)  # 0 + 4 / 2 (1/4 + 1/4)
        ([0, 1], 1.0)
    """
    lp = linear_program(problem)
    cost, a, b, alpha = (np.asarray(x, np.float64) for x in (*problem, lp.alpha))
    slack = cost - alpha[:, None]
    best = slack <= slack.min(0) + max(_TIE, 4 * np.finfo(lp.alpha.dtype).eps) * (np.ptp(cost) or 1.0)
    index = best.argmax(0)
    rows = np.bincount(index, b, len(a))
    dtype = problem.cost.dtype
    return K1(
        value=jnp.asarray(float(lp.value) + gamma / 2 * (b @ b), dtype),
        alpha=lp.alpha,
        beta=jnp.asarray(slack.min(0) + gamma * b, dtype),
        index=jnp.asarray(index),
        mass=problem.b,
        row_error=jnp.asarray(np.abs(rows - a).sum(), dtype),
        n_ties=jnp.asarray((best.sum(0) > 1).sum()),
        linear_program=lp,
    )


def _assignment(cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
    plan = np.zeros_like(cost)
    plan[rows, columns] = a
    return plan, None


def _network_simplex(cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import ot

    plan, log = ot.emd(a, b, cost, numItermax=10_000_000, log=True)
    return plan, log["u"]


def _linprog(cost: np.ndarray, a: np.ndarray, b: np.ndarray, without: tuple[int, int] | None = None):
    m, n = cost.shape
    rows = scipy.sparse.kron(scipy.sparse.eye_array(m), np.ones((1, n)))
    columns = scipy.sparse.kron(np.ones((1, m)), scipy.sparse.eye_array(n))
    marginals = scipy.sparse.vstack([rows, columns], format="csc")
    most = np.full((m, n), np.inf)
    if without is not None:
        most[without] = 0.0
    bounds = np.stack([np.zeros(m * n), most.ravel()], axis=1)
    # The interior point method with crossover is twice as fast here as the dual simplex.
    return scipy.optimize.linprog(cost.ravel(), A_eq=marginals, b_eq=np.r_[a, b], bounds=bounds, method="highs-ipm")


def _highs(cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    m, n = cost.shape
    found = _linprog(cost, a, b)
    if found.x is None:
        raise RuntimeError(f"HiGHS did not solve the linear program: {found.message}")
    plan = found.x.reshape(m, n)
    return np.where(plan > 1e-12, plan, 0.0), found.eqlin.marginals[:m]


_SOLVERS = {"assignment": _assignment, "network-simplex": _network_simplex, "highs": _highs}


def _centred(cost: np.ndarray, plan: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    r"""Feasible row potentials from an optimal plan: the mean of the extreme ones, of which there is one for each source.

    With $l$ serving $j$, feasibility reads $\alpha_i - \alpha_l \le c_{ij} - c_{lj}$: a system of differences, whose
    extreme solutions are the lengths of shortest paths. Their mean is tight only where every solution is, which leaves
    the fewest ties in $\arg\max_i (\alpha_i - c_{ij})$.
    """
    m = len(cost)
    if alpha is not None and m > _CENTRE_LIMIT:
        return alpha
    start = np.zeros(m) if alpha is None else alpha
    served = [np.flatnonzero(row) for row in plan]
    reduced = cost - start[:, None]
    # length[l, i]: how far alpha_i may rise above alpha_l
    length = np.stack([(reduced[:, j] - reduced[i, j]).min(1) for i, j in enumerate(served)])
    if alpha is not None:
        np.maximum(length, 0.0, out=length)  # rounding of the solver's potentials
    through = np.empty_like(length)
    for k in range(m):  # Floyd-Warshall
        np.add(length[:, k, None], length[k], out=through)
        np.minimum(length, through, out=length)
    return start + length.mean(0)
