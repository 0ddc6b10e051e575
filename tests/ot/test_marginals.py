"""Unbalanced and partial transport through the one door; their solvers have tests of their own."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lab.ot as ot
from lab.numerics import NotConverged
from lab.ot import partial, unbalanced


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(31)
    return ot.from_points(
        rng.normal(size=(14, 2)), rng.normal(size=(9, 2)) + 0.5, rng.dirichlet(np.ones(14)), rng.dirichlet(np.ones(9))
    )


@pytest.mark.slow
@pytest.mark.parametrize("tau", [(0.9, 0.8), (1.0, 0.7), (0.95, 1.0)])
def test_an_unbalanced_ott_problem_as_it_is(problem, tau):
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    b = problem.b if 1.0 in tau else 1.3 * problem.b
    given = LinearProblem(Geometry(problem.cost, epsilon=0.1), problem.a, b, tau_a=tau[0], tau_b=tau[1])
    with jax.numpy_rank_promotion("allow"):
        theirs = Sinkhorn(threshold=1e-12, max_iterations=20_000)(given)
        expected = np.asarray(theirs.matrix)
    np.testing.assert_allclose(ot.solve(given).plan(), expected, atol=1e-10)


@pytest.mark.slow
def test_the_door_says_what_ran_and_why(problem):
    entropy = ot.Entropic(0.05)
    found = ot.solve(problem, entropy, marginals=ot.Partial(0.4, lam=2.0))
    assert found.method == "newton"
    assert "Newton" in found.why
    assert float(found.plan().sum()) == pytest.approx(0.4, abs=1e-10)
    np.testing.assert_array_equal(found.plan(), partial.solve(problem, entropy, rho=0.4, lam=2.0).plan())
    soft = ot.solve(problem, entropy, marginals=ot.Unbalanced(rows=0.5, columns=1.5), method="scaling")
    assert (soft.method, soft.why) == ("scaling", "asked for")
    direct = unbalanced.solve(problem, entropy, rows=0.5, columns=1.5)
    np.testing.assert_allclose(soft.plan(), direct.plan(), atol=1e-9)
    assert ot.marginals.choose(5000)[0] == "scaling"


@pytest.mark.slow
def test_large_weights_are_balanced_transport(problem):
    found = ot.solve(problem, ot.Entropic(0.05), marginals=ot.Unbalanced(1e9, 1e9))
    balanced = ot.solve(problem, ot.Entropic(0.05), tolerance=1e-11)
    np.testing.assert_allclose(found.plan(), balanced.plan(), atol=1e-8)


@pytest.mark.slow
def test_an_answer_that_did_not_converge_warns_unless_the_caller_looks_himself(problem):
    for marginals in (None, ot.Partial(0.5)):
        with pytest.warns(NotConverged, match="did not converge in 1 iterations: the iteration limit"):
            ot.solve(problem, ot.Entropic(0.001), marginals=marginals, max_iterations=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ot.solve(problem, ot.Entropic(0.05), marginals=ot.Partial(0.5))
        compiled = jax.jit(lambda p: ot.solve(p, ot.Entropic(0.001), marginals=ot.Partial(0.5), max_iterations=1))
        assert not bool(compiled(problem).converged)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"marginals": "partial"}, "Unbalanced"),
        ({"marginals": ot.Partial(1.5)}, "rho = 1.5"),
        ({"marginals": ot.Partial(0.5), "method": "lbfgs"}, "'auto', 'newton', 'scaling'"),
        ({"marginals": ot.Partial(0.5), "axis": "rows"}, "leave out"),
        ({"marginals": ot.Unbalanced(rows=-1.0)}, "positive"),
        ({"marginals": ot.Unbalanced(rows=1.0), "regularizer": ot.Quadratic(1.0)}, "Entropic"),
        ({"method": "scaling"}, "'scaling'"),
    ],
)
def test_bad_requests_are_one_sentence(problem, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ot.solve(problem, **{"regularizer": ot.Entropic(0.1)} | given)


def test_a_cloud_is_refused(problem):
    points = ot.cloud(jnp.zeros((3, 2)), jnp.ones((4, 2)))
    with pytest.raises(ValueError, match="dense"):
        ot.solve(points, ot.Entropic(0.1), marginals=ot.Partial(0.5))
