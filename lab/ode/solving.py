r"""An adaptive solver that tells what it knows: the error and the stiffness of every step, accepted or not, all differentiable.

A step of length h from (t, y) has the scaled error

$$ E = \Big( \frac1n \sum_d \Big[
   \frac{\mathrm{err}_d}{\mathrm{atol} + \mathrm{rtol} \max(|y_d|, |y_{1,d}|)} \Big]^2 \Big)^{1/2} $$

over all n numbers of the state, so that a batch has one length of step; it is accepted where E < 1, and the next one is
longer by

$$ \eta\, E^{-(p_I + p_P)/k}\, E_\mathrm{before}^{\,p_P/k}, \qquad \text{in } [1, 10] \text{ after an accepted step, in }
   [0.2, \eta] \text{ after a rejected one,} $$

$\eta = 0.9$, k the order of the pair, and E_before that of the accepted step before. With $p_P = 0$ this is the plain
controller. The rule, and by it each step, is that of diffrax's ``PIDController``.

Gradients are those of the steps that were taken (discretise, then optimise): a continuous adjoint knows neither E nor S. The
lengths depend on the parameters too. By default that is ignored (``diff_h=False``, as diffrax does): the slope of E then says
how to make it smaller *at these lengths*, which lets the controller take longer ones. With ``diff_h=True`` it is the slope of
the number itself, which the controller holds near its goal: the two may differ in sign.

``solve`` is one ``lax.scan`` whose body is skipped once the end is reached, for gradients; ``SOLVING`` is the same step
as a method of ``lab.numerics``, which reports, stops and goes on.

Sources: Pal, Ma, Shah, Rackauckas, *Opening the Blackbox*, ICML 2021; Hairer, Norsett, Wanner, *Solving Ordinary Differential
Equations I*, section II.4 (the first step).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics import Method, Reason, arguments
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.ode.steppers import RungeKutta, Stepper, norms, ratio, root
from lab.ode.tableaus import TSIT5, Pair, Tableau, pair

type Field = Callable[[Array, Array], Array]
"""The right-hand side, called as f(t, y)."""

_BAD = 20  # steps in a row that are not finite, after which one gives up
_STRETCH = 16
_SHORTEST = 1e-6  # first step where nothing is known


class Controller(NamedTuple):
    """How long the next step is; all traced."""

    safety: ArrayLike = 0.9
    shortest: ArrayLike = 0.2  # factor after a rejected step
    longest: ArrayLike = 10.0  # factor after an accepted one
    proportional: ArrayLike = 0.0  # p_P
    integral: ArrayLike = 1.0  # p_I


class Problem(eqx.Module):
    """What is solved, as the loop sees it; ``problem`` makes and checks it."""

    step: Any  # a Stepper
    y0: Array
    t0: Float[Array, ""]
    stops: Float[Array, " stops"]  # times that are met exactly; the last one is the end
    h0: Float[Array, ""]
    rtol: Array
    atol: Array
    controller: Controller
    diff_h: bool = eqx.field(static=True)


class Row(NamedTuple):
    """What is told of a step."""

    t: Array  # where it begins
    h: Array  # its length, positive; 0 where no step was taken any more
    E: Array  # scaled error
    error: Array  # |err|_2
    S: Array  # stiffness
    accepted: Bool[Array, "*rows"]


class State(NamedTuple):
    """Where a solution is, and what the last step was."""

    t: Float[Array, ""]
    y: Array
    memory: Any
    h: Float[Array, ""]  # of the step that comes
    before: Float[Array, ""]  # 1/E of the last accepted step
    stop: Int[Array, ""]  # stops that were met
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    bad: Int[Array, ""]  # steps in a row that were not finite
    beside: Any
    row: Row


class Steps(NamedTuple):
    """A solution with all its steps.

    ``at`` and ``slopes`` (rows, *y) are where each step began and its slope there, if asked for.
    """

    y: Array  # at the last stop
    ys: Array  # (stops, *y)
    told: Float[Array, "max_steps 5"]  # t, h, E, |err| and S of each step, h = 0 after the last one; ``rows`` by name
    beside: Any  # what was integrated beside y, None where nothing was
    t: Float[Array, ""]  # how far one came
    h: Float[Array, ""]  # the step that would come next
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    evaluations: Int[Array, ""]  # of the field
    reason: Int[Array, ""]
    at: Any = None
    slopes: Any = None

    @property
    def rows(self) -> Row:
        """What is told of each step, (max_steps,)."""
        told = self.told
        t, h, E, error, S = (told[:, number] for number in range(5))
        return Row(t, h, E, error, S, (h > 0) & (E < 1))

    @property
    def converged(self) -> Any:
        return self.reason == Reason.CONVERGED


def first_step(
    field: Field,
    t0: Any,
    y0: Any,
    sign: ArrayLike = 1.0,
    order: ArrayLike = 5.0,
    rtol: ArrayLike = 1e-6,
    atol: ArrayLike = 1e-6,
) -> Float[Array, ""]:
    r"""The first length by the sizes of y, its slope and the change of that.

    $$ h = 0.01\, d_0 / d_1, \qquad h_1 = (0.01 / \max(d_1, d_2))^{1/k}, \qquad \min(100\, h, h_1) $$

    d_0, d_1 being the scaled sizes of y and f, d_2 that of the change of f over a step h of Euler, by h. It is
    differentiable; ``solve`` ignores that unless ``diff_h`` is on.

    Args:
        field: f(t, y).
        t0: where the solution begins, an array of shape ().
        y0: the state there, of any shape.
        sign: 1, or -1 for a solution that goes back.
        order: k of the pair.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Returns:
        the length, positive.

    Raises:
        ValueError: tolerances that are negative or both 0, an order below 1, or a field of another shape than the state.

    Source:
        Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> h = ode.first_step(lambda t, y: -y, jnp.array(0.0), jnp.ones(1), rtol=0.0, atol=1.0)  # (0.01 / 1)^(1/5)
        >>> round(float(h), 4)
        0.3981
    """
    t0, y0 = arguments.real("t0", t0, ()), arguments.real("y0", y0)
    _check(y0, t0, t0 + 1, rtol, atol, None, None)
    order = arguments.real("order", order, (), low=1)
    rtol, atol = jnp.asarray(rtol, y0.dtype), jnp.asarray(atol, y0.dtype)
    _check_field(field, t0, y0)
    scale, slope = atol + rtol * jnp.abs(y0), field(t0, y0)
    d0, d1 = (root(((z / scale) ** 2).mean()) for z in (y0, slope))
    small = (d0 < 1e-5) | (d1 < 1e-5)
    h = jnp.where(small, _SHORTEST, 0.01 * d0 / jnp.where(small, 1, d1))
    later = field(t0 + sign * h, y0 + sign * h * slope)
    d2 = root((((later - slope) / scale) ** 2).mean()) / h
    most = jnp.maximum(d1, d2)
    known = most > 1e-15
    longer = jnp.where(known, (0.01 / jnp.where(known, most, 1)) ** (1 / order), jnp.maximum(_SHORTEST, 1e-3 * h))
    return jnp.minimum(100 * h, longer)


def _check_field(field: Field, t: Array, y: Array) -> None:
    """Check that a field takes the state and returns a slope of its shape.

    Raises:
        ValueError: the field cannot be called with the state, or returns something else.
    """
    try:
        slope = jax.eval_shape(field, t, y)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"field cannot be called with a time and a state of shape {y.shape}: {error}") from error
    shape = getattr(slope, "shape", None)
    if shape != y.shape or not jnp.issubdtype(slope.dtype, jnp.inexact):
        kind = f"an array of shape {shape} and type {slope.dtype}" if shape is not None else f"a {type(slope).__name__}"
        raise ValueError(
            f"field returns {kind} for a state of shape {y.shape} and type {y.dtype}: it must return its slope"
        )


@chosen
def problem(
    field: Field | Stepper,
    y0: Any,
    t0: Any = 0.0,
    t1: Any = 1.0,
    *,
    rtol: Any = 1e-6,
    atol: Any = 1e-6,
    h0: Any = None,
    stops: Any = None,
    method: Pair | Tableau = TSIT5,
    controller: Controller = Controller(),  # noqa: B008  # immutable
    beside: Field | None = None,
    diff_h: bool = False,
) -> Problem:
    """What the loop runs: $y' = f(t, y)$ with its step, tolerances and ends. Checked.

    Args:
        field: f(t, y), or a ``Stepper``.
        y0: the state at t0, of any shape.
        t0: where the solution begins.
        t1: where it ends; may lie before t0.
        rtol: relative tolerance; a number, or an array that broadcasts against y.
        atol: absolute tolerance, likewise.
        h0: length of the first step; found from y0 when omitted.
        stops: times that are met exactly, in order, the last of them the end, in place of t1.
        method: "tsit5", "dopri5", or a ``Tableau``.
        controller: how long the next step is.
        beside: r(t, y), whose integral along the solution is wanted.
        diff_h: whether gradients go through the lengths of the steps.

    Returns:
        the problem, for ``SOLVING`` and a loop.

    Raises:
        ValueError: ends, tolerances, a first step or a y0 that can't be, or a field whose slope has another shape than y0.

    Source:
        Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> given = ode.problem(lambda t, y: -y, jnp.array([1, 2]), 0.0, 3.0, h0=0.1)
        >>> given.y0, given.stops
        (Array([1., 2.], dtype=float64), Array([3.], dtype=float64))
    """
    y0 = jnp.asarray(y0)
    if not jnp.issubdtype(y0.dtype, jnp.inexact):
        y0 = y0.astype(float)
    dtype = y0.dtype
    _check(y0, t0, t1, rtol, atol, h0, stops)
    if not diff_h:
        rtol, atol, h0, controller = refuse_derivative(
            (rtol, atol, h0, controller),
            "rtol, atol, h0 and controller act through the lengths of the steps, which are constants: set diff_h=True",
        )
    step = field if isinstance(field, Stepper) and hasattr(field, "begin") else RungeKutta(field, pair(method), beside)
    begin, ends = jnp.asarray(t0, dtype), jnp.atleast_1d(jnp.asarray(t1 if stops is None else stops, dtype))
    if h0 is None:
        if not isinstance(step, RungeKutta):
            raise ValueError("h0 = None, but the first step is found for Runge-Kutta steps alone: give h0")
        sign = jnp.where(ends[-1] >= begin, 1, -1).astype(dtype)
        h0 = first_step(step.field, begin, y0, sign, step.order, rtol, atol)
        h0 = h0 if diff_h else lax.stop_gradient(h0)
    elif isinstance(step, RungeKutta):
        _check_field(step.field, begin, y0)
    first, relative, absolute = (jnp.asarray(value, dtype) for value in (h0, rtol, atol))
    controller = Controller(*(jnp.asarray(value, dtype) for value in controller))
    return Problem(step, y0, begin, ends, first, relative, absolute, controller, diff_h)


def _check(y0: Array, t0: Any, t1: Any, rtol: Any, atol: Any, h0: Any, stops: Any) -> None:
    """Refuse what can't be solved, as far as it is known."""

    def known(value: Any) -> bool:
        return value is not None and not isinstance(value, Tracer)

    ends = t1 if stops is None else stops
    if known(t0) and known(ends):
        line = np.concatenate([np.atleast_1d(np.asarray(t0, float)), np.atleast_1d(np.asarray(ends, float))])
        ways = np.diff(line)
        if not np.isfinite(line).all() or not ((ways > 0).all() or (ways < 0).all()):
            name = "t1" if stops is None else "stops"
            raise ValueError(
                f"{name} = {ends} with t0 = {t0}, but times must be finite and go one way: give other ends"
            )
    for name, value in (("rtol", rtol), ("atol", atol)):
        low = np.min(np.asarray(value)) if known(value) else 1.0
        if not low >= 0:
            raise ValueError(f"{name} = {value}, but tolerances must not be negative")
    if known(rtol) and known(atol) and not np.min(np.asarray(rtol)) + np.min(np.asarray(atol)) > 0:
        raise ValueError(f"rtol = {rtol} and atol = {atol}, but one of them must be above 0")
    if known(h0) and not np.asarray(h0) > 0:
        raise ValueError(f"h0 = {h0}, but the first step must be longer than 0 (its direction follows from t0 and t1)")
    if known(y0) and not np.isfinite(np.asarray(y0)).all():
        raise ValueError("y0 has values that are not finite: a solution can't begin there")


