"""Sweeps: the values of single runs over a grid, nothing computed twice, nothing lost."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from toy import Slow, Toy, agree, computed, one_by_one
from waiting import wait

import lab
from lab.store import Store
from lab.studies import Picture, Result, SparseOT, Study
from lab.sweeps import Plan, batch, run, sweep
from lab.sweeps import plan as planning
from lab.sweeps.batch import Way

RATES = [0.2, 0.5, 0.9]


@pytest.fixture
def eager(monkeypatch):
    """Look for a batched way whatever it costs, and take it."""
    monkeypatch.setattr(planning, "_TRIFLE", -1.0)
    monkeypatch.setattr(planning, "_WORTH", 0.0)
    monkeypatch.setattr(planning, "_FEW", 0)
    monkeypatch.setattr(planning.Plan, "_tried", lambda *given: 1e-9 / given[-1])


@pytest.mark.slow
@pytest.mark.parametrize("batched", [False, True])
def test_like_single_runs(store, batched, request):
    if batched:
        request.getfixturevalue("eager")
    plan = Plan(Toy, {"rate": RATES, "power": [1, 2, 3], "steps": [5, 200]}, store=store)
    swept = run(plan)
    assert plan.way(0).size == (8 if batched else 0)
    alone = one_by_one(Toy(), rate=RATES, power=[1, 2, 3], steps=[5, 200])
    agree(swept, alone)
    assert swept.x.dims == ("rate", "power", "steps", "point")
    assert set(alone.attrs) == set(swept.attrs)
    for told in ("converged", "advice", "parameters", "swept"):
        assert swept.attrs[told] == alone.attrs[told]
    assert json.loads(swept.attrs["swept"]) == {"rate": RATES, "power": [1, 2, 3], "steps": [5, 200]}
    assert json.loads(swept.attrs["recipe"])["study"] == "toy"
    assert "lab sweep toy" in swept.attrs["command"]


def test_a_run_is_computed_once(store, monkeypatch):
    reports = []
    study = Toy(rate=0.25)
    monkeypatch.setattr(Toy, "run", lambda self, report=None: reports.append(self) or _run(self, report))
    monkeypatch.setenv("LAB_HOME", str(store.folder.parent))
    _run = Study.run
    first, second = lab.run(study), lab.run(study)
    assert len(reports) == 1
    agree(second, first, exactly=True)
    lab.run(study, again=True)
    assert len(reports) == 2
    stopped = lab.run(Toy(rate=0.5), lambda told: True)
    assert stopped.attrs["reason"] == "stopped"
    assert lab.run(Toy(rate=0.5)).attrs["reason"] == "converged"  # what was stopped is not kept


def test_a_run_that_ships_is_not_computed(store, monkeypatch):
    monkeypatch.delenv("LAB_RESULTS")
    monkeypatch.setattr(SparseOT, "run", lambda self, report=None: pytest.fail("computed"))
    assert lab.run(SparseOT()).attrs["shipped"]


def test_a_single_run_has_the_key_of_its_cell(store):
    sweep(Toy, store=store, power="1:2", rate=0.25)
    assert store.held([Store.key(Toy(power=2, rate=0.25).recipe())])
    cell = store.fetch(Toy(power=2, rate=0.25).recipe(), lambda: pytest.fail("computed again"))
    agree(cell, Toy(power=2, rate=0.25).run(), exactly=True)


def test_coordinates_that_differ_are_joined(store):
    class Placed(Toy):
        @classmethod
        def coords(cls, data, inputs, p, output):
            return {"point": np.arange(output["x"].shape[-1]) + 2 * (p.steps > 10)}

    agree(sweep(Placed, store=store, steps=[5, 20], rate=RATES), one_by_one(Placed(), steps=[5, 20], rate=RATES))


def test_a_swept_parameter_takes_the_place_of_a_variable_of_its_name(store):
    """Whether cells have the same coordinates or not."""

    class Named(Toy):
        results = (*Toy.results, Result("rate", ("point",), "rate", "by point"))

        @staticmethod
        def compute(inputs, p, loop, warm=None):
            return Toy.compute(inputs, p, loop) | {"rate": inputs["a"]}

    class Placed(Named):
        slug = "placed"

        @classmethod
        def coords(cls, data, inputs, p, output):
            return {"point": np.arange(output["x"].shape[-1]) + 2 * (p.steps > 10)}

    for study in (Named, Placed):
        found = sweep(study, store=store, steps=[5, 20], rate=RATES)
        assert found["rate"].dims == ("rate",)
        assert found.rate.values.tolist() == list(RATES)
        assert np.isfinite(found.norm).all()


def test_what_compute_returns_is_a_variable_or_a_coordinate():
    class More(Toy):
        @staticmethod
        def compute(inputs, p, loop, warm=None):
            return Toy.compute(inputs, p, loop) | {"place": 10 * inputs["a"]}

    with pytest.raises(ValueError, match="compute of toy returned place, which neither results nor coords have"):
        More().run()

    class Placed(Toy):
        @staticmethod
        def compute(inputs, p, loop, warm=None):
            return Toy.compute(inputs, p, loop) | {"point": 10 * inputs["a"]}

        @classmethod
        def facts(cls, data, inputs, p, output):
            return {"most": float(output["x"].max()), "limit": p.steps}

    found = Placed(steps=7).run()
    assert found.point.values.tolist() == [10.0, 20.0, 30.0, 40.0]
    assert found.attrs["most"] == float(found.x.max())
    assert found.attrs["limit"] == 7
    assert found.point.attrs == {"long_name": "point", "units": "m"}


@pytest.fixture
def optimized():
    """Compile as users do: without optimization, iterations end elsewhere in a batch, and the planner refuses it."""
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")


@pytest.mark.slow
def test_sparse_ot_in_a_batch(store, eager, optimized):
    plan = Plan(SparseOT(n=12), {"k": [1, 2, 4], "gamma": "1e-2:1:log3"}, store=store)
    swept = run(plan)
    assert plan.way(0).size == 8
    alone = one_by_one(SparseOT(n=12), k=[1, 2, 4], gamma=plan.grid["gamma"])
    # another program rounds otherwise: both are optimal to the tolerance of the solver
    for name in ("value", "lower", "upper"):
        np.testing.assert_allclose(swept[name], alone[name].transpose(*swept[name].dims), rtol=2e-6)
    assert (swept.converged == alone.converged).all()
    assert (swept.max_col_nnz <= swept.k).all()
    assert (swept.column_error_l1 < 1e-12).all()
    assert {name: v.dtype for name, v in swept.items()} == {name: v.dtype for name, v in alone.items()}


def test_held_cells_are_not_computed(store, tmp_path):
    sweep(Slow, store=store, power=[1, 2])
    before = computed(tmp_path)
    assert sorted(set(before)) == ["0.5 1", "0.5 2"]
    plan = Plan(Slow, {"power": [1, 2]}, store=store)
    assert "2 of them held" in str(plan)
    assert "nothing to compute" in str(plan)
    again = run(plan)
    assert computed(tmp_path) == before
    agree(again, one_by_one(Slow(), power=[1, 2]), exactly=True)
    more = len(computed(tmp_path))
    sweep(Slow, store=store, power=[1, 2, 3])
    assert set(computed(tmp_path)[more:]) <= {"0.5 3", "0.5 1"}  # the first cell measures


def test_what_is_kept_of_a_sweep_does_not_depend_on_where_it_was(store):
    some = sweep(Toy, store=store, keep=["norm"], rate=RATES, steps=[5, 20])
    again = sweep(Toy, store=store, keep=["norm"], rate=[*RATES, 0.95], steps=[5, 20])  # partly out of the store
    assert set(some.variables) == set(again.variables) == {"norm", "rate", "steps"}
    agree(again.isel(rate=slice(3)), some, exactly=True)
    whole = sweep(Toy, store=store, rate=RATES, steps=[5, 20])
    agree(sweep(Toy, store=False, rate=RATES, steps=[5, 20]), whole, exactly=True)
    np.testing.assert_array_equal(whole.norm, some.norm)


def test_damaged_cells_are_computed_again(store, caplog):
    before = sweep(Toy, store=store, rate=RATES, power=[1, 2])
    for file in (store.folder / "batches").iterdir():
        file.write_bytes(file.read_bytes()[:-200].replace(b"x", b"y"))
    agree(sweep(Toy, store=store, rate=RATES, power=[1, 2]), before, exactly=False)
    assert store.damaged()
    assert len(store.held(Plan(Toy, {"rate": RATES, "power": [1, 2]}, store=store).keys)) == 6


def test_a_cell_that_fails_spares_the_others(store):
    said = sweep(Toy, store=store, spoiled=[False, True], rate=RATES)
    assert said.cell_error.dims == ("spoiled", "rate")
    assert (said.cell_error.values[0] == "").all()
    assert (said.cell_error.values[1] == "ArithmeticError: this cell is spoiled").all()
    assert np.isfinite(said.x.values[0]).all()
    assert np.isnan(said.x.values[1]).all()
    assert said.attrs["converged"] == 0
    assert said.attrs["advice"].startswith("3 of 6 cells are empty")
    plan = Plan(Toy, {"spoiled": [False, True], "rate": RATES}, store=store)
    assert len(plan.held) == 6  # also the failures are known
    agree(run(plan), said, exactly=True)
    assert len(Plan(Toy, {"spoiled": [False, True], "rate": RATES}, store=store, retry_failed=True).held) == 3
    with pytest.raises(ValueError, match="all 2 cells failed; the first one: ArithmeticError: this cell"):
        sweep(Toy(spoiled=True), store=store, power=[1, 2])


def test_a_batch_that_fails_is_done_one_by_one(monkeypatch):
    monkeypatch.setattr(batch.Program, "call", lambda *_: 1 / 0)
    cells = batch.compute(Toy(), [{"rate": 0.5}, {"rate": 0.25}], 2, lambda: False)
    assert [cell.attrs["parameters"] for cell in cells] == [
        json.dumps({"data": "toy", "rate": rate, "power": 1, "steps": 200, "spoiled": False, "seed": 0})
        for rate in (0.5, 0.25)
    ]


@pytest.mark.parametrize(("size", "at_once"), [(1, 1), (1, 3), (2, 1), (4, 1)])
def test_every_way_gives_single_runs(size, at_once):
    rates = [0.2, 0.3, 0.5, 0.7, 0.9]
    cells = batch.compute(Toy(), [{"rate": rate} for rate in rates], size, lambda: False, at_once)
    for rate, cell in zip(rates, cells, strict=True):
        agree(cell, Toy(rate=rate).run())


SHARDED = """
import jax
from toy import Toy, agree
from lab.home import start
from lab.sweeps import batch
start()
assert len(jax.devices()) == 4
points = [{"rate": 0.1 + 0.1 * i} for i in range(8)]
study = Toy()
program = batch.program(study, study.inputs(study.load()), points[0])
assert len(program.compiled(study.inputs(study.load()), 8, points[0]).output_shardings["norm"].device_set) == 4
for point, cell in zip(points, batch.compute(study, points, 8, lambda: False)):
    agree(cell, Toy(**point).run())
