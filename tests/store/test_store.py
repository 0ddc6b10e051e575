"""The ledger: what goes in comes out, equal requests compute once."""

import json
import os
import sqlite3
import threading
import zipfile
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from samples import assert_same, files_of, recipe, result
from waiting import wait

from lab.disk import processes
from lab.store import Store, files, index, pack, unpack
from lab.store import store as store_module

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


def test_key_follows_the_code_of_a_users_file(tmp_path):
    from lab.code import of_user
    from lab.studies.contract import registry

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


def test_equal_requests_of_threads_compute_once(store, monkeypatch):
    counted, results, waiting, wait_for = [], [], set(), store.wait

    def waits(*given):
        waiting.add(threading.get_ident())
        return wait_for(*given)

    def make():
        counted.append(1)
        wait(lambda: len(waiting) == 5)
        return result()

    monkeypatch.setattr(store, "wait", waits)

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
    now = 1000.0
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


def owners(store):
    return store._index.ask(lambda db: db.execute("select * from owners").fetchall())


def test_a_long_claim_lives_on_and_survives_a_new_index(store, monkeypatch):
    monkeypatch.setattr(processes, "BEAT", 0.05)
    with store.claim(["a"]):
        os.remove(store.folder / "index.sqlite")
        wait(lambda: owners(store))  # the next sign of life writes it into the new index
        with Store(store.folder).claim(["a"]) as claim:
            assert claim.others == {"a"}


def test_processes_are_told_apart():
    host, pid, _ = processes.me().split("-")
    assert processes.lives(processes.me())
    assert processes.lives(f"{host}-{pid}-1") is False  # the pid was given out again
    assert processes.lives("elsewhere-1-1") is None


# ---- every type of value -------------------------------------------------------------------------------------------


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


def test_a_clock_that_was_set_back_does_not_compare_all_batches_at_each_look(store, monkeypatch):
    store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    later = (store.folder / "batches").stat().st_mtime + 366 * 24 * 3600
    os.utime(store.folder / "batches", (later, later))
    looked, there = [], index.Index._there
    monkeypatch.setattr(index.Index, "_there", lambda self: looked.append(1) or there(self))
    again = Store(store.folder)
    for _ in range(3):
        assert again.read(["a"]).x.item() == 1.0
    assert len(looked) == 1
    store.commit(["b"], xr.Dataset({"x": ("cell", [2.0])}))
    assert again.read(["b"]).x.item() == 2.0


def test_a_run_that_is_made_again_is_read_although_the_clock_was_set_back(store, monkeypatch):
    """The newest commit of a key counts, whatever the clock said when it was made."""

    class Past(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1999, 1, 1, tzinfo=tz)

    store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    monkeypatch.setattr(store_module, "datetime", Past)
    for value in (2.0, 3.0):
        store.commit(["a"], xr.Dataset({"x": ("cell", [value])}))
        assert Store(store.folder).read(["a"]).x.item() == value
    assert len(store.entries()) == 1


def test_a_folder_from_the_future_shows_all_that_is_added_to_it(store):
    store.commit(["a"], xr.Dataset({"x": ("cell", [1.0])}))
    other = Store(store.folder)
    for key in "bc":
        other.commit([key], xr.Dataset({"x": ("cell", [2.0])}))
        os.utime(store.folder / "batches", (2**33, 2**33))
        assert store.held(["a", key]) == {"a", key}
