"""What was looked through once is looked through again only where no page waits for it."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import pytest

from lab.app import calm

LOOKS = """
import gc, weakref
from types import SimpleNamespace
from lab import memory
from lab.app import garbage
garbage.look_where_nothing_waits(SimpleNamespace(io_loop=SimpleNamespace(add_callback=lambda call: None)))

class Page:
    def __init__(self):
        self.itself = self

kept, gone = Page(), Page()
seen = [weakref.ref(kept), weakref.ref(gone)]
del gone
gc.collect()  # what Python does in the middle of a redraw
after = [each() is not None for each in seen]
del kept
gc.collect()
left_out = seen[0]() is not None
memory.collect()
print(*after, left_out, seen[0]() is None, gc.get_freeze_count() > 1000)
"""


@pytest.mark.slow
def test_what_is_in_use_is_looked_through_once_and_its_garbage_found_by_a_whole_look():
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True", "False", "True", "True", "True"]


@pytest.fixture
def served(monkeypatch):
    """The module in a process that serves and keeps to 100 bytes: what it does every second, and every three, and at the end of
    a page."""
    spec = importlib.util.find_spec("lab.app.garbage")
    garbage, calls = importlib.util.module_from_spec(spec), []
    spec.loader.exec_module(garbage)  # a copy: what it counts is of one test
    monkeypatch.setattr(garbage, "PeriodicCallback", lambda call, every: SimpleNamespace(start=call))
    monkeypatch.setattr(garbage, "pn", SimpleNamespace(state=SimpleNamespace(on_session_destroyed=calls.append)))
    monkeypatch.setattr(
        garbage, "gc", mock.Mock(callbacks=[], get_count=lambda: (0, 0, 1), get_threshold=lambda: (0, 0, 0))
    )
    garbage.look_where_nothing_waits(SimpleNamespace(io_loop=SimpleNamespace(add_callback=calls.append)), most=100)
    garbage.closed, garbage.tidy, garbage.shed = calls
    return garbage


@pytest.mark.parametrize(("size", "closed", "looks"), [(100, 49, 0), (100, 50, 1), (101, 9, 0), (101, 10, 1)])
def test_garbage_of_many_closed_pages_does_not_wait_for_a_quiet_moment(size, closed, looks, served, monkeypatch):
    looked = []
    monkeypatch.setattr(served, "calm", lambda quiet, opening: False)
    monkeypatch.setattr(served, "memory", SimpleNamespace(collect=lambda: looked.append(True), resident=lambda: size))
    for _ in range(closed):
        served.closed(None)
    served.tidy()
    served.tidy()
    assert len(looked) == looks


def test_all_is_looked_through_where_no_page_is_drawn_and_pages_have_left_something(served, monkeypatch):
    all_of_it, sizes = [], []
    monkeypatch.setattr(calm, "quiet_for", lambda seconds: True)
    monkeypatch.setattr(calm, "_opened", -calm.inf)
    held = SimpleNamespace(resident=lambda: sizes[-1], release=lambda most: all_of_it.append(most) or 0)
    monkeypatch.setattr(served, "memory", held)
    for closed, size, looks in ((0, 50, []), (1, 50, [100]), (0, 200, [100, 100]), (9, 200, [100, 100])):
        sizes.append(size)
        for _ in range(closed):
            served.closed(None)
        if closed == 9:
            calm.page_opened()
        served.tidy()
        assert all_of_it == looks
    assert served.gc.collect.call_count == 1  # at first, of what is new


@pytest.mark.parametrize(("size", "idle"), [(100, []), (101, [30.0])])
def test_while_pages_are_used_programs_alone_go(size, idle, served, monkeypatch):
    shed = []
    monkeypatch.setattr(served, "memory", SimpleNamespace(resident=lambda: size, shed=shed.append))
    served.shed()
    assert shed == idle
