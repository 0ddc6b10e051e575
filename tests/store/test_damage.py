"""The ledger where files are not as they were left: damage is seen, a full disk harms nothing."""

import errno
import json
import logging
import os
import resource
import sqlite3
import zipfile
from contextlib import closing, suppress

import numpy as np
import pytest
import xarray as xr
from samples import assert_same, files_of, recipe, result

from lab.store import Store, index, unpack
from lab.store.files import SUFFIX

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


@pytest.mark.slow
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


@pytest.mark.slow
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
