"""What a pointer over a layer tells on a page: values first, each with what it is after it, in the house's type."""

import re
from html import escape
from typing import Any

from .look import current

_LONG = 30  # letters of a name that are told


def tips(*rows: tuple[str, str]) -> dict[str, Any]:
    """Options for Bokeh that have a layer tell these values of what the pointer is over.

    Args:
        rows: for each value what it is, as the label of an axis, ``mass (kg)``, and where it is: a column of the layer,
            ``@x``, or the place of the pointer, ``$x``. Four digits are told, of ``$x{0}`` a whole number, of ``@x{}`` a text.
    """
    formatters, lines = {}, []
    for name, field in rows:
        field, _, form = field.partition("{")
        if not form:
            formatters[field], form = "printf", "%.4g}"
        name, _, unit = re.sub(r"[@${}]", "", name).partition(" (")
        unit = f" {unit.removesuffix(')')}" if unit and len(unit) < 12 else ""
        brief = name if len(name) <= _LONG else f"{name[:_LONG].rpartition(' ')[0].rstrip(' ,;')}…"
        value = field if form == "}" else f"{field}{{{form}"
        lines.append(f"<div><b>{value}{escape(unit)}</b> <span style=opacity:.65>{escape(brief)}</span></div>")
    return {"tools": ["hover"], "hover_tooltips": _card("".join(lines)), "hover_formatters": formatters}


def _card(content: str) -> str:
    look = current()
    return f'<div style="margin:-6px;padding:5px 9px;background:{look.card};color:{look.ink};font-size:12px">{content}</div>'
