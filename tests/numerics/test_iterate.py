"""The loops: the same iterates whole, in chunks, and after a pause."""

import jax
import jax.numpy as jnp
import numpy as np

from lab.numerics import Chunked, Method, Reason, first_failure, pure

# Newton's method for a square root, whose steps are of another kind near the end
ROOT = Method(
    init=lambda a: jnp.asarray(a, jnp.float64),
    step=lambda a, x: (x + a / x) / 2,
    done=lambda a, x: jnp.where(jnp.abs(x * x - a) <= 1e-12 * a, Reason.CONVERGED, Reason.RUNNING),
    measure=lambda a, x: {"residual": jnp.abs(x * x - a)},
    kind=lambda x: (x < 3000).astype(jnp.int32),
)


def same(one, other):
    assert int(one.iterations) == int(other.iterations)
    assert int(one.reason) == int(other.reason)
    np.testing.assert_array_equal(one.state, other.state)
    count = int(one.iterations)
    np.testing.assert_array_equal(
        np.asarray(one.trace["residual"])[:count], np.asarray(other.trace["residual"])[:count]
    )


def test_chunks_are_the_whole():
    whole = pure(ROOT, 2e6, max_iterations=100)
    assert int(whole.iterations) > 10
    assert int(whole.reason) == Reason.CONVERGED
    same(whole, Chunked()(ROOT, 2e6, max_iterations=100))


def test_a_chunk_ends_where_the_kind_of_steps_changes():
    seen = []
    Chunked(lambda progress: seen.append(float(progress.state)), seconds=10.0)(ROOT, 4e6, max_iterations=100)
    x = ROOT.init(4e6)
    while x >= 3000:
        x = ROOT.step(4e6, x)
    assert float(x) in seen


def test_a_paused_run_ends_as_it_would_have():
    whole = pure(ROOT, 2e6, max_iterations=100)
    loop = Chunked(pause=0.0)
    first = loop(ROOT, 2e6, max_iterations=100)
    second = loop(ROOT, 7.0, max_iterations=100)
    assert loop.paused or int(second.reason) == Reason.CONVERGED
    assert int(first.reason) == Reason.STOPPED
    assert 0 < int(first.iterations) < int(whole.iterations)
    loop.replay()
    same(whole, loop(ROOT, 2e6, max_iterations=100))
    same(pure(ROOT, 7.0, max_iterations=100), loop(ROOT, 7.0, max_iterations=100))
    assert not loop.paused


def test_the_parts_of_a_run_are_told_apart():
    seen = []
    loop = Chunked(lambda progress: seen.append((progress.part, progress.iteration)))
    ends = [int(loop(ROOT, start, max_iterations=100).iterations) for start in (2e6, 7.0)]
    assert [max(done for part, done in seen if part == number) for number in (1, 2)] == ends
    assert seen == sorted(seen)


def test_a_stop_is_no_pause():
    loop = Chunked(lambda progress: True, pause=0.0)
    assert int(loop(ROOT, 2e6, max_iterations=100).reason) == Reason.STOPPED
    assert not loop.paused


def test_many_quick_steps():
    count = Method(
        init=lambda n: jnp.zeros((), jnp.int32),
        step=lambda n, x: x + 1,
        done=lambda n, x: jnp.where(x >= n, Reason.CONVERGED, Reason.RUNNING),
        measure=lambda n, x: {"x": 1.0 * x},
    )
    run = Chunked(seconds=10.0)(count, 40_000, max_iterations=50_000)
    assert (int(run.state), int(run.iterations), run.trace["x"][-1]) == (40_000, 40_000, 40_000)


def test_first_failure_of_whole_numbers_and_of_traced_ones():
    good, late, cut = Reason.CONVERGED, Reason.MAX_ITERATIONS, Reason.STOPPED
    assert int(first_failure()) == int(first_failure(good, 1, jnp.int32(1))) == good
    assert int(first_failure(good, cut, late)) == int(jax.jit(first_failure)(1, int(cut), jnp.int64(late))) == cut
    assert first_failure(good, cut).dtype == jnp.int32
    each = jax.vmap(first_failure, (0, 0, None))(jnp.asarray([1, 1, 3]), jnp.asarray([1, 4, 4]), int(good))
    np.testing.assert_array_equal(each, [1, 4, 3])
