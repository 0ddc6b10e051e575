"""What is exported is what was asked for, computed from the start, and can be made again from the file."""

import base64
import io
import json
import re
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from browsing import open_page, wait
from halving import Halving
from PIL import Image
from pypdf import PdfReader
from visitor import buttons, opened, text

from lab import figures, studies
from lab.app import recipe_tab
from lab.app.export_tab import ExportTab
from lab.app.session import Session

WRONG = '<p class="wrong">'


@pytest.fixture(autouse=True)
def known(home):
    studies.register(Halving)


def _tab(session=None, **asked):
    tab = ExportTab(session or opened(Halving))
    tab.param.update(**asked)
    tab.open()
    wait(lambda: tab.ready or WRONG in text(tab))
    return tab


def _numbers(tab):
    """What the figure on offer shows."""
    return xr.load_dataset(io.BytesIO(tab.numbers()[1]), engine="h5netcdf")


def _saved(tab, folder: Path) -> Path:
    name, content = tab.file()
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.slow
def test_a_pdf_of_a_column_with_its_recipe_inside(tmp_path):
    tab = _tab(opened(Halving, c=9.0))
    path = _saved(tab, tmp_path)
    assert path.name == "halving-iterates.pdf"
    box = PdfReader(path).pages[0].mediabox
    assert float(box.width) == pytest.approx(3.25 * 72, abs=0.01)
    recipe = figures.read_recipe(path)
    assert recipe["parameters"]["c"] == 9.0
    assert recipe["figure"]["picture"] == "iterates"
    preview = re.search(r'data:image/png;base64,([^"]+)"[^>]* style="width:3.25in"', text(tab))[1]
    assert Image.open(io.BytesIO(base64.b64decode(preview))).width == round(3.25 * 192)
    assert "3.25 × " in text(tab)


@pytest.mark.slow
def test_the_file_can_be_made_again_from_itself(tmp_path):
    path = _saved(_tab(opened(Halving, c=7.0), format="svg", width="text"), tmp_path)
    again = figures.reproduce(path)
    assert again.data_agrees
    assert again.picture_agrees


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "pixels"),
    [
        ({"format": "png", "width": "text", "height_inches": "2"}, (6.75 * 600, 1200)),
        ({"format": "png", "width": "inches", "width_inches": "2.5in", "style": "slide"}, (750, None)),
    ],
)
def test_sizes_are_those_asked_for(asked, pixels):
    image = Image.open(io.BytesIO(_tab(**asked).file()[1]))
    assert image.width == pytest.approx(pixels[0], abs=1)
    if pixels[1]:
        assert image.height == pixels[1]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"width": "inches", "width_inches": "wide"}, {"height_inches": "99"}])
def test_a_size_that_can_not_be_gives_its_sentence(asked):
    tab = _tab(**asked)
    assert not tab.ready
    assert not buttons(tab)["Download the figure"].ready
    assert "a number of inches from 1 to 20" in text(tab)
    tab.param.update(width="column", height_inches="")
    wait(lambda: tab.ready)
    assert buttons(tab)["Download the figure"].ready


@pytest.mark.slow
def test_a_picture_that_does_not_apply_says_why():
    session = opened(Halving)
    tab = _tab(session)
    assert tab.picture == "iterates"  # not the first, which does not apply
    tab.picture = "never"
    wait(lambda: WRONG in text(tab))
    assert "it is only there to be passed over" in text(tab)
    assert not tab.ready


@pytest.mark.slow
def test_a_fault_of_an_export_says_what_to_do_and_not_its_own_words(monkeypatch, caplog):
    tab = _tab()

    def broken(*_, **__):
        raise KeyError("x_of_the_export")

    monkeypatch.setattr(figures, "export_picture", broken)
    tab.format = "svg"
    wait(lambda: WRONG in text(tab))
    assert "this figure can&#x27;t be made (KeyError): choose another picture, format or size" in text(tab)
    assert "x_of_the_export" not in text(tab)
    assert "x_of_the_export" in caplog.text


@pytest.mark.slow
def test_a_result_that_began_from_its_neighbour_is_computed_again(monkeypatch):
    session = opened(Halving)
    wrong = session.result.copy(deep=True)
    wrong["history"][:] = 7.0
    session.result = wrong.assign_attrs(warm_start=1)
    session.fresh = True
    tab = _tab(session)
    assert _numbers(tab).attrs["warm_start"] == 0
    assert float(_numbers(tab).history[-1]) == pytest.approx(2**0.5)


