"""The built site in headless Chromium: ``python -m docs.make.look [FOLDER]``, which keeps pictures of pages there.

Pages of every kind are opened at three widths in both tones. What they ask of other machines, errors on the console, and what
is wider than the window are told, and make the exit status 1.
"""

import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from .pages import ROOT

PAGES = (
    "index", "tour", "which-method", "teach", "how-to/own-data", "studies/index", "studies/sparse-ot", "studies/monge-gap",
    "notebooks/sweeps", "reference/ot", "limits", "benchmarks", "house", "bibliography",
)  # fmt: skip
WIDTHS = (1440, 800, 390)
TONES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def look(site: Path, folder: Path | None, pages: tuple[str, ...] = PAGES) -> list[str]:
    """What is wrong, a sentence each; with pictures of the pages in ``folder``."""
    from playwright.sync_api import sync_playwright

    wrong: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"http://127.0.0.1:{server.server_port}"
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for width in WIDTHS:
            for tone in TONES:
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=tone)
                here = [""]
                said = lambda what, here=here: wrong.append(f"{here[0]}: {what}")  # noqa: E731
                page.on("console", lambda m, said=said: said(m.text) if m.type == "error" else None)
                page.on("pageerror", lambda error, said=said: said(str(error)))
                page.on("requestfailed", lambda request, said=said: said(f"failed: {request.url}"))
                page.on(
                    "request", lambda request, said=said: said(f"asks {request.url}") if _outside(request.url) else None
                )
                for name in pages:
                    here[0] = f"{name} at {width} px, {tone}"
                    page.goto(f"{at}/{name}.html")
                    _settle(page)
                    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                        said(f"{wide} px wide")
                    if folder:
                        page.screenshot(path=folder / f"{name.replace('/', '-')}-{width}-{tone}.png")
                page.close()
        browser.close()
    server.shutdown()
    return wrong


def _settle(page: Any) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "!document.querySelector('.arithmatex') || document.documentElement.dataset.formulas == 'set'"
    )


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"


def main() -> int:
    """Look at the site that ``make docs`` built."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    wrong = look(ROOT / "site", folder)
    print("\n".join(wrong) or f"{len(PAGES)} pages at {len(WIDTHS)} widths in {len(TONES)} tones: nothing wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
