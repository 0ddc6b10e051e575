"""PMRF: closed forms of Gaussians, the trade-off, and the flow of pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy.integrate import solve_ivp

from lab.inverse import pmrf
from lab.paths import Mixture


def spd(n, seed, least=0.1):
    half = np.random.default_rng(seed).normal(size=(n, n))
    return half @ half.T / n + least * np.eye(n)


def case(n, m, seed):
    h = np.random.default_rng(seed + 1000).normal(size=(m, n))
    return spd(n, seed), h, spd(m, seed + 2000)


def test_a_number_with_noise():
    for s in (0.3, 1.0, 2.0):
        made = pmrf.restoration([[1.0]], [[1.0]], [[s**2]])
        assert float(made.mmse) == pytest.approx(s**2 / (1 + s**2), rel=1e-12)
        assert float(made.best) == pytest.approx(2 - 2 / np.sqrt(1 + s**2), rel=1e-12)
        assert float(made.sampling) == pytest.approx(2 * s**2 / (1 + s**2), rel=1e-12)
    made = pmrf.restoration([[1.0]], [[1.0]], [[1.0]])
    for noise, error in ((0.0, 0.5858), (0.1, 0.5997), (0.5, 0.8453)):
        flow = made.flow(noise)
        assert float(flow.error(flow.map())) == pytest.approx(error, abs=5e-5)
    x, eps = np.random.default_rng(0).normal(size=(2, 2_000_000))
    assert ((x - (x + eps) / np.sqrt(2)) ** 2).mean() == pytest.approx(float(made.best), abs=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
def test_the_flow_ends_in_the_law_of_x(noise):
    made = pmrf.restoration(*case(4, 4, 3))
    flow = made.flow(noise)
    m = flow.map()
    np.testing.assert_allclose(m @ flow.start @ m.T, made.covariance, atol=1e-8)
    t = 0.4  # v is (E[X | Z_t] - z) / (1 - t)
    c = (1 - t) ** 2 * flow.start + t**2 * flow.end + t * (1 - t) * (flow.cross + flow.cross.T)
    clean = ((1 - t) * flow.cross.T + t * flow.end) @ np.linalg.inv(c)
    np.testing.assert_allclose(flow.velocity(t), (clean - np.eye(4)) / (1 - t), atol=1e-12)


@pytest.mark.parametrize("noise", [0.3, 1e-3, 1e-4])
def test_the_flow_is_exact_where_the_posterior_mean_is_singular(noise):
    """Diagonal covariances have a closed form; the others are solved by an adaptive method in log(t / (1 - t))."""
    simple = pmrf.restoration(np.diag([1.0, 2.0]), [[1.0, 0.0]], [[0.5]]).flow(noise)
    np.testing.assert_allclose(simple.map(), np.diag(np.sqrt([1.0, 2.0] / np.diag(simple.start))), rtol=1e-7)
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    s = np.array([1.0, 1e-4, 0.0])  # X is singular too
    flow = pmrf.restoration(turn * s @ turn.T, np.eye(3), 0.1 * np.eye(3)).flow(max(noise, 0.05))
    exact = turn * np.sqrt(s / (s**2 / (s + 0.1) + max(noise, 0.05) ** 2)) @ turn.T
    np.testing.assert_allclose(flow.map(), exact, atol=1e-6)
    made = pmrf.restoration(spd(4, 5), np.random.default_rng(6).normal(size=(2, 4)), 0.1 * np.eye(2))
    flow = made.flow(noise)
    m = np.asarray(flow.map())
    np.testing.assert_allclose(m @ flow.start @ m.T, made.covariance, atol=1e-8)
    a, k, s = (np.asarray(each) for each in (flow.start, flow.cross, flow.end))

    def slope(x, m):
        t, left = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
        c = left**2 * a + t**2 * s + t * left * (k + k.T)
        b = left * k.T + t * s - left * a - t * k
        return (t * left * np.linalg.solve(c, b.T).T @ m.reshape(4, 4)).ravel()

    theirs = solve_ivp(slope, (np.log(noise) - 24, 24), np.eye(4).ravel(), method="DOP853", rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(m, theirs.y[:, -1].reshape(4, 4), atol=1e-7 * np.abs(m).max())


def test_what_the_closed_forms_of_gaussians_do_not_allow():
    made = pmrf.restoration(np.eye(2), [[1.0, 0.0]], [[0.5]])
    for noise in (0.0, 1e-7):
        with pytest.raises(ValueError, match=f"noise = {noise:g} is not allowed: the covariance .* is singular"):
            made.flow(noise)
    for part in (2.0, -0.1):
        with pytest.raises(ValueError, match=f"s = {part:g} is not allowed: s must be at least 0 and at most 1"):
            made.between(part)
    error, distance = made.between([0, 1])
    np.testing.assert_allclose(distance, [np.sqrt(made.transport.squared), 0], atol=1e-12)
    np.testing.assert_allclose(error, [made.mmse, made.best], rtol=1e-12)


def test_where_covariances_commute_it_is_the_optimal_map():
    made = pmrf.restoration(spd(4, 5), np.eye(4), 0.3 * np.eye(4))
    np.testing.assert_allclose(made.flow().map(), made.transport.matrix, atol=1e-8)
    still = pmrf.restoration(spd(4, 5), np.eye(4), 1e-12 * np.eye(4))
    np.testing.assert_allclose(still.flow().map(), np.eye(4), atol=1e-9)
    lost = pmrf.restoration(spd(4, 5), np.eye(4), 1e9 * np.eye(4))
    flow = lost.flow(0.3)
    assert float(flow.error(flow.map())) == pytest.approx(2 * np.trace(spd(4, 5)), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_the_errors_are_in_order(seed):
    n = 2 + seed % 3
    made = pmrf.restoration(*case(n, n, seed))
    flow = made.flow()
    error = float(flow.error(flow.map()))
    assert float(made.mmse) <= float(made.best) + 1e-6 <= error + 2e-6 <= float(made.sampling) + 3e-6


def test_against_pot_and_samples():
    made = pmrf.restoration(*case(3, 3, 7))
    zero = np.zeros(3)
    theirs = (
        pot.gaussian.bures_wasserstein_distance(zero, zero, np.asarray(made.star), np.asarray(made.covariance)) ** 2
    )
    assert float(made.transport.squared) == pytest.approx(float(theirs), abs=1e-8)
    s, h, q = case(3, 3, 7)
    random = np.random.default_rng(1)
    x = random.multivariate_normal(zero, s, 400_000)
    y = x @ h.T + random.multivariate_normal(zero, q, 400_000)
    star = y @ np.asarray(made.gain).T
    off = ((x - star) ** 2).sum(1)
    assert abs(off.mean() - float(made.mmse)) < 5 * off.std() / 400_000**0.5
    g = np.tanh(y @ random.normal(size=(3, 3)))  # the error of the posterior mean is orthogonal to all that Y tells
    along = ((x - star) * g).sum(1)
    assert abs(along.mean()) < 4 * along.std() / 400_000**0.5
    for part in (0.0, 0.3, 1.0):
        error, apart = made.between(part)
        moved = (1 - part) * np.eye(3) + part * np.asarray(made.transport.matrix)
        flow = pmrf.LinearFlow(made.star, made.covariance, made.star)
        assert float(flow.error(moved)) == pytest.approx(float(error), abs=1e-8)
        law = moved @ np.asarray(made.star) @ moved.T
        distance = pot.gaussian.bures_wasserstein_distance(zero, zero, law, np.asarray(made.covariance))
        assert float(distance) == pytest.approx(float(apart), abs=1e-6)


def test_eulers_steps_walk_from_the_posterior_mean_to_the_law_of_x():
    made = pmrf.restoration(
        spd(4, 11, 0.5), np.random.default_rng(2).normal(size=(4, 4)) + 2 * np.eye(4), 0.3 * np.eye(4)
    )
    flow = made.flow()
    np.testing.assert_allclose(flow.map(1), np.eye(4), atol=1e-9)
    counts = np.array([10, 20, 40, 80])
    off = [np.linalg.norm(m @ flow.start @ m.T - made.covariance) for m in map(flow.map, counts.tolist())]
    assert np.polyfit(np.log(counts), np.log(off), 1)[0] == pytest.approx(-1, abs=0.15)
    np.testing.assert_allclose(flow.map(4000), flow.map(), atol=1e-3)
    errors = [float(flow.error(flow.map(count))) for count in (1, 2, 5, 25)]
    assert errors == sorted(errors)


def test_the_flow_from_the_measurement_can_be_worse_than_sampling():
    s = np.diag([4.0, 0.01])
    turn = np.array([[0.0, 1.0], [1.0, 0.0]])
    made, flow = pmrf.restoration(s, turn, 0.01 * np.eye(2)), pmrf.from_measurement(s, turn, 0.01 * np.eye(2))
    m = flow.map()
    np.testing.assert_allclose(m @ flow.start @ m.T, s, atol=1e-6)
    assert float(flow.error(m)) > float(made.sampling)
    with pytest.raises(ValueError, match="needs both of one dimension"):
        pmrf.from_measurement(np.eye(3), np.ones((2, 3)), np.eye(2))


@pytest.mark.slow
def test_on_a_line_the_flow_is_the_monotone_map():
    """X of two peaks, Y = X + N(0, 1): the exact velocity by quadrature, against the matching of quantiles."""
    prior = Mixture([0.4, 0.6], [[-1.5], [1.0]], [0.15, 0.3])
    y = np.linspace(-8, 8, 601)
    masses = np.exp(np.asarray(prior.denoise(jnp.asarray(y[:, None]), 1.0, 1.0)[1]))
    star = np.asarray(prior.denoise(jnp.asarray(y[:, None]), 1.0, 1.0)[0])[:, 0]
    masses /= masses.sum()
    x = np.linspace(-5, 4, 401)
    density = np.exp(np.asarray(prior.log_prob(jnp.asarray(x[:, None]))))
    joint = masses[:, None] * np.exp(-0.5 * (y[:, None] - x[None, :]) ** 2) * density[None, :]
    joint *= (masses / joint.sum(axis=1))[:, None]
    z = star[::6].copy()
    keep = np.abs(np.cumsum(masses)[::6] - 0.5) < 0.49
    steps = 200
    for i in range(steps):
        t = (i + 0.5) / steps
        at = ((1 - t) * star[:, None] + t * x[None, :]).ravel()
        edges = np.linspace(at.min() - 0.1, at.max() + 0.1, 601)
        move = np.histogram(at, edges, weights=(joint * (x[None, :] - star[:, None])).ravel())[0]
        mass = np.histogram(at, edges, weights=joint.ravel())[0]
        middle = (edges[1:] + edges[:-1]) / 2
        there = mass > 1e-12
        z = z + np.interp(z, middle[there], (move / np.where(there, mass, 1))[there]) / steps
    quantile = np.interp(np.cumsum(masses)[::6], np.cumsum(density) / density.sum(), x)
    assert (np.diff(z[keep]) > -1e-6).all()
    assert np.abs(z - quantile)[keep].max() < 0.05


@pytest.mark.slow
def test_the_flow_of_pairs_is_the_exact_velocity_and_beats_sampling():
    angles = np.deg2rad([0, 120, 240])
    means = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    prior = Mixture(np.full(3, 1 / 3), means, np.full(3, 0.25**2))
    keys = jax.random.split(jax.random.key(0), 6)
    x, fresh = prior.sample(keys[0], 3000), prior.sample(keys[1], 1500)
    noisy = [z + 1.5 * jax.random.normal(key, z.shape) for key, z in zip(keys[2:4], (x, fresh), strict=True)]
    star, aim = (prior.denoise(y, 1.0, 1.5**2)[0] for y in noisy)
    field = pmrf.PairFlow(x, star, 0.1, 0.02)
    z, t = jnp.asarray([[0.3, -0.4], [1.0, 0.2]]), 0.35
    weights = np.exp(
        -((np.asarray(z)[:, None] - t * x[None] - (1 - t) * star[None]) ** 2).sum(-1) / (2 * (0.65 * 0.1) ** 2)
    )
    clean = (weights @ np.asarray(x)) / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(field(t, z), (clean - z) / (1 - t), atol=1e-9)
    run = pmrf.restore(field, aim + 0.1 * jax.random.normal(keys[4], aim.shape), 50)
    mmse = float(((fresh - aim) ** 2).sum(1).mean())
    error = float(((fresh - run.end) ** 2).sum(1).mean())
    assert mmse == pytest.approx(1.70, abs=0.15)
    assert error == pytest.approx(2.19, abs=0.2)
    assert mmse < error < 2 * mmse
    share = np.full(1500, 1 / 1500)
    apart = [pot.emd2(share, share, pot.dist(np.asarray(z), np.asarray(x[:1500]))) for z in (run.end, aim)]
    assert apart[0] < 0.16  # the sheet has 0.109 for other samples
    assert apart[0] < apart[1] / 2
    only = pmrf.restore(field, aim, 1).end
    np.testing.assert_allclose(only, field.clean(0.0, aim), atol=1e-12)


def test_bad_input_is_refused_in_a_sentence():
    made = pmrf.restoration(np.eye(2), np.ones((1, 2)), np.eye(1))
    for call, sentence in (
        (lambda: pmrf.restoration(np.eye(2), np.ones((1, 3)), np.eye(1)), r"S \(2, 2\), H \(1, 3\)"),
        (lambda: pmrf.restoration([[1.0, 2.0], [0.0, 1.0]], np.eye(2), np.eye(2)), "S must be finite and symmetric"),
        (lambda: pmrf.restoration(np.eye(2), np.eye(2), -np.eye(2)), "Q has the eigenvalue -1"),
        (lambda: made.flow(), "Choose noise above"),
        (lambda: made.flow(-0.1), "noise = -0.1"),
        (lambda: made.flow(0.1).map(0), "steps = 0"),
        (lambda: pmrf.PairFlow(jnp.ones((3, 2)), jnp.ones((3, 2)), 0.0), "noise = 0.0"),
        (lambda: pmrf.PairFlow(jnp.ones((3, 2)), jnp.ones((2, 2)), 0.1), "but they are pairs"),
        (lambda: pmrf.PairFlow(jnp.ones((3, 2)), jnp.ones((3, 2)), 0.1)(1.0, jnp.ones((1, 2))), "for t below 1"),
        (
            lambda: pmrf.restore(pmrf.PairFlow(jnp.ones((3, 2)), jnp.ones((3, 2)), 0.1), jnp.ones((1, 2)), 0),
            "steps = 0",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
