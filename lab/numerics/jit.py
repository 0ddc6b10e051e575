"""Compilation: which numbers are part of a program, and which are given to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab.numerics import programs
from lab.numerics.values import Values


@jax.tree_util.register_static
@dataclass(frozen=True)
class Still:
    """Of a pytree what is not traced: its shape and the leaves that are no arrays."""

    tree: Any
    leaves: tuple[Any, ...]  # None, which is no leaf, where there is an array

    @classmethod
    def of(cls, tree: Any, is_traced: Callable[[Any], bool] = eqx.is_array) -> tuple[list[Any], "Still"]:
        """What is traced of a pytree, and the rest."""
        leaves, shape = jax.tree.flatten(tree)
        arrays = [leaf for leaf in leaves if is_traced(leaf)]
        return arrays, cls(shape, tuple(None if is_traced(leaf) else leaf for leaf in leaves))

    def whole(self, arrays: list[Any]) -> Any:
        """The pytree again."""
        given = iter(arrays)
        return jax.tree.unflatten(self.tree, [next(given) if leaf is None else leaf for leaf in self.leaves])


def jit[F: Callable](function: F) -> F:
    """``jax.jit`` of a function of any pytrees, that traces numbers as well as arrays and keeps its programs.

    Traced are real numbers, and whole ones that are fields of a module (those that say a shape are its static fields) or the
    numbers of ``Values``. An argument that is a whole number, a truth value or a text is static, and so is whatever else is no
    array, a function for instance; it has to be hashable. What is returned may be a pytree with such leaves too. A Python
    number has no precision of its own: it takes that of the arrays that it meets, and so does a number of NumPy.

    Programs are those of ``lab.numerics.programs``: an entry point has them kept between processes.
    """

    def traced(still: Still, arrays: list[Any]) -> tuple[list[Any], Still]:
        args, kwargs = still.whole(arrays)
        return Still.of(function(*args, **kwargs))

    traced.__name__ = traced.__qualname__ = function.__name__
    traced.__module__ = function.__module__
    program = jax.jit(traced, static_argnums=0)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        arrays, still = Still.of(jax.tree.map(_given, (args, kwargs), is_leaf=_is_module), _is_traced)
        found, rest = programs.call(program, function, still, arrays)
        return rest.whole(found)

    return called  # type: ignore[return-value]


def _is_module(node: Any) -> bool:
    return isinstance(node, eqx.Module | Values)


def _is_traced(leaf: Any) -> bool:
    return isinstance(leaf, float) or eqx.is_array(leaf)


def _given(node: Any) -> Any:
    if _is_module(node):
        return jax.tree.map(_number, node)
    return float(node) if isinstance(node, np.floating) else node


def _number(leaf: Any) -> Any:
    if isinstance(leaf, np.floating):
        return float(leaf)
    return jnp.asarray(leaf) if type(leaf) is int else leaf
