"""What a Monge gap is looked at by: closed forms between Gaussians, bounds, and crossing lines by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab.numerics import pure
from lab.ot import bures, maps, monge
from lab.studies.ot import map_comparison

RNG = np.random.default_rng(11)
X = jnp.asarray(RNG.normal(size=(80, 2)) @ np.array([[1.2, 0.2], [-0.5, 0.6]]))
Y = jnp.asarray(RNG.normal(size=(60, 2)) @ np.array([[0.5, 0.1], [0.4, 1.0]]) + 1)


@pytest.mark.parametrize("angle", [0.0, 40.0, -150.0])
def test_all_turned_maps_have_the_right_image_and_the_gap_of_the_closed_form(angle):
    source, target = maps.moments(X), maps.moments(Y)
    best = bures(*source, *target)
    turned = map_comparison.turned(best, source[1], angle)
    mean, covariance = maps.moments(turned(X))
    np.testing.assert_allclose(mean, target[0], atol=1e-10)
    np.testing.assert_allclose(covariance, target[1], atol=1e-10)
    values, vectors = np.linalg.eigh(source[1])
    root = vectors * np.sqrt(values) @ vectors.T
    trace = np.trace(root @ best.matrix @ root)
    closed = 2 * (1 - np.cos(np.deg2rad(angle))) * trace
    assert float(monge.gaussian_gap(source[1], turned.matrix)) == pytest.approx(closed, abs=1e-9)


@pytest.mark.slow
def test_gaps_by_angle_are_those_of_the_points():
    found = map_comparison.by_angle(X, Y, angles=[0.0, 90.0])
    source = maps.moments(X)
    turned = map_comparison.turned(bures(*source, *maps.moments(Y)), source[1], 90.0)(X)
    cost = pot.dist(np.asarray(X), np.asarray(turned))
    assert float(found.gap[1]) == pytest.approx(np.diag(cost).mean() - pot.emd2([], [], cost), abs=1e-9)
    assert found.gap[0] < 1e-10 < found.closed[1]
    assert np.isnan(map_comparison.by_angle(X, Y, "distance", [10.0]).closed).all()
    # as many points as one likes: the gap tends to that of the Gaussians
    many = jax.random.normal(jax.random.key(0), (800, 2))
    far = map_comparison.by_angle(many, 2 * many, angles=[60.0])
    assert float(far.gap[0]) == pytest.approx(float(far.closed[0]), rel=0.1)


def test_forms_of_the_gap_are_within_their_bounds():
    mapped = X[::-1] * 1.3
    exact = monge.exact_gap(X, mapped).value
    found = map_comparison.by_share(X, mapped, exact, shares=(0.03, 0.3))
    assert found.converged
    slack = 1e-5 * found.epsilon
    assert (found.low - slack <= found.entropic).all()
    assert (found.entropic <= found.high + slack).all()
    assert (found.kl <= exact + slack).all()
    assert (found.primal <= exact + 1e-5).all()
    np.testing.assert_allclose(found.epsilon[1], 0.3 * pot.dist(np.asarray(X), np.asarray(mapped)).mean(), rtol=1e-12)


@pytest.mark.slow
def test_float32_is_taken_and_points_on_a_line_are_not_turned():
    x, y = X.astype(jnp.float32), Y.astype(jnp.float32)
    found = map_comparison.by_share(x, x * 1.3, 0.0, shares=(0.3,))
    wide = map_comparison.by_share(X, X * 1.3, 0.0, shares=(0.3,))
    np.testing.assert_allclose(found.entropic, wide.entropic, rtol=1e-4)
    assert (
        map_comparison.turned(bures(*maps.moments(x), *maps.moments(y)), maps.moments(x)[1], 20.0)(x).dtype
        == jnp.float32
    )
    with pytest.raises(ValueError, match="can't be turned"):
        map_comparison.by_angle(X[:, :1], Y[:, :1])


def test_the_entropic_map_is_that_of_pot():
    moved = map_comparison.entropic(X, Y, share=0.1)(X)
    cost = pot.dist(np.asarray(X), np.asarray(Y))
    plan = pot.sinkhorn([], [], cost, 0.1 * cost.mean(), numItermax=10_000, stopThr=1e-12)
    np.testing.assert_allclose(moved, plan @ np.asarray(Y) * len(X), atol=1e-4)


def crossed(start, end):
    return int(map_comparison.crossings(jnp.asarray(start), jnp.asarray(end)))


def test_crossing_lines_are_counted():
    start = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert crossed(start, start + np.array([1.0, 0.0])) == 0
    assert crossed(start, np.array([[1.0, 2.0], [1.0, 1.0], [1.0, 0.0]]) + np.array([0, 0.01])) == 3
    assert crossed(start, np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 2.0]])) == 1
    assert crossed(start, start) == 0  # points that stay


@pytest.mark.slow
def test_a_training_that_is_looked_at_is_the_training():
    given = {"form": "residual", "batch": 16, "strength": 0.5}
    begun = maps.prepare(jax.random.key(2), X, Y, form="residual").map
    learn = functools.partial(maps.learn, jax.random.key(2), X, Y, **given)
    seen = map_comparison.teach(pure, X[:9], begun, learn, steps=40)
    whole = learn(steps=40)
    assert seen.moved.shape == (17, 9, 2)
    assert seen.iterations == 40
    assert seen.reason == whole.reason
    np.testing.assert_array_equal(seen.moved[-1], whole.map(X[:9]))
    np.testing.assert_array_equal(seen.loss, whole.loss)
    np.testing.assert_array_equal(seen.moved[0], begun(X[:9]))
    assert (np.abs(np.diff(seen.moved, axis=0)).max(axis=(1, 2)) > 0).all()
