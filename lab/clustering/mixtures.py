r"""A mixture of Gaussians fitted to points by expectation and maximization, from k-means.

$$ \max_{w, m, C} \sum_i \log \sum_k w_k\, N(x_i;\, m_k, C_k), \qquad
   r_{ik} \propto w_k N(x_i;\, m_k, C_k), \quad w_k = \overline{r_k}, \quad m_k = \frac{\sum_i r_{ik} x_i}{\sum_i r_{ik}}, \quad
   C_k = \frac{\sum_i r_{ik} (x_i - m_k)(x_i - m_k)^\top}{\sum_i r_{ik}} + \rho I . $$

Source: Dempster, Laird, Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, J. R. Stat. Soc. B 1977; the
width $\rho$ is ``reg_covar`` of scikit-learn's ``GaussianMixture``, whose steps these are.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.clustering.kmeans import kmeans
from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.mixtures import Mixture, log_joint


class Fitted(NamedTuple):
    """The mixture, the mean log-density of the points under it, and why the steps ended."""

    mixture: Mixture
    log_density: Float[Array, ""]
    iterations: Any
    reason: Any


class _Task(NamedTuple):
    x: Float[Array, "n d"]
    start: Float[Array, "n K"]
    least: Array
    tolerance: Array


class _State(NamedTuple):
    weights: Float[Array, " K"]
    means: Float[Array, "K d"]
    covariances: Float[Array, "K d d"]
    value: Float[Array, ""]  # of the parameters before
    change: Float[Array, ""]


def _maximized(x: Array, shares: Array, least: Array) -> tuple[Array, Array, Array]:
    mass = shares.sum(axis=0) + 10 * jnp.finfo(x.dtype).eps
    means = shares.T @ x / mass[:, None]
    d = x.shape[1]

    def one(share: Array, mean: Array, mass: Array) -> Array:
        apart = x - mean[None]
        return (share[:, None] * apart).T @ apart / mass

    covariances = jax.lax.map(lambda each: one(*each), (shares.T, means, mass))
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    return mass / mass.sum(), means, covariances + (least * jnp.eye(d, dtype=x.dtype))[None]


def _init(task: _Task) -> _State:
    worst = jnp.asarray(-jnp.inf, task.x.dtype)
    return _State(*_maximized(task.x, task.start, task.least), worst, -worst)


def _step(task: _Task, state: _State) -> _State:
    logs, _ = log_joint(state.weights, state.covariances, task.x[:, None, :] - state.means[None])
    value = jax.nn.logsumexp(logs, axis=1).mean()
    found = _maximized(task.x, jax.nn.softmax(logs, axis=1), task.least)
    return _State(*found, value, jnp.abs(value - state.value))


def _done(task: _Task, state: _State) -> Array:
    reason = jnp.where(state.change < task.tolerance, Reason.CONVERGED, Reason.RUNNING)
    bad = jnp.isnan(state.value) | ~jnp.isfinite(state.means).all()
    return jnp.where(bad, Reason.NOT_FINITE, reason).astype(jnp.int32)


_EM = Method(_init, _step, _done, lambda task, state: {"log_density": state.value})


def fitted(
    x: Float[Array, "n d"],
    k: int,
    key: PRNGKeyArray,
    *,
    least: ArrayLike = 1e-6,
    tolerance: ArrayLike = 1e-3,
    max_iterations: int = 100,
    loop: Loop = pure,
) -> Fitted:
    r"""A mixture of K Gaussians with full covariances.

    Args:
        key: of the start of k-means.
        least: rho, which every covariance has at least; above 0.
        tolerance: the steps end when the mean log-density changes by less.
        loop: ``lab.numerics.pure`` or a ``Chunked``.

    Raises:
        ValueError: fewer points than Gaussians, no Gaussian, or a width that is not positive.

    Time O(n K d^2 + K d^3) a step, memory O(n K d + K d^2).
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(x):
        raise ValueError(
            f"k = {k}, but of {len(x)} points a whole number of Gaussians from 1 to {len(x)} can be fitted"
        )
    if not isinstance(least, Tracer) and not float(np.asarray(least)) > 0:
        raise ValueError(f"least = {float(np.asarray(least)):g}, but the least variance must be positive")
    _, labels = kmeans(key, x, int(k), loop=loop)
    shares = jax.nn.one_hot(labels, int(k), dtype=x.dtype)
    task = _Task(x, shares, jnp.asarray(least, x.dtype), jnp.asarray(tolerance, x.dtype))
    ran = loop(_EM, task, max_iterations=max_iterations)
    state: _State = ran.state
    return Fitted(Mixture(state.weights, state.means, state.covariances), state.value, ran.iterations, ran.reason)
