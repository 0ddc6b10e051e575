"""Layers: what a picture is made of, one HoloViews element each."""

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from .look import INK, MUTED, SOURCE, TARGET, blend, current, dress, ramp
from .sameness import same

SAYS = hv.Dimension("says")  # the direct label of a layer
TINT = hv.Dimension("tint")  # and its colour
GRIP = hv.Dimension("grip")  # of points that a hand may drag
TABLE = hv.Dimension("table")  # the columns that the words of a table tell
_FAINT = 0.55  # of the colour of a family, for its first: its line and its name are to be seen
COLUMNS: dict[str, Any] = {"datatype": ["dictionary"]}  # of a layer's data: bare arrays are drawn sooner than a table


def label(what: Any, unit: str = "") -> str:
    """An axis label with its unit: of a name and a unit, or of a labelled array.

    Args:
        what: the name, or a DataArray whose ``long_name`` and ``units`` are taken.
        unit: goes before that of the array; none is written where it is "" or "1".

    Returns:
        the text.

    Examples:
        >>> from lab.studies import draw
        >>> draw.label("mass", "kg"), draw.label("share", "1")
        ('mass (kg)', 'share')
    """
    if hasattr(what, "attrs"):
        unit = unit or what.attrs.get("units", "")
        what = what.attrs.get("long_name", what.name)
    return f"{what} ({unit})" if unit and unit != "1" else str(what)


def colours(n: int, ordered: bool = False, color: str = SOURCE) -> list[str]:
    """Colours of unrelated things, or of a family in order from light to strong through ``color``.

    Args:
        n: how many; unrelated ones repeat after six.
        ordered: the things are a family in order.
        color: that of the family, a name such as ``draw.SOURCE`` or ``#rrggbb``.

    Returns:
        ``n`` texts ``#rrggbb``, in the theme that is drawn in now.

    Examples:
        >>> from lab.studies import draw
        >>> draw.colours(2)
        ['#2456a6', '#d1662b']
        >>> len(set(draw.colours(5, ordered=True)))
        5
    """
    if ordered:
        return list(ramp((blend(color, _FAINT), current().colour(color), current().ink), n + 1))[:n]
    series = current().series
    return [series[i % len(series)] for i in range(n)]


def curve(x: Any, y: Any, label: str = "", *, color: str = SOURCE, dash: bool = False, markers: bool = False):
    """A line through (x, y), with its label at its end; with ``markers`` each value is seen.

    Args:
        x: (n,) places along the axis.
        y: (n,) values; what is not finite breaks the line.
        label: what stands at its end in ``plot``.
        color: a name such as ``draw.SOURCE``, or ``#rrggbb``.
        dash: dashed in place of solid.
        markers: a dot at each value.

    Returns:
        a ``Curve``; with ``markers`` an ``Overlay`` of it and its dots.

    Examples:
        >>> from lab.studies import draw
        >>> line = draw.curve([0, 1, 2], [0, 1, 4], "x²")
        >>> type(line).__name__, line.dimension_values("y").tolist()
        ('Curve', [0.0, 1.0, 4.0])
    """
    tint = current().colour(color)
    line = _layer(hv.Curve, (vector(x), vector(y)), label, tint)
    dress(
        line,
        both={"color": tint},
        bokeh={"line_width": 2, "line_dash": "dashed" if dash else "solid"},
        mpl={"linewidth": 1.1, "linestyle": "--" if dash else "-"},
    )
    if not markers:
        return line
    dots = hv.Scatter((vector(x), vector(y)), "x", "y", **COLUMNS)
    dress(dots, both={"color": tint}, bokeh={"size": 6, "line_color": None}, mpl={"s": 6, "linewidth": 0})
    return line * dots


def band(x: Any, low: Any, high: Any, label: str = "", *, color: str = SOURCE):
    """The strip between ``low`` and ``high``.

    Args:
        x: (n,) places along the axis.
        low: (n,) its lower side.
        high: (n,) its upper side.
        label: what stands at its end in ``plot``.
        color: a name such as ``draw.SOURCE``, or ``#rrggbb``; drawn faint.

    Returns:
        an ``Area``.

    Examples:
        >>> from lab.studies import draw
        >>> draw.band([0, 1], [0, 0], [1, 2]).dimension_values("y2").tolist()
        [1.0, 2.0]
    """
    shade = _layer(hv.Area, (vector(x), vector(low), vector(high)), label, current().colour(color), ["y", "y2"])
    return dress(
        shade,
        both={"color": current().colour(color), "alpha": 0.1},
        bokeh={"line_alpha": 0},
        mpl={"facecolor": current().colour(color), "linewidth": 0},
    )


