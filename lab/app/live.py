"""A picture on a page whose data are swapped. All that HoloViews does for it is done by who holds its pen."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import holoviews as hv
import panel as pn
from holoviews.streams import Pipe

from lab.studies.draw import bokeh_renderer, pen


class Live:
    """A live picture; ``pane`` is to be put on the page, and as high as its place where it ``fills`` it."""

    def __init__(self, element: hv.Overlay, dark: bool, fills: bool = False):
        renderer = bokeh_renderer("dark" if dark else "light")
        with pen:
            self._pipe: Any = Pipe(data=element)
            self.pane = _Pane(
                hv.DynamicMap(lambda data: data, streams=[self._pipe]),
                renderer=renderer,
                theme=renderer.theme,
                sizing_mode="stretch_both" if fills else "stretch_width",
                margin=0,
                linked_axes=False,
            )

    @property
    def element(self) -> hv.Overlay:
        """What is on show."""
        return self._pipe.data

    def send(self, element: hv.Overlay) -> None:
        """Show another one with the same layers."""
        with pen, swapping():
            self._pipe.send(element)


class _Pane(pn.pane.HoloViews):
    """Panel draws it when it is put on a page, and takes it down when the page has gone."""

    def _get_model(self, *given: Any, **named: Any) -> Any:
        with pen:
            return super()._get_model(*given, **named)

    def _cleanup(self, *given: Any, **named: Any) -> None:
        with pen:
            super()._cleanup(*given, **named)


@contextmanager
def swapping() -> Iterator[None]:
    """A block in which HoloViews swaps data: the models of the page are counted again only if one came or went.

    HoloViews freezes the page's set of models for each plot, and Bokeh walks the whole page when it thaws, needed or
    not: a third of the time of a redraw. Bokeh has no public way to ask whether there was a reason.
    """
    models = pn.state.curdoc.models if pn.state.curdoc is not None else None
    if models is None or not hasattr(models, "_freeze_count"):
        yield
        return
    asked = False

    def invalidate() -> None:
        nonlocal asked
        asked = True

    models._freeze_count += 1
    models.invalidate = invalidate
    try:
        yield
    finally:
        del models.invalidate
        models._freeze_count -= 1
        if asked:
            models.invalidate()
