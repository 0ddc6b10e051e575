"""The page that explains: the hero and what moves it, steps with their answers, undo, the talk, chips, what a card gives."""

import csv
import io

import numpy as np
import pytest
from browsing import open_page
from gradual import Gradual
from told import Told
from visitor import buttons, download, opened, send, sent, settled, shown, state, text
from waiting import steady, wait

from lab.app import Session
from lab.app.runner import Runner
from lab.app.scrubber import Scrubber, scaled
from lab.app.stage import Cards, Chips
from lab.app.steps import Steps, in_words
from lab.app.study_page import StudyPage
from lab.app.view import View
from lab.studies import edited
from lab.studies.contract import curve, measure, scrubbed
from lab.studies.contract.along import places

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def session():
    return opened(Told)


def test_what_is_scrubbed_follows_from_the_story():
    assert (scrubbed(Told), measure(Told)) == ("gamma", "total")
    assert (scrubbed(Gradual), measure(Gradual), curve(Gradual)) == ("", "", None)
    found = places(Told(), "gamma", Told().load())
    assert found[0] == 0.01
    assert found[-1] == 100
    assert 1.0 in found
    assert len(found) <= 12
    assert np.ptp(np.diff(np.log(found))) < 0.9  # even on the parameter's scale
    assert places(Told(), "k", Told().load())[:3] == [1, 2, 3]


def test_heights_are_those_of_a_scale_that_shows_them():
    assert scaled([1.0, 2.0, 3.0]) == [0.0, 0.5, 1.0]
    assert scaled([1e-6, 1e-3, 1.0]) == [0.0, 0.5, 1.0]
    assert scaled([1.0, float("nan"), 3.0]) == [0.0, None, 1.0]
    assert scaled([4.0, 4.0]) == [0.5, 0.5]
    assert scaled([0.0, 0.0]) == [0.5, 0.5]
    assert scaled([4.0, 4.0004]) == [0.495, 0.505]  # not a step of all its height
    assert scaled([-1.0, 1.0]) == [0.0, 1.0]
    assert scaled([]) == []


def test_the_scrubber_moves_its_parameter_and_draws_one_number_along_it(session):
    scrubber = Scrubber(session)
    told = state(scrubber)
    assert (told["name"], told["symbol"], told["value"]) == ("gamma", "γ", "1")
    assert told["label"] == "total, against γ"
    send(scrubber, {"name": "gamma", "text": "2"})
    assert session.study.gamma == 2
    send(scrubber, {"name": "k", "text": "5"})  # not its own
    assert session.study.k == 2
    settled(session)
    send(scrubber, {"curve": True})
    wait(lambda: len(state(scrubber)["points"]) > 5)
    points = {at: text for at, _, text in state(scrubber)["points"]}
    assert {*places(Told(), "gamma", Told().load())} <= {*points}
    assert points[100] == "100 total"
    heights = [height for _, height, _ in state(scrubber)["points"]]
    assert heights == sorted(heights)
    assert state(scrubber)["todo"] is None
    session.set(k=3)  # other runs: what was found belongs to the others
    settled(session)
    wait(lambda: len(state(scrubber)["points"]) < 5)
    assert [at for at, *_ in state(scrubber)["points"]] == [2]


def test_a_step_is_pressed_and_answered_with_its_numbers(session):
    steps = Steps(session)
    assert [row["sets"] for row in state(steps)["steps"]] == ["Set γ = 0.5", "Set ρ = 0.25", "Set γ = 2"]
    send(steps, {"press": 0})
    assert session.study.values() == Told(gamma=0.5).values()
    wait(lambda: state(steps)["steps"][0]["answer"])
    first = state(steps)["steps"][0]
    assert first["answer"] == "The sum is 0.5, it was 1."
    assert first["holds"]
    assert first["here"]
    assert "gamma=0.5" in first["link"]
    send(steps, {"answer": 2})  # told without a press: the page stays as it is
    assert session.study.gamma == 0.5
    wait(lambda: state(steps)["steps"][2]["answer"])
    third = state(steps)["steps"][2]
    assert (third["answer"], third["holds"]) == ("The sum is 2.", False)  # and says that it does not hold
    for wrong in ({"press": 9}, {"press": "0"}, {"answer": -1}, {}):
        send(steps, wrong)
    assert session.study.gamma == 0.5


def test_a_step_that_can_not_be_run_says_why(session, monkeypatch):
    monkeypatch.setattr(Told, "inputs", classmethod(lambda cls, data: 1 / 0))
    steps = Steps(session)
    steps.show(1)
    wait(lambda: state(steps)["steps"][1]["refused"])
    assert "ZeroDivisionError" in state(steps)["steps"][1]["refused"]


