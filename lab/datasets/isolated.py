"""Decode untrusted files in a process of their own, with limits of memory and time.

The parsers of HDF5, Arrow, pictures and the like are large programs in C. A forged file can crash them, or make them hand out
memory that is not the file's. Therefore each ``reader`` decodes in a child process: a fault there is a ValueError here, and no
other visitor's data are in its memory.

On POSIX one template process is started at the first file (never by forking this process, which has threads). It imports what
the readers need, and forks a child for each file. It ends when the socket to it closes, also when this process is killed.
Elsewhere each file has a new process. A child returns a JSON header and the bytes of arrays; nothing is unpickled, and all of
it is checked here.
"""

import atexit
import gc
import io
import json
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypeAliasType, get_args, get_origin, get_type_hints

import numpy as np

from lab import inputs, memory
from lab.inputs import Exceeded, cut

FORKS = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether one template process forks a child for each file."""

MEMORY = 8 * 2**30
"""The most bytes of address space that a child may take beyond those of the template; at most half of the machine's memory."""

_HEADER = 8  # bytes that tell the length of a header
_LONGEST = 2**25  # bytes of a header
_TYPES = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU]\d{1,9}|[mM]8(\[\d{0,9}[a-zA-Z]+\])?)")
_GRACE = 5.0  # seconds in which the template reports how a child ended
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"}

_session: ContextVar["_Session | None"] = ContextVar("session", default=None)
_inside = False  # whether this process is such a child


# -- this process ------------------------------------------------------------------------------------------------------


