"""Solve one problem with all methods, and compare their samples with the exact posterior."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from lab.inverse import metrics
from lab.inverse.beds import Known, pixel_law
from lab.numerics import Loop, Reason, first_failure, pure
from lab.numerics.jit import jit
from lab.numerics.remembered import anew
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.inverse import solver_comparison
from lab.studies.inverse.imaging import Bed, Own, bed, depends, remembering, shared
from lab.studies.inverse.solver_comparison import (
    ASKING,
    EXACT,
    METHODS,
    REASONS,
    SAMPLERS,
    VARIATION,
    Looked,
    Meeting,
    Strengths,
    Worth,
)

EDGES = np.linspace(-1.6, 1.6, 41)
"""Edges of the bins of a pixel's gray value; values beyond them are in the outer bins."""

_STRENGTHS = {
    VARIATION: ("variation",),
    "PnP-ADMM": ("plug",),
    "PnP-HQS": ("plug",),
    "RED": ("plug", "red"),
    "DPS": ("zeta",),
    "RED-diff": ("reddiff", "rate"),
    "FLAIR": ("flair",),
}  # the parameters that each method reads
_UNKNOWN = REASONS[3]
_AT = {name: number for number, name in enumerate(METHODS)}
_ASKED = np.array([_AT[name] for name in ASKING])


def _near(value: float, result: xr.Dataset) -> Mood:
    return "good" if value > float(result.get("psnr_bound", np.inf)) - 0.5 else ""


class Experiment(Outputs):
    """Samples of each method (NaN where a method is absent), their errors, and the posterior where it is known."""

    psnr_damaged: Float[Array, ""] = out(
        "PSNR of start", "of the pseudo-inverse or adjoint, mean over images", unit="dB", headline=True
    )
    psnr_best: Float[Array, ""] = out(
        "PSNR of the best",
        "maximum over methods with a denoiser, of the mean over samples",
        unit="dB",
        headline=True,
        judge=_near,
    )
    psnr_bound: Float[Array, ""] | None = out(
        "PSNR of the posterior mean",
        "upper bound of all methods on average, if the prior is right",
        unit="dB",
        headline=True,
        absent=_UNKNOWN,
    )
    away_best: Float[Array, ""] | None = out(
        "nearest to E[x | y]",
        "minimum distance of the mean over samples from the posterior mean, RMS per pixel",
        headline=True,
        absent=_UNKNOWN,
    )
    spread_true: Float[Array, ""] | None = out(
        "posterior spread", "standard deviation, RMS over pixels and images", headline=True, absent=_UNKNOWN
    )
    spread_dps: Float[Array, ""] = out("spread of DPS", "standard deviation over samples, RMS", headline=True)
    spread_reddiff: Float[Array, ""] = out("spread of RED-diff", "standard deviation over samples, RMS", headline=True)
    psnr_dps: Float[Array, ""] = out("PSNR of DPS", "of the mean over samples", unit="dB")
    psnr_variation: Float[Array, ""] = out("PSNR of total variation", "of its reconstruction", unit="dB")
    coverage_dps: Float[Array, ""] = out("coverage of DPS", "fraction of pixels whose truth is in the 90% interval")
    coverage_reddiff: Float[Array, ""] = out("coverage of RED-diff", "fraction of pixels inside the 90% interval")
    coverage_exact: Float[Array, ""] = out(
        "coverage of exact samples", "fraction of pixels inside the 90% interval", undefined=_UNKNOWN
    )
    nearest_exact: Float[Array, ""] = out(
        "exact samples to training", "RMS distance to the nearest training image", undefined=_UNKNOWN
    )
    psnr: Float[Array, "solver test"] = out("PSNR", "of one sample, mean over samples, in dB")
    psnr_mean: Float[Array, "solver test"] = out("PSNR of the mean", "over samples, in dB")
    ssim: Float[Array, "solver test"] = out("SSIM", "of one sample, mean over samples")
    to_mean: Float[Array, "solver test"] = out("distance to E[x | y]", "of the mean over samples, RMS per pixel")
    nearest: Float[Array, "solver test"] = out(
        "distance to training", "of one sample to the nearest training image, RMS"
    )
    spread: Float[Array, "solver test"] = out("spread", "standard deviation over samples, RMS per pixel")
    spread_posterior: Float[Array, " test"] | None = out("posterior spread", "RMS per pixel", absent=_UNKNOWN)
    coverage: Float[Array, "solver test"] = out("coverage", "fraction of pixels whose truth is in the 90% interval")
    calls: Int[Array, " solver"] = out("denoiser evaluations", "per sample")
    diverged: Float[Array, " solver"] = out("diverged", "fraction of samples that became infinite")
    why: Int[Array, " solver"] = out("why absent", "number of the reason why a method does not apply; 0 if it does")
    answer: Float[Array, "solver channel y x"] = out("gray value", "one sample for this image")
    deviation: Float[Array, "solver channel y x"] = out("standard deviation", "over samples for this image")
    pixel: Float[Array, "solver draw"] = out("gray value", "of the pixel in all samples; of colors the first channel")
    pixel_law: Float[Array, " bin"] | None = out(
        "probability", "of the gray value of the pixel, by the exact posterior", absent=_UNKNOWN
    )
    seconds: Float[Array, " solver"] | None = out(
        "seconds",
        "for all images and samples, after compilation, on this machine",
        absent="the time was not measured: switch “measure time” on",
    )
    clean: Float[Array, "channel y x"] = out("gray value", "the true image")
    start: Float[Array, "channel y x"] = out("gray value", "pseudo-inverse or adjoint of the measurement")
    posterior_mean: Float[Array, "channel y x"] | None = out("gray value", "exact posterior mean", absent=_UNKNOWN)
    posterior_std: Float[Array, "channel y x"] | None = out(
        "standard deviation", "of the exact posterior", absent=_UNKNOWN
    )
    psnr_start: Float[Array, " test"] = out("PSNR of the start", "in dB, over the range 2")
    psnr_posterior: Float[Array, " test"] | None = out(
        "PSNR of the posterior mean", "in dB, over the range 2", absent=_UNKNOWN
    )


