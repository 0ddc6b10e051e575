"""Principal axes of a cloud of points, with a sign that does not depend on the library: to look at data, on the host."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from lab.numerics.differentiation import needs_values

_ALIKE = 1e-6  # entries of an axis that differ by less, as a share of the largest, tie


class Plane(NamedTuple):
    """Where points are looked at: their centre, and k orthonormal axes, two or one."""

    centre: Float[np.ndarray, " d"]
    axes: Float[np.ndarray, "d k"]

    def project(self, x: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """$(x - c) A$, the coordinates of points in the plane."""
        return (x - self.centre[None, :]) @ self.axes


@needs_values("Take jnp.linalg.svd of the centered points instead.")
def principal_plane(x: Real[np.ndarray, "n d"]) -> Plane:
    """The plane through the mean of the points in which they vary most; up to two dimensions, the space as it is.

    Points of a plane or a line are not turned: their centre is 0 and their axes are those that they have.

    Args:
        x: (n, d), n at least 2 where d is above 2.

    Time O(n d^2 + d^3), or O(n^2 d) where n < d.
    """
    d = x.shape[1]
    if d <= 2:
        return Plane(np.zeros(d), np.eye(d))
    return Plane(np.asarray(x, float).mean(axis=0), principal_axes(x, 2))


@needs_values("Take jnp.linalg.svd of the centered points instead.")
def principal_axes(x: Real[np.ndarray, "n d"], count: int) -> Float[np.ndarray, "d k"]:
    r"""The first axes of $\sum_i (x_i - \bar x)(x_i - \bar x)^\top$, those of the largest variance first, with ``fixed_sign``.

    Args:
        x: (n, d).
        count: of axes.

    Returns:
        (d, k) in float64, orthonormal columns; k is ``count``, or n or d where that is less.
    """
    x = np.asarray(x, float)
    centred, (n, d) = x - x.mean(axis=0), x.shape
    few = n < d
    axes = np.linalg.svd(centred, full_matrices=False)[2].T if few else np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return fixed_sign(axes[:, :count])


def fixed_sign(axes: Any) -> Any:
    """Each axis with the sign that makes its largest entry positive; among entries alike up to rounding, the first.

    Args:
        axes: (d, k), an axis a column, of NumPy or JAX.

    Returns:
        (d, k), of the same kind.
    """
    xp: Any = np if isinstance(axes, np.ndarray) else jnp
    size = xp.abs(axes)
    largest = (size >= (1 - _ALIKE) * size.max(axis=0, keepdims=True)).argmax(axis=0)
    decides = xp.take_along_axis(axes, largest[None, :], axis=0)
    return axes * xp.where(decides < 0, -1.0, 1.0).astype(axes.dtype)
