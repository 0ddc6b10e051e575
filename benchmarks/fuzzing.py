"""What the fuzz of each field shares: the command line, the loop over random problems, and the tally.

A check is a function of a random number generator that draws one problem, computes, and asserts what must hold. The module
of a field lists its checks by the public function that they test.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.report import Report, options
from lab.home import start

type Check = Callable[[np.random.Generator], None]


def refused(name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Assert that a call raises a ValueError or TypeError whose message names the argument."""
    try:
        found = call(*args, **kwargs)
    except (ValueError, TypeError) as error:
        if name not in str(error):
            raise AssertionError(f"the error does not name {name}: {error}") from error
        return
    raise AssertionError(f"accepted although {name} is invalid: {str(found)[:80]}")


def close(found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    """Assert that arrays agree, relative to the largest entry (or 1)."""
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    assert found.shape == wanted.shape, f"shape {found.shape}, not {wanted.shape}"
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    apart = float(np.abs(found - wanted).max(initial=0)) / scale
    assert apart <= tolerance, f"apart by {apart:.2g} (tolerance {tolerance:g})"


def main(benchmark: str, text: str | None, checks: Mapping[str, Check], argv: Sequence[str] | None) -> dict[str, Any]:
    """Draw the problems, the same number for each check, print a table and the line of JSON, and return its content.

    Fewer problems than checks are spread evenly over the checks. A problem that fails is drawn again by
    ``numpy.random.default_rng([seed, number, problem])``, where number is the place of the check.
    """
    given = options(text, argv, problems=2500, seed=0)
    start()
    report = Report(benchmark, given)
    each, apart, failures = max(given.problems // len(checks), 1), max(len(checks) // given.problems, 1), 0
    print(f"{'function':44} problems  failed  seconds")
    for number, (name, check) in islice(enumerate(checks.items()), 0, None, apart):
        began, failed = time.process_time(), []
        for problem in range(each):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    check(np.random.default_rng([given.seed, number, problem]))
                except Exception as error:  # a crash is a result
                    failed.append(f"{problem}: {type(error).__name__}: {str(error)[:200]}")
        seconds = time.process_time() - began
        print(f"{name:44} {each:8d}  {len(failed):6d}  {seconds:7.1f}", flush=True)
        for line in failed[:3]:
            print("   ", line)
        report.row({"function": name, "problems": each}, {"lab": seconds}, failed=len(failed))
        failures += len(failed)
    return report.end(problems=each * len(report.rows), failed=failures)
