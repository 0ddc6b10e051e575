"""Array arguments: lists, types, shapes and values by the annotations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import arguments
from lab.numerics.differentiation import NotDifferentiableError, without_derivative


@arguments.arrays(scale=arguments.POSITIVE, y=arguments.ANY)
def total(
    x: Float[Array, "*t n 2"],
    y: Float[Array, "*t n"] | None = None,
    k: Int[Array, " n"] | None = None,
    mask: Bool[Array, " n"] | None = None,
    scale: float = 1.0,
):
    return x, y, k, mask


def test_lists_take_the_type_of_the_arrays_beside_them():
    x, y, k, mask = total(jnp.ones((2, 2), jnp.float32), [1, 2], [0, 1], [True, False])
    assert x.dtype == y.dtype == jnp.float32
    assert k.dtype == jnp.int64
    assert mask.dtype == bool
    assert total([[1, 2]])[0].dtype == jnp.float64
    assert jax.jit(lambda x: total(x)[0])(jnp.ones((1, 2))).shape == (1, 2)


def test_known_values_stay_known_inside_jit():
    assert jax.jit(lambda x: x * float(arguments.real("scale", 3)))(2.0) == 6.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([[1.0, 2.0, 3.0]],), "x has shape"),
        (([1.0],), "x has shape"),
        (([[1.0, np.nan]],), r"x\[0, 1\] = nan"),
        ((["a"],), "x"),
        ((jax.random.key(0),), "x has type key"),
        (([[1.0, 2.0]], None, jax.random.key(0)), "k has type key"),
        (([[1.0, 2.0]], [1.0, 2.0]), "y has shape .* n = 1"),
        (([[1.0, 2.0]], None, [0.5]), "k has type"),
        (([[1.0, 2.0]], None, None, [1]), "mask has type"),
        (([[1.0, 2.0]], None, None, None, 0.0), "scale = 0"),
    ],
)
def test_an_error_names_the_argument(given, words):
    with pytest.raises((TypeError, ValueError), match=words):
        total(*given)
    assert np.isnan(total([[1.0, 2.0]], [np.nan])[1]).all()  # of ANY value


def test_outputs_without_a_derivative_raise_only_where_it_is_used():
    def both(x):
        return (x**2).sum(), without_derivative(jnp.sign(x), x, "signs jump")

    x = jnp.asarray([1.0, -2.0])
    for function in (both, jax.jit(both)):
        assert jax.grad(lambda x, f=function: f(x)[0])(x).tolist() == [2.0, -4.0]
        assert jax.hessian(lambda x, f=function: f(x)[0])(x).tolist() == [[2.0, 0.0], [0.0, 2.0]]
        assert jax.grad(lambda z, f=function: (z * f(x)[1]).sum())(2.0) == 0.0
        with pytest.raises(NotDifferentiableError, match="signs jump"):
            jax.grad(lambda x, f=function: f(x)[1].sum())(x)
        assert np.isnan(jax.jvp(function, (x,), (x,))[1][1]).all()
