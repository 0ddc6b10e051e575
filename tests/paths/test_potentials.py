"""Potentials against closed forms, finite differences, scipy, diffrax and POT (section 6 of the sheet)."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from lab import paths
from lab.numerics import pure
from lab.ot.gaussian import bures
from lab.paths import potentials
from lab.paths.potentials import Climb, FokkerPlanck, HamiltonJacobi, Heat, Ripples, Wave

RNG = np.random.default_rng(11)
A = jnp.array([[0.3, -0.5, 0.1], [-0.5, -0.4, 0.2], [0.1, 0.2, 0.6]])  # not diagonal, of trace 1/2
G = jnp.array([0.2, -0.1, 0.4])
Z = jnp.asarray(RNG.normal(size=(6, 3)))
WAVES = jnp.array([[1.0, -0.5, 0.3], [0.2, 0.9, -1.1]])
PHASES, HEIGHTS = jnp.array([0.3, -1.0]), jnp.array([0.7, 0.4])


def _ripples(pde):
    return Ripples(WAVES, PHASES, HEIGHTS, 1.3, pde)


def _left(pde, u, z, t, c=1.0):
    return potentials.residual(pde, z, potentials.derivatives(u, z, t), c)


EXACT = {
    "wave, quadratic": ("wave", Wave(A, G, 1.7), 1.7),
    "heat, quadratic": ("heat", Heat(A, G, 1.7), 1.7),
    "hamilton-jacobi, quadratic": ("hamilton-jacobi", HamiltonJacobi(A, G), 1.0),
    "wave, plane": ("wave", _ripples("wave"), 1.3),
    "heat, plane": ("heat", _ripples("heat"), 1.3),
    "fokker-planck": (
        "fokker-planck",
        FokkerPlanck(G, jnp.eye(3) + 0.3 * A @ A, jnp.zeros(3), jnp.eye(3), 1 / 1.2**2),
        1.2,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_exact_families_keep_their_equation(name):
    pde, u, c = EXACT[name]
    at = jax.jit(lambda t: jax.vmap(lambda z: _left(pde, u, z, t, c))(Z))
    wrong = jax.jit(lambda t: jax.vmap(lambda z: _left(pde, u, z, t, 2 * c))(Z))
    for t in (0.2, 0.9):
        assert np.abs(at(t)).max() < 1e-8
        assert pde == "hamilton-jacobi" or np.abs(wrong(t)).max() > 1e-2  # c counts


def test_waves_start_from_rest():
    for u in (Wave(A, G, 1.7), _ripples("wave")):
        np.testing.assert_allclose(jax.vmap(lambda z, u=u: potentials.gradient(u, z, 0.0))(Z), 0, atol=1e-14)


def test_the_laplacian_is_the_trace_not_the_row_sums():
    """Of z^T A z / 2 the row sums of the Hessian are A 1, a vector; its Laplacian is tr A."""
    u = lambda z, t: z @ A @ z / 2  # noqa: E731
    found = jax.vmap(lambda z: potentials.laplacian(u, z, 0.0))(Z)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, jnp.trace(A), atol=1e-12)
    rows = jax.vmap(jax.grad(lambda z: jax.grad(u)(z, 0.0).sum()))(Z)  # what released code differentiates
    np.testing.assert_allclose(rows[0], A.sum(axis=1), atol=1e-12)
    assert abs(float(rows[0].sum()) - float(found[0])) > 0.2


@pytest.mark.slow
def test_derivatives_are_those_of_differences_and_of_one_sample_each():
    u = lambda z, t: jnp.tanh(z[0] * z[1] - t**2 * z[2]) + jnp.sin(t) * (z**3).sum()  # noqa: E731
    times = jnp.array([0.3, 0.8])
    two = jax.vmap(lambda z, t: potentials.derivatives(u, z, t))(Z[:2], times)
    for row in range(2):
        one = potentials.derivatives(u, Z[row], times[row])
        for batched, single in zip(jax.tree.map(lambda x, row=row: x[row], two), one, strict=True):
            np.testing.assert_allclose(batched, single, rtol=1e-12)
        z, t, h = np.asarray(Z[row]), float(times[row]), 1e-4
        by = [float(u(jnp.asarray(z), t + s * h)) for s in (-1, 0, 1)]
        np.testing.assert_allclose(one.rate, (by[2] - by[0]) / (2 * h), rtol=1e-6)
        np.testing.assert_allclose(one.acceleration, (by[2] - 2 * by[1] + by[0]) / h**2, rtol=1e-5)
        np.testing.assert_allclose(one.laplacian, np.trace(jax.hessian(u)(Z[row], times[row])), rtol=1e-12)
        np.testing.assert_allclose(one.gradient, jax.grad(u)(Z[row], times[row]), rtol=1e-12)


def test_velocities_have_no_curl():
    u = lambda z, t: jnp.tanh(z[0] * z[1] - t * z[2]) + jnp.sin(z[0])  # noqa: E731
    jacobian = jax.jacobian(lambda z: Climb(u)(0.4, z[None])[0])(Z[0])
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-12)
    np.testing.assert_allclose(Climb(u).divergence(0.4, Z)[0], jnp.trace(jacobian), atol=1e-12)


def test_hutchinson_is_the_trace_within_its_error():
    u = lambda z, t: z @ A @ z / 2 + jnp.sin(z[0] * z[2])  # noqa: E731
    found = potentials.hutchinson(jax.random.key(2), u, Z[0], 0.0, 4000)
    assert abs(float(found.value - potentials.laplacian(u, Z[0], 0.0))) < 3 * float(found.error)
    assert 0 < float(found.error) < 0.1
    with pytest.raises(ValueError, match="at least 2"):
        potentials.hutchinson(jax.random.key(2), u, Z[0], 0.0, 1)


def _with_density(u, z, time, steps, solver="rk4"):
    field = Climb(u)
    return paths.carry(
        pure,
        field,
        z,
        jnp.linspace(0, time, steps + 1),
        solver=solver,
        extra=jnp.zeros(len(z)),
        rate=lambda t, x, extra: -field.divergence(t, x),
    )


@pytest.mark.parametrize(
    ("u", "grown"), [(Wave(A, 0 * G), lambda t: t**2 / 2), (Heat(A, 0 * G), lambda t: t)], ids=["wave", "heat"]
)
def test_quadratic_flows_are_matrix_exponentials(u, grown):
    """RK4 with steps of 0.01, its density, and the closed form that the class knows, against scipy's."""
    run = _with_density(u, Z, 1.0, 100)
    truth = np.asarray(Z) @ expm(np.asarray(A) * grown(1.0)).T
    np.testing.assert_allclose(run.end, truth, atol=1e-6)
    np.testing.assert_allclose(u.flow(1.0)(Z), truth, atol=1e-12)
    np.testing.assert_allclose(run.extra, -np.trace(A) * grown(1.0), atol=1e-8)
    np.testing.assert_allclose(u.log_density_change(1.0), -np.trace(A) * grown(1.0), atol=1e-12)


