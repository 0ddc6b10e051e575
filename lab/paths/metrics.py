r"""How good samples and paths are. Whatever is estimated comes with its standard error.

Paths are stored as ``positions`` and ``velocities`` (times, particles, d) on a grid ``times`` (times,), increasing or
decreasing; the error of integrals over this grid is not part of the standard error.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import random
from lab.numerics.arguments import ANY, arrays
from lab.numerics.neighbours import nearest
from lab.ot.exact import linear_program
from lab.ot.problem import from_points
from lab.paths.couplings import assignment, cost_matrix

_CELLS = 4_000_000  # of a block of distances: 32 MB


class Estimate(NamedTuple):
    """A number that was estimated, and the standard error of it."""

    value: Float[Array, "*batch"]
    error: Float[Array, "*batch"]


def mean(samples: Float[Array, " n"], log_weights: Float[Array, " n"] | None = None) -> Estimate:
    """The mean of independent samples; with log-weights the self-normalized one, its error to first order."""
    n = samples.shape[0]
    if log_weights is None:
        value = samples.mean()
        return Estimate(value, jnp.sqrt(((samples - value) ** 2).sum() / (n * max(n - 1, 1))))
    weights = jax.nn.softmax(log_weights)
    value = weights @ samples
    return Estimate(value, jnp.sqrt((weights**2 * (samples - value) ** 2).sum()))


# --- distances between two samples ---


@arrays()
def squared_wasserstein(
    x: Float[Array, "n d"], y: Float[Array, "m e"], a: ArrayLike | None = None, b: ArrayLike | None = None
) -> Float[Array, ""]:
    r"""The squared Wasserstein distance of two samples, $W_2^2 = \min_{T \in U(a, b)} \sum_{ij} T_{ij} |x_i - y_j|^2$, exactly.

    Equal numbers of equal masses: an assignment on the host, which works under ``jit`` and ``vmap`` and is differentiable in
    the points; time O(n^3), at n = 1500 about a second, memory O(n^2). Otherwise a linear program, outside ``jit`` only.

    The distance of two samples of one law is not 0: compare with it (the sampling floor).

    Args:
        x: (n, d).
        y: (m, d).
        a: (n,) masses; equal when omitted.
        b: (m,) masses of the other sample; equal when omitted.

    Returns:
        the distance, of masses of total 1, in units of length squared.

    Raises:
        ValueError: points of different dimension, or masses that do not fit.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.paths import metrics
        >>> float(metrics.squared_wasserstein(jnp.asarray([[0.0], [1.0]]), jnp.asarray([[3.0], [2.0]])))  # a shift by 2
        4.0
    """
    _alike(x, y)
    if a is None and b is None and x.shape[0] == y.shape[0]:
        order = assignment(cost_matrix(x, y))
        return ((x - y[order]) ** 2).sum(axis=1).mean()
    problem = from_points(np.asarray(x), np.asarray(y), a, b)
    return linear_program(problem, centred=False).value / problem.a.sum()


def cloud_distance(clouds: Float[Array, "2 n d"]) -> Float[Array, ""]:
    """``squared_wasserstein`` of two clouds of one size; NaN where one is not known, as after a stop."""
    known = jnp.isfinite(clouds).all()
    x, y = jnp.where(known, clouds, 0)
    return jnp.where(known, squared_wasserstein(x, y), jnp.nan)


def _alike(x: Array, y: Array, other: str = "y") -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"x and {other} have shapes {x.shape} and {y.shape}, but (n, d) and (m, d) are needed")


def sliced_wasserstein(
    key: PRNGKeyArray, x: Float[Array, "n d"], y: Float[Array, "m e"], projections: int = 256
) -> Estimate:
    r"""The sliced distance of two samples, $E_\theta W_2^2(\theta \cdot x, \theta \cdot y)$ for $\theta$ uniform on the sphere.

    It is at most $W_2^2 / d$, and that for a shift. The error is that of the random directions, for these samples. Time
    O(projections (n + m) (d + log)), memory O(projections (n + m)); n and m may differ.

    Args:
        key: of the directions.
        x: (n, d).
        y: (m, d).
        projections: how many directions.

    Returns:
        an ``Estimate``: the value, in units of length squared, and its standard error.

    Raises:
        ValueError: points of different dimension.

    Source:
        Bonneel, Rabin, Peyré, Pfister, Sliced and Radon Wasserstein barycenters of measures, JMIV 2015.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab.paths import metrics
        >>> x = jnp.asarray([[0.0], [1.0]])
        >>> float(metrics.sliced_wasserstein(jax.random.key(0), x, x + 2).value)  # on a line each direction sees all
        4.0
    """
    _alike(x, y)
    directions = random.normal(key, (projections, x.shape[1]), x.dtype)
    directions /= jnp.linalg.norm(directions, axis=1, keepdims=True)
    i, j, share = _quantiles(x.shape[0], y.shape[0])
    along_x, along_y = jnp.sort(directions @ x.T, axis=1), jnp.sort(directions @ y.T, axis=1)
    return mean((along_x[:, i] - along_y[:, j]) ** 2 @ jnp.asarray(share, x.dtype))


def _quantiles(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The monotone plan of n and m equal masses: indices and mass of its entries."""
    # in units of 1 / (n m), exactly
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    return edges[:-1] // m, edges[:-1] // n, np.diff(edges) / (n * m)


