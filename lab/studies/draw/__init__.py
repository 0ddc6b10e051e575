"""The drawing vocabulary of the studies: what a picture is made of, without a word about backends.

Two kinds of function. *Layers* (``curve``, ``band``, ``points``, ``bars``, ``segments``, ``rectangles``, ``vline``, ``hline``,
``text``) return one HoloViews element each. *Pictures* return one ``hv.Overlay`` that is whole: ``plot`` sets layers on
a pair of axes and ``frame`` on one whose ends are given; ``plan``, ``heatmap``, ``links``, ``convergence``, ``cells``,
``particles``, ``strip``, ``mosaic`` and ``table`` are the usual ones, and ``training``, ``over``, ``film`` and ``trajectories``
those that many studies have.

Every picture is a single pair of axes whose layers are the same in number and type for every value, so that a
``hv.DynamicMap`` swaps data without rebuilding anything; Bokeh draws it live and Matplotlib for print.
"""

from lab.numerics.window import window

from .axes import frame, plot
from .builders import behind, film, legend, over, plane, training, trajectories
from .layers import band, bars, colours, curve, hline, label, points, rectangles, segments, text, vline
from .look import (
    CARD,
    GOOD,
    INK,
    MUTED,
    SOURCE,
    TARGET,
    WARN,
    blend,
    bokeh_renderer,
    current,
    pen,
    ramp,
    set_options,
    theme,
)
from .matrices import heatmap, plan, pooled, shaded
from .mosaic import mosaic, signed, tile_at
from .motion import Panel, particles
from .pictures import cells, convergence, links, strip, table
from .power import potential, power_cells

__all__ = [
    "CARD",
    "GOOD",
    "INK",
    "MUTED",
    "SOURCE",
    "TARGET",
    "WARN",
    "Panel",
    "band",
    "bars",
    "behind",
    "blend",
    "bokeh_renderer",
    "cells",
    "colours",
    "convergence",
    "current",
    "curve",
    "film",
    "frame",
    "heatmap",
    "hline",
    "label",
    "legend",
    "links",
    "mosaic",
    "over",
    "particles",
    "pen",
    "plan",
    "plane",
    "plot",
    "points",
    "pooled",
    "potential",
    "power_cells",
    "ramp",
    "rectangles",
    "segments",
    "set_options",
    "shaded",
    "signed",
    "strip",
    "table",
    "text",
    "theme",
    "tile_at",
    "training",
    "trajectories",
    "vline",
    "window",
]
