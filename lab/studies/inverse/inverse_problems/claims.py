"""Theorems and statements of the solvers' papers, measured, and the survey's quantities beside ours."""

from typing import Any

import numpy as np

from lab.studies.contract import PREDICTED, Claim, Reported, one_run
from lab.studies.vocabulary import number

MEMORY: dict[str, Any] = {"prior": "optimal", "noise": 0.5}


def mean(variable: str, method: str, **parameters: Any) -> Any:
    """Mean of a variable over test images."""
    return number(variable, {"solver": method}, reduce=np.mean, **parameters)


CLAIMS = one_run(
    "no training: means over test images and samples",
    (
        Claim(
            "plug-and-play",
            "PnP-ADMM with a Wiener filter converges to the posterior mean.",
            mean("to_mean", "PnP-ADMM"),
            0.0,
            "theorem: a Wiener filter is the proximal operator of its Gaussian",
            "<=",
            1e-3,
        ),
        Claim(
            "linear",
            "The linear estimate with minimum mean squared error is the posterior mean.",
            mean("to_mean", "linear"),
            0.0,
            "theorem: for a Gaussian prior, by its closed form",
            "<=",
            1e-9,
        ),
        Claim(
            "exact-spread",
            "The spread of exact samples equals the posterior spread.",
            mean("spread", "exact sample"),
            number("spread_true"),
            "definition: they are drawn from the posterior",
            "==",
            0.05,
            True,
        ),
        Claim(
            "exact-mean",
            "The mean of 16 exact samples is a quarter of the posterior spread from the posterior mean.",
            mean("to_mean", "exact sample"),
            0.25 * number("spread_true"),
            "theorem: standard error of a mean",
            "==",
            0.15,
            True,
        ),
        Claim(
            "not-below",
            "The PSNR of no method's mean exceeds the PSNR of the posterior mean by more than 0.5 dB.",
            number("psnr_best"),
            number("psnr_bound") + 0.5,
            "theorem: the posterior mean minimizes the expected squared error",
            "<=",
        ),
        Claim(
            "too-sure",
            "The spread of RED-diff is below 0.7 of the posterior spread.",
            number("spread_reddiff"),
            0.7 * number("spread_true"),
            "Mardani et al. 2024: the variational objective seeks a mode",
            "<=",
        ),
        Claim(
            "sampler",
            "The spread of PiGDM is within a quarter of the posterior spread.",
            mean("spread", "PiGDM"),
            number("spread_true"),
            "Song et al. 2023: approximate posterior sampling",
            "==",
            0.25,
            True,
        ),
        Claim(
            "covers",
            "The truth is in the 90% interval of 16 exact samples for at least 80% of the pixels.",
            number("coverage_exact"),
            0.8,
            "theorem: order statistics of 16 samples cover 85%",
            ">=",
        ),
        Claim(
            "variation",
            "The PSNR of total variation, which uses no training images, is at least 2 dB below other methods.",
            number("psnr_variation"),
            number("psnr_best") + (-2.0),
            "Rudin, Osher, Fatemi 1992: its prior knows only differences",
            "<=",
        ),
        Claim(
            "copies",
            "Under the distribution of the training images, exact samples are training images.",
            number("nearest_exact", **MEMORY),
            0.0,
            "theorem: the posterior is supported on the training images",
            "<=",
            1e-6,
            quick=False,
        ),
        Claim(
            "generalises",
            "PSNR of the posterior mean is at least 1 dB lower under the training images than under the Gaussian.",
            number("psnr_bound", prior="optimal"),
            number("psnr_bound") + (-1.0),
            "theorem: a mean of training images cannot represent test images",
            "<=",
            quick=False,
        ),
    ),
)

_SURVEY = "survey, no experiments of its own"
_OURS = "MNIST at 14 × 14, half of the pixels observed, noise 0.1, Wiener prior, 8 images, 16 samples"


def _here(quantity: str, where: str, ours: str, **more: Any) -> Reported:
    """A row without a number in the survey."""
    return Reported(quantity, where, None, _SURVEY, _OURS, ours=ours, **more)


REPORTED = (
    Reported(
        "Spread of exact samples",
        "posterior sampling",
        PREDICTED,
        "posterior of a Gaussian prior",
        _OURS,
        claim="exact-spread",
    ),
    Reported(
        "Distance of the mean of 16 exact samples from the posterior mean",
        "posterior sampling",
        PREDICTED,
        "a quarter of the posterior spread",
        _OURS,
        claim="exact-mean",
    ),
    _here(
        "Spread of DPS",
        "posterior sampling by approximate guidance",
        "spread_dps",
        note="The first row has the posterior spread of an exact sampler: DPS is too wide and RED-diff too narrow.",
        holds=lambda runs: bool(runs().spread_reddiff < runs().spread_true < runs().spread_dps),
    ),
    _here("Spread of RED-diff", "variational methods", "spread_reddiff"),
    _here("PSNR of the posterior mean", "minimum mean squared error", "psnr_bound", unit="dB"),
    _here("PSNR of the best method", "comparison of methods", "psnr_best", unit="dB"),
)
