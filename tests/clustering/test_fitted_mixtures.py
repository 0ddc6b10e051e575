"""Mixtures fitted to points, against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.clustering.mixtures import fitted

sklearn = pytest.importorskip("sklearn.mixture")


def points():
    rng = np.random.default_rng(5)
    turn = np.array([[1.0, 0.8], [0.0, 0.4]])
    parts = [
        rng.normal(size=(n, 2)) @ turn * s + c
        for n, s, c in ((150, 0.5, (0, 3)), (90, 1.0, (4, -1)), (60, 0.3, (-3, -2)))
    ]
    return np.concatenate(parts)


def test_it_is_the_mixture_of_scikit_learn():
    x = points()
    known = sklearn.GaussianMixture(3, reg_covar=0.02, tol=1e-9, max_iter=500, random_state=0).fit(x)
    found = fitted(jnp.asarray(x), 3, jax.random.key(0), least=0.02, tolerance=1e-9, max_iterations=500)
    ours, theirs = np.argsort(found.mixture.means[:, 0]), np.argsort(known.means_[:, 0])
    np.testing.assert_allclose(found.mixture.weights[ours], known.weights_[theirs], atol=1e-4)
    np.testing.assert_allclose(found.mixture.means[ours], known.means_[theirs], atol=1e-3)
    np.testing.assert_allclose(found.mixture.covariances[ours], known.covariances_[theirs], atol=1e-3)
    assert float(found.log_density) == pytest.approx(known.score(x), abs=1e-6)


def test_what_does_not_fit_is_refused():
    x = jnp.asarray(points())
    with pytest.raises(ValueError, match="from 1 to 300"):
        fitted(x, 301, jax.random.key(0))
    with pytest.raises(ValueError, match="must be positive"):
        fitted(x, 2, jax.random.key(0), least=0.0)
