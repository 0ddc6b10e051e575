"""The state of one open page: which study, on which data, with which result. Everything on the page follows from it."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from threading import Event
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
import panel as pn
import param
import xarray as xr

from lab import sweeps
from lab.datasets import UPLOAD_LIMIT, Data
from lab.figures.sweep import symbol
from lab.inputs import shown
from lab.numerics import Report
from lab.store import Store, unpack
from lab.studies import DataSource, Outcome, Picture, Real, Study, Whole, edited
from lab.sweeps.parcel import Packed

from . import faults, limits, worker
from .runner import SWEEP, Runner, knows, note_compiling, poster, seen
from .turns import Abandoned

_SWEEPS_KEPT = 12
_WAY = 1.0  # seconds within which changes of one parameter are one way of its slider
_SHOWN = 64 * 2**20  # bytes of results that a page keeps, to show them again
_BACK = 50  # changes that can be undone
_DRAWING = 0.3  # seconds that a run waits for its sketch
_PAINTING = 0.03  # and then for the browser, which may share the processor
_VALUED = re.compile(r"(?<![\w.'])\w+(?= (?:=|was) )")  # what stands before its value
_LONG = 5.0  # seconds; a sweep that takes longer is computed in the background process
_READING = 0.1  # seconds; a run that takes less is computed sooner than it is read from the store


class Session(param.Parameterized):
    """One open page.

    Args:
        study: a study, or a class of studies for its defaults.
        dark: the theme to begin with.

    ``study`` is never changed in place: each change is a new instance, so watch ``"study"``. Nothing runs before
    ``start``; after it, every change runs the study, and the latest wins.
    """

    study: Any = param.Parameter(allow_refs=False, doc="the study with its present values")
    data: Any = param.ClassSelector(class_=Data, doc="the data set it names, loaded; None before ``start``")
    result: Any = param.ClassSelector(class_=xr.Dataset, doc="of the last finished run")
    fresh = param.Boolean(False, doc="the result belongs to the present study")
    rough = param.Boolean(False, doc="it is a sketch, of a run that goes on")
    busy = param.Boolean(False)
    stage = param.Selector(objects=["", "loading", "reading", "queued", "compiling", "running", "stopping"], default="")
    place = param.Integer(
        0, doc="how many long runs go first, while ``stage`` is queued; 0 where programs are waited for"
    )
    progress = param.Parameter(doc="lab.numerics.Progress of the run, None without one")
    error = param.String("", doc="why the last request was refused or its run failed, in a sentence")
    notices = param.List([], doc="what was changed on the user's behalf, one sentence each")
    dark = param.Boolean(False)
    ghost = param.ClassSelector(
        class_=xr.Dataset, doc="an earlier result that stands behind the present one; None without"
    )
    cameras = param.Dict({}, doc="by the name of a picture the azimuth and elevation that it was turned to")
    preset = param.String("", doc="the preset that the present values are; empty when none")
    from_store = param.Boolean(False, doc="the result was not computed now")
    kept = param.Selector(objects=["", "keeping", "kept"], default="", doc="whether the store holds the present run")
    back = param.List([], doc="the studies that ``undo`` goes back over, the last one first to be")
    ahead = param.List([], doc="those that ``redo`` goes to, the last one first")

    def __init__(self, study: Study | type[Study], *, dark: bool = False):
        super().__init__(study=study() if isinstance(study, type) else study, dark=dark)
        self._post, self.live = poster()
        self._opened = Event()  # by a browser, or for whoever else looks on
        self.post_drawing = seen(self._post, self._opened.is_set)  # as ``post``, once there is a browser
        self._runner = Runner(self._post)
        self._loader = Runner(self._post)
        self._keeper = Runner(self._post, SWEEP)
        self.store = Store()
        self._look = True  # the next run is taken from the store where it is held, however cheap
        self._warm: Any = None
        self._shown: OrderedDict[str, _Answer] = OrderedDict()  # by study and data, finished runs of this page
        self._held: tuple[Study, Data] | None = None  # a run that waits for a browser
        self._next: Study | None = None  # whose data are being loaded
        self._started = False
        self._sweeps: OrderedDict[Any, xr.Dataset] = OrderedDict()
        self._sweepers: dict[str, Runner] = {}
        self._under_way: dict[str, Any] = {}  # what each of them was asked for last
        self._moved: tuple[set[str], float] = set(), 0.0  # what changed last, and when
        self._step: tuple[Study, list[Study], list[Study]] | None = None  # of undo or redo, until its data are at hand
        self.preset = self._preset_of(self.study)
        self._fault = "", ""  # the last refusal, and the parameter that it is about
        self._haunts = False  # what is sketched becomes the ghost
        self._origin = self.preset  # the preset that ``reset`` goes to
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self.close())

    @property
    def study_class(self) -> type[Study]:
        return type(self.study)

    def post(self, call: Callable[[], None]) -> None:
        """Call a function in the page's thread, soon: from any thread."""
        self._post(call)

    # ---- changes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the data and run for the first time; later calls do nothing."""
        self._opened.set()
        self.prepare()
        self._resume()

    def prepare(self) -> None:
        """As ``start``, for a browser that is on its way: what is held is shown, and nothing computed before ``start``."""
        if not self._started:
            self._started = True
            self._adopt(self.study, self.notices)

    def begin(self, report: Report | None) -> None:
        """Run for the first time at once, for somebody who waits for it; after ``start`` do nothing."""
        if self._started:
            return
        self._started = True
        self._opened.set()
        try:
            data = self.study.load()
            study, moved = self.study.fitted(data)
            known = self._read(Store.key(study.recipe(data)))
            outcome = study.execute(report) if known is None else Outcome(known, None)
        except (ValueError, TypeError, OSError) as refusal:
            self.refuse(faults.sentence(refusal))
            return
        notices = [*self.notices, *moved, *data.notices]
        self.param.update(study=study, data=data, notices=notices, preset=self._preset_of(study))
        self._done(_Answer(outcome, held=known is not None, read=known is not None))

    def set(self, **values: Any) -> None:
        """Change parameters. A value that is not allowed leaves everything as it is and says so in ``error``."""
        notices: list[str] = []
        try:
            self._check_named(values.get("data", self.study.data))
            study = (self._next or self.study).but(**values)
            if self.data is not None and self._same_data(study):
                study, notices = study.fitted(self.data, but=values)
                study.check(self.data)
        except (ValueError, TypeError) as refusal:
            self.error = self._refusal(str(refusal))
            return
        self._adopt(study, notices)

    def set_text(self, name: str, text: str) -> None:
        """Change one parameter to what a text stands for."""
        parameters = self.study.parameters()
        try:
            if name not in parameters:
                raise ValueError(f"{self.study.slug} has no parameter {shown(name)}: load the page again")
            value = parameters[name].parse(text.strip())
        except (ValueError, TypeError) as refusal:
            self.error = self._refusal(str(refusal))
            return
        self.set(**{name: value})

    def set_data(self, data: str | Data) -> None:
        """Change the data; parameters that they don't allow are moved to the nearest value they do, with a notice."""
        self.set(data=data)

    def apply_preset(self, name: str) -> None:
        """Set every parameter as a preset has it."""
        try:
            study = self.study_class.preset(name)
        except (ValueError, TypeError) as refusal:
            self.error = self._refusal(str(refusal))
            return
        self._origin = name
        self._adopt(study, [])

    def undo(self) -> None:
        """Take back the last change of parameters or data; a slider's way is one change."""
        if self.back:
            *back, study = self.back
            self._go(study, back, [*self.ahead, self.study])

    def redo(self) -> None:
        """Make again what ``undo`` took back."""
        if self.ahead:
            *ahead, study = self.ahead
            self._go(study, [*self.back, self.study], ahead)

    def haunt(self) -> None:
        """Keep the result on show behind those that follow, to compare with; a second time let it go.

        Of a sketch the run is kept that it is a sketch of, once that has ended, unless another is asked for before.
        """
        if self.ghost is not None:
            self.ghost = None
        elif self.rough:
            self._haunts = not self._haunts
        elif self.result is not None:
            self.ghost = self.result

    def reset(self) -> None:
        """Back to the preset that was chosen last, or to the defaults."""
        if self._origin:
            self.apply_preset(self._origin)
        else:
            self.open(self.study_class())

    def _go(self, study: Study, back: list[Study], ahead: list[Study]) -> None:
        self._look = True
        self._step = study, back, ahead
        self._adopt(study, [])

    def open(self, study: Study) -> None:
        """Show the run of this study: from the store where it is held."""
        self._look = True
        self._adopt(study, [])

    def edit_points(self, array: str, values: np.ndarray) -> None:
        """Move points of the data."""
        if self.data is None or values.shape != self.data.arrays[array].shape:
            return  # a drag that ended after the data were changed
        self.set_data(edited(self.data, **{array: np.asarray(values, self.data.arrays[array].dtype)}))

    def stop(self) -> None:
        """End what runs. A run that has got anywhere keeps its best so far; the rest is abandoned."""
        for runner in self._sweepers.values():
            runner.abandon()
        self._loader.abandon()
        self._next = None
        if self._runner.stop():
            self.stage = "stopping"
        elif self.busy:
            self.param.update(busy=False, stage="", progress=None, error="stopped before there was an answer")

    def leave(self, picture: Picture) -> None:
        """Compute no more of the sweep of this picture."""
        if picture.name in self._sweepers:
            self._sweepers[picture.name].abandon()

    @property
    def unfinished(self) -> bool:
        """The present run was stopped, or has failed."""
        stopped = self.result is not None and self.result.attrs["reason"] == "stopped"
        return self.data is not None and not self.busy and (stopped or not self.fresh)

    def again(self) -> None:
        """Run what is unfinished to its end."""
        if self.unfinished:
            self.open(self.study)

    def keep(self) -> None:
        """Put the present run into the store. One that began from its neighbour is made anew from the start."""
        study, data, result = self.study, self.data, self.result
        if result is None or data is None or not self.fresh or self.rough or self.kept:
            return
        whole = not result.attrs["warm_start"] and result.attrs["reason"] != "stopped"

        def work(report: Report) -> None:
            recipe = study.recipe(data)
            self.store.fetch(recipe, lambda: result if whole else study.run(report))
            if not self.store.held([Store.key(recipe)]):
                raise ValueError(f"the run is not kept: {self.store.folder} has no room or can't be written to")

        def done(_: None) -> None:
            if self.study is study:
                self.kept = "kept"

        def failed(sentence: str) -> None:
            self.param.update(kept="", error=sentence)

        self.kept = "keeping"
        self._keeper.submit(work, done=done, failed=failed)

    def close(self) -> None:
        """The page has gone: stop everything and let go of the arrays."""
        self._started = False
        for runner in (self._runner, self._loader, self._keeper, *self._sweepers.values()):
            runner.abandon()
        self._sweeps.clear()
        self._shown.clear()
        with param.parameterized.discard_events(self):  # nobody is left to be told
            self.param.update(back=[], ahead=[], ghost=None)

    @property
    def at_fault(self) -> str:
        """The parameter that ``error`` refuses a value of; "" where it is about something else."""
        return self._fault[1] if self._fault[0] == self.error else ""

    def named(self, sentence: str) -> str:
        """A sentence with the parameters whose values it tells called as the page calls them."""
        return _VALUED.sub(lambda found: self._called(found[0]), sentence)

    def _called(self, name: str) -> str:
        parameters = self.study_class.parameters()
        return symbol(parameters[name]) if name in parameters else name

    def _refusal(self, sentence: str) -> str:
        self._fault = self.named(sentence), self._spoken_of(sentence)
        return self._fault[0]

    def _spoken_of(self, sentence: str) -> str:
        name = re.split(" = | was ", sentence, maxsplit=1)[0]
        return name if name in self.study_class.parameters() else ""

    # ---- links ---------------------------------------------------------------------------------------------------

    def to_query(self) -> dict[str, str]:
        """The changed parameters as texts, for an address. Data that have no name stay out."""
        return dict(parse_qsl(self.study.as_link().partition("?")[2]))

    def from_query(self, query: Mapping[str, str]) -> None:
        """Take the state from an address; what can't be taken is left out or moved into range, with a notice."""
        parameters = self.study_class.parameters()
        values: dict[str, Any] = {}
        notices: list[str] = []
        for name, text in query.items():
            if name not in parameters:
                continue
            parameter = parameters[name]
            try:
                value = parameter.parse(text)
                if isinstance(parameter, Real | Whole):
                    low, high = parameter.bounds or (None, None)
                    closed = parameter.inclusive_bounds  # an open end is no value to move to
                    ends = low if closed[0] else None, high if closed[1] else None
                    value, notice = parameter.into(value, *ends, "the method allows")
                    notices += notice
                if isinstance(parameter, DataSource):
                    self._check_named(str(value))
                self.study_class(**{name: value})
                values[name] = value
            except (ValueError, TypeError) as refusal:
                notices.append(f"{refusal}; left as it was")
        self._adopt(self.study_class(**values), notices)

    def _check_named(self, data: str | Data) -> None:
        """Refuse the path of a file: what a browser sends names data of the lab, or brings them."""
        if not isinstance(data, Data) and (
            not isinstance(data, str)
            or (data != self.study.data and data not in {entry.name for entry in self.study.sets()})
        ):
            raise ValueError(
                f"{shown(data)} is no data set that this page has: choose one of its list, or upload a file"
            )

    # ---- sweeps --------------------------------------------------------------------------------------------------

    def sweep(
        self, picture: Picture, *, wait: float, calls: Mapping[str, Callable], only_known: bool = False
    ) -> xr.Dataset | None:
        """The sweep that ``picture`` needs: at once where it is known, else by ``calls["done"]`` later.

        Args:
            wait: seconds of quiet before it begins.
            calls: ``progress``, ``done`` and ``failed``, as in ``Runner.submit``.
            only_known: compute nothing: ``done`` gets None where the store does not hold all of it.
        """
        assert picture.along is not None
        study, data = self.study, self.data
        assert data is not None
        grid = picture.grid(study, data)
        fixed = {name: value for name, value in study.values().items() if name not in grid}
        fixed["data"] = data.sha256
        key = repr((sorted(fixed.items()), sorted((k, list(map(str, v))) for k, v in grid.items()), picture.keep))
        runner = self._sweepers.setdefault(picture.name, Runner(self._post, SWEEP))
        if key in self._sweeps:
            runner.abandon()
            self._sweeps.move_to_end(key)
            return self._here(self._sweeps[key])
        if runner.busy and self._under_way[picture.name] == key:
            return None  # a card that was scrolled out of sight and back
        self._under_way[picture.name] = key
        done = calls["done"]

        def keep(swept: xr.Dataset | None) -> None:
            if swept is None:
                self._under_way.pop(picture.name, None)
                done(None)
                return
            self._sweeps[key] = swept
            while len(self._sweeps) > _SWEEPS_KEPT:
                self._sweeps.popitem(last=False)
            done(self._here(swept))

        # what somebody brought, or drags, is not asked for again, and is not for others who share the store
        store = self.store if isinstance(study.data, str) else None

        def stored() -> xr.Dataset | None:
            plan = sweeps.Plan(study, grid, store=store, keep=picture.keep)
            return sweeps.run(plan) if plan.complete else None

        def work(report: Report) -> xr.Dataset | None:
            if only_known:
                return None

            def here() -> xr.Dataset:
                return sweeps.complete(study, grid, report, keep=picture.keep, store=store or False)

            folder = store.folder if store else None
            job = worker.Sweep(Packed.of(study), grid, picture.keep, folder) if line else None
            return worker.compute(job, here, report, compiling=note_compiling)

        cells = prod(len(values) for values in grid.values())
        seconds = (
            0.0 if self.result is None else self.result.attrs["run_seconds"] + self.result.attrs["compile_seconds"]
        )
        long = worker.present is not None and not only_known and cells * seconds > _LONG
        line = worker.line if long else None
        runner.submit(work, delay=wait, ready=stored, line=line, **{**calls, "done": keep})
        return None

    def _here(self, swept: xr.Dataset) -> xr.Dataset:
        """A sweep with the recipe of the present run, so that its picture can say where one is."""
        if self.result is None:
            return swept
        recipe = {key: self.result.attrs[key] for key in ("parameters", "recipe", "command", "title")}
        return swept.assign_attrs(recipe)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _same_data(self, study: Study) -> bool:
        names = ("data", *study.data_options)
        return self.data is not None and all(getattr(study, n) == getattr(self.study, n) for n in names)

    def _adopt(self, study: Study, notices: list[str]) -> None:
        """Make ``study`` the present one as soon as its data are at hand."""
        if why := limits.too_large(study):
            self.error = self._refusal(why)
            return
        self._loader.abandon()
        self._next = None
        if not self._started:
            self.param.update(study=study, notices=notices, error="", preset=self._preset_of(study))
            return
        if self._same_data(study) or isinstance(study.data, Data):
            self._settle(study, study.data if isinstance(study.data, Data) else self.data, notices)
        elif not self.live:
            try:
                data = study.load()
            except (ValueError, TypeError, OSError) as refusal:
                self.refuse(faults.sentence(refusal))
                return
            self._settle(study, data, notices)
        else:
            self._runner.abandon()
            self._next = study
            self.param.update(busy=True, stage="loading", progress=None)
            self._loader.submit(
                lambda report: study.load(),
                done=lambda data: self._settle(study, data, notices),
                failed=self._not_loaded,
            )

    def _settle(self, study: Study, data: Data | None, notices: list[str]) -> None:
        assert data is not None
        self._next, self._haunts = None, False
        self._remember(study)
        study, moved = study.fitted(data)
        state = {"study": study, "data": data, "notices": [*notices, *moved, *data.notices]}
        state |= {"error": "", "preset": self._preset_of(study), "fresh": False, "busy": True, "kept": ""}
        state["stage"] = "reading" if self._looks() else self._stage(study, data)
        if self.live:  # answers come in a later turn: all this is drawn while it computes
            self._run(study, data)
            self.param.update(**state, progress=None)
        else:
            self.param.update(**state, progress=None)
            self._run(study, data)

    def _remember(self, study: Study) -> None:
        """What is left behind can be gone back to; of one way of a slider only its beginning."""
        now, values = monotonic(), study.values()
        changed = {name for name, value in self.study.values().items() if value != values[name]}
        before, when = self._moved
        step, self._step = self._step, None
        if step is not None and step[0] is study:
            self._moved = set(), now
            self.param.update(back=step[1], ahead=step[2])
            return
        self._moved = changed, now
        if changed and not (len(changed) == 1 and changed == before and now - when < _WAY):
            self.param.update(back=_kept([*self.back, self.study][-_BACK:]), ahead=[])

    def _run(self, study: Study, data: Data) -> None:
        warm, look = self._warm, self._looks()
        line = worker.line if worker.present is not None and worker.is_long(study, data) else None

        before = None if self._look else self._shown.get(_name(study, data))
        self._look = False

        def stored() -> _Answer | None:
            if before is not None:
                return before._replace(held=bool(self.store.held([Store.key(study.recipe(data))])))
            known = self._read(Store.key(study.recipe(data))) if look else None
            if known is None and not self._opened.is_set():
                self._post(lambda: self._hold(study, data))
                raise Abandoned
            if known is not None:
                return _Answer(Outcome(known, warm), held=True, read=True)
            if look:
                self._post(lambda: self._computes(study, data))
            return None

        def work(report: Report) -> _Answer:
            def sketch(result: xr.Dataset) -> None:
                drawn = Event()
                self._post(lambda: self._sketched(study, result, drawn))
                if drawn.wait(_DRAWING):  # drawing and computing would hold each other up
                    sleep(_PAINTING)

            def here() -> Outcome:
                return study.execute(report, warm, sketch)

            job = worker.Run(Packed.of(study), warm) if line else None
            outcome = worker.compute(job, here, report, sketch, note_compiling)
            return _Answer(outcome, held=bool(self.store.held([Store.key(study.recipe(data))])), read=False)

        self._runner.submit(
            work,
            ready=stored,
            programs=study.programs(data, warm),
            stage=self._reach,
            progress=lambda progress: self.param.update(progress=progress),
            done=self._done,
            failed=self.refuse,
            line=line,
            queued=self._queued,
        )

    def _queued(self, place: int) -> None:
        if self.stage != "stopping":
            self.param.update(stage="queued", place=place)

    def _looks(self) -> bool:
        """Whether what is asked for may be kept, and is sooner read than computed."""
        last = self.result
        return self._look or last is None or last.attrs["run_seconds"] + last.attrs["compile_seconds"] > _READING

    def _computes(self, study: Study, data: Data) -> None:
        """It was not kept."""
        if self.busy and self.study is study and self.stage == "reading":
            self.stage = self._stage(study, data)

    def _reach(self, stage: str) -> None:
        if self.stage != "stopping":  # it compiled yet when it was stopped
            self.param.update(stage=stage, place=0)

    def _hold(self, study: Study, data: Data) -> None:
        """Run it as soon as a browser has opened the page."""
        self._held = study, data
        if self._opened.is_set():
            self._resume()

    def _resume(self) -> None:
        held, self._held = self._held, None
        if held is not None and held[0] is self.study:
            self._run(*held)

    def _stage(self, study: Study, data: Data) -> str:
        return "running" if knows(study.programs(data, self._warm)) else "compiling"

    def _read(self, key: str) -> xr.Dataset | None:
        try:
            return unpack(self.store.read([key]), 0) if self.store.held([key]) else None
        except (ValueError, OSError):  # removed or set aside this moment
            return None

    def _sketched(self, study: Study, result: xr.Dataset, drawn: Event) -> None:
        if self.busy and self.study is study:
            self.param.update(result=result, rough=True, fresh=True)
        self._post(drawn.set)  # in a turn after that of the first picture

    def _done(self, answer: "_Answer") -> None:
        result, warm = answer.outcome
        if self.data is not None:
            worker.took(self.study, self.data, result.attrs["run_seconds"])
            self._show_again(_name(self.study, self.data), answer)
        self._warm = warm if result.attrs["reason"] != "not_finite" else None
        self._moved = self._moved[0], monotonic()  # a hand waits for the run: what it sets next is still its way
        told = {"from_store": answer.read, "kept": "kept" if answer.held else ""}
        told |= {"result": result, "rough": False, "stage": "", "progress": None}
        if self._haunts:
            told["ghost"], self._haunts = result, False
        self.param.update(**told, fresh=True, busy=False)  # last: another thread that waits for them finds all the rest

    def _show_again(self, name: str, answer: "_Answer") -> None:
        """Remember a finished run, and as many of those before as there is room for."""
        if answer.outcome.result.attrs["reason"] == "stopped":
            return
        self._shown[name] = answer
        self._shown.move_to_end(name)
        while len(self._shown) > 1 and sum(each.outcome.result.nbytes for each in self._shown.values()) > _SHOWN:
            self._shown.popitem(last=False)

    def _not_loaded(self, sentence: str) -> None:
        self._next = None
        self.refuse(sentence)
        if self.data is not None and not self.fresh:
            self.param.update(busy=True, stage=self._stage(self.study, self.data), progress=None)
            self._run(self.study, self.data)  # the run that the request had abandoned

    def refuse(self, sentence: str) -> None:
        """Say why there is no answer, and wait for none."""
        self.param.update(busy=False, stage="", progress=None, error=self._refusal(sentence))

    def _preset_of(self, study: Study) -> str:
        for preset in study.presets:
            wanted = {name: p.default for name, p in study.parameters().items()} | dict(preset.values)
            if all(value == wanted[name] for name, value in study.values().items()):
                return preset.name
        return ""


def _name(study: Study, data: Data) -> str:
    """A run of this page: parameters and data."""
    return repr(sorted((name, str(value)) for name, value in study.values().items() if name != "data")) + data.sha256


def _kept(studies: list[Study]) -> list[Study]:
    """The last of them whose brought data are together no larger than an upload may be."""
    held: dict[str, int] = {}
    for at, study in reversed([*enumerate(studies)]):
        if isinstance(study.data, Data):
            held[study.data.sha256] = sum(array.nbytes for array in study.data.arrays.values())
        if sum(held.values()) > UPLOAD_LIMIT:
            return studies[at + 1 :]
    return studies


class _Answer(NamedTuple):
    """What came of a run, whether the store holds it, and whether it was read from there."""

    outcome: Outcome
    held: bool
    read: bool
