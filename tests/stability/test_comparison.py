"""SGD and gradient descent side by side: what is planned, and models by name or of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import stability
from lab.datasets import catalogue, load
from lab.numerics import Reason, pure
from lab.stability import initial
from lab.studies.stability import outcome, trajectories
from lab.studies.stability.user_model import OwnModel


@pytest.mark.slow
@pytest.mark.parametrize("model", initial.MODELS)
def test_parameters_are_those_of_the_model(model):
    shape, outputs = ((4, 8), (3,)) if model == initial.CONVOLUTIONAL else ((5,), ())
    known = initial.parameters(model, shape, outputs, 4)
    made = initial.initial(jax.random.key(0), model, 1.0, shape, outputs, 4)
    assert [size for _, size in known.arrays] == [leaf.size for leaf in jax.tree.leaves(made)]
    assert made(jnp.ones(shape)).shape == outputs
    assert known.normed


def test_training_sets_name_a_model():
    for entry in catalogue("training"):
        assert load(entry.name).axes["model"] in initial.MODELS


def test_a_plan_ends_with_a_record():
    found = trajectories.plan("diagonal", (8, 12), (8,), steps=405, rates=2)
    assert found.steps >= 405
    assert found.steps % found.every == 0
    assert found.records[-1] == found.steps
    assert found.edges == (0, 12, 24)
    assert found.frame_steps[-1] <= found.steps


@pytest.mark.slow
def test_gradient_descent_alone_comes_to_rest():
    data = stability.sparse_regression(jax.random.key(0), 6, 10, 2, test=5)
    planned = trajectories.plan("diagonal", data.x.shape, data.y.shape, ways=("GD",), steps=400)
    model = initial.initial(jax.random.key(1), "diagonal", 1.0, (10,), ())
    problem = trajectories.prepare(jax.random.key(2), model, data, stability.Settings(0.1), jnp.asarray([0.1]), planned)
    run = pure(trajectories.TRAIN, problem, max_iterations=planned.steps // planned.every)
    assert int(run.reason) == Reason.CONVERGED
    found = outcome.records(problem, run.state)
    assert found.interpolated.tolist() == [[1.0]]
    held = outcome.held(problem, run.state)
    assert held.here is not None
    np.testing.assert_allclose(held.here.eta_star, 2 / held.sizes.lambda_max, rtol=1e-6)
    assert outcome.frames(problem, run.state).shape == (1, planned.frames + 1, 20)


@pytest.mark.slow
def test_a_square_loss_tells_the_output():
    x, y = np.ones((3, 2)), np.arange(3.0)
    loss = lambda w, x, y: ((x @ w - y) ** 2).mean() / 2  # noqa: E731
    model = OwnModel(np.array([1.0, 2.0]), loss=loss)
    model.check("mine", x, y)
    np.testing.assert_allclose(model.of_seed_zero(())(jnp.asarray([1.0, 1.0])), 3.0)
    with pytest.raises(ValueError, match="half the mean squared error"):
        OwnModel(np.array([1.0, 2.0]), loss=lambda *given: 3 * loss(*given)).check("mine", x, y)
