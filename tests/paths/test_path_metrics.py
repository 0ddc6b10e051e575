"""Metrics against POT, closed forms and their own replications."""

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
import scipy.stats

from lab.paths import metrics
from lab.paths.metrics import Estimate

KEY = jax.random.key(0)
X, Y = jax.random.normal(KEY, (2, 30, 3)) * jnp.asarray([1.0, 1.5])[:, None, None]


@pytest.mark.slow
def test_wasserstein_is_that_of_pot_and_differentiable():
    costs = ((np.asarray(X)[:, None] - np.asarray(Y)[None]) ** 2).sum(-1)
    even = np.ones(30) / 30
    np.testing.assert_allclose(jax.jit(metrics.squared_wasserstein)(X, Y), ot.emd2(even, even, costs), rtol=1e-12)
    a = np.arange(1.0, 31) / 465
    np.testing.assert_allclose(metrics.squared_wasserstein(X, Y, a), ot.emd2(a, even, costs), rtol=1e-9)
    uneven = ot.emd2(even, np.ones(17) / 17, costs[:, :17])
    np.testing.assert_allclose(metrics.squared_wasserstein(X, Y[:17]), uneven, rtol=1e-9)
    slope = jax.grad(metrics.squared_wasserstein)(X, Y)
    step = 1e-6 * jnp.zeros_like(X).at[4, 1].set(1.0)
    up, down = (metrics.squared_wasserstein(X + sign * step, Y) for sign in (1, -1))
    np.testing.assert_allclose(slope[4, 1], (up - down) / 2e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="but \\(n, d\\) and \\(m, d\\) are needed"):
        metrics.squared_wasserstein(X, Y[:, :2])


@pytest.mark.slow
def test_sliced_wasserstein():
    line_x, line_y = X[:, :1], Y[:21, :1]
    on_line = metrics.sliced_wasserstein(KEY, line_x, line_y, 4)
    np.testing.assert_allclose(on_line.value, ot.wasserstein_1d(line_x[:, 0], line_y[:, 0], p=2), rtol=1e-12)
    assert on_line.error < 1e-15
    shift = jnp.asarray([1.0, -2.0, 0.5])
    moved = metrics.sliced_wasserstein(KEY, X, X + shift[None], 4000)
    exact = float(shift @ shift) / 3
    assert abs(moved.value - exact) < 4 * moved.error
    # (theta . m)^2 of a uniform direction has variance 2 (d - 1) / (d^2 (d + 2)) |m|^4
    np.testing.assert_allclose(moved.error, exact * np.sqrt(2 * 2 / 5 / 4000), rtol=0.1)


@pytest.mark.slow
def test_energy_distance_and_its_error():
    d = lambda x, y: np.linalg.norm(np.asarray(x)[:, None] - np.asarray(y)[None], axis=-1)  # noqa: E731
    found = metrics.energy_distance(X, Y[:20])
    by_hand = 2 * d(X, Y[:20]).mean() - d(X, X).sum() / (30 * 29) - d(Y[:20], Y[:20]).sum() / (20 * 19)
    np.testing.assert_allclose(found.value, by_hand, rtol=1e-12)
    # replications: unbiased, and as scattered as it says
    x, y = jax.random.normal(jax.random.key(1), (2, 300, 40, 2)) + jnp.asarray([0.0, 1.0])[:, None, None, None]
    many = jax.vmap(metrics.energy_distance)(x, y)
    np.testing.assert_allclose(np.sqrt((many.error**2).mean()), many.value.std(), rtol=0.15)
    far = metrics.energy_distance(x.reshape(-1, 2)[:3000], y.reshape(-1, 2)[:3000])
    assert abs(many.value.mean() - far.value) < 4 * np.hypot(far.error, many.value.std() / np.sqrt(300))
    same = jax.vmap(metrics.energy_distance)(x[:, :20], x[:, 20:])
    assert abs(same.value.mean()) < 4 * same.value.std() / np.sqrt(300)
    with pytest.raises(ValueError, match="at least 2 of each"):
        metrics.energy_distance(X[:1], Y)