@pytest.mark.slow
def test_affine_flows_agree_with_diffrax():
    """With a linear part, whose flow has phi(A)."""
    for u in (Wave(A, G, 0.7), Heat(A, G, 0.7), HamiltonJacobi(A, G)):
        term = diffrax.ODETerm(lambda t, z, args, u=u: potentials.gradient(u, z, t))
        found = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, 1.1, 0.01, Z[0], stepsize_controller=diffrax.PIDController(1e-10, 1e-10)
        )
        np.testing.assert_allclose(u.flow(1.1)(Z)[0], found.ys[-1], atol=1e-7)


@pytest.mark.slow
def test_hamilton_jacobi_goes_straight():
    u = HamiltonJacobi(A, G)
    run = _with_density(u, Z, 1.0, 1, "euler")  # one step is enough
    start = np.asarray(Z) @ np.asarray(A).T + np.asarray(G)
    np.testing.assert_allclose(run.end, Z + start, atol=1e-12)
    later = jax.vmap(lambda z: potentials.gradient(u, z, 0.8))(u.flow(0.8)(Z))
    np.testing.assert_allclose(later, start, atol=1e-12)
    hessian = jax.hessian(u)(Z[0], 0.8)
    np.testing.assert_allclose(hessian, A @ np.linalg.inv(np.eye(3) + 0.8 * A), atol=1e-10)
    exact = -np.linalg.slogdet(np.eye(3) + np.asarray(A))[1]
    np.testing.assert_allclose(_with_density(u, Z, 1.0, 40).extra, exact, atol=1e-6)
    np.testing.assert_allclose(u.log_density_change(1.0), exact, atol=1e-12)
    free = potentials.Free(jnp.asarray(start), jnp.broadcast_to(A, (6, 3, 3)))
    np.testing.assert_allclose(
        free.divergence(0.8, Z), np.trace(np.asarray(A) @ np.linalg.inv(np.eye(3) + 0.8 * np.asarray(A))), rtol=1e-12
    )


