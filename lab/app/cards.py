"""A picture of a study as a card: drawn from the session's result, redrawn by swapping data."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import param
import xarray as xr

import lab.studies.draw as drawing
from lab import figures
from lab.numerics import Progress
from lab.studies import Picture
from lab.studies.contract import as_text

from . import faults, theme
from .ghost import Ghost
from .hand import Hand
from .here import Here
from .hooks import add_hooks
from .lit import Lit
from .live import Live
from .player import Reel
from .runner import SWEEP, Runner
from .session import Session
from .view import View, source

_ROOM, _WIDE_ROOM = 1.6, 3.35  # width to height of a card's picture
_HIGH = 310  # pixels of a card's picture
_OTHER = 0.15  # of the width, from which on a picture is drawn anew
_SOON = "Drawn once it is in sight."
_QUIET = 0.6  # seconds without a change before a sweep begins
_log = logging.getLogger("lab.app")

_STAGED = """
:host { --lines: 2; flex: SHARE 1 0 !important; width: auto !important; min-width: 0; height: auto !important; }
@media (max-width: 1180px) { :host(.third) { display: none !important; } }
@media (max-width: 560px) { :host { flex: none !important; width: 100% !important; } }
:host(:fullscreen) { background: var(--card); padding: 24px; box-sizing: border-box; }
"""
_CARD = """
:host { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px 10px;
  box-sizing: border-box; min-width: 0; height: auto !important; }
:host(.wide) { grid-column: 1 / -1; }
"""
_PICTURE = """
:host { opacity: min(var(--shown, 1), var(--swept, 1)); transition: opacity .15s; margin-top: -14px; min-width: 0;
  min-height: 300px; }
