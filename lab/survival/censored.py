"""Censored times as every loss and statistic takes them: checked where they are known, NumPy or JAX, whole or real."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from lab.numerics.differentiation import refuse_derivative


def real(values: Any) -> Float[Array, "..."]:
    """As real numbers; those that are keep their precision."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)


def check(name: str, good: Any, values: Any, present: Array, needed: str) -> None:
    """Refuse a value of a bag that is present, where it is known; inside ``jit`` it is not."""
    if isinstance(good, Tracer) or isinstance(present, Tracer):
        return
    bad = np.asarray(present) & ~np.asarray(good)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"{name} is {np.asarray(values)[i]} for bag {i}, but it must be {needed}")


def zero_or_one(name: str, values: Any, present: Array) -> Bool[Array, " n"]:
    """Numbers 0 and 1, or False and True."""
    values = jnp.asarray(values)
    check(name, (values == 0) | (values == 1), values, present, "1 or 0, True or False")
    return values.astype(bool) & present


def censored(
    time: Any, event: Any, present: Any = None, *others: Any
) -> tuple[Float[Array, " n"], Bool[Array, " n"], Bool[Array, " n"]]:
    """Times, events (False where absent) and who is present.

    Raises:
        ValueError: shapes that differ, also from those of ``others``, an event that is not 0 or 1, a time that is NaN.
    """
    given = [values for values in (time, event, present, *others) if values is not None]
    time, event = refuse_derivative((time, event), "times count by their order, events are 0 or 1: both jump")
    shapes = {jnp.shape(values) for values in given}
    if len(shapes) != 1 or len(jnp.shape(time)) != 1:
        raise ValueError(f"one number for each bag is needed in all arguments, but their shapes are {sorted(shapes)}")
    time = real(time)
    here = jnp.ones(time.shape, bool) if present is None else jnp.asarray(present).astype(bool)
    check("time", ~jnp.isnan(time), time, here, "a number")
    return time, zero_or_one("event", event, here), here
