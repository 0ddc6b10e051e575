"""Values of independent computations and closed forms of rectified flow."""

from typing import Any

import numpy as np

from lab.datasets.gaussians import S0, S1
from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of

_EIGHT: dict[str, Any] = {"data": "eight-gaussians", "particles": 10_000, "pairs": 50}
_SEEDS = range(8)
_LINE: dict[str, Any] = {"data": "gaussians-1d", "particles": 10_000, "pairs": 50}
_CROSSED: dict[str, Any] = {"data": "crossed-gaussians", "particles": 800, "pairs": 50}
T = np.array([[1.038944, -0.804542], [-1.499374, 2.867449]])
"""The rectified linear map between the Gaussians that do not commute."""


def _fitted(run: Any) -> np.ndarray:
    return np.linalg.lstsq(run.paths.values[0], run.paths.values[-1], rcond=None)[0].T


def _slope(run: Any) -> float:
    return np.polyfit(run.euler.values[0, :, 0], run.euler.values[-1, :, 0], 1)[0]


CHECKS = one_run(
    "no training: exact velocities; means over thousands of pairs",
    (
        Claim(
            "eight-cost",
            "From N(0, I) to eight Gaussians, the 1-rectified flow has cost 14.40.",
            number("square_cost", **_EIGHT),
            14.40,
            "exact fields, computed independently",
            "==",
            0.2,
        ),
        Claim(
            "eight-S",
            "The bending S of the flow to eight Gaussians is 3.43.",
            number("S", **_EIGHT),
            3.43,
            "exact fields",
            "==",
            0.1,
        ),
        Claim(
            "eight-V",
            "The crossing V of random pairs is 9.80.",
            number("V_before", **_EIGHT),
            9.80,
            "exact fields",
            "==",
            0.3,
        ),
        Claim(
            "eight-energy",
            "The path energy of the flow to eight Gaussians is 17.83.",
            number("energy", **_EIGHT),
            17.83,
            "exact fields",
            "==",
            0.25,
        ),
        Claim(
            "eight-one-step",
            "One Euler step to eight Gaussians has W2 squared of 25.7 from the data.",
            number("w2sq", **_EIGHT),
            25.7,
            "exact fields",
            "==",
            0.6,
        ),
        Claim(
            "eight-optimal",
            "The cost of the flow to eight Gaussians is within 1% of optimal transport's.",
            number("above_optimal", **_EIGHT),
            0.0,
            "linear assignment",
            "<=",
            0.01,
        ),
        Claim(
            "modes-before",
            "The mean squared displacement of random pairs is 44.",
            number("cost_before", {"p": 2.0}),
            44.0,
            "closed form",
            "==",
            1.0,
            seeds=_SEEDS,
        ),
        Claim(
            "modes-norm-before",
            "At random, E|X1 - X0| is 6.44.",
            number("cost_before", {"p": 1.0}),
            6.44,
            "exact fields",
            "==",
            0.07,
            seeds=_SEEDS,
        ),
        Claim(
            "modes-fourth-before",
            "At random, E|X1 - X0|^4 is 2308.",
            number("cost_before", {"p": 4.0}),
            2308.0,
            "exact fields",
            "==",
            100.0,
            seeds=_SEEDS,
        ),
        Claim(
            "modes-S",
            "The bending of the 1-rectified flow is 13.1.",
            number("S"),
            13.1,
            "exact fields",
            "==",
            0.8,
            seeds=_SEEDS,
        ),
        Claim(
            "modes-V",
            "The crossing term of the straight lines is V = 5.98.",
            number("V_before"),
            5.98,
            "exact fields",
            "==",
            0.5,
            seeds=_SEEDS,
        ),
        Claim(
            "modes-one-step",
            "One Euler step of the 1-rectified flow has W2 squared of 9.4.",
            number("w2sq"),
            9.4,
            "exact fields",
            "==",
            0.6,
            seeds=_SEEDS,
        ),
        Claim("modes-norm", "The cost |.| falls to 5.", number("cost", {"p": 1.0}), 5.0, "closed form", "==", 1e-6),
        Claim(
            "modes-fourth", "The cost |.|^4 falls to 625.", number("cost", {"p": 4.0}), 625.0, "closed form", "==", 1e-3
        ),
        Claim(
            "line-V",
            "N(0, 1) to N(2, 0.09): V = pi/2 s0 s1.",
            number("V_before", **_LINE),
            np.pi / 2 * 0.3,
            "closed form",
            "==",
            0.02,
            True,
            quick=False,
        ),
        Claim(
            "line-S",
            "N(0, 1) to N(2, 0.09): S = (2 - pi/2) s0 s1.",
            number("S", **_LINE),
            (2 - np.pi / 2) * 0.3,
            "closed form",
            "==",
            0.02,
            True,
            quick=False,
        ),
        Claim(
            "line-spread",
            "N(0, 1) to N(2, 0.09): the flow narrows the deviation to 0.3.",
            of(lambda run: np.std(run.paths[-1]) / np.std(run.paths[0]), **_LINE),
            0.3,
            "closed form",
            "==",
            1e-6,
            quick=False,
        ),
        *(
            Claim(
                f"euler-{steps}",
                f"In {steps} Euler step{'s' if steps > 1 else ''} it narrows to {spread:.5g}.",
                of(_slope, **_LINE, euler_steps=steps),
                spread,
                "product over the steps",
                "==",
                1e-5,
                quick=False,
            )
            for steps, spread in ((1, 0.0), (2, 0.08257), (4, 0.17725), (8, 0.23473), (32, 0.28245))
        ),
        Claim(
            "crossed-map",
            "Between Gaussians that do not commute the 1-rectified flow is the straight linear map T.",
            of(lambda run: np.abs(_fitted(run) - T).max(), **_CROSSED),
            0.0,
            "linear differential equation",
            "<=",
            1e-5,
            quick=False,
        ),
        Claim(
            "crossed-law",
            "The map T takes one covariance to the other.",
            of(lambda run: np.abs(_fitted(run) @ S0 @ _fitted(run).T - S1).max(), **_CROSSED),
            0.0,
            "marginals are kept",
            "<=",
            1e-6,
            quick=False,
        ),
        Claim(
            "eight-reflow",
            "One reflow takes W2 squared of one Euler step from 25.7 to below 2.",
            number("w2sq", data="eight-gaussians", k=2, pairs=2000, particles=1000),
            2.0,
            "figure 8, in small",
            "<=",
            quick=False,
        ),
    ),
)
