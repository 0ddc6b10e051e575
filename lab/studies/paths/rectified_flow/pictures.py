"""The pictures of rectified flow."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_DRAWN = 600  # particles of a panel that moves
_LINES = 48  # trajectories of a panel that stands still


def _tints(way: np.ndarray) -> list[str]:
    """A colour by where a particle starts: two of the lab's, told apart at a glance."""
    up = way[0, :, -1] > np.median(way[0, :, -1])
    return [draw.SOURCE if high else draw.TARGET for high in up]


# ---- one run -----------------------------------------------------------------------------------------------------


def _flow_title(result: xr.Dataset) -> str:
    k = sweeping.parameters(result)["k"]
    return f"{k}-rectified" if k else "the same"


def _euler_title(result: xr.Dataset) -> str:
    steps = sweeping.parameters(result)["euler_steps"]
    return f"{steps} Euler step{'s' if steps > 1 else ''}"


def _film(result: xr.Dataset, at: int, variables: dict[str, str]) -> Any:
    """The variables of these titles side by side, on the density where it is known."""
    ways = {title: draw.plane(result[name])[:, :_DRAWN] for title, name in variables.items()}
    goals = {title: draw.behind(result.goal.values[:_DRAWN], way) for title, way in ways.items()}
    under: dict[str, Any] = {}
    if "density" in result:
        limits = tuple((float(grid[0]), float(grid[-1])) for grid in (result.gx, result.gy))
        under = {"density": result.density.values, "peak": 0.4 * float(result.density.max()), "limits": limits}
    return draw.film(ways, at, goals=goals, note=f"t = {float(result.t[at]):.2f}", **under)


def _motion(result: xr.Dataset, at: int) -> Any:
    k = sweeping.parameters(result)["k"]
    lines = "random pairs" if k <= 1 else f"pairs of k = {k - 1}"
    return _film(result, at, {lines: "lines", _flow_title(result): "paths", _euler_title(result): "euler"})


def _network(result: xr.Dataset, at: int) -> Any:
    return _film(result, at, {_flow_title(result): "paths", "network": "net"})


def share_of_costs(result: xr.Dataset) -> np.ndarray:
    """Each convex cost after this round over that before."""
    return result.cost.values / result.cost_before.values


def _costs(result: xr.Dataset) -> Any:
    at, share = np.arange(result.sizes["p"]), share_of_costs(result)
    pairs = zip(result.cost_before.values, result.cost.values, strict=True)
    return draw.plot(
        draw.bars(at, share, width=0.6),
        draw.text(at, share + 0.05, [f"{b:.4g} → {a:.4g}" for b, a in pairs], side="center"),
        draw.hline(1.0, "before"),
        xlabel="power p of the cost E|Z₁ − Z₀|ᵖ", ylabel="cost after / before", ylim=(0, 1.15), xlim=(-0.6, len(at) - 0.4),
        xticks=[(int(i), f"{p:g}") for i, p in zip(at, result.p.values, strict=True)],
    )


def _on_a_line(result: xr.Dataset) -> str:
    return "" if result.sizes["axis"] == 2 else "on a line straight couplings are optimal: choose data in the plane"


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
        note=f"green: optimal; blue: the flow, {float(result.above_optimal):.1%} dearer",
    )


def _training(result: xr.Dataset) -> Any:
    losses, least = {"network": result.curve_loss}, float(result.V_before)
    if sweeping.parameters(result)["learns"] == "one step":  # V is not what it can come down to
        return draw.training(losses, logy=True)
    return draw.training(losses, least={"network": least}, ylim=(0, None), note=f"dashed: V = {least:.3g}")


def _images(result: xr.Dataset) -> Any:
    """Two rows of images for each sampler, with white lines between them."""
    images = result.images.transpose("sampler", "image", "row", "column", "channel").values
    low, high, wide = images[2].min(), images[2].max(), images.shape[1] // 2
    pixels = np.clip((images[:, : 2 * wide] - low) / (high - low or 1.0), 0, 1)
    framed = np.pad(pixels, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    samplers, _, h, w, channels = framed.shape
    rows = framed.reshape(samplers, 2, wide, h, w, channels).swapaxes(2, 3)
    sheets = rows.reshape(samplers, 2 * h, wide * w, channels)[:, :-1, :-1]
    names = ("one Euler step", _euler_title(result), "the flow")
    return draw.strip((name, sheet[..., 0] if channels == 1 else sheet) for name, sheet in zip(names, sheets, strict=True))


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _rewired(result: xr.Dataset) -> Any:
    stages = {
        "lines, random pairs": result.paths.sel(k=0), "1-rectified flow": result.paths.sel(k=1),
        "lines, its pairs": result.lines.sel(k=2), "2-rectified flow": result.paths.sel(k=2),
    }
    ways = {title: draw.plane(positions) for title, positions in stages.items()}
    return draw.trajectories(ways, colors=_tints(ways["lines, random pairs"]), most=_LINES)


def rounds_of(result: xr.Dataset) -> list[int]:
    """The k that was swept, but for the coupling at random."""
    return sorted(int(k) for k in result.k.values if k > 0)


def _ledger(result: xr.Dataset) -> Any:
    rounds = rounds_of(result)
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
    ]
    return draw.plot(
        *layers, xlabel=draw.label(result.k), ylabel="E|Z₁ - Z₀|²", ylim=(0, 1.12 * start), xlim=(-0.5, at[-1] + 0.6),
        xticks=[(0, "random"), *((k, str(k)) for k in rounds)],
    )


