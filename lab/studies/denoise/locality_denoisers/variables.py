"""The variables of the result, from what was computed: a row for each of METHODS, NaN for those that are not there."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from lab.denoise.comparison import Compared, Errors
from lab.denoise.lineup import LOCAL, METHODS, NETWORKS, OPTIMAL, WIENER, Lineup
from lab.denoise.metrics import agreement, nearest_distance
from lab.denoise.reference import Reference
from lab.denoise.sensitivity import OneImage, PixelFields, PulledBack, correlation
from lab.denoise.trial import Trial
from lab.numerics.jit import jit
from lab.numerics.principal import fixed_sign

_DIRECTIONS = 12  # eigenvectors that are shown


@jit
def of_levels(lineup: Lineup, compared: Compared, table: Errors, clean: Array, levels: Array) -> dict[str, Array]:
    """What depends on neither pixel nor image nor level: errors, agreement, and distances from the training images."""
    wide = jnp.result_type(float)
    rows, spectrum, shape = lineup.rows, lineup.spectrum, lineup.design.shape
    pixels, clean = lineup.pixels.astype(wide), clean.astype(wide)
    single = compared.single.astype(wide).transpose(1, 0, 2, 3)  # (M, L, B, n)
    ends = compared.path[-1].astype(wide)
    distances = nearest_distance(ends.reshape(-1, ends.shape[2]), pixels).reshape(ends.shape[:2])
    path = rows(compared.path.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    found = {
        "mse_clean": rows(((single - clean[None, None]) ** 2).mean(axis=3)),
        "nearest_distance": rows(distances), "test_distance": nearest_distance(clean, pixels),
        "mask_size": compared.sizes, "ess": compared.averaged.mean(axis=1),
        "table_mse": rows(table.errors.transpose(1, 0, 2)), "table_mask_size": table.sizes,
        "table_ess": table.averaged.mean(axis=1),
        "trace_W": jax.vmap(lambda sigma: spectrum.gains(sigma).sum())(levels),
        "eigenvalue": spectrum.values,
        "eigenvector": fixed_sign(spectrum.vectors[:, :_DIRECTIONS]).T.reshape(-1, *shape),
        "path": path.reshape(*path.shape[:3], *shape),
    }
    return found | (_agreement(lineup, single) if lineup.networks else {})


def _agreement(lineup: Lineup, single: Array) -> dict[str, Array]:
    """With the first network."""
    with_network = agreement(single, single[len(lineup.design.names)])
    r2, mse, half, mean, mean_half, pooled = (lineup.rows(numbers) for numbers in with_network)
    found = {
        "r2_net": r2, "mse_net": mse, "r2_half": half, "r2_mean": mean, "r2_mean_half": mean_half, "r2_pooled": pooled,
    }
    for name, method in (("r2_locality", LOCAL), ("r2_wiener", WIENER), ("r2_optimal", OPTIMAL)):
        found |= {name: mean[METHODS.index(method)], f"{name}_half": mean_half[METHODS.index(method)]}
    return found


@jit
def of_pixel(
    lineup: Lineup, tried: Trial, single: Array, one: OneImage, looked: PixelFields, image: Array
) -> dict[str, Array]:
    """What this image, this level and this pixel show."""
    shape, wide, rows = lineup.design.shape, jnp.result_type(float), lineup.rows
    plane, clean = shape[1:], tried.clean[image]
    error = rows(((one.estimate.astype(wide) - clean.astype(wide)[None]) ** 2).mean(axis=1))
    estimate = rows(jnp.take(single, image, axis=2).transpose(1, 0, 2))
    return {
        "error_locality": error[METHODS.index(LOCAL)], "error_wiener": error[METHODS.index(WIENER)],
        "error_optimal": error[METHODS.index(OPTIMAL)], "error_here": error,
        "mask_pixels": one.mask_pixels, "ess_here": one.averaged.astype(wide), "field_pixels": looked.pixels,
        "clean": clean.reshape(shape), "noisy": one.noisy.reshape(shape),
        "estimate_here": rows(one.estimate).reshape(-1, *shape),
        "estimate": estimate.reshape(*estimate.shape[:2], *shape),
        "field": rows(looked.field).reshape(-1, *plane),
        "sensitivity": rows(looked.sensitivity).reshape(-1, looked.sensitivity.shape[1], *plane),
        "mask": looked.mask.reshape(-1, *plane), "mask_here": looked.mask_here.reshape(plane),
    }


def of_pattern(lineup: Lineup, pattern: Array, pulled: PulledBack, field: Array) -> dict[str, Array]:
    """What the planted pattern shows; ``field`` (M, p) is that of the pixel."""
    shape = lineup.design.shape
    plane = pattern.reshape(shape).mean(axis=0)
    return {
        "pattern": plane, "pattern_gain": lineup.rows(pulled.gain), "pattern_match": lineup.rows(pulled.match),
        "pattern_rows": lineup.rows(pulled.rows),
        "pattern_pixel": lineup.rows(correlation(field.astype(pulled.rows.dtype), plane.reshape(-1))),
        "pattern_field": lineup.rows(pulled.field).reshape(-1, *shape[1:]),
    }


def of_training(references: Sequence[Reference]) -> dict[str, Array]:
    """The losses, a row for each of NETWORKS; nothing where none was trained."""
    if not references:
        return {}
    losses = {known.network.name: known.loss for known in references}
    none = jnp.full_like(references[0].loss, jnp.nan)
    return {"curve_loss": jnp.stack([losses.get(name, none) for name in NETWORKS])}
