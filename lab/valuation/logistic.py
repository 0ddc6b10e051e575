r"""Multinomial logistic regressions on many weighted sets of the same points, side by side.

$$ \min_{W, b} \; \sum_j w_j \left[ \log \sum_c e^{s_{jc}} - s_{j y_j} \right] + \tfrac{\lambda}{2} |W|^2, \qquad
   s_j = W^\top x_j + b , $$

for weights w that say how often each point is there. All sets share the points, so a step of all is two products of matrices.
The Hessian is nowhere above $\tfrac12 I \otimes (X^\top \mathrm{diag}(w) X + 2 \lambda)$, of which there is one inverse for
each set: steps by it never need a search, and are accelerated, beginning anew where that leads uphill.

Source: Böhning, *Multinomial logistic regression algorithm*, 1992 (the bound); Nesterov 1983; O'Donoghue, Candès, *Adaptive
restart for accelerated gradient schemes*, 2015.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.jit import jit

STEPS = 60  # the accuracy of a test no longer changes, by much


class _Problem(NamedTuple):
    x: Float[Array, "n d"]  # with a column of ones
    wanted: Float[Array, "n classes"]
    weights: Float[Array, "sets n"]
    inverse: Float[Array, "sets d d"]  # of the bound of the Hessian
    penalty: Float[Array, " d"]


class _State(NamedTuple):
    theta: Float[Array, "sets d classes"]
    before: Float[Array, "sets d classes"]
    age: Float[Array, " sets"]  # steps since the acceleration began
    slope: Float[Array, ""]  # largest entry of a gradient, for each unit of weight


class Trained(NamedTuple):
    """Regressions, one for each set of weights."""

    theta: Float[Array, "sets d classes"]  # the last row is b
    slope: Any  # largest entry of a gradient divided by the weight of its set: 0 at the optimum
    iterations: Any
    reason: Any


def _init(problem: _Problem) -> _State:
    shape = (problem.weights.shape[0], problem.x.shape[1], problem.wanted.shape[1])
    zero = jnp.zeros(shape, problem.x.dtype)
    return _State(zero, zero, zero[:, 0, 0], jnp.asarray(jnp.inf, zero.dtype))


def _step(problem: _Problem, state: _State) -> _State:
    push = (state.age / (state.age + 3))[:, None, None]
    ahead = state.theta + push * (state.theta - state.before)
    scores = jnp.einsum("nd,sdc->snc", problem.x, ahead)
    apart = (jax.nn.softmax(scores, axis=2) - problem.wanted[None]) * problem.weights[:, :, None]
    slope = jnp.einsum("nd,snc->sdc", problem.x, apart) + problem.penalty[None, :, None] * ahead
    theta = ahead - problem.inverse @ slope
    uphill = ((ahead - theta) * (theta - state.theta)).sum(axis=(1, 2)) > 0
    steepest = (jnp.abs(slope).max(axis=(1, 2)) / jnp.maximum(problem.weights.sum(axis=1), 1)).max()
    return _State(theta, state.theta, jnp.where(uphill, 0.0, state.age + 1), steepest)


def _done(problem: _Problem, state: _State) -> Array:
    exact = state.slope <= 64 * jnp.finfo(state.slope.dtype).eps
    return jnp.where(exact, Reason.CONVERGED, Reason.RUNNING)


_METHOD = Method(_init, _step, _done, lambda problem, state: {"slope": state.slope})


@jit
def _problem(weights: Array, x: Array, labels: Array, classes: int, penalty: ArrayLike) -> _Problem:
    x = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    ridge = jnp.full(x.shape[1], penalty, x.dtype).at[-1].set(0)
    bound = jnp.einsum("nd,sn,ne->sde", x, weights, x) / 2
    # nothing is known of b where all weights are 0
    tiny = jnp.zeros_like(ridge).at[-1].set(jnp.finfo(x.dtype).eps)
    inverse = jnp.linalg.inv(bound + jnp.diag(ridge + tiny)[None])
    return _Problem(x, jax.nn.one_hot(labels, classes, dtype=x.dtype), weights, inverse, ridge)


def train(
    weights: Float[Array, "sets n"],
    x: Float[Array, "n d"],
    labels: Int[Array, " n"],
    classes: int,
    penalty: ArrayLike = 0.1,
    *,
    steps: int = STEPS,
    loop: Loop = pure,
) -> Trained:
    """Regressions on each set, by a given number of steps. Time O(sets n d classes) a step, memory O(sets n classes).

    Args:
        weights: how often each point is in each set, as ``draws.counts``.
        labels: 0, 1, ... below ``classes``.
        penalty: lambda, of W but not of b; 1/C of scikit-learn.
        steps: a training ends after so many, or at its optimum.
        loop: ``lab.numerics.pure`` or a ``Chunked``.

    Raises:
        ValueError: a penalty that is not positive, or no steps.
    """
    if steps < 1 or (isinstance(penalty, int | float) and not penalty > 0):
        raise ValueError(f"steps = {steps} and penalty = {penalty}, but both must be above 0")
    run = loop(_METHOD, _problem(weights, x, labels, classes, penalty), max_iterations=steps)
    host = np if isinstance(run.reason, int) else jnp
    reason = host.where(
        run.reason == Reason.MAX_ITERATIONS, Reason.CONVERGED, run.reason
    )  # all steps that were asked for
    return Trained(run.state.theta, run.state.slope, run.iterations, reason)


class Judged(NamedTuple):
    """What regressions do on points of a test."""

    accuracy: Float[Array, " sets"]  # %
    loss: Float[Array, " sets"]  # mean of -log of the probability of the right class, nats


@jit
def judge(theta: Float[Array, "sets d1 classes"], x: Float[Array, "n d"], labels: Int[Array, " n"]) -> Judged:
    """Accuracy and log-loss of each regression."""
    scores = jnp.einsum("nd,sdc->snc", x, theta[:, :-1]) + theta[:, -1][:, None]
    right = jnp.take_along_axis(jax.nn.log_softmax(scores, axis=2), labels[None, :, None], axis=2)[:, :, 0]
    hits = (scores.argmax(axis=2) == labels[None]).astype(x.dtype)
    return Judged(100 * hits.mean(axis=1), -right.mean(axis=1))
