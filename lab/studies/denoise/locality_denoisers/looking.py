"""Where the denoisers look: sensitivity fields of a pixel, estimates at one level, and a planted pattern."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.denoise import Denoiser
from lab.numerics.jit import jit

from .levels import FIELDS, LEVELS, Set, averaged

_TESTS = 8  # images, at most, over which a field is averaged
_STROKE = 24  # pixels, at most, where a pattern is strongest, whose fields are compared with it
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


@jit
def look(
    data: Set, clean: Float[Array, "B n"], noise: Float[Array, "B n"], image: Int[Array, ""], sigma: Array
) -> Here:
    """What all denoisers make of one noisy image."""
    dtype = clean.dtype
    level = sigma.astype(dtype)
    noisy = clean[image] + level * noise[image]
    mask = data.coupling().mask(sigma)
    found = [each.denoise(noisy[None], level)[0] for each in data.denoisers(mask)]
    ess = averaged(data, noisy[None], level)[0]
    return Here(noisy, jnp.stack(found), mask, (mask != 0).sum(axis=0).mean(), ess, data.spectrum.gains(sigma).sum())


@jit
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
    rows = partial(_rows, data, place)
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


def _rows(data: Set, place: Array, mask: Array, x: Float[Array, "B n"], level: Array) -> Float[Array, "M B p"]:
    """The fields of the pixel at that place in the plane, of all denoisers and images."""
    c, h, w = data.case.shape
    q = place + h * w * jnp.arange(c)  # in all channels
    found = [_row(each, x, level, q) for each in data.denoisers(mask)]
    return jnp.stack(found).reshape(len(found), len(x), c, h * w).sum(axis=2)


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
    rows: Float[Array, "M q"]  # correlation with P of single pixels' fields, NaN where P is below half its largest


@jit
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
    plane = p.reshape(c, h * w).sum(axis=0)
    height, stroke = jax.lax.top_k(plane, min(_STROKE, h * w))
    fields = jax.lax.map(lambda place: _rows(data, place, here, x, level).mean(axis=1), stroke)  # (q, M, p)
    rows = jnp.where(height >= height[0] / 2, correlation(fields.transpose(1, 0, 2), plane), jnp.nan)
    return Pulled(back @ p, back.reshape(len(found), c, h * w).sum(axis=1), correlation(back, p), rows)


def correlation(fields: Float[Array, "*batch n"], pattern: Float[Array, " n"]) -> Float[Array, "*batch"]:
    """Of each field with the pattern over the pixels, 0 where one of them is constant."""
    apart, own = fields - fields.mean(axis=-1, keepdims=True), pattern - pattern.mean()
    norms = jnp.sqrt((apart**2).sum(axis=-1) * (own**2).sum())
    return apart @ own / jnp.where(norms > 0, norms, 1.0)
