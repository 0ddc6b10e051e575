"""Many open pages: how long a redraw takes while others sweep and compile, and what it costs in memory.

    python -m benchmarks.soak pages [--minutes 20] [--pages 100]

Visitors speak to a server of their own over its websocket, as a browser does, for a hundred browsers would be what is
measured. Five move a slider, one sweeps, one asks for sizes that were never compiled; the other pages are open. The
clock of a redraw starts when a slider's message is sent and stops when the data of a picture come.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

SERVE = """
import sys
from lab.home import start
start()
from lab import app
app.serve(port=int(sys.argv[1]), warm=sys.argv[2:] == ["warm"])
"""
EMPTY: Mapping[str, bytes] = {}
SLIDERS = (("sparse-ot?data=one-bump-to-two&k=2", "k", "2", "3"), ("sparse-ot?k=4", "gamma", "0.1", "0.12"))
_SLIDE = 5  # visitors who move a slider
_THINKS = 0.5  # seconds between two moves of a slider
_LOST = 120.0  # seconds after which a redraw is given up
_ENDS = 60.0  # seconds in which a server forgets the pages that were closed


class Page:
    """One open page, as a browser sees it."""

    def __init__(self, socket: Any):
        self._socket = socket
        self.views: dict[str, str] = {}  # name of a part -> the id of its model
        self.states: dict[str, dict[str, Any]] = {}  # name of a part -> what it shows
        self.pictures = 0
        self.last = 0.0  # when the last of them came
        self.says = ""  # of its run
        self._heads: list[str] = []  # the cards of the page, from above
        self._holders: dict[str, str] = {}  # id of the model that holds a state -> name of its part
        self._came = asyncio.Event()
        self._sending = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, path: str) -> "Page":
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/{path}", request_timeout=_LOST)
        token = re.search(r'"token":\s*"([^"]+)"', answer.body.decode())
        assert token is not None, "the page has no token"
        address = f"ws://127.0.0.1:{port}/{path.partition('?')[0]}/ws"
        socket = await websocket_connect(address, subprotocols=["bokeh", token[1]], max_message_size=2**28)
        for _ in range(3):  # the server says that it is ready
            await socket.read_message()
        page = cls(socket)
        await page._send("PULL-DOC-REQ", {})
        await page._event("document_ready", {})  # HoloViews swaps no data before
        return page

    async def close(self) -> None:
        self._reader.cancel()
        self._socket.close(1001)  # as a browser that goes away

    async def tell(self, view: str, **message: Any) -> None:
        """What the script of a part sends; bytes travel beside it."""
        buffers = {name: value for name, value in message.items() if isinstance(value, bytes)}
        message |= {name: {"type": "bytes", "data": {"id": name}} for name in buffers}
        data = {"type": "map", "entries": list(map(list, message.items()))}
        await self._event("data_event", {"model": {"id": self.views[view]}, "data": data}, buffers)

    async def look(self, cards: int) -> None:
        """Have so many cards in sight, from above."""
        for head in self._heads[:cards]:
            seen = {"kind": "ModelChanged", "model": {"id": head}, "attr": "seen", "new": True}
            await self._send("PATCH-DOC", {"events": [seen]})

    async def redraw(self, name: str, text: str) -> float:
        """Seconds from the move of a slider to the next picture; infinite if none comes."""
        self._came.clear()
        began = time.perf_counter()
        await self.tell("Controls", name=name, text=text)
        try:
            await asyncio.wait_for(self._came.wait(), _LOST)
        except TimeoutError:
            return float("inf")
        return time.perf_counter() - began

    async def drawn(self) -> None:
        """Wait for the first picture."""
        until = time.monotonic() + _LOST
        while not self.pictures or "Controls" not in self.views:
            if self._reader.done():
                self._reader.result()
                raise SystemExit("the server closed a page")
            if time.monotonic() > until:
                raise SystemExit(f"a page did not come in {_LOST:g} s; it says: {self.says}")
            await asyncio.sleep(0.05)

    async def _event(self, name: str, values: dict[str, Any], buffers: Mapping[str, bytes] = EMPTY) -> None:
        event = {"type": "event", "name": name, "values": {"type": "map", "entries": list(map(list, values.items()))}}
        sent = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}
        await self._send("PATCH-DOC", {"events": [sent]}, buffers)

    async def _send(self, kind: str, content: Any, buffers: Mapping[str, bytes] = EMPTY) -> None:
        header = {"msgid": f"{id(self)}-{time.perf_counter_ns()}", "msgtype": kind}
        async with self._sending:  # the parts of one message stay together
            for part in (header | ({"num_buffers": len(buffers)} if buffers else {}), {}, content):
                await self._socket.write_message(json.dumps(part))
            for name, payload in buffers.items():
                await self._socket.write_message(json.dumps({"id": name}))
                await self._socket.write_message(payload, binary=True)

    async def _read(self) -> None:
        while (frame := await self._socket.read_message()) is not None:
            if isinstance(frame, bytes) or not ('"events"' in frame[:20] or '"doc"' in frame[:20]):
                continue
            content = json.loads(frame)
            for model in _models(content):
                if "class_name" in model["attributes"]:
                    name = model["attributes"]["class_name"]
                    self.views[name] = model["id"]
                    held = model["attributes"].get("data", {})
                    self._holders[held.get("id", "")] = name
                    if name == "Head":
                        self._heads.append(held["id"])
                    self.states[name] = json.loads(held.get("attributes", {}).get("state", "{}"))
            for event in content.get("events", ()):
                if event.get("attr") == "state":
                    state = json.loads(event["new"])
                    self.states[self._holders.get(event["model"]["id"], "")] = state
                    if "part" in state:
                        self.says = state.get("text", self.says)
            if any(map(_is_picture, content.get("events", [content]))):
                self.pictures += 1
                self.last = time.monotonic()
                self._came.set()


def _is_picture(event: dict[str, Any]) -> bool:
    """The data of a source, or a figure that was built anew."""
    return (
        event.get("kind") in ("ColumnDataChanged", "ColumnsStreamed")
        or event.get("attr") == "data"
        or any(model["name"] == "Figure" for model in _models(event))
    )


def _models(tree: Any) -> Iterator[dict[str, Any]]:
    """All models that are spelled out in a message."""
    if isinstance(tree, dict):
        if "attributes" in tree and "id" in tree:
            yield tree
        for value in tree.values():
            yield from _models(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _models(value)


async def _slide(page: Page, number: int, until: float, spent: list[float], slow: list[tuple[float, float]]) -> None:
    _, name, *texts = SLIDERS[number % len(SLIDERS)]
    for turn in count():
        await asyncio.sleep(_THINKS)
        if time.monotonic() > until:
            return
        spent.append(await page.redraw(name, texts[(turn + 1) % 2]))
        slow.append((spent[-1], until - time.monotonic()))


async def _compile(page: Page, until: float, spent: list[float]) -> None:
    """Sizes that nobody had before, one after the other."""
    for n in count(33):
        await asyncio.sleep(_THINKS)
        if time.monotonic() > until:
            return
        spent.append(await page.redraw("n", str(n)))


async def _sweep(page: Page, until: float) -> None:
    """Other values each time, so that the store holds none of them."""
    await page.tell("Tabs", tab="sweep")
    for turn in count():
        await asyncio.sleep(4.0)
        if time.monotonic() > until:
            return
        if "SweepForm" in page.views:
            await page.tell("SweepForm", name="gamma", text=f"{0.01 + 0.001 * turn:g}:1:log60")
            await asyncio.sleep(4.0)
            await page.tell("SweepForm", run=True)


def _memory(process: int) -> float:
    """MiB that a process holds."""
    told = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", told)[1]) / 1024  # type: ignore[index]


async def _soak(port: int, process: int, minutes: float, pages: int) -> None:
    memory = {"before": _memory(process)}
    paths = [SLIDERS[number % len(SLIDERS)][0] for number in range(_SLIDE)] + [
        "sparse-ot?data=one-bump-to-two",
        "sparse-ot",
    ]
    opened = [await Page.open(port, path) for path in [*paths, *[paths[0]] * (pages - len(paths))]]
    for page in opened:
        await page.drawn()
    memory["all open"] = _memory(process)
    until = time.monotonic() + 60 * minutes
    spent: list[float] = []
    compiled: list[float] = []
    slow: list[tuple[float, float]] = []  # a redraw, and how long before the end
    work = [_slide(page, number, until, spent, slow) for number, page in enumerate(opened[:_SLIDE])]
    work += [_sweep(opened[_SLIDE], until), _compile(opened[_SLIDE + 1], until, compiled)]
    tasks = [asyncio.create_task(each) for each in work]
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=5.0)
        memory["most"] = max(memory.get("most", 0.0), _memory(process))
    for task in tasks:
        task.result()
    for page in opened:
        await page.close()
    print(f"{pages} pages open, {minutes:g} minutes")
    print(told("redraw", spent))
    worst = sorted(slow, reverse=True)[:8]
    print("  the slowest: " + ", ".join(f"{took:.1f} s at minute {minutes - left / 60:.1f}" for took, left in worst))
    print(told("first picture of a new size", compiled))
    await asyncio.sleep(_ENDS)
    memory["after"] = _memory(process)
    print("memory, MiB: " + ", ".join(f"{when} {size:,.0f}" for when, size in memory.items()))


def told(what: str, spent: Sequence[float]) -> str:
    if not spent:
        return f"{what}: none"
    p90 = sorted(spent)[int(0.9 * len(spent))]
    return f"{what}: {len(spent)}, p50 {statistics.median(spent):.3f} s, p90 {p90:.3f} s, most {max(spent):.3f} s"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--pages", type=int, default=100)


@contextmanager
def serving(warm: bool = False) -> Iterator[tuple[int, int, Callable[[], list[str]]]]:
    """A server with a store and a cache of its own, both empty: its port, its process, and what gives the errors in its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        apart = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        command = [sys.executable, "-c", SERVE, str(port), *["warm"] * warm]
        with log.open("w") as out:
            server = subprocess.Popen(command, stdout=out, stderr=out, env=apart | {"LAB_HOME": folder})
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if server.poll() is not None:
                    raise SystemExit(f"the server ended before it answered: {log.read_text()}")
                time.sleep(0.1)
            yield port, server.pid, lambda: _errors(log.read_text())
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _errors(log: str) -> list[str]:
    wrong = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*|^.*\bERROR\b.*", log, re.MULTILINE)
    print(f"errors in the log: {len(wrong)}")
    for line in sorted(set(wrong))[:10]:
        print(f"  {line[:200]}")
    return wrong


def main(given: argparse.Namespace) -> int:
    with serving() as (port, process, errors):
        asyncio.run(_soak(port, process, given.minutes, given.pages))
        return len(errors())