@arrays()
def energy_distance(x: Float[Array, "n d"], y: Float[Array, "m e"]) -> Estimate:
    """The energy distance $2 E|x - y| - E|x - x'| - E|y - y'|$, unbiased: it can be negative where the laws are equal.

    Its error is that of the linear term of the U-statistic, of both samples. Time O((n + m)^2 d), in blocks.

    Args:
        x: (n, d), at least two points.
        y: (m, d), at least two points.

    Returns:
        an ``Estimate``: the value, in units of length, and its standard error.

    Raises:
        ValueError: points of different dimension, or fewer than two.

    Source:
        Székely, Rizzo, Energy statistics: a class of statistics based on distances, 2013.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.paths import metrics
        >>> x = jnp.asarray([[0.0], [1.0]])
        >>> round(float(metrics.energy_distance(x, x + 10).value), 6)  # 2 * 10 - 1 - 1
        18.0
    """
    _alike(x, y)
    if min(x.shape[0], y.shape[0]) < 2:
        raise ValueError(f"{x.shape[0]} and {y.shape[0]} points, but at least 2 of each are needed")
    n, m = x.shape[0], y.shape[0]
    xy, yx = _distance_sums(x, y) / m, _distance_sums(y, x) / n
    xx, yy = _distance_sums(x, x) / (n - 1), _distance_sums(y, y) / (m - 1)
    value = xy.mean() + yx.mean() - xx.mean() - yy.mean()
    error = jnp.sqrt((2 * (xy - xx)).var() / n + (2 * (yx - yy)).var() / m)
    return Estimate(value, error)


