"""A click in a picture sets the parameters that the picture says it sets."""

import time
from pathlib import Path
from typing import Any

import holoviews.plotting.bokeh  # noqa: F401
import pytest
from bokeh.events import Tap
from bokeh.models import Plot

from lab.app.cards import Card
from lab.app.session import Session
from lab.studies import Picture, draw, load_file

Gradual = load_file(Path(__file__).with_name("gradual.py"))[0]


def settled(session):
    until = time.monotonic() + 20
    while session.busy and time.monotonic() < until:
        time.sleep(0.005)
    assert not session.busy


@pytest.fixture
def session():
    made = Session(Gradual)
    made.start()
    settled(made)
    yield made
    made.close()


def test_a_click_sets_parameters(session):
    def clicks(result, x, y):
        return {"gamma": x} if y > 0 else {}

    def drawn(result):
        return draw.plot(draw.curve(range(5), result["values"].values[:5]))

    card = Card(session, Picture("values", "Values", "click", drawn, clicks=clicks), lambda: None)
    card.refresh()
    figure: Any = card.view.get_root().select_one({"type": Plot})
    figure._trigger_event(Tap(figure, x=3.0, y=1.0))
    settled(session)
    assert session.study.gamma == 3.0
    card.refresh()  # the figure that is there keeps its one listener
    assert len(figure._event_callbacks[Tap.event_name]) == 1
    figure._trigger_event(Tap(figure, x=5.0, y=-1.0))  # where there is nothing to choose
    assert session.study.gamma == 3.0
    figure._trigger_event(Tap(figure, x=1e9, y=1.0))
    assert session.study.gamma == 3.0
    assert "is not allowed" in session.error
    plain = Picture("values", "Values", "look", drawn)
    assert plain.clicked(session.result, 1.0, 1.0) == {}
