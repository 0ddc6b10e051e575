r"""The three rules on the same batches, and the exact denoiser under each.

Of each batch the first noise is a query. The rules see the same data and the same noises: *independent* keeps the noises in
their order, *assignment* permutes them, *nearest* takes the nearest of each noise and k - 1 fresh ones.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from lab.numerics import Method, Reason
from lab.paths import immiscible, metrics
from lab.paths.couplings import Nearest, assignment, cost_matrix, cost_of_squared
from lab.paths.laws import squared_distances

RULES = ("independent", "assignment", "nearest")
FEW = 64  # points up to which the denoiser under assignment is computed: memory O(draws points^2)
LEVELS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)
MOST = 64  # Euler steps
_BLOCK = 64  # points of which survivals are computed at once: they stay in the cache
KEPT = 24  # queries of which the posterior is kept


# --- batches and their assignments ---


class Batches(eqx.Module):
    """So many batches of noises and data."""

    key: Any
    x: Any  # (n, d) the data
    draws: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    cost: str = eqx.field(static=True)

    @property
    def few(self) -> bool:
        return self.x.shape[0] <= FEW

    def draw(self, number: Any) -> tuple[Any, Any]:
        """Noises (batch, d) and which points (batch,): all different ones where there are enough."""
        noise, which = jax.random.split(jax.random.fold_in(self.key, number))
        n, d = self.x.shape
        if self.batch <= n:
            index = jax.random.permutation(which, n)[: self.batch]
        else:
            index = jax.random.randint(which, (self.batch,), 0, n)
        return jax.random.normal(noise, (self.batch, d), self.x.dtype), index


class Assigned(NamedTuple):
    step: Any
    order: Any  # (draws, batch) the noise of each datum; -1 of batches still to come
    price: Any  # (draws, n) of the points, infinite where absent; (draws, 0) of many points
    saved: Any  # relative fall of the cost in the last batch


def _assign_init(work: Batches) -> Assigned:
    points = work.x.shape[0] if work.few else 0
    return Assigned(
        jnp.int32(0),
        jnp.full((work.draws, work.batch), -1, jnp.int32),
        jnp.full((work.draws, points), jnp.inf, work.x.dtype),
        jnp.zeros((), work.x.dtype),
    )


def _assign_step(work: Batches, state: Assigned) -> Assigned:
    noise, index = work.draw(state.step)
    costs = cost_matrix(work.x[index], noise, work.cost)
    order = assignment(costs)
    price = state.price
    if work.few:
        each = immiscible.prices(costs)
        price = price.at[state.step].set(immiscible.prices_of_points(each, index, work.x.shape[0]))
    saved = 1 - jnp.take_along_axis(costs, order[:, None], axis=1).sum() / jnp.trace(costs)
    return Assigned(state.step + 1, state.order.at[state.step].set(order), price, saved)


ASSIGN = Method(
    _assign_init,
    _assign_step,
    lambda work, state: jnp.where(state.step < work.draws, Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"saved": state.saved},
)


class Drawn(NamedTuple):
    """Pairs of each rule; the batches in front."""

    index: Any  # (draws, batch) of the data
    noise: Any  # (rules, draws, batch, d), of the datum at this place
    query_index: Any  # (rules, draws)
    query_noise: Any  # (rules, draws, d)


def draw(work: Batches, order: Any, k: Any) -> Drawn:
    """What each rule makes of the batches; NaN where a batch was not assigned."""
    base, index = jax.vmap(work.draw)(jnp.arange(work.draws))
    flat = base.reshape(-1, base.shape[-1])
    key = jax.random.fold_in(work.key, work.draws)
    nearest = Nearest(k)(key, flat, work.x[index.ravel()]).x0.reshape(base.shape)
    done = order[:, :1] >= 0
    moved = jnp.where(done[..., None], jnp.take_along_axis(base, jnp.maximum(order, 0)[:, :, None], axis=1), jnp.nan)
    at = jnp.argmin(order, axis=1)  # the datum that the first noise went to
    there = jnp.take_along_axis(index, at[:, None], axis=1)[:, 0]
    return Drawn(
        index,
        jnp.stack([base, moved, nearest]),
        jnp.stack([index[:, 0], there, index[:, 0]]),
        jnp.stack([base[:, 0], jnp.where(done, base[:, 0], jnp.nan), nearest[:, 0]]),
    )


class Described(NamedTuple):
    """What the rules did to the noise, by rule."""

    reduction: Any
    reduction_error: Any
    norm_drift: Any
    mean_drift: Any
    ks: Any  # Kolmogorov's statistic of |n|^2 against chi-square
    ks_p: Any
    cluster: Any
    histogram: Any  # (rules, bins)


def describe(work: Batches, drawn: Drawn, edges: Any) -> Described:
    """Distances, drift and law of the noise of each rule. Errors are over batches."""
    x = work.x[drawn.index]
    d = x.shape[-1]
    apart = jax.lax.map(lambda noise: jnp.sqrt(((noise - x) ** 2).sum(axis=-1)).mean(axis=-1), drawn.noise)
    far, level = apart[0], apart.mean(axis=1)
    ratio = level / level[0]
    error = jax.vmap(lambda near, r: metrics.mean((near - r * far) / level[0]).error)(apart, ratio)

    def of(noise):
        squared = (noise**2).sum(axis=-1).ravel()
        statistic, p = kolmogorov(squared, d)
        flat = noise.reshape(-1, d)
        return (
            squared.mean() / d - 1,
            jnp.sqrt((flat.mean(axis=0) ** 2).sum()),
            statistic,
            p,
            clusters(flat, drawn.index.ravel(), work.x.shape[0]),
            _density(squared / d, edges),
        )

    return Described(1 - ratio, error, *jax.lax.map(of, drawn.noise))


def _density(values: Any, edges: Any) -> Any:
    """Of a histogram with bins of equal width; jnp.histogram sorts, and takes seconds to compile."""
    bins, width = edges.size - 1, edges[1] - edges[0]
    at = jnp.floor((values - edges[0]) / width).astype(jnp.int32)
    inside = (values >= edges[0]) & (values < edges[-1])
    return jnp.zeros(bins, values.dtype).at[jnp.where(inside, at, bins)].add(1.0, mode="drop") / (values.size * width)


def kolmogorov(squared: Any, d: int) -> tuple[Any, Any]:
    """Kolmogorov's statistic of squared norms against the chi-square law, and its p-value for large samples."""
    n = squared.size
    level = jax.scipy.special.gammainc(d / 2, jnp.sort(squared) / 2)
    at = jnp.arange(n, dtype=level.dtype)
    statistic = jnp.maximum(((at + 1) / n - level).max(), (level - at / n).max())
    scaled = statistic * (jnp.sqrt(n * 1.0) + 0.12 + 0.11 / jnp.sqrt(n * 1.0))  # Stephens (1970)
    j = jnp.arange(1, 101, dtype=level.dtype)
    p = 2 * ((-1.0) ** (j - 1) * jnp.exp(-2 * j**2 * scaled**2)).sum()
    return statistic, jnp.where(scaled < 0.2, 1.0, jnp.clip(p, 0, 1))


