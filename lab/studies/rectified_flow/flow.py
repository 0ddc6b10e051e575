r"""Rectification, round by round, without a network: what the study runs.

A coupling $(Z_0^k, Z_1^k)$ is known by pairs. The flow of the next round has the velocity

$$ v^{k+1}(x, t) = E[\dot Z_t \mid Z_t = x], \qquad Z_t = (1-t) Z_0^k + t Z_1^k , $$

in closed form for the independent coupling of two known laws, and by the Nadaraya-Watson mean over the pairs from then on.
Each round starts new pairs from fresh points of the source, and carries particles, which no field was fitted to, along.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab import paths
from lab.numerics import Method, Reason
from lab.paths.laws import squared_distances
from lab.paths.sampling import graded

ROUNDS = 4
"""The most rectifications."""
FRESH = 4
"""Samples of the data to compare with: one, and three others to know the distance of two samples."""
STEPS = 96
"""Steps from 0 to 1: of order 4 along a field in closed form, of order 2 along a kernel's, which errs by more than they do."""


class Pairs(NamedTuple):
    """Starts and ends, row by row."""

    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]


class Work(eqx.Module):
    """Everything that a rectification needs to know."""

    key: Array
    k: Any  # how often to rectify
    bandwidth: Any  # h of the Nadaraya-Watson mean, in units of the data
    particles: Pairs  # drawn independently: the coupling of round 0
    pairs: Pairs  # likewise, those that fields are fitted to
    starts: Float[Array, "rounds pairs d"]  # where new pairs begin, fresh in each round
    fresh: Float[Array, "samples n d"]  # further points of the data, to compare with
    source: Any
    target: Any
    schedule: Any  # of the first flow
    first: paths.Exact | None  # its field, where it is known in closed form
    lines: paths.Exact | None  # that of straight lines between independent points
    times: Float[Array, " times"]  # grid of the first flow
    finish: bool = eqx.field(static=True)  # the grid stops short of points, where the denoiser ends it


class State(NamedTuple):
    """A coupling, and the flow that made it. In round 0 the flow is the straight lines."""

    round: Int[Array, ""]
    fitted: Pairs  # what the flow was fitted to
    pairs: Pairs  # what it made: the next flow is fitted to them
    before: Float[Array, "n d"]  # where the particles ended one round earlier
    times: Float[Array, " times"]
    x: Float[Array, "times n d"]  # the particles
    velocity: Float[Array, "times n d"]
    crossing_before: Float[Array, " n"]  # of each particle's line one round earlier
    crossing: Float[Array, " n"]


def begin(key: Array, source: Any, target: Any, schedule: Any, k: Any, bandwidth: Any, n: int, pairs: int) -> Work:
    """The independent coupling of two laws.

    Args:
        source, target: laws of ``lab.paths``; where both are points, already the first field is a Nadaraya-Watson mean.
        schedule: of the first flow; later ones go along straight lines.
        k: number of rectifications, at most ``ROUNDS``; traced.
        bandwidth: positive; traced.
        n, pairs: number of particles, and of pairs.
    """
    points = isinstance(source, paths.Empirical) and isinstance(target, paths.Empirical)
    with jax.ensure_compile_time_eval():  # the laws are known, also where k is traced
        first = None if points else paths.exact(schedule, source, target)
        lines = None if points else paths.exact(paths.Linear(), source, target)
        low, high = first.interval if first is not None else (0.0, 1.0)
    keys = jax.random.split(key, 3)
    # all at once: random numbers take longer to compile than all else
    x0 = source.sample(keys[0], n + (1 + ROUNDS) * pairs)
    x1 = target.sample(keys[1], (1 + FRESH) * n + pairs)
    times = jnp.asarray(graded(STEPS, low, high))
    d = x0.shape[1]
    return Work(
        keys[2], jnp.asarray(k), jnp.asarray(bandwidth), Pairs(x0[:n], x1[:n]), Pairs(x0[n : n + pairs], x1[n : n + pairs]),
        x0[n + pairs :].reshape(ROUNDS, pairs, d), x1[n + pairs :].reshape(FRESH, n, d), source, target, schedule,
        first, lines, times, high < 1,
    )  # fmt: skip


