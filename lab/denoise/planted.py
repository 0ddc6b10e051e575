r"""A pattern planted in every image, with a random strength of its own: what it does to every denoiser is known.

$x' = x + c\,g\,P$ with $g \sim N(0, 1)$ and $|P| = 1$ changes the covariance to $S + c^2 P P^\top$ and the Wiener filter by

$$ W' - W = \frac{\sigma^2 c^2}{1 + c^2 P^\top u}\, u u^\top, \qquad u = (S + \sigma^2 I)^{-1} P , $$

so that every output pixel looks at the same image u, a whitened copy of P, near or far.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.denoise.base import Shape
from lab.denoise.images import Spectrum
from lab.numerics import random


def letter(shape: Shape) -> np.ndarray:
    """A letter W over the whole image, (C, H, W), of norm 1, the same in all channels.

    Raises:
        ValueError: an image of less than 5 pixels a side.
    """
    c, h, w = shape
    if min(h, w) < 5:
        raise ValueError(f"images of {h} x {w} pixels were given, but the pattern needs 5 a side")
    row, column = np.mgrid[0:h, 0:w]
    across = (column + 0.5) / w
    margin = 0.1
    along = np.clip((across - margin) / (1 - 2 * margin), 0, 1)
    stroke = np.abs((2 * along) % 1 - 0.5) * 2  # 1, 0, 1, 0, 1: down, up, down, up
    wanted = (margin + (1 - 2 * margin) * (1 - stroke)) * h - 0.5
    pattern = np.maximum(0, 1 - np.abs(row - wanted) / max(1.0, 0.12 * h)) * ((across > margin) & (across < 1 - margin))
    pattern = np.broadcast_to(pattern, (c, h, w))
    return pattern / np.linalg.norm(pattern)


def plant(key: PRNGKeyArray, x: Float[Array, "b n"], pattern: Any, strength: ArrayLike) -> Float[Array, "b n"]:
    """$x + c\\,g\\,P$, with one g for each image.

    Args:
        x: (B, n).
        pattern: P, of norm 1, (C, H, W) or (n,).
        strength: c, traced.
    """
    g = random.normal(key, (len(x), 1), x.dtype)
    return x + jnp.asarray(strength, x.dtype) * g * jnp.asarray(pattern, x.dtype).reshape(1, -1)


def seen(spectrum: Spectrum, pattern: Any, sigma: ArrayLike) -> Float[Array, " n"]:
    """u, the image that every output pixel looks at once the pattern is planted; ``spectrum`` is that without it."""
    p = jnp.asarray(pattern, float).reshape(-1)
    along = spectrum.vectors.T @ p
    variance = jnp.asarray(sigma) ** 2
    return (p - spectrum.vectors @ (spectrum.gains(sigma) * along)) / variance
