"""Commands import nothing from the folder that they are started in, and take no setting from it."""

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from waiting import LIMIT, wait

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
HALVING = str(TESTS / "app" / "halving.py")
MODULES = """lab jax jaxlib numpy scipy xarray h5py zarr panel bokeh tornado param holoviews matplotlib evil PIL pandas dask
distributed dask_jobqueue equinox platformdirs sitecustomize usercustomize jupyterlab jupyter_server jupytext traitlets
jupyter_server_config jupyter_lab_config jupyter_config ipython_config conftest setup multiprocessing concurrent pickle signal
ctypes runpy struct subprocess json zipfile click yaml"""
TEXTS = {
    ".env": "LAB_HOME=stolen\nPYTHONPATH=.\n",
    "jobqueue.yaml": "jobqueue:\n  slurm:\n    job-script-prologue: ['touch {marker}']\n    python: evil\n",
    "dask.yaml": "distributed:\n  worker:\n    preload: [evil.py]\n",
    "matplotlibrc": "backend: module://evil\ntext.usetex: True\nanimation.ffmpeg_path: ./evil\nlines.linewidth: 9\n",
    "jupyter_server_config.json": '{{"ServerApp": {{"jpserver_extensions": {{"evil": true}}}}}}',
    "jupytext.toml": 'formats = "ipynb,evil"\n',
    "evil-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "evil-1.0.dist-info/entry_points.txt": "[lab.studies]\nevil = evil\n[jax_plugins]\nevil = evil\n",
}
LAB = """
import sys

from lab.cli import main

if __name__ == "__main__":
    if sys.argv[1:] != ["all"]:
        sys.exit(main())
    study, folder = sys.stdin.read().splitlines()
    for words in (
        "list",
        f"show {study}",
        f"run {study} -o {folder}/run.nc",
        f"sweep {study} --c 1,2,3,4 --on local:2 -o {folder}/sweep.nc",
        f"figure {study}:iterates -o {folder}/figure.pdf",
        f"reproduce {folder}/figure.pdf --study {study}",
        f"verify {study} --quick",
        f"share {study} --along c -o {folder}/page.html",
        f"doctor {study}",
        "runs",
    ):
        print("lab", words, flush=True)
        sys.argv[1:] = words.split()
        if status := main():
            sys.exit(f"{words} ended with {status}")
    from lab.app import worker

    process = worker.Worker(["no-such-study"])
    assert process._connection.recv()[0] == "warmed"
    process.end()
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder in which each module writes its name into ``markers``; the last test of all is that there is none."""
    folder, markers = tmp_path / "downloads", tmp_path / "markers"
    markers.mkdir()
    (folder / "evil-1.0.dist-info").mkdir(parents=True)
    for name in MODULES.split():
        (folder / f"{name}.py").write_text(f"open({str(markers / name)!r}, 'w').close()\nraise SystemExit('{name}')\n")
    for name, text in TEXTS.items():
        (folder / name).write_text(text.format(marker=markers / name))
    (folder / ".jupytext.py").write_text((folder / "evil.py").read_text())
    (folder / "evil").write_text(f"#!/bin/sh\ntouch {markers / 'program'}\n")
    (folder / "evil").chmod(0o755)
    (tmp_path / "lab").write_text(LAB)  # as pip installs it: a file in a folder of its own
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "LAB_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    yield folder
    assert [path.name for path in markers.iterdir()] == []
    assert not (folder / "stolen").exists()


@contextmanager
def started(folder: Path, *words: str):
    """A command that serves; ended afterwards."""
    command = [sys.executable, str(folder.parent / "lab"), *words]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT)


def answers(address):
    with suppress(OSError):
        return urllib.request.urlopen(address, timeout=20).status < 300


def test_commands_workers_and_the_process_that_compiles_ahead(hostile, tmp_path):
    done = subprocess.run(
        [sys.executable, str(tmp_path / "lab"), "all"],
        cwd=hostile,
        input=f"{HALVING}\n{tmp_path}",
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_serve(hostile):
    with started(hostile, "serve", HALVING, "--port", "0") as process:
        place = process.stdout.readline().split()[-1]
        wait(lambda: answers(f"{place}/liveness"))
        assert answers(f"{place}/halving")


def test_notebook(hostile, tmp_path, monkeypatch):
    runtime = tmp_path / "home" / "JUPYTER_RUNTIME_DIR"
    monkeypatch.setenv("JUPYTER_TOKEN", "here")
    with started(hostile, "notebook", "--no-browser", "--port", "0") as process:
        (place,) = wait(lambda: [*runtime.glob("jpserver-*.json")] or process.poll() is not None)
        wait(place.read_text)
        address = json.loads(place.read_text())["url"]
        wait(lambda: answers(f"{address}api/contents?token=here"))
        assert answers(f"{address}lab?token=here")


def test_jobs_of_a_queue(hostile, monkeypatch):
    """SLURM starts a job in the folder that it was submitted from."""
    from lab.sweeps import executor

    monkeypatch.syspath_prepend(TESTS / "sweeps")
    from slurm import Slurm

    monkeypatch.setenv("PATH", Slurm(hostile).env["PATH"])
    (hostile / "job").write_text(f"{executor('slurm').script.strip()} --help\n")
    told = subprocess.run(["sh", "job"], cwd=hostile, capture_output=True, text=True, timeout=LIMIT)
    assert "Usage: python -m distributed.cli.dask_worker" in told.stdout, told.stderr


def test_python_m_lab_imports_only_the_package_from_there(hostile):
    (hostile / "lab.py").unlink()
    for name in (
        "subprocess",
        "signal",
        "struct",
        "pickle",
        "json",
        "zipfile",
        "concurrent",
        "multiprocessing",
        "runpy",
    ):
        (hostile / f"{name}.py").unlink()  # Python itself imports some of them before it begins with the package
    for words in (["-m", "lab", "show", HALVING], ["-P", "-m", "lab", "list"]):
        subprocess.run([sys.executable, *words], cwd=hostile, check=True, capture_output=True, timeout=LIMIT)
        (hostile / "lab.py").write_text((hostile / "jax.py").read_text())


def test_a_module_beside_a_script_travels_to_its_jobs(tmp_path, monkeypatch):
    """As to worker processes: what a program imports from its folder, its workers may import from there too."""
    from lab.sweeps import cluster

    here = str(tmp_path / "it's mine")
    monkeypatch.setattr(sys, "path", [here, *sys.path])
    for script in ("other.py", f"{here}/lab"):  # the latter is the command, among other programs
        monkeypatch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
        assert cluster._imports() == ["export PYTHONSAFEPATH=1"]
    monkeypatch.setattr(sys.modules["__main__"], "__file__", os.path.join(here, "script.py"), raising=False)
    told = subprocess.run(
        ["sh", "-c", "\n".join([*cluster._imports(), 'echo "$PYTHONPATH"'])], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip().split(os.pathsep)[0] == here
