"""``Study.along`` and pictures over several runs: computed by the sweeps, kept in the store, free when asked for again."""

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy import Slow, Toy, agree, computed, one_by_one

import lab
from lab.store import Store
from lab.studies import Picture, Pictures, SparseOT, Step, Story
from lab.sweeps import Plan, complete, sweep
from lab.sweeps import plan as planning
from lab.sweeps.plan import failed_key

POWERS = Picture(
    "powers",
    "Powers",
    "a run for each power",
    lambda result: result.norm,
    along=lambda s, d: {"power": [1, 2, 3]},
    also=("norm",),
)


def test_it_is_single_runs_with_a_dimension_more(store):
    along = Toy().along(power=[1, 2, 3], steps=[5, 200])
    alone = one_by_one(Toy(), power=[1, 2, 3], steps=[5, 200])
    agree(along, alone, exactly=True)
    assert along.x.dims == ("power", "steps", "point")
    for told in ("converged", "advice", "parameters", "swept", "data_sha256"):
        assert along.attrs[told] == alone.attrs[told]
    assert along.attrs["advice"].startswith("At power = 1, steps = 5 (the first of 3 cells with advice): Not converged")


def test_a_run_that_the_store_holds_costs_nothing(store, tmp_path):
    kept, study = Store(), Slow()
    kept.fetch(study.but(power=2).recipe(), study.but(power=2).run)
    assert len(computed(tmp_path)) == 1
    first = study.picture_result(POWERS)
    assert sorted(computed(tmp_path)) == ["0.5 1", "0.5 2", "0.5 3"]
    assert kept.held([Store.key(study.but(power=3).recipe())])  # as ``lab run`` asks for it
    again = study.picture_result(POWERS)
    assert len(computed(tmp_path)) == 3
    agree(again, first, exactly=True)
    assert set(again.variables) == {"norm", "power"}


