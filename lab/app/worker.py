"""A low-priority process for work that would slow the pages: long runs, sweeps, and programs that are compiled ahead.

It computes one job at a time. ``line`` orders the jobs: runs before sweeps, and visitors in turn. A job that is abandoned ends
within ``_GRACE`` seconds, if necessary with the process. While there is no job, the process runs the default of each study
and keeps what it compiles ready to run, so that the server need not compile it. It ends with the server.

A job travels to the process pickled, and its result back: both ends are the lab, and neither reads users' files there.
"""

import atexit
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from math import prod, sqrt
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import Any, NamedTuple, Protocol

from lab.numerics import Progress
from lab.studies import Outcome, Study, Whole
from lab.sweeps.parcel import Packed

from .turns import Line

COMMAND = """
import ctypes, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # to end with the server, also where that is killed
from lab.app.worker import main
main(*sys.argv[1:])
"""
_NICE = 10  # still a tenth of a processor where all are busy, so that no lock is held for long
_LEFT = 1 << 29  # bytes of memory that the process keeps between two jobs
_POLL = 0.1  # seconds
_GRACE = 1.0  # seconds that an abandoned job has to end by itself
_OFTEN = 0.1  # seconds between two reports
_QUICK = 2.0  # seconds of a run that the server computes itself
_LARGE = 2.0  # times the default sizes: the largest run of unknown duration that the server computes itself
_REMEMBERED = 4096
line = Line()


# ---- jobs ------------------------------------------------------------------------------------------------------------


class Job(Protocol):
    """What the process computes."""

    def compute(self, report: Callable[[Any], bool], sketch: Callable[[Any], None]) -> Any: ...


class Run(NamedTuple):
    """A run of a study."""

    study: Packed
    warm: Any

    def compute(self, report: Callable[[Any], bool], sketch: Callable[[Any], None]) -> Outcome:
        outcome = self.study.open().execute(report, self.warm, sketch)
        try:
            pickle.dumps(outcome.warm)
        except Exception:  # a state may hold a function
            return Outcome(outcome.result, None)
        return outcome


class Sweep(NamedTuple):
    """A sweep whose cells are all needed."""

    study: Packed
    grid: Mapping[str, Any]
    keep: Sequence[str]
    store: Path | None

    def compute(self, report: Callable[[Any], bool], sketch: Callable[[Any], None]) -> Any:
        from lab import sweeps
        from lab.store import Store

        store = False if self.store is None else Store(self.store)
        return sweeps.complete(self.study.open(), self.grid, report, keep=self.keep, store=store)


class Fill(NamedTuple):
    """A sweep whose cells the page reads from the store, as they come."""

    study: Packed
    grid: Mapping[str, Any]
    keep: Sequence[str]
    store: Path
    most: float
    retry: bool

    def compute(self, report: Callable[[Any], bool], sketch: Callable[[Any], None]) -> None:
        from lab import sweeps
        from lab.store import Store

        study, store = self.study.open(), Store(self.store)
        plan = sweeps.Plan(study, self.grid, store=store, keep=self.keep, retry_failed=self.retry, most=self.most)
        sweeps.run(plan, report, must_keep=True)


# ---- what is long ----------------------------------------------------------------------------------------------------

_took: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # by programs: seconds of a run, and its size


def size(study: Study) -> float:
    """The product of the whole-number parameters relative to their defaults, where they are above: of those without a
    default, relative to the geometric middle of their slider."""
    ratios = []
    for name, parameter in study.parameters().items():
        if isinstance(parameter, Whole) and name != "seed" and (value := getattr(study, name)):
            low, high = parameter.soft or (None, None)
            usual = parameter.default or sqrt(max(low or 1, 1) * (high or 0))
            ratios.append(value / usual if usual else 1.0)
    return prod(max(1.0, ratio) for ratio in ratios)


def took(study: Study, data: Any, seconds: float) -> None:
    """Remember how long a run of these programs takes."""
    _took[study.programs(data)] = seconds, size(study)
    while len(_took) > _REMEMBERED:
        _took.popitem(last=False)


def is_long(study: Study, data: Any) -> bool:
    """Whether a run is likely to take long: by an earlier run of the same programs, otherwise by its sizes."""
    known = _took.get(study.programs(data))
    if known is None:
        return size(study) > _LARGE
    seconds, then = known
    return seconds * max(1.0, size(study) / then) > _QUICK


# ---- in the server -----------------------------------------------------------------------------------------------------


class Unsendable(Exception):
    """The job holds something that can't travel to another process."""


