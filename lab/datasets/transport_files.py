"""A transport problem out of what a user brings: arrays, a table or two, two pictures."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import cut, listed, shown

from . import formats, tables
from .colours import palette
from .data import Data
from .kinds import Kind, add_kind, nameless, one_file, real_numbers, unread
from .tables import Table
from .transport import colour_transfer, points

PAIRS_LIMIT = 4096**2
"""The most pairs of a source and a target: a cost matrix of 128 MiB in float64."""

_COLOURS = (2, 1024)
_SIDES = ("side", "group")
_WEIGHTS = ("weight", "mass")


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
) -> Data:
    """A transport problem from ``cost`` (m, n), or ``x`` (m, d) and ``y`` (n, d), or both, and optional ``a``, ``b``.

    Points (m,) are taken as (m, 1). A mass that is left out is uniform, of the total of the other, or of total 1.
    float32 and float64 are kept, other numbers become float64.

    Args:
        name: of the data, for sentences too.
        arrays: by name: ``cost`` (m, n), ``x`` (m, d) and ``y`` (n, d), masses ``a`` (m,) and ``b`` (n,).
        ignored: names of arrays that were there too; a notice tells of them.
        axes: labels, as of ``Data``.
        notices: what the user should know, one sentence each.

    Returns:
        the data.

    Raises:
        ValueError: arrays that are no transport problem; the sentence says where.

    Examples:
        >>> from lab import datasets
        >>> data = datasets.from_arrays("line", {"x": [0, 1], "y": [0, 1, 2, 3], "a": [1, 3]})
        >>> data.arrays["x"].shape, data.arrays["b"].tolist()  # uniform, of the total of a
        ((2, 1), [1.0, 1.0, 1.0, 1.0])
    """
    TRANSPORT.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", value) for key, value in arrays.items()}
    notices = [*notices, *unread(name, ignored, set(TRANSPORT.arrays) - set(given))]
    for key in ("x", "y"):
        if key in given and given[key].ndim == 1:
            given[key] = given[key][:, None]
    TRANSPORT.check_given(name, given)
    m, n = given["cost"].shape if "cost" in given else (len(given["x"]), len(given["y"]))
    dtype = given["cost" if "cost" in given else "x"].dtype
    total = next((float(given[key].sum()) for key in ("a", "b") if key in given), 1.0)
    given = {"a": np.full(m, total / m, dtype), "b": np.full(n, total / n, dtype)} | given
    if "x" in given:
        given |= points(given["x"], given["y"], given["a"], given["b"])
    return _data(name, name, given, axes or {}, notices)


def from_files(files: Sequence[tuple[str, bytes]], n: int | None, seed: int) -> Data:
    """A transport problem from one file, or from two that hold points or pictures: sources, then targets."""
    kinds = [formats.format_of(name, payload) for name, payload in files]
    if len(files) == 2:
        if kinds == ["image", "image"]:
            return from_pictures(files, n, seed)
        if set(kinds) <= {*tables.KINDS}:
            return _from_two_tables(files, kinds)
        raise ValueError(f"{files[0][0]} and {files[1][0]} are no pair: give two pictures, or two tables of points")
    if len(files) != 1:
        raise ValueError(f"{len(files)} files were given, but one file, two pictures or two tables are needed")
    if kinds == ["image"]:
        raise ValueError(f"{files[0][0]} is one picture, but colour transfer needs two: the source and the target")
    return one_file(TRANSPORT, files)


# -- tables ------------------------------------------------------------------------------------------------------------


class _Points(NamedTuple):
    values: np.ndarray  # (rows, columns)
    mass: np.ndarray | None
    labels: tuple[str, ...]
    ignored: list[str]


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """A transport problem out of a table of points, in which a column tells sources from targets."""
    column = _column(name, table, _SIDES)
    if column is None:
        raise ValueError(
            f"{name} does not tell sources from targets: add a column 'side' or 'group' with two values, or give two files"
        )
    side = table[column].tolist()
    if (bad := next((i for i, value in enumerate(side) if value is None or value != value), None)) is not None:
        raise ValueError(f"the column {column!r} of {name} is empty in row {bad + 1}")
    values = list(dict.fromkeys(side))
    if len(values) != 2:
        raise ValueError(f"the column {column!r} of {name} has {len(values)} different values, but two are needed")
    words = [str(value).strip().lower() for value in values]
    if words[1] == "source" or words[0] == "target":
        values.reverse()
    every = _points(name, {label: array for label, array in table.items() if label != column})
    first = np.array([value == values[0] for value in side])
    arrays = {"x": every.values[first], "y": every.values[~first]}
    if every.mass is not None:
        arrays |= {"a": every.mass[first], "b": every.mass[~first]}
    notice = f"sources have {column} = {cut(values[0], 40)}, targets {column} = {cut(values[1], 40)}"
    return from_arrays(name, arrays, every.ignored, {"x": every.labels}, [*notices, notice, *_near_mass(name, every)])


def _from_two_tables(files: Sequence[tuple[str, bytes]], kinds: Sequence[str]) -> Data:
    found = [tables.read(name, payload, kind) for (name, payload), kind in zip(files, kinds, strict=True)]
    x, y = (_points(name, table) for (name, _), (table, _) in zip(files, found, strict=True))
    if set(x.labels) != set(y.labels):
        raise ValueError(
            f"the points have different columns: {listed(x.labels, 60)} in {files[0][0]}, "
            f"but {listed(y.labels, 60)} in {files[1][0]}"
        )
    arrays = {"x": x.values, "y": y.values[:, [y.labels.index(label) for label in x.labels]]}
    arrays |= {key: side.mass for key, side in (("a", x), ("b", y)) if side.mass is not None}
    name = " and ".join(name for name, _ in files)
    notices = [*found[0][1], *found[1][1], *_near_mass(name, x)]
    return from_arrays(name, arrays, list(dict.fromkeys(x.ignored + y.ignored)), {"x": x.labels}, notices)


def _points(name: str, table: Table) -> _Points:
    """All columns are coordinates but the mass; ignored: a side that the files tell, pandas' row numbers, unnamed."""
    ignored = [*nameless(table), *(label for label in table if label.lower() in _SIDES)]
    table = {label: array for label, array in table.items() if label not in ignored}
    for label, array in table.items():
        if array.dtype.kind not in "fiu":
            example = next((shown(str(v)) for v in array.tolist() if not tables.is_number(str(v))), "no plain numbers")
            raise ValueError(
                f"the column {shown(label)} of {name} holds {example}, but numbers are needed: "
                "remove it, or call it 'side' if it tells sources from targets"
            )
        if not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array)))
            raise ValueError(
                f"the column {shown(label)} of {name} is {array[row]} in row {row + 1}: give a finite number"
            )
    weight = _column(name, table, _WEIGHTS)
    labels = tuple(label for label in table if label != weight)
    if not labels:
        raise ValueError(f"{name} has no column of coordinates")
    values = np.stack([table[label] for label in labels], axis=1)
    return _Points(values, table[weight] if weight else None, labels, ignored)


