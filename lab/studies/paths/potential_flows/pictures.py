"""Pictures of potential flows, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.studies.paths.flow_comparison import FLOWS
from lab.words import number, percent

from .claims import DIGITS

RATIO = Comparison(
    "ratio",
    "energy relative to W₂²",
    {"ratio_wave": "the wave equation", "ratio_heat": "the heat equation", "ratio_hj": "the Hamilton-Jacobi equation"},
)

_LINES = 40
_COLUMNS = ("accuracy", "vp_short", "residual", "ic", "jvp", "displacement", "efficiency")


def _tints() -> dict[str, str]:
    series = draw.colours(6)
    return dict(zip(FLOWS, (series[0], series[1], series[2], series[3], draw.MUTED), strict=True))


def _present(result: xr.Dataset) -> list[str]:
    return [str(name) for name in result.flow.values if np.isfinite(result.total.sel(flow=name))]


def _motion(result: xr.Dataset, at: int) -> Any:
    """Points on their potentials; each potential is scaled to its maximum over all times."""
    names = _present(result)
    wide, tall = ((float(side[0]), float(side[-1])) for side in (result.gx.values, result.gy.values))
    time = float(sweeping.parameters(result)["time"])
    heights = {name: result.height.sel(flow=name).values for name in names}
    centered = {name: each - np.mean(each, axis=(1, 2), keepdims=True) for name, each in heights.items()}
    return draw.film(
        {name: result.paths.sel(flow=name).values for name in names},
        at,
        limits=(wide, tall),
        tails=_LINES,
        age=12,
        heights=centered if "gap" in result else heights,
        colors=dict.fromkeys(names, draw.INK),
        note=f"t = {time * float(result.t[at]):.2f}; orange: high, blue: low",
        size=0.22,
        columns=2,
        height=420,
    )


def _energies(result: xr.Dataset) -> Any:
    names = _present(result)
    energy, w2 = (result[what].sel(flow=names).values for what in ("total", "w2"))
    at, top = np.arange(len(names), dtype=float), 1.25 * float(np.max(energy))
    tints = [_tints()[name] for name in names]
    return draw.plot(
        *(draw.bars(at[i : i + 1], energy[i : i + 1], color=tint, width=0.6) for i, tint in enumerate(tints)),
        draw.segments(at - 0.38, w2, at + 0.38, w2, color=draw.INK, width=1.4),
        draw.text(at, energy + 0.04 * top, [f"{r:.3f}×" for r in energy / w2], color=draw.INK, side="center"),
        xlabel="flow",
        ylabel="kinetic energy",
        ylim=(0, top),
        xlim=(-0.6, len(names) - 0.4),
        xticks=[(float(i), name) for i, name in zip(at, names, strict=True)],
        height=340,
        note="line: W₂² of the flow's own endpoints; ×: energy / W₂²",
    )


def _speed(result: xr.Dataset) -> Any:
    lines = [
        draw.curve(result.t.values, result.energy.sel(flow=flow).values, flow, color=_tints()[flow])
        for flow in _present(result)
    ]
    return draw.plot(*lines, xlabel="time t / T", ylabel=draw.label(result.energy), ylim=(0, None))


def _speed_finds(result: xr.Dataset) -> str:
    """Initial and final mean squared velocity of the three equations."""
    told = []
    for flow in (name for name in FLOWS[:3] if name in _present(result)):
        first, last = (float(result.energy.sel(flow=flow)[at]) for at in (0, -1))
        constant = abs(last - first) <= 0.01 * max(first, last)
        told.append(f"{flow} {number(first, 2)}" + (" throughout" if constant else f" to {number(last, 2)}"))
    return f"From t = 0 to T: {', '.join(told)}" if told else "No point moves"


def _shock(result: xr.Dataset) -> Any:
    first = float(result.shock.values.flat[0])
    inside = sweeping.parameters(result)["potential"] == "ripples" and first < float(result.time.max())
    ratio = result.ratio.where(result.ratio < 10)  # waves return to their initial points, where W₂ is 0
    lines = {flow: ratio.sel(flow=flow) for flow in FLOWS if np.isfinite(ratio.sel(flow=flow)).any()}
    return draw.over(
        result.time,
        lines,
        colors=_tints(),
        ylabel="energy / W₂²",
        ylim=(0.95, None),
        here=first if inside else None,
        height=340,
    )


def _shock_finds(result: xr.Dataset) -> str:
    at = int(np.argmax(result.time.values))
    ratio, crossing = float(result.ratio.sel(flow="Hamilton-Jacobi")[at]), float(result.shock[at])
    time = float(result.time[at])
    cost = f"{number(ratio, 4)} W₂²" if ratio < 10 else "more than 10 W₂²"
    text = f"At T = {time:g} the Hamilton-Jacobi energy is {cost}"
    if sweeping.parameters(result)["potential"] != "ripples":
        return text
    return f"{text}; lines first cross at {number(crossing, 3)}" if crossing < time else f"{text}; no lines cross"


def _climbing(result: xr.Dataset, at: int) -> Any:
    names = [str(name) for name in result.kk.values][:4]
    side = float(result.lx.max())
    return draw.film(
        {name: result.ways.sel(k=name).transpose("step", "start", "axis").values for name in names},
        at,
        heights={name: result.landscape.sel(kk=name).values for name in names},
        limits=((-side, side), (-side, side)),
        tails=_LINES,
        age=at + 1,
        colors=dict.fromkeys(names, draw.INK),
        note=f"step {at} of {result.sizes['step'] - 1}; orange: high, blue: low",
        size=0.3,
        columns=2,
        height=420,
    )


def _climbing_finds(result: xr.Dataset) -> str:
    ways = (
        result.ways.sel(k=[str(name) for name in result.kk.values][:4]).transpose("k", "step", "start", "axis").values
    )
    length = np.linalg.norm(ways[:, -1] - ways[:, 0], axis=-1).mean(axis=1)
    steps = result.sizes["step"] - 1
    ends = " to ".join(dict.fromkeys(number(float(each), 2) for each in (length.min(), length.max())))
    return f"Mean displacement in {steps} step{'s' if steps != 1 else ''}: {ends}, by potential"


def _images(result: xr.Dataset) -> Any:
    tiles = 2 * result.images.isel(image=0).transpose("k", "step", "row", "column").values - 1
    steps = [f"step {step}" if step else "initial" for step in result.step.values]
    return draw.mosaic(tiles, [str(name) for name in result.k.values], steps)


def _images_finds(result: xr.Dataset) -> str:
    shown = result.images.isel(image=0).transpose("k", "step", "row", "column").values
    change = np.abs(shown[:, -1] - shown[:, 0]).mean(axis=(1, 2))
    ends = (int(change.argmin()), int(change.argmax()))
    told = dict.fromkeys(f"{number(change[at], 2)} ({result.k.values[at]})" for at in ends)
    return f"Mean change per pixel by potential: {' to '.join(told)}"


def _vp(result: xr.Dataset) -> Any:
    at, tints = result.vp_length.values, (draw.SOURCE, draw.GOOD, draw.TARGET)
    layers: list[Any] = []
    for name, tint in zip(result.way.values, tints, strict=True):
        score, error = result.vp.sel(way=name).values, 2 * result.vp_error.sel(way=name).values
        layers.append(draw.band(at, score - error, score + error, color=tint))
        layers.append(draw.curve(at, score, str(name), color=tint, markers=True))
    layers.append(draw.hline(1 / result.sizes["k"], "chance"))
    return draw.plot(*layers, xlabel="mean |Δz|", ylabel="VP score", ylim=(0, 1.03), height=340)


def _vp_finds(result: xr.Dataset) -> str:
    at = [int(np.argmin(result.vp_length.values)), int(np.argmax(result.vp_length.values))]
    scores = [", ".join(percent(float(result.vp[way, i])) for i in dict.fromkeys(at)) for way in (0, -1)]
    lengths = ", ".join(number(float(result.vp_length[i]), 2) for i in dict.fromkeys(at))
    return f"VP score at |Δz| = {lengths}: {scores[0]} for potentials, {scores[1]} for random directions"


def _equations(result: xr.Dataset) -> Any:
    result = result.squeeze()
    columns = {draw.label(result[name]): [float(v) for v in np.round(result[name].values, 4)] for name in _COLUMNS}
    return draw.table({"equation": [str(name) for name in result.pde.values]} | columns)


def _equations_finds(result: xr.Dataset) -> str:
    change = zip(result.pde.values, np.atleast_1d(result.jvp.squeeze().values), strict=True)
    return "Change of the output J: " + ", ".join(f"{name} {number(float(value), 2)}" for name, value in change)


def _by_equation(study: Study, data: Data) -> dict[str, Any]:
    """One training for each equation: of the present setting, or of digits if it trains nothing."""
    digits = {} if study.values()["train_steps"] else {name: (value,) for name, value in DIGITS.items()}
    return {"pde": ("wave", "heat", "hamilton-jacobi", "none")} | digits


PICTURES = Pictures(
    Picture(
        "motion",
        "Points moving along ∇u",
        "Each panel: a potential (orange: high, blue: low, each on its own scale) and points that follow its gradient. All "
        "panels begin with the same points.",
        _motion,
        plays="t",
    ),
    Picture(
        "energies",
        "Kinetic energy",
        "Bars: kinetic energy of each flow. Line: W₂² between the initial and final points of the same flow, a lower bound. "
        "Number above a bar: energy / W₂².",
        _energies,
    ),
    Picture(
        "speed",
        "Mean squared velocity over time",
        "One line per equation. Waves start from rest, heat slows down, and Hamilton-Jacobi keeps its velocity.",
        _speed,
        finds=_speed_finds,
    ),
    Picture(
        "shock",
        "Energy by duration",
        "Lines: energy / W₂² of flows of duration T; values above 10 are left out. Dashed: time at which straight lines first "
        "cross. The Hamilton-Jacobi flow is optimal until then.",
        _shock,
        needs=("ratio", "shock"),
        along={"time": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)},
        finds=_shock_finds,
    ),
    Picture(
        "climbing",
        "Trained potentials",
        "Color: first potentials on the plane of largest displacement (orange: high, blue: low). Points: latent points after "
        "each unit step, with their trajectories.",
        _climbing,
        needs=("landscape", "ways"),
        plays="step",
        finds=_climbing_finds,
    ),
    Picture(
        "images",
        "Change of the output",
        "Rows: potentials. Columns: outputs of the generator after each step, from the same latent point.",
        _images,
        needs=("images",),
        finds=_images_finds,
    ),
    Picture(
        "vp",
        "VP score by length",
        "Lines: accuracy of a new classifier that predicts the traversal from two outputs, for the potentials and for straight "
        "lines of equal length. Bands: two standard errors. Dashed: chance.",
        _vp,
        needs=("vp",),
        finds=_vp_finds,
    ),
    Picture(
        "equations",
        "Results by equation",
        "One training per row, on digits if no training is set; half a minute each. J: mean squared change of the output.",
        _equations,
        needs=_COLUMNS,
        along=_by_equation,
        where=lambda result: "" if "pde" in result.dims else "it shows a sweep over pde",
        finds=_equations_finds,
    ),
)
