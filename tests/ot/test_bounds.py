import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from lab.ot.bounds import bounds, duality_gap, effective_strength, k_support_norm, relaxed_primal
from lab.ot.exact import linear_program
from lab.ot.problem import Problem, problem
from lab.ot.regularizers import KSparse


def variational(t: np.ndarray, k: int) -> float:
    r"""$\min \sum t_i^2 / \eta_i$ over $0 \le \eta \le 1, \sum \eta \le k$, by bisection on its multiplier."""
    t = np.abs(t[t != 0])
    if len(t) <= k:
        return float(t @ t)
    low, high = 0.0, t.max() * len(t)  # eta_i = min(1, t_i / level)
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(1, t / level).sum() > k else (low, level)
    return float((t**2 / np.minimum(1, t / high)).sum())


def dual_norm(s: np.ndarray, k: int) -> float:
    return float(np.linalg.norm(np.sort(np.abs(s))[-k:]))


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("ties", [False, True])
def test_k_support_norm_equals_its_variational_form(k, ties):
    rng = np.random.default_rng(k)
    for _ in range(20):
        t = rng.normal(size=8)
        if ties:
            t = np.round(t * 2) / 2
        np.testing.assert_allclose(k_support_norm(jnp.asarray(t), k) ** 2, variational(t, k), rtol=1e-12)


def test_k_support_norm_is_dual_to_the_norm_of_the_k_largest():
    rng = np.random.default_rng(0)
    t = rng.normal(size=6)
    for k in (1, 2, 4, 6):
        norm = float(k_support_norm(jnp.asarray(t), k))
        s = norm * np.asarray(jax.grad(k_support_norm)(jnp.asarray(t), k))
        # Hoelder with equality: <s, t> = |s|* |t| proves that |t| is the dual of |.|*.
        np.testing.assert_allclose([s @ t, dual_norm(s, k)], [norm**2, norm], rtol=1e-12)


@pytest.mark.slow
def test_special_cases_and_traced_k():
    rng = np.random.default_rng(1)
    t = jnp.asarray(rng.normal(size=9))
    every = jax.jit(jax.vmap(k_support_norm, (None, 0)))(t, jnp.arange(1, 10))
    np.testing.assert_allclose(every[0], jnp.abs(t).sum(), rtol=1e-14)
    np.testing.assert_allclose(every[-1], jnp.linalg.norm(t), rtol=1e-14)
    assert (np.diff(every) <= 1e-14).all()
    sparse = t * (jnp.arange(9) < 4)
    np.testing.assert_allclose(k_support_norm(sparse, 4), jnp.linalg.norm(sparse), rtol=1e-14)
    assert k_support_norm(jnp.zeros(5), 2) == 0
    assert np.isfinite(jax.grad(k_support_norm)(jnp.zeros(5), 2)).all()


def test_k_support_norm_gradient():
    rng = np.random.default_rng(2)
    t = rng.normal(size=7)
    for k in (1, 3, 7):
        slope = np.asarray(jax.grad(k_support_norm)(jnp.asarray(t), k))
        step = 1e-6 * np.eye(7)
        numeric = [np.sqrt(variational(t + e, k)) - np.sqrt(variational(t - e, k)) for e in step]
        np.testing.assert_allclose(slope, np.array(numeric) / 2e-6, atol=1e-8)


def random_problem(m: int, n: int, mass: float) -> Problem:
    rng = np.random.default_rng([m, n, 3])
    return problem(rng.random((m, n)), mass * rng.dirichlet(np.full(m, 4)), mass * rng.dirichlet(np.full(n, 4)))


def best_value(p: Problem, gamma: float, k: int) -> float:
    """The dual optimum, from the biconjugate written as a conic program and solved by an interior point method."""
    cost, a, b = (np.asarray(x) for x in p)
    m, n = cost.shape
    import clarabel
    from scipy import sparse

    size = m * n  # variables: plan, eta, u with u_ij eta_ij >= t_ij^2
    eye = sparse.eye(size, format="csc")
    rows = sparse.kron(sparse.eye(m), np.ones((1, n)))
    columns = sparse.kron(np.ones((1, m)), sparse.eye(n))
    zero = sparse.csc_matrix((size, size))
    equal = sparse.hstack([sparse.vstack([rows, columns]), sparse.csc_matrix((m + n, 2 * size))])
    positive = sparse.hstack([-eye, zero, zero])
    below = sparse.hstack([zero, eye, zero])
    count = sparse.hstack([sparse.csc_matrix((n, size)), columns, sparse.csc_matrix((n, size))])
    # (u + eta, u - eta, 2 t) in the second-order cone, interleaved entry by entry.
    cone = sparse.vstack(
        [sparse.hstack([zero, -eye, -eye]), sparse.hstack([zero, eye, -eye]), sparse.hstack([-2 * eye, zero, zero])]
    ).tocsr()[np.arange(3 * size).reshape(3, size).T.ravel()]
    constraints = sparse.vstack([equal, positive, below, count, cone], format="csc")
    right = np.concatenate([a, b, np.zeros(size), np.ones(size), np.full(n, k), np.zeros(3 * size)])
    cones = [clarabel.ZeroConeT(m + n), clarabel.NonnegativeConeT(2 * size + n)]
    cones += [clarabel.SecondOrderConeT(3)] * size
    objective = np.concatenate([cost.ravel(), np.zeros(size), np.full(size, gamma / 2)])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = 1e-10
    empty = sparse.csc_matrix((3 * size, 3 * size))
    return clarabel.DefaultSolver(empty, objective, constraints, right, cones, settings).solve().obj_val


