"""Relaxed marginals against POT, scipy, the balanced solver, scaling, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy.optimize import minimize

from lab import ot
from lab.numerics import Chunked, Reason
from lab.ot import unbalanced
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic

SHAPE = (7, 5)
BOTH = {"rows": 0.7, "columns": 2.0}
ONE = {"columns": 0.5}


def random(seed: int = 0, shape: tuple[int, int] = SHAPE, mass: float = 1.3) -> Problem:
    """Cost of either sign, uneven masses of different totals."""
    rng = np.random.default_rng([seed, *shape])
    a, b = rng.uniform(0.3, 1, shape[0]), rng.uniform(0.3, 1, shape[1])
    return ot.problem(rng.normal(0.3, 0.8, shape), a / a.sum(), mass * b / b.sum(), balanced=False)


def padded(p: Problem, shape: tuple[int, int] = SHAPE, fill: float = 0.0) -> Problem:
    """With absent rows and columns, so that a smaller problem needs no program of its own."""
    m, n = p.cost.shape
    rest = (0, shape[0] - m), (0, shape[1] - n)
    cost = np.pad(p.cost, rest, constant_values=fill)
    return Problem(jnp.asarray(cost), jnp.asarray(np.pad(p.a, rest[0])), jnp.asarray(np.pad(p.b, rest[1])))


def kl(x, y):
    return (np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / y), 0) - x + y).sum()


def primal(problem: Problem, epsilon: float, t: np.ndarray, rows=np.inf, columns=np.inf) -> float:
    """The objective of the module's text, of marginals that hold where their weight is infinite."""
    cost, a, b = map(np.asarray, problem)
    entropy = np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0).sum() - t.sum() + a.sum()
    penalty = sum(
        weight * kl(t.sum(axis), mass) for weight, axis, mass in ((rows, 1, a), (columns, 0, b)) if weight < np.inf
    )
    return (t * cost).sum() + epsilon * entropy + penalty


@pytest.mark.slow
@pytest.mark.parametrize("weights", [BOTH, ONE, {"rows": 0.3}])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_plan_is_pots(weights, epsilon):
    p = random()
    found = unbalanced.solve(p, Entropic(epsilon), **weights)
    assert found.converged
    assert int(found.iterations) <= 12
    reg_m = tuple(weights.get(side, np.inf) for side in ("rows", "columns"))
    cost, a, b = map(np.asarray, p)
    reference = pot.sinkhorn_unbalanced(
        a, b, cost, epsilon, reg_m, reg_type="entropy", numItermax=100_000, stopThr=1e-15
    )
    np.testing.assert_allclose(found.plan(), reference, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [BOTH, ONE, {}])
@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_value_is_the_objective_of_the_plan(weights, epsilon):
    """Primal and dual agree: no duality gap."""
    p = random(1, mass=1.0)
    found = unbalanced.solve(p, Entropic(epsilon), **weights)
    assert found.converged
    np.testing.assert_allclose(found.value, primal(p, epsilon, np.asarray(found.plan()), **weights), atol=1e-9)


