"""What a notebook shows of an object: HTML that needs no script, no style sheet and no network."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from lab.studies import Study

INCHES = 2.6  # of the small picture
_WARN = "#c2581f"
_MARK = {"good": "color:#2d7d5a", "warn": f"color:{_WARN}", "set": "font-weight:600", "": ""}
_TEXT = "font-size:13px;line-height:1.5"
_SMALL = "font-size:12px;opacity:.7"


def card(
    title: str, under: str, rows: Sequence[tuple[str, str, str]], says: str = "", picture: str = "", rest: str = ""
) -> str:
    """A title, a table of (name, value, mood), what there is to say, and a picture beside it.

    Args:
        picture: the address of an image, in it.
        rest: HTML that follows, as it is.
    """
    cells = "".join(
        f'<tr style="background:none"><td style="text-align:left;padding:1px 16px 1px 0;opacity:.7">{escape(name)}</td>'
        f'<td style="text-align:left;padding:1px 0;{_MARK[mood]}">{escape(value)}</td></tr>'
        for name, value, mood in rows
    )
    image = f'<img src="{picture}" alt="{escape(title)}" style="width:{INCHES}in;background:#fff">' if picture else ""
    told = f'<div style="border-left:3px solid {_WARN};padding:2px 10px;margin-top:6px">{escape(says)}</div>'
    return (
        f'<div style="{_TEXT};display:flex;gap:28px;flex-wrap:wrap;align-items:flex-start"><div style="max-width:34em">'
        f'<div style="font-weight:600">{escape(title)}</div><div style="{_SMALL}">{escape(under)}</div>'
        f'<table style="margin:6px 0 0;border-collapse:collapse;{_TEXT}">{cells}</table>{told if says else ""}'
        f"</div>{image}</div>{rest}"
    )


def of_study(study: "Study") -> str:
    """Its parameters, those that are not at their default in bold."""
    changed = study.changed()
    rows = [
        (name, f"{getattr(value, 'name', 'auto' if value is None else value)}", "set" if name in changed else "")
        for name, value in study.values().items()
        if name in changed or not study.idle(name)
    ]
    return card(study.title, study.paper.short, rows)


def as_uri(png: bytes) -> str:
    """The address of an image, with the image in it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def of_pixels(pixels: "np.ndarray") -> str:
    """The address of a picture of uint8 colors (rows, columns, 3), each pixel a square that is as large as a card allows."""
    from PIL import Image

    rows, columns = pixels.shape[:2]
    scale = max(1, int(96 * INCHES) // max(rows, columns))
    out = io.BytesIO()
    Image.fromarray(pixels).resize((scale * columns, scale * rows), Image.Resampling.NEAREST).save(out, "PNG")
    return as_uri(out.getvalue())
