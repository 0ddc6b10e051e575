"""Closed forms, independent computations and invariances of Sinkhorn-Newton-Sparse."""

from dataclasses import replace
from typing import Any

import numpy as np

from lab import datasets
from lab.datasets import Data
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.ot.sinkhorn_newton_sparse.claims import ALONE, LAP
from lab.studies.vocabulary import mean, number, of, rise

_SMALL_LAP: dict[str, Any] = {"data": "random-assignment", "n": 32}
_BUMPS: dict[str, Any] = {"data": "one-bump-to-two", "epsilon": 0.1, "tolerance": 1e-12}
_COST = number("transport_cost", **_SMALL_LAP, **ALONE)
_EPSILONS = (0.3, 0.1, 0.03, 0.01)


def _corner(runs: Runs) -> float:
    half = np.full(2, 0.5)
    arrays = {"cost": np.array([[0.0, 1.0], [1.0, 0.0]]), "a": half, "b": half}
    data = Data("2 x 2", "Two points", "transport", arrays, "closed form", "none")
    return float(runs(data=data, epsilon=0.1, cost_unit="one", tolerance=1e-13, **ALONE).plan[0, 0])


def _sinkhorn_apart(runs: Runs) -> float:
    """Sinkhorn's iteration in the log domain, written out here."""
    from scipy.special import logsumexp

    run = runs(**_BUMPS)
    cost = datasets.load("one-bump-to-two").arrays["cost"]
    scaled = cost / (0.1 * (cost.mean() - cost.min()))
    a, b = np.log(run.a.values), np.log(run.b.values)
    v = np.zeros(b.size)
    for _ in range(3000):
        u = a - logsumexp(v[None, :] - scaled, axis=1)
        v = b - logsumexp(u[:, None] - scaled, axis=0)
    return float(np.abs(np.exp(u[:, None] + v[None, :] - scaled) - run.plan.values).max())


def _shift_apart(runs: Runs) -> float:
    """A price added to each row and column changes the potentials, not the plan."""
    run = runs(**_BUMPS)
    data = datasets.load("one-bump-to-two")
    rng = np.random.default_rng(0)
    cost = data.arrays["cost"]
    shifted = cost + rng.random((cost.shape[0], 1)) + rng.random((1, cost.shape[1]))
    epsilon = 0.1 * float(cost.mean() - cost.min())
    arrays = {"cost": shifted, "a": data.arrays["a"], "b": data.arrays["b"]}
    other = replace(data, name="shifted", arrays=arrays, truth={})
    shifted_run = runs(data=other, epsilon=epsilon, cost_unit="one", tolerance=1e-12, **ALONE)
    return float(np.abs(shifted_run.plan - run.plan).max())


def _entropy_bound(runs: Runs) -> float:
    """The largest of <C, P> - LP over epsilon log n."""
    data = datasets.load("random-assignment", n=32)
    cost = data.arrays["cost"]
    unit = float(cost.mean() - cost.min())
    above = [mean(_COST, epsilon=(e,))(runs) - data.truth["lp"] for e in _EPSILONS]
    if min(above) < 0:
        return np.inf
    return max(c / (e * unit * np.log(32)) for c, e in zip(above, _EPSILONS, strict=True))


def _order(runs: Runs) -> float:
    """The exponent q of e' ~ e^q over the last two Newton steps of the exact method above rounding."""
    run = runs(data="normal-clouds", n=64, backend="dense", epsilon=0.05, tolerance=1e-12, **ALONE)
    error = run.history_error.values[np.isfinite(run.nnz_row.values)]
    error = error[error > 1e-13]
    return float(np.log(error[-1] / error[-2]) / np.log(error[-2] / error[-3]))


def _largest_drop(run: Any) -> Any:
    """The mass that Newton steps dropped over the mass that theta and the error before them allow."""
    error = np.r_[1.0, run.history_error.values]
    steps = np.flatnonzero(np.isfinite(run.nnz_row.values))
    allowed = np.minimum(1e-2, np.maximum(error[steps], 0.1 * 1e-10 / error[steps]))
    return (run.dropped_mass.values[steps] / allowed).max()


CHECKS = one_run(
    "no training: convex problems; counts of iterations depend on the data only",
    (
        Claim(
            "two-by-two",
            "On two points the plan is the closed form.",
            _corner,
            0.5 / (1 + np.exp(-10)),
            "closed form",
            "==",
            1e-12,
        ),
        Claim(
            "same-plan",
            "The plan is the limit of Sinkhorn's iteration.",
            _sinkhorn_apart,
            0.0,
            "independent iteration in the log domain",
            "<=",
            1e-10,
        ),
        Claim(
            "duality",
            "The entropic objective of the plan is the optimum of the dual.",
            abs(number("duality_gap", **_BUMPS)),
            0.0,
            "strong duality",
            "<=",
            1e-10,
        ),
        Claim(
            "prices",
            "A price added to each row and column changes the potentials, not the plan.",
            _shift_apart,
            0.0,
            "invariance of the problem",
            "<=",
            1e-10,
        ),
        Claim(
            "cost-falls",
            "The transport cost falls with epsilon.",
            rise(_COST, epsilon=_EPSILONS),
            0.0,
            "optimality of both plans",
            "<=",
        ),
        Claim(
            "entropy-bound",
            "The transport cost exceeds the linear program by at most epsilon log n.",
            _entropy_bound,
            1.0,
            "entropy of a plan with uniform masses; exact assignment",
            "<=",
        ),
        Claim(
            "quadratic",
            "With the full Hessian the number of correct digits nearly doubles in the last steps.",
            _order,
            1.8,
            "Newton's method",
            ">=",
        ),
        Claim(
            "dropped",
            "No step drops more mass than the error before it.",
            of(_largest_drop, **LAP, **ALONE),
            1.0,
            "the adaptive threshold",
            "<=",
            1e-9,
        ),
    ),
)