class Worker:
    """The server's end of the process.

    Args:
        slugs: the studies whose programs are compiled ahead, in this order.
    """

    def __init__(self, slugs: Iterable[str] = ()):
        self._slugs = list(slugs)
        self._lock = threading.Lock()  # of what is sent
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._number = 0
        self._halted = False
        if self._slugs:
            self._start()
        atexit.register(self.end)

    @property
    def process(self) -> int | None:
        """The number of the process, None where there is none."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def end(self) -> None:
        """Kill the process; the next job starts another one."""
        if self._process is not None:
            with suppress(OSError, EOFError):
                while self._connection is not None and self._connection.poll():
                    self._hear(self._connection.recv())
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def first(self, slug: str) -> None:
        """Compile the programs of this study before those of the others: its page is opened."""
        if slug in self._slugs:
            self._say("first", slug)

    def give_way(self, halt: bool) -> None:
        """Compile nothing ahead while ``halt``: at the next program, so that no lock is held meanwhile."""
        if halt != self._halted and self._say("halt", halt):
            self._halted = halt

    def call(
        self,
        job: Job,
        report: Callable[[Any], bool | None],
        sketch: Callable[[Any], None] = lambda result: None,
        compiling: Callable[[bool], None] = lambda begins: None,
    ) -> Any:
        """Compute a job; only whoever has the turn in ``line`` may call it.

        Args:
            report: called with the progress, and every ``_POLL`` seconds with None. True ends the job with what it has; an
                exception abandons it.
            sketch: called with a first, rough result.
            compiling: called when a compilation begins and when it has ended.

        Returns:
            what the job computes.

        Raises:
            Unsendable: the job can't travel to another process.
            ValueError: the process has ended, most likely for lack of memory.
            Exception: what the job raised.
        """
        try:
            packed = pickle.dumps(job)
        except Exception as problem:
            raise Unsendable from problem
        if self.process is None:
            self._start()
        connection, process = self._connection, self._process
        assert connection is not None
        assert process is not None
        self._number += 1
        number, ending, problem = self._number, False, None
        try:
            self._send("job", number, packed)
            while problem is None:
                progress = None
                if connection.poll(_POLL):
                    kind, of, value = self._hear(connection.recv())
                    if of != number:
                        continue
                    match kind:
                        case "done":
                            return value
                        case "failed":
                            problem = value
                            break
                        case "unknown":
                            problem = Unsendable(value)
                            break
                        case "sketch":
                            sketch(value)
                        case "compiling":
                            compiling(value)
                        case "progress":
                            progress = value
                if report(progress) and not ending:
                    ending = True
                    self._send("end", number)
        except (OSError, EOFError):
            self.end()
            raise ValueError(
                f"the process that computed this has ended (status {process.returncode}), most likely for lack of memory: "
                "choose smaller sizes"
            ) from None
        except BaseException:
            self._drop(number)
            raise
        raise problem

    def _drop(self, number: int) -> None:
        """End the job: at its next report, or with the process."""
        connection = self._connection
        try:
            self._send("drop", number)
            until = time.monotonic() + _GRACE
            while connection is not None and (left := until - time.monotonic()) > 0:
                if connection.poll(left) and self._hear(connection.recv())[:2] in (
                    ("gone", number),
                    ("done", number),
                    ("failed", number),
                ):
                    return
        except (OSError, EOFError):
            pass
        self.end()

    def _start(self) -> None:
        ours, theirs = socketpair()
        with theirs:
            command = [sys.executable, "-P", "-c", COMMAND, str(theirs.fileno()), *self._slugs]
            # on a GPU the server has its share of the memory already
            environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | os.environ
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self._connection, self._halted = Connection(ours.detach()), False

    def _hear(self, message: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
        if message[0] == "warmed":
            with suppress(ValueError):
                self._slugs.remove(message[1])
        return message

    def _send(self, *message: Any) -> None:
        with self._lock:
            if self._connection is None:  # the server ends
                raise OSError("the process has ended")
            self._connection.send(message)

    def _say(self, *message: Any) -> bool:
        """Send something short from the event loop, which waits for nobody: whether it was sent."""
        if self.process is None or not self._lock.acquire(blocking=False):
            return False
        try:
            assert self._connection is not None
            self._connection.send(message)
        except (OSError, AssertionError):
            return False
        finally:
            self._lock.release()
        return True


def queued(place: int) -> str:
    """The status of a job before which so many others go."""
    return f"Queued in the background: {place} {'job goes' if place == 1 else 'jobs go'} first"


present: Worker | None = None


def begin(slugs: Iterable[str] = ()) -> None:
    """Have this server use a process for long work; nothing on systems that can't hand it a connection."""
    global present
    if os.name == "posix" and (present is None or (present.process is None and slugs)):
        present = Worker(slugs)


def compute(
    job: Job | None,
    here: Callable[[], Any],
    report: Callable[[Any], bool | None],
    sketch: Callable[[Any], None] = lambda result: None,
    compiling: Callable[[bool], None] = lambda begins: None,
) -> Any:
    """As ``Worker.call``; what ``here`` computes where there is no job for the process, or the job can't travel."""
    if job is not None and present is not None:
        with suppress(Unsendable):
            return present.call(job, report, sketch, compiling)
    return here()


def first(slug: str) -> None:
    """As ``Worker.first``, where there is one."""
    if present is not None:
        present.first(slug)


def give_way(halt: bool) -> None:
    """As ``Worker.give_way``, where there is one."""
    if present is not None:
        present.give_way(halt)


