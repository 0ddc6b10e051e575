"""Points without mass: every door takes them, and gives what it gives without them."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import ot

RNG = np.random.default_rng(11)
COST = RNG.random((9, 7))
A, B = RNG.dirichlet(np.ones(9)), RNG.dirichlet(np.ones(7))
A[[0, 4]], B[[2, 6]] = 0, 0
A, B = A / A.sum(), B / B.sum()
DOORS = {
    "entropic": (ot.Entropic(0.05), {}),
    "entropic, small": (ot.Entropic(1e-3), {}),
    "sinkhorn": (ot.Entropic(0.1), {"method": "sinkhorn"}),
    "quadratic": (ot.Quadratic(0.5), {}),
    "k-sparse": (ot.KSparse(0.5, 2), {}),
    "k-sparse, by rows": (ot.KSparse(0.5, 2), {"axis": "rows"}),
    "quadratic, ladder": (ot.Quadratic(0.5), {"method": "lbfgs"}),
    "quadratic, dual": (ot.Quadratic(0.5), {"formulation": "dual"}),
    "unbalanced": (ot.Entropic(0.05), {"marginals": ot.Unbalanced(1.0, 2.0)}),
    "partial": (ot.Entropic(0.05), {"marginals": ot.Partial(0.6)}),
    "exact start": (ot.Quadratic(0.5), {"init": "exact"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_points_without_mass_change_nothing(door):
    regularizer, options = DOORS[door]
    given = COST, A, B, A > 0, B > 0
    if options.get("axis") == "rows":  # turned, so that what is solved has the shape that is compiled already
        given = COST.T, B, A, B > 0, A > 0
    cost, a, b, rows, columns = given
    whole = ot.solve(ot.problem(cost, a, b), regularizer, **options)
    part = ot.solve(ot.problem(cost[rows][:, columns], a[rows], b[columns]), regularizer, **options)
    assert bool(whole.converged) == bool(part.converged)
    plan = np.asarray(whole.plan())
    assert np.isfinite(plan).all()
    assert np.isfinite(float(whole.value))
    np.testing.assert_allclose(float(whole.value), float(part.value), rtol=1e-5)
    if int(whole.n_ties) == int(part.n_ties) == 0:
        np.testing.assert_allclose(plan[rows][:, columns], part.plan(), atol=2e-5)
    assert np.abs(plan[~rows]).sum() < 1e-6
    assert np.abs(plan[:, ~columns]).sum() < 1e-6
    if not options.get("marginals"):
        relaxed = np.asarray(whole.relaxed_plan())
        np.testing.assert_allclose(relaxed.sum(1), a, atol=1e-5)
        np.testing.assert_allclose(relaxed.sum(0), b, atol=1e-5)


def test_masses_are_refused_only_where_there_can_be_no_plan():
    with pytest.raises(ValueError, match=r"a\[1\] = -1, but no mass may be negative"):
        ot.problem(np.ones((2, 2)), np.array([3, -1]), np.ones(2))
    with pytest.raises(ValueError, match="b is zero throughout"):
        ot.problem(np.ones((2, 2)), np.ones(2), np.zeros(2))
    made = ot.problem(np.ones((2, 2)), np.array([1, 0]), np.array([0, 1]))
    assert isinstance(made.a, jnp.ndarray)


@pytest.mark.slow
def test_the_linear_program_and_the_studies_take_them():
    from scipy.optimize import linprog

    from lab.ot.exact import linear_program
    from lab.studies import find

    found = linear_program(ot.problem(COST, A, B))
    rows, columns = np.kron(np.eye(9), np.ones(7)), np.kron(np.ones(9), np.eye(7))
    expected = linprog(COST.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.append(A, B)).fun
    np.testing.assert_allclose(float(found.value), expected, rtol=1e-9)
    np.testing.assert_allclose(found.plan.sum(1), A, atol=1e-12)
    assert (found.alpha[:, None] + found.beta[None, :] <= COST + 1e-12).all()
    np.testing.assert_allclose(found.alpha @ A + found.beta @ B, expected, rtol=1e-9)
    data = {"cost": COST, "a": A, "b": B}
    for slug, options in (
        ("sparse-ot", {"k": 2}),
        ("sparse-ot", {"regularizer": "entropic", "gamma": 0.1}),
        ("sinkhorn-newton-sparse", {}),
    ):
        result = find(slug)(data=data, **options).run()
        assert result.attrs["converged"], result.attrs["advice"]
        assert all(np.isfinite(v).all() for v in result.data_vars.values() if v.dtype.kind == "f" and not v.dims)
