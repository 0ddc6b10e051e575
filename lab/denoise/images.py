r"""A set of images, pooled to smaller ones, and what a linear denoiser needs of it: mean and covariance in their eigenbasis."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from lab import precision
from lab.numerics.arguments import arrays
from lab.numerics.differentiation import NotDifferentiableError, is_traced
from lab.numerics.jit import jit

_DENSE = 4096  # up to this many pixels the covariance is formed
_RANK = 1000  # of the basis above it
_BYTES = 64 << 20  # of a block of images in float64
_NOTHING = 1e-11  # of the largest eigenvalue: rounding
_EASY = 256  # pixels to which images are pooled where nothing is said


class Images(eqx.Module):
    """Images in memory as they came, made numbers where they are used.

    Args:
        pixels: (N, C, H, W), or (N, n) with ``shape``; uint8, which stands for v / 127.5 - 1, or floats, usually between
            -1 and 1. 50,000 images of 3 x 32 x 32 take 154 MB as uint8 and 614 MB as float32.
        shape: (C, H, W).

    Raises:
        ValueError: no images, a shape that does not fit, or pixels that are not finite.
    """

    pixels: Array
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(self, pixels: Any, shape: tuple[int, int, int] | None = None):
        precision.uncut(pixels=pixels)
        pixels = jnp.asarray(pixels)
        sizes = [int(size) for size in (pixels.shape[1:] if shape is None else shape)]
        if len(sizes) != 3 or 0 in pixels.shape or pixels.shape[1:] not in (tuple(sizes), (int(np.prod(sizes)),)):
            raise ValueError(
                f"the images have shape {pixels.shape}, but (count, channels, height, width), or (count, pixels) "
                "with the shape of an image, is needed"
            )
        if pixels.dtype not in (jnp.uint8, jnp.float32, jnp.float64):
            raise ValueError(f"the pixels are {pixels.dtype}, but uint8, float32 or float64 is needed")
        if pixels.dtype != jnp.uint8 and not isinstance(pixels, Tracer) and not np.isfinite(np.asarray(pixels)).all():
            bad = int(np.argmin(np.isfinite(np.asarray(pixels)).reshape(len(pixels), -1).all(axis=1)))
            raise ValueError(f"image {bad} has pixels that are not finite: leave it out, or fill them in")
        self.pixels, self.shape = pixels.reshape(len(pixels), -1), (sizes[0], sizes[1], sizes[2])

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def n(self) -> int:
        return self.pixels.shape[1]

    def numbers(self, pixels: Array | None = None, dtype: Any = float) -> Float[Array, "N n"]:
        """All images, or those given of the same kind, as floats."""
        pixels = self.pixels if pixels is None else pixels
        return pixels.astype(dtype) / 127.5 - 1 if pixels.dtype == jnp.uint8 else pixels.astype(dtype)

    def some(self, start: ArrayLike, count: int, dtype: Any = float) -> Float[Array, "k n"]:
        """``count`` images from ``start`` on, which is traced."""
        return self.numbers(jax.lax.dynamic_slice_in_dim(self.pixels, start, count), dtype)


def pool(pixels: Shaped[Array, "N C H W"], by: int) -> Float[Array, "N C h w"]:
    """Images as numbers between -1 and 1, squares of so many pixels averaged; what does not fill one is left out.

    Args:
        pixels: uint8, which stands for v / 127.5 - 1, or floats.
        by: pixels of a side, static.

    Returns:
        (N, C, H // by, W // by), in the precision that is set.
    """
    numbers = pixels.astype(jnp.result_type(float))
    if pixels.dtype == jnp.uint8:
        numbers = numbers / 127.5 - 1
    n, c, h, w = numbers.shape
    h, w = h // by, w // by
    return numbers[:, :, : h * by, : w * by].reshape(n, c, h, by, w, by).mean(axis=(3, 5))


def pooling(sides: Sequence[int], by: int | None = None) -> int:
    """Pixels a side that become one: ``by``, or where it is None the least that leaves at most 256 pixels."""
    height, width = sides
    return by or next(by for by in range(1, 10_000) if (height // by) * (width // by) <= _EASY)


class Spectrum(eqx.Module):
    r"""Mean and covariance of images, $S = U\,\mathrm{diag}(\lambda)\,U^\top$.

    Attributes:
        mean: (n,).
        values: (r,), falling, not negative.
        vectors: (n, r), orthonormal columns.
        trace: of S, also of what a truncated basis leaves out.
        matrix: $U^\top S U$ (r, r) with U held constant, which is diagonal but for its derivatives: functions of S have
            derivatives where eigenvalues are equal, where U has none. Of ``dense_spectrum`` of what is traced.
    """

    mean: Float[Array, " n"]
    values: Float[Array, " r"]
    vectors: Float[Array, "n r"]
    trace: Float[Array, ""]
    matrix: Float[Array, "r r"] | None = None

    def gains(self, sigma: ArrayLike) -> Float[Array, " r"]:
        r"""$\lambda / (\lambda + \sigma^2)$, a half where $\lambda = \sigma^2$."""
        return self.values / (self.values + jnp.asarray(sigma) ** 2)

    def wiener(self, sigma: ArrayLike) -> Float[Array, "n n"]:
        r"""$W = S (S + \sigma^2 I)^{-1}$, symmetric. Time O(n^2 r)."""
        gained = self.gained(self.axes, jnp.full(len(self.vectors), jnp.asarray(sigma) ** 2))
        return gained @ self.axes.T

    @property
    def axes(self) -> Float[Array, "n r"]:
        """The eigenvectors, constants of a derivative where it comes with ``matrix``."""
        return self.vectors if self.matrix is None else jax.lax.stop_gradient(self.vectors)

    def gained(self, along: Float[Array, "b r"], variance: Float[Array, " b"]) -> Float[Array, "b r"]:
        r"""$S (S + vI)^{-1}$ of rows on the axes, each with its own v; derivatives with ``matrix`` are right to third order.

        With D the inverse of the diagonal of $S + v I$ and C what is beside it, which is 0 but for its derivatives,
        $(S + vI)^{-1} = D - D C D + D C D C D - \dots$
        """
        if self.matrix is None:
            return along * (self.values[None, :] / (self.values[None, :] + variance[:, None]))
        values = jnp.diagonal(self.matrix)
        beside = self.matrix - jnp.diag(values)
        inverse = 1 / (values[None, :] + variance[:, None])
        found, term = along * values[None, :] * inverse, along * inverse
        for _ in range(3):
            term = -(term @ beside) * inverse
            found = found - variance[:, None] * term
        return found


def spectrum(images: Images, rank: int | None = None, seed: int = 0) -> Spectrum:
    r"""The eigenbasis of the covariance (divisor N - 1), in float64, on the host: $S = U\,\mathrm{diag}(\lambda)\,U^\top$.

    Up to 4096 pixels the covariance is summed up from blocks of centred images, O(N n^2), and factorized, O(n^3): under a
    minute on two cores for n = 3072. Above, or where a ``rank`` is given, the leading eigenvectors come from a randomised
    subspace iteration that never forms it: O(N n rank) a sweep, memory O(n rank). Images that are traced by ``jit``, ``vmap``
    or ``grad`` get ``dense_spectrum``, which has derivatives.

    Args:
        images: the training set, at least two.
        rank: of the basis; all, or 1000 above 4096 pixels, when None.
        seed: of the start of the subspace iteration.

    Returns:
        a ``Spectrum``: mean (n,), falling eigenvalues (r,), eigenvectors (n, r) in columns, and the whole trace.

    Raises:
        ValueError: fewer than two images, or a rank outside what they allow.
        NotDifferentiableError: a rank for images that are traced.

    Source:
        Halko, Martinsson, Tropp, Finding structure with randomness, SIAM Review 2011.

    Examples:
        >>> import numpy as np
        >>> from lab import denoise
        >>> images = denoise.Images(np.asarray([[-1.0, 0.0], [1.0, 0.0]]).reshape(2, 1, 1, 2))
        >>> denoise.spectrum(images).values.round(6).tolist()  # (1 + 1) / (2 - 1), and none
        [2.0, 0.0]
    """
    if isinstance(images.pixels, Tracer):
        if rank is not None:
            raise NotDifferentiableError(
                f"rank = {rank}, but the images are traced by jit, vmap or grad, and the subspace iteration computes on the "
                "host: leave rank out, which computes the whole basis"
            )
        return dense_spectrum(images.numbers())
    count, n = images.pixels.shape
    if count < 2:
        raise ValueError(f"{count} image was given, but a covariance needs at least 2")
    if rank is not None and not 1 <= rank <= min(n, count - 1):
        raise ValueError(f"rank = {rank}, but it must be from 1 to {min(n, count - 1)}")
    pixels = np.asarray(images.pixels)

    def blocks():
        size = max(1, _BYTES // (8 * n))
        for start in range(0, count, size):
            block = pixels[start : start + size].astype(np.float64)
            yield block / 127.5 - 1 if pixels.dtype == np.uint8 else block

    mean = sum(block.sum(axis=0) for block in blocks()) / count
    trace = sum(((block - mean) ** 2).sum() for block in blocks()) / (count - 1)
    if rank is None and n <= _DENSE:
        covariance = sum((block - mean).T @ (block - mean) for block in blocks()) / (count - 1)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
    else:
        rank = min(n, count - 1, _RANK) if rank is None else rank
        width = min(n, count - 1, rank + 32)
        basis = np.random.default_rng(seed).standard_normal((n, width))

        def applied(basis):
            return sum((block - mean).T @ ((block - mean) @ basis) for block in blocks()) / (count - 1)

        for _ in range(4):
            basis = np.linalg.qr(applied(basis))[0]
        values, rotation = np.linalg.eigh(basis.T @ applied(basis))
        values, vectors = values[::-1][:rank], (basis @ rotation)[:, ::-1][:, :rank]
    values = np.where(values > _NOTHING * max(values[0], 0), values, 0.0)
    return Spectrum(
        jnp.asarray(mean), jnp.asarray(values), jnp.asarray(np.ascontiguousarray(vectors)), jnp.asarray(trace)
    )


@arrays()
def dense_spectrum(pixels: Float[Array, "N n"]) -> Spectrum:
    r"""The eigenbasis of the covariance of numbers, $S = U\,\mathrm{diag}(\lambda)\,U^\top$, as a pure function.

    It is ``spectrum``, whole, and works under ``jit`` and ``vmap``. Time O(N n^2 + n^3).

    Args:
        pixels: (N, n) images as numbers, N at least 2.

    Returns:
        a ``Spectrum``: mean (n,), falling eigenvalues (n,), eigenvectors (n, n) in columns, and the trace.

    Raises:
        ValueError: fewer than two images, or numbers that are not finite.

    Source:
        Jolliffe, Principal Component Analysis, 2002.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> denoise.dense_spectrum(jnp.asarray([[-1.0, 0.0], [1.0, 0.0]])).values.round(6).tolist()
        [2.0, 0.0]
    """
    if len(pixels) < 2:
        raise ValueError(f"pixels has {len(pixels)} image, but a covariance needs at least 2")
    return _dense_spectrum(pixels, is_traced(pixels))


@jit
def _dense_spectrum(pixels: Float[Array, "N n"], traced: bool) -> Spectrum:
    wide = pixels.astype(jnp.result_type(float))
    mean = wide.mean(axis=0)
    apart = wide - mean[None, :]
    covariance = apart.T @ apart / (len(pixels) - 1)
    values, vectors = jnp.linalg.eigh(covariance)
    values = jnp.where(values > _NOTHING * jnp.maximum(values[-1], 0), values, 0.0)[::-1]
    vectors = vectors[:, ::-1]
    matrix = None
    if traced:
        held = jax.lax.stop_gradient(vectors)
        matrix = held.T @ covariance @ held
        matrix = matrix + jax.lax.stop_gradient(jnp.diag(values) - matrix)
    return Spectrum(mean, values, vectors, jnp.trace(covariance), matrix)
