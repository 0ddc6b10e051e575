"""The pages as a person meets them: a server of its own, headless Chromium, keyboard and mouse."""

import os
import re
import shutil
from urllib.parse import urlsplit

import pytest
from waiting import LIMIT, animation_frames, steady, wait

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.fail("there is no Chromium here: name one in the environment variable CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visit:
    """An open page, with all that went wrong on it and every byte that came over its socket."""

    def __init__(self, browser, server, path, width=1440, scheme="light"):
        self.context = browser.new_context(viewport={"width": width, "height": 1240}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * LIMIT)
        self.wrong, self.outside, self.received = [], [], []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", lambda r: self.wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", self._note)
        self.page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: self.received.append(len(frame))))
        self.page.goto(server + path)

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # by leaving the page
            self.wrong.append(f"failed: {request.url}: {request.failure}")

    def _note(self, request):
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.outside.append(request.url)

    def until(self, what):
        return wait(what, lambda: self.page.wait_for_timeout(20), self.wrong)

    def settled(self):
        self.until(lambda: self.page.locator(".strip").count() and re.match("Done in|From the store", self.says()))
        return self

    def says(self):
        return self.page.locator(".row [role=status]").text_content()

    def scalar(self, label):
        return self.page.locator(".strip > div", has=self.page.get_by_text(label, exact=True)).locator("b").inner_text()

    def slider(self, name):
        return self.page.locator(f"input[type=range][name={name}]")

    def box(self, name):
        return self.page.locator(f"input.box[name={name}]")

    def drawn(self, n=0):
        """What the n-th picture has on its canvas."""
        return self.page.locator(".bk-Figure").nth(n).locator("canvas").first.evaluate("c => c.toDataURL()")

    def inks(self):
        """The colours of the axis labels of all pictures."""
        return set(
            self.page.evaluate(
                """() => {
                  const all = (view) => [view, ...[...view.children()].flatMap(all)]
                  return [...Bokeh.index].flatMap(all).filter(v => v.model.type === "Figure")
                    .flatMap(v => v.model.below.map(axis => axis.axis_label_text_color))
                }"""
            )
        )

    def shape(self):
        """Pixels of a unit across over those of a unit up, in the picture of the points: 1 where scales are equal."""
        return self.page.evaluate(
            """() => {
              const all = (view) => [view, ...[...view.children()].flatMap(all)]
              const fig = [...Bokeh.index].flatMap(all).map(v => v.model)
                .find(m => m.type === "Figure" && m.below[0].axis_label === "x₁")
              const unit = (pixels, range) => pixels / Math.abs(range.end - range.start)
              return unit(fig.inner_width, fig.x_range) / unit(fig.inner_height, fig.y_range)
            }"""
        )

    def bars(self):
        return self.page.locator(".bar").all_inner_texts()


@pytest.fixture
def visit(browser, server):
    opened = []

    def open_page(path="/gradual", **options):
        opened.append(Visit(browser, server, path, **options))
        return opened[-1]

    yield open_page
    for each in opened:
        each.context.close()
        assert each.wrong == []
        assert each.outside == []


def test_the_page_shows_the_study(visit):
    seen = visit().settled()
    assert seen.page.title() == "Gradual approach to a weighted limit"
    seen.page.locator("h1", has_text="Gradual approach to a weighted limit").wait_for()
    assert seen.scalar("total") == "1"
    assert "converged" in seen.page.locator(".all .good b").all_text_contents()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() == 3)  # the sweep comes by itself
    assert "the data have no points in the plane" in seen.page.locator(".list").inner_text()


