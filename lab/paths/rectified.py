r"""Rectification of a coupling, round by round, without a network.

A coupling $(Z_0^k, Z_1^k)$ is known by pairs. The flow of the next round has the velocity

$$ v^{k+1}(x, t) = E[\dot Z_t \mid Z_t = x], \qquad Z_t = (1-t) Z_0^k + t Z_1^k , $$

in closed form for the independent coupling of two known laws, and by the Nadaraya-Watson mean over the pairs from then on.
Each round starts new pairs from fresh points of the source, and carries particles, which no field was fitted to, along.

``begin`` with two laws, ``rectify`` k times, follow the flow in a few Euler steps (``polygons``), then compare ``clouds`` and
``describe`` what was found.

Source: Liu, Gong, Liu, *Flow Straight and Fast*, ICLR 2023.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, Run, first_failure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths import metrics, training
from lab.paths.carry import Carried, carry, even
from lab.paths.couplings import assignment, cost_matrix
from lab.paths.fields import Exact, exact
from lab.paths.laws import Empirical, Pairs, effective_pairs
from lab.paths.network import Perceptron
from lab.paths.points import Look, View
from lab.paths.sampling import graded, ode
from lab.paths.schedules import Linear, OneOf

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


POWERS = (1.0, 1.5, 2.0, 4.0)
"""Of convex costs: none of them rises."""
FEW = (1, 2, 4, 8, 16, 32)
"""Euler steps."""
_NEAR = 1000  # particles that exact distances take, whose time grows with the cube
_SHOWN = 60  # particles whose optimal ends are shown


class Ends(NamedTuple):
    """Starts and ends, row by row."""

    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]


class Rectification(eqx.Module):
    """Everything that a rectification needs to know."""

    key: Array
    k: Any  # how often to rectify
    bandwidth: Any  # h of the Nadaraya-Watson mean, in units of the data
    particles: Ends  # drawn independently: the coupling of round 0
    pairs: Ends  # likewise, those that fields are fitted to
    starts: Float[Array, "rounds pairs d"]  # where new pairs begin, fresh in each round
    fresh: Float[Array, "samples n d"]  # further points of the data, to compare with
    source: Any
    target: Any
    schedule: Any  # of the first flow
    first: Exact | None  # its field, where it is known in closed form
    lines: Exact | None  # that of straight lines between independent points
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


class Making(NamedTuple):
    """The next coupling, as far as it is made. Of ``parts`` equal parts of work, ``at`` are done."""

    at: Int[Array, ""]
    round: Int[Array, ""]
    z: Float[Array, "starts d"]  # where particles and new pairs are
    x: Float[Array, "times n d"]
    velocity: Float[Array, "times n d"]
    crossing: Float[Array, " n"]


class Round(NamedTuple):
    """A coupling, and the flow that made it. In round 0 the flow is the straight lines."""

    round: Int[Array, ""]
    fitted: Ends  # what the flow was fitted to
    pairs: Ends  # what it made: the next flow is fitted to them
    before: Float[Array, "n d"]  # where the particles ended one round earlier
    times: Float[Array, " times"]
    x: Float[Array, "times n d"]  # the particles
    velocity: Float[Array, "times n d"]
    crossing_before: Float[Array, " n"]  # of each particle's line one round earlier
    crossing: Float[Array, " n"]  # NaN until the lines of round 0 are looked at
    history: dict[str, Float[Array, " rounds"]]  # S, V and cost by round
    made: Making


def begin(
    key: Array, source: Any, target: Any, schedule: Any, k: Any, bandwidth: Any, n: int, pairs: int
) -> Rectification:
    """The independent coupling of two laws.

    Args:
        source, target: laws of ``lab.paths``; where both are points, already the first field is a Nadaraya-Watson mean.
        schedule: of the first flow; later ones go along straight lines.
        k: number of rectifications, at most ``ROUNDS``; traced.
        bandwidth: positive; traced.
        n, pairs: number of particles, and of pairs.
    """
    points = isinstance(source, Empirical) and isinstance(target, Empirical)
    with jax.ensure_compile_time_eval():  # the laws are known, also where k is traced
        first = None if points else exact(schedule, source, target)
        lines = None if points else exact(Linear(), source, target)
        low, high = first.interval if first is not None else (0.0, 1.0)
    work_key, x0, x1 = _begun(key, source, target, n, pairs)
    times = placed(graded(STEPS, low, high))
    d = x0[0].shape[1]
    # terms of one evaluation at one point: of all parts of the laws, or of all pairs
    terms = max(pairs, 1 if points else _parts(source) * _parts(target)) * max(1, d // 8)
    rows = min(n + pairs, max(16, PART // terms))
    return Rectification(
        work_key,
        jnp.asarray(k),
        jnp.asarray(bandwidth),
        Ends(x0[0], x1[0]),
        Ends(x0[1], x1[1]),
        x0[2],
        x1[2],
        source,
        target,
        schedule,
        first,
        lines,
        times,
        high < 1,
        rows,
        6 * STEPS * (n + pairs) * terms <= SHORT,
    )


@jit
def _begun(key: Array, source: Any, target: Any, n: int, pairs: int) -> tuple[Array, tuple, tuple]:
    """A key; and of each law particles, pairs, and what is drawn beside."""
    first, second, key = jax.random.split(key, 3)

    def parts(x: Array, rows: int) -> tuple[Array, Array, Array]:
        return x[:n], x[n : n + pairs], x[n + pairs :].reshape(-1, rows, x.shape[1])

    # all at once: random numbers take longer to compile than all else
    x0, x1 = source.sample(first, n + (1 + ROUNDS) * pairs), target.sample(second, (1 + FRESH) * n + pairs)
    return key, parts(x0, pairs), parts(x1, n)


def _parts(law: Any) -> int:
    """How many components or points a law has."""
    return max(leaf.shape[0] for leaf in jax.tree.leaves(law) if leaf.ndim)


def smoothed(pairs: Ends, bandwidth: Any) -> Exact:
    """The Nadaraya-Watson field of straight lines between pairs."""
    return exact(Linear(), Pairs(pairs.x0, pairs.x1, bandwidth))


def bend(state: Round) -> Float[Array, " n"]:
    """The integral over time of |(z1 - z0) - z'|^2, of each particle; its mean is S."""
    chord = (state.x[-1] - state.x[0])[None]
    return metrics.over_time(((state.velocity - chord) ** 2).sum(axis=2), state.times)


