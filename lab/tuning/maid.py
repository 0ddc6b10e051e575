r"""MAID: descent on an upper loss that is never known exactly, which chooses its own accuracies and step lengths.

Salehi, Mukherjee, Roberts and Ehrhardt, An adaptively inexact first-order method for bilevel optimization, 2023 (arXiv
2308.10098). A step from theta with the inexact hypergradient z is accepted where

$$ U(\tilde x_+) - L(\tilde x) + r(\theta_+) - r(\theta) + \lambda \alpha \|z\|^2 \le 0, \qquad
   U = g + \|\nabla g\| \varepsilon + \tfrac{L_g}{2} \varepsilon^2 , \quad
   L = g - \|\nabla g\| \varepsilon - \tfrac{L_g}{2} \varepsilon^2 , $$

where the last term of L is left out if g is convex, and $\varepsilon$ is the accuracy that each lower solve
reached. Then the true loss
falls by at least $\lambda \alpha \|z\|^2$. Where the error bound omega of z is too large for a certain descent, or
no step length is
accepted, both accuracies are tightened; after a step they are loosened a little.

Departures from the released code: accelerated lower solves keep their momentum, conjugate gradients of a zero
right side give 0,
and the bound has its factors L_g.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics import Loop, Method, arguments, pure
from lab.tuning import descent, lower
from lab.tuning.descent import Descent, Ending, Rules, State, Task, slope_at, spent
from lab.tuning.problem import Bilevel


def upper_bound(problem: Bilevel, x: Array, eps: Any, smooth: Any) -> Float[Array, ""]:
    """U: no point within eps of x has a larger g."""
    value, pull = jax.value_and_grad(problem.upper)(x)
    return value + jnp.sqrt(jnp.vdot(pull, pull)) * eps + smooth / 2 * eps**2


def lower_bound(problem: Bilevel, x: Array, eps: Any, smooth: Any) -> Float[Array, ""]:
    """L: no point within eps of x has a smaller g."""
    value, pull = jax.value_and_grad(problem.upper)(x)
    return value - jnp.sqrt(jnp.vdot(pull, pull)) * eps - (0.0 if problem.convex else smooth / 2 * eps**2)


class _Found(NamedTuple):
    """What an attempt at a step has come to."""

    state: State  # with its accuracies, costs and estimates kept up to date
    z: Array
    omega: Array
    reached: Array
    alpha: Array  # of the accepted trial, or the last one
    theta: Array
    x: Array
    accepted: Array
    trials: Array
    shrinks: Array
    allowed: Array  # backtracks of the next search
    secants: Array


def _tightened(task: Task, state: State) -> State:
    nu = jnp.where(task.adaptive, task.rules.nu, 1.0)
    return state._replace(eps=state.eps * nu, delta=state.delta * nu)


def ended(linear_reached: Array, curvature: Array, lower_reached: Array, finite: Array) -> Array:
    """The ending that a slope calls for, RUNNING for none."""
    failed = jnp.where(lower_reached & linear_reached, Ending.RUNNING, Ending.CAP)
    failed = jnp.where(curvature > 0, failed, Ending.NOT_CONVEX)
    return jnp.where(finite, failed, Ending.NOT_FINITE).astype(jnp.int32)


def _blind(size: Array, estimated: Any) -> Array:
    """Of a slope of 0 estimated constants tell nothing: no secant was seen, and J may be 0 at this point alone."""
    return (size == 0) & (estimated > 0)


def _descends(task: Task, state: State) -> tuple[State, Array, Array, Array, Array, Array]:
    """A slope whose error bound is small enough for it to be a descent direction: tightened until it is.

    At a fixed accuracy the first one is taken as it is.
    """
    rules = task.rules
    zero, none = jnp.zeros((), state.eps.dtype), jnp.zeros_like(state.theta)

    def body(carry: tuple) -> tuple:
        state, _, _, _, shrinks, secants, _ = carry
        known, solved, slope, (hessian, inverse, cross) = slope_at(
            task, state, state.x, state.q, state.eps, state.delta
        )
        size = jnp.sqrt(jnp.vdot(slope.z, slope.z))
        estimated = 2.0 * (known.inverse is None or known.cross is None)
        good = (slope.omega <= (1 - rules.eta) * size) | (size + slope.omega <= rules.tolerance)
        good = good & ~_blind(size, estimated) | ~task.adaptive
        linear = slope.linear
        ending = ended(linear.reached, linear.curvature, solved.reached, jnp.isfinite(size))
        state = state._replace(
            x=solved.x,
            q=linear.q,
            hessian=hessian,
            inverse=inverse,
            cross=cross,
            ending=ending,
            curvature=jnp.minimum(state.curvature, linear.curvature),
            lower_cost=state.lower_cost + solved.evaluations,
            linear_cost=state.linear_cost + linear.products + known.products,
        )
        tightened = _tightened(task, state)
        floor = ~good & (tightened.eps < rules.eps_min) & (ending == Ending.RUNNING)
        tightened = tightened._replace(ending=jnp.where(floor, Ending.FLOOR, ending).astype(jnp.int32))
        state = jax.tree.map(partial(jnp.where, good), state, tightened)
        return state, slope.z, slope.omega, solved.accuracy, shrinks + ~good, secants + estimated, good

    def going(carry: tuple) -> Array:
        return ~carry[6] & (carry[0].ending == Ending.RUNNING)

    start = (state, none, zero, zero, jnp.int32(0), zero, jnp.array(False))
    return jax.lax.while_loop(going, body, start)[:6]


def _search(task: Task, found: _Found) -> _Found:
    """Step lengths from alpha down, until one certifies a decrease."""
    problem, rules, state = task.problem, task.rules, found.state
    smooth = problem.constants(state.x, state.theta).upper
    level = lower_bound(problem, state.x, found.reached, smooth) + problem.penalty(state.theta)
    square = jnp.vdot(found.z, found.z)

    def body(carry: tuple) -> tuple:
        trial, _, _, _, _, gradients, products = carry
        alpha = state.alpha * rules.rho**trial
        theta = state.theta - alpha * found.z
        known = problem.constants(state.x, theta)
        solved = lower.solve(problem, theta, state.x, state.eps, known, rules.cap)
        above = upper_bound(problem, solved.x, solved.accuracy, known.upper) + problem.penalty(theta)
        accepted = solved.reached & (above - level + rules.lam * alpha * square <= 0)
        return trial + 1, alpha, theta, solved.x, accepted, gradients + solved.evaluations, products + known.products

    def going(carry: tuple) -> Array:
        return ~carry[4] & (carry[0] < found.allowed)

    start = (
        jnp.int32(0),
        state.alpha,
        state.theta,
        state.x,
        jnp.array(False),
        state.lower_cost,
        state.linear_cost,
    )
    trial, alpha, theta, x, accepted, gradients, products = jax.lax.while_loop(going, body, start)
    state = state._replace(lower_cost=gradients, linear_cost=products)
    return found._replace(state=state, alpha=alpha, theta=theta, x=x, accepted=accepted, trials=found.trials + trial)


def _attempt(task: Task, found: _Found) -> _Found:
    """A slope, and a search along it where there is none to wait for; tightened where the search failed."""
    rules = task.rules
    state, z, omega, reached, shrinks, secants = _descends(task, found.state)
    size = jnp.sqrt(jnp.vdot(z, z))
    stationary = (size + omega <= rules.tolerance) & ~_blind(size, secants)
    ending = jnp.where((state.ending == Ending.RUNNING) & stationary, Ending.STATIONARY, state.ending)
    state = state._replace(ending=ending.astype(jnp.int32))
    found = found._replace(
        state=state, z=z, omega=omega, reached=reached, shrinks=found.shrinks + shrinks, secants=found.secants + secants
    )
    found = found._replace(allowed=jnp.where(state.ending == Ending.RUNNING, found.allowed, 0))
    found = _search(task, found)
    missed = ~found.accepted & (state.ending == Ending.RUNNING)
    tightened = _tightened(task, found.state)
    over = jnp.where(task.adaptive, tightened.eps < rules.eps_min, True)
    tightened = tightened._replace(ending=jnp.where(over, Ending.NO_STEP, Ending.RUNNING).astype(jnp.int32))
    kept = jax.tree.map(partial(jnp.where, missed), tightened, found.state)
    return found._replace(state=kept, allowed=found.allowed + 1, shrinks=found.shrinks + missed)


def step(task: Task, state: State) -> State:
    """One accepted step, or an ending."""
    zero = jnp.zeros((), state.eps.dtype)
    start = _Found(
        state,
        jnp.zeros_like(state.theta),
        zero,
        zero,
        state.alpha,
        state.theta,
        state.x,
        jnp.array(False),
        jnp.int32(0),
        jnp.int32(0),
        jnp.int32(task.rules.backtracks),
        zero,
    )

    def going(found: _Found) -> Array:
        return ~found.accepted & (found.state.ending == Ending.RUNNING)

    found = jax.lax.while_loop(going, partial(_attempt, task), start)
    return _after(task, state, found)


def _after(task: Task, before: State, found: _Found) -> State:
    rules, state, accepted = task.rules, found.state, found.accepted
    loss = task.problem.upper(found.x) + task.problem.penalty(found.theta)
    shown = {
        "loss": loss,
        "eps": state.eps,
        "delta": state.delta,
        "alpha": jnp.where(accepted, found.alpha, 0.0),
        "grad_norm": jnp.sqrt(jnp.vdot(found.z, found.z)),
        "omega": found.omega,
        "reached": found.reached,
        "backtracks": (found.trials - accepted).astype(loss.dtype),
        "shrinks": found.shrinks.astype(loss.dtype),
        "secants": found.secants,
    }
    up = jnp.where(task.adaptive, rules.nu_up, 1.0)
    count = before.step + accepted
    path, slopes = state.path.at[count].set(found.theta), state.slopes.at[before.step].set(found.z)
    moved = state._replace(
        theta=found.theta,
        x=found.x,
        before=state.x,
        alpha=rules.rho_up * found.alpha,
        eps=up * state.eps,
        delta=up * state.delta,
        step=count,
        path=path,
        slopes=slopes,
    )
    state = jax.tree.map(partial(jnp.where, accepted), moved, state)
    over = (spent(state) >= rules.budget) & (state.ending == Ending.RUNNING)
    return state._replace(ending=jnp.where(over, Ending.BUDGET, state.ending).astype(jnp.int32), shown=shown)


METHOD = Method(descent.begin, step, descent.done, descent.measure)


def minimise(
    problem: Bilevel,
    theta: Any,
    eps: Any = 0.1,
    delta: Any = None,
    alpha: Any = 0.1,
    *,
    rules: Rules | None = None,
    adaptive: Any = True,
    max_iterations: int = 200,
    loop: Loop = pure,
    strict: bool = False,
) -> Descent:
    r"""Descend on f from theta by MAID.

    $$ \theta_+ = \theta - \alpha z, \qquad
       U(\tilde x_+) - L(\tilde x) + r(\theta_+) - r(\theta) + \lambda \alpha \|z\|^2 \le 0 $$

    Args:
        problem: of two levels.
        theta: where it begins, (p,).
        eps: accuracy of the first lower solve, in the units of x. Results hardly hang on it.
        delta: of the first linear solve; eps when omitted.
        alpha: the first step length that is tried.
        rules: how steps and accuracies are chosen.
        adaptive: False: accuracies stay as they are (the rival, which ends where no step can be certified).
        max_iterations: steps at most, static.
        loop: ``pure``, or a ``Chunked`` that reports and stops between steps.
        strict: raise where it ends before a stopping rule is met.

    Returns:
        a ``Descent``; ``certified`` says whether all constants were known.

    Raises:
        ValueError: settings that make no descent; h not finite or not strongly convex.
        Stalled: with ``history``, where strict.

    Source:
        Salehi, Mukherjee, Roberts and Ehrhardt (2023).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> h = lambda x, theta: 0.5 * jnp.sum((x - 3.0) ** 2) + 0.5 * jnp.exp(theta[0]) * jnp.sum(x**2)
        >>> ridge = tuning.Own(h, lambda x: 0.5 * jnp.sum((x - 1.0) ** 2), jnp.zeros(2), of_upper=1.0, is_convex=True)
        >>> found = tuning.minimise(ridge, jnp.zeros(1), alpha=1.0, max_iterations=40)
        >>> round(float(jnp.exp(found.theta[0])), 3)  # x = 3 / (1 + e^theta) is to be 1
        2.0
    """
    theta, rules = arguments.real("theta", theta, finite=False), rules or Rules()
    delta = eps if delta is None else delta
    max_iterations = arguments.whole("max_iterations", max_iterations, 1)
    descent.check(problem, theta, eps, delta, alpha, rules)
    task = Task(problem, theta, eps, delta, alpha, rules, jnp.asarray(adaptive), jnp.int32(0), max_iterations)
    return descent.run(METHOD, task, loop, strict)
