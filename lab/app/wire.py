"""What a browser may send over the socket of its page: messages to the parts of the page, and small changes of what is drawn.

Bokeh takes any change of any model, and a whole new document too. A server that others reach takes what a browser does when
a page is used: messages, the ranges of a picture, the points that somebody drags.
"""

import asyncio
import logging
from collections.abc import Mapping
from math import prod
from typing import Any

from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.server import urls
from panel.io.server import WSHandler

from . import limits
from .log_filter import brief

MESSAGE = 2 * 2**20  # bytes; uploads travel in parts of half as much
_SMALL = 4096  # characters, values and bytes of a change
_ITEM = 32  # of those, for each value of a column

_LEAVES = (1000, 1001)  # codes of a browser that closes a page; a connection that was lost has none

_log = logging.getLogger("lab.app")
_LOGS = (
    "tornado.access",
    "tornado.application",
    "tornado.general",
    "bokeh.server.views.ws",
    "bokeh.server.protocol_handler",
)


class Socket(WSHandler):
    """The end of a page's socket."""

    async def on_message(self, message: str | bytes) -> None:
        if self.connection is None:  # Bokeh would write the whole message into the log
            self._protocol_error("a message came before its session")
            return
        if wait := limits.sent.owe(limits.place(str(self.request.remote_ip)), len(message)):
            await asyncio.sleep(wait)  # nothing more is read from this socket meanwhile
        await super().on_message(message)

    def on_close(self) -> None:
        session = getattr(self.connection, "_session", None)
        super().on_close()
        if session is not None and self.close_code in _LEAVES:
            session.lab_closed = True

    async def _handle(self, message: Any) -> Any:
        connection = self.connection
        if connection is None or getattr(connection, "_session", connection) is None:  # the page was closed meanwhile
            return None
        if message.msgtype == "PUSH-DOC":
            self._protocol_error("a page is made by the server")
            return None
        if message.msgtype == "PATCH-DOC":
            document, buffers = connection.session.document, {b.id: len(b.data) for b in message.buffers}
            try:
                events = [event for event in message.content["events"] if allowed(document, event, buffers)]
            except (KeyError, TypeError, AttributeError, ValueError):
                self._protocol_error("that is no change of a page")
                return None
            if not events:
                return connection.ok(message)
            message.content["events"] = events
        return await super()._handle(message)


def install() -> None:
    """Have servers that are made from now on use ``Socket``, and log briefly what visitors send."""
    for name in _LOGS:
        logging.getLogger(name).addFilter(brief)
    urls.per_app_patterns[:] = [
        (entry[0], Socket) if entry[1] is WSHandler else entry for entry in urls.per_app_patterns
    ]


def allowed(document: Document, event: Mapping[str, Any], buffers: Mapping[str, int]) -> bool:
    """Whether a browser may make this change: of one property, small; or of the columns at hand, no longer than they are."""
    if event["kind"] == "MessageSent":
        return True
    if event["kind"] == "ModelChanged":
        model, attr, new = document.get_model_by_id(event["model"]["id"]), event["attr"], event["new"]
        if model is None:
            return False  # what the server has just taken off the page
        if isinstance(model, ColumnDataSource) and attr == "data":
            columns = dict(new["entries"])
            rows = {name: len(column) for name, column in model.data.items()}
            small = _is_small(new, buffers, _SMALL + _ITEM * sum(rows.values()))
            if small and columns.keys() <= rows.keys() and all(_rows(columns[name]) <= rows[name] for name in columns):
                return True
        elif _is_small(new, buffers, _SMALL):
            return True
    _log.warning("a page does not do this: %.40s of %.40s", event["kind"], event.get("attr"))
    return False


def _rows(column: Any) -> int:
    """The length of a column of plain values, be it a list or an array."""
    if isinstance(column, list):
        if any(isinstance(item, list) for item in column):
            raise ValueError
        return len(column)
    return prod(column["shape"])


def _is_small(value: Any, buffers: Mapping[str, int], most: int) -> bool:
    """Whether what JSON became has no more than ``most`` characters and values, and bytes of what goes beside it."""
    total, left = 0, [value]
    while left and total <= most:
        part = left.pop()
        total += 1
        if isinstance(part, str):
            total += buffers.get(part, len(part))  # the name of a buffer stands for it
        elif isinstance(part, Mapping):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            if len(part) > most:
                return False
            left += part
    return total <= most
