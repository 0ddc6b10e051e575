"""Cells to one Dataset with a dimension more for each swept parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.store import unpack
from lab.store.packing import CELL, absences, own_dims
from lab.studies import Parameter
from lab.studies.contract import sweeping


def merge(
    packed: xr.Dataset, places: Sequence[int], grid: Mapping[str, list[Any]], parameters: Mapping[str, Parameter]
) -> xr.Dataset:
    """The packed cells at their places in a grid, in the order of ``itertools.product``, as one Dataset.

    NaN fills up where a cell is missing, or has another size than its neighbours (a trace that ended earlier, data of
    another size).
    """
    shape, swept = tuple(len(values) for values in grid.values()), tuple(grid)
    table = _Table(packed, list(places), shape, swept)
    merged = table.joined() if own_dims(packed) else table.stacked()
    coords = {name: sweeping.coordinate(name, parameters[name], values) for name, values in grid.items()}
    return merged.assign_coords(coords)


class _Table:
    def __init__(self, packed: xr.Dataset, places: list[int], shape: tuple[int, ...], swept: tuple[str, ...]):
        self.packed, self.places, self.shape, self.swept = packed, places, shape, swept
        self.cells = int(np.prod(shape))
        self.first = self._cell(0)

    def _cell(self, row: int) -> xr.Dataset:
        """One cell, without a variable that has the name of a swept parameter: that name is a coordinate of the sweep."""
        return unpack(self.packed, row).drop_vars(self.swept, errors="ignore")

    def stacked(self) -> xr.Dataset:
        """All cells have the same coordinates, or a beginning of them: a reshape, and NaN for what is not there."""
        packed, whole = self.packed, len(self.places) == self.cells
        ragged = {str(dim): packed[f"{dim}_size"].values for dim in packed.dims if f"{dim}_size" in packed.coords}
        absent = absences(packed)
        variables = {}
        for name in packed.data_vars:
            column = packed.variables[name]
            values, inner = column.values, tuple(map(str, column.dims[1:]))
            uneven = [dim for dim in inner if dim in ragged]
            lacking = np.isin(np.arange(len(values)), absent.get(str(name), []))
            padded = bool(uneven) or lacking.any()
            if values.dtype.kind in "iub" and (padded or not whole):
                values = values.astype(float)
            if padded:
                values = np.array(values)
                values[lacking] = _nothing(values.dtype)
                for dim in uneven:  # text and numbers that were whole are padded otherwise when packed
                    beyond = np.arange(packed.sizes[dim]) >= ragged[dim][:, None]
                    axis = inner.index(dim)
                    np.moveaxis(values, axis + 1, 1)[beyond] = _nothing(values.dtype)
            if not whole:
                some, values = values, np.full((self.cells, *values.shape[1:]), _nothing(values.dtype), values.dtype)
                values[self.places] = some
            attrs = self.first[name].attrs if name in self.first else column.attrs
            variables[name] = ((*self.swept, *inner), values.reshape(*self.shape, *values.shape[1:]), attrs)
        coords = {name: packed.variables[name] for name in packed.coords if CELL not in packed.variables[name].dims}
        kept = {name: xr.Variable(c.dims, c.values, self.first[name].attrs) for name, c in coords.items()}
        return xr.Dataset(variables, kept)

    def joined(self) -> xr.Dataset:
        """The general case: coordinates differ, so that labels decide what belongs together."""
        first = self.first
        empty = first.map(lambda v: xr.full_like(v, np.nan, float) if v.dtype.kind in "iubf" else xr.full_like(v, ""))
        cells = dict.fromkeys(range(self.cells), empty)
        cells |= {at: self._cell(row) for row, at in enumerate(self.places)}
        cells = dict(zip(cells, _alike(list(cells.values())), strict=True))
        table = np.empty(self.cells, object)
        for at, cell in cells.items():  # an assignment at once would ask each Dataset for an array
            table[at] = cell
        joined = xr.combine_nested(
            table.reshape(self.shape).tolist(),
            concat_dim=list(self.swept),
            combine_attrs="drop",
            join="outer",
            coords="different",
            compat="equals",
            data_vars="all",
        )
        for name in joined.variables:
            if name in first.variables:
                joined[name].attrs = first[name].attrs
        return joined.transpose(*self.swept, ...)


def _alike(cells: list[xr.Dataset]) -> list[xr.Dataset]:
    """The cells with the same dimensions, empty where one has none, and labels of one kind: those of runs on other data are
    names here and numbers there."""
    kinds: dict[str, set[str]] = {}
    for cell in cells:
        for dim in map(str, cell.dims):
            kinds.setdefault(dim, set()).add("U" if cell[dim].dtype.kind in "OU" else "f")
    texts = [dim for dim, found in kinds.items() if len(found) > 1]
    made = []
    for cell in cells:
        told = {dim: cell[dim].astype(str) for dim in texts if dim in cell.dims}
        lacking = {
            dim: (dim, np.empty(0, "U1" if "U" in kinds[dim] else float)) for dim in kinds if dim not in cell.dims
        }
        made.append(cell.assign_coords(told | lacking) if told or lacking else cell)
    return made


def _nothing(dtype: np.dtype) -> Any:
    return "" if dtype.kind in "OU" else np.nan
