"""Outputs on a disk without room, and of a process that is killed: nothing half-written, and no crash at the exit."""

import io
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr
from test_whole import killed

from lab import figures
from lab.cli import outputs
from lab.disk import cache
from lab.figures import embed
from lab.figures.export import _write as write_figure
from lab.studies import draw

_SAVE = """
import resource, sys
from pathlib import Path
import numpy as np, xarray as xr
from lab.cli.outputs import save
result = xr.Dataset({"x": ("i", np.random.default_rng(0).normal(size=100_000))}, attrs={"study": "s", "recipe": "{}"})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in sys.argv[1:]:
    try:
        save(result, Path(name))
    except OSError as problem:
        print(problem)
"""


@contextmanager
def room(size: int):
    """No file grows beyond that many bytes: as on a full disk, but for the number of the error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_result_that_does_not_fit_is_one_error_message(tmp_path):
    """In a process of its own: HDF5 ended it with signal 11 once it had an open file that it could not write."""
    names = [str(tmp_path / name) for name in ("result.nc", "result.zarr")]
    ended = subprocess.run([sys.executable, "-c", _SAVE, *names], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert [line.rpartition(" can't be written: ")[2] for line in said] == ["File too large"] * 2, ended.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["pdf", "svg", "png", "eps", "pgf"])
def test_a_figure_that_does_not_fit_is_one_error_message(tmp_path, kind):
    target, curve = tmp_path / f"figure.{kind}", draw.plot(draw.curve([0, 1], [0, 1]))
    figures.export(curve, io.BytesIO(), format=kind)  # what Matplotlib keeps of its own is kept before
    with room(500), pytest.raises(ValueError, match=r"can't be written.*: File too large"):
        figures.export(curve, target)
    assert os.listdir(tmp_path) == []


def test_what_is_not_kept_for_want_of_room_is_made_again(tmp_path):
    with room(500):
        cache.write(tmp_path / "a.program", bytes(1000))
    assert cache.read(tmp_path / "a.program") is None
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("kind", ["nc", "svg", "html"])
def test_an_output_of_a_killed_process_is_not_there_or_whole(tmp_path, kind):
    """Results, figures and shares; what a killed process leaves is collected by the next output in the folder."""
    target, old = tmp_path / f"out.{kind}", io.BytesIO()
    result = xr.Dataset({"x": ("i", np.arange(9.0))}, attrs={"study": "s", "recipe": '{"study": "s"}'})
    figures.export(draw.plot(draw.curve([0, 1], [0, 1])), old, format="svg", recipe={"study": "s"})
    content = old.getvalue() if kind == "svg" else f"<!doctype html>{embed.html_recipe({'study': 's'})}".encode()

    def write() -> None:
        outputs.save(result, target) if kind == "nc" else write_figure(target, content)

    write()
    whole, at = target.read_bytes(), 0
    target.unlink()
    while killed(write, at):
        assert not target.exists() or target.read_bytes() == whole
        at += 1
    assert at > 3
    write()
    assert os.listdir(tmp_path) == [target.name]