:host(.fills) { flex: 1 1 auto !important; height: auto !important; }
:host(.whole) { flex: 1 1 auto !important; height: auto !important; }
:host(.whole) .bk-Figure { height: 100% !important; }
@media (max-width: 560px) { :host { overflow-x: auto; } }
"""


class Head(View):
    """Title, caption, and what is going on."""

    seen = param.Boolean(False, doc="in sight, or nearly")
    wide = param.Integer(0, bounds=(0, 10_000), doc="pixels; 0 before it is known")

    _esm = source("lit.js", "card.js")
    css = theme.asset("card.css")


class Card:
    """One picture of a session's study.

    Single-run pictures follow each result. Those that need a sweep compute it in the background, when the page has
    been quiet and the card is in sight.

    Args:
        on_fold: called when the picture begins or ceases to apply; ``why`` then says why not.
        high: of a picture of the hero, the pixels that it has; it then stands without a frame of its own.
        room: width to height of what the picture has.
        across: its width in pixels, until the browser says otherwise; by the height of a card where it is 0.
        unseen: draw out of sight too; otherwise once the card comes into sight.
    """

    def __init__(
        self,
        session: Session,
        picture: Picture,
        on_fold: Callable[[], None],
        high: int = 0,
        room: float = _ROOM,
        across: float = 0.0,
        unseen: bool = True,
    ):
        self.session, self.picture = session, picture
        self._unseen = unseen or bool(high)
        self.why = ""
        self.folded = False  # with its group
        self._high, self._room, self._wide = high, room, across or room * _HIGH
        self._on_fold = on_fold
        self._drawn: xr.Dataset | None = None
        self._layers: tuple[type, ...] = ()
        self._live: Any = None
        moves = bool(picture.edits) or picture.drags is not None
        self._hand = Hand(session, picture, self._drag, self._redraw) if moves else None
        self.head = Head(self._asked)
        self._maker = Runner(session.post, SWEEP)
        self._picture = theme.column(css=_PICTURE, css_classes=[] if high else ["fills"])
        self._reel = Reel(picture, session.post_drawing) if picture.plays else None
        self._here = Here(session, self._tell) if picture.along is not None else None
        self._ghost = Ghost() if picture.along is None and picture.turns is None else None
        self._lit = Lit()
        self._told: dict[str, Any] = {}
        self._judged: Any = None
        self._found = ""
        self.player = self._reel.player if self._reel else None
        under = [self.player] if self.player and not high else []
        css = _STAGED.replace("SHARE", f"{picture.share:g}") if high else _CARD
        self.view = theme.column(
            self.head, self._picture, *under, css=css, css_classes=["card", "staged"] if high else ["card"]
        )
        self.head.param.watch(lambda event: self.refresh(), "seen")
        self.head.param.watch(lambda event: self._fit(event.new), "wide")
        self._eye: Any = None  # the source of the camera of the figure on the page
        session.param.watch(self._turn, "cameras")
        session.param.watch(self._haunt, "ghost")
        self._say(note=self._waits() if picture.along else "" if high else _SOON)

    @property
    def filling(self) -> bool:
        """The frames of the page's own player are being drawn."""
        return self._reel is not None and self._reel.leads and self._reel.filling

    def when_filled(self, call: Callable[[], None]) -> None:
        """Call this when the frames have been drawn."""
        assert self._reel is not None
        self._reel.waiting.append(call)

    def lead(self) -> None:
        """Have the player be the scrubber of the page."""
        if self._reel is not None:
            self._reel.lead()

    def refresh(self) -> None:
        """Show the session's result, if it has one that this card does not show yet."""
        session = self.session
        if session.result is None or not session.fresh or self.folded:
            return
        if self.picture.along is not None:
            if not self.why and (self.head.seen or not session.live):
                self._sweep(_QUIET)
        elif self._drawn is not session.result:
            self._show(session.result)

    def judge(self) -> None:
        """Of a picture of several runs say at once whether they can show something; what they showed to be of no use is
        tried anew where the data or a choice are others."""
        study, data = self.session.study, self.session.data
        if self.picture.along is None or data is None:
            return
        try:
            idle = self.picture.idle(study, data)
        except (ValueError, TypeError):  # the sweep says so where the card can be read
            idle = ""
        parameters = study.parameters()
        choices = {name: as_text(value) for name, value in study.values().items() if not parameters[name].traced}
        if (now := (idle, data.sha256, choices)) != self._judged:
            self._judged = now
            self._rule_out(idle)
            if idle:
                self.session.leave(self.picture)

    def retheme(self) -> None:
        """Draw again in the session's theme."""
        self._layers = ()
        self._redraw()

    def fold(self, folded: bool) -> None:
        """Put the card away with its group, or show it again; what is away computes and draws nothing."""
        self.folded = folded
        self.view.visible = not (self.why or folded)
        self.refresh()

    def widen(self, wide: bool) -> None:
        """Be as wide as the page, or as half of it; the browser tells what that comes to."""
        classes = ["card", "wide"] if wide else ["card"]
        if self.view.css_classes != classes:
            self.view.css_classes = classes
            self._room = _WIDE_ROOM if wide else _ROOM
            self._wide = self._room * _HIGH
            self._redraw()

    def click(self, x: float, y: float) -> None:
        """Set what the picture says a click at this place sets; of runs along a parameter the nearest one."""
        if self.picture.clicks is None and self._here is not None:
            self._here.press(x)
            return
        values = {} if self._drawn is None else self.picture.clicked(self._drawn, x, y, self._camera)
        if values:
            self.session.set(**values)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _fit(self, wide: int) -> None:
        """Draw again for the width that the browser has, where it is another than was thought."""
        if wide and abs(np.log(wide / self._wide)) > _OTHER:
            self._room *= wide / self._wide
            self._wide = float(wide)
            self._redraw()

    def _asked(self, message: dict[str, Any]) -> None:
        kind = message.get("take")
        if kind in ("png", "pdf", "csv"):
            self._take(str(kind))
        elif message.get("again"):
            self._sweep(0.0)

    def _take(self, kind: str) -> None:
        """Hand the picture, or the numbers that are drawn, to the browser."""
        result, picture, place = self._drawn, self.picture, self._place

        def work(report: Any) -> bytes:
            if result is None or self.why:
                raise ValueError(f"there is no picture: {self.why or self._note or 'it comes with the first result'}")
            if kind == "csv":
                return numbers(picture.shown(result, picture.frame(result, place), self._camera))
            with TemporaryDirectory() as folder:
                path = Path(folder) / f"{picture.name}.{kind}"
                figures.export_picture(picture, result, path, width="column", at=place, camera=self._camera)
                return path.read_bytes()

        name = f"{self.session.study_class.slug}-{picture.name}.{kind}"
        self._maker.submit(
            work,
            done=lambda content: self.head._send_msg({"kind": kind, "name": name, "content": content}),
            failed=lambda sentence: self.head._send_msg({"kind": kind, "refused": sentence}),
        )

    @property
    def _place(self) -> float | None:
        """Of a picture that plays, the frame on show."""
        if self._reel is None or not self._reel.places or self._reel.player.frame < 0:
            return None
        return self._reel.places[min(self._reel.player.frame, len(self._reel.places) - 1)]

    def _drag(self, x: float, y: float) -> None:
        """Set what the picture says its grip at this place sets."""
        values = {} if self._drawn is None else self.picture.dragged(self._drawn, x, y)
        if values:
            self.session.set(**values)

    def _redraw(self) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is not None:
            self._show(drawn)

    def _grow(self, plot: Any, element: Any) -> None:
        plot.state.min_height = self._high

    def _listen(self, plot: Any, element: Any) -> None:
        from bokeh.events import Tap

        figure = plot.state
        if "clicks" not in figure.tags:
            figure.tags = [*figure.tags, "clicks"]
            figure.on_event(Tap, lambda event: self.click(event.x, event.y))

    @property
    def _camera(self) -> tuple[float, float] | None:
        """Where the picture was turned to on the page; None where it was not."""
        return self.session.cameras.get(self.picture.name)

    def _follow_camera(self, plot: Any, element: Any) -> None:
        camera = plot.state.select_one({"name": drawing.CAMERA})
        if camera is not None and "followed" not in camera.tags:
            camera.tags = [*camera.tags, "followed"]
            camera.on_change("data", self._turned)
            self._eye = camera

    def _turn(self, *_: Any) -> None:
        """Turn the figure on the page, where it was not a hand on it that turned it."""
        if self._eye is not None and self._camera is not None and self._camera != self._looks_from(self._eye.data):
            self._eye.data = {name: [angle] for name, angle in zip(("azimuth", "elevation"), self._camera, strict=True)}

    def _looks_from(self, data: Mapping[str, Any]) -> tuple[float, float] | None:
        azimuth, elevation = (round(float(data[name][0]), 1) for name in ("azimuth", "elevation"))
        return self.picture.camera((azimuth % 360, elevation))

    def _turned(self, attribute: str, old: Any, new: Any) -> None:
        try:
            camera = self._looks_from(new)
        except (ValueError, TypeError, LookupError):  # no page of ours sends that
            return
        self.session.cameras = {**self.session.cameras, self.picture.name: camera}

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
            self._say(note="" if self._drawn is not None else self._waits(), part=0.0, stale=True)

    def _runs(self) -> int:
        session = self.session
        if session.data is None:
            return 0
        try:
            return prod(map(len, self.picture.grid(session.study, session.data).values()))
        except (ValueError, TypeError):
            return 0

    def _waits(self) -> str:
        """What is to be computed, how much, and when it begins."""
        runs, result = self._runs(), self.session.result
        if not runs:
            return "Needs several runs: they begin once this card is in sight and nothing else has run for a moment."
        about = runs * float(result.attrs["run_seconds"]) if result is not None else 0.0
        least = "more than" if result is not None and result.attrs["reason"] == "stopped" else "about"
        lasts = f", {least} {theme.duration(about)}" if about >= 1 else ""
        return f"Needs {runs} runs{lasts}: they begin once this card is in sight and nothing else has run for a moment."

    def _progress(self, progress: Progress) -> None:
        part, runs = progress.iteration / max(progress.max_iterations, 1), self._runs()
        left = progress.seconds * (1 - part) / part if part else 0.0
        note = f"Run {min(int(part * runs) + 1, runs)} of {runs}" + (
            f" · {theme.duration(left)} left" if left >= 1 else ""
        )
        self._say(note=note if self._drawn is None else "", part=part, stale=True)

    def _swept(self, result: xr.Dataset) -> None:
        self._say()
        self._show(result)

    def _failed(self, sentence: str) -> None:
        self._say(note=sentence, again=True)

    def _say(self, note: str = "", part: float | None = None, again: bool = False, stale: bool = False) -> None:
        self._note = note
        self._told = {"note": note, "part": part, "again": again, "stale": stale}
        self._tell()

    def _tell(self) -> None:
        here = {"line": self._here.line, "name": self._here.name} if self._here is not None else None
        title, caption = self.picture.title, self.picture.caption
        self.head.draw(title=title, caption=caption, finding=self._found, here=here, **self._told)

    def _haunt(self, *_: Any) -> None:
        """Have the kept result stand behind, where this picture can show it."""
        if self._ghost is None:
            return
        kept, element = self.session.ghost, None
        if kept is not None and not self.picture.applies(kept):
            with self._tone():
                element = self.picture.shown(kept, self.picture.frame(kept), self._camera)
        self._ghost.show(element)

    def _show(self, result: xr.Dataset) -> None:
        element, drawn = None, self._unseen or self.head.seen
        if drawn:
            self._drawn = result
        try:
            why = self.picture.applies(result)
            if drawn and not why:
                with self._tone():
                    element = self.picture.shown(result, self.picture.frame(result), self._camera)
        except Exception as exception:
            why = faults.undrawn(exception, f"the picture {self.picture.name}")
        if drawn and self._note == _SOON:
            self._say()
        if element is not None:
            self._find(result)
            self._put(element, result)
            if self._reel is not None:
                self._reel.fill(result, self._theme, self._room, self._wide)
        self._rule_out(why)

    def _rule_out(self, why: str) -> None:
        if why != self.why:
            self.why, self.view.visible = why, not (why or self.folded)
            self._on_fold()

    def _find(self, result: xr.Dataset) -> None:
        """Have the head say what the picture shows now."""
        try:
            found = self.picture.finding(result)
        except Exception:
            _log.exception("what the picture %s shows could not be said", self.picture.name)
            found = ""
        if found != self._found:
            self._found = found
            self._tell()

    def _tone(self) -> Any:
        return drawing.theme(self._theme, backend="bokeh", room=self._room, wide=self._wide)

    @property
    def _theme(self) -> str:
        return "dark" if self.session.dark else "light"

    def _put(self, element: Any, result: xr.Dataset) -> None:
        """Swap the data of the picture that is there; build one where there is none or its layers are others."""
        if self._here is not None:
            self._here.look(result, element)
        layers = tuple(type(layer) for layer in element)
        if self._hand is not None:
            element = self._hand.keep(element)
        more = [self._lit.hook]
        more += [self._reel.hook] if self._reel is not None else []
        more += [self._listen] if self.picture.clicks is not None or self._here is not None else []
        more += [self._here.hook] if self._here is not None else []
        more += [self._ghost.hook] if self._ghost is not None else []
        more += [self._follow_camera] if self.picture.turns is not None else []
        more += [self._grow] if self._high else []
        add_hooks(element, *more)
        if layers == self._layers:
            if self._reel is None:
                held = (hv.Points,) if self._hand is not None else ()  # the browser may have moved them
                keep_unchanged(self._live.element, element, held)
            with self._hand.away() if self._hand is not None else nullcontext():
                self._live.send(element)
            return
        self._layers = layers
        self._live = Live(element, self.session.dark, fills=not self._high)
        self._picture[:] = [self._live.pane]


def numbers(element: hv.Overlay) -> bytes:
    """What is drawn, as CSV: a table as it is, else a row for each mark, by layer."""
    tables = []
    for number, layer in enumerate(element, 1):
        if drawing.TABLE in layer.cdims:
            columns = layer.cdims[drawing.TABLE]
            return (
                pd.DataFrame({head: pd.Series(list(values)) for head, values in columns.items()})
                .to_csv(index=False)
                .encode()
            )
        if isinstance(layer, hv.Dataset | hv.Path) and not isinstance(layer, hv.Labels) and len(layer):
            table = layer.dframe()
            table.insert(0, "layer", f"{number} {layer.label or type(layer).__name__}".strip())
            tables.append(table)
    if not tables:
        raise ValueError("this picture draws no numbers that a table could hold: take the result in Take along")
    return pd.concat(tables).to_csv(index=False).encode()


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
