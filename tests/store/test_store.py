"""The ledger: what goes in comes out, equal requests compute once, damage is seen, a full disk harms nothing."""

import errno
import json
import logging
import os
import resource
import sqlite3
import threading
import time
import zipfile
from contextlib import closing, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from samples import assert_same, run

from lab.disk import processes
from lab.store import Store, files, index, pack, unpack
from lab.store.files import SUFFIX


def recipe(k: float = 2, **changes) -> dict:
    return {
        "study": "not-registered",
        "study_version": 1,
        "parameters": {"data": "points", "k": k, "gamma": 1.0, "seed": 0},
        "data": {"name": "points", "sha256": "ab" * 32},
        "dtype": "float64",
        "device": "CPU, 2 cores",
        "versions": {"lab": "0.1.0", "jax": "0.12.0", "jaxlib": "0.12.0", "numpy": "2.5.0", "python": "3.13.0"},
        "command": "lab run not-registered",
    } | changes


def result(k: float = 2, steps: int = 4) -> xr.Dataset:
    parameters = json.dumps(recipe(k)["parameters"])
    return run(steps, int(k), study="not-registered", data_name="points", parameters=parameters, reason="converged")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(index, "_told", set())


def files_of(store: Store) -> list:
    return sorted((store.folder / "batches").glob(f"*{SUFFIX}"))


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_key_is_what_the_numbers_depend_on():
    key = Store.key(recipe())
    assert key == Store.key(recipe(2.0)) == Store.key(recipe(np.float64(2)))
    assert key == Store.key(recipe(command="another", device="CPU, 64 cores"))
    assert key == Store.key(recipe(data={"name": "renamed", "sha256": "ab" * 32}))
    assert key == Store.key(recipe(versions=recipe()["versions"] | {"python": "3.14.0"}))
    others = [
        recipe(3),
        recipe(True),
        recipe(None),
        recipe(study="another"),
        recipe(study_version=2),
        recipe(dtype="float32"),
        recipe(device="GPU, H100"),
        recipe(data={"name": "points", "sha256": "cd" * 32}),
        recipe(versions=recipe()["versions"] | {"jax": "0.13.0"}),
    ]
    assert len({key, *map(Store.key, others)}) == 1 + len(others)


USERS_STUDY = '''
from lab.studies import Paper, Result, Study

class Mine(Study):
    """A study."""

    slug, title, field, about, kind = "stored-mine", "Mine", "Tests", "A study.", "transport"
    paper = Paper("A", "B", "C", 2026, "https://example.org")
    results = (Result("value", (), "value", "a number"),)

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {"value": 1.0}
'''


def test_key_follows_the_code_of_a_users_file(tmp_path, monkeypatch):
    from lab.code import of_user
    from lab.studies.contract import registry

    monkeypatch.setattr(registry, "_found", dict(registry._found))
    keys = []
    for name, code in (("one", USERS_STUDY), ("two", USERS_STUDY), ("one", USERS_STUDY.replace("1.0", "2.0"))):
        (tmp_path / f"{name}.py").write_text(code)
        (mine,) = registry.load_file(tmp_path / f"{name}.py")
        keys.append(Store.key(recipe() | {"code": of_user(mine)}))
    assert keys[0] == keys[1] != keys[2]


# ---- in and out ----------------------------------------------------------------------------------------------------


def test_fetch_computes_once_and_returns_the_same(store):
    made = result()
    assert_same(made, store.fetch(recipe(), lambda: made))
    for again in (store, Store(store.folder)):
        assert_same(made, again.fetch(recipe(), lambda: pytest.fail("computed again")))


