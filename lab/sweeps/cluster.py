"""A Dask cluster: one that runs already, at an address, or one whose workers are jobs of SLURM, PBS or LSF."""

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any, NoReturn, Protocol

import lab
from lab import code
from lab.inputs import cut, listed, shown

from . import batch
from .batch import _POLL, Stop, Stopped
from .parcel import Cells, Parcel
from .plan import Task

QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}

_LOOK = 1.0  # seconds between looks at who is there
_PATIENCE = 10.0  # seconds between looks at the queue, which many share
_FILL = {"cores": 1, "processes": 1, "memory": "4GB"}  # what neither the user nor jobqueue.yaml may have said
_LISTS = ("job_extra_directives", "job_script_prologue", "job_directives_skip", "worker_extra_args")
_NUMBERS = ("cores", "processes", "job_cpu", "ncpus", "mem", "death_timeout")
_VALUES = (*_NUMBERS, "nanny", "use_stdin", "security", "scheduler_options")
_OURS = (
    "self",
    "scheduler",
    "name",
    "loop",
    "asynchronous",
    "n_workers",
    "job_cls",
    "scheduler_cls",
    "silence_logs",
    "dashboard_address",
    "host",
    "project",
    "extra",
    "job_extra",
    "env_extra",
    "header_skip",
)
"""Arguments of dask-jobqueue that the lab gives itself, and those that it has other names for by now."""


def _extra(module: str, what: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"computing on {what} needs the extra cluster: pip install 'transport-lab[cluster]'") from None


# ---- who computes with what --------------------------------------------------------------------------------------------


@cache
def versions() -> dict[str, str]:
    """Of what makes the numbers and of what carries them. A working tree of the lab is told by its code."""
    python = ".".join(python_version().split(".")[:2])
    ours = f"{lab.__version__}, code {code.ours(('app', 'cli', 'figures'))[:8]}"
    return {"python": python, "lab": ours} | {name: _version(name) for name in ("jax", "jaxlib", "numpy", *_CARRIERS)}


_CARRIERS = ("dask", "distributed")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _refuse(where: str, theirs: Mapping[str, str]) -> NoReturn:
    others = [
        f"{name} {theirs[name]} and not {here}" for name, here in versions().items() if theirs.get(name, here) != here
    ]
    raise ValueError(f"{where} has {listed(others, 160)}: give it the environment here")


def _work(parcel: Parcel, key: str, wanted: Mapping[str, str]) -> Cells | tuple[str, dict[str, str]]:
    """On a Dask worker: the cells; or, where it is not as ``wanted``, its address and versions."""
    import dask.system
    from distributed import get_worker

    worker, here = get_worker(), versions()
    if here != wanted:
        return worker.address, here

    def given_up() -> bool:  # by a client that stopped, or is gone
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    return parcel.compute(given_up, dask.system.CPU_COUNT if batch.threads() > 1 else 1)


# ---- where the workers are -----------------------------------------------------------------------------------------


class Place(Protocol):
    """Where workers are.

    Attributes:
        name: of the place, as a sentence names it.
    """

    name: str

    def open(self, stack: ExitStack) -> Any:
        """A client of the scheduler; ``stack`` ends all that was started for it."""
        ...

    def look(self, workers: int) -> str:
        """What is waited for, where there are no workers; "" where there are. Raises ValueError where none will come."""
        ...


class Address:
    """A scheduler that somebody has started."""

    def __init__(self, address: str):
        self._distributed = _extra("distributed", "a Dask cluster")
        self.name = f"the Dask scheduler at {cut(address)}"
        self._address = address
        try:
            self._distributed.comm.get_address_host(address)  # a client that finds it wrong never ends
        except ValueError as problem:
            raise ValueError(
                f"{cut(address)} is no address of a Dask scheduler: it must be like tcp://host:8786 ({cut(problem, 100)})"
            ) from None

    def open(self, stack: ExitStack) -> Any:
        try:
            client = self._distributed.Client(self._address, timeout=10, set_as_default=False)
        except (OSError, TimeoutError) as problem:
            raise ValueError(
                f"there is no Dask scheduler at {cut(self._address)}: start one, or take local:N"
            ) from problem
        return stack.enter_context(client)

    def look(self, workers: int) -> str:
        return "" if workers else f"{self.name} has none"


