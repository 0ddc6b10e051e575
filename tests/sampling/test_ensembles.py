"""L-ensembles, k-DPPs, marginal kernels, volume sampling of rows and chains, against enumeration of all subsets."""

import decimal
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lab import sampling
from lab.sampling import chains, ensembles, subsets
from lab.sampling.ensembles import log_elementary, marginals

N = 6
DRAWS = 20_000
MASKS = np.array(list(itertools.product([False, True], repeat=N)))


def fits(masks, chance, thinned=1):
    """Chi-square of masks against the probabilities of all subsets."""
    counts = np.bincount(np.asarray(masks) @ (2 ** np.arange(N - 1, -1, -1)), minlength=2**N) / thinned
    possible = chance > 1e-9
    assert counts[~possible].sum() == 0
    return scipy.stats.chisquare(counts[possible], chance[possible] / chance.sum() * counts.sum()).pvalue


def as_masks(indices):
    masks = np.zeros((len(indices), N), bool)
    masks[np.arange(len(indices))[:, None], indices] = True
    assert (masks.sum(axis=1) == indices.shape[1]).all()
    return masks


@pytest.fixture(scope="module")
def ensemble():
    """L of rank 4, its spectrum, and the probability of every subset."""
    features = np.random.default_rng(0).normal(size=(N, 4))
    kernel = features @ features.T
    minors = np.array([np.linalg.det(kernel[np.ix_(m, m)]) if m.any() else 1.0 for m in MASKS])
    return kernel, sampling.spectrum(kernel), minors / np.linalg.det(np.eye(N) + kernel)


@pytest.mark.slow
def test_spectral_and_cholesky_samplers(ensemble):
    kernel, given, chance = ensemble
    assert given.rank == 4
    assert abs(chance.sum() - 1) < 1e-12
    assert fits(sampling.l_ensemble(jax.random.key(0), given, DRAWS), chance) > 1e-3
    marginal = ensembles.marginal_kernel(given)
    np.testing.assert_allclose(marginal, kernel @ np.linalg.inv(np.eye(N) + kernel), atol=1e-12)
    assert fits(sampling.cholesky(jax.random.key(1), marginal, DRAWS), chance) > 1e-3
    np.testing.assert_allclose(marginals(given), chance @ MASKS, atol=1e-12)
    other = sampling.spectrum_of_features(given.vectors)
    np.testing.assert_allclose(other.values, np.ones(4), atol=1e-12)


def test_kernel_that_is_not_symmetric():
    rng = np.random.default_rng(3)
    skew = rng.normal(size=(N, N))
    kernel = np.eye(N) + skew - skew.T
    marginal = kernel @ np.linalg.inv(np.eye(N) + kernel)
    chance = np.array([np.linalg.det(kernel[np.ix_(m, m)]) if m.any() else 1.0 for m in MASKS])
    chance /= np.linalg.det(np.eye(N) + kernel)
    assert abs(chance.sum() - 1) < 1e-12
    assert fits(sampling.cholesky(jax.random.key(1), marginal, DRAWS), chance) > 1e-3


@pytest.mark.slow
def test_k_dpp(ensemble):
    _, given, chance = ensemble
    three = np.where(MASKS.sum(axis=1) == 3, chance, 0)
    three /= three.sum()
    indices = sampling.k_dpp(jax.random.key(2), given, 3, DRAWS)
    assert fits(as_masks(indices), three) > 1e-3
    first = np.bincount(np.asarray(indices)[:, 0], minlength=N)
    assert scipy.stats.chisquare(first, three @ MASKS / 3 * DRAWS).pvalue > 1e-3
    np.testing.assert_allclose(marginals(given, 3), three @ MASKS, atol=1e-12)
    key = jax.random.key(9)
    lone = [sampling.k_dpp(k, given, 3) for k in jax.random.split(key, 4)]
    assert (np.stack(lone) == sampling.k_dpp(key, given, 3, 4)).all()


@pytest.mark.slow
def test_elementary_polynomials():
    """Against 60 digits, over 40 orders of magnitude; derivatives at zeros too, against one removed."""
    decimal.getcontext().prec = 60
    values = 10.0 ** np.random.default_rng(0).uniform(-20, 20, size=40)

    def exact(values, k):
        table = [decimal.Decimal(1)] + [decimal.Decimal(0)] * k
        for value in values:
            for j in range(k, 0, -1):
                table[j] += decimal.Decimal(float(value)) * table[j - 1]
        return table[k]

    for k in (1, 7, 40):
        np.testing.assert_allclose(log_elementary(jnp.asarray(values), k), float(exact(values, k).ln()), rtol=1e-13)
    values[:3] = 0.0
    slope = jax.grad(log_elementary)(jnp.asarray(values), 7)
    for i in (0, 3, 20):
        wanted = float(exact(np.delete(values, i), 6) / exact(values, 7))
        np.testing.assert_allclose(slope[i], wanted, rtol=1e-11)
    assert log_elementary(jnp.asarray(values), 38) == -jnp.inf


