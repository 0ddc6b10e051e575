"""Windows, forecasts and their errors, against scikit-learn, SciPy, closed forms and an LSTM that learns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from lab.numerics import Chunked, Reason
from lab.traffic import forecasting, graphs, metrics, simulation, spectra, streams, windows

SEEN, AHEAD, K = 6, 10, 2
AGENTS, FRAMES = 12, 24


def cut(positions, mask=None, stride=4, turn=False):
    """Windows of one road."""
    there = jnp.ones(positions.shape[:2], bool) if mask is None else mask
    return windows.cut(positions, there, windows.starts(len(positions), SEEN, AHEAD, stride), SEEN, AHEAD, turn)


@pytest.fixture(scope="module")
def roads():
    """Of four seeds: three to learn from, one to test on."""
    return simulation.roads((0, 1, 2, 100), AGENTS, FRAMES)[0].position


@pytest.fixture(scope="module")
def learnt(roads):
    """Windows with the rows of eigenvectors, of all roads that are learned from and of that which tests."""

    def scenes(positions):
        found = spectra.spectrum(graphs.laplacian(graphs.adjacency(positions)))
        parts = spectra.largest(found, K).vectors, spectra.embedding(found, K)
        rows = jnp.concatenate([spectra.align(each) for each in parts], axis=-1)
        first = windows.starts(FRAMES, SEEN, AHEAD, 2)
        whole = jnp.swapaxes(rows[first[:, None] + np.arange(SEEN + AHEAD)], 1, 2)
        return streams.Scenes(cut(positions, stride=2), whole[:, :, :SEEN], whole[:, :, SEEN:])

    each = [scenes(positions) for positions in roads]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *each[:3]), each[3]


# -- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_windows_are_the_frames_and_lead_back(roads):
    rng = np.random.default_rng(0)
    mask = jnp.asarray(rng.uniform(size=(FRAMES, AGENTS)) > 0.03)
    for turn in (False, True):
        found = cut(roads[0], mask, turn=turn)
        assert found.past.shape == (3, AGENTS, SEEN, 2)
        back = windows.outward(found.future, found.origin, found.heading)
        for s, first in enumerate((0, 4, 8)):
            after = np.asarray(roads[0][first + SEEN : first + SEEN + AHEAD])
            known = np.asarray(mask[first : first + SEEN + AHEAD])
            np.testing.assert_array_equal(found.there[s], known.all(axis=0))
            np.testing.assert_array_equal(found.seen[s], known[:SEEN].all(axis=0))
            whole = known.all(axis=0)
            np.testing.assert_allclose(np.asarray(back[s])[whole], after.swapaxes(0, 1)[whole], atol=1e-9)
        np.testing.assert_array_equal(found.past[:, :, -1], 0)
        if turn:
            np.testing.assert_allclose(np.asarray(found.past[..., 0, 1])[np.asarray(found.seen)], 0, atol=1e-9)


@pytest.mark.slow
def test_windows_of_a_turned_road_are_the_same_along_headings(roads):
    c, s = np.cos(1.1), np.sin(1.1)
    turned = roads[0] @ jnp.array([[c, s], [-s, c]]) + 30.0
    for one, other in zip(cut(turned, turn=True)[:2], cut(roads[0], turn=True)[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_windows_that_can_not_be_get_a_sentence():
    for given, sentence in (
        ((20, 1, 10), "observed = 1 frames"),
        ((20, 6, 0), "predicted = 0"),
        ((15, 6, 10), "15 frames are too few for 6 seen and 10 predicted"),
    ):
        with pytest.raises(ValueError, match=sentence):
            windows.starts(*given)
    with pytest.raises(ValueError, match="a speed needs at least 2"):
        forecasting.constant_velocity(jnp.zeros((1, 2)), 3)


# -- baselines and errors ------------------------------------------------------------------------------------------


def test_constant_velocity_is_right_of_constant_velocity():
    rng = np.random.default_rng(1)
    speed, start = rng.normal(size=(2, AGENTS, 2))
    positions = jnp.asarray(start + np.arange(FRAMES)[:, None, None] * speed)
    found = cut(positions)
    apart = metrics.distances(forecasting.constant_velocity(found.past, AHEAD), found.future)
    np.testing.assert_allclose(apart, 0, atol=1e-12)
    assert float(metrics.ade(apart, found.there)) < 1e-12


def test_errors_are_their_definitions():
    rng = np.random.default_rng(2)
    told, truth = rng.normal(size=(2, 3, AGENTS, AHEAD, 2))
    there = rng.uniform(size=(3, AGENTS)) > 0.3
    apart = metrics.distances(jnp.asarray(told), jnp.asarray(truth))
    d = np.linalg.norm(told - truth, axis=-1)[there]
    given = apart, jnp.asarray(there)
    assert float(metrics.ade(*given)) == pytest.approx(d.mean(), rel=1e-12)
    assert float(metrics.fde(*given)) == pytest.approx(d[:, -1].mean(), rel=1e-12)
    np.testing.assert_allclose(metrics.rmse(*given), np.sqrt((d**2).mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(metrics.by_step(*given), d.mean(axis=0), rtol=1e-12)
    assert float(metrics.ade(*given)) <= float(jnp.sqrt((metrics.rmse(*given) ** 2).mean()))
    assert float(metrics.fde(apart[..., :1], given[1])) == float(metrics.ade(apart[..., :1], given[1]))


@pytest.mark.slow
def test_the_ridge_is_that_of_scikit_learn(roads):
    mask = jnp.asarray(np.random.default_rng(3).uniform(size=(FRAMES, AGENTS)) > 0.01)
    found = cut(roads[1], mask)
    there = np.asarray(found.there)
    assert 10 < there.sum() < there.size
    for penalty in (1e-2, 30.0):
        model = forecasting.ridge(found.past, found.future, found.there, penalty)
        x, y = (np.asarray(each)[there].reshape(there.sum(), -1) for each in (found.past, found.future))
        known = Ridge(alpha=penalty, solver="cholesky").fit(x, y)
        np.testing.assert_allclose(model(found.past)[there], known.predict(x).reshape(-1, AHEAD, 2), atol=1e-7)
    away = np.asarray(model(found.past) - found.future)[there]
    moments = np.einsum("npi,npj->pij", away, away) / there.sum()
    np.testing.assert_allclose(forecasting.missed(model(found.past), found.future, found.there), moments, rtol=1e-9)
    with pytest.raises(ValueError, match="penalty = 0"):
        forecasting.ridge(found.past, found.future, found.there, 0.0)
    rng = np.random.default_rng(5)
    past, future = rng.normal(size=(6, 2, 2)), rng.normal(size=(6, 1, 2))
    kept = forecasting.ridge(past[1:], future[1:], np.ones(5, bool))
    past[0] = future[0] = np.nan  # where nobody counts
    absent = forecasting.ridge(past, future, np.arange(6) > 0)
    np.testing.assert_allclose(absent.weights, kept.weights, atol=1e-12)
    with pytest.raises(ValueError, match="past has 3 frames, but the regression is of 2"):
        kept(np.zeros((4, 3, 2)))


def test_a_turned_covariance_is_that_of_turned_points():
    rng = np.random.default_rng(4)
    points = rng.normal(size=(500, 2)) * [3, 1]
    heading = np.array([np.cos(0.6), np.sin(0.6)])
    turned = windows.outward(jnp.asarray(points), jnp.zeros(2), jnp.asarray(heading))
    found = forecasting.turned(jnp.asarray(np.cov(points.T))[None], jnp.asarray(heading))
    np.testing.assert_allclose(found[0], np.cov(np.asarray(turned).T), atol=1e-12)


# -- the Gaussian --------------------------------------------------------------------------------------------------


def test_the_likelihood_is_that_of_scipy():
    rng = np.random.default_rng(5)
    mean, truth, raw = rng.normal(size=(7, 2)), rng.normal(size=(7, 2)), rng.normal(size=(7, 3))
    told = streams.gaussian(jnp.asarray(mean), jnp.asarray(raw))
    found = streams.nll(told, jnp.asarray(truth))
    for i, matrix in enumerate(np.asarray(streams.covariance(told))):
        known = -multivariate_normal(mean[i], matrix).logpdf(truth[i])
        assert float(found[i]) == pytest.approx(known, abs=1e-9)


@pytest.mark.slow
def test_the_slope_of_the_likelihood_is_that_of_differences_and_its_limit_is_known():
    def loss(given):
        return streams.nll(streams.gaussian(given[:2], given[2:]), jnp.array([0.3, -0.8]))

    at = jnp.array([0.1, 0.4, -0.3, 0.2, 0.7])
    slope = jax.grad(loss)(at)
    h = 1e-5
    steps = h * jnp.eye(5)
    apart = jax.vmap(loss)(at[None] + steps) - jax.vmap(loss)(at[None] - steps)
    np.testing.assert_allclose(slope, apart / (2 * h), atol=1e-6)
    plain = loss(jnp.array([0.0, 0.0, 0.0, 0.0, 0.0]))
    assert float(plain) == pytest.approx(0.5 * (0.3**2 + 0.8**2) + np.log(2 * np.pi), rel=1e-12)
    far = streams.gaussian(jnp.zeros(2), jnp.array([99.0, -99.0, 99.0]))
    np.testing.assert_allclose([*np.log(far.sigma), far.rho], [5, -5, 0.99], rtol=1e-12)


# -- streams -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_untrained_stream_is_constant_velocity(learnt):
    _, test = learnt
    model = streams.streams(jax.random.key(0), K, 16)
    found = streams.positions(model.plain, test.windows.past, AHEAD)
    np.testing.assert_allclose(found.mean, forecasting.constant_velocity(test.windows.past, AHEAD), atol=1e-3)
    rows = streams.rows(model.spectral, test.past_rows, AHEAD)
    np.testing.assert_allclose(rows, jnp.broadcast_to(test.past_rows[:, :, -1:], rows.shape), atol=1e-6)


@pytest.mark.slow
def test_the_pull_is_towards_clusters(learnt):
    """0 where every mean is the centre of its cluster; else the distance, by hand."""
    _, test = learnt
    group = np.arange(AGENTS) % K
    rows = np.zeros((len(test.past_rows), AGENTS, AHEAD, 2 * K))
    rows[..., K:] = np.eye(K)[group][None, :, None]
    truth = np.asarray(windows.outward(test.windows.future, test.windows.origin, test.windows.heading))
    centre = np.stack([truth[:, group == g].mean(axis=1) for g in range(K)], axis=1)[:, group]
    mine = windows.inward(jnp.asarray(centre), test.windows.origin, test.windows.heading)
    ones = jnp.ones_like(mine)
    at_centre = streams.pull(streams.Gaussian(mine, ones, ones[..., 0]), jnp.asarray(rows), test.windows)
    np.testing.assert_allclose(at_centre, 0, atol=2e-6)
    away = streams.pull(streams.Gaussian(test.windows.future, ones, ones[..., 0]), jnp.asarray(rows), test.windows)
    np.testing.assert_allclose(away, np.linalg.norm(truth - centre, axis=-1), atol=1e-6)


@pytest.mark.slow
def test_without_a_pull_two_streams_are_one(learnt):
    _, test = learnt
    model = streams.streams(jax.random.key(1), K, 16)
    alone = streams.trajectory_loss(model.plain, None, test.windows)
    assert float(streams.trajectory_loss(model.pulled, test.future_rows, test.windows, 0.0)) == float(alone)
    assert float(streams.trajectory_loss(model.pulled, test.future_rows, test.windows, 0.1)) > float(alone)
    told = streams.positions(model.plain, test.windows.past, AHEAD)
    small = streams.Gaussian(told.mean / 10, told.sigma / 10, told.rho)
    known = streams.nll(small, test.windows.future / 10).sum(axis=-1).mean()
    assert float(alone) == pytest.approx(float(known), rel=1e-5)


@pytest.mark.slow
def test_nothing_slopes_through_eigenvectors(learnt):
    _, test = learnt
    model = streams.streams(jax.random.key(2), K, 8)
    slope = jax.grad(lambda rows: streams.trajectory_loss(model.plain, rows, test.windows, 1.0))(test.future_rows)
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.slow
def test_the_streams_learn_and_a_stopped_training_goes_on(learnt):
    """Beats constant velocity, and a spectrum that stays as it was, on a road that was not seen."""
    train, test = learnt
    given = {"b1": 0.05, "steps": 120, "batch": 6, "learning_rate": 1e-2}
    model = streams.streams(jax.random.key(0), K, 32)
    key = jax.random.key(1)
    half = streams.train(Chunked(lambda told: told.iteration >= 40), model, train, key, **given)
    assert Reason(int(half.reason)) is Reason.STOPPED
    found = streams.train(Chunked(), model, train, key, state=half.state, **given)
    whole = streams.train(Chunked(), model, train, key, **given)
    for one, other in zip(jax.tree.leaves(found.model), jax.tree.leaves(whole.model), strict=True):
        np.testing.assert_array_equal(one, other)
    there = test.windows.there

    @eqx.filter_jit
    def look(model):
        told = [streams.positions(each, test.windows.past, AHEAD).mean for each in (model.plain, model.pulled)]
        apart = [metrics.ade(metrics.distances(each.astype(float), test.windows.future), there) for each in told]
        return apart, streams.spectral_loss(
            streams.rows(model.spectral, test.past_rows, AHEAD), test.future_rows, there
        )

    (plain, pulled), rows = look(whole.model)
    (before, _), still = look(model)
    assert float(plain) < 0.75 * float(before)
    assert float(pulled) < 0.75 * float(before)
    assert float(plain) != float(pulled)
    assert float(rows) < 0.9 * float(still)
