"""Scores against scikit-learn and brute force; k-means against scikit-learn."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import f1_score, normalized_mutual_info_score, recall_score

from lab.clustering import kmeans, metrics


def labels(k: int, n: int = 120, seed: int = 0, agree: float = 0.6):
    """Classes of uneven size, and clusters that agree with them after a permutation, more or less."""
    rng = np.random.default_rng([seed, k])
    classes = rng.choice(k, n, p=rng.dirichlet(np.full(k, 2.0)))
    classes[:k] = np.arange(k)
    other = rng.integers(0, k, n)
    clusters = rng.permutation(k)[np.where(rng.random(n) < agree, classes, other)]
    return classes.astype(np.int32), clusters.astype(np.int32)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 4, 6])
@pytest.mark.parametrize("agree", [0.1, 0.7])
def test_scores_are_scikit_learns_of_the_best_matching(k, agree):
    classes, clusters = labels(k, agree=agree)
    found = jax.jit(metrics.scores, static_argnums=2)(classes, clusters, k)
    hits = {order: (np.array(order)[clusters] == classes).sum() for order in permutations(range(k))}
    assert (np.asarray(found.match)[clusters] == classes).sum() == max(hits.values())
    assert sorted(np.asarray(found.match)) == list(range(k))
    named = np.asarray(found.match)[clusters]
    np.testing.assert_allclose(found.nmi, normalized_mutual_info_score(classes, clusters), atol=1e-12)
    np.testing.assert_allclose(found.accuracy, recall_score(classes, named, average="macro"), atol=1e-12)
    np.testing.assert_allclose(found.f1, f1_score(classes, named, average="macro"), atol=1e-12)
    np.testing.assert_allclose(found.recall, recall_score(classes, named, average=None), atol=1e-12)


@pytest.mark.slow
def test_renamed_classes_are_perfect_and_one_cluster_knows_nothing():
    classes, _ = labels(5)
    for found in (metrics.scores(classes, jnp.asarray(np.array([3, 1, 4, 0, 2])[classes]), 5),):
        np.testing.assert_allclose([found.accuracy, found.nmi, found.f1], 1, atol=1e-12)
    one = metrics.scores(classes, jnp.zeros_like(jnp.asarray(classes)), 5)
    np.testing.assert_allclose([one.accuracy, one.nmi], [0.2, 0], atol=1e-12)


def test_thirds_by_frequency():
    recall = jnp.arange(10.0)
    sizes = jnp.asarray([5, 9, 1, 8, 2, 7, 3, 6, 4, 0.0])
    parts = metrics.by_frequency(recall, sizes)
    np.testing.assert_allclose(parts, [(1 + 3 + 5) / 3, (7 + 0 + 8 + 6) / 4, (4 + 2 + 9) / 3])


def test_kmeans_is_scikit_learns_from_the_same_start():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 2))[rng.integers(0, 3, 90)] * 3 + rng.normal(size=(90, 2))
    start = kmeans.start(jax.random.key(0), jnp.asarray(x), 3)
    assert all((np.abs(x - row).sum(1) == 0).any() for row in np.asarray(start))
    assert len(np.unique(start, axis=0)) == 3
    centres, clusters = kmeans.kmeans(jax.random.key(0), jnp.asarray(x), 3)
    reference = KMeans(3, init=np.asarray(start), n_init=1, tol=0, max_iter=300).fit(x)
    np.testing.assert_allclose(centres, reference.cluster_centers_, atol=1e-12)
    np.testing.assert_array_equal(clusters, reference.labels_)


def test_labels_outside_are_refused():
    """They would be dropped, and the others scored 1."""
    right = np.array([0, 1, 2, 1])
    for classes, clusters, sentence in (
        (right, right + 1, "the clusters go from 1 to 3, but whole numbers from 0 to 2"),
        (right - 1, right, "the classes go from -1 to 1"),
        (right.astype(float), right, "whole numbers"),
        (right, right[:3], "one label for each sample"),
        (right[:0], right[:0], "one label for each sample"),
    ):
        with pytest.raises(ValueError, match=sentence):
            metrics.scores(classes, clusters, 3)
    x = jnp.asarray([[0.0], [1.0]])
    for k in (0, 3):
        with pytest.raises(ValueError, match=f"k = {k} clusters"):
            kmeans.kmeans(jax.random.key(0), x, k)
