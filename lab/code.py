"""Which code made a result: a version does not tell two states of a working tree apart."""

import ast
import inspect
import linecache
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from lab import home
from lab.disk import cache as cache_file
from lab.reach import Place, Reach, Sources, Study

_CONTRACT = "lab.studies.contract"
_RUN = ("execute", "label", "inputs", "prepare", "compute", "coords", "facts")
"""What a run calls of the contract."""
_WORDS = (
    "slug",
    "title",
    "field",
    "paper",
    "about",
    "mathematics",
    "text",
    "story",
    "dims",
    "ends",
    "live",
    "advice",
    "version",
    "pictures",
    "presets",
    "claims",
    "reported",
    "recipe",
    "attributes",
)
"""What is told of a run and drawn of it; and what a key knows already."""
_GIVEN = ("data_options", "kind", "needs", "load", "check", "limits", "parameters", "values")
"""What gives data and parameters, which a key has, or refuses them."""
_OTHERS = {"param", *sys.stdlib_module_names}


@cache
def ours(without: tuple[str, ...]) -> str:
    """A hash over the lab's own code as it is written, less the floors that can't change what is meant."""
    return _hash(lambda name: not _below(name, without))


@cache
def floors(*names: str) -> str:
    """A hash over the code of these floors, rooms or modules as it is written: ``floors("figures", "studies/draw")``."""
    return _hash(lambda name: _below(name, names))


def _hash(counts: Callable[[str], bool]) -> str:
    digest = sha256()
    for name, text in _sources().files.items():
        if counts(name):
            digest.update(name.encode() + b"\0" + text)
    return digest.hexdigest()


def _below(name: str, places: Collection[str]) -> bool:
    return any(name == f"{place}.py" or name.startswith(f"{place}/") for place in places)


@cache
def written() -> str:
    """A hash over all of the lab's own code as it is written."""
    return _sources().hash


@cache
def of_user(study: type) -> str:
    """A hash over the file, or the notebook's cell, of a study that is not the lab's own; "" for ours.

    A class that a function has made has no text of its own: its ``definition`` says what it is.
    """
    if _is_ours(study):
        return ""
    return sha256(_text(study).encode() + getattr(study, "definition", "").encode()).hexdigest()


@cache
def of_run(study: type, *beside: str) -> str:
    """A hash over all code that the numbers of a study, and their labels, can depend on.

    Counted are what ``compute`` and the other functions of a run reach (``lab.reach``), and the names, dimensions and units of
    the results. Captions, claims, presets and texts are not, nor what makes the data: a key has the hash of those.

    Args:
        beside: members of the study that count too, such as ``"pictures"``.
    """
    if not all(map(_is_known, _classes(study))):
        return reached(study, beside=beside).hash
    # to parse the sources takes a third of a second of each process, so what was found is kept with what it was found in
    asked = sha256("\0".join((_sources().hash, sys.version, *_place(study), *beside)).encode()).hexdigest()
    path = home.home() / "cache" / "reach" / "-".join((study.slug, *beside))
    before, _, found = (cache_file.read(path) or b"").decode().partition(" ")
    if before != asked:
        found = reached(study, beside=beside).hash
        with suppress(OSError):  # a home that can't be written to costs only the time
            path.parent.mkdir(parents=True, exist_ok=True)
            cache_file.write(path, f"{asked} {found}".encode())
    return found


def reached(study: type, sources: Sources | None = None, beside: Collection[str] = ()) -> Reach:
    """What ``of_run`` hashes: of the code that runs, or of other sources."""
    sources = _sources() if sources is None else sources
    declared = _declared(study)
    never = {*_WORDS, *declared} - {*beside}
    classes = _classes(study)
    known = [each for each in classes if _is_ours(each) and sources.defines(_place(each))]
    reach = Reach(sources, Study([_place(each) for each in known], _CONTRACT, _RUN, never, _GIVEN))
    reach.say(*chain.from_iterable(declared.values()))
    for each in classes:
        if each not in known:  # a user's, or one that a function has made
            reach.say(of_user(each))
            if _is_ours(each):
                reach.add(Place(each.__module__))
            else:
                _follow(reach, each)
            reach.add(*_held(each, never))
    return reach


