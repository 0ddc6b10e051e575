"""The pictures of data sources and their mixtures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_NOISE = (0.0, 0.2, 0.4, 0.6, 0.8)
_WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def given(result: xr.Dataset, name: str) -> Any:
    return sweeping.parameters(result)[name]


def _unit(result: xr.Dataset) -> str:
    return "log-loss" if given(result, "measure") == "log-loss" else "accuracy (%)"


def _scale(result: xr.Dataset) -> str:
    """What fits are made of."""
    return "log of log-loss" if given(result, "measure") == "log-loss" else "accuracy (%)"


def _on(result: xr.Dataset, way: bool) -> list[Any]:
    """Your mixture, and the one that was selected, with the way to it."""
    path, best, mine = (draw.ternary_place(result[name].values) for name in ("path", "best", "mix"))
    layers: list[Any] = [draw.curve(path[:, 0], path[:, 1], color=draw.INK)] if way else []
    return [
        *layers,
        draw.points(mine[:1], mine[1:], color=draw.TARGET, size=2.5, grip=True),
        draw.text([mine[0] + 0.03], [mine[1]], "yours", color=draw.INK),
        draw.text([best[0]], [best[1]], "★", color=draw.INK, side="center"),
        draw.text(*_clear(best, np.concatenate([path, mine[None]])), "p*", color=draw.INK, side="center"),
    ]


def _clear(at: np.ndarray, lines: np.ndarray) -> tuple[list[float], list[float]]:
    """The place about a point that is furthest from all lines, for its name."""
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
    return {} if p is None else dict(zip(("first", "second", "third"), (round(float(each), 3) for each in p), strict=True))


def names(result: xr.Dataset) -> list[str]:
    return [str(name) for name in result.source.values]


def _map(result: xr.Dataset) -> Any:
    unit = _unit(result)
    return draw.ternary(result.shares, result.proj, names(result), marks=_on(result, True), reverse=unit == "log-loss",
                        clabel=f"predicted {unit} at N = {given(result, 'n')}")


def _distances(result: xr.Dataset) -> Any:
    return draw.ternary(result.shares, result.ot, names(result), marks=_on(result, False), clabel="distance", reverse=True)


def _scatter(result: xr.Dataset) -> Any:
    split, model = given(result, "held"), given(result, "model")
    known, told = result.score.sel(size="N₁").values, result.pred.sel(split=split, form=model, size="N₁").values
    among = result.fitted.sel(split=split).values > 0
    low, high = float(known.min()), float(known.max())
    span = high - low
    bottom, top = (low - 0.3 * span, high + 0.3 * span) if "log" in _scale(result) else (max(low - 0.3 * span, 0), 100.0)
    beyond = int(((told < bottom) | (told > top)).sum())
    told = np.clip(told, bottom, top)
    error = float(result.mae.sel(split=split, form=model, size="N₁"))
    edge = f"; {beyond} beyond the axis, at its edge" if beyond else ""
    return draw.plot(
        draw.curve([low, high], [low, high], color=draw.MUTED, dash=True),
        draw.points(known[among], told[among], color=draw.MUTED, size=0.8),
        draw.points(known[~among], told[~among], color=draw.TARGET),
        xlabel=f"measured {_scale(result)}", ylabel="predicted", ylim=(bottom, top + 0.12 * (top - bottom)), height=340,
        note=f"{model}, {split}: {error:.3g} off{edge}",
    )


def _errors(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["form"])[::-1]
    layers: list[Any] = []
    for split, tint, side in (("extrapolation", draw.TARGET, 0.2), ("interpolation", draw.SOURCE, -0.2)):
        values = result.mae.sel(split=split, size="N₁").values
        names = [f"  {value:.3g}" for value in values]
        names[0] += f"  {split}"
        layers += [draw.points(values, at + side, color=tint, size=1.6), draw.text(values, at + side, names, color=tint)]
    low, high = float(result.mae.sel(size="N₁").min()), float(result.mae.sel(size="N₁").max())
    return draw.plot(
        *layers, yticks=[(int(i), str(name)) for i, name in zip(at, result.form.values, strict=True)], logx=True, ylabel="fit",
        xlabel=f"mean error, {_scale(result)}", ylim=(-0.6, at[0] + 0.6), xlim=(low / 1.5, 3 * high), height=320,
    )


def _learning(result: xr.Dataset) -> Any:
    lines = {str(name): result.curve.sel(form=name) for name in result.form.values}
    return draw.over(result["count"], lines, xlabel="mixtures that were fitted", ylabel=f"mean error, {_scale(result)}",
                     logy=True, height=340)


def _sizes(result: xr.Dataset) -> Any:
    sizes = np.array([given(result, name) for name in ("n0", "n1", "n")], float)
    layers: list[Any] = []
    for which, tint in (("yours", draw.SOURCE), ("p*", draw.TARGET)):
        layers += [
            draw.curve(result.line_size, result.line.sel(which=which), which, color=tint),
            draw.points(sizes, result.trained.sel(which=which), color=tint, size=2.0),
            draw.text(sizes[:2], result.pilot.sel(which=which)[:2], ["+", "+"], color=draw.INK, side="center"),
        ]
    return draw.plot(*layers, logx=True, xlabel="points that are trained on", ylabel=_unit(result), height=340,
                     xticks=[float(size) for size in sizes])


def _checks(result: xr.Dataset) -> Any:
    known = result.check.sel(kind="measured").values
    rows = [("fitted", draw.SOURCE), ("raw", draw.MUTED), ("as at N₁", draw.TARGET)]
    low, high = float(result.check.min()), float(result.check.max())
    layers: list[Any] = [draw.curve([known.min(), known.max()], [known.min(), known.max()], color=draw.MUTED, dash=True)]
    layers += [draw.points(known, result.check.sel(kind=name).values, color=tint, size=1.4) for name, tint in rows]
    span = high - low or 1.0
    layers += draw.legend(rows, float(known.min()), (low, high + 0.25 * span))
    return draw.plot(*layers, xlabel=f"measured {_unit(result)} at N", ylabel="predicted", height=340,
                     ylim=(low - 0.05 * span, high + 0.3 * span))


def _worth(result: xr.Dataset) -> Any:
    at = np.arange(3)
    return draw.plot(
        draw.bars(at, np.nan_to_num(result.worth.values), width=0.6), draw.hline(0.0, dash=False),
        xticks=[(int(i), name) for i, name in zip(at, names(result), strict=True)], xlim=(-0.6, 2.6),
        ylabel="fall of the distance", xlabel="source that gains", height=300,
    )


def _potential(result: xr.Dataset) -> Any:
    layers = []
    for i, (name, tint) in enumerate(zip(names(result), draw.colours(3), strict=True)):
        values = np.sort(result.potential.values[result.sample_source.values == i])
        layers.append(draw.curve(np.linspace(0, 100, values.size), values, name, color=tint))
    return draw.plot(*layers, xlabel="pilot points, the most useful first (%)", ylabel="potential (cost)", height=300)


def _gap(classes: int) -> int:
    """Rows between two sources, so that the rows that are named are the same in each: every so many of all are."""
    gap = 1
    while gap < classes and (classes + gap) % -(-(3 * classes + 2 * gap) // 8):
        gap += 1
    return gap


def _plan(result: xr.Dataset) -> Any:
    plan = result.plan.values
    classes, labels = plan.shape[1:]
    gap = _gap(classes)
    between = np.full((gap, labels), np.nan)
    rows = np.concatenate([np.concatenate([each, between]) for each in plan])[:-gap]
    classes_named = [str(c) if c < classes else "" for _ in range(3) for c in range(classes + gap)][:-gap]
    marks = [
        draw.text([labels - 0.4], [i * (classes + gap) + classes / 2 - 0.5], name, color=draw.INK)
        for i, name in enumerate(names(result))
    ]
    return draw.heatmap(rows, classes_named, [str(c) for c in range(labels)], xlabel="class of the validation set",
                        ylabel="class of the source", marks=marks, room=(0.45, 0.0), outline=False, equal=False, height=420)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _noise(result: xr.Dataset) -> Any:
    return draw.over(result.noise, {"distance of your mixture": result.ot_here}, height=300)


def _noise_score(result: xr.Dataset) -> Any:
    return draw.over(result.noise, {"predicted": result.predicted, "measured": result.measured}, ylabel=_unit(result),
                     height=300)


def _weights(result: xr.Dataset) -> Any:
    return draw.over(result.label_weight, {"correlation": result.correlation}, ylabel="correlation of distance and score",
                     ylim=(None, None), ticks=False, height=300)


_SWEPT = ("ot_here", "predicted", "measured")

PICTURES = Pictures(
    Picture("map", "What is predicted", "Each place is a mixture of the three sources, pure at the corners. The line is the "
            "way of the selection to p*. Drag your mixture, or click.", _map, clicks=_click, drags=_drag),
    Picture("distances", "How far each mixture is", "Distance to the validation set; blue is near. Drag your "
            "mixture, or click.", _distances, clicks=_click, drags=_drag),
    Picture("scatter", "Predicted and measured", "Each dot is a mixture at N₁: grey was fitted, orange tests the fit. "
            "Dashed: as measured.", _scatter),
    Picture("errors", "Errors of the fits", "Mean absolute error at N₁ of mixtures that were not fitted: those with half or "
            "more of the second source, and a random part.", _errors),
    Picture("learning", "How many mixtures must be trained?", "Mean absolute error of the other mixtures, by how many were "
            "fitted; mean of four choices.", _learning),
    Picture("sizes", "Score by size", "A line in log N through what was fitted at the two pilots (+), and what is measured at "
            "all three sizes (dots).", _sizes),
    Picture("checks", "Ten mixtures at N", "Projected from the fits, from single trainings, and as they were at N₁.", _checks),
    Picture("worth", "What more of a source is worth", "By how much the distance of your mixture falls if a source gains and "
            "the others lose in proportion, from mean potentials.", _worth),
    Picture("potential", "Which points are useful", "Potential of each pilot point in order, by source: low near the "
            "validation set, high where that lacks what is there.", _potential),
    Picture("plan", "What goes where", "Mass from each class of each source to the classes of the validation set.", _plan),
    Picture("weights", "Must the distance know labels?", "Correlation of distance and score over the grid, by the weight of "
            "labels.", _weights, along={"label_weight": _WEIGHTS}, needs=("correlation",)),
    Picture("noise", "Wrong labels are far away", "Distance of your mixture, by the share of wrong labels of one source.",
            _noise, along={"noise": _NOISE}, needs=_SWEPT),
    Picture("noise_score", "Wrong labels cost accuracy", "Predicted and measured at N, by the share of wrong labels of one "
            "source.", _noise_score, along={"noise": _NOISE}, needs=_SWEPT),
)
