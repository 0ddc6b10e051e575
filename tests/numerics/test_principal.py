"""Principal axes: those of the covariance, in order, with a sign that a mirrored or reordered cloud does not change."""

import numpy as np
import pytest

from lab.numerics.principal import principal_axes


@pytest.mark.parametrize(("n", "d"), [(400, 6), (4, 6)])
def test_axes_are_those_of_the_covariance(n, d):
    x = np.random.default_rng(0).normal(size=(n, d)) * np.arange(1, d + 1)[None]
    x -= x.mean(axis=0)
    axes = principal_axes(x, 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    values = np.linalg.eigvalsh(x.T @ x)[::-1][:3]
    np.testing.assert_allclose(axes.T @ (x.T @ x) @ axes, np.diag(values), atol=1e-8 * values[0])
    assert (axes[np.abs(axes).argmax(axis=0), [0, 1, 2]] > 0).all()
    for same in (-x, x[::-1], 3 * x):
        np.testing.assert_allclose(principal_axes(same, 3), axes, atol=1e-12)


def test_a_plane_and_a_line_are_left_as_they_are():
    for d in (1, 2):
        np.testing.assert_array_equal(principal_axes(np.ones((5, d), np.float32)), np.eye(d))
