"""The variables of a result of the search over starts: what they are called, and what they are made of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from lab import diffusion
from lab.clustering.mixtures import fitted
from lab.datasets import Data
from lab.diffusion import boundary, grids
from lab.diffusion import boundary_survey as survey
from lab.diffusion.boundary import Walk
from lab.diffusion.boundary_survey import OfImage
from lab.diffusion.samplers import DDIM, SAMPLERS
from lab.inverse import metrics
from lab.inverse.beds import Extent, damage
from lab.numerics import Loop, Remembered
from lab.numerics.host import placed
from lab.numerics.mixtures import Mixture
from lab.studies.contract import Result

DAMAGES = ("average", "bicubic", "random mask")
MOST = 256  # numbers of an image
_TRAIN, _LEAST = 2000, 0.02  # images that the prior is fitted to; its least variance
_REMEMBERED = Remembered(bytes=64 << 20)
_REFINED = "the start was not refined: switch refine on"
_OF_TWO = "one candidate or one image has no ranks: take two at least"
_OF_MSE = "it is known of the squared error: choose the metric mse"

RESULTS = (
    Result("random", (), "random start", "mean score of the candidates on the test images; lower is better", headline=True),
    Result("searched", (), "searched start", "score on the test images of the candidate that is best on the reference images",
           headline=True, judge=lambda value, result: "good" if value < float(result.ancestral) else "warn"),
    Result("zero", (), "start at 0", "score of x_T = 0, which needs no search", headline=True,
           judge=lambda value, result: "warn" if value < float(result.searched) else ""),
    Result("ancestral", (), "ancestral sampling", "score with fresh noise on the way (DDPM), in as many evaluations",
           headline=True),
    Result("gain", (), "gain of the search", "1 - searched / random", headline=True),
    Result("spearman_pairs", (), "agreement of two images", "mean rank correlation of their scores over candidates",
           headline=True, absent=_OF_TWO),
    Result("spearman_halves", (), "agreement of halves", "rank correlation of the mean scores of two halves of the images",
           headline=True, absent=_OF_TWO),
    Result("calls", (), "cost of the search", "evaluations of the denoiser, K R (N + 1) of one that asks once a step",
           headline=True),
    Result("wins", (), "images on which it wins", "share of test images on which it beats the median candidate"),
    Result("regret", (), "regret", "test score of the choice above that of the candidate that is best there"),
    Result("gap_low", (), "least gap to the second",
           "5% quantile of the bootstrapped gap; above 0 more images change little", absent=_OF_TWO),
    Result("halving_share", (), "cost of halving", "walks of successive halving, as a share of all"),
    Result("halving_rank", (), "rank of its choice", "of halving among all candidates, from 0"),
    Result("refined", (), "refined start", "score on the test images of the start improved by gradients on the sphere",
           absent=_REFINED),
    Result("density_agrees", (), "density and score", "rank correlation of minus mean log-density and mean score",
           absent=_OF_TWO),
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
        x = placed(_pooled(given.train, pool))
        found = fitted(x, modes, jax.random.key(0), least=_LEAST, max_iterations=300, loop=loop)
        return found.mixture, found.reason

    key = (bytes(np.asarray(given.digest)), pool, modes, str(jnp.result_type(float)))
    return _REMEMBERED.get(key, make, lambda made: not isinstance(made[1], Tracer) and int(made[1]) == 1)


def chosen(given: Inputs, pool: int, references: int, tests: int) -> np.ndarray:
    """The first held out images to search on, the last ones to test on."""
    rows = np.r_[:references, given.held.shape[0] - tests : given.held.shape[0]]
    return _pooled(given.held[rows], pool)


class Damaged(eqx.Module):
    """The matrix of a damage by name, of images of this shape."""

    name: str = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray) -> Array:
        made: Any = damage(self.name, (1, *self.shape), Extent(), key)
        return made.matrix(jnp.result_type(float))


def damages(shape: tuple[int, int]) -> tuple[Damaged, ...]:
    """All that are looked at."""
    return tuple(Damaged(name, shape) for name in DAMAGES)


# ---- metrics of vectors ------------------------------------------------------------------------------------------------


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


def measures(shape: tuple[int, int], decides: str, own: Own) -> dict[str, Any]:
    """The metrics that are looked at, by name: two, and that which decides."""
    found: dict[str, Any] = {"mse": boundary.squared, "perc": boundary.Gradients(*shape)}
    if decides == "1-ssim":
        found["1-ssim"] = Structure(shape)
    if own.metric is not None:
        found["own"] = Brought(own.metric, shape)
    return {name: OfImage(metric) for name, metric in found.items()}


def walks(law: Any, sampler: str, steps: int, shape: tuple[int, int], own: Own) -> tuple[Walk, Walk]:
    """h, as it is searched and used; and with noise drawn on its way, in as many evaluations."""
    noise = diffusion.noise("vp")
    chosen: Any = SAMPLERS[sampler] if own.sampler is None else own.sampler
    decode = None if own.decode is None else Decoded(own.decode, shape)
    fine = grids.grid(noise, steps * chosen.evaluations)
    return Walk(law, noise, grids.grid(noise, steps), chosen, decode), Walk(law, noise, fine, DDIM(1.0), decode)


def coords(shape: tuple[int, int], decides: str, own: Own, output: Mapping[str, Any]) -> dict[str, Any]:
    """Names and numbers of what dimensions count."""
    r, k = output["score"].shape[1:]
    begun = output["starts"].shape[0]
    return {
        "way": list(survey.WAYS), "tried": survey.counts(k), "used": survey.rows(r), "group": list(survey.GROUPS),
        "steps_used": list(survey.USED), "damage_used": list(DAMAGES), "start": list(survey.ELSEWHERE),
        "tile": survey.tiles(k, begun > 1), "y": survey.ROWS, "place": survey.PLACES, "x_start": survey.STARTS,
        "begin": ["searched", "nearby", "by gradients"][:begun], "by": list(measures(shape, decides, own)),
    }
