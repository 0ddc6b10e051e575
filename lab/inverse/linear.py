r"""Identity, masks, matrices, and down-sampling, which is a matrix for the rows and one for the columns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.inverse.operators import Basis, Linear, Shape, checked, decomposed, known, turned


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
    """A mask that sees this share of the pixels, which is traced, drawn without order, at least one."""
    if known(share) and not 0 < np.asarray(share) <= 1:
        raise ValueError(f"share = {share}, but of the pixels a part above 0, at most all, must be seen")
    count = jnp.maximum(1, jnp.round(jnp.asarray(share) * sides[0] * sides[1]))
    return (jax.random.permutation(key, sides[0] * sides[1]) < count).reshape(sides)


def box(
    sides: tuple[int, int], top: ArrayLike, left: ArrayLike, height: ArrayLike, width: ArrayLike
) -> Bool[Array, "h w"]:
    """A mask that hides a rectangle, whose place and sides are traced."""
    i, j = np.ogrid[: sides[0], : sides[1]]
    inside = (i >= top) & (i < top + height) & (j >= left) & (j < left + width)
    return jnp.asarray(~inside)


def free_form(
    key: PRNGKeyArray, sides: tuple[int, int], strokes: int = 3, width: ArrayLike = 0.08
) -> Bool[Array, "h w"]:
    """A mask that hides strokes of a brush: lines of a few bends, ``width`` of the longer side thick.

    Args:
        strokes: at least 0; each has four straight pieces.
    """
    h, w = sides
    places = jax.random.uniform(key, (strokes, 5, 2)) * jnp.asarray([[[h - 1, w - 1]]])
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
        self.inputs = channels, self.rows.shape[1], self.columns.shape[1]

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
    """The mean of each square of so many pixels a side."""
    channels, *sides = _divided(inputs, by)
    rows, columns = (np.kron(np.eye(side // by), np.full((1, by), 1 / by)) for side in sides)
    return Separable(rows, columns, channels)


def bicubic(inputs: Shape, by: int) -> Separable:
    """Bicubic down-sampling (Keys, a = -1/2) with the kernel widened by the factor, so that nothing folds back."""
    channels, *sides = _divided(inputs, by)
    whole = (jnp.eye(side, dtype=jnp.result_type(float)) for side in sides)
    rows, columns = (jax.image.resize(each, (len(each) // by, len(each)), "cubic", antialias=True) for each in whole)
    return Separable(rows, columns, channels)


def _divided(inputs: Shape, by: int) -> Shape:
    if len(inputs) != 3 or by < 1 or inputs[1] % by or inputs[2] % by:
        raise ValueError(
            f"images of shape {inputs} can't be divided by {by}: give (channels, height, width) that {by} divides"
        )
    return tuple(inputs)
