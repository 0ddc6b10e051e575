r"""The walk that samplers share: what a step of theirs is given, and the loop that carries points along a grid of times.

From t to an earlier r a ``Sampler`` moves points by what the prediction says at (x, t): those that have a name are in
``lab.diffusion.samplers``. ``carried`` takes the steps in the lab's loop, ``walked`` and ``between`` in one scan.
"""

import warnings
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.diffusion.predictions import Prediction
from lab.diffusion.schedules import Level, Noise
from lab.inputs import shown
from lab.numerics import Loop, Method, NotConverged, Reason, pure
from lab.numerics.arguments import real
from lab.numerics.host import placed
from lab.numerics.iterate import traceable
from lab.numerics.jit import jit
from lab.paths.schedules import known


class Knot(NamedTuple):
    """A time of the grid."""

    t: Array
    level: Level


class Step(NamedTuple):
    """From where to where, and what a step may know of its place."""

    now: Knot
    middle: Knot  # in log-SNR; now where later has no noise
    later: Knot
    number: Int[Array, ""]  # from 0
    steps: Int[Array, ""]
    key: PRNGKeyArray


class Moved(NamedTuple):
    x: Float[Array, "n d"]
    data: Float[Array, "n d"]  # the prediction at the beginning of the step
    memory: Any


@runtime_checkable
class Sampler(Protocol):
    """What a sampler of one's own must be: ``evaluations`` of the prediction in a step, and the step."""

    @property
    def evaluations(self) -> int: ...

    def begin(self, x: Array) -> Any:
        """The memory before the first step, a pytree of arrays."""
        ...

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: Any) -> Moved: ...


class Trajectory(NamedTuple):
    """Points at the times of the grid, NaN at those that were not reached; only the last ones where they were not kept."""

    t: Float[Array, " times"]
    x: Float[Array, "times n d"]
    data: Float[Array, "steps n d"]  # the prediction at the beginning of each step
    end: Float[Array, "n d"]  # after the last step that was done
    evaluations: Int[Array, ""]  # of the prediction, for all points at once
    lost: Int[Array, ""]  # the step after which something was not finite, from 1; 0 when everything is
    reason: Any


class _Task(NamedTuple):
    predict: Prediction
    sampler: Any
    times: Float[Array, " times"]
    levels: Level
    middle: Knot
    x: Float[Array, "n d"]
    key: PRNGKeyArray
    keep: Any  # an array of as many zeros as places in the path


class _State(NamedTuple):
    x: Float[Array, "n d"]
    memory: Any
    step: Int[Array, ""]
    lost: Int[Array, ""]
    path: Float[Array, "places n d"]
    data: Float[Array, "places n d"]


def _init(task: _Task) -> _State:
    places = task.keep.shape[0]
    path = jnp.full((places + 1, *task.x.shape), jnp.nan, task.x.dtype).at[0].set(task.x)
    data = jnp.full((max(places, 1), *task.x.shape), jnp.nan, task.x.dtype)
    return _State(task.x, task.sampler.begin(task.x), jnp.int32(0), jnp.int32(0), path, data)


def _step(task: _Task, state: _State) -> _State:
    at = state.step

    def knot(place) -> Knot:
        return Knot(task.times[place], jax.tree.map(lambda each: each[place], task.levels))

    middle = jax.tree.map(lambda each: each[at], task.middle)
    number = jnp.int32(task.times.shape[0] - 1)
    step = Step(knot(at), middle, knot(at + 1), at, number, jax.random.fold_in(task.key, at))
    moved = task.sampler(task.predict, step, state.x, state.memory)
    x = jnp.asarray(moved.x, state.x.dtype)
    lost = jnp.where((state.lost == 0) & ~jnp.isfinite(x).all(), at + 1, state.lost)
    path, data = state.path, state.data
    if task.keep.shape[0]:
        path, data = path.at[at + 1].set(x), data.at[at].set(moved.data)
    return _State(x, moved.memory, at + 1, lost, path, data)


def _done(task: _Task, state: _State) -> Array:
    over = state.step >= task.times.shape[0] - 1
    reason = jnp.where(state.lost > 0, Reason.NOT_FINITE, jnp.where(over, Reason.CONVERGED, Reason.RUNNING))
    return reason.astype(jnp.int32)


def _measure(task: _Task, state: _State) -> dict[str, Array]:
    return {"spread": jnp.sqrt((state.x**2).mean())}


_WALK = Method(_init, _step, _done, _measure)


