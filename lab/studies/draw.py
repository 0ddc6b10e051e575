"""The drawing vocabulary of the studies: what a picture is made of, without a word about backends.

Two kinds of function. *Layers* (``curve``, ``band``, ``points``, ``bars``, ``segments``, ``vline``, ``hline``)
return one HoloViews element each. *Pictures* return one ``hv.Overlay`` that is whole: ``plot`` sets layers on a pair of
axes, and ``plan``, ``heatmap``, ``links``, ``convergence``, ``cells``, ``strip`` and ``table`` are the usual ones.

Every picture is a single pair of axes whose layers are the same in number and type for every value, so that a
``hv.DynamicMap`` swaps data without rebuilding anything; Bokeh draws it live and Matplotlib for print.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from .look import (
    GOOD,
    INK,
    MUTED,
    SOURCE,
    TARGET,
    WARN,
    blend,
    current,
    diverging,
    dress,
    finish_bokeh,
    finish_mpl,
    ramp,
    sequential,
    theme,
)  # fmt: skip

__all__ = [
    "GOOD", "INK", "MUTED", "SOURCE", "TARGET", "WARN", "band", "bars", "cells", "colours", "convergence", "curve",
    "heatmap", "hline", "label", "links", "plan", "plot", "points", "pooled", "segments", "strip", "table", "theme",
    "vline",
]  # fmt: skip

SCREEN, PRINT = 256, 1024  # cells a side that are drawn one by one
LINKS = 4000  # segments that are drawn; the heaviest ones
OUTLINED = 64  # cells a side that can be seen one by one

_SAYS = hv.Dimension("says")  # the direct label of a layer
_TINT = hv.Dimension("tint")  # and its colour


def label(what: Any, unit: str = "") -> str:
    """An axis label with its unit: of a name and a unit, or of a labelled array."""
    if hasattr(what, "attrs"):
        unit = unit or what.attrs.get("units", "")
        what = what.attrs.get("long_name", what.name)
    return f"{what} ({unit})" if unit and unit != "1" else str(what)


def colours(n: int, ordered: bool = False) -> list[str]:
    """``n`` colours: of unrelated things, or light to strong for a family in order."""
    if ordered:
        return list(ramp((blend(SOURCE, 0.35), current().source, current().ink), n + 1))[:n]
    series = current().series
    return [series[i % len(series)] for i in range(n)]


# ---- layers ----------------------------------------------------------------------------------------------------


def curve(x: Any, y: Any, label: str = "", *, color: str = SOURCE, dash: bool = False, markers: bool = False):
    """A line through (x, y), with its label at its end; with ``markers`` each value is seen."""
    tint = current().colour(color)
    line = _layer(hv.Curve, (_vector(x), _vector(y)), label, tint)
    dress(
        line,
        both={"color": tint},
        bokeh={"line_width": 2, "line_dash": "dashed" if dash else "solid"},
        mpl={"linewidth": 1.1, "linestyle": "--" if dash else "-"},
    )
    if not markers:
        return line
    dots = hv.Scatter((_vector(x), _vector(y)), "x", "y")
    dress(dots, both={"color": tint}, bokeh={"size": 6, "line_color": None}, mpl={"s": 6, "linewidth": 0})
    return line * dots


def band(x: Any, low: Any, high: Any, label: str = "", *, color: str = SOURCE):
    """The strip between ``low`` and ``high``."""
    shade = _layer(hv.Area, (_vector(x), _vector(low), _vector(high)), label, current().colour(color), ["y", "y2"])
    return dress(
        shade,
        both={"color": current().colour(color), "alpha": 0.12},
        bokeh={"line_alpha": 0},
        mpl={"linewidth": 0},
    )


def points(x: Any, y: Any, label: str = "", *, color: str = SOURCE, size: Any = 1.0, alpha: float = 1.0):
    """Points; ``size`` is relative, one for all or one for each (areas are proportional to it)."""
    x, y = _vector(x), _vector(y)
    size = np.sqrt(np.clip(np.nan_to_num(np.broadcast_to(_vector(size), x.shape)), 0, None))
    tint = current().colour(color)
    dots = _layer(hv.Points, (x, y, size), label, tint, ["size"], kdims=["x", "y"])
    rim = current().card
    return dress(
        dots,
        both={"color": tint, "alpha": alpha},
        bokeh={"size": hv.dim("size") * 7, "line_color": rim, "line_width": 0.75, "line_alpha": alpha},
        mpl={"s": hv.dim("size") ** 2 * 14, "edgecolors": rim, "linewidth": 0.4},
    )


def segments(x0: Any, y0: Any, x1: Any, y1: Any, weight: Any = 1.0, *, color: str = INK, width: float = 1.0):
    """Straight lines from (x0, y0) to (x1, y1), whose opacity and width follow ``weight``, relative to the largest."""
    ends = [_vector(v) for v in (x0, y0, x1, y1)]
    weight = np.clip(np.nan_to_num(np.broadcast_to(_vector(weight), ends[0].shape)), 0, None)
    weight = weight / weight.max() if weight.size and weight.max() > 0 else weight
    order = np.argsort(weight, kind="stable")  # the heaviest on top
    columns = [np.asarray(v[order], np.float32) for v in (*ends, weight)]
    lines = hv.Segments(tuple(columns), ["x", "y", "x1", "y1"], "weight")
    share = 0.1 + 0.9 * hv.dim("weight")
    return dress(
        lines,
        both={"color": current().colour(color), "alpha": share},
        bokeh={"line_width": width * (0.5 + 1.7 * hv.dim("weight"))},
        mpl={"linewidth": width * (0.3 + 0.9 * hv.dim("weight"))},
    )


def bars(x: Any, y: Any, label: str = "", *, color: str = SOURCE, width: float | None = None, base: Any = 0.0):
    """Upright bars from ``base`` to ``y`` about ``x``; ``width`` in units of x, touching when not given."""
    x, y = _vector(x), _vector(y)
    if width is None:
        width = float(np.min(np.abs(np.diff(x)))) if x.size > 1 else 1.0
    low = np.broadcast_to(_vector(base), x.shape)
    boxes = (x - width / 2, low, x + width / 2, y, y - low)
    return _bars(boxes, label, current().colour(color))


def vline(x: float, label: str = "", *, color: str = TARGET, dash: bool = False):
    """An upright line through all of the picture, its label at the top."""
    return _rule(hv.VLine, x, label, color, dash)


def hline(y: float, label: str = "", *, color: str = MUTED, dash: bool = True):
    """A level line through all of the picture, its label at the right end."""
    return _rule(hv.HLine, y, label, color, dash)


# ---- pictures --------------------------------------------------------------------------------------------------


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
        xticks, yticks: positions, or (position, text) pairs.
        equal: one unit is as long on both axes.
        note: a quiet line of text at the top left; says why when there is nothing to show.
        height: least height on a page, in pixels.
    """
    flat = [element for layer in layers for element in (layer if isinstance(layer, hv.Overlay) else [layer])]
    x = _limits(flat, 0, logx, xlim)
    y = _limits(flat, 1, logy, ylim)
    if x is None or y is None:
        note = f"nothing to show: {note or 'there are no finite values'}"
    xr, yr = x or (1.0, 10.0), y or (1.0, 10.0)
    texts, xr = _direct_labels(flat, xr, yr, logx, logy, free=not (xlim and xlim[1] is not None))
    texts.append((xr[0], yr[1], note, current().muted, "top"))
    return _axes(
        [*flat, *_texts(texts)], xr, yr, xlabel=xlabel, ylabel=ylabel, equal=equal, height=height,
        logx=logx, logy=logy, xticks=xticks, yticks=yticks,
    )  # fmt: skip


