"""The interval of a mean against SciPy's test, and how often it holds the truth."""

import numpy as np
import pytest
from scipy import stats

from lab.numerics.statistics import mean_interval, student

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_intervals_are_those_of_the_t_test(share):
    values = RNG.normal(size=(3, 4))
    found = mean_interval(values, share)
    low, high = stats.ttest_1samp(values.ravel(), 0).confidence_interval(share)
    np.testing.assert_allclose(found, [values.mean(), stats.sem(values.ravel()), low, high], rtol=1e-12)
    np.testing.assert_allclose(found.half, (high - low) / 2, rtol=1e-12)


def test_of_one_value_nothing_but_the_mean_is_known():
    found = mean_interval([2.0])
    assert found.mean == 2
    assert np.isnan([found.error, found.low, found.high, found.half]).all()


def test_reach_of_many_counts_at_once():
    np.testing.assert_allclose(student([2, 5, 100]), stats.t.ppf(0.975, [1, 4, 99]))
    assert np.isnan(student([0, 1])).all()
    assert student(10**6) == pytest.approx(1.96, abs=1e-3)


@pytest.mark.parametrize(("values", "share"), [([], 0.95), ([1.0, 2.0], 1.0), ([1.0, 2.0], 0.0)])
def test_what_has_no_interval_is_refused(values, share):
    with pytest.raises(ValueError, match="but"):
        mean_interval(values, share)
