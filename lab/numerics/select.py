r"""The k largest entries of each column, with k a traced value and without a sort.

A bisection on the order-preserving integer image of the floats, whose bracket is snapped to values that
occur: some $\log_2 m$ passes over the matrix on ordinary data and never more than the bits of the dtype.
Reductions run over the first axis, which XLA vectorises across the columns.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.arguments import real, whole


def kth_largest(
    values: Float[Array, "m n"], k: Int[Array, ""], needed: Bool[Array, " n"] | None = None
) -> Float[Array, " n"]:
    """The k-th largest value of each column, ``1 <= k <= m``.

    Args:
        values: (m, n), without NaN.
        k: traced integer.
        needed: (n,); a column that is not needed costs no pass, and its answer is its maximum.

    Raises:
        ValueError: values that are not a matrix or have NaN, or k outside; traced ones are not checked.

    Time O(m n) a pass; memory O(m n).
    """
    values = real("values", values, ("m", "n"), finite=False)
    if not isinstance(values, Tracer) and np.isnan(np.asarray(values)).any():
        raise ValueError("values has NaN, which has no place in an order: leave these entries out")
    check_count(k, values.shape[0])
    values = values + 0.0  # -0.0 and 0.0 are one value but two integers
    high = values.max(axis=0)
    low = values.min(axis=0) if needed is None else jnp.where(needed, values.min(axis=0), high)

    def narrow(bracket):
        low, high = bracket
        middle = _middle(low, high)  # low <= middle < high while low < high
        above = values > middle[None, :]
        count = above.sum(axis=0, dtype=jnp.int32)
        next_above = jnp.where(above, values, jnp.inf).min(axis=0)
        next_below = jnp.where(above, -jnp.inf, values).max(axis=0)
        new_low = jnp.where(count >= k, next_above, jnp.where(count == k - 1, next_below, low))
        new_high = jnp.where(count < k, next_below, jnp.where(count == k, next_above, high))
        open_ = low < high
        return jnp.where(open_, new_low, low), jnp.where(open_, new_high, high)

    return jax.lax.while_loop(lambda bracket: (bracket[0] < bracket[1]).any(), narrow, (low, high))[1]


def largest(
    values: Float[Array, "m n"],
    k: Int[Array, ""],
    needed: Bool[Array, " n"] | None = None,
    within: ArrayLike = 0.0,
) -> Bool[Array, "m n"]:
    """True at the k largest entries of each column; among values equal ``within`` an amount the smallest row index wins.

    Exactly k entries of each column are chosen; of a column that is not ``needed`` none in particular.

    Raises:
        ValueError: as ``kth_largest``.
    """
    values = jax.lax.optimization_barrier(values)  # computed once, or it need not equal its own threshold
    return among_ties(values, kth_largest(values, k, needed), k, needed, within)


def among_ties(
    values: Float[Array, "m n"],
    threshold: Float[Array, " n"],
    k: Int[Array, ""],
    needed: Bool[Array, " n"] | None = None,
    within: ArrayLike = 0.0,
) -> Bool[Array, "m n"]:
    """True at the entries above the threshold of their column, and at as many equal to it, the first ones, as make k."""
    m = values.shape[0]
    above = values > (threshold + within)[None, :]
    tied = ~above & (values >= (threshold - within)[None, :])
    places = k - above.sum(axis=0, dtype=jnp.int32)
    rows = jnp.arange(m, dtype=jnp.int32)[:, None]

    def fits(last):  # how many of the tied rows lie at or before `last`
        return (tied & (rows <= last[None, :])).sum(axis=0, dtype=jnp.int32)

    def narrow(bracket):
        low, high = bracket
        middle = (low + high) // 2
        enough = fits(middle) >= places
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    high = jnp.full(threshold.shape, m - 1, jnp.int32)
    crowded = tied.sum(axis=0, dtype=jnp.int32) > places
    if needed is not None:
        crowded &= needed
    low = jnp.where(crowded, 0, high)
    last, _ = jax.lax.while_loop(lambda bracket: (bracket[0] < bracket[1]).any(), narrow, (low, high))
    return above | (tied & (rows <= last[None, :]))


def check_count(k: ArrayLike, most: int) -> None:
    """Check that k is a whole number from 1 to the number of rows, unless it is traced.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(k, Tracer):
        whole("k", np.asarray(k)[()], 1, most)


def _middle(low: Array, high: Array) -> Array:
    """The float midway between two floats in the order of the floats, rounded down."""
    bits = low.dtype.itemsize * 8
    integer = {32: jnp.int32, 64: jnp.int64}[bits]

    def flip(i):  # an involution: two's complement order from sign-magnitude order
        return i ^ ((i >> (bits - 1)) & jnp.iinfo(integer).max)

    i, j = (flip(jax.lax.bitcast_convert_type(x, integer)) for x in (low, high))
    return jax.lax.bitcast_convert_type(flip((i >> 1) + (j >> 1) + (i & j & 1)), low.dtype)