def clusters(noise: Any, index: Any, count: int) -> Any:
    r"""Root mean square, over pairs of points, of the distance of their mean noises, less what sampling adds to it:
    $\sqrt{\mathrm{mean}_{i \ne j} |\bar n_i - \bar n_j|^2 - \mathrm{mean}_{i \ne j} s^2 (1/m_i + 1/m_j)}$, with the pooled
    variance $s^2$ within a point's $m_i$ noises; 0 where that is negative."""
    size = jnp.zeros(count, noise.dtype).at[index].add(1.0)
    seen = size > 0
    one = jnp.maximum(size, 1.0)
    centre = jnp.zeros((count, noise.shape[1]), noise.dtype).at[index].add(noise) / one[:, None]
    groups = seen.sum()
    within = ((noise - centre[index]) ** 2).sum() / jnp.maximum(index.size - groups, 1)
    middle = jnp.where(seen[:, None], centre, 0.0).sum(axis=0, keepdims=True) / groups
    between = jnp.where(seen, ((centre - middle) ** 2).sum(axis=1), 0.0).sum() / jnp.maximum(groups - 1, 1)
    sampling = within * jnp.where(seen, 1 / one, 0.0).sum() / groups
    return jnp.sqrt(jnp.maximum(2 * (between - sampling), 0.0))


# --- the exact denoiser under each rule ---


class Rules(eqx.Module):
    """What the denoisers know."""

    x: Any  # (n, d)
    k: Any
    price: Any  # (draws, n), or (draws, 0)
    cost: str = eqx.field(static=True)

    @property
    def few(self) -> bool:
        return self.price.shape[1] > 0

    def weights(self, z: Any, data: Any, share: Any, own: Any = None) -> Any:
        r"""Posteriors of the points: (rules, q, n) at z (rules, q, d), of which row i is seen under rule i.

        $z = \mathrm{data} \cdot x + \mathrm{share} \cdot \mathrm{noise}$. NaN under assignment where there are many points.
        """
        squared = jax.vmap(lambda y: squared_distances(y, data * self.x))(z) / share**2
        logs = -squared / 2
        length = (self.x**2).sum(axis=1)
        reach = squared_distances(z[2], (data + share) * self.x) / share**2
        d = self.x.shape[1]
        survival = jax.lax.map(
            lambda point: immiscible.log_survival(point[0], d, point[1]), (reach.T, length), batch_size=_BLOCK
        ).T
        nearest = logs[2] + (self.k - 1) * survival
        if not self.few:
            moved = jnp.full_like(nearest, jnp.nan)
        else:
            # of the noise that the query would have, if it came from point i, the distance from point j
            offset = data * self.x[:, None, :] + share * self.x[None, :, :]
            flat = squared_distances(z[1], offset.reshape(-1, offset.shape[-1])) / share**2
            costs = cost_of_squared(flat.reshape(z.shape[1], *offset.shape[:2]), self.cost)
            moved = logs[1] + jnp.log(immiscible.assigned(costs, self.price, own))
        return jax.nn.softmax(jnp.stack([logs[0], moved, nearest]), axis=-1)


