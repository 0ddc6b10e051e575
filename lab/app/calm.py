"""Whether anybody waits for this machine: what may as well be done later asks first."""

import time
from math import inf

from .runner import compiles, quiet_for

_opened = -inf  # when a page was, last


def page_opened() -> None:
    """A page is being made."""
    global _opened
    _opened = time.monotonic()


def opening(seconds: float) -> bool:
    """A page was opened within so many."""
    return time.monotonic() - _opened <= seconds


def hurried(opened: float) -> bool:
    """A page was opened within so many seconds, or somebody waits for what is compiled."""
    return opening(opened) or compiles()


def calm(quiet: float, opened: float) -> bool:
    """Nothing is under way, no run has been for so many seconds, and no page was opened within so many."""
    return quiet_for(quiet) and not opening(opened)
