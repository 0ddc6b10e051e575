"""Distances of many mixtures at once: against POT, the solver that takes them one by one, closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab.numerics import NotConverged
from lab.ot import labelled
from lab.valuation import designs, distance

RNG = np.random.default_rng(5)
SIZES = (11, 16, 8)
SOURCE = np.repeat(np.arange(3), SIZES)
X = RNG.normal(size=(35, 4)) + 0.9 * SOURCE[:, None]
Y = RNG.normal(size=(22, 4)) + 0.6
LABELS = np.r_[np.arange(3), RNG.integers(0, 3, 32)].astype(np.int32)
OTHERS = np.r_[np.arange(3), RNG.integers(0, 3, 19)].astype(np.int32)
POINTS = tuple(map(jnp.asarray, (X, LABELS, Y, OTHERS)))
OF = jnp.asarray(SOURCE)
P = np.r_[np.array([[0.43, 0.22, 0.35], [1.0, 0, 0], [0.5, 0.5, 0]]), RNG.dirichlet(np.ones(3), 6)]
COSTS = distance.costs(*POINTS, 3)
PLAIN = COSTS._replace(own=None, other=None)


def solved(p, costs=PLAIN, epsilon=0.6, tolerance=1e-12):
    return distance.distances(jnp.asarray(p), costs, OF, epsilon, tolerance=tolerance)


@pytest.fixture(scope="module")
def plain():
    return solved(P)


@pytest.fixture(scope="module")
def debiased():
    return solved(P, COSTS)


def masses(p):
    return p[SOURCE] / np.asarray(SIZES)[SOURCE]


def by_pot(a, b, matrix):
    """The value in its KL form, of the points that have mass."""
    rows, columns = a > 0, b > 0
    a, b, matrix = a[rows], b[columns], np.asarray(matrix)[rows][:, columns]
    plan = pot.sinkhorn(a, b, matrix, 0.6, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000)
    return (plan * matrix).sum() + 0.6 * (plan * np.log(plan / np.outer(a, b))).sum()


@pytest.mark.slow
def test_values_are_pots(plain, debiased):
    b = np.full(22, 1 / 22)
    assert plain.converged
    assert debiased.converged
    for p, value, less in zip(P[:4], plain.value, debiased.value, strict=False):
        a = masses(p)
        known = by_pot(a, b, COSTS.matrix)
        assert float(value) == pytest.approx(known, rel=1e-9)
        known -= (by_pot(a, a, COSTS.own) + by_pot(b, b, COSTS.other)) / 2
        assert float(less) == pytest.approx(known, rel=1e-8)


def test_it_is_what_comes_one_by_one(plain):
    known = labelled.mixture(jnp.asarray(P[2]), PLAIN.matrix, OF, 0.6, tolerance=1e-11)
    assert float(plain.value[2]) == pytest.approx(float(known.value), rel=1e-8)
    np.testing.assert_allclose(
        plain.mean[2] - plain.mean[2].mean(), known.slope, atol=1e-7
    )  # of a source without a share too


@pytest.mark.slow
def test_slopes_are_those_of_differences():
    for costs in (PLAIN, COSTS):
        found = solved(P, costs)
        slope = np.asarray(found.mean[0])
        for change in (np.array([1.0, -1.0, 0.0]), np.array([0.2, 0.5, -0.7])):
            near = np.tile(P, (1, 1))
            near[0], near[1] = P[0] + 1e-4 * change, P[0] - 1e-4 * change
            ends = np.asarray(solved(near, costs).value)
            assert float(slope @ change) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-6, abs=1e-8)
        given = jax.grad(lambda p, costs=costs: solved(p, costs).value.sum())(jnp.asarray(P))
        np.testing.assert_allclose(
            given - given.mean(1, keepdims=True), found.mean - found.mean.mean(1, keepdims=True), atol=1e-9
        )


def test_the_calibrated_slope_is_that_of_proportional_growth(plain):
    g = np.asarray(distance.calibrated(plain.mean, jnp.asarray(P)))
    h = np.asarray(plain.mean)
    for p, slope, mean in zip(P, g, h, strict=True):
        assert np.isnan(slope[p == 1]).all()
        away = p < 1
        np.testing.assert_allclose(slope[away], (mean - p @ mean)[away] / (1 - p[away]), rtol=1e-12)
        assert (p * (1 - p))[away] @ slope[away] == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_a_set_is_at_no_divergence_from_itself():
    x, labels = POINTS[:2]
    one = distance.costs(x, labels, x, labels, 3)
    equal = jnp.asarray(np.array(SIZES) / 35)[None]  # as uniform points
    assert float(solved(equal, one).value[0]) == pytest.approx(0, abs=1e-9)
    assert float(labelled.exact_mixture(equal[0], one.own, SOURCE).value) == pytest.approx(
        0, abs=1e-6
    )  # root of an eigenvalue
    embedded = distance.costs(*POINTS, 3, label_weight=0.0)
    assert (np.asarray(solved(P, embedded).value) >= -1e-9).all()
    apart = ((X[:, None] - Y[None]) ** 2).sum(2)
    np.testing.assert_allclose(embedded.matrix, apart / 2, atol=1e-12)


def test_it_is_convex_in_the_shares_and_blind_to_doubling(plain):
    middle = np.r_[(P[:-1] + P[1:]) / 2, P[:1]]
    ends = np.asarray(plain.value)
    between = np.asarray(solved(middle).value)[:-1]
    assert (between <= (ends[:-1] + ends[1:]) / 2 + 1e-9).all()
    assert (between < (ends[:-1] + ends[1:]) / 2 - 1e-4).any()
    twice = np.r_[np.arange(35), np.flatnonzero(SOURCE == 1)]
    doubled = distance.distances(jnp.asarray(P), distance.Costs(PLAIN.matrix[twice]), OF[twice], 0.6, tolerance=1e-12)
    np.testing.assert_allclose(doubled.value, plain.value, atol=1e-9)
    np.testing.assert_allclose(doubled.mean, plain.mean, atol=1e-8)


@pytest.mark.slow
def test_little_entropy_comes_near_the_linear_program():
    least = solved(P, epsilon=0.05, tolerance=1e-6)
    for p, value in zip(P[:3], least.value, strict=False):
        known = pot.emd2(masses(p), [], np.asarray(PLAIN.matrix))
        assert float(labelled.exact_mixture(p, PLAIN.matrix, SOURCE).value) == pytest.approx(known, rel=1e-9)
        assert known - 1e-9 < float(value) < known + 0.05 * np.log(35 * 22)


def test_labels_are_as_far_apart_as_their_clouds():
    gaussian = np.asarray(distance.between(*POINTS, 3))
    np.testing.assert_allclose(
        gaussian, labelled.label_distances(X, LABELS, Y, OTHERS, "gaussian"), rtol=1e-7
    )  # roots of few points
    exact = np.asarray(distance.between(*POINTS, 3, "exact"))
    np.testing.assert_allclose(exact, labelled.label_distances(X, LABELS, Y, OTHERS), rtol=1e-12)
    means = np.asarray(distance.between(*POINTS, 3, "means"))
    known = [[((X[i == LABELS].mean(0) - Y[j == OTHERS].mean(0)) ** 2).sum() for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(means, known, rtol=1e-12)
    assert (means < gaussian).all()
    assert (gaussian < exact).all()  # Gelbrich's bound
    one = tuple(map(jnp.asarray, (X[:, :1], 0 * LABELS, Y[:, :1], 0 * OTHERS)))
    line = (X[:, 0].mean() - Y[:, 0].mean()) ** 2 + (X[:, 0].std() - Y[:, 0].std()) ** 2
    assert float(distance.between(*one, 1)[0, 0]) == pytest.approx(line, rel=1e-9)


def test_a_large_weight_of_labels_keeps_to_blocks():
    labels = np.resize(np.arange(3), 35).astype(np.int32)
    others = np.resize(np.arange(3), 21).astype(np.int32)
    x, y = X[:33] + 6 * labels[:33, None], Y[:21] + 6 * others[:, None]
    arrays = tuple(map(jnp.asarray, (x, labels[:33], y, others)))
    costs = distance.costs(*arrays, 3, label_weight=1e3, debiased=False)
    p, of = jnp.asarray([[1.0]]), jnp.zeros(33, int)
    found = distance.distances(p, costs, of, 600.0, tolerance=1e-10)
    plan = np.asarray(distance.plan(p, found.g, costs.matrix, of, 600.0))[0]
    np.testing.assert_allclose(plan.sum(1), 1 / 33, rtol=1e-9)
    np.testing.assert_allclose(plan.sum(0), 1 / 21, rtol=1e-7)
    assert plan[labels[:33, None] == others[None]].sum() == pytest.approx(1, abs=1e-9)


def test_a_plan_has_its_marginals_and_the_value(plain):
    plan = np.asarray(distance.plan(jnp.asarray(P), plain.g, PLAIN.matrix, OF, 0.6))
    np.testing.assert_allclose(plan.sum(1), np.full((9, 22), 1 / 22), atol=1e-11)
    np.testing.assert_allclose(plan.sum(2), [masses(p) for p in P], atol=1e-13)
    a = masses(P[0])
    entropy = (plan[0] * np.log(plan[0] / np.outer(a, np.full(22, 1 / 22)))).sum()
    assert float(plain.value[0]) == pytest.approx((plan[0] * np.asarray(PLAIN.matrix)).sum() + 0.6 * entropy, rel=1e-10)


def test_missing_convergence_is_warned_of():
    with pytest.warns(NotConverged, match=r"lab.valuation.distances did not converge in 10 iterations"):
        found = distance.distances(P, PLAIN, OF, 0.2, sweeps=10)
    assert not found.converged


def test_float32_stays_float32():
    narrow = distance.Costs(PLAIN.matrix.astype(jnp.float32))
    found = distance.distances(jnp.asarray(P, jnp.float32), narrow, OF, 0.6, tolerance=1e-4)
    assert found.value.dtype == found.mean.dtype == jnp.float32
    np.testing.assert_allclose(found.value, solved(P).value, rtol=1e-3)


def test_what_does_not_fit_is_refused():
    good = (X, LABELS, SOURCE, Y, OTHERS)
    broken = np.where(np.arange(35)[:, None] == 4, np.nan, X)
    for told, call in (
        ("the first in row 4", lambda: distance.check(broken, *good[1:], 3)),
        ("source 3 of 0 to 3 has no points", lambda: distance.check(*good, 4)),
        (
            "class 7 of the data set to compare with",
            lambda: distance.check(*good[:4], np.where(OTHERS == 1, 7, OTHERS), 3),
        ),
        (r"\(m, d\) and \(n, d\) are needed", lambda: distance.check(X[:, :2], *good[1:], 3)),
        ("these costs need a finite epsilon above", lambda: solved(P, epsilon=1e-4)),
        ("shares of at least 0 with sum 1", lambda: solved(1.1 * P)),
        ("source has the values", lambda: distance.distances(P, PLAIN, 0 * OF, 0.6)),
        (r"source has shape \(3,\)", lambda: distance.distances(P, PLAIN, OF[:3], 0.6)),
        ("costs.matrix has entries", lambda: distance.distances(P, distance.Costs(PLAIN.matrix * np.nan), OF, 0.6)),
        ("metric = 'sinkhorn'", lambda: distance.between(*POINTS, 3, "sinkhorn")),
        ("shares of at least 0 with sum 1", lambda: designs.mixtures([0.5, 0.6, -0.1])),
        ("shares of at least 0 with sum 1", lambda: designs.mixtures([[0.5, 0.5, 0], [0.5, 0.5, 1e-5]])),
        ("3 shares, one for each source", lambda: designs.mixtures([0.5, 0.5], 3)),
        ("steps = 0 is not allowed", lambda: designs.simplex_grid(3, 0)),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def test_designs_are_on_the_simplex():
    grid = designs.simplex_grid(3, 10)
    assert grid.shape == (66, 3)
    assert len({tuple(np.round(10 * p).astype(int)) for p in grid}) == 66
    np.testing.assert_allclose(designs.mixtures(grid, 3).sum(1), 1, atol=1e-12)
    assert sorted(designs.simplex_grid(2, 4)[:, 0].tolist()) == [0, 0.25, 0.5, 0.75, 1]
    drawn = np.asarray(designs.dirichlet(jax.random.key(0), 4000, 3))
    np.testing.assert_allclose(drawn.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(drawn.mean(0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(drawn.var(0), 1 / 18, rtol=0.08)  # uniform on the triangle


def test_one_source_has_one_mixture():
    np.testing.assert_array_equal(designs.simplex_grid(1, 3), [[1.0]])