class Queries(eqx.Module):
    """Levels of noise at which queries are put; the last one is the one that is looked at."""

    rules: Rules
    index: Any  # (rules, q)
    noise: Any  # (rules, q, d)
    levels: Any  # (levels,)


class Asked(NamedTuple):
    step: Any
    values: Any  # (levels, 3 measures, rules)
    errors: Any
    weights: Any  # (rules, kept, n) at the last level
    found: Any  # (rules, q, d) the data as denoised there


def _ask_init(work: Queries) -> Asked:
    (rules, q, d), n, t = work.noise.shape, work.rules.x.shape[0], work.levels.shape[0]
    nothing = lambda *shape: jnp.full(shape, jnp.nan, work.noise.dtype)  # noqa: E731
    return Asked(
        jnp.int32(0), nothing(t, 3, rules), nothing(t, 3, rules), nothing(rules, min(q, KEPT), n), nothing(rules, q, d)
    )


def _ask_step(work: Queries, state: Asked) -> Asked:
    level, points = work.levels[state.step], work.rules.x
    data, share = jnp.sqrt(level), jnp.sqrt(1 - level)
    (_, q, d), n = work.noise.shape, points.shape[0]
    z = data * points[work.index] + share * work.noise
    w = work.rules.weights(z, data, share, jnp.arange(q))
    positive = w > 0
    entropy = -jnp.where(positive, w * jnp.log(jnp.where(positive, w, 1.0)), 0.0 * w).sum(axis=-1) / jnp.log(n * 1.0)
    clean = w @ points
    # of the noise: e^ - e = data (x - x^) / share
    missed = data * (points[work.index] - clean) / share
    each = jnp.stack([entropy, (w**2).sum(axis=-1), (missed**2).sum(axis=-1) / d])
    found = jax.vmap(jax.vmap(metrics.mean))(each)
    last = state.step == work.levels.shape[0] - 1
    return Asked(
        state.step + 1,
        state.values.at[state.step].set(found.value),
        state.errors.at[state.step].set(found.error),
        jnp.where(last, w[:, :KEPT], state.weights),
        jnp.where(last, clean, state.found),
    )


ASK = Method(
    _ask_init,
    _ask_step,
    lambda work, state: jnp.where(state.step < work.levels.shape[0], Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"entropy": state.values[state.step - 1, 0, 2]},
)


# --- sampling, from N(0, I), by the exact velocity under each rule ---


class Walk(eqx.Module):
    rules: Rules
    z: Any  # (q, d)
    axes: Any  # (d, 1 or 2)
    steps: Any


class Walked(NamedTuple):
    step: Any
    z: Any  # (rules, q, d)
    way: Any  # (rules, MOST + 1, q, 1 or 2)


def _walk_init(work: Walk) -> Walked:
    z = jnp.broadcast_to(work.z, (len(RULES), *work.z.shape))
    seen = z @ work.axes
    return Walked(jnp.int32(0), z, jnp.broadcast_to(seen[:, None], (seen.shape[0], MOST + 1, *seen.shape[1:])))


def _walk_step(work: Walk, state: Walked) -> Walked:
    h = 1 / jnp.asarray(work.steps, state.z.dtype)
    t = state.step * h
    w = work.rules.weights(state.z, t, 1 - t)
    z = state.z + h * (w @ work.rules.x - state.z) / (1 - t)  # E[x1 - e | x_t] = (x1^ - x_t) / (1 - t)
    later = (jnp.arange(MOST + 1) > state.step)[None, :, None, None]
    return Walked(state.step + 1, z, jnp.where(later, (z @ work.axes)[:, None], state.way))


WALK = Method(
    _walk_init,
    _walk_step,
    lambda work, state: jnp.where(
        jnp.isfinite(state.z[::2]).all(),
        jnp.where(state.step < work.steps, Reason.RUNNING, Reason.CONVERGED),
        Reason.NOT_FINITE,
    ),
    lambda work, state: {"square": (state.z[::2] ** 2).mean()},
)