class Jobs:
    """The jobs of a queue, each with one worker or, by ``processes``, several.

    What is not given stands in the user's configuration of Dask, ``jobqueue.yaml``, or is the default of dask-jobqueue.

    Args:
        kind: ``slurm``, ``pbs`` or ``lsf``.
        given: ``workers``, the number of jobs, and what dask-jobqueue takes.
    """

    def __init__(self, kind: str, given: Mapping[str, Any]):
        dask_jobqueue = _extra("dask_jobqueue", kind)
        self.name, self._kind = f"the scheduler of the {kind} jobs", kind
        self._cluster = getattr(dask_jobqueue, QUEUES[kind])
        self._job = self._cluster.job_cls
        self._count = given.get("workers", 4)
        if type(self._count) is not int or self._count < 1:
            raise ValueError(
                f"workers = {shown(self._count)} is not allowed: it must be a whole number of jobs, from 1"
            )
        self._settings = self._filled(_checked(kind, self._cluster, given))
        submits = shlex.split(self._job.submit_command)[0]
        if shutil.which(submits) is None:
            raise ValueError(
                f"on = {kind} submits jobs by {submits}, which is not on the PATH here: "
                f"go to a machine that submits to {kind.upper()}, or take local:N"
            )
        if self._settings.get("security") is True and find_spec("cryptography") is None:
            raise ValueError("security=True needs the package cryptography: pip install cryptography")
        mine = {name: value for name, value in self._settings.items() if name in _parameters(self._job)}
        try:
            job = self._job(scheduler="SCHEDULER", name="NAME", **mine | {"security": None})
            self.script, self._logs = job.job_script(), Path(job.log_directory or "")
        except Exception as problem:  # whatever its arithmetic makes of a wrong setting
            raise ValueError(f"dask-jobqueue takes no such {kind} jobs: {cut(problem, 200)}") from problem
        self._submitted: list[str] = []
        self._refused: list[Exception] = []

    def _filled(self, given: dict[str, Any]) -> dict[str, Any]:
        """With what the lab sees to: one task at a time on a worker, since XLA uses all of its cores."""
        import dask.config

        section = given.get("config_name") or self._job.default_config_name()

        def configured(name: str) -> Any:
            return dask.config.get(f"jobqueue.{section}.{name.replace('_', '-')}", None)

        fill = {name: value for name, value in _FILL.items() if name not in given and configured(name) is None}
        extra = given.get("worker_extra_args", configured("worker_extra_args")) or configured("extra") or []
        options = given.get("scheduler_options", configured("scheduler_options")) or {}
        prologue = given.get("job_script_prologue", configured("job_script_prologue")) or []
        return (
            fill
            | given
            | {
                "job_script_prologue": [*_imports(), *prologue],
                "worker_extra_args": ["--nthreads", "1", *extra],
                "scheduler_options": {"dashboard_address": ":0"} | options,  # where others have taken Dask's 8787
            }
        )

    def open(self, stack: ExitStack) -> Any:
        distributed = _extra("distributed", self._kind)
        self._dask = stack.enter_context(_ended(self._cluster(job_cls=self._noted(), **self._settings)))
        client = stack.enter_context(distributed.Client(self._dask, set_as_default=False))
        self._ask()
        return client

    def _ask(self) -> None:
        self._came, self._states, self._next = False, None, 0.0
        self._submitted.clear()
        self._dask.scale(jobs=self._count)

    def _noted(self) -> type:
        """The class of the jobs, with a note of each that was submitted or refused: Dask would only log the latter."""
        from distributed.deploy.spec import ProcessInterface

        submitted, refused = self._submitted, self._refused

        class Job(self._job):
            async def start(self) -> None:
                try:
                    await super().start()
                    submitted.append(self.job_id)
                    submitted.sort(key=lambda job: (len(job), job))  # they may be answered in any order
                except Exception as problem:
                    refused.append(problem)
                    await ProcessInterface.start(self)

            async def close(self) -> None:
                await super().close()
                await ProcessInterface.close(self)

        return Job

    def look(self, workers: int) -> str:
        if self._refused:
            raise ValueError(f"{shlex.split(self._job.submit_command)[0]} refused a job: {_said(self._refused[0])}")
        asked = f"{self._count} job{'s' * (self._count > 1)} asked for"
        if workers:
            self._came = True
            return ""
        if len(self._submitted) == self._count and time.monotonic() >= self._next:
            self._states, self._next = self._queued(), time.monotonic() + _PATIENCE
        if self._states is None:
            return f"{asked}, {len(self._submitted)} of them submitted"
        if self._states:
            return f"{asked}, {', '.join(f'{count} {state}' for state, count in Counter(self._states).items())}"
        if not self._came:
            raise ValueError(
                f"no worker came: of {asked} none is in the queue any more ({listed(self._submitted)}){self._log()}"
            )
        if self._dask.workers:  # before they are struck off, Dask takes them for those that it is asked for
            self._dask.scale(jobs=0)
        else:
            self._ask()
        return f"{asked} again, for the time of the others is over"

    def _queued(self) -> list[str] | None:
        """The state of each job that is in the queue; None where that can't be told."""
        if self._kind != "slurm":  # the others' tables differ from site to site
            return None
        command = ["squeue", "--noheader", "--format=%T %r", f"--jobs={','.join(self._submitted)}"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if told.returncode and "Invalid job id" not in told.stderr:
            return None
        found = [line.split(maxsplit=1) for line in told.stdout.splitlines() if line.strip()]
        return [
            state.lower() + (f" ({why[0].strip('()')})" if why and why[0].strip("()") != "None" else "")
            for state, *why in found
        ]

    def _log(self) -> str:
        """The end of what such a job wrote, where it stands where queues put it."""
        with suppress(OSError):
            for kind in ("err", "out"):
                for path in self._logs.glob(f"*-{self._submitted[0]}.{kind}"):
                    if text := path.read_bytes()[-4096:].decode(errors="replace").strip():
                        return f"; {path} ends with: {cut(text.splitlines()[-1], 120)}"
        return "; its log says why"


def _imports() -> list[str]:
    """Lines of a job's script: workers do not import from the folder of its submission, unless this process does."""
    lines, folder = ["export PYTHONSAFEPATH=1"], sys.path[0] if sys.path else None
    script = os.path.abspath(getattr(sys.modules["__main__"], "__file__", None) or "")
    if folder in ("", os.getcwd()) or (script.endswith(".py") and folder == os.path.dirname(script)):
        lines.append(f"export PYTHONPATH={shlex.quote(os.path.abspath(folder or '.'))}${{PYTHONPATH:+:$PYTHONPATH}}")
    return lines


def _said(problem: Exception) -> str:
    """What the command wrote, out of dask-jobqueue's account of it."""
    told = re.search(r"stdout:\n(.*)\nstderr:\n(.*)", str(problem), re.DOTALL)
    return cut((told[2].strip() or told[1].strip()) if told else problem, 200)


@contextmanager
def _ended(cluster: Any) -> Iterator[Any]:
    """The cluster, whose jobs are taken out of the queue at the end, by a thread that a Ctrl-C does not reach."""
    try:
        yield cluster
    finally:
        ending = threading.Thread(target=cluster.close, name="end of the jobs")
        ending.start()
        ending.join()


def _checked(kind: str, cluster: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of jobs as dask-jobqueue takes them; ValueError for one that it does not take."""
    allowed = (_parameters(cluster.job_cls) | _parameters(cluster)) - {*_OURS}
    settings = {}
    for name, value in given.items():
        if name == "workers":
            continue
        if name not in allowed:
            close = get_close_matches(name[:80], allowed, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]}?" if close else f"there are {listed(sorted(allowed), 160)}"
            raise ValueError(f"{shown(name)} is no setting of a {kind} job: {hint}")
        settings[name] = _value(name, value)
    return settings


def _parameters(made: type) -> set[str]:
    """What a class of dask-jobqueue and those above it take by name."""
    return {
        name
        for kind in made.__mro__
        if kind.__module__.startswith("dask_jobqueue") and "__init__" in vars(kind)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def _value(name: str, value: Any) -> Any:
    """A setting in its type; a text may be that of a number or a dict, and a list of texts is what an option was given."""
    if name in _LISTS:
        if not isinstance(value, str | Sequence | Mapping):
            raise ValueError(f"{name} = {shown(value)} is not allowed: it must be a list of texts")
        return [value] if isinstance(value, str) else value if isinstance(value, Mapping) else list(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise ValueError(f"{name} was given {len(value)} times: a job has one")
        value = value[0]
    if isinstance(value, str) and name in _VALUES:
        from dask.config import interpret_value

        value = interpret_value(value)
    if name in _NUMBERS and not (type(value) is int and value > 0):
        raise ValueError(f"{name} = {shown(value)} is not allowed: it must be a whole number above 0")
    if name == "scheduler_options" and not isinstance(value, Mapping):
        raise ValueError(f"{name} = {shown(value)} is not allowed: it must be like {{'host': '10.0.0.1'}}")
    return value


# ---- the executor ----------------------------------------------------------------------------------------------------


class Dask:
    """A Dask cluster. The scheduler gives the task of a lost worker to another one."""

    def __init__(self, place: Place):
        self._place = place
        self.script = getattr(place, "script", "")
        self._futures: dict[Any, tuple[int, int]] = {}
        self._workers = 0

    @property
    def width(self) -> int:
        """Two tasks for each worker, as many as there are now."""
        return 2 * max(1, self._workers)

    def submit(self, number: int, task: Task) -> None:
        self._tasks.append((number, Parcel.of(task)))

    def _send(self) -> None:
        """Hand over what was submitted: a worker without the lab would die of it before it can say so."""
        for number, parcel in self._tasks if self._workers else ():
            key = f"{self._name}-{number}"
            future = self._client.submit(_work, parcel, key, versions(), key=key, pure=False)
            self._futures[future] = number, len(parcel.points)
        if self._workers:
            self._tasks.clear()

    def finished(self, stop: Stop) -> list[tuple[int, Cells]]:
        width = self.width
        while self.width <= width:  # workers that have come since have nothing to do yet
            if stop():
                raise Stopped
            self._look()
            self._send()
            taken = []
            for future in [future for future in self._futures if future.done()]:
                if (status := future.status) not in ("pending", "lost"):  # else its worker died since: once more
                    number, count = self._futures.pop(future)
                    taken.append((number, self._cells(future, status, count)))
            if taken:
                return taken
            time.sleep(_POLL / 4)
        return []

    def _cells(self, future: Any, status: str, count: int) -> Cells:
        if status == "finished":
            found = future.result()
            if isinstance(found, tuple):
                _refuse(f"the worker at {found[0]}", found[1])
            return found
        if status != "error":
            self._gone()
        problem = future.exception()
        if type(problem).__name__ == "KilledWorker":
            return ["its worker died again and again: too little memory for it, or it was killed"] * count
        return [f"{type(problem).__name__}: {problem}"] * count

    def _compare(self, workers: Iterable[str]) -> None:
        """Refuse workers that have other versions, or too little to tell theirs."""
        for address, theirs in self._client.run(versions, workers=[*workers], on_error="return").items():
            if isinstance(theirs, OSError):
                continue  # it has gone
            if isinstance(theirs, Exception):
                here = ", ".join(f"{name} {at}" for name, at in versions().items())
                why = f"{type(theirs).__name__}: {cut(theirs, 60)}"
                raise ValueError(
                    f"the worker at {address} can't run the lab ({why}): give it the environment here, {here}"
                )
            if theirs != versions():
                _refuse(f"the worker at {address}", theirs)

    def _gone(self) -> NoReturn:
        raise ValueError(
            f"{self._place.name} is gone: what was computed is kept, and the same sweep goes on from there"
        )

    def _look(self) -> None:
        """See who is there, once a second, and while nobody is, what is waited for."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK
        try:
            there = {*self._client.scheduler_info(n_workers=-1)["workers"]}
            if there - self._checked:
                self._compare(there - self._checked)
        except (OSError, TimeoutError):
            self._gone()
        self._workers, self._checked = len(there), there
        self._told = self._place.look(self._workers)
        if self._workers:
            self._since = now

    def waiting(self) -> str:
        return f"waiting for a worker, for {time.monotonic() - self._since:.0f} s: {self._told}" if self._told else ""

    def __enter__(self) -> "Dask":
        self._name = f"lab-{id(self)}-{time.time_ns()}"
        self._futures.clear()
        self._tasks: list[tuple[int, Parcel]] = []
        self._checked: set[str] = set()
        with ExitStack() as stack:
            self._client = self._place.open(stack)
            self._since, self._told, self._next = time.monotonic(), "", 0.0
            self._stack = stack.pop_all()
        self._look()
        return self

    def __exit__(self, *problem: Any) -> None:
        with self._stack:
            self._client.cancel(list(self._futures))
