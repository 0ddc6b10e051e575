"""Values of independent computations of the designs: frequencies of stable ones, eigenvalues, errors, thinned designs."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, one_run
from lab.studies.sampling.dpp_least_squares.claims import RUNGE, TABLE, thin
from lab.studies.vocabulary import Measure, number, of

_BELL: dict[str, Any] = RUNGE | {"data": "bell", "family": "hermite"}
_CORNER: dict[str, Any] = RUNGE | {"data": "distance", "m": 20}
_NAMES = {
    "iid": "independent points of μ",
    "iid-optimal": "independent Christoffel points",
    "volume": "volume sampling of μ",
    "volume-optimal": "volume sampling of the Christoffel law",
    "dpp": "repeated DPPs",
}
_STABLE = (
    (
        "legendre",
        RUNGE,
        "Legendre, m = 10",
        {
            1: {"iid-optimal": 0.0, "dpp": 0.004},
            2: {"iid-optimal": 0.003, "volume-optimal": 0.018, "dpp": 0.163},
            3: {"iid-optimal": 0.021, "volume-optimal": 0.051, "dpp": 0.460},
            5: {"iid": 0.073, "iid-optimal": 0.163, "volume": 0.282, "volume-optimal": 0.261, "dpp": 0.875},
            10: {"iid": 0.346, "iid-optimal": 0.674, "volume-optimal": 0.749, "dpp": 0.999},
        },
    ),
    ("hermite", _BELL, "Hermite, m = 10", {5: {"dpp": 0.839}}),
    (
        "corner",
        _CORNER,
        "Legendre, m = 20",
        {
            5: {"iid-optimal": 0.012, "volume-optimal": 0.040, "dpp": 0.722},
            10: {"iid-optimal": 0.417, "volume-optimal": 0.475, "dpp": 0.992},
        },
    ),
)
"""P(lambda_min >= 1/2) by n/m and design."""
_MEDIANS = {
    1: {"dpp": (0.073, 4.5)},
    2: {"iid-optimal": (0.056, 3.9), "volume-optimal": (0.229, 1.84), "dpp": (0.378, 1.45)},
    3: {"iid-optimal": (0.222, 1.69), "volume-optimal": (0.323, 1.40), "dpp": (0.488, 1.22)},
    5: {
        "iid": (0.17, 1.6),
        "iid-optimal": (0.38, 1.24),
        "volume": (0.43, 1.19),
        "volume-optimal": (0.42, 1.21),
        "dpp": (0.608, 1.11),
    },
    10: {"iid": (0.41, 1.14), "iid-optimal": (0.55, 1.10), "volume-optimal": (0.57, 1.10), "dpp": (0.72, 1.05)},
}
"""Medians of lambda_min and of the error ratio, for Legendre, m = 10."""
_MEANS = (
    ("hermite", _BELL, "Hermite", 5, {"iid-optimal": 1.49, "volume": 4.05, "volume-optimal": 1.32, "dpp": 1.16}),
    ("legendre", RUNGE, "Legendre", 5, {"iid-optimal": 1.43, "volume": 1.34, "volume-optimal": 1.32, "dpp": 1.15}),
    ("legendre", RUNGE, "Legendre", 10, {"iid-optimal": 1.13, "volume-optimal": 1.12, "dpp": 1.07}),
)


def _design(name: str, design: str, r: int, **parameters: Any) -> Measure:
    return number(name, {"design": design, "n_over_m": r}, **parameters)


def _median(design: str, r: int, **parameters: Any) -> Measure:
    return number("ratio_quantile", {"design": design, "n_over_m": r, "level": 0.5}, **parameters)


def _linear(what: str, **parameters: Any) -> Measure:
    return of(lambda run: getattr(run.linear.sel(design="dpp"), what)(), **parameters)


def _chance(p: float) -> float:
    """Four standard errors of the difference of two frequencies of 2000 draws, or of a few events."""
    return 4 * (2 * max(p * (1 - p), 2e-3) / 2000) ** 0.5


CHECKS = one_run(
    "no training: means over many draws, whose standard error the tolerance covers",
    (
        Claim(
            "corner-best",
            "Of |x| and twenty polynomials the best L2 error is 0.0053541.",
            number("best", **_CORNER),
            0.005354074494932279,
            "adaptive quadrature (SciPy, quad)",
            "==",
            1e-8,
            quick=False,
        ),
        Claim(
            "bell-best",
            "Of the bell and ten Hermite polynomials the best L2 error is 0.0453108.",
            number("best", **_BELL),
            0.045310802894511754,
            "adaptive quadrature (SciPy, quad)",
            "==",
            1e-8,
            quick=False,
        ),
        *(
            Claim(
                f"sum-{family}-{what}",
                f"{family.title()}, m = 5: the {word} of Σ x² over a DPP is {value:g}.",
                _linear(what, family=family, m=5, replicates=10_000),
                value,
                source,
                "==",
                tolerance,
                quick=False,
            )
            for family, what, word, value, tolerance, source in (
                ("legendre", "mean", "mean", 2.4747475, 4 * (0.1277 / 1e4) ** 0.5, "integrals of the kernel"),
                ("legendre", "var", "variance", 0.1277062, 0.01, "integrals of the kernel"),
                ("hermite", "mean", "mean", 25.0, 4 * (50 / 1e4) ** 0.5, "m², Gaussian unitary ensemble"),
                ("hermite", "var", "variance", 50.0, 4.0, "2 m², Gaussian unitary ensemble"),
            )
        ),
        *(
            Claim(
                f"stable-{key}-{r}-{design}",
                f"{title}: at n = {r} m, {_NAMES[design]} are stable with probability {value:g}.",
                _design("probability", design, r, **parameters),
                value,
                TABLE,
                "==",
                _chance(value),
                quick=False,
            )
            for key, parameters, title, rows in _STABLE
            for r, row in rows.items()
            for design, value in row.items()
        ),
        *(
            Claim(
                f"{what}-{r}-{design}",
                f"Legendre, m = 10: at n = {r} m the median {word} of {_NAMES[design]} is {values[k]:g}.",
                measure(design, r),
                values[k],
                TABLE,
                "==",
                (0.025 if k == 0 else 0.15 * (values[k] - 1) + 0.01),
                quick=False,
            )
            for r, row in _MEDIANS.items()
            for design, values in row.items()
            for k, what, word, measure in (
                (0, "lambda", "λmin", lambda design, r: _design("lambda_median", design, r, **RUNGE)),
                (1, "error", "error ratio", lambda design, r: _median(design, r, **RUNGE)),
            )
        ),
        *(
            Claim(
                f"mean-{key}-{r}-{design}",
                f"{title}: at n = {r} m the mean error ratio of {_NAMES[design]} is {value:g}.",
                _design("ratio_mean", design, r, **parameters),
                value,
                f"{TABLE}; means have heavy tails",
                "==",
                0.2 * (value - 1) + 0.01,
                quick=False,
            )
            for key, parameters, title, r, row in _MEANS
            for design, value in row.items()
        ),
        Claim(
            "thin-error",
            "The median error ratio of thinned stable designs is near 1.5.",
            thin("thin_ratio", np.nanmedian),
            1.5,
            "independent computation, 25 designs",
            "==",
            0.3,
            quick=False,
        ),
        Claim(
            "thin-iid",
            "From 10 m independent points, thinning leaves 11.4.",
            thin("n_used", oversampling=10, sampler="iid-optimal"),
            11.4,
            "independent computation, 25 designs",
            "==",
            0.6,
            quick=False,
        ),
        Claim(
            "thin-points",
            "Thinned stable designs of 3 m points keep 11.0 of 30 on average.",
            thin("n_used"),
            11.0,
            "independent computation, 25 designs",
            "==",
            0.6,
            quick=False,
        ),
    ),
)
