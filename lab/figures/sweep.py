"""Pictures of a sweep, whatever the study: one number over one or two of its parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import holoviews as hv
import numpy as np
import xarray as xr

from lab.choices import chosen
from lab.numerics.statistics import student
from lab.studies import Picture, Study, Whole, draw
from lab.studies.contract import sweeping
from lab.studies.draw.look import current, dress

MEAN = "mean"
_LINES = 8  # curves that can be told apart
_TIPS = 4096  # cells up to which each has its own box
_DECADES = 100.0  # from this ratio on, a scale that nobody chose is logarithmic


type Band = Literal["range", "interval"]
type Scale = Literal["auto", "linear", "log"]


@chosen
@dataclass(frozen=True)
class View:
    """What is drawn of a sweep.

    Attributes:
        value: the scalar result.
        x: the parameter along the axis.
        y: the parameter upwards in a map, one curve for each of its values in lines; "" for none.
        kind: ``"map"`` or ``"lines"``; "" where none is chosen yet.
        at: a value for every other swept parameter, or ``"mean"`` for the mean over it.
        band: about a mean, ``"range"`` from least to largest, or ``"interval"``, the 95% interval of the mean.
        scale: of the numbers: ``"linear"``, ``"log"``, or ``"auto"`` for logarithmic where all are positive and span
            two decades.
    """

    value: str
    x: str
    y: str = ""
    kind: Literal["map", "lines", ""] = "map"
    at: Mapping[str, Any] = field(default_factory=dict)
    band: Band = "range"
    scale: Scale = "auto"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; ``View(**...)`` reads it."""
        return asdict(self)


def sweep_picture(study: type[Study], view: View) -> Picture:
    """The picture that draws this view of a sweep's result."""
    declared = {result.name: result for result in study.results}
    over = " and ".join(symbol(study.parameters()[name]) for name in (view.x, view.y) if name)
    label = declared[view.value].label
    return Picture(
        f"sweep-{view.value}",
        f"{label[:1].upper() if label[:1].isascii() else label[:1]}{label[1:]} over {over}",
        caption(study, view),
        lambda result: draw_view(study, result, view),
        sweeps=True,
        where=lambda result: (
            "" if {view.x, *filter(None, [view.y])} <= set(result.dims) else f"it is no sweep over {over}"
        ),
    )


def caption(study: type[Study], view: View) -> str:
    """One line that says how to read the picture."""
    parameters = study.parameters()
    fixed = [f"{symbol(parameters[name])} = {value_text(v)}" for name, v in view.at.items() if v != MEAN]
    means = [name for name, value in view.at.items() if value == MEAN]
    said = []
    if means and view.kind == "lines":
        spread = "from least to largest" if view.band == "range" else "the 95% interval of the mean (Student's t)"
        said.append(f"line: mean over {' and '.join(means)}; band: {spread}")
    elif means:
        said.append(f"mean over {' and '.join(means)}")
    return "; ".join([*said, ", ".join(fixed)] if fixed else said)


def draw_view(
    study: type[Study], result: xr.Dataset, view: View, chosen: Mapping[str, Any] | None = None
) -> hv.Overlay:
    """The picture: a heat map with a box for each cell, or curves with bands.

    Args:
        result: of a sweep; its variable ``cell_error`` (text for each cell, "" where there is none) tells the cells that
            failed from those that were never computed.
        chosen: a cell to frame in a map, as the values of its parameters.
    """
    with draw.pen:
        return (_map if view.kind == "map" else _lines)(study, result, view, chosen or {})


def symbol(parameter: Any) -> str:
    """How a parameter is written: ``γ``, else its name."""
    return parameter.symbol or parameter.name.replace("_", " ")


def value_text(value: Any) -> str:
    """A value of a parameter, short."""
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    return str(value).lower() if isinstance(value, bool | np.bool_) else "auto" if value is None else str(value)


