"""``lab sweep``: a study over a grid of parameters."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lab import studies, sweeps
from lab.home import start
from lab.inputs import shown
from lab.store import Store
from lab.studies import kind_of
from lab.studies.contract import option, sweeping
from lab.watch import interruptible

from .commands import _output_option, presets_told
from .outputs import save, target_of
from .parser import COMMANDS, Parser, Refusal

_JOBS = ("queue", "workers", "walltime", "cores", "job-memory")
_TOLD = 10.0  # seconds between two lines that say what is waited for


def sweep(name: str, words: list[str]) -> int:
    study = studies.find(name)
    options = _parser(study).parse_args(words)
    target = target_of(options.output, {".nc", ".zarr"})
    given: dict[str, Any] = {
        key.removeprefix("parameter "): text
        for key, text in vars(options).items()
        if key.startswith("parameter ") and text is not None
    }
    start(ready=True)
    base = study.preset(options.preset) if options.preset is not None else study()
    fixed, grid = sweeps.split(study, given)
    moved: list[str] = []
    if "data" not in grid:  # into what several data allow, nothing is moved
        base = base.but(**fixed)
        base, moved = base.fitted(base.load(), but={*fixed, *grid})
    jobs = {
        key.removeprefix("job-"): value
        for key in _JOBS
        if (value := getattr(options, key.replace("-", "_"))) is not None
    }
    if (jobs or options.cluster_option) and options.on not in ("slurm", "pbs", "lsf"):
        raise Refusal(f"--{next(iter(jobs), 'cluster-option')} is for --on slurm, pbs or lsf")
    if options.on in ("slurm", "pbs", "lsf"):
        jobs |= {key: _count(key, jobs[key]) for key in ("workers", "cores") if key in jobs}
        if empty := next((key for key, value in jobs.items() if value == ""), None):
            raise Refusal(f"--{empty} is empty: give it a value or leave it out")
        jobs |= _cluster_options(options.cluster_option or (), jobs)
    where = sweeps.executor(options.on, jobs)
    store = Store()
    plan = sweeps.Plan(
        base,
        given,
        store=store,
        memory=options.memory,
        retry_failed=options.retry_failed,
        keep=[] if options.keep is None else [word.strip() for word in options.keep.split(",")],
    )
    print(*filter(None, (plan, *moved, base.load().said)), sep="\n", flush=True)
    if options.dry_run:
        print(*filter(None, [getattr(where, "script", "").strip()]), sep="\n")
        return 0
    elsewhere = options.on is not None
    with _ended_in_order() if elsewhere else nullcontext(), _progress(plan) as (report, stopped):
        try:
            result = sweeps.run(plan, report, where, must_keep=target is None)
        except ValueError as problem:
            if not stopped():
                raise
            print(problem)
            return 130
    empty = int((result[sweeping.CELL_ERROR] != "").sum()) if sweeping.CELL_ERROR in result else 0
    if stopped():
        there = len(store.held(plan.keys))
        print(f"stopped: {there:,} of {plan.cells:,} cells are kept; the same command goes on from there")
        return 130
    if target:
        save(result, target)
    if result.attrs["advice"]:
        print(result.attrs["advice"])
    if shipped := result.attrs.get("shipped"):
        print(f"of what ships with the lab, computed by {shipped}")
    print(
        f"{plan.cells - empty:,} cells"
        + (f" kept in {target}" if target else " are in the store: -o FILE.nc takes them out")
    )
    return 1 if empty else 0


def _count(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 7):
        raise Refusal(f"--{option} {shown(text)} is not allowed: it must be a whole number from 1 to 999999")
    return int(text)


def _cluster_options(words: Sequence[str], jobs: dict[str, Any]) -> dict[str, list[str]]:
    """By name all that was given to it: only dask-jobqueue knows which may be given more than once."""
    options: dict[str, list[str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        name = name.replace("-", "_")
        if not name or not value:
            raise Refusal(
                f"--cluster-option {shown(word)} is not allowed: it must be NAME=VALUE, as account=ours or "
                "job_extra_directives=--gres=gpu:1"
            )
        if name in jobs:
            raise Refusal(
                f"--cluster-option {name} says again what --{'job-' * (name == 'memory')}{name} says: give one"
            )
        options.setdefault(name, []).append(value)
    return options


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end a sweep as the second Ctrl-C does, with its workers and jobs. Once: that is not cut off."""
    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ending = [number for number in ending if signal.getsignal(number) == signal.SIG_DFL]  # nohup lets a sweep go on

    def end(number: int, _: Any) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in ending:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _parser(study: type[studies.Study]) -> Parser:
    parser = Parser(
        f"sweep {study.slug}", description=f"{COMMANDS['sweep']}: {study.title}", epilog=f"VALUES: {sweeps.SYNTAX}"
    )
    parser.add_argument("--preset", metavar="NAME", help=presets_told(study))
    _output_option(".nc or .zarr")(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be computed, and stop")
    parser.add_argument(
        "--keep", metavar="NAMES", help="the variables of the file, with commas between; all when left out"
    )
    parser.add_argument(
        "--memory", type=float, metavar="GiB", help="what the sweep may take; half of what is free when left out"
    )
    parser.add_argument("--retry-failed", action="store_true", help="compute again the cells that failed before")
    parser.add_argument(
        "--on", metavar="WHERE", help="local:N worker processes, tcp://HOST:PORT of Dask, slurm, pbs or lsf"
    )
    for name in _JOBS:
        parser.add_argument(f"--{name}", metavar="VALUE", help="for slurm, pbs or lsf; else as in jobqueue.yaml")
    parser.add_argument(
        "--cluster-option",
        metavar="NAME=VALUE",
        action="append",
        help="what else dask-jobqueue takes, as account=ours, job_extra_directives=--gres=gpu:1, "
        "job_script_prologue='module load cuda'; may be repeated",
    )
    for parameter, declared in study.parameters().items():
        parser.add_argument(
            *sorted({option(parameter), f"--{parameter}"}),
            dest=f"parameter {parameter}",
            metavar="NAME|PATH" if kind_of(declared) == "data" else "VALUES" if declared.sweepable else "VALUE",
            help=f"{declared.doc} (default {declared.default}; {declared.allowed()})".replace("%", "%%"),
        )
    return parser


@contextmanager
def _progress(plan: sweeps.Plan) -> Iterator[Any]:
    """A bar on a terminal. The first Ctrl-C stops after the chunk at hand, the second one at once."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty())
    task = bar.add_task(plan.study.slug, total=plan.cells, completed=len(plan.held), told="")

    told = time.monotonic() - 0.8 * _TOLD  # not of what comes at once

    def report(filling: sweeps.Filling) -> bool:
        nonlocal told
        if filling.waiting and time.monotonic() - told >= _TOLD:
            told = time.monotonic()
            bar.console.print(filling.waiting, markup=False, highlight=False, soft_wrap=True)
        failed = f", {filling.failed} failed" if filling.failed else ""
        bar.update(task, completed=filling.done, told=f"{filling.rate:.3g}/s{failed}")
        return asked()

    with interruptible() as asked, bar:
        yield report, asked
