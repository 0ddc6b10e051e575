"""Pictures of clouds, traces, cells, images and tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from lab.words import number

from .axes import frame, plot
from .layers import SAYS, TABLE, colours, curve, hline, points, segments, vector
from .look import INK, LETTER_WIDTH, MUTED, SOURCE, TARGET, blend, columns_for, current, dress, set_options
from .matrices import PRINT, SCREEN
from .sameness import same
from .writing import Words, text, words

LINKS = 4000  # segments that are drawn; the heaviest ones
_FONT, _LEAST_FONT = 12.0, 7.0  # pixels: the words of a table, and where there is no room


def links(
    x: Any,
    y: Any,
    i: Any,
    j: Any,
    mass: Any,
    *,
    a: Any = None,
    b: Any = None,
    x_color: str | Sequence[str] = SOURCE,
    y_color: str | Sequence[str] = TARGET,
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    xlim: tuple | None = None,
    ylim: tuple | None = None,
    height: int = 380,
) -> hv.Overlay:
    """Two clouds in the plane and what goes from one to the other; opacity and width follow the mass.

    Args:
        x: (n, 2) sources; further coordinates are not looked at.
        y: (m, 2) targets.
        i: (e,) the source of each entry of the plan.
        j: (e,) the target of each.
        mass: (e,) of each; entries without mass, and beyond the heaviest 4000, are not drawn.
        a: (n,) weights of the sources, which their areas follow; equal when None.
        b: (m,) weights of the targets.
        x_color: one colour for all sources, or one for each.
        y_color: one colour for all targets, or one for each.
        xlabel: of the x axis.
        ylabel: of the y axis.
        xlim: pins the ends of the x axis.
        ylim: pins the ends of the y axis.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay`` whose first layers are the links, the sources and the targets.

    Raises:
        ValueError: a cloud that is not of shape (n, 2) at least.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.links([[0, 0], [0, 1]], [[1, 0], [1, 1]], [0, 1, 0], [0, 1, 1], [0.5, 0.5, 0.0])
        >>> [len(layer) for layer in picture][:3]
        [2, 2, 2]
    """
    x, y = _cloud(x), _cloud(y)
    i, j, mass = np.asarray(i).ravel(), np.asarray(j).ravel(), vector(mass)
    real = (mass > 0) & (i >= 0) & (j >= 0) & (i < len(x)) & (j < len(y))
    i, j, mass = i[real].astype(int), j[real].astype(int), mass[real]
    if mass.size > LINKS:
        heavy = np.argpartition(mass, -LINKS)[-LINKS:]
        i, j, mass = i[heavy], j[heavy], mass[heavy]
    return plot(
        segments(x[i, 0], x[i, 1], y[j, 0], y[j, 1], mass, who={"source": i, "target": j}),
        same(points(x[:, 0], x[:, 1], color=x_color, size=_relative(a)), source=np.arange(len(x))).relabel(
            group="Source"
        ),
        same(points(y[:, 0], y[:, 1], color=y_color, size=_relative(b)), target=np.arange(len(y))).relabel(
            group="Target"
        ),
        xlabel=xlabel,
        ylabel=ylabel,
        xlim=xlim,
        ylim=ylim,
        equal=True,
        height=height,
    )


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
        traces: by name: the errors (n,), counted from 1, or a pair of iterations (n,) and errors (n,).
        xlabel: of the x axis.
        ylabel: of the y axis, with its unit.
        tolerance: the level at which the method stops.
        ordered: the traces are a family in order (k = 1, 2, 4 ...) rather than different things.
        log: a logarithmic y axis.
        axes: as for ``plot``.

    Returns:
        an ``Overlay``.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.convergence({"newton": [1e-1, 1e-2, 1e-4]}, tolerance=1e-3)
        >>> picture.get(0).dimension_values("x").tolist()
        [1.0, 2.0, 3.0]
    """
    lines = []
    for color, (name, trace) in zip(colours(len(traces), ordered), traces.items(), strict=True):
        at, errors = trace if isinstance(trace, tuple) else (np.arange(1, np.size(trace) + 1), trace)
        lines.append(curve(at, errors, name, color=color))
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
        xlim: left and right end of the plane.
        ylim: its bottom and top.
        tints: a colour for each number; repeated when there are fewer.
        marks: layers on top, such as the ``points`` that own the cells.
        xlabel: of the x axis.
        ylabel: of the y axis.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay`` of the cells, their edges and the marks.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.cells([[0, 1], [0, 1]], (0, 2), (0, 2))
        >>> picture.get(1).dimension_values("x").tolist()  # the edge between 0 and 1
        [1.0, 1.0]
    """
    owner = np.asarray(owner)
    if owner.ndim != 2 or owner.size == 0:
        owner = np.full((1, 1), -1)
    tints = list(tints or [blend(c, share) for share in (0.5, 0.28, 0.7, 0.4) for c in current().series])
    owner = owner[:: -(-owner.shape[0] // SCREEN), :: -(-owner.shape[1] // SCREEN)]
    shown = np.where(owner < 0, 0, 1 + owner % len(tints)).astype(np.uint8 if len(tints) < 255 else np.uint16)
    image = hv.Image(shown[::-1], ["x", "y"], "cell", bounds=(xlim[0], ylim[0], xlim[1], ylim[1]))
    palette = [current().card, *tints]
    dress(image, both={"cmap": palette, "clim": (-0.5, len(tints) + 0.5)}, mpl={"interpolation": "nearest"})
    return frame(
        [image, _edges(owner, xlim, ylim), *marks, *words([])],
        xlim,
        ylim,
        xlabel=xlabel,
        ylabel=ylabel,
        equal=True,
        height=height,
        bounds=(tuple(xlim), tuple(ylim)),
    )


def strip(images: Mapping[str, Any] | Iterable[tuple[str, Any]], *, height: int = 220) -> hv.Overlay:
    """Images side by side, at equal height, each under its title; in rows where that fits the room better.

    Args:
        images: by title: (h, w, 3) colours or (h, w) greys, as bytes or in [0, 1]; row 0 is the top.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``; each image is 1 high.

    Raises:
        ValueError: an image of another shape.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> picture = draw.strip({"square": np.zeros((4, 4)), "wide": np.ones((4, 8))})
        >>> [round(right - left, 2) for left, _, right, _ in (picture.get(number).bounds.lbrt() for number in (0, 1))]
        [1.0, 2.0]
    """
    pairs: Any = images.items() if isinstance(images, Mapping) else images
    pairs = list(pairs)
    layers, texts, widths, left, far, foot = [], [], [], 0.0, 1.0, 0.0
    colours = [_rgb(pixels) for _, pixels in pairs]
    wide = sum(rgb.shape[1] / rgb.shape[0] + 0.06 for rgb in colours) / max(len(pairs), 1)
    columns = columns_for(len(pairs), wide / 1.2)
    rows, look = max(1, -(-len(pairs) // columns)), current()
    line = max(0.13, look.height(min(columns, max(len(pairs), 1)) * wide, rows * 1.06, rows))  # above each image
    for place, ((title, _), rgb) in enumerate(zip(pairs, colours, strict=True)):
        if place and place % columns == 0:
            left, foot = 0.0, foot - 1.06 - line
        right = left + rgb.shape[1] / rgb.shape[0]
        image = hv.RGB(rgb, ["x", "y"], bounds=(left, foot, right, foot + 1), cdims={SAYS: title})
        layers.append(dress(image, mpl={"interpolation": "antialiased"}))
        texts.append(Words(left, foot + 1.03, title, current().ink, up="bottom"))
        widths.append(right - left)
        left, far = right + 0.06, max(far, right)
    if not pairs:
        texts.append(Words(0.0, 0.9, "nothing to show: there are no images", current().muted, up="top"))
    span, top = (0.0, far), 1.03 + line
    if look.wide:  # what does not stand over its image is cut, not written over the next one
        # of an image, as a share of the width
        tall = min(1 / far, 1 / (look.room * (top - foot)) if look.room else 1.0)
        widths = widths or [1 / tall]
        texts = [
            each._replace(text=look.brief(each.text, wide * tall)) for each, wide in zip(texts, widths, strict=True)
        ]
    return frame(
        [*layers, *words(texts)], span, (foot, top), equal=True, bare=True, height=height, bounds=(span, (foot, 1))
    )


def table(columns: Mapping[str, Sequence[Any]], *, height: int | None = None) -> hv.Overlay:
    """A small table, numbers with four significant digits.

    Args:
        columns: by head the values, numbers or texts.
        height: least height on a page, in pixels; as the rows need it when None.

    Returns:
        an ``Overlay`` of a rule, the heads and the entries.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.table({"k": [1, 2], "cost": [0.123456, 2.0]})
        >>> picture.get(2).dimension_values("text").tolist()
        ['1', '2', '0.1235', '2']
    """
    texts_of = {head: [number(v) for v in values] for head, values in columns.items()}
    depth = max((len(v) for v in texts_of.values()), default=0)
    heads, cells, at = [], [], 0.0
    letters = sum(max(map(len, [head, *values])) + 3 for head, values in texts_of.items())
    short = 0 < current().wide < LETTER_WIDTH * letters  # of room: heads in two lines
    for head, values in texts_of.items():
        lines = _halves(head) if short else [head]
        heads.append((at, 0.3 * (len(lines) - 1), "\n".join(lines)))
        cells += [(at, -1.0 - row, value) for row, value in enumerate(values)]
        at += max(map(len, [*lines, *values])) + (2 if short else 3)
    if not depth:
        heads.append((0.0, -1.0, "nothing to show: the table has no rows"))
    size = (
        float(np.clip(_FONT * current().wide / (LETTER_WIDTH * max(at, 1.0)), _LEAST_FONT, _FONT)) if short else _FONT
    )
    # a layer for each colour, not for each cell: a page draws and sends a layer at a time
    texts = [
        dress(
            text([x for x, _, _ in each], [y for _, y, _ in each], [what for _, _, what in each], color=color),
            bokeh={"text_font_size": f"{size:.1f}px"},
        )
        for each, color in ((heads, MUTED), (cells or [(np.nan, np.nan, "")], INK))
    ]
    ends = ([0.0], [-0.5], [max(at - 3, 1.0)], [-0.5])
    rule = hv.Segments(ends, ["x", "y", "x1", "y1"], cdims={TABLE: dict(columns)})
    dress(rule, both={"color": current().line}, mpl={"linewidth": 0.6})
    whole = frame(
        [rule, *texts],
        (0, max(at, 1.0)),
        (-max(depth, 5) - 0.7, 1.3 if short else 0.7),
        bare=True,
        height=height or 30 * (max(depth, 5) + 1),
    )
    set_options(whole, "bokeh", min_width=int(LETTER_WIDTH * at * size / _FONT))  # narrower, it is moved under the eye
    return whole


def _halves(words: str) -> list[str]:
    """A text in two lines, broken at the space next to its middle; in one where there is none."""
    gaps = [place for place, letter in enumerate(words) if letter == " "]
    middle = min(gaps, key=lambda place: abs(place - len(words) / 2), default=0)
    return [words[:middle], words[middle + 1 :]] if gaps else [words]


def _edges(owner: np.ndarray, xlim: tuple[float, float], ylim: tuple[float, float]) -> hv.Segments:
    """The lines between unlike neighbours."""
    h, w = owner.shape
    xs, ys = np.linspace(xlim[0], xlim[1], w + 1), np.linspace(ylim[0], ylim[1], h + 1)
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


def _cloud(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"points in the plane need an array of shape (n, 2), not {values.shape}")
    return values[:, :2]


def _relative(weights: Any) -> Any:
    if weights is None:
        return 1.0
    weights = vector(weights)
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