def heatmap(
    matrix: Any,
    rows: Any = None,
    cols: Any = None,
    *,
    xlabel: str = "column",
    ylabel: str = "row",
    clabel: str = "value",
    clim: tuple[float, float] | None = None,
    signed: bool = False,
    outline: bool | None = None,
    equal: bool | None = None,
    marks: Sequence[Any] = (),
    height: int = 320,
) -> hv.Overlay:
    """A matrix as colours, row 0 at the bottom, with a colour bar.

    Args:
        matrix: (n, m) array or sparse matrix; above 256 a side the largest entry of each block is drawn.
        rows, cols: numbers or names of the rows and columns; equally spaced numbers become the axis itself.
        clim: ends of the colour scale; from 0 to the largest entry, or symmetric about 0, when not given.
        signed: blue below and orange above zero.
        outline: a thin line round each entry that is not zero; by default where they can be seen one by one.
        equal: square cells; by default when the matrix is not too long.
        marks: layers on top, in axis units.
    """
    grid = _Grid(matrix, rows, cols, clim, signed)
    x, y, note = grid.x, grid.y, grid.note
    return _axes(
        [grid.image(xlabel, ylabel, clabel, bar=True), grid.outline(outline), *marks,
         *_texts([(x.low, y.high, note, current().muted, "top")])],
        (x.low, x.high), (y.low, y.high), xlabel=xlabel, ylabel=ylabel, xticks=x.ticks, yticks=y.ticks,
        equal=grid.square if equal is None else equal, height=height, bounds=((x.low, x.high), (y.low, y.high)),
        whole=(x.whole, y.whole), clabel=clabel,
    )  # fmt: skip


