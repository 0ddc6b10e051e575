"""Semi-discrete transport: closed forms, differences, invariances, POT on a grid and OTT's solver."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy import stats

from lab.numerics import Chunked, Reason
from lab.numerics.differentiation import NotDifferentiableError
from lab.ot import power_cells, semidiscrete

DRAWS = np.random.default_rng(3)
Y = DRAWS.uniform(0.1, 0.9, (12, 2))
NU = DRAWS.dirichlet(3 * np.ones(12))


@pytest.fixture(scope="module")
def square():
    return semidiscrete.in_square(Y, NU)


@pytest.mark.parametrize(("source", "cost"), [("uniform", 1.0053333), ("gaussian", 0.9550368891)])
def test_on_a_line_in_closed_form(source, cost):
    y, nu = np.array([0.2, 3.0, -1.0, 0.7]), np.array([0.4, 0.2, 0.1, 0.3])
    found = semidiscrete.on_line(y, nu, source)
    assert float(found.cost) == pytest.approx(cost, abs=5e-8)
    law = stats.uniform() if source == "uniform" else stats.norm()
    x = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    where = np.asarray(semidiscrete.assign(found.heights, jnp.asarray(y[:, None]), jnp.asarray(x[:, None])))
    np.testing.assert_allclose(np.bincount(where, minlength=4) / 200_000, nu, atol=2e-5)
    assert float(found.heights.mean()) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_two_points_in_many_dimensions():
    rng = np.random.default_rng(1)
    y, nu, d = rng.normal(size=(2, 5)), np.array([0.3, 0.7]), 5
    length, cut = np.linalg.norm(y[1] - y[0]), stats.norm.ppf(0.3)
    found = semidiscrete.by_samples(
        lambda key, n: jax.random.normal(key, (n, d)), y, nu, key=jax.random.key(0), iterations=600
    )
    # h_1 - h_2 = |y_2 - y_1| F(nu_1) - (|y_1|^2 - |y_2|^2) / 2 would be that of points at the same distance from 0
    level = float(found.heights[0] - found.heights[1])
    assert level == pytest.approx(length * cut, abs=0.02 * length)
    cost = d + nu @ (y**2).sum(1) - 2 * length * stats.norm.pdf(cut) - 2 * 0.0
    assert float(found.cost) == pytest.approx(cost, rel=0.02)


def test_the_square_of_the_sheet(square):
    assert int(square.reason) == Reason.CONVERGED
    assert int(square.iterations) == 4
    assert float(square.cost) == pytest.approx(0.030535287850, abs=1e-11)
    np.testing.assert_allclose(square.masses, NU, atol=1e-12)
    assert float(square.masses.sum()) == pytest.approx(1, abs=1e-12)
    # what the dual says: E |x|^2 = 2/3 on the square
    h = np.asarray(square.heights)
    moment = sum(_integral(polygon, point, level) for polygon, point, level in zip(square.polygons, Y, h, strict=True))
    assert 2 / 3 + NU @ (Y**2).sum(1) - 2 * (moment - NU @ h) == pytest.approx(float(square.cost), abs=1e-10)


def _integral(polygon, point, level):
    """Of <x, point> + level over a polygon, by triangles from its first corner."""
    total = 0.0
    for a, b in pairwise(polygon[1:]):
        u, v = a - polygon[0], b - polygon[0]
        area = abs(u[0] * v[1] - u[1] * v[0]) / 2
        total += area * (point @ (polygon[0] + a + b) / 3 + level)
    return total


def test_slopes_are_those_of_the_areas():
    h = np.asarray(semidiscrete.voronoi(jnp.asarray(Y))) + 0.01 * np.random.default_rng(2).normal(size=12)
    cut = power_cells.whole(Y, h)
    slope = cut.slope.toarray()
    np.testing.assert_allclose(slope, slope.T, atol=1e-12)
    np.testing.assert_allclose(slope.sum(1), 0, atol=1e-12)
    assert np.linalg.eigvalsh(slope)[0] > -1e-12
    for j in (0, 5, 11):
        change = 1e-6 * np.eye(12)[j]
        numeric = (power_cells.whole(Y, h + change).area - power_cells.whole(Y, h - change).area) / 2e-6
        np.testing.assert_allclose(slope[:, j], numeric, atol=1e-6)
    np.testing.assert_allclose(power_cells.whole(Y, h + 3.0).area, cut.area, atol=1e-12)


def test_cells_are_where_points_are_assigned(square):
    x = np.random.default_rng(4).uniform(size=(2000, 2))
    where = np.asarray(semidiscrete.assign(square.heights, jnp.asarray(Y), jnp.asarray(x)))
    for i, polygon in enumerate(square.polygons):
        edge = np.roll(polygon, -1, axis=0) - polygon
        apart = x[:, None] - polygon[None]
        inside = (edge[None, :, 0] * apart[..., 1] - edge[None, :, 1] * apart[..., 0] >= 0).all(1)
        np.testing.assert_array_equal(inside, where == i)
    nearest = ((x[:, None] - Y[None]) ** 2).sum(2).argmin(1)
    found = semidiscrete.assign(semidiscrete.voronoi(jnp.asarray(Y)), jnp.asarray(Y), jnp.asarray(x))
    np.testing.assert_array_equal(found, nearest)
    for block in (1, 7, 12, 50):
        np.testing.assert_array_equal(semidiscrete.assign(square.heights, jnp.asarray(Y), jnp.asarray(x), block), where)
    mapped = Y[where]
    order = np.random.default_rng(5).permutation(2000)
    cycle = (x[order] * (mapped[order] - np.roll(mapped[order], -1, axis=0))).sum()
    assert cycle >= -1e-12


def test_it_is_pots_on_a_grid(square):
    side = (np.arange(50) + 0.5) / 50
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    cost = pot.emd2([], NU, pot.dist(grid, Y))
    assert float(square.cost) == pytest.approx(cost, abs=2e-4)


def test_moved_scaled_and_permuted(square):
    order = np.random.default_rng(6).permutation(12)
    again = semidiscrete.in_square(Y[order], NU[order])
    np.testing.assert_allclose(again.heights, np.asarray(square.heights)[order], atol=1e-10)
    scaled = semidiscrete.in_square(0.5 * Y, NU, heights=0.5 * np.asarray(square.heights))
    assert int(scaled.iterations) == 0
    shifted = semidiscrete.in_square(Y + 0.05, NU, heights=np.asarray(square.heights) - 0.05 * Y.sum(1) * 0)
    np.testing.assert_allclose(shifted.heights, square.heights, atol=1e-10)
    corners = semidiscrete.in_square([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]])
    np.testing.assert_allclose(
        corners.heights + (np.array([0.08, 0.68, 0.68, 1.28]) / 2), corners.heights[0] + 0.04, atol=1e-12
    )


@pytest.mark.slow
def test_many_points_and_collinear_ones():
    rng = np.random.default_rng(7)
    y, nu = rng.uniform(0.02, 0.98, (200, 2)), rng.dirichlet(np.full(200, 2.0))
    found = semidiscrete.in_square(y, nu)
    assert int(found.reason) == Reason.CONVERGED
    np.testing.assert_allclose(found.masses, nu, atol=1e-11)
    line = semidiscrete.in_square(np.column_stack([np.linspace(0.1, 0.9, 7), np.full(7, 0.4)]))
    exact = semidiscrete.on_line(np.linspace(0.1, 0.9, 7))
    height = ((np.array([1.0]) - 0.4) ** 3 + 0.4**3)[0] / 3
    assert float(line.cost) == pytest.approx(float(exact.cost) + height, abs=1e-10)


@pytest.mark.slow
def test_by_samples_comes_to_the_exact_heights_and_reports(square):
    found = semidiscrete.by_samples(
        lambda key, n: jax.random.uniform(key, (n, 2)), Y, NU, key=jax.random.key(1), iterations=1500, rate=0.005
    )
    assert float(jnp.abs(found.heights - square.heights).max()) < 4e-3
    assert float(jnp.abs(found.masses - NU).sum() / 2) < 0.4 * np.sqrt(12 / (16 * 4096)) + 0.006
    assert float(found.cost) == pytest.approx(float(square.cost), rel=0.02)
    stopped = semidiscrete.by_samples(
        lambda key, n: jax.random.uniform(key, (n, 2)),
        Y,
        NU,
        key=jax.random.key(1),
        loop=Chunked(report=lambda _: True),
    )
    assert int(stopped.reason) == Reason.STOPPED


def test_energy_is_convex_with_the_gradient_of_the_masses():
    """E(h) by its integral over the cells: differences give w - nu, and the solution is its least value."""
    rng = np.random.default_rng(9)
    h = np.asarray(semidiscrete.voronoi(jnp.asarray(Y))) + 0.01 * rng.normal(size=12)

    def energy(h):
        cut = power_cells.whole(Y, h)
        return sum(_integral(*each) for each in zip(cut.polygons, Y, h, strict=True)) - NU @ h

    for j in (1, 7):
        change = 1e-5 * np.eye(12)[j]
        numeric = (energy(h + change) - energy(h - change)) / 2e-5
        assert numeric == pytest.approx(power_cells.whole(Y, h).area[j] - NU[j], abs=1e-6)
    best = np.asarray(semidiscrete.in_square(Y, NU).heights)
    assert all(energy(best + 0.01 * rng.normal(size=12)) > energy(best) for _ in range(5))


def test_potentials_are_heights(square):
    x = np.random.default_rng(12).uniform(size=(2000, 2))
    h = np.asarray(square.heights)
    g = 2 * h + (Y**2).sum(1)
    by_distance = (((x[:, None] - Y[None]) ** 2).sum(2) - g).argmin(1)
    np.testing.assert_array_equal(by_distance, semidiscrete.assign(square.heights, jnp.asarray(Y), jnp.asarray(x)))


def test_newtons_way_is_kept(square):
    assert square.path.shape == (5, 12)
    np.testing.assert_allclose(square.path[-1], square.heights, atol=1e-14)
    np.testing.assert_allclose(square.path[0], semidiscrete.voronoi(jnp.asarray(Y)), atol=1e-14)
    gone = [np.linalg.norm(power_cells.whole(Y, h).area - NU) for h in square.path]
    assert (np.diff(gone) < 0).all()


def test_points_on_a_line_cut_strips():
    """Upright, where heights are known; and aslant in four knots of points that are 1e-5 apart, where rounding is soon all
    that is left."""
    rng = np.random.default_rng(8)
    t, weights = np.sort(rng.uniform(0.1, 0.9, 30)), rng.dirichlet(np.ones(30))
    mixed = rng.permutation(30)
    found = semidiscrete.in_square(np.c_[np.full(30, 0.3), t][mixed], weights[mixed])
    assert found.reason == Reason.CONVERGED
    np.testing.assert_allclose(found.masses, weights[mixed], atol=1e-12)
    edges = np.cumsum(weights)[:-1]  # between neighbours <x, y> + h agree: h_i - h_{i+1} = (t_{i+1} - t_i) edge
    heights = np.r_[0, -np.cumsum(np.diff(t) * edges)]
    np.testing.assert_allclose(np.asarray(found.heights)[np.argsort(mixed)], heights - heights.mean(), atol=1e-10)
    knots = 0.2 + 0.2 * np.repeat(np.arange(4), 10) + 1e-5 * np.arange(40) * (1 + 0.2 * rng.uniform(size=40))
    aslant = semidiscrete.in_square(np.c_[knots, knots])
    assert aslant.reason == Reason.CONVERGED
    assert aslant.iterations < 10
    np.testing.assert_allclose(aslant.masses, 1 / 40, atol=1e-10)


@pytest.mark.slow
def test_masses_come_to_their_floor_from_far_away():
    """200 targets far from the source: the start has hardly an empty cell, the end is at the error of its estimate."""
    y = 40 + 7 * np.random.default_rng(13).normal(size=(200, 3))
    found = semidiscrete.by_samples(
        semidiscrete.Uniform(3), y, key=jax.random.key(2), iterations=400, batch=2048, marks=(0, 100, 400), tested=50
    )
    trace = {name: np.asarray(rows) for name, rows in found.trace.items()}
    assert trace["empty"][0] < 50
    apart = 0.5 * np.abs(np.asarray(found.masses) - 1 / 200).sum()
    least = float(semidiscrete.floor(jnp.full(200, 1 / 200), 50 * 2048).total_variation)
    assert least < apart < 1.7 * least
    # a batch's own masses miss as much as those of any 2048 points
    floor = semidiscrete.floor(jnp.full(200, 1 / 200), 2048)
    assert trace["apart"][-50:].mean() == pytest.approx(float(floor.total_variation), rel=0.05)
    assert (trace["norm"][-50:] ** 2).mean() == pytest.approx(float(floor.norm) ** 2, rel=0.1)
    assert found.path.shape == (3, 200)
    np.testing.assert_array_equal(found.path[-1] - found.path[-1].mean(), found.heights)
    start = semidiscrete.matched(semidiscrete.Uniform(3), jnp.asarray(y), jax.random.key(2))
    np.testing.assert_allclose(found.path[0], start, atol=1e-9)


@pytest.mark.slow
def test_more_points_where_the_gradient_gets_no_shorter():
    found = semidiscrete.by_samples(
        semidiscrete.Uniform(2), Y, NU, key=jax.random.key(1), iterations=300, batch=256, patience=20, rate=0.005
    )
    points = np.asarray(found.trace["points"])
    assert points[0] == 256
    assert points[-1] == 256 * 8
    assert set(points) == {256.0, 512.0, 1024.0, 2048.0}


def test_the_floor_is_the_mean_of_draws():
    rng = np.random.default_rng(10)
    nu = rng.dirichlet(np.ones(30))
    draws = rng.multinomial(500, nu, size=4000) / 500 - nu
    floor = semidiscrete.floor(jnp.asarray(nu), 500)
    found = 0.5 * np.abs(draws).sum(1)
    assert float(floor.total_variation) == pytest.approx(found.mean(), abs=4 * found.std() / 4000**0.5)
    assert float(floor.norm) == pytest.approx(np.sqrt((draws**2).sum(1).mean()), rel=0.02)
    equal = semidiscrete.floor(jnp.full(400, 1 / 400), 2e5)
    assert float(equal.total_variation) == pytest.approx(0.4 * np.sqrt(400 / 2e5), rel=0.01)


@pytest.mark.slow
def test_fifty_thousand_targets_without_the_matrix():
    """Memory of the compiled program: the scores of all pairs would take 800 MB."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in ((50_000,), (50_000, 16), (2000, 16))]
    compiled = jax.jit(semidiscrete.assign).lower(*shapes).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 40e6
    rng = np.random.default_rng(14)
    h, y, x = rng.normal(size=50_000), rng.normal(size=(50_000, 16)), rng.normal(size=(2000, 16))
    found = np.asarray(compiled(h, y, x))
    np.testing.assert_array_equal(found[:40], (x[:40] @ y.T + h).argmax(1))


