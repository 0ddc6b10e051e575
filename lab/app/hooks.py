"""Hooks of pictures that do not keep a page alive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakMethod

import holoviews as hv

from lab.studies.draw import set_options


def add_hooks(element: Any, *methods: Callable[[Any, Any], None]) -> None:
    """Have Bokeh's drawing of ``element`` call bound methods, each once and for as long as its owner lives.

    HoloViews holds the options of an element in a table of its own until the element is gone. A hook that led to the
    element would hold it, and with it the page, its session and its results, for ever.
    """
    hooks = hv.Store.lookup_options("bokeh", element, "plot").kwargs.get("hooks", [])
    more = [_Hook(WeakMethod(method)) for method in methods]
    hooks = [*(hook for hook in hooks if hook not in more), *more]
    set_options(element, "bokeh", hooks=hooks)


@dataclass(frozen=True)
class _Hook:
    method: WeakMethod

    def __call__(self, plot: Any, element: Any) -> None:
        method = self.method()
        if method is not None:
            method(plot, element)
