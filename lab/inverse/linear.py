r"""Identity, masks, matrices, and down-sampling, which is a matrix for the rows and one for the columns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.inverse.operators import Basis, Linear, Shape, checked, decomposed, known, turned
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit


class Identity(Linear):
    """Nothing happens: denoising."""

    inputs: Shape = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        return x

    def back(self, y: Array) -> Array:
        return y

    def invert(self, y: Array) -> Array:
        return y

    def norm(self) -> Float[Array, ""]:
        return jnp.ones(())

    def basis(self) -> Basis:
        return Basis(self, jnp.ones(self.inputs), turned(self, self))


class Mask(Linear):
    """Some of the numbers are seen, the others are 0 in the measurement, which keeps its shape whatever the mask is.

    Args:
        seen: True where a number is seen; of the shape of x or of its last axes. Traced: another mask compiles nothing.
        inputs: the shape of x; that of ``seen`` when omitted.

    Raises:
        ValueError: a mask that hides everything, or does not fit.
    """

    seen: Bool[Array, "..."]
    inputs: Shape = eqx.field(static=True)

    def __init__(self, seen: Any, inputs: Shape | None = None):
        seen = jnp.asarray(seen, bool)
        self.inputs = tuple(seen.shape if inputs is None else inputs)
        if seen.ndim > len(self.inputs) or seen.shape != self.inputs[len(self.inputs) - seen.ndim :]:
            raise ValueError(f"the mask has shape {seen.shape}, but it must be that of the last axes of {self.inputs}")
        if known(seen) and not np.asarray(seen).any():
            raise ValueError("the mask hides everything: let at least one number be seen")
        self.seen = jnp.broadcast_to(seen, self.inputs)

    def apply(self, x: Array) -> Array:
        return jnp.where(self.seen, x, 0)

    def back(self, y: Array) -> Array:
        return self.apply(y)

    def invert(self, y: Array) -> Array:
        return self.apply(y)

    def project(self, x: Array, y: Array) -> Array:
        return jnp.where(self.seen, y, x)

    def norm(self) -> Float[Array, ""]:
        return jnp.ones(())

    def basis(self) -> Basis:
        turn = Identity(inputs=self.inputs)
        return Basis(turn, self.seen.astype(jnp.result_type(float)), turned(turn, self))

    @property
    def noisy(self) -> Any:
        return self.seen

    @property
    def measurements(self) -> Any:
        return self.seen.sum()


def scattered(key: PRNGKeyArray, sides: tuple[int, int], share: ArrayLike) -> Bool[Array, "h w"]:
    r"""A mask that sees a share of the pixels, drawn without order: $\max(1, \mathrm{round}(s H W))$ of them.

    Args:
        key: of the order.
        sides: (H, W) of the mask; static.
        share: s, above 0 and at most 1; traced.

    Returns:
        (H, W), True where a pixel is seen.

    Raises:
        ValueError: a share outside (0, 1].

    Source:
        Chung, Kim, McCann, Klasky, Ye, Diffusion posterior sampling for general noisy inverse problems, ICLR 2023.

    Examples:
        >>> import jax
        >>> from lab import inverse
        >>> int(inverse.scattered(jax.random.key(0), (4, 4), 0.25).sum())  # a quarter of 16
        4
    """
    whole("sides", min(sides), 1)
    if known(share) and not 0 < np.asarray(share) <= 1:
        raise ValueError(f"share = {share}, but of the pixels a part above 0, at most all, must be seen")
    return _scattered(key, sides, jnp.asarray(share))


@jit
def _scattered(key: PRNGKeyArray, sides: tuple[int, int], share: Array) -> Bool[Array, "h w"]:
    count = jnp.maximum(1, jnp.round(share * sides[0] * sides[1]))
    return (jax.random.permutation(key, sides[0] * sides[1]) < count).reshape(sides)


def box(
    sides: tuple[int, int], top: ArrayLike, left: ArrayLike, height: ArrayLike, width: ArrayLike
) -> Bool[Array, "h w"]:
    r"""A mask that hides a rectangle, $\{(i, j) : t \le i < t + h,\; l \le j < l + w\}$, whose place and sides are traced.

    Args:
        sides: (H, W) of the mask; static.
        top: t, its first row.
        left: l, its first column.
        height: h, in pixels.
        width: w, in pixels.

    Returns:
        (H, W), True where a pixel is seen.

    Source:
        Chung, Kim, McCann, Klasky, Ye, Diffusion posterior sampling for general noisy inverse problems, ICLR 2023.

    Examples:
        >>> from lab import inverse
        >>> inverse.box((2, 3), 0, 1, 1, 2).tolist()
        [[True, False, False], [True, True, True]]
    """
    for name, value in (("top", top), ("left", left)):
        real(name, value, ())
    for name, value in (("height", height), ("width", width)):
        real(name, value, (), low=0)
    i, j = np.ogrid[: sides[0], : sides[1]]
    inside = (i >= top) & (i < top + height) & (j >= left) & (j < left + width)
    return jnp.asarray(~inside)


def free_form(
    key: PRNGKeyArray, sides: tuple[int, int], strokes: int = 3, width: ArrayLike = 0.08
) -> Bool[Array, "h w"]:
    r"""A mask that hides strokes of a brush: lines of a few bends.

    A pixel p is hidden where $\min_k \mathrm{dist}(p, \text{piece } k) \le \frac12 w \max(H, W)$.

    Args:
        key: of the bends, uniform in the image.
        sides: (H, W) of the mask; static.
        strokes: at least 0; each has four straight pieces.
        width: w, how thick, as a share of the longer side.

    Returns:
        (H, W), True where a pixel is seen.

    Source:
        Yu, Lin, Yang, Shen, Lu, Huang, Free-form image inpainting with gated convolution, ICCV 2019.

    Examples:
        >>> import jax
        >>> from lab import inverse
        >>> bool(inverse.free_form(jax.random.key(0), (8, 8), strokes=0).all())  # no stroke hides nothing
        True
    """
    whole("strokes", strokes, 0)
    real("width", width, (), low=0)
    h, w = sides
    places = random.uniform(key, (strokes, 5, 2)) * jnp.asarray([[[h - 1, w - 1]]])
    i, j = jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij")
    pixels = jnp.stack([i, j], axis=-1).reshape(-1, 1, 2).astype(places.dtype)
    first, last = places[:, :-1].reshape(-1, 2), places[:, 1:].reshape(-1, 2)
    along = last - first
    share = ((pixels - first[None]) * along[None]).sum(-1) / jnp.maximum((along**2).sum(-1), 1e-12)[None]
    near = first[None] + jnp.clip(share, 0, 1)[..., None] * along[None]
    apart = jnp.sqrt(((pixels - near) ** 2).sum(-1)).min(axis=1, initial=jnp.inf)
    return (apart > width * max(h, w) / 2).reshape(sides)


class Dense(Linear):
    """A matrix for the flattened array.

    Args:
        weights: (m, n) with n the numbers of ``inputs``.
        shape: of a measurement, of m numbers; (m,) when omitted.
    """

    weights: Float[Array, "m n"]
    inputs: Shape = eqx.field(static=True)
    shape: Shape = eqx.field(static=True)

    def __init__(self, weights: Any, inputs: Shape, shape: Shape | None = None):
        weights = jnp.asarray(weights, jnp.result_type(float))
        self.inputs = tuple(inputs)
        self.shape = (weights.shape[0],) if shape is None else tuple(shape)
        if weights.ndim != 2 or weights.shape != (int(np.prod(self.shape)), int(np.prod(self.inputs))):
            raise ValueError(f"the matrix has shape {weights.shape}, but it takes {self.inputs} to {self.shape}")
        if known(weights):
            checked("the matrix", weights)
        self.weights = weights

    def apply(self, x: Array) -> Array:
        return (self.weights.astype(x.dtype) @ x.ravel()).reshape(self.shape)

    def back(self, y: Array) -> Array:
        return (self.weights.astype(y.dtype).T @ y.ravel()).reshape(self.inputs)

    def invert(self, y: Array) -> Array:
        return (jnp.linalg.pinv(self.weights).astype(y.dtype) @ y.ravel()).reshape(self.inputs)

    def norm(self) -> Float[Array, ""]:
        return jnp.linalg.norm(self.weights, 2)

    def basis(self) -> Basis:
        turn, values, found, inverse = decomposed(self.weights)
        n = turn.shape[:1]
        return Basis(
            Dense(turn, self.inputs, n), values, Dense(found, self.shape, n), Dense(inverse, self.shape, self.inputs)
        )


class Channels(Linear):
    """A matrix for each channel alike, flattened.

    Args:
        weights: (m, n) with n the numbers of a channel.
        inputs: (C, ...).
        shape: of a channel's measurement, of m numbers.
    """

    weights: Float[Array, "m n"]
    inputs: Shape = eqx.field(static=True)
    shape: Shape = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        return (x.reshape(len(x), -1) @ self.weights.astype(x.dtype).T).reshape(len(x), *self.shape)

    def back(self, y: Array) -> Array:
        return (y.reshape(len(y), -1) @ self.weights.astype(y.dtype)).reshape(self.inputs)


class Separable(Linear):
    r"""$Y = R\,X\,C^\top$ on the last two axes of images (C, H, W)."""

    rows: Float[Array, "h H"]
    columns: Float[Array, "w W"]
    inputs: Shape = eqx.field(static=True)

    def __init__(self, rows: Any, columns: Any, channels: int = 1):
        self.rows, self.columns = (jnp.asarray(each, jnp.result_type(float)) for each in (rows, columns))
        for name, each in (("rows", self.rows), ("columns", self.columns)):
            real(name, each, ("measured", "side"))
        self.inputs = whole("channels", channels, 1), self.rows.shape[1], self.columns.shape[1]

    def apply(self, x: Array) -> Array:
        return self.rows.astype(x.dtype) @ x @ self.columns.astype(x.dtype).T

    def back(self, y: Array) -> Array:
        return self.rows.astype(y.dtype).T @ y @ self.columns.astype(y.dtype)

    def invert(self, y: Array) -> Array:
        rows, columns = (jnp.linalg.pinv(each).astype(y.dtype) for each in (self.rows, self.columns))
        return rows @ y @ columns.T

    def norm(self) -> Float[Array, ""]:
        return jnp.linalg.norm(self.rows, 2) * jnp.linalg.norm(self.columns, 2)

    def basis(self) -> Basis:
        rows, columns = (decomposed(each) for each in (self.rows, self.columns))
        turn, values, found, inverse = zip(rows, columns, strict=True)
        made = [Separable(one, other, self.inputs[0]) for one, other in (turn, found, inverse)]
        return Basis(made[0], jnp.broadcast_to(jnp.outer(*values), self.inputs), *made[1:])


def average(inputs: Shape, by: int) -> Separable:
    r"""The mean of each square of so many pixels a side, $(A x)_{ij} = \frac{1}{b^2} \sum_{k, l < b} x_{bi + k,\, bj + l}$.

    Args:
        inputs: (C, H, W), height and width multiples of ``by``.
        by: b, pixels a side.

    Returns:
        the operator to (C, H / b, W / b).

    Raises:
        ValueError: sides that ``by`` does not divide (by the check that it calls).

    Source:
        Kawar, Elad, Ermon, Song, Denoising diffusion restoration models, NeurIPS 2022, of super-resolution.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> inverse.average((1, 2, 2), 2)(jnp.arange(4.0).reshape(1, 2, 2)).tolist()  # (0 + 1 + 2 + 3) / 4
        [[[1.5]]]
    """
    channels, *sides = _divided(inputs, by)
    rows, columns = (np.kron(np.eye(side // by), np.full((1, by), 1 / by)) for side in sides)
    return Separable(rows, columns, channels)


def bicubic(inputs: Shape, by: int) -> Separable:
    r"""Bicubic down-sampling with the kernel widened by the factor, so that nothing folds back.

    $$ y_i = \frac{\sum_j w_{ij}\, x_j}{\sum_j w_{ij}}, \qquad w_{ij} = w\big((j + \tfrac12) / b - (i + \tfrac12)\big) $$

    for the rows and for the columns, with Keys' cubic w of a = -1/2.

    Args:
        inputs: (C, H, W), height and width multiples of ``by``.
        by: b, the factor.

    Returns:
        the operator to (C, H / b, W / b).

    Raises:
        ValueError: sides that ``by`` does not divide (by the check that it calls).

    Source:
        Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on ASSP 1981.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> inverse.bicubic((1, 4, 4), 2)(jnp.ones((1, 4, 4))).round(6).tolist()  # a constant stays
        [[[1.0, 1.0], [1.0, 1.0]]]
    """
    channels, *sides = _divided(inputs, by)
    whole = (jnp.eye(side, dtype=jnp.result_type(float)) for side in sides)
    rows, columns = (jax.image.resize(each, (len(each) // by, len(each)), "cubic", antialias=True) for each in whole)
    return Separable(rows, columns, channels)


def _divided(inputs: Shape, by: int) -> Shape:
    whole("by", by, 1)
    if len(inputs) != 3 or inputs[1] % by or inputs[2] % by:
        raise ValueError(
            f"images of shape {inputs} can't be divided by {by}: give (channels, height, width) that {by} divides"
        )
    return tuple(inputs)