def _near_mass(name: str, points: _Points) -> list[str]:
    """What to say of coordinates that are called almost as masses are."""
    near = [label for label in points.labels if get_close_matches(label.lower(), _WEIGHTS, n=1, cutoff=0.75)]
    words = " or ".join(map(repr, _WEIGHTS))
    return [f"the column {label!r} of {name} is taken as a coordinate: masses are called {words}" for label in near]


def _column(name: str, table: Table, words: Sequence[str]) -> str | None:
    found = [label for label in table if label.lower() in words]
    if len(found) > 1:
        raise ValueError(f"{name} has the columns {' and '.join(found)}, but one of them is enough")
    return found[0] if found else None


# -- pictures ----------------------------------------------------------------------------------------------------------


def from_pictures(files: Sequence[tuple[str, bytes]], n: int | None, seed: int) -> Data:
    """The transport between the colours of two pictures, ``n`` colours each or as many as a picture has."""
    low, high = _COLOURS
    n = 64 if n is None else n
    if isinstance(n, bool) or not isinstance(n, Integral) or not low <= n <= high:
        raise ValueError(f"n = {shown(n)}, but the number of colours must be a whole number from {low} to {high}")
    found, notices = [], []
    for name, payload in files:
        image, notes = formats.picture(name, payload)
        colours = palette(image, int(n), seed)
        if colours.distinct == 1:
            raise ValueError(f"{name} has a single colour, so that there is nothing to transport: give another picture")
        if colours.distinct < n:
            notices.append(f"{name} has only {colours.distinct} colours, fewer than n = {n}: all of them are taken")
        found.append(colours)
        notices += notes
    names = [name for name, _ in files]
    arrays, axes = colour_transfer(*found)
    return _data(" and ".join(names), f"Colours of {names[0]} to colours of {names[1]}", arrays, axes, notices)


