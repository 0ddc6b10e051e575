"""What is looked at of a RED-diff run: the way of one answer, its rest, modes in the plane, what answers are worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse import beds, judging, metrics, modes, reddiff
from lab.numerics import Chunked, pure
from lab.numerics.mixtures import Mixture

SHAPE = (1, 5, 5)
RNG = np.random.default_rng(8)
PIXELS = jnp.asarray(RNG.normal(size=(60, 25)) * np.linspace(0.2, 1, 25))
SPECTRUM = denoise.dense_spectrum(PIXELS)
CLEAN = PIXELS[:3]
PROBLEM = inverse.measure(
    inverse.Mask(jnp.asarray(RNG.random(SHAPE) < 0.6)), CLEAN.reshape(3, *SHAPE), 0.2, jax.random.key(5)
)
D = denoise.Wiener(SPECTRUM, SHAPE)
METHOD = inverse.REDDiff(steps=20, dispersion=0.1, weight="sqrt")


@pytest.mark.slow
def test_one_answer_is_followed_as_all_are_found():
    key = jax.random.key(3)
    found = inverse.solve(PROBLEM, D, METHOD, key=key, seeds=2)
    way = reddiff.follow(PROBLEM, D, METHOD, key, 1, pure)
    np.testing.assert_allclose(way.mu[-1], found.x[1, 0].ravel(), atol=1e-12)
    # what the denoiser was given, from the step that it led to: plain steps show their slope
    plain = METHOD._replace(optimizer="sgd", v=0.0, reduction="sum", rate=0.3, weight="const", lam=1.0)
    way = reddiff.follow(PROBLEM, D, plain, key, 1, pure)
    before = np.concatenate([np.zeros((1, 25)), way.mu[:-1]])
    before[0] = np.asarray(PROBLEM.start()[1]).ravel()
    alpha, sigma, _ = plain.times()
    for step in (0, 7, 19):
        r = float(sigma[step] / alpha[step])
        # eps_hat - eps = (noised - D) / r - (noised - mu - s xi) / r = (mu + s xi - D) / r, and xi is what is left
        slope = (before[step] - way.mu[step]) / 0.3
        x0 = np.asarray(D(way.noised[step].reshape(1, *SHAPE), r)).ravel()
        xi = (slope * r + x0 - before[step]) / 0.1
        assert abs(xi.mean()) < 5 / 5
        assert 0.4 < xi.std() < 1.7
    stopped = reddiff.follow(PROBLEM, D, METHOD, key, 0, Chunked(lambda progress: progress.iteration >= 3, seconds=0.0))
    assert np.isnan(stopped.mu[-1]).all()
    assert np.isfinite(stopped.mu[0]).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_where_many_images_rest_is_where_each_does(reduction):
    method = METHOD._replace(reduction=reduction, lam=0.4)
    found = reddiff.rests(PROBLEM, SPECTRUM, method)
    s = (SPECTRUM.vectors * SPECTRUM.values[None]) @ SPECTRUM.vectors.T
    prior = Mixture(jnp.ones(1), SPECTRUM.mean[None], s[None])
    for image in range(3):
        alone = inverse.Problem(PROBLEM.operator, PROBLEM.y[image], PROBLEM.noise)
        np.testing.assert_allclose(found[image], reddiff.stationary(alone, prior, method), atol=1e-9)
    with pytest.raises(ValueError, match="axis of images"):
        reddiff.rests(alone, SPECTRUM, method)


def test_strengths_are_those_of_the_times():
    table = reddiff.strengths(0.3)
    for name in ("linear", "log", "const"):
        visited = inverse.REDDiff(lam=0.3, weight=name, steps=1000, order="ascending").times().strength
        np.testing.assert_allclose(table[reddiff.WEIGHTS.index(name)], visited, rtol=1e-12)


def test_exact_draws_have_the_law_of_the_posterior():
    """A draw for each of many equal measurements."""
    many = inverse.Problem(PROBLEM.operator, jnp.broadcast_to(PROBLEM.y[:1], (4000, *SHAPE)), PROBLEM.noise)
    known = beds.gaussian_posterior(many, SPECTRUM)
    drawn = np.asarray(beds.posterior_draw(many, SPECTRUM, known, PIXELS, jax.random.key(2)))
    assert np.abs((drawn.mean(axis=0) - known.mean[0]) / known.deviation[0]).max() < 5 / 4000**0.5
    np.testing.assert_allclose(drawn.std(axis=0), known.deviation[0], rtol=0.07)
    own = beds.empirical_posterior(many, PIXELS)
    drawn = np.asarray(beds.posterior_draw(many, SPECTRUM, own, PIXELS, jax.random.key(2)))
    assert np.isin(drawn, np.asarray(PIXELS)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), own.mean[0], atol=5 * float(own.deviation.max()) / 4000**0.5)


def test_the_posterior_in_the_plane_by_a_grid():
    """Bayes' rule, point by point, in SciPy."""
    from scipy.stats import multivariate_normal as normal

    law, noise = modes.prior(), 0.2
    x, y = np.linspace(-1.5, 1.5, 61), np.linspace(-2, 2, 81)
    points = np.stack(np.meshgrid(x, y), axis=-1)
    dense = sum(w * normal(m, c).pdf(points) for w, m, c in zip(law.weights, law.means, law.covariances, strict=True))
    dense = dense * np.exp(-((points[..., 0] - modes.Y) ** 2) / (2 * noise**2))
    dense /= dense.sum() * (x[1] - x[0]) * (y[1] - y[0])
    np.testing.assert_allclose(modes.density(noise, jnp.asarray(x), jnp.asarray(y)), dense, atol=0.02 * dense.max())


