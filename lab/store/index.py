"""Where each key is, and who computes what: an SQLite file beside the batches.

It is only a cache. Its entries are compared with the folder of batches before every question, and it is rebuilt from the
batch headers when it is missing, broken, contradicts them, or holds anything but the tables below: a store may come from
somebody else, and a view or a trigger would run whenever the lab reads or writes. A folder that can't be written to gets an
index in memory.
"""

import json
import logging
import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from lab.disk import writable
from lab.inputs import SENTENCE, cut

from . import files

log = logging.getLogger("lab.store")

_LAYOUT = 2
_TABLES = """
create table batches (batch text primary key, created text, bytes integer, header text);
create table cells (key text, batch text, row integer, primary key (key, batch)) without rowid;
create index cells_of_batch on cells (batch);
create table owners (owner text primary key, process text, beat real);
create table claims (key text primary key, owner text) without rowid;
create index claims_of_owner on claims (owner);
"""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}
_UNWRITABLE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}
_SETTINGS = {
    sqlite3.SQLITE_DBCONFIG_DEFENSIVE: True,
    sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA: False,
    sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER: False,
    sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW: False,
}
_LONGEST = 64 * 2**20  # bytes of one value: the header of a batch with 100,000 cells takes less
_STEPS = 10_000_000, 100  # of SQLite's machine to check an index, and for each byte of it
_COARSE = 2_000_000_000  # ns within which a folder may change without its time of change showing it
_told: set[str] = set()


def say_once(topic: str, sentence: str) -> None:
    """Warn, but not again at each run."""
    if topic not in _told:
        _told.add(topic)
        log.warning(sentence)


