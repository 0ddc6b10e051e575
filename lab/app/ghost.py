"""An earlier result behind the present one: its curves dotted, its points hollow."""

from typing import Any

import holoviews as hv
import numpy as np
from bokeh.models import ColumnDataSource, MultiLine, Scatter

from lab.studies.draw.look import current

_MOST = 400  # points
_NAME = "ghost"
_NONE: dict[str, Any] = {"lines": {"xs": [], "ys": []}, "points": {"x": [], "y": []}}


class Ghost:
    """What one figure shows of it. HoloViews knows nothing of these glyphs: they are added to its figure."""

    def __init__(self) -> None:
        self._element: hv.Overlay | None = None
        self._sources: dict[str, ColumnDataSource] = {}

    def show(self, element: hv.Overlay | None) -> None:
        """Have this one stand behind; none to take it away."""
        self._element = element
        told = _NONE if element is None else _marks(element)
        for name, source in self._sources.items():
            source.data = told[name]

    def hook(self, plot: Any, element: Any) -> None:
        """For the options of a picture: makes room for the ghost in its figure."""
        figure = plot.state
        if _NAME in figure.tags:
            return
        figure.tags = [*figure.tags, _NAME]
        look = current()
        told = _NONE if self._element is None else _marks(self._element)
        self._sources = {name: ColumnDataSource(columns) for name, columns in told.items()}
        line = MultiLine(xs="xs", ys="ys", line_color=look.muted, line_width=1.5, line_dash="dotted", line_alpha=0.9)
        dots = Scatter(x="x", y="y", size=6, fill_alpha=0, line_color=look.muted, line_alpha=0.8)
        for source, glyph in zip(self._sources.values(), (line, dots), strict=True):
            figure.add_glyph(source, glyph, name=_NAME, level="underlay")


def is_ghost(renderer: Any) -> bool:
    """Whether what is drawn belongs to no layer of the picture."""
    return renderer.name == _NAME


def _marks(element: hv.Overlay) -> dict[str, Any]:
    curves = [layer for layer in element if isinstance(layer, hv.Curve)]
    clouds = [layer for layer in element if isinstance(layer, hv.Points)]
    lines = [[np.asarray(layer.dimension_values(k), float) for layer in curves] for k in (0, 1)]
    dots = [np.concatenate([np.zeros(0), *(np.asarray(c.dimension_values(k), float) for c in clouds)]) for k in (0, 1)]
    every = -(-dots[0].size // _MOST) or 1
    return {
        "lines": {"xs": lines[0], "ys": lines[1]},
        "points": {"x": list(dots[0][::every]), "y": list(dots[1][::every])},
    }
