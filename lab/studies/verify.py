"""Claims against numbers."""

import math
import time
from collections.abc import Iterator
from typing import Any

import xarray as xr

from .base import Study
from .declare import Claim, Verdict


def verify(study: type[Study], *, quick: bool = False) -> Iterator[Verdict]:
    """Run the claims of a study, one verdict after the other; ``quick`` leaves out the long ones."""
    known: dict[str, xr.Dataset] = {}

    def runs(**parameters: Any) -> xr.Dataset:
        key = repr(sorted(parameters.items(), key=lambda item: item[0]))
        if key not in known:
            known[key] = study(**parameters).run()
        return known[key]

    for claim in study.claims:
        if claim.quick or not quick:
            yield judge(claim, runs)


def judge(claim: Claim, runs: Any) -> Verdict:
    """Measure one claim; an error in it is a verdict, not an exception."""
    began = time.perf_counter()
    expected = measured = tolerance = math.nan
    error = ""
    try:
        expected = float(claim.expected(runs) if callable(claim.expected) else claim.expected)
        measured = float(claim.measure(runs))
        tolerance = claim.tolerance * (abs(expected) if claim.relative else 1.0)
    except Exception as exception:
        error = f"{type(exception).__name__}: {exception}"
    distance = measured - expected
    holds = {"==": abs(distance) <= tolerance, "<=": distance <= tolerance, ">=": distance >= -tolerance}[
        claim.relation
    ]
    return Verdict(claim, expected, measured, tolerance, bool(holds), time.perf_counter() - began, error)
