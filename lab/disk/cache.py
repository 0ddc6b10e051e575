"""What can be made again but takes a while: a file with a hash of its name and content at its end, so that nothing spoilt
and nothing of another name is ever taken.

The hash is no signature: who may write into the folder may write anything there.
"""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from .whole import write as _write

_HASH = 32  # bytes
_OTHERS_WRITE = 0o022  # of a mode


def read(path: Path) -> bytes | None:
    """The content of a kept file, None where there is none or it is not as it was written."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    content, found = kept[:-_HASH], kept[-_HASH:]
    return content if _hash(path, content) == found else None


def write(path: Path, content: bytes) -> None:
    """Keep it; a folder that can't be written to costs only the time to make the thing again."""

    def make(part: Path) -> None:
        part.write_bytes(content + _hash(path, content))
        close(part)  # whatever the umask is

    close(path)  # the new file has the mode of the old one
    with suppress(OSError):
        _write(path, make, durable=False)


def trim(folder: Path, bytes: int, endings: tuple[str, ...]) -> None:
    """Delete the oldest files whose names have one of these endings, until they take at most so many bytes."""
    found = []
    with suppress(OSError):  # another process may trim it too
        for each in os.scandir(folder):
            if each.name.endswith(endings) and each.is_file(follow_symlinks=False):
                stat = each.stat(follow_symlinks=False)
                found.append((stat.st_mtime, stat.st_size, each.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= bytes:
            return
        with suppress(OSError):
            os.unlink(path)
        total -= size


def own(path: Path) -> bool:
    """Whether a file, its folder and the folder above belong to this user or to root, and nobody else may write to them.

    Where a system has no such users, yes.
    """
    if not hasattr(os, "geteuid"):
        return True
    try:
        found = path.stat(), path.parent.stat(), path.parent.parent.stat()
    except OSError:
        return False
    return all(each.st_uid in (os.geteuid(), 0) and not each.st_mode & _OTHERS_WRITE for each in found)


def close(path: Path) -> None:
    """Take from all other users the right to write to a file or folder of this user."""
    with suppress(OSError, AttributeError):
        found = path.stat()
        if found.st_mode & _OTHERS_WRITE and found.st_uid == os.geteuid():
            path.chmod(found.st_mode & 0o777 & ~_OTHERS_WRITE)


def _hash(path: Path, content: bytes) -> bytes:
    return sha256(path.name.encode() + b"\0" + content).digest()
