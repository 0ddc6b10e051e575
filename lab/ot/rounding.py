r"""Rounding of an infeasible plan onto the transport polytope, for upper bounds on the primal."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def round_plan(plan: Float[Array, "m n"], a: Float[Array, " m"], b: Float[Array, " n"]) -> Float[Array, "m n"]:
    r"""Move a non-negative plan into $U(a, b)$.

    Rows that hold too much are scaled down to $a$, then columns down to $b$; what is then missing,
    $e_a = a - T 1$ and $e_b = b - T^\top 1$, is added as the rank-one plan $e_a e_b^\top / \|e_a\|_1$. The plan moves
    by at most $2 (\|T 1 - a\|_1 + \|T^\top 1 - b\|_1)$ in L1. This destroys k-sparsity.

    Works under ``jit``, ``vmap`` and ``grad``; O(mn).

    Args:
        plan: (m, n), non-negative; its marginals may be anything.
        a, b: positive masses of equal total.

    References: Altschuler, Weed, Rigollet, Near-linear time approximation algorithms for optimal transport via
        Sinkhorn iteration, NeurIPS 2017, algorithm 2.
    """
    plan = plan * _shrink(a, plan.sum(1))[:, None]
    plan = plan * _shrink(b, plan.sum(0))[None, :]
    missing_a = jnp.maximum(a - plan.sum(1), 0)
    missing_b = jnp.maximum(b - plan.sum(0), 0)
    missing = missing_a.sum()
    return plan + missing_a[:, None] * (missing_b / jnp.where(missing > 0, missing, 1))[None, :]


def _shrink(target: Array, held: Array) -> Array:
    over = held > target
    return jnp.where(over, target / jnp.where(over, held, 1), 1)
