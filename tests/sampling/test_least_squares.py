"""The fit, its error identity, its bounds and its error estimates; a user's function in one call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import sampling
from lab.sampling import least_squares


def runge(x):
    return 1 / (1 + 25 * x[:, 0] ** 2)


@pytest.fixture(scope="module")
def line():
    return sampling.legendre(10)


@pytest.fixture(scope="module")
def designs(line):
    return sampling.sample(jax.random.key(0), sampling.named("dpp", 30, line), line, 300)


@pytest.fixture(scope="module")
def fits(line, designs):
    return jax.jit(jax.vmap(lambda x, w: least_squares.fit(line(x), w, runge(x))))(designs.points, designs.weights)


@pytest.mark.slow
def test_a_fit_is_that_of_numpy(line, designs, fits):
    x, w = designs.points[0], np.asarray(designs.weights[0])
    phi, y = np.asarray(line(x)), np.asarray(runge(x))
    root = np.sqrt(w)
    wanted = np.linalg.lstsq(root[:, None] * phi, root * y, rcond=None)[0]
    np.testing.assert_allclose(fits.coefficients[0], wanted, atol=1e-12)
    gram = phi.T @ (w[:, None] * phi) / 30
    values = np.linalg.eigvalsh(gram)
    np.testing.assert_allclose([fits.lambda_min[0], fits.lambda_max[0]], values[[0, -1]], rtol=1e-11)
    np.testing.assert_allclose(fits.condition[0], values[-1] / values[0], rtol=1e-10)
    np.testing.assert_allclose(fits.residual[0], (w * (y - phi @ wanted) ** 2).mean(), rtol=1e-9)
    np.testing.assert_allclose(fits.leverage.sum(axis=1), 10, rtol=1e-12)
    np.testing.assert_allclose(designs.lambda_min, fits.lambda_min, atol=1e-13)
    used = jnp.arange(30) < 20
    part = jax.jit(least_squares.fit)(phi, w, jnp.where(used, y, jnp.nan), used)
    whole = jax.jit(least_squares.fit)(phi[:20], w[:20], y[:20])
    np.testing.assert_allclose(part.coefficients, whole.coefficients, atol=1e-11)
    np.testing.assert_allclose(part.lambda_min, whole.lambda_min, rtol=1e-10)


@pytest.mark.slow
def test_functions_of_the_space_are_recovered():
    for basis in (sampling.legendre(10), sampling.product("hermite", 2, 3)):
        c = jnp.asarray(np.random.default_rng(0).normal(size=basis.m))
        fit = jax.jit(lambda x, w, basis=basis, c=c: least_squares.fit(basis(x), w, basis(x) @ c))
        for name in ("volume", "dpp"):
            found = sampling.sample(jax.random.key(1), sampling.named(name, 3 * basis.m, basis), basis)
            fitted = fit(found.points, found.weights)
            if fitted.condition < 1e6:
                np.testing.assert_allclose(fitted.coefficients, c, atol=1e-10)
            elif name != "volume":
                raise AssertionError("repelling and optimal designs of 3 m points are well conditioned")


@pytest.mark.slow
def test_error_identity(line, fits):
    """|f - fhat|^2 by quadrature is that of the coefficients; the best error is the sheet's."""
    known = least_squares.truth(line, runge, 400)
    np.testing.assert_allclose(jnp.sqrt(known.best), 0.05870785, rtol=1e-6)
    points, masses = line.quadrature(400)
    direct = masses @ (runge(points) - line(points) @ fits.coefficients[3]) ** 2
    np.testing.assert_allclose(known.squared_error(fits.coefficients)[3], direct, rtol=1e-10)
    ratio = known.squared_error(fits.coefficients) / known.best
    assert (ratio >= 1).all()
    assert abs(jnp.median(ratio) - 1.22) < 0.06
    good = fits.lambda_min >= 0.5
    share = float(good.mean())
    assert ratio[good].mean() <= least_squares.expected_ratio(30, 0.5, share)


def test_bounds():
    np.testing.assert_allclose(least_squares.chernoff_rate(0.5), 0.153426, atol=1e-6)
    n = least_squares.points_needed(10, 0.5, 0.1)
    assert n == 301
    assert least_squares.failure_bound(10, n, 0.5) <= 0.1 < least_squares.failure_bound(10, n - 1, 0.5)
    np.testing.assert_allclose(least_squares.expected_ratio(100, 0.5, 0.8, 10), 1 + 4 * 0.1 / 0.8)
    np.testing.assert_allclose(least_squares.expected_ratio(100, 0.5, 0.8), 1 + 2 / 0.8)


