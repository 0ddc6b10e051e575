"""All denoisers: closed forms, brute force in NumPy, the laws that each must obey, derivatives against autodiff."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise
from lab.denoise import (
    ELS,
    ES,
    LS,
    FlexComposite,
    Images,
    Masked,
    Nearest,
    Optimal,
    PCALocality,
    SquareComposite,
    Wiener,
    planted,
)
from lab.numerics import Chunked, NotConverged, Reason
from lab.numerics.mixtures import Mixture, gaussian
from lab.numerics.statistics import mean_interval
from lab.paths.laws import Boxes

RNG = np.random.default_rng(7)
SHAPE = C, H, W = (2, 5, 4)
N, n, SIGMA = 30, 40, 0.6
SMOOTH = RNG.normal(size=(N, C, H + 1, W + 1))
PIXELS = (SMOOTH[:, :, 1:, 1:] + SMOOTH[:, :, :-1, 1:] + SMOOTH[:, :, 1:, :-1]) / 3
FLAT = PIXELS.reshape(N, -1)
IMAGES = Images(PIXELS)
SPECTRUM = denoise.spectrum(IMAGES)
X = jnp.asarray(FLAT[:3] + SIGMA * RNG.normal(size=(3, n)))

BUILD = {
    "optimal": lambda images: Optimal(images),
    "wiener": lambda images: Wiener(denoise.spectrum(images), images.shape),
    "nearest": lambda images: Nearest(images),
    "ls": lambda images: LS(images, 3),
    "ls reflect": lambda images: LS(images, 5, "reflect"),
    "els": lambda images: ELS(images, 3),
    "els broken": lambda images: ELS(images, 3, "broken"),
    "es": lambda images: ES(images),
    "square": lambda images: SquareComposite(images, 3),
    "flex": lambda images: FlexComposite(images, denoise.flex_crops(denoise.spectrum(images).wiener(SIGMA), 0.8)),
    "pca": lambda images: PCALocality(images, denoise.spectrum(images)),
    "pca row": lambda images: PCALocality(images, denoise.spectrum(images), 0.2, normalize="row"),
}
STREAMS = sorted({*BUILD} - {"optimal", "wiener"})


class Lazy(dict):
    """What is made when it is asked for: each process collects all tests, and few run these."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, name):
        self[name] = self.make(name)
        return self[name]


ALL = Lazy(lambda name: BUILD[name](IMAGES))
FOUND = Lazy(lambda name: np.asarray(ALL[name](X, SIGMA)))


def softmax(logits):
    p = np.exp(logits - logits.max())
    return p / p.sum()


def close(a, b, atol=1e-10):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=atol)


# ------------------------------------------------------------------------------------------------- against brute force


def patches(x, p, mode):
    """(places, C p p), by np.pad."""
    h = p // 2
    widths = ((0, 0), (h, h), (h, h))
    kinds = {"zero": "constant", "broken": "constant", "circular": "wrap"}
    padded = np.pad(x.reshape(SHAPE), widths, mode=kinds.get(mode, mode))
    return np.array([padded[:, i : i + p, j : j + p].ravel() for i in range(H) for j in range(W)])


@pytest.mark.slow
@pytest.mark.parametrize("boundary", ["zero", "circular", "reflect", "edge"])
def test_ls_is_a_softmax_over_patches_at_the_same_place(boundary):
    x, wanted = np.asarray(X[0]), np.empty((C, H * W))
    for p in (1, 3, 7):
        own, theirs = patches(x, p, boundary), np.array([patches(y, p, boundary) for y in FLAT])
        for q in range(H * W):
            w = softmax(-((own[q] - theirs[:, q]) ** 2).sum(1) / (2 * SIGMA**2))
            wanted[:, q] = w @ FLAT.reshape(N, C, -1)[:, :, q]
        if boundary == "reflect" and p == 7:
            continue  # NumPy reflects at most one length
        close(LS(IMAGES, p, boundary)(X[0], SIGMA), wanted.ravel())


