"""Orthonormal bases: their Gram matrix, their laws, and the distribution functions that draws invert."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from lab import sampling
from lab.sampling import bases

WHOLE = [sampling.legendre(40), sampling.hermite(40), sampling.fourier(39), sampling.haar(32)]


@pytest.mark.slow
def test_orthonormal():
    others = [
        sampling.product("legendre", 2, 6),
        sampling.product("hermite", 2, 6, "hyperbolic-cross"),
        sampling.product("fourier", 2, 2, "box"),
        sampling.product("haar", 2, 3),
    ]
    for basis in WHOLE + others:
        points, masses = basis.quadrature(41)
        phi = np.asarray(jax.jit(basis.__call__)(points))
        assert abs((phi * masses[:, None]).T @ phi - np.eye(basis.m)).max() < 1e-12
    x = jnp.linspace(0, 0.999, 50)[:, None]
    for basis in WHOLE[2:]:
        np.testing.assert_allclose(basis.christoffel(x), basis.m, rtol=1e-12)
    np.testing.assert_allclose(WHOLE[0].christoffel(jnp.ones((1, 1))), 40**2, rtol=1e-12)


def test_values_are_those_of_scipy():
    x = np.linspace(-0.99, 0.99, 7)
    for j in (0, 1, 17, 39):
        wanted = np.sqrt(2 * j + 1) * scipy.special.eval_legendre(j, x)
        np.testing.assert_allclose(WHOLE[0](x[:, None])[:, j], wanted, atol=1e-12)
        wanted = scipy.special.eval_hermitenorm(j, 3 * x) / math.sqrt(math.factorial(j))
        np.testing.assert_allclose(WHOLE[1](3 * x[:, None])[:, j], wanted, rtol=1e-10, atol=1e-12)


def cdfs(family, x):
    """(size, n), of every function."""
    x = jnp.asarray(x)
    one = lambda j: family.cdf(x, jnp.full(x.shape, j))  # noqa: E731
    return jax.jit(jax.vmap(one))(jnp.arange(family.size))


@pytest.mark.slow
def test_distribution_functions():
    """Against Gauss quadrature from the left end, and 1 at the right end."""
    nodes, masses = scipy.special.roots_legendre(400)
    for basis in WHOLE:
        (family,) = basis.families
        low, high = family.bracket
        ends = low + (high - low) * np.array([0.25, 0.5, 0.625, 0.8125, 1.0])
        values = jax.jit(lambda x, f=family: f.values(x) ** 2 * f.density(x)[:, None])
        if family.size == 32:  # wavelets are constant on cells of 1/32
            at = (np.arange(64) + 0.5) / 64
            wanted = [values(jnp.asarray(at))[: round(64 * x)].sum(axis=0) / 64 for x in ends]
        else:
            wanted = [masses @ values(jnp.asarray(low + (x - low) * (nodes + 1) / 2)) * (x - low) / 2 for x in ends]
        np.testing.assert_allclose(cdfs(family, ends).T, wanted, atol=1e-11)
        np.testing.assert_allclose(wanted[-1], np.ones(family.size), atol=1e-11)


@pytest.mark.slow
def test_draws_follow_the_christoffel_density():
    for basis in WHOLE:
        (family,) = basis.families
        x = np.asarray(basis.draw_christoffel(jax.random.key(3), 1500))[:, 0]
        levels = np.mean(cdfs(family, x), axis=0)
        assert scipy.stats.kstest(levels, "uniform").pvalue > 1e-3
        drawn = np.asarray(basis.draw(jax.random.key(4), 1500))[:, 0]
        law = (
            scipy.stats.norm
            if family.bracket[0] < -1
            else scipy.stats.uniform(family.bracket[0], np.ptp(family.bracket))
        )
        assert scipy.stats.kstest(drawn, law.cdf).pvalue > 1e-3
    plane = sampling.product("legendre", 2, 3)
    x = plane.draw_christoffel(jax.random.key(0), 20_000)  # E phi phi^T m / k = I
    weight = plane.m / plane.christoffel(x)
    phi = plane(x)
    np.testing.assert_allclose((phi * weight[:, None]).T @ phi / len(x), np.eye(10), atol=0.1)


def test_index_sets():
    for d, p in ((1, 4), (2, 5), (3, 4)):
        box = list(itertools.product(range(p + 1), repeat=d))
        for space, inside in (
            ("total-degree", lambda a, p=p: sum(a) <= p),
            ("hyperbolic-cross", lambda a, p=p: math.prod(i + 1 for i in a) <= p + 1),
            ("box", lambda a: True),
        ):
            assert set(sampling.product("legendre", d, p, space).indices) == {a for a in box if inside(a)}
    assert sampling.product("fourier", 2, 1).m == 5  # 1, and cosine and sine of each coordinate
    assert sampling.product("haar", 1, 4).m == 16
    assert sampling.product("hermite", 8, 4).m == math.comb(12, 4)


@pytest.mark.slow
def test_features_on_points():
    rng = np.random.default_rng(0)
    nodes, masses = rng.normal(size=(60, 2)), rng.uniform(0.1, 1, size=60)
    features = lambda x: jnp.stack([jnp.ones(len(x)), x[:, 0], x[:, 1], jnp.exp(x[:, 0])], axis=1)  # noqa: E731
    basis = sampling.finite(features, masses, nodes)
    points, mass = basis.quadrature()
    phi = basis(points)
    np.testing.assert_allclose((phi * mass[:, None]).T @ phi, np.eye(4), atol=1e-13)
    np.testing.assert_allclose(mass, masses / masses.sum(), rtol=1e-12)
    np.testing.assert_allclose(basis.evaluate(basis.coordinates(points)), phi, atol=1e-12)
    chosen = np.asarray(basis.draw_christoffel(jax.random.key(0), 20_000))[:, 0]
    expected = np.asarray(mass * basis.christoffel(points)) / 4 * 20_000
    assert scipy.stats.chisquare(np.bincount(chosen, minlength=60), expected).pvalue > 1e-3
    with pytest.raises(ValueError, match="not orthonormal: their Gram matrix differs from the identity by"):
        sampling.finite(features, masses, nodes, check=True)
    assert sampling.finite(basis.rows * np.sqrt(60), check=True).m == 4
    with pytest.raises(ValueError, match="linearly dependent"):
        sampling.finite(np.ones((5, 2)))
    with pytest.raises(ValueError, match="positive and finite"):
        sampling.finite(np.eye(3), masses=[1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="NaN"):
        sampling.finite(np.full((3, 1), np.nan))
    with pytest.raises(ValueError, match="on their points only"):
        sampling.finite(np.eye(3)).evaluate(jnp.eye(3))


def test_bad_bases():
    with pytest.raises(ValueError, match="m = 0"):
        sampling.legendre(0)
    with pytest.raises(ValueError, match="odd m, take 5 or 7"):
        sampling.fourier(6)
    with pytest.raises(ValueError, match="take 8 or 16"):
        sampling.haar(12)
    for family, d, degree, space in (("chebyshev", 1, 2, "box"), ("legendre", 0, 2, "box"), ("legendre", 1, 2, "ball")):
        with pytest.raises(ValueError, match=r"must be one of|at least 1"):
            sampling.product(family, d, degree, space)
    with jax.enable_x64(False), pytest.raises(ValueError, match="needs float64"):
        sampling.legendre(3)
    with pytest.raises(ValueError, match="occurs twice"):
        bases.Product((bases.Legendre(3),), ((0,), (0,)))


def test_index_sets_are_whole():
    assert bases.largest("legendre", 2, 15, "total-degree").m == 15
    assert bases.largest("legendre", 2, 20, "total-degree").m == 15
    assert bases.largest("legendre", 2, 20, "hyperbolic-cross").m <= 20
    assert bases.largest("fourier", 3, 7, "total-degree").m == 7
