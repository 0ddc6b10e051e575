"""What the site tells of claims, steps and pictures, measured: ``python -m docs.make.measure``, before a release (an hour).

``docs/measured.json`` has of each study the verdicts of its claims, what its steps find and what its pictures show; with the
day and the versions. Studies may be named, the others are left as they are. ``data/results/reported.json`` has our numbers of
the tables that show the paper's beside them.

Claims that take minutes are not measured here: ``lab verify SLUG --json > FILE`` does that, and ``--verdicts FILE`` takes its
verdicts over.
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
from lab.studies import Study
from lab.studies.contract import reported

PATH = Path(__file__).parents[1] / "measured.json"


def load() -> dict[str, Any]:
    """What was measured, by study; empty where nothing was."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}


def measured(study: type[Study]) -> dict[str, Any]:
    """The quick claims of a study and its steps, as they are kept; of the long claims what is known of them."""
    known = load().get(study.slug, {}).get("claims", {})
    kept = {claim.name: known[claim.name] for claim in study.claims if not claim.quick and claim.name in known}
    return {
        "claims": kept | {verdict.claim.name: _plain(vars(verdict)) for verdict in studies.verify(study, quick=True)},
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


def verdicts(path: Path) -> dict[str, Any]:
    """What is stored, with the verdicts of long claims out of a file of ``lab verify --json``, and its day.

    Raises:
        ValueError: the file has a claim that is none of its study.
    """
    found, day = load(), datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    for each in json.loads(path.read_text()):
        claims = {claim.name: claim for claim in studies.find(each["study"]).claims}
        if each["name"] not in claims:
            raise ValueError(f"{path}: {each['name']} is no claim of {each['study']}: run lab verify again")
        if not claims[each["name"]].quick:
            found[each["study"]]["claims"][each["name"]] = {**_plain(each), "day": day}
    return found


def _plain(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {"expected": verdict["expected"], "measured": verdict["measured"], "interval": verdict["interval"]}
    finite = {name: value for name, value in kept.items() if isinstance(value, tuple | list) or _is_finite(value)}
    return finite | {"holds": verdict["holds"], "error": verdict["error"]}


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def main() -> int:
    """Of the studies named, or of all."""
    parser = argparse.ArgumentParser(description="Measure what the site tells of claims and steps.")
    parser.add_argument("studies", nargs="*", help="slugs; all when left out")
    parser.add_argument("--told", action="store_true", help="only what steps and pictures show, which takes a minute")
    parser.add_argument("--tables", action="store_true", help="only our numbers in the tables beside the paper's")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="take over long claims from lab verify --json")
    given = parser.parse_args()
    start()
    if given.verdicts:
        _keep(verdicts(given.verdicts))
        return 0
    if given.tables:
        tables(given.studies)
        return 0
    for slug in given.studies or [study.slug for study in studies.catalogue()]:
        study = studies.find(slug)
        found = load()[slug] | told(study) if given.told else measured(study)
        holds = sum(verdict["holds"] for verdict in found["claims"].values())
        print(f"{slug}: {holds} of {len(found['claims'])} claims hold", flush=True)
        _keep(load() | {slug: found})
    tables(given.studies)
    return 0


def _keep(found: Mapping[str, Any]) -> None:
    write(PATH, (json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
