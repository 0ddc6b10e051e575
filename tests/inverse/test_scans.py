"""Scans of volumes whose views are traced, and what is made of them slice by slice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse import mbir, scans, tomography
from lab.numerics.mixtures import Mixture

RANDOM = np.random.default_rng(0)
SHAPE = (3, 8, 8)
VOLUME = jnp.asarray(RANDOM.random(SHAPE))
KEY = jax.random.key(0)


def test_a_batch_of_images_loses_no_pixel_where_a_line_meets_one():
    """At 45 degrees places fall on pixels: of two roundings of one place, one may be in the next pixel."""
    from scipy.ndimage import map_coordinates

    n = 24
    made, x = inverse.Radon((1, n, n), [45.0, 135.0]), RANDOM.random((1, n, n))
    i, j = np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2, indexing="ij")
    wanted = []
    for turn in np.deg2rad([45.0, 135.0]):
        at = np.cos(turn) * i - np.sin(turn) * j + n // 2, np.cos(turn) * j + np.sin(turn) * i + n // 2
        wanted.append(map_coordinates(x[0], at, order=1, mode="grid-constant").sum(axis=0))
    whole = np.stack(wanted, axis=1).ravel()
    np.testing.assert_allclose(np.asarray(made.matrix()) @ x.ravel(), whole, atol=1e-9)
    np.testing.assert_allclose(np.asarray(inverse.radon((1, n, n), [45.0, 135.0])(x)).ravel(), whole, atol=1e-9)
    few = tomography.views((1, n, n), 2)[0]  # 0 and 90 degrees
    np.testing.assert_allclose(few(x)[0, :, 0], x[0].sum(axis=0), atol=1e-9)


@pytest.mark.slow
def test_views_are_those_of_their_number_and_the_others_measure_nothing():

    @jax.jit
    def looked(count, span):
        made, angles = tomography.views(SHAPE, count, span, most=7)
        seen = made(VOLUME)
        return seen, angles, made.norm(), made.normal(VOLUME), inverse.filtered_backprojection(seen, angles)

    for count, span in ((1, 180.0), (5, 180.0), (4, 60.0)):
        seen, angles, norm, normal, image = map(np.asarray, looked(jnp.asarray(count), span))
        usual = inverse.Radon(SHAPE, np.arange(count) * span / count)
        matrix, of_usual = np.asarray(usual.matrix()), np.asarray(usual(VOLUME))
        np.testing.assert_allclose(matrix @ np.ravel(VOLUME), of_usual.ravel(), atol=1e-10)
        np.testing.assert_allclose(seen[..., :count], of_usual, atol=1e-10)
        assert np.abs(seen[..., count:]).max(initial=0) == 0
        np.testing.assert_allclose(angles[:count], np.arange(count) * span / count)
        assert np.isnan(angles[count:]).all()
        assert float(norm) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)
        np.testing.assert_allclose(normal.ravel(), matrix.T @ of_usual.ravel(), atol=1e-9)
        np.testing.assert_allclose(image, inverse.filtered_backprojection(of_usual, angles[:count]), atol=1e-10)


def test_the_number_of_views_is_traced():
    traced = jax.vmap(lambda count: tomography.views(SHAPE, count, most=7)[0].apply(VOLUME))(jnp.asarray([2, 5]))
    for got, count in zip(traced, (2, 5), strict=True):
        np.testing.assert_allclose(got, tomography.views(SHAPE, count, most=7)[0].apply(VOLUME), atol=1e-12)
    counts = jax.vmap(lambda by: inverse.lines(KEY, (8, 8), by)[0].sum())(jnp.asarray([1.0, 2.0, 4.0]))
    assert counts.tolist() == [8, 4, 2]


@pytest.mark.slow
@pytest.mark.parametrize("scanner", ["sparse views", "limited angle", "MRI"])
def test_least_norm_and_the_most_probable_slices(scanner):
    """Against the pseudo-inverse, and the posterior of a Gaussian, which is a linear solve of another kind."""
    given = scans.scan(VOLUME, scanner, KEY, count=4, span=70.0, noise=0.05)
    np.testing.assert_allclose(scans.least_norm(given), given.problem.operator.pinv(given.problem.y), atol=1e-8)
    slices = RANDOM.random((300, 64)) @ np.diag(np.linspace(0.1, 1, 64))
    spectrum = denoise.dense_spectrum(jnp.asarray(slices))
    prior = Mixture(jnp.ones(1), jnp.asarray(slices.mean(0))[None], jnp.asarray(np.cov(slices.T))[None])
    one = (
        inverse.MaskedFourier((1, 8, 8), given.seen)
        if scanner == "MRI"
        else inverse.Dense(given.problem.operator.weights, (1, 8, 8), (8, 64))
    )
    noise = max(float(given.problem.noise), scans.RIDGE**0.5)
    found = scans.most_probable(given, spectrum)
    for k in range(3):
        y = given.problem.y[k][None] if scanner == "MRI" else given.problem.y[k]
        wanted = inverse.posterior(inverse.problem(one, y, noise), prior).means[0]
        np.testing.assert_allclose(found[k].ravel(), wanted, atol=1e-8)


@pytest.mark.slow
def test_noise_is_a_share_of_what_is_measured():
    big = jnp.asarray(RANDOM.random((40, 8, 8)))
    for scanner in ("sparse views", "MRI"):
        clean, noisy = (scans.scan(big, scanner, KEY, noise=noise).problem for noise in (0.0, 0.1))
        seen = jnp.abs(clean.y) > 0
        size = jnp.sqrt((jnp.abs(clean.y) ** 2).sum() / seen.sum())
        off = jnp.sqrt((jnp.abs(noisy.y - clean.y) ** 2).sum() / seen.sum())
        assert float(off / size) == pytest.approx(0.1, rel=0.06)
        assert bool((noisy.y[~seen] == 0).all())
    assert scans.scan(big, "MRI", KEY).angles is None
    with pytest.raises(ValueError, match="scanner = 'PET', but it must be one of"):
        scans.scan(big, "PET", KEY)


@pytest.mark.slow
def test_quality_is_that_of_scikit_image_less_planes_without_content():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    truth = RANDOM.random((9, 10, 10))
    truth[:, 0] = 0.25  # a coronal plane with nothing in it
    x = np.clip(truth + 0.1 * RANDOM.normal(size=truth.shape), 0, 1)
    x[:, 0] = 0.25
    given = scans.scan(jnp.asarray(truth), "sparse views", KEY)
    found = scans.quality(jnp.asarray(x)[None], jnp.asarray(truth), given.problem)
    span = np.ptp(truth)
    for axis in range(3):
        pairs = [(truth.take(k, axis), x.take(k, axis)) for k in range(truth.shape[axis])]
        pairs = [pair for pair in pairs if np.ptp(pair[0]) > 0]
        decibels = np.mean([peak_signal_noise_ratio(*pair, data_range=span) for pair in pairs])
        alike = np.mean([structural_similarity(*pair, data_range=span) for pair in pairs])
        np.testing.assert_allclose([found.psnr[0, axis], found.ssim[0, axis]], [decibels, alike], rtol=1e-9)
    assert len(pairs) == 10
    np.testing.assert_allclose(found.psnr[0, 3], peak_signal_noise_ratio(truth, x, data_range=span), rtol=1e-9)
    np.testing.assert_allclose(found.variation[0], np.abs(np.diff(x, axis=0)).mean())
    y = np.asarray(given.problem.y)
    left = np.linalg.norm(np.asarray(given.problem.operator(x)) - y) / np.linalg.norm(y)
    np.testing.assert_allclose(found.residual[0], left)
    thin = scans.quality(
        jnp.asarray(x)[None, :5], jnp.asarray(truth)[:5], scans.scan(jnp.asarray(truth)[:5], "MRI", KEY).problem
    )
    assert np.isfinite(np.asarray(thin.ssim[0])).tolist() == [True, False, False]  # no window fits into five slices


def test_unrelated_slices_are_as_rough_as_they_are_said_to_be():
    slices = RANDOM.normal(size=(4000, 64)) * np.linspace(0.1, 0.5, 64) + 1.0
    spectrum = denoise.dense_spectrum(jnp.asarray(slices))
    noisy = slices + 0.3 * RANDOM.normal(size=slices.shape)
    rough = float(mbir.differences(jnp.asarray(noisy).reshape(-1, 8, 8))[:-1].std()) / 2**0.5
    assert float(scans.unrelated(spectrum, 0.3)) == pytest.approx(rough, rel=0.01)


@pytest.mark.slow
def test_the_corrector_has_its_two_places():
    """At the level of a step, as released, or at the next: written out for one level to the next, of a Gaussian."""
    values = jnp.asarray([4.0, 1.0, 0.25, 0.05])
    prior = denoise.Wiener(denoise.Spectrum(jnp.zeros(4), values, jnp.eye(4), values.sum()), (1, 2, 2))
    given = inverse.problem(inverse.Identity((1, 2, 2)), jnp.zeros((1, 2, 2)), 0.1)
    keys = jax.vmap(lambda seed: jax.random.fold_in(KEY, seed))(jnp.arange(1))
    one, two = (np.asarray(mbir.normal(keys, jnp.int32(0), what, 4, jnp.float64))[0] for what in (0, 1))
    start = 3.0 * np.asarray(mbir.normal(keys, jnp.int32(2**30), 0, 4, jnp.float64))[0]
    scale = np.asarray(values)
    x = start - (9 - 0.25) * start / (scale + 9) + np.sqrt(9 - 0.25) * one
    ends = []
    for corrector, level in (("next", 0.5), ("same", 3.0), ("none", None)):
        method = inverse.MBIR(lam=0.0, steps=2, sigma_max=3.0, sigma_min=0.5, admm=0, corrector=corrector, snr=0.2)
        found = inverse.solve(given, inverse.Slices(prior, 1), method, key=KEY, keep=True)
        wanted = x
        if level is not None:
            score = -x / (scale + level**2)
            size = 2 * (0.2 * np.linalg.norm(two) / np.linalg.norm(score)) ** 2
            wanted = x + size * score + np.sqrt(2 * size) * two
        np.testing.assert_allclose(found.path[0, 0].ravel(), wanted, atol=1e-10)
        ends.append(wanted)
    assert np.abs(ends[0] - ends[1]).max() > 1e-3
    with pytest.raises(ValueError, match="corrector = 'both', but it must be one of 'next', 'same', 'none'"):
        inverse.MBIR(corrector="both")
