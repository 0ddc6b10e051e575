"""Rectify a coupling, follow its flow in a few Euler steps and finely, and measure both."""

from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.paths import metrics, rectified
from lab.paths.points import View
from lab.paths.schedules import VP, ConstantSpeedVP, Linear, OneOf, SubVP
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.vocabulary.training import UNTRAINED

FRAMES = np.linspace(0.0, 1.0, 33)
MOST_STEPS = 1024  # of Euler's method
SCHEDULES = {  # chosen by number, so that one compiled program serves them all
    "linear": Linear(),
    "vp": VP(),
    "sub-vp": SubVP(),
    "constant-speed-vp": ConstantSpeedVP(),
}


def _fits(value: float, result: xr.Dataset) -> Mood:
    if not np.isfinite(value):
        return ""  # of a run that was stopped
    return "warn" if value > 4 * float(result.w2sq_floor) else "good"


def _balances(value: float, result: xr.Dataset) -> Mood:
    return "good" if abs(value) <= 4 * float(result.identity_error) + 1e-9 else ""


class Experiment(Outputs):
    """The coupling and the flow after k rectifications."""

    square_cost: Float[Array, ""] = out(
        "E|Z₁ - Z₀|²", "mean squared displacement between initial sample and endpoint", headline=True
    )
    S: Float[Array, ""] = out(
        "S, bending",
        "straightness of the flow: 0 where particles move straight at constant speed",
        headline=True,
        judge=lambda value, result: "good" if value < 1e-3 * float(result.square_cost) else "",
    )
    V: Float[Array, ""] = out(
        "V, crossing",
        "crossing of the lines of this coupling: 0 where none cross; from k = 1 on estimated with the kernel",
        headline=True,
    )
    w2sq: Float[Array, ""] = out(
        "W₂² after K Euler steps", "exact squared distance to held-out data", headline=True, judge=_fits
    )
    w2sq_fine: Float[Array, ""] = out(
        "W₂² of the flow", "exact squared distance of the finely integrated flow", headline=True, judge=_fits
    )
    w2sq_floor: Float[Array, ""] = out(
        "W₂² of the data", "mean of three other samples of the data: the floor of the measure", headline=True
    )
    above_optimal: Float[Array, ""] = out(
        "above optimal", "relative excess of the cost over the optimal coupling of the same endpoints", headline=True
    )
    identity_gap: Float[Array, ""] = out(
        "balance error",
        "decrease of the cost in this round minus S and the previous V: 0 for exact fields",
        headline=True,
        judge=_balances,
    )
    identity_error: Float[Array, ""] = out("standard error", "standard error of the balance error, over particles")
    S_error: Float[Array, ""] = out("standard error", "standard error of S, over particles")
    V_before: Float[Array, ""] = out("V one round before", "crossing of the lines to which this flow was fitted")
    cost: Float[Array, " p"] = out("E|Z₁ - Z₀|ᵖ", "convex costs of the coupling")
    cost_before: Float[Array, " p"] = out("E|X₁ - X₀|ᵖ", "convex costs one round before")
    energy: Float[Array, ""] = out("path energy", "integral over time of E|velocity|²")
    w2sq_distilled: Float[Array, ""] = out(
        "W₂² distilled", "one step along the kernel mean of the pairs of this coupling at t = 0"
    )
    w2sq_steps: Float[Array, " few"] = out("W₂²", "squared distance to held-out data after a few Euler steps")
    neighbours: Float[Array, ""] = out(
        "pairs in the kernel", "effective number of pairs that the kernel averages at the midpoints of the lines"
    )
    iterations: Int[Array, ""] | None = out("rectifications", "completed rounds")
    converged: Bool[Array, ""] | None = out("converged", "whether all rounds, and the training, were completed")
    paths: Float[Array, "t particle axis"] = out("position", "the flow; above two dimensions, on two principal axes")
    lines: Float[Array, "t particle axis"] = out("position", "the lines to which the flow was fitted")
    euler: Float[Array, "t particle axis"] = out("position", "the flow in K Euler steps")
    goal: Float[Array, "particle axis"] = out("position", "held-out points of the data")
    optimal_end: Float[Array, "shown axis"] = out("position", "endpoint in the optimal coupling of the same endpoints")
    history_S: Float[Array, " iteration"] = out("S", "bending by round")
    history_V: Float[Array, " iteration"] = out("V", "crossing by round")
    history_cost: Float[Array, " iteration"] = out("E|Z₁ - Z₀|²", "cost by round")
    density: Float[Array, "t gy gx"] | None = out(
        "density",
        "density of the flow at each time; from k = 2 on a kernel estimate",
        absent="the distribution of these data is not known, or not in the plane: choose Gaussians in the plane",
    )
    ellipse: Float[Array, "end angle axis"] | None = out(
        "position",
        "points at one standard deviation of each Gaussian",
        absent="source and data are not two Gaussians in the plane: choose crossed-gaussians",
    )
    curve_loss: Float[Array, " train_step"] | None = out(
        "loss", "training loss of the network, on the batch of each step", absent=UNTRAINED
    )
    net_w2sq: Float[Array, ""] | None = out(
        "W₂² of the network", "finely integrated, or in one step where the network is distilled", absent=UNTRAINED
    )


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Rectify k times, follow the flow in K Euler steps and finely, and train a network if requested."""
    schedule = OneOf(tuple(SCHEDULES.values()), list(SCHEDULES).index(p.schedule))
    key, ends, bandwidth = jax.random.key(p.seed), (inputs["source"], inputs["target"]), p.bandwidth * inputs["scale"]
    work = rectified.begin(key, *ends, schedule, p.k, bandwidth, p.particles, p.pairs)
    run, frames = rectified.rectify(loop, work), placed(FRAMES)
    state, view = run.state, View(inputs["center"], inputs["axes"])
    drawn = rectified.polygons(loop, work, state, p.euler_steps, view, frames, MOST_STEPS)
    w2sq, compared = map_rows(loop, metrics.cloud_distance, rectified.clouds(work, state, drawn.ends))
    found = rectified.describe(work, state, drawn, w2sq, view, frames)
    reasons = [run.reason, drawn.reason, compared]
    if p.train_steps and not (isinstance(run.reason, int) and run.reason == Reason.STOPPED):
        one = p.learns == "one step"
        trained = rectified.train(
            loop, work, state, one_step=one, units=p.units, learning_rate=p.learning_rate, steps=p.train_steps
        )
        found["net_w2sq"] = rectified.network_distance(trained.average, work, state, one)
        found["curve_loss"] = trained.loss
        reasons.append(trained.reason)
    if "gx" in inputs:
        found["density"] = rectified.density(work, state, inputs["gx"], inputs["gy"], frames)
    return Run(Experiment(**found, ellipse=inputs.get("ellipse")), first_failure(*reasons), state.round)
