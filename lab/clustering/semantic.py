r"""Partial transport to clusters that draws similar samples to the same cluster (SP2OT).

$$ \min_Q \; \langle Q, C\rangle - \mu \langle S, Q Q^\top\rangle + \lambda\, \mathrm{KL}(Q^\top 1 \mid \rho\, b)
   + \varepsilon\, h([Q, \xi]), \qquad Q \ge 0, \quad \xi = a - Q1 \ge 0, \quad 1^\top Q 1 = \rho\, 1^\top a, $$

by majorization and minimization: where $S + S^\top$ is positive semi-definite the similarity term is concave, lies below
its tangent, and

$$ Q_{t+1} = \text{the partial plan of the cost } C - \mu (S + S^\top) Q_t $$

never raises the objective. A similarity without diagonal, like that of nearest neighbours, is indefinite, and the objective
may rise: ``Solution.rise`` says by how much it did. $S + \delta I$ with $\delta = -\lambda_{\min}(S + S^\top)/2$ descends
surely, for another objective. Rows of Q are about $\rho/n$, so $\mu/n$ compares across sizes.

Source: Zhang, Ren, He, SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering, 2024.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Method, Reason, arguments, pure
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.ot import partial as partial_ot
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic


class Similarity(NamedTuple):
    r"""A sparse S, with k entries in each row, plus $\delta I$. Not symmetric in general. Memory O(n k)."""

    columns: Int[Array, "n k"]
    values: Float[Array, "n k"]
    shift: Float[Array, ""] | float = 0.0

    def spread(self, q: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """(S + S') Q, in time O(n k c)."""
        forth = jnp.einsum("ij,ijc->ic", self.values, q[self.columns])
        back = jnp.zeros_like(q).at[self.columns].add(self.values[:, :, None] * q[:, None, :])
        return forth + back + 2 * self.shift * q

    def dense(self) -> Float[Array, "n n"]:
        """S as a matrix, with the diagonal. Memory O(n^2)."""
        n = self.values.shape[0]
        s = jnp.zeros((n, n), self.values.dtype).at[jnp.arange(n)[:, None], self.columns].add(self.values)
        return s + self.shift * jnp.eye(n, dtype=s.dtype)

    def shifted(self) -> "Similarity":
        """With the smallest diagonal, at least that at hand, that makes S + S' positive semi-definite. Time O(n^3)."""
        s = self.dense()
        least = jnp.linalg.eigvalsh(s + s.T)[0]
        return self._replace(shift=self.shift + jnp.maximum(-least / 2, 0))


@arguments.arrays(width=arguments.POSITIVE)
def similarity(features: Float[Array, "n d"], k: int = 20, width: ArrayLike = 2.0) -> Similarity:
    r"""Gaussian similarity $e^{-\|h_i - h_j\|^2 / (2 c^2 d)}$ of each sample to its k nearest others, zero beyond.

    Time and memory O(n^2).

    Args:
        features: of the samples, frozen, (n, d).
        k: neighbours, at most n - 1.
        width: c.

    Returns:
        the sparse similarity, k entries a row, without diagonal.

    Raises:
        ValueError: k out of range, features that are not finite, or a width that is not positive.

    Source:
        Zhang, Ren and He (2024), SP2OT.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import clustering
        >>> near = clustering.similarity(jnp.array([[0.0], [2.0], [5.0]]), k=1, width=1.0)
        >>> near.columns.tolist(), near.values[0].round(4)  # exp(-2)
        ([[1], [0], [1]], Array([0.1353], dtype=float64))
    """
    n = features.shape[0]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < n:
        raise ValueError(f"k = {k} neighbours of {n} samples, but k must be between 1 and {n - 1}")
    return _similarity(features, k, width)


@jit
def _similarity(features: Array, k: int, width: ArrayLike) -> Similarity:
    n, d = features.shape
    norms = (features * features).sum(axis=1)
    squared = jnp.maximum(norms[:, None] + norms[None, :] - 2 * features @ features.T, 0)
    squared = jnp.where(jnp.eye(n, dtype=bool), jnp.inf, squared)
    near, columns = jax.lax.top_k(-squared, k)
    return Similarity(columns, jnp.exp(near / (2 * width**2 * d)))


class Terms(NamedTuple):
    """What is iterated on; everything is traced."""

    problem: Problem
    similarity: Similarity
    epsilon: Float[Array, ""]
    rho: Float[Array, ""]
    lam: Float[Array, ""]
    strength: Float[Array, ""]
    start: Float[Array, "n c"]
    potentials: Float[Array, " c_and_1"]
    tolerance: Float[Array, ""]


class State(NamedTuple):
    """A plan, and how it came to be."""

    plan: Float[Array, "n c"]
    potentials: Float[Array, " c_and_1"]  # of the clusters and the virtual one, for a warm start
    objective: Float[Array, ""]
    change: Float[Array, ""]  # of the objective, in the last step
    rise: Float[Array, ""]  # the largest in any step
    settled: Array  # bool: every inner solve converged
    inner: Int[Array, ""]  # steps of all inner solves
    residual: Float[Array, ""]  # of the last inner solve: L1 error of cluster masses and of the mass


class Solution(NamedTuple):
    """What ``solve`` returns. It converged if the objective settled and every inner solve did."""

    plan: Float[Array, "n c"]
    potentials: Float[Array, " c_and_1"]
    objective: Float[Array, ""]
    rise: Float[Array, ""]  # the largest rise of the objective in one step: 0 up to rounding where S + S' is PSD
    iterations: Int[Array, ""] | int
    inner: Int[Array, ""]  # steps of all inner solves
    residual: Float[Array, ""]
    reason: Int[Array, ""] | int
    trace: dict  # objective and change of each step

    @property
    def converged(self) -> ArrayLike:
        return self.reason == Reason.CONVERGED


def objective(
    problem: Problem,
    regularizer: Entropic,
    similarity: Similarity,
    plan: Float[Array, "n c"],
    *,
    rho: ArrayLike,
    lam: ArrayLike,
    strength: ArrayLike,
) -> Float[Array, ""]:
    r"""What ``solve`` lowers, at a plan that is given: differentiable in all that is an array.

    $$ \langle Q, C\rangle - \mu \langle S, Q Q^\top\rangle + \lambda\, \mathrm{KL}(Q^\top 1 \mid \rho\, b)
       + \varepsilon\, h([Q, \xi]) $$

    The constraints are not looked at, but for $\xi = a - Q1$, which counts as 0 where it is negative; an infinite lam
    leaves its term out. Time O(n k c).

    Args:
        problem: cost (n, c) and masses of samples (n,) and clusters (c,).
        regularizer: ``Entropic(epsilon)``.
        similarity: of the samples.
        plan: (n, c), non-negative, of mass rho in all.
        rho: share of the mass, in (0, 1].
        lam: weight of the sizes, in units of cost.
        strength: mu, at least 0.

    Returns:
        one number, in units of cost.

    Source:
        Zhang, Ren and He (2024), SP2OT.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import clustering, ot
        >>> pair = clustering.Similarity(jnp.array([[1], [0]]), jnp.ones((2, 1)))
        >>> value = lambda plan: clustering.sp2ot_objective(
        ...     ot.problem(jnp.zeros((2, 2))), ot.Entropic(0.1), pair, plan, rho=1.0, lam=jnp.inf, strength=1.0
        ... )
        >>> apart, together = jnp.eye(2) / 2, jnp.array([[0.5, 0.0], [0.5, 0.0]])
        >>> round(float(value(apart) - value(together)), 9)  # mu (1/4 + 1/4)
        0.5
    """
    rest = jnp.maximum(problem.a - plan.sum(axis=1), 0)
    prior, sizes = rho * problem.b, plan.sum(axis=0)
    soft = jnp.isfinite(jnp.asarray(lam))
    divergence = _entropy(sizes) - (sizes * jnp.log(prior)).sum() - sizes.sum() + prior.sum()
    price = jnp.where(soft, jnp.where(soft, jnp.asarray(lam), 0) * divergence, 0)
    pull = jnp.asarray(strength) / 2 * (similarity.spread(plan) * plan).sum()
    held = _entropy(plan) + _entropy(rest) - plan.sum() - rest.sum() + problem.a.sum()
    return (plan * problem.cost).sum() - pull + price + regularizer.gamma * held


def _entropy(t: Array) -> Array:
    return jnp.where(t > 0, t * jnp.log(jnp.where(t > 0, t, 1)), 0).sum()


def _init(terms: Terms) -> State:
    infinite, zero = jnp.full_like(terms.rho, jnp.inf), jnp.zeros_like(terms.rho)
    return State(terms.start, terms.potentials, infinite, infinite, zero, jnp.array(True), jnp.int32(0), zero)


def _step(terms: Terms, state: State) -> State:
    (cost, a, b), s = terms.problem, terms.similarity
    pull = terms.strength * s.spread(state.plan)
    found = partial_ot.solve(
        Problem(cost - pull, a, b), Entropic(terms.epsilon), rho=terms.rho, lam=terms.lam, init=state.potentials
    )
    plan = found.plan()
    # the surrogate's value is exact at its optimum, so only the linear term must be exchanged
    objective = found.value + (pull * plan).sum() - terms.strength / 2 * (s.spread(plan) * plan).sum()
    change = objective - state.objective
    rise = jnp.maximum(state.rise, jnp.where(jnp.isfinite(change), change, 0))
    potentials = jnp.append(found.beta, jnp.asarray(found.slack))
    settled = state.settled & jnp.asarray(found.converged)
    inner = state.inner + jnp.asarray(found.iterations, jnp.int32)
    return State(plan, potentials, objective, change, rise, settled, inner, found.column_error)


def _done(terms: Terms, state: State) -> Array:
    begun = jnp.isfinite(state.objective)
    still = begun & ((jnp.abs(state.change) <= terms.tolerance) | (terms.strength == 0))
    reason = jnp.where(still, jnp.where(state.settled, Reason.CONVERGED, Reason.STALLED), Reason.RUNNING)
    return jnp.where(jnp.isnan(state.objective), Reason.NOT_FINITE, reason).astype(jnp.int32)


MM = Method(_init, _step, _done, lambda terms, state: {"objective": state.objective, "change": state.change})


def solve(
    problem: Problem,
    regularizer: Entropic,
    similarity: Similarity,
    *,
    rho: ArrayLike,
    lam: ArrayLike,
    strength: ArrayLike,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    init: Solution | None = None,
    loop: Loop = pure,
) -> Solution:
    r"""Majorize and minimize from the uniform plan, or from the answer to a neighbouring problem.

    $$ Q_{t+1} = \text{the partial plan of the cost } C - \mu (S + S^\top) Q_t $$

    A step takes one partial transport from the potentials of the last one, and O(n k c).

    Args:
        problem: cost (n, c) and masses, as in ``lab.ot.partial.solve``.
        regularizer: ``Entropic(epsilon)``.
        similarity: of the samples.
        rho: share of the mass that is transported, in (0, 1]; traced.
        lam: weight of the sizes, in units of cost; infinite makes them exact. Traced.
        strength: mu >= 0, the paper's lambda_1; 0 is partial transport, in one step. Traced.
        tolerance: change of the objective, in its units, at which to stop.
        max_iterations: steps at most.
        init: the answer to a neighbouring problem.
        loop: ``pure``, or a ``Chunked`` that reports and stops between steps.

    Returns:
        the plan (n, c), potentials (c + 1,), the objective and its largest rise, and how it went. They have no derivative,
        which raises an error: the steps may end in several local minima. At the plan, that of ``objective`` is the slope of
        the minimum.

    Raises:
        ValueError: a similarity of another size or with negative entries, a negative strength, or what partial.solve
            refuses.

    Source:
        Zhang, Ren and He (2024), SP2OT.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import clustering, ot
        >>> costs = ot.problem(jnp.array([[0.0, 3.0], [3.0, 0.0], [2.0, 2.0]]))
        >>> near = clustering.similarity(jnp.array([[0.0], [5.0], [6.0]]), k=1)
        >>> found = clustering.sp2ot(costs, ot.Entropic(0.05), near, rho=2 / 3, lam=1.0, strength=0.1)
        >>> round(float(found.plan.sum()), 6), bool(found.converged)
        (0.666667, True)
    """
    n, c = problem.cost.shape
    if similarity.values.shape[0] != n or similarity.columns.shape != similarity.values.shape:
        raise ValueError(
            f"the similarity has shape {similarity.values.shape}, but the problem has {n} samples: "
            f"shape ({n}, neighbours) is needed"
        )
    if not isinstance(similarity.values, Tracer) and not (np.asarray(similarity.values) >= 0).all():
        raise ValueError("the similarity has negative or undefined entries, but entries must be at least 0")
    if not isinstance(strength, Tracer) and not 0 <= float(np.asarray(strength)) < np.inf:
        raise ValueError(f"strength = {strength}, but it must be at least 0 and finite")
    if not isinstance(lam, Tracer) and not float(np.asarray(lam)) >= 0:
        raise ValueError(f"lam = {lam}, but it must be at least 0; infinity makes the sizes exact")
    arguments.real("tolerance", tolerance, (), low=0)
    arguments.whole("max_iterations", max_iterations, 1)
    dtype = problem.cost.dtype
    epsilon, share, weight, mu = (jnp.asarray(x, dtype) for x in (regularizer.gamma, rho, lam, strength))
    partial_ot.check(rho)
    if init is None:
        start = share * problem.a[:, None] * (problem.b / problem.b.sum())[None, :]
        potentials = jnp.zeros(c + 1, dtype)
    else:
        start, potentials = init.plan, init.potentials
    similarity = similarity._replace(shift=jnp.asarray(similarity.shift, dtype))  # a number would compile once more
    terms = Terms(problem, similarity, epsilon, share, weight, mu, start, potentials, jnp.asarray(tolerance, dtype))
    terms = refuse_derivative(
        terms, "lab.clustering.sp2ot has no derivative: differentiate sp2ot_objective at its plan"
    )
    run = loop(MM, terms, max_iterations=max_iterations)
    state = run.state
    return Solution(
        state.plan,
        state.potentials,
        state.objective,
        state.rise,
        run.iterations,
        state.inner,
        state.residual,
        run.reason,
        dict(run.trace),
    )
