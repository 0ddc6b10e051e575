r"""Where a semi-discrete map jumps, and maps that fill in between neighbours: the singular set of Brenier's potential.

Over the cell of $y_i$ the potential $u(x) = \max_i \langle x, y_i \rangle + h_i$ is a plane with the normal
$(y_i, -1)$. Two of them meet at the angle

$$ \theta_{ij} = \arccos \frac{\langle y_i, y_j \rangle + 1}{\sqrt{|y_i|^2 + 1}\,\sqrt{|y_j|^2 + 1}} . $$

Where it is large, u has a ridge across which the map jumps from one part of the data to another. Between planes that meet at
small angles the map may be extended: to points on the line between their targets.

Source: Li, Li, Wang, Lei, Luo, Gu, *DPM-OT*, ICCV 2023; An et al., *AE-OT*, ICLR 2020.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import random
from lab.numerics.arguments import ANY, arrays, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.ot.semidiscrete import assign

_BLOCK = 4096
_TINY = 1e-30

type Extension = Literal["none", "pair", "mass-centre"] | str


class Best(NamedTuple):
    """The k best cells of each point, the best first; of equal ones those with lower numbers."""

    index: Int[Array, "n k"]
    score: Float[Array, "n k"]


@arrays()
def best(
    heights: Float[Array, " m"], y: Float[Array, "m d"], x: Float[Array, "n d"], k: int, block: int = _BLOCK
) -> Best:
    """Time O(n m (d + log k)), memory O(n (k + block)).

    Differentiable in the scores, with the cells held fixed.

    Raises:
        ValueError: k is not from 1 to m, shapes that do not fit, or values that are not finite.
    """
    m = y.shape[0]
    if not 1 <= k <= m or int(k) != k:
        raise ValueError(f"k = {k}, but of {m} targets a whole number from 1 to {m} can be the best")
    return _best(heights, y, x, int(k), whole("block", block, 1))


@jit
def _best(heights: Array, y: Array, x: Array, k: int, block: int) -> Best:
    m, d = y.shape
    count = -(-m // block)
    block = -(-m // count)
    points = jnp.concatenate([y, jnp.zeros((count * block - m, d), y.dtype)]).reshape(count, block, d)
    levels = jnp.concatenate([heights, jnp.full(count * block - m, -jnp.inf, heights.dtype)]).reshape(count, block)
    starts = (block * jnp.arange(count)).astype(jnp.int32)

    def better(known: Best, each):
        targets, level, start = each
        scores = jnp.matmul(x, targets.T, precision=jax.lax.Precision.HIGHEST) + level[None, :]
        score, here = jax.lax.top_k(scores, min(k, block))
        both = Best(
            jnp.concatenate([known.index, here.astype(jnp.int32) + start], axis=1),
            jnp.concatenate([known.score, score], axis=1),
        )
        score, kept = jax.lax.top_k(both.score, k)
        return Best(jnp.take_along_axis(both.index, kept, axis=1), score), None

    none = Best(jnp.zeros((x.shape[0], k), jnp.int32), jnp.full((x.shape[0], k), -jnp.inf, x.dtype))
    return jax.lax.scan(better, none, (points, levels, starts))[0]


@arrays()
@jit
def angle(first: Float[Array, "*n d"], second: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    r"""$\theta$ of targets in pairs, from 0 to $\pi$; by the chord of the normals, so that equal ones have exactly 0.

    >>> float(angle(jnp.array([0.0]), jnp.array([1.0])))  # a plane that is level, and one of slope 1
    0.7853981633974483
    """

    def normal(y):
        whole = jnp.concatenate([y, -jnp.ones_like(y[..., :1])], axis=-1)
        return whole / jnp.sqrt((whole**2).sum(axis=-1, keepdims=True))

    chord = _length(normal(first) - normal(second))[..., 0]
    return 2 * jnp.arcsin(jnp.minimum(chord / 2, 1.0))


def _length(z: Array) -> Array:
    """Lengths (..., 1) along the last axis, with derivative 0 at 0."""
    squared = (z**2).sum(axis=-1, keepdims=True)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


class Jump(NamedTuple):
    """Where points of the source are sent, and what is beside."""

    x: Float[Array, "n d"]
    index: Int[Array, " n"]  # of the cell
    other: Int[Array, " n"]  # the second best
    angle: Float[Array, " n"]  # between the two, in radians
    singular: Bool[Array, " n"]  # beyond the threshold


@chosen
@arrays(threshold=ANY)
def jump(
    heights: Float[Array, " m"],
    y: Float[Array, "m d"],
    x: Float[Array, "n d"],
    threshold: Float[Array, ""] | float = jnp.pi,
    *,
    extend: Extension = "none",
    relative: bool = False,
    centres: Float[Array, "m d"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Jump:
    r"""The map, and its extension between neighbours.

    Args:
        heights: of the cells, balanced.
        x: points of the source.
        threshold: angles above it are singular: there the target of the cell is kept. Of angles in radians, or where
            ``relative``, of angles brought to [0, 1] by the least and the largest of these points (as DPM-OT does).
        extend: what becomes of the others. "none": the target; "pair": a random point between the two targets;
            "mass-centre": the mean of both by the inverse distances of x from the mass centres of their cells.
        centres: $c_j = E[x \mid W_j]$, for "mass-centre"; see ``centres``.
        key: for "pair".

    Differentiable in y, x and the centres with the cells held fixed.

    Raises:
        ValueError: centres or a key that are missing, fewer than two targets, shapes that do not fit, or values that are not
            finite.
        NotDifferentiableError: when differentiated in the heights or the threshold: the map jumps.
    """
    if y.shape[0] < 2:
        raise ValueError(f"y has {y.shape[0]} targets, but a map jumps between at least two")
    if extend == "mass-centre" and centres is None:
        raise ValueError("extend = 'mass-centre' needs the mass centres of the cells: see lab.ot.singular.centres")
    if extend == "pair" and key is None:
        raise ValueError("extend = 'pair' draws points at random: give a key")
    heights, threshold = refuse_derivative(
        (heights, threshold),
        "jump has no derivative in the heights and the threshold: the cell of a point jumps",
    )
    return _jump(heights, y, x, threshold, extend, relative, centres, key)


@jit
def _jump(heights, y, x, threshold, extend: str, relative: bool, centres, key) -> Jump:
    found = _best(heights, y, x, 2, _BLOCK)
    index, other = found.index[:, 0], found.index[:, 1]
    one, two = y[index], y[other]
    theta = angle(one, two)
    low, high = theta.min(), theta.max()
    judged = (theta - low) / jnp.maximum(high - low, _TINY) if relative else theta
    singular = judged > threshold
    if extend == "pair":
        share = random.uniform(key, (x.shape[0], 1), x.dtype)
    elif extend == "mass-centre":
        near, far = (_length(x - centres[which]) for which in (index, other))
        share = near / jnp.maximum(near + far, _TINY)  # weight 1 / near of the first and 1 / far of the second
    else:
        share = jnp.zeros((x.shape[0], 1), x.dtype)
    share = jnp.where(singular[:, None], 0.0, share)
    return Jump((1 - share) * one + share * two, index, other, theta, singular)


@arrays()
@jit
def centres(heights: Float[Array, " m"], y: Float[Array, "m d"], x: Float[Array, "n d"]) -> Float[Array, "m d"]:
    """Mean of those x that lie in each cell; of a cell without any the mean of all.

    Differentiable in x with the cells held fixed; in heights and y it is not: the cell of a point jumps.
    """
    where = assign(heights, y, jax.lax.stop_gradient(x))
    count = jnp.zeros(y.shape[0], x.dtype).at[where].add(1.0)
    total = jnp.zeros((y.shape[0], x.shape[1]), x.dtype).at[where].add(x)
    return jnp.where(count[:, None] > 0, total / jnp.maximum(count, 1)[:, None], x.mean(axis=0)[None, :])