CASES = [(6, 8, 1.0), (8, 5, 7.0), (5, 9, 0.03)]


@pytest.mark.parametrize(("m", "n", "mass"), CASES)
@pytest.mark.parametrize("gamma", [0.05, 1.0, 30.0])
def test_bounds_hold_for_any_mass(m, n, mass, gamma):
    p = random_problem(m, n, mass)
    lp = linear_program(p).value
    values = []
    for k in (1, 2, 3, m):
        low, high = bounds(p, lp, gamma, k)
        value = best_value(p, gamma, k)
        assert low - 1e-8 * value <= value <= high + 1e-8 * value
        values.append(value)
    assert (np.diff(values) <= 1e-8 * values[0]).all()
    low, high = bounds(p, lp, gamma, 1)
    np.testing.assert_allclose(low, high, rtol=1e-14)


def test_lower_bound_is_reached_when_the_regularization_dominates():
    """At gamma -> infinity and k = m the plan is the projection of 0, here without negative entries."""
    p = random_problem(6, 8, 2.0)
    p = Problem(p.cost, (p.a + 1) / 4, (p.b + 0.75) / 4)
    projection = p.a[:, None] / 8 + p.b[None, :] / 6 - 2.0 / 48
    assert projection.min() > 0
    np.testing.assert_allclose(bounds(p, 0.0, 1.0, 6).lower, jnp.sum(projection**2) / 2, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n", "mass"), CASES)
def test_weak_duality(m, n, mass):
    """The optimum is below the primal of every feasible k-sparse plan, and of every rounded plan."""
    p, gamma = random_problem(m, n, mass), 0.7
    vertex = linear_program(p).plan  # a vertex: its columns are sparse
    k = int((vertex > 0).sum(0).max())
    value = best_value(p, gamma, k)
    sparse_primal = jnp.sum(vertex * p.cost) + gamma / 2 * jnp.sum(vertex**2)
    np.testing.assert_allclose(relaxed_primal(vertex, p.cost, gamma, k), sparse_primal, rtol=1e-13)
    assert value <= sparse_primal + 1e-9 * value
    rng = np.random.default_rng(0)
    for k in (1, 2, m):
        value = best_value(p, gamma, k)
        for _ in range(5):
            gap = duality_gap(p, value, jnp.asarray(rng.random((m, n)) ** 8), gamma, k)
            assert gap >= -1e-9 * value


@pytest.mark.slow
def test_relaxed_primal_is_the_convex_hull():
    """At k = 2 of 4 entries: the least mean of Omega over ways to write t as a mixture of 2-sparse vectors."""
    t = np.array([0.4, 0.3, 0.2, 0.1])
    supports = list(itertools.combinations(range(4), 2))

    def mixture(z: np.ndarray) -> float:
        parts = np.zeros((6, 4))
        for q, support in enumerate(supports):
            parts[q, list(support)] = np.abs(z[2 * q : 2 * q + 2])
        parts *= (t / np.maximum(parts.sum(0), 1e-300))[None, :]
        # The best weights for fixed parts x_q = lambda_q t_q are lambda_q ~ |x_q|.
        return float(np.linalg.norm(parts, axis=1).sum() ** 2 / 2)

    rng = np.random.default_rng(0)
    best = min(minimize(mixture, rng.random(12), method="L-BFGS-B").fun for _ in range(10))
    found = relaxed_primal(jnp.asarray(t)[:, None], jnp.zeros((4, 1)), 1.0, 2)
    np.testing.assert_allclose(found, best, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_relaxed_primal_is_that_of_the_regularizer_and_differentiable(k):
    rng = np.random.default_rng(k)
    cost, plan = jnp.asarray(rng.random((6, 5))), jnp.asarray(np.round(rng.random((6, 5)) * 4) / 4 + 0.25)  # with ties
    expected = jnp.sum(plan * cost) + KSparse(1.7, k).relaxed_penalty(plan).sum()
    np.testing.assert_allclose(relaxed_primal(plan, cost, 1.7, k), expected, rtol=1e-13)
    # Homogeneous of degrees 1 and 2: Euler's relation.
    slope = jax.grad(relaxed_primal)(plan, cost, 1.7, k)
    linear = jnp.sum(plan * cost)
    np.testing.assert_allclose(jnp.sum(slope * plan), linear + 2 * (expected - linear), rtol=1e-12)


def test_effective_strength_has_no_units():
    p = random_problem(6, 8, 1.0)
    lp = linear_program(p).value
    scaled = Problem(p.cost * 5, p.a * 3, p.b * 3)
    same = effective_strength(scaled, linear_program(scaled).value, 2.0 * 5 / 3)
    np.testing.assert_allclose(same, effective_strength(p, lp, 2.0), rtol=1e-12)
