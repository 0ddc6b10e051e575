"""The contract: a study says which parameters there are, what is computed, how it is labelled and how it is seen.

Every face (notebook, command line, page, figure, sweep) is derived from this declaration and knows of
no particular method.
"""

import base64
import binascii
import json
import math
import platform
import shlex
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import product
from threading import Lock
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

import jax
import numpy as np
import param
import xarray as xr

import lab
from lab import cards, code, datasets, precision, watch
from lab.datasets import Data
from lab.inputs import listed, shown
from lab.numerics import Chunked, Loop, Progress, Reason, Report

from . import sweeping
from .clock import Clock, clocked
from .declare import Claim, Limit, Live, Paper, Picture, Pictures, Preset, Result
from .parameters import Choice, DataSource, Parameter, Real, Switch, Whole, as_text, option

RECIPE_FORMAT = 1
_EMBED = 1 << 20  # bytes of packed data that travel inside a recipe


class Outcome(NamedTuple):
    """A labelled result and, where the method has one, the state to start a neighbouring run from."""

    result: xr.Dataset
    warm: Any


class Study(param.Parameterized):
    """Base of all studies. A study sets the class attributes, adds parameters, and writes ``compute``.

    Attributes:
        slug: its name on every face, lower case with hyphens.
        version: raised when the same parameters give other results than before.
        kind: the kind of data it takes.
        about: three sentences: what it is, what to move, what to look for.
        mathematics: Markdown with LaTeX between dollars.
        results: the variables of a result.
        dims: for each dimension a label and a unit.
        ends: what to say of a run that ended for a reason, where the reason's own advice does not fit; "" for nothing.
        live: what a page follows while a run goes on; a training's loss or the first measure of its method when empty.
        data_options: parameters that are handed to a named data set, where it has an option of that name.
    """

    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    field: ClassVar[str] = ""
    paper: ClassVar[Paper]
    about: ClassVar[str] = ""
    mathematics: ClassVar[str] = ""
    version: ClassVar[int] = 1
    kind: ClassVar[str] = ""
    results: ClassVar[tuple[Result, ...]] = ()
    dims: ClassVar[Mapping[str, tuple[str, str]]] = {}
    pictures: ClassVar[Pictures] = Pictures()
    presets: ClassVar[tuple[Preset, ...]] = ()
    claims: ClassVar[tuple[Claim, ...]] = ()
    live: ClassVar[tuple[Live, ...]] = ()
    ends: ClassVar[Mapping[Reason, str]] = {}
    data_options: ClassVar[tuple[str, ...]] = ("seed",)

    data = DataSource(doc="a named data set, or the path of a file of yours")
    seed = Whole(0, bounds=(0, 2**31 - 1), soft=(0, 20), group="more", traced=False, doc="seed of all that is random")

    def __init__(self, **values: Any):
        known = self.parameters()
        for name in values:
            if name not in known:
                close = get_close_matches(name[:80], known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"its parameters are {listed(known)}"
                raise ValueError(f"{self.slug} has no parameter {shown(name)}; {hint}")
        super().__init__(**values)

    # ---- what a study writes ---------------------------------------------------------------------------------

    @classmethod
    def prepare(cls, data: Data) -> Any:
        """The arrays that ``compute`` needs, as a pytree: on the host, once for each data set, cached."""
        return dict(data.arrays)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Ranges that the data at hand allow beside the other parameters; enforced on every face, the sliders' ends."""
        return {}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Answer the question: pure JAX when ``loop`` is ``lab.numerics.pure``.

        Args:
            inputs: what ``prepare`` returned.
            p: the parameters by name; traced ones may be JAX tracers.
            loop: runs every iterative method.
            warm: the ``warm`` entry of an earlier output of equal shapes, or None.

        Returns:
            the variables of ``results`` by name, and ``reason`` (a ``Reason``), ``warm`` where it has them.
        """
        raise TypeError("a study must define compute")

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Coordinates beyond counting, by dimension or as (dims, values, attributes)."""
        return {}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """One sentence on what is not as it should be and what to try; "" when all is well."""
        return ""

    # ---- what a study inherits -------------------------------------------------------------------------------

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The declared parameters in order: the data first, ``seed`` last."""
        own = {name: p for name, p in cls.param.objects("existing").items() if isinstance(p, _KINDS)}
        first = {"data": own.pop("data")}
        last = {"seed": own.pop("seed")}
        return first | own | last

    def values(self) -> dict[str, Any]:
        """Every parameter's value by name."""
        return {name: getattr(self, name) for name in self.parameters()}

    def idle(self, name: str) -> str:
        """Why a parameter has no effect now, as the end of a sentence that begins with it; "" when it has."""
        for other, values in (self.parameters()[name].when or {}).items():
            allowed = values if isinstance(values, tuple | list | set) else (values,)
            if getattr(self, other) not in allowed:
                return f"has an effect only when {other} is {' or '.join(map(as_text, allowed))}"
        return ""

    def but(self, **values: Any) -> "Study":
        """A copy with other values."""
        return type(self)(**(self.values() | values))

    @classmethod
    def preset(cls, name: str) -> "Study":
        """The study as a preset has it."""
        for preset in cls.presets:
            if preset.name == name:
                return cls(**preset.values)
        raise ValueError(
            f"{cls.slug} has no preset {shown(name)}; its presets are {listed(p.name for p in cls.presets) or 'none'}"
        )

    def load(self) -> Data:
        """The data at hand; raises ValueError with a sentence where they can't be had."""
        options = {name: getattr(self, name) for name in self.data_options}
        return datasets.resolve(self.data, kind=self.kind, **options)

    def programs(self, data: Data, warm: Any = None) -> Hashable:
        """What decides which programs a run compiles, as far as the declarations tell: two runs for which it is equal
        need the same ones. ``warm`` as for ``execute``.
        """
        static = [
            getattr(self, name)
            for name, parameter in self.parameters().items()
            if name not in ("data", "seed") and (not parameter.traced or isinstance(parameter, Choice | Switch))
        ]
        return type(self), *static, _shapes(data), warm is not None and warm[0] == _shapes(data)

    def check(self, data: Data) -> None:
        """Refuse parameters that these data do not allow."""
        for name, limit in self.limits(data).items():
            if not limit.low <= getattr(self, name) <= limit.high:
                parameter = self.parameters()[name]
                kind = "a whole number" if isinstance(parameter, Whole) else "a number"
                least = f"of at least {limit.low:g}"
                span = f"from {limit.low:g} to {limit.high:g}" if math.isfinite(limit.high) else least
                allowed = f"it must be {kind} {span}, {limit.why}"
                raise ValueError(parameter.refuse(getattr(self, name), allowed))

    @classmethod
    def inputs(cls, data: Data) -> Any:
        """``prepare(data)``, remembered for the last few data sets."""
        key = (cls, data.sha256)
        with _prepared_lock:
            if key in _prepared:
                _prepared.move_to_end(key)
                return _prepared[key]
        made = cls.prepare(data)
        with _prepared_lock:
            _prepared[key] = made
            while len(_prepared) > 8:
                _prepared.popitem(last=False)
        return made

    def run(self, report: Report | None = None) -> xr.Dataset:
        """Compute the labelled result.

        Args:
            report: called with ``lab.numerics.Progress`` between chunks; True ends the run with what it has. Without one, a
                notebook shows a bar, and its stop button ends the run so.

        Returns:
            a Dataset whose attributes hold the whole recipe.

        Raises:
            ValueError, TypeError: one sentence on what was given and what is allowed.
        """
        with watch.reporting(self.slug, "iterations", report) as report:
            return self.execute(report).result

    def execute(
        self, report: Report | None = None, warm: Any = None, sketch: Callable[[xr.Dataset], None] | None = None
    ) -> Outcome:
        """``run``, that can start from a neighbour's ``warm`` state and hands on its own.

        A warm start may end in another of several equally good answers, so what is kept for good comes from ``run``.

        Args:
            sketch: called with what there is after ``_SKETCH`` seconds of a run that started warm and takes longer; its
                ``reason`` is ``stopped``. The run then goes on from there and ends as it would have.
        """
        precision.need_float64(f"the study {self.slug}")
        data = self.load()
        self.check(data)
        if warm is not None and warm[0] != _shapes(data):
            warm = None
        sketch = sketch if warm is not None else None  # from a cold start there is little to see so early
        loop = Chunked(report, pause=_SKETCH if sketch else None)
        clocks: list[Clock] = []

        def compute() -> tuple[xr.Dataset, Any]:
            with clocked() as clock:
                inputs = self.inputs(data)
                p = SimpleNamespace(**self.values())
                output = jax.block_until_ready(self.compute(inputs, p, loop, warm[1] if warm else None))
            clocks.append(clock)
            state = output.pop("warm", None)
            result = self.label(output, data, inputs)
            result.attrs |= {
                f"{what}_seconds": round(sum(getattr(c, what) for c in clocks), 4) for what in ("compile", "run")
            }
            result.attrs |= {"programs_compiled": sum(c.programs for c in clocks), "warm_start": int(warm is not None)}
            return result, state

        result, state = compute()
        if sketch and loop.paused:
            sketch(result)
            loop.replay()
            result, state = compute()
        return Outcome(result, None if state is None else (_shapes(data), state))

    def along(self, report: Report | None = None, keep: Sequence[str] = (), **grid: Sequence[Any]) -> xr.Dataset:
        """Run over a grid of parameter values, one after the other.

        Args:
            report: as for ``run``, with the number of runs that are done.
            keep: the variables to keep; all when empty.
            grid: values by parameter, ``k=[1, 2, 4]``.

        Returns:
            the Dataset of a run with one dimension more for each swept parameter.
        """
        for name in grid:
            if name not in self.parameters() or not self.parameters()[name].sweepable:
                raise ValueError(f"{self.slug} can't be swept along {name!r}")
        points = list(product(*grid.values()))
        if not points:
            raise ValueError("a sweep needs at least one value for each parameter")
        cells: list[xr.Dataset] = []
        elapsed = 0.0

        def inner(progress: Progress) -> bool | None:
            return report and report(Progress(len(cells), len(points), {}, None, elapsed + progress.seconds))

        with watch.reporting(self.slug, "runs", report) as report:
            for point in points:
                cell = self.but(**dict(zip(grid, point, strict=True))).run(inner)
                elapsed += cell.attrs["run_seconds"]
                cells.append(cell[[name for name in keep if name in cell]] if keep else cell)
            if report:
                report(Progress(len(cells), len(points), {}, None, elapsed))
        table = np.empty(len(points), object)
        for index, cell in enumerate(cells):  # an assignment at once would ask each Dataset for an array
            table[index] = cell
        nested = table.reshape([len(values) for values in grid.values()]).tolist()
        merged = xr.combine_nested(
            nested,
            concat_dim=list(grid),
            combine_attrs="drop",
            join="outer",
            coords="different",
            compat="equals",
            data_vars="all",
        )
        declared = self.parameters()
        merged = merged.assign_coords({n: sweeping.coordinate(n, declared[n], values) for n, values in grid.items()})
        for name in merged.variables:
            if name in cells[0].variables:
                merged[name].attrs = cells[0][name].attrs
        merged.attrs = dict(cells[0].attrs)
        merged.attrs |= self._recipe_attrs(self.load())
        merged.attrs["swept"] = json.dumps({name: sweeping.names(values) for name, values in grid.items()})
        for key in ("compile_seconds", "run_seconds", "programs_compiled"):
            merged.attrs[key] = sum(cell.attrs[key] for cell in cells)
        merged.attrs["converged"] = min(cell.attrs["converged"] for cell in cells)
        merged.attrs["advice"] = sweeping.advice({at: c.attrs["advice"] for at, c in enumerate(cells)}, grid)
        return merged

    def picture_result(
        self, picture: Picture, result: xr.Dataset | None = None, report: Report | None = None
    ) -> xr.Dataset:
        """The result that ``picture`` draws: ``result`` or a run where that serves, or the sweep it needs."""
        if picture.along is None:
            return self.run(report) if result is None else result
        grid = picture.along(self, self.load())
        if result is not None and set(grid) <= set(result.dims):
            return result
        return self.along(report, keep=picture.keep, **grid)

    def label(self, output: dict[str, Any], data: Data, inputs: Any) -> xr.Dataset:
        """The output of ``compute`` (without ``warm``) as a Dataset with coordinates, labels and the recipe."""
        output = dict(output)
        reason = Reason(int(output.pop("reason", Reason.CONVERGED)))
        output.setdefault("converged", reason.converged)
        iterations = int(output.get("iterations", 0))
        variables: dict[str, Any] = {}
        for declared in self.results:
            if declared.name not in output and declared.optional:
                continue
            values = np.asarray(output.pop(declared.name))
            if "iteration" in declared.dims:  # a pure loop pads its trace
                values = values[(slice(None),) * declared.dims.index("iteration") + (slice(iterations),)]
            attrs = {"long_name": declared.label, "units": declared.unit, "description": declared.doc}
            variables[declared.name] = (declared.dims, values, attrs)
        output.pop("converged", None)
        if output:
            raise ValueError(f"compute of {self.slug} returned {', '.join(output)}, which results does not declare")
        coords = dict(self.coords(data, inputs))
        for dims, values, _ in variables.values():
            for dim, size in zip(dims, values.shape, strict=True):
                coords.setdefault(dim, np.arange(size))
        result = xr.Dataset(variables, coords=coords)
        for dim in map(str, result.dims):
            label, unit = self.dims.get(dim, (dim, ""))
            result[dim].attrs = {"long_name": label, "units": unit} | result[dim].attrs
        result.attrs = self._recipe_attrs(data) | {"converged": int(reason.converged), "reason": reason.name.lower()}
        said = [] if reason.converged else [self.ends.get(reason, f"Not converged: {reason.advice}.")]
        result.attrs["advice"] = " ".join(filter(None, [*said, self.advice(result)]))
        return result

    def _recipe_attrs(self, data: Data) -> dict[str, Any]:
        recipe = self.recipe(data)
        return {
            "title": f"{self.title}: {data.title}",
            "study": self.slug,
            "study_version": self.version,
            "paper": self.paper.short,
            "parameters": json.dumps(recipe["parameters"]),
            "data_name": data.name,
            "data_title": data.title,
            "data_sha256": data.sha256,
            "data_source": data.source,
            "data_licence": data.licence,
            "data_notices": data.said,
            "seed": self.seed,
            "dtype": recipe["dtype"],
            "device": recipe["device"],
            "versions": json.dumps(recipe["versions"]),
            "command": recipe["command"],
            "recipe": json.dumps(recipe),
        }

    def recipe(self, data: Data | None = None) -> dict[str, Any]:
        """All that is needed to compute this run again, as plain JSON; ``from_recipe`` reads it."""
        data = self.load() if data is None else data
        named = isinstance(self.data, str) and datasets.entry_of(self.data) is not None
        origin = {"name": data.name, "title": data.title, "kind": data.kind, "sha256": data.sha256}
        origin |= {"source": data.source, "licence": data.licence, "named": named}
        if not named:
            origin["embedded"] = _embedded(data)
        return {
            "format": RECIPE_FORMAT,
            "study": self.slug,
            "study_version": self.version,
            "code": code.of_user(type(self)),
            "parameters": {name: _plain(value) for name, value in self.values().items()},
            "data": origin,
            "dtype": str(jax.dtypes.canonicalize_dtype(float)),
            "device": device(),
            "versions": versions(),
            "command": self.as_command(),
        }

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], data: "Data | str | None" = None) -> "Study":
        """The study that a recipe describes, on the very data: embedded, or found by name, and checked by hash.

        A recipe is what somebody wrote into a file: it opens no path and names no code.

        Args:
            data: those of a recipe that neither holds nor names them, as the person at hand points to them.

        Raises:
            ValueError, TypeError: it is of another study, is not whole, or its data can't be had; in a sentence.
        """
        if recipe.get("study") != cls.slug:
            raise ValueError(f"the recipe is of the study {shown(recipe.get('study'))}, not of {cls.slug}")
        origin, parameters = recipe.get("data"), recipe.get("parameters")
        if not (
            isinstance(origin, Mapping) and isinstance(parameters, Mapping) and isinstance(origin.get("sha256"), str)
        ):
            raise ValueError("the recipe is damaged: it does not say its parameters and the SHA-256 of its data")
        embedded, name = origin.get("embedded"), parameters.get("data")
        if data is None and embedded:
            try:
                data = datasets.unpack(base64.b64decode(embedded, validate=True))
            except (TypeError, binascii.Error):
                raise ValueError("the recipe is damaged: the data inside are not what the lab packs") from None
        elif data is None and not (isinstance(name, str) and datasets.entry_of(name)):
            raise ValueError(
                f"the data {shown(name)} of the recipe have no name here and are not inside: give their file with --data"
            )
        made = cls(**{**parameters, "data": name if data is None else data})
        found = made.load().sha256
        if found != origin["sha256"]:
            raise ValueError(
                f"the data {shown(origin.get('name'))} are not those of the recipe: "
                f"their SHA-256 is {found[:12]}, it names {origin['sha256'][:12]}"
            )
        return made

    def changed(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return {name: value for name, value in self.values().items() if value != self.parameters()[name].default}

    def as_python(self) -> str:
        """Code that gives this very run."""
        values = {name: value.name if isinstance(value, Data) else value for name, value in self.changed().items()}
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        if type(self).__module__.startswith("lab.studies."):
            header = f"from lab.studies import {type(self).__name__}\n\n"
        else:
            header = f"from lab import studies\n\n{type(self).__name__} = studies.find({self.slug!r})\n"
        return (
            f"import lab\n{header}lab.notebook()  # float64, and the pictures inline\n"
            f"study = {type(self).__name__}({arguments})\nresult = study.run()\n"
        )

    def as_command(self) -> str:
        """The shell command that gives this very run."""
        words = ["lab", "run", self.slug]
        for name, value in self.changed().items():
            words += [option(name), as_text(value)]
        return shlex.join(words)

    def as_link(self) -> str:
        """The address of this state on a lab server, from its root."""
        values = {name: as_text(value) for name, value in self.changed().items() if not isinstance(value, Data)}
        return f"/{self.slug}" + (f"?{urlencode(values)}" if values else "")

    def _repr_html_(self) -> str:
        return cards.of_study(self)

    def panel(self) -> Any:
        """The live page, for a notebook cell."""
        return lab.app.page(self)  # a face, through the front door: it is imported only when asked for


@lru_cache(maxsize=8)
def _embedded(data: Data) -> str:
    packed = datasets.pack(data)
    return base64.b64encode(packed).decode() if len(packed) <= _EMBED else ""


_SKETCH = 0.003  # seconds
_KINDS = (Real, Whole, Choice, Switch, DataSource)
_prepared: OrderedDict[Any, Any] = OrderedDict()
_prepared_lock = Lock()


def edited(data: Data, **arrays: np.ndarray) -> Data:
    """The data with other points: the cost follows them, what was known of the old ones does not."""
    kept = {name: value for name, value in data.arrays.items() if name != "cost"}
    name = data.name if data.name.endswith(", edited") else f"{data.name}, edited"
    return replace(
        data, name=name, title=f"{data.title.removesuffix(', edited')}, edited", arrays=kept | arrays, truth={}
    )


@cache
def device() -> str:
    """The device that JAX uses, in words."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        import os

        return f"CPU, {os.cpu_count()} cores"
    return f"{first.platform.upper()}, {first.device_kind}"


@cache
def versions() -> dict[str, str]:
    """The versions that matter for a number."""
    from importlib.metadata import version

    return {"lab": lab.__version__, "python": platform.python_version()} | {
        name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy", "xarray")
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Data):
        return value.name
    return value.item() if isinstance(value, np.generic) else value


def _shapes(data: Data) -> tuple:
    return tuple((name, array.shape, array.dtype.str) for name, array in sorted(data.arrays.items()))
