"""Sampling: closed-form maps and tables of the sheets, marginals of ODE and SDE, counts, refusals."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ndtr
from scipy.stats import chisquare, kstest

from lab.numerics import Reason
from lab.paths import fields, sampling
from lab.paths.laws import Empirical, Mixture, checkerboard, gaussian, standard
from lab.paths.schedules import VP, Brownian, ConstantSpeedVP, Custom, Linear, Mirror

ONE = jnp.asarray([[1.0], [-2.0]])
NARROWER = fields.exact(Linear(), standard(1), gaussian([0.0], 0.09))  # N(0, 1) to N(0, .3^2)
THREE = Mixture([0.3, 0.3, 0.4], [[-3.0], [0.0], [2.0]], [0.25, 0.09, 0.36])
TWO = Mixture([0.6, 0.4], [[-1.0], [1.5]], [0.25, 0.5])
NOISY = fields.exact(Linear(Brownian(1.0)), TWO, THREE)
MANY = 2_500


def cdf(mixture: Mixture, x):
    w, m, v = (np.asarray(z) for z in (mixture.weights, mixture.means[:, 0], mixture.covariances))
    return ndtr((np.asarray(x)[..., None] - m) / np.sqrt(v)) @ w


def between(t: float) -> Mixture:
    """The law of NOISY at a time, component by component."""
    weights = np.outer(TWO.weights, THREE.weights).ravel()
    means = ((1 - t) * TWO.means[:, None] + t * THREE.means[None]).reshape(-1, 1)
    spread = (1 - t) ** 2 * TWO.covariances[:, None] + t**2 * THREE.covariances[None] + t * (1 - t)
    return Mixture(weights, means, spread.ravel())


@pytest.mark.slow
def test_euler_table_of_the_sheet():
    expected = {1: 0.0, 2: 0.08257, 4: 0.17725, 8: 0.23473, 32: 0.28245}
    for steps, std in expected.items():
        path = sampling.ode(NARROWER, ONE, steps, solver="euler")
        now, h = np.arange(steps) / steps, 1 / steps
        sigma2 = (1 - now) ** 2 + 0.09 * now**2
        product = np.prod(1 + (0.09 * now - (1 - now)) / sigma2 * h)
        np.testing.assert_allclose(path.end, product * ONE, atol=1e-10)
        np.testing.assert_allclose(product, std, atol=5e-6)
        assert path.nfe == steps
        assert path.reason == Reason.CONVERGED


@pytest.mark.parametrize(("solver", "order", "cost"), [("midpoint", 2, 2), ("heun", 2, 2), ("rk4", 4, 4)])
def test_orders(solver, order, cost):
    def velocity(t, x):
        return -(1 + t) * x**2  # 1 / (1 + t + t^2 / 2) from 1

    one = jnp.ones((2, 1))
    coarse, fine = (sampling.ode(velocity, one, steps, solver=solver, keep=False) for steps in (40, 80))
    errors = [abs(float(path.end[0, 0]) - 0.4) for path in (coarse, fine)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.3
    assert fine.nfe == 80 * cost
    assert fine.x.shape == (2, 2, 1)


def test_path_keeps_the_points_and_their_velocities():
    """Z_t = sigma_t Z_0, so path energy (s1 - s0)^2 + (2 - pi/2) s0 s1 for a start of variance 1."""
    path = sampling.ode(NARROWER, jnp.asarray([[1.0], [-1.0]]), 100)
    sigma = np.sqrt((1 - path.t) ** 2 + 0.09 * path.t**2)
    np.testing.assert_allclose(path.x[:, 0, 0], sigma, atol=1e-8)
    np.testing.assert_allclose(path.velocity[:, 0, 0], (0.09 * path.t - (1 - path.t)) / sigma, atol=1e-7)
    energy = np.trapezoid(np.asarray(path.velocity**2).mean(axis=(1, 2)), path.t)
    np.testing.assert_allclose(energy, 0.49 + (2 - np.pi / 2) * 0.3, rtol=2e-4)
    ends = sampling.ode(NARROWER, jnp.asarray([[1.0], [-1.0]]), 100, keep=False)
    np.testing.assert_array_equal(ends.x, path.x[jnp.array([0, -1])])
    np.testing.assert_allclose(ends.velocity, path.velocity[jnp.array([0, -1])], atol=1e-14)


@pytest.mark.slow
def test_one_dimensional_flow_is_the_quantile_map():
    field = fields.exact(Linear(), standard(1), Mixture([0.3, 0.7], [[-2.0], [1.0]], [0.25, 0.64]))
    quantiles = np.asarray([0.05, 0.25, 0.3, 0.5, 0.9])
    start = jnp.asarray(
        [[-1.6448536269514722], [-0.6744897501960817], [-0.5244005127080409], [0.0], [1.2815515655446004]]
    )
    end = sampling.ode(field, start, 200).end
    np.testing.assert_allclose(end[:, 0], [-2.48374, -1.52009, -0.94585, 0.54724, 1.85406], atol=1e-4)
    w, m, s = np.asarray([0.3, 0.7]), np.asarray([-2, 1.0]), np.asarray([0.5, 0.8])
    np.testing.assert_allclose(ndtr((np.asarray(end) - m[None]) / s[None]) @ w, quantiles, atol=1e-5)
    # any path is the same map in one dimension, and the diffusion's ends exactly at t = 1
    other = sampling.ode(fields.exact(ConstantSpeedVP(), standard(1), field_target()), start, 400)
    np.testing.assert_allclose(other.end, end, atol=2e-3)
    back = sampling.ode(field, end, 200, reverse=True)
    np.testing.assert_allclose(back.end, start, atol=1e-5)
    assert back.t[0] == 1


def field_target():
    return Mixture([0.3, 0.7], [[-2.0], [1.0]], [0.25, 0.64])


def test_straight_is_not_optimal():
    """The rectified map of two Gaussians that do not commute, with its cost; T S0 T' = S1."""
    s0, s1 = np.asarray([[1, 0.6], [0.6, 0.5]]), np.asarray([[0.4, -0.2], [-0.2, 1.2]])
    field = fields.exact(Linear(), gaussian([0.0, 0.0], s0), gaussian([0.0, 0.0], s1))
    t = np.asarray(sampling.ode(field, jnp.eye(2), 400, keep=False).end).T
    np.testing.assert_allclose(t, [[1.038944, -0.804542], [-1.499374, 2.867449]], atol=1e-5)
    np.testing.assert_allclose(t @ s0 @ t.T, s1, atol=1e-8)
    np.testing.assert_allclose(np.trace((t - np.eye(2)) @ s0 @ (t - np.eye(2)).T), 0.919361, atol=1e-5)


