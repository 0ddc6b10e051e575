r"""Does one start serve all inputs? Statistics of a table of scores $S_{ik}$, image by candidate, lower is better.

If the ranking of candidates were the same for each image, one row would tell all (``pairs`` = 1). It need not be: for the mean
over many images to pick a good start it is enough that halves of the images agree (``halves`` near 1).
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import NotConverged, random
from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit


@jit
def ranks(scores: Float[Array, "... K"]) -> Float[Array, "... K"]:
    """From 0, the best, to K - 1 in each row; equal ones share the mean of their ranks. NaN comes last."""
    k = scores.shape[-1]
    scores = jnp.where(jnp.isnan(scores), jnp.inf, scores)
    ordered = jnp.sort(scores, axis=-1)
    flat, lines = ordered.reshape(-1, k), scores.reshape(-1, k)
    low = jax.vmap(lambda row, x: jnp.searchsorted(row, x, side="left"))(flat, lines)
    high = jax.vmap(lambda row, x: jnp.searchsorted(row, x, side="right"))(flat, lines)
    return ((low + high - 1) / 2).reshape(scores.shape).astype(scores.dtype)


def _standard(ranked: Array) -> Array:
    apart = ranked - ranked.mean(axis=-1, keepdims=True)
    norm = jnp.sqrt((apart**2).sum(axis=-1, keepdims=True))
    return apart / jnp.where(norm > 0, norm, jnp.nan)


@jit
def spearman(x: Float[Array, " K"], y: Float[Array, " K"]) -> Float[Array, ""]:
    """The rank correlation of two rows; NaN where one is constant."""
    return (_standard(ranks(x)) * _standard(ranks(y))).sum()


@jit
def pairs(scores: Float[Array, "R K"]) -> Float[Array, ""]:
    """The mean rank correlation of two different images; NaN of one image."""
    unit = _standard(ranks(scores))
    r = len(scores)
    return ((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / (r * (r - 1) if r > 1 else jnp.nan)


@jit
def groups(
    scores: Float[Array, "R K"], key: PRNGKeyArray, sizes: tuple[int, ...], draws: int = 32
) -> Float[Array, " sizes"]:
    """The rank correlation of the mean scores of two groups of so many images that have none in common, the mean over random
    ones; NaN where there are not so many."""
    r = len(scores)
    mixed = jnp.argsort(random.uniform(key, (draws, r)), axis=1)
    at = jnp.asarray([min(n, r // 2) for n in sizes]) - 1
    # Each from its own end: what a sum of all leaves over is rounded, and ranks of candidates near each other with it.
    first, last = (jnp.cumsum(scores[each], axis=1)[:, at] for each in (mixed, mixed[:, ::-1]))
    ranked = _standard(ranks(jnp.stack([first, last])))
    found = (ranked[0] * ranked[1]).sum(axis=-1).mean(axis=0)
    return jnp.where(jnp.asarray([1 <= n <= r // 2 for n in sizes]), found, jnp.nan)


def halves(scores: Float[Array, "R K"], key: PRNGKeyArray, draws: int = 32) -> Float[Array, ""]:
    """``groups`` of half of the images each."""
    return groups(scores, key, (len(scores) // 2,), draws)[0]


class Gap(NamedTuple):
    """By how much the best candidate beats the second, with the interval that holds 90% of bootstrapped gaps: images are
    drawn anew. A search may end once ``low`` is above 0."""

    value: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    best: Int[Array, ""]
    second: Int[Array, ""]


def gap(scores: ArrayLike | Sequence, key: PRNGKeyArray, draws: int = 400) -> Gap:
    """By how much the best candidate beats the second on average over images, with a bootstrap interval.

    Args:
        scores: (R, K), image by candidate; a candidate with a score that is not finite is left out.
        key: of the bootstrap.
        draws: of the bootstrap; static.

    Returns:
        a ``Gap``.

    Raises:
        ValueError: fewer than two candidates with finite scores, no image, or fewer than two draws.

    Warns:
        NotConverged: the interval contains 0: on these images the best candidate is not told from the second.
    """
    scores = real("scores", scores, ("R", "K"), finite=False)
    usable = scores.shape[1] if isinstance(scores, Tracer) else int(np.isfinite(np.asarray(scores)).all(axis=0).sum())
    if not scores.shape[0] or usable < 2:
        raise ValueError(
            f"scores of shape {scores.shape} have {usable} candidates with finite scores: at least one image and two such "
            "candidates are needed"
        )
    found = _gap(scores, key, whole("draws", draws, 2))
    if not isinstance(found.low, Tracer) and not float(found.low) > 0:
        warnings.warn(
            f"lab.diffusion.sharing.gap: the best candidate beats the second by {float(found.value):.3g}, but the 90% interval "
            f"from {float(found.low):.3g} to {float(found.high):.3g} contains 0: search on more images",
            NotConverged,
            stacklevel=2,
        )
    return found


@jit
def _gap(scores: Array, key: PRNGKeyArray, draws: int) -> Gap:
    r = scores.shape[0]
    mean = scores.mean(axis=0)
    order = jnp.argsort(jnp.where(jnp.isfinite(mean), mean, jnp.inf), stable=True)
    apart = scores[:, order[1]] - scores[:, order[0]]
    drawn = apart[random.randint(key, (draws, r), 0, r)].mean(axis=1)
    low, high = jnp.quantile(drawn, jnp.asarray([0.05, 0.95], drawn.dtype))
    return Gap(apart.mean(), low, high, order[0], order[1])


class Use(NamedTuple):
    """What a start chosen on some images is worth on others."""

    score: Float[Array, ""]  # its mean there
    random: Float[Array, ""]  # of all candidates: of a start that is drawn
    regret: Float[Array, ""]  # above the candidate that is best there
    wins: Float[Array, ""]  # share of images on which it beats the median candidate


@jit
def use(scores: Float[Array, "T K"], best: ArrayLike) -> Use:
    """Of the candidate with that number, on test images."""
    best = jnp.asarray(best)
    mean = scores.mean(axis=0)
    known = jnp.isfinite(mean)  # a candidate that fails on an image is none
    wins = (scores[:, best] < jnp.nanmedian(jnp.where(known[None], scores, jnp.nan), axis=1)).mean()
    return Use(
        mean[best],
        jnp.nanmean(jnp.where(known, mean, jnp.nan)),
        mean[best] - jnp.nanmin(mean),
        wins.astype(scores.dtype),
    )


@jit
def by_size(
    reference: Float[Array, "R K"], test: Float[Array, "T K"], rows: Int[Array, " r"], counts: Int[Array, " k"]
) -> Float[Array, "r k"]:
    """The mean test score of the start that the first ``rows`` images choose among the first ``counts`` candidates."""
    total = jnp.cumsum(reference, axis=0)[rows - 1]
    allowed = jnp.arange(reference.shape[1])[None] < counts[:, None]
    chosen = jnp.where(allowed[None] & jnp.isfinite(total)[:, None, :], total[:, None, :], jnp.inf).argmin(axis=2)
    return test.mean(axis=0)[chosen]


class Halving(NamedTuple):
    """What successive halving would have done on a table that is known."""

    best: Int[Array, ""]
    walks: Int[Array, ""]
    rank: Int[Array, ""]  # of its choice among all candidates, from 0


@jit
def halving(scores: Float[Array, "R K"], first: int) -> Halving:
    """As ``boundary.search`` with that ``halving``, from its full table."""
    r, k = scores.shape
    total = jnp.cumsum(scores, axis=0)

    def rung(state: tuple) -> tuple:
        alive, rows, walks, kept = state
        order = jnp.argsort(jnp.where(kept & jnp.isfinite(total[rows - 1]), total[rows - 1], jnp.inf), stable=True)
        alive, ahead = jnp.maximum((alive + 1) // 2, 1), jnp.minimum(2 * rows, r)
        return alive, ahead, walks + alive * (ahead - rows), jnp.zeros(k, bool).at[order].set(jnp.arange(k) < alive)

    rows = jnp.int32(min(first, r))
    begun = jnp.int32(k), rows, k * rows, jnp.ones(k, bool)
    _, _, walks, kept = jax.lax.while_loop(lambda state: state[1] < r, rung, begun)
    mean = total[-1] / r
    best = jnp.where(kept & jnp.isfinite(mean), mean, jnp.inf).argmin()
    return Halving(best, walks, (mean < mean[best]).sum(dtype=jnp.int32))
