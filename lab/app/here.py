"""Where one is on a curve against a parameter: a line that follows each move at once, and that a hand may drag."""

from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.models import Span

from lab.studies import Real, Whole
from lab.studies.contract import sweeping
from lab.studies.draw.look import current

from .session import Session


class Here:
    """The line in one picture of runs along a parameter. A press on the picture goes to the nearest of its runs.

    Args:
        told: called when the line has come or gone.
    """

    def __init__(self, session: Session, told: Callable[[], None]):
        self._session, self._told = session, told
        self.name = ""  # of the parameter
        self._places: np.ndarray = np.zeros(0)
        self._line: Any = None
        self._last: float | None = None  # where the hand has it
        session.param.watch(self._follow, ["study", "busy"])

    @property
    def line(self) -> str:
        """What the browser knows the line by; "" where there is none."""
        return self._line.id if self._line is not None and self.name else ""

    def look(self, result: xr.Dataset, element: hv.Overlay) -> None:
        """Find the parameter that lies along the picture's axis."""
        name, places = along(result, element)
        parameter = self._session.study.parameters().get(name)
        self.name = name if isinstance(parameter, Real | Whole) and parameter.sweepable else ""
        self._places = places
        self._follow()

    def hook(self, plot: Any, element: Any) -> None:
        """For the options of the picture: puts the line into its figure."""
        figure = plot.state
        if not self.name or "here" in figure.tags:
            return
        figure.tags = [*figure.tags, "here"]
        look = current()
        for each in figure.select({"type": Span}):  # the picture's own line at the same place is this one, which moves
            if each.dimension == "height" and each.location == self._value:
                each.visible = False
        still: dict[str, Any] = {"line_color": look.target, "line_width": 1.5, "visible": self._there}
        held: dict[str, Any] = {"editable": True, "hover_line_color": look.source, "hover_line_width": 4}
        self._line = Span(location=self._value, dimension="height", level="annotation", **still, **held)
        self._line.on_change("location", self._dragged)
        figure.add_layout(self._line)
        self._told()

    def press(self, x: float) -> None:
        """Go to the run that is nearest to a place."""
        if self.name and self._places.size:
            self._set(float(self._places[np.abs(self._places - x).argmin()]))

    @property
    def _value(self) -> float:
        return float(getattr(self._session.study, self.name))

    @property
    def _there(self) -> bool:
        """One is among the runs, or near: a line far from them would stand in the margin."""
        air = 0.05 * np.ptp(self._places) if self._places.size else np.inf
        return bool(self._places.min(initial=np.inf) - air <= self._value <= self._places.max(initial=-np.inf) + air)

    def _follow(self, *_: Any) -> None:
        if self._last is not None:
            if not self._session.busy:  # the last place counts, whatever ran meanwhile
                at, self._last = self._last, None
                self._set(at)
        elif self._line is not None and self.name and self._line.location != self._value:
            self._line.update(location=self._value, visible=self._there)

    def _dragged(self, attribute: str, old: Any, new: Any) -> None:
        if isinstance(new, int | float) and np.isfinite(new) and new != self._value:
            self._last = float(new)
            self._follow()

    def _set(self, value: float) -> None:
        session = self._session
        parameter = session.study.parameters()[self.name]
        limit = None if session.data is None else session.study.limits(session.data).get(self.name)
        low, high = parameter.bounds or (None, None)
        if limit is not None:
            low = limit.low if low is None else max(low, limit.low)
            high = limit.high if high is None else min(high, limit.high)
        value = float(f"{value:.3g}")
        value = value if low is None else max(value, low)
        value = value if high is None else min(value, high)
        chosen = round(value) if isinstance(parameter, Whole) else value
        if chosen != getattr(session.study, self.name):
            session.set(**{self.name: chosen})
        else:
            self._follow()


def along(result: xr.Dataset, element: hv.Overlay) -> tuple[str, np.ndarray]:
    """The swept parameter whose values are the places of the picture's curves, and these places; "" where there is none."""
    for name in sweeping.swept(result):
        values = result[name].values
        if values.size < 2 or values.dtype.kind not in "iuf":
            continue
        for layer in element:
            if isinstance(layer, hv.Curve | hv.Scatter):
                x = np.asarray(layer.dimension_values(0), float)
                x = x[np.isfinite(x)]
                if np.unique(x).size > 1 and np.isclose(x[:, None], values.astype(float)).any(axis=1).all():
                    return name, np.unique(values.astype(float))
    return "", np.zeros(0)
