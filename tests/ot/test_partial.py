"""Partial transport against POT, scipy, linear programs, and finite differences: the invariants of the papers' sheets."""

from functools import partial as partial_

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from lab import ot
from lab.ot import partial, unbalanced
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic


def clusters(n: int = 12, k: int = 4, seed: int = 0, scale: float = 2.0, prior=None) -> Problem:
    """Negative log-probabilities of n samples in k clusters, as the papers have them."""
    logits = scale * np.random.default_rng([seed, n, k]).normal(size=(n, k))
    return ot.problem(-np.asarray(jax.nn.log_softmax(jnp.asarray(logits), axis=1)), b=prior)


@pytest.mark.slow
def test_invariants_over_a_grid():
    """Mass, inequalities, the column law, the soft threshold, no duality gap, few steps."""
    n, k = 12, 4
    prior = np.random.default_rng(1).dirichlet(np.full(k, 3.0))
    p = clusters(n, k, prior=prior)
    for rho in (0.05, 0.3, 0.9, 1.0):
        for lam in (0.1, 1.0, 50.0):
            for epsilon in (0.05, 0.1, 1.0):
                found = partial.solve(p, Entropic(epsilon), rho=rho, lam=lam)
                plan, weights = np.asarray(found.plan()), np.asarray(partial.row_weights(found))
                assert found.converged
                assert int(found.iterations) <= 14, (rho, lam, epsilon)
                assert abs(plan.sum() - rho) < 1e-9
                assert plan.min() >= 0
                assert plan.sum(1).max() <= 1 / n + 1e-12
                np.testing.assert_allclose(weights.mean(), rho, atol=1e-9)
                np.testing.assert_allclose(plan.sum(0), rho * prior * np.exp(-np.asarray(found.beta) / lam), atol=1e-9)
                z = logsumexp((np.asarray(found.beta)[None, :] - np.asarray(p.cost)) / epsilon, axis=1)
                if rho < 1:
                    np.testing.assert_allclose(weights, expit(z - float(found.slack) / epsilon), atol=1e-9)
                np.testing.assert_allclose(found.value, objective(p, plan, rho, lam, epsilon), atol=1e-9)


def objective(p, plan, rho, lam, epsilon):
    """The primal of the module's text."""
    whole = np.c_[plan, np.maximum(np.asarray(p.a) - plan.sum(1), 0)]
    entropy = np.where(whole > 0, whole * np.log(np.where(whole > 0, whole, 1)), 0).sum()
    s, prior = plan.sum(0), rho * np.asarray(p.b)
    return (plan * np.asarray(p.cost)).sum() + lam * (s * np.log(s / prior) - s + prior).sum() + epsilon * entropy


@pytest.mark.slow
def test_optimum_is_that_of_a_general_optimizer():
    p, rho, lam, epsilon = clusters(5, 3, scale=1.0), 0.4, 0.8, 0.2
    padded = Problem(*(jnp.asarray(np.pad(x, [(0, 7), (0, 1)][: x.ndim])) for x in (p.cost, p.a)), jnp.append(p.b, 0))
    found = partial.solve(padded, Entropic(epsilon), rho=rho, lam=lam)  # in the program of the others
    limits = [
        {"type": "eq", "fun": lambda x: x.sum() - rho},
        {"type": "ineq", "fun": lambda x: 1 / 5 - x.reshape(5, 3).sum(1)},
    ]
    best = minimize(
        lambda x: objective(p, x.reshape(5, 3), rho, lam, epsilon),
        np.full(15, rho / 15),
        method="SLSQP",
        bounds=[(1e-12, 1)] * 15,
        constraints=limits,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(found.value, best.fun, atol=1e-8)
    np.testing.assert_allclose(found.plan()[:5, :3], best.x.reshape(5, 3), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "epsilon"), [(0.1, 0.1), (0.5, 0.02)])
def test_scaling_finds_the_same_in_hundreds_of_steps(rho, epsilon):
    p = clusters(seed=2)
    newton = partial.solve(p, Entropic(epsilon), rho=rho, lam=1.0)
    scaling = partial.solve(p, Entropic(epsilon), rho=rho, lam=1.0, method="scaling", tolerance=1e-9)
    assert newton.converged
    assert scaling.converged
    np.testing.assert_allclose(12 * newton.plan(), 12 * scaling.plan(), atol=1e-6)
    assert int(newton.iterations) <= 10
    assert int(scaling.iterations) > 100


