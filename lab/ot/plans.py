"""What a plan says: its errors and nonzeros, where it carries points, and how its mass lies in its largest entries."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from lab.numerics.arguments import NOT_NEGATIVE, arrays
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.ot.problem import Problem


class Figures(NamedTuple):
    """The figures of a plan."""

    transport_cost: Float[Array, ""]  # inner product with the cost
    row_error_l1: Float[Array, ""]  # |T1 - a|_1
    column_error_l1: Float[Array, ""]  # |T'1 - b|_1
    nnz: Int[Array, ""]  # entries that carry mass
    max_col_nnz: Int[Array, ""]  # most of them in a column
    max_row_nnz: Int[Array, ""]  # and in a row


@arrays()
def figures(problem: Problem, plan: Float[Array, "m n"]) -> Figures:
    r"""Cost, marginal errors and nonzeros of a plan: $\langle T, C \rangle$, $\|T 1 - a\|_1$, $\|T^\top 1 - b\|_1$.

    Time O(m n).

    Args:
        problem: cost (m, n) and masses (m,), (n,).
        plan: (m, n), which need not be feasible.

    Returns:
        a ``Figures``: the cost in units of cost times mass, the errors in units of mass, and counts of positive entries in all,
        and in the fullest column and row.

    Raises:
        ValueError: a plan of another shape than the cost, or that is not finite.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 2.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> found = ot.figures(ot.problem(1 - np.eye(2)), np.eye(2) / 2)
        >>> float(found.transport_cost), float(found.row_error_l1), int(found.nnz)
        (0.0, 0.0, 2)
    """
    if plan.shape != problem.cost.shape:
        raise ValueError(f"plan has shape {plan.shape}, but the cost of the problem has shape {problem.cost.shape}")
    return _figures(problem, plan)


@jit
def _figures(problem: Problem, plan: Array) -> Figures:
    carries = plan > 0
    return Figures(
        transport_cost=(plan * problem.cost).sum(),
        row_error_l1=jnp.abs(plan.sum(1) - problem.a).sum(),
        column_error_l1=jnp.abs(plan.sum(0) - problem.b).sum(),
        nnz=carries.sum(),
        max_col_nnz=carries.sum(0).max(),
        max_row_nnz=carries.sum(1).max(),
    )


@arrays(plan=NOT_NEGATIVE)
def barycentric(plan: Float[Array, "m n"], x: Float[Array, "m d"], y: Float[Array, "n d"]) -> Float[Array, "m d"]:
    r"""The barycentric map $x_i \mapsto \sum_j T_{ij} y_j / \sum_j T_{ij}$; x_i itself where it sends nothing.

    Args:
        plan: (m, n), non-negative.
        x: (m, d) sources.
        y: (n, d) targets.

    Returns:
        where each source goes, (m, d): the mean of the targets that it sends mass to.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a negative entry of the plan.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, on the barycentric projection.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ot
        >>> plan = jnp.asarray([[0.25, 0.25], [0.0, 0.0]])
        >>> ot.barycentric(plan, jnp.asarray([[0.0], [9.0]]), jnp.asarray([[1.0], [3.0]])).tolist()
        [[2.0], [9.0]]
    """
    sent = plan.sum(1)[:, None]
    return jnp.where(sent > 0, plan @ y / jnp.where(sent > 0, sent, 1), x)


@arrays(plan=NOT_NEGATIVE)
@jit
def recoloured(
    plan: Float[Array, "m n"], x: Float[Array, "m d"], y: Float[Array, "n d"], label: Int[Array, "h w"]
) -> UInt8[Array, "h w d"]:
    """The picture whose colour x_i, between 0 and 1, is the mean of the colours that x_i sends mass to.

    Args:
        x, y: colours of the picture, and of the one that it is to look like.
        label: which of the colours x each pixel has.
    """
    plan, x, y = refuse_derivative((plan, x, y), "recoloured has no derivative: colors are rounded; use barycentric")
    return jnp.clip(jnp.round(256 * barycentric(plan, x, y)), 0, 255).astype(jnp.uint8)[label]


class Ranked(NamedTuple):
    """The entries of a plan from the largest on."""

    entry: Float[Array, " rank"]
    mass_beyond: Float[Array, " rank"]  # outside of as many of the largest entries


def ranked(plan: Float[Array, "m n"], ranks: Int[np.ndarray, " rank"]) -> Ranked:
    """The entries at some ranks, counted from 1. Time O(m n log m n)."""
    entries = jnp.sort(plan.ravel())[::-1]
    places = jnp.asarray(ranks) - 1
    return Ranked(entries[places], jnp.maximum(jnp.cumsum(entries[::-1])[::-1][places] - entries[places], 0))


def spread_ranks(m: int, n: int, most: int = 160) -> Int[np.ndarray, " rank"]:
    """At most so many ranks from 1 to m n, evenly on a logarithmic scale."""
    return np.unique(np.round(np.geomspace(1, m * n, most)).astype(int))
