"""What a study declares besides its parameters: paper, results, pictures, presets, claims."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import xarray as xr

import lab
from lab.choices import chosen
from lab.inputs import listed, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.datasets import Data
    from lab.studies.contract.base import Study

type Mood = Literal["good", "warn", ""]


class Paper(NamedTuple):
    """The paper that a study stands for."""

    authors: str
    title: str
    venue: str
    year: int
    url: str = ""

    @property
    def short(self) -> str:
        return f"{self.authors} · {self.venue} {self.year}"

    @property
    def citation(self) -> str:
        return f"{self.authors}, {self.title}, {self.venue} {self.year}"


@dataclass(frozen=True)
class Result:
    """One variable of a result.

    Attributes:
        dims: names of its dimensions; () for a scalar.
        label: a few words under the number, on a page or on an axis.
        doc: one sentence.
        headline: shown in the strip of scalars and in the table of ``lab run``.
        judge: what a value means: ``"good"``, ``"warn"`` or nothing; sees the value and the whole result.
        optional: absent from some results (of other sizes, other data).
        half: the result that holds half the width of its 95 % interval, which is shown beside it.
    """

    name: str
    dims: tuple[str, ...]
    label: str
    doc: str
    unit: str = ""
    headline: bool = False
    judge: Callable[[float, xr.Dataset], Mood] | None = field(default=None, compare=False)
    optional: bool = False
    half: str = ""


def headlines(results: Sequence[Result], result: xr.Dataset) -> "Iterator[tuple[Result, float, Mood]]":
    """The scalars that matter and are there, each with its value and what it means; convergence is told in words instead.

    A part of a result may lack what a judge looks at: it then means nothing.
    """
    for declared in results:
        if not declared.headline or declared.name not in result or result[declared.name].dims:
            continue
        if declared.name == "converged":
            continue
        value, mood = result[declared.name].item(), ""
        try:
            mood = declared.judge(value, result) if declared.judge else ""
        except (AttributeError, KeyError) as problem:
            if not _absent(problem):
                raise
        yield declared, value, mood


@dataclass(frozen=True)
class Picture:
    """A way to look at a result.

    Attributes:
        caption: one line that says how to read it.
        draw: takes a result, returns a HoloViews object made with ``lab.studies.draw``.
        applies: says why the result can't be drawn this way, in a sentence; "" when it can. Of a variable that it asks for
            and that the result was kept without, it says so by itself.
        along: the sweep it needs: maps the study and its data to the values of each swept parameter.
            The result that ``draw`` gets then has one dimension more for each.
        keep: the variables of that sweep which it draws; all when empty.
        edits: arrays of the data whose points may be dragged in this picture.
        clicks: what a click at (x, y), in units of the axes, sets: maps the result that is drawn and the place to values of
            parameters by name; none where there is nothing to choose. The controls can do all that a click can.
        plays: the dimension of the result along which the picture moves. ``draw`` then takes the result and the number
            of a frame. All frames are built of the same layers, and their axes have fixed ranges.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Any] = field(compare=False)
    applies: Callable[[xr.Dataset], str] = field(default=lambda result: "", compare=False)
    along: "Callable[[Study, Data], Mapping[str, Sequence[Any]]] | None" = field(default=None, compare=False)
    keep: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    clicks: Callable[[xr.Dataset, float, float], Mapping[str, Any]] | None = field(default=None, compare=False)
    plays: str = ""

    def __post_init__(self):
        asked = self.applies

        def applies(result: xr.Dataset) -> str:
            try:
                return asked(result)
            except (AttributeError, KeyError, ValueError) as problem:
                if not (missing := _absent(problem)):
                    raise
                return _kept_without(missing)

        object.__setattr__(self, "applies", applies)

    def frames(self, result: xr.Dataset) -> np.ndarray:
        """Where along ``plays`` each frame is."""
        return result[self.plays].values

    def frame(self, result: xr.Dataset, at: float | None = None) -> int | None:
        """The number of the frame nearest to ``at``, the last one when omitted; None where nothing moves.

        Raises:
            ValueError: ``at`` is given and nothing moves, or it is no number.
        """
        if not self.plays:
            if at is not None:
                raise ValueError(f"the picture {self.name} does not move: leave out the place of a frame")
            return None
        places = self.frames(result)
        if at is None:
            return len(places) - 1
        if not np.isfinite(at):
            raise ValueError(f"at = {at}, but the place of a frame must be a number")
        return int(np.abs(places - at).argmin())

    def __call__(self, result: xr.Dataset, at: float | None = None, ax: "Axes | None" = None) -> Any:
        """The picture of ``result``; raises ValueError where it does not apply.

        Args:
            at: the place of the frame, of a picture that moves: the nearest one is drawn, the last when omitted.
            ax: Matplotlib axes to draw it into, which are then returned in place of a HoloViews object.
        """
        if ax is not None:
            return lab.figures.draw_into(ax, lambda: self(result, at))  # through the front door
        why = self.applies(result)
        if why:
            raise ValueError(f"the picture {self.name} can't be drawn: {why}")
        try:
            return self.shown(result, self.frame(result, at))
        except (AttributeError, KeyError, ValueError) as problem:
            missing = ", ".join(name for name in self.keep if name not in result) or _absent(problem)
            if not missing:
                raise
            why = _kept_without(missing)
            if self.along is not None and missing in json.loads(result.attrs.get("parameters", "{}")):
                asked = f"study.picture_result(study.pictures.{self.name})"
                why = f"it shows runs along {missing}, and this is one: give it {asked}"
            raise ValueError(f"the picture {self.name} can't be drawn: {why}") from problem

    def clicked(self, result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
        """The parameters that a click at (x, y) sets."""
        return {} if self.clicks is None else self.clicks(result, x, y)

    def movie(self, result: xr.Dataset) -> Any:
        """All frames, by their place: a HoloMap, which a notebook shows with a slider and a page without a server plays."""
        import holoviews as hv

        from lab.studies.draw import pen

        places = self.frames(result)
        with pen:
            return hv.HoloMap({float(at): self(result, float(at)) for at in places}, kdims=self.plays)

    def strip(self, result: xr.Dataset, count: int) -> Any:
        """So many frames side by side, at even distances from the first to the last."""
        import holoviews as hv

        from lab.studies.draw import pen

        places = self.frames(result)
        chosen = np.linspace(0, len(places) - 1, count).round().astype(int)
        with pen:
            parts = [self(result, float(places[frame])) for frame in chosen]
            return hv.Layout(parts).cols(count).opts(hv.opts.Layout(sublabel_format="", backend="matplotlib"))

    def shown(self, result: xr.Dataset, frame: int | None) -> Any:
        """``draw``, of this frame where the picture moves."""
        from lab.studies.draw import pen

        with pen:
            return self.draw(result) if frame is None else self.draw(result, frame)


def _absent(problem: AttributeError | KeyError | ValueError) -> str:
    """The variable or dimension that a Dataset was asked for in vain; "" where xarray did not raise the error."""
    frame = [frame for frame, _ in walk_tb(problem.__traceback__)][-1]
    if not frame.f_globals.get("__name__", "").startswith("xarray."):
        return ""
    if isinstance(problem, AttributeError):
        return str(problem.name)
    found = re.match(
        r"(?:No variable named|Dimensions) \W*(\w+)|'(\w+)' is not a valid dimension", str(problem.args[0])
    )
    return found[1] or found[2] if found else str(problem.args[0]) if isinstance(problem, KeyError) else ""


def _kept_without(missing: str) -> str:
    return f"it needs {missing}, which this result was kept without: keep all variables, or these too (keep, --keep)"


class Pictures:
    """The pictures of a study, in order: by attribute, by name, by iteration."""

    def __init__(self, *items: Picture):
        self._items = {item.name: item for item in items}

    def __iter__(self) -> Iterator[Picture]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, name: str) -> Picture:
        if name not in self._items:
            raise ValueError(f"there is no picture {shown(name)}; there are {listed(self._items)}")
        return self._items[name]

    def __getattr__(self, name: str) -> Picture:
        if name.startswith("_"):  # before it is made, as one that travelled by pickle
            raise AttributeError(name)
        if name not in self._items:
            raise AttributeError(f"there is no picture {shown(name)}; there are {listed(self._items)}")
        return self._items[name]

    def __dir__(self) -> list[str]:
        return list(self._items)


