"""Likelihood: the density at the end of exact flows, coverage of the standard errors, and misfits with a known answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from lab.paths import fields, likelihood
from lab.paths.laws import Empirical, Mixture, gaussian, standard
from lab.paths.schedules import Brownian, Linear

SOURCE = standard(2)
TARGET = Mixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[0.3, 0.5], [0.6, 0.2]])
FIELD = fields.exact(Linear(Brownian(0.5)), SOURCE, TARGET)
X = TARGET.sample(jax.random.key(0), 24)


@pytest.mark.slow
def test_divergence_by_finite_differences_and_by_random_signs():
    exact = likelihood.divergence(FIELD, 0.4, X)
    h = 1e-5
    parts = [FIELD.velocity(0.4, X + h * e) - FIELD.velocity(0.4, X - h * e) for e in np.eye(2)[:, None]]
    np.testing.assert_allclose(exact.value, sum(p[:, k] for k, p in enumerate(parts)) / (2 * h), atol=1e-8)
    assert (exact.error == 0).all()
    drawn = likelihood.divergence(FIELD, 0.4, X, jax.random.key(1), probes=256)
    assert (jnp.abs(drawn.value - exact.value) < 4 * drawn.error).all()
    assert (drawn.error > 0).all()


@pytest.mark.slow
def test_log_density_of_an_exact_flow():
    found = likelihood.log_density(FIELD, X, SOURCE, 50)
    np.testing.assert_allclose(found.log_density, TARGET.log_prob(X), atol=1e-5)
    assert found.nfe == 200
    rough = likelihood.log_density(FIELD, X, SOURCE, 50, key=jax.random.key(2), probes=64)
    z = np.asarray((rough.log_density - TARGET.log_prob(X)) / rough.error)
    assert np.abs(z).max() < 4.5
    assert 0.6 < z.std() < 1.5
    np.testing.assert_allclose(rough.start, found.start, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_feynman_kac_covers_the_density(epsilon):
    x = X[1:9]
    found = likelihood.feynman_kac(FIELD, x, SOURCE, jax.random.key(3), epsilon, rollouts=512, steps=50)
    z = np.asarray((jnp.exp(found.log_density - TARGET.log_prob(x)) - 1) / found.error)
    assert np.abs(z).max() < 4
    assert 0.4 < z.std() < 1.8
    assert (found.error < 0.3).all()


@pytest.mark.slow
def test_density_of_an_inexact_field():
    """N(0, 1) to N(2, .25) with gamma^2 = t (1 - t), b + .3: X' = (V'/2V)(X - m) + m' + .3 is Gaussian with the exact
    variance, and its mean is off by .3 int Phi(1, t) dt, Phi(1, t) = (V_1/V_t)^(1/2)."""
    field = fields.exact(Linear(Brownian(1.0)), standard(1), gaussian([2.0], 0.25))
    t = np.linspace(0, 1, 4001)
    variance = (1 - t) ** 2 + 0.25 * t**2 + t * (1 - t)
    shift = np.trapezoid(0.3 * np.sqrt(0.25 / variance), t)
    x = jnp.asarray([[1.0], [2.0], [3.0]])
    found = likelihood.log_density(lambda t, x: field.velocity(t, x) + 0.3, x, standard(1), 100)
    np.testing.assert_allclose(found.log_density, norm(2 + shift, 0.5).logpdf(x[:, 0]), atol=1e-6)
    np.testing.assert_allclose(shift**2 / (2 * 0.25), 0.086482, atol=1e-5)  # the divergence that the sheet tells


@pytest.mark.slow
def test_many_dimensions_and_float32():
    d = 20
    field = fields.exact(Linear(), standard(d), gaussian(jnp.zeros(d), jnp.linspace(0.5, 2, d)))
    x = jnp.ones((3, d), jnp.float32)
    found = likelihood.log_density(field, x, standard(d, jnp.float32), 20)
    assert found.log_density.dtype == jnp.float32
    expected = norm(0, np.sqrt(np.linspace(0.5, 2, d))).logpdf(1).sum()
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-4)


@pytest.mark.slow
def test_refusals():
    with pytest.raises(ValueError, match="probes = 1"):
        likelihood.divergence(FIELD, 0.4, X, jax.random.key(0), probes=1)
    with pytest.raises(ValueError, match="rollouts = 1"):
        likelihood.feynman_kac(FIELD, X, SOURCE, jax.random.key(0), rollouts=1)
    with pytest.raises(ValueError, match="one each is needed"):
        likelihood.log_density(FIELD, X, lambda x: x, 2)
    points = fields.exact(Linear(), SOURCE, Empirical(X))
    with pytest.raises(ValueError, match=r"end the grid at 0\.9999"):
        likelihood.log_density(points, X, SOURCE, interval=(0, 1))
