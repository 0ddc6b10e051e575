"""Losses against lifelines, brute force and their definitions."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.survival import losses

cox = jax.jit(losses.cox, static_argnames="ties")
cox_and_slope = jax.jit(jax.value_and_grad(losses.cox), static_argnames="ties")


def sample(n: int = 30, seed: int = 0, tied: bool = True):
    """Log risks, times with ties if asked for, events."""
    rng = np.random.default_rng(seed)
    time = rng.exponential(2, n)
    given = rng.normal(size=n), np.ceil(3 * time) if tied else time, rng.random(n) < 0.6
    return tuple(map(jnp.asarray, given))


def partial_likelihood(risk, time, event, ties: str) -> float:
    """Minus the log partial likelihood over the events, one event after the other."""
    total = 0.0
    for u in np.unique(time[event]):
        here = np.flatnonzero(event & (time == u))
        at_risk, own = np.exp(risk[time >= u]).sum(), np.exp(risk[here]).sum()
        for rank, i in enumerate(here):
            total += risk[i] - np.log(at_risk - (rank / len(here) * own if ties == "efron" else 0))
    return -total / max(1, event.sum())


@pytest.mark.slow
@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_is_the_definition_with_ties_and_padding(ties):
    for seed in range(3):
        risk, time, event = sample(seed=seed)
        expected = partial_likelihood(*(np.asarray(v) for v in (risk, time, event)), ties)
        np.testing.assert_allclose(cox(risk, time, event, ties=ties), expected, rtol=1e-12)
        present = np.arange(36) < 30
        padded = [np.concatenate([v, np.asarray([9, 1e3, 0, 5, 5, 1], v.dtype)]) for v in (risk, time, event)]
        mixed = np.random.default_rng(seed).permutation(36)
        found = cox(*(v[mixed] for v in padded), present[mixed], ties=ties)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        # far risks do not overflow, nor does a large one that left early
        far = cox(risk * 300, time, event, ties=ties)
        assert np.isfinite(far)


@pytest.mark.slow
def test_cox_is_that_of_lifelines():
    """At their fitted coefficients: Efron's as the data are, Breslow's where no two events have one time."""
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    table = load_rossi().astype(float)
    jitter = table.assign(week=table.week + np.random.default_rng(0).random(len(table)) * 0.9)
    for data, forms in ((table, ["efron"]), (jitter, ["breslow", "efron"])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = CoxPHFitter().fit(data, "week", "arrest")
        risk = jnp.asarray(data[fit.params_.index].to_numpy() @ fit.params_.to_numpy())
        event = jnp.asarray(data.arrest.to_numpy())
        for ties in forms:
            found = cox(risk, jnp.asarray(data.week.to_numpy()), event, ties=ties)
            np.testing.assert_allclose(found, -fit.log_likelihood_ / event.sum(), rtol=1e-8)


@pytest.mark.slow
def test_cox_does_not_feel_a_shift_and_its_gradient_sums_to_zero():
    risk, time, event = sample()
    for ties in losses.TIES:
        value, slope = cox_and_slope(risk, time, event, ties=ties)
        np.testing.assert_allclose(cox(risk + 3.7, time, event, ties=ties), value, rtol=1e-12)
        np.testing.assert_allclose(slope.sum(), 0, atol=1e-14)
        h, direction = 1e-5, np.cos(np.arange(30.0))
        ends = [cox(risk + side * h * direction, time, event, ties=ties) for side in (1, -1)]
        np.testing.assert_allclose(np.asarray(slope) @ direction, (ends[0] - ends[1]) / (2 * h), rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [losses.cox, losses.ranking])
def test_nothing_to_compare_is_zero_without_nan(loss):
    risk, time, event = map(np.asarray, sample(5))
    both = jax.jit(jax.value_and_grad(loss))
    for arguments in ((risk[:1], time[:1], event[:1] | True), (risk, time, event & False)):
        value, slope = both(*arguments)
        assert float(value) == 0
        np.testing.assert_array_equal(slope, 0)
    value, slope = both(risk, time, event, np.zeros(5, bool))
    assert float(value) == 0
    np.testing.assert_array_equal(slope, 0)


def test_ranking_is_the_mean_over_pairs():
    risk, time, event = (np.asarray(v) for v in sample())
    pairs = [(i, j) for i in range(30) for j in range(30) if event[i] and time[i] < time[j]]
    expected = -np.mean([1 / (1 + np.exp(risk[j] - risk[i])) for i, j in pairs])
    np.testing.assert_allclose(losses.ranking(*(jnp.asarray(v) for v in (risk, time, event))), expected, rtol=1e-12)


@pytest.mark.slow
def test_discrete_likelihood_is_its_definition():
    rng = np.random.default_rng(0)
    logits, (_, time, event) = rng.normal(size=(30, 4)), sample(tied=False)
    ends = losses.cuts(time, event)
    counts = np.histogram(time[event], np.r_[-np.inf, ends, np.inf])[0]
    assert counts.max() - counts.min() <= 1  # quantiles of the events
    bins = np.asarray(losses.bin_of(time, ends))
    np.testing.assert_array_equal(bins, (np.asarray(time)[:, None] >= np.asarray(ends)[None]).sum(1))
    hazard = 1 / (1 + np.exp(-logits))
    alive = np.cumprod(1 - hazard, axis=1)
    before = np.c_[np.ones(30), alive]
    pmf = before[:, :-1] * hazard
    np.testing.assert_allclose(pmf.sum(1) + np.asarray(losses.survival(jnp.asarray(logits)))[:, -1], 1, rtol=1e-12)
    at = np.arange(30)
    expected = np.where(event, -np.log(pmf[at, bins]), -0.5 * np.log(alive[at, bins])).mean()
    found = losses.nll(jnp.asarray(logits), jnp.asarray(bins), event)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(losses.risk_of(jnp.asarray(logits)), -alive.sum(1), rtol=1e-12)
    padded = jnp.concatenate([jnp.asarray(logits), jnp.full((2, 4), 50.0)])
    more = [jnp.concatenate([jnp.asarray(v), jnp.ones(2, v.dtype)]) for v in (bins, np.asarray(event))]
    np.testing.assert_allclose(losses.nll(padded, *more, jnp.arange(32) < 30), expected, rtol=1e-12)


def test_hazards_of_zero_cost_a_censored_bag_nothing_and_logs_are_clamped():
    none = jnp.full((1, 4), -60.0)
    assert float(losses.nll(none, jnp.array([2]), jnp.array([0]))) < 1e-12
    np.testing.assert_allclose(losses.nll(none, jnp.array([0]), jnp.array([1])), -np.log(1e-7), rtol=1e-9)


def test_refusals():
    risk, time, event = sample(4)
    with pytest.raises(ValueError, match=r"shapes are \[\(3,\), \(4,\)\]"):
        losses.cox(risk, time[:3], event)
    with pytest.raises(ValueError, match="ties = 'exact', but it must be one of 'breslow', 'efron'"):
        losses.cox(risk, time, event, ties="exact")
    with pytest.raises(ValueError, match="all bags are censored"):
        losses.cuts(time, event & False)
    with pytest.raises(ValueError, match="too few different times for 4 bins"):
        losses.cuts(jnp.ones(4), jnp.ones(4))
    with pytest.raises(ValueError, match="bins = 1"):
        losses.cuts(time, event, 1)


@pytest.mark.slow
def test_whole_numbers_and_what_is_no_event_or_bin():
    risk, time, event = [1, 2, 0], [3, 1, 2], [1, 0, 1]
    real = [jnp.asarray(each, float) for each in (risk, time, event)]
    whole = [np.asarray(each) for each in (risk, time, event)]
    for ties in losses.TIES:
        np.testing.assert_allclose(losses.cox(*whole, ties=ties), losses.cox(*real, ties=ties))
    np.testing.assert_allclose(losses.ranking(*whole), losses.ranking(*real))
    logits = jnp.zeros((3, 4))
    for call, sentence in (
        (lambda: losses.cox(real[0], real[1], jnp.asarray([1, 2, 0])), "event is 2 for bag 1"),
        (lambda: losses.ranking(real[0], real[1], jnp.asarray([1, 2, 0])), "event is 2 for bag 1"),
        (lambda: losses.cuts(real[1], jnp.asarray([1, 3, 0]), 2), "event is 3 for bag 1"),
        (
            lambda: losses.nll(logits, jnp.asarray([0, 4, 1]), jnp.asarray(event)),
            "bin is 4 for bag 1, but .* from 0 to 3",
        ),
        (lambda: losses.nll(logits, jnp.asarray([0, -1, 1]), jnp.asarray(event)), "bin is -1 for bag 1"),
        (lambda: losses.nll(logits, jnp.asarray([0, 1, 1]), jnp.asarray(event), alpha=2.0), "alpha = 2 is not allowed"),
        (lambda: losses.bin_of(real[1], jnp.asarray([2.0, 1.0])), "must lie above the one before"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
    absent = losses.nll(logits, jnp.asarray([0, 9, 1]), jnp.asarray([1, 5, 1]), jnp.asarray([True, False, True]))
    np.testing.assert_allclose(absent, losses.nll(logits[:2], jnp.asarray([0, 1]), jnp.asarray([1, 1])))
