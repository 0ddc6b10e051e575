"""Memory that this process holds and no longer needs."""

import ctypes
import gc
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any
from weakref import WeakSet

_LEFT = 0.7  # of the pieces of memory that a process may have, after programs were given up
_LEAN = 1_500_000_000  # bytes
_SHARE = 16  # things that are given up between two looks at how much is held


def resident() -> int:
    """Bytes in memory; 0 where the system does not tell."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def machine() -> int:
    """Bytes of this machine, or of the container; 0 where the system does not tell."""
    with suppress(OSError, ValueError, AttributeError):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with suppress(OSError, ValueError):  # "max" where there is no bound
            whole = min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
        return whole
    return 0


def budget() -> int:
    """Bytes that what can be made again may take: a quarter of the machine, and 4 GiB where it does not tell."""
    return machine() // 4 or 4 * 2**30


def served() -> int:
    """Bytes that a server keeps to where nobody says otherwise: 1.5 GB, which do for all pages, and no more than the budget."""
    return min(budget(), _LEAN)


class Recent[Value]:
    """Values by key that can be made again, from several threads: ``release`` gives up what was not used for longest.

    >>> known = Recent()
    >>> known.put("a", 1), known.put("b", 2), known.get("a")
    (None, None, 1)
    >>> known.forget()
    >>> known.get("b"), len(known)
    (None, 1)

    Args:
        most: values that are kept; any number when omitted.
        compiled: the values are programs, which go when JAX's own go.
        drop: called with each value that is given up.
    """

    def __init__(
        self, most: int | None = None, compiled: bool = False, drop: Callable[[Value], object] = lambda value: None
    ) -> None:
        self.most, self.compiled, self._drop = most, compiled, drop
        self._values: OrderedDict[Hashable, tuple[Value, float]] = OrderedDict()  # the least recently used first
        self._lock = threading.Lock()
        _all.add(self)

    def get(self, key: Hashable) -> Value | None:
        """The value, which is used by this, or None."""
        with self._lock:
            if key not in self._values:
                return None
            value, _ = self._values[key]
            self._use(key, value)
            return value

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, in place of the one before."""
        with self._lock:
            self._use(key, value)

    def oldest(self) -> float:
        """When that value was used that was not for longest; infinite where there is none."""
        with self._lock:
            return next((used for _, used in self._values.values()), inf)

    def forget(self) -> None:
        """Give up that value."""
        with self._lock:
            if self._values:
                self._drop(self._values.popitem(last=False)[1][0])

    def clear(self) -> None:
        """Give up all."""
        with self._lock:
            self._values.clear()

    def values(self) -> list[Value]:
        """All, used or not."""
        with self._lock:
            return [value for value, _ in self._values.values()]

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def _use(self, key: Hashable, value: Value) -> None:
        self._values[key] = value, time.monotonic()
        self._values.move_to_end(key)
        if self.most is not None and len(self._values) > self.most:
            self._drop(self._values.popitem(last=False)[1][0])


_all: WeakSet[Recent[Any]] = WeakSet()


def release(most: int) -> int:
    """Give back what is free; where more than ``most`` bytes stay, compiled programs, and if that is not enough what else can
    be made again, the least recently used first.

    Returns what stays. Compiling takes some 100 MiB for each new size of a problem, and half of it the C library keeps when it
    is over. Programs are read from the disk when they are needed again.
    """
    collect()
    while resident() > most and shed():
        pass
    if resident() > most:
        _clear_programs()
        collect()
    while resident() > most and _forgotten(_SHARE):
        collect()
    return resident()


def shed(idle: float = 0.0) -> bool:
    """Give up the quarter of the compiled programs that was not used for longest, and of it what was not for so many seconds;
    and give back what is free.

    It looks through nothing, so that it may be done while pages are used. Returns whether any program went.
    """
    programs, before, count = [each for each in _all if each.compiled], time.monotonic() - idle, 0
    for _ in range(-(-sum(map(len, programs)) // 4)):
        if min(map(Recent.oldest, programs)) > before:
            break
        count += _forgotten(1, programs)
    _trim()
    return count > 0


def maps() -> int:
    """Pieces of memory that this process has; 0 where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    return 0


def make_room(most: int = 40_000, left: float = _LEFT) -> None:
    """Give up compiled programs where this process has more than so many pieces of memory.

    Each program has some two hundred, and a process with 65,530 is ended by Linux, in the middle of compiling another one.
    Those go that were not used for longest, so that what is in use is not compiled anew; all where that is not enough.

    Args:
        most: pieces from which on there are too many.
        left: share of them that may stay; 0 gives up all programs at once, which takes less time.
    """
    if maps() <= most:
        return
    programs = [each for each in _all if each.compiled]
    while left and maps() > most * left and (many := sum(map(len, programs))):
        _forgotten(max(1, many // 4), programs)
    if maps() > most:
        _clear_programs()


def _clear_programs() -> None:
    import jax

    for each in list(_all):
        if each.compiled:
            each.clear()
    jax.clear_caches()


def _forgotten(share: int, among: Sequence[Recent[Any]] = ()) -> int:
    """So many of the things that were not used for longest are given up; how many there were."""
    for count in range(share):
        which = min(among or list(_all), key=Recent.oldest, default=None)
        if which is None or which.oldest() == inf:
            return count
        which.forget()
    return share


def collect() -> None:
    """Look through all objects, frozen ones too, and give back what is free."""
    gc.unfreeze()
    gc.collect()
    _trim()


def _trim() -> None:
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