@pytest.mark.slow
def test_whole_mass_is_pots_unbalanced_and_with_large_weight_balanced():
    p = clusters(seed=3)
    cost, a, b = map(np.asarray, p)
    found = partial.solve(p, Entropic(0.1), rho=1.0, lam=1.0)
    reference = pot.sinkhorn_unbalanced(
        a, b, cost, 0.1, (np.inf, 1.0), reg_type="entropy", numItermax=100_000, stopThr=1e-15
    )
    np.testing.assert_allclose(found.plan(), reference, atol=1e-10)
    balanced = ot.solve(p, Entropic(0.1), tolerance=1e-11)
    for lam in (1e8, np.inf):
        found = partial.solve(p, Entropic(0.1), rho=1.0, lam=lam)
        np.testing.assert_allclose(found.plan(), balanced.plan(), atol=1e-7)
        np.testing.assert_allclose(found.value, balanced.value, atol=1e-7)
    found = partial.solve(p, Entropic(1.0), rho=1.0)
    np.testing.assert_allclose(found.plan(), pot.sinkhorn(a, b, cost, 1.0, stopThr=1e-12), atol=1e-10)


@pytest.mark.slow
def test_fixed_columns_are_an_exact_transport_with_a_free_column():
    """lam infinite, epsilon small: the linear program with a column of cost 0."""
    p, rho = clusters(seed=4), 0.4
    cost, a, b = map(np.asarray, p)
    found = partial.solve(p, Entropic(0.005), rho=rho)
    np.testing.assert_allclose(found.plan().sum(0), rho * b, atol=1e-9)
    exact = pot.emd2(a, np.r_[rho * b, 1 - rho], np.c_[cost, np.zeros(12)])
    assert 0 <= (found.plan() * p.cost).sum() - exact <= 2e-3


@pytest.mark.slow
def test_samples_and_clusters_may_be_permuted():
    p = clusters(seed=5)
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(12), rng.permutation(4)
    plan = partial.solve(p, Entropic(0.1), rho=0.3, lam=1.0).plan()
    turned = partial.solve(Problem(p.cost[rows][:, columns], p.a, p.b), Entropic(0.1), rho=0.3, lam=1.0).plan()
    np.testing.assert_allclose(turned, plan[rows][:, columns], atol=1e-10)


@pytest.mark.slow
def test_a_dearer_row_is_used_less_and_more_mass_uses_more():
    p = clusters(seed=6)

    def weights(rise, rho):
        problem = Problem(p.cost.at[3].add(rise), p.a, p.b)
        return np.asarray(partial.row_weights(partial.solve(problem, Entropic(0.1), rho=rho, lam=1.0)))

    dearer = [weights(rise, 0.3)[3] for rise in np.linspace(-0.5, 0.5, 9)]
    assert (np.diff(dearer) < 0).all()
    more = [weights(0.0, rho).mean() for rho in np.linspace(0.1, 1, 7)]
    np.testing.assert_allclose(more, np.linspace(0.1, 1, 7), atol=1e-9)


def sheet_cotangent(p, found, rho, lam, epsilon, g):
    """The formula of the sheet for the gradient in the cost, with H built from its definition."""
    n, k = p.cost.shape
    plan = np.asarray(found.plan())
    whole = np.c_[plan, 1 / n - plan.sum(1)]
    g = np.c_[g, np.zeros(n)]
    t = np.r_[plan.sum(0) / lam, 0]
    h = (np.diag(whole.sum(0)) - n * whole.T @ whole) / epsilon + np.diag(t)
    w = n * (whole * g).sum(1)
    moved = whole * (g - w[:, None]) / epsilon
    v = np.linalg.solve(h, moved.sum(0))
    return (whole * (v[None, :] - n * (whole @ v)[:, None]) / epsilon - moved)[:, :k]


@pytest.mark.slow
def test_gradient_is_the_sheets_formula_and_the_finite_difference():
    p, rho, lam, epsilon = clusters(seed=7), 0.35, 1.5, 0.15
    rng = np.random.default_rng(7)
    g = jnp.asarray(rng.standard_normal(p.cost.shape))
    d = jnp.asarray(rng.standard_normal(p.cost.shape))

    def along(x):
        cost, rho, lam, epsilon = x
        found = partial.solve(Problem(cost, p.a, p.b), Entropic(epsilon), rho=rho, lam=lam, tolerance=1e-13)
        return (g * found.plan()).sum()

    at = (p.cost, rho, lam, epsilon)
    slope = jax.grad(along)(at)
    found = partial.solve(p, Entropic(epsilon), rho=rho, lam=lam, tolerance=1e-13)
    np.testing.assert_allclose(slope[0], sheet_cotangent(p, found, rho, lam, epsilon, np.asarray(g)), atol=1e-11)
    for i, direction in enumerate((d, 1.0, 1.0, 1.0)):
        h = 1e-5

        def near(sign, i=i, direction=direction, h=h):
            return along(tuple(x + sign * h * direction if j == i else x for j, x in enumerate(at)))

        numerical = (near(1) - near(-1)) / (2 * h)
        np.testing.assert_allclose((slope[i] * direction).sum(), numerical, rtol=1e-6)


