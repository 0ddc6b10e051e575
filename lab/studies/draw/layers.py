"""Layers: what a picture is made of, one HoloViews element each."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import holoviews as hv
import numpy as np

from lab.choices import chosen

from .look import INK, MUTED, SOURCE, TARGET, blend, current, dress, ramp
from .same import same

SAYS = hv.Dimension("says")  # the direct label of a layer
TINT = hv.Dimension("tint")  # and its colour
GRIP = hv.Dimension("grip")  # of points that a hand may drag
COLUMNS: dict[str, Any] = {"datatype": ["dictionary"]}  # of a layer's data: bare arrays are drawn sooner than a table

type Up = Literal["center", "top", "bottom"]
type Side = Literal["left", "center", "right"]


def label(what: Any, unit: str = "") -> str:
    """An axis label with its unit: of a name and a unit, or of a labelled array."""
    if hasattr(what, "attrs"):
        unit = unit or what.attrs.get("units", "")
        what = what.attrs.get("long_name", what.name)
    return f"{what} ({unit})" if unit and unit != "1" else str(what)


def colours(n: int, ordered: bool = False, color: str = SOURCE) -> list[str]:
    """``n`` colours: of unrelated things, or for a family in order from light to strong through ``color``."""
    if ordered:
        return list(ramp((blend(color, 0.35), current().colour(color), current().ink), n + 1))[:n]
    series = current().series
    return [series[i % len(series)] for i in range(n)]


def curve(x: Any, y: Any, label: str = "", *, color: str = SOURCE, dash: bool = False, markers: bool = False):
    """A line through (x, y), with its label at its end; with ``markers`` each value is seen."""
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
    """The strip between ``low`` and ``high``."""
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
    """Points; ``size`` is relative, one for all or one for each (areas are proportional to it), and so is ``color``.

    Args:
        grip: on a page a hand may drag them; ``Picture.drags`` says what that sets.
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
        who: what each of them stands for, as in ``same``.
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
    """Upright bars from ``base`` to ``y`` about ``x``; ``width`` in units of x, touching when not given."""
    x, y = vector(x), vector(y)
    if width is None:
        width = float(np.min(np.abs(np.diff(x)))) if x.size > 1 else 1.0
    low = np.broadcast_to(vector(base), x.shape)
    sides = (x - width / 2, low, x + width / 2, y, y - low)
    return rectangles(sides, label, current().colour(color))


def vline(x: float, label: str = "", *, color: str = TARGET, dash: bool = False):
    """An upright line through all of the picture, its label at the top."""
    return _rule(hv.VLine, x, label, color, dash)


def hline(y: float, label: str = "", *, color: str = MUTED, dash: bool = True):
    """A level line through all of the picture, its label at the right end."""
    return _rule(hv.HLine, y, label, color, dash)


def rectangles(
    sides: tuple,
    text: str,
    tint: str,
    edge: bool = True,
    alpha: float = 0.85,
    own: Sequence[str] | None = None,
) -> hv.Rectangles:
    """Boxes from two corners and a height; ``own`` gives each its colour."""
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


@chosen
def text(x: Any, y: Any, what: str | Sequence[str], *, color: str = MUTED, up: Up = "center", side: Side = "left"):
    """A few words at one point, or at each of some; ``side`` and ``up`` say which of their corners is there."""
    what = [what] if isinstance(what, str) else list(what)
    return _text(vector(x), vector(y), what, current().colour(color), up, side)


def vector(values: Any) -> np.ndarray:
    return np.asarray(values, float).ravel()


@chosen
class Words(NamedTuple):
    """A piece of text in a picture: where, what, in which colour, and which of its corners is there."""

    x: float
    y: float
    text: str
    tint: str
    up: Up = "center"
    side: Side = "left"


def words(pieces: Sequence[Words]) -> list[hv.Labels]:
    """One layer for each piece, since a layer of text has one colour and one anchor; never none."""
    return [
        _text([piece.x], [piece.y], [piece.text], piece.tint, piece.up, piece.side)
        for piece in pieces or [Words(np.nan, np.nan, "", current().muted)]
    ]


def _text(x: Any, y: Any, what: Sequence[str], tint: str, up: str, side: str) -> hv.Labels:
    kept = [text.replace(" ", "\u00a0") for text in what]  # spaces at the ends keep their width
    baseline = "middle" if up == "center" else up
    return dress(
        hv.Labels((x, y, kept), ["x", "y"], "text", **COLUMNS),
        bokeh={"text_color": tint, "text_font_size": "12px", "text_align": side, "text_baseline": baseline},
        mpl={"color": tint, "size": 7, "horizontalalignment": side, "verticalalignment": up},
    )


def figure(value: Any, digits: int = 4) -> str:
    """A value as text."""
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)