def _squared(x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, " n"]:
    return ((x - y) ** 2).sum(axis=1)


def _init(work: Rectification) -> Round:
    x0, x1 = work.particles
    even = _even(x0)
    lines = (1 - even)[:, None, None] * x0[None] + even[:, None, None] * x1[None]
    chords = jnp.broadcast_to((x1 - x0)[None], lines.shape)
    unknown = jnp.full(x0.shape[0], jnp.nan, x0.dtype)
    history = {name: jnp.full(ROUNDS, jnp.nan, x0.dtype) for name in ("S", "V", "cost")}
    first = jnp.int32(work.parts[0])  # of random pairs, only how they cross is to be found
    made = Making(first, jnp.int32(0), jnp.concatenate([x0, work.starts[0]]), lines, chords, jnp.zeros_like(unknown))
    state = Round(
        jnp.int32(0), work.pairs, work.pairs, x1, even, lines, chords, jnp.zeros_like(unknown), unknown, history, made
    )
    return _finished(work, _parts_done(work, state, work.parts[0])) if work.whole else state


def _step(work: Rectification, state: Round) -> Round:
    """One part of a round, or a whole one where that is short."""
    if work.whole:
        return _finished(work, _parts_done(work, state, 0))
    state = _part(work, state, state.made.at)
    return jax.lax.cond(state.made.at == sum(work.parts), partial(_finished, work), lambda state: state, state)


def _parts_done(work: Rectification, state: Round, first: int) -> Round:
    """All parts from that on, kind by kind: in one loop under ``vmap`` each would be of both."""
    carried, last = work.parts[0], sum(work.parts)
    for part, begin, end in ((_carry_part, first, carried), (_cross_part, max(first, carried), last)):
        if begin < end:
            state = jax.lax.fori_loop(begin, end, partial(_done_by, partial(part, work)), state)
    return state


def _part(work: Rectification, state: Round, at: Any) -> Round:
    def either(state: Round, at: Any) -> Making:
        return jax.lax.cond(at < work.parts[0], partial(_carry_part, work), partial(_cross_part, work), state, at)

    return _done_by(either, at, state)


def _done_by(part: Any, at: Any, state: Round) -> Round:
    return state._replace(made=part(state, at)._replace(at=jnp.int32(at + 1)))


def _block(work: Rectification, at: Any, times: int) -> tuple[Array, Array]:
    """Which points a part is about, and which of so many times: block by block, each over all times."""
    return at // times * work.rows + jnp.arange(work.rows), at % times


def _carry_part(work: Rectification, state: Round, at: Any) -> Making:
    """A step of some starts along the flow; the last one only has the velocity there, and takes particles to points."""
    made, even = state.made, _even(state.x)
    rows, i = _block(work, at, STEPS + 1)
    later = jnp.minimum(i + 1, STEPS)
    z = made.z.at[rows].get(mode="clip")

    def along(field: Any, times: Array, solver: str) -> tuple[Array, Array]:
        path = ode(field, z, grid=jnp.stack([times[i], times[later]]), solver=solver)
        return path.end, path.velocity[0]

    def kernel() -> tuple[Array, Array]:
        return along(smoothed(state.pairs, work.bandwidth), even, "heun")

    def first(field: Exact) -> tuple[Array, Array]:
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


def _cross_part(work: Rectification, state: Round, at: Any) -> Making:
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


def _new_pairs(work: Rectification, made: Making) -> Ends:
    return Ends(work.starts[made.round - 1], made.z[work.particles.x0.shape[0] :])


def _finished(work: Rectification, state: Round) -> Round:
    """The new coupling takes the place of the old one, and the next round begins."""
    made, old = state.made, state

    def entered(state: Round) -> Round:
        first = jnp.asarray(False) if work.first is None else made.round == 1
        state = state._replace(
            round=made.round,
            fitted=old.pairs,
            pairs=_new_pairs(work, made),
            before=old.x[-1],
            times=jnp.where(first, work.times, _even(old.x)),
            x=made.x,
            velocity=made.velocity,
            crossing_before=old.crossing,
            crossing=made.crossing,
        )
        now = {"S": bend(state).mean(), "V": made.crossing.mean(), "cost": _squared(state.x[-1], state.x[0]).mean()}
        row = made.round - 1
        return state._replace(history={name: old.history[name].at[row].set(value) for name, value in now.items()})

    state = jax.lax.cond(made.round == 0, lambda state: state._replace(crossing=made.crossing), entered, state)
    following = jnp.minimum(made.round, ROUNDS - 1)
    return state._replace(
        made=Making(
            jnp.int32(0),
            made.round + 1,
            jnp.concatenate([work.particles.x0, work.starts[following]]),
            made.x.at[0].set(work.particles.x0),
            made.velocity,
            jnp.zeros_like(made.crossing),
        )
    )


def _even(like: Array) -> Float[Array, " times"]:
    return jnp.linspace(0.0, 1.0, STEPS + 1, dtype=like.dtype)


def _done(work: Rectification, state: Round) -> Array:
    reason = jnp.where(state.made.round > work.k, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.made.z).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Rectification, state: Round) -> dict[str, Array]:
    """How many rounds are made, in parts of one."""
    return {"rounds": state.made.round - 1 + state.made.at / sum(work.parts)}


def _kind(state: Round) -> Array:
    """Rounds differ in their fields, and in each carrying differs from measuring."""
    return state.made.round


RECTIFY = Method(_init, _step, _done, _measure, _kind)


def rectify(loop: Loop, work: Rectification) -> Run:
    """Rectify ``work.k`` times; the state of the run is the last ``Round`` that is whole, also of one that was stopped."""
    k = ROUNDS if isinstance(work.k, Tracer) else int(work.k)
    return loop(RECTIFY, work, max_iterations=max(work.steps(k), 1))


# --- what was found -------------------------------------------------------------------------------------------------------


