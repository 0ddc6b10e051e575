"""How well one estimate follows another, and how near it is to the training images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics.arguments import ANY, arrays
from lab.numerics.statistics import student


@arrays(a=ANY, b=ANY)
def r2(a: Float[Array, "b *n"], b: Float[Array, "b *m"]) -> Float[Array, " b"]:
    r"""How much of the variance of each reference image an estimate explains.

    $$ 1 - \frac{\sum_j (a_j - b_j)^2}{n\,\mathrm{Var}\,b} $$

    for each image, the variance over its pixels with divisor n - 1. Not symmetric: b is the reference. It may be negative; an
    image b without variance counts as one of variance 1.

    Args:
        a: estimates, (B, n) or (B, C, H, W).
        b: the reference, as many numbers.

    Returns:
        (B,), at most 1.

    Raises:
        ValueError: shapes that differ, as of all here.

    Source:
        Lukoianov, Yuan, Solomon, Sitzmann, Locality in Image Diffusion Models Emerges from Data Statistics, 2025.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> b = jnp.asarray([[0.0, 2.0]])
        >>> denoise.r2(b, b).tolist(), denoise.r2(jnp.ones((1, 2)), b).tolist()  # 1 - 2 / (2 * 2)
        ([1.0], [0.5])
    """
    a, b = _rows(a, b)
    n = b.shape[1]
    variance = b.var(axis=1, ddof=1)
    return 1 - ((a - b) ** 2).sum(axis=1) / (n * jnp.where(variance == 0, 1.0, variance))


@arrays(a=ANY, b=ANY)
def pooled_r2(a: Float[Array, "b *n"], b: Float[Array, "b *m"]) -> Float[Array, ""]:
    r"""How much of the variance of all reference images an estimate explains, $1 - \sum |a - b|^2 / \sum n\,\mathrm{Var}\,b$.

    Sums are over all images. Where some images are almost constant, as patches of a sky, these alone decide the mean of
    ``r2``; here they count for little.

    Args:
        a: estimates, (B, n) or (B, C, H, W).
        b: the reference, as many numbers.

    Returns:
        one number, at most 1.

    Raises:
        ValueError: shapes that differ.

    Source:
        Draper, Smith, Applied Regression Analysis, 1998, on the coefficient of determination.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> float(denoise.pooled_r2(jnp.ones((1, 2)), jnp.asarray([[0.0, 2.0]])))
        0.5
    """
    a, b = _rows(a, b)
    return 1 - ((a - b) ** 2).sum() / (b.shape[1] * b.var(axis=1, ddof=1).sum())


@arrays(a=ANY, b=ANY)
def mse(a: Float[Array, "b *n"], b: Float[Array, "b *m"]) -> Float[Array, " b"]:
    r"""The mean squared difference of each image, $\frac1n \sum_j (a_j - b_j)^2$.

    Args:
        a: (B, n) or (B, C, H, W).
        b: as many numbers.

    Returns:
        (B,), in units of pixels squared.

    Raises:
        ValueError: shapes that differ.

    Source:
        Wang, Bovik, Mean squared error: love it or leave it?, IEEE Signal Processing Magazine 2009.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> denoise.mse(jnp.asarray([[1.0, 3.0]]), jnp.zeros((1, 2))).tolist()
        [5.0]
    """
    a, b = _rows(a, b)
    return ((a - b) ** 2).mean(axis=1)


def _rows(a: Array, b: Array) -> tuple[Array, Array]:
    if len(a) != len(b) or a.size != b.size:
        raise ValueError(f"a and b have shapes {a.shape} and {b.shape}: both must have as many numbers")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)


class Agreement(NamedTuple):
    """How well M estimates at L levels follow a reference on B images, with half widths of 95% intervals over images."""

    r2: Float[Array, "M L B"]
    mse: Float[Array, "M L B"]
    half: Float[Array, "M L"]  # of the mean over images
    mean: Float[Array, " M"]  # over levels and images
    mean_half: Float[Array, " M"]  # an image counts once: its levels share the noise
    pooled: Float[Array, "M L"]


@arrays(estimates=ANY, reference=ANY)
def agreement(estimates: Float[Array, "M L B n"], reference: Float[Array, "L B n"]) -> Agreement:
    r"""How well estimates follow a reference at the same levels: ``r2``, ``mse`` and ``pooled_r2``.

    $$ 1 - \frac{\sum_j (a_j - b_j)^2}{n\,\mathrm{Var}\,b}, \qquad \frac1n \sum_j (a_j - b_j)^2, \qquad
       1 - \frac{\sum |a - b|^2}{\sum n\,\mathrm{Var}\,b} $$

    Args:
        estimates: (M, L, B, n), of M denoisers at L levels on B images.
        reference: (L, B, n).

    Returns:
        an ``Agreement``: r2 and mse (M, L, B), means with half widths of 95% intervals over images, and pooled r2 (M, L).

    Source:
        Lukoianov, Yuan, Solomon, Sitzmann, Locality in Image Diffusion Models Emerges from Data Statistics, 2025.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> reference = jnp.asarray([[[0.0, 2.0], [1.0, 3.0]]])
        >>> found = denoise.agreement(reference[None], reference)
        >>> found.mean.tolist(), found.mse.shape
        ([1.0], (1, 1, 2))
    """
    each = jax.vmap(jax.vmap(r2), in_axes=(0, None))(estimates, reference)
    pooled = jax.vmap(jax.vmap(pooled_r2), in_axes=(0, None))(estimates, reference)
    apart = ((estimates - reference[None]) ** 2).mean(axis=3)
    by_image = each.mean(axis=1)
    return Agreement(each, apart, _half(each), by_image.mean(axis=1), _half(by_image), pooled)


def _half(values: Float[Array, "*batch B"]) -> Float[Array, "*batch"]:
    """Half the width of the 95% interval of a mean over the last axis."""
    count = values.shape[-1]
    return float(student(count)) / count**0.5 * values.std(axis=-1, ddof=1)


@arrays(x=ANY, images=ANY)
def nearest_distance(x: Float[Array, "b n"], images: Float[Array, "N n"]) -> Float[Array, " b"]:
    r"""How far each image is from the nearest of others, root mean square a pixel: $\min_k |x - x_k| / \sqrt n$.

    Time O(b N n).

    Args:
        x: (b, n).
        images: (N, n).

    Returns:
        (b,), in units of pixels.

    Source:
        Cover, Hart, Nearest neighbor pattern classification, IEEE Transactions on Information Theory 1967.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> denoise.nearest_distance(jnp.zeros((1, 2)), jnp.asarray([[1.0, 1.0], [3.0, 3.0]])).tolist()
        [1.0]
    """
    squared = ((x**2).sum(axis=1)[:, None] - 2 * x @ images.T + (images**2).sum(axis=1)[None, :]) / x.shape[1]
    return jnp.sqrt(jnp.maximum(squared.min(axis=1), 0))
