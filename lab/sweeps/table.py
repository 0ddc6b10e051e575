"""Cells to one Dataset with a dimension more for each swept parameter."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import Parameter


def merge(
    cells: Sequence[xr.Dataset | None], grid: Mapping[str, list[Any]], parameters: Mapping[str, Parameter]
) -> xr.Dataset:
    """The cells of a grid, in the order of ``itertools.product``, as one Dataset; None becomes NaN.

    Where cells have other sizes than their neighbours (a trace that ended earlier, data of another size) NaN fills up.
    """
    shape = tuple(len(values) for values in grid.values())
    there = [cell for cell in cells if cell is not None]
    longest = _counted(there)
    merged = _stacked(cells, longest, shape, tuple(grid)) if longest is not None else _joined(cells, shape, tuple(grid))
    for name, values in grid.items():
        parameter = parameters[name]
        attrs = {"long_name": parameter.label or name, "units": parameter.unit, "scale": parameter.scale}
        merged = merged.assign_coords({name: (name, np.asarray(values), attrs)})
    for name in merged.variables:
        if name not in grid:
            merged[name].attrs = next(cell[name].attrs for cell in there if name in cell.variables)
    return merged


def _counted(cells: Sequence[xr.Dataset]) -> dict[str, xr.DataArray] | None:
    """By dimension the longest coordinate, if all others are the beginning of it; else None."""
    longest: dict[str, xr.DataArray] = {}
    for cell in cells:
        for dim in map(str, cell.dims):
            if dim not in longest or cell.sizes[dim] > longest[dim].size:
                longest[dim] = cell[dim]
    for cell in cells:
        if any(str(name) not in longest for name in cell.coords):
            return None
        for dim in map(str, cell.dims):
            if not np.array_equal(cell[dim].values, longest[dim].values[: cell.sizes[dim]]):
                return None
    return longest


def _stacked(
    cells: Sequence[xr.Dataset | None], longest: Mapping[str, xr.DataArray], shape: tuple, swept: tuple
) -> xr.Dataset:
    names = dict.fromkeys(chain.from_iterable(cell.data_vars for cell in cells if cell is not None))
    variables = {}
    for name in names:
        parts = [None if cell is None or name not in cell else cell.variables[name] for cell in cells]
        first = next(part for part in parts if part is not None)
        inner = tuple(longest[str(dim)].size for dim in first.dims)
        ragged = any(part is None or part.shape != inner for part in parts)
        dtype = np.result_type(*{part.dtype for part in parts if part is not None})
        if ragged and dtype.kind in "iub":
            dtype = np.dtype(float)
        out = (
            np.full((len(cells), *inner), "" if dtype.kind in "OU" else np.nan, dtype)
            if ragged
            else np.empty((len(cells), *inner), dtype)
        )
        for at, part in enumerate(parts):
            if part is not None:
                out[(at, *map(slice, part.shape))] = part.values
        variables[name] = ((*swept, *first.dims), out.reshape(*shape, *inner))
    return xr.Dataset(variables, {dim: coord.variable for dim, coord in longest.items()})


def _joined(cells: Sequence[xr.Dataset | None], shape: tuple, swept: tuple) -> xr.Dataset:
    """The general case: coordinates differ, so that labels decide what belongs together."""
    first = next(cell for cell in cells if cell is not None)
    empty = first.map(lambda v: xr.full_like(v, np.nan, float) if v.dtype.kind in "iubf" else xr.full_like(v, ""))
    table = np.empty(len(cells), object)
    for at, cell in enumerate(cells):  # an assignment at once would ask each Dataset for an array
        table[at] = empty if cell is None else cell
    joined = xr.combine_nested(
        table.reshape(shape).tolist(), concat_dim=list(swept), combine_attrs="drop", join="outer",
        coords="different", compat="equals", data_vars="all",
    )  # fmt: skip
    return joined.transpose(*swept, ...)
