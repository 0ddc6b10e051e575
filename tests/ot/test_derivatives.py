from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.ot import derivatives
from lab.ot.derivatives import Optimum, implicit, plan, tangent, value
from lab.ot.operators import semi_dual
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, KSparse, Quadratic

SHAPE = (7, 6)
evaluate = jax.jit(semi_dual)
move = jax.jit(tangent)
REGULARIZERS = {
    "quadratic": Quadratic(jnp.asarray(6.0)),
    "k-sparse": KSparse(jnp.asarray(6.0), jnp.asarray(3)),
    "entropic": Entropic(jnp.asarray(0.3)),
}


def solved(regularizer, seed: int, mass: float = 1.0, shape: tuple[int, int] = SHAPE) -> tuple[Problem, Optimum]:
    """A problem and its optimum, without a solver: choose the potentials, and take as masses what they move.

    Where no column is tied this is optimal for every regularizer, with an active bound k.
    """
    rng = np.random.default_rng([seed, *shape])
    m, n = shape
    cost, alpha = jnp.asarray(rng.random(shape)), jnp.asarray(0.3 * rng.standard_normal(m))
    alpha -= alpha.mean()
    b = jnp.asarray(mass * rng.uniform(0.5, 1.5, n) / n)
    at = evaluate(Problem(cost, jnp.zeros(m), b), regularizer, alpha)
    return Problem(cost, at.plan.sum(1), b), Optimum(at.plan, alpha, at.beta)


def changes(seed: int = 0) -> tuple[Problem, float]:
    rng = np.random.default_rng(seed)
    da, db = (rng.standard_normal(size) for size in SHAPE)
    da -= da.mean() - db.sum() / len(da)
    return Problem(jnp.asarray(rng.standard_normal(SHAPE)), jnp.asarray(da), jnp.asarray(db)), 0.7


def shifted(problem: Problem, regularizer, steps):
    """Problem and regularizer moved along the four directions of ``changes``, each alone."""
    change, dgamma = changes()
    dc, da, db, dg = steps
    moved = Problem(problem.cost + dc * change.cost, problem.a + da * change.a, problem.b + db * change.b)
    return moved, regularizer._replace(gamma=regularizer.gamma + dg * dgamma)


DIRECTIONS = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])  # a and b move together: their totals stay equal


def followed(problem: Problem, regularizer, alpha: np.ndarray) -> tuple[np.ndarray, float]:
    """Plan and value of a problem near one with known potentials, by plain Newton steps to machine precision."""
    gamma = float(regularizer.gamma)
    for _ in range(8):
        at = evaluate(problem, regularizer, jnp.asarray(alpha))
        t = np.asarray(at.plan)
        weights = (t if isinstance(regularizer, Entropic) else t > 0) / gamma
        hessian = np.diag(weights.sum(1)) - (weights / weights.sum(0)) @ weights.T
        alpha = alpha + np.linalg.pinv(hessian, hermitian=True) @ (np.asarray(problem.a) - t.sum(1))
    np.testing.assert_allclose(t.sum(1), problem.a, atol=1e-14)
    return t, float(at.value)


@pytest.fixture(scope="module", params=REGULARIZERS)
def case(request):
    """A solved problem, with central differences of its plan and value along ``DIRECTIONS``."""
    regularizer = REGULARIZERS[request.param]
    problem, optimum = solved(regularizer, seed=4)
    assert problem.a.min() > 0.01
    step = 1e-5
    ends = [
        followed(*shifted(problem, regularizer, side * step * direction), np.asarray(optimum.alpha))
        for direction in DIRECTIONS
        for side in (1, -1)
    ]
    plans, values = (np.stack(each) for each in zip(*ends, strict=True))
    return problem, regularizer, optimum, *((x[::2] - x[1::2]) / (2 * step) for x in (plans, values))


@pytest.mark.slow
def test_tangent_against_differences(case):
    problem, regularizer, optimum, plans, _ = case

    @jax.jit
    def along(direction):
        return jax.jvp(
            lambda steps: implicit(*shifted(problem, regularizer, steps), optimum), (0 * direction,), (direction,)
        )

    for direction, numeric in zip(DIRECTIONS.astype(float), plans, strict=True):
        change = along(direction)[1]
        assert np.abs(numeric).max() > 1e-3
        np.testing.assert_allclose(change.plan, numeric, atol=1e-6)