def test_a_slider_moves_the_picture_by_keyboard(visit):
    seen = visit().settled()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() == 3)  # the sweep has come too
    before, sent = steady(seen.page, lambda: (seen.drawn(0), len(seen.received)))
    seen.slider("gamma").focus()
    seen.page.keyboard.press("ArrowRight")
    seen.until(lambda: seen.box("gamma").input_value() == "1.06")
    seen.until(lambda: seen.scalar("total") == "1.06")
    seen.until(lambda: seen.drawn(0) != before)
    seen.until(lambda: "gamma=1.06" in seen.page.url)
    assert sum(seen.received[sent:]) <= 300_000
    seen.slider("k").focus()
    seen.page.keyboard.press("ArrowRight")
    seen.until(lambda: seen.box("k").input_value() == "3")  # each whole number is one step, on a logarithmic scale too


def test_what_is_typed_is_exact_and_a_refusal_is_a_sentence(visit):
    seen = visit().settled()
    seen.box("gamma").fill("2.7182818")
    seen.box("gamma").press("Enter")
    seen.until(lambda: seen.scalar("total") == "2.718")
    seen.box("k").fill("99")
    seen.box("k").press("Enter")
    seen.until(lambda: seen.bars())
    assert seen.bars() == ["k = 99 is not allowed: it must be a whole number from 1 to 32, the data have 32 sources."]
    seen.until(lambda: seen.box("k").input_value() == "2")  # put back
    seen.page.get_by_role("radio", name="quadratic").click()
    seen.until(lambda: not seen.bars())


def test_stop_is_felt_at_once_and_keeps_the_best_so_far(visit):
    """That no more than some iterations are done after it, ``test_session`` counts."""
    seen = visit("/gradual?rate=0.001&slow=true&tolerance=1e-9")  # 100 s, if nobody stops it
    seen.until(lambda: re.match(r"Running.*iteration \d+ of at most 2000", seen.says()))
    seen.until(lambda: seen.page.locator("svg.spark").count())
    seen.page.get_by_role("button", name="Stop").click()
    seen.until(lambda: "Stopped after" in seen.says())
    seen.until(lambda: "stopped" in seen.page.locator(".strip .warn b").all_inner_texts())  # another part of the page
    assert "stopped on request" in seen.bars()[-1]


def test_a_fault_leaves_the_last_picture_and_says_so(visit):
    seen = visit().settled()
    seen.page.locator("summary", has_text="More").click()
    seen.page.get_by_role("switch", name="fail").click()
    seen.until(lambda: seen.bars())
    assert seen.bars() == ["Something went wrong in the computation: RuntimeError: broken on purpose."]
    assert seen.scalar("total") == "1"
    seen.page.get_by_role("switch", name="fail").click()
    seen.until(lambda: not seen.bars())


def test_a_link_restores_the_state(visit):
    first = visit().settled()
    first.page.get_by_role("button", name="Points in the plane").click()
    first.until(lambda: first.page.locator(".bk-Figure").count() >= 3)
    first.slider("k").focus()
    first.page.keyboard.press("End")
    first.until(lambda: "k=20" in first.page.url and "Done" in first.says())
    again = visit(first.page.url.removeprefix("http://127.0.0.1").lstrip(":0123456789")).settled()
    assert again.box("k").input_value() == "20"
    assert again.page.locator(".data select").input_value() == "gaussians-2d"
    assert again.bars() == []


def test_a_link_out_of_range_is_clamped_with_a_notice(visit):
    seen = visit("/gradual?k=99&gamma=1e9").settled()
    assert "K was 99, the data allow 1 to 32: set to 32." not in seen.bars()
    assert "k was 99, the data allow 1 to 32: set to 32." in seen.bars()
    assert seen.box("k").input_value() == "32"
    assert seen.box("gamma").input_value() == "10000"


def test_presets_and_data_move_the_controls(visit):
    seen = visit().settled()
    strong = seen.page.get_by_role("button", name="Strong pull")
    told = strong.evaluate("(button) => { button.click(); return button.ariaBusy }")
    assert told == "true"  # before the server answers
    seen.until(lambda: strong.get_attribute("aria-pressed") == "true")
    seen.until(lambda: seen.box("gamma").input_value() == "50")
    seen.until(lambda: "The pull is strong: lower gamma." in seen.bars())
    seen.page.locator(".data select").select_option("gaussians-2d")
    seen.until(lambda: seen.page.locator(".data select").input_value() == "gaussians-2d")

    def at_the_end():  # the slider ends at 20 only when the data have come
        seen.slider("k").press("End")
        return seen.box("k").input_value() == "20"

    seen.until(at_the_end)
    assert strong.get_attribute("aria-pressed") == "false"


