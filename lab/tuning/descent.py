"""What descents on an inexact upper loss have in common: settings, state, why they end, what they return."""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Method, Reason
from lab.numerics.differentiation import refuse_derivative
from lab.tuning import hypergradient, lower
from lab.tuning.problem import Bilevel


class Ending(enum.IntEnum):
    """Why a descent ended. ``advice`` says what to do."""

    RUNNING = 0
    STATIONARY = 1
    BUDGET = 2
    FLOOR = 3
    NO_STEP = 4
    CAP = 5
    NOT_CONVEX = 6
    NOT_FINITE = 7

    @property
    def advice(self) -> str:
        return _ADVICE[self]


_ADVICE = {
    Ending.RUNNING: "it is still running",
    Ending.STATIONARY: "the slope and the bound of its error are below the tolerance",
    Ending.BUDGET: "the budget of gradients and products is spent",
    Ending.FLOOR: "no accuracy above eps_min makes the slope a certain descent direction: this is as near a stationary point "
    "as can be certified; lower eps_min, or raise the tolerance to end before",
    Ending.NO_STEP: "no step length certifies a decrease at this accuracy: lower the accuracy, or let it adapt",
    Ending.CAP: "a lower or linear solve reached its cap: raise the cap, or keep the lower problem better conditioned",
    Ending.NOT_CONVEX: "a direction of no positive curvature was met: add a term to h that makes it strongly convex",
    Ending.NOT_FINITE: "a value became infinite or NaN: start at more moderate hyperparameters",
}


class Rules(eqx.Module):
    """How steps and accuracies are chosen.

    Attributes:
        eta: the slope is accepted where omega <= (1 - eta) ||z||.
        lam: share of alpha ||z||^2 by which a step must lower the loss; below eta.
        rho, rho_up: factors of the step length, at a failed trial and after a step.
        nu, nu_up: factors of both accuracies, at a failed test and after a step.
        eps_min: the least accuracy that is tried.
        tolerance: ||z|| + omega at which a point counts as stationary.
        budget: lower gradients and products with the Hessian, in all.
        backtracks: trials of a step length, one more after each failed search.
        cap: gradients of a lower solve.
    """

    eta: Any = 0.9  # with 0.5 a third is saved, but runs from different accuracies take some different steps
    lam: Any = 0.1
    rho: Any = 0.5
    rho_up: Any = 10 / 9
    nu: Any = 0.5
    nu_up: Any = 1.05
    eps_min: Any = 1e-11
    tolerance: Any = 0.0
    budget: Any = np.inf
    backtracks: int = eqx.field(static=True, default=10)
    cap: int = eqx.field(static=True, default=lower.CAP)


class Task(eqx.Module):
    """What the loop runs."""

    problem: Bilevel
    theta: Array
    eps: Any
    delta: Any
    alpha: Any
    rules: Rules
    adaptive: Any  # of MAID: whether accuracies are changed
    schedule: Any  # of HOAG: number of its rule
    rows: int = eqx.field(static=True)  # steps, at most


class State(NamedTuple):
    """Where a descent is. Accuracies are those of the next step, those of the last one are in ``shown``."""

    theta: Float[Array, " p"]
    x: Float[Array, "..."]
    before: Float[Array, "..."]  # the last x, for secants
    q: Float[Array, "..."]
    eps: Float[Array, ""]
    delta: Float[Array, ""]
    alpha: Float[Array, ""]
    inverse: Float[Array, ""]  # L_Hinv, known or the largest secant so far over mu^2
    cross: Float[Array, ""]  # L_J
    hessian: Float[Array, ""]  # the largest secant so far of H
    ending: Int[Array, ""]
    lower_cost: Int[Array, ""]  # gradients
    linear_cost: Int[Array, ""]  # products with the Hessian
    step: Int[Array, ""]
    path: Float[Array, "rows p"]  # NaN where not reached
    slopes: Float[Array, "rows p"]  # z of each step
    curvature: Float[Array, ""]
    shown: dict[str, Array]


SHOWN = ("loss", "eps", "delta", "alpha", "grad_norm", "omega", "reached", "backtracks", "shrinks", "secants")
"""What is recorded of a step, beside both costs. ``secants``: products that estimate constants, outside of the
cost."""


