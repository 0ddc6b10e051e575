"""RED-diff and FLAIR: the identities of their sheets, closed forms of Gaussian priors, and the MNIST bed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets, denoise, inverse
from lab.inverse import flair, metrics, reddiff, solving
from lab.numerics import Chunked, Reason, pure
from lab.paths import Mixture

N = 6
RANDOM = np.random.default_rng(0)
M = RANDOM.normal(size=N)
_HALF = RANDOM.normal(size=(N, N))
S = _HALF @ _HALF.T / N + 0.2 * np.eye(N)
SPECTRUM = denoise.Spectrum(
    jnp.asarray(M), *(jnp.asarray(each[..., ::-1]) for each in np.linalg.eigh(S)), jnp.asarray(np.trace(S))
)
PRIOR = Mixture([1.0], M[None], S[None])
D = denoise.Wiener(SPECTRUM, (1, 1, N))
MASK = inverse.Mask(jnp.asarray([[[True, False, True, True, False, False]]]))
X = jnp.asarray(RANDOM.multivariate_normal(M, S)).reshape(1, 1, N)
GIVEN = inverse.measure(MASK, X, 0.1, jax.random.key(1))


def noised(t):
    """Of flow coordinates."""
    return (1 - t) ** 2 * S + t**2 * np.eye(N)


# --- RED-diff ---


def test_the_step_of_the_linear_weight_is_that_of_red_for_any_denoiser():
    anything = denoise.denoiser(lambda x, sigma: jnp.tanh(x) * sigma.reshape(-1, 1, 1, 1), (1, 1, N))
    mu, eps = jnp.asarray(RANDOM.normal(size=(3, N))), jnp.asarray(RANDOM.normal(size=(3, N)))
    for abar in (0.9, 0.3, 1e-3):
        alpha, sigma = jnp.sqrt(abar), jnp.sqrt(1 - abar)
        pull = sigma / alpha * reddiff.residual(anything, alpha, sigma, mu, eps)
        x0 = anything.denoise(mu + sigma / alpha * eps, sigma / alpha)
        np.testing.assert_allclose(pull, mu - x0, atol=1e-10 / abar)


@pytest.mark.slow
def test_the_expected_residual_of_a_gaussian():
    alpha, sigma, mu = 0.8, 0.6, jnp.asarray(RANDOM.normal(size=N))
    eps = jax.random.normal(jax.random.key(2), (400_000, N))
    each = reddiff.residual(D, jnp.asarray(alpha), jnp.asarray(sigma), mu[None], eps)
    c = alpha**2 * S + sigma**2 * np.eye(N)
    expected = alpha * sigma * np.linalg.solve(c, mu - M)
    assert (np.abs(each.mean(axis=0) - expected) < 5 * each.std(axis=0) / 400_000**0.5).all()


def test_weights_of_the_family():
    r = jnp.linspace(0.01, 20, 50)
    for name in ("linear", "sqrt", "square", "trunc_linear", "power2over3", "const"):
        assert float(reddiff.weight(name, jnp.asarray(1.0))) == 1
    assert float(reddiff.weight("log", jnp.asarray(1.0))) == pytest.approx(np.log(2))
    assert (reddiff.weight("trunc_linear", r) <= reddiff.weight("linear", r)).all()
    assert reddiff.abar()[-1] == pytest.approx(4e-5, rel=0.02)


@pytest.mark.slow
def test_gradient_descent_at_falling_rates_rests_where_the_closed_form_says():
    method = inverse.REDDiff(
        lam=0.5,
        rate=0.3,
        steps=20_000,
        weight="trunc_linear",
        order="random",
        optimizer="sgd",
        reduction="sum",
        decay=0.002,
        levels=50,
    )
    found = inverse.solve(GIVEN, D, method, seeds=64, keep=True)
    rests = reddiff.stationary(GIVEN, PRIOR, method)
    np.testing.assert_allclose(found.path[5_000:].reshape(-1, N).mean(axis=0), rests, atol=5e-3)
    mean = inverse.posterior(GIVEN, PRIOR).means[0]
    assert np.abs(rests - mean).max() > 0.05  # it is another point


def test_sum_and_mean_agree_when_the_strengths_are_scaled():
    m = 3
    one = inverse.REDDiff(lam=0.3, v=1.0, rate=0.1, steps=30, optimizer="sgd")
    other = one._replace(lam=0.3 / N, v=1.0 / m, reduction="sum")
    found = [inverse.solve(GIVEN, D, method).x for method in (one, other)]
    np.testing.assert_allclose(*found, rtol=1e-12)
    rests = [reddiff.stationary(GIVEN, PRIOR, method) for method in (one, other)]
    np.testing.assert_allclose(*rests, rtol=1e-9)


@pytest.mark.slow
def test_without_a_prior_the_data_are_fitted_and_what_is_hidden_stays():
    start = jnp.full((1, 1, N), 0.7)
    method = inverse.REDDiff(lam=0.0, rate=1.0, steps=300, optimizer="sgd", latest=0.5)
    found = inverse.solve(GIVEN, D, method, start=start).x[0]
    np.testing.assert_allclose(jnp.where(MASK.seen, found, GIVEN.y), GIVEN.y, atol=1e-9)
    assert (found[~MASK.seen] == 0.7).all()
    whole = inverse.Dense(RANDOM.normal(size=(9, N)), (1, 1, N))
    given = inverse.problem(whole, RANDOM.normal(size=9), 0.1)
    found = inverse.solve(given, D, method._replace(rate=0.3, steps=20_000, reduction="sum", v=0.1)).x[0]
    np.testing.assert_allclose(found, whole.pinv(given.y), atol=1e-6)
    data = inverse.REDDiff(v=1e6, rate=1e-6, steps=2000, optimizer="sgd", reduction="sum", lam=0.1)
    sees_all = inverse.problem(inverse.Identity((1, 1, N)), X, 0.1)
    np.testing.assert_allclose(inverse.solve(sees_all, D, data, start=0 * X).x[0], X, atol=1e-4)


def test_no_derivative_of_the_denoiser_is_taken():
    def on_the_host(x, sigma):
        return jax.pure_callback(
            lambda x: 0.5 * np.asarray(x), jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential"
        )

    method = inverse.REDDiff(steps=5)
    host = inverse.solve(GIVEN, denoise.denoiser(on_the_host, (1, 1, N)), method).x
    plain = inverse.solve(GIVEN, denoise.denoiser(lambda x, sigma: 0.5 * x, (1, 1, N)), method).x
    np.testing.assert_allclose(host, plain, rtol=1e-12)


# --- FLAIR ---


def test_velocities_of_a_gaussian_and_the_step():
    x = jnp.asarray(RANDOM.normal(size=(4, N)))
    for t in (0.2, 0.5, 0.9):
        v = D.velocity(x, t)
        closed = -M + (np.asarray(x) - (1 - t) * M) @ np.linalg.solve(noised(t), t * np.eye(N) - (1 - t) * S)
        np.testing.assert_allclose(v, closed, atol=1e-10)
        np.testing.assert_allclose((1 - t) * D.x0_from_flow(x, t) + t * D.x1_hat(x, t), x, atol=1e-12)
        mu, eps = x[0], x[1]
        at = (1 - t) * mu + t * eps
        g = D.velocity(at[None], t)[0] - (eps - mu)
        np.testing.assert_allclose(mu - 0.3 * g, mu + 0.3 / t * (D.x0_from_flow(at[None], t)[0] - mu), atol=1e-12)


@pytest.mark.slow
def test_the_expected_step_of_a_gaussian():
    t, mu = 0.4, jnp.asarray(RANDOM.normal(size=N))
    eps = jax.random.normal(jax.random.key(3), (300_000, N))
    each = D.velocity((1 - t) * mu[None] + t * eps, t) - (eps - mu[None])
    expected = t * np.linalg.solve(noised(t), mu - M)
    assert (np.abs(each.mean(axis=0) - expected) < 5 * each.std(axis=0) / 300_000**0.5).all()


@pytest.mark.slow
def test_at_a_frozen_time_the_hidden_part_rests_at_the_mean_given_the_seen():
    seen = np.asarray(MASK.seen).ravel()
    y = np.asarray(GIVEN.y).ravel()
    errors = []
    for t in (0.5, 0.1, 0.01):
        c = noised(t)
        mu = np.where(seen, y, 0.0)
        size = 1 / (t * np.linalg.eigvalsh(np.linalg.inv(c)).max())
        for _ in range(20_000):
            mu = np.where(seen, y, mu - size * t * np.linalg.solve(c, mu - M))
        rests = M[~seen] + c[np.ix_(~seen, seen)] @ np.linalg.solve(c[np.ix_(seen, seen)], y[seen] - M[seen])
        np.testing.assert_allclose(mu[~seen], rests, atol=1e-8)
        exact = M[~seen] + S[np.ix_(~seen, seen)] @ np.linalg.solve(S[np.ix_(seen, seen)], y[seen] - M[seen])
        errors.append(np.abs(rests - exact).max())
    assert errors[0] > errors[1] > errors[2]


def test_data_by_projection_by_prox_and_by_descent():
    wide = inverse.Dense(RANDOM.normal(size=(4, N)), (1, 1, N))
    given = inverse.problem(wide, RANDOM.normal(size=4), 0.0)
    mu, squared = jnp.asarray(RANDOM.normal(size=(3, N))), wide.norm() ** 2
    projected = flair.consistent(solving.each(given, len(mu)), mu, "project", squared, 0, jnp.asarray(0.5))
    off = np.sqrt(given.misfit(projected.reshape(3, 1, 1, N)))
    assert (off <= 1e-10 * float(jnp.linalg.norm(given.y))).all()
    closest = mu + (np.linalg.pinv(np.asarray(wide.weights)) @ (np.asarray(given.y)[:, None] - wide.weights @ mu.T)).T
    np.testing.assert_allclose(projected, closest, atol=1e-10)
    h, rho = np.asarray(wide.weights), 1e-3 * float(squared)
    soft = np.linalg.solve(h.T @ h + rho * np.eye(N), (h.T @ np.asarray(given.y))[:, None] + rho * np.asarray(mu).T).T
    np.testing.assert_allclose(
        flair.consistent(solving.each(given, len(mu)), mu, "prox", squared, 0, jnp.asarray(0.5)), soft, atol=1e-6
    )
    noisy = inverse.problem(wide, given.y, 0.5)
    stopped = flair.consistent(solving.each(noisy, len(mu)), mu, "prox", squared, 0, jnp.asarray(0.5))
    assert (noisy.misfit(stopped.reshape(3, 1, 1, N)) <= 4 * 0.5**2).all()
    down = flair.consistent(solving.each(given, len(mu)), mu, "sgd", squared, 5000, jnp.asarray(0.5))
    assert (given.misfit(down.reshape(3, 1, 1, N)) < 1e-4 * 4).all()
    none = flair.consistent(solving.each(given, len(mu)), mu, "sgd", squared, 0, jnp.asarray(0.5))
    np.testing.assert_array_equal(none, mu)


@pytest.mark.slow
def test_without_weight_the_answer_is_the_projection_and_with_all_seen_it_is_the_data():
    plain = inverse.Flair(c=0.0, steps=7)
    found = inverse.solve(GIVEN, D, plain, seeds=3, key=jax.random.key(7)).x
    np.testing.assert_array_equal(found, jnp.broadcast_to(GIVEN.y, found.shape))
    sees_all = inverse.problem(inverse.Identity((1, 1, N)), X, 0.0)
    np.testing.assert_allclose(inverse.solve(sees_all, D, inverse.Flair(steps=7, data="project")).x[0], X, atol=1e-12)
    found = inverse.solve(GIVEN, D, inverse.Flair(steps=20), seeds=4).x
    assert (found.std(axis=0)[MASK.seen] == 0).all()
    assert (found.std(axis=0)[~MASK.seen] > 0).all()


def test_a_deterministic_trajectory_forgets_fresh_noise_and_a_random_one_the_end():
    task: dict = {"problem": GIVEN, "denoiser": D, "t": inverse.Flair(steps=9).times(), "start": GIVEN.y.reshape(1, N)}
    task |= {"weight": jnp.full(9, 0.2), "squared": jnp.asarray(1.0), "data_rate": jnp.asarray(0.5)}
    task |= {"data": "project", "data_steps": jnp.int32(0), "counts": None, "keep": False}
    first, other = (jax.random.normal(jax.random.key(seed), (1, N)) for seed in (1, 2))

    def end(adjust, key, first):
        keys = jax.random.split(jax.random.key(key), 1)
        given = flair._Task(**task, adjust=jnp.full(9, adjust), keys=keys, first=first)
        return pure(flair._TURNS, given, max_iterations=9).state.mu

    np.testing.assert_array_equal(end(1.0, 0, first), end(1.0, 5, first))
    assert np.abs(end(1.0, 0, first) - end(1.0, 0, other)).max() > 1e-3
    np.testing.assert_array_equal(end(0.0, 0, first), end(0.0, 0, other))
    assert np.abs(end(0.0, 0, first) - end(0.0, 5, first)).max() > 1e-3


@pytest.mark.slow
def test_calibration_is_the_error_of_the_denoiser_over_the_time_squared():
    images = jnp.asarray(RANDOM.multivariate_normal(M, S, 20_000))
    found = flair.calibrate(D, images, jax.random.key(0))
    closed = flair.calibrate(D, None, jax.random.key(0))
    np.testing.assert_allclose(found.error[1:-1], closed.error[1:-1], rtol=0.02)
    inner = (np.abs(found.t - 0.5) < 0.1).nonzero()[0][:3]
    eps = jax.random.normal(jax.random.key(1), images.shape)
    for at in inner:
        t = found.t[at]
        off = D.velocity((1 - t) * images + t * eps, t) - (eps - images)
        assert float((off**2).mean()) == pytest.approx(float(found.error[at]), rel=0.02)
    weights = found.weights(1.0)
    assert (weights >= 0).all()
    assert weights[-1] == 0
    b = 1 / (found.error + 1e-7)
    np.testing.assert_allclose(weights, np.maximum(b / b.mean() - (b / b.mean())[-1], 0), rtol=1e-12)
    np.testing.assert_allclose(found._replace(error=7 * found.error).weights(1.0), weights, rtol=1e-4)
    np.testing.assert_allclose(
        found.at(jnp.asarray([1.0, 0.5, 0.0]), 0.5), 0.5 * weights[jnp.asarray([0, 49, 99])], rtol=0.03
    )


@pytest.mark.slow
def test_the_steps_are_those_of_the_sheet_written_out():
    """In NumPy, with the same noise: a lost factor or a wrong time shows."""
    table = flair.calibrate(D, None, jax.random.key(0))
    table = table._replace(error=jnp.linspace(0.5, 2.0, table.t.size))  # weights that are not 0
    method = inverse.Flair(table, c=0.6, steps=4, t_min=0.3, adjust_scale=0.8, data="project")
    found = inverse.solve(GIVEN, D, method, key=jax.random.key(3), seeds=2, keep=True)
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(3), seed))(jnp.arange(2))
    seen, y = np.asarray(MASK.seen).ravel(), np.asarray(GIVEN.y).ravel()
    for number in range(2):
        mu = y.copy()
        x1 = np.asarray(jax.random.normal(jax.random.fold_in(keys[number], 2**30), (N,)))
        for step, t in enumerate(np.linspace(1, 0.3, 6)[1:-1]):
            xi = np.asarray(solving.normal(keys, jnp.int32(step), 0, N, jnp.float64))[number]
            a = 0.8 * (1 - t)
            eps = a * x1 + np.sqrt(1 - a**2) * xi
            x = (1 - t) * mu + t * eps
            v = -M + (t * np.eye(N) - (1 - t) * S) @ np.linalg.solve(noised(t), x - (1 - t) * M)
            inverse_error = 1 / (np.asarray(table.error) + 1e-7)
            b = inverse_error / inverse_error.mean()
            weight = 0.6 * max(b[np.abs(np.asarray(table.t) - t).argmin()] - b[-1], 0)
            x1 = x + (1 - t) * v
            mu = np.where(seen, y, mu - weight * (v - (eps - mu)))
            np.testing.assert_allclose(found.path[step, number].ravel(), mu, atol=1e-10)
            for name, kept in (("x_t", x), ("x1_hat", x1)):
                np.testing.assert_allclose(found.beside[name][step, number].ravel(), kept, atol=1e-10)


def test_red_diff_steps_written_out():
    method = inverse.REDDiff(lam=0.4, v=0.7, rate=0.2, steps=5, weight="sqrt", dispersion=0.1, latest=0.6)
    found = inverse.solve(GIVEN, D, method, key=jax.random.key(3), keep=True)
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(3), seed))(jnp.arange(1))
    products = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[np.round(np.linspace(0, 599, 5)).astype(int)][::-1]
    seen, y, mu = np.asarray(MASK.seen).ravel(), np.asarray(GIVEN.y).ravel(), np.asarray(GIVEN.y).ravel()
    first = second = np.zeros(N)
    for step, abar in enumerate(products):
        alpha, sigma = np.sqrt(abar), np.sqrt(1 - abar)
        eps, xi = (np.asarray(solving.normal(keys, jnp.int32(step), what, N, jnp.float64))[0] for what in (0, 1))
        x = mu + 0.1 * xi
        at = alpha * x + sigma * eps
        predicted = sigma * np.linalg.solve(alpha**2 * S + sigma**2 * np.eye(N), at - alpha * M)
        slope = 0.7 * np.where(seen, x - y, 0) / 3 + 0.4 * np.sqrt(sigma / alpha) * (predicted - eps) / N
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        part = step + 1
        mu = mu - 0.2 * (first / (1 - 0.9**part)) / (np.sqrt(second / (1 - 0.99**part)) + 1e-8)
        np.testing.assert_allclose(found.path[step].ravel(), mu, atol=1e-9)


def test_an_unstable_weight_is_told():
    assert bool(inverse.Flair(c=0.3).is_stable)
    assert not bool(inverse.Flair(c=0.5, t_min=0.02).is_stable)
    assert bool(inverse.Flair(flair.calibrate(D, None, jax.random.key(0)), c=0.25).is_stable)


# --- both ---


@pytest.mark.slow
@pytest.mark.parametrize("method", [inverse.REDDiff(steps=12), inverse.Flair(steps=12)], ids=["red-diff", "flair"])
def test_seeds_are_independent_reproducible_and_chunks_are_the_whole(method):
    many = inverse.solve(GIVEN, D, method, seeds=3, key=jax.random.key(4), keep=True)
    again = inverse.solve(GIVEN, D, method, seeds=1, key=jax.random.key(4), loop=Chunked())
    np.testing.assert_allclose(many.x[:1], again.x, atol=1e-12)
    np.testing.assert_array_equal(many.path[-1], many.x)
    assert many.path.shape == (12, 3, 1, 1, N)
    assert many.reason == Reason.CONVERGED
    assert not many.diverged.any()
    stopped = inverse.solve(GIVEN, D, method, loop=Chunked(lambda progress: progress.iteration >= 3, seconds=0.0))
    assert stopped.reason == Reason.STOPPED
    short = inverse.solve(inverse.problem(MASK, GIVEN.y.astype(jnp.float32), 0.1), D, method, key=jax.random.key(4))
    assert short.x.dtype == jnp.float32


def test_one_that_diverges_gives_the_last_that_was_finite():
    wild = denoise.denoiser(lambda x, sigma: 1e200 * x, (1, 1, N))
    for method in (inverse.REDDiff(steps=40, optimizer="sgd", rate=1e3), inverse.Flair(steps=40, c=1.0)):
        with pytest.warns(UserWarning, match="did not converge"):
            found = inverse.solve(GIVEN, wild, method)
        assert found.diverged.all()
        assert found.reason == Reason.NOT_FINITE
        assert np.isfinite(found.x).all()


@pytest.mark.slow
def test_bad_input_is_refused_in_a_sentence():
    other = denoise.Wiener(SPECTRUM, (1, 1, N))
    grows = denoise.denoiser(lambda x, sigma: jnp.concatenate([x, x], axis=-1), (1, 1, N))
    bad = inverse.Calibration(jnp.linspace(1, 0, 3), jnp.asarray([1.0, 0.0, 1.0]))
    large = inverse.problem(inverse.Radon((1, 60, 60), np.arange(0, 180, 9.0)), np.ones((1, 60, 20)), 0.1)
    flat = denoise.denoiser(lambda x, sigma: x, (1, 60, 60))
    for method, sentence in (
        (inverse.REDDiff(lam=-1.0), "lam = -1.0, but it must be at least 0"),
        (inverse.REDDiff(rate=0.0), "rate = 0.0, but it must be above 0"),
        (inverse.REDDiff(steps=0), "steps = 0 is not allowed"),
        (inverse.REDDiff(latest=0.0), "latest = 0.0"),
        (inverse.Flair(t_min=1.0), "t_min = 1 is not allowed: t_min must be greater than 0 and less than 1"),
        (inverse.Flair(steps=0), "steps = 0 is not allowed"),
        (inverse.Flair(adjust_scale=1.5), "adjust_scale = 1.5 is not allowed"),
        (inverse.Flair(bad), r"calibration.error\[.*\] = .* is not allowed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.solve(GIVEN, other, method)
    with pytest.raises(ValueError, match=r"weight = 'linea', but it must be one of 'linear'"):
        inverse.REDDiff(weight="linea")
    with pytest.raises(ValueError, match=r"the images have shape \(3, 4\), but \(count, 6\) is needed"):
        flair.calibrate(D, np.ones((3, 4)), jax.random.key(0))
    with pytest.raises(ValueError, match="choose 'prox'"):
        inverse.solve(large, flat, inverse.Flair(data="project"))
    with pytest.raises(ValueError, match="needs a linear operator: choose 'sgd'"):
        inverse.solve(inverse.problem(inverse.Clip((1, 1, N)), X, 0.1), D, inverse.Flair(data="prox"))
    with pytest.raises(ValueError, match="3600 numbers, but the operator takes"):
        inverse.solve(GIVEN, flat, inverse.REDDiff())
    with pytest.raises(ValueError, match="both must agree"):
        inverse.solve(GIVEN, grows, inverse.REDDiff())
    with pytest.raises(ValueError, match="seeds = 0"):
        inverse.solve(GIVEN, D, inverse.REDDiff(), seeds=0)
    with pytest.raises(ValueError, match=r"start has shape \(3,\)"):
        inverse.solve(GIVEN, D, inverse.REDDiff(), start=jnp.ones(3))


# --- MNIST ---


@pytest.fixture(scope="module")
def bed():
    """The sheet's: a Gaussian prior from 4,000 images, half of the pixels, noise 0.1, 8 test images."""
    data = datasets.load("mnist-images")
    pixels = jnp.asarray(data.arrays["pixels"]) / 127.5 - 1
    held = np.asarray(data.arrays["held_out"])
    train, test = pixels[~held][:4000], pixels[held][:8]
    spectrum = denoise.dense_spectrum(train.reshape(len(train), -1))
    prior = denoise.Wiener(spectrum, (1, 28, 28))
    mask = inverse.Mask(inverse.scattered(jax.random.key(0), (28, 28), 0.5), (1, 28, 28))
    keys = jax.random.split(jax.random.key(1), 8)
    return prior, [inverse.measure(mask, x, 0.1, key) for x, key in zip(test, keys, strict=True)], test


