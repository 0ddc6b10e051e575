"""What the paper and mathematics say of sparsity-constrained transport, measured."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import largest, number, rise

_SHEET = "independent conic solver on the paper's 1-D example"
_PAPER = "Liu, Puigcerver, Blondel, ICLR 2023"
_ONE: dict[str, Any] = {"data": "bump-to-bump"}
_TWO: dict[str, Any] = {"data": "one-bump-to-two"}
_ROUTING: dict[str, Any] = {"data": "tokens-to-experts"}
_KS = (1, 2, 3, 4, 6, 8, 12, 16, 32)


def _changed(data: Data, note: str, **arrays: np.ndarray) -> Data:
    return replace(data, name=f"{data.name}, {note}", arrays={**data.arrays, **arrays}, truth={})


def _apart(first: xr.DataArray, second: np.ndarray) -> float:
    return float(np.abs(first.values - second).max())


# ---- values ----------------------------------------------------------------------------------------------------


def _truth(runs: Runs) -> float:
    return datasets.load("bump-to-bump").truth["lp"]


def _k1_without_shift(runs: Runs) -> float:
    run = runs(k=1)
    return float(run.value) - 0.5 * float(run.b @ run.b)


def _support_of_quadratic(runs: Runs) -> int:
    return int(runs(regularizer="quadratic", **_ONE).max_col_nnz)


def _at_support(runs: Runs) -> float:
    return number("value", k=_support_of_quadratic(runs), **_ONE)(runs)


def _apart_at_support(runs: Runs) -> float:
    sparse = runs(k=_support_of_quadratic(runs), tolerance=1e-9, **_ONE)
    return _apart(sparse.plan, runs(regularizer="quadratic", tolerance=1e-9, **_ONE).plan.values)


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A plan of as many targets as sources with two sources a target: the smallest left, and a part of the largest."""
    plan, left, sources, targets = np.zeros((a.size, b.size)), a.copy(), [*range(a.size)], [*range(b.size)]
    while len(sources) > 1:
        sources.sort(key=left.__getitem__)
        small, large = sources.pop(0), sources[-1]
        fits = [j for j in targets if left[small] <= b[j] <= left[small] + left[large]]
        targets.remove(target := min(fits, key=b.__getitem__))
        plan[small, target], plan[large, target] = left[small], b[target] - left[small]
        left[large] -= plan[large, target]
    plan[sources[0], targets[0]] = b[targets[0]]
    return plan


def _sources_of_pairs(runs: Runs) -> float:
    """The most sources of a target in such a plan; infinite where it misses a marginal."""
    most = 0.0
    for run in (runs(), runs(**_TWO)):
        a, b = run.a.values.astype(float), run.b.values.astype(float)
        plan = _paired(a, b)
        missed = max(np.abs(plan.sum(1) - a).max(), np.abs(plan.sum(0) - b).max(), -plan.min())
        most = max(most, (plan > 0).sum(0).max() if missed < 1e-12 else np.inf)
    return float(most)


def _certificate(runs: Runs) -> float:
    """How far the value can be from the optimum: weak duality with the relaxed plan, relative to the value."""
    from lab import ot
    from lab.ot.bounds import duality_gap

    run = runs(k=2, plan="relaxed", **_TWO)
    data = datasets.load("one-bump-to-two").arrays
    problem = ot.problem(data["cost"], data["a"], data["b"])
    gap = duality_gap(problem, float(run.value), jnp.asarray(run.plan.values), 1.0, 2)
    return float(gap) / float(run.value)


# ---- plans -----------------------------------------------------------------------------------------------------


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
        data, name="two bumps to one", truth={},
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


# ---- routing ---------------------------------------------------------------------------------------------------


def _uncovered(plan: np.ndarray) -> float:
    return float((~(plan > 0).any(1)).mean())


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


