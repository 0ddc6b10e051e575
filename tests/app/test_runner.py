"""Who computes when: by priority, beside what compiles, with reports that come in time."""

import itertools
import threading
from types import SimpleNamespace
from unittest import mock

import jax
import pytest
from waiting import LIMIT, wait

from lab.app import runner, turns
from lab.app.runner import RUN, SWEEP, Abandoned, Lane, Runner, Turn
from lab.numerics import Progress


@pytest.fixture
def patient(monkeypatch):
    """Nobody takes the turn from a job that is slow to report, so that a slow machine changes nothing."""
    monkeypatch.setattr(runner, "_PATIENCE", 60.0)


@pytest.fixture
def waiting(monkeypatch):
    """The turns that wait in a lane."""
    enter, waiting = Lane.enter, {}

    def entered(lane, turn, wanted, *waits):
        try:
            enter(lane, turn, lambda: bool(waiting.setdefault(id(turn), turn)) and wanted(), *waits)
        finally:
            waiting.pop(id(turn), None)

    monkeypatch.setattr(Lane, "enter", entered)
    return waiting


def test_the_lane_serves_by_priority_then_arrival(patient, waiting):
    lane, order, held = Lane(), [], Turn(RUN)
    lane.enter(held, lambda: True)
    threads = []
    for name, priority in (("sweep", SWEEP), ("first", RUN), ("second", RUN)):

        def work(name=name, turn=Turn(priority)):  # noqa: B008
            lane.enter(turn, lambda: True)
            order.append(name)
            lane.leave(turn)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        wait(lambda: len(waiting) == len(threads))
    lane.leave(held)
    for thread in threads:
        thread.join(2)
    assert order == ["first", "second", "sweep"]


def test_who_is_no_longer_wanted_leaves_the_queue(patient):
    lane, held, next_one = Lane(), Turn(), Turn()
    lane.enter(held, lambda: True)
    with pytest.raises(Abandoned):
        lane.enter(Turn(), lambda: False)
    lane.leave(held)
    lane.enter(next_one, lambda: True)  # the lane is free again
    lane.leave(next_one)


def test_the_lane_knows_when_it_is_quiet():
    lane = Lane()
    assert lane.quiet_for(1.0)
    for turn in (Turn(RUN), Turn(SWEEP), Turn(RUN, programs="new")):
        lane.enter(turn, lambda: True)
        assert not lane.quiet_for(0.0)
        lane.leave(turn)
        assert lane.quiet_for(0.0)
    assert not lane.quiet_for(60.0)


def direct(priority=RUN):
    return Runner(lambda call: call(), priority)


def begins():
    jax.monitoring.record_event("/jax/compilation_cache/compile_requests_use_cache")


def ends():
    jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", 1.0)


def test_what_compiles_after_a_report_is_said_where_it_takes_long(gate, monkeypatch):
    timers = []

    def timer(seconds, fires):
        timers.append(mock.Mock(fires=fires))
        return timers[-1]

    monkeypatch.setattr(runner.threading, "Timer", timer)
    monkeypatch.setattr(runner, "_HERTZ", float("inf"))  # each report is shown
    stages, answers, told = [], [], []

    def work(report):
        begins()
        ends()
        told.append(len(timers))  # before the first report: that is said of the whole run
        report(Progress(1, 1, {}, None, 0.0))
        begins()
        ends()
        timers[0].fires()  # too late, as when it fires while this ends
        told.append([*stages])
        begins()
        timers[1].fires()
        ends()
        told.append([*stages])
        begins()
        return "done"

    direct().submit(work, stage=stages.append, done=answers.append)
    wait(lambda: answers and timers[-1].cancel.called)
    assert told == [0, ["running"], ["running", "compiling", "running"]]
    assert all(each.cancel.called for each in timers)
    assert stages == told[-1]  # and nothing once it is over


def test_what_is_told_of_compiling_may_compile(gate, monkeypatch):
    timers, stages, answers = [], [], []
    monkeypatch.setattr(runner.threading, "Timer", lambda seconds, fires: timers.append(fires) or mock.Mock())
    monkeypatch.setattr(runner, "_HERTZ", 0.01)  # no report is shown

    def stage(name):
        stages.append(name)
        if name == "running":  # as where the page draws at once, in the thread that computes
            begins()
            ends()

    def work(report):
        report(Progress(1, 1, {}, None, 0.0))
        begins()
        timers[0]()
        ends()
        return "done"

    direct().submit(work, stage=stage, done=answers.append)
    wait(lambda: answers)
    assert stages == ["compiling", "running"]


