"""Clusters of agents in the spectral embedding, by k-means with a fixed start and a fixed number of steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.arguments import ANY, arrays, whole

STEPS = 10
_EQUAL = 1e-6  # relative: distances that differ by less are ties, of which the first one counts


class Clusters(NamedTuple):
    """Which cluster each point is of, and where the clusters are."""

    labels: Int[Array, " n"]  # 0 ... k - 1; also of points that do not count
    centres: Float[Array, "k d"]


@arrays(points=ANY)
def kmeans(
    points: Float[Array, "n d"], k: int, mask: Bool[Array, " n"] | None = None, *, steps: int = STEPS
) -> Clusters:
    r"""Lloyd's algorithm: $c_l \leftarrow$ mean of the points that are nearest to $c_l$. An empty cluster keeps its centre.

    The first centre is the point farthest from the mean, each further one the point farthest from all centres so far. So one
    input has one answer, in any order of the points up to ties; of ties the first counts, whatever rounding errors say: agents
    that are alone, and all others, are as far from each other as can be.

    Args:
        points: (n, d).
        k: how many clusters.
        mask: which points count, (n,); all when omitted.
        steps: of the algorithm; static.

    Returns:
        labels (n,) and centres (k, d), differentiable with the labels held fixed.

    Raises:
        ValueError: more clusters than points, a mask of another length, or a point that counts and is not finite.

    Source:
        Lloyd, Least squares quantization in PCM (1982); Gonzalez (1985), of the start.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> found = traffic.kmeans(jnp.array([[0.0], [1.0], [9.0]]), 2)
        >>> found.labels.tolist(), found.centres.tolist()
        ([1, 1, 0], [[9.0], [0.5]])
    """
    n = len(points)
    if not 1 <= k <= n or int(k) != k:
        raise ValueError(f"k = {k} clusters of {n} points is not allowed: choose 1 to {n}")
    counts = jnp.ones(n, bool) if mask is None else mask
    known = not isinstance(points, Tracer) and not isinstance(counts, Tracer)
    if known and (bad := np.asarray(counts) & ~np.isfinite(np.asarray(points)).all(axis=1)).any():
        raise ValueError(f"points[{int(bad.argmax())}] is not finite: give it, or mask it")
    whole("steps", steps, 0)
    weight = counts.astype(points.dtype)
    at = jnp.where(counts[:, None], points, 0.0)
    mean = at.sum(axis=0) / jnp.maximum(weight.sum(), 1)
    centres, apart = [], _squared(at, mean[None])[:, 0]
    for number in range(k):
        far_off = jnp.where(counts, apart, -1.0)
        centres.append(at[(far_off >= (1 - _EQUAL) * far_off.max()).argmax()])
        far = _squared(at, centres[-1][None])[:, 0]
        apart = far if number == 0 else jnp.minimum(apart, far)

    def lloyd(_: Any, centres: Array) -> Array:
        member = jax.nn.one_hot(_nearest(at, centres), k, dtype=at.dtype) * weight[:, None]
        size = member.sum(axis=0)[:, None]
        return jnp.where(size > 0, member.T @ at / jnp.maximum(size, 1), centres)

    found = jax.lax.fori_loop(0, steps, lloyd, jnp.stack(centres))
    return Clusters(_nearest(at, found), found)


def _nearest(points: Array, centres: Array) -> Array:
    apart = _squared(points, centres)
    return (apart <= (1 + _EQUAL) * apart.min(axis=1, keepdims=True) + _EQUAL**2).argmax(axis=1)


def _squared(points: Array, centres: Array) -> Array:
    return ((points[:, None, :] - centres[None, :, :]) ** 2).sum(axis=-1)


@arrays(positions=ANY)
def centres(
    positions: Float[Array, "n 2"], labels: Int[Array, " n"], k: int, mask: Bool[Array, " n"] | None = None
) -> Float[Array, "n 2"]:
    """For each agent the mean position of the agents of its cluster, of those that count."""
    weight = jnp.ones(len(positions), positions.dtype) if mask is None else mask.astype(positions.dtype)
    member = jax.nn.one_hot(labels, k, dtype=positions.dtype)
    counted = member * weight[:, None]
    mean = counted.T @ jnp.where(weight[:, None] > 0, positions, 0.0) / jnp.maximum(counted.sum(axis=0), 1)[:, None]
    return member @ mean
