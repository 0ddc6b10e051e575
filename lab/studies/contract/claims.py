"""Claims: what the paper or mathematics says, and what was measured."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import xarray as xr

from lab.choices import chosen


class Runs(Protocol):
    """What a claim measures with: runs the study with other parameters; equal runs are computed once."""

    def __call__(self, **parameters: Any) -> xr.Dataset: ...


class Measured(NamedTuple):
    """A number that is an estimate, with the interval that holds the true one in 95 of 100 such measurements."""

    value: float
    low: float
    high: float


@chosen
@dataclass(frozen=True)
class Claim:
    """What the paper or mathematics says, and this study can show.

    Attributes:
        statement: one sentence.
        measure: computes the quantity from runs of the study; with its interval, as ``Measured``, where it is an estimate.
        expected: the number, or a function of the same runs that gives it.
        relation: how measured stands to expected: ``"=="``, ``"<="``, ``">="``, ``"<"`` or ``">"``. An estimate satisfies
            the first three where part of its interval does, and ``"<"`` or ``">"`` where the whole interval does.
        tolerance: allowed deviation; relative to the expected value when ``relative``.
        source: equation, table, closed form or independent solver.
        seeds: of the runs whose mean is judged, at least five where a training or a draw decides; ``()`` for one run.
        one_run: why one run suffices although the seed changes the result.
        quick: takes a few seconds at most; the tests and ``lab verify --quick`` run it.
        should_hold: False where it is known to fail here; ``note`` then says why.
    """

    name: str
    statement: str
    measure: Callable[[Runs], float | Measured] = field(compare=False)
    expected: float | Callable[[Runs], float] = field(compare=False)
    source: str
    relation: Literal["==", "<=", ">=", "<", ">"] = "=="
    tolerance: float = 0.0
    relative: bool = False
    quick: bool = True
    should_hold: bool = True
    note: str = ""
    seeds: Sequence[int] = ()
    one_run: str = ""


def one_run(why: str, claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """State once why one run suffices for all those claims that name no seeds.

    Args:
        why: the reason, a clause.
        claims: of a study.

    Returns:
        the claims, in the same order.

    Examples:
        >>> from lab.studies import Claim
        >>> from lab.studies.contract import one_run
        >>> two = Claim("two", "Twice one is two.", lambda runs: 2.0 * 1.0, 2.0, "arithmetic")
        >>> [claim.one_run for claim in one_run("arithmetic is exact", (two,))]
        ['arithmetic is exact']
    """
    return tuple(claim if claim.seeds or claim.one_run else replace(claim, one_run=why) for claim in claims)


@dataclass(frozen=True)
class Verdict:
    """What came of a claim: the numbers, and whether it holds."""

    claim: Claim
    expected: float
    measured: float
    tolerance: float  # absolute
    holds: bool
    seconds: float
    error: str = ""
    interval: tuple[float, float] | None = (
        None  # 95%, of an estimate; over seeds, that of measured - expected, plus expected
    )

    @property
    def tie(self) -> bool:
        """Whether the bound is inside the interval of the measured number, so that more data could reverse the verdict."""
        low, high = self.interval or (math.nan, math.nan)
        return self.claim.relation != "==" and low <= self.expected <= high

    @property
    def basis(self) -> str:
        """What the interval rests on: ``"5 seeds, paired, 95%"`` where measured and expected come from the same runs."""
        seeds = f"{len(self.claim.seeds)} seeds, " if self.claim.seeds else ""
        return f"{seeds}{'paired, ' if seeds and callable(self.claim.expected) else ''}95%"

    @property
    def surprising(self) -> bool:
        """It fails although it should hold."""
        return self.claim.should_hold and not self.holds

    def as_dict(self) -> dict[str, Any]:
        """For ``lab verify --json``."""
        claim = self.claim
        return {
            "name": claim.name,
            "statement": claim.statement,
            "expected": self.expected,
            "relation": claim.relation,
            "measured": self.measured,
            "interval": self.interval,
            "seeds": len(claim.seeds),
            "tie": self.tie,
            "tolerance": self.tolerance,
            "source": claim.source,
            "holds": self.holds,
            "should_hold": claim.should_hold,
            "quick": claim.quick,
            "note": claim.note,
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }
