"""The pictures of potential flows."""

from typing import Any

import numpy as np
import xarray as xr

from lab.paths.potential_flows import FLOWS
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .presets import swept

_LINES = 40


def _tints() -> dict[str, str]:
    series = draw.colours(6)
    return dict(zip(FLOWS, (series[0], series[1], series[2], series[3], draw.MUTED), strict=True))


def there(result: xr.Dataset) -> list[str]:
    return [str(name) for name in result.flow.values if np.isfinite(result.total.sel(flow=name))]


# ---- the plane -----------------------------------------------------------------------------------------------------


def _motion(result: xr.Dataset, at: int) -> Any:
    """Points on the landscapes that they climb, each scaled to its highest place over all times."""
    names = there(result)
    wide, tall = ((float(side[0]), float(side[-1])) for side in (result.gx.values, result.gy.values))
    time = float(sweeping.parameters(result)["time"])
    heights = {name: result.height.sel(flow=name).values for name in names}
    middle = {name: each - np.mean(each, axis=(1, 2), keepdims=True) for name, each in heights.items()}
    return draw.film(
        {name: result.paths.sel(flow=name).values for name in names}, at, limits=(wide, tall), tails=_LINES, age=12,
        heights=middle if "gap" in result else heights, colors=dict.fromkeys(names, draw.INK),
        note=f"t = {time * float(result.t[at]):.2f}; orange: high, blue: low", size=0.22, columns=2, height=420,
    )