CLAIMS = one_run("no training: convex problems, solved to their optimum", (
    Claim(
        "lp", "The linear program of the paper's 1-D example costs what keeping the order of the mass costs.",
        number("lp", k=1, **_ONE), _truth,
        "closed form: monotone rearrangement on a line", tolerance=1e-12,
    ),
    Claim(
        "value-k1", "The optimum at k = 1, strength 1, in the paper's 1-D example.",
        number("value", k=1, **_ONE), 0.0663317, _SHEET, tolerance=3e-4, relative=True,
    ),
    Claim(
        "value-quadratic", "The optimum without constraint on k, strength 1, in the paper's 1-D example.",
        number("value", regularizer="quadratic", **_ONE), 0.0457701, _SHEET, tolerance=1e-7,
    ),
    Claim(
        "k1-is-linear-program", "At k = 1 the strength only adds a constant: the value less ½γ‖b‖² is the linear "
        "program's.", _k1_without_shift, number("lp", k=1),
        "closed form against an exact linear program", tolerance=1e-3, relative=True,
    ),
    Claim(
        "monotone", "More nonzeros never cost more: the largest rise of the value from one k to the next.",
        rise(number("value", **_TWO), k=_KS), 0.0, f"{_PAPER}: nested constraints", relation="<=", tolerance=1e-8,
    ),
    Claim(
        "lower-bound", "The value is never below LP + γL: the largest shortfall over k.",
        largest(number("lower", **_TWO) - number("value", **_TWO), k=_KS), 0.0,
        "Blondel, Seguy, Rolet, AISTATS 2018, extended to k", relation="<=", tolerance=1e-8,
    ),
    Claim(
        "upper-bound", "The value is never above LP + γ/2‖b‖²: the largest excess over k.",
        largest(number("value", **_TWO) - number("upper", **_TWO), k=_KS), 0.0,
        "Blondel, Seguy, Rolet, AISTATS 2018", relation="<=", tolerance=1e-8,
    ),
    Claim(
        "columns-hold", "The columns of a semi-dual plan have the mass that targets ask for, at every k: the largest "
        "error.", _column_error, 0.0, f"{_PAPER}, semi-dual", relation="<=", tolerance=1e-12,
    ),
    Claim(
        "k-sparse", "No column has more than k nonzeros: the largest excess, counted.",
        _excess_nonzeros, 0, f"{_PAPER}, definition", relation="<=",
    ),
    Claim(
        "plateau", "From the largest support of the quadratic plan on, the constraint costs nothing.",
        _at_support, number("value", regularizer="quadratic", **_ONE),
        f"{_PAPER}, limit of large k", tolerance=1e-8, relative=True,
    ),
    Claim(
        "plateau-plan", "From there on the plans are the same too: the largest difference of an entry.",
        _apart_at_support, 0.0, f"{_PAPER}, limit of large k", relation="<=", tolerance=1e-6,
    ),
    Claim(
        "certificate", "The value at k = 2 with ties is optimal: the relative gap to the relaxed plan, certified by "
        "weak duality.", _certificate, 0.0, "weak duality with half the squared k-support norm", relation="<=",
        tolerance=2e-4,
    ),
    Claim(
        "relaxed-feasible", "The relaxed plan meets both marginals where the k-sparse one misses the rows.",
        number("row_error_l1", k=2, plan="relaxed", **_TWO), 0.0,
        "biconjugate: half the squared k-support norm", relation="<=", tolerance=1e-6,
    ),
    Claim(
        "rows-miss", "At k = 2 from one bump to two, columns tie and the k-sparse plan misses the rows by far.",
        number("row_error_l1", k=2, **_TWO), 0.05,
        "analysis of ties: how far depends on which optimal potentials are found, 0.1 to 0.2 is usual", relation=">=",
    ),
    Claim(
        "two-sources", "Plans with at most 2 sources per target satisfy both marginals, of the default data and of one bump "
        "to two.",
        _sources_of_pairs, 2.0, "construction: the smallest source left and a part of the largest", relation="<=",
    ),
    Claim(
        "one-source", "At k = 1 no plan satisfies both marginals of the default data: one source has less mass than every "
        "target.",
        lambda runs: float(runs().a.min()), lambda runs: float(runs().b.min()), "each target takes all from one source",
        relation="<",
    ),
    Claim(
        "sinkhorn", "The entropic plan is Sinkhorn's at ε = γ: the largest difference of an entry.",
        _sinkhorn_apart, 0.0, "independent solver: Sinkhorn in the log domain", relation="<=", tolerance=1e-6,
    ),
    Claim(
        "transpose", "Counting nonzeros of rows is the transposed problem: the largest difference of an entry.",
        _transposed_apart, 0.0, "symmetry of the problem", relation="<=", tolerance=1e-9,
    ),
    Claim(
        "scale", "Cost and strength times 7 leave the plan as it is: the largest difference of an entry.",
        _scaled_apart, 0.0, "homogeneity of the problem", relation="<=", tolerance=1e-8,
    ),
    Claim(
        "shift", "An amount added to all costs of a source or a target leaves the plan as it is.",
        _shifted_apart, 0.0, "the masses are fixed, so the cost changes by a constant", relation="<=", tolerance=1e-7,
    ),
    Claim(
        "price", "A potential is a price: moving mass between two targets changes the value by the difference of β.",
        _price, _price_told, "envelope theorem against central differences", tolerance=1e-5, relative=True,
    ),
    Claim(
        "routing-baseline", "When each of 8 experts picks 32 of 256 tokens by gate alone, this share has no expert.",
        _uncovered_top(32), 0.223, "independent implementation of expert-choice routing", tolerance=1e-3,
    ),
    Claim(
        "routing", "With k-sparse transport at most 2% of the tokens are left without an expert.",
        _uncovered_plan(32), 0.02, f"{_PAPER}, routing, scaled down; independent implementation", relation="<=",
    ),
    Claim(
        "routing-twice", "With twice the capacity no token is left, against 1.6% by gate alone.",
        _uncovered_plan(64), 0.0, f"{_PAPER}, routing, scaled down; independent implementation", relation="<=",
        quick=False,
    ),
    Claim(
        "more-k-less-error", "Between the colours of two photographs, k = 8 misses the rows by less than k = 1.",
        number("row_error_l1", k=8), number("row_error_l1", k=1),
        f"{_PAPER}, colour transfer", relation="<=",
    ),
    Claim(
        "always-feasible", "The plan recovered from the dual meets both marginals at k = 2.",
        number("row_error_l1", k=2, **_TWO), 0.0, "what one might read from the primal problem",
        relation="<=", tolerance=1e-6, should_hold=False,
        note="The dual solves the relaxed problem. Where a column ties at the optimum, the plan recovered from "
        "the dual has a positive row-marginal error after any number of iterations. The relaxed plan and other 2-sparse "
        "plans satisfy both marginals.",
    ),
))
