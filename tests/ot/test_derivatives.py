"""Derivatives of solutions: all fields, both modes, second order, at ties and on disconnected supports."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import ot
from lab.numerics.differentiation import NotDifferentiableError
from lab.ot import derivatives
from lab.ot.derivatives import implicit
from lab.ot.operators import semi_dual
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, KSparse, Quadratic

SHAPE = (7, 6)
REGULARIZERS = {
    "quadratic": Quadratic(jnp.asarray(6.0)),
    "k-sparse": KSparse(jnp.asarray(6.0), jnp.asarray(3)),
    "entropic": Entropic(jnp.asarray(0.3)),
}
FIELDS = {
    "alpha": lambda s, w: w[:, 0] @ s.alpha,
    "beta": lambda s, w: w[0] @ s.beta,
    "plan": lambda s, w: (w * s.plan()).sum(),
    "relaxed plan": lambda s, w: (w * s.relaxed_plan()).sum(),
    "products": lambda s, w: s.apply(w[0]) @ w[:, 1] + s.apply_transposed(w[:, 2]) @ w[1],
    "marginals": lambda s, w: s.marginals()[0] @ w[:, 3] + s.marginals()[1] @ w[2],
    "transport cost": lambda s, w: s.transport_cost,
    "value": lambda s, w: s.value,
}
SELECTED = ("plan", "products", "marginals", "transport cost")  # where columns are tied, rounding selects


def all_fields(solution, weight):
    return jnp.stack([field(solution, weight) for field in FIELDS.values()])


def changes(shape=SHAPE):
    """A random direction in the cost, the masses, whose totals stay equal, and the logarithm of gamma."""
    rng = np.random.default_rng(0)
    da, db = (rng.standard_normal(size) / size for size in shape)
    da -= da.mean() - db.sum() / len(da)
    return Problem(jnp.asarray(rng.standard_normal(shape)), jnp.asarray(da), jnp.asarray(db))


def random_problem(seed: int, shape=SHAPE) -> Problem:
    rng = np.random.default_rng(seed)
    return ot.problem(rng.random(shape), *(rng.dirichlet(np.full(size, 3.0)) for size in shape))


def moved(problem: Problem, regularizer, t):
    change = changes(problem.cost.shape)
    at = Problem(problem.cost + t[0] * change.cost, problem.a + t[1] * change.a, problem.b + t[1] * change.b)
    return at, regularizer._replace(gamma=regularizer.gamma * jnp.exp(t[2]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ks", "axis"),
    [
        ("entropic", [0], "columns"),
        ("quadratic", [0], "rows"),
        ("k-sparse", [3, 1], "columns"),
        ("k-sparse", [2], "rows"),
    ],
)
def test_every_field_against_differences_of_solves(name, ks, axis):
    """In both modes, and the Hessian of the value; at k = 1 columns are tied, which moves all but the selected plan."""
    problem = random_problem(0, (6, 5))
    gamma = {"entropic": 0.3, "quadratic": 3.0, "k-sparse": 1.0}[name]
    weight = jnp.asarray(np.random.default_rng(1).standard_normal((6, 5)))

    def solved(t, k):
        given = KSparse(jnp.asarray(gamma), k) if name == "k-sparse" else REGULARIZERS[name]._replace(gamma=gamma)
        at, given = moved(problem, given, t)
        return ot.solve(at, given, tolerance=1e-12, axis=axis)

    def fields(t, k):
        return all_fields(solved(t, k), weight)

    def value(t, k):
        return solved(t, k).value

    plain, forward, reverse, slope, hessian, ties = map(
        jax.jit,
        (
            fields,
            jax.jacfwd(fields),
            jax.jacrev(fields),
            jax.grad(value),
            jax.hessian(value),
            lambda t, k: solved(t, k).n_ties,
        ),
    )
    zero, step = jnp.zeros(3), 1e-3 if name == "k-sparse" else 1e-4  # solves at ties are less accurate
    for k in map(jnp.int32, ks):
        ends = [step * direction for direction in jnp.eye(3)]
        numeric = np.stack([(plain(e, k) - plain(-e, k)) / (2 * step) for e in ends], axis=1)
        second = np.stack([(slope(e, k) - slope(-e, k)) / (2 * step) for e in ends], axis=1)
        tied = int(ties(zero, k)) > 0
        assert tied or k != 1
        rows = [i for i, field in enumerate(FIELDS) if not (tied and field in SELECTED)]
        assert (np.abs(numeric[rows]).max(axis=1) > 1e-2).all()
        tolerance = 5e-5 if name == "k-sparse" else 2e-5
        for found in (forward(zero, k), reverse(zero, k)):
            np.testing.assert_allclose(found[jnp.asarray(rows)], numeric[rows], atol=tolerance)
        np.testing.assert_allclose(hessian(zero, k), second, atol=5 * tolerance)
        assert np.abs(second).max() > 1e-2


@pytest.mark.slow
def test_a_cloud_has_the_derivatives_of_its_matrix():
    """In points, masses and strength, with a point of mass 0, in both modes, and Hessian-vector products."""
    rng = np.random.default_rng(3)
    x, y = jnp.asarray(rng.random((7, 2))), jnp.asarray(rng.random((6, 2)))
    a, b = jnp.asarray([*rng.dirichlet(np.ones(6)), 0.0]), jnp.asarray(rng.dirichlet(np.ones(6)))
    weight = jnp.asarray(rng.standard_normal(SHAPE)) * (a > 0)[:, None]
    directions = [jnp.asarray(0.1 * rng.standard_normal(z.shape)) for z in (x, y)]

    def fields(make, t):
        made = make(x + t[0] * directions[0], y + t[0] * directions[1], a, b * jnp.exp(t[1] * weight[0]), p=1.0)
        found = ot.solve(made, Entropic(0.2 * jnp.exp(t[2])), tolerance=1e-13, method="sinkhorn")
        safe = dataclasses.replace(found, alpha=jnp.where(a > 0, found.alpha, 0.0), beta=found.beta)
        return jnp.stack([field(safe if name == "alpha" else found, weight) for name, field in FIELDS.items()])

    def value(make, t):
        return fields(make, t)[-1]

    t, v = jnp.zeros(3), jnp.asarray([0.5, -0.7, 0.3])
    expected = jax.jit(jax.jacfwd(partial(fields, ot.from_points)))(t)
    assert np.abs(expected).max(axis=1).min() > 1e-3
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(jax.jit(mode(partial(fields, ot.cloud)))(t), expected, atol=1e-8)
    products = [
        jax.jit(lambda t, make=make: jax.jvp(jax.grad(partial(value, make)), (t,), (v,))[1])(t)
        for make in (ot.cloud, ot.from_points)
    ]
    np.testing.assert_allclose(*products, atol=1e-7)


def optimum(regularizer, seed: int, mass: float = 1.0, shape: tuple[int, int] = SHAPE):
    """A problem and its row potentials, without a solver: choose these, and take as masses what they move.

    Where no column is tied this is optimal for every regularizer, with an active bound k.
    """
    rng = np.random.default_rng([seed, *shape])
    m, n = shape
    cost, alpha = jnp.asarray(rng.random(shape)), jnp.asarray(0.3 * rng.standard_normal(m))
    alpha -= alpha.mean()
    b = jnp.asarray(mass * rng.uniform(0.5, 1.5, n) / n)
    plan = semi_dual(Problem(cost, jnp.zeros(m), b), regularizer, alpha).plan
    return Problem(cost, plan.sum(1), b), alpha


def plan_at(problem, regularizer, alpha):
    return semi_dual(problem, regularizer, implicit(problem, regularizer, alpha)).plan


def pseudo_inverse_cotangents(problem: Problem, gamma: float, t: np.ndarray, g: np.ndarray):
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
    """With a factorization, and with conjugate gradients."""
    if not dense:
        monkeypatch.setattr(derivatives, "_DENSE", 0)
    regularizer = REGULARIZERS[name]

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def along(problem, gamma, alpha, g):
        return (g * plan_at(problem, regularizer._replace(gamma=gamma), alpha)).sum()

    for seed, mass in ((4, 1.0), (7, 10.0)):
        problem, alpha = optimum(regularizer, seed, mass)
        g = np.random.default_rng(seed).standard_normal(SHAPE)
        slope, dgamma = along(problem, regularizer.gamma, alpha, g)
        plan = np.asarray(semi_dual(problem, regularizer, alpha).plan)
        cost, a, b, gamma = pseudo_inverse_cotangents(problem, float(regularizer.gamma), plan, g)
        np.testing.assert_allclose(slope.cost, cost, atol=1e-9)
        np.testing.assert_allclose(slope.a, a, atol=1e-9)
        np.testing.assert_allclose(slope.b, b, atol=1e-9)
        np.testing.assert_allclose(dgamma, gamma, atol=1e-9)


def moves(problem, regularizer, alpha, change):
    """The change of potentials and plan along a change of the problem."""
    function = lambda p: (implicit(p, regularizer, alpha), plan_at(p, regularizer, alpha))  # noqa: E731
    return jax.jvp(function, (problem,), (change,))[1]


def test_disconnected_support_keeps_the_mass_of_each_component():
    """Two problems far apart: the derivative of both together is that of each, and of minimal norm between them."""
    regularizer = REGULARIZERS["quadratic"]
    (p, at_p), (q, at_q) = optimum(regularizer, 6, shape=(4, 3)), optimum(regularizer, 7, shape=(3, 5))
    far = partial(np.full, fill_value=100.0)
    cost = jnp.asarray(np.block([[p.cost, far((4, 5))], [far((3, 3)), q.cost]]))
    both = Problem(cost, jnp.concatenate([p.a, q.a]), jnp.concatenate([p.b, q.b]))
    rng = np.random.default_rng(8)
    dc, da = jnp.asarray(rng.standard_normal((7, 8))), jnp.asarray(rng.standard_normal(7))
    alpha, plan = moves(both, regularizer, jnp.concatenate([at_p, at_q]), Problem(dc, da, jnp.zeros(8)))
    for block, part, at, rows, columns in (
        (p, dc[:4, :3], at_p, slice(0, 4), slice(0, 3)),
        (q, dc[4:, 3:], at_q, slice(4, 7), slice(3, 8)),
    ):
        kept = da[rows] - da[rows].mean()
        alone = moves(block, regularizer, at, Problem(part, kept, jnp.zeros_like(block.b)))
        np.testing.assert_allclose(plan[rows, columns], alone[1], atol=1e-12)
        np.testing.assert_allclose(alpha[rows], alone[0], atol=1e-12)
        assert abs(alpha[rows].sum()) < 1e-12
    assert (plan[:4, 3:] == 0).all()
    assert (plan[4:, :3] == 0).all()


def test_entropic_links_below_the_precision_do_not_make_nan():
    regularizer = Entropic(jnp.asarray(0.003))
    problem, alpha = optimum(regularizer, seed=9)
    assert all(np.isfinite(x).all() for x in moves(problem, regularizer, alpha, changes()))


@pytest.mark.slow
def test_batches_and_eager_gradients_agree():
    """``vmap`` of ``grad`` under ``jit``, and ``grad`` outside it, where the solve sees values and checks them."""
    problems, weight = [random_problem(seed) for seed in (7, 10)], changes().cost

    def along(p):
        return (weight * ot.solve(p, Quadratic(6.0), tolerance=1e-10).plan()).sum()

    batch = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    together = jax.jit(jax.vmap(jax.grad(along)))(batch)
    for i, p in enumerate(problems):
        for one, other in zip(together, jax.grad(along)(p), strict=True):
            np.testing.assert_allclose(one[i], other, atol=1e-8)
    with pytest.raises(ValueError, match="gamma = -1"):
        jax.grad(lambda c: ot.solve(problems[0]._replace(cost=c), Quadratic(-1.0)).value)(problems[0].cost)


@pytest.mark.slow
def test_records_of_the_iterations_have_no_derivative():
    """They may be returned beside a derivative, and raise an error where one is taken of them."""
    p = random_problem(11)

    def value(cost, use):
        found = ot.solve(p._replace(cost=cost), Entropic(0.3))
        return found.value + (found.trace["row_error"].sum() if use else 0.0), found

    slope, found = jax.grad(value, has_aux=True)(p.cost, False)
    np.testing.assert_allclose(slope, found.plan(), atol=1e-6)
    with pytest.raises(NotDifferentiableError, match="unrolled"):
        jax.grad(value, has_aux=True)(p.cost, True)


@pytest.mark.slow
def test_value_at_ties_has_the_relaxed_plan_as_its_derivative():
    """Every plan of two equal sources is optimal in part: V is even in a cost between them, the selection is not."""
    p = Problem(jnp.zeros((2, 1)), jnp.asarray([0.5, 0.5]), jnp.asarray([1.0]))
    slope = jax.jit(jax.grad(lambda c: ot.solve(Problem(c, p.a, p.b), KSparse(2.0, 1)).value))(p.cost)
    np.testing.assert_allclose(slope, [[0.5], [0.5]], atol=1e-6)


@pytest.mark.slow
def test_the_kl_value_does_not_depend_on_the_discretization():
    """Zero masses fill up the problem that is not split, so that one program solves all."""
    p = random_problem(12, (3, 2))
    split = Problem(jnp.repeat(jnp.repeat(p.cost, 2, 0), 2, 1), jnp.repeat(p.a / 2, 2), jnp.repeat(p.b / 2, 2))
    one = Problem(split.cost, jnp.stack([p.a, 0 * p.a], 1).ravel(), jnp.stack([p.b, 0 * p.b], 1).ravel())
    one, two, doubled = (
        ot.solve(each, Entropic(0.5), tolerance=1e-12)
        for each in (one, split, Problem(split.cost, 2 * split.a, 2 * split.b))
    )
    np.testing.assert_allclose(two.value - one.value, -2 * 0.5 * np.log(2), atol=1e-10)
    np.testing.assert_allclose(two.kl_value, one.kl_value, atol=1e-10)
    np.testing.assert_allclose(two.transport_cost, one.transport_cost, atol=1e-10)
    np.testing.assert_allclose(doubled.kl_value, 2 * two.kl_value, atol=1e-10)
    t = np.asarray(two.plan())
    kl = (t * np.log(t / np.outer(split.a, split.b))).sum()
    np.testing.assert_allclose(two.kl_value, (t * split.cost).sum() + 0.5 * kl, atol=1e-10)
    with pytest.raises(TypeError, match="Entropic"):
        _ = dataclasses.replace(two, regularizer=Quadratic(1.0)).kl_value
