"""What an extra brings, imported where it is used."""

from importlib import import_module
from typing import Any


def extra(name: str, what: str) -> Any:
    """The module, or a sentence that says how to get it.

    Raises:
        ValueError: the extra ``shapes`` is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise ValueError(f"{what} need {name.partition('.')[0]}: pip install 'transport-lab[shapes]'") from None