def test_scales_stay_equal_while_values_change(visit):
    seen = visit("/gradual?data=gaussians-2d").settled()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() >= 3)
    for _ in range(2):
        seen.until(lambda: abs(seen.shape() - 1) < 0.02)
        before = seen.scalar("total")
        seen.slider("gamma").focus()
        seen.page.keyboard.press("ArrowRight")
        seen.until(lambda before=before: seen.scalar("total") != before)
    seen.until(lambda: abs(seen.shape() - 1) < 0.02)


def test_dragging_a_point_moves_the_plan(visit):
    seen = visit("/gradual?data=gaussians-2d").settled()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() >= 3)
    figure = seen.page.locator(".card", has=seen.page.locator("h3", has_text="Links")).locator(".bk-Figure")
    place = """host => {
          const all = (view) => [view, ...[...view.children()].flatMap(all)]
          const view = [...Bokeh.index].flatMap(all).find(v => v.el === host)
          const {x, y} = view.model.renderers.find(r => r.glyph.type === "Scatter").data_source.data
          const box = host.getBoundingClientRect(), {x_scale, y_scale} = view.frame
          return [box.x + x_scale.compute(x[0]), box.y + y_scale.compute(y[0])]
        }"""
    start = steady(seen.page, lambda: figure.evaluate(place))
    seen.page.mouse.move(*start)
    seen.page.mouse.down()
    for i in range(1, 9):
        seen.page.mouse.move(start[0] + 5 * i, start[1] - 4 * i)
        animation_frames(seen.page)
    seen.page.mouse.up()
    seen.until(lambda: "edited" in seen.page.locator(".data option").first.inner_text())
    seen.page.get_by_role("button", name="Back to the original").click()
    seen.until(lambda: seen.page.locator(".data select").input_value() == "gaussians-2d")


def test_light_and_dark(visit):
    seen = visit(scheme="dark").settled()
    assert seen.page.locator("html").get_attribute("data-theme") == "dark"
    seen.until(lambda: seen.inks() == {"#e6eaf0"})
    seen.page.get_by_role("button", name="Light or dark").click()
    assert seen.page.locator("html").get_attribute("data-theme") == "light"
    seen.until(lambda: seen.inks() == {"#1b2430"})
    seen.page.reload()
    assert seen.page.locator("html").get_attribute("data-theme") == "light"  # the browser remembers


def test_two_visitors_do_not_disturb_each_other(visit):
    slow = visit("/gradual?rate=0.001&slow=true&tolerance=1e-9")
    slow.until(lambda: "iteration" in slow.says())  # one that stops before its first step has no answer
    quick = visit("/gradual?gamma=3")
    quick.settled()
    assert quick.scalar("total") == "3"
    assert "Running" in slow.says()
    slow.page.get_by_role("button", name="Stop").click()
    slow.until(lambda: "Stopped after" in slow.says())
    assert quick.scalar("total") == "3"


def test_on_a_narrow_screen_what_runs_and_stop_are_in_sight(visit):
    seen = visit("/gradual?rate=0.001&slow=true&tolerance=1e-9", width=800)
    seen.until(lambda: "iteration" in seen.says())  # one that stops before its first step has no answer
    assert not seen.page.locator("aside").is_visible()
    stop = seen.page.get_by_role("button", name="Stop")
    curve = seen.page.locator(".row:has([role=status]) ~ .curve")
    curve.locator("svg").wait_for()  # nothing moves any more by itself
    box = stop.bounding_box()
    assert box["x"] > 600
    assert box["y"] > 700
    stop.hover()
    seen.page.mouse.down()
    curve.evaluate("host => { host.style.height = '200px' }")  # as a first curve does
    seen.until(lambda: stop.bounding_box()["y"] < box["y"] - 50)
    seen.page.mouse.up()
    seen.until(lambda: "Stopped after" in seen.says())
    seen.until(lambda: not stop.is_visible())