@pytest.mark.parametrize("boundary", ["circular", "zero", "broken"])
def test_els_lets_patches_of_all_places_compete(boundary):
    x, p, wanted = np.asarray(X[0]), 3, np.empty((C, H * W))
    own, theirs = patches(x, p, boundary), np.array([patches(y, p, boundary) for y in FLAT])
    place = np.array([(i, j) for i in range(H) for j in range(W)])
    depth = np.minimum(np.stack([place[:, 0], H - 1 - place[:, 0], place[:, 1], W - 1 - place[:, 1]], 1), p // 2)
    for q in range(H * W):
        r = (depth == depth[q]).all(1) if boundary == "broken" else np.ones(H * W, bool)
        w = softmax(-((own[q] - theirs[:, r]) ** 2).sum(2).ravel() / (2 * SIGMA**2))
        wanted[:, q] = np.einsum("m,mc->c", w, FLAT.reshape(N, C, -1)[:, :, r].transpose(0, 2, 1).reshape(-1, C))
    close(ELS(IMAGES, p, boundary)(X[0], SIGMA), wanted.ravel())


def test_es_is_the_optimal_denoiser_of_all_shifts():
    shifted = np.concatenate([np.roll(PIXELS, (i, j), (2, 3)) for i in range(H) for j in range(W)])
    close(FOUND["es"], Optimal(Images(shifted))(X, SIGMA))


def test_composites_are_plain_means_over_crops():
    x, s = np.asarray(X[0]), 3
    crops = []
    for i in range(H - s + 1):
        for j in range(W - s + 1):
            crop = np.zeros(SHAPE, bool)
            crop[:, i : i + s, j : j + s] = True
            crops.append(crop.ravel())
    flex = list(np.asarray(ALL["flex"].crops).T.astype(bool))
    for name, chosen in (("square", crops), ("flex", flex)):
        total, count = np.zeros(n), np.zeros(n)
        for crop in chosen:
            w = softmax(-((x - FLAT)[:, crop] ** 2).sum(1) / (2 * SIGMA**2))
            total[crop] += w @ FLAT[:, crop]
            count[crop] += 1
        close(FOUND[name][0], total / count)


def test_flex_crops_hold_the_fraction_and_no_pixel_more():
    fields = np.abs(np.asarray(SPECTRUM.wiener(SIGMA)))
    crops = np.asarray(denoise.flex_crops(fields, 0.7)).T
    for field, crop in zip(fields, crops, strict=True):
        share = np.sort(field)[::-1].cumsum() / field.sum()
        assert crop.sum() == 1 + np.searchsorted(share, 0.7)
        assert field[crop == 1].sum() >= 0.7 * field.sum()


@pytest.mark.slow
@pytest.mark.parametrize("normalize", ["row", "symmetric"])
@pytest.mark.parametrize("orientation", ["column", "row"])
def test_the_mask_is_that_of_the_paper(normalize, orientation):
    S = np.cov(FLAT.T)
    w = S @ np.linalg.inv(S + SIGMA**2 * np.eye(n))
    d = np.diag(w)
    M = w / d[:, None] if normalize == "row" else w / np.sqrt(d[:, None] * d[None])
    M = M if orientation == "column" else M.T
    B = np.abs(M) >= 0.2 * np.abs(M).max()
    each = PCALocality(IMAGES, SPECTRUM, 0.2, normalize=normalize, orientation=orientation)
    close(each.coupling(SIGMA), M)
    np.testing.assert_array_equal(each.mask(SIGMA), B)
    close(each.mask_size(SIGMA), B.sum(0))
    for theta, mask in ((0.2, B), (0.0, M)):
        squared = (np.asarray(X[0]) - FLAT) ** 2
        logits = -squared @ mask / (2 * SIGMA**2 * 0.5)
        wanted = [softmax(logits[:, q]) @ FLAT[:, q] for q in range(n)]
        each = PCALocality(IMAGES, SPECTRUM, theta, 0.5, normalize=normalize, orientation=orientation)
        close(each(X[0], SIGMA), wanted)


def test_nearest_is_the_nearest():
    close(FOUND["nearest"], FLAT[((np.asarray(X)[:, None] - FLAT) ** 2).sum(2).argmin(1)], 0)


@pytest.mark.slow
def test_the_list_of_neighbours_is_the_mask():
    mask = np.eye(n)
    few = Masked(IMAGES, mask)
    dense = Masked(IMAGES, mask * (1 - 1e-13))  # no 0/1 mask, so no list
    assert few.neighbours is not None
    assert dense.neighbours is None
    close(few(X, SIGMA), dense(X, SIGMA))
    close(few(X, SIGMA), LS(Images(FLAT.reshape(N, 1, 1, n)), 1)(X, SIGMA))


# ------------------------------------------------------------------------------------------------------- closed forms


@pytest.mark.slow
def test_wiener_is_the_posterior_mean_of_a_gaussian():
    mean, S = FLAT.mean(0), np.cov(FLAT.T)
    wanted = mean + np.linalg.solve(S + SIGMA**2 * np.eye(n), (np.asarray(X) - mean).T).T @ S
    close(FOUND["wiener"], wanted)
    law = denoise.denoiser(gaussian(jnp.asarray(mean), jnp.asarray(S + 1e-9 * np.eye(n))), SHAPE)
    close(FOUND["wiener"], law(X, SIGMA), 1e-6)
    close(ALL["wiener"].log_density(X, SIGMA), law.log_density(X, SIGMA), 1e-5)
    np.testing.assert_allclose(
        ALL["wiener"].expected_error(SIGMA), SIGMA**2 * np.trace(SPECTRUM.wiener(SIGMA)) / n, rtol=1e-12
    )


def test_the_optimal_denoiser_at_both_ends():
    close(ALL["optimal"](FLAT[:3], 1e-3), FLAT[:3], 1e-15)  # the mean is taken off and put back
    close(ALL["optimal"](X, 1e4), np.tile(FLAT.mean(0), (3, 1)), 1e-4)


@pytest.mark.slow
def test_scores_are_gradients_of_log_densities():
    def density(x):
        logits = -((x[None] - FLAT) ** 2).sum(1) / (2 * SIGMA**2)
        return jax.nn.logsumexp(logits) - jnp.log(N) - n / 2 * jnp.log(2 * jnp.pi * SIGMA**2)

    close(ALL["optimal"].score(X, SIGMA), jax.vmap(jax.grad(density))(X), 1e-8)
    close(ALL["optimal"].log_density(X, SIGMA), jax.vmap(density)(X), 1e-9)
    slope = jax.grad(lambda x: ALL["wiener"].log_density(x, SIGMA).sum())(X)
    close(ALL["wiener"].score(X, SIGMA), slope, 1e-8)
    with pytest.raises(TypeError, match="known density"):
        ALL["ls"].log_density(X, SIGMA)


def test_laws_are_denoisers():
    mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.04])
    each = denoise.denoiser(mixture, (1, 1, 1))
    x, s = 0.3, 0.5
    w = softmax(-np.array([(x + 1) ** 2, (x - 1) ** 2]) / (2 * (0.04 + s**2)))
    wanted = w @ ((0.04 * x + s**2 * np.array([-1, 1])) / (0.04 + s**2))
    close(each(jnp.asarray([x]), s), [wanted], 1e-12)
    box = denoise.denoiser(Boxes([[-1.0]], [[1.0]]), (1, 1, 1))
    grid = np.linspace(-1, 1, 200_001)
    close(box(jnp.asarray([x]), s), [softmax(-((x - grid) ** 2) / (2 * s**2)) @ grid], 1e-5)
    yours = denoise.denoiser(lambda x, sigma: x / (1 + sigma[:, None, None, None] ** 2), SHAPE)
    close(yours(X, jnp.asarray([0.5, 1.0, 2.0])), X / (1 + jnp.asarray([0.25, 1, 4])[:, None]))
    assert denoise.denoiser(yours, SHAPE) is yours
    with pytest.raises(TypeError, match=r"converts its arguments to NumPy arrays: write it with jax\.numpy"):
        denoise.denoiser(lambda x, sigma: np.tanh(np.asarray(x)), SHAPE)(X, 1.0)


