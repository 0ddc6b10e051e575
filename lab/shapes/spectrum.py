r"""Eigenvalues and eigenfunctions of a Laplacian: $L \varphi = \lambda M \varphi$, the smallest first, $\Phi^\top M \Phi = I$.

They are those of $M^{-1/2} L M^{-1/2}$, by Lanczos' method (ARPACK) on its inverse, shifted below 0 by a hundredth of 1 / area:
what is factorized is then definite, and eigenvalues are right to 1e-10 of themselves. $\Phi^+ = \Phi^\top M$ is the
pseudo-inverse. Eigenvalues scale as 1 / area.

An eigenfunction has no sign of its own: here $\sum_i m_i \varphi_i^3 \ge 0$, which is a rule of the surface and not of the
order of its vertices. Where that is 0, as on symmetric surfaces, and of equal eigenvalues, it remains arbitrary: do not compare
eigenfunctions of two surfaces one by one. With the operator of ``laplacian.dense``, eigenvalues and eigenfunctions have
derivatives; eigenfunctions of equal eigenvalues have none (NaN).
"""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import linalg, sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import eigsh

from lab.shapes.laplacian import Laplacian

_SMALL = 200  # vertices of which the dense method is as fast


class Spectrum(NamedTuple):
    """The k smallest eigenvalues of a surface of n vertices."""

    values: Float[Any, " k"]  # ascending from 0, in 1 / area
    functions: Float[Any, "n k"]  # M-orthonormal; the first is constant
    mass: Float[Any, " n"]

    @property
    def inverse(self) -> Float[Any, "k n"]:
        r"""$\Phi^+ = \Phi^\top M$: from a function to its coefficients."""
        return self.functions.T * self.mass[None, :]

    def first(self, k: int) -> "Spectrum":
        """Only k of them."""
        if not 1 <= k <= len(self.values) or int(k) != k:
            raise ValueError(f"k = {k}, but there are {len(self.values)} eigenfunctions: compute more")
        return Spectrum(self.values[:k], self.functions[:, :k], self.mass)


def spectrum(operator: Laplacian, k: int) -> Spectrum:
    """The k smallest. Time about O(n^1.5 + n k^2), memory O(n k); O(n^3) and O(n^2) of a dense operator.

    Args:
        operator: of ``laplacian``, or of ``laplacian.dense``, whose spectrum has derivatives in the vertices.
        k: how many, at least 1 and fewer than vertices.

    Raises:
        ValueError: k below 1, or not below the number of vertices; a vertex without mass.

    Warns:
        UserWarning: a surface of several parts, each of which has an eigenvalue 0.
    """
    n, area = len(operator.mass), operator.mass.sum()
    if not 1 <= k < n or int(k) != k:
        raise ValueError(f"k = {k}, but of {n} vertices from 1 to {n - 1} eigenfunctions can be had")
    if isinstance(operator.stiffness, jax.Array):
        return _dense(operator, k)
    if not (operator.mass > 0).all():
        raise ValueError(f"vertex {operator.mass.argmin()} has no mass: leave out faces without area, or use repaired")
    joined = operator.stiffness.copy()
    joined.data = np.ones_like(joined.data)
    if (parts := csgraph.connected_components(joined, directed=False)[0]) > 1:
        warnings.warn(
            f"the surface has {parts} parts, each with an eigenvalue 0, which tells nothing of shape: take one part",
            stacklevel=2,
        )
    root = 1 / np.sqrt(operator.mass)
    scaled = sparse.csc_array(operator.stiffness.multiply(root[:, None]).multiply(root[None, :]))
    if n <= max(_SMALL, 3 * k):
        values, vectors = linalg.eigh(scaled.toarray(), subset_by_index=(0, k - 1))
    else:
        start = np.random.default_rng(0).normal(size=n)  # ARPACK's own differs from call to call
        values, vectors = eigsh(scaled, k, sigma=-0.01 / area, v0=start)
    order = np.argsort(values)
    functions = vectors[:, order] * root[:, None]
    return Spectrum(np.maximum(values[order], 0), functions * _signs(functions, operator.mass)[None, :], operator.mass)


def _dense(operator: Laplacian, k: int) -> Spectrum:
    root = 1 / jnp.sqrt(operator.mass)
    values, vectors = jnp.linalg.eigh(operator.stiffness * root[:, None] * root[None, :])
    functions = vectors[:, :k] * root[:, None]
    signs = _signs(*jax.lax.stop_gradient((functions, operator.mass)), jnp)
    return Spectrum(jnp.maximum(values[:k], 0), functions * signs[None, :], operator.mass)


def _signs(functions: Any, mass: Any, xp: Any = np) -> Any:
    thirds = mass @ functions**3
    largest = functions[xp.abs(functions).argmax(axis=0), xp.arange(functions.shape[1])]
    skewed = xp.abs(thirds) > 1e-8 * (mass @ xp.abs(functions) ** 3)
    return xp.where(xp.where(skewed, thirds, largest) < 0, -1.0, 1.0)