@pytest.mark.slow
def test_implicit_gradient_is_that_of_unrolled_scaling():
    p, rho, lam, epsilon = clusters(seed=8), 0.5, 0.5, 0.3
    g = jnp.asarray(np.random.default_rng(8).standard_normal((12, 4)))

    def unrolled(cost):
        cost = jnp.concatenate([cost, jnp.zeros((12, 1))], axis=1)
        f = jnp.asarray([lam / (lam + epsilon)] * 4 + [1.0])
        nu = jnp.append(rho * p.b, 1 - rho)

        def sweep(log_b, _):
            log_a = -jnp.log(12.0) - jax.nn.logsumexp(log_b[None, :] - cost / epsilon, axis=1)
            return f * (jnp.log(nu) - jax.nn.logsumexp(log_a[:, None] - cost / epsilon, axis=0)), None

        log_b, _ = jax.lax.scan(sweep, jnp.zeros(5), length=500)
        plan = jax.nn.softmax(log_b[None, :] - cost / epsilon, axis=1)[:, :4] / 12
        return (g * plan).sum()

    def implicit(cost):
        return (g * partial.solve(Problem(cost, p.a, p.b), Entropic(epsilon), rho=rho, lam=lam).plan()).sum()

    np.testing.assert_allclose(jax.grad(implicit)(p.cost), jax.jit(jax.grad(unrolled))(p.cost), atol=1e-9)


@pytest.mark.slow
def test_gradient_lives_at_whole_mass_and_at_balance():
    """No NaN where the virtual column is absent and the weights are infinite, and the finite difference."""
    p = clusters(seed=9)
    rng = np.random.default_rng(9)
    g, d = (jnp.asarray(rng.standard_normal(p.cost.shape)) for _ in range(2))

    def along(x, lam):
        return (g * partial.solve(Problem(p.cost + x * d, p.a, p.b), Entropic(0.2), rho=1.0, lam=lam).plan()).sum()

    slope = jax.grad(along)
    for lam in (1.0, np.inf):
        np.testing.assert_allclose(slope(0.0, lam), (along(1e-5, lam) - along(-1e-5, lam)) / 2e-5, rtol=1e-6)


@pytest.mark.slow
def test_one_program_serves_bags_of_any_size_and_every_rho():
    """Padded rows and prototypes carry nothing, get no gradient, and change nothing; rho = 1 beside rho < 1."""
    sizes, rhos = [(12, 4), (12, 4), (15, 5)], [0.2, 1.0, 0.7]
    bags = [clusters(n, k, seed=i) for i, (n, k) in enumerate(sizes)]
    pad, a, b = np.full((3, 15, 5), np.inf), np.zeros((3, 15)), np.zeros((3, 5))
    for i, ((n, k), p) in enumerate(zip(sizes, bags, strict=True)):
        pad[i, :n, :k], a[i, :n], b[i, :k] = p

    def scored(cost, a, b, rho):
        found = partial.solve(Problem(cost, a, b), Entropic(0.1), rho=rho, lam=1.0)
        plan = found.plan()
        score = (plan * jnp.cos(jnp.arange(cost.size, dtype=cost.dtype).reshape(cost.shape))).sum()
        return score, (found.converged, plan)

    both = jax.jit(jax.vmap(jax.value_and_grad(scored, has_aux=True)))
    (_, (converged, plans)), slope = jax.tree.map(np.asarray, both(pad, a, b, jnp.asarray(rhos)))
    assert converged.all()
    for i, ((n, k), p, plan) in enumerate(zip(sizes, bags, plans, strict=True)):
        if (n, k) == (12, 4):  # compiled already
            np.testing.assert_allclose(
                plan[:n, :k], partial.solve(p, Entropic(0.1), rho=rhos[i], lam=1.0).plan(), atol=1e-10
            )
        assert plan.sum() == pytest.approx(rhos[i], abs=1e-10)
        assert plan.sum(1).max() <= 1 / n + 1e-12
        assert not plan[n:].any()
        assert not plan[:, k:].any()
        assert np.isfinite(slope[i]).all()
        assert np.abs(slope[i][:n, :k]).min() > 0
        assert not slope[i][n:].any()
        assert not slope[i][:, k:].any()


