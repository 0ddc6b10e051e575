"""Many cells by one compiled program: ``compute`` under ``vmap`` over the traced parameters."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from lab import memory
from lab.numerics import Reason, pure
from lab.studies import Study

_POLL = 0.1  # seconds between looks at the stop flag

type Stop = Callable[[], bool | None]


class Stopped(Exception):
    """The sweep was asked to stop; what is not whole is dropped."""


class Failure(str):
    """Why a cell has no result, as a text. ``problem`` is the error itself, in the process where it was raised."""

    problem: Exception | None = None

    @classmethod
    def of(cls, problem: Exception) -> "Failure":
        made = cls(f"{type(problem).__name__}: {problem}")
        made.problem = problem
        return made

    def __reduce__(self) -> tuple[Any, ...]:  # an error may hold what does not travel
        return Failure, (str(self),)


class Way(NamedTuple):
    """How the cells of a program are computed.

    Attributes:
        size: cells in a call of the compiled program; 0 runs cell by cell through the study's own chunked loop.
        seconds: of a cell, measured.
        bytes: of the device for a call.
        alone: seconds of a cell that is run by itself.
    """

    size: int
    seconds: float
    bytes: int
    alone: float = 0.0


class Program:
    """``compute`` of a study for fixed static parameters, as a function of inputs and traced values.

    Attributes:
        shapes: of the outputs of one cell.
        read: the static parameters that the program depends on, with their values.
    """

    def __init__(self, study: Study, inputs: Any, swept: Mapping[str, Any]):
        self._study, self._values, self._given = type(study), study.values(), study.given()
        self._names = tuple(swept)
        self._read: set[str] = set()
        self._compiled: dict[int, Any] = {}
        self._compiling = threading.Lock()
        self.compile_seconds = 0.0
        self.shapes = jax.eval_shape(self._one, inputs, self._points([swept], 1, single=True))
        self.read = {name: self._values[name] for name in self._values if name in self._read and name not in swept}

    def _one(self, inputs: Any, point: Mapping[str, Any]) -> dict[str, Any]:
        p = self._given.watched(self._read).but(**point)
        output = self._study.by_name(inputs, p, pure)
        output.pop("warm", None)
        return output

    def _single(self, inputs: Any, points: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of one without ``vmap``, under which every branch of a ``cond`` would be computed."""
        output = self._one(inputs, {name: values[0] for name, values in points.items()})
        return jax.tree.map(lambda value: jax.numpy.asarray(value)[None], output)

    def _points(self, points: Sequence[Mapping[str, Any]], size: int, single: bool = False) -> dict[str, Any]:
        """The traced values as arrays; the last cell is repeated to fill the batch."""
        full = [*points, *[points[-1]] * (size - len(points))]
        arrays = {name: np.asarray([point[name] for point in full]) for name in self._names}
        return {name: array[0] for name, array in arrays.items()} if single else arrays

    def compiled(self, inputs: Any, size: int, example: Mapping[str, Any]) -> Any:
        """The program for ``size`` cells. On several devices each takes an equal part of the batch."""
        with self._compiling:
            if size not in self._compiled:
                self._compile(inputs, size, example)
        return self._compiled[size]

    def _compile(self, inputs: Any, size: int, example: Mapping[str, Any]) -> None:
        memory.make_room()
        began = time.perf_counter()
        batch = jax.vmap(self._one, in_axes=(None, 0)) if size > 1 else self._single
        devices = jax.devices()
        if len(devices) > 1 and size % len(devices) == 0:
            mesh = jax.sharding.Mesh(np.array(devices), ("cells",))
            across, whole = jax.sharding.PartitionSpec("cells"), jax.sharding.PartitionSpec()
            # each device runs its own loop: none waits for the slowest cell of another
            batch = jax.shard_map(batch, mesh=mesh, in_specs=(whole, across), out_specs=across, check_vma=False)
        points = self._points([example], size)
        self._compiled[size] = jax.jit(batch).lower(inputs, points).compile()
        self.compile_seconds = time.perf_counter() - began

    def memory(self, size: int) -> int:
        """Bytes of the device that a call takes, by XLA's own account."""
        told = self._compiled[size].memory_analysis()
        return int(told.temp_size_in_bytes + told.argument_size_in_bytes + told.output_size_in_bytes)

    def call(self, inputs: Any, points: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
        """The outputs of at most ``size`` cells."""
        output = jax.device_get(self.compiled(inputs, size, points[0])(inputs, self._points(points, size)))
        return [{name: values[at] for name, values in output.items()} for at in range(len(points))]

    @property
    def bytes(self) -> int:
        """Of the outputs of one cell."""
        return sum(int(np.prod(s.shape)) * s.dtype.itemsize for s in jax.tree.leaves(self.shapes))


_programs: memory.Recent[list[Program]] = memory.Recent(most=8, compiled=True)
_lock = threading.Lock()


def program(study: Study, inputs: Any, swept: Mapping[str, Any]) -> Program:
    """The program of these static parameters; one is made only where no earlier one serves.

    Raises:
        Exception: whatever tracing ``compute`` raises, where it is not pure JAX.
    """
    leaves, tree = jax.tree.flatten(inputs)
    shapes = tuple((np.shape(leaf), str(jax.dtypes.result_type(leaf))) for leaf in leaves)
    key = (type(study), tuple(swept), str(tree), shapes)
    values = study.values()
    with _lock:  # held while tracing: two threads shall not trace the same
        known = _programs.get(key) or []
        for made in known:
            if all(values[name] is value or values[name] == value for name, value in made.read.items()):
                return made
        made = Program(study, inputs, swept)
        _programs.put(key, [*known, made])
    return made


def threads() -> int:
    """Calls of a program that run at the same time in this process: XLA lets a small one use one core of a CPU."""
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1


def compute(
    study: Study, points: Sequence[Mapping[str, Any]], size: int, stop: Stop, at_once: int = 1
) -> list[xr.Dataset | str]:
    """The labelled results of some cells, or the error text of those that failed.

    Args:
        study: with the static parameters of these cells.
        points: the traced parameters of each.
        size: see ``Way``.
        stop: asked between chunks, by this thread.
        at_once: calls of one cell that run at the same time.

    Raises:
        Stopped: ``stop`` said so.
    """
    if not size:
        return [alone(study.but(**point), stop) for point in points]
    data = study.load()
    inputs = study.inputs(data)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    call = partial(_called, study, data, inputs, size=size)
    cells: list[xr.Dataset | str] = []
    for part, called in zip(parts, _calls(call, parts, at_once if size == 1 else 1, stop), strict=True):
        # one by one, each says what is wrong with it and spares the others
        cells += called or [alone(study.but(**point), stop) for point in part]
    return cells


def _called(study: Study, data: Any, inputs: Any, part: Sequence[Mapping[str, Any]], size: int) -> list[Any]:
    """The labelled cells of one call, or none where it failed."""
    began = time.perf_counter()
    try:
        outputs = program(study, inputs, part[0]).call(inputs, part, size)
    except Exception:
        return []
    seconds = (time.perf_counter() - began) / len(part)
    return [
        _guarded(partial(_labelled, study, point, output, data, inputs, seconds))
        for point, output in zip(part, outputs, strict=True)
    ]


def _calls(call: Callable[[Any], Any], parts: Sequence[Any], at_once: int, stop: Stop) -> list[Any]:
    """The answers of ``call`` for all parts, in order."""
    with ThreadPoolExecutor(at_once) as pool:
        calls = [pool.submit(call, part) for part in parts]
        while wait(calls, _POLL).not_done:
            if stop():
                for waiting in calls:
                    waiting.cancel()
                raise Stopped
    return [done.result() for done in calls]


def _labelled(study: Study, point: Mapping[str, Any], *rest: Any) -> xr.Dataset:
    return label(study.but(**point), *rest)


def label(study: Study, output: dict[str, Any], data: Any, inputs: Any, seconds: float) -> xr.Dataset:
    """A result as ``Study.run`` labels it."""
    if "iterations" in output:  # a loop that is driven from Python counts in Python
        output = output | {"iterations": int(output["iterations"])}
    result = study.label(output, data, inputs)
    result.attrs |= {"compile_seconds": 0.0, "run_seconds": round(seconds, 4), "programs_compiled": 0, "warm_start": 0}
    return result


def alone(study: Study, stop: Stop | None) -> xr.Dataset | str:
    """One cell, as ``Study.run`` computes it; or why it failed. Raises Stopped where ``stop`` ends it."""
    if stop is None:
        return _guarded(lambda: study.execute().result)  # `run` would draw a bar in a notebook
    if stop():
        raise Stopped
    result = _guarded(lambda: study.run(lambda _: stop()))
    if isinstance(result, xr.Dataset) and result.attrs["reason"] == Reason.STOPPED.name.lower():
        raise Stopped
    return result


def _guarded(make: Callable[[], xr.Dataset]) -> xr.Dataset | str:
    try:
        return make()
    except Stopped:
        raise
    except Exception as problem:
        return Failure.of(problem)
