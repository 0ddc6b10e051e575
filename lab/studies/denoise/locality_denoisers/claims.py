"""Statements of the paper and theorems, measured, and the paper's numbers beside ours."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics.statistics import mean_interval
from lab.studies.contract import ONLY_HERE, Claim, Measured, Reported, Runs, one_run
from lab.studies.vocabulary import number, of

LETTER = {"sigma": 4.0, "strength": 8.0}  # c > σ > √λ: the pattern exceeds everything else that passes
FULL = {"pool": 1, "train": 4000, "row": 14, "column": 14}
TABLE: dict[str, Any] = {**FULL, "networks": "U-Net", "train_steps": 1200, "tests": 64, "samples": 1}
ROW: dict[str, Any] = {"normalize": "row", "theta": 0.005}
PLANTED: dict[str, Any] = {"plant": True, **LETTER, "row": 7, "column": 5}
ALL: dict[str, Any] = {"data": "digit-images", "train": 1400, "networks": "all", "samples": 1, "plant": True}
ALL |= {**LETTER, "row": 3, "column": 6}
TRAINED = "one training of minutes; five exceed the time of a check"
_LOCAL, _WIENER, _OPTIMAL = "PCA locality", "Wiener", "optimal"
_WIDE: dict[str, Any] = {"data": "natural-patches", "row": 8, "column": 8, "train": 2000}


def _excess(run: xr.Dataset) -> float:
    """The largest excess of the error of PCA locality over the Wiener filter's at two levels."""
    error = run.mse_clean.mean("test").sel(level=[0.342, 0.724], method="nearest")
    return (error.sel(denoiser=_LOCAL) - error.sel(denoiser=_WIENER)).max()


def ahead(sigma: float | None, **parameters: Any) -> Callable[[Runs], Measured]:
    """Mean r² of PCA locality minus the Wiener filter's on the same images, at a level or over all."""

    def measure(runs: Runs) -> Measured:
        r2 = runs(**parameters).r2_net
        r2 = r2.mean("level") if sigma is None else r2.sel(level=sigma, method="nearest")
        found = mean_interval(r2.sel(denoiser=_LOCAL) - r2.sel(denoiser=_WIENER))
        return Measured(found.mean, found.low, found.high)

    return measure


def shown(name: str, **parameters: Any) -> Callable[[Runs], float]:
    """The smallest correlation of a planted pattern with the maps of single pixels on it."""
    return number("pattern_rows", {"denoiser": name}, reduce=np.nanmin, **parameters)


CLAIMS = one_run(
    "no training: closed-form denoisers on given images",
    (
        Claim(
            "copies",
            "Samples of the optimal denoiser are training images.",
            of(lambda run: run.nearest_distance.sel(denoiser=_OPTIMAL).max()),
            0.01,
            "the paper, section 3",
            "<=",
        ),
        Claim(
            "no-copies",
            "Samples of PCA locality are not training images: their distance is at least a tenth of a test image's.",
            of(lambda run: run.nearest_distance.sel(denoiser=_LOCAL).min()),
            of(lambda run: 0.1 * run.test_distance.mean()),
            "the paper, figures of samples",
            ">=",
        ),
        Claim(
            "locality-wins",
            "At σ of .34 and .72 the error of PCA locality is below the Wiener filter's.",
            of(_excess),
            0.0,
            "the paper's order: PCA locality first, the Wiener filter second",
            "<=",
        ),
        Claim(
            "width",
            "On patches of photographs the Wiener filter's map covers at least three times more pixels at σ = 0.6 than at "
            "0.2.",
            number("field_pixels", **_WIDE, sigma=0.6),
            3 * number("field_pixels", **_WIDE, sigma=0.2),
            "theorem: the width is proportional to σ where power falls as 1/f²",
            ">=",
            quick=False,
        ),
        Claim(
            "ahead-1.24",
            "The paper's mask is ahead of the Wiener filter by .03 in r² with a U-Net at σ = 1.24.",
            ahead(1.24, **TABLE, **ROW),
            0.03,
            "the paper's order of r² with a trained U-Net",
            ">=",
            quick=False,
            one_run=TRAINED,
        ),
        *(
            Claim(
                f"planted-field-{name}",
                f"The {method} map of any pixel on a planted letter has a correlation of at least .9 with the letter.",
                shown(method, **chosen),
                0.9,
                source,
                ">=",
                quick=chosen is PLANTED,
                one_run="" if chosen is PLANTED else TRAINED,
            )
            for name, method, chosen, source in (
                ("wiener", _WIENER, PLANTED, "theorem: W' - W is a multiple of u uᵀ, and u of P at high noise"),
                ("locality", _LOCAL, PLANTED, "the paper, figure on planted patterns"),
                ("u-net", "U-Net", ALL, "the paper, figure on planted patterns"),
            )
        ),
        Claim(
            "planted-patch",
            "LS uses only a patch, so its maps have a correlation below .5 with the letter.",
            number("pattern_rows", {"denoiser": "LS"}, reduce=np.nanmax, **PLANTED),
            0.5,
            "theorem: LS is local by construction",
            "<=",
        ),
    ),
)

_WHERE = "agreement with a trained U-Net (first version)"
_OURS = "MNIST reduced to 14 × 14, 500 training images, one test image, σ = 0.5"
_MAP = "Correlation of the sensitivity map with a planted pattern, {}"
_ON = "planted pattern, qualitative figure", "a planted letter, MNIST reduced to 14 × 14"

REPORTED = (
    Reported(
        "r² of the paper's denoiser with a U-Net",
        _WHERE,
        "0.491 (MNIST), 0.589 (CIFAR-10), 0.902 (CelebA-HQ)",
        "final samples",
        "not precomputed",
        note="Choose a U-Net under “networks” to compute it for MNIST (minutes). CelebA-HQ is not included.",
    ),
    Reported(
        "Mean squared error, PCA locality",
        ONLY_HERE,
        None,
        _WHERE,
        _OURS,
        ours="error_locality",
        note="The paper's order holds here: its denoiser first, the Wiener filter second, the optimal denoiser last.",
        holds=lambda runs: bool(runs().error_locality < runs().error_wiener < runs().error_optimal),
    ),
    *(
        Reported(f"Mean squared error, {name}", ONLY_HERE, None, _WHERE, _OURS, ours=ours)
        for name, ours in (("Wiener filter", "error_wiener"), ("optimal denoiser", "error_optimal"))
    ),
    *(
        Reported(_MAP.format(name), "figure on planted patterns", None, *_ON, claim=f"planted-field-{claim}")
        for name, claim in (("PCA locality", "locality"), ("Wiener filter", "wiener"))
    ),
)
