"""Garbage is looked for where no page waits for it.

To look through all objects stops every page: for a second where sixty are open, in the middle of a redraw if Python chooses
the moment. So what a look through all of them found in use is left out of the next ones, until nothing runs, no page was just
opened, and pages that were closed have left something, or there is too much.
"""

import gc
from typing import Any

import panel as pn
from panel.io.server import Server
from tornado.ioloop import PeriodicCallback

from lab import memory

from .calm import calm

_QUIET, _OPENING = 3.0, 8.0  # seconds since a run, and since a page was opened, which is then drawn
_LOOKS = 20  # looks at what is young before one at all that is new: of ten times as many it takes three seconds
_CLOSED = 50  # pages that were closed, whose garbage no longer waits for a quiet moment
_FEW = 10  # the same where there is too much
_IDLE = 30.0  # seconds after which a program may go
_most = memory.served()  # bytes; above, programs and what else can be made again are given up
_closed = 0


def look_where_nothing_waits(server: Server, most: int | None = None) -> None:
    """Have it so in this process, which serves.

    Args:
        most: bytes above which what can be made again is given up: programs that nobody used for a while at once, all else
            when nothing runs; ``memory.served()`` when left out.
    """
    global _most
    _most = _most if most is None else most
    gc.callbacks.append(_leave_out)
    gc.set_threshold(*gc.get_threshold()[:2], _LOOKS)
    gc.freeze()
    pn.state.on_session_destroyed(_count)
    for call, every in ((_tidy, 1000), (_shed, 3000)):
        server.io_loop.add_callback(PeriodicCallback(call, every).start)


def bound() -> int:
    """Bytes that this process keeps to, where nothing runs."""
    return _most


def _leave_out(phase: str, told: dict[str, Any]) -> None:
    if phase == "stop" and told["generation"] == 2:
        gc.freeze()


def _count(context: Any) -> None:
    global _closed
    _closed += 1


def _tidy() -> None:
    global _most, _closed
    if gc.get_count()[2] and calm(_QUIET, _OPENING):
        if not _closed and memory.resident() <= _most:
            gc.collect()  # what is new
            return
        _closed = 0
        _most = max(_most, 5 * memory.release(_most) // 4)  # pages that are open may hold more than programs do
    elif _closed >= (_FEW if memory.resident() > _most else _CLOSED):
        _closed = 0
        memory.collect()


def _shed() -> None:
    if memory.resident() > _most:
        memory.shed(_IDLE)
