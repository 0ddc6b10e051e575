"""The numbers of MNIST: 4000 images to train on, 16 to test, one draw of noise, against a table that was made independently."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets
from lab.denoise import Images, Optimal, PCALocality, Wiener, mse, spectrum


@pytest.fixture(scope="module")
def mnist():
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"].reshape(-1, 784).astype(np.float32) / 127.5 - 1
    images = Images(jnp.asarray(pixels[~data["held_out"]]), (1, 28, 28))
    clean = jnp.asarray(pixels[data["held_out"]][:16])
    noise = jnp.asarray(np.random.default_rng(0).standard_normal(clean.shape), jnp.float32)
    return images, spectrum(images), clean, noise


@pytest.mark.slow
def test_the_spectrum(mnist):
    _, found, _, _ = mnist
    np.testing.assert_allclose(found.values[:6], [20.5, 15.3, 13.2, 11.4, 10.0, 9.0], atol=0.06)
    np.testing.assert_allclose(found.trace, 210.7, atol=0.06)
    assert int((found.values > 1e-10).sum()) == 644


@pytest.mark.slow
def test_masks_grow_with_the_noise(mnist):
    images, basis, _, _ = mnist
    row = PCALocality(images, basis, 0.005, normalize="row")
    sizes = [float(row.mask_size(sigma).mean()) for sigma in (0.1, 0.3, 1.0, 3.0, 10.0)]
    np.testing.assert_allclose(sizes, [3, 14, 50, 203, 318], atol=0.4)  # rounded in the table
    w, mask = np.asarray(basis.wiener(1.0)), np.asarray(row.mask(1.0))
    M = np.abs(w / np.where(np.diag(w) < 1e-6, 1, np.diag(w))[:, None])
    varies = np.diag(w) >= 1e-6
    np.testing.assert_array_equal(np.diag(mask)[varies], float(0.005 * M.max() <= 1) * np.ones(varies.sum()))
    symmetric = PCALocality(images, basis)
    assert np.diag(symmetric.mask(1.0))[np.diag(w) > 1e-12].all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sigma", "optimal", "wiener"), [(0.1, 0.097, 0.0047), (0.3, 0.097, 0.0215), (1.0, 0.093, 0.073)]
)
def test_the_table_of_errors(mnist, sigma, optimal, wiener):
    images, basis, clean, noise = mnist
    x = clean + sigma * noise
    np.testing.assert_allclose(mse(Optimal(images)(x, sigma), clean).mean(), optimal, rtol=0.04)
    np.testing.assert_allclose(mse(Wiener(basis, images.shape)(x, sigma), clean).mean(), wiener, rtol=0.04)


@pytest.mark.slow
def test_locality_wins_at_low_noise(mnist):
    images, basis, clean, noise = mnist
    x = clean[:4] + 0.1 * noise[:4]
    found = mse(PCALocality(images, basis, 0.005, normalize="row")(x, 0.1), clean[:4]).mean()
    np.testing.assert_allclose(found, 0.0016, rtol=0.25)
