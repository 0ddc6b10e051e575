"""Twelve visitors on all pages, and a greedy one: how long each waits for what they asked for.

    python -m benchmarks.soak visitors [--minutes 10] [--visitors 12]

Visitors speak to a server of their own over its websocket, as a browser does. Before the clock runs, one visitor moves the
slider of each page twice, so that the server has the programs of the default sizes. Then each visitor opens one page after
the other, in an order of their own, has its first four cards in sight, and moves the slider under the first picture: to new
values, and back to values that were shown. The greedy one asks for the largest sizes on five pages, sweeps 10,000 cells,
uploads 200 MB, and closes tabs midway. The clock of a move starts when its message is sent and stops when the data of a
picture come after the answer. At the end the greedy one asks for large runs again and closes the tabs, and the server's
processor time tells when they have ended.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress

import psutil

from lab.studies import Study, Whole, catalogue

from .pages import Page, serving, told

_THINKS = 2.0  # mean seconds between two moves of a visitor
_MOVES = 8  # on each page
_SEES = 4  # cards: one to three of the hero, and those below that a window of 900 pixels shows or nearly shows
_FIRST = 300.0  # seconds that a program may compile before the clock runs
_LOST = 60.0  # seconds after which a move is given up
_SAME = 1.5  # seconds without a picture after the answer has come: the picture is the same
_GREEDY = ("sparse-ot", "sgd-stability", "locality-denoisers", "diverse-subset", "otsurv")
_TURN = 20.0  # seconds after which the greedy one closes a tab
_UPLOAD = 200 * 10**6  # bytes
_PIECE = 2**20  # as the page's script cuts them
_BUSY = 0.2  # processors that a server at rest does not use
_STUDIES: dict[str, type[Study]] = {study.slug: study for study in catalogue()}
KINDS = ("visit", "shown before", "new value, compiled", "first new value of a page", "compiles")


class Spent:
    """Seconds by kind, and what came of the moves that have no such number."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.other: Counter[str] = Counter()

    def add(self, kind: str, seconds: float, where: str) -> None:
        self.seconds[kind].append((seconds, where))


async def _prepare(port: int, slugs: list[str]) -> None:
    """Move the slider of each page twice, alone: from then on the server has the programs of its default sizes."""
    draw = random.Random(0)
    for slug in slugs:
        page = await Page.open(port, slug)
        await page.drawn()
        state = page.states.get("Scrubber", {})
        if state.get("name") and _STUDIES[slug].parameters()[state["name"]].traced:
            for _ in range(2):
                await _answered(page, state["name"], _value(state, draw), _FIRST)
        await page.close()


async def _visit(port: int, slugs: list[str], until: float, spent: Spent, draw: random.Random) -> None:
    for slug in itertools.cycle(slugs):
        if time.monotonic() > until:
            return
        began = time.monotonic()
        page = await Page.open(port, slug)
        try:
            await page.drawn()
            spent.add("visit", time.monotonic() - began, slug)
            await page.look(_SEES)
            await _move(page, slug, until, spent, draw)
        finally:
            await page.close()


async def _move(page: Page, slug: str, until: float, spent: Spent, draw: random.Random) -> None:
    state = page.states.get("Scrubber", {})
    if not state.get("name"):
        spent.other["pages without a slider"] += 1
        return
    traced = _STUDIES[slug].parameters()[state["name"]].traced
    shown, first = [str(state["value"])], True
    for number in range(_MOVES):
        await asyncio.sleep(draw.expovariate(1 / _THINKS))
        if time.monotonic() > until:
            return
        state = page.states["Scrubber"]
        here = str(state["value"])
        before = [value for value in shown if value != here]
        back = bool(number % 2 and before)
        text = draw.choice(before) if back else _value(state, draw)
        if text == here:
            continue
        kind = KINDS[1] if back else KINDS[4] if not traced else KINDS[3] if first else KINDS[2]
        took = await _answered(page, state["name"], text)
        if took is None:
            spent.other["moves whose picture is the same"] += 1
        else:
            spent.add(kind, took, slug)
        if math.isinf(took or 0.0):
            return
        first = first and back
        shown.append(str(page.states["Scrubber"]["value"]))


def _value(state: dict, draw: random.Random) -> str:
    low, high = state["low"], state["high"]
    if state["whole"]:
        return str(draw.randint(int(low), int(high)))
    at = draw.random()
    value = math.exp(math.log(low) + at * math.log(high / low)) if state["log"] else low + at * (high - low)
    return f"{value:.3g}"


async def _answered(page: Page, name: str, text: str, lost: float = _LOST) -> float | None:
    """Seconds until a picture came; None where the run has ended and left it as it was, infinite where neither came."""
    began, ended = time.monotonic(), math.inf
    await page.tell("Scrubber", name=name, text=text)
    while (now := time.monotonic()) < began + lost:
        state = page.states["Scrubber"]
        if (state["fresh"] and not state["busy"] and float(state["value"]) == float(text)) or state["refused"]:
            ended = min(ended, now)
            if page.last > ended - 0.05:  # of this answer, not of the one before, whose last pictures may still come
                return page.last - began
            if now > ended + _SAME:
                return None
        await asyncio.sleep(0.01)
    return math.inf


async def _greedy(port: int, until: float, spent: Spent) -> None:
    """Tabs with the largest sizes, one after the other and each closed midway; a sweep; an upload."""
    sweep = asyncio.create_task(_sweep(port, until, spent))
    upload = asyncio.create_task(_upload(port, until, spent))
    tabs: list[Page] = []
    for slug in itertools.cycle(_GREEDY):
        if time.monotonic() > until:
            break
        tabs.append(await _large(port, slug, spent))
        await asyncio.sleep(_TURN / len(_GREEDY))
        if len(tabs) == len(_GREEDY):
            await tabs.pop(0).close()
    for tab in tabs:
        await tab.close()
    await asyncio.gather(sweep, upload)