def titled(parameter: Any) -> str:
    """``γ, strength``: how a parameter is written, and its label where that says more."""
    sign, words = symbol(parameter), parameter.label or ""
    return f"{sign}, {words}" if words and words.casefold() != sign.casefold() else sign


def axis_label(study: type[Study], name: str) -> str:
    """``γ, strength (cost/mass)``."""
    parameter = study.parameters()[name]
    return draw.label(titled(parameter), parameter.unit)


# ---- the numbers -----------------------------------------------------------------------------------------------


def _at(array: xr.DataArray, view: View) -> xr.DataArray:
    """The array at the values that the view fixes; the dimensions that it averages over remain."""
    for name, value in view.at.items():
        if name in array.dims and value != MEAN:
            values = array[name].values.tolist()
            array = array.isel({name: values.index(value)})
    return array


def _averaged(array: xr.DataArray, view: View) -> list[str]:
    return [str(dim) for dim in array.dims if dim not in (view.x, view.y)]


def _numbers(study: type[Study], result: xr.Dataset, view: View) -> tuple[xr.DataArray, str]:
    declared = next(each for each in study.results if each.name == view.value)
    return _at(result[view.value].astype(float), view), draw.label(declared.label, declared.unit)


@chosen
def is_log(numbers: Any, scale: Scale) -> bool:
    """Whether these numbers are shown on a logarithmic scale."""
    numbers = np.asarray(numbers, float)
    finite = numbers[np.isfinite(numbers)]
    if scale != "auto":
        return scale == "log" and bool((finite > 0).any())
    return bool(finite.size and finite.min() > 0 and finite.max() >= _DECADES * finite.min())


# ---- the map ---------------------------------------------------------------------------------------------------


