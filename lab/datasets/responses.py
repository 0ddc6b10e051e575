"""What is approximated: named functions, which are known everywhere, and tables of points with the values there.

Arrays of kind ``response``: either ``formula``, the name of a function as bytes, whose formula is
``lab.sampling.responses.FUNCTIONS[name]``; or ``x`` (N, d), points, and ``y`` (N,), values. ``axes["x"]`` names the columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.inputs import shown

from . import packaged
from .data import Data
from .readers import Reader, add_reader, answered, real_numbers, unread
from .registry import register
from .tables import Table

KIND = "response"
ROWS, COLUMNS = 20_000, 200
"""The most that a table may have."""

FUNCTIONS = {
    "runge": ("Runge's function", "1 / (1 + 25 |x|²): smooth, but hard for polynomials."),
    "distance": ("Distance from the origin", "|x|: continuous, with a corner."),
    "bell": ("A broad bell", "1 / (1 + |x|²), for the whole line."),
    "waves": ("Waves", "exp Σ sin 2πxᵢ: smooth and of period 1, for Fourier functions."),
    "jump": ("A jump", "1 where the coordinates sum to more than 0.3, else 0."),
    "ridge": ("A ridge", "tanh 3 Σ xᵢ: varies along one direction."),
    "cubic": ("A cubic polynomial", "Σ xᵢ³ - xᵢ: lies in the space from 4 polynomials of one variable on."),
}
"""Title and summary by name."""


def _register(name: str, title: str, summary: str) -> None:
    def build() -> dict[str, Any]:
        return {"arrays": {"formula": np.frombuffer(name.encode(), np.uint8)}}

    register(name=name, title=title, kind=KIND, summary=summary)(build)


for _name, (_title, _summary) in FUNCTIONS.items():
    _register(_name, _title, _summary)


@register(
    name="diabetes-progression",
    title="Progression of diabetes",
    kind=KIND,
    summary="442 patients with ten measurements each, and how far their disease had gone a year later.",
    source=packaged.FILES["diabetes"].source,
    licence=packaged.FILES["diabetes"].licence,
    real=True,
    raw=packaged.hashes("diabetes", "diabetes-target"),
)
def diabetes() -> dict[str, Any]:
    x, y = (packaged.content(key) for key in ("diabetes", "diabetes-target"))
    names = ("age", "sex", "body mass index", "blood pressure", *(f"serum {k}" for k in range(1, 7)))
    arrays = {"x": np.array(x.split(), float).reshape(-1, 10), "y": np.array(y.split(), float)}
    return {"arrays": arrays, "axes": {"x": names, "y": "progression"}}


def function_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of the function, "" for a table."""
    return bytes(np.asarray(arrays["formula"], np.uint8)).decode() if "formula" in arrays else ""


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
) -> Data:
    """A table out of ``x`` (N, d) and ``y`` (N,).

    Raises:
        ValueError: arrays that are none; the sentence says where.
    """
    given = {key: real_numbers(f"{key} in {name}", arrays[key]).astype(float) for key in ("x", "y") if key in arrays}
    if set(given) != {"x", "y"}:
        raise ValueError(f"{name} has {', '.join([*given, *ignored]) or 'nothing'}, but x (N, d) and y (N,) are needed")
    if given["x"].ndim == 1:
        given["x"] = given["x"][:, None]
    check(name, given)
    notes = [*notices, *unread(name, ignored, ())]
    return Data(name, name, KIND, given, "brought by the user", "the user's", dict(axes or {}), tuple(notes))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """A table: its column ``y`` (or the last one) holds the values, all others coordinates."""
    columns, (last, y), ignored = answered(name, table, "y", "coordinates and a value")
    notes = (*notices, f"The values are those of the column {shown(last)}")
    x = np.stack(list(columns.values()), axis=1)
    return from_arrays(name, {"x": x, "y": y}, ignored, {"x": tuple(columns), "y": last}, notes)


def check(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that are no such data."""
    if "formula" in arrays:
        if arrays["formula"].dtype != np.uint8 or function_of(arrays) not in FUNCTIONS:
            raise ValueError(f"{name} names no function that is known: choose one of {', '.join(FUNCTIONS)}")
        return
    x, y = arrays.get("x"), arrays.get("y")
    if x is None or y is None or x.ndim != 2 or 0 in x.shape or y.shape != (len(x),):
        shapes = f"{None if x is None else x.shape} and y {None if y is None else y.shape}"
        raise ValueError(f"x in {name} has shape {shapes}, but (N, d) and (N,) are needed: a value for each row")
    if len(x) < 2 or len(x) > ROWS or x.shape[1] > COLUMNS:
        raise ValueError(
            f"{name} has {len(x):,} row{'s' * (len(x) != 1)} of {x.shape[1]} columns, but 2 to {ROWS:,} "
            f"rows of at most {COLUMNS} columns are taken"
        )
    for key, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{key} in {name} holds what is no finite number: leave these rows out, or fill them in")


READER = Reader(
    ("x", "y"),
    from_arrays,
    check,
    ".csv, .parquet or .feather with coordinates and, last, a value in each row, or .npz, .nc with x and y",
    from_table=from_table,
    bare={2: ("x", "y")},
)
add_reader(KIND, READER)