def smoothed(pairs: Pairs, bandwidth: Any) -> paths.Exact:
    """The Nadaraya-Watson field of straight lines between pairs."""
    return paths.exact(paths.Linear(), paths.Pairs(pairs.x0, pairs.x1, bandwidth))


def carry(
    field: Any, x: Float[Array, "n d"], times: Float[Array, " times"], solver: str, finish: bool
) -> tuple[Array, Array]:
    """The positions and velocities of particles along a field; at the last time, where ``finish``, its denoiser."""
    path = paths.ode(field, x, grid=times, solver=solver)
    moved = path.x.at[-1].set(field(times[-1], path.end).x1) if finish else path.x
    return moved, path.velocity


def crossing(field: Any, pairs: Pairs, times: Float[Array, " times"]) -> Float[Array, " n"]:
    """The integral over time of |(x1 - x0) - v(x_t, t)|^2, of each line; its mean is V."""
    chord = pairs.x1 - pairs.x0

    def at(t):
        return ((chord - field(t, (1 - t) * pairs.x0 + t * pairs.x1).velocity) ** 2).sum(axis=1)

    return over_time(jax.lax.map(at, times), times)


def bend(state: State) -> Float[Array, " n"]:
    """The integral over time of |(z1 - z0) - z'|^2, of each particle; its mean is S."""
    chord = (state.x[-1] - state.x[0])[None]
    return over_time(((state.velocity - chord) ** 2).sum(axis=2), state.times)


def over_time(values: Float[Array, "times n"], times: Float[Array, " times"]) -> Float[Array, " n"]:
    """The trapezoid rule."""
    return (jnp.diff(times)[:, None] * (values[1:] + values[:-1])).sum(axis=0) / 2


def squared(x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, " n"]:
    return ((x - y) ** 2).sum(axis=1)


def _init(work: Work) -> State:
    x0, x1 = work.particles
    even = jnp.linspace(0.0, 1.0, STEPS + 1, dtype=x0.dtype)
    lines = (1 - even)[:, None, None] * x0[None] + even[:, None, None] * x1[None]
    field = smoothed(work.pairs, work.bandwidth) if work.lines is None else work.lines
    each = crossing(field, work.particles, work.times[::2])
    chords = jnp.broadcast_to((x1 - x0)[None], lines.shape)
    return State(jnp.int32(0), work.pairs, work.pairs, x1, even, lines, chords, jnp.zeros_like(each), each)


def _step(work: Work, state: State) -> State:
    x0 = work.particles.x0
    fresh = work.starts[state.round]
    even = jnp.linspace(0.0, 1.0, STEPS + 1, dtype=x0.dtype)

    starts, n = jnp.concatenate([x0, fresh]), x0.shape[0]  # one program for both

    def kernel(_):
        return even, *carry(smoothed(state.pairs, work.bandwidth), starts, even, "heun", False)

    if work.first is None:
        times, x, velocity = kernel(None)
    else:
        first = work.first
        times, x, velocity = jax.lax.cond(
            state.round == 0,
            lambda _: (work.times, *carry(first, starts, work.times, "rk4", work.finish)),
            kernel,
            None,
        )
    x, velocity, ends = x[:, :n], velocity[:, :n], x[-1, n:]
    pairs = Pairs(fresh, ends)
    each = crossing(smoothed(pairs, work.bandwidth), Pairs(x0, x[-1]), even[::2])
    return State(state.round + 1, state.pairs, pairs, state.x[-1], times, x, velocity, state.crossing, each)


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.round >= work.k, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x[-1]).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: State) -> dict[str, Array]:
    return {
        "S": bend(state).mean(),
        "V": state.crossing.mean(),
        "cost": squared(state.x[-1], state.x[0]).mean(),
    }


RECTIFY = Method(_init, _step, _done, _measure, lambda state: state.round)  # one round in a chunk


