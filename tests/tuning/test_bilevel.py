"""Lower solves, linear solves, hypergradients, their bounds and the constants of problems, against NumPy and
Newton's method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics.jit import jit
from lab.tuning import denoising, hypergradient, lower, problem, quadratic, regression

rng = np.random.default_rng(5)
SMALL = quadratic.quadratic(
    rng.normal(size=(9, 5)), rng.normal(size=(12, 5)), rng.normal(size=(12, 3)), rng.normal(size=9), rng.normal(size=12)
)
A1, A2, A3, B1, B2 = (np.asarray(each) for each in (SMALL.a1, SMALL.a2, SMALL.a3, SMALL.b1, SMALL.b2))
HESSIAN = A2.T @ A2
MU = np.linalg.eigvalsh(HESSIAN)[0]
THETA = jnp.asarray([0.3, -0.7, 1.1])


def minimiser(theta):
    return np.linalg.lstsq(A2, B2 - A3 @ theta, rcond=None)[0]


def exact(theta):
    return -A3.T @ A2 @ np.linalg.solve(HESSIAN, A1.T @ (A1 @ minimiser(theta) - B1))


@jit
def look(given, theta, x, q, eps, delta):
    """All of a slope at certified accuracies."""
    known = given.constants(x, theta)
    solved = lower.solve(given, theta, x, eps, known, 100_000)
    z, linear, pull = hypergradient.inexact(given, theta, solved.x, q, delta)
    size = given.cross_norm(solved.x, theta)
    inverse, cross = (0.0 if each is None else each for each in (known.inverse, known.cross))
    omega = hypergradient.bound(known, inverse, cross, size, problem.norm(pull), solved.accuracy, linear.residual)
    return solved, z, linear, omega, size


def test_a_lower_solve_is_as_near_as_it_says_and_no_nearer_than_asked():
    for eps in (3.0, 1e-2, 1e-7):
        solved = look(SMALL, THETA, jnp.ones(5) * 4, jnp.zeros(5), eps, 1e-3)[0]
        away = np.linalg.norm(solved.x - minimiser(np.asarray(THETA)))
        pull = np.linalg.norm(HESSIAN @ solved.x - A2.T @ (B2 - A3 @ np.asarray(THETA)))
        assert bool(solved.reached)
        assert away <= float(solved.accuracy) <= eps
        assert float(solved.accuracy) == pytest.approx(pull / MU, rel=1e-6)
        assert float(solved.accuracy) > eps / 100  # it stops once it may
    given = SMALL.constants(THETA, THETA)
    short = lower.solve(SMALL, THETA, jnp.ones(5) * 4, 1e-9, given, cap=7, rows=9)
    assert not bool(short.reached)
    assert int(short.evaluations) == 7
    assert np.isfinite(short.history).sum() == 7
    assert float(short.history[6]) == float(short.accuracy)


def test_the_lower_solve_is_nesterovs_scheme():
    history = lower.solve(SMALL, THETA, jnp.ones(5), 0.0, SMALL.known, cap=20, rows=20).history
    smooth, right = np.linalg.eigvalsh(HESSIAN)[-1], A2.T @ (B2 - A3 @ np.asarray(THETA))
    root = np.sqrt(MU / smooth)
    before = y = np.ones(5)
    for k in range(20):
        pull = HESSIAN @ y - right
        assert float(history[k]) == pytest.approx(np.linalg.norm(pull) / MU, rel=1e-9)
        x = y - pull / smooth
        y, before = x + (1 - root) / (1 + root) * (x - before), x


def test_conjugate_gradients_solve_and_a_zero_right_side_gives_zero():
    b = jnp.asarray(rng.normal(size=5))
    found = hypergradient.conjugate(SMALL, THETA, jnp.zeros(5), b, jnp.zeros(5), 1e-11, rows=8)
    np.testing.assert_allclose(found.q, np.linalg.solve(HESSIAN, b), rtol=1e-8)
    assert bool(found.reached)
    assert float(found.history[0]) == pytest.approx(np.linalg.norm(b))
    assert int(found.products) <= 7  # one for the residual, one for each of five unknowns, one of rounding
    none = hypergradient.conjugate(SMALL, THETA, jnp.zeros(5), jnp.zeros(5), jnp.zeros(5), 1e-11, rows=8)
    np.testing.assert_array_equal(none.q, 0)
    assert int(none.products) == 1
    loose = hypergradient.conjugate(SMALL, THETA, jnp.zeros(5), b, jnp.zeros(5), 0.5, rows=8)
    assert np.linalg.norm(HESSIAN @ loose.q - b) == pytest.approx(float(loose.residual), rel=1e-9)
    assert float(found.residual) < float(loose.residual) <= 0.5


@pytest.mark.slow
def test_the_hypergradient_is_that_of_the_closed_form_of_differences_and_of_newtons_method():
    z = look(SMALL, THETA, jnp.zeros(5), jnp.zeros(5), 1e-11, 1e-11)[1]
    known = exact(np.asarray(THETA))
    np.testing.assert_allclose(z, known, atol=1e-8)
    np.testing.assert_allclose(SMALL.slope(THETA), known, atol=1e-9)
    loss = lambda theta: 0.5 * np.sum((A1 @ minimiser(theta) - B1) ** 2)  # noqa: E731
    steps = 1e-5 * np.eye(3)
    differences = [(loss(THETA + s) - loss(THETA - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(z, differences, atol=1e-5)
    np.testing.assert_allclose(hypergradient.implicit(SMALL, THETA, jnp.zeros(5)), known, atol=1e-8)
    theta, least = SMALL.least()
    np.testing.assert_allclose(exact(np.asarray(theta)), 0, atol=1e-9)
    assert float(least) == pytest.approx(loss(np.asarray(theta)))


def test_the_bound_holds_in_three_hundred_draws():
    draws = np.random.default_rng(0)
    theta, x, q = draws.normal(size=(300, 3)), 5 * draws.normal(size=(300, 5)), draws.normal(size=(300, 5))
    eps, delta = 10 ** draws.uniform(-6, 1, (2, 300))
    _, z, _, omega, _ = jax.vmap(look, in_axes=(None, 0, 0, 0, 0, 0))(
        SMALL, *map(jnp.asarray, (theta, x, q, eps, delta))
    )
    errors = np.linalg.norm(np.asarray(z) - [exact(each) for each in theta], axis=1)
    assert (errors <= omega).all()
    assert np.median(errors / omega) > 1e-4  # a loose bound, and not an empty one


def test_the_bound_is_attained_on_a_line():
    """h = mu x^2 / 2 + j theta x and g = l x^2 / 2: each term of the bound is the error that it stands for."""
    mu, j, size = 3.0, 2.0, 5.0
    one = quadratic.quadratic([[np.sqrt(size)]], [[np.sqrt(mu)]], [[j / np.sqrt(mu)]], [0.0], [0.0])
    theta, off, short = jnp.asarray([0.7]), 0.3, 0.2
    best = -j * 0.7 / mu
    x = jnp.asarray([best + off])
    pull = size * x
    q = (pull - short) / mu
    z = -problem.pulled(one, x, theta, q)
    assert float(one.slope(theta)[0]) == pytest.approx(-j * size * best / mu)
    known = one.constants(x, theta)
    assert float(one.cross_norm(x, theta)) == pytest.approx(j)
    omega = hypergradient.bound(known, 0.0, 0.0, j, float(problem.norm(pull)), off, 0.0)
    assert float(omega) == pytest.approx(j * size * off / mu)
    assert float(abs(-problem.pulled(one, x, theta, pull / mu)[0] - one.slope(theta)[0])) == pytest.approx(float(omega))
    omega = hypergradient.bound(known, 0.0, 0.0, j, float(problem.norm(pull)), 0.0, short)
    assert abs(float(z[0] + j * pull[0] / mu)) == pytest.approx(float(omega))
    # the terms of curvature and of J, by the numbers
    assert float(hypergradient.bound(known, 7.0, 0.0, j, 11.0, 0.5, 0.0)) == pytest.approx((j * size / mu + 77 * j) / 2)
    told = (j * size + 13 * 11) / mu * 0.5 + 13 * size / mu * 0.25
    assert float(hypergradient.bound(known, 0.0, 13.0, j, 11.0, 0.5, 0.0)) == pytest.approx(told)


@pytest.mark.slow
def test_ridge_has_its_closed_form():
    ridge = quadratic.Ridge(*(jnp.asarray(rng.normal(size=s)) for s in ((8, 5), (8,), (6, 5), (6,))))
    theta = jnp.asarray([-0.4])
    solved, z, _, _, size = look(ridge, theta, jnp.zeros(5), jnp.zeros(5), 1e-11, 1e-11)
    np.testing.assert_allclose(z, ridge.slope(theta), atol=1e-8)
    a, b, other, values = (np.asarray(each) for each in (ridge.a, ridge.b, ridge.other, ridge.values))

    def loss(decay):
        x = np.linalg.solve(a.T @ a / 8 + np.exp(decay) * np.eye(5), a.T @ b / 8)
        return 0.5 * np.mean((other @ x - values) ** 2)

    assert float(z[0]) == pytest.approx((loss(-0.4 + 1e-5) - loss(-0.4 - 1e-5)) / 2e-5, rel=1e-6)
    assert float(size) == pytest.approx(np.exp(-0.4) * np.linalg.norm(solved.x), rel=1e-9)
    draws = np.random.default_rng(1)
    for eps in (1.0, 0.1):  # here J hangs on x
        _, inexact, _, omega, _ = look(ridge, theta, jnp.asarray(draws.normal(size=5)), jnp.zeros(5), eps, eps)
        assert np.linalg.norm(inexact - z) <= float(omega)


LINE = rng.uniform(size=(1, 1, 12))
NOISY = LINE + 0.1 * rng.normal(size=LINE.shape)


@pytest.fixture(scope="module")
def line():
    return denoising.TotalVariation(jnp.asarray(NOISY), jnp.asarray(LINE), bounds=True)


@pytest.mark.slow
def test_total_variation_on_a_line_has_the_slope_of_differences_and_of_newton(line):
    theta = np.array([-2.0, -2.5])
    call = lambda at: look(line, jnp.asarray(at), line.noisy, 0 * line.noisy, 1e-11, 1e-11)  # noqa: E731
    solved, z, *_ = call(theta)
    losses = [float(line.upper(call(theta + s)[0].x)) for s in 1e-4 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])]
    known = np.array([losses[0] - losses[1], losses[2] - losses[3]]) / 2e-4
    np.testing.assert_allclose(z, known, rtol=1e-4)
    np.testing.assert_allclose(hypergradient.implicit(line, jnp.asarray(theta), solved.x), z, rtol=1e-6)
    x = np.asarray(solved.x)[0, 0]  # the gradient by hand
    slope = np.exp(-2.0) * np.diff(x) / np.sqrt(np.diff(x) ** 2 + np.exp(-5.0))
    np.testing.assert_allclose(x - NOISY[0, 0] - np.diff(slope, prepend=0, append=0), 0, atol=1e-9)


def test_the_bound_of_total_variation_holds(line):
    theta, draws = jnp.asarray([-2.0, -2.5]), np.random.default_rng(3)
    best = look(line, theta, line.noisy, 0 * line.noisy, 1e-11, 1e-11)[1]
    for eps in (1.0, 0.1, 1e-3):
        start = line.noisy + jnp.asarray(draws.normal(size=LINE.shape))
        _, z, _, omega, _ = look(line, theta, start, 0 * line.noisy, eps, eps)
        assert np.linalg.norm(z - best) <= float(omega)


def test_total_variation_gives_the_image_or_its_mean_in_the_limits():
    clean = rng.uniform(size=(2, 6, 6))
    images = denoising.TotalVariation(jnp.asarray(clean), jnp.asarray(clean))
    for logs, expected in (((-30.0, -2.0), clean), ((9.0, -0.5), clean.mean(axis=(1, 2), keepdims=True))):
        theta = jnp.asarray(logs)
        solved = look(images, theta, images.noisy, 0 * images.noisy, 1e-6, 1e9)[0]
        np.testing.assert_allclose(solved.x, np.broadcast_to(expected, clean.shape), atol=1e-3)


def _hessian(given, theta, x):
    flat = jax.hessian(lambda v: given.lower(v.reshape(x.shape), theta))(x.ravel())
    return np.asarray(flat)


@pytest.mark.slow
def test_lanczos_sees_the_ends_of_the_spectrum():
    images = denoising.TotalVariation(jnp.asarray(NOISY), jnp.asarray(LINE))
    theta = jnp.asarray([-1.0, -2.0])
    spectrum = np.linalg.eigvalsh(_hessian(images, theta, images.noisy))
    known = images.constants(images.noisy, theta)
    assert float(known.mu) == 1.0 <= spectrum[0] + 1e-12
    assert spectrum[-1] <= float(known.smooth)
    low, high = problem.eigenvalues(images, images.noisy, theta)  # 12 unknowns: as many steps
    np.testing.assert_allclose([low, high], spectrum[[0, -1]], rtol=1e-9)
    low, high = problem.eigenvalues(images, images.noisy, theta, steps=4)
    assert spectrum[0] < float(low) < float(high) < spectrum[-1]


@pytest.mark.slow
def test_a_field_of_experts_is_its_formula_and_its_constants_hold():
    from scipy.ndimage import correlate

    clean = rng.uniform(size=(2, 7, 9))
    experts = denoising.FieldOfExperts(jnp.asarray(clean + 0.1), jnp.asarray(clean), count=3, side=3)
    theta = denoising.first_experts(1, 3, 3) + 0.1 * jnp.asarray(rng.normal(size=1 + 6 + 27))
    scale, a, b, filters = theta[0], theta[1:4], theta[4:7], np.asarray(theta[7:]).reshape(3, 3, 3)
    told = 0.5 * 0.01 * clean.size
    for k in range(3):
        found = np.stack([correlate(image, filters[k], mode="mirror") for image in clean])
        told += np.exp(scale + a[k]) * np.sqrt(found**2 + np.exp(2 * b[k])).sum()
    assert float(experts.lower(jnp.asarray(clean), theta)) == pytest.approx(float(told) / 2, rel=1e-12)
    known, (low, high), power, jacobian = jit(_of_experts)(experts, theta)
    assert float(known.mu) <= float(low)
    assert float(low) < float(high) <= float(known.smooth)
    assert float(known.smooth) < 100 * float(high)
    assert 0.9 < float(power) / np.linalg.norm(np.asarray(jacobian).reshape(-1, 34), 2) <= 1 + 1e-9


def _of_experts(experts, theta):
    x = experts.noisy
    jacobian = jax.jacrev(lambda at: problem.pulled(experts, x, theta, at))(x)  # transposed: theirs are linear in q
    columns = jnp.moveaxis(jacobian, 0, -1)
    return (
        experts.constants(x, theta),
        problem.eigenvalues(experts, x, theta),
        problem.norm_of_cross(experts, x, theta),
        columns,
    )


def _digits(share):
    draws = np.random.default_rng(8)
    a, labels = draws.normal(size=(30, 4)), draws.integers(0, 3, 30)
    return regression.multinomial(*map(jnp.asarray, (a[:20], labels[:20], a[20:], labels[20:])), 3, share, bounds=True)  # type: ignore[call-arg]


@pytest.mark.slow
def test_regression_is_sklearns_and_its_constants_hold():
    from sklearn.linear_model import LogisticRegression

    given, none = _digits("feature"), jnp.zeros((4, 3))
    solved = look(given, jnp.full(4, -0.8), none, none, 1e-10, 1e-10)[0]
    fitted = LogisticRegression(C=np.exp(0.8) / 20, fit_intercept=False, tol=1e-10).fit(given.a, given.labels)
    np.testing.assert_allclose(solved.x.T, fitted.coef_, atol=1e-6)
    predicted = float(regression.accuracy(solved.x, given.other, given.others))
    assert predicted == fitted.score(given.other, given.others)

    theta = jnp.asarray(np.random.default_rng(2).normal(size=4) - 1.0)
    solved, z, *_ = look(given, theta, none, none, 1e-10, 1e-10)
    np.testing.assert_allclose(z, hypergradient.implicit(given, theta, none), atol=1e-8)
    known, x = given.constants(solved.x, theta), np.asarray(solved.x)
    points = [x, x + 0.3 * np.random.default_rng(4).normal(size=(4, 3))]
    hessian_at = jit(jax.hessian(lambda v: given.lower(v.reshape(4, 3), theta)))
    hessians = [np.asarray(hessian_at(jnp.asarray(point.ravel()))) for point in points]
    for hessian in hessians:
        spectrum = np.linalg.eigvalsh(hessian)
        assert float(known.mu) <= spectrum[0] + 1e-12
        assert spectrum[-1] <= float(known.smooth)
    apart = np.linalg.norm(points[1] - points[0])
    turned = np.linalg.norm(np.linalg.inv(hessians[1]) - np.linalg.inv(hessians[0]), 2) / apart
    assert turned <= float(known.inverse)
    bent, tilted = hypergradient.secants(given, theta, *map(jnp.asarray, points[::-1]), jnp.ones((4, 3)))  # type: ignore[call-arg]
    straight = (hessians[1] - hessians[0]) @ np.ones(12)
    assert float(bent) == pytest.approx(np.linalg.norm(straight) / np.sqrt(12) / apart, rel=1e-9)
    decay = np.exp(np.asarray(theta))[:, None]
    leant = np.linalg.norm((decay * (points[1] - points[0])).sum(axis=1)) / np.sqrt(12) / apart
    assert float(tilted) == pytest.approx(leant, rel=1e-9)
    assert leant <= float(known.cross)


def test_each_weight_feature_or_all_share_a_decay():
    x = np.random.default_rng(3).normal(size=(4, 3))
    for share, count in (("weight", 12), ("feature", 4), ("all", 1)):
        theta = np.random.default_rng(2).normal(size=count)
        decay = np.exp(theta).reshape({"weight": (4, 3), "feature": (4, 1), "all": (1, 1)}[share]) * np.ones((4, 3))
        given = _digits(share)
        own, bare = (float(given.lower(jnp.asarray(x), jnp.asarray(each))) for each in (theta, theta - 60))
        assert own - bare == pytest.approx(0.5 * (decay * x**2).sum(), rel=1e-9)
        columns = {"weight": decay * x, "feature": np.linalg.norm(decay * x, axis=1), "all": np.linalg.norm(decay * x)}
        size = float(given.cross_norm(jnp.asarray(x), jnp.asarray(theta)))
        assert size == pytest.approx(np.abs(columns[share]).max(), rel=1e-9)


def test_what_is_no_problem_is_refused():
    with pytest.raises(
        ValueError, match=r"least eigenvalue of A2.T A2 is .*, but the columns of A2 must be independent"
    ):
        quadratic.quadratic(A1, np.ones((12, 5)), A3, B1, B2)
    with pytest.raises(ValueError, match=r"have the shapes .*but \(m, d\), \(n, d\)"):
        quadratic.quadratic(A1, A2, A3, B2, B1)
    with pytest.raises(ValueError, match="labels are 0 to 2, but of 2 classes they must be from 0 to 1"):
        regression.multinomial(jnp.ones((3, 2)), jnp.arange(3), jnp.ones((3, 2)), jnp.arange(3), 2)
    with pytest.raises(ValueError, match="share = 'pixel', but it must be one of 'weight', 'feature', 'all'"):
        regression.multinomial(jnp.ones((3, 2)), jnp.arange(3), jnp.ones((3, 2)), jnp.arange(3), 3, "pixel")  # type: ignore[arg-type]
