"""Eigenvectors of positive semi-definite matrices, with derivatives where the matrix is singular."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def eigh(matrix: Float[Array, "n n"], cut: float) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    r"""Decompose a symmetric matrix as ``jnp.linalg.eigh`` does; differentiable where it is singular, to any order.

    Vectors of eigenvalues below the cut are not turned among themselves, which suits functions that read only what lies in
    the range of the matrix. The derivative is that of a change that leaves the rank as it is. Vectors of equal eigenvalues
    above the cut have no derivative: it is not finite.

    Args:
        matrix: (n, n).
        cut: eigenvalues of at most this times the largest count as 0.

    Returns:
        eigenvalues (n,), smallest first, and vectors in columns.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@eigh.defjvp
def _eigh_jvp(cut, primals, tangents):
    (matrix,), (change,) = primals, tangents
    values, vectors = eigh(matrix, cut)
    inner = vectors.T @ ((change + change.T) / 2) @ vectors
    return (values, vectors), (jnp.diagonal(inner), vectors @ (_turning(values, values.max(), cut) * inner))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def left_singular(factor: Float[Array, "n r"], cut: float) -> tuple[Float[Array, " k"], Float[Array, "n k"]]:
    r"""Decompose $F = U S V^T$ into singular values, largest first, and U; differentiable as ``eigh`` of $F F^T$ is.

    Args:
        factor: F, (n, r).
        cut: singular values of at most this times the largest count as 0.

    Returns:
        singular values (k,) and U (n, k), k = min(n, r).
    """
    vectors, sizes, _ = jnp.linalg.svd(factor, full_matrices=False)
    return sizes, vectors


@left_singular.defjvp
def _left_singular_jvp(cut, primals, tangents):
    (factor,), (change,) = primals, tangents
    sizes, vectors = left_singular(factor, cut)
    values, zero = sizes**2, sizes <= cut * sizes.max()
    moved = change @ (factor.T @ vectors) + factor @ (change.T @ vectors)  # d(F F^T) U
    inner = vectors.T @ moved
    safe = jnp.where(zero, 1.0, values)
    outside = jnp.where(zero, 0.0, (moved - vectors @ inner) / safe[None, :])
    if vectors.shape[0] == vectors.shape[1]:
        outside = jnp.zeros_like(outside)  # there is nothing outside but rounding
    turned = vectors @ (_turning(jnp.where(zero, 0.0, values), values.max(), cut) * inner)
    slope = jnp.where(zero, 0.0, jnp.diagonal(inner) / (2 * jnp.where(zero, 1.0, sizes)))
    return (sizes, vectors), (slope, turned + outside)


def _turning(values: Array, largest: Array, cut: float) -> Array:
    """1 / (lambda_j - lambda_i) at [i, j], and 0 between eigenvalues that count as 0."""
    zero = values <= cut * largest
    still = (zero[:, None] & zero[None, :]) | jnp.eye(values.size, dtype=bool)
    return jnp.where(still, 0.0, 1 / jnp.where(still, 1.0, values[None, :] - values[:, None]))
