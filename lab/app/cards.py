"""The pictures of a study as cards: drawn from the session's result, redrawn by swapping data."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from html import escape
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
import xarray as xr

import lab.studies.draw as drawing
from lab.numerics import Progress
from lab.studies import Group, Picture
from lab.studies.contract import told

from . import theme
from .hooks import add_hooks
from .live import Live
from .player import Reel
from .session import Session
from .view import View, source

_QUIET = 0.6  # seconds without a change before a sweep begins
_HAND = 0.5  # seconds after its last move during which a dragged point belongs to the hand
_PATIENCE = 0.4  # seconds that a drag waits for the run before it; then it goes on without it
_WAITS = "Needs several runs: they begin when the page is calm and this card is in sight."
_log = logging.getLogger("lab.app")

_CARD = """
:host { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px 10px;
  box-sizing: border-box; min-width: 0; }
"""
_PICTURE = """
:host { opacity: min(var(--shown, 1), var(--swept, 1)); transition: opacity .15s; margin-top: -14px; min-width: 0;
  min-height: 300px; }
"""
_WIDE = ":host { grid-column: 1 / -1; }"
_TITLE = """
:host { grid-column: 1 / -1; margin-top: 18px; }
h2 { font-size: 16px; font-weight: 700; margin: 0; }
p { font-size: 13.5px; line-height: 1.5; margin: 3px 0 0; color: var(--muted); max-width: 62em; }
"""
_GRID = """
:host { display: grid !important; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: stretch; }
@media (max-width: 1000px) { :host { grid-template-columns: minmax(0, 1fr); } }
"""


class Head(View):
    """Title, caption, and what is going on."""

    seen = param.Boolean(False, doc="in sight, or nearly")

    _esm = source("card.js")
    css = theme.asset("card.css")


class Card:
    """One picture of a session's study.

    Single-run pictures follow each result. Those that need a sweep compute it in the background, when the page has
    been quiet and the card is in sight.

    Args:
        on_fold: called when the picture begins or ceases to apply; ``why`` then says why not.
        wide: as wide as the page.
    """

    def __init__(self, session: Session, picture: Picture, on_fold: Callable[[], None], wide: bool = False):
        self.session, self.picture = session, picture
        self.why = ""
        self._on_fold = on_fold
        self._drawn: xr.Dataset | None = None
        self._layers: tuple[type, ...] = ()
        self._live: Any = None
        self._hand = Hand(session, picture.edits) if picture.edits else None
        self.head = Head(lambda message: self._sweep(0.0))
        self._picture = theme.column(css=_PICTURE)
        self._reel = Reel(picture, session.post) if picture.plays else None
        under = [self._reel.player] if self._reel else []
        self.view = theme.column(self.head, self._picture, *under, css=_CARD + _WIDE * wide, css_classes=["card"])
        self.head.param.watch(lambda event: self.refresh(), "seen")
        self._say(note=_WAITS if picture.along else "")

    def refresh(self) -> None:
        """Show the session's result, if it has one that this card does not show yet."""
        session = self.session
        if session.result is None or not session.fresh:
            return
        if self.picture.along is not None:
            if self.head.seen or not session.live:
                self._sweep(_QUIET)
        elif self._drawn is not session.result:
            self._show(session.result)

    def retheme(self) -> None:
        """Draw again in the session's theme."""
        drawn, self._drawn, self._layers = self._drawn, None, ()
        if drawn is not None:
            self._show(drawn)

    def click(self, x: float, y: float) -> None:
        """Set what the picture says a click at this place sets."""
        values = {} if self._drawn is None else self.picture.clicked(self._drawn, x, y)
        if values:
            self.session.set(**values)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _listen(self, plot: Any, element: Any) -> None:
        from bokeh.events import Tap

        figure = plot.state
        if "clicks" not in figure.tags:
            figure.tags = [*figure.tags, "clicks"]
            figure.on_event(Tap, lambda event: self.click(event.x, event.y))

    def _sweep(self, wait: float) -> None:
        try:
            known = self.session.sweep(
                self.picture,
                wait=wait,
                calls={"progress": self._progress, "done": self._swept, "failed": self._failed},
            )
        except (ValueError, TypeError) as refusal:
            self._failed(str(refusal))
            return
        if known is not None:
            self._swept(known)
        else:
            self._say(note="" if self._drawn is not None else _WAITS, part=0.0, stale=True)

    def _progress(self, progress: Progress) -> None:
        self._say(part=progress.iteration / max(progress.max_iterations, 1), stale=True)

    def _swept(self, result: xr.Dataset) -> None:
        self._say()
        self._show(result)

    def _failed(self, sentence: str) -> None:
        self._say(note=sentence, again=True)

    def _say(self, note: str = "", part: float | None = None, again: bool = False, stale: bool = False) -> None:
        told = {"title": self.picture.title, "caption": self.picture.caption}
        self.head.draw(**told, note=note, part=part, again=again, stale=stale)

    def _show(self, result: xr.Dataset) -> None:
        self._drawn = result
        element = None
        try:
            why = self.picture.applies(result)
            if not why:
                with drawing.theme(self._theme, backend="bokeh"):
                    element = self.picture.shown(result, self.picture.frame(result))
        except Exception as exception:
            _log.exception("the picture %s failed", self.picture.name)
            why = f"it could not be drawn ({type(exception).__name__}: {exception})"
        if element is not None:
            self._put(element)
            if self._reel is not None:
                self._reel.fill(result, self._theme)
        if why != self.why:
            self.why, self.view.visible = why, not why
            self._on_fold()

    @property
    def _theme(self) -> str:
        return "dark" if self.session.dark else "light"

    def _put(self, element: Any) -> None:
        """Swap the data of the picture that is there; build one where there is none or its layers are others."""
        layers = tuple(type(layer) for layer in element)
        if self._hand is not None:
            element = self._hand.keep(element)
        more = [self._reel.hook] if self._reel is not None else []
        more += [self._listen] if self.picture.clicks is not None else []
        if more:
            add_hooks(element, *more)
        if layers == self._layers:
            if self._reel is None:
                held = (hv.Points,) if self._hand is not None else ()  # the browser may have moved them
                keep_unchanged(self._live.element, element, held)
            with self._hand.away() if self._hand is not None else nullcontext():
                self._live.send(element)
            return
        self._layers = layers
        self._live = Live(element, self.session.dark)
        self._picture[:] = [self._live.pane]


