"""Shares of studies: their size, how long they take to open from a file, and from a slider to the redrawn picture.

    python -m benchmarks.shares [STUDY ...] [--folder FOLDER] [--rounds 2]

Each study at its defaults with its own slider; all studies when none is named. What the store holds is not computed again. The
clock of opening starts at the navigation and ends when the pictures stand; that of a slider starts at the event and ends when a
canvas of the first pictures has other pixels, looked at once per animation frame. Headless Chromium, 1440 x 900.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page_latency import chromium
from benchmarks.report import Report

OPENED = "() => document.body.classList.contains('ready')"
# Moves the slider to every place of it, one after the other; gives the milliseconds of those moves that changed a picture.
MOVED = """async (rounds) => {
  const all = (root) => [...root.querySelectorAll("*")].flatMap((each) =>
    [each, ...(each.shadowRoot ? all(each.shadowRoot) : [])])
  const slider = document.getElementById("slider-0")?.shadowRoot.querySelector("input[type=range]")
  if (!slider) return []
  const pixels = () => all(document.querySelector(".stage")).filter((each) => each.tagName === "CANVAS" && each.width)
    .map((each) => new Uint32Array(each.getContext("2d").getImageData(0, 0, each.width, each.height).data.buffer))
  const differ = (one, two) => one.length !== two.length || one.some((value, at) => value !== two[at])
  const other = (one, two) => one.length !== two.length || one.some((each, k) => differ(each, two[k]))
  const frame = () => new Promise(requestAnimationFrame), spent = []
  for (let round = 0; round < rounds; round++) for (let at = 0; at <= Number(slider.max); at++) {
    if (Number(slider.value) === at) continue
    const before = pixels(), began = performance.now()
    slider.value = at
    slider.dispatchEvent(new Event("input", {bubbles: true}))
    let ended = null
    while (ended === null && performance.now() - began < 1000) {
      await frame()
      const now = performance.now()
      if (other(before, pixels())) ended = now
    }
    if (ended !== null) spent.push(ended - began)
    await new Promise((done) => setTimeout(done, 150))
  }
  return spent
}"""


def measured(browser: Any, file: Path, rounds: int) -> tuple[float, list[float], list[str]]:
    """Seconds to open, milliseconds of each move of the slider, what went wrong or was asked for from elsewhere."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: wrong.append(asked.url[:80]) if not asked.url.startswith(("file:", "data:", "blob:")) else None,
    )
    began = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_function(OPENED)
    opened = time.perf_counter() - began
    page.wait_for_timeout(300)
    spent = page.evaluate(MOVED, rounds)
    page.close()
    return opened, spent, wrong


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", nargs="*", help="all when left out")
    parser.add_argument("--folder", type=Path, help="where the shares are written, and taken from where they are there")
    parser.add_argument("--rounds", type=int, default=2, help="how often the slider takes all its values; 0: it rests")
    given = parser.parse_args(argv)
    from playwright.sync_api import sync_playwright

    from lab import studies
    from lab.app import share
    from lab.home import start

    start()
    report = Report("shares", given)
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    print(
        "| study | size | made in | opens in | slider to picture, median | slowest |\n|---|---|---|---|---|---|",
        flush=True,
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for study in [studies.find(slug) for slug in given.studies] or studies.catalogue():
            file, began = folder / f"{study.slug}.html", time.perf_counter()
            if not file.exists():
                share(study, file)
            made = time.perf_counter() - began
            opened, spent, wrong = measured(browser, file, given.rounds)
            times = f"{statistics.median(spent):.0f} ms | {max(spent):.0f} ms" if spent else "– | –"
            size = f"{file.stat().st_size / 1e6:.2f} MB"
            seconds = [each / 1e3 for each in spent]
            moves = {"slider to picture": statistics.median(seconds), "slowest": max(seconds)} if seconds else {}
            found = {"bytes": file.stat().st_size, "made_in": made, "errors": wrong}
            report.row({"study": study.slug}, {"lab": opened} | moves, **found)
            print(f"| {study.slug} | {size} | {made:.0f} s | {opened:.2f} s | {times} |", *wrong, flush=True)
        browser.close()
    return report.end(failed=sum(bool(row["found"]["errors"]) for row in report.rows))


if __name__ == "__main__":
    main()
