"""What the paper and mathematics say of road agents, measured."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim
from lab.studies.vocabulary import number, of

from .presets import LATER, SECTION, STREAMS, WIDE
from .variables import STRIDE

_SEEDS = range(5)


def _laplacian(run: Any) -> np.ndarray:
    weight = run.weight.values
    return np.eye(weight.shape[1]) * weight.sum(axis=2)[:, :, None] - weight


def _spectrum(run: Any) -> float:
    """Eigenvalues against NumPy's."""
    return float(np.abs(np.linalg.eigvalsh(_laplacian(run)) - run.eigvals.values).max())


def _trace(run: Any) -> float:
    """The sum of eigenvalues, less twice the weight of all edges."""
    return float(np.abs(run.eigvals.sum("mode").values - run.weight.values.sum(axis=(1, 2))).max())


def _missing(run: Any) -> np.ndarray:
    """Degrees, less what the largest pairs make of them."""
    k = run.sizes["vector"] // 2
    rows, values = run.eigvecs.values[:, :, :k], run.eigvals.values[:, -k:]
    return np.nan_to_num(run.theta.values) - (rows**2 * values[:, None]).sum(axis=2)


def _beyond(run: Any) -> float:
    """By how much that is more than the largest dropped eigenvalue."""
    k = run.sizes["vector"] // 2
    return float((_missing(run) - run.eigvals.values[:, -k - 1][:, None]).max())


def _rates(run: Any) -> float:
    """Rates of the windows of this road, from mean differences of its degrees."""
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
    """The largest weight of who is absent."""
    away = ~np.isfinite(run.position.values[..., 0])
    return float(run.weight.values[away].max(initial=0.0))


CLAIMS = (
    Claim("spectrum", "The eigenvalues are those of NumPy.", of(_spectrum), 0.0, "numpy.linalg.eigvalsh", "==", 1e-10),
    Claim("trace", "The eigenvalues sum to twice the weight of all edges.", of(_trace), 0.0, "trace of L", "==", 1e-12),
    Claim("below", "The largest pairs give degrees that are never too large.", of(lambda run: _missing(run).min()), 0.0,
          "L is positive semidefinite", ">=", 1e-12),
    Claim("low-rank", "The largest pairs give degrees that are too small by at most the largest dropped eigenvalue.",
          of(_beyond), 0.0, "low-rank degree", "<=",
          1e-12),
    Claim("telescopes", "The mean of the differences of a degree is that of both ends.", of(_rates), 0.0, "the rate", "==",
          1e-12),
    Claim("absent", "Absent agents are no neighbors of others.", of(_absent, **SECTION), 0.0, "the mask", "=="),
    Claim("velocity", "Constant velocity has an average displacement error of about 3.76 m, as on the roads of highway-env.",
          number("ade_velocity"), 3.76, "independent computation: 3.76 m on other draws", "==", 0.5, seeds=_SEEDS),
    Claim("ridge", "The average displacement error of a ridge regression is below 2.25 m.", number("ade_ridge"), 2.25,
          "independent computation: 1.92 m on other draws", "<", seeds=_SEEDS),
    Claim("ends", "At the last step the error of the ridge is less than 0.7 times that of constant velocity.",
          number("fde_ridge"), 0.7 * number("fde_velocity"), "independent computation: 4.47 and 8.17 m", "<", seeds=_SEEDS),
    Claim("driver", "The rate of change of an agent's degree is correlated with the driver type.",
          number("correlation_driver"), 0.5,
          "Chandra et al., 2020", ">=", seeds=_SEEDS,
          should_hold=False, note="the degree depends on how a neighborhood changes: the correlation is about 0"),
    Claim("no-driver", "The mean correlation of the rate with the driver type is 0 within 0.1.",
          number("correlation_driver"), 0.0, "independent computation: -0.03", "==", 0.1, seeds=_SEEDS),
    Claim("not-wide", "With a graph that reaches 50 m the correlation of the rate with the driver type is 0 within 0.1, too.",
          number("correlation_driver", **WIDE), 0.0,
          "independent computation", "==", 0.1, seeds=_SEEDS),
    Claim("speed", "After half a minute the correlation of speed with the driver type is above 0.7.",
          number("speed_driver", **LATER), 0.7, "the simulation", ">", seeds=_SEEDS),
    Claim("not-later", "After half a minute the correlation of this rate with the driver type is 0 within 0.1.",
          number("correlation_driver", **LATER), 0.0,
          "the simulation", "==", 0.1, seeds=_SEEDS),
    Claim("lstm", "On held-out roads an LSTM is as good as the ridge.", number("ade_one", **STREAMS),
          number("ade_ridge", **STREAMS), "independent computation", "<=", 0.05, quick=False, seeds=_SEEDS),
    Claim("lstm-beats", "The error of the LSTM is less than half that of constant velocity.", number("ade_one", **STREAMS),
          0.5 * number("ade_velocity", **STREAMS), "independent computation", "<", quick=False, seeds=_SEEDS),
    Claim("spectra", "The second stream predicts spectra at least 10% better than persistence.",
          number("spectral_error", **STREAMS), 0.9, "persistence", "<", quick=False, seeds=_SEEDS),
    Claim("pull", "The pull to clusters lowers errors by 10%.", number("ade_two", **STREAMS),
          0.9 * number("ade_one", **STREAMS), "Chandra et al., 2020: up to 70%", "<=", quick=False, should_hold=False,
          seeds=_SEEDS,
          note="by a few percent on some draws: clusters of a sparse graph are pairs of cars and all others; a strong pull "
          "shrinks predictions to their centers"),
)
