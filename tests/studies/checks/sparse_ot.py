"""Values of independent computations, and symmetries, of sparsity-constrained transport."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import number

_CONIC = "independent conic solver on the paper's 1-D example"
_ONE: dict[str, Any] = {"data": "bump-to-bump"}
_TWO: dict[str, Any] = {"data": "one-bump-to-two"}
_ROUTING: dict[str, Any] = {"data": "tokens-to-experts"}
_KS = (1, 2, 3, 4, 6, 8, 12, 16, 32)


def _changed(data: Data, note: str, **arrays: np.ndarray) -> Data:
    return replace(data, name=f"{data.name}, {note}", arrays={**data.arrays, **arrays}, truth={})


def _apart(first: xr.DataArray, second: np.ndarray) -> float:
    return float(np.abs(first.values - second).max())


def _truth(runs: Runs) -> float:
    return datasets.load("bump-to-bump").truth["lp"]


def _support_of_quadratic(runs: Runs) -> int:
    return int(runs(regularizer="quadratic", **_ONE).max_col_nnz)


def _apart_at_support(runs: Runs) -> float:
    sparse = runs(k=_support_of_quadratic(runs), tolerance=1e-9, **_ONE)
    return _apart(sparse.plan, runs(regularizer="quadratic", tolerance=1e-9, **_ONE).plan.values)


def _column_error(runs: Runs) -> float:
    return max(_apart(run.plan.sum("row"), run.b.values) for run in (runs(k=k, **_TWO) for k in _KS))


def _excess_nonzeros(runs: Runs) -> int:
    return max(int((run.plan > 0).sum("row").max()) - k for run, k in ((runs(k=k, **_TWO), k) for k in _KS))


def _sinkhorn_apart(runs: Runs) -> float:
    """The plan against Sinkhorn's iteration in the log domain, written out here."""
    data = datasets.load("bump-to-bump").arrays
    epsilon, cost, a, b = 1e-2, data["cost"], data["a"], data["b"]
    f, g = np.zeros(len(a)), np.zeros(len(b))

    def soft_min(z: np.ndarray, axis: int) -> np.ndarray:
        low = z.min(axis, keepdims=True)
        return low.squeeze(axis) - epsilon * np.log(np.exp((low - z) / epsilon).sum(axis))

    for _ in range(3000):
        f = epsilon * np.log(a) + soft_min(cost - g, 1)
        g = epsilon * np.log(b) + soft_min(cost - f[:, None], 0)
    plan = np.exp((f[:, None] + g - cost) / epsilon)
    return _apart(runs(regularizer="entropic", gamma=epsilon, tolerance=1e-9, **_ONE).plan, plan)


def _transposed_apart(runs: Runs) -> float:
    """The plan with at most 3 nonzeros in a row against the transposed plan of the transposed problem."""
    data = datasets.load("one-bump-to-two")
    kept = data.arrays
    turned = replace(
        data,
        name="two bumps to one",
        truth={},
        arrays={"cost": kept["cost"].T, "a": kept["b"], "b": kept["a"], "x": kept["y"], "y": kept["x"]},
    )
    return _apart(runs(k=3, constraint="rows", **_TWO).plan, runs(k=3, data=turned).plan.values.T)


def _scaled_apart(runs: Runs) -> float:
    data = datasets.load("bump-to-bump")
    scaled = _changed(data, "cost times 7", cost=7 * data.arrays["cost"])
    return _apart(runs(k=16, **_ONE).plan, runs(k=16, gamma=7.0, data=scaled).plan.values)


def _shifted_apart(runs: Runs) -> float:
    """Any amount added to all costs of a source and of a target, as large as the costs."""
    data = datasets.load("bump-to-bump")
    rng = np.random.default_rng(5)
    shift = rng.standard_normal((32, 1)) + rng.standard_normal((1, 32))
    shifted = _changed(data, "shifted", cost=data.arrays["cost"] + shift)
    return _apart(runs(k=16, tolerance=1e-9, **_ONE).plan, runs(k=16, tolerance=1e-9, data=shifted).plan.values)


def _price(runs: Runs) -> float:
    """The change of the value when a little mass moves from target 20 to target 12."""
    data = datasets.load("bump-to-bump")
    step = 1e-5 * (np.arange(32) == 12) - 1e-5 * (np.arange(32) == 20)
    ends = [
        number("value", k=16, tolerance=1e-10, data=_changed(data, note, b=data.arrays["b"] + sign * step))(runs)
        for note, sign in (("more at 12", 1), ("less at 12", -1))
    ]
    return (ends[0] - ends[1]) / 2e-5