def points(
    x: Any,
    y: Any,
    label: str = "",
    *,
    color: str | Sequence[str] = SOURCE,
    size: Any = 1.0,
    alpha: float = 1.0,
    grip: bool = False,
):
    """Points, whose sizes are relative: areas are proportional to them.

    Args:
        x: (n,) places across.
        y: (n,) places up.
        label: what stands at the last one in ``plot``.
        color: one for all, a name such as ``draw.SOURCE`` or ``#rrggbb``; or (n,) ``#rrggbb``, one for each.
        size: relative area, one for all or (n,); what is negative or not a number counts as 0.
        alpha: opacity, from 0 to 1.
        grip: on a page a hand may drag them; ``Picture.drags`` says what that sets.

    Returns:
        ``Points``, with the square root of each size.

    Examples:
        >>> from lab.studies import draw
        >>> draw.points([0, 1], [0, 1], size=[1, 4]).dimension_values("size").tolist()
        [1.0, 2.0]
    """
    x, y = vector(x), vector(y)
    size = np.sqrt(np.clip(np.nan_to_num(np.broadcast_to(vector(size), x.shape)), 0, None))
    own = not isinstance(color, str)
    tint = current().ink if own else current().colour(color)
    data, names = ((x, y, size, list(color)), ["size", "own"]) if own else ((x, y, size), ["size"])
    dots = _layer(hv.Points, data, label, tint, names, kdims=["x", "y"])
    if grip:
        dots = dots.clone(cdims={**dots.cdims, GRIP: True})
    rim, fill = current().rim(own), hv.dim("own") if own else tint
    return dress(
        dots,
        both={"alpha": alpha},
        # not color, by which Bokeh colours the hatch too, where HoloViews forgets it when the points have one colour again
        bokeh={
            "fill_color": fill,
            "size": hv.dim("size") * 7,
            "line_color": rim,
            "line_width": 0.75,
            "line_alpha": alpha,
        },
        mpl={"color": fill, "s": hv.dim("size") ** 2 * 14, "edgecolors": rim, "linewidth": 0.4},
    )


def segments(
    x0: Any,
    y0: Any,
    x1: Any,
    y1: Any,
    weight: Any = 1.0,
    *,
    color: str = INK,
    width: float = 1.0,
    who: Mapping[str, Any] | None = None,
):
    """Straight lines from (x0, y0) to (x1, y1), whose opacity and width follow ``weight``, relative to the largest.

    What has less than a hundredth of it fades out: a dense plan has crumbs everywhere.

    Args:
        x0: (n,) where they begin, across.
        y0: (n,) where they begin, up.
        x1: (n,) where they end, across.
        y1: (n,) where they end, up.
        weight: one for all or (n,); what is negative or not a number counts as 0.
        color: a name such as ``draw.INK``, or ``#rrggbb``.
        width: of all lines, relative.
        who: by kind of thing the number (n,) of what each of them stands for, as in ``same``.

    Returns:
        ``Segments``, the heaviest last and so on top.

    Examples:
        >>> from lab.studies import draw
        >>> draw.segments([0, 0], [0, 0], [1, 1], [0, 1], [4, 2]).dimension_values("weight").tolist()
        [0.5, 1.0]
    """
    ends = [vector(v) for v in (x0, y0, x1, y1)]
    weight = np.clip(np.nan_to_num(np.broadcast_to(vector(weight), ends[0].shape)), 0, None)
    weight = weight / weight.max() if weight.size and weight.max() > 0 else weight
    order = np.argsort(weight, kind="stable")  # the heaviest on top
    columns = [np.asarray(v[order], np.float32) for v in (*ends, weight)]
    if not weight.size:  # Matplotlib can't vary the opacity of no lines
        columns = [np.full(1, value, np.float32) for value in (np.nan, np.nan, np.nan, np.nan, 0)]
    lines = hv.Segments(tuple(columns), ["x", "y", "x1", "y1"], "weight", **COLUMNS)
    if who and weight.size:
        lines = same(lines, **{kind: np.ravel(numbers)[order] for kind, numbers in who.items()})
    share = (0.1 + 0.9 * hv.dim("weight")) * (100 * hv.dim("weight")).clip(0, 1)
    return dress(
        lines,
        both={"color": current().colour(color), "alpha": share},
        bokeh={"line_width": width * (0.5 + 1.7 * hv.dim("weight"))},
        mpl={"linewidth": width * (0.3 + 0.9 * hv.dim("weight"))},
    )


