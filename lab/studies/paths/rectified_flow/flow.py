r"""Rectification, round by round, without a network: what the study runs.

A coupling $(Z_0^k, Z_1^k)$ is known by pairs. The flow of the next round has the velocity

$$ v^{k+1}(x, t) = E[\dot Z_t \mid Z_t = x], \qquad Z_t = (1-t) Z_0^k + t Z_1^k , $$

in closed form for the independent coupling of two known laws, and by the Nadaraya-Watson mean over the pairs from then on.
Each round starts new pairs from fresh points of the source, and carries particles, which no field was fitted to, along.
"""

from functools import partial
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
PART = 10_000_000
"""Terms of softmaxes in an evaluation of the velocity: a step takes up to 4, so that it reports some times a second."""
SHORT = 500_000_000
"""The same of a round that is done at once, about a second: its parts would cost more than they spare."""


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
    rows: int = eqx.field(static=True)  # points in one part of the work
    whole: bool = eqx.field(static=True)  # a round is short, and done in one step

    @property
    def parts(self) -> tuple[int, int]:
        """Of a round: those that carry the starts along, and those that measure how lines cross."""
        n = self.particles.x0.shape[0]
        starts = n + self.starts.shape[1]
        return -(-starts // self.rows) * (STEPS + 1), -(-n // self.rows) * len(range(0, STEPS + 1, 2))

    def steps(self, k: int = ROUNDS) -> int:
        """Of the loop, for k rounds."""
        carried, crossed = self.parts
        return k if self.whole else k * (carried + crossed) + crossed


class Made(NamedTuple):
    """The next coupling, as far as it is made. Of ``parts`` equal parts of work, ``at`` are done."""

    at: Int[Array, ""]
    round: Int[Array, ""]
    z: Float[Array, "starts d"]  # where particles and new pairs are
    x: Float[Array, "times n d"]
    velocity: Float[Array, "times n d"]
    crossing: Float[Array, " n"]


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
    crossing: Float[Array, " n"]  # NaN until the lines of round 0 are looked at
    history: dict[str, Float[Array, " rounds"]]  # S, V and cost by round
    made: Made


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
    # terms of one evaluation at one point: of all parts of the laws, or of all pairs
    terms = max(pairs, 1 if points else _parts(source) * _parts(target)) * max(1, d // 8)
    rows = min(n + pairs, max(16, PART // terms))
    return Work(
        keys[2], jnp.asarray(k), jnp.asarray(bandwidth), Pairs(x0[:n], x1[:n]), Pairs(x0[n : n + pairs], x1[n : n + pairs]),
        x0[n + pairs :].reshape(ROUNDS, pairs, d), x1[n + pairs :].reshape(FRESH, n, d), source, target, schedule,
        first, lines, times, high < 1, rows, 6 * STEPS * (n + pairs) * terms <= SHORT,
    )  # fmt: skip


def _parts(law: Any) -> int:
    """How many components or points a law has."""
    return max(leaf.shape[0] for leaf in jax.tree.leaves(law) if leaf.ndim)


def smoothed(pairs: Pairs, bandwidth: Any) -> paths.Exact:
    """The Nadaraya-Watson field of straight lines between pairs."""
    return paths.exact(paths.Linear(), paths.Pairs(pairs.x0, pairs.x1, bandwidth))


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
    even = _even(x0)
    lines = (1 - even)[:, None, None] * x0[None] + even[:, None, None] * x1[None]
    chords = jnp.broadcast_to((x1 - x0)[None], lines.shape)
    unknown = jnp.full(x0.shape[0], jnp.nan, x0.dtype)
    history = {name: jnp.full(ROUNDS, jnp.nan, x0.dtype) for name in ("S", "V", "cost")}
    first = jnp.int32(work.parts[0])  # of random pairs, only how they cross is to be found
    made = Made(first, jnp.int32(0), jnp.concatenate([x0, work.starts[0]]), lines, chords, jnp.zeros_like(unknown))
    state = State(
        jnp.int32(0), work.pairs, work.pairs, x1, even, lines, chords, jnp.zeros_like(unknown), unknown, history, made
    )  # fmt: skip
    return _finished(work, _parts_done(work, state, work.parts[0], sum(work.parts))) if work.whole else state


def _step(work: Work, state: State) -> State:
    """One part of a round, or a whole one where that is short."""
    total = sum(work.parts)
    if work.whole:  # the parts are counted from 0, so that under vmap each is of one kind
        return _finished(work, _parts_done(work, state, 0, total))
    state = _part(work, state, state.made.at)
    return jax.lax.cond(state.made.at == total, partial(_finished, work), lambda state: state, state)


def _parts_done(work: Work, state: State, first: int, last: int) -> State:
    return jax.lax.fori_loop(first, last, lambda at, state: _part(work, state, at), state)


def _part(work: Work, state: State, at: Any) -> State:
    carried, _ = work.parts
    made = jax.lax.cond(at < carried, partial(_carry, work), partial(_cross, work), state, at)
    return state._replace(made=made._replace(at=jnp.int32(at + 1)))


def _block(work: Work, at: Any, times: int) -> tuple[Array, Array]:
    """Which points a part is about, and which of so many times: block by block, each over all times."""
    return at // times * work.rows + jnp.arange(work.rows), at % times


def _carry(work: Work, state: State, at: Any) -> Made:
    """A step of some starts along the flow; the last one only has the velocity there, and takes particles to points."""
    made, even = state.made, _even(state.x)
    rows, i = _block(work, at, STEPS + 1)
    later = jnp.minimum(i + 1, STEPS)
    z = made.z.at[rows].get(mode="clip")

    def along(field: Any, times: Array, solver: str) -> tuple[Array, Array]:
        path = paths.ode(field, z, grid=jnp.stack([times[i], times[later]]), solver=solver)
        return path.end, path.velocity[0]

    def kernel() -> tuple[Array, Array]:
        return along(smoothed(state.pairs, work.bandwidth), even, "heun")

    def first(field: paths.Exact) -> tuple[Array, Array]:
        end, slope = along(field, work.times, "rk4")
        if work.finish:
            end = jax.lax.cond(i == STEPS, lambda: field(work.times[-1], z).x1, lambda: end)
        return end, slope

    known = work.first
    end, slope = kernel() if known is None else jax.lax.cond(made.round == 1, lambda: first(known), kernel)
    return made._replace(
        z=made.z.at[rows].set(end, mode="drop"),
        x=made.x.at[later, rows].set(end, mode="drop"),  # rows from n on are those of new pairs
        velocity=made.velocity.at[i, rows].set(slope, mode="drop"),
    )


def _cross(work: Work, state: State, at: Any) -> Made:
    """Of some lines of the new coupling |(x1 - x0) - v(x_t, t)|^2 at one time, by the trapezoid rule; its mean is V."""
    made, n = state.made, state.x.shape[1]
    even = _even(state.x)[::2]
    rows, i = _block(work, at - work.parts[0], even.shape[0])
    x0 = work.particles.x0.at[rows].get(mode="clip")
    x1 = jnp.where(made.round == 0, work.particles.x1, made.z[:n]).at[rows].get(mode="clip")

    def of(field: Any, times: Array) -> Array:
        t, gap = times[i], jnp.diff(times, prepend=times[:1], append=times[-1:])
        missed = x1 - x0 - field(t, (1 - t) * x0 + t * x1).velocity
        return (gap[i] + gap[i + 1]) / 2 * (missed**2).sum(axis=1)

    def kernel() -> Array:
        pairs = _new_pairs(work, made)
        pairs = jax.tree.map(lambda a, b: jnp.where(made.round == 0, a, b), work.pairs, pairs)
        return of(smoothed(pairs, work.bandwidth), even)

    lines = work.lines
    each = kernel() if lines is None else jax.lax.cond(made.round == 0, lambda: of(lines, work.times[::2]), kernel)
    return made._replace(crossing=made.crossing.at[rows].add(each, mode="drop"))


def _new_pairs(work: Work, made: Made) -> Pairs:
    return Pairs(work.starts[made.round - 1], made.z[work.particles.x0.shape[0] :])


def _finished(work: Work, state: State) -> State:
    """The new coupling takes the place of the old one, and the next round begins."""
    made, old = state.made, state

    def entered(state: State) -> State:
        first = jnp.asarray(False) if work.first is None else made.round == 1
        state = state._replace(
            round=made.round, fitted=old.pairs, pairs=_new_pairs(work, made), before=old.x[-1],
            times=jnp.where(first, work.times, _even(old.x)), x=made.x, velocity=made.velocity,
            crossing_before=old.crossing, crossing=made.crossing,
        )  # fmt: skip
        now = {"S": bend(state).mean(), "V": made.crossing.mean(), "cost": squared(state.x[-1], state.x[0]).mean()}
        row = made.round - 1
        return state._replace(history={name: old.history[name].at[row].set(value) for name, value in now.items()})

    state = jax.lax.cond(made.round == 0, lambda state: state._replace(crossing=made.crossing), entered, state)
    following = jnp.minimum(made.round, ROUNDS - 1)
    return state._replace(
        made=Made(
            jnp.int32(0), made.round + 1, jnp.concatenate([work.particles.x0, work.starts[following]]),
            made.x.at[0].set(work.particles.x0), made.velocity, jnp.zeros_like(made.crossing),
        )
    )  # fmt: skip


def _even(like: Array) -> Float[Array, " times"]:
    return jnp.linspace(0.0, 1.0, STEPS + 1, dtype=like.dtype)


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.made.round > work.k, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.made.z).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: State) -> dict[str, Array]:
    """How many rounds are made, in parts of one."""
    return {"rounds": state.made.round - 1 + state.made.at / sum(work.parts)}


def _kind(state: State) -> Array:
    """Rounds differ in their fields, and in each carrying differs from measuring."""
    return state.made.round


RECTIFY = Method(_init, _step, _done, _measure, _kind)


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


class View(eqx.Module):
    """What is seen of points: the plane through a centre along some axes."""

    centre: Float[Array, " d"]
    axes: Float[Array, "d e"]

    def __call__(self, z: Float[Array, "... d"]) -> Float[Array, "... e"]:
        return (z - self.centre.reshape((1,) * (z.ndim - 1) + (-1,))) @ self.axes


class Polygons(eqx.Module):
    """Euler's method from 0 to 1 from the particles' starts, with several numbers of steps."""

    work: Work
    state: State
    counts: Int[Array, " polygons"]  # of steps; traced
    frames: Float[Array, " frames"]  # times at which the first one is looked at
    view: View

    @property
    def blocks(self) -> int:
        """Of particles."""
        return -(-self.state.x.shape[1] // self.work.rows)


class Drawn(NamedTuple):
    """Polygon by polygon, in each block by block of particles, the steps ``at`` are done."""

    polygon: Int[Array, ""]
    block: Int[Array, ""]
    at: Int[Array, ""]
    x: Float[Array, "rows d"]
    ends: Float[Array, "polygons n d"]  # NaN of those that are not drawn yet
    seen: Float[Array, "frames n e"]  # of the first polygon


def _draw_none(task: Polygons) -> Drawn:
    x0 = task.state.x[0]
    ends = jnp.full((task.counts.shape[0], *x0.shape), jnp.nan, x0.dtype)
    seen = jnp.broadcast_to(task.view(x0)[None], (task.frames.shape[0], *task.view(x0).shape))
    zero = jnp.int32(0)
    return Drawn(zero, zero, zero, x0.at[jnp.arange(task.work.rows)].get(mode="clip"), ends, seen * jnp.nan)


def _draw_step(task: Polygons, drawn: Drawn) -> Drawn:
    x0, width = task.state.x[0], task.work.rows
    n, count = x0.shape[0], task.counts[drawn.polygon]
    frames = task.frames.astype(x0.dtype)
    h = 1 / count.astype(x0.dtype)
    t, rows = drawn.at * h, drawn.block * width + jnp.arange(width)
    slope = velocity(task.work, task.state, t, drawn.x)
    x = drawn.x + h * slope

    def look(seen):
        later = frames[:, None, None] - t
        new = task.view(drawn.x[None] + later * slope[None])
        old = seen.at[:, rows].get(mode="clip")
        return seen.at[:, rows].set(jnp.where((later > -1e-9) & (later <= h + 1e-9), new, old), mode="drop")

    seen = jax.lax.cond(drawn.polygon == 0, look, lambda seen: seen, drawn.seen)
    at = drawn.at + 1
    ended = at >= count
    block = jnp.where(ended, drawn.block + 1, drawn.block)
    polygon = jnp.where(block * width >= n, drawn.polygon + 1, drawn.polygon)
    block = jnp.where(block * width >= n, 0, block)
    where = jnp.where(ended, rows, n)  # beyond the last row nothing is kept
    fresh = x0.at[block * width + jnp.arange(width)].get(mode="clip")
    return Drawn(
        polygon, block, jnp.where(ended, 0, at), jnp.where(ended, fresh, x),
        drawn.ends.at[drawn.polygon, where].set(x, mode="drop"), seen,
    )  # fmt: skip


def _all_drawn(task: Polygons, drawn: Drawn) -> Array:
    return jnp.where(drawn.polygon >= task.counts.shape[0], Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


EULER = Method(
    _draw_none, _draw_step, _all_drawn, lambda task, drawn: {"polygon": jnp.asarray(drawn.polygon, jnp.float32)}
)


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
    r"""How many pairs the Nadaraya-Watson mean sees half way, $1 / \sum_i w_i^2$, on average over up to 400 of the points x."""
    x = x[:: max(1, x.shape[0] // 400)]
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
