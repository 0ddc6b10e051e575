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
from lab.ot.operators import nearness, semi_dual, tied_columns
from lab.ot.work import Work

_SMALL_VALUE = 1e-4
_PATIENCE = 40  # interior steps without progress: from a poor start the first thirty may make little
_EARLY = 0.05  # residual at which a point is kept, to start a neighbouring problem from
_SMOOTH_STEPS, _SMOOTH_PATIENCE, _CUTS = 40, 6, 14
_INTERIOR, _SMOOTH_FIRST, _POLISH, _DONE = range(4)


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
    best: Float[Array, " m"]
    best_error: Float[Array, ""]  # row error of the plan of the semi-dual there
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
        phase=jnp.where(known, _SMOOTH_FIRST, _INTERIOR).astype(jnp.int32),
        point=point,
        early=nothing_early(cost),
        warm=work.early.mu > 0,
        alpha=work.start,
        plan=plan,
        best=work.start,
        best_error=error,
        value=value,
        relaxed=plan,
        row_error=error,
        residual=_residual(value, error, 0.0),
        waited=jnp.int32(0),
        tries=jnp.int32(0),
    )


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
    ties = tied_columns(work.problem, work.regularizer, point.alpha, plan, 10 * nearness(a.dtype))
    after = jnp.where(ties > 0, _DONE, _POLISH)  # where columns are tied the semi-dual has a kink
    return State(
        phase=jnp.where(over, after, _INTERIOR).astype(jnp.int32),
        point=point,
        early=early,
        warm=state.warm & ~restart,
        alpha=jnp.where(finite, point.alpha, state.alpha),
        plan=jnp.where(finite, plan, state.plan),
        best=jnp.where(higher, point.alpha, state.best),
        best_error=jnp.where(higher, error, state.best_error),
        value=jnp.where(higher, value, state.value),
        relaxed=jnp.where(finer, t, state.relaxed),
        row_error=jnp.where(finer, row_error, state.row_error),
        residual=jnp.where(restart, jnp.inf, jnp.where(finer, residual, state.residual)),
        waited=jnp.where(restart | over, 0, waited),
        tries=jnp.int32(0),
    )


def _smooth_step(work: Work, state: State) -> State:
    """A Newton step on the semi-dual, shortened by a growing Levenberg shift until the slope along it has fallen."""
    a, gamma = work.problem.a, work.regularizer.gamma
    m = a.shape[0]
    gradient = a - state.plan.sum(axis=1)
    taken = (state.plan > 0).astype(a.dtype)
    diagonal = taken.sum(axis=1) / gamma
    level = diagonal.mean()
    hessian = jnp.diag(diagonal) - (taken / (gamma * taken.sum(axis=0))[None, :]) @ taken.T + level / m**2
    eye = jnp.eye(m, dtype=a.dtype)

    def attempt(carry):
        shift, *_, count = carry
        d = cho_solve(cho_factor(hessian + shift * level * eye, lower=True), gradient)
        value, plan, _ = semi_dual(work.problem, work.regularizer, state.alpha + d)
        good = d @ (a - plan.sum(axis=1)) >= -0.7 * (d @ gradient)
        return shift * 10, state.alpha + d, value, plan, good, count + 1

    # potentials of a neighbour are near the answer, or of no use here
    most = jnp.where(state.phase == _SMOOTH_FIRST, 3, _CUTS)
    shift = jnp.asarray(100 * jnp.finfo(a.dtype).eps, a.dtype)
    start = (shift, state.alpha, state.value, state.plan, jnp.array(False), jnp.int32(0))
    _, alpha, value, plan, good, _ = jax.lax.while_loop(lambda c: ~c[4] & (c[5] < most), attempt, start)
    error = jnp.abs(plan.sum(axis=1) - a).sum()
    residual = _residual(value, error, 0.0)
    good &= jnp.isfinite(residual)
    closer = good & (error < state.best_error) & (value >= state.value - 8 * jnp.finfo(a.dtype).eps)
    progress = closer & (error <= 0.7 * state.best_error)
    finer = closer & (residual < state.residual)
    waited, tries = jnp.where(progress, 0, state.waited + 1), state.tries + 1
    settled = closer & (residual <= work.tolerance)
    over = settled | ~good | (waited >= _SMOOTH_PATIENCE) | (tries >= _SMOOTH_STEPS)
    # what began with these steps goes on with interior ones unless they were enough
    back = over & (state.phase == _SMOOTH_FIRST) & ~settled
    phase = jnp.where(over, jnp.where(back, _INTERIOR, _DONE), state.phase)
    return state._replace(
        phase=phase.astype(jnp.int32),
        alpha=jnp.where(good, alpha, state.alpha),
        plan=jnp.where(good, plan, state.plan),
        best=jnp.where(closer, alpha, state.best),
        best_error=jnp.where(closer, error, state.best_error),
        value=jnp.where(closer, value, state.value),
        relaxed=jnp.where(finer, plan, state.relaxed),
        row_error=jnp.where(finer, error, state.row_error),
        # interior steps count their progress from where they start
        residual=jnp.where(back, jnp.inf, jnp.where(finer, residual, state.residual)),
        waited=jnp.where(back, 0, waited),
        tries=tries,
    )


def done(work: Work, state: State) -> Array:
    converged = state.residual <= work.tolerance
    reason = jnp.where(
        converged, Reason.CONVERGED, jnp.where(jnp.isfinite(state.residual), Reason.STALLED, Reason.NOT_FINITE)
    )
    ready = (state.phase == _DONE) | (converged & (state.best_error <= work.tolerance))
    return jnp.where(ready, reason, Reason.RUNNING).astype(jnp.int32)


def measure(work: Work, state: State) -> dict[str, Array]:
    return {"value": state.value, "row_error": state.best_error, "residual": state.residual}


NEWTON = Method(init, step, done, measure)