def decibels(bed, make):
    """Of a function of a problem and the prior, or of a method."""
    prior, problems, test = bed
    answer = make if callable(make) else lambda given, prior: inverse.solve(given, prior, make).x[0]
    return float(np.mean([metrics.psnr(answer(given, prior), x) for given, x in zip(problems, test, strict=True)]))


def exact(given, prior):
    mean, values, vectors = prior.spectrum.mean, prior.spectrum.values, prior.spectrum.vectors
    h = given.operator.matrix()
    s = (vectors * values[None, :]) @ vectors.T
    gain = s @ h.T
    inner = h @ gain + given.noise**2 * jnp.eye(len(h))
    return (mean + gain @ jnp.linalg.solve(inner, given.y.ravel() - h @ mean)).reshape(1, 28, 28)


@pytest.mark.slow
def test_the_order_of_red_diff_on_digits(bed):
    best = decibels(bed, exact)
    assert best == pytest.approx(22.8, abs=1.2)
    assert decibels(bed, lambda given, prior: given.start()) == pytest.approx(9.5, abs=1.2)
    found = {}
    for weight in ("const", "sqrt", "linear"):
        method = inverse.REDDiff(lam=0.05, rate=0.02, weight=weight)
        found[weight] = decibels(bed, method)
    for weight, sheet in (("const", 22.1), ("sqrt", 22.0), ("linear", 21.5)):
        assert found[weight] == pytest.approx(best + sheet - 22.8, abs=0.5)
        assert found[weight] <= best
    up = decibels(bed, method._replace(order="ascending"))
    assert up < found["linear"] - 4


@pytest.mark.slow
def test_the_calibrated_weight_of_flair_on_digits(bed):
    best = decibels(bed, exact)
    table = flair.calibrate(bed[0], None, jax.random.key(0))
    found = {
        name: decibels(bed, method)
        for name, method in (
            ("calibrated", inverse.Flair(table)),
            ("without adjustment", inverse.Flair(table, adjust="none")),
            ("constant", inverse.Flair(c=0.5)),
        )
    }
    assert found["calibrated"] == pytest.approx(best + 21.0 - 22.8, abs=0.7)
    assert found["calibrated"] >= found["constant"] + 2
    assert found["without adjustment"] == pytest.approx(found["calibrated"], abs=0.4)
