r"""Functions of symmetric matrices, differentiable to any order where eigenvalues are equal too.

The derivative of an eigenvector is infinite where eigenvalues meet; that of $f(S) = V f(\Lambda) V^\top$ is not (Daleckii and
Krein). With $E = V^\top dS\, V$ and divided differences

$$ V^\top d f(S)\, V = \big( f[\lambda_i, \lambda_j]\, E_{ij} \big)_{ij}, \qquad
   f[x, y] = \frac{f(x) - f(y)}{x - y} = \int_0^1 f'(y + u (x - y))\, du . $$

The quotient is taken for eigenvalues that are far apart, the integral by Gauss's rule for near and equal ones. The derivative
of order k has divided differences of order k. Source: Higham, *Functions of Matrices*, 2008, chapter 3.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

_NEAR = 0.1  # of the distance to the nearest singularity: Gauss's rule is exact to rounding there
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_TERMS = 19  # of the series of phi: exact to rounding below 1

type Function = Callable[..., Array]
"""Elementwise: eigenvalues and parameters to values."""


class Symmetric(NamedTuple):
    """A symmetric matrix on the axes of its eigenvectors, which are constants of every derivative."""

    values: Float[Array, " d"]  # eigenvalues, constants too
    vectors: Float[Array, "d d"]  # in columns
    matrix: Float[Array, "d d"]  # V^T S V: diagonal, but for its derivatives

    def affine(self, scale: Any = 1.0, shift: Any = 0.0) -> "Symmetric":
        """Scale S + shift I, of two numbers."""
        eye = jnp.eye(len(self.values), dtype=self.matrix.dtype)
        values = jax.lax.stop_gradient(scale * self.values + shift)
        return Symmetric(values, self.vectors, scale * self.matrix + shift * eye)

    def function(self, function: Function, *parameters: Any, pole: Any = 0.0) -> Float[Array, "d d"]:
        """f(S), with its derivatives.

        Args:
            function: f, elementwise, of eigenvalues and parameters.
            parameters: traced numbers; differentiable.
            pole: f is smooth above its negative; None where f is smooth everywhere and changes over lengths of 1.
        """
        given = self._numbers(pole, *parameters)
        return self.vectors @ _diagonal(function, self.values, self.matrix, *given) @ self.vectors.T

    def trace(self, function: Function, *parameters: Any, pole: Any = 0.0) -> Float[Array, ""]:
        """The trace of f(S)."""
        return jnp.trace(_diagonal(function, self.values, self.matrix, *self._numbers(pole, *parameters)))

    def full(self) -> Float[Array, "d d"]:
        """S."""
        return self.vectors @ self.matrix @ self.vectors.T

    def derivative(self, function: Function, change: Float[Array, "d d"], pole: Any = 0.0) -> Float[Array, "d d"]:
        """The derivative of f(S) along a change, which need not be symmetric."""
        inner, given = self.vectors.T @ change @ self.vectors, self._numbers(pole)
        found = _derivative.bind(self.values, self.matrix, *given, inner, function=function, order=1, axes=0)
        return self.vectors @ found @ self.vectors.T

    def _numbers(self, pole: Any, *parameters: Any) -> list[Array]:
        return [jnp.asarray(each, self.values.dtype) for each in (jnp.nan if pole is None else pole, *parameters)]


def symmetric(matrix: Float[Array, "d d"], least: float | None = None) -> Symmetric:
    """Decompose a symmetric matrix. Time O(d^3).

    Args:
        matrix: (d, d).
        least: smaller eigenvalues are raised to this part of the largest.

    >>> import jax
    >>> root = lambda s: symmetric(s).function(jnp.sqrt)
    >>> jax.jvp(root, (jnp.eye(2),), (jnp.array([[0.0, 1.0], [1.0, 0.0]]),))[1].round(6).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    inner = vectors.T @ ((matrix + matrix.T) / 2) @ vectors
    if least is None:
        return Symmetric(values, vectors, inner)
    raised = jnp.maximum(values, least * values.max())
    return Symmetric(raised, vectors, inner + jnp.diag(raised - values))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _diagonal(function: Function, values: Array, matrix: Array, pole: Array, *parameters: Array) -> Array:
    """f(S) on the axes."""
    return jnp.diag(function(values, *parameters))


@_diagonal.defjvp
def _diagonal_jvp(function, primals, tangents):
    values, matrix, pole, *parameters = primals
    _, change, _, *slopes = tangents
    total = _derivative.bind(values, matrix, pole, *parameters, change, function=function, order=1, axes=0)
    for i, slope in enumerate(slopes):
        total = total + _diagonal(partial(_slope, function, i), *primals) * slope
    return _diagonal(function, *primals), total


def _slope(function: Function, which: int, at: Array, *parameters: Array) -> Array:
    """The derivative of f in one of its parameters."""
    of = lambda one: function(at, *parameters[:which], one, *parameters[which + 1 :])  # noqa: E731
    return jax.jvp(of, (parameters[which],), (jnp.ones_like(parameters[which]),))[1]


