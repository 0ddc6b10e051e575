r"""Choosing the noise: what k-nearest noise selection does to the law of the noise, and the exact denoiser under it.

Of k noises the nearest to the datum x is taken (``couplings.Nearest``). With $F_x$ the distribution function of the noncentral
$\chi^2$ law with d degrees of freedom and noncentrality $|x|^2$,

$$ p_k(n | x) = k\, \phi(n)\, [1 - F_x(|n - x|^2)]^{k - 1}, $$

so that from points $x_i$ with $x_t = \alpha n + \beta x_i$ the posterior of the point is

$$ w_i \propto e^{-|n_i|^2/2}\, [1 - F_{x_i}(|n_i - x_i|^2)]^{k - 1}, \qquad n_i = (x_t - \beta x_i)/\alpha . $$

Where the noises of a batch are assigned to its data instead (``couplings.Assignment``), one noise more would go to the datum of
least cost plus price, and the chance of that over batches, ``assigned``, takes the place of the power: exact for any batch.

The field of the path is ``fields.exact(schedule, laws.standard(d), points, tilt=NearestNoise(k))``; the denoisers are its
means ``x0`` (of the noise) and ``x1``. The law of the data is kept, that of the noise is tilted: smaller, and drawn towards
the mean of the data, while samplers start from N(0, I).

Sources: Li et al., *Improved Immiscible Diffusion*, arXiv 2505.18521, 2025; *Immiscible Diffusion*, NeurIPS 2024. The densities
are derived in the lab.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import log_ndtr
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.paths.blocks import squared_distances
from lab.paths.chi_squared import log_survival
from lab.paths.couplings import assignment
from lab.paths.fields import Pairing
from lab.paths.metrics import Estimate, mean

_CELLS = 500_000  # of a block of posteriors: 4 MB


# --- the law of the chosen noise ---


def log_density(noise: Float[Array, "n d"], x: Float[Array, " d"], k: ArrayLike) -> Float[Array, " n"]:
    r"""$\log p_k(n | x) = \log k + \log\phi(n) + (k - 1) \log(1 - F_x(|n - x|^2))$. k may be any real number from 1 on."""
    _number(k)
    d = x.shape[0]
    squared = ((noise - x[None, :]) ** 2).sum(axis=1)
    gaussian = -((noise**2).sum(axis=1) + d * jnp.log(2 * jnp.pi)) / 2
    return jnp.log(jnp.asarray(k, x.dtype)) + gaussian + (k - 1) * log_survival(squared, d, x @ x)


def largest_of(k: ArrayLike) -> Array:
    r"""$m_k = E \max$ of k standard normals, $\int z\, k\, \phi(z)\, \Phi(z)^{k - 1} dz$: 0.5642 at 2, 1.4236 at 8."""
    _number(k)
    k = jnp.asarray(k, float)
    step = 0.01

    def add(i, total):
        z = step * i - 10
        return total + z * k * jnp.exp(-z * z / 2 + (k - 1) * log_ndtr(z))

    return jax.lax.fori_loop(0, 2201, add, jnp.zeros_like(k)) * step / math.sqrt(2 * math.pi)


class Prediction(NamedTuple):
    """Of the chosen noise, in many dimensions."""

    reduction: Array  # relative, of E|x - n|
    norm_shift: Array  # of E|n|^2, whose value without choice is d
    projection: Array  # mean of n along x / |x|


def predict(k: ArrayLike, d: int, squared_norm: ArrayLike) -> Prediction:
    r"""What choosing among k noises does at large d.

    $$ \frac{m_k \sigma}{2 (d + |x|^2)}, \qquad -\frac{2 d\, m_k}{\sigma}, \qquad \frac{2 |x| m_k}{\sigma}, \qquad
       \sigma = \sqrt{2 d + 4 |x|^2} $$

    with $m_k$ the mean of the largest of k standard normals. Within 3% and 6% of the truth from d = 768 on.

    Args:
        k: how many noises there are to choose from.
        d: dimension.
        squared_norm: $|x|^2$ of the datum.

    Returns:
        a ``Prediction``: the relative fall of $E|x - n|$, the change of $E|n|^2$, and the mean of n along x.

    Raises:
        ValueError: k below 1 (by the check that it calls).

    Source:
        Li et al., Improved Immiscible Diffusion, 2025, of the choice; the formulas are derived in the lab.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> abs(jnp.stack(paths.immiscible.predict(1, 768, 100.0))).max().round(6).tolist()  # one noise is no choice
        0.0
    """
    _number(k)
    m, squared = largest_of(k), jnp.asarray(squared_norm)
    spread = jnp.sqrt(2 * d + 4 * squared)
    return Prediction(m * spread / (2 * (d + squared)), -2 * d * m / spread, 2 * jnp.sqrt(squared) * m / spread)


# --- the exact denoiser ---


class NearestNoise(eqx.Module):
    r"""The tilt $(k - 1) \log(1 - F_{x_1}(|x_0 - x_1|^2))$, for ``fields.exact`` from N(0, I) to points; k = 1 is none.

    Args:
        k: at least 1; traced, and may be any real number.
    """

    k: ArrayLike

    def __check_init__(self):
        _number(self.k)

    def __call__(self, pair: Pairing) -> Float[Array, "b c"]:
        survival = log_survival(pair.squared_distance, pair.x.shape[1], pair.squared_x1)
        return (jnp.asarray(self.k) - 1) * survival


def posterior(
    x: Float[Array, "n d"], points: Float[Array, "m d"], alpha_bar: ArrayLike, k: ArrayLike = 1.0
) -> Float[Array, "n m"]:
    r"""The probabilities w of the points given $x_t = \sqrt{\bar\alpha}\, x + \sqrt{1 - \bar\alpha}\, n$, n nearest of k.

    Args:
        x: noisy points.
        points: data, of equal masses.
        alpha_bar: share of the data in the variance, in [0, 1).
        k: at least 1.

    Raises:
        ValueError: alpha_bar or k outside what is allowed.

    Time O(n m (d + 400)) up to d = 200, O(n m d) beyond; memory O(n m).
    """
    _number(k)
    if not isinstance(alpha_bar, Tracer) and not ((np.asarray(alpha_bar) >= 0) & (np.asarray(alpha_bar) < 1)).all():
        raise ValueError(f"alpha_bar = {alpha_bar}, but it must be at least 0 and below 1")
    alpha_bar = jnp.asarray(alpha_bar, x.dtype)
    data, noise = jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar)
    tilt = NearestNoise(k)

    def of_block(block):
        pair = Pairing(jnp.arange(points.shape[0]), points, block, noise, data)
        return jax.nn.softmax(-pair.squared_x0 / 2 + tilt(pair), axis=1)

    size = max(1, min(x.shape[0], _CELLS // points.shape[0]))
    return jax.lax.map(lambda row: of_block(row[None])[0], x, batch_size=size)


class Miscibility(NamedTuple):
    """How much the paths of different data mix at one noise level; each with its standard error over the queries."""

    entropy: Estimate  # of the posterior, over log m: 1 where nothing is known of the datum, 0 where all is
    collision: Estimate  # E sum w^2
    noise_error: Estimate  # E|E[n | x_t] - n|^2 / d: the least loss of training


def miscibility(
    noise: Float[Array, "n d"],
    index: Array,
    points: Float[Array, "m d"],
    alpha_bar: ArrayLike,
    k: ArrayLike = 1.0,
) -> Miscibility:
    """Measure it at queries of the exact denoiser.

    Args:
        noise: chosen for the points of this index by the same rule: ``couplings.Nearest(k)``.
        index: (n,), which point each noise was chosen for.
        points, alpha_bar, k: as in ``posterior``.
    """
    alpha_bar = jnp.asarray(alpha_bar, points.dtype)
    data, share = jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar)
    x = data * points[index] + share * noise
    w = posterior(x, points, alpha_bar, k)
    m, d = points.shape
    positive = w > 0
    entropy = -jnp.where(positive, w * jnp.log(jnp.where(positive, w, 1.0)), 0.0).sum(axis=1)
    found = (x - data * (w @ points)) / share
    return Miscibility(
        mean(entropy / jnp.log(m * 1.0)), mean((w**2).sum(axis=1)), mean(((found - noise) ** 2).sum(axis=1) / d)
    )


# --- linear assignment within a batch ---


def prices(costs: Float[Array, "b b"]) -> Float[Array, " b"]:
    r"""What each datum of a batch costs, beside its distance, the noise that is assigned last.

    $V_j$ is the least total cost of the other b - 1 noises on the data without j, less the least over j. So whatever the
    first noise n is, the assignment of least total cost gives it the datum $\arg\min_j c(x_j, n) + V_j$: for n the data are
    cut into cells as in semi-discrete transport, of which this is the finite form.

    Args:
        costs: (data, noises); the column of the first noise is not read.

    By one assignment, and shortest paths (Bellman and Ford) of alternating exchanges, on the host: O(b^3), works under
    ``jit`` and ``vmap``; not differentiable.
    """
    free = costs.at[:, 0].set(0.0)
    order = assignment(free)
    shape = jax.ShapeDtypeStruct(costs.shape[:1], costs.dtype)
    return jax.pure_callback(_exchanges, shape, free, order, vmap_method="broadcast_all")


def _exchanges(costs: ArrayLike, order: ArrayLike) -> np.ndarray:
    costs, order = np.asarray(costs), np.asarray(order)
    found = np.empty(order.shape, costs.dtype)
    for index in np.ndindex(order.shape[:-1]):
        c, noise = costs[index], order[index]
        # [j, i]: the noise on j moves to i
        moved = c[:, noise].T - c[np.arange(len(noise)), noise][:, None]
        price = np.where(noise == 0, 0.0, np.inf)
        for _ in range(len(noise)):
            shorter = np.minimum(price, (moved + price[None, :]).min(axis=1))
            if (shorter >= price - 1e-13).all():
                break
            price = shorter
        found[index] = price
    return found


def prices_of_points(price: Float[Array, " b"], index: Int[Array, " b"], count: int) -> Float[Array, " count"]:
    """Of each datum of a set the least price that it has in a batch, which holds ``index``; infinite where it is absent."""
    return jnp.full(count, jnp.inf, price.dtype).at[index].min(price)


def assigned(
    costs: Float[Array, "n m m"], price: Float[Array, "r m"], own: Int[Array, " n"] | None = None
) -> Float[Array, "n m"]:
    r"""$p(x_i | n_i)$, the chance over batches that the assignment gives the noise n_i to point i, for each point.

    Args:
        costs: $c(x_j, n_i)$ at [q, i, j], of the noise that query q would have if it came from point i.
        price: of the points, in r independent batches.
        own: the batch that each query was drawn from, which is left out.

    Returns:
        the share of batches, with one imaginary batch more that gives every point alike, so that none is 0. Its standard
        error is $\sqrt{p (1 - p) / r}$.

    Time O(r n m^2), memory O(n m^2).
    """
    r, m = price.shape
    mine = jnp.diagonal(costs, axis1=1, axis2=2)

    def add(at, total):
        best = (costs + price[at][None, None, :]).min(axis=2)
        wins = mine + price[at][None, :] <= best
        wins = wins & jnp.isfinite(best)
        return total + (wins if own is None else wins & (own != at)[:, None])

    total = jax.lax.fori_loop(0, r, add, jnp.zeros(mine.shape, mine.dtype))
    return (total + 1 / m) / (r + (1 if own is None else 0))


# --- the noise that a rule gives ---


class NoiseStatistics(NamedTuple):
    """Of noises chosen for data, against noises drawn for them."""

    reduction: Estimate  # of the mean distance, relative
    norm_drift: Estimate  # E|n|^2 / d - 1: 0 where the law of the noise is kept
    mean_drift: Float[Array, ""]  # |E n|, of which sqrt(d / n) is sampling
    norm_drift_error: Float[Array, ""]  # standard error of norm_drift if the noise were N(0, I)


def noise_statistics(
    x: Float[Array, "n d"], chosen: Float[Array, "m d"], drawn: Float[Array, "k d"]
) -> NoiseStatistics:
    """What a rule did: data, the noise it chose for each, and independent noise.

    Raises:
        ValueError: shapes that differ.
    """
    if not x.shape == chosen.shape == drawn.shape:
        raise ValueError(f"data and noises have shapes {x.shape}, {chosen.shape}, {drawn.shape}, but they must agree")
    n, d = x.shape
    near, far = (jnp.sqrt(((x - noise) ** 2).sum(axis=1)) for noise in (chosen, drawn))
    base = far.mean()
    ratio = near.mean() / base
    reduction = Estimate(1 - ratio, mean((near - ratio * far) / base).error)
    drift = mean((chosen**2).sum(axis=1) / d)
    flat = jnp.sqrt(jnp.asarray(2 / (n * d), x.dtype))
    return NoiseStatistics(
        reduction, Estimate(drift.value - 1, drift.error), jnp.sqrt((chosen.mean(axis=0) ** 2).sum()), flat
    )


def cluster_distance(noise: Float[Array, "images draws d"]) -> Estimate:
    r"""Mean over pairs of data of the distance of their mean noises, $E|\bar n_i - \bar n_j|$, the paper's scalar.

    Sampling alone gives about $\sqrt{2 d / \mathrm{draws}}$, also where nothing was chosen: quote the draws. The error is
    over the data.
    """
    centres = noise.mean(axis=1)
    count = centres.shape[0]
    if count < 2:
        raise ValueError("one datum has no pair: give the noises of at least two")
    apart = jnp.sqrt(squared_distances(centres, centres)) * (1 - jnp.eye(count, dtype=centres.dtype))
    each = apart.sum(axis=1) / (count - 1)
    return Estimate(each.mean(), 2 * mean(each).error)


def cluster_spread(noise: Float[Array, "n d"], index: Int[Array, " n"], count: int) -> Float[Array, ""]:
    r"""Root mean square, over pairs of data, of the distance of their mean noises, less what sampling adds to it:
    $\sqrt{\mathrm{mean}_{i \ne j} |\bar n_i - \bar n_j|^2 - \mathrm{mean}_{i \ne j} s^2 (1/m_i + 1/m_j)}$, with the pooled
    variance $s^2$ within a datum's $m_i$ noises; 0 where that is negative.

    Args:
        noise: chosen for the data of this index.
        index: of the data, below ``count``; those that do not occur do not count.
        count: of the data; static.
    """
    size = jnp.zeros(count, noise.dtype).at[index].add(1.0)
    occurs = size > 0
    shared = jnp.maximum(size, 1.0)
    centre = jnp.zeros((count, noise.shape[1]), noise.dtype).at[index].add(noise) / shared[:, None]
    groups = occurs.sum()
    within = ((noise - centre[index]) ** 2).sum() / jnp.maximum(index.size - groups, 1)
    middle = jnp.where(occurs[:, None], centre, 0.0).sum(axis=0, keepdims=True) / groups
    between = jnp.where(occurs, ((centre - middle) ** 2).sum(axis=1), 0.0).sum() / jnp.maximum(groups - 1, 1)
    sampling = within * jnp.where(occurs, 1 / shared, 0.0).sum() / groups
    return jnp.sqrt(jnp.maximum(2 * (between - sampling), 0.0))


def scaled(alpha_bar: ArrayLike, c: ArrayLike) -> Array:
    r"""The $\bar\alpha$ at which unscaled data look as data scaled by c do at $\bar\alpha$ (rule C, image scaling):
    $c^2 \bar\alpha / (1 - \bar\alpha + c^2 \bar\alpha)$; the noisy point is to be divided by
    $\sqrt{1 - \bar\alpha + c^2 \bar\alpha}$.

    Raises:
        ValueError: c that is not positive, or alpha_bar outside [0, 1].
    """
    if not isinstance(alpha_bar, Tracer) and not ((np.asarray(alpha_bar) >= 0) & (np.asarray(alpha_bar) <= 1)).all():
        raise ValueError(f"alpha_bar = {alpha_bar}, but it is a share, from 0 to 1")
    if not isinstance(c, Tracer) and not (np.asarray(c) > 0).all():
        raise ValueError(f"c = {c}, but data can be scaled by a positive factor only")
    alpha_bar, squared = jnp.asarray(alpha_bar), jnp.square(jnp.asarray(c))
    return squared * alpha_bar / (1 - alpha_bar + squared * alpha_bar)


def _number(k: ArrayLike) -> None:
    if not isinstance(k, Tracer) and not (np.asarray(k) >= 1).all():
        raise ValueError(f"k = {k}, but at least one noise is needed: k >= 1")
