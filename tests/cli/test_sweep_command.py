"""``lab sweep`` as a user types it."""

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.progress import Progress

import lab
from lab import studies, sweeps
from lab.cli import main, outputs
from lab.figures.embed import read_recipe
from lab.studies import Picture, Pictures

TOY = Path(__file__).parents[1] / "sweeps" / "toy.py"


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    studies.load_file(TOY)


def test_sweep(tmp_path, capsys):
    target = tmp_path / "sweep.nc"
    words = [
        "sweep",
        "toy",
        "--rate",
        "1e-1:1:log3",
        "--power",
        "1,2",
        "--steps",
        "300",
        "--seed",
        "0:2",
        "-o",
        str(target),
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("toy: 3 rate x 2 power x 2 seed = 12 cells\n1 program, 2 batches, cells one by one\n")
    assert said.endswith(f"12 cells kept in {target}\n")
    with xr.open_dataset(target, engine="h5netcdf") as kept:
        assert dict(kept.sizes) == {"rate": 3, "power": 2, "seed": 2, "point": 4, "iteration": kept.sizes["iteration"]}
        np.testing.assert_allclose(kept.rate, [0.1, 10**-0.5, 1.0])
        again = kept.attrs["command"].split()
    assert main([*again[1:], "--dry-run"]) == 0  # its own command asks for the very same cells
    assert "12 of them held\nnothing to compute\n" in capsys.readouterr().out


def test_some_results_only(tmp_path, capsys):
    target = tmp_path / "sweep.zarr"
    assert main(["sweep", "toy", "--power", "1:3", "--keep", "norm,x", "-o", str(target)]) == 0
    with xr.open_zarr(target, consolidated=False) as kept:
        assert set(kept.data_vars) == {"norm", "x"}


@pytest.mark.slow
def test_failed_cells(capsys, tmp_path):
    target = tmp_path / "sweep.nc"
    assert main(["sweep", "toy", "--spoiled", "false,true", "-o", str(target)]) == 1
    assert "1 of 2 cells are empty: the variable error says why." in capsys.readouterr().out
    with xr.open_dataset(target, engine="h5netcdf") as kept:
        assert kept.cell_error.values.tolist() == ["", "ArithmeticError: this cell is spoiled"]
    assert main(["sweep", "toy", "--spoiled", "false,true", "--dry-run"]) == 0
    assert "2 of them held" in capsys.readouterr().out
    assert main(["sweep", "toy", "--spoiled", "false,true", "--dry-run", "--retry-failed"]) == 0
    assert "1 of them held" in capsys.readouterr().out


@pytest.mark.slow
def test_interrupted(monkeypatch, capsys):
    monkeypatch.setattr(sweeps.plan, "_TASK", 0.0)
    update = Progress.update

    def updated(bar, task, **told):
        update(bar, task, **told)
        if told["completed"] > 0:
            monkeypatch.setattr(Progress, "update", update)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "update", updated)
    assert main(["sweep", "slow", "--power", "1:39"]) == 130
    assert "of 39 cells are kept; the same command goes on from there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--power", "8:1"], "power = 8:1 runs backwards"),
        (["--rate", "0:1:log5"], "which has no logarithm"),
        (["--rat", "1,2"], "--rat is no option of lab sweep toy: did you mean --rate?"),
        (["--rate", "0.5,2"], "rate = 2.0 is not allowed"),
        (["--rate", ""], "rate has an empty list"),
        (["--rate", "0.5"], "needs a parameter with several values"),
        (["--power", "1,2", "--on", "the-moon"], "is no place to compute"),
        (["--power", "1,2", "--queue", "gpu"], "--queue is for --on slurm, pbs or lsf"),
        (["--power", "1,2", "--cluster-option", "account=a"], "--cluster-option is for --on slurm, pbs or lsf"),
        (["--power", "1,2", "--on", "slurm", "--cluster-option", "account"], "it must be NAME=VALUE, as account=ours"),
        (
            ["--power", "1,2", "--on", "slurm", "--cores", "2", "--cluster-option", "cores=3"],
            "says again what --cores says",
        ),
        (["--power", "1,2", "--on", "slurm", "--workers", "0"], "--workers '0' is not allowed"),
        (["--power", "1,2", "-o", "a.txt"], "has no known format"),
        (["--rate", "1e-6:1:1000", "--power", "1:40", "--steps", "10000", "--memory", "0.1"], "take fewer values"),
    ],
)
def test_refusals(capsys, words, says, monkeypatch):
    monkeypatch.setattr(studies.Study, "run", lambda *_: pytest.fail("it ran"))
    assert main(["sweep", "toy", *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_advice_names_its_cell(capsys):
    assert main(["sweep", "toy", "--power", "1,3", "--rate", "0.01,1", "--steps", "5"]) == 0
    said = capsys.readouterr().out
    assert "At rate = 0.01, power = 1 (the first of 2 cells with advice): Not converged" in said
    assert "At rate = 0.01: Not converged" in studies.find("toy")(steps=5).along(rate=[1.0, 0.01]).attrs["advice"]


@pytest.fixture
def transport(tmp_path, capsys):
    """The file of a sweep that was kept without its plans, of data that are gone."""
    rng = np.random.default_rng(7)
    np.savez(tmp_path / "mine.npz", cost=rng.uniform(size=(9, 6)))
    words = ["--data", str(tmp_path / "mine.npz"), "--keep", "value,nnz", "-o", str(tmp_path / "sweep.nc")]
    assert main(["sweep", "sparse-ot", "--k", "1,2", "--gamma", "0.1:1:log3", "--seed", "0,4", *words]) == 0
    (tmp_path / "mine.npz").unlink()
    capsys.readouterr()
    return tmp_path / "sweep.nc"


@pytest.mark.slow
def test_a_figure_of_one_cell(transport, tmp_path, monkeypatch, capsys):
    figure = ["figure", "sparse-ot:plan", "--from", str(transport), "-o", str(tmp_path / "plan.pdf")]
    with monkeypatch.context() as there:
        there.setattr(studies.Study, "run", lambda *_: pytest.fail("it ran"))
        assert main([*figure, "--k", "2", "--gamma", "0.316227766017", "--seed", "4"]) == 0
    recipe = read_recipe(tmp_path / "plan.pdf")
    there = {name: recipe["parameters"][name] for name in ("k", "gamma", "seed")}
    assert there == {"k": 2, "gamma": 10**-0.5, "seed": 4}
    assert recipe["figure"]["swept"] is None
    assert "computed again" not in capsys.readouterr().out
    assert main(["reproduce", str(tmp_path / "plan.pdf")]) == 0
    assert main(["runs", "--remove", "--all"]) == 0
    assert main([*figure, "--k", "2", "--gamma", "1", "--seed", "0"]) == 0
    assert "k = 2, gamma = 1, seed = 0 is not in the store: it was computed again\n" in capsys.readouterr().out
    with xr.open_dataset(transport, engine="h5netcdf") as kept:
        kept.load()["value"][:] += 1
    kept.to_netcdf(transport, engine="h5netcdf")
    assert main([*figure, "--k", "2", "--gamma", "1", "--seed", "0"]) == 0
    assert "made by another version or machine" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "a value for each of --k 1, 2; --gamma 0.1, 0.316227766017, 1; --seed 0, 4"),
        ("--k 2 --seed 0", "a value for each of --k 1, 2; --gamma 0.1, 0.316227766017, 1; --seed 0, 4"),
        ("--k 3 --gamma 1 --seed 0", "--k 3 is not in the sweep of"),
        ("--k 2 --gamma 0.31 --seed 0", "give one of 0.1, 0.316227766017, 1"),
        ("--k 2 --gamma 1.0000001 --seed 0", "--gamma 1.0000001 is not in the sweep of"),
        ("--k 2 --gamma 1 --seed 0 --max-iterations 9", "leave out --max-iterations"),
    ],
)
def test_a_figure_of_no_cell(transport, tmp_path, capsys, words, says):
    figure = ["figure", "sparse-ot:plan", "--from", str(transport), "-o", str(tmp_path / "plan.pdf")]
    assert main([*figure, *words.split()]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--k 2", "--preset ties", "--max-iterations 3"])
def test_a_run_has_no_cells(tmp_path, capsys, words):
    assert main(["run", "sparse-ot", "-o", str(tmp_path / "run.nc")]) == 0
    capsys.readouterr()
    figure = ["figure", "sparse-ot:plan", "--from", str(tmp_path / "run.nc"), "-o", str(tmp_path / "plan.pdf")]
    assert main([*figure, *words.split()]) == 2
    assert f"run.nc as it was computed: leave out {words.split()[0]}, or" in capsys.readouterr().err


def test_a_figure_of_a_failed_cell(tmp_path, capsys, monkeypatch):
    toy = studies.find("toy")
    monkeypatch.setattr(toy, "pictures", Pictures(Picture("x", "x", "x", lambda result: None)))
    main(["sweep", "toy", "--spoiled", "false,true", "-o", str(tmp_path / "sweep.nc")])
    figure = ["figure", "toy:x", "--from", str(tmp_path / "sweep.nc"), "-o", str(tmp_path / "x.pdf")]
    assert main([*figure, "--spoiled", "true"]) == 2
    assert "the cell spoiled = true of" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "toy", "--help"])
    assert "0:5 are the five seeds" in " ".join(capsys.readouterr().out.split())