def compare(inputs: Any, p: Any, loop: Loop, own: Own | None) -> Run[Experiment]:
    """Apply all methods to all test images; samples are cached, so that a click on a pixel only selects from them."""
    remembered, given = remembering(inputs, p), depends(p, own)
    whole = lambda found: bool(found[0].reason == Reason.CONVERGED)  # noqa: E731
    made, met = remembered(("meeting", given), lambda: _met(bed(inputs, p, loop, own), p), whole)
    if not whole((made, met)):
        remembered = anew  # samples of an unfinished network are not cached
    strengths = Strengths(**{name: jnp.asarray(getattr(p, name), made.clean.dtype) for name in Strengths._fields})
    image = jnp.asarray(p.example, jnp.int32)
    place = jnp.asarray(p.row * made.shape[2] + p.column, jnp.int32)
    why = {name: solver_comparison.absent(name, met) for name in METHODS}
    worths, looked, lost, seconds, reasons = {}, {}, {}, {}, [made.reason]
    for name in (name for name in METHODS if not why[name]):
        run = partial(solver_comparison.answers, name, met, p.steps, p.seeds, strengths, made.key, loop)
        key = (given, name, p.seeds if name in SAMPLERS else 1, *_read(name, p))
        found = remembered(("answers", key), run, lambda found: bool(found.reason == Reason.CONVERGED))
        worths[name] = remembered(
            ("worth", key),
            lambda x=found.x: solver_comparison.worth(x, made.clean, met),
            lambda _, reason=found.reason: bool(reason == Reason.CONVERGED),
        )
        looked[name] = solver_comparison.look(found.x, image, place, 1)
        lost[name] = found.diverged
        reasons.append(found.reason)
        if p.timed and loop is not pure:
            began = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name] = time.perf_counter() - began
    output: dict[str, Any] = _numbers(worths, lost) | _image(looked, made.shape) | shared(made, p.example)
    output["why"] = np.asarray(list(why.values()))
    output["calls"] = np.array([p.steps if name in ASKING else 0 for name in METHODS])
    if made.known is not None:
        ends = jnp.asarray([-np.inf, *EDGES[1:-1], np.inf], made.clean.dtype)
        output |= _posterior(made.known, made.clean, jnp.asarray(output["to_mean"]))
        output["pixel_law"] = pixel_law(made.known, met.pixels, image, place, ends)
    if seconds:
        output["seconds"] = np.array([seconds.get(name, np.nan) for name in METHODS])
    return Run(Experiment(**output), first_failure(*reasons), p.steps)


