"""Work off the event loop: the latest request wins, nobody waits long for somebody else, and Stop is felt at once.

All pages of a process share one ``Lane``. Whoever has the turn in it offers it at every report, so that a long run on one
page costs the others a chunk of waiting and no more. Where no report comes for a moment, as while XLA compiles, the turn
is taken from it: it goes on beside the others and waits for another turn at its next report. Runs that are known to
compile begin beside, few at a time. Sweeps and claims stand behind runs, and give way to them in the same manner.
"""

import bisect
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jax
import panel as pn

from lab.numerics import Progress, Report

from . import faults, limits
from .turns import Abandoned, GiveWay, Line, Turn

RUN, SWEEP, BACKGROUND = 0, 1, 2  # priorities; the smaller goes first
_HERTZ = 10.0
_CALM = 0.5  # seconds
_PATIENCE = 0.3  # seconds without a report after which the turn may be taken
_BESIDE = {True: 8, False: 2}  # runs, and others, that may go on without the turn
_COMPILE = 2  # runs that compile at the same time
_OWN = 2  # jobs of one runner that are under way: one that nobody wants any more, and the one that is wanted
_PROGRAMS = 4096  # remembered
_LONG = 0.5  # seconds that a program compiles before it is told
_AWAY = 500  # milliseconds between two looks whether a browser is back
_COMING = 50  # and whether it has come
_log = logging.getLogger("lab.app")
_here = threading.local()  # whom to tell that this thread compiles, and no longer
# Waiting costs a thread; the lane does the rationing. What waits behind runs shall not take their threads.
_runs = ThreadPoolExecutor(64, thread_name_prefix="lab-run")
_others = ThreadPoolExecutor(256, thread_name_prefix="lab-behind")