async def _large(port: int, slug: str, spent: Spent) -> Page:
    page = await Page.open(port, slug)
    await page.drawn()
    for name, text in largest(slug).items():
        await page.tell("Controls", name=name, text=text)
    spent.other["large runs asked for"] += 1
    return page


def largest(slug: str) -> dict[str, str]:
    """The upper ends of all sliders of whole numbers."""
    found = {}
    for name, parameter in _STUDIES[slug].parameters().items():
        high = (parameter.soft or parameter.bounds or (None, None))[1] if isinstance(parameter, Whole) else None
        if name != "seed" and high:
            found[name] = str(high)
    return found


async def _sweep(port: int, until: float, spent: Spent) -> None:
    page = await Page.open(port, "sparse-ot")
    await page.drawn()
    await page.tell("Tabs", tab="sweep")
    while time.monotonic() < until and "SweepForm" not in page.views:
        await asyncio.sleep(0.1)
    while time.monotonic() < until and not page.states.get("SweepForm", {}).get("axes"):
        await asyncio.sleep(0.1)
    await page.tell("SweepForm", name="gamma", text="0.01:1:log5000")
    await page.tell("SweepForm", name="k", text="1 2")
    while time.monotonic() < until:
        await page.tell("SweepForm", run=True)
        await asyncio.sleep(4.0)
    spent.other["sweep says: " + json.dumps(page.states.get("SweepForm", {}))[:300]] += 1
    await page.close()


async def _upload(port: int, until: float, spent: Spent) -> None:
    page = await Page.open(port, "sparse-ot")
    await page.drawn()
    while time.monotonic() < until:
        await page.tell("Upload", step="begin")
        for _ in range(0, _UPLOAD, _PIECE):
            if time.monotonic() > until:
                break
            await page.tell("Upload", step="piece", index=0, name="large.npy", content=bytes(_PIECE))
            await asyncio.sleep(0.05)
        await page.tell("Upload", step="end")
        spent.other["uploads sent"] += 1
        await asyncio.sleep(2.0)
    await page.close()


async def _closing(port: int, busy: Callable[[], float], spent: Spent) -> float:
    """Seconds from closing the tabs with large runs until the server is at rest."""
    tabs = [await _large(port, slug, spent) for slug in _GREEDY]
    await asyncio.sleep(6.0)
    for tab in tabs:
        await tab.close()
    began, last = time.monotonic(), time.monotonic()
    while time.monotonic() < began + _LOST:
        used, since = busy(), time.monotonic()
        await asyncio.sleep(0.25)
        if (busy() - used) / (time.monotonic() - since) > _BUSY:
            last = time.monotonic()
        elif time.monotonic() > last + 1.0:
            break
    return last - began


async def _soak(port: int, busy: Callable[[], float], given: argparse.Namespace) -> int:
    slugs = sorted(given.studies or _STUDIES)
    await _prepare(port, slugs)
    spent, until = Spent(), time.monotonic() + 60 * given.minutes
    orders = [random.Random(number).sample(slugs, len(slugs)) for number in range(given.visitors)]
    work = [_visit(port, order, until, spent, random.Random(number + 1000)) for number, order in enumerate(orders)]
    if not given.alone:
        work.append(_greedy(port, until, spent))
    await asyncio.gather(*(asyncio.create_task(each) for each in work))
    print(f"{given.visitors} visitors{' alone' if given.alone else ' and a greedy one'}, {given.minutes:g} minutes")
    for kind in KINDS:
        each = sorted(spent.seconds[kind], reverse=True)
        print(told(kind, [seconds for seconds, _ in each]))
        print("  the slowest: " + ", ".join(f"{seconds:.2f} s {where}" for seconds, where in each[:5]))
    for what, number in spent.other.items():
        print(f"{what}: {number}")
    closing = await _closing(port, busy, spent)
    print(f"from closing the tabs with large runs to rest: {closing:.2f} s")
    lost = sum(math.isinf(seconds) for each in spent.seconds.values() for seconds, _ in each)
    summary = {kind: _quantiles([seconds for seconds, _ in spent.seconds[kind]]) for kind in KINDS}
    print(json.dumps({"benchmark": "soak visitors", **summary, "closing_s": round(closing, 2), "lost": lost}))
    return lost


def _quantiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    parts = {"p50": ordered[len(ordered) // 2], "p90": ordered[int(0.9 * len(ordered))], "most": ordered[-1]}
    return {"n": len(ordered)} | {name: round(value, 3) for name, value in parts.items()}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--visitors", type=int, default=12)
    parser.add_argument("--studies", nargs="+", default=[], help="slugs of the pages; all when left out")
    parser.add_argument("--alone", action="store_true", help="without the greedy visitor")
    parser.add_argument("--warm", action="store_true", help="with the process that compiles ahead, as `lab serve` has")


def main(given: argparse.Namespace) -> int:
    with serving(warm=given.warm) as (port, process, errors):
        faults = asyncio.run(_soak(port, lambda: _processor(process), given))
        return faults + len(errors())


def _processor(process: int) -> float:
    """Seconds of a processor that a server and its children have used."""
    family = [psutil.Process(process)]
    family += family[0].children(recursive=True)
    total = 0.0
    for each in family:
        with suppress(psutil.Error):
            total += sum(each.cpu_times()[:2])
    return total
