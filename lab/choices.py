"""Choices by a word: the ``Literal`` of an annotation is the one list of what may be given, and the check of it.

``@chosen`` before a function or a class refuses a word that is not among them, before anything else is looked at. (``| str``
in such an annotation is for type checkers: a word that is a variable may be given; it widens nothing.)
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import NoneType
from typing import Any, Literal, TypeAliasType, get_args, get_origin

from lab.inputs import shown


def choices(annotation: Any) -> tuple[Any, ...]:
    """The words of a ``Literal``, also where it has a name or is one of several types; () where there is none."""
    words = (word for part in parts(annotation) if get_origin(part) is Literal for word in get_args(part))
    return tuple(dict.fromkeys(words))


def check_choice(name: str, value: Any, annotation: Any, where: str = "") -> None:
    """Refuse a word that the annotation doesn't have; a value of another of its types is left to whoever uses it.

    Raises:
        ValueError: the name, the value given, what is allowed.
    """
    others = [part for part in parts(annotation) if get_origin(part) is not Literal and part is not str]
    allowed = choices(annotation)
    known = value in allowed if isinstance(value, str) or not others else True
    if allowed and not known:
        beside = "".join(f" or {kind}" for kind in dict.fromkeys(map(_said, others)))
        raise ValueError(
            f"{name} = {shown(value)}{where}, but it must be one of {', '.join(map(repr, allowed))}{beside}"
        )


def check_choices(made: Any) -> None:
    """Check the words that an object holds: of a NamedTuple, which ``_replace`` makes anew without a look."""
    for name, (_, annotation) in _words(inspect.signature(type(made))).items():
        check_choice(name, getattr(made, name), annotation)


def chosen[T: Callable](what: T) -> T:
    """Check the words that a function is called with, or a class is made with, by the annotations."""
    made: Any = what
    words = _words(inspect.signature(made))
    if not isinstance(made, type):
        return _checked(made, words)
    maker = "__new__" if hasattr(made, "_fields") else "__init__"
    setattr(made, maker, _checked(getattr(made, maker), words, skip=1))
    return what


def _words(signature: inspect.Signature) -> dict[str, tuple[int | None, Any]]:
    """The parameters that are chosen by a word: where each stands among the positional ones, and its annotation."""
    found = {}
    for place, (name, one) in enumerate(signature.parameters.items()):
        if choices(one.annotation):
            found[name] = (None if one.kind is one.KEYWORD_ONLY else place, one.annotation)
    return found


def _checked(function: Any, words: dict[str, tuple[int | None, Any]], skip: int = 0) -> Any:
    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, (place, annotation) in words.items():
            if name in kwargs:
                check_choice(name, kwargs[name], annotation)
            elif place is not None and place + skip < len(args):
                check_choice(name, args[place + skip], annotation)
        return function(*args, **kwargs)

    return checked


def parts(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, names resolved.

    >>> parts(int | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    if isinstance(annotation, TypeAliasType):
        return parts(annotation.__value__)
    if get_origin(annotation) in _UNIONS:
        return tuple(part for one in get_args(annotation) for part in parts(one))
    return (annotation,)


_UNIONS = (get_origin(int | None), get_origin(Literal["a"] | None))  # the two ways that Python writes a union


def _said(kind: Any) -> str:
    if kind in (None, NoneType):
        return "None"
    origin = get_origin(kind) or kind
    if origin is Callable:
        return "a function"
    name = getattr(origin, "__name__", str(origin))
    if name in ("bool", "bool_", "number", "int", "float", "complex"):
        return "a number"
    return "an array" if "array" in name.lower() else f"a {name}"
