"""Which process is which, and whether it still lives: what it claimed or left half-written must not outlive it."""

import os
import platform
import time
from hashlib import sha256
from pathlib import Path

BEAT = 10.0  # seconds between two signs of life
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


def _host() -> str:
    """This machine; a container has pids of its own, so it is a machine of its own."""
    try:
        inside = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        inside = ""
    return sha256(f"{platform.node()} {inside}".encode()).hexdigest()[:12]


def _birth(pid: int) -> str | None:
    """When that process began, in the kernel's ticks; "" when it is gone; None where there is no way to know."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]  # a zombie is dead, only not yet buried
