"""Verdicts on claims over seeds: the relation is judged by the 95% interval of the mean."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from lab.cli.commands import _verdict_line
from lab.studies import Claim
from lab.studies.contract.verify import judge
from lab.studies.vocabulary import number

ERROR = np.array([0.25, 0.28, 0.31, 0.27, 0.34])
RIVAL = np.array([0.30, 0.35, 0.33, 0.34, 0.40])
LOW, HIGH = stats.t.interval(0.95, 4, ERROR.mean(), stats.sem(ERROR))
CLAIM = Claim("error", "The error is as stated.", number("error"), 0.0, "an example", seeds=range(5))


def runs(seed=0, times=1.0):
    return xr.Dataset({"error": times * ERROR[seed], "rival": RIVAL[seed]})


@pytest.mark.parametrize(
    ("relation", "bound", "holds"),
    [
        *(("<=", LOW - 1e-9, False), ("<=", LOW + 1e-9, True), (">=", HIGH + 1e-9, False), (">=", HIGH - 1e-9, True)),
        *(("<", HIGH - 1e-9, False), ("<", HIGH + 1e-9, True), (">", LOW + 1e-9, False), (">", LOW - 1e-9, True)),
        *(("==", LOW - 1e-9, False), ("==", LOW + 1e-9, True), ("==", HIGH - 1e-9, True), ("==", HIGH + 1e-9, False)),
    ],
)
def test_a_relation_is_judged_by_the_interval_of_the_mean(relation, bound, holds):
    verdict = judge(replace(CLAIM, expected=bound, relation=relation), runs)
    assert verdict.holds == holds
    assert verdict.measured == pytest.approx(ERROR.mean())
    assert verdict.interval == pytest.approx((LOW, HIGH))
    assert verdict.as_dict()["seeds"] == 5
    moved = judge(replace(CLAIM, expected=bound - 0.1, relation=relation, tolerance=0.1), runs)
    if relation in ("<=", "<"):
        assert moved.holds == holds


def test_methods_of_the_same_runs_are_compared_in_pairs():
    claim = replace(CLAIM, expected=number("rival"), relation="<")
    verdict = judge(claim, runs)
    low, high = stats.ttest_rel(ERROR, RIVAL).confidence_interval(0.95)
    assert verdict.expected == pytest.approx(RIVAL.mean())
    assert verdict.interval == pytest.approx((RIVAL.mean() + low, RIVAL.mean() + high))
    assert verdict.holds  # though the intervals of the two means overlap
    assert not judge(replace(claim, measure=number("error", times=1.1)), runs).holds
    assert "(5 seeds, paired, 95%: " in _verdict_line(verdict)


def test_a_seed_without_a_number_fails_the_claim():
    assert not judge(replace(CLAIM, measure=number("error", times=np.nan), relation=">=", expected=-1.0), runs).holds
    assert "no variable" in judge(replace(CLAIM, measure=number("none")), runs).error.lower()


@pytest.mark.parametrize(("relation", "holds"), [("<=", True), (">=", True), ("==", True), ("<", False), (">", False)])
def test_one_run_is_judged_by_its_number(relation, holds):
    verdict = judge(replace(CLAIM, seeds=(), expected=0.25, relation=relation), runs)
    assert verdict.holds == holds
    assert verdict.interval is None