class Flow(eqx.Module):
    """The flow that made the coupling of a round; in round 0 the one that would be next."""

    work: Rectification
    round: Round

    def _kernel(self) -> Exact:
        return smoothed(self.round.fitted, self.work.bandwidth)

    def __call__(self, t: ArrayLike, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        first, kernel = self.work.first, lambda x: self._kernel()(t, x).velocity
        if first is None:
            return kernel(x)
        low = self.work.times[0]
        return jax.lax.cond(self.round.round <= 1, lambda x: first(jnp.maximum(t, low), x).velocity, kernel, x)

    def log_density(self, t: ArrayLike, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Of the lines that the flow was fitted to, which is that of the flow; of pairs a kernel estimate."""
        first, kernel = self.work.first, lambda x: self._kernel()(t, x).log_density
        if first is None:
            return kernel(x)
        inside = jnp.clip(t, self.work.times[0], self.work.times[-1])
        return jax.lax.cond(self.round.round <= 1, lambda x: first(inside, x).log_density, kernel, x)


class Polygons(NamedTuple):
    """Euler's method from 0 to 1 from the particles' starts, in K steps, and in ``FEW``."""

    ends: Float[Array, "polygons n d"]  # NaN of those that a stop left out
    seen: Float[Array, "frames n e"]  # of the first
    reason: Any


def polygons(
    loop: Loop, work: Rectification, state: Round, steps: Any, view: View, frames: Float[Array, " frames"], most: int
) -> Polygons:
    """Follow the flow of a round in Euler steps; lines between random pairs (round 0) are no flow, and are what they are.

    Args:
        steps: K, at most ``most``; traced.
        frames: times at which the first polygon is looked at.
    """
    flow, x0 = Flow(work, state), state.x[0]
    given = {"solver": "euler", "rows": work.rows}
    frames = frames.astype(x0.dtype) if frames.dtype != x0.dtype else frames
    first = carry(loop, flow, x0, even(steps, most), steps=steps, keep=Look(view), frames=frames, **given)
    grids = placed(np.stack([np.minimum(np.arange(max(FEW) + 1) / count, 1.0) for count in FEW]))
    few = carry(loop, flow, x0, grids, steps=FEW, keep=False, **given)
    ends, seen = _drawn(state, jnp.asarray(steps), first._replace(state=None), few._replace(state=None), view, frames)
    return Polygons(ends, seen, first_failure(first.reason, few.reason))


@jit
def _drawn(state: Round, steps: Any, first: Carried, few: Carried, view: View, frames: Array) -> tuple[Array, Array]:
    lines = state.round == 0
    done = jnp.append(first.steps >= steps, few.steps >= jnp.asarray(FEW))
    ends = jnp.concatenate([first.end[None], few.end])
    ends = jnp.where(lines, state.x[-1][None], jnp.where(done[:, None, None], ends, jnp.nan))
    return ends, jnp.where(lines, view(at_frames(state, frames)), first.x)


def at_frames(state: Round, frames: Float[Array, " f"]) -> Float[Array, "f n d"]:
    """The particles at other times, by the cubic through positions and velocities."""
    t = jnp.clip(frames.astype(state.x.dtype), state.times[0], 1.0)
    i = jnp.clip(jnp.searchsorted(state.times, t, side="right") - 1, 0, state.times.shape[0] - 2)
    h = (state.times[i + 1] - state.times[i])[:, None, None]
    u = ((t - state.times[i])[:, None, None] / h).clip(0, 1)
    x0, x1, v0, v1 = state.x[i], state.x[i + 1], state.velocity[i], state.velocity[i + 1]
    cubic = (1 + 2 * u) * (1 - u) ** 2 * x0 + u * (1 - u) ** 2 * h * v0
    return cubic + u * u * (3 - 2 * u) * x1 + u * u * (u - 1) * h * v1


@jit
def clouds(work: Rectification, state: Round, ends: Float[Array, "polygons n d"]) -> Float[Array, "pairs 2 near d"]:
    """Pairs of clouds to compare: fresh data with the finely integrated flow, the polygons, one step of the next flow, and
    other samples of the data."""
    kernel = smoothed(state.pairs, work.bandwidth)
    near = min(state.x.shape[1], _NEAR)
    x0 = state.x[0][:near]
    distilled = x0 + kernel(0.0, x0).velocity
    few, fresh = ends[:, :near], work.fresh[:, :near]
    compared = jnp.concatenate([state.x[-1][None, :near], few, distilled[None], fresh[1:]])
    return jnp.stack([compared, jnp.broadcast_to(fresh[:1], compared.shape)], axis=1)


@jit
def describe(
    work: Rectification,
    state: Round,
    drawn: Polygons,
    w2sq: Float[Array, " pairs"],
    view: View,
    frames: Float[Array, " frames"],
) -> dict[str, Any]:
    """Measures of the last coupling and its flow, the distances of the ``clouds``, and views for pictures."""
    x0, x1, n = state.x[0], state.x[-1], state.x.shape[1]
    near, fresh, later = min(n, _NEAR), work.fresh, state.round > 1
    before, now, bend_ = _squared(state.before, x0), _squared(x1, x0), bend(state)
    gap = metrics.mean(jnp.where(state.round > 0, before - now - bend_ - state.crossing_before, 0.0))
    S = metrics.mean(bend_)
    order = assignment(cost_matrix(x0[:near], x1[:near]))
    least = _squared(x1[:near][order], x0[:near]).mean()
    middle = ((x0 + x1) / 2)[:: max(1, n // 400)]
    powers = jnp.asarray(POWERS)[:, None] / 2
    alpha, beta = (z[:, None, None] for z in OneOf((work.schedule, Linear()), later)(frames)[:2])
    output = {
        "square_cost": now.mean(),
        "S": S.value,
        "V": metrics.mean(state.crossing).value,
        "S_error": S.error,
        "V_before": state.crossing_before.mean(),
        "w2sq_fine": w2sq[0],
        "w2sq": w2sq[1],
        "w2sq_steps": w2sq[2 : 2 + len(FEW)],
        "w2sq_distilled": w2sq[2 + len(FEW)],
        "w2sq_floor": w2sq[3 + len(FEW) :].mean(),
        "above_optimal": now[:near].mean() / least - 1,
        "identity_gap": gap.value,
        "identity_error": gap.error,
        "cost": (now[None, :] ** powers).mean(axis=1),
        "cost_before": (before[None, :] ** powers).mean(axis=1),
        "energy": metrics.over_time((state.velocity**2).sum(axis=2), state.times).mean(),
        "neighbours": effective_pairs(Pairs(*state.pairs, work.bandwidth), middle),
        "paths": view(at_frames(state, frames)),
        "lines": view(alpha * x0[None] + beta * state.before[None]),
        "euler": drawn.seen,
        "goal": view(fresh[0]),
        "optimal_end": view(x1[:near][order][:_SHOWN]),
    }
    return output | {f"history_{name}": values for name, values in state.history.items()}


@jit
def density(
    work: Rectification, state: Round, gx: Float[Array, " gx"], gy: Float[Array, " gy"], frames: Float[Array, " frames"]
) -> Float[Array, "frames gy gx"]:
    """Of the flow in the plane, on a grid, at each time."""
    columns, rows = jnp.meshgrid(gx, gy)
    grid = jnp.stack([columns.ravel(), rows.ravel()], axis=1)
    flow = Flow(work, state)
    logs = jax.lax.map(lambda t: flow.log_density(t, grid), frames)
    return jnp.exp(logs).reshape(len(frames), *columns.shape)


class Coupled(eqx.Module):
    """For the training of a network: pairs of a coupling by rows, or fresh points of both laws."""

    given: Any  # whether by rows
    pairs: Ends
    source: Any
    target: Any

    def sample(self, key: PRNGKeyArray, n: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        first, second, third = jax.random.split(key, 3)
        rows = random.randint(third, (n,), 0, self.pairs.x0.shape[0])
        return (
            jnp.where(self.given, self.pairs.x0[rows], self.source.sample(first, n)),
            jnp.where(self.given, self.pairs.x1[rows], self.target.sample(second, n)),
        )


def train(
    loop: Loop,
    work: Rectification,
    state: Round,
    *,
    one_step: bool,
    units: int,
    learning_rate: ArrayLike,
    steps: int,
) -> training.Training:
    """A network for the flow that made the coupling, or, in ``one_step``, for the map from its starts to its ends."""
    later = jnp.asarray(True) if one_step else state.round > 1
    coupled = Coupled(
        jnp.asarray(work.first is None) | later, state.pairs if one_step else state.fitted, work.source, work.target
    )
    x0 = work.particles.x0
    init, draws = jax.random.split(jax.random.fold_in(work.key, 1 << 21))
    return training.train(
        draws,
        Perceptron(init, x0.shape[1], units, dtype=x0.dtype),
        coupled,
        None,
        OneOf((work.schedule, Linear()), later),
        settings=training.Settings(learning_rate=learning_rate, anneal=1.0),
        steps=steps,
        batch=256,
        times=jnp.zeros(1) if one_step else None,
        latent=False,
        loop=loop,
    )


@jit
def network_distance(network: Any, work: Rectification, state: Round, one_step: bool) -> Float[Array, ""]:
    """Squared distance to held-out data after one step of a network, or after its finely integrated flow."""
    x0, near = state.x[0], min(state.x.shape[1], _NEAR)
    end = x0 + network(0.0, x0) if one_step else ode(network, x0, steps=64).end
    return metrics.squared_wasserstein(end[:near], work.fresh[0, :near])
