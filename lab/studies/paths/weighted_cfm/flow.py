r"""The flows of all methods, side by side, without a network: what the study runs.

Each method is a coupling of source and data, and its field $v(t, x) = E[X_1 - X_0 \mid (1-t) X_0 + t X_1 = x]$:

- I-CFM, W-CFM, EOT-CFM: a softmax over the data, exact for the data as they are;
- OT-CFM: pairs of many batches, each paired at least cost, and the mean over the pairs near x.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int
from scipy.spatial.distance import cdist

from lab import paths
from lab.numerics import Method, Reason
from lab.numerics.mixtures import widened
from lab.paths.laws import squared_distances
from lab.paths.sampling import graded

MARGIN = 1e-4
"""Short of 1, where the field of points is not known: from there a last Euler step takes every particle to the mean of the
data given where it is, x + (1 - t) v(t, x)."""


class Work(eqx.Module):
    """What is carried along."""

    fields: tuple  # one for each method
    start: Float[Array, "methods n d"]
    times: Float[Array, " times"]


class State(NamedTuple):
    """Where the particles have been, of which ``steps`` steps are done."""

    x: Float[Array, "times methods n d"]
    steps: Int[Array, ""]


def grid(steps: int) -> np.ndarray:
    """Times (steps + 2,): crowded at the end, where particles go to points, and 1."""
    return np.append(graded(steps, 0.0, 1 - MARGIN), 1.0)


def _slopes(work: Work, t: Any, x: Array) -> Array:
    return jnp.stack([field(t, x[k]).velocity for k, field in enumerate(work.fields)])


def _init(work: Work) -> State:
    x = jnp.zeros((work.times.shape[0], *work.start.shape), work.start.dtype)
    return State(x.at[0].set(work.start), jnp.int32(0))


def _step(work: Work, state: State) -> State:
    """Heun's, and Euler's as the last."""
    k = state.steps
    x, t = state.x[k], work.times[k]
    last = k == work.times.shape[0] - 2
    h = work.times[k + 1] - t
    first = _slopes(work, t, x)
    second = _slopes(work, jnp.where(last, t, work.times[k + 1]), x + jnp.where(last, 0, h) * first)
    return State(state.x.at[k + 1].set(x + h / 2 * (first + second)), k + 1)


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.steps >= work.times.shape[0] - 1, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x[state.steps]).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


MOVE = Method(_init, _step, _done, lambda work, state: {"time": work.times[state.steps]})


def whole(work: Work, state: State) -> Float[Array, "times methods n d"]:
    """The path; of one that was stopped the last place is repeated."""
    done = jnp.arange(work.times.shape[0]) <= state.steps
    return jnp.where(done[:, None, None, None], state.x, state.x[state.steps][None])


def by_batches(x0: Float[Array, "n d"], x1: Float[Array, "n d"], size: Any) -> tuple[Array, Array]:
    """Minibatch optimal transport: which noise each point gets, in batches of ``size`` rows, and the weights of the rows.

    Squared Euclidean cost, exact, by SciPy on the host; ``size`` is traced. Rows that fill no batch weigh 0.
    """
    n = x0.shape[0]
    shape = jax.ShapeDtypeStruct((n,), jnp.int32)
    order = jax.pure_callback(_assign, shape, x0, x1, jnp.asarray(size), vmap_method="sequential")
    count = n // size * size
    return order, jnp.where(jnp.arange(n) < count, 1 / count, 0.0)


def _assign(x0: Any, x1: Any, size: Any) -> np.ndarray:
    x0, x1, size = np.asarray(x0), np.asarray(x1), int(size)
    order = np.arange(len(x0), dtype=np.int32)
    for first in range(0, len(x0) - size + 1 if size > 1 else 0, size):
        rows = slice(first, first + size)
        order[rows] = first + scipy.optimize.linear_sum_assignment(cdist(x1[rows], x0[rows], "sqeuclidean"))[1]
    return order


def neighbours(pairs: paths.Pairs) -> Float[Array, ""]:
    r"""How many pairs the kernel mean sees half way, $1 / \sum_i w_i^2$, on average over the pairs."""
    middle = (pairs.x0 + pairs.x1) / 2
    at = middle[:: max(1, middle.shape[0] // 200)]
    logits = jnp.log(pairs.weights)[None] - squared_distances(at, middle) / (2 * pairs.bandwidth**2)
    return (1 / (jax.nn.softmax(logits, axis=1) ** 2).sum(axis=1)).mean()


def drawn(key: Array, weights: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """Rows in order, in proportion to their weights, systematically: of each stretch within one of its share."""
    ladder = jnp.cumsum(weights / weights.sum())
    at = (jnp.arange(count) + jax.random.uniform(key)) / count
    return jnp.minimum(jnp.searchsorted(ladder, at), weights.shape[0] - 1)


def spread(law: paths.Mixture, key: Array, n: int) -> Float[Array, "n d"]:
    """Points that stand for a law, without the noise of random ones where they can.

    Each component has its share. On a line and in the plane they are evenly spread within it: normal quantiles of
    the Kronecker sequence of the golden or the plastic number, shifted at random.
    """
    first, second, third = jax.random.split(key, 3)
    d = law.dimension
    if d > 2:
        z = jax.random.normal(first, (n, d), law.means.dtype)
    else:
        steps = (0.6180339887498949,) if d == 1 else (0.7548776662466927, 0.5698402909980532)
        u = jax.random.uniform(first, (1, d)) + jnp.arange(n)[:, None] * jnp.asarray(steps)[None]
        z = jax.scipy.special.ndtri(jnp.clip(u % 1, 1e-12, 1 - 1e-12)).astype(law.means.dtype)
    if law.weights.shape[0] == 1:
        return _about(law, jnp.zeros(n, jnp.int32), z)
    return jax.random.permutation(third, _about(law, drawn(second, law.weights, n), z))


def fresh(law: Any, key: Array, n: int, samples: int) -> Float[Array, "samples n d"]:
    """Samples of a law; of a mixture each component has its share, which spares the noise of random shares."""
    if not isinstance(law, paths.Mixture):
        return law.sample(key, samples * n).reshape(samples, n, -1)
    first, second = jax.random.split(key)
    which = jax.vmap(lambda key: drawn(key, law.weights, n))(jax.random.split(first, samples)).ravel()
    z = jax.random.normal(second, (samples * n, law.dimension), law.means.dtype)
    return _about(law, which, z).reshape(samples, n, -1)


def _about(law: paths.Mixture, which: Int[Array, " n"], z: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Points of these components, made of standard normal ones."""
    roots = jnp.linalg.cholesky(widened(law.covariances, 3, law.dimension))
    return law.means[which] + jnp.einsum("nab,nb->na", roots[which], z)


def between(times: Float[Array, " times"], x: Array, frames: Float[Array, " frames"]) -> Array:
    """The path at other times, linear between those it has."""
    k = jnp.clip(jnp.searchsorted(times, frames, side="right") - 1, 0, times.shape[0] - 2)
    share = ((frames - times[k]) / (times[k + 1] - times[k])).reshape(-1, *[1] * (x.ndim - 1))
    return (1 - share) * x[k] + share * x[k + 1]