def _met(made: Bed, p: Any) -> tuple[Bed, Meeting]:
    turned = np.arange(p.views) * 180 / p.views if getattr(p, "damage", "") == "tomography" else None
    return made, solver_comparison.meet(
        made.problem, made.prior, made.pixels, made.spectrum, made.known, made.clean, turned
    )


def _read(name: str, p: Any) -> tuple[Any, ...]:
    """The parameters of a method."""
    return (*(getattr(p, each) for each in _STRENGTHS.get(name, ())), *((p.steps,) if name in ASKING else ()))


@jit
def _numbers(worths: Mapping[str, Worth], lost: Mapping[str, Array]) -> dict[str, Array]:
    """The errors of all samples, and those that the story names."""
    found = {name: _rows({key: getattr(worth, name) for key, worth in worths.items()}) for name in Worth._fields}
    middle = {name: rows.mean(axis=1) for name, rows in found.items()}
    of = lambda variable, method: middle[variable][_AT[method]]  # noqa: E731
    found |= {"diverged": _rows({name: each.mean() for name, each in lost.items()})}
    found |= {"psnr_damaged": middle["psnr"][0], "psnr_best": jnp.nanmax(middle["psnr_mean"][_ASKED])}
    found |= {"spread_dps": of("spread", "DPS"), "spread_reddiff": of("spread", "RED-diff")}
    found |= {"psnr_dps": of("psnr_mean", "DPS"), "psnr_variation": of("psnr_mean", VARIATION)}
    found |= {"coverage_dps": of("coverage", "DPS"), "coverage_reddiff": of("coverage", "RED-diff")}
    return found | {"coverage_exact": of("coverage", EXACT), "nearest_exact": of("nearest", EXACT)}


@jit
def _posterior(known: Known, clean: Array, away: Array) -> dict[str, Array]:
    wide = jnp.sqrt((known.deviation**2).mean(axis=1))
    bound = metrics.psnr(known.mean, clean, axes=1).mean()
    found = {"psnr_bound": bound, "away_best": jnp.nanmin(away.mean(axis=1)[_ASKED])}
    return found | {"spread_posterior": wide, "spread_true": wide.mean()}


@jit
def _image(looked: Mapping[str, Looked], shape: tuple[int, int, int]) -> dict[str, Array]:
    """Samples of each method for one image and one pixel."""
    fields = ("answer", "deviation", "pixel")
    found = {name: _rows({key: getattr(seen, name) for key, seen in looked.items()}) for name in fields}
    return {name: rows if name == "pixel" else rows.reshape(-1, *shape) for name, rows in found.items()}


def _rows(of: Mapping[str, Array]) -> Array:
    """A row for each method, with NaN for absent methods and for samples that deterministic methods do not have."""
    largest = max(jnp.shape(values) for values in of.values())
    none = jnp.full(largest, jnp.nan, next(iter(of.values())).dtype)

    def whole(values: Array) -> Array:
        more = [(0, wanted - there) for wanted, there in zip(largest, values.shape, strict=True)]
        return jnp.pad(values, more, constant_values=jnp.nan) if more else values

    return jnp.stack([whole(of[name]) if name in of else none for name in METHODS])