@pytest.mark.slow
def test_flow_to_points():
    points = np.random.default_rng(2).normal(size=(8, 2)) * 2
    field = fields.exact(Linear(), standard(2), points)
    start = jax.random.normal(jax.random.key(0), (1600, 2))
    one = sampling.ode(field, start, 1, interval=(0, 1), solver="euler")
    np.testing.assert_allclose(one.end, np.broadcast_to(points.mean(0), (1600, 2)), atol=1e-14)
    assert jnp.isnan(one.velocity[-1]).all()  # at t = 1 there is none
    end = np.asarray(sampling.ode(field, start, 60, keep=False).end)  # to 1 - 1e-4, graded
    apart = np.sqrt(((end[:, None] - points[None]) ** 2).sum(2))
    assert np.quantile(apart.min(1), 0.99) < 1e-3
    assert chisquare(np.bincount(apart.argmin(1), minlength=8)).pvalue > 0.01


@pytest.fixture(scope="module")
def walks():
    """Paths of ODE and SDE forward and backward, at quarters of the time."""
    first, second = TWO.sample(jax.random.key(1), MANY), THREE.sample(jax.random.key(2), MANY)
    quarters = {}
    for name, epsilon, reverse, scheme in (
        ("forward, weak", 0.1, False, "heun"),
        ("forward, strong", 1.0, False, "heun"),
        ("backward", 0.5, True, "heun"),
        ("euler", 0.5, False, "euler"),
        ("noise-first", 0.5, True, "noise-first"),
    ):
        start = second if reverse else first
        path = sampling.sde(NOISY, start, jax.random.key(7), epsilon, 100, scheme=scheme, reverse=reverse)
        assert path.nfe == (100 if scheme == "euler" else 200)
        x = path.x[::-1] if reverse else path.x
        quarters[name] = np.asarray(x[::25, :, 0])
    quarters["ode"] = np.asarray(sampling.ode(NOISY, first, 40).x[::10, :, 0])
    quarters["ode back"] = np.asarray(sampling.ode(NOISY, second, 40, reverse=True).x[::-1][::10, :, 0])
    return quarters


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ode", "ode back", "forward, weak", "forward, strong", "backward", "euler", "noise-first"]
)
def test_the_noise_level_does_not_change_the_marginals(walks, name):
    for k, t in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        x, law = walks[name][k], between(t)
        assert kstest(x, lambda x, law=law: cdf(law, x)).pvalue > 1e-3, (name, t)
        moments = law.moments()
        assert abs(x.mean() - moments.mean[0]) < 4 * x.std() / MANY**0.5 + (0.03 if name == "noise-first" else 0)
        centred = (x - float(moments.mean[0])) ** 2
        if name != "noise-first":  # weak order 1: at 100 steps its bias shows in the variance
            assert abs(centred.mean() - moments.covariance[0, 0]) < 4 * centred.std() / MANY**0.5


