"""Where the denoisers look: sensitivity fields of a pixel, estimates at one level, and a planted pattern."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab import denoise
from lab.denoise import Denoiser

from .levels import FIELDS, LEVELS, Set

_TESTS = 8  # images, at most, over which a field is averaged
_PULLED = 8  # images, at most, at which a pattern is pulled back: that takes three passes through all training images


class Here(NamedTuple):
    """One image at one level."""

    noisy: Float[Array, " n"]
    estimate: Float[Array, "M n"]
    mask: Float[Array, "n n"]
    mask_pixels: Float[Array, ""]
    ess: Float[Array, ""]
    trace: Float[Array, ""]


class Fields(NamedTuple):
    """The sensitivity of one pixel, summed over channels."""

    field: Float[Array, "M p"]  # of this image at this level
    sensitivity: Float[Array, "M F p"]  # mean over images at the levels of FIELDS
    mask: Float[Array, "F p"]
    mask_here: Float[Array, " p"]
    pixels: Float[Array, ""]  # how many the Wiener filter looks at


@eqx.filter_jit
def look(
    data: Set, clean: Float[Array, "B n"], noise: Float[Array, "B n"], image: Int[Array, ""], sigma: Array
) -> Here:
    """What all denoisers make of one noisy image."""
    dtype = clean.dtype
    level = sigma.astype(dtype)
    noisy = clean[image] + level * noise[image]
    mask = data.coupling().mask(sigma)
    found = [each.denoise(noisy[None], level)[0] for each in data.denoisers(mask)]
    ess = 1 / (denoise.Optimal(data.images, data.tau)._weights(noisy[None], level) ** 2).sum()
    return Here(noisy, jnp.stack(found), mask, (mask != 0).sum(axis=0).mean(), ess, data.spectrum.gains(sigma).sum())


@eqx.filter_jit
def fields(
    data: Set,
    masks: Float[Array, "F n n"],
    here: Float[Array, "n n"],
    clean: Float[Array, "B n"],
    noise: Float[Array, "B n"],
    image: Int[Array, ""],
    sigma: Array,
    place: Int[Array, ""],
) -> Fields:
    """The rows of the Jacobians of all denoisers for the pixel at a place in the plane."""
    c, h, w = data.case.shape
    dtype = clean.dtype
    q = place + h * w * jnp.arange(c)  # in all channels

    def rows(mask: Array, x: Array, level: Array) -> Array:
        found = [_row(each, x, level, q) for each in data.denoisers(mask)]
        return jnp.stack(found).reshape(len(found), len(x), c, h * w).sum(axis=2)

    x = clean[image] + sigma.astype(dtype) * noise[image]
    here_rows = rows(here, x[None], sigma.astype(dtype))[:, 0]
    some, its = clean[:_TESTS], noise[:_TESTS]

    def at(given: tuple[Array, Array]) -> Array:
        mask, level = given
        return rows(mask, some + level * its, level).mean(axis=1)

    levels = jnp.asarray(LEVELS[list(FIELDS)], dtype)
    everywhere = jax.lax.map(at, (masks.astype(here.dtype), levels))
    weights = data.spectrum.wiener(sigma)[place] ** 2
    pixels = weights.sum() ** 2 / jnp.maximum((weights**2).sum(), 1e-300)

    def column(mask: Array) -> Array:
        return jnp.take(mask, q, axis=-1).mean(axis=-1).reshape(*mask.shape[:-2], c, h * w).sum(axis=-2)

    return Fields(here_rows, everywhere.transpose(1, 0, 2), column(masks), column(here), pixels)


def _row(each: Denoiser, x: Array, level: Array, q: Array) -> Array:
    """The mean over channels of the rows of q."""
    if not each.differentiable:
        return jnp.full(x.shape, jnp.nan, x.dtype)
    return jax.vmap(partial(each.row, x, level))(q).mean(axis=0)


class Pulled(NamedTuple):
    """A planted pattern P, seen by the denoisers."""

    gain: Float[Array, " M"]  # <P, J P>, 1 where the pattern passes whole
    field: Float[Array, "M p"]  # J^T P
    match: Float[Array, " M"]  # correlation of the two


@eqx.filter_jit
def pulled(data: Set, here: Array, clean: Array, noise: Array, sigma: Array, pattern: Float[Array, " n"]) -> Pulled:
    """How much of a pattern passes the denoisers, and where they look for it."""
    c, h, w = data.case.shape
    level, p = sigma.astype(clean.dtype), pattern.astype(clean.dtype)
    x = clean[:_PULLED] + level * noise[:_PULLED]
    found = []
    for each in data.denoisers(here):
        if each.differentiable:
            found.append(jax.grad(lambda y, each=each: (each.denoise(y, level) @ p).sum())(x).mean(axis=0))
        else:
            found.append(jnp.full(len(p), jnp.nan, p.dtype))
    back = jnp.stack(found)
    apart, own = back - back.mean(axis=1, keepdims=True), p - p.mean()
    norms = jnp.sqrt((apart**2).sum(axis=1) * (own**2).sum())
    match = apart @ own / jnp.where(norms > 0, norms, 1.0)
    return Pulled(back @ p, back.reshape(len(found), c, h * w).sum(axis=1), match)