def test_a_run_is_done_while_another_page_compiles(gate, patient):
    one, other = direct(), direct()
    compiling, stages, answers = threading.Event(), [], []

    def compiles(report):
        compiling.set()
        assert gate.wait(20)
        report(Progress(1, 1, {}, None, 0.0))  # takes a turn of its own
        return "compiled"

    one.submit(compiles, programs=object(), stage=stages.append, done=answers.append)
    assert compiling.wait(10)
    for number in range(3):
        other.submit(lambda report: number, done=answers.append)  # noqa: B023
        wait(lambda: len(answers) == number + 1)  # noqa: B023
    assert stages == ["compiling"]
    gate.set()
    wait(lambda: len(answers) == 4)
    assert answers == [0, 1, 2, "compiled"]


@pytest.mark.parametrize("priority", [RUN, SWEEP])
def test_a_step_without_a_report_does_not_hold_up_others(gate, priority):
    stuck, others = direct(priority), [direct(priority) for _ in range(2)]
    begun, done = threading.Event(), []

    def work(report):
        begun.set()
        assert gate.wait(20)
        report(Progress(1, 1, {}, None, 0.0))
        done.append("stuck")

    stuck.submit(work)
    assert begun.wait(10)
    for each in others:
        each.submit(lambda report: None, done=lambda _: done.append("other"))
    wait(lambda: done == ["other", "other"])
    gate.set()
    wait(lambda: done[-1] == "stuck")


def test_few_compile_at_a_time_and_nothing_twice(gate, patient, waiting, monkeypatch):
    monkeypatch.setattr(runner, "_COMPILE", 2)
    names, begun, done = ["a", "a", "b", "c"], [], []
    tokens = {name: (name, object()) for name in names}
    runners = [direct() for _ in names]
    for name, each in zip(names, runners, strict=True):

        def work(report, name=name):
            begun.append(name)
            assert gate.wait(20)
            return name

        each.submit(work, programs=tokens[name], done=done.append)
        wait(lambda: len(begun) + len(waiting) == len(runners[: runners.index(each) + 1]))  # noqa: B023
    assert begun == ["a", "b"]
    gate.set()
    wait(lambda: len(done) == 4)
    assert sorted(done) == names
    assert all(runner.knows(token) for token in tokens.values())


def test_who_waits_for_what_it_needs_itself_is_told_that_it_compiles(gate, monkeypatch):
    monkeypatch.setattr(runner, "_PATIENCE", 0.05)
    needed, begun, told, done = [object(), object(), object()], [], [[], [], []], []

    def compiles(report):
        begun.append(1)
        assert gate.wait(20)

    for number in range(2):
        direct().submit(compiles, programs=needed[number], done=done.append)
    wait(lambda: len(begun) == 2)
    for number, stages in enumerate(told):
        direct().submit(lambda report: None, programs=needed[number], stage=stages.append, done=done.append)
    wait(lambda: all(told))
    assert told == [["compiling"], ["compiling"], ["queued"]]
    gate.set()
    wait(lambda: len(done) == 5)


def test_who_moves_on_does_not_wait_for_what_was_being_compiled(gate, patient, waiting):
    page, done = direct(), []
    begun = threading.Event()

    def compiles(report):
        begun.set()
        assert gate.wait(20)

    page.submit(compiles, programs=object(), done=done.append)
    assert begun.wait(10)
    page.submit(lambda report: "next", done=done.append)
    wait(lambda: done == ["next"])
    page.submit(compiles, programs=object(), done=done.append)  # of one page only one compiles
    wait(lambda: len(waiting) == 1)
    assert page.stop() is False  # and Stop is felt while it waits
    wait(lambda: not waiting)


def test_what_waits_behind_runs_takes_no_thread_from_them(gate, patient):
    behind = [direct(SWEEP) for _ in range(80)]
    done = threading.Event()
    for each in behind:
        each.submit(lambda report: gate.wait(20))
    direct().submit(lambda report: None, done=lambda _: done.set())
    assert done.wait(10)
    for each in behind:
        each.abandon()


def test_an_answer_that_is_there_waits_for_nobody(gate, patient):
    one, other, done = direct(), direct(), []
    one.submit(lambda report: gate.wait(20))
    other.submit(lambda report: "computed", ready=lambda: "kept", done=done.append)
    wait(lambda: done == ["kept"])


