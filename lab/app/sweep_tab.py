"""Sweep: the study over a grid of its parameters, on the data and with the other values of the page."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import panel as pn
import param

from lab import datasets, sweeps
from lab.figures.sweep import symbol, titled
from lab.inputs import shown
from lab.studies import DataSource, Study
from lab.sweeps import Filling, Plan
from lab.sweeps import grid as grids
from lab.sweeps.parcel import Packed

from . import limits, theme, worker
from .runner import SWEEP, Runner
from .session import Session
from .sweep_cells import SweepCells, scalars
from .sweep_pictures import SweepPictures
from .sweep_views import first_axes, suggested, sweepable
from .view import View, source

_QUIET = 0.6  # seconds without a change before a plan is made
_REDRAW = 0.35  # seconds between two pictures of a sweep that fills
_STACK = ":host { gap: 14px; }"


class _Known(NamedTuple):
    """A plan, what the store holds of it, and what it says of itself once that has been measured."""

    plan: Plan
    cells: SweepCells
    told: Sequence[str] = ()


class SweepTab(pn.viewable.Viewer):
    """The sweep tab of a page. Nothing is planned while ``active`` is off, and nothing is run before ``run``.

    Args:
        session: whose study, data and store it takes.
        on_open: called with the study of a cell that is to be opened on the page.
    """

    active = param.Boolean(False, doc="the tab is in view")
    stage = param.Selector(objects=["", "planning", "running", "stopping"], default="")
    plan = param.Parameter(doc="the ``lab.sweeps.Plan`` of the axes, None before there is one")
    axes = param.Dict({}, doc="the texts of the ticked axes, by name")
    wrong = param.String("", doc="why there is no plan, or why a sweep ended, in a sentence")

    def __init__(self, session: Session, on_open: Callable[[Study], None]):
        super().__init__()
        self.session = session
        self.cells: SweepCells | None = None
        self._typed: dict[str, str] = {}
        self.ticked: list[str] | None = None  # None before the defaults are chosen
        self._offers: list[list[str]] = []  # what to tick next if what was ticked for the user is refused
        self._refused: dict[str, str] = {}
        self._told: Sequence[str] = ()
        self._said = ""  # of the last run
        self._filling: Filling | None = None
        self._retry = False  # the plan has the cells that failed too
        self._place = 0  # how many jobs go before the sweep
        self._planned_for: Any = None  # what was asked for last, and what ``plan`` is of
        self._plan_of: Any = None
        self._drawn = 0.0
        self._runner = Runner(session.post, SWEEP)
        self.form = SweepForm(self)
        self.pictures = SweepPictures(session, on_open)
        self._view = theme.column(self.form, self.pictures, css=_STACK)
        session.param.watch(self._follow, ["study", "data"])
        session.param.watch(lambda event: self.form.refresh(), "busy")
        self.param.watch(self._follow, "active")
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self.close())

    def __panel__(self):
        return self._view

    def close(self) -> None:
        """The page has gone."""
        self._runner.abandon()
        self.pictures.close()

    # ---- the axes ------------------------------------------------------------------------------------------------

    @property
    def texts(self) -> dict[str, str]:
        """The values of each axis as a text: what was typed, or what is worth a first sweep."""
        study, data = self.session.study, self.session.data
        limits = {} if data is None else study.limits(data)
        return {
            name: self._typed.get(name) or suggested(study, name, limits.get(name)) for name in sweepable(type(study))
        }

    def tick(self, name: str, on: bool) -> None:
        """Sweep along a parameter, or no longer."""
        if self.stage in ("running", "stopping") or name not in sweepable(self.session.study_class):
            return
        self._offers = []
        rest = [each for each in self.ticked or () if each != name]
        order = list(sweepable(self.session.study_class))
        self.ticked = sorted([*rest, name] if on else rest, key=order.index)
        self._replan(0.0)

    def set_axes(self, texts: Mapping[str, str]) -> None:
        """Sweep along these parameters, as a link has them; names that are no parameter are left out."""
        known = sweepable(self.session.study_class)
        wanted = {name: text.strip() for name, text in texts.items() if name in known and text.strip()}
        if wanted and self.stage not in ("running", "stopping"):
            self._offers, self._typed = [], self._typed | wanted
            self.ticked = [name for name in known if name in wanted]
            self._replan(0.0)

    def set_text(self, name: str, text: str) -> None:
        """Set the values of an axis; an empty text brings the suggestion back."""
        if self.stage in ("running", "stopping") or name not in sweepable(self.session.study_class):
            return
        self._offers, self._typed[name] = [], text.strip()
        if text.strip() and name not in (self.ticked or ()):
            self.tick(name, True)
        else:
            self._replan(0.0)

    # ---- planning ------------------------------------------------------------------------------------------------

    def _follow(self, *_: Any) -> None:
        if not self.active or self.session.data is None or self.stage in ("running", "stopping"):
            return
        if self.ticked is None:
            self.ticked, *self._offers = first_axes(self.session.study, self.texts)
        self._replan(_QUIET if self._planned_for is not None else 0.0)

    def _replan(self, wait: float, retry: bool = False) -> None:
        study, data = self.session.study, self.session.data
        if data is None or self.ticked is None:
            return
        texts = self.texts
        given = {name: texts[name] for name in self.ticked}
        self.axes = given
        self._refused = {name: why for name, text in given.items() if (why := _refusal(study, name, text))}
        wanted = (study.but(**{name: study.parameters()[name].default for name in given}).values(), data.sha256, given)
        if wanted == self._planned_for and self.plan is not None and not retry and not self._refused:
            self.form.refresh()
            return
        self._runner.abandon()
        if self._planned_for is not None:
            self._said = ""  # that was of another sweep
        self._planned_for, self._told, self._retry = wanted, (), retry
        if self._refused or not given:
            self._withdraw("" if self._refused else "Tick a parameter to sweep along.")
            return
        self.param.update(stage="planning", wrong="")
        self.form.refresh()
        keep = scalars(type(study))

        def work(report: Any) -> _Known:
            plan = Plan(
                study, given, store=self.session.store, keep=keep, retry_failed=retry, most=limits.present.cells
            )
            if why := limits.too_large(study.but(**{name: _largest(values) for name, values in plan.grid.items()})):
                raise ValueError(why)
            cells = SweepCells(plan)
            cells.take([at for at, key in enumerate(plan.keys) if key in plan.held])
            report(_Known(plan, cells))
            for number in range(len(plan.groups)):  # between two measurements others may run
                if plan.todo(number):
                    plan.way(number)
                    report(_Known(plan, cells))
            return _Known(plan, cells, str(plan).splitlines()[1:])

        self._runner.submit(
            work,
            delay=wait if self.session.live else 0.0,
            progress=lambda known: self._known(known, wanted),
            done=lambda known: self._planned(known, wanted),
            failed=self._not_planned,
        )

    def _known(self, known: Any, wanted: Any, planned: bool = False) -> None:
        self._offers = []
        new = self.plan is not known.plan
        self._plan_of = wanted
        self.plan, self.cells = known.plan, known.cells
        if new:
            self.pictures.show(known.cells)
        if planned:  # another thread that waits for this finds all the rest
            self._told, self.stage = known.told, ""
        self.form.refresh()

    def _planned(self, known: _Known, wanted: Any) -> None:
        self._known(known, wanted, planned=True)

    def _not_planned(self, sentence: str) -> None:
        if self._offers:
            self.ticked = self._offers.pop(0)
            self._replan(0.0)
        else:
            self._withdraw(sentence)

    def _withdraw(self, sentence: str) -> None:
        first = sentence.split(" ", 1)[0]
        if first in (self.ticked or ()) and sentence.startswith(f"{first} = "):  # what the data do not allow
            self._refused[first] = sentence
            sentence = ""
        self.cells = None
        self.param.update(stage="", plan=None, wrong=sentence)
        self.form.refresh()
        self.pictures.show(None)

    # ---- running -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Compute what is missing."""
        plan, cells = self.plan, self.cells
        if not self.ready or plan is None or cells is None:
            return
        self._filling, self._said = None, ""
        self.param.update(stage="running", wrong="")
        self.form.refresh()

        def work(report: Any) -> None:
            def told(filling: Filling | None) -> bool:
                if filling is not None:
                    cells.take(filling.new)
                return bool(report(filling))

            try:
                # the page reads the cells from the store
                worker.compute(fill, lambda: sweeps.run(plan, told, must_keep=True), told)
            except ValueError:
                if self.stage != "stopping":
                    raise

        fill, line = None, None
        if worker.present is not None and plan.store is not None:
            line, store = worker.line, plan.store.folder
            fill = worker.Fill(Packed.of(plan.study), plan.grid, plan.keep, store, limits.present.cells, self._retry)
        self._place = 0
        self._runner.submit(
            work,
            progress=self._filled,
            done=lambda _: self._ended(""),
            failed=self._ended,
            line=line,
            queued=self._queued,
        )

    def _queued(self, place: int) -> None:
        self._place = place
        self.form.refresh()

    def stop(self) -> None:
        """End after the chunk at hand; what is computed is kept."""
        if self.stage == "running":
            self.stage = "stopping"
            if not self._runner.stop():
                self._ended("")
            self.form.refresh()

    def retry(self) -> None:
        """Plan the cells that failed once more."""
        if not self.stage:
            self._replan(0.0, retry=True)

    @property
    def ready(self) -> bool:
        """There is something to run: the plan is that of the axes, be it measured or not."""
        known = self.stage in ("", "planning") and self._plan_of == self._planned_for
        return self.plan is not None and known and bool(self._todo())

    def _todo(self) -> int:
        return 0 if self.cells is None else self.cells.missing

    def _filled(self, filling: Any) -> None:
        self._filling, self._place = filling, 0
        self.form.refresh()
        now = time.monotonic()
        if filling.new and now - self._drawn >= _REDRAW:
            self._drawn = now
            self.pictures.fill()

    def _ended(self, sentence: str) -> None:
        stopped = self.stage == "stopping"
        self._filling = None
        self._planned_for = None
        if stopped:
            self._said = "Stopped. What was computed is kept, and the rest goes on from there."
        self.pictures.fill(ended=True)
        self._replan(0.0)  # not by way of "", at which others might begin
        if self.stage in ("running", "stopping"):
            self.stage = ""
        if sentence:
            self.wrong = sentence
            self.form.refresh()

    # ---- words ---------------------------------------------------------------------------------------------------

    def says(self) -> list[str]:
        """The plan, in lines."""
        plan, cells = self.plan, self.cells
        if self._refused:
            return ["One of the axes can't be swept so."]
        if plan is None or cells is None:
            waits = "The plan comes after the run on the page …" if self.session.busy else "Making the plan …"
            return [waits] if self.stage == "planning" else []
        sizes = " × ".join(str(len(values)) for values in plan.grid.values())
        declared = self.session.study_class.parameters()
        names = " × ".join(symbol(declared[name]) if name in declared else name for name in plan.grid)
        head = f"{names}: {sizes} = {plan.cells:,} cells" if len(plan.grid) > 1 else f"{names}: {plan.cells:,} cells"
        failed = len(cells.failed)
        kept = plan.cells - cells.missing - failed
        lines = [head]
        if kept or failed:
            lines.append(f"{kept:,} in the store" + (f", {failed:,} failed" if failed else ""))
        if not cells.missing:
            lines.append("Nothing is left to compute.")
        elif self.stage == "planning":
            lines.append("Measuring how long the rest takes …")
        else:
            lines += list(self._told)
        return [*lines, self._said] if self._said and self.stage in ("", "planning") else lines

    def progress(self) -> str:
        """How far a sweep is that runs."""
        if self.stage == "stopping":
            return "Stopping …"
        filling, cells = self._filling, self.cells
        if self.stage != "running" or cells is None:
            return ""
        if self._place:
            return worker.queued(self._place)
        if filling is None:
            return "Starting …"
        said = [f"{filling.done:,} of {filling.cells:,} cells"]
        if filling.failed:
            said.append(f"{filling.failed:,} failed")
        if filling.rate:
            said.append(f"{filling.rate:.3g} a second")
        if filling.left:
            said.append(f"{theme.duration(filling.left)} left")
        return " · ".join(said)

    def part(self) -> float | None:
        """The share of the cells that are there; None before the first has come."""
        filling = self._filling
        return None if filling is None or filling.left is None else filling.done / filling.cells


