r"""Behaviour by a rule: who gains neighbours speeds, who loses them is slow, by the paper; and how right labels are.

$$ \mathrm{rate}_i = \frac{\theta_i(\text{end}) - \theta_i(\text{start})}{\text{duration}}, \qquad
   \mathrm{label}_i = \begin{cases} 1 & \mathrm{rate}_i > \lambda \\ -1 & \mathrm{rate}_i < -\lambda \\ 0 \end{cases} $$

the mean of the differences of the degree, per second: all between both ends cancels. What the rule measures is how the
neighbourhood changes, not who drives.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.arguments import ANY, NOT_NEGATIVE, arrays
from lab.numerics.differentiation import refuse_derivative

CLASSES = ("under", "neutral", "over")
"""The labels -1, 0 and 1."""


@arrays(theta=ANY)
def rate(theta: Float[Array, "t *n"], dt: ArrayLike) -> Float[Array, "*n"]:
    r"""The mean change of theta in a second, over all its frames.

    $$ \mathrm{rate}_i = (\theta_i(\text{end}) - \theta_i(\text{start})) / \text{duration} $$

    Args:
        theta: degrees by frame, (t, n).
        dt: seconds from a frame to the next.

    Returns:
        rates (n,), per second.

    Raises:
        ValueError: fewer than 2 frames, a dt that is not above 0.

    Source:
        Chandra et al. (2020), of the degree rule.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.rate(jnp.array([[0.0], [9.0], [3.0]]), 0.5)  # 3 in one second
        Array([3.], dtype=float64)
    """
    if len(theta) < 2:
        raise ValueError(f"a rate needs at least 2 frames, but there is {len(theta)}: take a longer window")
    if not isinstance(dt, Tracer) and not (np.isfinite(dt) and np.asarray(dt) > 0):
        raise ValueError(f"dt = {dt} s is not allowed: the time between frames must be above 0")
    return (theta[-1] - theta[0]) / ((len(theta) - 1) * dt)


@arrays(rates=ANY)
def label(rates: Float[Array, "*n"], threshold: ArrayLike) -> Int[Array, "*n"]:
    r"""-1, 0 or 1: below -threshold, between, above threshold.

    $$ \mathrm{label}_i = [\mathrm{rate}_i > \lambda] - [\mathrm{rate}_i < -\lambda] $$

    Args:
        rates: per second, of any shape.
        threshold: lambda, per second.

    Returns:
        labels, in the shape of the rates.

    Raises:
        ValueError: a threshold below 0.
        NotDifferentiableError: when differentiated: a label jumps.

    Source:
        Chandra et al. (2020), of the degree rule.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.label(jnp.array([-2.0, 0.5, 2.0]), 1.0).tolist()
        [-1, 0, 1]
    """
    if not isinstance(threshold, Tracer) and not np.asarray(threshold) >= 0:
        raise ValueError(f"threshold = {threshold} per s is not allowed: it must be 0 or more")
    rates, level = refuse_derivative((rates, jnp.asarray(threshold)), "label has no derivative: a label jumps")
    return (rates > level).astype(jnp.int32) - (rates < -level).astype(jnp.int32)


@arrays()
def confusion(
    truth: Int[Array, "*n"], told: Int[Array, "*n"], there: Bool[Array, "*n"] | None = None
) -> Float[Array, "3 3"]:
    """How many of each true class (row) were told to be of each class (column), of who is there."""
    classes = jnp.arange(-1, 2)
    counted = jnp.ones(truth.size, bool) if there is None else there.ravel()
    rows = (truth.ravel()[:, None] == classes[None, :]) & counted[:, None]
    columns = told.ravel()[:, None] == classes[None, :]
    return rows.astype(float).T @ columns.astype(float)


@arrays(counts=NOT_NEGATIVE)
def recall(counts: Float[Array, "3 3"]) -> Float[Array, " 3"]:
    """The share of each true class that is told rightly; NaN of a class that nobody is of."""
    return jnp.diag(counts) / counts.sum(axis=1)


@arrays(counts=NOT_NEGATIVE)
def weighted_accuracy(counts: Float[Array, "3 3"]) -> Float[Array, ""]:
    r"""$\sum_c (n_c / n)\, \mathrm{recall}_c$, which is the share of all that is told rightly."""
    return jnp.trace(counts) / counts.sum()


@arrays(counts=NOT_NEGATIVE)
def macro_recall(counts: Float[Array, "3 3"]) -> Float[Array, ""]:
    """The mean recall of the classes that there are: 1/3 for who says the same of everybody."""
    return jnp.nanmean(recall(counts))
