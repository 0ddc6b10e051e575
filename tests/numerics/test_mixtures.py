"""Gaussian mixtures: against scipy, automatic derivatives, quadrature and Gaussian conditioning written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lab.numerics.mixtures import Mixture, gaussian, standard, widened

WEIGHTS, MEANS = [0.3, 0.5, 0.2], [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]]
FULL = [[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]]
FORMS = {"isotropic": [0.2, 0.5, 0.3], "diagonal": [[0.2, 0.4], [0.5, 0.1], [0.3, 0.3]], "full": FULL}


@pytest.fixture(scope="module", params=FORMS)
def mixture(request):
    return Mixture(WEIGHTS, MEANS, FORMS[request.param])


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(0), (6, 2)) * 2


def test_density_score_and_responsibilities(mixture, x):
    full = np.asarray(widened(mixture.covariances, 3, 2))
    each = np.stack([w * multivariate_normal(m, c).pdf(x) for w, m, c in zip(WEIGHTS, MEANS, full, strict=True)])
    np.testing.assert_allclose(mixture.log_prob(x), np.log(each.sum(0)), rtol=1e-12)
    np.testing.assert_allclose(mixture.responsibilities(x).T, each / each.sum(0), rtol=1e-10, atol=1e-14)
    slope = jax.grad(lambda x: mixture.log_prob(x).sum())(x)
    np.testing.assert_allclose(mixture.score(x), slope, rtol=1e-10, atol=1e-12)


def test_samples_have_the_moments(mixture):
    moments = mixture.moments()
    drawn = mixture.sample(jax.random.key(3), 20_000)
    error = np.sqrt(np.diag(moments.covariance) / 20_000)
    assert (np.abs(drawn.mean(0) - moments.mean) < 4 * error).all()
    apart = np.asarray(drawn - moments.mean[None])
    products = apart[:, :, None] * apart[:, None, :]
    assert (np.abs(products.mean(0) - moments.covariance) < 4 * products.std(0) / 20_000**0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, [0.2, 0.6], [[0.5, 0.2], [0.2, 0.4]]])
def test_denoiser_by_quadrature(mixture, noise):
    scale, y = 0.7, jnp.asarray([[0.4, -0.3], [1.5, 0.8]])
    mean, log_density = mixture.denoise(y, scale, jnp.asarray(noise))
    line = np.linspace(-9, 9, 361)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    prior = np.exp(mixture.log_prob(jnp.asarray(grid))) * (line[1] - line[0]) ** 2
    c = np.asarray(widened(jnp.asarray(noise)[None], 3, 2))[0]
    for i in range(2):
        joint = prior * multivariate_normal(y[i], c).pdf(scale * grid)
        np.testing.assert_allclose(log_density[i], np.log(joint.sum()), rtol=1e-8)
        np.testing.assert_allclose(mean[i], joint @ grid / joint.sum(), rtol=1e-8)


def test_observation_is_conditioning(mixture):
    a, noise = jnp.asarray([[1.0, -0.5]]), jnp.asarray([[0.2]])
    y = jnp.asarray([0.6])
    after = mixture.observe(a, y, noise)
    x = jax.random.normal(jax.random.key(1), (5, 2))
    likelihood = multivariate_normal(0, 0.2).logpdf(np.asarray(x @ a[0]) - 0.6)
    joint = mixture.log_prob(x) + likelihood
    constant = joint - after.log_prob(x)  # the log-density of y, the same at every x
    np.testing.assert_allclose(constant, constant[0], atol=1e-12)
    np.testing.assert_allclose(after.weights.sum(), 1, rtol=1e-14)


def test_float32_and_batches():
    small = gaussian(jnp.zeros(3, jnp.float32), 2.0)
    assert small.covariances.dtype == jnp.float32
    assert small.log_prob(jnp.ones((2, 3), jnp.float32)).dtype == jnp.float32
    levels = jax.vmap(lambda v: gaussian(jnp.zeros(2), v).log_prob(jnp.zeros((1, 2)))[0])(jnp.asarray([1.0, 4.0]))
    np.testing.assert_allclose(levels, -np.log(2 * np.pi * np.asarray([1, 4])), rtol=1e-14)
    np.testing.assert_allclose(standard(2).moments().covariance, np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0]), "sum to 1.1"),
        (([0.5, 0.5], [[0.0], [1.0]], [1.0, -1.0]), "positive definite"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]), "eigenvalue -1"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [0.0, 9.0]]]), "not symmetric"),
        (([1.0], [[0.0, np.nan]], [1.0]), "finite"),
        (([1.0], [0.0], [1.0]), "a table"),
        (([1.0], [[0.0, 0.0]], [1.0, 1.0]), "covariances have shape"),
        (([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0]), "not negative"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mixture(*arguments)
