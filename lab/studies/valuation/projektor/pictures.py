"""Pictures of mixtures of data sources, each with its caption and finding."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

_NOISE = (0.0, 0.2, 0.4, 0.6, 0.8)
_LONG = 14  # letters of a name that a finding has room for

_FITS = {fit: fit for fit in ("linear-OT", "PQ-OT", "notebook", "linear", "quadratic")}
_FITS["rational"] = "the rational fit"
_N1 = {"split": "extrapolation", "size": "N₁"}
_PROJECTIONS = {
    "mae_projected": "projecting fits",
    "mae_raw": "projecting scores",
    "mae_same": "keeping the score at N₁",
}
BEYOND = Comparison(
    "beyond", "error beyond the fitted mixtures", _FITS, result="mae", along="form", at=_N1, ours="PQ-OT", best_at=None
)
PROJECTED = Comparison("projected", "error at N", _PROJECTIONS, ours="mae_projected", best_at={"measure": "log-loss"})


def _given(result: xr.Dataset, name: str) -> Any:
    return sweeping.parameters(result)[name]


def _logs(result: xr.Dataset) -> bool:
    return _given(result, "measure") == "log-loss"


def _unit(result: xr.Dataset) -> str:
    return "log-loss" if _logs(result) else "accuracy (%)"


def _scale(result: xr.Dataset) -> str:
    return "log of log-loss" if _logs(result) else "accuracy (%)"


def _names(result: xr.Dataset) -> list[str]:
    return [str(name) for name in result.source.values]


# ---- mixtures --------------------------------------------------------------------------------------------------


def _marks(result: xr.Dataset, ascent: bool) -> list[Any]:
    """Your mixture, and the selected one with the path of the ascent."""
    path, best, mine = (draw.ternary_place(result[name].values) for name in ("path", "best", "mix"))
    layers: list[Any] = [draw.curve(path[:, 0], path[:, 1], color=draw.INK)] if ascent else []
    return [
        *layers,
        draw.points(mine[:1], mine[1:], color=draw.TARGET, size=2.5, grip=True),
        draw.text([mine[0] + 0.03], [mine[1]], "yours", color=draw.INK),
        draw.text([best[0]], [best[1]], "★", color=draw.INK, side="center"),
        draw.text(*_clear(best, np.concatenate([path, mine[None]])), "p*", color=draw.INK, side="center"),
    ]


def _clear(at: np.ndarray, lines: np.ndarray) -> tuple[list[float], list[float]]:
    """The place around a point with the largest distance from all lines, for its name."""
    along = np.linspace(0, 1, 9)[:, None, None]
    dots = (lines[:-1] + along * (lines[1:] - lines[:-1])).reshape(-1, 2)
    around = at + 0.055 * np.stack([np.cos(turns := np.arange(8) * np.pi / 4), np.sin(turns)], axis=1)
    x, y = around[np.linalg.norm(around[:, None] - dots, axis=2).min(axis=1).argmax()]
    return [float(x)], [float(y)]


def _click(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _mixture(draw.ternary_shares(x, y))


def _drag(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _mixture(draw.ternary_shares(x, y, beyond=True))


def _mixture(p: np.ndarray | None) -> Mapping[str, Any]:
    return {} if p is None else dict(zip(("first", "second", "third"), (round(float(w), 3) for w in p), strict=True))


def _map(result: xr.Dataset) -> Any:
    label = f"predicted {_unit(result)} at N = {_given(result, 'n')}"
    marks, logs = _marks(result, True), _logs(result)
    return draw.ternary(result.shares, result.proj, _names(result), marks=marks, reverse=logs, clabel=label)


def _distances(result: xr.Dataset) -> Any:
    marks = _marks(result, False)
    return draw.ternary(result.shares, result.ot, _names(result), marks=marks, clabel="distance", reverse=True)


# ---- fits ------------------------------------------------------------------------------------------------------


def _fit(result: xr.Dataset) -> tuple[str, str, np.ndarray, np.ndarray, np.ndarray]:
    """Test mixtures, fit, measured and predicted scores at N₁, and which mixtures are fitted."""
    split, model = _given(result, "held"), _given(result, "model")
    predicted = result.pred.sel(split=split, form=model, size="N₁").values
    return split, model, result.score.sel(size="N₁").values, predicted, result.fitted.sel(split=split).values > 0


def _scatter(result: xr.Dataset) -> Any:
    split, model, measured, predicted, among = _fit(result)
    low, high = float(measured.min()), float(measured.max())
    span = high - low
    bottom, top = (low - 0.3 * span, high + 0.3 * span) if _logs(result) else (max(low - 0.3 * span, 0), 100.0)
    outside = int(((predicted < bottom) | (predicted > top)).sum())
    predicted = np.clip(predicted, bottom, top)
    error = float(result.mae.sel(split=split, form=model, size="N₁"))
    edge = f"; {outside} outside the axis, drawn at its edge" if outside else ""
    return draw.plot(
        draw.curve([low, high], [low, high], color=draw.MUTED, dash=True),
        draw.points(measured[among], predicted[among], color=draw.MUTED, size=0.8),
        draw.points(measured[~among], predicted[~among], color=draw.TARGET),
        xlabel=f"measured {_scale(result)}",
        ylabel="predicted",
        ylim=(bottom, top + 0.12 * (top - bottom)),
        height=340,
        note=f"{model}, {split}: mean error {error:.3g}{edge}",
    )


def _scatter_finding(result: xr.Dataset) -> str:
    split, model, measured, predicted, among = _fit(result)
    on, off = (number(float(np.abs(predicted - measured)[part].mean()), 2) for part in (among, ~among))
    where, unit = "beyond" if split == "extrapolation" else "between", "log units" if _logs(result) else "points"
    return f"The mean error of {model} is {off} {unit} {where} the fitted mixtures and {on} on them"


def _errors(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["form"])[::-1]
    layers: list[Any] = []
    for split, tint, side in (("extrapolation", draw.TARGET, 0.2), ("interpolation", draw.SOURCE, -0.2)):
        values = result.mae.sel(split=split, size="N₁").values
        labels = [f"  {value:.3g}" for value in values]
        labels[0] += f"  {split}"
        layers += [
            draw.points(values, at + side, color=tint, size=1.6),
            draw.text(values, at + side, labels, color=tint),
        ]
    errors = result.mae.sel(size="N₁")
    return draw.plot(
        *layers,
        yticks=[(int(i), str(name)) for i, name in zip(at, result.form.values, strict=True)],
        logx=True,
        ylabel="fit",
        xlabel=f"mean absolute error, {_scale(result)}",
        ylim=(-0.6, at[0] + 0.6),
        xlim=(float(errors.min()) / 1.5, 3 * float(errors.max())),
        height=320,
    )


# ---- sizes -----------------------------------------------------------------------------------------------------


def _sizes(result: xr.Dataset) -> Any:
    sizes = np.array([_given(result, name) for name in ("n0", "n1", "n")], float)
    layers: list[Any] = []
    for which, tint in (("yours", draw.SOURCE), ("p*", draw.TARGET)):
        layers += [
            draw.curve(result.line_size, result.line.sel(which=which), which, color=tint),
            draw.points(sizes, result.trained.sel(which=which), color=tint, size=2.0),
            draw.text(sizes[:2], result.pilot.sel(which=which)[:2], ["+", "+"], color=draw.INK, side="center"),
        ]
    ticks = [float(size) for size in sizes]
    return draw.plot(*layers, logx=True, xlabel="training points", ylabel=_unit(result), height=340, xticks=ticks)


def _checks(result: xr.Dataset) -> Any:
    measured = result.check.sel(kind="measured").values
    rows = [("fitted", draw.SOURCE), ("raw", draw.MUTED), ("as at N₁", draw.TARGET)]
    low, high = float(result.check.min()), float(result.check.max())
    ends, span = [float(measured.min()), float(measured.max())], high - low or 1.0
    layers: list[Any] = [draw.curve(ends, ends, color=draw.MUTED, dash=True)]
    layers += [draw.points(measured, result.check.sel(kind=name).values, color=tint, size=1.4) for name, tint in rows]
    layers += draw.legend(rows, ends[0], (low, high + 0.25 * span))
    limits, label = (low - 0.05 * span, high + 0.3 * span), f"measured {_unit(result)} at N"
    return draw.plot(*layers, xlabel=label, ylabel="predicted", height=340, ylim=limits)


# ---- sources ---------------------------------------------------------------------------------------------------


def _worth(result: xr.Dataset) -> Any:
    at = np.arange(3)
    return draw.plot(
        draw.bars(at, np.nan_to_num(result.worth.values), width=0.6),
        draw.hline(0.0, dash=False),
        xticks=list(enumerate(_names(result))),
        xlim=(-0.6, 2.6),
        ylabel="decrease of the distance",
        xlabel="source that gains weight",
        height=300,
    )


def _worth_finding(result: xr.Dataset) -> str:
    worth = result.worth.values
    names = [name if len(name) <= _LONG else f"source {at}" for at, name in enumerate(_names(result), 1)]
    high, low = int(np.nanargmax(worth)), int(np.nanargmin(worth))
    values = [number(float(worth[at]), 3) for at in (high, low)]
    if worth[high] == worth[low]:
        return f"The calibrated gradient is {values[0]} for every source"
    return f"The calibrated gradient is {values[0]} for {names[high]} and {values[1]} for {names[low]}"


def _noise(result: xr.Dataset) -> Any:
    lines = {"predicted": result.predicted, "measured": result.measured}
    return draw.over(result.noise, lines, ylabel=_unit(result), height=300)


def _noise_finding(result: xr.Dataset) -> str:
    ordered = result.sortby("noise")
    low, high = (percent(float(ordered.noise[at])) for at in (0, -1))
    distance, score = (number(float(ordered[name][-1] - ordered[name][0]), 2) for name in ("ot_here", "measured"))
    score = f"log-loss by {score}" if _logs(result) else f"accuracy by {score} points"
    return f"From {low} to {high} wrong labels, the distance changes by {distance} and {score}"


_mixtures = partial(Picture, clicks=_click, drags=_drag)

PICTURES = Pictures(
    _mixtures(
        "map",
        "Predicted score",
        "Color: predicted score at N. Corners: single sources. Line: ascent to the selected mixture p* (★). Orange: your "
        "mixture; drag it, or click.",
        _map,
        finds="The predicted score at N is {predicted:.3g} for your mixture and {best_predicted:.3g} for p*",
    ),
    _mixtures(
        "distances",
        "Distance to the validation set",
        "Color: transport distance from each mixture to the validation set (blue: small). Orange: your mixture; drag it, or "
        "click.",
        _distances,
        finds="Over the grid, distance and score at N₁ have the correlation {correlation:.2f}",
    ),
    Picture(
        "scatter",
        "Predicted against measured score",
        "Gray: fitted mixtures. Orange: test mixtures. Dashed: prediction equals measurement. All at N₁.",
        _scatter,
        finds=_scatter_finding,
    ),
    Picture(
        "errors",
        "Errors of the fits",
        "Orange: test mixtures have at least half of the second source (extrapolation). Blue: random test mixtures "
        "(interpolation).",
        _errors,
        finds=BEYOND.finding,
    ),
    Picture(
        "sizes",
        "Score by training size",
        "Lines: projections, linear in log N, through the fits at both pilots (+). Dots: measured scores. Blue: your mixture. "
        "Orange: p*.",
        _sizes,
        finds="The score at N is {measured:.3g} for your mixture and {best_measured:.3g} for p* (predicted: {predicted:.3g}, "
        "{best_predicted:.3g})",
    ),
    Picture(
        "checks",
        "Predictions for ten mixtures at N",
        "Blue: projected fits. Gray: projected measured scores. Orange: score at N₁. Dashed: prediction equals measurement.",
        _checks,
        finds=PROJECTED.finding,
    ),
    Picture(
        "worth",
        "Calibrated gradient",
        "Bars: decrease of the distance per unit of weight that a source gains, the others losing in proportion.",
        _worth,
        finds=_worth_finding,
    ),
    Picture(
        "noise",
        "Label noise",
        "Lines: predicted and measured score at N against the fraction of wrong labels in one source.",
        _noise,
        along={"noise": _NOISE},
        needs=("ot_here", "predicted", "measured"),
        finds=_noise_finding,
    ),
)