_derivative = Primitive("derivative_of_matrix_function")
"""The derivative of f(S) along one or more changes, symmetric in them, on the axes: values, matrix, pole, parameters, changes.

A primitive, since it is linear in each change (``custom_jvp`` has no derivative of a rule in what it is evaluated at, where the
rule calls another such function with a tangent).
"""


def _along(values: Array, matrix: Array, pole: Array, *rest: Array, function: Function, order: int, axes: int) -> Array:
    def one(values: Array, pole: Array, *rest: Array) -> Array:
        parameters, changes = rest[: len(rest) - order], rest[len(rest) - order :]
        places = [values.reshape((1,) * i + (-1,) + (1,) * (order - i)) for i in range(order + 1)]
        table = _divided(lambda at: function(at, *parameters), places, pole)
        letters = "abcdefgh"[: order + 1]
        spec = f"{letters},{','.join(letters[i : i + 2] for i in range(order))}->{letters[0]}{letters[-1]}"
        found = [jnp.einsum(spec, table, *each) for each in itertools.permutations(changes)]
        return sum(found[1:], start=found[0])

    for _ in range(axes):
        one = jax.vmap(one)
    return one(values, pole, *rest)


def _along_jvp(primals, tangents, *, function, order, axes):
    bind = partial(_derivative.bind, axes=axes)
    found, held, total = bind(*primals, function=function, order=order), len(primals) - order, []
    for i, tangent in enumerate(tangents):
        if type(tangent) is ad.Zero or i in (_VALUES, _POLE):
            continue
        if i == _MATRIX:
            total.append(bind(*primals, tangent, function=function, order=order + 1))
        elif i < held:
            slope = bind(*primals, function=partial(_slope, function, i - _POLE - 1), order=order)
            total.append(slope * tangent[..., None, None])
        else:
            total.append(bind(*primals[:i], tangent, *primals[i + 1 :], function=function, order=order))
    if not total:
        return found, ad.Zero.from_primal_value(found)  # pyright: ignore[reportAttributeAccessIssue]
    return found, sum(total[1:], start=total[0])


def _along_transpose(cotangent, *given, **how):
    """<derivative along E_1, ..., E_k, W> stays when one E and the transpose of W change places."""
    at = next(i for i, each in enumerate(given) if ad.is_undefined_primal(each))
    found = _derivative.bind(*given[:at], cotangent.swapaxes(-1, -2), *given[at + 1 :], **how)
    return [found.swapaxes(-1, -2) if i == at else None for i in range(len(given))]


def _along_batched(given, places, *, axes, **how):
    """One more axis in front of all."""
    size = next(x.shape[place] for x, place in zip(given, places, strict=True) if place is not None)
    moved = [
        jnp.broadcast_to(x, (size, *x.shape)) if place is None else jnp.moveaxis(x, place, 0)
        for x, place in zip(given, places, strict=True)
    ]
    return _derivative.bind(*moved, axes=axes + 1, **how), 0


_VALUES, _MATRIX, _POLE = range(3)
_derivative.def_impl(jax.jit(_along, static_argnames=("function", "order", "axes")))
_derivative.def_abstract_eval(lambda values, matrix, *rest, **how: matrix)
ad.primitive_jvps[_derivative] = _along_jvp
ad.primitive_transposes[_derivative] = _along_transpose
batching.primitive_batchers[_derivative] = _along_batched
mlir.register_lowering(_derivative, mlir.lower_fun(_along, multiple_results=False))


def _divided(function: Callable[[Array], Array], places: list[Array], pole: Array) -> Array:
    """The divided difference at the places, whose shapes are broadcast."""
    if len(places) == 1:
        return function(places[0])
    *others, x, y = places

    def of(at: Array) -> Array:
        wide = [each.reshape((1,) * (at.ndim - each.ndim) + each.shape) for each in others]
        return _divided(function, [*wide, at], pole)

    reach = jnp.where(jnp.isnan(pole), 1.0, jnp.maximum(jnp.abs(x), jnp.abs(y)) + pole)
    near = jnp.abs(x - y) <= _NEAR * reach
    middle, half = jnp.where(near, (x + y) / 2, x), jnp.where(near, (x - y) / 2, 0.0)
    at = middle[None] + _NODES.reshape((-1,) + (1,) * middle.ndim).astype(middle.dtype) * half[None]
    slopes = jax.jvp(of, (at,), (jnp.ones_like(at),))[1]
    integral = jnp.tensordot(_WEIGHTS.astype(slopes.dtype) / 2, slopes, axes=1)
    return jnp.where(near, integral, (of(x) - of(y)) / jnp.where(near, 1.0, x - y))


def phi(x: Array) -> Array:
    """$(e^x - 1) / x$, 1 at 0; near 0 by its series, whose derivatives do not cancel.

    >>> print(phi(jnp.array([0.0, 1.0])).round(6))
    [1.       1.718282]
    """
    small = jnp.abs(x) < 1
    near, series = jnp.where(small, x, 0), jnp.ones_like(x)
    for n in range(_TERMS, 1, -1):
        series = 1 + near / n * series
    return jnp.where(small, series, jnp.expm1(x) / jnp.where(small, 1, x))