@pytest.mark.slow
def test_hundred_items_of_an_ill_conditioned_kernel():
    """Eigenvalues over 16 orders: the marginals are right, and draws follow them."""
    x = np.linspace(0, 1, 240)[:, None]
    kernel = subsets.kernel_matrix(jnp.asarray(x), jnp.asarray(x), "laplace", 3.0)
    scale = np.exp(-np.linspace(0, 18, 240))
    given = sampling.spectrum(np.asarray(kernel) * np.outer(scale, scale))
    assert given.rank >= 100
    assert given.values[0] / given.values[-1] > 1e12
    chance = np.asarray(marginals(given, 100))
    assert abs(chance.sum() - 100) < 1e-10
    assert chance.min() >= 0
    assert chance.max() < 1 + 1e-12
    decimal.getcontext().prec = 60
    values = [decimal.Decimal(float(v)) for v in given.values]
    table = [[decimal.Decimal(1)] + [decimal.Decimal(0)] * 100]
    for v in values:
        last = table[-1]
        table.append([last[0]] + [last[j] + v * last[j - 1] for j in range(1, 101)])
    weights = np.asarray(ensembles.eigenvector_probabilities(given.values, 100))
    last = float(values[-1] * table[-2][99] / table[-1][100])
    np.testing.assert_allclose(weights[-1], last, rtol=1e-10)
    drawn = np.asarray(sampling.k_dpp(jax.random.key(0), given, 100, 60))
    assert all(len(set(s.tolist())) == 100 for s in drawn)
    counts = np.bincount(drawn.ravel(), minlength=240) / 60
    error = np.sqrt(np.maximum(chance * (1 - chance), 1e-3) / 60)
    assert (abs(counts - chance) < 5 * error).all()
    smooth = subsets.kernel_matrix(jnp.asarray(x), jnp.asarray(x), "gaussian", 0.5)
    with pytest.raises(ValueError, match="at least half of the pairs of rows are equal"):
        sampling.diverse(jax.random.key(0), np.ones((20, 2)), 5)
    with pytest.raises(ValueError, match="k = 100, but L has rank"):
        sampling.k_dpp(jax.random.key(0), sampling.spectrum(smooth), 100)


@pytest.mark.slow
def test_volume_sampling_of_rows():
    """Its identities by enumeration, and its sampler."""
    rng = np.random.default_rng(4)
    n, d, s = N, 2, 4
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    sets = [np.array(c) for c in itertools.combinations(range(n), s)]
    chance = np.array([np.exp(ensembles.log_volume(jnp.asarray(x), jnp.asarray(c))) for c in sets])
    assert abs(chance.sum() - 1) < 1e-12
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    found = np.array([np.linalg.lstsq(x[c], y[c], rcond=None)[0] for c in sets])
    np.testing.assert_allclose(chance @ found, best, atol=1e-12)
    inverse = sum(p * np.linalg.inv(x[c].T @ x[c]) for p, c in zip(chance, sets, strict=True))
    np.testing.assert_allclose(inverse, (n - d + 1) / (s - d + 1) * np.linalg.inv(x.T @ x), atol=1e-12)
    pairs = [np.array(c) for c in itertools.combinations(range(n), d)]
    weight = np.array([np.exp(ensembles.log_volume(jnp.asarray(x), jnp.asarray(c))) for c in pairs])
    loss = [((y - x @ np.linalg.solve(x[c], y[c])) ** 2).sum() for c in pairs]
    np.testing.assert_allclose(weight @ loss, (d + 1) * ((y - x @ best) ** 2).sum(), rtol=1e-11)
    drawn = as_masks(np.asarray(sampling.volume(jax.random.key(3), x, s, DRAWS)))
    of = np.zeros(2**N)
    for p, c in zip(chance, sets, strict=True):
        of[(2 ** (N - 1 - c)).sum()] = p
    assert fits(drawn, of) > 1e-3
    for bad in (1, 7):
        with pytest.raises(ValueError, match="at least d = 2"):
            sampling.volume(jax.random.key(0), x, bad)


