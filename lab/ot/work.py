"""What the methods of this field share: the scaled problem that they iterate on, and when they stop."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.numerics import Reason
from lab.ot.problem import Problem


class Work(NamedTuple):
    """A problem whose costs span 1 and whose mass is 1; everything in it is traced."""

    problem: Problem
    regularizer: Any  # a Regularizer
    start: Float[Array, " d"]  # potentials to start from
    tolerance: Float[Array, ""]


class Best(NamedTuple):
    """The best point of an ascent so far, and how long nothing has improved on it by much."""

    point: Float[Array, " d"]
    value: Float[Array, ""]
    error: Float[Array, ""]  # |gradient|_1 there
    reference: Float[Array, ""]  # value that the next relative improvement of 1e-9 is counted from
    waited: Int[Array, ""]  # steps since it was set


PATIENCE = 50
IMPROVEMENT = 1e-9


def first(point: Array, value: Array, gradient: Array) -> Best:
    """The first point, from which improvement is counted."""
    return Best(point, value, jnp.abs(gradient).sum(), value, jnp.int32(0))


def better(best: Best, point: Array, value: Array, gradient: Array) -> Best:
    """Keep the better of two points. NaN never wins."""
    # at equal value the smaller gradient tells which point is closer
    error = jnp.abs(gradient).sum()
    slack = 4 * jnp.finfo(value.dtype).eps * jnp.abs(best.value)
    wins = (value > best.value + slack) | ((value >= best.value - slack) & (error < best.error))
    point = jnp.where(wins, point, best.point)
    value, error = jnp.where(wins, value, best.value), jnp.where(wins, error, best.error)
    moved = value - best.reference > IMPROVEMENT * jnp.abs(value)
    reference = jnp.where(moved, value, best.reference)
    return Best(point, value, error, reference, jnp.where(moved, 0, best.waited + 1))


def verdict(work: Work, best: Best) -> Array:
    """CONVERGED when the marginals hold, STALLED when nothing has improved for a while."""
    reason = jnp.where(best.waited >= PATIENCE, Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(best.error <= work.tolerance, Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(best.value), reason, Reason.NOT_FINITE).astype(jnp.int32)
