r"""Denoisers that are the posterior mean of a known law: of the training images themselves, of a Gaussian, of any mixture."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.denoise.base import Denoiser, Shape
from lab.denoise.images import Images, Spectrum
from lab.denoise.streaming import Softmax, Streaming, budget_of, left_out, scan
from lab.numerics.arguments import real
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.paths.blocks import softmax_mean, squared_distances
from lab.paths.laws import Empirical

_MANY = 1 << 26  # numbers above which the images are kept in float32
_SMALL = 0.05  # below it, float32 distances by one product of matrices lose the digits that count


class Posterior(Denoiser):
    r"""$E[x_0 \mid x_0 + \sigma\varepsilon = x]$ under a law of ``lab.paths.laws`` or ``lab.numerics.mixtures``, exactly.

    Args:
        law: with ``denoise(y, scale, covariance)``: a Gaussian, a ``Mixture``, ``Boxes``, or one of your own.
        shape: (C, H, W).
    """

    law: Any
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, law: Any, shape: Shape, name: str = "exact posterior"):
        self.law, self.shape, self.name = law, shape, name

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self.law.denoise(x, 1.0, sigma**2)[0]

    def density(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, " b"]:
        return self.law.denoise(x, 1.0, sigma**2)[1]


class Optimal(Denoiser):
    r"""The minimiser of the training loss on finitely many images, which only memorises:

    $$ D = \sum_k w_k x_k, \qquad w = \mathrm{softmax}_k\big(-|x - x_k|^2 / (2\sigma^2\tau)\big),
       \qquad \frac{\partial D}{\partial x} = \frac{\mathrm{Cov}_w(x_k)}{\sigma^2\tau} . $$

    Distances are by one product of matrices, of centred images; in float32 below sigma = 0.05 by differences.

    Args:
        images: the training set.
        tau: temperature; 1 is exact.
        budget: bytes of working memory.

    Raises:
        ValueError: tau is not positive.

    Time O(B N n).
    """

    law: Empirical
    centre: Float[Array, " n"]
    tau: Float[Array, ""]
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, images: Images, tau: ArrayLike = 1.0, budget: int | None = None, name: str = "optimal"):
        narrow = images.pixels.dtype == jnp.float32 or images.pixels.size > _MANY
        numbers = images.numbers(dtype=jnp.float32 if narrow else float)
        self.centre = numbers.mean(axis=0)
        self.law = Empirical(numbers - self.centre[None, :], block_bytes=budget_of(budget))
        self.tau, self.shape, self.name = positive("tau", tau), images.shape, name

    def _mean(self, x: Array, sigma: Array) -> tuple[Array, Array]:
        points, weights = self.law.points.astype(x.dtype), self.law.log_weights.astype(x.dtype)
        y, variance = x - self.centre.astype(x.dtype)[None, :], sigma**2 * self.tau.astype(x.dtype)

        def by_product():
            return softmax_mean(y, points, weights, None, 1.0, variance, None, self.law.block_bytes)

        def by_differences():
            size = max(1, min(len(points), self.law.block_bytes // (4 * y.size + 1)))

            def add(sums, chunk, live):
                squared = ((y[:, None, :] - chunk[None]) ** 2).sum(axis=2)
                return sums.add(left_out(-squared[:, :, None] / (2 * variance), live), chunk[:, :, None])

            images = Images(points, (1, 1, points.shape[1]))
            sums = scan(images, size, y.dtype, Softmax.empty(len(y), y.shape[1], 1, y.dtype), add)
            d = y.shape[1]
            log_total = sums.top[:, 0] + jnp.log(sums.total[:, 0]) - float(np.log(len(points)))
            return sums.mean()[:, :, 0], log_total - d / 2 * jnp.log(2 * jnp.pi * variance)

        if x.dtype == jnp.float64:
            mean, density = by_product()
        else:
            mean, density = jax.lax.cond(sigma < _SMALL, by_differences, by_product)
        return mean + self.centre.astype(x.dtype)[None, :], density

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self._mean(x, sigma)[0]

    def density(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, " b"]:
        """Of the training images, each blurred by sigma sqrt(tau)."""
        return self._mean(x, sigma)[1]

    def row(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, "b n"]:
        w, points = self._weights(x, sigma), self.law.points.astype(x.dtype)
        value = points[:, q]
        apart = value[None, :] - (w @ value)[:, None]
        return (w * apart) @ points / (sigma**2 * self.tau.astype(x.dtype))

    def weights(self, x: Any, sigma: ArrayLike) -> Float[Array, "b N"]:
        """The weight of each training image, of sum 1. Memory O(B N)."""
        _, rows, sigma = self._given(x, sigma)
        return _weights(self, rows, jnp.broadcast_to(sigma, rows.shape[:1]))

    def effective_size(self, x: Any, sigma: ArrayLike) -> Float[Array, " b"]:
        r"""$1 / \sum_k w_k^2$: how many training images are averaged."""
        return 1 / (self.weights(x, sigma) ** 2).sum(axis=1)

    def _weights(self, x: Array, sigma: Array) -> Array:
        """In float64 where it is on: N numbers an image are cheap."""
        wide = jnp.result_type(float)
        y, points = x.astype(wide) - self.centre.astype(wide)[None, :], self.law.points.astype(wide)
        variance = jnp.reshape(sigma.astype(wide) ** 2 * self.tau, (-1, 1))
        return jax.nn.softmax(-squared_distances(y, points) / (2 * variance), axis=1).astype(x.dtype)


_weights = jit(lambda denoiser, x, sigma: denoiser._weights(x, sigma))


class Wiener(Denoiser):
    r"""The best linear denoiser, which is the posterior mean if images were Gaussian:

    $$ D = \mu + W (x - \mu), \qquad W(\sigma) = S (S + \sigma^2 I)^{-1}
         = U\,\mathrm{diag}\big(\tfrac{\lambda}{\lambda + \sigma^2}\big)\,U^\top . $$

    Its sensitivity field is row q of W whatever x, and its error $\sigma^2\,\mathrm{tr}\,W / n$ a pixel.

    Args:
        spectrum: of the training images.
        shape: (C, H, W).

    Raises:
        ValueError: a spectrum of other images.

    Time O(B n r).
    """

    spectrum: Spectrum
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, spectrum: Spectrum, shape: Shape, name: str = "Wiener"):
        if spectrum.mean.shape != (int(np.prod(shape)),):
            raise ValueError(f"the spectrum is of {spectrum.mean.shape[0]} pixels, but the images are {shape}")
        self.spectrum, self.shape, self.name = spectrum, shape, name

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self.denoise_each(x, jnp.full(len(x), sigma))

    def denoise_each(self, x: Float[Array, "b n"], sigma: Float[Array, " b"]) -> Float[Array, "b n"]:
        of = self._spectrum(x.dtype)
        along = (x - of.mean[None, :]) @ of.axes
        return of.mean[None, :] + of.gained(along, sigma**2) @ of.axes.T

    def row(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, "b n"]:
        of = self._spectrum(x.dtype)
        return jnp.broadcast_to(of.axes @ of.gained(of.axes[q][None], sigma[None] ** 2)[0], x.shape)

    def density(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, " b"]:
        """Of the Gaussian with the same mean and covariance, blurred."""
        of = self._spectrum(x.dtype)
        mean, values, vectors = of.mean, of.values, of.vectors
        apart = x - mean[None, :]
        along = apart @ vectors
        n, r = vectors.shape
        variances = values + sigma**2
        beyond = jnp.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0) / sigma**2
        squared = (along**2 / variances[None, :]).sum(axis=1) + beyond
        log_det = jnp.log(variances).sum() + (n - r) * jnp.log(sigma**2)
        return -(squared + log_det + n * jnp.log(2 * jnp.pi)) / 2

    def expected_error(self, sigma: ArrayLike) -> Array:
        r"""$\sigma^2\,\mathrm{tr}\,W / n$, the mean squared error a pixel on images with this mean and covariance."""
        return jnp.asarray(sigma) ** 2 * self.spectrum.gains(sigma).sum() / self.n

    def _spectrum(self, dtype: Any) -> Spectrum:
        return jax.tree.map(lambda each: each.astype(dtype), self.spectrum)


class Nearest(Streaming):
    """The nearest training image, in VE coordinates. Piecewise constant: it has no derivative. Time O(B N n)."""

    images: Images
    budget: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    differentiable: ClassVar[bool] = False

    def __init__(self, images: Images, budget: int | None = None, name: str = "nearest"):
        self.images, self.budget, self.name = images, budget_of(budget), name

    def numbers(self) -> int:
        return self.images.n

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return super().denoise(refuse_derivative(x, f"the denoiser {self.name!r} is piecewise constant in x"), sigma)

    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> None:
        return None

    def empty(self, x: Float[Array, "b n"], known: None) -> tuple[Array, Array]:
        return jnp.full(len(x), jnp.inf, x.dtype), jnp.zeros_like(x)

    def add(self, phase: int, known: None, sums: Any, x: Array, sigma: Array, chunk: Array, live: Array) -> Any:
        squared = jnp.where(live[None, :], ((x[:, None] - chunk[None]) ** 2).sum(axis=2), jnp.inf)
        best = squared.argmin(axis=1)
        distance = squared.min(axis=1)
        closer = distance < sums[0]
        return jnp.where(closer, distance, sums[0]), jnp.where(closer[:, None], chunk[best], sums[1])

    def finish(self, known: None, sums: Any) -> Float[Array, "b n"]:
        return sums[1]


def positive(name: str, value: ArrayLike) -> Array:
    """A positive number, traced or checked."""
    return real(name, value, (), low=0, strict=True, dtype=float)
