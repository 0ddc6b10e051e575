"""A picture that moves, on its page: the frames are in the browser, and the server is not asked for them."""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.io.doc import patch_curdoc
from browsing import open_page
from drifting import Drifting
from panel.io.state import set_curdoc
from waiting import animation_frames, wait

import lab.studies.draw as drawing
from lab import studies
from lab.app import player
from lab.app.player import Reel
from lab.app.session import Session
from lab.app.study_page import StudyPage

# the middles of the clouds, as they are drawn
_MIDDLES = """() => {
  const middles = []
  for (const model of Bokeh.documents[0]._all_models.values()) {
    if (model.type !== "ColumnDataSource" || !model.tags.length || model.get_length() !== 300) continue
    const data = model.data instanceof Map ? Object.fromEntries(model.data) : model.data
    const mean = (values) => [...values].reduce((sum, v) => sum + v, 0) / values.length
    middles.push([mean(data.x), mean(data.y)])
  }
  return middles
}"""


def _shows(page, middle):
    """Whether some cloud is drawn about this point."""
    return any(np.allclose(each, middle, atol=1e-5) for each in page.evaluate(_MIDDLES))


@pytest.fixture(autouse=True)
def known(home):
    studies.register(Drifting)


@pytest.mark.slow
def test_frames_are_drawn_before_the_browser_is_connected(monkeypatch):
    """A result that comes before the page is open: HoloViews puts off what it draws in such a page."""
    result = Drifting(particles=5).execute().result
    page, turns = Document(), []
    monkeypatch.setattr(type(pn.state), "_connected", {})
    page._session_context = lambda: SimpleNamespace(session=object(), destroyed=False)
    reel = Reel(Drifting.pictures["cloud"], turns.append)
    with set_curdoc(page), patch_curdoc(page):
        reel.figure = drawing.bokeh_renderer("light").get_plot(Drifting.pictures["cloud"].shown(result, -1)).state
        reel.fill(result, "light")
        while turns:
            turns.pop(0)()
    reels = [tag["frames"] for each in reel.figure.renderers for tag in each.data_source.tags]
    clouds = [frames for frames in reels if len(frames[0].get("x", ())) == 5]
    for frames, paths in zip(clouds, result.paths.values, strict=True):
        drawn = np.array([np.c_[frame["x"], frame["y"]] for frame in frames])
        drawn += paths[0] - drawn[0]  # panels are side by side
        np.testing.assert_allclose(drawn, paths, atol=1e-6)


def test_a_second_visitor_gets_the_frames_of_the_first_and_the_oldest_frames_go(monkeypatch):
    result = Drifting(particles=5).execute().result
    picture, tags = Drifting.pictures["cloud"], []
    monkeypatch.setattr(player, "_FRAMES", player.Frames(1 << 20))
    for drawings in (21, 0):
        turns: list = []
        reel = Reel(picture, turns.append)
        reel.figure = drawing.bokeh_renderer("light").get_plot(picture.shown(result, -1)).state
        with monkeypatch.context() as patch:
            shown = Mock(wraps=picture.draw)
            patch.setattr(reel, "picture", replace(picture, draw=shown))
            reel.fill(result, "light")
            while turns:
                turns.pop(0)()
        assert shown.call_count == drawings
        tags.append([tag["frames"] for each in reel.figure.renderers for tag in each.data_source.tags])
    assert str(tags[0]) == str(tags[1])
    frames = player.Frames(100)
    for name in "ab":
        frames.keep(name, {0: [{"x": np.zeros(10)}]})
    assert frames.get("a") is None
    assert frames.get("b") is not None


@pytest.mark.slow
def test_of_many_frames_some_come_first_so_that_it_plays_soon(monkeypatch):
    result = Drifting(particles=5).execute().result
    turns, told = [], []
    reel = Reel(Drifting.pictures["cloud"], turns.append)
    monkeypatch.setattr(reel.player, "draw", lambda **state: told.append(state))
    reel.lead()
    reel.figure = drawing.bokeh_renderer("light").get_plot(Drifting.pictures["cloud"].shown(result, -1)).state
    reel.fill(result, "light")
    lengths = []
    while turns:
        turns.pop(0)()
        frames = [tag["frames"] for each in reel.figure.renderers for tag in each.data_source.tags if "frames" in tag]
        lengths.append(len(frames[0]) if frames else 0)
    assert lengths.index(6) == 5  # the sixth of 21 drawings
    places = [state["places"] for state in told if state["places"]]
    assert places[0] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert places[1] == pytest.approx(np.linspace(0, 1, 21))
    clouds = [tag["frames"] for each in reel.figure.renderers for tag in each.data_source.tags]
    cloud = next(frames for frames in clouds if len(frames[0].get("x", ())) == 5)
    drawn = np.array([np.c_[frame["x"], frame["y"]] for frame in cloud])
    np.testing.assert_allclose(drawn - drawn[0], result.paths.values[0] - result.paths.values[0, 0], atol=1e-6)


@pytest.mark.browser
def test_the_slider_moves_the_cloud_in_the_browser_and_it_plays():
    made, pages = [], []

    def app():
        session = Session(Drifting(particles=300))
        session.start()
        made.append(session)
        pages.append(StudyPage(session))
        return pages[-1]

    def filled():  # at first it has some of the frames
        return not pages[-1].cards.heroes[0].filling and slider.get_attribute("max") == "20"

    with open_page(app) as (page, log):
        slider = page.locator(".player input")
        slider.wait_for()
        paths = made[-1].result.paths.values[0]
        wait(lambda: page.wait_for_timeout(20) or filled())
        page.get_by_role("button", name="play", exact=True).wait_for()  # it has played once
        wait(lambda: page.wait_for_timeout(20) or _shows(page, paths[-1].mean(axis=0)))
        slider.focus()
        for _ in range(8):
            page.keyboard.press("ArrowLeft")
        assert page.locator(".player output").inner_text() == "time = 0.6"
        wait(lambda: page.wait_for_timeout(20) or _shows(page, paths[12].mean(axis=0)))
        assert not _shows(page, paths[-1].mean(axis=0))

        # another run: the same frame of it
        made[-1].post(lambda: made[-1].set(speed=2.0))
        wait(lambda: page.wait_for_timeout(20) or (made[-1].study.speed == 2 and made[-1].fresh))
        turned = made[-1].result.paths.values[0]
        wait(lambda: page.wait_for_timeout(20) or _shows(page, turned[12].mean(axis=0)))

        wait(lambda: page.wait_for_timeout(20) or filled())
        play, middles = page.get_by_role("button", name="play", exact=True), set()

        def moves():
            if play.is_visible():  # it was too fast for this machine: once more
                play.click()
            middles.add(tuple(np.round(page.evaluate(_MIDDLES)[0], 4)))
            return len(middles) >= 5

        wait(moves, lambda: animation_frames(page))
        page.get_by_role("button", name="play").wait_for()  # it ends with its last frame
        assert not log.wrong
        assert not log.outside
