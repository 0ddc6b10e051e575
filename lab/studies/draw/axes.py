"""Layers on one pair of axes: their ends, their labels, their finish."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
from bokeh.models import FixedTicker

from lab.words import number, readable

from .finish import finish_bokeh, finish_mpl
from .labels import direct_labels
from .layers import vector
from .look import current, dress
from .pointers import tips
from .writing import Words, words


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
        layers: made with the functions here; an ``Overlay`` counts as its layers.
        xlabel: of the x axis, with its unit.
        ylabel: of the y axis, with its unit.
        logx: a logarithmic x axis.
        logy: a logarithmic y axis.
        xlim: pins the ends of the x axis; None in the place of an end follows the data.
        ylim: the same of the y axis.
        xticks: positions, or (position, text) pairs; an empty list: none.
        yticks: the same of the y axis.
        equal: one unit is as long on both axes.
        note: a quiet line of text at the top left; says why when there is nothing to show.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay`` of the layers and the words.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.plot(draw.curve([1, 10], [1, 100], "x²"), logx=True, logy=True)
        >>> [type(layer).__name__ for layer in picture]
        ['Curve', 'Labels', 'Labels']
    """
    flat = [element for layer in layers for element in (layer if isinstance(layer, hv.Overlay) else [layer])]
    x, y = _limits(flat, 0, logx, xlim), _limits(flat, 1, logy, ylim, rests=not equal)
    empty = x is None or y is None
    if empty:
        note = f"nothing to show: {note or 'there are no finite values'}"
    note = current().lines(note)
    x, y = x or (1.0, 10.0), y or (1.0, 10.0)
    if logy:
        flat = [_raised(layer, y[0]) for layer in flat]
    end = x[1]
    labels, x = direct_labels(flat, x, y, (logx, logy), _spread, pinned=bool(xlim and xlim[1] is not None), note=note)
    if empty:  # the same layers as ever, so that a live picture keeps its structure
        labels = [label._replace(text="") for label in labels]
    labels.append(Words(x[0], y[1], " " + note.replace("\n", "\n "), current().muted, up="top", ground=bool(note)))
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
        end=end if end < x[1] and not equal else None,
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
    end: float | None = None,
    hooks: Sequence[Any] = (),
) -> hv.Overlay:
    """Set layers on one pair of axes whose ends are given, finished for each backend.

    Args:
        layers: HoloViews elements, the last one on top.
        x: left and right end of the picture.
        y: bottom and top of the picture.
        xlabel: of the x axis, with its unit.
        ylabel: of the y axis, with its unit.
        equal: one unit is as long on both axes.
        bare: no axes at all.
        height: least height on a page, in pixels.
        bounds: where the axis lines begin and end, as two pairs, when not at the ends of the picture.
        whole: of each axis whether it counts: it then has ticks at whole numbers only.
        clabel: draw a colour bar with this label, in print.
        logx: a logarithmic x axis.
        logy: a logarithmic y axis.
        xticks: positions, or (position, text) pairs; an empty list: none.
        yticks: the same of the y axis.
        empty: no layer has a value to show.
        end: where the line of the x axis ends and its ticks with it, when words stand beyond.
        hooks: more of them for Bokeh.

    Returns:
        an ``Overlay`` of these layers and no other.

    Examples:
        >>> from lab.studies import draw
        >>> len(draw.frame([draw.points([0, 1], [0, 1])], (0, 1), (0, 1), equal=True))
        1
    """
    look, lines = current(), bounds if end is None else ((x[0], end), None)
    told = tips((xlabel or "x", "@x"), (ylabel or "y", "@y"))
    for layer in layers:
        hovered = type(layer) in (hv.Curve, hv.Points, hv.Scatter) and bounds is None  # no area, which is a curve
        # the ends are known; only of what is coloured by value HoloViews must look for the range
        known = {"apply_ranges": False} if type(layer) in (hv.Curve, hv.Labels) else {}
        dress(layer, bokeh={**known, **(told if hovered else {})})
    common = {
        "xlabel": look.under(xlabel),
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
            "hooks": [finish_bokeh(look, equal, bare, lines, whole), *hooks],
            **{name: FixedTicker(ticks=[]) for name in none},
        },
        mpl={
            "hooks": [finish_mpl(look, equal, bare, lines, whole, clabel)],
            **linear,
            **dict.fromkeys(none, 0),
        },
    )


def _named(ticks: Any) -> Any:
    """Ticks as (position, text) pairs in ascending order.

    A logarithmic axis would write bare positions as powers of ten, and Bokeh hides the labels of descending ticks.
    """
    named = ((tick[0], readable(str(tick[1]))) if isinstance(tick, tuple) else (tick, number(tick)) for tick in ticks)
    return sorted(named, key=lambda tick: tick[0])


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