@pytest.mark.parametrize("cells", [3, 40])
def test_no_cell_is_computed_to_be_measured_only(store, tmp_path, cells):
    Slow().along(power=list(range(1, 1 + min(cells, 20))), rate=[0.4, 0.5][: max(1, cells // 20)])
    assert len(computed(tmp_path)) == cells


def test_few_cells_compile_no_program_of_their_own(store, monkeypatch):
    monkeypatch.setattr(planning, "_TRIFLE", -1.0)
    monkeypatch.setattr(planning.batch, "program", lambda *_: pytest.fail("it would take longer than the cells"))
    Toy().along(power=list(range(1, 1 + planning._FEW)))
    plan = Plan(Toy, {"power": [1, 2]}, store=None)
    assert plan.way(0).size == 0


def test_a_small_sweep_goes_one_by_one_where_a_large_one_did_not(store, monkeypatch):
    monkeypatch.setattr(planning.Plan, "_measure", lambda *_: planning.Way(8, 0.01, 800, 0.1))
    way = lambda count: Plan(Toy, {"rate": np.linspace(0.1, 0.9, count).tolist()}, store=None).way(0)  # noqa: E731
    assert way(100) == planning.Way(8, 0.01, 800, 0.1)
    assert way(40) == way(3) == planning.Way(0, 0.1, 100, 0.1)


def test_a_batch_is_compared_with_runs_all_over_the_grid(store, monkeypatch):
    """Where the program gives another number at one of them, no picture is made of its cells."""
    for name, value in (("_TRIFLE", -1.0), ("_WORTH", 0.0), ("_FEW", 0)):
        monkeypatch.setattr(planning, name, value)
    monkeypatch.setattr(planning.Plan, "_tried", lambda *given: 1e-9 / given[-1])
    rates = np.linspace(0.2, 0.9, 12).tolist()
    size = lambda exact, **grid: Plan(Toy, {"rate": rates, **grid}, store=None, exact=exact).way(0).size  # noqa: E731
    assert size(True, steps=[200, 201]) == 8
    same = planning._same
    wrong = lambda study, *rest: study.rate < 0.85 and same(study, *rest)  # noqa: E731
    monkeypatch.setattr(planning, "_same", wrong)
    assert size(True, steps=[202, 203]) == 0
    assert size(False, steps=[202, 203]) == 8


def test_a_failure_is_that_of_the_run(store):
    study = Toy()
    with pytest.raises(ArithmeticError, match="this cell is spoiled") as failed:
        study.along(spoiled=[False, True])
    assert failed.value.__notes__ == ["at spoiled = true"]
    assert Store().held([Store.key(study.recipe())])
    with pytest.raises(ArithmeticError):  # tried again: not told from memory
        study.along(spoiled=[True])
    with pytest.raises(ValueError, match="power = 41 is not allowed"):
        study.along(power=[1, 41])
    with pytest.raises(ValueError, match="toy has no parameter 'colour'"):
        study.along(colour=[1])


def test_it_tells_how_many_runs_are_done_and_ends_when_asked_to(store, monkeypatch):
    monkeypatch.setattr(planning, "_TASK", 0.0)
    told = []
    Toy().along(lambda at: told.append((at.iteration, at.max_iterations)), power=[1, 2, 3])
    assert sorted(set(told)) == told[:1] + [(done, 3) for done in (1, 2, 3)]
    part = Slow().along(lambda at: at.iteration >= 2, power=[1, 2, 3, 4])
    assert part.norm.notnull().values.tolist() == [said == "" for said in part.cell_error.values]
    assert "are empty" in part.attrs["advice"]
    whole = Slow().along(power=[1, 2, 3, 4])
    assert "cell_error" not in whole


class Given(BaseException):
    """As pages give up what nobody wants any more."""


@pytest.mark.parametrize("why", [Given(), ValueError("the time is used up")])
def test_a_report_that_raises_ends_it_in_order(store, monkeypatch, why):
    monkeypatch.setattr(planning, "_TASK", 0.0)
    done = []

    def report(at):
        done.append(at.iteration)
        if at.iteration:
            raise why

    with pytest.raises(type(why)) as raised:
        Toy().along(report, power=[1, 2, 3, 4])
    assert raised.value is why
    keys = Plan(Toy, {"power": [1, 2, 3, 4]}, store=None).keys
    assert 1 <= len(Store().held(keys)) < 4
    assert not Store().held([failed_key(key) for key in keys])  # no cell has failed
    assert done[-1] == 1
    assert done.count(1) == 1
    assert len(Toy().along(power=[1, 2, 3, 4]).power) == 4


def test_without_room_in_the_store_it_is_computed_all_the_same(store, tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lab.store.files.write", full)
    monkeypatch.setattr("lab.store.index._told", set())
    agree(Slow().along(power=[1, 2]), one_by_one(Slow(), power=[1, 2]), exactly=True)
    assert "its cells are in its result only" in caplog.text


def test_complete_leaves_the_store_alone_where_it_is_told_to(store, tmp_path):
    for _ in range(2):
        complete(Slow(), {"power": [1, 2]}, store=False)
    assert len(computed(tmp_path)) == 4
    assert not Store().entries()


def test_many_small_runs_are_kept_by_few_commits(store):
    Toy().along(power=list(range(1, 11)), steps=[5, 200])
    assert len(Store().entries()) <= 3
    agree(sweep(Toy, power="1:10", steps=[5, 200]), one_by_one(Toy(), power=range(1, 11), steps=[5, 200]), exactly=True)


ASKER = """
import sys
from toy import Slow
from lab.home import start
from test_along import POWERS
from waiting import wait
start()
for face in sys.argv[1:]:
    if face == "page":
        from lab.app.session import Session
        got, session = [], Session(Slow)
        session.start()
        wait(lambda: not session.busy)
        session.sweep(POWERS, wait=0.0, calls={"progress": lambda at: None, "done": got.append, "failed": got.append})
        wait(lambda: got)
        print(got[0].norm.values.tolist())
    else:
        print(Slow().picture_result(POWERS).norm.values.tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["study", "page"])
def test_what_one_process_computed_costs_another_nothing(store, tmp_path, monkeypatch, first):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, Path(__file__).parents[:2])))

    def asked(*faces):
        done = subprocess.run([sys.executable, "-c", ASKER, *faces], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    (values,) = asked(first)
    assert sorted(set(computed(tmp_path))) == ["0.5 1", "0.5 2", "0.5 3"]
    before = len(computed(tmp_path))
    other = {"study": "page", "page": "study"}[first]
    assert asked(other, first) == [values, values]
    assert len(computed(tmp_path)) == before


@pytest.mark.slow
def test_data_at_hand(store, monkeypatch):
    mine = SparseOT(data={"cost": np.random.default_rng(0).random((5, 4))}, k=2)
    first = mine.along(gamma=[0.1, 1.0], keep=["value"])
    np.testing.assert_array_equal(first.value[1], mine.but(gamma=1.0).run().value)
    monkeypatch.setattr(SparseOT, "compute", staticmethod(lambda *_: pytest.fail("computed again")))
    agree(mine.along(gamma=[0.1, 1.0], keep=["value"]), first, exactly=True)


@pytest.mark.slow
def test_no_study_imports_a_face():
    """What is above the studies is reached by the front door, ``import lab``: no circle of imports."""
    root, above = Path(lab.__file__).parent, {"app", "cli", "figures", "sweeps"}
    found = []
    for path in (root / "studies").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(path.name, name) for name in names if name.startswith("lab.") and name.split(".")[1] in above]
    assert found == []


def test_what_compute_returns_is_what_is_declared():
    class Forgets(Toy):
        @staticmethod
        def compute(inputs, p, loop, warm=None):
            return {name: value for name, value in Toy.compute(inputs, p, loop).items() if name != "norm"}

    class Turns(Toy):
        @staticmethod
        def compute(inputs, p, loop, warm=None):
            return Toy.compute(inputs, p, loop) | {"norm": np.ones(3)}

    with pytest.raises(ValueError, match=r"compute of toy did not return norm, which is a Result: return it, or say"):
        Forgets().run()
    with pytest.raises(
        ValueError, match=r"returned norm with the shape \(3,\), but its Result names 0 dimensions: none"
    ):
        Turns().run()


@pytest.mark.parametrize(
    ("text", "flaw"), [("{norm:.2f} {before.norm}", ""), ("{nrom}", "tells of nrom"), ("{x}", "tells of x")]
)
def test_a_story_tells_of_numbers_that_there_are(text, flaw):
    steps = tuple(Step("?", {"power": 2}, text, lambda before, after: True) for _ in range(3))
    story = Story("One.", ("powers",), ("power",), steps, ())
    found = story.flaw(Pictures(POWERS), Toy.parameters(), Toy.results)
    assert found.startswith(flaw) if flaw else not found