@pytest.mark.slow
def test_divergences_of_gaussians():
    a, b = np.random.default_rng(0).normal(size=(2, 2, 2))
    p, q = a @ a.T + np.eye(2), b @ b.T + 2 * np.eye(2)
    mean_p, mean_q = np.array([1.0, 0.0]), np.array([-0.5, 2.0])
    found = metrics.gaussian_kl(*(jnp.asarray(z) for z in (mean_p, p, mean_q, q)))
    np.testing.assert_allclose(
        metrics.gaussian_kl(jnp.zeros(1), jnp.eye(1), jnp.ones(1), 4 * jnp.eye(1)), np.log(2) - 0.25
    )
    assert metrics.gaussian_kl(jnp.ones(2), jnp.asarray(p), jnp.ones(2), jnp.asarray(p)) == pytest.approx(0, abs=1e-14)
    laws = [scipy.stats.multivariate_normal(*law) for law in ((mean_p, p), (mean_q, q))]
    x = laws[0].rvs(20_000, random_state=1)
    estimate = metrics.kl_monte_carlo(*(jnp.asarray(law.logpdf(x)) for law in laws))
    assert abs(estimate.value - found) < 4 * estimate.error
    assert estimate.error < 0.03
    # the same by weights, from samples of q
    x = laws[1].rvs(40_000, random_state=2)
    log_p, log_q = (jnp.asarray(law.logpdf(x)) for law in laws)
    weighted = metrics.kl_monte_carlo(log_p, log_q, log_p - log_q)
    assert abs(weighted.value - found) < 4 * weighted.error
    assert weighted.error < 0.05


@pytest.mark.slow
def test_straightness_and_crossing_of_gaussians_on_the_line():
    """N(0, s0^2) -> N(m, s1^2): V = (pi/2) s0 s1, S = (2 - pi/2) s0 s1, and their sum is what the cost falls by."""
    s0, s1, m, n = 1.2, 0.5, 1.5, 8_000
    times = jnp.linspace(0, 1, 101)
    z = jax.random.normal(KEY, (2, n, 1))
    z = (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)  # exact moments: no sampling error in S and the cost
    x0, x1 = s0 * z[0], m + s1 * z[1]
    sigma = jnp.sqrt((1 - times) ** 2 * s0**2 + times**2 * s1**2)
    slope = (times * s1**2 - (1 - times) * s0**2) / sigma

    def velocity(t, x):
        var = (1 - t) ** 2 * s0**2 + t**2 * s1**2
        return m + (t * s1**2 - (1 - t) * s0**2) / var * (x - t * m)

    positions = times[:, None, None] * m + (sigma / s0)[:, None, None] * x0[None]
    velocities = m + (slope / s0)[:, None, None] * x0[None]
    np.testing.assert_allclose(velocities[70], velocity(times[70], positions[70]), rtol=1e-10)
    straight = metrics.straightness(positions, times)
    crossed = metrics.crossing(velocity, x0, x1, times)
    energy = metrics.path_energy(positions, times)
    np.testing.assert_allclose(straight.value, (2 - np.pi / 2) * s0 * s1, rtol=1e-3)
    assert abs(crossed.value - np.pi / 2 * s0 * s1) < 4 * crossed.error
    assert crossed.error < 0.03
    transport = (s1 - s0) ** 2 + m**2
    np.testing.assert_allclose(energy.value, transport + straight.value, rtol=1e-12)
    assert abs(s0**2 + s1**2 + m**2 - transport - straight.value - crossed.value) < 4 * crossed.error
    normal = metrics.normalized_path_energy(energy, transport)
    np.testing.assert_allclose(normal.value, (2 - np.pi / 2) * s0 * s1 / transport, rtol=1e-3)
    np.testing.assert_allclose(normal.error * transport, energy.error)
    weights = metrics.crossing(velocity, x0, x1, times, jnp.where(jnp.arange(n) < 500, 0.0, -jnp.inf))
    np.testing.assert_allclose(weights.value, metrics.crossing(velocity, x0[:500], x1[:500], times).value, rtol=1e-12)
    # acceleration, on the whole grid
    bent = metrics.curvature(velocities, times)
    wanted = (s0 * s1) ** 4 / sigma**6
    np.testing.assert_allclose(bent.value[1:-1], wanted[1:-1], rtol=2e-3)


