"""Pictures beside each other: live ones that swap their data, and the same axes for all."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import combinations
from typing import Any

import holoviews as hv
import panel as pn
import xarray as xr

import lab.studies.draw as drawing
from lab import datasets
from lab.studies import Choice, DataSource, Limit, Parameter, Picture, Real, Study, Switch, Whole
from lab.studies.contract import span

from . import faults, theme
from .hooks import add_hooks
from .live import Live

_MOST = 7  # values that a suggested range has

_PICTURE = ":host { min-width: 0; }"
_SMALL = theme.asset("sweep_card.css")
_ROW = theme.asset("sweep_row.css")


class Stage:
    """One live picture. Where the next has the same layers only its data are sent.

    Args:
        tapped: called with the position of a click in the units of the axes.
    """

    def __init__(self, tapped: Callable[[float, float], None] | None = None):
        self.view = theme.column(css=_PICTURE)
        self._tapped = tapped
        self._shape: Any = None
        self._live: Any = None

    def put(self, element: hv.Overlay, dark: bool, shape: Any = None) -> None:
        """Show a picture; it is built anew where its layers, the theme or ``shape`` are others than before."""
        shape = (tuple(type(layer) for layer in element), dark, shape)
        if self._tapped is not None:
            add_hooks(element, self._listen)
        if shape == self._shape:
            self._live.send(element)
            return
        self._shape, self._live = shape, Live(element, dark)
        self.view[:] = [self._live.pane]

    def clear(self) -> None:
        self._shape = None
        self.view[:] = []

    def _listen(self, plot: Any, element: Any) -> None:
        from bokeh.events import Tap

        figure, tapped = plot.state, self._tapped
        if "tapped" not in figure.tags and tapped is not None:
            figure.tags = [*figure.tags, "tapped"]
            figure.on_event(Tap, lambda event: tapped(event.x, event.y))


class Row:
    """The same picture of several runs, each under its title, with the same axes and the same colour scale."""

    def __init__(self) -> None:
        self.view = theme.column(css=_ROW)
        self._stages: list[tuple[pn.pane.HTML, Stage, Any]] = []

    def show(self, picture: Picture, runs: Sequence[tuple[str, xr.Dataset | str]], dark: bool) -> None:
        """Draw; a text in the place of a run says why there is none."""
        drawn: list[hv.Overlay | str] = [run if isinstance(run, str) else draw(picture, run, dark) for _, run in runs]
        alike([element for element in drawn if not isinstance(element, str)])
        while len(self._stages) < len(runs):
            title, stage = theme.html(""), Stage()
            self._stages.append((title, stage, theme.column(title, stage.view, css=_SMALL)))
        kept = self._stages[: len(runs)]
        for (head, stage, _), (title, _), element in zip(kept, runs, drawn, strict=True):
            wrong = isinstance(element, str)
            said = f'<p class="muted small">{escape(element)}</p>' if isinstance(element, str) else ""
            head.object = f'<p style="font-weight:600">{title}</p>{said}'
            if wrong:
                stage.clear()
            else:
                drawing.set_options(element, "bokeh", min_height=230)
                stage.put(element, dark, picture.name)
        if list(self.view) != [view for *_, view in kept]:
            self.view[:] = [view for *_, view in kept]

    def clear(self) -> None:
        self.view[:] = []


def draw(picture: Picture, run: xr.Dataset, dark: bool) -> hv.Overlay | str:
    """The picture for the screen, or why there is none, in a sentence."""
    try:
        why = picture.applies(run)
        if why:
            return f"{picture.title}: {why}"
        with drawing.theme("dark" if dark else "light", backend="bokeh"):
            return picture.shown(run, picture.frame(run))
    except Exception as exception:
        return faults.undrawn(exception, picture.title)


def alike(pictures: Sequence[hv.Overlay]) -> None:
    """Give pictures of one kind the same ends of their axes and colour scales, where these mean the same."""
    options = [hv.Store.lookup_options("bokeh", picture, "plot").kwargs for picture in pictures]
    for side in "xy":
        ends = [each[f"{side}lim"] for each in options if None not in (each.get(f"{side}lim") or (None,))]
        meant = {repr((each.get(f"{side}label"), each.get(f"{side}ticks"))) for each in options}
        if 1 < len(ends) == len(pictures) and len(meant) == 1:
            shared = min(low for low, _ in ends), max(high for _, high in ends)
            for picture in pictures:
                drawing.set_options(picture, "bokeh", **{f"{side}lim": shared})
    scales = [[(layer, ends) for layer in picture if (ends := _scale(layer)) is not None] for picture in pictures]
    if len(scales) > 1 and len({tuple(type(layer) for layer, _ in each) for each in scales}) == 1:
        for layers in zip(*scales, strict=True):
            shared = min(low for _, (low, _) in layers), max(high for _, (_, high) in layers)
            for layer, _ in layers:
                drawing.set_options(layer, "bokeh", clim=shared)


def _scale(layer: Any) -> tuple[float, float] | None:
    """The ends of a layer's colours, where it has any."""
    return hv.Store.lookup_options("bokeh", layer, "plot").kwargs.get("clim")


