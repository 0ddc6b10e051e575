"""The Monge gap: against POT, SciPy and OTT, in closed form, and its derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy import optimize, spatial

from lab.numerics import NotConverged
from lab.ot import bures, monge

RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(24, 3)), RNG.normal(size=(24, 3)) + 0.5
SPHERE = [points / np.linalg.norm(points, axis=1, keepdims=True) for points in (X, Y)]
COSTS = {
    "squared": (lambda x, y: spatial.distance.cdist(x, y, "sqeuclidean"), X, Y),
    "distance": (spatial.distance.cdist, X, Y),
    "geodesic": (lambda x, y: np.arccos(np.clip(x @ y.T, -1, 1)), *SPHERE),
    "cubes": (lambda x, y: (np.abs(x[:, None] - y[None]) ** 3).sum(2) / 3, X, Y),
}


def named(name):
    return monge.PNorm(3.0) if name == "cubes" else name


def test_many_coordinates_far_away_keep_their_small_distances():
    x = 1e5 + np.random.default_rng(3).normal(size=(24, 16))
    y = x[::-1] + 1e-3
    matrix, slope = jax.value_and_grad(lambda y: monge.pairwise(jnp.asarray(x), y)[3, 5])(jnp.asarray(y))
    assert float(matrix) == pytest.approx(((x[3] - y[5]) ** 2).sum(), rel=1e-9)
    np.testing.assert_allclose(slope[5], 2 * (y[5] - x[3]), rtol=1e-9)
    np.testing.assert_allclose(
        monge.pairwise(jnp.asarray(x), jnp.asarray(y)),
        spatial.distance.cdist(x, y, "sqeuclidean"),
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.parametrize("name", COSTS)
def test_the_exact_gap_is_that_of_pot_and_scipy(name):
    cost, x, y = COSTS[name]
    found, matrix = monge.exact_gap(x, y, named(name)), cost(x, y)
    np.testing.assert_allclose(monge.pairwise(jnp.asarray(x), jnp.asarray(y), named(name)), matrix, atol=1e-9)
    rows, columns = optimize.linear_sum_assignment(matrix)
    np.testing.assert_array_equal(found.target, columns)
    assert found.value == pytest.approx(np.diag(matrix).mean() - matrix[rows, columns].mean(), abs=1e-10)
    assert found.value == pytest.approx(np.diag(matrix).mean() - pot.emd2([], [], matrix), abs=1e-10)
    assert found.contributions.mean() == pytest.approx(found.value, abs=1e-10)
    assert found.contributions.min() >= 0
    assert found.contributions[columns == np.arange(24)].max(initial=0) < 1e-9  # pairs that the best plan has


def test_translations_have_none():
    for cost in ("squared", "distance", monge.PNorm(1.0), monge.PNorm(1.5)):
        assert monge.exact_gap(X, X + np.array([1.0, -2.0, 0.3]), cost).value < 1e-10
    # and gradients of convex functions have none of the squared distance
    assert monge.exact_gap(X, X + np.tanh(X) * 2).value < 1e-10
    assert monge.exact_gap(X, np.broadcast_to(Y[:1], X.shape)).value < 1e-10  # a constant map has its own image


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.1, 0.01])
def test_the_bias_of_the_entropy_is_between_its_bounds(share):
    exact, n = monge.exact_gap(X, Y).value, len(X)
    found = monge.gap(X, Y, epsilon=share)
    assert found.converged
    low = exact + share * np.log(n)
    assert low - 1e-9 <= float(found.entropic) <= low + share * np.log(n) + 1e-9
    assert float(found.kl) == pytest.approx(float(found.entropic) - 2 * share * np.log(n), abs=1e-12)
    assert float(found.kl) <= exact + 1e-9
    assert float(found.primal) <= exact + 1e-9
    assert float(found.contributions.mean()) == pytest.approx(float(found.entropic), abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squared", "geodesic"])
def test_the_entropic_gap_is_otts(name):
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    cost, x, y = COSTS[name]
    found, matrix = monge.gap(x, y, name, epsilon=0.3), cost(x, y)
    with jax.numpy_rank_promotion("allow"):  # ott's own code needs it
        problem = LinearProblem(Geometry(jnp.asarray(matrix), epsilon=0.3))
        theirs = Sinkhorn(threshold=1e-10, max_iterations=20_000)(problem)
    assert float(found.entropic) == pytest.approx(np.diag(matrix).mean() - float(theirs.ent_reg_cost), rel=1e-6)
    assert float(found.kl) == pytest.approx(np.diag(matrix).mean() - float(theirs.kl_reg_cost), abs=1e-6)
    assert float(found.primal) == pytest.approx(np.diag(matrix).mean() - float(theirs.primal_cost), abs=1e-6)


@pytest.mark.slow
def test_its_slope_is_that_of_the_envelope_and_of_differences():
    x, y, epsilon = jnp.asarray(X), jnp.asarray(Y), 0.2
    slope = jax.grad(monge.loss, argnums=1)(x, y, epsilon, tolerance=1e-11)
    n, matrix = len(X), np.asarray(monge.pairwise(x, y))
    plan = pot.sinkhorn(
        np.full(n, 1 / n), np.full(n, 1 / n), matrix, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=20_000
    )
    np.testing.assert_allclose(slope, 2 * (plan.T @ X - X / n), atol=1e-7)
    for debiased, cost in ((False, "squared"), (True, "squared"), (False, "distance"), (True, monge.PNorm(1.5))):

        def loss(y, debiased=debiased, cost=cost):
            return monge.loss(x, y, epsilon, cost, debiased=debiased, tolerance=1e-11)

        step = 1e-5 * RNG.normal(size=Y.shape)
        apart = (loss(y + step) - loss(y - step)) / 2
        assert float((jax.grad(loss)(y) * step).sum()) == pytest.approx(float(apart), rel=1e-5, abs=1e-12)


@pytest.mark.slow
def test_of_gaussians_it_is_a_nuclear_norm():
    half, matrix = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    covariance = half @ half.T + 0.1 * np.eye(3)
    found = float(monge.gaussian_gap(jnp.asarray(covariance), jnp.asarray(matrix)))
    mean, shift = RNG.normal(size=3), RNG.normal(size=3)
    moved = np.eye(3) - matrix
    displacement = np.trace(moved @ covariance @ moved.T) + ((mean - matrix @ mean - shift) ** 2).sum()
    best = bures(mean, covariance, matrix @ mean + shift, matrix @ covariance @ matrix.T).squared
    assert found == pytest.approx(displacement - float(best), rel=1e-9)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert float(monge.gaussian_gap(jnp.eye(2), jnp.asarray(turn))) == pytest.approx(4 * (1 - np.cos(angle)))
    assert float(monge.gaussian_gap(jnp.asarray(covariance), jnp.asarray(covariance))) == pytest.approx(0, abs=1e-10)
    x = RNG.normal(size=(1500, 2))  # of samples, which have a gap below that of their law
    assert monge.exact_gap(x, x @ turn.T).value == pytest.approx(4 * (1 - np.cos(angle)), rel=0.12)


def test_on_a_line_points_go_in_order_where_the_cost_is_convex():
    x, y = RNG.normal(size=30), RNG.normal(size=30)
    for h in (lambda t: t, lambda t: t**2, lambda t: t**3):
        matrix = h(np.abs(x[:, None] - y[None]))
        best = matrix[optimize.linear_sum_assignment(matrix)].mean()
        assert float(monge.line_gap(x, y, h)) == pytest.approx(np.diag(matrix).mean() - best, abs=1e-10)
    x, y, root = (
        np.array([0.0, 1.0]),
        np.array([1.0, 2.0]),
        lambda t: jnp.sqrt(t),
    )  # to move 0 to 2 and leave 1 is cheaper
    own = monge.exact_gap(x[:, None], y[:, None], lambda p, q: root(jnp.abs(p - q) + 1e-300).sum())
    assert own.value == pytest.approx(1 - np.sqrt(2) / 2)
    assert float(monge.line_gap(x, y, root)) == pytest.approx(0)


def test_it_is_convex_in_where_points_go_and_scales_with_them():
    ends = [RNG.normal(size=(12, 2)) for _ in range(6)]
    x = RNG.normal(size=(12, 2))
    values = [float(monge.gap(x, y, epsilon=0.1).entropic) for y in ends]
    for i in range(0, 6, 2):
        middle = float(monge.gap(x, (ends[i] + ends[i + 1]) / 2, epsilon=0.1).entropic)
        assert middle <= (values[i] + values[i + 1]) / 2 + 1e-9
    assert monge.exact_gap(x, 3 * ends[0]).value == pytest.approx(3 * monge.exact_gap(x, ends[0]).value, rel=1e-9)
    mixed = RNG.permutation(12)
    assert monge.exact_gap(x[mixed], ends[0][mixed]).value == pytest.approx(
        monge.exact_gap(x, ends[0]).value, abs=1e-10
    )


@pytest.mark.slow
def test_without_the_bias_a_translation_has_none_at_any_epsilon():
    x = jnp.asarray(X)
    for epsilon in (0.05, 1.0):
        assert abs(float(monge.loss(x, x + 1.0, epsilon, debiased=True, tolerance=1e-10))) < 1e-6
        assert float(monge.loss(x, x + 1.0, epsilon)) > epsilon * np.log(24) - 1e-6
    assert float(monge.divergence(x, x[::-1], 0.3)) == pytest.approx(0, abs=1e-6)
    assert float(monge.divergence(x, jnp.asarray(Y[:10]), 0.3)) > 0


@pytest.mark.slow
def test_a_field_is_a_gradient_where_its_jacobian_is_symmetric():
    matrix = jnp.asarray(RNG.normal(size=(3, 3)))
    wanted = float(((matrix - matrix.T) ** 2).sum())
    found = monge.conservativity(lambda x: matrix @ x, jnp.asarray(X[:5]), jax.random.key(0), 20_000)
    assert float(found) == pytest.approx(wanted, rel=0.02)
    potential = lambda x: jnp.sin(x).prod() + (x**4).sum()  # noqa: E731
    assert float(monge.conservativity(jax.grad(potential), jnp.asarray(X), jax.random.key(1), 3)) < 1e-20


def test_the_sphere_has_an_angle_and_a_slope_everywhere():
    x = jnp.asarray(SPHERE[0])
    for y in (x, -x, jnp.asarray(SPHERE[1])):
        value, slope = jax.value_and_grad(lambda y: monge.of_pairs(x, y, "geodesic").sum())(y)
        assert 0 <= float(value) <= 24 * np.pi + 1e-9
        assert np.isfinite(slope).all()
    assert float(monge.of_pairs(x, x, "geodesic").max()) == 0
    np.testing.assert_allclose(monge.of_pairs(x, -x, "geodesic"), np.pi, rtol=1e-14)


@pytest.mark.slow
def test_an_entropic_map_goes_where_the_plan_does_and_beyond():
    from lab import ot

    problem = ot.from_points(X, Y)
    solved = ot.solve(problem, ot.Entropic(0.5), tolerance=1e-11)
    moved = monge.entropic_map(jnp.asarray(Y), solved.beta, 0.5)
    np.testing.assert_allclose(moved(jnp.asarray(X)), 24 * np.asarray(solved.plan()) @ Y, atol=1e-8)
    far = np.asarray(moved(jnp.asarray(100 * X[:3])))
    assert (far >= Y.min(axis=0) - 1e-9).all()
    assert (far <= Y.max(axis=0) + 1e-9).all()
    mean = np.broadcast_to(Y.mean(axis=0), Y.shape)
    assert float(monge.unexplained(jnp.asarray(mean), jnp.asarray(Y), Y.var(axis=0).sum())) == pytest.approx(100)


@pytest.mark.slow
def test_a_gap_that_did_not_converge_warns():
    with pytest.warns(NotConverged, match=r"lab\.ot\.monge\.gap did not converge"):
        monge.gap(X, Y, tolerance=1e-30)


@pytest.mark.slow
def test_one_point_and_equal_points_have_none():
    for x in (X[:1], np.zeros((5, 2))):
        assert monge.exact_gap(x, x + 1).value == 0
        assert float(monge.gap(x, x + 1).kl) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("told", "call"),
    [
        (r"shapes \(24, 3\) and \(23, 3\)", lambda: monge.gap(X, Y[1:])),
        ("50,000 points, but a cost of each pair is kept", lambda: monge.exact_gap(*2 * [np.zeros((50_000, 1))])),
        (r"two tables \(n, d\)", lambda: monge.exact_gap(X[0], Y[0])),
        ("epsilon = 0, but it must be positive; without an entropy exact_gap", lambda: monge.gap(X, Y, epsilon=0)),
        ("y has values that are not finite, the first in row 2", lambda: monge.gap(X, np.where(X[2] == X, np.nan, Y))),
        ("x is off the unit sphere by", lambda: monge.exact_gap(X, Y, "geodesic")),
        ("cost = 'manhattan'", lambda: monge.gap(X, Y, "manhattan")),
        ("epsilon = -1 is not allowed", lambda: monge.loss(X, Y, -1.0)),
        ("epsilon = 0 is not allowed", lambda: monge.divergence(X, Y, 0.0)),
        ("covariance has the eigenvalue -1", lambda: monge.gaussian_gap(-np.eye(2), np.eye(2))),
        ("p = 0.5, but it must be at least 1", lambda: monge.PNorm(0.5)),
        (r"two lists of one length \(n,\)", lambda: monge.line_gap(X, Y, jnp.square)),
    ],
)
def test_what_does_not_fit_is_refused(told, call):
    with pytest.raises(ValueError, match=told):
        call()


@pytest.mark.slow
def test_float32_stays_float32_and_agrees():
    x, y = (jnp.asarray(points, jnp.float32) for points in (X, Y))
    narrow, wide = monge.gap(x, y, epsilon=1.0), monge.gap(X, Y, epsilon=1.0)
    for name in ("entropic", "kl", "primal", "displacement", "contributions"):
        found = getattr(narrow, name)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, getattr(wide, name), atol=2e-4)
    assert narrow.converged
    for value in (monge.loss, monge.divergence):
        assert value(x, y, 0.1).dtype == jnp.float32
        assert float(value(x, y, 0.1)) == pytest.approx(float(value(jnp.asarray(X), jnp.asarray(Y), 0.1)), abs=2e-4)
