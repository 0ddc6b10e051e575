"""Which process is which, and whether it still lives: what it claimed or left half-written must not outlive it."""

import os
import platform
import time
from functools import cache
from hashlib import sha256
from pathlib import Path

BEAT = 10.0  # seconds between two signs of life
_OUTERMOST = 0xEFFFFFFC  # inode of the namespace of process ids outside of all containers, in Linux
_SILENCE = 60.0  # seconds without one after which a process elsewhere counts as dead


def me() -> str:
    """This process, as ``host-pid-birth``: a pid alone is given out again."""
    return f"{_host()}-{os.getpid()}-{_birth(os.getpid())}"


def lives(process: str) -> bool | None:
    """Whether that process of this host lives; None of another host's, where there is no way to see.

    Raises:
        ValueError: that is no name of a process.
    """
    host, pid, birth = process.split("-")
    here = _birth(int(pid)) if host == _host() else None
    return None if here is None else here == birth


class Watch:
    """Whether processes live: of this host at once, elsewhere by their beats, as this watch saw them change.

    Only its own clock counts, and one that nobody sets: that of a host that died may have been ahead by years.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}  # owner -> its last beat, and when that was first seen

    def alive(self, owner: str, process: str, beat: float) -> bool:
        """Whether ``owner``, of that process, lives."""
        here = lives(process)
        if here is not None:
            return here
        now = time.monotonic()
        known, since = self._seen.get(owner, (None, now))
        if known != beat:
            since = now
        self._seen[owner] = beat, since
        return now - since < _SILENCE


@cache
def _host() -> str:
    """This host. A container has process ids of its own and an id from its image, so it counts as a host until it ends."""
    try:
        inside = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        inside = 0
    machine = _text("/etc/machine-id") if inside == _OUTERMOST else ""
    machine = machine or _text("/proc/sys/kernel/random/boot_id")
    return sha256(f"{platform.node()} {machine} {inside}".encode()).hexdigest()[:12]


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _birth(pid: int) -> str | None:
    """When that process began, in the kernel's ticks; "" when it is gone; None where there is no way to know."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if _hidden(pid) else ""
    return "" if after_name[0] in "ZX" else after_name[19]  # a zombie is dead, only not yet buried


def _hidden(pid: int) -> bool:
    """Whether another user's process of that id exists: a system may hide them in ``/proc`` (``hidepid``)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False
