"""How what a user brings becomes data of one kind: an entry for each kind, added by whoever defines it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import shown

from . import containers, formats, tables
from .data import Data
from .tables import Table

type Files = Sequence[tuple[str, bytes]]  # names and contents


class Reader(NamedTuple):
    """A kind of data as it comes in.

    Attributes:
        wanted: the arrays of a ``.npz``, ``.nc`` or ``.zarr``, of a dict or Dataset, that are read; others are ignored with
            a notice.
        from_arrays: makes data of ``(name, arrays, ignored)``.
        check: ``(name, arrays)``; refuses arrays that are none, whole as ``Data`` holds them.
        takes: what may be brought, in a few words.
        from_table: makes data of ``(name, columns, notices)``, where tables are read.
        bare: what arrays are that come without names, by how many there are: ``{1: ("cost",), 2: ("x", "y")}``.
        from_files: makes data of ``(files, n, seed)``, where ``one_file`` does not do.
        pictures: how many a folder may hold, at least and at most; (0, 0) where pictures are not read.
        clouds: how many clouds of points in the plane, a ``.csv`` each, are such data: what one can draw by hand.
    """

    wanted: tuple[str, ...]
    from_arrays: Callable[..., Data]
    check: Callable[[str, Mapping[str, np.ndarray]], None]
    takes: str
    from_table: Callable[[str, Table, Sequence[str]], Data] | None = None
    bare: Mapping[int, tuple[str, ...]] = MappingProxyType({})
    from_files: Callable[[Files, int | None, int], Data] | None = None
    pictures: tuple[int, int] = (0, 0)
    clouds: int = 0

    def read(self, files: Files, n: int | None, seed: int) -> Data:
        """The data of some files that belong together."""
        return one_file(self, files) if self.from_files is None else self.from_files(files, n, seed)


_readers: dict[str, Reader] = {}


def add_reader(kind: str, reader: Reader) -> None:
    """Let files be read as data of this kind."""
    _readers[kind] = reader


def can_read(kind: str) -> bool:
    """Whether files can be brought as data of this kind."""
    return kind in _readers


def reader_of(kind: str) -> Reader:
    """The reader of a kind.

    Raises:
        ValueError: files are not read as data of that kind.
    """
    if kind not in _readers:
        raise ValueError(f"files are read as data of kind {', '.join(_readers)}, not {kind}")
    return _readers[kind]


def one_file(reader: Reader, files: Files) -> Data:
    """The data of one file of arrays, or of a table where the kind has them.

    Raises:
        ValueError: any other file, or more than one.
    """
    if len(files) != 1:
        raise ValueError(f"{len(files)} files were given, but {reader.takes} is needed")
    ((name, payload),) = files
    form = formats.format_of(name, payload)
    if form in tables.KINDS and reader.from_table:
        return reader.from_table(name, *tables.read(name, payload, form))
    if form == "npy" and 1 in reader.bare:
        (key,) = reader.bare[1]
        return reader.from_arrays(name, {key: formats.npy(name, payload)}, ())
    if form == "npz":
        arrays, ignored, _ = formats.npz(name, payload, reader.wanted)
        return reader.from_arrays(name, arrays, ignored)
    if form == "netcdf":
        return reader.from_arrays(name, *containers.netcdf(name, payload, reader.wanted))
    raise ValueError(f"{name} can't be read as such data: bring {reader.takes}")


def unread(name: str, ignored: Iterable[str], lacking: Iterable[str]) -> list[str]:
    """A sentence that names the arrays of a file which nothing reads; none where there are no such arrays.

    Args:
        lacking: keys that are read and that the file lacks: what a misspelt one may have meant.
    """
    ignored, lacking = list(ignored), sorted(lacking)
    close = [word for key in ignored for word in get_close_matches(key.lower(), lacking, n=1, cutoff=0.75)]
    meant = f": did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""
    return [f"{', '.join(ignored)} in {name} ignored{meant}"] if ignored else []


def number_columns(name: str, table: Table, advice: str = "leave it out") -> tuple[dict[str, np.ndarray], list[str]]:
    """The columns of a table, all of numbers, and the names of those that nobody named, such as pandas' row numbers.

    Raises:
        ValueError: a column of anything else, with ``advice``.
    """
    ignored = nameless(table)
    columns = {key: np.asarray(column) for key, column in table.items() if key not in ignored}
    for key, column in columns.items():
        if column.dtype.kind not in "fiu":
            raise ValueError(f"the column {shown(key)} of {name} does not hold numbers: {advice}")
    return {key: column.astype(float) for key, column in columns.items()}, ignored


def answered(
    name: str, table: Table, word: str, needed: str, advice: str = "leave it out"
) -> tuple[dict[str, np.ndarray], tuple[str, np.ndarray], list[str]]:
    """A table in which one column answers to the others: these, that with its name, and what nobody named.

    Args:
        word: what the answer is called; the last column where none is.
        needed: what takes two columns, for the sentence.
        advice: where the answers are no numbers.
    """
    named = [key for key in table if key not in nameless(table)]
    if len(named) < 2:
        raise ValueError(f"{name} has {len(named)} column{'s' * (len(named) != 1)}, but {needed} need at least two")
    last = word if word in named else named[-1]
    columns, ignored = number_columns(name, {key: column for key, column in table.items() if key != last})
    return columns, (last, number_columns(name, {last: table[last]}, advice)[0][last]), ignored


def nameless(table: Iterable[str]) -> list[str]:
    """The columns that nobody named, such as pandas' row numbers: no coordinates."""
    return [label for label in table if not label or label.startswith(("Unnamed:", "__index_level_"))]


def real_numbers(what: str, array: Any) -> np.ndarray:
    """An array of real numbers: float32 and float64 as they are, others as float64.

    Raises:
        ValueError: objects, or what is no real number.
    """
    array = np.asarray(array)
    if array.dtype.kind == "O":
        raise ValueError(f"{what} holds Python objects, which are never loaded: save plain numbers")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} has the type {array.dtype}, but real numbers are needed")
    kept = array.dtype.itemsize if array.dtype.kind == "f" else 0
    return array.astype(np.dtype(f"=f{kept}") if kept in (4, 8) else np.float64, copy=False)
