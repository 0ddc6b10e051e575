"""Verdicts on a study's claims: measured one at a time, kept for as long as code, data and machine are the same."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from lab.disk import cache
from lab.numerics import Report
from lab.studies import Claim, Study, Verdict
from lab.studies.contract.verify import judge

from . import kept


class Tally(NamedTuple):
    """How many claims hold, of those that were measured; ``surprising`` ones fail although they should hold."""

    hold: int
    measured: int
    surprising: int

    def __str__(self) -> str:
        return f"{self.hold} / {self.measured}" if self.measured else ""


def tally(verdicts: Iterable[Verdict]) -> Tally:
    """Count them."""
    found = list(verdicts)
    return Tally(sum(v.holds for v in found), len(found), sum(v.surprising for v in found))


def load(study: type[Study]) -> dict[str, Verdict]:
    """The kept verdicts by name of the claim; empty where nothing was measured with this code yet."""
    claims = {claim.name: claim for claim in study.claims}
    stored = _stored(study)
    return {name: _verdict(claims[name], stored[name]) for name in claims if name in stored}


def save(study: type[Study], verdicts: Iterable[Verdict]) -> None:
    """Keep them beside those that are already kept."""
    merged = _stored(study) | {verdict.claim.name: _plain(verdict) for verdict in verdicts}
    cache.write(_path(study), json.dumps(merged, indent=1, ensure_ascii=False, allow_nan=False).encode())


def usual_seconds(study: type[Study]) -> dict[str, float]:
    """How long each claim took when it was last measured, with whatever code."""
    files = sorted(kept.folder("verdicts").glob(f"{study.slug}-????????????????????.json"), key=_age)
    known: dict[str, float] = {}
    for path in files:
        known |= {name: fields["seconds"] for name, fields in _parse(cache.read(path)).items()}
    return known


class Bench:
    """Measures claims of one study; equal runs are computed once, however many claims ask for them."""

    def __init__(self, study: type[Study]):
        self._study = study
        self._known: dict[str, xr.Dataset] = {}

    def measure(self, claim: Claim, report: Report | None = None) -> Verdict:
        """The verdict on a claim; what ``report`` raises to abandon the work passes through."""

        def runs(**parameters: Any) -> xr.Dataset:
            key = repr(sorted(parameters.items(), key=lambda item: item[0]))
            if key not in self._known:
                self._known[key] = self._study(**parameters).run(report)
            return self._known[key]

        return judge(claim, runs)


def _path(study: type[Study]) -> Path:
    return kept.folder("verdicts") / f"{study.slug}-{kept.identity(study)}.json"


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another server removed it
        return 0.0


def _stored(study: type[Study]) -> dict[str, dict[str, Any]]:
    try:
        return _parse(cache.read(_path(study))) if kept.has("verdicts", study) else {}
    except (ValueError, TypeError):  # the default data can't be had: nothing can be known of the study
        return {}


def _parse(content: bytes | None) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(content or b"{}")
        return {name: fields for name, fields in found.items() if fields.keys() >= _FIELDS}
    except (ValueError, AttributeError):  # a broken file is as good as none
        return {}


_FIELDS = {"expected", "measured", "interval", "tolerance", "holds", "error", "seconds"}


def _plain(verdict: Verdict) -> dict[str, Any]:
    fields = {name: value for name, value in verdict.as_dict().items() if name in _FIELDS}
    return {name: _number(value) if isinstance(value, float) else value for name, value in fields.items()}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN


def _verdict(claim: Claim, fields: dict[str, Any]) -> Verdict:
    numbers = {name: float(fields[name]) for name in ("expected", "measured", "tolerance", "seconds")}
    interval = fields["interval"] and (float(fields["interval"][0]), float(fields["interval"][1]))
    return Verdict(claim, holds=bool(fields["holds"]), error=str(fields["error"]), interval=interval, **numbers)
