"""What a solver returns, and sparse plans."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics import Reason
from lab.numerics.differentiation import held_constant, is_traced
from lab.numerics.jit import jit
from lab.ot import card
from lab.ot.derivatives import relaxed
from lab.ot.geometry import Cloud, log_mass
from lab.ot.operators import dual, rounding, semi_dual
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, Regularizer
from lab.ot.rounding import round_plan


class Solution(eqx.Module):
    r"""The solution that ``solve`` returns. A pytree; under ``vmap`` every array gets the batch axis in front.

    Plans are computed on request. ``plan`` is the plan of the chosen objective at the potentials: at most k nonzeros
    in each column, and, from the semi-dual, exact column sums; its rows hold only where no column is tied.
    ``relaxed_plan`` is always feasible.

    **Derivatives.** Potentials, plans, products, marginals, errors, costs and values are differentiable in the cost or the
    points, the masses and gamma, in forward and reverse mode and twice, by the implicit function theorem at the optimum:
    as accurate as the solve, so a smaller ``tolerance`` gives better derivatives. The first derivative of ``value`` costs
    no more than the plan. All others cost one linear solve, shared by all fields: O(m^2 (m + n)) for m <= 1024, above
    that and for a ``Cloud`` O(m n) for each iteration of conjugate gradients (NaN if they do not converge). The masses must
    change so that their totals stay equal. A point of mass 0 is absent and has no derivative: its entries are 0. The
    error trace and the state have none either; using them in a derivative raises an error.

    **What the value depends on.** ``value`` contains the penalty on the entries of the plan, so it depends on the
    discretization: with ``Entropic(gamma)``, splitting every point of both sides into two of half the mass adds
    $-2\gamma \log 2$ for each unit of mass. ``kl_value``, with the penalty relative to the product of the marginals, and
    ``transport_cost`` do not change.
    """

    alpha: Float[Array, "*batch m"]  # row potentials, of mean 0
    beta: Float[Array, "*batch n"]  # column potentials
    value: Float[Array, "*batch"]  # <T, C> + sum of Omega(t_j), exact at the potentials: a lower bound of the optimum
    row_error: Float[Array, "*batch"]  # |T1 - a|_1 of plan()
    column_error: Float[Array, "*batch"]  # |T'1 - b|_1 of plan()
    n_ties: Int[Array, "*batch"]  # columns whose k-th and (k+1)-th scores are tied, the k-th carrying mass
    iterations: Int[Array, "*batch"] | int
    reason: Int[Array, "*batch"] | int  # a Reason
    trace: dict[str, Float[ArrayLike, "*batch rows"]]  # value, row_error, residual of each iteration
    problem: Problem | Cloud
    regularizer: Regularizer
    state: object  # of the method, for a warm start
    formulation: str = eqx.field(static=True)
    axis: str = eqx.field(static=True)
    method: str = eqx.field(static=True, default="")  # what ran
    why: str = eqx.field(static=True, default="")  # why it was chosen

    @property
    def converged(self) -> ArrayLike:
        """Whether the optimum of the dual was reached to the tolerance. It does not say that rows hold."""
        return self.reason == Reason.CONVERGED

    def bare(self) -> "Solution":
        """Without its trace, so that runs of unlike length are one program to what looks at them."""
        return replace(self, trace={}, iterations=jnp.asarray(self.iterations), reason=jnp.asarray(self.reason))

    def plan(self) -> Float[Array, "m n"]:
        """The plan of the objective at the potentials, dense. Time and memory O(m n)."""
        return _plan(self)

    def relaxed_plan(self) -> Float[Array, "m n"]:
        r"""A feasible plan, optimal up to the tolerance for the biconjugate relaxation that the dual solves.

        It may have more than k nonzeros in a column: those that are tied. Time and memory O(m n), after a Newton
        solve from the potentials when another method had found them.
        """
        optimum = self.relaxed_optimum()
        return _relaxed(self, optimum) if is_traced(self) else optimum

    def relaxed_optimum(self) -> Float[Array, "m n"]:
        """The numbers of ``relaxed_plan``, without derivatives."""
        return _rounded(held_constant(self))

    @property
    def transport_cost(self) -> Float[Array, "*batch"]:
        r"""$\langle T, C \rangle$ of ``plan()``, without any penalty, in units of cost times mass.

        For a ``Cloud`` the plan is never formed.
        """
        return _transport_cost(self)

    @property
    def kl_value(self) -> Float[Array, "*batch"]:
        r"""The entropic objective relative to the product of the marginals, which no splitting of points changes.

        $$ \langle T, C \rangle + \gamma\, \mathrm{KL}\Big(T \,\Big|\, \frac{a b^\top}{\sum_i a_i}\Big)
           = \text{value} - \gamma \Big( \sum_i a_i \log a_i + \sum_j b_j \log b_j - M \log M \Big), \quad
           M = \sum_i a_i $$

        It has the same optimal plan as ``value``, and is likewise a lower bound of its optimum.

        Raises:
            TypeError: a regularizer other than ``Entropic``, or relaxed marginals, whose plan depends on this choice.
        """
        return _kl_value(self)

    def marginals(self) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch n"]]:
        """Row sums and column sums of ``plan()``. For a ``Cloud`` the plan is never formed."""
        return _marginals(self)

    def apply(self, values: Float[Array, "n *rest"]) -> Float[Array, "m *rest"]:
        """T V. For a ``Cloud`` the plan is never formed: time O(m n (d + rest)), memory as its own."""
        if isinstance(self.problem, Cloud):
            return _apply(self.problem, self.regularizer, self.alpha, self.beta, values)
        return jnp.tensordot(self.plan(), jnp.asarray(values), axes=1)

    def apply_transposed(self, values: Float[Array, "m *rest"]) -> Float[Array, "n *rest"]:
        """T' V, as ``apply``."""
        if isinstance(self.problem, Cloud):
            return _apply(self.problem.T, self.regularizer, self.beta, self.alpha, values)
        return jnp.tensordot(self.plan().T, jnp.asarray(values), axes=1)

    def _repr_html_(self) -> str:
        return card.of_solution(self)

    def ell(self) -> "Ell":
        """The plan in ELL form, on the host: width is the largest number of nonzeros in a column."""
        return Ell.pack(np.asarray(self.plan()))


def evaluate(problem: Problem, regularizer: Regularizer, alpha: Array, beta: Array, formulation: str):
    """The objective of a formulation, with its plan, at potentials; what rounding tells apart in the semi-dual is tied."""
    if formulation == "dual":
        return dual(problem, regularizer, alpha, beta)
    return semi_dual(problem, regularizer, alpha, rounding(alpha, problem.cost))


def judged(reason: Array, value: Array, error: Array, most: Array, sufficient: bool = False) -> Array:
    """What an iteration says of itself, against what is handed out: its value, and the marginals of its plan.

    A plan that is the exponential of potentials, or a multiple of them as large as 1 / gamma, may miss what the iterate
    kept; so may one of the semi-dual where only the relaxed plan is optimal.

    Args:
        sufficient: an error within ``most`` is the condition of optimality, so that an iteration that stalled is there.
    """
    reason = jnp.where((reason == Reason.CONVERGED) & ~(error <= 1.01 * most), Reason.STALLED, reason)
    if sufficient:
        ended = (reason == Reason.STALLED) | (reason == Reason.MAX_ITERATIONS)
        reason = jnp.where(ended & (error <= most), Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(value), reason, Reason.NOT_FINITE).astype(jnp.int32)


@jit
def _apply(cloud: Cloud, regularizer: Regularizer, alpha: Array, beta: Array, values: Array) -> Array:
    return cloud.apply(*_log_scalings(regularizer, alpha, beta), values)


def _log_scalings(regularizer: Regularizer, alpha: Array, beta: Array) -> tuple[Array, Array, Array]:
    """u, v and epsilon of the plan $e^{u_i + v_j - c_{ij}/\\varepsilon}$; minus infinity without mass, with no derivative."""
    epsilon = jnp.asarray(regularizer.gamma, alpha.dtype)
    u, v = (jnp.where(jnp.isfinite(p), jnp.where(jnp.isfinite(p), p, 0.0) / epsilon, -jnp.inf) for p in (alpha, beta))
    return u, v - 1, epsilon


