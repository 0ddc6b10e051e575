"""A pointer over a mark lights the same thing in every picture; a press keeps it."""

import json

import holoviews.plotting.bokeh  # noqa: F401
import numpy as np
import pytest
from browsing import open_page
from gradual import Gradual
from visitor import figure_of, opened
from waiting import animation_frames, wait

from lab.app import Session
from lab.app.cards import Card
from lab.app.lit import Lit
from lab.app.study_page import StudyPage
from lab.studies import Picture, Pictures, draw
from lab.studies.draw.sameness import known

PLAN = np.array([[0.2, 0.0, 0.0], [0.0, 0.3, 0.1], [0.0, 0.0, 0.1], [0.1, 0.2, 0.0]])
X = np.array([[0.0, 0.0], [1.0, 0.2], [2.0, 0.1], [3.0, 0.0]])
Y = np.array([[0.2, 2.0], [1.2, 2.1], [2.9, 1.9]])


def _plan(result):
    return draw.plan(PLAN, PLAN.sum(1), PLAN.sum(0))


def _links(result):
    i, j = np.nonzero(PLAN)
    return draw.links(X, Y, i, j, PLAN[i, j])


def _lines(ylabel):
    def drawn(result):
        at = np.linspace(0.0, 1.0, 5)
        return draw.plot(draw.curve(at, at, "Newton"), draw.curve(at, 2 - at, "other"), xlabel="time", ylabel=ylabel)

    return drawn


class Linked(Gradual):
    slug = "linked"
    story = None
    pictures = Pictures(
        Picture("plan", "Plan", "a plan", _plan),
        Picture("links", "Links", "links", _links),
        Picture("errors", "Errors", "one", _lines("error")),
        Picture("costs", "Costs", "two", _lines("cost")),
    )


pytestmark = pytest.mark.usefixtures("home")


def _tags(name):
    session = opened(Linked)
    card = Card(session, session.study.pictures[name], lambda: None)
    card.refresh()
    figure = figure_of(card.view)
    return [
        (type(each.glyph).__name__, tag["who"])
        for each in figure.renderers
        if hasattr(each, "data_source")
        for tag in each.data_source.tags
        if isinstance(tag, dict) and "who" in tag
    ]


@pytest.mark.slow
def test_a_browser_is_told_what_marks_stand_for():
    assert sorted(_tags("plan"), key=str) == [("Quad", {"source": None}), ("Quad", {"target": None})]
    told = _tags("links")
    assert [own for kind, own in told if kind == "Scatter"] == [{"source": None}, {"target": None}]
    lines = next(own for kind, own in told if kind == "Segment")
    i, j = np.nonzero(PLAN)
    assert {*zip(lines["source"], lines["target"], strict=True)} == {*zip(i.tolist(), j.tolist(), strict=True)}
    assert [own for _, own in _tags("costs")] == [{"name": "Newton"}, {"name": "other"}]


def test_what_a_player_keeps_beside_it_is_not_sent_again():
    with draw.theme("light", backend="bokeh"):
        plot = draw.bokeh_renderer("light").get_plot(_links(None))
    Lit().hook(plot, None)
    told = [each.data_source for each in plot.state.renderers if each.data_source.tags]
    reels = [{"frames": [{"x": np.arange(3.0)}]} for _ in told]
    for source, reel in zip(told, reels, strict=True):
        source.tags = [*source.tags, reel]
    seen = []
    for source in told:
        source.on_change("tags", lambda attr, old, new: seen.append(new))
    Lit().hook(plot, None)
    assert seen == []
    told[0].tags = [{"who": {"source": [3]}}, reels[0]]  # something else is shown
    Lit().hook(plot, None)
    assert len(seen) == 2
    assert told[0].tags[1] is reels[0]


def test_links_stand_in_the_order_of_their_mass_with_what_they_link():
    i, j = np.nonzero(PLAN)
    lines = next(layer for layer in draw.links(X, Y, i, j, PLAN[i, j]) if known(layer).keys() == {"source", "target"})
    told, ends = known(lines), lines.columns()
    np.testing.assert_allclose(ends["x"], X[told["source"], 0], rtol=1e-6)
    np.testing.assert_allclose(ends["y1"], Y[told["target"], 1], rtol=1e-6)
    np.testing.assert_allclose(ends["weight"], PLAN[told["source"], told["target"]] / PLAN.max(), rtol=1e-6)


@pytest.mark.slow
def test_a_panel_says_what_its_marks_are_numbers_of():
    from lab import studies

    study = studies.find("diverse-subset")
    result = study(n=40, k=5).run()
    told = [{*known(layer)} for name in study.story.hero for layer in study.pictures[name](result) if known(layer)]
    assert told == 5 * [{"row"}]  # all rows, those chosen so far, and what three ways choose


