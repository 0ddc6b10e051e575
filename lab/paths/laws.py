r"""Laws of source and data with everything exact: what a path runs between.

A law of one end offers ``sample(key, n)`` and ``denoise(y, scale, covariance)``: the mean of x given
$y = s\,x + N(0, C)$ and the log-density of y. Nothing else is asked of it by ``lab.paths.fields``, so a law of your own
with these two functions has exact fields from any Gaussian source. Gaussian mixtures are in ``lab.numerics.mixtures``.

A joint law of both ends (``Joint``, ``Pairs``) offers ``sample(key, n)``, a pair, and ``posterior(coefficients, x)``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random, roots
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.mixtures import (
    OF_WEIGHTS,
    Mixture,
    Moments,
    alike,
    checked_weights,
    finite,
    floats,
    gaussian,
    log_joint,
    mixed,
    standard,
    times,
    widened,
)
from lab.paths.blocks import BYTES, cross_covariance, draw, softmax_mean, squared_distances, truncated
from lab.paths.schedules import Coefficients, known

__all__ = [
    "Boxes",
    "Empirical",
    "Joint",
    "Mixture",
    "Moments",
    "Pairs",
    "Posterior",
    "checkerboard",
    "effective_pairs",
    "gaussian",
    "is_known",
    "law",
    "product",
    "source_of",
    "standard",
    "target_of",
]


class Posterior(NamedTuple):
    """What is known of both ends given x_t = x, and of x."""

    x0: Float[Array, "n d"]  # mean of the source
    x1: Float[Array, "n d"]  # mean of the target
    score: Float[Array, "n d"]
    log_density: Float[Array, " n"]


# -------------------------------------------------------------------------------------------------- laws of one end


class Empirical(eqx.Module):
    r"""Weighted points, $\sum_j w_j\, \delta_{a_j}$.

    Args:
        points: (n, d).
        weights: (n,), of sum one; uniform when omitted.
        block_bytes: working memory of a block of logits; 16 MiB on a CPU and 256 MiB on a GPU when omitted.

    Raises:
        ValueError: no points, values that are not finite, or weights that do not sum to one.
    """

    points: Float[Array, "n d"]
    log_weights: Float[Array, " n"]
    block_bytes: int = eqx.field(static=True)

    def __init__(self, points: Any, weights: Any = None, block_bytes: int | None = None):
        (points,) = floats(points)
        if points.ndim != 2 or 0 in points.shape:
            raise ValueError(f"the points have shape {points.shape}, but a table (points, dimension) is needed")
        finite("points", points)
        n = points.shape[0]
        if weights is None:
            self.log_weights = jnp.full(n, -np.log(n), points.dtype)
        else:
            self.log_weights = jnp.log(checked_weights(jnp.asarray(weights, points.dtype), n))
        self.points = points
        known = BYTES.get(jax.default_backend(), BYTES["gpu"])
        self.block_bytes = known if block_bytes is None else int(block_bytes)

    @property
    def weights(self) -> Float[Array, " n"]:
        return jnp.exp(self.log_weights)

    @property
    def dimension(self) -> int:
        return self.points.shape[-1]

    @jit
    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        return self.points[draw(key, refuse_derivative(self.weights, OF_WEIGHTS), n)]

    @jit
    def moments(self) -> Moments:
        mean = self.weights @ self.points
        apart = self.points - mean[None, :]
        return Moments(mean, (apart * self.weights[:, None]).T @ apart)

    @jit
    def denoise(
        self, y: Float[Array, "b d"], scale: Any, covariance: Any, extra: Callable | None = None
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"]]:
        r"""The mean of the points given $y = s\,a_j + N(0, C)$, and the log-density of y, by a softmax

        $$ w_j \propto w_j\, e^{-\frac12 (y - s a_j)^\top C^{-1} (y - s a_j) + \ell_j(y)} . $$

        Args:
            y: (b, d).
            scale: s.
            covariance: a variance (), a diagonal (d,) or a matrix (d, d), positive.
            extra: further log-weights, called with a block of y (c, d) and the points (n, d), returns (c, n).

        Time O(b n d), memory O(b d) and a block of logits of ``block_bytes``, but of at least 16 of the y.
        """
        return softmax_mean(y, self.points, self.log_weights, None, scale, covariance, extra, self.block_bytes)


@jit
def _shares(low: Array, high: Array) -> Array:
    """Of the volume."""
    volume = jnp.prod(high - low, axis=1)
    return volume / volume.sum()


class Boxes(eqx.Module):
    r"""A mixture of uniform laws on axis-parallel boxes $[l_b, h_b]$.

    Args:
        low, high: (boxes, d) corners.
        weights: (boxes,), of sum one; proportional to the volumes when omitted.

    Raises:
        ValueError: a box without volume, or weights that do not sum to one.
    """

    low: Float[Array, "boxes d"]
    high: Float[Array, "boxes d"]
    weights: Float[Array, " boxes"]

    def __init__(self, low: Any, high: Any, weights: Any = None):
        low, high = floats(low, high)
        if low.ndim != 2 or low.shape != high.shape or 0 in low.shape:
            raise ValueError(
                f"the corners have shapes {low.shape} and {high.shape}, but two tables (boxes, dimension) are needed"
            )
        finite("corners", low)
        finite("corners", high)
        if known((low, high)) and not (np.asarray(high) > np.asarray(low)).all():
            raise ValueError("every box needs low < high in each coordinate")
        self.low, self.high = low, high
        given = _shares(low, high) if weights is None else jnp.asarray(weights, low.dtype)
        self.weights = checked_weights(given, low.shape[0])

    @property
    def dimension(self) -> int:
        return self.low.shape[-1]

    @jit
    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        first, second = jax.random.split(key)
        chosen = random.categorical(first, jnp.log(refuse_derivative(self.weights, OF_WEIGHTS)), shape=(n,))
        low, high = self.low[chosen], self.high[chosen]
        return low + (high - low) * random.uniform(second, low.shape, low.dtype)

    @jit
    def log_prob(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        inside = ((x[:, None] >= self.low[None]) & (x[:, None] <= self.high[None])).all(axis=2)
        each = jnp.log(self.weights) - jnp.log(self.high - self.low).sum(axis=1)
        return jax.nn.logsumexp(jnp.where(inside, each[None], -jnp.inf), axis=1)

    @jit
    def moments(self) -> Moments:
        centre, width = (self.low + self.high) / 2, self.high - self.low
        return mixed(self.weights, centre, jnp.diag(self.weights @ (width**2 / 12)))

    @jit
    def denoise(
        self, y: Float[Array, "n d"], scale: Any, covariance: Any, extra: None = None
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        r"""The mean of x given $y = s\,x + N(0, C)$, and the log-density of y.

        Args:
            y: (n, d).
            scale: s >= 0.
            covariance: a variance () or a diagonal (d,): the coordinates of a box stay independent.

        Raises:
            ValueError: a full covariance matrix.
        """
        scale, covariance = jnp.asarray(scale, y.dtype), jnp.asarray(covariance, y.dtype)
        if covariance.ndim > 1:
            raise ValueError("boxes need a noise with independent coordinates: a source with diagonal covariance")
        spread = jnp.broadcast_to(jnp.sqrt(covariance), (self.dimension,))[None, None, :]
        u = y[:, None, :] / spread  # (n, boxes, d) from here on
        s = jnp.broadcast_to(scale / spread, u.shape[:1] + self.low.shape)
        mean, log_mass = truncated(u, s, self.low[None], self.high[None])
        logits = jnp.log(self.weights)[None, :] + (log_mass - jnp.log(spread)).sum(axis=2)
        return jnp.einsum("nb,nbd->nd", jax.nn.softmax(logits, axis=1), mean), jax.nn.logsumexp(logits, axis=1)


def checkerboard(half: int = 2, dtype: Any = float) -> Boxes:
    r"""The 2-D checkerboard of unit squares on [-half, half]^2, scaled to zero mean and mean square 1 a coordinate.

    The scale is $1 / \sqrt{h^2 / 3}$ with h = half, as a coordinate is uniform on [-h, h] before.

    Args:
        half: half of the squares a side.
        dtype: of the corners.

    Returns:
        a law ``Boxes`` of 2 half^2 squares of equal weight.

    Source:
        Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, FFJORD, ICLR 2019, among whose data in the plane it is.

    Examples:
        >>> from lab import paths
        >>> moments = paths.checkerboard().moments()
        >>> moments.covariance.diagonal().round(6).tolist()
        [1.0, 1.0]
    """
    corners = [(i, j) for i in range(-half, half) for j in range(-half, half) if (i + j) % 2 == 0]
    low = jnp.asarray(corners, dtype)
    scale = (half**2 / 3) ** 0.5
    return Boxes(low / scale, (low + 1) / scale)


# -------------------------------------------------------------------------------------------------- laws of both ends


class Joint(eqx.Module):
    r"""A Gaussian mixture of both ends: in component k, $(x_0, x_1)$ is Gaussian with means (K, d) and covariances.

    Args:
        weights: (K,), of sum one.
        source, target: means (K, d).
        source_covariances, target_covariances: (K,), (K, d) or (K, d, d), positive semidefinite.
        cross: (K, d, d) covariance of source (rows) and target (columns); zero when omitted.
    """

    weights: Float[Array, " K"]
    source: Float[Array, "K d"]
    target: Float[Array, "K d"]
    source_covariances: Array
    target_covariances: Array
    cross: Float[Array, "K d d"] | None

    def __init__(
        self,
        weights: Any,
        source: Any,
        target: Any,
        source_covariances: Any,
        target_covariances: Any,
        cross: Any = None,
    ):
        arrays = floats(weights, source, target, source_covariances, target_covariances)
        weights, source, target, c0, c1 = arrays
        if source.ndim != 2 or source.shape != target.shape:
            raise ValueError(
                f"the means have shapes {source.shape} and {target.shape}, but two tables (components, d) are needed"
            )
        k, d = source.shape
        for name, c in (("source", c0), ("target", c1)):
            if c.shape not in ((k,), (k, d), (k, d, d)):
                raise ValueError(
                    f"the covariances of the {name} have shape {c.shape}, but ({k},), ({k}, {d}) or ({k}, {d}, {d}) is needed"
                )
        c0, c1 = alike(c0, c1, d) if cross is None else (widened(c0, 3, d), widened(c1, 3, d))
        self.cross = None if cross is None else jnp.asarray(cross, c0.dtype)
        if self.cross is not None:
            if self.cross.shape != (k, d, d):
                raise ValueError(f"cross has shape {self.cross.shape}, but ({k}, {d}, {d}) is needed")
            whole = jnp.concatenate(
                [jnp.concatenate([c0, self.cross], 2), jnp.concatenate([self.cross.swapaxes(1, 2), c1], 2)], 1
            )
            if not isinstance(whole, Tracer):
                least = np.linalg.eigvalsh(np.asarray(whole))
                if not least.min() >= -1e-6 * least.max():
                    raise ValueError("cross is too large: the joint covariance of source and target is not positive")
        self.weights, self.source, self.target = checked_weights(weights, k), source, target
        self.source_covariances, self.target_covariances = c0, c1

    @property
    def dimension(self) -> int:
        return self.source.shape[-1]

    @jit
    def sample(self, key: PRNGKeyArray, n: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        first, second = jax.random.split(key)
        d = self.dimension
        chosen = random.categorical(first, jnp.log(refuse_derivative(self.weights, OF_WEIGHTS)), shape=(n,))
        noise = random.normal(second, (n, 2 * d), self.source.dtype)
        c0, c1 = (widened(c, 3, d) for c in (self.source_covariances, self.target_covariances))
        cross = jnp.zeros_like(c0) if self.cross is None else self.cross
        whole = jnp.concatenate([jnp.concatenate([c0, cross], 2), jnp.concatenate([cross.swapaxes(1, 2), c1], 2)], 1)
        spread = jnp.einsum(
            "kab,nb->nka", jax.vmap(roots.root)(whole), noise
        )  # a root also of what is only semidefinite
        both = jnp.take_along_axis(spread, chosen[:, None, None], axis=1)[:, 0]
        return self.source[chosen] + both[:, :d], self.target[chosen] + both[:, d:]

    @jit
    def cross_covariance(self) -> Float[Array, "d d"]:
        """Of source (rows) and target (columns), over all components."""
        between = cross_covariance(self.weights, self.source, self.target)
        return between if self.cross is None else between + jnp.einsum("k,kab->ab", self.weights, self.cross)

    def posterior(self, c: Coefficients, x: Float[Array, "n d"]) -> Posterior:
        r"""With $C = \alpha^2 C_0 + \beta^2 C_1 + \alpha\beta(X + X^\top) + \gamma^2 I$ and $k = C^{-1}(x - m)$, in each
        component $E[x_0|x] = m_0 + (\alpha C_0 + \beta X) k$ and $E[x_1|x] = m_1 + (\beta C_1 + \alpha X^\top) k$.

        Time O(K d^3 + n K d^2), or O(n K d) for isotropic and diagonal covariances.
        """
        a, b, gamma = c.alpha, c.beta, c.gamma
        c0, c1, d = self.source_covariances, self.target_covariances, self.dimension
        covariances = a**2 * c0 + b**2 * c1 + widened((gamma**2)[None], c0.ndim, d)
        if self.cross is not None:
            covariances = covariances + a * b * (self.cross + self.cross.swapaxes(1, 2))
        apart = x[:, None, :] - (a * self.source + b * self.target)[None]
        logits, k = log_joint(self.weights, covariances, apart)
        w = jax.nn.softmax(logits, axis=1)

        weighted = w[:, :, None] * k
        x0 = w @ self.source + a * times(c0, weighted).sum(axis=1)
        x1 = w @ self.target + b * times(c1, weighted).sum(axis=1)
        if self.cross is not None:
            x0 = x0 + b * times(self.cross, weighted).sum(axis=1)
            x1 = x1 + a * times(self.cross.swapaxes(1, 2), weighted).sum(axis=1)
        return Posterior(x0, x1, -weighted.sum(axis=1), jax.nn.logsumexp(logits, axis=1))


def product(source: Mixture, target: Mixture) -> Joint:
    """Source and target independent: K0 K1 components of weights $w_k v_l$.

    Args:
        source: K0 components in d dimensions.
        target: K1 components in d dimensions.

    Returns:
        the ``Joint`` law of both ends.

    Raises:
        ValueError: dimensions that differ.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> from lab import paths
        >>> two = paths.Mixture([0.25, 0.75], [[-1.0], [1.0]], [1.0, 1.0])
        >>> paths.product(paths.standard(1), two).weights.tolist()
        [0.25, 0.75]
    """
    if source.dimension != target.dimension:
        raise ValueError(
            f"source and target have dimensions {source.dimension} and {target.dimension}: they must agree"
        )
    return _product(source, target)


@jit
def _product(source: Mixture, target: Mixture) -> Joint:
    k0, k1 = source.weights.shape[0], target.weights.shape[0]

    def left(z):
        return jnp.repeat(z, k1, axis=0)

    def right(z):
        return jnp.concatenate([z] * k0, axis=0)

    return Joint(
        left(source.weights) * right(target.weights),
        left(source.means),
        right(target.means),
        left(source.covariances),
        right(target.covariances),
    )


class Pairs(eqx.Module):
    r"""Given pairs, $\sum_i w_i\, \delta_{(x_0^i, x_1^i)}$, smoothed by a bandwidth h.

    The field is exact for $x_t^i + h z$: of the velocities it is the Nadaraya-Watson mean of bandwidth h. With a latent
    noise, the variance is $h^2 + \gamma^2$, and h may be 0.

    Args:
        x0, x1: (n, d) pairs, row by row.
        bandwidth: h >= 0; some 0.1 to 0.4 of the scale of the data.
        weights: (n,), of sum one; uniform when omitted.
    """

    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]
    bandwidth: Float[Array, ""]
    weights: Float[Array, " n"]

    def __init__(self, x0: Any, x1: Any, bandwidth: Any = 0.0, weights: Any = None):
        x0, x1 = floats(x0, x1)
        if x0.ndim != 2 or x0.shape != x1.shape or 0 in x0.shape:
            raise ValueError(
                f"the pairs have shapes {x0.shape} and {x1.shape}, but two tables (pairs, dimension) of one shape are needed"
            )
        finite("pairs", x0)
        finite("pairs", x1)
        if not isinstance(bandwidth, Tracer) and not 0 <= float(bandwidth) < np.inf:
            raise ValueError(f"bandwidth = {float(bandwidth)}, but it must be finite and not negative")
        n = x0.shape[0]
        self.x0, self.x1, self.bandwidth = x0, x1, jnp.asarray(bandwidth, x0.dtype)
        self.weights = (
            jnp.full(n, 1 / n, x0.dtype) if weights is None else checked_weights(jnp.asarray(weights, x0.dtype), n)
        )

    @property
    def dimension(self) -> int:
        return self.x0.shape[-1]

    @jit
    def sample(self, key: PRNGKeyArray, n: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        chosen = draw(key, self.weights, n)
        return self.x0[chosen], self.x1[chosen]

    @jit
    def cross_covariance(self) -> Float[Array, "d d"]:
        """Of source (rows) and target (columns), without the smoothing."""
        return cross_covariance(self.weights, self.x0, self.x1)

    def posterior(self, c: Coefficients, x: Float[Array, "n d"]) -> Posterior:
        variance = self.bandwidth**2 + c.gamma**2
        both = jnp.concatenate([self.x0, self.x1], axis=1)
        between = c.alpha * self.x0 + c.beta * self.x1
        means, log_density = softmax_mean(x, between, jnp.log(self.weights), both, 1.0, variance)
        x0, x1 = means[:, : self.dimension], means[:, self.dimension :]
        return Posterior(x0, x1, (c.alpha * x0 + c.beta * x1 - x) / variance, log_density)

    def singular(self, c: Coefficients) -> bool:
        return not float(self.bandwidth) ** 2 + float(c.gamma) ** 2 > 0


def effective_pairs(pairs: Pairs, x: Float[Array, "n d"]) -> Float[Array, ""]:
    r"""How many pairs the kernel mean sees half way, $1 / \sum_i w_i^2$, on average over the points x.

    Below 2 the field repeats single pairs. Time and memory O(n pairs).
    """
    middle = (pairs.x0 + pairs.x1) / 2
    logits = jnp.log(pairs.weights)[None] - squared_distances(x, middle) / (2 * pairs.bandwidth**2)
    return (1 / (jax.nn.softmax(logits, axis=1) ** 2).sum(axis=1)).mean()


# ------------------------------------------------------------------------------------------------------ what users hold


def law(given: Any) -> Any:
    r"""A law from what one holds: a law, a table of points (n, d), or a numpyro distribution.

    Points are the law $\frac1n \sum_j \delta_{a_j}$. Of numpyro: ``MultivariateNormal``, ``Normal(...).to_event(1)``,
    ``Uniform(...).to_event(1)``, and ``MixtureSameFamily`` of the first two. numpyro is imported only when one of its
    distributions is given.

    Args:
        given: what one holds.

    Returns:
        it itself where it has ``denoise``, an ``Empirical`` of points, or the law of the distribution.

    Raises:
        TypeError: anything else.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025), on which laws have paths.

    Examples:
        >>> from lab import paths
        >>> paths.law([[0.0, 1.0], [2.0, 3.0]]).moments().mean.tolist()
        [1.0, 2.0]
    """
    if hasattr(given, "denoise"):
        return given
    if type(given).__module__.partition(".")[0] == "numpyro":
        return _from_numpyro(given)
    if isinstance(given, jax.Array | np.ndarray | list | tuple):
        return Empirical(given)
    raise TypeError(
        f"{type(given).__name__} is no law: give a Mixture, Empirical, Boxes, points (n, d), a numpyro distribution, "
        "or an object with sample and denoise"
    )


def target_of(arrays: Mapping[str, Any]) -> Mixture | Boxes | Empirical:
    """The law that a data set of kind ``samples`` was drawn from where it is known, else the data themselves."""
    if "centres" in arrays:
        return Mixture(*(placed(arrays[key]) for key in ("weights", "centres", "variances")))
    if "low" in arrays:
        return Boxes(*(placed(arrays[key]) for key in ("low", "high", "weights")))
    return Empirical(placed(arrays["x"]))


def source_of(arrays: Mapping[str, Any]) -> Mixture | Empirical:
    """The law at t = 0: that of the data set where it has one, else N(0, I)."""
    if "source_centres" in arrays:
        keys = ("source_weights", "source_centres", "source_variances")
        return Mixture(*(placed(arrays[key]) for key in keys))
    if "x0" in arrays:
        return Empirical(placed(arrays["x0"]))
    return standard(arrays["x"].shape[1])


def is_known(arrays: Mapping[str, Any]) -> bool:
    """Whether the law of a data set is known, and not only samples of it."""
    return "centres" in arrays or "low" in arrays


def _from_numpyro(given: Any) -> Mixture | Boxes:
    import numpyro.distributions as npd

    def parts(each: Any) -> tuple[Any, Any]:
        """Means and covariances with whatever axes of a batch there are."""
        if isinstance(each, npd.MultivariateNormal):
            return each.loc, each.covariance_matrix
        if isinstance(each, npd.Independent) and each.reinterpreted_batch_ndims == 1:
            base: Any = each.base_dist
            if isinstance(base, npd.Normal):
                means, scales = jnp.broadcast_arrays(*floats(base.loc, base.scale))
                return means, scales**2
        raise TypeError(
            f"numpyro's {type(each).__name__} is not supported here: give MultivariateNormal, Normal(...).to_event(1), "
            "a MixtureSameFamily of these, or Uniform(...).to_event(1)"
        )

    if isinstance(given, npd.Independent) and isinstance(given.base_dist, npd.Uniform):
        base: Any = given.base_dist
        low, high = jnp.broadcast_arrays(*floats(base.low, base.high))
        return Boxes(low[None], high[None])
    if isinstance(given, npd.MixtureSameFamily):
        means, covariances = parts(given.component_distribution)
        return Mixture(given.mixing_distribution.probs, means, covariances)
    mean, covariance = parts(given)
    return gaussian(mean, covariance)
