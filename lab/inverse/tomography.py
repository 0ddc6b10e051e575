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

from lab.inverse.linear import Channels
from lab.inverse.operators import DENSE, Basis, Linear, Shape, checked, decomposed, known
from lab.numerics.arguments import real
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit

MOST = 64
"""Views for which ``views`` has room."""

_POWER = 5000  # steps of the power method


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
            # computed once: of two roundings of a place on a pixel one may be in the next, and the pixel is lost
            column, row = jax.lax.optimization_barrier((column, row))
            return jax.vmap(lambda image: map_coordinates(image, [row, column], 1, "constant"))(x).sum(axis=1)

        return jnp.moveaxis(jax.lax.map(view, self.angles), 0, -1)


class Sliced(Linear):
    r"""The matrix of one slice for all of them: of few pixels and views the fastest way. Made by ``radon`` and ``views``.

    Attributes:
        weights: (n views, n n), of views that are not measured 0.
        gram: $A^\top A$ of one slice, which $A^* A$ costs less with than with A twice.
        peak: the largest eigenvalue of it.
    """

    weights: Float[Array, "m n"]
    gram: Float[Array, "n n"]
    peak: Float[Array, ""]
    inputs: Shape = eqx.field(static=True)
    views: int = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        found = x.reshape(len(x), -1) @ self.weights.astype(x.dtype).T
        return found.reshape(*x.shape[:2], self.views)

    def back(self, y: Array) -> Array:
        return (y.reshape(len(y), -1) @ self.weights.astype(y.dtype)).reshape(self.inputs)

    def normal(self, x: Array) -> Array:
        if 2 * len(self.weights) <= len(self.gram):
            return super().normal(x)
        return (x.reshape(len(x), -1) @ self.gram.astype(x.dtype)).reshape(self.inputs)

    def invert(self, y: Array) -> Array:
        inverse = jnp.linalg.pinv(self.weights).astype(y.dtype)
        return (y.reshape(len(y), -1) @ inverse.T).reshape(self.inputs)

    def norm(self) -> Float[Array, ""]:
        return jnp.sqrt(self.peak)

    def basis(self) -> Basis:
        turn, values, found, inverse = decomposed(self.weights)
        sides, outputs = self.inputs[1:], (*self.inputs[:2], self.views)
        whole = jnp.broadcast_to(values.reshape(1, *sides), self.inputs)
        of_data = [Channels(weights=each, inputs=outputs, shape=sides) for each in (found, inverse)]
        return Basis(Channels(weights=turn, inputs=self.inputs, shape=sides), whole, *of_data)


@jit
def _sliced(inputs: Shape, angles: Array, seen: Array) -> Sliced:
    """Of these angles (views,) those that are seen."""
    n = inputs[1]
    middle, views = n // 2, angles.size
    i, j = jnp.meshgrid(jnp.arange(n) - middle, jnp.arange(n) - middle, indexing="ij")
    turn = jnp.deg2rad(angles)[:, None, None]
    column = jnp.cos(turn) * j[None] + jnp.sin(turn) * i[None] + middle
    row = jnp.cos(turn) * i[None] - jnp.sin(turn) * j[None] + middle
    column, row = jax.lax.optimization_barrier((column, row))
    line = jnp.broadcast_to((j + middle)[None] * views + jnp.arange(views)[:, None, None], row.shape)
    weights = jnp.zeros((n * views, n * n), angles.dtype)
    for down in (0, 1):
        for right in (0, 1):
            r, c = jnp.floor(row).astype(jnp.int32) + down, jnp.floor(column).astype(jnp.int32) + right
            share = (1 - jnp.abs(row - r)) * (1 - jnp.abs(column - c)) * seen[:, None, None]
            inside = (r >= 0) & (r < n) & (c >= 0) & (c < n)
            pixel = jnp.where(inside, r * n + c, 0)
            weights = weights.at[line.ravel(), pixel.ravel()].add(jnp.where(inside, share, 0).ravel())
    gram = weights.T @ weights
    return Sliced(weights=weights, gram=gram, peak=_peak(gram), inputs=inputs, views=views)


@jax.custom_jvp
def _peak(gram: Array) -> Array:
    """The largest eigenvalue of a matrix without negative entries, whose eigenvector has none either."""
    return _leading(gram)[1]


@_peak.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    vector, value = _leading(*primals)
    vector = refuse_derivative(vector, "the second derivative of the norm of a projection is not implemented")
    return value, vector @ tangents[0] @ vector


def _leading(gram: Array) -> tuple[Array, Array]:
    gram = jax.lax.stop_gradient(gram)

    def improve(carry):
        x, value, _, count = carry
        x = gram @ x
        new = jnp.linalg.norm(x)
        return x / jnp.where(new > 0, new, 1), new, value, count + 1

    def unsettled(carry):
        _, value, before, count = carry
        return (jnp.abs(value - before) > 4 * jnp.finfo(gram.dtype).eps * value) & (count < _POWER)

    start = jnp.full(len(gram), len(gram) ** -0.5, gram.dtype)
    zero = jnp.zeros((), gram.dtype)
    return jax.lax.while_loop(unsettled, improve, (start, zero, zero - 1, jnp.int32(0)))[:2]


def views(inputs: Shape, count: Any, span: Any = 180.0, most: int = MOST) -> tuple[Sliced, Float[Array, " most"]]:
    """The operator of ``count`` views spread evenly over ``span`` degrees, and the angles, with room for ``most`` of them.

    Another count is no other shape, so that it may be traced; views beyond it measure 0, and their angles are NaN.

    Args:
        inputs: (slices, n, n), with n^3 most entries that can be held.
    """
    return _views(
        Radon(inputs, np.zeros(1)).inputs, jnp.asarray(count), jnp.asarray(span, jnp.result_type(float)), most
    )


