"""Work off the event loop: the latest request wins, one device does one thing at a time, and Stop is felt at once.

All pages of a process share one ``Lane``. A job holds it for a chunk of work and offers it at every report, so that a
long run on one page costs the others a chunk of waiting and no more. Sweeps and claims stand behind runs, which overtake
them: a run begins at once, what stands behind goes on to its next report beside it and waits there.
"""

import bisect
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import panel as pn

from lab.numerics import Progress, Report

from . import faults, limits

RUN, SWEEP = 0, 1  # priorities; the smaller goes first
_HERTZ = 10.0
_CALM = 0.5  # seconds
_log = logging.getLogger("lab.app")
_pool = ThreadPoolExecutor(32, thread_name_prefix="lab")  # waiting costs a thread; the lane does the rationing


class Abandoned(BaseException):
    """The work is no longer wanted. Not an ``Exception``, so that no study takes it for an error of its own."""


class Lane:
    """A lock that is handed on in the order of (priority, arrival), and that runs take even from what stands behind them.

    What stands behind runs also waits until none has run for a moment: what a run brings is being drawn then.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = count()
        self._runs = self._behind = False  # who is in the lane
        self._calm = 0.0  # from when on

    def enter(self, priority: int, wanted: Callable[[], bool]) -> None:
        """Wait for the lane; raises ``Abandoned`` when ``wanted`` turns false meanwhile."""
        with self._condition:
            ticket = (priority, next(self._arrivals))
            bisect.insort(self._waiting, ticket)
            try:
                while self._waiting[0] != ticket or self._closed(priority):
                    if not wanted():
                        raise Abandoned
                    self._condition.wait(0.05)
                if priority <= RUN:
                    self._runs, self._calm = True, math.inf
                else:
                    self._behind = True
            finally:
                self._waiting.remove(ticket)
                self._condition.notify_all()

    def leave(self, priority: int) -> None:
        with self._condition:
            if priority <= RUN:
                self._runs, self._calm = False, time.monotonic() + _CALM
            else:
                self._behind = False
            self._condition.notify_all()

    def offered(self, priority: int) -> bool:
        """Someone of this or a smaller priority waits, or has overtaken."""
        with self._condition:
            overtaken = priority > RUN and self._runs
            return overtaken or (bool(self._waiting) and self._waiting[0][0] <= priority)

    def quiet_for(self, seconds: float) -> bool:
        """Nothing is in the lane, and no run has been for so long."""
        with self._condition:
            return not self._behind and time.monotonic() - (self._calm - _CALM) > seconds

    def _closed(self, priority: int) -> bool:
        if priority <= RUN:
            return self._runs
        return self._runs or self._behind or time.monotonic() < self._calm


_device = Lane()
quiet_for = _device.quiet_for


@dataclass
class Job:
    """One request: how far it is, and whether its answer is still wanted."""

    work: Callable[[Report], Any]
    stage: Callable[[str], None] = lambda stage: None
    progress: Callable[[Progress], None] = lambda progress: None
    done: Callable[[Any], None] = lambda answer: None
    failed: Callable[[str], None] = lambda sentence: None
    delay: float = 0.0  # seconds of quiet before it begins
    wanted: bool = field(default=True, init=False)
    ending: bool = field(default=False, init=False)  # asked to end with what it has
    reported: bool = field(default=False, init=False)


class Runner:
    """Runs one job at a time for one owner. A new job abandons the one before.

    Args:
        post: calls a function in the owner's thread; ``poster()`` makes one.
    """

    def __init__(self, post: Callable[[Callable[[], None]], object], priority: int = RUN):
        self._post = post
        self._priority = priority
        self._visitor = limits.visitor()
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        return self._job is not None

    def submit(self, work: Callable[[Report], Any], **calls: Any) -> Job:
        """Run ``work(report)`` in a thread and hand its answer to ``done``; ``report`` raises when it is abandoned."""
        self.abandon()
        self._job = job = Job(limits.metered(work, self._visitor), **calls)
        _pool.submit(self._run, job)
        return job

    def abandon(self) -> None:
        """Forget the current job."""
        if self._job is not None:
            self._job.wanted = False
            self._job = None

    def stop(self) -> bool:
        """Ask the current job to end with what it has. False when it has nothing yet: it is then abandoned."""
        if self._job is not None and self._job.reported:
            self._job.ending = True
            return True
        self.abandon()
        return False

    def _run(self, job: Job) -> None:
        until = time.monotonic() + job.delay
        while job.wanted and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        try:
            _device.enter(self._priority, lambda: job.wanted)
        except Abandoned:
            return
        last = time.monotonic()  # of a run that is over sooner nothing is told: telling costs the page a repaint

        def report(progress: Progress) -> bool:
            nonlocal last
            if not job.wanted:
                raise Abandoned
            if _device.offered(self._priority):
                _device.leave(self._priority)
                try:
                    _device.enter(self._priority, lambda: job.wanted)
                except Abandoned:
                    raise _LeftTheLane from None
            now = time.monotonic()
            job.reported = True
            if now - last >= 1 / _HERTZ:
                last = now
                self._tell(job, lambda: _show(job, progress))
            return job.ending

        held = True
        try:
            if job.wanted:
                answer = job.work(report)
                self._finish(job, lambda: job.done(answer))
        except _LeftTheLane:
            held = False
        except Abandoned:
            pass
        except Exception as exception:
            sentence = str(exception)
            if not isinstance(exception, ValueError | TypeError) or not sentence or "\n" in sentence:
                _log.exception("a run failed")  # not a refusal in a sentence, but a fault
                sentence = f"something went wrong in the computation: {type(exception).__name__}: {exception}"
            self._finish(job, lambda: job.failed(sentence))
        finally:
            if held:
                _device.leave(self._priority)

    def _tell(self, job: Job, call: Callable[[], None]) -> None:
        def in_page() -> None:
            if job.wanted:
                call()

        self._post(in_page)

    def _finish(self, job: Job, call: Callable[[], None]) -> None:
        def in_page() -> None:
            if job.wanted:
                job.wanted = False
                self._job = None
                call()

        self._post(in_page)


def _show(job: Job, progress: Progress) -> None:
    job.stage("running")
    job.progress(progress)


class _LeftTheLane(Abandoned):
    """Abandoned while another job had the lane."""


def poster() -> tuple[Callable[[Callable[[], None]], object], bool]:
    """How to call into the page that is being built, from any thread; and whether that page has an event loop.

    On a server the document's lock is taken; in a notebook the kernel's loop is used; elsewhere the call is made where
    it comes from.
    """
    document = pn.state.curdoc
    if document is not None and document.session_context is not None:

        def next_tick(call: Callable[[], None]) -> None:
            try:
                document.add_next_tick_callback(faults.guarded(call, document))
            except (RuntimeError, AttributeError):  # the session has ended
                _log.debug("a page was gone before its answer came")

        return next_tick, True
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return (lambda call: call()), False
    return loop.call_soon_threadsafe, True
