import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest

from lab.numerics.differentiation import NotDifferentiableError
from lab.ot.exact import k1, linear_program
from lab.ot.problem import Problem, from_points, problem

SHAPES = [(9, 9, 1.0), (6, 17, 5.0), (23, 8, 1e-3)]


def random_problem(m: int, n: int, mass: float = 1.0, seed: int = 0) -> Problem:
    rng = np.random.default_rng([seed, m, n])
    a, b = rng.uniform(0.2, 1, m), rng.uniform(0.2, 1, n)
    return problem(rng.normal(3, 2, (m, n)), mass * a / a.sum(), mass * b / b.sum())


def assert_optimal(p: Problem, found, tolerance: float = 1e-11):
    """Feasible plan, feasible potentials, equal objectives: a proof of optimality that needs no second solver."""
    scale = float(p.a.sum() * np.abs(p.cost).max())
    np.testing.assert_allclose(found.plan.sum(1), p.a, rtol=1e-9)
    np.testing.assert_allclose(found.plan.sum(0), p.b, rtol=1e-9)
    assert found.plan.min() >= 0
    slack = p.cost - found.alpha[:, None] - found.beta[None, :]
    assert slack.min() >= -tolerance * np.abs(p.cost).max()
    assert abs(found.alpha @ p.a + found.beta @ p.b - found.value) <= tolerance * scale
    assert abs(jnp.sum(found.plan * p.cost) - found.value) <= 1e-14 * scale


@pytest.mark.parametrize(("m", "n", "mass"), SHAPES)
@pytest.mark.parametrize("solver", ["auto", "highs", "network-simplex"])
def test_plan_and_potentials_are_optimal(m, n, mass, solver):
    p = random_problem(m, n, mass)
    found = linear_program(p, solver)
    assert_optimal(p, found)
    np.testing.assert_allclose(found.value, ot.emd2(np.asarray(p.a), np.asarray(p.b), np.asarray(p.cost)), rtol=1e-9)


@pytest.mark.parametrize(("m", "n", "mass"), [*SHAPES, (7, 7, 1.0)])
def test_potentials_need_not_be_centred(m, n, mass):
    p = random_problem(m, n, mass)
    p = p._replace(a=jnp.full(m, mass / m), b=jnp.full(n, mass / n)) if m == 7 else p  # an assignment
    assert_optimal(p, linear_program(p, centred=False))


def test_small_and_large_units_do_not_meet_a_solver_tolerance():
    p = random_problem(8, 11)
    reference = linear_program(p, "highs")
    for cost, mass in ((1e-9, 1e-7), (1e8, 1e5)):
        found = linear_program(Problem(p.cost * cost + 3 * cost, p.a * mass, p.b * mass), "highs")
        np.testing.assert_allclose(found.value / cost / mass, reference.value + 3, rtol=1e-10)
        np.testing.assert_allclose(found.plan / mass, reference.plan, atol=1e-12)


def test_solvers_agree_on_the_centred_potentials_of_an_assignment():
    rng = np.random.default_rng(1)
    p = from_points(rng.normal(size=(14, 2)), rng.normal(size=(14, 2)) + 1)
    found = {solver: linear_program(p, solver) for solver in ("assignment", "network-simplex", "highs")}
    for one in found.values():
        assert_optimal(p, one)
        np.testing.assert_allclose(one.alpha, found["assignment"].alpha, atol=1e-10)
        assert abs(one.alpha.mean()) < 1e-13
    assert ((found["assignment"].plan > 0).sum(1) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["assignment", "network-simplex", "highs"])
def test_256_points(solver):
    rng = np.random.default_rng(2)
    p = from_points(rng.normal(size=(256, 2)), rng.normal(size=(256, 2)) + 1)
    assert_optimal(p, linear_program(p, solver))


@pytest.mark.parametrize(("m", "n", "mass"), SHAPES)
@pytest.mark.parametrize("gamma", [0.01, 2.0])
def test_k1_value(m, n, mass, gamma):
    p = random_problem(m, n, mass, seed=5)
    one = k1(p, gamma)
    a, b, cost = (np.asarray(x) for x in (p.a, p.b, p.cost))
    np.testing.assert_allclose(one.value - gamma / 2 * (b @ b), ot.emd2(a, b, cost), rtol=1e-9)
    # The k = 1 dual operator: the best source alone, [alpha_i + beta_j - c_ij]_+ / gamma.
    s = (np.asarray(one.alpha)[:, None] + np.asarray(one.beta)[None, :] - cost).max(0)
    dual = one.alpha @ a + one.beta @ b - (np.maximum(s, 0) ** 2).sum() / (2 * gamma)
    np.testing.assert_allclose(dual, one.value, rtol=1e-10)
    np.testing.assert_allclose(np.maximum(s, 0) / gamma, b, rtol=1e-7)


