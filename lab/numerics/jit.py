"""Compilation: which numbers are part of a program, and which are given to it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab.numerics.values import Values


def jit[F: Callable](function: F) -> F:
    """``equinox.filter_jit`` that traces numbers as well as arrays, so that another value of one compiles nothing.

    Traced are real numbers, and whole ones that are fields of a module (those that say a shape are its static fields) or the
    numbers of ``Values``. An
    argument that is a whole number, a truth value or a text is static. A Python number has no precision of its own: it takes
    that of the arrays that it meets, and so does a number of NumPy.
    """
    compiled = eqx.filter_jit(function)

    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = jax.tree.map(_given, (args, kwargs), is_leaf=_is_module)
        return compiled(*args, **kwargs)

    return traced  # type: ignore[return-value]


def _is_module(node: Any) -> bool:
    return isinstance(node, eqx.Module | Values)


def _given(node: Any) -> Any:
    if _is_module(node):
        return jax.tree.map(_number, node)
    return _number(node) if isinstance(node, float | np.floating) else node


def _number(leaf: Any) -> Any:
    if isinstance(leaf, float | np.floating):
        return jnp.asarray(float(leaf))
    return jnp.asarray(leaf) if type(leaf) is int else leaf
