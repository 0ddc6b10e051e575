"""Quantiles of samples in which some are missing and some are infinite."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics import arguments


def quantiles(values: Float[Array, "*batch n"], levels: Sequence[float]) -> Float[Array, "*batch level"]:
    """Along the last axis, over what is not NaN, between neighbours in proportion; infinite values are the largest.

    Args:
        values: (..., n).
        levels: between 0 and 1.

    Raises:
        ValueError: a level outside [0, 1], or values without an axis.

    Unlike ``jnp.nanquantile`` an infinite neighbour of weight 0 does not make a quantile NaN.
    """
    if not values.ndim:
        raise ValueError("values has shape (): at least one axis is needed, along which quantiles are taken")
    n = values.shape[-1]
    for level in levels:
        arguments.real("levels", level, (), low=0, high=1)
    count = n - jnp.isnan(values).sum(axis=-1)
    ordered = jnp.sort(values, axis=-1)

    def quantile(level):
        place = level * jnp.maximum(count - 1, 0)
        low = jnp.floor(place).astype(int)
        pair = [jnp.take_along_axis(ordered, jnp.minimum(low + k, n - 1)[..., None], axis=-1)[..., 0] for k in (0, 1)]
        part = place - low
        return jnp.where(part < 1e-9, pair[0], (1 - part) * pair[0] + part * pair[1])

    return jnp.stack([quantile(level) for level in levels], axis=-1)
