"""Interpolants, and what it costs to miss their fields: closed forms of Gaussians, and what must hold of any."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from lab import paths
from lab.datasets.gaussians import gaussian_pair
from lab.paths import couplings, interpolant_costs, interpolants, metrics, misfits
from lab.paths.laws import source_of, target_of
from lab.paths.misfit_divergence import divergence_by_rollouts, divergence_on_line
from lab.paths.sampling import graded

KEY = jax.random.key(0)
NODES, WEIGHTS = jnp.asarray(misfits.NODES), misfits.WEIGHTS


def line(s0, s1, schedule="linear", latent="brownian", a=1.0, shift=2.0, d=1):
    """From N(0, s0^2 I) to N((shift, 0, ...), s1^2 I)."""
    mean = np.zeros(d)
    mean[0] = shift
    return interpolants.interpolant(
        schedule, latent, a, paths.gaussian(np.zeros(d), s0**2), paths.gaussian(mean, s1**2)
    )


def affine_gaussian(epsilon, b, s, slope_b, slope_s):
    """KL from N(0, 1) to N(2, 1/4) along the Brownian linear path, by the linear equations of mean and variance of the
    diffusion whose drift misses by an affine function."""

    def variance(t):
        return (1 - t) ** 2 + t**2 / 4 + t * (1 - t)

    def slope(t, state):
        own = ((-1 + t / 2) / 2 - epsilon) / variance(t)
        more = slope_b + epsilon * slope_s
        move = 2 + own * (state[0] - 2 * t) + b + epsilon * s + more * state[0]
        return [move, 2 * (own + more) * state[1] + 2 * epsilon]

    at, spread = integrate.solve_ivp(slope, (0, 1), [0.0, 1.0], rtol=1e-9, atol=1e-11).y[:, -1]
    ratio = variance(1.0) / spread
    return (ratio - 1 - np.log(ratio) + (2 - at) ** 2 / spread) / 2


@pytest.mark.slow
def test_misfits_of_either_sign_and_affine_ones():
    """On a line against the moments of the Gaussian that they lead to; by rollouts the same."""
    path = line(1.0, 0.5)
    times = jnp.asarray(graded(interpolant_costs.FINE, path.low, path.high))

    @jax.jit
    def found(missed, level):
        used, level = misfits.FieldInUse(path.field, misfits.Misfit(*missed)), jnp.full(times.shape, level)
        rolled = divergence_by_rollouts(path, used, times[::4], level[::4], KEY, n=256, rollouts=16)
        return divergence_on_line(path, used, times, level).value, metrics.mean(rolled)

    for missed, epsilon in (
        ((-0.3, 0.0, 0.0, 0.0), 0.5),
        ((0.3, -0.2, 0.0, 0.0), 0.5),
        ((0.0, 0.0, 0.4, 0.0), 0.5),
        ((0.2, 0.1, -0.3, -0.5), 1.0),
    ):
        kl, rolled = found(missed, epsilon)
        wanted = affine_gaussian(epsilon, *missed)
        np.testing.assert_allclose(kl, wanted, rtol=2e-3, atol=2e-5)
        assert abs(rolled.value - wanted) < 5 * rolled.error + 0.03 * wanted


variance_of = jax.jit(lambda path, t: path.moments(t)[1][0, 0])


def shifted_gaussian(path, epsilon, b, s):
    """KL by the linear equation of the mean: the drift of the difference of means is its slope times it, and the misfit."""

    def variance(t):
        return float(variance_of(path, t))

    def slope(t, apart):
        h = 1e-5
        rate = (variance(min(t + h, 1)) - variance(max(t - h, 0))) / (min(t + h, 1) - max(t - h, 0))
        return (rate / 2 - epsilon) / variance(t) * apart + b + epsilon * s

    apart = integrate.solve_ivp(slope, (0, 1), [0.0], rtol=1e-9, atol=1e-11).y[0, -1]
    return apart**2 / (2 * variance(1.0))


@partial(jax.jit, static_argnames="how")
def divergence(path, epsilon, b, s, how="line"):
    used = misfits.FieldInUse(path.field, misfits.Misfit(b, s))
    times = jnp.asarray(graded(200 if how == "line" else 60))
    level = jnp.full(times.shape, epsilon)
    if how == "line":
        return divergence_on_line(path, used, times, level)
    return metrics.mean(divergence_by_rollouts(path, used, times, level, jax.random.key(3), 500, 16))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "epsilon", "b", "s"),
    [
        (line(0.7, 1.6, a=2.0), 0.4, 0.2, 0.5),
        (line(1.0, 0.6, "trigonometric", "quadratic", 2.0), 1.5, 0.4, 0.3),
        (line(1.0, 1.3, "one-sided-linear"), 0.0, 0.3, 9.0),
    ],
    ids=["linear", "trigonometric", "one-sided"],
)
def test_divergence_between_gaussians_is_that_of_their_means(path, epsilon, b, s):
    assert float(divergence(path, epsilon, b, s)[0]) == pytest.approx(shifted_gaussian(path, epsilon, b, s), rel=1e-3)


@pytest.mark.slow
def test_divergence_in_more_dimensions_is_within_its_error():
    """The shift goes along the diagonal, and the laws are isotropic: the same linear equation."""
    path = line(0.8, 0.6, d=8)
    value, error = divergence(path, 0.5, 0.3, 0.6, how="rollouts")
    expected = shifted_gaussian(path, 0.5, 0.3, 0.6)
    assert abs(float(value) - expected) < 4 * float(error)
    assert float(error) < 0.1 * expected


@pytest.mark.slow
def test_energies_are_those_of_gaussians():
    """E|b|^2 = (m')^2 + (Var'/2)^2/Var, E|b_F|^2 with Var'/2 - epsilon, E|s|^2 = 1/Var, on the line and in the plane."""
    for d, tolerance in ((1, 1e-7), (2, 0.1)):
        path = line(0.7, 1.6, a=1.5, d=d)

        @jax.jit
        def found(path):
            used = misfits.FieldInUse(path.field, misfits.Misfit(0.3, 0.2))
            return misfits.energies_over_time(path, used, 0.6, jax.random.key(0), 2000)

        var = (1 - NODES) ** 2 * 0.49 + NODES**2 * 2.56 + 1.5 * NODES * (1 - NODES)
        half = -(1 - NODES) * 0.49 + NODES * 2.56 + 0.75 * (1 - 2 * NODES)
        got = found(path)
        for name, expected in (
            ("velocity", 4 + d * half**2 / var),
            ("drift", 4 + d * (half - 0.6) ** 2 / var),
            ("score", d / var),
            ("missed_velocity", 0.09 + 0 * var),
            ("missed_score", 0.04 + 0 * var),
            ("missed_drift", (0.3 + 0.6 * 0.2) ** 2 + 0 * var),
        ):
            np.testing.assert_allclose(getattr(got, name), expected, rtol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("s0", "s1", "epsilon", "best"), [(0.7, 1.6, 1.0, 3.0029319), (1.2, 0.4, 0.25, None)])
