r"""Optimal transport between two Gaussians, in closed form.

$$ W_2^2 = \|m - n\|^2 + \operatorname{tr}(S) + \operatorname{tr}(T) - 2 \operatorname{tr}\big((S^{1/2} T S^{1/2})^{1/2}\big),
   \qquad x \mapsto n + A (x - m), \quad A = S^{-1/2} (S^{1/2} T S^{1/2})^{1/2} S^{-1/2} $$

for $N(m, S)$ and $N(n, T)$: what is left beside the means is the squared Bures distance of the covariances, and the map is
the gradient of a convex function, so that $A S A = T$ with A symmetric and positive semi-definite.

References: Dowson, Landau, The Frechet distance between multivariate normal distributions, 1982; Gelbrich, 1990.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.numerics import roots
from lab.numerics.arguments import arrays, real
from lab.numerics.jit import jit


class Bures(NamedTuple):
    """The cost of the optimal map from one Gaussian to another, and the map."""

    squared: Float[Array, ""]  # W_2 squared
    matrix: Float[Array, "d d"]  # A
    source: Float[Array, " d"]  # mean
    target: Float[Array, " d"]  # mean

    @arrays()
    def __call__(self, x: Float[Array, "*points d"]) -> Float[Array, "*points d"]:
        """Where the points go.

        Raises:
            ValueError: points of another dimension, or that are not finite.
        """
        if x.shape[-1:] != self.source.shape:
            raise ValueError(f"x has shape {x.shape}, but the Gaussians have dimension {self.source.size}")
        source, target = (jnp.broadcast_to(mean, x.shape) for mean in (self.source, self.target))
        return target + (x - source) @ self.matrix


def bures(mean_a: Any, covariance_a: Any, mean_b: Any, covariance_b: Any) -> Bures:
    r"""$W_2^2$ between two Gaussians, and the optimal map from the first to the second.

    $$ W_2^2 = \|m - n\|^2 + \operatorname{tr}(S) + \operatorname{tr}(T)
       - 2 \operatorname{tr}\big((S^{1/2} T S^{1/2})^{1/2}\big) $$

    Time O(d^3). Differentiable where both covariances are positive definite, and NaN in them where one is singular: a root has
    no derivative there. The first covariance must be positive definite for the map to exist; for the distance semi-definite is
    enough.

    Args:
        mean_a: (d,), m.
        covariance_a: (d, d), S, symmetric, positive semi-definite.
        mean_b: (d,), n.
        covariance_b: (d, d), T, likewise.

    Returns:
        a ``Bures``: W_2 squared, the matrix (d, d) of the map, and both means; called on points, it maps them.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a covariance that is not symmetric or has a negative
            eigenvalue.

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
    m, s, n, t = (
        real(name, value)
        for name, value in (
            ("mean_a", mean_a),
            ("covariance_a", covariance_a),
            ("mean_b", mean_b),
            ("covariance_b", covariance_b),
        )
    )
    d = m.size
    if m.shape != (d,) or n.shape != (d,) or s.shape != (d, d) or t.shape != (d, d):
        raise ValueError(
            f"means of shapes {m.shape}, {n.shape} and covariances {s.shape}, {t.shape} are given, but one dimension is "
            "needed: means (d,) and covariances (d, d)"
        )
    check_covariance("covariance_a", s)
    check_covariance("covariance_b", t)
    dtype = jnp.promote_types(jnp.result_type(m, n, s, t), jnp.float32)
    return _bures(*(each.astype(dtype) for each in (m, s, n, t)))


@jit
def _bures(m: Array, s: Array, n: Array, t: Array) -> Bures:
    root = roots.root(s)
    middle, inverse = roots.root(root @ t @ root), roots.inverse(root)
    squared = ((m - n) ** 2).sum() + jnp.trace(s) + jnp.trace(t) - 2 * jnp.trace(middle)
    return Bures(jnp.maximum(squared, 0), inverse @ middle @ inverse, m, n)


def check_covariance(name: str, matrix: Array) -> None:
    """Check that a matrix is symmetric and positive semi-definite to rounding, unless it is traced.

    Raises:
        ValueError: it is not.
    """
    if isinstance(matrix, Tracer):
        return
    known = np.asarray(matrix, float)
    rounding = 100 * max(float(jnp.finfo(matrix.dtype).eps), 1e-12) * max(len(known), 1) * np.abs(known).max(initial=0)
    if np.abs(known - known.T).max(initial=0) > rounding:
        raise ValueError(f"{name} is not symmetric: a covariance is")
    if (least := float(np.linalg.eigvalsh(known).min(initial=0))) < -rounding:
        raise ValueError(f"{name} has the eigenvalue {least:.3g}, but a covariance is positive semi-definite")
