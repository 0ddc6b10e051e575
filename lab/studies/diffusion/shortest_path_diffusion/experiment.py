"""Measure the spectrum, score schedules on Gaussian data, corrupt an image and pairs of pixels, and draw images."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics import Loop, first_failure
from lab.studies.contract import Outputs, Run, out
from lab.studies.diffusion import schedule_comparison
from lab.studies.diffusion.schedule_comparison import SAMPLERS


def _not_much_longer(value: float, result: Any) -> str:
    return "warn" if value > 1.01 * float(result.distance) else "good"


class Experiment(Outputs):
    """Schedules compared on one spectrum; KL and W₂² are distances of a sampler's Gaussian output from the data."""

    distance: Float[Array, ""] = out(
        "Fisher distance", "of the data from white noise: the minimum length of a path", headline=True
    )
    length: Float[Array, ""] = out("length", "of the path of this schedule", headline=True, judge=_not_much_longer)
    length_cosine: Float[Array, ""] = out("length, cosine", "of the path of the cosine schedule", headline=True)
    error: Float[Array, ""] = out("KL", "of the sampler's output, exact for Gaussian data", headline=True)
    error_cosine: Float[Array, ""] = out("KL, cosine", "with the cosine schedule, in as many steps", headline=True)
    sliced: Float[Array, ""] = out("sliced W₂²", "of drawn images from held-out images", headline=True)
    sliced_cosine: Float[Array, ""] = out("sliced W₂², cosine", "with the cosine schedule", headline=True)
    sliced_floor: Float[Array, ""] = out("sliced W₂², known images", "of as many known images", headline=True)
    best_gamma: Float[Array, " sampler_name"] = out("γ", "with the minimum KL among the compared values")
    kl: Float[Array, "schedule sampler_name"] = out("KL", "of the sampler's output")
    w2sq: Float[Array, "schedule sampler_name"] = out("W₂²", "of the sampler's output")
    fisher_length: Float[Array, " schedule"] = out("Fisher length", "of the path to white noise")
    sum_kl: Float[Array, " schedule"] = out("sum of KLs", "of each step from the next")
    family_value: Float[Array, "family place"] = out("value", "of the parameter")
    family_kl: Float[Array, "family place sampler_name"] = out("KL", "per value of one parameter")
    family_length: Float[Array, "family place"] = out("Fisher length", "per value of one parameter")
    law_kl: Float[Array, "exponent schedule sampler_name"] = out("KL", "for power laws with other exponents")
    budget_kl: Float[Array, "budget schedule sampler_name"] = out("KL", "in other numbers of steps")
    abar: Float[Array, "schedule t radius"] = out("signal", "fraction of its power that is left, mean over |f|")
    noise: Float[Array, "schedule t radius"] = out("noise", "power, mean over |f|")
    speed: Float[Array, "schedule t"] = out("Fisher speed", "length per unit of t/T")
    measured: Float[Array, " radius"] = out("power", "of the images, geometric mean over |f|")
    film: Float[Array, "part filmed frame channel y x"] = out("pixel", "signal and noise of the image")
    pairs: Float[Array, "way frame pair axis"] = out("pixel", "two neighboring pixels, minus the mean")
    covariance: Float[Array, "way frame axis other"] = out("covariance", "of two neighboring pixels")
    gone: Float[Array, "way frame"] = out("Fisher length", "up to this time")
    way_length: Float[Array, " way"] = out("Fisher length", "of the path of two pixels")
    images: Float[Array, "schedule example channel y x"] = out("pixel", "of drawn images")
    held_out: Float[Array, "example channel y x"] = out("pixel", "of held-out images")
    sliced_all: Float[Array, " schedule"] = out("sliced W₂²", "of drawn from held-out images")
    nearest: Float[Array, " schedule"] = out("distance to the nearest known image", "root mean square over pixels")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Score schedules on Gaussian data, exactly; draw images with the optimal denoiser of known images."""
    *_, height, width = inputs["train"].shape
    shape, keys = (height, width), schedule_comparison.keys(p.only("seed"))
    bed = schedule_comparison.bed(
        inputs["train"],
        inputs["held"],
        inputs["images"],
        inputs.get("power"),
        jnp.asarray(p.image),
        p.basis,
        p.center,
        p.spectrum,
        (p.c1, p.c2, p.m),
        p.floor,
        p.known,
    )
    away = schedule_comparison.Deviation(p.gamma, p.warp, p.blend)
    law = (p.c1, p.c2) if p.spectrum == "law" else (bed.law.c1, bed.law.c2)
    scored = schedule_comparison.scores(bed, away, law, p.steps, p.grid, loop)
    drawn = schedule_comparison.draws(bed, away, shape, p.few, p.grid, p.drawn, p.sampler, keys[2], loop)
    moved = schedule_comparison.pairs(inputs["spread"], inputs["two"], keys[1])
    outputs = Experiment(
        **schedule_comparison.curves(bed, away, schedule_comparison.rings(shape)),
        **schedule_comparison.told(scored, drawn, list(SAMPLERS).index(p.sampler)),
        **schedule_comparison.film(bed, away, shape, keys[0]),
        pairs=moved.points,
        covariance=moved.covariance,
        gone=moved.distance,
        way_length=moved.length,
    )
    return Run(outputs, first_failure(scored.reason, drawn.reason))
