"""Sentences with live numbers."""

import re
import string
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.words import number, percent, readable

_PLAIN = re.compile(r"d|\.\d+f|")  # of which thousands are set apart
_NOTHING = 1e-9  # what is smaller is a rounding error


def told(text: str | Callable[[xr.Dataset], str], result: xr.Dataset, before: xr.Dataset | None = None) -> str:
    """A sentence with its numbers: ``{w2sq:.3g}``, of the result, ``{before.w2sq:.3g}``; a dash where there is none.

    What is not zero, but for a rounding error, is not written as zero: it has as many digits as it needs.

    Args:
        text: with the names of scalars of a result in braces, formatted as by ``str.format``; or a function that makes it from
            the result.
        result: what the plain names are looked up in.
        before: what the names with ``before.`` are looked up in.

    Returns:
        the sentence.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies.contract import told
        >>> told("{cost:.2f}, not {before.cost:.2f}", xr.Dataset({"cost": 0.5}), xr.Dataset({"cost": 1.0}))
        '0.50, not 1.00'
        >>> told("{cost:.2f}", xr.Dataset())
        '–'
    """
    if callable(text):
        return readable(text(result))
    return readable(_Numbers().vformat(text, (), {"": result, "before": before}))


def names_in(text: str) -> list[str]:
    """The names of the numbers in a template, without ``before.``.

    Args:
        text: the template.

    Returns:
        the names, in order.

    Examples:
        >>> from lab.studies.contract.telling import names_in
        >>> names_in("{cost:.2f}, not {before.cost:.2f}")
        ['cost', 'cost']
    """
    return [name.removeprefix("before.") for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def is_whole(text: str) -> bool:
    """Whether a sentence has all its numbers.

    Args:
        text: as ``told`` gives it.

    Returns:
        False where a number is missing, NaN or infinite.

    Examples:
        >>> from lab.studies.contract.telling import is_whole
        >>> is_whole("it costs 0.5"), is_whole("it costs nan"), is_whole("it costs –")
        (True, False, False)
    """
    return not re.search(r"–|∞|\bnan\b|\binf\b", text)


class _Numbers(string.Formatter):
    """Fields are names of scalars of a result; nothing else can be reached."""

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        which, _, name = field_name.rpartition(".")
        result = kwargs[which]
        if result is None or name not in result.variables or result[name].dims:
            return None, name
        return result[name].item(), name

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            return "–"
        grouped = "," if _PLAIN.fullmatch(format_spec) and isinstance(value, int | float) else ""
        text = super().format_field(value, grouped + format_spec)
        if format_spec[-1:] in ("f", "%") and not text.strip("-0.%"):  # rounded to nothing
            if text.endswith("%"):
                return percent(value, 1)
            if value:
                return number(value, 2) if abs(value) > _NOTHING else "0"
        return text
