"""Pictures of samplers, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number

_SAMPLERS = {
    "euler": "Euler",
    "heun": "Heun",
    "edm-heun": "EDM's Heun",
    "ddim": "DDIM",
    "dpm-2": "DPM-Solver-2",
    "dpm++2m": "DPM-Solver++ (2M)",
}
_GRIDS = {
    "time": "the grid even in time",
    "log-snr": "the grid even in log-SNR",
    "karras": "the Karras grid",
    "quadratic": "the quadratic grid",
    "change": "the grid even in change",
}
ERROR = Comparison("error", "error after 160 steps", _SAMPLERS, result="errors", along="compared", at={"budget": 160})
GRID = Comparison("grid", "sampler error by grid", _GRIDS, result="grid_error", along="grid")
_TITLES = {"sampler": "{} in {} steps", "exact flow": "exact flow", "ancestral": "ancestral, 150 steps"}


def _motion(result: xr.Dataset, at: int) -> Any:
    given = sweeping.parameters(result)
    titles = {way: _TITLES[way].format(given["sampler"], given["steps"]) for way in result.way.values}
    ways = {title: draw.plane(result.paths.sel(way=way)) for way, title in titles.items()}
    return _film(result, ways, at, slice(None), note=f"log(a/s) = {float(result.log_snr[at]):.2f}")


def _film(result: xr.Dataset, ways: dict[str, np.ndarray], at: int, frames: slice, **axes: Any) -> Any:
    """Paths over the noised distribution, or over data."""
    if "density" not in result:
        goals = draw.behind(result.goals.values, next(iter(ways.values())))
        return draw.film(ways, at, goals=goals, colors=dict.fromkeys(ways, draw.TARGET), **axes)
    density, limits = result.density.values[frames], (_ends(result.column.values), _ends(result.row.values))
    return draw.film(
        ways, at, density=density, peak=float(np.quantile(density.max(axis=(1, 2)), 0.5)), limits=limits, **axes
    )


def _ends(middles: np.ndarray) -> tuple[float, float]:
    half = (middles[1] - middles[0]) / 2
    return float(middles[0] - half), float(middles[-1] + half)


def _spacetime(result: xr.Dataset) -> Any:
    """Flow lines over the density, and chords."""
    t, x = result.t.values, result.position.values
    fine = np.linspace(0, 1, 161)
    shade = np.stack([np.interp(fine, t, column) for column in np.sqrt(result.line.values).T])
    ways = result.paths.sel(way="exact flow").values[:, :40, 0]
    chords = ways[[0, -1], :8]
    return draw.heatmap(
        shade,
        rows=x,
        cols=fine,
        xlabel="progress from noise to data (log-SNR)",
        ylabel="x, on the scale of the data",
        clabel="root of density",
        outline=False,
        equal=False,
        height=420,
        marks=[
            draw.curve(*_broken(t, ways), color=draw.INK),
            draw.curve(*_broken(np.array([0.0, 1.0]), chords), color=draw.TARGET, dash=True),
        ],
    )


def _spacetime_finding(result: xr.Dataset) -> str:
    t, lines = result.t.values[:, None], result.paths.sel(way="exact flow").values[:, :8, 0]  # those with a chord
    bend = np.abs(lines - (1 - t) * lines[0] - t * lines[-1]).max()
    return f"Flow lines bend up to {number(bend, 2)} off their straight steps, whose ends span {number(np.ptp(lines[-1]), 2)}"


def _broken(t: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines (t, line) as one broken line."""
    gap = np.full((1, ways.shape[1]), np.nan)
    return np.concatenate([np.tile(t[:, None], ways.shape[1]), gap]).T.ravel(), np.concatenate([ways, gap]).T.ravel()


def _errors(result: xr.Dataset) -> Any:
    tints = zip(result.compared.values, draw.colours(result.sizes["compared"]), strict=True)
    layers = [
        draw.curve(result.calls.sel(compared=at), result.errors.sel(compared=at), str(at), color=tint, markers=True)
        for at, tint in tints
    ]
    calls = np.array([20.0, 320.0])
    top = float(result.errors.max())
    for order in (1, 2):
        line = top * (calls / calls[0]) ** -order
        layers.append(draw.curve(calls, line, f"order {order}", color=draw.MUTED, dash=True))
    layers.append(draw.vline(float(result.evaluations), "here", color=draw.MUTED, dash=True))
    return draw.plot(
        *layers, logx=True, logy=True, xlabel="evaluations of the denoiser", ylabel="error of the end", height=380
    )


def _guidance(result: xr.Dataset) -> Any:
    """The ends of the sampler over the tilted distribution, as guidance grows."""
    panels = {}
    for w, run in ((w, result.sel(w=w)) for w in result.w.values):
        title = f"w = {w:g}: spread {float(run.spread):.2g}, tilted {float(run.spread_tilted):.2g}"
        shade, ends = run.tilted.values / run.tilted.values.max(), run.paths.sel(way="sampler").values[-1]
        panels[title] = draw.Panel(ends, None, shade, color=draw.TARGET)
    return draw.particles(panels, _ends(result.column.values), _ends(result.row.values), peak=1.0, height=300)


def _guidance_finding(result: xr.Dataset) -> str:
    run = result.sel(w=result.w.max())
    ours, law = float(run.spread), float(run.spread_tilted)
    told = f"At w = {float(run.w):g} samples spread by {number(ours, 2)}"
    if not np.isfinite(law):
        return f"{told}; the tilted distribution has no finite mass"
    how = "as wide" if abs(ours / law - 1) < 0.02 else "narrower" if ours < law else "wider"
    return f"{told}, the tilted distribution by {number(law, 2)}: they are {how}"