class Contradiction(Exception):
    """The index says what the batches do not; the text says what."""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and no other writer in between."""
    db.execute("begin immediate")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise
    db.commit()


class Index:
    """Answers questions about a store's folder; safe in threads and processes, as each question has a connection."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.batches = folder / "batches"
        self.damaged = folder / "damaged"
        self._path = folder / "index.sqlite"
        self._usable = True  # else it contradicts the batches, and can't be moved
        self._lost: set[str] = set()  # damaged, in a folder that can't be written to
        self._seen: tuple[int, int] | None = None  # the folder's time of change and the index that knew it all
        self._sound: int | None = None  # the number of the index file whose pages were checked

    def ask[T](self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of ``question`` to a connection that knows all batches there are.

        Raises:
            OSError: another process has kept the index locked for a minute.
        """
        repaired = False
        while self._usable:
            number = None
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                number = self._regular()
                # not WAL: that fails on file systems that several hosts share, and in a folder that is read-only
                with closing(sqlite3.connect(self._path, timeout=60, isolation_level=None)) as db:
                    number = self._path.lstat().st_ino
                    self._check(db, number)
                    db.execute("pragma synchronous = off")  # what a power cut spoils here is made again
                    self._prepare(db)
                    self._compare(db, number)
                    return _asked(question, db)
            except OSError as problem:
                reason = problem.strerror or str(problem)
            except (sqlite3.DatabaseError, Contradiction) as problem:
                code = getattr(problem, "sqlite_errorcode", 0)
                if code & 0xFF in _BUSY or (repaired and code & 0xFF not in _UNWRITABLE):
                    raise OSError(f"the index {self._path} can't be used: {problem}") from problem
                if not repaired and not self._unwritable(code):
                    repaired = True
                    self._set_aside(number, problem)
                    continue
                reason = str(problem)
            say_once(
                f"unwritable {self.folder}",
                f"The store {self.folder} can't be written to ({reason}): results are computed but not kept; "
                "set the variable LAB_HOME to a folder of yours.",
            )
            break
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            self._prepare(db)
            self._compare(db, None)
            return _asked(question, db)

    def make_again(self, why: str) -> None:
        """The index contradicts a batch that is as it was written: the next question is asked of a new one."""
        self._seen = None
        with suppress(OSError):
            self._set_aside(self._path.lstat().st_ino, why)

    def set_aside(self, batch: str, why: object) -> None:
        """Move a damaged batch out of the store and say so; the next question no longer finds its keys."""
        why = cut(why, SENTENCE)
        try:
            self.damaged.mkdir(exist_ok=True)
            os.replace(self.batches / (batch + files.SUFFIX), self.damaged / (batch + files.SUFFIX))
        except FileNotFoundError:  # another process was first
            return
        except OSError as problem:
            self._lost.add(batch)
            self._seen = None
            sentence = f"The stored runs in {batch}{files.SUFFIX} are damaged ({why}); they can't be moved: {problem}"
            say_once(batch, sentence)
            return
        log.warning(
            "The stored runs in %s are damaged (%s): they were set aside in %s and will be computed again.",
            batch + files.SUFFIX,
            why,
            self.damaged,
        )

    def _regular(self) -> int | None:
        """The number of the index file, None where there is none yet; move anything else of that name away.

        SQLite would follow a link, and create or change the file that it names.
        """
        number = None
        for suffix in ("", "-journal", "-wal", "-shm"):
            path = self._path.with_name(self._path.name + suffix)
            with suppress(FileNotFoundError):
                if not stat.S_ISREG((found := path.lstat()).st_mode):
                    self.damaged.mkdir(exist_ok=True)
                    os.replace(path, self.damaged / path.name)
                    log.warning("%s was no file: it was moved to %s.", path, self.damaged)
                elif not suffix:
                    number = found.st_ino
        return number

    def _check(self, db: sqlite3.Connection, number: int) -> None:
        """Refuse an index with other tables than the lab's, and check the pages of a file that is new to this process.

        Raises:
            Contradiction: other tables, views, triggers, or pages that refer to each other in a circle.
            sqlite3.DatabaseError: what SQLite found.
        """
        for setting, on in _SETTINGS.items():
            db.setconfig(setting, on)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        most, each = _STEPS
        with _bounded(db, most + each * self._path.lstat().st_size):
            tables = _tables(db)
            if tables and tables != _expected():
                other = next(iter(tables ^ _expected()))
                raise Contradiction(f"its {other[0]} {cut(other[1], 40)} is not as the lab makes it")
            if db.execute("pragma journal_mode").fetchone()[0] != "delete":
                raise Contradiction("its journal is not of the mode that the lab uses")
            if self._sound != number:
                if (found := db.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                    raise Contradiction(found)
                self._sound = number

    def _prepare(self, db: sqlite3.Connection) -> None:
        if db.execute("pragma user_version").fetchone()[0] == _LAYOUT:
            return
        with transaction(db):
            layout = db.execute("pragma user_version").fetchone()[0]
            if layout == _LAYOUT:  # another was faster
                return
            if layout == 1:  # the same tables, without a check
                db.execute("delete from batches")
                db.execute("delete from cells")
            else:
                for statement in filter(str.strip, _TABLES.split(";")):
                    db.execute(statement)
            db.execute(f"pragma user_version = {_LAYOUT}")
            self._match(db)

    def _compare(self, db: sqlite3.Connection, number: int | None) -> None:
        """Take in batches that others added, forget those that are gone; one look at a clock when nothing changed."""
        now = time.time_ns()
        try:
            changed = self.batches.stat().st_mtime_ns
        except OSError:  # nothing was ever kept
            changed = 0
        if number is not None and self._seen == (changed, number):
            return
        if self._there() != _known(db):
            with transaction(db):
                self._match(db)
        settled = number is not None and abs(now - changed) > _COARSE  # a clock that was set back shows changes too
        self._seen = (changed, number) if settled and number is not None else None

    def _match(self, db: sqlite3.Connection) -> None:
        there, known = self._there(), _known(db)
        for batch in known - there:
            _drop(db, batch)
        for batch in there - known:
            path = self.batches / (batch + files.SUFFIX)
            try:
                header = files.read_header(path)
                status = path.stat()
                keys, created = header.pop("keys"), header.pop("created")
            except FileNotFoundError:  # removed this moment
                continue
            except (files.Damaged, KeyError, TypeError) as problem:
                self.set_aside(batch, problem)
                continue
            size = getattr(status, "st_blocks", 0) * 512 or status.st_size
            header["check"] = check_of(batch, created, size, header, keys)
            db.execute("insert into batches values (?, ?, ?, ?)", [batch, created, size, json.dumps(header)])
            rows = ((key, batch, row) for row, key in enumerate(keys))
            db.executemany("insert or replace into cells values (?, ?, ?)", rows)

    def _there(self) -> set[str]:
        try:
            with os.scandir(self.batches) as entries:
                names = {e.name.removesuffix(files.SUFFIX) for e in entries if e.name.endswith(files.SUFFIX)}
                return names - self._lost
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return set()

    def _unwritable(self, code: int) -> bool:
        """Whether SQLite can't write for want of a right or of room, and not because of what it found in the file."""
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            return not (writable(self._path) and writable(self.folder))
        return code & 0xFF in _UNWRITABLE and code != sqlite3.SQLITE_IOERR_SHORT_READ

    def _set_aside(self, number: int | None, why: object) -> None:
        """Move the index away, if it is still the file of that number; where it can't be moved, it is asked no more."""
        sentence = f"The store's index {self._path} is broken ({cut(why, SENTENCE)}): it is made again from the runs."
        try:
            if self._path.lstat().st_ino == number:  # else another process has made it again already
                self.damaged.mkdir(exist_ok=True)
                self._path.with_name("index.sqlite-journal").unlink(missing_ok=True)  # it belongs to the broken one
                os.replace(self._path, self.damaged / "index.sqlite")
                log.warning(sentence)
        except FileNotFoundError:  # it is being made again
            pass
        except OSError:
            self._usable = False
            say_once(f"broken {self._path}", sentence)


def _tables(db: sqlite3.Connection) -> set[tuple]:
    """What a database says that it holds: (type, name, table, SQL)."""
    return set(db.execute("select type, name, tbl_name, sql from sqlite_schema"))


@cache
def _expected() -> frozenset[tuple]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        return frozenset(_tables(db))


@contextmanager
def _bounded(db: sqlite3.Connection, steps: int) -> Iterator[None]:
    """End what takes more steps of SQLite's machine: crafted pages can make a small file endless."""
    often, spent = 100_000, 0

    def tick() -> bool:
        nonlocal spent
        spent += often
        return spent > steps

    db.set_progress_handler(tick, often)
    try:
        yield
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT and spent > steps:
            raise Contradiction(f"it takes more than {steps:,} steps to check") from problem
        raise
    finally:
        db.set_progress_handler(None, 0)


def check_of(batch: str, created: str, size: int, header: dict[str, Any], keys: list[str]) -> int:
    """Of all that the index says of a batch: a changed value of a row is seen by it."""
    return zlib.crc32(json.dumps([batch, created, size, header, keys]).encode())


def _asked[T](question: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    """The answer; values that the question can't take are none that the lab has written."""
    try:
        return question(db)
    except (ValueError, TypeError, LookupError, AttributeError) as problem:
        raise Contradiction(f"{type(problem).__name__}: {problem}") from problem


def _drop(db: sqlite3.Connection, batch: str) -> None:
    db.execute("delete from batches where batch = ?", [batch])
    db.execute("delete from cells where batch = ?", [batch])


def _known(db: sqlite3.Connection) -> set[str]:
    return {batch for (batch,) in db.execute("select batch from batches")}
