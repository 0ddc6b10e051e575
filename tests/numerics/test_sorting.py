"""Sorting on the host: the numbers and derivatives of XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import sorting

X = np.random.default_rng(0).normal(size=(3, 1000))
X[:, 500:510] = X[:, :1]  # ties


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_a_sort(dtype):
    x = jnp.asarray(X.astype(dtype))
    assert sorting._on_host(x) == (jax.default_backend() == "cpu")
    found = jax.jit(sorting.ascending)(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.sort(X.astype(dtype), axis=1))
    np.testing.assert_array_equal(jax.vmap(sorting.ascending)(x), found)
    assert not sorting._on_host(x[:, :999])
    np.testing.assert_array_equal(sorting.ascending(x[:, :999]), np.sort(x[:, :999], axis=1))


def test_its_derivatives_hold_the_order():
    x, w = jnp.asarray(X), jnp.asarray(np.random.default_rng(1).normal(size=X.shape))
    ranks = np.argsort(np.argsort(X, axis=1, kind="stable"), axis=1, kind="stable")
    slope = jax.jit(jax.grad(lambda x: (w * sorting.ascending(x)).sum()))(x)
    alone = np.ones(1000, bool)
    alone[[0, *range(500, 510)]] = False  # of ties any order is one
    np.testing.assert_allclose(slope[:, alone], np.take_along_axis(np.asarray(w), ranks, 1)[:, alone], rtol=1e-12)
    np.testing.assert_allclose(slope.sum(), w.sum(), rtol=1e-9)
    value, change = jax.jvp(sorting.ascending, (x,), (w,))
    np.testing.assert_array_equal(value, np.sort(X, axis=1))
    assert float((change * w).sum()) == pytest.approx(float((slope * w).sum()), rel=1e-9)
