"""What is on the device does not change with the array it came from."""

import jax.numpy as jnp
import numpy as np

from lab import ot, paths
from lab.numerics.host import placed
from lab.paths.laws import target_of


def aligned(x):
    """A copy at an address that JAX could share."""
    x = np.asarray(x, float)
    raw = np.zeros(x.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    made = raw[start : start + x.nbytes].view(float).reshape(x.shape)
    made[...] = x
    return made


def test_what_is_written_later_is_not_seen():
    for size in (1, 3, 64, 5000):
        x = aligned(np.arange(size))
        there = placed(x)
        x[...] = -1
        assert there.tolist() == list(range(size))
    there = jnp.ones(3)
    assert placed(there) is there


def test_problems_and_laws_keep_their_numbers():
    cost, x = aligned(np.arange(16.0).reshape(4, 4)), aligned(np.arange(8.0).reshape(4, 2))
    a = aligned(np.full(4, 0.25))
    problem, law = ot.problem(cost, a, a), target_of({"x": x})
    for each in (cost, x, a):
        each[...] = -7
    assert problem.cost.tolist() == np.arange(16.0).reshape(4, 4).tolist()
    assert problem.a.tolist() == [0.25] * 4
    assert law.points.tolist() == np.arange(8.0).reshape(4, 2).tolist()
    assert isinstance(law, paths.Empirical)
