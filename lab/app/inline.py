"""A live page in a notebook: as the output of a cell a still picture, and the page itself as soon as there is one who sees it.

Panel sends the changes of a page from the moment on that it is displayed, but the browser drops all that comes before it has
built the page (``msg_handler`` in panel/models/comm_manager.ts looks for a root that is not there yet), and what was made
before the channel is open is sent a tenth of a second late, after its successors (``push`` in panel/io/notebook.py). A page
that computes meanwhile loses parts. So the page is put in when the browser says that it takes changes, and anew when it says so
again: after a reload of the notebook, whose output is as it was saved.

JupyterLab has what a browser sends handled in threads of their own, one for each channel (subshells, since 4.4 with ipykernel
7). Panel sends a change in several messages, and keeps a list of what the browser knows already: two threads that send at once
mix their messages and leave out what the other has not sent yet. So all that a browser sends waits for the thread of the page.
"""

import io
import signal
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import panel as pn

import lab.studies.draw as drawing
from lab import offline, watch
from lab.cards import as_uri
from lab.figures import plotted
from lab.studies import first_picture

from . import theme
from .session import Session
from .study_page import StudyPage
from .theme import escape
from .view import View, source

_DPI = 96
_STILL = """
<figure class="lab-still" style="margin: 0">
<img src="{uri}" alt="{title}" style="max-width: 100%; background: #fff">
<figcaption style="font-size: 12px">{title}, as it was when the cell was run. For the live page run
<code>lab.notebook()</code> and the cell.</figcaption>
</figure>
<style>div:has(> [data-root-id] > .lab-live) ~ .lab-still {{ display: none }}</style>
"""


class Door(View):
    """Where the page will be."""

    _esm = source("door.js")


_shown: WeakKeyDictionary["Inline", set[str]] = WeakKeyDictionary()  # the cells that show them


def _keep(page: "Inline") -> None:
    """Remember the cell that is run, which shows the page from now on."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if _leave not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _leave)
    if getattr(shell.kernel, "saved_sigint_handler", None) is signal.SIG_IGN:  # as it is while no cell runs
        shell.kernel.saved_sigint_handler = _halt
    cells = _shown.setdefault(page, set())
    if (cell := shell.kernel.get_parent("shell").get("metadata", {}).get("cellId")) is not None:
        cells.add(cell)


def _leave(cell: Any) -> None:
    """A cell is run anew: nobody waits for what its page computes. JupyterLab says no word of an output that it removes."""
    for page, cells in [*_shown.items()]:
        if getattr(cell, "cell_id", None) in cells:
            cells.remove(cell.cell_id)
            if not cells:
                del _shown[page]
                page._session.close()


def _halt(number: int, frame: Any) -> None:
    """While no cell runs, the kernel's stop button ends what pages compute, with what they have."""
    for page in [*_shown]:
        page._session.post(page._session.stop)


class Inline(theme.Column):
    """The page of a session in a cell. It is run for the first time when it is displayed: the cell shows how far it is, and
    the kernel's stop button ends the run with what it has."""

    def __init__(self, session: Session):
        self._session = session
        self._page = StudyPage(session).__panel__()
        self._door = Door(self._heard, sizing_mode="fixed", width=0, height=0)
        self._opened: float | None = None  # the knocking that was answered last
        super().__init__(self._door, sizing_mode="stretch_width", margin=0)

    def _heard(self, message: Mapping[str, Any]) -> None:
        self._session.dark = bool(message["dark"])
        if message.get("open", self._opened) != self._opened:
            self._close()  # an output that was made anew has lost the page
            self._opened = message["open"]
            self.objects = [self._door, self._page]
            self.css_classes = ["lab-live"]
            self._session.start()

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        self._session.post(partial(super()._on_msg, ref, manager, msg))

    def _render_mimebundle(self, model: Any, doc: Any, comm: Any, location: Any = None) -> Any:
        bundle = super()._render_mimebundle(model, doc, comm, location)
        _, browsers = self._comms[model.ref["id"]]
        browsers._on_open = lambda _: self._session.post(partial(self._connect, comm))
        return bundle

    def _connect(self, comm: Any) -> None:
        """Send what follows to a browser that knows nothing of the page yet, and shall hear nothing of it."""
        self._close()
        comm.init()

    def _close(self) -> None:
        self._opened = None
        self.objects = [self._door]
        self.css_classes = []

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if watch.in_notebook():
            if not pn.extension._loaded:  # the kernel is a new one
                offline.load()
            _keep(self)
            with watch.reporting(self._session.study.slug, "iterations", None) as report:
                self._session.begin(report)
        bundle: Any = super()._repr_mimebundle_(include, exclude)
        if isinstance(bundle, tuple) and "text/html" in bundle[0] and self._session.result is not None:
            bundle[0]["text/html"] += self._still()
        return bundle

    def _still(self) -> str:
        study, result = self._session.study, self._session.result
        try:
            picture = first_picture(study.pictures, result)
            with drawing.theme("light", backend="matplotlib"), plotted(picture(result)) as figure:
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
        except ValueError:  # none applies
            return ""
        title = escape(f"{study.title}: {picture.title}")
        return _STILL.format(uri=as_uri(buffer.getvalue()), title=title)
