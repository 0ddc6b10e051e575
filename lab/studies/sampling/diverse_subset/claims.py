"""Theorems on k-DPPs, measured, and quantities of the paper beside ours."""

import itertools
from typing import Any

import numpy as np

from lab.studies.contract import PREDICTED, Claim, Reported, one_run
from lab.studies.vocabulary import number, of

_MOONS: dict[str, Any] = {"data": "two-moons", "length": 0.3, "n": 300}
_FEW: dict[str, Any] = {"data": "gaussian-points", "n": 9, "k": 3, "length": 0.7, "draws": 10_000}


def _by_enumeration(run: Any) -> tuple[np.ndarray, float]:
    """P(row in S) and the expected log-determinant over all subsets, from the determinants themselves."""
    x, k = run.position.values, run.sizes["chosen"]
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    kernel = np.exp(-((apart / (0.7 * float(run["median"]))) ** 2) / 2)
    chance, mean, total = np.zeros(len(x)), 0.0, 0.0
    for s in itertools.combinations(range(len(x)), k):
        d = np.linalg.det(kernel[np.ix_(s, s)])
        chance[list(s)] += d
        mean += d * np.log(d)
        total += d
    return chance / total, mean / total


def _marginal_error(run: Any) -> float:
    return np.abs(run.probability.values - _by_enumeration(run)[0]).max()


def _modes_met(run: Any) -> int:
    """Gaussians of the ring met by the first draw of the k-DPP."""
    at = run.position.values[run.indices.sel(way="k-DPP").values]
    return len(np.unique(np.round(np.arctan2(at[:, 1], at[:, 0]) / (np.pi / 4)).astype(int) % 8))


CLAIMS = one_run(
    "no training: means over many draws",
    (
        Claim(
            "marginals",
            "For nine rows, the inclusion probabilities equal sums over all 84 subsets.",
            of(_marginal_error, **_FEW),
            0.0,
            "enumeration",
            "<=",
            1e-10,
        ),
        Claim(
            "volume",
            "For nine rows, the mean log-determinant of the chosen three equals its expectation.",
            number("volume", {"way": "k-DPP"}, reduce=np.mean, **_FEW),
            of(lambda run: _by_enumeration(run)[1], **_FEW),
            "enumeration, 10,000 draws",
            "==",
            0.06,
        ),
        Claim(
            "sum",
            "The inclusion probabilities sum to k.",
            number("probability", reduce=np.sum),
            20.0,
            "linearity",
            "==",
            1e-8,
        ),
        Claim(
            "sums",
            "On two moons the error of sums is at most two thirds of the error of random rows.",
            number("error", **_MOONS),
            2 / 3 * number("error_random", **_MOONS),
            "repulsion lowers the variance",
            "<=",
        ),
        Claim(
            "cover",
            "On two moons the mean distance to the nearest chosen row is at least 10% smaller than with random rows.",
            number("cover", **_MOONS),
            0.9 * number("cover_random", **_MOONS),
            "repulsion spreads the chosen rows",
            "<=",
        ),
        Claim(
            "chance",
            "With a very short length-scale every row has the inclusion probability k/N.",
            number("probability", reduce=np.ptp, **{**_MOONS, "length": 1e-4}),
            0.0,
            "L is the identity",
            "<=",
            1e-6,
        ),
        Claim(
            "digits",
            "Twenty digits chosen by the k-DPP contain more of the ten classes than random ones.",
            number("classes_found"),
            number("classes_random"),
            "classes are separated",
            ">=",
            quick=False,
        ),
        Claim(
            "eight",
            "Eight rows chosen from eight Gaussians meet more of them than random rows, which meet 5.25 on average.",
            of(_modes_met, data="eight-gaussians", k=8, length=0.3, draws=2, n=300),
            8 * (1 - (7 / 8) ** 8),
            "random rows: 8 (1 - (7/8)^8)",
            ">",
            quick=False,
            seeds=range(40),
        ),
    ),
)

_THEIRS = "definition of the k-DPP, any kernel"
_OURS = "600 handwritten digits, k = 20, 200 draws"
_EXTENT = "experiments of the paper"

REPORTED = (
    Reported("Sum of the inclusion probabilities", "k-DPP, cardinality k", PREDICTED, _THEIRS, _OURS, claim="sum"),
    Reported(
        "Mean log-determinant of the chosen rows",
        "k-DPP, P(S) ∝ det(L_S)",
        PREDICTED,
        _THEIRS,
        "nine rows, k = 3, 10,000 draws; theory by enumeration",
        claim="volume",
    ),
    Reported(
        "Mean distance of a row to the nearest chosen row, k-DPP",
        _EXTENT,
        None,
        "values not available to us",
        _OURS,
        ours="cover",
        unit="median distances",
        note="On these digits the k-DPP and random rows (next line) tie in coverage.",
        holds=lambda runs: abs(float(runs().cover - runs().cover_random)) < 0.01,
    ),
    Reported(
        "Mean distance of a row to the nearest chosen row, random rows",
        _EXTENT,
        None,
        "values not available to us",
        _OURS,
        ours="cover_random",
        unit="median distances",
    ),
    Reported(
        "Classes among 20 chosen rows, k-DPP", _EXTENT, None, "values not available to us", _OURS, ours="classes_found"
    ),
    Reported(
        "Classes among 20 chosen rows, random rows",
        _EXTENT,
        None,
        "values not available to us",
        _OURS,
        ours="classes_random",
    ),
)
