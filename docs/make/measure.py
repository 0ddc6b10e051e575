"""What the site tells of claims, steps and pictures, measured: ``python -m docs.make.measure``, before a release (an hour).

``docs/measured.json`` has of each study the verdicts of the claims that take seconds, what its steps find and what its pictures
show; with the day and the versions. Studies may be named, the others are left as they are. ``data/results/reported.json`` has
our numbers of the tables that show the paper's beside them.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

import lab
from lab import studies, sweeps
from lab.disk import write
from lab.home import start
from lab.store import Store, shipped
from lab.studies import Study, Verdict
from lab.studies.contract import reported

PATH = Path(__file__).parents[1] / "measured.json"


def load() -> dict[str, Any]:
    """What was measured, by study; empty where nothing was."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}


def measured(study: type[Study]) -> dict[str, Any]:
    """The quick claims of a study and its steps, as they are kept."""
    return {
        "claims": {verdict.claim.name: _plain(verdict) for verdict in studies.verify(study, quick=True)},
        **told(study),
        "lab": lab.__version__,
        "jax": jax.__version__,
        "day": datetime.now(UTC).date().isoformat(),
    }


def told(study: type[Study]) -> dict[str, Any]:
    """What takes no time to know, since it ships."""
    return {"steps": steps(study), "finds": finds(study)}


def steps(study: type[Study]) -> list[str]:
    """What each step of its story finds, with its numbers; from what ships where that has it."""
    if study.story is None:
        return []
    before = lab.run(study())
    return [step.told(before, lab.run(study(**step.change))) for step in study.story.steps]


def finds(study: type[Study]) -> dict[str, str]:
    """What its pictures show by default, in words; of those over several runs where these ship."""
    default, found = study(), {}
    result = lab.run(default)
    for picture in study.pictures:
        drawn = result
        if picture.along is not None:
            plan = sweeps.Plan(default, picture.grid(default, default.load()), store=Store(), keep=picture.keep)
            drawn = sweeps.run(plan) if plan.complete else None
        if drawn is not None and (text := picture.finding(drawn)):
            found[picture.name] = text
    return found


def tables(slugs: Iterable[str] = ()) -> None:
    """Store our numbers of the tables, from precomputed runs and stored verdicts: of the studies named, or of all."""
    verdicts, known = load(), reported.load()
    for study in studies.catalogue():
        if study.reported and (not slugs or study.slug in slugs):
            known[study.slug] = reported.measured(study, verdicts[study.slug], reported.Shipped(study))
    text = json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write(shipped.folder() / reported.FILE, (text + "\n").encode())


def _plain(verdict: Verdict) -> Mapping[str, Any]:
    kept = {"expected": verdict.expected, "measured": verdict.measured, "interval": verdict.interval}
    finite = {name: value for name, value in kept.items() if isinstance(value, tuple) or _is_finite(value)}
    return finite | {"holds": verdict.holds, "error": verdict.error}


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def main() -> int:
    """Of the studies named, or of all."""
    parser = argparse.ArgumentParser(description="Measure what the site tells of claims and steps.")
    parser.add_argument("studies", nargs="*", help="slugs; all when left out")
    parser.add_argument("--told", action="store_true", help="only what steps and pictures show, which takes a minute")
    parser.add_argument("--tables", action="store_true", help="only our numbers in the tables beside the paper's")
    given = parser.parse_args()
    start()
    if given.tables:
        tables(given.studies)
        return 0
    for slug in given.studies or [study.slug for study in studies.catalogue()]:
        study = studies.find(slug)
        found = load()[slug] | told(study) if given.told else measured(study)
        holds = sum(verdict["holds"] for verdict in found["claims"].values())
        print(f"{slug}: {holds} of {len(found['claims'])} claims hold", flush=True)
        text = json.dumps(load() | {slug: found}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write(PATH, (text + "\n").encode())
    tables(given.studies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
