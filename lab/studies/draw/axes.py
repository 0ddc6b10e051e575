"""Layers on one pair of axes: their ends, their labels, their finish."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
from bokeh.models import FixedTicker

from .layers import SAYS, TINT, Words, figure, vector, words
from .look import current, dress, finish_bokeh, finish_mpl
from .tips import tips


def plot(
    *layers: Any,
    xlabel: str = "",
    ylabel: str = "",
    logx: bool = False,
    logy: bool = False,
    xlim: tuple[float | None, float | None] | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    xticks: Any = None,
    yticks: Any = None,
    equal: bool = False,
    note: str = "",
    height: int = 300,
) -> hv.Overlay:
    """Layers on one pair of axes, each labelled where it ends.

    Args:
        xlim, ylim: pin the ends of an axis; None follows the data.
        xticks, yticks: positions, or (position, text) pairs; an empty list: none.
        equal: one unit is as long on both axes.
        note: a quiet line of text at the top left; says why when there is nothing to show.
        height: least height on a page, in pixels.
    """
    flat = [element for layer in layers for element in (layer if isinstance(layer, hv.Overlay) else [layer])]
    x, y = _limits(flat, 0, logx, xlim), _limits(flat, 1, logy, ylim, rests=not equal)
    empty = x is None or y is None
    if empty:
        note = f"nothing to show: {note or 'there are no finite values'}"
    x, y = x or (1.0, 10.0), y or (1.0, 10.0)
    if logy:
        flat = [_raised(layer, y[0]) for layer in flat]
    labels, x = _direct_labels(flat, x, y, logx, logy, pinned=bool(xlim and xlim[1] is not None))
    if empty:  # the same layers as ever, so that a live picture keeps its structure
        labels = [label._replace(text="") for label in labels]
    labels.append(Words(x[0], y[1], f" {note}", current().muted, up="top"))
    return frame(
        [*flat, *words(labels)],
        x,
        y,
        xlabel=xlabel,
        ylabel=ylabel,
        equal=equal,
        height=height,
        logx=logx,
        logy=logy,
        xticks=xticks,
        yticks=yticks,
        empty=empty,
    )


def frame(
    layers: Sequence[Any],
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    xlabel: str = "",
    ylabel: str = "",
    equal: bool = False,
    bare: bool = False,
    height: int = 300,
    bounds: tuple | None = None,
    whole: tuple[bool, bool] = (False, False),
    clabel: str | None = None,
    logx: bool = False,
    logy: bool = False,
    xticks: Any = None,
    yticks: Any = None,
    empty: bool = False,
    hooks: Sequence[Any] = (),
) -> hv.Overlay:
    """Set layers on one pair of axes, finished for each backend.

    Args:
        bare: no axes at all.
        bounds: where the axis lines begin and end, when not at the ends of the picture.
        whole: an axis that counts has ticks at whole numbers only.
        clabel: draw a colour bar with this label.
        empty: no layer has a value to show.
        hooks: more of them for Bokeh.
    """
    look = current()
    told = tips((xlabel or "x", "@x"), (ylabel or "y", "@y"))
    for layer in layers:
        hovered = isinstance(layer, hv.Curve | hv.Points | hv.Scatter) and bounds is None
        # the ends are known; only of what is coloured by value HoloViews must look for the range
        known = {"apply_ranges": False} if type(layer) in (hv.Curve, hv.Labels) else {}
        dress(layer, bokeh={**known, **(told if hovered else {})})
    common = {
        "xlabel": xlabel,
        "ylabel": ylabel,
        "xlim": x,
        "ylim": y,
        "logx": logx,
        "logy": logy,
        "show_legend": False,
        "show_title": False,
    }
    # Matplotlib refuses a logarithmic axis where nothing is positive
    linear = {"logx": False, "logy": False} if empty else {}
    ticks = {name: _named(value) for name, value in (("xticks", xticks), ("yticks", yticks)) if value is not None}
    none = [name for name, value in ticks.items() if not value]  # which HoloViews does not take as a list
    return dress(
        hv.Overlay(list(layers)),
        both=common | {name: value for name, value in ticks.items() if value},
        bokeh={
            "responsive": True,
            "min_height": height,
            "toolbar": "above",
            "autohide_toolbar": True,
            "active_tools": [],
            "default_tools": ["pan", "wheel_zoom", "box_zoom", "reset", "save"],
            "hooks": [finish_bokeh(look, equal, bare, bounds, whole), *hooks],
            **{name: FixedTicker(ticks=[]) for name in none},
        },
        mpl={
            "hooks": [finish_mpl(look, equal, bare, bounds, whole, clabel)],
            **linear,
            **dict.fromkeys(none, 0),
        },
    )


def _named(ticks: Any) -> Any:
    """Ticks as (position, text) pairs: a logarithmic axis would write bare positions as powers of ten."""
    return [tick if isinstance(tick, tuple) else (tick, figure(tick)) for tick in ticks]


def _spread(element: Any, axis: int) -> np.ndarray:
    """All coordinates of an element on one axis."""
    if isinstance(element, hv.VLine | hv.HLine):
        own = 0 if isinstance(element, hv.VLine) else 1
        return vector(element.data) if own == axis else np.zeros(0)
    if isinstance(element, hv.Image | hv.RGB):
        bounds: Any = element.bounds
        left, bottom, right, top = bounds.lbrt()
        return np.array([left, right] if axis == 0 else [bottom, top])
    columns = (axis,)
    if isinstance(element, hv.Area):
        columns = (0,) if axis == 0 else (1, 2)
    elif isinstance(element, hv.Segments | hv.Rectangles):
        columns = (axis, axis + 2)
    return np.concatenate([vector(element.dimension_values(column)) for column in columns])


def _limits(layers: Sequence[Any], axis: int, log: bool, pinned: Any, rests: bool = False) -> tuple | None:
    """The ends of an axis with a little air, none below zero where things rest on it; None when there is no value."""
    values = np.concatenate([np.zeros(0), *(_spread(layer, axis) for layer in layers)])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not values.size:
        return None
    low, high = (float(np.log10(v) if log else v) for v in (values.min(), values.max()))
    air = 0.04 * (high - low) if high - low > 1e-9 * abs(high) else (0.5 if log else 0.05 * abs(high) or 0.5)
    own = (low if rests and not log and low == 0 else low - air, high + air)
    ends = [10.0**end if log else end for end in own]
    for k, end in enumerate(pinned or ()):
        if end is not None and (end > 0 or not log):
            ends[k] = float(end)
    return ends[0], ends[1]


def _raised(layer: Any, low: float) -> Any:
    """A layer that rests on zero, resting on the end of a logarithmic axis instead."""
    if isinstance(layer, hv.Area | hv.Rectangles):
        base = layer.vdims[0] if isinstance(layer, hv.Area) else layer.kdims[1]
        columns = {d.name: layer.dimension_values(d) for d in layer.dimensions()}
        columns[base.name] = np.maximum(columns[base.name], low)
        return layer.clone(columns)
    return layer


def _direct_labels(
    layers: Sequence[Any], x: tuple, y: tuple, logx: bool, logy: bool, pinned: bool
) -> tuple[list[Words], tuple[float, float]]:
    """A label for each layer that has one, moved apart where they would touch, and the x axis with room for them."""
    to_x, to_y = (np.log10 if log else float for log in (logx, logy))
    back_x, back_y = ((lambda v: float(10.0**v)) if log else float for log in (logx, logy))
    (x0, x1), (y0, y1) = (to_x(x[0]), to_x(x[1])), (to_y(y[0]), to_y(y[1]))
    labels: list[Words] = []
    ends: list[int] = []
    for layer in layers:
        text, tint = layer.cdims.get(SAYS, ""), layer.cdims.get(TINT, current().ink)
        line = isinstance(layer, hv.VLine | hv.HLine)
        if not text or (line and float(layer.data) <= 0 and (logx if isinstance(layer, hv.VLine) else logy)):
            continue  # a logarithmic axis has no place for it
        if isinstance(layer, hv.VLine):
            labels.append(Words(float(layer.data), y[1], f" {text}", tint, up="top"))
        elif isinstance(layer, hv.HLine):
            level = to_y(float(layer.data))
            under = level + 0.1 * (y1 - y0) > y1 >= level  # no room above the line
            clear = back_y(level + (-0.03 if under else 0.03) * (y1 - y0))
            labels.append(Words(np.nan, clear, f"{text} ", tint, up="top" if under else "bottom", side="right"))
        else:
            px, py = _spread(layer, 0), _spread(layer, 1)[-layer.dimension_values(0).size :]
            px = px[-py.size :]
            seen = np.flatnonzero(np.isfinite(px) & np.isfinite(py) & ((px > 0) | (not logx)) & ((py > 0) | (not logy)))
            at = (px[seen[-1]], py[seen[-1]]) if seen.size else (x[1], y[1])
            ends.append(len(labels))
            labels.append(Words(min(float(at[0]), x[1]), float(at[1]), f"  {text}", tint))
    beside = [len(word.text) for word in labels if word.up != "top"]
    if beside and not pinned:  # room at the right; a picture is some 62 letters wide
        x1 = x0 + (x1 - x0) / (1 - min(0.4, max(beside) / 62))
    if ends:
        gap = 0.07 * (y1 - y0)
        order = sorted(ends, key=lambda k: labels[k].y)
        levels = np.array([to_y(labels[k].y) for k in order])
        levels[0] = max(levels[0], y0 + gap / 2)  # clear of the axis
        for k in range(1, levels.size):
            levels[k] = max(levels[k], levels[k - 1] + gap)
        levels[-1] = min(levels[-1], y1 - gap / 4)  # and not cut at the top
        for k in range(levels.size - 2, -1, -1):
            levels[k] = min(levels[k], levels[k + 1] - gap)
        for k, level in zip(order, levels, strict=True):
            labels[k] = labels[k]._replace(y=back_y(level))
    labels = [word._replace(x=back_x(x1)) if word.x != word.x else word for word in labels]
    return labels, (back_x(x0), back_x(x1))
