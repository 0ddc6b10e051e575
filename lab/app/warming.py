"""Programs are compiled before anybody waits for them: in a process of their own, behind everything else on the machine.

It runs the default of each study, and what it compiles is kept ready to run, so that the server reads it. The study that is
opened is taken up with the next program, and what it was at waits. It is halted while a page is opened or compiles, which it
would slow even from behind, and ends with the server, whatever ends that.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

COMMAND = """
import ctypes, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # to end with who began it, also where it is halted and that one is killed
from lab.app.warming import main
main(sys.argv[1:])
"""
_MOST = 1 << 29  # bytes that it keeps between two studies
_process: subprocess.Popen | None = None
_halted = False


class _Aside(BaseException):
    """Another study is opened. Not an Exception, which what compiles may take for a program that can't be read."""


def begin(slugs: Iterable[str]) -> None:
    """Start it, for these studies in this order; a process has one."""
    global _process, _halted
    if _process is None or _process.poll() is not None:
        command = [sys.executable, "-P", "-c", COMMAND, *slugs]  # -P: nothing is imported from the current folder
        _process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        _halted = False
        atexit.register(_process.kill)  # one that is halted would not see that its input is closed


def give_way(halt: bool) -> None:
    """Halt it while something else needs the machine, or let it go on; nothing where the system can't."""
    global _halted
    if _process is not None and halt != _halted and hasattr(signal, "SIGSTOP"):
        with suppress(OSError):
            _process.send_signal(signal.SIGSTOP if halt else signal.SIGCONT)
            _halted = halt


def first(slug: str) -> None:
    """This study is opened: if it waits, it goes before all others, and before the one that is under way."""
    if _process is not None and _process.stdin is not None:
        with suppress(OSError, ValueError):  # it is through, and gone
            print(slug, file=_process.stdin, flush=True)


def main(slugs: Iterable[str]) -> None:
    """What that process does."""
    with suppress(AttributeError, OSError):
        os.nice(19)
    waiting, opened = deque(slugs), threading.Event()
    threading.Thread(target=_listen, args=(waiting, opened), daemon=True).start()
    import jax

    from lab.home import start

    start(ready=True)
    jax.monitoring.register_event_listener(lambda event, **_: _look(event, opened))
    while waiting:
        _take(waiting, opened)


def _take(waiting: deque[str], opened: threading.Event) -> None:
    """Run the default of the first that waits; put it behind the one that is opened meanwhile."""
    from lab import memory, studies

    from . import kept

    slug = waiting.popleft()
    opened.clear()  # after it, or what was opened a moment ago would be put behind the next
    try:
        study, warm = studies.find(slug)(), None
        kept.identity(type(study))  # kept too: to read the sources takes a while
        for _ in range(2):  # what one moves starts from the run before, by programs of its own
            warm = study.execute(warm=warm).warm
            if warm is None:
                break
    except _Aside:
        waiting.insert(1, slug)
    except Exception as refusal:  # of anybody's study; the others are still to be compiled
        print(f"the default of {slug} can't be run: {refusal}", file=sys.stderr)
    memory.release(_MOST)


def _look(event: str, opened: threading.Event) -> None:
    """Before a program is compiled: whether another study is opened."""
    if opened.is_set() and event.endswith("compile_requests_use_cache"):
        raise _Aside


def _listen(waiting: deque[str], opened: threading.Event) -> None:
    for line in sys.stdin:
        slug = line.strip()
        with suppress(ValueError):
            waiting.remove(slug)
            waiting.appendleft(slug)
            opened.set()
    os._exit(0)  # the server is gone
