"""Mathematics is set from this server alone, and Markdown does not eat it."""

import panel as pn
import pytest
from browsing import open_page
from halving import Halving

from lab.app.mathematics import mathematics, to_html


def test_markdown_leaves_formulas_alone():
    html = to_html(r"A *word*, $a_1 * b_2 * c_3$ and $x_{t+1}$ and __bold__.")
    assert "<em>word</em>" in html
    assert "<strong>bold</strong>" in html
    assert r"\(a_1 * b_2 * c_3\)" in html
    assert r"\(x_{t+1}\)" in html


def test_displays_may_run_over_lines():
    html = to_html("Before\n\n$$\n\\min_T \\langle T, C\\rangle\n\\quad (1)\n$$\n\nafter, $$x$$ too")
    assert r"$$\min_T \langle T, C\rangle \quad (1)$$" in html
    assert "<p>after, $$x$$ too</p>" in html


def test_prices_and_tags_are_text():
    html = to_html("<script>alert(1)</script> costs 5 dollars")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.browser
def test_formulas_are_read_as_written_where_what_sets_them_does_not_come():
    with open_page(lambda: pn.Column(mathematics(Halving.mathematics))) as (page, _):
        page.locator(".mathematics mjx-container svg").first.wait_for()
        asked = []
        page.route("**/bokeh-mathjax*", lambda route: (asked.append(route.request.url), route.abort()))
        page.reload()
        page.locator(".mathematics em").first.wait_for()
        assert [url.rpartition("/")[2].partition("?")[0] for url in asked] == ["bokeh-mathjax.min.js"]
        assert page.locator(".mathematics mjx-container").count() == 0
        assert any(r"\(" in text for text in page.locator(".mathematics p").all_inner_texts())


@pytest.mark.browser
@pytest.mark.parametrize("late", [False, True])
def test_it_is_drawn_without_asking_anyone_else(late):
    def app():
        column = pn.Column()
        if late:  # as in a tab that is built when it is opened
            pn.state.onload(lambda: column.append(mathematics(Halving.mathematics)))
        else:
            column.append(mathematics(Halving.mathematics))
        return column

    with open_page(app) as (page, log):
        page.locator(".mathematics mjx-container svg").first.wait_for()
        assert page.locator(".mathematics mjx-container").count() == 3
        assert page.locator(".mathematics mjx-container[display=true]").count() == 1
        assert page.locator(".mathematics svg path").count() > 20
        assert page.locator("merror, [data-mjx-error]").count() == 0
        text = page.locator(".mathematics em").first.inner_text()
        assert text == "converges"
        assert "\\" not in page.locator(".mathematics p").first.inner_text()
        box = page.locator(".mathematics mjx-container[display=true] svg").bounding_box()
        assert box["width"] > 200
        assert box["height"] > 30
        assert log.outside == []
        assert log.wrong == []
