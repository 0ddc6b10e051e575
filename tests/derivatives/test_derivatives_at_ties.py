"""Derivatives where eigenvalues are equal, and so eigenvectors have none, against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, paths
from lab.inverse import mixture_flows, restoring, scans

KEY = jax.random.key(1)
RNG = np.random.default_rng(0)
SPIN = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
TIED = SPIN * [0.0, 2.0, 2.0, 5.0] @ SPIN.T
RANGE = SPIN[:, 1:] @ SPIN[:, 1:].T


def _symmetric(shape):
    move = RNG.normal(size=shape)
    return move + move.swapaxes(-1, -2)


def _denoised(pixels):
    """Values, sensitivities and the matrix of the linear denoiser of images whose covariance is a multiple of I."""
    spectrum = denoise.dense_spectrum(pixels)
    prior = denoise.Wiener(spectrum, (1, 1, 3))
    x, sigma = jnp.asarray([[0.4, -1.0, 2.0]]), jnp.asarray(0.8)
    return prior.denoise(x, sigma), prior.row(x, sigma, jnp.asarray(1)), spectrum.wiener(0.3), spectrum.values.sum()


def _drawn(source):
    law = paths.Joint([0.4, 0.6], np.zeros((2, 2)), np.ones((2, 2)), source, np.tile(np.eye(2), (2, 1, 1)))
    return law.sample(KEY, 4)


def _posterior(covariances):
    return mixture_flows.Posteriors(jnp.ones((3, 1)), jnp.zeros((3, 1, 2)), covariances, jnp.zeros(3)).sample(KEY)


def _least_norm(gram):
    return scans._least_norm(jnp.arange(8.0).reshape(2, 2, 2), gram)


CROSS = np.concatenate([np.eye(3), -np.eye(3)])
CASES = {
    "Wiener(dense_spectrum)": (_denoised, CROSS, RNG.normal(size=(6, 3))),
    "Joint.sample": (_drawn, np.tile(2 * np.eye(2), (2, 1, 1)), _symmetric((2, 2, 2))),
    "Posteriors.sample": (_posterior, 3 * np.eye(2)[None], _symmetric((1, 2, 2))),
    "Gaussians.sample": (
        lambda c: restoring.Gaussians(jnp.zeros((3, 2)), c).sample(KEY),
        3 * np.eye(2),
        _symmetric((2, 2)),
    ),
    "scans.least_norm": (_least_norm, TIED, RANGE @ _symmetric((4, 4)) @ RANGE),
}


@pytest.mark.parametrize("name", CASES)
def test_derivative_where_eigenvalues_are_equal(name):
    function, at, move = CASES[name]
    at = jnp.asarray(at)
    weights = np.random.default_rng(2)
    shapes = jax.tree.leaves(function(at))
    weights = [weights.normal(size=leaf.shape) for leaf in shapes]

    def total(x):
        return sum(jnp.vdot(w, leaf) for w, leaf in zip(weights, jax.tree.leaves(function(x)), strict=True))

    slope = jax.jit(lambda x: jnp.vdot(jax.grad(total)(x), move))
    differences = (total(at + 1e-5 * move) - total(at - 1e-5 * move)) / 2e-5
    assert float(slope(at)) == pytest.approx(float(differences), rel=1e-7)
    assert float(jax.jvp(total, (at,), (jnp.asarray(move),))[1]) == pytest.approx(float(differences), rel=1e-7)


def test_second_derivative_of_a_linear_denoiser_where_eigenvalues_are_equal():
    def total(x):
        return jnp.vdot(jnp.arange(1.0, 4.0), _denoised(x)[0][0])

    move = np.random.default_rng(4).normal(size=CROSS.shape)
    slope = jax.jit(lambda x: jnp.vdot(jax.grad(total)(x), move))
    bend = jax.jvp(slope, (jnp.asarray(CROSS),), (jnp.asarray(move),))[1]
    assert float(bend) == pytest.approx(float(slope(CROSS + 1e-5 * move) - slope(CROSS - 1e-5 * move)) / 2e-5, rel=1e-6)
