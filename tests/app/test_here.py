"""The line that says where one is, an earlier result behind the present one, groups that fold, panels that fill their room."""

import holoviews as hv
import numpy as np
import panel as pn
import pytest
from browsing import open_page
from told import Told
from visitor import figure_of, opened, send, settled, shown, state, work_off
from waiting import animation_frames, wait

import lab.studies.draw as draw
from lab.app import Session
from lab.app.cards import Card
from lab.app.ghost import is_ghost
from lab.app.here import along
from lab.app.stage import Cards, Title
from lab.app.study_page import StudyPage
from lab.studies.draw.look import columns_for

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def session():
    return opened(Told)


def _card(session, name):
    card = Card(session, session.study.pictures[name], lambda: None)
    card.refresh()
    wait(lambda: shown(card.view, pn.pane.HoloViews))
    return card


def test_a_curve_against_a_parameter_has_a_line_that_follows_and_is_dragged(session):
    card = _card(session, "against_gamma")
    figure = figure_of(card.view)
    here = state(card.head)["here"]
    line = next(each for each in figure.center if each.id == here["line"])
    assert (here["name"], line.location, line.editable) == ("gamma", 1.0, True)
    session.set(gamma=3.0)
    assert line.location == 3.0
    settled(session)
    line.location = 7.12345  # as a hand does
    wait(lambda: session.study.gamma == 7.12)
    settled(session)
    line.location = 1e9  # beyond what is allowed
    wait(lambda: session.study.gamma == 1e4)
    settled(session)
    card.click(2.3, 0.0)
    places = Told().pictures.against_gamma.grid(session.study, session.data)["gamma"]
    assert session.study.gamma == min(places, key=lambda value: abs(value - 2.3))
    settled(session)


def test_what_is_no_place_of_a_run_has_no_line(session):
    result = session.study.picture_result(session.study.pictures.against_gamma)
    curve = session.study.pictures.against_gamma(result)
    assert along(result, curve)[0] == "gamma"
    other = draw.plot(draw.curve(np.arange(result.sizes["gamma"]) + 0.5, result.total))
    assert along(result, other)[0] == ""
    card = _card(session, "values")
    assert state(card.head)["here"] is None


def test_a_ghost_stands_behind_until_it_is_let_go(session):
    card = _card(session, "values")
    figure = figure_of(card.view)
    lines, dots = (each.data_source for each in figure.renderers if is_ghost(each))
    assert list(lines.data["xs"]) == []
    session.haunt()
    kept = session.result
    np.testing.assert_allclose(lines.data["ys"][0], kept["values"])
    session.set(gamma=5.0)
    settled(session)
    card.refresh()
    np.testing.assert_allclose(lines.data["ys"][0], kept["values"])  # not what is shown now
    assert session.ghost is kept
    session.haunt()
    assert session.ghost is None
    assert list(lines.data["xs"]) == []
    assert list(dots.data["x"]) == []
    session.close()


def test_a_group_folds_and_what_is_away_computes_nothing(session, monkeypatch):
    turns, computed = [], []
    session.post_drawing = turns.append
    cards = Cards(session)
    work_off(turns)
    group, title = Told.story.groups[0], shown(cards.view, Title)[0]
    own = [card for card in cards.cards if card.picture.name in group.pictures]
    seen = [card.view.visible for card in own]
    sweep = next(card for card in own if card.picture.along is not None)
    wait(lambda: shown(sweep.view, pn.pane.HoloViews))
    send(title, {"open": False})
    assert not any(card.view.visible for card in own)
    assert title.visible
    monkeypatch.setattr(session, "sweep", lambda picture, **_: computed.append(picture.name))
    session.set(rate=0.25)
    wait(lambda: turns and not session.rough)
    work_off(turns)
    assert sweep.picture.name not in computed
    send(title, {"open": True})
    assert [card.view.visible for card in own] == seen
    assert sweep.picture.name in computed
    assert state(title)["title"] == group.title


