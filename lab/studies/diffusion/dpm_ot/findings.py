"""What the pictures of DPM-OT show now."""


import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

_EQUAL = {"DPM-OT": "DPM-OT", "no map": "the sampler without a map", "flow": "the flow", "annealed": "annealed Langevin"}
W2 = Comparison(
    "w2", "W₂ to held-out data", _EQUAL, result="w2", along="way", ours="DPM-OT", best_at={"k": 0},
)
OFF = Comparison("off", "fraction of samples off the modes", _EQUAL, result="off_mode", along="way", share=True, ours="DPM-OT")


def _two(value: float) -> str:
    return number(float(value), 2)


def _newton(result: xr.Dataset) -> str:
    areas = result.newton_areas.isel(newton=[0, -1]).transpose("newton", "site").values
    first, last = np.abs(areas - 1 / areas.shape[1]).sum(axis=1) / 2
    steps = float(result.newton[-1])
    return f"{steps:.0f} step{'s' * (steps != 1)} bring{'s' * (steps == 1)} TV from {_two(first)} to {number(last, 1)}"


def _potential(result: xr.Dataset) -> str:
    angles = result.angles.values
    middle, most = _two(np.median(angles)), _two(angles.max())
    return f"Next to a start planes meet at {middle} rad in the median, at {most} rad at most"


def _angles(result: xr.Dataset) -> str:
    wide, beyond = np.quantile(result.angles.values, 0.9), float((result.singular.values > 0).mean())
    return f"90% of the starts have angles below {_two(wide)} rad; {percent(beyond)} are beyond the threshold"


def _tradeoff(result: xr.Dataset) -> str:
    return W2.finding_by(result, "k")


def _memory(result: xr.Dataset) -> str:
    ordered = result.sortby("k")
    near, fresh = (ordered.nn_to_target.sel(way=way).values for way in ("DPM-OT", "fresh data"))
    k, closer = ordered.k.values, np.flatnonzero(near < fresh)
    if not closer.size:
        return "At no k are samples nearer to a stored point than fresh data"
    share = f"At k = {k[closer[0]]} samples are at {percent(near[closer[0]] / fresh[closer[0]])} of fresh data's distance"
    if closer[-1] + 1 < len(k):
        return f"{share}, from k = {k[closer[-1] + 1]} on they are as far"
    return f"{share}, at k = {k[-1]} at {percent(near[-1] / fresh[-1])}" if len(k) > 1 else share


def _sizes(result: xr.Dataset) -> str:
    ordered = result.sortby("m").isel(m=[0, -1]).sel(way="DPM-OT")
    stored, w2, near = (
        " to ".join(number(value, digits) for value in values.values.tolist())
        for values, digits in ((ordered.m, 4), (ordered.w2, 2), (ordered.nn_to_target, 2))
    )
    return f"From m = {stored} W₂ goes from {w2}, the distance to the nearest from {near}"


def _images(result: xr.Dataset) -> str:
    own, near = (result.images.sel(kind=kind).values for kind in ("where it jumped", "nearest stored"))
    same = np.isclose(own, near).all(axis=(1, 2))
    stay = f"{int(same.sum())} of {same.size} end next to their own target"
    return f"{stay}; mean distance {_two(result.nn_express)} to stored data, {_two(result.nn_fresh)} of held-out data"


def _scatter(result: xr.Dataset) -> str:
    if "off" not in result:
        near = [_two(result.nn_to_target.sel(way=way)) for way in ("DPM-OT", "fresh data")]
        return f"A sample of DPM-OT is {near[0]} from the nearest stored point, fresh data {near[1]}"
    wrong = ((result.mixed + result.off) > 0).mean("particle")
    ours, flow, fresh = (percent(float(wrong.sel(way=way))) for way in ("DPM-OT", "flow", "fresh data"))
    return f"Off or between modes: {ours} of DPM-OT's samples, {flow} of the flow's, {fresh} of fresh data"


def _mixture(result: xr.Dataset) -> str:
    first = result.mmr_by_tau.sortby("level").isel(level=0)
    shares = [f"{way} {percent(float(first.sel(way=way)))}" for way in ("DPM-OT", "flow", "annealed", "fresh data")]
    return f"Samples that two modes claim at τ = {float(first.level):g}: {', '.join(shares)}"


def _filling(result: xr.Dataset) -> str:
    ordered = result.sortby("threshold").sel(way="DPM-OT").squeeze()
    off, theta = np.atleast_1d(ordered.off_mode.values), np.atleast_1d(ordered.threshold.values)
    near = np.atleast_1d(ordered.nn_to_target.values)
    bad = np.flatnonzero(off > 0)
    if not bad.size:
        return f"No sample is off the modes; at θ = {theta[-1]:g} they are {_two(near[-1])} from stored points"
    if not bad[0]:
        return f"{percent(off[0])} of the samples are off the modes at θ = {theta[0]:g}, {percent(off[-1])} at {theta[-1]:g}"
    safe = f"Up to θ = {theta[bad[0] - 1]:g} no sample is off the modes, {_two(near[bad[0] - 1])} from a stored point"
    return f"{safe}; {percent(off[-1])} are at θ = {theta[-1]:g}"


def _convergence(result: xr.Dataset) -> str:
    norm, points = result.grad_norm.values, result.n_points.values
    chance = np.sqrt((1 - 1 / result.sizes["target"]) / points)
    last = np.flatnonzero(np.isfinite(norm / chance))[-max(len(norm) // 10, 1) :]
    if not last.size:
        return "No batch has masses"
    ends, due = float(norm[last].mean()), float(chance[last].mean())
    return f"At the end |w - ν| is {_two(ends)} in a batch, where balanced cells have {_two(due)} by chance"


def _rates(result: xr.Dataset) -> str:
    tv, rate = result.tv.values, result.rate.values
    best, worst = int(np.nanargmin(tv)), int(np.nanargmax(tv))
    least = f"A rate of {rate[best]:g} ends lowest, at TV = {_two(tv[best])} (floor {_two(result.tv_floor[best])})"
    return f"{least}; {rate[worst]:g} ends at {_two(tv[worst])}" if worst != best else least


FINDS = {
    "newton": _newton, "potential": _potential, "tradeoff": _tradeoff, "memory": _memory, "mixture": _mixture,
    "scatter": _scatter, "angles": _angles, "filling": _filling, "sizes": _sizes, "convergence": _convergence,
    "rates": _rates, "images": _images, "table": W2.finding,
}
