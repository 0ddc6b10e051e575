"""The three rules on the same batches, and the exact denoisers under them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from lab import paths
from lab.datasets.samples import THREE_POINTS as POINTS
from lab.paths import immiscible
from lab.paths import immiscible_rules as rules
from lab.paths.fields import exact
from lab.paths.immiscible import NearestNoise
from lab.paths.immiscible_denoisers import Denoisers


@pytest.fixture(scope="module")
def small() -> tuple[rules.Batches, jax.Array, jax.Array]:
    """Batches of eight of the three points, their assignments and prices."""
    work = rules.Batches(jax.random.key(3), jnp.asarray(POINTS), 300, 8, "norm")
    state = rules.ASSIGN.init(work)
    state = jax.lax.fori_loop(0, 300, lambda _, state: rules.ASSIGN.step(work, state), state)
    return work, state.order, state.price


@pytest.mark.slow
def test_assignment_permutes_the_noise_at_least_cost(small):
    """Sorted noises unchanged; scipy's cost; no permutation tried is cheaper."""
    work, order, _ = small
    drawn = rules.pair(work, order, jnp.int32(2))
    rng = np.random.default_rng(0)
    for batch in range(5):
        base, moved, near = np.asarray(drawn.noise[:, batch])
        np.testing.assert_array_equal(np.sort(moved, axis=0), np.sort(base, axis=0))
        x = POINTS[np.asarray(drawn.index[batch])]
        costs = np.linalg.norm(x[:, None] - base[None], axis=2)
        rows, columns = scipy.optimize.linear_sum_assignment(costs)
        total = np.linalg.norm(x - moved, axis=1).sum()
        np.testing.assert_allclose(total, costs[rows, columns].sum(), atol=1e-12)
        for _ in range(200):
            assert total <= np.linalg.norm(x - base[rng.permutation(8)], axis=1).sum() + 1e-12
        assert (np.linalg.norm(x - near, axis=1) <= np.linalg.norm(x - base, axis=1)).all()


@pytest.mark.slow
def test_assignment_is_that_of_pot(small):
    import ot

    work, order, _ = small
    drawn = rules.pair(work, order, jnp.int32(1))
    x, base, moved = POINTS[np.asarray(drawn.index[7])], *np.asarray(drawn.noise[:2, 7])
    optimal = ot.emd2([], [], ot.dist(x, base, metric="euclidean"))
    np.testing.assert_allclose(np.linalg.norm(x - moved, axis=1).sum(), 8 * optimal, rtol=1e-9)


@pytest.mark.slow
def test_query_is_in_the_cell_of_its_prices(small):
    """The first noise of a batch goes to the point of least distance plus price, in each of 300 batches."""
    work, order, price = small
    drawn = rules.pair(work, order, jnp.int32(1))
    apart = np.linalg.norm(np.asarray(drawn.query_noise[1])[:, None] - POINTS[None], axis=2)
    np.testing.assert_array_equal((apart + np.asarray(price)).argmin(axis=1), drawn.query_index[1])


@pytest.mark.slow
def test_denoiser_under_assignment_is_the_mean_of_what_was_drawn(small):
    """Of 2400 pairs at a level of noise, cell by cell of the plane: shares of the images against their posterior."""
    work, order, price = small
    drawn = rules.pair(work, order, jnp.int32(1))
    index, noise = drawn.index.ravel(), drawn.noise[1].reshape(-1, 2)
    level = 0.05
    x = jnp.sqrt(level) * work.x[index] + jnp.sqrt(1 - level) * noise
    known = Denoisers(work.x, jnp.asarray(1.0), price, "norm")
    w = np.asarray(known.weights(jnp.broadcast_to(x, (3, *x.shape)), jnp.sqrt(level), jnp.sqrt(1 - level))[1])
    hot = np.eye(3)[np.asarray(index)]
    cell = np.asarray(jnp.floor(x[:, 0]) * 10 + jnp.floor(x[:, 1])).astype(int)
    checked = 0
    for each in np.unique(cell):
        inside = cell == each
        if inside.sum() > 100:
            error = np.sqrt((w * (1 - w))[inside].sum(0) / inside.sum() ** 2) + 0.02  # of 300 batches
            assert (abs((hot - w)[inside].mean(0)) < 4 * error).all(), each
            checked += 1
    assert checked > 8


@pytest.mark.slow
def test_denoisers_without_batches_are_the_exact_fields():
    x = jax.random.normal(jax.random.key(0), (6, 2))
    known = Denoisers(jnp.asarray(POINTS), jnp.asarray(4.0), jnp.zeros((1, 3)), "norm")
    t = 0.3
    w = known.weights(jnp.broadcast_to(x, (3, 6, 2)), t, 1 - t)
    for at, tilt in ((0, None), (2, NearestNoise(4.0))):
        field = exact(paths.Linear(), paths.standard(2), jnp.asarray(POINTS), tilt=tilt)
        np.testing.assert_allclose(w[at] @ POINTS, field(t, x).x1, atol=1e-12)
        np.testing.assert_allclose((w[at] @ POINTS - x) / (1 - t), field.velocity(t, x), atol=1e-12)


@pytest.mark.slow
def test_clusters_are_those_of_the_paper_less_the_sampling():
    """With many noises each, the mean distance of three centres at equal distances is the root mean square."""
    corners = 3 * np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    rng = np.random.default_rng(0)
    noise = corners[:, None] / 6 + rng.normal(size=(3, 5000, 2))
    index = np.repeat(np.arange(3), 5000)
    found = immiscible.cluster_spread(jnp.asarray(noise.reshape(-1, 2)), jnp.asarray(index), 3)
    np.testing.assert_allclose(found, immiscible.cluster_distance(jnp.asarray(noise)).value, rtol=2e-3)
    few = [  # without choice it is about 0, however few noises there are
        float(
            immiscible.cluster_spread(
                jnp.asarray(rng.normal(size=(900, 16))), jnp.asarray(rng.integers(300, size=900)), 300
            )
        )
        ** 2
        for _ in range(4)
    ]
    assert np.mean(few) < 0.05 * 2 * 16 / 3
