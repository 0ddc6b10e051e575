"""The narrow and the wide interior-point steps, held to a certificate of their own: the gap computed by sorting, in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import ot
from lab.numerics import Reason
from lab.ot import interior, newton

pytestmark = pytest.mark.slow  # each shape compiles


def cloud(m, n, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.beta(2, 5, (m, 3)), rng.beta(4, 3, (n, 3))
    return ((x[:, None] - y[None]) ** 2).sum(-1), rng.dirichlet(np.full(m, 2.0)), rng.dirichlet(np.full(n, 2.0))


def dual_value(cost, a, b, gamma, k, alpha):
    """alpha'a less, for each column, the maximum over t >= 0 with sum b and at most k nonzeros."""
    total = alpha @ a
    for j, mass in enumerate(b):
        v = np.sort((alpha - cost[:, j]) / gamma)[::-1][:k]
        theta = ((np.cumsum(v) - mass) / np.arange(1, v.size + 1)).max()
        t = np.maximum(v - theta, 0)
        total -= gamma * (v @ t - t @ t / 2)
    return total


def support_norm(t, k):
    """The squared k-support norm (Argyriou, Foygel, Srebro, 2012)."""
    z = np.sort(np.abs(t))[::-1]
    for r in range(k):
        head, tail = z[: k - r - 1], z[k - r - 1 :].sum()
        if (k - r - 1 == 0 or head[-1] > tail / (r + 1)) and tail / (r + 1) >= z[k - r - 1]:
            return head @ head + tail**2 / (r + 1)
    raise AssertionError("no r was found")


def gap(cost, a, b, gamma, k, solution):
    t = np.asarray(solution.relaxed_plan())
    np.testing.assert_allclose(t.sum(1), a, atol=1e-14)
    np.testing.assert_allclose(t.sum(0), b, atol=1e-14)
    assert (t >= 0).all()
    primal = (cost * t).sum() + gamma / 2 * sum(support_norm(column, k) for column in t.T)
    dual = dual_value(cost, a, b, gamma, k, np.asarray(solution.alpha))
    np.testing.assert_allclose(float(solution.value), dual, rtol=1e-12)
    return (primal - dual) / dual


@pytest.mark.parametrize("k", [1, 2, 7, 8, 9, 40])  # above 8 nonzeros all entries are taken
@pytest.mark.parametrize("gamma", [1.0, 0.01])
def test_the_gap_is_small(k, gamma):
    cost, a, b = cloud(90, 75, 5)
    solution = ot.solve(ot.problem(cost, a, b), ot.KSparse(gamma, k))
    assert int(solution.reason) == Reason.CONVERGED
    assert -1e-12 < gap(cost, a, b, gamma, k, solution) < 2e-6
    plan = np.asarray(solution.plan())
    assert ((plan > 0).sum(0) <= k).all()


@pytest.mark.parametrize("m", [40, 300])  # whole columns are multiplied, and the products of their entries added up
def test_what_columns_add_to_the_equations_of_the_rows(m):
    draws = np.random.default_rng(m)
    p, n = 4, 30
    rows = np.stack([draws.choice(m, p, replace=False) for _ in range(n)], axis=1)
    x, y = draws.standard_normal((2, p, n))
    whole = np.zeros((m, m))
    for j in range(n):
        for column in (x, y):
            wide = np.zeros(m)
            wide[rows[:, j]] = column[:, j]
            whole += np.outer(wide, wide)
    np.fill_diagonal(whole, 0)
    program = interior.Program(jnp.zeros((p, n)), jnp.zeros(m), jnp.zeros(n), 1.0, 2.0, jnp.asarray(rows, jnp.int32))
    lower, sums = program.coupled(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(lower, np.tril(whole), atol=1e-14)
    np.testing.assert_allclose(sums, whole.sum(1), atol=1e-13)


def test_on_many_rows_what_a_choice_of_entries_misses_is_found(monkeypatch):
    # hardly a climb, and few columns for a row: the first choice can't be right (a shape of its own, so that it compiles)
    monkeypatch.setattr(newton, "_CLIMB", 3)
    monkeypatch.setattr(newton, "_COLUMNS", 1)
    cost, a, b = cloud(300, 60, 6)
    solution = ot.solve(ot.problem(cost, a, b), ot.KSparse(1.0, 2))
    assert int(solution.state.choices) > 1
    assert int(solution.reason) == Reason.CONVERGED
    assert -1e-12 < gap(cost, a, b, 1.0, 2, solution) < 2e-6


def test_scores_that_nearly_tie_are_no_ties():
    # costs in whole numbers: scores come within 1e-5 of each other on the way, and are apart in the end
    draws = np.random.default_rng(0)
    cost = np.round(20 * draws.uniform(size=(90, 75)))
    a, b = draws.dirichlet(np.ones(90)), draws.dirichlet(np.ones(75))
    solution = ot.solve(ot.problem(cost, a, b), ot.KSparse(0.01, 10))
    assert int(solution.reason) == Reason.CONVERGED
    assert int(solution.n_ties) == 0
    assert float(solution.row_error) < 1e-9


def test_rows_that_hardly_any_column_wants_are_served():
    cost, a, b = cloud(90, 75, 7)
    cost[:9] += 3.0  # far from everything, yet their mass must go
    solution = ot.solve(ot.problem(cost, a, b), ot.KSparse(0.1, 3))
    assert int(solution.reason) == Reason.CONVERGED
    assert -1e-12 < gap(cost, a, b, 0.1, 3, solution) < 2e-6


def test_a_warm_start_ends_where_a_cold_one_does():
    cost, a, b = cloud(90, 75, 8)
    problem = ot.problem(cost, a, b)
    near = ot.solve(problem, ot.KSparse(0.5, 2))
    warm, cold = (ot.solve(problem, ot.KSparse(0.5, 3), init=init) for init in (near, None))
    np.testing.assert_allclose(float(warm.value), float(cold.value), rtol=2e-6)
    assert int(warm.reason) == int(cold.reason) == Reason.CONVERGED
    assert bool(jnp.isfinite(warm.alpha).all())
