"""What the paper and mathematics say of DPM-OT, measured."""

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


CLAIMS = one_run("no training: one map; fractions and distances are means over its samples", (
    Claim("line-uniform", "Four points on a line under a uniform law cost 1.0053333.",
          _known(lambda: semidiscrete.on_line(*_LINE).cost), 1.0053333, "closed form", "==", 1e-7),
    Claim("line-gaussian", "Four points on a line under N(0, 1) cost 0.9550368891.",
          _known(lambda: semidiscrete.on_line(*_LINE, "gaussian").cost),
          0.9550368891, "closed form", "==", 1e-9),
    Claim("square", "Twelve points in the square cost 0.030535287850.", _known(lambda: semidiscrete.in_square(_Y, _NU).cost),
          0.030535287850, "independent computation, and POT on a grid", "==", 1e-11),
    Claim("newton", "Newton's method solves the twelve points in the square in four steps.",
          _known(lambda: semidiscrete.in_square(_Y, _NU).iterations), 4.0,
          "independent computation", "=="),
    Claim("cells", "The masses of 400 cells come within half as much again of the floor of their estimate.", number("tv"),
          1.5 * number("tv_floor"), "independent computation: .019 to .021 at a floor of .018", "<="),
    Claim("no-empty", "No cell is empty.", number("empty"), 0.0, "independent computation", "=="),
    Claim("off-modes", "With k = 5 at most .5% of the samples are off the modes.", number("off_express"), 0.005,
          "independent computation", "<="),
    Claim("no-mixture", "With k = 5 at most 0.2% of the samples are mixed at τ = 0.1.", number("mmr_express"), 0.002,
          "independent computation", "<="),
    Claim("annealed", "Annealed Langevin dynamics with 11 evaluations has half of its samples off the modes.",
          _of("off_mode", "annealed", k=10), 0.5, "independent computation", ">="),
    Claim("flow", "The flow in 5 Euler steps has 7.5% of its samples off the modes.", number("off_flow"), 0.075,
          "independent computation", "==", 0.03),
    Claim("no-map", "Without a map the samples of the same five steps are all off the modes.",
          _of("off_mode", "no map"), 0.99, "independent computation", ">="),
    Claim("no-map-w2", "Without a map the samples have W₂ = 0.91.", _of("w2", "no map"), 0.91,
          "independent computation", "==", 0.06),
    Claim("near-5", "With k = 5 samples are .0145 from the stored points.", number("nn_express"), 0.0145,
          "independent computation", "==", 0.0015),
    Claim("near-20", "With k = 20 the mean distance of the samples to the stored points is 0.0190.",
          number("nn_express", k=20), 0.0190, "independent computation",
          "==", 0.002, quick=False),
    Claim("memory", "With k = 5 samples are at least 10% nearer to the stored points than held-out data are.",
          number("nn_express"), 0.9 * number("nn_fresh"), "few steps add little to what is stored", "<="),
    Claim("points", "With the score of the stored points the full sampler ends in them, to half of the last level.",
          _of("nn_to_target", "full", score="points"), 0.005, "the optimal denoiser of points", "<=", quick=False),
    Claim("extension", "Filling in without the test of angles puts samples between the modes, a hundredth at least.",
          number("off_express", threshold=1.0, **_FEW), 0.01, "the map is discontinuous there", ">="),
    Claim("extension-tested", "With a threshold of .1 at most 0.25% of the samples are off the modes.",
          number("off_express", threshold=0.1, **_FEW), 0.0025,
          "the singular set", "<="),
    Claim("extension-new", "With a threshold of .1 samples are a third farther from the stored points than those of the map.",
          number("nn_express", threshold=0.1, **_FEW), 1.33 * number("nn_express", m=50, k=1), "they are new", ">=",
          quick=False),
    Claim("default-threshold", "The official threshold of .7 removes half of the samples between modes.",
          number("off_express", threshold=0.7, **_FEW), 0.5 * number("off_express", threshold=1.0, **_FEW),
          "the official code's default", "<=", should_hold=False,
          note="Angles between neighbouring modes are about half of the largest, which .7 lets through."),
    Claim("quality", "The W2 of DPM-OT is that of the stored points, within .06.", number("w2_express"), number("w2_stored"),
          "the map has their law", "==", 0.06, quick=False, seeds=range(5)),
    Claim("digits", "Digits: the masses of 800 cells come within half as much again of the floor of their estimate.",
          number("tv", **_DIGITS), 1.5 * number("tv_floor", **_DIGITS), "independent computation", "<=", quick=False),
    Claim("digits-memory", "Digits: with a smooth score the samples are a quarter as far from stored ones as others are.",
          number("nn_express", **_DIGITS), 0.25 * number("nn_fresh", **_DIGITS), "few steps add little", "<=", quick=False),
    Claim("digits-points", "Digits: with the score of the stored ones the flow ends in stored digits too.",
          _of("nn_to_target", "flow", **_REMEMBERED), 0.0, "independent computation: 0.000", "==", 1e-3, quick=False),
))
