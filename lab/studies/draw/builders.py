"""Pictures that many studies have: training, a measure along a parameter, clouds that move, trajectories side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from lab.numerics.window import window

from .axes import frame, plot
from .layers import band, colours, curve, hline, label, points, segments, vline
from .look import INK, MUTED, SOURCE, TARGET, columns_for, current
from .motion import Panel, particles
from .sameness import began, same
from .writing import Words, text, words

_BINS = 200  # means of a training's losses that are drawn
_AGE = 9  # frames that a tail is long
_TAILS = 50  # particles that have one


def training(
    losses: Mapping[str, Any],
    *,
    least: Mapping[str, float] | None = None,
    colors: Mapping[str, str] | None = None,
    xlabel: str = "training step",
    ylabel: str = "loss",
    bins: int = _BINS,
    **axes: Any,
) -> hv.Overlay:
    """Losses by step, each a mean over as many steps as there are too many of.

    Args:
        losses: by name, (steps,); what is NaN is left out.
        least: by name the value below which a loss can't come; dashed, in the colour of the loss.
        colors: by name; those of unrelated things for the others.
        xlabel: of the x axis.
        ylabel: of the y axis, with its unit.
        bins: a loss of more steps is drawn as this many means, or fewer than twice as many.
        axes: as for ``plot``.

    Returns:
        an ``Overlay``.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.training({"loss": [4.0, 2.0, 1.0, 1.0]}, bins=2)
        >>> picture.get(0).dimension_values("y").tolist()
        [3.0, 1.0]
    """
    tints = dict(zip(losses, colours(len(losses)), strict=True)) | dict(colors or {})
    layers: list[Any] = []
    for name, loss in losses.items():
        known = np.asarray(loss, float)
        known = known[np.isfinite(known)]
        width = max(1, known.size // bins)
        kept = known[: known.size // width * width].reshape(-1, width).mean(axis=1)
        at = (np.arange(kept.size) + 0.5) * width
        layers.append(curve(at, kept, name, color=tints[name]))
        if name in (least or {}):
            layers.append(curve([0, known.size], 2 * [(least or {})[name]], color=tints[name], dash=True))
    return plot(*layers, xlabel=xlabel, ylabel=ylabel, **axes)


def over(
    along: Any,
    lines: Mapping[str, Any],
    *,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    guides: Mapping[str, Any] | None = None,
    levels: Mapping[str, float] | None = None,
    here: float | None = None,
    colors: Mapping[str, str] | None = None,
    ordered: bool = False,
    ticks: bool = True,
    markers: bool = True,
    **axes: Any,
) -> hv.Overlay:
    """Measures along a swept parameter, or a coordinate, each named where it ends.

    Args:
        along: (n,) the coordinate, ``result.gamma``: its scale, label and unit are the axis's.
        lines: by name, one value for each of its values.
        bands: by the name of a line, the low and the high end about it.
        guides: by name what they are compared with, dashed and without marks.
        levels: by name what does not depend on the parameter, dashed; what is NaN is left out.
        here: the value of the parameter that is looked at.
        colors: by name, of lines, guides and levels.
        ordered: the lines are a family in order rather than different things.
        ticks: a tick at each value, where there are few.
        markers: a mark at each value.
        axes: as for ``plot``; the label of the first line is that of the y axis when none is given.

    Returns:
        an ``Overlay``.

    Examples:
        >>> from lab.studies import draw
        >>> picture = draw.over([1, 2, 4], {"cost": [4.0, 2.0, 1.0]}, levels={"least": 1.0}, markers=False)
        >>> [type(layer).__name__ for layer in picture][:2]
        ['Curve', 'HLine']
    """
    at = np.asarray(along, float)
    tints = dict(zip(lines, colours(len(lines), ordered), strict=True)) | dict(colors or {})
    layers: list[Any] = [band(at, *ends, color=tints[name]) for name, ends in (bands or {}).items()]
    for name, values in lines.items():
        layers.append(curve(at, np.asarray(values, float), name, color=tints[name], markers=markers))
    for name, values in (guides or {}).items():
        layers.append(curve(at, np.asarray(values, float), name, color=tints.get(name, MUTED), dash=True))
    for name, level in (levels or {}).items():
        if np.isfinite(level):
            layers.append(hline(float(level), name, color=tints.get(name, MUTED)))
    if here is not None:
        layers.append(vline(here, "here", color=MUTED, dash=True))
    first = next(iter(lines.values()))
    told = {
        "xlabel": label(along) if hasattr(along, "attrs") else "",
        "ylabel": label(first) if hasattr(first, "attrs") else "",
        "logx": hasattr(along, "attrs") and along.attrs.get("scale") == "log" and bool((at > 0).all()),
    }
    if ticks and at.size <= 9:
        told["xticks"] = list(at)
    return plot(*layers, **(told | axes))


def film(
    ways: Mapping[str, Any],
    at: int,
    *,
    goals: Mapping[str, Any] | Any = None,
    density: Any = None,
    heights: Mapping[str, Any] | None = None,
    peak: float | None = None,
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    colors: Mapping[str, Any] | None = None,
    tails: int = _TAILS,
    age: int = _AGE,
    **frame_of: Any,
) -> hv.Overlay:
    """One frame of clouds that move side by side, each with the last part of its way.

    Args:
        ways: by title, (frames, n, 2).
        at: the number of the frame.
        goals: the data behind, (k, 2): one for all, or by title.
        density: (frames, h, w) underneath, row 0 at the bottom.
        heights: by title, (frames, h, w) of a landscape underneath, on the limits; each is scaled to its largest height, and
            points beside it are left out.
        peak: the density that is darkest, the same for every frame; the largest in sight when omitted.
        limits: of both axes, the same for all frames; those that hold all ways and goals when omitted.
        colors: by title: one for all particles, or one for each.
        tails: particles that have a tail.
        age: frames that a tail is long.
        frame_of: as for ``particles``.

    Returns:
        an ``Overlay``.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> way = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
        >>> picture = draw.film({"up": way}, 1, limits=((0, 1), (0, 1)))
        >>> [type(layer).__name__ for layer in picture][:2]
        ['Segments', 'Points']
    """
    by_title = goals if isinstance(goals, Mapping) else dict.fromkeys(ways, goals)
    starts = {title: began(way[0]) for title, way in ways.items()}
    xlim, ylim = limits or window(*ways.values(), *(goal for goal in by_title.values() if goal is not None))
    seen = np.maximum(at + np.arange(1 - age, 1), 0)  # at first the oldest is repeated
    shade = None if density is None else density[at]
    if heights is not None:
        (left, right), (low, high) = xlim, ylim
        corner, far = np.array([left, low]), np.array([right, high])
        ways = {
            title: np.where(((way >= corner) & (way <= far)).all(axis=2, keepdims=True), way, np.nan)
            for title, way in ways.items()
        }
    ground = {title: each[at] / (np.nanmax(np.abs(each)) or 1.0) for title, each in (heights or {}).items()}
    panels = {
        title: Panel(
            way[at],
            way[seen, :tails],
            shade,
            by_title.get(title),
            (colors or {}).get(title, SOURCE),
            heights=ground.get(title),
            who=starts[title],
        )
        for title, way in ways.items()
    }
    whole: dict[str, Any] = {"height": 300, **frame_of}
    return particles(panels, xlim, ylim, peak=peak, **whole)


def trajectories(
    ways: Mapping[str, Any],
    *,
    goal: Any = None,
    colors: Sequence[str] | None = None,
    marks: Sequence[int] = (),
    most: int = 60,
    height: int = 280,
) -> hv.Overlay:
    """Ways side by side on one pair of axes.

    Args:
        ways: by title, (times, n, 2).
        goal: (k, 2) the data behind.
        colors: (n,) of each particle's way; grey with a blue end when omitted.
        marks: the times at which each way has a dot; with ``colors`` the first one when empty, else the last.
        most: ways that are drawn, of each colour alike; without ``colors`` all particles have their dots.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay`` of the lines, dots and title of each way, with the goal first where there is one.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> way = np.array([[[0.0, 0.0]], [[1.0, 1.0]]])
        >>> [type(layer).__name__ for layer in draw.trajectories({"one": way})]
        ['Segments', 'Points', 'Labels']
    """
    xlim, ylim = window(*ways.values(), *(() if goal is None else (goal,)))
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    layers: list[Any] = []
    tints = sorted(set(colors or (MUTED,)))
    columns, up = columns_for(len(ways), 1.1 * wide / (1.18 * high)), 0.0
    for number, (title, way) in enumerate(ways.items()):
        row, place = divmod(number, columns)
        left, up = place * 1.1 * wide, -row * 1.18 * high
        part = way[:, :most]
        if goal is not None:
            layers.append(points(goal[:, 0] + left, goal[:, 1] + up, color=TARGET, size=0.1, alpha=0.35))
        for tint in tints:
            ours = [i for i in range(way.shape[1]) if colors is None or colors[i] == tint]
            own = way[:, ours[: most // len(tints)]]
            ends = (own[:-1, :, 0] + left, own[:-1, :, 1] + up, own[1:, :, 0] + left, own[1:, :, 1] + up)
            who = np.broadcast_to(began(own[0]), ends[0].shape)
            layers.append(segments(*ends, color=tint, width=0.4, who={"particle": who}))
        dots = part[list(marks) or [0]] if colors else way[list(marks) or [-1]]
        who = np.broadcast_to(began(way[0, : dots.shape[1]]), dots.shape[:2])
        spots = points(
            dots[..., 0].ravel() + left, dots[..., 1].ravel() + up, color=INK if colors else SOURCE, size=0.12
        )
        layers.append(same(spots, particle=who.ravel()))
        layers.append(text([xlim[0] + left], [ylim[1] + up + 0.05 * high], title, color=INK))
    right = xlim[0] + (1.1 * min(columns, len(ways)) - 0.1) * wide
    line = current().height(right - xlim[0], ylim[1] - ylim[0] - up)
    top = ylim[1] + max(0.12 * high, 0.05 * high + 0.6 * line)  # the title is centred there
    return frame(layers, (xlim[0], right), (ylim[0] + up, top), equal=True, bare=True, height=height)


def legend(rows: Sequence[tuple[str, str]], x: float, y: tuple[float, float], *, log: bool = False) -> list[hv.Labels]:
    """Names in their colours one below the other, from the top of ``y`` down, where direct labels would overlap.

    Args:
        rows: words and colour of each.
        x: where their left side is.
        y: the low and the high end of the axis.
        log: the axis is logarithmic.

    Returns:
        a layer of text for each row.

    Examples:
        >>> from lab.studies import draw
        >>> rows = draw.legend([("one", draw.SOURCE), ("two", draw.TARGET)], 0.0, (0.0, 1.0))
        >>> [round(float(row.dimension_values("y")[0]), 2) for row in rows]
        [1.0, 0.91]
    """
    low, high = np.log(y) if log else y
    heights = high - 0.09 * (high - low) * np.arange(len(rows))
    return words(
        [
            Words(x, float(np.exp(at)) if log else float(at), said, current().colour(tint), ground=True)
            for at, (said, tint) in zip(heights, rows, strict=True)
        ]
    )


def plane(positions: Any, time: str = "t") -> np.ndarray:
    """Positions as points in the plane; on a line the time is their first coordinate.

    Args:
        positions: a labelled array with the dimensions ``time``, ``particle`` and ``axis``, of one or two axes.
        time: the name of its dimension of time, whose coordinate on a line is stretched by the range of the positions: a
            time from 0 to 1 makes a picture as wide as it is high.

    Returns:
        (times, particles, 2).

    Examples:
        >>> import xarray as xr
        >>> from lab.studies import draw
        >>> line = xr.DataArray([[[0.0]], [[2.0]]], {"t": [0.0, 1.0]}, ("t", "particle", "axis"))
        >>> draw.plane(line).tolist()
        [[[0.0, 0.0]], [[2.0, 2.0]]]
    """
    values = positions.transpose(time, "particle", "axis").values
    if values.shape[2] == 2:
        return values
    known = values[np.isfinite(values)]
    wide = float(np.ptp(known)) if known.size else 0.0
    at = np.broadcast_to(positions[time].values[:, None, None], values.shape)
    return np.concatenate([at * (wide or 1.0), values], axis=2)


def behind(goal: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The data behind a ``plane``: on a line they stand at its last time.

    Args:
        goal: (k, d) with d of 1 or 2.
        way: (times, particles, 2), as ``plane`` gives it.

    Returns:
        (k, 2).

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> draw.behind(np.array([[5.0]]), np.array([[[0.0, 0.0]], [[2.0, 2.0]]])).tolist()
        [[2.0, 5.0]]
    """
    return goal if goal.shape[1] == 2 else np.c_[np.full(len(goal), way[-1, 0, 0]), goal]
