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
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import gammaln, log_ndtr
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.paths.couplings import assignment
from lab.paths.fields import Pairing
from lab.paths.laws import squared_distances
from lab.paths.metrics import Estimate, mean

_TERMS = 400  # of the series, around half the noncentrality
_SERIES = 200  # degrees of freedom up to which the series is used
_UNROLL = 4  # terms that are added in one pass over the memory
_WIDE = 600.0  # noncentrality from which on the terms no longer cover the Poisson law
_CELLS = 500_000  # of a block of posteriors: 4 MB


# --- the noncentral chi-square law ---


@partial(jax.jit, static_argnums=1)
def log_survival(r: ArrayLike, d: int, noncentrality: ArrayLike) -> Array:
    r"""$\log P(X > r)$ of the noncentral $\chi^2$ law with d degrees of freedom.

    Up to 200 degrees of freedom the Poisson mixture, with terms that are all positive: with $a = d/2$, $x = r/2$,
    $l = $ noncentrality / 2 and $J \sim \mathrm{Poisson}(l)$,

    $$ P(X > r) = Q(a, x) + \sum_{i \ge 0} \frac{x^{a+i} e^{-x}}{\Gamma(a + i + 1)}\, P(J > i), $$

    to some 1e-10 of the logarithm in float64, up to 6 standard deviations out at least. Beyond, and for noncentralities above
    600, the normal approximation of Sankaran (1963), whose logarithm errs by some 2e-4 at d = 3072 and 1e-2 at d = 64.

    Args:
        r: any shape.
        d: static.
        noncentrality: broadcast to r. Time up to 400 multiplications an element of r, memory 400 numbers an element
            of this.
    """
    r = jnp.asarray(r)
    noncentrality = jnp.asarray(noncentrality, r.dtype)
    noncentrality = jnp.reshape(noncentrality, (1,) * (r.ndim - noncentrality.ndim) + noncentrality.shape)
    if d > _SERIES:
        return _sankaran(r, d, noncentrality)
    wide = noncentrality > _WIDE
    series = _series(r, d, jnp.where(wide, 1.0, noncentrality))
    return jnp.where(wide, _sankaran(r, d, noncentrality), series)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _series(r: Array, d: int, noncentrality: Array) -> Array:
    x, l, first, index = _window(r, noncentrality)
    a = d / 2 + first
    ratio = jnp.log(l)[None] - jnp.log(index[1:])  # of one probability to the one before
    none = first[None] == 0  # P(J = 0), also where l = 0
    begin = jnp.where(none, -l[None], jax.scipy.special.xlogy(first, l)[None] - l[None] - gammaln(first + 1)[None])
    poisson = jnp.exp(jnp.cumsum(jnp.concatenate([begin, ratio]), axis=0))
    above = jnp.cumsum(poisson[::-1], axis=0)[::-1]  # P(J >= index)
    above, after = above[1:-1], above[2:]
    floor = jnp.finfo(x.dtype).tiny * 1e10
    factors = jnp.where(above > floor, after / jnp.maximum(above, floor), 0.0) / (d / 2 + index[1:-1])
    start = a * jnp.log(x) - x - gammaln(a + 1) + jnp.log(jnp.maximum(above[0], floor))
    return jnp.minimum(jnp.logaddexp(_log_gammaincc(a, x), _log_sum(start, x, factors)), 0.0)


@_series.defjvp
def _series_jvp(d, primals, tangents):
    # the derivative in r is minus the density, that in the noncentrality the density at d + 2
    r, noncentrality = primals
    value = _series(r, d, noncentrality)
    slope = jnp.exp(_log_density(r, d, noncentrality) - value)
    across = jnp.exp(_log_density(r, d + 2, noncentrality) - value)
    return value, across * tangents[1] - slope * tangents[0]


def _log_density(r: Array, d: int, noncentrality: Array) -> Array:
    x, l, first, index = _window(r, noncentrality)
    a = d / 2 + first
    start = jax.scipy.special.xlogy(first, l) - l - gammaln(first + 1) + (a - 1) * jnp.log(x) - x - gammaln(a)
    factors = l[None] / ((index[:-2] + 1) * (d / 2 + index[:-2]))
    return _log_sum(start, x, factors, whole=True) - jnp.log(2.0)