def test_bridge_is_where_the_drift_energy_is_least(s0, s1, epsilon, best):
    @jax.jit
    def energy(a):
        path = line(s0, s1, a=a)
        used = misfits.FieldInUse(path.field, misfits.Misfit(0.0, 0.0))
        return WEIGHTS @ misfits.energies_over_time(path, used, epsilon, jax.random.key(0), 0).drift

    closed = 2 * np.sqrt(s0**2 * s1**2 + epsilon**2)
    assert best is None or closed == pytest.approx(best, abs=1e-6)
    least = optimize.minimize_scalar(lambda a: float(energy(a)), bounds=(0.1, 10), options={"xatol": 1e-6})
    assert least.x == pytest.approx(closed, rel=1e-3)


def between(source, target, schedule, joint=None):
    field = paths.exact(schedule, source, target) if joint is None else paths.exact(schedule, joint)
    return interpolants.Interpolant(schedule, source, target, field, 0.0, 1.0, joint)


@jax.jit
def carried(path):
    """The starts of a coupling, 50 points of the source, and where the flow takes them."""
    start = jnp.concatenate([interpolants.flow_starts(path.source, path.target, KEY), path.source.sample(KEY, 50)])
    return start, paths.ode(path.field, start, steps=200, keep=False).end


@pytest.mark.slow
def test_rectified_path_between_gaussians_has_the_map_of_the_first():
    """Of covariances that do not commute. On the lines of the map, that is without latent noise: with it the map moves."""
    source = paths.gaussian([0.5, -1.0], [[1.2, 0.9], [0.9, 1.0]])
    target = paths.gaussian([2.0, 0.0], [[0.4, -0.3], [-0.3, 0.6]])
    first = between(source, target, paths.Linear())
    start, end = carried(first)
    law = interpolants.flow_coupling(source, target, start[:3], end[:3])
    x0, x1 = law.sample(KEY, 1000)
    pairs = couplings.Rectified(first.field, 200)(KEY, x0, x0)
    np.testing.assert_allclose(pairs.x1, x1, atol=1e-6)  # the coupling is that of the flow
    second = between(source, target, paths.Linear(), law)
    np.testing.assert_allclose(carried(second)[1], end, atol=1e-6)
    for t in (0.0, 1.0):
        np.testing.assert_allclose(second.moments(t)[1], first.moments(t)[1], atol=1e-9)
    assert float(jnp.abs(second.moments(0.5)[1] - first.moments(0.5)[1]).max()) > 0.1
    noisy = carried(between(source, target, paths.Linear(paths.Brownian(1.0)), law))[1]
    assert float(jnp.abs(noisy - end).max()) > 0.01


