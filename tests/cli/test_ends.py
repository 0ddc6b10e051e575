"""A command that is ended takes all that it started with it, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from waiting import LIMIT, wait

SWEEPS = Path(__file__).parents[1] / "sweeps"

pytestmark = pytest.mark.slow

LAB = "import sys; from lab.cli import main; sys.exit(main())"


def marked(mark):
    """The processes that have a mark in their environment, as all have that come of one process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if mark in (path / "environ").read_bytes() and state not in "ZX":
                found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")[:200]
    return found


@contextmanager
def lab(*words, hangup=signal.SIG_DFL, **env):
    """A command of the lab in a process of its own; afterwards nothing of it may be there.

    Args:
        hangup: the handler of SIGHUP that the command inherits; under nohup this is ``signal.SIG_IGN``.
    """
    mark = f"lab-{uuid4().hex}"
    inherited = signal.signal(signal.SIGHUP, hangup)
    process = subprocess.Popen(
        [sys.executable, "-c", LAB, *words],
        env=os.environ | env | {"LAB_MARK": mark},
        text=True,
        bufsize=1,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    signal.signal(signal.SIGHUP, inherited)
    try:
        yield process, lambda: marked(mark.encode())
        process.wait(LIMIT)
        wait(lambda: not marked(mark.encode()))
    finally:
        for pid in marked(mark.encode()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


@pytest.fixture
def sweeping(tmp_path):
    """The words of a sweep of a user's study, and its environment."""
    (tmp_path / "slower.py").write_text("import toy\n\n\nclass Slower(toy.Slow):\n    slug = 'slower'\n")
    path = os.pathsep.join([str(SWEEPS), str(SWEEPS.parents[1])])
    env = {"LAB_HOME": str(tmp_path / "home"), "TOY_FOLDER": str(tmp_path), "TOY_WORK": "5", "PYTHONPATH": path}
    return ["sweep", str(tmp_path / "slower.py"), "--power", "1:30", "--steps", "9000", "--on"], env


class Held:
    """A cell that waits at a pipe, as one that takes long; not one of those that are run to plan the sweep."""

    def __init__(self, folder):
        self.folder, self.pipe = folder, folder / "hold-28"
        os.mkfifo(self.pipe)

    def reached(self):
        return (self.folder / "computed").exists() and " 28\n" in (self.folder / "computed").read_text()

    @contextmanager
    def free(self):
        writer = os.open(self.pipe, os.O_RDWR)
        yield
        os.close(writer)


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path)


@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_worker_processes_end_with_their_sweep(kind, sweeping, held):
    words, env = sweeping
    with lab(*words, "local:1", **env) as (process, there):
        assert process.stdout.readline().startswith("slower: 30 power")
        wait(held.reached)
        assert len(there()) >= 2
        process.send_signal(getattr(signal, kind))
        with held.free():  # Ctrl-C waits for what is being computed
            process.wait(LIMIT)


def test_a_sweep_goes_on_under_nohup(sweeping, held, tmp_path):
    words, env = sweeping
    with lab(*words, "local:1", hangup=signal.SIG_IGN, **env) as (process, _):
        wait(held.reached)
        process.send_signal(signal.SIGHUP)
        with held.free():
            assert process.wait(LIMIT) == 0
    assert {int(line.split()[1]) for line in (tmp_path / "computed").read_text().splitlines()} == {*range(1, 31)}


def test_jobs_end_with_their_sweep(sweeping, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SWEEPS)
    from slurm import Slurm

    slurm = Slurm(tmp_path / "slurm")
    (slurm.folder / "hold").touch()
    words, env = sweeping
    with lab(*words, "slurm", "--workers", "2", **env, **slurm.env) as (process, _):
        wait(lambda: len(slurm.jobs) == 2)
        wait(lambda: "2 pending" in process.stdout.readline())
        process.send_signal(signal.SIGHUP)
        assert process.wait(LIMIT) == 128 + signal.SIGHUP
    assert slurm.cancelled == ["101", "102"]


@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_kernels_end_with_the_notebooks(kind, tmp_path):
    env = {
        "LAB_HOME": str(tmp_path / "home"),
        "JUPYTER_TOKEN": "here",
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    with lab("notebook", "--no-browser", "--port", "0", **env) as (process, there):
        (place,) = wait(lambda: [*(tmp_path / "runtime").glob("jpserver-*.json")])
        wait(place.read_text)
        request = urllib.request.Request(
            json.loads(place.read_text())["url"] + "api/kernels?token=here", b"{}", {"Content-Type": "application/json"}
        )
        wait(lambda: answers(request))
        wait(lambda: len(there()) >= 2)
        process.send_signal(getattr(signal, kind))


def answers(request):
    with suppress(OSError):
        return urllib.request.urlopen(request, timeout=20).status < 300


def test_a_server_ends(tmp_path):
    with lab("serve", "--port", "0", LAB_HOME=str(tmp_path)) as (process, _):
        place = process.stdout.readline().split()[-1]
        wait(lambda: answers(f"{place}/liveness"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
