"""Compare: runs of the study that the store holds, side by side."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import panel as pn
import param
import xarray as xr

from lab.datasets import Data
from lab.figures.sweep import symbol, value_text
from lab.store import Store, unpack
from lab.store.packing import cell_attrs
from lab.studies import Study

from . import faults, theme
from .choose import Choose, field
from .runner import SWEEP, Runner
from .session import Session
from .sweep_views import Row
from .view import View, source

MOST = 4  # runs side by side
_LISTED = 500  # runs that are read
_SHOWN = 40  # rows of the list
_NAMES = "ABCD"
_STACK = ":host { gap: 14px; }"
_WORDS = theme.asset("sweep_words.css")


class Kept(NamedTuple):
    """A run of the store, as a list shows it."""

    key: str
    created: datetime
    data: str
    parameters: Mapping[str, Any]
    numbers: Mapping[str, float]
    ended: str


class _Read(NamedTuple):
    """A run that was chosen; ``study`` is None, with the reason in ``why``, where it can't be opened."""

    result: xr.Dataset
    study: Study | None
    why: str


def kept_runs(store: Store, study: type[Study], most: int = _LISTED) -> tuple[list[Kept], int]:
    """The newest runs of a study, each cell of a sweep for itself; and how many there are in all."""
    found: list[Kept] = []
    total = 0
    names = tuple(result.name for result in study.results if result.headline and not result.dims)
    for entry in store.entries():
        if entry.study != study.slug or any(key.endswith("-failed") for key in entry.keys):
            continue
        total += entry.cells
        keys = entry.keys[: most - len(found)]
        if not keys:
            continue
        try:
            packed = store.read(keys, names)
        except ValueError:  # removed or set aside this moment
            continue
        told = zip(
            keys,
            *(cell_attrs(packed, name) for name in ("parameters", "data_title", "converged", "ended")),
            strict=True,
        )
        for row, (key, parameters, data, converged, ended) in enumerate(told):
            numbers = {name: float(packed[name].values[row]) for name in names if name in packed}
            ended = str(ended or ("converged" if converged else "did not converge"))  # runs of older versions lack it
            found.append(Kept(key, entry.created, str(data or ""), json.loads(parameters or "{}"), numbers, ended))
    return list({run.key: run for run in found}.values()), total


