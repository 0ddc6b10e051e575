"""Principal axes against scikit-learn's, and their signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics.principal import fixed_sign, principal_axes, principal_plane

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_axes_are_those_of_another_implementation(shape):
    from sklearn.decomposition import PCA

    x = RNG.normal(size=shape) @ np.diag(np.linspace(3, 0.1, shape[1])) + 5
    known = PCA(3, svd_solver="full").fit(x)
    axes = principal_axes(x, 3)
    assert axes.shape == (shape[1], 3)
    np.testing.assert_allclose(np.abs(axes), np.abs(known.components_.T), atol=1e-10)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    plane = principal_plane(x)
    np.testing.assert_array_equal(plane.axes, axes[:, :2])
    np.testing.assert_allclose(np.abs(plane.project(x)), np.abs(known.transform(x)[:, :2]), atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_the_sign_is_that_of_the_data_and_not_of_the_library(shape):
    """Rows in another order, twice as large, or each twice: the same picture, not its mirror image."""
    x = RNG.normal(size=shape)
    axes = principal_axes(x, 2)
    assert (axes[np.abs(axes).argmax(axis=0), [0, 1]] > 0).all()
    for other in (x[::-1], 2 * x + 1, np.repeat(x, 2, axis=0), x.astype(np.float32)):
        np.testing.assert_allclose(principal_axes(other, 2), axes, atol=1e-5)


def test_of_entries_that_tie_the_first_decides():
    tied = np.array([[-0.5, 0.5], [0.5 + 1e-14, -0.5], [0.5, 0.5 + 1e-14], [-0.5, -0.5]])
    found = fixed_sign(tied)
    np.testing.assert_array_equal(found[0], [0.5, 0.5])
    np.testing.assert_array_equal(fixed_sign(-tied), found)
    np.testing.assert_array_equal(jax.jit(fixed_sign)(jnp.asarray(tied)), found)


@pytest.mark.parametrize("d", [1, 2])
def test_a_plane_or_a_line_is_looked_at_as_it_is(d):
    x = RNG.normal(size=(9, d)) + 3
    plane = principal_plane(x)
    np.testing.assert_array_equal(plane.axes, np.eye(d))
    np.testing.assert_array_equal(plane.project(x), x)


def test_fewer_points_than_axes_give_fewer():
    assert principal_axes(RNG.normal(size=(2, 5)), 4).shape == (5, 2)
    assert principal_axes(RNG.normal(size=(7, 2)), 4).shape == (2, 2)
