"""Where tasks are computed: this process, worker processes, a Dask cluster.

An executor takes tasks and gives results back; it keeps nothing, so that a lost worker costs only its task.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import jax
import xarray as xr

from lab import studies
from lab.inputs import cut, shown

from . import batch
from .batch import _POLL, Stop, Stopped
from .plan import Task

type Cells = list[xr.Dataset | str]

_TRIES = 3  # times that a task may lose its worker
_QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}


class Executor(Protocol):
    """Computes tasks. ``width`` is how many it likes to have at hand; used in a ``with``."""

    @property
    def width(self) -> int: ...

    def submit(self, number: int, task: Task) -> None: ...

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        """Numbers and cells of tasks that are done; waits for at least one. Raises Stopped when ``stop`` says so."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *problem: Any) -> None: ...


def executor(on: str | None = None, jobs: Mapping[str, Any] | None = None) -> Executor:
    """The executor that a text names; nothing is started before its ``with``.

    Args:
        on: None for this process, ``local:4`` for worker processes, the address of a Dask scheduler
            (``tcp://...``), or ``slurm``, ``pbs``, ``lsf``.
        jobs: of a queue: ``workers``, and what dask-jobqueue takes: ``queue``, ``cores``, ``memory``, ``walltime``, ...

    Raises:
        ValueError: no such executor, or the extra ``cluster`` is not installed.
    """
    if on in (None, "here"):
        return Here()
    kind, _, rest = on.partition(":")
    if kind == "local" and rest.isascii() and rest.isdigit() and len(rest) < 7 and int(rest) >= 1:
        return Processes(int(rest))
    if "://" in on:
        _distributed()
        return Dask(lambda: _client(on))
    if kind in _QUEUES and not rest:
        _extra("dask_jobqueue", kind)
        return Dask(lambda: _queue(kind, dict(jobs or {})))
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

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *problem: Any) -> None:
        pass


class Parcel(NamedTuple):
    """A task as it travels: the study by name, for its class may come from a file."""

    study: type[studies.Study] | str
    file: tuple[str, str] | None  # name and text of a user's file
    values: dict[str, Any]
    points: list[dict[str, Any]]
    size: int
    wide: bool  # float64

    @classmethod
    def of(cls, task: Task) -> "Parcel":
        kind = type(task.study)
        origin = getattr(sys.modules.get(kind.__module__), "__file__", None)
        loaded = kind.__module__.startswith("lab_user_") and origin
        file = (Path(origin).name, Path(origin).read_text()) if loaded else None  # type: ignore[arg-type]
        wide = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
        values = task.study.values()
        if isinstance(values["data"], str) and (path := Path(values["data"]).expanduser()).exists():
            values["data"] = str(path.resolve())
        return cls(kind.slug if file else kind, file, values, task.points, task.size, wide)

    def compute(self, stop: Stop) -> Cells:
        """On the worker."""
        from lab.home import start

        start()
        jax.config.update("jax_enable_x64", self.wide)
        kind = self.study if isinstance(self.study, type) else _from_file(self.study, self.file)
        return batch.compute(kind(**self.values), self.points, self.size, stop)


_files: dict[tuple[str, str], TemporaryDirectory] = {}


def _from_file(slug: str, file: tuple[str, str] | None) -> type[studies.Study]:
    if file is not None and file not in _files:
        _files[file] = TemporaryDirectory(prefix="lab-study-")
        path = Path(_files[file].name, file[0])
        path.write_text(file[1])
        studies.load_file(path)
    return studies.find(slug)


# ---- worker processes ----------------------------------------------------------------------------------------------

_flag: Any = None