def begin(task: Task) -> State:
    """The state before the first step; its ending says where there can be none."""
    problem, theta = task.problem, task.theta
    x = problem.start(theta)
    known = problem.constants(x, theta)
    zero, of = jnp.zeros((), x.dtype), lambda value: jnp.asarray(value, x.dtype)
    finite = jnp.isfinite(problem.lower(x, theta)) & jnp.isfinite(known.mu) & jnp.isfinite(known.smooth)
    ending = jnp.where(finite, jnp.where(known.mu > 0, Ending.RUNNING, Ending.NOT_CONVEX), Ending.NOT_FINITE)
    path = jnp.full((task.rows + 1, theta.size), jnp.nan, theta.dtype).at[0].set(theta)
    shown = dict.fromkeys(SHOWN, zero) | {"loss": problem.upper(x) + problem.penalty(theta)}
    return State(
        theta,
        x,
        x,
        jnp.zeros_like(x),
        of(task.eps),
        of(task.delta),
        of(task.alpha),
        zero,
        zero,
        zero,
        ending.astype(jnp.int32),
        jnp.int32(0),
        jnp.int32(known.products),
        jnp.int32(0),
        path,
        jnp.full_like(path[1:], jnp.nan),
        known.mu,
        shown,
    )


def reason(ending: Array) -> Array:
    """The ``Reason`` of an ``Ending``: a spent budget is a rule that was met."""
    table = [Reason.RUNNING, Reason.CONVERGED, Reason.CONVERGED, *[Reason.STALLED] * 4, Reason.NOT_FINITE]
    return jnp.asarray(table, jnp.int32)[ending]


def spent(state: State) -> Int[Array, ""]:
    """The cost: lower gradients and products with the Hessian."""
    return state.lower_cost + state.linear_cost


def measure(task: Task, state: State) -> dict[str, Array]:
    """What is recorded of each step."""
    cost = {"cost_lower": state.lower_cost, "cost_cg": state.linear_cost}
    return state.shown | {name: value.astype(state.eps.dtype) for name, value in cost.items()}


def done(task: Task, state: State) -> Array:
    """Whether it goes on."""
    return reason(state.ending)


class Descent(NamedTuple):
    """What a descent came to.

    ``trace`` has a row for each step: loss (at the inexact minimiser), eps, delta, alpha, grad_norm, omega, reached
    (the accuracy that the lower solve had), backtracks, shrinks (of both accuracies), cost_lower, cost_cg. ``path``
    has theta before each step and after the last one.
    """

    theta: Float[Array, " p"]
    x: Float[Array, "..."]
    path: Float[Array, "rows p"]
    trace: Mapping[str, Any]
    iterations: Any
    reason: Any
    ending: Any
    certified: bool  # all constants are known: each accepted step lowers the true loss
    state: State

    @property
    def cost(self) -> Any:
        """Lower gradients and products with the Hessian, in all."""
        return spent(self.state)


class Stalled(RuntimeError):
    """A descent that could not go on; ``history`` is what it came to, a ``Descent``."""

    history: Descent


def check(problem: Bilevel, theta: Array, eps: Any, delta: Any, alpha: Any, rules: Rules) -> None:
    """Refuse settings that make no descent.

    Raises:
        ValueError: one sentence.
    """
    if theta.ndim != 1 or theta.size == 0:
        raise ValueError(f"theta has the shape {theta.shape}, but a vector of at least one hyperparameter is needed")
    numbers = {"eps": eps, "delta": delta, "alpha": alpha, "eps_min": rules.eps_min, "budget": rules.budget}
    for name, value in numbers.items():
        if _known(value) and np.ndim(value):
            raise ValueError(f"{name} has shape {np.shape(value)}: one number is needed")
        if _known(value) and not float(value) > 0:
            raise ValueError(f"{name} is {float(value):g}, but it must be above 0")
    eta, lam, rho, nu = rules.eta, rules.lam, rules.rho, rules.nu
    if _known(eta, lam) and not 0 < float(lam) < float(eta) < 1:
        raise ValueError(f"lam = {float(lam):g} and eta = {float(eta):g}, but 0 < lam < eta < 1 is needed")
    for name, low, high in (("rho", rho, rules.rho_up), ("nu", nu, rules.nu_up)):
        if _known(low, high) and not 0 < float(low) < 1 <= float(high):
            raise ValueError(
                f"{name} = {float(low):g} and {name}_up = {float(high):g}, but 0 < {name} < 1 <= {name}_up is needed"
            )
    if rules.backtracks < 1 or rules.cap < 1:
        raise ValueError(f"backtracks is {rules.backtracks} and cap {rules.cap}, but both must be at least 1")
    _check_shapes(problem, theta)


