"""How long a newcomer waits: the first picture of every study, on its page and at the command line, and what the server holds.

    python -m benchmarks.first_picture runs [STUDY ...]
    python -m benchmarks.first_picture pages [--look SECONDS] [STUDY ...]

``runs`` prints processor seconds of ``lab run STUDY`` in new processes: taken from what ships, computed in an empty home, and
computed again with the compiled programs kept; and how many programs there are. ``pages`` starts a server in an empty home,
as ``lab serve`` does, and prints from the request on: seconds until the gallery is whole, until the first picture of each
page is painted and until all that are in sight are; seconds until the first change of its first slider is, made when the page
was looked at for ``--look`` seconds more; and the server's resident memory after each page.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.page_latency import DEEP, chromium
from benchmarks.report import Report
from lab import studies

_STILL, _LONGEST = 2.0, 60.0  # seconds
PAINTED = (
    "() => {"
    + DEEP
    + """
  const all = (root, sought, found = []) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.matches(sought)) found.push(element)
      if (element.shadowRoot) all(element.shadowRoot, sought, found)
    }
    return found
  }
  const inSight = (element) => {
    const box = element.getBoundingClientRect()
    return box.width > 0 && box.top < innerHeight && box.bottom > 0
  }
  const painted = (canvas) => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    for (let at = 3; at < data.length; at += 4) if (data[at]) return true
    return false
  }
  const canvases = all(document, ".bk-Figure").filter(inSight).map((figure) => deep(figure.shadowRoot ?? figure, "canvas"))
  const images = [...all(document, "img")].filter(inSight).filter((image) => image.complete)
  return canvases.filter((canvas) => canvas && painted(canvas)).length + images.length
}"""
)
FIRST_SLIDER = (
    "() => {"
    + DEEP
    + """
  const slider = deep(document, "input[type=range]")
  const figure = deep(document, ".bk-Figure")
  if (!slider || !figure) return -1
  const canvas = deep(figure.shadowRoot ?? figure, "canvas"), changed = watched(canvas), began = performance.now()
  return new Promise((resolve) => {
    const step = Number(slider.step || 1), value = Number(slider.value)
    slider.value = value + step > Number(slider.max) ? value - step : value + step
    slider.dispatchEvent(new Event("input", {bubbles: true}))
    slider.dispatchEvent(new Event("change", {bubbles: true}))
    const look = () => {
      const spent = performance.now() - began
      if (changed() || spent > 60000) resolve(spent / 1000)
      else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
}"""
)


def runs(report: Report, slugs: list[str]) -> None:
    print(f"{'study':26} {'ships':>6} {'cold':>6} {'kept':>6} {'programs':>9}   processor seconds")
    for slug in slugs:
        with TemporaryDirectory() as home:
            ships, _ = _run(slug, home)
            cold, programs = _run(slug, home, "--again", count=True)
            kept, _ = _run(slug, home, "--again")
        print(f"{slug:26} {ships:6.1f} {cold:6.1f} {kept:6.1f} {programs:>9}", flush=True)
        times = {"lab": cold, "precomputed": ships, "programs cached": kept}
        report.row({"study": slug}, times, programs=int(programs))


def _run(slug: str, home: str, *options: str, count: bool = False) -> tuple[float, str]:
    """Processor seconds of a new process, and the programs that it compiled, if they are to be counted: JAX tells of each."""
    command = [sys.executable, "-m", "lab", "run", slug, *options]
    before = os.times()
    output = subprocess.run(
        command,
        env=os.environ | {"LAB_HOME": home, "JAX_LOG_COMPILES": str(int(count))},
        capture_output=True,
        text=True,
        check=True,
    )
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return spent, str(len(re.findall(r"Finished XLA compilation of", output.stderr)))


def pages(report: Report, slugs: list[str], look: float) -> None:
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as home, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "lab", "serve", "--port", str(port)],
            env=os.environ | {"LAB_HOME": home, "BROWSER": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            answers = time.perf_counter() - began
            print(f"the server answers after {answers:.1f} s")
            began = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/")
            first, whole = _painted(page, began)
            print(f"the gallery is whole after {whole:.1f} s; {_resident(server.pid)}")
            report.row({"page": "gallery"}, {"lab": first, "all pictures": whole}, server_answers=answers)
            print(f"{'study':26} {'first':>6} {'all':>6} {'change':>7} {'MiB':>6}   seconds")
            for slug in slugs:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                began = time.perf_counter()
                page.goto(f"http://127.0.0.1:{port}/{slug}")
                first, whole = _painted(page, began)
                page.wait_for_timeout(1000 * look)
                change = page.evaluate(FIRST_SLIDER)
                page.close()
                print(f"{slug:26} {first:6.1f} {whole:6.1f} {change:7.1f} {_resident(server.pid)}", flush=True)
                times = {"lab": first, "all pictures": whole, "first change": change}
                report.row({"page": slug}, times, resident_mib=float(_resident(server.pid)))
        finally:
            server.terminate()
            server.wait()
            browser.close()


def _painted(page, began: float) -> tuple[float, float]:
    """Seconds until the first picture in sight is painted, and until the last is: none came for two seconds after."""
    first = last = 0.0
    count = 0
    while time.perf_counter() - began < _LONGEST and (not count or time.perf_counter() - began - last < _STILL):
        seen = page.evaluate(PAINTED)
        if seen != count:
            last, count = time.perf_counter() - began, seen
            first = first or last
        page.wait_for_timeout(30)
    return first, last


def _resident(pid: int) -> str:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:6.0f}"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("runs", "pages"))
    parser.add_argument("studies", nargs="*")
    parser.add_argument("--look", type=float, default=0.0, help="seconds between the last picture and the first change")
    given = parser.parse_args(argv)
    report = Report("first_picture", given)
    slugs = given.studies or [study.slug for study in studies.catalogue()]
    runs(report, slugs) if given.what == "runs" else pages(report, slugs, given.look)
    return report.end()


if __name__ == "__main__":
    main()
