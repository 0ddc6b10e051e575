"""What a picture is in each of its states, as Bokeh's browser part reads it: once whole, then what differs.

A picture is drawn anew for each result, theme and frame, and Bokeh writes each drawing down. Drawings that are built of the
same models are one *figure*: the first is kept whole, and of the others the properties that are not the same in all of them. So
nothing is assumed about what a change of a parameter changes: columns, ranges, colours, labels are all found.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bokeh
import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from holoviews.streams import Pipe

import lab.studies.draw as drawing
from lab.studies import Picture

from .packing import Pack, Scale

type Key = tuple[int, str]  # the number of a model in its figure, and a property of it

_COLUMN = "data "  # before the name of a column of a source, which is a property of its own here


@dataclass
class Drawing:
    """One state of a picture: its models in the order in which Bokeh writes them, each with what it says of itself."""

    names: list[str] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)
    scale: Scale = field(default_factory=Scale)


@dataclass
class Figure:
    """Drawings built of the same models, by their states: indices into the pack's values."""

    names: list[str]
    models: list[Any]
    states: list[dict[Key, int]] = field(default_factory=list)

    def add(self, state: dict[Key, int]) -> int:
        """The number of the state."""
        self.states.append(state)
        return len(self.states) - 1

    def moving(self, pack: Pack) -> list[Key]:
        """The properties that are not the same in all states; where Bokeh leaves one out it is as by default."""
        keys = sorted({key for state in self.states for key in state})
        for number, name in keys:
            if any((number, name) not in state for state in self.states):
                model = self.models[number]
                told = Serializer().encode(model.lookup(name).class_default(type(model)))
                value = pack.value(_arrays(told, {}, None))
                for state in self.states:
                    state.setdefault((number, name), value)
        return [key for key in keys if len({state[key] for state in self.states}) > 1]


class Album:
    """The drawings of one picture, as few figures as there are ways in which it is built."""

    def __init__(self, picture: Picture, pack: Pack):
        self.picture, self.figures = picture, list[Figure]()
        self._pack = pack

    def add(self, drawn: Drawing) -> tuple[int, int]:
        """Number of the figure, and of the state in it."""
        state = {
            (number, name): self._pack.value(value, drawn.scale)
            for number, said in enumerate(drawn.said)
            for name, value in said.items()
        }
        for number, figure in enumerate(self.figures):
            if figure.names == drawn.names:
                return number, figure.add(state)
        self.figures.append(Figure(drawn.names, drawn.models))
        return len(self.figures) - 1, self.figures[-1].add(state)

    def both(self, result: xr.Dataset, frames: Sequence[int | None], high: int) -> tuple[list, list]:
        """The drawings of a result in the light theme and in the dark one, at each of these frames."""
        light = [self.add(each) for each in drawings(self.picture, result, "light", frames, high)]
        dark = [self.add(each) for each in drawings(self.picture, result, "dark", frames[-1:], high)]
        if len(frames) == 1:
            return light, dark
        if self._colours_move(light, dark[0]):
            return light, [self.add(each) for each in drawings(self.picture, result, "dark", frames, high)]
        return light, [*(self._repainted(at, (light[-1], dark[0])) for at in light[:-1]), *dark]

    def _repainted(self, light: tuple[int, int], last: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int]:
        """A state of the dark theme that is not drawn: a frame as in the light theme, in the colours of the last frame.

        Args:
            last: the last frame, in the light theme and in the dark one.
        """
        (number, at), (first, dark) = last
        figure = self.figures[number]
        if light[0] != number or first != number:
            return light
        one, other = figure.states[at], figure.states[dark]
        state = dict(figure.states[light[1]])
        for key in {*one, *other}:
            if key not in other:
                state.pop(key, None)
            elif one.get(key) != other[key]:
                state[key] = other[key]
        return number, figure.add(state)

    def _colours_move(self, frames: Sequence[tuple[int, int]], dark: tuple[int, int]) -> bool:
        """Whether what moves from frame to frame is another in the dark theme: then the frames are drawn there too."""
        if {number for number, _ in (*frames, dark)} != {dark[0]}:
            return True
        states = self.figures[dark[0]].states
        last, other = states[frames[-1][1]], states[dark[1]]
        themed = {key for key in {*last, *other} if last.get(key) != other.get(key)}
        return any(states[at].get(key) != last.get(key) for _, at in frames for key in themed)


def drawings(
    picture: Picture, result: xr.Dataset, tone: str, frames: Sequence[int | None], high: int
) -> Iterator[Drawing]:
    """The picture of a result in a theme, at each of these frames.

    Args:
        high: least height, in pixels.
    """
    pipe: Any = None
    plot: Any = None
    for frame in frames:
        with drawing.theme(tone, backend="bokeh"):
            element = picture.shown(result, frame)
        with drawing.pen:
            if plot is None:
                pipe = Pipe(data=element)
                moving = hv.DynamicMap(lambda data: data, streams=[pipe])
                plot = drawing.bokeh_renderer(tone).get_plot(moving, doc=Document())
                plot.state.update(sizing_mode="stretch_width", height=max(high, plot.state.min_height or 0))
            else:
                pipe.send(element)
            yield _written(plot.state)


