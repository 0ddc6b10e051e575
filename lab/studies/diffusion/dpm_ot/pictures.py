"""The pictures of DPM-OT."""

from typing import Any

import numpy as np
import xarray as xr

from lab.diffusion import expressway_survey as survey
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number

_SHOWN = ("DPM-OT", "no map", "flow", "annealed")
_KEPT = (0, 1, 2, 5, 10, 20, 40)
_NOISE: Any = {"xlabel": "noise, x₁", "ylabel": "noise, x₂"}


def _motion(result: xr.Dataset, at: int) -> Any:
    ways = {way: draw.plane(result.paths.sel(film=way).rename(shown="particle")) for way in map(str, result.film.values)}
    limits = draw.window(ways["DPM-OT"][-1], ways["full"][0], air=0.05)
    titled = {f"{way}, {int(result.nfe.sel(way=way))}": _within(x, *limits) for way, x in ways.items()}
    jumps = "the jump" if result.t[at] < 0.4 else f"the last {sweeping.parameters(result)['k']} steps"
    goals = draw.behind(result.stored.values, ways["DPM-OT"])
    return draw.film(titled, at, goals=goals, limits=limits, note=f"DPM-OT: {jumps}", height=300)


def _within(x: np.ndarray, xlim: tuple[float, float], ylim: tuple[float, float]) -> np.ndarray:
    low, high = np.transpose((xlim, ylim))
    return np.where(((x >= low) & (x <= high)).all(axis=-1, keepdims=True), x, np.nan)


