"""Which code can change what a piece of the lab gives, read from the text of the sources: nothing is imported.

What is reached is followed in two grains:

- In ``lab.studies`` and ``lab.datasets``, and in what an ``__init__`` passes on, **by name**: a function, class or constant
  reaches the definitions whose names it uses. Of a study, the class is taken apart too: ``compute`` reaches a method that it
  calls, and not the pictures, claims and texts that stand beside it.
- Elsewhere **by module**: a module counts whole, and reaches the modules whose names it uses. ``ot.solve`` after ``from lab
  import ot`` is the module that defines it, not all that ``lab.ot`` gathers.

Where a name can't be followed, more is taken: a package that is used as a value is all its modules. Docstrings, comments, the
form of the text and the labels of outputs (``out(...)``) never count, and annotations of arguments are not followed, since
nothing is computed from them.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple

type Chain = tuple[str, ...]
"""A name and the attributes asked of it: ("ot", "exact", "solve"). The first is "" where they are asked of a value."""

_BY_NAME = ("lab.datasets.", "lab.studies.")
_SILENT = (
    "lab.app",
    "lab.cards",
    "lab.cli",
    "lab.code",
    "lab.disk",
    "lab.figures",
    "lab.home",
    "lab.inputs",
    "lab.memory",
    "lab.numerics.ready",
    "lab.offline",
    "lab.parts",
    "lab.reach",
    "lab.store",
    "lab.studies.draw",
    "lab.sweeps",
    "lab.watch",
    "lab.words",
)
"""Where nothing can change a number: faces, drawings, words, and where results are put."""
_ITSELF = ("", "self", "cls", "study", "super")
"""What a study is called in its own code."""


class Target(NamedTuple):
    """What an import binds: a module, or what is found by asking it for these attributes."""

    module: str
    chain: Chain = ()


class Place(NamedTuple):
    """A definition of a module, or the whole module where the name is empty."""

    module: str
    name: str = ""


class Study(NamedTuple):
    """The classes that a study is made of, and what of their members counts.

    Attributes:
        classes: the study's own first, then its bases, as Python looks through them.
        frame: the package whose classes count by what of them is called, while of all others each member counts.
        begin: members of the frame's classes that a run begins with.
        never: members that do not count.
        covered: members that count only where a class outside the frame uses them.
    """

    classes: Sequence[Place]
    frame: str
    begin: Collection[str]
    never: Collection[str]
    covered: Collection[str]


class _Piece(NamedTuple):
    """Some code: the hash of its tree, the names it uses, and what it imports under which name."""

    hash: str
    uses: frozenset[Chain]
    imports: frozenset[tuple[str, Target]]


class _Member(NamedTuple):
    """A statement within a class, or one that sets an attribute of it: the names that it says, none of a decorator."""

    names: frozenset[str]
    piece: _Piece


class Sources:
    """The text of the package ``lab`` at one moment.

    Args:
        root: its folder.

    Attributes:
        files: the texts by their paths in there.
    """

    def __init__(self, root: Path):
        self.files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.py"))}
        self._texts: dict[str, bytes] = {}
        self._packages: set[str] = set()
        for name, text in self.files.items():
            parts = ["lab", *name.removesuffix(".py").split("/")]
            if parts[-1] == "__init__":
                parts.pop()
                self._packages.add(".".join(parts))
            self._texts[".".join(parts)] = text
        self._modules: dict[str, _Module] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._texts

    @property
    def hash(self) -> str:
        """Of all texts as they are written."""
        told = sha256()
        for module, text in self._texts.items():
            told.update(f"{module} {module in self._packages} {len(text)}\n".encode() + text)
        return told.hexdigest()

    def module(self, name: str) -> "_Module":
        if name not in self._modules:
            self._modules[name] = _Module(name, self._texts[name], name in self._packages)
        return self._modules[name]

    def defines(self, place: Place) -> bool:
        """Whether the module says what this name is."""
        return place.module in self and place.name in self.module(place.module).definitions

    def is_by_name(self, module: str) -> bool:
        """Whether what is reached of a module is followed name by name."""
        return module in self._packages or module.startswith(_BY_NAME)

    def find(self, target: Target, before: frozenset[Target] = frozenset()) -> Iterator[Place | str]:
        """The places that a target may be, and by which ``__init__`` each is found, as a text.

        Args:
            before: what was asked on the way, which may go round in a circle.
        """
        name, asked = target
        if name not in self or is_silent(name) or target in before:
            return
        if not asked:
            yield from (Place(module) for module in self._within(name) if not is_silent(module))
        elif name not in self._packages:
            yield Place(name, asked[0] if self.is_by_name(name) else "")
        else:
            yield from self._passed_on(target, before | {target})

    def _passed_on(self, target: Target, before: frozenset[Target]) -> Iterator[Place | str]:
        """What a package has under a name: what its ``__init__`` imports or defines, else a module of that name."""
        name, (first, *rest) = target.module, target.chain
        module, inner = self.module(name), Target(f"{name}.{first}", tuple(rest))
        if first in module.definitions:
            yield Place(name, first)
        aliases = module.aliases.get(first, ())
        for to in aliases:
            whole = Target(to.module, (*to.chain, *rest))
            yield f"{name}.{first} is {'.'.join((to.module, *to.chain))}"
            yield from self.find(inner if whole == target else whole, before)
        if first not in module.definitions and not aliases:
            if inner.module in self:
                yield from self.find(inner, before)
            else:  # made when it is asked for
                yield from self._named_below(name, first)

    def _named_below(self, package: str, name: str) -> Iterator[Place]:
        """Classes of that name in the modules of a package, and what makes them known there."""
        made = Place(package, "__getattr__")
        yield made if self.defines(made) else Place(package)
        for module in self._within(package):
            if f"class {name}".encode() in self._texts[module] and self.defines(Place(module, name)):
                yield Place(module, name)

    def _within(self, name: str) -> list[str]:
        inside = f"{name}."
        return [name, *(each for each in self._texts if name in self._packages and each.startswith(inside))]


def is_silent(module: str) -> bool:
    """Whether the module can't change a number."""
    return any(module == silent or module.startswith(f"{silent}.") for silent in _SILENT)


