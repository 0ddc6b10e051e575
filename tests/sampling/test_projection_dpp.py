"""Projection DPPs: enumeration on finite spaces, closed forms on the line, and the two routes against each other."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lab import sampling
from lab.sampling import least_squares, projection

DRAWS = 3000


@pytest.fixture(scope="module")
def drawn():
    """Of each basis and route the points (draws, m) and mean proposals."""
    found = {}
    for name, basis in (
        ("legendre", sampling.legendre(5)),
        ("hermite", sampling.hermite(5)),
        ("fourier", sampling.fourier(5)),
    ):
        for method in ("rejection", "matrix") if name != "fourier" else ("matrix",):
            one = jax.jit(jax.vmap(lambda key, b=basis, method=method: projection.draw(key, b, method)))
            points, proposals = one(jax.random.split(jax.random.key(7), DRAWS))
            found[name, method] = np.asarray(points)[..., 0], np.asarray(proposals)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rejection", "matrix"])
def test_linear_statistics(drawn, method):
    """Mean and variance of sum x^2: Legendre, Hermite (m^2, 2 m^2) and Fourier, m = 5."""
    for name, mean, variance in (("legendre", 2.4747475, 0.1277062), ("hermite", 25, 50), ("fourier", 5 / 3, 0.16774)):
        if (name, method) not in drawn:
            continue
        s = (drawn[name, method][0] ** 2).sum(axis=1)
        spread = s.std()
        assert abs(s.mean() - mean) < 4 * spread / np.sqrt(DRAWS)
        error = np.sqrt((((s - s.mean()) ** 2).var()) / DRAWS)
        assert abs(s.var() - variance) < 4 * error
        basis = getattr(sampling, name)(5)
        exact = sampling.linear_statistic(basis, lambda x: x[:, 0] ** 2, 2000)
        np.testing.assert_allclose(exact, [mean, variance], rtol=2e-5)


@pytest.mark.slow
def test_two_points_alike(drawn):
    """All order statistics of both routes have one law, whichever matrix is used."""
    for name in ("legendre", "hermite"):
        one, other = (np.sort(drawn[name, method][0], axis=1) for method in ("rejection", "matrix"))
        for j in range(5):
            assert scipy.stats.ks_2samp(one[:, j], other[:, j]).pvalue > 1e-4
        gaps = [np.diff(x, axis=1).min(axis=1) for x in (one, other)]
        assert scipy.stats.ks_2samp(*gaps).pvalue > 1e-3


@pytest.mark.slow
def test_marginals_are_christoffel(drawn):
    for (name, _), (points, _) in drawn.items():
        (family,) = getattr(sampling, name)(5).families
        for place in (0, 4):  # exchangeable, so that any place has the marginal
            x = jnp.asarray(points[:, place])
            one = lambda j, f=family, x=x: f.cdf(x, jnp.full(x.shape, j))  # noqa: E731
            levels = np.asarray(jax.vmap(one)(jnp.arange(5))).mean(axis=0)
            assert scipy.stats.kstest(levels, "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_number_of_proposals(drawn):
    """m H_m."""
    proposals = drawn["legendre", "rejection"][1]
    assert abs(proposals.mean() - 5 * sum(1 / i for i in range(1, 6))) < 4 * proposals.std() / np.sqrt(DRAWS)


@pytest.mark.slow
def test_haar_is_stratified():
    basis = sampling.haar(8)
    for method in ("rejection", "matrix"):
        points = jax.jit(jax.vmap(lambda key, method=method: projection.draw(key, basis, method).points))(
            jax.random.split(jax.random.key(0), 50)
        )
        cells = np.sort(np.floor(np.asarray(points)[..., 0] * 8), axis=1)
        assert (cells == np.arange(8)).all()
        for x in points[:5]:
            assert abs(basis(x).T @ basis(x) / 8 - jnp.eye(8)).max() < 1e-12


def test_no_matrix():
    with pytest.raises(ValueError, match="take method='rejection'"):
        projection.draw(jax.random.key(0), sampling.product("legendre", 2, 2), "matrix")
    with pytest.raises(ValueError, match="must be one of"):
        projection.draw(jax.random.key(0), sampling.legendre(2), "newton")
    with pytest.raises(ValueError, match="must be one of"):
        sampling.subset(jax.random.key(0), np.eye(3), "newton")


# --- a finite space, all of whose subsets are enumerated ---


@pytest.fixture(scope="module")
def space():
    """Seven atoms of unequal mass, three functions, and the probability of every subset of three."""
    rng = np.random.default_rng(1)
    basis = sampling.finite(rng.normal(size=(7, 3)), rng.uniform(0.2, 1, 7))
    subsets = np.array(list(itertools.combinations(range(7), 3)))
    chance = np.linalg.det(np.asarray(basis.rows)[subsets]) ** 2
    return basis, subsets, chance


def test_enumeration(space):
    """Normalised; the least-squares coefficients are unbiased and err by m times the best error, whatever the weights."""
    basis, subsets, chance = space
    assert abs(chance.sum() - 1) < 1e-12
    f = np.asarray(np.random.default_rng(2).normal(size=7))
    phi, mass = np.asarray(basis(jnp.arange(7)[:, None])), np.asarray(basis.masses)
    c = phi.T @ (mass * f)
    best = mass @ (f - phi @ c) ** 2
    for weights in (np.ones(7), 3 / (phi**2).sum(axis=1)):
        found = [least_squares.fit(*map(jnp.asarray, (phi[s], weights[s], f[s]))).coefficients for s in subsets]
        assert abs(chance @ np.array(found) - c).max() < 1e-12
        assert abs(chance @ ((np.array(found) - c) ** 2).sum(axis=1) / best - 3) < 1e-11
    np.testing.assert_allclose(least_squares.truth(basis, lambda x: jnp.asarray(f)).best, best, rtol=1e-12)
    inside = np.array([chance[(subsets == i).any(axis=1)].sum() for i in range(7)])
    np.testing.assert_allclose(inside, (np.asarray(basis.rows) ** 2).sum(axis=1), atol=1e-13)


@pytest.mark.slow
def test_samplers_against_enumeration(space):
    basis, subsets, chance = space
    code = {tuple(s): i for i, s in enumerate(subsets)}
    rows = basis.rows
    draws = [sampling.subset(jax.random.key(5), rows, method, 20_000) for method in ("chain", "rejection")]
    for found in draws:
        found = np.asarray(found)
        counts = np.bincount([code[tuple(s)] for s in np.sort(found, axis=1)], minlength=len(subsets))
        assert scipy.stats.chisquare(counts, chance * 20_000).pvalue > 1e-3
        first = np.bincount(found[:, 0], minlength=7)  # exchangeable
        assert scipy.stats.chisquare(first, np.asarray((rows**2).sum(axis=1)) / 3 * 20_000).pvalue > 1e-3


@pytest.mark.slow
def test_chain_rule(space):
    """The conditional densities integrate to 1, and their product is det^2 / m!."""
    basis = sampling.legendre(6)
    points = projection.draw(jax.random.key(2), basis, "matrix").points
    nodes, masses = basis.quadrature(20)
    densities = sampling.conditional_densities(basis, points, nodes)
    np.testing.assert_allclose(densities @ masses, np.ones(6), atol=1e-12)
    at = sampling.conditional_densities(basis, points, points)
    joint = np.linalg.det(np.asarray(basis(points))) ** 2 / math.factorial(6)
    np.testing.assert_allclose(np.prod(np.diagonal(at)), joint, rtol=1e-10)
    np.testing.assert_allclose(np.tril(at, -1), 0, atol=1e-10)  # none where there is a point


@pytest.mark.slow
def test_same_key_same_points(space):
    basis, _, _ = space
    key = jax.random.key(11)
    many = sampling.subset(key, basis.rows, size=3)
    one = [sampling.subset(k, basis.rows) for k in jax.random.split(key, 3)]
    assert (np.stack(one) == many).all()
    assert (sampling.subset(key, basis.rows, size=3) == many).all()
    line = sampling.legendre(4)
    keys = jax.random.split(key, 3)
    batch = jax.jit(jax.vmap(lambda key: projection.draw(key, line, "rejection").points))(keys)
    np.testing.assert_allclose(batch[1], projection.draw(keys[1], line, "rejection").points, atol=1e-12)
    compiled = jax.jit(lambda key: projection.draw(key, line, "matrix").points)(keys[1])
    np.testing.assert_allclose(compiled, projection.draw(keys[1], line, "matrix").points, atol=1e-12)


@pytest.mark.slow
def test_many_points():
    """m = 60 of 2,000 Gauss nodes: distinct, and of the mean that the kernel says."""
    basis = sampling.legendre(60)
    nodes, masses = basis.quadrature(600)
    rows = basis(nodes) * jnp.sqrt(masses)[:, None]
    found = sampling.subset(jax.random.key(0), rows, size=40)
    assert all(len(set(s.tolist())) == 60 for s in found)
    s = (np.asarray(nodes)[np.asarray(found), 0] ** 2).sum(axis=1)
    exact = sampling.linear_statistic(basis, lambda x: x[:, 0] ** 2)
    assert abs(s.mean() - exact.mean) < 4 * np.sqrt(exact.variance / 40)
