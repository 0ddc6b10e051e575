r"""What MAID is compared with: HOAG, whose accuracies follow a schedule, and accuracies that stay as they are.

HOAG (Pedregosa, Hyperparameter optimization with approximate gradient, ICML 2016) solves to $\varepsilon_k$, a
summable sequence, and
steps by $1/L$. With $g_k$ the loss at the k-th inexact minimiser and $s_k$ the length of the last step, L falls by
5% where

$$ g_k \le g_{k-1} + \varepsilon_k + \varepsilon_{k-1} (1 + s_k) - \tfrac L2 s_k^2 , $$

stays where $g_k \le g_{k-1}$, and is doubled where the loss rose. (The released code compares with the length of
the step to come.)
"""

from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics import Loop, Method, arguments, pure
from lab.tuning import descent, hypergradient, lower, maid
from lab.tuning.descent import Descent, Ending, Rules, State, Task, spent
from lab.tuning.problem import Bilevel, norm

type Schedule = Literal["geometric", "quadratic", "cubic"]
SCHEDULES = ("geometric", "quadratic", "cubic")
"""$0.9^k$, $(k+1)^{-2}$ and $(k+1)^{-3}$ times the first accuracy."""

_LEAST = 1e-12  # accuracy, since a schedule falls for ever


def scheduled(rule: Any, first: Any, k: Any) -> Float[Array, ""]:
    """The accuracy of step k, counted from 0, by the number of the schedule."""
    k = jnp.asarray(k, jnp.result_type(float))
    return jnp.maximum(first * jnp.stack([0.9**k, (k + 1) ** -2, (k + 1) ** -3])[rule], _LEAST)


def step(task: Task, state: State) -> State:
    """One step, whatever the loss does."""
    problem, theta = task.problem, state.theta
    eps, delta = (scheduled(task.schedule, first, state.step) for first in (task.eps, task.delta))
    last = scheduled(task.schedule, task.eps, state.step - 1)
    known = problem.constants(state.x, theta)
    solved = lower.solve(problem, theta, state.x, eps, known, task.rules.cap)
    z, linear, _ = hypergradient.inexact(problem, theta, solved.x, state.q, delta)
    loss = problem.upper(solved.x) + problem.penalty(theta)
    went = norm(theta - state.path[jnp.maximum(state.step - 1, 0)])
    good = loss <= state.shown["loss"] + eps + last * (1 + went) - went**2 / (2 * state.alpha)
    factor = jnp.where(good, 1 / 0.95, jnp.where(loss <= state.shown["loss"], 1.0, 0.5))
    alpha = jnp.where(state.step > 0, state.alpha * factor, state.alpha)
    ending = maid.ended(linear.reached, linear.curvature, solved.reached, jnp.isfinite(norm(z)))
    zero = jnp.zeros((), loss.dtype)
    shown = dict.fromkeys(descent.SHOWN, zero) | {
        "loss": loss,
        "eps": eps,
        "delta": delta,
        "alpha": alpha,
        "grad_norm": norm(z),
        "omega": zero * jnp.nan,
        "reached": solved.accuracy,
    }
    going = ending == Ending.RUNNING
    following = jnp.where(going, theta - alpha * z, theta)
    state = state._replace(
        theta=following,
        x=solved.x,
        before=state.x,
        q=linear.q,
        eps=eps,
        delta=delta,
        alpha=alpha,
        shown=shown,
        lower_cost=state.lower_cost + solved.evaluations,
        linear_cost=state.linear_cost + linear.products + known.products,
        step=state.step + going,
        path=state.path.at[state.step + going].set(following),
        slopes=state.slopes.at[state.step].set(z),
        curvature=jnp.minimum(state.curvature, linear.curvature),
    )
    over = going & (spent(state) >= task.rules.budget)
    return state._replace(ending=jnp.where(over, Ending.BUDGET, ending).astype(jnp.int32))


HOAG = Method(descent.begin, step, descent.done, descent.measure)


@chosen
def hoag(
    problem: Bilevel,
    theta: Any,
    eps: Any = 0.1,
    delta: Any = None,
    alpha: Any = 0.1,
    *,
    schedule: Schedule = "geometric",
    rules: Rules | None = None,
    max_iterations: int = 200,
    loop: Loop = pure,
    strict: bool = False,
) -> Descent:
    r"""Descend by HOAG: accuracies $\varepsilon_k$ by a schedule, step lengths by the heuristic above from the first one.

    ``loss`` in the trace is that before the step.

    Args:
        problem: of two levels.
        theta: where it begins, (p,).
        eps: accuracy of the first lower solve, in the units of x. Results hardly hang on it.
        delta: of the first linear solve; eps when omitted.
        alpha: the first step length.
        schedule: "geometric", "quadratic" or "cubic": 0.9^k, (k+1)^-2 or (k+1)^-3.
        rules: of which ``cap`` and ``budget`` are read.
        max_iterations: steps at most, static.
        loop: ``pure``, or a ``Chunked`` that reports and stops between steps.
        strict: raise where it ends before a stopping rule is met.

    Returns:
        a ``Descent``.

    Raises:
        ValueError: settings that make no descent; h not finite or not strongly convex; an unknown schedule.
        Stalled: with ``history``, where strict.

    Source:
        Pedregosa (2016).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> line = tuning.quadratic.quadratic([[1.0]], [[1.0]], [[1.0]], [2.0], [5.0])  # f = (3 - theta)^2 / 2
        >>> round(float(tuning.hoag(line, jnp.zeros(1), alpha=1.0, max_iterations=60).theta[0]), 2)
        3.0
    """
    theta, rules = arguments.real("theta", theta, finite=False), rules or Rules()
    delta = eps if delta is None else delta
    max_iterations = arguments.whole("max_iterations", max_iterations, 1)
    descent.check(problem, theta, eps, delta, alpha, rules)
    number = jnp.int32(SCHEDULES.index(schedule))
    task = Task(problem, theta, eps, delta, alpha, rules, jnp.array(False), number, max_iterations)
    return descent.run(HOAG, task, loop, strict)