def document(figure: Figure, first: dict[Key, int], pack: Pack, scripts: Mapping[str, str]) -> dict[str, Any]:
    """A figure whole, in this state, as Bokeh's ``Document.from_json`` takes it; arrays by their numbers in the pack.

    Args:
        scripts: the name of each script by its text: no code is data here.
    """
    met: set[str] = set()

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() != {"id"} or value["id"] in met:
            return {name: whole(each) for name, each in value.items()}
        met.add(value["id"])
        number = int(value["id"][1:])
        said = {name: pack.values[index] for (of, name), index in first.items() if of == number}
        columns = [[name.removeprefix(_COLUMN), said.pop(name)] for name in [*said] if name.startswith(_COLUMN)]
        if figure.names[number].endswith(" CustomJS"):
            said["code"] = scripts[said["code"]]
        if columns:
            said["data"] = {"type": "map", "entries": columns}
        return value | {"type": "object", "name": figure.names[number].split(" ")[-1], "attributes": whole(said)}

    return {"version": bokeh.__version__, "title": "", "roots": [whole({"id": "m0"})]}


def codes(figure: Figure, pack: Pack) -> dict[str, tuple[list[str], str]]:
    """The scripts of a figure, by a name each: its arguments and text. In the file they stand by their names."""
    found = {}
    for number, name in enumerate(figure.names):
        if name.split(" ")[-1] == "CustomJS":
            for state in figure.states:
                text = pack.values[state[number, "code"]]
                entries = pack.values[state[number, "args"]].get("entries", ()) if (number, "args") in state else ()
                found[text] = [name for name, _ in entries], text
    return found


def _written(figure: Any) -> Drawing:
    drawn = Drawing(scale=_scale(figure))
    known = {model.id: model for model in figure.references()}
    numbers: dict[str, int] = {}

    def begin(rep: dict[str, Any], place: str) -> dict[str, str]:
        number = numbers[rep["id"]] = len(drawn.names)
        said: dict[str, Any] = {}
        drawn.names.append(f"{place} {rep['name']}")
        drawn.said.append(said)
        drawn.models.append(known[rep["id"]])
        given = dict(rep.get("attributes", {}))
        if rep["name"] == "ColumnDataSource":
            columns = given.pop("data", {}).get("entries", [])
            given |= {f"{_COLUMN}{name}": values for name, values in columns}
            drawn.names[number] = (
                f"{place} {' '.join(name for name, _ in columns)} {rep['name']}"  # others: another figure
            )
        for name, value in given.items():
            said[name] = _arrays(value, numbers, lambda rep, name=name: begin(rep, f"{number}.{name}"))
        return {"id": f"m{number}"}

    begin(Serializer().encode(figure), "")
    return drawn


def _arrays(rep: Any, numbers: dict[str, int], begin: Any) -> Any:
    """What Bokeh writes, with arrays as such and with models by their numbers."""
    if isinstance(rep, list | tuple):
        return [_arrays(each, numbers, begin) for each in rep]
    if not isinstance(rep, dict):
        return rep
    if rep.get("type") == "ndarray" and isinstance(rep["array"], dict):
        return np.frombuffer(rep["array"]["data"].to_bytes(), np.dtype(rep["dtype"])).reshape(rep["shape"])
    if rep.get("type") == "object" and "id" in rep:
        return begin(rep)
    if rep.keys() == {"id"}:
        return {"id": f"m{numbers[rep['id']]}"}
    return {name: _arrays(each, numbers, begin) for name, each in rep.items()}


def _scale(figure: Any) -> Scale:
    """On which scales the numbers of a figure are seen."""
    from bokeh.models import ColorMapper, LinearColorMapper, LinearScale, Range1d

    ranges = [each for each in (figure.x_range, figure.y_range) if isinstance(each, Range1d)]
    even = len(ranges) == 2 and all(isinstance(each, LinearScale) for each in (figure.x_scale, figure.y_scale))
    ends: list[tuple[Any, Any]] = [(each.start, each.end) for each in ranges] if even else []
    spans = [abs(float(high) - float(low)) for low, high in ends]
    mappers = list(figure.select({"type": ColorMapper}))
    shades: list[tuple[float, float]] = []
    if all(isinstance(each, LinearColorMapper) and each.low is not None and each.high is not None for each in mappers):
        shades = [(float(each.low), float(each.high)) for each in mappers]
    return Scale(span=min(spans, default=0.0), shades=tuple(shades))
