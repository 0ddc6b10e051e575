r"""Points carried along a field over a grid of times, by a loop that reports and can be stopped.

$$ dX = b\,dt \quad\text{or}\quad dX = (b \pm \epsilon s)\,dt + \sqrt{2\epsilon}\,dW, \qquad
   \frac{de}{dt} = r(t, X, e), \qquad (X, e) \leftarrow \mathrm{after}(t, X, e) \ \text{ after each step.} $$

``ode`` and ``sde`` are one program each, over all steps; ``carry`` does the same steps, of ``lab.paths.steps``, one by one. It
carries several clouds along fields of their own, and beside them whatever else moves (the integral of a divergence, a
momentum, the variables of a data term), lets something be done after each step (a projection, a step towards data), and takes
steps that remember the ones before.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, tell
from lab.numerics.arguments import real, whole
from lab.numerics.host import placed
from lab.numerics.iterate import traceable
from lab.numerics.jit import jit
from lab.paths.fields import Exact, Field
from lab.paths.sampling import _checked
from lab.paths.steps import SOLVERS, AdamsBashforth, Diffusion, RungeKutta, Span, Step

type Solver = Literal["euler", "midpoint", "heun", "rk4", "adams-bashforth", "noise-first"] | str | Step
_SCHEMES = ("euler", "heun", "noise-first")  # with noise


class Carried(NamedTuple):
    """Where points were carried. With several grids all has one axis more in front."""

    t: Float[Array, "*grids times"]
    x: Any  # (*grids, times, ..., n, d), or what ``keep`` saw; of a stopped one the last place is repeated
    end: Float[Array, "*any"]  # (*grids, ..., n, d): where they are at last
    extra: Any  # at last
    steps: Int[Array, "*grids"]  # that all points have done
    nfe: Int[Array, "*grids"]  # evaluations of the slope that they took, for all points at once
    reason: Any  # a Reason
    state: "State"  # from which it goes on


class Journey(eqx.Module):
    """What is carried, along what and how: the problem that the loop runs."""

    fields: Any
    rate: Any
    after: Any
    look: Any
    step: Any
    x: Float[Array, "*any"]
    extra: Any
    times: Float[Array, "grids times"]
    level: Any  # (grids, times, ...) of the noise, or None
    key: PRNGKeyArray | None
    steps: Int[Array, " grids"]
    frames: Float[Array, " frames"] | None
    euler_last: bool = eqx.field(static=True)
    sees_extra: bool = eqx.field(static=True)
    keeps: bool = eqx.field(static=True)  # every time
    rows: int | None = eqx.field(static=True)  # points in a block; None: all

    @property
    def axis(self) -> int:
        """Along which the points are."""
        return self.x.ndim - 2

    @property
    def blocks(self) -> int:
        return 1 if self.rows is None else -(-self.x.shape[self.axis] // self.rows)

    @property
    def jobs(self) -> int:
        """A job is one block of points over one grid."""
        return self.times.shape[0] * self.blocks


class State(NamedTuple):
    """Job by job, each step by step: ``at`` steps of this one are done."""

    job: Int[Array, ""]
    at: Int[Array, ""]
    x: Float[Array, "*any"]  # (grids, ..., n, d)
    extra: Any
    memory: Any  # of the step
    kept: Any  # (grids, times, ...) what is seen, or None


class _Slope:
    """dy/dt for a step: velocities and rates; ``ask`` gives the fields themselves."""

    def __init__(self, journey: Journey, beside: Any):
        self.journey = journey
        self.beside = beside  # the extra where nothing integrates it

    def ask(self, t: Array, y: tuple[Array, Any]) -> Any:
        """What the field says: an array, a ``Field``, whatever it returns; of several fields a tuple."""
        x, extra = y[0], self.beside if y[1] is None else y[1]
        more = (extra,) if self.journey.sees_extra else ()
        fields = self.journey.fields
        if isinstance(fields, tuple):
            return tuple(field(t, x[k], *more) for k, field in enumerate(fields))
        return fields(t, x, *more)

    def __call__(self, t: Array, y: tuple[Array, Any], tilt: Any = None) -> tuple[Array, Any]:
        x, found = y[0], self.ask(t, y)
        several = isinstance(self.journey.fields, tuple)

        def of(part: str) -> Array:
            each = [_part(one, part) for one in (found if several else (found,))]
            whole = jnp.stack(each) if several else each[0]
            if whole.shape != x.shape:
                raise ValueError(f"the {part} has shape {whole.shape} at points of shape {x.shape}: they must agree")
            return whole.astype(x.dtype)

        slope, rate = of("velocity") if tilt is None else of("velocity") + tilt * of("score"), None
        if self.journey.rate is not None:
            rate = jax.tree.map(lambda r, e: jnp.asarray(r, e.dtype), self.journey.rate(t, *y), y[1])
        return slope, rate


def _part(found: Any, part: str) -> Array:
    if hasattr(found, part):
        return getattr(found, part)
    if part == "score" or isinstance(found, Field):
        raise TypeError("the field gives no score: with noise it must return a Field, or what has velocity and score")
    return found


# --- a step of the loop ---------------------------------------------------------------------------------------------------


def _taken(z: Array, index: Any, axis: int) -> Array:
    return z if index is None else jnp.take(z, index, axis=axis, mode="clip")


def _put(z: Array, index: Any, axis: int, value: Array) -> Array:
    return value if index is None else z.at[(slice(None),) * axis + (index,)].set(value, mode="drop")


def _job(journey: Journey, job: Any) -> tuple[Any, Any]:
    """Which grid, and which points (None: all)."""
    grid = jnp.minimum(job // journey.blocks, journey.times.shape[0] - 1)
    if journey.rows is None:
        return grid, None
    return grid, job % journey.blocks * journey.rows + jnp.arange(journey.rows)


def _carried(journey: Journey, state: State) -> tuple[Array, Any]:
    """Points and extra of the present job."""
    grid, index = _job(journey, state.job)
    return jax.tree.map(lambda z: _taken(z[grid], index, journey.axis), (state.x, state.extra))


def _integrated(journey: Journey, x: Array, extra: Any) -> tuple[Array, Any]:
    return x, None if journey.rate is None else extra


def _seen(journey: Journey, t: Any, x: Array, extra: Any) -> Any:
    return x if journey.look is None else journey.look(t, x, extra)


def _init(journey: Journey) -> State:
    grids = journey.times.shape[0]
    x, extra = jax.tree.map(lambda z: jnp.broadcast_to(z[None], (grids, *z.shape)), (journey.x, journey.extra))
    kept, rows = None, journey.times.shape[1] if journey.frames is None else journey.frames.shape[0]
    if journey.keeps:
        first = [_seen(journey, times[0], journey.x, journey.extra) for times in journey.times]
        first = jax.tree.map(lambda *each: jnp.stack([jnp.asarray(z) for z in each]), *first)
        kept = jax.tree.map(lambda z: jnp.broadcast_to(z[:, None], (grids, rows, *z.shape[1:])), first)
    state = State(jnp.int32(0), jnp.int32(0), x, extra, None, kept)
    return state._replace(memory=_begun(journey, state))


def _begun(journey: Journey, state: State) -> Any:
    return journey.step.begin(_integrated(journey, *_carried(journey, state)))


def _span(journey: Journey, grid: Any, at: Any, block: Any) -> Span:
    key = None
    if journey.key is not None:
        key = jax.random.fold_in(journey.key, at)
        key = key if journey.rows is None else jax.random.fold_in(key, block)
    times, level = journey.times[grid], None if journey.level is None else journey.level[grid]
    before, after = (None, None) if level is None else (level[at], level[at + 1])
    whole = at + 1 < journey.steps[grid] if journey.euler_last else None
    return Span(times[at], times[at + 1], before, after, key, whole)


def _step(journey: Journey, state: State) -> State:
    grid, index = _job(journey, state.job)
    span = _span(journey, grid, state.at, state.job % journey.blocks)
    x, extra = before = _carried(journey, state)
    slope = _Slope(journey, extra)
    (x, integrated), memory, _ = journey.step(slope, span, _integrated(journey, x, extra), state.memory)
    extra = extra if journey.rate is None else integrated
    if journey.after is not None:
        key = None if span.key is None else jax.random.fold_in(span.key, 1 << 20)  # no part of a step has it
        x, extra = journey.after(span.later, x, extra, key)

    def placed(all: Array, value: Array) -> Array:
        value = value if value.dtype == all.dtype else value.astype(all.dtype)  # keys have no other type
        return all.at[grid].set(_put(all[grid], index, journey.axis, value))

    kept = _recorded(journey, state.kept, (grid, index, state.at), span, before, (x, extra))
    state = state._replace(
        x=placed(state.x, x), extra=jax.tree.map(placed, state.extra, extra), memory=memory, kept=kept
    )
    return _next(journey, state, grid)


def _next(journey: Journey, state: State, grid: Any) -> State:
    """The next step of this job, or the first one of the next."""
    at = state.at + 1
    ended = at >= journey.steps[grid]
    job = jnp.where(ended, state.job + 1, state.job)
    state = state._replace(job=job, at=jnp.where(ended & (job < journey.jobs), 0, at))
    if journey.jobs == 1:
        return state
    begun = _begun(journey, state)
    return state._replace(memory=jax.tree.map(lambda a, b: jnp.where(ended, a, b), begun, state.memory))


def _recorded(journey: Journey, kept: Any, place: tuple, span: Span, before: tuple, now: tuple) -> Any:
    """What is seen after a step: at the time of the grid, or at all frames from the step's beginning on."""
    if not journey.keeps:
        return kept
    grid, index, at = place
    new = _seen(journey, span.later, *now)
    frames = journey.frames
    if frames is None:

        def one(all: Array, new: Array) -> Array:
            return all.at[grid, at + 1].set(_put(all[grid, at + 1], index, journey.axis, jnp.asarray(new, all.dtype)))

        return jax.tree.map(one, kept, new)
    share = (frames - span.now) / (span.later - span.now)

    def between(all: Array, old: Array, new: Array) -> Array:
        old, new = jnp.asarray(old, all.dtype), jnp.asarray(new, all.dtype)
        u = share.reshape(-1, *[1] * new.ndim)
        there = _taken(all[grid], index, journey.axis + 1)
        value = jnp.where(u >= 0, old[None] + jnp.minimum(u, 1) * (new - old)[None], there)
        return all.at[grid].set(_put(all[grid], index, journey.axis + 1, value))

    return jax.tree.map(between, kept, _seen(journey, span.now, *before), new)


