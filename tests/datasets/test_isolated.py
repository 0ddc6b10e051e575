"""Untrusted files are decoded in processes of their own: a crash, a bomb or a lie of one is an error message here."""

import ctypes
import io
import json
import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from made_files import COST, npy, npz
from pyarrow import feather, parquet
from waiting import wait

from lab import datasets, inputs
from lab.datasets import containers, formats, isolated, tables, transfer

TABLE = b"side,u,weight\nsource,0,1\ntarget,1,0.5\ntarget,2,0.5\n"
SIDES = ["source", "target", "target"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
forks = pytest.mark.skipif(not isolated.FORKS, reason="no process is forked here")


@pytest.fixture
def own_template(monkeypatch):
    """A template process of this test's."""
    made = isolated._Template()
    monkeypatch.setattr(isolated, "_template", made)
    yield made
    made.stop()


def table(side, write):
    stream = io.BytesIO()
    write(pa.table({"side": side, "u": [0.0, 1.0, 2.0]}), stream)
    return stream.getvalue()


def plain_feather(content, stream):
    feather.write_feather(content, stream, compression="uncompressed")


def plain_parquet(content, stream):
    parquet.write_table(content, stream, compression="none", use_dictionary=False)


def coded(indices):
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), ["source", "target", "other text"])


# -- forged tables -----------------------------------------------------------------------------------------------------

OFFSETS = struct.pack("<4i", 0, 6, 12, 18)
FORGED = {
    "offsets": ("a.feather", table(SIDES, plain_feather), OFFSETS, struct.pack("<4i", 0, 6, 12, 2**31 - 1)),
    "offsets just behind": ("a.feather", table(SIDES, plain_feather), OFFSETS, struct.pack("<4i", 0, 6, 12, 4000)),
    "negative offsets": ("a.feather", table(SIDES, plain_feather), OFFSETS, struct.pack("<4i", 0, -(2**30), 12, 18)),
    "long offsets": (
        "a.feather",
        table(pa.array(SIDES, pa.large_string()), plain_feather),
        struct.pack("<4q", 0, 6, 12, 18),
        struct.pack("<4q", 0, 6, 12, 2**40),
    ),
    "no UTF-8": ("a.feather", table(SIDES, plain_feather), b"sourcetarget", b"sourcet\xff\xffget"),
    "dictionary's indices": (
        "a.feather",
        table(coded([0, 1, 1]), plain_feather),
        struct.pack("<3i", 0, 1, 1),
        struct.pack("<3i", 0, 1, 10**8),
    ),
    "dictionary's offsets": (
        "a.feather",
        table(coded([0, 1, 1]), plain_feather),
        struct.pack("<4i", 0, 6, 12, 22),
        struct.pack("<4i", 0, 6, 12, 2**31 - 1),
    ),
    "column's name": ("a.feather", table(SIDES, plain_feather), b"side\0", b"\xff\xfe\xfd\xfc\0"),
    "lengths": (
        "a.parquet",
        table(SIDES, plain_parquet),
        struct.pack("<i", 6) + b"target" + struct.pack("<i", 6),
        struct.pack("<i", 6) + b"target" + struct.pack("<i", 2**31 - 1),
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_table_with_forged_texts_is_refused(kind):
    """Its texts would lie in memory that is not the file's: pandas would crash on them, or show them."""
    name, payload, there, forged = FORGED[kind]
    assert there in payload
    assert len(datasets.read_bytes(name, payload).arrays["y"]) == 2
    with pytest.raises(ValueError, match=rf"^{name} is a damaged \w+ table: save it again$"):
        datasets.read_bytes(name, payload.replace(there, forged))
    assert len(datasets.read_bytes("three.csv", TABLE).arrays["y"]) == 2


def test_types_that_numpy_has_not_are_refused_by_the_name_of_the_file():
    """A float with a far larger bias of the exponent: h5py says so where its type is looked at."""
    h5py = pytest.importorskip("h5py")
    stream = io.BytesIO()
    odd = h5py.h5t.IEEE_F64LE.copy()
    odd.set_ebias(2**31)
    with h5py.File(stream, "w") as file:
        h5py.h5d.create(file.id, b"cost", odd, h5py.h5s.create_simple((2, 3)))
    with pytest.raises(ValueError, match=r"^a.h5 is a damaged netCDF file"):
        datasets.read_bytes("a.h5", stream.getvalue())


def test_a_chunk_of_zarr_of_another_size_is_refused_by_the_name_of_the_folder(tmp_path):
    """Without compression nothing states its size: zarr finds it when the array is loaded."""
    path = tmp_path / "a.zarr"
    xr.Dataset({"cost": (("i", "j"), COST)}).to_zarr(path, consolidated=False, encoding={"cost": {"compressors": None}})
    assert datasets.kept(path).cost.values.tolist() == COST.tolist()
    chunk = path / "cost" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"^a.zarr is a damaged zarr folder: save it again$"):
        datasets.kept(path)


# -- faults of a child -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forked", [pytest.param(True, marks=forks), False])
def test_a_crash_is_an_error_message(forked, monkeypatch):
    monkeypatch.setattr(isolated, "FORKS", forked)
    for crash, args in ((ctypes.string_at, (0,)), (os.abort, ()), (os._exit, (3,))):
        with (
            pytest.raises(
                ValueError, match=r"^a.h5 is damaged: the program that reads it crashed; save the file again$"
            ),
            isolated.reading("a.h5"),
        ):
            isolated.call(crash, args)
    assert datasets.read_bytes("three.csv", TABLE).arrays["b"].tolist() == [0.5, 0.5]


def test_an_error_that_no_reader_means_shows_nothing_of_the_file():
    with (
        pytest.raises(
            ValueError, match=r"^a.csv is damaged: its reader failed \(JSONDecodeError\); save the file again$"
        ),
        isolated.reading("a.csv"),
    ):
        isolated.call(json.loads, ("secret",))


@linux
def test_a_child_has_a_limit_of_memory(monkeypatch):
    monkeypatch.setattr(isolated, "MEMORY", 2**28)
    with pytest.raises(ValueError, match=r"needs more memory than there is: give a smaller file"):
        isolated.call(bytearray, (2**30,))
    assert isolated.call(bytes, (10,)) == bytes(10)


def test_a_child_has_a_limit_of_time(monkeypatch):
    isolated.call(bytes, (1,))
    monkeypatch.setattr(inputs, "PATIENCE", 0.1)
    with pytest.raises(inputs.Exceeded, match=r"takes longer than 0.1 s to read"):
        isolated.call(signal.pause, ())


@linux
@forks
def test_a_child_writes_no_file(tmp_path):
    with pytest.raises(ValueError, match="its reader failed"):
        isolated.call(np.save, (str(tmp_path / "a.npy"), [1, 2]))
    assert not any(each.stat().st_size for each in tmp_path.iterdir())


def test_files_are_read_in_parallel(own_template):
    def read(n):
        rows = "".join(f"target,{i},1\n" for i in range(n))
        return len(datasets.read_bytes(f"{n}.csv", f"side,u,weight\nsource,0,{n}\n{rows}".encode()).arrays["y"])

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(read, range(1, 16))) == [*range(1, 16)]


