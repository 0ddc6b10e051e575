"""The pictures of the stability of SGD, and what a click in them sets."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from lab import stability
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_TINT = {"SGD": draw.SOURCE, "GD": draw.TARGET}


def limits(result: xr.Dataset) -> tuple[float, float]:
    """What stable SGD may have of tr, and either method of λmax, in units of 2 / η: for the headline and for all lines."""
    told, c = sweeping.parameters(result), 0.0
    if "SGD" in ways_trained(result):
        c = stability.noise(result.attrs["samples"], told["B"], told["sampling"] == "replacement")
    trace, descent = stability.limits(c, result.attrs["outputs"], told["beta"] if told["momentum"] else 0.0)
    return float(trace), float(descent)


def over_eta(times: float) -> str:
    return f"{times:.3g} / η" if np.isfinite(times) else ""


def _curved(result: xr.Dataset) -> str:
    """Whether there is a learning rate to draw."""
    return "every learning rate is stable where the Hessian is 0" if float(result.lmax_end.max()) == 0 else ""


def _family(result: xr.Dataset) -> str:
    few = result.sizes.get("rate", 0) < 2
    return "it needs other learning rates: raise their number under More" if few else ""


def ways_trained(result: xr.Dataset) -> list[str]:
    return [str(way) for way in result.way.values if bool(np.isfinite(result.interpolated.sel(way=way)).any())]


def late_ways(result: xr.Dataset) -> list[str]:
    """Which of the runs at η did not interpolate."""
    return [way for way in ways_trained(result) if float(result.interpolated.sel(way=way)[0]) == 0]


def _marked(result: xr.Dataset, *said: str) -> str:
    """A note that says of which runs the bounds say nothing; short, since a column of print has room for 45 letters."""
    late = late_ways(result)
    return "; ".join([*said, *([f"{' and '.join(late)} did not interpolate"] if late else [])])


def _starred(result: xr.Dataset, way: str) -> str:
    return f"{way}*" if way in late_ways(result) else way


def along_rates(result: xr.Dataset, name: str, way: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learning rates, values and whether they interpolate, by learning rate."""
    order = np.argsort(result.rates.values)
    done = result.interpolated.sel(way=way).values[order] == 1
    return result.rates.values[order], result[name].sel(way=way).values[order], done


def _sweep_layers(result: xr.Dataset, name: str, label: str, dash: bool = False, named: bool = True) -> list[Any]:
    layers: list[Any] = []
    for way in ways_trained(result):
        eta, values, done = along_rates(result, name, way)
        layers += [
            draw.curve(eta, values, f"{label} {way}".strip() if named else "", color=_TINT[way], dash=dash),
            draw.points(eta[done], values[done], color=_TINT[way]),
            draw.points(eta[~done], values[~done], color=draw.MUTED),
        ]
    return layers


def _rates_note(result: xr.Dataset) -> str:
    late = sum(int((result.interpolated.sel(way=way) == 0).sum()) for way in ways_trained(result))
    return f"grey: {late} runs that did not interpolate" if late else "all runs interpolate"


def _sweep(result: xr.Dataset) -> Any:
    eta, (trace, descent) = np.sort(result.rates.values), limits(result)
    trace = trace if np.isfinite(trace) else np.nan
    second = descent if descent != trace else np.nan  # a picture keeps its layers
    high = 2 * np.nanmax([trace, descent]) / eta[0]
    return draw.plot(
        draw.curve(eta, 2 * trace / eta, over_eta(2 * trace), color=draw.INK),
        draw.curve(eta, 2 * second / eta, over_eta(2 * second), color=draw.INK, dash=True),
        *_sweep_layers(result, "final_tr", "tr"),
        *_sweep_layers(result, "final_lmax", "λmax", dash=True),
        logx=True, logy=True, xlabel="learning rate η", ylabel="tr and λmax of G at the end", note=_rates_note(result),
        ylim=(None, 4 * max(high, float(result.final_tr.where(np.isfinite(result.final_tr)).max()))),
        height=360,
    )


def _error(result: xr.Dataset) -> Any:
    here = draw.vline(sweeping.parameters(result)["eta"], "η", color=draw.MUTED, dash=True)
    high = 8 * float(result.final_test_error.where(np.isfinite(result.final_test_error)).max())
    return draw.plot(
        *_sweep_layers(result, "final_test_error", ""), here, logx=True, logy=True, xlabel="learning rate η",
        ylabel="test error at the end", note=_rates_note(result), ylim=(None, high),
    )


