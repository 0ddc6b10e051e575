"""Trainings, fits, projection and selection: against scikit-learn's formulas, scipy, numpy and differences."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from scipy.special import logsumexp

from lab.numerics import Chunked
from lab.studies.valuation import pilots
from lab.valuation import designs, distance, draws, fits, logistic, projection, selection

RNG = np.random.default_rng(11)
GRID = designs.simplex_grid(3, 10)
OT = 2 + ((GRID - np.array([0.5, 0.2, 0.3])) ** 2).sum(1) + 0.1 * np.sin(9 * GRID[:, 0])


# ---- draws and trainings -------------------------------------------------------------------------------------------


def test_draws_are_multinomial():
    source = jnp.asarray(np.repeat(np.arange(3), (5, 3, 2)))
    p = np.tile([[0.5, 0.3, 0.2]], (600, 1))
    drawn = np.asarray(draws.counts(jax.random.key(1), jnp.asarray(p), source, 40.0, 64))
    assert (drawn.sum(1) == 40).all()
    assert (drawn == np.round(drawn)).all()
    mass = np.repeat([0.1, 0.1, 0.1], (5, 3, 2))
    np.testing.assert_allclose(drawn.mean(0), 40 * mass, rtol=0.08)
    np.testing.assert_allclose(drawn.var(0), 40 * mass * (1 - mass), rtol=0.25)
    of_source = np.stack([drawn[:, np.asarray(source) == i].sum(1) for i in range(3)])
    np.testing.assert_allclose(of_source.var(1), 40 * p[0] * (1 - p[0]), rtol=0.2)
    assert np.cov(of_source[0], of_source[1])[0, 1] == pytest.approx(-40 * 0.5 * 0.3, rel=0.3)
    alone = np.asarray(draws.counts(jax.random.key(1), jnp.asarray(np.tile([[0, 1.0, 0]], (600, 1))), source, 17.0, 64))
    assert (alone.sum(1) == 17).all()
    assert (alone[:, [0, 4, 8, 9]] == 0).all()


def test_labels_are_flipped_at_the_rate_and_only_where_asked():
    labels, among = jnp.asarray(RNG.integers(0, 10, 4000)), jnp.arange(4000) < 3000
    kept = jnp.arange(4000) % 10 == 0
    some = np.asarray(draws.flipped(jax.random.key(0), labels, 10, 0.3, among, kept)) != labels
    more = np.asarray(draws.flipped(jax.random.key(0), labels, 10, 0.6, among, kept))
    assert some[:3000][~kept[:3000]].mean() == pytest.approx(0.3, abs=0.03)
    assert not some[3000:].any()
    assert not some[kept].any()
    assert ((more != labels) >= some).all()  # what is wrong stays wrong
    steps = (more - np.asarray(labels))[more != labels] % 10
    np.testing.assert_allclose(np.bincount(steps, minlength=10)[1:] / steps.size, 1 / 9, atol=0.03)
    assert (np.asarray(draws.flipped(jax.random.key(0), labels, 10, 0.0, among)) == labels).all()


def by_scipy(weights, x, labels, penalty):
    """The optimum of one weighted regression."""
    d, one_hot = x.shape[1], np.eye(3)[labels]

    def loss(flat):
        w, b = flat[: 3 * d].reshape(d, 3), flat[3 * d :]
        scores = x @ w + b
        total = logsumexp(scores, axis=1)
        apart = weights[:, None] * (np.exp(scores - total[:, None]) - one_hot)
        value = weights @ (total - (scores * one_hot).sum(1)) + penalty / 2 * (w**2).sum()
        return value, np.r_[(x.T @ apart + penalty * w).ravel(), apart.sum(0)]

    found = optimize.minimize(
        loss, np.zeros(3 * d + 3), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 4000}
    )
    return found.x[: 3 * d].reshape(d, 3), found.x[3 * d :]


def test_regressions_side_by_side_are_those_of_scipy():
    x, labels = RNG.normal(size=(60, 5)), RNG.integers(0, 3, 60)
    x += np.eye(3, 5)[labels]
    weights = RNG.multinomial(40, np.full(60, 1 / 60), size=4).astype(float)
    given = jnp.asarray(weights), jnp.asarray(x), jnp.asarray(labels)
    found = logistic.train(*given, 3, 0.3, steps=3000)
    assert int(found.reason) == 1
    for theta, w in zip(np.asarray(found.theta), weights, strict=True):
        slopes, b = by_scipy(w, x, labels, 0.3)
        np.testing.assert_allclose(theta[:-1], slopes, atol=2e-6)
        np.testing.assert_allclose(theta[-1] - theta[-1].mean(), b - b.mean(), atol=2e-6)
    stopped = logistic.train(*given, 3, 0.3, steps=3000, loop=Chunked(lambda told: told.iteration > 2))
    assert int(stopped.reason) == 4
    judged = logistic.judge(found.theta, given[1], given[2])
    scores = x @ np.asarray(found.theta)[0][:-1] + np.asarray(found.theta)[0][-1]
    assert float(judged.accuracy[0]) == pytest.approx(100 * (scores.argmax(1) == labels).mean(), abs=1e-12)
    told = -(scores - logsumexp(scores, axis=1)[:, None])[np.arange(60), labels].mean()
    assert float(judged.loss[0]) == pytest.approx(told, rel=1e-12)
    for settings in ({"steps": 0}, {"penalty": 0.0}):
        with pytest.raises(ValueError, match="both must be above 0"):
            logistic.train(*given, 3, **settings)


# ---- fits ----------------------------------------------------------------------------------------------------------


def test_columns_are_those_of_the_sheet():
    counts = {"linear-OT": 2, "PQ-OT": 10, "notebook": 8, "linear": 3, "quadratic": 5}
    p, t = GRID[7], OT[7]
    for model, known in counts.items():
        assert fits.count(model, 3) == known
        assert fits.columns(jnp.asarray(p), jnp.asarray(t), model).shape == (known - 1,)
    a, b = p[:2]
    np.testing.assert_allclose(
        fits.columns(jnp.asarray(p), jnp.asarray(t), "PQ-OT"),
        [a, b, a * a, b * b, t, a * t, b * t, a * a * t, b * b * t],
    )
    np.testing.assert_allclose(
        fits.columns(jnp.asarray(p), jnp.asarray(t), "notebook"), [a, b, t, a * t, b * t, a * a * t, b * b * t]
    )
    assert fits.count("PQ-OT", 5) == 18


@pytest.mark.parametrize("model", fits.MODELS)
def test_coefficients_without_noise_come_back(model):
    columns = np.asarray(fits.columns(jnp.asarray(GRID), jnp.asarray(OT), model))
    wanted = RNG.normal(size=columns.shape[1])
    y = 3.0 + columns @ wanted
    found = fits.fit(GRID, OT, y, model)
    assert float(found.intercept) == pytest.approx(3.0, abs=1e-6)
    np.testing.assert_allclose(found.slopes[: wanted.size], wanted, atol=1e-6)
    np.testing.assert_array_equal(found.slopes[wanted.size :], 0)
    np.testing.assert_allclose(fits.predict(found, jnp.asarray(GRID), jnp.asarray(OT), model), y, atol=1e-9)
    z = (columns - columns.mean(0)) / columns.std(0)
    assert float(found.condition) == pytest.approx(np.linalg.cond(z), rel=1e-6)


def test_least_squares_and_ridge_are_those_of_numpy():
    y = RNG.normal(size=66) + 4 * OT
    columns = np.asarray(fits.columns(jnp.asarray(GRID), jnp.asarray(OT), "PQ-OT"))
    among = RNG.random(66) < 0.6
    plain = fits.fit(GRID, OT, y, weights=among.astype(float))
    known = np.linalg.lstsq(np.c_[np.ones(among.sum()), columns[among]], y[among], rcond=None)[0]
    np.testing.assert_allclose(np.r_[plain.intercept, plain.slopes], known, rtol=1e-6)
    mean, spread = columns.mean(0), columns.std(0)
    z = (columns - mean) / spread
    beta = np.linalg.solve(z.T @ z + 0.3 * np.eye(9), z.T @ (y - y.mean()))
    ridge = fits.fit(GRID, OT, y, ridge=0.3)
    np.testing.assert_allclose(ridge.slopes, beta / spread, rtol=1e-9)
    assert float(ridge.intercept) == pytest.approx(y.mean() - mean @ (beta / spread), rel=1e-9)


def test_fewer_mixtures_than_columns_are_told_and_held():
    few = np.zeros(66)
    few[RNG.permutation(66)[:8]] = 1
    with pytest.warns(UserWarning, match=r"8 mixtures for the 10 columns of PQ-OT: ridge 0.3"):
        found = fits.fit(GRID, OT, OT, weights=few)
    assert float(found.ridge) == 0.3
    assert np.isfinite(found.slopes).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(fits.fit(GRID, OT, OT, weights=few, ridge=0.1).ridge) == 0.1
        assert float(fits.fit(GRID, OT, OT, "linear", weights=few).ridge) == 0
    with pytest.raises(ValueError, match="model = 'cubic'"):
        fits.fit(GRID, OT, OT, "cubic")


@pytest.mark.parametrize(
    ("told", "call"),
    [
        (r"distance has shape \(5,\)", lambda: fits.fit(GRID, OT[:5], OT)),
        (r"y\[\d+\] = nan is not allowed", lambda: fits.fit(GRID, OT, np.where(OT > 2.3, np.nan, OT))),
        ("weights are all 0", lambda: fits.fit(GRID, OT, OT, weights=0 * OT)),
        (r"weights\[0\] = -1 is not allowed", lambda: fits.fit(GRID, OT, OT, weights=np.r_[-1, OT[1:]])),
        (r"weights\[0\] = nan is not allowed", lambda: fits.fit(GRID, OT, OT, weights=np.r_[np.nan, OT[1:]])),
        ("ridge = -5 is not allowed", lambda: fits.fit(GRID, OT, OT, ridge=-5)),
        ("weights are all 0", lambda: fits.errors(OT, OT, 0 * OT)),
        ("p and distance have shapes", lambda: fits.predict(fits.fit(GRID, OT, OT), GRID, OT[:3], "PQ-OT")),
        ("at_first = -0.5 is not allowed", lambda: projection.project(4, 1, 2, -0.5, 0.4, "log-loss")),
        ("at_second = 0 is not allowed", lambda: projection.project(4, 1, 2, 0.5, 0.0, "log-loss")),
        ("at_first = nan is not allowed", lambda: projection.project(4, 1, 2, np.nan, 0.4)),
        ("shares of at least 0 with sum 1", lambda: draws.counts(jax.random.key(0), [[0.5, 0.2]], [0, 1], 2, 4)),
        ("size = 9 is not allowed", lambda: draws.counts(jax.random.key(0), [[0.5, 0.5]], [0, 1], 9, 4)),
        ("each source needs points", lambda: draws.counts(jax.random.key(0), [[0.5, 0.5]], [0, 0], 2, 4)),
        ("concentration = 0 is not allowed", lambda: designs.dirichlet(jax.random.key(0), 2, 3, 0.0)),
        ("steps = 0 is not allowed", lambda: selection.select(NEAREST, COSTS, OF, 0.3, "linear-OT", steps=0)),
        ("rate = -1 is not allowed", lambda: selection.select(NEAREST, COSTS, OF, 0.3, "linear-OT", rate=-1)),
    ],
)
def test_invalid_arguments_are_named(told, call):
    with pytest.raises(ValueError, match=told):
        call()


def test_lists_are_taken_and_constant_scores_have_no_r2():
    p, t, y = [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]], [1, 2, 1], [3, 4, 6]
    found = fits.fit(p, t, y, "linear")
    assert found.slopes.shape == (5,)
    assert float(fits.predict(found, [0.5, 0.5], 2, "linear")) == pytest.approx(13 / 3)
    assert np.isnan(fits.errors([1, 2], [3, 3], [1, 1]).r2)


def test_errors_are_those_of_scikit_learn():
    from sklearn.metrics import mean_absolute_error, r2_score

    told, known, among = RNG.normal(size=66), RNG.normal(size=66), RNG.random(66) < 0.5
    found = fits.errors(jnp.asarray(told), jnp.asarray(known), jnp.asarray(among, float))
    assert float(found.mae) == pytest.approx(mean_absolute_error(known[among], told[among]), rel=1e-12)
    assert float(found.r2) == pytest.approx(r2_score(known[among], told[among]), rel=1e-12)


@pytest.mark.slow
def test_the_rational_baseline_finds_its_own_law():
    theta, alpha = np.array([[0.3, -2.0], [-2.5, 0.4], [-1.0, -1.2]]), 0.35
    sizes = np.array([100.0, 200.0])
    inverse = (1 / np.einsum("ki,ir->kr", GRID, np.exp(theta))).sum(1)
    error = np.exp(np.log(inverse)[None] - alpha * np.log(sizes)[:, None] + 3)
    found = fits.fit_rational(jnp.asarray(GRID), jnp.asarray(sizes), jnp.asarray(error), jnp.ones(66))
    assert float(found.alpha) == pytest.approx(alpha, abs=0.01)
    for size, row in zip(sizes, error, strict=True):
        np.testing.assert_allclose(fits.predict_rational(found, jnp.asarray(GRID), size), row, rtol=0.02)


# ---- projection ----------------------------------------------------------------------------------------------------


def test_projection_is_exact_for_what_is_linear_in_the_logarithm():
    a, b = 20.0, 9.0
    sizes = np.array([100.0, 150.0, 40.0, 1000.0])
    truth = a + b * np.log(sizes)
    found = projection.project(sizes, 100, 150, truth[0], truth[1])
    np.testing.assert_allclose(found, truth, rtol=1e-12)
    losses = 3 * sizes**-0.4
    np.testing.assert_allclose(
        projection.project(sizes, 100, 150, losses[0], losses[1], "log-loss"), losses, rtol=1e-12
    )
    assert float(projection.project(1e6, 100, 150, truth[0], truth[1])) == 100
    assert float(projection.project(1e6, 100, 150, truth[1], truth[0])) == 0
    assert float(projection.amplification(10_000, 1000, 1500)) == pytest.approx(
        (2.302585**2 + 1.897120**2) / 0.405465**2, rel=1e-5
    )
    noise = RNG.normal(size=(2, 20_000))
    spread = np.var(np.asarray(projection.weights(800.0, 100, 200)) @ noise)
    assert spread == pytest.approx(float(projection.amplification(800, 100, 200)), rel=0.05)
    for bad in ((10, 200, 100), (10, 100, 100), (0, 100, 200), (-5, 100, 200), (10, 0, 200), (np.nan, 1, 2)):
        with pytest.raises(ValueError, match=r"0 < N0 < N1 is needed|numbers of points above 0"):
            projection.weights(*bad)


# ---- selection -----------------------------------------------------------------------------------------------------

SOURCE = np.repeat(np.arange(3), (14, 18, 10))
X = RNG.normal(size=(42, 3)) + np.array([[0, 0, 0], [2.0, 0, 0], [0, 2.5, 0]])[SOURCE]
Y = RNG.normal(size=(30, 3)) + np.array([0.9, 0.6, 0])
COSTS = distance.costs(*map(jnp.asarray, (X, 0 * SOURCE, Y, np.zeros(30, int))), 1, label_weight=0.0, debiased=False)
OF = jnp.asarray(SOURCE)


def score(p_fit, slopes, weights=(0.0, 1.0)):
    made = fits.Fit(jnp.asarray(p_fit), jnp.asarray(slopes), jnp.ones(2), jnp.zeros(2))
    return selection.Score(made, jnp.asarray(weights))


NEAREST = score([0.0, 0.0], -np.eye(1, 9)[[0, 0]])  # linear in OT alone


def test_slopes_by_the_whole_chain_rule_are_differences():
    made = score(RNG.normal(size=2), RNG.normal(size=(2, 9)), projection.weights(800, 100, 200))
    p = np.array([[0.4, 0.35, 0.25], [0.2, 0.2, 0.6]])

    def told(p):
        found = distance.distances(jnp.asarray(p), COSTS, OF, 0.3, tolerance=1e-13)
        return found, selection.slopes(made, "PQ-OT", jnp.asarray(p), found.value, found.mean)

    _, (_, slope) = told(p)
    for change in (np.array([1.0, -1.0, 0.0]), np.array([-0.3, 1.0, -0.7])):
        ends = [np.asarray(told(p + side * 1e-4 * change)[1][0]) for side in (1, -1)]
        np.testing.assert_allclose(np.asarray(slope) @ change, (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def selected():
    return selection.select(NEAREST, COSTS, OF, 0.3, "linear-OT", rate=2.0, steps=150)


def test_the_nearest_mixture_is_found_and_never_off_the_simplex(selected):
    fine = distance.distances(jnp.asarray(designs.simplex_grid(3, 20)), COSTS, OF, 0.3, tolerance=1e-9).value
    assert float(selected.distance) <= 1.01 * float(fine.min())
    again = distance.distances(selected.p[None], COSTS, OF, 0.3, tolerance=1e-11).value[0]
    assert float(selected.distance) == pytest.approx(float(again), rel=1e-5)
    assert float(selected.score) == pytest.approx(-float(selected.distance), rel=1e-12)
    path = np.asarray(selected.path)
    np.testing.assert_allclose(path.sum(1), 1, atol=1e-12)
    assert (path >= 0).all()
    assert float(selected.score) == pytest.approx(np.nanmax(selected.scores), rel=1e-7)
    np.testing.assert_allclose(selected.scores[-1], selected.scores[-1, 0], rtol=1e-3)  # convex: all starts meet


def test_the_selected_mixture_is_the_best_of_converged_potentials_only():
    """With little entropy ten sweeps from the last potentials were far from convergence, and so was the distance."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(40, 3)) + np.array([0.3, 0.2, 0.0])
    of = np.repeat(np.arange(3), 20)
    x = x + np.array([[0.0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]])[of]
    points = (jnp.asarray(x), jnp.zeros(60, int), jnp.asarray(y), jnp.zeros(40, int))
    costs = distance.costs(*points, 1, label_weight=0.0)
    epsilon = 0.012 * float(costs.matrix.mean())
    found = selection.select(NEAREST, costs, of, epsilon, "linear-OT", rate=2.0, steps=60)
    told = distance.distances(found.p[None], costs, of, epsilon, tolerance=1e-9, sweeps=40_000)
    assert float(found.distance) == pytest.approx(float(told.value[0]), rel=1e-6)
    assert int(found.reason) == 1
    assert float(found.error) <= 1e-7
    grid = distance.distances(designs.simplex_grid(3, 8), costs, of, epsilon, tolerance=1e-5, sweeps=40_000)
    assert float(found.distance) <= float(grid.value.min()) * 1.01 + 1e-3


