"""Memory that this process holds and no longer needs."""

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path


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
    """Bytes that a server keeps to where nobody says otherwise: a quarter of the machine, and 4 GiB where it does not tell."""
    return machine() // 4 or 4 * 2**30


def release(most: int) -> int:
    """Give back what is free; where more than ``most`` bytes stay, the compiled programs too. Returns what stays.

    Compiling takes some 100 MiB for each new size of a problem, and half of it the C library keeps when it is over.
    Programs are read from the cache on disk when they are needed again.
    """
    collect()
    if resident() > most:
        import jax

        jax.clear_caches()
        collect()
    return resident()


def collect() -> None:
    """Look through all objects, frozen ones too, and give back what is free."""
    gc.unfreeze()
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
