r"""L-BFGS, ADAM and the k-continuation ladder, on the dual or the semi-dual.

All maximise a concave objective that for $k < m$ has kinks, keep the best point seen, and take no step that is not an
ascent (ADAM: forget it). They stop when the marginal error $\|\nabla\|_1$ is at most the tolerance, or, on a kink where
it cannot be, when the value has not improved by 1e-9 relative within 50 steps.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from lab.numerics import Method, Reason
from lab.ot.operators import dual, semi_dual
from lab.ot.regularizers import KSparse
from lab.ot.work import Best, Work, better, first, verdict

_MEMORY = 10
_TRIALS = 12  # of the line search
_RUNG_STEPS = 500
_POLISH_STEPS = 2000
_LADDER = (8, 4, 3, 2, 1)


class Objective(NamedTuple):
    value: Array
    gradient: Array


def _semi_dual(work: Work, x: Array) -> Objective:
    value, plan, _ = semi_dual(work.problem, work.regularizer, x)
    return Objective(value, work.problem.a - plan.sum(axis=1))


def _dual(work: Work, x: Array) -> Objective:
    m = work.problem.a.shape[0]
    value, plan, _ = dual(work.problem, work.regularizer, x[:m], x[m:])
    gradient = jnp.concatenate([work.problem.a - plan.sum(axis=1), work.problem.b - plan.sum(axis=0)])
    return Objective(value, gradient)


class LBFGSState(NamedTuple):
    x: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    memory: Any
    fresh: Array  # the memory is empty: steepest ascent
    stuck: Array  # not even steepest ascent went up
    best: Best


_secant = optax.scale_by_lbfgs(memory_size=_MEMORY)


def _lbfgs(objective):
    def init(work: Work) -> LBFGSState:
        x = work.start
        value, gradient = objective(work, x)
        return LBFGSState(
            x, value, gradient, _secant.init(x), jnp.array(True), jnp.array(False), first(x, value, gradient)
        )

    def step(work: Work, state: LBFGSState) -> LBFGSState:
        newton, memory = _secant.update(-state.gradient, state.memory, state.x)
        d = jnp.negative(jnp.asarray(newton))
        ascends = (d @ state.gradient > 0) & jnp.isfinite(d).all() & ~state.fresh
        # the first step moves potentials by a tenth of the spread of costs
        plain = state.gradient * (0.1 / jnp.maximum(jnp.abs(state.gradient).max(), 1e-30))
        d = jnp.where(ascends, d, plain)
        size, value, gradient, found = _weak_wolfe(lambda x: objective(work, x), state, d)
        x = jnp.where(found, state.x + size * d, state.x)
        value, gradient = jnp.where(found, value, state.value), jnp.where(found, gradient, state.gradient)
        empty = _secant.init(state.x)
        memory = jax.tree.map(lambda kept, new: jnp.where(found, kept, new), memory, empty)
        best = better(state.best, x, value, gradient)
        return LBFGSState(x, value, gradient, memory, ~found, ~found & ~ascends, best)

    def done(work: Work, state: LBFGSState) -> Array:
        reason = verdict(work, state.best)
        return jnp.where((reason == Reason.RUNNING) & state.stuck, Reason.STALLED, reason)

    return Method(init, step, done, lambda work, state: _measured(state.best))


def _weak_wolfe(objective, state: LBFGSState, d: Array):
    """Bisection for the weak Wolfe conditions, which also ends on kinks (Lewis and Overton, 2013).

    A first trial that is too long is followed by the secant step, since a direction without curvature may be far too long.
    """
    slope = d @ state.gradient

    def trial(carry):
        low, high, size, at_low, *_, count = carry
        at = objective(state.x + size * d)
        rises = jnp.isfinite(at.value) & (at.value >= state.value + 1e-4 * size * slope)
        slope_at = at.gradient @ d
        found = rises & (slope_at <= 0.9 * slope)
        low, high = jnp.where(rises, size, low), jnp.where(rises, high, size)
        at_low = jax.tree.map(lambda new, old: jnp.where(rises, new, old), at, at_low)
        half, secant = (low + high) / 2, size * slope / (slope - slope_at)
        half = jnp.where((count == 0) & (secant < half), secant, half)
        new = jnp.where(found, size, jnp.where(jnp.isfinite(high), half, 2 * low))
        return low, high, new, at_low, found, count + 1

    zero = jnp.zeros_like(state.value)
    start = (zero, zero + jnp.inf, zero + 1, Objective(state.value, state.gradient), jnp.array(False), jnp.int32(0))
    low, _, _, at, found, _ = jax.lax.while_loop(lambda carry: ~carry[4] & (carry[5] < _TRIALS), trial, start)
    # an ascent without curvature condition is still an ascent
    return low, at.value, at.gradient, found | ((low > 0) & (at.value > state.value))


class AdamState(NamedTuple):
    x: Float[Array, " d"]
    gradient: Float[Array, " d"]
    moments: Any
    count: Int[Array, ""]
    best: Best


_moments = optax.scale_by_adam()


def _adam_step(objective, work: Work, state: AdamState, rate: Array) -> AdamState:
    direction: Any
    direction, moments = _moments.update(state.gradient, state.moments)
    x = state.x + rate * direction
    value, gradient = objective(work, x)
    return AdamState(x, gradient, moments, state.count + 1, better(state.best, x, value, gradient))


def _adam(objective):
    def init(work: Work) -> AdamState:
        value, gradient = objective(work, work.start)
        best = first(work.start, value, gradient)
        return AdamState(work.start, gradient, _moments.init(work.start), jnp.int32(0), best)

    def step(work: Work, state: AdamState) -> AdamState:
        # 1e-2 of the spread of costs for 200 steps, then falling as 1/t
        rate = 1e-2 * jnp.minimum(1.0, 200.0 / (state.count + 1).astype(state.x.dtype))
        return _adam_step(objective, work, state, rate)

    return Method(init, step, lambda work, state: verdict(work, state.best), lambda work, state: _measured(state.best))


class LadderState(NamedTuple):
    k: Int[Array, ""]  # of the rung
    count: Int[Array, ""]  # steps on this rung
    polishing: Array
    climb: LBFGSState
    polish: AdamState
    finished: Array


def _ladder(objective):
    climb, polish = _lbfgs(objective), _adam(objective)

    def at(work: Work, k: Array, start: Array) -> Work:
        return work._replace(regularizer=KSparse(work.regularizer.gamma, k), start=start)

    def init(work: Work) -> LadderState:
        k = jnp.int32(work.problem.cost.shape[0])
        top = at(work, k, work.start)
        return LadderState(k, jnp.int32(0), jnp.array(False), climb.init(top), polish.init(top), jnp.array(False))

    def step(work: Work, state: LadderState) -> LadderState:
        m = work.problem.cost.shape[0]
        rung = at(work, state.k, state.climb.best.point)

        def climbed(state: LadderState) -> LadderState:
            new = climb.step(rung, state.climb)
            reason = climb.done(rung, new)
            over = (reason != Reason.RUNNING) | (state.count + 1 >= _RUNG_STEPS)
            rough = (state.k < m) & (new.best.error > work.tolerance)
            begun = polish.init(rung._replace(start=new.best.point))
            begun = begun._replace(best=new.best._replace(waited=jnp.int32(0)))
            polished = jax.tree.map(lambda x, y: jnp.where(over & rough, x, y), begun, state.polish)
            return state._replace(
                climb=new,
                polish=polished,
                count=jnp.where(over, 0, state.count + 1),
                polishing=over & rough,
                finished=over & ~rough,
            )

        def polished(state: LadderState) -> LadderState:
            # 1e-2, then 1e-3 of the spread of costs, each decayed
            age = (state.count % (_POLISH_STEPS // 2)).astype(state.polish.x.dtype) / (_POLISH_STEPS // 2)
            rate = jnp.where(state.count < _POLISH_STEPS // 2, 1e-2, 1e-3) * (1 - 0.9 * age)
            restart = state.count == _POLISH_STEPS // 2
            x = jnp.where(restart, state.polish.best.point, state.polish.x)
            new = _adam_step(objective, rung, state.polish._replace(x=x), rate.astype(x.dtype))
            over = (state.count + 1 >= _POLISH_STEPS) | (new.best.error <= work.tolerance)
            best = state.climb._replace(best=new.best)
            return state._replace(climb=best, polish=new, count=state.count + 1, polishing=~over, finished=over)

        state = jax.lax.cond(state.polishing, polished, climbed, state)
        last = jnp.asarray(work.regularizer.k, jnp.int32)
        lower = jnp.asarray(_LADDER, jnp.int32)
        below = jnp.max(jnp.where(lower < state.k, lower, 0))  # the next rung of the ladder
        k = jnp.maximum(below, last)

        def descend(state: LadderState) -> LadderState:
            fresh = climb.init(at(work, k, state.climb.best.point))
            return state._replace(k=k, count=jnp.int32(0), climb=fresh, finished=jnp.array(False))

        return jax.lax.cond(state.finished & (state.k > last), descend, lambda state: state, state)

    def done(work: Work, state: LadderState) -> Array:
        best = state.climb.best
        reason = jnp.where(best.error <= work.tolerance, Reason.CONVERGED, Reason.STALLED)
        reason = jnp.where(jnp.isfinite(best.value), reason, Reason.NOT_FINITE)
        return jnp.where(state.finished, reason, Reason.RUNNING).astype(jnp.int32)

    return Method(init, step, done, lambda work, state: _measured(state.climb.best))


def _measured(best: Best) -> dict[str, Array]:
    return {"value": best.value, "row_error": best.error, "residual": best.error}


LBFGS = {"semi-dual": _lbfgs(_semi_dual), "dual": _lbfgs(_dual)}
ADAM = {"semi-dual": _adam(_semi_dual), "dual": _adam(_dual)}
LADDER = {"semi-dual": _ladder(_semi_dual), "dual": _ladder(_dual)}


def point(state) -> Array:
    """The best point of a state of any of the three."""
    return state.climb.best.point if isinstance(state, LadderState) else state.best.point
