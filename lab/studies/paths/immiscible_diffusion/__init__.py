"""Immiscible diffusion (Li et al., NeurIPS 2024, and 2025) as a study: which noise goes with which image, by exact fields."""

import time
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data, Needs
from lab.numerics import Loop, first_failure, pure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.paths import chi_squared, immiscible, immiscible_learning, training
from lab.paths import immiscible_denoisers as denoisers
from lab.paths import immiscible_rules as rules
from lab.paths.immiscible_denoisers import KEPT
from lab.paths.immiscible_rules import FEW, RULES
from lab.paths.points import Look, View
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import SOME, positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

LEVELS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)
MOST = 64  # Euler steps
_NUMBERS = 50_000_000  # that the noises of all batches may have
_WEIGHED = 10_000_000  # that all queries may have of points
_GRID = 48  # of the plane of noise
_BINS = 40
_MOMENTS, _IMAGES, _CHECKS = 33, 8, 5
_NO_TERRITORY = "it needs at most 64 images of more than one dimension: choose fewer (images, under n)"
_NO_IMAGES = "the data are no grey images: choose digits or MNIST, data = digit-samples or mnist-samples"
_UNTRAINED = "nothing was trained: set training steps above 0"


def _less(value: float, result: xr.Dataset) -> Mood:
    return "good" if value < 0.95 * float(result.H_independent) else ""


class Inputs(NamedTuple):
    """The data, and the plane that one looks at."""

    x: Any  # (n, d)
    axes: Any  # (d, 2) principal axes; (1, 1) on a line
    limit: Any  # half the side of the window of noise
    image: Any  # (height, width) empty, of images
    edges: Any  # (bins + 1,) of |noise|^2 / d


