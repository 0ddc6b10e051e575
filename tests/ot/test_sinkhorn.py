"""Sinkhorn in every variant, against POT, OTT and the rates that theory gives, on unseen data."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab import numerics, ot
from lab.numerics import Reason
from lab.ot import sinkhorn
from lab.ot.sinkhorn import Sinkhorn

VARIANTS = {
    "log": Sinkhorn("log", memory=0),
    "kernel": Sinkhorn("kernel", memory=0),
    "kernel without ladder": Sinkhorn("kernel", memory=0, ladder=False),
    "over-relaxed": Sinkhorn("kernel", relaxation=1.5, memory=0),
    "over-relaxed by itself": Sinkhorn("log", relaxation="auto", memory=0),
    "Anderson": Sinkhorn("kernel", memory=5),
    "Anderson, log": Sinkhorn("log", memory=3),
}
SHAPE = (20, 18)  # one, so that programs are shared


def random(seed, shape=SHAPE, mass=1.0, d=2):
    m, n = shape
    rng = np.random.default_rng([seed, m, n])
    x, y = rng.normal(size=(m, d)), 0.8 * rng.normal(size=(n, d)) + 0.5
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    a, b = rng.uniform(0.2, 1.5, m), rng.uniform(0.2, 1.5, n)
    return ot.problem(cost / cost.mean(), mass * a / a.sum(), mass * b / b.sum())


def pots(problem, epsilon):
    cost, a, b = (np.asarray(x) for x in problem)
    return pot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", stopThr=1e-14, numItermax=30_000)


@pytest.fixture(scope="module")
def case():
    problem = random(1, mass=2.0)
    return problem, 0.05, pots(problem, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_finds_pots_plan(case, variant):
    problem, epsilon, plan = case
    solution = ot.solve(problem, ot.Entropic(epsilon), method=VARIANTS[variant], tolerance=1e-11)
    assert solution.converged
    np.testing.assert_allclose(solution.plan(), plan, atol=1e-9)
    primal = (plan * np.asarray(problem.cost)).sum() + epsilon * (plan * np.log(plan)).sum()
    np.testing.assert_allclose(float(solution.value), primal, atol=1e-11)
    last = int(solution.iterations) - 1
    np.testing.assert_allclose(solution.trace["value"][last], primal, atol=1e-11)
    assert solution.trace["residual"][last] <= 1e-11


def test_its_rate_is_the_squared_second_singular_value(case):
    problem, epsilon, plan = case
    solution = ot.solve(problem, ot.Entropic(epsilon), method=VARIANTS["log"], tolerance=1e-11)
    residual = np.asarray(solution.trace["residual"])[: int(solution.iterations)]
    measured = (residual[-1] / residual[-21]) ** (1 / 20)
    a, b = plan.sum(1), plan.sum(0)
    second = np.linalg.svd(plan / np.sqrt(np.outer(a, b)), compute_uv=False)[1] ** 2
    np.testing.assert_allclose(np.log(measured), np.log(second), rtol=0.05)


@pytest.mark.slow
def test_the_trace_has_the_error_of_the_plan():
    """Stopped anywhere, also relaxed: what the trace says is what the potentials give."""
    problem = random(2)
    for config in (VARIANTS["over-relaxed"], VARIANTS["Anderson"], VARIANTS["log"]):
        found = ot.solve(problem, ot.Entropic(0.02), method=config, max_iterations=7)
        u, v, epsilon = found.state.u, found.state.v, found.state.epsilon
        cost = problem.cost - problem.cost.min()
        plan = jnp.exp(u[:, None] + v[None, :] - cost / epsilon)
        error = jnp.abs(plan.sum(1) - problem.a).sum() + jnp.abs(plan.sum(0) - problem.b).sum()
        np.testing.assert_allclose(found.trace["residual"][6], error, rtol=1e-9)
        assert Reason(int(found.reason)) == Reason.MAX_ITERATIONS


def test_acceleration_accelerates_and_never_descends():
    problem = random(3)
    count = {}
    for name in ("kernel", "over-relaxed by itself", "Anderson"):
        solution = ot.solve(problem, ot.Entropic(0.01), method=VARIANTS[name], tolerance=1e-8)
        assert solution.converged
        count[name] = int(solution.iterations)
    assert count["over-relaxed by itself"] < 0.4 * count["kernel"]
    assert count["Anderson"] < 0.4 * count["kernel"]
    trace = {name: np.asarray(x)[: count["Anderson"]] for name, x in solution.trace.items()}
    final = trace["value"][trace["epsilon"] == 0.01]
    assert (np.diff(final) >= -1e-12 * np.abs(final[:-1])).all()


@pytest.mark.slow
def test_absorption_reaches_an_epsilon_where_the_kernel_underflows():
    """exp(-C / epsilon) is 0 almost everywhere: max C / epsilon is some 15,000."""
    problem = random(4)
    epsilon = float(problem.cost.max()) / 15_000
    assert float((jnp.exp(-problem.cost / epsilon) == 0).mean()) > 0.5
    for config in (VARIANTS["kernel without ladder"], VARIANTS["Anderson"]):
        kernel = ot.solve(problem, ot.Entropic(epsilon), method=config, max_iterations=300)
        log = ot.solve(problem, ot.Entropic(epsilon), method=config._replace(domain="log"), max_iterations=300)
        assert np.isfinite(kernel.plan()).all()
        first = slice(None, 20)  # later roundings decide which of the accelerated steps are taken
        np.testing.assert_allclose(kernel.trace["residual"][first], log.trace["residual"][first], rtol=1e-6)


def test_points_without_mass():
    problem = random(5)
    cost, a, b = (np.asarray(x) for x in problem)
    a, b = a * (np.arange(20) % 4 != 0), b * (np.arange(18) % 3 != 1)
    a, b = a / a.sum(), b / b.sum()
    plan = pots(ot.problem(cost[a > 0][:, b > 0], a[a > 0], b[b > 0]), 0.1)
    for name in ("log", "over-relaxed", "Anderson"):
        zeros = ot.Problem(problem.cost, jnp.asarray(a), jnp.asarray(b))
        solution = ot.solve(zeros, ot.Entropic(0.1), method=VARIANTS[name], tolerance=1e-11)
        found = np.asarray(solution.plan())
        np.testing.assert_allclose(found[a > 0][:, b > 0], plan, atol=1e-10)
        assert found[a == 0].sum() + found[:, b == 0].sum() == 0
        assert np.isfinite(solution.value)
        assert np.isneginf(solution.alpha[a == 0]).all()


@pytest.mark.slow
def test_float32():
    problem = jax.tree.map(lambda x: x.astype(jnp.float32), random(6))
    for name in ("log", "Anderson"):
        solution = ot.solve(problem, ot.Entropic(0.1), method=VARIANTS[name], tolerance=1e-5)
        assert solution.converged
        assert solution.value.dtype == solution.plan().dtype == jnp.float32
        np.testing.assert_allclose(solution.plan(), pots(random(6), 0.1), atol=2e-6)


@pytest.mark.slow
def test_chunks_are_the_whole(case):
    problem, epsilon, _ = case
    for name in ("log", "Anderson"):
        whole = ot.solve(problem, ot.Entropic(epsilon), method=VARIANTS[name], tolerance=1e-11)
        chunked = ot.solve(
            problem, ot.Entropic(epsilon), method=VARIANTS[name], tolerance=1e-11, loop=numerics.Chunked()
        )
        np.testing.assert_array_equal(whole.alpha, chunked.alpha)
        assert int(whole.iterations) == chunked.iterations


@pytest.mark.slow
def test_a_batch_is_the_loop():
    problems = [random(seed) for seed in range(7, 11)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    epsilons = jnp.asarray([0.5, 0.2, 0.1, 0.05])
    for name in ("over-relaxed by itself", "Anderson"):  # of the log domain and of the kernel

        def plan(p, e, method=VARIANTS[name]):
            return ot.solve(p, ot.Entropic(e), method=method, tolerance=1e-10).plan()

        together = jax.jit(jax.vmap(plan))(stacked, epsilons)
        for p, e, got in zip(problems, epsilons, together, strict=True):
            np.testing.assert_allclose(got, pots(p, float(e)), atol=1e-9)


@pytest.mark.slow
def test_it_is_otts():
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn as Otts

    problem = random(12)
    linear = LinearProblem(Geometry(problem.cost, epsilon=0.1), problem.a, problem.b)
    with jax.numpy_rank_promotion("allow"):
        theirs = Otts(threshold=1e-11, norm_error=1, max_iterations=20_000)(linear)
    for given in (linear, Geometry(problem.cost, epsilon=0.1)):
        ours = ot.solve(given, tolerance=1e-11)  # with its own epsilon
        if given is linear:
            np.testing.assert_allclose(ours.plan(), theirs.matrix, atol=1e-10)
            np.testing.assert_allclose(ours.alpha, theirs.f - theirs.f.mean(), atol=1e-8)
        else:
            np.testing.assert_allclose(ours.problem.a, np.full(20, 1 / 20))
    with pytest.raises(TypeError, match="give an ott Geometry"):
        ot.solve(Otts(), ot.Entropic(0.1))


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Sinkhorn()._replace(domain="fast"), "domain = 'fast'"),  # type: ignore[arg-type]
        (Sinkhorn(relaxation=2.0, memory=0), "relaxation = 2.0"),
        (Sinkhorn(relaxation=1.5), "needs memory=0"),
        (Sinkhorn(memory=-1), "memory = -1"),
    ],
)
def test_bad_settings_are_refused(method, says):
    with pytest.raises(ValueError, match=says):
        ot.solve(random(1), ot.Entropic(0.1), method=method)


@pytest.mark.slow
def test_unrolled_is_differentiable_in_everything():
    problem = random(13, (5, 4))

    def objective(cost, gamma):
        u, v = sinkhorn.unrolled(problem._replace(cost=cost), ot.Entropic(gamma), 5)
        return (jnp.cos(u).sum() + jnp.sin(v).sum()) * gamma

    slope, strength = jax.jit(jax.grad(objective, argnums=(0, 1)))(problem.cost, 0.3)
    change = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))
    h = 1e-6
    numeric = (objective(problem.cost + h * change, 0.3) - objective(problem.cost - h * change, 0.3)) / (2 * h)
    np.testing.assert_allclose((slope * change).sum(), numeric, atol=1e-8)
    numeric = (objective(problem.cost, 0.3 + h) - objective(problem.cost, 0.3 - h)) / (2 * h)
    np.testing.assert_allclose(strength, numeric, atol=1e-8)
