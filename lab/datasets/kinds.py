"""Kinds of data: what arrays one has, how they are checked, what is read as it, and what a study may need of it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import listed, shown

from . import containers, formats, tables
from .data import Data
from .tables import Table

type Files = Sequence[tuple[str, bytes]]  # names and contents
type Shape = tuple[str | int, ...]
"""Dimensions by name, or of a given size: ``("n", "d")``, ``("n", 2)``."""


class Trait(NamedTuple):
    """What data of a kind may have beyond a single array.

    Attributes:
        has: whether data with arrays of these names have it.
        lacks: what to say of data without it, as the begin of a sentence with ``{name}``.
        advice: what to do about one's own data, as its end.
    """

    has: Callable[[Collection[str]], bool]
    lacks: str
    advice: str


class Needs:
    """What a study needs of its kind of data: ``Needs("classes", "source density", d=2, n=(2, 5000))``.

    Args:
        has: arrays and traits of the kind.
        sizes: for a dimension of the kind its size, or the least and the most, None where there is no end.
    """

    def __init__(self, *has: str, **sizes: int | tuple[int | None, int | None]):
        self.has = has
        self.sizes = {dim: size if isinstance(size, tuple) else (size, size) for dim, size in sizes.items()}

    def __bool__(self) -> bool:
        return bool(self.has or self.sizes)


NOTHING = Needs()


def _nothing(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """The shapes say all."""


@dataclass(frozen=True)
class Kind:
    """A kind of data: its arrays, and how it comes in.

    Attributes:
        name: what a study and a set call it.
        arrays: what each array is, in the order of sentences: one shape, or a list of those that it may have. They are what is
            read of a ``.npz``, ``.nc`` or ``.zarr``, of a dict or Dataset; others are ignored with a notice. Dimensions of one
            name must agree.
        needed: the arrays without which there are no such data, in each way that there is; that of most sets first.
        from_arrays: makes data of ``(name, arrays, ignored)``.
        takes: what may be brought, in a few words.
        made: arrays that all such data have but that may be left out of a file: they are made then.
        dims: what the dimensions count, for sentences: ``{"n": "samples"}``.
        traits: what a study may need beyond arrays and sizes, by name.
        values: ``(name, arrays)``; refuses values that are none, where shapes fit and all is finite.
        inner: arrays of named sets that no file brings.
        aliases: other names under which a file may have an array.
        from_table: makes data of ``(name, columns, notices)``, where tables are read.
        bare: what arrays are that come without names, by how many there are: ``{1: ("cost",), 2: ("x", "y")}``.
        from_files: makes data of ``(files, n, seed)``, where ``one_file`` does not do.
        pictures: how many a folder may hold, at least and at most; (0, 0) where pictures are not read.
        clouds: how many clouds of points in the plane, a ``.csv`` each, are such data: what one can draw by hand.
    """

    name: str
    arrays: Mapping[str, Shape | list[Shape]]
    needed: tuple[tuple[str, ...], ...]
    from_arrays: Callable[..., Data]
    takes: str
    made: tuple[str, ...] = ()
    dims: Mapping[str, str] = MappingProxyType({})
    traits: Mapping[str, Trait] = MappingProxyType({})
    values: Callable[[str, Mapping[str, np.ndarray]], None] = _nothing
    inner: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    from_table: Callable[[str, Table, Sequence[str]], Data] | None = None
    bare: Mapping[int, tuple[str, ...]] = MappingProxyType({})
    from_files: Callable[[Files, int | None, int], Data] | None = None
    pictures: tuple[int, int] = (0, 0)
    clouds: int = 0

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of arrays that are read."""
        return (*(key for key in self.arrays if key not in self.inner), *self.aliases)

    @property
    def usual(self) -> tuple[str, ...]:
        """The arrays of data that have no others."""
        return (*self.needed[0], *self.made)

    def read(self, files: Files, n: int | None, seed: int) -> Data:
        """The data of some files that belong together."""
        return one_file(self, files) if self.from_files is None else self.from_files(files, n, seed)

    def told(self, *keys: str) -> str:
        """``x (n, d), y (n,)``: arrays with their shapes."""
        return ", ".join(f"{key} {' or '.join(map(_written, _shapes(self.arrays[key])))}" for key in keys)

    def check(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse arrays that are no such data, whole as ``Data`` holds them.

        Raises:
            ValueError: an array is missing or none of finite numbers, its dimensions do not agree with those of others, or its
                values are none of this kind; the sentence says where.
        """
        self.check_there(name, arrays)
        if missing := [key for key in self.made if key not in arrays]:
            raise ValueError(f"{name} has no {' and no '.join(missing)}, but data of kind {self.name} always have them")
        self.check_given(name, arrays)

    def check_there(self, name: str, keys: Iterable[str]) -> None:
        """Refuse what lacks an array that nothing can be made without."""
        keys = list(keys)
        if not any(set(way) <= {*keys} for way in self.needed):
            ways = [way for way in self.needed if not {*way} & {*self.inner}]
            there, rest = listed(keys) or "nothing", ""
            if len(ways) == 1:
                there, rest = f"no {' and no '.join(key for key in ways[0] if key not in keys)}", there
            needed = ", or ".join(self.told(*way) for way in ways)
            needed += f" {'is' if len(ways[0]) == 1 else 'are'} needed" + (f"; it has {rest}" if rest else "")
            raise ValueError(f"{name} has {there}, but {needed}")

    def check_given(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse types, shapes and values that are none of this kind; what ``made`` adds may still be missing."""
        for key, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{key} in {name} has the type {array.dtype}, but real numbers are needed")
        self.sizes(name, arrays)
        for key, array in arrays.items():
            _finite(f"{key} in {name}", array)
            _squarable(f"{key} in {name}", array)
        self.values(name, arrays)

    def sizes(self, name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
        """How large each dimension is.

        Raises:
            ValueError: a shape that is none of the declared ones, or dimensions of one name that do not agree.
        """
        sizes: dict[str, int] = {}
        known: dict[str, str] = {}  # the array that a size is known from
        for key in (key for key in self.arrays if key in arrays):
            shape, shapes = arrays[key].shape, _shapes(self.arrays[key])
            fits = next((each for each in shapes if _fits(shape, each, sizes)), None)
            if fits is None:
                needed = " or ".join(map(_written, shapes)) + (", none of them 0," if 0 in shape else "")
                here = [dim for dim in sizes if any(dim in each for each in shapes)]
                why = "".join(f", and {known[dim]} has {self._counted(dim, sizes[dim])}" for dim in here)
                raise ValueError(f"{key} in {name} has shape {shape}, but {needed} is needed{why}")
            for dim, size in zip(fits, shape, strict=True):
                if isinstance(dim, str) and dim not in sizes:
                    sizes[dim], known[dim] = size, key
        return sizes

    def _counted(self, dim: str, size: int) -> str:
        return f"{dim} = {size:,} {self.dims.get(dim, '')}".rstrip()

    def flaw(self, needs: Needs) -> str:
        """What can't be needed of this kind, as the end of a sentence; "" when all can."""
        of = {dim for shapes in self.arrays.values() for each in _shapes(shapes) for dim in each}
        unknown = [each for each in needs.has if each not in self.arrays and each not in self.traits]
        unknown += [dim for dim in needs.sizes if dim not in of]
        if not unknown:
            return ""
        known = [*self.arrays, *self.traits, *sorted(dim for dim in of if isinstance(dim, str))]
        return f"{shown(unknown[0])}, which data of kind {self.name} do not have: they have {', '.join(known)}"

    def lacks(self, needs: Needs, name: str, keys: Collection[str], sizes: Mapping[str, int]) -> tuple[str, str]:
        """What such data lack of what is needed, and what to do about data of one's own; ("", "") where they lack nothing.

        Args:
            keys: the names of their arrays.
            sizes: of their dimensions, as far as they are known.
        """
        for each in needs.has:
            trait = self.traits.get(each)
            if trait is None and each not in keys:
                return f"{name} has no {each}, but {self.told(each)} is needed here", f"add {each}"
            if trait is not None and not trait.has(keys):
                return f"{trait.lacks.format(name=name)} is needed here", trait.advice
        for dim, (low, high) in needs.sizes.items():
            size = sizes.get(dim)
            if size is None:
                continue
            if not (low is None or low <= size) or not (high is None or size <= high):
                advice = "give more of them" if low is not None and size < low else "keep fewer of them"
                return f"{name} has {self._counted(dim, size)}, but {_span(low, high)} are taken here", advice
        return "", ""


def _span(low: int | None, high: int | None) -> str:
    """``at least 2``, ``2 to 5,000``: sizes that are taken."""
    if low is None:
        return f"at most {high:,}"
    if high is None:
        return f"at least {low:,}"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _shapes(given: Shape | list[Shape]) -> list[Shape]:
    return given if isinstance(given, list) else [given]


def _written(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _fits(shape: tuple[int, ...], declared: Shape, sizes: Mapping[str, int]) -> bool:
    if len(shape) != len(declared) or 0 in shape:
        return False
    here: dict[str | int, int] = {**sizes}
    return all(
        size == (dim if isinstance(dim, int) else here.setdefault(dim, size))
        for dim, size in zip(declared, shape, strict=True)
    )


def _finite(what: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        where = "row {}, column {}".format(*place) if len(place) == 2 else f"entry {', '.join(map(str, place))}"
        raise ValueError(
            f"{what} is {array[tuple(place)]} at {where}: every entry must be finite, so fill it in or leave it out"
        )


_SQUARABLE = 1e75
"""Fourth powers of numbers up to this, and sums of 10^8 of them, are finite in double precision, in which studies compute;
squares of the inverse are not yet 0."""


def _squarable(what: str, array: np.ndarray) -> None:
    """Refuse numbers whose squares or sums are infinite, and arrays of nothing but numbers whose squares are 0."""
    if array.dtype.kind != "f":
        return
    largest = float(np.abs(array).max())
    if largest > _SQUARABLE:
        wrong, limit = "its squares would be infinite", f"a magnitude of at most {_SQUARABLE:g}"
    elif 0 < largest < 1 / _SQUARABLE:
        wrong, limit = "its squares would be 0", f"a largest magnitude of at least {1 / _SQUARABLE:g}, or 0"
    else:
        return
    raise ValueError(
        f"{what} has numbers of magnitude {largest:.6g}, but {limit} is needed: {wrong}; choose another unit"
    )


_kinds: dict[str, Kind] = {}


def add_kind(kind: Kind) -> Kind:
    """Let there be data of this kind; one of the same name is replaced.

    Args:
        kind: its arrays, and how it comes in.

    Returns:
        the same kind.

    Examples:
        >>> from lab import datasets
        >>> kind = datasets.kind_named("transport")
        >>> datasets.add_kind(kind) is kind
        True
    """
    _kinds[kind.name] = kind
    return kind


def is_kind(name: str) -> bool:
    """Whether a kind of that name is declared.

    Args:
        name: what a study and a set call it.

    Returns:
        True where it is.

    Examples:
        >>> from lab import datasets
        >>> datasets.is_kind("transport"), datasets.is_kind("weather")
        (True, False)
    """
    return name in _kinds


def kind_named(name: str) -> Kind:
    """The declared kind of that name.

    Args:
        name: what a study and a set call it.

    Returns:
        the kind.

    Raises:
        ValueError: there is none.

    Examples:
        >>> from lab import datasets
        >>> datasets.kind_named("transport").bare[2]  # what two arrays without names are
        ('x', 'y')
    """
    if name not in _kinds:
        raise ValueError(f"files are read as data of kind {', '.join(_kinds)}, not {name}")
    return _kinds[name]


def one_file(kind: Kind, files: Files) -> Data:
    r"""The data of one file of arrays, or of a table where the kind has them.

    Args:
        kind: of the data.
        files: names and contents, of which there must be one.

    Returns:
        the data, checked.

    Raises:
        ValueError: any other file, or more than one.

    Examples:
        >>> from lab import datasets
        >>> table = b"side,u,v\nsource,0,0\ntarget,1,0\ntarget,0,1\n"
        >>> datasets.one_file(datasets.kind_named("transport"), [("three.csv", table)]).arrays["y"].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if len(files) != 1:
        raise ValueError(f"{len(files)} files were given, but {kind.takes} is needed")
    ((name, payload),) = files
    form = formats.format_of(name, payload)
    if form in tables.KINDS and kind.from_table:
        return kind.from_table(name, *tables.read(name, payload, form))
    if form == "npy" and 1 in kind.bare:
        (key,) = kind.bare[1]
        return kind.from_arrays(name, {key: formats.npy(name, payload)}, ())
    if form == "npz":
        arrays, ignored, _ = formats.npz(name, payload, kind.wanted)
        return kind.from_arrays(name, arrays, ignored)
    if form == "netcdf":
        return kind.from_arrays(name, *containers.netcdf(name, payload, kind.wanted))
    raise ValueError(f"{name} can't be read as such data: bring {kind.takes}")


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