def _check_shapes(problem: Bilevel, theta: Array) -> None:
    """Both losses take what they are given, and give numbers."""
    try:
        x = jax.eval_shape(problem.start, theta)
        given = {"h": jax.eval_shape(problem.lower, x, theta).shape, "g": jax.eval_shape(problem.upper, x).shape}
    except (TypeError, ValueError, IndexError) as problem_of_shapes:
        raise ValueError(
            f"the losses can't be called with theta of shape {theta.shape}: {problem_of_shapes}"
        ) from problem_of_shapes
    for name, shape in given.items():
        if shape != ():
            raise ValueError(f"{name} gives an array of shape {shape}, but a loss must be a number: sum it")


def _known(*values: Any) -> bool:
    return not any(isinstance(value, Tracer) for value in values)


def run(method: Method, task: Task, loop: Loop, strict: bool) -> Descent:
    """Run a descent; where it began nowhere, and where ``strict`` asks for it of one that stalled, say so.

    Raises:
        ValueError: h is not finite at the start, or not strongly convex.
        Stalled: strict, and it ended before the stopping rule was met.
    """
    task = refuse_derivative(
        task,
        "accepted steps and accuracies jump: a descent has no derivative; lab.tuning.implicit has the hypergradient",
    )
    found = loop(method, task, max_iterations=task.rows)
    state = found.state
    descent = Descent(
        state.theta,
        state.x,
        state.path,
        found.trace,
        found.iterations,
        found.reason,
        state.ending,
        task.problem.certified,
        state,
    )
    if not isinstance(state.ending, Tracer):
        _tell(descent, strict)
    return descent


def _tell(descent: Descent, strict: bool) -> None:
    state, ending = descent.state, Ending(int(descent.ending))
    if ending == Ending.NOT_FINITE and int(state.step) == 0:
        raise ValueError(
            f"h is {float(state.shown['loss']):g} or its constants are not finite at the first theta: start at more moderate "
            "hyperparameters, or mend the losses"
        )
    if ending == Ending.NOT_CONVEX:
        raise ValueError(
            f"h is not strongly convex at theta = {_short(state.theta)}: a direction there has the curvature "
            f"{float(state.curvature):.3g}, but mu > 0 is needed; add a term such as 0.01 * sum(x**2) to h"
        )
    if strict and ending not in (Ending.RUNNING, Ending.STATIONARY, Ending.BUDGET):
        stalled = Stalled(f"the descent ended after {int(state.step)} steps: {ending.advice}")
        stalled.history = descent
        raise stalled


def _short(theta: Array) -> str:
    told = ", ".join(f"{float(value):.3g}" for value in np.asarray(theta)[:4])
    return f"({told}{', ...' if theta.size > 4 else ''})"


def slope_at(task: Task, state: State, x: Array, q: Array, eps: Any, delta: Any) -> tuple[Any, ...]:
    """An inexact hypergradient at theta: the lower solve, z with its linear solve, omega, and the estimates with this
    point."""
    problem, theta = task.problem, state.theta
    known = problem.constants(x, theta)
    solved = lower.solve(problem, theta, x, eps, known, task.rules.cap)
    z, linear, pull = hypergradient.inexact(problem, theta, solved.x, q, delta)
    hessian, inverse, cross = state.hessian, known.inverse, known.cross
    if inverse is None or cross is None:
        bent, tilted = hypergradient.secants(problem, theta, solved.x, state.before, linear.q)
        hessian = jnp.maximum(hessian, bent)
        inverse = hessian / known.mu**2 if inverse is None else inverse
        cross = jnp.maximum(state.cross, tilted) if cross is None else cross
    size = problem.cross_norm(solved.x, theta)
    pulling = jnp.sqrt(jnp.vdot(pull, pull))
    omega = hypergradient.bound(known, inverse, cross, size, pulling, solved.accuracy, linear.residual)
    return known, solved, hypergradient.Slope(z, omega, linear, pull, size), (hessian, inverse, cross)