def test_a_share_of_nothing_stays_nothing_and_a_stop_keeps_the_best(selected):
    edge = selection.select(
        NEAREST,
        COSTS,
        OF,
        0.3,
        "linear-OT",
        begin=np.tile([0.5, 0.5, 0.0], (4, 1)),
        rate=2.0,
        steps=150,
        loop=Chunked(lambda told: told.iteration > 20),
    )
    assert int(edge.reason) == 4
    assert (np.asarray(edge.path)[: int(edge.iterations), 2] == 0).all()
    assert np.isfinite(edge.score)
    assert float(edge.distance) > float(selected.distance)
    with pytest.raises(ValueError, match="shares of at least 0"):
        selection.select(NEAREST, COSTS, OF, 0.3, "linear-OT", begin=[[0.5, 0.6, 0]])


# ---- the survey ----------------------------------------------------------------------------------------------------


def test_sources_are_taken_apart_and_checked():
    x, labels = RNG.normal(size=(90, 4)), np.resize(np.arange(3), 90)
    source = np.resize(np.repeat(np.arange(-1, 3), 3), 90)
    found = pilots.sources(x, labels, source)
    count = int((source >= 0).sum())
    assert found.x.shape == (count, 4)
    assert len(found.y) + len(found.x_test) == 90 - count
    kept = np.asarray(found.kept)
    assert sorted(np.asarray(found.labels)[kept]) == [0, 1, 2]
    apart = lambda z: ((z[:, None] - z[None]) ** 2).sum(2)  # noqa: E731
    np.testing.assert_allclose(
        apart(np.asarray(found.features)), apart(np.asarray(found.x)), atol=1e-9
    )  # turned, not bent
    with pytest.raises(ValueError, match="points have the source -1"):
        pilots.sources(x, labels, np.abs(source))
    with pytest.raises(ValueError, match="class 3 of the data set"):
        pilots.sources(x, np.where(source < 0, 3, labels), source)


