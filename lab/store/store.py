"""The ledger of runs: each is kept once, under the hash of all that its numbers depend on."""

import errno
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection, DatabaseError
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np

from lab.disk import processes, write
from lab.home import home

from . import files, packing, shipped
from .index import Contradiction, Index, check_of, say_once, transaction

if TYPE_CHECKING:
    import xarray as xr


_MATTER = ("lab", "jax", "jaxlib", "numpy")
_watch = processes.Watch()  # over those who have claims


class Claim(NamedTuple):
    """Of the keys asked for that the store does not hold: those to compute here, and those computed elsewhere."""

    mine: set[str]
    others: set[str]


@dataclass(frozen=True)
class Entry:
    """One commit to the store: a run, or a batch of a sweep.

    Attributes:
        batch: the name of its file.
        keys: one for each cell.
        created: when it was committed, in UTC.
        bytes: what it takes on disk.
        parameters: by name; a list of the values that occur where the cells differ.
    """

    batch: str
    keys: tuple[str, ...]
    study: str
    title: str
    data: str
    parameters: Mapping[str, Any]
    created: datetime
    bytes: int

    @property
    def cells(self) -> int:
        return len(self.keys)


class Store:
    """Runs on disk, found by their key. Threads, processes and hosts may share one folder.

    A commit is there whole or not at all, every read is verified, and what is damaged is set aside with a sentence
    (logger ``lab.store``) and counts as not held. Where the folder can't be written to, nothing is kept: a sentence
    says so once, and ``fetch`` computes. What ships with the lab counts as held (``lab.store.shipped``).

    Args:
        folder: by default ``store`` in ``LAB_HOME``.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = home() / "store" if folder is None else Path(folder)
        self._index = Index(self.folder)

    # ---- keys ------------------------------------------------------------------------------------------------

    @staticmethod
    def key(recipe: Mapping[str, Any]) -> shipped.Key:
        """The key of the run that ``Study.recipe`` describes: 32 hexadecimal digits.

        It depends on the study, its version and the code that its run can reach (``lab.code.of_run``), the parameters, the
        bytes of the data and what their axes are called, the dtype, the kind of device and the versions that matter for a
        number; not on names, titles and the command.
        """
        asked = {
            "study": [recipe["study"], recipe["study_version"]],
            "parameters": {name: canonical(v) for name, v in recipe["parameters"].items() if name != "data"},
            "data": [recipe["data"]["sha256"], recipe["data"].get("axes", "")],
            "dtype": recipe["dtype"],
        }
        by = {
            "code": [recipe.get("code", ""), recipe.get("reach", "")],
            "device": recipe["device"].split(", ")[0] if recipe["device"].startswith("CPU") else recipe["device"],
            "versions": {name: recipe["versions"].get(name) for name in _MATTER},
        }
        return shipped.Key(_digest(asked | by), _digest(asked), recipe.get("reach", ""))

    def matching(self, prefix: str) -> list[str]:
        """The keys held that begin so."""
        return self._index.ask(
            lambda db: [
                key
                for (key,) in db.execute(
                    "select distinct key from cells where key >= ? and key < ? order by key", [prefix, prefix + "g"]
                )
            ]
        )

    # ---- one run ---------------------------------------------------------------------------------------------

    def fetch(
        self,
        recipe: Mapping[str, Any],
        make: "Callable[[], xr.Dataset]",
        *,
        wanted: Callable[[], bool] = lambda: True,
        again: bool = False,
    ) -> "xr.Dataset":
        """The run of that recipe: from the store, or made, kept and returned.

        Of equal requests at the same time, in whatever process, one makes the run and the others wait for it. A run
        that was stopped before its end is returned but not kept, and neither is one that there is no room for, or
        whose own recipe has another key.

        Args:
            make: computes the run.
            wanted: asked now and then while another process makes the run; False stops waiting, and ``make`` is
                called here.
            again: make it even if it is held, and keep it in the place of the old one.
        """
        key = self.key(recipe)
        if again:
            return self._kept(key, make())
        unreadable = 0
        while unreadable < 3:
            with suppress(ValueError):  # not held, or damaged
                return packing.unpack(self.read([key]), 0)
            with self.claim([key]) as claim:
                if claim.mine:
                    return self._kept(key, make())
            if claim.others:
                self.wait([key], wanted)
                if not wanted():
                    break
            else:
                unreadable += 1
        return make()

    def _kept(self, key: str, made: "xr.Dataset") -> "xr.Dataset":
        recipe = made.attrs.get("recipe")
        meant = recipe is None or self.key(json.loads(recipe)) == key  # a file may change while it is asked for
        if meant and made.attrs.get("reason") != "stopped":
            try:
                self.commit([key], packing.pack([made]))
            except (ValueError, TypeError) as problem:
                say_once(f"form {made.attrs.get('study')}", f"The result is not kept in the store: {problem}.")
            except OSError as problem:
                full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
                say_once(f"{'full' if full else 'unwritable'} {self.folder}", f"{problem}")
        return made

    # ---- many ------------------------------------------------------------------------------------------------

    def held(self, keys: Sequence[str], names: Collection[str] = ()) -> set[str]:
        """Those of the keys that the store holds.

        Args:
            names: the variables that are needed; all when empty.
        """
        here = self._index.ask(lambda db: _held(db, keys))
        return here | {key for key in keys if key not in here and shipped.find(key, names)}

    def read(self, keys: Sequence[str], names: Collection[str] | None = None) -> "xr.Dataset":
        """The runs of these keys, stacked along ``cell`` in their order; ``unpack`` gives one of them.

        Args:
            names: the data variables to read; all when left out.

        Raises:
            ValueError: a key is not held, or its batch turned out to be damaged; the batch is then set aside.
        """
        absent: set[str] = set()
        for _ in range(len(keys) + 9):  # each break below leaves one obstacle less
            places = self._index.ask(lambda db: _places(db, keys))
            beneath = {key for key in keys if key not in places and shipped.find(key, names or ())}
            missing = [key for key in keys if key not in places and key not in beneath]
            if missing or not keys:
                others = f" and {len(missing) - 1} others of those asked for" if len(missing) > 1 else ""
                raise ValueError(f"the store holds no run {missing[0]}{others}" if keys else "name at least one key")
            order: dict[str, list[int]] = {}
            for at, key in enumerate(keys):
                if key in places:
                    order.setdefault(places[key][0], []).append(at)
            parts = []
            for batch, positions in order.items():
                try:
                    cells, header = files.read(self._path(batch), names)
                except FileNotFoundError:  # removed this moment, which the next look at the index knows, or never there
                    if batch in absent:
                        self._index.make_again(f"a run is said to be in {batch}, which is not there")
                    absent.add(batch)
                    break
                except files.Damaged as problem:
                    self._index.set_aside(batch, problem)
                    break
                row_of = {key: row for row, key in enumerate(header["keys"])}
                rows = [row_of.get(keys[at], -1) for at in positions]
                if rows != [places[keys[at]][1] for at in positions]:  # the file is sound
                    self._index.make_again(f"of {batch} it says what is not in the file")
                    break
                parts.append((cells, rows))
            else:
                positions = [at for group in order.values() for at in group]
                below = [at for at, key in enumerate(keys) if key in beneath]
                try:
                    parts += shipped.read([keys[at] for at in below], names)
                except files.Damaged as problem:
                    say_once(f"shipped {problem}", f"{problem}: what it holds is computed; install the lab again.")
                    continue
                stacked, positions = packing.joined(parts), positions + below
                return stacked if positions == sorted(positions) else stacked.isel(cell=np.argsort(positions))
        raise ValueError(f"the store {self.folder} can't be read: its index does not fit its files")

    def commit(self, keys: Sequence[str], cells: "xr.Dataset") -> None:
        """Keep runs: on return they are there whole, before they are not there at all.

        Args:
            cells: packed, see ``lab.store.pack``, or any Dataset whose every data variable has the leading dimension
                ``cell``, one for each key.

        Raises:
            ValueError: the cells are not of that form.
            OSError: they can't be written, as when the disk is full; the store is as it was.
        """
        loose = [name for name in cells.data_vars if cells[name].dims[:1] != (packing.CELL,)]
        if loose or cells.sizes.get(packing.CELL) != len(keys) or len(set(keys)) != len(keys):
            wrong = f"{loose[0]} has not" if loose else f"there are {cells.sizes.get(packing.CELL)} cells"
            raise ValueError(
                f"every variable needs the leading dimension cell, one for each of {len(keys)} keys: {wrong}"
            )
        packed = packing.joined([(cells, range(len(keys)))])
        created = _after(self._index.ask(lambda db: _last(db, keys)))
        header = {"layout": 1, "keys": list(keys), "created": created} | _summary(packed)
        batch = uuid4().hex
        try:
            self._index.batches.mkdir(parents=True, exist_ok=True)
            # not forced to the disk: see files.write
            write(self._path(batch), lambda part: files.write(part, packed, header), durable=False)
        except OSError as problem:
            sentence = OSError(
                f"The result ({packed.nbytes / 1e6:.3g} MB) can't be kept in {self.folder}: "
                f"{getattr(problem, 'why', problem.strerror)}; free space there (lab runs lists what it holds), "
                "or set LAB_HOME to another folder."
            )
            sentence.errno = problem.errno
            raise sentence from problem

        def superseded(db: Connection) -> list[str]:
            lost = set(keys) - _held(db, keys)
            there = db.execute("select 1 from batches where batch = ?", [batch]).fetchone()  # not removed meanwhile
            if lost and there:
                raise Contradiction(f"it can't find {min(lost)}, which is in {batch}")
            return _superseded(db, batch, created, keys)

        for old in self._index.ask(superseded):
            with suppress(OSError, files.Damaged):
                if set(files.read_header(self._path(old))["keys"]) <= set(keys):  # not by the word of a cache
                    self._path(old).unlink()

    @contextmanager
    def claim(self, keys: Sequence[str]) -> Iterator[Claim]:
        """Say that the keys are being computed here, until the end of the ``with``; ``mine`` are those nobody else has.

        A claim ends with its process, however that ends.
        """
        owner = uuid4().hex

        def take(db: Connection) -> Claim:
            with transaction(db):
                for dead in [sign[0] for sign in db.execute("select * from owners") if not _watch.alive(*sign)]:
                    _release(db, dead)
                asked = set(keys) - _held(db, keys)
                others = asked & {key for (key,) in _among(db, "select key from claims where key in", asked)}
                _beat(db, owner, asked - others)
            return Claim(asked - others, others)

        claim = self._index.ask(take)
        over = Event()

        def live() -> None:
            while not over.wait(processes.BEAT):
                with suppress(OSError, DatabaseError):
                    self._index.ask(lambda db: _beat(db, owner, claim.mine))

        pulse = Thread(target=live, daemon=True, name="lab-store-claim")
        if claim.mine:
            pulse.start()
        try:
            yield claim
        finally:
            over.set()
            if claim.mine:
                pulse.join()  # else its last sign of life might claim again what is let go here
            with suppress(OSError):
                self._index.ask(lambda db: _release(db, owner))

    def wait(
        self, keys: Sequence[str], wanted: Callable[[], bool] = lambda: True, timeout: float | None = None
    ) -> set[str]:
        """Wait until others have committed the keys or let go of them.

        Args:
            wanted: asked now and then; False ends the wait.
            timeout: seconds.

        Returns:
            those held now.
        """

        def look(db: Connection) -> tuple[set[str], bool]:
            held = _held(db, keys)
            rest = set(keys) - held
            owners = {owner for (owner,) in _among(db, "select owner from claims where key in", rest)}
            known = {owner: (process, beat) for owner, process, beat in db.execute("select * from owners")}
            return held, any(owner in known and _watch.alive(owner, *known[owner]) for owner in owners)

        began, pause = time.monotonic(), 0.02
        while True:
            held, busy = self._index.ask(look)
            if not busy or not wanted() or (timeout is not None and time.monotonic() - began >= timeout):
                return held
            time.sleep(pause)
            pause = min(1.5 * pause, 0.5)

    # ---- the whole -------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All that is held, newest first."""

        def rows(db: Connection) -> list[Entry]:
            keys: dict[str, list[str]] = {}
            for batch, key in db.execute("select batch, key from cells order by batch, row"):
                keys.setdefault(batch, []).append(key)
            found = []
            for batch, created, size, text in db.execute("select * from batches order by created desc, batch desc"):
                mine = keys.pop(batch, [])
                told = json.loads(text)
                if told.pop("check") != check_of(batch, created, size, told, mine):
                    raise Contradiction(f"of {batch} it says what was not in the file")
                about = (told["study"], told["title"], told["data"], told["parameters"])
                found.append(Entry(batch, tuple(mine), *about, datetime.fromisoformat(created), size))
            if keys:
                raise Contradiction(f"runs are said to be in {next(iter(keys))}, which is not there")
            return found

        return self._index.ask(rows)

    def entry(self, key: str) -> Entry | None:
        """The commit that holds a key."""
        place = self._index.ask(lambda db: _places(db, [key])).get(key)
        return next((entry for entry in self.entries() if place and entry.batch == place[0]), None)

    def remove(self, entries: Sequence[Entry]) -> None:
        """Delete these commits; OSError where the folder does not allow it."""
        for entry in entries:
            self._path(entry.batch).unlink(missing_ok=True)

    def damaged(self) -> list[Path]:
        """The files that were set aside."""
        return sorted(self._index.damaged.glob("*"))

    def bytes(self) -> int:
        """What the store takes on disk, with what was set aside."""
        aside = sum(path.lstat().st_size for path in self.damaged())
        return aside + self._index.ask(lambda db: int(db.execute("select total(bytes) from batches").fetchone()[0]))

    def _path(self, batch: str) -> Path:
        return self._index.batches / (batch + files.SUFFIX)


