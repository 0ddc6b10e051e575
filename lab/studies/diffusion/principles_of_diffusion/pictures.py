"""The pictures of the principles of diffusion."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_TITLES = {"sampler": "{} in {} steps", "exact flow": "exact flow", "ancestral": "ancestral, 150 steps"}
_LINES = 40


def _ways(result: xr.Dataset) -> dict[str, np.ndarray]:
    given = sweeping.parameters(result)
    return {
        _TITLES[way].format(given["sampler"], given["steps"]): result.paths.sel(way=way) for way in result.way.values
    }


def _motion(result: xr.Dataset, at: int) -> Any:
    ways = {title: draw.plane(each) for title, each in _ways(result).items()}
    first = next(iter(ways.values()))
    density = result.density.values if "density" in result else None
    limits = None if density is None else (_ends(result.column.values), _ends(result.row.values))
    return draw.film(
        ways, at, goals=None if density is not None else draw.behind(result.goals.values, first), density=density,
        peak=None if density is None else float(np.quantile(density.max(axis=(1, 2)), 0.5)), limits=limits,
        note=f"log(a/s) = {float(result.log_snr[at]):.2f}",
        colors=dict.fromkeys(ways, draw.SOURCE if density is None else draw.TARGET),
    )


def _ends(middles: np.ndarray) -> tuple[float, float]:
    half = (middles[1] - middles[0]) / 2
    return float(middles[0] - half), float(middles[-1] + half)


def _spacetime(result: xr.Dataset) -> Any:
    """Flow lines over the density, and the chords that one average step would take."""
    t, x = result.t.values, result.position.values
    fine = np.linspace(0, 1, 161)
    shade = np.stack([np.interp(fine, t, column) for column in np.sqrt(result.line.values).T])
    ways = result.paths.sel(way="exact flow").values[:, :_LINES, 0]
    chords = ways[[0, -1], :8]
    return draw.heatmap(
        shade, rows=x, cols=fine, xlabel="way from noise to data (log-SNR)", ylabel="x, on the scale of the data",
        clabel="root of density", outline=False, equal=False, height=420,
        marks=[
            draw.curve(*_broken(t, ways), color=draw.INK),
            draw.curve(*_broken(np.array([0.0, 1.0]), chords), color=draw.TARGET, dash=True),
        ],
    )


def _broken(t: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines (t, line) as one broken line."""
    gap = np.full((1, ways.shape[1]), np.nan)
    return np.concatenate([np.tile(t[:, None], ways.shape[1]), gap]).T.ravel(), np.concatenate([ways, gap]).T.ravel()


def _errors(result: xr.Dataset) -> Any:
    tints = dict(zip(result.compared.values, draw.colours(result.sizes["compared"]), strict=True))
    layers = [
        draw.curve(
            result.calls.sel(compared=name), result.errors.sel(compared=name), str(name), color=tints[name], markers=True
        )
        for name in result.compared.values
    ]
    calls = np.array([20.0, 320.0])
    top = float(result.errors.max())
    for order in (1, 2):
        layers.append(draw.curve(calls, top * (calls / calls[0]) ** -order, f"order {order}", color=draw.MUTED, dash=True))
    layers.append(draw.vline(float(result.evaluations), "here", color=draw.MUTED, dash=True))
    return draw.plot(*layers, logx=True, logy=True, xlabel="evaluations of the denoiser", ylabel="error of the end", height=380)


def _fields(result: xr.Dataset, at: int) -> Any:
    """Five panels of arrows, each as long as its picture allows."""
    places = result.places.values
    (left, right), (low, high) = _ends(result.column.values), _ends(result.row.values)
    wide, tall = right - left, high - low
    cell = wide / np.sqrt(len(places))
    layers: list[Any] = []
    for number, kind in enumerate(result.kind.values):
        arrows = result.arrows.sel(kind=kind)[at].values
        length = np.hypot(*arrows.T)
        ends = places + arrows * (0.9 * cell / (np.quantile(length, 0.95) or 1.0))
        shift = np.array([number * 1.1 * wide, 0.0])
        start, end = places + shift, ends + shift
        layers.append(draw.segments(*start.T, *end.T, color=draw.SOURCE, width=0.9))
        layers.append(draw.points(*end.T, color=draw.SOURCE, size=0.2))
        layers.append(draw.text([left + shift[0]], [high + 0.05 * tall], str(kind), color=draw.INK))
    note = draw.text([left], [low - 0.1 * tall], f"log(a/s) = {float(result.log_snr[at]):.2f}", color=draw.MUTED)
    span = (left, left + (5 * 1.1 - 0.1) * wide)
    return draw.frame([*layers, note], span, (low - 0.15 * tall, high + 0.15 * tall), equal=True, bare=True, height=240)


