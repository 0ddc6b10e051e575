r"""How well a few rows stand for all: of a k-DPP, of rows at random, and of the greedy choice of most volume.

With features $\phi_i$ of the rows, whose products are the kernel L, a subset S with weights w has the error of sums

$$ \Big\| \frac1N \sum_i \phi_i - \frac1N \sum_{i \in S} w_i \phi_i \Big\| , $$

the maximum mean discrepancy of S and all rows. It is least over w at the distance of the mean from the span of S.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Method, Reason
from lab.numerics.arguments import whole
from lab.sampling import ensembles, subsets
from lab.sampling.ensembles import Spectrum

WAYS = DPP, RANDOM, GREEDY = ("k-DPP", "random", "greedy")
"""In the order of every axis ``way``."""
_BATCH = 25
_CLASSES = 1000  # that are told apart


class Quality(NamedTuple):
    """Of one subset, or with axes in front."""

    coverage: Float[Array, "*batch"]  # mean distance of the rows to the nearest chosen one, over ``median``
    farthest: Float[Array, "*batch"]  # the largest such distance
    mmd: Float[Array, "*batch"]  # error of sums with the weights given
    mmd_best: Float[Array, "*batch"]  # with the weights that make it least
    volume: Float[Array, "*batch"]  # log det L of the chosen rows


@chosen
class Comparison(eqx.Module):
    """The problem of the loop ``COMPARE``: k of N rows are chosen ``size`` times in each way."""

    rows: Float[Array, "N d"]
    length_scale: Float[Array, ""]
    median: Float[Array, ""]  # unit of distances
    spectrum: Spectrum  # of the kernel of the rows
    key: PRNGKeyArray
    classes: Int[Array, " N"]  # of the rows; 0 where they are not known
    k: int = eqx.field(static=True)
    kernel: subsets.Kernel = eqx.field(static=True)
    size: int = eqx.field(static=True)  # draws

    def __check_init__(self):
        whole("k", self.k, 1, self.rows.shape[0])
        whole("size", self.size, 1)

    @property
    def batch(self) -> int:
        """Draws of a step."""
        return min(_BATCH, self.size)

    @property
    def steps(self) -> int:
        """Batches that make ``size`` draws."""
        return -(-self.size // self.batch)

    @property
    def features(self) -> Float[Array, "N rank"]:
        """Whose products are the kernel."""
        return self.spectrum.vectors * jnp.sqrt(self.spectrum.values)[None, :]


class Judged(NamedTuple):
    """Filled batch by batch; NaN where there is none yet."""

    batches: Int[Array, ""]  # that were made
    quality: Quality  # (way, draw)
    classes: Float[Array, "way draw"]  # how many of them are among the chosen
    first: Int[Array, "way k"]  # the rows of the first draw


def quality(
    problem: Comparison,
    features: Float[Array, "N rank"],
    mean: Float[Array, " rank"],
    indices: Int[Array, " k"],
    weights: Float[Array, " k"],
) -> Quality:
    """Of one subset, with the features of all rows and their mean. Time O(N k (d + rank) + k^3)."""
    rows, k = problem.rows, problem.k
    own = features[indices]
    distance = subsets.coverage(rows, indices) / problem.median
    wrong = mean - weights @ own / rows.shape[0]
    # least over weights: the distance of the mean from the span of the chosen rows
    triangle = jnp.linalg.cholesky(own @ own.T + 1e-12 * jnp.eye(k))
    taken = jax.scipy.linalg.solve_triangular(triangle, own @ mean, lower=True)
    best = jnp.sqrt(jnp.maximum(mean @ mean - taken @ taken, 0.0))
    kernel = subsets.kernel_matrix(rows[indices], rows[indices], problem.kernel, problem.length_scale)
    volume = jnp.linalg.slogdet(kernel)[1]
    return Quality(distance.mean(), distance.max(), jnp.sqrt(wrong @ wrong), best, volume)


def _init(problem: Comparison) -> Judged:
    ways, n = len(WAYS), problem.steps * problem.batch
    empty = jnp.full((ways, n), jnp.nan, problem.rows.dtype)
    return Judged(jnp.int32(0), Quality(*[empty] * 5), empty, jnp.zeros((ways, problem.k), int))


def _step(problem: Comparison, state: Judged) -> Judged:
    """Another batch of subsets. The k-DPP has weights 1 / P(row in S), the others N / k."""
    n, k, draws = problem.rows.shape[0], problem.k, problem.batch
    first, second = jax.random.split(jax.random.fold_in(problem.key, state.batches))
    diverse = subsets.from_spectrum(first, problem.spectrum, k, draws)
    chance = jax.lax.map(lambda key: jax.random.permutation(key, n)[:k], jax.random.split(second, draws))
    greedy = subsets.low_rank(problem.rows, k, problem.kernel, problem.length_scale).pivots
    indices = jnp.stack([diverse.indices, chance, jnp.broadcast_to(greedy[None], (draws, k))])
    even = jnp.full((draws, k), n / k)
    features = problem.features
    mean = features.mean(axis=0)

    def judged(subset):
        chosen, weights = subset
        found = jnp.zeros(_CLASSES).at[jnp.clip(problem.classes[chosen], 0, _CLASSES - 1)].set(1.0).sum()
        return quality(problem, features, mean, chosen, weights), found

    flat = indices.reshape(-1, k), jnp.stack([diverse.weights, even, even]).reshape(-1, k)
    made = jax.tree.map(lambda values: values.reshape(len(WAYS), draws), jax.lax.map(judged, flat))
    judgement, classes = jax.tree.map(
        lambda kept, new: jax.lax.dynamic_update_slice_in_dim(kept, new, state.batches * draws, axis=1),
        (state.quality, state.classes),
        made,
    )
    return Judged(state.batches + 1, judgement, classes, jnp.where(state.batches == 0, indices[:, 0], state.first))


def _done(problem: Comparison, state: Judged) -> Int[Array, ""]:
    whole = state.batches * problem.batch >= problem.size
    return jnp.where(whole, jnp.int32(Reason.CONVERGED), jnp.int32(Reason.RUNNING))


def _measure(problem: Comparison, state: Judged) -> dict[str, Array]:
    return {"draws": (state.batches * problem.batch).astype(float)}


COMPARE = Method(_init, _step, _done, _measure)


class Summary(NamedTuple):
    """What the draws say together, and the first draw of the k-DPP."""

    quality: Quality  # (way, draw)
    cover: Float[Array, " way"]  # mean of the coverage
    error: Float[Array, " way"]  # root mean square of the error of sums with the best weights
    classes: Float[Array, " way"]  # mean number of classes among the chosen
    probability: Float[Array, " N"]  # P(row in S) of the k-DPP; they sum to k
    weights: Float[Array, " k"]  # 1 / P of its first draw
    residual: Float[Array, "step N"]  # what a row adds to its first 0, 1, ..., k rows; see ``subsets.residuals``
    taken: Float[Array, " rank"]  # how probably an eigenvector takes part; they sum to k
    rank: Int[Array, ""]  # of the kernel, to rounding


def summary(problem: Comparison, state: Judged) -> Summary:
    """Means over the draws that were made."""
    made, classes = jax.tree.map(lambda values: values[:, : problem.size], (state.quality, state.classes))
    chance = ensembles.marginals(problem.spectrum, problem.k)
    first = state.first[WAYS.index(DPP)]
    return Summary(
        quality=made,
        cover=jnp.nanmean(made.coverage, axis=1),
        error=jnp.sqrt(jnp.nanmean(made.mmd_best**2, axis=1)),
        classes=jnp.nanmean(classes, axis=1),
        probability=chance,
        weights=1 / chance[first],
        residual=subsets.residuals(problem.rows, first, problem.kernel, problem.length_scale),
        taken=ensembles.eigenvector_probabilities(problem.spectrum.values, problem.k),
        rank=(problem.spectrum.values > 0).sum(),
    )
