r"""Particles along a path: fixed grids, adaptive steps, and noise added and taken away again.

All of these have the same law at each time, for exact fields and any $\epsilon(t) \ge 0$:

$$ dX = b\,dt, \qquad dX = (b + \epsilon s)\,dt + \sqrt{2\epsilon}\,dW, \qquad
   dX = (b - \epsilon s)\,dt + \sqrt{2\epsilon}\,d\bar W \ \text{ run from } t = 1 \text{ down.} $$

Source: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025), theorem 2.11 and section 6.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Reason
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.paths.fields import Exact, Field
from lab.paths.schedules import known
from lab.paths.steps import SOLVERS, Diffusion, RungeKutta, Span

type Solver = Literal["euler", "midpoint", "heun", "rk4"] | str
type Adaptive = Literal["tsit5", "dopri5", "dopri8"] | str
type Scheme = Literal["euler", "heun", "noise-first"] | str


_STAGES = {
    "tsit5": 6,
    "dopri5": 6,
    "dopri8": 13,
}  # evaluations of an attempted step; the last stage of the first two is reused


class Path(NamedTuple):
    """Particles at the times of a grid. Of ``keep=False`` the first and the last time only."""

    t: Float[Array, " times"]
    x: Float[Array, "times n d"]
    velocity: Float[Array, "times n d"]  # of ``sde`` the drift; NaN at a last time where the field has no value
    nfe: Int[Array, ""]  # evaluations of the velocity that the solver needed, for all particles at once
    reason: Int[Array, ""]  # a Reason: CONVERGED, or why the numbers should not be trusted

    @property
    def end(self) -> Float[Array, "n d"]:
        return self.x[-1]


@chosen
def ode(
    velocity: Callable | Exact,
    x: ArrayLike | Sequence,
    steps: int = 100,
    *,
    grid: Any = None,
    interval: Any = None,
    solver: Solver = "rk4",
    reverse: bool = False,
    keep: bool = True,
) -> Path:
    r"""Integrate $dX = b(t, X)\,dt$ on a fixed grid.

    Time ``nfe`` evaluations, memory O(K n d) of the path, and O(n d) without it. The velocity at the last time is one
    evaluation more, which nfe does not count.

    Args:
        velocity: called at (t, x) it returns (n, d) or a ``Field``; an ``Exact`` field, a network, a function of your own.
        x: (n, d), where the particles begin.
        steps: number of steps. From 0 to 1 they are equal. Where an ``Exact`` field has no value at an end they stop 1e-4 short
            of it (1e-3 in float32), and where that end is points they are ``graded``. A solver that never asks at the last
            time ("euler", "midpoint") goes to it: Euler's last step is onto the denoiser.
        grid: times (K + 1,) to use instead; decreasing ones integrate backward.
        interval: first and last time of equal steps, instead.
        solver: "euler" (1 evaluation a step), "midpoint", "heun" (2), "rk4" (4).
        reverse: from the last time to the first.
        keep: the whole path, or its ends only.

    Returns:
        a ``Path``: times (K + 1,), x (K + 1, n, d) and velocities at them; of ``keep=False`` both ends only.

    Raises:
        ValueError: an unknown solver, fewer steps than 1, a grid that is not monotone, or one that asks an exact field where
            it has no value (Euler from 0 to 1 doesn't).

    Source:
        Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 1993.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> path = paths.ode(lambda t, x: -x, jnp.ones((1, 1)), steps=10)
        >>> round(float(path.end[0, 0]), 4), int(path.nfe)  # exp(-1)
        (0.3679, 40)
    """
    x = real("x", x, ("n", "d"))
    tableau = SOLVERS[solver]
    times = _grid(velocity, x, steps, grid, interval, reverse, max(tableau.nodes))
    end = _checked(velocity, times, max(tableau.nodes))
    return _ode(velocity, x, times, solver, keep, end)


@jit
def _ode(velocity: Callable, x: Array, times: Array, solver: str, keep: bool, end: bool) -> Path:
    step = RungeKutta(SOLVERS[solver])

    def at(t, x):
        return _velocity(velocity, t, x)

    def one(x, span):
        (x, _), _, (first, _) = step(lambda t, y: (at(t, y[0]), None), Span(*span), (x, None), None)
        return x, (x, first) if keep else None

    return _walk(one, x, times, step.evaluations, at, keep, end, None)


@chosen
def adaptive(
    velocity: Callable | Exact,
    x: ArrayLike | Sequence,
    times: Any = None,
    *,
    solver: Adaptive = "dopri5",
    rtol: ArrayLike = 1e-5,
    atol: ArrayLike = 1e-5,
    max_steps: int = 4096,
) -> Path:
    r"""Integrate $dX = b(t, X)\,dt$ with steps that the error of the whole cloud decides, by diffrax.

    ``nfe`` counts the evaluations of every attempted step, accepted or not, and the very first.

    Args:
        velocity: called at (t, x) it returns (n, d) or a ``Field``, as in ``ode``.
        x: (n, d), where the particles begin.
        times: (K,) at which the path is kept, monotone; the ends of an ``Exact`` field's interval, else (0, 1).
        solver: "tsit5", "dopri5" or "dopri8".
        rtol: relative tolerance of the error of a step, root mean square over all coordinates of all particles.
        atol: absolute tolerance of the same, in units of x.
        max_steps: static limit of steps, accepted or not.

    Returns:
        a ``Path`` at ``times``: x (K, n, d) and the velocities there.

    Raises:
        ValueError: an unknown solver, times that are not monotone, or where an exact field has no value.

    Source:
        Dormand, Prince (1980); Tsitouras (2011).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> path = paths.adaptive(lambda t, x: -x, jnp.ones((1, 1)))
        >>> round(float(path.end[0, 0]), 4)  # exp(-1)
        0.3679
    """
    x = real("x", x, ("n", "d"))
    rtol, atol = (real(name, each, (), low=0, dtype=x.dtype) for name, each in (("rtol", rtol), ("atol", atol)))
    max_steps = whole("max_steps", max_steps, 1)
    low, high = _interval(velocity)
    times = _grid(velocity, x, 1, (low, high) if times is None else times, None, False)
    _checked(velocity, times, 1.0)
    if known((rtol, atol)) and not float(rtol) + float(atol) > 0:
        raise ValueError("rtol = atol = 0 is not allowed: one of both tolerances must be positive")
    tolerances = refuse_derivative(
        (rtol, atol), "the accepted steps jump as rtol and atol change: they have no derivative"
    )
    return _adaptive(velocity, x, times, solver, tolerances, max_steps)


@jit
def _adaptive(velocity: Callable, x: Array, times: Array, solver: str, tolerances: tuple, max_steps: int) -> Path:
    import diffrax  # here: it takes a second that most users of this module do not need

    chosen = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5, "dopri8": diffrax.Dopri8}[solver]()
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, _: _velocity(velocity, jnp.asarray(t), x)),
        chosen,
        times[0],
        times[-1],
        None,
        x,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(*tolerances),
        max_steps=max_steps,
        throw=False,
        adjoint=diffrax.DirectAdjoint(),  # the others know reverse mode only, or forward mode only
    )
    xs = solution.ys
    assert xs is not None
    velocities = jax.lax.map(lambda each: _velocity(velocity, *each), (times, xs))
    count = _STAGES[solver] * solution.stats["num_steps"] + 1  # all of them reuse their last stage
    ended = solution.result == diffrax.RESULTS.successful
    reason = jnp.where(ended, _reason(xs[-1]), Reason.MAX_ITERATIONS)
    return Path(times, xs, velocities, count.astype(jnp.int32), reason.astype(jnp.int32))


@chosen
def sde(
    field: Callable | Exact | tuple[Callable, Callable],
    x: ArrayLike | Sequence,
    key: PRNGKeyArray,
    epsilon: Any = 1.0,
    steps: int = 200,
    *,
    grid: Any = None,
    interval: Any = None,
    scheme: Scheme = "heun",
    reverse: bool = False,
    keep: bool = True,
) -> Path:
    r"""The diffusion with the marginals of the path: $dX = (b \pm \epsilon s)\,dt + \sqrt{2\epsilon}\,dW$, + forward in time.

    Args:
        field: called at (t, x) it returns a ``Field``, or two functions (velocity, score).
        x: (n, d), at the first time, or at the last one if ``reverse``.
        key: of the noise; a step's is ``fold_in(key, step)``.
        epsilon: at least 0, a number or a function of the time; 0 is the ODE. Proportional to gamma^2 it keeps the drift
            bounded at both ends.
        steps: number of steps, as in ``ode``.
        grid: times (K + 1,) to use instead.
        interval: first and last time of equal steps, instead.
        scheme: "euler" (Euler-Maruyama, 1 evaluation), "heun" (trapezoidal, 2, weak order 2 for a constant epsilon),
            "noise-first" (2; the stochastic Heun of the paper's code, which adds the noise first and evaluates twice at
            the end of the step; weak order 1).
        reverse: from the last time to the first, with the drift $b - \epsilon s$.
        keep: the whole path, or its ends only.

    Returns:
        a ``Path``: times (K + 1,), x (K + 1, n, d) and drifts at them; of ``keep=False`` both ends only.

    Raises:
        ValueError: an unknown scheme, a negative epsilon, or what ``ode`` refuses.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025), theorem 2.11 and section 6.

    Examples:
        >>> import jax
        >>> from lab import paths
        >>> field = paths.exact(paths.Linear(), paths.standard(1), paths.gaussian([2.0], 0.25))
        >>> x = paths.standard(1).sample(jax.random.key(0), 400)
        >>> end = paths.sde(field, x, jax.random.key(1), steps=20).end
        >>> bool(abs(end.mean() - 2) < 0.2), bool(abs(end.std() - 0.5) < 0.1)
        (True, True)
    """
    x = real("x", x, ("n", "d"))
    times = _grid(field, x, steps, grid, interval, reverse)
    end = _checked(field, times, 0.0 if scheme == "euler" else 1.0)
    return _sde(field, x, key, _levels(epsilon, times), times, scheme, keep, end)


@jit
def _sde(field: Any, x: Array, key: Array, level: Array, times: Array, scheme: str, keep: bool, end: bool) -> Path:
    step = Diffusion(scheme)

    def drift(t, x, tilt):
        velocity, score = _both(field, t, x)
        return velocity + tilt * score

    def one(x, span):
        now, later, before, after, k = span
        span = Span(now, later, before, after, jax.random.fold_in(key, k))
        (x, _), _, (first, _) = step(lambda t, y, tilt: (drift(t, y[0], tilt), None), span, (x, None), None)
        return x, (x, first) if keep else None

    toward = jnp.sign(times[-1] - times[0])
    extra = level[:-1], level[1:], jnp.arange(times.shape[0] - 1)
    levels = {"first": level[0], "last": level[-1]}

    def at_end(t, x):
        return drift(t, x, toward * jnp.where(t == times[0], levels["first"], levels["last"]))

    return _walk(one, x, times, step.evaluations, at_end, keep, end, extra)


def _walk(
    step: Callable, x: Array, times: Array, cost: int, slope: Callable, keep: bool, end: bool, extra: Any
) -> Path:
    """Scan the steps over the grid; ``extra`` are further rows for each step."""
    spans = (times[:-1], times[1:], *(extra or ()))
    new, kept = jax.lax.scan(step, x, spans)
    last = slope(times[-1], new) if end else jnp.full_like(x, jnp.nan)
    if keep:
        xs = jnp.concatenate([x[None], kept[0]])
        slopes = jnp.concatenate([kept[1], last[None]])
        at = times
    else:
        xs, slopes, at = jnp.stack([x, new]), jnp.stack([slope(times[0], x), last]), jnp.stack([times[0], times[-1]])
    return Path(at, xs, slopes, jnp.int32(cost * (times.shape[0] - 1)), _reason(new))


def _grid(field: Any, x: Array, steps: int, grid: Any, interval: Any, reverse: bool, last: float = 1.0) -> Array:
    """The times of all steps; ``last`` is the latest node of a step."""
    if grid is None:
        steps = whole("steps", steps, 1)
        ends = real("interval", _interval(field) if interval is None else interval, (2,), low=0, high=1)
        crowded = interval is None and isinstance(field, Exact) and field.crowded
        if isinstance(ends, Tracer):
            grid = ends[0] + jnp.arange(steps + 1) / steps * (ends[1] - ends[0])
        else:
            low, high = _interval(field) if interval is None else map(float, interval)
            grid = graded(steps, low, high) if crowded else np.linspace(low, high, steps + 1)
        if interval is None and last < 1:
            grid[0 if reverse else -1] = 0.0 if reverse else 1.0
    elif interval is not None:
        raise ValueError("give either a grid or an interval: the grid says where to begin and end")
    if not isinstance(grid, Tracer):
        given = np.asarray(grid, float)
        if given.ndim != 1 or len(given) < 2 or not ((np.diff(given) > 0).all() or (np.diff(given) < 0).all()):
            raise ValueError("the grid must be at least two times, all increasing or all decreasing")
        if not ((given >= 0) & (given <= 1)).all():
            raise ValueError(f"the times go from {given.min():.6g} to {given.max():.6g}, but they must be in [0, 1]")
        grid = given
    times = jnp.asarray(grid, x.dtype)
    if times.ndim != 1 or times.shape[0] < 2:
        raise ValueError(f"the grid has shape {times.shape}, but a row of at least two times is needed")
    return times[::-1] if reverse else times


def graded(steps: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    r"""Times (steps + 1,) from low to high that crowd at an end short of 0 or 1, where a field grows like $1/(1-t)$.

    About half of the steps are equal, the others a constant fraction of what is left to the end: down to points without
    spread equal steps would be far longer than that at last. From 0 to 1 all are equal.
    """
    first, last = low > 0, high < 1
    nodes = [np.linspace(low, high, 1025)]
    nodes += [np.geomspace(low, 1, 1025)] if first else []
    nodes += [1 - np.geomspace(1 - high, 1, 1025)] if last else []
    t = np.unique(np.clip(np.concatenate(nodes), low, high))
    # of each part the same number of steps: equal ones, and equal fractions of the time to an end
    count = (t - low) / (high - low)
    count = count + (np.log(t / low) / np.log(high / low) if first else 0)
    count = count + (np.log((1 - low) / (1 - t)) / np.log((1 - low) / (1 - high)) if last else 0)
    times = np.interp(np.linspace(0, count[-1], steps + 1), count, t)
    times[0], times[-1] = low, high
    return times


def between(
    times: ArrayLike | Sequence, x: ArrayLike | Sequence, wanted: ArrayLike | Sequence
) -> Float[Array, "wanted *any"]:
    r"""A path at other times, linear between those it has; before the first and after the last it stays.

    $$ x(t) = (1 - s)\, x_k + s\, x_{k+1}, \qquad s = \frac{t - t_k}{t_{k+1} - t_k} $$

    Args:
        times: (times,), increasing, at least two.
        x: (times, ...), the path at them.
        wanted: (wanted,) other times.

    Returns:
        the path there, (wanted, ...).

    Raises:
        ValueError: fewer than two times, times that do not increase, or a path of another length.

    Source:
        Stoer, Bulirsch, Introduction to Numerical Analysis, 2002, chapter 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> paths.between(jnp.asarray([0.0, 1.0]), jnp.asarray([0.0, 4.0]), jnp.asarray([0.25, 2.0])).tolist()
        [1.0, 4.0]
    """
    times, wanted = real("times", times, ("times",)), real("wanted", wanted, ("wanted",))
    x = real("x", x, finite=False)  # NaN where a path was stopped
    if times.shape[0] < 2 or (known(times) and not (np.diff(np.asarray(times)) > 0).all()):
        raise ValueError("times must be at least two, all increasing")
    if x.shape[:1] != times.shape:
        raise ValueError(f"x has shape {x.shape}, but one row for each of the {times.shape[0]} times is needed")
    wanted = jnp.clip(wanted, times[0], times[-1])
    k = jnp.clip(jnp.searchsorted(times, wanted, side="right") - 1, 0, times.shape[0] - 2)
    share = ((wanted - times[k]) / (times[k + 1] - times[k])).reshape(-1, *[1] * (x.ndim - 1))
    return (1 - share) * x[k] + share * x[k + 1]


def _interval(field: Any) -> tuple[float, float]:
    return field.interval if isinstance(field, Exact) else (0.0, 1.0)


def _checked(field: Any, times: Array, last: float) -> bool:
    """Whether the field has a value at the last time; ``last`` is the latest node of a step.

    Raises:
        ValueError: where a step would ask for a value that the field hasn't.
    """
    if not isinstance(field, Exact) or isinstance(times, Tracer):
        return True
    given, (low, high) = np.asarray(times), field.interval

    def missing(t):
        return (t == 0 and low > 0) or (t == 1 and high < 1)

    for t in (given[0], *((given[-1],) if last == 1 else ())):
        if missing(t):
            raise ValueError(
                f"points without spread have no velocity at t = {t:g}: end the grid at {low if t == 0 else high:g}, "
                "or take the Euler solver, which never asks at the last time"
            )
    return not missing(given[-1])


def _velocity(field: Callable, t: Any, x: Array) -> Array:
    out = field(t, x)
    out = out.velocity if isinstance(out, Field) else out
    if out.shape != x.shape:
        raise ValueError(f"the velocity has shape {out.shape} at points of shape {x.shape}: they must agree")
    return out.astype(x.dtype)


def _both(field: Any, t: Array, x: Array) -> tuple[Array, Array]:
    if isinstance(field, tuple):
        velocity, score = field
        return velocity(t, x).astype(x.dtype), score(t, x).astype(x.dtype)
    out = field(t, x)
    if not isinstance(out, Field):
        raise TypeError("the field gives no score: give an Exact field, or two functions (velocity, score)")
    return out.velocity, out.score


def _levels(epsilon: Any, times: Array) -> Array:
    """The noise level at each time."""
    given = jax.vmap(epsilon)(times) if callable(epsilon) else epsilon
    level = real("epsilon", given, low=0, dtype=times.dtype)
    if level.ndim and level.shape != times.shape:
        raise ValueError(f"epsilon has shape {level.shape}, but one number, or a function of the time, is needed")
    return jnp.broadcast_to(level, times.shape)


def _reason(x: Array) -> Array:
    return jnp.where(jnp.isfinite(x).all(), Reason.CONVERGED, Reason.NOT_FINITE).astype(jnp.int32)
