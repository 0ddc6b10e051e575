r"""Denoisers of images as lower problems: smoothed total variation and fields of experts, whose weights are learned.

$$ h(x, \theta) = \frac1N \sum_i \Big( \tfrac12 \|x_i - y_i\|^2 + R_\theta(x_i) \Big), \qquad
   g(x) = \frac1{2N} \sum_i \|x_i - x_i^*\|^2 . $$

With $\phi_\nu(t) = \sqrt{t^2 + \nu^2}$ the derivatives are bounded by $|\phi_\nu''| \le 1/\nu$ and $|\phi_\nu'''| \le
0.859 / \nu^2$. Both levels carry 1/N, and so do mu = 1/N, L and L_g.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics import arguments, random
from lab.numerics.host import placed
from lab.tuning.problem import Bilevel, Constants

_THIRD = 1.5 / 1.25**2.5  # max |phi'''| nu^2, at t = nu / 2
_STEEP = float(np.sqrt(2))  # norm of a row of a difference
_DIFFERENCES = 8.0  # ||D||^2 of both differences together


class Denoising(Bilevel):
    """Noisy images y and clean ones, (N, H, W), and a regulariser."""

    noisy: Float[Array, "N H W"]
    clean: Float[Array, "N H W"]

    @abstractmethod
    def regularizer(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        """The sum of R over the images."""

    def lower(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        return (0.5 * jnp.sum((x - self.noisy) ** 2) + self.regularizer(x, theta)) / len(x)

    def upper(self, x: Float[Array, "N H W"]) -> Float[Array, ""]:
        return 0.5 * jnp.sum((x - self.clean) ** 2) / len(x)

    def start(self, theta: Float[Array, " p"]) -> Float[Array, "N H W"]:
        return self.noisy


def smoothed(t: Float[Array, "..."], nu: Any) -> Float[Array, "..."]:
    """sqrt(t^2 + nu^2)."""
    return jnp.sqrt(t**2 + nu**2)


class TotalVariation(Denoising):
    r"""$R = e^{\theta_0} \sum \phi_\nu(D_h x) + \phi_\nu(D_v x)$, $\nu = e^{\theta_1}$: horizontal and vertical
    differences apart.

    ``bounds``: the Lipschitz constants of the Hessian and of J by the derivatives of phi, with which steps are
    certified; else they are estimated along the iterates, which is less by orders of magnitude.
    """

    bounds: bool = eqx.field(static=True, default=False)

    def regularizer(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        weight, nu = jnp.exp(theta[0]), jnp.exp(theta[1])
        # without the barrier XLA fuses the slope into one loop with branches: three times as long
        across, down = jax.lax.optimization_barrier((jnp.diff(x, axis=2), jnp.diff(x, axis=1)))
        return weight * (jnp.sum(smoothed(across, nu)) + jnp.sum(smoothed(down, nu)))

    def constants(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Constants:
        count = len(self.noisy)
        weight, nu = jnp.exp(theta[0]), jnp.exp(theta[1])
        mu = jnp.asarray(1 / count, theta.dtype)
        smooth = (1 + _DIFFERENCES * weight / nu) / count
        if not self.bounds:
            return Constants(mu, smooth, mu)
        hessian = _DIFFERENCES * _THIRD * _STEEP * weight / nu**2 / count
        cross = _STEEP * _DIFFERENCES * weight / nu / count  # of each of both columns 8 w / nu
        return Constants(mu, smooth, mu, hessian / mu**2, cross)

    @property
    def certified(self) -> bool:
        return self.bounds


class Experts(NamedTuple):
    """The hyperparameters of a field of experts."""

    scale: Float[Array, ""]
    weights: Float[Array, " k"]  # logarithms
    smoothing: Float[Array, " k"]  # logarithms
    filters: Float[Array, "k s s"]


class FieldOfExperts(Denoising):
    r"""$R = e^{\theta_0} \sum_k e^{a_k} \sum \phi_{\nu_k}(c_k * x)$, $\nu_k = e^{b_k}$, with filters $c_k$ of s x s
    pixels.

    theta has theta_0, then a, b and the filters. Images are continued by reflection. The Lipschitz constants of the
    Hessian and of J are estimated.
    """

    count: int = eqx.field(static=True)
    side: int = eqx.field(static=True)

    def parts(self, theta: Float[Array, " p"]) -> Experts:
        """theta by name."""
        k, s = self.count, self.side
        return Experts(theta[0], theta[1 : 1 + k], theta[1 + k : 1 + 2 * k], theta[1 + 2 * k :].reshape(k, s, s))

    def regularizer(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        experts = self.parts(theta)
        found = responses(x, experts.filters)
        strengths = jnp.exp(experts.scale + experts.weights)
        sums = jnp.sum(smoothed(found, jnp.exp(experts.smoothing)[:, None, None, None]), axis=(1, 2, 3))
        return jnp.vdot(strengths, sums)

    def constants(self, x: Float[Array, "N H W"], theta: Float[Array, " p"]) -> Constants:
        n = len(self.noisy)
        experts = self.parts(theta)
        size = tuple(side + 2 * (self.side // 2) for side in self.noisy.shape[1:])
        peaks = jnp.max(jnp.abs(jnp.fft.fft2(experts.filters, size)), axis=(1, 2))
        # reflection doubles a pixel near an edge in each direction: at most four copies
        squares = 4 * peaks**2
        smooth = 1 + jnp.vdot(jnp.exp(experts.scale + experts.weights - experts.smoothing), squares)
        mu = jnp.asarray(1 / n, theta.dtype)
        return Constants(mu, smooth / n, mu)


def responses(x: Float[Array, "N H W"], filters: Float[Array, "k s s"]) -> Float[Array, "k N H W"]:
    """Correlations with filters, the images continued by reflection (without the edge itself)."""
    side, (height, width) = filters.shape[1], x.shape[1:]
    margin = side // 2
    wide = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    shifts = [wide[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    return jnp.tensordot(filters.reshape(len(filters), -1), jnp.stack(shifts), axes=1)


def first_experts(seed: int, count: int = 8, side: int = 5) -> Float[Array, " p"]:
    """Where a field of experts begins: random filters of mean 0, log weights -3, log smoothings -3.5.

    Filters are uniform with the variance of Xavier's rule for one channel in and ``count`` out.
    """
    rng = np.random.default_rng(seed)
    edge = np.sqrt(6 / (side**2 * (1 + count)))
    filters = rng.uniform(-edge, edge, (count, side, side))
    filters -= filters.mean(axis=(1, 2), keepdims=True)
    return placed(np.concatenate([[0.0], np.full(count, -3.0), np.full(count, -3.5), filters.ravel()]))


@arguments.arrays(span=arguments.POSITIVE)
def psnr(x: Float[Array, "N H W"], clean: Float[Array, "N H W"], span: ArrayLike = 1.0) -> Float[Array, " N"]:
    r"""Peak signal to noise ratio of each image in dB: $10 \log_{10}(\mathrm{span}^2 / \mathrm{MSE})$.

    Args:
        x: images (N, H, W).
        clean: what they are to be, (N, H, W).
        span: from black to white.

    Returns:
        dB, (N,); infinite where the images are equal.

    Raises:
        ValueError: images that are not finite or differ in shape, or a span that is not positive.

    Source:
        Gonzalez and Woods, Digital Image Processing.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> tuning.psnr(jnp.full((1, 2, 2), 0.1), jnp.zeros((1, 2, 2))).round(6)
        Array([20.], dtype=float64)
    """
    return 10 * jnp.log10(jnp.asarray(span) ** 2 / jnp.mean((x - clean) ** 2, axis=(1, 2)))


def noisy(clean: Any, level: Any, key: Any) -> Float[Array, "N H W"]:
    """Images with Gaussian noise of this standard deviation."""
    return clean + level * random.normal(key, clean.shape, clean.dtype)
