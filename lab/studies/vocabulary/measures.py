"""Measures: what a claim computes from runs of a study, put together from few words.

``number("npe_weighted", epsilon=4.0)`` is the number of that name of the run with that parameter. Measures are added and scaled
like numbers: ``0.2 * number("npe_independent")``, ``number("w2sq") - number("w2sq_floor")``, ``abs(...)``. The same
measure over several runs: ``mean(number("S"), seed=range(8))``, ``largest(...)``, ``rise(number("value"), k=(1, 2, 4))``.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics.statistics import mean_interval
from lab.studies.contract.claims import Measured, Runs


@dataclass(frozen=True)
class Measure:
    """What ``Claim`` measures or expects: a function of runs, with the arithmetic of numbers."""

    measure: Callable[[Runs], float]

    def __call__(self, runs: Runs) -> float:
        return self.measure(runs)

    def __add__(self, other: "Measure | float") -> "Measure":
        return _joined(operator.add, self, other)

    def __sub__(self, other: "Measure | float") -> "Measure":
        return _joined(operator.sub, self, other)

    def __mul__(self, other: "Measure | float") -> "Measure":
        return _joined(operator.mul, self, other)

    def __truediv__(self, other: "Measure | float") -> "Measure":
        return _joined(operator.truediv, self, other)

    def __radd__(self, other: float) -> "Measure":
        return _joined(operator.add, other, self)

    def __rsub__(self, other: float) -> "Measure":
        return _joined(operator.sub, other, self)

    def __rmul__(self, other: float) -> "Measure":
        return _joined(operator.mul, other, self)

    def __abs__(self) -> "Measure":
        return Measure(lambda runs: abs(self(runs)))


def number(
    name: str,
    at: Mapping[str, Any] | None = None,
    place: Mapping[str, Any] | None = None,
    reduce: Callable[[np.ndarray], Any] | None = None,
    **parameters: Any,
) -> Measure:
    """A variable of the run with these parameters.

    Args:
        at: coordinates of the entry that is meant, ``{"coupling": "W-CFM"}``; of a number the nearest one.
        place: its places along dimensions, ``{"round": -1}``.
        reduce: makes a number of what is left: ``np.max``.
    """

    def measured(result: xr.Dataset) -> Any:
        values = result[name].isel(place or {})
        for dim, where in (at or {}).items():
            near = isinstance(where, int | float) and not isinstance(where, bool)
            values = values.sel({dim: where}, method="nearest" if near else None)
        return values if reduce is None else reduce(values.values)

    return of(measured, **parameters)


def of(measured: Callable[[xr.Dataset], Any], **parameters: Any) -> Measure:
    """What a function makes of the run with these parameters."""
    return Measure(lambda runs: float(measured(runs(**parameters))))


def apart(name: str, expected: Any, at: Mapping[str, Any] | None = None, **parameters: Any) -> Measure:
    """The largest deviation of a variable from these values."""
    return of(lambda result: np.abs(result[name].sel(at or {}).values - expected).max(), **parameters)


def mean(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The mean over runs with these values of parameters: ``mean(number("S"), seed=range(8))``."""
    return Measure(lambda runs: float(np.mean(list(_over(measure, runs, values)))))


def largest(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The largest over runs with these values of parameters."""
    return Measure(lambda runs: max(_over(measure, runs, values)))


def least(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The least over runs with these values of parameters."""
    return Measure(lambda runs: min(_over(measure, runs, values)))


def rise(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The largest rise from a value of a parameter to the next; negative where all steps fall."""
    return Measure(lambda runs: float(np.diff(list(_over(measure, runs, values))).max()))


def interval(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Callable[[Runs], Measured]:
    """The mean over runs, with its 95 % interval by Student's t."""

    def measured(runs: Runs) -> Measured:
        found = mean_interval(list(_over(measure, runs, values)))
        return Measured(found.mean, found.low, found.high)

    return measured


def _over(measure: Callable[[Runs], float], runs: Runs, values: Mapping[str, Sequence[Any]]) -> Iterator[float]:
    for point in product(*values.values()):
        own = dict(zip(values, point, strict=True))
        yield float(measure(lambda _own=own, **parameters: runs(**(parameters | _own))))


def _joined(join: Callable[[float, float], float], one: Measure | float, other: Measure | float) -> Measure:
    def measured(runs: Runs) -> float:
        return join(*(part(runs) if isinstance(part, Measure) else part for part in (one, other)))

    return Measure(measured)
