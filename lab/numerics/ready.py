"""Programs kept ready to run, so that a new process neither traces nor lowers what an earlier one ran.

JAX's own cache has compiled programs by what they were lowered to, so that each process traces and lowers them first, which
takes longer than to load them. Here a program is found by what it is called with: the function and the code of the lab, the
numbers, words and classes that are compiled in, and shapes and types of the arrays. Kept is what the lab alone says: a
function, class or value of anybody else, and a program that calls back into Python, are traced in each process.

What is found is run, and unpickled: it is taken only from a file that this user alone can write to (``lab.disk.cache.own``).
"""

import copyreg
import io
import os
import pickle
import platform
import sys
import threading
import time
import zlib
from collections import ChainMap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from hashlib import sha256
from math import inf
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.core import ShapedArray
from jax.experimental import serialize_executable

from lab import code, home
from lab.disk import cache as disk
from lab.numerics.values import Values

_KNOWN = ("lab", "jax", "jaxlib", "equinox", "numpy", "optax", "builtins", "functools", "operator")
"""Packages whose code is said by the text of the lab, or by their version."""
_TELLING = ("EQX_", "JAX_", "XLA_")
"""What the names of settings in the environment begin with."""
_IDLE = ("CACHE", "LOG")
"""What is in the names of those that change no program."""
_SOON = 0.2  # seconds
_hits = threading.local()


class _Array:
    """Where an array of the answer goes."""

    def __reduce__(self) -> str:
        return "_ARRAY"


_ARRAY = _Array()


class _Shape:
    """What a program depends on of an array that it is given."""

    def __init__(self, array: Any):
        self.told = f"{array.dtype} {array.shape} {getattr(array, 'weak_type', False)}"
        self.anywhere = not getattr(array, "committed", False)  # a program is loaded on the first device


class Program(NamedTuple):
    """A compiled function of arrays.

    Attributes:
        run: gives the arrays of the answer.
        tree: of the answer.
        rest: its leaves, ``_ARRAY`` for each array.
    """

    run: Callable[..., Sequence[jax.Array]]
    tree: Any
    rest: tuple[Any, ...]

    def answer(self, found: Sequence[jax.Array]) -> Any:
        """What the function gives, of the arrays that ``run`` gave."""
        each = iter(found)
        return jax.tree.unflatten(self.tree, [next(each) if leaf is _ARRAY else leaf for leaf in self.rest])


class _Untold(Exception):
    """Something that the text of the lab does not say."""


def called(function: Callable, args: tuple, kwargs: dict, context: tuple) -> tuple[Program, Sequence[jax.Array]]:
    """The program of a function for what it is called with, from the disk, or made, and kept there where it can be; and what it
    gives.

    Args:
        context: settings of JAX that it depends on.
    """
    leaves, tree = jax.tree.flatten((args, kwargs))
    arrays = [leaf for leaf in leaves if eqx.is_array(leaf)]
    shapes = [_Shape(leaf) if eqx.is_array(leaf) else leaf for leaf in leaves]
    place = _place(function, jax.tree.unflatten(tree, shapes), context)
    if place is not None and (known := _read(place, arrays)) is not None:
        return known
    found: list[Any] = []

    def flat(*arrays: Any) -> list[Any]:
        given = iter(arrays)
        args, kwargs = jax.tree.unflatten(tree, [next(given) if eqx.is_array(leaf) else leaf for leaf in leaves])
        parts, answer = jax.tree.flatten(function(*args, **kwargs))
        found[:] = [answer, tuple(_ARRAY if eqx.is_array(part) else part for part in parts)]
        return [part for part in parts if eqx.is_array(part)]

    flat.__name__ = flat.__qualname__ = getattr(function, "__name__", "function")
    lowered = jax.jit(flat).lower(*arrays)
    hits = _found()
    program = Program(lowered.compile(), *found)
    if place is not None:
        _keep(place, program, _found() > hits)
    return program, program.run(*arrays)


