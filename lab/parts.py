"""Parts of a package that are imported when they are first named."""

import pkgutil
import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def parts(
    package: str, names: Collection[str] = (), gives: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562), so that its modules need no import of their own.

    Args:
        package: its ``__name__``.
        names: which modules; all that it has when empty.
        gives: by module, what the package passes on of it: names, with blanks between them.
    """
    there = names or {module.name for module in pkgutil.iter_modules(sys.modules[package].__path__)}
    origin = {name: module for module, passed_on in (gives or {}).items() for name in passed_on.split()}

    def get(name: str) -> Any:
        if name in origin:
            value = getattr(import_module(f"{package}.{origin[name]}"), name)
            setattr(sys.modules[package], name, value)  # not asked for again
            return value
        if name not in there:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *there, *origin})

    return get, listed