def test_curvature_of_a_parabola_is_exact_on_any_grid():
    times = jnp.asarray([0.0, 0.1, 0.15, 0.6, 1.0])
    velocities = (3 * times)[:, None, None] * jnp.ones((1, 4, 2))
    np.testing.assert_allclose(metrics.curvature(velocities, times).value, 18, rtol=1e-12)
    quadratic = (times**2)[:, None, None] * jnp.ones((1, 4, 1))
    np.testing.assert_allclose(metrics.curvature(quadratic, times).value, 4 * times**2, atol=1e-12)


@pytest.mark.slow
def test_weights_and_modes():
    log_w = jnp.asarray([0.0, 1.0, -2.0, -jnp.inf])
    w = np.exp(np.asarray(log_w[:3]))
    np.testing.assert_allclose(metrics.effective_sample_size(log_w), w.sum() ** 2 / (3 * (w**2).sum()), rtol=1e-12)
    np.testing.assert_allclose(metrics.effective_sample_size(log_w - 1e4), metrics.effective_sample_size(log_w))
    np.testing.assert_allclose(metrics.effective_sample_size(jnp.zeros(7)), 1)
    values, logs = jax.random.normal(jax.random.key(2), (2, 400, 500))
    replicated = jax.vmap(metrics.mean)(values + logs, 0.5 * logs)
    np.testing.assert_allclose(replicated.error.mean(), replicated.value.std(), rtol=0.1)
    plain = metrics.mean(values[0])
    np.testing.assert_allclose(plain.error, np.asarray(values[0]).std(ddof=1) / np.sqrt(500), rtol=1e-12)
    assert isinstance(plain, Estimate)
    centres = jnp.asarray([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]])
    x = jnp.asarray([[0.1, 0.0], [3.0, 0.0], [4.0, 1.0]])
    found = metrics.modes(x, centres)
    np.testing.assert_array_equal(found.counts, [1, 2, 0])
    np.testing.assert_array_equal(found.nearest, [0, 1, 1])
    np.testing.assert_allclose(found.distance, [0.1, 1, 1])


def test_a_reversed_path_costs_the_same():
    """Of parabolas on an uneven grid; times that turn back are refused."""
    times = jnp.linspace(0, 1, 9) ** 1.5
    path = jnp.stack([X[:, :2] * t**2 + t for t in times])
    speed = jnp.stack([2 * t * X[:, :2] + 1 for t in times])
    for call in (metrics.path_energy, metrics.straightness):
        one, two = call(path, times), call(path[::-1], times[::-1])
        np.testing.assert_allclose(two, one, rtol=1e-12)
        assert one.value > 0
        with pytest.raises(ValueError, match="all increasing or all decreasing"):
            call(path, times.at[3].set(0.9))
    np.testing.assert_allclose(
        metrics.curvature(speed[::-1], times[::-1]).value[::-1], metrics.curvature(speed, times).value, rtol=1e-10
    )
    field = lambda t, x: 0 * x  # noqa: E731
    one, two = (metrics.crossing(field, X[:, :2], Y[:, :2], each) for each in (times, times[::-1]))
    np.testing.assert_allclose(two, one, rtol=1e-12)


def test_points_of_other_dimensions_are_refused():
    """A single column would broadcast over three."""
    for call in (
        lambda: metrics.energy_distance(X[:, :1], Y),
        lambda: metrics.modes(X, Y[:, :1]),
        lambda: metrics.sliced_wasserstein(KEY, X[:, :1], Y),
    ):
        with pytest.raises(ValueError, match="but \\(n, d\\) and \\(m, d\\) are needed"):
            call()
