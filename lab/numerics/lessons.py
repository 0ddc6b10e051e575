"""A whole training, for whatever is trained: batches are drawn anew at every step, and a loop reports, stops and goes on."""

from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics.iterate import Loop, Method, Reason
from lab.numerics.learning import ADAM, descend, rate


@runtime_checkable
class Problem(Protocol):
    """What is learned: a pytree with a loss of a model on a batch that it draws."""

    def loss(self, model: Any, key: PRNGKeyArray) -> Float[Array, ""]: ...


class Lesson(eqx.Module):
    """A training, as the loop sees it: each step descends ``problem.loss(model, key)`` with a key of its own."""

    problem: Any
    model: Any
    key: PRNGKeyArray
    learning_rate: Float[Array, ""]
    steps: Int[Array, ""]
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    decay: float | None = eqx.field(static=True)
    warmup: int = eqx.field(static=True)
    average: float = eqx.field(static=True)


class Learning(NamedTuple):
    """Whence a training goes on. ``average`` is the model to use, also half way."""

    model: Any
    average: Any
    moments: optax.OptState
    step: Int[Array, ""]
    loss: Float[Array, ""]


class Learned(NamedTuple):
    model: Any  # the moving average of what was learned
    loss: Float[
        Array, " steps"
    ]  # of the batch of each step, before it; NaN where a stop left it out, and where it went on
    reason: Int[Array, ""] | int
    iterations: Int[Array, ""] | int
    state: Learning


def _init(lesson: Lesson) -> Learning:
    nothing = jnp.zeros((), lesson.learning_rate.dtype)
    return Learning(lesson.model, lesson.model, lesson.optimizer.init(lesson.model), jnp.int32(0), nothing)


def _step(lesson: Lesson, state: Learning) -> Learning:
    key = jax.random.fold_in(lesson.key, state.step)
    value, slope = jax.value_and_grad(lesson.problem.loss)(state.model, key)
    step = state.step.astype(value.dtype)
    eta = rate(lesson.learning_rate, step / lesson.steps, (step + 1) / lesson.warmup)
    model, moments = descend(lesson.optimizer, state.model, slope, state.moments, eta, lesson.decay)
    decay = jnp.minimum(lesson.average, (1 + step) / (10 + step))
    average = jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), state.average, model)
    # what was learned before is not lost where a loss is not finite
    new, old = (model, average, moments), (state.model, state.average, state.moments)
    model, average, moments = jax.tree.map(partial(jnp.where, jnp.isfinite(value)), new, old)
    return Learning(model, average, moments, state.step + 1, value.astype(state.loss.dtype))


def _done(lesson: Lesson, state: Learning) -> Array:
    reason = jnp.where(state.step >= lesson.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda lesson, state: {"loss": state.loss})


def learn(
    loop: Loop,
    problem: Problem,
    model: Any,
    key: PRNGKeyArray,
    *,
    steps: int,
    learning_rate: ArrayLike,
    optimizer: optax.GradientTransformation = ADAM,
    decay: float | None = None,
    warmup: int = 20,
    average: float = 0.999,
    state: Learning | None = None,
) -> Learned:
    """Train a model; its only stopping rule is its length, and a loss that is not finite.

    Args:
        loop: ``pure``, or a ``Chunked`` that reports, stops, and hands back the state.
        problem: a pytree with ``loss(model, key)``, a number; each step has its key, so that a training
            goes on as if uninterrupted.
        model: a pytree of arrays of real numbers.
        learning_rate: its height; it warms up over ``warmup`` steps, and falls to zero along a cosine.
        decay: of the weights (AdamW).
        average: of the moving average of the weights; lower in the first steps.
        state: where to go on, of a training with the same arguments.
    """
    dtype = jax.tree.leaves(model)[0].dtype
    lesson = Lesson(
        problem, model, key, jnp.asarray(learning_rate, dtype), jnp.int32(steps), optimizer, decay, warmup, average
    )
    run = loop(STEPS, lesson, state, max_iterations=steps)
    loss = jnp.asarray(run.trace["loss"])
    loss = jnp.pad(loss, (0, steps - loss.size), constant_values=jnp.nan)
    if state is not None:
        loss = jnp.roll(loss, state.step)  # those before were told then
    return Learned(run.state.average, loss, run.reason, run.iterations, run.state)