@pytest.mark.slow
def test_float32_stays_float32():
    p = clusters(seed=11)
    small = Problem(*(x.astype(jnp.float32) for x in p))
    for rho in (0.1, 1.0):
        found = partial.solve(small, Entropic(0.1), rho=rho, lam=1.0)
        assert found.converged
        assert {found.value.dtype, found.plan().dtype, found.slack.dtype} == {jnp.dtype("float32")}
        np.testing.assert_allclose(
            12 * found.plan(), 12 * partial.solve(p, Entropic(0.1), rho=rho, lam=1.0).plan(), atol=2e-4
        )


def test_a_warm_start_takes_few_steps():
    p = clusters(seed=12)
    cold = partial.solve(p, Entropic(0.02), rho=0.3, lam=1.0)
    near = partial.solve(p, Entropic(0.02), rho=0.32, lam=1.0, init=cold)
    assert near.converged
    assert int(near.iterations) <= 5


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"rho": 0.0}, ValueError, r"rho = 0.0, but the transported share of the mass must lie in \(0, 1\]"),
        ({"rho": 1.5}, ValueError, "rho = 1.5"),
        ({"rho": np.nan}, ValueError, "rho = nan"),
        ({"lam": 0.0}, ValueError, "lam has the weight 0, but weights of a KL penalty must be positive"),
        ({"lam": np.array([1.0, 2.0])}, ValueError, r"lam has shape \(2,\), but one weight or 4 are needed"),
        ({"regularizer": Entropic(-1.0)}, ValueError, "epsilon = -1.0"),
        ({"init": np.zeros(4)}, ValueError, r"init has shape \(4,\), but 5 column potentials"),
    ],
)
def test_refusals(change, error, sentence):
    options = {"regularizer": Entropic(0.1), "rho": 0.5, "lam": 1.0} | change
    with pytest.raises(error, match=sentence):
        partial.solve(clusters(), options.pop("regularizer"), **options)


def test_is_unbalanced_transport_with_a_virtual_column():
    p = clusters(seed=13)
    found = partial.solve(p, Entropic(0.1), rho=0.4, lam=2.0)
    whole = Problem(jnp.c_[p.cost, jnp.zeros(12)], p.a, jnp.append(0.4 * p.b, 0.6))
    reference = unbalanced.solve(whole, Entropic(0.1), columns=np.array([2.0] * 4 + [np.inf]))
    np.testing.assert_allclose(found.plan(), reference.plan()[:, :4], atol=1e-14)
    np.testing.assert_allclose(found.slack, reference.beta[4], atol=1e-12)


def clouds(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances over their mean of normal points, and what the linear program has moved 0.6 of the mass for."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    cost /= cost.mean()
    masses = np.r_[np.full(20, 0.6 / 20), 0.4]
    return cost, pot.emd2(np.full(30, 1 / 30), masses, np.c_[cost, np.zeros(30)]), pot.emd2([], [], cost)


@pytest.mark.slow
def test_small_strengths_and_fixed_columns_converge():
    """The globalization: what once stalled at 2 to 10 % of the mass, and 0.03 above the linear program."""
    costs, partly, wholly = (np.array(each) for each in zip(*(clouds(seed) for seed in range(8)), strict=True))
    a, b = jnp.full(30, 1 / 30), jnp.full(20, 1 / 20)

    @jax.jit
    @partial_(jax.vmap, in_axes=(0, None, None))
    def solve(cost, epsilon, rho):
        found = partial.solve(Problem(cost, a, b), Entropic(epsilon), rho=rho)
        return found.converged, found.plan()

    for epsilon in (1e-2, 1e-3, 1e-4):
        (some, part), (all_, whole) = (jax.tree.map(np.asarray, solve(costs, epsilon, rho)) for rho in (0.6, 1.0))
        assert some.all()
        assert all_.all()
        assert np.abs(part.sum(1) - 0.6 / 20).sum(1).max() < 1e-9
        assert part.sum(2).max() <= 1 / 30 + 1e-12
        assert np.abs(whole.sum(1) - 1 / 20).sum(1).max() < 1e-9
        assert np.abs(whole.sum(2) - 1 / 30).sum(1).max() < 1e-9
        for plan, exact, columns in ((part, partly, 21), (whole, wholly, 20)):
            above = np.asarray((plan * costs).sum((1, 2))) - exact
            assert above.min() > -1e-12
            assert above.max() < epsilon * np.log(30 * columns)
