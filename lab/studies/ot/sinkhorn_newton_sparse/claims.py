"""What the paper and mathematics say of Sinkhorn-Newton-Sparse, measured."""

from dataclasses import replace
from typing import Any

import numpy as np

from lab import datasets
from lab.datasets import Data
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import Measure, mean, number, of, rise

from .presets import ASSIGNMENT, MNIST_L1, MNIST_L2, PAPER, TINY

_PAPER = "Tang et al., ICLR 2024"
_TABLE = f"{_PAPER}, table 1"
_TINY: dict[str, Any] = {"cost_unit": "largest", "epsilon": TINY}
_LAP: dict[str, Any] = {"data": "random-assignment", "n": 500, "tolerance": 1e-10} | _TINY
_SMALL_LAP: dict[str, Any] = {"data": "random-assignment", "n": 32}
_FEW: dict[str, Any] = {"max_sweeps": 1}  # where Sinkhorn is not looked at
_BUMPS: dict[str, Any] = {"data": "one-bump-to-two", "epsilon": 0.1, "tolerance": 1e-12}


# ---- the optimum -------------------------------------------------------------------------------------------------


def _corner(runs: Runs) -> float:
    half = np.full(2, 0.5)
    arrays = {"cost": np.array([[0.0, 1.0], [1.0, 0.0]]), "a": half, "b": half}
    data = Data("2 x 2", "Two points", "transport", arrays, "closed form", "none")
    return float(runs(data=data, epsilon=0.1, cost_unit="one", tolerance=1e-13, **_FEW).plan[0, 0])


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
    """Add a price for each row and column: it moves the potentials, and not the plan."""
    run = runs(**_BUMPS)
    data = datasets.load("one-bump-to-two")
    rng = np.random.default_rng(0)
    cost = data.arrays["cost"]
    shifted = cost + rng.random((cost.shape[0], 1)) + rng.random((1, cost.shape[1]))
    epsilon = 0.1 * float(cost.mean() - cost.min())
    arrays = {"cost": shifted, "a": data.arrays["a"], "b": data.arrays["b"]}
    other = replace(data, name="shifted", arrays=arrays, truth={})
    return float(
        np.abs(runs(data=other, epsilon=epsilon, cost_unit="one", tolerance=1e-12, **_FEW).plan - run.plan).max()
    )


_COST = number("transport_cost", **_SMALL_LAP, **_FEW)
_EPSILONS = (0.3, 0.1, 0.03, 0.01)


def _entropy_bound(runs: Runs) -> float:
    """The largest of <C, P> - LP over epsilon log n."""
    data = datasets.load("random-assignment", n=32)
    cost = data.arrays["cost"]
    unit = float(cost.mean() - cost.min())
    above = [mean(_COST, epsilon=(e,))(runs) - data.truth["lp"] for e in _EPSILONS]
    if min(above) < 0:
        return np.inf
    return max(c / (e * unit * np.log(32)) for c, e in zip(above, _EPSILONS, strict=True))


# ---- rates -------------------------------------------------------------------------------------------------------


def _order(runs: Runs) -> float:
    """The exponent q of e' ~ e^q over the last two Newton steps of the exact method that rounding leaves alone."""
    run = runs(data="normal-clouds", n=64, backend="dense", epsilon=0.05, tolerance=1e-12, **_FEW)
    error = run.history_error.values[np.isfinite(run.nnz_row.values)]
    error = error[error > 1e-13]
    return float(np.log(error[-1] / error[-2]) / np.log(error[-2] / error[-3]))


def _fixed(per_row: float) -> Measure:
    return number("newton_steps", threshold="entries", per_row=per_row, ladder=False, sweeps=20, **_LAP, **_FEW)


def _largest_drop(run: Any) -> Any:
    """What Newton steps left out over what theta and the error before them allow."""
    error = np.r_[1.0, run.history_error.values]
    steps = np.flatnonzero(np.isfinite(run.nnz_row.values))
    allowed = np.minimum(1e-2, np.maximum(error[steps], 0.1 * 1e-10 / error[steps]))
    return (run.dropped_mass.values[steps] / allowed).max()


def _grown(name: str) -> Measure:
    """How many times more when epsilon falls to a tenth."""
    far, near = (
        number(name, data="normal-clouds", epsilon=e, max_sweeps=30_000, tolerance=1e-6) for e in (0.05, 0.005)
    )
    return near / far


def _table(case: dict[str, Any], name: str, **changed: Any) -> Measure:
    return number(name, **(PAPER | case | changed))