class CompareTab(pn.viewable.Viewer):
    """The compare tab of a page. The store is looked through each time it comes into view.

    Args:
        on_open: called with the study of a run that is to be opened on the page.
    """

    active = param.Boolean(False, doc="the tab is in view")
    chosen = param.List([], doc="keys of the runs to compare, in order")
    ready = param.Boolean(False, doc="the list is that of the store")

    def __init__(self, session: Session, on_open: Callable[[Study], None]):
        super().__init__()
        self.session = session
        self.runs: list[Kept] = []
        self.total = 0
        self.words = ""
        self.read: dict[str, _Read] = {}
        self._on_open = on_open
        self._pictures = [picture for picture in session.study_class.pictures if picture.along is None]
        self.picture = self._pictures[0].name if self._pictures else ""
        self._runner, self._reader = Runner(session.post, SWEEP), Runner(session.post, SWEEP)
        self.list = RunList(self)
        self._choose = Choose(self.set_choice)
        self._row = Row()
        self.table = Differences(self)
        self._said = theme.html("", _WORDS)
        self._view = theme.column(self._choose, self.list, self._said, self._row.view, self.table, css=_STACK)
        session.param.watch(self._follow, ["kept"])
        session.param.watch(lambda event: self._show(), "dark")
        self.param.watch(self._follow, "active")
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self.close())

    def __panel__(self):
        return self._view

    def close(self) -> None:
        """The page has gone."""
        self._runner.abandon()
        self._reader.abandon()
        self.read.clear()

    # ---- the list ------------------------------------------------------------------------------------------------

    def _follow(self, *_: Any) -> None:
        if self.active and self.session.kept != "keeping":
            study, store = self.session.study_class, self.session.store
            self._runner.submit(lambda report: kept_runs(store, study), done=self._found, failed=self._say)

    def _found(self, found: tuple[list[Kept], int]) -> None:
        self.runs, self.total = found
        self.ready = True
        known = {run.key for run in self.runs}
        self.chosen = [key for key in self.chosen if key in known]
        self._show()

    def matching(self) -> list[Kept]:
        """The runs that have every word of the filter in what they say; before them those chosen that have not."""
        words = self.words.casefold().replace(" = ", "=").split()
        found = [run for run in self.runs if all(word in self.described(run) for word in words)]
        listed = {run.key for run in found[:_SHOWN]}
        others = [run for run in self.runs if run.key in self.chosen and run.key not in listed]
        return [*others, *(run for run in found if run not in others)]

    def described(self, run: Kept) -> str:
        """What the filter looks through."""
        parameters = self.session.study_class.parameters()
        said = [f"{name}={value_text(value)}" for name, value in run.parameters.items()]
        said += [f"{parameters[n].symbol}={value_text(v)}" for n, v in run.parameters.items() if n in parameters]
        return f"{run.data} {' '.join(said)}".casefold()

    def set_choice(self, name: str, value: str) -> None:
        """The filter, or the picture."""
        if name == "words":
            self.words = value
        elif name == "picture":
            self.picture = value
        self._show()

    def choose(self, key: str, on: bool) -> None:
        """Take a run into the comparison, or out of it."""
        rest = [each for each in self.chosen if each != key]
        if on and len(rest) >= MOST:
            return
        self.chosen = [*rest, key] if on else rest
        self._show()

    def _hint(self) -> str:
        """An example in the words of the study."""
        study = self.session.study_class
        names = [name for name, parameter in study.parameters().items() if parameter.sweepable and name != "seed"]
        return " ".join(f"{name}={getattr(study(), name)}" for name in names[:2])

    # ---- side by side --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.list.refresh()
        fields = []
        if len(self.runs) > 6:
            fields.append(field("words", "Find", self.words, kind="text", hint=self._hint()))
        if self.chosen and self._pictures:
            options = [(picture.name, picture.title) for picture in self._pictures]
            fields.append(field("picture", "Picture", self.picture, options))
        self._choose.offer(fields)
        missing = [key for key in self.chosen if key not in self.read]
        if not missing:
            self._reader.abandon()
            self._side_by_side()
            return
        store, kind, data = self.session.store, self.session.study_class, self.session.data

        def work(report: Any) -> dict[str, _Read]:
            return {key: _opened(kind, unpack(store.read([key]), 0), data) for key in missing}

        def done(read: dict[str, _Read]) -> None:
            self.read |= read
            self.read = {key: self.read[key] for key in self.read if key in self.chosen}
            self._side_by_side()

        self._reader.submit(work, done=done, failed=self._say)

    def _side_by_side(self) -> None:
        self._say("")
        runs = [self.read[key] for key in self.chosen]
        self.table.refresh()
        if not runs or not self.picture:
            self._row.clear()
            return
        titles = [f"{_NAMES[i]} · {theme.escape(words)}" for i, words in enumerate(self.differing())]
        picture = self.session.study_class.pictures[self.picture]
        self._row.show(picture, [(t, run.result) for t, run in zip(titles, runs, strict=True)], self.session.dark)

    def differing(self) -> list[str]:
        """For each chosen run the parameters, and the data, in which it is not like the others."""
        rows = differences(self.session.study_class, [self.read[key].result for key in self.chosen])
        own = [[f"{sign} = {value}" if sign != "data" else value for value in values] for sign, values in rows]
        return [", ".join(said) or "the same parameters" for said in zip(*own, strict=True)] or [
            "" if len(self.chosen) == 1 else "the same parameters" for _ in self.chosen
        ]

    def open_run(self, key: str) -> None:
        """Open a run on the page."""
        run = self.read.get(key)
        if run is None:
            return
        if run.study is None:
            self._say(f"This run can't be opened here: {run.why}.")
        else:
            self._on_open(run.study)

    def _say(self, sentence: str) -> None:
        self._said.object = f'<p class="bad" role="alert">{theme.escape(sentence)}</p>' if sentence else ""


def _opened(kind: type[Study], result: xr.Dataset, data: Data | None) -> _Read:
    """A kept run and its study, on the page's own data where they are those of the run."""
    try:
        recipe = json.loads(result.attrs["recipe"])
        own = data if data is not None and result.attrs.get("data_sha256") == data.sha256 else None
        return _Read(result, kind.from_recipe(recipe, own), "")
    except (ValueError, TypeError, OSError, KeyError) as refusal:
        return _Read(result, None, faults.sentence(refusal, "its recipe can't be read").rstrip("."))


def differences(kind: type[Study], results: Sequence[xr.Dataset]) -> list[tuple[str, list[str]]]:
    """The parameters that differ between results, and the data where these do: how each is written, and its values."""
    parameters = kind.parameters()
    all_of = [json.loads(result.attrs["parameters"]) for result in results]
    rows = []
    if len({result.attrs["data_sha256"] for result in results}) > 1:
        rows.append(("data", [str(result.attrs["data_title"]) for result in results]))
    for name in dict.fromkeys(name for each in all_of for name in each):
        if name != "data" and len({repr(each.get(name)) for each in all_of}) > 1:
            sign = symbol(parameters[name]) if name in parameters else name
            rows.append((sign, [_exactly(each.get(name)) for each in all_of]))
    return rows