def _begin(flag: Any) -> None:
    global _flag
    _flag = flag
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides


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
        self._flag = self._context.Event()
        self._pool: ProcessPoolExecutor | None = None
        self._tasks: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._futures: dict[Future, int] = {}

    def submit(self, number: int, task: Task) -> None:
        self._tasks[number], self._tries[number] = Parcel.of(task), 0
        self._feed()

    def _feed(self) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, self._context, initializer=_begin, initargs=(self._flag,))
        running = set(self._futures.values())
        waiting = [number for number in self._tasks if number not in running]
        if suspects := [number for number in self._tasks if self._tries[number] > 1]:
            waiting = [] if running else suspects[:1]  # alone
        try:
            for number in waiting:
                self._futures[self._pool.submit(_work, self._tasks[number])] = number
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

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *problem: Any) -> None:
        self._flag.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


# ---- Dask ----------------------------------------------------------------------------------------------------------


def _distributed() -> Any:
    return _extra("distributed", "a Dask cluster")


def _extra(module: str, what: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"computing on {what} needs the extra cluster: pip install 'transport-lab[cluster]'") from None


def _client(address: str) -> Any:
    try:
        return _distributed().Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError) as problem:
        raise ValueError(f"there is no Dask scheduler at {cut(address)}: start one, or take local:N") from problem


def _queue(kind: str, jobs: dict[str, Any]) -> Any:
    distributed = _distributed()
    dask_jobqueue = _extra("dask_jobqueue", kind)
    workers = int(jobs.pop("workers", 4))
    # one task at a time on a worker: XLA uses all of its cores
    settings = {"cores": 1, "processes": 1, "memory": "4GB", "walltime": "01:00:00"} | jobs
    cluster = getattr(dask_jobqueue, _QUEUES[kind])(**settings)
    cluster.scale(jobs=workers)
    client = distributed.Client(cluster, set_as_default=False)
    client._lab_cluster = cluster  # closed with the client
    return client


def _work_dask(parcel: Parcel, name: str) -> Cells:
    """On a Dask worker; a thread of its own asks for the stop flag, for the scheduler may be far."""
    from threading import Event, Thread

    distributed = _distributed()
    asked, over = Event(), Event()
    with distributed.worker_client(separate_thread=False) as client:

        def look() -> None:
            flag = distributed.Event(name, client=client)
            while not over.wait(2 * _POLL):
                try:
                    if flag.is_set():
                        asked.set()
                        return
                except Exception:  # the scheduler is gone: nobody waits for this
                    asked.set()
                    return

        thread = Thread(target=look, daemon=True)
        thread.start()
        try:
            return parcel.compute(asked.is_set)
        finally:
            over.set()
            thread.join()


class Dask:
    """A Dask cluster. The scheduler gives the task of a lost worker to another one."""

    def __init__(self, connect: Callable[[], Any]):
        self._connect = connect
        self._client: Any = None
        self._flag = f"lab-stop-{id(self)}-{time.time_ns()}"
        self._futures: dict[Any, tuple[int, int]] = {}

    @property
    def width(self) -> int:
        """Two tasks for each worker, as many as there are now."""
        return 2 * max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, number: int, task: Task) -> None:
        key = f"{self._flag}-{number}-{time.time_ns()}"
        future = self._client.submit(_work_dask, Parcel.of(task), self._flag, key=key, pure=False)
        self._futures[future] = number, len(task.points)

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        while True:
            done = [future for future in self._futures if future.done()]
            if stop():
                self._distributed_flag().set()
                raise Stopped
            if not done:
                time.sleep(_POLL / 4)
                continue
            results = []
            for future in done:
                number, count = self._futures.pop(future)
                if future.status == "finished":
                    results.append((number, future.result()))
                else:
                    problem = future.exception()
                    results.append((number, [f"{type(problem).__name__}: {problem}"] * count))
            return results

    def _distributed_flag(self) -> Any:
        return _distributed().Event(self._flag, client=self._client)

    def __enter__(self) -> "Dask":
        self._client = self._connect()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._client.cancel(list(self._futures))
        cluster = getattr(self._client, "_lab_cluster", None)
        self._client.close()
        if cluster is not None:
            cluster.close()
