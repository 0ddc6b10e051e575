"""The scrubber under the hero: the parameter that moves it, and one number of the result along that."""

from typing import Any

import numpy as np
import xarray as xr

from lab.figures.sweep import symbol
from lab.numerics import Progress
from lab.studies import Whole
from lab.studies.contract import as_text, curve, logarithmic, measure, scrubbed, span
from lab.studies.contract.sweeping import swept
from lab.words import quantity

from . import theme
from .controls import brief, meaning
from .session import Session
from .view import View, source

_QUIET = 0.8  # seconds without a change before the curve is computed
_SOON = 5.0  # seconds of computing that nobody needs to ask for
_LIVE = 0.4  # as for the controls
_KNOWN = 200  # runs of this page that are remembered
_LEVEL = 0.01  # share of a number, of which a change by less does not fill the curve's height


class Scrubber(View):
    """Moves the first parameter of the story's ``moves``. The curve is that of what ships or is kept, else of the runs seen on
    this page; it is computed by itself where that is soon done, and else on a press."""

    _esm = source("places.js", "curve.js", "scrubber.js")
    css = theme.asset("scrubber.css")

    def __init__(self, session: Session):
        super().__init__(self._told)
        self._session = session
        study = session.study_class
        self.name_of, self._measure = scrubbed(study), measure(study)
        self._curve = curve(study)
        self._results = {result.name: result for result in study.results}
        self._swept: xr.Dataset | None = None
        self._part: float | None = None
        self._failed = False
        self._seen: dict[str, dict[Any, float]] = {}  # by all that is fixed: the number at each value
        if self.name_of:
            session.param.watch(self._follow, ["study", "data", "result", "fresh", "busy", "error"])
        self._follow()

    def _told(self, message: dict[str, Any]) -> None:
        if message.get("curve"):
            self._sweep(0.0)
        elif str(message.get("name")) == self.name_of:
            self._session.set_text(self.name_of, str(message["text"]))

    # ---- the curve -----------------------------------------------------------------------------------------------

    def _follow(self, *events: Any) -> None:
        session = self._session
        if not self.name_of:
            self.draw(name="")
            return
        result = session.result
        if result is not None and session.fresh and not session.rough:
            self._remember(result)
            if events and any(event.name in ("fresh", "result") for event in events):
                self._swept = None
                self._ask()
        self._tell()

    def _remember(self, result: xr.Dataset) -> None:
        if self._measure not in result or result[self._measure].dims:
            return
        seen = self._seen.setdefault(self._fixed(), {})
        seen[getattr(self._session.study, self.name_of)] = float(result[self._measure])
        while sum(map(len, self._seen.values())) > _KNOWN:
            self._seen.pop(next(iter(self._seen)))

    def _fixed(self) -> str:
        values = {name: value for name, value in self._session.study.values().items() if name != self.name_of}
        return repr(sorted((name, str(value)) for name, value in values.items()))

    def _ask(self) -> None:
        """Look the curve up, and compute it where that takes a moment."""
        if self._curve is None or self._idle():
            return
        runs, seconds = self._cost()
        if not self._failed:
            self._sweep(_QUIET, only_known=seconds > _SOON or runs > 40)

    def _idle(self) -> str:
        return self._session.study.idle(self.name_of)

    def _cost(self) -> tuple[int, float]:
        session = self._session
        if session.result is None or session.data is None or self._curve is None:
            return 0, 0.0
        attrs = session.result.attrs
        runs = len(self._curve.grid(session.study, session.data)[self.name_of])
        static = not session.study.parameters()[self.name_of].traced
        return runs, runs * float(attrs["run_seconds"] + (attrs["compile_seconds"] if static else 0.0))

    def _sweep(self, wait: float, only_known: bool = False) -> None:
        if self._curve is None or self._session.data is None:
            return
        try:
            known = self._session.sweep(
                self._curve,
                wait=wait,
                calls={"progress": self._progress, "done": self._done, "failed": self._refused},
                only_known=only_known,
            )
        except (ValueError, TypeError):
            return
        if known is not None:
            self._done(known)

    def _progress(self, progress: Progress) -> None:
        self._part = progress.iteration / max(progress.max_iterations, 1)
        self._tell()

    def _done(self, known: xr.Dataset | None) -> None:
        self._swept, self._part = known, None
        self._tell()

    def _refused(self, sentence: str) -> None:
        self._part, self._failed = None, True
        self._tell()

    # ---- what is drawn -------------------------------------------------------------------------------------------

    def _points(self) -> dict[Any, float]:
        found: dict[Any, float] = {}
        if self._swept is not None and self.name_of in swept(self._swept) and self._measure in self._swept:
            values = self._swept[self._measure].squeeze(
                [d for d in self._swept[self._measure].dims if d != self.name_of]
            )
            found = {
                value.item(): float(number)
                for value, number in zip(values[self.name_of].values, values.values, strict=True)
            }
        found |= self._seen.get(self._fixed(), {})
        return dict(sorted(found.items()))

    def _tell(self) -> None:
        session, study = self._session, self._session.study
        parameter = study.parameters()[self.name_of]
        limit = None if session.data is None else study.limits(session.data).get(self.name_of)
        low, high = span(parameter, limit)
        if low is None or high is None or not low < high:
            self.draw(name="")
            return
        value = getattr(study, self.name_of)
        low, high = min(low, value), max(high, value)  # a typed value may lie beyond the slider's
        declared = self._results.get(self._measure)
        points = self._points()
        heights = scaled(list(points.values()))
        told = declared.label if declared is not None else ""
        scale = ", log scale" if in_logs(list(points.values())) else ""
        unit = declared.unit if declared is not None and declared.unit != "1" else ""
        result = session.result
        live = result is None or result.attrs["run_seconds"] + result.attrs["compile_seconds"] < _LIVE
        self.draw(
            name=self.name_of,
            symbol=symbol(parameter),
            brief=brief(meaning(self.name_of, parameter)),
            low=low,
            high=high,
            whole=isinstance(parameter, Whole),
            log=logarithmic(parameter, low, high),
            value=as_text(value),
            points=[
                [at, height, f"{quantity(number, unit)} {told}"]
                for (at, number), height in zip(points.items(), heights, strict=True)
            ],
            label=f"{told}{unit and f' ({unit})'}, against {symbol(parameter)}{scale}" if told else "",
            todo=self._todo(len(points)),
            live=live,
            busy=session.busy,
            fresh=session.fresh and not session.rough,
            off=self._idle(),
            refused=session.error,
        )

    def _todo(self, known: int) -> dict[str, str] | None:
        if self._part is not None:
            return {"label": f"{100 * self._part:.0f}%", "title": "the curve is being computed"}
        runs, seconds = self._cost()
        if self._curve is None or self._swept is not None or known >= runs or not runs or self._idle():
            return None
        result = self._session.result
        least = "more than" if result is not None and result.attrs["reason"] == "stopped" else "about"
        about = f" · {least} {theme.duration(seconds)}" if seconds > 1 else ""
        return {"label": f"Draw the curve: {runs} runs{about}", "title": "compute one run for each point of the curve"}


def in_logs(values: list[float]) -> bool:
    """Whether ``scaled`` takes their logarithms: where all are positive and far apart."""
    numbers = np.asarray(values, float)
    finite = numbers[np.isfinite(numbers)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())


def scaled(values: list[float]) -> list[float | None]:
    """Heights from 0 to 1, on a logarithmic scale where ``in_logs`` says so; None for what is no number. What hardly changes
    is drawn as what hardly changes."""
    numbers = np.asarray(values, float)
    finite = numbers[np.isfinite(numbers)]
    if in_logs(values):
        numbers, finite = np.log(np.where(numbers > 0, numbers, np.nan)), np.log(finite)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    span_of = max(high - low, _LEVEL * max(abs(low), abs(high))) or 1.0
    return [None if not np.isfinite(n) else round(float(0.5 + (n - (low + high) / 2) / span_of), 4) for n in numbers]
