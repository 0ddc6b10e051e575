"""What was looked through once is looked through again only where no page waits for it."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from lab.app import calm, garbage

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


@pytest.mark.parametrize(("size", "closed", "looks"), [(100, 49, 0), (100, 50, 1), (101, 9, 0), (101, 10, 1)])
def test_garbage_of_many_closed_pages_does_not_wait_for_a_quiet_moment(size, closed, looks, monkeypatch):
    looked = []
    monkeypatch.setattr(garbage, "calm", lambda quiet, opening: False)
    monkeypatch.setattr(garbage, "memory", SimpleNamespace(collect=lambda: looked.append(True), resident=lambda: size))
    monkeypatch.setattr(garbage, "_most", 100)
    monkeypatch.setattr(garbage, "_closed", 0)
    for _ in range(closed):
        garbage._count(None)
    garbage._tidy()
    garbage._tidy()
    assert len(looked) == looks


def test_what_may_stay_is_said(monkeypatch):
    asked = []
    monkeypatch.setattr(garbage, "calm", lambda quiet, opening: True)
    monkeypatch.setattr(garbage.gc, "get_count", lambda: (0, 0, 1))
    monkeypatch.setattr(garbage, "memory", SimpleNamespace(release=lambda most: asked.append(most) or 0))
    monkeypatch.setattr(garbage, "_most", 7)
    monkeypatch.setattr(garbage, "_closed", 1)
    garbage._tidy()
    assert asked == [7]


def test_all_is_looked_through_where_no_page_is_drawn_and_pages_have_left_something(monkeypatch):
    new, all_of_it, sizes = [], [], []
    collector = SimpleNamespace(get_count=lambda: (0, 0, 1), collect=lambda: new.append(True))
    monkeypatch.setattr(garbage, "gc", collector)
    monkeypatch.setattr(calm, "quiet_for", lambda seconds: True)
    held = SimpleNamespace(
        resident=lambda: sizes[-1], release=lambda most: all_of_it.append(True) or sizes[-1], shed=bool
    )
    monkeypatch.setattr(garbage, "memory", held)
    monkeypatch.setattr(garbage, "_most", 100)
    monkeypatch.setattr(calm, "_opened", -calm.inf)
    cases = ((0, 50, False, (1, 0)), (1, 50, False, (1, 1)), (0, 200, False, (1, 2)), (9, 200, True, (1, 2)))
    for closed, size, opens, found in cases:
        sizes.append(size)
        monkeypatch.setattr(garbage, "_closed", closed)
        if opens:
            calm.page_opened()
        garbage._tidy()
        assert (len(new), len(all_of_it)) == found


@pytest.mark.parametrize(("size", "idle"), [(100, []), (101, [30.0])])
def test_while_pages_are_used_programs_alone_go(size, idle, monkeypatch):
    shed = []
    monkeypatch.setattr(garbage, "memory", SimpleNamespace(resident=lambda: size, shed=shed.append))
    monkeypatch.setattr(garbage, "_most", 100)
    garbage._shed()
    assert shed == idle
