"""Changes to a small store: a bit or a value of the index, a bit of a batch, a bit of a cache; then everything is asked.

Equal results or a sentence and a repair count as survived; a wrong value, an exception, or a second sentence when the same
is asked again are faults.
"""

import argparse
import json
import logging
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lab.disk import cache
from lab.store import Store, index, pack, unpack

_BATCHES, _CELLS = 6, 4
_SHARES = {"index, bit": 0.3, "index, value": 0.3, "index, cut": 0.05, "batch": 0.25, "cache": 0.1}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)


def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        met, faults = flips(Path(folder), options.count, options.seed)
    for (what, end), count in sorted(met.items()):
        print(f"{what:14} {end:28} {count:6}")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{options.count} flips, {len(faults)} faults")
    return len(faults)


def flips(folder: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """How the flips ended, by what was flipped; and the faults in words."""
    rng, heard = np.random.default_rng(seed), _Heard()
    logger = logging.getLogger("lab.store")
    logger.addHandler(heard)
    before, logger.propagate = logger.propagate, False
    met, faults = Counter(), []
    try:
        bench = _Bench(folder)
        for number in range(count):
            what = str(
                rng.choice(
                    ["index, bit", "index, value", "index, cut", "batch", "cache"], p=[0.3, 0.3, 0.05, 0.25, 0.1]
                )
            )
            done = bench.flip(what, rng)
            index._told.clear()  # each is a process of its own
            try:
                first = bench.ask(heard)
                second = bench.ask(heard)
            except Exception as problem:
                faults.append(f"{number}, {what}, {done}: {type(problem).__name__}: {problem}")
                bench = _Bench(folder / f"anew-{number}")
                continue
            if second:
                faults.append(f"{number}, {what}, {done}: said again: {second[0]}")
            met[what, "a sentence and a repair" if first else "the same, without a sentence"] += 1
    finally:
        logger.removeHandler(heard)
        logger.propagate = before
    return met, faults


class _Heard(logging.Handler):
    """The sentences of the store."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


class _Bench:
    """A store of a few batches, and what it should say."""

    def __init__(self, folder: Path):
        self.folder = folder / "store"
        self.cache = folder / "kept"
        store = Store(self.folder)
        for batch in range(_BATCHES):
            store.commit(_keys(batch), pack([_cell(batch, i) for i in range(_CELLS)]))
        self._keep()
        self._entries = self._listed(store)

    def flip(self, what: str, rng: np.random.Generator) -> str:
        if what == "cache":
            return _bit(self.cache, rng)
        if what == "batch":
            return _bit(sorted((self.folder / "batches").glob("*.zip"))[rng.integers(_BATCHES)], rng)
        path = self.folder / "index.sqlite"
        if what == "index, bit":
            return _bit(path, rng)
        if what == "index, cut":
            with path.open("r+b") as file:
                file.truncate(int(rng.integers(path.stat().st_size)))
            return "cut"
        table, column = [
            ("cells", "batch"),
            ("cells", "key"),
            ("cells", "row"),
            ("batches", "batch"),
            ("batches", "created"),
            ("batches", "bytes"),
            ("batches", "header"),
        ][rng.integers(7)]
        value: Any = [None, -1, 10**18, "nonsense", "", b"\xff\xfe", 0.5, f"{rng.integers(10**9)}", "another"][
            rng.integers(9)
        ]
        with closing(sqlite3.connect(path)) as db, db:
            (rows,) = db.execute(f"select count(*) from {table}").fetchone()
            place = int(rng.integers(rows))
            if value == "another":
                (value,) = db.execute(
                    f"select {column} from {table} limit 1 offset ?", [int(rng.integers(rows))]
                ).fetchone()
            key = "(key, batch)" if table == "cells" else "batch"
            chosen = f"select {key.strip('()')} from {table} limit 1 offset {place}"
            try:
                db.execute(f"update {table} set {column} = ? where {key} = ({chosen})", [value])
            except sqlite3.IntegrityError:
                db.execute(f"delete from {table} where {key} = ({chosen})")
        return f"{table}.{column} = {value!r}"

    def ask(self, heard: _Heard) -> list[str]:
        """Ask for everything, as a process that has just begun; gives the sentences that it heard. AssertionError where an
        answer is wrong."""
        heard.sentences.clear()
        store = Store(self.folder)
        for batch in range(_BATCHES):
            keys = _keys(batch)
            for _ in range(_CELLS):  # as a sweep does: what is not held is computed, what was held and is lost too
                missing = sorted(set(keys) - store.held(keys))
                if missing:
                    places = [keys.index(key) for key in missing]
                    with store.claim(missing) as claim:
                        assert claim.mine == set(missing), "nobody has it"
                    store.commit(missing, pack([_cell(batch, i) for i in places]))
                try:
                    packed = store.read(keys)
                    break
                except ValueError:  # set aside just now, or a broken index lost it
                    assert set(keys) - store.held(keys), "it can't be read, and is said to be held"
            else:
                raise AssertionError("computed again and again, and never held")
            for i in range(_CELLS):
                assert unpack(packed, i).identical(_cell(batch, i)), f"another value of {keys[i]}"
        assert self._listed(store) == self._entries, "lab runs lists something else"
        store.bytes()
        if cache.read(self.cache) != _KEPT:
            assert cache.read(self.cache) is None, "a spoilt cache was taken"
            self._keep()
            heard.sentences.append("the cache was made again")
        return list(heard.sentences)

    def _keep(self) -> None:
        cache.write(self.cache, _KEPT)

    @staticmethod
    def _listed(store: Store) -> dict[str, tuple]:
        """By key what is told of it; how many are in a batch may change."""
        return {key: (e.study, e.title, e.data) for e in store.entries() for key in e.keys}


_KEPT = json.dumps({"size": 8, "seconds": 0.25}).encode()


def _keys(batch: int) -> list[str]:
    return [f"{batch:016x}{i:016x}" for i in range(_CELLS)]


def _cell(batch: int, i: int) -> xr.Dataset:
    rng = np.random.default_rng([batch, i])
    attrs = {"study": "flipped", "title": f"batch {batch}", "data_name": "points", "parameters": json.dumps({"k": i})}
    return xr.Dataset({"x": ("row", rng.normal(size=50)), "value": ((), rng.normal())}, attrs=attrs)


def _bit(path: Path, rng: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    at, bit = int(rng.integers(len(content))), int(rng.integers(8))
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at}"
