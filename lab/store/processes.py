"""Which process is which, and whether it still lives: a claim must not outlive a process that was killed."""

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


def alive(process: str, beat: float) -> bool:
    """Whether that process lives: seen at once on this host, by its last ``beat`` (seconds since 1970) elsewhere."""
    host, pid, birth = process.split("-")
    here = _birth(int(pid)) if host == _host() else None
    return time.time() - beat < _SILENCE if here is None else here == birth


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