def velocity(work: Work, state: State, t: Any, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """That of the flow that made the coupling of ``state``; in round 0 of the flow that would be next."""

    def kernel(x):
        return smoothed(state.fitted, work.bandwidth)(t, x).velocity

    if work.first is None:
        return kernel(x)
    first = work.first
    return jax.lax.cond(state.round <= 1, lambda x: first(jnp.maximum(t, work.times[0]), x).velocity, kernel, x)


def log_density(work: Work, state: State, t: Any, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Of the lines that the flow was fitted to, which is that of the flow; of pairs a kernel estimate."""

    def kernel(x):
        return smoothed(state.fitted, work.bandwidth)(t, x).log_density

    if work.first is None:
        return kernel(x)
    first = work.first
    inside = jnp.clip(t, work.times[0], work.times[-1])
    return jax.lax.cond(state.round <= 1, lambda x: first(inside, x).log_density, kernel, x)


def euler(slope: Callable, x: Float[Array, "n d"], steps: Any, frames: Float[Array, " f"]) -> Float[Array, "f n d"]:
    """The polygon of Euler's method from 0 to 1 at the times of the frames; the number of steps is traced."""
    h = 1 / jnp.asarray(steps, x.dtype)
    frames = frames.astype(x.dtype)

    def step(carry):
        i, x, seen = carry
        t = i * h
        v = slope(t, x)
        later = frames[:, None, None] - t
        seen = jnp.where((later > -1e-9) & (later <= h + 1e-9), x[None] + later * v[None], seen)
        return i + 1, x + h * v, seen

    start = jnp.int32(0), x, jnp.broadcast_to(x[None], (frames.shape[0], *x.shape))
    return jax.lax.while_loop(lambda carry: carry[0] < steps, step, start)[2]


def at_frames(state: State, frames: Float[Array, " f"]) -> Float[Array, "f n d"]:
    """The particles at other times, by the cubic through positions and velocities."""
    t = jnp.clip(frames.astype(state.x.dtype), state.times[0], 1.0)
    i = jnp.clip(jnp.searchsorted(state.times, t, side="right") - 1, 0, state.times.shape[0] - 2)
    h = (state.times[i + 1] - state.times[i])[:, None, None]
    u = ((t - state.times[i])[:, None, None] / h).clip(0, 1)
    x0, x1, v0, v1 = state.x[i], state.x[i + 1], state.velocity[i], state.velocity[i + 1]
    cubic = (1 + 2 * u) * (1 - u) ** 2 * x0 + u * (1 - u) ** 2 * h * v0
    return cubic + u * u * (3 - 2 * u) * x1 + u * u * (u - 1) * h * v1


def effective_pairs(pairs: Pairs, bandwidth: Any, x: Float[Array, "n d"]) -> Float[Array, ""]:
    r"""How many pairs the Nadaraya-Watson mean sees half way, $1 / \sum_i w_i^2$, on average over the points x."""
    logits = -squared_distances(x, (pairs.x0 + pairs.x1) / 2) / (2 * bandwidth**2)
    return (1 / (jax.nn.softmax(logits, axis=1) ** 2).sum(axis=1)).mean()


class Coupled(eqx.Module):
    """For the training of a network: pairs of a coupling by rows, or fresh points of both laws."""

    given: Any  # whether by rows
    pairs: Pairs
    source: Any
    target: Any

    def sample(self, key: Array, n: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        first, second, third = jax.random.split(key, 3)
        rows = jax.random.randint(third, (n,), 0, self.pairs.x0.shape[0])
        return (
            jnp.where(self.given, self.pairs.x0[rows], self.source.sample(first, n)),
            jnp.where(self.given, self.pairs.x1[rows], self.target.sample(second, n)),
        )


class OneOf(eqx.Module):
    """One of some schedules, by a number that may be traced."""

    schedules: tuple
    number: Any

    def __init__(self, schedules: tuple, number: Any):
        self.schedules, self.number = schedules, jnp.asarray(number)

    def __call__(self, t: Any) -> paths.Coefficients:
        return jax.tree.map(lambda *each: jnp.stack(each)[self.number], *(schedule(t) for schedule in self.schedules))


class Switched(eqx.Module):
    """The schedule of the first flow, or that of the later ones."""

    later: Any  # which
    first: Any

    def __call__(self, t: Any) -> paths.Coefficients:
        return jax.tree.map(lambda a, b: jnp.where(self.later, b, a), self.first(t), paths.Linear()(t))


def ellipse(mean: np.ndarray, covariance: np.ndarray, points: int = 73) -> np.ndarray:
    """(points, 2) at one standard deviation from the mean of a Gaussian in the plane."""
    angle = np.linspace(0, 2 * np.pi, points)
    return mean + np.stack([np.cos(angle), np.sin(angle)], 1) @ np.linalg.cholesky(covariance).T
