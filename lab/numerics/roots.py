r"""Roots of symmetric matrices and related functions, differentiable where eigenvalues are equal too.

The derivative of an eigenvector is infinite where eigenvalues meet; that of a root is not. With $R = S^{1/2}$

$$ R\,dR + dR\,R = dS, \qquad d(R^{-1}) = -R^{-1}\,dR\,R^{-1}, $$

to any order, since the solution of the first equation has a derivative of the same form. Where S is singular a root has no
derivative, and NaN is returned.

Source: Higham, *Functions of Matrices*, 2008, chapters 5, 6 and 8.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lab.numerics.matrix_functions import Symmetric, symmetric


def sylvester(root: Float[Array, "d d"], right: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Solve R X + X R = right for a symmetric positive definite R; NaN where R is singular. Time O(d^3).

    X is the derivative of the root of $R^2$ along the right side.
    """
    made = symmetric(root)
    least = made.values.shape[0] * jnp.finfo(root.dtype).eps * jnp.abs(made.values).max()
    regular = 2 * made.values[0] > least
    squared = Symmetric(jnp.where(regular, made.values**2, 1), made.vectors, made.matrix @ made.matrix)
    return jnp.where(regular, squared.derivative(jnp.sqrt, right), jnp.nan)


@jax.custom_jvp
def root(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Symmetric root of a symmetric positive semi-definite matrix; eigenvalues that rounding may leave of 0 count as 0.

    >>> root(jnp.diag(jnp.array([4.0, 9.0]))).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.where(_is_positive(values), values, 0))[None, :]) @ vectors.T


def _is_positive(values: Float[Array, " d"]) -> Bool[Array, " d"]:
    """Whether eigenvalues exceed what rounding may leave of 0."""
    return values > values.shape[0] * jnp.finfo(values.dtype).eps * jnp.abs(values).max()


@root.defjvp
def _root_jvp(primals, tangents):
    found = root(*primals)
    return found, sylvester(found, (tangents[0] + tangents[0].T) / 2)


@jax.custom_jvp
def inverse(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Inverse of a symmetric positive semi-definite matrix, on its range where it is singular.

    >>> inverse(jnp.diag(jnp.array([4.0, 0.0]))).tolist()
    [[0.25, 0.0], [0.0, 0.0]]
    """
    values, vectors = jnp.linalg.eigh(matrix)
    inside = _is_positive(values)
    share = jnp.where(inside, 1 / jnp.where(inside, values, 1), 0)
    return (vectors * share[None, :]) @ vectors.T


@inverse.defjvp
def _inverse_jvp(primals, tangents):
    found = inverse(*primals)
    return found, -found @ tangents[0] @ found


@jax.custom_jvp
def rotation(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    r"""Orthogonal matrix nearest to a matrix, $P Q^\top$ of $M = P \Sigma Q^\top$; differentiable where M is invertible.

    >>> rotation(jnp.array([[0.0, -2.0], [3.0, 0.0]])).round(9).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    p, _, q = jnp.linalg.svd(matrix)
    return p @ q


@rotation.defjvp
def _rotation_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    found = rotation(matrix)
    turned = found.T @ change
    stretch = found.T @ matrix  # symmetric, positive semi-definite
    return found, found @ sylvester((stretch + stretch.T) / 2, turned - turned.T)


def length(z: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """Lengths of vectors in the plane, with derivative 0 at 0.

    >>> length(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    still = (z[..., 0] == 0) & (z[..., 1] == 0)
    return jnp.where(still, 0.0, jnp.hypot(jnp.where(still, 1.0, z[..., 0]), z[..., 1]))


def square_root(x: Array) -> Array:
    """Square root of numbers, 0 where they are negative, with derivative 0 where they are not positive.

    >>> import jax
    >>> jax.vmap(jax.value_and_grad(square_root))(jnp.array([4.0, 0.0, -1e-17]))[1].tolist()
    [0.25, 0.0, 0.0]
    """
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), jnp.zeros_like(x))
