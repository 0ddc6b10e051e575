"""Maps that are learned: against maps that are known, the closed form between Gaussians, and optax by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import ot as pot
import pytest

from lab.numerics import Chunked, NotConverged
from lab.ot import bures, maps, monge

RNG = np.random.default_rng(123)
A = np.array([[1.1, 0.5], [0.5, 0.6]])
U, W = RNG.normal(size=(8, 2)) / np.sqrt(2), RNG.uniform(0.2, 1, 8)
X = RNG.normal(size=(40, 2))
Y = X @ A + 1
SPHERE = X / np.linalg.norm(X, axis=1, keepdims=True)


def wanted(x):
    """The gradient of a convex function."""
    u, w = jnp.asarray(U, x.dtype), jnp.asarray(W, x.dtype)
    return x @ jnp.asarray(A, x.dtype) + (w[None, :] * jnp.tanh(x @ u.T)) @ u + 2


def source(key, count):
    return jax.random.normal(key, (count, 2), jnp.float32)


def target(key, count):
    return wanted(source(key, count))


@cache
def learned(strength):
    return maps.learn(
        jax.random.key(0), source, target, form="plain", strength=strength, steps=300, batch=128, learning_rate=3e-3
    )


@cache
def unexplained(strength):
    x = source(jax.random.key(7), 2000)  # not of the training
    y = wanted(x)
    return float(monge.unexplained(learned(strength).map(x), y, jnp.cov(y.T).trace()))


@pytest.mark.slow
def test_the_gap_says_which_of_all_maps_with_the_right_image_is_learned():
    assert unexplained(1.0) < 3
    assert unexplained(0.0) > 30
    x = source(jax.random.key(8), 500)
    other = np.asarray(wanted(source(jax.random.key(9), 500)), float)
    cost = lambda y: pot.emd2([], [], pot.dist(np.asarray(y, float), other))  # noqa: E731
    assert max(cost(learned(s).map(x)) for s in (0.0, 1.0)) < 3 * cost(wanted(x))  # both have it, by POT
    gaps = [monge.exact_gap(x, learned(s).map(x)).value for s in (0.0, 1.0)]
    assert gaps[1] < 0.02 * gaps[0]
    assert learned(1.0).map(x).dtype == jnp.float32


@pytest.mark.slow
def test_a_training_in_pieces_is_the_whole_one_and_its_loss_is_told():
    whole = learned(1.0)
    given = {"form": "plain", "strength": 1.0, "steps": 300, "batch": 128, "learning_rate": 3e-3}
    seen = []

    def report(progress):
        seen.append(progress.iteration)
        return len(seen) >= 2

    first = maps.learn(jax.random.key(0), source, target, **given, loop=Chunked(report))
    assert 0 < first.iterations < 300
    rest = maps.learn(jax.random.key(0), source, target, **given, state=first.state)
    for again, before in zip(jax.tree.leaves(rest.map), jax.tree.leaves(whole.map), strict=True):
        np.testing.assert_array_equal(again, before)
    np.testing.assert_array_equal(first.loss[: first.iterations], whole.loss[: first.iterations])
    assert np.isfinite(whole.loss).all()
    assert whole.loss[-20:].mean() < whole.loss[:20].mean() - 1


@pytest.mark.slow
def test_the_loss_is_that_of_the_formula_and_descended_by_adam():
    """One step by optax's own Adam, on the batch of that step."""
    key = jax.random.key(3)
    given = {"strength": 0.7, "form": "residual", "batch": 16, "tolerance": 1e-8}
    objective = maps.prepare(key, X, Y, **given)
    network, of_step = objective.map.network, jax.random.fold_in(jax.random.fold_in(key, 1), 0)
    of_x, of_y, _ = jax.random.split(of_step, 3)
    x, y = (jnp.asarray(p)[jax.random.randint(k, (16,), 0, 40)] for p, k in ((X, of_x), (Y, of_y)))

    moved = x + jax.vmap(network)(x)
    own = monge.gap(y, y, epsilon=objective.fit_epsilon)  # minus the entropic minimum, as points stay at no cost
    constant = -own.entropic / 2 + objective.fit_epsilon * jnp.log(16)
    wanted_loss = monge.divergence(moved, y, objective.fit_epsilon, tolerance=1e-9) + constant
    wanted_loss += 0.7 * monge.gap(x, moved, epsilon=objective.gap_epsilon).entropic
    assert float(objective.loss(network, of_step)) == pytest.approx(float(wanted_loss), abs=1e-6)
    slope = jax.grad(objective.loss)(network, of_step)
    update, _ = optax.adam(1e-3 / 20).update(slope, optax.adam(1e-3 / 20).init(network))  # of 20 steps of warm-up
    by_hand = optax.apply_updates(network, update)
    step = maps.learn(key, X, Y, **given, steps=1, average=0.0)
    for mine, theirs in zip(jax.tree.leaves(step.state.model), jax.tree.leaves(by_hand), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    assert float(objective.fit_epsilon) == pytest.approx(0.05 * ((Y[:, None] - Y[None]) ** 2).sum(2).mean(), rel=1e-12)
    assert float(objective.gap_epsilon) == pytest.approx(0.01 * ((X[:, None] - Y[None]) ** 2).sum(2).mean(), rel=1e-12)


def test_the_gaussian_form_begins_at_the_closed_form_which_is_no_part_of_what_is_trained():
    begun = maps.prepare(jax.random.key(1), X, Y).map
    np.testing.assert_allclose(begun(jnp.asarray(X)), Y, atol=1e-10)
    assert begun.base is not None
    moments = bures(X.mean(0), np.cov(X.T, bias=True), Y.mean(0), np.cov(Y.T, bias=True))
    np.testing.assert_allclose(begun.base.matrix, moments.matrix, atol=1e-12)
    weights = jax.tree.leaves(begun.network)
    assert {leaf.shape for leaf in weights} == {(128, 2), (128,), (64, 128), (64,), (64, 64), (2, 64), (2,)}
    assert not abs(weights[-2]).max()


def test_the_structured_form_of_a_gradient_is_optimal_for_its_cost():
    """N(x) = grad of a convex function: x - grad h*(N(x)) has no gap of the cost h, and of another cost it has."""
    cost = monge.PNorm(1.5)
    matrix = np.array([[0.5, 0.3], [0.3, 0.4]])
    moved = maps.Map(lambda x: jnp.asarray(matrix) @ x, None, "structured", cost)(jnp.asarray(X))
    w = X @ matrix
    np.testing.assert_allclose(moved, X - np.sign(w) * w**2, atol=1e-12)
    half = maps.Map(lambda x: jnp.asarray(matrix) @ x, None, "structured", "squared")(jnp.asarray(X))
    np.testing.assert_allclose(half, X - w / 2, atol=1e-12)
    assert monge.exact_gap(X, half).value < 1e-10
    ball = maps.Map(lambda x: 3 * x + 1, None, "sphere", "geodesic")(jnp.asarray(X))
    np.testing.assert_allclose(np.linalg.norm(ball, axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_what_asks_for_a_gradient_is_in_the_loss():
    key = jax.random.key(5)
    turned = maps.Perceptron(jax.random.key(2), 2, hidden=(8,))
    without, within = (
        maps.prepare(key, X, Y, form="structured", conservative=c, network=turned, batch=16) for c in (0.0, 0.5)
    )
    of_x, _, of_v = jax.random.split(key, 3)
    x = jnp.asarray(X)[jax.random.randint(of_x, (16,), 0, 40)]
    more = within.loss(turned, key) - without.loss(turned, key)
    assert float(more) == pytest.approx(0.5 * float(monge.conservativity(turned, x, of_v)), rel=1e-9)
    assert float(more) > 0


@pytest.mark.slow
def test_a_strength_may_be_traced():
    def value(strength):
        objective = maps.prepare(jax.random.key(0), X, Y, strength=strength, form="plain", batch=16)
        return objective.loss(objective.map.network, jax.random.key(1))

    many = jax.vmap(value)(jnp.array([0.0, 0.5, 1.0]))
    assert float(many[1]) == pytest.approx(float(many[0] + many[2]) / 2, rel=1e-9)  # the loss is affine in it
    assert float(many[0]) == pytest.approx(float(value(0.0)), rel=1e-9)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strength": -1.0}, "strength = -1, but it must be at least 0"),
        ({"conservative": float("nan")}, "conservative = nan"),
        ({"gap_epsilon": 0.0}, "exact_gap evaluates without"),
        ({"fit_epsilon": -1.0}, "fit_epsilon = -1, but a training needs a positive one"),
        ({"batch": 1}, "batch = 1, but at least 2"),
        ({"steps": 0}, "steps = 0 is not allowed"),
        ({"form": "round"}, "form = 'round', but it must be one of"),
        ({"cost": "manhattan"}, "cost = 'manhattan', but it must be one of"),
        ({"form": "structured", "cost": "distance"}, 'the form "structured" is of the costs'),
        ({"cost": "geodesic", "form": "plain"}, 'take form="sphere"'),
        ({"cost": "geodesic", "form": "sphere"}, "the source is off the unit sphere by"),
    ],
)
def test_refusals(given, told):
    with pytest.raises(ValueError, match=told):
        maps.learn(jax.random.key(0), X, Y, **given)


def test_points_that_do_not_fit_are_refused():
    for x, y, told in (
        (X[:, 0], Y, r"the source has shape \(40,\)"),
        (X, np.c_[Y, Y], "the sources have 2 coordinates and the targets 4"),
        (np.where(X > 1, np.nan, X), Y, "points that are not finite, of 40"),
    ):
        with pytest.raises(ValueError, match=told):
            maps.learn(jax.random.key(0), x, y)


@pytest.mark.slow
def test_a_loss_that_explodes_says_so():
    given = {"strength": 0.7, "form": "residual", "batch": 16, "tolerance": 1e-8}  # the program of the test above
    network = maps.prepare(jax.random.key(3), X, Y, **given).map.network
    broken = jax.tree.map(lambda leaf: leaf * jnp.inf, network)
    with pytest.warns(NotConverged, match=r"lab\.ot\.maps\.learn"):
        maps.learn(jax.random.key(3), X, Y, **given, steps=1, average=0.0, network=broken)
