"""Long work is done in a process of its own, which gives way, ends when it is abandoned, and ends with the server."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import NamedTuple

import numpy as np
import pytest

from lab import datasets, studies
from lab.app import controls, turns, worker
from lab.app.session import Session
from lab.numerics import Progress
from lab.sweeps.parcel import Packed
from tests.waiting import wait

SERVER = """
from lab.app import worker
worker.begin(["no-such-study"])
worker.give_way(True)
print(worker.present.process, flush=True)
input()
"""


class Count(NamedTuple):
    """Reports its steps."""

    steps: int

    def compute(self, report, sketch):
        sketch("rough")
        for step in range(self.steps):
            if report(("step", step)):
                return "ended"
        return self.steps


class Deaf(NamedTuple):
    """Reports nothing, as what compiles."""

    def compute(self, report, sketch):
        sketch("begun")
        threading.Event().wait()


class Endless(NamedTuple):
    """Reports until it is told to end."""

    def compute(self, report, sketch):
        sketch("begun")
        while not report(Progress(1, 2, {"error": np.ones(1)}, lambda: None, 0.0)):
            pass
        return "ended"


class Dies(NamedTuple):
    """Ends its process."""

    def compute(self, report, sketch):
        os.kill(os.getpid(), signal.SIGKILL)


class Wrong(NamedTuple):
    """Has an error."""

    problem: Exception

    def compute(self, report, sketch):
        raise self.problem


class Foreign(NamedTuple):
    """Of a module that only this process can import."""

    def __reduce__(self):
        return importlib.import_module, ("no_such_module",)

    def compute(self, report, sketch):
        raise AssertionError


@pytest.fixture(scope="module")
def process():
    here = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (here, here.parents[1]))))  # where the jobs are found
        made = worker.Worker()
        yield made
        made.end()


def test_it_computes_reports_and_ends_at_request(process):
    told, rough = [], []
    assert process.call(Count(3), lambda at: told.append(at), rough.append) == 3
    assert [each for each in told if each] == [("step", 0), ("step", 1), ("step", 2)]
    assert rough == ["rough"]
    assert process.call(Endless(), lambda at: at is not None) == "ended"


@pytest.mark.parametrize("problem", [ValueError("k = -1 is not allowed"), FileNotFoundError("no such file")])
def test_an_error_of_a_job_is_raised_here_and_the_process_goes_on(process, problem):
    process.call(Count(1), lambda at: None)
    before = process.process
    with pytest.raises(type(problem), match=str(problem)):
        process.call(Wrong(problem), lambda at: None)
    assert process.process == before


def test_it_has_a_low_priority(process):
    process.call(Count(1), lambda at: None)
    assert os.getpriority(os.PRIO_PROCESS, process.process) == os.getpriority(os.PRIO_PROCESS, 0) + worker._NICE


@pytest.mark.parametrize("job", [Endless(), Deaf()])
def test_what_is_abandoned_ends_with_the_process_if_necessary(process, job):
    process.call(Count(1), lambda at: None)
    before = process.process

    def abandon(rough):
        raise turns.Abandoned

    with pytest.raises(turns.Abandoned):
        process.call(job, lambda at: None, abandon)
    assert (process.process == before) == isinstance(job, Endless)
    assert process.call(Count(2), lambda at: None) == 2


def test_a_process_that_is_killed_is_an_error_and_the_next_job_has_another(process):
    with pytest.raises(ValueError, match=r"has ended \(status -9\), most likely for lack of memory"):
        process.call(Dies(), lambda at: None)
    assert process.call(Count(2), lambda at: None) == 2


def test_a_job_that_cannot_travel_is_refused_before_it_is_sent(process):
    with pytest.raises(worker.Unsendable):
        process.call(Count(lambda: None), lambda at: None)  # pyright: ignore[reportArgumentType]


def test_a_job_that_the_process_cannot_read_is_computed_here(process, monkeypatch):
    with pytest.raises(worker.Unsendable):
        process.call(Foreign(), lambda at: None)
    monkeypatch.setattr(worker, "present", process)
    assert worker.compute(Foreign(), lambda: "here", lambda at: None) == "here"
    assert worker.compute(Count(2), lambda: "here", lambda at: None) == 2
    assert worker.compute(None, lambda: "here", lambda at: None) == "here"


@pytest.mark.slow
def test_a_run_there_is_the_run_here(process):
    study = studies.find("sparse-ot")(data="one-bump-to-two", k=2, n=16)
    here = study.execute()
    there = process.call(worker.Run(Packed.of(study), here.warm), lambda at: None)
    again = study.execute(warm=here.warm)
    assert there.result.attrs["warm_start"] == 1
    for name in again.result.data_vars:
        np.testing.assert_allclose(there.result[name], again.result[name], rtol=1e-12, atol=1e-12)
    swept = worker.Sweep(Packed.of(study), {"gamma": [0.1, 0.2]}, ("value",), None)
    cells = process.call(swept, lambda at: None)
    assert cells.value.sel(gamma=0.1).item() == pytest.approx(study.but(gamma=0.1).run().value.item(), rel=1e-10)


def test_runs_go_before_sweeps_and_visitors_in_turn():
    line, order, first = turns.Line(), [], turns.Turn()
    line.enter(first, lambda: True)
    waiting = [(0, "a"), (1, "b"), (0, "a"), (0, "c")]
    threads, placed = [], set()
    for at, (priority, visitor) in enumerate(waiting):

        def work(turn=turns.Turn(priority, visitor=visitor), at=at):  # noqa: B008
            line.enter(turn, lambda: True, lambda place: placed.add(at))
            order.append(at)
            line.leave(turn)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        wait(lambda at=at: at in placed)
    line.leave(first)
    for thread in threads:
        thread.join()
    assert order == [0, 3, 2, 1]


def test_a_sweep_gives_way_to_a_run_and_says_how_many_go_first():
    line, sweep, places = turns.Line(), turns.Turn(1), []
    line.enter(sweep, lambda: True)
    line.offer(sweep, lambda: True)
    run = threading.Thread(target=lambda: line.enter(turns.Turn(), lambda: True, places.append))
    run.start()
    wait(lambda: places == [1])
    with pytest.raises(turns.GiveWay):
        line.offer(sweep, lambda: True)
    line.leave(sweep)
    run.join()
    with pytest.raises(turns.Abandoned):
        line.enter(turns.Turn(), lambda: len(places) < 2, places.append)


def test_the_page_says_how_many_jobs_go_first():
    session = Session(studies.find("sparse-ot"))
    session.param.update(busy=True, stage="queued", place=2)
    assert controls.words(session) == "Queued in the background: 2 jobs go first"
    session.place = 0
    assert controls.words(session).startswith("Waiting to compile")


def test_a_run_is_long_by_its_sizes_or_by_an_earlier_run():
    small = type("New", (studies.SparseOT,), {})(data="one-bump-to-two", k=2, n=32)
    data = datasets.load("one-bump-to-two", n=32)
    large = small.but(n=512)  # the end of its slider
    assert not worker.is_long(small, data)
    assert worker.is_long(large, data)
    worker.took(small, data, 3.0)
    assert worker.is_long(small, data)
    worker.took(small, data, 0.3)
    assert not worker.is_long(small, data)


# ---- what the process does by itself ---------------------------------------------------------------------------------


def _desk(slugs=()):
    ours, theirs = socketpair()
    return worker.Desk(Connection(ours.detach()), slugs), Connection(theirs.detach())


def test_what_is_opened_is_next_and_the_end_of_the_server_is_its_end(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    desk, server = _desk("abc")
    for slug in ("c", "no-such-study", "b"):
        server.send(("first", slug))
    server.close()
    desk.listen()
    assert desk.waiting == deque("bca")
    assert ended == [0]


def test_what_is_opened_comes_before_what_is_under_way(monkeypatch):
    import jax
    import jax.numpy as jnp

    desk, _server = _desk("abc")
    ran = []

    class Default:
        """Of ``a``: the page of ``b`` is opened between its two programs."""

        def __init__(self, slug):
            self.slug = slug

        def execute(self, report, warm):
            jax.jit(lambda x: x + len(ran))(jnp.arange(3.0))
            if self.slug == "a" and not ran:
                desk.take("first", "b")
            ran.append(self.slug)
            jax.jit(lambda x: x * len(ran))(jnp.arange(5.0))
            ran.append(self.slug)
            return self

    Default.warm = None  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr("lab.studies.find", lambda slug: lambda: Default(slug))
    monkeypatch.setattr("lab.app.kept.identity", lambda study: "")

    def look(event, **_):
        desk.compiles(event)

    jax.monitoring.register_event_listener(look)
    try:
        while desk.waiting:
            desk.next()
    finally:
        jax.monitoring.unregister_event_listener(look)
    assert "".join(ran) == "abbaacc"


def test_while_it_is_halted_nothing_is_compiled_ahead_but_jobs_are_done(monkeypatch):
    monkeypatch.setattr("lab.studies.find", lambda slug: 1 / 0)
    desk, server = _desk(["no-such-study"])
    desk.take("halt", True)
    desk.take("job", 7, worker.pickle.dumps(Count(1)))
    desk.next()
    kinds = []
    while not kinds or kinds[-1] != "done":
        kinds.append(server.recv()[0])
    assert desk.waiting == deque(["no-such-study"])
    warms = threading.Thread(target=desk.next)
    warms.start()
    desk.take("halt", False)
    warms.join()
    assert not desk.waiting
    assert server.recv() == ("warmed", "no-such-study", None)


@pytest.mark.slow
def test_it_keeps_programs_and_says_what_cannot_be_run(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    made = worker.Worker(["no-such-study", "diverse-subset"])
    programs = tmp_path / "jax"
    wait(lambda: programs.exists() and len([*programs.iterdir()]) >= 5)
    made.end()
    assert "the default of no-such-study can't be run: " in capfd.readouterr().err


def test_without_a_process_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(worker, "present", None)
    worker.first("sparse-ot")
    worker.give_way(True)
    monkeypatch.setattr(worker, "present", worker.Worker())
    worker.first("sparse-ot")
    worker.give_way(True)
    assert worker.present is not None
    assert worker.present.process is None


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of Linux")
def test_it_ends_with_a_server_that_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        number = int(server.stdout.readline())
        server.kill()

    def gone() -> bool:
        with suppress(OSError):
            return Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0] == "Z"  # to be buried
        return True

    wait(gone)
