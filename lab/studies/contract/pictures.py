"""Pictures: ways to look at a result, and which results each can show."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import lab
from lab.inputs import listed, shown
from lab.words import readable

from . import sweeping
from .parameters import as_text, choices
from .telling import is_whole, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.datasets import Data

    from .declare import Result
    from .study import Study

type Grid = Mapping[str, Sequence[Any]]
type Finding = str | Callable[[xr.Dataset], str]
type Steps = Sequence[Any] | Callable[[Study, Data], Sequence[Any]]


@dataclass(frozen=True)
class Picture:
    """A way to look at a result.

    What it can show follows from what it declares: without ``along`` one run, with it a sweep along these parameters and no
    other, and only a result that has all that it ``needs``. A parameter that was swept with a single value counts as fixed, and
    ``draw`` gets the result without that dimension.

    Attributes:
        caption: one line that says how to read it.
        draw: takes a result, returns a HoloViews object made with ``lab.studies.draw``.
        needs: variables that it draws: those of a sweep, which keeps them alone, and those that not every result has, of which
            ``Result.absent`` then says why.
        also: further variables of a sweep, drawn where they are there.
        along: the sweep it needs: the values of each parameter, or what gives them for a study and its data. Of those with a
            single value it shows that one. A function of study and data in place of the mapping names the parameters itself;
            ``where`` then says which sweeps it can draw.
        when: values of other parameters with which it shows something, ``{"algorithm": ("p2ot", "sp2ot")}``.
        why: what is the matter with the others, as the beginning of a sentence.
        where: what else is in the way of drawing a result, in a sentence; "" for nothing.
        sweeps: draws any sweep as it is, and single runs too.
        edits: arrays of the data whose points may be dragged in this picture.
        clicks: what a click at (x, y), in units of the axes, sets: maps the result that is drawn and the place to values of
            parameters by name; none where there is nothing to choose. The controls can do all that a click can.
        drags: what the point of ``draw.points(..., grip=True)`` sets where a hand has dragged it, as for ``clicks``. On a page
            the results follow it.
        plays: the dimension of the result along which the picture moves. ``draw`` then takes the result and the number
            of a frame. All frames are built of the same layers, and their axes have fixed ranges; ``hline`` and ``vline`` stay.
        places: the variable that says where along ``plays`` each frame is, where that differs from run to run, as recorded
            steps do; the coordinate when empty.
        turns: of a picture of ``draw.surfaces``, the camera that it begins with: azimuth and elevation, in degrees.
        share: of the width, beside another picture of the hero, relative to its.
        finds: what it shows now, in a few words, as ``Story.finds`` has it, from which ``Study`` fills it in.
        absent: why a result may lack a variable; ``Study`` fills it in from its results.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Any] = field(compare=False)
    _: KW_ONLY
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    along: "Mapping[str, Steps] | Callable[[Study, Data], Grid] | None" = field(default=None, compare=False)
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict, compare=False)
    why: str = ""
    where: Callable[[xr.Dataset], str] = field(default=lambda result: "", compare=False)
    sweeps: bool = False
    edits: tuple[str, ...] = ()
    clicks: Callable[[xr.Dataset, float, float], Mapping[str, Any]] | None = field(default=None, compare=False)
    drags: Callable[[xr.Dataset, float, float], Mapping[str, Any]] | None = field(default=None, compare=False)
    plays: str = ""
    places: str = ""
    turns: tuple[float, float] | None = None
    share: float = 1.0
    finds: Finding = field(default="", compare=False)
    absent: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.turns is not None and self.plays:
            raise ValueError(
                f"the picture {self.name} turns and plays, but one can't do both yet: leave out one of them"
            )
        if self.turns is not None and self.drags is not None:
            raise ValueError(
                f"the picture {self.name} turns and drags, but a hand that drags turns it: leave out one of them"
            )
        self.camera(None)

    @property
    def keep(self) -> tuple[str, ...]:
        """The variables of a sweep that it draws; all when empty. In one order: a sweep serves all that need the same."""
        return tuple(sorted({*self.needs, *self.also}))

    def grid(self, study: "Study", data: "Data") -> dict[str, list[Any]]:
        """The values of each parameter of the sweep that it needs; none where it shows one run."""
        declared = self.along(study, data) if callable(self.along) else self.along or {}
        return {name: list(values(study, data) if callable(values) else values) for name, values in declared.items()}

    def asks(self, study: "Study", data: "Data") -> dict[str, Sequence[Any]]:
        """What other parameters have to be among: what it is drawn for, and with what the parameters that it sweeps have an
        effect."""
        grid, parameters = self.grid(study, data), study.parameters()
        asked = {name: allowed for name, allowed in self.when.items() if name not in grid}
        for name in (name for name, values in grid.items() if len(values) > 1):
            asked |= {other: of for other, of in parameters[name].when.items() if other not in grid}
        return asked

    def idle(self, study: "Study", data: "Data") -> str:
        """Why it has nothing to show of these values, known before they are run; "" when it may have."""
        return self._unless(study.values(), self.asks(study, data))

    def applies(self, result: xr.Dataset) -> str:
        """Why the result can't be drawn this way, in a sentence; "" when it can."""
        try:
            return (
                self._of_others(result)
                or self._of_sweep(result)
                or self._lacks(result)
                or self.where(self._bare(result))
            )
        except (AttributeError, KeyError, ValueError) as problem:
            if not (missing := sweeping.absent(problem)):
                raise
            return _kept_without(missing)

    def _axes(self) -> list[str]:
        """The parameters that the result must be swept along."""
        assert isinstance(self.along, Mapping)
        return [name for name, values in self.along.items() if callable(values) or len(values) > 1]

    def _of_sweep(self, result: xr.Dataset) -> str:
        if self.sweeps or callable(self.along):
            return ""
        many = [name for name in sweeping.swept(result) if result.sizes[name] > 1]
        if self.along is None:
            return f"it shows one run, and this is a sweep over {', '.join(many)}: choose one value" if many else ""
        axes = self._axes()
        if not set(axes) <= set(result.dims):
            return f"it shows a sweep over {' and '.join(axes)}"
        more = [name for name in many if name not in axes]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    def _of_others(self, result: xr.Dataset) -> str:
        given = sweeping.parameters(result) if self.when else {}  # what is no run of a study has none
        return self._unless({name: given[name] for name in self.when if name not in result.dims})

    def _unless(self, given: Mapping[str, Any], asked: Mapping[str, Sequence[Any]] | None = None) -> str:
        for name, allowed in (self.when if asked is None else asked).items():
            if name in given and given[name] not in allowed:
                own = self.why if name in self.when else ""
                why = own or f"with {name} = {as_text(given[name])} there is nothing to show"
                return f"{why}: choose {choices(allowed)} for {name}"
        return ""

    def _lacks(self, result: xr.Dataset) -> str:
        lacking = next((name for name in self.needs if name not in result), "")
        return lacking and (self.absent.get(lacking) or _kept_without(lacking))

    def _bare(self, result: xr.Dataset) -> xr.Dataset:
        """The result without the dimensions of parameters that were swept with a single value."""
        if self.sweeps or callable(self.along):
            return result
        axes = self._axes() if self.along else []
        fixed = [name for name in sweeping.swept(result) if result.sizes[name] == 1 and name not in axes]
        return result.squeeze(fixed) if fixed else result

    def frames(self, result: xr.Dataset) -> np.ndarray:
        """Where along ``plays`` each frame is."""
        return self._bare(result)[self.places or self.plays].values

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

    def camera(self, given: Any) -> tuple[float, float] | None:
        """The camera, ``given`` or that of the picture; None where nothing turns.

        Args:
            given: azimuth and elevation in degrees, or a text such as "30, 20".

        Raises:
            ValueError: it is given and nothing turns, or it is none.
        """
        from lab.studies.draw import camera_of

        if self.turns is None:
            if given is not None:
                raise ValueError(f"the picture {self.name} does not turn: leave out the camera")
            return None
        return camera_of(self.turns if given is None else given)

    def __call__(
        self, result: xr.Dataset, at: float | None = None, ax: "Axes | None" = None, camera: Any = None
    ) -> Any:
        """The picture of ``result``; raises ValueError where it does not apply.

        Args:
            at: the place of the frame, of a picture that moves: the nearest one is drawn, the last when omitted.
            camera: azimuth and elevation in degrees, of a picture that turns.
            ax: Matplotlib axes to draw it into, which are then returned in place of a HoloViews object.
        """
        if ax is not None:
            return lab.figures.draw_into(ax, lambda: self(result, at, camera=camera))
        self.check(result)
        try:
            return self.shown(result, self.frame(result, at), self.camera(camera))
        except (AttributeError, KeyError, ValueError) as problem:
            missing = ", ".join(name for name in self.keep if name not in result) or sweeping.absent(problem)
            if not missing:
                raise
            why = _kept_without(missing)
            if self.along is not None and missing in json.loads(result.attrs.get("parameters", "{}")):
                asked = f"study.picture_result(study.pictures.{self.name})"
                why = f"it shows runs along {missing}, and this is one: give it {asked}"
            raise ValueError(f"the picture {self.name} can't be drawn: {why}") from problem
        except TypeError as problem:
            hidden = [name for name in map(str, result.data_vars) if hasattr(xr.Dataset, name)]
            if "method" not in str(problem) or not hidden:
                raise
            why = f'result.{hidden[0]} is a method of xarray, write result["{hidden[0]}"]'
            raise ValueError(f"the picture {self.name} can't be drawn: {why}") from problem

    def check(self, result: xr.Dataset) -> None:
        """Raise ValueError, with why, where the result can't be drawn this way."""
        why = self.applies(result)
        if why and why == self._of_sweep(result) and not sweeping.swept(result):
            asked = f"study.picture_result(study.pictures.{self.name})"
            why = f"{why}, and this is one run: give it {asked}"
        if not why and self.plays and (self.places or self.plays) not in result:
            why = _kept_without(self.places or self.plays)
        if why:
            raise ValueError(f"the picture {self.name} can't be drawn: {why}")

    def finding(self, result: xr.Dataset) -> str:
        """What it shows of this result, in a few words; "" where there is nothing to say, or nothing to draw.

        Of a run that was stopped, or diverged, a number may be missing: then there is nothing to say.
        """
        if not self.finds or self.applies(result):
            return ""
        bare = self._bare(result)
        text = readable(self.finds(bare)) if callable(self.finds) else told(self.finds, bare)
        return text if is_whole(text) else ""

    def clicked(self, result: xr.Dataset, x: float, y: float, camera: Any = None) -> Mapping[str, Any]:
        """The parameters that a click at (x, y) sets, in the picture of this camera."""
        from lab.studies.draw import looking

        with looking(self.camera(camera)):
            return {} if self.clicks is None else self.clicks(self._bare(result), x, y)

    def dragged(self, result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
        """The parameters that the grip at (x, y) sets."""
        return {} if self.drags is None else self.drags(self._bare(result), x, y)

    def movie(self, result: xr.Dataset) -> Any:
        """All frames, by their place: a HoloMap, which a notebook shows with a slider and a page without a server plays."""
        import holoviews as hv

        from lab.studies.draw import pen

        self.check(result)
        places = self.frames(result)
        with pen:
            return hv.HoloMap({float(at): self(result, float(at)) for at in places}, kdims=self.plays)

    def strip(self, result: xr.Dataset, count: int) -> Any:
        """So many frames side by side, at even distances from the first to the last."""
        import holoviews as hv

        from lab.studies.draw import pen

        self.check(result)
        places = self.frames(result)
        chosen = np.linspace(0, len(places) - 1, count).round().astype(int)
        with pen:
            parts = [self(result, float(places[frame])) for frame in chosen]
            return hv.Layout(parts).cols(count).opts(hv.opts.Layout(sublabel_format="", backend="matplotlib"))

    def shown(self, result: xr.Dataset, frame: int | None, camera: Any = None) -> Any:
        """``draw``, of this frame where the picture moves, from this camera where it turns."""
        from lab.studies.draw import looking, pen

        with pen, looking(self.camera(camera), self.turns):
            bare = self._bare(result)
            return self.draw(bare) if frame is None else self.draw(bare, frame)


def _kept_without(missing: str) -> str:
    return f"it needs {missing}, which this result was kept without: keep all variables, or these too (keep, --keep)"


class Pictures:
    """The pictures of a study, in order: by attribute, by name, by iteration."""

    def __init__(self, *items: Picture):
        self._items = {item.name: item for item in items}

    def of(self, results: "Sequence[Result]", finds: Mapping[str, Finding]) -> "Pictures":
        """The same, which know why a result may lack a variable, and what there is to say of one."""
        absent = {result.name: result.absent for result in results if result.absent}
        return Pictures(*(replace(each, absent=absent, finds=finds.get(each.name, each.finds)) for each in self))

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
    """The first picture that this result can be drawn as without computing more.

    Args:
        pictures: of the study.
        result: a run, or a sweep.

    Returns:
        the first that needs no sweep and applies to the result.

    Raises:
        ValueError: there is none.

    Examples:
        >>> import xarray as xr
        >>> from lab.studies import Picture, Pictures, first_picture
        >>> plan = Picture("plan", "Plan", "what goes where", draw=print, needs=("plan",))
        >>> cost = Picture("cost", "Cost", "of the plan", draw=print, needs=("cost",))
        >>> first_picture(Pictures(plan, cost), xr.Dataset({"cost": 1.0})).name
        'cost'
    """
    for picture in pictures:
        if picture.along is None and not picture.applies(result):
            return picture
    raise ValueError(f"no picture shows this result of {result.attrs.get('study', 'a study')} alone")