def _guidance(result: xr.Dataset) -> Any:
    """The ends of the sampler over the tilted law, as guidance grows."""
    panels = {}
    for w, run in ((w, result.sel(w=w)) for w in result.w.values):
        title = f"w = {w:g}: spread {float(run.spread):.2g}, tilted {float(run.spread_tilted):.2g}"
        panels[title] = draw.Panel(
            run.paths.sel(way="sampler").values[-1], None, run.tilted.values / run.tilted.values.max(), color=draw.TARGET
        )
    return draw.particles(
        panels, _ends(result.column.values), _ends(result.row.values), peak=1.0, height=300
    )


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
        *layers, xlabel="log(a/s): noise at the left, data at the right", yticks=list(enumerate(names[::-1])),
        ylim=(-0.6, len(names) - 0.4), xlim=(low - 0.03 * (high - low), high + 0.25 * (high - low)), height=260,
    )


def _schedules(result: xr.Dataset) -> Any:
    names = [str(name) for name in result.schedule_name.values]
    here = sweeping.parameters(result)["schedule"]
    tints = {name: draw.INK if name == here else tint for name, tint in zip(names, draw.colours(len(names)), strict=True)}
    layers = [
        draw.curve(result.clock, result.table_log_snr.sel(schedule_name=name), name, color=tints[name]) for name in names
    ]
    return draw.plot(*layers, xlabel="way from noise to data, in time", ylabel="log(a/s)", height=340)


def _weights(result: xr.Dataset) -> Any:
    here = sweeping.parameters(result)["schedule"]
    lines = result.weight.sel(schedule_name=here)
    x = result.table_log_snr.sel(schedule_name=here).values
    tints = draw.colours(result.sizes["kind"])
    layers = [
        draw.curve(x, lines.sel(kind=kind), f"loss in {kind}", color=tint)
        for kind, tint in zip(result.kind.values, tints, strict=True)
    ]
    return draw.plot(*layers, logy=True, xlabel="log(a/s)", ylabel="weight of |D - x₀|²", height=340)


def _table(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"sampler": [str(name) for name in result.compared.values]}
    for count in (10, 20, 40, 160):
        columns[f"{count} steps"] = result.errors.sel(budget=count).values
    return draw.table(columns | {"order": result.order.values})


PICTURES = Pictures(
    Picture("motion", "From noise to data", "The same noise by the sampler, by the exact flow, and with fresh noise on the "
            "way; on the scale of the data, over the noised law. Play it: what is decided late moves far at the end.", _motion,
            plays="t"),
    Picture("errors", "Error by evaluations", "How far ends are from those of the exact flow. Dashed grey: orders 1 and 2. At "
            "few evaluations the order says little.", _errors),
    Picture("spacetime", "Flow lines", "The noised law on a line, and the flow through it; dashed: the straight steps that "
            "average velocity would take.", _spacetime, needs=("line",)),
    Picture("fields", "Five predictions", "What a network may learn to predict, from the same places at one level. They hold "
            "the same; of data the way to the denoised point.", _fields, needs=("arrows",), plays="t"),
    Picture("guidance", "Guidance", "Dots: where the sampler ends; shade: the law that guidance is often said to draw from.",
            _guidance, along={"w": (0.0, 1.0, 3.0)}, needs=("paths", "tilted", "spread", "spread_tilted"),
            when={"guided": (True,)}, why="no class is asked for"),
    Picture("grids", "Where the steps are", "Each grid with as many steps, and the error of the sampler on it.", _grids),
    Picture("schedules", "Schedules", "Half the logarithm of signal to noise along the time of each schedule: the same levels "
            "at other times.", _schedules),
    Picture("weights", "Losses", "A loss in another prediction is a weighted loss in the denoised point: which levels a "
            "training looks at.", _weights),
    Picture("table", "In numbers", "Errors of all samplers, and the observed order from 80 to 160 steps.", _table),
)
