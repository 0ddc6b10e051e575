"""What tests of pages and of their runners share."""

import threading

import pytest


@pytest.fixture
def gate():
    """Work that takes until ``gate.set()``, without a report, as while XLA compiles."""
    event = threading.Event()
    yield event
    event.set()
