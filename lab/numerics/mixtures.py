r"""Gaussian mixtures with every exact quantity: density, score, denoiser, moments, posterior under linear observations.

$$ p(x) = \sum_k w_k\, N(x;\, m_k, C_k), \qquad x \in R^d $$

Covariances come in three forms, told by their shape: (K,) multiples of the identity, (K, d) diagonals, (K, d, d) full.
The first two need no factorization and serve large d; every function keeps the simplest form that holds its result.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from lab import precision
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit

OF_WEIGHTS = (
    "samples jump from component to component as the weights change: sampling has no derivative in the weights; "
    "differentiate log_prob, or samples in the means and covariances"
)


class Moments(NamedTuple):
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]


class Mixture(eqx.Module):
    r"""A Gaussian mixture $\sum_k w_k N(m_k, C_k)$.

    Args:
        weights: (K,), not negative, of sum 1 within 1e-6 (rescaled by what remains).
        means: (K, d).
        covariances: (K,) variances of isotropic components, (K, d) diagonals, or (K, d, d) positive definite matrices.

    Raises:
        ValueError: shapes that do not fit, weights that do not sum to one, a covariance that is not positive definite, or
            a value that is not finite. Traced values are not checked.

    >>> two = Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [0.25, 0.25])
    >>> two.moments().covariance.tolist()
    [[1.25, 0.0], [0.0, 0.25]]
    """

    weights: Float[Array, " K"]
    means: Float[Array, "K d"]
    covariances: Float[Array, " K"] | Float[Array, "K d"] | Float[Array, "K d d"]

    def __init__(self, weights: Any, means: Any, covariances: Any):
        weights, means, covariances = floats(weights, means, covariances)
        if means.ndim != 2:
            raise ValueError(f"the means have shape {means.shape}, but a table (components, dimension) is needed")
        k, d = means.shape
        if covariances.shape not in ((k,), (k, d), (k, d, d)):
            raise ValueError(
                f"the covariances have shape {covariances.shape}, but {k} components in dimension {d} need ({k},) "
                f"variances, ({k}, {d}) diagonals or ({k}, {d}, {d}) matrices"
            )
        finite("means", means)
        finite("covariances", covariances)
        if not isinstance(covariances, Tracer):
            given = np.asarray(covariances)
            if given.ndim == 3 and not np.allclose(given, given.swapaxes(1, 2), rtol=1e-6, atol=1e-12):
                raise ValueError("a covariance is not symmetric")
            least = np.linalg.eigvalsh(given).min(axis=1) if given.ndim == 3 else given.reshape(k, -1).min(axis=1)
            if not (least > 0).all():
                bad = int(np.argmax(~(least > 0)))
                raise ValueError(
                    f"covariance {bad} has the eigenvalue {least[bad]:.6g}, but it must be positive definite; "
                    "points without spread are an Empirical law"
                )
        self.weights, self.means, self.covariances = checked_weights(weights, k), means, covariances

    @property
    def dimension(self) -> int:
        return self.means.shape[-1]

    @jit
    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """n independent draws. Memory O(n K d)."""
        whole("n", n, 0)
        first, second = jax.random.split(key)
        weights = refuse_derivative(self.weights, OF_WEIGHTS)
        chosen = random.categorical(first, jnp.log(weights), shape=(n,))
        noise = random.normal(second, (n, self.dimension), self.means.dtype)
        c = self.covariances
        if c.ndim < 3:
            return self.means[chosen] + jnp.sqrt(widened(c, 2, self.dimension))[chosen] * noise
        spread = jnp.einsum("kab,nb->nka", jnp.linalg.cholesky(c), noise)
        return self.means[chosen] + jnp.take_along_axis(spread, chosen[:, None, None], axis=1)[:, 0]

    @jit
    def log_prob(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        return jax.nn.logsumexp(log_joint(self.weights, self.covariances, self._apart(x))[0], axis=1)

    @jit
    def score(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        r"""$\nabla \log p(x)$."""
        logits, k = log_joint(self.weights, self.covariances, self._apart(x))
        return -jnp.einsum("nk,nkd->nd", jax.nn.softmax(logits, axis=1), k)

    @jit
    def responsibilities(self, x: Float[Array, "n d"]) -> Float[Array, "n K"]:
        """The probability of each component given the point."""
        return jax.nn.softmax(log_joint(self.weights, self.covariances, self._apart(x))[0], axis=1)

    @jit
    def moments(self) -> Moments:
        """Mean and covariance of the whole mixture."""
        within = jnp.einsum("k,kab->ab", self.weights, widened(self.covariances, 3, self.dimension))
        return mixed(self.weights, self.means, within)

    @jit
    def denoise(
        self, y: Float[Array, "n d"], scale: Any, covariance: Any, extra: None = None
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        r"""The mean of x given $y = s\,x + N(0, C)$, and the log-density of y.

        Args:
            y: (n, d).
            scale: s, any number.
            covariance: of the noise: a variance (), a diagonal (d,) or a matrix (d, d).
        """
        y = real("y", y, ("n", self.dimension))
        scale, covariance = jnp.asarray(scale, y.dtype), jnp.asarray(covariance, y.dtype)
        own, noise = alike(self.covariances, covariance[None], self.dimension)
        logits, k = log_joint(self.weights, scale**2 * own + noise, y[:, None, :] - (scale * self.means)[None, :, :])
        w = jax.nn.softmax(logits, axis=1)
        mean = w @ self.means + scale * jnp.einsum("nk,nkd->nd", w, times(own, k))
        return mean, jax.nn.logsumexp(logits, axis=1)

    @jit
    def observe(self, operator: Float[Array, "m d"], y: Float[Array, " m"], noise: Float[Array, "m m"]) -> "Mixture":
        r"""The law of x given $y = A x + N(0, R)$: again a mixture.

        With rows of the identity for A and R = 0 it is the law given some coordinates (then singular along them).
        """
        operator = real("operator", operator, ("m", self.dimension))
        m = operator.shape[0]
        y, noise = real("y", y, (m,)), real("noise", noise, (m, m))
        full = widened(self.covariances, 3, self.dimension)
        cross = jnp.einsum("kab,mb->kam", full, operator)
        marginal = jnp.einsum("ma,kan->kmn", operator, cross) + noise[None]
        apart = y[None, :] - self.means @ operator.T
        logits, k = log_joint(self.weights, marginal, apart[None])
        gain = jnp.linalg.solve(marginal, cross.swapaxes(1, 2))  # (K, m, d)
        covariances = full - jnp.einsum("kam,kmb->kab", cross, gain)
        covariances = (covariances + covariances.swapaxes(1, 2)) / 2
        means = self.means + jnp.einsum("kam,km->ka", cross, k[0])
        return eqx.tree_at(
            lambda each: (each.weights, each.means, each.covariances),
            self,
            (jax.nn.softmax(logits[0]), means, covariances),
        )

    def _apart(self, x: Array) -> Array:
        return real("x", x, ("n", self.dimension))[:, None, :] - self.means[None, :, :]


def gaussian(mean: Any, covariance: Any = 1.0) -> Mixture:
    """One Gaussian $N(m, S)$ as a mixture of one component.

    Args:
        mean: (d,).
        covariance: a variance (), a diagonal (d,) or a matrix (d, d).

    Returns:
        a ``Mixture`` of one component.

    Raises:
        ValueError: a mean that is no vector, or what ``Mixture`` refuses.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> from lab import paths
        >>> paths.gaussian([0.0, 1.0], 4.0).moments().covariance.tolist()
        [[4.0, 0.0], [0.0, 4.0]]
    """
    mean, covariance = floats(mean, covariance)
    if mean.ndim != 1:
        raise ValueError(f"the mean has shape {mean.shape}, but a vector (dimension,) is needed")
    return Mixture(jnp.ones(1, mean.dtype), mean[None], covariance[None])


def standard(dimension: int, dtype: Any = float) -> Mixture:
    """The standard Gaussian $N(0, I)$ in d dimensions.

    Args:
        dimension: d.
        dtype: of its numbers.

    Returns:
        a ``Mixture`` of one component.

    Raises:
        ValueError: a dimension that is not a whole number of at least 1.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> round(float(paths.standard(2).log_prob(jnp.zeros((1, 2)))[0]), 4)  # -log(2 pi)
        -1.8379
    """
    return gaussian(jnp.zeros(whole("dimension", dimension, 1), dtype), jnp.ones((), dtype))


# ------------------------------------------------------------------------------- covariances in one of the three forms


def log_joint(weights: Array, covariances: Array, apart: Float[Array, "n K d"]) -> tuple[Array, Array]:
    r"""$\log w_k N(r;\, 0, C_k)$ (n, K) and $C_k^{-1} r$ (n, K, d) for the differences r of points from the means."""
    d = apart.shape[-1]
    if covariances.ndim == 3:
        root = jnp.linalg.cholesky(covariances)
        identity = jnp.broadcast_to(jnp.eye(d, dtype=root.dtype), root.shape)
        inverse = jax.lax.linalg.triangular_solve(root, identity, left_side=True, lower=True)
        white = jnp.einsum("kab,nkb->nka", inverse, apart)
        solved = jnp.einsum("kba,nkb->nka", inverse, white)
        squared = (white**2).sum(axis=2)
        log_det = 2 * jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    else:
        solved = apart / (covariances[None, :, None] if covariances.ndim == 1 else covariances[None])
        squared = (apart * solved).sum(axis=2)
        log_det = d * jnp.log(covariances) if covariances.ndim == 1 else jnp.log(covariances).sum(axis=1)
    return (jnp.log(weights) - (log_det + d * jnp.log(2 * jnp.pi)) / 2)[None, :] - squared / 2, solved


def times(covariances: Array, vectors: Float[Array, "n K d"]) -> Float[Array, "n K d"]:
    """C_k v for each point and component."""
    if covariances.ndim == 3:
        return jnp.einsum("kab,nkb->nka", covariances, vectors)
    return vectors * (covariances[None, :, None] if covariances.ndim == 1 else covariances[None])


def widened(covariances: Array, form: int, d: int) -> Array:
    """In the form of 1, 2 or 3 axes, at least the one that it has."""
    if covariances.ndim < 2 <= form:
        covariances = jnp.broadcast_to(covariances[:, None], (covariances.shape[0], d))
    if covariances.ndim < 3 <= form:
        covariances = covariances[:, :, None] * jnp.eye(d, dtype=covariances.dtype)[None]
    return covariances


def mixed(weights: Array, means: Array, within: Array) -> Moments:
    """Mean and covariance of a mixture, of the means of its parts (k, d) and the mean of their covariances (d, d)."""
    mean = weights @ means
    apart = means - mean[None, :]
    return Moments(mean, within + jnp.einsum("k,ka,kb->ab", weights, apart, apart))


def alike(first: Array, second: Array, d: int) -> tuple[Array, Array]:
    """Both in the simplest form that holds both."""
    form = max(first.ndim, second.ndim)
    return widened(first, form, d), widened(second, form, d)


# ------------------------------------------------------------------------------------------------------------ checks


def floats(*given: Any) -> list[Array]:
    """As arrays of one floating dtype, which arrays decide and lists follow."""
    for each in given:
        precision.uncut(**{"an array of points, weights or covariances": each})
    told = [each.dtype for each in given if hasattr(each, "dtype")]
    dtype = jnp.result_type(*told) if told else jnp.result_type(float)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    return [jnp.asarray(each, dtype) for each in given]


def finite(name: str, values: Array) -> None:
    """Refuse values that are not finite, by the name that the user knows; traced ones are not looked at."""
    if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"the {name} must be finite, but entry {np.argwhere(~np.isfinite(values))[0].tolist()} is not")


def checked_weights(weights: Array, size: int) -> Array:
    """Weights (size,) of sum one, checked, and divided by what rounding leaves of their sum."""
    if weights.shape != (size,):
        raise ValueError(f"the weights have shape {weights.shape}, but ({size},) is needed")
    if isinstance(weights, Tracer):
        return weights
    given = np.asarray(weights)
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise ValueError("the weights must be finite and not negative")
    if not abs(float(given.sum()) - 1) <= 1e-6:
        raise ValueError(
            f"the weights sum to {float(given.sum()):.9g}, but they must sum to one: divide them by their sum"
        )
    return placed(given / given.sum())
