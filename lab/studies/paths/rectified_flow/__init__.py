"""Rectified flow (Liu, Gong, Liu, ICLR 2023) as a study: exact fields, reflow on its own pairs, a network beside them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.numerics.window import window
from lab.paths import laws, metrics, rectified
from lab.paths.points import View
from lab.paths.rectified import FEW, POWERS
from lab.paths.schedules import OneOf
from lab.studies.contract import Choice, DataSource, Mood, Paper, Result, Whole
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import UNTRAINED, Trained

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

FRAMES = np.linspace(0.0, 1.0, 33)
_MOST_STEPS = 1024  # of Euler's method
_GRID = 40

SCHEDULES = {
    "linear": paths.Linear(), "vp": paths.VP(), "sub-vp": paths.SubVP(), "constant-speed-vp": paths.ConstantSpeedVP(),
}  # chosen by number, so that one compiled program serves them all


class RectifiedFlow(Trained):
    """Flows along the lines between pairs, fitted again to their own pairs until they are straight."""

    slug = "rectified-flow"
    title = "Rectified flow"
    field = "Probability paths"
    paper = Paper(
        "Liu, Gong, Liu", "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", "ICLR", 2023,
        "https://arxiv.org/abs/2209.03003",
    )
    text = "rectified_flow.md"
    kind = "samples"
    data_options = ("side", "seed")

    data = DataSource(
        "two-mode-pair", doc="a named set of samples, or yours: x, and x0 where the source is not N(0, I)"
    )
    k = Whole(
        1, bounds=(0, rectified.ROUNDS), label="rectifications", symbol="k",
        doc="how often the flow is fitted to its own pairs; 0: lines between random pairs, 1: flow matching, 2: one reflow",
    )
    euler_steps = Whole(
        1, bounds=(1, _MOST_STEPS), soft=(1, 128), scale="log", label="Euler steps", symbol="K",
        doc="steps of Euler's method from noise to data; one is enough where paths are straight",
    )
    bandwidth = positive(
        0.1, (0.02, 1), label="bandwidth", symbol="h", unit="spread of the data",
        doc="width of the mean over pairs that stands for the field from k = 2 on; large values blur the data",
    )
    schedule = Choice(
        list(SCHEDULES), label="schedule of the first flow",
        doc="linear: straight lines; vp and sub-vp: the probability flows of diffusions; later flows go along straight lines",
    )
    pairs = size(
        400, (2, 100_000), (100, 4000), label="pairs", symbol="N",
        doc="start and end points that each next flow is fitted to; time grows with their square",
    )
    particles = size(
        400, (2, 100_000), (100, 2000), label="particles", symbol="n", group="more",
        doc="points that are carried along and measured; no field is fitted to them",
    )
    learns = Choice(
        ["flow", "one step"], label="network learns", group="more", when=TRAINING,
        doc="flow: the velocity of the k-rectified flow; one step: the map from its starts to its ends (distillation)",
    )
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="to how many pixels a side MNIST is pooled"
    )

    dims: ClassVar = {
        "t": ("time", ""), "particle": ("particle", ""), "axis": ("coordinate", ""), "p": ("power of the cost", ""),
        "few": ("Euler steps", ""), "shown": ("particle", ""), "iteration": ("rectification", ""), "gx": ("x₁", ""),
        "gy": ("x₂", ""), "end": ("end", ""), "angle": ("angle", ""), "sampler": ("sampler", ""), "image": ("image", ""),
        "row": ("row", ""), "column": ("column", ""), "channel": ("channel", ""), **Trained.dims,
    }
    results = (
        Result("square_cost", (), "E|Z₁ - Z₀|²", "mean squared distance that the coupling moves a particle", headline=True),
        Result("S", (), "S, bending", "straightness of the flow: 0 where particles go straight at constant speed",
               headline=True, judge=lambda value, result: "good" if value < 1e-3 * float(result.square_cost) else ""),
        Result("V", (), "V, crossing", "of the lines of this coupling: 0 where none cross; by its kernel mean from k = 1 on",
               headline=True),
        Result("w2sq", (), "W₂² after K Euler steps", "squared distance from fresh data, exact", headline=True,
               judge=lambda value, result: _fit(value, result)),
        Result("w2sq_fine", (), "W₂² of the flow", "the same, of the flow integrated finely", headline=True,
               judge=lambda value, result: _fit(value, result)),
        Result("w2sq_floor", (), "W₂² of the data", "of three other samples of the data from the same one: the floor",
               headline=True),
        Result("above_optimal", (), "above optimal", "share by which the cost exceeds that of the optimal coupling of the "
               "same starts and ends", headline=True),
        Result("identity_gap", (), "gap in the books",
               "fall of the cost in this round, less S and the V before: 0 for exact fields",
               headline=True,
               judge=lambda value, result: "good" if abs(value) <= 4 * float(result.identity_error) + 1e-9 else ""),
        Result("identity_error", (), "standard error", "of the books, over particles"),
        Result("S_error", (), "standard error", "of S, over particles"),
        Result("V_error", (), "standard error", "of V, over particles"),
        Result("V_before", (), "V one round before", "crossing of the lines that this flow was fitted to"),
        Result("cost", ("p",), "E|Z₁ - Z₀|ᵖ", "convex costs of the coupling"),
        Result("cost_before", ("p",), "E|X₁ - X₀|ᵖ", "the same one round before"),
        Result("energy", (), "path energy", "integral over time of E|velocity|²"),
        Result("w2sq_distilled", (), "W₂² distilled", "of the kernel mean of this coupling's pairs at t = 0: one step"),
        Result("sliced_w2sq", (), "sliced W₂²", "after K Euler steps, over 64 random directions"),
        Result("w2sq_steps", ("few",), "W₂²", "after a few Euler steps"),
        Result("neighbours", (), "pairs in sight", "pairs of this coupling that the kernel mean sees at a point half way"),
        Result("nfe", (), "evaluations", "of the velocity by the fine integration, for all particles at once"),
        Result("iterations", (), "rectifications", "rounds that were run"),
        Result("converged", (), "converged", "whether all rounds, and the training, were run to their end"),
        Result("curvature", ("t",), "E|Z″|²", "mean squared acceleration: an Euler step of size h errs by h²|Z″|/2"),
        Result("paths", ("t", "particle", "axis"), "position", "the flow; of more than two dimensions on principal axes"),
        Result("lines", ("t", "particle", "axis"), "position", "what the flow was fitted to"),
        Result("euler", ("t", "particle", "axis"), "position", "in K Euler steps"),
        Result("goal", ("particle", "axis"), "position", "fresh points of the data"),
        Result("optimal_end", ("shown", "axis"), "position", "where the optimal coupling of the same ends takes a particle"),
        Result("history_S", ("iteration",), "S", "by round"),
        Result("history_V", ("iteration",), "V", "by round"),
        Result("history_cost", ("iteration",), "E|Z₁ - Z₀|²", "by round"),
        Result("density", ("t", "gy", "gx"), "density", "of the flow at each time; a kernel estimate from k = 2 on",
               absent="the law of these data is not known, or not in the plane: choose Gaussians in the plane"),
        Result("ellipse", ("end", "angle", "axis"), "position", "one standard deviation of either Gaussian",
               absent="source and data are not two Gaussians in the plane: choose crossed-gaussians"),
        Result("images", ("sampler", "image", "row", "column", "channel"), "intensity", "what some particles became",
               absent="the data are no images: choose digits, data = digit-samples"),
        Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", absent=UNTRAINED),
        Result("net", ("t", "particle", "axis"), "position", "the network's particles", absent=UNTRAINED),
        Result("net_w2sq", (), "W₂² of the network", "finely integrated; in one step where it is distilled",
               absent=UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The laws, the plane that is looked at, and what is drawn besides particles."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        source, target = laws.source_of(arrays), laws.target_of(arrays)
        centre, axes = (x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2].T) if d > 2 else (
            np.zeros(d, dtype), np.eye(d, dtype=dtype)
        )
        made: dict[str, Any] = {
            "source": source,
            "target": target,
            "centre": placed(np.asarray(centre, dtype)),
            "axes": placed(np.asarray(axes, dtype)),
            "scale": float(np.sqrt(x.var(axis=0).mean())) or 1.0,
        }
        if d == 2 and laws.is_known(arrays) and isinstance(source, paths.Mixture):
            xlim, ylim = window(source.sample(jax.random.key(0), 2000), x)
            made["gx"], made["gy"] = (placed(np.linspace(low, high, _GRID)) for low, high in (xlim, ylim))
            if all(isinstance(law, paths.Mixture) and len(law.weights) == 1 for law in (source, target)):
                moments = [law.moments() for law in (source, target)]
                made["ellipse"] = np.stack([_ellipse(np.asarray(m), np.asarray(c)) for m, c in moments])
        if "image" in data.axes and np.prod(data.axes["image"]) == d:
            made["image"] = tuple((*data.axes["image"], 1)[:3])
        return made

    def check(self, data: Data) -> None:
        """Between points and points there are only straight lines."""
        super().check(data)
        points = "x0" in data.arrays and "source_centres" not in data.arrays
        if points and not laws.is_known(data.arrays) and self.schedule != "linear":
            raise ValueError(
                f"schedule = {self.schedule!r} needs the law of the source or of the data, and of {data.name} both are known "
                "by points only: choose linear"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Rectify k times, then look at the flow, in K Euler steps and finely; train a network where asked to."""
        schedule = OneOf(tuple(SCHEDULES.values()), list(SCHEDULES).index(p.schedule))
        work = rectified.begin(
            jax.random.key(p.seed), inputs["source"], inputs["target"], schedule, p.k, p.bandwidth * inputs["scale"],
            p.particles, p.pairs,
        )
        run, frames = rectified.rectify(loop, work), placed(FRAMES)
        state, view = run.state, View(inputs["centre"], inputs["axes"])
        drawn = rectified.polygons(loop, work, state, p.euler_steps, view, frames, _MOST_STEPS)
        w2sq, compared = map_rows(loop, metrics.cloud_distance, rectified.clouds(work, state, drawn.ends))
        output = rectified.describe(work, state, drawn, w2sq, view, frames)
        reasons = [run.reason, drawn.reason, compared]
        if p.train_steps and not (isinstance(run.reason, int) and run.reason == Reason.STOPPED):
            one = p.learns == "one step"
            trained = rectified.train(
                loop, work, state, one_step=one, units=p.units, learning_rate=p.learning_rate, steps=p.train_steps
            )
            output |= rectified.describe_network(trained.average, work, state, view, frames, one)
            output["curve_loss"] = trained.loss
            reasons.append(trained.reason)
        if "gx" in inputs:
            output["density"] = rectified.density(work, state, inputs["gx"], inputs["gy"], frames)
        if "image" in inputs:
            ends = jnp.stack([drawn.ends[1], drawn.ends[0], state.x[-1]])[:, :8]
            output["images"] = ends.reshape(*ends.shape[:2], *inputs["image"])
        if "ellipse" in inputs:
            output["ellipse"] = inputs["ellipse"]
        return output | {"iterations": state.round, "reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the frames, powers of the costs, numbers of Euler steps."""
        made = {
            "t": FRAMES, "p": list(POWERS), "few": list(FEW),
            "axis": ["x₁", "x₂"][: inputs["axes"].shape[1]] if len(inputs["centre"]) <= 2 else ["first", "second"],
        }
        if "gx" in inputs:
            made |= {"gx": np.asarray(inputs["gx"]), "gy": np.asarray(inputs["gy"])}
        if "ellipse" in inputs:
            made["end"] = ["source", "data"]
        if "image" in inputs:
            made["sampler"] = ["one Euler step", "K Euler steps", "the flow"]
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where samples miss the data, and what helps."""
        fine, coarse, floor = (float(result[name]) for name in ("w2sq_fine", "w2sq", "w2sq_floor"))
        reflowed, alone = int(result.iterations) > 1, float(result.neighbours) < 2
        sees = f"sees {float(result.neighbours):.1f} pairs at a time"
        if reflowed and alone:
            return (
                f"The kernel {sees}, so that the reflow repeats single pairs: raise the bandwidth or the number of pairs, or "
                "train a network."
            )
        if reflowed and fine > 3 * floor and fine > 0.01 * float(result.square_cost):
            return (
                f"The reflow misses the data: W₂² = {fine:.3g}, and {floor:.3g} is the floor. Lower the bandwidth, take more "
                "pairs, or rectify less often."
            )
        if coarse > 2 * max(fine, floor):
            return (
                f"Euler's steps leave W₂² = {coarse:.3g}, the flow itself {fine:.3g}: raise K, or straighten the flow by "
                "raising k."
            )
        if alone and int(result.iterations):
            return f"The kernel {sees}, so V is not to be trusted: raise the bandwidth or the number of pairs."
        return ""


def _fit(value: float, result: xr.Dataset) -> Mood:
    if not np.isfinite(value):
        return ""  # of a run that was stopped
    return "warn" if value > 4 * float(result.w2sq_floor) else "good"


def _ellipse(mean: np.ndarray, covariance: np.ndarray, points: int = 73) -> np.ndarray:
    """(points, 2) at one standard deviation from the mean of a Gaussian in the plane."""
    angle = np.linspace(0, 2 * np.pi, points)
    return mean + np.stack([np.cos(angle), np.sin(angle)], 1) @ np.linalg.cholesky(covariance).T
