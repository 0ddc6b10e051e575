"""Problems and their posteriors, against plain linear algebra, quadrature and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lab import inverse
from lab.inverse import spectral
from lab.paths import Mixture

RANDOM = np.random.default_rng(0)


def covariance(d, seed):
    half = np.random.default_rng(seed).normal(size=(d, d))
    return half @ half.T / d + 0.2 * np.eye(d)


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        inverse.Mask(inverse.scattered(jax.random.key(0), (2, 3), 0.5), (1, 2, 3)),
        inverse.Blur((1, 2, 3), inverse.uniform(1)),
        inverse.MaskedFourier((1, 2, 3), inverse.scattered(jax.random.key(1), (2, 3), 0.7)),
        inverse.Dense(RANDOM.normal(size=(4, 6)), (1, 2, 3)),
    ],
    ids=["mask", "blur", "fourier", "dense"],
)
def test_the_posterior_of_a_gaussian_prior_is_the_regularized_least_squares_answer(made):
    m, s, noise = RANDOM.normal(size=6), covariance(6, 1), 0.3
    prior = Mixture([1.0], m[None], s[None])
    given = inverse.measure(made, m.reshape(1, 2, 3) + 0.5, noise, jax.random.key(2))
    found = inverse.posterior(given, prior)
    y = np.asarray(given.y)
    y = np.concatenate([y.real.ravel(), y.imag.ravel()]) if made.is_complex else y.ravel()
    h = np.asarray(made.matrix())
    precision = h.T @ h / noise**2 + np.linalg.inv(s)
    mean = np.linalg.solve(precision, h.T @ y / noise**2 + np.linalg.solve(s, m))
    np.testing.assert_allclose(found.means[0], mean, atol=1e-10)
    np.testing.assert_allclose(found.covariances[0], np.linalg.inv(precision), atol=1e-10)
    rows = np.tile(np.ravel(getattr(made, "seen", np.ones(made.outputs))) > 0, 2 if made.is_complex else 1)
    told = scipy.stats.multivariate_normal(h[rows] @ m, h[rows] @ s @ h[rows].T + noise**2 * np.eye(rows.sum()))
    np.testing.assert_allclose(float(inverse.evidence(given, prior)), told.logpdf(y[rows]), rtol=1e-9)


def test_the_posterior_of_a_mixture_is_what_quadrature_says():
    prior = Mixture([0.3, 0.7], [[-1.0, 0.5], [1.0, 0.0]], [[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.5]]])
    made, noise = inverse.Dense([[1.0, -0.5]], (2,)), 0.4
    given = inverse.problem(made, [0.3], noise)
    side = np.linspace(-5, 5, 801)
    x = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    likelihood = scipy.stats.norm(0.3, noise).pdf(x @ np.array([1.0, -0.5]))
    joint = np.exp(np.asarray(prior.log_prob(jnp.asarray(x)))) * likelihood
    cell = (side[1] - side[0]) ** 2
    np.testing.assert_allclose(float(inverse.evidence(given, prior)), np.log(joint.sum() * cell), rtol=1e-6)
    moments = inverse.posterior(given, prior).moments()
    mean = (joint[:, None] * x).sum(0) / joint.sum()
    np.testing.assert_allclose(moments.mean, mean, atol=1e-6)
    apart = x - mean
    np.testing.assert_allclose(moments.covariance, (joint[:, None] * apart).T @ apart / joint.sum(), atol=1e-6)


def test_measurements_have_noise_where_something_is_seen():
    mask = inverse.Mask(inverse.scattered(jax.random.key(0), (50, 50), 0.5), (1, 50, 50))
    given = inverse.measure(mask, jnp.ones((1, 50, 50)), 0.2, jax.random.key(1))
    off = np.asarray(given.y - mask.apply(jnp.ones((1, 50, 50))))
    assert (off[~np.asarray(mask.seen)] == 0).all()
    assert off[np.asarray(mask.seen)].std() == pytest.approx(0.2, rel=0.06)
    np.testing.assert_allclose(given.misfit(jnp.ones((3, 1, 50, 50))), (off**2).sum())
    fourier = inverse.MaskedFourier((1, 50, 50), jnp.ones((50, 50), bool))
    given = inverse.measure(fourier, jnp.zeros((1, 50, 50)), 0.2, jax.random.key(1))
    assert np.asarray(given.y.real).std() == pytest.approx(0.2, rel=0.06)
    assert np.asarray(given.y.imag).std() == pytest.approx(0.2, rel=0.06)


def test_what_a_mask_hides_is_not_read():
    """Also where it comes after another operator: NaN there is no measurement, and the evidence is that of what is seen."""
    blur = inverse.Blur((1, 4, 4), inverse.gaussian(0.6, 3))
    mask = inverse.Mask(inverse.scattered(jax.random.key(3), (4, 4), 0.5), (1, 4, 4))
    s = RANDOM.normal(size=(16, 16))
    prior, seen = Mixture([1.0], [RANDOM.normal(size=16)], [s @ s.T / 16]), np.asarray(mask.seen).ravel()
    for made in (mask, mask @ blur):
        given = inverse.measure(made, jnp.asarray(RANDOM.normal(size=(1, 4, 4))), 0.3, jax.random.key(0))
        assert (np.asarray(given.y).ravel()[~seen] == 0).all()
        told = inverse.problem(made, np.where(seen.reshape(1, 4, 4), given.y, np.nan), 0.3)
        np.testing.assert_array_equal(told.y, given.y)
        h = np.asarray(made.matrix())[seen]
        law = scipy.stats.multivariate_normal(
            h @ prior.means[0], h @ prior.covariances[0] @ h.T + 0.09 * np.eye(seen.sum())
        )
        found = float(inverse.evidence(told, prior))
        np.testing.assert_allclose(found, law.logpdf(np.asarray(given.y).ravel()[seen]), rtol=1e-9)


@pytest.mark.slow
def test_where_solvers_begin():
    x = jnp.asarray(RANDOM.normal(size=(1, 4, 4)))
    matrix = inverse.Dense(RANDOM.normal(size=(16, 16)), (1, 4, 4))
    np.testing.assert_allclose(inverse.measure(matrix, x, 0.0, jax.random.key(0)).start(), x, atol=1e-9)
    blur = inverse.Blur((1, 4, 4), inverse.gaussian(0.5, 3))  # whose pseudo-inverse would make a picture of the noise
    y = blur(x)
    behind = inverse.Mask(jnp.ones((4, 4), bool), (1, 4, 4)) @ blur
    for made in (blur, behind, spectral.prepared(behind)):
        np.testing.assert_allclose(inverse.problem(made, y, 0.1).start(), blur.adjoint(y) / blur.norm() ** 2, atol=1e-9)
    assert (inverse.problem(inverse.Clip((1, 4, 4)), jnp.ones((1, 4, 4)), 0.1).start() == 0).all()
    large = inverse.Radon((1, 60, 60), np.arange(0, 180, 9.0))
    y = large(jnp.ones((1, 60, 60)))
    begun = inverse.problem(large, y, 0.1)
    np.testing.assert_allclose(begun.start(), large.adjoint(y) / large.norm() ** 2, rtol=1e-9)


def test_bad_measurements_are_refused_in_a_sentence():
    made = inverse.Identity((1, 2, 2))
    for y, noise, sentence in (
        (np.ones((2, 2)), 0.1, r"y has shape \(2, 2\), but the operator gives \(1, 2, 2\)"),
        (np.array([[[1, np.nan], [np.inf, 1]]]), 0.1, "y has 2 values that are not finite"),
        (np.ones((1, 2, 2)), -0.1, "noise = -0.1, but it is one standard deviation"),
        (np.ones((1, 2, 2)) * 1j, 0.1, "y is complex"),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.problem(made, y, noise)
    prior = Mixture([1.0], np.zeros((1, 4)), [1.0])
    with pytest.raises(ValueError, match="needs noise above 0"):
        inverse.posterior(inverse.problem(made, np.ones((1, 2, 2)), 0.0), prior)
    with pytest.raises(ValueError, match="linear operators only"):
        inverse.posterior(inverse.problem(inverse.Clip((1, 2, 2)), np.ones((1, 2, 2)), 0.1), prior)
    with pytest.raises(ValueError, match="the prior has dimension 4"):
        inverse.posterior(inverse.problem(inverse.Identity((5,)), np.ones(5), 0.1), prior)
