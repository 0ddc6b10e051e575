"""Schedules, parametrisations and grids, against the sheet's formulas written out in NumPy, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion_demo import NAMES, PLANE

from lab import diffusion, paths
from lab.diffusion import parametrisations
from lab.diffusion.predictions import Exact

B0, B1 = 0.1, 20.0


def by_hand(name, t):
    """a and s of the sheet's table."""
    log = -(t**2) * (B1 - B0) / 4 - t * B0 / 2
    cosine = np.cos(np.pi / 2 * (t + 0.008) / 1.008) / np.cos(np.pi / 2 * 0.008 / 1.008)
    return {
        "vp": (np.exp(log), np.sqrt(1 - np.exp(2 * log))),
        "cosine": (cosine, np.sqrt(1 - cosine**2)),
        "subvp": (np.exp(log), 1 - np.exp(2 * log)),
        "ve": (np.ones_like(t), 0.01 * 5000**t),
        "edm": (np.ones_like(t), t),
        "linear": (1 - t, t),
        "trigonometric": (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)),
    }[name]


def times_of(noise, n=7):
    low, high = float(noise.first), float(noise.last)
    return low + (high - low) * np.linspace(0.05, 0.95, n)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_is_that_of_the_table_with_its_derivatives(name):
    noise = diffusion.noise(name)
    t = times_of(noise)
    level = noise(t)
    a, s = by_hand(name, t)
    np.testing.assert_allclose(level.a, a, rtol=1e-12)
    np.testing.assert_allclose(level.s, s, rtol=1e-10)
    h = 1e-6 * float(noise.last)
    for found, at in ((level.da, 0), (level.ds, 1)):
        slope = (by_hand(name, t + h)[at] - by_hand(name, t - h)[at]) / (2 * h)
        np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-8)
    f, g2 = level.da / level.a, 2 * level.s * level.ds - 2 * level.da / level.a * level.s**2
    np.testing.assert_allclose(level.drift, f, rtol=1e-12)
    np.testing.assert_allclose(level.diffusion, g2, rtol=1e-9, atol=1e-12)
    beta = B0 + t * (B1 - B0)
    if name in ("vp", "subvp"):
        np.testing.assert_allclose(level.drift, -beta / 2, rtol=1e-9)
        np.testing.assert_allclose(level.diffusion, beta * (1 - a**4 if name == "subvp" else 1), rtol=1e-9)
    np.testing.assert_allclose(noise.time(level.log_snr), t, rtol=1e-9)


def test_near_the_data_the_noise_keeps_its_digits():
    t = np.array([1e-6, 1e-4])
    vp = np.sqrt(-np.expm1(2 * (-(t**2) * (B1 - B0) / 4 - t * B0 / 2)))
    np.testing.assert_allclose(diffusion.noise("vp", first=0.0)(t).s, vp, rtol=1e-10)
    pi, offset = 4 * np.arctan(np.longdouble(1)), np.longdouble("0.008")
    start = pi / 2 * offset / (1 + offset)
    a = np.cos(start + pi / 2 * t.astype(np.longdouble) / (1 + offset)) / np.cos(start)
    cosine = np.sqrt((1 - a) * (1 + a)).astype(float)
    np.testing.assert_allclose(diffusion.noise("cosine", first=0.0)(t).s, cosine, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_conversions_go_round(name):
    noise = diffusion.noise(name)
    rng = np.random.default_rng(1)
    for t in times_of(noise, 3):
        level = noise(t)
        x, data = jnp.asarray(rng.normal(size=(2, 4, 3)))
        for have in parametrisations.KINDS:
            value = diffusion.convert(level, x, data, "data", have)
            for want in parametrisations.KINDS:
                again = diffusion.convert(level, x, value, have, want)
                back = diffusion.convert(level, x, again, want, "data")
                np.testing.assert_allclose(back, data, rtol=1e-8, atol=1e-10)
        eps = (x - level.a * data) / level.s
        drift, g2 = level.drift, level.diffusion
        np.testing.assert_allclose(
            diffusion.convert(level, x, data, "data", "velocity"), drift * x + g2 * eps / level.s / 2, rtol=1e-8
        )
        other = data + 0.1
        ratios = diffusion.error_ratios(level)
        for kind in parametrisations.KINDS:
            one, two = (diffusion.convert(level, x, each, "data", kind) for each in (data, other))
            np.testing.assert_allclose(((one - two) ** 2).mean() / 0.01, ratios[kind], rtol=1e-7)


@pytest.mark.parametrize("name", ["vp", "edm", "linear"])
def test_the_score_is_the_gradient_of_the_log_density(name):
    noise, exact = diffusion.noise(name), Exact(PLANE)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(5, 2)))
    level = noise(times_of(noise, 3)[1])
    score = diffusion.convert(level, x, exact(x, level.a, level.s), "data", "score")
    gradient = jax.grad(lambda x: exact.log_density(x, level.a, level.s).sum())(x)
    np.testing.assert_allclose(score, gradient, rtol=1e-8, atol=1e-10)


def test_where_no_data_are_left_the_noise_does_not_tell_them():
    end = diffusion.noise("linear", last=1.0)(1.0)
    with pytest.raises(ValueError, match="a = 0 at this time, where the score does not tell the data"):
        diffusion.convert(end, jnp.ones(2), jnp.ones(2), "score", "data")
    with pytest.raises(ValueError, match=r"have = 'eps', but it must be one of 'data', 'noise'"):
        diffusion.convert(end, jnp.ones(2), jnp.ones(2), "eps", "data")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spacing", ["time", "log-snr", "karras", "quadratic"])
