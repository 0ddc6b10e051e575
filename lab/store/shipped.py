"""Results that ship with the lab, beneath every store of a user: read, never written.

In ``data/results`` lie batches in the store's own form, and ``index.json`` says which run is where. A run is found there by
what one asks for, whatever code, version or device would compute it: what is found says by which version it was made, and
whether that was with other code.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab.datasets import packaged

from . import files

if TYPE_CHECKING:
    import xarray as xr

INDEX = "index.json"
_lost: set[Path] = set()  # files that turned out to be damaged


class Place(NamedTuple):
    """Where a run is.

    Attributes:
        file: its batch.
        row: its place along ``cell``.
        reach: the hash of the code that made it.
        version: of the lab that made it.
        keep: the variables that were kept of it; all when empty.
    """

    file: str
    row: int
    reach: str
    version: str
    keep: tuple[str, ...] = ()

    def has(self, names: Collection[str]) -> bool:
        """Whether it has these variables; all when empty."""
        return not self.keep or (bool(names) and set(names) <= set(self.keep))


class Key(str):
    """The key of a run in a store, which knows what the run is called where it ships.

    Attributes:
        asked: the name.
        reach: the hash of the code that would make it here.
    """

    asked: str
    reach: str

    def __new__(cls, key: str, asked: str = "", reach: str = "") -> "Key":
        made = super().__new__(cls, key)
        made.asked, made.reach = asked, reach
        return made


def folder() -> Path:
    """Where shipped results lie: in ``LAB_RESULTS`` where that is set, nowhere where it is empty, else with the lab."""
    given = os.environ.get("LAB_RESULTS")
    return packaged.folder() / "results" if given is None else Path(given or os.devnull)


def find(key: str, names: Collection[str] = ()) -> Place | None:
    """Where a run ships that has these variables; all when empty."""
    places = _index(folder()).get(key.asked, ()) if isinstance(key, Key) else ()
    return next((place for place in places if place.has(names) and folder() / place.file not in _lost), None)


def read(keys: Sequence[str], names: Collection[str] | None = None) -> "list[tuple[xr.Dataset, list[int]]]":
    """Runs that ship, one after the other: batches, and which of their cells are meant.

    Raises:
        Damaged: a file is not as it was made; its runs no longer count as shipped.
    """
    parts: list[tuple[xr.Dataset, list[int]]] = []
    found = [(key, find(key, names or ())) for key in keys]
    for (file, told), each in groupby(found, key=lambda each: (each[1] and each[1].file, _told(*each))):
        group = list(each)
        path = folder() / str(file)
        try:
            cells, header = files.read(path, names)
            if any(place and header["keys"][place.row] != getattr(key, "asked", "") for key, place in group):
                raise files.Damaged("it holds other runs than the index says")
            cells = cells.assign(
                {name: cells[name].astype(float) for name in header["rounded"] if name in cells.data_vars}
            )
        except (files.Damaged, OSError, LookupError) as problem:
            _lost.add(path)
            raise files.Damaged(f"{path} is missing or damaged ({problem})") from problem
        cells.attrs["shipped"] = told
        parts.append((cells, [place.row for _, place in group if place]))
    return parts


def _told(key: str, place: Place | None) -> str:
    assert isinstance(key, Key)
    assert place is not None
    return ("" if place.reach == key.reach else "another state of ") + f"lab {place.version}"


@cache
def _index(where: Path) -> Mapping[str, tuple[Place, ...]]:
    try:
        told: dict[str, list] = json.loads((where / INDEX).read_text())
        return {asked: tuple(map(_place, places)) for asked, places in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none ship
        return {}


def _place(told: list) -> Place:
    file, row, reach, version, keep = told
    if Path(file).name != file or type(row) is not int or row < 0:
        raise ValueError(f"{file} is no file of this folder, or {row} no row")
    return Place(file, row, reach, version, tuple(keep))
