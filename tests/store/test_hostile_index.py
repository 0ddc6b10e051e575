"""A store from elsewhere: its index can hold anything, and neither runs, hangs nor writes beyond the store."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from samples import assert_same, recipe, result

from lab.store import Store, index

_ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select hex(i), 'b', i from n"
_HOSTILE = {
    "view": f"drop table cells; create view cells (key, batch, row) as {_ENDLESS}",
    "other view": f"create view more as {_ENDLESS}",
    "trigger": f"create trigger t after insert on owners begin insert or ignore into cells {_ENDLESS}; end",
    "generated column": "drop table owners; create table owners (owner text primary key, process text, "
    "beat real as (length(zeroblob(900000000))))",
    "default": "drop table claims; create table claims (key text primary key, owner text default (hex(zeroblob(9))))",
    "index on an expression": "create index slow on cells (length(zeroblob(row)))",
    "other types": "drop table batches; create table batches (batch blob primary key, created, bytes, header)",
    "write-ahead log": "pragma journal_mode = wal",
    "another layout": "pragma user_version = 7",
    "a layout before, with a view": f"create view more as {_ENDLESS}; pragma user_version = 1",
}


def found_again(store: Store, caplog) -> None:
    """What was stored is read and listed, by an index that was made again, with one warning."""
    index._told.clear()
    with caplog.at_level(logging.WARNING, "lab.store"):
        mine = Store(store.folder)
        assert len(mine.entries()) == 1
        assert_same(result(), mine.fetch(recipe(), lambda: pytest.fail("computed again")))
        with mine.claim(["a"]) as claim:
            assert claim.mine == {"a"}
    assert len(caplog.records) == 1
    path = store.folder / "index.sqlite"
    assert path.is_file()
    assert not path.is_symlink()
    with closing(sqlite3.connect(path)) as db:
        assert index._tables(db) == index._expected()
    assert store.bytes() > 0


@pytest.mark.parametrize("how", _HOSTILE)
def test_a_schema_of_somebody_else_is_replaced(stored, caplog, how):
    with closing(sqlite3.connect(stored.folder / "index.sqlite")) as db:
        db.executescript(_HOSTILE[how])
    found_again(stored, caplog)


def test_a_value_of_a_huge_size_is_not_read(stored, caplog):
    with closing(sqlite3.connect(stored.folder / "index.sqlite")) as db, db:
        db.execute("update batches set header = zeroblob(?)", [index._LONGEST + 1])
    found_again(stored, caplog)


def test_pages_that_refer_to_each_other_are_not_followed_for_ever(stored, caplog):
    """Each of 12 pages names the next one 50 times: 50^12 ways through a file of some kilobytes."""
    path = stored.folder / "index.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("pragma page_size = 512")
        db.execute("vacuum")
        (root,) = db.execute("select rootpage from sqlite_schema where name = 'batches'").fetchone()
        db.execute("update batches set header = hex(zeroblob(20000))")  # pages that can be written over
        (count,) = db.execute("pragma page_count").fetchone()
    content = bytearray(path.read_bytes())
    chain = [root, *range(count - 12, count)]
    for page, child in zip(chain, [*chain[1:], count], strict=True):
        cells = 50 if page != count - 1 else 0
        body = bytearray(512)
        body[0] = 5 if cells else 13  # an inner page of a table, or an empty last one
        body[3:5], body[5:7] = cells.to_bytes(2, "big"), (512 - 5 * cells).to_bytes(2, "big")
        body[8:12] = child.to_bytes(4, "big")
        for cell in range(cells):
            at = 512 - 5 * (cell + 1)
            body[12 + 2 * cell : 14 + 2 * cell] = at.to_bytes(2, "big")
            body[at : at + 5] = child.to_bytes(4, "big") + b"\x01"
        content[512 * (page - 1) : 512 * page] = body
    path.write_bytes(content)
    found_again(stored, caplog)


def test_a_check_has_an_end():
    with (
        closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(index.Contradiction, match="more than 0 steps"),
        index._bounded(db, 0),
    ):
        db.execute(f"select count(*) from ({_ENDLESS})").fetchall()


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder", "link as journal"])
def test_an_index_that_is_no_file_is_moved_away(stored, caplog, tmp_path, kind):
    path, other = stored.folder / "index.sqlite", tmp_path / "other.sqlite"
    if kind == "link as journal":
        path = Path(f"{path}-journal")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
    if kind in ("link", "link as journal"):
        other.write_bytes(b"of somebody else")
    found_again(stored, caplog)
    assert not other.exists() or other.read_bytes() == b"of somebody else"
