"""What the trace of a solver says: its best value so far, its rate, and itself at few iterations.

A trace of ``lab.numerics`` is an array of NumPy as long as the run, where that is known, or one as long as the limit with NaN
after the last iteration, under ``jit`` and ``vmap``.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

COUNTS = np.unique(np.r_[np.arange(1, 65), np.round(np.geomspace(64, 1e6, 100))].astype(int))
"""Iterations at which long traces are kept: all up to 64, then evenly on a logarithmic scale."""

EXPONENTIAL = 10
"""Multiply-adds that take as long as an exponential, measured by a pass of each over a matrix."""
_HALVINGS = 12  # trials of a rejected step


def best_so_far(values: Float[ArrayLike, " rows"]) -> Float[ArrayLike, " rows"]:
    """The largest value up to each iteration."""
    if isinstance(values, np.ndarray):  # of a length of its own, which would be another program
        return np.maximum.accumulate(values)
    return jax.lax.cummax(jnp.asarray(values))


def padded(trace: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The trace with as many rows as it may have, NaN after the last, so that one program serves every length."""
    if not isinstance(next(iter(trace.values())), np.ndarray):
        return dict(trace)
    return {name: np.append(values, np.full(rows - len(values), np.nan)) for name, values in trace.items()}


def at_counts(values: Float[Array, " rows"], last: Int[Array, ""]) -> Float[Array, " count"]:
    """A trace at ``COUNTS``; NaN after its last iteration."""
    places = jnp.minimum(jnp.asarray(COUNTS), values.shape[0]) - 1
    return jnp.where(jnp.asarray(COUNTS) <= last, values[places], jnp.nan)


def per_decade(error: Float[Array, " rows"], last: Int[Array, ""]) -> Float[Array, ""]:
    """Iterations for a tenth of the error, from its last decade up to row ``last``; NaN where it is not below 0.01 there."""
    end = error[last]
    first = jnp.minimum(jnp.argmax(error <= 10 * end), jnp.maximum(last - 1, 0))
    decades = jnp.log10(error[first] / end)
    settled = (end < 1e-2) & (decades > 0)
    return jnp.where(settled, (last - first) / jnp.where(settled, decades, 1.0), jnp.nan)


def newton_work(
    trace: Mapping[str, Array], newton: Bool[Array, " step"], m: int, n: int, dense: bool
) -> Float[Array, " step"]:
    """Multiply-adds of ``SinkhornNewton`` up to each step, for comparisons that do not depend on the machine.

    A step counts its passes of exponentials, the products of conjugate gradients with the entries that the Hessian keeps, or
    the factorization of a dense Hessian.

    Args:
        trace: of ``SinkhornNewton``.
        newton: which steps are Newton steps; the others are sweeps.
        m, n: numbers of sources and of targets.
        dense: whether the Hessian is factorized in full.

    Returns:
        the work so far, by step.
    """
    size, entries = trace["size"], float(m * n)
    trials = jnp.where(size > 0, 1 + jnp.maximum(-jnp.log2(jnp.where(size > 0, size, 1.0)), 0), _HALVINGS)
    solve = m * m * n + m**3 / 3 if dense else 2 * trace["inner"] * trace["kept"]
    level = jnp.append(trace["epsilon"][:1], trace["epsilon"][:-1])
    passes = jnp.where(newton, trials, 1.0) + (trace["epsilon"] < level)  # a lower level recomputes the plan
    step = EXPONENTIAL * entries * passes + jnp.where(newton, solve + entries, 0.0)
    return EXPONENTIAL * entries + jnp.cumsum(step)
