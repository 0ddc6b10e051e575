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

_PART = ".lab-"  # the name of the folder of an unfinished write begins with it
_CONTENT, _MARKER = "content", "unfinished-write-of-transport-lab"  # the only items of such a folder
_OTHERS_WRITE = 0o022  # of a mode
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def write(
    target: str | Path,
    content: bytes | Callable[[Path], object],
    *,
    replaces: Callable[[Path], bool] = Path.is_file,
    durable: bool = True,
) -> None:
    """Make a file or a folder beside its place, and put it there: a process killed at any moment leaves the old or the new.

    A link stays, and what it points to is replaced. The new one has the mode of the old one, else that of the umask.

    The content is made in a folder of its own beside the place, next to a marker that names this folder and this process.
    The next write deletes the folders that processes of this user and this host left when they were killed, and no other
    item: one without a valid marker, of another user or host, or of a running process stays.

    Args:
        content: the bytes of a file, or a function that writes a file or a folder at the path it is given.
        replaces: whether what is there may go; what is empty may. By default any file, but no folder.
        durable: forced to the disk, so that a power cut spares the old or the new too; not for what can be made again.

    Raises:
        Unwritten: an OSError with the ``errno`` of its cause; what was there is there still.
    """
    place = check(target, replaces)
    holder = place.with_name(f"{_PART}{processes.me()}-{uuid4().hex}")
    part = holder / _CONTENT
    try:
        holder.mkdir(0o700)
        (holder / _MARKER).write_bytes(_mark(holder.name, holder.stat()))
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            content(part)
        _clear(place.parent)
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
        _remove(holder / _MARKER)
        with suppress(OSError):
            holder.rmdir()


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


def _mark(name: str, folder: os.stat_result) -> bytes:
    """The marker of a folder: a copy of the folder has another inode, and a renamed one another name."""
    return f"{_MARKER}\n{name}\n{folder.st_ino}\n".encode()


def _clear(folder: Path) -> None:
    """Delete what killed processes of this user and this host left."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_PART)]
    for name in names:
        with suppress(OSError, ValueError):
            if processes.lives(name.removeprefix(_PART).rpartition("-")[0]) is False:  # None of another host's
                _remove_left(folder / name)


def _remove_left(holder: Path) -> None:
    """Delete the folder of an unfinished write, if its marker is valid; nothing where it holds any other item.

    Everything is done from the opened folder, so that a link put in its place meanwhile leads nowhere.
    """
    opened = os.open(holder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        names = {*os.listdir(opened)}
        if names and not (names <= {_MARKER, _CONTENT} and _marked(opened, holder.name, _CONTENT in names)):
            return
        if _CONTENT in names:
            if stat.S_ISDIR(os.stat(_CONTENT, dir_fd=opened, follow_symlinks=False).st_mode):
                shutil.rmtree(_CONTENT, dir_fd=opened)
            else:
                os.unlink(_CONTENT, dir_fd=opened)
        if names:
            os.unlink(_MARKER, dir_fd=opened)
    finally:
        os.close(opened)
    holder.rmdir()


def _marked(folder: int, name: str, full: bool) -> bool:
    """Whether an opened folder and its marker are this user's alone, and the marker that of the folder.

    Args:
        full: the folder has content. Without content the marker may be empty: its process was killed before it wrote one.
    """
    marker = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(marker, "rb") as file:
        found = os.fstat(folder), os.fstat(marker)
        if any(each.st_uid != os.geteuid() or each.st_mode & _OTHERS_WRITE for each in found):
            return False
        if not stat.S_ISREG(found[1].st_mode):
            return False
        wanted = _mark(name, found[0])
        told = file.read(len(wanted) + 1)
    return told == wanted or not (told or full)


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
