"""Play and a slider for a picture that moves: the frames are sent once and swapped in the browser."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
import param
import xarray as xr
from bokeh.document import Document
from holoviews.streams import Pipe

import lab.studies.draw as drawing
from lab.studies import Picture
from lab.words import quantity

from . import theme
from .ghost import is_ghost
from .scrubber import in_logs, scaled
from .view import View, source

_MANY, _APART = 16, 4  # of more frames than that each fourth comes first
_ROOM = 128 << 20  # bytes of frames that a server keeps for the next visitor

Rows = dict[int, list[dict[str, Any]]]  # of frame, renderer, column


class Player(View):
    """The controls. ``frame`` is the number of the frame on show."""

    frame = param.Integer(-1, doc="set by the browser; -1 before it has shown one")

    _esm = source("curve.js", "player.js")
    css = theme.asset("player.css") + theme.asset("scrubber.css")


class Frames:
    """The drawn frames of the results that were last played, of all visitors, up to so many bytes."""

    def __init__(self, room: int):
        self._room, self._held, self._kept = room, 0, OrderedDict[Any, tuple[Rows, int]]()

    def get(self, key: Any) -> Rows | None:
        """Those of a result on a room, or None."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: Any, rows: Rows) -> None:
        """Keep these; those that were not asked for longest go."""
        size = sum(_size(column) for row in rows.values() for columns in row for column in columns.values())
        self._held += size - self._kept.pop(key, ({}, 0))[1]
        self._kept[key] = rows, size
        while self._held > self._room:
            self._held -= self._kept.popitem(last=False)[1][1]


_FRAMES = Frames(_ROOM)


class Reel:
    """All frames of a picture, drawn one at a time so that the page stays alive, and handed to the figure on the page.

    A frame is what differs from frame to frame in the sources of the figure's glyphs. It travels as a tag of the
    source; the browser swaps it in, without a word to the server. What was drawn for one visitor is handed to the next.

    Args:
        post: runs a function in a turn of its own.
    """

    def __init__(self, picture: Picture, post: Callable[[Callable[[], None]], object]):
        self.picture, self.player = picture, Player()
        self.player.draw(places=[], ids=[], name="")
        self.figure: Any = None  # of the page
        self._post = post
        self._turn = 0
        self.leads, self.filling = False, False
        self.places: list[float] = []  # of the frames that the browser has
        self.waiting: list[Callable[[], None]] = []  # until all frames are drawn

    def lead(self) -> None:
        """Be the scrubber of the page: large, with a curve, by the keys, and once by itself."""
        self.leads = True
        self.player.draw(places=[], ids=[], name="", main=True)

    def hook(self, plot: Any, element: Any) -> None:
        """For the options of the picture on the page: tells which figure it is."""
        self.figure = plot.state

    def fill(self, result: xr.Dataset, tone: str, room: float = 0.0, wide: float = 0.0) -> None:
        """Draw all frames of ``result`` on the room that the picture has; an older filling is given up. Of many frames some
        that are far apart come first, so that it plays soon, and all of them later."""
        self._turn += 1
        turn, places = self._turn, self.picture.frames(result)
        self._curve = along(result, self.picture.plays) if self.leads else {}
        self.filling = True
        pipe: Any = None
        off: Any = None
        key = result.attrs["study"], self.picture.name, str(result.attrs), tone, room, wide
        rows: Rows = {}
        few = {*range(0, len(places), _APART), len(places) - 1} if self.leads and len(places) > _MANY else set()
        order = [*sorted(few), *(number for number in range(len(places)) if number not in few)]

        def draw() -> None:
            nonlocal pipe, off
            if turn != self._turn:
                return
            number = order[len(rows)]
            try:
                with drawing.theme(tone, backend="bokeh", room=room, wide=wide):
                    element = self.picture.shown(result, number)
                with drawing.pen:
                    if off is None:
                        pipe = Pipe(data=element)
                        frames = hv.DynamicMap(lambda data: data, streams=[pipe])
                        # not in the page's document: HoloViews puts off what it draws there until the browser is connected
                        off = drawing.bokeh_renderer(tone).get_plot(frames, doc=Document())
                    else:
                        pipe.send(element)
                rows[number] = [_columns(renderer) for renderer in off.state.renderers]
            except Exception:
                self._end()
                raise
            if len(rows) in (len(few), len(places)):
                self._hand_over(rows, places, result[self.picture.plays])
            if len(rows) < len(places):
                self._post(draw)
            else:
                _FRAMES.keep(key, rows)
                self._end()

        def show() -> None:
            if turn == self._turn and known is not None:
                self._hand_over(known, places, result[self.picture.plays])
                self._end()

        known = _FRAMES.get(key)
        self._post(draw if known is None else show)

    def _end(self) -> None:
        """Let those go on who wait for the frames."""
        self.filling, waiting, self.waiting = False, self.waiting, []
        for call in waiting:
            self._post(call)

    def _hand_over(self, drawn: Rows, places: np.ndarray, axis: xr.DataArray) -> None:
        numbers = sorted(drawn)
        rows = [drawn[number] for number in numbers]
        own = [] if self.figure is None else [each for each in self.figure.renderers if not is_ghost(each)]
        if len(own) != len(rows[0]):
            return
        ids = []
        for number, renderer in enumerate(own):
            frames = [row[number] for row in rows]
            moving = [name for name in frames[0] if not all(_same(frames[0][name], each.get(name)) for each in frames)]
            if moving:
                ids.append(renderer.data_source.id)
                kept = [tag for tag in renderer.data_source.tags if not (isinstance(tag, dict) and "frames" in tag)]
                longest = max(len(each[name]) for each in frames for name in moving)
                reel = [{name: _padded(each[name], longest) for name in moving} for each in frames]
                renderer.data_source.tags = [*kept, {"frames": reel}]
        label = drawing.label(axis)
        self.places = [float(places[number]) for number in numbers]
        told = {"places": self.places, "ids": ids, "name": label, "turn": self._turn}
        if self.leads:
            told |= {"main": True, **self._curve}
            told |= {
                name: [self._curve[name][k] for k in numbers] for name in ("heights", "texts") if name in self._curve
            }
        self.player.draw(**told)