@pytest.mark.slow
def test_weak_order_of_the_schemes():
    """On Gaussians mean and variance obey a recursion: the Heun scheme's bias falls by 4 as the step halves, Euler's by 2."""
    field = fields.exact(Linear(Brownian(1.0)), standard(1), gaussian([0.0], 0.25))

    def variance(scheme, steps):
        # x -> a x + c xi is linear: the response to the start and the noises give the variance exactly
        times, epsilon = np.linspace(0, 1, steps + 1), 0.4
        slope = lambda t: float(rate(t, epsilon))  # noqa: E731
        h, v = 1 / steps, 1.0
        for now, later in pairwise(times):
            p, q = slope(now), slope(later)
            if scheme == "euler":
                a, c = 1 + h * p, 1.0
            elif scheme == "heun":
                a, c = 1 + h * (p + q * (1 + h * p)) / 2, 1 + h * q / 2
            else:
                a = c = 1 + h * (q + q * (1 + h * q)) / 2
            v = a * a * v + c * c * 2 * epsilon * h
        return v

    def rate(t, epsilon):
        var = (1 - t) ** 2 + 0.25 * t**2 + t * (1 - t)
        half = (-(2 - 2 * t) + 0.5 * t + 1 - 2 * t) / 2
        return (half - epsilon) / var

    bias = {scheme: [abs(variance(scheme, k) - 0.25) for k in (50, 100)] for scheme in ("euler", "heun", "noise-first")}
    assert 3.5 < bias["heun"][0] / bias["heun"][1] < 4.5
    for scheme in ("euler", "noise-first"):
        assert 1.7 < bias[scheme][0] / bias[scheme][1] < 2.3
    for scheme in ("euler", "heun", "noise-first"):  # and these recursions are what is run
        start = jax.random.normal(jax.random.key(0), (40_000, 1))
        start = (start - start.mean()) / start.std()
        end = sampling.sde(field, start, jax.random.key(1), 0.4, 10, scheme=scheme, keep=False).end
        assert abs(float(end.var()) / variance(scheme, 10) - 1) < 4 * (2 / 40_000) ** 0.5


@pytest.mark.slow
def test_mirror_flow_is_the_identity_and_its_diffusion_is_not():
    field = fields.exact(Mirror(Brownian(0.5)), Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], [0.2, 0.4]))
    x = jax.random.normal(jax.random.key(0), (20, 2))
    np.testing.assert_allclose(sampling.ode(field, x, 50, keep=False).end, x, atol=1e-4)
    noise = lambda t: 0.5 * t * (1 - t)  # noqa: E731
    moved = sampling.sde(field, x, jax.random.key(0), noise, 50, keep=False).end - x
    assert jnp.abs(moved).mean() > 0.1


@pytest.mark.slow
def test_another_speed_along_the_same_curves():
    """alpha = 1 - t^2, beta = t^2 is the linear path at t^2."""
    target = Mixture([0.5, 0.5], [[-2.0, 0.0], [2.0, 1.0]], [0.2, 0.4])
    x = jax.random.normal(jax.random.key(3), (20, 2))
    slow = sampling.ode(fields.exact(Custom(lambda t: 1 - t**2, lambda t: t**2), standard(2), target), x, 100)
    grid = np.linspace(0, 1, 101) ** 2
    even = sampling.ode(fields.exact(Linear(), standard(2), target), x, grid=grid)
    np.testing.assert_allclose(slow.x, even.x, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["tsit5", "dopri5", "dopri8"])
