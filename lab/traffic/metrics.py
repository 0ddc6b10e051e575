r"""How far predicted positions are from true ones, in metres, over the agents that count.

ADE is the mean distance over agents and steps, FDE that of the last step, RMSE the root of the mean square, by step or in all;
ADE <= RMSE always.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lab.numerics.arguments import ANY, arrays
from lab.numerics.roots import length


@arrays(told=ANY, truth=ANY)
def distances(told: Float[Array, "*s p 2"], truth: Float[Array, "*s p 2"]) -> Float[Array, "*s p"]:
    """Of each predicted position from the true one; the derivative at 0 is taken as 0."""
    return length(told - truth)


def _mean(values: Array, there: Array) -> Array:
    """By step, over those that count; NaN where nobody does."""
    weight = there[..., None].astype(values.dtype)
    axes = tuple(range(values.ndim - 1))
    return jnp.where(there[..., None], values, 0.0).sum(axis=axes) / weight.sum(axis=axes)


@arrays(apart=ANY)
def by_step(apart: Float[Array, "*s p"], there: Bool[Array, "*s"]) -> Float[Array, " p"]:
    """The mean distance of each step."""
    return _mean(apart, there)


@arrays(apart=ANY)
def ade(apart: Float[Array, "*s p"], there: Bool[Array, "*s"]) -> Float[Array, ""]:
    r"""Average displacement error: the mean of $|\hat x_{ij} - x_{ij}|$ over agents i that count and steps j.

    Args:
        apart: distances (..., p) by step, of ``metrics.distances``.
        there: who counts, (...).

    Returns:
        the error, in the unit of the distances; NaN where nobody counts.

    Raises:
        ValueError: shapes that do not fit.

    Source:
        Pellegrini et al., You'll never walk alone (2009); Alahi et al., Social LSTM (2016).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> float(traffic.ade(jnp.array([[1.0, 3.0], [9.0, 9.0]]), jnp.array([True, False])))
        2.0
    """
    return _mean(apart, there).mean()


@arrays(apart=ANY)
def fde(apart: Float[Array, "*s p"], there: Bool[Array, "*s"]) -> Float[Array, ""]:
    r"""Final displacement error: the mean of $|\hat x_{ip} - x_{ip}|$ over agents i that count, of the last step p.

    Args:
        apart: distances (..., p) by step, of ``metrics.distances``.
        there: who counts, (...).

    Returns:
        the error, in the unit of the distances; NaN where nobody counts.

    Raises:
        ValueError: shapes that do not fit.

    Source:
        Alahi et al., Social LSTM (2016).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> float(traffic.fde(jnp.array([[1.0, 3.0], [9.0, 9.0]]), jnp.array([True, False])))
        3.0
    """
    return _mean(apart[..., -1:], there)[0]


@arrays(apart=ANY)
def rmse(apart: Float[Array, "*s p"], there: Bool[Array, "*s"]) -> Float[Array, " p"]:
    """Root of the mean square, of each step."""
    return jnp.sqrt(_mean(apart**2, there))
