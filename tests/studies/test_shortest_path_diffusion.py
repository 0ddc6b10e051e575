"""The study of shortest-path diffusion, beyond the contract."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets
from lab.datasets import Data
from lab.diffusion import shortest, spectra
from lab.diffusion import shortest_sampling as back
from lab.studies.diffusion.shortest_path_diffusion import ShortestPathDiffusion

pytestmark = pytest.mark.slow
SHAPE = (6, 8)


@pytest.fixture(scope="module")
def default():
    return ShortestPathDiffusion().run()


@pytest.fixture(scope="module")
def coloured():
    """Few images in colour, no squares, with a spectrum of their own."""
    power = np.asarray(spectra.power_law(SHAPE, 0.8, 0.5, 2.0))
    rng = np.random.default_rng(0)
    fresh = np.fft.fft2(rng.normal(size=(30, 3, *SHAPE)), norm="ortho")
    pixels = np.fft.ifft2(np.sqrt(power) * fresh, norm="ortho").real.astype(np.float32)
    return Data(
        "mine", "Mine", "images", {"pixels": pixels, "held_out": np.arange(30) < 6, "power": power}, "a test", "none"
    )


@pytest.fixture(scope="module")
def few(coloured):
    return ShortestPathDiffusion(data=coloured, gamma=1.3, steps=12, few=4, drawn=9, known=20, image=31).run()


def test_the_numbers_are_those_of_the_library(default):
    given = datasets.load("photograph-tiles").arrays
    power = spectra.spectrum(jnp.asarray(given["pixels"][~given["held_out"]][:, 0] / 127.5 - 1)).ravel()
    ours = shortest.shortest(power, shortest.times(100))
    for at, corruption in enumerate((ours, shortest.cosine(100))):
        assert float(default.fisher_length[at]) == pytest.approx(
            float(shortest.length(corruption.spectra(power))), rel=1e-9
        )
        for sampler, variance in enumerate(("large", "small", "none")):
            found = back.outcome(power, corruption, variance)
            assert float(default.kl[at, sampler]) == pytest.approx(float(found.kl), rel=1e-8)
            assert float(default.w2sq[at, sampler]) == pytest.approx(float(found.w2_squared), rel=1e-8)
    at_gamma = default.sel(family="gamma").isel(place=13)
    assert float(at_gamma.family_value) == 2
    doubled = back.outcome(power, shortest.shortest(power, shortest.times(100), 2.0))
    assert float(at_gamma.family_kl[0]) == pytest.approx(float(doubled.kl), rel=1e-8)


def test_filled_up_clocks_change_nothing(default):
    at_100 = default.budget_kl.sel(budget=100)
    np.testing.assert_allclose(at_100, default.kl, rtol=1e-9)


def test_the_film_shows_the_image_and_smooth_noise(default):
    pixels = datasets.load("photograph-tiles").arrays["pixels"][45, 0] / 127.5 - 1
    film = default.film.isel(channel=0)
    for name in default.filmed.values:
        np.testing.assert_allclose(film.sel(part="signal", filmed=name).isel(frame=0), pixels, atol=0.01)
        assert float(np.abs(film.sel(part="noise", filmed=name).isel(frame=0)).max()) == 0
    middle = default.film.isel(frame=15, channel=0).sel(part="noise", filmed="by frequency").values
    power = np.abs(np.fft.fft2(middle, norm="ortho")) ** 2
    assert power[0, 1] > power[16, 8:24].mean()  # at first the noise is smooth


def test_the_signal_that_is_left_has_the_closed_form(default):
    power = float(default.measured[0])  # the mean of an image is one coefficient
    left = default.abar.sel(schedule="by frequency", radius=0)
    np.testing.assert_allclose(left, (1 - power ** (1 - left.t)) / (1 - power), atol=1e-12)


def test_a_spectrum_of_ones_own_colours_and_rectangles(few, coloured):
    power = jnp.asarray(coloured.arrays["power"]).ravel()
    assert few.film.sizes["channel"] == 3
    assert few.images.shape[-3:] == (3, *SHAPE)
    assert float(few.distance) == pytest.approx(float(np.sqrt((np.log(power) ** 2).sum() / 2)), rel=1e-9)
    ours = shortest.shortest(power, shortest.times(12), 1.3)
    assert float(few.error) == pytest.approx(float(back.outcome(power, ours).kl), rel=1e-8)
    assert float(few.length) > float(few.distance)
    np.testing.assert_allclose(
        few.film.sel(part="signal", filmed="cosine").isel(frame=0), coloured.arrays["pixels"][1], atol=0.01
    )  # 31 of 30 images, counted round


def test_the_path_moves_two_pixels_by_their_covariance(few):
    first, last = few.covariance.sel(way="shortest").values[[0, 15]]
    np.testing.assert_allclose(last, shortest.geodesic(jnp.asarray(first), jnp.eye(2), 0.5), atol=1e-9)
    np.testing.assert_allclose(few.covariance.sel(way="straight").values[15], (first + np.eye(2)) / 2, atol=1e-9)
    told = float(shortest.distance(jnp.asarray(first), jnp.eye(2)))
    assert float(few.way_length.sel(way="shortest")) == pytest.approx(told, rel=1e-9)
    np.testing.assert_allclose(few.gone.sel(way="shortest"), told * few.frame, rtol=1e-9, atol=1e-12)
    assert float(few.way_length.sel(way="straight")) > told


def test_images_that_lack_a_frequency_are_told_what_to_do(coloured):
    flat = np.repeat(coloured.arrays["pixels"][..., :1], SHAPE[1], axis=3)
    data = Data("flat", "Flat", "images", {"pixels": flat, "held_out": np.arange(30) < 6}, "a test", "none")
    with pytest.raises(ValueError, match=r"floor = 0\.0 is not allowed: .* since some frequencies have no power"):
        ShortestPathDiffusion(data=data).run()
    assert ShortestPathDiffusion(data=data, spectrum="law").limits(data) == {}


def test_in_principal_axes():
    run = ShortestPathDiffusion.preset("principal").but(steps=10, few=3, drawn=5, known=50).run()
    given = datasets.load("digit-images").arrays
    rows = given["pixels"][~given["held_out"]].reshape(-1, 64).astype(float)
    values = np.linalg.eigvalsh(rows.T @ rows / len(rows)) + 0.01
    assert float(run.distance) == pytest.approx(np.sqrt((np.log(values) ** 2).sum() / 2), rel=1e-6)
    empty = np.isnan(run.measured.values)  # no axis has the frequency 0, or the largest: nothing is said of these
    np.testing.assert_array_equal(empty, [True, *[False] * 4, True, True])
    np.testing.assert_array_equal(np.isnan(run.abar.values).any(axis=(0, 1)), empty)


def test_a_file_with_a_spectrum(tmp_path, coloured):
    np.savez(tmp_path / "mine.npz", power=coloured.arrays["power"])
    study = ShortestPathDiffusion(data=tmp_path / "mine.npz")
    data = study.load()
    assert data.arrays["pixels"].shape == (256, 1, *SHAPE)
    assert "drawn from the Gaussian" in data.said
    measured = spectra.spectrum(jnp.asarray(data.arrays["pixels"][:, 0], float))
    np.testing.assert_allclose(measured, coloured.arrays["power"], rtol=5 * np.sqrt(2 / 256))
    np.savez(tmp_path / "bad.npz", power=np.arange(1.0, 13.0).reshape(3, 4))
    with pytest.raises(ValueError, match="differs between f and -f"):
        ShortestPathDiffusion(data=tmp_path / "bad.npz").load()