def _init(given: Problem) -> State:
    nothing = jnp.zeros((), given.y0.dtype)
    beside = getattr(given.step, "beside", None)
    extra = None if beside is None else jnp.zeros_like(beside(given.t0, given.y0))
    none = Row(given.t0, nothing, nothing, nothing, nothing, jnp.asarray(False))
    zero = jnp.int32(0)
    memory = given.step.begin(given.t0, given.y0)
    return State(given.t0, given.y0, memory, given.h0, nothing + 1, zero, zero, zero, zero, extra, none)


def attempt(given: Problem, state: State) -> State:
    """One step, accepted or not."""
    stops, control = given.stops, given.controller
    goal = stops[jnp.minimum(state.stop, stops.size - 1)]
    sign = jnp.where(goal >= state.t, 1, -1).astype(state.h.dtype)
    rounding = 100 * jnp.finfo(state.h.dtype).eps * jnp.maximum(jnp.abs(goal), jnp.abs(goal - given.t0))
    ends = sign * (state.t + sign * state.h - goal) > -rounding
    h = jnp.where(ends, sign * (goal - state.t), state.h)
    tried = given.step(state.t, sign * h, state.y, state.memory)
    scale = given.atol + given.rtol * jnp.maximum(jnp.abs(state.y), jnp.abs(tried.y))
    E, error, over, under = norms(tried.error / scale, tried.error, tried.over, tried.under)
    E = E / state.y.size**0.5
    finite = jnp.isfinite(E)  # as all slopes are then
    E = jnp.where(finite, E, jnp.inf)
    accepted = E < 1

    felt = E if given.diff_h else lax.stop_gradient(E)
    usual = finite & (felt > 0)
    inverse = 1 / jnp.where(usual, felt, 1)
    k, now, last = given.step.order, jnp.asarray(control.integral), jnp.asarray(control.proportional)
    factor = control.safety * inverse ** ((now + last) / k) * state.before ** (-last / k)
    factor = jnp.where(usual, factor, jnp.where(finite, control.longest, 0.5))
    low = jnp.where(accepted, 1, control.shortest)
    factor = jnp.clip(factor, low, jnp.where(accepted, control.longest, control.safety))
    longer = h * factor
    between = ends & accepted & (state.stop + 1 < stops.size)  # a stop cut it short: the next one need not be
    longer = jnp.where(between, jnp.maximum(longer, state.h), longer)

    def taken(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), new, old)

    extra = None if state.beside is None else state.beside + jnp.where(accepted, tried.beside, 0)
    error, S = (jnp.where(finite, value, jnp.inf) for value in (error, ratio(over, under)))
    return State(
        taken(jnp.where(ends, goal, state.t + sign * h), state.t),
        taken(tried.y, state.y),
        taken(tried.memory, state.memory),
        longer,
        taken(jnp.where(usual, inverse, 1), state.before),
        state.stop + (accepted & ends),
        state.accepted + accepted,
        state.rejected + ~accepted,
        jnp.where(finite, 0, state.bad + 1),
        extra,
        Row(state.t, h, E, error, S, accepted),
    )