def _bars(names: list[str], energy: Any, w2: Any, tints: list[str], xlabel: str) -> Any:
    """Energies, the least that their ends allow, and how often one holds the other."""
    at, top, few = np.arange(len(names), dtype=float), 1.25 * float(np.max(energy)), len(names) <= 8
    return draw.plot(
        *(draw.bars(at[i : i + 1], energy[i : i + 1], color=tint, width=0.6) for i, tint in enumerate(tints)),
        draw.segments(at - 0.38, w2, at + 0.38, w2, color=draw.INK, width=1.4),
        draw.text(at, energy + 0.04 * top, [f"{r:.3f}×" if few else "" for r in energy / w2], color=draw.INK, side="center"),
        xlabel=xlabel, ylabel="kinetic energy", ylim=(0, top), xlim=(-0.6, len(names) - 0.4),
        xticks=[(float(i), name) for i, name in zip(at, names, strict=True)][:: max(1, len(names) // 8)], height=340,
        note="line across: W₂² of its own ends; ×: energy over it",
    )


def _energies(result: xr.Dataset) -> Any:
    names = there(result)
    energy, w2 = (result[what].sel(flow=names).values for what in ("total", "w2"))
    return _bars(names, energy, w2, [_tints()[name] for name in names], "flow")


def _by_time(result: xr.Dataset, name: str, **axes: Any) -> Any:
    last = float(result.shock) / float(sweeping.parameters(result)["time"])  # then lines meet, and densities have no end
    seen = {flow: result.t <= last if (flow, name) == ("Hamilton-Jacobi", "log_density") else result.t >= 0 for flow in FLOWS}
    lines = [
        draw.curve(result.t.values, result[name].sel(flow=flow).where(seen[flow]).values, flow, color=_tints()[flow])
        for flow in there(result)
    ]
    return draw.plot(*lines, xlabel="time t / T", ylabel=draw.label(result[name]), **axes)


def _steps(result: xr.Dataset) -> Any:
    layers, counts = [], result["count"].values
    for solver in result.solver.values:
        for flow in ("wave", "heat"):
            error = result.step_error.sel(solver=solver, flow=flow).values
            layers.append(draw.curve(counts, error, f"{solver}, {flow}", color=_tints()[flow], markers=True,
                                     dash=solver == "euler"))
    low = 0.3 * float(result.step_error.sel(flow=["wave", "heat"]).min())
    return draw.plot(*layers, logx=True, logy=True, xlabel="steps from 0 to T", ylabel="error of the end",
                     ylim=(low, 8 * float(result.step_error.max())), xticks=list(counts), height=360,
                     note="" if sweeping.parameters(result)["downhill"] else "Hamilton-Jacobi: exact in one step")


def _along(result: xr.Dataset, name: str, along: str, **axes: Any) -> Any:
    lines = {flow: result[name].sel(flow=flow) for flow in FLOWS if np.isfinite(result[name].sel(flow=flow)).any()}
    return draw.over(result[along], lines, colors=_tints(), **axes)


def _shock(result: xr.Dataset) -> Any:
    first = float(result.shock.values.flat[0])
    inside = sweeping.parameters(result)["potential"] == "ripples" and first < float(result.time.max())
    near = result.assign(ratio=result.ratio.where(result.ratio < 10))  # waves come back, and W2 is nothing then
    return _along(near, "ratio", "time", ylabel="energy / W₂²", ylim=(0.95, None), here=first if inside else None, height=340)


# ---- what was trained ------------------------------------------------------------------------------------------------


def _climbing(result: xr.Dataset, at: int) -> Any:
    names = [str(name) for name in result.kk.values][:4]
    side = float(result.lx.max())
    heights = {name: result.landscape.sel(kk=name).values for name in names}
    return draw.film(
        {name: result.ways.sel(k=name).transpose("step", "start", "axis").values for name in names}, at, heights=heights,
        limits=((-side, side), (-side, side)), tails=_LINES, age=at + 1, colors=dict.fromkeys(names, draw.INK),
        note=f"step {at} of {result.sizes['step'] - 1}; the plane through 0 along which points move most", size=0.3,
        columns=2, height=420,
    )


def _images(result: xr.Dataset) -> Any:
    tiles = 2 * result.images.isel(image=0).transpose("k", "step", "row", "column").values - 1
    steps = [f"step {step}" if step else "start" for step in result.step.values]
    return draw.mosaic(tiles, [str(name) for name in result.k.values], steps)


def _ways(result: xr.Dataset) -> Any:
    """Ways of some points, and the one direction that would take them as far on average."""
    ways = result.ways.transpose("k", "step", "start", "axis").values[:, :, :12]
    mean = (ways[:, -1] - ways[:, 0]).mean(axis=1)
    layers: list[Any] = []
    for row, tint in enumerate(draw.colours(len(ways))):
        way, start = ways[row], ways[row, 0]
        layers.append(draw.segments(*start.T, *(start + mean[row]).T, color=draw.MUTED, width=0.5))
        layers.append(draw.segments(*way[:-1].reshape(-1, 2).T, *way[1:].reshape(-1, 2).T, color=tint, width=1.0))
        layers.append(draw.points(*way[-1].T, color=tint, size=0.4))
    return draw.plot(*layers, xlabel="first axis", ylabel="second axis", equal=True, height=400,
                     note="colours: potentials; grey: one direction for all")


def _losses(result: xr.Dataset) -> Any:
    pde = sweeping.parameters(result)["pde"]
    names = {"cross-entropy": "ce", "J": "jvp"} | ({} if pde == "none" else {"residual²": "residual"})
    names |= {"velocity at 0": "ic"} if pde == "wave" else {}
    lines = [
        draw.curve(result.train_step, np.maximum(result[f"curve_{name}"].values, 1e-5), title, color=tint)
        for (title, name), tint in zip(names.items(), draw.colours(len(names)), strict=True)
    ]
    return draw.plot(*lines, logy=True, xlabel="training step", ylabel="term of the loss", height=340)


def _matrix(result: xr.Dataset, name: str, other: str, clabel: str, signed: bool = False) -> Any:
    values, names = result[name].values, list(result.k.values)
    (at, across), marks = (each.ravel() for each in np.indices(values.shape)), []
    said = [f"{v:.2f}" if len(names) <= 8 else "" for v in values.ravel()]
    for dark, color in ((False, draw.INK), (True, "#ffffff")):
        here = (np.abs(values.ravel()) > 0.55) == dark
        marks.append(draw.text(np.where(here, across, np.nan), at, said, color=color, side="center"))
    return draw.heatmap(values, names, names, xlabel=other, ylabel="potential", clabel=clabel, signed=signed, outline=False,
                        clim=(-1.0, 1.0) if signed else (0.0, 1.0), marks=marks)


def _vp(result: xr.Dataset) -> Any:
    at, tints = result.vp_length.values, dict(zip(result.way.values, (draw.SOURCE, draw.GOOD, draw.TARGET), strict=True))
    layers: list[Any] = []
    for name in result.way.values:
        score, error = result.vp.sel(way=name).values, 2 * result.vp_error.sel(way=name).values
        layers.append(draw.band(at, score - error, score + error, color=tints[name]))
        layers.append(draw.curve(at, score, str(name), color=tints[name], markers=True))
    layers.append(draw.hline(1 / result.sizes["k"], "chance"))
    return draw.plot(*layers, xlabel="mean |Δz|", ylabel="VP score", ylim=(0, 1.03), height=340)


def _kinetic(result: xr.Dataset) -> Any:
    names = [str(name) for name in result.k.values]
    return _bars(names, result.energy_of.values, result.w2_of.values, draw.colours(len(names)), "potential")


def _equations(result: xr.Dataset) -> Any:
    result = result.squeeze()
    names = {"told apart": "accuracy", "VP, one step": "vp_short", "residual²": "residual", "E|∇u(z,0)|²": "ic", "J": "jvp",
             "mean |Δz|": "displacement", "energy / W₂²": "efficiency"}
    columns = {title: [float(v) for v in np.round(result[name].values, 4)] for title, name in names.items()}
    return draw.table({"equation": [str(name) for name in result.pde.values]} | columns)


def _measures(result: xr.Dataset, along: str) -> Any:
    result = result.squeeze()
    return draw.over(result[along], {"told apart": result.accuracy, "VP, one step": result.vp_short}, ylabel="share", ylim=(0,
                                                                                                                            1.03))


_HERE: dict[str, Any] = {"when": {"train_steps": (500, 1000, 2000, 4000, 6000)}, "why": "too few steps, or none, were trained"}
_FEW = ("accuracy", "vp_short")

PICTURES = Pictures(
    Picture("motion", "Climbing", "Each panel: a potential as a map of heights, and points that climb it. The same points, "
            "another equation; each map on its own scale. Play it.", _motion, plays="t"),
    Picture("energies", "What it costs", "Bars: kinetic energy of each flow; the line across is W₂² between its own ends, "
            "below which no flow with these ends can come. Above a bar: how many times that it is.", _energies),
    Picture("speed", "Who moves when", "Mean squared velocity over time: waves start from rest, heat slows down, lines keep "
            "their speed.", lambda result: _by_time(result, "energy", ylim=(0, None))),
    Picture("trajectories", "The same points, each equation", "Ways from the same starts; blue: their ends.", lambda result:
            draw.trajectories({name: result.paths.sel(flow=name).values for name in there(result)}, most=_LINES)),
    Picture("density", "How points crowd", "Mean change of the log density along points, minus the integral of the Laplacian.",
            lambda result: _by_time(result, "log_density")),
    Picture("steps", "How many steps", "Error of the end in so many steps of Euler (the paper's) and of RK4, by flow.", _steps),
    Picture("shock", "Until lines meet", "Energy over W₂² for longer and longer flows; dashed: where the first lines meet. "
            "Up to there Hamilton and Jacobi's flow is optimal. Beyond 10 left out.", _shock, needs=("ratio", "shock"),
            along={"time": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)}),
    Picture("speeds", "Faster waves", "How far points go by the speed c of the equation.",
            lambda result: _along(result, "displacement_flow", "speed", ylabel="mean |z(T) - z(0)|", ylim=(0, None)),
            needs=("displacement_flow",), along={"speed": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)}),
    Picture("climbing", "Trained potentials", "Heights of the first potentials on the plane of largest displacement, and "
            "points on their way, step by step.", _climbing, needs=("landscape", "ways"), plays="step"),
    Picture("images", "What they change", "Rows: potentials; columns: steps of one traversal from the same latent point.",
            _images, needs=("images",)),
    Picture("ways", "Ways of trained potentials", "On the two axes of largest displacement; gray: straight lines that "
            "take all points in one direction.", _ways, needs=("ways",)),
    Picture("losses", "Terms of the loss", "Each a mean over some steps; without an equation J has no bound.", _losses,
            needs=("curve_ce",)),
    Picture("confusion", "Which is taken for which", "Share of pairs of outputs, by the classifier that was trained with the "
            "potentials.", lambda result: _matrix(result, "confusion", "taken for", "share"), needs=("confusion",)),
    Picture("alike", "Which repeats which", "Mean cosine between where two potentials take the same point: 1 for a duplicate.",
            lambda result: _matrix(result, "alike", "potential", "cosine", signed=True), needs=("alike",)),
    Picture("vp", "VP score by length", "A fresh classifier names the way from two outputs. At equal length, straight lines in "
            "random directions are the baseline.", _vp, needs=("vp",)),
    Picture("kinetic", "Trained, and not optimal", "Kinetic energy of unit steps against W₂² between starts and ends.",
            _kinetic,
            needs=("energy_of", "w2_of")),
    Picture("equations", "Equation by equation", "One training each, of digits where none is set; half a minute each.",
            _equations,
            needs=("accuracy", "vp_short", "residual", "ic", "jvp", "displacement", "efficiency"),
            **swept("pde", "wave", "heat", "hamilton-jacobi", "none")),
    Picture("weights", "Weight of the equation", "By λₚ; trained on digits where none is set; half a minute each.",
            lambda result: _measures(result, "weight"), needs=_FEW, **swept("weight", 0.01, 0.1, 1.0, 10.0, 100.0)),
    Picture("numbers", "How many potentials", "More of them are harder to tell apart; half a minute each.",
            lambda result: _measures(result, "potentials"), needs=_FEW, along={"potentials": (2, 4, 8, 16)}, **_HERE),
    Picture("longer", "How long a traversal", "Told apart, and VP of one step, by the number of steps.",
            lambda result: _measures(result, "times"), needs=_FEW, along={"times": (2, 5, 10, 20)}, **_HERE),
)