def first_picture(pictures: Pictures, result: xr.Dataset) -> Picture:
    """The first one that this result can be drawn as without computing more.

    Raises:
        ValueError: there is none.
    """
    for picture in pictures:
        if picture.along is None and not picture.applies(result):
            return picture
    raise ValueError(f"no picture shows this result of {result.attrs.get('study', 'a study')} alone")


class Live(NamedTuple):
    """Curves on one scale that a page draws while a run goes on, and writes the last values of.

    Attributes:
        label: what they are.
        lines: their names, each with the measure of the run's method that it follows; those that are absent are left out.
        level: a value to compare them with, or the measure that says it.
    """

    label: str
    lines: Mapping[str, str]
    level: float | str | None = None


@dataclass(frozen=True)
class Preset:
    """A named set of parameter values: a figure of the paper, or a phenomenon worth seeing."""

    name: str
    title: str
    doc: str
    values: Mapping[str, Any]


class Limit(NamedTuple):
    """The range of a parameter that the data at hand allow, and why."""

    low: float
    high: float  # infinite where there is none
    why: str


class Runs(Protocol):
    """What a claim measures with: runs the study with other parameters; equal runs are computed once."""

    def __call__(self, **parameters: Any) -> xr.Dataset: ...


class Measured(NamedTuple):
    """A number that is an estimate, with the interval that holds the true one in 95 of 100 such measurements."""

    value: float
    low: float
    high: float