# --------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.slow
def test_special_cases_are_the_optimal_denoiser():
    square = Images(PIXELS[:, :, :4])
    x, optimal = X.reshape(3, *SHAPE)[:, :, :4], Optimal(square)
    for each in (LS(square, 7), SquareComposite(square, 4), FlexComposite(square, np.ones((32, 32)))):
        close(each(x, SIGMA), optimal(x, SIGMA), 1e-12)
    close(Masked(IMAGES, np.ones((n, n)))(X, SIGMA), FOUND["optimal"], 1e-12)
    close(SquareComposite(IMAGES, 1)(X, SIGMA), LS(IMAGES, 1)(X, SIGMA), 1e-12)
    close(Wiener(denoise.spectrum(IMAGES, rank=29), SHAPE)(X, SIGMA), FOUND["wiener"], 1e-9)


def test_which_denoisers_commute_with_shifts():
    def gap(name):
        moved = jnp.roll(X.reshape(3, *SHAPE), (2, 1), (2, 3))
        return float(jnp.abs(ALL[name](moved, SIGMA) - jnp.roll(FOUND[name].reshape(3, *SHAPE), (2, 1), (2, 3))).max())

    assert gap("els") < 1e-12
    assert gap("es") < 1e-12
    assert gap("ls") > 1e-3
    assert gap("wiener") > 1e-3
    assert gap("els broken") > 1e-3


