"""W2 between Gaussians against SciPy's matrix root, samples, and the properties that make a map the optimal one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from lab import ot


def pair(seed: int, d: int = 3):
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, d, d))
    return rng.normal(size=d), one @ one.T, rng.normal(size=d), two @ two.T


def test_distance_is_that_of_scipys_roots_and_map_carries_one_to_the_other():
    for seed in range(5):
        m, s, n, t = pair(seed)
        found = ot.bures(m, s, n, t)
        root = np.real(sqrtm(s))
        expected = ((m - n) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(root @ t @ root)))
        np.testing.assert_allclose(found.squared, expected, rtol=1e-9)
        a = np.asarray(found.matrix)
        np.testing.assert_allclose(a @ s @ a, t, atol=1e-9)
        np.testing.assert_allclose(a, a.T, atol=1e-10)
        assert np.linalg.eigvalsh(a)[0] > 0
        # the cost of the map, its expectation written out
        moved = ((m - n) ** 2).sum() + np.trace((a - np.eye(3)) @ s @ (a - np.eye(3)))
        np.testing.assert_allclose(found.squared, moved, rtol=1e-9)
        np.testing.assert_allclose(found(jnp.asarray(m)), n, atol=1e-12)
        many = jnp.arange(18.0).reshape(2, 3, 3)
        moved = [[n + (x - m) @ a for x in row] for row in np.asarray(many)]
        np.testing.assert_allclose(found(many), moved, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_degenerate_sources_and_derivatives():
    flat = ot.bures(np.zeros(2), np.diag([1.0, 0.0]), np.array([0.0, 2.0]), np.diag([4.0, 9.0]))
    np.testing.assert_allclose(flat.squared, 4 + 1 + 9, rtol=1e-12)
    m, s, n, t = pair(7)
    slope = jax.grad(lambda t: ot.bures(m, s, n, t).squared)(jnp.asarray(t))
    change = np.random.default_rng(0).normal(size=(3, 3))
    change = change + change.T
    ahead, back = (float(ot.bures(m, s, n, t + h * change).squared) for h in (1e-5, -1e-5))
    np.testing.assert_allclose((slope * change).sum(), (ahead - back) / 2e-5, rtol=1e-6)
    with pytest.raises(ValueError, match="one dimension"):
        ot.bures(np.zeros(1), np.eye(2), np.zeros(1), np.eye(2))
    for covariance, words in (
        (-np.eye(2), "covariance_b has the eigenvalue -1"),
        ([[1.0, 1.0], [0.0, 1.0]], "not symmetric"),
    ):
        with pytest.raises(ValueError, match=words):
            ot.bures(np.zeros(2), np.eye(2), np.zeros(2), covariance)
