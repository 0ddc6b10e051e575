r"""Patch machines: each pixel is denoised by the square patch around it.

Kamb, Ganguli, *An analytic theory of creativity in convolutional diffusion models*, ICML 2025 (arXiv 2412.20292).
"""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.choices import choices, chosen
from lab.denoise.images import Images
from lab.denoise.locality import PixelSoftmax, checked_chunk
from lab.denoise.posterior import positive
from lab.denoise.streaming import Softmax, Streaming, budget_of, scan

type Boundary = Literal["zero", "circular", "reflect", "edge"] | str
BOUNDARIES = choices(Boundary)


@chosen
class LS(PixelSoftmax):
    r"""The local score machine: a softmax for each position q over the patches at the same place of all images,

    $$ D_q = \sum_k \mathrm{softmax}_k\big(-|x|_{N_q} - x_k|_{N_q}|^2 / (2\sigma^2\tau)\big)\, x_k[q] . $$

    A patch has all channels. The sums over patches are two products with band matrices, along height and width: without the
    cancellation of an integral image, which float32 does not bear at low noise, and p may be traced. With
    $p \ge 2\max(H, W) - 1$ it is the optimal denoiser.

    Args:
        images: the training set.
        patch: p, odd, side of the patch in pixels; traced.
        boundary: "zero", pixels outside do not count; "circular"; "reflect"; "edge".
        tau: temperature; 1 is exact.
        budget: bytes of working memory.

    Raises:
        ValueError: an even or too large patch, an unknown boundary, tau not positive.

    Time O(B N n (H + W)).
    """

    images: Images
    patch: Array
    tau: Array
    boundary: str = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        images: Images,
        patch: Any,
        boundary: Boundary = "zero",
        tau: Any = 1.0,
        budget: int | None = None,
        name: str = "LS",
    ):
        self.images, self.patch, self.tau = images, jnp.asarray(checked_patch(patch, images)), positive("tau", tau)
        self.boundary, self.chunk, self.budget, self.name = boundary, checked_chunk(None), budget_of(budget), name

    def _planes(self, numbers: Array) -> Array:
        return numbers.reshape(len(numbers), self.shape[0], -1)

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> tuple[Array, Array]:
        _, h, w = self.shape
        high, wide = (windows(side, max(h, w), self.patch, self.boundary, x.dtype) for side in (h, w))
        return high, wide

    def summed(self, known: Any, squared: Float[Array, "b k n"]) -> Float[Array, "b k Q"]:
        high, wide = known
        planes = squared.reshape(*squared.shape[:2], *self.shape).sum(axis=2)
        return (high @ (planes @ wide.T)).reshape(*squared.shape[:2], -1)

    def seen(self, x: Array, sigma: Array, q: Array) -> Float[Array, " n"]:
        c, h, w = self.shape
        high, wide = self.setup(x, sigma)
        place = q % (h * w)
        plane = high[place // w][:, None] * wide[place % w][None, :]
        return jnp.broadcast_to(plane[None], (c, h, w)).reshape(-1)


def checked_patch(patch: Any, images: Images) -> Any:
    """An odd side from 1 to 2 max(H, W) - 1, traced or checked."""
    most = 2 * max(images.shape[1:]) - 1
    if not isinstance(patch, Tracer) and not (float(patch) % 2 == 1 and 1 <= float(patch) <= most):
        raise ValueError(f"the patch size p = {patch}, but it must be odd and from 1 to {most}")
    return patch if isinstance(patch, Tracer) else int(patch)


@chosen
def windows(side: int, longest: int, patch: Array, boundary: Boundary, dtype: Any) -> Float[Array, "side side"]:
    """Row i counts how often the window of ``patch`` pixels about pixel i meets each pixel, p traced."""
    offsets = jnp.arange(1 - longest, longest)
    inside = (jnp.abs(offsets) <= patch // 2).astype(dtype)
    return jnp.einsum("o,oij->ij", inside, jnp.asarray(_shifts(side, longest, boundary), dtype))


@lru_cache(maxsize=32)
def _shifts(side: int, longest: int, boundary: str) -> np.ndarray:
    """(2 longest - 1, side, side): which pixel lies at an offset from another."""
    offsets = np.arange(1 - longest, longest)
    place, inside = _folded(np.arange(side)[None, :] + offsets[:, None], side, boundary)
    return ((place[:, :, None] == np.arange(side)) & inside[:, :, None]).astype(np.float32)


def _folded(place: np.ndarray, side: int, boundary: str) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel stands at a place, perhaps outside, and whether one does."""
    inside = np.ones(place.shape, bool)
    if boundary == "circular":
        return place % side, inside
    if boundary == "edge":
        return place.clip(0, side - 1), inside
    if boundary == "reflect":
        period = max(2 * (side - 1), 1)
        return side - 1 - np.abs(side - 1 - place % period), inside
    return place.clip(0, side - 1), (place >= 0) & (place < side)


class _Group(NamedTuple):
    """G groups of positions: in each, the patches at ``queries`` compete over those at ``candidates``."""

    queries: np.ndarray  # (G, a)
    candidates: np.ndarray  # (G, m)


@chosen
class ELS(Streaming):
    r"""The equivariant local score machine: patches from all positions r of all images compete for every position q,

    $$ D_q = \sum_{k, r} \mathrm{softmax}_{k, r}\big(-|x|_{N_q} - x_k|_{N_r}|^2 / (2\sigma^2\tau)\big)\, x_k[r] . $$

    Args:
        images: the training set.
        patch: p, odd, side of the patch in pixels, static.
        boundary: "circular", which commutes with cyclic shifts; "zero", "reflect", "edge", patches beyond the border filled so;
            or "broken": filled with zeros, and a patch is compared only with those that overlap the border in the same way.
        tau: temperature; 1 is exact.
        budget: bytes of working memory.

    Raises:
        ValueError: an even or too large patch, an unknown boundary, tau not positive.

    Time O(B N n^2 p^2 / C): use some hundred images. Distances are by products of matrices, with an error in the logits of
    about 1e-7 |patch|^2 / sigma^2 in float32: give float64 below sigma = 0.05.
    """

    images: Images
    tau: Array
    patch: int = eqx.field(static=True)
    boundary: str = eqx.field(static=True)
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        images: Images,
        patch: int,
        boundary: Boundary | Literal["broken"] = "circular",
        tau: Any = 1.0,
        budget: int | None = None,
        name: str = "ELS",
    ):
        self.images, self.patch, self.tau = images, int(checked_patch(patch, images)), positive("tau", tau)  # type: ignore[arg-type]
        self.boundary, self.budget, self.name = boundary, budget_of(budget), name

    def numbers(self) -> int:
        c = self.shape[0]
        pairs = sum(group.queries.size * group.candidates.shape[1] for group in self._groups())
        return 3 * pairs + 2 * self.images.n * self.patch**2 // max(c, 1)

    def _groups(self) -> tuple[_Group, ...]:
        return _groups(*self.shape[1:], self.patch // 2 if self.boundary == "broken" else 0)

    def _patches(self, numbers: Float[Array, "k n"]) -> Float[Array, "k places P"]:
        """The patch about each place, all channels."""
        c, h, w = self.shape
        place, inside = _patch_places(h, w, self.patch, "zero" if self.boundary == "broken" else self.boundary)
        planes = numbers.reshape(-1, c, h * w)
        cut = planes[:, :, place] * jnp.asarray(inside, numbers.dtype)[None, None]
        return cut.transpose(0, 2, 1, 3).reshape(len(numbers), h * w, -1)

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Array:
        return self._patches(x)

    def empty(self, x: Float[Array, "b n"], known: Array) -> Any:
        c, groups = self.shape[0], self._groups()
        return tuple(Softmax.empty(len(x), c, group.queries.size, x.dtype) for group in groups)

    def add(self, phase: int, known: Array, sums: Any, x: Array, sigma: Array, chunk: Array, live: Array) -> Any:
        own, theirs = known, self._patches(chunk)
        values = chunk.reshape(len(chunk), self.shape[0], -1)
        scale = -1 / (2 * sigma**2 * self.tau.astype(x.dtype))
        added = []
        for softmax, (queries, candidates) in zip(sums, self._groups(), strict=True):
            q, r = own[:, queries], theirs[:, candidates]  # (b, G, a, P), (k, G, m, P)
            inner = jnp.einsum("bgap,kgmp->bgakm", q, r, precision="highest")
            squared = (q**2).sum(axis=3)[..., None, None] + (r**2).sum(axis=3).transpose(1, 0, 2)[None, :, None]
            logits = jnp.where(live[None, None, None, :, None], scale * jnp.maximum(squared - 2 * inner, 0), -jnp.inf)
            added.append(_grouped(softmax, logits, values[:, :, candidates]))
        return tuple(added)

    def finish(self, known: Any, sums: Any) -> Float[Array, "b n"]:
        means = jnp.concatenate([each.mean() for each in sums], axis=2)
        order = np.argsort(np.concatenate([group.queries.ravel() for group in self._groups()]))
        return means[:, :, order].reshape(len(means), -1)

    def pixel(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, " b"]:
        """By its own patch alone."""
        c, h, w = self.shape
        channel, place = q // (h * w), q % (h * w)
        kind = jnp.asarray(_kinds(h, w, self.patch // 2 if self.boundary == "broken" else 0))
        competes = kind == kind[place]
        own = jnp.take(self._patches(x), place, axis=1)
        scale = -1 / (2 * sigma**2 * self.tau.astype(x.dtype))
        per_image = 2 * self.images.n * self.patch**2
        size = max(1, min(len(self.images), self.budget // (x.dtype.itemsize * per_image)))

        def add(sums, chunk, live):
            theirs = self._patches(chunk)
            inner = jnp.einsum("bp,kmp->bkm", own, theirs, precision="highest")
            squared = (own**2).sum(axis=1)[:, None, None] + (theirs**2).sum(axis=2)[None] - 2 * inner
            allowed = live[:, None] & competes[None]
            logits = jnp.where(allowed[None], scale * jnp.maximum(squared, 0), -jnp.inf).reshape(len(x), -1, 1)
            values = jnp.take(chunk.reshape(len(chunk), c, -1), channel, axis=1)
            return sums.add(logits, values.reshape(-1, 1, 1))

        return scan(self.images, size, x.dtype, Softmax.empty(len(x), 1, 1, x.dtype), add).mean()[:, 0, 0]


def _grouped(sums: Softmax, logits: Float[Array, "b G a k m"], values: Float[Array, "k c G m"]) -> Softmax:
    """``Softmax.add`` where groups have candidates of their own."""
    b, g, a = logits.shape[:3]
    flat = logits.reshape(b, g * a, -1)
    top = jax.lax.stop_gradient(jnp.maximum(sums.top, flat.max(axis=2)))
    keep, p = jnp.exp(sums.top - top), jnp.exp(flat - top[:, :, None])
    gained = jnp.einsum("bgakm,kcgm->bcga", p.reshape(logits.shape), values, precision="highest")
    return Softmax(
        top, sums.total * keep + p.sum(axis=2), sums.sum * keep[:, None] + gained.reshape(b, values.shape[1], -1)
    )


@lru_cache(maxsize=32)
def _patch_places(h: int, w: int, patch: int, boundary: str) -> tuple[np.ndarray, np.ndarray]:
    """(h w, p^2): the pixel at each place of the patch about each pixel, and whether there is one."""
    offsets = np.arange(patch) - patch // 2
    rows, in_rows = _folded(np.arange(h)[:, None] + offsets, h, boundary)  # (h, p)
    columns, in_columns = _folded(np.arange(w)[:, None] + offsets, w, boundary)
    place = rows[:, None, :, None] * w + columns[None, :, None, :]
    inside = in_rows[:, None, :, None] & in_columns[None, :, None, :]
    return place.reshape(h * w, -1), inside.reshape(h * w, -1)


def _kinds(h: int, w: int, depth: int) -> np.ndarray:
    """(h w,): places of one kind have the same distances to the four borders, counted up to ``depth``."""

    def along(side):
        i = np.arange(side)
        return np.minimum(i, depth) * (depth + 1) + np.minimum(side - 1 - i, depth)

    return (along(h)[:, None] * (depth + 1) ** 2 + along(w)[None, :]).ravel()


@lru_cache(maxsize=32)
def _groups(h: int, w: int, depth: int) -> tuple[_Group, ...]:
    """The kinds of places, those of equal size together: interior, four edges, corners."""
    kinds = _kinds(h, w, depth)
    places = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    sizes = sorted({len(each) for each in places}, reverse=True)
    found = [np.stack([each for each in places if len(each) == size]) for size in sizes]
    return tuple(_Group(each, each) for each in found)


class ES(Streaming):
    r"""The equivariant score machine: the optimal denoiser of the training set with all its cyclic shifts, without locality.

    Distances to all shifts of an image are one correlation, and their weighted mean one convolution, by Fourier transforms:
    time O(B N n log n). The error in the logits is about 1e-7 |x|^2 / sigma^2 in float32: give float64 below sigma = 0.1.

    Args:
        images: the training set.
        tau: temperature; 1 is exact.
        budget: bytes of working memory.
    """

    images: Images
    tau: Array
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, images: Images, tau: Any = 1.0, budget: int | None = None, name: str = "ES"):
        self.images, self.tau, self.budget, self.name = images, positive("tau", tau), budget_of(budget), name

    def numbers(self) -> int:
        return 8 * self.images.n

    def _transformed(self, numbers: Array) -> Array:
        return jnp.fft.rfft2(numbers.reshape(-1, *self.shape))

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Array:
        return self._transformed(x)

    def empty(self, x: Float[Array, "b n"], known: Array) -> Softmax:
        return Softmax(
            jnp.full((len(x), 1), -jnp.inf, x.dtype), jnp.zeros((len(x), 1), x.dtype), jnp.zeros_like(x)[:, None]
        )

    def add(self, phase: int, known: Array, sums: Any, x: Array, sigma: Array, chunk: Array, live: Array) -> Softmax:
        theirs = self._transformed(chunk)
        _, h, w = self.shape
        # the inner product of x with the image shifted by r
        inner = jnp.fft.irfft2(jnp.einsum("bchw,kchw->bkhw", known, theirs.conj()), (h, w))
        squared = (x**2).sum(axis=1)[:, None, None, None] + (chunk**2).sum(axis=1)[None, :, None, None] - 2 * inner
        logits = -jnp.maximum(squared, 0) / (2 * sigma**2 * self.tau.astype(x.dtype))
        logits = jnp.where(live[None, :, None, None], logits, -jnp.inf)
        flat = logits.reshape(len(x), -1)
        top = jax.lax.stop_gradient(jnp.maximum(sums.top, flat.max(axis=1, keepdims=True)))
        p = jnp.exp(logits - top[:, :, None, None])
        spread = jnp.einsum("bkhw,kchw->bchw", jnp.fft.rfft2(p), theirs)
        keep = jnp.exp(sums.top - top)
        gained = jnp.fft.irfft2(spread, (h, w)).reshape(len(x), 1, -1)
        return Softmax(top, sums.total * keep + p.sum(axis=(1, 2, 3))[:, None], sums.sum * keep[:, :, None] + gained)

    def finish(self, known: Any, sums: Softmax) -> Float[Array, "b n"]:
        return (sums.sum / sums.total[:, :, None])[:, 0]
