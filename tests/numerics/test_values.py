"""Parameters as a pytree: which are traced, which are compiled in, which were read."""

import jax
import jax.numpy as jnp
import pytest

from lab.numerics import jit as lab_jit
from lab.numerics.values import Values


def made(**changed):
    return Values({"gamma": 0.5, "k": 3}, {"kind": "entropic", "n": 8}).but(**changed)


def test_numbers_are_leaves_and_the_rest_is_structure():
    leaves, tree = jax.tree.flatten(made())
    assert leaves == [0.5, 3]
    assert tree == jax.tree.structure(made(gamma=2.0))
    assert tree != jax.tree.structure(made(kind="quadratic"))
    assert jax.tree.unflatten(tree, [1.0, 2]).gamma == 1.0


@pytest.mark.parametrize("compiled", [jax.jit, lab_jit.jit])
def test_another_number_compiles_nothing(compiled):
    traces = []

    @compiled
    def value(p):
        traces.append(p.kind)
        return p.gamma * p.n + p.k

    assert value(made()) == 7.0
    assert value(made(gamma=1.5, k=1)) == 13.0
    assert traces == ["entropic"]
    value(made(kind="quadratic"))
    assert traces == ["entropic", "quadratic"]


def test_a_small_program_stays_small():
    traces = []

    @jax.jit
    def value(p):
        traces.append(list(p))
        return 2 * p.gamma

    value(made().only("gamma"))
    value(made(kind="quadratic", n=9).only("gamma"))
    assert traces == [["gamma"]]


def test_what_was_read_is_noted_of_all_that_a_program_was_given():
    read = set()
    p = Values({"gamma": jnp.float64(0.5), "k": 3}, {"kind": "entropic", "n": 8}, read)
    assert p.kind == "entropic"
    assert read == {"kind"}
    p.only("gamma")
    assert read == {"kind", "gamma"}
    jax.jit(lambda p: p.gamma)(p)
    assert read == {"kind", "gamma", "k", "n"}


def test_it_maps_and_differentiates():
    batched = jax.vmap(lambda p: p.gamma * p.n)(made(gamma=jnp.arange(3.0), k=jnp.arange(3)))
    assert batched.tolist() == [0.0, 8.0, 16.0]
    slope = jax.grad(lambda p: p.gamma**2 * p.n)(Values({"gamma": 0.5}, {"n": 8}))
    assert slope.gamma == 8.0


def test_unknown_names_are_told():
    with pytest.raises(AttributeError, match="there is no parameter gama; there are gamma, k, kind, n"):
        _ = made().gama
    with pytest.raises(AttributeError, match="there is no parameter gama"):
        made().but(gama=1.0)
