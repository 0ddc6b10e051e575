"""What denoisers are made of, and how they are compared, without a study: against NumPy and the denoisers themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise
from lab.denoise import Images
from lab.denoise.images import pool
from lab.denoise.lineup import LOCAL, METHODS, OPTIMAL, WIENER, Design, Lineup
from lab.denoise.trial import trial
from lab.numerics import Reason, pure
from lab.numerics.statistics import mean_interval
from lab.studies.denoise.denoiser_comparison import COMPARISON, ERRORS, Comparison, ErrorTable

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, size=(14, 1, 11, 13), dtype=np.uint8)
LEVELS = jnp.asarray([3.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def tried():
    return trial(jnp.asarray(PIXELS[:12]), jnp.asarray(PIXELS[12:]), by=2, samples=3, level=3.0, seed=4)


@pytest.fixture(scope="module")
def lineup(tried):
    design = Design((1, 5, 6), (OPTIMAL, WIENER, LOCAL), "symmetric", "column", None, 3)
    return Lineup(tried.pixels, tried.spectrum, (), jnp.asarray(0.1), jnp.asarray(1), jnp.asarray(1.0), design)


def test_pooled_images_are_means_of_squares(tried):
    wanted = (PIXELS[:, :, :10, :12] / 127.5 - 1).reshape(14, 1, 5, 2, 6, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(pool(jnp.asarray(PIXELS), 2), wanted, atol=1e-12)
    np.testing.assert_allclose(tried.pixels, wanted[:12].reshape(12, 30), atol=1e-12)
    np.testing.assert_allclose(tried.clean, wanted[12:].reshape(2, 30), atol=1e-12)


def test_a_trial_has_noise_that_others_can_have_and_the_pattern_that_was_asked_for(tried):
    np.testing.assert_array_equal(tried.noise, np.random.default_rng(4).standard_normal((2, 30)))
    np.testing.assert_allclose(tried.start, 10**0.5 * np.random.default_rng([4, 1]).standard_normal((3, 30)))
    pattern = np.ones((1, 11, 13))
    images = jnp.asarray(PIXELS[:12]), jnp.asarray(PIXELS[12:])
    planted = trial(*images, by=2, samples=3, level=3.0, seed=4, strength=2.0, pattern=jnp.asarray(pattern))
    g = np.random.default_rng([4, 2]).standard_normal(14)
    np.testing.assert_allclose(planted.pattern, np.full(30, 30**-0.5))
    np.testing.assert_allclose(planted.pixels - tried.pixels, 2 * np.outer(g[:12], np.full(30, 30**-0.5)), atol=1e-12)


def test_the_spectrum_under_jit_is_that_of_the_host(tried):
    known = denoise.spectrum(Images(tried.pixels, (1, 5, 6)))
    found = jax.jit(denoise.dense_spectrum)(tried.pixels)
    np.testing.assert_allclose(found.values, known.values, atol=1e-12)
    np.testing.assert_allclose(found.wiener(0.7), known.wiener(0.7), atol=1e-10)
    np.testing.assert_allclose(found.trace, known.trace)


@pytest.mark.slow
def test_a_comparison_is_what_the_denoisers_give_at_each_level(tried, lineup):
    run = pure(COMPARISON, Comparison(lineup, tried.clean, tried.noise, tried.start, LEVELS, (1,)), max_iterations=2)
    assert run.reason == Reason.CONVERGED
    spectrum = denoise.spectrum(lineup.images)
    made = (
        denoise.Optimal(lineup.images),
        denoise.Wiener(spectrum, (1, 5, 6)),
        denoise.PCALocality(lineup.images, spectrum),
    )
    for level, sigma in enumerate((3.0, 0.5)):
        for k, denoiser in enumerate(made):
            noisy = tried.clean + sigma * tried.noise
            np.testing.assert_allclose(run.state.single[level, k], denoiser(noisy, sigma), atol=1e-9)
    for k, denoiser in enumerate(made):
        path = denoise.sample(denoiser, tried.start, LEVELS, keep=True).path
        np.testing.assert_allclose(run.state.path[:, k], path, atol=1e-9)
    np.testing.assert_array_equal(run.state.masks[0], made[2].mask(0.5))
    np.testing.assert_allclose(run.state.averaged[1], made[0].effective_size(tried.clean + 0.5 * tried.noise, 0.5))
    table = pure(ERRORS, ErrorTable(lineup, tried.clean, tried.noise, LEVELS[:2]), max_iterations=2).state
    errors = ((run.state.single - tried.clean[None, None]) ** 2).mean(axis=3)
    np.testing.assert_allclose(table.errors, errors, atol=1e-12)
    np.testing.assert_allclose(table.sizes, run.state.sizes)
    rows = lineup.rows(jnp.arange(3.0))
    assert [METHODS[k] for k in np.flatnonzero(np.isfinite(rows))] == [OPTIMAL, WIENER, LOCAL]


def test_agreement_is_that_of_single_images():
    estimates = jnp.asarray(RNG.normal(size=(3, 2, 5, 7)))
    found = denoise.agreement(estimates, estimates[2])
    np.testing.assert_allclose(found.r2[0, 1], denoise.r2(estimates[0, 1], estimates[2, 1]))
    np.testing.assert_allclose(found.mse[0, 1], denoise.mse(estimates[0, 1], estimates[2, 1]))
    np.testing.assert_allclose(found.pooled[0, 1], denoise.pooled_r2(estimates[0, 1], estimates[2, 1]))
    np.testing.assert_allclose(found.half[0, 1], mean_interval(found.r2[0, 1]).half)
    by_image = mean_interval(found.r2[0].mean(axis=0))
    np.testing.assert_allclose([found.mean[0], found.mean_half[0]], [by_image.mean, by_image.half])
    np.testing.assert_allclose(found.r2[2], 1)


def test_distance_from_the_nearest_image():
    x, images = RNG.normal(size=(4, 6)), RNG.normal(size=(9, 6))
    wanted = np.sqrt(((x[:, None] - images[None]) ** 2).mean(axis=2).min(axis=1))
    np.testing.assert_allclose(denoise.nearest_distance(jnp.asarray(x), jnp.asarray(images)), wanted, atol=1e-12)
