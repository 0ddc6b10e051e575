"""Pictures of matrices: heat maps, and plans with their marginals."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np

from lab.words import number

from .axes import frame
from .layers import COLUMNS, rectangles, vector
from .look import SOURCE, TARGET, blend, current, diverging, dress, ramp, sequential
from .pointers import tips
from .sameness import same
from .writing import Words, words

SCREEN, PRINT = 256, 1024  # cells a side that are drawn one by one
OUTLINED = 64  # cells a side that can be seen one by one
_STEPS = 24  # shades of a scale
_FEW = 0.1  # share of entries that take fewer bytes as boxes


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
    room: tuple[float, float] = (0.0, 0.0),
    height: int = 320,
) -> hv.Overlay:
    """A matrix as colours, row 0 at the bottom, with a colour bar.

    Args:
        matrix: (n, m) array or sparse matrix; above 256 a side the largest entry of each block is drawn, in print above 1024.
        rows: (n,) numbers or names of the rows; equally spaced numbers become the axis itself.
        cols: (m,) numbers or names of the columns.
        xlabel: of the x axis, with its unit.
        ylabel: of the y axis, with its unit.
        clabel: of the colour bar, with its unit.
        clim: ends of the colour scale; from 0, or the least entry below it, to the largest in size, or symmetric about 0 when
            ``signed``, when not given.
        signed: blue below and orange above zero.
        outline: a thin line round each entry that is not zero; by default where they can be seen one by one.
        equal: square cells; by default when the matrix is not too long.
        marks: layers on top, in axis units.
        room: free space right of the matrix and above it, as shares of its sides, for marks that stand there; the
            colour bar gives way to it.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``.

    Raises:
        ValueError: an array of more than two dimensions.

    Examples:
        >>> from lab.studies import draw
        >>> with draw.theme("light", backend="matplotlib"):
        ...     picture = draw.heatmap([[1.0, 0.0], [0.0, 2.0]])
        >>> picture.get(0).dimension_values("z", flat=False).tolist()  # row 0 at the bottom
        [[1.0, 0.0], [0.0, 2.0]]
    """
    grid = _Grid(matrix, rows, cols, clim, signed)
    x, y = grid.x, grid.y
    bar = room == (0.0, 0.0)
    right, top = x.high + room[0] * x.span, y.high + room[1] * y.span
    return frame(
        [*grid.cells(xlabel, ylabel, clabel, bar=bar), *grid.outline(outline), *marks, *grid.words()],
        (x.low, right),
        (y.low, top),
        xlabel=xlabel,
        ylabel=ylabel,
        xticks=x.ticks,
        yticks=y.ticks,
        equal=grid.square if equal is None else equal,
        height=height,
        bounds=((x.low, x.high), (y.low, y.high)),
        whole=(x.whole, y.whole),
        clabel=clabel if bar else None,
    )


def shaded(matrix: Any) -> np.ndarray:
    """A matrix as an image for ``strip``, from 0, a shade that shows its extent, to its largest entry.

    Args:
        matrix: (n, m); what is not a number counts as 0, and so does what is negative.

    Returns:
        (n, m, 3) bytes, row 0 first.

    Examples:
        >>> from lab.studies import draw
        >>> draw.shaded([[0.0, 1.0]]).tolist()  # #edf1f8 and #2456a6
        [[[237, 241, 248], [36, 86, 166]]]
    """
    matrix = np.nan_to_num(np.asarray(matrix, float))
    tints = ramp((current().wash, current().source))
    table = np.array([[int(tint[i : i + 2], 16) for i in (1, 3, 5)] for tint in tints], np.uint8)
    peak = np.abs(matrix).max(initial=0) or 1.0
    return table[np.clip(np.round(matrix / peak * (len(table) - 1)), 0, len(table) - 1).astype(int)]


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
    a_color: str | Sequence[str] = SOURCE,
    b_color: str | Sequence[str] = TARGET,
    height: int = 380,
) -> hv.Overlay:
    """A transport plan with its marginals on the sides: target on top, source on the right.

    The bars are the marginals that were asked for, the thin lines on them the sums of the plan; where the two part,
    the plan misses its marginal.

    Args:
        matrix: (n, m) array or sparse matrix, row i the source.
        a: (n,) marginal of the sources.
        b: (m,) marginal of the targets.
        rows: (n,) numbers or names of the sources.
        cols: (m,) numbers or names of the targets.
        xlabel: of the x axis.
        ylabel: of the y axis.
        clabel: what an entry is, with its unit.
        clim: ends of the colour scale; from 0 to the largest entry when not given.
        outline: a thin line round each entry that is not zero; by default where they can be seen one by one.
        a_color: one colour for all bars of the sources, or one for each.
        b_color: one colour for all bars of the targets, or one for each.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``.

    Raises:
        ValueError: an array of more than two dimensions.

    Examples:
        >>> from lab.studies import draw
        >>> with draw.theme("light", backend="matplotlib"):
        ...     picture = draw.plan([[0.5, 0.0], [0.0, 0.5]], [0.5, 0.5], [0.5, 0.5])
        >>> [type(layer).__name__ for layer in picture][:5]
        ['Image', 'Rectangles', 'Rectangles', 'Rectangles', 'Curve']
    """
    grid = _Grid(matrix, rows, cols, clim, signed=False)
    x, y = grid.x, grid.y
    asked_b, got_b = _side(b, grid.sums(0), x, y, upright=True, color=b_color)
    asked_a, got_a = _side(a, grid.sums(1), y, x, upright=False, color=a_color)
    if x.n <= SCREEN:  # a bar for each
        asked_b = same(asked_b, target=np.arange(x.n))
    if y.n <= SCREEN:
        asked_a = same(asked_a, source=np.arange(y.n))
    got = hv.Curve(tuple(np.hstack([got_b, np.full((2, 1), np.nan), got_a])), "x", "y", **COLUMNS)  # one layer, broken
    thin = 0.5 if max(x.n, y.n) <= OUTLINED else 0.25  # or it covers the bars
    dress(got, both={"color": current().ink}, bokeh={"line_width": 1}, mpl={"linewidth": thin})
    top, right = y.high + 0.23 * y.span, x.high + 0.23 * x.span
    scale = grid.scale() if current().backend != "bokeh" else []  # a pointer tells it on a page
    return frame(
        [
            *grid.cells(xlabel, ylabel, clabel, bar=False),
            *grid.outline(outline),
            asked_b,
            asked_a,
            got,
            *scale,
            *grid.words(),
        ],
        (x.low, right),
        (y.low, top),
        xlabel=xlabel,
        ylabel=ylabel,
        xticks=x.ticks,
        yticks=y.ticks,
        equal=grid.square,
        height=height,
        bounds=((x.low, x.high), (y.low, y.high)),
        whole=(x.whole, y.whole),
    )


class _Span:
    """One side of a matrix on an axis: its ends, its ticks, and how far apart neighbours are."""

    def __init__(self, values: Any, n: int):
        self.n, self.ticks = n, None
        names = None if values is None else np.asarray(values).ravel()[:n]
        numbers = np.arange(n) if names is None else names
        steps = np.diff(numbers.astype(float)) if numbers.dtype.kind in "iuf" else np.zeros(0)
        even = steps.size == n - 1 > 0 and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3)
        self.first, self.step = (float(numbers[0]), float(steps[0])) if even else (0.0, 1.0)
        self.whole = names is None or (even and numbers.dtype.kind in "iu")
        self.low, self.high = self.first - self.step / 2, self.first + (n - 0.5) * self.step
        self.span = self.high - self.low
        if names is not None and not even:
            names = [number(v, 2) for v in names]
            every = max(-(-n // 8), -(-sum(map(len, names)) // 40))  # so that names on an x axis do not touch
            self.ticks = [(i, name) for i, name in enumerate(names) if i % every == 0]

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
        self.shown = np.zeros((1, 1)) if self.empty else pooled(self.matrix, self.limit)
        finite = self.shown[np.isfinite(self.shown)]
        if not finite.size:
            self.shown = np.zeros_like(self.shown)
        why = "it has no entries" if self.empty else "" if finite.size else "it has no finite entries"
        self.note = f" nothing to show: {why}" if why else ""
        peak = float(np.abs(finite).max(initial=0)) or 1.0
        self.clim = clim or ((-peak, peak) if signed else (min(0.0, float(finite.min(initial=0))), peak))
        self.palette = diverging() if signed else sequential()
        filled = np.count_nonzero(self.shown)  # NaN counts
        few = self.shown.size > OUTLINED**2 and filled < _FEW * self.shown.size
        self.few = bool(few and np.isfinite(self.shown).all())
        self.square = 1 / 3 <= (m / max(n, 1)) <= 3 and self.x.step == self.y.step

    def cells(self, xlabel: str, ylabel: str, clabel: str, bar: bool) -> list[Any]:
        """The entries as an image. On a live page where few are not zero, these alone as boxes on a ground: less to send."""
        x, y, sparse = self.x, self.y, self.few and current().backend == "bokeh"
        wide, tall = (max(1, -(-side.n // self.limit)) * side.step for side in (x, y))
        rows, cols = self.shown.shape
        bounds = (x.low, y.low, x.low + cols * wide, y.low + rows * tall)
        drawn = np.zeros((1, 1)) if sparse else self.shown[::-1]
        at = (
            (x.low, y.low, x.low + 1e-6 * x.span, y.low + 1e-6 * y.span) if sparse else bounds
        )  # a speck holds its place
        image = hv.Image(drawn.astype(np.float32), ["x", "y"], "z", bounds=at)
        places = [
            (name, f"${axis}{'{0}' if side.whole else ''}") for name, axis, side in ((xlabel, "x", x), (ylabel, "y", y))
        ]
        scale = {"cmap": self.palette, "clim": self.clim, "colorbar": False}
        printed: dict[str, Any] = {"interpolation": "nearest"}
        if self.few and self.clim[0] == 0 and not bar:  # an entry is less than a point wide, and is to be seen
            printed["cmap"] = [current().card, *ramp((blend(SOURCE, 0.5), current().source), 1023)]
        dress(
            image,
            both=scale,
            bokeh={"colorbar": bar, "clabel": clabel, **tips(*places, (clabel, "@image"))},
            mpl=printed,
        )
        if current().backend != "bokeh":
            return [image]
        i, j = np.nonzero(self.shown) if sparse else (np.zeros(0, int), np.zeros(0, int))
        box = (x.low + j * wide, y.low + i * tall, x.low + (j + 1) * wide, y.low + (i + 1) * tall, self.shown[i, j])
        boxes = hv.Rectangles(
            tuple(np.asarray(side, np.float32) for side in box), ["x", "y", "x1", "y1"], "z", **COLUMNS
        )
        own = {"fill_color": "z", "line_color": None, **tips(*places, (clabel, "@z"))}
        zero = (0 - self.clim[0]) / (self.clim[1] - self.clim[0]) * (len(self.palette) - 1)
        tint = self.palette[int(np.clip(np.round(zero), 0, len(self.palette) - 1))]
        faint = (
            0 if bar else 0.35 * (self.clim[1] - self.clim[0])
        )  # the least entry is seen, where no bar says otherwise
        ground = hv.Rectangles([bounds] if sparse else [], ["x", "y", "x1", "y1"], **COLUMNS)
        return [
            dress(ground, bokeh={"fill_color": tint, "line_color": None}),
            image,
            dress(boxes, bokeh=scale | own | {"clim": (self.clim[0] - faint, self.clim[1])}),
        ]

    # A layer costs some milliseconds at each redraw of a page, so those with nothing in them are left out, unless they
    # come and go while something is moved.

    def outline(self, wanted: bool | None) -> list[hv.Rectangles]:
        n, m = self.matrix.shape
        if max(n, m) > OUTLINED or wanted is False:
            return []
        boxes = np.zeros((0, 4), np.float32)
        if not self.empty:
            i, j = np.nonzero(np.nan_to_num(self.shown))
            if wanted or i.size <= n * m / 2:
                x, y = self.x.low + j * self.x.step, self.y.low + i * self.y.step
                boxes = np.stack([x, y, x + self.x.step, y + self.y.step], 1).astype(np.float32)
        line = dress(
            hv.Rectangles(tuple(boxes.T), ["x", "y", "x1", "y1"], **COLUMNS),
            bokeh={"fill_color": None, "line_color": current().muted, "line_width": 1, "line_alpha": 0.75},
            mpl={"facecolor": "none", "edgecolor": current().muted, "linewidth": 0.4},
        )
        return [line]

    def scale(self) -> list[Any]:
        """What the shades stand for, in the corner between the marginals of a plan."""
        x, y = self.x, self.y
        left, low, high = x.high + 0.05 * x.span, y.high + 0.04 * y.span, y.high + 0.2 * y.span
        edges, wide = np.linspace(low, high, _STEPS + 1), np.full(_STEPS, 0.03 * x.span)
        over = 0.5 * (edges[1] - edges[0])  # each over the foot of the next, or white lines are seen
        box = (
            left + 0 * wide,
            edges[:-1],
            left + wide,
            edges[1:] + over,
            np.linspace(self.clim[0], self.clim[1], _STEPS),
        )
        boxes = hv.Rectangles(box, ["x", "y", "x1", "y1"], "z", **COLUMNS)
        shades = {"color": "z", "cmap": self.palette, "clim": self.clim, "colorbar": False}
        dress(boxes, both=shades, bokeh={"line_color": None}, mpl={"linewidth": 0})
        ends = zip((low, high), self.clim, strict=True)
        said = [Words(left + 0.045 * x.span, at, f"{value:.2g}", current().muted) for at, value in ends]
        return [boxes, *words(said)]

    def words(self) -> list[hv.Labels]:
        """Why there is nothing to see, where that is so."""
        return words([Words(self.x.low, self.y.high, self.note, current().muted, up="top")]) if self.note else []

    def sums(self, axis: int) -> np.ndarray:
        """Row sums (1) or column sums (0)."""
        return np.asarray(self.matrix.sum(axis), float).ravel()


def pooled(matrix: Any, limit: int = SCREEN) -> np.ndarray:
    """The largest entry in size of each block, so that at most ``limit`` blocks a side remain and no peak is lost.

    A sparse matrix is pooled without being made dense.

    Args:
        matrix: (n, m) array or sparse matrix.
        limit: blocks a side.

    Returns:
        a dense array with at most ``limit`` rows and columns; of two entries of equal size the positive one is kept.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> draw.pooled(np.array([[1.0, -3.0, 0.0, 0.0], [2.0, 0.0, 0.0, 5.0]]), limit=2).tolist()
        [[-3.0, 0.0], [2.0, 5.0]]
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


