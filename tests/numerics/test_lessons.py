"""Trainings whose batches are drawn anew: against a loop of optax, and stopped."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.numerics import Chunked, Reason, pure
from lab.numerics.lessons import Problem, learn


class Line(eqx.Module):
    """Least squares on noisy points of a line, a few at a time."""

    slope: jax.Array

    def loss(self, model, key):
        x, noise = jax.random.normal(key, (2, 16))
        return ((model["w"] * x + model["b"] - self.slope * x - 1 - 0.1 * noise) ** 2).mean()


LINE, KEY = Line(jnp.asarray(2.0)), jax.random.key(1)
NOTHING = {"w": jnp.zeros(()), "b": jnp.zeros(())}


@pytest.mark.slow
def test_it_is_adamw_with_a_warm_up_and_a_cosine():
    steps, peak = 40, 0.05
    found = learn(pure, LINE, NOTHING, KEY, steps=steps, learning_rate=peak, decay=0.1, warmup=5, average=0.9)
    model: Any = dict(NOTHING)
    average, losses = dict(NOTHING), []
    optimizer: Any = optax.scale_by_adam()
    moments = optimizer.init(model)
    for step in range(steps):
        loss, slope = jax.value_and_grad(LINE.loss)(model, jax.random.fold_in(KEY, step))
        update, moments = optimizer.update(slope, moments)
        eta = peak * min(1, (step + 1) / 5) * (1 + np.cos(np.pi * step / steps)) / 2
        model = {name: model[name] - eta * (update[name] + 0.1 * model[name]) for name in model}
        decay = min(0.9, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * model[name] for name in model}
        losses.append(loss)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-10)
    for name in model:
        np.testing.assert_allclose(found.state.model[name], model[name], rtol=1e-10)
        np.testing.assert_allclose(found.model[name], average[name], rtol=1e-10)
    assert isinstance(LINE, Problem)


def test_it_finds_the_line():
    found = learn(pure, LINE, NOTHING, KEY, steps=500, learning_rate=0.05, average=0.99)
    assert found.reason == Reason.CONVERGED
    np.testing.assert_allclose([found.model["w"], found.model["b"]], [2, 1], atol=0.01)  # of 0.1 / sqrt(16 * 100)
    assert float(found.loss[-100:].mean()) == pytest.approx(0.01, rel=0.1)


def test_a_stopped_training_goes_on_as_if_it_had_not_been():
    asked = {"steps": 60, "learning_rate": 0.05}
    whole = learn(pure, LINE, NOTHING, KEY, **asked)
    half = learn(Chunked(lambda progress: progress.iteration >= 20), LINE, NOTHING, KEY, **asked)
    assert half.reason == Reason.STOPPED
    assert np.isnan(half.loss[int(half.iterations) :]).all()
    on = learn(pure, LINE, NOTHING, KEY, state=half.state, **asked)
    np.testing.assert_array_equal(on.model["w"], whole.model["w"])
    done = int(half.iterations)
    np.testing.assert_array_equal(on.loss[done:], whole.loss[done:])
    assert np.isnan(on.loss[:done]).all()


def test_a_loss_that_is_not_finite_ends_it():
    found = learn(pure, Line(jnp.asarray(jnp.inf)), NOTHING, KEY, steps=50, learning_rate=0.05)
    assert found.reason == Reason.NOT_FINITE
    assert int(found.iterations) == 1
    assert float(found.model["w"]) == 0  # what there was before is kept