@pytest.mark.slow
def test_cotangents_are_the_transpose(case):
    problem, regularizer, optimum, plans, _ = case
    weight = jnp.asarray(np.random.default_rng(3).standard_normal(SHAPE))
    objective = lambda steps: (weight * implicit(*shifted(problem, regularizer, steps), optimum).plan).sum()  # noqa: E731
    slope = jax.jit(jax.grad(objective))(jnp.zeros(4))
    numeric = (np.asarray(weight)[None] * plans).sum((1, 2))
    np.testing.assert_allclose(DIRECTIONS @ slope, numeric, atol=2e-6)


@pytest.mark.slow
def test_envelope_derivatives_and_hessian_through_the_solver(case):
    problem, regularizer, optimum, plans, values = case

    @jax.jit
    def derivatives_(problem, regularizer):
        def slopes(problem, gamma):
            objective = lambda p, gamma: value(p, regularizer._replace(gamma=gamma), tolerance=1e-10)  # noqa: E731
            return jax.grad(objective, argnums=(0, 1))(problem, gamma)

        along = Problem(changes()[0].cost, jnp.zeros_like(problem.a), jnp.zeros_like(problem.b))
        still = jnp.zeros_like(regularizer.gamma)
        (gradient, strength), (change, _) = jax.jvp(slopes, (problem, regularizer.gamma), (along, still))
        return gradient, strength, change

    gradient, strength, change = derivatives_(problem, regularizer)
    moved, dgamma = changes()
    slope = [(gradient.cost * moved.cost).sum(), gradient.a @ moved.a + gradient.b @ moved.b, strength * dgamma]
    np.testing.assert_allclose(slope, values, atol=1e-6)
    np.testing.assert_allclose(gradient.cost, optimum.plan, atol=1e-6)
    np.testing.assert_allclose(gradient.a - gradient.a.mean(), optimum.alpha, atol=1e-6)
    np.testing.assert_allclose(gradient.b - optimum.beta, -(gradient.a - optimum.alpha).mean(), atol=1e-6)
    np.testing.assert_allclose(change.cost, plans[0], atol=1e-6)


def sheet_cotangents(problem: Problem, gamma: float, t: np.ndarray, g: np.ndarray):
    """The formulas for the quadratic penalty on a fixed support, with a pseudo-inverse."""
    mask = (t > 0).astype(float)
    s = mask.sum(0)

    def spread(x):
        return (mask * x - mask * ((mask * x).sum(0) / s)) / gamma

    h = (np.diag(mask.sum(1)) - (mask / s) @ mask.T) / gamma
    w = np.linalg.pinv(h, hermitian=True) @ spread(g).sum(1)
    rest = g - w[:, None]
    centred = t - mask / s * np.asarray(problem.b)
    return -spread(rest), w, (rest * mask).sum(0) / s, -(rest * centred).sum() / gamma


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quadratic", "k-sparse"])
@pytest.mark.parametrize("dense", [True, False])
def test_cotangents_against_the_pseudo_inverse(name, dense, monkeypatch):
    if not dense:
        monkeypatch.setattr(derivatives, "_DENSE", 0)
    regularizer = REGULARIZERS[name]

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def along(problem, gamma, optimum, g):
        return (g * implicit(problem, regularizer._replace(gamma=gamma), optimum).plan).sum()

    for seed, mass in ((4, 1.0), (7, 10.0)):
        problem, optimum = solved(regularizer, seed, mass)
        g = np.random.default_rng(seed).standard_normal(SHAPE)
        slope, dgamma = along(problem, regularizer.gamma, optimum, g)
        cost, a, b, gamma = sheet_cotangents(problem, float(regularizer.gamma), np.asarray(optimum.plan), g)
        np.testing.assert_allclose(slope.cost, cost, atol=1e-9)
        np.testing.assert_allclose(slope.a, a, atol=1e-9)
        np.testing.assert_allclose(slope.b, b, atol=1e-9)
        np.testing.assert_allclose(dgamma, gamma, atol=1e-9)


