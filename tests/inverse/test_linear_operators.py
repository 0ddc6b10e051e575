"""Operators: the laws that every one of them obeys, against its own matrix, SciPy and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from lab import inverse
from lab.inverse import spectral
from lab.numerics.jit import jit

KEY = jax.random.key(0)
IMAGE = (2, 8, 6)
SEEN = inverse.scattered(jax.random.key(1), (8, 6), 0.4)
KERNEL = np.random.default_rng(0).uniform(-0.2, 1, (3, 5))

# one of each kind and each boundary: other masks and other kernels are other numbers in the same programs
LINEAR = {
    "identity": inverse.Identity(IMAGE),
    "scattered": inverse.Mask(SEEN, IMAGE),
    "motion": inverse.Blur(IMAGE, inverse.motion(5, 30.0), "reflect"),
    "uniform": inverse.Blur(IMAGE, inverse.uniform(3), "edge"),
    "any kernel": inverse.Blur(IMAGE, KERNEL),
    "any kernel, zero": inverse.Blur(IMAGE, KERNEL, "zero"),
    "average": inverse.average(IMAGE, 2),
    "bicubic": inverse.bicubic(IMAGE, 2),
    "dense": inverse.Dense(np.random.default_rng(1).normal(size=(7, 96)), IMAGE, (7,)),
    "views": inverse.radon((2, 8, 8), 3),
    "views without a matrix": inverse.Radon((2, 8, 8), [0.0, 33.0, 100.0]),
    "fourier": inverse.MaskedFourier(IMAGE, SEEN),
    "composed": inverse.average(IMAGE, 2) @ inverse.Blur(IMAGE, KERNEL),
    "function": inverse.operator(lambda x: jnp.cumsum(x, axis=-1)[:, ::2], IMAGE, linear=True),
}
NONLINEAR = {
    "magnitudes": inverse.PhaseRetrieval(IMAGE),
    "exposure": inverse.Clip(IMAGE, 2.0),
    "light": inverse.LinearLightBlur(inverse.Blur(IMAGE, inverse.gaussian(0.8, 5))),
    "function": inverse.operator(lambda x: x[:, 1:] * x[:, :-1], IMAGE),
    "chain": inverse.average(IMAGE, 2) @ inverse.Clip(IMAGE),
}


def drawn(made, key=KEY, batch=()):
    return jax.random.normal(key, (*batch, *made.inputs))


def measured(made, key, batch=()):
    y = jax.random.normal(key, (*batch, *made.outputs))
    return y + 1j * jax.random.normal(jax.random.fold_in(key, 1), y.shape) if made.is_complex else y


def stacked(made, y):
    y = np.asarray(y)
    return np.concatenate([y.real.ravel(), y.imag.ravel()]) if made.is_complex else y.ravel()


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_operator_is_its_matrix(name):
    made = LINEAR[name]
    x, y = drawn(made), measured(made, jax.random.key(5))
    h = np.asarray(made.matrix())
    assert h.shape == (stacked(made, y).size, x.size)
    np.testing.assert_allclose(stacked(made, made(x)), h @ x.ravel(), atol=1e-12)
    np.testing.assert_allclose(np.ravel(made.adjoint(y)), h.T @ stacked(made, y), atol=1e-12)
    assert inverse.adjoint_error(made, jax.random.key(9)) < 1e-14
    np.testing.assert_allclose(float(made.norm()), np.linalg.norm(h, 2), rtol=1e-7)
    np.testing.assert_allclose(np.ravel(made.pinv(y)), np.linalg.pinv(h, rcond=1e-9) @ stacked(made, y), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LINEAR, "complex"])
def test_the_decomposition_of_a_linear_operator(name):
    made = LINEAR[name] if name in LINEAR else LINEAR["fourier"] @ LINEAR["motion"]
    found, h = spectral.basis(made), np.asarray(made.matrix())
    n = h.shape[1]
    vt = np.asarray(jax.vmap(found.turn.apply)(jnp.eye(n).reshape(n, *made.inputs))).reshape(n, n).T
    assert found.values.shape == found.turn.outputs
    np.testing.assert_allclose(vt @ vt.T, np.eye(n), atol=1e-12)
    np.testing.assert_allclose(vt.T * np.ravel(found.values) ** 2 @ vt, h.T @ h, atol=1e-11)
    y = measured(made, jax.random.key(5))
    answer = np.linalg.pinv(h, rcond=1e-9) @ stacked(made, y)
    np.testing.assert_allclose(np.ravel(found.found.apply(y)), vt @ answer, atol=1e-8)
    held = inverse.prepared(made)
    assert held is made or inverse.prepared(held) is held
    np.testing.assert_allclose(np.ravel(held.pinv(y)), answer, atol=1e-8)
    np.testing.assert_allclose(float(held.norm()), np.linalg.norm(h, 2), rtol=1e-7)
    near = drawn(made) + held.invert(y - made.apply(drawn(made)))
    np.testing.assert_allclose(held.project(drawn(made), y), near, atol=1e-12)
    missing = stacked(made, y) - h @ np.ravel(drawn(made))
    inner = 0.7 * h @ h.T + 0.3 * np.eye(len(h))
    pulled = spectral.pulled(found, y - made.apply(drawn(made)), 0.7, 0.3)
    np.testing.assert_allclose(np.ravel(pulled), h.T @ np.linalg.solve(inner, missing), atol=1e-9)
    exact = spectral.pulled(found, y, 0.7, 0.0)
    np.testing.assert_allclose(np.ravel(exact), answer / 0.7, atol=2e-8)


def test_a_matrix_that_is_too_large_is_not_decomposed():
    large = inverse.Radon((1, 60, 60), np.arange(0, 180, 9.0))
    with pytest.raises(ValueError, match="too large to be decomposed"):
        inverse.prepared(large)
    assert spectral.short(large) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_operator_is_linear_in_batches_jit_and_float32(name):
    made = LINEAR[name]
    x = drawn(made, batch=(2, 3))
    each = np.stack([[made(image) for image in row] for row in x])
    np.testing.assert_allclose(made(x), each, atol=1e-12)
    np.testing.assert_allclose(jit(lambda made, x: made(x))(made, x), each, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda x: made(x))(x), each, atol=1e-12)
    np.testing.assert_allclose(made(x[0] - 3 * x[1]), made(x[0]) - 3 * made(x[1]), atol=1e-11)
    short = made(x.astype(jnp.float32))
    assert short.real.dtype == jnp.float32
    np.testing.assert_allclose(short, each, atol=1e-5)
    y = measured(made, KEY, (2,))
    assert made.adjoint(y.astype(jnp.complex64 if made.is_complex else jnp.float32)).dtype == jnp.float32
    assert made.adjoint(y).shape == (2, *made.inputs)
    with pytest.raises(ValueError, match=rf"x has shape \({made.inputs[0]},.*but the operator takes"):
        made(x[0, 0, :, :-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_nonlinear_operator_has_derivatives_batches_and_float32(name):
    made = NONLINEAR[name]
    x = 0.7 * drawn(made, batch=(3,))
    each = np.stack([made(image) for image in x])
    np.testing.assert_allclose(made(x), each, atol=1e-12)
    assert made(x.astype(jnp.float32)).dtype == jnp.float32
    v, weights, step = drawn(made, jax.random.key(7)), measured(made, jax.random.key(8)), 1e-6
    rise = (made(x[0] + step * v) - made(x[0] - step * v)) / (2 * step)
    slope = jax.grad(lambda x: (made(x) * weights).sum())(x[0])
    np.testing.assert_allclose(jnp.vdot(slope, v), jnp.vdot(rise, weights), rtol=2e-5)
    assert not made.is_linear


def test_what_a_mask_shows():
    made = inverse.Mask(SEEN, IMAGE)
    assert int(SEEN.sum()) == round(0.4 * 48)
    assert int(made.measurements) == 2 * int(SEEN.sum())
    hidden = ~inverse.box((8, 6), 2, 1, 3, 4)
    assert hidden[2:5, 1:5].all()
    assert int(hidden.sum()) == 12
    strokes = [int((~inverse.free_form(jax.random.key(2), (28, 28), count)).sum()) for count in (0, 1, 4)]
    assert strokes[0] == 0 < strokes[1] < strokes[2] < 28 * 28
    with pytest.raises(ValueError, match="the mask hides everything"):
        inverse.Mask(jnp.zeros((8, 6), bool))
    with pytest.raises(ValueError, match="the mask hides everything"):
        inverse.MaskedFourier(IMAGE, jnp.zeros((8, 6), bool))
    with pytest.raises(ValueError, match=r"the mask has shape \(6, 8\)"):
        inverse.Mask(SEEN.T, IMAGE)


@pytest.mark.parametrize(
    ("boundary", "mode"), [("circular", "wrap"), ("reflect", "reflect"), ("edge", "nearest"), ("zero", "constant")]
)
def test_blur_is_scipys(boundary, mode):
    x = np.asarray(jax.random.normal(KEY, IMAGE))
    ours = inverse.Blur(IMAGE, KERNEL, boundary)(x)
    np.testing.assert_allclose(ours, [scipy.ndimage.convolve(image, KERNEL, mode=mode) for image in x], atol=1e-12)


def test_kernels():
    for kernel in (inverse.gaussian(1.3), inverse.uniform(5), inverse.motion(7, 20.0)):
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    place = np.arange(9) - 4
    assert (inverse.gaussian(1.3, 31).sum(0) * (np.arange(31) - 15) ** 2).sum() == pytest.approx(1.69, rel=1e-6)
    flat = inverse.motion(9, 0.0)
    np.testing.assert_allclose(flat.sum(axis=1), (place == 0) * 1.0, atol=1e-12)
    rising = inverse.motion(9, 45.0)
    assert rising[2, 6] > 0 == rising[2, 2]


@pytest.mark.slow
def test_down_sampling_keeps_means_and_smooth_images():
    x = np.asarray(jax.random.normal(KEY, (1, 8, 8)))
    np.testing.assert_allclose(inverse.average((1, 8, 8), 4)(x)[0, 0, 0], x[0, :4, :4].mean())
    ramp = np.broadcast_to(np.arange(32.0), (1, 32, 32))
    small = np.asarray(inverse.bicubic((1, 32, 32), 2)(ramp))[0, 8]
    np.testing.assert_allclose(small[3:-3], np.arange(16)[3:-3] * 2 + 0.5, atol=1e-10)
    with pytest.raises(ValueError, match="can't be divided by 3"):
        inverse.average((1, 8, 8), 3)


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 17])
def test_radon_is_scikit_images(n):
    from skimage.transform import radon

    i, j = np.ogrid[:n, :n]
    disc = (i - n // 2) ** 2 + (j - n // 2) ** 2 <= (n // 2 - 2) ** 2
    x = np.where(disc, np.random.default_rng(3).uniform(size=(n, n)), 0)
    angles = np.array([0.0, 17.0, 45.0, 90.0, 133.7])
    theirs = radon(x, angles, circle=True)
    for made in (inverse.Radon((1, n, n), angles), inverse.radon((1, n, n), angles)):
        np.testing.assert_allclose(made(x[None])[0], theirs, atol=1e-9)


def test_projections_of_a_disc_are_its_chords_and_keep_its_mass():
    n, r = 64, 20
    fine = (np.arange(8 * n) - 8 * (n // 2) - 3.5) / 8
    disc = (fine[:, None] ** 2 + fine[None, :] ** 2 <= r**2).reshape(n, 8, n, 8).mean(axis=(1, 3))
    found = np.asarray(inverse.Radon((1, n, n), np.arange(0, 180, 23.0))(disc[None])[0])
    chord = 2 * np.sqrt(np.maximum(r**2 - (np.arange(n) - n // 2) ** 2, 0))
    off = (found - chord[:, None]) / (2 * r)
    assert np.sqrt((off**2).mean()) < 0.025
    assert np.abs(off).max() < 0.12
    np.testing.assert_allclose(found.sum(axis=0), disc.sum(), rtol=2e-3)


@pytest.mark.parametrize("n", [48, 31])
def test_filtered_backprojection_is_that_of_scikit_image_on_every_pixel(n):
    from skimage.transform import iradon

    i, j = (side - n // 2 for side in np.ogrid[:n, :n])
    x = np.exp(-((i - 3) ** 2 + (j + 5) ** 2) / 40) + 0.5 * np.exp(-((i + 6) ** 2 + (j - 4) ** 2) / 20)
    angles = np.arange(0, 180, 2.0)
    sinogram = np.asarray(inverse.radon((1, n, n), angles)(x[None]))
    sinogram = sinogram + np.random.default_rng(0).normal(
        size=sinogram.shape
    )  # so that the last detector elements are not 0
    found = np.asarray(inverse.filtered_backprojection(sinogram, angles))[0]
    np.testing.assert_allclose(found, iradon(sinogram[0], angles, circle=True), atol=1e-11)


def test_filtered_backprojection_of_many_views_is_the_image():
    n = 48
    i, j = (side - n // 2 for side in np.ogrid[:n, :n])
    x = np.exp(-((i - 3) ** 2 + (j + 5) ** 2) / 40) + 0.5 * np.exp(-((i + 8) ** 2 + (j - 4) ** 2) / 20)
    angles = np.arange(0, 180, 2.0)
    found = np.asarray(inverse.filtered_backprojection(inverse.radon((1, n, n), angles)(x[None]), angles))[0]
    assert np.abs(found - x)[i**2 + j**2 <= (n // 2) ** 2].max() < 0.02  # it is 0 outside the inscribed disc


def test_one_detector_element_reaches_the_rim():
    """A view at 45 degrees whose last element is 1: scikit-image 0.26 gives 0.32822732 at the corner of the disc."""
    sinogram = np.zeros((1, 4, 1))
    sinogram[0, 3, 0] = 1
    assert float(inverse.filtered_backprojection(sinogram, [45.0])[0, 0, 2]) == pytest.approx(0.32822732, abs=1e-8)
    whole = inverse.filtered_backprojection(sinogram.astype(int).tolist(), [45])  # a list of whole numbers
    assert float(whole[0, 0, 2]) == pytest.approx(0.32822732, abs=1e-8)


def test_operators_of_ones_own_are_tried_at_the_start():
    with pytest.raises(ValueError, match="the function is not linear"):
        inverse.operator(lambda x: x**2, (3,), linear=True)
    with pytest.raises(ValueError, match=r"the adjoint is not that of the function.* differ by"):
        inverse.operator(
            lambda x: x[1:] - x[:-1], (4,), linear=True, adjoint=lambda y: jnp.pad(y, (0, 1)) - jnp.pad(y, (1, 0))
        )
    right = inverse.operator(
        lambda x: x[1:] - x[:-1], (4,), linear=True, adjoint=lambda y: jnp.pad(y, (1, 0)) - jnp.pad(y, (0, 1))
    )
    assert inverse.adjoint_error(right) < 1e-14
    with pytest.raises(ValueError, match="the function is not said to be linear"):
        inverse.operator(lambda x: x, (3,), adjoint=lambda y: y)
    with pytest.raises(ValueError, match=r"the first operator gives \(2, 4, 3\), but the second takes"):
        _ = inverse.Identity(IMAGE) @ inverse.average(IMAGE, 2)
    with pytest.raises(ValueError, match="pad what is not square"):
        inverse.Radon(IMAGE, [0.0])
    for none in (0, []):
        with pytest.raises(ValueError, match="at least one view"):
            inverse.radon((1, 8, 8), none)