def _exactly(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def scalar_rows(kind: type[Study], results: Sequence[xr.Dataset]) -> list[dict[str, Any]]:
    """The scalars of the results: label, values, and how far each is from the first."""
    rows = []
    for declared in kind.results:
        if declared.dims or not any(declared.name in result for result in results):
            continue
        values = [float(result[declared.name]) if declared.name in result else float("nan") for result in results]
        boolean = all(result[declared.name].dtype.kind == "b" for result in results if declared.name in result)
        said = [theme.number(bool(v) if boolean and v == v else _plain(v), 6) for v in values]
        apart = ["", *(_apart(v - values[0]) for v in values[1:])]
        unit = f" ({declared.unit})" if declared.unit and declared.unit != "1" else ""
        differ = any(v != values[0] and v == v for v in values)
        rows.append(
            {
                "label": f"{declared.label}{unit}",
                "doc": declared.doc,
                "values": said,
                "apart": [] if boolean else apart,
                "differ": differ,
            }
        )
    seconds = [theme.duration(float(result.attrs["run_seconds"])) for result in results]
    rows.append({"label": "time of the run", "doc": "", "values": seconds, "apart": [], "differ": False})
    return rows


def _plain(value: float) -> float | int:
    return int(value) if value == value and abs(value) < 1e15 and value == int(value) else value


def _apart(gap: float) -> str:
    return (
        ""
        if gap != gap
        else "="
        if gap == 0
        else f"{'+' if gap > 0 else ''}{theme.number(_plain(gap), 3)}".replace("-", "−")
    )


class RunList(View):
    """The kept runs, each with a tick."""

    _esm = source("runs.js")
    css = theme.asset("compare.css")

    def __init__(self, tab: CompareTab):
        super().__init__(lambda message: tab.choose(str(message["key"]), bool(message["on"])))
        self._tab = tab
        self.refresh()

    def refresh(self) -> None:
        """Draw the list."""
        tab = self._tab
        kind = tab.session.study_class
        found = tab.matching()
        headline = [result for result in kind.results if result.headline and not result.dims][:4]
        listed = found[:_SHOWN]
        differ = {name for name in kind.parameters() if len({repr(run.parameters.get(name)) for run in listed}) > 1}
        columns = [told_apart([run.numbers.get(result.name, float("nan")) for run in listed]) for result in headline]
        rows = [
            {
                "key": run.key,
                "on": run.key in tab.chosen,
                "when": _when(run.created),
                "data": run.data,
                "parameters": _told(kind, run.parameters, differ) + f" · {run.ended}" * (run.ended != "converged"),
                "numbers": [column[row] for column in columns],
            }
            for row, run in enumerate(listed)
        ]
        self.draw(
            rows=rows, heads=[result.label for result in headline], full=len(tab.chosen) >= MOST, says=self._says(found)
        )

    def _says(self, found: Sequence[Kept]) -> str:
        tab = self._tab
        if not tab.ready:
            return "Looking through the store …"
        if not tab.runs:
            return (
                "No run of this study is kept yet. “Keep this run”, at the left, keeps the present one; a sweep keeps "
                "all its runs."
            )
        said = f"Choose up to {MOST} runs."
        if len(found) > _SHOWN:
            said += f" {_SHOWN} of {len(found):,} are listed, the newest first; find others by their parameters."
        if tab.total > len(tab.runs):
            said += f" The store holds {tab.total:,} in all, of which the newest {len(tab.runs):,} can be found here."
        if not found:
            said = "No kept run has all these words; write k=2 for a parameter."
        return said


class Differences(View):
    """What differs between the chosen runs."""

    _esm = source("differences.js")
    css = theme.asset("compare.css")

    def __init__(self, tab: CompareTab):
        super().__init__(self._take)
        self._tab = tab
        self.refresh()

    def _take(self, message: dict[str, Any]) -> None:
        if "open" in message:
            self._tab.open_run(str(message["open"]))
        elif "remove" in message:
            self._tab.choose(str(message["remove"]), False)

    def refresh(self) -> None:
        """Draw the table."""
        tab = self._tab
        keys = [key for key in tab.chosen if key in tab.read]
        results = [tab.read[key].result for key in keys]
        kind = tab.session.study_class
        self.draw(
            keys=keys,
            names=list(_NAMES[: len(keys)]),
            parameters=[{"label": sign, "values": values} for sign, values in differences(kind, results)],
            scalars=scalar_rows(kind, results) if results else [],
            openable=[tab.read[key].study is not None for key in keys],
        )


def _when(created: datetime) -> str:
    here = created.astimezone()
    return f"{here:%d %b %Y %H:%M}"


def told_apart(values: Sequence[float]) -> list[str]:
    """Numbers with as many digits, from four to nine, as tell those apart that are not the same."""
    for digits in range(4, 10):
        texts = [theme.number(_plain(value), digits) for value in values]
        if len({*texts}) >= len({*map(repr, values)}):
            break
    return texts if values else []


def _told(kind: type[Study], parameters: Mapping[str, Any], differ: Collection[str]) -> str:
    """The parameters that are not at their defaults, and those in which the listed runs differ."""
    known = kind.parameters()
    said = [
        f"{symbol(known[name])} = {value_text(value)}"
        for name, value in parameters.items()
        if name in known and name != "data" and (name in differ or value != known[name].default)
    ]
    return ", ".join(said) or "the defaults"


class Keep(View):
    """The button that keeps the present run."""

    _esm = source("keep.js")
    css = theme.asset("keep.css")

    def __init__(self, session: Session):
        super().__init__(lambda message: session.keep())
        self._session = session
        session.param.watch(self._follow, ["kept", "fresh", "rough", "busy"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        session = self._session
        ready = session.fresh and not session.rough and not session.busy
        self.draw(kept=session.kept if ready else "", ready=ready)
