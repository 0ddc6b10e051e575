"""The house as DESIGN says it is: floors, no circles, faces that name no study, pictures in one vocabulary.

All but the last test read the text of the modules alone."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lab

ROOT = Path(__file__).parent.parent
FIELDS = lab.FIELDS
ABOVE = (("denoise",), ("inverse", "diffusion"))  # fields that use other fields
BELOW = ("ot", "sampling", "stability")  # fields that others use

# Rooms of the house from the ground up: an import leads to a lower row, or stays in its room. ``lab`` is the front door: it
# resolves parts by name, and imports none of them.
FLOORS = (
    ("parts", "inputs", "words", "precision", "memory", "offline", "cards"),
    ("choices", "disk"),
    ("home",),
    ("lab",),
    ("reach",),
    ("code",),
    ("numerics",),
    ("watch", *BELOW),
    tuple(field for field in FIELDS if field not in {*BELOW, *chain(*ABOVE)}),
    *ABOVE,
    ("datasets",),
    ("store",),
    ("studies.draw",),
    ("studies.contract",),
    ("studies.vocabulary",),
    tuple(f"studies.{field}" for field in FIELDS),
    ("studies",),
    ("sweeps",),
    ("figures",),
    ("app",),
    ("cli",),
    ("__main__",),
)
COMPUTE = ("numerics", *FIELDS)
FACES = ("store", "sweeps", "figures", "app", "cli")
HEAVY = {"xarray", "param", "holoviews", "panel", "matplotlib", "bokeh"}
DRAWING = (
    "builders",
    "axes",
    "layers",
    "look",
    "matrices",
    "mosaic",
    "motion",
    "pictures",
    "power",
    "space",
    "surfaces",
    "ternary",
)
MOST_LINES = 404  # of a study's class and pictures

# What leads up to a face when a person asks for it, by ``import lab`` and ``lab.<face>``: module and face.
DOORS = {
    ("studies.contract.study", "app"),
    ("studies.contract.study", "sweeps"),
    ("studies.contract.pictures", "figures"),
}

# Each list below only shrinks: an entry that is no longer needed fails the test, and is taken out.
UPWARD: set[tuple[str, str]] = set()
NAMED = {("cli", "sparse-ot")}  # the example of ``lab --help``
INSIDE: set[str] = set()
UNTYPED = {
    "immiscible-diffusion",
    "red-diff",
    "stochastic-interpolants",
}
TOO_LONG = {"sparse-ot"}
LONG = {
    "immiscible-diffusion",
    "stochastic-interpolants",
}


class Import(NamedTuple):
    target: str  # without "lab."
    line: int


class Module(NamedTuple):
    name: str  # without "lab.", "" for lab itself
    path: Path
    tree: ast.Module

    @property
    def package(self) -> list[str]:
        names = ["lab", *filter(None, self.name.split("."))]
        return names if self.path.name == "__init__.py" else names[:-1]


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted((ROOT / "lab").rglob("*.py")):
        names = path.relative_to(ROOT / "lab").with_suffix("").parts
        name = ".".join(names[:-1] if names[-1] == "__init__" else names)
        found[name] = Module(name, path, ast.parse(path.read_text()))
    return found


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """All statements that are executed, in functions too: nothing under ``if TYPE_CHECKING``."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        checked = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for field in ("orelse",) if checked else ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, ())
            waiting += below if isinstance(below, list) else ()


