"""The pictures of the principles of diffusion."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_TITLES = {"sampler": "{} in {} steps", "exact flow": "exact flow", "ancestral": "ancestral, 150 steps"}


def _motion(result: xr.Dataset, at: int) -> Any:
    given = sweeping.parameters(result)
    titles = {way: _TITLES[way].format(given["sampler"], given["steps"]) for way in result.way.values}
    ways = {title: draw.plane(result.paths.sel(way=way)) for way, title in titles.items()}
    return _film(result, ways, at, slice(None), note=f"log(a/s) = {float(result.log_snr[at]):.2f}")


def _film(result: xr.Dataset, ways: dict[str, np.ndarray], at: int, frames: slice, **axes: Any) -> Any:
    """Ways over the frames of the noised law, or before data."""
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
    """Flow lines over the density, and the chords that one average step would take."""
    t, x = result.t.values, result.position.values
    fine = np.linspace(0, 1, 161)
    shade = np.stack([np.interp(fine, t, column) for column in np.sqrt(result.line.values).T])
    ways = result.paths.sel(way="exact flow").values[:, :40, 0]
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
    return draw.particles(panels, _ends(result.column.values), _ends(result.row.values), peak=1.0, height=300)


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
    here = sweeping.parameters(result)["schedule"]
    lines = {str(name): result.table_log_snr.sel(schedule_name=name) for name in result.schedule_name.values}
    axes: Any = {"xlabel": "way from noise to data, in time", "ylabel": "log(a/s)"}
    return draw.over(result.clock, lines, colors={here: draw.INK}, markers=False, height=340, **axes)


def _weights(result: xr.Dataset) -> Any:
    here = result.sel(schedule_name=sweeping.parameters(result)["schedule"])
    lines = {f"loss in {kind}": here.weight.sel(kind=kind) for kind in result.kind.values}
    axes: Any = {"xlabel": "log(a/s)", "ylabel": "weight of |D - x₀|²"}
    return draw.over(here.table_log_snr, lines, markers=False, logy=True, height=340, **axes)


def _table(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"sampler": [str(name) for name in result.compared.values]}
    for count in (10, 20, 40, 160):
        columns[f"{count} steps"] = result.errors.sel(budget=count).values
    return draw.table(columns | {"order": result.order.values})


def _few(result: xr.Dataset) -> Any:
    """Where a few calls of the learned map lead, over the law or over data."""
    ways = {}
    for k in result.few.values:
        far = float(result.few_w2sq.sel(few=k))
        ends = result.few_ends.sel(few=[k]).rename(few="t").assign_coords(t=[1.0])
        ways[f"{k} call{'s' if k > 1 else ''}: W₂² = {far:.2g}"] = draw.plane(ends)
    return _film(result, ways, 0, slice(-1, None), height=300)


def _calls(result: xr.Dataset) -> Any:
    learns = sweeping.parameters(result)["learns"]
    lines = {
        learns if maker == "map" else f"{maker}, exact": result.few_errors.sel(maker=maker) for maker in result.maker.values
    }
    axes: Any = {"logx": True, "logy": True, "xlabel": "calls", "ylabel": "error of the end", "height": 340}
    return draw.over(result.few, lines, colors={learns: draw.INK}, **axes)


def _residuals(result: xr.Dataset) -> Any:
    lines = {name: result.residual.sel(identity=name) for name in result.identity.values}
    lines = {str(name): line for name, line in lines.items() if np.isfinite(line).all()}
    axes: Any = {"xlabel": "log(a/s) from which the map leads", "ylabel": "residual"}
    return draw.over(result.looked_log_snr, lines, logy=True, height=340, **axes)


PICTURES = Pictures(
    Picture("motion", "From noise to data", "The same noise by the sampler, by the exact flow, and with fresh noise on "
            "the way, on the scale of the data. Play: what is decided late moves far.", _motion,
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
    Picture("few", "In a few calls", "Samples of the network from the same noise in 1, 2, 4 and 8 calls.", _few,
            needs=("few_ends",)),
    Picture("calls", "By calls", "How far ends are from those of the exact flow, beside samplers that ask the exact denoiser "
            "as often. A consistency model has fresh noise between calls, so that only its first has an error.", _calls,
            needs=("few_errors",)),
    Picture("residuals", "What is left of the identities", "On the exact flow, in units of the data; the exact map has none. "
            "MeanFlow's identity is the Eulerian one, the shortcut's that of the semigroup; a consistency model leads to the "
            "data alone, and can be asked the first only.", _residuals, needs=("residual",)),
    Picture("training", "Training", "From data the loss has a floor that no map passes; that of MeanFlow need not fall, since "
            "what it aims at moves with it.", lambda result: draw.training({"network": result.curve_loss}, logy=True),
            needs=("curve_loss",)),
    Picture("table", "In numbers", "Errors of all samplers, and the observed order from 80 to 160 steps.", _table),
)
