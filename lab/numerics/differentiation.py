"""Derivatives that do not exist: raise an error when a function is differentiated, never return a silent zero."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


class NotDifferentiableError(TypeError):
    """A derivative was requested that does not exist, or that the lab does not implement."""


def is_traced(*trees: Any) -> bool:
    """Return whether an array is traced by ``jit``, ``vmap`` or a derivative, so that its values may be unknown."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def held_constant[T](tree: T) -> T:
    """Return the tree with traced arrays as constants of a derivative; outside ``jit`` they have their values again."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if isinstance(x, Tracer) else x, tree)


@jax.custom_jvp
def with_derivative_of(value: jax.Array, like: jax.Array) -> jax.Array:
    """Return the value with the derivative of ``like``, which equals it up to rounding and is not computed itself."""
    return value


with_derivative_of.defjvp(lambda primals, tangents: (with_derivative_of(*primals), tangents[1]))


def refuse_derivative[T](values: T, message: str) -> T:
    """Return the values; raise an error when they are differentiated.

    The error is raised when ``grad``, ``jvp`` or ``vjp`` is traced, inside ``jit`` and ``vmap`` too. Arrays that the
    derivative does not reach raise nothing.

    Args:
        values: a pytree; only its floating-point arrays are guarded.
        message: what has no derivative, why, and what to use instead.

    Returns:
        the values, unchanged.

    Raises:
        NotDifferentiableError: if a derivative with respect to the values is requested.
    """
    guarded, rest = eqx.partition(values, eqx.is_inexact_array)
    held = jax.tree.map(lambda x: _guard(message, x) if isinstance(x, Tracer) else jnp.asarray(x), guarded)
    return eqx.combine(held, rest)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _guard(message: str, x: jax.Array) -> jax.Array:
    return x


def _guard_jvp(message, primals, tangents):
    if not isinstance(tangents[0], SymbolicZero):
        raise NotDifferentiableError(message)
    return primals[0], tangents[0]


_guard.defjvp(_guard_jvp, symbolic_zeros=True)


def without_derivative[T](values: T, sources: Any, message: str) -> T:
    """Return outputs whose derivative does not exist, beside others of the same function whose derivative does.

    Reverse mode raises an error where the derivative of the values is used, and only there; in forward mode, where use
    cannot be told, their tangents are NaN.

    Args:
        values: a pytree; only its floating-point arrays are guarded. No derivative passes through them.
        sources: a pytree, what the values depend on.
        message: what has no derivative, why, and what to use instead.

    Returns:
        the values, unchanged.

    Raises:
        NotDifferentiableError: if a derivative of the values with respect to the sources is used.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab.numerics.differentiation import without_derivative
        >>> def both(x):
        ...     return x**2, without_derivative(jnp.sign(x), x, "signs jump")
        >>> float(jax.grad(lambda x: both(x)[0])(3.0))
        6.0
    """
    guarded, rest = eqx.partition(values, eqx.is_inexact_array)
    guarded = jax.lax.stop_gradient(guarded)
    given = eqx.filter(sources, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda x: _alone(message, x, given), guarded), rest)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _alone(message: str, x: jax.Array, sources: Any) -> jax.Array:
    return x


def _alone_jvp(message, primals, tangents):
    x, _ = primals
    moved = [leaf for leaf in jax.tree.leaves(tangents[1]) if not isinstance(leaf, SymbolicZero)]
    if not moved:
        return x, jnp.zeros_like(x)

    total = jnp.sum(jnp.stack([leaf.sum().astype(x.dtype) for leaf in moved]))
    return x, jnp.broadcast_to(_refused.bind(total, message=message), x.shape)


_alone.defjvp(_alone_jvp, symbolic_zeros=True)

_refused = Primitive("refused_derivative")
"""A linear map without transpose, NaN in forward mode (``linear_call`` of JAX cannot be batched)."""


def _refuse_transpose(cotangent, _, *, message):
    raise NotDifferentiableError(message)


_refused.def_impl(lambda x, *, message: x * jnp.nan)
_refused.def_abstract_eval(lambda x, *, message: x)
ad.deflinear2(_refused, _refuse_transpose)
batching.defvectorized(_refused)
mlir.register_lowering(_refused, mlir.lower_fun(lambda x, *, message: x * jnp.nan, multiple_results=False))


def at_root(found: jax.Array, residual: Callable[[jax.Array], jax.Array]) -> jax.Array:
    r"""Return a root, unchanged, with the derivatives of the implicit function.

    Two steps of Newton's method begin at the root $x$ of $r(x) = 0$; only their derivatives are kept. These are right to
    the third order in everything that r depends on.

    Args:
        found: the root, or roots of equations that do not depend on each other.
        residual: r, called at an array of this shape, elementwise.

    Returns:
        the root.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab.numerics.differentiation import at_root
        >>> def square_root(y):
        ...     return at_root(jnp.sqrt(y), lambda x: x**2 - y)
        >>> float(jax.grad(square_root)(4.0)), float(jax.grad(jax.grad(square_root))(4.0))
        (0.25, -0.03125)
    """
    found = x = jax.lax.stop_gradient(found)
    for _ in range(2):
        value, slope = jax.jvp(residual, (x,), (jnp.ones_like(x),))
        x = x - value / slope
    x = jnp.where(jnp.isfinite(x), x, found)
    return found + (x - jax.lax.stop_gradient(x))


def needs_values(remedy: str) -> Callable:
    """Decorate a function that works on the host: traced arguments raise a clear error.

    Args:
        remedy: what to use under ``jit``, ``vmap`` and ``grad`` instead.

    Returns:
        a decorator.

    Raises:
        NotDifferentiableError: from the decorated function, if an argument is traced.
    """

    def decorate[F: Callable](function: F) -> F:
        name = f"{function.__module__}.{function.__qualname__}"

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if is_traced(args, kwargs):
                raise NotDifferentiableError(
                    f"{name} computes on the host and needs values: it cannot be traced by jit, vmap or grad. {remedy}"
                )
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate
