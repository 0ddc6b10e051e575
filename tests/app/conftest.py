"""What tests of pages and of their runners share."""

import threading

import pytest

from lab.app import worker


@pytest.fixture
def gate():
    """Work that takes until ``gate.set()``, without a report, as while XLA compiles."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def _no_background_process(monkeypatch):
    """A server that an earlier test has made leaves its background process to nobody."""
    monkeypatch.setattr(worker, "present", None)
    yield
    if worker.present is not None:
        worker.present.end()


@pytest.fixture
def background(monkeypatch):
    """A background process that takes every run."""
    made = worker.Worker()
    monkeypatch.setattr(worker, "present", made)
    monkeypatch.setattr(worker, "is_long", lambda study, data: True)
    yield made
    made.end()
