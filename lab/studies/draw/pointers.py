"""What a pointer over a layer tells on a page: short names, and values as Bokeh writes them."""

import re
from typing import Any

_LONG = 30  # letters of a name that are told


def tips(*rows: tuple[str, str]) -> dict[str, Any]:
    """Options for Bokeh that have a layer tell these values of what the pointer is over.

    Args:
        rows: for each value what it is, as the label of an axis, ``mass (kg)``, and where it is: a column of the layer,
            ``@x``, or the place of the pointer, ``$x``, of which ``$x{0}`` is a whole number.

    Returns:
        the options, by name.

    Examples:
        >>> from lab.studies import draw
        >>> draw.tips(("mass (kg)", "@m"))
        {'tools': ['hover'], 'hover_tooltips': [('mass (kg)', '@m')]}
    """
    return {"tools": ["hover"], "hover_tooltips": [(_brief(name), field) for name, field in rows]}


def _brief(name: str) -> str:
    name = re.sub(r"[@${}]", "", name)
    return name if len(name) <= _LONG else f"{name[:_LONG].rpartition(' ')[0].rstrip(' ,;')}…"