def test_batches_are_read_in_any_order(store):
    runs = {Store.key(recipe(k)): result(k, steps=k % 5) for k in range(7)}
    keys = list(runs)
    store.commit(keys[:3], pack([runs[key] for key in keys[:3]]))
    store.commit(keys[3:], pack([runs[key] for key in keys[3:]]))
    wish = [keys[i] for i in (5, 0, 6, 2, 3)]
    read = store.read(wish)
    for at, key in enumerate(wish):
        assert_same(runs[key], unpack(read, at))
    assert_same(pack(list(runs.values())), store.read(keys))
    assert store.held([*keys, "0" * 32]) == set(keys)
    some = store.read(keys, names=["value"])
    assert list(some.data_vars) == ["value"]
    assert some.value.values.tolist() == [float(r.value) for r in runs.values()]
    with pytest.raises(ValueError, match=r"holds no run 000.* and 1 others"):
        store.read([keys[0], "0" * 32, "1" * 32])


def test_bits_survive(store):
    odd = np.array([-0.0, np.nan, np.inf, 5e-324])
    cells = xr.Dataset(
        {"x": ("cell", odd), "zeros": (("cell", "i"), np.zeros((4, 3))), "none": (("cell", "j"), np.empty((4, 0)))}
    )
    store.commit(list("abcd"), cells)
    back = store.read(list("abcd"))
    assert back.x.values.tobytes() == odd.tobytes()
    assert back.none.shape == (4, 0)


def test_malformed_commits_are_refused(store):
    for cells in (xr.Dataset({"x": ("i", [1.0])}), xr.Dataset({"x": ("cell", [1.0, 2.0])})):
        with pytest.raises(ValueError, match="leading dimension cell"):
            store.commit(["a"], cells)
    with pytest.raises(ValueError, match="objects that are no text"):
        store.commit(["a"], xr.Dataset({"x": ("cell", np.array([None], object))}))
    assert not any((store.folder / "parts").glob("*"))
    assert store.held(["a"]) == set()


def test_again_takes_the_place_of_the_old(store):
    store.fetch(recipe(), lambda: result(steps=3))
    store.fetch(recipe(), lambda: result(steps=6), again=True)
    assert len(files_of(store)) == 1
    assert store.fetch(recipe(), lambda: pytest.fail("computed again")).sizes["iteration"] == 6


def test_a_stopped_run_is_not_kept(store):
    store.fetch(recipe(), lambda: result().assign_attrs(reason="stopped"))
    assert store.entries() == []


def test_a_run_of_another_recipe_is_not_kept(store):
    """The file of the data was written to between the question and the answer."""
    other = recipe(data={"name": "points", "sha256": "cd" * 32})
    store.fetch(recipe(), lambda: result().assign_attrs(recipe=json.dumps(other)))
    assert store.entries() == []
    store.fetch(recipe(), lambda: result().assign_attrs(recipe=json.dumps(recipe())))
    assert len(store.entries()) == 1


def test_a_result_of_no_known_form_is_returned_all_the_same(store, caplog):
    odd = result().assign(odd=("row", np.array([None, 1, "x"], object)))
    for _ in range(2):
        assert store.fetch(recipe(), lambda: odd) is odd
    assert [r.getMessage() for r in caplog.records] == [
        "The result is not kept in the store: odd holds objects that are no text, which the store can't keep."
    ]


def test_entries_and_removal(store):
    keys = [Store.key(recipe(k)) for k in (1, 2, 3)]
    store.commit(keys[:2], pack([result(1), result(2)]))
    store.commit(keys[2:], pack([result(3)]))
    newest, older = store.entries()
    assert (newest.keys, newest.cells, newest.study, newest.data) == ((keys[2],), 1, "not-registered", "points")
    assert (newest.title, newest.parameters["k"]) == ("run 3", 3)
    assert older.parameters == {"data": "points", "k": [1, 2], "gamma": 1.0, "seed": 0}
    assert store.entry(keys[1]) == older
    assert store.entry("0" * 32) is None
    assert store.matching(keys[0][:6]) == [keys[0]]
    assert store.bytes() == newest.bytes + older.bytes > 0
    store.remove([older])
    assert store.entries() == [newest]
    assert store.held(keys) == {keys[2]}


# ---- once ----------------------------------------------------------------------------------------------------------