def _grids(result: xr.Dataset) -> Any:
    """A row of ticks for each grid."""
    layers: list[Any] = []
    names = [str(name) for name in result.grid.values]
    low, high = float(result.knots.min()), float(result.knots.max())
    for row, name in enumerate(names[::-1]):
        at = result.knots.sel(grid=name).values
        layers.append(draw.points(at, np.full(len(at), row), color=draw.SOURCE, size=0.5))
        error = f"error {float(result.grid_error.sel(grid=name)):.2g}" if "grid_error" in result else ""
        layers.append(draw.text([high + 0.03 * (high - low)], [row], error, color=draw.MUTED))
    return draw.plot(
        *layers,
        xlabel="log(a/s): noise at the left, data at the right",
        yticks=list(enumerate(names[::-1])),
        ylim=(-0.6, len(names) - 0.4),
        xlim=(low - 0.03 * (high - low), high + 0.25 * (high - low)),
        height=260,
    )


def _schedules(result: xr.Dataset) -> Any:
    here = sweeping.parameters(result)["schedule"]
    lines = {str(name): result.table_log_snr.sel(schedule_name=name) for name in result.schedule_name.values}
    axes: Any = {"xlabel": "progress from noise to data, in time", "ylabel": "log(a/s)"}
    return draw.over(result.clock, lines, colors={here: draw.INK}, markers=False, height=340, **axes)


def _schedules_finding(result: xr.Dataset) -> str:
    here = sweeping.parameters(result)["schedule"]
    half = result.table_log_snr.sel(clock=0.5, method="nearest")
    own, others = float(half.sel(schedule_name=here)), half.drop_sel(schedule_name=here).values
    low, high = number(others.min(), 2), number(others.max(), 2)
    return f"Halfway in time {here} has log(a/s) = {number(own, 2)}, the others {low} to {high}"


def _few(result: xr.Dataset) -> Any:
    """Ends of a few calls of the learned map."""
    ways = {}
    for k in result.few.values:
        far = float(result.few_w2sq.sel(few=k))
        ends = result.few_ends.sel(few=[k]).rename(few="t").assign_coords(t=[1.0])
        ways[f"{k} call{'s' if k > 1 else ''}: W₂² = {far:.2g}"] = draw.plane(ends)
    return _film(result, ways, 0, slice(-1, None), height=300)


def _few_finding(result: xr.Dataset) -> str:
    one, most = (float(result.few_w2sq[at]) for at in (0, -1))
    return f"One call ends at W₂² = {number(one, 2)} from fresh data, {int(result.few[-1])} calls at {number(most, 2)}"


def _calls(result: xr.Dataset) -> Any:
    learns = sweeping.parameters(result)["learns"]
    titles = {maker: learns if maker == "map" else f"{maker}, exact" for maker in result.maker.values}
    lines = {title: result.few_errors.sel(maker=maker) for maker, title in titles.items()}
    axes: Any = {"logx": True, "logy": True, "xlabel": "calls", "ylabel": "error of the end", "height": 340}
    return draw.over(result.few, lines, colors={learns: draw.INK}, **axes)


def _calls_finding(result: xr.Dataset) -> str:
    one = float(result.few_errors.sel(maker="map")[0])
    told, most = f"One call of {sweeping.parameters(result)['learns']} errs by {number(one, 2)}", int(result.few[-1])
    near = {}
    for name in result.maker.values[1:]:
        reached = np.flatnonzero(result.few_errors.sel(maker=name).values <= one)
        near |= (
            {int(result.few[reached[0]]): str(name)} if reached.size and int(result.few[reached[0]]) not in near else {}
        )
    if not near:
        return f"{told}; no sampler comes as near in {most} calls"
    calls = min(near)
    return f"{told}; {near[calls]} comes as near in {calls} call{'s' * (calls > 1)}"


PICTURES = Pictures(
    Picture(
        "motion",
        "From noise to data",
        "Points: the same noise transported by the sampler, by the exact flow, and by ancestral sampling; shade: noised "
        "distribution; all on the scale of the data.",
        _motion,
        plays="t",
    ),
    Picture(
        "errors",
        "Error by evaluations",
        "Lines: root mean square distance to the ends of the exact flow; dashed: orders 1 and 2.",
        _errors,
        finds=ERROR.finding,
    ),
    Picture(
        "spacetime",
        "Flow lines",
        "Shade: noised distribution on a line; lines: flow; dashed: straight steps of average velocity.",
        _spacetime,
        needs=("line",),
        finds=_spacetime_finding,
    ),
    Picture(
        "guidance",
        "Guidance",
        "Dots: ends of the sampler; shade: tilted distribution.",
        _guidance,
        along={"w": (0.0, 1.0, 3.0)},
        needs=("paths", "tilted", "spread", "spread_tilted"),
        when={"guided": (True,)},
        why="no class is chosen",
        finds=_guidance_finding,
    ),
    Picture(
        "grids",
        "Time grids",
        "Dots: times of each grid, with equally many steps; number: error of the sampler on it.",
        _grids,
        finds=GRID.finding,
    ),
    Picture(
        "schedules",
        "Schedules",
        "Lines: half the log signal-to-noise ratio along the time of each schedule.",
        _schedules,
        finds=_schedules_finding,
    ),
    Picture(
        "few",
        "Few calls of a network",
        "Points: ends of the learned map after 1, 2, 4 and 8 calls.",
        _few,
        needs=("few_ends",),
        finds=_few_finding,
    ),
    Picture(
        "calls",
        "Error by calls",
        "Lines: root mean square distance to the ends of the exact flow, for the network and for samplers with as many "
        "evaluations of the exact denoiser. A consistency model adds noise between calls, so only its first call has an error.",
        _calls,
        needs=("few_errors",),
        finds=_calls_finding,
    ),
)
