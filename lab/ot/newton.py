r"""Proximal semi-smooth Newton on the semi-dual, for the quadratic and the k-sparse regularizer.

The semi-dual is concave with kinks where columns are tied. It is the dual of the relaxed problem
$\min_{T \in U(a,b)} \langle T, C \rangle + \sum_j \Omega^{**}(t_j)$, which the proximal point iteration

$$ T_{+} = \operatorname*{argmin}_{T \in U(a,b)} \langle T, C \rangle + \sum_j \Omega^{**}(t_j)
   + \tfrac{\delta}{2} \|T - P\|^2, \qquad P \leftarrow T_{+}, $$

solves; each of its problems has a smooth semi-dual, on which Newton's method converges fast. As $\delta$ falls the
iteration converges superlinearly, and gives the potentials and the feasible plan of the relaxation together.

One column. With $v = \alpha - c + \delta p$, a threshold $\theta$ and a width $\kappa$, put $u = v - \theta$ and
$\eta = \mathrm{clip}(u/\kappa, 0, 1)$. Then $\sum_i \eta_i = k$ (or $\kappa = 0$ when at most k are positive) and

$$ t_i = \frac{u_i + \kappa\gamma/\delta}{\gamma + \delta} \text{ where } u_i \ge \kappa \text{ (full)}, \qquad
   t_i = \frac{u_i}{\delta} \text{ where } 0 < u_i < \kappa \text{ (tied)}, \qquad \sum_i t_i = b . $$

In the limit the tied rows are those whose scores agree at the k-th place.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics import Method, Reason
from lab.numerics.projections import share
from lab.ot.operators import semi_dual
from lab.ot.work import Work

_SMALL_VALUE = 1e-4  # below this, in units of the spread of costs, the gap is not measured relative to the value
_CUTS = 25
# strengths of the proximal term, times n because the entries of a plan are of order 1/n
COLD_DELTA, WARM_DELTA, LEAST_DELTA = 0.05, 1e-4, 1e-6


class Columns(NamedTuple):
    """The solution of the proximal problem of every column at given potentials."""

    value: Float[Array, ""]  # of the smoothed semi-dual
    t: Float[Array, "m n"]
    theta: Float[Array, " n"]
    kappa: Float[Array, " n"]


class State(NamedTuple):
    alpha: Float[Array, " m"]
    columns: Columns
    center: Float[Array, "m n"]
    delta: Float[Array, ""]
    shift: Float[Array, ""]  # Levenberg shift, relative to the mean diagonal of the Hessian
    inner: Int[Array, ""]  # Newton steps since the center moved
    best: Float[Array, " m"]
    value: Float[Array, ""]  # exact semi-dual at best
    row_error: Float[Array, ""]  # of the relaxed plan
    residual: Float[Array, ""]
    waited: Int[Array, ""]


def _solve_columns(work: Work, alpha: Array, center: Array, delta: Array, guess: Columns) -> Columns:
    """Newton's method on the column sum as a function of theta, inside a bracket; kappa follows theta."""
    cost, a, b = work.problem
    gamma, k = work.regularizer.gamma, jnp.asarray(work.regularizer.k, jnp.int32)
    v = alpha[:, None] - cost + delta * center
    top = v.max(axis=0)
    eps = jnp.finfo(v.dtype).eps
    stiff = 1 / (gamma + delta)

    def improve(carry):
        low, high, theta, kappa, _, count = carry
        u = v - theta[None, :]
        q = share(u, k, 1 / kappa)
        kappa = jnp.where(jnp.isinf(q), 0.0, 1 / q)
        positive = u > 0
        full = positive & (u >= kappa[None, :])
        n_positive = positive.sum(axis=0, dtype=jnp.int32)
        n_full = full.sum(axis=0, dtype=jnp.int32)
        n_tied = n_positive - n_full
        t = jnp.where(full, (u + (kappa * gamma / delta)[None, :]) * stiff, jnp.maximum(u, 0.0) / delta)
        excess = t.sum(axis=0) - b
        slope = _slope(n_full, n_tied, k, gamma, delta)
        move = excess / jnp.maximum(slope, stiff)
        settled = (jnp.abs(move) <= 4 * eps * (jnp.abs(top) + jnp.abs(theta))) | (jnp.abs(excess) <= 4 * eps * b)
        low, high = jnp.where(excess >= 0, theta, low), jnp.where(excess <= 0, theta, high)
        new = theta + move

        # With exactly k positive rows, all full, the column fixes theta - kappa gamma / delta only. Put theta on the next
        # row below: kappa then covers an interval, where the column sum jumps as a function of theta.
        below = jnp.where(positive, -jnp.inf, v).max(axis=0)
        room = jnp.where(positive, v, jnp.inf).min(axis=0) - below
        jumps = (n_positive == k) & (kappa == 0) & (new < below)
        wanted = (below - new) * delta / gamma
        inside = jumps & (wanted <= room)
        beyond = jumps & ~inside
        lack = k * stiff * (room * gamma / delta - (below - new))  # of the column sum at theta = below, kappa = room
        high = jnp.where(jumps, below, high)
        new = jnp.where(beyond, below + lack / _slope(k - 1, jnp.full_like(n_tied, 2), k, gamma, delta), new)
        new = jnp.where((new >= low) & (new <= high), new, (low + high) / 2)
        theta = jnp.where(inside, below, jnp.where(settled, theta, new))
        kappa = jnp.where(inside, wanted, kappa)
        settled |= inside
        return low, high, theta, kappa, settled, count + 1

    def guarded(carry):
        new = improve(carry)
        # a settled column keeps its answer: theta on a row would be read as another column
        return (*(jnp.where(carry[4], old, now) for old, now in zip(carry[:5], new[:5], strict=True)), new[5])

    low = top - (gamma + delta) * b
    start = (low, top, jnp.clip(guess.theta, low, top), guess.kappa, jnp.zeros(b.shape, bool), jnp.int32(0))
    _, _, theta, kappa, _, _ = jax.lax.while_loop(lambda carry: ~carry[4].all() & (carry[5] < 80), guarded, start)
    u = v - theta[None, :]
    full = (u > 0) & (u >= kappa[None, :])
    t = jnp.where(full, (u + (kappa * gamma / delta)[None, :]) * stiff, jnp.maximum(u, 0.0) / delta)
    t = t * (b / t.sum(axis=0))[None, :]
    penalty = _penalty(work, t, Columns(delta, t, theta, kappa), delta, full)
    smooth = (alpha[:, None] - cost) * t - delta / 2 * (t - center) ** 2
    return Columns(alpha @ a - (smooth.sum(axis=0) - penalty).sum(), t, theta, kappa)


