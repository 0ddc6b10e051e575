"""How much a visitor may have of a server that serves others: pages, memory of uploads, seconds of computing, size of a run.

A visitor is a user who has logged in, else the address that asks. A server that only this machine can reach has room for
everything that one person does. What is refused is told in a sentence on the page.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any
from weakref import WeakSet

import panel as pn

from lab import sweeps
from lab.numerics import Progress, Report
from lab.studies import Study, Whole

_HOUR = 3600.0


@dataclass(frozen=True)
class Limits:
    """What one visitor may have, and all of them together.

    Attributes:
        pages: open at a time.
        uploads: MiB of files received and of data brought, held by open pages.
        seconds: of computing in an hour.
        size: how many times the whole numbers of a run, as ``n`` and steps, may be beyond the ends of their sliders, all
            taken together.
        cells: of a sweep.
    """

    pages: float
    pages_all: float
    uploads: float
    uploads_all: float
    seconds: float
    seconds_all: float
    size: float
    cells: float

    def but(self, **given: float | None) -> "Limits":
        """With the values that were given; refused where they are no positive number."""
        for name, value in given.items():
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')} {value:g} is not allowed: it must be a number above 0")
        return replace(self, **{name: value for name, value in given.items() if value is not None})


LOCAL = Limits(200, 1000, 4096, 16384, math.inf, math.inf, math.inf, sweeps.MOST)
PUBLIC = Limits(20, 200, 256, 2048, 900, 7200, 16, 2500)  # every preset of the lab is within
NAMES = tuple(field.name for field in fields(Limits))

present = LOCAL
_lock = threading.Lock()
_accounts: dict[str, tuple[float, float]] = {}  # seconds left, and when that was so
_holders: WeakSet = WeakSet()


def apply(limits: Limits) -> None:
    """Have these limits hold in this process, for all that is asked from now on."""
    global present
    present = limits
    with _lock:
        _accounts.clear()


def visitor() -> str:
    """Who the page that is being built is for; "" where there is no server."""
    document = pn.state.curdoc
    context = None if document is None else document.session_context
    request = getattr(context, "request", None)
    return str(pn.state.user or getattr(request, "remote_ip", "")) if request is not None else ""


# ---- computing -------------------------------------------------------------------------------------------------------


def metered(work: Callable[[Report], Any], who: str) -> Callable[[Report], Any]:
    """The same work, whose seconds are counted; it ends with a ValueError when there are none left.

    What it waits in ``report``, for others, does not count.
    """
    if not who or math.isinf(min(present.seconds, present.seconds_all)):
        return work

    def run(report: Report) -> Any:
        began = time.monotonic()
        spend(who, 0.0)

        def told(progress: Progress) -> bool | None:
            nonlocal began
            spend(who, time.monotonic() - began)
            try:
                return report(progress)
            finally:
                began = time.monotonic()

        try:
            return work(told)
        finally:
            _take(who, time.monotonic() - began)

    return run


def spend(who: str, seconds: float) -> None:
    """Take seconds from a visitor's account and from that of all; ValueError where one is overdrawn."""
    own, shared = _take(who, seconds)
    if own <= 0 or shared <= 0:
        limit, left = (present.seconds, own) if own <= 0 else (present.seconds_all, shared)
        whose = "of a visitor" if own <= 0 else "of all visitors together"
        wait = math.ceil((1.0 - left) / limit * _HOUR)
        raise ValueError(
            f"the time for computing {whose}, {limit:g} s in an hour on this server, is used up: go on in {wait} s, "
            "or run the study on your own machine"
        )


def _take(who: str, seconds: float) -> tuple[float, float]:
    now = time.monotonic()
    left = []
    with _lock:
        if len(_accounts) > 10_000:  # those that are full again say nothing
            for name, (amount, at) in list(_accounts.items()):
                if name and amount + (now - at) / _HOUR * present.seconds >= present.seconds:
                    del _accounts[name]
        for name, limit in ((who, present.seconds), ("", present.seconds_all)):
            amount, at = _accounts.get(name, (limit, now))
            amount = limit if math.isinf(limit) else min(limit, amount + (now - at) / _HOUR * limit) - seconds
            _accounts[name] = amount, now
            left.append(amount)
    return left[0], left[1]


# ---- the size of a run -------------------------------------------------------------------------------------------------


def too_large(study: Study) -> str:
    """Why a run of this study is not computed here; "" when it is."""
    if math.isinf(present.size):
        return ""
    beyond = {}
    for name, parameter in study.parameters().items():
        value = getattr(study, name)
        if not isinstance(parameter, Whole) or name == "seed" or value is None:
            continue
        end = (parameter.soft or (None, None))[1] or parameter.default
        if end and value > end > 0:
            beyond[name] = value / end if value < 10**15 else math.inf
    size = math.prod(beyond.values())
    if size <= present.size:
        return ""
    told = ", ".join(f"{name} {ratio:.3g} times" for name, ratio in beyond.items())
    return (
        f"this run is too large for this server: it is {size:.3g} times beyond the ends of the sliders ({told}), and at most "
        f"{present.size:g} times is computed here; take smaller numbers, or run it on your own machine"
    )


# ---- uploads -----------------------------------------------------------------------------------------------------------


def hold(holder: Any) -> None:
    """Count what this holds, by its ``visitor`` and ``held()`` bytes, for as long as it lives."""
    _holders.add(holder)


def no_room(who: str, more: int) -> str:
    """Why no more bytes can be taken for a visitor; "" when they can."""
    held: Iterable[tuple[str, int]] = [(holder.visitor, holder.held()) for holder in list(_holders)]
    own, shared = sum(size for name, size in held if name == who), sum(size for _, size in held)
    for size, limit, whose in (
        (own, present.uploads, "your pages hold"),
        (shared, present.uploads_all, "all pages hold"),
    ):
        if size + more > limit * 2**20:
            return (
                f"There is no room for this file: {whose} {size / 2**20:.3g} of at most {limit:g} MiB of data on this "
                "server; close a page, or set another of yours to a named data set."
            )
    return ""
