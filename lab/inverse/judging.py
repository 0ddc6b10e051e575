"""What answers to images are worth: beside the truth, the data, the training images, and the posterior where it is known."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.denoise.metrics import nearest_distance
from lab.inverse import metrics
from lab.inverse.beds import Known
from lab.inverse.problems import Problem
from lab.numerics.jit import jit


@jit
def judged(
    problem: Problem,
    x: Float[Array, "images seeds ..."],
    clean: Float[Array, "images n"],
    start: Float[Array, "images n"],
    pixels: Float[Array, "N n"],
    known: Known | None = None,
    drawn: Float[Array, "images n"] | None = None,
) -> dict[str, Array]:
    """By name; of each answer as (draw, test), of each image as (test,), and means over all as numbers.

    Args:
        x: as ``inverse.solve`` gives them.
        pixels: the training images.
        drawn: an exact draw from the posterior for each image.
    """
    rows = x.reshape(*x.shape[:2], -1).swapaxes(0, 1)
    near = lambda each: nearest_distance(each, pixels)  # noqa: E731
    quality = metrics.psnr(rows, clean[None], axes=1)
    misfit = problem.misfit(x).T / (problem.operator.measurements * problem.noise**2)
    made = {
        "psnr": quality,
        "quality": quality.mean(),
        "quality_start": metrics.psnr(start, clean, axes=1).mean(),
        "data_misfit": misfit,
        "misfit": misfit.mean(),
        "nearest": near(rows.reshape(-1, rows.shape[2])).reshape(quality.shape),
        "nearest_clean": near(clean),
        "nearest_start": near(start),
    }
    several = len(rows) > 1
    spread = _rms(metrics.spread(rows)) if several else jnp.full(len(clean), jnp.nan, rows.dtype)
    if several:
        made["spread"] = spread
    if known is not None:
        away, wide = _rms(rows - known.mean[None]), _rms(known.deviation)
        made |= {
            "distance_to_posterior_mean": away,
            "apart": _rms(away.ravel()),
            "spread_posterior": wide,
            "spread_share": _rms(spread) / _rms(wide),
            "quality_posterior": metrics.psnr(known.mean, clean, axes=1).mean(),
            "nearest_posterior": near(known.mean),
        }
    if drawn is not None:
        of_draws = metrics.psnr(drawn, clean, axes=1)
        made |= {"psnr_draw": of_draws, "quality_draw": of_draws.mean(), "nearest_draw": near(drawn)}
    return made


@jit
def along(way: Float[Array, "steps n"], clean: Float[Array, " n"], shape: Any) -> dict[str, Array]:
    """Of an answer on its way, by step: ``psnr_path`` and ``ring_error``."""
    images = way.reshape(-1, *shape)
    return {
        "psnr_path": metrics.psnr(way, clean[None], axes=1),
        "ring_error": metrics.rings(images, clean.reshape(shape)),
    }


@jit
def frequencies(rows: Float[Array, "frames n"], shape: Any) -> Float[Array, "frames fy fx"]:
    """|FFT| of images, the root of the sum of squares over channels."""
    return jnp.sqrt((metrics.amplitude(rows.reshape(-1, *shape)) ** 2).sum(axis=1))


def _rms(rows: Array) -> Array:
    return jnp.sqrt((rows**2).mean(axis=-1))
