"""What is asked of a result: its parameters, whether it is one run or a sweep, and of which of its cells something is said."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice, product
from traceback import walk_tb
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data

from .parameters import Parameter, as_text

CELL_ERROR = "cell_error"  # the variable of a sweep that states why a cell is empty


def parameters(result: xr.Dataset) -> dict[str, Any]:
    """The values that the run, or the first cell of a sweep, was made with."""
    return json.loads(result.attrs["parameters"])


def swept(result: xr.Dataset) -> list[str]:
    """The parameters that the result is a sweep over."""
    told = result.attrs.get("parameters")
    return [name for name in json.loads(told) if name in result.dims] if isinstance(told, str) else []


def absent(problem: AttributeError | KeyError | ValueError) -> str:
    """The variable or dimension that a Dataset was asked for in vain; "" where xarray did not raise the error."""
    frame = [frame for frame, _ in walk_tb(problem.__traceback__)][-1]
    if not frame.f_globals.get("__name__", "").startswith("xarray."):
        return ""
    if isinstance(problem, AttributeError):
        return str(problem.name)
    found = re.match(
        r"(?:No variable named|Dimensions) \W*(\w+)|'(\w+)' is not a valid dimension", str(problem.args[0])
    )
    return found[1] or found[2] if found else str(problem.args[0]) if isinstance(problem, KeyError) else ""


def coordinate(name: str, parameter: Parameter, values: Sequence[Any]) -> tuple[str, np.ndarray, dict[str, str]]:
    """The coordinate of a swept parameter: dimension, values, attributes."""
    attrs = {"long_name": parameter.label or name, "units": parameter.unit, "scale": parameter.scale}
    told = names(values)
    return name, np.asarray(told, object if None in told else None), attrs


def names(values: Sequence[Any]) -> list[Any]:
    """The values as plain JSON has them; data have a name, and a number where several have the same."""
    told = [value.name if isinstance(value, Data) else value for value in values]
    told = [value.item() if isinstance(value, np.generic) else value for value in told]
    return [
        f"{name} ({told[:at].count(name) + 1})" if isinstance(value, Data) and told.count(name) > 1 else name
        for at, (name, value) in enumerate(zip(told, values, strict=True))
    ]


def single(result: xr.Dataset) -> str:
    """For ``Picture.applies``: what is in the way of drawing one run; "" when nothing is."""
    names = swept(result)
    return f"it shows one run, and this is a sweep over {', '.join(names)}: choose one value" if names else ""


def cell_text(cell: Mapping[str, Any]) -> str:
    """Which cell of a sweep: ``k = 2, gamma = 0.1``."""
    return ", ".join(f"{name} = {as_text(value)}" for name, value in cell.items())


def advice(said: Mapping[int, str], grid: Mapping[str, Sequence[Any]]) -> str:
    """The first advice among that of some cells, with the cell it is of; "" where nothing is said.

    Args:
        said: advice by the place of the cell in ``itertools.product`` of the grid.
    """
    with_advice = [place for place, text in said.items() if text]
    if not with_advice:
        return ""
    first = with_advice[0]
    cell = dict(zip(grid, next(islice(product(*grid.values()), first, None)), strict=True))
    more = f" (the first of {len(with_advice)} cells with advice)" if len(with_advice) > 1 else ""
    return f"At {cell_text(cell)}{more}: {said[first]}"


def values_text(values: Sequence[Any]) -> str:
    """All values of a swept parameter; of many, the ends and how many there are."""
    told = [as_text(value) for value in values]
    return ", ".join(told) if len(told) <= 20 else f"{', '.join(told[:3])}, ..., {told[-1]} ({len(told)} values)"
