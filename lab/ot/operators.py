r"""The two concave objectives and their plans.

$$ \max_{\alpha,\beta}\; \alpha^\top a + \beta^\top b - \sum_j \Omega^*_+(\alpha + \beta_j 1 - c_j), \qquad
   \max_\alpha\; D(\alpha) = \alpha^\top a - \sum_j \Omega^*_{b_j}(\alpha - c_j) . $$

The gradients are $a - T1$ and $b - T^\top 1$. The semi-dual is the dual maximised over $\beta$, so its plan has the
column sums b at every $\alpha$. Both are differentiable in all arguments by the envelope theorem: the plan is held
fixed, in a Lagrangian whose value and first derivatives are those of the objective.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int

from lab.ot.problem import Problem
from lab.ot.regularizers import KSparse, Regularizer


class Evaluation(NamedTuple):
    """An objective at a point: its value, and the plan and column potentials that attain it."""

    value: Float[Array, ""]
    plan: Float[Array, "m n"]
    beta: Float[Array, " n"]


def semi_dual(
    problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], within: ArrayLike = 0.0
) -> Evaluation:
    r"""$D(\alpha)$, its plan, whose columns sum to b, and the column potentials.

    Where some entries must be chosen, scores that differ by at most ``within`` count as equal, and the first ones win.
    Time O(m n) times the passes of the threshold searches; memory O(m n).
    """
    s = alpha[:, None] - problem.cost
    fixed_s, fixed_b, fixed_regularizer = jax.lax.stop_gradient((s, problem.b, regularizer))
    plan, beta = jax.lax.stop_gradient(fixed_regularizer.column_maximizer(fixed_s, fixed_b, within))
    conjugate = (s * plan).sum(axis=0) - regularizer.penalty(plan) - beta * (problem.b - fixed_b)
    return Evaluation(alpha @ problem.a - conjugate.sum(), plan, jnp.asarray(beta))


def dual(problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], beta: Float[Array, " n"]) -> Evaluation:
    """The dual objective and its plan, whose marginals hold only at the maximum. Time and memory O(m n)."""
    s = alpha[:, None] + beta[None, :] - problem.cost
    plan = jax.lax.stop_gradient(regularizer.maximizer(s))
    conjugate = (s * plan).sum(axis=0) - regularizer.penalty(plan)
    return Evaluation(alpha @ problem.a + beta @ problem.b - conjugate.sum(), plan, beta)


def tied_columns(
    problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], plan: Float[Array, "m n"], within: ArrayLike
) -> Int[Array, ""]:
    """How many columns hold k nonzeros, the last of whose scores alpha - c equals the first one left out.

    Equal is what differs by at most ``within``, in units of cost.
    """
    if not isinstance(regularizer, KSparse):
        return jnp.int32(0)
    scores = alpha[:, None] - problem.cost
    taken = plan > 0
    full = taken.sum(axis=0, dtype=jnp.int32) == regularizer.k
    last = jnp.where(taken, scores, jnp.inf).min(axis=0)
    left_out = jnp.where(taken, -jnp.inf, scores).max(axis=0)
    return (full & (last - left_out <= within)).sum(dtype=jnp.int32)


def nearness(dtype: DTypeLike) -> float:
    """The difference of scores, in units of the spread of costs, within which ``Solution.n_ties`` calls them tied."""
    return 1e-6 if jnp.dtype(dtype) == jnp.float64 else 1e-4
