"""Workers: the same numbers as here, whatever is killed, and a stop that is felt."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import distributed
import pytest
from toy import Slow, Toy, agree

from lab.studies import SparseOT
from lab.sweeps import Plan, sweep
from lab.sweeps import plan as planning
from lab.sweeps.cluster import Dask
from lab.sweeps.executors import executor

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _small(monkeypatch, request):
    monkeypatch.setattr(planning, "_TASK", 0.0)  # a task for each cell
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def dask(store, monkeypatch):
    """The address of a real scheduler with two worker processes, and the cluster."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, worker_dashboard_address=None
    ) as cluster:
        yield cluster


def test_worker_processes(store):
    swept = sweep(Toy, store=store, on="local:2", power=range(1, 7))
    agree(swept, sweep(Toy, store=False, power=range(1, 7)), exactly=True)


def test_a_killed_worker_costs_nothing(store, tmp_path):
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)  # measured here, before anything kills
    (tmp_path / "kill-2").write_text("once")
    (tmp_path / "kill-5").write_text("always")
    swept = sweep(Slow, store=store, on="local:2", power=range(1, 7))
    assert (swept.cell_error.values != "").tolist() == [False] * 4 + [True, False]
    assert "died 3 times" in str(swept.cell_error.values[4])
    (tmp_path / "kill-5").unlink()
    agree(
        sweep(Slow, store=store, retry_failed=True, power=range(1, 7)),
        sweep(Slow, store=False, power=range(1, 7)),
        exactly=True,
    )


def test_stop_reaches_the_workers(store, monkeypatch):
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)  # measured here, before anything kills
    monkeypatch.setenv("TOY_WORK", "15")

    def report(filling):
        return filling.done >= 2

    swept = sweep(Slow, report=report, store=store, on="local:2", power=range(1, 31))
    assert (swept.cell_error.values == "stopped before this cell").sum() >= 20


def test_dask(store, tmp_path, dask):
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)  # measured here, before anything kills
    for power in (3, 7):  # a worker dies twice
        (tmp_path / f"kill-{power}").write_text("once")
    swept = sweep(Slow, store=store, on=dask.scheduler_address, power=range(1, 11))
    assert not list(tmp_path.glob("kill-*"))
    agree(swept, sweep(Slow, store=False, power=range(1, 11)), exactly=True)


class Future:
    """What a Dask client gives for a task: `then` happens while its result travels."""

    def __init__(self, cells, then=lambda: None):
        self.status, self._cells, self._then = "finished", cells, then

    def done(self):
        return self.status not in ("pending", "lost")

    def result(self):
        self._then()
        return self._cells


class Client:
    """A client of a scheduler with one worker, whose tasks are the futures given."""

    def __init__(self, *futures):
        self._futures = iter(futures)

    def scheduler_info(self, **_):
        return {"workers": {"here": {}}}

    def run(self, call, **_):
        return {"here": call()}

    def submit(self, *_, **__):
        return next(self._futures)

    def cancel(self, futures):
        pass


@pytest.mark.parametrize("lost", ["lost", "pending"])
def test_a_worker_that_dies_while_results_travel_costs_nothing(store, lost):
    second = Future(["second"])
    first = Future(["first"], then=lambda: setattr(second, "status", lost))
    place = SimpleNamespace(name="the scheduler", open=lambda stack: Client(first, second), look=lambda workers: "")
    tasks = [*Plan(Slow, {"power": range(1, 3)}, store=store).tasks()]
    with Dask(place) as dask:
        for number, task in enumerate(tasks):
            dask.submit(number, task)
        assert dask.finished(lambda: False) == [(0, ["first"])]
        second.status = "finished"
        assert dask.finished(lambda: False) == [(1, ["second"])]
    second.status = "cancelled"
    place.open = lambda stack: Client(second)
    with Dask(place) as dask:
        dask.submit(0, tasks[0])
        with pytest.raises(ValueError, match="the scheduler is gone"):
            dask.finished(lambda: False)


def test_stop_reaches_dask(store, tmp_path, monkeypatch, dask):
    swept = sweep(
        Toy, report=lambda filling: filling.done >= 2, store=store, on=dask.scheduler_address, power=range(1, 31)
    )
    assert (swept.cell_error.values == "stopped before this cell").sum() >= 10
    again = sweep(Toy, store=store, on=dask.scheduler_address, power=range(1, 31))
    assert "cell_error" not in again


def test_a_study_of_a_cell_travels_by_value_or_is_refused(store, monkeypatch):
    monkeypatch.setattr(Toy, "__module__", "__main__")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(
        ValueError, match="the class Toy of a notebook's cell can't be given to worker processes: write it"
    ):
        sweep(Toy, store=store, on="local:1", power=range(1, 4))
    travelled = cloudpickle.loads(cloudpickle.dumps(SparseOT.pictures))
    assert [picture.name for picture in travelled] == [picture.name for picture in SparseOT.pictures]


@pytest.mark.parametrize("on", ["local", "local:0", "local:x", "somewhere", "slurm:3"])
def test_no_such_place(on):
    with pytest.raises(ValueError, match="is no place to compute: it must be local:N"):
        executor(on)
