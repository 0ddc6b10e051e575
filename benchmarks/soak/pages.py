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
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

SERVE = "import sys; from lab.home import start; start(); from lab import app; app.serve(port=int(sys.argv[1]))"
SLIDERS = (("sparse-ot?data=one-bump-to-two&k=2", "k", "2", "3"), ("sparse-ot?k=4", "gamma", "0.1", "0.12"))
_THINKS = 0.5  # seconds between two moves of a slider
_LOST = 120.0  # seconds after which a redraw is given up
_ENDS = 60.0  # seconds in which a server forgets the pages that were closed


class Page:
    """One open page, as a browser sees it."""

    def __init__(self, socket: Any):
        self._socket = socket
        self.views: dict[str, str] = {}  # name of a part -> the id of its model
        self.pictures = self.patches = 0
        self._came = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, path: str) -> "Page":
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/{path}", request_timeout=_LOST)
        token = re.search(r'"token":\s*"([^"]+)"', answer.body.decode())
        assert token is not None, "the page has no token"
        address = f"ws://127.0.0.1:{port}/{path.partition('?')[0]}/ws"
        page = cls(await websocket_connect(address, subprotocols=["bokeh", token[1]], max_message_size=2**28))
        await page._send("PULL-DOC-REQ", {})
        return page

    async def close(self) -> None:
        self._reader.cancel()
        self._socket.close()

    async def tell(self, view: str, **message: Any) -> None:
        """What the script of a part sends."""
        data = {"type": "map", "entries": list(map(list, message.items()))}
        values = {"type": "map", "entries": [["model", {"id": self.views[view]}], ["data", data]]}
        event = {"type": "event", "name": "data_event", "values": values}
        sent = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}
        await self._send("PATCH-DOC", {"events": [sent]})

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
        async with asyncio.timeout(_LOST):
            while not self.pictures or "Controls" not in self.views:
                await asyncio.sleep(0.05)

    async def _send(self, kind: str, content: Any) -> None:
        header = {"msgid": f"{id(self)}-{time.perf_counter_ns()}", "msgtype": kind}
        for part in (header, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _read(self) -> None:
        while (frame := await self._socket.read_message()) is not None:
            if isinstance(frame, bytes) or not ('"events"' in frame[:20] or '"doc"' in frame[:20]):
                continue
            content = json.loads(frame)
            for model in _models(content):
                if "class_name" in model["attributes"]:
                    self.views[model["attributes"]["class_name"]] = model["id"]
            self.patches += 1
            if any(map(_is_picture, content.get("events", [content]))):
                self.pictures += 1
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


async def _slide(port: int, number: int, until: float, spent: list[float]) -> None:
    path, name, *texts = SLIDERS[number % len(SLIDERS)]
    page = await Page.open(port, path)
    await page.drawn()
    for turn in count():
        if time.monotonic() > until:
            return
        await asyncio.sleep(_THINKS)
        spent.append(await page.redraw(name, texts[(turn + 1) % 2]))


async def _compile(port: int, until: float, spent: list[float]) -> None:
    """Sizes that nobody had before, one after the other."""
    page = await Page.open(port, "sparse-ot")
    await page.drawn()
    for n in count(33):
        if time.monotonic() > until:
            return
        await asyncio.sleep(_THINKS)
        spent.append(await page.redraw("n", str(n)))


async def _sweep(port: int, until: float) -> None:
    """Other values each time, so that the store holds none of them."""
    page = await Page.open(port, "sparse-ot?data=one-bump-to-two")
    await page.drawn()
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
    opened = [await Page.open(port, "sparse-ot?data=one-bump-to-two&k=2") for _ in range(pages)]
    for page in opened:
        await page.drawn()
    memory["all open"] = _memory(process)
    until = time.monotonic() + 60 * minutes
    spent: list[float] = []
    compiled: list[float] = []
    work = [_slide(port, number, until, spent) for number in range(5)]
    others = [_sweep(port, until), _compile(port, until, compiled)]
    tasks = [asyncio.create_task(each) for each in (*work, *others)]
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=5.0)
        memory["most"] = max(memory.get("most", 0.0), _memory(process))
    for task in tasks:
        task.result()
    for page in opened:
        await page.close()
    print(f"{pages} pages open, {minutes:g} minutes")
    print(_told("redraw of five sliders", spent))
    print(_told("first picture of a new size", compiled))
    await asyncio.sleep(_ENDS)
    memory["after"] = _memory(process)
    print("memory, MiB: " + ", ".join(f"{when} {size:,.0f}" for when, size in memory.items()))


def _told(what: str, spent: Sequence[float]) -> str:
    if not spent:
        return f"{what}: none"
    p90 = sorted(spent)[int(0.9 * len(spent))]
    return f"{what}: {len(spent)}, p50 {statistics.median(spent):.3f} s, p90 {p90:.3f} s, most {max(spent):.3f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak pages", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--pages", type=int, default=100)
    given = parser.parse_args(arguments)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        # a store and a cache of their own, both empty: what is compiled is compiled now
        apart = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        with log.open("w") as out:
            server = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(port)], stdout=out, stderr=out, env=apart | {"LAB_HOME": folder}
            )
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if server.poll() is not None:
                    raise SystemExit(f"the server ended before it answered: {log.read_text()}")
                time.sleep(0.1)
            asyncio.run(_soak(port, server.pid, given.minutes, given.pages))
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        told = log.read_text()
        wrong = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*|^.*\bERROR\b.*", told, re.MULTILINE)
        print(f"errors in the log: {len(wrong)}")
        for line in sorted(set(wrong))[:10]:
            print(f"  {line[:200]}")


if __name__ == "__main__":
    main()
