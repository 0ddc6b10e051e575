"""Plug-and-play, RED and DPS against the closed forms of a Gaussian prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse import solving
from lab.paths import Mixture

N = 5
RANDOM = np.random.default_rng(3)
M = RANDOM.normal(size=N)
_HALF = RANDOM.normal(size=(N, N))
S = _HALF @ _HALF.T / N + 0.2 * np.eye(N)
VALUES, VECTORS = np.linalg.eigh(S)
SPECTRUM = denoise.Spectrum(
    jnp.asarray(M), *(jnp.asarray(z[..., ::-1]) for z in (VALUES, VECTORS)), jnp.asarray(np.trace(S))
)
PRIOR, D = Mixture([1.0], M[None], S[None]), denoise.Wiener(SPECTRUM, (1, 1, N))
MADE = inverse.Dense(RANDOM.normal(size=(3, N)), (1, 1, N))
GIVEN = inverse.measure(MADE, jnp.asarray(M).reshape(1, 1, N) + 0.3, 0.2, jax.random.key(0))


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_plug_and_play_with_a_wiener_denoiser_ends_at_the_posterior_mean(sigma):
    found = inverse.solve(GIVEN, D, inverse.PlugAndPlay(sigma=sigma, steps=3000)).x[0].ravel()
    np.testing.assert_allclose(found, inverse.posterior(GIVEN, PRIOR).means[0], atol=1e-7)


def test_red_ends_where_its_closed_form_says():
    method = inverse.PlugAndPlay(sigma=0.5, steps=20_000, scheme="red", lam=0.7)
    found = inverse.solve(GIVEN, D, method).x[0].ravel()
    h, pull = np.asarray(MADE.weights), 0.7 * np.linalg.inv(S + 0.25 * np.eye(N))
    rests = np.linalg.solve(h.T @ h / 0.04 + pull, h.T @ np.asarray(GIVEN.y) / 0.04 + pull @ M)
    np.testing.assert_allclose(found, rests, atol=1e-7)


def test_splitting_at_falling_levels_comes_near():
    found = inverse.solve(GIVEN, D, inverse.PlugAndPlay(sigma=0.02, first=2.0, steps=400, scheme="hqs")).x[0].ravel()
    start = GIVEN.start().ravel()
    mean = inverse.posterior(GIVEN, PRIOR).means[0]
    assert np.linalg.norm(found - mean) < 0.5 * np.linalg.norm(start - mean)


def test_dps_without_strength_samples_the_prior_and_with_it_fits_the_data():
    free = inverse.solve(GIVEN, D, inverse.DPS(zeta=0.0, steps=1000), seeds=4000).x.reshape(4000, N)
    np.testing.assert_allclose(free.mean(axis=0), M, atol=0.1)
    np.testing.assert_allclose(np.cov(free.T), S, atol=0.15)
    bent = inverse.solve(GIVEN, D, inverse.DPS(zeta=0.05, steps=1000), seeds=50)
    assert float(GIVEN.misfit(bent.x).mean()) < 0.05 * float(GIVEN.misfit(free.reshape(-1, 1, 1, N)).mean())


def test_steps_of_dps_written_out():
    method = inverse.DPS(zeta=0.3, steps=4)
    found = inverse.solve(GIVEN, D, method, key=jax.random.key(3), keep=True)
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(3), seed))(jnp.arange(1))
    x = np.asarray(solving.normal(keys, jnp.int32(2**30), 0, N, jnp.float64))[0]
    products = np.append(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[[999, 666, 333, 0]], 1.0)
    h, y = np.asarray(MADE.weights), np.asarray(GIVEN.y)
    for step in range(4):
        now, then = products[step], products[step + 1]
        wiener = S @ np.linalg.inv(S + (1 - now) / now * np.eye(N))
        x0 = M + wiener @ (x / np.sqrt(now) - M)
        off = h @ x0 - y
        slope = wiener.T @ h.T @ off / np.linalg.norm(off) / np.sqrt(now)
        beta = 1 - now / then
        mean = (np.sqrt(now / then) * (1 - then) * x + np.sqrt(then) * beta * x0) / (1 - now)
        noise = np.asarray(solving.normal(keys, jnp.int32(step), 0, N, jnp.float64))[0]
        x = mean + np.sqrt(beta * (1 - then) / (1 - now)) * noise - 0.3 * slope
        np.testing.assert_allclose(found.path[step].ravel(), x, atol=1e-8)


def test_bad_input_is_refused_in_a_sentence():
    near = denoise.Nearest(denoise.Images(jnp.ones((3, 1, 1, N))))
    exact = inverse.problem(MADE, GIVEN.y, 0.0)
    clipped = inverse.problem(inverse.Clip((1, 1, N)), jnp.ones((1, 1, N)), 0.1)
    for given, prior, method, sentence in (
        (clipped, D, inverse.PlugAndPlay(), "needs a linear operator"),
        (exact, D, inverse.PlugAndPlay(), "weighs the data by it"),
        (GIVEN, D, inverse.PlugAndPlay(sigma=0.0), "sigma = 0.0, but it must be above 0"),
        (GIVEN, D, inverse.PlugAndPlay(steps=0), "steps = 0"),
        (GIVEN, D, inverse.DPS(steps=2000), "steps = 2000, but from 1 to 1000"),
        (GIVEN, D, inverse.DPS(zeta=-1.0), "zeta = -1.0"),
        (GIVEN, near, inverse.DPS(), "DPS differentiates it"),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.solve(given, prior, method)
    with pytest.raises(ValueError, match="scheme = 'amdm', but it must be one of 'admm', 'hqs', 'red'"):
        inverse.PlugAndPlay(scheme="amdm")
