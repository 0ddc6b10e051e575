"""What is known of each cell of a sweep: its numbers, or why it has none. Read from the store as they come."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.figures.sweep import NOT_YET
from lab.store.packing import cell_attrs
from lab.studies import Study
from lab.studies.contract import sweeping
from lab.sweeps import Plan
from lab.sweeps.plan import failed_key

_READ = 256  # cells that are read together


def scalars(study: type[Study]) -> list[str]:
    """The results of a study that are one number."""
    return [result.name for result in study.results if not result.dims]


class SweepCells:
    """The cells of a plan, in the order of ``itertools.product`` of its grid.

    ``take`` reads from the store and may be called in any thread; a picture that is drawn meanwhile shows what is
    there.
    """

    def __init__(self, plan: Plan):
        assert plan.store is not None  # what a page computes is kept
        self.plan, self._store = plan, plan.store
        self.numbers = {name: np.full(plan.cells, np.nan) for name in scalars(type(plan.study))}
        self.errors = np.full(plan.cells, NOT_YET, object)

    @property
    def missing(self) -> int:
        """Cells that are not there, those that failed not counted."""
        return int((self.errors == NOT_YET).sum())

    @property
    def failed(self) -> np.ndarray:
        """Places of the cells that failed."""
        return np.flatnonzero((self.errors != "") & (self.errors != NOT_YET))

    def take(self, places: Sequence[int]) -> int:
        """Read these cells, as far as they are not known; gives how many are new."""
        new = [at for at in places if self.errors[at] == NOT_YET]
        keys = self.plan.keys
        held = self._store.held([keys[at] for at in new])
        for start in range(0, len(new), _READ):
            self._read([at for at in new[start : start + _READ] if keys[at] in held])
        self._read_errors([at for at in new if keys[at] not in held])
        return len(new)

    def _read(self, places: list[int]) -> None:
        if not places:
            return
        packed = self._store.read([self.plan.keys[at] for at in places], tuple(self.numbers))
        for name, column in self.numbers.items():
            if name in packed:
                column[places] = packed[name].values.astype(float)
        self.errors[places] = ""

    def _read_errors(self, places: list[int]) -> None:
        marks = {at: failed_key(self.plan.keys[at]) for at in places}
        held = self._store.held(list(marks.values()))
        there = [at for at, mark in marks.items() if mark in held]
        if there:
            self.errors[there] = cell_attrs(self._store.read([marks[at] for at in there]), "error")

    # ---- one cell ------------------------------------------------------------------------------------------------

    def point(self, place: int) -> dict[str, Any]:
        """The swept parameters of a cell."""
        grid = self.plan.grid
        at = np.unravel_index(place, [len(values) for values in grid.values()])
        return {name: values[i] for (name, values), i in zip(grid.items(), at, strict=True)}

    def place(self, point: dict[str, Any]) -> int:
        """The cell that has these values."""
        grid = self.plan.grid
        at = [values.index(point[name]) for name, values in grid.items()]
        return int(np.ravel_multi_index(at, [len(values) for values in grid.values()]))

    def nearest(self, values: dict[str, Any]) -> int:
        """The cell closest to these values of the parameters, on the scale of each."""
        point = {}
        for name, each in self.plan.grid.items():
            here = values.get(name)
            if here in each:
                point[name] = here
            elif isinstance(here, int | float) and all(isinstance(v, int | float) for v in each):
                log = self.plan.study.parameters()[name].scale == "log" and here > 0 and min(each) > 0
                point[name] = min(each, key=lambda v: abs(np.log(v / here)) if log else abs(v - here))
            else:
                point[name] = each[len(each) // 2]
        return self.place(point)

    def study(self, place: int) -> Study:
        """The study of a cell."""
        return self.plan.study.but(**self.point(place))

    # ---- all -----------------------------------------------------------------------------------------------------

    def dataset(self) -> xr.Dataset:
        """The numbers over the grid, with the variable ``cell_error``."""
        grid, parameters = self.plan.grid, self.plan.study.parameters()
        shape = tuple(len(values) for values in grid.values())
        data = {name: (tuple(grid), column.reshape(shape)) for name, column in self.numbers.items()}
        coords = {name: sweeping.coordinate(name, parameters[name], values) for name, values in grid.items()}
        swept = json.dumps({name: sweeping.names(values) for name, values in grid.items()})
        return xr.Dataset(
            data | {sweeping.CELL_ERROR: (tuple(grid), self.errors.reshape(shape))}, coords, {"swept": swept}
        )
