"""Values of independent computations and closed forms of shape correspondence."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of


def _of_sphere(run: Any) -> float:
    """Largest relative difference of the first sixteen eigenvalues from l (l + 1) on a sphere of area 1."""
    levels = np.repeat(np.arange(1, 4), [3, 5, 7])
    return float(np.abs(run.values_y.values[1:16] / (4 * np.pi * levels * (levels + 1)) - 1).max())


CHECKS = one_run(
    "no training: eigenfunctions of given surfaces",
    (
        Claim(
            "sphere-spectrum",
            "A sphere has the eigenvalues l (l + 1).",
            of(_of_sphere, data="spheres"),
            0.02,
            "known",
            "<=",
            quick=False,
        ),
        Claim(
            "signatures-off",
            "Nearest signatures are off by more than a quarter of the root of the area.",
            number("error_waves"),
            27.6,
            "independent computation",
            "==",
            1.0,
        ),
        Claim(
            "best-map",
            "The best map of 40 eigenfunctions is off by .78%.",
            number("floor_by", {"size": 40}),
            0.78,
            "independent computation",
            "==",
            0.12,
        ),
    ),
)