def of_function(function: Callable) -> str:
    """A hash over all code of the lab that a function reaches, and over its own."""
    reach = Reach(_sources())
    reach.add(_place(function))
    if not _is_ours(function):
        reach.say(text_of(function))
        _follow(reach, function)
    return reach.hash


def text_of(made: Any) -> str:
    """The source of a function, or of the class of an object; where there is none, what it is printed as."""
    try:
        return inspect.getsource(made if inspect.isroutine(made) or isinstance(made, type) else type(made))
    except (OSError, TypeError):
        return repr(made)


@cache
def _sources() -> Sources:
    """The lab's, as they are when they are first asked for: what is edited later is not what runs."""
    return Sources(Path(__file__).parent)


def _follow(reach: Reach, made: Any) -> None:
    """What a class or function from outside the lab uses: its whole file, or of a notebook what it names there."""
    if _file(made):
        reach.add_text(_text(made))
    else:
        told = _with_names(made)
        reach.say(told)
        reach.add_text(told)


def _classes(study: type) -> list[type]:
    """That a study is made of, its own first."""
    return [each for each in study.__mro__ if each.__module__.split(".")[0] not in _OTHERS]


def _is_known(made: type) -> bool:
    """Whether the lab's sources say all that a class is."""
    return _is_ours(made) and _sources().defines(_place(made))


def _is_ours(made: Any) -> bool:
    return made.__module__.startswith("lab.")


def _place(made: Any) -> Place:
    """Of a class or function; of one that is made within a function, that function."""
    return Place(made.__module__, made.__qualname__.split(".")[0])


def _declared(study: Any) -> dict[str, list[str]]:
    """Of parameters and results what a run depends on: by the member that declares it, in words."""
    told = {name: [f"{name} {type(each).__name__} {each.traced}"] for name, each in study.parameters().items()}
    results = [f"{each.name} {each.dims} {each.unit} {bool(each.absent)}" for each in study.results]
    return told | {"results": results}


def _held(study: type, never: Collection[str]) -> Iterator[Place]:
    """Where what a class has been given by a function was made."""
    for name, value in vars(study).items():
        value = _bare(value)
        made = value if inspect.isfunction(value) or isinstance(value, type) else type(value)
        if name not in never and _is_ours(made):
            yield _place(made)


def _file(made: Any) -> str | None:
    return getattr(sys.modules.get(made.__module__), "__file__", None)


def _text(made: Any) -> str:
    """The file of a class or function, or what a notebook's cell has of it; "" where neither can be had."""
    file = _file(made)
    if not file:
        return _in_cell(made)
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _in_cell(made: Any) -> str:
    """The definition of a class or function in the cell that its code is from; ``inspect`` finds no class in a notebook."""
    held = (made, *map(_bare, getattr(made, "__dict__", {}).values()))
    codes = [getattr(inspect.unwrap(each), "__code__", None) for each in held]
    cell = "".join(linecache.getlines(next((code.co_filename for code in codes if code), "")))
    with suppress(SyntaxError):
        for node in ast.parse(cell).body:
            if getattr(node, "name", "") == made.__qualname__.split(".")[0]:
                return ast.unparse(node)
    return ""


def _bare(value: Any) -> Any:
    """The function in a method."""
    return getattr(value, "__func__", value)


def _with_names(made: Any) -> str:
    """A definition of a notebook with the others there that it uses, and where it has all else from, as one text."""
    there = vars(sys.modules[made.__module__]) if made.__module__ in sys.modules else {}
    told: dict[str, str] = {}
    waiting = [(made.__qualname__, made)]
    while waiting:
        name, value = waiting.pop()
        if name in told:
            continue
        of = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        if inspect.ismodule(value):
            told[name] = f"import {of} as {name}"
        elif of == made.__module__ and hasattr(value, "__qualname__"):
            told[name] = source = _in_cell(value)
            names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
            waiting += [(each, there[each]) for each in names & there.keys()]
        elif isinstance(value, int | float | str):
            told[name] = f"{name} = {value!r}"
        elif of:
            kind = value if hasattr(value, "__qualname__") else type(value)
            told[name] = f"from {of} import {kind.__qualname__.split('.')[0]} as {name}"
    return "\n".join(told[name] for name in sorted(told))
