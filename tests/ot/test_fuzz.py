"""A small part of ``python -m benchmarks.fuzz``, and the faults that it and its like have found."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import fuzz
from lab import ot
from lab.numerics import Reason


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lab.numerics.NotConverged")
def test_no_door_says_converged_of_marginals_that_are_off(monkeypatch):
    """And nearly all problems in float64 do converge, at 1e-4 of the mean cost and masses over 12 decades too."""
    monkeypatch.setattr(fuzz, "followed", lambda case, found: None)  # what advice helps is not asked here
    counted = fuzz.run(problems=150, show=4, shapes=((30, 12),), single=0.0)  # one shape: each is compiled
    for door, found in counted.items():
        assert found["wrong"] == 0, door
        solved, converged = found["double"]
        least = 1.0 if door in ("balanced", "unbalanced", "partial") else 0.9
        assert converged >= least * solved, door


@pytest.mark.slow
def test_columns_that_nothing_reaches_do_not_overflow():
    """Of weights over four decades, with masses over 1e5: the mass of a column underflowed, and what it was divided by."""
    for number in (70112, 71494, 71543, 70321):
        case = fuzz.draw(number, "unbalanced")
        found = fuzz.solve(case)
        assert found.converged
        assert fuzz.off(case, found) <= fuzz.allowed(case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lab.numerics.NotConverged")
@pytest.mark.parametrize(("door", "numbers"), [("balanced", (70058, 70142, 70172)), ("partial", (70026, 70077))])
def test_float32_converges_to_what_its_rounding_leaves(door, numbers):
    """Where no plan of float32 is right to 1e-5, the default asks for what it can hold."""
    cases = [fuzz.draw(number, door) for number in numbers]
    for case in cases:
        assert case.problem.cost.dtype == jnp.float32
        found = fuzz.solve(case)
        assert found.converged
        assert fuzz.off(case, found) <= fuzz.allowed(case) <= 2e-3
    assert not all(fuzz.solve(case, tolerance=1e-5).converged for case in cases)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lab.numerics.NotConverged")
def test_duplicate_rows_with_masses_over_twelve_decades():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 2))[rng.integers(0, 10, 30)]
    a, b = 10 ** rng.uniform(-12, 0, 30), np.full(12, 1.0)
    for total in (1.0, 1e-8):
        p = ot.from_points(x, rng.normal(size=(12, 2)), total * a / a.sum(), total * b / b.sum())
        mean = float(p.cost.mean())
        for regularizer in (ot.Quadratic(0.01 * mean / total), ot.Entropic(0.002 * mean)):
            found = ot.solve(p, regularizer)
            plan = np.asarray(found.plan())
            off = np.abs(plan.sum(1) - p.a).sum() + np.abs(plan.sum(0) - p.b).sum()
            assert off <= 1.01e-6 * total or not found.converged


@pytest.mark.slow
def test_costs_beyond_the_precision_of_the_strength_are_refused():
    cost = np.random.default_rng(0).random((6, 5))
    for scale in (1e26, 1e147):
        for regularizer in (ot.Quadratic(1.0), ot.KSparse(1.0, 2), ot.Entropic(1.0)):
            with pytest.raises(ValueError, match="divide the costs by their mean"):
                ot.solve(ot.problem(scale * cost), regularizer)
    found = ot.solve(ot.problem(1e147 * cost), ot.Entropic(1e146))  # of a fitting strength they are as good as others
    assert int(found.reason) == Reason.CONVERGED
    np.testing.assert_allclose(found.value / 1e147, ot.solve(ot.problem(cost), ot.Entropic(0.1)).value, rtol=1e-6)


def test_a_total_below_the_rounding_of_the_scores_is_one_entry():
    """NaN before: columns of next to no mass, beside rows whose potentials are 1e12 times the strength."""
    p = ot.problem(np.random.default_rng(0).random((6, 5)))
    p = p._replace(b=p.b * 1e-20)
    alpha = np.array([1e12, 1e12 + 7, 0.0, 3.0, 1e12 - 5, 2.0])
    plan = ot.semi_dual(p, ot.Quadratic(1.0), jnp.asarray(alpha)).plan
    np.testing.assert_allclose(plan.sum(0), p.b, rtol=1e-12)
