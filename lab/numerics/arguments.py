"""Validation of array arguments, where values enter: one rule for lists, integers, tracers and foreign tensors."""

import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lab import precision


def real(
    name: str,
    value: Any,
    shape: Sequence[int | str | None] | None = None,
    *,
    low: float | int | None = None,
    high: float | int | None = None,
    strict: bool = False,
    dtype: Any = None,
) -> jax.Array:
    """Convert an argument to an array of real numbers and check it.

    Lists, Python numbers and integer arrays become floating-point arrays; floating-point arrays keep their type. Values
    are checked unless they are traced; shapes always.

    Args:
        name: of the argument, for error messages.
        value: array, list or number.
        shape: the expected shape; an entry that is None or a word stands for any size. Any shape when omitted.
        low: smallest allowed value; infinities and NaN are never allowed.
        high: largest allowed value.
        strict: whether the bounds themselves are excluded.
        dtype: type of the result; that of the value when omitted.

    Returns:
        the array.

    Raises:
        TypeError: not real numbers, or a tensor that records a gradient of its own.
        ValueError: another shape, a value that is not finite or out of range, or float64 while float64 is off.

    Examples:
        >>> from lab.numerics import arguments
        >>> arguments.real("times", [0, 1], low=0, high=1).tolist()
        [0.0, 1.0]
    """
    if getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name} is a tensor of another library with requires_grad, whose gradient would be lost: "
            f"pass {name}.detach() for its values, or differentiate a jax array with jax.grad"
        )
    if not isinstance(value, Tracer):
        precision.uncut(**{name: value})
    try:
        array = value if isinstance(value, Tracer | jax.Array) else np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be an array of real numbers: {type(value).__name__} is not supported") from error
    if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} has type {array.dtype}: an array of real numbers is needed")
    if shape is not None:
        fits = array.ndim == len(shape) and all(
            not isinstance(n, int) or n == size for n, size in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "")
            raise ValueError(f"{name} has shape {tuple(array.shape)}: shape ({wanted}) is needed")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float) if dtype is None else dtype)
    if not isinstance(array, Tracer):
        _check_range(name, np.asarray(array), low, high, strict)
    return jnp.asarray(array, dtype)


def whole(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Check that an argument is a whole number within bounds.

    Args:
        name: of the argument, for error messages.
        value: the argument.
        low: smallest allowed value.
        high: largest allowed value.

    Returns:
        the number.

    Raises:
        ValueError: not a whole number, or out of range.
    """
    bounds = " ".join(
        [f"of at least {low}"] * (low is not None)
        + ["and"] * (low is not None and high is not None)
        + [f"of at most {high}"] * (high is not None)
    )
    fits = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
    if not fits or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} = {value!r} is not allowed: {name} must be a whole number {bounds}".rstrip())
    return int(value)


def _check_range(name: str, array: np.ndarray, low: float | int | None, high: float | int | None, strict: bool) -> None:
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(array)
        if low is not None:
            bad |= (array <= low) if strict else (array < low)
        if high is not None:
            bad |= (array >= high) if strict else (array > high)
    if not bad.any():
        return
    place = np.unravel_index(int(np.argmax(bad)), array.shape)
    where = f"[{', '.join(map(str, place))}]" if array.ndim else ""
    words = [f"{'greater than' if strict else 'at least'} {low:g}"] if low is not None else []
    words += [f"{'less than' if strict else 'at most'} {high:g}"] if high is not None else []
    raise ValueError(
        f"{name}{where} = {float(array[place]):g} is not allowed: {name} must be {' and '.join(words) or 'finite'}"
    )