class _Module:
    """What is kept of a module: its pieces by the names that they bind, and its imports, wherever in it they stand.

    Attributes:
        whole: all of it.
        definitions: also pieces that change what a name stands for: ``Study.pictures = ...``, ``@rule.defjvp``.
        members: of each class.
        always: pieces that bind nothing and mention no definition: they count with any name of the module.
        aliases: what each imported name may stand for: both, where two functions import it from different places.
    """

    def __init__(self, name: str, text: str | bytes, package: bool = False):
        self.name = name
        self.definitions: dict[str, list[_Piece]] = {}
        self.members: dict[str, list[_Member]] = {}
        self.aliases: dict[str, list[Target]] = {}
        self._place = name.split(".") if package else name.split(".")[:-1]
        try:
            statements = ast.parse(text).body
        except (SyntaxError, ValueError):  # half saved, after it was imported: it counts as it is, and leads nowhere
            statements = [ast.Expr(ast.Constant(text))]
        pieces = [(statement, self._read(statement)) for statement in _statements(statements)]
        parts = [(statement, _joined(piece for _, piece in within)) for statement, within in pieces]
        self.whole = _joined(piece for _, piece in parts)
        for alias, target in sorted(self.whole.imports):
            self.aliases.setdefault(alias, []).append(target)
        for statement, within in pieces:
            if isinstance(statement, ast.ClassDef):
                members = [_Member(self._bound(part), piece) for part, piece in within]
                self.members.setdefault(statement.name, []).extend(members)
        self.always = self._sort([each for each in parts if not isinstance(each[0], ast.Import | ast.ImportFrom)])

    def _read(self, statement: ast.stmt) -> list[tuple[ast.AST, _Piece]]:
        """The pieces of a statement: of a class the head, the decorators and each member."""
        parts: list[ast.AST] = [statement]
        if isinstance(statement, ast.ClassDef):
            bases = [*statement.bases, *(keyword.value for keyword in statement.keywords)]
            parts = [ast.Tuple(bases), *statement.decorator_list, *_statements(statement.body)]
        return [(part, _Reader(self._place).piece(part)) for part in parts]

    def _sort(self, pieces: Iterable[tuple[ast.stmt, _Piece]]) -> list[_Piece]:
        loose = []
        for statement, piece in pieces:
            bound = self._bound(statement)
            for each in bound:
                self.definitions.setdefault(each, []).append(piece)
            for of, member in _set_below(statement):
                self.members.setdefault(of, []).append(_Member(frozenset([member]), piece))
            if not bound:
                loose.append(piece)
        for piece in loose:
            for each in {each[0] for each in piece.uses} & self.definitions.keys():
                self.definitions[each].append(piece)
        return [piece for piece in loose if not {each[0] for each in piece.uses} & self.definitions.keys()]

    def _bound(self, statement: ast.AST) -> frozenset[str]:
        """The names that a statement binds, and those of this module of which it changes what they stand for."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            called = (each.func if isinstance(each, ast.Call) else each for each in statement.decorator_list)
            rules = {
                _root(each) for each in called if isinstance(each, ast.Attribute)
            }  # @rule.defjvp: part of the rule
            return frozenset({statement.name} | (rules - {""} - self.aliases.keys()))
        names, changed = set(), set()
        for node in chain.from_iterable(map(ast.walk, _targets(statement))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
                changed.add(_root(node))
        return frozenset(names | (changed - {""} - self.aliases.keys()))


def _joined(pieces: Iterable[_Piece]) -> _Piece:
    pieces = list(pieces)
    if len(pieces) == 1:
        return pieces[0]
    told = sha256(" ".join(piece.hash for piece in pieces).encode()).hexdigest()
    return _Piece(told, frozenset().union(*(p.uses for p in pieces)), frozenset().union(*(p.imports for p in pieces)))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that do something: no docstrings, and nothing that is for type checkers only."""
    return (each for each in body if not _is_text(each) and not _is_for_types(each))


