r"""Projections of the columns of a matrix on the scaled simplex, plain and k-sparse, without a sort.

$$ P_b(v) = \operatorname*{argmin}_{t \ge 0,\; 1^\top t = b} \|t - v\|^2 = [v - \theta]_+, \qquad
   P_{k,b}(v) = \operatorname*{argmin}_{t \ge 0,\; 1^\top t = b,\; \|t\|_0 \le k} \|t - v\|^2 . $$
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.arguments import real
from lab.numerics.select import among_ties, check_count, largest

_FEW = 12  # nonzeros up to which taking the largest entries one by one is the fastest


def simplex(
    v: Float[Array, "m n"], b: Float[Array, " n"], among: Bool[Array, "m n"] | None = None
) -> tuple[Float[Array, "m n"], Float[Array, " n"]]:
    r"""Project each column on $\{t \ge 0, 1^\top t = b_j\}$.

    Differentiable, the nonzeros held fixed.

    Newton's method on $\sum_i [v_i - \theta]_+ = b$ from below (Michelot's iteration): monotone and finite,
    some 5 to 10 passes over the matrix.

    Args:
        v: (m, n) columns to project.
        b: (n,) totals, none negative.
        among: (m, n) rows that may be used, at least one in each column; all when omitted.

    Returns:
        The projections (m, n) and the thresholds theta (n,).

    Raises:
        ValueError: shapes that do not fit, or totals that are negative or not finite; traced values are not checked.
    """
    return _simplex(*_checked(v, b), among)


def _checked(v: Array, b: Array) -> tuple[Array, Array]:
    v = real("v", v, ("m", "n"), finite=False)
    return v, real("b", b, v.shape[1:], low=0)


@jax.custom_jvp
def _simplex(v: Array, b: Array, among: Array | None) -> tuple[Array, Array]:
    # the largest is exactly 0 only between the same computed numbers: XLA may compute a cheap operand twice
    v_in = jax.lax.optimization_barrier(v if among is None else jnp.where(among, v, -jnp.inf))
    top = v_in.max(axis=0)
    v_in = v_in - top[None, :]  # a total far below the rounding of v leaves the largest alone
    start = jnp.negative(b)

    def improve(carry):
        theta, _ = carry
        active = v_in > theta[None, :]
        size = active.sum(axis=0, dtype=v.dtype)
        # relative to theta: exact when nothing changes
        excess = jnp.where(active, v_in - theta[None, :], 0.0).sum(axis=0) - b
        new = theta + excess / jnp.maximum(size, 1)
        return jnp.maximum(new, theta), theta

    theta, _ = jax.lax.while_loop(
        lambda carry: (carry[0] > carry[1] + 4 * jnp.finfo(v.dtype).eps * jnp.abs(carry[0])).any(),
        improve,
        (start, jnp.full_like(start, -jnp.inf)),
    )
    t = jnp.maximum(v_in - theta[None, :], 0.0)
    return _filled(t, b), theta + top


@_simplex.defjvp
def _simplex_jvp(primals, tangents):
    t, theta = _simplex(*primals)
    return (t, theta), _moved(t > 0, *tangents[:2])


def _moved(active: Array, dv: Array, db: Array) -> tuple[Array, Array]:
    r"""$dt_i = dv_i - d\theta$ on the nonzeros, $d\theta$ the mean of dv over them less db over their number."""
    size = jnp.maximum(active.sum(axis=0, dtype=dv.dtype), 1)
    theta = (jnp.where(active, dv, 0.0).sum(axis=0) - db) / size
    return jnp.where(active, dv - theta[None, :], 0.0), theta


def _filled(t: Array, b: Array) -> Array:
    """Exactly the totals b."""
    total = t.sum(axis=0)
    return t * (b / jnp.where(total > 0, total, 1.0))[None, :]


def sparse_simplex(
    v: Float[Array, "m n"], b: Float[Array, " n"], k: Int[Array, ""], within: ArrayLike = 0.0
) -> tuple[Float[Array, "m n"], Float[Array, " n"]]:
    r"""Project each column on the k-sparse part of the simplex of total $b_j$ (Kyrillidis et al., ICML 2013).

    The plain projection of the k largest entries; among those equal ``within`` an amount the smallest index wins. A
    column whose plain projection has at most k nonzeros needs no selection. Differentiable, the nonzeros held fixed.

    Args:
        v: (m, n) columns.
        b: (n,) totals, none negative.
        k: traced integer, ``1 <= k <= m``.

    Returns:
        The projections (m, n), with at most k nonzeros in each column, and the thresholds theta (n,).

    Raises:
        ValueError: as ``simplex``, or k outside.
    """
    v, b = _checked(v, b)
    check_count(k, v.shape[0])
    return _sparse_simplex(v, b, k, within)


@jax.custom_jvp
def _sparse_simplex(v: Array, b: Array, k: Array, within: ArrayLike) -> tuple[Array, Array]:
    return jax.lax.cond(k <= _FEW, _sparse_by_peeling, _sparse_by_selection, v, b, k, within)


@_sparse_simplex.defjvp
def _sparse_simplex_jvp(primals, tangents):
    t, theta = _sparse_simplex(*primals)
    return (t, theta), _moved(t > 0, *tangents[:2])


def _sparse_by_selection(v: Array, b: Array, k: Array, within: ArrayLike) -> tuple[Array, Array]:
    """Time: the passes of two projections and a selection."""
    t, theta = simplex(v, b)
    crowded = (t > 0).sum(axis=0, dtype=jnp.int32) > k

    def select(_):
        # a column with room enough keeps all its rows
        return simplex(v, b, largest(v, k, crowded, within) | ~crowded[None, :])

    return jax.lax.cond(crowded.any(), select, lambda _: (t, theta), None)


def _sparse_by_peeling(v: Array, b: Array, k: Array, within: ArrayLike) -> tuple[Array, Array]:
    r"""A pass for each nonzero: $\theta$ is the largest of $\left(\sum_{i \le j} v_{(i)} - b\right) / j$ over $j \le k$."""
    # Equality is exact only between the same computed numbers: XLA may compute a cheap operand twice, rounded otherwise.
    v = jax.lax.optimization_barrier(v)
    top = v.max(axis=0)
    u = jax.lax.optimization_barrier(v - top[None, :])  # sums of few small differences

    def peel(carry):
        level, total, count, theta, _ = carry
        reached = jnp.minimum((u >= (level - within)[None, :]).sum(axis=0, dtype=jnp.int32), k)
        total = total + jnp.where(reached > count, (reached - count) * level, 0.0)
        theta = jnp.maximum(theta, (total - b) / reached)
        below = jnp.where(u < (level - within)[None, :], u, -jnp.inf).max(axis=0)
        open_ = (reached < k) & (below > theta)
        return jnp.where(open_, below, level), total, reached, theta, open_

    zero, none = jnp.zeros_like(top), jnp.zeros(top.shape, jnp.int32)
    start = zero, zero, none, -b, jnp.ones(top.shape, bool)
    bounded = jnp.minimum(k, _FEW)  # under vmap both ways are gone for every k
    level, _, _, theta, _ = jax.lax.while_loop(lambda carry: (carry[4] & (carry[2] < bounded)).any(), peel, start)
    chosen = among_ties(u, level, k, within=within)
    t = jnp.where(chosen, jnp.maximum(u - theta[None, :], 0.0), 0.0)
    return _filled(t, b), theta + top


@jax.custom_jvp
def share(u: Float[Array, "m n"], k: Int[Array, ""], start: Float[Array, " n"] | None = None) -> Float[Array, " n"]:
    r"""The scale $q$ of each column at which $\sum_i \min(q\,u_i, 1) = k$ over the positive $u_i$.

    Infinite where at most k entries are positive. $\eta_i = \min(q u_i, 1)$ attains
    $\min\{\sum_i u_i^2/\eta_i : 0 \le \eta \le 1, \sum_i \eta_i \le k\}$, the squared k-support norm. Newton's method on a
    concave increasing function from the left: monotone and finite. Differentiable in u.

    Args:
        u: (m, n); entries that are not positive are left out.
        k: traced integer.
        start: (n,) guesses of q.
    """
    positive = jnp.maximum(u, 0.0)
    free = (u > 0).sum(axis=0, dtype=jnp.int32) <= k
    safe = k / jnp.where(free, 1.0, positive.sum(axis=0))

    def improve(carry):
        q, _, count = carry
        full = positive * q[None, :] >= 1
        room = k - full.sum(axis=0, dtype=jnp.int32)
        rest = jnp.where(full, 0.0, positive).sum(axis=0)
        new = jnp.where((room > 0) & (rest > 0), room / jnp.where(rest > 0, rest, 1.0), safe)
        return jnp.where(free, safe, new), q, count + 1

    def unsettled(carry):
        q, before, count = carry
        return ((jnp.abs(q - before) > 4 * jnp.finfo(u.dtype).eps * q).any()) & (count < 60)

    first = safe if start is None else jnp.where((start > 0) & jnp.isfinite(start) & ~free, start, safe)
    q, _, _ = jax.lax.while_loop(unsettled, improve, (first, jnp.zeros_like(first), jnp.int32(0)))
    return jnp.where(free, jnp.inf, q)


@share.defjvp
def _share_jvp(primals, tangents):
    u, change = primals[0], tangents[0]
    q = share(*primals)
    finite = jnp.isfinite(q)
    scale = jnp.where(finite, q, 1.0)
    rest = (u > 0) & (u * scale[None, :] < 1)
    total = jnp.where(rest, u, 0.0).sum(axis=0)
    moved = -scale * jnp.where(rest, change, 0.0).sum(axis=0) / jnp.where(total > 0, total, 1.0)
    return q, jnp.where(finite, moved, 0.0)
