"""Compiled programs: one for each kind of arguments, kept between processes, and given up when memory is needed.

JAX keeps what XLA made of a program, but a new process must trace and lower the program to know which it is, and that takes
longer than the work itself. Here a program is known by what it is called with: the function, what is static, the shapes and
types of the arrays, the state of the lab's code and the versions of what it calls. So it is loaded and run.

Kept is what a later process can name: a program of functions of users is not, nor one that calls back into Python, nor one
for anything but one CPU.
"""

import inspect
import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.experimental import serialize_executable
from jax.extend.core import get_opaque_trace_state

from lab import code, home, memory
from lab.disk import cache as kept

LOADED = "/lab/program_load_duration"
"""The event of ``jax.monitoring`` for the time in which a kept program is read."""
_CALLED = ("diffrax", "equinox", "jax", "jaxlib", "lineax", "numpy", "optax", "optimistix")
_SETTINGS = tuple(
    f"jax_{name}"
    for name in (
        "debug_infs",
        "debug_nans",
        "default_device",
        "default_matmul_precision",
        "default_prng_impl",
        "enable_x64",
        "numpy_dtype_promotion",
        "numpy_rank_promotion",
        "threefry_partitionable",
    )
)
_MOST = 1 << 30  # bytes on disk
with jax.ensure_compile_time_eval():
    _OUTSIDE = get_opaque_trace_state("flax")


class _Unnamed(Exception):
    """Something that a later process can't name."""


class _Made:
    """A program in memory, once it is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.run: Callable | None = None


_programs: memory.Recent[_Made] = memory.Recent()


def call(program: Callable, function: Callable, still: Hashable, arrays: list[Any]) -> Any:
    """``program(still, arrays)``, a ``jax.jit`` whose first argument is static, that computes ``function``."""
    inside = get_opaque_trace_state("flax") != _OUTSIDE or any(isinstance(array, Tracer) for array in arrays)
    if inside or jax.config.jax_disable_jit:  # within a trace a program becomes part of it
        return program(still, arrays)
    kinds = tuple(map(_kind, arrays))
    key = program, still, kinds, *(getattr(jax.config, name) for name in _SETTINGS)
    made = _programs.first(key, _Made())
    run = made.run
    if run is None:
        with made.lock:  # two threads shall not make the same
            run = made.run
            if run is None:
                run = made.run = _found(program, function, still, arrays, key[1:])
    return run(arrays)


class _Hits(threading.local):
    """How often JAX's own cache had what this thread compiles."""

    count = 0

    def __call__(self, event: str, **told: Any) -> None:
        self.count += event == "/jax/compilation_cache/cache_hits"


_hits = _Hits()
jax.monitoring.register_event_listener(_hits)


def _kind(array: Any) -> tuple:
    """What of an array, or of a number of Python, decides which program it is for."""
    if isinstance(array, float):
        return ("float",)
    if not isinstance(array, jax.Array):
        return np.shape(array), str(jax.dtypes.canonicalize_dtype(array.dtype))
    kind = array.shape, str(array.dtype), getattr(array, "weak_type", False)  # keys have none
    return (*kind, array.sharding) if getattr(array, "committed", False) else kind


def _found(program: Any, function: Callable, still: Any, arrays: list[Any], known: tuple) -> Callable:
    memory.make_room()
    path = _path(function, known)
    began = time.time()
    if path is not None and (run := _read(path)) is not None:
        jax.monitoring.record_event_time_span(LOADED, began, time.time())
        return run
    lowered = program.lower(still, arrays)
    before = _hits.count
    compiled = lowered.compile()
    if (
        path is not None and _hits.count == before
    ):  # one that came from JAX's own cache loses functions when it is written
        _write(path, compiled)
    return compiled


def _path(function: Callable, known: tuple) -> Path | None:
    """Where a program is kept, if a later process can know it."""
    if not home.keeps_programs or jax.default_backend() != "cpu" or jax.device_count() > 1:
        return None
    try:
        text = "\0".join((_state(code.ours(())), _told(function), _told(known)))
    except (_Unnamed, RecursionError):
        return None
    return (
        _place(home.cache() / "programs") / f"{function.__name__}-{sha256(text.encode()).hexdigest()[:40]}.executable"
    )


@cache
def _place(folder: Path) -> Path:
    """The folder, made, and not larger than it may be."""
    with suppress(OSError):  # of a home that can't be written to nothing is read either
        folder.mkdir(exist_ok=True)
    kept.trim(folder, _MOST)
    return folder


