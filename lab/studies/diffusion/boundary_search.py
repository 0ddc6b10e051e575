"""A search over starts on images of a mixture, looked at from all sides: what one start does for all of them.

``bed`` damages images and draws candidates; a search by ``lab.diffusion.boundary`` scores them; ``look`` makes of its scores
the results of the study: starts, halves of the images, numbers of candidates and of images, other degradations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lab.diffusion import boundary, sharing
from lab.diffusion import boundary_theory as theory
from lab.diffusion.boundary import Walk
from lab.diffusion.conditional import Conditional, Given, conditional
from lab.numerics import random
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture
from lab.numerics.values import Values

WAYS = ("random", "searched", "nearby", "by gradients", "zero", "ancestral", "posterior mean")
GROUPS = (1, 2, 5, 10, 25)  # images in a group
ELSEWHERE = ("random", "searched", "zero")
SHOWN, RANDOM = 6, 5  # images and random starts that are shown
ROWS = np.linspace(-2.0, 2.0, 41)  # of y on a line
PLACES, STARTS = np.linspace(-2.0, 2.0, 161), np.linspace(-3.0, 3.0, 121)
LINE = ([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])  # two modes on a line
_FEW = 50  # test images on which a start is used otherwise
_TRIED = 10  # random starts that are used elsewhere


class Bed(NamedTuple):
    """Reference images, then test images, in single precision: what a search needs."""

    made: Conditional
    z: Array  # (R + T, d)
    given: Given
    measured: Array  # (R + T, m)
    mean: Array  # (R + T, d) of the posteriors
    starts: Array  # (K + 1, d), the last one 0


type Damage = Callable[[PRNGKeyArray], Array]
"""The matrix (m, d) of a measurement, drawn by a key where it is random; for one number of pixels d."""


@jit
def bed(law: Mixture, z: Float[Array, "n d"], damage: Damage, p: Values, k: int) -> Bed:
    """The images damaged, and K candidates."""
    noise = jnp.asarray(p.noise, float)
    key, mask, drawn = jax.random.split(_key(p), 3)
    operator = damage(mask)
    made = conditional(law, operator, noise)
    y = z @ operator.T + noise * random.normal(drawn, (len(z), len(operator)))
    given = made.given(y)
    starts = boundary.candidates(key, k, z.shape[1])
    starts = jnp.concatenate([starts, jnp.zeros_like(starts[:1])])
    found = Bed(made, z, given, y, made.mean(given), starts)
    return jax.tree.map(lambda each: each.astype(jnp.float32), found)


def _key(p: Values) -> PRNGKeyArray:
    return jax.random.key(jnp.asarray(p.seed, jnp.uint32))


# ---- metrics of rows (image, what is given of it) ----------------------------------------------------------------------


class OfImage(eqx.Module):
    """A metric of vectors as one of a row of the references."""

    metric: Any

    def __call__(self, x: Array, row: Any) -> Array:
        return self.metric(x, row[0])


class Density(eqx.Module):
    """Minus the log-density of the end given y."""

    made: Conditional

    def __call__(self, x: Array, row: Any) -> Array:
        return -self.made(row[1]).log_density(x[None])[0]


@jit
def reference(made: Bed, scores: Array, p: Values, references: int, k: int) -> tuple[Array, tuple, PRNGKeyArray]:
    """The best candidate on the reference images, these, and a key."""
    mean = scores[:references, :k].mean(axis=0)
    best = jnp.where(jnp.isfinite(mean), mean, jnp.inf).argmin()
    given = jax.tree.map(lambda each: each[:references], made.given)
    return made.starts[best], ((made.z[:references], given), given), jax.random.fold_in(_key(p), 7)


# ---- what is measured and seen -----------------------------------------------------------------------------------------


def counts(k: int) -> np.ndarray:
    """How many of the candidates are looked at, in even steps of the logarithm."""
    return np.unique(np.round(np.geomspace(1, k, 24)).astype(int))


def rows(r: int) -> np.ndarray:
    """How many of the reference images are."""
    return np.unique(np.round(np.geomspace(1, r, 10)).astype(int))


class Seen(NamedTuple):
    """What ``look`` begins with."""

    bed: Bed
    walk: Walk
    fresh: Walk  # with noise drawn on its way, in as many evaluations
    metrics: tuple  # as they are shown
    scores: Array  # (R + T, K + 1) by the metric that decides
    also: Array  # (metrics, R + T, K + 1): by the others in order, minus the log-density
    further: tuple[Array, ...]  # refined starts, or none
    law: Mixture
    p: Values  # noise, line_noise, seed


class _Ready(NamedTuple):
    """The scores by what they are of, and what the parts below begin with."""

    mine: Array  # (R, K) by the metric that decides
    others: Array  # (T, K) by it on test images
    reference: Array  # (metrics, R, K + 1)
    test: Array  # (metrics, T, K + 1)
    density: Array  # (R, K + 1), minus the log-density
    mean: Array  # (K,) of mine
    best: Array
    x: Array  # the start
    z: Array  # test images
    given: Any
    some: tuple[Array, Any]  # the first of them
    keys: Array


@jit
def _ready(seen: Seen, order: tuple[int, ...], chosen: int, r: int) -> _Ready:
    bed, table = seen.bed, jnp.concatenate([seen.scores[None], seen.also])
    scores, k = table[jnp.asarray(order)], table.shape[2] - 1
    mine = scores[chosen, :r, :k]
    mean = mine.mean(axis=0)
    best = jnp.where(jnp.isfinite(mean), mean, jnp.inf).argmin()
    z, given = bed.z[r:], jax.tree.map(lambda each: each[r:], bed.given)
    some = z[:_FEW], jax.tree.map(lambda each: each[:_FEW], given)
    keys = jax.random.split(_key(seen.p), 8)
    parts = scores[chosen, r:, :k], scores[:, :r], scores[:, r:], table[-1][:r]
    return _Ready(mine, *parts, mean, best, bed.starts[best], z, given, some, keys)


def look(
    seen: Seen, names: tuple[str, ...], decides: str, damages: tuple, shape: tuple, references: int
) -> dict[str, Any]:
    """All that is measured and drawn of a search; parts that do not depend on each other are programs of their own.

    Args:
        names: of the metrics; ``decides`` is that which the search was made by.
        damages: a ``Damage`` each, of other measurements.
        shape: height and width of the images.
    """
    chosen, others = names.index(decides), [name for name in names if name != decides]
    order = tuple(0 if name == decides else 1 + others.index(name) for name in names)
    ready = _ready(seen, order, chosen, references)
    output = (
        _of_ways(seen, ready, chosen, shape, references) | _of_search(seen, ready) | _line(seen.p.only("line_noise"))
    )
    there = _elsewhere(seen.bed.starts, seen.walk, seen.law, seen.p, seen.metrics[chosen], ready, damages)
    return output | {"elsewhere": there}


def _wide(found: Any) -> Any:
    """In the precision of all results."""
    return jax.tree.map(lambda each: each.astype(float) if jnp.issubdtype(each.dtype, jnp.floating) else each, found)


@jit
def _of_ways(seen: Seen, ready: _Ready, chosen: int, shape: tuple, r: int) -> dict[str, Array]:
    """Each way to begin on the test images, by all metrics, and as images."""
    made, walk, test, z, given, keys = seen.bed, seen.walk, ready.test, ready.z, ready.given, ready.keys
    k = test.shape[2] - 1

    def judged(ends: Array) -> Array:
        """Metrics (ways, metrics, T) of ends (ways, T, d)."""
        each = jax.vmap(jax.vmap(lambda *pair: jnp.stack([metric(*pair) for metric in seen.metrics])), (0, None))
        return each(ends, (z, given)).swapaxes(1, 2)

    drawn = jax.vmap(seen.fresh.drawn)(
        random.normal(keys[0], z.shape, z.dtype), given, jax.random.split(keys[1], len(z))
    )
    mean_end = made.mean[r:] if walk.decode is None else jax.vmap(walk.decode)(made.mean[r:])
    many = min(RANDOM, k)
    further = [x[None] for x in seen.further]
    begun = jnp.concatenate([made.starts[:many], made.starts[ready.best][None], *further, made.starts[-1:]])
    ends = jax.vmap(lambda x: jax.vmap(lambda row: walk(x, row))(given))(begun)
    new = judged(jnp.stack([*ends[many + 1 : -1], drawn, mean_end]))
    refined = new[:-2] if len(seen.further) else jnp.full((2, *new.shape[1:]), jnp.nan, new.dtype)
    by_way = jnp.concatenate(
        [jnp.stack([_mean_of_finite(test[:, :, :k]), test[:, :, ready.best]]), refined, test[:, :, k][None], new[-2:]]
    )  # (ways, metrics, T)

    score = by_way.mean(axis=2)
    shown = made.measured[r:][:SHOWN]
    if shown.shape[1] * 4 == z.shape[1]:
        shown = jnp.repeat(jnp.repeat(shown.reshape(-1, shape[0] // 2, shape[1] // 2), 2, axis=1), 2, axis=2)
    tiles = [
        shown.reshape(len(shown), -1),
        z,
        *ends[: many + 1],
        *ends[many + 1 + (len(seen.further) > 0) :],
        drawn,
        mean_end,
    ]
    output = {
        "random": score[0, chosen],
        "searched": score[1, chosen],
        "zero": score[4, chosen],
        "ancestral": score[5, chosen],
        "gain": 1 - score[1, chosen] / score[0, chosen],
        "way_score": score.T,
        "test_score": test[:, :, :k].mean(axis=1),
        "samples": jnp.stack([each[: len(shown)] for each in tiles], axis=1).reshape(len(shown), -1, *shape),
    }
    return _wide(output | ({"refined": score[3, chosen]} if further else {}))


@jit
def _of_search(seen: Seen, scores: _Ready) -> dict[str, Array]:
    """The rank agreement of images, and the selections from fewer candidates and images."""
    mine, mean, density = scores.mine, scores.mean, scores.density
    r, k = mine.shape
    tried = jnp.asarray(counts(k))
    alike = sharing.groups(mine, scores.keys[3], (*GROUPS, r // 2))
    output = {
        "excluded": (~jnp.isfinite(seen.scores[:, :k])).any(axis=0).sum(),
        "halving_rank": sharing.halving(mine, max(1, r // 8)).rank,
        "score": scores.reference[:, :, :k],
        "best": jnp.where(jnp.arange(k)[None] < tried[:, None], mean[None], jnp.inf).argmin(axis=1),
        "size_score": sharing.by_size(mine, scores.others, jnp.asarray(rows(r)), tried),
        "agreement": alike[:-1],
    }
    if k > 1:  # one candidate has no ranks
        output["density_agrees"] = sharing.spearman(density[:, :k].mean(axis=0), mean)
    if k > 1 and r > 1:
        output |= {"spearman_pairs": sharing.pairs(mine), "spearman_halves": alike[-1]}
    return _wide(output)


def _mean_of_finite(scores: Array) -> Array:
    """Over candidates (last axis), without those that failed anywhere."""
    known = jnp.isfinite(scores).all(axis=tuple(range(scores.ndim - 1)))
    return jnp.where(known, scores, 0).sum(axis=-1) / known.sum()


@jit
def _elsewhere(starts: Array, walk: Walk, law: Mixture, p: Values, metric: Any, ready: _Ready, damages: tuple) -> Array:
    """Scores of random starts, of x and of 0 where images are damaged otherwise; operators are filled up by rows of zeros."""
    mask, drawn = jax.random.split(ready.keys[5])
    z, x = ready.some[0], ready.x
    d = z.shape[1]
    made = [damage(mask).astype(z.dtype) for damage in damages]
    operators = jnp.stack([jnp.concatenate([each, jnp.zeros((d - len(each), d), z.dtype)]) for each in made])
    starts = jnp.concatenate([starts[: min(_TRIED, len(starts) - 1)], x[None], 0 * x[None]])
    prior, noise = jax.tree.map(lambda each: each.astype(z.dtype), (law, jnp.asarray(p.noise, float)))

    def one(operator: Array) -> Array:
        law = conditional(prior, operator, noise)
        given = law.given(z @ operator.T + noise * random.normal(drawn, z.shape, z.dtype))
        here = Walk(law, walk.noise, walk.times, walk.sampler, walk.decode)
        scores = jax.vmap(lambda x: jax.vmap(lambda z, row: metric(here(x, row), (z, row)))(z, given).mean())(starts)
        return jnp.stack([scores[:-2].mean(), scores[-2], scores[-1]])

    return _wide(jax.lax.map(one, operators))


@jit
def _line(p: Values) -> dict[str, Array]:
    """Two modes on a line as y slides."""
    noise = jnp.asarray(p.line_noise, float)
    weights, means, variances = LINE
    law = theory.on_line(Mixture(weights, means, variances), noise, jnp.asarray(ROWS))
    mode = theory.line_mode(law)
    return {
        "line_density": theory.line_density(law, jnp.asarray(PLACES)),
        "line_end": theory.line_end(law, jnp.asarray(STARTS)),
        "line_mode": mode,
        "line_best": theory.line_start(law, mode),
    }


def tiles(k: int, refined: bool) -> list[str]:
    """What each tile is."""
    refined_too = ["gradients"] if refined else []
    return [
        "measured",
        "truth",
        *(f"random {n + 1}" for n in range(min(RANDOM, k))),
        "searched",
        *refined_too,
        "zero",
        "ancestral",
        "mean",
    ]
