"""Selection and projections against brute force; the loop against itself."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import Chunked, Method, Reason, pure
from lab.numerics.projections import share, simplex, sparse_simplex
from lab.numerics.select import kth_largest, largest


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kth_largest_and_its_ties(seed):
    rng = np.random.default_rng(100 + seed)
    values = rng.integers(-3, 4, (9, 40)).astype(float) * rng.choice([1.0, 1e-300, 1e300, 0.0], (1, 40))
    for k in (1, 2, 5, 9):
        expected = np.sort(values, axis=0)[::-1][k - 1]
        np.testing.assert_array_equal(kth_largest(jnp.asarray(values), jnp.int32(k)), expected)
        chosen = np.asarray(largest(jnp.asarray(values), jnp.int32(k)))
        order = np.argsort(-values, axis=0, kind="stable")[:k]  # among equals the smallest index
        wanted = np.zeros(values.shape, bool)
        np.put_along_axis(wanted, order, True, axis=0)
        np.testing.assert_array_equal(chosen, wanted)


def _brute(v, b, k):
    best, where = np.inf, None
    for support in combinations(range(len(v)), k):
        u = np.sort(v[list(support)])[::-1]
        sums = (np.cumsum(u) - b) / np.arange(1, k + 1)
        t = np.zeros_like(v)
        t[list(support)] = np.maximum(v[list(support)] - sums[np.nonzero(u > sums)[0][-1]], 0)
        distance = ((t - v) ** 2).sum()
        if distance < best - 1e-15:
            best, where = distance, t
    return best, where


def test_sparse_simplex_is_the_best_over_all_supports():
    rng = np.random.default_rng(7)
    v = rng.normal(size=(6, 60)) * rng.choice([0.1, 1, 10], (1, 60))
    b = rng.uniform(0.1, 3, 60)
    for k in (1, 2, 3, 6):
        t, theta = sparse_simplex(jnp.asarray(v), jnp.asarray(b), jnp.int32(k))
        t = np.asarray(t)
        np.testing.assert_allclose(t.sum(axis=0), b, rtol=0, atol=1e-12)
        assert ((t > 0).sum(axis=0) <= k).all()
        assert (t >= 0).all()
        for j in range(60):
            best, _ = _brute(v[:, j], b[j], k)
            assert abs(((t[:, j] - v[:, j]) ** 2).sum() - best) <= 1e-12 * max(1, best)
            on = t[:, j] > 0
            np.testing.assert_allclose(t[on, j], v[on, j] - float(theta[j]), atol=1e-12)


def test_simplex_is_the_sparse_one_with_room_for_all():
    rng = np.random.default_rng(8)
    v, b = jnp.asarray(rng.normal(size=(12, 30))), jnp.asarray(rng.uniform(0.5, 2, 30))
    np.testing.assert_allclose(simplex(v, b)[0], sparse_simplex(v, b, jnp.int32(12))[0], atol=1e-14)
    one, _ = sparse_simplex(v, b, jnp.int32(1))
    np.testing.assert_array_equal(np.argmax(one, axis=0), np.argmax(v, axis=0))


def test_share_solves_its_equation():
    rng = np.random.default_rng(9)
    u = jnp.asarray(rng.exponential(size=(15, 20)))
    for k in (1, 3, 14):
        q = share(u, jnp.int32(k))
        np.testing.assert_allclose(jnp.minimum(u * q[None, :], 1).sum(axis=0), k, rtol=1e-12)
    assert np.isinf(share(u, jnp.int32(15))).all()


def _root() -> Method:
    """Newton's iteration for the square root of 2, slowed down."""
    return Method(
        init=lambda target: jnp.asarray(1.0),
        step=lambda target, x: x + 0.1 * (target / x - x),
        done=lambda target, x: jnp.where(jnp.abs(x * x - target) < 1e-9, Reason.CONVERGED, Reason.RUNNING),
        measure=lambda target, x: {"error": jnp.abs(x * x - target)},
    )


ROOT = _root()


def test_both_loops_give_the_same_iterates():
    whole, parts = pure(ROOT, 2.0, max_iterations=500), Chunked()(ROOT, 2.0, max_iterations=500)
    assert int(whole.iterations) == parts.iterations > 50
    assert float(whole.state) == float(parts.state)
    assert int(whole.reason) == parts.reason == Reason.CONVERGED
    np.testing.assert_array_equal(np.asarray(whole.trace["error"])[: parts.iterations], parts.trace["error"])
    assert np.isnan(whole.trace["error"][parts.iterations :]).all()


def test_a_loop_stops_on_request_and_goes_on_from_there():
    stopped = Chunked(lambda progress: True)(ROOT, 2.0, max_iterations=500)
    assert stopped.reason == Reason.STOPPED
    assert 0 < stopped.iterations < 10
    rest = Chunked()(ROOT, 2.0, stopped.state, max_iterations=500)
    assert rest.reason == Reason.CONVERGED
    assert float(rest.state) == float(pure(ROOT, 2.0, max_iterations=500).state)
    assert Chunked()(ROOT, 2.0, max_iterations=7).reason == Reason.MAX_ITERATIONS
    assert int(pure(ROOT, 2.0, max_iterations=7).reason) == Reason.MAX_ITERATIONS


def test_a_start_that_is_done_has_a_trace_of_no_rows():
    done = Chunked()(ROOT, 2.0, jnp.asarray(2.0**0.5), max_iterations=500)
    assert done.reason == Reason.CONVERGED
    assert done.iterations == 0
    assert done.trace["error"].shape == (0,)


def test_a_batch_of_loops_is_the_loop_for_each():
    targets = jnp.asarray([2.0, 3.0, 50.0])
    batch = jax.vmap(lambda target: pure(ROOT, target, max_iterations=500))(targets)
    for i, target in enumerate(targets):
        one = pure(ROOT, target, max_iterations=500)
        assert int(batch.iterations[i]) == int(one.iterations)
        np.testing.assert_allclose(batch.state[i], one.state, rtol=1e-15)
