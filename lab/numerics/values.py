"""Parameters by name as a pytree: the numbers that are traced are its leaves, the rest is compiled in."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax


@jax.tree_util.register_pytree_with_keys_class
class Values:
    """Parameters by attribute, ``p.gamma``.

    Given to a compiled function as it is, its numbers are traced, so that another value of one compiles nothing, while another
    value of the rest (a size, a word) is another program. ``only`` keeps a program from depending on what it does not read.

    Args:
        numbers: what is traced: numbers, arrays, tracers.
        rest: what is compiled in: hashable values.
        read: where the names that were read are noted, of all those that a compiled function was given too.
    """

    __slots__ = ("_numbers", "_read", "_rest")

    def __init__(self, numbers: Mapping[str, Any], rest: Mapping[str, Any], read: set[str] | None = None):
        self._numbers, self._rest, self._read = dict(numbers), dict(rest), read

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # before it is made, as one that travels between processes
            raise AttributeError(name)
        for values in (self._numbers, self._rest):
            if name in values:
                if self._read is not None:
                    self._read.add(name)
                return values[name]
        raise AttributeError(f"there is no parameter {name}; there are {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        return iter((*self._numbers, *self._rest))

    def only(self, *names: str) -> "Values":
        """These alone."""
        for name in names:
            getattr(self, name)
        return Values(
            {name: value for name, value in self._numbers.items() if name in names},
            {name: value for name, value in self._rest.items() if name in names},
        )

    def but(self, **values: Any) -> "Values":
        """A copy with other values; each stays traced, or not, as it is."""
        unknown = set(values) - set(self)
        if unknown:
            raise AttributeError(f"there is no parameter {', '.join(unknown)}; there are {', '.join(self)}")
        numbers, rest = (
            {name: values.get(name, value) for name, value in of.items()} for of in (self._numbers, self._rest)
        )
        return Values(numbers, rest, self._read)

    def watched(self, read: set[str]) -> "Values":
        """A copy that notes what is read of it."""
        return Values(self._numbers, self._rest, read)

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in (self._numbers | self._rest).items())
        return f"Values({told})"

    def tree_flatten_with_keys(self) -> tuple[tuple, tuple]:
        if self._read is not None:
            self._read.update(self)
        keyed = tuple((jax.tree_util.GetAttrKey(name), value) for name, value in self._numbers.items())
        return keyed, (tuple(self._numbers), tuple(self._rest.items()))

    @classmethod
    def tree_unflatten(cls, said: tuple, numbers: Any) -> "Values":
        names, rest = said
        return cls(dict(zip(names, numbers, strict=True)), dict(rest))
