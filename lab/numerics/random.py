"""The draws of ``jax.random``, number for number, in programs that compile faster (``benchmarks/compile.py``).

JAX counts the entries of an array by an index along each axis, and XLA takes long over such counters: twice as long as over one
that counts in a row, as here, where there are three axes, three or four times where there are four, and some twenty times where
it unrolls loops, which ``lab.home`` forbids it.
"""

from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

type Shape = tuple[int, ...]


@partial(jax.jit, static_argnames=("shape", "dtype"))
def normal(key: PRNGKeyArray, shape: Shape = (), dtype: Any = float) -> Float[Array, "..."]:
    """See ``jax.random.normal``."""
    return jax.random.normal(key, (prod(shape),), dtype).reshape(shape)


@partial(jax.jit, static_argnames=("shape", "dtype"))
def uniform(
    key: PRNGKeyArray, shape: Shape = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0
) -> Float[Array, "..."]:
    """See ``jax.random.uniform``; both ends are numbers."""
    return jax.random.uniform(key, (prod(shape),), dtype, minval, maxval).reshape(shape)


@partial(jax.jit, static_argnames=("shape", "dtype"))
def randint(key: PRNGKeyArray, shape: Shape, minval: Any, maxval: Any, dtype: Any = int) -> Int[Array, "..."]:
    """See ``jax.random.randint``."""
    low, high = (jnp.broadcast_to(end, shape).ravel() if jnp.ndim(end) else end for end in (minval, maxval))
    return jax.random.randint(key, (prod(shape),), low, high, dtype).reshape(shape)


@partial(jax.jit, static_argnames=("shape", "dtype"))
def rademacher(key: PRNGKeyArray, shape: Shape = (), dtype: Any = int) -> Array:
    """See ``jax.random.rademacher``."""
    return jax.random.rademacher(key, (prod(shape),), dtype).reshape(shape)


@partial(jax.jit, static_argnames=("shape", "axis"))
def categorical(
    key: PRNGKeyArray, logits: Float[Array, "..."], axis: int = -1, shape: Shape | None = None
) -> Int[Array, "..."]:
    """See ``jax.random.categorical``, with replacement."""
    axis %= logits.ndim
    shape = logits.shape[:axis] + logits.shape[axis + 1 :] if shape is None else shape
    more, own = shape[: len(shape) + 1 - logits.ndim], shape[len(shape) + 1 - logits.ndim :]
    full = (*more, *own[:axis], logits.shape[axis], *own[axis:])
    noise = jax.random.gumbel(key, (prod(full),), logits.dtype).reshape(full)
    return (noise + logits.reshape((1,) * len(more) + logits.shape)).argmax(axis=len(more) + axis)
