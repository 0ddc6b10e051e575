"""The bridge of Schroedinger between Gaussians has a closed form, on a line and by coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import paths
from lab.numerics import Reason
from lab.paths import bridge

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def energy_of_the_bridge(s0: float, s1: float, m: float, epsilon: float) -> float:
    t, w = (NODES + 1) / 2, WEIGHTS / 2
    root = np.sqrt(s0**2 * s1**2 + epsilon**2)
    var = (1 - t) ** 2 * s0**2 + t**2 * s1**2 + 2 * t * (1 - t) * root
    slope = -2 * (1 - t) * s0**2 + 2 * t * s1**2 + 2 * (1 - 2 * t) * root
    return float(m**2 + w @ ((slope / 2 - epsilon) ** 2 / var))


@pytest.mark.slow
@pytest.mark.parametrize(("s0", "s1", "epsilon"), [(1.0, 0.5, 0.3), (0.7, 1.6, 1.0)])
def test_between_gaussians_on_a_line_the_fit_is_the_bridge(s0, s1, epsilon):
    source, target = (paths.gaussian(jnp.array([m]), jnp.array([[s**2]])) for m, s in ((0.0, s0), (2.0, s1)))
    found = bridge.fit(source, target, epsilon)
    assert int(found.reason) == Reason.CONVERGED
    best = 2 * np.sqrt(s0**2 * s1**2 + epsilon**2)
    np.testing.assert_allclose(found.latent.coefficients, [np.log(best), 0, 0], atol=1e-5)
    np.testing.assert_allclose(found.energy, energy_of_the_bridge(s0, s1, 2.0, epsilon), rtol=1e-6)


@pytest.mark.slow
def test_more_freedom_costs_less_energy():
    """Two modes to three: a polynomial beats the Brownian latent."""
    source = paths.Mixture([0.5, 0.5], [[-3.0], [3.0]], [0.25, 0.25])
    target = paths.Mixture([1 / 3] * 3, [[-6.0], [0.0], [6.0]], [0.5, 0.33, 0.5])
    brownian, bent = (bridge.fit(source, target, 0.05, degree) for degree in (0, 2))
    assert float(bent.energy) < float(brownian.energy) * 0.999
    assert (np.diff(bent.energies[: int(bent.iterations)]) <= 1e-9).all()


def test_refusals():
    with pytest.raises(ValueError, match=r"epsilon = 0\.0, but it must be positive"):
        bridge.fit(paths.standard(1), paths.standard(1), 0.0)
    with pytest.raises(ValueError, match="give a key"):
        bridge.fit(paths.standard(2), paths.standard(2), 1.0)
    with pytest.raises(ValueError, match="coefficients has shape"):
        paths.ExpPolynomial(jnp.zeros((2, 2)))


@pytest.mark.slow
def test_in_the_plane_the_draws_find_it_too():
    source, target = paths.gaussian(jnp.zeros(2), jnp.eye(2)), paths.gaussian(jnp.array([1.0, 0]), 0.25 * jnp.eye(2))
    found = bridge.fit(source, target, 0.3, 0, key=jax.random.key(0), draws=2000)
    assert float(jnp.exp(found.latent.coefficients[0])) == pytest.approx(2 * np.sqrt(0.25 + 0.09), rel=0.05)