def _done(journey: Journey, state: State) -> Array:
    reason = jnp.where(state.job >= journey.jobs, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(journey: Journey, state: State) -> dict[str, Array]:
    return {"time": journey.times[_job(journey, state.job)[0], state.at]}


CARRY = Method(_init, _step, _done, _measure)


# --- the entry point --------------------------------------------------------------------------------------------------------


@chosen
def carry(
    loop: Loop,
    fields: Callable | Exact | tuple,
    x: ArrayLike | Sequence,
    times: Any,
    *,
    solver: Solver = "rk4",
    epsilon: Any = 0.0,
    key: PRNGKeyArray | None = None,
    extra: Any = None,
    rate: Callable | None = None,
    after: Callable | None = None,
    steps: Any = None,
    euler_last: bool = False,
    keep: bool | Callable = True,
    frames: Any = None,
    rows: int | None = None,
    sees_extra: bool = False,
    state: State | None = None,
) -> Carried:
    r"""Carry points along a field, step by step, by a loop that reports and stops.

    $$ dX = b\,dt \quad\text{or}\quad dX = (b \pm \epsilon s)\,dt + \sqrt{2\epsilon}\,dW, \qquad
       (X, e) \leftarrow \mathrm{after}(t, X, e) \ \text{ after each step} $$

    Time ``nfe`` evaluations, memory O(K n d) of what is kept, or of the frames.

    Args:
        loop: ``pure`` (works under ``jit`` and ``vmap``) or a ``Chunked``.
        fields: called at (t, x) it returns velocities of the shape of x, or a ``Field`` (with noise: whatever has
            ``velocity`` and ``score``). Or a tuple of such, each of its own row of x. A pytree (an ``Exact``, an
            ``eqx.Module``) is given to the program, a plain function is compiled in.
        x: (..., n, d), where the points begin; their type is that of the work.
        times: (K + 1,), increasing or decreasing, any numbers (noise levels too); where ``steps`` says that only some
            are used, the last may be repeated (``even``). Or (grids, K + 1): one after another, all from x.
        solver: "euler", "midpoint", "heun", "rk4", "adams-bashforth", of orders 1, 2, 2, 4, 2; with noise "euler", "heun" or
            "noise-first", as in ``sde``; or a ``steps.Step`` of your own.
        epsilon: the noise level, a number, a function of the time, or an array (K + 1, ...), of which each row broadcasts
            against x. The number 0 is the ODE.
        key: of the noise and of ``after``; a step's is ``fold_in(key, step)``, as in ``sde``.
        extra: a pytree of arrays that is carried along.
        rate: called at (t, x, extra), the time derivative of extra, which the solver then integrates with x.
        after: called after each step at (time, x, extra, key of the step or None), returns x and extra: a projection, a step
            towards data, an update of a momentum.
        steps: how many steps of the grid are done, at least 1; traced; (grids,) of several. All, when omitted.
        euler_last: the last step asks at its beginning only: Euler's, where the field has no value at the last time.
        keep: the points at all times, or at the first and the last one only; or a function of (t, x, extra) whose values
            (a pytree of arrays) are kept at all times instead.
        frames: (frames,) times at which that is kept, linearly between steps, instead of those of the grid.
        rows: how many points are moved at a time where all at once would take too long to be stopped: block by block, each to
            its end. Extra and what is kept then have an axis of points where x has it. Noise is drawn by block.
        sees_extra: the fields are called at (t, x, extra).
        state: where a stopped one goes on, with the same arguments.

    Returns:
        a ``Carried``: times, x at them or what ``keep`` saw, the end (..., n, d), extra, counts, the reason, and the state.

    Raises:
        ValueError: an unknown solver, one without noise where there is noise, noise without a key, times that are not
            monotone, fields that are not as many as the rows of x, steps outside the grid, or what ``ode`` refuses.

    Source:
        Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 1993; Kloeden, Platen (1992), with noise.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> from lab.numerics import pure
        >>> shrunk = paths.carry(pure, lambda t, x: -x, jnp.ones((1, 1)), jnp.linspace(0, 1, 11))
        >>> round(float(shrunk.end[0, 0]), 4), int(shrunk.nfe)
        (0.3679, 40)
    """
    x = real("x", x, finite=False)  # NaN of a run that was stopped ends at once
    loop = traceable(loop)
    noisy = not (isinstance(epsilon, int | float) and epsilon == 0)
    step = _solver(solver, noisy)
    if noisy and key is None:
        raise ValueError("noise needs a key: give key, or epsilon = 0")
    grids = _grids(times, x.dtype, steps is not None)
    counts = _counts(steps, grids)
    _fit(fields, x, grids, 0.0 if euler_last else step.latest)
    rows = None if rows is None else whole("rows", rows, 1)
    journey = Journey(
        fields,
        rate,
        after,
        keep if callable(keep) else None,
        step,
        x,
        jax.tree.map(jnp.asarray, extra),
        grids,
        _levels(epsilon, grids) if noisy else None,
        key,
        placed(counts),
        None if frames is None else jnp.asarray(frames, x.dtype),
        euler_last,
        sees_extra,
        keep is not False,
        None if rows is None or rows >= x.shape[x.ndim - 2] else int(rows),
    )
    most = journey.jobs * (grids.shape[1] - 1)
    if not isinstance(counts, Tracer):
        most = max(1, journey.blocks * int(np.asarray(counts).sum()))
    run = loop(CARRY, journey, state, max_iterations=most)
    if loop is pure:
        tell("lab.paths.carry", run.reason, run.iterations)
    return Carried(*_found(journey, run.state, jnp.ndim(times) == 1), run.reason, run.state)


def even(steps: Any, most: int | None = None) -> Float[Array, " times"]:
    r"""Equal steps from 0 to 1, $t_k = \min(k / K, 1)$, whose number K may be traced; they stay at 1 once they are there.

    Args:
        steps: how many, K.
        most: static: how many there is room for; ``steps`` when omitted.

    Returns:
        times (most + 1,).

    Raises:
        ValueError: no whole number of at least 1.

    Source:
        Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 1993, on fixed steps.

    Examples:
        >>> from lab import paths
        >>> paths.even(2, 4).tolist()
        [0.0, 0.5, 1.0, 1.0, 1.0]
    """
    if isinstance(steps, Tracer):
        room = whole("most", most, 1)
        return jnp.minimum(jnp.arange(room + 1) / steps, 1.0)
    count = whole("steps", steps if np.ndim(steps) else np.asarray(steps).item(), 1)
    room = count if most is None else whole("most", most, count)
    return placed(np.minimum(np.arange(room + 1) / count, 1.0).astype(jnp.result_type(float)))


@jit
def _found(journey: Journey, state: State, single: bool) -> tuple[Array, Any, Array, Any, Array, Array]:
    """Times, what was kept, ends, extra, steps done and evaluations; of a single grid without an axis for it."""
    grids, blocks = journey.times.shape[0], journey.blocks
    jobs = jnp.arange(grids * blocks).reshape(grids, blocks)
    began = jnp.where(jobs == state.job, state.at, 0)
    reached = jnp.asarray(jnp.where(jobs < state.job, journey.steps[:, None], began))  # steps of each job
    x, t = state.kept, journey.times
    if not journey.keeps:
        first = jnp.broadcast_to(journey.x[None], state.x.shape)
        x = jnp.stack([first, state.x], axis=1)
        t = jnp.stack([t[:, 0], t[jnp.arange(grids), journey.steps]], axis=1)
    elif journey.frames is not None:
        t = jnp.broadcast_to(journey.frames[None], (grids, journey.frames.shape[0]))
    else:
        x = jax.tree.map(partial(_repeated, journey, reached), x)
    done = reached.min(axis=1)
    found = t, x, state.x, state.extra, done, done * journey.step.evaluations
    return jax.tree.map(lambda z: z[0], found) if single else found


def _repeated(journey: Journey, reached: Int[Array, "grids blocks"], kept: Array) -> Array:
    """What was kept at all times, with the last of what was reached from there on."""
    times = jnp.arange(kept.shape[1])
    if journey.rows is None:
        return jax.vmap(lambda rows, last: rows[jnp.minimum(times, last)])(kept, reached[:, 0])
    points = journey.x.shape[journey.axis]
    last = jnp.repeat(reached, journey.rows, axis=1)[:, :points]
    index = jnp.minimum(times[None, :, None], last[:, None, :])  # (grids, times, points)
    shape = (*index.shape[:2], *[1] * journey.axis, points, *[1] * (kept.ndim - 3 - journey.axis))
    return jnp.take_along_axis(kept, index.reshape(shape), axis=1)


# --- checks -----------------------------------------------------------------------------------------------------------------


def _solver(solver: Any, noisy: bool) -> Any:
    if not isinstance(solver, str):
        return solver
    if noisy:
        if solver not in _SCHEMES:
            raise ValueError(f"solver = {solver!r} has no noise: with epsilon it must be one of {', '.join(_SCHEMES)}")
        return Diffusion(solver)
    if solver == "noise-first":
        raise ValueError("solver = 'noise-first' is for noise: give epsilon, or take 'heun'")
    return AdamsBashforth() if solver == "adams-bashforth" else RungeKutta(SOLVERS[solver])


def _grids(times: Any, dtype: Any, padded: bool) -> Float[Array, "grids times"]:
    if not isinstance(times, Tracer):
        given = np.asarray(times, float)
        if given.ndim not in (1, 2) or given.shape[-1] < 2:
            raise ValueError(f"the times have shape {given.shape}, but at least two in a row are needed")
        gaps = np.atleast_2d(np.diff(given, axis=-1))
        still = gaps == 0 if padded else np.zeros_like(gaps, bool)
        if not (np.isfinite(given).all() and (((gaps > 0) | still).all(1) | ((gaps < 0) | still).all(1)).all()):
            raise ValueError("the times must be finite, and all increasing or all decreasing")
        return placed(np.atleast_2d(given.astype(dtype)))
    times = jnp.asarray(times, dtype)
    return times[None] if times.ndim == 1 else times


def _counts(steps: Any, grids: Array) -> Any:
    """How many steps of each grid."""
    most = grids.shape[1] - 1
    if steps is None:
        return np.full(grids.shape[0], most, np.int32)
    if isinstance(steps, Tracer):
        return jnp.broadcast_to(steps, grids.shape[:1]).astype(jnp.int32)
    counts = np.broadcast_to(np.asarray(steps, np.int32), grids.shape[:1])
    if not ((counts >= 1) & (counts <= most)).all():
        raise ValueError(f"steps = {steps}, but from 1 to {most} are needed, of a grid of {most}")
    return counts


def _fit(fields: Any, x: Array, grids: Array, latest: float) -> None:
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}, but points (..., n, d) are needed")
    if isinstance(fields, tuple) and (x.ndim < 3 or len(fields) != x.shape[0]):
        raise ValueError(f"{len(fields)} fields, but x has shape {x.shape}: a row (n, d) for each field is needed")
    for field in fields if isinstance(fields, tuple) else (fields,):
        for grid in () if isinstance(grids, Tracer) else map(placed, np.asarray(grids)):
            _checked(field, grid, latest)


def _levels(epsilon: Any, grids: Float[Array, "grids times"]) -> Array:
    """The noise level at each time, (grids, times, ...)."""
    level: Array
    if not callable(epsilon) and not isinstance(epsilon, Tracer) and not isinstance(grids, Tracer):
        given = np.asarray(epsilon, None if hasattr(epsilon, "dtype") else grids.dtype)
        level = placed(np.broadcast_to(given[None] if given.ndim else given, (*grids.shape, *given.shape[1:])))
    elif callable(epsilon):
        level = jnp.asarray(jax.vmap(jax.vmap(epsilon))(grids))
    else:
        level = jnp.asarray(epsilon)
        level = jnp.broadcast_to(level[None] if level.ndim else level, (*grids.shape, *level.shape[1:]))
    if not isinstance(level, Tracer) and not (np.asarray(level) >= 0).all():
        raise ValueError(f"epsilon = {float(level.min()):.6g}, but the noise level must not be negative")
    return level.astype(grids.dtype)
