"""Where the words of a picture stand: at the ends of curves, on lines, clear of each other and inside the frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import holoviews as hv
import numpy as np

from .layers import SAYS, TINT, vector
from .look import current
from .writing import Words

LINE = 0.07  # of the height
_CLEAR = 0.055  # from a level line to the middle of its label
_OFF = 0.045  # and at least to that of any other
_TIE = 1e-9  # of the squares of two ways


@dataclass
class _Box:
    """A label in shares of the frame: its left and right end and its middle, which moves up and down."""

    text: str
    tint: str
    left: float
    right: float
    at: float
    own: float  # where it is anchored, across
    side: str = "left"

    def beside(self, other: "_Box") -> bool:
        """Whether the two stand in one column, so that one has to be above the other."""
        return self.left < other.right and other.left < self.right


@dataclass(frozen=True)
class Scale:
    """One axis: its ends, and whether it is logarithmic."""

    low: float
    high: float
    log: bool

    def to(self, value: float) -> float:
        """The share of the way from the low to the high end."""
        low, high, at = (np.log10(v) if self.log else v for v in (self.low, self.high, value))
        return float((at - low) / (high - low))

    def back(self, share: float) -> float:
        """The value at a share of the way."""
        low, high = (np.log10(v) if self.log else v for v in (self.low, self.high))
        at = low + share * (high - low)
        return float(10.0**at) if self.log else float(at)


def direct_labels(
    layers: Sequence[Any],
    x: tuple[float, float],
    y: tuple[float, float],
    logs: tuple[bool, bool],
    spread: Callable[[Any, int], np.ndarray],
    *,
    pinned: bool,
    note: str,
) -> tuple[list[Words], tuple[float, float]]:
    """A label for each layer that has one, and the x axis with room for them at the right.

    Args:
        spread: all coordinates of a layer on an axis.
        pinned: the right end of the axis stays where it is.
        note: what stands at the top left already.
    """
    across, up, letter = Scale(*x, logs[0]), Scale(*y, logs[1]), current().letter
    told = [(layer, layer.cdims.get(SAYS, ""), layer.cdims.get(TINT, current().ink)) for layer in layers]
    told = [each for each in told if each[1] and _has_place(each[0], logs)]
    beside = [len(text) + 2 for layer, text, _ in told if not isinstance(layer, hv.VLine)]
    if beside and not pinned:
        across = Scale(x[0], across.back(1 / (1 - min(0.4, max(beside) * letter))), logs[0])
    long = max(map(len, note.split("\n")))
    top = [
        _Box("", "", 0.0, (long + 2) * letter if note else 0.0, 1.0 - LINE * row, 0.0)
        for row in range(note.count("\n") + 1)
    ]
    boxes: list[_Box] = []
    for layer, text, tint in told:
        wide = (len(text) + 2) * letter
        if isinstance(layer, hv.VLine):
            at = across.to(float(layer.data))
            right = at + wide > 1 + 2 * letter and at > wide
            ends = (at - wide, at) if right else (at, at + wide)
            boxes.append(_Box(f"{text} " if right else f" {text}", tint, *ends, 1.0, at, "right" if right else "left"))
            _to_a_row(boxes[-1], top)
        elif isinstance(layer, hv.HLine):
            level = up.to(float(layer.data))
            boxes.append(_Box(f"{text} ", tint, 1 - wide, 1.0, level + _CLEAR, 1.0, "right"))
        else:
            at, height = _end(layer, logs, spread, (x[1], y[1]))
            own, level = min(across.to(at), across.to(x[1])), up.to(height)
            if own + wide > 1 + 2 * letter:  # no room at the right: over the end, or under it
                level += -_CLEAR if level + 2 * _CLEAR > 1 else _CLEAR
                boxes.append(_Box(f"{text} ", tint, 1 - wide, 1.0, level, 1.0, "right"))
            else:
                boxes.append(_Box(f"  {text}", tint, own, own + wide, level, own))
    levels = [up.to(float(layer.data)) for layer in layers if isinstance(layer, hv.HLine) and _has_place(layer, logs)]
    _apart([box for box in boxes if box not in top], top, sorted(level for level in levels if np.isfinite(level)))
    labels = []
    for box in boxes:
        side: Any = box.side
        anchor: Any = "top" if box in top else "center"
        ground = side == "right"  # what does not begin at the end of a curve may lie over one
        labels.append(Words(across.back(box.own), up.back(box.at), box.text, box.tint, anchor, side, ground))
    return labels, (x[0], across.high)


def with_room(at: np.ndarray, least: float = 0.08) -> list[int]:
    """Which points have room for a number: taken from the last to the first, none of them near another one taken.

    Args:
        at: (n, 2) points of the unit square.
        least: two points are near each other where they differ by at most this much in both coordinates.

    Returns:
        the places of the points taken, the last one first.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> draw.with_room(np.array([[0.0, 0.0], [0.5, 0.5], [0.51, 0.5]]))
        [2, 0]
    """
    kept: list[int] = []
    for number in reversed(range(len(at))):
        if all(np.abs(at[number] - at[other]).max() > least for other in kept):
            kept.append(number)
    return kept


def _has_place(layer: Any, logs: tuple[bool, bool]) -> bool:
    """A logarithmic axis has none for what is not positive."""
    line = isinstance(layer, hv.VLine | hv.HLine)
    return not (line and float(layer.data) <= 0 and logs[isinstance(layer, hv.HLine)])


def _end(layer: Any, logs: tuple[bool, bool], spread: Callable, far: tuple[float, float]) -> tuple[float, float]:
    """The last place of a layer that can be seen."""
    px, py = spread(layer, 0), spread(layer, 1)[-layer.dimension_values(0).size :]
    px = vector(px)[-py.size :]
    seen = np.flatnonzero(np.isfinite(px) & np.isfinite(py) & ((px > 0) | (not logs[0])) & ((py > 0) | (not logs[1])))
    if not seen.size:
        return far
    last = (
        seen[0] if (np.diff(px[seen]) < 0).all() and seen.size > 1 else seen[-1]
    )  # the right one of a curve drawn leftwards
    return float(px[last]), float(py[last])


def _to_a_row(box: _Box, top: list[_Box]) -> None:
    """Put a label of an upright line into the first row, from the top, that has room for it."""
    for row in range(4):
        box.at = 1.0 - row * LINE
        if not any(other.at == box.at and box.beside(other) for other in top):
            break
    top.append(box)


def _apart(boxes: Sequence[_Box], top: Sequence[_Box], levels: Sequence[float]) -> None:
    """Move labels up and down, in all as little as can be, until those in one column touch neither each other, nor the axis,
    what stands at the top or a level line."""
    ends = [-np.inf, *levels, np.inf]
    rooms = [(max(LINE / 2, below + _OFF), min(1 - LINE / 2, above - _OFF)) for below, above in pairwise(ends)]
    for column in _columns([box for box in boxes if np.isfinite(box.at)]):
        column.sort(key=lambda box: box.at)
        above = [
            [other.at - 1.5 * LINE for other in top if other.right > other.left and box.beside(other)] for box in column
        ]
        wanted, most = np.array([box.at for box in column]), np.array([min(each, default=1.0) for each in above])
        found = _shared(wanted, most, rooms) or _shared(wanted, most, [(LINE / 2, 1 - LINE / 2)])
        crowded = np.linspace(LINE / 2, max(LINE / 2, min(1 - LINE / 2, most.min())), len(column))
        for box, at in zip(column, found or crowded, strict=True):
            box.at = float(at)


def _columns(boxes: Sequence[_Box]) -> list[list[_Box]]:
    """Those that stand in one column, if only by way of others."""
    columns: list[list[_Box]] = []
    for box in boxes:
        touched = [column for column in columns if any(box.beside(other) for other in column)]
        columns = [column for column in columns if column not in touched] + [[*chain(*touched), box]]
    return columns


def _shared(wanted: np.ndarray, most: np.ndarray, rooms: Sequence[tuple[float, float]]) -> list[float]:
    """The heights nearest to those wanted, in ascending order, each in a room between two level lines and none above its
    ``most``; none where there are too many. Of two ways as near the upper one. Rooms are so far apart that what stands in two
    of them does not touch."""
    best: dict[int, tuple[float, list[float]]] = {0: (0.0, [])}  # by how many have a place: how far off, and where
    for low, high in rooms:
        reached = dict(best)
        for first, (cost, before) in best.items():
            for last in range(first + 1, len(wanted) + 1):
                here = slice(first, last)
                at = _spaced(wanted[here], low, np.minimum(most[here], high))
                if at is None:
                    break
                whole = cost + float(((at - wanted[here]) ** 2).sum())
                if whole < reached.get(last, (np.inf,))[0] + _TIE:
                    reached[last] = whole, [*before, *at]
        best = reached
    return best[len(wanted)][1] if len(wanted) in best else []


def _spaced(wanted: np.ndarray, low: float, high: np.ndarray) -> np.ndarray | None:
    """Heights a line apart from ``low`` up, none above its ``high``, by least squares; None where there is no room.

    Less the lines below them they need only ascend, which is isotonic regression, by pooling neighbours that do not.
    """
    lines = LINE * np.arange(wanted.size)
    most = np.minimum.accumulate((high - lines)[::-1])[::-1]
    if most[0] < low:
        return None
    pools: list[tuple[float, int]] = []  # mean, and of how many
    for mean in wanted - lines:
        count = 1
        while pools and pools[-1][0] >= mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    return np.clip(np.repeat([mean for mean, _ in pools], [count for _, count in pools]), low, most) + lines
