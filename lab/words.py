"""Numbers and durations as one reads them."""

import math
import re
from typing import Any

_GIVEN = re.compile(r"(?<!\w)'[^']*'|--[\w-]+[= ]\S+")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Any, digits: int = 4) -> str:
    """A number as one reads it: ``1,024``, ``0.02525``, ``3.1·10⁻⁵``, ``yes``; a text as it is."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        text = f"{value:,.{max(digits - 1 - exponent, 0)}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    mantissa, power = f"{value:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0").replace("-", "−")
    times = {"1": "", "−1": "−"}.get(mantissa, f"{mantissa}·")
    return f"{times}10{str(int(power)).translate(_SUPERSCRIPTS)}"


def percent(share: Any, digits: int = 2) -> str:
    """A share as one reads it, never rounded to nothing or to all: ``42%``, ``0.2%``, ``<0.01%``, ``99.6%``."""
    value = 100 * float(share)
    size = abs(value)
    if not math.isfinite(value):
        return number(value)
    if size < 1e-7:
        return "0%"  # but for rounding errors
    if size < 0.01:
        return "<0.01%" if value > 0 else "−0.01%"
    if 99.99 < size < 100 - 1e-7:
        return "99.99%" if value > 0 else "−99.99%"
    while (text := number(value, digits)).lstrip("−") == "100" and abs(size - 100) > 1e-7 and digits < 6:
        digits += 1
    return f"{text}%"


def quantity(value: Any, unit: str, digits: int = 4) -> str:
    """A number with its unit: ``30.05 dB``, ``7.019%``; one in words, as ``median distance``, is left to the label."""
    if unit in ("", "1") or " " in unit:
        return number(value, digits)
    return f"{number(value, digits)}{'' if unit == '%' else ' '}{unit}"


def readable(text: str) -> str:
    """A text with its numbers as one reads them: ``5·10⁻⁵`` for ``5e-05``, ``−0.2`` with the sign of a number.

    What is quoted, and an option of a command with its value, stay as they were given.
    """
    parts, at = [], 0
    for kept in _GIVEN.finditer(text):
        parts += [_as_read(text[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*parts, _as_read(text[at:])])


def _as_read(text: str) -> str:
    def power(found: re.Match[str]) -> str:
        mantissa = "" if found[1] == "1" else f"{found[1]}·"
        return f"{mantissa}10{str(int(found[2])).translate(_SUPERSCRIPTS)}"

    text = re.sub(r"(?<![\w.])(?<!\w-)(\d+(?:\.\d+)?)e([+-]\d+)\b", power, text)
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text)


def duration(seconds: float) -> str:
    """``8 ms``, ``1.2 s``, ``3 min``."""
    if seconds < 0.9995:
        return f"{max(round(seconds * 1000), 1)} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
