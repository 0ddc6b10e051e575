"""Pictures of DPM-OT, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

_SHOWN = ("DPM-OT", "no map", "flow", "annealed")
_KEPT = (0, 1, 2, 5, 10, 20, 40)
_THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_NOISE: Any = {"xlabel": "noise, x₁", "ylabel": "noise, x₂"}

_EQUAL = {
    "DPM-OT": "DPM-OT",
    "no map": "the sampler without a map",
    "flow": "the flow",
    "annealed": "annealed Langevin",
}
_OURS: Any = {"along": "way", "ours": "DPM-OT"}
W2 = Comparison("w2", "W₂ to held-out data", _EQUAL, result="w2", best_at={"k": 0}, **_OURS)
OFF = Comparison("off", "fraction of samples off the modes", _EQUAL, result="off_mode", share=True, **_OURS)


def _two(value: Any) -> str:
    return number(float(value), 2)


def _within(x: np.ndarray, xlim: tuple[float, float], ylim: tuple[float, float]) -> np.ndarray:
    low, high = np.transpose((xlim, ylim))
    return np.where(((x >= low) & (x <= high)).all(axis=-1, keepdims=True), x, np.nan)


# ---- the map ---------------------------------------------------------------------------------------------------


def _motion(result: xr.Dataset, at: int) -> Any:
    ways = {
        way: draw.plane(result.paths.sel(film=way).rename(shown="particle")) for way in map(str, result.film.values)
    }
    limits = draw.window(ways["DPM-OT"][-1], ways["full"][0], air=0.05)
    titled = {f"{way}, {int(result.nfe.sel(way=way))}": _within(x, *limits) for way, x in ways.items()}
    jumps = "the jump" if result.t[at] < 0.4 else f"the last {sweeping.parameters(result)['k']} steps"
    goals = draw.behind(result.stored.values, ways["DPM-OT"])
    return draw.film(titled, at, goals=goals, limits=limits, note=f"DPM-OT: {jumps}", height=300)


def _space(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """The visible part of the noise."""
    ends = (-2.6, 2.6) if sweeping.parameters(result)["source"] == "gaussian" else (0.0, 1.0)
    return ends, ends


def _balance(result: xr.Dataset, at: int) -> Any:
    mass = result.cell_mass[at].values
    apart, empty = np.abs(mass - 1 / mass.size).sum() / 2, int((mass == 0).sum())
    note = f"iteration {int(result.stage[at])}: TV {apart:.2f}, {empty} empty"
    return draw.power_cells(result.heights[at], result.targets, mass * mass.size, *_space(result), note=note, **_NOISE)


def _potential(result: xr.Dataset) -> Any:
    return draw.potential(result.heights[-1], result.targets, *_space(result), **_NOISE)


def _potential_finding(result: xr.Dataset) -> str:
    angles = result.angles.values
    return (
        f"Angle of neighboring cells at a start: median {_two(np.median(angles))} rad, maximum {_two(angles.max())} rad"
    )


# ---- along k ---------------------------------------------------------------------------------------------------


def _tradeoff(result: xr.Dataset) -> Any:
    layers = [
        draw.curve(result.nfe.sel(way=way), result.w2.sel(way=way), way, color=tint, markers=True)
        for way, tint in zip(_SHOWN, draw.colours(len(_SHOWN)), strict=True)
    ]
    for way in ("full", "stored points", "fresh data"):
        layers.append(
            draw.curve(result.nfe.sel(way="DPM-OT"), result.w2.sel(way=way), way, color=draw.MUTED, dash=True)
        )
    names: Any = {"xlabel": "denoiser evaluations", "ylabel": "W₂ to held-out data"}
    return draw.plot(*layers, logx=True, logy=True, height=360, **names)


def _memory(result: xr.Dataset) -> Any:
    near = result.nn_to_target
    lines = {"its target": result.from_own, "nearest": near.sel(way="DPM-OT")}
    guides = {"held-out data": near.sel(way="fresh data")}
    names: Any = {"xlabel": "last steps k", "ylabel": "distance to a stored point"}
    return draw.over(result.k, lines, guides=guides, logy=True, ticks=False, height=340, **names)


def _memory_finding(result: xr.Dataset) -> str:
    ordered = result.sortby("k")
    near, fresh = (ordered.nn_to_target.sel(way=way).values for way in ("DPM-OT", "fresh data"))
    k, closer = ordered.k.values, np.flatnonzero(near < fresh)
    if not closer.size:
        return "At no k are samples closer to a stored point than held-out data"
    share = f"Distance relative to held-out data: {percent(near[closer[0]] / fresh[closer[0]])} at k = {k[closer[0]]}"
    if closer[-1] + 1 < len(k):
        return f"{share}, at least 100% from k = {k[closer[-1] + 1]}"
    return f"{share}, {percent(near[-1] / fresh[-1])} at k = {k[-1]}" if len(k) > 1 else share


# ---- samples ---------------------------------------------------------------------------------------------------


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


def _scatter_finding(result: xr.Dataset) -> str:
    if "off" not in result:
        near, fresh = (_two(result.nn_to_target.sel(way=way)) for way in ("DPM-OT", "fresh data"))
        return f"Distance to the nearest stored point: DPM-OT {near}, held-out data {fresh}"
    wrong = ((result.mixed + result.off) > 0).mean("particle")
    ours, flow, fresh = (percent(float(wrong.sel(way=way))) for way in ("DPM-OT", "flow", "fresh data"))
    return f"Samples off or between modes: DPM-OT {ours}, flow {flow}, held-out data {fresh}"


def _filling(result: xr.Dataset) -> Any:
    near = result.nn_to_target
    lines = {"off the modes": result.off_mode.sel(way="DPM-OT"), "distance": near.sel(way="DPM-OT")}
    guides = {"distance of held-out data": near.sel(way="fresh data")}
    axes: Any = {"ylabel": "fraction, or distance", "ylim": (0, None), "height": 320}
    return draw.over(result.threshold, lines, guides=guides, ticks=False, **axes)


def _filling_finding(result: xr.Dataset) -> str:
    ordered = result.sortby("threshold").sel(way="DPM-OT").squeeze()
    off, theta = np.atleast_1d(ordered.off_mode.values), np.atleast_1d(ordered.threshold.values)
    near = np.atleast_1d(ordered.nn_to_target.values)
    bad = np.flatnonzero(off > 0)
    if not bad.size:
        return f"No sample is off the modes; at θ = {theta[-1]:g} their distance to stored points is {_two(near[-1])}"
    if not bad[0]:
        return f"{percent(off[0])} of the samples are off the modes at θ = {theta[0]:g}, {percent(off[-1])} at {theta[-1]:g}"
    safe = f"Up to θ = {theta[bad[0] - 1]:g} no sample is off the modes, {_two(near[bad[0] - 1])} from a stored point"
    return f"{safe}; {percent(off[-1])} are at θ = {theta[-1]:g}"


def _images(result: xr.Dataset) -> Any:
    return draw.mosaic(result.images.values, rows=[str(kind) for kind in result.kind.values])


def _images_finding(result: xr.Dataset) -> str:
    own, near = (result.images.sel(kind=kind).values for kind in ("where it jumped", "nearest stored"))
    same = np.isclose(own, near).all(axis=(1, 2))
    stay = f"{int(same.sum())} of {same.size} end next to their own target"
    return f"{stay}; mean distance {_two(result.nn_express)} to stored data, {_two(result.nn_fresh)} of held-out data"


PICTURES = Pictures(
    Picture(
        "motion",
        "Trajectories of four methods",
        "Dots: samples in motion, on the scale of the data; play them. Faint: stored points. Number: denoiser evaluations. "
        "DPM-OT jumps first.",
        _motion,
        plays="t",
    ),
    Picture(
        "balance",
        "Balancing the cells",
        "Cells of the noise, one per target. Blue: too little mass; orange: too much; gray: equal mass. Play the iterations.",
        _balance,
        needs=("heights",),
        plays="stage",
    ),
    Picture(
        "potential",
        "Brenier potential",
        "Shade: potential over the noise. Lines: cell boundaries, where the map jumps; width: angle between the planes that "
        "meet there, large between modes.",
        _potential,
        needs=("heights",),
        finds=_potential_finding,
    ),
    Picture(
        "tradeoff",
        "Accuracy against evaluations",
        "Dots: values of k. Colors: methods at equal cost. Dashed: full sampler, resampled stored points, held-out data.",
        _tradeoff,
        along={"k": _KEPT[1:]},
        needs=("w2", "nfe"),
        finds=lambda result: W2.finding_by(result, "k"),
    ),
    Picture(
        "memory",
        "Memorization",
        "Lines: mean distance of DPM-OT samples to the target of their jump and to the nearest stored point. Dashed: distance "
        "of held-out data to the nearest stored point.",
        _memory,
        along={"k": _KEPT},
        needs=("nn_to_target", "from_own"),
        finds=_memory_finding,
    ),
    Picture(
        "scatter",
        "Between the modes",
        "Gray: stored points. Red, and percentage: samples off the modes or claimed by two modes. Blue: other samples.",
        _scatter,
        finds=_scatter_finding,
    ),
    Picture(
        "filling",
        "Extension between cells",
        "Lines: fraction of samples off the modes, and mean distance to the nearest stored point, against the singular angle.",
        _filling,
        along={"extend": ("pair",), "k": (1,), "m": (50,), "threshold": _THRESHOLDS},
        needs=("off_mode", "nn_to_target"),
        finds=_filling_finding,
    ),
    Picture(
        "images",
        "Samples and stored images",
        "Columns: starts. Rows: sample of DPM-OT, target of its jump, nearest stored image, sample of the flow.",
        _images,
        needs=("images",),
        finds=_images_finding,
    ),
)
