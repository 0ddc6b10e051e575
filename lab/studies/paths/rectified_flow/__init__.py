"""Rectified flow (Liu, Gong, Liu, ICLR 2023) as a study: exact fields, reflow on its own pairs, a network beside them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab import paths
from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.paths import metrics, training
from lab.paths.couplings import assignment, cost_matrix
from lab.paths.network import Perceptron
from lab.studies.contract import Choice, DataSource, Mood, Paper, Real, Result, Study, Whole
from lab.studies.paths import path_parts

from . import data as _sets  # noqa: F401  registers them
from . import flow
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

FRAMES = jnp.linspace(0.0, 1.0, 33)
POWERS = (1.0, 1.5, 2.0, 4.0)
FEW = (1, 2, 4, 8, 16, 32)
_NEAR = 1000  # particles that exact distances take, whose time grows with the cube
_SHOWN = 60
_MOST_STEPS = 1024  # of Euler's method
_GRID = 40

SCHEDULES = {
    "linear": paths.Linear(),
    "vp": paths.VP(),
    "sub-vp": paths.SubVP(),
    "constant-speed-vp": paths.ConstantSpeedVP(),
}  # chosen by number, so that one compiled program serves them all


class RectifiedFlow(Study):
    """Flows along the lines between pairs, fitted again to their own pairs until they are straight."""

    slug = "rectified-flow"
    title = "Rectified flow"
    field = "Probability paths"
    paper = Paper(
        "Liu, Gong, Liu",
        "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
        "ICLR",
        2023,
        "https://arxiv.org/abs/2209.03003",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"
    data_options = ("side", "seed")

    data = DataSource(
        "two-mode-pair", doc="a named set of samples, or yours: x, and x0 where the source is not N(0, I)"
    )
    k = Whole(
        1, bounds=(0, flow.ROUNDS), label="rectifications", symbol="k",
        doc="how often the flow is fitted to its own pairs; 0: lines between random pairs, 1: flow matching, 2: one reflow",
    )  # fmt: skip
    euler_steps = Whole(
        1, bounds=(1, _MOST_STEPS), soft=(1, 128), scale="log", label="Euler steps", symbol="K",
        doc="steps of Euler's method from noise to data; one is enough where paths are straight",
    )  # fmt: skip
    bandwidth = Real(
        0.1, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.02, 1), scale="log", label="bandwidth", symbol="h",
        unit="spread of the data",
        doc="width of the mean over pairs that stands for the field from k = 2 on; large values blur the data",
    )  # fmt: skip
    schedule = Choice(
        list(SCHEDULES), label="schedule of the first flow",
        doc="linear: straight lines; vp and sub-vp: the probability flows of diffusions; later flows go along straight lines",
    )  # fmt: skip
    pairs = Whole(
        400, bounds=(2, 100_000), soft=(100, 4000), scale="log", label="pairs", symbol="N", traced=False,
        doc="start and end points that each next flow is fitted to; time grows with their square",
    )  # fmt: skip
    particles = Whole(
        400, bounds=(2, 100_000), soft=(100, 2000), scale="log", label="particles", symbol="n", traced=False, group="more",
        doc="points that are carried along and measured; no field is fitted to them",
    )  # fmt: skip
    train_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", traced=False,
        doc="steps in which a small network learns the same flow; 0: none is trained",
    )  # fmt: skip
    learns = Choice(
        ["flow", "one step"], label="network learns", group="more",
        doc="flow: the velocity of the k-rectified flow; one step: the map from its starts to its ends (distillation)",
    )  # fmt: skip
    units = Whole(
        64, bounds=(1, 1024), soft=(16, 256), scale="log", label="units of the network", traced=False, group="more",
        doc="in each of its three hidden layers",
    )  # fmt: skip
    learning_rate = Real(
        2e-3, bounds=(0, None), inclusive_bounds=(False, True), soft=(1e-4, 1e-2), scale="log", label="learning rate",
        group="more", doc="of the network's optimizer (Adam)",
    )  # fmt: skip
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="to how many pixels a side MNIST is pooled"
    )

    dims: ClassVar = {
        "t": ("time", ""),
        "particle": ("particle", ""),
        "axis": ("coordinate", ""),
        "p": ("power of the cost", ""),
        "few": ("Euler steps", ""),
        "shown": ("particle", ""),
        "iteration": ("rectification", ""),
        "train_step": ("training step", ""),
        "gx": ("x₁", ""),
        "gy": ("x₂", ""),
        "end": ("end", ""),
        "angle": ("angle", ""),
        "sampler": ("sampler", ""),
        "image": ("image", ""),
        "row": ("row", ""),
        "column": ("column", ""),
        "channel": ("channel", ""),
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
        Result("identity_gap", (), "books", "fall of the cost in this round, less S and the V before: 0 for exact fields",
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
               optional=True),
        Result("ellipse", ("end", "angle", "axis"), "position", "one standard deviation of either Gaussian", optional=True),
        Result("images", ("sampler", "image", "row", "column", "channel"), "intensity", "what some particles became",
               optional=True),
        Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", optional=True),
        Result("net", ("t", "particle", "axis"), "position", "the network's particles", optional=True),
        Result("net_w2sq", (), "W₂² of the network", "finely integrated; in one step where it is distilled", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The laws, the plane that is looked at, and what is drawn besides particles."""
        dtype = jnp.zeros(()).dtype
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        source, target = path_parts.source_of(arrays), path_parts.target_of(arrays)
        centre, axes = (x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2].T) if d > 2 else (
            np.zeros(d, dtype), np.eye(d, dtype=dtype)
        )  # fmt: skip
        made: dict[str, Any] = {
            "source": source,
            "target": target,
            "centre": jnp.asarray(centre, dtype),
            "axes": jnp.asarray(axes, dtype),
            "scale": float(np.sqrt(x.var(axis=0).mean())) or 1.0,
        }
        if d == 2 and path_parts.is_known(arrays) and isinstance(source, paths.Mixture):
            xlim, ylim = path_parts.window(source.sample(jax.random.key(0), 2000), x)
            made["gx"], made["gy"] = (jnp.linspace(low, high, _GRID) for low, high in (xlim, ylim))
            if all(isinstance(law, paths.Mixture) and len(law.weights) == 1 for law in (source, target)):
                moments = [law.moments() for law in (source, target)]
                made["ellipse"] = np.stack([flow.ellipse(np.asarray(m), np.asarray(c)) for m, c in moments])
        if "image" in data.axes and np.prod(data.axes["image"]) == d:
            made["image"] = tuple((*data.axes["image"], 1)[:3])
        return made

    def check(self, data: Data) -> None:
        """Between points and points there are only straight lines."""
        super().check(data)
        points = "x0" in data.arrays and "source_centres" not in data.arrays
        if points and not path_parts.is_known(data.arrays) and self.schedule != "linear":
            raise ValueError(
                f"schedule = {self.schedule!r} needs the law of the source or of the data, and of {data.name} both are known "
                "by points only: choose linear"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Rectify k times, then look at the flow, in K Euler steps and finely; train a network where asked to."""
        key = jax.random.key(p.seed)
        source, target = inputs["source"], inputs["target"]
        work = flow.begin(
            key,
            source,
            target,
            flow.OneOf(tuple(SCHEDULES.values()), list(SCHEDULES).index(p.schedule)),
            p.k,
            p.bandwidth * inputs["scale"],
            p.particles,
            p.pairs,
        )
        k, most = (flow.ROUNDS, _MOST_STEPS) if isinstance(work.k + p.euler_steps, Tracer) else (p.k, p.euler_steps)
        run = loop(flow.RECTIFY, work, max_iterations=max(work.steps(k), 1))
        state, reason = run.state, run.reason
        seen = {name: inputs[name] for name in ("gx", "gy") if name in inputs}
        view = flow.View(inputs["centre"], inputs["axes"])
        task = flow.Polygons(work, state, jnp.append(jnp.asarray(p.euler_steps), jnp.asarray(FEW)), FRAMES, view)
        drawn = loop(flow.EULER, task, max_iterations=task.blocks * (sum(FEW) + most))
        w2sq, compared = path_parts.each(loop, path_parts.Distance(), _clouds(task, drawn.state))
        output, ends = _describe(task, drawn.state, w2sq, seen)
        for later in (drawn.reason, compared):
            reason = jnp.where(jnp.asarray(reason) == Reason.CONVERGED, jnp.asarray(later), jnp.asarray(reason))
        if p.train_steps and not (isinstance(run.reason, int) and int(reason) == Reason.STOPPED):
            trained = _train(work, state, p, loop)
            output |= _describe_network(task, trained.average, p.learns == "one step")
            output["curve_loss"] = trained.loss
            reason = jnp.where(jnp.asarray(reason) == Reason.CONVERGED, trained.reason, reason)
        if "image" in inputs:
            output["images"] = ends.reshape(*ends.shape[:2], *inputs["image"])
        if "ellipse" in inputs:
            output["ellipse"] = inputs["ellipse"]
        return output | {"iterations": state.round, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Times of the frames, powers of the costs, numbers of Euler steps."""
        made = {
            "t": np.asarray(FRAMES), "p": list(POWERS), "few": list(FEW),
            "axis": ["x₁", "x₂"][: inputs["axes"].shape[1]] if len(inputs["centre"]) <= 2 else ["first", "second"],
        }  # fmt: skip
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


@jit
def _ends(task: flow.Polygons, drawn: flow.Drawn) -> tuple[Any, Any]:
    """Where Euler's method ends, in K steps and in few, and the polygons; lines between random pairs are not a flow."""
    state, lines = task.state, task.state.round == 0
    ends = jnp.where(lines, state.x[-1][None], drawn.ends)
    return ends, jnp.where(lines, task.view(flow.at_frames(state, FRAMES)), drawn.seen)


@jit
def _clouds(task: flow.Polygons, drawn: flow.Drawn) -> Any:
    """Pairs of clouds to compare, (pairs, 2, n, d): the finely integrated first, the floor last."""
    state, fresh = task.state, task.work.fresh
    kernel = flow.smoothed(state.pairs, task.work.bandwidth)
    near = min(state.x.shape[1], _NEAR)
    x0 = state.x[0][:near]
    distilled = x0 + kernel(0.0, x0).velocity
    few, fresh = _ends(task, drawn)[0][:, :near], fresh[:, :near]
    compared = jnp.concatenate([state.x[-1][None, :near], few, distilled[None], fresh[1:]])
    return jnp.stack([compared, jnp.broadcast_to(fresh[:1], compared.shape)], axis=1)


@jit
def _describe(task: flow.Polygons, drawn: flow.Drawn, w2sq: Any, seen: dict) -> tuple[dict[str, Any], Any]:
    """Everything else that is measured and drawn, and the ends of some particles by each sampler."""
    work, state, shown = task.work, task.state, task.view
    x0, x1, n = state.x[0], state.x[-1], state.x.shape[1]
    near = min(n, _NEAR)
    fresh = work.fresh
    later = state.round > 1
    (last, *few), polygon = _ends(task, drawn)
    before, now = flow.squared(state.before, x0), flow.squared(x1, x0)
    bend = flow.bend(state)
    gap = metrics.mean(jnp.where(state.round > 0, before - now - bend - state.crossing_before, 0.0))
    S, V = metrics.mean(bend), metrics.mean(state.crossing)
    order = assignment(cost_matrix(x0[:near], x1[:near]))
    least = flow.squared(x1[:near][order], x0[:near]).mean()
    sight = flow.effective_pairs(state.pairs, work.bandwidth, (x0 + x1) / 2)
    powers = jnp.asarray(POWERS)[:, None] / 2
    alpha, beta = (z[:, None, None] for z in flow.Switched(later, work.schedule)(FRAMES)[:2])
    output = {
        "square_cost": now.mean(), "S": S.value, "V": V.value, "S_error": S.error, "V_error": V.error,
        "V_before": state.crossing_before.mean(),
        "w2sq_fine": w2sq[0], "w2sq": w2sq[1], "w2sq_steps": w2sq[2 : 2 + len(FEW)], "w2sq_distilled": w2sq[2 + len(FEW)],
        "w2sq_floor": w2sq[3 + len(FEW) :].mean(),
        "sliced_w2sq": metrics.sliced_wasserstein(work.key, last, fresh[0], 64).value,
        "above_optimal": now[:near].mean() / least - 1,
        "identity_gap": gap.value, "identity_error": gap.error,
        "cost": (now[None, :] ** powers).mean(axis=1), "cost_before": (before[None, :] ** powers).mean(axis=1),
        "energy": flow.over_time((state.velocity**2).sum(axis=2), state.times).mean(),
        "neighbours": sight,
        "nfe": jnp.where(later | (work.first is None), 2, 4) * flow.STEPS,
        "curvature": jnp.interp(FRAMES, state.times, metrics.curvature(state.velocity, state.times).value),
        "paths": shown(flow.at_frames(state, FRAMES)),
        "lines": shown(alpha * x0[None] + beta * state.before[None]),
        "euler": polygon, "goal": shown(fresh[0]), "optimal_end": shown(x1[:near][order][:_SHOWN]),
    }  # fmt: skip
    output |= {f"history_{name}": values for name, values in state.history.items()}
    if "gx" in seen:
        gx, gy = jnp.meshgrid(seen["gx"], seen["gy"])
        grid = jnp.stack([gx.ravel(), gy.ravel()], axis=1)
        logs = jax.lax.map(lambda t: flow.log_density(work, state, t, grid), FRAMES)
        output["density"] = jnp.exp(logs).reshape(len(FRAMES), *gx.shape)
    ends = jnp.stack([z[: min(n, 8)] for z in (few[0], last, x1)])
    return output, ends


def _train(work: flow.Work, state: flow.State, p: Any, loop: Loop) -> training.Training:
    """Of a network, for the flow that made the coupling, or for the coupling in one step."""
    one = p.learns == "one step"
    later = jnp.asarray(True) if one else state.round > 1
    pairs = state.pairs if one else state.fitted
    points = work.first is None
    coupled = flow.Coupled(jnp.asarray(points) | later, pairs, work.source, work.target)
    x0 = work.particles.x0
    init, draws = jax.random.split(jax.random.fold_in(work.key, 1 << 21))
    return training.train(
        draws, Perceptron(init, x0.shape[1], p.units, dtype=x0.dtype), coupled, None, flow.Switched(later, work.schedule),
        settings=training.Settings(learning_rate=p.learning_rate, anneal=1.0), steps=p.train_steps, batch=256,
        times=jnp.zeros(1) if one else None, latent=False, loop=loop,
    )  # fmt: skip


@jit
def _describe_network(task: flow.Polygons, network: Any, one: bool) -> dict:
    x0, near = task.state.x[0], min(task.state.x.shape[1], _NEAR)
    if one:
        path = x0[None] + FRAMES[:, None, None] * network(0.0, x0)[None]
    else:
        path = paths.ode(network, x0, steps=2 * (len(FRAMES) - 1)).x[::2]
    return {
        "net": task.view(path),
        "net_w2sq": metrics.squared_wasserstein(path[-1, :near], task.work.fresh[0, :near]),
    }
