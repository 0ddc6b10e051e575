"""Clouds: the same answers as with the matrix of costs, which they never form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lab import ot
from lab.ot import geometry
from lab.ot.geometry import Cloud, Matrix, cloud

M, N, D = 21, 17, 3


def points(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(M, D)), rng.normal(size=(N, D)) + 0.3, rng.dirichlet(np.ones(M)), rng.dirichlet(np.ones(N))


def largest(jaxpr) -> int:
    """The number of entries of the largest array anywhere in a program."""
    size = 0
    for equation in jaxpr.eqns:
        size = max([size, *(int(np.prod(v.aval.shape)) for v in equation.outvars if hasattr(v.aval, "shape"))])
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                size = max(size, largest(inner))
    return size


@pytest.mark.slow
@pytest.mark.parametrize(("p", "norm"), [(2.0, 2.0), (1.0, 2.0), (1.0, 1.0), (3.0, 2.0), (1.5, 1.5)])
def test_costs_and_sums_are_the_matrix_ones(p, norm):
    x, y, a, b = points(1)
    given = cloud(x, y, a, b, p=p, norm=norm, scale=0.7, block_bytes=4 * N * 8)
    matrix = 0.7 * cdist(x, y, "minkowski", p=norm) ** p
    np.testing.assert_allclose(given.dense().cost, matrix, rtol=1e-12)
    np.testing.assert_allclose(given.T.dense().cost, matrix.T, rtol=1e-12)
    rng = np.random.default_rng(2)
    u, v, epsilon = jnp.asarray(rng.normal(size=M)), jnp.asarray(rng.normal(size=N)), jnp.asarray(0.05)
    dense = Matrix(jnp.asarray(matrix))
    np.testing.assert_allclose(given.rows(v, epsilon), dense.rows(v, epsilon), rtol=1e-12)
    np.testing.assert_allclose(given.columns(u, epsilon), dense.columns(u, epsilon), rtol=1e-12)
    values = jnp.asarray(rng.normal(size=(N, 2)))
    plan = jnp.exp(u[:, None] + v[None, :] - matrix / epsilon)
    np.testing.assert_allclose(given.apply(u, v, epsilon, values), plan @ values, rtol=1e-12)
    np.testing.assert_allclose(given.mean(), matrix.mean(), rtol=1e-12)


def test_a_point_onto_itself_costs_nothing_and_has_a_derivative():
    x = np.array([[1e4, 1.0], [1e4, 2.0]])
    given = cloud(x, x, p=1.0)
    assert (np.diag(np.asarray(given.dense().cost)) == 0).all()
    slope = jax.grad(lambda c: c.rows(jnp.zeros(2), jnp.asarray(0.1)).sum())(given)
    assert np.isfinite(slope.x).all()


@pytest.mark.slow
def test_it_is_the_problem_with_the_matrix():
    x, y, a, b = points(3)
    given = cloud(x, y, 2 * a, 2 * b, block_bytes=4 * N * 8)
    problem = ot.from_points(x, y, 2 * a, 2 * b)
    one = ot.solve(given, ot.Entropic(0.3), tolerance=1e-11)
    other = ot.solve(problem, ot.Entropic(0.3), method="newton", tolerance=1e-11)
    assert one.converged
    assert "log domain" in one.method
    assert "points" in one.why
    np.testing.assert_allclose(one.plan(), other.plan(), atol=1e-10)
    np.testing.assert_allclose(one.value, other.value, atol=1e-10)
    np.testing.assert_allclose(one.alpha, other.alpha, atol=1e-8)
    np.testing.assert_allclose(one.beta, other.beta, atol=1e-8)
    np.testing.assert_allclose(one.apply(jnp.asarray(y)), other.apply(jnp.asarray(y)), atol=1e-10)
    np.testing.assert_allclose(one.apply_transposed(jnp.asarray(x)), other.plan().T @ x, atol=1e-10)
    assert float(one.row_error) <= 2e-11


@pytest.mark.slow
def test_the_value_is_differentiable_in_the_points_and_masses():
    x, y, a, b = points(4)
    given = cloud(x, y, a, b, p=1.5)

    both = jax.jit(
        jax.value_and_grad(
            lambda c, gamma: ot.solve(c, ot.Entropic(gamma), tolerance=1e-11, max_iterations=2000).value, argnums=(0, 1)
        )
    )
    value = lambda c, gamma: both(c, gamma)[0]  # noqa: E731
    slope, strength = both(given, 0.3)[1]
    rng = np.random.default_rng(5)
    dx, dy, da = rng.normal(size=(M, D)), rng.normal(size=(N, D)), rng.normal(size=M)
    da -= da.mean()
    h = 1e-5

    def moved(t):
        return Cloud(given.x + t * dx, given.y + t * dy, given.a + t * da, given.b, given.scale, 1.5)

    numeric = (value(moved(h), 0.3) - value(moved(-h), 0.3)) / (2 * h)
    along = (slope.x * dx).sum() + (slope.y * dy).sum() + (slope.a * da).sum()
    np.testing.assert_allclose(along, numeric, atol=1e-7)
    np.testing.assert_allclose(strength, (value(given, 0.3 + h) - value(given, 0.3 - h)) / (2 * h), atol=1e-7)


def test_no_program_holds_the_matrix(monkeypatch):
    """Neither the solve nor its gradient: nothing as large as a quarter of the matrix is made."""
    n = 400
    rng = np.random.default_rng(6)
    given = cloud(rng.normal(size=(n, 2)), rng.normal(size=(n, 2)), block_bytes=20 * n * 8)

    def value(c):
        return ot.solve(c, ot.Entropic(0.1), max_iterations=50).value

    monkeypatch.setattr(geometry, "_SAMPLE", 50)
    for function in (value, jax.grad(value)):
        assert largest(jax.make_jaxpr(function)(given).jaxpr) <= n * n // 4


@pytest.mark.slow
def test_otts_point_clouds_become_clouds():
    from ott.geometry.costs import Euclidean, EuclideanP, PNormP, SqEuclidean, SqPNorm
    from ott.geometry.pointcloud import PointCloud
    from ott.problems.linear.linear_problem import LinearProblem

    x, y, a, b = points(7)
    for cost in (SqEuclidean(), Euclidean(), PNormP(1.5), EuclideanP(3.0), SqPNorm(1.5)):
        theirs = PointCloud(jnp.asarray(x), jnp.asarray(y), cost_fn=cost, epsilon=0.4)
        ours, epsilon, relaxed = geometry.from_ott(LinearProblem(theirs, jnp.asarray(a), jnp.asarray(b)))
        assert isinstance(ours, Cloud)
        assert epsilon == pytest.approx(0.4)
        assert relaxed is None
        np.testing.assert_allclose(ours.dense().cost, theirs.cost_matrix, rtol=1e-10)
        np.testing.assert_allclose(ours.a, a)
    scaled = PointCloud(jnp.asarray(x), jnp.asarray(y), scale_cost="mean")
    np.testing.assert_allclose(geometry.from_ott(scaled)[0].dense().cost, scaled.cost_matrix, rtol=1e-10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": np.ones((3, 2))}, r"shapes \(3, 2\) and \(2, 3\)"),
        ({"x": np.full((3, 3), np.nan)}, "x is nan at row 0, column 0"),
        ({"a": [1.0, -0.5, 0.5]}, r"a\[1\] = -0.5"),
        ({"a": [0.0, 0.0, 0.0]}, "a is zero throughout"),
        ({"a": [1.0, 1.0]}, r"a has shape \(2,\)"),
        ({"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0]}, "the masses differ"),
        ({"b": [np.inf, 1.0]}, "b is inf at entry 0"),
        ({"p": 0.0}, "p = 0"),
        ({"norm": 0.5}, "norm = 0.5"),
        ({"scale": -1.0}, "scale = -1"),
    ],
)
def test_bad_clouds_are_refused(change, says):
    good = {"x": np.zeros((3, 3)), "y": np.ones((2, 3))}
    with pytest.raises(ValueError, match=says):
        cloud(**{name: np.array(v) if isinstance(v, list) else v for name, v in (good | change).items()})


def test_clouds_are_refused_where_a_matrix_is_needed():
    x, y, a, b = points(8)
    given = cloud(x, y, a, b)
    for regularizer, method in (
        (ot.Quadratic(0.1), "auto"),
        (ot.Entropic(0.1), "newton"),
        (ot.Entropic(0.1), "lbfgs"),
        (ot.Entropic(0.1), ot.Sinkhorn("kernel")),
    ):
        with pytest.raises(ValueError, match="dense"):
            ot.solve(given, regularizer, method=method)


@pytest.mark.slow
def test_otts_grids():
    from ott.geometry.costs import PNormP, SqEuclidean
    from ott.geometry.grid import Grid
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    rng = np.random.default_rng(3)
    a, b = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(12))
    axes = [jnp.array([0.0, 0.3, 1.0]), jnp.linspace(0, 2, 4)]
    points = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], axis=1)
    square, _epsilon, _ = geometry.from_ott(LinearProblem(Grid(x=axes, epsilon=0.2), jnp.asarray(a), jnp.asarray(b)))
    assert isinstance(square, geometry.Cloud)
    np.testing.assert_allclose(square.dense().cost, ((points[:, None] - points[None]) ** 2).sum(-1), atol=1e-12)
    mixed = Grid(x=axes, cost_fns=[PNormP(1.5), SqEuclidean()], epsilon=0.2)
    cost = np.abs(points[:, None, 0] - points[None, :, 0]) ** 1.5 / 1.5 + (points[:, None, 1] - points[None, :, 1]) ** 2
    problem = LinearProblem(mixed, jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(geometry.from_ott(problem)[0].cost, cost, rtol=1e-10, atol=1e-12)
    with jax.numpy_rank_promotion("allow"):  # ott's own code needs it
        theirs = Sinkhorn(threshold=1e-10)(problem)
        moved = mixed.apply_transport_from_potentials(theirs.f, theirs.g, points[:, 0], axis=1)
    ours = ot.solve(problem)
    np.testing.assert_allclose(ours.plan().sum(1), a, atol=1e-6)
    np.testing.assert_allclose(ours.plan() @ points[:, 0], moved, atol=1e-5)