def test_a_press_is_answered_when_its_message_was_dealt_with():
    heard = []
    view = View(lambda message: heard.append((message, len(told))))
    told = sent(view)
    send(view, {"tab": "measure", "pressed": True})
    send(view, {"tab": "measure"})
    assert heard == [({"tab": "measure"}, 0), ({"tab": "measure"}, 1)]
    assert told == [{"heard": True}]


def test_what_a_step_sets_is_said_in_words():
    assert in_words(Told(), {}) == "Set the defaults"
    assert in_words(Told(), {"regularizer": "quadratic", "k": 4}) == "Set regularizer = quadratic, k = 4"


def test_undo_redo_and_reset(session):
    session.set(gamma=2.0)
    session.set(rate=0.25)
    session.set(gamma=3.0)
    assert len(session.back) == 3
    session.undo()
    assert (session.study.gamma, session.study.rate) == (2.0, 0.25)
    session.undo()
    assert (session.study.gamma, session.study.rate) == (2.0, 0.5)
    session.redo()
    assert (session.study.gamma, session.study.rate) == (2.0, 0.25)
    session.set(gamma=9.0)
    assert session.ahead == []  # another way was taken
    for _ in range(9):
        session.undo()
    assert session.study.values() == Told().values()
    assert session.back == []
    session.apply_preset("strong")
    session.set(gamma=1.0)
    session.reset()
    assert session.preset == "strong"
    assert settled(session).result.attrs["parameters"] == session.study.run().attrs["parameters"]


def test_a_group_says_nothing_where_its_numbers_are_missing(session):
    cards = Cards(session)
    assert "The gap is" in text(cards.view)
    session.result = session.result.drop_vars("gap")
    assert "The gap is" not in text(cards.view)


def test_the_way_of_a_slider_is_one_change(session):
    for gamma in (2.0, 3.0, 4.0):
        session.set(gamma=gamma)
    session.undo()
    assert session.study.gamma == 1.0


def test_data_are_undone_as_parameters_are(session):
    session.set_data("gaussians-2d")
    settled(session)
    session.undo()
    settled(session)
    assert session.study.data == "bump-to-bump"
    assert session.data.name == "bump-to-bump"
    session.redo()
    assert settled(session).data.name == "gaussians-2d"


def test_data_that_were_brought_are_held_for_undo_within_the_size_of_an_upload(session, monkeypatch):
    data = session.data
    own = [edited(data, x=data.arrays["x"] + k + 1) for k in range(4)]
    size = sum(array.nbytes for array in own[0].arrays.values())
    monkeypatch.setattr("lab.app.session.UPLOAD_LIMIT", 2.5 * size)
    for data in own:
        session.set(data=data)
        session.set(rate=0.4)  # no way of one slider
        session.set(rate=0.5)
        settled(session)
    held = {study.data.sha256 for study in session.back if not isinstance(study.data, str)}
    assert held == {data.sha256 for data in own[2:]}
    session.close()
    assert session.back == []


def _chips(cards):
    return {chip["name"]: chip for view in shown(cards.view, Chips) for chip in state(view)["chips"]}


def test_what_is_not_shown_is_a_chip_with_what_helps(session):
    cards = Cards(session)
    chips = _chips(cards)
    assert {*chips} == {"links", "off"}
    assert "no points in the plane" in chips["links"]["why"]
    assert (chips["links"]["set"], chips["off"]["set"]) == ("", "regularizer = quadratic")
    own = {card.picture.name: card.view.css_classes for card in cards.cards}
    assert own["against_gamma"] == ["card", "wide"]  # alone in its group: nothing stands beside it
    send(shown(cards.view, Chips)[0], {"name": "off"})
    assert session.study.regularizer == "quadratic"
    wait(lambda: [*_chips(cards)] == ["links"])
    wait(lambda: [card.view.css_classes for card in cards.cards if not card.why][-2:] == [["card"], ["card"]])


def test_runs_along_what_has_no_effect_are_not_computed(session, monkeypatch):
    monkeypatch.setattr(Told.param["gamma"], "when", {"regularizer": ("entropic",)})
    cards, scrubber = Cards(session), Scrubber(session)
    card = next(card for card in cards.cards if card.picture.name == "against_gamma")
    asked = []
    monkeypatch.setattr(session, "sweep", lambda picture, **_: asked.append(1) if picture is card.picture else None)
    card.head.seen = True
    assert (len(asked), card.why) == (1, "")
    session.set(regularizer="quadratic")
    settled(session)
    wait(lambda: card.why)
    assert (len(asked), card.view.visible) == (1, False)
    assert (state(scrubber)["off"], state(scrubber)["todo"]) == (
        "has an effect only when regularizer is entropic",
        None,
    )
    chips = _chips(cards)
    assert chips["against_gamma"]["set"] == "regularizer = entropic"
    why = "with regularizer = quadratic there is nothing to show: choose entropic for regularizer"
    with pytest.raises(ValueError, match=why):
        session.study.picture_result(card.picture)
    send(shown(cards.view, Chips)[0], {"name": "against_gamma"})
    assert card.view.visible  # before the run
    assert "against_gamma" not in _chips(cards)
    wait(lambda: len(asked) == 2)
    session.close()


