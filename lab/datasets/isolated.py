"""Decode untrusted files in a process of their own, with limits of memory and time.

The parsers of HDF5, Arrow, pictures and the like are large programs in C. A forged file can crash them, or make them hand out
memory that is not the file's. Therefore each ``reader`` decodes in a child process: a fault there is a ValueError here, and no
other visitor's data are in its memory.

On POSIX one template process is started at the first file (never by forking this process, which has threads). It imports what
the readers need, and forks a child for each file. It ends when the socket to it closes, also when this process is killed.
Elsewhere each file has a new process. A child returns values in the format of ``transfer``, which checks them; nothing is
unpickled.
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
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from lab import inputs, memory
from lab.inputs import Exceeded, cut

from . import transfer

FORKS = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether one template process forks a child for each file."""

MEMORY = 8 * 2**30
"""The most bytes of address space that a child may take beyond those of the template; at most half of the machine's memory."""

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


def _on_disk(value: Any) -> bool:
    """Whether a value is an open file that a forked child can read itself."""
    return FORKS and isinstance(value, io.BufferedReader)


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
            told, blobs = transfer.packed([args, kwargs], self._last, _on_disk)
            self._last = next((arg for arg in args if isinstance(arg, bytes)), b"")
            about = {"function": [function.__module__, function.__qualname__], "told": told, "seconds": seconds}
            about |= {"name": self._name, "limit": inputs.LIMIT, "patience": inputs.PATIENCE, "imports": [*imports]}
            transfer.send(link.sending, about, blobs)
            answer, blobs = transfer.received(link.receiving, MEMORY)
            if "error" in answer:
                raise (Exceeded if answer.get("exceeded") is True else ValueError)(_sentence(answer["error"]))
            result = transfer.unpacked(answer.get("told"), blobs, self._last)
            if "return" in getattr(function, "__annotations__", {}) and not transfer.matches(
                result, transfer.returned(function)
            ):
                raise transfer.Broken
            return result
        except (transfer.Broken, OSError):
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
        raise transfer.Broken
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
            about, blobs = transfer.received(asked, None)
        except transfer.Broken:
            return
        inputs.LIMIT, inputs.PATIENCE = about["limit"], about["patience"]
        try:
            with inputs.reading(about["name"], about["seconds"]):
                args, kwargs = transfer.unpacked(about["told"], blobs, last, files)
                last = next((arg for arg in args if isinstance(arg, bytes)), b"")
                module, function = about["function"]
                found = trusted(getattr(import_module(module), function))(*args, **kwargs)
                told, blobs = transfer.packed(found, last)
            answer = {"told": told}
        except Exception as error:
            answer, blobs = {"error": _refusal(about["name"], error), "exceeded": isinstance(error, Exceeded)}, []
        transfer.send(answers, answer, blobs)


def _refusal(name: str, error: Exception) -> str:
    """The message of a reader, or one that says which reader failed, with nothing of what a parser says."""
    if type(error) in (ValueError, Exceeded):
        return str(error)
    return f"{name} is damaged: its reader failed ({type(error).__name__}); save the file again"