def _distance_sums(x: Array, y: Array) -> Array:
    """The sum over all y of the distance from each x."""

    def of_one(point):  # by differences: a point has distance 0 from itself
        squared = ((y - point[None, :]) ** 2).sum(axis=1)
        apart = squared > 0  # the root has no derivative at 0
        return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0).sum()

    return jax.lax.map(of_one, x, batch_size=max(1, _CELLS // y.size))


# --- laws ---


@arrays()
def gaussian_kl(
    mean_p: Float[Array, " d"], cov_p: Float[Array, "d d"], mean_q: Float[Array, " d"], cov_q: Float[Array, "d d"]
) -> Float[Array, ""]:
    r"""$\mathrm{KL}(N(m_p, C_p) | N(m_q, C_q)) =
    \tfrac12 [\mathrm{tr}\, C_q^{-1} C_p - d + (m_q - m_p)^\top C_q^{-1} (m_q - m_p) + \log\det C_q / \det C_p]$."""
    low_p, low_q = jnp.linalg.cholesky(cov_p), jnp.linalg.cholesky(cov_q)
    ratio = jax.scipy.linalg.solve_triangular(low_q, low_p, lower=True)
    shift = jax.scipy.linalg.solve_triangular(low_q, mean_q - mean_p, lower=True)
    logs = jnp.log(jnp.diagonal(low_q)).sum() - jnp.log(jnp.diagonal(low_p)).sum()
    return ((ratio**2).sum() - mean_p.shape[0] + shift @ shift) / 2 + logs


def kl_monte_carlo(
    log_p: Float[Array, " n"], log_q: Float[Array, " n"], log_weights: Float[Array, " n"] | None = None
) -> Estimate:
    """KL(p | q) from both log-densities at independent samples of p."""
    return mean(log_p - log_q, log_weights)


# --- paths ---


def _spans(times: Float[Array, " times"]) -> Float[Array, " spans"]:
    """How long each step takes, forward or backward."""
    spans = jnp.diff(jnp.asarray(times))
    if not isinstance(spans, Tracer):
        given = np.asarray(spans)
        if given.size == 0 or not ((given > 0).all() or (given < 0).all()):
            raise ValueError("the times of a path must be at least two, all increasing or all decreasing")
    return jnp.abs(spans)


def over_time(values: Float[Array, "times n"], times: Float[Array, " times"]) -> Float[Array, " n"]:
    """The integral of each column, by the trapezoid rule."""
    return (_spans(times)[:, None] * (values[1:] + values[:-1])).sum(axis=0) / 2


@arrays(positions=ANY)
def path_energy(positions: Float[Array, "times n d"], times: Float[Array, " times"]) -> Estimate:
    r"""$\int_0^1 E|\dot z_t|^2 dt$ along the trajectories, as polygons: $\sum_k E|z_{k+1} - z_k|^2 / (t_{k+1} - t_k)$.

    From below, by $O(h^2)$. Not by the velocities: where the target is points, these are $(\text{point} - z)/(1 - t)$ near
    t = 1 and magnify the error of the solver.
    """
    return mean(_squared_speed(positions, times))


def _squared_speed(positions: Array, times: Array) -> Array:
    steps = jnp.diff(positions, axis=0)
    return ((steps**2).sum(axis=2) / _spans(times)[:, None]).sum(axis=0)


def normalized_path_energy(energy: Estimate, squared_wasserstein: ArrayLike) -> Estimate:
    r"""$|\mathrm{PE} - W_2^2| / W_2^2$ of source and target.

    A path that meets both marginals has energy at least $W_2^2$: an energy below proves that it misses one. Low values alone
    say nothing; look at the fit as well.
    """
    return Estimate(
        jnp.abs(energy.value - squared_wasserstein) / squared_wasserstein, energy.error / squared_wasserstein
    )


@arrays(positions=ANY)
def straightness(positions: Float[Array, "times n d"], times: Float[Array, " times"]) -> Estimate:
    r"""$S = \int_0^1 E|(Z_1 - Z_0) - \dot Z_t|^2 dt$: 0 where one Euler step is exact.

    Of polygons, as ``path_energy``, so that the energy is $E|Z_1 - Z_0|^2 + S$ without error. The chord is taken between the
    first and the last time, per unit of time.
    """
    length = jnp.abs(times[-1] - times[0])
    return mean(_squared_speed(positions, times) - ((positions[-1] - positions[0]) ** 2).sum(axis=1) / length)


def crossing(
    velocity: Callable[[Array, Array], Array],
    x0: Float[Array, "n d"],
    x1: Float[Array, "n d"],
    times: Float[Array, " times"],
    log_weights: Float[Array, " n"] | None = None,
) -> Estimate:
    r"""$V = \int_0^1 E|(X_1 - X_0) - v(t, X_t)|^2 dt$ on straight lines: 0 where lines do not cross.

    With the exact velocity it is the least value of the training loss, and
    $E|X_1 - X_0|^2 - E|Z_1 - Z_0|^2 = S + V$.

    Args:
        velocity: of a scalar time and points (n, d).
        x0, x1: pairs of the coupling.
        times: grid of the trapezoid rule; end below 1 where the velocity is singular at 1.
    """
    chord = x1 - x0

    def at(t):
        return ((chord - velocity(t, (1 - t) * x0 + t * x1)) ** 2).sum(axis=1)

    return mean(over_time(jax.lax.map(at, times), times), log_weights)


@arrays(velocities=ANY)
def curvature(velocities: Float[Array, "times n d"], times: Float[Array, " times"]) -> Estimate:
    r"""$E|\ddot Z_t|^2$ at every time, by differences of second order: an Euler step of size h errs by $h^2 |\ddot Z| / 2$."""
    gap = jnp.sign(times[-1] - times[0]) * _spans(times)[:, None, None]
    slope = jnp.diff(velocities, axis=0) / gap
    middle = (gap[1:] * slope[:-1] + gap[:-1] * slope[1:]) / (gap[1:] + gap[:-1])
    first, last = 2 * slope[0] - middle[0], 2 * slope[-1] - middle[-1]
    acceleration = jnp.concatenate([first[None], middle, last[None]])
    return jax.vmap(mean)((acceleration**2).sum(axis=2))


# --- weights and modes ---


@arrays(log_weights=ANY)
def effective_sample_size(log_weights: Float[Array, " n"]) -> Float[Array, ""]:
    r"""$(\sum w)^2 / (n \sum w^2)$, between 1/n and 1; rows of weight $-\infty$ do not count."""
    count = jnp.isfinite(log_weights).sum()
    return jnp.exp(2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights)) / count


class Modes(NamedTuple):
    """Samples by their nearest centre."""

    counts: Int[Array, " modes"]
    distance: Float[Array, " n"]  # of each sample from its centre
    nearest: Int[Array, " n"]


def modes(x: Float[Array, "n d"], centres: Float[Array, "modes e"]) -> Modes:
    """How many samples belong to each centre, and how far from it they are."""
    _alike(x, centres, "centres")
    found = nearest(x, centres)
    index = found.index[:, 0]
    return Modes(jnp.zeros(centres.shape[0], jnp.int32).at[index].add(1), found.distance[:, 0], index)
