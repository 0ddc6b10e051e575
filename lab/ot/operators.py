r"""The two concave objectives and their plans.

$$ \max_{\alpha,\beta}\; \alpha^\top a + \beta^\top b - \sum_j \Omega^*_+(\alpha + \beta_j 1 - c_j), \qquad
   \max_\alpha\; D(\alpha) = \alpha^\top a - \sum_j \Omega^*_{b_j}(\alpha - c_j) . $$

The gradients are $a - T1$ and $b - T^\top 1$. The semi-dual is the dual maximised over $\beta$, so its plan has the
column sums b at every $\alpha$. Value, plan and column potentials are differentiable in all arguments, twice; where the
support changes, or the choice among ties, they have one-sided derivatives.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int

from lab.numerics import arguments
from lab.ot.problem import Problem
from lab.ot.regularizers import Regularizer


class Evaluation(NamedTuple):
    """An objective at a point: its value, and the plan and column potentials that attain it."""

    value: Float[Array, ""]
    plan: Float[Array, "m n"]
    beta: Float[Array, " n"]


@arguments.arrays(alpha=arguments.ANY)
def semi_dual(
    problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], within: ArrayLike = 0.0
) -> Evaluation:
    r"""The semi-dual objective, its plan, whose columns sum to b, and the column potentials.

    $$ D(\alpha) = \alpha^\top a - \sum_j \Omega^*_{b_j}(\alpha - c_j), \qquad
       \Omega^*_b(s) = \max_{t \ge 0,\; 1^\top t = b} s^\top t - \Omega(t), \qquad \nabla D = a - T 1 $$

    Time O(m n) times the passes of the threshold searches; memory O(m n). Differentiable twice.

    Args:
        problem: cost (m, n) and masses (m,), (n,).
        regularizer: Omega, of each column.
        alpha: (m,) row potentials, in units of cost.
        within: scores that differ by at most so much, in units of cost, count as equal where some entries must be chosen;
            the first ones win.

    Returns:
        an ``Evaluation``: the value, the plan (m, n) and the column potentials (n,).

    Source:
        Blondel, Seguy, Rolet (2018); Liu, Puigcerver, Blondel (2023).

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> found = ot.semi_dual(ot.problem(np.zeros((2, 2))), ot.Entropic(1.0), np.zeros(2))
        >>> found.plan.sum(0).tolist(), round(float(found.value), 6)  # log(1/4), of a uniform plan
        ([0.5, 0.5], -1.386294)
    """
    s = alpha[:, None] - problem.cost
    plan, beta = regularizer.column_maximizer(s, problem.b, jax.lax.stop_gradient(within))
    conjugate = (s * plan).sum(axis=0) - regularizer.penalty(plan)
    return Evaluation(alpha @ problem.a - conjugate.sum(), plan, jnp.asarray(beta))


@arguments.arrays(alpha=arguments.ANY, beta=arguments.ANY)
def dual(problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], beta: Float[Array, " n"]) -> Evaluation:
    r"""The dual objective and its plan, whose marginals hold only at the maximum.

    $$ \alpha^\top a + \beta^\top b - \sum_j \Omega^*_+(\alpha + \beta_j 1 - c_j), \qquad
       \Omega^*_+(s) = \max_{t \ge 0} s^\top t - \Omega(t) $$

    Its gradients are $a - T1$ and $b - T^\top 1$. Time and memory O(m n).

    Args:
        problem: cost (m, n) and masses (m,), (n,).
        regularizer: Omega, of each column.
        alpha: (m,) row potentials, in units of cost.
        beta: (n,) column potentials, likewise.

    Returns:
        an ``Evaluation``: the value, the plan (m, n), and ``beta`` as it was given.

    Source:
        Blondel, Seguy, Rolet (2018); Liu, Puigcerver, Blondel (2023).

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> half = np.full(2, 0.5)
        >>> found = ot.dual(ot.problem(np.zeros((2, 2))), ot.Entropic(1.0), half, half)
        >>> found.plan.tolist(), float(found.value)  # exp(1/2 + 1/2 - 1), and 1/2 + 1/2 - 4
        ([[1.0, 1.0], [1.0, 1.0]], -3.0)
    """
    s = alpha[:, None] + beta[None, :] - problem.cost
    plan = regularizer.maximizer(s)
    conjugate = (s * plan).sum(axis=0) - regularizer.penalty(plan)
    return Evaluation(alpha @ problem.a + beta @ problem.b - conjugate.sum(), plan, beta)


def tied_columns(
    problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], plan: Float[Array, "m n"], within: ArrayLike
) -> Int[Array, ""]:
    """How many columns hold k nonzeros, the last of whose scores alpha - c equals the first one left out.

    Equal is what differs by at most ``within``, in units of cost.
    """
    tied = regularizer.ties(alpha[:, None] - problem.cost, plan, within)
    return jnp.int32(0) if tied is None else tied.any(axis=0).sum(dtype=jnp.int32)


def rounding(alpha: Array, cost: Array) -> Array:
    """Scores closer than this are tied: every program, which rounds in its own way, then chooses the same entries."""
    alpha, cost = jax.lax.stop_gradient((alpha, cost))
    return 16 * jnp.finfo(alpha.dtype).eps * (jnp.abs(alpha).max() + jnp.abs(cost).max())


def nearness(dtype: DTypeLike) -> float:
    """The difference of scores, in units of the spread of costs, within which ``Solution.n_ties`` calls them tied."""
    return 1e-6 if jnp.dtype(dtype) == jnp.float64 else 1e-4
