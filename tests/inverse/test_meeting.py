"""All solvers on one problem: closed forms of a Gaussian prior, and measures written out in NumPy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from lab import denoise, inverse
from lab.denoise.images import Images, dense_spectrum
from lab.inverse import beds, flair
from lab.numerics import pure
from lab.studies.inverse import solver_comparison
from lab.studies.inverse.solver_comparison import METHODS, REASONS, Strengths

RANDOM = np.random.default_rng(5)
SHAPE = (1, 7, 7)
N = 49
_HALF = RANDOM.normal(size=(N, N)) / 7
PIXELS = jnp.asarray(RANDOM.normal(size=(300, N)) @ _HALF * 0.5 + 0.1)
SPECTRUM = dense_spectrum(PIXELS)
M, S = np.asarray(PIXELS).mean(axis=0), np.cov(np.asarray(PIXELS).T)
WIENER = denoise.Wiener(SPECTRUM, SHAPE)
CLEAN = jnp.asarray(RANDOM.normal(size=(2, N)) @ _HALF * 0.5 + 0.1)
MASK = jnp.asarray(RANDOM.random(SHAPE) < 0.6)
KEY = jax.random.key(2)


def met(operator, prior=WIENER, known=True, noise=0.2):
    given = inverse.measure(operator, CLEAN.reshape(-1, *SHAPE), noise, jax.random.key(1))
    law = None
    if known:
        law = beds.gaussian_posterior(given, SPECTRUM) if known is True else beds.empirical_posterior(given, PIXELS)
    return solver_comparison.meet(given, prior, PIXELS, SPECTRUM, law, CLEAN)


@cache
def masked():
    return met(inverse.Mask(MASK, SHAPE))


def test_who_is_absent_and_why():
    bent = met(inverse.Clip(SHAPE, 2.0), known=False)
    why = {name: solver_comparison.absent(name, bent) for name in METHODS}
    assert {name for name, number in why.items() if not number} == {"pseudo-inverse", "DPS", "RED-diff", "FLAIR"}
    assert REASONS[why["DDRM"]] == "needs a linear damage"
    assert "tomography" in REASONS[why["backprojection"]]
    assert "known" in REASONS[why["exact sample"]]
    stepped = met(inverse.Mask(MASK, SHAPE), denoise.Nearest(Images(PIXELS, SHAPE)))
    there = [name for name in METHODS if not solver_comparison.absent(name, stepped)]
    assert set(METHODS) - set(there) == {"backprojection", "DPS", "PiGDM"}


def test_what_is_computed_at_once():
    h = np.eye(N)[np.asarray(MASK).ravel()]
    y = np.asarray(masked().problem.y).reshape(2, -1)[:, np.asarray(MASK).ravel()]
    for name, s in (("linear", S), ("Tikhonov", np.eye(N) * np.trace(S) / N)):
        found = solver_comparison.answers(name, masked(), 1, 3, Strengths(), KEY, pure)
        gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + 0.04 * np.eye(len(h)))
        assert found.x.shape == (2, 1, N)
        np.testing.assert_allclose(found.x[:, 0], M + (y - h @ M) @ gain.T, atol=1e-9)


@pytest.mark.slow
def test_plug_and_play_meets_the_posterior_mean_and_exact_samples_have_its_law():
    found = solver_comparison.answers("PnP-ADMM", masked(), 400, 1, Strengths(), KEY, pure)
    np.testing.assert_allclose(found.x[:, 0], masked().known.mean, atol=1e-6)
    drawn = np.asarray(solver_comparison.answers("exact sample", masked(), 1, 4000, Strengths(), KEY, pure).x)
    hidden = ~np.asarray(MASK).ravel()
    h = np.eye(N)[~hidden]
    cut = S - S @ h.T @ np.linalg.solve(h @ S @ h.T + 0.04 * np.eye(len(h)), h @ S)
    for image in range(2):
        apart = drawn[image].mean(axis=0) - np.asarray(masked().known.mean[image])
        assert (np.abs(apart) < 5 * np.sqrt(np.diag(cut) / 4000)).all()
        np.testing.assert_allclose(np.cov(drawn[image].T), cut, atol=0.1 * np.diag(cut).max())


@pytest.mark.slow
def test_exact_samples_of_the_training_images_are_drawn_by_their_weights():
    remembering = met(inverse.Mask(MASK, SHAPE), denoise.Optimal(Images(PIXELS, SHAPE)), "images", 1.5)
    drawn = np.asarray(solver_comparison.answers("exact sample", remembering, 1, 5000, Strengths(), KEY, pure).x)[0]
    weights = np.asarray(remembering.known.weights[0])
    likely = int(weights.argmax())
    share = (np.abs(drawn - np.asarray(PIXELS[likely])).max(axis=1) == 0).mean()
    assert abs(share - weights[likely]) < 5 * np.sqrt(weights[likely] / 5000)
    assert float(solver_comparison.worth(drawn[None], CLEAN[:1], remembering).nearest[0]) < 1e-6


@pytest.mark.slow
def test_backprojection_of_images_on_a_black_ground():
    """Where they vanish outside the disc it is the inverse, up to the interpolation: many views are near the truth."""
    rows, columns = np.mgrid[:21, :21] - 10
    truth = np.where(rows**2 + (columns - 2) ** 2 < 25, 0.6, -1.0)[None]
    given = inverse.measure(inverse.radon((1, 21, 21), 40), jnp.asarray(truth)[None], 1e-3, KEY)
    pixels = jnp.asarray(RANDOM.normal(size=(20, 441)))
    many = solver_comparison.Meeting(
        given, WIENER, pixels, SPECTRUM, jnp.zeros((1, 441)), None, masked().calibration, jnp.arange(40) * 4.5
    )
    found = np.asarray(solver_comparison.answers("backprojection", many, 1, 1, Strengths(), KEY, pure).x).reshape(
        21, 21
    )
    inside = rows**2 + columns**2 < 81
    assert np.sqrt(((found - truth[0])[inside] ** 2).mean()) < 0.2
    assert abs(found[8:13, 10:15].mean() - 0.6) < 0.05


def test_what_answers_are_worth_written_out():
    x = np.asarray(CLEAN)[:, None] + RANDOM.normal(size=(2, 12, N)) * 0.3
    found = solver_comparison.worth(jnp.asarray(x), CLEAN, masked())
    clean, known, pixels = np.asarray(CLEAN), masked().known, np.asarray(PIXELS)
    single = 10 * np.log10(4 / ((x - clean[:, None]) ** 2).mean(axis=2)).mean(axis=1)
    np.testing.assert_allclose(found.psnr, single)
    np.testing.assert_allclose(found.psnr_mean, 10 * np.log10(4 / ((x.mean(axis=1) - clean) ** 2).mean(axis=1)))
    alike = [
        [structural_similarity(a.reshape(7, 7), c.reshape(7, 7), data_range=2.0) for a in own]
        for own, c in zip(x, clean, strict=True)
    ]
    np.testing.assert_allclose(found.ssim, np.mean(alike, axis=1))
    np.testing.assert_allclose(found.to_mean, np.sqrt(((x.mean(axis=1) - np.asarray(known.mean)) ** 2).mean(axis=1)))
    near = [np.sqrt(((own[0] - pixels) ** 2).mean(axis=1)).min() for own in x]
    np.testing.assert_allclose(found.nearest, near, atol=1e-7)
    np.testing.assert_allclose(found.spread, np.sqrt(x.var(axis=1, ddof=1).mean(axis=1)))
    low, high = np.quantile(x, [0.05, 0.95], axis=1)
    np.testing.assert_allclose(found.coverage, ((clean >= low) & (clean <= high)).mean(axis=1))
    alone = solver_comparison.worth(jnp.asarray(x[:, :1]), CLEAN, masked())
    assert np.isnan(alone.spread).all()
    assert np.isnan(alone.coverage).all()
    seen = solver_comparison.look(jnp.asarray(x), jnp.int32(1), jnp.int32(30), 4)
    np.testing.assert_allclose(seen.pixel, x[1, :, 30])
    np.testing.assert_allclose(seen.deviation, x[1].std(axis=0, ddof=1))
    assert seen.some.shape == (4, N)


def test_strengths_reach_their_method():
    images = np.asarray(PIXELS).reshape(-1, 7, 7)
    down, right = np.zeros_like(images), np.zeros_like(images)
    down[:, :-1], right[:, :, :-1] = np.diff(images, axis=1), np.diff(images, axis=2)
    made = solver_comparison.solver("total variation", masked(), 5, Strengths(variation=2.0))
    assert float(made.lam) == pytest.approx(2 / np.hypot(down, right).mean())
    told = {
        "PnP-ADMM": ("sigma", 0.7),
        "RED": ("lam", 3.0),
        "DPS": ("zeta", 0.2),
        "RED-diff": ("lam", 0.4),
        "FLAIR": ("c", 0.6),
    }
    given = Strengths(plug=0.7, red=3.0, zeta=0.2, reddiff=0.4, rate=0.02, flair=0.6)
    for name, (field, value) in told.items():
        method = solver_comparison.solver(name, masked(), 9, given)
        assert getattr(method, field) == value
        assert method.steps == 9
    assert solver_comparison.solver("RED-diff", masked(), 9, given).rate == 0.02


def test_flair_asks_its_denoiser_also_after_few_training_images():
    """In closed form the Wiener denoiser of ten images knows no error outside their span: then the weight was always 0."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 1, 6, 6)) * np.linspace(0.2, 1.0, 36).reshape(6, 6)
    few, all_ = jnp.asarray(images[:10].reshape(10, -1)), jnp.asarray(images.reshape(60, -1))
    prior = denoise.Wiener(dense_spectrum(few), (1, 6, 6))
    own = flair.calibrate(prior, None, jax.random.key(0))
    assert float(own.weights(1.0).max()) == 0
    table = flair.calibrated(prior, images[10:], jax.random.key(0))
    assert float(table.weights(1.0).max()) > 0.1
    enough = denoise.Wiener(dense_spectrum(all_), (1, 6, 6))
    same = flair.calibrated(enough, images[10:], jax.random.key(0))
    np.testing.assert_array_equal(same.error, flair.calibrate(enough, None, jax.random.key(0)).error)
