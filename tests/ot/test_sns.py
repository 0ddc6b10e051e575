"""Sinkhorn-Newton-Sparse: the invariants of the method, against NumPy, POT and linear programming on unseen data."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
import scipy.optimize

from lab import numerics, ot
from lab.numerics import Reason, pure
from lab.ot import entropic, sinkhorn, sinkhorn_newton
from lab.ot.sinkhorn_newton import Absolute, Adaptive, Density, SinkhornNewton
from lab.studies.contract.clock import clocked

BACKENDS = {
    "dense": SinkhornNewton("dense"),
    "host": SinkhornNewton("host"),
    "ell": SinkhornNewton("ell", width=6),
}


SLOWER = ["dense", *(pytest.param(name, marks=pytest.mark.slow) for name in ("host", "ell"))]  # each compiles anew


def random(seed, m=20, n=18, d=2, mass=1.0):  # mostly of one shape, so that programs are shared
    rng = np.random.default_rng([seed, m, n])
    x, y = rng.normal(size=(m, d)), 0.8 * rng.normal(size=(n, d)) + 0.5
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    a, b = rng.uniform(0.2, 1.5, m), rng.uniform(0.2, 1.5, n)
    return ot.problem(cost / cost.mean(), mass * a / a.sum(), mass * b / b.sum())


def numpy(problem):
    return tuple(np.asarray(x) for x in problem)


def sinkhorns(problem, epsilon):
    """POT's plan to machine precision, and its primal objective."""
    cost, a, b = numpy(problem)
    plan = pot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", stopThr=1e-14, numItermax=30_000)
    return plan, (plan * cost).sum() + epsilon * (plan * np.log(plan)).sum()


def task(problem, epsilon, config, tolerance=1e-10):
    return entropic._prepare(problem, ot.Entropic(jnp.asarray(epsilon)), tolerance, None, *entropic._split(config))


def solved(problem, epsilon, config, tolerance=1e-10):
    prepared = task(problem, epsilon, config, tolerance)
    return pure(entropic._newton(config), prepared, max_iterations=sinkhorn_newton.LIMIT)


@pytest.fixture(scope="module")
def hard():
    """A problem at a small epsilon, with POT's plan."""
    problem = random(1)
    return problem, 0.02, *sinkhorns(problem, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_pots_plan_and_duality_is_strong(hard, backend):
    problem, epsilon, plan, primal = hard
    solution = ot.solve(problem, ot.Entropic(epsilon), method=BACKENDS[backend], tolerance=1e-11)
    assert solution.converged
    assert backend in solution.method
    np.testing.assert_allclose(solution.plan(), plan, atol=1e-10)
    np.testing.assert_allclose(float(solution.value), primal, atol=1e-11)
    np.testing.assert_allclose(solution.trace["value"][int(solution.iterations) - 1], primal, atol=1e-11)
    assert float(solution.row_error) <= 1e-11
    assert float(solution.column_error) <= 1e-14


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.02])
def test_two_by_two_in_closed_form(epsilon):
    cost, half = np.pad([[0.0, 1.0], [1.0, 0.0]], ((0, 18), (0, 16))), np.full(2, 0.5)
    problem = ot.problem(
        cost, np.pad(half, (0, 18)), np.pad(half, (0, 16))
    )  # among points without mass, to be compiled
    for method in ("newton", "sinkhorn"):
        solution = ot.solve(problem, ot.Entropic(epsilon), method=method, tolerance=1e-13)
        np.testing.assert_allclose(solution.plan()[0, 0], 0.5 / (1 + np.exp(-1 / epsilon)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 5), pytest.param((5, 1), marks=pytest.mark.slow), (1, 1)])
def test_a_single_point_gets_everything(shape):
    rng = np.random.default_rng(2)
    a, b = (rng.dirichlet(np.ones(size)) for size in shape)
    solution = ot.solve(ot.problem(rng.random(shape), a, b), ot.Entropic(0.1), method="newton", tolerance=1e-12)
    assert solution.converged
    np.testing.assert_allclose(solution.plan(), np.outer(a, b), atol=1e-12)


