"""Work on many items, one after the other, by a loop that reports and can be stopped."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from lab.numerics.iterate import Loop, Method, Reason


class Items(NamedTuple):
    """The problem that the loop runs."""

    work: Callable
    items: Any  # rows along the first axes


class Values(NamedTuple):
    """What is known of so many items."""

    values: Any  # NaN where not known yet
    count: Int[Array, ""]


def _count(task: Items) -> int:
    return jax.tree.leaves(task.items)[0].shape[0]


def _init(task: Items) -> Values:
    one = jax.eval_shape(task.work, jax.tree.map(lambda rows: rows[0], task.items))
    nothing = jax.tree.map(lambda z: jnp.full((_count(task), *z.shape), jnp.nan, z.dtype), one)
    return Values(nothing, jnp.int32(0))


def _step(task: Items, found: Values) -> Values:
    value = task.work(jax.tree.map(lambda rows: rows[found.count], task.items))
    return Values(jax.tree.map(lambda all, one: all.at[found.count].set(one), found.values, value), found.count + 1)


def _done(task: Items, found: Values) -> Array:
    return jnp.where(found.count >= _count(task), Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


_MAP = Method(_init, _step, _done, lambda task, found: {"pieces": jnp.asarray(found.count, jnp.float32)})


def map_rows(loop: Loop, work: Callable, items: Any) -> tuple[Any, Any]:
    """Work on many items by the loop, item by item, so that it is reported and can be stopped: $v_i = f(x_i)$.

    It does what ``jax.lax.map(work, items)`` does.

    Args:
        loop: ``pure`` or a ``Chunked``.
        work: called with a row of the items, gives real numbers. A pytree (an ``eqx.Module``) is given to the program, a plain
            function is compiled in.
        items: arrays whose first axes have one length.

    Returns:
        the values, NaN of those that a stop left out, and the reason.

    Source:
        Bradbury et al., JAX: composable transformations of Python+NumPy programs, 2018.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.numerics import map_rows, pure
        >>> map_rows(pure, jnp.square, jnp.arange(3.0))[0].tolist()
        [0.0, 1.0, 4.0]
    """
    run = loop(_MAP, Items(work, items), max_iterations=jax.tree.leaves(items)[0].shape[0])
    return run.state.values, run.reason
