"""Solvers of inverse problems with a denoiser as the prior, side by side on one measurement, beside the exact posterior."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.inverse import meeting
from lab.inverse.beds import pixel_law
from lab.inverse.meeting import ASKING, METHODS, REASONS, SAMPLERS, VARIATION, Meeting, Strengths
from lab.numerics import Loop, Reason, first_failure, pure
from lab.numerics.remembered import anew
from lab.studies.contract import Limit, Mood, Paper, Result, Switch, Whole
from lab.studies.inverse.imaging import Bed, Imaging, Own, bed, depends, remembering, shared
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

SHOWN = 6
"""Answers of each method that are seen one by one."""
EDGES = np.linspace(-1.6, 1.6, 41)
"""Of the bins of a pixel's grey value; what is beyond is in the last ones."""
_STRENGTHS = {
    VARIATION: ("variation",), "PnP-ADMM": ("plug",), "PnP-HQS": ("plug",), "RED": ("plug", "red"), "DPS": ("zeta",),
    "RED-diff": ("reddiff", "rate"), "FLAIR": ("flair",),
}  # the strengths that each method reads
_UNKNOWN = REASONS[3]


class InverseProblems(Imaging):
    """Every solver on one measurement: what it makes of it, how far it is from the truth, where its variance sits."""

    slug = "inverse-problems"
    title = "Inverse problems"
    paper = Paper(
        "Daras, Chung, Lai, Mitsufuji, Ye, Milanfar, Dimakis and Delbracio",
        "A Survey on Diffusion Models for Inverse Problems", "arXiv", 2024,
    )
    text = "inverse_problems.md"

    row = Whole(7, bounds=(0, None), label="row of the pixel", doc="whose posterior is shown, from the top; or click it")
    column = Whole(9, bounds=(0, None), label="column of the pixel", doc="from the left; or click the pixel")
    seeds = size(
        16, (2, 64), (4, 64), label="answers", unit="", doc="of each method that draws random numbers, for each image"
    )
    steps = size(
        50, (2, 1000), (10, 300), label="denoiser calls", symbol="K", doc="of each method: the budget that is common to all"
    )
    plug = positive(
        0.3, (0.02, 2), label="level of plug-and-play", symbol="σ", group="more",
        doc="noise level at which ADMM and RED ask the denoiser; half-quadratic splitting falls from four times it to a fifth",
    )
    red = positive(1.0, (0.1, 10), label="pull of RED", symbol="λ", group="more", doc="strength of its prior")
    variation = positive(
        1.0, (0.1, 10), label="total variation", group="more",
        doc="its strength; 1 is that of the Laplace law with the mean difference of training images",
    )
    zeta = positive(0.5, (0.05, 5), label="strength of DPS", symbol="ζ", group="more", doc="of its step towards the data")
    reddiff = positive(
        0.25, (0.01, 10), label="pull of RED-diff", symbol="λ", group="more", doc="strength of its prior, linear weight"
    )
    rate = positive(0.1, (0.005, 0.5), label="rate of RED-diff", group="more", doc="its learning rate (Adam)")
    flair = positive(0.25, (0.02, 4), label="pull of FLAIR", symbol="c", group="more", doc="strength of its prior, calibrated")
    timed = Switch(False, label="take the time", group="more", doc="run each method once more and measure its seconds")

    dims: ClassVar = {
        **Imaging.dims, "solver": ("method", ""), "draw": ("answer", ""), "shown": ("answer", ""), "bin": ("grey value", ""),
    }
    results = (
        Result("psnr_damaged", (), "PSNR of start", "of pseudo-inverse or adjoint, in dB, mean of images",
               headline=True),
        Result("psnr_best", (), "PSNR of the best", "of those that ask the denoiser, their means over answers; in dB",
               headline=True, judge=lambda value, result: _near(value, result)),
        Result("psnr_bound", (), "PSNR of the posterior mean", "which no method passes on average, if the prior is right",
               headline=True, absent=_UNKNOWN),
        Result("away_best", (), "nearest to E[x | y]", "least distance of a method's mean from the posterior mean, RMS a pixel",
               headline=True, absent=_UNKNOWN),
        Result("spread_true", (), "posterior spread", "standard deviation, RMS over pixels and images", headline=True,
               absent=_UNKNOWN),
        Result("spread_dps", (), "spread of DPS", "over its answers, RMS", headline=True),
        Result("spread_reddiff", (), "spread of RED-diff", "over its answers, RMS", headline=True),
        *(Result(f"psnr_{name}", (), f"PSNR of {of}", "of its mean over answers, in dB")
          for name, of in variables.NUMBERS.items()),
        *(Result(f"coverage_{name}", (), f"coverage of {of}", "share of pixels whose truth is in the interval of 90%")
          for name, of in variables.COVERED.items()),
        Result("nearest_plug", (), "PnP-ADMM to training", "distance from the nearest training image, RMS a pixel"),
        Result("nearest_exact", (), "samples to training", "distance of exact samples from the nearest training image, RMS"),
        Result("nearest_clean", ("test",), "unseen to training", "of a test image from the nearest training image, RMS"),
        Result("psnr", ("solver", "test"), "PSNR", "of one answer, mean over answers, in dB"),
        Result("psnr_mean", ("solver", "test"), "PSNR of the mean", "over answers, in dB"),
        Result("ssim", ("solver", "test"), "SSIM", "of one answer, mean over answers"),
        Result("to_mean", ("solver", "test"), "distance to E[x | y]", "of the mean over answers, RMS a pixel"),
        Result("nearest", ("solver", "test"), "distance to training", "of one answer from the nearest training image, RMS"),
        Result("spread", ("solver", "test"), "spread", "standard deviation over answers, RMS a pixel"),
        Result("spread_posterior", ("test",), "posterior spread", "RMS a pixel", absent=_UNKNOWN),
        Result("coverage", ("solver", "test"), "coverage", "share of pixels whose truth is in the interval of 90%"),
        Result("calls", ("solver",), "denoiser calls", "for each answer"),
        Result("slopes", ("solver",), "derivatives", "of the denoiser, for each answer; each costs about another call"),
        Result("diverged", ("solver",), "diverged", "share of the answers that became infinite"),
        Result("why", ("solver",), "why absent", "number of the reason why a method has no answer here; 0 where it has"),
        Result("answer", ("solver", "channel", "y", "x"), "grey value", "one answer for this image"),
        Result("mean", ("solver", "channel", "y", "x"), "grey value", "the mean over answers"),
        Result("deviation", ("solver", "channel", "y", "x"), "standard deviation", "over answers"),
        Result("some", ("solver", "shown", "channel", "y", "x"), "grey value", "some answers for this image"),
        Result("pixel", ("solver", "draw"), "grey value", "of the pixel, in all answers; of colours the first"),
        Result("pixel_law", ("bin",), "probability", "of the pixel's grey value, by the exact posterior", absent=_UNKNOWN),
        Result("seconds", ("solver",), "seconds", "for all images and answers, once compiled, on this machine",
               absent="the time was not taken: switch it on, which makes runs that differ"),
        *Imaging.results,
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The problem first, then the solvers."""
        found = super().parameters()
        first = [name for name in found if name in Imaging.param and name != "seed"]
        return {name: found.pop(name) for name in first} | found

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The pixel is there."""
        h, w = self.sides(data)
        return {
            **super().limits(data), "row": Limit(0, max(h - 1, 0), f"since the images have {h} rows"),
            "column": Limit(0, max(w - 1, 0), f"since the images have {w} columns"),
        }

    @classmethod
    def own(cls) -> Own | None:
        """What a user brings in place of the damage or of the prior."""
        return None

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """All methods on all test images, then what this image and this pixel show; a click finds the former remembered."""
        remembered, own = remembering(inputs, p), cls.own()
        given = depends(p, own)
        whole = lambda found: bool(found[0].reason == Reason.CONVERGED)  # noqa: E731
        made, met = remembered(("meeting", given), lambda: _met(bed(inputs, p, loop, own), p), whole)
        if not whole((made, met)):
            remembered = anew  # what an unfinished network answers is not kept
        strengths = Strengths(**{name: jnp.asarray(getattr(p, name), made.clean.dtype) for name in Strengths._fields})
        image = jnp.asarray(p.example, jnp.int32)
        place = jnp.asarray(p.row * made.shape[2] + p.column, jnp.int32)
        why = {name: meeting.absent(name, met) for name in METHODS}
        worths, looked, lost, seconds, reasons = {}, {}, {}, {}, [made.reason]
        for name in (name for name in METHODS if not why[name]):
            run = partial(meeting.answers, name, met, p.steps, p.seeds, strengths, made.key, loop)
            key = (given, name, p.seeds if name in SAMPLERS else 1, *_read(name, p))
            found = remembered(("answers", key), run, lambda found: bool(found.reason == Reason.CONVERGED))
            worths[name] = remembered(
                ("worth", key), lambda x=found.x: meeting.worth(x, made.clean, met),
                lambda _, reason=found.reason: bool(reason == Reason.CONVERGED),
            )
            looked[name] = meeting.look(found.x, image, place, SHOWN)
            lost[name] = found.diverged
            reasons.append(found.reason)
            if p.timed and loop is not pure:
                began = time.perf_counter()
                jax.block_until_ready(run())
                seconds[name] = time.perf_counter() - began
        output = variables.of_answers(worths, lost, made.clean, met.pixels) | variables.of_image(looked, made.shape)
        output |= variables.of_calls(list(why.values()), p.steps) | shared(made, p.example)
        if made.known is not None:
            ends = jnp.asarray([-np.inf, *EDGES[1:-1], np.inf], made.clean.dtype)
            output |= variables.of_posterior(made.known, made.clean, jnp.asarray(output["to_mean"]))
            output["pixel_law"] = pixel_law(made.known, met.pixels, image, place, ends)
        if seconds:
            output["seconds"] = np.array([seconds.get(name, np.nan) for name in METHODS])
        return output | {"iterations": p.steps, "reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and the middles of the bins."""
        return {"solver": list(METHODS), "bin": (EDGES[1:] + EDGES[:-1]) / 2}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What must not be overlooked: what diverged, and a posterior without spread."""
        lost = result.diverged.max("solver")
        if float(lost) > 0:
            name = str(result.solver.values[int(result.diverged.fillna(0).argmax())])
            return f"{name} diverged for {float(lost):.0%} of its answers: lower its strength."
        if float(result.get("spread_true", 1.0)) < 0.01:
            return (
                "The posterior is all but one training image: exact samples are memories. Raise the noise, damage more, or "
                "take another prior."
            )
        return ""


def _met(made: Bed, p: Any) -> tuple[Bed, Meeting]:
    turned = np.arange(p.views) * 180 / p.views if getattr(p, "damage", "") == "tomography" else None
    return made, meeting.meet(made.problem, made.prior, made.pixels, made.spectrum, made.known, made.clean, turned)


def _read(name: str, p: Any) -> tuple[Any, ...]:
    """What a method's answers depend on beside the meeting."""
    return (*(getattr(p, each) for each in _STRENGTHS.get(name, ())), *((p.steps,) if name in ASKING else ()))


def _near(value: float, result: xr.Dataset) -> Mood:
    return "good" if value > float(result.get("psnr_bound", np.inf)) - 0.5 else ""
