"""Pictures of rectified flow, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

_DRAWN = 600  # particles of a panel that moves
_ON_A_LINE = "straight couplings on a line are optimal: choose data in the plane"
_LINES = 48  # trajectories of a panel that stands still


def _tints(way: np.ndarray) -> list[str]:
    """A color for each half of the initial samples."""
    up = way[0, :, -1] > np.median(way[0, :, -1])
    return [draw.SOURCE if high else draw.TARGET for high in up]


# ---- one run -----------------------------------------------------------------------------------------------------


def _motion(result: xr.Dataset, at: int) -> Any:
    k, steps = (sweeping.parameters(result)[name] for name in ("k", "euler_steps"))
    lines, flow = "random pairs" if k <= 1 else f"pairs of k = {k - 1}", f"{k}-rectified" if k else "the same"
    variables = {lines: "lines", flow: "paths", f"{steps} Euler step{'s' if steps > 1 else ''}": "euler"}
    ways = {title: draw.plane(result[name])[:, :_DRAWN] for title, name in variables.items()}
    goals = {title: draw.behind(result.goal.values[:_DRAWN], way) for title, way in ways.items()}
    under: dict[str, Any] = {}
    if "density" in result:
        limits = tuple((float(grid[0]), float(grid[-1])) for grid in (result.gx, result.gy))
        under = {"density": result.density.values, "peak": 0.4 * float(result.density.max()), "limits": limits}
    return draw.film(ways, at, goals=goals, note=f"t = {float(result.t[at]):.2f}", **under)


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
    for which, tint in enumerate((draw.MUTED, draw.TARGET)) if "ellipse" in result else ():
        layers.append(draw.curve(*result.ellipse.values[which].T, color=tint))
    return draw.plot(
        *layers, xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[1]), equal=True, height=380
    )


def _training(result: xr.Dataset) -> Any:
    losses, least = {"network": result.curve_loss}, float(result.V_before)
    if sweeping.parameters(result)["learns"] == "one step":  # V bounds the loss of a flow only
        return draw.training(losses, logy=True)
    return draw.training(losses, least={"network": least}, ylim=(0, None), note=f"dashed: V = {least:.3g}")


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _rewired(result: xr.Dataset) -> Any:
    stages = {
        "lines, random pairs": result.paths.sel(k=0),
        "1-rectified flow": result.paths.sel(k=1),
        "lines, its pairs": result.lines.sel(k=2),
        "2-rectified flow": result.paths.sel(k=2),
    }
    ways = {title: draw.plane(positions) for title, positions in stages.items()}
    return draw.trajectories(ways, colors=_tints(ways["lines, random pairs"]), most=_LINES)


def rounds_of(result: xr.Dataset) -> list[int]:
    """The swept k without 0, the random coupling."""
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
        draw.text(
            at, cost + S / 2, [f"S {s:.3g}" if s > 0.04 * start else "" for s in S], color="#ffffff", side="center"
        ),
        draw.text(
            at, cost + S + V / 2, [f"V {v:.3g}" if v > 0.04 * start else "" for v in V], color="#ffffff", side="center"
        ),
    ]
    return draw.plot(
        *layers,
        xlabel=draw.label(result.k),
        ylabel="E|Z₁ - Z₀|²",
        ylim=(0, 1.12 * start),
        xlim=(-0.5, at[-1] + 0.6),
        xticks=[(0, "random"), *((k, str(k)) for k in rounds)],
    )


def _steps(result: xr.Dataset) -> Any:
    """Later rounds first, so that the first one is on top where curves coincide."""
    rounds = rounds_of(result)
    colors = {f"k = {k}": tint for k, tint in zip(rounds, draw.colours(len(rounds)), strict=True)}
    lines = {f"k = {k}": result.w2sq_steps.sel(k=k) for k in rounds[::-1]}
    return draw.over(
        result.few,
        lines,
        levels={"two samples of the data": float(result.w2sq_floor.mean())},
        colors=colors,
        logx=True,
        logy=True,
        xlabel="Euler steps K",
        ylabel="W₂² to the data",
    )


def _speeds(result: xr.Dataset) -> Any:
    ways = {str(name): draw.plane(result.paths.sel(schedule=name))[:, :16] for name in result.schedule.values}
    return draw.trajectories(ways, colors=_tints(next(iter(ways.values()))), marks=range(0, result.sizes["t"], 4))


def _blur(result: xr.Dataset) -> Any:
    lines = {"the flow": result.w2sq_fine, "one Euler step": result.w2sq_steps.sel(few=1)}
    levels = {"two samples of the data": float(result.w2sq_floor.mean())}
    return draw.over(result.bandwidth, lines, levels=levels, logy=True, ylabel="W₂² to the data")


# ---- findings ------------------------------------------------------------------------------------------------------


def _deviation(way: xr.DataArray) -> float:
    """Mean over particles of the largest distance from uniform straight motion, relative to the displacement."""
    x = way.transpose("t", "particle", "axis").values
    straight = x[0] + way.t.values[:, None, None] * (x[-1] - x[0])
    return np.linalg.norm(x - straight, axis=2).max(0).mean() / np.linalg.norm(x[-1] - x[0], axis=1).mean()


def _rewired_finding(result: xr.Dataset) -> str:
    first, second = (percent(_deviation(result.paths.sel(k=k))) for k in (1, 2))
    return f"Paths deviate from straight lines by {first} of the displacement at k = 1, by {second} at k = 2"


def _ledger_finding(result: xr.Dataset) -> str:
    rounds = rounds_of(result)
    before = float(result.cost_before.sel(k=rounds[0], p=2.0))
    first, last = (float(result.square_cost.sel(k=rounds[place])) for place in (0, -1))
    fall, later = 1 - first / before, (first - last) / before
    verb, then = ("lower" if change >= 0 else "raise" for change in (fall, later))
    text = f"Round {rounds[0]} {verb}s the transport cost by {percent(abs(fall))}"
    if len(rounds) == 1:
        return text
    if abs(later) < 5e-5:
        return f"{text}; later rounds do not change it"
    return f"{text}, later rounds {then} it by {percent(abs(later))} of the initial cost"


def _steps_finding(result: xr.Dataset) -> str:
    rounds, few = rounds_of(result), result.few.values
    first, second = (result.w2sq_steps.sel(k=k).values for k in (rounds[0], rounds[:2][-1]))
    if not np.isfinite([*first, *second]).all():
        return ""
    if len(rounds) == 1:
        return f"W₂² is {number(first[0], 3)} after one Euler step and {number(first[-1], 3)} after {few[-1]}"
    as_near = few[first <= second[0]]
    if not as_near.size:
        return f"{few[-1]} Euler steps at k = {rounds[0]} have a higher W₂² than one at k = {rounds[1]}"
    if as_near[0] == few[0]:
        return f"The W₂² of one Euler step is no higher at k = {rounds[0]} than at k = {rounds[1]}"
    return f"k = {rounds[0]} takes {as_near[0]} Euler steps to reach the W₂² of one step at k = {rounds[1]}"


def _busiest(way: xr.DataArray) -> float:
    """The largest fraction of the path length covered in one eighth of the time."""
    x = way.transpose("t", "particle", "axis").values
    done = np.linalg.norm(np.diff(x, axis=0), axis=2).mean(1).reshape(8, -1).sum(1)
    return done.max() / done.sum()


def _speeds_finding(result: xr.Dataset) -> str:
    most = {str(name): _busiest(result.paths.sel(schedule=name)) for name in result.schedule.values}
    fast, even = max(most, key=lambda name: most[name]), min(most, key=lambda name: most[name])
    text = f"In its busiest eighth of the time, {fast} covers {percent(most[fast])} of the path"
    return text if fast == even else f"{text}, {even} {percent(most[even])}"


def _blur_finding(result: xr.Dataset) -> str:
    known = result.w2sq_fine.dropna("bandwidth")
    if not known.size:
        return ""
    low, high = known[known.values.argmin()], known[known.values.argmax()]
    if number(float(low), 3) == number(float(high), 3):
        return f"The flow has W₂² = {number(float(low), 3)} at every bandwidth"
    ends = [f"{number(float(at), 2)} at h = {float(at.bandwidth):g}" for at in (low, high)]
    return f"The W₂² of the flow ranges from {ends[0]} to {ends[1]}"


def _training_finding(result: xr.Dataset) -> str:
    ends = settled(result.curve_loss)
    if not np.isfinite(ends):
        return "The training diverged in its first steps"
    if sweeping.parameters(result)["learns"] == "one step":
        return f"The loss ends at {number(ends, 2)}; one network step has W₂² = {number(float(result.net_w2sq), 3)}"
    bound, distance = number(float(result.V_before), 3), number(float(result.net_w2sq), 3)
    return f"The loss ends at {number(ends, 3)}, its lower bound is V = {bound}; the network has W₂² = {distance}"


PICTURES = Pictures(
    Picture(
        "motion",
        "Lines, flow and Euler steps",
        "Left: lines between pairs. Middle: the flow, with the same distribution (shaded) at each time. Right: K Euler "
        "steps. Blue: particles; orange: data.",
        _motion,
        plays="t",
    ),
    Picture(
        "rewired",
        "Rewiring",
        "Lines: paths of the same particles, as random pairs, the flow fitted to them, its pairs, and the next flow. "
        "Color: half of the source in which a particle starts.",
        _rewired,
        along={"k": (0, 1, 2)},
        needs=("paths", "lines"),
        finds=_rewired_finding,
    ),
    Picture(
        "ledger",
        "Where the cost went",
        "Gray: transport cost of the coupling after each round. Blue: bending S. Orange: crossing V before the round. "
        "With straight lines each bar adds up to the previous cost, in expectation.",
        _ledger,
        along={"k": (0, 1, 2, 3, 4)},
        needs=("square_cost", "S", "V_before", "cost_before"),
        finds=_ledger_finding,
    ),
    Picture(
        "steps",
        "How many steps are enough",
        "Lines: squared distance to the data after K Euler steps, by round. Dashed: distance of two samples of the data.",
        _steps,
        along={"k": (1, 2, 3)},
        needs=("w2sq_steps", "w2sq_floor"),
        finds=_steps_finding,
    ),
    Picture(
        "speeds",
        "Straight and curved schedules",
        "Lines: paths of 16 particles under each schedule. Dots: their positions at each eighth of the time. Color: half of "
        "the source in which a particle starts.",
        _speeds,
        along={"schedule": ("linear", "constant-speed-vp", "sub-vp", "vp")},
        needs=("paths",),
        finds=_speeds_finding,
    ),
    Picture(
        "optimal",
        "Flow and optimal coupling",
        "Blue: lines from initial samples to endpoints of the flow. Green: lines to endpoints in the optimal coupling. Gray "
        "and orange: initial samples and endpoints.",
        _optimal,
        where=lambda result: "" if result.sizes["axis"] == 2 else _ON_A_LINE,
        finds="This coupling costs {above_optimal:.1%} more than the optimal coupling of the same endpoints",
    ),
    Picture(
        "blur",
        "Bandwidth",
        "Lines: squared distance of the 2-rectified flow to the data, finely integrated and in one Euler step. Dashed: "
        "distance of two samples of the data.",
        _blur,
        along={"bandwidth": (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), "k": (2,)},
        when={"k": (2,)},
        needs=("w2sq_fine", "w2sq_steps", "w2sq_floor"),
        finds=_blur_finding,
    ),
    Picture(
        "training",
        "Training",
        "Line: training loss of the network. Dashed: V, the lower bound of the loss of a flow.",
        _training,
        needs=("curve_loss",),
        finds=_training_finding,
    ),
)
