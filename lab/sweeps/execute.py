"""Running a plan: claim, compute, commit, report; and the Dataset at the end."""

import json
import shlex
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lab import numerics, watch
from lab.store import Claim, Store, pack, packing, unpack
from lab.store.index import say_once
from lab.studies import Study
from lab.studies.contract import as_text, option, sweeping

from . import plan as planning
from . import table
from .batch import Stopped
from .executors import Cells, Executor, executor
from .plan import Plan, Task, failed_key


class Filling(NamedTuple):
    """How far a sweep is.

    Attributes:
        done: cells that are there, those held from the beginning included.
        new: places in the grid, in the order of ``itertools.product``, that have come since the last report.
        left: seconds to the end at the rate so far, None before the first cell.
        waiting: what is waited for while there is nothing that computes: a cluster whose jobs are in the queue; "" else.
    """

    done: int
    cells: int
    failed: int
    new: tuple[int, ...]
    seconds: float
    left: float | None
    waiting: str = ""

    @property
    def rate(self) -> float:
        """Cells a second."""
        return 0.0 if self.left is None or not self.left else (self.cells - self.done) / self.left


type Report = Callable[[Filling], bool | None]
"""Called between chunks and after every commit. Return True to stop, raise to give the sweep up: both end it in order."""


def sweep(
    study: Study | type[Study],
    *,
    report: Report | None = None,
    store: Store | bool | None = None,
    on: str | None = None,
    jobs: Mapping[str, Any] | None = None,
    keep: Sequence[str] = (),
    memory: float | None = None,
    retry_failed: bool = False,
    **grid: Any,
) -> xr.Dataset:
    """Run a study over a grid of parameter values.

    What the store holds is not computed again, and what is computed is in the store before it is reported: a sweep that
    was stopped or killed goes on where it was when it is asked for again. Where the store has no room, a sentence says so and
    the result has all cells all the same.

    Args:
        study: its class, or one with the other parameters set.
        report: see ``Report``. Without one, a notebook shows a bar, and its stop button ends the sweep with what there is.
        store: where the cells are kept; None for the lab's own, False for nowhere.
        on: where to compute: None for this process, ``"local:4"`` for worker processes, the address of a Dask
            scheduler, or ``"slurm"``, ``"pbs"``, ``"lsf"``.
        jobs: settings of a queue: ``workers``, the number of jobs, and what dask-jobqueue takes, as
            ``{"queue": "gpu", "workers": 8, "walltime": "02:00:00", "job_extra_directives": ["--gres=gpu:1"]}``. What is left
            out stands in the user's ``jobqueue.yaml``.
        keep: the variables of the result; all when empty. The store keeps whole runs.
        memory: GiB that the sweep may take; half of what is free when left out.
        retry_failed: compute again the cells that failed before.
        grid: by parameter a sequence of values, a text as ``"1e-3:1:log12"``, or one value for all cells.

    Returns:
        the Dataset of a run with one dimension more for each swept parameter. Cells that failed, or that a stop left
        out, are NaN and have a text in the variable ``error``.

    Raises:
        ValueError, TypeError: one sentence, before anything runs; or every cell failed.

    Examples:
        >>> from lab import sweeps
        >>> from lab.studies import DataSource, Paper, Result, Study, Whole
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> sweeps.sweep(Twice, n=[1, 2, 4], store=False).twice.values.tolist()
        [2, 4, 8]
    """
    where = executor(on, jobs)
    plan = Plan(study, grid, store=_store(store), memory=memory, retry_failed=retry_failed, keep=keep)
    if report is not None or not watch.in_notebook():
        return run(plan, report, where)
    with watch.bar(plan.study.slug, "cells", len(plan.held)) as tell:
        said = lambda at: at.waiting or (f"{at.failed} failed" if at.failed else "")  # noqa: E731
        return run(plan, lambda at: tell(at.done, at.cells, said(at)), where)


