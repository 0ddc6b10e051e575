"""What denoisers are made of and tried on: training images, test images with their noise, and starts of samples."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.denoise.images import Spectrum, dense_spectrum, pool
from lab.denoise.planted import letter
from lab.numerics.jit import jit

_WIDE = 1e8  # products for an image at a level, above which the work is in float32


class Trial(NamedTuple):
    """Images as vectors of n numbers between -1 and 1, in float64 or, where there are many, in float32."""

    pixels: Float[Array, "N n"]  # to train on
    clean: Float[Array, "B n"]  # to test on
    noise: Float[Array, "B n"]  # of the test images, the same at all levels
    start: Float[Array, "S n"]  # of samples, at the first level
    spectrum: Spectrum  # of the training images
    pattern: Float[Array, " n"]  # of norm 1


def trial(
    train: Array,
    test: Array,
    *,
    by: int,
    samples: int,
    level: float,
    seed: int,
    strength: ArrayLike = 0.0,
    pattern: Any = None,
) -> Trial:
    r"""Pooled images with a planted pattern, $x + c\,g\,P$ with $g \sim N(0, 1)$ for each, and noise for them.

    The noise is NumPy's, so that others can have the same.

    Args:
        train: (N, C, H, W), uint8 or between -1 and 1.
        test: (B, C, H, W).
        by: squares of so many pixels a side become one.
        samples: S.
        level: the first noise level sigma; a start is $\sqrt{1 + \sigma^2}\,\varepsilon$.
        seed: of the noise, the starts and the strengths.
        strength: c, traced; 0 plants nothing.
        pattern: (C, H, W), the pattern before pooling; a letter W where there is none.
    """
    c, h, w = train.shape[1:]
    shape = c, h // by, w // by
    n = int(np.prod(shape))
    wide = jnp.result_type(float)
    dtype = wide if len(train) * n**2 <= _WIDE else jnp.float32
    rng = [np.random.default_rng(seeds) for seeds in (seed, [seed, 1], [seed, 2])]
    noise = jnp.asarray(rng[0].standard_normal((len(test), n)), dtype)
    start = jnp.asarray(rng[1].standard_normal((samples, n)).astype(dtype) * np.sqrt(1 + level**2).astype(dtype))
    g = jnp.asarray(rng[2].standard_normal(len(train) + len(test)), dtype)
    planted = jnp.asarray(letter(shape), wide) if pattern is None else pool(pattern[None], by)[0]
    pixels, clean, spectrum, planted = _images(train, test, g, jnp.asarray(strength), planted, by)
    return Trial(pixels, clean, noise, start, spectrum, planted)


@jit
def _images(
    train: Array, test: Array, g: Array, strength: Array, pattern: Array, by: int
) -> tuple[Array, Array, Spectrum, Array]:
    dtype = g.dtype
    pattern = pattern.reshape(-1) / jnp.linalg.norm(pattern.reshape(-1))
    added = (strength.astype(dtype) * g)[:, None] * pattern.astype(dtype)[None, :]
    pixels = pool(train, by).astype(dtype).reshape(len(train), -1) + added[: len(train)]
    clean = pool(test, by).astype(dtype).reshape(len(test), -1) + added[len(train) :]
    return pixels, clean, dense_spectrum(pixels), pattern