# ---- the axes that a study offers --------------------------------------------------------------------------------


def suggested(study: Study, name: str, limit: Limit | None) -> str:
    """Values worth a first sweep, in the syntax of ``lab sweep``."""
    parameter, here = study.parameters()[name], getattr(study, name)
    match parameter:
        case Choice():
            return parameter.mark.join(map(str, parameter.objects))
        case Switch():
            return "false,true"
        case Real() | Whole():
            if name == "seed":
                return "0:5"
            low, high = _ends(parameter, limit, here)
            return _whole(low, high, parameter.scale) if isinstance(parameter, Whole) else _real(low, high, parameter)
        case DataSource():
            if not isinstance(here, str) or datasets.entry_of(here) is None:
                return ""
            return parameter.mark.join(list(dict.fromkeys([here, *(each.name for each in study.sets())]))[:3])
        case _:
            return ""


def _ends(parameter: Real | Whole, limit: Limit | None, here: Any) -> tuple[float, float]:
    low, high = span(parameter, limit)
    middle = here if isinstance(here, int | float) and here else 1
    if high is None:
        high = max(10 * abs(middle), 2 * (low or 0))
    if low is None:
        low = high / 1000 if parameter.scale == "log" else min(0, 2 * middle)
    return low, high


def _whole(low: float, high: float, scale: str) -> str:
    if scale == "log" and low > 0:
        rungs = [2**i for i in range(64) if low <= 2**i <= high]
        return ",".join(map(str, rungs[:: -(-len(rungs) // _MOST)] if rungs else [int(low)]))
    return f"{int(low)}:{int(high)}" if high - low < 2 * _MOST else f"{int(low)}:{int(high)}:{_MOST}"


def _real(low: float, high: float, parameter: Real) -> str:
    if parameter.scale == "log":
        low = low if low > 0 else high / 1000
        return f"{low:g}:{high:g}:log{_MOST}"
    closed = parameter.inclusive_bounds or (True, True)
    bounds = parameter.bounds or (None, None)
    step = (high - low) / _MOST
    low = low + step if low == bounds[0] and not closed[0] else low  # an open end is no value
    high = high - step if high == bounds[1] and not closed[1] else high
    return f"{low:.4g}:{high:.4g}:{_MOST}"


def sweepable(study: type[Study]) -> Mapping[str, Parameter]:
    """The parameters that a sweep may run along, in order."""
    return {name: parameter for name, parameter in study.parameters().items() if parameter.sweepable}


def first_axes(study: Study, texts: Mapping[str, str]) -> list[list[str]]:
    """What to sweep along first, and what next where that is refused: two of the parameters that have an effect now and several
    values to suggest; numbers before choices, which do not all go together, and the seed last."""
    known = sweepable(type(study))
    good = [name for name, text in texts.items() if not study.idle(name) and ("," in text or ":" in text)]
    good.sort(key=lambda name: (name == "seed", not isinstance(known[name], Real | Whole)))
    return [sorted(pair, key=list(known).index) for pair in combinations(good, 2)] or [good]