def _slope(n_full: ArrayLike, n_tied: Array, k: Array, gamma: Array, delta: Array) -> Array:
    """Minus the derivative of the column sum in theta; kappa widens by n_tied / (k - n_full) for each unit."""
    widening = jnp.where(n_tied > 0, n_tied / jnp.maximum(k - n_full, 1), 0.0)
    return n_full * (1 + gamma / delta * widening) / (gamma + delta) + n_tied / delta


def _penalty(work: Work, t: Array, columns: Columns, delta: Array, full: Array) -> Array:
    # t^2 / eta is t kappa / delta where tied
    gamma = work.regularizer.gamma
    return gamma / 2 * jnp.where(full, t * t, t * (columns.kappa / delta)[None, :]).sum(axis=0)


def _direction(work: Work, state: State, gradient: Array) -> Array:
    """The Newton direction: the generalised Hessian is a diagonal minus two rank-one terms for each column."""
    gamma, delta = work.regularizer.gamma, state.delta
    cost = work.problem.cost
    t, theta, kappa = state.columns.t, state.columns.theta, state.columns.kappa
    u = state.alpha[:, None] - cost + delta * state.center - theta[None, :]
    full = (u >= kappa[None, :]) & (u > 0)
    tied = (u > 0) & ~full
    # on the tied rows s = u + tau with tau = kappa (gamma + delta) / delta, and d tau = tau sum(ds) / sum(s)
    tau = kappa * (gamma + delta) / delta
    n_tied = tied.sum(axis=0, dtype=t.dtype)
    sum_u = jnp.where(tied, u, 0.0).sum(axis=0)
    sum_s = sum_u + n_tied * tau
    has_tied = sum_s > 0
    sum_s = jnp.where(has_tied, sum_s, 1.0)
    rest = jnp.where(has_tied, sum_u / sum_s, 0.0)  # 1 - n_tied tau / sum_s without the cancellation
    weight = jnp.where(full, 1 / (gamma + delta), jnp.where(tied, 1 / delta, 0.0))
    r = jnp.where(full, 1 / (gamma + delta), jnp.where(tied, (rest / delta)[None, :], 0.0))
    total = r.sum(axis=0)
    e = jnp.where(tied, jnp.sqrt(jnp.where(has_tied, tau / sum_s, 0.0) / delta)[None, :], 0.0)
    r = r * jnp.where(total > 0, jax.lax.rsqrt(jnp.where(total > 0, total, 1.0)), 0.0)[None, :]
    both = jnp.concatenate([e, r], axis=1)
    diagonal = weight.sum(axis=1)
    hessian = jnp.diag(diagonal + state.shift * diagonal.mean()) - both @ both.T
    return cho_solve(cho_factor(hessian, lower=True), gradient)


