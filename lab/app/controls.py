"""The left column: data, presets, parameters, run state. All of it follows from the study's declaration.

Nothing here holds state. A change in the browser is a name and a text, which ``Parameter.parse`` reads; the session's
study then says what every control shows, so a preset or a link moves the controls without a loop of events.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab import datasets
from lab.figures.sweep import symbol
from lab.numerics import Progress
from lab.studies import Choice, DataSource, Live, Parameter, Real, Study, Switch, Whole
from lab.studies.contract import as_text, span
from lab.words import readable

from . import theme, worker
from .session import Session
from .view import View, source

_HEADINGS = {"parameters": "Parameters", "more": "More"}
_SEGMENTS, _LETTERS = 4, 32  # options, and letters in all, that fit side by side
_LIVE = 0.4  # seconds; a run that takes longer follows the slider only when it is let go
_POINTS = 80  # of a curve while it runs
_GOES_ON = re.compile(r"(?:of|on|in|at|by|to|from|between|beside|below|above)\b")


class Controls(View):
    """A control for each parameter of the session's study."""

    _esm = source("fields.js", "places.js", "controls.js")
    css = theme.asset("controls.css")

    def __init__(self, session: Session):
        super().__init__(lambda message: session.set_text(str(message["name"]), str(message["text"])))
        self._session = session
        session.param.watch(self._follow, ["study", "data", "result", "error"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        study, result = self._session.study, self._session.result
        live = result is None or result.attrs["run_seconds"] + result.attrs["compile_seconds"] < _LIVE
        self.draw(
            groups=groups(study, self._session.data),
            values={name: as_text(getattr(study, name)) for name in study.parameters()},
            off={name: why for name in study.parameters() if (why := study.idle(name))},
            live=live,
            refused=readable(self._session.error),  # a refused text is put back
            at=self._session.at_fault,
        )


def groups(study: Study, data: datasets.Data | None) -> list[dict[str, Any]]:
    """What to draw: the headings in order, each with its controls."""
    found: dict[str, list[dict[str, Any]]] = {}
    limits = {} if data is None else study.limits(data)
    for name, parameter in study.parameters().items():
        if not isinstance(parameter, DataSource):
            found.setdefault(parameter.group, []).append(control(name, parameter, limits))
    return [
        {
            "title": _HEADINGS.get(group, group.capitalize()),
            "items": items,
            "folds": group == "more",
            "open": len(items) <= 4,
        }
        for group, items in found.items()
    ]


def control(name: str, parameter: Parameter, limits: Any) -> dict[str, Any]:
    """One control: its kind, its words, and the range that the method, the slider and the data leave."""
    title = symbol(parameter)
    doc = meaning(name, parameter)
    unit = f" ({parameter.unit})" if parameter.unit and parameter.unit != "1" else ""
    when = {
        other: {"least": of.start} if isinstance(of, range) else {"among": [as_text(value) for value in of]}
        for other, of in parameter.when.items()
    }
    item: dict[str, Any] = {"name": name, "title": title, "doc": doc + unit, "brief": brief(doc) + unit, "when": when}
    match parameter:
        case Choice():
            options = [str(option) for option in parameter.objects]
            fits = len(options) <= _SEGMENTS and sum(map(len, options)) <= _LETTERS
            return item | {"kind": "segmented" if fits else "select", "options": options}
        case Switch():
            return item | {"kind": "switch"}
        case Real() | Whole():
            low, high = span(parameter, limits.get(name))
            log = parameter.scale == "log" and low is not None and low > 0
            slides = parameter.group != "more" and low is not None and high is not None and high > low
            whole = isinstance(parameter, Whole)
            return item | {"kind": "number", "low": low, "high": high, "log": log, "whole": whole, "slider": slides}
        case _:
            raise TypeError(f"there is no control for a {type(parameter).__name__}")


def meaning(name: str, parameter: Parameter) -> str:
    """What a parameter is, beside its symbol or name: what goes on from its label begins with it."""
    doc, label = (parameter.doc or "").rstrip("."), parameter.label or ""
    said = not parameter.symbol and any(label.lower().startswith(word) for word in name.split("_"))
    return f"{label} {doc}" if _GOES_ON.match(doc) and not said else doc


def brief(doc: str) -> str:
    """The first clause: what stands beside a control, the whole being its tooltip."""
    return re.split(r";| \(|, (?:so|which|where|when|for|with)\b", doc, maxsplit=1)[0]


class DataCard(View):
    """The data at hand, and those to choose from."""

    _esm = source("data.js")
    css = theme.asset("data.css")

    def __init__(self, session: Session):
        super().__init__(lambda message: session.set_data(str(message["data"])))
        self._session = session
        session.param.watch(self._follow, ["study", "data", "error"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        study, data = self._session.study, self._session.data
        sets = study.sets()
        named = isinstance(study.data, str)
        entry = datasets.entry_of(study.data) if named else None
        title = data.title if data else entry.title if entry else str(study.data)
        origin = data.name.removesuffix(", edited") if data else ""
        self.draw(
            name=study.data if named else "",
            own=entry is None,
            title=title,
            groups=[
                (label, [(e.name, e.title) for e in sets if e.real is real])
                for label, real in (("Real", True), ("Synthetic", False))
                if any(e.real is real for e in sets)
            ],
            summary=entry.summary if entry else "",
            facts=facts(data, entry),
            origin=f"source: {data.source} · licence: {data.licence or 'not stated'}" if data and data.source else "",
            back=origin if entry is None and datasets.entry_of(origin) else "",
            refused=self._session.error,
        )


def facts(data: datasets.Data | None, entry: Any) -> str:
    """``real · x 64 × 3 · y 64 × 3``: what kind of data, and the arrays that matter most."""
    said = [] if entry is None else ["real" if entry.real else "synthetic"]
    if data is not None:
        if data.truth:
            said.append("known truth")
        shown = [key for key in ("x", "y") if key in data.arrays] or list(data.arrays)[:2]
        said += [f"{key}\u00a0{'\u00a0×\u00a0'.join(map(str, data.arrays[key].shape))}" for key in shown]
    return " · ".join(said)


class Presets(View):
    """Starting points that show something."""

    _esm = source("presets.js")
    css = theme.asset("presets.css")

    def __init__(self, session: Session):
        super().__init__(lambda message: session.apply_preset(str(message["preset"])))
        self._session = session
        session.param.watch(self._follow, ["preset"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        presets = self._session.study.presets
        self.visible = bool(presets)
        self.draw(
            active=self._session.preset, presets=[{"name": p.name, "title": p.title, "doc": p.doc} for p in presets]
        )


class RunState(View):
    """What runs, how far, how long still, Stop; and this state as Python, as a command, as a link.

    Args:
        address: keep the state in the browser's address bar.
    """

    _esm = source("run.js")
    css = theme.asset("run.css")

    def __init__(self, session: Session, *, address: bool = False):
        super().__init__(lambda message: session.again() if message.get("again") else session.stop())
        self._session = session
        self._address = address
        session.param.watch(self._follow, ["study", "result", "busy", "stage", "place", "progress", "error"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        session, study = self._session, self._session.study
        progress = session.progress
        link = study.as_link()
        self.draw(
            busy=session.busy,
            unfinished=session.unfinished,
            text=words(session),
            part=progress.iteration / max(progress.max_iterations, 1) if progress else None,
            curves=curves(study.live, progress),
            address=self._address,
            path=f"/{study.slug}",
            query=link.partition("?")[1] + link.partition("?")[2],
            copies={"python": study.as_python(), "command": study.as_command(), "link": link},
            own=not isinstance(study.data, str),
        )


def words(session: Session) -> str:
    """The line on the state of the run."""
    progress = session.progress
    if session.busy:
        if session.stage == "loading":
            return "Loading the data"
        if session.stage == "reading":
            return "Looking for what is kept"
        if session.stage == "stopping":
            return "Stopping"
        if session.stage == "queued" and session.place:
            return worker.queued(session.place)
        if session.stage == "queued":
            return "Waiting to compile: what was asked for before goes first"
        if session.stage == "compiling":
            return "Compiling: the first run of its kind or size takes longer"
        if progress is None:
            return "Running"
        left = eta(progress)
        part = f" · part {progress.part}" if progress.part > 1 else ""
        return f"Running{part} · iteration {progress.iteration} of at most {progress.max_iterations}" + (
            f" · at most {theme.duration(left)} left" if left > 0.5 else ""
        )
    if session.result is None:
        return "Nothing has run yet"
    attrs = session.result.attrs
    if not session.fresh:
        return "The pictures show an earlier run"
    if shipped := attrs.get("shipped"):
        return f"Ships with the lab: computed by {shipped}, in {theme.duration(attrs['run_seconds'])}"
    if session.from_store:
        return f"From the store; it took {theme.duration(attrs['run_seconds'])} when it was run"
    compiled = f" · compiled in {theme.duration(attrs['compile_seconds'])}" if attrs["programs_compiled"] else ""
    ended = "Stopped after" if attrs["reason"] == "stopped" else "Done in"
    return f"{ended} {theme.duration(attrs['run_seconds'])}{compiled}"


def eta(progress: Progress) -> float:
    """Seconds that the rest takes at the present pace, if it goes to the limit."""
    if not progress.iteration:
        return 0.0
    return progress.seconds / progress.iteration * (progress.max_iterations - progress.iteration)


def curves(live: Sequence[Live], progress: Progress | None) -> list[dict[str, Any]]:
    """What to draw of the trace: for each quantity its lines, with heights in [0, 1] on one logarithmic scale, None for a gap.

    Without a declaration a training's loss is followed, of other methods the first measure.
    """
    trace = progress.trace if progress else {}
    if not live and trace:
        first = "loss" if "loss" in trace else next(iter(trace))
        live = (Live(first.replace("_", " "), {"": first}),)
    found = []
    for quantity in live:
        lines = {name: _logs(trace[measure]) for name, measure in quantity.lines.items() if measure in trace}
        seen = np.concatenate([np.zeros(0), *lines.values()])
        seen = seen[np.isfinite(seen)]
        if seen.size < 2:
            continue
        level = quantity.level
        if isinstance(level, str):
            level = float(trace[level][-1]) if level in trace else None
        level = [] if level is None else [np.log10(level)]
        low, high = min([seen.min(), *level]), max([seen.max(), *level])
        scaled = lambda at, low=low, span=high - low: round(float((at - low) / span), 3) if span > 0 else 0.5  # noqa: E731
        found.append(
            {
                "measure": quantity.label,
                "lines": [[scaled(at) if np.isfinite(at) else None for at in logs] for logs in lines.values()],
                "level": scaled(level[0]) if level else None,
                "last": [f"{name} {_last(trace[quantity.lines[name]])}".strip() for name in lines],
            }
        )
    return found


def _logs(values: Any) -> np.ndarray:
    """Of at most so many as a small curve needs, NaN where there is none."""
    values = np.abs(np.asarray(values, float))
    if values.size > _POINTS:
        values = values[np.linspace(0, values.size - 1, _POINTS).astype(int)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), np.log10(values), np.nan)


def _last(values: Any) -> str:
    return theme.number(float(np.abs(np.asarray(values, float)[-1])), 2)
