r"""Where a hyperparameter may be, and the number without bounds that is descended in its place.

$$ r(\lambda) = \lambda, \quad a + \mathrm{softplus}(\lambda), \quad b - \mathrm{softplus}(\lambda), \quad
   a + (b - a)\,\sigma(\lambda), $$

without bounds, above a, below b, between a and b. A whole number is $\lfloor a + (b - a)\,\sigma(\lambda) \rfloor$,
from a to b - 1; a strength on a logarithmic scale is $e^\lambda$.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.inputs import shown
from lab.numerics import arguments
from lab.numerics.differentiation import refuse_derivative


class Range(eqx.Module):
    """What one hyperparameter may be.

    Raises:
        ValueError: no room between the bounds; a whole number, or a logarithm, without the bounds that it needs.
    """

    low: float | None = eqx.field(static=True, default=None)
    high: float | None = eqx.field(static=True, default=None)
    whole: bool = eqx.field(static=True, default=False)
    log: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"the range from {self.low:g} to {self.high:g} is empty: its end must be above its start")
        if self.whole and (self.low is None or self.high is None):
            raise ValueError("a whole hyperparameter needs both ends of its range: give low and high")
        if self.log and (self.low is not None or self.high is not None):
            raise ValueError("a hyperparameter on a logarithmic scale is anything above 0: give no ends to its range")

    def smooth(self, lam: ArrayLike) -> Array:
        """The value before it is made whole; it has a slope everywhere."""
        lam = jnp.asarray(lam)
        if self.log:
            return jnp.exp(lam)
        if self.low is not None and self.high is not None:
            return self.low + (self.high - self.low) * jax.nn.sigmoid(lam)
        if self.low is not None:
            return self.low + jax.nn.softplus(lam)
        return lam if self.high is None else self.high - jax.nn.softplus(lam)

    def value(self, lam: ArrayLike) -> Array:
        """r(lambda)."""
        if not self.whole:
            return self.smooth(lam)
        return jnp.floor(refuse_derivative(self.smooth(lam), "a whole hyperparameter jumps: use Range.smooth"))

    def inverse(self, value: ArrayLike) -> np.ndarray:
        """lambda of a value; of a whole one, in the middle of those that it stands for.

        Raises:
            ValueError: a value outside the range, or at an end, which no lambda gives.
        """
        at = np.asarray(value, float) + (0.5 if self.whole else 0.0)
        low, high = (0.0 if self.log else self.low), self.high
        if not (
            np.isfinite(at) & (at > (-np.inf if low is None else low)) & (at < (np.inf if high is None else high))
        ).all():
            between = f"above {low:g}" if high is None and low is not None else f"below {high:g}" if low is None else ""
            raise ValueError(
                f"the start value {shown(value)} is outside its range: give one {between or f'between {low:g} and {high:g}'}"
            )
        if self.log:
            found = np.log(at)
        elif low is not None:
            found = _inverse_softplus(at - low) if high is None else np.log(at - low) - np.log(high - at)
        else:
            found = at if high is None else _inverse_softplus(high - at)
        return np.asarray(found)


def _inverse_softplus(y: Any) -> Any:
    return y + np.log(-np.expm1(-y))


def inverse_softplus(y: ArrayLike) -> Array:
    """log(exp(y) - 1), without overflow."""
    y = jnp.asarray(y)
    return y + jnp.log(-jnp.expm1(-y))


def values(ranges: Sequence[Range], lam: Any) -> Float[Array, "*batch h"]:
    r"""$r(\lambda)$, each in its range.

    Args:
        ranges: of h hyperparameters.
        lam: (..., h), without bounds.

    Returns:
        values (..., h), differentiable but for whole ones.

    Raises:
        ValueError: lam that is not finite, or without a column for each range.

    Source:
        MacKay et al. (2019), of hyperparameters without bounds.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> ranges = tuning.Range(low=0.0, high=4.0), tuning.Range(log=True), tuning.Range(low=0.0, high=5.0, whole=True)
        >>> tuning.values(ranges, jnp.zeros(3))
        Array([2., 1., 2.], dtype=float64)
    """
    lam = arguments.real("lam", lam)
    if lam.ndim < 1 or lam.shape[-1] != len(ranges):
        raise ValueError(f"lam has shape {lam.shape}: shape (..., {len(ranges)}) is needed, one number for each range")
    return jnp.stack([each.value(lam[..., i]) for i, each in enumerate(ranges)], axis=-1)
