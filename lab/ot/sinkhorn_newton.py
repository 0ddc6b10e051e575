r"""Newton's method on the entropic semi-dual, guarded by Sinkhorn's, with $\varepsilon$-scaling.

$$ D_\gamma(\alpha) = \alpha^\top a - \gamma \sum_j b_j \left(\mathrm{logsumexp}\big((\alpha - c_j)/\gamma\big)
   - \log b_j\right), \qquad T = b_j\,\mathrm{softmax}\big((\alpha - c_j)/\gamma\big), \qquad
   -\nabla^2 D_\gamma = \tfrac{1}{\gamma}\big(\mathrm{diag}(T1) - T\,\mathrm{diag}(b)^{-1} T^\top\big) . $$

Every step takes the better of a Newton and a Sinkhorn step, $\alpha \leftarrow \alpha + \gamma \log(a / T1)$, which never
goes down. The strength starts large and is divided by 4 each time the row error is small.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, Int

from lab.numerics import Method, Reason
from lab.ot.operators import semi_dual
from lab.ot.regularizers import Entropic
from lab.ot.work import Work

_LOOSE = 0.05  # row error at which the strength falls
_FACTOR = 0.25


class State(NamedTuple):
    best: Float[Array, " m"]
    gamma: Float[Array, ""]
    value: Float[Array, ""]
    plan: Float[Array, "m n"]
    row_error: Float[Array, ""]
    least: Float[Array, ""]  # row error reached at this strength
    waited: Int[Array, ""]


def _at(work: Work, alpha: Array, gamma: Array):
    value, plan, _ = semi_dual(work.problem, Entropic(gamma), alpha)
    return value, plan


def init(work: Work) -> State:
    gamma = jnp.asarray(work.regularizer.gamma)
    cold = (work.start == 0).all()
    gamma = jnp.where(cold, jnp.maximum(gamma, 0.25), gamma)
    value, plan = _at(work, work.start, gamma)
    error = jnp.abs(plan.sum(axis=1) - work.problem.a).sum()
    return State(work.start, gamma, value, plan, error, error, jnp.int32(0))


def step(work: Work, state: State) -> State:
    a, b = work.problem.a, work.problem.b
    rows = state.plan.sum(axis=1)
    gradient = a - rows
    hessian = (jnp.diag(rows) - (state.plan / b[None, :]) @ state.plan.T) / state.gamma
    shift = jnp.finfo(a.dtype).eps * 10 * hessian.trace() / a.shape[0]
    d = cho_solve(cho_factor(hessian + shift * jnp.eye(a.shape[0], dtype=a.dtype), lower=True), gradient)
    d = jnp.where(jnp.isfinite(d).all(), d, gradient)
    slope = d @ gradient
    slack = 10 * jnp.finfo(a.dtype).eps * jnp.abs(state.value)

    def shorter(carry):
        size, *_, count = carry
        size = jnp.where(count == 0, 1.0, size / 4)
        value, plan = _at(work, state.best + size * d, state.gamma)
        rises = value >= state.value + 1e-4 * size * slope - slack
        return size, value, plan, rises, count + 1

    start = (jnp.ones_like(slope), state.value, state.plan, jnp.array(False), jnp.int32(0))
    size, value, plan, rises, _ = jax.lax.while_loop(lambda c: ~c[3] & (c[4] < 6), shorter, start)
    alpha = state.best + size * d

    tiny = jnp.finfo(a.dtype).tiny
    scaled = state.best + state.gamma * (jnp.log(a) - jnp.log(jnp.maximum(rows, tiny)))
    other, other_plan = _at(work, scaled, state.gamma)
    newton = rises & ((value > other) | (value >= other - slack) & (_error(plan, a) <= _error(other_plan, a)))
    alpha = jnp.where(newton, alpha, scaled)
    value, plan = jnp.where(newton, value, other), jnp.where(newton, plan, other_plan)
    error = _error(plan, a)

    target = work.regularizer.gamma
    lower = (state.gamma > target) & (error <= _LOOSE)
    gamma = jnp.where(lower, jnp.maximum(state.gamma * _FACTOR, target), state.gamma)
    value, plan = jax.lax.cond(lower, lambda: _at(work, alpha, gamma), lambda: (value, plan))
    error = _error(plan, a)
    least = jnp.where(lower, error, jnp.minimum(error, state.least))
    waited = jnp.where(lower | (error < 0.9 * state.least), 0, state.waited + 1)
    return State(alpha, gamma, value, plan, error, least, waited)


def _error(plan: Array, a: Array) -> Array:
    return jnp.abs(plan.sum(axis=1) - a).sum()


def done(work: Work, state: State) -> Array:
    final = state.gamma <= work.regularizer.gamma
    reason = jnp.where(final & (state.waited >= 50), Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(final & (state.row_error <= work.tolerance), Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(state.value), reason, Reason.NOT_FINITE).astype(jnp.int32)


def measure(work: Work, state: State) -> dict[str, Array]:
    value = semi_dual(work.problem, work.regularizer, state.best).value
    return {"value": value, "row_error": state.row_error, "residual": state.row_error}


SINKHORN_NEWTON = Method(init, step, done, measure)