@pytest.mark.slow
def test_seeds_in_the_plane_are_counted_by_mode():
    method = inverse.REDDiff(lam=0.05, rate=0.1, steps=400)
    found = modes.descend(method, 0.1, jax.random.key(0), 40, pure)
    ends = np.asarray(found.path[-1])
    assert found.path.shape == (401, 40, 2)
    near = np.abs(ends[:, 1, None] - np.asarray([1.0, 0.0, -1.0])[None]).argmin(axis=1)
    np.testing.assert_allclose(found.share, np.bincount(near, minlength=3) / 40, atol=0.1)
    np.testing.assert_allclose(ends[:, 0], modes.Y, atol=0.1)  # they give what was measured
    assert float(found.share.sum()) == pytest.approx(1)
    assert (np.asarray(found.spread)[np.asarray(found.share) > 0.1] < 1.2 * np.asarray(found.width)[0]).all()


@pytest.mark.slow
def test_what_answers_are_worth_in_numpy():
    found = inverse.solve(PROBLEM, D, METHOD, key=jax.random.key(1), seeds=3)
    known = beds.gaussian_posterior(PROBLEM, SPECTRUM)
    start = PROBLEM.start().reshape(3, 25)
    made = judging.judged(PROBLEM, found.x, CLEAN, start, PIXELS, known, CLEAN + 0.1)
    x, seen = np.asarray(found.x).reshape(3, 3, 25), np.asarray(PROBLEM.operator.seen).ravel()
    clean, y = np.asarray(CLEAN), np.asarray(PROBLEM.y).reshape(3, 25)
    np.testing.assert_allclose(made["psnr"].T, 10 * np.log10(4 / ((x - clean[:, None]) ** 2).mean(axis=2)), rtol=1e-9)
    misfit = (((x - y[:, None]) * seen) ** 2).sum(axis=2) / (seen.sum() * 0.04)
    np.testing.assert_allclose(made["data_misfit"].T, misfit, rtol=1e-9)
    np.testing.assert_allclose(made["spread"], np.sqrt((x.std(axis=1, ddof=1) ** 2).mean(axis=1)), rtol=1e-9)
    share = np.sqrt((x.std(axis=1, ddof=1) ** 2).mean() / (np.asarray(known.deviation) ** 2).mean())
    assert float(made["spread_share"]) == pytest.approx(share)
    far = np.sqrt(((x[:, :, None] - np.asarray(PIXELS)) ** 2).mean(axis=3)).min(axis=2)
    np.testing.assert_allclose(made["nearest"].T, far, atol=1e-7)
    np.testing.assert_allclose(made["psnr_draw"], 10 * np.log10(4 / 0.01), rtol=1e-9)
    np.testing.assert_allclose(made["nearest_clean"], 0, atol=1e-6)


def test_rings_of_frequencies():
    """A wave is in its ring alone, and an error of half of it is a half there."""
    at = np.arange(12)
    low, high = np.cos(2 * np.pi * at / 12), np.cos(2 * np.pi * 5 * at / 12)
    truth = (low[:, None] + 0 * high[None, :] + high[None, :])[None]
    found = metrics.rings((low[:, None] + 0.5 * high[None, :])[None], truth)
    assert float(found[0]) == pytest.approx(0, abs=1e-9)
    assert float(found[2]) == pytest.approx(0.5, abs=1e-9)
    assert metrics.amplitude(truth)[0, 6, 6] == pytest.approx(abs(truth.sum()), abs=1e-9)
    assert np.argmax(np.asarray(metrics.amplitude(truth)[0])[6]) in (1, 11)