def _window(r: Array, noncentrality: Array) -> tuple[Array, Array, Array, Array]:
    """x, l, the first index of the Poisson law that counts (before it P(J > i) is 1), and the indices, one axis in front."""
    x, l = jnp.maximum(r, jnp.finfo(r.dtype).tiny) / 2, noncentrality / 2
    first = jnp.maximum(jnp.floor(l) - _TERMS // 2, 0.0)
    return x, l, first, first[None] + jnp.arange(_TERMS + 1, dtype=r.dtype).reshape((-1,) + (1,) * l.ndim)


def _log_sum(start: Array, x: Array, factors: Array, whole: bool = False) -> Array:
    """log of the sum of terms of which the first is e^start, and the next is factors[i] x times the last.

    ``whole``: every term, by a loop that can be differentiated backwards.
    """
    big = 1e15

    def add(at, carry):
        term, total, log_scale = carry
        for i in range(_UNROLL):
            term = term * (x * factors[at * _UNROLL + i])
            total = total + term
        scale = jnp.where(total > big, 1 / big, 1.0)
        return term * scale, total * scale, jnp.where(total > big, log_scale + math.log(big), log_scale)

    one = jnp.ones_like(x)
    first = one, one, start + jnp.zeros_like(x)
    loop = jax.lax.fori_loop if whole else _while_large
    _, total, log_scale = loop(0, factors.shape[0] // _UNROLL, add, first)
    return log_scale + jnp.log(total)


def _while_large(start: int, stop: int, add: Callable, carry: tuple) -> tuple:
    """``fori_loop`` until nothing is added that counts; carry = (what was added last, the sum, ...), and once it falls what is
    added does not grow again."""

    def counts(state):
        at, (term, total, *_) = state
        return (at < stop) & (jnp.abs(term) > 2 * jnp.finfo(term.dtype).eps * jnp.abs(total)).any()

    def more(state):
        at, carry = state
        return at + 4, jax.lax.fori_loop(0, 4, lambda i, carry: add(at + i, carry), carry, unroll=True)

    return jax.lax.while_loop(counts, more, (jnp.int32(start), carry))[1]


def _log_gammaincc(a: Array, x: Array) -> Array:
    """log Q(a, x): 1 less the power series of P below the mean, Lentz's continued fraction beyond, where Q may underflow."""
    far = x > a + 1
    below, beyond = jnp.where(far, a, x), jnp.where(far, x, a + 2)
    tiny = jnp.finfo(x.dtype).tiny ** 0.5

    def add(i, carry):
        term, total = carry
        term = term * below / (a + i)
        return term, total + term

    def turn(i, carry):
        _, h, b, c, d = carry
        b = b + 2
        by = -i * (i - a)
        d = 1 / (by * d + b)
        c = b + by / c
        return h * (d * c - 1), h * d * c, b, c, d

    total = _while_large(1, 129, add, (jnp.ones_like(x), jnp.ones_like(x)))[1]
    near = jnp.log1p(-jnp.minimum(jnp.exp(a * jnp.log(below) - below - gammaln(a + 1)) * total, 1 - tiny))
    b = beyond + 1 - a
    h = _while_large(1, 129, turn, (1 / b, 1 / b, b, jnp.full_like(b, 1 / tiny), 1 / b))[1]
    return jnp.where(far, a * jnp.log(beyond) - beyond - gammaln(a) + jnp.log(h), near)


def _sankaran(r: Array, d: int, noncentrality: Array) -> Array:
    l = jnp.maximum(noncentrality, 1e-12)
    h = 1 - 2 * (d + l) * (d + 3 * l) / (3 * (d + 2 * l) ** 2)
    p = (d + 2 * l) / (d + l) ** 2
    q = (h - 1) * (1 - 3 * h)
    z = ((r / (d + l)) ** h - (1 + h * p * (h - 1 - (2 - h) * q * p / 2))) / (h * jnp.sqrt(2 * p) * (1 + q * p / 2))
    return log_ndtr(-z)


# --- the law of the chosen noise ---


def log_density(noise: Float[Array, "n d"], x: Float[Array, " d"], k: ArrayLike) -> Float[Array, " n"]:
    r"""$\log p_k(n | x) = \log k + \log\phi(n) + (k - 1) \log(1 - F_x(|n - x|^2))$. k may be any real number from 1 on."""
    _number(k)
    d = x.shape[0]
    squared = ((noise - x[None, :]) ** 2).sum(axis=1)
    gaussian = -((noise**2).sum(axis=1) + d * jnp.log(2 * jnp.pi)) / 2
    return jnp.log(jnp.asarray(k, x.dtype)) + gaussian + (k - 1) * log_survival(squared, d, x @ x)


class Neighbours(NamedTuple):
    """The k nearest noises of each datum, the nearest first."""

    index: Int[Array, "n k"]
    distance: Float[Array, "n k"]


def nearest(x: Float[Array, "n d"], noise: Float[Array, "..."], k: int = 1) -> Neighbours:
    """Among given noises the k nearest to each datum; among equally near ones those that come first.

    ``couplings.Nearest`` draws the noises itself, and needs no memory for them.

    Args:
        noise: (m, d), the same for all data, or (n, m, d), of each datum its own.
        k: from 1 to m; static.

    Raises:
        ValueError: shapes that do not fit, or k outside.

    Time O(n m (d + log k)), memory O(n k) and a block of distances.
    """
    if (
        x.ndim != 2
        or noise.ndim not in (2, 3)
        or noise.shape[-1] != x.shape[1]
        or noise.shape[:-2] not in ((), x.shape[:1])
    ):
        raise ValueError(
            f"data and noises have shapes {x.shape} and {noise.shape}, but (n, d) with (m, d) or (n, m, d) are needed"
        )
    m = noise.shape[-2]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= m:
        raise ValueError(f"k = {k}, but of {m} noises a whole number from 1 to {m} can be the nearest")
    own = noise.ndim == 3

    def of_one(each):
        point, among = each if own else (each, noise)
        squared, index = jax.lax.top_k(-((among - point[None, :]) ** 2).sum(axis=1), k)
        return Neighbours(index, jnp.sqrt(jnp.maximum(-squared, 0)))

    return jax.lax.map(of_one, (x, noise) if own else x, batch_size=max(1, _CELLS // (m * x.shape[1])))


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
    r"""What choosing among k noises does at large d, with $\sigma = \sqrt{2 d + 4 |x|^2}$:

    $$ \frac{m_k \sigma}{2 (d + |x|^2)}, \qquad -\frac{2 d\, m_k}{\sigma}, \qquad \frac{2 |x| m_k}{\sigma} . $$

    Within 3 % and 6 % of the truth from d = 768 on.
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
