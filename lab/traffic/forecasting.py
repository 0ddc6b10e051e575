r"""Forecasts that anybody must beat: constant velocity, and a ridge regression of the future on the past.

$$ \hat x_{t+j} = x_t + j (x_t - x_{t-1}); \qquad
   \min_{W, b} \sum_i | y_i - W x_i - b |^2 + \alpha |W|^2 , $$

x the seen positions and y the future ones, from where the agent was seen last, both coordinates jointly. And the error
ellipses that go with them: covariances of what a forecast missed in training, by step.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from lab.numerics.arguments import ANY, arrays, whole


@arrays(past=ANY)
def constant_velocity(past: Float[Array, "*s o 2"], steps: int) -> Float[Array, "*s {steps} 2"]:
    r"""On with the last displacement: $\hat x_{t+j} = x_t + j (x_t - x_{t-1})$.

    Args:
        past: seen positions (..., o, 2), in m.
        steps: how many to predict.

    Returns:
        positions (..., steps, 2).

    Raises:
        ValueError: fewer than 2 seen positions, or steps below 1.

    Source:
        Scholler et al., What the constant velocity model can teach us about pedestrian motion prediction (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.constant_velocity(jnp.array([[0.0, 0.0], [1.0, 0.5]]), 2)
        Array([[2. , 1. ],
               [3. , 1.5]], dtype=float64)
    """
    if past.shape[-2] < 2:
        raise ValueError(f"past: observed = {past.shape[-2]} frames is not allowed: a speed needs at least 2")
    whole("steps", steps, 1)
    last, speed = past[..., -1:, :], past[..., -1:, :] - past[..., -2:-1, :]
    times = jnp.broadcast_to(jnp.arange(1.0, steps + 1)[:, None], (*past.shape[:-2], steps, 1))
    return last + times * speed


class Ridge(NamedTuple):
    """A regression of future positions on past ones."""

    weights: Float[Array, "o2 p2"]
    intercept: Float[Array, " p2"]

    @arrays(past=ANY)
    def __call__(self, past: Float[Array, "*s o 2"]) -> Float[Array, "*s p 2"]:
        """What it predicts, in the frame of the past.

        Raises:
            ValueError: a past of another number of frames than it learned from.
        """
        if 2 * past.shape[-2] != len(self.weights):
            raise ValueError(f"past has {past.shape[-2]} frames, but the regression is of {len(self.weights) // 2}")
        shape = past.shape[:-2]
        told = past.reshape(-1, len(self.weights)) @ self.weights + self.intercept[None, :]
        return told.reshape(*shape, -1, 2)


@arrays(past=ANY, future=ANY)
def ridge(
    past: Float[Array, "*s o 2"], future: Float[Array, "*s p 2"], there: Bool[Array, "*s"], penalty: ArrayLike = 1e-2
) -> Ridge:
    r"""The regression on all windows that count; the intercept is not penalised.

    $$ \min_{W, b} \sum_i | y_i - W x_i - b |^2 + \alpha |W|^2 $$

    Args:
        past: (..., o, 2) in metres, from where each agent was seen last.
        future: (..., p, 2) likewise.
        there: which windows count, (...); others may have any values, NaN too.
        penalty: alpha, in square metres.

    Returns:
        the regression, called with a past.

    Raises:
        ValueError: shapes that do not fit, a penalty that is not above 0, or a window that counts and is not finite.

    Source:
        Hoerl and Kennard, Ridge regression (1970).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> past = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]], [[-1.0, -1.0]]])
        >>> found = traffic.ridge(past, 2 * past, jnp.ones(3, bool), penalty=1e-9)
        >>> bool(jnp.allclose(found(past), 2 * past))
        True
    """
    if not isinstance(penalty, Tracer) and not 0 < float(np.asarray(penalty)) < np.inf:
        raise ValueError(f"penalty = {penalty} is not allowed: it must be above 0 and finite")
    for name, each in (("past", past), ("future", future)):
        known = not any(isinstance(value, Tracer) for value in (each, there))
        if known and not np.isfinite(np.asarray(each)[np.asarray(there)]).all():
            raise ValueError(f"{name} is not finite in a window that counts: give it, or leave the window out of there")
    weight = there.reshape(-1, 1).astype(past.dtype)
    x, y = (jnp.where(weight > 0, each.reshape(len(weight), -1), 0.0) for each in (past, future))
    total = jnp.maximum(weight.sum(), 1)
    x_mean, y_mean = x.sum(axis=0) / total, y.sum(axis=0) / total
    x, y = x - weight * x_mean[None, :], y - weight * y_mean[None, :]
    square = x.T @ x
    found = jnp.linalg.solve(square + penalty * jnp.eye(len(square), dtype=square.dtype), x.T @ y)
    return Ridge(found, y_mean - x_mean @ found)


@arrays(told=ANY, truth=ANY)
def missed(
    told: Float[Array, "*s p 2"], truth: Float[Array, "*s p 2"], there: Bool[Array, "*s"]
) -> Float[Array, "p 2 2"]:
    """The second moments of what a forecast missed, by step: about 0, so that a bias counts."""
    counted = there[..., None, None]
    away = jnp.where(counted, told, 0.0) - jnp.where(counted, truth, 0.0)
    away = away.reshape(-1, *away.shape[-2:])
    return jnp.einsum("spi,spj->pij", away, away) / jnp.maximum(there.sum(), 1)


@arrays(covariance=ANY, heading=ANY)
def turned(covariance: Float[Array, "*s p 2 2"], heading: Float[Array, "*s 2"]) -> Float[Array, "*s p 2 2"]:
    """Covariances that an agent sees, on the road."""
    c, s = heading[..., None, 0], heading[..., None, 1]
    turn = jnp.stack([jnp.stack([c, -s], axis=-1), jnp.stack([s, c], axis=-1)], axis=-2)
    return turn @ covariance @ jnp.swapaxes(turn, -1, -2)
