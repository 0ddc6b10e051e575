"""DiffusionMBIR: its pieces against closed forms and convex solvers, its switches, and the table of the sheet in small."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from lab import denoise, inverse
from lab.inverse import mbir
from lab.inverse.linear import Identity
from lab.numerics import NotConverged

RANDOM = np.random.default_rng(0)
SHAPE = (6, 3, 4)


def tiny(lam=0.1, rho=0.3, periodic=False, made=None):
    made = Identity(SHAPE) if made is None else made
    y = jnp.asarray(np.random.default_rng(1).normal(size=made.outputs))
    return mbir.Data.of(inverse.problem(made, y, 0.0), lam, rho, periodic)


@pytest.mark.parametrize("periodic", [False, True])
def test_differences_and_their_adjoint(periodic):
    x, p = (jnp.asarray(RANDOM.normal(size=SHAPE)) for _ in range(2))
    one, other = jnp.vdot(mbir.differences(x, periodic), p), jnp.vdot(x, mbir.differences_adjoint(p, periodic))
    assert float(one) == pytest.approx(float(other), rel=1e-12)
    matrix = np.stack(
        [mbir.differences_adjoint(mbir.differences(e[:, None, None], periodic), periodic).ravel() for e in jnp.eye(6)]
    )
    k = np.arange(6)
    expected = 2 - 2 * np.cos(np.pi * k / 6 * (2 if periodic else 1))
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), np.sort(expected), atol=1e-10)


def test_shrink_is_the_prox_of_the_absolute_value():
    side = np.linspace(-4, 4, 80_001)
    for a in (-2.0, -0.3, 0.0, 0.4, 3.0):
        best = side[np.argmin(0.5 * (side - a) ** 2 + 0.7 * np.abs(side))]
        assert float(mbir.shrink(jnp.asarray(a), 0.7)) == pytest.approx(best, abs=1e-4)


def test_conjugate_gradients():
    half = RANDOM.normal(size=(7, 7))
    matrix, b = jnp.asarray(half @ half.T + np.eye(7)), jnp.asarray(RANDOM.normal(size=7))
    np.testing.assert_allclose(
        mbir.conjugate_gradients(lambda x: matrix @ x, b, 0 * b, 7), np.linalg.solve(matrix, b), atol=1e-8
    )
    steepest = b @ b / (b @ matrix @ b) * b
    np.testing.assert_allclose(mbir.conjugate_gradients(lambda x: matrix @ x, b, 0 * b, 1), steepest, atol=1e-12)
    still = mbir.conjugate_gradients(lambda x: 0 * x, 0 * b, b, 3)
    np.testing.assert_array_equal(still, b)


def test_admm_reaches_total_variation_of_two_slices_and_of_many():
    y = np.zeros((2, 1, 3))
    y[0], y[1] = [0.0, 1.0, 2.0], [1.0, 1.1, -2.0]
    for lam in (0.1, 0.3):
        found = mbir.total_variation(
            inverse.problem(Identity((2, 1, 3)), y, 0.0), lam, 0.3, steps=400, inner=4, tolerance=0.0
        ).x
        move = np.minimum(lam, np.abs(y[1] - y[0]) / 2) * np.sign(y[1] - y[0])
        np.testing.assert_allclose(found, [y[0] + move, y[1] - move], atol=1e-9)
    made = inverse.Dense(np.random.default_rng(5).normal(size=(9, 8)), (8, 1, 1))
    y = np.random.default_rng(6).normal(size=9)
    norm = float(made.norm())
    found = mbir.total_variation(inverse.problem(made, y, 0.0), 0.05, 0.2, steps=4000, inner=8, tolerance=0.0).x.ravel()
    h = np.asarray(made.weights) / norm

    def value(z):  # x = a + cumulated (p - q), p and q not negative
        x = z[0] + np.concatenate([[0.0], np.cumsum(z[1:8] - z[8:])])
        return 0.5 * ((h @ x - y / norm) ** 2).sum() + 0.05 * z[1:].sum()

    bounds = [(None, None)] + [(0, None)] * 14
    best = scipy.optimize.minimize(value, np.zeros(15), bounds=bounds, options={"ftol": 1e-15, "maxiter": 5000})
    x = best.x[0] + np.concatenate([[0.0], np.cumsum(best.x[1:8] - best.x[8:])])
    np.testing.assert_allclose(found, x, atol=2e-4)
    flat = mbir.total_variation(
        inverse.problem(Identity(SHAPE), RANDOM.normal(size=SHAPE), 0.0), 100.0, 1.0, steps=3000, inner=6, tolerance=0.0
    )
    assert float(jnp.abs(mbir.differences(flat.x)).max()) < 1e-6


@pytest.mark.slow
def test_the_dual_is_bounded_and_the_last_step_lowers_the_residual():
    data = tiny(made=inverse.radon((6, 4, 4), 3))
    x = jnp.asarray(RANDOM.normal(size=(6, 4, 4)))
    split = mbir.Split(jnp.zeros_like(x), jnp.zeros_like(x))
    for _ in range(20):
        x, split = data.step(x, split, 2)
        assert float(jnp.abs(split.w).max()) <= 0.1 / 0.3 + 1e-12
    far = x + 1
    assert float(data.residual(data.consistent(far))) < float(data.residual(far))


VALUES = jnp.repeat(jnp.asarray([4.0, 1.0, 0.25, 0.05]), 4)
GAUSSIAN = denoise.Wiener(denoise.Spectrum(jnp.zeros(16), VALUES, jnp.eye(16), VALUES.sum()), (1, 4, 4))


@pytest.mark.slow
def test_the_diffusion_of_a_gaussian_prior_ends_in_it():
    nothing = inverse.Mask(jnp.zeros((1, 4, 4), bool).at[0, 0, 0].set(True))
    given = inverse.problem(nothing, jnp.zeros((1, 4, 4)), 0.1)
    method = inverse.MBIR(lam=0.0, steps=1000, sigma_max=50.0, admm=0, corrector="none")
    x = inverse.solve(given, inverse.Slices(GAUSSIAN, 1), method, seeds=800).x.reshape(800, 4, 4)
    np.testing.assert_allclose((x**2).mean(axis=(0, 2)), VALUES[::4], rtol=0.08)


@pytest.mark.slow
def test_the_steps_are_those_of_the_sheet_written_out():
    """In NumPy, with the same noise, two slices, the corrector and one step of ADMM."""
    made = inverse.Dense(np.random.default_rng(4).normal(size=(20, 32)), (2, 4, 4))
    given = inverse.problem(made, np.random.default_rng(5).normal(size=20), 0.1)
    lam, rho = 0.03, 0.2
    method = inverse.MBIR(lam=lam, rho=rho, steps=4, sigma_max=3.0, sigma_min=0.2, inner=40, snr=0.2)
    found = inverse.solve(given, inverse.Slices(GAUSSIAN, 2), method, key=jax.random.key(3), keep=True)
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(3), seed))(jnp.arange(1))
    values, levels = np.tile(np.asarray(VALUES), 2), np.geomspace(3.0, 0.2, 4)
    h = np.asarray(made.weights) / np.linalg.norm(np.asarray(made.weights), 2)
    y = np.asarray(given.y) / np.linalg.norm(np.asarray(made.weights), 2)
    d = np.concatenate([-np.eye(16), np.eye(16)], axis=1)  # the second slice less the first
    x = 3.0 * np.asarray(mbir.normal(keys, jnp.int32(2**30), 0, 32, jnp.float64))[0]
    u = w = np.zeros(16)
    for step, sigma in enumerate(levels):
        one, two = (np.asarray(mbir.normal(keys, jnp.int32(step), what, 32, jnp.float64))[0] for what in (0, 1))
        after = levels[step + 1] if step < 3 else 0.0
        x = x - (sigma**2 - after**2) * x / (values + sigma**2) + (step < 3) * np.sqrt(sigma**2 - after**2) * one
        if step < 3:
            score = -x / (values + after**2)
            length = [np.mean(np.linalg.norm(z.reshape(2, 16), axis=1)) for z in (two, score)]
            size = 2 * (0.2 * length[0] / length[1]) ** 2
            x = x + size * score + np.sqrt(2 * size) * two
        normal_matrix, right = h.T @ h + rho * d.T @ d, h.T @ y + rho * d.T @ (u - w)
        free = np.linalg.eigh(normal_matrix)
        moved = free[0] > 1e-9  # conjugate gradients leave what the matrix does not see
        basis = free[1][:, moved]
        x = x - basis @ (basis.T @ x) + basis @ ((basis.T @ right) / free[0][moved])
        u = np.sign(d @ x + w) * np.maximum(np.abs(d @ x + w) - lam / rho, 0)
        w = w + d @ x - u
        np.testing.assert_allclose(found.path[step, 0].ravel(), x, atol=1e-6)


def test_slices_are_apart_without_variation_and_not_with_it():
    made = inverse.radon((6, 4, 4), 3)
    x, u, w = (jnp.asarray(RANDOM.normal(size=(6, 4, 4))) for _ in range(3))
    y = jnp.asarray(RANDOM.normal(size=made.outputs))
    turn = np.array([3, 0, 5, 1, 4, 2])
    for lam, rho, alike in ((0.0, 1e-12, True), (0.1, 0.3, False)):
        found = []
        for order in (np.arange(6), turn):
            data = mbir.Data.of(inverse.problem(made, y[order], 0.0), lam, rho, False)
            found.append(data.step(x[order], mbir.Split(u[order], w[order]), 40)[0])
        gap = float(jnp.abs(found[0][turn] - found[1]).max())
        assert (gap < 1e-6) == alike


@pytest.mark.slow
def test_an_invertible_operator_and_many_steps_give_its_inverse_whatever_the_prior():
    made = inverse.Dense(np.eye(12) + 0.1 * RANDOM.normal(size=(12, 12)), (3, 2, 2))
    x = RANDOM.normal(size=(3, 2, 2))
    given = inverse.problem(made, made(x), 0.0)
    method = inverse.MBIR(lam=0.0, rho=1e-12, steps=20, inner=12)
    for prior in (lambda x, sigma: 0 * x, lambda x, sigma: x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)):
        whole = inverse.Slices(denoise.denoiser(prior, (1, 2, 2)), 3)
        np.testing.assert_allclose(inverse.solve(given, whole, method).x[0], x, atol=1e-5)


def test_bad_input_is_refused_in_a_sentence():
    prior = denoise.denoiser(lambda x, sigma: x, (1, 4, 4))
    one = inverse.problem(Identity((1, 4, 4)), np.ones((1, 4, 4)), 0.1)
    two = inverse.problem(Identity((2, 4, 4)), np.ones((2, 4, 4)), 0.1)
    for given, count, method, sentence in (
        (one, 1, inverse.MBIR(), "a volume of one slice has no variation"),
        (two, 2, inverse.MBIR(rho=0.0), "rho must be|rho above 0"),
        (two, 2, inverse.MBIR(lam=-1.0), "lam must be at least 0"),
        (two, 2, inverse.MBIR(sigma_min=2.0, sigma_max=1.0), "0 < sigma_min < sigma_max"),
        (two, 2, inverse.MBIR(steps=1), "steps = 1"),
        (
            inverse.problem(inverse.Clip((2, 4, 4)), np.ones((2, 4, 4)), 0.1),
            2,
            inverse.MBIR(),
            "a linear operator on volumes",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            inverse.solve(given, inverse.Slices(prior, count), method)
    with pytest.raises(ValueError, match="one channel and at least one"):
        inverse.Slices(denoise.denoiser(lambda x, sigma: x, (3, 4, 4)), 2)
    with pytest.warns(UserWarning, match="a diffusion diverges"):
        mbir.Data.of(two, 0.1, 2.0, False)


# --- the table of the sheet, on volumes of our own ---


def phantom(random, count=24, n=32):
    """Ellipsoids, long across slices, within an ellipse."""
    z, i, j = np.ogrid[:count, :n, :n]
    i, j = i - n / 2 + 0.5, j - n / 2 + 0.5
    inside = (i / 14) ** 2 + (j / 12) ** 2 <= 1
    volume = np.where(inside, 0.3, 0.0) + np.zeros((count, 1, 1))
    for _ in range(8):
        radius, angle = 9 * np.sqrt(random.uniform()), random.uniform(0, 2 * np.pi)
        where = random.uniform(0, count), radius * np.sin(angle), radius * np.cos(angle)
        half = 2 * random.uniform(3, 7), random.uniform(2, 6), random.uniform(2, 6)
        within = sum(((side - at) / reach) ** 2 for side, at, reach in zip((z, i, j), where, half, strict=True)) <= 1
        volume = np.where(within & inside, volume + random.uniform(-0.25, 0.4), volume)
    return np.clip(volume, 0, 1)


@pytest.fixture(scope="module")
def scan():
    random = np.random.default_rng(0)
    slices = np.concatenate([phantom(random) for _ in range(200)])
    spectrum = denoise.dense_spectrum(jnp.asarray(slices.reshape(len(slices), -1)))
    prior = inverse.Slices(denoise.Wiener(spectrum, (1, 32, 32)), 24)
    truth = jnp.asarray(phantom(random))
    made = inverse.radon((24, 32, 32), 8)
    return prior, inverse.problem(made, made(truth), 0.0), truth


def decibels(scan, method):
    prior, given, truth = scan
    found = inverse.solve(given, prior, method)
    return float(mbir.planes(found.x[0], truth).volume), bool(found.diverged[0])


@pytest.mark.slow
def test_the_table_of_the_sheet_in_small(scan):
    _, given, truth = scan
    best, lost = decibels(scan, inverse.MBIR())
    assert not lost
    alone = float(mbir.planes(mbir.total_variation(given, steps=300, inner=10).x, truth).volume)
    apart = decibels(scan, inverse.MBIR(lam=0.0, inner=1))[0]
    shared, not_shared = decibels(scan, inverse.MBIR(inner=1))[0], decibels(scan, inverse.MBIR(inner=1, share=False))[0]
    assert best >= alone + 1.5
    assert best >= apart + 5
    assert shared >= not_shared + 1
    least = float(mbir.planes(given.operator.pinv(given.y), truth).volume)
    assert least < apart < best
    wild, lost = decibels(scan, inverse.MBIR(rho=1.0))
    assert lost
    assert wild < 0


def test_total_variation_converges_or_reports_that_it_did_not():
    """Two slices and the identity: each difference shrinks by 2 lam, shared by both sides."""
    y = np.random.default_rng(4).normal(size=(2, 3, 3))
    given = inverse.problem(Identity(y.shape), y, 0.0)
    half = np.clip(y[1] - y[0], -0.4, 0.4) / 2  # lam = 0.2
    for settings in ({}, {"rho": 0.01}):
        found = inverse.total_variation(given, 0.2, **settings)
        assert bool(found.converged)
        assert float(found.error) <= 1e-5
        np.testing.assert_allclose(found.x, np.stack([y[0] + half, y[1] - half]), atol=1e-5 * np.linalg.norm(y))
    with pytest.warns(NotConverged, match="total_variation did not converge in 3 iterations"):
        short = inverse.total_variation(given, 0.2, steps=3)
    assert not bool(short.converged)
    assert float(short.error) > 1e-3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": -3}, "steps = -3 is not allowed: steps must be a whole number of at least 1"),
        ({"steps": 2.5}, r"steps = 2.5 is not allowed"),
        ({"inner": 0}, "inner = 0 is not allowed"),
        ({"tolerance": -1.0}, "tolerance = -1 is not allowed"),
        ({"lam": -1.0}, "lam = -1"),
        ({"lam": float("nan")}, "lam = nan"),
    ],
)
def test_settings_of_total_variation_that_are_not_allowed(settings, said):
    given = inverse.problem(Identity((2, 1, 1)), np.ones((2, 1, 1)), 0.0)
    with pytest.raises(ValueError, match=said):
        inverse.total_variation(given, **settings)
