r"""Newton's methods for the quadratic and the k-sparse regularizer: interior-point steps, then steps on the semi-dual.

Interior-point steps (``lab.ot.interior``) reach the optimum of the dual and of the relaxed problem

$$ \max_\alpha D(\alpha) = \min_{T \in U(a,b)} \langle T, C \rangle + \sum_j \Omega^{**}(t_j) $$

to the tolerance whatever ties there are. Then, and first of all when there are potentials to start from, semi-smooth
Newton steps on $D$ itself are tried: where no column is tied D is smooth, and they make the row error vanish. Where
columns are tied they fail at once and nothing is lost but their time.

The stopping rule bounds the relative distance from the relaxed primal to the dual: for a plan T with column sums b,

$$ \frac{\sum_j \left(\Omega^{**}(t_j) + \Omega^*_{b_j}(\alpha - c_j) - t_j^\top(\alpha - c_j)\right) + \|T1 - a\|_1}
   {\max(|D(\alpha)|, 10^{-4})} , $$

in units where costs span 1 and the mass is 1. The first term is the Fenchel-Young gap; the second bounds what making T
feasible can cost.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, Int

from lab.numerics import Method, Reason
from lab.ot import interior
from lab.ot.operators import semi_dual
from lab.ot.work import Work

_SMALL_VALUE = 1e-4
_PATIENCE = 40  # interior steps without progress: from a poor start the first thirty may make little
_EARLY = 0.05  # residual at which a point is kept, to start a neighbouring problem from
_INTERIOR, _SMOOTH_FIRST, _POLISH = 0, 1, 2


class Early(NamedTuple):
    """A well-centered point of moderate accuracy: from there a neighbouring problem takes half the steps."""

    t: Float[Array, "m n"]
    eta: Float[Array, "m n"]
    alpha: Float[Array, " m"]
    beta: Float[Array, " n"]
    mu: Float[Array, ""]  # 0 if there is none


class State(NamedTuple):
    phase: Int[Array, ""]
    point: interior.Point
    early: Early
    warm: Array  # the interior point did not start cold
    alpha: Float[Array, " m"]  # of the semi-dual steps
    plan: Float[Array, "m n"]  # of the semi-dual at alpha
    error: Float[Array, ""]  # row error of that plan
    best: Float[Array, " m"]
    value: Float[Array, ""]  # semi-dual at best
    relaxed: Float[Array, "m n"]  # plan that the residual belongs to
    row_error: Float[Array, ""]  # of the relaxed plan
    residual: Float[Array, ""]
    waited: Int[Array, ""]
    tries: Int[Array, ""]  # semi-dual steps in this phase


def _program(work: Work) -> interior.Program:
    cost, a, b = work.problem
    n = cost.shape[1]
    return interior.Program(
        cost, a * n, b * n, jnp.asarray(work.regularizer.gamma / n), jnp.asarray(work.regularizer.k, cost.dtype)
    )


def nothing_early(cost: Array) -> Early:
    m, n = cost.shape
    zero = jnp.zeros_like(cost)
    return Early(zero, zero, jnp.zeros(m, cost.dtype), jnp.zeros(n, cost.dtype), jnp.zeros((), cost.dtype))


def _resumed(work: Work, early: Early, alpha: Array) -> interior.Point:
    """The early point of a neighbour, made interior for this problem; a cold one if there is none."""
    program = _program(work)
    there = early.mu > 0
    t = jnp.where(there, early.t, 1.0)
    eta = jnp.where(there, early.eta, 0.5)
    eta = jnp.minimum(eta * jnp.minimum(1.0, 0.95 * program.k / eta.sum(axis=0))[None, :], 1 - 1e-3)
    resumed = interior.centered(program, t, eta, early.alpha, early.beta, jnp.where(there, early.mu, 1.0))
    return jax.tree.map(lambda x, y: jnp.where(there, x, y), resumed, interior.cold(program, alpha))


def init(work: Work) -> State:
    cost, a, _ = work.problem
    point = _resumed(work, work.early, work.start)
    value, plan, _ = semi_dual(work.problem, work.regularizer, work.start)
    error = jnp.abs(plan.sum(axis=1) - a).sum()
    known = (work.start != 0).any()
    return State(
        jnp.where(known, _SMOOTH_FIRST, _INTERIOR).astype(jnp.int32), point, nothing_early(cost), work.early.mu > 0,
        work.start, plan, error, work.start, value, plan, error, _residual(value, error, 0.0), jnp.int32(0), jnp.int32(0),
    )  # fmt: skip


def _residual(value: Array, error: Array, young: Array | float) -> Array:
    return jnp.maximum(error, (error + young) / jnp.maximum(jnp.abs(value), _SMALL_VALUE))


def step(work: Work, state: State) -> State:
    return jax.lax.cond(state.phase == _INTERIOR, _interior_step, _smooth_step, work, state)


def _interior_step(work: Work, state: State) -> State:
    cost, a, b = work.problem
    program = _program(work)
    point = interior.step(program, state.point)
    value, plan, _ = semi_dual(work.problem, work.regularizer, point.alpha)
    t = point.t * (b / point.t.sum(axis=0))[None, :]
    rows = t.sum(axis=1)
    row_error = jnp.abs(rows - a).sum()
    primal = (cost * t).sum(axis=0) + work.regularizer.relaxed_penalty(t) - point.alpha @ t
    conjugate = ((cost - point.alpha[:, None]) * plan).sum(axis=0) + work.regularizer.penalty(plan)
    young = jnp.maximum(primal - conjugate, 0.0).sum()  # by columns, where it cannot be negative
    residual = _residual(value, row_error, young)

    finite = jnp.isfinite(residual) & jnp.isfinite(value)
    finer = finite & (residual < state.residual)
    higher = finite & (value > state.value)
    # far from the end the residual may rest while the gap of the central path falls
    mu, mu_before = interior.mean_product(program, point), interior.mean_product(program, state.point)
    far = 3 * a.shape[0] * mu > 0.1 * work.tolerance
    progress = finite & ((residual < 0.9 * state.residual) | (far & (mu < 0.9 * mu_before)))
    waited = jnp.where(progress, 0, state.waited + 1)
    exhausted = ~finite | (waited >= _PATIENCE)
    # a start that led nowhere is given up
    restart = exhausted & state.warm
    fresh = interior.cold(program, jnp.zeros_like(a))
    point = jax.tree.map(lambda x, y, z: jnp.where(restart, y, jnp.where(finite, x, z)), point, fresh, state.point)

    keep = (state.early.mu == 0) & finite & (residual <= _EARLY)
    now = Early(point.t, point.eta, point.alpha, point.beta, interior.mean_product(program, point))
    early = jax.tree.map(lambda x, y: jnp.where(keep, x, y), now, state.early)

    over = (finite & (residual <= work.tolerance)) | (exhausted & ~state.warm)
    error = jnp.abs(plan.sum(axis=1) - a).sum()
    choose = lambda new, old: jnp.where(finite, new, old)  # noqa: E731
    return State(
        jnp.where(over, _POLISH, _INTERIOR).astype(jnp.int32), point, early, state.warm & ~restart,
        choose(point.alpha, state.alpha), choose(plan, state.plan), choose(error, state.error),
        jnp.where(higher, point.alpha, state.best), jnp.where(higher, value, state.value),
        jnp.where(finer, t, state.relaxed), jnp.where(finer, row_error, state.row_error),
        jnp.where(restart, jnp.inf, jnp.where(finer, residual, state.residual)), jnp.where(restart, 0, waited), jnp.int32(0),
    )  # fmt: skip


def _smooth_step(work: Work, state: State) -> State:
    """A Newton step on the semi-dual, kept if the row error falls by a third, or while the value rises at a fast rate."""
    a, gamma = work.problem.a, work.regularizer.gamma
    gradient = a - state.plan.sum(axis=1)
    taken = (state.plan > 0).astype(a.dtype)
    counts = taken.sum(axis=0)
    diagonal = taken.sum(axis=1) / gamma
    hessian = -((taken / (gamma * counts)[None, :]) @ taken.T)
    shift = 1e-9 * diagonal.mean() + 1e-12
    hessian = hessian + jnp.diag(diagonal + shift) + diagonal.mean() / a.shape[0] ** 2
    d = cho_solve(cho_factor(hessian, lower=True), gradient)

    def attempt(carry):
        size, *_, count = carry
        alpha = state.alpha + size * d
        value, plan, _ = semi_dual(work.problem, work.regularizer, alpha)
        error = jnp.abs(plan.sum(axis=1) - a).sum()
        return size / 3, alpha, value, plan, error, error <= 0.7 * state.error, count + 1

    start = (jnp.ones_like(gamma), state.alpha, state.value, state.plan, state.error, jnp.array(False), jnp.int32(0))
    _, alpha, value, plan, error, good, _ = jax.lax.while_loop(lambda c: ~c[5] & (c[6] < 3), attempt, start)
    residual = _residual(value, error, 0.0)
    finer = good & (residual < state.residual)
    tries = state.tries + 1
    settled = good & (error <= work.tolerance) & (residual <= work.tolerance)
    over = settled | ~good | (tries >= _SMOOTH_STEPS)
    # what began with these steps goes on with interior ones unless they were enough
    back = (state.phase == _SMOOTH_FIRST) & ~settled
    phase = jnp.where(over, jnp.where(back, _INTERIOR, _DONE), state.phase).astype(jnp.int32)
    higher = good & (value >= state.value)
    choose = lambda new, old: jnp.where(good, new, old)  # noqa: E731
    return State(
        phase, state.point, state.early, state.warm, choose(alpha, state.alpha), choose(plan, state.plan),
        choose(error, state.error), jnp.where(higher, alpha, state.best), jnp.where(higher, value, state.value),
        jnp.where(finer, plan, state.relaxed), jnp.where(finer, error, state.row_error),
        # interior steps count their progress from where they start
        jnp.where(over & back, jnp.inf, jnp.where(finer, residual, state.residual)), state.waited, tries,
    )  # fmt: skip


_SMOOTH_STEPS = 20
_DONE = 3


def done(work: Work, state: State) -> Array:
    converged = state.residual <= work.tolerance
    reason = jnp.where(
        converged, Reason.CONVERGED, jnp.where(jnp.isfinite(state.residual), Reason.STALLED, Reason.NOT_FINITE)
    )
    ready = (state.phase == _DONE) | (converged & (state.error <= work.tolerance))
    return jnp.where(ready, reason, Reason.RUNNING).astype(jnp.int32)


def measure(work: Work, state: State) -> dict[str, Array]:
    return {"value": state.value, "row_error": state.error, "residual": state.residual}


NEWTON = Method(init, step, done, measure)