def _place(function: Callable, given: tuple, context: tuple) -> Path | None:
    """The file of a program; None where none is kept.

    Args:
        given: arguments, each array by its ``_Shape``; any other array is part of the program, and not told.
    """
    folder = home.ready()
    if folder is None or jax.default_backend() != "cpu" or not _unchanged(_SOON):  # tried on no other
        return None
    try:
        told = _state(), _named(function), _told(given), _told(context)
    except (_Untold, ValueError, RecursionError):  # a function that holds itself, or what is not there yet
        return None
    return folder / f"{sha256(repr(told).encode()).hexdigest()}.ready"


def _read(place: Path, arrays: Sequence[Any]) -> tuple[Program, Sequence[jax.Array]] | None:
    """The kept program and what it gives, if it runs on these."""
    if not disk.own(place) or (kept := disk.read(place)) is None:
        return None
    began = time.time()
    try:
        payload, given, taken, answer = pickle.loads(zlib.decompress(kept))
        if b"lapack" in payload:
            _find_lapack()
        trees = jax.tree.structure(((0,) * given, {})), jax.tree.structure([0] * taken)
        made = serialize_executable.deserialize_and_load(payload, *trees, execution_devices=jax.devices()[:1])
        jax.monitoring.record_event_time_span("/lab/ready_load_duration", began, time.time())
        found = jax.block_until_ready(made(*arrays))
        program = Program(made, *_structure(answer))
    except Exception:  # whatever is wrong with it: it is made anew, and what is wrong with the call will be said there
        return None
    return program, found


def _keep(place: Path, program: Program, is_read: bool) -> None:
    """Write it, if it calls nothing of Python and is read as it was written.

    Args:
        is_read: JAX's own cache had it.
    """
    made: Any = program.run
    with suppress(Exception):  # much can't be written, of JAX and of answers, and each says so in its own way
        if made._executable._unloaded_executable.host_callbacks:
            return
        payload = _written_again(made, home.taken()) if is_read else serialize_executable.serialize(made)[0]
        given = len(jax.tree.leaves(made.args_info))
        written = io.BytesIO()
        answer = jax.tree.unflatten(program.tree, program.rest)
        _Pickler(written).dump((payload, given, program.rest.count(_ARRAY), answer))
        if _structure(pickle.loads(written.getvalue())[-1]) == (program.tree, program.rest) and _unchanged():
            disk.write(place, zlib.compress(written.getvalue(), 1))


def _written_again(made: Any, taken: bytes) -> bytes:
    """As ``serialize_executable.serialize``, of a program that XLA has read: it would leave out half of it."""

    class Pickler(serialize_executable._JaxPjrtPickler):
        def persistent_id(self, obj: Any) -> Any:
            told = super().persistent_id(obj)
            return ("exec", taken) if told is not None and told[0] == "exec" else told

    written = io.BytesIO()
    Pickler(written).dump((made._executable._unloaded_executable, jax.tree.leaves(made.args_info), made._no_kwargs))
    return written.getvalue()


def _structure(answer: Any) -> tuple[Any, tuple]:
    rest, tree = jax.tree.flatten(answer)
    return tree, tuple(rest)


@cache
def _find_lapack() -> None:
    """JAX looks for LAPACK where a factorization is lowered; a program that factorizes before ends the process."""
    jax.jit(jax.lax.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), "float32"))


def _found() -> int:
    """Programs that JAX's own cache gave this thread."""
    return getattr(_hits, "count", 0)


def _count(event: str, **kwargs: str | int) -> None:
    if event == "/jax/compilation_cache/cache_hits":
        _hits.count = _found() + 1


jax.monitoring.register_event_listener(_count)


def _type(aval: Any) -> Any:
    """How a type of JAX's arrays is written. There is one object of each, which what JAX itself writes does not see to: what a
    kept program gives would be of a type of its own, and every function compiled anew for it."""
    of = aval.shape, aval.dtype, aval.weak_type
    return (ShapedArray, of) if ShapedArray(*of) == aval else object.__reduce_ex__(aval, 2)


copyreg.pickle(ShapedArray, _type)


def _tree(tree: Any) -> tuple:
    """How a structure is written: as something that has it. What JAX writes of one is read as another one."""
    return jax.tree.structure, (jax.tree.unflatten(tree, [...] * tree.num_leaves),)


class _Pickler(pickle.Pickler):
    dispatch_table = ChainMap({jax.tree_util.PyTreeDef: _tree}, copyreg.dispatch_table)  # noqa: RUF012  # pyright: ignore