def complete(
    study: Study,
    grid: Mapping[str, Any],
    report: numerics.Report | None = None,
    *,
    keep: Sequence[str] = (),
    store: Store | bool | None = None,
) -> xr.Dataset:
    """A sweep of which every cell is needed, as for a picture over several runs; see ``sweep``.

    Args:
        study: with the other parameters set.
        grid: by parameter the values, as for ``sweep``.
        report: called with the number of cells that are there; True ends the sweep with those.
        keep: the variables of the result; all when empty.
        store: where the cells are kept; None for the lab's own, False for nowhere.

    Returns:
        the Dataset of a run with one dimension more for each swept parameter.

    Raises:
        Exception: what the first cell raised that failed. Cells that failed before are tried again.

    Examples:
        >>> from lab import sweeps
        >>> from lab.studies import DataSource, Paper, Result, Study, Whole
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> sweeps.complete(Twice(), {"n": "1:3"}, store=False).twice.values.tolist()
        [2, 4, 6]
    """
    plan = Plan(study, grid, store=_store(store), keep=keep, retry_failed=True, exact=True)

    def told(at: Filling) -> bool | None:
        return report and report(numerics.Progress(at.done, at.cells, {}, None, at.seconds))

    return run(plan, told, needs_all=True)


def _store(store: Store | bool | None) -> Store | None:
    return Store() if store is None or store is True else store or None


def run(
    plan: Plan,
    report: Report | None = None,
    where: Executor | None = None,
    *,
    must_keep: bool = False,
    needs_all: bool = False,
) -> xr.Dataset:
    """Compute what a plan says; see ``sweep``.

    Args:
        plan: a sweep that has been checked.
        report: see ``Report``; nothing is shown without one.
        where: what computes; this process when None.
        must_keep: end with an OSError where the store can't keep a batch, since nobody wants the Dataset alone.
        needs_all: end with the error of the first cell that fails.

    Returns:
        the Dataset of a run with one dimension more for each swept parameter.

    Raises:
        ValueError: every cell failed, or cells that were kept are gone and a stop came before they were computed again.
        OSError: with ``must_keep``, the store could not keep a batch.
        Exception: what ``report`` raised; with ``needs_all`` what the first cell raised that failed.

    Examples:
        >>> from lab import sweeps
        >>> from lab.studies import DataSource, Paper, Result, Study, Whole
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> plan = sweeps.Plan(Twice, {"n": [1, 2, 4]}, store=None)
        >>> plan.cells, sweeps.run(plan).twice.values.tolist()
        (3, [2, 4, 8])
    """
    running = _Running(plan, report, must_keep, needs_all)
    where = where or executor()
    lost: list[int] | None = None
    while True:
        if lost or len(running.there) < plan.cells:
            with where as there:
                running.compute(there, lost)
        if running.raised is not None:
            raise running.raised
        try:
            return running.result()
        except _Lost as damaged:
            lost = damaged.places
            if running.stopped:
                raise ValueError(
                    "cells that were kept are gone from the store; the same sweep computes them again"
                ) from None


class _Done(NamedTuple):
    """A task that is computed and not yet kept; ``seconds`` since it was taken up."""

    task: Task
    claimed: ExitStack
    cells: Cells
    seconds: float


