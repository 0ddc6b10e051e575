"""To wait for what another thread does."""

import time


def soon(true, seconds=10.0):
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.005)
    assert true()
