"""``lab sweep`` as a user types it."""

import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import lab
from lab import studies, sweeps
from lab.cli import main

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


def test_failed_cells(capsys, tmp_path):
    target = tmp_path / "sweep.nc"
    assert main(["sweep", "toy", "--spoiled", "false,true", "-o", str(target)]) == 1
    assert "1 of 2 cells are empty: the variable error says why." in capsys.readouterr().out
    with xr.open_dataset(target, engine="h5netcdf") as kept:
        assert kept.error.values.tolist() == ["", "ArithmeticError: this cell is spoiled"]
    assert main(["sweep", "toy", "--spoiled", "false,true", "--dry-run"]) == 0
    assert "2 of them held" in capsys.readouterr().out
    assert main(["sweep", "toy", "--spoiled", "false,true", "--dry-run", "--retry-failed"]) == 0
    assert "1 of them held" in capsys.readouterr().out


def test_interrupted(monkeypatch, capsys):
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    monkeypatch.setattr(sweeps.plan, "_TASK", 0.0)
    timer = threading.Timer(4, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    assert main(["sweep", "slow", "--power", "1:39"]) == 130
    assert "of 39 cells are kept; the same command goes on from there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--power", "8:1"], "power = 8:1 runs backwards"),
        (["--rate", "0:1:log5"], "which has no logarithm"),
        (["--rat", "1,2"], "unrecognized arguments: --rat"),
        (["--rate", "0.5,2"], "rate = 2.0 is not allowed"),
        (["--rate", ""], "rate has an empty list"),
        (["--rate", "0.5"], "needs a parameter with several values"),
        (["--power", "1,2", "--on", "the-moon"], "is no place to compute"),
        (["--power", "1,2", "--queue", "gpu"], "--queue is for --on slurm, pbs or lsf"),
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


def test_help(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "toy", "--help"])
    assert "0:5 are the five seeds" in " ".join(capsys.readouterr().out.split())


def test_from_python():
    swept = lab.sweep(studies.find("toy"), power=[1, 2], rate="0.1:1:log3", store=False)
    assert dict(swept.norm.sizes) == {"power": 2, "rate": 3}
