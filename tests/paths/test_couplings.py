"""Couplings of a batch: which pairs, with what weight, and what they do to both laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
import scipy.optimize
import scipy.stats

from lab import paths
from lab.paths import couplings
from lab.paths.couplings import (
    Assignment,
    Entropic,
    Given,
    Independent,
    Nearest,
    Rectified,
    Resampled,
    Weighted,
    assignment,
    by_batches,
    cost_between,
    cost_matrix,
    normalized,
)

KEY = jax.random.key(3)
X0, X1 = jax.random.normal(jax.random.key(0), (2, 12, 3)) + jnp.asarray([0.0, 2.0])[:, None, None]
LIVE = jnp.arange(12) < 7


def distances(x, y):
    return np.sqrt(((np.asarray(x)[:, None] - np.asarray(y)[None]) ** 2).sum(-1))


@pytest.mark.slow
def test_costs_are_those_named():
    d = distances(X0, X1)
    np.testing.assert_allclose(cost_matrix(X0, X1, "norm"), d, rtol=1e-12)
    np.testing.assert_allclose(cost_matrix(X0, X1, "half-squared"), d**2 / 2, rtol=1e-12)
    np.testing.assert_allclose(cost_between(X0, X1, "norm"), np.diag(d), rtol=1e-12)
    city = lambda x, y: jnp.abs(x - y).sum()  # noqa: E731
    wanted = np.abs(np.asarray(X0)[:, None] - np.asarray(X1)[None]).sum(-1)
    np.testing.assert_allclose(cost_matrix(X0, X1, city), wanted, rtol=1e-12)
    np.testing.assert_allclose(cost_between(X0, X1, city), np.diag(wanted), rtol=1e-12)
    # far from the origin the squares lose no digits that the differences have
    shifted = cost_matrix((X0 + 1e3).astype(jnp.float32), (X1 + 1e3).astype(jnp.float32), "norm")
    assert shifted.dtype == jnp.float32
    np.testing.assert_allclose(shifted, d, atol=2e-3)
    assert float(jax.grad(lambda x: cost_between(x, x, "norm").sum())(X0).sum()) == 0.0


@pytest.mark.parametrize("cost", ["norm", "half-squared"])
def test_assignment_is_the_optimum(cost):
    pairs = jax.jit(Assignment(cost))(KEY, X0, X1)
    np.testing.assert_array_equal(pairs.x1, X1)
    np.testing.assert_array_equal(np.sort(pairs.x0, axis=0), np.sort(X0, axis=0))
    np.testing.assert_array_equal(pairs.log_weights, 0)
    costs = np.asarray(cost_matrix(X0, X1, cost))
    total = float(cost_between(pairs.x0, pairs.x1, cost).sum())
    np.testing.assert_allclose(total, 12 * ot.emd2(np.ones(12) / 12, np.ones(12) / 12, costs), rtol=1e-9)
    rows, columns = scipy.optimize.linear_sum_assignment(costs)
    np.testing.assert_allclose(total, costs[rows, columns].sum(), rtol=1e-12)
    best = min(sum(costs[p[j], j] for j in range(6)) for p in itertools.permutations(range(6)))
    small = Assignment(cost)(KEY, X0[:6], X1[:6])
    np.testing.assert_allclose(cost_between(small.x0, small.x1, cost).sum(), best, rtol=1e-12)
    one = Assignment(cost)(KEY, X0[:1], X1[:1])
    np.testing.assert_array_equal(one.x0, X0[:1])


def test_assignment_in_a_batch_of_traced_size_and_under_vmap():
    part = Assignment()(KEY, X0, X1, LIVE)
    alone = Assignment()(KEY, X0[:7], X1[:7])
    np.testing.assert_array_equal(part.x0[:7], alone.x0)
    np.testing.assert_array_equal(jnp.isfinite(part.log_weights), LIVE)
    costs = jax.random.uniform(KEY, (3, 5, 5))
    many = jax.jit(jax.vmap(assignment))(costs)
    for each, columns in zip(costs, many, strict=True):
        np.testing.assert_array_equal(columns, scipy.optimize.linear_sum_assignment(each)[1])


@pytest.mark.slow
def test_pair_cost_falls_with_the_batch_and_replacement_keeps_the_mean():
    x0, x1 = jax.random.normal(jax.random.key(8), (2, 64, 40, 2))
    cost = {}
    for n in (1, 4, 40):
        order = jax.vmap(lambda x, y, n=n: assignment(cost_matrix(y[:n], x[:n])))(x0, x1)
        cost[n] = float(
            jax.vmap(lambda x, y, o, n=n: cost_between(x[o], y[:n], "half-squared").mean())(x0, x1, order).mean()
        )
    assert cost[40] < 0.5 * cost[4] < 0.5 * cost[1]
    assert abs(cost[1] - 2) < 4 * 2 / 8  # independent: E|x - y|^2 / 2 = d
    coupling = Assignment(replacement=True)
    drawn = jax.vmap(lambda key: coupling(key, X0, X1))(jax.random.split(KEY, 400))
    fixed = Assignment()(KEY, X0, X1)
    pairs = {tuple(np.r_[a, b]) for a, b in zip(np.asarray(fixed.x0), np.asarray(fixed.x1), strict=True)}
    assert {tuple(row) for row in np.concatenate([drawn.x0, drawn.x1], axis=2).reshape(-1, 6)} == pairs
    error = float(X1.std(axis=0).max()) / np.sqrt(400 * 12)
    np.testing.assert_allclose(drawn.x1.mean((0, 1)), X1.mean(0), atol=4 * error)


def test_nearest_of_one_is_the_batch_and_of_k_the_nearest():
    one = Nearest(1)(KEY, X0, X1)
    np.testing.assert_array_equal(one.x0, X0)
    many = jax.jit(jax.vmap(lambda k: Nearest(k)(KEY, X0, X1)))(jnp.asarray([1, 3, 8]))
    np.testing.assert_array_equal(many.x0[0], X0)
    candidates = [X0, *(jax.random.normal(jax.random.fold_in(KEY, j), X0.shape) for j in range(1, 8))]
    for i, k in enumerate((1, 3, 8)):
        noise = np.stack(candidates[:k])
        best = np.linalg.norm(noise - np.asarray(X1), axis=2).argmin(0)
        np.testing.assert_allclose(many.x0[i], noise[best, np.arange(12)], rtol=1e-14)
        np.testing.assert_array_equal(many.x1[i], X1)
    x = jnp.asarray([[0.5, -0.3]])
    assert distances(Nearest(20_000)(KEY, jnp.zeros((1, 2)) + 2, x).x0, x)[0, 0] < 0.05


@pytest.mark.slow
def test_assignment_keeps_the_law_of_the_noise_and_nearest_does_not():
    noise, x = jax.random.normal(jax.random.key(5), (2, 1024, 64)) * jnp.asarray([1.0, 0.8])[:, None, None]
    law = scipy.stats.chi2(64).cdf
    for coupling, least, most in ((Assignment("norm"), 0.01, 1.0), (Nearest(8), 0.0, 1e-6)):
        squares = (coupling(KEY, noise, x).x0 ** 2).sum(axis=1)
        assert least <= scipy.stats.kstest(np.asarray(squares), law).pvalue <= most


def test_gibbs_weights():
    found = Weighted(2.0)(KEY, X0, X1)
    w = np.exp(-np.diag(distances(X0, X1)) / 2)
    np.testing.assert_allclose(jnp.exp(found.log_weights), w / w.mean(), rtol=1e-12)
    part = Weighted(2.0)(KEY, X0, X1, LIVE)
    np.testing.assert_allclose(jnp.exp(part.log_weights[:7]), w[:7] / w[:7].mean(), rtol=1e-12)
    assert (part.log_weights[7:] == -jnp.inf).all()
    scaled = Weighted(6.0, cost=lambda x, y: 3 * jnp.sqrt(((x - y) ** 2).sum()))(KEY, X0, X1)
    np.testing.assert_allclose(scaled.log_weights, found.log_weights, atol=1e-12)
    sharp = Weighted(1e-3)(KEY, X0, X1).log_weights
    assert jnp.isfinite(sharp).all()
    np.testing.assert_allclose(jax.nn.logsumexp(sharp), np.log(12), rtol=1e-12)
    np.testing.assert_allclose(Weighted(1e9)(KEY, X0, X1).log_weights, 0, atol=1e-8)
    np.testing.assert_allclose(jnp.exp(normalized(jnp.asarray([-800.0, -801.0]))).mean(), 1, rtol=1e-12)


def frequencies(coupling, live=None, draws: int = 3000) -> np.ndarray:
    """How often row i of the source came with row j of the data, of all pairs that count."""
    n = 12 if live is None else int(live.sum())
    drawn = jax.jit(jax.vmap(lambda key: coupling(key, X0, X1, live)))(jax.random.split(KEY, draws))
    i = distances(np.asarray(drawn.x0[:, :n]).reshape(-1, 3), X0).argmin(1)
    j = distances(np.asarray(drawn.x1[:, :n]).reshape(-1, 3), X1).argmin(1)
    counts = np.zeros((12, 12))
    np.add.at(counts, (i, j), 1)
    return counts / counts.sum()


@pytest.mark.slow
@pytest.mark.parametrize("live", [None, LIVE], ids=["whole", "part"])
def test_pairs_are_drawn_as_often_as_the_plan_says(live):
    """Gibbs weights, and the entropic plan of POT."""
    n, d = (12, distances(X0, X1)) if live is None else (7, distances(X0, X1)[:7, :7])
    gibbs = np.exp(-d / 0.5)
    mass = np.ones(n) / n
    plan = ot.sinkhorn(mass, mass, d**2 / 2, 0.5, stopThr=1e-12)
    for coupling, wanted in ((Resampled(0.5), gibbs / gibbs.sum()), (Entropic(0.5), plan)):
        got = frequencies(coupling, live)
        assert got[n:].sum() == got[:, n:].sum() == 0
        error = np.sqrt(wanted * (1 - wanted) / (3000 * n))
        assert (np.abs(got[:n, :n] - wanted) <= 4.5 * error + 1e-4).all()


def test_the_batch_as_it_is():
    for coupling in (Independent(), Given()):
        pairs = coupling(KEY, X0, X1, LIVE)
        np.testing.assert_array_equal(pairs.x0, X0)
        np.testing.assert_array_equal(pairs.x1, X1)
        np.testing.assert_array_equal(pairs.log_weights, np.where(LIVE, 0, -np.inf))
    assert Given.paired
    assert not hasattr(Independent, "paired")


def test_refusals():
    for make, sentence in (
        (lambda: Weighted(0.0), r"epsilon = 0.0, but it must be positive"),
        (lambda: Resampled(-1.0), r"epsilon = -1.0"),
        (lambda: Entropic(np.nan), r"epsilon = nan"),
        (lambda: Nearest(0), r"k = 0, but the number of noises must be a whole number of at least 1"),
        (lambda: Nearest(2.5), r"k = 2.5"),
        (lambda: Independent()(KEY, X0, X1[:5]), r"shapes \(12, 3\) and \(5, 3\)"),
        (lambda: Assignment()(KEY, X0[:0], X1[:0]), r"the batch is empty"),
        (lambda: Weighted(1.0, "squared")(KEY, X0, X1), r"cost = 'squared', but it must be one of 'norm'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make()


@pytest.mark.slow
def test_rectified_pairs_are_those_of_the_closed_form():
    """Between Gaussians on a line the monotone map m + s x; to points, the points; under jit as well."""
    field = paths.exact(paths.Linear(), paths.standard(1), paths.gaussian(jnp.array([2.0]), jnp.array([[0.25]])))
    pairs = jax.jit(lambda coupling: coupling(KEY, X0[:, :1], X1[:, :1], LIVE))(Rectified(field))
    np.testing.assert_array_equal(pairs.x0, X0[:, :1])
    np.testing.assert_allclose(pairs.x1, 2 + X0[:, :1] / 2, atol=1e-5)
    np.testing.assert_array_equal(pairs.log_weights, np.where(LIVE, 0, -np.inf))
    to_points = Rectified(paths.exact(paths.Linear(), paths.standard(3), paths.Empirical(X1)))
    ends = np.asarray(jax.jit(lambda coupling: coupling(KEY, X0, X1))(to_points).x1)
    assert distances(ends, X1).min(axis=1).max() < 1e-3
    with pytest.raises(ValueError, match="steps = 0, but a whole number of at least 1"):
        Rectified(field, 0)


@pytest.mark.slow
def test_batches_are_optimal_plans():
    """Against POT, with rows that fill no batch, a batch of one, and sizes under vmap."""
    x0, x1 = jax.random.normal(jax.random.key(0), (2, 50, 2))

    def of(size):
        return by_batches(x0, x1, size)

    order, weights = jax.jit(of)(16)
    assert sorted(order.tolist()) == list(range(50))
    np.testing.assert_allclose(weights, np.r_[np.full(48, 1 / 48), 0, 0])
    for first in (0, 16, 32):
        rows = slice(first, first + 16)
        costs = np.asarray(((x1[rows, None] - x0[None, rows]) ** 2).sum(2))
        plan = ot.emd(np.full(16, 1 / 16), np.full(16, 1 / 16), costs)
        np.testing.assert_allclose(((x1[rows] - x0[order[rows]]) ** 2).sum(1).mean(), (plan * costs).sum(), rtol=1e-10)
    orders, _ = jax.jit(jax.vmap(of))(jnp.asarray([1, 16, 50]))
    np.testing.assert_array_equal(orders[0], np.arange(50))
    np.testing.assert_array_equal(orders[1], order)
    mean = [float(((x1 - x0[order]) ** 2).sum(1).mean()) for order in orders]
    assert mean[0] > mean[1] > mean[2]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("costs", lambda: couplings.assignment(jnp.full((2, 2), jnp.nan))),
        ("size", lambda: couplings.by_batches(jnp.zeros((4, 2)), jnp.zeros((4, 2)), 0)),
        ("y", lambda: couplings.cost_matrix(jnp.zeros((4, 2)), jnp.zeros((4, 1)))),
    ],
)
def test_an_error_names_the_invalid_argument(name, call):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()