def along(result: xr.Dataset, dim: str) -> dict[str, Any]:
    """The first number that the result has at each frame: heights from 0 to 1, texts, and what it is."""
    for variable in result.data_vars.values():
        if variable.dims == (dim,) and variable.dtype.kind == "f":
            numbers = [float(value) for value in variable.values]
            texts = [quantity(value, variable.attrs.get("units", "")) for value in numbers]
            return {
                "heights": scaled(numbers),
                "texts": texts,
                "label": drawing.label(variable),
                "logs": in_logs(numbers),
            }
    return {}


def _columns(renderer: Any) -> dict[str, Any]:
    """A copy of the columns of what is drawn, numbers in single precision; a line through all of the picture has none."""
    source = getattr(renderer, "data_source", None)
    return {} if source is None else {name: _plain(values) for name, values in source.data.items()}


def _size(column: Any) -> int:
    return (
        column.nbytes if isinstance(column, np.ndarray) else sum(map(_size, column)) if isinstance(column, list) else 64
    )


def _plain(values: Any) -> Any:
    if isinstance(values, list | tuple) and values and isinstance(values[0], np.ndarray):
        return [_plain(each) for each in values]  # images
    array = np.array(values)
    return array.astype(np.float32) if array.dtype.kind == "f" else array if array.dtype.kind in "iub" else list(values)


def _padded(values: Any, length: int) -> Any:
    """Glyphs that are nowhere at the end: Bokeh does not take fewer of them than it has just drawn."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim != 1:
        return values
    return np.concatenate([values, np.full(length - len(values), np.nan, values.dtype)])


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return all(_same(a, b) if isinstance(a, np.ndarray) else a == b for a, b in zip(one, two, strict=True))
    return False
