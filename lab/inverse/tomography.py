r"""Parallel-beam tomography: sums along the lines of a direction, for each of some angles.

$$ (A x)_{c, j, v} = \sum_i x_c\big(\mathrm{row}(i, j), \mathrm{col}(i, j)\big), \qquad
   \begin{pmatrix} \mathrm{col} \\ \mathrm{row} \end{pmatrix} =
   \begin{pmatrix} \cos\theta_v & \sin\theta_v \\ -\sin\theta_v & \cos\theta_v \end{pmatrix}
   \begin{pmatrix} j - m \\ i - m \end{pmatrix} + \begin{pmatrix} m \\ m \end{pmatrix}, \quad m = \lfloor n/2 \rfloor, $$

with bilinear interpolation and 0 outside: ``skimage.transform.radon`` with ``circle=True`` of images that vanish outside the
inscribed disc.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from lab.inverse.operators import DENSE, Linear, Shape, checked, known
from lab.numerics.jit import jit


class Radon(Linear):
    """Rotate and sum, without a matrix: time O(C n^2 views), memory O(C n^2).

    Args:
        inputs: (C, n, n); of a volume the slices are its channels.
        angles: (views,) in degrees. Traced.
    """

    angles: Float[Array, " views"]
    inputs: Shape = eqx.field(static=True)

    def __init__(self, inputs: Shape, angles: Any):
        self.inputs, self.angles = tuple(inputs), jnp.asarray(angles, jnp.result_type(float))
        if len(self.inputs) != 3 or self.inputs[1] != self.inputs[2]:
            raise ValueError(f"images of shape {self.inputs}: (slices, n, n) is needed, pad what is not square")
        if self.angles.ndim != 1 or not self.angles.size:
            raise ValueError(f"the angles have shape {self.angles.shape}, but at least one view (views,) is needed")
        if known(self.angles):
            checked("the angles", self.angles)

    def apply(self, x: Array) -> Array:
        n = self.inputs[1]
        middle = n // 2
        i, j = jnp.meshgrid(jnp.arange(n) - middle, jnp.arange(n) - middle, indexing="ij")

        def view(angle):
            turn = jnp.deg2rad(angle).astype(x.dtype)
            column, row = jnp.cos(turn) * j + jnp.sin(turn) * i + middle, jnp.cos(turn) * i - jnp.sin(turn) * j + middle
            return jax.vmap(lambda image: map_coordinates(image, [row, column], 1, "constant"))(x).sum(axis=1)

        return jnp.moveaxis(jax.lax.map(view, self.angles), 0, -1)


class _Slices(Linear):
    """The matrix of one slice for all of them: of few pixels and views the fastest way."""

    weights: Float[Array, "m n"]
    inputs: Shape = eqx.field(static=True)
    views: int = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        found = x.reshape(len(x), -1) @ self.weights.astype(x.dtype).T
        return found.reshape(*x.shape[:2], self.views)

    def back(self, y: Array) -> Array:
        return (y.reshape(len(y), -1) @ self.weights.astype(y.dtype)).reshape(self.inputs)

    def invert(self, y: Array) -> Array:
        inverse = jnp.linalg.pinv(self.weights).astype(y.dtype)
        return (y.reshape(len(y), -1) @ inverse.T).reshape(self.inputs)

    def norm(self) -> Float[Array, ""]:
        return jnp.linalg.norm(self.weights, 2)


def radon(inputs: Shape, angles: Any) -> Linear:
    """The operator of these views: of small slices by a matrix, else without.

    Args:
        inputs: (slices, n, n).
        angles: a number of views spread evenly over half a turn, or the angles (views,) in degrees.
    """
    given = np.arange(angles) * 180 / angles if isinstance(angles, int) and angles > 0 else angles
    whole = Radon(inputs, () if isinstance(angles, int) and angles < 1 else given)
    _, n, _ = whole.inputs
    views = whole.angles.size
    if n**3 * views > DENSE:
        return whole
    return _Slices(weights=Radon((1, n, n), whole.angles).matrix(), inputs=whole.inputs, views=views)


def filtered_backprojection(sinogram: Any, angles: Any) -> Float[Array, "c n n"]:
    """The inverse of the transform of all angles, at few: the ramp filter along the detector, then back along the lines.

    As ``skimage.transform.iradon``: linear interpolation along the detector, 0 outside the inscribed disc.

    Args:
        sinogram: (slices, n, views).
        angles: (views,) in degrees.
    """
    sinogram = jnp.asarray(sinogram)
    turns = jnp.deg2rad(jnp.asarray(angles, sinogram.dtype))
    views = sinogram.shape[-1]
    if turns.shape != (views,):
        raise ValueError(f"the angles have shape {turns.shape}, but the sinogram has {views} views")
    return _backprojected(sinogram, turns)


@jit
def _backprojected(sinogram: Array, turns: Array) -> Array:
    _, n, views = sinogram.shape
    size = max(64, 2 ** int(np.ceil(np.log2(2 * n))))
    place = np.concatenate([np.arange(1, size / 2 + 1, 2), np.arange(size / 2 - 1, 0, -2)])
    ramp = np.zeros(size)
    ramp[0], ramp[1::2] = 0.25, -1 / (np.pi * place) ** 2
    factors = jnp.asarray(2 * np.fft.fft(ramp).real, sinogram.dtype)
    spectrum = jnp.fft.fft(sinogram, n=size, axis=1) * factors[None, :, None]
    filtered = jnp.fft.ifft(spectrum, axis=1).real[:, :n].astype(sinogram.dtype)
    detector = jnp.arange(n, dtype=sinogram.dtype) - n // 2
    i, j = jnp.meshgrid(detector, detector, indexing="ij")

    def back(view):
        turn, lines = view
        hit = jnp.cos(turn) * j - jnp.sin(turn) * i
        return jax.vmap(lambda line: jnp.interp(hit, detector, line, left=0, right=0))(lines)

    total = jax.lax.map(back, (turns, jnp.moveaxis(filtered, -1, 0))).sum(axis=0)
    return jnp.where(i**2 + j**2 <= (n // 2) ** 2, total * (jnp.pi / (2 * views)), 0)
