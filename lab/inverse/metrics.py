"""How good a reconstruction is, image by image, and what a mean of such numbers is worth."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.inverse.operators import Shape

_WINDOW = 7


class Estimate(NamedTuple):
    """A mean with its standard error; NaN of one number."""

    value: Float[Array, ""]
    error: Float[Array, ""]


def mean(numbers: Any) -> Estimate:
    """Of independent numbers."""
    numbers = jnp.asarray(numbers).ravel()
    spread = numbers.std(ddof=1) if numbers.size > 1 else jnp.asarray(jnp.nan, numbers.dtype)
    return Estimate(numbers.mean(), spread / numbers.size**0.5)


def psnr(x: Any, truth: Any, span: float = 2.0, axes: int = 3) -> Float[Array, "*batch"]:
    r"""$10 \log_{10} (s^2 / \mathrm{MSE})$ of each image, in dB.

    Args:
        x: (..., C, H, W).
        truth: the same shape, or one that all are compared with.
        span: s, the range of grey values: 2 for images between -1 and 1.
        axes: how many axes are an image.
    """
    x, truth = jnp.asarray(x), jnp.asarray(truth)
    off = (x - jnp.broadcast_to(truth, x.shape)) ** 2
    return 10 * jnp.log10(span**2 / off.mean(axis=tuple(range(x.ndim - axes, x.ndim))))


def ssim(x: Any, truth: Any, span: float = 2.0) -> Float[Array, "*batch"]:
    """The structural similarity of images (..., C, H, W), the mean over channels.

    As ``skimage.metrics.structural_similarity`` by default: windows of 7 x 7 with equal weights, sample covariances.

    Raises:
        ValueError: an image smaller than a window.
    """
    x, truth = jnp.asarray(x), jnp.asarray(truth)
    if min(x.shape[-2:]) < _WINDOW:
        raise ValueError(f"the images are {x.shape[-2:]}, but windows of {_WINDOW} x {_WINDOW} must fit in")
    truth = jnp.broadcast_to(truth, x.shape)

    def smooth(z):
        sides = (1,) * (z.ndim - 2) + (_WINDOW, _WINDOW)
        return jax.lax.reduce_window(z, 0.0, jax.lax.add, sides, (1,) * z.ndim, "VALID") / _WINDOW**2

    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    a, b = smooth(x), smooth(truth)
    aa, bb, ab = (
        unbiased * (smooth(p * q) - u * v) for p, q, u, v in ((x, x, a, a), (truth, truth, b, b), (x, truth, a, b))
    )
    one, two = (0.01 * span) ** 2, (0.03 * span) ** 2
    similar = (2 * a * b + one) * (2 * ab + two) / ((a**2 + b**2 + one) * (aa + bb + two))
    return similar.mean(axis=(-3, -2, -1))


def spread(samples: Float[Array, "seeds ..."]) -> Float[Array, "..."]:
    """The standard deviation of each number over seeds, with the divisor seeds - 1."""
    return samples.std(axis=0, ddof=1)


def coverage(samples: Float[Array, "seeds ..."], truth: Any, level: float = 0.9) -> Float[Array, ""]:
    """The share of numbers whose truth lies between the quantiles of the samples that enclose ``level`` of them."""
    low, high = jnp.quantile(samples, jnp.asarray([(1 - level) / 2, (1 + level) / 2]), axis=0)
    return ((truth >= low) & (truth <= high)).mean()


def distance(x: Any, to: Any, inputs: Shape) -> Float[Array, "*batch"]:
    """The root mean square difference of each x (..., *inputs) from an array (*inputs), the posterior mean say."""
    x = jnp.asarray(x)
    off = (x - jnp.broadcast_to(jnp.asarray(to).reshape(inputs), x.shape)) ** 2
    return jnp.sqrt(off.mean(axis=tuple(range(x.ndim - len(inputs), x.ndim))))
