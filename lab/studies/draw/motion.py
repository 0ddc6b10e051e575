"""Pictures of particles on their way: one frame each, for ``Picture.plays``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import holoviews as hv
import numpy as np

from .axes import frame, plot
from .layers import points, segments
from .look import MUTED, SOURCE, TARGET, columns_for, current, diverging, dress, sequential
from .sameness import same
from .writing import Words, words

_GAP = 0.08  # between panels, in widths of one
_TITLE = 0.16  # between rows of them, in heights


class Panel(NamedTuple):
    """What one panel of ``particles`` shows; all panels, and all frames, show the same kinds of things."""

    points: Any  # (n, 2) the particles now
    tails: Any = None  # (steps, m, 2) where some of them have been, the oldest first, now last
    density: Any = None  # (h, w) underneath, row 0 at the bottom; its darkest shade is ``peak``
    goal: Any = None  # (k, 2) the data, faint
    color: Any = SOURCE  # one for all particles, or one for each
    under: str = TARGET  # the colour of the goal
    heights: Any = None  # (h, w) of a landscape underneath, between -1 and 1, with its level lines
    who: Any = None  # (n,) which particles these are, as of ``began``; the first m have the tails
    kind: str = "particle"  # of things that ``who`` counts


def particles(
    panels: Mapping[str, Panel],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    *,
    peak: float | None = None,
    size: float | None = None,
    columns: int | None = None,
    note: str = "",
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    height: int = 380,
) -> hv.Overlay:
    """Clouds of particles side by side, each under its title, with the way they came.

    Args:
        panels: by title. One alone has axes; several have none, and share their limits.
        xlim: left and right end; the same for every frame, or the picture jumps.
        ylim: bottom and top; the same for every frame.
        peak: the density that is darkest; the same for every frame. The largest in sight when omitted.
        size: relative area of a particle; by their number when omitted.
        columns: panels side by side, before a next row begins; as fits the room when omitted.
        note: a quiet line of text at the top left, such as the time; below, where there are several panels.
        xlabel: of the x axis, of one panel.
        ylabel: of the y axis, of one panel.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``.

    Examples:
        >>> from lab.studies import draw
        >>> two = {"before": draw.Panel([[0.0, 0.0]]), "after": draw.Panel([[1.0, 1.0]])}
        >>> picture = draw.particles(two, (0, 1), (0, 1))
        >>> [round(float(layer.dimension_values("x")[0]), 2) for layer in picture][:2]  # a gap of 0.08 between them
        [0.0, 2.08]
    """
    most = max((len(panel.points) for panel in panels.values()), default=1)
    size = size or float(np.clip(400 / max(most, 1), 0.12, 0.6))
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    columns = columns or columns_for(len(panels), (1 + _GAP) * wide / (high * (1 + _TITLE)))
    under, tails, dots, texts, up = [], [], [], [], 0.0
    shades = [np.asarray(p.density, float) for p in panels.values() if p.density is not None]
    peak = peak or max((float(np.nanmax(shade, initial=0.0)) for shade in shades), default=1.0) or 1.0
    for number, (title, panel) in enumerate(panels.items()):
        row, place = divmod(number, columns)
        left, up = place * wide * (1 + _GAP), -row * high * (1 + _TITLE)
        bounds = (xlim[0] + left, ylim[0] + up, xlim[1] + left, ylim[1] + up)
        if panel.density is not None:
            under.append(_shade(np.asarray(panel.density, np.float32), bounds, peak))
        if panel.heights is not None:
            under.extend(landscape(panel.heights, bounds))
        if panel.goal is not None:
            goal = np.asarray(panel.goal, np.float32)
            under.append(_rimless(points(goal[:, 0] + left, goal[:, 1] + up, color=panel.under, size=size, alpha=0.35)))
        if panel.tails is not None:
            way = np.asarray(panel.tails, np.float32)
            ends = (way[:-1, :, 0] + left, way[:-1, :, 1] + up, way[1:, :, 0] + left, way[1:, :, 1] + up)
            age = np.broadcast_to(np.arange(1, len(way))[:, None], ends[0].shape)
            who = None if panel.who is None else {panel.kind: np.broadcast_to(panel.who[: way.shape[1]], age.shape)}
            tails.append(segments(*ends, age, color=MUTED, width=0.8, who=who))
        now = np.asarray(panel.points, np.float32)
        cloud = _rimless(points(now[:, 0] + left, now[:, 1] + up, color=panel.color, size=size, alpha=0.8))
        dots.append(cloud if panel.who is None else same(cloud, **{panel.kind: panel.who}))
        texts.append(Words(xlim[0] + left, ylim[1] + up + 0.02 * high, title, current().ink, up="bottom", ground=True))
    layers = [*under, *tails, *dots]
    if len(panels) == 1:
        return plot(*layers, xlim=xlim, ylim=ylim, xlabel=xlabel, ylabel=ylabel, equal=True, note=note, height=height)
    across = min(columns, len(panels))
    span, foot = (xlim[0], xlim[0] + across * wide * (1 + _GAP) - _GAP * wide), ylim[0] + up
    texts.append(Words(xlim[0], foot - 0.02 * high, note, current().muted, up="top"))
    whole = span[1] - span[0]
    room = 0.1 if across == len(panels) else 0.14  # panels of several rows are small beside a line of text
    line = current().height(whole, ylim[1] - foot + 0.02 * high, 1 + bool(note)) + 0.02 * high
    return frame(
        [*layers, *words(texts)],
        (span[0] - 0.01 * whole, span[1] + 0.01 * whole),
        (foot - max((room - 0.01) * high, line if note else 0.0), ylim[1] + max(room * high, line)),
        equal=True,
        bare=True,
        height=height,
        bounds=(span, (foot, ylim[1])),
    )


_LEVELS = np.linspace(-0.92, 0.92, 14)  # none at 0: what is flat has no lines
_FINE = 96  # cells a side that a landscape is drawn with


def landscape(heights: Any, bounds: tuple[float, float, float, float]) -> list[Any]:
    """A smooth surface seen from above: blue below 0, orange above, and level lines.

    Args:
        heights: (h, w) between -1 and 1, row 0 at the bottom; drawn on 96 x 96 places by a cubic spline.
        bounds: left, bottom, right, top, on which the first and last rows and columns are.

    Returns:
        the image and the level lines.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> image, lines = draw.landscape(np.zeros((4, 4)), (0.0, 0.0, 1.0, 1.0))
        >>> image.dimension_values("height", flat=False).shape, bool(np.isnan(lines.dimension_values("x")).all())
        ((96, 96), True)
    """
    from contourpy import contour_generator
    from scipy.ndimage import zoom

    coarse = np.nan_to_num(np.asarray(heights, float))
    fine: Any = zoom(coarse, [_FINE / side for side in coarse.shape], order=3, grid_mode=False)
    image = hv.Image(fine[::-1].astype(np.float32), ["x", "y"], "height", bounds=bounds)
    dress(image, both={"cmap": diverging(), "clim": (-1.0, 1.0), "alpha": 0.55}, mpl={"interpolation": "bilinear"})
    x, y = np.linspace(bounds[0], bounds[2], _FINE), np.linspace(bounds[1], bounds[3], _FINE)
    drawn = contour_generator(x, y, fine)
    ends = [np.hstack([line[:-1], line[1:]]) for level in _LEVELS for line in map(np.asarray, drawn.lines(level))]
    whole = np.concatenate(ends) if ends else np.full((1, 4), np.nan)
    return [image, segments(whole[:, 0], whole[:, 1], whole[:, 2], whole[:, 3], 0.25, color=MUTED, width=0.5)]


def _rimless(dots: hv.Points) -> hv.Points:
    return dress(dots, bokeh={"line_color": None}, mpl={"edgecolors": "none"})


def _shade(density: np.ndarray, bounds: tuple[float, float, float, float], peak: float) -> hv.Image:
    image = hv.Image(density[::-1], ["x", "y"], "density", bounds=bounds)
    return dress(
        image, both={"cmap": sequential(), "clim": (0.0, peak), "alpha": 0.6}, mpl={"interpolation": "bilinear"}
    )
