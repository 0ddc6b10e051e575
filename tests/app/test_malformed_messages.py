"""Every handler of a page, with messages that no page sends, over a real socket: the page goes on, and so do others."""

import asyncio
import inspect
import re
from itertools import product
from typing import Any

import numpy as np
import pytest

from benchmarks.soak.pages import Page
from lab import app  # noqa: F401  # defines all views
from lab.app.view import View

PATH = "gradual?data=gaussians-2d"
DEEP: Any = 1
for _ in range(200):
    DEEP = [DEEP]
NOT_A_NUMBER = {"type": "number", "value": "nan"}
WRONG = (
    None,
    True,
    -1,
    10**30,
    1e308,
    NOT_A_NUMBER,
    "",
    "x" * 10_000,
    "../../etc/passwd",
    [],
    [None],
    {"type": "map"},
    DEEP,
)


def _views(kind: type[View] = View) -> dict[str, type[View]]:
    found = {kind.__name__: kind}
    for each in kind.__subclasses__():
        found |= _views(each)
    return found


def _keys(kind: type[View]) -> set[str]:
    """The parts of a message that the handlers of a view read."""
    source = "".join(inspect.getsource(each) for each in kind.__mro__ if issubclass(each, View))
    return {
        *re.findall(r'message(?:\.get\(|\.pop\(|\[)"(\w+)"', source),
        *re.findall(r'"(\w+)" (?:not )?in message', source),
    }


def _messages(name: str) -> list[Any]:
    kind = _views().get(name)
    keys = sorted(_keys(kind)) if kind else []
    some = [{"type": "map", "entries": [[key, value]]} for key, value in product(keys, WRONG)]
    all_at_once = [{"type": "map", "entries": [[key, value] for key in keys]} for value in WRONG]
    return [*WRONG, {"type": "map", "entries": [["unknown", 1]]}, *some, *all_at_once]


async def _attack(port: int) -> tuple[int, list[float]]:
    page, other = [await Page.open(port, PATH) for _ in range(2)]
    await asyncio.gather(page.drawn(), other.drawn())
    sent = 0
    for name in sorted(page.views):
        for data in _messages(name):
            await page._event("data_event", {"model": {"id": page.views[name]}, "data": data})
            sent += 1
    again = await Page.open(port, PATH)
    await again.drawn()
    took = [await each.redraw("gamma", text) for each, text in ((other, "0.2"), (again, "0.3"), (page, "0.4"))]
    for each in (page, other, again):
        await each.close()
    return sent, took


@pytest.mark.slow
def test_what_no_page_sends_is_refused_and_all_pages_go_on(process):
    sent, took = asyncio.run(_attack(int(process.args[-1])))
    process.kill()
    log = process.stderr.read()
    assert sent > 500
    assert np.isfinite(took).all()
    assert "Traceback" not in log
    assert max(map(len, log.splitlines()), default=0) < 300