def test_hessian_is_the_derivative_of_the_gradient_and_has_its_null_vector():
    problem, epsilon = random(3, 9, 12), 0.2
    prepared = task(problem, epsilon, SinkhornNewton())
    z = jnp.asarray(np.random.default_rng(4).normal(size=9))

    def gradient(z):
        return prepared.a - sinkhorn_newton._at(prepared, z, prepared.epsilon)[1].sum(axis=1)

    plan = np.asarray(sinkhorn_newton._at(prepared, z, prepared.epsilon)[1])
    hessian = np.diag(plan.sum(1)) - (plan / np.asarray(problem.b)) @ plan.T
    numeric = np.stack([(gradient(z + 1e-6 * e) - gradient(z - 1e-6 * e)) / 2e-6 for e in jnp.eye(9)], axis=1)
    np.testing.assert_allclose(-numeric, hessian, atol=1e-8)
    np.testing.assert_allclose(hessian @ np.ones(9), 0, atol=1e-15)
    assert abs(float(gradient(z).sum())) < 1e-15  # orthogonal to the null vector


@pytest.mark.slow
@pytest.mark.parametrize("solve", ["dense", "host", "ell"])
def test_directions_solve_the_system_that_was_kept(solve):
    problem, epsilon = random(5, 14, 17), 0.1
    config = SinkhornNewton(solve, threshold=Absolute(2e-3), width=17)
    prepared = task(problem, epsilon, config)._replace(epsilon=jnp.asarray(epsilon), first=jnp.asarray(epsilon))
    state = sinkhorn_newton._sweep(prepared, sinkhorn_newton.init(prepared))
    plan, b = np.asarray(state.plan), np.asarray(prepared.b)
    gradient = np.asarray(prepared.a) - plan.sum(1)
    kept = plan.copy()
    if solve != "dense":
        mask = plan >= 2e-3
        if solve == "host":  # and the largest of each row and column
            mask[np.arange(14), plan.argmax(1)] = mask[plan.argmax(0), np.arange(17)] = True
        kept = np.where(mask, plan, 0)
    hessian = np.diag(plan.sum(1)) - (kept / b) @ kept.T  # the diagonal has the full sums
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert eigenvalues[0] >= -1e-15
    prepared = prepared._replace(tolerance=jnp.asarray(1e-30))
    state = state._replace(row_error=jnp.asarray(1e-24))  # asks for an exact solve
    found = {
        "dense": sinkhorn_newton._dense,
        "host": sinkhorn_newton._host,
        "ell": partial(sinkhorn_newton._ell, 17),
    }[solve](prepared, state, jnp.asarray(gradient))
    expected = np.linalg.lstsq(hessian, gradient, rcond=1e-13)[0]
    direction = np.asarray(found.direction)
    if solve == "dense":  # H is singular: up to its null vector
        direction, expected = direction - direction.mean(), expected - expected.mean()
    np.testing.assert_allclose(direction, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())
    if solve != "dense":
        assert eigenvalues[0] > 1e-6  # positive definite where mass is left out
        assert int(found.kept) == int((kept > 0).sum()) < plan.size
        np.testing.assert_allclose(float(found.dropped), plan.sum() - kept.sum(), atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("config", [BACKENDS["host"], SinkhornNewton("ell", width=20)], ids=["host", "ell"])
def test_what_is_dropped_is_less_than_asked(hard, config):
    problem, epsilon, *_ = hard
    trace = {name: np.asarray(x) for name, x in solved(problem, epsilon, config).trace.items()}
    newton = np.flatnonzero(trace["kept"] > 0)
    before = trace["residual"][newton - 1]
    allowed = np.minimum(1e-2, np.maximum(before, 0.1 * 1e-10 / before))
    assert (trace["dropped"][newton] <= allowed + 1e-15).all()
    assert trace["kept"][newton].min() < 0.8 * 20 * 18  # and something is


@pytest.mark.slow
def test_density_keeps_the_largest_entries(hard):
    problem, epsilon, plan, _ = hard
    config = SinkhornNewton("host", threshold=Density(4 / 18), sweeps=20, ladder=False)
    run = solved(problem, epsilon, config)
    assert run.reason == Reason.CONVERGED
    np.testing.assert_allclose(run.state.plan, plan, atol=1e-9)
    kept = np.asarray(run.trace["kept"])
    assert np.nanmax(kept) <= 4 * 20 + 20 + 18


def test_dense_newton_is_quadratic_and_climbs(hard):
    problem, epsilon, *_ = hard
    run = solved(problem, epsilon, SinkhornNewton("dense"), tolerance=1e-13)
    assert run.reason == Reason.CONVERGED
    trace = {name: np.asarray(x)[: int(run.iterations)] for name, x in run.trace.items()}
    tail = trace["residual"][-4:]
    assert tail[-1] < 1e-13
    small = tail[(tail > 1e-13) & (tail < 1e-2)]
    assert (tail[1:][tail[:-1] < 1e-3] <= np.maximum(100 * tail[:-1][tail[:-1] < 1e-3] ** 2, 1e-13)).all()
    assert small.size
    final = trace["value"][trace["epsilon"] == epsilon]
    assert final.size > 2
    assert (np.diff(final) >= -1e-12 * np.abs(final[:-1])).all()
    assert np.isfinite(trace["residual"]).all()


@pytest.mark.slow
def test_random_assignment_in_few_steps():
    """The paper's instance, at its size: at most 15 Newton steps to 1e-10, and 12 entries of each row at the end."""
    cost = np.random.default_rng(100).random((500, 500))
    problem = ot.problem(cost)
    for config in (SinkhornNewton("host"), SinkhornNewton("host", sweeps=20, ladder=False)):
        solution = ot.solve(problem, ot.Entropic(1 / 1200), method=config, tolerance=1e-10)
        last = int(solution.iterations) - 1
        assert solution.converged
        assert solution.trace["newton_steps"][last] <= 15
        assert solution.trace["kept"][last] <= 12 * 500 * (1 + (not config.ladder))
        plan = np.asarray(solution.plan())
        error = np.abs(plan.sum(1) - 1 / 500).sum() + np.abs(plan.sum(0) - 1 / 500).sum()
        assert error <= 2e-10
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        above = (cost * plan).sum() - cost[rows, columns].mean()
        assert 0 <= above <= np.log(500) / 1200


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.002, 0.0005])
def test_tiny_epsilon_on_a_cloud(epsilon):
    problem = random(7, 200, 200)
    for config in (SinkhornNewton("dense"), SinkhornNewton("host")):
        solution = ot.solve(problem, ot.Entropic(epsilon), method=config)
        assert solution.converged
        assert solution.trace["newton_steps"][int(solution.iterations) - 1] <= 25
        exact = pot.emd2(*(np.asarray(x) for x in (problem.a, problem.b, problem.cost)))
        transport = float((solution.plan() * problem.cost).sum())
        assert exact - 1e-6 <= transport <= exact + epsilon * np.log(200)