@jit
def _plan(solution: Solution) -> Array:
    if isinstance(solution.problem, Cloud):
        return _plan(eqx.tree_at(lambda s: s.problem, solution, solution.problem.dense()))
    problem, alpha, beta = solution.problem, solution.alpha, solution.beta
    if solution.axis == "rows":
        return evaluate(problem.T, solution.regularizer, beta, alpha, solution.formulation).plan.T
    return evaluate(problem, solution.regularizer, alpha, beta, solution.formulation).plan


@jit
def _rounded(solution: Solution) -> Array:
    return round_plan(solution.plan(), solution.problem.a, solution.problem.b)


@jit
def _relaxed(solution: Solution, optimum: Array) -> Array:
    solution = eqx.tree_at(lambda s: s.problem, solution, _matrix(solution.problem))
    problem, gamma = solution.problem, solution.regularizer.cast(optimum.dtype)
    if solution.axis == "rows":
        return relaxed(problem.T, gamma, solution.beta, optimum.T).T
    return relaxed(problem, gamma, solution.alpha, optimum)


def _matrix(problem: Problem | Cloud) -> Problem:
    return problem.dense() if isinstance(problem, Cloud) else problem


@jit
def _marginals(solution: Solution) -> tuple[Array, Array]:
    cloud = solution.problem
    if not isinstance(cloud, Cloud):
        plan = solution.plan()
        return plan.sum(axis=-1), plan.sum(axis=-2)
    u, v, epsilon = _log_scalings(solution.regularizer, solution.alpha, solution.beta)
    return jnp.exp(u + cloud.rows(v, epsilon)), jnp.exp(v + cloud.columns(u, epsilon))


@jit
def _transport_cost(solution: Solution) -> Array:
    problem = solution.problem
    if not isinstance(problem, Cloud):
        return (solution.plan() * problem.cost).sum()
    return problem.transport_cost(*_log_scalings(solution.regularizer, solution.alpha, solution.beta))


@jit
def _kl_value(solution: Solution) -> Array:
    if not isinstance(solution.regularizer, Entropic):
        raise TypeError(f"kl_value needs the regularizer Entropic(gamma), not {type(solution.regularizer).__name__}")
    a, b = solution.problem.a, solution.problem.b
    logs = sum(jnp.where(mass > 0, mass * log_mass(mass), 0.0).sum() for mass in (a, b))
    return solution.value - solution.regularizer.gamma * (logs - a.sum() * jnp.log(a.sum()))


class Ell(eqx.Module):
    """A sparse matrix with at most w nonzeros in each column: column j holds ``values[j]`` at ``rows[j]``.

    Unused places have value 0 and row 0. Memory O(n w).
    """

    rows: Int[Array, "n w"]
    values: Float[Array, "n w"]
    shape: tuple[int, int] = eqx.field(static=True)

    @classmethod
    def pack(cls, matrix: np.ndarray) -> "Ell":
        """From a dense matrix on the host."""
        columns, rows = np.nonzero(matrix.T)
        counts = np.bincount(columns, minlength=matrix.shape[1])
        places = np.arange(columns.size) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (matrix.shape[1], max(int(counts.max(initial=0)), 1))
        indices, values = np.zeros(shape, np.int32), np.zeros(shape, matrix.dtype)
        indices[columns, places], values[columns, places] = rows, matrix[rows, columns]
        return cls(jnp.asarray(indices), jnp.asarray(values), (int(matrix.shape[0]), int(matrix.shape[1])))

    @property
    def nnz(self) -> int:
        return int((self.values != 0).sum())

    def todense(self) -> Float[Array, "m n"]:
        columns = jnp.arange(self.shape[1])[:, None]
        return jnp.zeros(self.shape, self.values.dtype).at[self.rows, columns].add(self.values)

    def apply(self, y: Float[Array, "n *rest"]) -> Float[Array, "m *rest"]:
        """T y, in time O(n w)."""
        spread = self.values.reshape(self.values.shape + (1,) * (y.ndim - 1)) * y[:, None]
        return jnp.zeros((self.shape[0], *y.shape[1:]), spread.dtype).at[self.rows].add(spread)

    def apply_transposed(self, x: Float[Array, "m *rest"]) -> Float[Array, "n *rest"]:
        """T' x, in time O(n w)."""
        return (self.values.reshape(self.values.shape + (1,) * (x.ndim - 1)) * x[self.rows]).sum(axis=1)
