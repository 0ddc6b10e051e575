"""RED-diff (Mardani, Song, Kautz, Vahdat, ICLR 2024) as a study: every weight and order of it, beside the exact posterior."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import inverse
from lab.datasets import Data
from lab.inverse import modes, reddiff
from lab.numerics import Loop, Reason, first_failure
from lab.studies.contract import Choice, Live, Mood, Paper, Real, Result, sweeping
from lab.studies.inverse.imaging import Imaging, bed, remembering, shared
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_PLANE = {"seeds": 50, "faster": 2.5}  # of the companion in the plane, whose distances are larger
_FLAT = "where the averaged objective rests is known of linear damages under the Wiener prior"
_EXACT = "the posterior is known of linear damages, or under the prior “optimal”"
_ALONE = "one answer has no spread: raise the answers an image to 2 or more"


class REDDiff(Imaging):
    """A variational answer by stochastic optimisation, beside the exact posterior mean and spread."""

    slug = "red-diff"
    title = "RED-diff"
    paper = Paper(
        "Mardani, Song, Kautz, Vahdat", "A Variational Perspective on Solving Inverse Problems with Diffusion Models", "ICLR",
        2024, "https://arxiv.org/abs/2305.04391",
    )
    text = "red_diff.md"
    live = (Live("data term", {"data term": "data"}),)

    lam = Real(
        0.05, bounds=(0, None), soft=(1e-3, 10), scale="log", label="strength of the prior", symbol="λ",
        doc="how strongly the denoiser pulls; the released configuration has 0.25",
    )
    rate = positive(
        0.02, (1e-3, 1), label="learning rate", symbol="η",
        doc="Adam moves every pixel by about this much a step, also those that were not measured",
    )
    steps = size(300, (1, 10_000), (30, 1000), label="steps", symbol="K", doc="of one call of the denoiser each")
    weight = Choice(
        list(reddiff.WEIGHTS), label="weight of times",
        doc="λ_t as a function of r = σ_t/α_t: r itself by default, as in the paper, or another of its family",
    )
    order = Choice(
        ["descending", "random", "ascending"], label="order of times",
        doc="from much noise to little, which is part of the method",
    )
    optimizer = Choice(["adam", "sgd"], doc="Adam with β of 0.9 and 0.99, or plain gradient steps")
    seeds = size(4, (1, 256), (1, 64), label="answers an image", doc="each with noise of its own, all in one program")
    v = Real(
        1.0, bounds=(0, None), soft=(0.01, 100), scale="log", label="strength of the data", symbol="v", group="more",
        doc="weight of the data term",
    )
    dispersion = Real(
        0.0, bounds=(0, 10), soft=(0, 0.5), label="dispersion", symbol="s", group="more",
        doc="standard deviation of the law q that is fitted; 0, as released, fits a point",
    )
    reduction = Choice(
        ["mean", "sum"], group="more",
        doc="mean, as released, divides the data term by the number of measurements and the prior's by that of pixels",
    )
    decay = Real(
        0.0, bounds=(0, 100), soft=(0, 0.1), label="decay", group="more",
        doc="the rate at step i is η / (1 + decay i)",
    )
    latest = Real(
        1.0, bounds=(0.01, 1), soft=(0.3, 1), label="latest time", group="more", traced=False,
        doc="share of the 1000 levels that is visited; at the last ones almost nothing is left of the image",
    )

    dims: ClassVar = {
        **Imaging.dims, "draw": ("answer", ""), "step": ("step", ""), "frame": ("step", ""), "level": ("time t", ""),
        "family": ("weight", ""), "ring": ("ring of frequencies", ""), "mode": ("mode", ""), "tick": ("step", ""),
        "particle": ("seed", ""), "axis": ("coordinate", ""), "gx": ("x₁", ""), "gy": ("x₂", ""),
        "fy": ("frequency", ""), "fx": ("frequency", ""),
    }
    results = (
        Result("quality", (), "PSNR of RED-diff", "mean over test images and answers, over the range 2", "dB", headline=True,
               judge=lambda value, result: _near(value, result)),
        Result("quality_posterior", (), "PSNR of the posterior mean",
               "the best PSNR that can be had, if the prior were true", "dB",
               headline=True, absent=_EXACT),
        Result("quality_draw", (), "PSNR of posterior draws", "PSNR of exact draws from the posterior", "dB", headline=True,
               absent=_EXACT),
        Result("quality_start", (), "PSNR of the start", "PSNR of the measurement as an image", "dB", headline=True),
        Result("apart", (), "distance from the posterior mean", "distance of the answers, RMS a pixel",
               headline=True, absent=_EXACT),
        Result("spread_share", (), "spread of answers", "root mean square over pixels, as a share of the posterior's",
               headline=True, absent=_EXACT,
               judge=lambda value, result: "" if not np.isfinite(value) else "good" if 0.7 < value < 1.4 else "warn"),
        Result("misfit", (), "misfit", "mean square of what was measured less what the answers give, in units of the noise's: "
               "1 for the truth", headline=True, judge=lambda value, result: "warn" if value > 4 else ""),
        Result("quality_rest", (), "at rest", "PSNR where the objective averaged over all times rests", "dB", absent=_FLAT),
        Result("rest_apart", (), "rest from the posterior mean", "root mean square distance", absent=_FLAT),
        Result("lost", (), "diverged", "answers that became infinite, of which the last finite one is kept"),
        Result("psnr", ("draw", "test"), "PSNR", "of each answer, over the range 2", "dB"),
        Result("data_misfit", ("draw", "test"), "misfit", "of each answer, in units of the noise"),
        Result("distance_to_posterior_mean", ("draw", "test"), "distance", "of each answer, RMS a pixel", absent=_EXACT),
        Result("spread", ("test",), "spread", "of the answers, root mean square over pixels", absent=_ALONE),
        Result("spread_posterior", ("test",), "spread", "of the posterior, root mean square over pixels", absent=_EXACT),
        Result("nearest", ("draw", "test"), "distance", "of each answer from the nearest training image, RMS a pixel"),
        Result("nearest_clean", ("test",), "distance", "of the test image"),
        Result("nearest_start", ("test",), "distance", "of the start"),
        Result("nearest_posterior", ("test",), "distance", "of the posterior mean", absent=_EXACT),
        Result("nearest_draw", ("test",), "distance", "of an exact draw from the posterior", absent=_EXACT),
        Result("psnr_draw", ("test",), "PSNR", "of an exact draw from the posterior", "dB", absent=_EXACT),
        Result("diverged", ("draw", "test"), "diverged", "whether this answer did"),
        Result("answers", ("draw", "channel", "y", "x"), "grey value", "of the image that is shown"),
        Result("mu_path", ("frame", "channel", "y", "x"), "grey value", "the first of them on its way"),
        Result("x_path", ("frame", "channel", "y", "x"), "grey value", "x_t / α_t that the denoiser was given"),
        Result("mu_amplitude", ("frame", "fy", "fx"), "|FFT|", "of mu on its way, over channels"),
        Result("x_amplitude", ("frame", "fy", "fx"), "|FFT|", "of x_t / α_t, over channels"),
        Result("clean_amplitude", ("fy", "fx"), "|FFT|", "of the image, over channels"),
        Result("psnr_path", ("step",), "PSNR", "of the first answer on its way", "dB"),
        Result("ring_error", ("step", "ring"), "error", "in a ring of frequencies, as a share of what the image has there"),
        Result("trace_data", ("step",), "data term", "of the loss, mean over answers"),
        Result("trace_reg", ("step",), "prior term", "of the loss, a surrogate of which only the slope means something"),
        Result("lambda_t", ("level", "family"), "λ_t", "by time, for each weight of the family"),
        Result("rest", ("channel", "y", "x"), "grey value", "where the averaged objective rests", absent=_FLAT),
        Result("modes_path", ("tick", "particle", "axis"), "position", "50 seeds in the plane"),
        Result("modes_density", ("gy", "gx"), "density", "of the posterior in the plane"),
        Result("modes_weight", ("mode",), "weight", "of each mode under the posterior"),
        Result("modes_share", ("mode",), "share", "of the seeds that end there"),
        Result("modes_width", ("mode",), "width", "of each mode under the posterior, along the hidden coordinate"),
        Result("modes_spread", ("mode",), "width", "of the seeds that end there"),
        *Imaging.results,
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """All answers for all test images; one of them step by step; the same method in the plane."""
        made = bed(inputs, p, loop)
        image = jnp.asarray(p.example, jnp.int32)
        method = inverse.REDDiff(
            p.lam, p.v, p.rate, p.steps, p.weight, p.order, p.optimizer, p.dispersion, p.reduction, p.decay, latest=p.latest
        )
        found = inverse.solve(made.problem, made.prior, method, key=made.key, seeds=p.seeds, loop=loop)
        alone = made._replace(reason=None)
        traces = jnp.asarray(found.trace["data"]), jnp.asarray(found.trace["prior"])
        output = shared(made, p.example)
        output |= variables.numbers(alone, found.x, found.diverged, traces, jnp.asarray(p.lam), image, p.steps)
        way = reddiff.follow(made.problem, made.prior, method, made.key, image, loop)
        output |= variables.film(way._replace(reason=None), made.clean, image, made.shape)
        if p.prior == "Wiener" and isinstance(made.problem.operator, inverse.Linear):
            output |= variables.at_rest(reddiff.rests(made.problem, made.spectrum, method), alone, image)
        plane, reason = _plane(inputs, p, method, loop)
        reasons = (made.reason, found.reason, reason)
        return output | plane | {"iterations": found.iterations, "reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Steps and frames, times and weights; the plane."""
        return {
            "step": np.arange(1, p.steps + 1), "frame": variables.frames(p.steps) + 1, "level": np.arange(1000),
            "family": list(reddiff.WEIGHTS), "ring": ["low", "middle", "high"], "tick": variables.TICKS,
            "axis": ["x₁", "x₂"], "gx": variables.ACROSS, "gy": variables.UP,
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What keeps the answers from the posterior mean."""
        quality, start = float(result.quality), float(result.quality_start)
        if lost := int(result.lost):
            return f"{lost} of {result.diverged.size} answers diverged; their last finite state is shown: lower the rate."
        order = sweeping.parameters(result)["order"]
        if not np.isfinite(quality):
            return ""
        behind = float(result.quality_posterior) - quality if "quality_posterior" in result else 0.0
        if order != "descending" and behind > 2:
            return f"In {order} order the answers stay {behind:.1f} dB behind the posterior mean: choose descending."
        if float(result.misfit) > 4:
            return f"The answers miss the data, {float(result.misfit):.1f} times the noise: raise v, or the rate and the steps."
        if quality < start + 1:
            return (
                f"The answers, {quality:.1f} dB, hardly beat the start, {start:.1f} dB: take more steps, or change the rate."
            )
        if behind > 2.5:
            return f"The answers stay {behind:.1f} dB behind the posterior mean: take more steps, or another rate."
        return ""


def _plane(inputs: Any, p: Any, method: inverse.REDDiff, loop: Loop) -> tuple[dict[str, Any], Any]:
    """The companion in the plane, the same whatever the images are, so that it is remembered."""
    own = method._replace(steps=variables.STEPS, rate=_PLANE["faster"] * jnp.asarray(p.rate))
    key = ("plane", *(getattr(p, name) for name in ("lam", "v", "rate", "weight", "order", "optimizer", "dispersion")),
           p.reduction, p.decay, p.latest, p.noise, p.seed)
    found = remembering(inputs, p)(
        key,
        lambda: modes.descend(own, p.noise, jax.random.key(jnp.asarray(p.seed, jnp.uint32)), _PLANE["seeds"], loop),
        lambda made: made.reason == Reason.CONVERGED,
    )
    return variables.plane(found._replace(reason=None), p.noise), found.reason


def _near(value: float, result: xr.Dataset) -> Mood:
    if "quality_posterior" not in result or not np.isfinite(value):
        return ""
    return "good" if value > float(result.quality_posterior) - 2 else "warn"
