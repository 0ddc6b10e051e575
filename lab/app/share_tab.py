"""Share: the state of the page as one file that needs no server."""

import io
from typing import Any

import panel as pn

from lab.numerics import Progress, Report

from . import buttons, theme
from .export_tab import size
from .runner import SWEEP, Runner
from .session import Session
from .sharing import share

_SAYS = (
    "The first pictures of this page at this state and along its slider, the steps with their answers, the claims and the "
    "recipe, in one file that opens anywhere: from a folder, in a slide, on a phone. What is kept is not computed again."
)
_CSS = "p { max-width: 62em; margin: 2px 0 8px; } .wrong { color: var(--second); }"


class ShareTab(pn.viewable.Viewer):
    """A button that computes what is missing, and hands the file to the browser."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session
        self._runner = Runner(session.post, SWEEP)
        self._button = buttons.Download("Share as one file (.html)", self._press)
        self._said = theme.html("", _CSS)
        self._view = theme.column(theme.html(f"<p>{theme.escape(_SAYS)}</p>", _CSS), self._button, self._said)
        session.param.watch(self._follow, ["result", "fresh", "error"])
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self._runner.abandon())
        self._follow()

    def __panel__(self):
        return self._view

    def _follow(self, *events: Any) -> None:
        self._button.offer(self._session.result is not None and self._session.fresh and not self._runner.busy)

    def _press(self) -> None:
        study = self._session.study

        def work(report: Report) -> bytes:
            file = io.BytesIO()
            share(study, file, report=report)
            return file.getvalue()

        def done(content: bytes) -> None:
            self._say(f"Saved as {study.slug}.html, {size(len(content))}.")
            self._button.hand(f"{study.slug}.html", content)
            self._follow()

        def failed(sentence: str) -> None:
            self._say(f"It can't be shared: {sentence}", wrong=True)
            self._follow()

        self._button.offer(False)
        self._say("Computing and drawing …")
        self._runner.submit(work, done=done, failed=failed, progress=self._progress)

    def _progress(self, progress: Progress) -> None:
        if progress.max_iterations:
            self._say(f"Computing and drawing: {progress.iteration} of {progress.max_iterations} …")

    def _say(self, sentence: str, wrong: bool = False) -> None:
        self._said.object = f'<p class="{"wrong" if wrong else "muted"}" role="status">{theme.escape(sentence)}</p>'
