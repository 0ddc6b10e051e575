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