@pytest.mark.slow
def test_hopf_lax_is_the_quadratic_solution():
    u = HamiltonJacobi(A, G)
    offsets = jnp.asarray(RNG.uniform(-2, 2, size=(300, 3)))
    initial = lambda y: y @ A @ y / 2 + G @ y  # noqa: E731
    for t in (0.3, 0.9):
        found = jax.vmap(lambda z, t=t: potentials.hopf_lax(initial, z, t, offsets))(Z)
        np.testing.assert_allclose(found.value, jax.vmap(lambda z, t=t: u(z, t))(Z), atol=1e-8)
        np.testing.assert_allclose(found.gradient, jax.vmap(lambda z, t=t: potentials.gradient(u, z, t))(Z), atol=1e-8)


def test_hopf_lax_of_ripples_keeps_the_equation_and_sees_the_shock():
    """By differences in time before the shock; after it the least value, against brute force on a fine grid of a line."""
    still = Ripples(jnp.array([[1.5]]), jnp.zeros(1), jnp.array([0.8]), 1.0, "still")
    initial = lambda y: still(y, 0.0)  # noqa: E731
    offsets = jnp.linspace(-4, 4, 161)[:, None]
    grid = jnp.linspace(-3, 3, 200)[:, None]
    shock = float(potentials.shock_time(jax.vmap(jax.hessian(initial))(grid)))
    np.testing.assert_allclose(shock, 1 / (0.8 * 1.5**2), rtol=1e-3)
    at = jax.jit(lambda z, t: potentials.hopf_lax(initial, z, t, offsets))
    z, t, h = jnp.array([0.4]), 0.5 * shock, 1e-5
    rate = (at(z, t + h).value - at(z, t - h).value) / (2 * h)
    np.testing.assert_allclose(rate, -(at(z, t).gradient[0] ** 2) / 2, rtol=1e-6)
    fine = np.linspace(-6, 6, 120_001)
    for place in (-1.0, 0.1, 2.0):
        brute = (0.8 * np.sin(1.5 * fine) + (place - fine) ** 2 / (2 * 3 * shock)).min()
        np.testing.assert_allclose(at(jnp.array([place]), 3 * shock).value, brute, atol=1e-8)


def test_a_shock_is_refused_and_timed():
    u = HamiltonJacobi(A, G)
    shock = -1 / np.linalg.eigvalsh(A).min()
    np.testing.assert_allclose(potentials.shock_time(A), shock, rtol=1e-12)
    assert u.flow(0.99 * shock).matrix.shape == (3, 3)
    with pytest.raises(ValueError, match=r"lines meet at t = 1\.\d+: ask for an earlier time"):
        u.flow(1.01 * shock)
    assert potentials.shock_time(jnp.eye(2)) == np.inf