"""


@pytest.mark.slow
def test_a_batch_is_shared_by_all_devices(store, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    done = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_stop_keeps_what_is_there(store, monkeypatch):
    monkeypatch.setattr(planning, "_TASK", 0.0)
    seen = []

    def report(filling):
        seen.append(filling)
        return filling.done >= 2

    part = sweep(Toy, report=report, store=store, power=[1, 2, 3, 4])
    said = part.cell_error.values.tolist()  # the third may have been on its way
    assert said in (["", "", *["stopped before this cell"] * 2], ["", "", "", "stopped before this cell"])
    assert [at for filling in seen for at in filling.new] == [0, 1]
    done = []
    whole = sweep(Toy, report=lambda filling: done.append(filling.done), store=store, power=[1, 2, 3, 4])
    assert done[0] == said.count("")
    assert "cell_error" not in whole
    agree(whole, sweep(Toy, store=False, power=[1, 2, 3, 4]), exactly=True)


def test_what_is_reported_is_in_the_store(store, monkeypatch):
    monkeypatch.setattr(planning, "_TASK", 0.0)
    plan = Plan(Toy, {"power": [1, 2, 3]}, store=store)
    missing = []

    def report(filling):
        keys = [plan.keys[at] for at in filling.new]
        missing.extend(set(keys) - store.held(keys))

    run(plan, report)
    assert not missing


def test_two_sweeps_at_once_share_the_work(store, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "_TASK", 0.0)
    monkeypatch.setenv("TOY_WORK", "1")
    sweep(Slow, store=False, power=[1])  # measures
    Plan(Slow, {"power": range(1, 13)}, store=store).way(0)
    before = len(computed(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: sweep(Slow, store=Store(store.folder), power=range(1, 13)), range(2))
    agree(one, two, exactly=True)
    marks = computed(tmp_path)[before:]
    assert sorted(marks) == sorted(set(marks))
    assert len(marks) == 12


def test_the_plan_tells(store):
    plan = Plan(Toy, {"rate": RATES, "steps": [5, 200]}, store=store)
    told = str(plan)
    assert told.startswith("toy: 3 rate x 2 steps = 6 cells\n2 programs, 2 batches, cells one by one\nmemory ")


def test_seeds_share_a_program(store, eager):
    batch._programs.clear()
    plan = Plan(Toy, {"rate": RATES, "seed": range(5)}, store=store)
    assert str(plan).split("\n")[1].startswith("1 program, 5 batches")
    assert len(batch._programs.values()[-1]) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "needs a parameter with several values"),
        ({"power": [1, 41]}, "power = 41 is not allowed: it must be a whole number from 1 to 40, for this is a toy"),
        ({"power": [1, 2], "rate": 3.0}, "rate = 3.0 is not allowed"),
        ({"power": range(1, 1001), "steps": range(1, 2001)}, "the grid has 2,000,000 cells"),
    ],
)
def test_refused_before_anything_runs(store, given, says, monkeypatch):
    monkeypatch.setattr(Toy, "execute", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=says):
        sweep(Toy, store=store, **given)


def test_too_large(store, monkeypatch):
    monkeypatch.setattr(Toy, "execute", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=r"1,000 cells of 1\.\d+ kB are 1\.\d+ MB, more than the 1\.07 MB"):
        sweep(Toy, store=store, memory=1e-3, rate="1e-3:1:1000")
    with pytest.raises(ValueError, match="a single cell holds"):
        sweep(Toy, store=store, memory=1e-6, rate="1e-3:1:1000")
    with pytest.raises(ValueError, match="keep names 'y', which is no result of toy"):
        sweep(Toy, store=store, keep=["y"], rate=RATES)


def test_the_way_is_remembered(store, monkeypatch):
    plan = Plan(Toy, {"rate": RATES}, store=store)
    way = plan.way(0)
    monkeypatch.setattr(planning.Plan, "_measure", lambda *_: pytest.fail("measured again"))
    assert Plan(Toy, {"rate": [0.3, 0.4]}, store=store).way(0) == way
    monkeypatch.setattr(planning.Plan, "_measure", lambda *_: Way(0, 1.0, 1))
    monkeypatch.setattr(planning, "_TRIFLE", -1.0)
    assert Plan(Toy, {"rate": list(np.linspace(0.1, 0.9, 13))}, store=store).way(0) == Way(0, 1.0, 1)


KILLED = """
import sys
from toy import Slow
from lab.home import start
from lab.store import Store
from lab.sweeps import plan, sweep
start()
plan._TASK = 0.0
sweep(Slow, store=Store(sys.argv[1]), power=range(1, 21))
"""


ASKER = """
import sys
from toy import Slow
from lab.home import start
from lab.store import Store
from lab.sweeps import plan, sweep
start()
plan._TASK = 0.0
sweep(Slow, store=Store(sys.argv[1]), power=range(1, 31)).to_netcdf(sys.argv[2])
"""


@pytest.mark.slow
def test_three_processes_compute_each_cell_once(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_WORK", "5")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)  # measured once for all
    before = len(computed(tmp_path))
    files = [tmp_path / f"{i}.nc" for i in range(3)]
    askers = [subprocess.Popen([sys.executable, "-c", ASKER, str(store.folder), str(file)]) for file in files]
    assert [asker.wait(timeout=120) for asker in askers] == [0, 0, 0]
    marks = computed(tmp_path)[before:]
    assert sorted(marks) == sorted(f"0.5 {power}" for power in range(1, 31))
    one, *others = map(xr.load_dataset, files)
    for other in others:
        agree(one, other, exactly=True)


@pytest.mark.slow
def test_kill_and_resume(store, tmp_path, monkeypatch):
    """Killed again and again at random moments: nothing that was committed is computed again, and all agrees."""
    monkeypatch.setenv("TOY_WORK", "5")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    rng = np.random.default_rng(0)
    keys = Plan(Slow, {"power": range(1, 21)}, store=store).keys
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(store.folder)])
        before = len(store.held(keys))
        wait(lambda past=before, sweeps=process: len(store.held(keys)) > past or sweeps.poll() is not None)
        begun = len(computed(tmp_path)) + rng.integers(4)
        wait(lambda begun=begun, sweeps=process: len(computed(tmp_path)) >= begun or sweeps.poll() is not None)
        process.kill()
        process.wait()
    held = store.held(keys)
    assert 3 <= len(held) < 20
    before = len(computed(tmp_path))
    swept = sweep(Slow, store=store, power=range(1, 21))
    marks = computed(tmp_path)[before:]
    assert len(marks) == 20 - len(held)
    monkeypatch.setenv("TOY_WORK", "0")
    agree(swept, sweep(Slow, store=Store(tmp_path / "other"), power=range(1, 21)), exactly=True)


def test_a_picture_says_what_a_sweep_was_kept_without(store):
    picture = Picture(
        "both", "Both", "both", lambda result: result.x, along=lambda s, d: {"rate": RATES}, also=("norm", "x")
    )
    kept = sweep(Toy, store=store, rate=RATES, keep=["norm"])
    with pytest.raises(
        ValueError, match="the picture both can't be drawn: it needs x, which this result was kept without"
    ):
        picture(kept)


def test_stopped_before_the_first_cell(store):
    with pytest.raises(ValueError, match="stopped before its first cell was there"):
        sweep(Toy, store=store, report=lambda filling: True, rate=RATES)


@pytest.mark.parametrize("keep", [(), ("norm",)])
def test_a_sweep_that_cannot_be_stored_is_whole_all_the_same(store, monkeypatch, caplog, keep):
    grid = {"rate": [0.5, 0.6], "power": [1, 2], "spoiled": [False, True]}
    right = sweep(Toy, store=False, keep=keep, **grid)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lab.store.files.write", full)
    monkeypatch.setattr("lab.store.index._told", set())
    agree(sweep(Toy, store=store, keep=keep, **grid), right, exactly=True)
    assert caplog.text.count("No space left on device") == 1
    assert "in its result only" in caplog.text
    with pytest.raises(OSError, match="can't be kept"):
        run(Plan(Toy, grid, store=store), must_keep=True)
    monkeypatch.undo()
    assert store.held(Plan(Toy, grid, store=None).keys) == set()


@pytest.mark.slow
def test_a_sweep_along_data(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.random.default_rng(0).random((5, 4)))
    named = sweep(SparseOT(k=2), store=store, data="one-bump-to-two;mine.npy", gamma=[0.1, 1.0])
    assert named.data.values.tolist() == ["one-bump-to-two", "mine.npy"]
    assert named.value.dims == ("data", "gamma")
    for at, data in enumerate(("one-bump-to-two", "mine.npy")):
        run_alone = SparseOT(data=data, k=2, gamma=1.0).run()
        np.testing.assert_allclose(named.value[at, 1], run_alone.value, rtol=1e-9)
    assert "2 data sets" in named.attrs["title"]
    assert "--data 'one-bump-to-two;mine.npy'" in named.attrs["command"]
    # those whose labels are words beside those whose labels are numbers
    mixed = sweep(SparseOT(k=2, gamma=1.0, n=4), store=store, data=["gaussians-2d", "mine.npy"])
    again = sweep(SparseOT(k=2, gamma=1.0, n=4), store=store, data=["gaussians-2d", "mine.npy"])
    np.testing.assert_array_equal(mixed.value, again.value)
    np.testing.assert_allclose(mixed.value[1], named.value[1, 1], rtol=1e-9)
    mixed.to_netcdf(tmp_path / "mixed.nc", engine="h5netcdf")
    # the same ones again, at hand, under names of their own: one is held already
    at_hand = [{"cost": np.load("mine.npy")}, {"cost": np.eye(3)}]
    again = sweep(SparseOT(k=2), store=store, data=at_hand, gamma=1.0)
    assert again.data.values.tolist() == ["your dict (1)", "your dict (2)"]
    np.testing.assert_allclose(again.value[0], named.value[1, 1], rtol=1e-9)
    assert json.loads(again.attrs["swept"]) == {"data": ["your dict (1)", "your dict (2)"]}


def test_data_travel_to_a_worker():
    import pickle

    from lab.datasets import held

    data = held({"cost": np.eye(3)})
    again = pickle.loads(pickle.dumps(data))
    assert again.sha256 == data.sha256
    assert not again.arrays["cost"].flags.writeable
