"""Where studies come from: the modules beside this one, installed packages, and a user's file."""

import importlib.util
import pkgutil
import sys
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from os.path import expanduser
from pathlib import Path

from lab import datasets
from lab.inputs import SENTENCE, LeftOut, cut, listed, shown

from . import sweeping
from .claims import Claim
from .declare import Live, Paper, Preset, Result
from .pictures import Picture, Pictures
from .reported import Reported
from .reported import flaw as table_flaw
from .study import Study
from .telling import names_in

_STUDIES = Path(__file__).parents[1]
_ROOMS = ("contract", "draw", "vocabulary")  # beside the folders of the fields
_found: dict[str, type[Study]] = {}
_SLOW = 10.0  # seconds after which the import of another package's study is reported
_scanned = False


def catalogue() -> list[type[Study]]:
    """All studies: built in, from the entry point group ``lab.studies``, and from files loaded so far.

    Imports each of them at the first call; a study of an installed package that can't be used is left out with a warning.

    Returns:
        the classes, ordered by field, by the year of the paper, and by title.

    Examples:
        >>> from lab.studies import catalogue
        >>> "sparse-ot" in {study.slug for study in catalogue()}
        True
    """
    _scan()
    return sorted(_found.values(), key=lambda study: (study.field, study.paper.year, study.title))


def find(name: str) -> type[Study]:
    """The study of that name, or the one in that ``.py`` file, which is executed: for what a person typed.

    Args:
        name: a slug, or the path of a Python file with one study.

    Returns:
        the class.

    Raises:
        ValueError: there is none, and the sentence names close ones; or the file has several, or can't be used.

    Examples:
        >>> from lab.studies import find
        >>> find("sparse-ot").__name__
        'SparseOT'
    """
    if name.endswith(".py"):
        loaded = load_file(name)
        if len(loaded) > 1:
            raise ValueError(
                f"{name} holds {len(loaded)} studies ({', '.join(s.slug for s in loaded)}): name one of them"
            )
        return loaded[0]
    return named(name)


