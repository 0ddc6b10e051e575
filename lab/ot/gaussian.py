r"""Optimal transport between two Gaussians, in closed form.

$$ W_2^2 = \|m - n\|^2 + \operatorname{tr}(S) + \operatorname{tr}(T) - 2 \operatorname{tr}\big((S^{1/2} T S^{1/2})^{1/2}\big),
   \qquad x \mapsto n + A (x - m), \quad A = S^{-1/2} (S^{1/2} T S^{1/2})^{1/2} S^{-1/2} $$

for $N(m, S)$ and $N(n, T)$: what is left beside the means is the squared Bures distance of the covariances, and the map is
the gradient of a convex function, so that $A S A = T$ with A symmetric and positive semi-definite.

References: Dowson, Landau, The Frechet distance between multivariate normal distributions, 1982; Gelbrich, 1990.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics.jit import jit


class Bures(NamedTuple):
    """The cost of the optimal map from one Gaussian to another, and the map."""

    squared: Float[Array, ""]  # W_2 squared
    matrix: Float[Array, "d d"]  # A
    source: Float[Array, " d"]  # mean
    target: Float[Array, " d"]  # mean

    def __call__(self, x: Float[Array, "*points d"]) -> Float[Array, "*points d"]:
        """Where the points go."""
        source, target = (jnp.broadcast_to(mean, x.shape) for mean in (self.source, self.target))
        return target + (x - source) @ self.matrix


@jit
def bures(mean_a: ArrayLike, covariance_a: ArrayLike, mean_b: ArrayLike, covariance_b: ArrayLike) -> Bures:
    r"""$W_2^2$ between two Gaussians, and the optimal map from the first to the second.

    $$ W_2^2 = \|m - n\|^2 + \operatorname{tr}(S) + \operatorname{tr}(T)
       - 2 \operatorname{tr}\big((S^{1/2} T S^{1/2})^{1/2}\big) $$

    Time O(d^3). Differentiable where the eigenvalues of both roots are distinct. The first covariance must be positive
    definite for the map to exist; for the distance semi-definite is enough.

    Args:
        mean_a: (d,), m.
        covariance_a: (d, d), S, symmetric, positive semi-definite.
        mean_b: (d,), n.
        covariance_b: (d, d), T, likewise.

    Returns:
        a ``Bures``: W_2 squared, the matrix (d, d) of the map, and both means; called on points, it maps them.

    Raises:
        ValueError: shapes that do not fit.

    Source:
        Dowson, Landau (1982); Gelbrich (1990).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ot
        >>> one = jnp.ones((1, 1))
        >>> found = ot.bures(jnp.zeros(1), one, jnp.asarray([3.0]), 4 * one)
        >>> float(found.squared), found(jnp.asarray([1.0])).tolist()  # 3^2 + (2 - 1)^2, and 3 + 2 x
        (10.0, [5.0])
    """
    given = mean_a, mean_b, covariance_a, covariance_b
    dtype = jnp.promote_types(jnp.result_type(*given), jnp.float32)  # whole numbers become real ones
    m, n, s, t = (jnp.asarray(x, dtype) for x in given)
    d = m.size
    if m.shape != (d,) or n.shape != (d,) or s.shape != (d, d) or t.shape != (d, d):
        raise ValueError(
            f"means of shapes {m.shape}, {n.shape} and covariances {s.shape}, {t.shape} are given, but one dimension is "
            "needed: means (d,) and covariances (d, d)"
        )
    values, vectors = jnp.linalg.eigh(s)
    values = jnp.sqrt(jnp.maximum(values, 0))
    root = (vectors * values[None, :]) @ vectors.T
    middle, axes = jnp.linalg.eigh(root @ t @ root)
    middle = jnp.sqrt(jnp.maximum(middle, 0))
    inverse = jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1), 0)
    half = (vectors * inverse[None, :]) @ vectors.T @ axes
    squared = ((m - n) ** 2).sum() + jnp.trace(s) + jnp.trace(t) - 2 * middle.sum()
    return Bures(jnp.maximum(squared, 0), (half * middle[None, :]) @ half.T, m, n)