def _gap(work: Work, alpha: Array, delta: Array, center: Array, columns: Columns) -> tuple[Array, Array, Array]:
    """Exact value, row error, and a bound of the relative distance between relaxed primal and exact dual."""
    cost, a, _ = work.problem
    value = semi_dual(work.problem, work.regularizer, alpha).value
    u = alpha[:, None] - cost + delta * center - columns.theta[None, :]
    full = (u >= columns.kappa[None, :]) & (u > 0)
    penalty = _penalty(work, columns.t, columns, delta, full).sum()
    rows = columns.t.sum(axis=1)
    # Fenchel-Young: zero only if the plan is a subgradient of the conjugates at alpha
    young = (cost * columns.t).sum() + penalty - value - alpha @ (rows - a)
    error = jnp.abs(rows - a).sum()
    scale = jnp.maximum(jnp.abs(value), _SMALL_VALUE)
    return value, error, jnp.maximum(error, (jnp.maximum(young, 0.0) + error) / scale)


def init(work: Work) -> State:
    _, b = work.problem.a, work.problem.b
    zero = jnp.zeros_like(b)
    alpha = work.start
    guess = Columns(zero.sum(), work.center, zero, zero)
    columns = _solve_columns(work, alpha, work.center, work.delta, guess)
    value, error, residual = _gap(work, alpha, work.delta, work.center, columns)
    return State(
        alpha, columns, work.center, work.delta, jnp.full_like(value, 1e-8), jnp.int32(0),
        alpha, value, error, residual, jnp.int32(0),
    )  # fmt: skip


def step(work: Work, state: State) -> State:
    a = work.problem.a
    gradient = a - state.columns.t.sum(axis=1)
    d = _direction(work, state, gradient)
    slope = d @ gradient
    eps = jnp.finfo(d.dtype).eps

    def attempt(carry):
        size, *_, count = carry
        columns = _solve_columns(work, state.alpha + size * d, state.center, state.delta, state.columns)
        now = d @ (a - columns.t.sum(axis=1))
        slack = 10 * eps * (jnp.abs(state.columns.value) + 1)
        good = (jnp.abs(now) <= 0.7 * slope) & (columns.value >= state.columns.value - slack)
        good |= (now >= 0) & jnp.isfinite(columns.value)  # still rising
        smaller = size * jnp.clip(slope / (slope - now), 0.1, 0.5)
        return jnp.where(good, size, smaller), columns, good, count + 1

    start = (jnp.ones_like(slope), state.columns, ~(slope > 0), jnp.int32(0))
    size, columns, good, cuts = jax.lax.while_loop(lambda c: ~c[2] & (c[3] < _CUTS), attempt, start)
    moved = good & (slope > 0)
    alpha = jnp.where(moved, state.alpha + size * d, state.alpha)
    columns = jax.tree.map(lambda new, old: jnp.where(moved, new, old), columns, state.columns)
    shift = jnp.where(cuts > 2, state.shift * 10, state.shift / 10)
    shift = jnp.clip(jnp.where(moved, shift, state.shift * 100), eps * 10, 1.0)

    value, error, residual = _gap(work, alpha, state.delta, state.center, columns)
    wins = value > state.value
    best, value = jnp.where(wins, alpha, state.best), jnp.where(wins, value, state.value)
    waited = jnp.where(residual < 0.9 * state.residual, 0, state.waited + 1)
    inner = state.inner + 1
    solved = (error <= jnp.maximum(0.1 * work.tolerance, 1e-2 * jnp.abs(columns.t - state.center).sum())) | ~moved
    solved |= inner >= 20

    def recenter(_):
        delta = jnp.maximum(state.delta * jnp.where(inner <= 4, 0.1, 0.3), work.floor)
        return columns.t, delta, _solve_columns(work, alpha, columns.t, delta, columns)

    center, delta, columns = jax.lax.cond(
        solved & (residual > work.tolerance), recenter, lambda _: (state.center, state.delta, columns), None
    )
    inner = jnp.where(solved, 0, inner)
    return State(alpha, columns, center, delta, shift, inner, best, value, error, residual, waited)


def done(work: Work, state: State) -> Array:
    reason = jnp.where(state.waited >= 30, Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(state.residual <= work.tolerance, Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(state.residual), reason, Reason.NOT_FINITE).astype(jnp.int32)


def measure(work: Work, state: State) -> dict[str, Array]:
    return {"value": state.value, "row_error": state.row_error, "residual": state.residual}


NEWTON = Method(init, step, done, measure)
