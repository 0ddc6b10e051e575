"""The drawing vocabulary of the studies: what a picture is made of, without a word about backends.

Two kinds of function. *Layers* (``curve``, ``band``, ``points``, ``bars``, ``segments``, ``rectangles``, ``vline``, ``hline``,
``text``) return one HoloViews element each. *Pictures* return one ``hv.Overlay`` that is whole: ``plot`` sets layers on
a pair of axes and ``frame`` on one whose ends are given; ``plan``, ``heatmap``, ``links``, ``convergence``, ``cells``,
``particles``, ``strip``, ``mosaic``, ``ternary`` and ``table`` are the usual ones, and ``training``, ``over``, ``film`` and
``trajectories`` those that many studies have. ``surfaces`` shows bodies in space, which a hand turns on a page.

Every picture is a single pair of axes whose layers are the same in number and type for every value, so that a
``hv.DynamicMap`` swaps data without rebuilding anything; Bokeh draws it live and Matplotlib for print.
"""

from typing import TYPE_CHECKING

from lab.numerics.window import window
from lab.parts import parts

if TYPE_CHECKING:  # a run draws nothing: HoloViews and Bokeh are imported by the first name that needs them
    from .axes import frame, plot
    from .ball import geodesics, sphere_ways
    from .bodies import CAMERA, SCENE, surfaces
    from .builders import behind, film, legend, over, plane, training, trajectories
    from .finish import bokeh_renderer
    from .labels import with_room
    from .layers import GRIP, TABLE, band, bars, colours, curve, hline, label, points, rectangles, segments, vline
    from .look import (
        CARD,
        GOOD,
        INK,
        MUTED,
        SOURCE,
        TARGET,
        WARN,
        blend,
        current,
        pen,
        ramp,
        set_options,
        theme,
    )
    from .matrices import heatmap, plan, pooled, shaded
    from .mosaics import mosaic, signed, tile_at
    from .motion import Panel, landscape, particles
    from .pictures import cells, convergence, links, strip, table
    from .pointers import tips
    from .power import potential, power_cells
    from .sameness import began, same
    from .space import Body, Hit, camera_of, looking, vertex_at
    from .triangle import ternary, ternary_place, ternary_shares
    from .writing import text

__all__ = [
    "CAMERA",
    "CARD",
    "GOOD",
    "GRIP",
    "INK",
    "MUTED",
    "SCENE",
    "SOURCE",
    "TABLE",
    "TARGET",
    "WARN",
    "Body",
    "Hit",
    "Panel",
    "band",
    "bars",
    "began",
    "behind",
    "blend",
    "bokeh_renderer",
    "camera_of",
    "cells",
    "colours",
    "convergence",
    "current",
    "curve",
    "film",
    "frame",
    "geodesics",
    "heatmap",
    "hline",
    "label",
    "landscape",
    "legend",
    "links",
    "looking",
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
    "same",
    "segments",
    "set_options",
    "shaded",
    "signed",
    "sphere_ways",
    "strip",
    "surfaces",
    "table",
    "ternary",
    "ternary_place",
    "ternary_shares",
    "text",
    "theme",
    "tile_at",
    "tips",
    "training",
    "trajectories",
    "vertex_at",
    "vline",
    "window",
    "with_room",
]

_FROM = {
    "axes": "frame plot",
    "ball": "geodesics sphere_ways",
    "bodies": "CAMERA SCENE surfaces",
    "builders": "behind film legend over plane training trajectories",
    "finish": "bokeh_renderer",
    "labels": "with_room",
    "layers": "GRIP TABLE band bars colours curve hline label points rectangles segments vline",
    "look": "CARD GOOD INK MUTED SOURCE TARGET WARN blend current pen ramp set_options theme",
    "matrices": "heatmap plan pooled shaded",
    "mosaics": "mosaic signed tile_at",
    "motion": "Panel landscape particles",
    "pictures": "cells convergence links strip table",
    "pointers": "tips",
    "power": "potential power_cells",
    "sameness": "began same",
    "space": "Body Hit camera_of looking vertex_at",
    "triangle": "ternary ternary_place ternary_shares",
    "writing": "text",
}

__getattr__, __dir__ = parts(__name__, gives=_FROM)
