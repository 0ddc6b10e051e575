"""Statements of the paper and of mathematics, measured, and the paper's numbers beside ours."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics.statistics import mean_interval
from lab.studies.contract import Claim, Measured, Reported, Runs, one_run
from lab.studies.vocabulary import number, of


def _ahead(other: dict[str, Any], **parameters: Any) -> Callable[[Runs], Measured]:
    """Mean PSNR of a sample, less that of runs with other parameters on the same test images."""

    def measure(runs: Runs) -> Measured:
        each = [runs(**values).psnr.mean("sample") for values in (parameters, other)]
        found = mean_interval((each[0] - each[1]).values)
        return Measured(found.mean, found.low, found.high)

    return measure


def _gain(run: xr.Dataset) -> Measured:
    return Measured(float(run.dta_gain), *(float(run.dta_gain + side * run.dta_gain_half) for side in (-1, 1)))


CLAIMS = one_run(
    "no training: linear denoisers, means over test images",
    (
        Claim(
            "no-spread",
            "Samples do not differ at observed pixels.",
            number("spread_seen"),
            0.0,
            "hard data consistency: Aμ = y",
            "<=",
            1e-12,
        ),
        Claim(
            "crw",
            "The calibrated weight raises PSNR by at least 2 dB over a constant 0.5, at t_min = 0.18.",
            _ahead({"crw": False, "c": 0.5}),
            2.0,
            "the paper's ablation of the weight, in direction",
            ">=",
        ),
        Claim(
            "constant",
            "A constant weight 0.5 exceeds 2t below t = 0.25: with t_min = 0.02 PSNR is below 0 dB.",
            number("psnr_one", crw=False, c=0.5, t_min=0.02),
            0.0,
            "linear stability: λ(t) < 2t",
            "<=",
        ),
        Claim(
            "mean-of-answers",
            "Averaging samples raises PSNR by at least 0.5 dB.",
            number("psnr_average") - number("psnr_one"),
            0.5,
            "the paper's ablation: averages of 8 samples",
            ">=",
        ),
        Claim(
            "no-better",
            "The PSNR of the sample mean does not exceed that of the posterior mean.",
            number("psnr_average", c=1.0),
            number("psnr_exact"),
            "the posterior mean is the MMSE estimate",
            "<=",
            0.3,
        ),
        Claim(
            "hdc",
            "Hard data consistency raises PSNR by at least 0.3 dB over a single gradient step.",
            _ahead({"hdc": "one step"}),
            0.3,
            "the paper's ablation of the data step, in direction",
            ">=",
        ),
        Claim(
            "dta-memory",
            "Under the optimal denoiser of the training images DTA raises PSNR by at least 0.5 dB.",
            lambda runs: _gain(runs(prior="optimal", tests=32)),
            0.5,
            "the paper's ablation of DTA, in direction",
            ">=",
        ),
        Claim(
            "paper-order",
            "Removing DTA lowers PSNR by more than removing HDC.",
            number("dta_gain"),
            number("psnr_one") - number("psnr_one", hdc="one step"),
            "the paper's ablation",
            ">=",
            should_hold=False,
            note="A Gaussian prior has one mode, so DTA has no choice of a mode to preserve.",
        ),
        Claim(
            "plane-modes",
            "In the plane the fraction of samples in each mode differs from the posterior by at most 0.1.",
            of(lambda run: np.abs(run.plane_share.sel(law="with DTA") - run.plane_share.sel(law="posterior")).max()),
            0.0,
            "the exact posterior of a mixture",
            "<=",
            0.1,
        ),
        Claim(
            "plane-dta",
            "In the plane DTA brings samples closer to the posterior.",
            number("plane_distance"),
            number("plane_distance_fresh"),
            "the motivation of DTA: likely samples",
            "<=",
            should_hold=False,
            note="DTA preserves trajectories, also undecided ones: some samples remain between the modes.",
        ),
    ),
)

_FACES = "FFHQ, Stable Diffusion 3, 50 evaluations"
_OURS = "MNIST at 14 × 14, half of the pixels observed, Wiener denoiser, 50 steps, 16 samples of 8 images"


def _ablation(component: str, setting: str = _OURS, **more: Any) -> Reported:
    where = "ablation, super-resolution ×12"
    return Reported(f"PSNR gained by {component}", where, None, _FACES, setting, unit="dB", **more)


REPORTED = (
    _ablation("averaging samples", claim="mean-of-answers"),
    _ablation(
        "the trajectory adjustment (DTA)",
        ours="dta_gain",
        note="In the paper removing DTA costs most. Here it changes little, because a Gaussian prior has one mode; with the "
        "denoiser of the training images it helps (next row).",
        holds=lambda runs: abs(float(runs().dta_gain)) < 0.3,
    ),
    _ablation(
        "DTA with the optimal denoiser of the training images", _OURS.replace("Wiener", "optimal"), claim="dta-memory"
    ),
    _ablation("hard data consistency (HDC)", claim="hdc"),
    _ablation("the calibrated weight (CRW)", f"{_OURS}; against a constant 0.5", claim="crw"),
)
