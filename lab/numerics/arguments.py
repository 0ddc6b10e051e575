"""Validation of array arguments, where values enter: one rule for lists, integers, tracers and foreign tensors."""

import inspect
import numbers
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import AbstractArray, Bool, Float, Int

from lab import precision
from lab.choices import parts
from lab.numerics.host import placed


def real(
    name: str,
    value: Any,
    shape: Sequence[int | str | None] | None = None,
    *,
    low: float | int | None = None,
    high: float | int | None = None,
    strict: bool = False,
    finite: bool = True,
    dtype: Any = None,
) -> jax.Array:
    """Convert an argument to an array of real numbers and check it.

    Lists, Python numbers and integer arrays become floating-point arrays; floating-point arrays keep their type. Values
    are checked unless they are traced; shapes always.

    Args:
        name: of the argument, for error messages.
        value: array, list or number.
        shape: the expected shape; an entry that is None or a word stands for any size. Any shape when omitted.
        low: smallest allowed value.
        high: largest allowed value.
        strict: whether the bounds themselves are excluded.
        finite: whether infinities and NaN are excluded; otherwise the bounds are not checked.
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
    refuse_foreign_gradient(name, value)
    if isinstance(value, list | tuple) and any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        value = jnp.asarray(value)
    if not isinstance(value, Tracer):
        precision.uncut(**{name: value})
    try:
        array = value if isinstance(value, Tracer | jax.Array) else np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be an array of real numbers: {type(value).__name__} is not supported") from error
    if _letter(array) not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
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
    if finite and not isinstance(array, Tracer):
        _check_range(name, np.asarray(array), low, high, strict)
    if isinstance(array, Tracer):
        return jnp.asarray(array, dtype)
    with jax.ensure_compile_time_eval():  # known values stay known inside `jit`
        return placed(np.asarray(array, dtype)) if isinstance(array, np.ndarray) else jnp.asarray(array, dtype)


def refuse_foreign_gradient(name: str, value: Any) -> None:
    """Raise a TypeError for a tensor of another library that records a gradient, which would be lost."""
    if getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name} is a tensor of another library with requires_grad, whose gradient would be lost: "
            f"pass {name}.detach() for its values, or differentiate a jax array with jax.grad"
        )


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
    if not fits or (low is not None and int(value) < low) or (high is not None and int(value) > high):
        raise ValueError(f"{name} = {value!r} is not allowed: {name} must be a whole number {bounds}".rstrip())
    return int(value)


class Range(NamedTuple):
    """The allowed values of an argument."""

    low: float | int | None = None
    high: float | int | None = None
    strict: bool = False  # whether the bounds themselves are excluded
    finite: bool = True  # otherwise values are not checked: infinities and NaN are allowed


POSITIVE, NOT_NEGATIVE, ANY = Range(low=0, strict=True), Range(low=0), Range(finite=False)


def arrays(**ranges: Range) -> Callable:
    """Decorate a function: its array arguments may be lists, and their shapes and values are checked.

    The annotations are the rule: an argument annotated ``Float[Array, "n d"]`` becomes a floating-point array of two axes;
    axes of one name have one size in all arguments. A list takes the type of the floating-point arrays beside it. Values
    are finite and in their range unless they are traced. An argument that is None is not checked.

    Args:
        ranges: allowed values by argument; of an argument that is no array by its annotation, those of a number.

    Returns:
        a decorator; the decorated function raises TypeError or ValueError, which names the argument.

    Examples:
        >>> from jaxtyping import Array, Float
        >>> from lab.numerics import arguments
        >>> @arguments.arrays(scale=arguments.POSITIVE)
        ... def total(x: Float[Array, " n"], y: Float[Array, " n"], scale: float = 1.0):
        ...     return (x * y).sum() / scale
        >>> float(total([1, 2], [3, 4]))
        11.0
        >>> try:
        ...     total([1, 2], [3, 4, 5])
        ... except ValueError as error:
        ...     print(error)
        y has shape (3,): shape (n) is needed, with n = 2 as in x
    """

    def decorate[**P, R](function: Callable[P, R]) -> Callable[..., R]:
        signature = inspect.signature(function)
        kinds = {name: _kind(one.annotation) for name, one in signature.parameters.items()}

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> R:
            bound = signature.bind(*args, **kwargs)
            given = {name: value for name, value in bound.arguments.items() if value is not None}
            floats = [value.dtype for name, value in given.items() if kinds[name] and _is_floating(value)]
            dtype, sizes = (jnp.result_type(*floats) if floats else None), {}
            for name, value in given.items():
                if kind := kinds[name]:
                    bound.arguments[name] = array = _array(name, value, kind, ranges.get(name, Range()), dtype)
                    _check_axes(name, array.shape, kind.dim_str, sizes)
                elif name in ranges and isinstance(value, numbers.Real | np.ndarray | jax.Array | Sequence):
                    real(name, value, low=ranges[name].low, high=ranges[name].high, strict=ranges[name].strict)
            return function(*bound.args, **bound.kwargs)  # type: ignore[arg-type]

        return checked

    return decorate


def _kind(annotation: Any) -> Any:
    """The array type of an annotation, also of one that may be None."""
    kinds = [part for part in parts(annotation) if isinstance(part, type) and issubclass(part, AbstractArray)]
    return kinds[0] if kinds and kinds[0].dtype in (Float, Int, Bool) else None


def _is_floating(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _letter(array: Any) -> str:
    """The kind of an array's type; that of random keys has none."""
    return getattr(array.dtype, "kind", "key")


def _array(name: str, value: Any, kind: Any, allowed: Range, dtype: Any) -> Any:
    if kind.dtype is Float:
        of = None if _is_floating(value) else dtype
        return real(
            name, value, low=allowed.low, high=allowed.high, strict=allowed.strict, finite=allowed.finite, dtype=of
        )
    letters, what = ("b", "truth values") if kind.dtype is Bool else ("iu", "whole numbers")
    try:
        found = value if isinstance(value, Tracer | jax.Array) else np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be an array of {what}: {type(value).__name__} is not supported") from error
    if _letter(found) not in letters:
        raise TypeError(f"{name} has type {found.dtype}: an array of {what} is needed")
    return placed(found)


def _check_axes(name: str, shape: tuple[int, ...], wanted: str, sizes: dict[str, Any]) -> None:
    """Compare a shape with the axes of an annotation, and remember the sizes of named ones."""
    axes = wanted.split()
    many = [i for i, axis in enumerate(axes) if axis.startswith("*") or axis == "..."]
    least = len(axes) - len(many)
    found: list[Any] = list(shape)
    if many and len(shape) >= least:
        end = len(shape) - (len(axes) - many[0] - 1)
        found[many[0] : end] = [tuple(shape[many[0] : end])]
    before, fits = dict(sizes), len(found) == len(axes)
    for axis, size in zip(axes, found, strict=fits):
        if axis.isdecimal():
            fits &= size == int(axis)
        elif axis.lstrip("*").isidentifier():
            fits &= sizes.setdefault(axis, (size, name))[0] == size
    if not fits:
        known = ["{} = {} as in {}".format(axis, *before[axis]) for axis in dict.fromkeys(axes) if axis in before]
        beside = f", with {', '.join(known)}" if known else ""
        raise ValueError(f"{name} has shape {shape}: shape ({', '.join(axes)}) is needed{beside}")


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
