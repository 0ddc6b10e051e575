"""Input that fuzzing found to be accepted, or to end in NaN or an error of another library: the error names it."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import clustering, denoise, inverse, ot

KEY = jax.random.key(0)
IMAGES = denoise.Images(np.random.default_rng(0).normal(size=(4, 1, 1, 2)))
PRIOR = denoise.Optimal(IMAGES)
X = np.random.default_rng(1).normal(size=(6, 2))
LABELS = np.array([0, 1, 0, 1, 0, 1])


def _calibrated(values=(1.0,), sigmas=(1.0,), images=None):
    return denoise.calibrated(
        lambda tau: denoise.Optimal(IMAGES, tau),
        values,
        PRIOR,
        IMAGES.numbers() if images is None else images,
        sigmas,
        KEY,
    )


def _sp2ot(**settings):
    near = clustering.similarity(X, 2)
    given = {"rho": 0.5, "lam": 1.0, "strength": 0.1} | settings
    return clustering.sp2ot(ot.problem(np.ones((6, 2))), ot.Entropic(0.1), near, **given)


def _train(classes=LABELS, x=X, **settings):
    return clustering.train(KEY, jnp.asarray(x), jnp.asarray(classes), clustering.Settings(), k=2, epochs=1, **settings)


def _volume(snr):
    prior = denoise.denoiser(lambda x, sigma: x / 2, (2, 1, 1))
    given = inverse.problem(inverse.Identity((2, 1, 1)), np.ones((2, 1, 1)), 0.1)
    return inverse.solve(given, prior, inverse.MBIR(steps=2, snr=snr), key=KEY)


CASES = {
    "calibrated-no-levels": ("sigmas has 0 levels", lambda: _calibrated(sigmas=())),
    "calibrated-no-values": ("values 0 values", lambda: _calibrated(values=())),
    "calibrated-level": ("sigmas", lambda: _calibrated(sigmas=[-1.0])),
    "calibrated-images": ("images", lambda: _calibrated(images=jnp.full((2, 2), jnp.nan))),
    "masked": ("the mask must be finite", lambda: denoise.Masked(IMAGES, np.full((2, 2), np.nan))),
    "by-level": ("edges|levels|rising", lambda: denoise.ByLevel((PRIOR, PRIOR), [np.nan])),
    "mbir-snr": ("snr = -1", lambda: _volume(-1.0)),
    "train-classes": ("classes|class", lambda: _train(classes=LABELS + 7)),
    "train-x": ("x", lambda: _train(x=X * np.nan)),
    "sp2ot-lam": ("lam = -1", lambda: _sp2ot(lam=-1.0)),
    "sp2ot-tolerance": ("tolerance = -1", lambda: _sp2ot(tolerance=-1.0)),
    "sp2ot-iterations": ("max_iterations", lambda: _sp2ot(max_iterations=0)),
}


@pytest.mark.parametrize("name", CASES)
def test_input_without_meaning_is_named(name):
    words, run = CASES[name]
    with pytest.raises(ValueError, match=words):
        run()


def test_input_that_the_types_of_the_tests_reject_is_named_without_them():
    code = """
import jax.numpy as jnp
from lab import inverse, policy
x = jnp.ones((3, 2))
for run in (lambda: inverse.restore(inverse.PairFlow(x, x, 0.5), x[0], 3), lambda: policy.environments.own(1.0, 0.0, 2)):
    try:
        run()
    except (TypeError, ValueError) as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "z has shape (2,)" in said
    assert "step is a float, but a function of a state and an action is needed" in said


def test_the_map_between_singular_gaussians_does_not_invert_rounding():
    """On the range of the covariance the map is the identity, and 0 beside it."""
    half = np.random.default_rng(3).normal(size=(6, 2))
    covariance, onto = half @ half.T, half @ np.linalg.pinv(half)
    found = ot.bures(np.zeros(6), covariance, np.zeros(6), covariance)
    np.testing.assert_allclose(found.matrix, onto, atol=1e-7)
    assert abs(float(found.squared)) < 1e-7