class Lane:
    """Gives out one turn to runs and one to what stands behind them, in the order of (priority, arrival).

    What stands behind runs also waits until none has had the turn for a moment: what a run brings is being drawn then.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self._waiting: list[Turn] = []
        self._arrivals = count()
        self._has: dict[bool, Turn | None] = {True: None, False: None}  # of runs, and of what stands behind them
        self._beside: list[Turn] = []
        self._compiling: list[Turn] = []
        self._known: OrderedDict[Hashable, None] = OrderedDict()  # programs
        self._calm = 0.0  # from when on

    def enter(self, turn: Turn, wanted: Callable[[], bool], waits: Callable[[bool], None] = lambda same: None) -> None:
        """Wait for a turn; raises ``Abandoned`` when ``wanted`` turns false meanwhile.

        Args:
            waits: called once, if it has to wait until others have compiled, with whether it is what this one needs.
        """
        with self._condition:
            turn.arrival, told = next(self._arrivals), False
            bisect.insort(self._waiting, turn, key=lambda each: (each.priority, each.arrival))
            began = time.monotonic()
            try:
                while not self._is_next(turn):
                    if not wanted():
                        raise Abandoned
                    if not told and self._compiles(turn) and time.monotonic() - began > _PATIENCE:
                        told = True
                        waits(any(each.programs == turn.programs for each in self._compiling))
                    self._condition.wait(0.05 if turn.run else 0.2)
                turn.since = time.monotonic()
                if self._compiles(turn):
                    self._compiling.append(turn)
                else:
                    if (overtaken := self._has[turn.run]) is not None:
                        self._beside.append(overtaken)
                    self._has[turn.run] = turn
            finally:
                self._waiting.remove(turn)
                self._condition.notify_all()

    def leave(self, turn: Turn) -> None:
        """Go, from wherever one is; a second time changes nothing."""
        with self._condition:
            if turn in self._compiling:
                self._compiling.remove(turn)
                self._learn(turn.programs)
            elif turn in self._beside:
                self._beside.remove(turn)
            elif self._has[turn.run] is turn:
                self._has[turn.run] = None
            else:
                return
            if turn.run:
                self._calm = time.monotonic() + _CALM
            self._condition.notify_all()

    def offer(self, turn: Turn, wanted: Callable[[], bool]) -> None:
        """A report: go on, or let others go first. Raises ``Abandoned`` as ``enter`` does, and one has then left."""
        with self._condition:
            turn.since = time.monotonic()
            asked = any(each.priority <= turn.priority and not self._compiles(each) for each in self._waiting)
            overtaken = not turn.run and self._has[True] is not None
            if self._has[turn.run] is turn and not asked and not overtaken:
                return
        self.leave(turn)
        self.enter(turn, wanted)

    def quiet_for(self, seconds: float) -> bool:
        """Nothing is under way, and no run has been for so long."""
        with self._condition:
            return not self._under_way() and time.monotonic() - (self._calm - _CALM) > seconds

    def knows(self, programs: Hashable) -> bool:
        """They have been compiled."""
        with self._condition:
            return programs in self._known

    def compiles(self) -> bool:
        """Somebody waits for programs that are being compiled."""
        with self._condition:
            return bool(self._compiling)

    # ---- inside, with the condition held -----------------------------------------------------------------------

    def _compiles(self, turn: Turn) -> bool:
        return turn.programs is not None and turn.programs not in self._known

    def _learn(self, programs: Hashable) -> None:
        self._known[programs] = None
        while len(self._known) > _PROGRAMS:
            self._known.popitem(last=False)

    def _under_way(self) -> list[Turn]:
        return [*filter(None, self._has.values()), *self._beside, *self._compiling]

    def _is_next(self, turn: Turn) -> bool:
        return self._may(turn) and next(each for each in self._waiting if self._may(each)) is turn

    def _may(self, turn: Turn) -> bool:
        """It could begin now, if it were the first in the queue."""
        if turn.owner is not None and sum(each.owner is turn.owner for each in self._under_way()) >= _OWN:
            return False
        if self._compiles(turn):
            same = any(each.owner is turn.owner or each.programs == turn.programs for each in self._compiling)
            return not same and len(self._compiling) < _COMPILE
        if not turn.run and (self._has[True] is not None or time.monotonic() < self._calm):
            return False
        ahead = self._has[turn.run]
        if ahead is None:
            return True
        late = time.monotonic() - ahead.since > _PATIENCE
        return late and sum(each.run == turn.run for each in self._beside) < _BESIDE[turn.run]


_device = Lane()
quiet_for, knows, compiles = _device.quiet_for, _device.knows, _device.compiles


@dataclass
class Job:
    """One request: how far it is, and whether its answer is still wanted."""

    work: Callable[[Report], Any]
    stage: Callable[[str], None] = lambda stage: None
    progress: Callable[[Progress], None] = lambda progress: None
    done: Callable[[Any], None] = lambda answer: None
    failed: Callable[[str], None] = lambda sentence: None
    fault: tuple[str, ...] = ("something went wrong in the computation",)  # what failed, and what to do then
    ready: Callable[[], Any] = lambda: None  # an answer for which nothing is computed, where there is one
    programs: Hashable = None  # what it compiles first, where that may be new
    delay: float = 0.0  # seconds of quiet before it begins
    when: Callable[[], bool] = lambda: True  # it may begin
    line: Line | None = None  # where its work is done in another process, the turns for that
    queued: Callable[[int], None] = lambda place: None  # how many jobs go first there
    gone: Callable[[], bool] = lambda: False  # the page was closed
    _wanted: bool = field(default=True, init=False)
    ending: bool = field(default=False, init=False)  # asked to end with what it has
    reported: bool = field(default=False, init=False)

    @property
    def wanted(self) -> bool:
        """Somebody waits for the answer."""
        return self._wanted and not self.gone()

    def forget(self) -> None:
        """The answer is no longer wanted."""
        self._wanted = False


class Runner:
    """Runs one job at a time for one owner. A new job abandons the one before.

    Args:
        post: calls a function in the owner's thread; ``poster()`` makes one.
    """

    def __init__(self, post: Callable[[Callable[[], None]], object], priority: int = RUN):
        self._post = post
        self._priority = priority
        self._visitor = limits.visitor()
        self._gone = closed()
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        return self._job is not None

    def submit(self, work: Callable[[Report], Any], **calls: Any) -> Job:
        """Run ``work(report)`` in a thread and hand its answer to ``done``; ``report`` raises when it is abandoned."""
        self.abandon()
        self._job = job = Job(limits.metered(work, self._visitor), gone=self._gone, **calls)
        compiles = job.programs is not None and not knows(job.programs)
        (_others if compiles or self._priority > RUN else _runs).submit(self._run, job)
        return job

    def abandon(self) -> None:
        """Forget the current job."""
        if self._job is not None:
            self._job.forget()
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
        while job.wanted and ((left := until - time.monotonic()) > 0 or not job.when()):
            time.sleep(min(left, 0.05) if left > 0 else 0.2)
        turn = Turn(self._priority, self, job.programs, visitor=self._visitor)
        lane = job.line or _device
        compiles = job.programs is not None and not knows(job.programs)
        last = time.monotonic()  # of a run that is over sooner nothing is told: telling costs the page a repaint

        def report(progress: Progress | None) -> bool:
            nonlocal last
            if not job.wanted:
                raise Abandoned
            lane.offer(turn, lambda: job.wanted)
            if progress is None:  # another process has nothing to say
                return job.ending
            now = time.monotonic()
            job.reported = True
            if now - last >= 1 / _HERTZ:
                last = now
                self._tell(job, lambda: _show(job, progress))
            return job.ending

        said, timer, telling = False, None, threading.RLock()  # what is told may compile in its turn

        def compiling(begins: bool) -> None:
            """What comes after the first report compiles too; a program that is read, or small, is not worth a word."""
            nonlocal said, timer

            def say() -> None:
                nonlocal said
                with telling:
                    if timer is mine:  # it may be over just as this begins
                        said = True
                        self._tell(job, lambda: job.stage("compiling"))

            with telling:
                if timer is not None:
                    timer.cancel()
                    timer = None
                if begins and job.reported:
                    timer = mine = threading.Timer(_LONG, say)
                    timer.daemon = True
                    timer.start()
                elif said:
                    said = False
                    self._tell(job, lambda: job.stage("running"))

        def waits(same: bool) -> None:
            self._tell(job, lambda: job.stage("compiling" if same else "queued"))

        def enter() -> None:
            if job.line is not None:
                job.line.enter(turn, lambda: job.wanted, lambda place: self._tell(job, lambda: job.queued(place)))
            else:
                _device.enter(turn, lambda: job.wanted, waits)

        def begin() -> Any:
            nonlocal last
            enter()
            if compiles or job.line is not None:
                stage = "running" if knows(job.programs) else "compiling"  # another page may have done it
                self._tell(job, lambda: job.stage(stage))
            last = time.monotonic()
            _here.compiling = compiling
            try:
                return job.work(report)
            except GiveWay:
                lane.leave(turn)
                return begin()

        try:
            if not job.wanted:
                return
            answer = job.ready()
            if answer is None:
                answer = begin()
            self._finish(job, lambda: job.done(answer))
        except Abandoned:
            if job.gone():  # and may come back
                self._post(lambda: self._left(job))
        except Exception as exception:
            sentence = faults.sentence(exception, *job.fault)
            self._finish(job, lambda: job.failed(sentence))
        finally:
            _here.compiling = None
            if timer is not None:
                timer.cancel()
            lane.leave(turn)

    def _left(self, job: Job) -> None:
        """Its page was closed."""
        if self._job is job:
            self._job = None
            job.forget()
            job.failed("the run was stopped because the page was closed")

    def _tell(self, job: Job, call: Callable[[], None]) -> None:
        def in_page() -> None:
            if job.wanted:
                call()

        self._post(in_page)

    def _finish(self, job: Job, call: Callable[[], None]) -> None:
        def in_page() -> None:
            if job.wanted:
                job.forget()
                self._job = None
                call()

        self._post(in_page)


def _compiles(event: str, **_: Any) -> None:
    if event.endswith("compile_requests_use_cache") and (tell := getattr(_here, "compiling", None)):
        tell(True)


def _compiled(event: str, duration_secs: float, **_: Any) -> None:
    if event.endswith("backend_compile_duration") and (tell := getattr(_here, "compiling", None)):
        tell(False)


jax.monitoring.register_event_listener(_compiles)
jax.monitoring.register_event_duration_secs_listener(_compiled)


def note_compiling(begins: bool) -> None:
    """Tell the page of this thread's job that a compilation in another process begins, or has ended."""
    if tell := getattr(_here, "compiling", None):
        tell(begins)


