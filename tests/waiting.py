"""Waiting for a condition on state, however slow the machine is."""

import time
from collections.abc import Callable
from typing import Any

LIMIT = 600.0  # seconds: this ends a test that would never pass


def wait(condition: Callable[[], Any], pause: Callable[[], Any] = lambda: time.sleep(0.02), wrong: Any = ()) -> Any:
    """Return the first true value of a condition; ``pause`` runs between evaluations, ``wrong`` is shown at a failure."""
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end, f"a condition never became true; wrong: {wrong}"
        pause()
    return found


def animation_frames(page: Any) -> None:
    """Let a browser draw: until its second animation frame from now."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def steady[T](page: Any, read: Callable[[], T]) -> T:
    """What is read of a page twice in a row, while it draws in between."""
    found = [read()]

    def again() -> bool:
        found.append(read())
        return found[-1] == found[-2]

    wait(again, lambda: animation_frames(page))
    return found[-1]