@pytest.mark.slow
def test_fits_of_parts_are_fits_of_their_mixtures():
    y = np.stack([60 - 8 * OT + RNG.normal(size=66), 70 - 7 * OT + RNG.normal(size=66)])
    key, sizes = jax.random.key(3), jnp.asarray([100.0, 200.0])
    found = pilots.fit_all(key, jnp.asarray(GRID), jnp.asarray(OT), jnp.asarray(y), sizes, 0.0)
    parts = np.asarray(pilots.splits(key, jnp.asarray(GRID)))
    assert parts.shape == (3 + len(pilots.COUNTS) * pilots.REPEATS, 66)
    assert parts[0].all()
    assert (parts[1] == (GRID[:, 1] < 0.45)).all()
    assert parts[3:].sum(1).tolist() == np.repeat(pilots.COUNTS, pilots.REPEATS).tolist()
    for split in (0, 1):
        for m, model in enumerate(fits.MODELS):
            one = fits.fit(GRID, OT, y[1], model, weights=parts[1 + split])
            told = fits.predict(one, jnp.asarray(GRID), jnp.asarray(OT), model)
            np.testing.assert_allclose(found.pred[split, m, 1], told, rtol=1e-6)
            rest = parts[1 + split] == 0
            assert float(found.mae[split, m, 1]) == pytest.approx(np.abs(told - y[1])[rest].mean(), rel=1e-6)
    whole = fits.fit(GRID, OT, y[0])
    np.testing.assert_allclose(found.whole.slopes[1, 0], whole.slopes, rtol=1e-6)
    assert (np.diff(found.curve[1, [0, -1]]) < 0).all()
