"""What is asked of a result: its parameters, whether it is one run or a sweep, and of which of its cells something is said."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice, product
from typing import Any

import xarray as xr

from .parameters import as_text


def parameters(result: xr.Dataset) -> dict[str, Any]:
    """The values that the run, or the first cell of a sweep, was made with."""
    return json.loads(result.attrs["parameters"])


def swept(result: xr.Dataset) -> list[str]:
    """The parameters that the result is a sweep over."""
    return [name for name in parameters(result) if name in result.dims]


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
