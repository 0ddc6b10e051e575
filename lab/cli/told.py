"""What the studies declare, as text. It is kept under the hash of all code, so that ``lab list``, ``show`` and ``runs`` need
neither the studies nor the libraries that these import."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import code, home
from lab.disk import cache
from lab.inputs import SENTENCE, LeftOut, cut

from .parser import printable

if TYPE_CHECKING:
    from lab.studies import Study


def list_studies(arguments: argparse.Namespace) -> int:
    rows = [{name: told[name] for name in ("name", "title", "field", "paper")} for told in catalogue()]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        print_table(("name", "title", "field", "paper"), [tuple(row.values()) for row in rows])
    return 0


def show(arguments: argparse.Namespace) -> int:
    told = found(arguments.study)
    if arguments.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    print(f"{told['title']} ({told['name']})\n{told['paper']}\n\n{told['about']}\n")
    print_table(
        ("parameter", "default", "allowed", "meaning"),
        [
            (
                f"--{p['name'].replace('_', '-')}",
                f"{p['default']}",
                p["allowed"].removeprefix("it must be "),
                f"{p['doc']}{' [' + p['unit'] + ']' if p['unit'] else ''}",
            )
            for p in told["parameters"]
        ],
    )
    for heading, columns in (
        ("data", ("name", "title", "licence")),
        ("presets", ("name", "title")),
        ("pictures", ("name", "caption")),
        ("results", ("name", "dims", "doc")),
        ("claims", ("name", "statement")),
    ):
        print_table((heading, *columns[1:]), [tuple(_cell(row[c]) for c in columns) for row in told[heading]])
    print_table(
        ("quantity", "paper", "setting of the paper", "this lab", "setting here", "note"),
        [
            (
                f"{r['quantity']} ({r['where']})",
                *(r[c] for c in ("paper", "paper_setting", "ours", "our_setting", "note")),
            )
            for r in told["reported"]
        ],
    )
    return 0


def catalogue() -> list[dict[str, Any]]:
    """What ``describe`` says of each study, in the order of the studies' own catalogue.

    Studies of installed packages are asked each time: their code is not in the hash.
    """
    path = home.home() / "cache" / f"studies-{code.ours(())[:32]}{_stamp()}.json"
    try:
        others = bool(entry_points(group="lab.studies"))
    except Exception:  # a list that can't be read: the studies' catalogue says so
        others = True
    if not others and (kept := cache.read(path)) is not None:
        return json.loads(kept)
    from lab import studies

    told = json.dumps([each for study in studies.catalogue() if (each := _described(study))], ensure_ascii=False)
    if not others:
        with suppress(OSError):  # a home that can't be written to costs the seconds only
            for before in home.cache().glob("studies-*.json"):
                if cache.read(before) is not None:  # written by the lab
                    before.unlink()
            cache.write(path, told.encode())
    return json.loads(told)


def _stamp() -> str:
    """What the stored numbers of the tables add to the name: they can change while the code does not."""
    package = Path(__file__).parents[1]
    places = (place / "data" / "results" / "reported.json" for place in (package, package.parent))
    return next((f"-{sha256(path.read_bytes()).hexdigest()[:8]}" for path in places if path.exists()), "")


def found(name: str) -> dict[str, Any]:
    """What is told of one study; of a ``.py`` file's as it is now."""
    told = None if name.endswith(".py") else next((each for each in catalogue() if each["name"] == name), None)
    if told is not None:
        return told
    from lab import studies

    return json.loads(json.dumps(describe(studies.find(name))))


def _described(study: "type[Study]") -> dict[str, Any]:
    """What is told of a study; nothing, and a warning, of one of another package that can't be told."""
    try:
        told = describe(study)
        json.dumps(told)
    except Exception as problem:
        if study.__module__.startswith("lab."):
            raise
        of = f"the study {study.slug} of {study.__module__} is left out: {type(problem).__name__}: {problem}"
        warnings.warn(cut(of, SENTENCE), LeftOut, stacklevel=2)
        return {}
    return told


def describe(study: "type[Study]") -> dict[str, Any]:
    """Everything that ``lab show --json`` says of a study."""
    from lab.studies import bounds_of, kind_of
    from lab.studies.contract.reported import lines

    return {
        "name": study.slug,
        "title": study.title,
        "field": study.field,
        "paper": study.paper.citation,
        "about": study.about,
        "parameters": [
            {
                "name": name,
                "type": kind_of(p),
                "default": p.default,
                "bounds": bounds_of(p),
                "scale": p.scale,
                "unit": p.unit,
                "doc": p.doc,
                "sweepable": p.sweepable,
                "allowed": p.allowed(),
            }
            for name, p in study.parameters().items()
        ],
        "data": [
            {
                "name": e.name,
                "title": e.title,
                "summary": e.summary,
                "source": e.source,
                "licence": e.licence,
                "real": e.real,
            }
            for e in study.sets()
        ],
        "presets": [{"name": p.name, "title": p.title, "doc": p.doc, "values": dict(p.values)} for p in study.presets],
        "pictures": [{"name": p.name, "title": p.title, "caption": p.caption} for p in study.pictures],
        "claims": [
            {
                "name": c.name,
                "statement": c.statement,
                "source": c.source,
                "quick": c.quick,
                "should_hold": c.should_hold,
            }
            for c in study.claims
        ],
        "reported": [line._asdict() for line in lines(study)],
        "results": [{"name": r.name, "dims": list(r.dims), "unit": r.unit, "doc": r.doc} for r in study.results],
    }


def print_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table on the terminal; none where there are no rows."""
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(cell)).replace("[", "\\[") for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print()


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
