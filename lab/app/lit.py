"""What the marks of a figure stand for, told to the browser: it lights the same thing in every picture, and asks nobody."""

from collections.abc import Iterator
from typing import Any

import holoviews as hv
import numpy as np

from lab.studies.draw.layers import SAYS
from lab.studies.draw.same import known

_MOST = 20_000  # marks of a layer; a pointer is to be answered at once


class Lit:
    """For the options of a picture: writes into the tags of each layer's columns what its marks stand for."""

    def hook(self, plot: Any, element: Any) -> None:
        """Each time when the picture was drawn."""
        for sub in _parts(plot):
            source = sub.handles.get("source")
            if source is None:
                continue
            told = _told(sub.current_frame)
            tags = [tag for tag in source.tags if not (isinstance(tag, dict) and "who" in tag)]
            tags += [{"who": told}] if told else []
            if tags != source.tags:
                source.tags = tags


def _parts(plot: Any) -> Iterator[Any]:
    for sub in plot.subplots.values():
        if getattr(sub, "subplots", None):
            yield from _parts(sub)
        elif sub.current_frame is not None:
            yield sub


def _told(layer: Any) -> dict[str, Any]:
    """By kind the number of each mark, or None where they count up from 0; of a curve or an image its name."""
    if isinstance(layer, hv.Curve | hv.RGB):
        name = str(layer.cdims.get(SAYS, "")).strip()
        return {"name": name} if name else {}
    count = len(layer)
    return {
        kind: None if np.array_equal(ids, np.arange(count)) else [int(each) for each in ids]
        for kind, ids in known(layer).items()
        if count <= _MOST
    }
