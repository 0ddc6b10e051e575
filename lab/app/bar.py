"""What the top bar does: undo, redo, reset, present, share."""

from typing import Any
from urllib.parse import parse_qsl

from . import theme
from .session import Session
from .view import View, source


class TopBar(View):
    """The buttons of a page, and its keys. Presenting, full screen and copying are the browser's own."""

    _esm = source("bar.js")
    css = theme.asset("bar.css")

    def __init__(self, session: Session, *, address: bool = False):
        super().__init__(self._told, sizing_mode=None)
        self._session = session
        self._address = address
        session.param.watch(self._follow, ["back", "ahead", "study", "ghost", "result"])
        self._follow()

    def _told(self, message: dict[str, Any]) -> None:
        session = self._session
        match message.get("do"):
            case "undo":
                session.undo()
            case "redo":
                session.redo()
            case "reset":
                session.reset()
            case "ghost":
                session.haunt()
            case "address":  # the browser went back or forward
                query = dict(parse_qsl(str(message.get("query", "")).lstrip("?")))
                session.from_query(query)

    def _follow(self, *_: Any) -> None:
        session = self._session
        self.draw(
            undo=bool(session.back),
            redo=bool(session.ahead),
            ghost=session.ghost is not None,
            shown=session.result is not None,
            title=session.study_class.title,
            paper=session.study_class.paper.short,
            link=session.study.as_link(),
            address=self._address,
        )
