"""A page of ours in headless Chromium, and everything it asked for or complained of."""

import logging
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from waiting import LIMIT, wait

from lab.app import theme, wire


@dataclass
class Log:
    """What the browser asked other machines for, and what went wrong."""

    outside: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def open_page(app: Callable[[], Any], width: int = 1440, scheme: str = "light") -> Iterator[tuple[Any, Log]]:
    """Serve what ``app`` makes, open it; gives the playwright page and the log."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def made() -> Any:
        return theme.column(app(), css=theme.host_css(), css_classes=[scheme])

    wire.install()
    server = pn.serve(made, port=port, address="127.0.0.1", show=False, threaded=True)
    log, said = Log(), logging.Handler(logging.WARNING)
    said.emit = lambda record: log.wrong.append(record.getMessage())
    logging.getLogger("lab.app").addHandler(said)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.set_default_timeout(1000 * LIMIT)
            page.on("request", lambda request: _note(request.url, log))
            page.on("requestfailed", lambda request: log.wrong.append(f"failed: {request.url}"))
            page.on("console", lambda m: log.wrong.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: log.wrong.append(str(error)))
            wait(lambda: _listens(port))
            page.goto(f"http://127.0.0.1:{port}/")
            yield page, log
            browser.close()
    finally:
        logging.getLogger("lab.app").removeHandler(said)
        server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _note(url: str, log: Log) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        log.outside.append(url)
