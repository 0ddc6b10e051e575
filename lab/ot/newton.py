r"""The optimum of the dual for the quadratic and the k-sparse regularizer, to high accuracy whatever ties there are.

Four kinds of steps follow each other:

1. *Climb*: L-BFGS steps on the semi-dual $D(\alpha)$. They are cheap, and come near; on kinks they stall.
2. *Smooth*: semi-smooth Newton steps on $D$. Where no column is tied D is smooth, and a few make the row error vanish.
   Where columns are tied they fail at once.
3. *Narrow*: interior-point steps (``lab.ot.interior``) on the relaxed problem restricted to the entries that can carry
   mass, as the potentials of the climb tell: some of each column, and some of each row so that it is feasible. What they
   find is tested on the whole problem; where an entry left out is missed, the choice is made anew.
4. *Wide*: the same on all entries, when k is too large to leave much out or the restricted problem has led nowhere.

The last two reach the optimum of the dual and of the relaxed problem

$$ \max_\alpha D(\alpha) = \min_{T \in U(a,b)} \langle T, C \rangle + \sum_j \Omega^{**}(t_j) $$

together. The stopping rule bounds the relative distance from the relaxed primal to the dual: for a plan T with column sums b,

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
from lab.ot import first_order, interior
from lab.ot.operators import nearness, semi_dual, tied_columns
from lab.ot.work import Work

_SMALL_VALUE = 1e-4
_CLIMB = 80  # L-BFGS steps before each choice of entries
_LEVEL, _FLAT = 10, 1e-5  # the climb ends when so many steps gain no more than this part of the value
_ROWS = 32  # entries of each column in the narrow problem; enough for half as many nonzeros
_COLUMNS = 12  # and at least these of each row
_CHOICES = 4  # of entries, before all are taken
_CHECKED = 4  # every so many interior steps the point is tested, and whenever it is near
_PATIENCE = 15, 40  # interior steps without progress, narrow and wide
_LAST = 4  # when the residual is small enough, and the rows of the plan are not
_SMOOTH_STEPS, _SMOOTH_PATIENCE, _CUTS = 40, 6, 14
_CLIMBING, _SMOOTH_FIRST, _NARROW, _WIDE, _POLISH, _DONE = range(6)
_climb = first_order.LBFGS["semi-dual"]


class State(NamedTuple):
    phase: Int[Array, ""]
    climb: first_order.LBFGSState
    reference: Float[Array, ""]  # value that the climb is measured against
    rows: Int[Array, "p n"]  # the entries of the narrow problem
    narrow: interior.Point
    wide: interior.Point
    choices: Int[Array, ""]  # of entries so far
    retry: Array  # the wide point started from potentials, and may start again from none
    alpha: Float[Array, " m"]  # of the semi-dual steps
    plan: Float[Array, "m n"]  # of the semi-dual at alpha
    best: Float[Array, " m"]
    best_error: Float[Array, ""]  # row error of the plan of the semi-dual there
    value: Float[Array, ""]  # semi-dual at best
    relaxed: Float[Array, "m n"]  # plan that the residual belongs to
    residual: Float[Array, ""]
    waited: Int[Array, ""]
    tries: Int[Array, ""]  # steps in this phase


def _program(work: Work, rows: Array | None = None) -> interior.Program:
    cost, a, b = work.problem
    n = cost.shape[1]
    gamma, k = jnp.asarray(work.regularizer.gamma / n), jnp.asarray(work.regularizer.k, cost.dtype)
    cost = cost if rows is None else jnp.take_along_axis(cost, rows, axis=0)
    return interior.Program(cost, a * n, b * n, gamma, k, rows)


def _chosen(work: Work, alpha: Array) -> Array:
    """For each column the entries with the largest scores, before them those that a row can least do without."""
    score = alpha[:, None] - work.problem.cost
    surplus = score - score.max(axis=0)[None, :]
    best = jax.lax.top_k(surplus, min(_COLUMNS, surplus.shape[1]))[0]
    first = jnp.where(surplus >= best[:, -1:], surplus + 4.0, surplus)  # costs span 1, and so do good potentials
    return jax.lax.top_k(first.T, min(_ROWS, alpha.size))[1].T.astype(jnp.int32)


def init(work: Work) -> State:
    """The state before the first step, at the potentials to start from."""
    cost, a, _ = work.problem
    value, plan, _ = semi_dual(work.problem, work.regularizer, work.start)
    error = jnp.abs(plan.sum(axis=1) - a).sum()
    rows = jnp.broadcast_to(
        jnp.arange(min(_ROWS, a.size), dtype=jnp.int32)[:, None], (min(_ROWS, a.size), cost.shape[1])
    )
    return State(
        phase=jnp.int32(_CLIMBING),
        climb=_climb.init(work),
        reference=value,
        rows=rows,
        narrow=interior.cold(_program(work, rows), work.start),
        wide=interior.cold(_program(work), work.start),
        choices=jnp.int32(0),
        retry=jnp.array(True),
        alpha=work.start,
        plan=plan,
        best=work.start,
        best_error=error,
        value=value,
        relaxed=plan,
        residual=_residual(value, error, 0.0),
        waited=jnp.int32(0),
        tries=jnp.int32(0),
    )


def _residual(value: Array, error: Array, young: Array | float) -> Array:
    return jnp.maximum(error, (error + young) / jnp.maximum(jnp.abs(value), _SMALL_VALUE))


def _has_room(work: Work, rows: Array) -> bool:
    """Whether there is much to leave out, and each row can still have several entries; known when compiled."""
    m, n = work.problem.cost.shape
    return 2 * rows.shape[0] <= m <= rows.shape[0] * n // 4


def step(work: Work, state: State) -> State:
    """One step of the phase that the state is in."""
    kinds = jnp.asarray([0, 1, 2, 3, 1, 1])  # of step, by phase
    narrow = _narrow_step if _has_room(work, state.rows) else (lambda work, state: state)
    steps = _climb_step, _smooth_step, narrow, _wide_step
    return jax.lax.switch(kinds[state.phase], steps, work, state)


def _climb_step(work: Work, state: State) -> State:
    climb = _climb.step(work, state.climb)
    best, tries = climb.best, state.tries + 1
    gained = best.value - state.reference > _FLAT * jnp.maximum(jnp.abs(best.value), _SMALL_VALUE)
    reason = _climb.done(work, climb)
    level = tries % _LEVEL == 0
    over = (reason != Reason.RUNNING) | (level & ~gained) | (tries >= _CLIMB)
    state = state._replace(
        climb=climb,
        reference=jnp.where(level, best.value, state.reference),
        best=best.point,
        best_error=best.error,
        value=best.value,
        tries=tries,
    )

    def top(state: State) -> State:
        value, plan, _ = semi_dual(work.problem, work.regularizer, best.point)
        residual = _residual(value, best.error, 0.0)
        finer = residual < state.residual
        return state._replace(
            phase=jnp.where(residual <= work.tolerance, _DONE, _SMOOTH_FIRST).astype(jnp.int32),
            alpha=best.point,
            plan=plan,
            relaxed=jnp.where(finer, plan, state.relaxed),
            residual=jnp.where(finer, residual, state.residual),
            waited=jnp.int32(0),
            tries=jnp.int32(0),
        )

    return jax.lax.cond(over, top, lambda state: state, state)


def _choose(work: Work, state: State, alpha: Array) -> State:
    """On to interior steps from these potentials: narrow if that promises anything, else wide."""
    fits = (2 * jnp.asarray(work.regularizer.k) <= state.rows.shape[0]) & (state.choices < _CHOICES)

    def to_narrow(state: State) -> State:
        rows = _chosen(work, alpha)
        point = interior.cold(_program(work, rows), alpha)
        return state._replace(phase=jnp.int32(_NARROW), rows=rows, narrow=point)

    def to_wide(state: State) -> State:
        return state._replace(phase=jnp.int32(_WIDE), wide=interior.cold(_program(work), alpha))

    state = state._replace(
        choices=state.choices + 1,
        waited=jnp.int32(0),
        tries=jnp.int32(0),
        residual=jnp.full_like(state.residual, jnp.inf),
    )
    return jax.lax.cond(fits, to_narrow, to_wide, state) if _has_room(work, state.rows) else to_wide(state)


class _Test(NamedTuple):
    """What an interior point is worth on the whole problem."""

    alpha: Array
    value: Array
    plan: Array  # of the semi-dual
    relaxed: Array
    residual: Array


def _tested(work: Work, program: interior.Program, point: interior.Point) -> _Test:
    cost, a, b = work.problem
    # the steps let rows of next to no mass drift far below all columns, where values lose their digits: up to near where
    # the first column would take them the plan is the same, and the value rises
    beta = semi_dual(work.problem, work.regularizer, point.alpha).beta
    alpha = jnp.maximum(point.alpha, (cost - beta[None, :]).min(axis=1) - 1.0)  # costs span 1
    value, plan, _ = semi_dual(work.problem, work.regularizer, alpha)
    t = point.t * (b / point.t.sum(axis=0))[None, :]
    error = jnp.abs(program.collect(t) - a).sum()
    primal = ((program.cost - program.spread(alpha)) * t).sum(axis=0) + work.regularizer.relaxed_penalty(t)
    conjugate = ((cost - alpha[:, None]) * plan).sum(axis=0) + work.regularizer.penalty(plan)
    young = jnp.maximum(primal - conjugate, 0.0).sum()  # by columns, where it cannot be negative
    return _Test(alpha, value, plan, program.dense(t), _residual(value, error, young))


def _interior_step(work: Work, state: State, program: interior.Program, before: interior.Point, patience: int):
    """One step from ``before``; the new point, and whether it is finite, at its end, and where the steps lead no further."""
    point = interior.step(program, before)
    mu, mu_before = interior.mean_product(program, point), interior.mean_product(program, before)
    finite = jnp.isfinite(mu) & jnp.isfinite(point.alpha).all()
    gap = (3 * program.cost.shape[0] + 1) * mu  # the duality gap, once the point is feasible
    bound = work.tolerance * jnp.maximum(jnp.abs(state.value), _SMALL_VALUE)
    tries = state.tries + 1
    tested = jax.lax.cond(
        finite & ((gap <= 3 * bound) | (tries % _CHECKED == 0)),
        lambda: _tested(work, program, point),
        lambda: _Test(point.alpha, jnp.full_like(mu, -jnp.inf), state.plan, state.relaxed, jnp.full_like(mu, jnp.inf)),
    )
    error = jnp.abs(tested.plan.sum(axis=1) - work.problem.a).sum()
    # values that rounding makes equal do not tell which point is closer, rows do
    slack = 16 * jnp.finfo(mu.dtype).eps * (1 + jnp.abs(tested.alpha) @ work.problem.a)
    equal = (tested.value >= state.value - slack) & (error < state.best_error)
    higher, finer = (tested.value > state.value + slack) | equal, tested.residual < state.residual
    # far from the end the residual may rest while the gap of the central path falls
    # and after it, until the rows of the semi-dual's plan hold too
    after = state.residual <= work.tolerance
    falls = ((gap > 0.1 * bound) | after) & (mu < 0.9 * mu_before)
    progress = finite & ((tested.residual < 0.9 * state.residual) | falls)
    waited = jnp.where(progress, 0, state.waited + 1)
    state = state._replace(
        alpha=jnp.where(jnp.isfinite(tested.value), tested.alpha, state.alpha),
        plan=tested.plan,
        best=jnp.where(higher, tested.alpha, state.best),
        best_error=jnp.where(higher, error, state.best_error),
        value=jnp.where(higher, tested.value, state.value),
        relaxed=jnp.where(finer, tested.relaxed, state.relaxed),
        residual=jnp.where(finer, tested.residual, state.residual),
        waited=waited,
        tries=tries,
    )
    exhausted = ~finite | (waited >= jnp.where(after, _LAST, patience))
    return state, point, finite, finite & (gap <= 0.1 * bound), exhausted


def _tied(work: Work, state: State) -> Array:
    near = nearness(work.problem.a.dtype)
    return tied_columns(work.problem, work.regularizer, state.alpha, state.plan, near) > 0


def _enough(work: Work, state: State, tied: Array) -> Array:
    """The relaxed plan is optimal, and that of the semi-dual has rows that hold where no column is tied."""
    return (state.residual <= work.tolerance) & ((state.best_error <= work.tolerance) | tied)


def _settled(state: State, tied: Array) -> State:
    """After the interior steps: where columns are tied the semi-dual has a kink, and nothing is to be polished."""
    phase = jnp.where(tied, _DONE, _POLISH).astype(jnp.int32)
    return state._replace(phase=phase, waited=jnp.int32(0), tries=jnp.int32(0))


def _narrow_step(work: Work, state: State) -> State:
    program = _program(work, state.rows)
    state, point, finite, at_end, exhausted = _interior_step(work, state, program, state.narrow, _PATIENCE[0])
    state = state._replace(narrow=jax.tree.map(lambda new, old: jnp.where(finite, new, old), point, state.narrow))

    def again(state: State) -> State:
        """At the optimum of the restricted problem its potentials tell what was missed; else the climb goes on."""
        start = jnp.where(at_end, point.alpha, state.best)
        higher = work._replace(start=start)

        def climb(state: State) -> State:
            fresh = _climb.init(higher)
            return state._replace(
                phase=jnp.int32(_CLIMBING),
                climb=fresh,
                reference=fresh.value,
                choices=state.choices + 1,
                waited=jnp.int32(0),
                tries=jnp.int32(0),
            )

        return jax.lax.cond(at_end | (state.choices >= _CHOICES), lambda s: _choose(work, s, start), climb, state)

    tied = _tied(work, state)
    converged = _enough(work, state, tied) | (exhausted & (state.residual <= work.tolerance))
    where = jnp.where(converged, 1, jnp.where((at_end & (state.residual > work.tolerance)) | exhausted, 2, 0))
    return jax.lax.switch(where, (lambda s: s, lambda s: _settled(s, tied), again), state)


def _wide_step(work: Work, state: State) -> State:
    program = _program(work)
    state, point, finite, _, exhausted = _interior_step(work, state, program, state.wide, _PATIENCE[1])
    # a start that led nowhere is given up
    restart = exhausted & state.retry & (state.residual > work.tolerance)
    fresh = interior.cold(program, jnp.zeros_like(work.problem.a))
    point = jax.tree.map(lambda x, y, z: jnp.where(restart, y, jnp.where(finite, x, z)), point, fresh, state.wide)
    state = state._replace(
        wide=point,
        retry=state.retry & ~restart,
        residual=jnp.where(restart, jnp.inf, state.residual),
        waited=jnp.where(restart, 0, state.waited),
    )
    tied = _tied(work, state)
    over = _enough(work, state, tied) | (exhausted & ~restart)
    return jax.lax.cond(over, lambda s: _settled(s, tied), lambda s: s, state)


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

    # potentials of a climb are near the answer, or of no use here
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
    state = state._replace(
        alpha=jnp.where(good, alpha, state.alpha),
        plan=jnp.where(good, plan, state.plan),
        best=jnp.where(closer, alpha, state.best),
        best_error=jnp.where(closer, error, state.best_error),
        value=jnp.where(closer, value, state.value),
        relaxed=jnp.where(finer, plan, state.relaxed),
        residual=jnp.where(finer, residual, state.residual),
        waited=waited,
        tries=tries,
    )
    # what began with a climb goes on with interior steps unless these were enough
    where = jnp.where(over, jnp.where((state.phase == _SMOOTH_FIRST) & ~settled, 2, 1), 0)
    ended = lambda s: s._replace(phase=jnp.int32(_DONE))  # noqa: E731
    return jax.lax.switch(where, (lambda s: s, ended, lambda s: _choose(work, s, s.best)), state)


def done(work: Work, state: State) -> Array:
    """Whether the residual, and the row error of the best potentials, are within the tolerance, or nothing is left to try."""
    converged = state.residual <= work.tolerance
    reason = jnp.where(
        converged, Reason.CONVERGED, jnp.where(jnp.isfinite(state.residual), Reason.STALLED, Reason.NOT_FINITE)
    )
    # after interior steps a polish comes, which takes the rows from the tolerance to rounding
    within = (state.phase == _NARROW) | (state.phase == _WIDE) | (state.phase == _POLISH)
    ready = (state.phase == _DONE) | (converged & (state.best_error <= work.tolerance) & ~within)
    return jnp.where(ready, reason, Reason.RUNNING).astype(jnp.int32)


def measure(work: Work, state: State) -> dict[str, Array]:
    """What the trace keeps of a step: value, row error and residual."""
    return {"value": state.value, "row_error": state.best_error, "residual": state.residual}


NEWTON = Method(init, step, done, measure, lambda state: state.phase)
