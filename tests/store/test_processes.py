"""Several processes on one store, some of them killed."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lab.store import Store

KILLED = """
import os, random, signal, sys
from hashlib import sha256
from pathlib import Path
sys.path.append(sys.argv[3])
import numpy as np, xarray as xr, zarr
from lab.store import Store
from waiting import wait

folder, reported = Path(sys.argv[1]), Path(sys.argv[2])

def cells(number):
    x = np.random.default_rng(number).normal(size=(3, 100, 100))
    return xr.Dataset({f"x{i}": (("cell", "row", "col"), x + i) for i in range(4)}, attrs={"number": number})

def keys(number):
    return [f"{number:031x}{cell}" for cell in range(3)]

def sound():
    store = Store(folder)
    done = [int(line) for line in reported.read_text().split()] if reported.exists() else []
    for number in done:
        assert store.held(keys(number)) == set(keys(number)), f"{number} was reported and is lost"
    for number in done[-3:]:
        assert store.read(keys(number)).drop_vars("cell_attrs").identical(cells(number)), f"{number} differs"
    for path in (folder / "batches").glob("*"):
        assert path.name.endswith(".zarr.zip") or path.name.startswith(".lab-")
    assert not (folder / "damaged").exists()
    return store, len(done)

def reports():
    return reported.read_text().count("\\n") if reported.exists() else 0

def work():
    store, number = sound()
    mine = os.open(reported, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        number += 1
        with store.claim(keys(number)) as claim:
            if not claim.mine:  # committed, but killed before it could report
                assert store.held(keys(number)) == set(keys(number)), f"the claim on {number} outlived its process"
            else:
                store.commit(keys(number), cells(number))
        os.write(mine, f"{number}\\n".encode())

Store(folder.parent / "warm").commit(["a" * 32], cells(0).isel(cell=[0]))  # what is imported for it, once for all
random.seed(0)
for _ in range(30):
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(7)  # an assertion failed: the parent sees it
    more = reports() + random.randrange(1, 40)
    wait(lambda: reports() >= more or os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    sha256(bytes(random.randrange(10_000_000)))  # somewhere between two reports
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "a worker failed"
store, done = sound()
for number in range(1, done + 1):
    store.read(keys(number))
store.commit(["f" * 32], cells(0).isel(cell=[0]))
assert not list((folder / "batches").glob(".lab-*")), "what the killed ones left half-written is still there"
with store.claim(["e" * 32]) as claim:
    assert claim.mine
print(done)
"""


def python(code: str, *arguments) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    done = subprocess.run(
        python(KILLED, tmp_path / "store", tmp_path / "reported", Path(__file__).parents[1]),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30  # most were killed in the middle of their work, not before it


ASKING = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from samples import recipe, result
from lab.store import Store
from waiting import wait

store, counted = Store(Path(sys.argv[1])), Path(sys.argv[2])
asked = counted.with_name("asked")
print("ready", flush=True)
sys.stdin.readline()

def make(k):
    with open(counted, "a") as file:
        file.write(f"{k}\\n")
    wait(lambda: asked.read_text().split().count(str(k)) == 6)  # every thread of the three processes
    return result(k)

def ask():
    for k in range(8):
        with open(asked, "a") as file:
            file.write(f"{k}\\n")
        assert store.fetch(recipe(k), lambda: make(k)).identical(result(k))

threads = [threading.Thread(target=ask) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.slow
def test_three_processes_compute_each_run_once(tmp_path):
    store, counted = tmp_path / "store", tmp_path / "counted"
    command = python(ASKING, store, counted, *Path(__file__).parents[:2])
    asking = [subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) for _ in range(3)]
    for process in asking:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    outcomes = []
    for process in asking:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in asking:
        outcomes.append((process.communicate(timeout=120)[1], process.returncode))
    assert all(code == 0 for _, code in outcomes), outcomes
    assert sorted(counted.read_text().split()) == [f"{k}" for k in range(8)]
    assert len(Store(store).entries()) == 8


@pytest.mark.slow
def test_the_run_of_a_killed_process_is_taken_over(tmp_path):
    code = """
    import sys
    from pathlib import Path
    from lab.store import Store
    with Store(Path(sys.argv[1])).claim(["a", "b"]):
        print("claimed", flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(python(code, tmp_path), stdin=-1, stdout=-1, text=True)
    assert process.stdout
    assert process.stdout.readline() == "claimed\n"
    store = Store(tmp_path)
    with store.claim(["a", "b", "c"]) as claim:
        assert claim.others == {"a", "b"}
    process.kill()
    assert store.wait(["a"], timeout=5) == set()  # at once, though nobody has buried the process
    with store.claim(["a", "b"]) as claim:
        assert claim.mine == {"a", "b"}
    process.wait()
