r"""The lower problem to an accuracy: accelerated gradient descent for strongly convex functions, with a certificate.

$$ x_{t+1} = y_t - \tfrac1L \nabla h(y_t), \qquad
   y_{t+1} = x_{t+1} + \frac{1 - \sqrt{\mu/L}}{1 + \sqrt{\mu/L}} (x_{t+1} - x_t) , $$

until $\|\nabla_x h(y_t)\| \le \mu \varepsilon$, which implies $\|y_t - \hat x\| \le \varepsilon$. Nesterov,
Introductory lectures on
convex optimization, 2004, scheme 2.2.11 with constant momentum.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lab.tuning.problem import Bilevel, Constants, norm, slope

CAP = 5000
"""Gradients of one lower solve, at most."""


class Solved(NamedTuple):
    """A point near the minimiser."""

    x: Float[Array, "..."]
    accuracy: Float[Array, ""]  # ||grad_x h(x)|| / mu, which bounds the distance from the minimiser
    evaluations: Int[Array, ""]  # gradients
    reached: Bool[Array, ""]
    history: Float[Array, " rows"]  # ||grad_x h|| / mu by evaluation, NaN after the last; empty when not asked for


def solve(
    problem: Bilevel,
    theta: Float[Array, " p"],
    x: Float[Array, "..."],
    eps: Any,
    known: Constants,
    cap: int = CAP,
    rows: int = 0,
) -> Solved:
    """Minimise h(., theta) from x until the distance from the minimiser is certified to be at most eps.

    Args:
        known: mu and L at theta; the certificate is as good as mu is.
        cap: gradients, at most; then ``reached`` is false and ``accuracy`` tells how far it came.
        rows: how many accuracies are recorded.
    """
    root = jnp.sqrt(known.mu / known.smooth)
    momentum = (1 - root) / (1 + root)

    def look(y: Array, count: Array, history: Array) -> tuple[Array, Array, Array]:
        pull = slope(problem, y, theta)
        accuracy = norm(pull) / known.mu
        return pull, accuracy, history.at[count].set(accuracy) if rows else history

    def body(carry: tuple) -> tuple:
        before, y, pull, _, count, history = carry
        x = y - pull / known.smooth
        y = x + momentum * (x - before)
        pull, accuracy, history = look(y, count, history)
        return x, y, pull, accuracy, count + 1, history

    def going(carry: tuple) -> Array:
        return (carry[3] > eps) & (carry[4] < cap) & jnp.isfinite(carry[3])

    pull, accuracy, history = look(x, jnp.int32(0), jnp.full(rows, jnp.nan, x.dtype))
    _, y, _, accuracy, count, history = jax.lax.while_loop(going, body, (x, x, pull, accuracy, jnp.int32(1), history))
    return Solved(y, accuracy, count, accuracy <= eps, history)
