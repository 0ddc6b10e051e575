r"""A softmax for each pixel that looks through a mask, and the mask that the covariance of the data dictates.

Lukoianov, Yuan, Solomon, Sitzmann, *Locality in image diffusion models emerges from data statistics*, NeurIPS 2025.
"""

from abc import abstractmethod
from collections import OrderedDict
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.denoise.images import Images, Spectrum
from lab.denoise.posterior import positive
from lab.denoise.streaming import Softmax, Streaming, budget_of, left_out, scan
from lab.numerics.jit import jit

_KEPT = 256 << 20  # bytes of masks that are remembered
_NEIGHBOURS = 32  # times fewer neighbours than pixels, or the product of matrices is faster
_TINY = 1e-6  # of W_jj: rows below it are not normalised, as released
_ZERO = 1e-12  # of W_jj: the pixel is constant


class PixelSoftmax(Streaming):
    r"""Denoisers with $D_q = \sum_k \mathrm{softmax}_k(l_k^q)\, x_k[q]$ and logits that are linear in the squared differences,
    $l_k^q = -\frac{1}{2\sigma^2\tau}\sum_j B_{jq} (x_j - x_{kj})^2$."""

    tau: eqx.AbstractVar[Array]
    chunk: eqx.AbstractVar[int | None]

    @abstractmethod
    def summed(self, known: Any, squared: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        """The squared differences seen by each softmax."""

    @abstractmethod
    def seen(self, x: Array, sigma: Array, q: Array) -> Float[Array, " n"]:
        """The weights of the input pixels for output pixel q, a column of B."""

    def numbers(self) -> int:
        return 3 * self.images.n

    def _planes(self, numbers: Array) -> Array:
        """(k, n) as (k, v, Q): the values that each softmax averages."""
        return numbers[:, None, :]

    def empty(self, x: Float[Array, "b n"], known: Any) -> Any:
        _, v, q = jax.eval_shape(self._planes, x).shape
        sums = Softmax.empty(len(x), v, q, x.dtype)
        return sums if self.chunk is None else (jnp.zeros_like(sums.sum), jnp.zeros((), x.dtype))

    def chunk_size(self, rows: int, itemsize: int) -> int:
        if self.chunk is not None:
            return min(self.chunk, len(self.images))
        return super().chunk_size(rows, itemsize)

    def add(self, phase: int, known: Any, sums: Any, x: Array, sigma: Array, chunk: Array, live: Array) -> Any:
        squared = (x[:, None] - chunk[None]) ** 2  # never expanded: that loses the digits that count at low noise
        logits = left_out(-self.summed(known, squared) / (2 * sigma**2 * self.tau.astype(x.dtype)), live)
        values = self._planes(chunk)
        if self.chunk is None:
            return sums.add(logits, values)
        own = Softmax.empty(len(x), values.shape[1], values.shape[2], x.dtype).add(logits, values)
        return sums[0] + own.mean(), sums[1] + 1

    def finish(self, known: Any, sums: Any) -> Float[Array, "b n"]:
        mean = sums.mean() if self.chunk is None else sums[0] / sums[1]
        return mean.reshape(mean.shape[0], -1)

    def pixel(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, " b"]:
        """By its own column alone: O(B N n) instead of a softmax for each pixel."""
        column = self.seen(x, sigma, q).astype(x.dtype)
        size = self.chunk_size(len(x), x.dtype.itemsize)
        variance = sigma**2 * self.tau.astype(x.dtype)

        def add(sums, chunk, live):
            squared = (x[:, None] - chunk[None]) ** 2 @ column
            logits = left_out(-squared[:, :, None] / (2 * variance), live)
            values = jnp.take(chunk, q, axis=1)[:, None, None]
            if self.chunk is None:
                return sums.add(logits, values)
            return sums[0] + Softmax.empty(len(x), 1, 1, x.dtype).add(logits, values).mean(), sums[1] + 1

        start: Any = Softmax.empty(len(x), 1, 1, x.dtype)
        if self.chunk is not None:
            start = jnp.zeros_like(start.sum), jnp.zeros((), x.dtype)
        sums = scan(self.images, size, x.dtype, start, add)
        return (sums.mean() if self.chunk is None else sums[0] / sums[1])[:, 0, 0]


class Masked(PixelSoftmax):
    """The denoiser of one mask, of one's own too. ``PCALocality.at`` makes them.

    Args:
        images: the training set.
        mask: (n, n), column q says which input pixels, in rows, output pixel q looks at, and how much.
        tau: temperature; 1 is exact.
        chunk: where given, a softmax in each chunk of so many training images, and their plain mean: as released.
        budget: bytes of working memory.

    Time 2 B N n^2 flops, by products of matrices, or O(B N n r) where no pixel of a 0/1 mask looks at more than r, few.
    """

    images: Images
    mask: Float[Array, "n n"]
    neighbours: Int[Array, "n r"] | None  # for each q, padded with n, which stands for nothing
    tau: Array
    chunk: int | None = eqx.field(static=True)
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        images: Images,
        mask: Any,
        tau: Any = 1.0,
        chunk: int | None = None,
        budget: int | None = None,
        name: str = "masked",
    ):
        mask = jnp.asarray(mask)
        if not isinstance(mask, Tracer) and not np.isfinite(np.asarray(mask, float)).all():
            raise ValueError("the mask must be finite")
        if mask.shape != (images.n, images.n):
            raise ValueError(f"the mask has shape {mask.shape}, but ({images.n}, {images.n}) is needed")
        self.images, self.mask, self.tau = images, mask.astype(float), positive("tau", tau)
        self.chunk, self.budget, self.name = checked_chunk(chunk), budget_of(budget), name
        self.neighbours = None if isinstance(mask, Tracer) else _neighbours(np.asarray(mask))

    def numbers(self) -> int:
        return 3 * self.images.n

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Any:
        return self.mask.astype(x.dtype) if self.neighbours is None else None

    def summed(self, known: Any, squared: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        if self.neighbours is None:
            return squared @ known
        b, k, n = squared.shape
        pixels = jnp.concatenate([squared.reshape(b * k, n).T, jnp.zeros((1, b * k), squared.dtype)])

        def one_more(total, which):
            return total + pixels[which], None  # whole rows are gathered

        total, _ = jax.lax.scan(one_more, jnp.zeros((n, b * k), squared.dtype), self.neighbours.T)
        return total.T.reshape(b, k, n)

    def seen(self, x: Array, sigma: Array, q: Array) -> Float[Array, " n"]:
        return jnp.take(self.mask, q, axis=1)


def _neighbours(mask: np.ndarray) -> Array | None:
    """The list form of a 0/1 mask, where it is short enough to be faster."""
    n = len(mask)
    most = int(mask.astype(bool).sum(axis=0).max())
    if most * _NEIGHBOURS > n or not np.isin(mask, (0, 1)).all():
        return None
    order = np.argsort(mask == 0, axis=0, kind="stable")[: max(most, 1)]  # those seen first
    return jnp.asarray(np.where(np.take_along_axis(mask, order, axis=0) != 0, order, n).T.astype(np.int32))


class _Memo:
    """What was computed for a level. All memos are equal, so that compiled programs don't depend on them."""

    def __init__(self):
        self.kept: OrderedDict[Any, Any] = OrderedDict()

    def __eq__(self, other):
        return isinstance(other, _Memo)

    def __hash__(self):
        return hash(_Memo)


@chosen
class PCALocality(PixelSoftmax):
    r"""The paper's denoiser: each pixel looks at those that the Wiener filter of the level couples it with.

    $$ M_{jq} = W_{jq} / W_{jj} \ \text{("row")}, \quad W_{jq} / \sqrt{W_{jj} W_{qq}} \ \text{("symmetric")}, \qquad
       B_{jq} = \big[\,|M_{jq}| \ge \theta \max |M|\,\big] $$

    Args:
        images: the training set.
        spectrum: of it.
        theta: threshold, from 0 to 1; 0 keeps the numbers M in place of 0 and 1. The paper has .005 for MNIST, .05 for CIFAR-10
            with "row"; .1 is good with "symmetric".
        tau: temperature; 1 is exact.
        normalize: "symmetric", where |M| <= 1 and a pixel that varies always sees itself, or "row", as released: where nearly
            constant pixels have a small W_jj, max |M| is far above 1 and a threshold may empty most masks.
        orientation: "column", as released, or "row": output pixel q looks through column or row q of M.
        accumulate: "exact", or "chunk_mean": a softmax in each chunk and their plain mean, as released, which depends on the
            size and order of the chunks.
        chunk: training images in a chunk; needed for "chunk_mean", else it follows from the budget.
        budget: bytes of working memory.

    Raises:
        ValueError: an argument outside what is allowed.

    Time 2 B N n^2 flops a level. The masks of the last levels are remembered.
    """

    images: Images
    spectrum: Spectrum
    theta: Array
    tau: Array
    normalize: str = eqx.field(static=True)
    orientation: str = eqx.field(static=True)
    accumulate: str = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    memo: _Memo = eqx.field(static=True, repr=False)

    def __init__(
        self,
        images: Images,
        spectrum: Spectrum,
        theta: Any = 0.1,
        tau: Any = 1.0,
        *,
        normalize: Literal["row", "symmetric"] | str = "symmetric",
        orientation: Literal["column", "row"] | str = "column",
        accumulate: Literal["exact", "chunk_mean"] | str = "exact",
        chunk: int | None = None,
        budget: int | None = None,
        name: str = "PCA locality",
    ):
        if not isinstance(theta, Tracer) and not 0 <= float(theta) <= 1:
            raise ValueError(f"theta = {theta}, but it must be from 0 to 1")
        if accumulate == "chunk_mean" and chunk is None:
            raise ValueError(
                "accumulate = 'chunk_mean' depends on the size of the chunks: give chunk, 256 or 512 as released"
            )
        if spectrum.mean.shape != (images.n,):
            raise ValueError(f"the spectrum is of {spectrum.mean.shape[0]} pixels, but the images have {images.n}")
        self.images, self.spectrum = images, spectrum
        self.theta, self.tau = jnp.asarray(theta, float), positive("tau", tau)
        self.normalize, self.orientation, self.accumulate = normalize, orientation, accumulate
        self.chunk = checked_chunk(chunk) if accumulate == "chunk_mean" else None
        self.budget, self.name, self.memo = budget_of(budget), name, _Memo()

    def coupling(self, sigma: Any) -> Float[Array, "n n"]:
        """M, output pixels in columns."""
        w = self.spectrum.wiener(sigma)
        diagonal = jnp.diagonal(w)
        if self.normalize == "row":
            m = w / jnp.where(jnp.abs(diagonal) < _TINY, 1.0, diagonal)[:, None]
        else:
            scale = jnp.where(diagonal > _ZERO, 1 / jnp.sqrt(jnp.maximum(diagonal, _ZERO)), 0.0)
            m = w * scale[:, None] * scale[None, :]
        return m if self.orientation == "column" else m.T

    def mask(self, sigma: Any) -> Float[Array, "n n"]:
        """B at a level: column q says what output pixel q looks at. Time O(n^2 r)."""
        m = jnp.abs(self.coupling(sigma))
        kept = (m >= self.theta * m.max() * (1 - 1e-12)).astype(m.dtype)  # the diagonal at theta = 1 is rounded
        return jnp.where(self.theta > 0, kept, self.coupling(sigma))

    def mask_size(self, sigma: Any) -> Float[Array, " n"]:
        """How many pixels each output pixel looks at."""
        mask = self.mask(sigma) if isinstance(sigma, Tracer) else self.at(float(sigma)).mask
        return (mask != 0).sum(axis=0).astype(float)

    def at(self, sigma: float) -> Masked:
        if any(isinstance(each, Tracer) for each in jax.tree.leaves(self)):
            return self._masked(self.mask(sigma))
        key = (sigma, float(self.theta), self.normalize, self.orientation, id(self.spectrum.vectors))
        kept = self.memo.kept
        if key not in kept:
            with jax.ensure_compile_time_eval():  # what is remembered must not belong to a trace
                found = self._masked(_mask(self, jnp.asarray(sigma, float)))
            kept[key] = found, self.spectrum.vectors  # which keeps the id its own
            while len(kept) > max(1, _KEPT // found.mask.nbytes):
                kept.popitem(last=False)
        kept.move_to_end(key)
        return eqx.tree_at(lambda each: (each.images, each.tau), kept[key][0], (self.images, self.tau))

    def _masked(self, mask: Array) -> Masked:
        return Masked(self.images, mask, self.tau, self.chunk, self.budget, self.name)

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Array:
        return self.mask(sigma.astype(float)).astype(x.dtype)

    def summed(self, known: Any, squared: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        return squared @ known

    def seen(self, x: Array, sigma: Array, q: Array) -> Float[Array, " n"]:
        return jnp.take(self.mask(sigma.astype(float)), q, axis=1)


_mask = jit(lambda denoiser, sigma: denoiser.mask(sigma))


def checked_chunk(chunk: int | None) -> int | None:
    """A number of training images, or None."""
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk = {chunk}, but a chunk has at least 1 training image")
    return chunk