class _Reader:
    """Reads a tree once: its words in order, whatever the version of Python, the names that it uses, and its imports.

    Args:
        place: the package that the code is in, by its parts.
    """

    def __init__(self, place: Sequence[str]):
        self._place = place
        self._words: list[str] = []
        self._imports: set[tuple[str, Target]] = set()

    def piece(self, node: ast.AST) -> _Piece:
        uses: set[Chain] = set()
        self._read(node, uses)
        told = sha256("\n".join(self._words).encode()).hexdigest()
        return _Piece(told, frozenset(uses), frozenset(self._imports))

    def _read(self, node: ast.AST, uses: set[Chain]) -> None:
        if type(node) is ast.Name:  # a million are asked: quicker than isinstance
            self._words.append(node.id)
            uses.add((node.id,))
        elif type(node) is ast.Constant:
            self._words.append(f"= {node.value!r}")
        elif type(node) is ast.Attribute:
            self._chain(node, uses)
        elif not _is_for_types(node) and not _is_text(node):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imports.update(self._imported(node))
            self._fields(node, uses)

    def _chain(self, node: ast.expr, uses: set[Chain]) -> None:
        asked: list[str] = []
        while isinstance(node, ast.Attribute):
            asked.append(node.attr)
            node = node.value
        self._words += [".", *asked]
        first = node.id if isinstance(node, ast.Name) else ""
        uses.add((first, *reversed(asked)))
        if first:
            self._words.append(first)
        else:
            self._read(node, uses)
        self._words.append(")")

    def _fields(self, node: ast.AST, uses: set[Chain]) -> None:
        self._words += [type(node).__name__, "("]
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _UNSAID:
                continue
            if _declares_output(node, name):
                value = value.func
            self._words.append(name)
            followed = set() if name == "returns" or (name == "annotation" and type(node) is ast.arg) else uses
            for each in value if type(value) is list else (value,):
                if isinstance(each, ast.AST):
                    self._read(each, followed)
                else:
                    self._words.append(repr(each))
        self._words.append(")")

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Target]]:
        if isinstance(node, ast.ImportFrom):
            base = self._place[: len(self._place) + 1 - node.level] if node.level else []
            module = ".".join((*base, *filter(None, [node.module])))
            for each in node.names:
                yield each.asname or each.name, Target(module, () if each.name == "*" else (each.name,))
        else:
            for each in node.names:
                first = each.name.split(".")[0]
                yield (each.asname, Target(each.name)) if each.asname else (first, Target(first))


