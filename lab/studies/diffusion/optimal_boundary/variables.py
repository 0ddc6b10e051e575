"""The variables of a result of the search over starts: what they are called, and what they are made of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from lab import diffusion
from lab.clustering.mixtures import fitted
from lab.datasets import Data
from lab.diffusion import boundary, grids, sharing
from lab.diffusion import boundary_theory as theory
from lab.diffusion.boundary import Walk
from lab.diffusion.conditional import Conditional, Given, conditional
from lab.diffusion.samplers import DDIM, SAMPLERS
from lab.inverse import metrics
from lab.inverse.beds import Extent, damage
from lab.numerics import Loop, Remembered
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture
from lab.studies.contract import Result

WAYS = ("random", "searched", "nearby", "by gradients", "zero", "ancestral", "posterior mean")
DAMAGES = ("average", "bicubic", "random mask")
USED = (5, 10, 20, 40)  # steps at which the start is used again
GROUPS = (1, 2, 5, 10, 25)  # images in a group
ELSEWHERE = ("random", "searched", "zero")
SHOWN, RANDOM = 6, 5  # images and random starts that are shown
ROWS = np.linspace(-2.0, 2.0, 41)  # of y on a line
PLACES, STARTS = np.linspace(-2.0, 2.0, 161), np.linspace(-3.0, 3.0, 121)
LINE = ([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])  # two modes on a line
MOST = 256  # numbers of an image
_TRAIN, _LEAST = 2000, 0.02  # images that the prior is fitted to; its least variance
_FEW = 50  # test images on which a start is used otherwise
_TRIED = 10  # random starts that are used elsewhere
_REMEMBERED = Remembered(bytes=64 << 20)
_REFINED = "the start was not refined: switch refine on"
_OF_MSE = "it is known of the squared error: choose the metric mse"

RESULTS = (
    Result("random", (), "random start", "mean score of the candidates on the test images; lower is better", headline=True),
    Result("searched", (), "searched start", "score on the test images of the candidate that is best on the reference images",
           headline=True, judge=lambda value, result: "good" if value < float(result.ancestral) else "warn"),
    Result("zero", (), "start at 0", "score of x_T = 0, which needs no search", headline=True,
           judge=lambda value, result: "warn" if value < float(result.searched) else ""),
    Result("ancestral", (), "ancestral sampling", "score with fresh noise on the way (DDPM), in as many steps", headline=True),
    Result("gain", (), "gain of the search", "1 - searched / random", headline=True),
    Result("spearman_pairs", (), "agreement of two images", "mean rank correlation of their scores over candidates",
           headline=True),
    Result("spearman_halves", (), "agreement of halves", "rank correlation of the mean scores of two halves of the images",
           headline=True),
    Result("calls", (), "cost of the search", "evaluations of the denoiser, K R (N + 1) of one that asks once a step",
           headline=True),
    Result("wins", (), "images on which it wins", "share of test images on which it beats the median candidate"),
    Result("regret", (), "regret", "test score of the choice above that of the candidate that is best there"),
    Result("gap_low", (), "least gap to the second",
           "5 % quantile of the bootstrapped gap; above 0 more images change little"),
    Result("halving_share", (), "cost of halving", "walks of successive halving, as a share of all"),
    Result("halving_rank", (), "rank of its choice", "of halving among all candidates, from 0"),
    Result("refined", (), "refined start", "score on the test images of the start improved by gradients on the sphere",
           absent=_REFINED),
    Result("density_agrees", (), "density and score", "rank correlation of minus mean log-density and mean score"),
    Result("effective", (), "effective dimension", "of the mean posterior covariance, (tr C)^2 / tr C^2"),
    Result("excluded", (), "left out", "candidates with a score that is not finite"),
    Result("score", ("by", "image", "candidate"), "score", "of each candidate on each reference image"),
    Result("test_score", ("by", "candidate"), "mean test score", "of each candidate"),
    Result("way_score", ("by", "way"), "mean test score", "of each way to begin"),
    Result("psnr", ("way",), "PSNR", "in dB over the range 2, mean over test images"),
    Result("log_density", ("candidate",), "log-density", "of the end given y, mean over reference images"),
    Result("zero_density", (), "log-density of 0", "of the end of x_T = 0, mean over reference images"),
    Result("best", ("tried",), "candidate", "that is best among the first so many"),
    Result("best_score", ("tried",), "best mean score", "on the reference images"),
    Result("best_test", ("tried",), "test score", "of that candidate"),
    Result("predicted", ("tried",), "predicted", "from levels of 0 and of a random start, by the least of K chi-squares",
           absent=_OF_MSE),
    Result("size_score", ("used", "tried"), "test score", "of the start that so many images choose among so many candidates"),
    Result("agreement", ("group",), "agreement", "rank correlation of the mean scores of two groups of images"),
    Result("reused", ("steps_used",), "test score", "of the start that was found with N steps, used with others"),
    Result("elsewhere", ("damage_used", "start"), "test score", "of the start where the images are damaged otherwise"),
    Result("samples", ("shown", "tile", "row", "column"), "grey value", "of test images"),
    Result("starts", ("begin", "row", "column"), "start", "that was found"),
    Result("line_density", ("y", "place"), "density", "of x₀ given y, on a line"),
    Result("line_end", ("y", "x_start"), "end", "of the flow from each start, on a line"),
    Result("line_mode", ("y",), "mode", "of x₀ given y"),
    Result("line_best", ("y",), "best start", "whose end is the mode"),
    Result("converged", (), "converged", "whether the prior was fitted and all candidates were tried"),
)


class Own(NamedTuple):
    """What a user brings in place of the metric, of the sampler, or after it.

    Attributes:
        metric: of two images (H, W), lower is better.
        sampler: a ``Sampler`` that draws nothing.
        decode: from the end (H, W) to the image that is judged.
    """

    metric: Callable[[Any, Any], Any] | None = None
    sampler: Any = None
    decode: Callable[[Any], Any] | None = None


# ---- the bed ---------------------------------------------------------------------------------------------------------


class Inputs(NamedTuple):
    """Grey images from -1 to 1: to learn from, and held out."""

    train: np.ndarray  # (N, H, W)
    held: np.ndarray  # (n, H, W)
    digest: np.ndarray


def inputs(data: Data) -> Inputs:
    """Of a set of images; colours become their mean."""
    pixels, held = np.asarray(data.arrays["pixels"]), np.asarray(data.arrays["held_out"])
    digest = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)
    chosen = np.flatnonzero(~held)[:_TRAIN]

    def grey(rows: np.ndarray) -> np.ndarray:
        values = rows / 127.5 - 1 if rows.dtype == np.uint8 else rows
        return np.asarray(values, np.float64).mean(axis=1)

    return Inputs(grey(pixels[chosen]), grey(pixels[held]), digest)


def sides(shape: tuple[int, ...], pool: int) -> tuple[int, int]:
    """Height and width after pooling."""
    return shape[-2] // pool, shape[-1] // pool


def _pooled(images: Any, pool: int) -> np.ndarray:
    h, w = sides(images.shape, pool)
    cut = np.asarray(images)[:, : h * pool, : w * pool]
    return cut.reshape(-1, h, pool, w, pool).mean(axis=(2, 4)).reshape(-1, h * w)


def numbers(given: Inputs, p: Any) -> tuple[int, int]:
    """How many reference and test images there are."""
    held = given.held.shape[0]
    references = max(min(p.references, held // 2), 1)
    return references, max(min(p.tests, held - references), 1)


def prior(given: Inputs, pool: int, modes: int, loop: Loop) -> tuple[Mixture, Any]:
    """The mixture that the images are taken to come from, remembered."""

    def make() -> tuple[Mixture, Any]:
        x = jnp.asarray(_pooled(given.train, pool))
        found = fitted(x, modes, jax.random.key(0), least=_LEAST, max_iterations=300, loop=loop)
        return found.mixture, found.reason

    key = (bytes(np.asarray(given.digest)), pool, modes, str(jnp.result_type(float)))
    return _REMEMBERED.get(key, make, lambda made: not isinstance(made[1], Tracer) and int(made[1]) == 1)


def chosen(given: Inputs, pool: int, references: int, tests: int) -> np.ndarray:
    """The first held out images to search on, the last ones to test on."""
    rows = np.r_[:references, given.held.shape[0] - tests : given.held.shape[0]]
    return _pooled(given.held[rows], pool)


class Bed(NamedTuple):
    """Reference images, then test images, in single precision: what a search needs."""

    made: Conditional
    z: Array  # (R + T, d)
    given: Given
    measured: Array  # (R + T, m)
    mean: Array  # (R + T, d) of the posteriors
    starts: Array  # (K + 1, d), the last one 0
    effective: Array


@jit
def bed(law: Mixture, z: Array, shape: tuple[int, int], name: str, noise: Any, seed: Any, k: int) -> Bed:
    """The images damaged, and candidates."""
    key, mask, drawn = jax.random.split(jax.random.key(seed), 3)
    operator = _matrix(name, shape, mask)
    made = conditional(law, operator, noise)
    y = z @ operator.T + noise * jax.random.normal(drawn, (len(z), len(operator)))
    given = made.given(y)
    starts = boundary.candidates(key, k, z.shape[1])
    starts = jnp.concatenate([starts, jnp.zeros_like(starts[:1])])
    found = Bed(made, z, given, y, made.mean(given), starts, theory.effective_dimension(_spectrum(made, given)))
    return jax.tree.map(lambda each: each.astype(jnp.float32), found)


def _matrix(name: str, shape: tuple[int, int], key: Array) -> Array:
    return damage(name, (1, *shape), Extent(), key).matrix(jnp.result_type(float))  # pyright: ignore[reportAttributeAccessIssue]


def _spectrum(made: Conditional, given: Given) -> Array:
    """Eigenvalues of the mean over images of the posterior covariance, which alone decides about a start."""
    weights = jnp.exp(given.log_weights)
    within = jnp.einsum("k,kde,ke,kfe->df", weights.mean(axis=0), made.bases, made.values, made.bases)
    apart = jnp.einsum("kde,nke->nkd", made.bases, given.centres) - made.mean(given)[:, None]
    return jnp.linalg.eigvalsh(within + jnp.einsum("nk,nkd,nke->de", weights, apart, apart) / len(weights))


# ---- metrics of rows (image, what is given of it) ----------------------------------------------------------------------


class OfImage(eqx.Module):
    """A metric of vectors as one of a row of the references."""

    metric: Any

    def __call__(self, x: Array, row: Any) -> Array:
        return self.metric(x, row[0])


class Structure(eqx.Module):
    """1 - SSIM."""

    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, x: Array, z: Array) -> Array:
        return 1 - metrics.ssim(x.reshape(1, *self.shape), z.reshape(1, *self.shape))


class Brought(eqx.Module):
    """A function of two images (H, W)."""

    function: Any = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, x: Array, z: Array) -> Array:
        return jnp.asarray(self.function(x.reshape(self.shape), z.reshape(self.shape)), x.dtype)


class Decoded(eqx.Module):
    """A function of an image (H, W) as one of a vector."""

    function: Any = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return jnp.asarray(self.function(x.reshape(self.shape)), x.dtype).reshape(-1)


class Density(eqx.Module):
    """Minus the log-density of the end given y."""

    made: Conditional

    def __call__(self, x: Array, row: Any) -> Array:
        return -self.made(row[1]).log_density(x[None])[0]


def measures(shape: tuple[int, int], decides: str, own: Own) -> dict[str, Any]:
    """The metrics that are looked at, by name: two, and that which decides."""
    found: dict[str, Any] = {"mse": boundary.squared, "perc": boundary.Gradients(*shape)}
    if decides == "1-ssim":
        found["1-ssim"] = Structure(shape)
    if own.metric is not None:
        found["own"] = Brought(own.metric, shape)
    return {name: OfImage(metric) for name, metric in found.items()}


def walk(made: Bed, sampler: str, steps: int, shape: tuple[int, int], own: Own) -> Walk:
    """h, as it is searched and used."""
    noise = diffusion.noise("vp")
    chosen: Any = SAMPLERS[sampler] if own.sampler is None else own.sampler
    decode = None if own.decode is None else Decoded(own.decode, shape)
    return Walk(made.made, noise, grids.grid(noise, steps), chosen, decode)


@jit
def reference(made: Bed, table: Array, references: int, k: int) -> tuple[Array, tuple]:
    """The best candidate on the reference images, and these."""
    mean = table[0, :references, :k].mean(axis=0)
    best = jnp.where(jnp.isfinite(mean), mean, jnp.inf).argmin()
    given = jax.tree.map(lambda each: each[:references], made.given)
    return made.starts[best], ((made.z[:references], given), given)


@jit
def stacked(*starts: Array) -> Array:
    """Rows."""
    return jnp.stack(starts)


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
    table: Array  # (metrics + 1, R + T, K + 1): that which decides, the others in order, minus the log-density
    further: Array  # (starts, d): refined ones, or none
    law: Mixture
    noise: Any
    line_noise: Any
    seed: Any


@jit
def look(seen: Seen, decides: str, shape: tuple, references: int, own: Own) -> dict[str, Any]:
    """All that is measured and drawn of a search."""
    made, walk, metrics_of = seen.bed, seen.walk, measures(shape, decides, own)
    k, order = len(made.starts) - 1, list(metrics_of)
    chosen, r = order.index(decides), references
    places = [0 if name == decides else 1 + [o for o in order if o != decides].index(name) for name in order]
    table, density = seen.table[jnp.asarray(places)], seen.table[-1]
    reference, test = table[:, :r], table[:, r:]
    mine, others = reference[chosen, :, :k], test[chosen, :, :k]
    mean = mine.mean(axis=0)
    best = jnp.where(jnp.isfinite(mean), mean, jnp.inf).argmin()
    keys = jax.random.split(jax.random.key(seen.seed), 8)
    kept = list(metrics_of.values())
    z, given = made.z[r:], jax.tree.map(lambda each: each[r:], made.given)

    def judged(ends: Array) -> Array:
        """Metrics (ways, metrics, T) of ends (ways, T, d)."""
        each = jax.vmap(jax.vmap(lambda *pair: jnp.stack([metric(*pair) for metric in kept])), (0, None))
        return each(ends, (z, given)).swapaxes(1, 2)

    noisy = Walk(walk.condition, walk.noise, walk.times, DDIM(1.0), walk.decode)
    fresh = jax.random.normal(keys[0], z.shape, z.dtype), given, jax.random.split(keys[1], len(z))
    drawn = jax.vmap(noisy.drawn)(*fresh)
    mean_end = made.mean[r:] if walk.decode is None else jax.vmap(walk.decode)(made.mean[r:])
    many = min(RANDOM, k)
    begun = jnp.concatenate([made.starts[:many], made.starts[best][None], seen.further, made.starts[-1:]])
    ends = jax.vmap(lambda x: jax.vmap(lambda row: walk(x, row))(given))(begun)
    new = judged(jnp.stack([*ends[many + 1 : -1], drawn, mean_end]))
    refined = new[:-2] if len(seen.further) else jnp.full((2, *new.shape[1:]), jnp.nan, new.dtype)
    by_way = jnp.concatenate(
        [jnp.stack([_mean_of_finite(test[:, :, :k]), test[:, :, best]]), refined, test[:, :, k][None], new[-2:]]
    )  # (ways, metrics, T)
    squares = order.index("mse")
    decibel = lambda mse: 10 * jnp.log10(4 / jnp.maximum(mse, 1e-12)).mean()  # noqa: E731
    psnr = jnp.stack([decibel(way[squares]) for way in by_way]).at[0].set(decibel(test[squares, :, :k]))
    score = by_way.mean(axis=2)
    use = sharing.use(others, best)
    gap = sharing.gap(mine, keys[2]).low if k > 1 else jnp.asarray(jnp.nan)
    halved = sharing.halving(mine, max(1, r // 8))
    tried = jnp.asarray(counts(k))
    running = jnp.where(jnp.arange(k)[None] < tried[:, None], mean[None], jnp.inf).argmin(axis=1)
    alike = sharing.groups(mine, keys[3], (*GROUPS, r // 2))
    output: dict[str, Any] = {
        "random": score[0, chosen], "searched": score[1, chosen], "zero": score[4, chosen], "ancestral": score[5, chosen],
        "gain": 1 - score[1, chosen] / score[0, chosen], "spearman_pairs": sharing.pairs(mine),
        "spearman_halves": alike[-1], "wins": use.wins, "regret": jnp.maximum(use.regret, 0), "gap_low": gap,
        "halving_share": halved.walks / mine.size, "halving_rank": halved.rank, "effective": made.effective,
        "density_agrees": sharing.spearman(density[:r, :k].mean(axis=0), mean),
        "score": reference[:, :, :k], "test_score": test[:, :, :k].mean(axis=1), "way_score": score.T, "psnr": psnr,
        "log_density": -density[:r, :k].mean(axis=0), "zero_density": -density[:r, k].mean(),
        "excluded": (~jnp.isfinite(seen.table[0, :, :k])).any(axis=0).sum(), "best": running,
        "best_score": mean[running], "best_test": others.mean(axis=0)[running],
        "size_score": sharing.by_size(mine, others, jnp.asarray(rows(r)), tried),
        "agreement": alike[:-1],
    }
    if decides == "mse":
        share = theory.best_of(tried, made.effective)
        level = reference[squares, :, k].mean()
        output["predicted"] = level + share * (_mean_of_finite(mean[None])[0] - level)
    if seen.further.size:
        output["refined"] = score[3, chosen]
    x = made.starts[best]
    times = jax.vmap(lambda n: grids.padded(walk.noise, n, max(USED)))(jnp.asarray(USED))

    few = slice(0, _FEW)
    some, known = z[few], jax.tree.map(lambda each: each[few], given)

    def again(times: Array) -> Array:
        other = eqx.tree_at(lambda walk: walk.times, walk, times)
        return jax.vmap(lambda z, row: kept[chosen](other(x, row), (z, row)))(some, known).mean()

    output["reused"] = jax.lax.map(again, times)
    output["elsewhere"] = _elsewhere(seen, walk, kept[chosen], some, x, shape, keys[5])
    shown = made.measured[r:][:SHOWN]
    if shown.shape[1] * 4 == made.z.shape[1]:
        shown = jnp.repeat(jnp.repeat(shown.reshape(-1, shape[0] // 2, shape[1] // 2), 2, axis=1), 2, axis=2)
    tiles = [shown.reshape(len(shown), -1), z, *ends[: many + 1], *ends[many + 1 + (len(seen.further) > 0) :], drawn, mean_end]
    output["samples"] = jnp.stack([each[: len(shown)] for each in tiles], axis=1).reshape(len(shown), -1, *shape)
    output |= _line(seen.line_noise)
    found = {"starts": jnp.concatenate([x[None], seen.further]).reshape(-1, *shape)}
    return jax.tree.map(lambda each: each.astype(float) if jnp.issubdtype(each.dtype, jnp.floating) else each, output | found)


def _mean_of_finite(scores: Array) -> Array:
    """Over candidates (last axis), without those that failed anywhere."""
    known = jnp.isfinite(scores).all(axis=tuple(range(scores.ndim - 1)))
    return jnp.where(known, scores, 0).sum(axis=-1) / known.sum()


def _elsewhere(seen: Seen, walk: Walk, metric: Any, z: Array, x: Array, shape: tuple, key: Array) -> Array:
    """Scores of random starts, of x and of 0 where images are damaged otherwise; operators are filled up by rows of zeros."""
    mask, drawn = jax.random.split(key)
    d = z.shape[1]
    made = [_matrix(name, shape, mask).astype(z.dtype) for name in DAMAGES]
    operators = jnp.stack([jnp.concatenate([each, jnp.zeros((d - len(each), d), z.dtype)]) for each in made])
    starts = jnp.concatenate([seen.bed.starts[: min(_TRIED, len(seen.bed.starts) - 1)], x[None], 0 * x[None]])
    prior, noise = jax.tree.map(lambda each: each.astype(z.dtype), (seen.law, seen.noise))

    def one(operator: Array) -> Array:
        law = conditional(prior, operator, noise)
        given = law.given(z @ operator.T + noise * jax.random.normal(drawn, z.shape, z.dtype))
        here = Walk(law, walk.noise, walk.times, walk.sampler, walk.decode)
        scores = jax.vmap(lambda x: jax.vmap(lambda z, row: metric(here(x, row), (z, row)))(z, given).mean())(starts)
        return jnp.stack([scores[:-2].mean(), scores[-2], scores[-1]])

    return jax.lax.map(one, operators)


def tiles(k: int, refined: bool) -> list[str]:
    """What each tile is."""
    refined_too = ["gradients"] if refined else []
    return ["measured", "truth", *(f"random {n + 1}" for n in range(min(RANDOM, k))), "searched", *refined_too, "zero",
            "ancestral", "mean"]


def _line(noise: Any) -> dict[str, Array]:
    """Two modes on a line as y slides."""
    weights, means, variances = LINE
    law = theory.on_line(Mixture(weights, means, variances), noise, jnp.asarray(ROWS))
    mode = theory.line_mode(law)
    return {
        "line_density": theory.line_density(law, jnp.asarray(PLACES)), "line_end": theory.line_end(law, jnp.asarray(STARTS)),
        "line_mode": mode, "line_best": theory.line_start(law, mode),
    }


def coords(shape: tuple[int, int], decides: str, own: Own, output: Mapping[str, Any]) -> dict[str, Any]:
    """Names and numbers of what dimensions count."""
    r, k = output["score"].shape[1:]
    begun = output["starts"].shape[0]
    return {
        "way": list(WAYS), "tried": counts(k), "used": rows(r), "group": list(GROUPS), "steps_used": list(USED),
        "damage_used": list(DAMAGES), "start": list(ELSEWHERE), "tile": tiles(k, begun > 1), "y": ROWS, "place": PLACES,
        "x_start": STARTS, "begin": ["searched", "nearby", "by gradients"][:begun], "by": list(measures(shape, decides, own)),
    }
