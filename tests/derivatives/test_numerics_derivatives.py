"""The checks of the table find what they are there to find."""

import jax
import jax.numpy as jnp
import pytest
from derivatives.entries import Case, check_gradient, check_refusal

from lab.numerics.differentiation import NotDifferentiableError, refuse_derivative


def test_a_silent_zero_and_a_wrong_factor_are_found():
    silent = Case(lambda rng: (lambda x: jax.lax.stop_gradient(x) ** 2, {"x": rng.random(3)}), ("x",))
    half = Case(lambda rng: (lambda x: x**2 - jax.lax.stop_gradient(x) * x, {"x": rng.random(3)}), ("x",))
    for wrong in (silent, half):
        with pytest.raises(AssertionError):
            check_gradient(wrong, "x")
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            check_refusal(wrong, "x")


@pytest.mark.parametrize("wrapped", [lambda f: f, jax.jit, jax.vmap], ids=["plain", "jit", "vmap"])
def test_a_refused_derivative_raises_at_trace_time(wrapped):
    function = wrapped(lambda x: jnp.sign(refuse_derivative({"x": x}, "signs jump")["x"]))
    assert function(jnp.asarray([2.0])).tolist() == [1.0]
    for mode in (jax.grad(lambda x: function(x).sum()), lambda x: jax.jvp(function, (x,), (x,))):
        with pytest.raises(NotDifferentiableError, match="signs jump"):
            mode(jnp.asarray([2.0]))
    assert jax.grad(lambda y: (y * function(jnp.ones(1))).sum())(1.0) == 1.0  # what the derivative does not reach
