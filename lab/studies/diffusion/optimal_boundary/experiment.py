"""Search a start on reference images of a mixture, refine it, and test it on others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab import diffusion
from lab.clustering.mixtures import fitted
from lab.datasets import Data
from lab.diffusion import boundary, grids
from lab.diffusion.boundary import Walk
from lab.diffusion.samplers import DDIM, SAMPLERS
from lab.inverse import metrics
from lab.inverse.beds import Extent, damage
from lab.numerics import Loop, Remembered, first_failure
from lab.numerics.host import placed
from lab.numerics.mixtures import Mixture
from lab.studies.contract import Outputs, Run, out
from lab.studies.diffusion import boundary_search
from lab.studies.diffusion.boundary_search import OfImage, Seen

DAMAGES = ("average", "bicubic", "random mask")
MOST = 256  # pixels of an image
_TRAIN, _LEAST = 2000, 0.02  # images that the prior is fitted to; its minimum variance
_REMEMBERED = Remembered(bytes=64 << 20)
_OF_TWO = "one candidate or one image has no ranks: take two at least"


class Experiment(Outputs):
    """Scores are means over images; lower is better."""

    random: Float[Array, ""] = out("random start", "mean test score of the candidates; lower is better", headline=True)
    searched: Float[Array, ""] = out(
        "searched start",
        "test score of the candidate with the minimum score on the reference images",
        headline=True,
        judge=lambda value, result: "good" if value < float(result.ancestral) else "warn",
    )
    zero: Float[Array, ""] = out(
        "x_T = 0",
        "test score of x_T = 0, which needs no search",
        headline=True,
        judge=lambda value, result: "warn" if value < float(result.searched) else "",
    )
    ancestral: Float[Array, ""] = out(
        "ancestral sampling", "test score of DDPM, with as many denoiser evaluations", headline=True
    )
    gain: Float[Array, ""] = out("gain of the search", "1 - searched / random", headline=True)
    spearman_pairs: Float[Array, ""] | None = out(
        "agreement of two images",
        "mean rank correlation of their scores over candidates",
        headline=True,
        absent=_OF_TWO,
    )
    spearman_halves: Float[Array, ""] | None = out(
        "agreement of halves",
        "rank correlation of the mean scores of two halves of the images",
        headline=True,
        absent=_OF_TWO,
    )
    calls: Float[Array, ""] = out(
        "cost of the search", "denoiser evaluations, K R (N + 1) for one evaluation per step", headline=True
    )
    halving_rank: Int[Array, ""] = out("rank after halving", "rank of the choice of successive halving, from 0")
    refined: Float[Array, ""] | None = out(
        "refined start",
        "test score of the start refined by gradients on the sphere",
        absent="the start was not refined: switch refine on",
    )
    density_agrees: Float[Array, ""] | None = out(
        "density and score", "rank correlation of minus mean log-density and mean score", absent=_OF_TWO
    )
    excluded: Int[Array, ""] = out("left out", "candidates with a score that is not finite")
    score: Float[Array, "by image candidate"] = out("score", "of each candidate on each reference image")
    test_score: Float[Array, "by candidate"] = out("mean test score", "of each candidate")
    way_score: Float[Array, "by way"] = out("mean test score", "of each start")
    best: Int[Array, " tried"] = out("candidate", "with the minimum mean score among the first K")
    size_score: Float[Array, "used tried"] = out("test score", "of the start that R images select among K candidates")
    agreement: Float[Array, " group"] = out("agreement", "rank correlation of the mean scores of two groups of images")
    elsewhere: Float[Array, "damage_used start"] = out("test score", "of the start under each degradation")
    samples: Float[Array, "shown tile row column"] = out("gray value", "of test images")
    line_density: Float[Array, "y place"] = out("density", "of x₀ given y, on a line")
    line_end: Float[Array, "y x_start"] = out("endpoint", "of the flow from each start, on a line")
    line_mode: Float[Array, " y"] = out("mode", "of x₀ given y")
    line_best: Float[Array, " y"] = out("optimal start", "whose endpoint is the mode")


class Own(NamedTuple):
    """What a user supplies instead of the metric or of the sampler, or after the sampler.

    Attributes:
        metric: of two images (H, W), lower is better.
        sampler: a ``Sampler`` that draws nothing.
        decode: from the endpoint (H, W) to the image that is scored.
    """

    metric: Callable[[Any, Any], Any] | None = None
    sampler: Any = None
    decode: Callable[[Any], Any] | None = None


def compute(inputs: "Inputs", p: Any, loop: Loop, warm: Any = None, own: Own = Own()) -> Run[Experiment]:  # noqa: B008
    """Search, refine, and test one start on all images."""
    shape, name = sides(inputs.train.shape, p.pool), decides(p, own)
    references = max(min(p.references, len(inputs.held) // 2), 1)
    tests = max(min(p.tests, len(inputs.held) - references), 1)
    law, fit = _prior(inputs, p.pool, p.modes, loop)
    rows = np.r_[:references, len(inputs.held) - tests : len(inputs.held)]
    numbers, z = p.only("noise", "line_noise", "seed"), _pooled(inputs.held[rows], p.pool)
    made = boundary_search.bed(law, placed(z), Damaged(p.damage, shape), numbers, p.candidates)
    walk, fresh = _walks(made.made, "ddim" if own.sampler is not None else p.sampler, p.steps, shape, own)
    scored = measures(shape, name, own)
    first, others = scored[name], tuple(each for other, each in scored.items() if other != name)
    also = (*others, boundary_search.Density(made.made))
    found = boundary.search(walk, made.starts, (made.z, made.given), made.given, first, also=also, loop=loop)
    reasons, further = [fit, found.reason], ()
    if p.refine:
        start, (shown, known), key = boundary_search.reference(made, found.scores, numbers, references, p.candidates)
        near = boundary.around(walk, start, shown, known, first, key=key, rounds=p.rounds, tries=10, loop=loop)
        slope = boundary.down(walk, start, shown, known, first, steps=5 * p.rounds, loop=loop)
        further, reasons = (near.x, slope.x), [*reasons, near.reason, slope.reason]
    seen = Seen(made, walk, fresh, tuple(scored.values()), found.scores, found.also, further, law, numbers)
    damages = tuple(Damaged(damage, shape) for damage in DAMAGES)
    looked = boundary_search.look(seen, tuple(scored), name, damages, shape, references)
    calls: Any = np.float64(p.candidates * references * walk.evaluations)
    return Run(Experiment(calls=calls, **looked), first_failure(*reasons))


# ---- images --------------------------------------------------------------------------------------------------------


class Inputs(NamedTuple):
    """Gray training and held-out images, from -1 to 1."""

    train: np.ndarray  # (N, H, W)
    held: np.ndarray  # (n, H, W)
    digest: np.ndarray


def inputs(data: Data) -> Inputs:
    """Average the color channels of a set of images."""
    pixels, held = np.asarray(data.arrays["pixels"]), np.asarray(data.arrays["held_out"])
    digest = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)
    chosen = np.flatnonzero(~held)[:_TRAIN]

    def gray(rows: np.ndarray) -> np.ndarray:
        values = rows / 127.5 - 1 if rows.dtype == np.uint8 else rows
        return np.asarray(values, np.float64).mean(axis=1)

    return Inputs(gray(pixels[chosen]), gray(pixels[held]), digest)


def sides(shape: tuple[int, ...], pool: int) -> tuple[int, int]:
    """Height and width after pooling."""
    return shape[-2] // pool, shape[-1] // pool


def _pooled(images: Any, pool: int) -> np.ndarray:
    h, w = sides(images.shape, pool)
    cut = np.asarray(images)[:, : h * pool, : w * pool]
    return cut.reshape(-1, h, pool, w, pool).mean(axis=(2, 4)).reshape(-1, h * w)


def _prior(given: Inputs, pool: int, modes: int, loop: Loop) -> tuple[Mixture, Any]:
    """The mixture prior, cached."""

    def make() -> tuple[Mixture, Any]:
        x = placed(_pooled(given.train, pool))
        found = fitted(x, modes, jax.random.key(0), least=_LEAST, max_iterations=300, loop=loop)
        return found.mixture, found.reason

    key = (bytes(np.asarray(given.digest)), pool, modes, str(jnp.result_type(float)))
    return _REMEMBERED.get(key, make, lambda made: not isinstance(made[1], Tracer) and int(made[1]) == 1)


class Damaged(eqx.Module):
    """The matrix of a degradation by name, for images of this shape."""

    name: str = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray) -> Array:
        made: Any = damage(self.name, (1, *self.shape), Extent(), key)
        return made.matrix(jnp.result_type(float))


# ---- metrics of vectors, and walks ---------------------------------------------------------------------------------


class OfVectors(eqx.Module):
    """A function of images (H, W), as a function of vectors."""

    function: Any = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)

    def __call__(self, *vectors: Array) -> Array:
        found = jnp.asarray(self.function(*(each.reshape(self.shape) for each in vectors)), vectors[0].dtype)
        return found.reshape(-1) if found.ndim else found


def _unlike(x: Array, z: Array) -> Array:
    return 1 - metrics.ssim(x[None], z[None])


def decides(p: Any, own: Own) -> str:
    """The name of the metric of the search."""
    return "own" if own.metric is not None else p.metric


def measures(shape: tuple[int, int], decides: str, own: Own) -> dict[str, Any]:
    """The metrics of a run by name: two, and the metric of the search."""
    found: dict[str, Any] = {"mse": boundary.squared, "perc": boundary.Gradients(*shape)}
    if decides == "1-ssim":
        found["1-ssim"] = OfVectors(_unlike, shape)
    if own.metric is not None:
        found["own"] = OfVectors(own.metric, shape)
    return {name: OfImage(metric) for name, metric in found.items()}


def _walks(law: Any, sampler: str, steps: int, shape: tuple[int, int], own: Own) -> tuple[Walk, Walk]:
    """The sampler of the search, and ancestral sampling with as many denoiser evaluations."""
    noise = diffusion.noise("vp")
    chosen: Any = SAMPLERS[sampler] if own.sampler is None else own.sampler
    decode = None if own.decode is None else OfVectors(own.decode, shape)
    fine = grids.grid(noise, steps * chosen.evaluations)
    return Walk(law, noise, grids.grid(noise, steps), chosen, decode), Walk(law, noise, fine, DDIM(1.0), decode)
