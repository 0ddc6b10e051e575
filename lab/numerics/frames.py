"""A training that is looked at on the way: run in parts, each going on where the last one ended."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from jax.core import Tracer

from lab.numerics.iterate import Chunked, Loop, Progress

FRAMES = 17
"""How often a training is looked at, at most."""


def places(steps: int, frames: int = FRAMES) -> np.ndarray:
    """The steps after which a training is looked at, 0 and the last among them."""
    return np.unique(np.linspace(0, steps, frames).round().astype(int))


class Followed(NamedTuple):
    """A training, and what was seen of it."""

    last: Any  # what ``learn`` returned at the end
    seen: list[Any]  # of what was given first, and of each part
    parts: list[Any]  # what ``learn`` returned, of each part


def followed(
    loop: Loop,
    learn: Callable[..., Any],
    look: Callable[[Any], Any],
    first: Any,
    steps: int,
    frames: int = FRAMES,
) -> Followed:
    """Learn, and look at ``places(steps)``. The training is the uninterrupted one.

    Args:
        loop: ``pure`` or a ``Chunked``.
        learn: takes ``steps``, ``loop`` and ``state``, and returns what has a ``state`` with a ``step`` to go on from.
        look: at what ``learn`` returns.
        first: what is seen before it began.
    """
    seen, parts, state = [first], [], None
    for before, last in itertools.pairwise(places(steps, frames)):

        def part(
            method: Any, problem: Any, state: Any = None, *, max_iterations: int, most: int = int(last - before)
        ) -> Any:
            return loop(method, problem, state, max_iterations=min(most, max_iterations))

        with _telling(loop, int(before), steps):
            found = learn(steps=steps, loop=part, state=state)
        state = found.state
        parts.append(found)
        seen.append(look(found))
        if not isinstance(state.step, Tracer) and int(state.step) < last:  # stopped, or no longer finite
            break
    return Followed(parts[-1], seen, parts)


@contextmanager
def _telling(loop: Loop, before: int, steps: int) -> Iterator[None]:
    """A block in which a loop that reports tells how far the whole training is, and not its part."""
    report = getattr(loop, "report", None)
    if not isinstance(loop, Chunked) or report is None:
        yield
        return

    def whole(progress: Progress) -> Any:
        done = before + progress.iteration
        pace = progress.seconds / progress.iteration if progress.iteration else 0.0
        return report(progress._replace(iteration=done, max_iterations=steps, seconds=pace * done))

    loop.report = whole
    try:
        yield
    finally:
        loop.report = report
