"""Immiscible diffusion (Li et al., NeurIPS 2024, and 2025) as a study: which noise goes with which image, by exact fields."""

import math
import time
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.datasets.samples import check
from lab.numerics import Loop, Reason, pure
from lab.numerics.jit import jit
from lab.paths import couplings, immiscible, metrics, network, training
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Switch, Whole

from . import data as _sets  # noqa: F401  registers them
from . import rules
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .rules import FEW, KEPT, LEVELS, MOST, RULES
from .text import ABOUT, MATHEMATICS

_NUMBERS = 50_000_000  # that the noises of all batches may have
_WEIGHED = 10_000_000  # that all queries may have of points
_GRID = 48  # of the plane of noise
_BINS = 40
_MOMENTS, _IMAGES, _CHECKS = 33, 8, 5
_SAMPLED = 512  # of a network, to measure it


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
        "Improved Immiscible Diffusion: Accelerate Diffusion Training by Reducing Its Miscibility",
        "arXiv",
        2025,
        "https://arxiv.org/abs/2505.18521",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"
    data_options = ("n", "dimension", "side", "seed")

    data = DataSource("three-points", doc="a named set of samples, or yours: x, of at least two points")
    k = Whole(
        4, bounds=(1, 4096), soft=(1, 64), scale="log", label="noises to choose from", symbol="k",
        doc="noises drawn for each image, of which the nearest is taken (nearest); 1 is the usual diffusion",
    )  # fmt: skip
    batch = Whole(
        32, bounds=(1, 4096), soft=(1, 1024), scale="log", label="batch", symbol="B", traced=False,
        doc="images and noises of a batch, assigned to each other (assignment); time grows with its cube",
    )  # fmt: skip
    alpha_bar = Real(
        0.1, bounds=(0, 1), inclusive_bounds=(True, False), soft=(0, 0.98), label="share of the data", symbol="ᾱ",
        doc="share of the data in a noisy image, where it is looked at closely: 0 is pure noise",
    )  # fmt: skip
    scaling = Real(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.5, 4), scale="log", label="image scaling", symbol="c",
        doc="factor of the images: above 1 moves them apart, while the noise stays; under every rule",
    )  # fmt: skip
    euler_steps = Whole(
        8, bounds=(1, MOST), soft=(1, MOST), scale="log", label="Euler steps", symbol="K",
        doc="steps from N(0, I) to images, by the exact velocity under each rule",
    )  # fmt: skip
    n = Whole(
        None, bounds=(2, 100_000), soft=(2, 2000), scale="log", label="images", symbol="N", traced=False, allow_None=True,
        doc=f"how many of the data set, where it can be chosen; auto: all. Assignment has its denoiser up to {FEW}",
    )  # fmt: skip
    draws = Whole(
        500, bounds=(2, 100_000), soft=(50, 2000), scale="log", label="batches", traced=False,
        doc="how many are drawn; each gives a query to the denoisers, and a start to the samplers",
    )  # fmt: skip
    cost = Choice(
        ["norm", "half-squared"], label="cost of assignment",
        doc="norm: |x - n| as in the paper; half-squared: |x - n|²/2, minibatch optimal transport",
    )  # fmt: skip
    dimension = Whole(
        2, bounds=(1, 4096), soft=(1, 4096), scale="log", label="dimension", symbol="d", traced=False, group="more",
        doc="of the set of a few Gaussian points; other sets have their own",
    )  # fmt: skip
    side = Choice(
        ["28", "14", "7"], label="pixels a side", group="more", doc="of MNIST, pooled; other sets have their own"
    )
    timed = Switch(
        False, label="measure the time", group="more", doc="that the rules take for a batch, drawing included, on this machine"
    )  # fmt: skip
    training_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", group="more", traced=False,
        doc="of a small network under each rule, B pairs a step; 0: exact denoisers only",
    )  # fmt: skip
    learning_rate = Real(
        1e-3, bounds=(0, None), inclusive_bounds=(False, True), soft=(1e-4, 1e-2), scale="log", label="learning rate",
        group="more", doc="of the networks' optimizer (Adam)",
    )  # fmt: skip

    dims: ClassVar = {
        "rule": ("rule", ""),
        "t": ("share of the data ᾱ", ""),
        "query": ("query", ""),
        "image": ("image", ""),
        "particle": ("particle", ""),
        "axis": ("coordinate", ""),
        "moment": ("time t", ""),
        "gx": ("n₁", ""),
        "gy": ("n₂", ""),
        "bin": ("|n|²/d", ""),
        "shown": ("query", ""),
        "row": ("row", "pixel"),
        "column": ("column", "pixel"),
        "step": ("training step", ""),
        "check": ("training step", ""),
    }
    results = (
        Result("H_independent", (), "H independent", "miscibility at ᾱ: entropy of which image a noisy one comes from, over "
               "log N; 1: nothing is known", headline=True),
        Result("H_assignment", (), "H assignment", "the same where noise is assigned in batches", headline=True,
               judge=lambda value, result: _less(value, result)),
        Result("H_nearest", (), "H nearest", "the same for the nearest of k noises", headline=True,
               judge=lambda value, result: _less(value, result)),
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
        Result("converged", (), "finished", "whether all batches, levels and steps were computed"),
        Result("territory", ("rule", "gy", "gx"), "image", "likeliest at each noise; in more dimensions on a slice through "
               "0 along the principal axes", optional=True),
        Result("sharpness", ("rule", "gy", "gx"), "probability", "of that image", optional=True),
        Result("denoised", ("rule", "shown", "row", "column"), "intensity", "E[x0 | x_t] at ᾱ, of a few queries",
               optional=True),
        Result("clean", ("rule", "shown", "row", "column"), "intensity", "what these queries come from", optional=True),
        Result("time_ms", ("rule",), "time", "of a batch of each rule, the median of seven", unit="ms", optional=True),
        Result("loss", ("step", "rule"), "loss", "of the network's velocity, on the batch of each step, per dimension",
               optional=True),
        Result("sliced_w2sq", ("check", "rule"), "sliced W₂²", "of 512 samples of the network from the data", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The points, their principal axes, and the bins of squared norms."""
        dtype = jnp.zeros(()).dtype
        x = np.asarray(data.arrays["x"], dtype)
        d = x.shape[1]
        axes = np.eye(d, dtype=dtype)
        if d > 2:
            few = x - x.mean(axis=0)
            axes = np.linalg.svd(few, full_matrices=False)[2][:2].T
            axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)
        seen = np.abs(x @ axes)
        limit = max(3.0, min(1.15 * float(seen.max()), 4.0))
        spread = np.sqrt(2 / d)
        edges = np.linspace(max(0.0, 1 - 7 * spread), 1 + 4 * spread, _BINS + 1)
        shape = data.axes.get("image", ())
        image = np.zeros(shape if len(shape) == 2 and np.prod(shape) == d else (0, 0), np.int8)
        x, axes, limit, edges = (jnp.asarray(each, dtype) for each in (x, axes, limit, edges))
        return Inputs(x, axes, limit, image, edges)

    def check(self, data: Data) -> None:
        """One image has nothing to mix with."""
        check(data.name, data.arrays)
        x = data.arrays["x"]
        if len(np.unique(x, axis=0)) < 2:
            raise ValueError(
                f"{data.name} has one point, {len(x)} times, but miscibility is between points: give at least two"
                if len(x) > 1
                else f"{data.name} has one point, but miscibility is between points: give at least two"
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
        x = inputs.x * jnp.asarray(p.scaling, inputs.x.dtype)
        k = jnp.asarray(p.k, jnp.int32)
        keys = jax.random.split(jax.random.key(p.seed), 3)
        work = rules.Batches(keys[0], x, p.draws, p.batch, p.cost)
        assigned = loop(rules.ASSIGN, work, max_iterations=p.draws)
        drawn, output = _describe(work, assigned.state.order, k, inputs)
        known = rules.Rules(x, k.astype(x.dtype), assigned.state.price, p.cost)
        levels = jnp.append(jnp.asarray(LEVELS, x.dtype), jnp.asarray(p.alpha_bar, x.dtype))
        questions = rules.Queries(known, drawn.query_index, drawn.query_noise, levels)
        asked = loop(rules.ASK, questions, max_iterations=len(LEVELS) + 1)
        start = jax.random.normal(keys[1], (p.draws, x.shape[1]), x.dtype)
        walk = loop(rules.WALK, rules.Walk(known, start, inputs.axes, p.euler_steps), max_iterations=MOST)
        output |= _measured(asked.state, drawn, x, inputs) | _ended(walk.state, p.euler_steps, x)
        output["reason"] = _first(assigned.reason, asked.reason, walk.reason)
        if work.few and x.shape[1] > 1:
            output |= _territories(known, inputs)
        if inputs.image.size:
            shape = (len(RULES), -1, *inputs.image.shape)
            pictures = {
                "denoised": asked.state.found[:, :_IMAGES],
                "clean": x[drawn.query_index[:, :_IMAGES]],
            }
            output |= {name: (each / p.scaling).reshape(shape) for name, each in pictures.items()}
        if p.timed and loop is not pure:
            output["time_ms"] = _times(keys[2], x, p)
        if p.training_steps:
            output |= _trained(keys[2], x, k, p, output["reason"], loop)
        return output

    @classmethod
    def coords(cls, data: Data, inputs: Inputs) -> Mapping[str, Any]:
        """Rules by name, levels and the plane in numbers."""
        d = inputs.x.shape[1]
        edges, side = np.asarray(inputs.edges), np.linspace(-float(inputs.limit), float(inputs.limit), _GRID)
        ab = np.asarray(LEVELS)
        flow = np.sqrt(ab) / (np.sqrt(ab) + np.sqrt(1 - ab))
        made = {
            "rule": list(RULES), "t": ab, "moment": np.linspace(0, 1, _MOMENTS), "bin": (edges[1:] + edges[:-1]) / 2,
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
            "flow_time": ("t", flow, {"long_name": "time of the straight path with the same posterior", "units": ""}),
        }  # fmt: skip
        few = len(inputs.x) <= FEW and d > 1
        return made | ({"gx": side, "gy": side} if few else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """When a number can't be told from chance."""
        error = float(np.nan_to_num(result.H_error_here.values).max())
        if error > 0.05:
            return f"H is known to ±{error:.2f} only: raise the number of batches."
        if float(result.cluster_draws) < 1.5:
            return (
                "Most images were drawn once, so that the cluster distance says nothing: raise the number of batches."
            )
        return ""


def _less(value: float, result: xr.Dataset) -> Mood:
    return "good" if value < 0.95 * float(result.H_independent) else ""


def _first(*reasons: Any) -> Any:
    """The first that is not CONVERGED."""
    found: Any = jnp.int32(Reason.CONVERGED)
    for reason in reversed(reasons):
        found = jnp.where(jnp.asarray(reason) == Reason.CONVERGED, found, reason)
    return found


@jit
def _describe(work: rules.Batches, order: Any, k: Any, inputs: Inputs) -> tuple[rules.Drawn, dict[str, Any]]:
    drawn = rules.draw(work, order, k)
    found = rules.describe(work, drawn, inputs.edges)
    n, d = work.x.shape
    ahead = immiscible.predict(k, d, (work.x**2).sum(axis=1).mean())
    per_image = jnp.asarray(work.draws * work.batch / n, work.x.dtype)
    middle = (inputs.edges[1:] + inputs.edges[:-1]) / 2
    logs = (d / 2 - 1) * jnp.log(d * middle / 2) - d * middle / 2 - jax.scipy.special.gammaln(d / 2)
    return drawn, {
        "reduction": 100 * found.reduction, "reduction_error": 100 * found.reduction_error,
        "saved_assignment": 100 * found.reduction[1], "saved_nearest": 100 * found.reduction[2],
        "norm_drift": 100 * found.norm_drift, "drift_nearest": 100 * found.norm_drift[2], "mean_drift": found.mean_drift,
        "ks": found.ks, "ks_p": found.ks_p, "cluster_dist": found.cluster, "cluster_draws": per_image,
        "cluster_floor": jnp.sqrt(2 * d / per_image), "radius": found.histogram,
        "radius_exact": jnp.exp(logs) * d / 2,
        "reduction_predicted": 100 * ahead.reduction, "norm_drift_predicted": 100 * ahead.norm_shift / d,
        "pair_noise": drawn.query_noise @ inputs.axes, "pair_image": work.x[drawn.query_index] @ inputs.axes,
        "pair_index": drawn.query_index, "image_at": work.x @ inputs.axes, "limit": inputs.limit,
    }  # fmt: skip


@jax.jit
def _measured(asked: rules.Asked, drawn: rules.Drawn, x: Any, inputs: Inputs) -> dict[str, Any]:
    output: dict[str, Any] = {}
    for at, name in enumerate(("H", "collision", "eps_mse")):
        output[name] = asked.values[:-1, at].T
        output[f"{name}_error"] = asked.errors[:-1, at].T
    for at, rule in enumerate(RULES):
        output[f"H_{rule}"] = asked.values[-1, 0, at]
    return output | {
        "H_error_here": asked.errors[-1, 0], "eps_mse_here": asked.values[-1, 2],
        "w": asked.weights, "query_image": drawn.query_index[:, :KEPT],
    }  # fmt: skip


@jax.jit
def _ended(walk: rules.Walked, steps: Any, x: Any) -> dict[str, Any]:
    """Particles at the moments of the film, and where they ended."""
    at = jnp.minimum(jnp.linspace(0, 1, _MOMENTS) * steps, walk.step)
    left = jnp.minimum(jnp.floor(at), MOST - 1).astype(jnp.int32)
    share = (at - left).astype(walk.z.dtype)[None, :, None, None]
    seen = (1 - share) * walk.way[:, left] + share * walk.way[:, left + 1]
    n, q = x.shape[0], walk.z.shape[1]
    spread = ((x - x.mean(axis=0, keepdims=True)) ** 2).sum(axis=1).mean()

    def of(z):
        found = metrics.modes(z, x)
        short = jnp.maximum(found.counts / q - 1 / n, 0).sum()
        return jnp.sqrt((found.distance**2).mean() / spread), short, found.nearest

    miss, short, nearest = jax.lax.map(of, walk.z)
    lost = jnp.isfinite(walk.z).all(axis=(1, 2))
    return {
        "paths": seen.transpose(1, 0, 2, 3).astype(jnp.float32), "end_index": nearest,
        "miss": jnp.where(lost, miss, jnp.nan), "share_error": jnp.where(lost, short, jnp.nan),
        "share_floor": jnp.asarray(_by_chance(n, q), x.dtype),
    }  # fmt: skip


def _by_chance(n: int, q: int) -> float:
    """n E|X - q/n| / (2 q) of a binomial X of q draws with probability 1/n, by de Moivre's formula."""
    above = q // n + 1
    logs = math.lgamma(q + 1) - math.lgamma(above + 1) - math.lgamma(q - above + 1)
    return n * above / q * math.exp(logs - above * math.log(n) + (q - above + 1) * math.log1p(-1 / n))


@jax.jit
def _territories(known: rules.Rules, inputs: Inputs) -> dict[str, Any]:
    """The likeliest image at each noise of the plane, under the rules, and its probability: of pure noise."""
    side = jnp.linspace(-1, 1, _GRID, dtype=known.x.dtype) * inputs.limit
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1) @ inputs.axes.T  # (rows, columns, d)

    def row(z):
        w = known.weights(jnp.broadcast_to(z, (len(RULES), *z.shape)), 0.0, 1.0)
        return w.argmax(axis=-1), w.max(axis=-1)

    owner, sharp = jax.lax.map(row, grid)
    return {"territory": owner.transpose(1, 0, 2), "sharpness": sharp.transpose(1, 0, 2)}


class Ruled(eqx.Module):
    """The coupling of this number in ``RULES``, so that one compiled program serves them all."""

    number: Any
    k: Any
    cost: str = eqx.field(static=True)

    def __call__(self, key: Any, x0: Any, x1: Any, live: Any = None) -> couplings.Pairs:
        each = couplings.Independent(), couplings.Assignment(self.cost), couplings.Nearest(self.k)
        return jax.lax.switch(self.number, [lambda pair=pair: pair(key, x0, x1, live) for pair in each])


def _times(key: Any, x: Any, p: Any) -> np.ndarray:
    """Milliseconds of a batch: of drawing the noise, and of each rule."""
    data = x[jnp.arange(p.batch) % x.shape[0]]
    found = []
    for number in range(len(RULES)):
        pair = Ruled(jnp.int32(number), jnp.asarray(p.k, jnp.int32), p.cost)
        taken = []
        for turn in range(8):
            began = time.perf_counter()
            jax.block_until_ready(_noises(jax.random.fold_in(key, turn), pair, data))
            taken.append(time.perf_counter() - began)
        found.append(1e3 * float(np.median(taken[1:])))  # the first compiles
    return np.array(found)


@jit
def _noises(key: Any, coupling: Any, data: Any) -> Any:
    first, second = jax.random.split(key)
    return coupling(second, jax.random.normal(first, data.shape, data.dtype), data).x0


def _trained(key: Any, x: Any, k: Any, p: Any, before: Any, loop: Loop) -> dict[str, Any]:
    """A network under each rule, of the same first weights and data, measured a few times on the way."""
    first, run, start = jax.random.split(key, 3)
    d = x.shape[1]
    made = (
        network.Perceptron(first, d, width=64, dtype=x.dtype)
        if d <= 2
        else network.Residual(first, d, width=128, dtype=x.dtype)
    )
    settings = training.Settings(learning_rate=p.learning_rate, warmup=50.0, clip=10.0)
    checks = np.unique(np.linspace(0, p.training_steps, _CHECKS + 1).round().astype(int))[1:]
    checks = np.concatenate([np.repeat(checks[:1], _CHECKS - len(checks)), checks])
    z = jax.random.normal(start, (_SAMPLED, d), x.dtype)
    losses, distances, reasons = [], [], [before]
    for number in range(len(RULES)):
        state, done, loss, apart = None, 0, [], []
        for upto in checks:
            found = training.train(
                run, made, paths.standard(d), x, paths.Linear(), Ruled(jnp.int32(number), k, p.cost), settings, steps=int(upto),
                batch=p.batch, latent=False, state=state, loop=loop,
            )  # fmt: skip
            state = found.state
            rows = int(upto) - done
            piece = jnp.asarray(found.loss)[:rows] / d
            loss.append(jnp.pad(piece, (0, rows - piece.size), constant_values=jnp.nan))
            done = int(upto)
            reasons.append(found.reason)
            apart.append(_sliced(start, found.average, z, x))
        losses.append(jnp.concatenate(loss))
        distances.append(jnp.stack(apart))
    return {
        "loss": jnp.stack(losses, axis=1), "sliced_w2sq": jnp.stack(distances, axis=1), "reason": _first(*reasons),
    }  # fmt: skip


@jit
def _sliced(key: Any, net: Any, z: Any, x: Any) -> Any:
    ends = paths.ode(net, z, steps=20, solver="midpoint").end
    return metrics.sliced_wasserstein(key, ends, x, 64).value