def test_a_grid_is_even_in_its_own_variable(name, spacing):
    noise = diffusion.noise(name)
    times = np.asarray(diffusion.grid(noise, 9, spacing, rho=3.0))
    assert times[0] == float(noise.last)
    assert times[-1] == float(noise.first)
    assert (np.diff(times) < 0).all()
    a, s = (np.asarray(each, float) for each in by_hand(name, times))
    sigma = s / a
    variable = {"time": times, "log-snr": np.log(sigma), "karras": sigma ** (1 / 3), "quadratic": np.sqrt(times)}
    gaps = np.diff(variable[spacing])
    np.testing.assert_allclose(gaps, gaps.mean(), rtol=1e-5)


def test_edm_steps_are_karras_own():
    times = np.asarray(diffusion.grid(diffusion.noise("edm"), 17, "karras"))
    i = np.arange(18)
    sigma = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(times, sigma, rtol=1e-9)


@pytest.mark.slow
def test_a_grid_by_change_makes_denoised_points_move_equally_far():
    noise, exact = diffusion.noise("vp"), Exact(PLANE)
    x = diffusion.start(noise, jax.random.key(0), 200, 2)
    times = diffusion.by_change(noise, exact, x, 12, fine=2000)
    moved = {}
    for name, grid in (("change", times), ("log-snr", diffusion.grid(noise, 12))):
        fine = np.unique(np.concatenate([np.linspace(grid[i], grid[i + 1], 200) for i in range(12)]))[::-1]
        data = np.asarray(diffusion.sample(exact, noise, jnp.asarray(fine), x, "heun").data)
        steps = np.sqrt((np.diff(data, axis=0) ** 2).sum(2).mean(1))
        place = np.searchsorted(-np.asarray(grid)[1:-1], -fine[:-2])
        moved[name] = np.bincount(place, steps, 12)
    assert moved["change"].std() / moved["change"].mean() < 0.05
    assert moved["log-snr"].std() / moved["log-snr"].mean() > 0.3


def test_any_schedule_of_paths_is_one_from_the_other_end():
    noise = diffusion.Reversed(paths.Custom(lambda t: (1 - t) ** 2, lambda t: 1 - (1 - t) ** 2), last=0.99)
    level = noise(0.25)
    np.testing.assert_allclose([level.a, level.s, level.da, level.ds], [0.9375, 0.0625, -0.5, 0.5], rtol=1e-12)
    with pytest.raises(ValueError, match="latent noise beside that of its source"):
        diffusion.Reversed(paths.Linear(paths.Brownian()))


def test_bad_numbers_get_a_sentence():
    with pytest.raises(ValueError, match="times must rise between 0 and 1"):
        diffusion.noise("vp", first=0.5, last=0.2)
    with pytest.raises(ValueError, match=r"name = 'ddpm', but it must be one of 'vp', 'cosine'"):
        diffusion.noise("ddpm")
    for steps in (0, 2.5):
        with pytest.raises(ValueError, match="but a whole number of at least one is needed"):
            diffusion.grid(diffusion.noise("vp"), steps)
    with pytest.raises(ValueError, match="rho = -1 is not allowed: rho must be greater than 0"):
        diffusion.grid(diffusion.noise("edm"), 3, "karras", rho=-1.0)
    with pytest.raises(ValueError, match=r"goes from -inf to .* on this schedule, and can't be cut into even steps"):
        diffusion.grid(diffusion.noise("linear", last=1.0), 3)
    with pytest.raises(ValueError, match="the signal-to-noise ratios must rise"):
        diffusion.bound(jnp.array([2.0, 1.0]), jnp.ones(2))


def test_the_terms_of_the_bound_come_to_the_mutual_information():
    # of N(0, v): error v / (1 + v SNR), information log(1 + v SNR) / 2
    v = 2.5
    snr = np.concatenate([[0.0], np.geomspace(1e-6, 50.0, 4000)])
    found = diffusion.bound(jnp.asarray(snr), jnp.asarray(v / (1 + v * snr)))
    information = np.log(1 + v * snr[-1]) / 2
    np.testing.assert_allclose(float(found.limit), information, rtol=1e-5)
    np.testing.assert_allclose(float(found.terms.sum()), information, rtol=5e-3)
    assert float(found.terms.sum()) > information  # fewer steps, a looser bound


def test_preconditioning_is_edms():
    sigma = np.array([0.002, 0.5, 80.0])
    found = diffusion.preconditioning(sigma)
    np.testing.assert_allclose(found.skip, 0.25 / (sigma**2 + 0.25), rtol=1e-13)
    np.testing.assert_allclose(found.out**2 * found.weight, 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.into**2 * (sigma**2 + 0.25), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.noise, np.log(sigma) / 4, rtol=1e-13)


@pytest.mark.parametrize("wide", [1e5, 1e8])
def test_among_data_far_wider_than_the_noise_a_grid_by_change_falls_evenly(wide):
    """The denoised points are single data there, and none of them moves."""
    noise = diffusion.noise("edm")
    law = paths.law(wide * np.random.default_rng(0).normal(size=(20, 2)))
    x = 80 * jnp.asarray(np.random.default_rng(1).normal(size=(30, 2)))
    times = diffusion.by_change(noise, diffusion.Exact(law), x, 10)
    assert (np.diff(times) < 0).all()
    np.testing.assert_allclose(times[1:-1], diffusion.grid(noise, 10, "log-snr")[1:-1], rtol=0.05)
