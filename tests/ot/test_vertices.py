"""The vertices of the transport polytope by enumeration, the theorem on entropic plans, and the spectrum of a plan."""

import itertools

import jax.numpy as jnp
import numpy as np

from lab import ot
from lab.ot.exact import linear_program


def vertices(cost, a, b):
    """The costs of all vertices, by all bases."""
    m, n = cost.shape
    equations = np.r_[np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))][:-1]
    right, costs = np.r_[a, b][:-1], set()
    for basis in itertools.combinations(range(m * n), m + n - 1):
        part = equations[:, basis]
        if abs(np.linalg.det(part)) > 0.5:
            t = np.linalg.solve(part, right)
            if t.min() > -1e-12:
                costs.add(round(float(cost.ravel()[list(basis)] @ t), 9))
    return sorted(costs)


def test_vertex_gap_is_that_of_all_vertices():
    rng = np.random.default_rng(0)
    for a, b in ((rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4))), (np.full(3, 2.0), np.full(3, 2.0))):
        cost = rng.random((a.size, b.size))
        first, second, *_ = vertices(cost, a, b)
        np.testing.assert_allclose(ot.vertex_gap(ot.problem(cost, a, b)), second - first, atol=1e-8)
    assert ot.vertex_gap(ot.problem(np.zeros((3, 3)))) < 1e-9
    assert ot.vertex_gap(ot.problem(rng.random((1, 3)))) == np.inf


def test_entropic_plans_are_within_the_theorems_bound_of_the_vertex():
    cost = np.random.default_rng(1).random((5, 5))
    p = ot.problem(cost)
    gap = ot.vertex_gap(p)
    totals = sorted(sum(cost[i, j] for i, j in enumerate(order)) / 5 for order in itertools.permutations(range(5)))
    np.testing.assert_allclose(gap, totals[1] - totals[0], atol=1e-9)
    exact = linear_program(p).plan
    epsilon = gap / (2 + 2 * np.log(5))
    found = ot.solve(p, ot.Entropic(epsilon), tolerance=1e-10)
    apart, bound = np.abs(found.plan() - exact).sum(), float(ot.vertex_bound(p, gap, epsilon))
    assert apart <= bound
    np.testing.assert_allclose(bound, 6 * 25 * np.exp(-2 - 2 * np.log(5)), rtol=1e-9)
    assert ot.vertex_bound(p, gap, gap) == np.inf


def test_second_singular_value_is_numpys():
    plan = np.random.default_rng(2).random((6, 4))
    scaled = plan / np.sqrt(np.outer(plan.sum(1), plan.sum(0)))
    expected = np.linalg.svd(scaled)[1]
    np.testing.assert_allclose(expected[0], 1, atol=1e-12)
    np.testing.assert_allclose(ot.second_singular_value(jnp.asarray(plan)), expected[1], atol=1e-12)
    np.testing.assert_allclose(
        ot.second_singular_value(jnp.asarray(np.pad(plan, ((0, 1), (0, 0))))), expected[1], atol=1e-12
    )
    np.testing.assert_allclose(ot.second_singular_value(jnp.eye(3)), 1, atol=1e-12)
    np.testing.assert_allclose(ot.second_singular_value(jnp.ones((3, 2))), 0, atol=1e-7)