@pytest.mark.slow
def test_pairs_of_mixtures_keep_their_order_and_are_carried_to_their_ends():
    """On a line the flow takes quantiles to quantiles."""
    source = paths.Mixture([0.5, 0.5], [[-3.0], [3.0]], [0.25, 0.25])
    target = paths.Mixture([0.2, 0.5, 0.3], [[-5.0], [0.5], [4.0]], [0.4, 0.3, 0.6])
    start, end = carried(between(source, target, paths.Linear(paths.Brownian(1.0))))

    def quantile(law, x):
        return stats.norm.cdf(x, law.means[:, 0], np.sqrt(law.covariances)) @ np.asarray(law.weights)

    np.testing.assert_allclose(quantile(target, end), quantile(source, start), atol=1e-4)
    law = interpolants.flow_coupling(source, target, start[:200], end[:200])
    assert isinstance(law, paths.Pairs)
    path = interpolants.interpolant("linear", "brownian", 1.0, source, target, law)
    assert (path.low, path.high, path.smooth) == (1e-4, 1 - 1e-4, False)
    again = paths.ode(path.field, law.x0, grid=graded(200, path.low, path.high), keep=False).end
    np.testing.assert_allclose(again, law.x1, atol=0.1)  # the noise that is left at both ends is 0.01


@pytest.mark.slow
def test_one_sided_velocity_needs_one_field():
    target = paths.Mixture([0.3, 0.7], [[-1.0, 0.5], [2.0, 0.0]], [0.2, 0.6])
    x = jax.random.normal(jax.random.key(0), (20, 2))
    for name in interpolants.ONE_SIDED:
        path = interpolants.interpolant(
            name, "none", 1.0, paths.gaussian([9.0, 9.0], 4.0), target
        )  # that source has no part in it
        c, field = path.schedule(0.4), path.field(0.4, x)
        noise = -c.alpha * field.score
        by_noise = c.d_beta / c.beta * x + (c.d_alpha - c.alpha * c.d_beta / c.beta) * noise
        np.testing.assert_allclose(field.velocity, by_noise, atol=1e-12)
        c = path.schedule(0.0)
        start = c.d_alpha * x + c.d_beta * (path.target.weights @ path.target.means)[None]  # its limit
        np.testing.assert_allclose(path.field.velocity(0.0, x), start, atol=1e-6)


def test_bad_laws_get_a_sentence():
    for key, value, sentence in (
        ("weights", [0.5], "the weights sum to 0.5"),
        ("variances", [-1.0], "covariance 0 has the eigenvalue -1"),
        ("source_centres", [[0.0, 0.0]], "source and target have dimensions 2 and 1"),
    ):
        arrays = gaussian_pair((0.0, 1.0), (2.0, 0.25), 10) | {key: np.array(value)}
        with pytest.raises(ValueError, match=sentence):
            interpolants.interpolant("linear", "brownian", 1.0, source_of(arrays), target_of(arrays))