def test_on_a_narrow_screen_what_runs_lies_above_the_slider(visit):
    seen = visit("/told?rate=0.001&slow=true&tolerance=1e-9", width=800)
    seen.until(lambda: "iteration" in seen.says())  # one that stops before its first step has no answer
    slider, stop = seen.page.locator("input[name=scrubber]"), seen.page.get_by_role("button", name="Stop")
    seen.until(lambda: stop.bounding_box()["y"] + 60 < slider.bounding_box()["y"])
    assert slider.bounding_box()["y"] > 1100
    slider.click(trial=True)  # fails where something lies over it
    stop.click()
    seen.until(lambda: "Stopped after" in seen.says())


def test_on_a_narrow_screen_the_column_is_behind_a_button(visit):
    seen = visit(width=800).settled()
    assert not seen.page.locator("aside").is_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 800
    seen.page.get_by_role("button", name="Parameters").click()
    seen.page.locator("aside").wait_for(state="visible")
    seen.page.keyboard.press("Escape")
    seen.page.locator("aside").wait_for(state="hidden")


def test_every_tab_opens(visit):
    seen = visit().settled()
    for name in ("Measure", "Mathematics & claims", "Take along", "Understand"):
        seen.page.get_by_role("tab", name=name).click()
        seen.until(lambda name=name: seen.page.get_by_role("tab", name=name).get_attribute("aria-selected") == "true")
        steady(seen.page, lambda: len(seen.received))
    seen.until(lambda: seen.page.locator(".bk-Figure").first.is_visible())


def test_the_gallery_leads_to_the_page(visit):
    seen = visit("/")
    card = seen.page.get_by_role("link", name="Gradual approach").first
    card.scroll_into_view_if_needed()
    before = seen.page.evaluate("scrollY")
    seen.page.mouse.wheel(0, 120)
    seen.until(lambda: seen.page.evaluate("scrollY") > max(before, 50))
    place = steady(seen.page, lambda: seen.page.evaluate("scrollY"))
    assert card.evaluate("(card) => { card.click(); return card.ariaBusy }") == "true"  # before the page is there
    seen.settled()
    assert not seen.page.locator(".opening").is_visible()
    seen.page.go_back()  # to where it was
    seen.until(lambda: place > 50 and seen.page.evaluate("scrollY") == place)
    assert card.get_attribute("aria-busy") is None
    seen.page.go_forward()
    seen.settled()
    seen.page.locator(".mark").click()
    seen.page.wait_for_url(re.compile(r":\d+/$"))


@pytest.mark.parametrize("path", ["/gradual?data=gaussians-2d", "/drifting"])
def test_a_page_that_was_closed_is_let_go_of(visit, process, path):
    seen = visit(path).settled()
    assert held(process) >= 1
    for tab in ("Measure", "Take along"):
        seen.page.get_by_role("tab", name=tab).click()
    seen.context.close()
    wait(lambda: held(process) == 0)


def held(process):
    """How many pages are in the memory of the server."""
    process.stdin.write("\n")
    process.stdin.flush()
    # Panel writes there too, that a browser was gone before its message
    return next(int(line.split()[1]) for line in iter(process.stdout.readline, "") if line.startswith("held "))


@pytest.mark.browser
def test_nothing_is_exchanged_with_an_open_page_that_nobody_touches(browser, server):
    visit = Visit(browser, server, "/gradual").settled()

    def quiet():
        before = len(visit.received)
        for _ in range(60):
            animation_frames(visit.page)
        return len(visit.received) == before

    wait(quiet, wrong=visit.received)
    visit.context.close()
