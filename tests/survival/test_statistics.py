"""The C-index, Kaplan-Meier curves and the log-rank test against lifelines, on data with many ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.survival import statistics

cindex, kaplan_meier, log_rank = map(jax.jit, (statistics.cindex, statistics.kaplan_meier, statistics.log_rank))


@pytest.fixture(scope="module")
def cohort():
    """Breast cancer patients of lifelines: times, events, a rounded risk that has ties."""
    from lifelines.datasets import load_gbsg2

    table = load_gbsg2()
    time = np.ceil(table.time.to_numpy() / 30.0)
    return time, table.cens.to_numpy(), np.round(np.log(table.pnodes.to_numpy()), 1)


def padded(*arrays, more: int = 7):
    """With bags that are not there, in the middle."""
    made = [np.insert(np.asarray(a, float), 100, np.linspace(0, 40, more)) for a in arrays]
    return (*made, np.insert(np.ones(len(arrays[0]), bool), 100, np.zeros(more, bool)))


@pytest.mark.slow
def test_cindex_is_that_of_lifelines(cohort):
    from lifelines.utils import concordance_index

    time, event, risk = cohort
    expected = concordance_index(time, -risk, event)
    np.testing.assert_allclose(cindex(risk, time, event), expected, rtol=1e-12)
    r, t, e, here = padded(risk, time, event)
    np.testing.assert_allclose(cindex(r, t, e, here), expected, rtol=1e-12)
    np.testing.assert_allclose(cindex(np.exp(r / 3), t, e, here), expected, rtol=1e-12)


@pytest.mark.slow
def test_cindex_of_known_orders():
    time, event = np.arange(1.0, 9), np.array([1, 0, 1, 1, 0, 1, 1, 0])
    assert float(cindex(-time, time, event)) == 1
    assert float(cindex(time, time, event)) == 0
    assert float(cindex(0 * time + 1e-9 * time, time, event)) == 0.5
    assert np.isnan(cindex(time, time, 0 * event))
    # of two equal times the event came before the censoring; two events of one time can't be compared
    two, first = np.array([3.0, 3.0]), np.array([1.0, 0])
    assert float(cindex(first, two, np.array([1, 0]))) == 1
    assert float(cindex(first, two, np.array([0, 1]))) == 0
    assert np.isnan(cindex(first, two, np.array([1, 1])))


@pytest.mark.slow
def test_kaplan_meier_is_that_of_lifelines(cohort):
    from lifelines import KaplanMeierFitter

    time, event, _ = cohort
    fit = KaplanMeierFitter().fit(time, event)
    at = fit.survival_function_.index.to_numpy()
    t, e, here = padded(time, event)
    for arguments in ((time, event, at), (t, e, at, here)):
        found = kaplan_meier(*arguments)
        np.testing.assert_allclose(found.survival, fit.survival_function_.to_numpy()[:, 0], rtol=1e-10)
        low, high = fit.confidence_interval_.to_numpy().T
        np.testing.assert_allclose(found.low, low, atol=1e-8)
        np.testing.assert_allclose(found.high, high, atol=1e-8)
    between = kaplan_meier(time, event, at + 0.5)
    np.testing.assert_allclose(between.survival, found.survival)


@pytest.mark.slow
def test_greenwood_without_censoring_is_binomial():
    """Then the estimate is a share of n, of variance S (1 - S) / n; and at the end none is left."""
    time = np.random.default_rng(0).permutation(20) + 1.0
    found = kaplan_meier(time, np.ones(20), np.arange(0.0, 22))
    share = np.clip(1 - np.arange(22) / 20, 0, 1)
    np.testing.assert_allclose(found.survival, share, atol=1e-12)
    np.testing.assert_allclose(found.variance, share * (1 - share) / 20, atol=1e-12)
    assert np.isnan(found.low[-1])
    assert float(found.low[0]) == float(found.high[0]) == 1


@pytest.mark.slow
def test_log_rank_is_that_of_lifelines(cohort):
    from lifelines.statistics import logrank_test

    time, event, risk = cohort
    group = np.asarray(statistics.above_median(jnp.asarray(risk)))
    np.testing.assert_array_equal(group, risk > np.median(risk))
    theirs = logrank_test(time[group], time[~group], event[group], event[~group])
    t, e, g, here = padded(time, event, group)
    for found in (
        log_rank(time, event, group),
        log_rank(t, e, g > 0.5, here),
    ):
        np.testing.assert_allclose(found.chi2, theirs.test_statistic, rtol=1e-10)
        np.testing.assert_allclose(found.p, theirs.p_value, rtol=1e-8)
    none = log_rank(t, e, np.zeros(t.size, bool), here)
    assert (float(none.chi2), float(none.p)) == (0, 1)


def test_published_p_values_are_those_of_their_statistics():
    published = (
        (4.457, 3.5e-2),
        (12.916, 3.3e-4),
        (9.300, 2.3e-3),
        (7.146, 7.5e-3),
        (6.800, 9.1e-3),
        (38.428, 5.7e-10),
    )
    for chi2, p in published:
        np.testing.assert_allclose(statistics.chi2_tail(chi2), p, rtol=0.03)


def test_half_of_the_bags_is_above_the_median_of_those_present():
    risk = jnp.asarray(np.random.default_rng(1).normal(size=21))
    here = jnp.arange(21) < 16
    assert int(statistics.above_median(risk, here).sum()) == 8
    assert not statistics.above_median(risk, here)[16:].any()


@pytest.mark.slow
def test_plain_arrays_and_whole_numbers():
    """NumPy, whole times, events as booleans or 0 and 1: one answer."""
    time, event, risk, group = [5, 3, 8, 1], [1, 0, 1, 1], [2, 1, 0, 3], [0, 1, 1, 0]
    given = jnp.asarray(time, float), jnp.asarray(event, bool), jnp.asarray(risk, float), jnp.asarray(group, bool)
    for as_given in (np.asarray, jnp.asarray):
        t, e, r, g = (as_given(each) for each in (time, event, risk, group))
        assert statistics.cindex(r, t, e) == statistics.cindex(given[2], given[0], given[1]) == 1
        np.testing.assert_allclose(statistics.log_rank(t, e, g), statistics.log_rank(given[0], given[1], given[3]))
        np.testing.assert_allclose(
            statistics.kaplan_meier(t, e, np.array([0, 4, 9])),
            statistics.kaplan_meier(*given[:2], jnp.asarray([0.0, 4, 9])),
        )
        np.testing.assert_array_equal(statistics.above_median(r), [True, False, False, True])
        assert statistics.log_rank(t, e, g).p < 1


def test_what_is_no_event_or_group():
    t, a = np.array([1.0, 2.0, 3.0]), np.array
    for call, sentence in (
        (lambda: statistics.cindex(t, t, a([1, 2, 0])), "event is 2 for bag 1, but it must be 1 or 0"),
        (lambda: statistics.kaplan_meier(t, a([1, 0, -1]), t), "event is -1 for bag 2"),
        (lambda: statistics.log_rank(t, a([1, 1, 0]), a([0, 2, 2])), "group is 2 for bag 1, but it must be 1 or 0"),
        (lambda: statistics.log_rank(t, a([1, 1, 0]), a([0, 1])), "one number for each bag"),
        (lambda: statistics.cindex(t, a([1.0, np.nan, 2.0]), a([1, 1, 0])), "time is nan for bag 1"),
        (lambda: statistics.cindex(a([1.0, np.nan, 2.0]), t, a([1, 1, 0])), "risk is nan for bag 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
    # who is absent may hold anything
    given = [2.0, np.nan, 1.0], [1.0, np.nan, 2.0], [1, 7, 0], [True, False, True]
    assert statistics.cindex(*map(np.array, given)) == 1
