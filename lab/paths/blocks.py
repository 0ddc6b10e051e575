"""What the laws are computed with: means under a softmax block by block, distances, draws, a truncated Gaussian."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.numerics import random

BYTES = {"cpu": 16 << 20, "gpu": 256 << 20}  # of a block of logits
_EXACT = jax.lax.Precision.HIGHEST  # a GPU would multiply with 10 bits
_ROWS = 16  # of a block, at least
_BY_COORDINATE = 16  # up to this dimension, distances are summed coordinate by coordinate: exact zeros, fused


def softmax_mean(
    y: Float[Array, "b d"],
    points: Float[Array, "n d"],
    log_weights: Float[Array, " n"],
    values: Float[Array, "n v"] | None,
    scale: Any,
    covariance: Any,
    extra: Callable | None = None,
    block_bytes: int | None = None,
) -> tuple[Float[Array, "b v"], Float[Array, " b"]]:
    """The mean of the values (the points when None) under the softmax of ``Empirical.denoise``, and the log-density of y.

    A block of y at a time, against all points; in reverse mode blocks are computed again, not stored.
    """
    n, d = points.shape
    b = y.shape[0]
    scale, covariance = jnp.asarray(scale, y.dtype), jnp.asarray(covariance, y.dtype)
    whiten, log_det = _whitening(covariance, d)
    small = d <= _BY_COORDINATE
    # in many dimensions the points are used as they are: a scaled copy would double the memory
    near = scale * whiten(points) if small else points
    squares = ((scale * whiten(points)) ** 2).sum(axis=1)[None, :]

    @jax.checkpoint
    def block(y):
        white = whiten(y)
        if small:
            squared = squared_distances(white, near)
        else:
            inner = jnp.matmul(scale * whiten(white, True), near.T, precision=_EXACT)
            squared = jnp.maximum((white**2).sum(axis=1)[:, None] + squares - 2 * inner, 0)
        logits = log_weights[None, :] - squared / 2
        if extra is not None:
            logits = logits + extra(y, points)
        top = jax.lax.stop_gradient(logits.max(axis=1, keepdims=True))
        w = jnp.exp(logits - top)
        total = w.sum(axis=1)
        mean = jnp.matmul(w, points if values is None else values, precision=_EXACT) / total[:, None]
        return mean, top[:, 0] + jnp.log(total)

    known = BYTES.get(jax.default_backend(), BYTES["gpu"]) if block_bytes is None else block_bytes
    blocks = -(-b // max(_ROWS, known // (n * y.dtype.itemsize)))
    if blocks <= 1:
        mean, log_total = block(y)
    else:
        rows = -(-b // blocks)
        padded = jnp.concatenate([y, jnp.zeros((blocks * rows - b, d), y.dtype)]).reshape(blocks, rows, d)
        mean, log_total = jax.lax.map(block, padded)
        mean, log_total = mean.reshape(blocks * rows, -1)[:b], log_total.ravel()[:b]
    return mean, log_total - (log_det + d * jnp.log(2 * jnp.pi)) / 2


def squared_distances(x: Float[Array, "b d"], y: Float[Array, "c d"]) -> Float[Array, "b c"]:
    """By coordinates in small dimensions, by one product of matrices in large ones. Memory O(b c)."""
    d = x.shape[1]
    if d <= _BY_COORDINATE:
        return sum(((x[:, None, k] - y[None, :, k]) ** 2 for k in range(d)), jnp.zeros((), x.dtype))
    inner = jnp.matmul(x, y.T, precision=_EXACT)
    return jnp.maximum((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * inner, 0)


def cross_covariance(weights: Array, x: Array, y: Array) -> Array:
    """Of x (n, d) and y (n, e) under weights (n,) of total 1: (d, e)."""
    return ((x - (weights @ x)[None]) * weights[:, None]).T @ (y - (weights @ y)[None])


def draw(key: Array, weights: Array, n: int) -> Array:
    """n indices, by the inverse of the distribution function: memory O(n) beside the weights."""
    total = jnp.cumsum(weights)
    u = random.uniform(key, (n,), weights.dtype) * total[-1]
    return jnp.minimum(jnp.searchsorted(total, u, side="right"), weights.shape[0] - 1)


def _whitening(covariance: Array, d: int) -> tuple[Callable[..., Array], Array]:
    """The root of the inverse of a covariance, as a map of rows (True: its transpose), and the log-determinant."""
    if covariance.ndim < 2:
        unit = jnp.reshape(1 / jnp.sqrt(covariance), (1, -1))
        log_det = d * jnp.log(covariance) if covariance.ndim == 0 else jnp.log(covariance).sum()
        return lambda x, transposed=False: x * unit, log_det
    root = jnp.linalg.cholesky(covariance)
    log_det = 2 * jnp.log(jnp.diagonal(root)).sum()

    def whiten(x, transposed=False):
        return jax.scipy.linalg.solve_triangular(root, x.T, lower=True, trans=int(transposed)).T

    return whiten, log_det


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def truncated(u: Array, s: Array, low: Array, high: Array) -> tuple[Array, Array]:
    r"""Mean of x uniform on [low, high] given $u = s x + N(0, 1)$, and the log-density of u, elementwise.

    By differences of normal distribution functions in their tails, and where s (high - low) is small, so that these
    differences cancel, by Gauss's quadrature.
    """
    a, b = s * low - u, s * high - u
    narrow = b - a < 0.1
    # x = (u + truncated normal on [a, b]) / s, mirrored so that the interval's middle is not positive
    s_wide, a_wide, b_wide = jnp.where(narrow, 1, s), jnp.where(narrow, -1, a), jnp.where(narrow, 1, b)
    mirrored = a_wide + b_wide > 0
    p, q = jnp.where(mirrored, -b_wide, a_wide), jnp.where(mirrored, -a_wide, b_wide)
    log_p, log_q = jax.scipy.special.log_ndtr(p), jax.scipy.special.log_ndtr(q)
    log_mass = log_q + jnp.log1p(-jnp.exp(log_p - log_q))
    bell_p, bell_q = (jnp.exp(-(z**2) / 2 - log_mass) / (2 * jnp.pi) ** 0.5 for z in (p, q))
    shift = jnp.where(mirrored, bell_q - bell_p, bell_p - bell_q)
    mean_wide = jnp.clip((u + shift) / s_wide, low, high)
    log_wide = log_mass - jnp.log(s_wide * (high - low))

    nodes = jnp.asarray(_NODES, u.dtype), jnp.asarray(_WEIGHTS / 2, u.dtype)
    half = (high - low)[..., None] / 2
    x = (low + high)[..., None] / 2 + half * nodes[0].reshape((1,) * u.ndim + (-1,))
    logits = -((u[..., None] - s[..., None] * x) ** 2) / 2 + jnp.log(nodes[1]).reshape((1,) * u.ndim + (-1,))
    log_total = jax.nn.logsumexp(logits, axis=-1)
    mean_narrow = (jnp.exp(logits - log_total[..., None]) * x).sum(axis=-1)
    log_narrow = log_total - jnp.log(2 * jnp.pi) / 2
    return jnp.where(narrow, mean_narrow, mean_wide), jnp.where(narrow, log_narrow, log_wide)
