"""Claims of the paper, measured, and its numbers beside ours."""

from typing import Any

import numpy as np

from lab.sampling.least_squares import expected_ratio, failure_bound
from lab.studies.contract import PREDICTED, Claim, Measured, Reported, one_run
from lab.studies.vocabulary import Measure, number, of

RUNGE: dict[str, Any] = {"oversampling": 5, "replicates": 2000}
TABLE = "independent computation, 2000 draws"


def _order(run: Any) -> Any:
    """Minimum gain of the mean of lambda_min from independent points to volume sampling to DPPs, at n = 3 m."""
    means = run.lambda_min.sel(n_over_m=3).mean("draw")
    return np.diff(means.sel(design=["iid-optimal", "volume-optimal", "dpp"])).min()


def _chernoff(run: Any) -> Any:
    """Maximum over n/m of the failure frequency of independent Christoffel points minus its bound."""
    failed = 1 - run.probability.sel(design="iid-optimal")
    bound = np.array([float(failure_bound(4, 4 * int(r), 0.9)) for r in run.n_over_m])
    return (failed.values - bound).max()


def _conditioned(run: Any) -> float:
    """Maximum of the mean error of stable designs minus its bound, over the designs with E G = I."""
    excess = []
    for design in ("iid-optimal", "volume-optimal", "dpp"):
        for r in (3, 5, 10):
            here = run.sel(design=design, n_over_m=r)
            if float(here.probability) > 0:
                excess.append(float(here.ratio_stable) - float(expected_ratio(10 * r, 0.5, float(here.probability))))
    return max(excess)


def thin(name: str, reduce: Any = np.nanmean, **parameters: Any) -> Measure:
    return number(name, reduce=reduce, thinned=25, **parameters)


CLAIMS = one_run(
    "no training: means over many draws, whose standard error the tolerance covers",
    (
        Claim(
            "best-runge",
            "Of Runge's function and ten polynomials, the best L2 error is 0.0587078.",
            number("best"),
            0.05870784793294225,
            "adaptive quadrature (SciPy, quad)",
            "==",
            1e-9,
        ),
        Claim(
            "order",
            "At n = 3 m, the mean λmin rises from independent points to volume sampling to DPPs, each time by at least 0.03.",
            of(_order),
            0.03,
            "independent computation",
            ">=",
        ),
        Claim(
            "half-stable",
            "At n = 3 m, nearly half of DPP designs are stable.",
            number("stable"),
            0.460,
            TABLE,
            "==",
            0.1,
        ),
        Claim(
            "few-stable",
            "At n = 3 m, 2% of i.i.d. Christoffel designs are stable.",
            number("stable_iid"),
            0.021,
            TABLE,
            "==",
            0.03,
        ),
        Claim(
            "haar-strata",
            "DPP designs for piecewise constant functions have G = I: the minimum of λmin is 1.",
            number("lambda_min", {"design": "dpp"}, reduce=np.min, data="jump", family="haar", m=8, replicates=100),
            1.0,
            "one point in each cell",
            "==",
            1e-10,
        ),
        Claim(
            "chernoff",
            "Independent Christoffel points are stable at least as often as the matrix Chernoff bound guarantees.",
            of(_chernoff, delta=0.9, m=4),
            0.0,
            "Tropp 2012, with K = m",
            "<=",
            0.0,
        ),
        Claim(
            "conditioned",
            "The mean error ratio of stable designs is below 1 + 1 / ((1 - δ) P).",
            of(_conditioned, **RUNGE),
            0.0,
            "a bound for designs with E G = I",
            "<=",
            quick=False,
        ),
        Claim(
            "exact",
            "Every DPP design recovers a cubic, to 1e-20 in squared error.",
            of(lambda run: run.err2.sel(design="dpp", n_over_m=slice(2, None)).max(), data="cubic", m=6),
            0.0,
            "exactness of least squares in the space",
            "<=",
            1e-20,
            quick=False,
        ),
        Claim(
            "thin-estimate",
            "The median error estimate of thinned designs is at least ten times the true squared error.",
            thin("thin_estimate", np.nanmedian),
            10.0,
            "cross-validation with n near m",
            ">=",
            quick=False,
        ),
        Claim(
            "whole-estimate",
            "The median error estimate of whole designs is within a factor of 2 of the true squared error.",
            abs(number("whole_estimate", reduce=lambda values: np.log2(np.nanmedian(values)), thinned=25)),
            1.0,
            "cross-validation over independent repetitions",
            "<=",
            quick=False,
        ),
    ),
)

_THEIRS = "polynomials, repeated designs; the figure's values were not readable"
_OURS = "Legendre polynomials, m = 10, n = 30, δ = 1/2, Runge's function, 500 designs"


def _stable(design):
    def measure(runs):
        result = runs()
        at = {"design": design, "n_over_m": 3}
        value, error = 100 * float(result.probability.sel(at)), 196 * float(result.probability_error.sel(at))
        return Measured(value, value - error, value + error)

    return measure


def _row(quantity: str, ours: Any, where: str = "figures of the error", **rest: Any) -> Reported:
    return Reported(quantity, where, None, _THEIRS, _OURS, ours=ours, **rest)


def _share(quantity: str, design: str, **rest: Any) -> Reported:
    return _row(
        f"Stable designs, {quantity}", _stable(design), "figures of the stability probability", unit="%", **rest
    )


REPORTED = (
    _share(
        "repeated DPP",
        "dpp",
        note="As in the paper, repeated DPPs are stable more often than the other designs with as many points.",
        holds=lambda runs: _stable("volume-optimal")(runs).high < _stable("dpp")(runs).low,
    ),
    _share("volume sampling of the Christoffel distribution", "volume-optimal"),
    _share("independent Christoffel points", "iid-optimal"),
    _row("Median squared error over the best, repeated DPP", "ratio_here"),
    _row("Median squared error over the best, independent Christoffel points", "ratio_iid"),
    Reported(
        "λmin of the Gram matrix of a DPP design of m steps",
        "projection DPP, n = m",
        PREDICTED,
        "one point in each cell, so G = I",
        "piecewise constant functions",
        claim="haar-strata",
    ),
)
