"""What comes from outside the lab: opened within bounds, echoed shortened, refused in one sentence.

Nothing heavy is imported here: the command line needs these words before anything else.
"""

import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

SENTENCE = 300
"""The most characters that a refusal has."""

LIMIT = 512 * 2**20
"""The most bytes that a file may have, and that it may unpack to."""

PATIENCE = 60.0
"""The most seconds that reading what belongs together may take."""

_JSON = 32 * 2**20  # bytes
_NESTED = 1_000_000  # lists and objects, each of which takes far more memory than its two characters


class Exceeded(ValueError):
    """Reading takes more time or memory than it may; the text is the sentence."""


class LeftOut(UserWarning):
    """Something from outside can't be used, and the lab goes on without it; the text is the sentence."""


# -- words -------------------------------------------------------------------------------------------------------------


def cut(text: Any, room: int = 80) -> str:
    """A text on one line, without control characters, its middle left out where it is longer than ``room``."""
    text = str(text)
    if len(text) > 4 * room:  # the middle need not be looked at
        text = text[: 2 * room] + text[-2 * room :]
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    if len(text) <= room:
        return text
    tail = (room - 3) // 3
    return f"{text[: room - 3 - tail]}...{text[-tail:]}"


def shown(value: Any, room: int = 60) -> str:
    """A value as a sentence echoes it: a text in quotes, anything else as it prints, the middle left out where it is long."""
    try:
        return cut(repr(value) if isinstance(value, str) else value, room)
    except Exception:  # whole numbers of thousands of digits do not print, nor do all objects
        return f"a {type(value).__name__} that can't be printed"


def listed(names: Iterable[Any], room: int = 120, mark: str = ", ") -> str:
    """Names with commas between (or another ``mark``), as many as there is room for, and how many more there are."""
    every, said = list(names), []
    while len(said) < len(every) and (not said or len(mark.join(said)) + len(str(every[len(said)])) <= room):
        said.append(cut(every[len(said)], 40))
    rest = len(every) - len(said)
    return mark.join(said) + (f" and {rest:,} more" if rest else "")