def test_equal_requests_of_threads_compute_once(store):
    counted, results = [], []

    def make():
        counted.append(1)
        time.sleep(0.3)
        return result()

    threads = [threading.Thread(target=lambda: results.append(store.fetch(recipe(), make))) for _ in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(counted) == 1
    assert len(results) == 6
    for other in results:
        assert_same(result(), other)


def test_claims_are_let_go(store):
    with store.claim(["a", "b"]) as first:
        with Store(store.folder).claim(["b", "c"]) as second:
            assert (first.mine, first.others) == ({"a", "b"}, set())
            assert (second.mine, second.others) == ({"c"}, {"b"})
            assert store.wait(["b"], timeout=0.05) == set()
            assert store.wait(["b"], wanted=lambda: False) == set()
        store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    with store.claim(["a", "b", "c"]) as third:
        assert (third.mine, third.others) == ({"b", "c"}, set())
    assert store.wait(["a", "b"]) == {"a"}


def test_a_failed_computation_frees_its_key(store):
    with pytest.raises(ZeroDivisionError):
        store.fetch(recipe(), lambda: 1 / 0)
    assert_same(result(), store.fetch(recipe(), result))


def test_waiting_ends_when_no_longer_wanted(store):
    key = Store.key(recipe())
    with store.claim([key]):
        made = Store(store.folder).fetch(recipe(), result, wanted=lambda: False)
    assert_same(result(), made)
    assert store.held([key]) == set()


@pytest.mark.parametrize("ahead", [0.0, 1e7])
def test_claims_elsewhere_end_by_silence_as_the_observer_hears_it(store, monkeypatch, ahead):
    """The clock of a host that died may have been months ahead."""
    now = time.monotonic()
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now))
    with store.claim(["a"]):
        for later, beat, free in ((0, 1, set()), (50, 2, set()), (50, 2, set()), (11, 2, {"a"})):
            now += later
            with sqlite3.connect(store.folder / "index.sqlite") as db:
                db.execute("update owners set process = 'elsewhere-1-1', beat = ?", [ahead + beat])
            with store.claim(["a"]) as claim:
                assert claim.mine == free
    with sqlite3.connect(store.folder / "index.sqlite") as db:
        assert db.execute("select * from owners").fetchall() == []


def test_a_long_claim_lives_on_and_survives_a_new_index(store, monkeypatch):
    monkeypatch.setattr(processes, "BEAT", 0.05)
    with store.claim(["a"]):
        os.remove(store.folder / "index.sqlite")
        time.sleep(0.4)
        with Store(store.folder).claim(["a"]) as claim:
            assert claim.others == {"a"}


def test_processes_are_told_apart():
    host, pid, _ = processes.me().split("-")
    assert processes.lives(processes.me())
    assert processes.lives(f"{host}-{pid}-1") is False  # the pid was given out again
    assert processes.lives("elsewhere-1-1") is None


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["cannot schedule new futures after interpreter shutdown", "can't start new thread"])
def test_a_process_that_ends_while_it_reads_takes_no_file_for_damaged(store, monkeypatch, said):
    store.fetch(recipe(), result)

    def ending(*given, **named):
        raise RuntimeError(said)

    with monkeypatch.context() as patched:
        patched.setattr("zarr.open_group", ending)
        with pytest.raises(RuntimeError, match=said):
            Store(store.folder).fetch(recipe(), lambda: pytest.fail("computed again"))
    assert not (store.folder / "damaged").exists()
    assert_same(result(), Store(store.folder).fetch(recipe(), lambda: pytest.fail("computed again")))


@pytest.fixture
def stored(store):
    store.fetch(recipe(), result)
    return store


def damaged(store: Store, caplog) -> None:
    """The store sets the run aside, says so in one sentence, and computes it again."""
    computed = []
    with caplog.at_level(logging.WARNING, "lab.store"):
        made = store.fetch(recipe(), lambda: computed.append(1) or result())
    assert_same(result(), made)
    assert computed
    assert "set aside" in caplog.text
    assert len(list((store.folder / "damaged").glob(f"*{SUFFIX}"))) == 1
    assert_same(result(), store.fetch(recipe(), lambda: pytest.fail("computed again")))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_truncated_file(stored, caplog, share):
    (path,) = files_of(stored)
    os.truncate(path, int(share * path.stat().st_size))
    damaged(stored, caplog)


