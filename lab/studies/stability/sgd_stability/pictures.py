"""The pictures of SGD stability: their captions and findings, and the parameters that a click sets."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number, percent

from .experiment import limits, ways_trained

_TINT = {"SGD": draw.SOURCE, "GD": draw.TARGET}


def _over_eta(times: float) -> str:
    return f"{times:.3g} / η" if np.isfinite(times) else ""


def _curved(result: xr.Dataset) -> str:
    """Whether there is a learning rate to draw."""
    return "every learning rate is stable where the Hessian is 0" if float(result.lmax_end.max()) == 0 else ""


def _late_ways(result: xr.Dataset) -> list[str]:
    """Which of the runs at η did not interpolate."""
    return [way for way in ways_trained(result) if float(result.interpolated.sel(way=way)[0]) == 0]


def _marked(result: xr.Dataset, *said: str) -> str:
    """A note that says of which runs the bounds say nothing; short, since a column of print has room for 45 letters."""
    late = _late_ways(result)
    return "; ".join([*said, *([f"{' and '.join(late)} did not interpolate"] if late else [])])


def _starred(result: xr.Dataset, way: str) -> str:
    return f"{way}*" if way in _late_ways(result) else way


def _along_rates(result: xr.Dataset, name: str, way: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learning rates, values and whether they interpolate, by learning rate."""
    order = np.argsort(result.rates.values)
    done = result.interpolated.sel(way=way).values[order] == 1
    return result.rates.values[order], result[name].sel(way=way).values[order], done


def _ends(result: xr.Dataset, text: str, of: Callable[[str], Any]) -> str:
    """The text, whose braces are replaced by a number of each method."""
    values = {way: float(of(way)) for way in ways_trained(result)}
    known = [f"{number(value, 2)} with {way}" for way, value in values.items() if np.isfinite(value)]
    return text.format(", ".join(known)) if known else "All runs diverge"


def _eta(result: xr.Dataset) -> float:
    return sweeping.parameters(result)["eta"]


def _sweep_layers(result: xr.Dataset, name: str, label: str, dash: bool = False) -> list[Any]:
    layers: list[Any] = []
    for way in ways_trained(result):
        eta, values, done = _along_rates(result, name, way)
        layers += [
            draw.curve(eta, values, f"{label} {way}".strip(), color=_TINT[way], dash=dash),
            draw.points(eta[done], values[done], color=_TINT[way]),
            draw.points(eta[~done], values[~done], color=draw.MUTED),
        ]
    return layers


def _by_rate(result: xr.Dataset, *layers: Any, high: float, **axes: Any) -> Any:
    """Layers over the learning rate, and the number of runs that did not interpolate."""
    late = sum(int((result.interpolated.sel(way=way) == 0).sum()) for way in ways_trained(result))
    note = f"gray: {late} runs that did not interpolate" if late else "all runs interpolate"
    axes |= {"xlabel": "learning rate η", "logx": True, "logy": True}
    return draw.plot(*layers, note=note, ylim=(None, high), **axes)


def _largest(values: xr.DataArray) -> float:
    return float(values.where(np.isfinite(values)).max())


def _sweep(result: xr.Dataset) -> Any:
    eta, (trace, descent) = np.sort(result.rates.values), limits(result)
    trace = trace if np.isfinite(trace) else np.nan
    second = descent if descent != trace else np.nan  # a picture keeps its layers
    return _by_rate(
        result,
        draw.curve(eta, 2 * trace / eta, _over_eta(2 * trace), color=draw.INK),
        draw.curve(eta, 2 * second / eta, _over_eta(2 * second), color=draw.INK, dash=True),
        *_sweep_layers(result, "final_tr", "tr"),
        *_sweep_layers(result, "final_lmax", "λmax", dash=True),
        high=4 * max(2 * np.nanmax([trace, descent]) / eta[0], _largest(result.final_tr)),
        ylabel="tr and λmax of G at the end",
        height=360,
    )


def _sweep_finding(result: xr.Dataset) -> str:
    trace, descent = limits(result)
    name, words, times = ("final_tr", "tr", trace) if np.isfinite(trace) else ("final_lmax", "λmax", descent)
    told = []
    for way in ways_trained(result):
        eta, values, done = _along_rates(result, name, way)
        if done.any():
            told.append(f"{int((values[done] <= 2 * times / eta[done]).sum())} of {done.sum()} runs of {way}")
    if not told:
        return "No run interpolates, so no bound applies"
    return f"Where the loss vanishes {words} is at most {_over_eta(2 * times)} in {', '.join(told)}"


