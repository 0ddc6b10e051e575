"""Data out of what one has in Python: arrays, tables, a Dataset, a problem of ``ott``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import tables
from .data import Data
from .kinds import Kind, kind_named


def held(given: Any, kind: str = "transport") -> Data:
    """Data of a kind out of objects at hand, checked as those of a file are; arrays are copied.

    Args:
        given: ``Data`` as it is; a dict or an xarray Dataset with the arrays by the names that files of this kind use; one
            array, or a tuple of arrays in the order of ``Kind.bare``, as ``(x, y)``; a DataFrame of pandas, or what has
            ``to_pandas``; an ``ott`` geometry or linear problem, as transport.
        kind: the name of the kind.

    Returns:
        the data.

    Raises:
        ValueError: these are no such data, in a sentence.
        TypeError: it is none of these.

    Examples:
        >>> from lab import datasets
        >>> datasets.held([[0.0, 1.0], [1.0, 0.0]]).arrays["a"].tolist()  # a cost; its masses are uniform
        [0.5, 0.5]
    """
    if isinstance(given, Data):
        return given
    import pandas as pd
    import xarray as xr

    known = kind_named(kind)
    if type(given).__module__.partition(".")[0] == "ott" and kind == "transport":
        return _of_ott(given, known)
    if isinstance(given, xr.DataArray):
        given = given.values
    elif isinstance(given, xr.Dataset):
        return _named("your Dataset", {str(key): given[key].values for key in given.variables}, known)
    elif isinstance(given, Mapping):
        return _named("your dict", given, known)
    elif not isinstance(given, pd.DataFrame) and hasattr(given, "to_pandas"):
        given = given.to_pandas()
    if isinstance(given, pd.DataFrame):
        if known.from_table is None:
            raise ValueError(f"a table can't be read as such data: bring {known.takes}")
        return known.from_table("your table", tables.columns("your table", given), ())
    arrays = given if isinstance(given, tuple) else (given,)
    if not all(hasattr(array, "__array__") or isinstance(array, list) for array in arrays):
        raise TypeError(
            f"data of the type {type(given).__name__} can't be taken: give the name of a data set, a path, arrays, a dict of "
            "arrays, a DataFrame, a Dataset or a lab.datasets.Data"
        )
    if len(arrays) not in known.bare:
        ways = " or ".join(f"({', '.join(names)})" for names in known.bare.values())
        told = f"arrays without names are {ways} here" if ways else "arrays need their names here"
        raise ValueError(
            f"{len(arrays)} array{'s were' if len(arrays) > 1 else ' was'} given, but {told}; a dict may have "
            f"{', '.join(known.wanted)}"
        )
    return _named("your arrays", dict(zip(known.bare[len(arrays)], arrays, strict=True)), known)


def _named(name: str, arrays: Mapping[str, Any], kind: Kind) -> Data:
    wanted = {key: _copied(f"{key} in {name}", arrays[key]) for key in arrays if key in kind.wanted}
    return kind.from_arrays(name, wanted, [str(key) for key in arrays if key not in kind.wanted])


def _copied(what: str, given: Any) -> np.ndarray:
    """An array of its own: what the user changes later is theirs."""
    if np.ma.is_masked(given):
        raise ValueError(f"{what} has masked entries: fill them in, or leave them out")
    try:
        return np.array(given)
    except (ValueError, TypeError):
        raise ValueError(f"{what} is no array: its rows have unlike lengths, or it holds what is no number") from None


def _of_ott(given: Any, kind: Kind) -> Data:
    from lab.ot import geometry

    problem, epsilon, relaxed = geometry.from_ott(given)
    if relaxed is not None:
        raise ValueError("the ott problem relaxes its marginals (tau below 1): lab.ot.solve takes it, a study does not")
    arrays = {"a": problem.a, "b": problem.b}
    if isinstance(problem, geometry.Cloud):
        arrays |= {"x": problem.x, "y": problem.y}
        if (problem.power, problem.norm, float(problem.scale)) != (2.0, 2.0, 1.0):  # not what data without costs have
            arrays["cost"] = problem.dense().cost
    else:
        arrays["cost"] = problem.cost
    notice = f"the epsilon = {epsilon:.6g} of your ott problem is not taken: set what the study has"
    return kind.from_arrays(
        "your ott problem", {key: np.array(array) for key, array in arrays.items()}, notices=[notice]
    )