# ---- what is asked of the index --------------------------------------------------------------------------------


def _among(db: Connection, query: str, keys: Collection[str]) -> list[tuple]:
    return db.execute(f"{query} (select value from json_each(?))", [json.dumps(list(keys))]).fetchall()


def _held(db: Connection, keys: Collection[str]) -> set[str]:
    return set(_places(db, keys))


def _places(db: Connection, keys: Collection[str]) -> dict[str, tuple[str, int]]:
    """Key -> batch and row, of the newest commit."""
    query = "select key, created, cells.batch, row from cells left join batches using (batch) where key in"
    found = _among(db, query, keys)
    for key, created, batch, _ in found:
        if created is None:
            raise Contradiction(f"{key} is said to be in {batch}, which is not there")
    return {key: (batch, row) for key, _, batch, row in sorted(found)}


def _last(db: Connection, keys: Collection[str]) -> str:
    """When the newest commit of any of these keys was made; "" where there is none."""
    query = "select max(created) from cells join batches using (batch) where key in"
    return str(_among(db, query, keys)[0][0] or "")


def _after(last: str) -> str:
    """The present time, or the first after ``last`` where the clock was set back: the newest commit of a key is read."""
    now = datetime.now(UTC)
    with suppress(ValueError, OverflowError, TypeError):
        now = max(now, datetime.fromisoformat(last) + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")


def _superseded(db: Connection, batch: str, created: str, keys: Collection[str]) -> list[str]:
    """Older commits of which every cell is in this one. Older by one order for all: two can't remove each other."""
    query = "select distinct batch, created from cells join batches using (batch) where key in"
    older = [other for other, when in _among(db, query, keys) if (when, other) < (created, batch)]
    asked = set(keys)
    return [
        other
        for other in older
        if all(key in asked for (key,) in db.execute("select key from cells where batch = ?", [other]))
    ]


def _beat(db: Connection, owner: str, keys: Collection[str]) -> None:
    """A sign of life; claims again if the index was made anew meanwhile."""
    if not keys:
        return
    new = not db.execute("select 1 from owners where owner = ?", [owner]).fetchone()
    db.execute("insert or replace into owners values (?, ?, ?)", [owner, processes.me(), time.time()])
    if new:
        db.executemany("insert or ignore into claims values (?, ?)", ((key, owner) for key in keys))


def _release(db: Connection, owner: str) -> None:
    db.execute("delete from claims where owner = ?", [owner])
    db.execute("delete from owners where owner = ?", [owner])


# ---- what a key and a header are made of -----------------------------------------------------------------------


def _digest(what: Mapping[str, Any]) -> str:
    text = json.dumps(what, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:32]


def canonical(value: Any) -> Any:
    """One form for equal values of a parameter, so that 1, 1.0 and NumPy's 1.0 ask for the same run.

    Args:
        value: a number of Python or NumPy, or any other value.

    Returns:
        An `int` for a whole number, Python's own number for another one; any other value unchanged.

    Examples:
        >>> from lab.store import canonical
        >>> canonical(5.0), canonical(0.5), canonical("auto")
        (5, 0.5, 'auto')
    """
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _summary(packed: "xr.Dataset") -> dict[str, Any]:
    """What a list of runs shows of a batch."""
    told = {}
    for field, name in (("study", "study"), ("title", "title"), ("data", "data_name")):
        values = list(dict.fromkeys(str(value or "") for value in packing.cell_attrs(packed, name)))
        told[field] = values[0] if len(values) == 1 else f"{values[0]} and {len(values) - 1} more"
    parameters = [json.loads(text) if text else {} for text in packing.cell_attrs(packed, "parameters")]
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(name for cell in parameters for name in cell):
        values = list({json.dumps(value): value for value in (cell.get(name) for cell in parameters)}.values())
        summary[name] = values[0] if len(values) == 1 else values
    return told | {"parameters": summary}