def keep_unchanged(old: hv.Overlay, new: hv.Overlay, but: tuple[type, ...] = ()) -> None:
    """Tell HoloViews which layers of ``new`` are as in ``old``, so that their data are not sent again."""
    for before, after in zip(old, new, strict=True):
        if not isinstance(after, but) and _same(before, after):
            after._plot_id = before._plot_id


def _same(old: Any, new: Any) -> bool:
    looks = [repr(hv.Store.lookup_options("bokeh", layer, "style").kwargs) for layer in (old, new)]
    frames = [str(getattr(layer, "bounds", None)) for layer in (old, new)]
    return looks[0] == looks[1] and frames[0] == frames[1] and _equal(old.data, new.data)


def _equal(old: Any, new: Any) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_equal(old[name], value) for name, value in new.items())
    if isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    if isinstance(new, np.ndarray):
        return old.dtype == new.dtype and np.array_equal(old, new, equal_nan=new.dtype.kind in "fc")
    return old.equals(new) if hasattr(new, "equals") else bool(np.all(old == new))


class Hand:
    """Points that may be dragged: the layers of points, in order, are the arrays of the data that ``arrays`` names.

    While a point is in the hand its layer is left alone, or it would jump back to where the last run has seen it.
    """

    def __init__(self, session: Session, arrays: tuple[str, ...]):
        self._session, self._arrays = session, arrays
        self._moved = 0.0
        self._pending: tuple[str, np.ndarray] | None = None
        self._began = 0.0
        self._drawing = False
        self._last: Any = None
        session.param.watch(self._let_go, "busy")

    def keep(self, element: Any) -> Any:
        """The picture with its hook; while something is dragged, with the points and axes that are on show."""
        if self._last is not None and time.monotonic() - self._moved < _HAND:
            dots = iter([layer for layer in self._last if isinstance(layer, hv.Points)])
            layers = [next(dots, layer) if isinstance(layer, hv.Points) else layer for layer in element]
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

    def _hook(self, plot: Any, element: Any) -> None:
        figure = plot.state
        if "hand" in figure.tags or self._session.data is None:
            return
        from bokeh.models import PointDrawTool

        dots = [sub for sub in plot.subplots.values() if isinstance(sub.current_frame, hv.Points)]
        arrays = self._session.data.arrays
        pairs = [
            (name, sub)
            for name, sub in zip(self._arrays, dots, strict=False)
            if name in arrays and arrays[name].shape == (len(sub.current_frame), 2)
        ]
        if not pairs:
            return
        figure.tags = [*figure.tags, "hand"]
        tool = PointDrawTool(renderers=[sub.handles["glyph_renderer"] for _, sub in pairs], add=False)
        figure.add_tools(tool)
        figure.toolbar.active_multi = tool
        for name, sub in pairs:
            sub.handles["source"].on_change("data", self._listener(name))

    def _listener(self, name: str) -> Callable[..., None]:
        def moved(attribute: str, old: Any, new: Any) -> None:
            if self._drawing:
                return
            self._moved = time.monotonic()
            self._pending = (name, np.column_stack([np.asarray(new["x"], float), np.asarray(new["y"], float)]))
            if not self._session.busy or self._moved - self._began > _PATIENCE:
                self._let_go()

        return moved

    def _let_go(self, *_: Any) -> None:
        """Hand the last move on, once nothing runs for the one before."""
        if self._pending is not None and (not self._session.busy or time.monotonic() - self._began > _PATIENCE):
            (name, values), self._pending = self._pending, None
            self._began = time.monotonic()
            self._session.edit_points(name, values)


