"""Nearest neighbours against a search by NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics.neighbours import nearest


def test_nearest_among_candidates():
    """Against a search by NumPy, of candidates that all share and of each point's own; and what is refused."""
    rng = np.random.default_rng(0)
    x, shared, own = rng.normal(size=(5, 3)), rng.normal(size=(7, 3)), rng.normal(size=(5, 7, 3))
    for candidates in (shared, own):
        apart = np.linalg.norm(candidates - x[:, None], axis=-1)
        found = nearest(jnp.asarray(x), jnp.asarray(candidates), 4)
        order = np.argsort(apart, axis=1)[:, :4]
        np.testing.assert_array_equal(found.index, order)
        np.testing.assert_allclose(found.distance, np.take_along_axis(apart, order, axis=1), rtol=1e-12)
    far = nearest(jnp.asarray(shared), jnp.asarray(x))
    apart = np.linalg.norm(x - shared[:, None], axis=-1)
    np.testing.assert_array_equal(far.index[:, 0], apart.argmin(axis=1))
    np.testing.assert_allclose(far.distance[:, 0], apart.min(axis=1), rtol=1e-12)
    for bad, k, sentence in (
        (shared, 0, "k = 0"),
        (shared, 8, "k = 8"),
        (own[:4], 1, "have shapes"),
        (shared[:, :2], 1, "have shapes"),
    ):
        with pytest.raises(ValueError, match=sentence):
            nearest(jnp.asarray(x), jnp.asarray(bad), k)