class ImmiscibleDiffusion(Study):
    """Noise assigned in a batch, or the nearest of k, against noise drawn independently."""

    slug = "immiscible-diffusion"
    title = "Immiscible diffusion"
    field = "Probability paths"
    paper = Paper(
        "Li, Liang, Kondratyuk, Tomizuka, Keutzer, Xu",
        "Improved Immiscible Diffusion: Accelerate Diffusion Training by Reducing Its Miscibility", "arXiv", 2025,
        "https://arxiv.org/abs/2505.18521",
    )
    text = "immiscible_diffusion.md"
    kind = "samples"
    needs = Needs(n=(2, None))
    data_options = ("n", "dimension", "side", "seed")

    data = DataSource("three-points", doc="a named set of samples, or yours: x, of at least two points")
    k = Whole(
        4, bounds=(1, 4096), soft=(1, 64), scale="log", label="noises to choose from", symbol="k",
        doc="noises drawn for each image, of which the nearest is taken (nearest); 1 is the usual diffusion",
    )
    batch = size(
        32, (1, 4096), (1, 1024), label="batch", symbol="B",
        doc="images and noises of a batch, assigned to each other (assignment); time grows with its cube",
    )
    alpha_bar = Real(
        0.1, bounds=(0, 1), inclusive_bounds=(True, False), soft=(0, 0.98), label="share of the data", symbol="ᾱ",
        doc="share of the data in a noisy image, where it is looked at closely: 0 is pure noise",
    )
    scaling = positive(
        1.0, (0.5, 4), label="image scaling", symbol="c",
        doc="factor of the images: above 1 moves them apart, while the noise stays; under every rule",
    )
    euler_steps = Whole(
        8, bounds=(1, MOST), soft=(1, MOST), scale="log", label="Euler steps", symbol="K",
        doc="steps from N(0, I) to images, by the exact velocity under each rule",
    )
    n = size(
        None, (2, 100_000), (2, 2000), label="images", symbol="N", allow_None=True,
        doc=f"how many of the data set, where it can be chosen; auto: all. Assignment has its denoiser up to {FEW}",
    )
    draws = size(
        500, (2, 100_000), (50, 2000), label="batches",
        doc="how many are drawn; each gives a query to the denoisers, and a start to the samplers",
    )
    cost = Choice(
        ["norm", "half-squared"], label="cost of assignment",
        doc="norm: |x - n| as in the paper; half-squared: |x - n|²/2, minibatch optimal transport",
    )
    dimension = size(
        2, (1, 4096), (1, 4096), label="dimension", symbol="d", group="more",
        doc="of the set of a few Gaussian points; other sets have their own",
    )
    side = Choice(
        ["28", "14", "7"], label="pixels a side", group="more", doc="of MNIST, pooled; other sets have their own"
    )
    timed = Switch(
        False, label="measure the time", group="more", doc="that the rules take for a batch, drawing included, on this machine"
    )
    training_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", group="more", traced=False,
        doc="of a small network under each rule, B pairs a step; 0: exact denoisers only",
    )
    learning_rate = positive(
        1e-3, (1e-4, 1e-2), label="learning rate", group="more", when={"training_steps": SOME},
        doc="of the networks' optimizer (Adam)",
    )

    dims: ClassVar = {
        "rule": ("rule", ""), "t": ("share of the data ᾱ", ""), "query": ("query", ""), "shown": ("query", ""),
        "image": ("image", ""), "row": ("row", "pixel"), "column": ("column", "pixel"),
        "particle": ("particle", ""), "axis": ("coordinate", ""), "moment": ("time t", ""),
        "gx": ("n₁", ""), "gy": ("n₂", ""), "bin": ("|n|²/d", ""),
        "step": ("training step", ""), "check": ("training step", ""),
    }
    results = (
        Result("H_independent", (), "H independent", "miscibility at ᾱ: entropy of which image a noisy one comes from, over "
               "log N; 1: nothing is known", headline=True),
        Result("H_assignment", (), "H assignment", "the same where noise is assigned in batches", headline=True,
               judge=_less, undefined="the denoiser under assignment is known for at most 64 images"),
        Result("H_nearest", (), "H nearest", "the same for the nearest of k noises", headline=True,
               judge=_less),
        Result("saved_assignment", (), "nearer by, assignment", "by how much of the mean distance from image to noise",
               unit="%", headline=True),
        Result("saved_nearest", (), "nearer by, nearest", "by how much of the mean distance from image to noise", unit="%",
               headline=True),
        Result("drift_nearest", (), "norm drift, nearest", "E|n|²/d - 1: samplers start from 0, and training does not",
               unit="%", headline=True, judge=lambda value, result: "warn" if float(result.ks_p[2]) < 0.01 else ""),
        Result("H", ("rule", "t"), "H", "miscibility: entropy of the posterior of the image over log N; NaN under "
               f"assignment of more than {FEW} images"),
        Result("H_error", ("rule", "t"), "standard error of H", "over queries"),
        Result("collision", ("rule", "t"), "collision", "E sum w²: 1 where the image is known"),
        Result("collision_error", ("rule", "t"), "standard error of the collision", "over queries"),
        Result("eps_mse", ("rule", "t"), "ε-MSE", "E|E[n|x_t] - n|²/d, the least loss of training"),
        Result("eps_mse_error", ("rule", "t"), "standard error of the ε-MSE", "over queries"),
        Result("H_error_here", ("rule",), "standard error of H", "at ᾱ, over queries"),
        Result("eps_mse_here", ("rule",), "ε-MSE", "at ᾱ"),
        Result("w", ("rule", "query", "image"), "w", "posterior of the images, of some queries at ᾱ"),
        Result("query_image", ("rule", "query"), "image", "that each of these queries comes from"),
        Result("reduction", ("rule",), "nearer by", "1 - E|x - n| / E|x - n random|", unit="%"),
        Result("reduction_error", ("rule",), "standard error", "of the reduction, over batches", unit="%"),
        Result("reduction_predicted", (), "nearer by, predicted", "of the nearest, for many dimensions", unit="%"),
        Result("norm_drift", ("rule",), "norm drift", "E|n|²/d - 1", unit="%"),
        Result("norm_drift_predicted", (), "norm drift, predicted", "of the nearest, for many dimensions", unit="%"),
        Result("mean_drift", ("rule",), "mean drift", "|E n|, of which √(d/pairs) is sampling"),
        Result("ks", ("rule",), "Kolmogorov's statistic", "of |n|² against the chi-square law"),
        Result("ks_p", ("rule",), "p-value", "that N(0, I) has such a statistic"),
        Result("cluster_dist", ("rule",), "cluster distance", "between the mean noises of two images, root mean square, less "
               "what sampling adds"),
        Result("cluster_draws", (), "noises per image", "that the cluster distance was computed from, on average"),
        Result("cluster_floor", (), "sampling floor", "√(2d/M), what M noises per image would add to the cluster distance"),
        Result("radius", ("rule", "bin"), "density", "of |n|²/d"),
        Result("radius_exact", ("bin",), "density", "of |n|²/d under N(0, I)"),
        Result("pair_noise", ("rule", "particle", "axis"), "noise", "some pairs of each rule"),
        Result("pair_image", ("rule", "particle", "axis"), "image", "of these pairs"),
        Result("pair_index", ("rule", "particle"), "image", "number of the image of these pairs"),
        Result("image_at", ("image", "axis"), "image", "where the images are, times c"),
        Result("paths", ("moment", "rule", "particle", "axis"), "position", "from N(0, I), by Euler steps with the exact "
               "velocity under each rule"),
        Result("end_index", ("rule", "particle"), "image", "nearest to where each particle ends"),
        Result("miss", ("rule",), "miss", "root mean square distance of the ends from the nearest image, over that of the "
               "images from their mean"),
        Result("share_error", ("rule",), "misplaced", "share of the samples that would have to go to another image for all "
               "to come alike"),
        Result("share_floor", (), "misplaced by chance", "the same of so many fair draws"),
        Result("limit", (), "half side", "of the window of noise"),
        Result("territory", ("rule", "gy", "gx"), "image", "likeliest at each noise; in more dimensions on a slice through "
               "0 along the principal axes", absent=_NO_TERRITORY),
        Result("sharpness", ("rule", "gy", "gx"), "probability", "of that image", absent=_NO_TERRITORY),
        Result("denoised", ("rule", "shown", "row", "column"), "intensity", "E[x0 | x_t] at ᾱ, of a few queries",
               absent=_NO_IMAGES),
        Result("clean", ("rule", "shown", "row", "column"), "intensity", "what these queries come from", absent=_NO_IMAGES),
        Result("time_ms", ("rule",), "time", "of a batch of each rule, the median of seven", unit="ms",
               absent="no time was measured: set it (measure the time, under more)"),
        Result("loss", ("step", "rule"), "loss", "of the network's velocity, on the batch of each step, per dimension",
               absent=_UNTRAINED),
        Result("sliced_w2sq", ("check", "rule"), "sliced W₂²", "of 512 samples of the network from the data",
               absent=_UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The points, their principal axes, and the bins of squared norms."""
        dtype = jnp.result_type(float)
        x = np.asarray(data.arrays["x"], dtype)
        d = x.shape[1]
        axes = principal_plane(x).axes
        seen = np.abs(x @ axes)
        limit = max(3.0, min(1.15 * float(seen.max()), 4.0))
        spread = np.sqrt(2 / d)
        edges = np.linspace(max(0.0, 1 - 7 * spread), 1 + 4 * spread, _BINS + 1)
        shape = data.axes.get("image", ())
        image = np.zeros(shape if len(shape) == 2 and np.prod(shape) == d else (0, 0), np.int8)
        x, axes, limit, edges = (placed(np.asarray(values, dtype)) for values in (x, axes, limit, edges))
        return Inputs(x, axes, limit, image, edges)

    def check(self, data: Data) -> None:
        """One image, again and again, has nothing to mix with."""
        x = data.arrays["x"]
        if len(np.unique(x, axis=0)) < 2:
            raise ValueError(
                f"{data.name} has one point, {len(x)} times, but miscibility is between points: give at least two"
            )
        super().check(data)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """So that all noises fit into the memory, and that all points are weighed for all queries in a minute."""
        n, d = data.arrays["x"].shape
        noises, weighed = _NUMBERS // (self.batch * d), _WEIGHED // n
        most = max(2, min(noises, weighed))
        if most >= 100_000:
            return {}
        if weighed < noises:
            return {"draws": Limit(2, most, f"as each is weighed against {n:,} points")}
        return {"draws": Limit(2, most, f"which fit into the memory at batch = {self.batch} and d = {d}")}

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Draw batches and pair them by each rule, ask the denoisers at each level of noise, then sample."""
        x, k, weight, levels, starts, keys = _begun(inputs.x, p.only("scaling", "k", "alpha_bar", "seed"), p.draws)
        batches = rules.Batches(keys[0], x, p.draws, p.batch, p.cost)
        assigned = loop(rules.ASSIGN, batches, max_iterations=p.draws)
        paired, output = _paired(batches, assigned.state.order, k, inputs)
        known = denoisers.Denoisers(x, weight, assigned.state.price, p.cost)
        questions = denoisers.Queries(known, paired.query_index, paired.query_noise, levels)
        asked = loop(denoisers.ASK, questions, max_iterations=len(LEVELS) + 1)
        moved = _moved(known, starts, inputs, p.euler_steps, loop)
        output |= _measured(asked.state, paired) | _ended(moved.x, moved.end, known)
        output["share_floor"] = jnp.asarray(denoisers.misplaced_by_chance(x.shape[0], p.draws), x.dtype)
        reasons = [assigned.reason, asked.reason, moved.reason]
        if batches.few and x.shape[1] > 1:
            output |= _territories(known, inputs)
        if inputs.image.size:
            shape = (len(RULES), -1, *inputs.image.shape)
            pictures = {"denoised": asked.state.found[:, :_IMAGES], "clean": x[paired.query_index[:, :_IMAGES]]}
            output |= {name: (pixels / p.scaling).reshape(shape) for name, pixels in pictures.items()}
        if p.timed and loop is not pure:
            output["time_ms"] = _times(keys[1], x, p.batch, k, p.cost)
        if p.training_steps:
            settings = training.Settings(learning_rate=p.learning_rate, warmup=50.0, clip=10.0)
            learned = immiscible_learning.learn(keys[1], x, k, p.cost, settings, p.training_steps, p.batch, _CHECKS, loop)
            output |= {"loss": learned.loss, "sliced_w2sq": learned.distance}
            reasons.append(learned.reason)
        return output | {"reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Rules by name, levels and the plane in numbers."""
        d = inputs.x.shape[1]
        edges, side = np.asarray(inputs.edges), np.linspace(-float(inputs.limit), float(inputs.limit), _GRID)
        ab = np.asarray(LEVELS)
        flow = np.sqrt(ab) / (np.sqrt(ab) + np.sqrt(1 - ab))
        made = {
            "rule": list(RULES), "t": ab, "moment": np.linspace(0, 1, _MOMENTS), "bin": (edges[1:] + edges[:-1]) / 2,
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
            "flow_time": ("t", flow, {"long_name": "time of the straight path with the same posterior", "units": ""}),
        }
        few = len(inputs.x) <= FEW and d > 1
        return made | ({"gx": side, "gy": side} if few else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """When a number can't be told from chance."""
        error = float(np.nan_to_num(result.H_error_here.values).max())
        if error > 0.05:
            return f"H is known to ±{error:.2f} only: raise the number of batches."
        if float(result.cluster_draws) < 1.5:
            return "Most images were drawn once, so that the cluster distance says nothing: raise the number of batches."
        return ""


@jit
def _begun(x: Any, p: Any, draws: int) -> tuple[Any, ...]:
    """The points as they are scaled, k, levels of noise, where particles of each rule begin, and keys."""
    first, second, third = jax.random.split(jax.random.key(p.seed), 3)
    starts = random.normal(second, (draws, x.shape[1]), x.dtype)
    levels = jnp.append(jnp.asarray(LEVELS, x.dtype), jnp.asarray(p.alpha_bar, x.dtype))
    whole = jnp.broadcast_to(starts, (len(RULES), *starts.shape))
    k = jnp.asarray(p.k, jnp.int32)
    return x * jnp.asarray(p.scaling, x.dtype), k, k.astype(x.dtype), levels, whole, (first, third)


@jit
def _paired(batches: rules.Batches, order: Any, k: Any, inputs: Inputs) -> tuple[rules.Paired, dict[str, Any]]:
    """The pairs of each rule, and what became of the noise."""
    paired = rules.pair(batches, order, k)
    found = rules.describe(batches, paired, inputs.edges)
    n, d = batches.x.shape
    ahead = immiscible.predict(k, d, (batches.x**2).sum(axis=1).mean())
    per_image = jnp.asarray(batches.draws * batches.batch / n, batches.x.dtype)
    middle = (inputs.edges[1:] + inputs.edges[:-1]) / 2
    return paired, {
        "reduction": 100 * found.reduction, "reduction_error": 100 * found.reduction_error,
        "saved_assignment": 100 * found.reduction[1], "saved_nearest": 100 * found.reduction[2],
        "norm_drift": 100 * found.norm_drift, "drift_nearest": 100 * found.norm_drift[2], "mean_drift": found.mean_drift,
        "ks": found.ks, "ks_p": found.ks_p, "cluster_dist": found.cluster, "cluster_draws": per_image,
        "cluster_floor": jnp.sqrt(2 * d / per_image), "radius": found.histogram,
        "radius_exact": chi_squared.mean_square_density(middle, d),
        "reduction_predicted": 100 * ahead.reduction, "norm_drift_predicted": 100 * ahead.norm_shift / d,
        "pair_noise": paired.query_noise @ inputs.axes, "pair_image": batches.x[paired.query_index] @ inputs.axes,
        "pair_index": paired.query_index, "image_at": batches.x @ inputs.axes, "limit": inputs.limit,
    }


@jit
def _measured(asked: denoisers.Asked, paired: rules.Paired) -> dict[str, Any]:
    """What the denoisers know, by level, and closely at the last one."""
    output: dict[str, Any] = {}
    for number, name in enumerate(("H", "collision", "eps_mse")):
        output[name] = asked.values[:-1, number].T
        output[f"{name}_error"] = asked.errors[:-1, number].T
    for number, rule in enumerate(RULES):
        output[f"H_{rule}"] = asked.values[-1, 0, number]
    return output | {
        "H_error_here": asked.errors[-1, 0], "eps_mse_here": asked.values[-1, 2],
        "w": asked.weights, "query_image": paired.query_index[:, :KEPT],
    }


def _moved(known: denoisers.Denoisers, start: Any, inputs: Inputs, steps: Any, loop: Loop) -> paths.Carried:
    """Particles by Euler steps with the velocity under each rule, seen along the axes at the moments of the film."""
    look = Look(View(placed(np.zeros(start.shape[-1], start.dtype)), inputs.axes))
    moments = placed(np.linspace(0, 1, _MOMENTS))
    return paths.carry(
        loop, denoisers.Moving(known), start, paths.even(steps, MOST), solver="euler", steps=steps, keep=look, frames=moments
    )


@jit
def _ended(seen: Any, ends: Any, known: denoisers.Denoisers) -> dict[str, Any]:
    """Particles at the moments of the film, and where they ended; NaN under a rule whose denoiser is not known."""
    lost = ~known.are_known[:, None, None]
    found = denoisers.arrivals(jnp.where(lost, jnp.nan, ends), known.x)
    return {
        "paths": jnp.where(lost[None], jnp.nan, seen).astype(jnp.float32), "end_index": found.nearest, "miss": found.miss,
        "share_error": found.misplaced,
    }


@jit
def _territories(known: denoisers.Denoisers, inputs: Inputs) -> dict[str, Any]:
    """The likeliest image at each noise of the plane, under the rules, and its probability."""
    side = jnp.linspace(-1, 1, _GRID, dtype=known.x.dtype) * inputs.limit
    owner, probability = known.owners(jnp.stack(jnp.meshgrid(side, side), axis=-1) @ inputs.axes.T)
    return {"territory": owner, "sharpness": probability}


def _times(key: Any, x: Any, batch: int, k: Any, cost: str) -> np.ndarray:
    """Milliseconds of a batch: of drawing the noise, and of each rule."""
    data = x[jnp.arange(batch) % x.shape[0]]
    found = []
    for number in range(len(RULES)):
        rule, taken = rules.Rule(jnp.int32(number), k, cost), []
        for turn in range(8):
            began = time.perf_counter()
            jax.block_until_ready(_noises(jax.random.fold_in(key, turn), rule, data))
            taken.append(time.perf_counter() - began)
        found.append(1e3 * float(np.median(taken[1:])))  # the first compiles
    return np.array(found)


@jit
def _noises(key: Any, rule: rules.Rule, data: Any) -> Any:
    first, second = jax.random.split(key)
    return rule(second, random.normal(first, data.shape, data.dtype), data).x0