@pytest.mark.parametrize("name", [name for name in BUILD if name != "flex"])
def test_the_order_of_training_images_does_not_matter(name):
    close(BUILD[name](Images(PIXELS[RNG.permutation(N)]))(X, SIGMA), FOUND[name], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimal", "ls", "els broken", "es"])
def test_copies_of_training_images_do_not_matter(name):
    close(BUILD[name](Images(np.repeat(PIXELS, 2, axis=0)))(X, SIGMA), FOUND[name], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_chunks_do_not_matter(name):
    each = ALL[name]
    assert each.chunk_size(3, 8) == N
    other = copy.copy(each)
    object.__setattr__(other, "budget", each.numbers() * 8 * 3 * 7)
    assert other.chunk_size(3, 8) == 7
    close(other(X, SIGMA), FOUND[name], 1e-10)


@pytest.mark.slow
def test_many_rows_are_taken_in_blocks():
    many = jnp.tile(X, (40, 1)) + 0.01 * jnp.arange(120)[:, None]
    small = PCALocality(IMAGES, SPECTRUM, budget=20_000)
    close(small(many, SIGMA), ALL["pca"](many, SIGMA), 1e-10)
    close(Optimal(IMAGES, budget=4000)(many, SIGMA), ALL["optimal"](many, SIGMA), 1e-10)


@pytest.mark.slow
def test_means_of_chunks_are_as_released():
    def released(chunk):
        return PCALocality(IMAGES, SPECTRUM, accumulate="chunk_mean", chunk=chunk)

    close(released(N + 5)(X, SIGMA), FOUND["pca"])
    wanted = np.mean(
        [PCALocality(Images(PIXELS[i : i + 7]), SPECTRUM)(X, SIGMA) for i in range(0, N, 7)], axis=0
    )  # the last one of two images
    close(released(7)(X, SIGMA), wanted)
    assert float(jnp.abs(released(7)(X, SIGMA) - FOUND["pca"]).max()) > 0.01


@pytest.mark.parametrize("name", ["optimal", "nearest", "ls", "els", "els broken", "es", "square", "flex", "pca"])
def test_estimates_stay_between_training_pixels(name):
    values = FLAT.reshape(N, C, -1)
    if name in ("els", "es"):
        low, high = (np.repeat(f(values, (0, 2)), H * W) for f in (np.min, np.max))
    else:
        low, high = FLAT.min(0), FLAT.max(0)
        if name == "els broken":
            low, high = (np.repeat(f(values, (0, 2)), H * W) for f in (np.min, np.max))
    assert (FOUND[name] >= low - 1e-12).all()
    assert (FOUND[name] <= high + 1e-12).all()


def test_weights():
    w = ALL["optimal"].weights(X, SIGMA)
    assert (w >= 0).all()
    close(w.sum(1), np.ones(3), 1e-12)
    close(w @ FLAT, FOUND["optimal"], 1e-12)
    close(ALL["optimal"].effective_size(X, SIGMA), 1 / (w**2).sum(1), 1e-9)


def test_the_spectrum_of_the_wiener_filter():
    traces = []
    for sigma in (1e-4, 0.1, 0.5, 2.0):
        w = SPECTRUM.wiener(sigma)
        values = np.linalg.eigvalsh(w)
        assert values.min() > -1e-12
        assert values.max() < 1
        close(w, w.T, 1e-12)
        traces.append(float(jnp.trace(w)))
    assert (np.diff(traces) < 0).all()
    onto = np.linalg.pinv(FLAT - FLAT.mean(0)) @ (FLAT - FLAT.mean(0))
    close(SPECTRUM.wiener(1e-5), onto, 1e-5)
    close(SPECTRUM.trace, np.trace(np.cov(FLAT.T)))


def test_a_planted_pattern_appears_in_every_row():
    pattern, c, S = planted.letter((2, 5, 8)), 2.0, np.cov(FLAT.T)
    np.testing.assert_allclose(np.linalg.norm(pattern), 1, rtol=1e-12)
    np.testing.assert_array_equal(pattern[0], pattern[1])
    p = RNG.normal(size=n)
    p /= np.linalg.norm(p)
    u = planted.seen(SPECTRUM, p, SIGMA)
    close(u, np.linalg.solve(S + SIGMA**2 * np.eye(n), p))
    both = S + c**2 * np.outer(p, p)
    change = both @ np.linalg.inv(both + SIGMA**2 * np.eye(n)) - SPECTRUM.wiener(SIGMA)
    close(change, SIGMA**2 * c**2 * np.outer(u, u) / (1 + c**2 * p @ u), 1e-11)
    g = (planted.plant(jax.random.key(0), jnp.zeros((4000, n)), p, c) @ p) / c
    assert abs(float(g.std()) - 1) < 0.05
    with pytest.raises(ValueError, match="5 a side"):
        planted.letter((1, 4, 9))


# -------------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BUILD if name != "nearest"])
def test_sensitivities_are_rows_of_the_jacobian(name):
    jacobian = jax.jit(jax.jacfwd(lambda x: ALL[name].denoise(x[None], jnp.asarray(SIGMA))[0]))(X[0])
    q = jnp.asarray([0, 17, n - 1])
    close(ALL[name].sensitivity(X, SIGMA, q)[:, 0], jacobian[q], 1e-9)


def test_jacobians_in_closed_form():
    w = np.asarray(ALL["optimal"].weights(X, SIGMA)[0])
    apart = FLAT - w @ FLAT
    J = ALL["optimal"].sensitivity(X[0], SIGMA, jnp.arange(n))
    np.testing.assert_allclose(J, (w[:, None] * apart).T @ apart / SIGMA**2, rtol=1e-6, atol=1e-9)
    close(J, J.T, 1e-10)
    assert np.linalg.eigvalsh(J).min() > -1e-10
    close(ALL["wiener"].sensitivity(X[0], SIGMA, jnp.arange(n)), SPECTRUM.wiener(SIGMA), 1e-12)
    image = ALL["wiener"].sensitivity(X[0].reshape(SHAPE), SIGMA, 3)
    close(image, SPECTRUM.wiener(SIGMA)[3].reshape(SHAPE), 1e-12)
    v = jnp.asarray(RNG.normal(size=n))
    close(ALL["optimal"].pullback(X[0], SIGMA, v), J.T @ v, 1e-9)
    for call in (lambda: ALL["nearest"].sensitivity(X, SIGMA, 0), lambda: ALL["nearest"].pullback(X, SIGMA, v)):
        with pytest.raises(ValueError, match="piecewise constant"):
            call()


# ----------------------------------------------------------------------------------------- coordinates, levels, dtypes


@pytest.mark.parametrize("name", ["wiener", "pca"])
def test_vp_and_flow_coordinates_are_changes_of_units(name):
    each, abar = ALL[name], 0.7
    sigma, t = (0.3 / 0.7) ** 0.5, 1 / (1 + (0.7 / 0.3) ** 0.5)
    wanted = each(X, sigma)
    z, y = X * abar**0.5, X * (1 - t)
    close(each.x0_from_vp(z, abar), wanted, 1e-12)
    close(each.x0_from_flow(y, t), wanted, 1e-12)
    close(each.eps(z, abar), (X - wanted) / sigma, 1e-12)
    close(each.velocity(y, t), each.x1_hat(y, t) - wanted, 1e-12)
    close(y, (1 - t) * wanted + t * each.x1_hat(y, t), 1e-12)
    close(each.score(X, sigma), -each.eps(z, abar) / sigma, 1e-11)


@pytest.mark.slow
def test_a_level_for_each_image_and_any_batch():
    levels = jnp.asarray([0.2, 0.7, 1.5])
    for name in ("optimal", "wiener", "pca"):
        each = ALL[name]
        wanted = jnp.stack([each(x, s) for x, s in zip(X, levels, strict=True)])
        close(each(X, levels), wanted)
        close(each(X.reshape(3, 1, *SHAPE), levels[:, None]), wanted.reshape(3, 1, *SHAPE))
        close(jax.jit(lambda s, each=each: each(X, s))(SIGMA), FOUND[name])


@pytest.mark.slow
def test_float32_is_safe_at_low_noise():
    x = jnp.asarray(FLAT[:3] + 0.01 * RNG.normal(size=(3, n)), jnp.float32)
    for name in ("optimal", "wiener", "ls", "pca", "square"):
        found = ALL[name](x, 0.01)
        assert found.dtype == jnp.float32
        close(found, ALL[name](x.astype(float), 0.01), 1e-5)
    bytes_ = Images(np.asarray(RNG.integers(0, 256, (9, 1, 2, 2)), np.uint8))
    close(bytes_.numbers(), np.asarray(bytes_.pixels, float) / 127.5 - 1, 1e-15)
    close(Optimal(bytes_)(bytes_.numbers()[:2], 1e-3), bytes_.numbers()[:2], 1e-15)


def test_traced_parameters_are_those_given():
    def by(theta, tau):
        return PCALocality(IMAGES, SPECTRUM, theta, tau)(X, SIGMA)

    close(jax.jit(by)(0.3, 0.5), by(0.3, 0.5))
    close(jax.jit(lambda p: LS(IMAGES, p)(X, SIGMA))(3), FOUND["ls"])
    close(jax.jit(lambda s: SquareComposite(IMAGES, s)(X, SIGMA))(3), FOUND["square"])


def test_masks_that_are_remembered_belong_to_no_trace():
    fresh = PCALocality(IMAGES, SPECTRUM)
    close(jax.jit(lambda x: fresh(x, SIGMA))(X), FOUND["pca"])
    assert fresh.at(SIGMA).mask is fresh.at(SIGMA).mask
    close(fresh(X, SIGMA), FOUND["pca"])
    copied = denoise.locality.eqx.tree_at(lambda each: each.theta, fresh, jnp.asarray(0.5))
    assert float(copied.mask_size(SIGMA).mean()) < float(fresh.mask_size(SIGMA).mean())


@pytest.mark.slow
def test_a_patch_size_for_each_level():
    reference = denoise.ByLevel([LS(IMAGES, 3), LS(IMAGES, 7)], [0.7])
    clean = jnp.asarray(FLAT[:3])
    made = denoise.calibrated(lambda p: LS(IMAGES, p), [1, 3, 7], reference, clean, [2.0, 0.3], jax.random.key(0))
    assert made.values == [3, 7]
    assert made.errors.shape == (2, 3)
    for sigma, p in ((0.3, 3), (0.76, 3), (0.8, 7), (2.0, 7)):  # the edge is the root of 0.6
        wanted = LS(IMAGES, p)(X, sigma)
        close(made.denoiser(X, sigma), wanted)
        close(jax.jit(lambda x, s: made.denoiser(x, s))(X, sigma), wanted)
    with pytest.raises(ValueError, match="2 denoisers need 1"):
        denoise.ByLevel([LS(IMAGES, 1)] * 2, [1.0, 2.0])


@pytest.mark.slow
def test_constant_pixels_and_constant_images():
    pixels = PIXELS.copy()
    pixels[:, 0, 0, 0] = -1
    images = Images(pixels)
    for normalize in ("row", "symmetric"):
        each = PCALocality(images, denoise.spectrum(images), 0.005, normalize=normalize)
        found = each(X, 0.1)
        close(found[:, 0], -np.ones(3), 1e-12)
        assert np.isfinite(found).all()
        diagonal = np.diag(each.mask(0.1))
        assert (diagonal[1:] == 1).all()
    constant = Images(np.full((4, 1, 2, 2), 0.25))
    flat = denoise.spectrum(constant)
    for each in (Optimal(constant), Wiener(flat, (1, 2, 2)), PCALocality(constant, flat), LS(constant, 1)):
        close(each(jnp.ones((2, 4)), 0.5), np.full((2, 4), 0.25), 1e-12)


def test_rows_normalised_by_tiny_variances_may_empty_masks():
    pixels = PIXELS.copy()
    pixels[:, 0, 0, 0] = 0.005 * pixels[:, 0, 0, 1]  # W_jj is tiny, W_jq is not
    images = Images(pixels)
    row = PCALocality(images, denoise.spectrum(images), 0.05, normalize="row")
    assert float(jnp.abs(row.coupling(1.0)).max()) > 20
    assert float(jnp.diag(row.mask(1.0)).mean()) < 0.5
    symmetric = PCALocality(images, denoise.spectrum(images), 0.05)
    assert float(jnp.abs(symmetric.coupling(1.0)).max()) <= 1 + 1e-12
    assert (jnp.diag(symmetric.mask(1.0)) == 1).all()


# ------------------------------------------------------------------------------------------------- loops, curves, bad input


def test_streams_report_and_stop():
    seen = []
    small = PCALocality(IMAGES, SPECTRUM, budget=3 * n * 8 * 3 * 2)
    whole = denoise.stream(small, X, SIGMA, Chunked(lambda progress: seen.append(progress.iteration)))
    close(whole.x0, FOUND["pca"])
    assert whole.chunks == 15
    assert len(seen) > 1
    with pytest.warns(NotConverged):
        part = denoise.stream(small, X, SIGMA, Chunked(lambda progress: True))
    assert part.reason == Reason.STOPPED
    close(part.x0, Masked(Images(PIXELS[: 2 * part.chunks]), small.mask(SIGMA))(X, SIGMA))
    close(denoise.stream(ALL["square"], X, SIGMA).x0, FOUND["square"])


def test_error_curves_have_standard_errors():
    law = denoise.denoiser(gaussian(jnp.zeros(n), 1.0), SHAPE)
    clean = jnp.asarray(RNG.normal(size=(400, n)))
    curve = law.mse_curve(clean, [0.5, 2.0], jax.random.key(0))
    wanted = np.array([0.25 / 1.25, 4 / 5])
    assert (np.abs(curve.mean - wanted) < 4 * curve.error).all()
    assert (curve.error < 0.02 * wanted).all()
    assert curve.each.shape == (2, 400)


def test_agreement():
    a, b = jnp.asarray(RNG.normal(size=(2, 5, n)))
    close(denoise.r2(b, b), np.ones(5), 1e-15)
    flat = jnp.broadcast_to(b.mean(axis=1, keepdims=True), b.shape)
    close(denoise.r2(flat, b), np.full(5, 1 / n), 1e-12)
    wanted = [1 - ((x - y) ** 2).sum() / (n * np.var(y, ddof=1)) for x, y in zip(a, b, strict=True)]
    close(denoise.r2(a, b), wanted, 1e-12)
    assert np.abs(denoise.r2(a, b) - denoise.r2(b, a)).max() > 0.01
    assert np.isfinite(denoise.r2(a, jnp.ones((5, n)))).all()
    total = 1 - ((a - b) ** 2).sum() / (n * np.var(b, axis=1, ddof=1).sum())
    close(denoise.pooled_r2(a, b), total, 1e-12)
    close(denoise.mse(a, b), ((a - b) ** 2).mean(1), 1e-12)
    draws = np.random.default_rng(1).normal(size=(2000, 5))
    inside = [low <= 0 <= high for _, _, low, high in map(mean_interval, draws)]
    assert 0.93 < np.mean(inside) < 0.97


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ALL["pca"](X, 0.0), "sigma must be positive"),
        (lambda: ALL["optimal"](X, float("nan")), "sigma must be positive"),
        (lambda: ALL["optimal"](X[:, :7], 1.0), r"\(3, 7\).*40 pixels"),
        (lambda: ALL["optimal"](X.at[0, 0].set(jnp.nan), 1.0), "not finite"),
        (lambda: ALL["optimal"](X, jnp.ones(2)), "one for each image"),
        (lambda: ALL["optimal"].sensitivity(X, 1.0, n), "from 0 to 39"),
        (lambda: ALL["optimal"].x0_from_vp(X, 1.0), "between 0 and 1"),
        (lambda: denoise.spectrum(Images(PIXELS[:1])), "at least 2"),
        (lambda: LS(IMAGES, 4), "must be odd"),
        (lambda: LS(IMAGES, -1), "must be odd"),
        (lambda: ELS(IMAGES, 11), "from 1 to 9"),
        (lambda: ELS(IMAGES, 3, "wrap"), "boundary"),
        (lambda: SquareComposite(IMAGES, 5), "from 1 to 4"),
        (lambda: PCALocality(IMAGES, SPECTRUM, 1.5), "theta"),
        (lambda: PCALocality(IMAGES, SPECTRUM, tau=0.0), "tau"),
        (lambda: PCALocality(IMAGES, SPECTRUM, accumulate="chunk_mean"), "give chunk"),
        (lambda: Masked(IMAGES, np.eye(n), chunk=0), "at least 1"),
        (lambda: Images(np.full((2, 1, 2, 2), np.nan)), "not finite"),
        (lambda: Images(np.zeros((0, 1, 2, 2))), "is needed"),
        (lambda: Images(np.zeros((3, 4))), "is needed"),
        (lambda: denoise.denoiser(Optimal(IMAGES), (1, 1, 1)), "is of images"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        call()
    assert str(error.value).count("\n") == 0
