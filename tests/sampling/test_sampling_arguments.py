"""Invalid input of chains, coresets, subsets and bounds: each error names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import sampling
from lab.sampling import chains, coresets, least_squares, subsets

KEY, L = jax.random.key(0), np.eye(4)
ROWS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
LENGTH = jnp.ones(())


def compared(**change):
    given = {"rows": jnp.asarray(ROWS), "length_scale": LENGTH, "median": LENGTH, "key": KEY, "k": 2, "size": 1}
    given |= {"spectrum": subsets.decompose(ROWS, 2), "classes": jnp.zeros(4, int), "kernel": "gaussian"}
    return coresets.Comparison(**(given | change))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("kernel", lambda: chains.exchange(KEY, np.eye(3), 4, [0], 2)),  # indices beyond it were clipped
        ("start", lambda: chains.exchange(KEY, L, 4, [0.5, 1.5], 2)),  # was cut to [0, 1]
        ("states", lambda: chains.exchange(KEY, L, 4, [0], 0)),
        ("thin", lambda: chains.exchange(KEY, L, 4, [0], 2, 0)),
        ("limit", lambda: chains.add_delete(KEY, L, 4, [], 2, 2.5)),
        ("k", lambda: compared(k=5)),
        ("size", lambda: compared(size=0)),
        ("rank", lambda: subsets.low_rank(ROWS, 0)),
        ("indices", lambda: subsets.coverage(ROWS, [4])),
        ("most", lambda: subsets.median_distance(ROWS, 1)),
        ("rows", lambda: subsets.median_distance(ROWS[:1])),
        ("m", lambda: least_squares.failure_bound(0, 5, 0.5)),
        ("delta", lambda: least_squares.points_needed(3, 0.0, 0.5)),
        ("eta", lambda: least_squares.points_needed(3, 0.5, 0.0)),
        ("probability", lambda: least_squares.expected_ratio(5, 0.5, 1.5)),
    ],
)
def test_an_error_names_the_invalid_argument(name, call):
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        call()


def test_one_row_is_a_diverse_subset_of_itself():
    found = sampling.diverse(KEY, ROWS[:1], 1)
    assert found.indices.tolist() == [0]
    np.testing.assert_allclose(found.probabilities, 1)
