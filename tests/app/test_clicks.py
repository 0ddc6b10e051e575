"""A click in a picture, or a drag of a point in it, sets the parameters that the picture says it sets."""

from functools import partial
from pathlib import Path

import holoviews.plotting.bokeh  # noqa: F401
import numpy as np
import pytest
from bokeh.events import PanEnd, PanStart, Tap
from bokeh.models import PointDrawTool
from browsing import open_page, wait
from visitor import event, figure_of, opened, settled

from lab.app import hand
from lab.app.cards import Card
from lab.app.session import Session
from lab.app.study_page import StudyPage
from lab.studies import Picture, Pictures, draw, load_file

Gradual = load_file(Path(__file__).with_name("gradual.py"))[0]


@pytest.fixture
def session():
    made = opened(Gradual)
    yield made
    made.close()


def test_a_click_sets_parameters(session):
    clicked = []

    def clicks(result, x, y):
        clicked.append(x)
        return {"gamma": x} if y > 0 else {}

    def drawn(result):
        return draw.plot(draw.curve(range(5), result["values"].values[:5]))

    card = Card(session, Picture("values", "Values", "click", drawn, clicks=clicks), lambda: None)
    card.refresh()
    figure = figure_of(card.view)
    event(figure, Tap, 3.0, 1.0)
    settled(session)
    assert session.study.gamma == 3.0
    card.refresh()  # the figure that is there keeps its one listener
    clicked.clear()
    event(figure, Tap, 5.0, -1.0)  # where there is nothing to choose
    assert (session.study.gamma, clicked) == (3.0, [5.0])
    event(figure, Tap, 1e9, 1.0)
    assert session.study.gamma == 3.0
    assert "is not allowed" in session.error
    plain = Picture("values", "Values", "look", drawn)
    assert plain.clicked(session.result, 1.0, 1.0) == {}


def gripped(result):
    """Gamma by its logarithm, as a point that may be dragged, and one that may not."""
    here = np.log10(float(result["total"]))  # the data have mass 1, so that the total is gamma
    return draw.plot(
        draw.points([here], [0.5]), draw.points([here], [0.0], grip=True), xlim=(-2, 2), ylim=(-1, 1), equal=True
    )


def to_gamma(result, x, y):
    return {"gamma": 10.0 ** min(x, 1.5)} if y > -0.9 else {}


GRIP = Picture("grip", "Grip", "drag", gripped, drags=to_gamma)


def test_a_drag_sets_parameters_and_the_last_place_wins(session, monkeypatch):
    monkeypatch.setattr(hand, "_HAND", 20.0)  # however slow the machine is
    card = Card(session, GRIP, lambda: None)
    card.refresh()
    figure = figure_of(card.view)
    tool = figure.select_one({"type": PointDrawTool})
    source = tool.renderers[0].data_source
    still = next(each.data_source for each in figure.renderers if each.data_source is not source)
    assert len(tool.renderers) == 1
    assert (source.data["x"][0], source.data["y"][0]) == pytest.approx((0.0, 0.0), abs=1e-6)

    def drag(x, y):
        source.data = dict(source.data, x=np.array([x]), y=np.array([y]))

    def at_rest():  # where a run was under way, its end draws, as on the page
        settled(session)
        card.refresh()

    drag(0.7, 0.3)
    settled(session)
    assert session.study.gamma == pytest.approx(10**0.7)
    card.refresh()
    assert still.data["x"][0] == pytest.approx(0.7, abs=1e-5)  # drawn again
    assert source.data["y"][0] == 0.3  # in the hand, it stays there

    session.set(slow=True, rate=0.02, gamma=1.0)  # a run of some seconds: what comes meanwhile is not lost
    for x in (0.1, 0.2, 0.3, 1.9):
        drag(x, 0.3)
    assert session.busy
    event(figure, PanEnd, 1.9, 0.3)
    assert session.study.gamma == pytest.approx(10**1.5)
    session.set(slow=False, rate=0.5)
    settled(session)
    card.refresh()
    assert (source.data["x"][0], source.data["y"][0]) == pytest.approx((1.5, 0.0), abs=1e-5)  # where it counts

    drag(0.0, -0.95)  # where nothing is
    event(figure, PanEnd, 0.0, -0.95)
    at_rest()
    assert (source.data["x"][0], source.data["y"][0]) == pytest.approx((1.5, 0.0), abs=1e-5)
    source.data = {name: values[:0] for name, values in source.data.items()}  # it was deleted
    event(figure, PanEnd, 0.0, 0.0)
    at_rest()
    assert source.data["x"][0] == pytest.approx(1.5, abs=1e-5)
    assert session.study.gamma == pytest.approx(10**1.5)


