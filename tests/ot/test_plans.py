"""What a plan and a trace say, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import ot
from lab.ot import bounds, plans, traces

RNG = np.random.default_rng(0)
PLAN = jnp.asarray(RNG.random((4, 6)) * (RNG.random((4, 6)) < 0.6) / 8).at[2].set(0.0)
X, Y = jnp.asarray(RNG.random((4, 3))), jnp.asarray(RNG.random((6, 3)))


def test_figures_are_numpys():
    problem = ot.Problem(jnp.asarray(RNG.random((4, 6))), jnp.full(4, 0.25), jnp.full(6, 1 / 6))
    plan, found = np.asarray(PLAN), ot.figures(problem, PLAN)
    np.testing.assert_allclose(found.transport_cost, (plan * np.asarray(problem.cost)).sum())
    np.testing.assert_allclose(found.row_error_l1, np.abs(plan.sum(1) - 0.25).sum())
    np.testing.assert_allclose(found.column_error_l1, np.abs(plan.sum(0) - 1 / 6).sum())
    counts = [int(found.nnz), int(found.max_col_nnz), int(found.max_row_nnz)]
    assert counts == [(plan > 0).sum(), (plan > 0).sum(0).max(), (plan > 0).sum(1).max()]


def test_points_go_to_the_mean_of_where_their_mass_goes():
    moved = ot.barycentric(PLAN, X, Y)
    np.testing.assert_allclose(moved[0], np.average(Y, axis=0, weights=PLAN[0]))
    np.testing.assert_array_equal(moved[2], X[2])  # which sends nothing
    label = jnp.asarray([[0, 2], [3, 3]])
    picture = np.asarray(plans.recoloured(PLAN, X, Y, label))
    assert picture.shape == (2, 2, 3)
    np.testing.assert_allclose(picture / 256, np.asarray(moved)[np.asarray(label)], atol=0.5 / 256 + 1e-12)


def test_ranked_entries_and_the_mass_beyond_them():
    ranks = plans.spread_ranks(4, 6)
    assert ranks[0] == 1
    assert ranks[-1] == 24
    found, entries = plans.ranked(PLAN, ranks), np.sort(np.asarray(PLAN).ravel())[::-1]
    np.testing.assert_allclose(found.entry, entries[ranks - 1])
    np.testing.assert_allclose(found.mass_beyond, entries.sum() - np.cumsum(entries)[ranks - 1], atol=1e-15)


def test_traces_of_any_length():
    value = np.array([1.0, 3.0, 2.0, 4.0])
    np.testing.assert_array_equal(traces.best_so_far(value), [1, 3, 3, 4])
    np.testing.assert_array_equal(jax.jit(traces.best_so_far)(jnp.asarray(value)), [1, 3, 3, 4])
    whole = traces.padded({"value": value}, 6)["value"]
    np.testing.assert_array_equal(whole, [1, 3, 2, 4, np.nan, np.nan])
    at = traces.at_counts(jnp.asarray(whole), jnp.asarray(4))
    np.testing.assert_array_equal(at[:6], whole)
    assert np.isnan(at[6:]).all()


@pytest.mark.parametrize(("rows", "known"), [(60, True), (6, False)])
def test_iterations_a_decade(rows, known):
    """Of a geometric error."""
    error = jnp.asarray(0.7 ** np.arange(rows))
    found = float(traces.per_decade(error, jnp.asarray(rows - 1)))
    if known:
        assert found == pytest.approx(np.log(10) / -np.log(0.7), rel=1e-9)
    else:
        assert np.isnan(found)  # it is not below 0.01


def test_the_unit_of_a_cost():
    cost = jnp.asarray([[1.0, 2.0], [3.0, 6.0]])
    assert [float(bounds.cost_unit(cost, unit)) for unit in ("mean", "largest", "one")] == [2.0, 5.0, 1.0]
    assert float(bounds.cost_unit(0 * cost, "mean")) == 1.0  # of which every strength gives one plan
