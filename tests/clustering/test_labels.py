"""Pseudo-labels without a study."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.clustering import judge, label, labels, similarity
from lab.clustering.training import METHODS, Model, Settings, begin
from lab.ot import partial
from lab.ot.regularizers import Entropic

RNG = np.random.default_rng(0)
CLASSES = jnp.asarray(np.repeat(np.arange(3), [30, 12, 6]), jnp.int32)
X = jnp.asarray(
    np.stack([np.cos(2 * np.pi * CLASSES / 3), np.sin(2 * np.pi * CLASSES / 3)], 1) + 0.1 * RNG.normal(size=(48, 2))
)
SIZES = np.bincount(CLASSES)


@pytest.mark.slow
def test_labels_are_the_plan_of_partial_transport_or_with_a_similarity_of_the_semantic_one():
    model, clusters = begin(jax.random.key(0), X, 3)
    assert clusters.shape == (48,)
    costs = labels.problem(model, X)
    settings = METHODS["p2ot"](Settings())
    found = label(costs, settings, 0.4)
    known = partial.solve(costs, Entropic(0.1), rho=0.4, lam=1.0)
    np.testing.assert_allclose(found.plan, known.plan(), atol=1e-12)
    assert float(found.rise) == 0
    alike = label(costs, settings, 0.4, similarity(X, 5))  # of strength 0
    np.testing.assert_allclose(alike.plan, found.plan, atol=1e-7)
    assert alike.objectives.shape == alike.residuals.shape


def test_right_labels_in_another_order_of_clusters_are_judged_right():
    order = jnp.asarray([2, 0, 1])  # the class of each cluster
    angles = 2 * np.pi * order / 3
    model = Model(jnp.eye(2), jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1))
    plan = 0.5 / 48 * (CLASSES[:, None] == order[None, :])
    found = judge(plan, jnp.arange(4.0), 0.5, model, X, CLASSES, SIZES)
    np.testing.assert_allclose(found.scores[:3], 1, atol=1e-12)
    np.testing.assert_array_equal(found.plan.argmax(axis=1), CLASSES)
    np.testing.assert_array_equal(found.potentials, [1, 2, 0])
    np.testing.assert_allclose(found.weight, 0.5)
    np.testing.assert_allclose(found.mass, 0.5 * SIZES / 48)
    np.testing.assert_allclose([found.labelled_precision, found.labelled_recall], [1, 0.5])
    np.testing.assert_allclose([found.row_excess, found.mass_error], 0, atol=1e-12)
    share = SIZES / 48
    np.testing.assert_allclose(found.size_divergence, (share * np.log(3 * share)).sum())