@pytest.mark.slow
def test_a_picture_of_a_sweep_gets_its_sweep():
    tab = _tab(picture="roots")
    tab.picture = "roots"
    wait(lambda: tab.ready)
    np.testing.assert_allclose(_numbers(tab).root, np.sqrt([1.0, 2.0, 4.0]), rtol=1e-6)


@pytest.mark.slow
def test_the_numbers_come_as_netcdf(tmp_path):
    session = opened(Halving, c=5.0)
    name, content = _tab(session).numbers()
    path = tmp_path / name
    path.write_bytes(content)
    with xr.open_dataset(path, engine="h5netcdf") as back:
        assert json.loads(back.attrs["recipe"])["parameters"]["c"] == 5.0
        xr.testing.assert_equal(back.load(), session.result)


@pytest.mark.slow
def test_the_command_says_what_was_asked_for():
    tab = _tab(opened(Halving, c=5.5), width="text", height_inches="3", style="slide", format="svg")
    words = shlex.split(unescape(re.search("<pre>(lab figure .*?)</pre>", text(tab))[1]))
    assert words[:3] == ["lab", "figure", "halving:iterates"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    wanted = {"--c": "5.5", "--width": "text", "--height": "3", "--style": "slide", "-o": "halving-iterates.svg"}
    assert options == wanted


def test_nothing_is_drawn_out_of_sight(monkeypatch):
    monkeypatch.setattr(figures, "export_picture", lambda *args, **kw: pytest.fail("it drew"))
    session = opened(Halving)
    tab = ExportTab(session)
    session.set(c=3.0)
    wait(lambda: session.fresh and not session.busy)
    assert not tab.ready
    assert "<img" not in text(tab)


@pytest.mark.slow
def test_a_new_result_withdraws_the_old_file():
    session = opened(Halving)
    tab = _tab(session)
    old = tab.file()
    session.set(c=50.0)
    assert not tab.ready
    wait(lambda: session.fresh and tab.ready and tab.file() != old)
    assert float(_numbers(tab).root) == pytest.approx(50**0.5, rel=1e-3)


def test_the_recipe_is_told_in_words():
    session = opened(Halving, c=9.0)
    html = text(recipe_tab.RecipeTab(session))
    sha = session.result.attrs["data_sha256"]
    for part in ("9", "changed", sha, "no data, only a formula", "float64", "halving, version 1", "from the start"):
        assert part in html
    assert html.count('class="changed"') == 1
    assert "Halving(c=9.0)" in html
    assert "lab run halving --c 9" in html
    assert 'data-path="/halving?c=9' in html
    assert "comes with the first result" in text(recipe_tab.RecipeTab(Session(Halving)))


def _live_tab():
    session = Session(Halving)
    session.start()
    tab = ExportTab(session)
    tab.open()
    return tab


def _live_recipe():
    session = Session(Halving(c=9.0))
    session.start()
    return recipe_tab.RecipeTab(session)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (800, "dark")])
def test_in_the_browser(tmp_path, width, scheme):
    with open_page(_live_tab, width, scheme) as (page, log):
        image = page.locator(".page:not(.stale) img")
        image.wait_for()
        assert image.bounding_box()["width"] == pytest.approx(3.25 * 96, abs=1)  # print size
        for turn in range(2):  # the same file twice
            with page.expect_download() as coming:
                page.get_by_text("Download the figure").click()
            path = tmp_path / f"{turn}-{coming.value.suggested_filename}"
            coming.value.save_as(path)
            assert figures.read_recipe(path)["figure"]["picture"] == "iterates"
        page.get_by_role("radio", name="SVG").click()
        page.get_by_role("radio", name="text").click()
        page.get_by_text("6.75 × ").wait_for()
        assert image.bounding_box()["width"] == pytest.approx(6.75 * 96, abs=1)
        with page.expect_download() as coming:
            page.get_by_text("Download the figure").click()
        coming.value.save_as(tmp_path / coming.value.suggested_filename)
        assert (tmp_path / "halving-iterates.svg").read_text().lstrip().startswith("<?xml")
        page.get_by_label("Height").fill("a mile")
        page.get_by_label("Height").press("Enter")
        page.get_by_text("is not allowed").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert log.outside == []
        assert log.wrong == []


@pytest.mark.browser
def test_copying_in_the_browser():
    with open_page(_live_recipe) as (page, log):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for name, text in (("Copy as command", "lab run halving --c 9"), ("Copy link", "/halving?c=9")):
            page.get_by_role("button", name=name).click()
            page.get_by_role("button", name="Copied").first.wait_for()
            page.wait_for_function("async (text) => (await navigator.clipboard.readText()).includes(text)", arg=text)
        assert log.wrong == []