@pytest.mark.slow
def test_conjugate_gradients_equal_the_dense_solve(case, monkeypatch):
    problem, regularizer, optimum, *_ = case
    dense = tangent(problem, regularizer, optimum, changes()[0])
    monkeypatch.setattr(derivatives, "_DENSE", 0)
    iterative = tangent(problem, regularizer, optimum, changes()[0])
    for one, other in zip(dense, iterative, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.slow
def test_disconnected_support_keeps_the_mass_of_each_component():
    """Two problems far apart: the derivative of both together is that of each, and of minimal norm between them."""
    regularizer = REGULARIZERS["quadratic"]
    (p, at_p), (q, at_q) = solved(regularizer, 6, shape=(4, 3)), solved(regularizer, 7, shape=(3, 5))
    far = partial(np.full, fill_value=100.0)
    cost = jnp.asarray(np.block([[p.cost, far((4, 5))], [far((3, 3)), q.cost]]))
    both = Problem(cost, jnp.concatenate([p.a, q.a]), jnp.concatenate([p.b, q.b]))
    t = jnp.asarray(np.block([[at_p.plan, np.zeros((4, 5))], [np.zeros((3, 3)), at_q.plan]]))
    optimum = Optimum(t, jnp.concatenate([at_p.alpha, at_q.alpha]), jnp.concatenate([at_p.beta, at_q.beta]))
    rng = np.random.default_rng(8)
    dc, da = jnp.asarray(rng.standard_normal((7, 8))), jnp.asarray(rng.standard_normal(7))
    found = move(both, regularizer, optimum, Problem(dc, da, jnp.zeros(8)))
    for block, part, at, rows, columns in (
        (p, dc[:4, :3], at_p, slice(0, 4), slice(0, 3)),
        (q, dc[4:, 3:], at_q, slice(4, 7), slice(3, 8)),
    ):
        kept = da[rows] - da[rows].mean()
        alone = move(block, regularizer, at, Problem(part, kept, jnp.zeros_like(block.b)))
        np.testing.assert_allclose(found.plan[rows, columns], alone.plan, atol=1e-12)
        np.testing.assert_allclose(found.alpha[rows], alone.alpha, atol=1e-12)
        assert abs(found.alpha[rows].sum()) < 1e-12
    assert (found.plan[:4, 3:] == 0).all()
    assert (found.plan[4:, :3] == 0).all()


def test_entropic_links_below_the_precision_do_not_make_nan():
    problem, optimum = solved(Entropic(jnp.asarray(0.003)), seed=9)
    found = move(problem, Entropic(jnp.asarray(0.003)), optimum, changes()[0])
    assert all(np.isfinite(x).all() for x in found)


@pytest.mark.slow
def test_rows_and_vmap_through_the_solver():
    regularizer = REGULARIZERS["k-sparse"]
    problems = [solved(regularizer, seed)[0] for seed in (7, 10)]
    weight = jnp.asarray(np.random.default_rng(11).standard_normal(SHAPE))

    def along(p):
        return (weight * plan(p, regularizer, tolerance=1e-9)).sum()

    def along_transposed(p):
        return (weight.T * plan(p.T, regularizer, tolerance=1e-9, axis="rows")).sum()

    batch = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    values, columns = jax.jit(jax.vmap(jax.value_and_grad(along)))(batch)
    by_rows = jax.jit(jax.grad(along_transposed))
    for i, p in enumerate(problems):
        for one, other in zip(columns, by_rows(p), strict=True):
            np.testing.assert_allclose(one[i], other, atol=1e-10)
    alone = jax.jit(jax.value_and_grad(lambda p, at: (weight * implicit(p, regularizer, at).plan).sum()))
    for i, seed in enumerate((7, 10)):
        known, slope = alone(*solved(regularizer, seed))
        np.testing.assert_allclose(values[i], known, atol=1e-8)
        np.testing.assert_allclose(columns.cost[i], slope.cost, atol=1e-8)


@pytest.mark.slow
def test_value_at_ties_has_the_relaxed_plan_as_its_derivative():
    """Every plan of two equal sources is optimal in part: V is even in a cost between them, the selection is not."""
    p = Problem(jnp.zeros((2, 1)), jnp.asarray([0.5, 0.5]), jnp.asarray([1.0]))
    slope = jax.jit(jax.grad(lambda c: value(Problem(c, p.a, p.b), KSparse(2.0, 1))))(p.cost)
    np.testing.assert_allclose(slope, [[0.5], [0.5]], atol=1e-6)
