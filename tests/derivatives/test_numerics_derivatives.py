"""The checks of the table find what they are there to find."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives.entries import Case, check_gradients, check_refusals

from lab.numerics.differentiation import NotDifferentiableError, refuse_derivative
from lab.numerics.neighbours import nearest
from lab.numerics.projections import share, simplex, sparse_simplex
from lab.numerics.quantiles import quantiles


def test_a_silent_zero_and_a_wrong_factor_are_found():
    def inputs(rng):
        return {"x": rng.random(3), "y": rng.random(3)}

    silent = lambda x, y: jax.lax.stop_gradient(x) ** 2 + y**3  # noqa: E731
    half = lambda x, y: x**2 - jax.lax.stop_gradient(x) * x + y**3  # noqa: E731
    for wrong in (silent, half):
        for compiled in (False, True):
            case = Case(lambda rng, wrong=wrong: (wrong, inputs(rng)), ("x", "y"), {"x": ""}, compiled=compiled)
            with pytest.raises(AssertionError, match="x"):
                check_gradients(case)
            with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
                check_refusals(case)


@pytest.mark.parametrize("wrapped", [lambda f: f, jax.jit, jax.vmap], ids=["plain", "jit", "vmap"])
def test_a_refused_derivative_raises_at_trace_time(wrapped):
    function = wrapped(lambda x: jnp.sign(refuse_derivative({"x": x}, "signs jump")["x"]))
    assert function(jnp.asarray([2.0])).tolist() == [1.0]
    for mode in (jax.grad(lambda x: function(x).sum()), lambda x: jax.jvp(function, (x,), (x,))):
        with pytest.raises(NotDifferentiableError, match="signs jump"):
            mode(jnp.asarray([2.0]))
    assert jax.grad(lambda y: (y * function(jnp.ones(1))).sum())(1.0) == 1.0  # what the derivative does not reach


def _columns(rng):
    return {"v": jnp.asarray(rng.normal(size=(6, 2))), "b": 0.5 + jnp.asarray(rng.random(2))}


SHARED = {
    "simplex": Case(lambda rng: (simplex, _columns(rng)), ("v", "b")),
    "sparse_simplex": Case(lambda rng: (lambda v, b: sparse_simplex(v, b, jnp.int32(2)), _columns(rng)), ("v", "b")),
    "share": Case(lambda rng: (lambda u: share(u, jnp.int32(2)), {"u": 0.1 + rng.random((6, 2))}), ("u",)),
    "nearest": Case(
        lambda rng: (
            lambda x, candidates: nearest(x, candidates, 2).distance,
            {"x": jnp.asarray(rng.normal(size=(3, 2))), "candidates": jnp.asarray(rng.normal(size=(5, 2)))},
        ),
        ("x", "candidates"),
    ),
    "quantiles": Case(
        lambda rng: (lambda values: quantiles(values, (0.3, 0.8)), {"values": rng.random((2, 5))}), ("values",)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_what_fields_share_is_differentiable_in_both_modes(name):
    check_gradients(SHARED[name])


def test_a_distance_of_equal_points_has_the_derivative_zero():
    slope = jax.grad(lambda x: nearest(x, jnp.zeros((1, 2))).distance.sum())(jnp.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(slope, [[0.0, 0.0], [0.6, 0.8]], atol=1e-15)


def test_levels_of_quantiles_lie_between_0_and_1():
    with pytest.raises(ValueError, match=r"levels = 1\.5 is not allowed"):
        quantiles(jnp.ones(3), (1.5,))