def test_from_python():
    swept = lab.sweep(studies.find("toy"), power=[1, 2], rate="0.1:1:log3", store=False)
    assert dict(swept.norm.sizes) == {"power": 2, "rate": 3}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_only_results_are_replaced(tmp_path, capsys, suffix):
    target = tmp_path / f"x.{suffix}"
    words = ["sweep", "toy", "--rate", "0.5,0.6", "-o", str(target)]
    mine = target / "mine.txt" if suffix == "zarr" else target
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    assert main(words) == 2  # before anything is computed
    told = capsys.readouterr()
    assert "is no result of the lab; give another name" in told.err
    assert told.out == ""
    assert mine.read_text() == "years of work"
    mine.unlink()
    for _ in range(2):
        assert main(words) == 0
    if suffix == "zarr":
        for name in ("mine.txt", "x/mine.txt", "x/c/mine"):  # beside, and within, what was written
            (target / name).write_text("years of work")
            assert main(words) == 2
            (target / name).unlink()
    assert main(words) == 0
    assert {path.name for path in tmp_path.iterdir()} == {target.name, "home"}


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("recipe", [None, "{}", '{"study": "toy"}', "[" * 10_000])
def test_data_of_somebody_else_about_a_study_stay(tmp_path, capsys, suffix, recipe):
    target = tmp_path / f"theirs.{suffix}"
    told = {"study": "CLINICAL-TRIAL-7"} | ({} if recipe is None else {"recipe": recipe})
    data = xr.Dataset({"patients": ("i", [1.0, 2.0])}, attrs=told)
    data.to_zarr(target, consolidated=False) if suffix == "zarr" else data.to_netcdf(target, engine="h5netcdf")
    files = [path for path in (target, *target.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    assert main(["sweep", "toy", "--rate", "0.5,0.6", "-o", str(target)]) == 2
    assert "is no result of the lab; give another name" in capsys.readouterr().err
    assert [path.read_bytes() for path in files] == before


def test_a_file_that_is_replaced_is_read_in_a_process_of_its_own(tmp_path, monkeypatch):
    """It may be anybody's, and can crash the parser of HDF5."""
    attributes, target = {"study": "toy", "recipe": '{"study": "toy"}'}, tmp_path / "x.nc"
    xr.Dataset({"norm": 1.0}, attrs=attributes).to_netcdf(target, engine="h5netcdf")
    other = tmp_path / "other.nc"
    other.write_bytes(target.read_bytes()[:-100])

    def fail(*given, **options):
        raise AssertionError("HDF5 is parsed in this process")

    monkeypatch.setattr("h5py.File", fail)
    assert outputs._is_result(target)
    assert not outputs._is_result(other)


def test_a_deep_description_of_a_zarr_folder_is_no_result(tmp_path):
    (tmp_path / "zarr.json").write_text("[" * 100_000)
    assert not outputs._is_result(tmp_path)


def test_a_figure_of_somebody_else_stays(tmp_path, capsys):
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF-1.4 mine")
    assert main(["figure", "sparse-ot:plan", "-o", str(tmp_path / "thesis.pdf")]) == 2
    assert "is no result of the lab" in capsys.readouterr().err
    assert (tmp_path / "thesis.pdf").read_bytes() == b"%PDF-1.4 mine"


def test_a_full_store_still_gives_the_file(tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lab.store.files.write", full)
    words = ["sweep", "toy", "--rate", "0.71,0.72"]
    assert main([*words, "-o", str(tmp_path / "x.nc")]) == 0
    assert xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf").norm.shape == (2,)
    assert main(words) == 2
    assert "can't be kept" in capsys.readouterr().err
    monkeypatch.setattr("xarray.Dataset.to_netcdf", full)
    assert main([*words, "-o", str(tmp_path / "x.nc")]) == 2
    assert "x.nc can't be written: No space left on device; free space there" in capsys.readouterr().err
    assert xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf").norm.shape == (2,)
