"""Work on many items by a loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import Chunked, Reason, map_rows, pure


class Scaled(eqx.Module):
    by: jax.Array

    def __call__(self, item):
        row, number = item
        return {"sum": self.by * row.sum(), "row": row + number}


ITEMS = jnp.arange(12.0).reshape(4, 3), jnp.arange(4)


@pytest.mark.parametrize("loop", [pure, Chunked()])
def test_it_is_a_map(loop):
    found, reason = map_rows(loop, Scaled(jnp.asarray(2.0)), ITEMS)
    wanted = jax.lax.map(Scaled(jnp.asarray(2.0)), ITEMS)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert reason == Reason.CONVERGED


def test_what_a_stop_leaves_out_is_not_a_number():
    found, reason = map_rows(Chunked(lambda progress: True), Scaled(jnp.asarray(2.0)), ITEMS)
    assert reason == Reason.STOPPED
    np.testing.assert_array_equal(np.isfinite(found["sum"]), [True, False, False, False])
    assert np.isnan(found["row"][1:]).all()


def test_under_vmap():
    found = jax.vmap(lambda by: map_rows(pure, Scaled(by), ITEMS)[0]["sum"])(jnp.asarray([1.0, 3.0]))
    np.testing.assert_array_equal(found, np.outer([1, 3], ITEMS[0].sum(axis=1)))