def test_cost_grows_with_epsilon_to_independence():
    problem = random(8)
    costs = [
        float((ot.solve(problem, ot.Entropic(e), method="newton", tolerance=1e-10).plan() * problem.cost).sum())
        for e in (1e-3, 1e-2, 0.1, 1.0, 1e4)
    ]
    assert (np.diff(costs) > 0).all()
    far = ot.solve(problem, ot.Entropic(1e8), method="newton", tolerance=1e-10).plan()
    np.testing.assert_allclose(far, np.outer(problem.a, problem.b), atol=1e-9)


def test_symmetries():
    problem = random(9)
    plan = partial(lambda p: np.asarray(ot.solve(p, ot.Entropic(0.05), method="newton", tolerance=1e-11).plan()))
    reference = plan(problem)
    cost, a, b = problem
    shift = 3 * jnp.arange(20.0)[:, None] - jnp.arange(18.0)[None, :] + 1000.0
    np.testing.assert_allclose(plan(ot.Problem(cost + shift, a, b)), reference, atol=1e-9)
    rows, columns = np.random.default_rng(1).permutation(20), np.random.default_rng(2).permutation(18)
    np.testing.assert_allclose(
        plan(ot.Problem(cost[rows][:, columns], a[rows], b[columns])), reference[rows][:, columns], atol=1e-11
    )
    other = ot.solve(problem.T, ot.Entropic(0.05), axis="rows", method="newton", tolerance=1e-11)
    np.testing.assert_allclose(other.plan().T, reference, atol=1e-11)
    heavy = ot.solve(ot.Problem(cost, 5 * a, 5 * b), ot.Entropic(0.05), method="newton", tolerance=1e-11)
    np.testing.assert_allclose(heavy.plan(), 5 * reference, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_points_without_mass(backend):
    problem, epsilon = random(10), 0.05
    _, a, b = numpy(problem)
    a, b = a * (np.arange(20) % 4 != 0), b * (np.arange(18) % 3 != 1)
    a, b = a / a.sum(), b / b.sum()
    with_zeros = ot.Problem(problem.cost, jnp.asarray(a), jnp.asarray(b))
    solution = ot.solve(with_zeros, ot.Entropic(epsilon), method=BACKENDS[backend], tolerance=1e-11)
    alone = ot.problem(problem.cost[a > 0][:, b > 0], a[a > 0], b[b > 0])
    plan, primal = sinkhorns(alone, epsilon)
    np.testing.assert_allclose(np.asarray(solution.plan())[a > 0][:, b > 0], plan, atol=1e-10)
    np.testing.assert_allclose(float(solution.value), primal, atol=1e-11)
    assert float(jnp.abs(solution.plan()[a == 0]).sum() + jnp.abs(solution.plan()[:, b == 0]).sum()) == 0
    if backend == "ell":  # the derivative is that of the value, whoever found it
        return
    slope = jax.grad(lambda p: ot.solve(p, ot.Entropic(epsilon), method=BACKENDS[backend], tolerance=1e-11).value)(
        with_zeros
    )
    np.testing.assert_allclose(np.asarray(slope.cost)[a > 0][:, b > 0], plan, atol=1e-10)  # the envelope
    assert all(np.isfinite(x).all() for x in slope)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_the_loop(backend):
    problems = [random(seed) for seed in range(8)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    epsilons = jnp.geomspace(0.5, 0.05, 8)

    def plan(p, e):
        return ot.solve(p, ot.Entropic(e), method=BACKENDS[backend], tolerance=1e-10).plan()

    together = jax.jit(jax.vmap(plan))(stacked, epsilons)
    for p, e, got in zip(problems, epsilons, together, strict=True):
        np.testing.assert_allclose(got, sinkhorns(p, float(e))[0], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("backend", SLOWER)
def test_float32_stays_float32_and_converges(backend):
    problem = jax.tree.map(lambda x: x.astype(jnp.float32), random(11))
    solution = ot.solve(problem, ot.Entropic(0.05), method=BACKENDS[backend], tolerance=1e-5)
    assert solution.converged
    assert solution.value.dtype == solution.alpha.dtype == solution.plan().dtype == jnp.float32
    np.testing.assert_allclose(solution.plan(), sinkhorns(random(11), 0.05)[0], atol=2e-6)


@pytest.mark.parametrize("name", SLOWER)
def test_chunks_are_the_whole_and_another_epsilon_compiles_nothing(name):
    problem, backend = random(12), BACKENDS[name]
    whole = ot.solve(problem, ot.Entropic(0.01), method=backend)
    chunked = ot.solve(problem, ot.Entropic(0.01), method=backend, loop=numerics.Chunked())
    np.testing.assert_array_equal(whole.alpha, chunked.alpha)
    with clocked() as clock:
        ot.solve(problem, ot.Entropic(0.3), method=backend, tolerance=1e-5).value.block_until_ready()
    assert clock.programs == 0


def test_a_warm_start_takes_fewer_steps():
    problem = random(13)
    cold = ot.solve(problem, ot.Entropic(0.01), method="newton")
    warm = ot.solve(problem, ot.Entropic(0.009), method="newton", init=cold)
    again = ot.solve(problem, ot.Entropic(0.009), method="newton")
    assert int(warm.iterations) < int(again.iterations)
    np.testing.assert_allclose(warm.plan(), again.plan(), atol=1e-6)
    far = ot.solve(problem, ot.Entropic(0.001), method="newton", init=1e3 * np.random.default_rng(0).normal(size=20))
    assert far.converged  # a start that is no help doesn't hurt


def test_what_did_not_converge_says_so():
    problem = random(14)
    short = ot.solve(problem, ot.Entropic(0.001), method="newton", max_iterations=3)
    assert not short.converged
    assert Reason(int(short.reason)) == Reason.MAX_ITERATIONS
    assert np.isfinite(short.plan()).all()
    out_of_reach = ot.solve(problem, ot.Entropic(0.001), method="newton", tolerance=1e-17)
    assert Reason(int(out_of_reach.reason)) == Reason.STALLED


def test_the_door_says_what_it_chose():
    small = random(15)
    assert "sinkhorn, kernel" in ot.solve(small, ot.Entropic(0.2)).method
    solution = ot.solve(small, ot.Entropic(0.005))
    assert solution.method == "sinkhorn-newton, dense"
    assert "dense factor" in solution.why
    large = ot.Problem(jnp.zeros((600, 2)), jnp.zeros(600), jnp.zeros(2))
    choice = entropic.choose(large, ot.Entropic(0.01)._replace(gamma=-1.0), "auto")
    assert choice.name == ("sinkhorn-newton, host" if jax.default_backend() == "cpu" else "sinkhorn-newton, dense")
    huge = ot.Problem(jnp.zeros((9000, 2)), jnp.zeros(9000), jnp.zeros(2))
    names = []
    jax.eval_shape(lambda p: names.append(entropic.choose(p, ot.Entropic(0.01), "newton").name), huge)
    assert names == ["sinkhorn-newton, ell"]


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (SinkhornNewton()._replace(backend="cuda"), "backend = 'cuda'"),  # type: ignore[arg-type]
        (SinkhornNewton(width=0), "width = 0"),
        (SinkhornNewton(sweeps=-1), "sweeps = -1"),
        (SinkhornNewton(threshold=Adaptive(-0.1)), "threshold = -0.1"),
    ],
)
def test_bad_settings_are_refused(method, says):
    with pytest.raises(ValueError, match=says):
        ot.solve(random(16), ot.Entropic(0.1), method=method)


def test_other_regularizers_refuse_it():
    with pytest.raises(ValueError, match="solves Entropic"):
        ot.solve(random(16), ot.Quadratic(0.1), method=SinkhornNewton())
    with pytest.raises(TypeError, match="no regularizer"):
        ot.solve(random(16))


@pytest.mark.slow
def test_derivatives_agree_with_each_other_and_with_differences():
    problem, epsilon = random(17, 7, 6), 0.15
    change = jnp.asarray(np.random.default_rng(1).normal(size=(7, 6)))
    weight = jnp.asarray(np.random.default_rng(2).normal(size=7))

    def moved(t):
        return problem._replace(cost=problem.cost + t * change)

    def potential(t):  # implicit
        return weight @ ot.solve(moved(t), ot.Entropic(epsilon), method="newton", tolerance=1e-12).alpha

    def unrolled(t):
        u, _ = sinkhorn.unrolled(moved(t), ot.Entropic(epsilon), 400)
        return weight @ (epsilon * (u - u.mean()))

    def value(t):  # envelope
        return ot.solve(moved(t), ot.Entropic(epsilon), method="newton", tolerance=1e-12).value

    h = 1e-5
    for function in (potential, unrolled, value):
        slope = jax.grad(function)(0.0)
        np.testing.assert_allclose(slope, (function(h) - function(-h)) / (2 * h), atol=1e-7)
    np.testing.assert_allclose(jax.grad(potential)(0.0), jax.grad(unrolled)(0.0), atol=1e-9)
    strength = jax.grad(lambda e: ot.solve(problem, ot.Entropic(e), method="newton", tolerance=1e-12).value)(epsilon)
    plan, _ = sinkhorns(problem, epsilon)
    np.testing.assert_allclose(strength, (plan * np.log(plan)).sum(), atol=1e-9)
    u, v = sinkhorn.unrolled(problem, ot.Entropic(epsilon), 400)
    np.testing.assert_allclose(jnp.exp(u[:, None] + v[None, :] - problem.cost / epsilon), plan, atol=1e-12)