@pytest.mark.slow
def test_chains(ensemble):
    kernel, _, chance = ensemble
    three = np.where(MASKS.sum(axis=1) == 3, chance, 0)
    swaps = chains.exchange(jax.random.key(4), kernel, N, [0, 1, 2], 6000, thin=10)
    toggles = chains.add_delete(jax.random.key(5), kernel, N, [], 6000, limit=4, thin=20)
    for run, wanted in ((swaps, three), (toggles, chance)):
        size = run.effective_size()
        assert 2000 < size < 8000
        assert fits(run.masks(N), wanted, thinned=2) > 1e-3  # neighbours depend a little
        assert 0.2 < run.acceptance < 0.8
        masks = np.asarray(run.masks(N))[:5]
        for mask, log_det in zip(masks, run.log_det, strict=False):
            np.testing.assert_allclose(
                np.linalg.slogdet(kernel[np.ix_(mask, mask)])[1] if mask.any() else 0, log_det, atol=1e-9
            )
    block = lambda i, j: jnp.asarray(kernel)[i[:, None], j[None, :]]  # noqa: E731
    assert (chains.exchange(jax.random.key(4), block, N, [0, 1, 2], 6000, thin=10).items == swaps.items).all()
    with pytest.raises(ValueError, match="distinct"):
        chains.exchange(jax.random.key(0), kernel, N, [0, 0], 2)
    with pytest.raises(ValueError, match="determinant 0"):
        chains.exchange(jax.random.key(0), kernel, N, [0, 1, 2, 3, 4], 2)
    with pytest.raises(ValueError, match="limit"):
        chains.add_delete(jax.random.key(0), kernel, N, [0], 2, limit=9)
    still = chains.Trajectory(jnp.zeros((4, 1), int), jnp.ones(4), jnp.asarray(0.0))
    assert still.effective_size() == 1


def test_bad_kernels():
    with pytest.raises(ValueError, match="not positive semi-definite: its eigenvalues go from -1"):
        sampling.spectrum(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="not symmetric"):
        sampling.spectrum(np.array([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="square"):
        sampling.spectrum(np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        sampling.spectrum(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="L is zero"):
        sampling.spectrum(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="float32"):
        sampling.spectrum(np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"probabilities: if this is an L"):
        sampling.cholesky(jax.random.key(0), 2 * np.eye(2))
    with pytest.raises(ValueError, match="k = 0"):
        sampling.k_dpp(jax.random.key(0), sampling.spectrum(np.eye(2)), 0)
    with pytest.raises(ValueError, match="rank 2"):
        sampling.k_dpp(jax.random.key(0), sampling.spectrum(np.diag([1.0, 1.0, 0.0])), 3)


@pytest.mark.slow
def test_diverse_rows():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(180, 3)) * 0.3, rng.normal(size=(20, 3)) + 4])
    found = sampling.diverse(jax.random.key(0), rows, 12, length_scale=1.0, size=300)
    np.testing.assert_allclose(found.probabilities.sum(), 12, atol=1e-9)
    totals = found.weights.sum(axis=1)  # unbiased for the number of rows
    assert abs(totals.mean() - 200) < 4 * totals.std() / np.sqrt(300)
    near = [float(subsets.coverage(rows, s).mean()) for s in found.indices[:20]]
    chance = [float(subsets.coverage(rows, jnp.asarray(rng.choice(200, 12, replace=False))).mean()) for _ in range(20)]
    assert np.mean(near) < 0.9 * np.mean(chance)
    part = subsets.low_rank(rows, 60, length_scale=1.0)
    kernel = subsets.kernel_matrix(jnp.asarray(rows), jnp.asarray(rows), "gaussian", 1.0)
    assert abs(part.features @ part.features.T - kernel).max() < 1e-3
    np.testing.assert_allclose(part.remainder, 1 - (part.features**2).sum() / 200, atol=1e-12)
    with pytest.raises(ValueError, match="must be one of"):
        sampling.diverse(jax.random.key(0), rows, 3, kernel="cosine")
    with pytest.raises(ValueError, match=r"length_scale.*greater than 0"):
        sampling.diverse(jax.random.key(0), rows, 3, length_scale=0.0)
    with pytest.raises(ValueError, match="NaN"):
        sampling.diverse(jax.random.key(0), np.full((3, 2), np.nan), 1)


@pytest.mark.parametrize("k", [0, 5])
def test_more_rows_than_there_are_cannot_be_chosen(k):
    with pytest.raises(
        ValueError, match=rf"k = {k} is not allowed: k must be a whole number of at least 1 and of at most 4"
    ):
        sampling.diverse(jax.random.key(0), jnp.arange(8.0).reshape(4, 2), k)