def _steps(result: xr.Dataset) -> Any:
    """The later ones first: where they agree, the first of them is seen."""
    rounds = rounds_of(result)
    colors = {f"k = {k}": tint for k, tint in zip(rounds, draw.colours(len(rounds)), strict=True)}
    lines = {f"k = {k}": result.w2sq_steps.sel(k=k) for k in rounds[::-1]}
    return draw.over(
        result.few, lines, levels={"two samples of the data": float(result.w2sq_floor.mean())}, colors=colors, logx=True,
        logy=True, xlabel="Euler steps K", ylabel="W₂² to the data",
    )


def least_bending(result: xr.Dataset) -> float:
    """Below it a flow does not bend."""
    return 1e-6 * float(result.curvature.max())


def _bending(result: xr.Dataset) -> Any:
    rounds, least, lines = rounds_of(result), least_bending(result), []
    for k, tint in zip(rounds, draw.colours(len(rounds)), strict=True):
        values = result.curvature.sel(k=k).values
        name = f"k = {k}" + (" (none)" if values.max() < least else "")
        lines.append(draw.curve(result.t.values, np.maximum(values, least), name, color=tint))
    return draw.plot(*lines, logy=True, xlabel="time t", ylabel=draw.label(result.curvature))


def _speeds(result: xr.Dataset) -> Any:
    ways = {str(name): draw.plane(result.paths.sel(schedule=name))[:, :16] for name in result.schedule.values}
    return draw.trajectories(ways, colors=_tints(next(iter(ways.values()))), marks=range(0, result.sizes["t"], 4))


def _blur(result: xr.Dataset) -> Any:
    lines = {"the flow": result.w2sq_fine, "one Euler step": result.w2sq_steps.sel(few=1)}
    levels = {"two samples of the data": float(result.w2sq_floor.mean())}
    return draw.over(result.bandwidth, lines, levels=levels, logy=True, ylabel="W₂² to the data")


PICTURES = Pictures(
    Picture("motion", "Lines, flow and Euler steps", "First on the lines that are averaged, then on the flow that "
            "they give, with the same law (shaded) at each time, last in K steps. Orange: data. Play it.", _motion,
            plays="t"),
    Picture("rewired", "Rewiring", "Lines between random pairs cross; the flow turns off instead; its own pairs cross no more, "
            "so that the next flow is straight. Colour: the half that a particle starts in.", _rewired,
            along={"k": (0, 1, 2)}, needs=("paths", "lines")),
    Picture("ledger", "Where the cost went", "Grey: the cost of the coupling. Each round takes off what bends (S, blue) and "
            "what crossed (V, orange).", _ledger, along={"k": (0, 1, 2, 3, 4)},
            needs=("square_cost", "S", "V_before", "cost_before")),
    Picture("steps", "How many steps are enough", "Distance from the data after K Euler steps: a straight flow needs one.",
            _steps, along={"k": (1, 2, 3)}, needs=("w2sq_steps", "w2sq_floor")),
    Picture("bending", "Where the flow bends", "Mean squared acceleration over time, by round: an Euler step of size h errs "
            "by h²|Z″|/2.", _bending, along={"k": (1, 2, 3)}, needs=("curvature",)),
    Picture("speeds", "Straight and curved schedules", "Some particles, with a dot at each eighth of the time: diffusions "
            "bend, and hurry at one end of the time.", _speeds,
            along={"schedule": ("linear", "constant-speed-vp", "sub-vp", "vp")}, needs=("paths",)),
    Picture("optimal", "Flow and optimal coupling", "From each initial sample, lines to the endpoint of the flow and to that "
                                                    "of the optimal coupling "
            "of the same endpoints.", _optimal, where=_on_a_line),
    Picture("costs", "Every convex cost falls", "The cost after this round as a share of that before, for four powers.",
            _costs),
    Picture("blur", "Bandwidth", "Of the 2-rectified flow: too wide a kernel blurs the data, too narrow a one repeats pairs.",
            _blur, along={"bandwidth": (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), "k": (2,)}, when={"k": (2,)},
            needs=("w2sq_fine", "w2sq_steps", "w2sq_floor")),
    Picture("images", "What became of noise", "The same noise by three samplers.", _images, needs=("images",)),
    Picture("network", "Network beside exact field", "The same particles on both.", _network, needs=("net",), plays="t"),
    Picture("training", "Training", "The loss of the network comes down to V, which no network passes.", _training,
            needs=("curve_loss",)),
)