class Cards:
    """All pictures of a session's study in a grid; those that do not apply are told of in one line at its end.

    Where the study has a story its hero comes first, as wide as the page, and then the groups under their titles.
    """

    def __init__(self, session: Session):
        self._session = session
        story, pictures = session.study.story, session.study.pictures
        self._groups: list[tuple[Group, pn.pane.HTML, list[Card]]] = []
        if story is None:
            self.cards = [Card(session, picture, self._fold) for picture in pictures]
            shown: list[Any] = [card.view for card in self.cards]
        else:
            self.cards = [Card(session, pictures[name], self._fold, wide=len(story.hero) == 1) for name in story.hero]
            shown = [card.view for card in self.cards]
            for group in story.groups:
                cards = [Card(session, pictures[name], self._fold) for name in group.pictures]
                title = theme.html("", css=_TITLE)
                self._groups.append((group, title, cards))
                self.cards += cards
                shown += [title, *(card.view for card in cards)]
        self._folded = theme.html("", css=":host { grid-column: 1 / -1; }", visible=False, css_classes=["folded"])
        self.view = theme.column(*shown, self._folded, css=_GRID)
        session.param.watch(self._follow, ["result", "fresh"])
        session.param.watch(self._retheme, "dark")
        self._follow()

    def _follow(self, *_: Any) -> None:
        session = self._session
        if session.fresh:
            result = session.result
            self._one_by_one(Card.refresh, lambda: session.result is result, 1 if session.rough else None)
            self._tell()

    def _retheme(self, *_: Any) -> None:
        dark = self._session.dark
        self._one_by_one(Card.retheme, lambda: self._session.dark == dark)  # also where a result comes meanwhile

    def _one_by_one(self, draw: Callable[[Card], None], wanted: Callable[[], bool], most: int | None = None) -> None:
        """Draw the cards, those in sight first, the first now, each other in a turn of its own: the first picture is sent
        before the second is drawn, and what the user does meanwhile comes in between. It ends where it is no longer wanted,
        as when a newer result begins anew.

        Args:
            most: how many are drawn; of a sketch the first picture is enough.
        """
        waiting = sorted(self.cards, key=lambda card: (card.picture.along is not None, not card.head.seen))[:most]

        def turn() -> None:
            if waiting and wanted():
                draw(waiting.pop(0))
                self._session.post(turn)

        turn()

    def _tell(self) -> None:
        """The titles of the groups, with what they show now; none of a group whose pictures don't apply."""
        result = self._session.result
        for group, title, cards in self._groups:
            title.visible = any(card.view.visible for card in cards)
            finding = told(group.finding, result) if result is not None else ""
            text = f"<h2>{escape(group.title)}</h2><p>{escape(finding)}</p>"
            if title.object != text:
                title.object = text

    def _fold(self) -> None:
        self._tell()
        lines = [f"{escape(card.picture.title)}: {escape(card.why)}" for card in self.cards if card.why]
        self._folded.visible = bool(lines)
        self._folded.object = f'<p class="muted small">Not shown. {" · ".join(lines)}.</p>'
