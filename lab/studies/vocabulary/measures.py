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
        name: of a result.
        at: coordinates of the entry that is meant, ``{"coupling": "W-CFM"}``; of a number the nearest one.
        place: its places along dimensions, ``{"round": -1}``.
        reduce: makes a number of the array that is left: ``np.max``.
        parameters: of the run; the others are as the study has them.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import number
        >>> def runs(k=1):
        ...     return xr.Dataset({"loss": ("step", [4.0 / k, 2.0 / k])})
        >>> last = number("loss", place={"step": -1}, k=2)
        >>> last(runs), (1 - 0.5 * last)(runs)
        (1.0, 0.5)
    """

    def measured(result: xr.Dataset) -> Any:
        values = result[name].isel(place or {})
        for dim, where in (at or {}).items():
            near = isinstance(where, int | float) and not isinstance(where, bool)
            values = values.sel({dim: where}, method="nearest" if near else None)
        return values if reduce is None else reduce(values.values)

    return of(measured, **parameters)


def of(measured: Callable[[xr.Dataset], Any], **parameters: Any) -> Measure:
    """What a function makes of the run with these parameters.

    Args:
        measured: takes the result and gives a number.
        parameters: of the run; the others are as the study has them.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import of
        >>> def runs(k=1):
        ...     return xr.Dataset({"plan": (("i", "j"), [[0.5, 0.0], [0.0, 0.5]])})
        >>> of(lambda result: result.plan.sum(), k=2)(runs)
        1.0
    """
    return Measure(lambda runs: float(measured(runs(**parameters))))


def apart(name: str, expected: Any, at: Mapping[str, Any] | None = None, **parameters: Any) -> Measure:
    r"""The largest deviation of a variable from these values, $\max_i |v_i - e_i|$.

    Args:
        name: of a result.
        expected: the values, an array that fits the variable or one number.
        at: coordinates of the part that is meant.
        parameters: of the run; the others are as the study has them.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import apart
        >>> def runs():
        ...     return xr.Dataset({"marginal": ("i", [0.5, 0.25, 0.25])})
        >>> apart("marginal", [0.5, 0.5, 0.0])(runs)
        0.25
    """
    return of(lambda result: np.abs(result[name].sel(at or {}).values - expected).max(), **parameters)


def mean(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The mean over runs with these values of parameters: ``mean(number("S"), seed=range(8))``.

    Args:
        measure: what is measured in each run.
        values: by parameter those that it takes; of several parameters all combinations.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import mean, number
        >>> def runs(seed=0):
        ...     return xr.Dataset({"loss": float(seed)})
        >>> mean(number("loss"), seed=range(4))(runs)
        1.5
    """
    return Measure(lambda runs: float(np.mean(list(_over(measure, runs, values)))))


def largest(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The largest over runs with these values of parameters.

    Args:
        measure: what is measured in each run.
        values: by parameter those that it takes; of several parameters all combinations.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import largest, number
        >>> def runs(seed=0):
        ...     return xr.Dataset({"loss": float(seed)})
        >>> largest(number("loss"), seed=range(4))(runs)
        3.0
    """
    return Measure(lambda runs: max(_over(measure, runs, values)))


def least(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    """The least over runs with these values of parameters.

    Args:
        measure: what is measured in each run.
        values: by parameter those that it takes; of several parameters all combinations.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import least, number
        >>> def runs(seed=0):
        ...     return xr.Dataset({"loss": float(seed)})
        >>> least(number("loss"), seed=range(2, 6))(runs)
        2.0
    """
    return Measure(lambda runs: min(_over(measure, runs, values)))


def rise(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Measure:
    r"""The largest rise from a value of a parameter to the next, $\max_i (v_{i+1} - v_i)$; negative where all steps fall.

    Args:
        measure: what is measured in each run.
        values: by parameter those that it takes, at least two in order.

    Returns:
        a measure, which a claim calls with its runs.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import number, rise
        >>> def runs(k=1):
        ...     return xr.Dataset({"cost": 1.0 / k})
        >>> rise(number("cost"), k=(1, 2, 4))(runs)
        -0.25
    """
    return Measure(lambda runs: float(np.diff(list(_over(measure, runs, values))).max()))


def interval(measure: Callable[[Runs], float], **values: Sequence[Any]) -> Callable[[Runs], Measured]:
    r"""The mean over runs, with its 95% interval by Student's t.

    $$ \bar v \pm t_{0.975, n-1} \, s / \sqrt{n} $$

    Args:
        measure: what is measured in each run.
        values: by parameter those that it takes, seeds say; of several parameters all combinations.

    Returns:
        a function of the runs that gives a ``Measured``, the value with its low and high end.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.vocabulary import interval, number
        >>> def runs(seed=0):
        ...     return xr.Dataset({"loss": float(seed)})
        >>> found = interval(number("loss"), seed=(0, 2))(runs)
        >>> found.value, round(found.high - found.value, 2)
        (1.0, 12.71)
    """

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
