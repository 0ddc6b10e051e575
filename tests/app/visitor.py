"""What a visitor of a page sees and does: its parts, texts and buttons, messages to it and from it, and events in a figure.

The private hooks of Panel and Bokeh through which a browser and a page communicate are used in this file only.
"""

import json
from typing import Any

import panel as pn
from bokeh.models import Plot
from waiting import wait

from lab.app.buttons import Download, Press
from lab.app.session import Session
from lab.app.view import View
from lab.studies import Study


def settled(session: Session) -> Session:
    """The session, once nothing runs."""
    wait(lambda: not session.busy)
    return session


def opened(study: type[Study], **values: Any) -> Session:
    """The session of a page, after its first run."""
    session = Session(study(**values))
    session.start()
    return settled(session)


def work_off(turns: list[Any]) -> None:
    """Take the turns in which a page draws, and those that they add."""
    while turns:
        turns.pop(0)()


def shown(page: Any, kind: Any = pn.viewable.Viewable) -> list[Any]:
    """The visible parts of a page that are of this kind, in their order."""
    page = page.__panel__() if isinstance(page, pn.viewable.Viewer) else page
    if not page.visible:
        return []
    inside = [part for each in getattr(page, "objects", ()) for part in shown(each, kind)]
    return [page, *inside] if isinstance(page, kind) else inside


def state(view: View) -> dict[str, Any]:
    """What the browser draws a view from."""
    return json.loads(view.state)


def text(page: Any) -> str:
    """All visible text of a page, with its markup."""
    parts = shown(page, (pn.pane.HTML, View))
    return "\n".join(
        json.dumps(state(part), ensure_ascii=False) if isinstance(part, View) else part.object for part in parts
    )


def buttons(page: Any) -> dict[str, Any]:
    """The visible buttons of a page, by their labels."""
    parts = shown(page, (Press, Download))
    return {part.label if isinstance(part, Press) else state(part)["label"]: part for part in parts}


def send(view: View, message: Any) -> None:
    """Have a view receive a message of the browser."""
    view._handle_msg(message)


def sent(view: View) -> list[dict[str, Any]]:
    """The messages that a view sends to the browser from now on."""
    messages: list[dict[str, Any]] = []
    view._send_msg = messages.append
    return messages


def download(view: View, message: Any = None) -> dict[str, Any]:
    """Press a button that makes a file; gives the answer, with the name and the content of the file."""
    answers = sent(view)
    send(view, message or {})
    wait(lambda: answers)
    return answers[-1]


def figure_of(page: Any) -> Any:
    """The first figure of a page, which HoloViews draws now."""
    return page.get_root().select_one({"type": Plot})


def picture_of(page: Any) -> Any:
    """What the first picture of a page shows, as HoloViews has it."""
    return shown(page, pn.pane.HoloViews)[0].object[()]


def event(figure: Any, kind: Any, x: float, y: float) -> None:
    """Have a figure receive an event of the browser at a place."""
    figure._trigger_event(kind(figure, x=x, y=y))