def plan(
    matrix: Any,
    a: Any,
    b: Any,
    rows: Any = None,
    cols: Any = None,
    *,
    xlabel: str = "target j",
    ylabel: str = "source i",
    clabel: str = "mass",
    clim: tuple[float, float] | None = None,
    outline: bool | None = None,
    height: int = 380,
) -> hv.Overlay:
    """A transport plan with its marginals on the sides: target on top, source on the right.

    The bars are the marginals that were asked for, the thin lines on them the sums of the plan; where the two part,
    the plan misses its marginal.

    Args:
        matrix: (n, m) array or sparse matrix, row i the source.
        a, b: (n,) and (m,) marginals.
    """
    grid = _Grid(matrix, rows, cols, clim, signed=False)
    x, y = grid.x, grid.y
    # one scale for both sides would hide the shorter one when n and m differ much
    sides = [
        _side(b, grid.sums(0), x, y, upright=True, color=TARGET),
        _side(a, grid.sums(1), y, x, upright=False, color=SOURCE),
    ]
    top, right = y.high + 0.23 * y.span, x.high + 0.23 * x.span
    return _axes(
        [grid.image(xlabel, ylabel, clabel, bar=False), grid.outline(outline), *sides[0], *sides[1],
         *_texts([(x.low, y.high, grid.note, current().muted, "top")])],
        (x.low, right), (y.low, top), xlabel=xlabel, ylabel=ylabel, xticks=x.ticks, yticks=y.ticks,
        equal=grid.square, height=height, bounds=((x.low, x.high), (y.low, y.high)), whole=(x.whole, y.whole),
    )  # fmt: skip


def links(
    x: Any,
    y: Any,
    i: Any,
    j: Any,
    mass: Any,
    *,
    a: Any = None,
    b: Any = None,
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    xlim: tuple | None = None,
    ylim: tuple | None = None,
    height: int = 380,
) -> hv.Overlay:
    """Two clouds in the plane and what goes from one to the other; opacity and width follow the mass.

    Args:
        x, y: (n, 2) sources and (m, 2) targets.
        i, j, mass: (e,) the entries of the plan; those without mass, and beyond the heaviest 4000, are not drawn.
        a, b: weights of the points; their areas follow them.
    """
    x, y = _cloud(x), _cloud(y)
    i, j, mass = np.asarray(i).ravel(), np.asarray(j).ravel(), _vector(mass)
    real = (mass > 0) & (i >= 0) & (j >= 0) & (i < len(x)) & (j < len(y))
    i, j, mass = i[real].astype(int), j[real].astype(int), mass[real]
    if mass.size > LINKS:
        heavy = np.argpartition(mass, -LINKS)[-LINKS:]
        i, j, mass = i[heavy], j[heavy], mass[heavy]
    return plot(
        segments(x[i, 0], x[i, 1], y[j, 0], y[j, 1], mass),
        points(x[:, 0], x[:, 1], color=SOURCE, size=_relative(a)).relabel(group="Source"),
        points(y[:, 0], y[:, 1], color=TARGET, size=_relative(b)).relabel(group="Target"),
        xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, equal=True, height=height,
    )  # fmt: skip


