"""No word of a hero is cut or lies over another: measured in a browser, at the sizes of a page."""

import json
import shutil
from pathlib import Path

import pytest
from bokeh.document import Document
from bokeh.embed import json_item
from bokeh.layouts import row
from bokeh.plotting import figure
from bokeh.resources import INLINE
from waiting import steady

import lab.studies.draw as draw
from lab.app.stage import rooms
from lab.studies import catalogue
from lab.sweeps.single import run

BOXES = (Path(__file__).parent / "boxes.js").read_text()


STAGES = {
    1440: 1036,
    800: 614,
}  # the width of a hero, by that of the window; the smaller one is that of a notebook in 1440


def _figures(study, window):
    """The heroes of a study's default, as wide as they are in a window; a third one gives way in a narrow window."""
    result = run(study())  # what ships
    shown = [picture for name in study.story.hero if not (picture := study.pictures[name]).applies(result)]
    found = []
    shown = shown[: 2 if window < 900 else 3]
    for picture, (width, height) in zip(shown, rooms(shown, STAGES[window]).values(), strict=True):
        with draw.theme("light", backend="bokeh", room=width / height, wide=width):
            element = picture.shown(result, picture.frame(result), None)
            figure = draw.bokeh_renderer("light").get_plot(element, doc=Document()).state
        size = {"width": int(width), "height": int(height) + 30, "min_height": 0}  # of which 30 are air
        figure.update(sizing_mode="fixed", name=f"{study.slug}:{picture.name}", **size)
        found.append(figure)
    return found


def _wrong(figures, folder):
    """What is wrong with each list of figures, as a browser draws them."""
    from playwright.sync_api import sync_playwright

    empty = folder / "page.html"
    empty.write_text(f'<html><body>{INLINE.render_js()}<div id="here"></div></body></html>')
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(empty.as_uri())
        for own in figures:
            item = json.loads(json.dumps(json_item(row(own), "here")))
            page.evaluate("async (item) => { await Bokeh.embed.embed_item(item) }", item)
            page.wait_for_function("document.querySelector('#here').firstElementChild && [...Bokeh.index].length > 0")
            page.wait_for_function("Bokeh.documents.every(each => each.is_idle)")
            wrong += steady(page, lambda: page.evaluate(BOXES))
            page.evaluate("() => { for (const view of [...Bokeh.index]) view.remove(); here.replaceChildren() }")
        browser.close()
    return wrong


@pytest.mark.browser
@pytest.mark.parametrize("window", STAGES)
def test_no_word_of_a_hero_is_cut_or_lies_over_another(window, tmp_path, monkeypatch):
    monkeypatch.delenv("LAB_RESULTS")
    told = [study for study in catalogue() if study.story is not None]  # tests may have registered others
    wrong = _wrong((_figures(study, window) for study in told), tmp_path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.browser
def test_words_that_collide_or_are_cut_are_found(tmp_path):
    plot = figure(width=300, height=200, x_range=(0, 1), y_range=(0, 1), name="plot")
    plot.xaxis.axis_label = "the name of an axis that is longer than the axes are wide"
    plot.text([0.1, 0.12, 0.97], [0.5, 0.5, 0.9], ["first words", "second words", "far right"])
    found = _wrong([[plot]], tmp_path)
    assert len(found) == 3
    assert "the name “the name of an axis" in found[0]
    assert "“first words” lies over “second words”" in found[1]
    assert "“far right” is cut" in found[2]