def test_adaptive_steps_and_their_count(solver):
    pytest.importorskip("diffrax")
    calls = []

    def velocity(t, x):
        jax.debug.callback(lambda: calls.append(1))
        return NARROWER.velocity(t, x)

    path = sampling.adaptive(velocity, ONE, [0.0, 0.5, 1.0], solver=solver, rtol=1e-8, atol=1e-8)
    jax.effects_barrier()
    np.testing.assert_allclose(path.end, 0.3 * ONE, atol=1e-6)
    np.testing.assert_allclose(path.x[1], (0.25 + 0.09 / 4) ** 0.5 * ONE, atol=1e-5)
    assert path.nfe == len(calls) - 3  # three more for the velocities at the times that are kept
    assert path.reason == Reason.CONVERGED
    if solver == "tsit5":
        short = sampling.adaptive(NARROWER, ONE, rtol=1e-8, atol=1e-8, solver=solver, max_steps=3)
        assert short.reason == Reason.MAX_ITERATIONS


@pytest.mark.slow
def test_adaptive_agrees_with_scipy():
    pytest.importorskip("diffrax")
    field = fields.exact(VP(), standard(1), TWO)

    def slope(t, x):
        s2 = np.exp(-19.9 * (1 - t) ** 2 / 2 - 0.1 * (1 - t))  # beta^2
        rate = (0.1 + 19.9 * (1 - t)) / 2
        w, m, v = (np.asarray(z) for z in (TWO.weights, TWO.means[:, 0], TWO.covariances))
        var, mean = s2 * v + 1 - s2, np.sqrt(s2) * m
        p = w * np.exp(-((x[:, None] - mean) ** 2) / (2 * var)) / np.sqrt(var)
        score = -(p * (x[:, None] - mean) / var).sum(1) / p.sum(1)
        return rate * (x + score)  # the probability flow of dX = -rate X dtau + sqrt(2 rate) dW, against tau = 1 - t

    start = np.asarray([-1.5, -0.2, 0.4, 2.0])
    expected = solve_ivp(slope, (0, 0.999), start, rtol=1e-10, atol=1e-10).y[:, -1]
    path = sampling.adaptive(field, start[:, None], (0, 0.999), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(path.end[:, 0], expected, atol=1e-6)


@pytest.mark.slow
def test_keys_dtypes_and_batches():
    x = TWO.sample(jax.random.key(0), 50)
    again = [sampling.sde(NOISY, x, jax.random.key(k), 0.5, 20, keep=False).end for k in (1, 1, 2)]
    np.testing.assert_array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])
    pair = (NOISY.velocity, NOISY.score)
    np.testing.assert_allclose(sampling.sde(pair, x, jax.random.key(1), 0.5, 20, keep=False).end, again[0], atol=1e-12)
    single = sampling.ode(NARROWER, ONE.astype(jnp.float32), 4)
    assert {single.x.dtype, single.velocity.dtype, single.t.dtype} == {jnp.dtype(jnp.float32)}
    ends = jax.vmap(lambda s: sampling.ode(lambda t, x: -s * x, ONE, 50, keep=False).end)(jnp.asarray([0.5, 1.0]))
    np.testing.assert_allclose(ends[:, 0, 0], np.exp([-0.5, -1.0]), rtol=1e-8)
    slope = jax.grad(lambda s: sampling.ode(lambda t, x: -s * x, ONE, 50, keep=False).end[0, 0])(0.5)
    np.testing.assert_allclose(slope, -np.exp(-0.5), rtol=1e-7)


def test_graded_times():
    np.testing.assert_allclose(sampling.graded(5), np.linspace(0, 1, 6), atol=1e-15)
    both = sampling.graded(40, 1e-4, 1 - 1e-4)
    np.testing.assert_allclose(both + both[::-1], 1, atol=1e-12)
    late = sampling.graded(40, 0.0, 1 - 1e-3)
    assert (np.diff(late) > 0).all()
    left = np.diff(late) / (1 - late[:-1])
    assert left.max() < 0.3
    assert left[-1] / left[-5] < 1.05  # a constant fraction of what is left
    path = sampling.ode(fields.exact(Linear(), standard(1), ONE), ONE, 3)
    np.testing.assert_allclose(path.t, sampling.graded(3, 0.0, 1 - 1e-4), atol=1e-15)