@chosen
@dataclass(frozen=True)
class Claim:
    """What the paper or mathematics says, and this study can show.

    Attributes:
        statement: one sentence.
        measure: computes the quantity from runs of the study; with its interval, as ``Measured``, where it is an estimate.
        expected: the number, or a function of the same runs that gives it.
        relation: how measured stands to expected: ``"=="``, ``"<="`` or ``">="``.
        tolerance: allowed deviation; relative to the expected value when ``relative``.
        source: equation, table, closed form or independent solver.
        quick: takes a few seconds at most; the tests and ``lab verify --quick`` run it.
        should_hold: False where it is known to fail here; ``note`` then says why.
    """

    name: str
    statement: str
    measure: Callable[[Runs], float | Measured] = field(compare=False)
    expected: float | Callable[[Runs], float] = field(compare=False)
    source: str
    relation: Literal["==", "<=", ">="] = "=="
    tolerance: float = 0.0
    relative: bool = False
    quick: bool = True
    should_hold: bool = True
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came of a claim: the numbers, and whether it holds."""

    claim: Claim
    expected: float
    measured: float
    tolerance: float  # absolute
    holds: bool
    seconds: float
    error: str = ""
    interval: tuple[float, float] | None = None  # of what was measured, where it is an estimate

    @property
    def tie(self) -> bool:
        """A bound inside the interval of what was measured: more data could turn the verdict round."""
        low, high = self.interval or (math.nan, math.nan)
        return self.claim.relation != "==" and low <= self.expected <= high

    @property
    def surprising(self) -> bool:
        """It fails although it should hold."""
        return self.claim.should_hold and not self.holds

    def as_dict(self) -> dict[str, Any]:
        """For ``lab verify --json``."""
        claim = self.claim
        return {
            "name": claim.name,
            "statement": claim.statement,
            "expected": self.expected,
            "relation": claim.relation,
            "measured": self.measured,
            "interval": self.interval,
            "tie": self.tie,
            "tolerance": self.tolerance,
            "source": claim.source,
            "holds": self.holds,
            "should_hold": claim.should_hold,
            "quick": claim.quick,
            "note": claim.note,
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }
