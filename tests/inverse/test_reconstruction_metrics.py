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


def test_how_far_the_nearest_training_image_is():
    images = RANDOM.normal(size=(30, 1, 3, 4))
    x = images[jnp.asarray([[4, 7], [2, 2]])] + 0.01 * RANDOM.normal(size=(2, 2, 1, 3, 4))
    apart = np.sqrt(((x[:, :, None] - images[None, None]) ** 2).mean(axis=(-3, -2, -1)))
    np.testing.assert_allclose(metrics.nearest(x, images), apart.min(axis=2), atol=1e-7)
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\), but the images have shape \(30, 1, 3, 4\)"):
        metrics.nearest(x[0, 0, 0], images)


def test_the_wasserstein_distance_of_few_samples():
    from scipy.optimize import linear_sum_assignment

    x, y = RANDOM.normal(size=(12, 1, 2, 3)), RANDOM.normal(size=(12, 1, 2, 3)) + 0.5
    costs = ((x[:, None] - y[None]) ** 2).mean(axis=(2, 3, 4))
    rows, columns = linear_sum_assignment(costs)
    np.testing.assert_allclose(metrics.wasserstein(x, y).value, np.sqrt(costs[rows, columns].mean()), rtol=1e-9)
    twice = metrics.wasserstein(x, np.concatenate([y, y]))
    np.testing.assert_allclose(twice.value, np.sqrt(costs[rows, columns].mean()), rtol=1e-9)
    assert float(metrics.wasserstein(x, x[::-1]).value) < 1e-6
    one = metrics.wasserstein(x[:1], y)
    np.testing.assert_allclose(one.value, np.sqrt(costs[0].mean()), rtol=1e-9)
    assert np.isnan(one.error)
    x[3] = np.nan
    with pytest.raises(ValueError, match="some samples are not finite"):
        metrics.wasserstein(x, y)


def test_the_error_of_the_wasserstein_distance_is_that_of_drawing_again():
    draws = [
        metrics.wasserstein(RANDOM.normal(size=(40, 2)), RANDOM.normal(size=(40, 2)) @ np.diag([2.0, 1.0]) + 1.0)
        for _ in range(150)
    ]
    spread = np.std([each.value for each in draws], ddof=1)
    assert np.mean([each.error for each in draws]) == pytest.approx(spread, rel=0.25)