# ---- in the process ----------------------------------------------------------------------------------------------------


class _Aside(BaseException):
    """A job, or another study, goes first. Not an Exception, which code that reads programs may catch."""


class _Dropped(BaseException):
    """The job is abandoned."""


def main(number: str, *slugs: str) -> None:
    """What the process does.

    Args:
        number: of the descriptor of its connection.
        slugs: the studies whose programs are compiled ahead.
    """
    with suppress(AttributeError, OSError):
        os.nice(_NICE)
    desk = Desk(Connection(int(number)), slugs)
    threading.Thread(target=desk.listen, daemon=True).start()
    import jax

    from lab.home import start

    start(ready=True)
    jax.monitoring.register_event_listener(lambda event, **_: desk.compiles(event))
    jax.monitoring.register_event_duration_secs_listener(lambda event, duration_secs, **_: desk.compiled(event))
    while True:
        desk.next()


class Desk:
    """The jobs and studies that wait in the process."""

    def __init__(self, connection: Any, slugs: Iterable[str] = ()):
        self._connection = connection
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self.waiting = deque(slugs)
        self._opened = self._halted = False
        self._jobs: deque[tuple[int, bytes]] = deque()
        self._job = 0  # under way
        self._ending = self._dropped = 0

    def listen(self) -> None:
        """Take what the server sends, until it has gone."""
        with suppress(OSError, EOFError):
            while True:
                self.take(*self._connection.recv())
        os._exit(0)

    def take(self, kind: str, value: Any, packed: bytes = b"") -> None:
        """One message of the server."""
        with self._changed:
            match kind:
                case "job":
                    self._jobs.append((value, packed))
                case "end":
                    self._ending = value
                case "drop":
                    self._dropped = value
                case "halt":
                    self._halted = value
                case "first" if value in self.waiting:
                    self.waiting.remove(value)
                    self.waiting.appendleft(value)
                    self._opened = True
            self._changed.notify_all()

    def next(self) -> None:
        """Wait for something to do, and do it."""
        with self._changed:
            while not self._jobs and (not self.waiting or self._halted):
                self._changed.wait()
            job = self._jobs.popleft() if self._jobs else None
            slug = "" if job else self.waiting.popleft()
            self._opened = False  # in the same turn, or what was opened a moment ago would be put behind the next
        if job:
            self._compute(*job)
        else:
            self._warm(slug)
        from lab import memory

        memory.release(_LEFT)

    def _compute(self, number: int, packed: bytes) -> None:
        self._job, last = number, 0.0

        def report(progress: Any) -> bool:
            nonlocal last
            if self._dropped == number:
                raise _Dropped
            now = time.monotonic()
            if not isinstance(progress, Progress) or now - last >= _OFTEN:
                last = now
                told = progress._replace(state=None) if isinstance(progress, Progress) else progress
                self._send("progress", number, told)
            return self._ending == number

        try:
            if self._dropped == number:
                raise _Dropped
            try:
                job = pickle.loads(packed)
            except Exception as problem:  # of a class that only the server can import
                self._send("unknown", number, str(problem))
                return
            value = job.compute(report, lambda result: self._send("sketch", number, result))
            self._send("done", number, value)
        except _Dropped:
            self._send("gone", number, None)
        except Exception as problem:
            try:
                pickle.loads(pickle.dumps(problem))
            except Exception:
                problem = RuntimeError(f"{type(problem).__name__}: {problem}")
            self._send("failed", number, problem)
        finally:
            self._job = 0

    def _warm(self, slug: str) -> None:
        """Run the default of a study; put it behind the one that is opened meanwhile."""
        from lab import studies

        from . import kept

        try:
            study, warm = studies.find(slug)(), None
            kept.identity(type(study))  # kept too: to read the sources takes a while
            for _ in range(2):  # what one moves starts from the run before, by programs of its own
                warm = study.execute(self._aside, warm=warm).warm
                if warm is None:
                    break
        except _Aside:
            with self._changed:
                self.waiting.insert(1 if self._opened else 0, slug)
            return
        except Exception as refusal:  # of anybody's study; the others are still to be compiled
            print(f"the default of {slug} can't be run: {refusal}", file=sys.stderr)
        self._send("warmed", slug, None)

    def _aside(self, progress: Any = None) -> bool:
        """Between two programs or reports of what is compiled ahead: wait while halted, and let others go first."""
        with self._changed:
            while self._halted and not (self._jobs or self._opened):
                self._changed.wait()
            if self._jobs or self._opened:
                raise _Aside
        return False

    def compiles(self, event: str) -> None:
        """JAX begins to compile a program."""
        if event.endswith("compile_requests_use_cache"):
            if self._job:
                self._send("compiling", self._job, True)
            else:
                self._aside()

    def compiled(self, event: str) -> None:
        """JAX has compiled a program."""
        if self._job and event.endswith("backend_compile_duration"):
            self._send("compiling", self._job, False)

    def _send(self, *message: Any) -> None:
        with self._sending, suppress(OSError):  # the server has gone, and so will this process
            self._connection.send(message)