def test_a_run_overtakes_what_stands_behind_runs(waiting):
    behind, one = Runner(lambda call: call(), SWEEP), Runner(lambda call: call())
    began, go, finished = threading.Event(), threading.Event(), threading.Event()
    reports = []

    def sweep(report):
        began.set()
        assert go.wait(LIMIT)  # no report for long, as while it compiles
        report(Progress(1, 2, {}, None, 0.0))
        reports.append(finished.is_set())

    def run(report):
        go.set()
        wait(lambda: any(not turn.run for turn in [*waiting.values()]))  # the sweep waits at its report
        finished.set()

    behind.submit(sweep)
    assert began.wait(LIMIT)
    one.submit(run)
    wait(lambda: reports)
    assert reports == [True]


def test_a_long_run_of_one_page_lets_another_page_through():
    one, other = Runner(lambda call: call()), Runner(lambda call: call())
    reached, finished = threading.Event(), threading.Event()

    def long(report):
        for i in itertools.count():
            reached.set()
            report(Progress(i, 10_000, {}, None, 0.0))

    one.submit(long)
    assert reached.wait(LIMIT)
    other.submit(lambda report: 42, done=lambda answer: finished.set())
    assert finished.wait(LIMIT)
    assert one.busy
    one.abandon()


def test_progress_comes_at_ten_hertz(monkeypatch):
    shown, finished, now = [], threading.Event(), [0.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def work(report):
        for i in range(1, 56):  # a report every 1/64 s, which floating point represents exactly
            now[0] = i / 64
            report(Progress(i, 1000, {}, None, 0.0))

    direct().submit(work, progress=lambda at: shown.append(at.iteration), done=lambda answer: finished.set())
    assert finished.wait(LIMIT)
    assert shown == [7, 14, 21, 28, 35, 42, 49]  # 7/64 s is the first multiple of 1/64 s above 0.1 s


def test_what_is_drawn_waits_for_a_browser_that_has_left(monkeypatch):
    browsers, delayed, drawn, opened = SimpleNamespace(connection_count=0), [], [], []
    document = SimpleNamespace(
        session_context=SimpleNamespace(session=browsers),
        add_timeout_callback=lambda call, milliseconds: delayed.append(call),
    )
    monkeypatch.setattr(runner.pn.state.__class__, "curdoc", document)
    monkeypatch.setattr(runner.faults, "guarded", lambda call, document: call)
    post = runner.seen(lambda call: call(), lambda: bool(opened))
    # before it comes, while it reads the page, once it shows it, after
    for count, shows, seen in ((0, False, 0), (1, False, 0), (1, True, 1), (0, True, 1), (0, True, 1)):
        browsers.connection_count = count
        opened[:] = [True] * shows
        post(lambda: drawn.append(True))
        assert len(drawn) == seen
    assert len(delayed) == 4
    browsers.connection_count = 1  # it is back
    for call in delayed[:]:
        call()
    assert len(drawn) == 5
    assert len(delayed) == 4


def test_the_work_of_a_page_that_was_closed_ends_and_the_page_says_so(monkeypatch):
    server_session = SimpleNamespace(connection_count=1)
    context = SimpleNamespace(session=server_session, request=None)
    monkeypatch.setattr(runner.pn, "state", SimpleNamespace(curdoc=SimpleNamespace(session_context=context)))
    began, said, done = threading.Event(), [], []

    def work(report):
        while not report(Progress(1, 2, {}, None, 0.0)):
            began.set()

    one = direct()
    one.submit(work, failed=said.append, done=done.append)
    assert began.wait(60)
    assert one.busy
    server_session.lab_closed = True  # the browser has gone, but a second one shows the page
    began.clear()
    assert began.wait(60)
    server_session.connection_count = 0
    wait(lambda: said)
    assert (said, done, one.busy) == (["the run was stopped because the page was closed"], [], False)


def test_a_job_for_the_background_process_waits_in_its_line():
    line, held, places, done = turns.Line(), Turn(), [], []
    line.enter(held, lambda: True)
    one = direct()
    one.submit(lambda report: "there", line=line, queued=places.append, done=done.append)
    wait(lambda: places == [1])
    assert done == []
    line.leave(held)
    wait(lambda: done == ["there"])
    line.enter(held, lambda: True)  # it is free again


def test_a_sweep_that_gives_way_is_begun_again():
    line, sweep, run, done, begun = turns.Line(), direct(SWEEP), direct(), [], []

    def work(report):
        begun.append(0)
        while len(begun) == 1:
            report(None)
        return "swept"

    sweep.submit(work, line=line, done=done.append)
    wait(lambda: begun)
    run.submit(lambda report: "run", line=line, done=done.append)
    wait(lambda: len(done) == 2)
    assert done == ["run", "swept"]
