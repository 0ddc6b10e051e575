"""What ``lab run`` keeps, and the commands that list it, remove it and write it out."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr

from lab.cli import main
from lab.store import Store, weights
from lab.store import store as module
from lab.studies import SparseOT, Study

QUICK = """
import jax.numpy as jnp
from lab.studies import Paper, Real, Result, Study, Whole

class Moment(Study):
    slug, title, field, kind = "moment", "A moment of the cost", "Tests", "transport"
    about = "One. Two. Three."
    paper = Paper("Nobody", "Nothing", "Nowhere", 2026, "https://example.org")
    results = (Result("moment", (), "moment", "mean of a power", headline=True), Result("rows", ("row",), "rows", "sums"))
    dims = {"row": ("source", "")}
    k = Whole(2, bounds=(1, None), doc="the power")
    gamma = Real(1.0, bounds=(0, None), doc="a factor")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        powers = p.gamma * inputs["cost"] ** p.k
        return {"moment": jnp.mean(powers), "rows": powers.sum(1)}
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / "moment.py").write_text(QUICK)
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    rng = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("mine") / "my.npz"
    np.savez(path, cost=rng.uniform(size=(6, 5)), a=np.full(6, 1 / 6), b=np.full(5, 0.2))
    return str(path)


@pytest.fixture
def said(capsys):
    def run(*words: str, code: int = 0) -> str:
        assert main(list(words)) == code
        out, err = capsys.readouterr()
        return out if code == 0 else err

    return run


@pytest.fixture
def counted(monkeypatch):
    runs, run = [], Study.run
    monkeypatch.setattr(Study, "run", lambda self, report=None: runs.append(self.k) or run(self, report))
    return runs


@pytest.mark.slow
def test_a_run_that_is_held_is_not_computed(mine, said, counted):
    command = ("run", "moment.py", "--data", mine, "--k", "2", "--gamma", "1")
    first = said(*command, "-o", "first.nc")
    assert "from the store" not in first
    second = said(*command, "-o", "second.nc")
    assert counted == [2]
    assert f"from the store, computed on {datetime.now().astimezone():%Y-%m-%d}" in second
    with xr.open_dataset("first.nc") as one, xr.open_dataset("second.nc") as two:
        assert one.identical(two)
    again = said(*command, "--again")
    assert "from the store" not in again
    assert counted == [2, 2]
    assert len(Store().entries()) == 1
    said("run", "moment.py", "--data", mine, "--k", "3", "--gamma", "1")
    assert counted == [2, 2, 3]


def test_other_bytes_under_the_same_name_are_another_run(mine, said, counted, tmp_path):
    path = tmp_path / "changing.npz"
    for scale in (1.0, 2.0):
        with np.load(mine) as arrays:
            np.savez(path, cost=scale * arrays["cost"], a=arrays["a"], b=arrays["b"])
        said("run", "moment.py", "--data", str(path))
    assert len(counted) == 2


@pytest.mark.slow
def test_a_stopped_run_is_computed_again(mine, said, monkeypatch):
    run = SparseOT.run
    monkeypatch.setattr(SparseOT, "run", lambda self, report=None: run(self, lambda progress: True))
    command = ("run", "sparse-ot", "--data", mine, "--solver", "adam", "--tolerance", "1e-12")
    assert "stopped on request" in said(*command)
    monkeypatch.setattr(SparseOT, "run", run)
    assert "stopped on request" not in said(*command)


def test_a_home_that_cannot_be_written_to(mine, said, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "file"))
    assert "A moment" in said("run", "moment.py", "--data", mine)
    assert len([record for record in caplog.records if record.name == "lab.store"]) == 1
    assert "0 runs" in said("runs")


@pytest.fixture
def kept(mine, said):
    """Three runs; the first as if of 40 days ago."""
    module_clock = module.datetime

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) - timedelta(days=40)

    module.datetime = Earlier
    try:
        said("run", "moment.py", "--data", mine, "--k", "1")
    finally:
        module.datetime = module_clock
    said("run", "moment.py", "--data", mine, "--k", "3", "--gamma", "0.5")
    said("run", "moment.py", "--data", "bump-to-bump", "--k", "1")
    return [row["key"] for row in json.loads(said("runs", "--json"))]