def reader[**P, T](*imports: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a function of a module decode in a child process; the first argument is the name of the file.

    Its arguments may be texts, numbers, bytes, lists and dicts of these, and one open file. What comes back is checked by the
    function's annotation.

    Args:
        imports: modules that the template imports first, so that no child has to.
    """

    def made(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def decoded(*args: P.args, **kwargs: P.kwargs) -> T:
            if _inside:
                return function(*args, **kwargs)
            return call(function, args, kwargs, imports)

        return decoded

    return made


def trusted[**P, T](function: Callable[P, T]) -> Callable[P, T]:
    """The function that a ``reader`` was made of, in this process: for files that come with the lab, checked by their hash."""
    return getattr(function, "__wrapped__", function)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """``lab.inputs.reading``, and one child process for all that is decoded inside."""
    with inputs.reading(name):
        if _inside or _session.get() is not None:
            yield
            return
        session = _Session(name)
        token = _session.set(session)
        try:
            yield
        finally:
            _session.reset(token)
            session.close()


def call(
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
) -> Any:
    """What a function of a module gives for these arguments in a child process.

    Raises:
        ValueError: what the function raises; also where it crashes, or takes more memory or time than it may.
    """
    name = args[0] if args and isinstance(args[0], str) else "the file"
    with reading(name):
        session = _session.get()
        assert session is not None  # readers inside a child do not come here
        return session.call(function, list(args), dict(kwargs or {}), imports)


class _Broken(Exception):
    """A child sent what it must not, or nothing."""


class _Session:
    """A child process that decodes one file after the other, for one thread."""

    def __init__(self, name: str):
        self._name, self._link, self._last = cut(name), None, b""

    def call(self, function: Callable[..., Any], args: list, kwargs: dict, imports: Sequence[str]) -> Any:
        seconds = inputs.left()
        files = [arg for arg in args if _on_disk(arg)]
        if files:  # which come to a child when it is forked
            self.close()
        if self._link is None:
            self._link = _open_link(imports if FORKS else (), files)
        link, late = self._link, threading.Event()

        def stop() -> None:
            late.set()
            link.kill()

        timer = threading.Timer(max(seconds, 0) + 1, stop)  # one second after the child reports its own timeout
        timer.daemon = True
        timer.start()
        try:
            told, blobs = _packed([args, kwargs], self._last)
            self._last = next((arg for arg in args if isinstance(arg, bytes)), b"")
            about = {"function": [function.__module__, function.__qualname__], "told": told, "seconds": seconds}
            about |= {"name": self._name, "limit": inputs.LIMIT, "patience": inputs.PATIENCE, "imports": [*imports]}
            _send(link.sending, about, blobs)
            answer, blobs = _received(link.receiving, MEMORY)
            if "error" in answer:
                raise (Exceeded if answer.get("exceeded") is True else ValueError)(_sentence(answer["error"]))
            result = _unpacked(answer.get("told"), blobs, self._last)
            if "return" in getattr(function, "__annotations__", {}) and not _matches(result, _returned(function)):
                raise _Broken
            return result
        except (_Broken, OSError):
            code = link.code()
            self.close()
            if late.is_set() or code == -getattr(signal, "SIGXCPU", 0):
                raise inputs.too_slow(self._name) from None
            if code == -getattr(signal, "SIGKILL", 9):  # where the system runs out of memory
                raise MemoryError from None
            raise ValueError(
                f"{self._name} is damaged: the program that reads it crashed; save the file again"
            ) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _sentence(text: Any) -> str:
    """The error message of a child, on one line of printable characters."""
    if not isinstance(text, str):
        raise _Broken
    return cut(text, inputs.SENTENCE)


class _Fork:
    """The sockets to a child that the template forks: one for data, one on which the template reports how the child ended.

    The template kills a child whose second socket closes.
    """

    def __init__(self, imports: Sequence[str], files: Sequence[BinaryIO]):
        self._data, theirs = socket.socketpair()
        self._status, reports = socket.socketpair()
        try:
            with theirs, reports:
                _template.spawn(imports, [theirs.fileno(), reports.fileno(), *(file.fileno() for file in files)])
        except BaseException:
            self._data.close()
            self._status.close()
            raise
        self.sending: Any = self._data.makefile("wb")
        self.receiving: Any = self._data.makefile("rb")

    def kill(self) -> None:
        for each in (self._status, self._data):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def code(self) -> int | None:
        """How the child ended, negative for a signal; None where nobody knows."""
        self._status.settimeout(_GRACE)
        with suppress(OSError, ValueError):
            return int(self._status.recv(16))
        return None

    def close(self) -> None:
        self.kill()
        for each in (self.sending, self.receiving, self._data, self._status):
            with suppress(OSError):
                each.close()


class _Alone:
    """A new process for one file, where none can be forked."""

    def __init__(self, files: Sequence[BinaryIO]):
        self._process = _start("alone()", [], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.sending: Any = self._process.stdin
        self.receiving: Any = self._process.stdout

    def kill(self) -> None:
        self._process.kill()

    def code(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_GRACE)
        return None

    def close(self) -> None:
        self.kill()
        self._process.wait()
        for each in (self.sending, self.receiving):
            with suppress(OSError):
                each.close()


def _open_link(imports: Sequence[str], files: Sequence[BinaryIO]) -> _Fork | _Alone:
    return _Fork(imports, files) if FORKS else _Alone(files)


class _Template:
    """The process that forks children, started at the first file."""

    def __init__(self):
        self._lock = threading.Lock()
        self.process: subprocess.Popen | None = None
        self._control: socket.socket | None = None

    def spawn(self, imports: Sequence[str], files: Sequence[int]) -> None:
        """Have a child forked, which gets these files: data, reports, and one that it reads."""
        space = min(MEMORY, memory.machine() // 2 or MEMORY)
        message = json.dumps({"imports": [*imports], "space": space, "seconds": math.ceil(inputs.PATIENCE)}).encode()
        with self._lock:
            for _ in range(2):  # the second time where the template was killed
                try:
                    control = self._control or self._started()
                    socket.send_fds(control, [message], files)
                    if control.recv(1):
                        return
                except OSError:
                    pass
                self.stop()
        raise ValueError("files can't be read: their process does not start; free some memory, or start the lab again")

    def _started(self) -> socket.socket:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(inputs.PATIENCE)
        with theirs:
            code = f"serve({theirs.fileno()})"
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            self.process = _start(code, [theirs.fileno()], **quiet, start_new_session=True)
        return self._control

    def stop(self) -> None:
        """End the template and its children."""
        process, control = self.process, self._control
        self.process = self._control = None
        if control is not None:
            control.close()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            process.kill()
            process.wait()

    def forget(self) -> None:
        """In a fork of this process, which must not share the template."""
        if self._control is not None:
            self._control.close()
        if self.process is not None:
            self.process.returncode = 0  # it is no child of this process
        self.__init__()


_template = _Template()
atexit.register(_template.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_template.forget)


def _start(code: str, files: Sequence[int], **options: Any) -> subprocess.Popen:
    """A process of this interpreter and this ``lab``, in which nothing of the current folder is imported."""
    import lab

    root = str(Path(lab.__file__).resolve().parents[1])
    program = (
        f"import sys; sys.path.insert(0, {root!r}); import lab; del sys.path[0]; "
        f"from lab.datasets import isolated; isolated.{code}"
    )
    secret = re.compile("token|secret|password|key", re.IGNORECASE)  # what a parser could be made to hand out
    environment = {key: value for key, value in os.environ.items() if not secret.search(key)} | _QUIET
    within = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(each)]
    environment["PYTHONPATH"] = os.pathsep.join(within)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        env=environment,
        cwd=Path(sys.executable).anchor,
        stderr=subprocess.DEVNULL,
        pass_fds=files,
        **options,
    )


# -- the template and its children -------------------------------------------------------------------------------------


def serve(control: int) -> None:
    """Fork a child for each message until the socket closes: the program of the template."""
    asking = socket.socket(fileno=control)
    waking, wake = socket.socketpair()
    for each in (waking, wake):
        each.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    children: dict[int, socket.socket] = {}
    try:
        _serve(asking, waking, wake, children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def _serve(asking: socket.socket, waking: socket.socket, wake: socket.socket, children: dict[int, Any]) -> None:
    while True:
        ready, _, _ = select.select([asking, waking, *children.values()], [], [])
        if waking in ready:
            waking.recv(4096)
        for pid, status in list(children.items()):
            if status in ready:  # nobody waits for this child any more
                os.kill(pid, signal.SIGKILL)
            ended, state = os.waitpid(pid, 0 if status in ready else os.WNOHANG)
            if ended:
                with suppress(OSError):
                    status.send(str(os.waitstatus_to_exitcode(state)).encode())
                children.pop(pid).close()
        if asking not in ready:
            continue
        message, files, _, _ = socket.recv_fds(asking, 2**16, 3)
        if not message:
            return
        told = json.loads(message)
        for module in told["imports"]:
            with suppress(Exception):  # the child says what is missing
                import_module(module)
        gc.freeze()
        pid = os.fork()
        if not pid:
            _decode_forked(told, files, [asking, waking, wake, *children.values()])
        children[pid] = socket.socket(fileno=files[1])
        for each in (files[0], *files[2:]):
            os.close(each)
        with suppress(OSError):
            asking.send(b".")


def alone() -> None:
    """Decode what comes from the standard input: the program of a process for one file."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints is no answer
    _decode(sys.stdin.buffer, answers, [])


def _decode_forked(told: Mapping[str, Any], files: Sequence[int], others: Sequence[socket.socket]) -> None:
    """What a child does; it never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in others:
            each.close()
        os.close(files[1])
        _limit(told["space"], told["seconds"])
        with socket.socket(fileno=files[0]) as ours, ours.makefile("rb") as asked, ours.makefile("wb") as answers:
            _decode(asked, answers, [os.fdopen(each, "rb") for each in files[2:]])
        os._exit(0)
    except BaseException:
        os._exit(1)


def _limit(space: int, seconds: int) -> None:
    """Bound the memory and the time of this process, and let it write no file and no core dump."""
    import resource

    with suppress(OSError, ValueError, IndexError):
        space += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = {"RLIMIT_AS": space, "RLIMIT_CPU": seconds + 5, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
    for name, limit in limits.items():
        with suppress(AttributeError, OSError, ValueError):  # which a system need not have
            resource.setrlimit(getattr(resource, name), (limit, limit))


def _decode(asked: BinaryIO, answers: BinaryIO, files: Sequence[BinaryIO]) -> None:
    global _inside
    _inside = True
    last = b""
    while True:
        try:
            about, blobs = _received(asked, None)
        except _Broken:
            return
        inputs.LIMIT, inputs.PATIENCE = about["limit"], about["patience"]
        try:
            with inputs.reading(about["name"], about["seconds"]):
                args, kwargs = _unpacked(about["told"], blobs, last, files)
                last = next((arg for arg in args if isinstance(arg, bytes)), b"")
                module, function = about["function"]
                found = trusted(getattr(import_module(module), function))(*args, **kwargs)
                told, blobs = _packed(found, last)
            answer = {"told": told}
        except Exception as error:
            answer, blobs = {"error": _refusal(about["name"], error), "exceeded": isinstance(error, Exceeded)}, []
        _send(answers, answer, blobs)


def _refusal(name: str, error: Exception) -> str:
    """The message of a reader, or one that says which reader failed, with nothing of what a parser says."""
    if type(error) in (ValueError, Exceeded):
        return str(error)
    return f"{name} is damaged: its reader failed ({type(error).__name__}); save the file again"


# -- what is sent ------------------------------------------------------------------------------------------------------


def _send(stream: BinaryIO, about: Mapping[str, Any], blobs: Sequence[Any]) -> None:
    """A header of JSON with the sizes of what follows, and what follows."""
    header = json.dumps({**about, "sizes": [memoryview(blob).nbytes for blob in blobs]}).encode()
    stream.write(len(header).to_bytes(_HEADER, "little") + header)
    for blob in blobs:
        stream.write(memoryview(blob))
    stream.flush()


def _received(stream: BinaryIO, most: int | None) -> tuple[dict[str, Any], list[bytes]]:
    """A header and what follows it.

    Args:
        most: bytes in all, where the sender is not trusted.
    """
    size = int.from_bytes(_exactly(stream, _HEADER), "little")
    if most is not None and size > _LONGEST:
        raise _Broken
    header = _exactly(stream, size)
    if most is None:
        about = json.loads(header)
    else:
        try:
            about = inputs.parsed(header)
        except ValueError:
            raise _Broken from None
    sizes = about.get("sizes") if isinstance(about, dict) else None
    if not isinstance(sizes, list) or not all(type(each) is int and each >= 0 for each in sizes):
        raise _Broken
    if most is not None and sum(sizes) > most:
        raise _Broken
    return about, [_exactly(stream, each) for each in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise _Broken
    return found


def _packed(value: Any, last: bytes) -> tuple[Any, list[Any]]:
    """A value as JSON, and the bytes that it refers to by number. The bytes ``last`` are there already."""
    blobs: list[Any] = []
    begin = np.frombuffer(last, np.uint8).__array_interface__["data"][0]

    def blob(content: Any) -> int:
        blobs.append(content)
        return len(blobs) - 1

    def of(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str | float):
            if isinstance(value, np.generic):
                return {"array": value.dtype.str, "shape": None, "blob": blob(np.array([value]).view(np.uint8))}
            return value
        if isinstance(value, bytes):
            return {"last": True} if value is last and last else {"bytes": blob(value)}
        if isinstance(value, np.generic):
            return {"array": value.dtype.str, "shape": None, "blob": blob(np.array([value]).view(np.uint8))}
        if isinstance(value, np.ndarray):
            return array(value)
        if isinstance(value, Mapping):
            return {"dict": [[str(key), of(each)] for key, each in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [of(each) for each in value]}
        if _on_disk(value):
            return {"file": 0}
        if hasattr(value, "read"):
            return {"stream": blob(value.read())}
        return {"list": [of(each) for each in value]}

    def array(value: np.ndarray) -> dict[str, Any]:
        if value.dtype.kind in "OT":
            return {"texts": list(value.shape), "blobs": [blob(each) for each in _texts(value.ravel())]}
        if not _TYPES.fullmatch(value.dtype.str):
            raise ValueError(f"an array has the type {cut(value.dtype)}, but real numbers are needed")
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        about = {"array": value.dtype.str, "shape": list(value.shape), "order": order}
        at = value.__array_interface__["data"][0] - begin
        if value.flags.forc and value.size and 0 <= at <= len(last) - value.nbytes:
            return about | {"at": at}
        flat = np.ascontiguousarray(value.T if order == "F" else value).reshape(-1)
        return about | {"blob": blob(flat.view(np.uint8) if flat.size else b"")}

    return of(value), blobs


def _on_disk(value: Any) -> bool:
    """Whether a value is an open file that a forked child can read itself."""
    return FORKS and isinstance(value, io.BufferedReader)


def _texts(values: np.ndarray) -> list[Any]:
    """Texts and what stands between them: which of the different values each is, and these values as text."""
    known: dict[Any, int] = {}
    codes = np.empty(len(values), np.int64)
    for i, value in enumerate(values.tolist()):
        codes[i] = known.setdefault(value if type(value) is str else (type(value), _plain(value)), len(known))
    inputs.spend()
    kinds, contents = [], []
    for key in known:
        kind, text = ("str", key) if isinstance(key, str) else key[1]
        kinds.append(_KINDS.index(kind))
        contents.append(text.encode(errors="replace"))
    lengths = np.array([len(each) for each in contents], np.int64)
    return [codes.view(np.uint8), bytes(kinds), lengths.view(np.uint8), b"".join(contents)]


_KINDS = ("str", "NoneType", "bool", "float", "int")


def _plain(value: Any) -> tuple[str, str]:
    kind = type(value).__name__
    if kind == "int" and abs(value) >= 2**63:
        kind = "other"
    return (kind, repr(value)) if kind in _KINDS else ("str", str(value))


def _unpacked(told: Any, blobs: Sequence[bytes], last: bytes, files: Sequence[BinaryIO] = ()) -> Any:
    """The value that ``_packed`` told of; ``_Broken`` where it is none."""

    def of(told: Any) -> Any:
        match told:
            case None | bool() | int() | float() | str():
                return told
            case {"last": True}:
                return last
            case {"bytes": int(number)}:
                return blobs[number]
            case {"dict": list(items)}:
                return {_text(key): of(each) for key, each in items}
            case {"tuple": list(items)}:
                return tuple(of(each) for each in items)
            case {"list": list(items)}:
                return [of(each) for each in items]
            case {"file": int(number)}:
                return files[number]
            case {"stream": int(number)}:
                return io.BytesIO(blobs[number])
            case {"texts": list(shape), "blobs": [int(codes), int(kinds), int(lengths), int(content)]}:
                return _texts_of(blobs[codes], blobs[kinds], blobs[lengths], blobs[content]).reshape(shape)
            case {"array": str(dtype), "shape": None, "blob": int(number)}:
                return _numbers(dtype, blobs[number], 0, [1], "C")[0]
            case {"array": str(dtype), "shape": list(shape), "order": str(order), "blob": int(number)}:
                return _numbers(dtype, blobs[number], 0, shape, order)
            case {"array": str(dtype), "shape": list(shape), "order": str(order), "at": int(at)}:
                return _numbers(dtype, last, at, shape, order)
        raise _Broken

    try:
        return of(told)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError):
        raise _Broken from None


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise _Broken
    return key


def _numbers(dtype: str, content: bytes, at: int, shape: Sequence[Any], order: str) -> np.ndarray:
    """An array whose every entry is a value of its type, where its bytes lie."""
    if not _TYPES.fullmatch(dtype) or not all(type(n) is int and n >= 0 for n in shape) or order not in ("C", "F"):
        raise _Broken
    made, count = np.dtype(dtype), math.prod(shape)
    flat = np.frombuffer(content, made, count, at) if count * made.itemsize else np.empty(count, made)
    if made.kind == "b" and (flat.view(np.uint8) > 1).any():
        flat = flat.view(np.uint8) != 0
    if made.kind == "U" and flat.size and (flat.view(f"{made.str[0]}u4") > 0x10FFFF).any():
        raise _Broken
    return flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)


def _texts_of(codes: bytes, kinds: bytes, lengths: bytes, content: bytes) -> np.ndarray:
    sizes = np.frombuffer(lengths, np.int64)
    if (sizes < 0).any() or len(sizes) != len(kinds) or int(sizes.sum()) != len(content):
        raise _Broken
    values, at = np.empty(len(sizes), object), 0
    for i, size in enumerate(sizes.tolist()):
        text = content[at : at + size].decode()
        values[i] = {
            "str": lambda text: text,
            "NoneType": lambda text: None,
            "bool": lambda text: text == "True",
            "float": float,
            "int": int,
        }[_KINDS[kinds[i]]](text)
        at += size
    which = np.frombuffer(codes, np.int64)
    if which.size and not 0 <= which.min() <= which.max() < len(values):
        raise _Broken
    return values[which]


@cache
def _returned(function: Callable[..., Any]) -> Any:
    return get_type_hints(function)["return"]


def _matches(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, down to the last entry."""
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    of, parts = get_origin(hint), get_args(hint)
    if of is dict:
        return isinstance(value, dict) and all(_matches(each, parts[1]) for each in value.values())
    if of is list:
        return isinstance(value, list) and all(_matches(each, parts[0]) for each in value)
    if of is tuple and parts[-1] is Ellipsis:
        return isinstance(value, tuple) and all(_matches(each, parts[0]) for each in value)
    if of is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_matches, value, parts))
    if parts:  # a union
        return any(_matches(value, part) for part in parts)
    return hint is Any or (value is None if hint in (None, type(None)) else isinstance(value, hint))
