"""How good a reconstruction is, image by image, and what a mean of such numbers is worth."""

from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lab.denoise.metrics import nearest_distance
from lab.inverse.operators import Shape
from lab.ot.exact import linear_program
from lab.ot.problem import from_points

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
    r"""The peak signal-to-noise ratio $10 \log_{10} (s^2 / \mathrm{MSE})$ of each image, in dB.

    Args:
        x: (..., C, H, W).
        truth: the same shape, or one that all are compared with.
        span: s, the range of grey values: 2 for images between -1 and 1.
        axes: how many axes are an image.

    Returns:
        (...), in dB; infinite of equal images.

    Source:
        Gonzalez, Woods, Digital Image Processing.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.inverse import metrics
        >>> round(float(metrics.psnr(jnp.zeros((1, 2, 2)), 0.2)), 6)  # 10 log10(4 / 0.04)
        20.0
    """
    x, truth = jnp.asarray(x), jnp.asarray(truth)
    off = (x - jnp.broadcast_to(truth, x.shape)) ** 2
    return 10 * jnp.log10(span**2 / off.mean(axis=tuple(range(x.ndim - axes, x.ndim))))


def ssim(x: Any, truth: Any, span: float = 2.0) -> Float[Array, "*batch"]:
    r"""The structural similarity of images, the mean over channels.

    $$ \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}, \qquad
       c_1 = (0.01 s)^2, \quad c_2 = (0.03 s)^2 $$

    in the mean over windows. As ``skimage.metrics.structural_similarity`` by default: windows of 7 x 7 with equal weights,
    sample covariances.

    Args:
        x: (..., C, H, W).
        truth: the same shape, or one that all are compared with.
        span: s, the range of grey values: 2 for images between -1 and 1.

    Returns:
        (...), at most 1.

    Raises:
        ValueError: an image smaller than a window.

    Source:
        Wang, Bovik, Sheikh, Simoncelli, Image quality assessment, IEEE Transactions on Image Processing 2004.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.inverse import metrics
        >>> x = jnp.arange(64.0).reshape(1, 8, 8) / 64
        >>> round(float(metrics.ssim(x, x)), 6)
        1.0
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
    return between(truth, low, high).mean()


def between(truth: Any, low: Array, high: Array) -> Bool[Array, "..."]:
    """Whether a truth lies in an interval, whose ends count: where all samples are one, rounding does not decide."""
    near = jnp.finfo(low.dtype).eps ** 0.5
    return (truth >= low - near) & (truth <= high + near)


def distance(x: Any, to: Any, inputs: Shape) -> Float[Array, "*batch"]:
    """The root mean square difference of each x (..., *inputs) from an array (*inputs), the posterior mean say."""
    x = jnp.asarray(x)
    off = (x - jnp.broadcast_to(jnp.asarray(to).reshape(inputs), x.shape)) ** 2
    return jnp.sqrt(off.mean(axis=tuple(range(x.ndim - len(inputs), x.ndim))))


def amplitude(x: Any) -> Float[Array, "..."]:
    """|FFT| of images (..., H, W), the constant in the middle."""
    return jnp.abs(jnp.fft.fftshift(jnp.fft.fft2(jnp.asarray(x)), axes=(-2, -1)))


def rings(x: Any, truth: Any, count: int = 3) -> Float[Array, "*batch rings"]:
    """The error of images (..., C, H, W) in each ring of frequencies, as a share of what the true images have there.

    Rings are of equal width, from the lowest frequencies to the highest; the constant belongs to the first.
    """
    x, truth = jnp.asarray(x), jnp.asarray(truth)
    truth = jnp.broadcast_to(truth, x.shape)
    across, down = (jnp.fft.fftfreq(side) for side in x.shape[-2:])
    radius = jnp.sqrt(across[:, None] ** 2 + down[None, :] ** 2)
    number = jnp.minimum(jnp.floor(2 * count * radius), count - 1).astype(jnp.int32)
    inside = jax.nn.one_hot(number, count, dtype=x.dtype)
    squares = lambda z: jnp.einsum("...chw,hwk->...k", jnp.abs(jnp.fft.fft2(z)) ** 2, inside)  # noqa: E731
    return jnp.sqrt(squares(x - truth) / squares(truth))


def nearest(x: Any, images: Any) -> Float[Array, "*batch"]:
    """How far each x (..., *inputs) is from the nearest of the training images (N, *inputs), root mean square a pixel: near 0
    what was memorised. Time O(batch N n)."""
    x, images = jnp.asarray(x), jnp.asarray(images)
    axes = images.ndim - 1
    if not axes or not len(images) or x.ndim < axes or x.shape[x.ndim - axes :] != images.shape[1:]:
        raise ValueError(
            f"x has shape {x.shape}, but the images have shape {images.shape}: (..., *image) and (N, *image)"
        )
    batch = x.shape[: x.ndim - axes]
    found = nearest_distance(x.reshape(prod(batch), -1), images.reshape(len(images), -1))
    return found.reshape(batch)


def wasserstein(samples: Any, exact: Any) -> Estimate:
    r"""The distance between answers and samples of the true posterior, root mean square a pixel.

    $$ W_2 = \sqrt{\min_T \sum_{ij} T_{ij} |x_i - y_j|^2 / n} $$

    by an exact plan on the host (outside ``jit``). Of few samples in many dimensions it is far from 0 where the laws are the
    same: compare it with that of other samples of the true posterior. The error, that of drawing both samples anew, is by the
    potentials f and g of the plan, $\mathrm{Var}\,W_2^2 \approx \mathrm{Var} f(x) / s + \mathrm{Var}\,g(y) / r$; NaN where one
    sample is alone. Time O((s + r)^3).

    Args:
        samples: (seeds, *inputs).
        exact: (draws, *inputs).

    Returns:
        an ``Estimate``: the value, in units of pixels, and its standard error.

    Raises:
        ValueError: images of unlike shapes, or values that are not finite.

    Source:
        del Barrio, Loubes, Central limit theorems for empirical transportation cost in general dimension, Annals of
        Probability 2019.

    Examples:
        >>> import numpy as np
        >>> from lab.inverse import metrics
        >>> x = np.asarray([0.0, 1.0]).reshape(2, 1, 1, 1)
        >>> float(metrics.wasserstein(x, x + 2).value)  # a shift by 2
        2.0
    """
    x, y = (np.asarray(z, np.float64).reshape(len(z), -1) for z in (samples, exact))
    if x.shape[1:] != y.shape[1:] or not x.size or not y.size:
        raise ValueError(f"the samples have shapes {jnp.shape(samples)} and {jnp.shape(exact)}: of one shape of images")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("some samples are not finite: leave out the seeds that diverged")
    found = linear_program(from_points(x / x.shape[1] ** 0.5, y / x.shape[1] ** 0.5))
    squared = jnp.maximum(found.value, 0.0)
    alone = jnp.nan if min(len(x), len(y)) < 2 else 0.0
    error = jnp.sqrt(sum(f.var(ddof=1) / len(f) if len(f) > 1 else 0.0 for f in (found.alpha, found.beta))) + alone
    root = jnp.sqrt(squared)
    return Estimate(root, error / (2 * jnp.where(root > 0, root, 1)))