@pytest.mark.slow
def test_cross_validation(line, designs, fits):
    """Against fits without each part; over many designs unbiased for the error of the fit without one part."""
    x, w = designs.points[1], designs.weights[1]
    phi, y = line(x), runge(x)
    one = jax.jit(least_squares.fit)
    for parts in (3, 30):
        size = 30 // parts
        wanted = []
        for p in range(parts):
            out = np.arange(p * size, (p + 1) * size)
            rest = np.delete(np.arange(30), out)
            c = one(phi[rest], w[rest], y[rest]).coefficients
            wanted.append((w[out] * (y[out] - phi[out] @ c) ** 2).mean())
        found = least_squares.cross_validation(phi, w, y, parts)
        np.testing.assert_allclose(found.value, np.mean(wanted), rtol=1e-8)
        np.testing.assert_allclose(found.error, np.std(wanted, ddof=1) / np.sqrt(parts), rtol=1e-8)
    used = jnp.arange(30) < 24
    found = least_squares.cross_validation(phi, w, y, 30, used)
    plain = least_squares.cross_validation(phi[:24], w[:24], y[:24], 24)
    np.testing.assert_allclose(found, plain, rtol=1e-8)
    estimate = jax.jit(jax.vmap(lambda x, w: least_squares.cross_validation(line(x), w, runge(x), 3).value))
    values = estimate(designs.points, designs.weights)
    without = jax.jit(jax.vmap(lambda x, w: least_squares.fit(line(x), w, runge(x)).coefficients))
    truth = least_squares.truth(line, runge, 400)
    actual = truth.squared_error(without(designs.points[:, :20], designs.weights[:, :20]))
    apart = jnp.log(values).mean() - jnp.log(actual).mean()  # logarithms: both are heavy-tailed
    assert abs(apart) < 0.35
    infinite = least_squares.cross_validation(phi[:10], w[:10], y[:10], 10)
    assert infinite.value == jnp.inf
    with pytest.raises(ValueError, match="divisor of 30"):
        least_squares.cross_validation(phi, w, y, 7)


# --- a function of one's own ---


@pytest.mark.slow
def test_design_of_a_function():
    f = lambda x: np.exp(x[:, 0] * x[:, 1])  # noqa: E731
    found = sampling.design(f, bounds=[[0, 1], [0, 2]], degree=4)
    assert found.points.shape == (45, 2)
    assert (np.asarray(found.points) >= [0, 0]).all()
    assert (np.asarray(found.points) <= [1, 2]).all()
    assert found.design.lambda_min >= 0.5
    side = np.linspace(0, 1, 80)
    grid = np.stack(np.meshgrid(side, 2 * side), axis=-1).reshape(-1, 2)
    actual = np.sqrt(np.mean((f(grid) - np.asarray(found(grid))) ** 2))
    assert 0.5 * actual < found.error < 4 * actual
    np.testing.assert_allclose(found.integral, 1.841936, atol=0.01)  # (Ei(2) - Euler - log 2) / 2
    np.testing.assert_allclose(found.integral_weights @ found.values, found.integral, rtol=1e-12)
    exact = sampling.design(lambda x: 1 + x[:, 0] ** 2 * x[:, 1], bounds=[[0, 1], [0, 2]], degree=4)
    np.testing.assert_allclose(exact.integral, 1 + 1 / 3, rtol=1e-11)
    assert exact.error < 1e-10


@pytest.mark.slow
def test_design_on_rows_and_one_by_one():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2))
    features = lambda x: jnp.stack([jnp.ones(len(x)), x[:, 0], x[:, 1], x[:, 0] * x[:, 1]], axis=1)  # noqa: E731
    basis = sampling.finite(features, nodes=rows)
    found = sampling.design(
        lambda x: 2 - x[0] * x[1], basis, vectorized=False, rule=sampling.Repeated(sampling.Projection(), 4)
    )
    np.testing.assert_allclose(found(rows), 2 - rows[:, 0] * rows[:, 1], atol=1e-9)
    np.testing.assert_allclose(found.integral, (2 - rows[:, 0] * rows[:, 1]).mean(), rtol=1e-9)
    rule = sampling.Thinned(sampling.Conditioned(sampling.Repeated(sampling.Projection(), 3)))
    seen = []
    thin = sampling.design(lambda x: seen.append(len(x)) or x[:, 0], sampling.legendre(10), rule=rule)
    assert seen == [int(thin.design.n)]  # nothing is evaluated where points were removed
    assert seen[0] < 20


@pytest.mark.slow
def test_bad_functions():
    for f, bounds, message in (
        (lambda x: x, [0, 1], "vectorized=False"),
        (lambda x: np.full(len(x), np.nan), [0, 1], r"NaN or infinite at 30 of 30"),
        (lambda x: x[:, 0], [1, 0], "lower below upper"),
        (lambda x: x[:, 0], [0, np.inf], "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            sampling.design(f, bounds=bounds)
    with pytest.raises(ValueError, match="one of them"):
        sampling.design(lambda x: x[:, 0], sampling.legendre(2), bounds=[0, 1])
    with pytest.raises(ValueError, match=r"must be \(N, 1\)"):
        sampling.design(lambda x: x[:, 0], sampling.legendre(2))(np.zeros(3))
