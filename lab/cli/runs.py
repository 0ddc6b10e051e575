"""What the store holds: listed, removed, written to a file."""

import argparse
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.inputs import cut, listed, shown
from lab.store import Entry, Store, unpack

from .parser import Parser, Refusal
from .told import catalogue, print_table

_SPANS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_SIZES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def runs_options(parser: Parser) -> None:
    """The options of ``lab runs``."""
    parser.add_argument("--study", metavar="STUDY", help="only runs of this study")
    parser.add_argument("--older-than", metavar="30d", help="only runs older than so many m, h, d, w or y")
    parser.add_argument("--larger-than", metavar="10MB", help="only files larger than so many kB, MB or GB")
    parser.add_argument("--remove", action="store_true", help="remove the runs that these options choose")
    parser.add_argument(
        "--all", action="store_true", help="with --remove: everything, and what was set aside as damaged"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")


def open_options(parser: Parser) -> None:
    """The options of ``lab open``."""
    parser.add_argument(
        "key",
        metavar="KEY|FILE",
        help="the key that lab runs shows, or its beginning; or a figure or share of the lab's",
    )
    parser.add_argument("--study", metavar="FILE.py", help="the file of a figure's study, where that is not installed")
    parser.add_argument("--data", metavar="PATH", help="a figure's data, where it neither names nor holds them")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write the run, .nc or .zarr")


def runs(arguments: argparse.Namespace) -> int:
    """List what is held, newest first, or remove it."""
    store = Store()
    filters = (arguments.study, arguments.older_than, arguments.larger_than)
    if arguments.remove and not arguments.all and all(given is None for given in filters):
        raise Refusal("say what to remove: --study, --older-than, --larger-than, or --all for everything")
    if arguments.all and not arguments.remove:
        raise Refusal("--all goes with --remove; without them everything is listed")
    chosen = _chosen(store.entries(), *filters)
    if arguments.remove:
        store.remove(chosen)
        if arguments.all and all(given is None for given in filters):
            for path in store.damaged():
                path.unlink(missing_ok=True)
    if arguments.json:
        print(json.dumps([_told(entry) for entry in chosen], indent=2, ensure_ascii=False))
        return 0
    if arguments.remove:
        print(f"removed {_count(chosen)}, {size(sum(entry.bytes for entry in chosen))}")
    else:
        columns = ("key", "study", "parameters", "data", "cells", "when", "size")
        defaults = {told["name"]: {p["name"]: p["default"] for p in told["parameters"]} for told in catalogue()}
        print_table(columns, [_row(entry, defaults.get(entry.study, {})) for entry in chosen])
    aside = len(store.damaged())
    print(
        f"{_count(store.entries())}, {size(store.bytes())} in {store.folder}"
        + (f"; {aside} of its files set aside as damaged" if aside else "")
    )
    return 0


def open_run(arguments: argparse.Namespace) -> int:
    """Write a run to a file of its own."""
    from .outputs import FORMATS, SHARED, save, target_of

    target = target_of(arguments.output, {".nc", ".zarr"})
    assert target is not None  # -o is required
    if not arguments.key:
        raise Refusal("the key is empty: give one that lab runs shows, or its beginning")
    if Path(arguments.key).suffix.lower() in FORMATS | SHARED:
        return _open_figure(arguments, target)
    store = Store()
    keys = store.matching(arguments.key)
    if len(keys) != 1:
        several = f"{len(keys)} keys begin with {shown(arguments.key)} ({', '.join(keys[:3])}, ...): write more of it"
        raise Refusal(several if keys else f"no key begins with {shown(arguments.key)}: lab runs --json lists them all")
    kept = unpack(store.read(keys), 0)
    # trained weights have none; what the lab wrote is known by it when it is written over
    kept.attrs.setdefault("recipe", json.dumps({"study": kept.attrs["study"]}))
    save(kept, target)
    print(f"kept in {target}")
    return 0


def _open_figure(arguments: argparse.Namespace, target: Path) -> int:
    """Write the run that a figure shows."""
    from lab import figures, studies
    from lab.home import start

    from .commands import _terminal_report
    from .outputs import save

    given = studies.load_file(arguments.study) if arguments.study else ()
    start(ready=True)
    with _terminal_report() as report:
        result = figures.recall(arguments.key, report, given=given, data=arguments.data)
    save(result, target)
    print(*filter(None, [result.attrs["advice"], f"kept in {target}"]), sep="\n")
    return 0


def size(number: float) -> str:
    """Bytes in words: 1.25 MB."""
    unit = next((u for u, factor in reversed(_SIZES.items()) if number >= factor), "B")
    return f"{number / _SIZES[unit]:.3g} {unit}"


def _chosen(entries: list[Entry], study: str | None, older: str | None, larger: str | None) -> list[Entry]:
    if study is not None:
        held = sorted({entry.study for entry in entries})
        if study not in held:
            raise Refusal(
                f"the store holds no run of {shown(study)}" + (f"; it holds runs of {listed(held)}" if held else "")
            )
        entries = [entry for entry in entries if entry.study == study]
    if older is not None:
        try:
            before = datetime.now(UTC) - timedelta(seconds=_amount("--older-than", older, _SPANS, "30d"))
        except OverflowError:
            raise Refusal(f"--older-than {cut(older)}: nothing is that old") from None
        entries = [entry for entry in entries if entry.created < before]
    if larger is not None:
        limit = _amount("--larger-than", larger, _SIZES, "10MB")
        if limit >= 2**63:
            raise Refusal(f"--larger-than {cut(larger)}: nothing is that large")
        entries = [entry for entry in entries if entry.bytes > limit]
    return entries


def _amount(option: str, text: str, units: Mapping[str, float], example: str) -> float:
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]+)", text, re.IGNORECASE)
    factors = {unit.lower(): factor for unit, factor in units.items()}
    if not match or match[2].lower() not in factors:
        raise Refusal(f"{option} {shown(text)} is not allowed: write a number and {', '.join(units)}, as in {example}")
    return float(match[1]) * factors[match[2].lower()]


def _row(entry: Entry, defaults: Mapping[str, Any]) -> tuple[str, ...]:
    """``defaults`` are the parameters that are not told; none of a study that is not at hand."""
    missing = object()
    changed = ", ".join(
        f"{name}={_values(value)}"
        for name, value in entry.parameters.items()
        if name != "data" and value != defaults.get(name, missing)
    )
    when = entry.created.astimezone().strftime("%Y-%m-%d %H:%M")
    return entry.keys[0][:10], entry.study, changed, entry.data, str(entry.cells), when, size(entry.bytes)


def _values(value: Any) -> str:
    if not isinstance(value, list):
        return "auto" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    if len(value) <= 4:
        return "|".join(map(_values, value))
    return f"{_values(value[0])}..{_values(value[-1])} ({len(value)} values)"


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.keys[0],
        "keys": list(entry.keys),
        "study": entry.study,
        "title": entry.title,
        "data": entry.data,
        "parameters": dict(entry.parameters),
        "cells": entry.cells,
        "created": entry.created.isoformat(),
        "bytes": entry.bytes,
    }


def _count(entries: list[Entry]) -> str:
    cells = sum(entry.cells for entry in entries)
    return f"{cells} run{'' if cells == 1 else 's'} in {len(entries)} file{'' if len(entries) == 1 else 's'}"