@forks
def test_a_template_that_was_killed_is_started_again(own_template):
    isolated.call(bytes, (1,))
    first = own_template.process
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert isolated.call(bytes, (2,)) == bytes(2)
    assert own_template.process.pid != first.pid


def test_nothing_is_started_for_what_is_no_file(own_template):
    datasets.load("photograph-tiles")
    datasets.resolve([[0.0, 1.0]], "transport")
    assert own_template.process is None


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


KILLED = """
import signal, sys, threading
from pathlib import Path
from lab.datasets import isolated
sys.path.append(sys.argv[1])
from waiting import wait
threading.Thread(target=isolated.call, args=(signal.pause, ()), daemon=True).start()
pid = wait(lambda: isolated._template.process).pid
children = wait(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
print(pid, *children, flush=True)
signal.pause()
"""


@linux
@forks
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_its_processes_end_with_the_one_that_reads(how):
    reads = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(Path(__file__).parents[1])], stdout=subprocess.PIPE, text=True
    )
    assert reads.stdout
    pids = reads.stdout.readline().split()
    assert len(pids) == 2
    reads.send_signal(how)
    reads.wait()
    reads.stdout.close()
    wait(lambda: all(map(ended, pids)))


def test_no_module_of_the_current_folder_is_imported(tmp_path, monkeypatch, own_template):
    made = tmp_path / "executed"
    for name in ("lab", "numpy", "pandas", "json", "sitecustomize", "usercustomize", "h5py"):
        (tmp_path / f"{name}.py").write_text(f"open({str(made)!r}, 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f".{os.pathsep}")
    assert datasets.read_bytes("three.csv", TABLE).arrays["b"].tolist() == [0.5, 0.5]
    monkeypatch.setattr(isolated, "FORKS", False)
    assert datasets.read_bytes("a.npy", npy(COST)).arrays["cost"].tolist() == COST.tolist()
    assert not made.exists()


def test_no_secret_of_the_environment_is_handed_on(monkeypatch, own_template):
    monkeypatch.setenv("SERVICE_TOKEN", "x")
    monkeypatch.setenv("HARMLESS", "y")
    assert [isolated.call(os.getenv, (name,)) for name in ("SERVICE_TOKEN", "HARMLESS")] == [None, "y"]


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_values_come_back_as_they_are():
    mixed = np.array(["a", "é\n", None, True, 1, 1.5, float("nan"), 10**30, b"b"], object)
    values = {
        "numbers": np.arange(6, dtype=">i4").reshape(2, 3),
        "turned": np.asfortranarray(COST),
        "parts": COST[:, ::2],
        "times": np.array(["2020-01-01", "NaT"], "M8[ns]"),
        "words": np.array([["ab", "c"]]),
        "none": np.zeros((0, 3)),
        "point": np.array(2.5),
        "scalar": np.float32(0.1),
        "rest": (["a", None, True], b"\0\1", 3),
    }
    told, blobs = transfer.packed({**values, "mixed": mixed}, b"")
    found = transfer.unpacked(told, [bytes(memoryview(each)) for each in blobs], b"")
    texts = found.pop("mixed").tolist()
    assert texts[:6] == ["a", "é\n", None, True, 1, 1.5]
    assert texts[6] != texts[6]
    assert texts[7:] == [str(10**30), "b'b'"]
    for key, value in values.items():
        np.testing.assert_equal(found[key], value)
        assert getattr(found[key], "dtype", None) == getattr(value, "dtype", None)


def test_the_numbers_of_an_array_stay_where_they_are():
    payload = npy(COST)
    found = formats.npy("a.npy", payload)
    first = np.frombuffer(payload, np.uint8).__array_interface__["data"][0]
    assert first < found.__array_interface__["data"][0] < first + len(payload)


@pytest.mark.parametrize(
    "told",
    [
        {"array": "|O8", "shape": [1], "order": "C", "blob": 0},
        {"array": "<f8", "shape": [2], "order": "C", "blob": 0},
        {"array": "<f8", "shape": [2**60, 2**60], "order": "C", "blob": 0},
        {"array": "<f8", "shape": [-1], "order": "C", "blob": 0},
        {"array": "<f8", "shape": [1], "order": "C", "at": -8},
        {"array": "<f8", "shape": [1], "order": "C", "at": 4},
        {"array": "<U2", "shape": [1], "order": "C", "blob": 0},
        {"array": "<f8", "shape": [1], "order": "C", "blob": 7},
        {"texts": [1], "blobs": [0, 1, 0, 1]},
        {"texts": [1], "blobs": [0, 0, 0, 0]},
        {"dict": [[1, 2]]},
        {"dict": [1]},
        {"other": 1},
    ],
)
def test_a_child_that_lies_is_not_believed(told):
    with pytest.raises(transfer.Broken):
        transfer.unpacked(told, [b"\xff" * 8, b"\0"], b"12345678")


def test_what_a_reader_must_give_is_checked_to_the_last_entry():
    decoded = transfer.returned(formats.npz)
    assert transfer.matches(({"a": COST}, ["b"], b""), decoded)
    for other in (({"a": [1]}, ["b"], b""), ({"a": COST}, [b"b"], b""), ({"a": COST}, ["b"]), [{}, [], b""], None):
        assert not transfer.matches(other, decoded)
    assert transfer.matches(({"a": COST}, ("done",)), transfer.returned(tables.csv))
    assert not transfer.matches(({"a": (("i",), 1, {})}, [], {}), transfer.returned(containers.whole_zarr))


def test_what_a_child_sends_is_bounded():
    for sent in (b"", b"\0" * 8, b"\xff" * 8, (2**20).to_bytes(8, "little") + b"{}", b"\2" + bytes(7) + b"{}"):
        with pytest.raises(transfer.Broken):
            transfer.received(io.BytesIO(sent), 2**20)
    header = b'{"sizes": [10000000000]}'
    with pytest.raises(transfer.Broken):
        transfer.received(io.BytesIO(len(header).to_bytes(8, "little") + header), 2**20)


def test_notices_and_other_arrays_are_told_as_before():
    found = datasets.read_bytes("a.npz", npz(cost=COST, other=COST))
    assert found.notices == ("other in a.npz ignored",)
    headless = b"\n".join(b"%d;%d" % (i, i) for i in range(3))
    both = datasets.read_bytes("two", {"a.csv": headless, "b.csv": headless})
    assert [notice.partition(":")[0] for notice in both.notices] == ["a.csv has no header", "b.csv has no header"]
    frame = pd.DataFrame({"side": SIDES, "u": [0.0, 1.0, 2.0]})
    stream = io.BytesIO()
    frame.to_parquet(stream)
    assert datasets.read_bytes("a.parquet", stream.getvalue()).notices == (
        "sources have side = source, targets side = target",
    )
