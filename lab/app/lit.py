"""What the marks of a figure stand for, told to the browser: it lights the same thing in every picture, and asks nobody."""

from collections.abc import Iterator
from typing import Any

import holoviews as hv
import numpy as np

from lab.studies.draw.layers import SAYS
from lab.studies.draw.sameness import known

_MOST, _LISTED = 20_000, 2_000  # marks of a layer that count up, and of one whose numbers are sent with each redraw


class Lit:
    """For the options of a picture: writes into the tags of each layer's columns what its marks stand for."""

    def hook(self, plot: Any, element: Any) -> None:
        """Each time when the picture was drawn."""
        for sub in _parts(plot):
            source = sub.handles.get("source")
            if source is None:
                continue
            told = _told(sub.current_frame)
            before = next((tag["who"] for tag in source.tags if _is_ours(tag)), {})
            if told != before:  # or what a player keeps there would be sent again
                source.tags = [*([{"who": told}] if told else []), *(tag for tag in source.tags if not _is_ours(tag))]


def _is_ours(tag: Any) -> bool:
    return isinstance(tag, dict) and "who" in tag


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
    counted = {kind: np.array_equal(ids, np.arange(count)) for kind, ids in known(layer).items()}
    if count > (_MOST if all(counted.values()) else _LISTED):
        return {}
    return {kind: None if counted[kind] else ids.tolist() for kind, ids in known(layer).items()}
