"""From a key press to the redrawn picture: milliseconds and bytes, in headless Chromium against a warm server.

    python -m benchmarks.page_latency [--presses 20] [--cases k-32 click ...]

For each case one slider is moved to and fro by one step, or one pixel after the other is clicked in the first picture. The
clock starts at the event and stops when the canvas of that picture has other pixels, looked at once per animation frame.
Bytes are all that came over the socket until the page was quiet again. The server starts with an empty store and without
the precomputed results.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.report import Report, options

SERVE = (
    "import sys; from lab.home import start; start(); from lab import app; app.serve(port=int(sys.argv[1]), warm=False)"
)
CASES = {  # the title, the page and its slider; without a slider, a pixel is clicked
    "k-32": ("k, n = 32, one bump to two", "/sparse-ot?data=one-bump-to-two&k=2", "k"),
    "gamma-32": ("gamma, n = 32, one bump to two", "/sparse-ot?data=one-bump-to-two&k=2", "gamma"),
    "k-64": ("k, n = 64, colors of photographs", "/sparse-ot?k=4", "k"),
    "k-256": ("k, n = 256, colors of photographs", "/sparse-ot?n=256&k=2", "k"),
    "gamma-256": ("gamma, n = 256, colors of photographs", "/sparse-ot?n=256&k=2", "gamma"),
    "click": ("a pixel, MNIST at half size", "/locality-denoisers", ""),
}
# The status of a page that has computed: the seconds of the computation.
DONE = re.compile(r"(?:Done in|From the store; it took) ([0-9.]+) (ms|s|min)")
# Finds an element inside shadow roots too.
DEEP = """
  const deep = (root, sought) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.matches(sought)) return element
      const inner = element.shadowRoot && deep(element.shadowRoot, sought)
      if (inner) return inner
    }
  }
  // whether the pixels of a canvas are others now; to encode them as a picture would take longer than many a frame
  const watched = (canvas) => {
    const context = canvas.getContext("2d")
    const pixels = () => new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)
    const before = pixels()
    return () => {
      const now = pixels()
      for (let at = 0; at < now.length; at++) if (now[at] !== before[at]) return true
      return false
    }
  }
"""
# Presses the key from inside the page, so that the driver's round trip is not in the number.
PRESS = (
    "([name, step]) => new Promise((resolve) => {"
    + DEEP
    + """
  const slider = deep(document, `input[type=range][name=${name}]`)
  const canvas = deep(deep(document, ".bk-Figure").shadowRoot ?? deep(document, ".bk-Figure"), "canvas")
  const changed = watched(canvas), began = performance.now()
  slider.value = Number(slider.value) + step
  slider.dispatchEvent(new Event("input", {bubbles: true}))
  slider.dispatchEvent(new Event("change", {bubbles: true}))
  const look = () => {
    const spent = performance.now() - began
    if (changed() || spent > 10000) resolve(spent)
    else requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
})"""
)

# The same for a click, of which the driver sends the events: the clock starts when the button goes up.
ARM = (
    "() => {"
    + DEEP
    + """
  const figure = deep(document, ".bk-Figure"), canvas = deep(figure.shadowRoot ?? figure, "canvas")
  const changed = watched(canvas)
  window.spent = null
  document.addEventListener("pointerup", () => {
    const began = performance.now()
    const look = () => {
      const spent = performance.now() - began
      if (changed() || spent > 10000) window.spent = spent
      else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  }, {capture: true, once: true})
  const box = canvas.getBoundingClientRect()
  return [box.x, box.y, box.width, box.height]
}"""
)


def chromium() -> str:
    """The path of Chromium."""
    named = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    found = os.environ.get("CHROMIUM") or next(filter(None, named), None)
    if found is None:
        raise SystemExit("there is no Chromium here: install it, or name one in the environment variable CHROMIUM")
    return found


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server of its own, with an empty store and without the precomputed results."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        more = {"LAB_HOME": home, "LAB_RESULTS": ""}
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], env=os.environ | more)
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if server.poll() is not None:
                    raise SystemExit("the server ended before it answered")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, presses=20, cases=tuple(CASES))
    if unknown := [name for name in given.cases if name not in CASES]:
        raise SystemExit(f"--cases {' '.join(unknown)} is not allowed: choose from {', '.join(CASES)}")
    from playwright.sync_api import sync_playwright

    report = Report("page_latency", given)
    with serving() as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        print(f"{'case':40} {'p50 ms':>8} {'p90 ms':>8} {'solve ms':>9} {'kB':>7}")
        for name in given.cases:
            title, path, slider = CASES[name]
            act = partial(slide, slider) if slider else click
            spent, solve, size = measure(browser, server + path, act, given.presses)
            p90 = sorted(spent)[int(0.9 * len(spent))]
            median = statistics.median(spent)
            print(f"{title:40} {median:8.0f} {p90:8.0f} {solve:9.0f} {size / 1e3:7.0f}", flush=True)
            report.row({"case": name}, {"lab": median / 1e3}, p90=p90 / 1e3, solve=solve / 1e3, bytes=size)
        browser.close()
    return report.end()


def slide(slider: str, page, press: int) -> float:
    """Milliseconds from a step of the slider, to and fro."""
    return page.evaluate(PRESS, [slider, 1 if press % 2 == 0 else -1])


def click(page, press: int) -> float:
    """Milliseconds from a click on a pixel of the first image: other ones in turn."""
    x, y, width, height = page.evaluate(ARM)
    page.mouse.move(x + width * (0.285 + 0.02 * (press % 5)), y + height * (0.5 + 0.05 * (press % 4)))
    page.wait_for_timeout(300)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("window.spent !== null", timeout=15_000)
    return page.evaluate("window.spent")


def measure(browser, address: str, act: Callable[[Any, int], float], presses: int) -> tuple[list[float], float, float]:
    """Milliseconds of each press, and medians of the milliseconds of its computation and of the bytes sent."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, received = context.new_page(), []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: received.append(len(frame))))
    page.goto(address)

    def settle() -> None:
        page.wait_for_function(
            "() => { const all = (v) => [v, ...[...v.children()].flatMap(all)]; "
            "return [...Bokeh.index].flatMap(all).some(v => v.model.type === 'Figure') }",
            timeout=120_000,
        )
        page.locator(".row [role=status]", has_text=DONE).wait_for(timeout=120_000)
        heard = -1
        while heard != len(received):  # until all that was drawn has come
            heard = len(received)
            page.wait_for_timeout(250)
        while page.locator(".track[data-on]").count():  # sweeps in the background
            page.wait_for_timeout(500)

    page.wait_for_timeout(3000)
    settle()
    spent, sizes, solves = [], [], []
    for press in range(presses):
        before = len(received)
        spent.append(act(page, press))
        page.wait_for_timeout(100)
        settle()
        sizes.append(sum(received[before:]))
        solves.append(page.locator(".row [role=status]").text_content())
    context.close()
    return spent, statistics.median(milliseconds(text) for text in solves), statistics.median(sizes)


def milliseconds(status: str) -> float:
    """The run time in ``Done in 12 ms``."""
    number, unit = DONE.match(status).groups()
    return float(number) * {"ms": 1, "s": 1e3, "min": 6e4}[unit]


if __name__ == "__main__":
    main()
