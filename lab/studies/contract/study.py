"""The contract: a study says which parameters there are, what is computed, how it is labelled and how it is seen.

Every face (notebook, command line, page, figure, sweep) is derived from this declaration and knows of
no particular method.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

import lab
from lab import cards, memory, precision, watch
from lab.datasets import Data
from lab.numerics import Chunked, Loop, Reason, Remembered, Report

from .clock import Clock, clocked
from .declare import Mood, Result
from .outputs import Outputs, Run
from .parameters import Choice, Switch
from .pictures import Picture
from .recipe import Recorded


class Outcome(NamedTuple):
    """A labelled result and, where the method has one, the state to start a neighbouring run from."""

    result: xr.Dataset
    warm: Any


class Study(Recorded):
    """Base of all studies. A study sets the class attributes, adds parameters, and writes ``compute``.

    Attributes:
        slug: its name on every face, lower case with hyphens.
        version: raised when the same parameters give other results than before.
        paper: the paper that it reproduces, if there is one.
        kind: the kind of data it takes; without one it computes from its parameters alone.
        needs: what it needs of them beyond what all data of the kind have: ``Needs("classes", d=2)``.
        text: the Markdown file beside the study that says ``about`` and ``mathematics`` under headings of these names.
        about: three sentences: what it is, what to move, what to look for; the docstring of the class unless it is set.
        mathematics: Markdown with LaTeX between dollars.
        results: the variables of a result.
        dims: for each dimension a label and a unit.
        ends: what to say of a run that ended for a reason, where the reason's own advice does not fit; "" for nothing.
        reported: the paper's numbers beside ours.
        live: what a page follows while a run goes on; a training's loss or the first measure of its method when empty.
        story: what its page tells first.
        data_options: parameters that are handed to a named data set, where it has an option of that name.
    """

    # ---- what a study writes ---------------------------------------------------------------------------------

    @classmethod
    def prepare(cls, data: Data) -> Any:
        """The arrays that ``compute`` needs, as a pytree: on the host, once for each data set, cached."""
        return dict(data.arrays)

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Any:
        """Answer the question: pure JAX when ``loop`` is ``lab.numerics.pure``.

        Args:
            inputs: what ``prepare`` returned.
            p: the parameters by name, a pytree: those that are traced, and the seed, are its leaves and may be tracers, the
                rest is compiled in (``lab.numerics.values``).
            loop: runs every iterative method.
            warm: the ``warm`` entry of an earlier output of equal shapes, or None.

        Returns:
            an ``Outputs``, whose class the annotation of the method names (``-> Square``), or a ``Run`` of one
            (``-> Run[Square]``), which also has the reason why the method ended, its iterations and a warm start.
        """
        raise TypeError("a study must define compute")

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Coordinates beyond counting, by dimension or as (dims, values, attributes).

        Args:
            inputs: what ``prepare`` returned.
            p: the parameters, as ``compute`` had them.
            output: what ``compute`` returned, without ``warm`` and ``reason``. What is no variable of ``results`` must be among
                the coordinates, by its name.
        """
        return {}

    @classmethod
    def facts(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """What pictures and advice need to know of a run and no variable says: attributes of the result, beside its recipe.

        Args:
            data, inputs, p, output: as for ``coords``.
        """
        return {}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """One sentence on what is not as it should be and what to try; "" when all is well."""
        return ""

    @classmethod
    def ended(cls, result: xr.Dataset) -> tuple[str, Mood]:
        """How a run ended, as the page, the command line and exported files state it.

        Override it where the stopping rule covers only a part of the result, such as the dual but not the plan.

        Args:
            result: a run.

        Returns:
            a few words, "converged" or the reason why it did not, and ``"good"`` or ``"warn"``.
        """
        if result.attrs.get("converged"):
            return "converged", "good"
        return str(result.attrs.get("reason", "not converged")).replace("_", " "), "warn"

    @classmethod
    def by_name(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """What ``compute`` returns, by name: the arrays, ``reason``, ``iterations``, ``warm`` and coordinates."""
        made = cls.compute(inputs, p, loop, warm)
        made = Run(made) if isinstance(made, Outputs) else made
        return made.flat() if isinstance(made, Run) else made

    # ---- what a study inherits -------------------------------------------------------------------------------

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

    @classmethod
    def inputs(cls, data: Data) -> Any:
        """``prepare(data)``, remembered."""
        return _PREPARED.get((cls, data.sha256), lambda: cls.prepare(data))

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
                p = self.given()
                output = jax.block_until_ready(self.by_name(inputs, p, loop, warm[1] if warm else None))
            clocks.append(clock)
            state = output.pop("warm", None)
            result = self.label(output, data, inputs)
            result.attrs |= {
                f"{what}_seconds": round(sum(getattr(c, what) for c in clocks), 4) for what in ("compile", "run")
            }
            result.attrs |= {"programs_compiled": sum(c.programs for c in clocks), "warm_start": int(warm is not None)}
            return result, state

        result, state = compute()
        if result.attrs["programs_compiled"]:
            memory.make_room()
        if sketch and loop.paused:
            sketch(result)
            loop.replay()
            result, state = compute()
        return Outcome(result, None if state is None else (_shapes(data), state))

    def along(self, report: Report | None = None, keep: Sequence[str] = (), **grid: Sequence[Any]) -> xr.Dataset:
        """Run over a grid of parameter values, as ``lab.sweep`` does: what the store holds costs nothing, and each run is
        kept when it is done.

        Args:
            report: as for ``run``, with the number of runs that are done. Where it ends them, the others are NaN.
            keep: the variables to keep; all when empty.
            grid: values by parameter, ``k=[1, 2, 4]``.

        Returns:
            the Dataset of a run with one dimension more for each swept parameter.

        Raises:
            Exception: what ``run`` raises, of the first run that fails; a grid that is not allowed, before any begins.
        """
        with watch.reporting(self.slug, "runs", report) as report:
            return lab.sweeps.complete(self, grid, report, keep=keep)

    def picture_result(
        self, picture: Picture, result: xr.Dataset | None = None, report: Report | None = None
    ) -> xr.Dataset:
        """The result that ``picture`` draws: ``result`` or a run where that serves, or the sweep it needs."""
        if picture.along is None:
            return self.run(report) if result is None else result
        data = self.load()
        grid = picture.grid(self, data)
        if result is not None and set(grid) <= set(result.dims):
            return result
        if why := picture.idle(self, data):
            raise ValueError(f"the picture {picture.name} can't be drawn: {why}")
        return self.along(report, keep=picture.keep, **grid)

    def label(self, output: dict[str, Any], data: Data, inputs: Any) -> xr.Dataset:
        """The output of ``compute`` (without ``warm``) as a Dataset with coordinates, labels and the recipe."""
        p, output = self.given(), dict(output)
        reason = Reason(int(output.pop("reason", Reason.CONVERGED)))
        if reason.converged and not all(
            Result.is_sound(each, np.asarray(output[each.name])) for each in self.results if each.name in output
        ):
            reason = Reason.NOT_FINITE
            output["converged"] = False
        output.setdefault("converged", reason.converged)
        iterations = int(output.get("iterations", 0))
        variables: dict[str, Any] = {}
        for declared in self.results:
            if declared.name not in output and declared.absent:
                continue
            if declared.name not in output:
                raise ValueError(
                    f"compute of {self.slug} did not return {declared.name}, which is a Result: return it, or say in absent= "
                    "why some runs have none"
                )
            values = np.asarray(output[declared.name])
            if values.ndim != len(declared.dims):
                raise ValueError(
                    f"compute of {self.slug} returned {declared.name} with the shape {values.shape}, but its Result names "
                    f"{len(declared.dims)} dimensions: {', '.join(declared.dims) or 'none'}"
                )
            if "iteration" in declared.dims:  # a pure loop pads its trace
                values = values[(slice(None),) * declared.dims.index("iteration") + (slice(iterations),)]
            attrs = {"long_name": declared.label, "units": declared.unit, "description": declared.doc}
            variables[declared.name] = (declared.dims, values, attrs)
        coords = dict(self.coords(data, inputs, p, output))
        dims = {dim for declared in variables.values() for dim in declared[0]}
        coords = {name: (name, np.asarray(output[name])) for name in output if name in dims - coords.keys()} | coords
        if unknown := [name for name in output if name not in variables and name not in coords and name != "converged"]:
            raise ValueError(
                f"compute of {self.slug} returned {', '.join(unknown)}, which neither results nor coords have: declare a "
                "Result of that name, or make a coordinate of it"
            )
        for dims, values, _ in variables.values():
            for dim, size in zip(dims, values.shape, strict=True):
                coords.setdefault(dim, np.arange(size))
        result = xr.Dataset(variables, coords=coords)
        for dim in map(str, result.dims):
            label, unit = self.dims.get(dim, (dim, ""))
            result[dim].attrs = {"long_name": label, "units": unit} | result[dim].attrs
        result.attrs = self.attributes(data) | {"converged": int(reason.converged), "reason": reason.name.lower()}
        result.attrs |= self.facts(data, inputs, p, output)
        result.attrs["ended"] = self.ended(result)[0]
        said = [] if reason.converged else [self.ends.get(reason, f"Not converged: {reason.advice}.")]
        result.attrs["advice"] = " ".join(filter(None, [*said, self.advice(result)]))
        return result

    def _repr_html_(self) -> str:
        return cards.of_study(self)

    def panel(self) -> Any:
        """The live page, for a notebook cell."""
        return lab.app.page(self)


_SKETCH = 0.003  # seconds
_PREPARED = Remembered(bytes=memory.budget() // 4)


def edited(data: Data, **arrays: np.ndarray) -> Data:
    """The data with other points: the cost follows them, what was known of the old ones does not.

    Args:
        data: a data set, which stays as it is.
        arrays: by name those that change, ``x`` (m, d) say; their shapes are not checked here.

    Returns:
        a copy named "..., edited" with the arrays given, without ``cost`` and without known optimal values.

    Examples:
        >>> import numpy as np
        >>> from lab import datasets
        >>> from lab.studies import edited
        >>> line = datasets.from_arrays("line", {"x": [[0.0], [1.0]], "y": [[0.0], [1.0]]})
        >>> moved = edited(line, x=np.array([[0.0], [3.0]]))
        >>> moved.name, moved.arrays["x"].ravel().tolist(), line.arrays["x"].ravel().tolist()
        ('line, edited', [0.0, 3.0], [0.0, 1.0])
    """
    kept = {name: value for name, value in data.arrays.items() if name != "cost"}
    name = data.name if data.name.endswith(", edited") else f"{data.name}, edited"
    return replace(
        data, name=name, title=f"{data.title.removesuffix(', edited')}, edited", arrays=kept | arrays, truth={}
    )


def _shapes(data: Data) -> tuple:
    return tuple((name, array.shape, array.dtype.str) for name, array in sorted(data.arrays.items()))