def _space(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """What is seen of the noise."""
    ends = (-2.6, 2.6) if sweeping.parameters(result)["source"] == "gaussian" else (0.0, 1.0)
    return ends, ends


def _balance(result: xr.Dataset, at: int) -> Any:
    mass = result.cell_mass[at].values
    apart, floor = np.abs(mass - 1 / mass.size).sum() / 2, float(survey.floor(mass.size, survey.LOOKED_AT))
    note = f"iteration {int(result.stage[at])}: TV {apart:.2f} (floor {floor:.2f}), {int((mass == 0).sum())} without a point"
    return draw.power_cells(result.heights[at], result.targets, mass * mass.size, *_space(result), note=note, **_NOISE)


def _newton(result: xr.Dataset, at: int) -> Any:
    areas = result.newton_areas[at].values
    tv, sides = number(float(np.abs(areas - 1 / areas.size).sum() / 2), 2), [(0.0, 1.0)] * 2
    note = f"after {float(result.newton[at]):.2g} Newton steps: TV {tv}"
    return draw.power_cells(result.newton_heights[at], result.sites, areas * areas.size, *sides, goals=True, note=note)


def _potential(result: xr.Dataset) -> Any:
    return draw.potential(result.heights[-1], result.targets, *_space(result), **_NOISE)


def _convergence(result: xr.Dataset) -> Any:
    at, points, m = result.iteration.values + 1, result.n_points.values, result.sizes["target"]
    layers = [
        draw.curve(at, result.tv_trace, "TV", color=draw.SOURCE),
        draw.curve(at, result.grad_norm, "|w - ν|", color=draw.TARGET),
        draw.curve(at, survey.floor(m, points), color=draw.SOURCE, dash=True),
        draw.curve(at, np.sqrt((1 - 1 / m) / points), color=draw.TARGET, dash=True),
    ]
    return draw.plot(*layers, logy=True, xlabel="iteration", ylabel="error of a batch's masses", height=320)


def _tradeoff(result: xr.Dataset) -> Any:
    tints = dict(zip(_SHOWN, draw.colours(len(_SHOWN)), strict=True))
    layers = [
        draw.curve(result.nfe.sel(way=way), result.w2.sel(way=way), way, color=tint, markers=True)
        for way, tint in tints.items()
    ]
    for way in ("full", "stored points", "fresh data"):
        layers.append(draw.curve(result.nfe.sel(way="DPM-OT"), result.w2.sel(way=way), way, color=draw.MUTED, dash=True))
    return draw.plot(
        *layers, logx=True, logy=True, xlabel="evaluations of the denoiser", ylabel="W₂ from fresh data", height=360
    )


def _memory(result: xr.Dataset) -> Any:
    near = result.nn_to_target
    lines = {"the one it jumped to": result.from_own, "nearest": near.sel(way="DPM-OT")}
    return draw.over(
        result.k, lines, guides={"fresh data": near.sel(way="fresh data")}, logy=True, ticks=False, xlabel="steps kept, k",
        ylabel="distance from a stored point", height=340,
    )


def _mixture(result: xr.Dataset) -> Any:
    tints = dict(zip(result.way.values, [*draw.colours(result.sizes["way"] - 1), draw.INK], strict=True))
    layers = [
        draw.curve(result.level, 100 * result.mmr_by_tau.sel(way=way), str(way), color=tint, dash=way == "fresh data")
        for way, tint in tints.items() if way not in ("stored points", "full")
    ]
    return draw.plot(*layers, xlabel="τ", ylabel="mixed, %", ylim=(0, None), height=320)


def _scatter(result: xr.Dataset) -> Any:
    panels, stored, look = {}, _flat(result.stored), draw.current()
    wrong = (result.mixed + result.off) > 0 if "off" in result else result.samples[..., 0] * 0 > 0
    limits = draw.window(stored, air=0.35)
    for way in (*_SHOWN, "fresh data"):
        here = wrong.sel(way=way).values
        x, tints = _within(_flat(result.samples.sel(way=way)), *limits), np.where(here, look.warn, look.source)
        panels[f"{way.removesuffix(' data')} {100 * here.mean():.0f}%"] = draw.Panel(x, goal=stored, color=list(tints))
    return draw.particles(panels, *limits, height=400)


def _flat(x: xr.DataArray) -> np.ndarray:
    return x.values if x.shape[1] == 2 else np.c_[x.values, np.zeros(len(x))]


def _angles(result: xr.Dataset) -> Any:
    x, theta, far = _flat(result.starts), result.angles.values, result.singular.values > 0
    tints = draw.ramp((draw.blend(draw.SOURCE, 0.35), draw.current().colour(draw.TARGET)), 64)
    own = [tints[round(63 * share)] for share in np.sqrt(theta / max(float(theta.max()), 1e-9))]
    return draw.plot(
        draw.points(*x[far].T, color=draw.WARN, size=1.6), draw.points(*x.T, color=own, size=0.6), equal=True, height=380,
        note=f"{100 * far.mean():.1f}% beyond the threshold; angles up to {float(theta.max()):.2f} rad", **_NOISE,
    )


def _filling(result: xr.Dataset) -> Any:
    near = result.nn_to_target
    lines = {"off the modes": result.off_mode.sel(way="DPM-OT"), "from stored": near.sel(way="DPM-OT")}
    return draw.over(
        result.threshold, lines, guides={"fresh data from stored": near.sel(way="fresh data")}, ticks=False,
        ylabel="share, or distance", ylim=(0, None), height=320,
    )


def _sizes(result: xr.Dataset) -> Any:
    w2, near = result.w2, result.nn_to_target
    lines = {"W₂ of DPM-OT": w2.sel(way="DPM-OT"), "distance to stored": near.sel(way="DPM-OT")}
    guides = {"of stored points": w2.sel(way="stored points"), "of fresh data": near.sel(way="fresh data")}
    tints = dict(zip(guides, draw.colours(2), strict=True))
    return draw.over(result.m, lines, guides=guides, colors=tints, logx=True, logy=True, ylabel="distance", height=320)


def _rates(result: xr.Dataset) -> Any:
    return draw.over(
        result.rate, {"TV": result.tv}, guides={"floor": result.tv_floor}, ylim=(0, None), ylabel="TV of the cells", height=300,
    )


def _images(result: xr.Dataset) -> Any:
    return draw.mosaic(result.images.values, rows=[str(kind) for kind in result.kind.values])


def _table(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"way": [str(way) for way in result.way.values], "evaluations": result.nfe.values}
    columns |= {"W₂": result.w2.values, "to the stored": result.nn_to_target.values}
    if "mmr" in result:
        columns |= {"mixed, %": 100 * result.mmr.values, "off, %": 100 * result.off_mode.values}
    return draw.table(columns)


PICTURES = Pictures(
    Picture("motion", "The expressway and plain sampling", "The stored points, faint, and samples on their way, with the "
            "evaluations of each, on the scale of the data. DPM-OT jumps first.", _motion, plays="t"),
    Picture("balance", "Cells that balance", "The noise, cut into a cell for each target: blue has too little mass, orange too "
            "much, grey is right. Play the iterations.", _balance, needs=("heights",), plays="stage"),
    Picture("newton", "Balanced exactly", "Some stored points in the square: cells, and lines to the points that they go to, "
            "on Newton's way to equal areas.", _newton, needs=("newton_heights",), plays="newton"),
    Picture("potential", "The potential and its ridges", "Shade: Brenier's potential over the noise. Lines: where the map "
            "jumps, wider where planes meet at larger angles: between modes.", _potential, needs=("heights",)),
    Picture("tradeoff", "Quality by evaluations", "Each dot another k, all ways with as many evaluations.", _tradeoff,
            along={"k": _KEPT[1:]}, needs=("w2", "nfe")),
    Picture("memory", "What it remembers", "How far samples are from the nearest stored point, and from the one that they "
            "jumped to.", _memory, along={"k": _KEPT}, needs=("nn_to_target", "from_own")),
    Picture("mixture", "Mode mixture", "Share of samples that two modes claim with τ or more each. Compare with fresh data: "
            "modes overlap.", _mixture, needs=("mmr_by_tau",)),
    Picture("scatter", "Between the modes", "Samples over the stored points, and the share in red: off the modes, or of two.",
            _scatter),
    Picture("angles", "The singular set", "Starts, in orange where the map jumps far beside them; framed: beyond the threshold "
            "of the angle.", _angles),
    Picture("filling", "Filling in between cells", "Samples between two targets are new ones, until the threshold lets modes "
            "mix.", _filling, along={"extend": ("pair",), "k": (1,), "m": (50,),
            "threshold": (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)},
            needs=("off_mode", "nn_to_target")),
    Picture("sizes", "How many to store", "More stored points are nearer to everything; dashed: without a map.", _sizes,
            along={"m": (50, 100, 200, 400, 800)}, needs=("w2", "nn_to_target")),
    Picture("convergence", "Errors of the cells", "Of each batch's masses; dashed: what balanced cells have, since points are "
            "random.", _convergence),
    Picture("rates", "Which learning rate?", "TV of the cells at the end, and the floor of its estimate.", _rates,
            along={"rate": (0.0005, 0.002, 0.005, 0.02, 0.05, 0.2)}, needs=("tv", "tv_floor")),
    Picture("images", "Samples and stored images", "Each column one start.", _images, needs=("images",)),
    Picture("table", "In numbers", "All ways.", _table),
)