def test_the_map_misses_no_more_than_its_masses():
    """W2^2 of the image of the map from nu is at most diam^2 TV, for heights that are not balanced."""
    h = semidiscrete.voronoi(jnp.asarray(Y))
    area = power_cells.whole(Y, np.asarray(h)).area
    apart = pot.emd2(area / area.sum(), NU, pot.dist(Y, Y))
    squared = ((Y[:, None] - Y[None]) ** 2).sum(2).max()
    assert 0 < apart <= squared * 0.5 * np.abs(area - NU).sum()


@pytest.mark.slow
def test_it_is_otts():
    import optax
    from ott.geometry import costs, semidiscrete_pointcloud
    from ott.solvers import linear

    geometry = semidiscrete_pointcloud.SemidiscretePointCloud(
        lambda rng, shape, dtype=None: jax.random.uniform(rng, shape, dtype or jnp.float64),
        jnp.asarray(Y),
        cost_fn=costs.SqEuclidean(),
        epsilon=0.0,
    )
    with jax.numpy_rank_promotion("allow"):
        out = linear.solve_semidiscrete(
            geometry,
            b=jnp.asarray(NU),
            rng=jax.random.key(0),
            num_iterations=500,
            batch_size=512,
            optimizer=optax.sgd(0.05),
            error_eval_every=500,
            error_batch_size=4096,
            potential_ema=0.01,
        )
    theirs = (np.asarray(out.g) - (Y**2).sum(1)) / 2
    ours = np.asarray(semidiscrete.in_square(Y, NU).heights)
    np.testing.assert_allclose(theirs - theirs.mean(), ours - ours.mean(), atol=0.01)


