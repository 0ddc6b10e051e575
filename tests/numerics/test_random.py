"""Draws are those of ``jax.random``, number for number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import random

KEY = jax.random.key(7)
SHAPES = [(), (5,), (3, 4), (2, 1, 3, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_real_numbers(shape, dtype):
    for name in ("normal", "uniform"):
        found = getattr(random, name)(KEY, shape, dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, getattr(jax.random, name)(KEY, shape, dtype))
    np.testing.assert_array_equal(
        random.uniform(KEY, shape, dtype, -2.0, 3.0), jax.random.uniform(KEY, shape, dtype, -2.0, 3.0)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_numbers_and_signs(shape):
    np.testing.assert_array_equal(random.randint(KEY, shape, -3, 1000), jax.random.randint(KEY, shape, -3, 1000))
    np.testing.assert_array_equal(random.rademacher(KEY, shape, float), jax.random.rademacher(KEY, shape, float))
    assert random.randint(KEY, shape, 0, 9).dtype == jax.random.randint(KEY, shape, 0, 9).dtype


def test_ends_of_each_entry():
    high = jnp.asarray([2, 5, 11])[:, None]
    np.testing.assert_array_equal(random.randint(KEY, (3, 4), 0, high), jax.random.randint(KEY, (3, 4), 0, high))


@pytest.mark.parametrize(("axis", "shape"), [(-1, None), (0, None), (1, None), (0, (9, 4)), (1, (2, 3))])
def test_categories(axis, shape):
    logits = jax.random.normal(jax.random.key(1), (3, 4))
    np.testing.assert_array_equal(
        random.categorical(KEY, logits, axis, shape), jax.random.categorical(KEY, logits, axis, shape)
    )


def test_categories_of_one_law_for_many():
    logits = jax.random.normal(jax.random.key(1), (3, 1, 4))
    found = random.categorical(KEY, logits, shape=(3, 6))
    np.testing.assert_array_equal(found, jax.random.categorical(KEY, logits, shape=(3, 6)))


def test_of_many_keys():
    keys = jax.random.split(KEY, 6)
    found = jax.vmap(lambda key: random.normal(key, (3, 2)))(keys)
    np.testing.assert_array_equal(found, jax.vmap(lambda key: jax.random.normal(key, (3, 2)))(keys))


def test_single_precision_is_kept_where_it_is_set():
    with jax.enable_x64(False):
        assert random.normal(KEY, (2, 2)).dtype == jnp.float32
        assert random.randint(KEY, (2, 2), 0, 3).dtype == jnp.int32