def _done(given: Problem, state: State) -> Array:
    ended = jnp.where(state.stop >= given.stops.size, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(state.bad >= _BAD, Reason.NOT_FINITE, ended).astype(jnp.int32)


def _told(given: Problem, state: State) -> dict[str, Array]:
    places = state.y.ravel()[:2]
    told = {f"y{number}": places[number] for number in range(places.size)}
    rows = state.row._asdict() | {"accepted": state.row.accepted.astype(state.h.dtype)}
    return rows | told | {"to": state.t}


SOLVING = Method(_init, attempt, _done, _told)
"""A solution as a method of ``lab.numerics``: the trace has a row for each step, with the first two numbers of y after it."""


@chosen
def solve(
    field: Field | Stepper,
    y0: Any,
    t0: Any = 0.0,
    t1: Any = 1.0,
    *,
    rtol: Any = 1e-6,
    atol: Any = 1e-6,
    h0: Any = None,
    stops: Any = None,
    max_steps: int = 256,
    method: Pair | Tableau = TSIT5,
    controller: Controller = Controller(),  # noqa: B008  # immutable
    beside: Field | None = None,
    diff_h: bool = False,
    keep: bool = False,
    throw: bool = True,
) -> Steps:
    """Solve $y' = f(t, y)$ from y(t0) to y(t1), with error and stiffness of every step.

    Works under ``jit``, ``vmap`` and ``grad``. Under ``vmap`` all steps up to max_steps are computed.
    A rejected step that is not finite makes gradients NaN. Gradients are those of the steps that were taken, whose lengths
    are constants unless ``diff_h`` is on: rtol, atol, h0 and controller then have no derivative, which raises an error.

    Args:
        field: f(t, y), an ``eqx.Module`` where its parameters are to be traced; or a ``Stepper``.
        y0: of any shape: a whole batch is one state with one length of step.
        t0: where the solution begins.
        t1: where it ends; may lie before t0.
        rtol: relative tolerance; a number, or an array that broadcasts against y.
        atol: absolute tolerance, likewise.
        h0: length of the first step; found from y0 when omitted, with two evaluations more.
        stops: times that are met exactly, in order, the last of them the end, in place of t1.
        max_steps: static; the steps that memory is set aside for, O(max_steps size(y)) under ``grad``.
        method: "tsit5", "dopri5", or a ``Tableau``.
        controller: how long the next step is.
        beside: r(t, y), whose integral along the solution is wanted; it has no part in the error.
        diff_h: whether gradients go through the lengths of the steps.
        keep: keep y and its slope where each step began.
        throw: raise where the end is not reached, and that is known; else ``reason`` tells.

    Returns:
        the solution with all its steps.

    Raises:
        ValueError: ends, tolerances, a first step or a y0 that can't be, a field whose slope has another shape than y0,
            max_steps below 1.
        RuntimeError: max_steps were too few, or 20 steps in a row were not finite.

    Source:
        Pal et al. (2021); Tsitouras (2011), of the pair; Hairer, Norsett and Wanner I, section II.4, of the first step.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.array([1.0]), 0.0, 1.0)
        >>> f"{float(steps.y[0]):.4f}", f"{float(steps.rows.S[0]):.3f}"  # exp(-2), and the rate
        ('0.1353', '2.000')
    """
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise ValueError(f"max_steps = {max_steps}, but it must be a whole number of at least 1")
    given = problem(
        field,
        y0,
        t0,
        t1,
        rtol=rtol,
        atol=atol,
        h0=h0,
        stops=stops,
        method=method,
        controller=controller,
        beside=beside,
        diff_h=diff_h,
    )
    found = _scanned(given, max_steps, keep)
    if h0 is None:
        found = found._replace(evaluations=found.evaluations + 2)
    if throw:
        check(found)
    return found


def check(found: Steps) -> None:
    """Raise where the end $t_1$ was not reached; inside ``jit`` and ``vmap``, where that is not known, do nothing.

    Args:
        found: from ``solve`` with ``throw=False``.

    Raises:
        RuntimeError: how far one came, with which step and error.

    Source:
        Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4, of the step control.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=1, throw=False)
        >>> try:
        ...     ode.check(steps)
        ... except RuntimeError as error:
        ...     print(str(error)[:28])
        max_steps = 1 were reached a
    """
    if isinstance(found.reason, Tracer) or np.ndim(found.reason) or bool(found.converged):
        return
    tried = int(found.accepted + found.rejected)
    E = float(np.asarray(found.told)[max(tried - 1, 0), 2])
    where = f"t = {float(found.t):g}, with a step of {float(found.h):.3g} and a scaled error of {E:.3g}"
    if int(found.reason) == Reason.NOT_FINITE:
        raise RuntimeError(f"{_BAD} steps in a row were not finite at {where}: the field has no values there")
    raise RuntimeError(f"max_steps = {len(found.told)} were reached at {where}: raise it, or loosen the tolerances")


def _packed(row: Row) -> Array:
    """The numbers of a row in one array, which is written sooner than five."""
    return jnp.stack([row.t, row.h, row.E, row.error, row.S])


@jit
def _scanned(given: Problem, max_steps: int, keep: bool) -> Steps:
    start = _init(given)
    ys = jnp.broadcast_to(start.y, (given.stops.size, *start.y.shape))
    numbers, rest = eqx.partition(given, eqx.is_array)  # a field may hold functions, which no checkpoint takes

    @jax.checkpoint  # pyright: ignore[reportPrivateImportUsage]
    def step(numbers: Any, state: State) -> State:
        return attempt(eqx.combine(numbers, rest), state)

    def go(carry: tuple) -> tuple:
        state, ys, _ = carry
        before = (state.y, state.memory) if keep else None
        new = step(numbers, state)
        met = new.stop > state.stop
        if given.stops.size > 1:
            ys = jnp.where(met, ys.at[state.stop].set(new.y), ys)
        return (new, ys, _done(given, new)), (_packed(new.row), before)

    def stay(carry: tuple) -> tuple:
        state, _, _ = carry
        return carry, (jnp.stack([state.t, *(jnp.zeros_like(state.t),) * 4]), (state.y, state.memory) if keep else None)

    def body(carry: tuple, _: None) -> tuple:
        return lax.cond(carry[2] == Reason.RUNNING, go, stay, carry)

    def stretch(carry: tuple) -> tuple:
        return lax.scan(body, carry, None, length=size)

    def still(carry: tuple) -> tuple:
        told = stay(carry)[1]
        return carry, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), told)

    def outer(carry: tuple, _: None) -> tuple:
        return lax.cond(carry[2] == Reason.RUNNING, stretch, still, carry)

    # what is left after the end is skipped in stretches
    size = next(size for size in range(min(_STRETCH, max_steps), 0, -1) if max_steps % size == 0)
    begin = (start, ys, _done(given, start))
    (state, ys, reason), told = lax.scan(outer, begin, None, length=max_steps // size)
    told, before = jax.tree.map(lambda leaf: leaf.reshape(max_steps, *leaf.shape[2:]), told)
    ys = state.y[None] if given.stops.size == 1 else ys
    return Steps(
        state.y,
        ys,
        told,
        state.beside,
        state.t,
        state.h,
        state.accepted,
        state.rejected,
        given.step.begins + given.step.evaluations * (state.accepted + state.rejected),
        jnp.where(reason == Reason.RUNNING, Reason.MAX_ITERATIONS, reason).astype(jnp.int32),
        *(before if keep else (None, None)),
    )