@pytest.mark.slow
def test_the_cost_by_samples_has_a_standard_error():
    runs = [
        semidiscrete.by_samples(
            semidiscrete.Uniform(2),
            Y,
            NU,
            key=jax.random.key(9),
            iterations=1,
            batch=64,
            tested=tested,
            heights=np.zeros(12),
        )
        for tested in (1, 400)
    ]
    few, many = (float(found.standard_error) for found in runs)
    assert few / many == pytest.approx(20, rel=0.3)
    x = np.random.default_rng(0).random((20_000, 2))
    each = ((x - Y[np.asarray(semidiscrete.assign(runs[1].heights, Y, x))]) ** 2).sum(axis=1)
    assert many == pytest.approx(each.std() / np.sqrt(400 * 64), rel=0.05)
    assert float(runs[1].cost) == pytest.approx(each.mean(), abs=5 * (many + each.std() / np.sqrt(20_000)))


def test_chi_squared_has_no_bias():
    assert float(semidiscrete.chi_squared([3, 1], [0.5, 0.5])) == 0
    rng = np.random.default_rng(8)
    w = rng.dirichlet(np.full(6, 5.0))
    exact = ((w - 1 / 6) ** 2 * 6).sum()
    found = [
        float(semidiscrete.chi_squared(jnp.asarray(rng.multinomial(400, w)), jnp.full(6, 1 / 6))) for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / 20)


