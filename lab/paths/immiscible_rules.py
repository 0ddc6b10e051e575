r"""Three rules that say which noise goes with which datum, on the same batches, and what they do to the noise.

Of the same data and the same noises *independent* keeps the noises in their order, *assignment* permutes them at least cost
(``couplings.Assignment``), *nearest* takes the nearest of each noise and k - 1 fresh ones (``couplings.Nearest``). Of each
batch the first noise is a query, whose exact denoisers are in ``immiscible_denoisers``.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Method, Reason, random
from lab.paths import couplings, metrics
from lab.paths.chi_squared import kolmogorov
from lab.paths.couplings import Cost
from lab.paths.immiscible import cluster_spread, prices, prices_of_points

RULES = ("independent", "assignment", "nearest")
FEW = 64
"""Points up to which the denoiser under assignment is known: its memory is O(queries points^2)."""


@chosen
class Rule(eqx.Module):
    """The coupling of this number in ``RULES``, so that one compiled program serves them all."""

    number: ArrayLike
    k: ArrayLike
    cost: Cost = eqx.field(static=True)

    def __call__(
        self, key: PRNGKeyArray, x0: Float[Array, "n d"], x1: Float[Array, "n d"], live: Array | None = None
    ) -> couplings.Pairs:
        rules = couplings.Independent(), couplings.Assignment(self.cost), couplings.Nearest(self.k)
        return jax.lax.switch(self.number, [lambda rule=rule: rule(key, x0, x1, live) for rule in rules])


# --- batches and their assignments ---


@chosen
class Batches(eqx.Module):
    """So many batches of noises and data."""

    key: PRNGKeyArray
    x: Float[Array, "n d"]  # the data
    draws: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    cost: Cost = eqx.field(static=True)  # of assignment

    @property
    def few(self) -> bool:
        """Whether the denoiser under assignment is known."""
        return self.x.shape[0] <= FEW

    def draw(self, number: ArrayLike) -> tuple[Float[Array, "batch d"], Int[Array, " batch"]]:
        """Noises, and the numbers of the data: all different ones where there are enough."""
        noise, which = jax.random.split(jax.random.fold_in(self.key, number))
        n, d = self.x.shape
        few = self.batch <= n
        index = jax.random.permutation(which, n)[: self.batch] if few else random.randint(which, (self.batch,), 0, n)
        return random.normal(noise, (self.batch, d), self.x.dtype), index


class Assigned(NamedTuple):
    """What assignment did to the batches so far."""

    step: Int[Array, ""]
    order: Int[Array, "draws batch"]  # the noise of each datum; -1 of batches still to come
    price: Float[Array, "draws n"]  # of the points, infinite where absent; (draws, 0) of many points
    saved: Float[Array, ""]  # relative fall of the cost in the last batch


def _init(work: Batches) -> Assigned:
    points = work.x.shape[0] if work.few else 0
    return Assigned(
        jnp.int32(0),
        jnp.full((work.draws, work.batch), -1, jnp.int32),
        jnp.full((work.draws, points), jnp.inf, work.x.dtype),
        jnp.zeros((), work.x.dtype),
    )


def _step(work: Batches, state: Assigned) -> Assigned:
    noise, index = work.draw(state.step)
    costs = couplings.cost_matrix(work.x[index], noise, work.cost)
    order = couplings.assignment(costs)
    price = state.price
    if work.few:
        price = price.at[state.step].set(prices_of_points(prices(costs), index, work.x.shape[0]))
    saved = 1 - jnp.take_along_axis(costs, order[:, None], axis=1).sum() / jnp.trace(costs)
    return Assigned(state.step + 1, state.order.at[state.step].set(order), price, saved)


ASSIGN = Method(
    _init,
    _step,
    lambda work, state: jnp.where(state.step < work.draws, Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"saved": state.saved},
)
"""Assign the noises of all ``Batches``, one batch a step."""


class Paired(NamedTuple):
    """Pairs of each rule; the batches in front."""

    index: Int[Array, "draws batch"]  # of the data
    noise: Float[Array, "rules draws batch d"]  # of the datum at this place
    query_index: Int[Array, "rules draws"]
    query_noise: Float[Array, "rules draws d"]


def pair(work: Batches, order: Int[Array, "draws batch"], k: Int[Array, ""]) -> Paired:
    """What each rule makes of the batches; NaN where a batch was not assigned.

    Args:
        order: as ``ASSIGN`` found it.
        k: noises that *nearest* chooses from.
    """
    base, index = jax.vmap(work.draw)(jnp.arange(work.draws))
    flat = base.reshape(-1, base.shape[-1])
    key = jax.random.fold_in(work.key, work.draws)
    nearest = couplings.Nearest(k)(key, flat, work.x[index.ravel()]).x0.reshape(base.shape)
    done = order[:, :1] >= 0
    moved = jnp.where(done[..., None], jnp.take_along_axis(base, jnp.maximum(order, 0)[:, :, None], axis=1), jnp.nan)
    place = jnp.argmin(order, axis=1)  # of the datum that the first noise went to
    met = jnp.take_along_axis(index, place[:, None], axis=1)[:, 0]
    return Paired(
        index,
        jnp.stack([base, moved, nearest]),
        jnp.stack([index[:, 0], met, index[:, 0]]),
        jnp.stack([base[:, 0], jnp.where(done, base[:, 0], jnp.nan), nearest[:, 0]]),
    )


# --- what became of the noise ---


class NoiseOfRules(NamedTuple):
    """What the rules did to the noise, by rule."""

    reduction: Float[Array, " rules"]  # of the mean distance of noise and datum, relative
    reduction_error: Float[Array, " rules"]
    norm_drift: Float[Array, " rules"]  # E|n|^2 / d - 1
    mean_drift: Float[Array, " rules"]  # |E n|
    ks: Float[Array, " rules"]  # Kolmogorov's statistic of |n|^2 against chi-square
    ks_p: Float[Array, " rules"]
    cluster: Float[Array, " rules"]  # see ``immiscible.cluster_spread``
    histogram: Float[Array, "rules bins"]  # density of |n|^2 / d


def describe(work: Batches, paired: Paired, edges: Float[Array, " edges"]) -> NoiseOfRules:
    """Distances, drift and law of the noise of each rule. Errors are over batches.

    Args:
        edges: of the bins of $|n|^2 / d$, all of one width.
    """
    x = work.x[paired.index]
    d = x.shape[-1]
    apart = jax.lax.map(lambda noise: jnp.sqrt(((noise - x) ** 2).sum(axis=-1)).mean(axis=-1), paired.noise)
    far, level = apart[0], apart.mean(axis=1)
    ratio = level / level[0]
    error = jax.vmap(lambda near, r: metrics.mean((near - r * far) / level[0]).error)(apart, ratio)

    def of_rule(noise):
        squared = (noise**2).sum(axis=-1).ravel()
        statistic, p = kolmogorov(squared, d)
        flat = noise.reshape(-1, d)
        return (
            squared.mean() / d - 1,
            jnp.sqrt((flat.mean(axis=0) ** 2).sum()),
            statistic,
            p,
            cluster_spread(flat, paired.index.ravel(), work.x.shape[0]),
            _histogram(squared / d, edges),
        )

    return NoiseOfRules(1 - ratio, error, *jax.lax.map(of_rule, paired.noise))


def _histogram(values: Array, edges: Array) -> Array:
    """The density in bins of equal width; jnp.histogram sorts, and takes seconds to compile."""
    bins, width = edges.size - 1, edges[1] - edges[0]
    place = jnp.floor((values - edges[0]) / width).astype(jnp.int32)
    inside = (values >= edges[0]) & (values < edges[-1])
    counts = jnp.zeros(bins, values.dtype).at[jnp.where(inside, place, bins)].add(1.0, mode="drop")
    return counts / (values.size * width)