CLAIMS = one_run("no training: convex problems; counts of iterations depend on the data only", (
    Claim("two-by-two", "On two points the plan is the closed form.", _corner, 0.5 / (1 + np.exp(-10)),
          "closed form", "==", 1e-12),
    Claim("same-plan", "The plan is that of Sinkhorn's iteration run to its end.", _sinkhorn_apart, 0.0,
          "independent iteration in the log domain", "<=", 1e-10),
    Claim("duality", "The entropic objective of the plan is the optimum of the dual.",
          abs(number("duality_gap", **_BUMPS)), 0.0, "strong duality", "<=", 1e-10),
    Claim("prices", "A price for each row and column moves the potentials and not the plan.", _shift_apart, 0.0,
          "invariance of the problem", "<=", 1e-10),
    Claim("cost-falls", "The transport cost falls with epsilon.",
          rise(_COST, epsilon=_EPSILONS), 0.0, "optimality of both plans", "<="),
    Claim("entropy-bound", "The transport cost exceeds the linear program by at most epsilon log n.", _entropy_bound, 1.0,
          "entropy of a plan with uniform masses; exact assignment", "<="),
    Claim("rate", "Sinkhorn's measured rate is that of s₂².",
          number("sweeps_per_decade_observed", tolerance=1e-10),
          number("sweeps_per_decade", tolerance=1e-10), "linearization at the optimum", "==", 0.05, True),
    Claim("quadratic", "With the whole Hessian the number of digits nearly doubles in the last steps.", _order, 1.8,
          "Newton's method", ">="),
    Claim("dropped", "No step drops more mass than the error before it.", of(_largest_drop, **_LAP, **_FEW), 1.0,
          "the adaptive threshold", "<=", 1e-9),
    Claim("assignment", "The random assignment of 500 points at η = 1200 is solved to 1e-10 in at most 15 Newton steps.",
          number("newton_steps", **_LAP, **_FEW), 15, f"{_PAPER}: 9 steps after 20 sweeps", "<="),
    Claim("sparse", "In the random assignment of 500 points the last Hessian keeps at most 12 entries in a row.",
          of(lambda run: run.nnz_row.dropna("iteration")[-1], **_LAP, **_FEW), 12, "measured: 7", "<="),
    Claim("two-suffice", "Two entries in a row, as in the paper, serve as well as an adaptive threshold.",
          _fixed(2.0), number("newton_steps", **_LAP, **_FEW) + 2,
          f"{_PAPER}, target sparsity 2/n", "<=", should_hold=False,
          note="outside them lies some 7% of the mass, so each step takes off a factor only; 8 in a row suffice"),
    Claim("eight-suffice", "Eight entries in a row do.", _fixed(8.0),
          number("newton_steps", **_LAP, **_FEW) + 4, "measured: 8 steps", "<="),
    Claim("growth", "When epsilon falls to a tenth, sweeps grow at least five times as much as Newton steps.",
          _grown("sinkhorn_sweeps") / _grown("newton_steps"), 5.0,
          "square root of the condition number, and no dependence of Newton's steps on it", ">=", quick=False),
    Claim("large-epsilon", "At half the mean cost Newton saves no work.",
          number("work_ratio", data="normal-clouds", epsilon=0.5, tolerance=1e-6), 1.0,
          f"a review of {_PAPER}", "<="),
    Claim("work", "On the random assignment it takes at most a tenth of Sinkhorn's work.",
          number("work_ratio", max_sweeps=30_000, **_LAP), 10.0, _PAPER, ">=", quick=False),
    Claim("table-assignment", "Random assignment: as few iterations as in the table, with the paper's settings.",
          _table(ASSIGNMENT, "iterations"), 29, _TABLE, "<=", quick=False, should_hold=False,
          note="two entries in a row give linear convergence; the adaptive threshold needs fewer than the table says"),
    Claim("table-assignment-adaptive",
          "Random assignment: as few iterations as in the table, with the adaptive threshold.",
          _table(ASSIGNMENT, "iterations", threshold="adaptive"), 29, _TABLE, "<=",
          quick=False),
    Claim("table-assignment-sinkhorn", "Random assignment: Sinkhorn needs at least half the iterations of the table.",
          _table(ASSIGNMENT, "sinkhorn_sweeps"), 56_199 / 2, _TABLE, ">=", quick=False),
    Claim("table-mnist-l2", "MNIST, squared L2: as few iterations as in the table, with the paper's settings.",
          _table(MNIST_L2, "iterations"), 53, _TABLE, "<=", quick=False, should_hold=False,
          note="the images and the background of the paper are not known; two entries in a row drop too much here"),
    Claim("table-mnist-l2-adaptive",
          "MNIST, squared L2: as few iterations as in the table, with the adaptive threshold.",
          _table(MNIST_L2, "iterations", threshold="adaptive"), 53, _TABLE, "<=",
          quick=False),
    Claim("table-mnist-l2-sinkhorn", "MNIST, squared L2: Sinkhorn's iterations, to within a half.",
          _table(MNIST_L2, "sinkhorn_sweeps"), 2041, _TABLE, "==", 0.5, True, quick=False),
    Claim("table-mnist-l1", "MNIST, L1: as few iterations as in the table, with the paper's settings.",
          _table(MNIST_L1, "iterations"), 777, _TABLE, "<=", quick=False),
    Claim("table-mnist-l1-sinkhorn", "MNIST, L1: Sinkhorn needs at least as many iterations as in the table.",
          _table(MNIST_L1, "sinkhorn_sweeps"), 5748, _TABLE, ">=", quick=False, should_hold=False,
          note="the count hangs on the pair of images and on their background, which the paper does not tell"),
))