def _map(study: type[Study], result: xr.Dataset, view: View, chosen: Mapping[str, Any]) -> hv.Overlay:
    numbers, label = _numbers(study, result, view)
    over = _averaged(numbers, view)
    dims = [name for name in (view.y, view.x) if name]
    numbers = numbers.transpose(*dims, *over)
    table = numbers.mean(over, skipna=False).values if over else numbers.values
    table = table.reshape((-1, table.shape[-1]))
    errors = _errors(result, view, dims, over, table)
    log = is_log(table, view.scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log10(np.where(table > 0, table, np.nan)) if log else table
    if log:  # what has no logarithm gets the lowest colour, and its number is told
        shown = np.where(np.isfinite(table) & (table <= 0), np.nanmin(shown), shown)
    names = [[value_text(v) for v in result[name].values.tolist()] for name in dims]
    xlabel, ylabel = axis_label(study, view.x), axis_label(study, view.y) if view.y else ""
    finite = shown[np.isfinite(shown)]
    if not finite.size:
        shown = np.zeros_like(shown)  # the marks say why
    signed = bool(finite.size and finite.min() < 0 < finite.max()) and not log
    boxed = table.size <= _TIPS
    marks = [*_marks(result, view, dims, over, table, errors), _frame(result, view, chosen)]
    if boxed:
        heads = [(xlabel, "@column"), *([(ylabel, "@row")] if view.y else []), (label, "@told")]
        marks.append(_boxes(names if view.y else [[""], *names], table, errors, heads))
    overlay = draw.heatmap(
        shown,
        names[0] if view.y else [""],
        names[-1],
        xlabel=xlabel,
        ylabel=ylabel,
        clabel=f"log₁₀ {label}" if log else label,
        clim=None if signed else _ends(finite),
        signed=signed,
        outline=False,
        equal=False,
        height=440,
        marks=marks,
    )
    if boxed:  # each box tells more than the image under it
        dress(next(iter(overlay)), bokeh={"tools": [], "hover_tooltips": None})
    return overlay


def _ends(finite: np.ndarray) -> tuple[float, float]:
    if not finite.size:
        return (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    room = 0.0 if high > low else 0.05 * abs(high) or 0.5
    return low - room, high + room


def _errors(result: xr.Dataset, view: View, dims: list[str], over: list[str], table: np.ndarray) -> np.ndarray:
    """For each cell of the table why it is empty, "" where it has a number."""
    if sweeping.CELL_ERROR not in result:
        return np.where(np.isnan(table), "the result is not a number", "").astype(object)
    texts = _at(result[sweeping.CELL_ERROR], view).transpose(*dims, *over).values.reshape(*table.shape, -1)
    joined = np.array([next((text for text in cell if text), "") for cell in texts.reshape(table.size, -1)], object)
    joined = joined.reshape(table.shape)
    return np.where(np.isnan(table) & (joined == ""), "the result is not a number", joined)


NOT_YET = "not computed yet"


def _marks(
    result: xr.Dataset, view: View, dims: list[str], over: list[str], table: np.ndarray, errors: np.ndarray
) -> list[Any]:
    """A stroke through cells that are not there yet, a cross through those that failed, a ring in unconverged ones."""
    empty = np.isnan(table)
    missing = empty & (errors == NOT_YET)
    ring = np.zeros(table.shape, bool)
    if "converged" in result:
        reached = _at(result["converged"].astype(float), view).transpose(*dims, *over).values
        ring = (reached.reshape(*table.shape, -1) == 0).any(-1) & ~empty
    i, j = (index[:: -(-index.size // _TIPS) or 1] for index in np.nonzero(missing))
    strokes = draw.segments(j - 0.3, i - 0.3, j + 0.3, i + 0.3, 1.0, color=current().line, width=0.5)
    i, j = np.nonzero(empty & ~missing)
    one, two = (
        draw.segments(j - 0.25, i - way * 0.25, j + 0.25, i + way * 0.25, 1.0, color=draw.WARN) for way in (1, -1)
    )
    i, j = np.nonzero(ring)
    return [strokes, one, two, draw.points(j, i, color=draw.WARN, size=0.6)]


def _frame(result: xr.Dataset, view: View, chosen: Mapping[str, Any]) -> hv.Rectangles:
    """A frame round the chosen cell, where this view shows it."""
    shown = bool(chosen) and all(
        view.at.get(n, MEAN) in (MEAN, v) for n, v in chosen.items() if n not in (view.x, view.y)
    )
    box = np.zeros((0, 4))
    if shown:
        j = result[view.x].values.tolist().index(chosen[view.x])
        i = result[view.y].values.tolist().index(chosen[view.y]) if view.y else 0
        box = np.array([[j - 0.5, i - 0.5, j + 0.5, i + 0.5]])
    return dress(
        hv.Rectangles(tuple(box.T), ["x", "y", "x1", "y1"]),
        bokeh={"fill_color": None, "line_color": current().target, "line_width": 2.5},
        mpl={"facecolor": "none", "edgecolor": current().target, "linewidth": 1.2},
    )


def _boxes(names: Sequence[Sequence[str]], table: np.ndarray, errors: np.ndarray, heads: list) -> hv.Rectangles:
    """A box for each cell, which tells on hover what is in it."""
    i, j = (index.ravel() for index in np.indices(table.shape))
    told = [error or f"{value:.6g}" for value, error in zip(table.ravel(), errors.ravel(), strict=True)]
    half = 0.495  # clear of its neighbours, of which a pointer would else find two
    columns = (
        j - half,
        i - half,
        j + half,
        i + half,
        [names[0][k] for k in i.tolist()],
        [names[1][k] for k in j.tolist()],
        told,
    )
    edge = current().line
    return dress(
        hv.Rectangles(columns, ["x", "y", "x1", "y1"], ["row", "column", "told"]),
        bokeh={"fill_alpha": 0, "line_color": edge, "line_width": 0.5, **draw.tips(*heads)},
        mpl={"facecolor": "none", "edgecolor": edge, "linewidth": 0.3},
    )


# ---- the lines -------------------------------------------------------------------------------------------------


def _lines(study: type[Study], result: xr.Dataset, view: View, chosen: Mapping[str, Any]) -> hv.Overlay:
    numbers, label = _numbers(study, result, view)
    parameters = study.parameters()
    over = _averaged(numbers, view)
    values = result[view.x].values
    named = values.dtype.kind not in "iuf"
    x = np.arange(values.size) if named else values.astype(float)
    series: list[tuple[str, xr.DataArray]] = [("", numbers)]
    note = ""
    if view.y:
        each = result[view.y].values.tolist()
        places = sorted({int(at) for at in np.linspace(0, len(each) - 1, min(_LINES, len(each))).round()})
        sign = symbol(parameters[view.y])
        series = [(f"{sign} = {value_text(each[p])}", numbers.isel({view.y: p})) for p in places]
        note = f"{len(places)} of {len(each)} values of {sign}" if len(places) < len(each) else ""
    ordered = bool(view.y) and result[view.y].dtype.kind in "iuf"
    layers = []
    for color, (name, part) in zip(draw.colours(len(series), ordered), series, strict=True):
        runs = part.transpose(view.x, *over).values.reshape(x.size, -1)
        middle, low, high = spread(runs, view.band)
        if over:
            layers.append(draw.band(x, low, high, color=color))
        layers.append(draw.curve(x, middle, name, color=color, markers=True))
    log = is_log(numbers, view.scale)
    logx = not named and parameters[view.x].scale == "log" and bool((x > 0).all())
    few = named or (isinstance(parameters[view.x], Whole) and x.size <= 8)
    xlabel = axis_label(study, view.x)
    ticks = [(float(at), value_text(value)) for at, value in zip(x, values.tolist(), strict=True)] if few else None
    empty = int(np.isnan(numbers.values).sum())
    note = "; ".join(filter(None, [note, f"{empty} of {numbers.size} cells are empty" if empty else ""]))
    overlay = draw.plot(*layers, xlabel=xlabel, ylabel=label, logx=logx, logy=log, xticks=ticks, note=note, height=440)
    told = draw.tips((xlabel, "@x"), (label, "@y"))
    for layer in overlay if current().backend in ("", "bokeh") else []:
        if isinstance(layer, hv.Scatter):
            draw.set_options(layer, "bokeh", **told)
        elif isinstance(layer, hv.Curve):
            draw.set_options(layer, "bokeh", tools=[], hover_tooltips=None)
    return overlay


@chosen
def spread(runs: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, and the ends of the band, of the runs (n, r) at each of n places; NaN runs are left out.

    ``band`` is ``"range"``, least and largest, or ``"interval"``: mean ± t s / √r with the 97.5% quantile t of
    Student's distribution with r - 1 degrees of freedom and the sample deviation s; NaN where r < 2.
    """
    there = np.isfinite(runs)
    count = there.sum(1)
    known = np.where(there, runs, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = known.sum(1) / count
        if band == "range":
            low = np.where(count > 0, np.where(there, runs, np.inf).min(1, initial=np.inf), np.nan)
            high = np.where(count > 0, np.where(there, runs, -np.inf).max(1, initial=-np.inf), np.nan)
            return mean, low, high
        deviation = np.sqrt((np.where(there, runs - mean[:, None], 0.0) ** 2).sum(1) / (count - 1))
        half = student(count) * deviation / np.sqrt(count)
    return mean, mean - half, mean + half


def of_shape(view: View, grid: Mapping[str, Sequence[Any]]) -> View:
    """The view moved to what this grid has: axes that are swept, a value for each of the others."""
    names = sorted(grid, key=lambda name: (name == "seed", len(grid[name]) < 2))  # a seed is rather averaged over
    x = view.x if view.x in grid else names[0]
    rest = [name for name in names if name != x]
    y = view.y if view.y in rest else ""
    if view.kind == "map" and not y and rest:
        y = rest[0]
    at = {}
    for name in rest:
        if name != y:
            known = view.at.get(name)
            averaged = name == "seed" and name not in view.at
            at[name] = known if known == MEAN or known in grid[name] else MEAN if averaged else grid[name][0]
    return replace(view, x=x, y=y, at=at)
