"""Claims against numbers."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics import Report
from lab.numerics.statistics import mean_interval

from .claims import Claim, Measured, Verdict
from .study import Study


def verify(
    study: type[Study],
    *,
    quick: bool = False,
    report: Report | None = None,
    begin: Callable[[Claim], None] | None = None,
) -> Iterator[Verdict]:
    """Run the claims of a study, one verdict after the other; equal runs are computed once.

    Args:
        study: the class.
        quick: leave out the claims that take long.
        report: of each run, as for ``Study.run``; a run that it ends is no ground for a verdict, and ends them all.
        begin: called with each claim before it is measured.

    Yields:
        the verdict of each claim; an error in a claim is a verdict that does not hold.

    Raises:
        KeyboardInterrupt: ``report`` ended a run.

    Examples:
        >>> from lab.studies import Claim, DataSource, Paper, Result, Study, Whole, verify
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     claims = (Claim("four", "Twice two is four.", lambda runs: float(runs(n=2).twice), 4.0, "arithmetic"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> [(verdict.claim.name, verdict.measured, verdict.holds) for verdict in verify(Twice)]
        [('four', 4.0, True)]
    """
    known: dict[str, xr.Dataset] = {}

    def runs(**parameters: Any) -> xr.Dataset:
        key = repr(sorted(parameters.items(), key=lambda item: item[0]))
        if key not in known:
            result = study(**parameters).run(report)
            if result.attrs["reason"] == "stopped":
                raise KeyboardInterrupt
            known[key] = result
        return known[key]

    for claim in study.claims:
        if claim.quick or not quick:
            if begin:
                begin(claim)
            yield judge(claim, runs)


def judge(claim: Claim, runs: Any) -> Verdict:
    """Measure one claim; an error in it is a verdict, not an exception.

    With seeds, measured and expected are means over them, and the interval is that of the mean of their differences, by
    Student's t: both come from the same runs.
    """
    began = time.perf_counter()
    expected = measured = tolerance = low = high = math.nan
    interval = None
    error = ""
    try:
        if claim.seeds:
            found, known = zip(*(_once(claim, _at(runs, seed)) for seed in claim.seeds), strict=True)
            expected = float(np.mean(known))
            apart = mean_interval(np.subtract([float(_value(each)) for each in found], known))
            found = Measured(expected + apart.mean, expected + apart.low, expected + apart.high)
        else:
            found, expected = _once(claim, runs)
        measured = low = high = float(_value(found))
        if isinstance(found, Measured):
            interval = low, high = float(found.low), float(found.high)
        tolerance = claim.tolerance * (abs(expected) if claim.relative else 1.0)
    except Exception as exception:
        error = f"{type(exception).__name__}: {exception}"
    least, most = low - expected, high - expected
    holds = {
        "==": least <= tolerance and most >= -tolerance,
        "<=": least <= tolerance,
        ">=": most >= -tolerance,
        "<": most < tolerance,
        ">": least > -tolerance,
    }[claim.relation]
    return Verdict(claim, expected, measured, tolerance, bool(holds), time.perf_counter() - began, error, interval)


def _once(claim: Claim, runs: Any) -> tuple[float | Measured, float]:
    return claim.measure(runs), float(claim.expected(runs) if callable(claim.expected) else claim.expected)


def _value(found: float | Measured) -> float:
    return found.value if isinstance(found, Measured) else found


def _at(runs: Any, seed: int) -> Callable[..., xr.Dataset]:
    return lambda **parameters: runs(**(parameters | {"seed": seed}))