def named(name: str) -> type[Study]:
    """The study of that name, among those at hand: for what was read from a file, which is never to name code.

    Args:
        name: a slug; a path is no name.

    Returns:
        the class.

    Raises:
        ValueError: there is none; the sentence names close ones.

    Examples:
        >>> from lab.studies import named
        >>> named("sparse-ot").title
        'Sparsity-constrained optimal transport'
    """
    if not isinstance(name, str) or len(name) > 200:
        raise ValueError("what should name a study does not: it must be a text, as lab list shows them")
    if name not in _found and not _scanned and (module := _built_in().get(name)):
        _register_all(module)  # the others are not needed
    if name not in _found:
        _scan()
    if name not in _found:
        close = get_close_matches(name[:80], _found, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"the studies are {listed(sorted(_found), 180)}"
        raise ValueError(f"there is no study {shown(name)}; {hint}")
    return _found[name]


def of_class(name: str) -> type[Study] | None:
    """The lab's own study whose class has this name, which is its slug in capitals; the others are not imported.

    Args:
        name: of the class.

    Returns:
        the class, or None where there is none.

    Examples:
        >>> from lab.studies.contract.registry import of_class
        >>> of_class("SparseOT").slug, of_class("SparseOt")
        ('sparse-ot', None)
    """
    slug = next((slug for slug in _built_in() if slug.replace("-", "") == name.lower()), None)
    study = None if slug is None else named(slug)
    return study if study is not None and study.__name__ == name else None


def load_file(path: str | Path) -> list[type[Study]]:
    """Import a user's file, which is executed, and add the studies it defines.

    Args:
        path: of a Python file.

    Returns:
        the classes that it defines, in order.

    Raises:
        ValueError: no such file, it can't be imported, it defines no study, or one that ``register`` refuses.

    Examples:
        >>> from lab.studies import load_file
        >>> load_file("/nowhere.py")
        Traceback (most recent call last):
        ValueError: there is no file /nowhere.py
    """
    return [register(study) for study in _defined(path)]


def load_files(paths: Sequence[str | Path]) -> None:
    """Import several files and add their studies. One that can't be used is told (``LeftOut``), and the others are added.

    Args:
        paths: of Python files, which are executed; two files that define the same slug are a fault of the second.

    Raises:
        ValueError: none of the files can be used.

    Examples:
        >>> from lab.studies import load_files
        >>> load_files([])
        >>> load_files(["/nowhere.py", "/neither.py"])
        Traceback (most recent call last):
        ValueError: there is no file /nowhere.py
    """
    refusals: list[ValueError] = []
    names: dict[str, str] = {}
    for path in paths:
        try:
            for study in _defined(path):
                other = names.setdefault(study.slug, str(path))
                if other != str(path):
                    raise ValueError(
                        f"{cut(path)} defines the study {study.slug}, as {cut(other)} does: give one another slug"
                    )
                register(study)
        except ValueError as refusal:
            refusals.append(refusal)
    if refusals and len(refusals) == len(paths):
        raise refusals[0]
    for refusal in refusals:
        warnings.warn(cut(refusal, SENTENCE), LeftOut, stacklevel=2)


def _defined(path: str | Path) -> list[type[Study]]:
    path = Path(expanduser(path)).absolute()
    if not path.is_file():
        raise ValueError(f"{cut(path)} is no regular file" if path.exists() else f"there is no file {cut(path)}")
    path = path.resolve()
    module_name = f"lab_user_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # a .py path always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exception:
        del sys.modules[module_name]
        why = f"{type(exception).__name__}: {cut(exception, 160)}"
        raise ValueError(f"{cut(path.name)} can't be imported: {why}") from exception
    loaded = _studies_in(module)
    if not loaded:
        raise ValueError(f"{path.name} defines no study: a class derived from lab.studies.Study with a slug")
    return loaded


def register(study: type[Study]) -> type[Study]:
    """Add a study, after checking that its declaration is whole and its name none of the lab's own studies.

    A study of the same slug that is not the lab's own is replaced. It serves as the decorator of a class.

    Args:
        study: the class.

    Returns:
        the same class.

    Raises:
        ValueError: what its declaration lacks, in a sentence; or the slug is taken.

    Examples:
        >>> from lab.studies import Study, register
        >>> class Blank(Study):
        ...     slug = "blank"
        >>> register(Blank)
        Traceback (most recent call last):
        ValueError: the study blank is not complete: it has no title
    """
    try:
        problem = flaw(study)
    except Exception as exception:  # what a declaration may hold has no end
        problem = f"{type(exception).__name__}: {cut(exception, 160)}"
    if problem:
        raise ValueError(f"the study {study.slug or study.__name__} is not complete: {problem}")
    if not _is_ours(study) and study.slug in _built_in():
        raise ValueError(
            f"the name {study.slug} is taken by the lab's own study {named(study.slug).title!r}: give yours another slug "
            "or title"
        )
    _found[study.slug] = study
    return study


def _is_ours(study: type[Study]) -> bool:
    return study.__module__.startswith("lab.")


_OPTIONS = {
    "again",
    "at",
    "cores",
    "dry_run",
    "frames",
    "from",
    "height",
    "job_memory",
    "keep",
    "memory",
    "on",
    "output",
    "preset",
    "queue",
    "retry_failed",
    "style",
    "walltime",
    "width",
    "workers",
}


_HOLDS = {
    "results": Result,
    "presets": Preset,
    "claims": Claim,
    "reported": Reported,
    "live": Live,
    "pictures": Picture,
}


def flaw(study: type[Study]) -> str:
    """What is missing in a declaration, or not what every face can count on, in a sentence; "" when nothing is."""
    for attribute in ("slug", "title", "field", "about", "kind"):
        if not getattr(study, attribute):
            return f"it has no {attribute}"
        if not isinstance(getattr(study, attribute), str):
            return f"its {attribute} is no text"
    if not isinstance(study.paper, Paper):
        return "its paper is no Paper(authors, title, venue, year)"
    for name, kind in Paper.__annotations__.items():
        if not isinstance(getattr(study.paper, name), kind):
            return f"the {name} of its paper is {shown(getattr(study.paper, name))}, which is no {kind.__name__}"
    if not isinstance(study.pictures, Pictures):
        return "its pictures are no Pictures(...)"
    for attribute, kind in _HOLDS.items():
        if not all(isinstance(item, kind) for item in getattr(study, attribute)):
            return f"its {attribute} hold what is no {kind.__name__}"
    if study.needs:
        if not datasets.is_kind(study.kind):
            return f"it has needs, but nobody declared the kind {study.kind}: add_kind(Kind({study.kind!r}, ...))"
        if problem := datasets.kind_named(study.kind).flaw(study.needs):
            return f"it needs {problem}"
    if study.compute is Study.compute:
        return "it does not define compute"
    if not study.results:
        return "it declares no results"
    if sweeping.CELL_ERROR in {result.name for result in study.results}:
        return f"a result is named {sweeping.CELL_ERROR}, as the variable of a sweep that states why a cell is empty"
    numbers = {result.name for result in study.results if not result.dims}
    for picture in study.pictures:
        for name in names_in(picture.finds) if isinstance(picture.finds, str) else ():
            if name not in numbers:
                known = f"they are {listed(sorted(numbers))}"
                return (
                    f"the finding of its picture {picture.name} has {{{name}}}, which is none of its numbers: {known}"
                )
    if study.story is not None and (problem := study.story.flaw(study.pictures, study.parameters(), study.results)):
        return f"its story {problem}"
    if problem := table_flaw(study):
        return f"it {problem}"
    for name, parameter in study.parameters().items():
        if getattr(study, name) != parameter.default:
            return f"{name} is set to a plain value, which hides the parameter: declare it again, with its default"
        if not parameter.doc:
            return f"the parameter {name} has no doc"
        if name in _OPTIONS:
            return f"the parameter {name} has the name of an option of the command line: choose another"
    for preset in study.presets:
        unknown = set(preset.values) - set(study.parameters())
        if unknown:
            return f"the preset {preset.name} sets {', '.join(sorted(unknown))}, which is no parameter"
    return ""


def _scan() -> None:
    global _scanned
    if _scanned:
        return
    _scanned = True
    for module in _built_in().values():
        _register_all(module)
    mine = {slug for slug, study in _found.items() if not _is_ours(study)}
    for point in sorted(plugins(), key=lambda point: (point.name, point.value)):
        _add(point, mine)


@cache
def _built_in() -> dict[str, str]:
    """The modules of the lab's own studies, by the slugs that their names stand for."""
    return {
        module.name.replace("_", "-"): f"lab.studies.{field.name}.{module.name}"
        for field in pkgutil.iter_modules([str(_STUDIES)])
        if field.name not in _ROOMS
        for module in pkgutil.iter_modules([str(_STUDIES / field.name)])
    }


def _register_all(module: str) -> None:
    for study in _studies_in(import_module(module)):
        register(study)


def plugins() -> list[EntryPoint]:
    """The entry points of installed packages; where a package's list of them can't be read, none, with a warning."""
    try:
        return list(entry_points(group="lab.studies"))
    except Exception as problem:
        told = f"the studies of other packages are left out: the entry points of one can't be read: {problem}"
        warnings.warn(cut(told, SENTENCE), LeftOut, stacklevel=2)
        return []


def _add(point: EntryPoint, mine: Collection[str]) -> None:
    """Add the study of an installed package, which one of ``mine`` replaces; one that can't be used is told, and the lab goes
    on without it."""
    of = f" of the package {point.dist.name}" if point.dist else ""
    try:
        with _watched(f"the entry point {cut(point.name, 40)}{of}"):
            study = point.load()
        if not (isinstance(study, type) and issubclass(study, Study)):
            raise ValueError(f"{point.value} is no class derived from lab.studies.Study")
        if study.slug in mine:
            return
        there = _found.get(study.slug, study)
        if there is not study and not _is_ours(there):
            raise ValueError(f"the name {study.slug} is taken by {there.__module__}: one of them needs another slug")
        register(study)
    except (Exception, SystemExit) as problem:
        why = str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"
        told = f"the study of the entry point {cut(point.name, 40)}{of} is left out: {why}"
        warnings.warn(cut(told, SENTENCE), LeftOut, stacklevel=2)


@contextmanager
def _watched(what: str) -> Iterator[None]:
    """Report on standard error where an import takes long: a package may hang there, and nobody would know which."""

    def report() -> None:
        told = f"{what} has been importing for {_SLOW:g} s: wait, or end with Ctrl-C and uninstall the package"
        print(cut(told, SENTENCE), file=sys.stderr, flush=True)

    timer = threading.Timer(_SLOW, report)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _studies_in(module: object) -> list[type[Study]]:
    return [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Study)
        and item.slug
        and f"{item.__module__}.".startswith(f"{vars(module)['__name__']}.")
    ]
