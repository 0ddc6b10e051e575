"""Turns in front of one resource: one job at a time, the more urgent first, visitors in turn."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any


class GiveWay(BaseException):
    """A more urgent job waits: the present one is to end, and to wait for another turn."""


class Abandoned(BaseException):
    """The work is no longer wanted. Not an ``Exception``, so that no study takes it for an error of its own."""


@dataclass(eq=False)
class Turn:
    """A job that waits or is under way.

    Attributes:
        priority: the smaller goes first.
        owner: the runner of the job, of which few jobs are under way at a time.
        programs: what the job compiles before its first report, None where that has been compiled.
        visitor: for whom the job is.
        since: when the turn was given, or the last report came.
    """

    priority: int = 0
    owner: Any = None
    programs: Any = None
    arrival: int = 0
    since: float = 0.0
    visitor: str = ""

    @property
    def run(self) -> bool:
        return self.priority <= 0


class Line:
    """Gives out one turn, in the order of (priority, visitor served longest ago, arrival)."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[Turn] = []
        self._has: Turn | None = None
        self._arrivals, self._turns = count(), count(1)
        self._served: dict[str, int] = {}

    def enter(self, turn: Turn, wanted: Callable[[], bool], waits: Callable[[int], None] = lambda place: None) -> None:
        """Wait for the turn; raises ``Abandoned`` when ``wanted`` turns false meanwhile.

        Args:
            waits: called with the number of jobs that go first, one that is under way included, whenever that changes.
        """
        with self._condition:
            turn.arrival, place = next(self._arrivals), 0
            self._waiting.append(turn)
            try:
                while self._has is not None or self._order()[0] is not turn:
                    if not wanted():
                        raise Abandoned
                    now = self._order().index(turn) + (self._has is not None)
                    if now != place:
                        place = now
                        waits(place)
                    self._condition.wait(0.1)  # to ask again whether it is wanted
                self._has = turn
                self._served[turn.visitor] = next(self._turns)
            finally:
                self._waiting.remove(turn)
                self._condition.notify_all()

    def leave(self, turn: Turn) -> None:
        """Give the turn back; a second time changes nothing."""
        with self._condition:
            if self._has is turn:
                self._has = None
                self._condition.notify_all()

    def offer(self, turn: Turn, wanted: Callable[[], bool]) -> None:
        """Raise ``GiveWay`` where a more urgent job waits, ``Abandoned`` where the present one is no longer wanted."""
        if not wanted():
            raise Abandoned
        with self._condition:
            if any(each.priority < turn.priority for each in self._waiting):
                raise GiveWay

    def _order(self) -> list[Turn]:
        return sorted(self._waiting, key=lambda each: (each.priority, self._served.get(each.visitor, 0), each.arrival))