def _price_told(runs: Runs) -> float:
    beta = runs(k=16, tolerance=1e-10, **_ONE).beta.values
    return float(beta[12] - beta[20])


def _uncovered_top(k: int):
    def measure(runs: Runs) -> float:
        gates = runs(k=k, **_ROUTING).gates.values
        chosen = np.argsort(-gates, axis=0, kind="stable")[:k]
        dispatch = np.zeros(gates.shape)
        np.put_along_axis(dispatch, chosen, 1.0, 0)
        return _uncovered(dispatch)

    return measure


def _uncovered_plan(k: int):
    return lambda runs: _uncovered(runs(k=k, **_ROUTING).plan.values)


def _uncovered(plan: np.ndarray) -> float:
    return float((~(plan > 0).any(1)).mean())


CHECKS = one_run(
    "no training: convex problems, solved to their optimum",
    (
        Claim(
            "lp",
            "The linear program of the paper's 1-D example costs what keeping the order of the mass costs.",
            number("lp", k=1, **_ONE),
            _truth,
            "closed form: monotone rearrangement on a line",
            tolerance=1e-12,
        ),
        Claim(
            "value-k1",
            "The optimum at k = 1, strength 1, in the paper's 1-D example.",
            number("value", k=1, **_ONE),
            0.0663317,
            _CONIC,
            tolerance=3e-4,
            relative=True,
        ),
        Claim(
            "value-quadratic",
            "The optimum without constraint on k, strength 1, in the paper's 1-D example.",
            number("value", regularizer="quadratic", **_ONE),
            0.0457701,
            _CONIC,
            tolerance=1e-7,
        ),
        Claim(
            "columns-hold",
            "The columns of a semi-dual plan have the mass that targets ask for, at every k: the largest error.",
            _column_error,
            0.0,
            "definition of the semi-dual",
            relation="<=",
            tolerance=1e-12,
        ),
        Claim(
            "k-sparse",
            "No column has more than k nonzeros: the largest excess, counted.",
            _excess_nonzeros,
            0,
            "definition",
            relation="<=",
        ),
        Claim(
            "plateau-plan",
            "From there on the plans are the same too: the largest difference of an entry.",
            _apart_at_support,
            0.0,
            "limit of large k",
            relation="<=",
            tolerance=1e-6,
        ),
        Claim(
            "sinkhorn",
            "The entropic plan is Sinkhorn's at ε = γ: the largest difference of an entry.",
            _sinkhorn_apart,
            0.0,
            "independent solver: Sinkhorn in the log domain",
            relation="<=",
            tolerance=1e-6,
        ),
        Claim(
            "transpose",
            "Counting nonzeros of rows is the transposed problem: the largest difference of an entry.",
            _transposed_apart,
            0.0,
            "symmetry of the problem",
            relation="<=",
            tolerance=1e-9,
        ),
        Claim(
            "scale",
            "Cost and strength times 7 leave the plan as it is: the largest difference of an entry.",
            _scaled_apart,
            0.0,
            "homogeneity of the problem",
            relation="<=",
            tolerance=1e-8,
        ),
        Claim(
            "shift",
            "An amount added to all costs of a source or a target leaves the plan as it is.",
            _shifted_apart,
            0.0,
            "the masses are fixed, so the cost changes by a constant",
            relation="<=",
            tolerance=1e-7,
        ),
        Claim(
            "price",
            "A potential is a price: moving mass between two targets changes the value by the difference of β.",
            _price,
            _price_told,
            "envelope theorem against central differences",
            tolerance=1e-5,
            relative=True,
        ),
        Claim(
            "routing-baseline",
            "When each of 8 experts picks 32 of 256 tokens by gate alone, this share has no expert.",
            _uncovered_top(32),
            0.223,
            "independent implementation of expert-choice routing",
            tolerance=1e-3,
        ),
        Claim(
            "routing-twice",
            "With twice the capacity no token is left, against 1.6% by gate alone.",
            _uncovered_plan(64),
            0.0,
            "independent implementation",
            relation="<=",
            quick=False,
        ),
    ),
)