def convergence(
    traces: Mapping[str, Any],
    *,
    xlabel: str = "iteration",
    ylabel: str = "residual",
    tolerance: float | None = None,
    ordered: bool = False,
    log: bool = True,
    **axes: Any,
) -> hv.Overlay:
    """Error traces against the iteration, each labelled at its end.

    Args:
        traces: by name: the errors, or (iterations, errors).
        tolerance: the level at which the method stops.
        ordered: the traces are a family in order (k = 1, 2, 4 ...) rather than different things.
    """
    lines = []
    for color, (name, trace) in zip(colours(len(traces), ordered), traces.items(), strict=True):
        pair = trace if isinstance(trace, tuple) else (np.arange(1, np.size(trace) + 1), trace)
        lines.append(curve(*pair, name, color=color))
    if tolerance is not None:
        lines.append(hline(tolerance, "tolerance"))
    return plot(*lines, xlabel=xlabel, ylabel=ylabel, logy=log, **axes)


def cells(
    owner: Any,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    *,
    tints: Sequence[str] | None = None,
    marks: Sequence[Any] = (),
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    height: int = 380,
) -> hv.Overlay:
    """The plane cut into numbered cells, with a line where one meets the next.

    Args:
        owner: (h, w) whole numbers, row 0 at ``ylim[0]``; negative where the plane belongs to no one.
        tints: a colour for each number; repeated when there are fewer.
        marks: layers on top, such as the ``points`` that own the cells.
    """
    owner = np.asarray(owner)
    if owner.ndim != 2 or owner.size == 0:
        owner = np.full((1, 1), -1)
    tints = list(tints or [blend(c, share) for share in (0.5, 0.28, 0.7, 0.4) for c in current().series])
    owner = owner[:: -(-owner.shape[0] // SCREEN), :: -(-owner.shape[1] // SCREEN)]
    shown = np.where(owner < 0, np.nan, owner % len(tints)).astype(np.float32)
    image = hv.Image(shown[::-1], ["x", "y"], "cell", bounds=(xlim[0], ylim[0], xlim[1], ylim[1]))
    dress(image, both={"cmap": tints, "clim": (-0.5, len(tints) - 0.5)}, mpl={"interpolation": "nearest"})
    return _axes(
        [image, _edges(owner, xlim, ylim), *marks, *_texts([])],
        xlim, ylim, xlabel=xlabel, ylabel=ylabel, equal=True, height=height, bounds=(tuple(xlim), tuple(ylim)),
    )  # fmt: skip


def strip(images: Mapping[str, Any] | Iterable[tuple[str, Any]], *, height: int = 220) -> hv.Overlay:
    """Images side by side, at equal height, each under its title.

    Args:
        images: by title: (h, w, 3) colours or (h, w) greys, as bytes or in [0, 1]; row 0 is the top.
    """
    pairs = list(images.items() if isinstance(images, Mapping) else images)
    layers, texts, left = [], [], 0.0
    for title, pixels in pairs:
        rgb = _rgb(pixels)
        right = left + rgb.shape[1] / rgb.shape[0]
        image = hv.RGB(rgb, ["x", "y"], bounds=(left, 0, right, 1))
        layers.append(dress(image, mpl={"interpolation": "antialiased"}))
        texts.append((left, 1.03, title, current().ink, "above"))
        left = right + 0.06
    if not pairs:
        texts.append((0.0, 0.9, "nothing to show: there are no images", current().muted, "top"))
    span = (0.0, max(left - 0.06, 1.0))
    return _axes(
        [*layers, *_texts(texts)], span, (0.0, 1.16), equal=True, bare=True, height=height, bounds=(span, (0, 1))
    )


def table(columns: Mapping[str, Sequence[Any]], *, height: int = 200) -> hv.Overlay:
    """A small table, numbers with four significant digits."""
    cells_ = {head: [_figure(v) for v in values] for head, values in columns.items()}
    depth = max((len(v) for v in cells_.values()), default=0)
    texts, at = [], 0.0
    for head, values in cells_.items():
        texts.append((at, 0.0, head, current().muted, "middle"))
        texts += [(at, -1.0 - row, value, current().ink, "middle") for row, value in enumerate(values)]
        at += max(map(len, [head, *values])) + 3
    if not depth:
        texts.append((0.0, -1.0, "nothing to show: the table has no rows", current().muted, "middle"))
    rule = hv.Segments(([0.0], [-0.5], [max(at - 3, 1.0)], [-0.5]), ["x", "y", "x1", "y1"])
    dress(rule, both={"color": current().line}, mpl={"linewidth": 0.6})
    return _axes([rule, *_texts(texts)], (0, max(at, 1.0)), (-depth - 0.7, 0.7), bare=True, height=height)


# ---- parts -----------------------------------------------------------------------------------------------------


class _Span:
    """One side of a matrix on an axis: its ends, its ticks, and how far apart neighbours are."""

    def __init__(self, values: Any, n: int):
        self.n, self.ticks = n, None
        numbers = None
        if values is not None:
            values = np.asarray(values).ravel()[:n]
            numbers = values.astype(float) if values.dtype.kind in "iufb" else None
        if numbers is not None and n > 1 and numbers.size == n and np.all(np.isfinite(numbers)):
            steps = np.diff(numbers)
            even = steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3)
        else:
            even = False
        self.first, self.step = (float(numbers[0]), float(steps[0])) if even else (0.0, 1.0)
        self.whole = values is None or (even and values.dtype.kind in "iu")
        self.low, self.high = self.first - self.step / 2, self.first + (n - 0.5) * self.step
        self.span = self.high - self.low
        if values is not None and not even:
            every = -(-n // 10)
            self.ticks = [(i, _figure(v)) for i, v in enumerate(values) if i % every == 0]

    def blocks(self, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Edges of the blocks that at most ``limit`` can be drawn of, as positions and as indices."""
        size = max(1, -(-self.n // limit))
        index = np.arange(0, self.n, size)
        return self.low + np.append(index, self.n) * self.step, index


class _Grid:
    """A matrix that fits the screen."""

    def __init__(self, matrix: Any, rows: Any, cols: Any, clim: Any, signed: bool):
        self.matrix = matrix if hasattr(matrix, "tocoo") else np.atleast_2d(np.asarray(matrix, float))
        if self.matrix.ndim != 2:
            raise ValueError(f"a picture of a matrix needs two dimensions, not {self.matrix.ndim}")
        n, m = self.matrix.shape
        self.empty = n * m == 0
        self.y, self.x = _Span(rows, max(n, 1)), _Span(cols, max(m, 1))
        self.limit = PRINT if current().name == "print" else SCREEN
        self.shown = np.full((1, 1), np.nan) if self.empty else pooled(self.matrix, self.limit)
        finite = self.shown[np.isfinite(self.shown)]
        self.note = "" if finite.size else f"nothing to show: {'no entries' if self.empty else 'no finite entries'}"
        peak = float(np.abs(finite).max(initial=0)) or 1.0
        self.clim = clim or ((-peak, peak) if signed else (min(0.0, float(finite.min(initial=0))), peak))
        self.palette = diverging() if signed else sequential()
        self.square = 1 / 3 <= (m / max(n, 1)) <= 3 and self.x.step == self.y.step

    def image(self, xlabel: str, ylabel: str, clabel: str, bar: bool) -> hv.Image:
        x, y = self.x, self.y
        right = x.low + self.shown.shape[1] * max(1, -(-x.n // self.limit)) * x.step
        top = y.low + self.shown.shape[0] * max(1, -(-y.n // self.limit)) * y.step
        bounds = (x.low, y.low, right, top)
        image = hv.Image(self.shown[::-1].astype(np.float32), ["x", "y"], "z", bounds=bounds)
        tips = [(xlabel, "$x{0.[000]}"), (ylabel, "$y{0.[000]}"), (clabel, "@image{0.0000a}")]
        return dress(
            image,
            both={"cmap": self.palette, "clim": self.clim, "colorbar": False},
            bokeh={"colorbar": bar, "clabel": clabel, "tools": ["hover"], "hover_tooltips": tips},
            mpl={"interpolation": "nearest"},
        )

    def outline(self, wanted: bool | None) -> hv.Rectangles:
        n, m = self.matrix.shape
        boxes = np.zeros((0, 4), np.float32)
        if not self.empty and max(n, m) <= OUTLINED and wanted is not False:
            i, j = np.nonzero(np.nan_to_num(self.shown))
            if wanted or i.size <= n * m / 2:
                x, y = self.x.low + j * self.x.step, self.y.low + i * self.y.step
                boxes = np.stack([x, y, x + self.x.step, y + self.y.step], 1).astype(np.float32)
        line = {"alpha": 0.75}
        return dress(
            hv.Rectangles(tuple(boxes.T), ["x", "y", "x1", "y1"]),
            bokeh={"fill_color": None, "line_color": current().muted, "line_width": 1, "line_alpha": line["alpha"]},
            mpl={"facecolor": "none", "edgecolor": current().muted, "linewidth": 0.4},
        )

    def sums(self, axis: int) -> np.ndarray:
        """Row sums (1) or column sums (0)."""
        return np.asarray(self.matrix.sum(axis), float).ravel()


def pooled(matrix: Any, limit: int = SCREEN) -> np.ndarray:
    """The largest entry in size of each block, so that at most ``limit`` blocks a side remain and no peak is lost.

    A sparse matrix is pooled without being made dense.
    """
    n, m = matrix.shape
    r, c = max(1, -(-n // limit)), max(1, -(-m // limit))
    if hasattr(matrix, "tocoo"):
        entries = matrix.tocoo()
        high, low = np.zeros((2, -(-n // r), -(-m // c)))
        np.maximum.at(high, (entries.row // r, entries.col // c), entries.data)
        np.minimum.at(low, (entries.row // r, entries.col // c), entries.data)
    elif r == c == 1:
        return np.asarray(matrix, float)
    else:
        matrix = np.asarray(matrix, float)
        rows, cols = np.arange(0, n, r), np.arange(0, m, c)
        high = np.fmax.reduceat(np.fmax.reduceat(matrix, rows, 0), cols, 1)
        low = np.fmin.reduceat(np.fmin.reduceat(matrix, rows, 0), cols, 1)
    return np.where(-low > high, low, high)


def _side(asked: Any, got: np.ndarray, along: _Span, across: _Span, upright: bool, color: str) -> list[Any]:
    """Bars of a marginal outside the plan, and on them the line of what the plan sums to."""
    asked = np.nan_to_num(_vector(asked))
    if asked.size != along.n or got.size != along.n:
        asked, got = np.zeros(along.n), np.zeros(along.n)
    got = np.nan_to_num(got)
    edges, index = along.blocks(SCREEN)
    width = np.diff(np.append(index, along.n))
    tall, sums = np.add.reduceat(asked, index) / width, np.add.reduceat(got, index) / width
    foot = across.high + 0.025 * across.span
    scale = 0.19 * across.span / (max(tall.max(initial=0), sums.max(initial=0)) or 1.0)
    low, high = edges[:-1], edges[1:]
    flat = np.full_like(low, foot)
    box = (low, flat, high, foot + scale * tall) if upright else (flat, low, foot + scale * tall, high)
    boxes = _bars((*box, tall), "", current().colour(color), edge=along.n <= OUTLINED, alpha=0.75)
    steps, levels = np.repeat(edges, 2)[1:-1], np.repeat(foot + scale * sums, 2)
    line = hv.Curve((steps, levels) if upright else (levels, steps), "x", "y")
    dress(line, both={"color": current().ink}, bokeh={"line_width": 1}, mpl={"linewidth": 0.5})
    return [boxes, line]


def _bars(boxes: tuple, text: str, tint: str, edge: bool = True, alpha: float = 0.85) -> hv.Rectangles:
    made = _layer(hv.Rectangles, tuple(np.asarray(v, np.float32) for v in boxes), text, tint, "height",
                  kdims=["x", "y", "x1", "y1"])  # fmt: skip
    rim = current().card if edge else None
    return dress(
        made,
        bokeh={"fill_color": tint, "fill_alpha": alpha, "line_color": rim, "line_width": 0.5},
        mpl={"facecolor": tint, "alpha": alpha, "edgecolor": rim or "none", "linewidth": 0.3 if edge else 0.0},
    )


def _edges(owner: np.ndarray, xlim: Any, ylim: Any) -> hv.Segments:
    """The lines between unlike neighbours."""
    h, w = owner.shape
    xs, ys = np.linspace(*xlim, w + 1), np.linspace(*ylim, h + 1)
    i, j = np.nonzero(owner[:, 1:] != owner[:, :-1])
    upright = (xs[j + 1], ys[i], xs[j + 1], ys[i + 1])
    i, j = np.nonzero(owner[1:] != owner[:-1])
    level = (xs[j], ys[i + 1], xs[j + 1], ys[i + 1])
    ends = tuple(np.concatenate(pair).astype(np.float32) for pair in zip(upright, level, strict=True))
    return dress(
        hv.Segments(ends, ["x", "y", "x1", "y1"]),
        both={"color": current().card},
        bokeh={"line_width": 1.5},
        mpl={"linewidth": 0.7},
    )


def _rule(kind: Any, at: float, text: str, color: str, dash: bool) -> Any:
    tint = current().colour(color)
    line = kind(float(at), cdims={_SAYS: text, _TINT: tint})
    return dress(
        line,
        both={"color": tint},
        bokeh={"line_width": 1.5, "line_dash": "dashed" if dash else "solid"},
        mpl={"linewidth": 0.8, "linestyle": "--" if dash else "-"},
    )


def _layer(kind: Any, data: Any, text: str, tint: str, vdims: Any = "y", kdims: Any = "x") -> Any:
    return kind(data, kdims, vdims, cdims={_SAYS: text, _TINT: tint})


def _vector(values: Any) -> np.ndarray:
    return np.asarray(values, float).ravel()


def _cloud(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"points in the plane need an array of shape (n, 2), not {values.shape}")
    return values[:, :2]


def _relative(weights: Any) -> Any:
    if weights is None:
        return 1.0
    weights = _vector(weights)
    mean = weights[np.isfinite(weights)].mean() if np.isfinite(weights).any() else 0.0
    return np.clip(weights / mean, 0.15, 9.0) if mean > 0 else 1.0


def _rgb(pixels: Any) -> np.ndarray:
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, 2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.size == 0:
        raise ValueError(f"an image needs the shape (height, width, 3), not {pixels.shape}")
    every = -(-max(pixels.shape[:2]) // (PRINT if current().name == "print" else SCREEN))
    pixels = pixels[::every, ::every, :3]
    if pixels.dtype != np.uint8:
        pixels = np.round(255 * np.clip(np.nan_to_num(pixels), 0, 1)).astype(np.uint8)
    return pixels


def _figure(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _spread(element: Any, axis: int) -> np.ndarray:
    """All coordinates of an element on one axis."""
    if isinstance(element, hv.VLine | hv.HLine):
        own = 0 if isinstance(element, hv.VLine) else 1
        return _vector(element.data) if own == axis else np.zeros(0)
    if isinstance(element, hv.Area):
        columns = (0,) if axis == 0 else (1, 2)
    elif isinstance(element, hv.Segments | hv.Rectangles):
        columns = (axis, axis + 2)
    elif isinstance(element, hv.Image):
        l, b, r, t = element.bounds.lbrt()
        return np.array([l, r] if axis == 0 else [b, t])
    else:
        columns = (axis,)
    return np.concatenate([_vector(element.dimension_values(column)) for column in columns])


def _limits(layers: Sequence[Any], axis: int, log: bool, pinned: Any) -> tuple[float, float] | None:
    """The ends of an axis with a little air; None when no layer has a value that it can show."""
    values = np.concatenate([np.zeros(0), *(_spread(layer, axis) for layer in layers)])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    ends = list(pinned or (None, None))
    if not values.size and None in ends:
        return None
    if values.size:
        low, high = (np.log10(v) if log else v for v in (values.min(), values.max()))
        air = 0.04 * (high - low) if high > low else (0.5 if log else max(0.05 * abs(high), 0.5e-12) or 0.5)
        back = (lambda v: 10.0**v) if log else float
        rests = axis == 1 and not log and low == 0  # bars and masses stand on the axis
        own = (back(low if rests else low - air), back(high + air))
        ends = [own[k] if end is None else end for k, end in enumerate(ends)]
    return float(ends[0]), float(ends[1])


def _direct_labels(layers: Any, x: tuple, y: tuple, logx: bool, logy: bool, free: bool) -> tuple[list, tuple]:
    """A label for each layer that has one, moved apart where they would touch, and the room they need at the right."""
    to_x, to_y = (np.log10 if log else np.asarray for log in (logx, logy))
    (x0, x1), (y0, y1) = to_x(x), to_y(y)
    ends, rules, longest = [], [], 0
    for layer in layers:
        text, tint = layer.cdims.get(_SAYS, ""), layer.cdims.get(_TINT, current().ink)
        if not text:
            continue
        if isinstance(layer, hv.VLine):
            rules.append((layer.data, y[1], f" {text}", tint, "top"))
            continue
        if isinstance(layer, hv.HLine):
            level = float(to_y(layer.data)) if layer.data > 0 or not logy else y0
            ends.append([np.inf, level, text, tint])
        else:
            px, py = _spread(layer, 0), _spread(layer, 1)
            px, py = px, py[-px.size :]
            good = np.isfinite(px) & np.isfinite(py) & ((px > 0) | (not logx)) & ((py > 0) | (not logy))
            last = np.flatnonzero(good)[-1] if good.any() else None
            ends.append(
                [to_x(px[last]), float(to_y(py[last])), text, tint] if last is not None else [x1, y1, text, tint]
            )
        longest = max(longest, len(text))
    if ends and free:  # room at the right for the longest of them, of about 70 characters across
        x1 = x0 + (x1 - x0) / (1 - min(0.4, (longest + 2) / 62))
    back_x, back_y = ((lambda v: 10.0**v) if log else float for log in (logx, logy))
    gap, floor = 0.065 * (y1 - y0), -np.inf
    texts = []
    right = to_x(x[1])
    for end in sorted(ends, key=lambda end: end[1]):
        level = max(end[1], floor)
        floor = level + gap
        texts.append((back_x(min(end[0], right)), back_y(min(level, y1)), f"  {end[2]}", end[3], "middle"))
    return rules + texts, (back_x(x0), back_x(x1))


_ANCHOR = {"middle": "center", "top": "top", "above": "bottom"}


def _texts(texts: Sequence[tuple]) -> list[hv.Labels]:
    """One layer for each text, since a layer of labels has one colour and one anchor; never none."""
    layers = []
    for x, y, text, tint, anchor in texts or [(np.nan, np.nan, "", current().muted, "middle")]:
        words = hv.Labels(
            ([float(x)], [float(y)], [text.replace(" ", "\u00a0") if text[:1] == " " else text]), ["x", "y"], "text"
        )
        upright = _ANCHOR[anchor]
        dress(
            words,
            bokeh={"text_color": tint, "text_font_size": "12px", "text_align": "left",
                   "text_baseline": "middle" if upright == "center" else upright},
            mpl={"color": tint, "size": 7, "horizontalalignment": "left", "verticalalignment": upright},
        )  # fmt: skip
        layers.append(words)
    return layers


def _axes(
    layers: Sequence[Any],
    x: tuple,
    y: tuple,
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
) -> hv.Overlay:
    """Set layers on one pair of axes, finished for each backend."""
    look = current()
    for layer in layers:
        dress(layer, both={"framewise": not look.hold})
        if isinstance(layer, hv.Curve | hv.Points | hv.Scatter) and xlabel and bounds is None:
            tips = [(xlabel, "$x"), (ylabel, "$y")]
            dress(layer, bokeh={"tools": ["hover"], "hover_tooltips": tips})
    overlay = hv.Overlay(list(layers))
    common = {
        "xlabel": xlabel, "ylabel": ylabel, "xlim": x, "ylim": y, "logx": logx, "logy": logy, "show_legend": False,
        "xticks": xticks, "yticks": yticks, "show_title": False,
    }  # fmt: skip
    common = {name: value for name, value in common.items() if value is not None}
    return dress(
        overlay,
        both=common,
        bokeh={
            "responsive": True, "min_height": height, "toolbar": "above", "autohide_toolbar": True, "active_tools": [],
            "default_tools": ["pan", "wheel_zoom", "box_zoom", "reset", "save"],
            "hooks": [finish_bokeh(look, equal, bare, bounds, whole)],
        },
        mpl={"hooks": [finish_mpl(look, equal, bare, bounds, whole, clabel)]},
    )  # fmt: skip