class SweepForm(View):
    """The axes, the plan, and how far it is."""

    _esm = source("sweep.js")
    css = theme.asset("sweep.css")

    def __init__(self, tab: SweepTab):
        super().__init__(self._take)
        self._tab = tab
        self.refresh()

    def _take(self, message: dict[str, Any]) -> None:
        tab = self._tab
        match message:
            case {"tick": name, "on": on}:
                tab.tick(str(name), bool(on))
            case {"text": text, "name": name}:
                tab.set_text(str(name), str(text))
            case {"run": _}:
                tab.run()
            case {"stop": _}:
                tab.stop()
            case {"retry": _}:
                tab.retry()

    def refresh(self) -> None:
        """Draw the state of the tab."""
        tab, study = self._tab, self._tab.session.study
        items: dict[str, list[dict[str, Any]]] = {"": [], "more": []}
        for name, parameter in sweepable(type(study)).items():
            doc = (parameter.doc or "").rstrip(".")
            title, _, words = titled(parameter).partition(", ")
            item = {"name": name, "title": title, "brief": words, "doc": doc}
            item["idle"] = study.idle(name)
            items["more" if parameter.group == "more" else ""].append(item)
        plan, running = tab.plan, tab.stage in ("running", "stopping")
        counts = {} if plan is None else {n: f"{len(v)} values" for n, v in plan.grid.items()}
        todo = tab._todo()
        self.draw(
            axes=items[""],
            more=items["more"],
            texts=tab.texts,
            ticked=tab.ticked or [],
            refused={name: tab.session.named(why) for name, why in tab._refused.items()},
            counts=counts,
            syntax=sweeps.SYNTAX,
            says=tab.says(),
            wrong=tab.session.named(tab.wrong),
            running=running,
            stopping=tab.stage == "stopping",
            ready=tab.ready,
            run=f"Run the other {todo:,} cells" if todo and plan is not None and todo < plan.cells else "Run the sweep",
            failed=0 if tab.cells is None else len(tab.cells.failed),
            part=tab.part(),
            progress=tab.progress(),
        )


def _refusal(study: Study, name: str, text: str) -> str:
    """Why these values can't be swept, "" where they can."""
    try:
        _, grid = grids.split(type(study), {name: text}, limits.present.cells)
    except (ValueError, TypeError) as refusal:
        return str(refusal)
    if not grid.get(name):
        return "one value is no sweep: give several, as in 1,2,4 or 0.1:1:4"
    if isinstance(study.parameters()[name], DataSource):  # what a browser sends opens no file
        unknown = next((data for data in grid[name] if datasets.entry_of(data) is None), None)
        return (
            ""
            if unknown is None
            else f"{shown(unknown)} is no data set: give names from the list, with a ; between them"
        )
    return limits.too_large(study.but(**{name: _largest(grid[name])}))


def _largest(values: Sequence[Any]) -> Any:
    """The value that makes the largest run; None and texts make none larger."""
    return max((v for v in values if isinstance(v, int | float)), default=values[0])