def _norms(result: xr.Dataset) -> Any:
    eta, trace = np.sort(result.rates.values), limits(result)[0]
    trace = trace if np.isfinite(trace) else np.nan
    limit = draw.curve(eta, 3 * trace / eta, over_eta(3 * trace), color=draw.INK)
    diagonal = result.attrs["model"] == "diagonal"
    layers = _sweep_layers(result, "final_path_norm", "")
    high = np.nanmax([3 * trace / eta[0] * diagonal, *np.ravel(result.final_path_norm.values)])
    return draw.plot(
        *([limit] if diagonal else []), *layers, logx=True, logy=True, xlabel="learning rate η",
        ylabel="|a∘b|₁ at the end" if diagonal else "path norm at the end",
        ylim=(None, 8 * float(high)), note=_rates_note(result),
    )


def _click_eta(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    """The trained learning rate that is nearest."""
    if x <= 0:
        return {}
    rates = result.rates.values
    return {"eta": float(f"{rates[np.abs(np.log(rates / x)).argmin()]:.6g}")}


def _edge(result: xr.Dataset) -> Any:
    eta, (trace, descent) = sweeping.parameters(result)["eta"], limits(result)
    levels = [draw.hline(descent, color=draw.INK)] if descent != trace else []
    levels += [draw.hline(trace, color=draw.INK, dash=False)] if np.isfinite(trace) else []
    lines: list[Any] = []
    for way in ways_trained(result):
        for name, label, dash in (("tr", "η tr / 2", False), ("lmax", "η λmax / 2", True)):
            lines.append(
                draw.curve(result.step.values, eta * result[name].sel(way=way).values / 2, f"{label} {way}",
                           color=_TINT[way], dash=dash)
            )
    high = eta * float(result.tr.where(np.isfinite(result.tr)).max()) / 2
    return draw.plot(
        *lines, *levels, logy=True, xlabel="step", ylabel="η tr(G) / 2 and η λmax(G) / 2",
        note=_marked(result), ylim=(None, 3 * max(high, descent, trace if np.isfinite(trace) else 1)), height=360,
    )


def _losses(result: xr.Dataset) -> Any:
    lines: list[Any] = []
    for way in ways_trained(result):
        lines.append(draw.curve(result.step.values, result.loss.sel(way=way).values, f"loss {way}", color=_TINT[way]))
        if "test_error" in result:
            lines.append(
                draw.curve(result.step.values, result.test_error.sel(way=way).values, f"test {way}", color=_TINT[way],
                           dash=True)
            )
    high = max(float(result[name].max()) for name in ("loss", "test_error") if name in result)
    return draw.plot(
        *lines, logy=True, xlabel="step", ylabel="training loss and test error", note=_marked(result), ylim=(None, 100 * high)
    )


def _alignment(result: xr.Dataset) -> Any:
    lines = [
        draw.curve(result.step.values, result.mu.sel(way=way).values, way, color=_TINT[way]) for way in ways_trained(result)
    ]
    return draw.plot(*lines, logy=True, xlabel="step", ylabel="alignment μ of the noise with G", note=_marked(result))


def _at(values: np.ndarray, etas: np.ndarray) -> np.ndarray:
    """Learning rates as places among the columns of the diagram."""
    steps = np.log(etas[-1] / etas[0]) / (len(etas) - 1)
    return np.log(values / etas[0]) / steps


def _diagram(result: xr.Dataset) -> Any:
    etas, batch = result.eta_grid.values, result.batch.values
    rho = result.rho_map.transpose("batch", "eta_column").values
    parameters = sweeping.parameters(result)
    drawn = "with replacement" if parameters["sampling"] == "replacement" else "without"
    way = ways_trained(result)[0]
    rows = np.arange(len(batch))
    inside = lambda values: np.clip(_at(values, etas), -0.5, len(etas) - 0.5)  # noqa: E731
    held = result.sel(way=way, drawn=drawn)
    lines = [
        draw.curve(inside(held.eta_star_B.values), rows, color=draw.INK),
        draw.curve(inside(held.bound_trace.values), rows, color=draw.MUTED, dash=True),
        draw.curve(inside(held.bound_descent.values), rows, color=draw.MUTED),
    ]
    eta, size = parameters["eta"], parameters["B"] if way == "SGD" else batch[-1]
    row, column = np.interp(np.log(size), np.log(batch), rows), inside(np.array([eta]))
    late = way in late_ways(result)
    if etas[0] <= eta <= etas[-1] and size <= batch[-1]:
        lines.append(draw.points(column, [row], color=draw.MUTED if late else draw.INK, size=2.0))
    words, side = f"  {way} did not interpolate  " if late else "", "right" if column[0] > len(etas) / 2 else "left"
    lines.append(draw.text(column, [row], words, color=draw.INK, side=side, up="bottom"))
    return draw.heatmap(
        np.clip(rho - 1, -0.2, 0.2), [str(size) for size in batch], [f"{eta:.{1 + (eta >= 0.1)}g}" for eta in etas],
        xlabel="learning rate η", ylabel="batch size B", clabel="ρ - 1, cut at ± 0.2", signed=True, clim=(-0.2, 0.2),
        outline=False, marks=lines, equal=False,
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
    limit = times / sweeping.parameters(result)["eta"]
    limit = limit if limit < x[-1] else np.nan  # beyond the spectrum; a picture keeps its layers
    layers += [
        draw.curve([limit, limit], [low, high], color=draw.INK, dash=True),
        draw.text([limit], [high / 4], f" {over_eta(times)}", color=draw.INK),
    ]
    return draw.plot(
        *layers, logy=True, xlabel="eigenvalue of the Hessian", ylabel="density", xlim=(float(x[0]), float(x[-1])),
        ylim=(low, high), height=340,
        note=_marked(result, f"step {int(result.moment[at]):,}"),
    )


def _before_after(result: xr.Dataset) -> Any:
    low = 1e-6 * float(result.density.max())
    x = result.eigenvalue.values
    ways = ways_trained(result)
    first = np.maximum(result.density.sel(way=ways[0]).isel(moment=0).values, low)
    layers = [draw.curve(x, first, "before", color=draw.MUTED)]
    layers += [
        draw.curve(
            x,
            np.maximum(result.density.sel(way=way).isel(moment=-1).values, low),
            _starred(result, way),
            color=_TINT[way],
        )
        for way in ways
    ]
    return draw.plot(
        *layers, logy=True, xlabel="eigenvalue of the Hessian", ylabel="density", ylim=(low, 8 * float(result.density.max())),
        note=_marked(result),
    )


def _thresholds(result: xr.Dataset) -> Any:
    way = ways_trained(result)[0]
    held, batch = result.sel(way=way), result.batch.values
    late = way in late_ways(result)
    outputs = result.attrs["outputs"]
    # of single samples c is 1
    top, bottom = 2 / float(held.lmax_end), 2 * float(stability.limits(1.0, outputs).trace) / float(held.tr_end)
    low = min(bottom, float(held.eta_star_B.min()))
    tints = {"with replacement": draw.SOURCE, "without": draw.GOOD}
    lines = [
        draw.curve(batch, held.eta_star_B.sel(drawn=drawn).values, color=color, dash=late, markers=True)
        for drawn, color in tints.items()
    ]
    # both end near the line of λmax: one name stands above it, the other half-way down, where nothing else is
    middle = (low * float(held.eta_star_B.sel(drawn="with replacement")[-1])) ** 0.5
    names = [
        draw.text([batch[-1]], [1.08 * top], "without", color=draw.GOOD, side="right", up="bottom"),
        draw.text([batch[-1]], [middle], "with replacement", color=draw.SOURCE, side="right"),
        draw.text([batch[0]], [1.08 * top], "2 / λmax", up="bottom"),
        draw.text([batch[-1]], [1.08 * bottom], f"{2 * outputs} / tr", side="right", up="bottom"),
    ]
    where = f"where {way} ended, which did not interpolate" if late else f"of the minimum where {way} ended"
    return draw.plot(
        *lines,
        draw.hline(top),
        draw.hline(bottom),
        *names,
        logx=True,
        logy=True,
        xlabel="batch size B",
        ylabel="critical learning rate η*",
        note=where,
        ylim=(0.6 * low, 3 * max(top, bottom)),
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
    said = ", ".join(f"{_starred(result, way)} {float(result.imbalance.sel(way=way)[at]):.2f}" for way in ways_trained(result))
    return draw.plot(
        *layers, logx=True, logy=True, xlim=(0.7 * floor, 1.5 * peak), ylim=(0.7 * floor, 1.5 * peak), height=380,
        xlabel="a²" if diagonal else "d a²", ylabel="b²" if diagonal else "|w|²",
        note=f"step {int(result.frame[at]):,}; imbalance {said}",
    )


def _hessian(result: xr.Dataset) -> Any:
    matrix, edges = result.hessian.values, result.layer_edge.values
    inner = edges[1:-1] - 0.5
    largest = float(np.nanquantile(np.abs(matrix), 0.95)) or 1.0
    names = json.loads(result.attrs["arrays"])
    middles = [(low + high - 1) / 2 for low, high in pairwise(edges)]
    top = len(matrix) - 0.5
    near, far = np.full(len(inner), -0.5), np.full(len(inner), top)
    borders = ((near, inner, far, inner), (inner, near, inner, far))
    marks: list[Any] = [draw.segments(*ends, color=draw.MUTED) for ends in borders]
    wide = [k for k, (low, high) in enumerate(pairwise(edges)) if high - low > 0.05 * len(matrix)]
    marks.append(
        draw.text([middles[k] for k in wide], [top] * len(wide), [names[k] for k in wide], color=draw.INK, up="bottom")
    )
    way = ways_trained(result)[0]
    told = f"{way} did not interpolate: this is not G" if way in late_ways(result) else f"at the end of {way}"
    marks.append(draw.text([-0.5], [top + 0.08 * len(matrix)], told, up="bottom"))
    whole = result.attrs["cells"] == "entries"
    side = "parameter" if whole else "block of parameters"
    return draw.heatmap(
        matrix, xlabel=side, ylabel=side, clabel="entry" if whole else "mean entry", signed=True, clim=(-largest, largest),
        outline=False, marks=marks, room=(0.0, 0.16), height=440,
    )


def _table(result: xr.Dataset) -> Any:
    ways = ways_trained(result)
    order = np.argsort(result.rates.values)
    rates = result.rates.values[order]
    columns: dict[str, list[str]] = {"η": [f"{eta:.4f}" for eta in rates]}
    for way in ways:
        late = ["" if ok == 1 else " *" for ok in result.interpolated.sel(way=way).values[order]]
        half = rates * result.final_tr.sel(way=way).values[order] / 2
        columns[f"{way} η tr/2"] = [f"{value:.3g}{mark}" for value, mark in zip(half, late, strict=True)]
        if "final_path_norm" in result:
            columns[f"{way} norm"] = [f"{value:.3g}" for value in result.final_path_norm.sel(way=way).values[order]]
        if "final_test_error" in result:
            columns[f"{way} test"] = [f"{value:.2g}" for value in result.final_test_error.sel(way=way).values[order]]
    return draw.table(columns)


PICTURES = Pictures(
    Picture(
        "sweep", "What each learning rate holds",
        "tr of SGD falls below its line, that of GD does not; λmax (dashed) is below 2 / η. Click a point to set η",
        _sweep, where=_family, clicks=_click_eta,
    ),
    Picture(
        "edge", "Along training", "η tr / 2 and η λmax / 2 (dashed); stable SGD ends below the line", _edge,
    ),
    Picture(
        "error", "Test error", "what a bounded trace is good for; grey: not interpolating. Click a point to set η", _error,
        where=_family, needs=("final_test_error",), clicks=_click_eta,
    ),
    Picture(
        "diagram", "Stability diagram",
        "ρ of the minimum that was found: blue stable, orange not; line η*, grey the bounds by tr (dashed) and λmax. Click to "
        "set η and B", _diagram, needs=("rho_map",), where=_curved, clicks=_click_diagram,
    ),
    Picture(
        "spectrum", "Spectrum of the Hessian",
        "density over training, two standard errors; blue SGD, orange GD, dots their largest eigenvalue",
        _spectrum, plays="moment",
    ),
    Picture("before-after", "Before and after", "the spectrum at the start and the end", _before_after),
    Picture(
        "thresholds", "Critical learning rate by batch size", "from about 2 / tr, k times that of k outputs, to 2 / λmax",
        _thresholds, needs=("eta_star_B",), where=_curved,
    ),
    Picture(
        "balance", "Balancing",
        "SGD (blue) brings the two layers together, to the diagonal; GD (orange) leaves them apart; "
        "* did not interpolate",
        _balance, needs=("pair",), plays="frame",
    ),
    Picture(
        "hessian", "The Hessian", "with the borders of the layers; blue below, orange above zero", _hessian,
    ),
    Picture("norms", "Norm of the function", "what the trace controls. Click a point to set η", _norms, where=_family,
            needs=("final_path_norm",), clicks=_click_eta),
    Picture("losses", "Loss", "training loss, and test error (dashed)", _losses),
    Picture("alignment", "Alignment", "of the noise with G: about 1 in practice, which bounds the loss's growth", _alignment),
    Picture("table", "Numbers", "at the end; * did not interpolate, so that the bound does not apply", _table),
)