def test_a_particle_is_known_by_where_it_begins():
    start = np.random.default_rng(0).normal(size=(4000, 2))
    numbers = draw.began(start)
    assert len(set(numbers.tolist())) == 4000
    np.testing.assert_array_equal(draw.began(start[::-1]), numbers[::-1])
    assert draw.began([[0.0, 1.0]]) == draw.began([[-0.0, 1.0]]) != draw.began([[1.0, 0.0]])
    assert draw.began([[np.nan, 1.0]]) == [-1]
    ways = {"flow": np.stack([start[:9], 2 * start[:9]]), "other": np.stack([start[4:13], start[4:13] + 1])}
    film = draw.film(ways, 1, tails=3)
    clouds = [known(layer)["particle"] for layer in film if "particle" in known(layer) and len(layer) == 9]
    np.testing.assert_array_equal(clouds, [numbers[:9], numbers[4:13]])
    tails = [layer for layer in film if "particle" in known(layer) and len(layer) != 9]
    assert [{*known(layer)["particle"].tolist()} for layer in tails] == [{*numbers[:3]}, {*numbers[4:7]}]
    ends = tails[0].columns()  # the last piece of a way ends where its particle is
    for number, at in zip(numbers[:3], 2 * start[:3], strict=True):
        own = known(tails[0])["particle"] == number
        assert np.isclose(ends["x1"][own][-1], at[0], rtol=1e-5)


@pytest.mark.browser
def test_a_pointer_lights_the_same_thing_in_every_picture():
    made = []

    def app():
        session = Session(Linked)
        made.append(StudyPage(session, address=True))
        session.start()
        return made[-1]

    with open_page(app) as (page, log):
        wait(lambda: page.wait_for_timeout(20) or (made and made[-1].session.fresh))
        wait(lambda: page.wait_for_timeout(50) or len(page.evaluate(_LIT)) == 4)

        def place(number, x, y):
            page.evaluate(f"{_FIGURES}; figures[{number}].el.scrollIntoView({{block: 'center'}})")
            return page.evaluate(
                f"""() => {{ {_FIGURES}; const f = figures[{number}], b = f.el.getBoundingClientRect()
                return [b.x + f.frame.x_scale.compute({x}), b.y + f.frame.y_scale.compute({y})] }}"""
            )

        def told():
            return json.loads(page.evaluate("JSON.stringify(labLit.lit())"))

        def moved(number, x, y):  # again, where the page has moved under the pointer
            page.mouse.move(*place(number, x, y))
            animation_frames(page)
            return told()

        wait(lambda: moved(0, 1.0, 0.0) == {"target": 1})  # its column, where the plan is empty
        lit = page.evaluate(_LIT)
        assert (lit[0], lit[1]) == (["rect"], ["line", "line", "circle"])  # its lane; two links and the point
        wait(lambda: moved(1, *X[2]) == {"source": 2})
        assert page.evaluate(_LIT)[:2] == [["rect"], ["line", "circle"]]
        page.mouse.down()
        page.mouse.up()
        page.mouse.move(5, 5)
        animation_frames(page)
        assert told() == {"source": 2}  # it is kept
        assert json.loads(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('lit')")) == {"source": 2}
        page.keyboard.press("Escape")
        wait(lambda: page.wait_for_timeout(20) or told() is None)
        assert page.evaluate("location.hash") == ""
        wait(lambda: moved(2, 0.5, 0.5) == {"name": "Newton"})
        assert page.evaluate(_LIT)[2:] == [["path"], ["path"]]
        wait(lambda: "place" in (moved(3, 0.25, 1.0) or {}))
        assert told()["place"]["x"] == pytest.approx(0.25, abs=0.01)
        assert page.evaluate(_LIT)[2:] == [["line"], ["line"]]
        assert log.outside == []
        assert log.wrong == []


_FIGURES = """
  const within = (view) => [view, ...[...(view.children?.() ?? [])].flatMap(within)]
  const figures = [...Bokeh.index].flatMap(within).filter((each) => each.model.type === "Figure")
"""
_LIT = f"""() => {{ {_FIGURES}
  return figures.map((each) => [...(each.labCover?.children ?? [])].map((shape) => shape.tagName)) }}"""


def test_a_picture_is_drawn_for_the_width_that_it_has(monkeypatch):
    session = opened(Linked)
    card = Card(session, session.study.pictures["plan"], lambda: None, high=360, room=2.0, across=700.0)
    seen, theme = [], draw.theme
    themed = lambda *given, **named: seen.append((named["room"], named["wide"])) or theme(*given, **named)  # noqa: E731
    monkeypatch.setattr(draw, "theme", themed)
    card.refresh()
    card.head.wide = 680  # as was thought
    assert seen == [(2.0, 700.0)]
    card.head.wide = 350
    assert seen[1:] == [(1.0, 350.0)]


def test_words_are_as_long_as_their_room():
    with draw.theme("light", wide=370) as look:
        assert look.letter == pytest.approx(7.4 / 285)
        assert look.brief("posterior mean", 0.2) == "posterior…"
        assert look.brief("WWWWWWWW", 0.2) == "WWWWW…"
        assert look.brief("RED-diff 20.71", 0.2) == "RED-diff 21"  # a part of a number would be another
        assert look.brief("posterior mean 20.71", 0.2) == "poster… 21"
        assert look.brief("mean", 0.2) == "mean"
        assert (
            look.lines("a note that is longer than all the axes are wide")
            == "a note that is longer than all the\naxes are wide"
        )
    with draw.theme("light") as look:
        assert look.letter == 1 / 62
        assert look.brief("posterior mean", 0.01) == "posterior mean"
