"""Statements of the paper and theorems, measured, and the paper's numbers beside ours."""

from typing import Any

from lab.ot import semidiscrete
from lab.studies.contract import ONLY_HERE, PREDICTED, Claim, Measured, Reported, one_run
from lab.studies.vocabulary import Measure, number

_PAPER = "Li, Li, Wang, Lei, Luo, Gu, ICCV 2023"
_MIXTURE = f"{_PAPER}: mode mixture; value of an independent computation"
_SINGULAR = f"{_PAPER}: the map is discontinuous on the singular set"
_FEW: dict[str, Any] = {"m": 50, "k": 1, "extend": "pair"}
_POINTS = [-1.0, 0.2, 0.7, 3.0], [0.1, 0.4, 0.3, 0.2]


def _of(name: str, way: str, **parameters: Any) -> Measure:
    return number(name, {"way": way}, **parameters)


CLAIMS = one_run(
    "no training: one map; fractions and distances are means over its samples",
    (
        Claim(
            "line-gaussian",
            "The optimal cost between four points on a line and N(0, 1) is 0.9550368891.",
            Measure(lambda runs: float(semidiscrete.on_line(*_POINTS, "gaussian").cost)),
            0.9550368891,
            "closed form of semi-discrete transport on a line",
            "==",
            1e-9,
        ),
        Claim(
            "off-modes",
            "With k = 5 at most .5% of the samples are off the modes.",
            number("off_express"),
            0.005,
            _MIXTURE,
            "<=",
        ),
        Claim(
            "no-mixture",
            "With k = 5 at most 0.2% of the samples are mixed at τ = 0.1.",
            number("mmr_express"),
            0.002,
            _MIXTURE,
            "<=",
        ),
        Claim(
            "annealed",
            "Annealed Langevin dynamics with 11 evaluations has half of its samples off the modes.",
            _of("off_mode", "annealed", k=10),
            0.5,
            _MIXTURE,
            ">=",
        ),
        Claim(
            "flow",
            "The flow in 5 Euler steps has 7.5% of its samples off the modes.",
            number("off_flow"),
            0.075,
            _MIXTURE,
            "==",
            0.03,
        ),
        Claim(
            "no-map",
            "Without a map the samples of the same five steps are all off the modes.",
            _of("off_mode", "no map"),
            0.99,
            f"{_PAPER}: the map replaces the first steps",
            ">=",
        ),
        Claim(
            "near-5",
            "With k = 5 the mean distance of the samples to the stored points is 0.0145.",
            number("nn_express"),
            0.0145,
            "independent computation of the paper's algorithm",
            "==",
            0.0015,
        ),
        Claim(
            "memory",
            "With k = 5 samples are at least 10% closer to the stored points than held-out data are.",
            number("nn_express"),
            0.9 * number("nn_fresh"),
            f"{_PAPER}: the targets of the map are stored data",
            "<=",
        ),
        Claim(
            "points",
            "With the score of the stored points the full sampler ends in them, to half of the last level.",
            _of("nn_to_target", "full", score="points"),
            0.005,
            "closed form of the optimal denoiser of points",
            "<=",
            quick=False,
        ),
        Claim(
            "extension",
            "Extension without the test of angles puts at least 1% of the samples between the modes.",
            number("off_express", threshold=1.0, **_FEW),
            0.01,
            _SINGULAR,
            ">=",
        ),
        Claim(
            "extension-tested",
            "With a threshold of .1 at most 0.25% of the samples are off the modes.",
            number("off_express", threshold=0.1, **_FEW),
            0.0025,
            _SINGULAR,
            "<=",
        ),
        Claim(
            "default-threshold",
            "The official threshold of .7 removes half of the samples between modes.",
            number("off_express", threshold=0.7, **_FEW),
            0.5 * number("off_express", threshold=1.0, **_FEW),
            "the official code's default",
            "<=",
            should_hold=False,
            note="Angles between neighboring modes are about half of the largest angle, so .7 does not detect them.",
        ),
        Claim(
            "quality",
            "W₂ of DPM-OT equals W₂ of the stored points, within .06.",
            number("w2_express"),
            number("w2_stored"),
            "an exact map pushes the noise forward to the stored points",
            "==",
            0.06,
            quick=False,
            seeds=range(5),
        ),
    ),
)

_THEIRS = "CIFAR-10, CelebA and FFHQ, trained networks, about 10 evaluations"
_OURS = "eight Gaussians in the plane, exact score, 400 stored points, 400 samples, 6 evaluations"
_W2 = "FID tables (W₂ here)"


def _percent(method: str) -> Any:
    return lambda runs: Measured(*(100 * each for each in runs.compared("off", method)))


REPORTED = (
    Reported(
        "Distance of the samples from the data, DPM-OT",
        _W2,
        None,
        f"FID; {_THEIRS}",
        f"W₂; {_OURS}",
        ours=lambda runs: runs.compared("w2", "DPM-OT"),
        holds=lambda runs: runs.compared("w2", "flow").value < runs.compared("w2", "DPM-OT").value,
        note="The abstract reports a better FID than fast samplers. Here the plain flow has the lower mean with as many "
        "evaluations (next row).",
    ),
    Reported(
        "Distance of the samples from the data, plain flow",
        _W2,
        None,
        f"FID of DDIM and DPM-Solver; {_THEIRS}",
        f"W₂; {_OURS}",
        ours=lambda runs: runs.compared("w2", "flow"),
    ),
    Reported(
        "Mixed samples of DPM-OT (mode mixture rate)",
        "tables of the mode mixture rate",
        None,
        f"classifier; {_THEIRS}",
        f"exact posterior, threshold 0.1; {_OURS}, one seed",
        ours=lambda runs: 100 * float(runs().mmr_express),
        unit="%",
    ),
    Reported("Samples of DPM-OT off the modes", ONLY_HERE, None, _THEIRS, _OURS, ours=_percent("DPM-OT"), unit="%"),
    Reported(
        "Samples of the plain flow off the modes",
        ONLY_HERE,
        None,
        _THEIRS,
        _OURS,
        ours=_percent("flow"),
        unit="%",
        holds=lambda runs: runs.compared("off", "DPM-OT").high < runs.compared("off", "flow").low,
        note="DPM-OT is better than the flow by this measure, as the paper's argument on mode mixture predicts.",
    ),
    Reported(
        "Optimal cost of four points on a line under N(0, 1)",
        "semi-discrete transport, closed form",
        PREDICTED,
        "theorem",
        "points −1, 0.2, 0.7, 3",
        claim="line-gaussian",
    ),
)