@pytest.mark.slow
def test_runs_are_listed_newest_first(kept, said):
    lines = said("runs").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [key[:10] for key in kept]
    assert "k=3, gamma=0.5" in lines[2]
    assert "seed" not in lines[2]  # as the study has it
    assert "my.npz" in lines[2] or "my" in lines[2].split()
    assert lines[-1].startswith("3 runs in 3 files, ")
    rows = json.loads(said("runs", "--json"))
    assert [row["parameters"]["k"] for row in rows] == [1, 3, 1]
    assert rows[0]["bytes"] > 0
    assert f"{datetime.now().astimezone():%Y-%m-%d}" in lines[1]


@pytest.mark.slow
def test_runs_are_filtered_and_removed(kept, said):
    old = json.loads(said("runs", "--older-than", "30d", "--json"))
    assert [row["key"] for row in old] == kept[2:]
    assert json.loads(said("runs", "--larger-than", "1GB", "--json")) == []
    assert len(json.loads(said("runs", "--larger-than", "1 kB", "--study", "moment", "--json"))) == 3
    assert "removed 1 run in 1 file" in said("runs", "--older-than", "30d", "--remove")
    assert [row["key"] for row in json.loads(said("runs", "--json"))] == kept[:2]
    assert "0 runs in 0 files, 0 B" in said("runs", "--remove", "--all")
    assert Store().entries() == []


@pytest.mark.slow
def test_removing_all_clears_what_was_set_aside(kept, said):
    path = Store()._path(Store().entries()[0].batch)
    path.write_bytes(b"broken")
    said("run", "moment.py", "--data", "bump-to-bump", "--k", "1")
    assert "3 runs in 3 files" in said("runs")
    assert "1 of its files set aside as damaged" in said("runs")
    said("runs", "--remove", "--all")
    assert Store().damaged() == []


def test_weights_are_opened_over_what_was_opened(said, mine):
    weights.kept({"title": "a network", "seed": 3}, np.zeros(2), lambda: np.arange(2.0))
    (entry,) = Store().entries()
    for name in ("run.nc", "run.zarr") * 2:
        said("open", entry.keys[0], "-o", name)
    with xr.open_dataset("run.nc") as opened:
        np.testing.assert_array_equal(opened.leaf_0, [0.0, 1.0])


def test_open_writes_the_run_as_it_was(kept, said, mine):
    key = kept[1]
    said("open", key[:12], "-o", "run.nc")
    said("open", key, "-o", "run.zarr")
    with xr.open_dataset("run.nc") as netcdf, xr.open_zarr("run.zarr", consolidated=False) as zarr:
        assert json.loads(netcdf.attrs["parameters"])["k"] == 3
        np.testing.assert_array_equal(netcdf.rows, zarr.rows)
        assert "cell" not in netcdf.dims
        assert not [name for name in netcdf.variables if name.startswith("cell")]
        with np.load(mine) as arrays:
            np.testing.assert_allclose(netcdf.rows, 0.5 * (arrays["cost"] ** 3).sum(1), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runs", "--remove"], "say what to remove"),
        (["runs", "--all"], "--all goes with --remove"),
        (["runs", "--older-than", "soon"], "write a number and m, h, d, w, y, as in 30d"),
        (["runs", "--older-than", "99999999y"], "nothing is that old"),
        (["runs", "--larger-than", "10"], "write a number and B, kB, MB, GB, TB, as in 10MB"),
        (["runs", "--larger-than", "9" * 400 + "TB"], "999TB: nothing is that large"),
        (["runs", "--study", "momentum"], "holds no run of 'momentum'; it holds runs of moment"),
        (["open", "", "-o", "x.nc"], "the key is empty: give one that lab runs shows"),
        (["open", "zz", "-o", "x.nc"], "no key begins with 'zz'"),
        (["open", "0", "-o", "x.txt"], "end it with .nc, .zarr"),
        (["open", "0"], "-o"),
    ],
    ids=lambda value: " ".join(value)[:80] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence(kept, said, words, says):
    told = said(*words, code=2)
    assert says in told
    assert told.count("\n") == 1
    assert len(Store().entries()) == 3
