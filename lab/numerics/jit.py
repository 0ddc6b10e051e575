"""Compilation: which numbers are part of a program, and which are given to it."""

from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab.memory import Recent
from lab.numerics.values import Values

_programs: Recent[Any] = Recent(compiled=True, drop=lambda program: program._cached.clear_cache())
_functions = count()


def jit[F: Callable](function: F) -> F:
    """``equinox.filter_jit`` that traces numbers as well as arrays, so that another value of one compiles nothing.

    Traced are real numbers, and whole ones that are fields of a module (those that say a shape are its static fields) or the
    numbers of ``Values``. An
    argument that is a whole number, a truth value or a text is static. A Python number has no precision of its own: it takes
    that of the arrays that it meets, and so does a number of NumPy.

    What is compiled for other shapes is a program of its own, and those that were not used for longest can be given up while
    the others stay (``lab.memory``).
    """
    number = next(_functions)

    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=_is_module)
        given = [_given(leaf) for leaf in leaves]
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(given) if hasattr(leaf, "shape"))
        program = _programs.get((number, shapes))
        if program is None:
            program = _compiled(function, f"{getattr(function, '__qualname__', 'function')} {number} {shapes}")
            _programs.put((number, shapes), program)
        args, kwargs = jax.tree.unflatten(tree, given)
        return program(*args, **kwargs)

    return traced  # type: ignore[return-value]


def _compiled(function: Callable, name: str) -> Any:
    """A program of its own: Equinox has functions of one name share theirs, and one could not be given up without the rest."""

    @wraps(function)
    def own(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    own.__qualname__ = name
    return eqx.filter_jit(own)


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
