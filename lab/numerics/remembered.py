"""What was computed and may be asked for again: kept by the content that it depends on, up to a bound.

Where memory is scarce ``lab.memory.release`` gives it up before.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
from jax.core import Tracer

from lab import memory


class _Kept(NamedTuple):
    value: Any
    bytes: int


class _Making:
    """A key that is being computed, and how many threads compute it or wait for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.threads = 0


class Remembered:
    """Values by key, at most ``bytes`` of arrays; what was asked for least recently goes first.

    The key says everything that the value depends on, as content: a digest of the data, numbers, names; never an object
    that may change. It is safe to use from several threads: those that ask for one key compute it once, those that ask for
    different ones don't wait for each other.

    >>> squares = Remembered(bytes=1000)
    >>> squares.get(3, lambda: 9), squares.get(3, lambda: print("not again"))
    (9, 9)

    Args:
        bytes: of all arrays in the values, host or device. A value that alone is larger is not kept.
    """

    def __init__(self, bytes: int):
        if bytes < 0:
            raise ValueError(f"bytes is {bytes}, but what is remembered can't take less than 0")
        self.bytes = bytes
        self._lock = threading.Lock()
        self._kept: memory.Recent[_Kept] = memory.Recent()
        self._making: dict[Hashable, _Making] = {}

    def get[T](self, key: Hashable, make: Callable[[], T], worth: Callable[[T], Any] | None = None) -> T:
        """``make()``, or what it gave for this key before.

        Args:
            key: what the value depends on.
            make: computes it. Where it raises, nothing is kept, and whoever waits for this key computes it itself.
            worth: whether a value is to be kept; by default each is. One that was stopped half-way is not worth it.
        """
        if (kept := self._kept.get(key)) is not None:
            return kept.value
        with self._lock:
            making = self._making.setdefault(key, _Making())
            making.threads += 1
        try:
            with making.lock:
                if (kept := self._kept.get(key)) is not None:  # by the thread that this one waited for
                    return kept.value
                value = make()
                if worth is None or worth(value):
                    self._keep(key, value)
                return value
        finally:
            with self._lock:
                making.threads -= 1
                if not making.threads:
                    self._making.pop(key, None)

    def within(self, source: Hashable, *arguments: Any) -> Callable[..., Any]:
        """``get`` for keys that belong to a source; where an argument holds a traced number, nothing is kept."""
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)):
            return anew
        return lambda key, make, worth=None: self.get((source, key), make, worth)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    @property
    def used(self) -> int:
        """Bytes of what is kept."""
        return sum(kept.bytes for kept in self._kept.values())

    def _keep(self, key: Hashable, value: Any) -> None:
        leaves = jax.tree.leaves(value)
        size = sum(getattr(leaf, "nbytes", 0) for leaf in leaves if not isinstance(leaf, Tracer))
        if size > self.bytes or any(isinstance(leaf, Tracer) for leaf in leaves):  # a tracer means nothing later
            return
        with self._lock:
            self._kept.put(key, _Kept(value, size))
            while self.used > self.bytes:
                self._kept.forget()


def anew[T](key: Hashable, make: Callable[[], T], worth: Any = None) -> T:
    """``make()``: what ``Remembered.get`` is where nothing is kept."""
    return make()
