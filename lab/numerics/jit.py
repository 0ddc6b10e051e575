"""Compilation: which numbers are part of a program, and which are given to it."""

from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

try:
    from jax._src.core import trace_state_clean
except ImportError:  # of another version: every call is as part of a larger program, which costs time alone

    def trace_state_clean() -> bool:
        return False


from lab.memory import Recent
from lab.numerics import ready
from lab.numerics.values import Values

_programs: Recent[ready.Program] = Recent(compiled=True)
_functions = count()


def jit[F: Callable](function: F) -> F:
    """``equinox.filter_jit`` that traces numbers as well as arrays, so that another value of one compiles nothing.

    Traced are real numbers, and whole ones that are fields of a module (those that say a shape are its static fields) or the
    numbers of ``Values``. An
    argument that is a whole number, a truth value or a text is static. A Python number has no precision of its own: it takes
    that of the arrays that it meets, and so does a number of NumPy.

    What is compiled for other shapes is a program of its own, and those that were not used for longest can be given up while
    the others stay (``lab.memory``). An entry point keeps them for the next process too (``lab.numerics.ready``).
    """
    number = next(_functions)
    within = eqx.filter_jit(function)

    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=_is_module)
        args, kwargs = jax.tree.unflatten(tree, [_given(leaf) for leaf in leaves])
        leaves, tree = jax.tree.flatten((args, kwargs))
        if not trace_state_clean() or jax.config.jax_disable_jit or any(isinstance(leaf, Tracer) for leaf in leaves):
            return within(*args, **kwargs)  # part of a larger program, or what is given holds what is traced
        context = tuple(getattr(jax.config, name) for name in _SETTINGS)
        key = (number, tree, context, *map(_kind, leaves))
        program = _programs.get(key)
        if program is None:
            program, found = ready.called(function, args, kwargs, context)
            _programs.put(key, program)
        else:
            found = program.run(*(leaf for leaf in leaves if eqx.is_array(leaf)))
        return program.answer(found)

    return traced  # type: ignore[return-value]


_SETTINGS = (
    "jax_enable_x64",
    "jax_default_device",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_threefry_partitionable",
)
"""Of JAX, what a program depends on."""


def _kind(leaf: Any) -> Any:
    """What a program depends on: of an array its type and where it is, all else itself."""
    if not eqx.is_array(leaf):
        return type(leaf), leaf
    return jax.typeof(leaf), leaf.sharding if getattr(leaf, "committed", False) else None


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
