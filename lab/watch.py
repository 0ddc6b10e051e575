"""Who waits for a computation is told how far it is, and ends it: by Ctrl-C, or the stop button of a notebook's kernel."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.numerics import Report

_PATIENCE = 0.5  # seconds; of what is over sooner nothing is told

type Tell = Callable[[int, int, str], bool]
"""How much of how much is done, and what else there is to say; whether to stop."""


def in_notebook() -> bool:
    """Whether this is the main thread of a notebook's kernel: that of its cells, where pages compute in others."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None and threading.current_thread() is threading.main_thread()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or the stop button was pressed; the second press ends the block at once. For the main thread."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(title: str, unit: str, done: int = 0) -> Iterator[Tell]:
    """A bar in a cell, with the time that has passed and that is left. It is text: a notebook that was saved still has it."""
    from tqdm import tqdm

    stopped = False
    # not stderr, which a notebook shows as an error
    with (
        interruptible() as asked,
        tqdm(initial=done, desc=title, unit=f" {unit}", delay=_PATIENCE, file=sys.stdout) as drawn,
    ):

        def tell(done: int, total: int, more: str = "") -> bool:
            nonlocal stopped
            drawn.total = total
            drawn.set_postfix_str(more, refresh=more != (drawn.postfix or ""))  # a wait is told while nothing moves
            drawn.update(done - drawn.n)
            stopped = asked()
            return stopped

        yield tell
        if not stopped:
            drawn.total = drawn.n  # a limit that was not needed
    if stopped:
        print("Stopped: this is what there is so far, and the result says so.")


@contextmanager
def reporting(title: str, unit: str, report: Report | None) -> Iterator[Report | None]:
    """``report``; in a cell that gives none, one that draws a bar and heeds the stop button."""
    if report is not None or not in_notebook():
        yield report
        return
    with bar(title, unit) as tell:
        yield lambda progress: tell(
            progress.iteration, progress.max_iterations, f"part {progress.part}" if progress.part > 1 else ""
        )