def why(error: OSError) -> str:
    """What the operating system has to say, without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def sentence(problem: BaseException) -> str:
    """What a face says of a refusal: one line of at most ``SENTENCE`` characters."""
    text = str(problem)
    if isinstance(problem, OSError) and problem.strerror:
        of = f"{cut(problem.filename, 120)}: " if problem.filename is not None else ""
        text = f"{of}{why(problem) if problem.filename is not None else problem.strerror}"
    return cut(text or type(problem).__name__, SENTENCE)


def mebibytes(size: int) -> str:
    """A number of bytes as sentences write it."""
    return f"{size / 2**20:.3g} MiB"


# -- bounds ------------------------------------------------------------------------------------------------------------

_until: ContextVar[tuple[float, str] | None] = ContextVar("until", default=None)


@contextmanager
def reading(name: str, seconds: float | None = None) -> Iterator[None]:
    """What is read inside takes ``seconds`` at most, ``PATIENCE`` when None (every stream and loop of the readers asks
    ``spend``), and is refused with a ValueError of one sentence."""
    outer = _until.get()
    token = _until.set(outer or (time.monotonic() + (PATIENCE if seconds is None else seconds), cut(name)))
    try:
        yield
    except MemoryError:
        raise ValueError(f"{cut(name)} needs more memory than there is: give a smaller file") from None
    except ValueError as refusal:
        if len(str(refusal)) <= SENTENCE and "\n" not in str(refusal):
            raise
        raise ValueError(sentence(refusal)) from None
    finally:
        _until.reset(token)


def spend() -> None:
    """Raise ``Exceeded`` when the time is up."""
    until = _until.get()
    if until is not None and left() < 0:
        raise too_slow(until[1])


def left() -> float:
    """Seconds that are left to ``reading``; ``PATIENCE`` outside of it."""
    until = _until.get()
    return PATIENCE if until is None else until[0] - time.monotonic()


def too_slow(name: str) -> Exceeded:
    """The error of a file that takes longer than ``PATIENCE``."""
    return Exceeded(f"{name} takes longer than {PATIENCE:g} s to read: give a smaller or simpler file")


def fits(name: str, size: int, there: int = 0) -> None:
    """Raise ``Exceeded`` where a file unpacks to more than ``LIMIT`` bytes, beyond those that are ``there``."""
    if size > LIMIT + there:
        raise Exceeded(f"{name} unpacks to {mebibytes(size)}, but at most {mebibytes(LIMIT + there)} are read")


class Stream(BytesIO):
    """Bytes that a decoder reads: as long as ``reading`` allows, and ``LIMIT`` more at most, however often it comes back."""

    def __init__(self, name: str, payload: bytes):
        super().__init__(payload)
        self._name, self._read = name, 0

    def _count(self, size: int) -> None:
        spend()
        self._read += size
        fits(self._name, self._read - len(self.getbuffer()))

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._count(len(piece))
        return piece

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(size)

    def readinto(self, buffer: Any, /) -> int:
        size = super().readinto(buffer)
        self._count(size)
        return size


def opened(path: Path, limit: int | None = None) -> BinaryIO:
    """A regular file of at most ``limit`` bytes (``LIMIT`` when None), open for reading.

    Raises:
        ValueError: no such file, one that can't be read, one that is a folder, a pipe or a device, or too large.
    """
    limit = LIMIT if limit is None else limit
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe is opened without waiting
    try:
        number = os.open(path, flags)
    except OSError as error:
        raise ValueError(f"{cut(path)} cannot be read: {why(error)}") from None
    except ValueError:
        raise ValueError(f"{cut(path)} is no path of a file") from None
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise ValueError(f"{cut(path)} cannot be read: it is {what}")
        if found.st_size > limit:
            size = mebibytes(found.st_size)
            raise ValueError(f"{cut(path.name)} has {size}, but at most {mebibytes(limit)} are read")
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def content(path: Path, limit: int | None = None) -> bytes:
    """The bytes of such a file."""
    limit = LIMIT if limit is None else limit
    with opened(path, limit) as file:
        try:
            payload = file.read(
                limit + 1 if os.fstat(file.fileno()).st_size == 0 else -1
            )  # /proc says 0 of what it has
        except OSError as error:
            raise ValueError(f"{cut(path)} cannot be read: {why(error)}") from None
    if len(payload) > limit:
        raise ValueError(f"{cut(path.name)} has more than the {mebibytes(limit)} that are read")
    return payload


def members(folder: Path, most: int, deep: bool = False) -> list[Path]:
    """What lies in a folder, sorted by name; with ``deep`` the files in its folders too.

    Raises:
        ValueError: it can't be read, holds more than ``most``, or a link in it leads out of it.
    """
    found: list[Path] = []
    waiting, root = [folder], os.path.realpath(folder)
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    spend()
                    if entry.is_symlink() and os.path.commonpath([root, os.path.realpath(entry.path)]) != root:
                        raise ValueError(
                            f"{cut(entry.name)} in {cut(folder.name)} is a link to elsewhere: put the file there"
                        )
                    if deep and entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    found.append(Path(entry.path))
                    if len(found) > most:
                        raise ValueError(
                            f"the folder {cut(folder.name)} holds more than the {most:,} files that are read"
                        )
    except OSError as error:
        raise ValueError(f"{cut(folder)} cannot be read: {why(error)}") from None
    return sorted(found)


def parsed(text: bytes | str) -> Any:
    """What a JSON text says; raises ValueError, ``Exceeded`` where it would take too much memory."""
    nested = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if len(text) > _JSON or nested > _NESTED:
        raise Exceeded(f"its JSON has more than {mebibytes(_JSON)} or {_NESTED:,} parts")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