def _show(job: Job, progress: Progress) -> None:
    job.stage("running")
    job.progress(progress)


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


def closed() -> Callable[[], bool]:
    """Whether the page that is being built was closed by its visitor, and no browser shows it."""
    document = pn.state.curdoc
    context = None if document is None else document.session_context

    def is_closed() -> bool:
        session = getattr(context, "session", None)
        return session is not None and getattr(session, "lab_closed", False) and not session.connection_count

    return is_closed


def seen(
    post: Callable[[Callable[[], None]], object], opened: Callable[[], bool]
) -> Callable[[Callable[[], None]], object]:
    """The same for what is drawn: it waits while the page that is being built has no browser, or has none any more.

    A page that was closed lives on for a while, in case its browser comes back, and to draw the rest of its film would take
    the processor from the page that was opened next.

    Args:
        opened: whether a browser has shown the page.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        return post

    def gone() -> bool:
        session = getattr(document.session_context, "session", None)
        return session is None or not session.connection_count

    def later(call: Callable[[], None]) -> None:
        def turn() -> None:
            if opened() and not gone():
                call()
                return
            with suppress(RuntimeError, AttributeError):  # the session has ended
                document.add_timeout_callback(faults.guarded(turn, document), _AWAY if opened() else _COMING)

        post(turn)

    return later
