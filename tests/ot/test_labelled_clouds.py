"""Distances between labelled data sets, and their slopes in the shares of a mixture: against POT and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab.ot import labelled

RNG = np.random.default_rng(17)
SIZES = (9, 14, 6)
SOURCE = np.repeat(np.arange(3), SIZES)
X = RNG.normal(size=(29, 4)) + 0.8 * SOURCE[:, None]
Y = RNG.normal(size=(21, 4)) + 0.5
LABELS = np.r_[np.arange(3), RNG.integers(0, 3, 26)]
OTHERS = np.r_[np.arange(2), RNG.integers(0, 2, 19)]
P = np.array([0.43, 0.22, 0.35])
BETWEEN = labelled.label_distances(X, LABELS, Y, OTHERS)
MATRIX = labelled.cost(*map(jnp.asarray, (X, LABELS, Y, OTHERS, BETWEEN)))
OWN = labelled.cost(*map(jnp.asarray, (X, LABELS, X, LABELS, labelled.label_distances(X, LABELS, X, LABELS))))
OF = jnp.asarray(SOURCE)


def weights(p):
    return np.asarray(p)[SOURCE] / np.asarray(SIZES)[SOURCE]


def test_labels_are_as_far_apart_as_their_clouds():
    for i in range(3):
        for j in range(2):
            cost = pot.dist(X[i == LABELS], Y[j == OTHERS])
            assert BETWEEN[i, j] == pytest.approx(pot.emd2([], [], cost), rel=1e-9)
    own = labelled.label_distances(X, LABELS, X, LABELS)
    np.testing.assert_allclose(np.diag(own), 0, atol=1e-12)
    np.testing.assert_allclose(own, own.T, atol=1e-9)


def test_gaussian_labels_have_the_closed_form_of_a_line():
    x, y = 3 * RNG.normal(size=(40, 1)), RNG.normal(size=(30, 1)) + 2
    found = labelled.label_distances(x, np.zeros(40, int), y, np.zeros(30, int), "gaussian")[0, 0]
    assert found == pytest.approx((x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2, rel=1e-9)
    means = labelled.label_distances(x, np.zeros(40, int), y, np.zeros(30, int), "means")[0, 0]
    assert means == pytest.approx((x.mean() - y.mean()) ** 2)


def test_the_cost_halves_both_terms_and_a_weight_leaves_one_out():
    apart = ((X[:, None] - Y[None]) ** 2).sum(2)
    np.testing.assert_allclose(MATRIX, apart / 2 + BETWEEN[LABELS][:, OTHERS] / 2, atol=1e-10)
    given = tuple(map(jnp.asarray, (X, LABELS, Y, OTHERS, BETWEEN)))
    np.testing.assert_allclose(labelled.cost(*given, label_weight=0.0), apart / 2, atol=1e-10)
    np.testing.assert_allclose(labelled.cost(*given, 2.0, 3.0), apart + 1.5 * BETWEEN[LABELS][:, OTHERS], atol=1e-10)


def test_the_exact_distance_is_pots_with_its_slopes():
    found = labelled.exact_mixture(P, MATRIX, SOURCE)
    matrix, b = np.asarray(MATRIX), np.full(21, 1 / 21)

    def value(p):
        return pot.emd2(weights(p), b, matrix)

    assert float(found.value) == pytest.approx(value(P), rel=1e-9)
    for i in range(3):
        change = 1e-6 * (np.eye(3)[i] - P) / (1 - P[i])  # one grows, the others shrink in proportion
        slope = (value(P + change) - value(P - change)) / 2e-6
        assert float(found.calibrated[i]) == pytest.approx(slope, rel=1e-5, abs=1e-7)
    assert float(P * (1 - P) @ found.calibrated) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, OWN], ids=["plain", "debiased"])
@pytest.mark.parametrize("epsilon", [0.5, 5.0])
def test_the_entropic_distance_has_the_slopes_of_differences(own, epsilon):
    def value(p):
        return labelled.mixture(jnp.asarray(p), MATRIX, OF, epsilon, own=own, tolerance=1e-12).value

    found = labelled.mixture(jnp.asarray(P), MATRIX, OF, epsilon, own=own, tolerance=1e-12)
    assert found.converged
    slope = np.asarray(jax.grad(value)(jnp.asarray(P)))
    np.testing.assert_allclose(slope - slope.mean(), found.slope, atol=1e-9)
    for change in (np.array([1.0, -1.0, 0.0]), np.array([0.2, 0.5, -0.7])):
        apart = float(value(P + 1e-5 * change) - value(P - 1e-5 * change)) / 2e-5
        assert float(found.slope @ change) == pytest.approx(apart, rel=1e-5, abs=1e-8)


@pytest.mark.slow
def test_the_entropic_value_is_pots():
    a, b, matrix, epsilon = weights(P), np.full(21, 1 / 21), np.asarray(MATRIX), 2.0
    plan = pot.sinkhorn(a, b, matrix, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=10_000)
    value = (plan * matrix).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum()
    assert float(labelled.mixture(jnp.asarray(P), MATRIX, OF, epsilon).value) == pytest.approx(value, rel=1e-7)
    # with next to no entropy it is the exact one
    little = labelled.mixture(jnp.asarray(P), MATRIX, OF, 0.02, tolerance=1e-7)
    exact = labelled.exact_mixture(P, MATRIX, SOURCE)
    assert float(little.value) == pytest.approx(float(exact.value), rel=2e-2)


@pytest.mark.slow
def test_a_source_without_a_share_still_has_a_slope():
    edge = jnp.array([0.6, 0.4, 0.0])
    found = labelled.mixture(edge, MATRIX, OF, 1.0, tolerance=1e-12)
    near = [
        float(labelled.mixture(edge + jnp.array([-s, 0, s]), MATRIX, OF, 1.0, tolerance=1e-12).value) for s in (0, 1e-5)
    ]
    assert float(found.slope[2] - found.slope[0]) == pytest.approx((near[1] - near[0]) / 1e-5, rel=1e-3)
    whole = labelled.mixture(jnp.array([1.0, 0.0, 0.0]), MATRIX, OF, 1.0)
    assert np.isnan(whole.calibrated[0])
    assert np.isfinite(whole.slope).all()
    exact = labelled.exact_mixture([1.0, 0.0, 0.0], MATRIX, SOURCE)
    assert np.isfinite(exact.slope).all()


@pytest.mark.slow
def test_it_is_convex_in_the_shares_and_blind_to_doubling():
    shares = jnp.asarray(RNG.dirichlet(np.ones(3), 12))
    values = jax.vmap(lambda p: labelled.mixture(p, MATRIX, OF, 1.0).value)
    ends = np.asarray(values(shares)).reshape(6, 2).mean(axis=1)
    middles = np.asarray(values(shares.reshape(6, 2, 3).mean(axis=1)))
    assert (middles <= ends + 1e-8).all()
    twice = np.r_[np.arange(29), np.flatnonzero(SOURCE == 1)]
    doubled = labelled.mixture(jnp.asarray(P), MATRIX[twice], OF[twice], 1.0)
    plain = labelled.mixture(jnp.asarray(P), MATRIX, OF, 1.0)
    assert float(doubled.value) == pytest.approx(float(plain.value), abs=1e-8)
    np.testing.assert_allclose(doubled.slope, plain.slope, atol=1e-6)


def test_what_does_not_fit_is_refused():
    for told, call in (
        ("shares are .* sum 1 are needed", lambda: labelled.shares([0.5, 0.6], [0, 1])),
        ("shares are", lambda: labelled.shares([1.5, -0.5], [0, 1])),
        ("each source needs a share and points", lambda: labelled.shares([0.5, 0.5], [0, 0])),
        ("no point of x has the label 1", lambda: labelled.label_distances(X[:2], [0, 2], Y, OTHERS)),
        ("y has features that are not finite", lambda: labelled.label_distances(X, LABELS, Y * np.nan, OTHERS)),
        ("4 and 3 columns", lambda: labelled.label_distances(X, LABELS, Y[:, :3], OTHERS)),
        ("whole numbers from 0 on", lambda: labelled.label_distances(X, LABELS - 1, Y, OTHERS)),
        ("how = 'wasserstein'", lambda: labelled.label_distances(X, LABELS, Y, OTHERS, "wasserstein")),
        (r"b\[0\] = -1 is not allowed", lambda: labelled.exact_mixture([1.0], [[0.0, 1.0]], [0], [-1.0, 2.0])),
        ("b sums to 3", lambda: labelled.exact_mixture([1.0], [[0.0, 1.0]], [0], [1.0, 2.0])),
        ("a row for each of the 29 points", lambda: labelled.exact_mixture(P, MATRIX[:5], SOURCE)),
    ):
        with pytest.raises(ValueError, match=told):
            call()


@pytest.mark.slow
def test_float32_stays_float32_and_agrees():
    wide = labelled.mixture(jnp.asarray(P), MATRIX, OF, 0.5)
    narrow = labelled.mixture(jnp.asarray(P, jnp.float32), MATRIX.astype(jnp.float32), OF, 0.5)
    assert narrow.converged
    for name in ("value", "slope", "calibrated"):
        assert getattr(narrow, name).dtype == jnp.float32
        np.testing.assert_allclose(getattr(narrow, name), getattr(wide, name), atol=1e-3)
