"""Pictures are drawn by many threads of a process: the pages', and those that make figures and thumbnails."""

import io
import sys
import threading
from weakref import WeakKeyDictionary

import holoviews as hv
import pytest
from bokeh.document import Document
from halving import Halving
from holoviews.streams import Pipe, Stream

from lab import figures
from lab.app import thumbnails
from lab.app.live import Live
from lab.studies import first_picture
from lab.studies.draw.look import backends


@pytest.fixture(scope="module")
def result():
    backends()
    return Halving(steps=6, c=50.0).run()


def test_a_page_that_draws_does_not_break_the_picture_of_another(result, monkeypatch):
    picture = first_picture(Halving.pictures, result)
    sources = [hv.Curve([]) for _ in range(3)]
    streams = [Pipe(source=source) for source in sources]
    reads, drawn, shown = threading.Event(), threading.Event(), picture(result)
    here = threading.get_ident()

    def items(registry):
        found = []
        for source, refs in WeakKeyDictionary.items(registry):
            if threading.get_ident() == here and not reads.is_set():
                reads.set()  # HoloViews reads its table: a page that is not kept from it changes it now
                drawn.wait(1.0)
            found.append((source, registry._alive(refs)))
        return found

    def page():
        reads.wait(10)
        Live(shown, dark=False)
        drawn.set()

    monkeypatch.setattr(type(Stream.registry), "items", items)
    thread = threading.Thread(target=page)
    thread.start()
    try:
        Live(shown, dark=True).pane.get_root(Document())
    finally:
        thread.join(10)
    assert drawn.is_set()
    assert len(streams) == 3


def test_pages_wait_for_a_figure_only_while_holoviews_draws_it(result):
    picture = first_picture(Halving.pictures, result)
    drawn = []
    with figures.plotted(picture(result)) as figure:
        page = threading.Thread(target=lambda: drawn.append(picture(result)))
        page.start()
        page.join(10)
        assert len(drawn) == 1
        assert figure.axes


@pytest.mark.slow
def test_who_has_holoviews_draw_holds_its_pen(result, monkeypatch):
    watched, held = _Watched(), []
    for module in ("lab.studies.draw.look", "lab.studies.draw", "lab.app.live", "lab.figures.export"):
        monkeypatch.setattr(sys.modules[module], "pen", watched)
    kind = type(Stream.registry)
    items, register = kind.items, kind.register
    monkeypatch.setattr(kind, "items", lambda self: held.append(watched.depth > 0) or items(self))
    monkeypatch.setattr(kind, "register", lambda *given: held.append(watched.depth > 0) or register(*given))
    picture = first_picture(Halving.pictures, result)
    figures.export_picture(picture, result, io.BytesIO(), format="svg")
    thumbnails.draw(picture, result, "light")
    live = Live(picture(result), dark=True)
    root = live.pane.get_root(Document())
    live.send(picture(result))
    live.pane._cleanup(root)
    assert len(held) >= 4
    assert all(held)


class _Watched:
    """A lock that says whether it is held."""

    depth = 0

    def __enter__(self):
        self.depth += 1

    def __exit__(self, *problem):
        self.depth -= 1
