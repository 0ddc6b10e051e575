"""What a browser may send over the socket of its page: messages to the parts of the page, and small changes of what is drawn.

Bokeh takes any change of any model, and a whole new document too. A server that others reach takes what a browser does when
a page is used: messages, the ranges of a picture, the points that somebody drags.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from typing import Any

from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.server import urls
from panel.io.server import WSHandler

from . import limits

MESSAGE = 2 * 2**20  # bytes; uploads travel in parts of half as much
_SMALL = 4096  # characters and values of a change
_BURST, _RATE = 16 * 2**20, 4 * 2**20  # bytes, and bytes a second, of one visitor of a server that others reach

_log = logging.getLogger("lab.app")
_sent = limits.Allowance(_BURST, _BURST / _RATE)  # bytes, by address


class Socket(WSHandler):
    """The end of a page's socket."""

    async def on_message(self, message: str | bytes) -> None:
        if self.connection is None:  # Bokeh would write the whole message into the log
            self._protocol_error("a message came before its session")
            return
        if wait := _owed(limits.place(str(self.request.remote_ip)), len(message)):
            await asyncio.sleep(wait)  # nothing more is read from this socket meanwhile
        await super().on_message(message)

    async def _handle(self, message: Any) -> Any:
        assert self.connection is not None
        if message.msgtype == "PUSH-DOC":
            self._protocol_error("a page is made by the server")
            return None
        if message.msgtype == "PATCH-DOC":
            document, buffers = self.connection.session.document, {b.id: len(b.data) for b in message.buffers}
            events = []
            for event in message.content["events"]:
                if allowed(document, event, buffers):
                    events.append(event)
                elif not _gone(document, event):
                    _log.warning("a page does not do this: %.40s of %.40s", event.get("kind"), event.get("attr"))
            if not events:
                return self.connection.ok(message)
            message.content["events"] = events
        return await super()._handle(message)


def install() -> None:
    """Have servers that are made from now on use ``Socket``."""
    urls.per_app_patterns[:] = [
        (entry[0], Socket) if entry[1] is WSHandler else entry for entry in urls.per_app_patterns
    ]


def allowed(document: Document, event: Mapping[str, Any], buffers: Mapping[str, int]) -> bool:
    """Whether a browser may make this change: of one property, small; or of the columns at hand, no longer than they are."""
    if event.get("kind") == "MessageSent":
        return True
    if event.get("kind") != "ModelChanged":
        return False
    model = document.get_model_by_id(event["model"]["id"])
    most = _SMALL
    if isinstance(model, ColumnDataSource) and event["attr"] == "data":
        most += 32 * sum(map(len, model.data.values()))  # characters or bytes of a number
    return model is not None and _weight(event["new"], buffers, most) <= most


def _gone(document: Document, event: Mapping[str, Any]) -> bool:
    """Whether the browser tells of what the server has just taken off the page."""
    return event.get("kind") == "ModelChanged" and document.get_model_by_id(event["model"]["id"]) is None


def _weight(value: Any, buffers: Mapping[str, int], most: int) -> int:
    """Characters and values in what JSON became, bytes of what goes beside it; counting ends above ``most``."""
    total, left = 0, [value]
    while left and total <= most:
        part = left.pop()
        total += 1
        if isinstance(part, str):
            total += buffers.get(part, len(part))  # the name of a buffer stands for it
        elif isinstance(part, Mapping):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            left += part
            total += max(0, len(part) - most)
    return total


def _owed(who: str, size: int) -> float:
    """Seconds that a visitor has to wait for having sent so much."""
    if math.isinf(limits.present.seconds):  # only this machine can reach the server
        return 0.0
    return max(0.0, -_sent.take(who, size) / _RATE)
