"""What is looked at of one solution: its steps, its true error, where the work went, and two slopes of its error term."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.ode.regularizers import aggregate, error_of
from lab.ode.solving import SOLVING, Controller, Problem, Steps, problem, solve
from lab.ode.tableaus import Pair, pair

MOST = 1000
"""Steps that are told one by one; sums are of all."""
LONGEST = 8000
CONTROLLERS = {"plain": Controller(), "with memory": Controller(proportional=0.4, integral=0.3)}
FRAMES = 41
_FINER = 1e-2  # of the tolerance of a solution that errors are measured from
_EDGE = 2 / 3  # of the limit, above which a step is at the edge of stability
_SLOPE_STEPS = 512


class Told(NamedTuple):
    """All steps of a solution in order, NaN after the last one."""

    step_t: Float[Array, " step"]  # where it begins
    step_h: Float[Array, " step"]
    step_E: Float[Array, " step"]
    step_S: Float[Array, " step"]
    step_accepted: Float[Array, " step"]


class Seen(NamedTuple):
    """Numbers of a solution."""

    nfe: Array
    accepted: Array
    rejected: Array
    reg_E: Array  # sum of E h
    reg_S: Array  # sum of S h
    edge: Array  # share of the accepted steps whose h S is above 2/3 of the limit


def steps_of(told: Told, evaluations: int, limit: float, begins: int = 1) -> Seen:
    """Sums over all steps.

    Args:
        evaluations: of the field in a step.
        limit: of h S, for stability.
        begins: evaluations before the first step.
    """
    taken = told.step_accepted > 0
    tried = jnp.isfinite(told.step_h) & (told.step_h > 0)
    E, S, h = (jnp.where(taken, value, 0) for value in (told.step_E, told.step_S, told.step_h))
    near = taken & (S * h > _EDGE * limit)
    accepted, count = taken.sum(dtype=h.dtype), tried.sum(dtype=h.dtype)
    return Seen(
        begins + evaluations * count,
        accepted,
        count - accepted,
        aggregate(E * h, taken),
        aggregate(S * h, taken),
        near.sum() / jnp.maximum(accepted, 1),
    )


def told_of(steps: Steps, most: int = MOST) -> Told:
    """The steps of ``solve``."""
    rows = steps.rows
    live = rows.h > 0

    def cut(values: Array) -> Array:
        values = jnp.where(live, values.astype(rows.h.dtype), jnp.nan)
        return jnp.pad(values[:most], (0, max(most - values.size, 0)), constant_values=jnp.nan)

    return Told(*(cut(values) for values in (rows.t, rows.h, rows.E, rows.S, rows.accepted)))


class Survey(NamedTuple):
    """A solution by the loop."""

    told: Told
    seen: Seen
    way: Float[Array, "step 2"]  # the first two numbers of y after each step, NaN after the last one
    spent: Float[Array, "frame 2"]  # the same when so many of the evaluations were spent
    when: Float[Array, " frame"]  # and the time that was come to
    end: Array
    error: Array  # root mean square distance of the end from that of a hundredth of the tolerance
    reason: Any


@jit
def _begun(
    field: Any, y0: Array, t1: ArrayLike, tolerance: ArrayLike, h0: ArrayLike, controller: Controller, name: str
) -> Problem:
    return problem(field, y0, 0.0, t1, rtol=tolerance, atol=tolerance, h0=h0, method=name, controller=controller)


@jit
def _described(trace: dict, y0: Array, end: Array, fine: Array, reasons: tuple, name: str) -> tuple:
    whole = Told(*(jnp.asarray(trace[key]) for key in ("t", "h", "E", "S", "accepted")))
    told = Told(*(values[:MOST] for values in whole))
    tableau = pair(name)
    seen = steps_of(whole, tableau.evaluations, tableau.limit)
    first = jnp.asarray(trace["y0"])
    way = jnp.stack([first, trace.get("y1", jnp.full_like(first, jnp.nan))], axis=1)
    count = jnp.isfinite(whole.step_h).sum()
    at = jnp.round(jnp.linspace(0, 1, FRAMES) * count).astype(jnp.int32)
    flat = jnp.concatenate([y0.ravel(), jnp.full(1, jnp.nan)])[:2]
    spent = jnp.concatenate([flat[None], way])[at]
    when = jnp.concatenate([jnp.zeros(1), trace["to"]])[at]
    stopped = jnp.where(reasons[1] == Reason.STOPPED, Reason.STOPPED, Reason.CONVERGED)
    error = jnp.where(reasons[1] == Reason.CONVERGED, jnp.sqrt(((end - fine) ** 2).mean()), jnp.nan)
    return told, seen, way[:MOST], spent, when, end, error, first_failure(reasons[0], stopped)


@chosen
def survey(
    loop: Loop,
    field: Any,
    y0: Array,
    t1: ArrayLike,
    tolerance: ArrayLike,
    h0: ArrayLike = 0.01,
    *,
    method: Pair = "tsit5",
    controller: Controller = Controller(),  # noqa: B008  # immutable
) -> Survey:
    """Solve, and solve again with a hundredth of the tolerance, which says the true error; NaN if that takes too many steps."""
    given = _begun(field, y0, t1, tolerance, h0, controller, method)
    run = loop(SOLVING, given, max_iterations=LONGEST)
    finer = eqx.tree_at(lambda p: (p.rtol, p.atol), given, (given.rtol * _FINER, given.atol * _FINER))
    fine = loop(SOLVING, finer, max_iterations=LONGEST)
    trace = {name: padded(rows) for name, rows in run.trace.items() if name != "error"}
    reasons = tuple(np.int32(each) if isinstance(each, int) else each for each in (run.reason, fine.reason))
    return Survey(*_described(trace, y0, run.state.y, fine.state.y, reasons, method))


def padded(rows: Any) -> Any:
    """Of a loop that is driven from Python the trace is as long as the run: as many rows as there may be, for one program."""
    if isinstance(rows, jax.Array):
        return rows
    return np.pad(rows, (0, LONGEST - len(rows)), constant_values=np.nan)


class Slopes(NamedTuple):
    """Of the sum of E h by mu."""

    held: Array  # lengths of steps held fixed
    through: Array  # and differentiated
    apart: Array  # by finite differences; NaN where the number of steps changes between them


@chosen
@jit
def slopes(
    make: Any, mu: ArrayLike, y0: Array, t1: ArrayLike, tolerance: ArrayLike, h0: ArrayLike, method: Pair = "tsit5"
) -> Slopes:
    """Both slopes of the error term of ``make(mu)``, and what it is by its values; in forward mode, up to 512 steps."""
    mu = jnp.asarray(mu, float)

    def term(mu: Array, diff_h: bool) -> tuple[Array, Array]:
        steps = solve(
            make(mu),
            y0,
            0.0,
            t1,
            rtol=tolerance,
            atol=tolerance,
            h0=h0,
            max_steps=_SLOPE_STEPS,
            method=method,
            diff_h=diff_h,
            throw=False,
        )
        count = steps.accepted + _SLOPE_STEPS * steps.rejected
        return error_of(steps), jnp.where(steps.converged, count, -1)

    def both(at: Array) -> tuple[Array, Array, Array]:
        value, slope, count = jax.jvp(lambda mu: term(mu, True), (at,), (jnp.ones_like(at),), has_aux=True)
        return value, slope, count

    shift = 1e-6 * mu
    value, slope, count = jax.lax.map(both, jnp.stack([mu - shift, mu, mu + shift]))
    ended, same = count[1] >= 0, (count == count[1]).all()
    apart = jnp.where(ended & same, (value[2] - value[0]) / (2 * shift), jnp.nan)
    held = jax.jvp(lambda mu: term(mu, False), (mu,), (jnp.ones_like(mu),), has_aux=True)[1]
    return Slopes(jnp.where(ended, held, jnp.nan), jnp.where(ended, slope[1], jnp.nan), apart)