def _data(
    name: str, title: str, arrays: Mapping[str, np.ndarray], axes: Mapping[str, Any], notices: Sequence[str]
) -> Data:
    return Data(name, title, "transport", arrays, "brought by the user", "the user's", axes, tuple(notices))


# -- the kind ----------------------------------------------------------------------------------------------------------


def _values(name: str, given: Mapping[str, np.ndarray]) -> None:
    """Refuse one cloud without the other, more pairs than are taken, and masses that are none or differ in all."""
    if ("x" in given) != ("y" in given):
        raise ValueError(f"{name} has {'x' if 'x' in given else 'y'} alone, but points need both x and y")
    m, n = given["cost"].shape if "cost" in given else (len(given["x"]), len(given["y"]))
    if m * n > PAIRS_LIMIT:
        raise ValueError(
            f"{name} has {m:,} sources and {n:,} targets, which is {m * n:,} pairs, but at most {PAIRS_LIMIT:,} "
            "(4096 x 4096) are taken: keep a random sample of the points"
        )
    for key in ("a", "b"):
        mass = given.get(key, np.ones(1))
        bad = np.flatnonzero(mass < 0)
        if len(bad):
            entries = ", ".join(f"{key}[{i}] = {mass[i]:.6g}" for i in bad[:3])
            rest = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            raise ValueError(f"{entries}{rest} in {name}, but every mass must be a finite number of at least 0")
        if not mass.any():
            raise ValueError(f"{key} in {name} is zero throughout, but at least one mass must be positive")
    if {"a", "b"} <= set(given):
        total_a, total_b = (float(given[key].sum(dtype=float)) for key in ("a", "b"))
        if abs(total_a - total_b) > 1e-6 * max(total_a, total_b):
            raise ValueError(
                f"the masses in {name} differ: sum(a) = {total_a:.9g} but sum(b) = {total_b:.9g}; "
                "rescale one so that they agree"
            )


TRANSPORT = add_kind(
    Kind(
        "transport",
        {"cost": ("m", "n"), "x": ("m", "d"), "y": ("n", "d"), "a": ("m",), "b": ("n",)},
        needed=(("x", "y"), ("cost",)),
        made=("a", "b"),
        from_arrays=from_arrays,
        takes=".npz, .npy, .csv, .parquet, .feather, .nc, one or two pictures",
        dims={"m": "sources", "n": "targets", "d": "coordinates"},
        values=_values,
        from_table=from_table,
        bare={1: ("cost",), 2: ("x", "y"), 3: ("cost", "a", "b"), 4: ("x", "y", "a", "b")},
        from_files=from_files,
        pictures=(2, 2),
        clouds=2,
    )
)
