"""Values of independent computations of DPM-OT and of semi-discrete transport."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lab.ot import semidiscrete
from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import Measure, number

_FEW: dict[str, Any] = {"m": 50, "k": 1, "extend": "pair"}
_DIGITS: dict[str, Any] = {"data": "digit-samples", "m": 800, "particles": 300}
_REMEMBERED = _DIGITS | {"score": "points"}
_LINE = [-1.0, 0.2, 0.7, 3.0], [0.1, 0.4, 0.3, 0.2]
_DRAWS = np.random.default_rng(3)
_Y = _DRAWS.uniform(0.1, 0.9, (12, 2))
_NU = _DRAWS.dirichlet(3 * np.ones(12))


def _of(name: str, way: str, **parameters: Any) -> Measure:
    return number(name, {"way": way}, **parameters)


def _known(measure: Callable[[], Any]) -> Measure:
    """Of no run: what is computed for itself."""
    return Measure(lambda runs: float(measure()))


CHECKS = one_run(
    "no training: one map; fractions and distances are means over its samples",
    (
        Claim(
            "line-uniform",
            "Four points on a line under a uniform law cost 1.0053333.",
            _known(lambda: semidiscrete.on_line(*_LINE).cost),
            1.0053333,
            "closed form",
            "==",
            1e-7,
        ),
        Claim(
            "square",
            "Twelve points in the square cost 0.030535287850.",
            _known(lambda: semidiscrete.in_square(_Y, _NU).cost),
            0.030535287850,
            "independent computation, and POT on a grid",
            "==",
            1e-11,
        ),
        Claim(
            "newton",
            "Newton's method solves the twelve points in the square in four steps.",
            _known(lambda: semidiscrete.in_square(_Y, _NU).iterations),
            4.0,
            "independent computation",
            "==",
        ),
        Claim(
            "cells",
            "The masses of 400 cells come within half as much again of the floor of their estimate.",
            number("tv"),
            1.5 * number("tv_floor"),
            "independent computation: .019 to .021 at a floor of .018",
            "<=",
        ),
        Claim("no-empty", "No cell is empty.", number("empty"), 0.0, "independent computation", "=="),
        Claim(
            "no-map-w2",
            "Without a map the samples have W₂ = 0.91.",
            _of("w2", "no map"),
            0.91,
            "independent computation",
            "==",
            0.06,
        ),
        Claim(
            "near-20",
            "With k = 20 the mean distance of the samples to the stored points is 0.0190.",
            number("nn_express", k=20),
            0.0190,
            "independent computation",
            "==",
            0.002,
            quick=False,
        ),
        Claim(
            "extension-new",
            "With a threshold of .1 samples are a third farther from the stored points than those of the map.",
            number("nn_express", threshold=0.1, **_FEW),
            1.33 * number("nn_express", m=50, k=1),
            "they are new",
            ">=",
            quick=False,
        ),
        Claim(
            "digits",
            "Digits: the masses of 800 cells come within half as much again of the floor of their estimate.",
            number("tv", **_DIGITS),
            1.5 * number("tv_floor", **_DIGITS),
            "independent computation",
            "<=",
            quick=False,
        ),
        Claim(
            "digits-memory",
            "Digits: with a smooth score the samples are a quarter as far from stored ones as others are.",
            number("nn_express", **_DIGITS),
            0.25 * number("nn_fresh", **_DIGITS),
            "few steps add little",
            "<=",
            quick=False,
        ),
        Claim(
            "digits-points",
            "Digits: with the score of the stored ones the flow ends in stored digits too.",
            _of("nn_to_target", "flow", **_REMEMBERED),
            0.0,
            "independent computation: 0.000",
            "==",
            1e-3,
            quick=False,
        ),
    ),
)
