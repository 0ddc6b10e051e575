"""Denoisers given a measurement, against the mixture's own conditioning and against draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.diffusion.conditional import conditional
from lab.numerics.mixtures import Mixture

RNG = np.random.default_rng(3)
HALF = RNG.normal(size=(3, 4, 4))
PRIOR = Mixture([0.2, 0.5, 0.3], RNG.normal(size=(3, 4)), HALF @ HALF.swapaxes(1, 2) / 4 + 0.1 * np.eye(4))
A = RNG.normal(size=(2, 4))
SIGMA = 0.3
Y = RNG.normal(size=(5, 2))


@pytest.fixture(scope="module")
def made():
    found = conditional(PRIOR, A, SIGMA)
    return found, found.given(jnp.asarray(Y))


def row(given, i):
    return jax.tree.map(lambda each: each[i], given)


@pytest.mark.slow
def test_each_y_has_the_posterior_of_the_mixture(made):
    found, given = made
    x = jnp.asarray(RNG.normal(size=(6, 4)))
    for i in (0, 3):
        law = PRIOR.observe(jnp.asarray(A), jnp.asarray(Y[i]), SIGMA**2 * jnp.eye(2))
        np.testing.assert_allclose(found.mean(given)[i], law.moments().mean, atol=1e-10)
        np.testing.assert_allclose(found.variance(given)[i], jnp.trace(law.moments().covariance), atol=1e-10)
        own = found(row(given, i))
        for a, s in ((0.9, 0.2), (0.05, 0.999)):
            wanted, density = law.denoise(x, a, s**2)
            np.testing.assert_allclose(own(x, jnp.asarray(a), jnp.asarray(s)), wanted, atol=1e-10)
            np.testing.assert_allclose(own.log_density(x, a, s), density, atol=1e-10)
        np.testing.assert_allclose(own.log_density(x), law.log_prob(x), atol=1e-9)
        np.testing.assert_allclose(found.law(row(given, i)).log_prob(x), law.log_prob(x), atol=1e-9)


def test_posterior_covariances_do_not_depend_on_y(made):
    found, given = made
    first, second = (found.law(row(given, i)).covariances for i in (0, 4))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_weights_are_those_of_samples_near_y():
    """By rejection: among draws of x and y those whose y is near."""
    prior = Mixture([0.4, 0.6], [[-1.0], [1.0]], [0.09, 0.25])
    x = prior.sample(jax.random.key(0), 400_000)[:, 0]
    y = x + 0.5 * jax.random.normal(jax.random.key(1), x.shape)
    near = np.asarray(x)[np.abs(np.asarray(y) - 0.2) < 0.02]
    found = conditional(prior, jnp.eye(1), 0.5)
    given = found.given(jnp.asarray([[0.2]]))
    assert float(found.mean(given)[0, 0]) == pytest.approx(near.mean(), abs=4 * near.std() / len(near) ** 0.5)
    assert float(found.variance(given)[0]) == pytest.approx(near.var(), rel=0.05)


def test_draws_are_of_the_posterior(made):
    found, given = made
    many = jax.tree.map(lambda each: jnp.repeat(each[1:2], 20_000, axis=0), given)
    draws = np.asarray(found.sample(jax.random.key(2), many))
    law = found.law(row(given, 1)).moments()
    np.testing.assert_allclose(draws.mean(axis=0), law.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(draws.T), law.covariance, atol=0.06)


def test_what_does_not_fit_is_refused(made):
    with pytest.raises(ValueError, match="rows of 2 numbers are needed"):
        made[0].given(jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"a matrix \(m, 4\) is needed"):
        conditional(PRIOR, np.ones((2, 3)), 0.1)
    for noise in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="noise must be greater than 0"):
            conditional(PRIOR, A, noise)
    with pytest.raises(ValueError, match="positive definite"):
        conditional(Mixture([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]), np.eye(2), 0.1)
