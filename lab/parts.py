"""Parts of a package that are imported when they are first named."""

import pkgutil
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any


def parts(package: str, names: Collection[str] = ()) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562), so that its modules need no import of their own.

    Args:
        package: its ``__name__``.
        names: which modules; all that it has when empty.
    """
    there = names or {module.name for module in pkgutil.iter_modules(sys.modules[package].__path__)}

    def get(name: str) -> Any:
        if name not in there:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *there})

    return get, listed
