"""Squares of the photographs at a few sizes, in grey, for problems that take whole pictures."""

from typing import Any

import numpy as np

from . import formats, isolated, packaged
from .images import _PHOTOGRAPHS, KIND
from .registry import register

_TESTED = 2  # of the photographs, the last ones


@register(
    name="photograph-squares",
    title="Squares of photographs",
    kind=KIND,
    summary="Two corners of each of six photographs, three quarters of its height, in grey; two photographs are held out.",
    source="; ".join(packaged.FILES[key].source for key in _PHOTOGRAPHS),
    licence="public domain, CC0 and CC BY 2.0",
    real=True,
    options={"pixels": ("48", ("48", "64", "96"))},
    has=("pixels", "held_out", "classes"),
    sizes={"n": 12, "channels": 1, "height": "pixels", "width": "pixels"},
    raw=packaged.hashes(*_PHOTOGRAPHS),
)
def photograph_squares(pixels: str) -> dict[str, Any]:
    """Two squares of each of six photographs in grey, brought to ``pixels`` a side."""
    from PIL import Image

    side, cut = int(pixels), []
    for key in _PHOTOGRAPHS:
        whole = Image.fromarray(isolated.trusted(formats.picture)(key, packaged.content(key))[0]).convert("L")
        edge = 3 * min(whole.size) // 4
        for left, top in ((0, 0), (whole.width - edge, whole.height - edge)):
            part = whole.crop((left, top, left + edge, top + edge))
            cut.append(np.asarray(part.resize((side, side), Image.Resampling.BOX)))
    classes = np.repeat(np.arange(len(_PHOTOGRAPHS), dtype=np.int32), 2)
    arrays = {"pixels": np.stack(cut)[:, None], "held_out": classes >= len(_PHOTOGRAPHS) - _TESTED, "classes": classes}
    return {"arrays": arrays, "axes": {"classes": _PHOTOGRAPHS}}