SOURCE = np.array([[1.0, 0.3], [0.3, 0.5]])
GOAL = np.array([[0.4, -0.2], [-0.2, 1.5]])
MEANS = np.array([0.3, -0.2]), np.array([1.0, 0.7])


@pytest.mark.slow
def test_joined_potentials_end_in_the_brenier_map_and_cost_what_they_must():
    """All three take N(m0, C0) to N(m1, C1) by the same map; only Hamilton-Jacobi's kinetic energy is W2 squared."""
    time = 1.3
    given = (*map(jnp.asarray, (MEANS[0], SOURCE, MEANS[1], GOAL)), time)
    made = potentials.joined(*given, 0.6)
    distance = pot.gaussian.bures_wasserstein_distance(*map(jnp.asarray, MEANS), *map(jnp.asarray, (SOURCE, GOAL)))
    np.testing.assert_allclose(made.squared, float(distance) ** 2, rtol=1e-8)
    nodes, weights = np.polynomial.legendre.leggauss(30)
    energies = {}
    for name, u in (("wave", made.wave), ("heat", made.heat), ("hj", made.hamilton_jacobi)):
        end = u.flow(time)
        np.testing.assert_allclose(end.matrix @ SOURCE @ end.matrix.T, GOAL, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(end.matrix @ MEANS[0] + end.shift, MEANS[1], atol=1e-10, err_msg=name)
        np.testing.assert_allclose(end.matrix, made.matrix, atol=1e-10, err_msg=name)

        def speed(t, u=u):
            way = u.flow(t)
            return potentials.gaussian_energy(
                u, way.matrix @ MEANS[0] + way.shift, way.matrix @ SOURCE @ way.matrix.T, t
            )

        at = [float(speed(time * (1 + node) / 2)) for node in nodes]
        energies[name] = time * (np.array(at) @ weights) * time / 2
    np.testing.assert_allclose(energies["hj"], made.squared, rtol=1e-10)
    assert energies["heat"] > 1.01 * energies["hj"]
    assert energies["wave"] > 4 / 3 * energies["hj"]


@pytest.mark.slow
def test_kinetic_energy_of_particles_is_the_distance():
    """1e5 particles, Hamilton-Jacobi, velocities on the way."""
    made = potentials.joined(*map(jnp.asarray, (MEANS[0], SOURCE, MEANS[1], GOAL)))
    z = jnp.asarray(RNG.multivariate_normal(MEANS[0], SOURCE, size=50_000))
    z = jnp.concatenate([z, 2 * MEANS[0][None] - z])  # in pairs about the mean
    u = made.hamilton_jacobi
    speeds = [float((Climb(u)(t, u.flow(t)(z)) ** 2).sum(axis=1).mean()) for t in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(speeds, speeds[0], rtol=1e-10)  # nothing speeds up
    np.testing.assert_allclose(speeds[0], made.squared, rtol=2e-2)
    sample, end = np.cov(z.T, bias=True), u.flow(1.0)
    np.testing.assert_allclose(
        speeds[0],
        float(bures(z.mean(0), sample, end(z.mean(0)[None])[0], made.matrix @ sample @ made.matrix).squared),
        rtol=1e-3,
    )


@pytest.mark.slow
def test_the_heat_flow_of_densities_costs_what_the_sheet_says():
    """T x energy .48994 against W2 squared .47691, from C0 = [[1, .3], [.3, .5]], to t = 1/2."""
    zero = jnp.zeros(2)
    u = FokkerPlanck(zero, jnp.asarray(SOURCE), zero, jnp.zeros((2, 2)))
    mean, end = u.law(0.5)
    np.testing.assert_allclose(end, SOURCE + np.eye(2), atol=1e-12)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    times = (1 + nodes) / 4
    speed = np.array([float(potentials.gaussian_energy(u, *u.law(t), t)) for t in times])
    np.testing.assert_allclose(speed, [np.trace(np.linalg.inv(SOURCE + 2 * t * np.eye(2))) for t in times], rtol=1e-8)
    energy = 0.5 * (speed @ weights) / 4
    squared = float(bures(zero, SOURCE, mean, end).squared)
    np.testing.assert_allclose(energy, 0.48994, atol=6e-6)
    np.testing.assert_allclose(squared, 0.47691, atol=6e-6)
    assert energy > squared
    law = multivariate_normal(np.zeros(2), SOURCE + 0.6 * np.eye(2))
    np.testing.assert_allclose(u(Z[0, :2], 0.3), -law.logpdf(Z[0, :2]), rtol=1e-10)


def test_fokker_planck_carries_the_law_that_it_tells():
    """Particles along -grad(V + log rho / beta), whose covariances do not commute with the goal's."""
    goal, precision = jnp.asarray(MEANS[1]), jnp.linalg.inv(jnp.asarray(GOAL)) / 1.4
    u = FokkerPlanck(jnp.asarray(MEANS[0]), jnp.asarray(SOURCE), goal, precision, 1.4)
    probe = jnp.concatenate([jnp.zeros((1, 2)), jnp.eye(2)])
    end = paths.ode(Climb(u), probe, grid=jnp.linspace(0, 0.7, 101), solver="rk4").end
    matrix, shift = (end[1:] - end[:1]).T, end[0]
    mean, covariance = u.law(0.7)
    np.testing.assert_allclose(matrix @ SOURCE @ matrix.T, covariance, atol=1e-7)
    np.testing.assert_allclose(matrix @ MEANS[0] + shift, mean, atol=1e-7)
    late = u.law(60.0)
    np.testing.assert_allclose(late[1], GOAL, atol=1e-8)
    np.testing.assert_allclose(late[0], MEANS[1], atol=1e-8)


@pytest.mark.slow
def test_orders_of_euler_and_rk4_and_there_and_back():
    u = Wave(A, G)
    truth = u.flow(1.0)(Z)
    errors = {
        solver: [float(jnp.abs(_with_density(u, Z, 1.0, steps, solver).end - truth).max()) for steps in (4, 8, 16)]
        for solver in ("euler", "rk4")
    }
    ratios = {solver: np.log2(np.array(each[:-1]) / each[1:]) for solver, each in errors.items()}
    assert (abs(ratios["euler"] - 1) < 0.2).all()
    assert (abs(ratios["rk4"] - 4) < 0.35).all()
    there = paths.carry(pure, Climb(u), Z, jnp.linspace(0, 1, 33)).end
    back = paths.carry(pure, Climb(u), there, jnp.linspace(1, 0, 33)).end
    np.testing.assert_allclose(back, Z, atol=1e-6)
    assert np.abs(there - Z).max() > 0.3


def test_the_sign_turns_points_round():
    up, down = (Climb(_ripples("heat"), sign)(0.2, Z) for sign in (1.0, -1.0))
    np.testing.assert_array_equal(up, -down)
    assert np.abs(up).max() > 0.1


def test_bad_input_gets_a_sentence():
    crooked = jnp.array([[1.0, 0.2], [0.0, 1.0]])
    for make in (lambda: Wave(crooked, jnp.zeros(2)), lambda: Heat(crooked, jnp.zeros(2))):
        with pytest.raises(ValueError, match="a is not symmetric"):
            make()
    with pytest.raises(ValueError, match="s is not symmetric"):
        HamiltonJacobi(crooked, jnp.zeros(2))
    with pytest.raises(ValueError, match="at least one row"):
        Wave(jnp.zeros((0, 0)), jnp.zeros(0))
    with pytest.raises(ValueError, match="pde = 'waves'"):
        potentials.residual("waves", Z[0], potentials.derivatives(_ripples("wave"), Z[0], 0.1))
    with pytest.raises(ValueError, match="pde = 'sound'"):
        _ripples("sound")
