"""Quantiles of samples with gaps."""

import jax
import jax.numpy as jnp
import numpy as np

from lab.numerics.quantiles import quantiles


def test_quantiles_bear_what_is_missing_and_what_is_infinite():
    values = jnp.array([[3.0, 1.0, jnp.nan, 2.0], [1.0, jnp.inf, 2.0, jnp.inf]])
    np.testing.assert_array_equal(
        jax.jit(lambda v: quantiles(v, (0.0, 0.5, 1.0)))(values), [[1, 2, 3], [1, jnp.inf, jnp.inf]]
    )
