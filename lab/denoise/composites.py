r"""Patch posterior composites: the plain mean of the posterior means of all crops that contain a pixel.

$$ D = \Big(\sum_C C^\top C\Big)^{-1} \sum_C C^\top E_C, \qquad
   E_C = \sum_k \mathrm{softmax}_k\big(-|C x - C x_k|^2 / (2\sigma^2\tau)\big)\, C x_k . $$

Two passes over the training images: the normalisers of all crops, then the mean of the weights of the crops of each pixel.
Niedoba, Zwartsenberg, Murphy, Wood, *Towards a mechanistic explanation of diffusion model generalization*, 2024 (arXiv
2411.19339).
"""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.denoise.images import Images
from lab.denoise.posterior import positive
from lab.denoise.streaming import Softmax, Streaming, budget_of, left_out
from lab.numerics.arguments import real
from lab.numerics.differentiation import refuse_derivative


class _Composite(Streaming):
    """Crops as a linear map of an image to Q sums, and its transpose."""

    tau: eqx.AbstractVar[Array]
    passes: ClassVar[int] = 2

    @abstractmethod
    def gathered(self, known: Any, values: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        """The sum over each crop."""

    @abstractmethod
    def spread(self, known: Any, values: Float[Array, "b k Q"]) -> Float[Array, "b k n"]:
        """The sum over the crops that contain each pixel."""

    def valid(self, known: Any, q: int, dtype: Any) -> Float[Array, " Q"]:
        """1 for a crop, 0 for none."""
        return jnp.ones(q, dtype)

    def numbers(self) -> int:
        return 4 * self.images.n

    def _logits(self, known: Any, x: Array, sigma: Array, chunk: Array) -> Array:
        squared = self.gathered(known, (x[:, None] - chunk[None]) ** 2)
        return -squared / (2 * sigma**2 * self.tau.astype(x.dtype))

    def empty(self, x: Float[Array, "b n"], known: Any) -> Any:
        q = jax.eval_shape(lambda x: self.gathered(known, x[:, None]), x).shape[2]
        return Softmax.empty(len(x), 0, q, x.dtype), jnp.zeros_like(x)

    def add(self, phase: int, known: Any, sums: Any, x: Array, sigma: Array, chunk: Array, live: Array) -> Any:
        softmax, mean = sums
        logits = left_out(self._logits(known, x, sigma, chunk), live)
        if phase == 0:
            return softmax.add(logits, jnp.zeros((len(chunk), 0, logits.shape[2]), x.dtype)), mean
        w = jnp.exp(logits - softmax.top[:, None]) / softmax.total[:, None]
        w = w * self.valid(known, w.shape[2], w.dtype)[None, None]
        return softmax, mean + (self.spread(known, w) * chunk[None]).sum(axis=1)

    def finish(self, known: Any, sums: Any) -> Float[Array, "b n"]:
        softmax, mean = sums
        q = softmax.top.shape[1]
        count = self.spread(known, self.valid(known, q, mean.dtype)[None, None])[0]
        return mean / count


class SquareComposite(_Composite):
    r"""PSPC-Square: all s x s crops that fit inside the image.

    Args:
        images: the training set.
        side: s, from 1 (each pixel by itself) to min(H, W) (one crop of a square image: the optimal denoiser); traced.
        tau: temperature; 1 is exact.
        budget: bytes of working memory.

    Time O(B N n (H + W)).
    """

    images: Images
    side: Array
    tau: Array
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        images: Images,
        side: Any,
        tau: Any = 1.0,
        budget: int | None = None,
        name: str = "PSPC-square",
    ):
        most = min(images.shape[1:])
        if not isinstance(side, Tracer) and not (float(side) % 1 == 0 and 1 <= float(side) <= most):
            raise ValueError(f"the side of the crops is {side}, but it must be a whole number from 1 to {most}")
        self.images, self.side, self.tau = images, jnp.asarray(side), positive("tau", tau)
        self.budget, self.name = budget_of(budget), name

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> tuple[Array, Array]:
        def crops(size):  # row a: the pixels of the crop that begins at a, none where it does not fit
            start, at = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
            return ((at >= start) & (at < start + self.side) & (start + self.side <= size)).astype(x.dtype)

        return crops(self.shape[1]), crops(self.shape[2])

    def gathered(self, known: Any, values: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        high, wide = known
        planes = values.reshape(*values.shape[:2], *self.shape).sum(axis=2)
        return (high @ (planes @ wide.T)).reshape(*values.shape[:2], -1)

    def spread(self, known: Any, values: Float[Array, "b k Q"]) -> Float[Array, "b k n"]:
        high, wide = known
        c, h, w = self.shape
        planes = high.T @ (values.reshape(*values.shape[:2], h, w) @ wide)
        return jnp.broadcast_to(planes[:, :, None], (*values.shape[:2], c, h, w)).reshape(*values.shape[:2], -1)

    def valid(self, known: Any, q: int, dtype: Any) -> Float[Array, " Q"]:
        high, wide = known
        return (high.max(axis=1)[:, None] * wide.max(axis=1)[None, :]).reshape(-1).astype(dtype)


class FlexComposite(_Composite):
    r"""PSPC-Flex: a crop of any form for each pixel.

    Args:
        images: the training set.
        crops: (n, n) of 0 and 1, column q is the crop of pixel q; ``flex_crops`` makes them.
        tau: temperature; 1 is exact.
        budget: bytes of working memory.

    Raises:
        ValueError: a pixel in no crop.

    Time 8 B N n^2 flops.
    """

    images: Images
    crops: Float[Array, "n n"]
    tau: Array
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, images: Images, crops: Any, tau: Any = 1.0, budget: int | None = None, name: str = "PSPC-flex"):
        crops = jnp.asarray(crops, float)
        if crops.shape != (images.n, images.n):
            raise ValueError(f"the crops have shape {crops.shape}, but ({images.n}, {images.n}) is needed")
        if not isinstance(crops, Tracer):
            given = np.asarray(crops)
            if not np.isin(given, (0, 1)).all() or not given.any(axis=1).all():
                raise ValueError("crops hold 0 and 1, and every pixel must be in one of them")
        self.images, self.crops, self.tau = images, crops, positive("tau", tau)
        self.budget, self.name = budget_of(budget), name

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Array:
        return self.crops.astype(x.dtype)

    def gathered(self, known: Any, values: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        return values @ known

    def spread(self, known: Any, values: Float[Array, "b k Q"]) -> Float[Array, "b k n"]:
        return values @ known.T


def flex_crops(fields: Any, fraction: Any) -> Float[Array, "n n"]:
    r"""For each pixel, the fewest pixels that hold a fraction of its sensitivity; the pixel itself is always in.

    $$ \min |C| \quad \text{such that} \quad \sum_{p \in C} |F_{qp}| \ge f \sum_p |F_{qp}| $$

    Args:
        fields: F (n, n), row q is the sensitivity field of output pixel q: E |dD / dx| of a network, or |W(sigma)|.
        fraction: f, from 0 to 1, traced.

    Returns:
        (n, n) of 0 and 1, crops in columns.

    Raises:
        ValueError: a fraction outside [0, 1].

    Source:
        Niedoba, Zwartsenberg, Murphy, Wood, Towards a mechanistic explanation of diffusion model generalization, 2024.

    Examples:
        >>> from lab import denoise
        >>> denoise.flex_crops([[3.0, 1.0], [1.0, 3.0]], 0.75).tolist()  # each pixel holds 3/4 itself
        [[1.0, 0.0], [0.0, 1.0]]
    """
    fraction, fields = real("fraction", fraction, (), low=0, high=1), real("fields", fields, ("n", "n"))
    if fields.shape[0] != fields.shape[1]:
        raise ValueError(f"fields has shape {fields.shape}: a square matrix, a row for each pixel, is needed")
    fraction, fields = refuse_derivative(
        (fraction, fields), "which pixels a crop holds jumps: flex_crops has no derivative"
    )
    size = jnp.abs(fields)
    order = jnp.argsort(-size, axis=1)
    falling = jnp.take_along_axis(size, order, axis=1)
    before = jnp.cumsum(falling, axis=1) - falling
    needed = before < fraction * falling.sum(axis=1, keepdims=True) * (1 - 1e-12)
    rank = jnp.argsort(order, axis=1)
    chosen = jnp.take_along_axis(needed, rank, axis=1)
    return (chosen | jnp.eye(len(size), dtype=bool)).astype(float).T
