"""How well one estimate follows another, and how near it is to the training images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics.statistics import student


def r2(a: Float[Array, "b n"], b: Float[Array, "b n"]) -> Float[Array, " b"]:
    r"""$1 - \sum_j (a_j - b_j)^2 / (n\,\mathrm{Var}\,b)$ for each image, the variance over its pixels with divisor n - 1.

    Not symmetric: b is the reference. It may be negative; an image b without variance counts as one of variance 1.

    Args:
        a, b: (B, n), or (B, C, H, W).

    Raises:
        ValueError: shapes that differ, as of all here.
    """
    a, b = _rows(a, b)
    n = b.shape[1]
    variance = b.var(axis=1, ddof=1)
    return 1 - ((a - b) ** 2).sum(axis=1) / (n * jnp.where(variance == 0, 1.0, variance))


def pooled_r2(a: Float[Array, "b n"], b: Float[Array, "b n"]) -> Float[Array, ""]:
    r"""$1 - \sum |a - b|^2 / \sum n\,\mathrm{Var}\,b$, sums over all images.

    Where some images are almost constant, as patches of a sky, these alone decide the mean of ``r2``; here they count for
    little.
    """
    a, b = _rows(a, b)
    return 1 - ((a - b) ** 2).sum() / (b.shape[1] * b.var(axis=1, ddof=1).sum())


def mse(a: Float[Array, "b n"], b: Float[Array, "b n"]) -> Float[Array, " b"]:
    """The mean squared difference of each image."""
    a, b = _rows(a, b)
    return ((a - b) ** 2).mean(axis=1)


def _rows(a: Array, b: Array) -> tuple[Array, Array]:
    if len(a) != len(b) or a.size != b.size:
        raise ValueError(f"the images have shapes {a.shape} and {b.shape}: both must agree")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)


class Agreement(NamedTuple):
    """How well M estimates at L levels follow a reference on B images, with half widths of 95 % intervals over images."""

    r2: Float[Array, "M L B"]
    mse: Float[Array, "M L B"]
    half: Float[Array, "M L"]  # of the mean over images
    mean: Float[Array, " M"]  # over levels and images
    mean_half: Float[Array, " M"]  # an image counts once: its levels share the noise
    pooled: Float[Array, "M L"]


def agreement(estimates: Float[Array, "M L B n"], reference: Float[Array, "L B n"]) -> Agreement:
    """``r2``, ``mse`` and ``pooled_r2`` of estimates with those of a reference at the same levels."""
    each = jax.vmap(jax.vmap(r2), in_axes=(0, None))(estimates, reference)
    pooled = jax.vmap(jax.vmap(pooled_r2), in_axes=(0, None))(estimates, reference)
    apart = ((estimates - reference[None]) ** 2).mean(axis=3)
    by_image = each.mean(axis=1)
    return Agreement(each, apart, _half(each), by_image.mean(axis=1), _half(by_image), pooled)


def _half(values: Float[Array, "*batch B"]) -> Float[Array, "*batch"]:
    """Half the width of the 95 % interval of a mean over the last axis."""
    count = values.shape[-1]
    return float(student(count)) / count**0.5 * values.std(axis=-1, ddof=1)


def nearest_distance(x: Float[Array, "b n"], images: Float[Array, "N n"]) -> Float[Array, " b"]:
    """How far each image is from the nearest of others, root mean square a pixel. Time O(b N n)."""
    squared = ((x**2).sum(axis=1)[:, None] - 2 * x @ images.T + (images**2).sum(axis=1)[None, :]) / x.shape[1]
    return jnp.sqrt(jnp.maximum(squared.min(axis=1), 0))