@pytest.mark.parametrize(
    ("y", "weights", "sentence"),
    [
        ([[0.5, 0.5]], None, "at least two points"),
        ([[0.5, 0.5], [0.5, 0.5]], None, "some points of y are equal"),
        ([[0.5, np.nan], [0.5, 0.5]], None, "not finite"),
        ([[0.2, 0.5], [0.5, 0.5]], [0.5], r"the weights have shape \(1,\)"),
        ([[0.2, 0.5], [0.5, 0.5]], [0.5, 0.6], "the weights sum to 1.1"),
        ([[0.2, 0.5], [0.5, 0.5]], [1.5, -0.5], "must be positive"),
        ([[0.2, 0.5, 0.1], [0.5, 0.5, 0.1]], None, "points in the plane"),
        ([[0.2, 0.5], [0.3, 5.0], [0.3, 6.0]], None, "is empty to begin with"),
    ],
)
def test_bad_input_gets_a_sentence(y, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        semidiscrete.in_square(np.array(y), None if weights is None else np.array(weights))


def test_a_source_and_heights_that_do_not_fit_get_a_sentence():
    key = jax.random.key(0)
    for asked, said in (
        ({"draw": semidiscrete.Gaussian(3)}, r"the source draws \(2, 3\), but \(2, 2\) is needed"),
        ({"heights": np.zeros(5)}, r"heights have shape \(5,\), but one for each of the 12 points"),
        ({"heights": np.full(12, np.nan)}, "some heights are NaN"),
        ({"tested": 0}, "tested = 0"),
    ):
        with pytest.raises(ValueError, match=said):
            semidiscrete.by_samples(**({"draw": semidiscrete.Gaussian(2), "y": Y, "key": key} | asked))
    with pytest.raises(ValueError, match=r"heights have shape \(3,\)"):
        semidiscrete.in_square(Y, heights=np.zeros(3))
    with pytest.raises(ValueError, match="m = 3 as in heights"):
        semidiscrete.assign(np.zeros(3), Y, Y)
    with pytest.raises(ValueError, match="dimension = 0"):
        semidiscrete.Gaussian(0)


def test_derivatives_of_cells_in_the_square():
    """The gradient of the cost is the envelope theorem's; with a start of one's own too; second differences of the cost."""
    start = 0.9 * np.asarray(semidiscrete.voronoi(jnp.asarray(Y)))

    def cost(y, weights):
        return semidiscrete.in_square(y, weights, start).cost

    found = semidiscrete.in_square(Y, NU)
    places, masses = jax.grad(cost, (0, 1))(jnp.asarray(Y), jnp.asarray(NU))
    moment = np.stack([_first_moment(polygon) for polygon in found.polygons])
    np.testing.assert_allclose(places, 2 * (NU[:, None] * Y - moment), atol=1e-9)
    price = (Y**2).sum(1) + 2 * np.asarray(found.heights)
    np.testing.assert_allclose(masses - masses.mean(), price - price.mean(), atol=1e-9)
    move = np.random.default_rng(0).normal(size=Y.shape)
    ends = [jax.grad(cost)(jnp.asarray(Y + side * 1e-5 * move), NU) for side in (1, -1)]
    bent = jax.jvp(lambda y: jax.grad(cost)(y, NU), (jnp.asarray(Y),), (jnp.asarray(move),))[1]
    np.testing.assert_allclose(bent, (ends[0] - ends[1]) / 2e-5, atol=1e-6)
    with pytest.raises(NotDifferentiableError, match="Newton"):
        jax.grad(lambda y: semidiscrete.in_square(y, NU).path[1].sum())(jnp.asarray(Y))
    with pytest.raises(NotDifferentiableError, match="jit"):
        jax.jit(cost)(Y, NU)


def _first_moment(polygon):
    after = np.roll(polygon, -1, axis=0)
    cross = polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]
    return ((polygon + after) * cross[:, None]).sum(axis=0) / 6
