"""From a key press to the redrawn picture: milliseconds and bytes, in headless Chromium against a warm server.

    python benchmarks/page_latency.py [--presses 20]

For each case one slider is moved to and fro by one step, or one pixel after the other is clicked in the first picture. The
clock starts at the event and stops when the canvas of that picture has other pixels, looked at once per animation frame.
Bytes are all that came over the socket until the page was quiet again.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

SERVE = (
    "import sys; from lab.home import start; start(); from lab import app; app.serve(port=int(sys.argv[1]), warm=False)"
)
CASES = (
    ("k, n = 32, one bump to two", "/sparse-ot?data=one-bump-to-two&k=2", "k"),
    ("gamma, n = 32, one bump to two", "/sparse-ot?data=one-bump-to-two&k=2", "gamma"),
    ("k, n = 64, colours of photographs", "/sparse-ot?k=4", "k"),
    ("k, n = 256, colours of photographs", "/sparse-ot?n=256&k=2", "k"),
    ("gamma, n = 256, colours of photographs", "/sparse-ot?n=256&k=2", "gamma"),
)
CLICKED = ("a pixel, MNIST at half size", "/locality-denoisers")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presses", type=int, default=20)
    presses = parser.parse_args().presses
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(port)])
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if server.poll() is not None:
                raise SystemExit("the server ended before it answered")
            time.sleep(0.1)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            print(f"{'case':40} {'p50 ms':>8} {'p90 ms':>8} {'solve ms':>9} {'kB':>7}")
            for title, path, slider in CASES:
                press = partial(slide, slider)
                print(measure(browser, f"http://127.0.0.1:{port}{path}", title, press, presses), flush=True)
            title, path = CLICKED
            print(measure(browser, f"http://127.0.0.1:{port}{path}", title, click, presses), flush=True)
            browser.close()
    finally:
        server.kill()


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


def measure(browser, address: str, title: str, act: Callable[[Any, int], float], presses: int) -> str:
    """One line of the table."""
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
        page.locator(".row [role=status]", has_text="Done").wait_for(timeout=120_000)
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
    solve = statistics.median(milliseconds(text) for text in solves)
    p90 = sorted(spent)[int(0.9 * len(spent))]
    return f"{title:40} {statistics.median(spent):8.0f} {p90:8.0f} {solve:9.0f} {statistics.median(sizes) / 1e3:7.0f}"


def milliseconds(text: str) -> float:
    """The run time in ``Done in 12 ms``."""
    number, unit = text.removeprefix("Done in ").split(" ")[:2]
    return float(number) * {"ms": 1, "s": 1e3, "min": 6e4}[unit]


if __name__ == "__main__":
    main()
