"""Folds, the plan of a bag, and means over kinds of patches, without a study."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import survival
from lab.survival import Folds, Transport, bag_plan, bags, mean_by_kind, score
from lab.survival.training import model

RNG = np.random.default_rng(0)


def test_parts_are_apart_and_all_together():
    fold = np.array([2, 0, 1, 1, 0, 2, 2])
    folds = Folds(fold)
    for test in range(3):
        for check in (False, True):
            parts = folds.parts(test, check)
            assert sorted(np.concatenate(parts)) == list(range(7))
            assert (fold[parts.test] == test).all()
            assert (fold[parts.check] == (test + 1) % 3).all()
            assert bool(parts.check.size) == check


def made(n: int = 12):
    number = np.repeat(np.arange(n), RNG.integers(3, 9, n))
    return bags(RNG.normal(size=(number.size, 4)), number, RNG.exponential(1, n), np.arange(n) % 2)


@pytest.mark.slow
def test_an_evaluation_knows_the_test_and_the_others():
    given, risk, test = made(), jnp.asarray(RNG.normal(size=12)), jnp.arange(4, 12)
    found = survival.evaluate(given, risk, test)
    assert found.cindex_oracle is None
    np.testing.assert_allclose(found.cindex, survival.cindex(risk[4:], given.time[4:], given.event[4:]))
    np.testing.assert_allclose(found.cindex_others, survival.cindex(risk[:4], given.time[:4], given.event[:4]))
    assert found.curves.survival.shape == (2, 9)
    np.testing.assert_array_equal(found.tested, np.arange(12) >= 4)
    np.testing.assert_allclose(survival.evaluate(given, risk, test, risk).cindex_oracle, found.cindex)


@pytest.mark.slow
def test_the_plan_of_a_bag_is_the_one_that_was_scored():
    given, transport = made(), Transport(0.6)
    net = model(jax.random.key(0), 4, k=3, width=5)
    scored = score(net, given, transport)
    found = bag_plan(net, given, jnp.asarray(2), scored.potentials, jax.tree.map(jnp.asarray, transport))
    there = int(given.size[2])
    plan, slack = np.asarray(found.plan[:there]), np.asarray(found.slack[:there])
    np.testing.assert_allclose(plan.sum(axis=1) + slack, 1 / there, atol=1e-12)
    np.testing.assert_allclose(plan.sum(), 0.6, atol=1e-6)
    np.testing.assert_allclose(there * plan.sum(axis=1), scored.row_mass[2, :there], atol=1e-5)
    assert np.isnan(found.plan[there:]).all()
    mean = model(jax.random.key(0), 4, pooling="mean", width=5)
    with pytest.raises(TypeError, match="MeanPooling, which has no plan"):
        bag_plan(mean, given, jnp.asarray(2), scored.potentials, jax.tree.map(jnp.asarray, transport))


def test_means_by_kind():
    kind, values = np.array([[0, 1, -1], [1, 1, 0]], np.int32), np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(mean_by_kind(jnp.asarray(kind), jnp.asarray(values), 3), [2.5, 8 / 3, 0])


@pytest.mark.parametrize(("name", "risk", "test"), [("test", [0.0] * 4, [4]), ("risk", [0.0] * 3, [0, 1])])
def test_evaluation_names_what_does_not_fit_the_bags(name, risk, test):
    made = bags(np.ones((4, 1)), np.arange(4), np.arange(1.0, 5.0), np.ones(4))
    with pytest.raises(ValueError, match=name):
        survival.evaluate(made, jnp.asarray(risk), jnp.asarray(test))