class _Running:
    def __init__(self, plan: Plan, report: Report | None, must_keep: bool, needs_all: bool):
        self.plan, self.report, self.must_keep, self.needs_all = plan, report, must_keep, needs_all
        self.there = {at for at, key in enumerate(plan.keys) if key in plan.held}
        self.errors: dict[int, str] = {}
        self.made: list[tuple[list[int], xr.Dataset]] = []  # the cells computed here, packed, and their places
        self.began = time.perf_counter()
        self.first = len(self.there)
        self.stopped = False
        self.raised: BaseException | None = None  # what ends the sweep once all is in order
        self.waiting: Callable[[], str] = str  # nothing, before an executor is there

    def tell(self, new: Sequence[int] = ()) -> bool:
        """Report, and whether to stop."""
        self.there.update(new)
        seconds, done = time.perf_counter() - self.began, len(self.there) - self.first
        left = seconds / done * (self.plan.cells - len(self.there)) if done else None
        filling = Filling(len(self.there), self.plan.cells, len(self.errors), tuple(new), seconds, left, self.waiting())
        if self.report is None or self.raised is not None:
            return self.stopped
        try:
            if self.report(filling):
                self.stopped = True
        except (KeyboardInterrupt, SystemExit):  # at once
            raise
        except BaseException as problem:  # not the error of a cell: it is on its way through what computes one
            self.stopped, self.raised = True, problem
        return self.stopped

    def compute(self, where: Executor, lost: Sequence[int] | None = None) -> None:
        """Compute what is not there, or what was lost."""
        self.there -= {*(lost or ())}
        if self.tell(sorted(self.there)):
            return
        self.waiting = where.waiting
        self.began = time.perf_counter()
        places = lost
        while places is None or places:
            others = self._round(where, self.plan.tasks(places, self.tell))
            if self.stopped or not others or self.plan.store is None:
                return
            # computed elsewhere: what its owner lets go of without a result is computed here
            held = self.plan.store.wait([self.plan.keys[at] for at in others], lambda: not self.tell())
            failed = self._failed([at for at in others if self.plan.keys[at] not in held])
            come = [at for at in others if self.plan.keys[at] in held or at in failed]
            if self.tell(come):
                return
            places = [at for at in others if at not in set(come)]

    def _failed(self, places: Sequence[int]) -> set[int]:
        assert self.plan.store is not None
        marked = self.plan.store.held([failed_key(self.plan.keys[at]) for at in places])
        return {at for at in places if failed_key(self.plan.keys[at]) in marked}

    def _round(self, where: Executor, tasks: Iterator[Task]) -> list[int]:
        """Compute the tasks; returns the places that somebody else is computing."""
        others: list[int] = []
        flying: dict[int, tuple[Task, ExitStack, float]] = {}
        done: list[_Done] = []  # to be kept together: a commit takes as long as many a cell
        keeping: deque[tuple[list[int], Future]] = deque()
        number, more = 0, True
        with ThreadPoolExecutor(1) as keeper:  # what is done is written while more is computed
            try:
                while more or flying or done or keeping:
                    while more and len(flying) < where.width:
                        began = time.perf_counter()
                        task = next(tasks, None)
                        if task is None:
                            more = False
                            break
                        task, claimed, elsewhere, come = self._claim(task)
                        others += elsewhere
                        if come and self.tell(come):
                            raise Stopped
                        if task.at and task.cells:
                            for at in task.at:
                                del self.plan.measured[at]
                            done.append(_Done(task, claimed, [*task.cells], sum(map(_seconds, task.cells))))
                            break
                        if task.at:
                            flying[number] = task, claimed, began
                            where.submit(number, task)
                            number += 1
                    for finished, cells in where.finished(self.tell) if flying else ():
                        task, claimed, began = flying.pop(finished)
                        done.append(_Done(task, claimed, cells, time.perf_counter() - began))
                        self.plan.learn(task, cells)
                        self._need(task, cells)
                    if done and (sum(each.seconds for each in done) >= planning._TASK / 2 or not (more or flying)):
                        keeping.append(self._handed(keeper, done))
                    while keeping and (keeping[0][1].done() or len(keeping) > 1 or not (more or flying or done)):
                        places, kept = keeping.popleft()
                        kept.result()
                        if self.tell(places):
                            raise Stopped
            except Stopped:
                self.stopped = True
                if done:
                    self._handed(keeper, done)
            finally:
                for claimed in [*(claimed for _, claimed, _ in flying.values()), *(each.claimed for each in done)]:
                    claimed.close()
        return others

    def _handed(self, keeper: ThreadPoolExecutor, done: list[_Done]) -> tuple[list[int], Future]:
        """Have what is done kept; it is then no longer among ``done``."""
        places, taken = [at for each in done for at in each.task.at], list(done)
        done.clear()
        return places, keeper.submit(self._keep, taken)

    def _need(self, task: Task, cells: Cells) -> None:
        """Give up where a cell failed that is needed."""
        failed = [(point, cell) for point, cell in zip(task.points, cells, strict=True) if isinstance(cell, str)]
        if self.needs_all and failed:
            point, text = failed[0]
            study = task.study.but(**point)
            problem: Exception = getattr(text, "problem", None) or ValueError(str(text))
            problem.add_note(f"at {sweeping.cell_text({name: getattr(study, name) for name in self.plan.grid})}")
            self.raised = problem
            raise Stopped

    def _keep(self, done: Sequence[_Done]) -> None:
        with ExitStack() as claims:
            for each in done:
                claims.enter_context(each.claimed)
            self._commit(done)

    def _claim(self, task: Task) -> tuple[Task, ExitStack, list[int], list[int]]:
        """The part of a task that is to be computed here, what others compute, and what has come meanwhile."""
        stack = ExitStack()
        if self.plan.store is None:
            return task, stack, [], []
        keys = {self.plan.keys[at]: at for at in task.at}
        claim: Claim = stack.enter_context(self.plan.store.claim(list(keys)))
        mine = [i for i, at in enumerate(task.at) if self.plan.keys[at] in claim.mine]
        others = [at for at in task.at if self.plan.keys[at] in claim.others]
        come = [at for key, at in keys.items() if key not in claim.mine and key not in claim.others]
        if not mine:
            stack.close()
        return task.only(mine), stack, others, come

    def _commit(self, done: Sequence[_Done]) -> None:
        each = [
            (at, cell, one.task.study, point)
            for one in done
            for at, point, cell in zip(one.task.at, one.task.points, one.cells, strict=True)
        ]
        made = {at: cell for at, cell, _, _ in each if isinstance(cell, xr.Dataset)}
        errors = {at: str(cell) for at, cell, _, _ in each if isinstance(cell, str)}
        self.errors |= errors
        if made:
            packed = pack(list(made.values()))
            self._store([self.plan.keys[at] for at in made], packed)
            self.made.append((list(made), self._kept(packed)))
        if errors and self.plan.store is not None:
            marks = [self._mark(study.but(**point), errors[at]) for at, _, study, point in each if at in errors]
            self._store([failed_key(self.plan.keys[at]) for at in errors], pack(marks))

    def _store(self, keys: list[str], packed: xr.Dataset) -> None:
        """Commit; what there is no room for is in the result all the same."""
        if self.plan.store is None:
            return
        try:
            self.plan.store.commit(keys, packed)
        except OSError as problem:
            if self.must_keep:
                raise
            say_once(
                f"unkept {self.plan.store.folder}", f"{problem} The sweep goes on; its cells are in its result only."
            )

    def _kept(self, packed: xr.Dataset) -> xr.Dataset:
        """The variables to keep, with the coordinates that they have."""
        return packing.chosen(packed, self.plan.keep) if self.plan.keep else packed

    def _mark(self, study: Study, error: str) -> xr.Dataset:
        return xr.Dataset({"failed": ((), True)}, attrs=study.attributes(study.load()) | {"error": error})

    # ---- the result ------------------------------------------------------------------------------------------

    def result(self) -> xr.Dataset:
        plan = self.plan
        places, packed = self._gathered()
        errors = self.errors | {
            at: "stopped before this cell" for at in set(range(plan.cells)) - {*places} if at not in self.errors
        }
        if self.needs_all and errors and not self.stopped:  # somebody else computed it
            raise ValueError(errors[min(errors)])
        if packed is None:
            raise ValueError(
                "the sweep was stopped before its first cell was there: the same sweep begins again"
                if self.stopped
                else f"all {plan.cells} cells failed; the first one: {errors[min(errors)]}"
            )
        merged = table.merge(packed, places, plan.grid, plan.study.parameters())
        if plan.keep:
            merged = merged[[name for name in plan.keep if name in merged]]
        if errors:
            texts = np.full(plan.cells, "", object)
            texts[list(errors)] = list(errors.values())
            shape = [len(values) for values in plan.grid.values()]
            merged[sweeping.CELL_ERROR] = (
                tuple(plan.grid),
                texts.reshape(shape),
                {"long_name": "why the cell is empty"},
            )
        merged.attrs = unpack(packed, 0).attrs | plan.study.attributes(plan.study.load())
        if "data" in plan.grid:  # the recipe is that of the first, as for every swept parameter
            every = [plan.study.but(data=value).load() for value in plan.grid["data"]]
            merged.attrs["title"] = f"{plan.study.title}: {len(every)} data sets"
            for key in ("name", "title", "source", "licence"):
                merged.attrs[f"data_{key}"] = "; ".join(dict.fromkeys(getattr(data, key) for data in every))
            merged.attrs["data_sha256"] = "; ".join(data.sha256 for data in every)
        merged.attrs["swept"] = json.dumps({name: sweeping.names(values) for name, values in plan.grid.items()})
        merged.attrs["command"] = _command(plan)
        for key in ("compile_seconds", "run_seconds", "programs_compiled"):
            merged.attrs[key] = sum(packing.cell_attrs(packed, key))
        merged.attrs["converged"] = 0 if errors else min(packing.cell_attrs(packed, "converged"))
        merged.attrs.pop("shipped", None)
        shipped = list(filter(None, packing.cell_attrs(packed, "shipped")))
        if shipped:
            some = "" if len(shipped) == plan.cells else f" ({len(shipped)} of {plan.cells} cells)"
            merged.attrs["shipped"] = " and ".join(dict.fromkeys(shipped)) + some
        said = dict(zip(places, packing.cell_attrs(packed, "advice"), strict=True))
        merged.attrs["advice"] = sweeping.advice(said, plan.grid)
        if errors:
            missing = f"{len(errors)} of {plan.cells} cells are empty: the variable error says why."
            merged.attrs["advice"] = " ".join(filter(None, [missing, merged.attrs["advice"]]))
        return merged

    def _gathered(self) -> tuple[list[int], xr.Dataset | None]:
        """The places of the cells that are there, and the cells; raises _Lost where some turn out to be damaged."""
        plan = self.plan
        parts = list(self.made)
        here = {at for places, _ in parts for at in places}
        if plan.store is not None:
            held = plan.store.held(plan.keys, plan.keep)
            places = [at for at, key in enumerate(plan.keys) if key in held and at not in here]
            try:
                if places:
                    read = plan.store.read([plan.keys[at] for at in places], plan.keep or None)
                    parts.append((places, self._kept(read)))
            except ValueError:
                sound = plan.store.held(plan.keys, plan.keep)
                lost = [at for at in places if plan.keys[at] not in sound]
                if not lost:
                    raise
                raise _Lost(lost) from None
            here.update(places)
            gone = sorted(self.there - here - {*self.errors})
            if lost := {*gone} - self._failed(gone):
                raise _Lost(sorted(lost))
            for at in here:
                self.errors.pop(at, None)
            for at in self._failed([at for at in range(plan.cells) if at not in here and at not in self.errors]):
                self.errors[at] = plan.store.read([failed_key(plan.keys[at])]).attrs["error"]
        if not parts:
            return [], None
        order = np.array([at for places, _ in parts for at in places])
        packed = packing.joined([(part, range(len(places))) for places, part in parts])
        return sorted(here), packed if (np.diff(order) > 0).all() else packed.isel(cell=np.argsort(order))


def _seconds(cell: xr.Dataset) -> float:
    return float(cell.attrs["run_seconds"])


class _Lost(Exception):
    """Cells that were held turned out to be damaged, or were removed meanwhile."""

    def __init__(self, places: list[int]):
        self.places = places


def _command(plan: Plan) -> str:
    """The shell command that gives this very sweep."""
    parameters = plan.study.parameters()
    words = plan.study.but(**{name: parameters[name].default for name in plan.grid}).as_command()
    for name, values in plan.grid.items():
        mark = parameters[name].mark
        text = mark.join(map(_exact, values)) + mark * (len(values) == 1)
        words += f" {option(name)} {shlex.quote(text)}"
    return words.replace("lab run", "lab sweep", 1)


def _exact(value: Any) -> str:
    return repr(value) if isinstance(value, float) else as_text(value)
