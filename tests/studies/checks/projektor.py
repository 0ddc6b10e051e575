"""Values of independent computations, and checks of the implementation, of mixtures of data sources."""

from functools import partial
from typing import Any

import numpy as np

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of

_TABLE: dict[str, Any] = {"n0": 200, "n1": 400, "n": 2000, "reps": 3}
_COMPUTED = "independent computation"

_over_seeds = partial(Claim, quick=False, seeds=range(5))


def _slopes(run: Any) -> float:
    """Correlation of slopes and central differences at the inner mixtures of the grid."""
    at = {tuple(np.round(10 * p).astype(int)): k for k, p in enumerate(run.shares.values)}
    slopes, known = [], []
    for p, k in at.items():
        for step in ((1, -1, 0), (1, 0, -1)):
            ends = [at.get(tuple(int(a + side * b) for a, b in zip(p, step, strict=True))) for side in (1, -1)]
            if None not in ends:
                known.append(float(run.ot[ends[0]] - run.ot[ends[1]]) / 0.2)
                slopes.append(float(run.grad.values[k] @ np.array(step)))
    return float(np.corrcoef(slopes, known)[0, 1])


def _outside(run: Any) -> float:
    """Maximum distance of the path of the selection from the simplex."""
    path = run.path.values
    return float(max(np.abs(path.sum(axis=1) - 1).max(), -path.min()))


def _projected(run: Any) -> float:
    """Difference at N between the predictions for both mixtures and lines through their fits at the pilots."""
    fitted, low, high, n = run.pilot.values, np.log(100), np.log(200), np.log(400)
    known = fitted[:, 0] + (fitted[:, 1] - fitted[:, 0]) * (n - low) / (high - low)
    return float(np.abs(np.clip(known, 0, 100) - fitted[:, 2]).max())


CHECKS = one_run(
    "no training: transport distances of one draw",
    (
        Claim(
            "slopes",
            "The gradient of the distance from dual potentials agrees with finite differences.",
            of(_slopes),
            0.99,
            "the envelope theorem",
            ">=",
        ),
        Claim(
            "simplex",
            "The path of the selection stays in the simplex.",
            of(_outside),
            0.0,
            "exponentiated gradient",
            "<=",
            1e-12,
        ),
        Claim(
            "line",
            "The prediction at N lies on the line in log N through the fits at both pilots.",
            of(_projected),
            0.0,
            "stage 2",
            "<=",
            1e-9,
        ),
        Claim(
            "amplification",
            "From pilots of 100 and 200 points to N = 400, errors grow by a factor of √5.",
            number("amplification"),
            float(np.sqrt(5)),
            "log² 4 + log² 2 over log² 2",
            "==",
            1e-9,
        ),
        _over_seeds(
            "sheet-ot",
            "Beyond the fitted mixtures, with pilots of 400 points, linear-OT has a mean error near 5.8 points.",
            number("mae_ot", **_TABLE),
            5.8,
            _COMPUTED,
            "==",
            2.5,
        ),
        _over_seeds(
            "sheet-quadratic",
            "Beyond the fitted mixtures, a quadratic fit without the distance has a mean error of at least 20 points.",
            number("mae_quadratic", **_TABLE),
            20.0,
            f"{_COMPUTED}: 44",
            ">=",
        ),
        _over_seeds(
            "sheet-between",
            "Between the fitted mixtures, PQ-OT has a mean error near 5.8 points.",
            number("mae_between", **_TABLE),
            5.8,
            _COMPUTED,
            "==",
            2.5,
        ),
    ),
)