def _error(result: xr.Dataset) -> Any:
    here = draw.vline(_eta(result), "η", color=draw.MUTED, dash=True)
    layers = _sweep_layers(result, "final_test_error", "")
    return _by_rate(result, *layers, here, high=8 * _largest(result.final_test_error), ylabel="test error at the end")


def _norms(result: xr.Dataset) -> Any:
    eta, trace, layers = np.sort(result.rates.values), limits(result)[0], _sweep_layers(result, "final_path_norm", "")
    if result.attrs["model"] != "diagonal":
        return _by_rate(result, *layers, high=8 * _largest(result.final_path_norm), ylabel="path norm at the end")
    trace = trace if np.isfinite(trace) else np.nan
    limit = draw.curve(eta, 3 * trace / eta, _over_eta(3 * trace), color=draw.INK)
    high = 8 * float(np.nanmax([3 * trace / eta[0], _largest(result.final_path_norm)]))
    return _by_rate(result, limit, *layers, high=high, ylabel="|a∘b|₁ at the end")


def _click_eta(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    """The trained learning rate that is nearest."""
    if x <= 0:
        return {}
    rates = result.rates.values
    return {"eta": float(f"{rates[np.abs(np.log(rates / x)).argmin()]:.6g}")}


def _edge(result: xr.Dataset) -> Any:
    eta, (trace, descent) = _eta(result), limits(result)
    levels = [draw.hline(descent, color=draw.INK)] if descent != trace else []
    levels += [draw.hline(trace, color=draw.INK, dash=False)] if np.isfinite(trace) else []
    lines = [
        draw.curve(result.step.values, eta * result[name].sel(way=way) / 2, label + way, color=_TINT[way], dash=dash)
        for way in ways_trained(result)
        for name, label, dash in (("tr", "η tr / 2 ", False), ("lmax", "η λmax / 2 ", True))
    ]
    high = eta * _largest(result.tr) / 2
    return draw.plot(
        *lines,
        *levels,
        logy=True,
        xlabel="step",
        ylabel="η tr(G) / 2 and η λmax(G) / 2",
        note=_marked(result),
        ylim=(None, 3 * max(high, descent, trace if np.isfinite(trace) else 1)),
        height=360,
    )


def _diagram(result: xr.Dataset) -> Any:
    etas, batch = result.eta_grid.values, result.batch.values
    rho = result.rho_map.transpose("batch", "eta_column").values
    parameters = sweeping.parameters(result)
    drawn = "with replacement" if parameters["sampling"] == "replacement" else "without"
    way = ways_trained(result)[0]
    rows = np.arange(len(batch))
    inside = lambda eta: np.clip(  # noqa: E731
        np.log(eta / etas[0]) / np.log(etas[-1] / etas[0]) * (len(etas) - 1), -0.5, len(etas) - 0.5
    )
    held = result.sel(way=way, drawn=drawn)
    lines = [
        draw.curve(inside(held.eta_star_B.values), rows, color=draw.INK),
        draw.curve(inside(held.bound_trace.values), rows, color=draw.MUTED, dash=True),
        draw.curve(inside(held.bound_descent.values), rows, color=draw.MUTED),
    ]
    eta, size = parameters["eta"], parameters["B"] if way == "SGD" else batch[-1]
    row, column = np.interp(np.log(size), np.log(batch), rows), inside(np.array([eta]))
    late = way in _late_ways(result)
    if etas[0] <= eta <= etas[-1] and size <= batch[-1]:
        lines.append(draw.points(column, [row], color=draw.MUTED if late else draw.INK, size=2.0))
    words, side = f"  {way} did not interpolate  " if late else "", "right" if column[0] > len(etas) / 2 else "left"
    lines.append(draw.text(column, [row], words, color=draw.INK, side=side, up="bottom"))
    return draw.heatmap(
        np.clip(rho - 1, -0.2, 0.2),
        [str(size) for size in batch],
        [f"{eta:.{1 + (eta >= 0.1)}g}" for eta in etas],
        xlabel="learning rate η",
        ylabel="batch size B",
        clabel="ρ - 1, cut at ± 0.2",
        clim=(-0.2, 0.2),
        signed=True,
        outline=False,
        marks=lines,
        equal=False,
    )


def _click_diagram(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    etas, batch = result.eta_grid.values, result.batch.values
    if not (-0.5 <= x <= len(etas) - 0.5 and -0.5 <= y <= len(batch) - 0.5):
        return {}
    eta = etas[0] * (etas[-1] / etas[0]) ** (x / (len(etas) - 1))
    return {"eta": float(f"{eta:.3g}"), "B": int(batch[int(np.clip(round(y), 0, len(batch) - 1))])}


def _spectrum(result: xr.Dataset, at: int) -> Any:
    low = 1e-5 * float(result.density.max())
    high = 8 * float(result.density.max())
    x = result.eigenvalue.values
    now = result.isel(moment=at)
    layers: list[Any] = []
    for way in ways_trained(result):
        mean, error = now.density.sel(way=way).values, now.density_error.sel(way=way).values
        layers += [
            draw.band(x, np.maximum(mean - 2 * error, low), np.maximum(mean + 2 * error, low), color=_TINT[way]),
            draw.curve(x, np.maximum(mean, low), "", color=_TINT[way]),
            draw.points([float(now.sharpness.sel(way=way))], [3 * low], color=_TINT[way], size=2.0),
        ]
    times = 2 * limits(result)[1]
    limit = times / _eta(result)
    limit = limit if limit < x[-1] else np.nan  # beyond the spectrum; a picture keeps its layers
    layers += [
        draw.curve([limit, limit], [low, high], color=draw.INK, dash=True),
        draw.text([limit], [high / 4], f" {_over_eta(times)}", color=draw.INK),
    ]
    return draw.plot(
        *layers,
        logy=True,
        xlabel="eigenvalue of the Hessian",
        ylabel="density",
        xlim=(float(x[0]), float(x[-1])),
        ylim=(low, high),
        height=340,
        note=_marked(result, f"step {int(result.moment[at]):,}"),
    )


def _balance(result: xr.Dataset, at: int) -> Any:
    pairs = result.pair.transpose("way", "frame", "unit", "side").values
    peak = float(np.nan_to_num(pairs).max()) or 1.0
    floor = peak * 1e-4
    layers: list[Any] = [draw.curve([floor, peak], [floor, peak], color=draw.MUTED)]
    for way in ("GD", "SGD"):
        if way in ways_trained(result):
            now = np.maximum(result.pair.sel(way=way).isel(frame=at).values, floor)
            layers.append(draw.points(now[:, 0], now[:, 1], color=_TINT[way], size=0.6, alpha=0.8))
    diagonal = result.attrs["model"] == "diagonal"
    said = ", ".join(
        f"{_starred(result, way)} {float(result.imbalance.sel(way=way)[at]):.2f}" for way in ways_trained(result)
    )
    return draw.plot(
        *layers,
        logx=True,
        logy=True,
        xlim=(0.7 * floor, 1.5 * peak),
        ylim=(0.7 * floor, 1.5 * peak),
        height=380,
        xlabel="a²" if diagonal else "d a²",
        ylabel="b²" if diagonal else "|w|²",
        note=f"step {int(result.frame[at]):,}; imbalance {said}",
    )


def _hessian(result: xr.Dataset) -> Any:
    matrix, edges = result.hessian.values, result.layer_edge.values
    inner = edges[1:-1] - 0.5
    largest = float(np.nanquantile(np.abs(matrix), 0.95)) or 1.0
    names = json.loads(result.attrs["arrays"])
    top = len(matrix) - 0.5
    near, far = np.full(len(inner), -0.5), np.full(len(inner), top)
    marks: list[Any] = [draw.segments(near, inner, far, inner, color=draw.MUTED)]
    marks += [draw.segments(inner, near, inner, far, color=draw.MUTED)]
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        if high - low > 0.05 * len(matrix):
            marks.append(draw.text([(low + high - 1) / 2], [top], [name], color=draw.INK, up="bottom"))
    way = ways_trained(result)[0]
    told = f"{way} did not interpolate: this is not G" if way in _late_ways(result) else f"at the end of {way}"
    marks.append(draw.text([-0.5], [top + 0.08 * len(matrix)], told, up="bottom"))
    whole = result.attrs["cells"] == "entries"
    side = "parameter" if whole else "block of parameters"
    return draw.heatmap(
        matrix,
        xlabel=side,
        ylabel=side,
        clabel="entry" if whole else "mean entry",
        clim=(-largest, largest),
        signed=True,
        outline=False,
        marks=marks,
        room=(0.0, 0.16),
        height=440,
    )


def _hessian_finding(result: xr.Dataset) -> str:
    squares, edges = result.hessian.values**2, result.layer_edge.values.astype(int)
    total = squares.sum()
    if not np.isfinite(total):
        return "Training diverged: there is no Hessian"
    if not total:
        return "The Hessian is 0"
    within = sum(squares[low:high, low:high].sum() for low, high in pairwise(edges)) / total
    return f"{percent(within)} of its square lies within layers, {percent(1 - within)} between them"


_by_eta = partial(
    Picture,
    where=lambda result: "" if result.sizes.get("rate", 0) > 1 else "it needs other learning rates (see More)",
    clicks=_click_eta,
)

PICTURES = Pictures(
    _by_eta(
        "sweep",
        "Trace and largest eigenvalue by learning rate",
        "Blue: SGD, orange: GD. Lines: trace of G, dashed: λmax. Black: their limits at a stable minimum. Gray dots: not "
        "interpolating. Click to set η.",
        _sweep,
        finds=_sweep_finding,
    ),
    Picture(
        "edge",
        "Along training",
        "Blue: SGD, orange: GD. Lines: η tr / 2, dashed: η λmax / 2. Black: their limits at a stable minimum.",
        _edge,
        finds=lambda result: _ends(
            result, "η tr / 2 ends at {}", lambda way: _eta(result) * result.tr_end.sel(way=way) / 2
        ),
    ),
    _by_eta(
        "error",
        "Test error by learning rate",
        "Blue: SGD, orange: GD. Dashed: η. Gray dots: not interpolating. Click to set η.",
        _error,
        needs=("final_test_error",),
        finds=lambda result: _ends(
            result, "Over η the minimum test error is {}", lambda way: result.final_test_error.sel(way=way).min()
        ),
    ),
    Picture(
        "diagram",
        "Stability diagram",
        "Color: growth factor ρ at the minimum found (blue: stable, orange: unstable). Black line: critical learning rate "
        "η*. Gray: bounds from the trace (dashed) and λmax. Click to set η and B.",
        _diagram,
        needs=("rho_map",),
        where=_curved,
        clicks=_click_diagram,
        finds=lambda result: _ends(result, "At the minimum found η* is {}", lambda way: result.eta_star.sel(way=way)),
    ),
    Picture(
        "spectrum",
        "Spectrum of the Hessian",
        "Lines: density of eigenvalues (blue: SGD, orange: GD). Bands: two standard errors. Dots: largest eigenvalues. "
        "Dashed: their limit.",
        _spectrum,
        plays="moment",
        finds=lambda result: _ends(
            result,
            f"η λmax / 2 ends at {{}}; stable is up to {limits(result)[1]:.3g}",
            lambda way: _eta(result) * result.sharpness.sel(way=way)[-1] / 2,
        ),
    ),
    Picture(
        "balance",
        "Balance of the layers",
        "Dots: squared weights of each unit (blue: SGD, orange: GD). Gray line: equal weights. *: not interpolating.",
        _balance,
        needs=("pair",),
        plays="frame",
        finds=lambda result: _ends(result, "The imbalance ends at {}", lambda way: result.imbalance.sel(way=way)[-1]),
    ),
    Picture(
        "hessian",
        "Hessian",
        "Color: entries (blue: negative, orange: positive). Lines: borders of the layers.",
        _hessian,
        finds=_hessian_finding,
    ),
    _by_eta(
        "norms",
        "Norm of the function by learning rate",
        "Blue: SGD, orange: GD. Black: bound of the diagonal network. Gray dots: not interpolating. Click to set η.",
        _norms,
        needs=("final_path_norm",),
        finds=lambda result: _ends(
            result,
            f"At η = {number(float(result.rates.max()), 2)} the norm ends at {{}}",
            lambda way: _along_rates(result, "final_path_norm", way)[1][-1],
        ),
    ),
)
