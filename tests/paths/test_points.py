"""Points that stand for a law."""

import jax
import numpy as np
import pytest

from lab import paths
from lab.paths import points


@pytest.mark.slow
def test_points_that_stand_for_a_law():
    """Even points have the moments of the law nearly; shares of components are exact."""
    x = np.asarray(points.spread(paths.gaussian(np.ones(2), 4.0), jax.random.key(3), 800))
    np.testing.assert_allclose(x.mean(0), 1, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), 4 * np.eye(2), atol=0.08)
    law = paths.Mixture([0.25, 0.75], [[-9.0, 0], [9.0, 0]], [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0], [0, 1.0]]])
    for x in (points.spread(law, jax.random.key(0), 800), *points.stratified(law, jax.random.key(1), 800, 2)):
        left = np.asarray(x)[np.asarray(x)[:, 0] < 0]
        assert abs(len(left) - 200) <= 1
        np.testing.assert_allclose(np.cov(left.T), [[1, 0.5], [0.5, 1]], atol=0.3)
