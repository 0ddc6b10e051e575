"""Files and folders that are there whole or not at all: every output and every cache of the lab is written here."""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from lab.inputs import cut

from . import processes

_PART = ".lab-"  # the beginning of the name of what is not whole yet
_STALE = 3600.0  # seconds after which the part of a process elsewhere is nobody's
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def write(
    target: str | Path,
    content: bytes | Callable[[Path], object],
    *,
    replaces: Callable[[Path], bool] = Path.is_file,
    durable: bool = True,
) -> None:
    """Make a file or a folder beside its place, and put it there: a process killed at any moment leaves the old or the new.

    A link stays, and what it points to is replaced. The new one has the mode of the old one, else that of the umask. What
    killed processes left half-written in the folder goes.

    Args:
        content: the bytes of a file, or a function that writes a file or a folder at the path it is given.
        replaces: whether what is there may go; what is empty may. By default any file, but no folder.
        durable: forced to the disk, so that a power cut spares the old or the new too; not for what can be made again.

    Raises:
        Unwritten: an OSError with the ``errno`` of its cause; what was there is there still.
    """
    place = check(target, replaces)
    part = place.with_name(f"{_PART}{processes.me()}-{uuid4().hex}")
    try:
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            content(part)
        _clear(place.parent, part.stat().st_mtime)
        if durable:
            _force(part)
        with suppress(FileNotFoundError):
            _liken(part, place.stat())
        _put(part, place)
        if durable:
            with suppress(OSError):  # not every file system can, and the file is there
                _sync(place.parent)
    except OSError as problem:
        raise Unwritten(target, _reason(problem), problem.errno) from problem
    finally:
        _remove(part)


def check(target: str | Path, replaces: Callable[[Path], bool] = Path.is_file) -> Path:
    """Where ``write`` would put it, links followed; raises what it would, before anything is made."""
    place = Path(os.path.realpath(Path(target).expanduser()))
    try:
        found = place.lstat()
    except FileNotFoundError:
        found = None
    except OSError as problem:
        raise Unwritten(target, _reason(problem), problem.errno) from problem
    if place.parent.is_dir() and not writable(place.parent):
        raise Unwritten(target, f"the folder {place.parent} is not yours to write to", errno.EACCES)
    if found is None:
        return place
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise Unwritten(target, "it is a pipe, a device or a broken link; give the name of a file", errno.EEXIST)
    if not writable(place):
        raise Unwritten(target, "it is there and protected from writing; give another name", errno.EACCES)
    what, full = ("folder", any(place.iterdir())) if stat.S_ISDIR(found.st_mode) else ("file", found.st_size)
    if full and not replaces(place):
        advice = "give another name, or remove it yourself"
        raise Unwritten(target, f"a {what} of that name is there which is no result of the lab; {advice}", errno.EEXIST)
    return place


def writable(path: Path) -> bool:
    """Whether this process may write to a file, or into a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


class Unwritten(OSError):
    """One sentence; ``why`` is its reason alone."""

    def __init__(self, target: str | Path, why: str, code: int | None):
        advice = "; free space there, or write elsewhere" if code in (errno.ENOSPC, errno.EDQUOT) else ""
        super().__init__(f"{cut(target)} can't be written: {cut(why, 160)}{advice}")
        self.errno, self.why = code, why


def _reason(problem: OSError) -> str:
    """Of the system, not the page that HDF5 makes of it."""
    return os.strerror(problem.errno) if problem.errno else str(problem)


def _put(part: Path, place: Path) -> None:
    """Give ``part`` the name ``place``; afterwards ``part`` is nothing, or the earlier folder."""
    if not part.is_dir():
        os.replace(part, place)
        return
    try:
        os.rename(part, place)  # where nothing is, or an empty folder
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _exchange(part, place)


def _exchange(part: Path, place: Path) -> None:
    """Swap the names of two folders at once, so that ``place`` is never absent."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if swap and swap(_AT_FDCWD, os.fsencode(part), _AT_FDCWD, os.fsencode(place), _RENAME_EXCHANGE) == 0:
        return
    # no such system, or a file system that can't: a kill between these two leaves the earlier one under a name to be seen
    earlier = place.with_name(f"earlier-{uuid4().hex[:8]}-{place.name}")
    os.rename(place, earlier)
    try:
        os.rename(part, place)
    except OSError:
        os.rename(earlier, place)
        raise
    os.rename(earlier, part)


def _liken(part: Path, old: os.stat_result) -> None:
    with suppress(OSError, AttributeError):  # only root gives files away
        os.chown(part, old.st_uid, old.st_gid)
    part.chmod(old.st_mode & 0o777)


def _force(part: Path) -> None:
    for folder, _, names in os.walk(part, topdown=False):
        for name in names:
            _sync(Path(folder, name))
        with suppress(OSError):
            _sync(Path(folder))
    if part.is_file():
        _sync(part)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _clear(folder: Path, now: float) -> None:
    """Delete the parts of processes that are gone; ``now`` by the clock of the file system, which other hosts share."""
    with os.scandir(folder) as entries:
        parts = [Path(entry.path) for entry in entries if entry.name.startswith(_PART)]
    for part in parts:
        with suppress(OSError, ValueError):
            here = processes.lives(part.name.removeprefix(_PART).rpartition("-")[0])
            if not (now - part.lstat().st_mtime < _STALE if here is None else here):
                _remove(part)


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
