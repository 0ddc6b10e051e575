"""Plug-and-play and RED against the closed forms of a Gaussian prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse import plug, solving, spectral
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


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_plug_and_play_with_a_wiener_denoiser_ends_at_the_posterior_mean(sigma):
    found = inverse.solve(GIVEN, D, inverse.PlugAndPlay(sigma=sigma, steps=3000)).x[0].ravel()
    np.testing.assert_allclose(found, inverse.posterior(GIVEN, PRIOR).means[0], atol=1e-7)


@pytest.mark.slow
def test_the_step_towards_the_data_is_the_same_by_the_decomposition_and_by_conjugate_gradients():
    to, start = (jnp.asarray(RANDOM.normal(size=(4, N))) for _ in range(2))
    many = solving.each(GIVEN, 4)
    h, y, weight = np.asarray(MADE.weights), np.asarray(GIVEN.y), (0.2 / 0.7) ** 2
    closed = np.linalg.solve(h.T @ h + weight * np.eye(N), (h.T @ y)[:, None] + weight * np.asarray(to).T).T
    for found in (None, spectral.basis(MADE)):
        near = plug._nearest(many, found, to, start, jnp.asarray(0.7), 30)
        np.testing.assert_allclose(near, closed, atol=1e-9)


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


def test_bad_input_is_refused_in_a_sentence():
    exact = inverse.problem(MADE, GIVEN.y, 0.0)
    clipped = inverse.problem(inverse.Clip((1, 1, N)), jnp.ones((1, 1, N)), 0.1)
    for given, prior, method, sentence in (
        (clipped, D, inverse.PlugAndPlay(), "needs a linear operator"),
        (exact, D, inverse.PlugAndPlay(), "weighs the data by it"),
        (GIVEN, D, inverse.PlugAndPlay(sigma=0.0), "sigma = 0.0, but it must be above 0"),
        (GIVEN, D, inverse.PlugAndPlay(steps=0), "steps = 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.solve(given, prior, method)
    with pytest.raises(ValueError, match="scheme = 'amdm', but it must be one of 'admm', 'hqs', 'red'"):
        inverse.PlugAndPlay(scheme="amdm")


@pytest.mark.parametrize("scheme", ["admm", "hqs", "red"])
def test_what_a_denoiser_that_expands_drives_away_is_said_to_diverge(scheme):
    """It ends as a number that is finite, which is no answer: the kernel of the operator is multiplied in each step."""
    expands = denoise.denoiser(lambda x, sigma: 2.0 * x, (1, 1, N))
    with pytest.warns(UserWarning, match="did not converge"):
        found = inverse.solve(GIVEN, expands, inverse.PlugAndPlay(sigma=1.0, steps=300, scheme=scheme, lam=50.0))
    assert found.diverged.all()
    assert int(found.reason) != 1
    size = float(jnp.abs(GIVEN.start()).max())
    assert np.abs(found.x).max() < 1e7 * (1 + size)
    scaled = inverse.problem(MADE, 1e9 * GIVEN.y, 1e9 * 0.2)  # large is not far
    tame = denoise.denoiser(lambda x, sigma: 0.9 * x, (1, 1, N))
    assert not inverse.solve(scaled, tame, inverse.PlugAndPlay(sigma=1e9, steps=50, scheme=scheme)).diverged.any()