@cache
def _state(code: str) -> str:
    """What every program depends on."""
    processor = jax.devices()[0].client.platform_version, _processor()
    return repr((code, [version(name) for name in _CALLED], processor))


def _processor() -> str:
    """Machine code is for a processor with these abilities, and by these wishes."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    able = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    said = (os.environ.get(name, "") for name in ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS"))
    return "\0".join((platform.machine(), able, *said))


def _told(value: Any) -> str:
    """A text that is equal in another process for what is equal, and for nothing else.

    Raises:
        _Unnamed: there is none.
    """
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes() if not isinstance(value, Enum):
            return f"{type(value).__name__} {value!r}"
        case type() | np.dtype():
            return _named(value) if isinstance(value, type) else f"dtype {value!r}"
        case Enum():
            return f"{_named(type(value))}.{value.name}"
        case partial():
            return f"partial({_told((value.func, value.args, value.keywords))})"
        case tuple() | list():
            return f"{_named(type(value))}({', '.join(map(_told, value))})"
        case dict():
            return f"dict({', '.join(f'{_told(key)}: {_told(each)}' for key, each in value.items())})"
        case jax.tree_util.PyTreeDef():
            return _told_tree(value)
    if is_dataclass(value) and not any(isinstance(leaf, Tracer | jax.Array) for leaf in jax.tree.leaves(value)):
        return f"{_named(type(value))}({', '.join(_told(getattr(value, field.name)) for field in fields(value))})"
    single = _single(value)
    return f"{single[0]}:{single[1]}" if single else _named(value)


def _single(value: Any) -> tuple[str, str] | None:
    """The module and the name of an object of equinox of which there is one only, such as that for a field left out."""
    module = type(value).__module__
    if not module.startswith("equinox.") or isinstance(value, type):
        return None
    return next(((module, name) for name, each in vars(sys.modules[module]).items() if each is value), None)


def _told_tree(tree: Any) -> str:
    if jax.tree_util.treedef_is_leaf(tree):
        return "*"
    node = tree.node_data()
    if node is None:
        return "none"
    return f"{_named(node[0])}[{_told(node[1])}]({', '.join(map(_told_tree, tree.children()))})"


def _named(made: Any) -> str:
    """A class or a function by where it stands, and a function also by what it was made with.

    Only of the lab and of libraries whose version counts: of theirs it is known what stands there.
    """
    module, name = getattr(made, "__module__", None), getattr(made, "__qualname__", None)
    if module is None or name is None or module.partition(".")[0] not in ("lab", "builtins", *_CALLED):
        raise _Unnamed
    if isinstance(made, MethodType):
        return f"{_told(made.__func__)} of {_told(made.__self__)}"
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not None and inspect.unwrap(found) is inspect.unwrap(made):
        return f"{module}:{name}"
    if not isinstance(made, FunctionType):
        raise _Unnamed
    code, cells = made.__code__, [cell.cell_contents for cell in made.__closure__ or ()]
    place = code.co_firstlineno, next(iter(code.co_positions()), None), sha256(code.co_code).hexdigest()
    return f"{module}:{name} at {place} with {_told((cells, made.__defaults__, made.__kwdefaults__))}"


def _read(path: Path) -> Callable | None:
    """The program that is kept there, if it can be run."""
    content = kept.read(path) if kept.own(path) else None  # it is machine code, and run
    if content is None:
        return None
    try:
        _begin_lapack()
        return serialize_executable.deserialize_and_load(*_Reader(BytesIO(content)).load())
    except Exception:  # of another version of a library that did not say so
        return None


@cache
def _begin_lapack() -> None:
    """What lowering does for a program that factorizes; one that is read calls where nothing is otherwise.

    Raises:
        ImportError: with this version of jaxlib nothing can be read.
    """
    from jaxlib.lapack import prepare_lapack_call

    prepare_lapack_call("potrf", np.float64)


def _write(path: Path, compiled: Any) -> None:
    executable = compiled._executable._unloaded_executable
    if executable is None or executable.keepalive or executable.host_callbacks:  # it calls Python of this process
        return
    content = BytesIO()
    try:
        _Writer(content).dump(serialize_executable.serialize(compiled))
    except Exception:  # a result with leaves that have no name
        return
    kept.write(path, content.getvalue())


class _Writer(pickle.Pickler):
    """Writes an object of which there is one only by its name."""

    def persistent_id(self, obj: Any) -> Any:
        return _single(obj)


class _Reader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        module, name = pid
        return getattr(sys.modules[module], name)
