"""The chosen noise: its law, the denoiser under it, and what is lost and won."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from lab.paths import immiscible
from lab.paths.chi_squared import log_survival
from lab.paths.couplings import Assignment, Nearest
from lab.paths.fields import exact
from lab.paths.immiscible import NearestNoise, posterior, predict
from lab.paths.laws import standard
from lab.paths.schedules import ConstantSpeedVP, Linear

CORNERS = jnp.asarray([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]])


@pytest.mark.slow
def test_survival_is_that_of_scipy():
    survival = jax.jit(log_survival, static_argnums=1)
    nc = np.array([0.0, 1.7, 46.0, 300.0, 590.0, 5000.0])[:, None]  # the last is beyond the series
    for d in (2, 3, 64, 200):
        mean, sd = d + nc, np.sqrt(2 * d + 4 * nc)
        r = np.maximum(mean + sd * np.linspace(-5, 8, 14), 1e-3)
        wanted = np.concatenate([scipy.stats.chi2.logsf(r[:1], d), scipy.stats.ncx2.logsf(r[1:], d, nc[1:])])
        found = np.asarray(survival(r, d, nc))
        np.testing.assert_allclose(found[:5], wanted[:5], atol=1e-8)
        if d == 64:
            near = slice(2, 9)  # within three deviations
            np.testing.assert_allclose(found[5, near], wanted[5, near], atol=5e-3)
        if d == 3:  # where the linear value underflows
            far = survival(np.full(r.shape, 900.0), d, np.ones_like(nc))[0]
            assert -450 < far[0] < -390
    for d, large, tolerance in ((3072, 768.0, 5e-4), (256, 256.0, 5e-3)):
        r = d + large + np.sqrt(2 * d + 4 * large) * np.linspace(-3, 3, 14)
        np.testing.assert_allclose(survival(r, d, large), scipy.stats.ncx2.logsf(r, d, large), atol=tolerance)
    low = log_survival(jnp.asarray([40.0, 90.0], jnp.float32), 64, jnp.float32(12.0))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, scipy.stats.ncx2.logsf([40, 90], 64, 12), rtol=2e-4, atol=1e-6)


@pytest.mark.slow
def test_survival_has_its_derivatives():
    value = jax.jit(lambda r, nc: log_survival(r, 5, nc))
    slope = jax.jit(jax.grad(value, (0, 1)))
    step = 1e-5
    for r, nc in ((3.0, 2.0), (20.0, 4.0), (500.0, 450.0)):
        wanted = [
            (value(r + step, nc) - value(r - step, nc)) / (2 * step),
            (value(r, nc + step) - value(r, nc - step)) / (2 * step),
        ]
        np.testing.assert_allclose(slope(r, nc), wanted, rtol=1e-5)


@pytest.mark.slow
def test_density_of_the_chosen_noise():
    """Integrates to 1, and has the moments of the sheet; the coupling draws from it."""
    x, k = jnp.asarray([1.2, -0.5]), 4
    side = jnp.linspace(-7, 7, 351)
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    p = jnp.exp(immiscible.log_density(grid, x, k)) * (side[1] - side[0]) ** 2
    squared = (grid**2).sum(1)
    distance = jnp.sqrt(((grid - x[None]) ** 2).sum(1))
    moments = [p.sum(), *(p @ grid), p @ squared, p @ distance]
    np.testing.assert_allclose(moments, [1, 0.72436, -0.30182, 1.40113, 0.917845], atol=1e-4)
    n = 20_000
    noise = jax.random.normal(jax.random.key(0), (n, 2))
    drawn = Nearest(k)(jax.random.key(1), noise, jnp.broadcast_to(x, (n, 2))).x0
    apart = jnp.linalg.norm(drawn - x[None], axis=1)
    for sample, wanted in zip((*drawn.T, (drawn**2).sum(1), apart), moments[1:], strict=True):
        assert abs(sample.mean() - wanted) < 4 * sample.std() / np.sqrt(n)


@pytest.mark.slow
def test_predictions_for_many_dimensions():
    m = [0.5642, 1.0294, 1.4236, 1.7660, 2.0697, 2.3437]
    np.testing.assert_allclose(immiscible.largest_of(jnp.asarray([2, 4, 8, 16, 32, 64])), m, atol=5e-5)
    d, n, k = 768, 1000, 8
    x = jnp.full((n, d), 0.5)
    noise = jax.random.normal(jax.random.key(0), (2, n, d))
    chosen = Nearest(k)(jax.random.key(1), noise[0], x).x0
    found = immiscible.noise_statistics(x, chosen, noise[1])
    expected = predict(k, d, 0.25 * d)
    np.testing.assert_allclose(found.reduction.value, expected.reduction, rtol=0.03)
    np.testing.assert_allclose(found.norm_drift.value * d, expected.norm_shift, rtol=0.06)
    np.testing.assert_allclose((chosen @ x[0]).mean() / jnp.linalg.norm(x[0]), expected.projection, rtol=0.06)
    assert found.reduction.error < 0.05 * found.reduction.value
    assert -found.norm_drift.value > 10 * found.norm_drift_error
    kept = immiscible.noise_statistics(x, noise[0], noise[1])
    assert abs(kept.norm_drift.value) < 4 * kept.norm_drift_error
    np.testing.assert_allclose(kept.norm_drift.error, kept.norm_drift_error, rtol=0.1)
    np.testing.assert_allclose(kept.mean_drift, np.sqrt(d / n), rtol=0.1)
    moved = Assignment("norm")(jax.random.key(2), noise[0, :64], x[:64] * jnp.linspace(-1, 1, 64)[:, None])
    still = immiscible.noise_statistics(moved.x1, moved.x0, noise[0, :64])
    assert still.reduction.value > 0
    np.testing.assert_allclose(still.norm_drift.value, (noise[0, :64] ** 2).mean() - 1, atol=1e-12)


@pytest.mark.slow
def test_denoiser_is_the_mean_of_what_was_drawn():
    """Queries drawn by the coupling, binned in the plane: the mean noise of a bin is the mean of the exact one."""
    n, k, ab = 15_000, 4, 0.1
    index = jax.random.randint(jax.random.key(0), (n,), 0, 3)
    noise = jax.random.normal(jax.random.key(1), (n, 2))
    noise = Nearest(k)(jax.random.key(2), noise, CORNERS[index]).x0
    x = jnp.sqrt(ab) * CORNERS[index] + jnp.sqrt(1 - ab) * noise
    field = exact(ConstantSpeedVP(), standard(2), CORNERS, tilt=NearestNoise(k))
    found = field(np.sqrt(ab), x)
    found, w, corners, at = jax.tree.map(np.asarray, (found, posterior(x, CORNERS, ab, k), CORNERS, x))
    np.testing.assert_allclose(found.x1, w @ corners, atol=1e-10)
    np.testing.assert_allclose(np.sqrt(ab) * found.x1 + np.sqrt(1 - ab) * found.x0, at, atol=1e-12)
    each_noise = (at[:, None] - np.sqrt(ab) * corners[None]) / np.sqrt(1 - ab)
    variance = (w[:, :, None] * (each_noise - found.x0[:, None]) ** 2).sum(1)
    cell = (np.floor(at[:, 0] + 3) * 6 + np.floor(at[:, 1] + 3)).astype(int)
    checked = 0
    for each in np.unique(cell):
        inside = cell == each
        if inside.sum() > 250:
            apart = np.asarray(noise - found.x0)[inside].sum(0)
            assert (np.abs(apart) < 4.5 * np.sqrt(variance[inside].sum(0))).all()
            checked += 1
    assert checked > 12
    # the density of the path integrates the tilt: its gradient is the score of the field
    some, step = x[:3], 1e-5
    for axis in (0, 1):
        shift = step * jnp.eye(2)[axis][None]
        wanted = (field(0.3, some + shift).log_density - field(0.3, some - shift).log_density) / (2 * step)
        np.testing.assert_allclose(field(0.3, some).score[:, axis], wanted, atol=1e-6)


@pytest.mark.slow
def test_one_noise_is_the_standard_denoiser():
    x = jax.random.normal(jax.random.key(0), (6, 2))
    plain = exact(Linear(), standard(2), CORNERS)(0.3, x)
    one = exact(Linear(), standard(2), CORNERS, tilt=NearestNoise(1))(0.3, x)
    np.testing.assert_allclose(one.velocity, plain.velocity, atol=1e-12)
    np.testing.assert_allclose(one.x1, plain.x1, atol=1e-12)
    ab = 0.16
    w = jax.nn.softmax(-((x[:, None] - 0.4 * CORNERS[None]) ** 2).sum(-1) / (2 * (1 - ab)), axis=1)
    np.testing.assert_allclose(posterior(x, CORNERS, ab), w, atol=1e-12)


@pytest.mark.slow
def test_miscibility_of_three_points():
    """H = 1, .848, .472, .139, .0004 at pure noise for k = 1, 2, 4, 8, 32; less noise and more choice mix less."""
    n = 8000
    index = jax.random.randint(jax.random.key(0), (n,), 0, 3)
    noise = jax.random.normal(jax.random.key(1), (n, 2))
    measure = jax.jit(immiscible.miscibility)

    def at(k, ab):
        chosen = Nearest(k)(jax.random.key(2), noise, CORNERS[index]).x0
        return measure(chosen, index, CORNERS, ab, k)

    found = {k: at(k, 0.0) for k in (1, 2, 4, 8, 32)}
    for k, wanted in zip(found, (1, 0.848, 0.472, 0.139, 0.0004), strict=True):
        entropy = found[k].entropy
        assert abs(entropy.value - wanted) < 4 * entropy.error + 1e-3
        assert entropy.error < 0.02
    np.testing.assert_allclose(found[1].collision.value, 1 / 3, rtol=1e-12)
    assert found[8].collision.value > found[4].collision.value > found[2].collision.value
    clear = at(4, 0.999)
    assert clear.entropy.value < 1e-3
    np.testing.assert_allclose(clear.collision.value, 1, atol=1e-3)
    losses = [at(k, 0.3).noise_error for k in (1, 4, 8)]
    for more, less in itertools.pairwise(losses):
        assert less.value < more.value + 3 * np.hypot(less.error, more.error)


def test_prices_are_those_of_assignment():
    """Whatever the first noise is, datum and price choose for it as the whole assignment does; against brute force too."""
    rng = np.random.default_rng(0)
    for b in (1, 2, 7, 16):
        costs = rng.random((b, b))
        price = np.asarray(immiscible.prices(jnp.asarray(costs)))
        for _ in range(10):
            costs[:, 0] = rng.random(b)
            rows, columns = scipy.optimize.linear_sum_assignment(costs)
            assert (costs[:, 0] + price).argmin() == rows[columns == 0][0]
        rest = [
            scipy.optimize.linear_sum_assignment(np.delete(costs[:, 1:], j, axis=0)) for j in range(b)
        ]  # without datum j
        total = [np.delete(costs[:, 1:], j, axis=0)[found].sum() for j, found in enumerate(rest)]
        np.testing.assert_allclose(price, np.asarray(total) - min(total), atol=1e-12)
    ties = immiscible.prices(jnp.ones((5, 5)))
    np.testing.assert_allclose(ties, 0, atol=1e-12)


def test_assigned_is_the_share_of_batches():
    """Prices of a point are the least of its copies in a batch; the share counts what the whole assignment does."""
    rng, b, r = np.random.default_rng(1), 8, 40
    index, noise = rng.integers(3, size=(r, b)), rng.normal(size=(r, b, 2))
    corners, first = np.asarray(CORNERS), rng.normal(size=2)
    noise[:, 0] = first
    costs = np.linalg.norm(corners[index][:, :, None] - noise[:, None], axis=3)
    each = jax.vmap(immiscible.prices)(jnp.asarray(costs))
    price = jax.vmap(immiscible.prices_of_points, (0, 0, None))(each, jnp.asarray(index), 3)
    wanted = np.zeros(3)
    for at in range(r):
        rows, columns = scipy.optimize.linear_sum_assignment(costs[at])
        wanted[index[at, rows[columns == 0][0]]] += 1
    far = jnp.asarray(np.broadcast_to(np.linalg.norm(corners - first, axis=1), (1, 3, 3)))
    np.testing.assert_allclose(immiscible.assigned(far, price), (wanted + 1 / 3)[None] / (r + 1), atol=1e-12)
    left = immiscible.assigned(far, price, jnp.asarray([0]))
    lost = index[0, scipy.optimize.linear_sum_assignment(costs[0])[1].tolist().index(0)]
    np.testing.assert_allclose(left, (wanted - (np.arange(3) == lost) + 1 / 3)[None] / r, atol=1e-12)


@pytest.mark.slow
def test_scaled_images_are_another_noise_level():
    x = jax.random.normal(jax.random.key(0), (5, 2))
    ab, c = 0.2, 3.0
    other = immiscible.scaled(ab, c)
    np.testing.assert_allclose(other, 9 * 0.2 / (0.8 + 1.8), rtol=1e-12)
    np.testing.assert_allclose(
        posterior(x, c * CORNERS, ab), posterior(x / jnp.sqrt(1 - ab + c**2 * ab), CORNERS, other), atol=1e-12
    )


def test_cluster_distance():
    noise = jax.random.normal(jax.random.key(0), (30, 50, 16))
    found = immiscible.cluster_distance(noise)
    assert abs(found.value - np.sqrt(2 * 16 / 50)) < 4 * found.error + 0.02
    means = np.asarray(noise).mean(1)
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.testing.assert_allclose(found.value, apart.sum() / (30 * 29), rtol=1e-10)


def test_refusals():
    x = jnp.zeros((2, 2))
    for make, sentence in (
        (lambda: NearestNoise(0), "k = 0, but at least one noise is needed"),
        (lambda: predict(0.5, 10, 1.0), "k = 0.5"),
        (lambda: posterior(x, CORNERS, 1.0), "alpha_bar = 1.0, but it must be at least 0 and below 1"),
        (lambda: immiscible.scaled(0.5, -1.0), "c = -1.0"),
        (lambda: immiscible.noise_statistics(x, x, x[:1]), "but they must agree"),
        (lambda: immiscible.cluster_distance(jnp.zeros((1, 4, 2))), "at least two"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make()


def test_numbers_of_noises_and_shares_that_are_none_are_refused():
    for call in (lambda: immiscible.largest_of(0.5), lambda: immiscible.scaled(1.5, 2.0)):
        with pytest.raises(ValueError, match="but"):
            call()
