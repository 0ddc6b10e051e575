"""How much a visitor may have of a server that serves others: pages, memory of uploads, seconds of computing, size of a run.

A visitor is a user with a login of their own, else the address that asks. A server that only this machine can reach has room
for everything that one person does. What is refused is told in a sentence on the page.
"""

import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any
from weakref import WeakSet

import panel as pn
from tornado.httputil import HTTPServerRequest
from tornado.web import decode_signed_value

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


class Allowance:
    """So much that each may take at once; what was taken comes back at a steady rate.

    Args:
        most: what there is at first.
        within: seconds in which all of it comes back.
    """

    def __init__(self, most: float, within: float):
        self._most, self._within = most, within
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # and when that was so

    def take(self, who: str, amount: float = 1.0) -> float:
        """What is left after that: below 0 where there was not so much."""
        if math.isinf(self._most):
            return self._most
        now = time.monotonic()
        with self._lock:
            if len(self._left) > 10_000:  # those that are full again say nothing
                for name in [name for name in self._left if self._now(name, now) >= self._most]:
                    del self._left[name]
            left = min(self._most, self._now(who, now) - amount)
            self._left[who] = left, now
        return left

    def wait(self, who: str) -> float:
        """Take one where there is one: 0, else the seconds until there will be."""
        if seconds := self.owe(who, 1.0):
            self.take(who, -1.0)
        return seconds

    def owe(self, who: str, amount: float) -> float:
        """Take so much, be it there or not: the seconds until it would have been."""
        return max(0.0, -self.take(who, amount) * self._within / self._most)

    def _now(self, who: str, now: float) -> float:
        left, at = self._left.get(who, (self._most, now))
        return min(self._most, left + (now - at) / self._within * self._most)


def _allowances(limits: Limits) -> tuple[Allowance, Allowance, Allowance, Allowance]:
    """Of seconds for one and for all; of pages made, half of those that may be open, or ten, in 10 s; of bytes that browsers
    send, a MiB for each of those in 5 s."""
    return (
        Allowance(limits.seconds, _HOUR),
        Allowance(limits.seconds_all, _HOUR),
        Allowance(max(min(limits.pages, 10), limits.pages / 2), 10.0),
        Allowance(limits.pages * 2**20, 5.0),
    )


present = LOCAL
_own, _shared, made, sent = _allowances(present)
_holders: WeakSet = WeakSet()


def apply(limits: Limits) -> None:
    """Have these limits hold in this process, for all that is asked from now on."""
    global present, _own, _shared, made, sent
    present = limits
    _own, _shared, made, sent = _allowances(limits)


def visitor() -> str:
    """Who the page that is being built is for; "" where there is no server."""
    document = pn.state.curdoc
    return visitor_of(getattr(None if document is None else document.session_context, "request", None))


def visitor_of(request: Any) -> str:
    """Who the gate found to be asking."""
    return getattr(request, "lab_visitor", "") or place(str(getattr(request, "remote_ip", "")))


def recognise(request: HTTPServerRequest, by_name: bool) -> None:
    """Note who asks: a user with a login of their own, else an address. A name that goes with any password is no user."""
    cookie, secret = request.cookies.get("user"), pn.config.cookie_secret
    user = decode_signed_value(secret, "user", cookie.value) if by_name and cookie is not None and secret else None
    found = place(str(request.remote_ip)) if user is None else f"user {user.decode()}"
    setattr(request, "lab_visitor", found)  # noqa: B010  a request has no such field


def place(address: str) -> str:
    """The address, or the network of a machine with IPv6: such a machine can take 2^64 addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((int(found), 64), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


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
    return _own.take(who, seconds), _shared.take("", seconds)


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
            beyond[parameter.symbol or name.replace("_", " ")] = value / end if value < 10**15 else math.inf
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
