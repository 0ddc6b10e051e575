"""The drawing vocabulary of the studies: what a picture is made of, without a word about backends.

Two kinds of function. *Layers* (``curve``, ``band``, ``points``, ``bars``, ``segments``, ``vline``, ``hline``,
``text``) return one HoloViews element each. *Pictures* return one ``hv.Overlay`` that is whole: ``plot`` sets layers on
a pair of axes, and ``plan``, ``heatmap``, ``links``, ``convergence``, ``cells``, ``particles``, ``strip``, ``mosaic`` and
``table`` are the usual ones.

Every picture is a single pair of axes whose layers are the same in number and type for every value, so that a
``hv.DynamicMap`` swaps data without rebuilding anything; Bokeh draws it live and Matplotlib for print.
"""

from .axes import plot
from .layers import band, bars, colours, curve, hline, label, points, segments, text, vline
from .look import GOOD, INK, MUTED, SOURCE, TARGET, WARN, bokeh_renderer, current, pen, set_options, theme
from .matrices import heatmap, plan, pooled, shaded
from .mosaic import mosaic, signed, tile_at
from .motion import Panel, particles
from .pictures import cells, convergence, links, strip, table

__all__ = [
    "GOOD", "INK", "MUTED", "SOURCE", "TARGET", "WARN", "Panel", "band", "bars", "bokeh_renderer", "cells", "colours",
    "convergence", "current",
    "curve", "heatmap", "hline", "label", "links", "mosaic", "particles", "pen", "plan", "plot", "points", "pooled",
    "segments", "set_options", "shaded", "signed", "strip", "table", "text", "theme", "tile_at", "vline",
]  # fmt: skip