_UNSAID = ("ctx", "kind", "type_comment")  # what the rest of a tree says already, or nobody


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a text below what it describes."""
    return type(node) is ast.Expr and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _declares_output(node: ast.AST, name: str) -> bool:
    """Whether this part of a statement is the label and judge of a result, ``out(...)`` of ``lab.studies``."""
    value = getattr(node, "value", None) if type(node) is ast.AnnAssign and name == "value" else None
    return type(value) is ast.Call and getattr(value.func, "id", "") == "out"


def _is_for_types(node: ast.AST) -> bool:
    if type(node) is not ast.If:
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _targets(statement: ast.AST) -> Sequence[ast.AST]:
    """What an assignment assigns to, without the variables of a comprehension; any other statement whole."""
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign | ast.AugAssign) else [statement]


def _set_below(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """The name and the attribute of each ``name.attribute = ...``."""
    for each in statement.targets if isinstance(statement, ast.Assign) else ():
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            yield each.value.id, each.attr


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


# ---- following ---------------------------------------------------------------------------------------------------------


class Reach:
    """All that is reached from some beginnings, as lines of a text: the same whatever the order, the process, the machine.

    Args:
        sources: where to look.
        study: of whose members more is known than that they belong to a class.
    """

    def __init__(self, sources: Sources, study: Study | None = None):
        self._sources, self._study = sources, study
        self._lines: set[str] = set()
        self._seen: set[Place] = set()
        self._waiting: list[Place] = []
        self._members: dict[str, list[tuple[_Module, str, _Piece]]] = {}
        self._classes = {place.name for place in study.classes} if study is not None else set()
        if study is not None:
            self._take_apart(study)
        self._follow()

    @property
    def lines(self) -> list[str]:
        """What was reached: the name and the hash of each piece, and by which ``__init__`` a name was found."""
        return sorted(self._lines)

    @property
    def hash(self) -> str:
        return sha256("\n".join(self.lines).encode()).hexdigest()

    def add(self, *places: Place) -> None:
        """Follow these places too."""
        self._waiting += places
        self._follow()

    def say(self, *lines: str) -> None:
        """Add what is not found in the sources."""
        self._lines.update(lines)

    def add_text(self, text: str) -> None:
        """Follow what some code from outside the lab uses of it; its own text is not hashed."""
        module = _Module("", text)
        self._use(module, "", module.whole)
        self._follow()

    def _follow(self) -> None:
        while self._waiting:
            place = self._waiting.pop()
            if place in self._seen or is_silent(place.module) or place.module not in self._sources:
                continue
            self._seen.add(place)
            if self._study is not None and place in self._study.classes:
                continue
            module = self._sources.module(place.module)
            if not place.name:
                self._use(module, place.module, module.whole)
                continue
            if place.name not in module.definitions:
                self._pass_on(module, place.name)
            for piece in (*module.definitions.get(place.name, ()), *module.always):
                self._use(module, f"{place.module}:{place.name}", piece)

    def _pass_on(self, module: _Module, name: str) -> None:
        """A module has a name of another one; where nothing says what it is, the whole module counts."""
        targets = module.aliases.get(name, ())
        for target in targets:
            self._lines.add(f"{module.name}.{name} is {'.'.join((target.module, *target.chain))}")
            self._find(target)
        if not targets:
            self._waiting.append(Place(module.name))

    def _find(self, target: Target) -> None:
        for found in self._sources.find(target):
            if isinstance(found, Place):
                self._waiting.append(found)
            else:
                self._lines.add(found)

    def _use(self, module: _Module, what: str, piece: _Piece) -> None:
        """Count a piece of a module, where it has a name, and follow the names that it uses."""
        if what:
            self._lines.add(f"{what} {piece.hash}")
        used = {each[0] for each in piece.uses}
        unused = {name for name, _ in piece.imports} - used  # imported for what that does
        for first, *rest in (*piece.uses, *((name,) for name in unused)):
            targets = module.aliases.get(first, ())
            for target in targets:
                self._find(Target(target.module, (*target.chain, *rest)))
            if first in module.definitions and self._sources.is_by_name(module.name):
                self._waiting.append(Place(module.name, first))
            if not targets or first in self._classes:
                self._ask(module, first, rest)

    # ---- the members of a study ----------------------------------------------------------------------------------

    def _take_apart(self, study: Study) -> None:
        self._lines.add(f"classes {' '.join(map(':'.join, study.classes))}")
        left_out = {*study.never, *study.covered}
        for place in study.classes:
            module = self._sources.module(place.module)
            for member in module.members[place.name]:
                for name in member.names:
                    self._members.setdefault(name, []).append((module, place.name, member.piece))
        for place in study.classes:
            module = self._sources.module(place.module)
            for names, piece in module.members[place.name]:
                if not self._is_frame(module) and not (names and names <= left_out):
                    self._use(module, f"{place.module}:{place.name}.{','.join(sorted(names))}", piece)
        for name in study.begin:
            self._count(name)

    def _is_frame(self, module: _Module) -> bool:
        return self._study is not None and f"{module.name}.".startswith(f"{self._study.frame}.")

    def _ask(self, module: _Module, what: str, names: Iterable[str]) -> None:
        """Some code asks something for these attributes, which may be members of the study: what is not, never knows."""
        if self._study is None or (module.name and not module.name.startswith(_BY_NAME)):
            return
        frame = self._is_frame(module)
        for name in names if not frame or what in _ITSELF else ():
            if not (frame and name in self._study.covered):
                self._count(name)

    def _count(self, name: str) -> None:
        """All that the classes have under a name, also those further up: they may be called by those below."""
        if self._study is not None and name not in self._study.never:
            for module, of, piece in self._members.pop(name, ()):
                self._use(module, f"{module.name}:{of}.{name}", piece)