@pytest.mark.slow
def test_optimum_is_that_of_a_general_optimizer():
    p = random(2, (3, 3))
    found = unbalanced.solve(padded(p), Entropic(0.2), **BOTH)
    best = minimize(
        lambda x: primal(p, 0.2, np.exp(x).reshape(3, 3), **BOTH),
        np.full(9, -2.0),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    np.testing.assert_allclose(found.value, best.fun, atol=1e-9)
    np.testing.assert_allclose(found.plan()[:3, :3], np.exp(best.x).reshape(3, 3), atol=1e-5)


@pytest.mark.parametrize("weights", [BOTH, ONE, {}])
def test_scaling_finds_the_same_and_takes_longer(weights):
    p = random(3, mass=1.0)
    newton = unbalanced.solve(p, Entropic(0.03), **weights)
    scaling = unbalanced.solve(p, Entropic(0.03), method="scaling", **weights)
    assert newton.converged
    assert scaling.converged
    np.testing.assert_allclose(newton.plan(), scaling.plan(), atol=1e-9)
    assert int(scaling.iterations) > 4 * int(newton.iterations)


@pytest.mark.parametrize("weight", [np.inf, 1e8])
def test_large_weights_are_balanced_transport(weight):
    p = random(4, mass=1.0)
    balanced = ot.solve(p, Entropic(0.05), tolerance=1e-11)
    found = unbalanced.solve(p, Entropic(0.05), rows=weight, columns=weight)
    assert found.converged
    np.testing.assert_allclose(found.plan(), balanced.plan(), atol=1e-7)
    np.testing.assert_allclose(found.value, balanced.value, atol=1e-7)


def test_column_law_and_rows_that_hold():
    p = random(5)
    weight = jnp.asarray([0.1, 1.0, 5.0, 0.3, 2.0])
    found = unbalanced.solve(p, Entropic(0.1), columns=weight)
    np.testing.assert_allclose(found.plan().sum(0), p.b * jnp.exp(-found.beta / weight), atol=1e-10)
    np.testing.assert_allclose(found.plan().sum(1), p.a, atol=1e-13)


def test_heavier_weights_bring_the_columns_nearer():
    p = random(6, mass=1.0)
    far = [
        kl(np.asarray(unbalanced.solve(p, Entropic(0.1), columns=w).plan().sum(0)), np.asarray(p.b))
        for w in np.geomspace(0.01, 100, 9)
    ]
    assert (np.diff(far) < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("weights", [BOTH, ONE])
def test_derivatives_are_finite_differences(weights):
    """Of a function of the plan, the value and the potentials, in cost, masses, strength and weights; twice."""
    p = random(7)
    weights = {"rows": np.inf} | weights  # given in any case, and with a slope of its own: the programs are the same
    names = sorted(weights)
    rng = np.random.default_rng(7)
    g = jnp.asarray(rng.standard_normal(SHAPE))
    directions = [
        (
            Problem(*(jnp.asarray(0.1 * rng.standard_normal(x.shape)) for x in p)),
            0.03,
            *[0.1 * np.isfinite(weights[name]) for name in names],
        )
        for _ in range(2)
    ]

    def along(at):
        problem, epsilon, *values = at
        found = unbalanced.solve(problem, Entropic(epsilon), tolerance=1e-13, **dict(zip(names, values, strict=True)))
        return (found.plan() * g).sum() + found.value**2 + jnp.sin(found.beta).sum() + jnp.cos(found.alpha).sum()

    def moved(x, y):
        return jax.tree.map(
            lambda at, d, e: at + x * d + y * e, (p, 0.1, *[weights[name] for name in names]), *directions
        )

    # not under jit: the loops are compiled once, for this test and the others
    def along_line(x, y):
        return along(moved(x, y))

    h = 1e-4
    gradient = jax.grad(along_line)
    slope = gradient(0.0, 0.0)
    np.testing.assert_allclose(slope, (along_line(h, 0.0) - along_line(-h, 0.0)) / (2 * h), rtol=1e-6)
    mixed = jax.grad(gradient, argnums=1)(0.0, 0.0)
    numerical = (gradient(0.0, h) - gradient(0.0, -h)) / (2 * h)
    np.testing.assert_allclose(mixed, numerical, rtol=1e-5)


@pytest.mark.slow
def test_value_has_the_plan_as_its_derivative():
    p = random(8)
    found = unbalanced.solve(p, Entropic(0.1), **BOTH)
    slope = jax.grad(lambda p: unbalanced.solve(p, Entropic(0.1), **BOTH).value)(p)
    np.testing.assert_allclose(slope.cost, found.plan(), atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["newton", "scaling"])
def test_absent_rows_and_columns_change_nothing(method):
    """Padding, even of cost NaN, has no mass and no gradient, under vmap with a problem that has none."""
    p, full = random(9), random(9, (9, 7))
    batch = jax.tree.map(lambda *x: jnp.stack(x), padded(p, (9, 7), np.nan), full)

    def scored(problem):
        found = unbalanced.solve(problem, Entropic(0.2), method=method, **BOTH)
        return (found.plan() ** 2).sum() + found.value, found.plan()

    scored = jax.value_and_grad(scored, has_aux=True)
    (_, plans), slopes = jax.jit(jax.vmap(scored))(batch)
    (_, alone), slope_alone = scored(p)
    plan, slope = np.asarray(plans[0]), jax.tree.map(lambda x: np.asarray(x[0]), slopes)
    m, n = SHAPE
    np.testing.assert_allclose(plan[:m, :n], alone, atol=1e-10)
    assert not plan[m:].any()
    assert not plan[:, n:].any()
    np.testing.assert_allclose(slope.cost[:m, :n], slope_alone.cost, atol=1e-9)
    np.testing.assert_allclose(slope.a[:m], slope_alone.a, atol=1e-9)
    assert not slope.cost[m:].any()
    assert not slope.cost[:, n:].any()
    assert not slope.a[m:].any()
    assert not slope.b[n:].any()
    cost, a, b = map(np.asarray, full)
    reference = pot.sinkhorn_unbalanced(
        a, b, cost, 0.2, (0.7, 2.0), reg_type="entropy", numItermax=100_000, stopThr=1e-15
    )
    np.testing.assert_allclose(plans[1], reference, atol=1e-9)


@pytest.mark.slow
def test_float32_stays_float32():
    p = random(10)
    found = unbalanced.solve(Problem(*(x.astype(jnp.float32) for x in p)), Entropic(0.1), **BOTH)
    assert found.converged
    assert {found.value.dtype, found.alpha.dtype, found.plan().dtype} == {jnp.dtype("float32")}
    np.testing.assert_allclose(found.plan(), unbalanced.solve(p, Entropic(0.1), **BOTH).plan(), atol=2e-6)


@pytest.mark.slow
def test_chunks_are_the_whole_and_a_warm_start_takes_fewer_steps():
    p = random(11)
    whole = unbalanced.solve(p, Entropic(0.02), **ONE)
    chunked = unbalanced.solve(p, Entropic(0.02), loop=Chunked(), **ONE)
    np.testing.assert_array_equal(whole.plan(), chunked.plan())
    assert chunked.trace["residual"].shape == (int(whole.iterations),)
    assert chunked.trace["residual"][-1] <= 1e-10
    near = unbalanced.solve(p, Entropic(0.021), init=whole, **ONE)
    assert near.converged
    assert int(near.iterations) < int(whole.iterations)


def test_what_did_not_converge_says_so():
    found = unbalanced.solve(random(12), Entropic(0.001), method="scaling", max_iterations=5, **ONE)
    assert not found.converged
    assert int(found.reason) == Reason.MAX_ITERATIONS
    assert float(found.column_error) > 1e-6


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"columns": 0.0}, ValueError, "columns has the weight 0"),
        ({"rows": np.array([-1.0, 1, 1, 1, 1, 1, 1])}, ValueError, "rows has the weight -1"),
        ({"columns": np.array([1.0, 2.0])}, ValueError, r"columns has shape \(2,\), but one weight or 5"),
        ({"columns": np.nan}, ValueError, "columns has the weight nan"),
        ({}, ValueError, "both marginals must hold: give a finite weight"),
        ({"regularizer": Entropic(0.0), **ONE}, ValueError, "epsilon = 0.0, but it must be one positive"),
        ({"tolerance": -1.0, **ONE}, ValueError, "tolerance = -1.0"),
        ({"max_iterations": 0, **ONE}, ValueError, "max_iterations = 0"),
        ({"init": np.zeros(3), **ONE}, ValueError, r"init has shape \(3,\), but 5 column potentials"),
    ],
)
def test_refusals(change, error, sentence):
    options = {"regularizer": Entropic(0.1)} | change
    with pytest.raises(error, match=sentence):
        unbalanced.solve(random(), options.pop("regularizer"), **options)


