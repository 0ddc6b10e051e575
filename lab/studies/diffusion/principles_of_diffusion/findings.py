"""What the pictures of the principles of diffusion show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.studies.vocabulary.training import course
from lab.words import number

_SAMPLERS = {
    "euler": "Euler", "heun": "Heun", "edm-heun": "EDM's Heun", "ddim": "DDIM", "dpm-2": "DPM-Solver-2",
    "dpm++2m": "DPM-Solver++ (2M)",
}
_GRIDS = {
    "time": "the grid even in time", "log-snr": "the grid even in log-SNR", "karras": "the Karras grid",
    "quadratic": "the quadratic grid", "change": "the grid even in change",
}
ERROR = Comparison(
    "error", "error after 160 steps", _SAMPLERS, result="errors", along="compared", at={"budget": 160},
)
GRID = Comparison("grid", "sampler error by grid", _GRIDS, result="grid_error", along="grid")


def _spacetime(result: xr.Dataset) -> str:
    t, lines = result.t.values[:, None], result.paths.sel(way="exact flow").values[:, :8, 0]  # those with a chord
    bend = np.abs(lines - (1 - t) * lines[0] - t * lines[-1]).max()
    return f"Flow lines bend up to {number(bend, 2)} off their straight steps, whose ends span {number(np.ptp(lines[-1]), 2)}"


def _fields(result: xr.Dataset) -> str:
    long = np.hypot(*np.moveaxis(result.arrows.sel(kind=["score", "noise"])[[0, -1]].values, -1, 0)).sum(-1)
    first, last = (number(each, 2) for each in long[:, 0] / np.maximum(long[:, 1], 1e-300))
    return f"The score is the predicted noise reversed, times {first} at noise and times {last} at the data"


def _guidance(result: xr.Dataset) -> str:
    run = result.sel(w=result.w.max())
    ours, law = float(run.spread), float(run.spread_tilted)
    told = f"At w = {float(run.w):g} samples spread by {number(ours, 2)}"
    if not np.isfinite(law):
        return f"{told}; the tilted law has no finite mass"
    how = "as wide" if abs(ours / law - 1) < 0.02 else "narrower" if ours < law else "wider"
    return f"{told}, the tilted law by {number(law, 2)}: they are {how}"


def _grids(result: xr.Dataset) -> str:
    if "grid_error" not in result:
        widest = np.abs(np.diff(result.knots.transpose("grid", "knot").values)).max(axis=1)
        return _extremes("The largest step in log(a/s) is {} on the grid {}, and {} on {}", widest, result.grid.values)
    return GRID.finding(result)


def _extremes(text: str, values: np.ndarray, names: np.ndarray) -> str:
    """The least and the most of some values, with their names."""
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        return "No grid leads to finite numbers"
    low, high = there[values[there].argmin()], there[values[there].argmax()]
    least, most = number(values[low], 2), number(values[high], 2)
    return f"All grids are alike: {least} on each" if least == most else text.format(least, names[low], most, names[high])


def _schedules(result: xr.Dataset) -> str:
    here = sweeping.parameters(result)["schedule"]
    half = result.table_log_snr.sel(clock=0.5, method="nearest")
    own, others = float(half.sel(schedule_name=here)), half.drop_sel(schedule_name=here).values
    low, high = number(others.min(), 2), number(others.max(), 2)
    return f"Halfway in time {here} has log(a/s) = {number(own, 2)}, the others {low} to {high}"


def _weights(result: xr.Dataset) -> str:
    weight = result.weight.sel(schedule_name=sweeping.parameters(result)["schedule"])
    spans = {str(kind): float(each.max() / each.min()) for kind, each in weight.groupby("kind") if str(kind) != "data"}
    least, most = min(spans, key=lambda kind: spans[kind]), max(spans, key=lambda kind: spans[kind])
    return f"Weights span {spans[least]:.0e} to 1 for a loss in {least}, {spans[most]:.0e} to 1 for one in {most}"


def _few(result: xr.Dataset) -> str:
    one, most = (float(result.few_w2sq[at]) for at in (0, -1))
    return f"One call ends at W₂² = {number(one, 2)} from fresh data, {int(result.few[-1])} calls at {number(most, 2)}"


def _calls(result: xr.Dataset) -> str:
    one = float(result.few_errors.sel(maker="map")[0])
    told, most = f"One call of {sweeping.parameters(result)['learns']} errs by {number(one, 2)}", int(result.few[-1])
    near = {}
    for name in result.maker.values[1:]:
        reached = np.flatnonzero(result.few_errors.sel(maker=name).values <= one)
        near |= {int(result.few[reached[0]]): str(name)} if reached.size and int(result.few[reached[0]]) not in near else {}
    if not near:
        return f"{told}; no sampler comes as near in {most} calls"
    calls = min(near)
    return f"{told}; {near[calls]} comes as near in {calls} call{'s' * (calls > 1)}"


def _residuals(result: xr.Dataset) -> str:
    means = {str(name): float(result.residual.sel(identity=name).mean(skipna=False)) for name in result.identity.values}
    means = {name: mean for name, mean in means.items() if np.isfinite(mean)}  # the others can't be asked
    if not means:
        return "What is left of the identities is not finite"
    best, worst = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    told = f"Of the {best} identity {number(means[best], 2)} is left on average"
    return told if best == worst else f"{told}, of the {worst} one {number(means[worst], 2)}"


def _training(result: xr.Dataset) -> str:
    return course(result.curve_loss)


FINDS = {
    "spacetime": _spacetime, "fields": _fields, "guidance": _guidance, "grids": _grids, "schedules": _schedules,
    "weights": _weights, "few": _few, "calls": _calls, "residuals": _residuals, "training": _training, "table": ERROR.finding,
}