@pytest.mark.slow
def test_steps_to_boxes_are_equal():
    board = checkerboard()
    path = sampling.ode(fields.exact(Linear(), standard(2), board), jnp.asarray([[0.3, -0.4]]), 2, solver="euler")
    np.testing.assert_allclose(path.t, [0, 0.5, 1], atol=1e-4)  # two steps of the paper
    halves = fields.exact(Linear(), standard(2), board)
    np.testing.assert_allclose(path.x[1], path.x[0] + path.t[1] * halves.velocity(0.0, path.x[0]), rtol=1e-12)


def test_a_field_made_inside_jit_is_the_same():
    def end(x):
        return sampling.ode(fields.exact(Linear(), standard(1), THREE), x, 4).end

    np.testing.assert_allclose(jax.jit(end)(ONE), end(ONE), rtol=1e-12)


def test_a_field_that_blows_up_says_so():
    path = sampling.ode(lambda t, x: x**3, 1e3 * ONE, 20)
    assert path.reason == Reason.NOT_FINITE


def test_refusals():
    points = fields.exact(Linear(), standard(1), Empirical([[0.0], [1.0]]))
    with pytest.raises(ValueError, match=r"no velocity at t = 1: end the grid at 0.9999"):
        sampling.ode(points, ONE, 10, interval=(0, 1))
    with pytest.raises(ValueError, match="solver = 'rk45'"):
        sampling.ode(points, ONE, solver="rk45")
    with pytest.raises(ValueError, match="all increasing or all decreasing"):
        sampling.ode(points, ONE, grid=[0.0, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        sampling.ode(points, ONE, grid=[0.0, 1.5])
    with pytest.raises(ValueError, match="steps = 0"):
        sampling.ode(points, ONE, 0)
    with pytest.raises(ValueError, match="either a grid or an interval"):
        sampling.ode(points, ONE, grid=[0.0, 0.5], interval=(0, 1))
    with pytest.raises(ValueError, match=r"shape \(n, d\) is needed"):
        sampling.ode(points, jnp.zeros(3))
    with pytest.raises(ValueError, match="epsilon = -1"):
        sampling.sde(NOISY, ONE, jax.random.key(0), -1.0)
    with pytest.raises(ValueError, match="scheme = 'milstein'"):
        sampling.sde(NOISY, ONE, jax.random.key(0), scheme="milstein")
    with pytest.raises(TypeError, match="no score"):
        sampling.sde(lambda t, x: x, ONE, jax.random.key(0))
    with pytest.raises(ValueError, match="they must agree"):
        sampling.ode(lambda t, x: x[:1], ONE)
    with pytest.raises(ValueError, match="solver = 'euler'"):
        sampling.adaptive(points, ONE, solver="euler")


def test_one_step_to_points_is_the_denoiser():
    """Euler from t = 0 ends at t = 1 in the mean of the points, forward and, from points, backward; more steps end on them."""
    points = jnp.asarray([[1.0], [4.0], [-2.0]])
    field = fields.exact(Linear(), standard(1), points)
    path = sampling.ode(field, ONE, steps=1, solver="euler")
    assert path.t[-1] == 1
    np.testing.assert_allclose(path.end, jnp.full_like(ONE, points.mean()), atol=1e-12)
    assert np.isnan(path.velocity[-1]).all()
    back = sampling.ode(fields.exact(Linear(), points, standard(1)), ONE, 1, solver="euler", reverse=True)
    assert back.t[-1] == 0
    np.testing.assert_allclose(back.end, jnp.full_like(ONE, points.mean()), atol=1e-12)
    for solver, t in (("euler", 1), ("midpoint", 1), ("heun", 1 - 1e-4), ("rk4", 1 - 1e-4)):
        path = sampling.ode(field, ONE, steps=60, solver=solver)
        assert path.t[-1] == t
        assert path.nfe == 60 * max(1, {"midpoint": 2, "heun": 2, "rk4": 4}.get(solver, 1))
        assert jnp.abs(path.end - points.T).min(axis=1).max() < 1e-3
