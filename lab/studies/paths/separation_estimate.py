r"""The separation of any data by the loop, some angles at a time: it reports, and a stop leaves a coarser curve."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths import separation
from lab.paths.laws import Empirical
from lab.paths.separation import Law, Separation

CHUNKS, ANGLES = 8, 12
"""So many times so many angles are computed at once."""


class Work(eqx.Module):
    """What is to be estimated."""

    key: PRNGKeyArray
    law: Law
    theta: Float[Array, "chunks angles"]
    pairs: int = eqx.field(static=True)  # of noise, of all points


class State(NamedTuple):
    """What is known, 0 where it is not yet."""

    step: Int[Array, ""]
    gamma: Float[Array, "chunks angles"]
    error: Float[Array, "chunks angles"]


def _step(work: Work, state: State) -> State:
    theta, k = work.theta[state.step], state.step
    n = work.law.points.shape[0] if isinstance(work.law, Empirical) else 0
    if n and work.pairs >= n:
        found = separation.of_points(work.key, work.law.points, theta, work.law.weights, draws=work.pairs // n)  # type: ignore[attr-defined]
    else:
        found = separation.of_law(work.key, work.law, theta, n=work.pairs)
    return State(k + 1, state.gamma.at[k].set(found.gamma[1:-1]), state.error.at[k].set(found.error[1:-1]))


STEPS = Method(
    lambda work: State(jnp.int32(0), jnp.zeros_like(work.theta), jnp.zeros_like(work.theta)),
    _step,
    lambda work, state: jnp.where(state.step < work.theta.shape[0], Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"gamma": state.gamma[state.step - 1].mean()},
)


def angles(dtype: object = float) -> np.ndarray:
    r"""The ``CHUNKS * ANGLES`` angles that are computed, with 0 and $\pi/2$."""
    return np.linspace(0, np.pi / 2, CHUNKS * ANGLES + 2).astype(dtype)  # type: ignore[call-overload]


def pairs_of(law: Law) -> int:
    r"""How many pairs of noise are enough for an angle $\Phi$ good to half a per cent, at a cost of seconds."""
    if not isinstance(law, Empirical):
        return 2000
    n, d = law.points.shape
    wanted = max(4, round(min(200_000, 2_000_000 / n) / n)) * n
    # products count in many dimensions, exponentials in few
    return int(min(wanted, max(500, min(1e10 / (n * d), 3.5e7 / n))))


class Estimated(NamedTuple):
    """A curve, and why its estimation ended."""

    separation: Separation
    reason: Int[Array, ""] | int


def estimate(key: PRNGKeyArray, law: Law, pairs: int | None = None, loop: Loop = pure) -> Estimated:
    """The separation of a law of mean 0 and mean square 1, or of points of such, at ``angles``.

    Each chunk spans all angles, so that what a stop leaves out is interpolated.

    Args:
        law: as in ``separation.of_law``; the points of an ``Empirical`` one are summed over, where there are noises enough.
        pairs: antithetic pairs of noise, of all points; ``pairs_of`` when omitted. Static.
        loop: ``pure``, or a ``Chunked`` that reports and can be stopped.
    """
    dtype = jax.tree.leaves(law)[0].dtype
    theta = angles(dtype)
    work = Work(key, law, placed(theta[1:-1].reshape(ANGLES, -1).T), pairs_of(law) if pairs is None else pairs)
    run = loop(STEPS, work, max_iterations=CHUNKS)
    end = 1.0 if isinstance(law, Empirical) else 0.0
    whole = _joined(placed(theta), run.state.gamma, run.state.error, end)
    if isinstance(run.reason, Tracer) or run.reason == Reason.CONVERGED:
        return Estimated(whole, run.reason)
    known = np.r_[True, np.arange(CHUNKS * ANGLES) % CHUNKS < int(run.state.step), True]
    gamma, error = (
        jnp.asarray(np.interp(theta, theta[known], np.asarray(values)[known]), dtype)
        for values in (whole.gamma, whole.error)
    )
    return Estimated(Separation(whole.theta, gamma, error), run.reason)


@jit
def _joined(theta: Array, gamma: Array, error: Array, end: ArrayLike) -> Separation:
    """From chunks of angles, and the ends where it is known."""
    first, last = jnp.zeros(1, theta.dtype), jnp.asarray(end, theta.dtype)[None]
    return Separation(
        theta, jnp.concatenate([first, gamma.T.ravel(), last]), jnp.concatenate([first, error.T.ravel(), first])
    )