def _side(
    asked: Any, got: np.ndarray, along: _Span, across: _Span, upright: bool, color: str | Sequence[str]
) -> tuple[Any, np.ndarray]:
    """Bars of a marginal outside the plan, and the line (x, y) on them of what the plan sums to."""
    asked = np.nan_to_num(vector(asked))
    if asked.size != along.n or got.size != along.n:
        asked, got = np.zeros(along.n), np.zeros(along.n)
    got = np.nan_to_num(got)
    edges, index = along.blocks(SCREEN)
    width = np.diff(np.append(index, along.n))
    tall, sums = np.add.reduceat(asked, index) / width, np.add.reduceat(got, index) / width
    foot = across.high + 0.025 * across.span
    most, over = tall.max(initial=0), sums.max(initial=0)
    most = over if over > (1 + 1e-9) * most else most  # or rounding would move all bars at each redraw
    scale = 0.19 * across.span / (most or 1.0)
    low, high = edges[:-1], edges[1:]
    flat = np.full_like(low, foot)
    box = (low, flat, high, foot + scale * tall) if upright else (flat, low, foot + scale * tall, high)
    own: Any = None if isinstance(color, str) else [color[k] for k in index]
    tint = current().colour(color) if isinstance(color, str) else current().ink
    bars = rectangles((*box, tall), "", tint, edge=along.n <= OUTLINED, alpha=1.0 if own else 0.75, own=own)
    steps, levels = np.repeat(edges, 2)[1:-1], np.repeat(foot + scale * sums, 2)
    return bars, np.stack([steps, levels] if upright else [levels, steps])
