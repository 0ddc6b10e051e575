"""The named sets: one entry each, cheap to list, built on request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np

from lab.inputs import listed, shown

from .data import Data
from .kinds import NOTHING, Needs, is_kind, kind_named


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a set without loading it.

    Attributes:
        options: each option with its default.
        allowed: for each option, the (smallest, largest) integer or the allowed words.
        has: the arrays of the kind that its data have, as far as they are told; those of ``Kind.usual`` when empty.
        sizes: of the dimensions of the kind, as far as they are known: a number, or the option that it is the value of.
        raw: the files inside installed packages that the set is made from, each with its SHA-256.
        build: makes the fields of ``Data`` that the entry does not state, from the options.
    """

    name: str
    title: str
    kind: str
    summary: str
    source: str
    licence: str
    real: bool
    options: Mapping[str, Any]
    allowed: Mapping[str, tuple]
    has: tuple[str, ...] = ()
    sizes: Mapping[str, int | str] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    build: Callable[..., dict[str, Any]] = field(default=dict, repr=False, compare=False)

    def facts(self, options: Mapping[str, Any] = MappingProxyType({})) -> tuple[tuple[str, ...], dict[str, int]]:
        """The arrays and the sizes of dimensions that the set has with these options, without making it."""
        chosen = self.chosen(options)
        sizes = {dim: int(chosen[size]) if isinstance(size, str) else size for dim, size in self.sizes.items()}
        return self.has or (kind_named(self.kind).usual if is_kind(self.kind) else ()), sizes

    def chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All its options, with the values that are given; those that it does not have are left out.

        Raises:
            ValueError, TypeError: a value that is not allowed.
        """
        given = {key: value for key, value in options.items() if key in self.options and value is not None}
        return dict(self.options) | {key: _checked(self, key, value) for key, value in given.items()}

    def fits(self, needs: Needs) -> bool:
        """Whether the set has what is needed of its kind, with the options that it has by itself."""
        return not needs or not kind_named(self.kind).lacks(needs, self.name, *self.facts())[0]


NO_DATA = "none"  # the kind, and the only set, of studies that compute from their parameters alone
_entries: dict[str, Entry] = {}


def register(
    *,
    name: str,
    title: str,
    summary: str,
    source: str = "synthetic",
    licence: str = "none needed",
    real: bool = False,
    options: Mapping[str, tuple[Any, tuple]] | None = None,
    kind: str = "transport",
    has: Sequence[str] = (),
    sizes: Mapping[str, int | str] | None = None,
    raw: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., dict[str, Any]]]:
    """Add a set: decorates the function that builds it.

    What is made and not brought states no ``source``; ``packaged.facts`` states it for what packages carry.
    ``options`` maps a name to its default and what is allowed: ``{"n": (64, (2, 1024))}`` for integers, ``{"share": (0.1, (0.0,
    0.5))}`` for real numbers, ``{"source": ("coffee", ("coffee", "rocket"))}`` for words. The function takes them by keyword
    and returns ``arrays`` and any other field of ``Data``; what it leaves out comes from here.

    ``has`` and ``sizes`` say, before the data are made, what a study may need of them: ``has=("x", "classes"), sizes={"n":
    "n", "d": 2}``, where the text "n" is the option of that name.

    Raises:
        ValueError: an option of another form, or the name of one of the lab's own sets.
    """
    for key, option in (options or {}).items():
        if not _well_formed(option):
            raise ValueError(
                f"the option {key} of the data set {name!r} is {shown(option)}, but it must be a default and what is allowed: "
                '(64, (2, 1024)), (0.1, (0.0, 0.5)) or ("a", ("a", "b"))'
            )

    def add(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        there = _entries.get(name)
        if there and _is_ours(there.build) and not _is_ours(build):
            raise ValueError(f"the name {name!r} is taken by one of the lab's own data sets: give yours another")
        _entries[name] = Entry(
            name=name,
            title=title,
            kind=kind,
            summary=summary,
            source=source,
            licence=licence,
            real=real,
            options={key: default for key, (default, _) in (options or {}).items()},
            allowed={key: allowed for key, (_, allowed) in (options or {}).items()},
            has=tuple(has),
            sizes=dict(sizes or {}),
            raw=dict(raw or {}),
            build=build,
        )
        _load.cache_clear()  # a user's set may be another one under the same name
        return build

    return add


def _is_ours(build: Callable) -> bool:
    return getattr(build, "__module__", "").startswith("lab.")


def _well_formed(option: Any) -> bool:
    match option:
        case (str() as word, (*words,)):
            return word in words
        case (int() | float() as default, (int() | float() as low, int() | float() as high)):
            return low <= default <= high
    return False


def catalogue(kind: str | None = None, needs: Needs = NOTHING) -> list[Entry]:
    """The named sets: all, or those of one kind which have what is needed of it. Loads nothing.

    Args:
        kind: the name of a kind; all when None.
        needs: what the sets must have.

    Returns:
        the entries, in the order in which they were registered; the first of a kind is its default.

    Examples:
        >>> from lab import datasets
        >>> "bump-to-bump" in [entry.name for entry in datasets.catalogue("transport")]
        True
    """
    known = (entry for entry in _entries.values() if entry.kind != NO_DATA or kind == NO_DATA)
    return [entry for entry in known if kind in (None, entry.kind) and entry.fits(needs)]


def load(name: str, *, strict: bool = True, **options: Any) -> Data:
    """The named set. The same options give bitwise the same arrays.

    An option that is None takes its default. Data are kept in memory, so that asking again costs nothing.

    Args:
        name: of the set.
        strict: refuse an option that the set does not have; False ignores it.
        options: of the set, such as ``seed`` and ``n``.

    Returns:
        the data, read-only.

    Raises:
        ValueError: an unknown name, an unknown option, or a value out of bounds.
        TypeError: a value of the wrong type.

    Examples:
        >>> from lab import datasets
        >>> datasets.load("four-atoms").arrays["x"].ravel().tolist()
        [-2.0, -0.5, 1.0, 3.0]
    """
    if name not in _entries:
        raise ValueError(f"there is no data set {shown(name)}; {suggestions(name)}")
    entry = _entries[name]
    unknown = [key for key in options if key not in entry.options]
    if unknown and strict:
        has = f"its options are {', '.join(entry.options)}" if entry.options else "it has no options"
        raise ValueError(f"the data set {name!r} has no option {shown(unknown[0])}; {has}")
    return _load(name, tuple(entry.chosen(options).items()))


def suggestions(name: str, kind: str | None = None, needs: Needs = NOTHING) -> str:
    """The end of a sentence: names close to the one given, or all names; of one kind, which fit, where it is known."""
    names = [entry.name for entry in catalogue(kind, needs)]
    close = get_close_matches(name[:80], names, n=3, cutoff=0.5)
    of = f" of kind {kind}" if kind else ""
    return f"did you mean {' or '.join(close)}?" if close else f"the data sets{of} are {listed(names, 180)}"


def entry_of(name: str) -> Entry | None:
    """What the registry knows of a named set. Loads nothing.

    Args:
        name: of the set.

    Returns:
        its entry; None when there is none.

    Examples:
        >>> from lab import datasets
        >>> datasets.entry_of("four-atoms").title, datasets.entry_of("five-atoms")
        ('Four points on a line', None)
    """
    return _entries.get(name)


@lru_cache(maxsize=32)
def _load(name: str, options: tuple[tuple[str, Any], ...]) -> Data:
    entry = _entries[name]
    stated = {key: getattr(entry, key) for key in ("name", "title", "kind", "source", "licence")}
    made = Data(**{**stated, **entry.build(**dict(options))})
    if is_kind(made.kind) and not _is_ours(entry.build):
        kind_named(made.kind).check(name, made.arrays)
    return made


def _checked(entry: Entry, key: str, value: Any) -> Any:
    allowed = entry.allowed[key]
    if isinstance(entry.options[key], str):
        if value not in allowed:
            raise ValueError(f"{key} = {shown(value)}, but the data set {entry.name!r} has only {', '.join(allowed)}")
        return value
    if isinstance(entry.options[key], float):
        if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
            raise TypeError(f"{key} = {shown(value)}, but the data set {entry.name!r} needs a number there")
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{key} = {shown(value)}, but the data set {entry.name!r} needs an integer there")
    else:
        value = int(value)
    low, high = allowed
    if not low <= value <= high:
        raise ValueError(f"{key} = {shown(value)}, but the data set {entry.name!r} allows {low} to {high}")
    return value


@register(name=NO_DATA, title="", summary="For studies that compute from their parameters alone.", kind=NO_DATA)
def _no_data() -> dict[str, Any]:
    return {"arrays": {}}