@cache
def imported(name: str) -> tuple[tuple[str, int], ...]:
    """Dotted names that a module imports, in functions too, with their lines; ``from a import b`` gives ``a.b``."""
    module, found = modules()[name], []
    for node in statements(module.tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.package[: len(module.package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
    return tuple(found)


@cache
def edges(name: str) -> tuple[Import, ...]:
    """The modules of the lab that a module imports."""
    found = []
    for dotted, line in imported(name):
        first, _, rest = dotted.partition(".")
        if first != "lab":
            continue
        while rest not in modules():
            rest = rest.rpartition(".")[0]
        if rest != name:
            found.append(Import(rest, line))
    return tuple(found)


def room(name: str) -> str:
    first, *rest = (name or "lab").split(".")
    return f"{first}.{rest[0]}" if first == "studies" and rest else first


LEVEL = {each: level for level, row in enumerate(FLOORS) for each in row}


def shrinks(listed: set, found: set) -> None:
    """Exactly what is listed was found."""
    assert found <= listed, f"against the rules of the house: {sorted(found - listed)}"
    assert listed <= found, f"no longer needed, take it off the list: {sorted(listed - found)}"


def test_every_room_has_a_floor():
    there = {room(name) for name in modules()}
    assert there == set(LEVEL), f"rooms without a floor, or floors without a room: {sorted(there ^ set(LEVEL))}"
    assert set(COMPUTE) == {each for each in LEVEL if LEVEL["numerics"] <= LEVEL[each] < LEVEL["datasets"]} - {"watch"}


def test_imports_point_down():
    upward = set()
    for name in modules():
        for target, _ in edges(name):
            here, there = room(name), room(target)
            if here != there and LEVEL[there] >= LEVEL[here]:
                upward.add((name, target))
    shrinks(UPWARD, upward)


def test_doors_lead_up_only_where_a_person_asks():
    doors = set()
    for name, module in modules().items():
        if "" not in {target for target, _ in edges(name)}:  # it does not import lab
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(value=ast.Name(id="lab"), attr=part) if LEVEL.get(part, -1) > LEVEL[room(name)]:
                    doors.add((name, part))
    shrinks(DOORS, doors)


def test_no_import_goes_in_a_circle():
    """Tarjan's strongly connected components; a package's ``__init__`` is the module of its name."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target, _ in edges(name):
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            circle = [stack.pop()]
            while circle[-1] != name:
                circle.append(stack.pop())
            if len(circle) > 1:
                circles.append(sorted(circle))

    for name in modules():
        if name not in order:
            visit(name)
    assert not circles


def test_mathematics_needs_no_labels_no_widgets_and_no_plots():
    seen = {name for name in modules() if room(name) in COMPUTE}
    waiting = list(seen)
    while waiting:
        name = waiting.pop()
        heavy = {(dotted, line) for dotted, line in imported(name) if dotted.partition(".")[0] in HEAVY}
        assert not heavy, f"lab.{name}, which mathematics needs, imports {heavy}"
        fresh = {target for target, _ in edges(name)} - seen
        assert "" not in fresh, f"lab.{name}, which mathematics needs, imports the front door"
        seen |= fresh
        waiting += fresh


def test_draws_are_counted_in_a_row():
    """A draw of ``jax.random`` with several axes compiles for up to seconds (``lab.numerics.random``)."""
    slow = {"normal", "uniform", "randint", "rademacher", "categorical"}
    for name, module in modules().items():
        for node in ast.walk(module.tree) if name != "numerics.random" else ():
            match node:
                case ast.Attribute(value=ast.Attribute(value=ast.Name(id="jax"), attr="random"), attr=draw) if (
                    draw in slow
                ):
                    raise AssertionError(f"lab.{name}, line {node.lineno}: take random.{draw} of lab.numerics")


class Built(NamedTuple):
    slug: str
    classname: str
    folder: Path

    @property
    def words(self) -> set[str]:
        return {self.slug, self.classname, self.folder.name}


@cache
def built_in() -> tuple[Built, ...]:
    """The studies, by the text of their classes."""
    found = []
    for name, module in modules().items():
        if room(name).partition(".")[2] not in FIELDS or module.path.name not in ("__init__.py", "study.py"):
            continue
        for node in module.tree.body:
            for line in node.body if isinstance(node, ast.ClassDef) else ():
                match line:
                    case ast.Assign(targets=[ast.Name(id="slug")], value=ast.Constant(value=str(slug))):
                        found.append(Built(slug, node.name, module.path.parent))
    return tuple(found)


def test_the_studies_are_found():
    assert {study.slug for study in built_in()} == {path.stem for path in (ROOT / "dashboards").glob("*.py")} - {
        "gallery"
    }


def texts(tree: ast.AST) -> Iterator[str]:
    """Names and texts of a module, less its docstrings."""
    docs = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                docs.add(node.value)
            case ast.Constant(value=str(text)) if node not in docs:
                yield text
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.alias(name=text):
                yield text


def test_faces_name_no_study():
    words = {word for study in built_in() for word in study.words}
    told = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?![\w-])")
    named = set()
    for name, module in modules().items():
        if room(name) in FACES:
            named |= {(name, found[0]) for text in texts(module.tree) for found in told.finditer(text)}
            fields = {target for target, _ in edges(name) if room(target).partition(".")[2] in FIELDS}
            assert not fields, f"lab.{name} imports {fields}"
    shrinks(NAMED, named)


def test_pictures_are_made_of_the_vocabulary():
    """``from lab.studies import draw``: what a study needs from inside it is a word that is missing."""
    inside = {
        name
        for name in modules()
        if room(name).partition(".")[2] in FIELDS
        for target, _ in edges(name)
        if target in {f"studies.draw.{part}" for part in DRAWING}
    }
    shrinks(INSIDE, inside)


def test_a_study_is_short():
    def lines(path: Path) -> int:
        return len(path.read_text().splitlines()) if path.exists() else 0

    long = {
        study.slug
        for study in built_in()
        if lines(study.folder / "__init__.py") + lines(study.folder / "pictures.py") > MOST_LINES
    }
    shrinks(LONG, long)


def test_studies_have_the_typed_form():
    """Studies that are still to be converted are listed, as are converted ones that are still too long."""
    typed = {study.slug: study.folder for study in built_in() if (study.folder / "experiment.py").exists()}
    shrinks(UNTYPED, {study.slug for study in built_in()} - typed.keys())
    files = {"__init__.py", "study.py", "experiment.py", "pictures.py", "claims.py", "story.py"}
    assert all({path.name for path in folder.glob("*.py")} <= files for folder in typed.values())
    lines = {slug: sum(len(path.read_text().splitlines()) for path in at.glob("*.py")) for slug, at in typed.items()}
    shrinks(TOO_LONG, {slug for slug, number in lines.items() if number > 1000})


@pytest.mark.parametrize("field", COMPUTE)
def test_a_field_gives_its_modules_as_attributes(field):
    import lab

    package = getattr(lab, field)
    for name in modules():
        if room(name) == field and name != field and name.count(".") == 1:
            part = name.partition(".")[2]
            assert part in dir(package)
            assert getattr(package, part) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_an_import_computes_nothing():
    """What is computed on import is in the precision of that moment, and everybody waits for it."""
    program = (
        "import importlib, pkgutil, jax, lab\n"
        "compiled = []\n"
        "listen = jax.monitoring.register_event_duration_secs_listener\n"
        "listen(lambda event, seconds, **named: compiled.append(event) if 'backend_compile' in event else None)\n"
        "for found in pkgutil.walk_packages(lab.__path__, 'lab.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        importlib.import_module(found.name)\n"
        "        assert not compiled and not jax.live_arrays(), found.name\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
