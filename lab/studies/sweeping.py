"""What pictures ask of a result: its parameters, and whether it is one run or a sweep."""

import json
from typing import Any

import xarray as xr


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
