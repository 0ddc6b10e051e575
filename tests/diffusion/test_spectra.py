"""Spectra of images: closed forms, SciPy's transforms and its fit, bases of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy import fft

from lab.diffusion import shortest, spectra
from lab.diffusion import shortest_sampling as back

SHAPE = (6, 5)


@pytest.fixture(scope="module")
def images():
    """Neither white nor the same in both directions, with a mean."""
    rng = np.random.default_rng(0)
    return jnp.asarray(np.cumsum(rng.normal(size=(40, *SHAPE)), axis=2) + 0.3)


@pytest.fixture(scope="module")
def own():
    return jnp.asarray(np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0])


def test_the_sheets_spectrum():
    power = np.asarray(spectra.power_law((32, 32)))
    assert power.min() == pytest.approx(0.0031031, rel=1e-4)
    assert power[0, 0] == power.max() == pytest.approx(21498.1, rel=1e-5)
    assert (power > 1).sum() == 5
    assert np.sqrt((np.log(power) ** 2).sum() / 2) == pytest.approx(101.29639, rel=1e-7)
    assert power[3, 30] == pytest.approx(1.59 / (0.0086 + np.hypot(3, 2)) ** 2, rel=1e-12)


def test_images_that_are_no_squares_have_one_spectrum_in_all_directions():
    power = np.asarray(spectra.power_law((16, 32)))
    assert power[1, 0] == pytest.approx(power[0, 2], rel=1e-12)  # as many periods a pixel
    assert power[0, 0] == np.asarray(spectra.power_law((16, 32), basis="dct"))[0, 0]
    cosines = spectra.radii((16, 32), "dct").reshape(16, 32)
    assert cosines[0, 2] == pytest.approx(spectra.radii((16, 32)).reshape(16, 32)[0, 1], rel=1e-12)


@pytest.mark.parametrize("basis", ["fft", "dct", "own"])
def test_a_basis_keeps_norms_and_gives_the_images_back(images, own, basis):
    basis = own if basis == "own" else basis
    rows = spectra.coefficients(images, basis)
    np.testing.assert_allclose(jnp.sum(rows**2), (images**2).sum(), rtol=1e-12)  # Parseval
    np.testing.assert_allclose(spectra.composed(rows, SHAPE, basis), images, atol=1e-12)


def test_bases_are_those_of_scipy(images, own):
    np.testing.assert_allclose(
        np.reshape(spectra.coefficients(images, "dct"), images.shape),
        fft.dctn(images, axes=(1, 2), norm="ortho"),
        atol=1e-12,
    )
    whole = fft.fft2(images, norm="ortho")
    found = np.reshape(spectra.coefficients(images, "fft"), images.shape)
    np.testing.assert_allclose(found, whole.real - whole.imag, atol=1e-12)
    np.testing.assert_allclose(spectra.coefficients(images, own), images.reshape(40, 30) @ own, atol=1e-12)


@pytest.mark.slow
def test_spectra_are_mean_squares(images, own):
    power = (np.abs(fft.fft2(images, norm="ortho")) ** 2).mean(0)  # of real images the same at f and -f
    np.testing.assert_allclose(spectra.spectrum(images), power, rtol=1e-10)
    spectra.checked(spectra.spectrum(images), symmetric=True)
    middle = images - images.mean(0)[None]
    power = (np.abs(fft.fft2(middle, norm="ortho")) ** 2).mean(0)
    np.testing.assert_allclose(spectra.spectrum(images, center=True), power, rtol=1e-9)
    power = (fft.dctn(images, axes=(1, 2), norm="ortho") ** 2).mean(0)
    np.testing.assert_allclose(spectra.spectrum(images, basis="dct"), power, rtol=1e-10)
    power = ((images.reshape(40, 30) @ own) ** 2).mean(0)
    np.testing.assert_allclose(spectra.spectrum(images, basis=own), power, rtol=1e-10)


def test_in_principal_axes_the_covariance_is_diagonal(images):
    """So the schedule of frequencies is the geodesic of the whole covariance."""
    flat = np.asarray(images).reshape(40, 30)
    covariance = jnp.asarray(flat.T @ flat / 40)
    values, vectors = jnp.linalg.eigh(covariance)
    found = spectra.spectrum(images, basis=vectors)
    np.testing.assert_allclose(found, values, rtol=1e-6)
    tau = 0.37
    on_the_way = shortest.geodesic(covariance, jnp.eye(30), 1 - tau)
    np.testing.assert_allclose(
        on_the_way, (np.asarray(vectors) * np.asarray(found) ** tau) @ vectors.T, rtol=1e-7, atol=1e-9
    )
    phi, psi = shortest.filters(covariance, tau)
    np.testing.assert_allclose(phi @ covariance @ phi + psi @ psi, on_the_way, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(phi @ phi + psi @ psi, np.eye(30), atol=1e-10)


def test_filters_of_matrices_are_those_of_frequencies():
    """Of stationary images Fourier coefficients, cas coefficients and the whole covariance give one corruption."""
    power = np.asarray(spectra.power_law(SHAPE, 2.0, 0.5, 2.0))
    columns = np.asarray(spectra.composed(jnp.eye(30), SHAPE)).reshape(30, 30)  # row k: the k-th image of the basis
    covariance = jnp.asarray(columns.T @ np.diag(power.ravel()) @ columns)
    phi, _ = shortest.filters(covariance, 0.4)
    a = np.asarray(shortest.signal(np.log(power), 0.4))
    x = np.random.default_rng(2).normal(size=SHAPE)
    kept = fft.ifft2(np.sqrt(a) * fft.fft2(x))
    assert np.abs(kept.imag).max() < 1e-12
    np.testing.assert_allclose((np.asarray(phi) @ x.ravel()).reshape(SHAPE), kept.real, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("basis", ["fft", "dct"])
def test_corrupted_images_have_the_spectrum_of_the_way(basis):
    power = np.asarray(spectra.power_law((8, 6), 2.0, 0.5, 2.0, basis))
    images = spectra.gaussian_images(
        jnp.asarray(power), jnp.asarray(np.random.default_rng(3).normal(size=(20_000, 8, 6))), basis
    )
    tau = 0.4
    a, b = (f(np.log(power), tau) for f in (shortest.signal, shortest.noise))
    found = spectra.spectrum(back.corrupt(images, a, b, jax.random.key(0), basis), basis=basis)
    # a coefficient that is real has half as many numbers
    np.testing.assert_allclose(found, power**tau, rtol=4 * np.sqrt(2 / 20_000))
    np.testing.assert_allclose(spectra.spectrum(images, basis=basis), power, rtol=4 * np.sqrt(2 / 20_000))


def test_float32_images_stay_so_and_lose_little():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 32, 32)).astype(np.float32)
    power = spectra.power_law((32, 32))
    a, b = (f(jnp.log(power), 0.97) for f in (shortest.signal, shortest.noise))
    found = back.corrupt(jnp.asarray(x), a, b, jax.random.key(0))
    assert found.dtype == jnp.float32
    whole = fft.ifft2(np.sqrt(a) * fft.fft2(x))
    assert np.abs(whole.imag).max() < 1e-5


def test_the_radius_of_a_column_is_that_of_its_power(own):
    cosine = np.cos(2 * np.pi * 2 * np.arange(8) / 8)[:, None] * np.ones(8)[None]
    basis, _ = np.linalg.qr(np.c_[cosine.ravel()[:, None], np.random.default_rng(5).normal(size=(64, 63))])
    assert spectra.radii((8, 8), jnp.asarray(basis))[0] == pytest.approx(2, rel=1e-9)
    mean = (spectra.radii(SHAPE, own) ** 2).mean()  # trace of the same operator
    assert mean == pytest.approx((spectra.radii(SHAPE) ** 2).mean(), rel=1e-9)


def test_the_fit_finds_a_law_and_is_scipys_where_there_is_none():
    radius = jnp.asarray(spectra.radii((32, 32)))
    law = spectra.fit(spectra.power_law((32, 32), 11.7, 0.33, 3.02).ravel(), radius)
    np.testing.assert_allclose(law, [11.7, 0.33, 3.02, 0.0], rtol=1e-5, atol=1e-7)
    rng = np.random.default_rng(6)
    rough = np.asarray(spectra.power_law((16, 16), 0.7, 1.4, 2.3)).ravel() * np.exp(0.3 * rng.normal(size=256))
    radius = spectra.radii((16, 16))
    law = spectra.fit(jnp.asarray(rough), jnp.asarray(radius))
    told = scipy.optimize.least_squares(
        lambda z: z[0] - z[2] * np.log(np.exp(z[1]) + radius) - np.log(rough), [0.0, 0.0, 1.0], xtol=1e-14, ftol=1e-14
    )
    np.testing.assert_allclose([np.log(law.c1), np.log(law.c2), law.m], told.x, rtol=1e-5, atol=1e-6)
    assert float(law.error) == pytest.approx(np.sqrt(2 * told.cost / 256), rel=1e-9)


def test_bad_spectra_and_bases_get_a_sentence(images, own):
    with pytest.raises(ValueError, match=r"the power at frequency \[0, 1\] is 0, but a positive number is needed"):
        spectra.spectrum(jnp.ones((3, 4, 4)))
    with pytest.raises(ValueError, match="the spectrum differs between f and -f"):
        spectra.checked(jnp.asarray(np.random.default_rng(4).uniform(1, 2, (5, 5))), symmetric=True)
    uneven = jnp.ones((4, 5)).at[0, 1].set(2.0)
    with pytest.raises(ValueError, match="differs between f and -f"):
        spectra.gaussian_images(uneven, jnp.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match="differs between f and -f"):
        back.corrupt(jnp.zeros((2, 4, 5)), uneven / 2, 1 - uneven / 2, jax.random.key(0))
    with pytest.raises(ValueError, match=r"the power at frequency \[1\] is nan"):
        spectra.checked(jnp.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"basis = 'wavelet', but it must be one of 'fft', 'dct'"):
        spectra.coefficients(images, "wavelet")
    with pytest.raises(ValueError, match=r"the basis has shape \(3, 3\), but images of 30 pixels need \(30, 30\)"):
        spectra.spectrum(images, basis=jnp.eye(3))
    with pytest.raises(ValueError, match=r"the columns of the basis are not orthonormal, by 3: take those of"):
        spectra.coefficients(images, 2 * own)
    with pytest.raises(ValueError, match=r"the images have shape \(0, 6, 5\), but \(number, height, width\) is needed"):
        spectra.coefficients(images[:0])
    with pytest.raises(ValueError, match=r"the coefficients have shape \(2, 7\), but \(number, 30\) is needed"):
        spectra.composed(jnp.ones((2, 7)), SHAPE)
