"""Pictures of semi-discrete transport in the plane: power cells by their mass, and the potential with its ridges."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np

from lab.ot.singular import angle

from .layers import points, segments
from .look import INK, MUTED, SOURCE, TARGET, blend, current, ramp
from .matrices import heatmap
from .pictures import cells
from .writing import text

_SIDE = 150  # pixels of a side
_TINTS = 41  # of masses, from a quarter of what they should be to four times that

type Span = tuple[float, float]


def power_cells(
    heights: Any,
    y: Any,
    mass: Any,
    xlim: Span,
    ylim: Span,
    *,
    goals: bool = False,
    note: str = "",
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    height: int = 420,
) -> hv.Overlay:
    r"""The cells of the largest $\langle x, y_j \rangle + h_j$, coloured by their mass.

    Blue where a cell has too little, orange where it has too much, grey where it is right; the strongest blue is a quarter
    of what it should be or less, the strongest orange four times as much or more.

    Args:
        heights: (m,) the h, in units of <x, y>.
        y: (m, 2) targets.
        mass: (m,) relative to what it should be.
        xlim: left and right end of the plane.
        ylim: its bottom and top.
        goals: draw the targets, each with a line from the middle of its cell: where source and targets share the plane.
        note: a line of text at the top left.
        xlabel: of the x axis.
        ylabel: of the y axis.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``, as of ``cells``.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.power_cells([0.0, 0.0], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0], (-1, 1), (-1, 1))
        >>> sorted(set(picture.get(1).dimension_values("x").tolist()))  # equal heights: they meet in the middle
        [0.0]
    """
    heights, y, mass = (np.asarray(each, float) for each in (heights, y, mass))
    owner, _ = _raster(heights, y, xlim, ylim)
    tints = ramp((blend(SOURCE, 0.9), blend(MUTED, 0.12), blend(TARGET, 0.9)), _TINTS)
    place = np.clip(np.log2(np.maximum(mass, 1e-9)) / 4 + 0.5, 0, 1)
    corner = xlim[0] + 0.02 * (xlim[1] - xlim[0]), ylim[1] - 0.02 * (ylim[1] - ylim[0])
    marks: list[Any] = [text([corner[0]], [corner[1]], current().lines(note), color=INK, up="top")]
    if goals:
        count = np.bincount(owner.ravel(), minlength=len(y))
        grid = np.meshgrid(*(np.linspace(*ends, 2 * _SIDE + 1)[1::2] for ends in (xlim, ylim)))
        middle = [np.bincount(owner.ravel(), each.ravel(), len(y)) / np.maximum(count, 1) for each in grid]
        there = count > 0
        marks.append(segments(middle[0][there], middle[1][there], *y[there].T, color=INK, width=0.7))
        marks.append(points(*y.T, color=INK, size=0.4))
    own: Sequence[str] = [tints[round(share * (_TINTS - 1))] for share in place]
    return cells(owner, xlim, ylim, tints=own, marks=marks, xlabel=xlabel, ylabel=ylabel, height=height)


def potential(heights: Any, y: Any, xlim: Span, ylim: Span, **axes: Any) -> hv.Overlay:
    r"""$\max_j \langle x, y_j \rangle + h_j$ as shade, and lines where its planes meet: the larger their angle, the wider.

    Args:
        heights: (m,) the h, in units of <x, y>.
        y: (m, 2) targets, the slopes of the planes.
        xlim: left and right end of the plane.
        ylim: its bottom and top.
        axes: as for ``heatmap``.

    Returns:
        an ``Overlay``, as of ``heatmap``.

    Examples:
        >>> from lab.studies import draw
        >>> with draw.theme("light", backend="matplotlib"):
        ...     picture = draw.potential([0.0, 0.0], [[-1.0, 0.0], [1.0, 0.0]], (-1, 1), (-1, 1))
        >>> shade = picture.get(0).dimension_values("z", flat=False)  # |x₁| at the middles of 150 x 150 cells
        >>> shade.shape, round(float(shade.min()), 3), round(float(shade.max()), 3)
        ((150, 150), 0.007, 0.993)
    """
    y = np.asarray(y, float)
    owner, u = _raster(np.asarray(heights, float), y, xlim, ylim)
    a, b = (np.linspace(*ends, _SIDE + 1) for ends in (xlim, ylim))
    i, j = np.nonzero(owner[:, 1:] != owner[:, :-1])
    k, n = np.nonzero(owner[1:] != owner[:-1])
    one, two = np.r_[owner[i, j], owner[k, n]], np.r_[owner[i, j + 1], owner[k + 1, n]]
    ends = np.r_[a[j + 1], a[n]], np.r_[b[i], b[k + 1]], np.r_[a[j + 1], a[n + 1]], np.r_[b[i + 1], b[k + 1]]
    ridges = segments(*ends, np.asarray(angle(y[one], y[two])), color=TARGET, width=1.6)
    whole: Any = {"clabel": "potential", "outline": False, "equal": True, "clim": (float(u.min()), float(u.max()))}
    middles = [(each[1:] + each[:-1]) / 2 for each in (a, b)]
    return heatmap(u, rows=middles[1], cols=middles[0], marks=[ridges], **(whole | {"height": 420} | axes))


def _raster(heights: np.ndarray, y: np.ndarray, xlim: Span, ylim: Span) -> tuple[np.ndarray, np.ndarray]:
    """The owner of each pixel, and the potential there."""
    x = np.stack(np.meshgrid(*(np.linspace(*ends, 2 * _SIDE + 1)[1::2] for ends in (xlim, ylim))), axis=2)
    scores = x.astype(np.float32) @ y.T.astype(np.float32) + heights.astype(np.float32)
    return scores.argmax(axis=2), scores.max(axis=2)
