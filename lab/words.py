"""Numbers and durations as one reads them."""

import math
import re
from typing import Any

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Any, digits: int = 4) -> str:
    """A number as one reads it: ``1024``, ``0.02525``, ``3.1·10⁻⁵``, ``yes``."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
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
        text = f"{value:.{max(digits - 1 - exponent, 0)}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    mantissa, power = f"{value:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0").replace("-", "−")
    return f"{mantissa}·10{str(int(power)).translate(_SUPERSCRIPTS)}"


def percent(share: Any) -> str:
    """A share in two digits: ``16%``, ``0.3%``; 100% of nothing less than all, and 0% of nothing more than none."""
    share = float(share)
    return f"{math.floor(1000 * share) / 10}%" if 0.995 <= share < 1 else f"{number(100 * share, 2)}%"


def readable(text: str) -> str:
    """A text with its numbers as one reads them: ``5·10⁻⁵`` for ``5e-05``, ``−0.2`` with the sign of a number."""

    def power(found: re.Match[str]) -> str:
        mantissa = "" if found[1] == "1" else f"{found[1]}·"
        return f"{mantissa}10{str(int(found[2])).translate(_SUPERSCRIPTS)}"

    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)\b", power, text)
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text)


def duration(seconds: float) -> str:
    """``8 ms``, ``1.2 s``, ``3 min``."""
    if seconds < 0.9995:
        return f"{max(round(seconds * 1000), 1)} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"


def percent(share: float) -> str:
    """A share in percent, never rounded to nothing or to all: ``12%``, ``3.4%``, ``0.2%``, ``99.6%``, ``<0.01%``."""
    value = 100 * abs(share)
    if not math.isfinite(value):
        return number(float(share))
    if value < 1e-7:
        return "0%"  # but for rounding errors
    sign = "−" if share < 0 else ""
    if value >= 1e5:
        return f"{sign}{number(float(value), 2)}%"
    if value < 0.01 or 99.99 < value < 100 - 1e-7:
        return f"{sign}99.99%" if value > 1 else "−0.01%" if sign else "<0.01%"
    digits = 0 if 9.95 <= value < 99.5 or value > 99.995 else 1 if 0.95 <= value < 99.95 else 2
    text = f"{value:.{digits}f}"
    return f"{sign}{text.rstrip('0').rstrip('.') if '.' in text else text}%"