def carried(
    predict: Any, noise: Any, times: Any, x: Any, sampler: Any, key: PRNGKeyArray | None, keep: bool, loop: Loop
) -> Trajectory:
    """``lab.diffusion.sample`` by a ``Sampler``."""
    times, x = real("times", times, ("times",)), real("x", x, ("n", "d"))
    loop = traceable(loop)
    _check(predict, noise, sampler, x)
    if known((times, noise)):
        _check_times(np.asarray(times), noise)
    (times, levels), middle = knots(noise, times, x.dtype)
    task = _Task(
        predict,
        sampler,
        times,
        levels,
        middle,
        x,
        jax.random.key(0) if key is None else key,
        placed(np.zeros(times.shape[0] - 1 if keep else 0)),
    )
    ran = loop(_WALK, task, max_iterations=times.shape[0] - 1)
    state: _State = ran.state
    if loop is pure and not isinstance(state.lost, Tracer) and int(state.lost):
        step, name = int(state.lost), type(sampler).__name__
        told = f"lab.diffusion.sample by {name} is not finite after step {step}: take more steps, or end where there is noise"
        warnings.warn(told, NotConverged, stacklevel=3)
    return Trajectory(
        times if keep else times[state.step][None],
        state.path if keep else state.x[None],
        state.data if keep else state.data[:0],
        state.x,
        state.step * sampler.evaluations,
        state.lost,
        ran.reason,
    )


@jit
def knots(noise: Noise, times: Array, dtype: Any) -> tuple[Knot, Knot]:
    """The times and the middles between them, found in double precision where there is one, whatever x has."""
    levels = noise(times)
    later = levels.log_snr[1:]
    at = noise.time(jnp.where(jnp.isfinite(later), (levels.log_snr[:-1] + later) / 2, levels.log_snr[:-1]))
    return jax.tree.map(lambda each: each.astype(dtype), (Knot(times, levels), Knot(at, noise(at))))


def walked(
    predict: Prediction, noise: Noise, times: Array, steps: Any, x: Array, sampler: Sampler, key: PRNGKeyArray
) -> Float[Array, "n d"]:
    """Where the points end, in one scan: for ``vmap`` over grids of several lengths, padded with their last time.

    Args:
        steps: of them, which may be traced.
    """
    return between(predict, knots(noise, times, x.dtype), steps, x, sampler, key)


def between(
    predict: Prediction, along: tuple[Knot, Knot], steps: Any, x: Array, sampler: Sampler, key: PRNGKeyArray
) -> Float[Array, "n d"]:
    """``walked`` by ``knots`` that are known: several samplers can share them."""
    places, middles = along

    def one(carry, number):
        x, memory = carry
        now, later = (jax.tree.map(lambda each, at=at: each[at], places) for at in (number, number + 1))
        middle = jax.tree.map(lambda each: each[number], middles)
        step = Step(now, middle, later, number, jnp.asarray(steps), jax.random.fold_in(key, number))
        moved = sampler(predict, step, x, memory)
        return (jnp.asarray(moved.x, x.dtype), moved.memory), None

    return jax.lax.scan(one, (x, sampler.begin(x)), jnp.arange(places.t.shape[0] - 1))[0][0]


def _check(predict: Any, noise: Any, sampler: Any, x: Array) -> None:
    if not isinstance(noise, Noise):
        raise TypeError(
            f"{shown(noise)} is no schedule: lab.diffusion.noise makes one by its name, Reversed from lab.paths"
        )
    if isinstance(sampler, type) or not isinstance(sampler, Sampler):
        raise TypeError(
            f"{shown(sampler)} is no sampler: it must have evaluations, begin(x) and a call; or give a name"
        )
    number = jax.ShapeDtypeStruct((), x.dtype)
    try:
        found = jax.eval_shape(predict, x, number, number)
    except Exception as problem:
        raise ValueError(
            f"the prediction can't be asked at points {x.shape} and two numbers a and s: {problem}"
        ) from problem
    if getattr(found, "shape", None) != x.shape:
        got = f"shape {found.shape}" if hasattr(found, "shape") else f"a {type(found).__name__}"
        raise ValueError(f"the prediction gives {got} for points {x.shape}, but the mean of the data of each is needed")


def _check_times(times: np.ndarray, noise: Noise) -> None:
    if times.ndim != 1 or times.size < 2:
        raise ValueError(f"the times have shape {times.shape}, but a row of at least two is needed")
    if not (np.diff(times) < 0).all():
        raise ValueError("the times must fall, from noise to data")
    first, last = float(np.asarray(noise.first)), float(np.asarray(noise.last))
    slack = 1e-9 * max(last, 1.0)
    if times.max() > last + slack or times.min() < -slack:
        raise ValueError(
            f"the times lie between {times.min():g} and {times.max():g}, but those of the schedule between {min(first, 0.0):g} "
            f"and {last:g}"
        )
