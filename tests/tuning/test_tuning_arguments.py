"""Arguments of ``lab.tuning``: lists are taken, and invalid values are named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import tuning
from lab.numerics import NotConverged, pure
from lab.tuning import hypergradient
from lab.tuning.problem import Constants
from lab.tuning.quadratic import quadratic

LINE = quadratic([[1.0]], [[1.0]], [[1.0]], [2.0], [5.0])  # f = (3 - theta)^2 / 2
ROWS, LABELS = [[1.0], [-1.0]], [0, 1]
NUMBERS = {"inverse": 0.5, "cross": 0.4, "size": 0.3, "pull": 0.2, "eps": 0.1, "delta": 0.6}


def _tune(**given):
    task = tuning.ridge.RidgeTask(tuning.ridge.made(jax.random.key(0), 0.1, jnp.ones((2, 1)), n=4, tests=4), 2)
    return tuning.tune(pure, task, jax.random.key(1), given.pop("starts", [[0.0]]), **given)


@pytest.mark.parametrize(
    ("told", "call"),
    [
        ("A2 must be finite|A2.* = nan is not allowed", lambda: quadratic([[1.0]], [[np.nan]], [[1.0]], [2.0], [5.0])),
        ("b1.* = inf is not allowed", lambda: quadratic([[1.0]], [[1.0]], [[1.0]], [np.inf], [5.0])),
        (r"other has shape \(2, 2\)", lambda: tuning.multinomial(ROWS, LABELS, np.ones((2, 2)), LABELS, 2)),
        (r"labels has shape \(1,\)", lambda: tuning.multinomial(ROWS, [0], ROWS, LABELS, 2)),
        ("a.* = nan is not allowed", lambda: tuning.multinomial([[np.nan], [1.0]], LABELS, ROWS, LABELS, 2)),
        ("max_iterations = 0 is not allowed", lambda: tuning.minimise(LINE, [0.0], max_iterations=0)),
        ("max_iterations = 0 is not allowed", lambda: tuning.hoag(LINE, [0.0], max_iterations=0)),
        ("frames = 0 is not allowed", lambda: _tune(frames=0)),
        ("every = 0 is not allowed", lambda: _tune(every=0)),
        (r"starts has shape \(1,\)", lambda: _tune(starts=[0.0])),
        (r"sigma has shape \(2,\)", lambda: _tune(sigma=[0.1, 0.2])),
        ("span = 0 is not allowed", lambda: tuning.psnr(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), 0.0)),
        (r"clean has shape \(1, 2, 3\)", lambda: tuning.psnr(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)))),
        (r"lam has shape \(2,\)", lambda: tuning.values((tuning.Range(),), [1.0, 2.0])),
        ("noise = -1 is not allowed", lambda: tuning.random_quadratic(0, 5, 2, -1.0)),
        ("eps = -1 is not allowed", lambda: hypergradient.bound(Constants(2.0, 1.0, 3.0), **NUMBERS | {"eps": -1.0})),
        ("tolerance = 0 is not allowed", lambda: tuning.implicit(LINE, [0.0], [0.0], 0.0)),
    ],
)
def test_invalid_arguments_are_named(told, call):
    with pytest.raises(ValueError, match=told):
        call()


def test_lists_and_whole_numbers_are_taken():
    found = tuning.minimise(LINE, [0], alpha=1.0, max_iterations=30)
    assert found.theta.dtype == jnp.float64
    assert float(found.theta[0]) == pytest.approx(3.0, abs=1e-3)
    listed = hypergradient.bound(Constants([2.0], 1.0, [3.0]), **{name: [value] for name, value in NUMBERS.items()})
    wanted = (3 * 0.3 / 2 + 0.5 * 0.2 * 0.3 + 0.4 * 0.2 / 2) * 0.1 + 0.3 / 2 * 0.6 + 0.4 * 3 / 2 * 0.01
    np.testing.assert_allclose(listed, [wanted], rtol=1e-12)


def test_a_network_of_rows_with_a_zero_column_is_the_ridge_regression():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(9, 3)), rng.normal(size=9)
    x[:, 1] = 0
    unit = tuning.ridge.linear_network(tuning.ridge.Part(jnp.asarray(x), jnp.asarray(t)))
    known = np.linalg.solve(x.T @ x + np.exp(0.3) * np.eye(3), x.T @ t)
    np.testing.assert_allclose(unit.weights(0.3), known, atol=1e-12)


def test_a_newton_method_that_does_not_converge_warns():
    h = lambda x, theta: jnp.sum(x**4 / 4 - x**2 + 2 * x) + 0 * theta[0]  # noqa: E731  # steps go from 0 to 1 and back
    cycle = tuning.Own(h, lambda x: jnp.sum(x**2), jnp.zeros(1))
    with pytest.warns(NotConverged, match="lab.tuning.implicit"):
        tuning.implicit(cycle, [0.0], [0.0])