@pytest.mark.parametrize(
    ("room", "count", "shape", "columns"),
    [
        (0, 4, 1.0, 4),
        (1.6, 4, 1.0, 2),
        (3.2, 4, 1.0, 4),
        (1.6, 3, 1.0, 3),
        (0.8, 3, 1.0, 2),
        (1.6, 1, 1.0, 1),
        (1.6, 9, 1.0, 5),
    ],
)
def test_panels_are_as_large_as_the_room_allows(room, count, shape, columns):
    with draw.theme("light", room=room):
        assert columns_for(count, shape) == columns


def test_images_stand_in_rows_where_that_shows_more():
    images = {str(k): np.full((4, 4), k / 9) for k in range(8)}
    with draw.theme("light", room=1.6):
        rows = draw.strip(images)
    with draw.theme("print"):
        row = draw.strip(images)
    boxes = [[layer.bounds.lbrt() for layer in overlay if isinstance(layer, hv.RGB)] for overlay in (rows, row)]
    assert len({box[1] for box in boxes[0]}) == 2
    assert len({box[1] for box in boxes[1]}) == 1
    for own in boxes:
        assert all(a[2] <= b[0] or b[2] <= a[0] or a[1] >= b[3] or b[1] >= a[3] for a in own for b in own if a is not b)


@pytest.mark.browser
def test_the_line_goes_ahead_of_the_run_in_the_browser():
    made = []

    def app():
        session = Session(Told)
        made.append(StudyPage(session, address=True))
        session.start()
        return made[-1]

    with open_page(app) as (page, log):
        wait(lambda: page.wait_for_timeout(20) or (made and made[-1].session.fresh))
        card = next(each for each in made[-1].cards.cards if each.picture.name == "against_gamma")
        head = page.locator("h3", has_text=card.picture.title)  # drawn again while it comes into sight
        line = lambda: state(card.head)["here"]["line"]  # noqa: E731
        wait(lambda: head.evaluate("head => head.scrollIntoView()") or line(), lambda: animation_frames(page))
        is_there = "id => (line => line && line.location < 10)(Bokeh.documents[0].get_model_by_id(id))"
        wait(lambda: page.evaluate(is_there, line()), lambda: animation_frames(page))
        places = page.evaluate(
            """(id) => {
              const find = (root) => {
                for (const each of root.querySelectorAll("*")) {
                  if (each.matches("input[name=scrubber]")) return each
                  const found = each.shadowRoot && find(each.shadowRoot)
                  if (found) return found
                }
              }
              const range = find(document), line = Bokeh.documents[0].get_model_by_id(id), before = line.location
              range.value = 900
              range.dispatchEvent(new Event("input", {bubbles: true}))
              return [before, line.location]  // in one turn of the browser, which hears nothing of the server meanwhile
            }""",
            line(),
        )
        assert places[1] > 10 > places[0]
        wait(lambda: page.wait_for_timeout(20) or (made[-1].session.fresh and not made[-1].session.rough))
        page.keyboard.press("g")
        wait(lambda: page.wait_for_timeout(20) or made[-1].session.ghost is not None)
        page.get_by_role("button", name="More", exact=True).click()
        page.locator("h3", has_text=card.picture.title).wait_for(state="hidden")
        assert log.outside == []
        assert log.wrong == []


def test_what_a_browser_draws_has_a_public_name():
    """Bokeh tells a browser of no model whose name begins with an underscore: a tab that had one stayed blank."""
    import lab.app.shell  # noqa: F401  all parts of the pages
    from lab.app.view import View

    def below(kind):
        return [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]

    kinds = [kind for kind in below(View) if kind.__module__.startswith("lab.")]
    assert len(kinds) > 20
    assert not [kind.__qualname__ for kind in kinds if kind.__name__.startswith("_")]


def test_a_slow_drag_is_undone_at_once(session, monkeypatch):
    """Each value waits for the run of the one before, however long that takes."""
    now, execute = [0.0], Told.execute

    def slow(*given):
        now[0] += 3.0  # seconds
        return execute(*given)

    monkeypatch.setattr("lab.app.session.monotonic", lambda: now[0])
    monkeypatch.setattr(Told, "execute", slow)
    before = len(session.back)
    for gamma in (2.0, 3.0, 4.0):
        session.set(gamma=gamma)
        settled(session)
    assert len(session.back) == before + 1
    now[0] += 3.0  # without a run
    session.set(gamma=5.0)
    assert len(session.back) == before + 2