def test_choices_are_checked_where_types_are_not():
    for change, error, sentence in (
        ({"regularizer": ot.Quadratic(1.0)}, TypeError, r"need Entropic\(epsilon\)"),
        ({"problem": np.zeros((2, 2))}, TypeError, "a ndarray is given"),
    ):
        given = {"problem": random(), "regularizer": Entropic(0.1)} | change
        with pytest.raises(error, match=sentence):
            unbalanced.check(*given.values(), None, None)


def test_balanced_problems_still_need_equal_totals():
    with pytest.raises(ValueError, match="the masses differ"):
        ot.problem(np.zeros((2, 2)), np.array([0.5, 0.5]), np.array([1.0, 1.0]))


def test_mass_that_must_grow_a_hundredfold_at_a_large_weight():
    """Potentials a hundred spreads of cost away: the shift of them all."""
    p = ot.problem(np.random.default_rng(0).random(SHAPE), np.full(7, 1e-3), balanced=False)
    p = p._replace(b=jnp.full(5, 0.14))
    found = unbalanced.solve(p, Entropic(0.005), rows=30.0)
    assert found.converged
    assert int(found.iterations) < 30
    np.testing.assert_allclose(found.plan().sum(0), p.b, atol=1e-9)


def test_the_tolerance_is_of_the_mass_that_is_moved():
    p = ot.problem(np.random.default_rng(0).random(SHAPE), np.full(7, 1.0), np.full(5, 1e-9), balanced=False)
    found = unbalanced.solve(p, Entropic(0.05), rows=0.1, tolerance=1e-6)
    assert found.converged
    np.testing.assert_allclose(found.plan().sum(0), p.b, rtol=1e-5)
