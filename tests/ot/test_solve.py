"""The solver against the sheet's values, closed forms and independent solvers, on instances it was not tuned on."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
import scipy.sparse as sp

from lab import datasets, numerics, ot
from lab.ot.bounds import relaxed_primal
from lab.ot.exact import linear_program
from lab.studies.contract.clock import clocked


def random(m, n, seed, mass=1.0):
    """A problem; of one size where that will do, since each is compiled anew."""
    rng = np.random.default_rng(seed)
    cost = ((rng.normal(size=(m, 1, 2)) - rng.normal(size=(1, n, 2))) ** 2).sum(-1)
    a, b = rng.uniform(0.5, 1.5, m), rng.uniform(0.5, 1.5, n)
    return ot.problem(cost, mass * a / a.sum(), mass * b / b.sum())


def numbers(problem):
    return np.asarray(problem.a), np.asarray(problem.b), np.asarray(problem.cost)


def conic(problem, gamma, k):
    """The relaxed primal by an independent interior-point solver: rows of (t, eta, r) with 2 r eta >= t^2."""
    import clarabel

    cost, a, b = map(np.asarray, problem)
    m, n = cost.shape
    size = m * n
    eye, zero = sp.identity(size), sp.csc_matrix((size, size))
    rows, columns = sp.kron(sp.identity(m), np.ones((1, n))), sp.kron(np.ones((1, m)), sp.identity(n))
    none = sp.csc_matrix((m + n, 2 * size))
    equal = sp.hstack([sp.vstack([rows, columns]), none])
    bound = sp.vstack(
        [
            sp.hstack([-eye, zero, zero]),
            sp.hstack([zero, eye, zero]),
            sp.hstack([sp.csc_matrix((n, size)), columns, sp.csc_matrix((n, size))]),
        ]
    )
    # |(sqrt 2 t, eta - r)| <= eta + r
    cone = sp.vstack(
        [sp.hstack([zero, -eye, -eye]), sp.hstack([-np.sqrt(2) * eye, zero, zero]), sp.hstack([zero, -eye, eye])]
    )
    order = np.arange(3 * size).reshape(3, size).T.ravel()
    matrix = sp.vstack([equal, bound, cone.tocsr()[order]]).tocsc()
    limits = np.concatenate([a, b, np.zeros(size), np.ones(size), np.full(n, float(k)), np.zeros(3 * size)])
    cones = [clarabel.ZeroConeT(m + n), clarabel.NonnegativeConeT(2 * size + n), *[clarabel.SecondOrderConeT(3)] * size]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = 1e-10
    objective = np.concatenate([cost.ravel(), np.zeros(size), np.full(size, gamma)])
    nothing = sp.csc_matrix((3 * size, 3 * size))
    return clarabel.DefaultSolver(nothing, objective, matrix, limits, cones, settings).solve().obj_val


@pytest.fixture(scope="module")
def bump():
    arrays = datasets.load("bump-to-bump").arrays
    return ot.problem(arrays["cost"], arrays["a"], arrays["b"])


@pytest.mark.parametrize(("seed", "gamma"), [(1, 1.0), (2, 0.1), (3, 5.0)])
@pytest.mark.parametrize("k", [2, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 3, 5))])  # each compiles
def test_value_is_the_conic_optimum(seed, gamma, k):
    problem = random(6, 8, seed)
    solution = ot.solve(problem, ot.KSparse(gamma, k))
    reference = conic(problem, gamma, k)
    assert solution.converged
    assert float(solution.value) <= reference + 1e-8 * abs(reference)  # a lower bound, whatever the solver does
    assert float(solution.value) >= reference - 2e-6 * abs(reference)
    relaxed = solution.relaxed_plan()
    np.testing.assert_allclose(relaxed.sum(axis=1), problem.a, atol=1e-12)
    np.testing.assert_allclose(relaxed.sum(axis=0), problem.b, atol=1e-12)
    primal = float(relaxed_primal(relaxed, problem.cost, jnp.asarray(gamma), jnp.asarray(k)))
    np.testing.assert_allclose(primal, reference, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 4, 32])
def test_plan_keeps_its_promises(bump, k):
    for problem in (bump, random(6, 8, 40, mass=3.0)):
        k_here = min(k, problem.cost.shape[0])
        solution = ot.solve(problem, ot.KSparse(0.7, k_here))
        plan = np.asarray(solution.plan())
        assert (plan >= 0).all()
        np.testing.assert_allclose(plan.sum(axis=0), problem.b, rtol=0, atol=1e-12 * float(problem.b.sum()))
        assert int((plan > 0).sum(axis=0).max()) <= k_here
        np.testing.assert_allclose(np.abs(plan.sum(axis=1) - problem.a).sum(), solution.row_error, atol=1e-12)
        ell = solution.ell()
        np.testing.assert_array_equal(ell.todense(), plan)
        assert ell.values.shape[1] <= k_here
        y = np.random.default_rng(0).normal(size=problem.cost.shape[1])
        np.testing.assert_allclose(ell.apply(jnp.asarray(y)), plan @ y, atol=1e-12)
        again = ot.semi_dual(problem, solution.regularizer, solution.alpha)
        np.testing.assert_allclose(again.value, solution.value, rtol=1e-12)


@pytest.mark.slow
def test_values_of_the_sheet(bump):
    for k, value in ((1, 0.0663317), (32, 0.0457701)):
        np.testing.assert_allclose(ot.solve(bump, ot.KSparse(1.0, k)).value, value, rtol=3e-6)


@pytest.mark.slow
def test_value_falls_with_k_between_its_bounds(bump):
    lp = linear_program(bump).value
    a, b = np.asarray(bump.a), np.asarray(bump.b)
    for gamma in (0.1, 1.0):
        values = [float(ot.solve(bump, ot.KSparse(gamma, k), tolerance=1e-8).value) for k in (1, 2, 3, 4, 8, 16, 32)]
        assert (np.diff(values) <= 1e-8).all()
        least = 0.5 * ((a[:, None] / 32 + b[None, :] / 32 - 1 / 32**2) ** 2).sum()
        assert lp + gamma * least <= values[-1] + 1e-8
        assert values[0] <= lp + gamma / 2 * (b @ b) + 1e-8
        np.testing.assert_allclose(values[0], lp + gamma / 2 * (b @ b), rtol=2e-6)  # k = 1 is the linear program


@pytest.mark.slow
def test_k1_is_exact_transport():
    for seed in (60, 61):
        problem = random(6, 8, seed)
        solution = ot.solve(problem, ot.KSparse(0.3, 1))
        expected = pot.emd2(np.asarray(problem.a), np.asarray(problem.b), np.asarray(problem.cost))
        np.testing.assert_allclose(float(solution.value) - 0.15 * float(problem.b @ problem.b), expected, rtol=1e-5)


@pytest.mark.slow
def test_starting_from_the_linear_program_changes_only_the_way(bump):
    for k, axis in ((1, "columns"), (2, "rows"), (8, "columns")):
        cold = ot.solve(bump, ot.KSparse(0.1, k), axis=axis)
        exact = ot.solve(bump, ot.KSparse(0.1, k), axis=axis, init="exact")
        assert exact.converged
        assert exact.iterations < cold.iterations
        np.testing.assert_allclose(exact.value, cold.value, rtol=2e-6)
    with pytest.raises(
        ValueError, match="init = 'none', but it must be one of 'exact' or a Solution or an array or a number or None"
    ):
        ot.solve(bump, ot.KSparse(0.1, 2), init="none")
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda p: ot.solve(p, ot.KSparse(0.1, 2), init="exact").value)(bump)


@pytest.mark.slow
def test_quadratic_is_pots():
    problem = random(6, 8, 70)
    solution = ot.solve(problem, ot.Quadratic(0.5))
    plan = pot.smooth.smooth_ot_semi_dual(
        np.asarray(problem.a),
        np.asarray(problem.b),
        np.asarray(problem.cost),
        0.5,
        reg_type="l2",
        stopThr=1e-12,
        numItermax=5000,
    )
    np.testing.assert_allclose(solution.plan(), plan, atol=1e-5)
    assert float(solution.row_error) <= 1e-6
    np.testing.assert_allclose(solution.value, ot.solve(problem, ot.KSparse(0.5, 6)).value, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("formulation", ["semi-dual", "dual"])
def test_entropic_is_sinkhorns(formulation):
    problem = random(6, 8, 71)
    solution = ot.solve(problem, ot.Entropic(0.2), formulation=formulation, tolerance=1e-8)
    plan = pot.sinkhorn(
        np.asarray(problem.a),
        np.asarray(problem.b),
        np.asarray(problem.cost),
        0.2,
        method="sinkhorn_log",
        stopThr=1e-13,
        numItermax=20000,
    )
    np.testing.assert_allclose(solution.plan(), plan, atol=1e-6)


@pytest.mark.slow
def test_gradient_is_the_row_error(bump):
    problem = random(8, 9, 72)
    alpha = np.random.default_rng(3).normal(size=8)
    regularizer = ot.KSparse(0.4, 3)
    semi_dual, dual = jax.jit(lambda at: ot.semi_dual(problem, regularizer, at)), jax.jit(ot.dual)
    at = semi_dual(alpha)
    gradient = np.asarray(problem.a) - np.asarray(at.plan).sum(axis=1)
    for i, h in enumerate(1e-6 * np.eye(8)):
        up, down = (semi_dual(alpha + s * h).value for s in (1, -1))
        assert abs((float(up) - float(down)) / 2e-6 - gradient[i]) < 1e-7
    np.testing.assert_allclose(dual(problem, regularizer, alpha, at.beta).value, at.value, atol=1e-10)
    rng = np.random.default_rng(4)
    for _ in range(5):  # no other beta does better
        other = np.asarray(at.beta) + 0.1 * rng.normal(size=9)
        assert float(dual(problem, regularizer, alpha, other).value) <= float(at.value) + 1e-12


@pytest.mark.slow
def test_symmetries():
    problem, regularizer = random(6, 8, 73), ot.KSparse(0.5, 6)
    plan = np.asarray(ot.solve(problem, regularizer, tolerance=1e-9).plan())
    rows, columns = np.random.default_rng(1).permutation(6), np.random.default_rng(2).permutation(8)
    moved = ot.Problem(problem.cost[rows][:, columns], problem.a[rows], problem.b[columns])
    np.testing.assert_allclose(ot.solve(moved, regularizer, tolerance=1e-9).plan(), plan[rows][:, columns], atol=1e-7)
    scaled = problem._replace(cost=7 * problem.cost)
    np.testing.assert_allclose(ot.solve(scaled, ot.KSparse(3.5, 6), tolerance=1e-9).plan(), plan, atol=1e-7)
    shifted = problem._replace(cost=problem.cost + jnp.arange(6.0)[:, None] - jnp.arange(8.0)[None, :])
    np.testing.assert_allclose(ot.solve(shifted, regularizer, tolerance=1e-9).plan(), plan, atol=1e-6)


@pytest.mark.slow
def test_rows_are_the_columns_of_the_transposed_problem():
    problem = random(8, 6, 74)
    solution = ot.solve(problem, ot.KSparse(0.5, 3), axis="rows")
    other = ot.solve(problem.T, ot.KSparse(0.5, 3))
    np.testing.assert_allclose(solution.plan(), other.plan().T, atol=1e-12)
    np.testing.assert_allclose(solution.plan().sum(axis=1), problem.a, atol=1e-12)
    assert int((np.asarray(solution.plan()) > 0).sum(axis=1).max()) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gamma"), [("bump-to-bump", 1.0), ("one-bump-to-two", 0.1)])
def test_ladder_comes_close(name, gamma):
    arrays = datasets.load(name).arrays
    problem = ot.problem(arrays["cost"], arrays["a"], arrays["b"])
    for k, gap in ((2, 2e-4), (1, 5e-4)):
        best = float(ot.solve(problem, ot.KSparse(gamma, k), tolerance=1e-8).value)
        ladder = ot.solve(problem, ot.KSparse(gamma, k), method="ladder")
        assert float(ladder.value) <= best * (1 + 1e-7)
        assert float(ladder.value) >= best * (1 - gap)


@pytest.mark.slow
def test_another_k_or_gamma_compiles_nothing():
    problem = random(6, 8, 75)
    for method, loop in (("newton", numerics.pure), ("lbfgs", numerics.Chunked())):
        ot.solve(problem, ot.KSparse(1.0, 2), method=method, loop=loop).value.block_until_ready()
        with clocked() as clock:
            ot.solve(problem, ot.KSparse(0.3, 5), method=method, loop=loop, tolerance=1e-5).value.block_until_ready()
        assert clock.programs == 0


@pytest.mark.slow
def test_a_tie_is_told(bump):
    solution = ot.solve(bump, ot.KSparse(1.0, 2))
    assert int(solution.n_ties) > 0
    assert float(solution.row_error) > 0.01
    smooth = ot.solve(bump, ot.KSparse(1.0, 16))
    assert int(smooth.n_ties) == 0
    assert float(smooth.row_error) < 1e-4


@pytest.mark.slow
def test_float32_stays_float32():
    problem = jax.tree.map(lambda x: x.astype(jnp.float32), random(6, 8, 76))
    solution = ot.solve(problem, ot.KSparse(1.0, 4), tolerance=1e-4)
    assert solution.value.dtype == solution.plan().dtype == jnp.float32
    with pytest.raises(ValueError, match="float32"):
        ot.solve(problem, ot.KSparse(1.0, 4), tolerance=1e-6)


@pytest.mark.parametrize(
    ("regularizer", "error", "says"),
    [
        (ot.KSparse(1.0, 0), ValueError, "k = 0"),
        (ot.KSparse(1.0, 9), ValueError, "k = 9"),
        (ot.KSparse(1.0, 2.5), TypeError, "k = 2.5"),
        (ot.KSparse(0.0, 2), ValueError, "gamma = 0"),
        (ot.Quadratic(-1.0), ValueError, "gamma = -1"),
        (ot.Entropic(float("nan")), ValueError, "gamma = nan"),
    ],
)
def test_bad_strengths_are_refused(regularizer, error, says):
    with pytest.raises(error, match=says):
        ot.solve(random(8, 6, 77), regularizer)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cost": [[0.0, np.nan], [1, 2]]}, "row 0, column 1"),
        ({"a": [1.5, -0.5]}, r"a\[1\] = -0.5"),
        ({"b": [2.0, -1.0]}, r"b\[1\] = -1"),
        ({"b": [1.0, 1.0]}, r"sum\(a\) = 1 but sum\(b\) = 2"),
        ({"a": [1.0]}, r"shape \(1,\)"),
        ({"cost": [1.0, 2.0]}, r"shape \(2,\)"),
    ],
)
def test_bad_problems_are_refused(change, says):
    good = {"cost": [[0.0, 1.0], [1.0, 0.0]], "a": [0.5, 0.5], "b": [0.5, 0.5]}
    with pytest.raises(ValueError, match=says):
        ot.problem(**{name: np.array(values) for name, values in (good | change).items()})


def test_what_is_no_problem_is_refused():
    with pytest.raises(TypeError, match=r"a problem is needed, but ndarray was given: make one by ot\.problem"):
        ot.solve(np.ones((3, 4)), ot.Entropic(0.1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ot.problem(np.zeros((2, 2)), np.full(2, 1e308)), r"a has a mass of 1e\+308.*at most 8.99e\+307"),
        (lambda: ot.problem(np.zeros((2, 2)), None, np.full(2, 1e308), balanced=False), "b has a mass of 1e"),
        (lambda: ot.problem(np.zeros((2, 2)), np.full(2, 5e-324)), "largest mass of a is 4.94066e-324"),
        (lambda: ot.problem(np.full((2, 2), -1e308)), r"cost has an entry of magnitude 1e\+308.*at most 4.49e\+307"),
        (lambda: ot.problem(np.full((2, 2), 3e38, "f4")), "overflow float32"),
        (
            lambda: ot.from_points(np.full((1, 1), 1e200), np.zeros((1, 1))),
            r"coordinates of magnitude up to 1e\+200.*power 2 overflow",
        ),
        (lambda: ot.from_points(np.full((1, 1), 1e160), np.zeros((1, 1)), p=3.0), "power 3 overflow"),
    ],
)
def test_sums_and_squares_that_overflow_name_the_array(make, says):
    with pytest.raises(ValueError, match=says):
        make()
