"""Functions of symmetric matrices: derivatives at equal, near and distinct eigenvalues against closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import roots
from lab.numerics.matrix_functions import phi, symmetric

EYE = jnp.eye(2)
SWAP = jnp.array([[0.0, 1.0], [1.0, 0.0]])


def turned(values):
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(len(values), len(values))))[0]
    return jnp.asarray(vectors * np.asarray(values) @ vectors.T)


def test_derivative_of_the_root_where_eigenvalues_are_equal():
    root = jax.jit(lambda s: symmetric(s).function(jnp.sqrt))
    np.testing.assert_allclose(jax.jvp(root, (4 * EYE,), (SWAP,))[1], SWAP / 4, atol=1e-14)  # f'(4)
    moved = jax.jvp(root, (jnp.diag(jnp.array([1.0, 9.0])),), (SWAP,))[1]
    np.testing.assert_allclose(moved, SWAP / 4, atol=1e-14)  # (3 - 1) / (9 - 1)


@pytest.mark.slow  # programs of second order
@pytest.mark.parametrize("values", [(1.0, 1.0, 2.0), (0.2, 0.2 + 1e-9, 0.2 + 1e-4)])
@pytest.mark.parametrize(
    ("function", "pole"), [(jnp.log, 0.0), (lambda at, s: at**s, 0.0), (lambda at, s: jnp.exp(s * at), None)]
)
def test_derivatives_of_two_orders_agree_with_differences(function, pole, values):
    rng = np.random.default_rng(1)
    weight, change = jnp.asarray(rng.normal(size=(3, 3))), jnp.asarray(rng.normal(size=(3, 3)))
    change, s = change + change.T, turned(values)
    numbers = () if function is jnp.log else (jnp.asarray(0.6),)
    value = jax.jit(lambda s, *p: (weight * symmetric(s).function(function, *p, pole=pole)).sum())
    slope = jax.jit(lambda s, *p: (jax.grad(value)(s, *p) * change).sum())
    bend = jax.jvp(lambda s: slope(s, *numbers), (s,), (change,))[1]
    h = 1e-6
    for found, of in ((slope(s, *numbers), value), (bend, slope)):
        ends = [of(s + side * h * change, *numbers) for side in (1, -1)]
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * h), rtol=2e-6, atol=1e-8)
    if numbers:
        ends = [value(s, numbers[0] + side * h) for side in (1, -1)]
        np.testing.assert_allclose(jax.grad(value, 1)(s, *numbers), (ends[0] - ends[1]) / (2 * h), rtol=1e-7)


@pytest.mark.slow  # programs of second order
def test_second_derivatives_of_a_root_and_a_rotation_where_eigenvalues_are_equal():
    weight, change = jnp.asarray(np.random.default_rng(2).normal(size=(2, 2, 2)))
    for of in (roots.root, roots.rotation):
        move = change + change.T if of is roots.root else change
        slope = jax.jit(lambda s, of=of, move=move: jax.jvp(lambda s: (weight * of(s)).sum(), (s,), (move,))[1])
        ends = [slope(EYE + side * 1e-6 * move) for side in (1, -1)]
        bend = (jax.grad(slope)(EYE) * move).sum()
        np.testing.assert_allclose(bend, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_batches_share_no_eigenvalues():
    both = jnp.stack([EYE, 4 * EYE])
    slopes = jax.jit(jax.vmap(jax.grad(lambda s: symmetric(s).function(jnp.sqrt).sum())))(both)
    np.testing.assert_allclose(slopes, np.broadcast_to(np.asarray([0.5, 0.25])[:, None, None], (2, 2, 2)), atol=1e-14)


def test_phi_and_its_derivatives_are_accurate_near_0():
    x = jnp.array([-1e-9, 0.0, 1e-5, 0.5, 3.0])
    exact = [1 / 2, 1 / 2, 1 / 2 + 1e-5 / 3, 4 - 2 * np.exp(0.5), (3 * np.exp(3) - np.expm1(3)) / 9]
    np.testing.assert_allclose(jax.vmap(jax.grad(phi))(x), exact, rtol=1e-9)
