"""Programs are compiled before anybody waits for them: in a process of their own, behind everything else on the machine.

It runs the default of each study, the one that is opened first, and what it compiles is kept in JAX's cache, so
that the server reads it. It ends with the server, whatever ends that.
"""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

COMMAND = "import sys; from lab.app.warming import main; main(sys.argv[1:])"
_MOST = 1 << 29  # bytes that it keeps between two studies
_process: subprocess.Popen | None = None


def begin(slugs: Iterable[str]) -> None:
    """Start it, for these studies in this order; a process has one."""
    global _process
    if _process is None or _process.poll() is not None:
        command = [sys.executable, "-c", COMMAND, *slugs]
        _process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def first(slug: str) -> None:
    """This study is opened: if it waits, it is next."""
    if _process is not None and _process.stdin is not None:
        with suppress(OSError, ValueError):  # it is through, and gone
            print(slug, file=_process.stdin, flush=True)


def main(slugs: Iterable[str]) -> None:
    """What that process does."""
    with suppress(AttributeError, OSError):
        os.nice(19)
    waiting = deque(slugs)
    threading.Thread(target=_listen, args=(waiting,), daemon=True).start()
    from lab import memory, studies
    from lab.home import start

    start(ready=True)
    while waiting:
        slug = waiting.popleft()
        try:
            study, warm = studies.find(slug)(), None
            for _ in range(2):  # what one moves starts from the run before, by programs of its own
                warm = study.execute(warm=warm).warm
                if warm is None:
                    break
        except Exception as refusal:  # of anybody's study; the others are still to be compiled
            print(f"the default of {slug} can't be run: {refusal}", file=sys.stderr)
        memory.release(_MOST)


def _listen(waiting: deque[str]) -> None:
    for line in sys.stdin:
        slug = line.strip()
        with suppress(ValueError):
            waiting.remove(slug)
            waiting.appendleft(slug)
    os._exit(0)  # the server is gone
