"""Convex potentials that are learned: convex whatever their weights, against closed forms and a map that is known."""

import itertools
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.ot import bures, convex, maps, monge

RNG = np.random.default_rng(321)
X = RNG.normal(size=(60, 2)) @ np.array([[1.2, 0.2], [-0.3, 0.6]])
Y = RNG.normal(size=(50, 2)) @ np.array([[0.5, 0.1], [0.4, 1.0]]) + 1


def source(key, count):
    return jax.random.normal(key, (count, 2), jnp.float32)


def wanted(x):
    """The gradient of a convex function, far from affine."""
    return 0.3 * x + 3 * jnp.tanh(2 * x)


@cache
def learned():
    target = lambda key, count: wanted(source(key, count))  # noqa: E731
    return convex.learn(jax.random.key(0), source, target, width=32, steps=1500, batch=128)


FORTH, BACK = (bures(*a, *b) for a, b in itertools.permutations([maps.moments(jnp.asarray(p)) for p in (X, Y)]))


def pair(depth=2):
    return tuple(convex.Convex(jax.random.key(k), begin, 4, depth) for k, begin in ((3, FORTH), (4, BACK)))


@pytest.mark.slow
def test_a_network_is_convex_whatever_its_weights_are():
    leaves, shape = jax.tree.flatten(convex.Convex(jax.random.key(1), FORTH, width=8, depth=3))
    wild = shape.unflatten([2 * jnp.asarray(RNG.normal(size=leaf.shape)) for leaf in leaves])
    wild = eqx.tree_at(lambda one: one.root, wild, jnp.zeros((2, 2)))  # also beside its quadratic form
    at, to = 4 * RNG.normal(size=(2, 200, 2))
    value = jax.jit(jax.vmap(wild.value))
    middle, mean = value((at + to) / 2), (value(at) + value(to)) / 2
    assert (middle <= mean + 1e-12).all()
    assert (mean - middle).max() > 0.1


@pytest.mark.slow
def test_of_gaussians_the_objective_is_the_closed_form():
    """With the exact pair J is half of what the second moments have more than W2 squared; other places are below."""
    f, g = (eqx.tree_at(lambda one: one.last, each, jnp.full(4, -jnp.inf)) for each in pair())
    x, y = jnp.asarray(X), jnp.asarray(Y)
    np.testing.assert_allclose(f(x), np.asarray(FORTH.target) + (X - X.mean(0)) @ np.asarray(FORTH.matrix), atol=1e-9)
    np.testing.assert_allclose(f(g(y)), Y, atol=1e-9)  # there and back
    both = (X**2).sum(1).mean() + (Y**2).sum(1).mean()
    best = float(convex.objective(f, g(y), x, y))
    assert best == pytest.approx(float(both - FORTH.squared) / 2, abs=1e-9)
    assert float(convex.objective(f, g(y) + 0.3, x, y)) < best - 1e-3


@pytest.mark.slow
def test_the_loss_is_that_of_the_formula_and_g_learns_by_the_cycle_alone():
    dual, key = convex.Dual(jnp.asarray(X), jnp.asarray(Y), jnp.asarray(0.4), 16), jax.random.key(6)
    value, slope = jax.value_and_grad(dual.loss)(pair(), key)
    of_x, of_y = jax.random.split(key)
    x, y = maps.draw(dual.source, of_x, 16), maps.draw(dual.target, of_y, 16)

    def by_hand(pair, held):
        f, g = pair
        missed = ((f(g(y)) - y) ** 2).sum(axis=1).mean()
        return convex.objective(f, held(y), x, y) + 0.4 * missed

    wanted_value, wanted_slope = jax.value_and_grad(by_hand)(pair(), pair()[1])
    assert float(value) == pytest.approx(float(wanted_value), abs=1e-12)
    for mine, theirs in zip(jax.tree.leaves(slope), jax.tree.leaves(wanted_slope), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


@pytest.mark.slow
def test_a_map_that_is_far_from_affine_is_learned_and_so_is_the_way_back():
    x = source(jax.random.key(7), 2000)
    y = wanted(x)
    variance = jnp.cov(y.T).trace()
    affine = jax.vmap(bures(*maps.moments(x), *maps.moments(y)))(x)
    found = learned()
    assert float(monge.unexplained(affine, y, variance)) > 5
    assert float(monge.unexplained(found.forth(x), y, variance)) < 2
    assert float(monge.unexplained(found.back(y), x, 2.0)) < 5
    assert found.forth(x).dtype == jnp.float32
    # W2 squared by the dual, against the displacement of the true map
    dual = (x**2).sum(1).mean() + (y**2).sum(1).mean() - 2 * convex.objective(found.forth, found.back(y), x, y)
    assert float(dual) == pytest.approx(float(((y - x) ** 2).sum(1).mean()), rel=0.05)
    assert monge.exact_gap(x[:300], found.forth(x[:300])).value < 1e-4  # a gradient of a convex function has none


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 0}, "width = 0, but at least 1"),
        ({"cycle": 0.0}, "cycle = 0, but it must be positive"),
        ({"steps": 0}, "steps = 0, but at least 1"),
        ({"target": np.c_[Y, Y]}, "the sources have 2 coordinates and the targets 4"),
        ({"source": X[0]}, r"the source has shape \(2,\), but points"),
        ({"target": np.where(Y > 1, np.inf, Y)}, "points that are not finite, of 50"),
    ],
)
def test_refusals(given, told):
    with pytest.raises(ValueError, match=told):
        convex.learn(jax.random.key(0), **{"source": X, "target": Y, **given})
