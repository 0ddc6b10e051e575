"""The map of the house, read from the imports: which room stands on which."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

LAB = Path(__file__).parents[2] / "lab"
ROOMS = ("contract", "draw", "vocabulary")  # of lab/studies, beside its fields


class Room(NamedTuple):
    """A part of the lab.

    Attributes:
        says: the first line of its docstring.
        modules, lines: how many there are.
        uses: the rooms that its modules import.
    """

    says: str
    modules: int
    lines: int
    uses: frozenset[str]


def room(module: str) -> str:
    """The room of a module, by its name without ``lab.``: ``ot``, ``studies.draw``, ``studies of a field``, ``lab``."""
    first, *rest = (module or "lab").split(".")
    if first != "studies" or not rest:
        return first
    return f"studies.{rest[0]}" if rest[0] in ROOMS else "studies of a field"


@cache
def rooms() -> dict[str, Room]:
    """All rooms by name."""
    paths = {_name(path): path for path in sorted(LAB.rglob("*.py"))}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    uses: dict[str, set[str]] = defaultdict(set)
    counts: dict[str, list[int]] = defaultdict(list)
    says: dict[str, str] = {}
    for name, tree in trees.items():
        here = room(name)
        counts[here].append(len(paths[name].read_text(encoding="utf-8").splitlines()))
        doc = (ast.get_docstring(tree) or "").partition("\n")[0]
        if here not in says or name in (here, ""):
            says[here] = doc
        for target in _imported(name, paths[name], tree):
            while target not in trees:
                target = target.rpartition(".")[0]
            if room(target) != here:
                uses[here].add(room(target))
    says["studies of a field"] = "Studies, by field: a folder for each."
    return {name: Room(says[name], len(lines), sum(lines), frozenset(uses[name])) for name, lines in counts.items()}


def floors() -> list[list[str]]:
    """Rooms from the ground up: each uses only those of lower floors."""
    left, below, made = dict(rooms()), set(), []
    while left:
        floor = sorted(name for name, each in left.items() if each.uses <= below)
        if not floor:
            raise ValueError(f"imports go in a circle between {', '.join(sorted(left))}")
        made.append(floor)
        below |= set(floor)
        for name in floor:
            del left[name]
    return made


def page() -> str:
    """The map as Markdown."""
    drawn = "\n".join(
        '<div class="floor">'
        + "".join(f'<span title="{rooms()[name].says}">{name}</span>' for name in floor)
        + "</div>"
        for floor in reversed(floors())
    )
    rows = [
        f"| `{name}` | {rooms()[name].says} | {rooms()[name].modules} | {rooms()[name].lines:,} | "
        f"{', '.join(sorted(rooms()[name].uses))} |"
        for floor in reversed(floors())
        for name in floor
    ]
    head = "| room | what it is | modules | lines | imports from |\n|---|---|---:|---:|---|"
    return _PAGE.format(drawn=drawn, rows="\n".join([head, *rows]))


_PAGE = """# A map of the house

Each row stands on the rows below it: a room imports from lower rows only, never from its own or a higher one. The map is made
from the imports as they are in this version, functions included, so it can't be out of date; `tests/test_architecture.py` holds
the order that is meant, and fails on an import that leads up.

<div class="house">
{drawn}
</div>

## Where something goes

| what you have | where it goes |
|---|---|
| a solver, an estimator, a formula | the folder of its field, `lab/ot` say: arrays in, a NamedTuple out, no labels, no plots |
| what several fields need | `lab/numerics` |
| a data set, a kind of data, a reader of files | `lab/datasets`, one function with `@register`, or one `Kind` |
| a study | a folder of its own in `lab/studies/FIELD`, and its line in README; or one file outside the lab |
| a picture that many studies draw | `lab/studies/draw`, as a function of arrays |
| a word that measures something of results | `lab/studies/vocabulary` |
| something that all studies should have | `lab/studies/contract`, and then each face can use it |
| a page, a command, a size of print | `lab/app`, `lab/cli`, `lab/figures`; they never name a study |

[How the lab grows](contributing.md) has a whole study, and the habits.

## The rooms

{rows}
"""


def _name(path: Path) -> str:
    names = path.relative_to(LAB).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def _imported(name: str, path: Path, tree: ast.Module) -> Iterator[str]:
    package = ["lab", *filter(None, name.split("."))]
    package = package if path.name == "__init__.py" else package[:-1]
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (each.partition(".")[2] for each in names if each == "lab" or each.startswith("lab."))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All that is executed: nothing under ``if TYPE_CHECKING``."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for each in node.orelse:
            yield from _executed(each)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _executed(child)
