r"""k-means: $\min_{c} \sum_i \min_k \|x_i - c_k\|^2$ by Lloyd's method from a k-means++ start.

Source: Arthur, Vassilvitskii, k-means++: The Advantages of Careful Seeding, SODA 2007.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.jit import jit


class State(NamedTuple):
    """Centres, whose points they are the means of, and what that costs."""

    centres: Float[Array, "k d"]
    labels: Int[Array, " n"]
    inertia: Float[Array, ""]  # of the labels, at the centres that gave them
    moved: Int[Array, ""]  # points that changed their cluster


class Points(NamedTuple):
    """What is clustered, and from which centres on."""

    x: Float[Array, "n d"]
    start: Float[Array, "k d"]


def _assign(x: Array, centres: Array) -> tuple[Array, Array]:
    # without |x|^2, which decides nothing
    score = (centres * centres).sum(1)[None, :] - 2 * x @ centres.T
    labels = score.argmin(axis=1).astype(jnp.int32)
    inertia = (x * x).sum() + jnp.take_along_axis(score, labels[:, None], axis=1).sum()
    return labels, inertia


def _init(points: Points) -> State:
    labels, inertia = _assign(points.x, points.start)
    return State(points.start, labels, inertia, jnp.int32(labels.shape[0]))


def _step(points: Points, state: State) -> State:
    member = jax.nn.one_hot(state.labels, state.centres.shape[0], dtype=points.x.dtype)
    size = member.sum(axis=0)[:, None]
    centres = jnp.where(size > 0, member.T @ points.x / jnp.maximum(size, 1), state.centres)  # an empty one stays
    labels, inertia = _assign(points.x, centres)
    return State(centres, labels, inertia, (labels != state.labels).sum(dtype=jnp.int32))


def _done(points: Points, state: State) -> Array:
    reason = jnp.where(state.moved == 0, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.inertia), reason, Reason.NOT_FINITE).astype(jnp.int32)


LLOYD = Method(_init, _step, _done, lambda points, state: {"inertia": state.inertia})


@jit
def start(key: PRNGKeyArray, x: Float[Array, "n d"], k: int) -> Float[Array, "k d"]:
    """k of the points, each drawn in proportion to its squared distance from those drawn before (k-means++)."""

    def draw(carry, key):
        nearest, centres, count = carry
        chosen = x[random.categorical(key, jnp.log(nearest))]
        nearest = jnp.minimum(nearest, ((x - chosen[None, :]) ** 2).sum(axis=1))
        return (nearest, centres.at[count].set(chosen), count + 1), None

    begun = jnp.ones_like(x[:, 0]), jnp.zeros((k, x.shape[1]), x.dtype), jnp.int32(0)
    return jax.lax.scan(draw, begun, jax.random.split(key, k))[0][1]


def kmeans(
    key: PRNGKeyArray, x: Float[Array, "n d"], k: int, *, max_iterations: int = 300, loop: Loop = pure
) -> tuple[Float[Array, "k d"], Int[Array, " n"]]:
    """Centres (k, d) and the cluster of each point (n,), one of the local optima: the key decides which.

    Time O(n k d) and memory O(n (k + d)) an iteration.

    Raises:
        ValueError: k below 1 or above n, or points that are not finite.
    """
    check(x, k)
    state = loop(LLOYD, Points(x, start(key, x, k)), max_iterations=max_iterations).state
    return state.centres, state.labels


def check(x: Array, k: int) -> None:
    """Refuse what ``kmeans`` can't take; inside ``jit`` the values are not known, and not checked."""
    if x.ndim != 2 or not 1 <= k <= x.shape[0]:
        raise ValueError(f"k = {k} clusters of points {x.shape}, but a table (n, d) with 1 <= k <= n is needed")
    if not isinstance(x, Tracer) and not np.isfinite(np.asarray(x)).all():
        raise ValueError("the points have values that are not finite: leave these points out, or fill them in")
