"""Damages by name, and posteriors in closed form beside independent ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse import beds
from lab.numerics.mixtures import Mixture

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(5)
PIXELS = jnp.asarray(RNG.uniform(-1, 1, (40, 36)) * np.linspace(0.2, 1, 36))
SPECTRUM = denoise.dense_spectrum(PIXELS)
CLEAN = jnp.asarray(RNG.uniform(-1, 1, (3, *SHAPE)))


def measured(name, noise=0.3):
    made = beds.damage(name, SHAPE, beds.Extent(), jax.random.key(4))
    return inverse.measure(made, CLEAN, noise, jax.random.key(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", beds.LINEAR)
def test_the_gaussian_posterior_is_that_of_a_mixture_of_one(name):
    given = measured(name)
    found = beds.gaussian_posterior(given, SPECTRUM)
    s = (SPECTRUM.vectors * SPECTRUM.values[None]) @ SPECTRUM.vectors.T
    prior = Mixture(jnp.ones(1), SPECTRUM.mean[None], s[None])
    for image in range(3):
        law = inverse.posterior(inverse.problem(given.operator, given.y[image], 0.3), prior)
        np.testing.assert_allclose(found.mean[image], law.means[0], atol=1e-9)
        np.testing.assert_allclose(found.deviation[image] ** 2, jnp.diagonal(law.covariances[0]), atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "clip",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("random mask", "magnetic resonance", "phase retrieval", "blur of light")
        ),
    ],
)
def test_the_posterior_of_the_images_themselves_by_numpy(name):
    given = measured(name, 0.9)
    found = beds.empirical_posterior(given, PIXELS)
    seen = np.stack([np.asarray(given.operator(x.reshape(SHAPE))).ravel() for x in PIXELS])
    for image in range(3):
        logits = -np.sum(np.abs(seen - np.asarray(given.y[image]).ravel()) ** 2, axis=1) / (2 * 0.9**2)
        w = np.exp(logits - logits.max())
        w /= w.sum()
        np.testing.assert_allclose(found.weights[image], w, atol=1e-12)
        np.testing.assert_allclose(found.mean[image], w @ np.asarray(PIXELS), atol=1e-12)
        spread = np.sqrt(w @ (np.asarray(PIXELS) - w @ np.asarray(PIXELS)) ** 2)
        np.testing.assert_allclose(found.deviation[image], spread, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random mask", "magnetic resonance", "average"])
def test_samples_have_the_mean_and_the_covariance_of_the_posterior(name):
    given = measured(name)
    found = beds.gaussian_posterior(given, SPECTRUM)
    drawn = np.asarray(beds.posterior_samples(given, SPECTRUM, 1, jax.random.key(2), 20_000))
    mean, deviation = np.asarray(found.mean[1]), np.asarray(found.deviation[1])
    assert np.abs((drawn.mean(axis=0) - mean) / deviation).max() < 5 / 20_000**0.5
    np.testing.assert_allclose(drawn.std(axis=0) / deviation, 1, atol=0.03)


@pytest.mark.slow
def test_the_law_of_one_pixel():
    given, edges = measured("random mask"), jnp.linspace(-8, 8, 65)
    gauss, own = beds.gaussian_posterior(given, SPECTRUM), beds.empirical_posterior(given, PIXELS)
    drawn = np.asarray(beds.posterior_samples(given, SPECTRUM, 0, jax.random.key(7), 20_000))[:, 11]
    counts = np.histogram(drawn, edges)[0] / 20_000
    np.testing.assert_allclose(beds.pixel_law(gauss, PIXELS, 0, 11, edges), counts, atol=0.02)
    wanted = np.histogram(PIXELS[:, 11], edges, weights=own.weights[0])[0]
    np.testing.assert_allclose(beds.pixel_law(own, PIXELS, 0, 11, edges), wanted, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part", "values"),
    [
        ("random mask", "seen", (0.2, 0.7)),
        ("magnetic resonance", "seen", (0.3, 0.7)),
        ("box", "hole", (0.3, 0.6)),
        ("strokes", "hole", (0.3, 0.9)),
        ("blur", "width", (0.5, 2.0)),
        ("clip", "gain", (1.0, 3.0)),
    ],
)
def test_the_extent_is_traced(name, part, values):
    def apply(value):
        return beds.damage(name, SHAPE, beds.Extent(**{part: value}), jax.random.key(4)).apply(CLEAN[0])

    swept = jax.vmap(apply)(jnp.asarray(values))
    for value, found in zip(values, swept, strict=True):
        np.testing.assert_allclose(found, apply(value), atol=1e-12)
    assert float(jnp.abs(swept[0] - swept[1]).max()) > 1e-3


def test_how_much_is_damaged():
    shares = {
        "random mask": beds.damage("random mask", SHAPE, beds.Extent(seen=0.25), jax.random.key(0)).seen.mean(),
        "box": beds.damage("box", SHAPE, beds.Extent(hole=0.5), jax.random.key(0)).seen.mean(),
        "magnetic resonance": beds.damage(
            "magnetic resonance", SHAPE, beds.Extent(seen=0.5), jax.random.key(0)
        ).seen.mean(),
    }
    assert {name: float(share) for name, share in shares.items()} == pytest.approx(
        {"random mask": 0.25, "box": 0.75, "magnetic resonance": 0.5}
    )
    assert beds.damage("average", SHAPE, beds.Extent(factor=3), jax.random.key(0)).outputs == (1, 2, 2)


def test_a_damage_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="scratch"):
        beds.damage("scratch", SHAPE, beds.Extent(), jax.random.key(0))
    with pytest.raises(ValueError, match="axis of images"):
        beds.gaussian_posterior(inverse.problem(inverse.Identity(SHAPE), CLEAN[0], 0.1), SPECTRUM)
