"""Statements of the paper and theorems, measured, and the paper's numbers beside ours."""

from typing import Any

import numpy as np

from lab.studies.contract import PREDICTED, Claim, Reported, one_run
from lab.studies.vocabulary import Measure, number, of

CIFAR: dict[str, Any] = {"spectrum": "law"}
_PAPER = "Das et al., "
_HURTS = _PAPER + "experiments: any deviation hurts"


def _least(family: str, sampler: str) -> Measure:
    """Value of a parameter with the minimum KL."""

    def measured(run):
        own = run.sel(family=family)
        return own.family_value.values[own.family_kl.sel(sampler_name=sampler).values.argmin()]

    return of(measured, **CIFAR)


def _even(run) -> float:
    speed = run.speed.sel(schedule="by frequency").values
    return float(np.abs(speed / float(run.distance) - 1).max())


CLAIMS = one_run(
    "no training: exact Gaussian processes",
    (
        Claim(
            "geodesic",
            "The path by frequency has the length of the Fisher distance.",
            number("length"),
            number("distance"),
            "the geodesic of Gaussians",
            "==",
            1e-9,
            True,
        ),
        Claim(
            "even", "The path by frequency has constant speed.", of(_even), 0.0, "the geodesic of Gaussians", "==", 1e-9
        ),
        Claim(
            "shortest",
            "No compared deviation is shorter.",
            of(lambda run: float(run.family_length.min()) / float(run.distance)),
            1 - 1e-9,
            "the geodesic of Gaussians",
            ">=",
        ),
        Claim(
            "one-line",
            "Paths with one schedule for all frequencies have the same length, whatever their betas.",
            number("fisher_length", {"schedule": "cosine"}),
            number("fisher_length", {"schedule": "linear"}),
            "a S + (1 - a) I lies on the straight line from S to I",
            "==",
            1e-3,
            True,
        ),
        Claim(
            "best-gamma",
            "With the paper's variance KL is minimal at γ = 1.",
            _least("gamma", "large"),
            1.0,
            _HURTS,
            "==",
            1e-9,
        ),
        Claim(
            "best-warp",
            "With the paper's variance KL is minimal at p = 1.",
            _least("warp", "large"),
            1.0,
            _HURTS,
            "==",
            1e-9,
        ),
        Claim(
            "best-gamma-ddim",
            "With DDIM KL is minimal at γ = 1.",
            _least("gamma", "ddim"),
            1.0,
            _HURTS,
            "==",
            1e-9,
            should_hold=False,
            note="with DDIM the minimum is slightly off γ = 1; the paper's sampler adds the large variance",
        ),
        Claim(
            "best-gamma-small",
            "With the small variance KL is minimal at γ = 1.",
            _least("gamma", "small"),
            1.0,
            _HURTS,
            "==",
            1e-9,
            should_hold=False,
            note="with the small variance the minimum is well above γ = 1",
        ),
        Claim(
            "below-cosine",
            "With the paper's sampler KL is lower than with the cosine schedule, on the spectrum of CIFAR-10.",
            number("kl", {"schedule": "by frequency", "sampler_name": "large"}, **CIFAR),
            number("kl", {"schedule": "cosine", "sampler_name": "large"}, **CIFAR),
            _PAPER + "table of FID, the order",
            "<",
        ),
        Claim(
            "squared",
            "With twice as many steps KL is a quarter.",
            number("budget_kl", {"schedule": "by frequency", "sampler_name": "large", "budget": 50})
            / number("budget_kl", {"schedule": "by frequency", "sampler_name": "large", "budget": 100}),
            4.0,
            "second order in 1/T",
            "==",
            0.5,
        ),
        Claim(
            "wasserstein",
            "With DDIM, W2 squared is not larger for the shortest path than for the linear schedule.",
            number("w2sq", {"schedule": "by frequency", "sampler_name": "ddim"}),
            number("w2sq", {"schedule": "linear", "sampler_name": "ddim"}),
            _HURTS,
            "<=",
            should_hold=False,
            note="W2 gives weight to strong frequencies, which the linear schedule treats in smaller steps",
        ),
        Claim(
            "flat",
            "For slowly decreasing power, m = 3/4, KL is not larger for the shortest path than for the cosine schedule.",
            number("law_kl", {"schedule": "by frequency", "sampler_name": "large", "exponent": 0.75}),
            number("law_kl", {"schedule": "cosine", "sampler_name": "large", "exponent": 0.75}),
            _HURTS,
            "<=",
            should_hold=False,
            note="such data are nearly white, and for white data the large variance is exact",
        ),
        Claim(
            "drawn",
            "Images drawn in 10 steps are closer to held-out images than with the cosine schedule.",
            number("sliced"),
            number("sliced_cosine"),
            _PAPER + "fewer steps are needed",
            "<=",
        ),
    ),
)

_THEIRS = "CIFAR-10, trained U-Net"
_OURS = "Gaussian data with the power of photograph tiles, exact denoiser, 100 steps"
_DISTANCE = "Distance of the samples from the data, "


def _kl(name: str, schedule: str, fid: str, note: str = "") -> Reported:
    """FID in the paper, KL here."""
    return Reported(
        _DISTANCE + name,
        "table of FID",
        fid,
        _THEIRS,
        f"KL; {_OURS}",
        checked=False,
        note=note,
        ours=lambda runs: float(runs().kl.sel(schedule=schedule, sampler_name="large")),
    )


REPORTED = (
    _kl(
        "shortest path",
        "by frequency",
        "FID 2.74",
        "FID and KL have different units, so only the order of the schedules can be compared.",
    ),
    _kl("cosine schedule", "cosine", "FID 2.90 (improved DDPM)"),
    _kl("linear schedule", "linear", "FID 3.17 (DDPM)"),
    _kl("blurring", "blurring", "FID 3.17 (blurring diffusion)"),
    Reported(
        "Fisher length of the shortest path", "geodesic of Gaussians", PREDICTED, "theorem", _OURS, claim="geodesic"
    ),
    Reported(
        "Exponent γ of the lowest KL, variance of the paper",
        "any deviation is worse",
        PREDICTED,
        "experiment of the paper",
        _OURS,
        claim="best-gamma",
    ),
    Reported(
        "Exponent γ of the lowest KL, DDIM",
        "any deviation is worse",
        PREDICTED,
        "experiment of the paper",
        _OURS,
        claim="best-gamma-ddim",
        note="With DDIM the optimum is slightly off the shortest path.",
    ),
)
