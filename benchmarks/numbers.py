"""What the lab computes, kept to be compared with what it computes after a change.

``python -m benchmarks.numbers keep FOLDER`` keeps every variable of the default and of all presets of each study, and the
numbers of its claims (``--claims``, ``--quick``: the quick ones). ``python -m benchmarks.numbers compare BEFORE AFTER`` prints
what differs, and by how much at most. ``--runs default`` keeps only those runs of ``--studies SLUG``.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report
from lab import studies
from lab.home import start


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep")
    keep.add_argument("folder", type=Path)
    keep.add_argument("--studies", nargs="+", default=[])
    keep.add_argument("--runs", nargs="+", default=[], help="default, or names of presets; all when left out")
    keep.add_argument("--claims", action="store_true")
    keep.add_argument("--quick", action="store_true")
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.add_argument("--above", type=float, default=1e-9, help="relative differences that are told")
    given = parser.parse_args(argv)
    report, began = Report("numbers", given), time.perf_counter()
    if given.command == "compare":
        met, differ, largest = compared(given.before, given.after, given.above)
        report.row({}, {"lab": time.perf_counter() - began}, arrays=met, differ=differ, largest=largest)
        return report.end(failed=differ)
    start()
    for study in studies.catalogue():
        if not given.studies or study.slug in given.studies:
            (given.folder / study.slug).mkdir(parents=True, exist_ok=True)
            if given.claims or given.quick:
                kept_claims(report, study, given.folder / study.slug / "claims.json", given.quick)
            else:
                kept_results(report, study, given.folder / study.slug, given.runs)
    return report.end()


def kept_results(report: Report, study: type, folder: Path, runs: list[str]) -> None:
    """The variables of the default and of each preset that is not there yet."""
    made = {"default": {}} | {preset.name: preset.values for preset in study.presets}
    for name, values in made.items():
        path, began = folder / f"{name}.npz", time.perf_counter()
        if path.exists() or (runs and name not in runs):
            continue
        result = study(**values).run()
        arrays = {str(key): variable.values for key, variable in result.variables.items()}
        arrays = {key: a.astype(str) if a.dtype.kind == "O" else a for key, a in arrays.items()}
        np.savez(path, **arrays, **{"!advice": result.attrs["advice"], "!reason": result.attrs["reason"]})
        seconds = time.perf_counter() - began
        report.row({"study": study.slug, "run": name}, {"lab": seconds}, arrays=len(arrays))
        print(f"{study.slug} {name}: {seconds:.1f} s", flush=True)


def kept_claims(report: Report, study: type, path: Path, quick: bool) -> None:
    began = time.perf_counter()
    verdicts = [verdict.as_dict() for verdict in studies.verify(study, quick=quick)]
    path.write_text(json.dumps(verdicts, indent=1))
    seconds = time.perf_counter() - began
    report.row({"study": study.slug, "run": "claims"}, {"lab": seconds}, claims=len(verdicts))
    print(f"{study.slug}: {len(verdicts)} claims, {seconds:.0f} s", flush=True)


def compared(before: Path, after: Path, above: float) -> tuple[int, int, float]:
    """Count the arrays and numbers, and those that differ by more than ``above``; with the largest relative difference."""
    differ, met, largest = 0, 0, 0.0
    for old in sorted(before.rglob("*.npz")):
        new = after / old.relative_to(before)
        if not new.exists():
            continue
        one, other = np.load(old), np.load(new)
        for name in sorted({*one.files, *other.files}):
            where = f"{old.parent.name} {old.stem} {name}"
            met += 1
            if name not in one or name not in other:
                differ += 1
                print(f"{where}: only {'before' if name in one else 'after'}")
                continue
            gap = difference(one[name], other[name])
            largest = max(largest, gap if np.isfinite(gap) else 0.0)
            if gap > above:
                differ += 1
                print(f"{where}: {gap:.2g}")
    for old in sorted(before.rglob("claims.json")):
        new = after / old.relative_to(before)
        if not new.exists():
            continue
        one, other = ({row["name"]: row for row in json.loads(path.read_text())} for path in (old, new))
        for name in sorted({*one, *other}):
            met += 1
            if name not in one or name not in other:
                differ += 1
                print(f"{old.parent.name} {name}: only {'before' if name in one else 'after'}")
                continue
            pairs = [[float(row[name][key] or np.nan) for row in (one, other)] for key in ("measured", "expected")]
            gap = max(difference(*map(np.asarray, pair)) for pair in pairs)
            largest = max(largest, gap if np.isfinite(gap) else 0.0)
            if gap > above or one[name]["holds"] != other[name]["holds"]:
                differ += 1
                told = ", ".join(f"{first:.6g} -> {second:.6g}" for first, second in pairs)
                print(f"{old.parent.name} {name}: {told}{'' if other[name]['holds'] else ' FAILS'}")
    print(f"{met} numbers and arrays, {differ} differ, largest difference of those with equal shapes {largest:.2g}")
    return met, differ, largest


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest deviation as a share of the largest value; infinite where shapes, texts or missing values differ."""
    if one.shape != other.shape:
        return np.inf
    if one.dtype.kind not in "fiub" or other.dtype.kind not in "fiub":
        return 0.0 if (one.astype(str) == other.astype(str)).all() else np.inf
    one, other = one.astype(float), other.astype(float)
    if not (np.isnan(one) == np.isnan(other)).all() or not (np.isinf(one) == np.isinf(other)).all():
        return np.inf
    finite = np.isfinite(one)
    scale = np.abs(one[finite]).max(initial=0.0)
    return float(np.abs(one - other)[finite].max(initial=0.0) / (scale or 1.0))


if __name__ == "__main__":
    sys.exit(main().get("failed", 0))
