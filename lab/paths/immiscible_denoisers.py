r"""The exact denoisers under the three rules of ``immiscible_rules``: asked at levels of noise, and sampled with.

With $z = b\, x_i + a\, n$ the posterior of the point is the softmax of $-|n_i|^2/2$, $n_i = (z - b x_i)/a$, plus the log of the
chance that the rule gives $n_i$ to $x_i$: none, ``immiscible.assigned``, or $(k - 1) \log(1 - F_{x_i}(|n_i - x_i|^2))$.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics import Method, Reason
from lab.paths import immiscible, metrics
from lab.paths.blocks import squared_distances
from lab.paths.chi_squared import log_survival
from lab.paths.couplings import Named, cost_of_squared
from lab.paths.immiscible_rules import RULES

KEPT = 24
"""Queries of which the posterior is kept."""
_BLOCK = 64  # points of which survivals are computed at once: they stay in the cache


@chosen
class Denoisers(eqx.Module):
    """What the denoisers know."""

    x: Float[Array, "n d"]  # the data
    k: ArrayLike  # noises that *nearest* chooses from
    price: Float[Array, "draws m"]  # of the points in batches, (draws, n); (draws, 0) where there are many points
    cost: Named = eqx.field(static=True)  # of assignment

    @property
    def few(self) -> bool:
        """Whether the one under assignment is known."""
        return self.price.shape[1] > 0

    def weights(
        self, z: Float[Array, "rules q d"], data: ArrayLike, share: ArrayLike, own: Int[Array, " q"] | None = None
    ) -> Float[Array, "rules q n"]:
        r"""Posteriors of the points at z = data x + share noise, of which row i is seen under rule i.

        NaN under assignment where there are many points.

        Args:
            own: the batch that each query was drawn from, which assignment leaves out.
        """
        data, share = (jnp.asarray(factor, z.dtype) for factor in (data, share))
        squared = jax.vmap(lambda y: squared_distances(y, data * self.x))(z) / share**2
        logs = -squared / 2
        length = (self.x**2).sum(axis=1)
        reach = squared_distances(z[2], (data + share) * self.x) / share**2
        d = self.x.shape[1]
        survival = jax.lax.map(
            lambda point: log_survival(point[0], d, point[1]), (reach.T, length), batch_size=_BLOCK
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

    def velocity(self, t: ArrayLike, z: Float[Array, "rules q d"]) -> Float[Array, "rules q d"]:
        r"""$E[x - n | z_t] = (\hat x - z)/(1 - t)$ of straight lines $z_t = t x + (1 - t) n$."""
        return (self.weights(z, t, 1 - t) @ self.x - z) / (1 - t)

    @property
    def are_known(self) -> Bool[Array, " rules"]:
        """Under which rules: many points have none under assignment."""
        return jnp.asarray([True, self.few, True])

    def owners(self, noise: Float[Array, "rows columns d"]) -> tuple[Int[Array, "..."], Float[Array, "..."]]:
        """The likeliest point of each pure noise under each rule, and its probability: (rules, rows, columns)."""

        def of_row(z):
            w = self.weights(jnp.broadcast_to(z, (len(RULES), *z.shape)), 0.0, 1.0)
            return w.argmax(axis=-1), w.max(axis=-1)

        owner, probability = jax.lax.map(of_row, noise)
        return owner.transpose(1, 0, 2), probability.transpose(1, 0, 2)


class Moving(eqx.Module):
    """What ``carry`` moves samples by: the velocity under each rule, 0 where it is not known, so that the others go on."""

    denoisers: Denoisers

    def __call__(self, t: ArrayLike, z: Float[Array, "rules q d"]) -> Float[Array, "rules q d"]:
        return jnp.where(self.denoisers.are_known[:, None, None], self.denoisers.velocity(t, z), 0.0)


# --- queries ---


class Queries(eqx.Module):
    """Levels of noise at which queries are put; the last one is the one that is looked at."""

    denoisers: Denoisers
    index: Int[Array, "rules q"]  # the point that each came from
    noise: Float[Array, "rules q d"]
    levels: Float[Array, " levels"]  # share of the data in the variance


class Asked(NamedTuple):
    """What the denoisers know at the levels so far; NaN at those to come."""

    step: Int[Array, ""]
    values: Float[Array, "levels 3 rules"]  # entropy over log n, collision, squared error of the noise over d
    errors: Float[Array, "levels 3 rules"]
    weights: Float[Array, "rules kept n"]  # at the last level
    found: Float[Array, "rules q d"]  # the data as denoised there


def _init(work: Queries) -> Asked:
    (rules, q, d), n, levels = work.noise.shape, work.denoisers.x.shape[0], work.levels.shape[0]
    nothing = lambda *shape: jnp.full(shape, jnp.nan, work.noise.dtype)  # noqa: E731
    measures = nothing(levels, 3, rules)
    return Asked(jnp.int32(0), measures, measures, nothing(rules, min(q, KEPT), n), nothing(rules, q, d))


def _step(work: Queries, state: Asked) -> Asked:
    level, points = work.levels[state.step], work.denoisers.x
    data, share = jnp.sqrt(level), jnp.sqrt(1 - level)
    (_, q, d), n = work.noise.shape, points.shape[0]
    z = data * points[work.index] + share * work.noise
    w = work.denoisers.weights(z, data, share, jnp.arange(q))
    positive = w > 0
    entropy = -jnp.where(positive, w * jnp.log(jnp.where(positive, w, 1.0)), 0.0 * w).sum(axis=-1) / jnp.log(n * 1.0)
    clean = w @ points
    missed = data * (points[work.index] - clean) / share  # of the noise
    measures = jnp.stack([entropy, (w**2).sum(axis=-1), (missed**2).sum(axis=-1) / d])
    found = jax.vmap(jax.vmap(metrics.mean))(measures)
    last = state.step == work.levels.shape[0] - 1
    return Asked(
        state.step + 1,
        state.values.at[state.step].set(found.value),
        state.errors.at[state.step].set(found.error),
        jnp.where(last, w[:, :KEPT], state.weights),
        jnp.where(last, clean, state.found),
    )


ASK = Method(
    _init,
    _step,
    lambda work, state: jnp.where(state.step < work.levels.shape[0], Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"entropy": state.values[state.step - 1, 0, 2]},
)
"""Put the ``Queries``, one level a step."""


# --- where samples end ---


class Arrivals(NamedTuple):
    """Of the samples of each rule, at which points they end. NaN of a rule whose samples are not finite."""

    miss: Float[
        Array, " rules"
    ]  # root mean square distance from the nearest point, over that of the points from their mean
    misplaced: Float[Array, " rules"]  # share that would have to go elsewhere for all points to come alike
    nearest: Int[Array, "rules q"]


def arrivals(z: Float[Array, "rules q d"], x: Float[Array, "n d"]) -> Arrivals:
    """What became of samples z of points x."""
    n, q = x.shape[0], z.shape[1]
    spread = ((x - x.mean(axis=0, keepdims=True)) ** 2).sum(axis=1).mean()

    def of_rule(z):
        found = metrics.modes(z, x)
        misplaced = jnp.maximum(found.counts / q - 1 / n, 0).sum()
        return jnp.sqrt((found.distance**2).mean() / spread), misplaced, found.nearest

    miss, misplaced, nearest = jax.lax.map(of_rule, z)
    finite = jnp.isfinite(z).all(axis=(1, 2))
    return Arrivals(jnp.where(finite, miss, jnp.nan), jnp.where(finite, misplaced, jnp.nan), nearest)


def misplaced_by_chance(n: int, q: int) -> float:
    """What ``Arrivals.misplaced`` of q fair draws of n points is on average: $n E|X - q/n| / (2 q)$ of a binomial X of q draws
    with probability 1/n, by de Moivre's formula."""
    above = q // n + 1
    logs = math.lgamma(q + 1) - math.lgamma(above + 1) - math.lgamma(q - above + 1)
    return n * above / q * math.exp(logs - above * math.log(n) + (q - above + 1) * math.log1p(-1 / n))
