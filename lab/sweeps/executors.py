"""Where tasks are computed: this process, worker processes, a Dask cluster.

An executor takes tasks and gives results back; it keeps nothing, so that a lost worker costs only its task.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

from lab.inputs import shown

from . import batch, cluster
from .batch import _POLL, Stop, Stopped
from .parcel import Cells, Parcel
from .plan import Task

_TRIES = 3  # times that a task may lose its worker


class Executor(Protocol):
    """Computes tasks. ``width`` is how many it likes to have at hand; used in a ``with``."""

    @property
    def width(self) -> int: ...

    def submit(self, number: int, task: Task) -> None: ...

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        """Numbers and cells of tasks that are done; waits for one or for room for more. Raises Stopped if ``stop`` says so."""
        ...

    def waiting(self) -> str:
        """What is waited for while nothing can be computed; "" while something can."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *problem: Any) -> None: ...


def executor(on: str | None = None, jobs: Mapping[str, Any] | None = None) -> Executor:
    """The executor that a text names; nothing is started before its ``with``.

    Args:
        on: None for this process, ``local:4`` for worker processes, the address of a Dask scheduler
            (``tcp://...``), or ``slurm``, ``pbs``, ``lsf``.
        jobs: of a queue: ``workers``, and what dask-jobqueue takes: ``queue``, ``cores``, ``memory``, ``walltime``, ...

    Returns:
        what computes tasks, for ``sweeps.run``.

    Raises:
        ValueError: no such executor, the extra ``cluster`` is not installed, no such setting of a job, or nothing here
            that submits jobs.

    Examples:
        >>> from lab import sweeps
        >>> type(sweeps.executor()).__name__, type(sweeps.executor("local:4")).__name__
        ('Here', 'Processes')
    """
    if jobs and on not in cluster.QUEUES:
        raise ValueError(f"jobs = {shown(jobs)} is for on = slurm, pbs or lsf: leave it out")
    if on in (None, "here"):
        return Here()
    kind, _, rest = on.partition(":")
    if kind == "local" and rest.isascii() and rest.isdigit() and len(rest) < 7 and int(rest) >= 1:
        return Processes(int(rest))
    if "://" in on:
        return cluster.Dask(cluster.Address(on))
    if kind in cluster.QUEUES and not rest:
        return cluster.Dask(cluster.Jobs(kind, jobs or {}))
    raise ValueError(
        f"on = {shown(on)} is no place to compute: it must be local:N (N worker processes), the address of a Dask scheduler "
        "(tcp://host:8786), slurm, pbs or lsf"
    )


class Here:
    """This process."""

    width = 1

    def __init__(self) -> None:
        self._tasks: list[tuple[int, Task]] = []

    def submit(self, number: int, task: Task) -> None:
        self._tasks.append((number, task))

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        number, task = self._tasks.pop(0)
        return [(number, batch.compute(task.study, task.points, task.size, stop, batch.threads()))]

    def waiting(self) -> str:
        return ""

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *problem: Any) -> None:
        pass


# ---- worker processes ----------------------------------------------------------------------------------------------

_flag: Any = None
_SAFE = "PYTHONSAFEPATH"  # with it a process imports from the folders of its parent only
_setting = threading.Lock()


@contextmanager
def _safe_path() -> Iterator[None]:
    """A block whose new processes import nothing from the current folder that this process does not import from."""
    with _setting:
        before = os.environ.get(_SAFE)
        os.environ[_SAFE] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_SAFE]
            else:
                os.environ[_SAFE] = before


def _begin(flag: Any, parent: Connection) -> None:
    global _flag
    _flag = flag
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """End this process when its parent hangs up, in the midst of a chunk too: killed, it can't say anything."""
    parent.poll(None)
    os._exit(1)


def _work(parcel: Parcel) -> Cells:
    return parcel.compute(_flag.is_set)


class Processes:
    """Worker processes of this machine. When one is killed its pool is lost; the tasks at hand are given to a new one.

    A task that lost its worker more than once runs alone, so that it is known which one it was.
    """

    def __init__(self, count: int):
        self._count = count
        self.width = 2 * count
        self._context = multiprocessing.get_context("spawn")
        with _safe_path():  # it starts a process that counts such things
            self._flag = self._context.Event()
        self._parent, self._hold = self._context.Pipe(duplex=False)
        self._pool: ProcessPoolExecutor | None = None
        self._tasks: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._futures: dict[Future, int] = {}

    def submit(self, number: int, task: Task) -> None:
        kind = type(task.study)
        if kind.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
            raise ValueError(
                f"the class {kind.__name__} of a notebook's cell can't be given to worker processes: write it to a file, "
                "my_study.py say, and import it from there"
            )
        self._tasks[number], self._tries[number] = Parcel.of(task), 0
        self._feed()

    def _feed(self) -> None:
        if self._pool is None:
            started_with = self._flag, self._parent
            self._pool = ProcessPoolExecutor(self._count, self._context, initializer=_begin, initargs=started_with)
        running = set(self._futures.values())
        waiting = [number for number in self._tasks if number not in running]
        if suspects := [number for number in self._tasks if self._tries[number] > 1]:
            waiting = [] if running else suspects[:1]  # alone
        try:
            for number in waiting:
                with _safe_path():
                    future = self._pool.submit(_work, self._tasks[number])
                self._futures[future] = number
        except BrokenProcessPool:
            self._lost()

    def _lost(self) -> None:
        """The pool is broken: all that it had at hand starts again in a new one."""
        for number in self._futures.values():
            self._tries[number] += 1
        self._futures.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        while True:
            given_up = [number for number in self._tasks if self._tries[number] >= _TRIES]
            if given_up:
                text = f"its worker process died {_TRIES} times: too little memory for it, or it was killed"
                return [(number, [text] * len(self._drop(number).points)) for number in given_up]
            self._feed()
            done, _ = wait(self._futures, _POLL, FIRST_COMPLETED)
            if stop():
                self._flag.set()
                raise Stopped
            results = []
            for future in done:
                problem = future.exception()
                if isinstance(problem, BrokenProcessPool):
                    self._lost()
                    break
                number = self._futures.pop(future)
                points = self._drop(number).points
                results.append(
                    (number, [f"{type(problem).__name__}: {problem}"] * len(points) if problem else future.result())
                )
            if results:
                return results

    def _drop(self, number: int) -> Parcel:
        del self._tries[number]
        return self._tasks.pop(number)

    def waiting(self) -> str:
        return ""

    def __enter__(self) -> "Processes":
        self._flag.clear()
        self._pool = None
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *problem: Any) -> None:
        self._flag.set()
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C again, or a signal to end: now
            self._hold.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
