"""The pictures of rectified flow."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw.axes import frame
from lab.studies.paths import path_parts

_DRAWN = 600  # particles of a panel that moves
_TAILS, _AGE = 50, 9  # particles with tails, and frames that a tail is long
_LINES = 48  # trajectories of a panel that stands still
_ROUNDS = (0, 1, 2, 3, 4)


def _needs(*names: str) -> Callable[[xr.Dataset], str]:
    """A sweep over these parameters and no other."""

    def applies(result: xr.Dataset) -> str:
        swept = [name for name in sweeping.parameters(result) if name in result.dims]
        if set(names) - set(swept):
            return f"it shows a sweep over {' and '.join(names)}"
        more = [name for name in swept if name not in names]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _trained(result: xr.Dataset) -> str:
    return sweeping.single(result) or (
        "" if "curve_loss" in result else "no network was trained: set the training steps above 0"
    )


def _of_images(result: xr.Dataset) -> str:
    return sweeping.single(result) or ("" if "images" in result else "the data are no images: choose digits")


def _in_the_plane(result: xr.Dataset) -> str:
    if sweeping.single(result):
        return sweeping.single(result)
    return "" if result.sizes["axis"] == 2 else "on a line straight couplings are optimal: choose data in the plane"


def _plane(positions: xr.DataArray) -> np.ndarray:
    """(t, particle, 2); on a line the time is the first coordinate, stretched to the picture's shape."""
    values = positions.transpose("t", "particle", "axis").values
    if values.shape[2] == 2:
        return values
    time = np.broadcast_to(positions.t.values[:, None, None], values.shape)
    return np.concatenate([time * _span(values), values], axis=2)


def _span(values: np.ndarray) -> float:
    return float(np.ptp(values[np.isfinite(values)])) or 1.0


def _goal(result: xr.Dataset, way: np.ndarray) -> np.ndarray:
    goal = result.goal.values
    return goal if goal.shape[1] == 2 else np.c_[np.full(len(goal), way[-1, 0, 0]), goal]


def _window(result: xr.Dataset, *ways: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    if "density" in result:
        gx, gy = result.gx.values, result.gy.values
        return (float(gx[0]), float(gx[-1])), (float(gy[0]), float(gy[-1]))
    return path_parts.window(*ways, result.goal.values if ways[0].shape[2] == result.goal.shape[1] else ways[0])


def _tints(way: np.ndarray) -> list[str]:
    """A colour by where a particle starts: two of the lab's, told apart at a glance."""
    up = way[0, :, -1] > np.median(way[0, :, -1])
    return [draw.SOURCE if high else draw.TARGET for high in up]


# ---- one run -----------------------------------------------------------------------------------------------------


def _titles(result: xr.Dataset) -> tuple[str, str, str]:
    given = sweeping.parameters(result)
    k, steps = given["k"], given["euler_steps"]
    lines = "random pairs" if k <= 1 else f"pairs of k = {k - 1}"
    return lines, f"{k}-rectified" if k else "the same", f"{steps} Euler step{'s' if steps > 1 else ''}"


def _moving(result: xr.Dataset, at: int, parts: Sequence[tuple[str, str]]) -> Any:
    ways = [_plane(result[name])[:, :_DRAWN] for name, _ in parts]
    xlim, ylim = _window(result, *ways)
    seen = np.maximum(at + np.arange(1 - _AGE, 1), 0)  # at first the oldest is repeated
    density = result.density.values[at] if "density" in result else None
    panels = {
        title: draw.Panel(
            way[at], way[seen, :_TAILS], density, _goal(result, way)[:_DRAWN],
        )
        for way, (_, title) in zip(ways, parts, strict=True)
    }  # fmt: skip
    peak = 0.4 * float(result.density.max()) if "density" in result else None
    return draw.particles(panels, xlim, ylim, peak=peak, note=f"t = {float(result.t[at]):.2f}", height=300)


def _motion(result: xr.Dataset, at: int) -> Any:
    return _moving(result, at, list(zip(("lines", "paths", "euler"), _titles(result), strict=True)))


def _network(result: xr.Dataset, at: int) -> Any:
    return _moving(result, at, [("paths", _titles(result)[1]), ("net", "network")])


def _costs(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["p"])
    share = result.cost.values / result.cost_before.values
    pairs = zip(result.cost_before.values, result.cost.values, strict=True)
    return draw.plot(
        draw.bars(at, share, width=0.6),
        draw.text(at, share + 0.05, [f"{b:.4g} → {a:.4g}" for b, a in pairs], side="center"),
        draw.hline(1.0, "before"),
        xlabel="convex cost", ylabel="cost after / before", ylim=(0, 1.15), xlim=(-0.6, len(at) - 0.4),
        xticks=[(int(i), f"E|Z₁ - Z₀|^{p:g}") for i, p in zip(at, result.p.values, strict=True)],
    )  # fmt: skip


def _optimal(result: xr.Dataset) -> Any:
    start, end = result.paths.values[0], result.paths.values[-1]
    best = result.optimal_end.values
    m = min(len(best), 40)
    layers = [
        draw.points(*start[:_DRAWN].T, color=draw.MUTED, size=0.15, alpha=0.5),
        draw.points(*end[:_DRAWN].T, color=draw.TARGET, size=0.15, alpha=0.35),
        draw.segments(*start[:m].T, *best[:m].T, color=draw.GOOD, width=0.8),
        draw.segments(*start[:m].T, *end[:m].T, color=draw.SOURCE, width=0.8),
        draw.points(*best[:m].T, color=draw.GOOD, size=0.5),
        draw.points(*end[:m].T, color=draw.SOURCE, size=0.5),
    ]
    for number, tint in enumerate((draw.MUTED, draw.TARGET)) if "ellipse" in result else ():
        layers.append(draw.curve(*result.ellipse.values[number].T, color=tint))
    return draw.plot(
        *layers, xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[1]), equal=True, height=380,
        note=f"blue: the flow; green: optimal, {float(result.above_optimal):.1%} less",
    )  # fmt: skip