def _state() -> tuple[Any, ...]:
    """What a program depends on beside what is called: code, versions, machine, and how JAX and XLA are told to compile."""
    names = (
        name for name in sorted(os.environ) if name.startswith(_TELLING) and not any(each in name for each in _IDLE)
    )
    told = [(name, os.environ[name]) for name in names], jax.config.values["jax_disable_most_optimizations"]
    return code.written(), _packages(), _machine(), jax.devices()[0].client.platform_version, told


@cache
def _packages() -> tuple[str, ...]:
    """All that is installed, by name and version: the lab calls more than what a call shows."""
    folders = [Path(path or ".") for path in sys.path]
    return sys.version, *sorted(each.name for folder in folders for each in folder.glob("*.dist-info"))


@cache
def _machine() -> str:
    """The processor, with what it can do: XLA compiles for that."""
    flags = ""
    with suppress(OSError), open("/proc/cpuinfo") as told:
        flags = next((line for line in told if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {flags}"


def _unchanged(seconds: float = 0.0) -> bool:
    """Whether the text of the lab is as it was when this process began: what is imported after an edit is another code than
    what ``code.written`` says. A look of so many seconds ago will do."""
    global _looked
    if time.monotonic() - _looked > seconds:
        _looked = inf if _text() != _BEGAN else time.monotonic()
    return _looked < inf


def _text() -> list[tuple[str, int, int]]:
    """The files of the lab, when each was written, and how long it is."""
    found, waiting = [], [str(Path(code.__file__).parent)]
    with suppress(OSError):  # one that is gone meanwhile
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for each in entries:
                    if each.is_dir() and each.name != "__pycache__":
                        waiting.append(each.path)
                    elif each.name.endswith(".py"):
                        told = each.stat()
                        found.append((each.path, told.st_mtime_ns, told.st_size))
    return sorted(found)


_BEGAN, _looked = _text(), -inf


def _told(node: Any) -> Any:
    """The same text for what makes the same program, in each process."""
    kind = type(node)
    if kind is _Shape and node.anywhere:
        return node.told
    if node is None or node is ... or kind in (bool, int, float, complex, str, bytes):
        return f"{kind.__name__} {node!r}"
    if isinstance(node, np.dtype):
        return f"dtype {node.name} {node.str}"
    if isinstance(node, jax.tree_util.PyTreeDef):
        return "tree", _told(jax.tree.unflatten(node, [...] * node.num_leaves))
    if isinstance(node, Values):
        return "Values", _told(node._numbers), _told(node._rest)
    if isinstance(node, Enum):
        return _named(kind), node.name
    if isinstance(node, tuple | list):
        return _named(kind), *map(_told, node)
    if isinstance(node, dict):
        return _named(kind), *(
            (_told(key), _told(value)) for key, value in node.items()
        )  # a function may go by their order
    if kind.__name__ in ("partial", "Partial"):
        return _named(kind), _told(node.func), _told(node.args), _told(node.keywords)
    if is_dataclass(node) and not isinstance(node, type):
        if {*getattr(node, "__dict__", ())} - {each.name for each in fields(node)}:
            raise _Untold
        return _named(kind), *((each.name, _told(getattr(node, each.name, None))) for each in fields(node))
    return _named(node)


def _named(thing: Any) -> tuple:
    """Where a class or function is found; a function within another has no name to be found by, and is told by its parts."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module.split(".")[0] not in _KNOWN:
        raise _Untold
    found = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    wraps = 0
    while found is not None:
        if found is thing:
            return module, name, wraps
        found, wraps = getattr(found, "__wrapped__", None), wraps + 1
    if not isinstance(thing, FunctionType) or thing.__globals__ is not vars(
        sys.modules[module]
    ):  # it may say to be ours
        raise _Untold
    held = [cell.cell_contents for cell in thing.__closure__ or ()], thing.__defaults__, thing.__kwdefaults__
    return module, name, _written(thing.__code__), _told(held)


def _written(made: CodeType) -> tuple:
    """A function's code: what it does, and where that is written."""
    held = [_written(each) if isinstance(each, CodeType) else repr(each) for each in made.co_consts]
    return made.co_code, held, made.co_names, made.co_freevars, list(made.co_positions())
