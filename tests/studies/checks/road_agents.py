"""Independent values, identities of the graph, and errors of the linear forecasts."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim
from lab.studies.traffic.road_agents.claims import SECTION
from lab.studies.traffic.road_agents.experiment import STRIDE
from lab.studies.vocabulary import number, of

_SEEDS = range(5)


def _laplacian(run: Any) -> np.ndarray:
    weight = run.weight.values
    return np.eye(weight.shape[1]) * weight.sum(axis=2)[:, :, None] - weight


def _spectrum(run: Any) -> float:
    """Largest difference from the eigenvalues of NumPy."""
    return float(np.abs(np.linalg.eigvalsh(_laplacian(run)) - run.eigvals.values).max())


def _trace(run: Any) -> float:
    """Sum of the eigenvalues minus twice the weight of all edges."""
    return float(np.abs(run.eigvals.sum("mode").values - run.weight.values.sum(axis=(1, 2))).max())


def _rates(run: Any) -> float:
    """Largest difference of the rates of this road from mean differences of its degrees."""
    p, dt = run.sizes["step"], float(run.frame[1] - run.frame[0])
    which = np.flatnonzero(run.window_road.values == run.window_road.values.max() - 3)
    theta = run.theta.values
    apart = []
    for place, window in enumerate(which):
        last = STRIDE * place + 5
        known = np.diff(theta[last : last + p + 1], axis=0).mean(axis=0) / dt
        apart.append(np.abs(known - run.rate.values[window]).max())
    return float(max(apart))


def _absent(run: Any) -> float:
    """Largest weight of an absent agent."""
    away = ~np.isfinite(run.position.values[..., 0])
    return float(run.weight.values[away].max(initial=0.0))


CHECKS = (
    Claim(
        "spectrum",
        "The eigenvalues agree with NumPy.",
        of(_spectrum),
        0.0,
        "numpy.linalg.eigvalsh",
        "==",
        1e-10,
    ),
    Claim("trace", "The eigenvalues sum to twice the weight of all edges.", of(_trace), 0.0, "trace of L", "==", 1e-12),
    Claim(
        "telescopes",
        "The mean difference of a degree is the difference of both ends over the duration.",
        of(_rates),
        0.0,
        "telescoping sum",
        "==",
        1e-12,
    ),
    Claim("absent", "Absent agents are no neighbors of others.", of(_absent, **SECTION), 0.0, "the mask", "=="),
    Claim(
        "velocity",
        "Constant velocity has an average displacement error of about 3.76 m, as on the roads of highway-env.",
        number("ade_velocity"),
        3.76,
        "independent computation: 3.76 m on other draws",
        "==",
        0.5,
        seeds=_SEEDS,
    ),
    Claim(
        "ridge",
        "The average displacement error of a ridge regression is below 2.25 m.",
        number("ade_ridge"),
        2.25,
        "independent computation: 1.92 m on other draws",
        "<",
        seeds=_SEEDS,
    ),
)
