"""Faults of ``lab.numerics`` that random problems have found."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import mixtures, projections, quantiles, roots, select, sorting, statistics

TWO = mixtures.Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [0.25, 0.25])
TABLE = jnp.array([[1.0, 4.0], [3.0, 2.0]])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x", lambda: TWO.log_prob(jnp.zeros((3, 1)))),  # broadcast to both coordinates before
        ("x", lambda: TWO.score(jnp.zeros(2))),
        ("y", lambda: TWO.denoise(jnp.zeros((3, 1)), 1.0, 1.0)),
        ("noise", lambda: TWO.observe(jnp.eye(2), jnp.zeros(2), jnp.eye(1))),
        ("dimension", lambda: mixtures.standard(0)),
        ("k", lambda: select.kth_largest(TABLE, jnp.asarray(0))),
        ("values", lambda: select.largest(TABLE * jnp.nan, jnp.asarray(1))),
        ("k", lambda: projections.sparse_simplex(TABLE, jnp.ones(2), jnp.asarray(3))),
        ("b", lambda: projections.simplex(TABLE, -jnp.ones(2))),
        ("x", lambda: sorting.ascending(jnp.asarray(1.0))),
        ("values", lambda: quantiles.quantiles(jnp.asarray(1.0), [0.5])),
        ("values", lambda: statistics.mean_interval(None)),
        ("count", lambda: statistics.student("a")),
    ],
)
def test_an_error_names_the_invalid_argument(name, call):
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        call()


def test_eigenvalues_left_by_rounding_count_as_zero():
    v = np.array([1.0, 0.1, 0.3])
    flat = np.outer(v, v)  # its other eigenvalues are of the size of 1e-17
    np.testing.assert_allclose(roots.inverse(jnp.asarray(flat)), flat / (v @ v) ** 2, atol=1e-12)
    np.testing.assert_allclose(roots.root(jnp.asarray(flat)), flat / np.sqrt(v @ v), atol=1e-12)


def test_equal_numbers_are_ordered_as_they_come():
    x, change = jnp.zeros(1200), jnp.arange(1200.0)
    np.testing.assert_array_equal(sorting._order(x), change)