def test_a_point_that_is_held_is_left_alone_however_long_it_rests(session, monkeypatch):
    monkeypatch.setattr(hand, "_HAND", 0.0)
    card = Card(session, GRIP, lambda: None)
    card.refresh()
    figure = figure_of(card.view)
    source = figure.select_one({"type": PointDrawTool}).renderers[0].data_source
    still = next(each.data_source for each in figure.renderers if each.data_source is not source)
    event(figure, PanStart, 0.0, 0.0)
    source.data = dict(source.data, x=np.array([0.7]), y=np.array([0.3]))
    settled(session)
    card.refresh()
    assert still.data["x"][0] == pytest.approx(0.7, abs=1e-5)
    assert source.data["y"][0] == 0.3
    event(figure, PanEnd, 0.7, 0.3)
    assert source.data["y"][0] == pytest.approx(0.0, abs=1e-5)


def test_a_picture_turns_or_drags(session):
    with pytest.raises(ValueError, match="turns and drags"):
        Picture("both", "", "", gripped, drags=to_gamma, turns=(0, 0))
    plain = Picture("plain", "", "", gripped)
    assert plain.dragged(session.result, 0.0, 0.0) == {}


@pytest.mark.browser
def test_a_hand_drags_a_point_and_the_result_follows_before_it_lets_go():
    made = []
    study = type("Gripped", (Gradual,), {"pictures": Pictures(GRIP), "__module__": Gradual.__module__})

    def app():
        made.append(Session(study))
        made[-1].start()
        return StudyPage(made[-1])

    with open_page(app) as (page, log):
        poll = partial(page.wait_for_timeout, 20)
        canvas = page.locator(".bk-Figure").first
        canvas.wait_for(state="visible")
        wait(lambda: made and made[-1].result is not None and not made[-1].busy, poll)
        session, figure = made[-1], _place(page)
        page.evaluate(_WATCH)
        x, y = figure(0.0, 0.0)
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(1, 5):
            before = session.result
            page.mouse.move(*figure(0.2 * step, 0.05 * step))
            wait(lambda before=before: session.result is not before, poll)  # while it is dragged
        page.mouse.move(*figure(1.2, 0.4))
        page.mouse.up()
        wait(lambda: abs(np.log10(session.study.gamma) - 1.2) < 0.004, poll)  # half a pixel
        wait(lambda: not session.busy, poll)
        assert float(session.result.total) == pytest.approx(session.study.gamma, rel=1e-4)
        there = (pytest.approx(np.log10(session.study.gamma), abs=1e-4), pytest.approx(0, abs=1e-6))
        wait(lambda: tuple(page.evaluate(_GRIP)) == there, poll)  # and it lies on its line again
        assert page.evaluate("window.jerks") == 0  # new results leave the axes where they are
        assert not log.wrong


_WATCH = """() => {
  window.jerks = 0
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.type === "Figure") model.x_range.properties.start.change.connect(() => (window.jerks += 1))
}"""

_GRIP = """() => {
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.type === "PointDrawTool") {
      const data = model.renderers[0].data_source.data
      const column = (name) => (data instanceof Map ? data.get(name) : data[name])[0]
      return [column("x"), column("y")]
    }
}"""


def _place(page):
    """Where on the screen a place of the picture is."""
    (x0, y0), (x1, y1) = page.evaluate(
        """() => {
          const all = (view) => [view, ...[...view.children()].flatMap(all)]
          const view = [...Bokeh.index].flatMap(all).find((each) => each.model.type === "Figure")
          const box = view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame
          return [0, 1].map((at) => [box.x + x_scale.compute(at), box.y + y_scale.compute(at)])
        }"""
    )
    return lambda x, y: (x0 + x * (x1 - x0), y0 + y * (y1 - y0))
