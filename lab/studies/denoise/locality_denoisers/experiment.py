"""All denoisers at all noise levels, and their sensitivity maps for one image, one level and one pixel."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.denoise.images import pooling
from lab.denoise.lineup import LOCAL, METHODS, NETWORKS, OPTIMAL, WIENER, Design, Lineup
from lab.denoise.metrics import agreement, nearest_distance
from lab.denoise.reference import reference
from lab.denoise.sampling import released
from lab.denoise.sensitivity import OneImage, PixelFields, correlation, one_image, pixel_fields, pull_back
from lab.denoise.trial import Trial, trial
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.numerics.remembered import Remembered, anew
from lab.store import weights
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.denoise.denoiser_comparison import COMPARISON, ERRORS, Compared, Comparison, Errors, ErrorTable

LEVELS = released(10)[:-1]
FIELDS = (2, 4, 5, 6, 7, 8)
"""Levels of the sensitivity maps, by number: 12, 3.4, 2.0, 1.2, .72 and .34."""
TABLE = np.array([0.1, 0.3, 1.0, 3.0, 10.0])  # levels at which methods are compared
_REMEMBERED = Remembered(bytes=512 << 20)  # one run of 5000 images of 3072 numbers
_NO_NETWORK = "no network was trained: choose one under “networks”"
_NO_PATTERN = "no pattern is planted: switch it on"


_net, _planted = partial(out, absent=_NO_NETWORK), partial(out, absent=_NO_PATTERN)


def _smallest(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= min(float(result.error_wiener), float(result.error_optimal)) else ""


def _agrees(value: float, result: xr.Dataset) -> Mood:
    return "good" if value - result.r2_locality_half >= 0.92 else ""


class Experiment(Outputs):
    """Errors, agreement with a network, samples and sensitivity maps; methods that were not run have NaN."""

    error_locality: Float[Array, ""] = out(
        "error of PCA locality", "mean squared error per pixel of this image", headline=True, judge=_smallest
    )
    error_wiener: Float[Array, ""] = out("error of Wiener", "error of the optimal linear denoiser", headline=True)
    error_optimal: Float[Array, ""] = out("error of optimal", "error of the mean given training images", headline=True)
    field_pixels: Float[Array, ""] = out(
        "pixels of the map", "effective size of the Wiener filter's map of this pixel: (Σw²)² / Σw⁴", headline=True
    )
    mask_pixels: Float[Array, ""] = out("pixels in the mask", "of PCA locality, mean over pixels", headline=True)
    ess_here: Float[Array, ""] = out(
        "images averaged", "by the optimal denoiser: 1 / Σw²; near 1 it copies an image", headline=True
    )
    r2_locality: Float[Array, ""] | None = _net(
        "r² of PCA locality", "mean over levels and images", headline=True, half="r2_locality_half", judge=_agrees
    )
    r2_wiener: Float[Array, ""] | None = _net("r² of Wiener", "same mean", headline=True, half="r2_wiener_half")
    r2_optimal: Float[Array, ""] | None = _net("r² of optimal", "same mean", headline=True, half="r2_optimal_half")
    r2_locality_half: Float[Array, ""] | None = _net("± r²", "half width of the 95% interval over test images")
    r2_wiener_half: Float[Array, ""] | None = _net("± r²", "half width of the 95% interval over test images")
    r2_optimal_half: Float[Array, ""] | None = _net("± r²", "half width of the 95% interval over test images")
    mse_clean: Float[Array, "denoiser level test"] = out("error", "mean squared error per pixel to the clean image")
    r2_net: Float[Array, "denoiser level test"] | None = _net("r²", "agreement with the network, by image")
    r2_half: Float[Array, "denoiser level"] | None = _net("± r²", "half width of the 95% interval over test images")
    sensitivity: Float[Array, "denoiser field_level y x"] = out("sensitivity", "∂D/∂x of the pixel, mean over images")
    mask: Float[Array, "field_level y x"] = out("mask", "mask of the pixel in PCA locality")
    field: Float[Array, "denoiser y x"] = out("sensitivity", "∂D/∂x of the pixel, for this image at this level")
    mask_here: Float[Array, "y x"] = out("mask", "mask of the pixel at this level")
    clean: Float[Array, "channel y x"] = out("gray value", "the clean image")
    noisy: Float[Array, "channel y x"] = out("gray value", "the image with noise of this level")
    estimate_here: Float[Array, "denoiser channel y x"] = out("gray value", "estimate of each denoiser")
    path: Float[Array, "step denoiser sample channel y x"] = out("gray value", "estimates along the steps of DDIM")
    nearest_distance: Float[Array, "denoiser sample"] = out("distance", "RMS, from sample to nearest training image")
    test_distance: Float[Array, " test"] = out("distance", "RMS, from test image to nearest training image")
    mask_size: Float[Array, " level"] = out("pixels in the mask", "mean over output pixels")
    table_mse: Float[Array, "denoiser table_level test"] = out("error", "mean squared error per pixel")
    table_mask_size: Float[Array, " table_level"] = out("pixels in the mask", "mean over output pixels")
    eigenvalue: Float[Array, " component"] = out("λ", "eigenvalues of the covariance of the training images")
    pattern: Float[Array, "y x"] | None = _planted("pattern", "the planted pattern P, norm 1")
    pattern_match: Float[Array, " denoiser"] | None = _planted("correlation", "correlation of Jᵀ P with P")
    pattern_pixel: Float[Array, " denoiser"] | None = _planted("correlation", "correlation of this map with P")
    pattern_rows: Float[Array, "denoiser stroke"] | None = _planted(
        "correlation", "correlation with P of the mean maps of single pixels, where P is at least half its maximum"
    )
    pattern_field: Float[Array, "denoiser y x"] | None = _planted("sensitivity", "sensitivity Jᵀ P of ⟨P, D⟩")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Run all denoisers at all levels, then study this image, this level and this pixel.

    Each part is remembered, so that a click computes only maps.
    """
    remembered, wide = _remembering(inputs, p), jnp.result_type(float)
    sigma, theta, tau = (jnp.asarray(value, wide) for value in (p.sigma, p.theta, p.tau))
    image, radius = (jnp.asarray(n, jnp.int32) for n in (p.example, p.radius))
    train, test, design = inputs["train"][: p.train], inputs["test"][: p.tests], _design(inputs["train"].shape, p)

    # keys: what each part depends on
    images = (design.shape, p.pool, p.seed, p.train, p.tests, p.samples, p.plant and p.strength)
    made = {"by": pooling(train.shape[2:], p.pool), "samples": p.samples, "level": float(LEVELS[0]), "seed": p.seed}
    made |= {"strength": jnp.asarray(p.strength, wide) if p.plant else 0.0, "pattern": inputs.get("pattern")}
    tried = remembered(("images", images), lambda: trial(train, test, **made))
    kinds = {"none": (), "all": NETWORKS}.get(p.networks, (p.networks,))
    networks = (images, kinds, p.train_steps)
    references = remembered(
        ("networks", networks),
        lambda: [
            reference(kind, tried.pixels, design.shape, p.train_steps, p.seed, loop=loop, keep=weights.kept)
            for kind in kinds
        ],
        lambda made: _complete(*made),
    )
    remembered = remembered if _complete(*references) else anew  # results of an unfinished network are not kept
    lineup = Lineup(
        tried.pixels, tried.spectrum, tuple(known.network for known in references), theta, radius, tau, design
    )
    clean, noise, levels = tried.clean, tried.noise, jnp.asarray(LEVELS, wide)
    problem = Comparison(lineup, clean, noise, tried.start, jnp.append(levels, 0.0), FIELDS)
    table = ErrorTable(lineup, clean, noise, jnp.asarray(TABLE, wide))
    every = (networks, design, p.theta, p.radius, p.tau)
    run = remembered(("levels", every), lambda: loop(COMPARISON, problem, max_iterations=len(LEVELS)), _complete)
    # afterwards, since no picture of a stopped run needs it
    errors = remembered(("table", every), lambda: loop(ERRORS, table, max_iterations=len(TABLE)), _complete)
    found = remembered(
        ("numbers", every), lambda: _of_levels(lineup, run.state, errors.state, clean), lambda _: _complete(run, errors)
    )
    there = every, p.example, p.sigma
    one = remembered(("image", there), lambda: one_image(lineup, clean, noise, image, sigma))
    place = jnp.asarray(p.row * design.shape[2] + p.column, jnp.int32)
    some = jnp.asarray(LEVELS[list(FIELDS)], wide)
    looked = remembered(
        ("fields", there, p.row, p.column),
        lambda: pixel_fields(lineup, some, run.state.masks, one.mask, clean, noise, image, sigma, place),
        lambda _: _complete(run),
    )
    found = found | _of_pixel(lineup, tried, one, looked, image)
    if p.plant:
        pulled = remembered(("pattern", there), lambda: pull_back(lineup, one.mask, clean, noise, sigma, tried.pattern))
        plane, match = tried.pattern.reshape(design.shape).mean(axis=0), lineup.rows(pulled.match)
        own = correlation(looked.field.astype(pulled.rows.dtype), plane.reshape(-1))
        found |= {"pattern": plane, "pattern_match": match, "pattern_rows": lineup.rows(pulled.rows)}
        found |= {
            "pattern_pixel": lineup.rows(own),
            "pattern_field": lineup.rows(pulled.field).reshape(-1, *plane.shape),
        }
    reason = first_failure(run.reason, errors.reason, *(known.reason for known in references))
    return Run(Experiment(**found), reason, run.iterations)