def test_a_file_of_something_else(stored, caplog):
    (path,) = files_of(stored)
    path.write_bytes(b"text")
    damaged(Store(stored.folder), caplog)


def changed(path, change):
    """Write a batch again after ``change`` of its members' contents by name."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_missing_member(stored, caplog):
    changed(files_of(stored)[0], lambda members: members.pop("plan/c/0/0/0"))
    damaged(stored, caplog)


def test_a_batch_is_unpacked_as_the_store_packs_and_in_no_other_way(stored, caplog):
    """What is executed by a codec of zarr 2 may stand in copies of the descriptions, which zarr would take for them."""

    def copies(members):
        root, own = json.loads(members["zarr.json"]), json.loads(members["cell_attrs/zarr.json"])
        two = {"zarr_format": 2, "shape": own["shape"], "chunks": own["shape"], "dtype": "|O", "fill_value": ""}
        two |= {"order": "C", "filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle", "protocol": 4}}
        root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": {"cell_attrs": two}}
        members["zarr.json"] = json.dumps(root).encode()

    def packing(members):
        told = json.loads(members["cell_attrs/zarr.json"])
        told["codecs"].append({"name": "gzip", "configuration": {"level": 1}})
        members["cell_attrs/zarr.json"] = json.dumps(told).encode()

    def vast(members):
        name = next(name for name in members if name.count("/") == 1 and b"float64" in members[name])
        told = json.loads(members[name])
        told["shape"][0] = 10**15
        members[name] = json.dumps(told).encode()

    key = Store.key(recipe())
    changed(files_of(stored)[0], copies)
    assert_same(unpack(stored.read([key]), 0), result())
    assert not caplog.messages
    for change, sentence in (
        (packing, "is packed in a way that is not the store's"),
        (vast, "is not there as a whole"),
    ):
        changed(files_of(stored)[0], change)
        assert_same(stored.fetch(recipe(), result), result())
        assert sentence in caplog.messages[-1]


def test_the_reason_of_a_damage_is_short(stored, caplog):
    def long(members):
        told = json.loads(members["cell_attrs/zarr.json"])
        told["codecs"][0]["name"] = "x" * 10_000
        members["cell_attrs/zarr.json"] = json.dumps(told).encode()

    changed(files_of(stored)[0], long)
    stored.fetch(recipe(), result)
    assert "are damaged" in caplog.messages[0]
    assert len(caplog.messages[0]) < 1000


def test_a_missing_file(stored):
    files_of(stored)[0].unlink()
    assert stored.held([Store.key(recipe())]) == set()
    assert_same(result(), stored.fetch(recipe(), result))


@pytest.mark.slow
def test_any_flipped_byte_is_harmless_or_seen(stored):
    """Thousands of places: what is read is what was written, or the file is set aside."""
    (path,) = files_of(stored)
    whole, key, seen = path.read_bytes(), Store.key(recipe()), 0
    rng = np.random.default_rng(0)
    logging.getLogger("lab.store").disabled = True
    directory = whole.index(b"PK\x01\x02")
    places = np.r_[rng.integers(0, directory, 60), rng.integers(directory, len(whole), 100)]
    try:
        for place in places:
            broken = bytearray(whole)
            broken[place] ^= 1 << rng.integers(8)
            path.write_bytes(broken)
            try:
                read = unpack(stored.read([key]), 0)
            except ValueError:
                seen += 1
                assert stored.held([key]) == set()
            else:
                assert_same(result(), read)
            path.write_bytes(whole)
    finally:
        logging.getLogger("lab.store").disabled = False
    assert seen > 80


@pytest.mark.parametrize(
    "how", ["garbage", "empty", "truncated", "missing", "other tables", "less tables", "wrong rows"]
)
def test_a_broken_index_is_made_again(stored, how):
    path = stored.folder / "index.sqlite"
    if how == "garbage":
        path.write_bytes(os.urandom(5000))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "missing":
        path.unlink()
    else:
        with sqlite3.connect(path) as db:
            wrong = {
                "other tables": "drop table cells; create table cells (a, b)",
                "less tables": "drop table owners",
                "wrong rows": "update cells set row = 5",
            }
            db.executescript(wrong[how])
    for store in (stored, Store(stored.folder)):
        assert_same(result(), store.fetch(recipe(), lambda: pytest.fail("computed again")))
        with store.claim(["a"]) as claim:
            assert claim.mine == {"a"}


def test_one_changed_value_of_the_index_is_mended(stored, caplog):
    """Whatever it is: what is held stays held, what is listed stays listed, and it is said at most once."""
    stored.fetch(recipe(5), lambda: result(5))
    path, listed = stored.folder / "index.sqlite", [e.keys for e in stored.entries()]
    columns = {"cells": ("key", "batch", "row"), "batches": ("batch", "created", "bytes", "header")}
    said = 0
    for table, column in [(each, name) for each in columns for name in columns[each]]:
        for value in ("nonsense", b"\xff", None, -1, "other"):
            index._told.clear()
            caplog.clear()
            with suppress(sqlite3.IntegrityError), closing(sqlite3.connect(path)) as db, db:
                if value == "other":
                    (value,) = db.execute(f"select {column} from {table} limit 1 offset 1").fetchone()
                db.execute(
                    f"update {table} set {column} = ? where rowid = 1"
                    if table == "batches"
                    else f"update {table} set {column} = ? where key = (select key from cells limit 1)",
                    [value],
                )
            store = Store(stored.folder)
            assert [e.keys for e in store.entries()] == listed, (table, column, value)
            for k in (2, 5):
                store.fetch(recipe(k), lambda: pytest.fail("computed again"))
            said += len(caplog.records)
            assert len(caplog.records) <= 1
    assert said >= 10
    for value in ("nonsense", listed[0][0]):  # asked for before it is listed
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("update cells set batch = ? where key = ?", [value, listed[1][0]])
        for _ in range(2):
            assert_same(result(2), Store(stored.folder).fetch(recipe(2), lambda: pytest.fail("computed again")))


def test_no_cell_is_deleted_by_the_word_of_the_index(store):
    """It may have lost a row: the batch that seems to be superseded holds another cell."""
    store.commit(["a", "b"], xr.Dataset({"x": ("cell", [1.0, 2.0])}))
    with closing(sqlite3.connect(store.folder / "index.sqlite")) as db, db:
        db.execute("delete from cells where key = 'b'")
    store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    assert len(files_of(store)) == 2
    (store.folder / "index.sqlite").unlink()
    assert store.read(["a", "b"]).x.values.tolist() == [1.0, 2.0]


def test_an_index_of_the_layout_before(stored, caplog):
    with closing(sqlite3.connect(stored.folder / "index.sqlite")) as db, db:
        db.execute("pragma user_version = 1")
        db.execute("update batches set header = json_remove(header, '$.check')")
    assert len(Store(stored.folder).entries()) == 1
    assert caplog.text == ""


# ---- no room, no right ---------------------------------------------------------------------------------------------


def test_a_full_disk(stored, caplog):
    big = xr.Dataset({"x": (("cell", "i"), np.random.default_rng(0).normal(size=(1, 200_000)))}, attrs={"study": "s"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))  # the file can't grow beyond
    try:
        with pytest.raises(OSError, match=r"^The result \(1.6 MB\) can't be kept in .*free space"):
            stored.commit(["a"], big)
        made = stored.fetch(recipe(3), lambda: unpack(big, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert made.sizes == {"i": 200_000}
    assert "can't be kept" in caplog.text
    assert [path.name for path in (stored.folder / "batches").iterdir()] == [path.name for path in files_of(stored)]
    assert stored.held(["a"]) == set()
    assert_same(result(), stored.fetch(recipe(), lambda: pytest.fail("computed again")))


def test_no_space_left(stored, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left on device; free space there") as caught:
        stored.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in (stored.folder / "batches").iterdir()] == [path.name for path in files_of(stored)]


def test_a_home_that_is_no_folder(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    for _ in range(3):
        assert_same(result(), store.fetch(recipe(), result))
    assert caplog.text.count("can't be written to") == 1
    assert len(caplog.records) == 1
    assert store.entries() == []
    assert store.bytes() == 0
    with pytest.raises(OSError, match="can't be kept"):
        store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))


@pytest.mark.parametrize("with_index", [True, False])
def test_a_read_only_folder(stored, caplog, with_index):
    """What it holds is read, what it lacks is computed, damage in it is computed too."""
    if not with_index:
        (stored.folder / "index.sqlite").unlink()
    folders = [stored.folder, *(p for p in stored.folder.iterdir() if p.is_dir())]
    user = os.geteuid()
    for folder in folders:
        folder.chmod(0o555)
    parents = [p for p in stored.folder.parents if p.owner() != "root" or p.stat().st_mode & 0o005 != 0o005]
    modes = {p: p.stat().st_mode for p in parents}
    for parent in parents:
        parent.chmod(0o755)
    try:
        if user == 0:
            os.seteuid(65534)
        store = Store(stored.folder)
        for _ in range(2):
            assert_same(result(), store.fetch(recipe(), lambda: pytest.fail("computed again")))
            assert_same(result(5), store.fetch(recipe(5), lambda: result(5)))
        assert len(store.entries()) == 1
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 1
        assert "can't be written to" in told[0]
        os.seteuid(user)
        (path,) = files_of(stored)
        os.truncate(path, 1000)
        if user == 0:
            os.seteuid(65534)
        for _ in range(2):
            assert_same(result(), store.fetch(recipe(), result))
    finally:
        os.seteuid(user)
        for folder in folders:
            folder.chmod(0o755)
        for parent, mode in modes.items():
            parent.chmod(mode)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 2, 2)])
def test_every_type_of_value_is_read_as_it_was_written(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(files, "_CHUNK", 64)  # several chunks, the last of which is not full
    count = np.arange(int(np.prod(shape)), dtype=float).reshape(shape)
    values = {
        kind: count.astype(kind) for kind in ("bool", "i1", "u2", "i8", "f2", "f4", "f8", ">f8", "c8", "c16", "U3")
    }
    values |= {"M": count.astype("M8[ns]"), "m": count.astype("m8[25s]")}
    values |= {"text": np.array([f"é{'x' * int(each)}" for each in count.flat], object).reshape(shape)}
    values |= {"special": np.where(count > 1, -np.inf, -0.0 if count.size < 4 else np.nan)}
    dims = [f"dim_{axis}" for axis in range(len(shape))]
    cells = xr.Dataset({name: (dims, each, {"units": name}) for name, each in values.items()}, attrs={"a": [1, None]})
    files.write(tmp_path / f"one{files.SUFFIX}", cells, {"of": "ours"})
    read, header = files.read(tmp_path / f"one{files.SUFFIX}")
    assert header["of"] == "ours"
    assert read.identical(cells)
    np.testing.assert_array_equal(np.signbit(read.special), np.signbit(cells.special))
    for name, each in read.items():
        assert each.dtype.kind == cells[name].dtype.kind or (name == "text" and not shape), name


def test_a_huge_cell_is_kept_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHUNK", 64)
    cells = xr.Dataset({"x": (("cell", "i", "j"), np.arange(2.0 * 31 * 9).reshape(2, 31, 9))})
    files.write(tmp_path / f"one{files.SUFFIX}", cells, {})
    with zipfile.ZipFile(tmp_path / f"one{files.SUFFIX}") as archive:
        assert sum(name.startswith("x/c/") for name in archive.namelist()) > 4
    assert files.read(tmp_path / f"one{files.SUFFIX}")[0].identical(cells)


def test_values_of_no_known_type_are_refused(tmp_path):
    with pytest.raises(ValueError, match="x holds values of type"):
        files.write(tmp_path / "x", xr.Dataset({"x": ("i", np.zeros(2, "V4"))}), {})
