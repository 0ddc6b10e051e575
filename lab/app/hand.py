"""Points of a picture that a hand may drag: those of the data, or one that stands for parameters."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import holoviews as hv
import numpy as np

import lab.studies.draw as drawing
from lab.studies import Picture

from .hooks import add_hooks
from .session import Session

_HAND = 0.5  # seconds after its last move during which a moved point belongs to the hand
_HELD = 30.0  # the same of a point that is held, whose release may be lost
_PATIENCE = 2.0  # seconds that a drag waits for the run before it; then it goes on without it

# Bokeh tells the server where a point is when it is let go; this tells it on the way. Many points are told more seldom.
_ON_THE_WAY = """
for (const source of sources) {
  const now = performance.now(), columns = source.data instanceof Map ? source.data : new Map(Object.entries(source.data))
  if (source.selected.indices.length === 0 || now - (source.told ?? 0) < 40 + columns.get("x").length / 10) continue
  source.told = now
  source.setv({data: source.data}, {check_eq: false})
}
"""


class Hand:
    """What is dragged in a picture goes to its session: each place as soon as nothing runs for the one before, the last always.

    The layers of points, in order, are the arrays of the data that the picture ``edits``; a layer of ``draw.grip`` sets the
    parameters that the picture says it ``drags``. While a point is in the hand its layer is left alone, or it would jump back
    to where the last run has seen it.

    Args:
        drag: sets what a grip at (x, y) stands for.
        redraw: draws the picture as the session has it, when a hand lets go of a point where nothing is.
    """

    def __init__(
        self, session: Session, picture: Picture, drag: Callable[[float, float], None], redraw: Callable[[], None]
    ):
        self._session, self._picture, self._drag, self._redraw = session, picture, drag, redraw
        self._moved = 0.0
        self._held = False  # between the beginning of a drag and its release
        self._pending: Callable[[], None] | None = None
        self._began = 0.0
        self._drawing = False
        self._last: Any = None
        session.param.watch(self._let_go, "busy")

    def keep(self, element: Any) -> Any:
        """The picture with its hook; while something is dragged, with the points and axes that are on show."""
        if self._last is not None and time.monotonic() - self._moved < (_HELD if self._held else _HAND):
            dots = iter([layer for layer in self._last if self._is_held(layer)])
            layers = [next(dots, layer) if self._is_held(layer) else layer for layer in element]
            options, held = (hv.Store.lookup_options("bokeh", e, "plot").kwargs for e in (element, self._last))
            options = options | {name: held[name] for name in ("xlim", "ylim") if name in held}
            element = hv.Overlay(layers)
            drawing.set_options(element, "bokeh", **options)
        add_hooks(element, self._hook)
        self._last = element
        return element

    def away(self) -> "Hand":
        """A block in which changes of the points are ours."""
        return self

    def __enter__(self) -> None:
        self._drawing = True

    def __exit__(self, *_: Any) -> None:
        self._drawing = False

    def _is_held(self, layer: Any) -> bool:
        return isinstance(layer, hv.Points) and (bool(self._picture.edits) or drawing.GRIP in layer.cdims)

    def _hook(self, plot: Any, element: Any) -> None:
        figure = plot.state
        if "hand" in figure.tags:
            return
        from bokeh.events import PanEnd, PanStart
        from bokeh.models import CustomJS, PointDrawTool

        dots = [sub for sub in plot.subplots.values() if isinstance(sub.current_frame, hv.Points)]
        pairs = list(self._movable(dots))
        if not pairs:
            return
        figure.tags = [*figure.tags, "hand"]
        tool = PointDrawTool(renderers=[sub.handles["glyph_renderer"] for _, sub in pairs], add=False)
        figure.add_tools(tool)
        figure.toolbar.active_multi = tool
        sources = [sub.handles["source"] for _, sub in pairs]
        for source, (move, _) in zip(sources, pairs, strict=True):
            source.on_change("data", self._listener(move))
        figure.js_on_event("pan", CustomJS(args={"sources": sources}, code=_ON_THE_WAY))
        figure.on_event(PanStart, self._taken)
        figure.on_event(PanEnd, self._released)

    def _movable(self, dots: list[Any]) -> Iterator[tuple[Callable[[np.ndarray], None], Any]]:
        """The plots of points that may be dragged, each with what takes their places (n, 2)."""
        arrays = {} if self._session.data is None else self._session.data.arrays
        for name, sub in zip(self._picture.edits, dots, strict=False):
            if name in arrays and arrays[name].shape == (len(sub.current_frame), 2):
                yield partial(self._session.edit_points, name), sub
        if self._picture.drags is not None:
            for sub in dots:
                if drawing.GRIP in sub.current_frame.cdims:
                    yield self._dragged, sub

    def _dragged(self, places: np.ndarray) -> None:
        if len(places) and np.isfinite(places[0]).all():
            self._drag(*map(float, places[0]))

    def _listener(self, move: Callable[[np.ndarray], None]) -> Callable[..., None]:
        def moved(attribute: str, old: Any, new: Any) -> None:
            if self._drawing:
                return
            self._moved = time.monotonic()
            places = np.column_stack([np.asarray(new["x"], float), np.asarray(new["y"], float)])
            self._pending = partial(move, places)
            self._let_go()

        return moved

    def _let_go(self, *_: Any) -> None:
        """Hand the last move on, once nothing runs for the one before."""
        if not self._session.busy or time.monotonic() - self._began > _PATIENCE:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._pending is not None:
            move, self._pending = self._pending, None
            self._began = time.monotonic()
            move()

    def _taken(self, event: Any) -> None:
        self._held, self._moved = True, 0.0

    def _released(self, event: Any) -> None:
        """The last place counts at once, whatever runs; then the point is drawn where it counts."""
        self._held = False
        if not self._moved:
            return  # it was the picture that was moved
        self._moved = 0.0
        self._hand_on()
        if not self._session.busy:
            self._redraw()