@jit
def _of_levels(lineup: Lineup, compared: Compared, table: Errors, clean: Array) -> dict[str, Array]:
    """Errors, agreement and distances, which depend on no pixel, image or level."""
    wide = jnp.result_type(float)
    rows, shape = lineup.rows, lineup.design.shape
    pixels, clean = lineup.pixels.astype(wide), clean.astype(wide)
    single = compared.single.astype(wide).transpose(1, 0, 2, 3)  # (M, L, B, n)
    ends = compared.path[-1].astype(wide)
    distances = nearest_distance(ends.reshape(-1, ends.shape[2]), pixels).reshape(ends.shape[:2])
    path = rows(compared.path.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    found = {
        "mse_clean": rows(((single - clean[None, None]) ** 2).mean(axis=3)),
        "nearest_distance": rows(distances),
        "test_distance": nearest_distance(clean, pixels),
        "mask_size": compared.sizes,
        "table_mse": rows(table.errors.transpose(1, 0, 2)),
        "table_mask_size": table.sizes,
        "eigenvalue": lineup.spectrum.values,
        "path": path.reshape(*path.shape[:3], *shape),
    }
    return found | (_agreement(lineup, single) if lineup.networks else {})


def _agreement(lineup: Lineup, single: Array) -> dict[str, Array]:
    """Agreement with the first network."""
    known = agreement(single, single[len(lineup.design.names)])
    mean, half = lineup.rows(known.mean), lineup.rows(known.mean_half)
    found = {"r2_net": lineup.rows(known.r2), "r2_half": lineup.rows(known.half)}
    for name, method in (("r2_locality", LOCAL), ("r2_wiener", WIENER), ("r2_optimal", OPTIMAL)):
        found |= {name: mean[METHODS.index(method)], f"{name}_half": half[METHODS.index(method)]}
    return found


@jit
def _of_pixel(lineup: Lineup, tried: Trial, one: OneImage, looked: PixelFields, image: Array) -> dict[str, Array]:
    """Estimates and sensitivity maps for this image, this level and this pixel."""
    shape, wide, rows = lineup.design.shape, jnp.result_type(float), lineup.rows
    plane, clean = shape[1:], tried.clean[image]
    error = rows(((one.estimate.astype(wide) - clean.astype(wide)[None]) ** 2).mean(axis=1))
    named = {"error_locality": LOCAL, "error_wiener": WIENER, "error_optimal": OPTIMAL}
    return {name: error[METHODS.index(method)] for name, method in named.items()} | {
        "mask_pixels": one.mask_pixels,
        "ess_here": one.averaged.astype(wide),
        "field_pixels": looked.pixels,
        "clean": clean.reshape(shape),
        "noisy": one.noisy.reshape(shape),
        "estimate_here": rows(one.estimate).reshape(-1, *shape),
        "field": rows(looked.field).reshape(-1, *plane),
        "sensitivity": rows(looked.sensitivity).reshape(-1, looked.sensitivity.shape[1], *plane),
        "mask": looked.mask.reshape(-1, *plane),
        "mask_here": looked.mask_here.reshape(plane),
    }


def _remembering(inputs: Mapping[str, Any], p: Any) -> Callable[..., Any]:
    """``Remembered.get`` for these images; where values are traced, nothing is remembered."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((inputs, p))):
        return anew
    return _REMEMBERED.within((bytes(np.asarray(inputs["digest"])), str(jnp.result_type(float))))


def _complete(*runs: Any) -> bool:
    return all(bool(run.reason == Reason.CONVERGED) for run in runs)


def _design(shape: tuple[int, ...], p: Any) -> Design:
    """The denoisers for images (N, C, H, W)."""
    chunk = p.chunk if p.accumulate == "chunk_mean" else None
    patch = None if p.equivariant == "off" else int(p.equivariant)
    how = {"others": p.others, "normalize": p.normalize, "orientation": p.orientation}
    return Design.of((shape[1], *sides(shape, p.pool)), equivariant=patch, chunk=chunk, **how)


def sides(shape: tuple[int, ...], pool: int | None) -> tuple[int, int]:
    """Height and width of images (N, C, H, W) after pooling."""
    by = pooling(shape[2:], pool)
    return shape[2] // by, shape[3] // by
