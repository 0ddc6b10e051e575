"""The gallery: found by any word, honest about claims, complete without waiting."""

import re
from html import escape

import pytest
from browsing import open_page, wait
from halving import Halving
from tornado.httpclient import AsyncHTTPClient
from visitor import send, shown, state, text

from lab.app import make_server, thumbnails
from lab.app.gallery import Fields, Gallery
from lab.studies import Paper

pytestmark = pytest.mark.usefixtures("home")


class Thirds(Halving):
    slug = "thirds"
    title = "Cube <roots>"
    field = "Geometry"
    about = "A cube of twice the volume."
    paper = Paper("Eudoxus", "On solids", "Cnidus", 1999)


def _shown(gallery):
    return [study.slug for study, card in gallery.cards.items() if card.pane.visible]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["halving", "thirds"]),
        ("square", ["halving"]),
        ("CUBE", ["thirds"]),
        ("poincare", ["halving"]),  # an author, without the accent
        ("Cnidus 1999", ["thirds"]),  # a venue and a year
        ("geometry", ["thirds"]),  # a field
        ("iterations halving", ["halving"]),  # a parameter's doc and a slug
        ("root of nine", ["halving", "thirds"]),  # a preset, inherited by the other
        ("square geometry", []),
        ("poincaré metrica heron", ["halving"]),
    ],
)
def test_every_word_has_to_be_found(query, found):
    gallery = Gallery([Halving, Thirds])
    gallery.search.value_input = query
    assert _shown(gallery) == found


def test_a_search_without_an_answer_says_so_and_hides_the_fields():
    gallery = Gallery([Halving, Thirds])
    gallery.query = "<b>quantum"
    assert "No study matches “&lt;b&gt;quantum”" in text(gallery)
    assert _shown(gallery) == []
    gallery.query = "cube"
    assert "No study matches" not in text(gallery)
    assert _shown(gallery) == ["thirds"]


def test_a_card_names_parameters_and_paper_and_links_to_the_page():
    card = Gallery([Thirds]).cards[Thirds].pane.object
    assert '<a href="/thirds">' in card
    assert "Cube &lt;roots&gt;" in card
    assert 'title="c, n"' in card
    assert "Eudoxus · Cnidus 1999" in card
    assert "Heron et al. · " in Gallery([Halving]).cards[Halving].pane.object
    assert "0 / 5</span>" in card  # of all that can be checked


def test_one_field_alone_and_its_name_over_its_first_card():
    gallery = Gallery([Halving, Thirds])
    assert re.findall(r"<h2>(.*?)</h2>|href=\"/(\w+)", text(gallery)) == [
        *(("Arithmetic", ""), ("", "halving"), ("Geometry", ""), ("", "thirds"))
    ]
    fields = shown(gallery, Fields)[0]
    send(fields, {"field": "Geometry"})
    assert _shown(gallery) == ["thirds"]
    assert state(fields)["active"] == "Geometry"
    send(fields, {"field": ""})
    assert _shown(gallery) == ["halving", "thirds"]


@pytest.mark.slow
def test_a_card_asks_its_question_and_a_large_gallery_begins_with_one_that_plays():
    gallery = Gallery()
    assert all(escape(study.story.question) in card.pane.object for study, card in gallery.cards.items() if study.story)
    first, _, others = text(gallery).partition("<h2>")
    assert ("Open and play" in first, "Open and play" in others) == (True, False)
    assert len(re.findall('<a href="', text(gallery))) == len(gallery.cards)
    gallery.query = "how accurate are diffusion samplers"
    assert _shown(gallery) == ["principles-of-diffusion"]


def test_cards_are_there_before_their_pictures(monkeypatch):
    def fails(study, report=None):
        if study is Thirds:
            raise ValueError("no picture of thirds applies to its default result")
        return {"light": b"\x89PNG light", "dark": b"\x89PNG dark"}

    monkeypatch.setattr(thumbnails, "make", fails)
    gallery = Gallery([Thirds, Halving])
    assert all("being drawn" in card.pane.object for card in gallery.cards.values())
    gallery.draw_missing()
    wait(lambda: not any(card.waiting for card in gallery.cards.values()))
    assert "no picture of thirds applies" in gallery.cards[Thirds].pane.object
    assert gallery.cards[Halving].pane.object.count("data:image/png;base64,") == 2


@pytest.mark.parametrize("path", ["/nope", "/sparse-ot/nope", "/%3Cb%3Enope"])
def test_an_address_that_is_no_page(path):
    server = make_server(port=0, warm=False)
    try:
        found = server.io_loop.run_sync(
            lambda: AsyncHTTPClient().fetch(f"http://127.0.0.1:{server.port}{path}", raise_error=False)
        )
        assert found.code == 404
        page = found.body.decode()
        assert "There is no page at /" in page
        assert '<a href="/">the gallery</a>' in page
        assert "--accent" in page
        assert "<b>nope" not in page
    finally:
        server.stop()


def test_an_empty_gallery_says_so():
    assert "no studies here yet" in text(Gallery([]))


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (800, "dark")])
def test_in_the_browser(width, scheme):
    with open_page(lambda: Gallery([Halving, Thirds], dark=scheme == "dark"), width, scheme) as (page, log):
        cards = page.locator("a[href='/halving']:visible, a[href='/thirds']:visible")
        page.locator(f"img.{scheme}").nth(1).wait_for()
        assert page.locator(f"img.{'dark' if scheme == 'light' else 'light'}:visible").count() == 0
        assert cards.count() == 2
        for card in cards.all():
            box = card.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["width"] >= 240
        page.locator("input").fill("eudoxus")
        page.locator("a[href='/halving']").wait_for(state="hidden")
        assert cards.count() == 1
        page.locator("input").fill("nothing like it")
        page.get_by_text("No study matches “nothing like it”").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert log.outside == []
        assert log.wrong == []