def _training(result: xr.Dataset) -> Any:
    loss = result.curve_loss.values
    every = max(1, len(loss) // 200)
    kept = loss[: len(loss) // every * every].reshape(-1, every).mean(axis=1)
    one = sweeping.parameters(result)["learns"] == "one step"
    layers = [draw.curve((np.arange(len(kept)) + 0.5) * every, kept, "network")]
    if not one:
        layers.append(draw.hline(float(result.V_before), "V", color=draw.TARGET))
    return draw.plot(*layers, xlabel="training step", ylabel="loss", ylim=(0, None) if not one else None, logy=one)


def _images(result: xr.Dataset) -> Any:
    shown = result.images.transpose("sampler", "image", "row", "column", "channel").values
    low, high = float(shown[2].min()), float(shown[2].max())
    pixels = np.clip((shown - low) / (high - low or 1.0), 0, 1)
    rows = []
    for sampler in range(len(pixels)):
        padded = np.pad(pixels[sampler], ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
        rows.append(np.concatenate(list(padded[:, :-1]), axis=1)[:, :-1])
    steps = sweeping.parameters(result)["euler_steps"]
    names = ("one Euler step", f"{steps} Euler step{'s' if steps > 1 else ''}", "the flow")
    # two rows of four images for each sampler
    half = shown.shape[1] // 2 * (shown.shape[3] + 1)
    square = {
        name: np.concatenate([row[:, : half - 1], np.ones((1, half - 1, row.shape[2])), row[:, half : 2 * half - 1]])
        for name, row in zip(names, rows, strict=True)
    }
    return draw.strip({name: image[..., 0] if image.shape[2] == 1 else image for name, image in square.items()})


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _strands(way: np.ndarray, left: float, tints: list[str], marks: Sequence[int] = ()) -> list[Any]:
    """Some trajectories of a panel, by the half that they start in."""
    layers = []
    for tint in (draw.SOURCE, draw.TARGET):
        chosen = [i for i, own in enumerate(tints) if own == tint][: _LINES // 2]
        part = way[:, chosen]
        ends = (part[:-1, :, 0] + left, part[:-1, :, 1], part[1:, :, 0] + left, part[1:, :, 1])
        layers.append(draw.segments(*ends, color=tint, width=0.4))
    chosen = slice(None, _LINES)
    dots = way[list(marks) or [0]][:, chosen]
    layers.append(draw.points(dots[..., 0].ravel() + left, dots[..., 1].ravel(), color=draw.INK, size=0.12))
    return layers


def _panels(ways: dict[str, np.ndarray], marks: Sequence[int] = ()) -> Any:
    """Trajectories side by side, on one pair of axes."""
    xlim, ylim = path_parts.window(*ways.values())
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    layers: list[Any] = []
    for number, (title, way) in enumerate(ways.items()):
        left = number * 1.1 * wide
        layers += _strands(way, left, _tints(way), marks)
        layers.append(draw.text([xlim[0] + left], [ylim[1] + 0.05 * high], title, color=draw.INK))
    right = xlim[0] + (1.1 * len(ways) - 0.1) * wide
    return frame(layers, (xlim[0], right), (ylim[0], ylim[1] + 0.12 * high), equal=True, bare=True, height=280)


def _over_rewiring(study: Study, data: Data) -> dict[str, list]:
    return {"k": [0, 1, 2]}


def _rewired(result: xr.Dataset) -> Any:
    run = [result.sel(k=k) for k in (0, 1, 2)]
    return _panels(
        {
            "lines, random pairs": _plane(run[0].paths),
            "1-rectified flow": _plane(run[1].paths),
            "lines, its pairs": _plane(run[2].lines),
            "2-rectified flow": _plane(run[2].paths),
        }
    )


def _over_rounds(study: Study, data: Data) -> dict[str, list]:
    return {"k": list(_ROUNDS)}


def _ledger(result: xr.Dataset) -> Any:
    rounds = [int(k) for k in result.k.values if k > 0]
    cost, S, V = (result[name].sel(k=rounds).values for name in ("square_cost", "S", "V_before"))
    start = float(result.cost_before.sel(k=rounds[0], p=2.0))
    at = np.array(rounds, float)
    layers = [
        draw.bars([0.0], [start], width=0.6, color=draw.MUTED),
        draw.bars(at, cost, width=0.6, color=draw.MUTED),
        draw.bars(at, cost + S, width=0.6, base=cost),
        draw.bars(at, cost + S + V, width=0.6, base=cost + S, color=draw.TARGET),
        draw.text(at, cost + S / 2, [f"S {s:.3g}" if s > 0.04 * start else "" for s in S], color="#ffffff", side="center"),
        draw.text(at, cost + S + V / 2, [f"V {v:.3g}" if v > 0.04 * start else "" for v in V], color="#ffffff",
                  side="center"),
    ]  # fmt: skip
    return draw.plot(
        *layers, xlabel=draw.label(result.k), ylabel="E|Z₁ - Z₀|²", ylim=(0, 1.12 * start), xlim=(-0.5, at[-1] + 0.6),
        xticks=[(0, "random"), *((k, str(k)) for k in rounds)],
    )  # fmt: skip


def _over_flows(study: Study, data: Data) -> dict[str, list]:
    return {"k": [1, 2, 3]}


def _steps(result: xr.Dataset) -> Any:
    few = result.few.values
    rounds = [int(k) for k in result.k.values if k > 0]
    lines = [
        draw.curve(few, result.w2sq_steps.sel(k=k).values, f"k = {k}", color=tint, markers=True)
        for k, tint in zip(rounds, draw.colours(len(rounds)), strict=True)
    ][::-1]  # where later flows agree, the first of them is seen
    floor = float(result.w2sq_floor.mean())
    return draw.plot(
        *lines, draw.hline(floor, "two samples of the data"), logx=True, logy=True, xlabel="Euler steps K",
        ylabel="W₂² to the data", xticks=list(few),
    )  # fmt: skip


def _bending(result: xr.Dataset) -> Any:
    rounds = [int(k) for k in result.k.values if k > 0]
    least = 1e-6 * float(result.curvature.max())
    lines = []
    for k, tint in zip(rounds, draw.colours(len(rounds)), strict=True):
        values = result.curvature.sel(k=k).values
        name = f"k = {k}" + (" (none)" if values.max() < least else "")
        lines.append(draw.curve(result.t.values, np.maximum(values, least), name, color=tint))
    return draw.plot(*lines, logy=True, xlabel="time t", ylabel=draw.label(result.curvature))


def _over_schedules(study: Study, data: Data) -> dict[str, list]:
    return {"schedule": ["linear", "constant-speed-vp", "sub-vp", "vp"]}


def _speeds(result: xr.Dataset) -> Any:
    ways = {str(name): _plane(result.paths.sel(schedule=name))[:, :16] for name in result.schedule.values}
    return _panels(ways, marks=range(0, result.sizes["t"], 4))


def _over_bandwidth(study: Study, data: Data) -> dict[str, list]:
    return {"bandwidth": [0.02, 0.05, 0.1, 0.2, 0.4, 0.8], "k": [2]}


def _blur(result: xr.Dataset) -> Any:
    h, run = result.bandwidth.values, result.isel(k=0)
    return draw.plot(
        draw.curve(h, run.w2sq_fine.values, "the flow", markers=True),
        draw.curve(h, run.w2sq_steps.sel(few=1).values, "one Euler step", color=draw.TARGET, markers=True),
        draw.hline(float(run.w2sq_floor.mean()), "two samples of the data"),
        logx=True, logy=True, xlabel="bandwidth (spread of the data)", ylabel="W₂² to the data", xticks=list(h),
    )  # fmt: skip


PICTURES = Pictures(
    Picture("motion", "Lines, flow and Euler steps", "Left: on the lines that are averaged; middle: on the flow that "
            "they give, with the same law (shaded) at each time; right: in K steps. Orange: data. Play it.", _motion,
            plays="t"),
    Picture("rewired", "Rewiring", "Lines between random pairs cross; the flow turns off instead; its own pairs cross no more, "
            "so that the next flow is straight. Colour: the half that a particle starts in.", _rewired, where=_needs("k"),
            along=_over_rewiring, also=("paths", "lines")),
    Picture("ledger", "Where the cost went", "Grey: the cost of the coupling. Each round takes off what bends (S, blue) and "
            "what crossed (V, orange).", _ledger, where=_needs("k"), along=_over_rounds,
            also=("square_cost", "S", "V_before", "cost_before")),
    Picture("steps", "How many steps are enough", "Distance from the data after K Euler steps: a straight flow needs one.",
            _steps, where=_needs("k"), along=_over_flows, also=("w2sq_steps", "w2sq_floor")),
    Picture("bending", "Where the flow bends", "Mean squared acceleration over time, by round: an Euler step of size h errs "
            "by h²|Z″|/2.", _bending, where=_needs("k"), along=_over_flows, also=("curvature",)),
    Picture("speeds", "Straight and curved schedules", "Some particles, with a dot at each eighth of the time: diffusions "
            "bend, and do all their way in a short time.", _speeds, where=_needs("schedule"), along=_over_schedules,
            also=("paths",)),
    Picture("optimal", "Straight is not optimal", "From each start, where the flow goes and where the optimal coupling of "
            "the same ends would.", _optimal, where=_in_the_plane),
    Picture("costs", "Every convex cost falls", "The cost after this round as a share of that before, for four powers.",
            _costs),
    Picture("blur", "Bandwidth", "Of the 2-rectified flow: too wide a kernel blurs the data, too narrow a one repeats pairs.",
            _blur, where=_needs("bandwidth", "k"), along=_over_bandwidth, also=("w2sq_fine", "w2sq_steps", "w2sq_floor")),
    Picture("images", "What became of noise", "The same noise by three samplers.", _images, where=_of_images),
    Picture("network", "Network beside exact field", "The same particles on both.", _network, where=_trained, plays="t"),
    Picture("training", "Training", "The loss of the network comes down to V, which no network passes.", _training,
            where=_trained),
)  # fmt: skip
