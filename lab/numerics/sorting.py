"""Rows in ascending order, quickly where JAX computes on a CPU.

There XLA's sort takes some twenty times as long as NumPy's, which is called instead; elsewhere XLA's is taken.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.numerics.arguments import real

_FEW = (
    1000  # numbers in a row, from which it is worth it: JAX keeps no program that calls the host for the next process
)


def ascending(x: Float[Array, "*rows n"]) -> Float[Array, "*rows n"]:
    """x with each row in order; differentiable, the order held fixed.

    Works under ``jit``, ``vmap``, ``jvp`` and ``grad``.

    Raises:
        TypeError: x is not an array of real numbers.
        ValueError: x has no axis.

    >>> ascending(jnp.array([3.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    x = real("x", x, finite=False)
    if not x.ndim:
        raise ValueError("x has shape (): at least one axis is needed, along which it is sorted")
    return _ascending(x)


@jax.custom_jvp
def _ascending(x: Array) -> Array:
    if _on_host(x):
        return jax.pure_callback(_sorted, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="broadcast_all")
    return jnp.sort(x)


@_ascending.defjvp
def _moved(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (change,) = primals, tangents
    order = _order(x)
    return jnp.take_along_axis(x, order, axis=-1), jnp.take_along_axis(change, order, axis=-1)


def _order(x: Array) -> Array:
    if _on_host(x):
        shape = jax.ShapeDtypeStruct(x.shape, jnp.int32)
        return jax.pure_callback(_argsorted, shape, jax.lax.stop_gradient(x), vmap_method="broadcast_all")
    return jnp.argsort(x)


def _on_host(x: Array) -> bool:
    return jax.default_backend() == "cpu" and x.shape[-1] >= _FEW


def _sorted(x: Any) -> np.ndarray:
    return np.sort(np.asarray(x), axis=-1)


def _argsorted(x: Any) -> np.ndarray:
    return np.argsort(np.asarray(x), axis=-1, kind="stable").astype(np.int32)  # as XLA's
