"""How well one estimate follows another, with intervals."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Estimate(NamedTuple):
    """A mean over images with its standard error and a 95 % interval (Student's t; NaN of a single image)."""

    mean: float
    error: float
    low: float
    high: float


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


def estimate(values: Any, level: float = 0.95) -> Estimate:
    """The mean of one number an image, with its interval.

    Raises:
        ValueError: a level outside (0, 1), or no values.
    """
    from scipy.stats import t

    if not 0 < level < 1 or not np.size(values):
        raise ValueError(
            f"{np.size(values)} values at level = {level}, but at least one and a level between 0 and 1 are needed"
        )

    values = np.asarray(values, float).ravel()
    mean, count = float(values.mean()), len(values)
    error = float(values.std(ddof=1) / count**0.5) if count > 1 else float("nan")
    half = float(t.ppf((1 + level) / 2, count - 1)) * error if count > 1 else float("nan")
    return Estimate(mean, error, mean - half, mean + half)