@pytest.mark.slow
def test_a_card_gives_its_numbers_and_its_picture(session, monkeypatch):
    cards = Cards(session)
    card = cards.heroes[0]
    card.refresh()
    taken = {kind: download(card.head, {"take": kind}) for kind in ("csv", "pdf", "png")}
    rows = list(csv.DictReader(io.StringIO(taken["csv"]["content"].decode())))
    assert taken["csv"]["name"] == "told-values.csv"
    np.testing.assert_allclose([float(row["y"]) for row in rows], session.result["values"], rtol=1e-12)
    assert taken["pdf"]["content"].startswith(b"%PDF")
    assert taken["png"]["content"].startswith(b"\x89PNG")
    hidden = next(card for card in cards.cards if card.picture.name == "off")
    assert "no picture" in download(hidden.head, {"take": "csv"})["refused"]
    monkeypatch.setattr(Runner, "submit", lambda *given, **named: pytest.fail("a file is made"))
    send(card.head, {"take": "rm -rf"})


def test_four_numbers_stand_large_and_one_of_them_is_that_it_did_not_converge(session):
    page = StudyPage(session)
    large = lambda: text(page.main).partition('<p class=\\"says')[0]  # noqa: E731
    assert "converged" not in large()
    session.set(tolerance=1e-14, rate=0.001)
    settled(session)
    wait(lambda: session.result.attrs["reason"].replace("_", " ") in large())
    assert not session.result.attrs["converged"]


def test_old_addresses_of_tabs_open_what_has_them_now(session):
    page = StudyPage(session)
    for old, now in (
        ("sweep", "measure"),
        ("compare", "measure"),
        ("recipe", "take"),
        ("export", "take"),
        ("explore", "understand"),
    ):
        page.open(old)
        assert state(page.tabs)["active"] == now
    page.open("mathematics")
    assert state(page.tabs)["active"] == "claims"
    assert [badge for name, _, badge in state(page.tabs)["tabs"] if name == "claims"] == [f"0 / {len(Told.claims)}"]
    assert "Stop" not in buttons(page.main)  # nothing is checked before it is asked for


@pytest.mark.browser
def test_it_is_used_by_keys_alone():
    made = []

    def app():
        session = Session(Told)
        made.append(StudyPage(session, address=True))
        session.start()
        return made[-1]

    with open_page(app) as (page, log):
        value = page.locator("output", has_text="γ =")
        wait(lambda: page.wait_for_timeout(20) or (made and made[-1].session.fresh))
        session = made[-1].session
        page.locator(".rail .curve").wait_for()
        page.mouse.click(5, 5)
        press = """output => {
            document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true, cancelable: true}))
            return output.innerText  // in one turn of the browser, which hears nothing of the server meanwhile
        }"""
        assert value.evaluate(press) != "γ = 1"
        wait(lambda: page.wait_for_timeout(20) or session.study.gamma > 1)
        page.keyboard.press("Control+z")
        wait(lambda: page.wait_for_timeout(20) or session.study.gamma == 1)
        page.keyboard.press("p")
        page.get_by_text("step 1 of 3").wait_for(state="hidden")
        page.keyboard.press("ArrowDown")
        page.locator(".talk h1", has_text="Half as strong?").wait_for()
        steady(page, lambda: session.study.gamma)
        assert session.study.gamma == 1  # it is asked first: the room guesses
        assert page.locator(".talk em").count() == 0
        page.keyboard.press("a")
        wait(lambda: page.wait_for_timeout(20) or session.study.gamma == 0.5)
        page.locator(".talk em", has_text="The sum is 0.5, it was 1.").wait_for()
        assert not page.get_by_role("tablist").is_visible()
        page.keyboard.press("Escape")
        page.get_by_role("tablist").wait_for()
        page.keyboard.press("?")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        wait(lambda: page.wait_for_timeout(20) or page.get_by_role("dialog").count() == 0)
        page.get_by_text("1 of 3 done").wait_for()
        page.keyboard.press(" ")
        wait(lambda: page.wait_for_timeout(20) or session.study.gamma > 0.5)
        assert log.outside == []
        assert log.wrong == []