@pytest.mark.slow
def test_k1_plan_has_one_source_for_each_target():
    p = random_problem(6, 17)
    one = k1(p, 0.5)
    plan = np.asarray(one.plan)
    assert ((plan > 0).sum(0) == 1).all()
    np.testing.assert_array_equal(plan.sum(0), p.b)
    np.testing.assert_allclose(np.abs(plan.sum(1) - p.a).sum(), one.row_error, atol=1e-15)
    assert one.row_error > 0.01  # generic masses: some target must be split
    assert one.n_ties == ((np.asarray(one.linear_program.plan) > 0).sum(0) > 1).sum()


def test_k1_ties_go_to_the_smallest_index():
    one = k1(problem(np.zeros((3, 4))), 1.0)
    assert one.n_ties == 4
    np.testing.assert_array_equal(one.index, 0)


def test_k1_assigns_laguerre_cells():
    """With squared distances, n = 3 m targets of equal mass: each source gets 3, those of its power cell."""
    rng = np.random.default_rng(7)
    x, y = rng.uniform(size=(8, 2)), rng.uniform(size=(24, 2))
    p = from_points(x, y)
    one = k1(p, 1.0)
    assert one.n_ties == 0
    assert one.row_error < 1e-12
    np.testing.assert_array_equal(np.bincount(one.index, minlength=8), 3)
    power = ((x[:, None] - y[None]) ** 2).sum(-1) - np.asarray(one.alpha)[:, None]
    np.testing.assert_array_equal(power.argmin(0), one.index)
    # Cells are convex: between two points of one cell, every point has the same nearest site in the power distance.
    for i in range(8):
        p1, p2, p3 = y[np.asarray(one.index) == i]
        middle = (p1 + p2 + p3) / 3
        assert (((x - middle) ** 2).sum(1) - np.asarray(one.alpha)).argmin() == i


def test_refusals():
    p = random_problem(5, 6)
    with pytest.raises(ValueError, match="as many sources as targets"):
        linear_program(p, "assignment")
    with pytest.raises(ValueError, match="one problem"):
        linear_program(Problem(p.cost[None], p.a[None], p.b[None]))


def test_float32_stays_float32():
    p = random_problem(5, 6)
    p = Problem(*(x.astype(jnp.float32) for x in p))
    assert {x.dtype for x in linear_program(p)} == {jnp.dtype("float32")}
    assert k1(p, 1.0).value.dtype == jnp.float32


def test_the_value_is_differentiable_and_the_rest_raises_an_error():
    rng = np.random.default_rng(21)
    cost, change, shift = rng.random((4, 3)), rng.normal(size=(4, 3)), np.array([0.1, -0.05, -0.05])
    b = np.array([0.45, 0.22, 0.33])  # no vertex is degenerate

    def value(t):
        return linear_program(Problem(cost + t * change, np.full(4, 0.25), b + t * shift)).value

    numeric = (value(1e-4) - value(-1e-4)) / 2e-4
    assert float(jax.grad(value)(0.0)) == pytest.approx(float(numeric), abs=1e-8)
    assert float(jax.jvp(value, (0.0,), (1.0,))[1]) == pytest.approx(float(numeric), abs=1e-8)
    p = problem(cost)
    for function in (
        lambda c: linear_program(p._replace(cost=c)).plan.sum(),
        lambda c: linear_program(p._replace(cost=c)).alpha[0],
        lambda c: k1(p._replace(cost=c), 1.0).value,
    ):
        with pytest.raises(NotDifferentiableError):
            jax.grad(function)(p.cost)
    with pytest.raises(NotDifferentiableError):
        jax.jacrev(jax.grad(lambda a, c: linear_program(Problem(c, a, p.b)).value, argnums=1))(p.a, p.cost)
    with pytest.raises(NotDifferentiableError, match="host"):
        jax.jit(lambda c: linear_program(p._replace(cost=c)).value)(p.cost)
