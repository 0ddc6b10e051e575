"""Metrics of images, against scikit-image and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.inverse import mbir, metrics

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.uniform(-1, 1, (2, 14, 17))
X = TRUTH + 0.2 * RANDOM.normal(size=(3, 2, 14, 17))


def test_psnr_and_ssim_are_scikit_images():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    ours = metrics.psnr(X, TRUTH)
    np.testing.assert_allclose(ours, [peak_signal_noise_ratio(TRUTH, x, data_range=2) for x in X], rtol=1e-12)
    theirs = [np.mean([structural_similarity(a, b, data_range=2) for a, b in zip(TRUTH, x, strict=True)]) for x in X]
    np.testing.assert_allclose(metrics.ssim(X, TRUTH), theirs, rtol=1e-9)
    assert float(metrics.ssim(TRUTH, TRUTH)) == pytest.approx(1)
    with pytest.raises(ValueError, match="windows of 7 x 7 must fit in"):
        metrics.ssim(X[..., :5], TRUTH[..., :5])


def test_planes_are_means_of_slices():
    truth = TRUTH[0][None] * np.ones((4, 1, 1))
    x = truth + 0.1 * RANDOM.normal(size=truth.shape)
    span = truth.max() - truth.min()
    found = mbir.planes(jnp.asarray(x), truth)
    for axis, value in enumerate(found[:3]):
        others = tuple(k for k in range(3) if k != axis)
        np.testing.assert_allclose(
            value, (10 * np.log10(span**2 / ((x - truth) ** 2).mean(axis=others))).mean(), rtol=1e-9
        )
    np.testing.assert_allclose(found.volume, 10 * np.log10(span**2 / ((x - truth) ** 2).mean()), rtol=1e-9)


def test_spread_coverage_distance_and_means():
    samples = jax.random.normal(jax.random.key(0), (4000, 50))
    truth = jax.random.normal(jax.random.key(1), (50,))
    np.testing.assert_allclose(metrics.spread(samples), np.std(samples, axis=0, ddof=1), rtol=1e-12)
    inside = np.abs(truth) < 1.2816  # of a normal law four fifths
    assert float(metrics.coverage(samples, truth, 0.8)) == pytest.approx(inside.mean(), abs=0.05)
    np.testing.assert_allclose(
        metrics.distance(samples[:3], truth, (50,)), np.sqrt(((samples[:3] - truth[None]) ** 2).mean(1))
    )
    found = metrics.mean([1.0, 2.0, 6.0])
    assert (float(found.value), float(found.error)) == (3.0, pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5))
    assert np.isnan(metrics.mean([1.0]).error)