@jit
def _views(inputs: Shape, count: Array, span: Array, most: int) -> tuple[Sliced, Float[Array, " most"]]:
    number = jnp.arange(most)
    seen = number < count
    angles = jnp.where(seen, number * (span / count), 0)
    return _sliced(inputs, angles, seen), jnp.where(seen, angles, jnp.nan)


def radon(inputs: Shape, angles: Any) -> Linear:
    r"""The operator of parallel views: of small slices by a matrix, else without.

    $$ (A x)_{c, j, v} = \sum_i x_c\big(\mathrm{row}(i, j), \mathrm{col}(i, j)\big) $$

    along the turned lines of each angle (the text of the module), with bilinear interpolation.

    Args:
        inputs: (slices, n, n).
        angles: a number of views spread evenly over half a turn, or the angles (views,) in degrees.

    Returns:
        the operator to (slices, n, views).

    Raises:
        ValueError: slices that are not square, or no view (by the operator that it builds).

    Source:
        Natterer, The Mathematics of Computerized Tomography, 1986.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> x = jnp.zeros((1, 4, 4)).at[0, :, 1].set(1.0)
        >>> inverse.radon((1, 4, 4), [0.0])(x).round(6)[0, :, 0].tolist()  # the sums of the columns
        [0.0, 4.0, 0.0, 0.0]
    """
    given = np.arange(angles) * 180 / angles if isinstance(angles, int) and angles > 0 else angles
    whole = Radon(inputs, () if isinstance(angles, int) and angles < 1 else given)
    _, n, _ = whole.inputs
    if n**3 * whole.angles.size > DENSE:
        return whole
    return _sliced(whole.inputs, whole.angles, jnp.ones(whole.angles.size, bool))


def filtered_backprojection(sinogram: Any, angles: Any) -> Float[Array, "c n n"]:
    r"""The inverse of the transform of all angles, at few: the ramp filter along the detector, then back along the lines.

    $$ x(i, j) \approx \frac{\pi}{2 V} \sum_v q_v(\cos\theta_v\, j - \sin\theta_v\, i), \qquad \hat q_v = 2 |f|\, \hat y_v $$

    for V views, i and j counted from the middle. As ``skimage.transform.iradon``: the detector is extended by zeros to the
    diagonal of the image before filtering, interpolation along it is linear, and the image is 0 outside the inscribed disc.

    Args:
        sinogram: (slices, n, views).
        angles: (views,) in degrees; a view whose angle is NaN is ignored.

    Returns:
        (slices, n, n).

    Raises:
        ValueError: a sinogram of another shape or with values that are not finite; angles that do not match the views.

    Source:
        Kak, Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3.

    Examples:
        >>> import numpy as np
        >>> from lab import inverse
        >>> i, j = np.ogrid[-8:8, -8:8]
        >>> disc, angles = (i**2 + j**2 < 36.0)[None] * 1.0, np.arange(0, 180, 6)
        >>> found = inverse.filtered_backprojection(inverse.radon((1, 16, 16), angles)(disc), angles)
        >>> bool(abs(found[0, 6:11, 6:11].mean() - 1) < 0.05)  # it is 1 within
        True
    """
    sinogram = real("sinogram", sinogram, ("slices", "n", "views"))
    angles, count = jnp.asarray(angles, sinogram.dtype), sinogram.shape[-1]
    if angles.shape != (count,):
        raise ValueError(f"the angles have shape {angles.shape}, but the sinogram has {count} views")
    if known(angles) and not np.isfinite(np.asarray(angles)).any():
        raise ValueError(f"the angles are {np.asarray(angles)}: at least one finite angle is needed")
    return _backprojected(sinogram, angles)


@jit
def _backprojected(sinogram: Array, angles: Array) -> Array:
    turns = jnp.deg2rad(angles)
    n, seen = sinogram.shape[1], jnp.isfinite(turns)
    turns, sinogram = jnp.where(seen, turns, 0), jnp.where(seen, sinogram, 0)
    # a pixel of the disc may project half a pixel beyond the n detector elements, where the filtered view is not 0
    wide = int(np.ceil(np.sqrt(2) * n))
    before = wide // 2 - n // 2
    sinogram = jnp.pad(sinogram, ((0, 0), (before, wide - n - before), (0, 0)))
    size = max(64, 2 ** int(np.ceil(np.log2(2 * wide))))
    place = np.concatenate([np.arange(1, size / 2 + 1, 2), np.arange(size / 2 - 1, 0, -2)])
    ramp = np.zeros(size)
    ramp[0], ramp[1::2] = 0.25, -1 / (np.pi * place) ** 2
    factors = jnp.asarray(2 * np.fft.fft(ramp).real, sinogram.dtype)
    spectrum = jnp.fft.fft(sinogram, n=size, axis=1) * factors[None, :, None]
    filtered = jnp.fft.ifft(spectrum, axis=1).real[:, :wide].astype(sinogram.dtype)
    detector = jnp.arange(wide, dtype=sinogram.dtype) - wide // 2
    side = jnp.arange(n, dtype=sinogram.dtype) - n // 2
    i, j = jnp.meshgrid(side, side, indexing="ij")

    def back(view):
        turn, lines = view
        hit = jnp.cos(turn) * j - jnp.sin(turn) * i
        return jax.vmap(lambda line: jnp.interp(hit, detector, line, left=0, right=0))(lines)

    total = jax.lax.map(back, (turns, jnp.moveaxis(filtered, -1, 0))).sum(axis=0)
    return jnp.where(i**2 + j**2 <= (n // 2) ** 2, total * (jnp.pi / (2 * seen.sum())), 0)