def bars(x: Any, y: Any, label: str = "", *, color: str = SOURCE, width: float | None = None, base: Any = 0.0):
    """Upright bars from ``base`` to ``y`` about ``x``.

    Args:
        x: (n,) their middles.
        y: (n,) their tops.
        label: what stands at the last one in ``plot``.
        color: a name such as ``draw.SOURCE``, or ``#rrggbb``.
        width: in units of x; the least distance of neighbours when None, so that they touch, and 1 for a single bar.
        base: where they stand, one for all or (n,).

    Returns:
        ``Rectangles``.

    Examples:
        >>> from lab.studies import draw
        >>> bars = draw.bars([0, 1], [2, 3])
        >>> bars.dimension_values("x").tolist(), bars.dimension_values("x1").tolist()
        ([-0.5, 0.5], [0.5, 1.5])
    """
    x, y = vector(x), vector(y)
    if width is None:
        width = float(np.min(np.abs(np.diff(x)))) if x.size > 1 else 1.0
    low = np.broadcast_to(vector(base), x.shape)
    sides = (x - width / 2, low, x + width / 2, y, y - low)
    return rectangles(sides, label, current().colour(color))


def vline(x: float, label: str = "", *, color: str = TARGET, dash: bool = False):
    """An upright line through all of the picture, its label at the top.

    Args:
        x: where it is, across.
        label: what stands at its top in ``plot``.
        color: a name such as ``draw.TARGET``, or ``#rrggbb``.
        dash: dashed in place of solid.

    Returns:
        a ``VLine``.

    Examples:
        >>> from lab.studies import draw
        >>> draw.vline(2, "edge").data
        2.0
    """
    return _rule(hv.VLine, x, label, color, dash)


def hline(y: float, label: str = "", *, color: str = MUTED, dash: bool = True):
    """A level line through all of the picture, its label at the right end.

    Args:
        y: where it is, up.
        label: what stands at its right end in ``plot``.
        color: a name such as ``draw.MUTED``, or ``#rrggbb``.
        dash: dashed in place of solid.

    Returns:
        an ``HLine``.

    Examples:
        >>> from lab.studies import draw
        >>> draw.hline(1e-6, "tolerance").data
        1e-06
    """
    return _rule(hv.HLine, y, label, color, dash)


def rectangles(
    sides: tuple,
    text: str,
    tint: str,
    edge: bool = True,
    alpha: float = 0.85,
    own: Sequence[str] | None = None,
) -> hv.Rectangles:
    """Boxes from two corners and a height.

    Args:
        sides: five arrays (n,): left, bottom, right, top, and the height that is told under a pointer.
        text: what stands at the last one in ``plot``.
        tint: the colour of all, ``#rrggbb``.
        edge: a thin rim in the colour of the ground.
        alpha: opacity, from 0 to 1.
        own: (n,) a colour for each, ``#rrggbb``, in the place of ``tint``.

    Returns:
        ``Rectangles``.

    Examples:
        >>> from lab.studies import draw
        >>> len(draw.rectangles(([0, 1], [0, 0], [1, 2], [2, 3], [2, 3]), "", "#2456a6"))
        2
    """
    columns, names = [np.asarray(v, np.float32) for v in sides], ["height"]
    if own is not None:
        columns, names = [*columns, np.asarray(own)], [*names, "own"]
    made = _layer(hv.Rectangles, tuple(columns), text, tint, names, kdims=["x", "y", "x1", "y1"])
    rim = current().rim(own is not None) if edge else None
    fill: Any = tint if own is None else hv.dim("own")
    return dress(
        made,
        bokeh={"fill_color": fill, "fill_alpha": alpha, "line_color": rim, "line_width": 0.5},
        mpl={"facecolor": fill, "alpha": alpha, "edgecolor": rim or "none", "linewidth": 0.3 if edge else 0.0},
    )


def _rule(kind: Any, at: float, text: str, color: str, dash: bool) -> Any:
    tint = current().colour(color)
    line = kind(float(at), cdims={SAYS: text, TINT: tint})
    return dress(
        line,
        both={"color": tint},
        bokeh={"line_width": 1.5, "line_dash": "dashed" if dash else "solid"},
        mpl={"linewidth": 0.8, "linestyle": "--" if dash else "-"},
    )


def _layer(kind: Any, data: Any, text: str, tint: str, vdims: Any = "y", kdims: Any = "x") -> Any:
    return kind(data, kdims, vdims, cdims={SAYS: text, TINT: tint}, **COLUMNS)


def vector(values: Any) -> np.ndarray:
    """Numbers of any shape as (n,) of float64."""
    return np.asarray(values, float).ravel()
