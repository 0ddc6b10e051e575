"""DPS, PiGDM and DDRM: their steps written out, what a Gaussian prior makes of them, and digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets, denoise, inverse
from lab.inverse import guided, metrics, solving, spectral
from lab.numerics import Chunked
from lab.paths import Mixture

N = 5
RANDOM = np.random.default_rng(4)
M = RANDOM.normal(size=N)
_HALF = RANDOM.normal(size=(N, N))
S = _HALF @ _HALF.T / N + 0.2 * np.eye(N)
VALUES, VECTORS = np.linalg.eigh(S)
SPECTRUM = denoise.Spectrum(
    jnp.asarray(M), *(jnp.asarray(z[..., ::-1]) for z in (VALUES, VECTORS)), jnp.asarray(np.trace(S))
)
PRIOR, D = Mixture([1.0], M[None], S[None]), denoise.Wiener(SPECTRUM, (1, 1, N))
MADE = inverse.Dense(RANDOM.normal(size=(3, N)), (1, 1, N))
H = np.asarray(MADE.weights)
GIVEN = inverse.measure(MADE, jnp.asarray(M).reshape(1, 1, N) + 0.3, 0.2, jax.random.key(0))
Y = np.asarray(GIVEN.y)
PRODUCTS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def drawn(key, step):
    """The noise of the first seed."""
    keys = jax.vmap(lambda seed: jax.random.fold_in(key, seed))(jnp.arange(1))
    return np.asarray(solving.normal(keys, jnp.int32(step), 0, N, jnp.float64))[0]


def kept(steps):
    """abar of each step and of the next."""
    now = PRODUCTS[np.round(np.linspace(0, 999, steps)).astype(int)][::-1]
    return now, np.append(now[1:], 1.0)


def wiener(variance):
    return S @ np.linalg.inv(S + variance * np.eye(N))


# --- DPS ---


@pytest.mark.slow
def test_dps_without_strength_samples_the_prior_and_with_it_fits_the_data():
    free = inverse.solve(GIVEN, D, inverse.DPS(zeta=0.0, steps=1000), seeds=4000).x.reshape(4000, N)
    np.testing.assert_allclose(free.mean(axis=0), M, atol=0.1)
    np.testing.assert_allclose(np.cov(free.T), S, atol=0.15)
    bent = inverse.solve(GIVEN, D, inverse.DPS(zeta=0.05, steps=1000), seeds=50)
    assert float(GIVEN.misfit(bent.x).mean()) < 0.05 * float(GIVEN.misfit(free.reshape(-1, 1, 1, N)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["constant", "score"])
def test_steps_of_dps_written_out(weight):
    found = inverse.solve(GIVEN, D, inverse.DPS(zeta=0.3, weight=weight, steps=4), key=jax.random.key(3), keep=True)
    x = drawn(jax.random.key(3), 2**30)
    for step, (now, then) in enumerate(zip(*kept(4), strict=True)):
        derivative = wiener((1 - now) / now)
        x0 = M + derivative @ (x / np.sqrt(now) - M)
        off = H @ x0 - Y
        slope = derivative.T @ H.T @ off / np.linalg.norm(off) / np.sqrt(now)
        beta = 1 - now / then
        mean = (np.sqrt(now / then) * (1 - then) * x + np.sqrt(then) * beta * x0) / (1 - now)
        bent = 0.3 * slope * (beta / np.sqrt(1 - beta) if weight == "score" else 1)
        x = mean + np.sqrt(beta * (1 - then) / (1 - now)) * drawn(jax.random.key(3), step) - bent
        np.testing.assert_allclose(found.path[step].ravel(), x, atol=1e-8)


# --- PiGDM ---


@pytest.mark.parametrize("noise", [0.2, 0.0])
@pytest.mark.parametrize("weight", ["adaptive", "score"])
def test_steps_of_pigdm_written_out(weight, noise):
    given = inverse.problem(MADE, GIVEN.y, noise)
    method = inverse.PiGDM(eta=0.6, strength=0.8, weight=weight, steps=4)
    found = inverse.solve(given, D, method, key=jax.random.key(3), keep=True)
    x = drawn(jax.random.key(3), 2**30)
    for step, (now, then) in enumerate(zip(*kept(4), strict=True)):
        variance = (1 - now) / now
        r2 = variance / (1 + variance)
        derivative = wiener(variance)
        x0 = M + derivative @ (x / np.sqrt(now) - M)
        inner = np.linalg.inv(r2 * H @ H.T + noise**2 * np.eye(3))
        g = derivative.T @ H.T @ inner @ (Y - H @ x0)
        bent = x0 + 0.8 * (variance if weight == "score" else r2) * g
        predicted = (x - np.sqrt(now) * (bent if weight == "score" else x0)) / np.sqrt(1 - now)
        fresh = 0.6 * np.sqrt((1 - now / then) * (1 - then) / (1 - now))
        x = np.sqrt(then) * bent + fresh * drawn(jax.random.key(3), step) + np.sqrt(1 - then - fresh**2) * predicted
        np.testing.assert_allclose(found.path[step].ravel(), x, atol=1e-7)


def given_both(variance):
    """The mean of x_0 given x (VE coordinates) and y as matrices: of x, and what is added."""
    both = np.concatenate([np.eye(N), H])
    noise = np.diag([variance] * N + [0.04] * 3)
    gain = np.linalg.solve(both @ S @ both.T + noise, both @ S).T
    return gain[:, :N], M + gain @ np.concatenate([-M, Y - H @ M])


@pytest.mark.slow
def test_with_the_exact_covariance_the_score_is_that_of_the_posterior():
    x = RANDOM.normal(size=(6, N))
    for variance in (9.0, 0.5, 0.01):
        of_x, rest = given_both(variance)
        x0, g = guided.guidance(
            solving.each(GIVEN, 6), D, jnp.asarray(x), jnp.asarray(variance), None, "tweedie", inner=30
        )
        np.testing.assert_allclose(x0 + variance * g, x @ of_x.T + rest, atol=1e-8)


@pytest.mark.slow
def test_seeds_of_pigdm_with_the_exact_covariance_are_samples_of_the_posterior():
    """The law of any number of steps, in NumPy: answers agree with it within their errors, and of many it is the posterior."""

    def law(steps):
        mean, cov = np.zeros(N), np.eye(N)
        for now, then in zip(*kept(steps), strict=True):
            of_x, rest = given_both((1 - now) / now)
            fresh2 = (1 - now / then) * (1 - then) / (1 - now)
            again = np.sqrt(1 - then - fresh2) / np.sqrt(1 - now)
            move = (np.sqrt(then) - again * np.sqrt(now)) * of_x / np.sqrt(now) + again * np.eye(N)
            mean = move @ mean + (np.sqrt(then) - again * np.sqrt(now)) * rest
            cov = move @ cov @ move.T + fresh2 * np.eye(N)
        return mean, cov

    exact = inverse.posterior(GIVEN, PRIOR)
    mean, cov = law(1000)
    np.testing.assert_allclose(mean, exact.means[0], atol=0.01)
    np.testing.assert_allclose(cov, exact.covariances[0], atol=0.01)
    method = inverse.PiGDM(weight="score", covariance="tweedie", steps=40, inner=4)
    found = np.asarray(inverse.solve(GIVEN, D, method, seeds=4000).x.reshape(4000, N))
    mean, cov = law(40)
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * np.sqrt(np.diag(cov) / 4000)).all()
    errors = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / 4000)
    assert (np.abs(np.cov(found.T) - cov) < 4.5 * errors).all()


def test_the_guidance_is_the_same_by_the_decomposition_and_by_conjugate_gradients():
    x, variance = jnp.asarray(RANDOM.normal(size=(3, N))), jnp.asarray(0.7)
    for noise in (0.2, 0.0):
        many = solving.each(inverse.problem(MADE, GIVEN.y, noise), 3)
        one, other = (
            guided.guidance(many, D, x, variance, found, "isotropic", 30)[1] for found in (spectral.basis(MADE), None)
        )
        np.testing.assert_allclose(one, other, atol=1e-8)


@pytest.mark.slow
def test_complex_measurements_guide_as_their_two_parts():
    shape = (1, 4, 4)
    values, vectors = np.linalg.eigh(np.cov(RANDOM.normal(size=(16, 40))) + 0.1 * np.eye(16))
    spectrum = denoise.Spectrum(
        jnp.zeros(16), jnp.asarray(values[::-1]), jnp.asarray(vectors[:, ::-1]), jnp.asarray(values.sum())
    )
    made, prior = (
        inverse.MaskedFourier(shape, jnp.asarray(RANDOM.uniform(size=(4, 4)) < 0.5)),
        denoise.Wiener(spectrum, shape),
    )
    given = inverse.measure(made, RANDOM.normal(size=shape), 0.3, jax.random.key(0))
    h, y = np.asarray(made.matrix()), np.concatenate([given.y.real.ravel(), given.y.imag.ravel()])
    x, s = RANDOM.normal(size=16), vectors * values @ vectors.T
    derivative = s @ np.linalg.inv(s + 0.5 * np.eye(16))
    for covariance, c in (("tweedie", 0.5 * derivative), ("isotropic", 0.5 / 1.5 * np.eye(16))):
        inner = h @ c @ h.T + 0.09 * np.eye(len(h))
        expected = derivative.T @ h.T @ np.linalg.solve(inner, y - h @ derivative @ x)
        found = guided.guidance(
            solving.each(given, 1), prior, jnp.asarray(x)[None], jnp.asarray(0.5), spectral.basis(made), covariance, 60
        )[1]
        np.testing.assert_allclose(found[0], expected, atol=1e-8)


# --- DDRM ---


def test_steps_of_ddrm_written_out():
    """Here the smallest singular value is noisier than the last levels, the largest never, and two directions are not seen."""
    method = inverse.DDRM(eta=0.6, eta_b=0.7, steps=6)
    found = inverse.solve(GIVEN, D, method, key=jax.random.key(3), keep=True)
    turn = np.asarray(spectral.basis(MADE).turn.weights)  # fixes the signs, which are free
    s = np.sqrt(np.diag(turn @ H.T @ H @ turn.T)[:3])
    np.testing.assert_allclose(s, np.linalg.svd(H)[1], rtol=1e-9)
    seen = turn @ np.linalg.pinv(H) @ Y
    levels = np.sqrt((1 - kept(6)[0]) / kept(6)[0])
    z = np.zeros(N)
    eps = turn @ drawn(jax.random.key(3), 2**30)
    for i in range(N):
        z[i] = seen[i] + np.sqrt(levels[0] ** 2 - (0.2 / s[i]) ** 2) * eps[i] if i < 3 else levels[0] * eps[i]
    cases = set()
    for step, (before, sigma) in enumerate(zip(levels, np.append(levels[1:], 0.0), strict=True)):
        z0 = turn @ (M + wiener(before**2) @ (turn.T @ z - M))
        eps, new = turn @ drawn(jax.random.key(3), step), np.zeros(N)
        for i in range(N):
            if i >= 3:
                new[i] = z0[i] + 0.8 * sigma * (z[i] - z0[i]) / before + 0.6 * sigma * eps[i]
            elif sigma < 0.2 / s[i]:
                new[i] = z0[i] + 0.8 * sigma * (seen[i] - z0[i]) / (0.2 / s[i]) + 0.6 * sigma * eps[i]
            else:
                deviation = np.sqrt(sigma**2 - (0.7 * 0.2 / s[i]) ** 2)
                new[i] = 0.3 * z0[i] + 0.7 * seen[i] + deviation * eps[i]
            cases.add((i >= 3, sigma > 0, sigma < 0.2 / s[min(i, 2)]))
        z = new
        np.testing.assert_allclose(found.path[step].ravel(), turn.T @ z, atol=1e-8)
    assert {(False, True, True), (False, True, False)} <= cases


@pytest.mark.slow
def test_with_the_true_image_for_the_denoised_one_each_level_has_the_law_of_a_noised_image():
    """The theorem that DDRM rests on, over measurements, whatever eta and eta_b are."""
    truth = jnp.asarray(M)
    knows = denoise.denoiser(lambda x, sigma: jnp.broadcast_to(truth, (len(x), N)).reshape(x.shape), (1, 1, N))
    many = inverse.measure(MADE, jnp.broadcast_to(truth.reshape(1, 1, 1, N), (6000, 1, 1, N)), 0.2, jax.random.key(7))
    method = inverse.DDRM(eta=0.7, eta_b=0.8, steps=8)
    found = inverse.solve(many, knows, method, keep=True)
    levels = np.append(np.sqrt((1 - kept(8)[0]) / kept(8)[0])[1:], 0.0)
    for sigma, x in zip(levels[2:7], np.asarray(found.path[2:7]).reshape(5, 6000, N), strict=True):
        off = (x - M) / sigma
        assert (np.abs(off.mean(axis=0)) < 4.5 / 6000**0.5).all()
        assert (np.abs(np.cov(off.T) - np.eye(N)) < 4.5 * np.sqrt((1 + np.eye(N)) / 6000)).all()
    np.testing.assert_allclose(found.x.reshape(-1, N), np.broadcast_to(M, (6000, N)), atol=1e-12)


@pytest.mark.slow
def test_without_noise_ddrm_returns_what_was_measured():
    mask = inverse.Mask(jnp.asarray([[[True, False, True, True, False]]]))
    x = jnp.asarray(RANDOM.normal(size=(1, 1, N)))
    for made in (mask, inverse.Identity((1, 1, N)), MADE):
        given = inverse.problem(made, made(x), 0.0)
        found = inverse.solve(given, D, inverse.DDRM(), seeds=3).x
        np.testing.assert_allclose(jax.vmap(made)(found), jnp.broadcast_to(given.y, (3, *given.y.shape)), atol=1e-12)
    assert found.std(axis=0).max() > 0.01
    soft = inverse.solve(given, D, inverse.DDRM(eta_b=0.5), seeds=3).x
    assert float(given.misfit(soft).min()) > 1e-6


# --- all ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [inverse.DPS(steps=9), inverse.PiGDM(steps=9), inverse.PiGDM(steps=9, covariance="tweedie"), inverse.DDRM(steps=9)],
    ids=["dps", "pigdm", "tweedie", "ddrm"],
)
def test_seeds_are_independent_and_chunks_and_images_are_the_whole(method):
    many = inverse.solve(GIVEN, D, method, seeds=3, key=jax.random.key(4), keep=True)
    again = inverse.solve(GIVEN, D, method, seeds=2, key=jax.random.key(4), loop=Chunked())
    np.testing.assert_allclose(many.x[:2], again.x, atol=1e-11)
    np.testing.assert_array_equal(many.path[-1], many.x)
    two = inverse.problem(MADE, jnp.stack([GIVEN.y, 2 * GIVEN.y]), 0.2)
    both = inverse.solve(two, D, method, seeds=2, key=jax.random.key(4)).x
    alone = inverse.solve(
        inverse.problem(MADE, 2 * GIVEN.y, 0.2), D, method, seeds=2, key=jax.random.fold_in(jax.random.key(4), 1)
    )
    np.testing.assert_allclose(both[1], alone.x, atol=1e-11)
    short = inverse.solve(inverse.problem(MADE, GIVEN.y.astype(jnp.float32), 0.2), D, method, key=jax.random.key(4))
    assert short.x.dtype == jnp.float32


@pytest.mark.slow
def test_bad_input_is_refused_in_a_sentence():
    near = denoise.Nearest(denoise.Images(jnp.ones((3, 1, 1, N))))
    clipped = inverse.problem(inverse.Clip((1, 1, N)), jnp.ones((1, 1, N)), 0.1)
    large = inverse.problem(inverse.Radon((1, 60, 60), np.arange(0, 180, 9.0)), np.ones((1, 60, 20)), 0.1)
    flat = denoise.denoiser(lambda x, sigma: x, (1, 60, 60))
    for given, prior, method, sentence in (
        (GIVEN, D, inverse.DPS(steps=2000), "steps = 2000, but from 1 to 1000"),
        (GIVEN, D, inverse.DPS(zeta=-1.0), "zeta = -1.0, but it must be at least 0"),
        (GIVEN, near, inverse.DPS(), "DPS differentiates it"),
        (GIVEN, near, inverse.PiGDM(), "PiGDM differentiates it"),
        (GIVEN, D, inverse.PiGDM(eta=1.5), "eta = 1.5, but it must be at least 0, at most 1"),
        (GIVEN, D, inverse.PiGDM(strength=-0.1), "strength = -0.1"),
        (GIVEN, D, inverse.PiGDM(inner=0), "inner = 0"),
        (GIVEN, D, inverse.DDRM(eta_b=2.0), "eta_b = 2.0"),
        (GIVEN, D, inverse.DDRM(steps=0), "steps = 0 is not allowed"),
        (clipped, D, inverse.PiGDM(), "PiGDM needs a linear operator"),
        (clipped, D, inverse.DDRM(), "DDRM needs a linear operator"),
        (large, flat, inverse.DDRM(), "too large to be decomposed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.solve(given, prior, method)
    with pytest.raises(ValueError, match="covariance = 'exact', but it must be one of 'isotropic', 'tweedie'"):
        inverse.PiGDM(covariance="exact")


# --- MNIST ---


@pytest.mark.slow
def test_samplers_on_digits():
    """A Gaussian prior from 4,000 images, half of the pixels, noise 0.1: what one sample, and the mean of eight, are worth."""
    data = datasets.load("mnist-images")
    pixels = np.asarray(data.arrays["pixels"]) / 127.5 - 1
    held = np.asarray(data.arrays["held_out"])
    train, test = pixels[~held][:4000].reshape(4000, -1), jnp.asarray(pixels[held][8:12])
    prior = denoise.Wiener(denoise.dense_spectrum(jnp.asarray(train)), (1, 28, 28))
    mask = inverse.Mask(inverse.scattered(jax.random.key(5), (28, 28), 0.5), (1, 28, 28))
    given = inverse.measure(mask, test.reshape(-1, 1, 28, 28), 0.1, jax.random.key(6))
    seen = np.asarray(mask.seen).ravel()
    mean, cov = train.mean(axis=0), np.cov(train.T)
    gain = np.linalg.solve(cov[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum()), cov[seen]).T
    exact = mean + (np.asarray(given.y).reshape(4, -1)[:, seen] - mean[seen]) @ gain.T
    left = cov - gain @ cov[seen]

    def decibels(x):
        return float(metrics.psnr(x.reshape(4, -1, 1, 28, 28), test.reshape(4, 1, 1, 28, 28)).mean())

    best, one = decibels(jnp.asarray(exact)), {}
    for name, method in (
        ("ddrm", inverse.DDRM(steps=100)),
        ("pigdm", inverse.PiGDM()),
        ("dps", inverse.DPS(zeta=0.7)),
        ("exact", inverse.PiGDM(weight="score", covariance="tweedie", inner=10, steps=60)),
    ):
        found = inverse.solve(given, prior, method, seeds=8).x
        one[name] = decibels(found)
        assert best - 5 < one[name] < best - 1  # a sample is worse than the mean
        assert best - 2 < decibels(found.mean(axis=1)) < best + 0.5
    # the last are samples of the posterior but for their few steps: their mean is as far from the true one as of eight draws
    apart = np.sqrt(((np.asarray(found.mean(axis=1)).reshape(4, -1) - exact) ** 2).mean())
    assert apart == pytest.approx(np.sqrt(np.trace(left) / 784 / 8), rel=0.25)
    assert one["exact"] == pytest.approx(best - 3, abs=1.2)  # twice the error
