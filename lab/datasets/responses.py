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
from .kinds import Kind, add_kind, answered, real_numbers, unread
from .registry import register
from .tables import Table

KIND = "response"
_TABLE = ("x", "y")
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

    register(name=name, title=title, kind=KIND, summary=summary, has=("formula",))(build)


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
    sizes={"n": 442, "d": 10},
    raw=packaged.hashes("diabetes", "diabetes-target"),
)
def diabetes() -> dict[str, Any]:
    """Ten measurements ``x`` of each of 442 patients, and the progression ``y`` of their disease."""
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
    RESPONSE.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", arrays[key]).astype(float) for key in _TABLE}
    if given["x"].ndim == 1:
        given["x"] = given["x"][:, None]
    RESPONSE.check(name, given)
    notes = [*notices, *unread(name, ignored, ())]
    return Data(name, name, KIND, given, "brought by the user", "the user's", dict(axes or {}), tuple(notes))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """A table: its column ``y`` (or the last one) holds the values, all others coordinates."""
    columns, (last, y), ignored = answered(name, table, "y", "coordinates and a value")
    notes = (*notices, f"The values are those of the column {shown(last)}")
    x = np.stack(list(columns.values()), axis=1)
    return from_arrays(name, {"x": x, "y": y}, ignored, {"x": tuple(columns), "y": last}, notes)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse functions that are not known, and tables of too few or too many rows and columns."""
    if "formula" in arrays:
        if function_of(arrays) not in FUNCTIONS:
            raise ValueError(f"{name} names no function that is known: choose one of {', '.join(FUNCTIONS)}")
        return
    rows, columns = arrays["x"].shape
    if not 2 <= rows <= ROWS or columns > COLUMNS:
        raise ValueError(
            f"{name} has {rows:,} row{'s' * (rows != 1)} of {columns} columns, but 2 to {ROWS:,} "
            f"rows of at most {COLUMNS} columns are taken"
        )


RESPONSE = add_kind(
    Kind(
        KIND,
        {"x": ("n", "d"), "y": ("n",), "formula": ("letters",)},
        needed=(_TABLE, ("formula",)),
        from_arrays=from_arrays,
        takes=".csv, .parquet or .feather with coordinates and, last, a value in each row, or .npz, .nc with x and y",
        inner=("formula",),
        dims={"n": "rows", "d": "coordinates"},
        values=_values,
        from_table=from_table,
        bare={2: ("x", "y")},
    )
)
