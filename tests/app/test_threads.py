"""Pictures are drawn by many threads of a process: the pages', and those that make figures and thumbnails."""

import io
import sys
import threading

import holoviews as hv
import pytest
from bokeh.document import Document
from halving import Halving
from holoviews.streams import Pipe, Stream

from lab import figures
from lab.app import thumbnails
from lab.app.live import Live
from lab.studies import draw
from lab.studies.draw.look import backends


@pytest.fixture(scope="module")
def result():
    backends()
    return Halving(steps=6, c=50.0).run()


@pytest.fixture
def restless():
    """Threads change so often that what is not guarded meets."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_figure_is_drawn_while_pictures_of_pages_come_and_go(result, restless):
    picture = thumbnails.first_picture(Halving(), result)
    wrong, over = [], threading.Event()
    sources = [hv.Curve([]) for _ in range(300)]  # a table as large as that of a busy server
    streams = [Pipe(source=source) for source in sources]

    def pages():
        while not over.is_set():
            try:
                with draw.theme("light", backend="bokeh"):
                    live = Live(picture(result), dark=False)
                    root = live.pane.get_root(Document())
                    live.send(picture(result))
                    live.pane._cleanup(root)
            except Exception as problem:
                wrong.append(problem)
                return

    threads = [threading.Thread(target=pages) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            figures.export_picture(picture, result, io.BytesIO(), format="svg")
            thumbnails.draw(picture, result, "dark")
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    assert len(streams) == 300


def test_pages_wait_for_a_figure_only_while_holoviews_draws_it(result):
    picture = thumbnails.first_picture(Halving(), result)
    drawn = []
    with figures.plotted(picture(result)) as figure:
        page = threading.Thread(target=lambda: drawn.append(picture(result)))
        page.start()
        page.join(10)
        assert len(drawn) == 1
        assert figure.axes


def test_who_has_holoviews_draw_holds_its_pen(result, monkeypatch):
    watched, held = _Watched(), []
    for module in ("lab.studies.draw.look", "lab.studies.draw", "lab.app.live", "lab.figures.export"):
        monkeypatch.setattr(sys.modules[module], "pen", watched)
    kind = type(Stream.registry)
    items, register = kind.items, kind.register
    monkeypatch.setattr(kind, "items", lambda self: held.append(watched.depth > 0) or items(self))
    monkeypatch.setattr(kind, "register", lambda *given: held.append(watched.depth > 0) or register(*given))
    picture = thumbnails.first_picture(Halving(), result)
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
