r"""Particles of several flows by equal Euler steps from t = 0 to 1, whose number is traced.

$$ x^f_{k+1} = x^f_k + h\, u^f(kh, x^f_k), \qquad h = 1/K . $$

One compiled program serves every K up to the rows that are kept, and each step is reported and can be the last. Where more
is asked for (other solvers, times, noise) see ``sampling``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Loop, Method, Reason, Run, pure


class Work(eqx.Module):
    """What moves."""

    velocity: Any  # called at a time () and points (flows, n, d), it gives velocities of that shape
    start: Float[Array, "flows n d"]
    axes: Float[Array, "d seen"]  # what is recorded of each particle at each step: its place along these
    steps: Int[Array, ""]
    judged: Bool[Array, " flows"]  # those that must stay finite
    rows: int = eqx.field(static=True)


class Moved(NamedTuple):
    """Where the particles are, and have been: of steps still to come the last place."""

    step: Int[Array, ""]
    x: Float[Array, "flows n d"]
    way: Float[Array, "flows rows+1 n seen"]

    def at(self, moments: Float[Array, " moments"], steps: ArrayLike) -> Float[Array, "flows moments n seen"]:
        """What was recorded at times in [0, 1], straight between two of the steps; after the last one done, that."""
        place = jnp.minimum(moments * steps, self.step)
        before = jnp.minimum(jnp.floor(place), self.way.shape[1] - 2).astype(jnp.int32)
        share = (place - before).astype(self.x.dtype)[None, :, None, None]
        return (1 - share) * self.way[:, before] + share * self.way[:, before + 1]


def _init(work: Work) -> Moved:
    seen = work.start @ work.axes
    way = jnp.broadcast_to(seen[:, None], (seen.shape[0], work.rows + 1, *seen.shape[1:]))
    return Moved(jnp.int32(0), work.start, way)


def _step(work: Work, state: Moved) -> Moved:
    h = 1 / work.steps.astype(state.x.dtype)
    x = state.x + h * work.velocity(state.step * h, state.x)
    later = (jnp.arange(work.rows + 1) > state.step)[None, :, None, None]
    return Moved(state.step + 1, x, jnp.where(later, (x @ work.axes)[:, None], state.way))


def _done(work: Work, state: Moved) -> Array:
    going = jnp.where(state.step < work.steps, Reason.RUNNING, Reason.CONVERGED)
    finite = (jnp.isfinite(state.x).all(axis=(1, 2)) | ~work.judged).all()
    return jnp.where(finite, going, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: Moved) -> dict[str, Array]:
    square = jnp.where(work.judged, (state.x**2).mean(axis=(1, 2)), 0.0).sum() / work.judged.sum()
    return {"square": square.astype(state.x.dtype)}


STEPS = Method(_init, _step, _done, _measure)


def move(
    velocity: Callable[[Array, Array], Array],
    start: Float[Array, "flows n d"],
    axes: Float[Array, "d seen"],
    steps: ArrayLike,
    rows: int,
    judged: Bool[Array, " flows"] | None = None,
    loop: Loop = pure,
) -> Run:
    """Move the particles; ``state`` of what it returns is a ``Moved``.

    Args:
        velocity: a pytree, such as an ``eqx.Module``, called at a time () and points (flows, n, d).
        start: of the particles of each flow.
        axes: along which they are recorded at each step.
        steps: K, at most ``rows``; traced.
        rows: of the record; static.
        judged: the flows that must stay finite, for the others may have no velocity; all when omitted.
        loop: ``pure``, or a ``Chunked`` that reports and can be stopped.

    Memory O(flows n (d + rows seen)).
    """
    judged = jnp.ones(start.shape[0], bool) if judged is None else judged
    return loop(STEPS, Work(velocity, start, axes, jnp.asarray(steps, jnp.int32), judged, rows), max_iterations=rows)
