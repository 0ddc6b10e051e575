r"""Where the denoisers of a lineup look: sensitivity fields of a pixel, one image at one level, a planted pattern.

The field of pixel q is row q of the Jacobian $J = \partial D / \partial x$; where an image has channels, the mean over those of
the pixel and the sum over those of the input. Denoisers without derivative have NaN.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.denoise.base import Denoiser
from lab.denoise.lineup import Lineup
from lab.numerics.jit import jit

_TESTS = 8  # images, at most, over which a field is averaged
_STROKE = 24  # pixels, at most, where a pattern is strongest, whose fields are compared with it
_PULLED = 8  # images, at most, at which a pattern is pulled back: that takes three passes through all training images


class OneImage(NamedTuple):
    """One image at one level."""

    noisy: Float[Array, " n"]
    estimate: Float[Array, "M n"]
    mask: Float[Array, "n n"]
    mask_pixels: Float[Array, ""]  # mean over pixels
    averaged: Float[Array, ""]  # training images that the optimal denoiser averages
    trace: Float[Array, ""]  # of the Wiener filter


class PixelFields(NamedTuple):
    """The sensitivity of one pixel in the plane of p pixels."""

    field: Float[Array, "M p"]  # of this image at this level
    sensitivity: Float[Array, "M F p"]  # mean over images at each of the levels
    mask: Float[Array, "F p"]
    mask_here: Float[Array, " p"]
    pixels: Float[Array, ""]  # how many the Wiener filter looks at, (Σ w²)² / Σ w⁴


@jit
def one_image(
    lineup: Lineup,
    clean: Float[Array, "B n"],
    noise: Float[Array, "B n"],
    image: Int[Array, ""],
    sigma: Float[Array, ""],
) -> OneImage:
    """What all denoisers make of one noisy image, by its number among the clean ones."""
    dtype = clean.dtype
    level = sigma.astype(dtype)
    noisy = clean[image] + level * noise[image]
    mask = lineup.mask(sigma)
    found = jnp.stack([denoiser.denoise(noisy[None], level)[0] for denoiser in lineup.denoisers(mask)])
    averaged = lineup.averaged(noisy[None], level)[0]
    size, trace = (mask != 0).sum(axis=0).mean(), lineup.spectrum.gains(sigma).sum()
    return OneImage(noisy, found, mask, size, averaged, trace)


@jit
def pixel_fields(
    lineup: Lineup,
    levels: Float[Array, " F"],
    masks: Float[Array, "F n n"],
    mask: Float[Array, "n n"],
    clean: Float[Array, "B n"],
    noise: Float[Array, "B n"],
    image: Int[Array, ""],
    sigma: Float[Array, ""],
    place: Int[Array, ""],
) -> PixelFields:
    """The rows of the Jacobians of all denoisers for the pixel at a place in the plane.

    Args:
        levels, masks: where the mean over at most 8 images is taken.
        mask: of the level sigma.
        clean, noise: the images that are looked at, and the noise of each.
        image: which of them is looked at alone, at the level sigma.
        place: row times width plus column.
    """
    c, h, w = lineup.design.shape
    dtype = clean.dtype
    q = place + h * w * jnp.arange(c)  # in all channels
    rows = partial(_rows, lineup, place)
    x = clean[image] + sigma.astype(dtype) * noise[image]
    own = rows(mask, x[None], sigma.astype(dtype))[:, 0]
    some, its = clean[:_TESTS], noise[:_TESTS]

    def at(given: tuple[Array, Array]) -> Array:
        mask, level = given
        return rows(mask, some + level * its, level).mean(axis=1)

    everywhere = jax.lax.map(at, (masks.astype(mask.dtype), levels.astype(dtype)))
    weights = lineup.spectrum.wiener(sigma)[place] ** 2
    pixels = weights.sum() ** 2 / jnp.maximum((weights**2).sum(), 1e-300)

    def column(mask: Array) -> Array:
        return jnp.take(mask, q, axis=-1).mean(axis=-1).reshape(*mask.shape[:-2], c, h * w).sum(axis=-2)

    return PixelFields(own, everywhere.transpose(1, 0, 2), column(masks), column(mask), pixels)


def _rows(lineup: Lineup, place: Array, mask: Array, x: Float[Array, "B n"], level: Array) -> Float[Array, "M B p"]:
    """The fields of the pixel at that place in the plane, of all denoisers and images."""
    c, h, w = lineup.design.shape
    q = place + h * w * jnp.arange(c)  # in all channels
    found = [_row(denoiser, x, level, q) for denoiser in lineup.denoisers(mask)]
    return jnp.stack(found).reshape(len(found), len(x), c, h * w).sum(axis=2)


def _row(denoiser: Denoiser, x: Array, level: Array, q: Array) -> Array:
    """The mean over channels of the rows of q."""
    if not denoiser.differentiable:
        return jnp.full(x.shape, jnp.nan, x.dtype)
    return jax.vmap(partial(denoiser.row, x, level))(q).mean(axis=0)


class PulledBack(NamedTuple):
    """A planted pattern P, seen by the denoisers."""

    gain: Float[Array, " M"]  # <P, J P>, 1 where the pattern passes whole
    field: Float[Array, "M p"]  # J^T P
    match: Float[Array, " M"]  # correlation of the two
    rows: Float[Array, "M q"]  # correlation with P of single pixels' fields, NaN where P is below half its largest


@jit
def pull_back(
    lineup: Lineup,
    mask: Float[Array, "n n"],
    clean: Float[Array, "B n"],
    noise: Float[Array, "B n"],
    sigma: Float[Array, ""],
    pattern: Float[Array, " n"],
) -> PulledBack:
    """How much of a pattern passes the denoisers, and where they look for it: means over at most 8 images.

    Args:
        mask: of the level sigma.
        clean, noise: the images that are looked at, and the noise of each.
        pattern: P, of norm 1.
    """
    c, h, w = lineup.design.shape
    level, p = sigma.astype(clean.dtype), pattern.astype(clean.dtype)
    x = clean[:_PULLED] + level * noise[:_PULLED]
    found = []
    for denoiser in lineup.denoisers(mask):
        if denoiser.differentiable:
            found.append(jax.grad(lambda y, D=denoiser: (D.denoise(y, level) @ p).sum())(x).mean(axis=0))
        else:
            found.append(jnp.full(len(p), jnp.nan, p.dtype))
    back = jnp.stack(found)
    plane = p.reshape(c, h * w).sum(axis=0)
    height, stroke = jax.lax.top_k(plane, min(_STROKE, h * w))
    fields = jax.lax.map(lambda place: _rows(lineup, place, mask, x, level).mean(axis=1), stroke)  # (q, M, p)
    rows = jnp.where(height >= height[0] / 2, correlation(fields.transpose(1, 0, 2), plane), jnp.nan)
    return PulledBack(back @ p, back.reshape(len(found), c, h * w).sum(axis=1), correlation(back, p), rows)


def correlation(fields: Float[Array, "*batch n"], pattern: Float[Array, " n"]) -> Float[Array, "*batch"]:
    """Of each field with the pattern over the pixels, 0 where one of them is constant."""
    apart, own = fields - fields.mean(axis=-1, keepdims=True), pattern - pattern.mean()
    norms = jnp.sqrt((apart**2).sum(axis=-1) * (own**2).sum())
    return apart @ own / jnp.where(norms > 0, norms, 1.0)
