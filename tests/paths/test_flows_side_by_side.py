"""Flows side by side: energies against distances, ends against goals, heights against Hopf and Lax."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab.numerics import pure
from lab.paths import potentials
from lab.studies.paths import flow_comparison as flows

RNG = np.random.default_rng(3)
START, GOAL = np.array([[0.8, 0.2], [0.2, 0.4]]), np.array([[1.2, -0.5], [-0.5, 0.9]])
MEAN, AT = np.array([0.1, -0.3]), np.array([1.1, 0.6])
Z = jnp.asarray(RNG.multivariate_normal(MEAN, START, size=40))
GRID = jnp.linspace(-1.5, 1.5, 4)
KEY = jax.random.key(4)


def _setting(time=1.5, sign=1.0, height=1.0):
    return flows.Setting(Z, *map(jnp.asarray, (MEAN, START, AT, GOAL)), 0.7, height, 3.0, time, sign)


@pytest.fixture(scope="module")
def quadratic():
    return flows.experiment(pure, "quadratic", _setting(), KEY, GRID, GRID)[0]


@pytest.fixture(scope="module")
def ripples():
    return flows.experiment(pure, "ripples", _setting(time=0.5), KEY, GRID, GRID)[0]


@pytest.mark.slow
def test_three_equations_end_alike_and_one_is_optimal(quadratic):
    w2 = float(pot.gaussian.bures_wasserstein_distance(*map(jnp.asarray, (MEAN, AT, START, GOAL)))) ** 2
    np.testing.assert_allclose(quadratic["w2"][:3], w2, rtol=1e-6)
    np.testing.assert_allclose(quadratic["total"][2], w2, rtol=1e-8)
    assert float(quadratic["ratio_heat"]) > 1.005
    assert float(quadratic["ratio_wave"]) > 1.005 * 4 / 3
    assert float(quadratic["gap"]) < 1e-6
    assert float(quadratic["ends_apart"]) < 1e-6
    ends = quadratic["paths"][:3, -1]
    np.testing.assert_allclose(ends[0], ends[2], atol=2.1e-3)
    np.testing.assert_allclose(ends[1], ends[2], atol=2.1e-3)
    best = pot.gaussian.bures_wasserstein_mapping(*map(jnp.asarray, (MEAN, AT, START, GOAL)))
    np.testing.assert_allclose(ends[2], np.asarray(Z) @ np.asarray(best[0]) + np.ravel(best[1]), atol=1.1e-3)
    assert np.isnan(quadratic["total"][4])
    assert float(quadratic["total"][3]) > float(quadratic["w2"][3])  # relaxing is no geodesic either


@pytest.mark.slow
def test_log_densities_are_those_of_determinants(quadratic):
    matrix = flows.make("quadratic", _setting(), KEY).potentials[2].flow(1.5).matrix
    np.testing.assert_allclose(quadratic["log_density"][:3, -1], -np.linalg.slogdet(matrix)[1], atol=1e-6)


@pytest.mark.slow
def test_a_steady_velocity_needs_one_step(quadratic, ripples):
    assert np.abs(quadratic["step_error"][:, :, 2]).max() < 1e-12
    assert np.abs(ripples["step_error"][:, :, 2]).max() < 1e-12
    order = np.log2(quadratic["step_error"][:, 3, 0] / quadratic["step_error"][:, 4, 0])
    np.testing.assert_allclose(order, [1, 4], atol=0.3)


@pytest.mark.slow
def test_downhill_points_go_the_other_way():
    down = flows.experiment(pure, "quadratic", _setting(sign=-1.0), KEY, GRID, GRID)[0]
    matrix = np.asarray(flows.make("quadratic", _setting(), KEY).potentials[1].flow(1.5).matrix)
    ends = down["paths"][1, -1]
    fitted = np.linalg.lstsq(np.c_[np.asarray(Z), np.ones(40)], ends, rcond=None)[0]
    np.testing.assert_allclose(fitted[:2].T, np.linalg.inv(matrix), atol=3e-3)
    assert np.isnan(down["gap"])


@pytest.mark.slow
def test_ripples_cost_more_than_the_distance(ripples):
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    for row in (0, 1, 2, 4):
        cost = cdist(ripples["paths"][row, 0], ripples["paths"][row, -1], "sqeuclidean")
        best = cost[linear_sum_assignment(cost)].mean()
        np.testing.assert_allclose(ripples["w2"][row], best, rtol=5e-3)
        assert float(ripples["total"][row]) > (1 - 1e-6) * float(ripples["w2"][row])
    np.testing.assert_allclose(ripples["ratio"][4], 1, rtol=1e-6)  # one direction for all is optimal
    assert np.isnan(ripples["w2"][3])


@pytest.mark.slow
def test_ripples_before_the_shock_are_optimal_and_after_it_are_not():
    given = _setting(time=0.5, height=0.3)
    made = flows.make("ripples", given, KEY)
    assert float(made.shock) > 0.5
    assert float(made.met) == 0
    near = flows.experiment(pure, "ripples", given, KEY, GRID, GRID)[0]
    np.testing.assert_allclose(near["ratio"][2], 1, rtol=1e-9)
    far = flows.experiment(pure, "ripples", _setting(time=4.0, height=0.5), KEY, GRID, GRID)[0]
    assert float(far["met"]) > 0.3
    assert float(far["ratio"][2]) > 1.2


@pytest.mark.slow
def test_heights_are_potentials(ripples, quadratic):
    """Of the wave by its formula; of Hamilton-Jacobi by a search over a fine grid."""
    given = _setting(time=0.5)
    shapes = flows.ripples(KEY, given)
    times = np.linspace(0, 0.5, flows.FRAMES)
    z = jnp.array([GRID[2], GRID[1]])
    peak = np.abs(ripples["height"]).max(axis=(1, 2, 3))
    np.testing.assert_allclose(ripples["height"][0, 20, 1, 2], shapes["wave"](z, times[20]), atol=1e-3 * peak[0])
    side = jnp.linspace(-3, 3, 601)
    plane = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    cost = jax.vmap(lambda y: shapes["still"](y, 0.0))(plane) + ((plane - z[None]) ** 2).sum(axis=1) / (2 * times[20])
    np.testing.assert_allclose(ripples["height"][2, 20, 1, 2], cost.min(), atol=2e-3 * peak[2])
    u = flows.make("quadratic", _setting(), KEY).potentials[2]
    np.testing.assert_allclose(
        quadratic["height"][2, 16, 1, 2], u(z, 0.75), rtol=0.01, atol=0.005 * np.abs(quadratic["height"][2]).max()
    )


def test_ripples_keep_their_equations():
    shapes = flows.ripples(KEY, _setting())
    for pde in ("wave", "heat"):
        found = potentials.derivatives(shapes[pde], Z[0], 0.4)
        assert abs(float(potentials.residual(pde, Z[0], found, 0.7))) < 1e-8
