"""Nearest neighbours by an exact search, in blocks, by differences: equal points have distance 0."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_CELLS = 4_000_000  # of a block of differences: 32 MB


class Neighbours(NamedTuple):
    """The k nearest candidates of each point, the nearest first."""

    index: Int[Array, "n k"]
    distance: Float[Array, "n k"]


def nearest(x: Float[Array, "n d"], candidates: Float[Array, "..."], k: int = 1) -> Neighbours:
    """Among given candidates the k nearest to each point; among equally near ones those that come first.

    Args:
        candidates: (m, d), the same for all points, or (n, m, d), of each point its own.
        k: from 1 to m; static.

    Raises:
        ValueError: shapes that do not fit, or k outside.

    Time O(n m (d + log k)), memory O(n k) and a block of differences.
    """
    if (
        x.ndim != 2
        or candidates.ndim not in (2, 3)
        or candidates.shape[-1] != x.shape[1]
        or candidates.shape[:-2] not in ((), x.shape[:1])
    ):
        raise ValueError(
            f"points and candidates have shapes {x.shape} and {candidates.shape}, but (n, d) with (m, d) or (n, m, d) are "
            "needed"
        )
    m = candidates.shape[-2]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= m:
        raise ValueError(f"k = {k}, but of {m} candidates a whole number from 1 to {m} can be the nearest")
    own = candidates.ndim == 3

    def root(squared):  # its derivative at 0, between equal points, is 0 instead of NaN
        return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)

    def of_point(given):
        point, among = given if own else (given, candidates)
        squared = ((among - point[None, :]) ** 2).sum(axis=1)
        if k == 1:  # without a sort
            first = squared.argmin()[None]
            return Neighbours(first.astype(jnp.int32), root(squared[first]))
        closeness, index = jax.lax.top_k(-squared, k)
        return Neighbours(index, root(-closeness))

    return jax.lax.map(of_point, (x, candidates) if own else x, batch_size=max(1, _CELLS // (m * x.shape[1])))
