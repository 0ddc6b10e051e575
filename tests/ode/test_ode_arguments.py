"""Arguments of ``lab.ode``: lists and names are taken, and invalid values are named."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import ode


def decay(t, y):
    return -y


@pytest.mark.parametrize(
    ("told", "call"),
    [
        (
            r"field returns an array of shape \(1,\) .* for a state of shape \(2,\)",
            lambda: ode.solve(lambda t, y: y[:1], [1.0, 2.0]),
        ),
        ("field returns a tuple", lambda: ode.solve(lambda t, y: (y, y), [1.0, 2.0], h0=0.1)),
        ("field cannot be called", lambda: ode.solve(lambda t, y: y @ jnp.ones((3, 3)), [1.0, 2.0])),
        ("tableau = 'euler'", lambda: ode.RungeKutta(decay, "euler")),
        ("k = 0 is not allowed", lambda: ode.derivative(decay, 0)),
        ("k = 0 is not allowed", lambda: ode.bending(decay, 0)),
        ("finite", lambda: ode.amplification(ode.TSIT5, [np.nan])),
        ("rtol = -1", lambda: ode.first_step(decay, 0.0, [1.0], rtol=-1.0)),
        (r"counted has shape \(1,\)", lambda: ode.aggregate([1.0, 2.0], [True])),
    ],
)
def test_invalid_arguments_are_named(told, call):
    with pytest.raises(ValueError, match=told):
        call()


def test_lists_and_names_are_taken():
    assert ode.RungeKutta(decay, "tsit5").tableau is ode.TSIT5
    assert float(ode.aggregate([1, 5, 3], [True, False, True], "max")) == 3
    assert float(ode.first_step(decay, 0, [1], rtol=0.0, atol=1.0)) == pytest.approx(0.01**0.2, rel=1e-12)
