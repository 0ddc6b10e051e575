"""The sweep tab: axes and their refusals, the plan, a map that fills, cells that fail, files that can be made again."""

import io
import json
import re
from pathlib import Path

import holoviews as hv
import numpy as np
import panel as pn
import pytest
import xarray as xr
from bokeh.events import Tap
from browsing import open_page, wait
from gradual import Gradual
from halving import Halving
from scipy import stats
from visitor import buttons, download, event, figure_of, opened, picture_of, send, shown, state, text

import lab
from lab import figures, studies
from lab.app.choose import Choose
from lab.app.session import Session
from lab.app.study_page import StudyPage
from lab.app.sweep_cells import SweepCells
from lab.app.sweep_tab import SweepTab
from lab.app.sweep_views import alike, suggested
from lab.figures.sweep import MEAN, NOT_YET, View, draw_view, is_log, of_shape, spread, sweep_picture
from lab.store import Store
from lab.studies import Limit, draw
from lab.studies.draw.look import backends
from lab.sweeps import Plan

backends()


@pytest.fixture(autouse=True)
def known(home, monkeypatch):
    monkeypatch.setattr("lab.app.runner._CALM", 0.0)
    studies.register(Halving)
    studies.register(Gradual)


def _tab(session=None, chosen=None, **texts):
    tab = SweepTab(session or opened(Halving), (chosen if chosen is not None else []).append)
    tab.active = True
    if texts:
        tab.set_axes(texts)
    wait(lambda: not tab.stage)
    return tab


def _run(tab):
    tab.run()
    wait(lambda: not tab.stage)
    return tab


def _refused(tab):
    return state(tab.form)["refused"]


# ---- axes ------------------------------------------------------------------------------------------------------------


def test_the_first_two_parameters_are_ticked_with_values_worth_a_sweep():
    tab = _tab()
    assert tab.ticked == ["c", "steps"]
    assert len(tab.plan.grid["c"]) == 7
    assert all(0 < c <= 100 for c in tab.plan.grid["c"])  # an open end is no value
    assert tab.says()[0] == "c × n: 7 × 7 = 49 cells"
    assert not Store().entries()  # nothing has run


class Choosy(Halving):
    slug = "choosy"

    def check(self, data):
        super().check(data)
        if self.steps > 6:
            raise ValueError("steps and c do not go together: leave one of them")


def test_a_first_sweep_that_is_refused_makes_room_for_the_next():
    studies.register(Choosy)
    tab = _tab(opened(Choosy))
    assert "steps" not in tab.ticked
    assert len(tab.plan.grid) == 2
    tab.tick("steps", True)  # what a user asks for is answered, not changed
    wait(lambda: not tab.stage)
    assert "steps" in tab.ticked
    assert tab.plan is None
    assert tab.wrong.startswith("steps and c do not go together")


@pytest.mark.parametrize(
    ("name", "limit", "text"),
    [
        ("k", Limit(1, 20, ""), "1,2,4,8,16"),
        ("gamma", None, "0.01:100:log7"),
        ("regularizer", None, "entropic,quadratic,k-sparse"),
        ("rate", None, "0.1429:1:7"),
        ("slow", None, "false,true"),
        ("seed", None, "0:5"),
    ],
)
def test_suggestions_follow_scale_bounds_and_data(name, limit, text):
    assert suggested(Gradual(), name, limit) == text
    plan = Plan(Gradual, {name: text}, store=Store())
    assert len(plan.grid[name]) > 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8:1", "runs backwards"),
        ("1,2,2", "twice"),
        ("0:1:log5", "no logarithm"),
        ("101,2", "it must be a number above 0 and up to 100"),
        ("3", "one value is no sweep"),
        ("a,b", "must be a number"),
    ],
)
def test_a_refused_axis_says_why_beside_it_and_nothing_runs(text, why):
    tab = _tab(c=text)
    assert why in _refused(tab)["c"]
    assert (tab.plan, tab.cells) == (None, None)
    tab.run()
    assert tab.stage == ""
    tab.set_text("c", "1,2")
    wait(lambda: not tab.stage)
    assert _refused(tab) == {}
    assert tab.plan.cells == 2


def test_what_the_data_do_not_allow_is_refused_beside_its_axis():
    tab = _tab(opened(Gradual), k="1,33")
    assert "the data have 32 sources" in _refused(tab)["k"]
    assert tab.plan is None


def test_a_refusal_of_an_axis_calls_it_as_the_axis_is_called():
    tab = _tab(opened(Gradual), gamma="-1,2")
    assert _refused(tab)["gamma"].startswith("γ = -1.0 is not allowed")


def test_axes_of_a_link():
    tab = _tab(c="1,4", nonsense="3")
    assert tab.axes == {"c": "1,4"}
    assert tab.plan.grid == {"c": [1.0, 4.0]}


# ---- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_fills_and_is_at_once_there_again():
    tab = _run(_tab(c="1,4,9", steps="1,6,12"))
    assert tab.cells.missing == 0
    table = tab.cells.dataset().root
    assert table.dims == ("c", "steps")
    np.testing.assert_allclose(table.sel(steps=12), [1, 2, 3], rtol=1e-12)
    np.testing.assert_allclose(table.sel(steps=1), [1, 2.5, 5], rtol=1e-12)  # (1 + c) / 2
    assert "9 in the store" in tab.says()
    again = _tab(c="1,4,9", steps="1,6,12")
    assert again.cells.missing == 0
    assert "Nothing is left to compute." in again.says()
    more = _tab(c="1,4,9,16", steps="1,6,12")
    assert more.cells.missing == 3


@pytest.mark.slow
def test_a_sweep_in_the_background_process_fills_stops_and_goes_on(background):
    session = opened(Gradual)
    tab = _tab(session, rate="0.01:0.05:9", slow="true,false")
    tab.run()
    wait(lambda: " cells" in tab.progress())
    assert background.process is not None
    tab.stop()
    wait(lambda: not tab.stage)
    assert tab.cells.missing > 0
    assert "Stopped" in tab.says()[-1]
    assert len(Store().held(tab.plan.keys)) == tab.plan.cells - tab.cells.missing
    left = tab.cells.missing
    _run(tab)
    assert (tab.wrong, tab.cells.missing) == ("", 0)
    assert left < tab.plan.cells
    session.close()
    tab.close()


@pytest.mark.slow
def test_stop_keeps_what_there_is_and_run_goes_on_from_there():
    session = opened(Gradual)
    tab = _tab(session, rate="0.01:0.05:9", slow="true,false")
    tab.run()
    wait(lambda: " cells" in tab.progress())
    tab.stop()
    wait(lambda: not tab.stage)
    assert tab.cells.missing > 0
    assert "Stopped" in tab.says()[-1]
    left = tab.cells.missing
    held = Store().held(tab.plan.keys)
    assert len(held) == tab.plan.cells - left
    session.close()
    tab.close()


@pytest.mark.slow
def test_cells_that_fail_say_why_and_can_be_tried_again():
    tab = _run(_tab(opened(Gradual), gamma="1,2", fail="false,true"))
    assert tab.wrong == ""
    errors = tab.cells.dataset().cell_error
    assert (errors.sel(fail=False) == "").all()
    assert all("broken on purpose" in text for text in errors.sel(fail=True).values)
    np.testing.assert_allclose(tab.cells.dataset().total.sel(fail=False), [1, 2], rtol=1e-5)
    assert len(tab.cells.failed) == 2
    tab.retry()
    wait(lambda: not tab.stage)
    assert tab.cells.missing == 2
    tab.run()
    wait(lambda: not tab.stage)
    assert len(tab.cells.failed) == 2


def test_the_plan_follows_the_page_but_not_what_is_swept():
    session = opened(Gradual)
    tab = _tab(session, gamma="1,2")
    keys = tab.plan.keys
    session.set(gamma=3.0)
    wait(lambda: session.fresh and not tab.stage)
    assert tab.plan.keys == keys
    session.set(rate=0.25)
    wait(lambda: session.fresh and not tab.stage)
    assert tab.plan.study.rate == 0.25
    assert set(tab.plan.keys).isdisjoint(keys)


# ---- pictures --------------------------------------------------------------------------------------------------------


def _table(numbers, errors=None, **grid):
    errors = np.full(np.shape(numbers), "", object) if errors is None else errors
    data = {"root": (tuple(grid), np.asarray(numbers, float)), "cell_error": (tuple(grid), errors)}
    return xr.Dataset(data, coords=grid)


def test_the_map_has_each_number_in_its_place():
    numbers = np.arange(6.0).reshape(2, 3)
    table = _table(numbers, c=[1.0, 2.0], steps=[1, 2, 3])
    with draw.theme("light", backend="bokeh"):
        picture = draw_view(Halving, table, View("root", "steps", "c"), {"c": 2.0, "steps": 1})
    image = next(layer for layer in picture if type(layer) is hv.Image)
    np.testing.assert_array_equal(image.dimension_values("z", flat=False), numbers)
    boxes = [layer for layer in picture if isinstance(layer, hv.Rectangles)]
    told = dict(zip(map(tuple, boxes[-1].array(["column", "row"])), boxes[-1]["told"], strict=True))
    assert told["3", "1"] == "2"
    assert told["1", "2"] == "3"
    frame = next(layer for layer in boxes if len(layer) == 1).array([0, 1, 2, 3])
    np.testing.assert_array_equal(frame, [[-0.5, 0.5, 0.5, 1.5]])


def test_missing_and_failed_cells_are_told_apart():
    errors = np.array([["", NOT_YET], ["ValueError: no", ""]], object)
    table = _table([[1, np.nan], [np.nan, 4]], errors, c=[1.0, 2.0], steps=[1, 2])
    picture = draw_view(Halving, table, View("root", "steps", "c"))
    strokes, one, two = (layer for layer in picture if isinstance(layer, hv.Segments))
    assert (strokes["x"].item(), strokes["y"].item()) == pytest.approx((0.7, -0.3))
    assert np.all((one.array([0]) + one.array([2])) / 2 == 0)
    assert np.all((two.array([1]) + two.array([3])) / 2 == 1)
    boxes = [layer for layer in picture if isinstance(layer, hv.Rectangles)][-1]
    assert {"ValueError: no", NOT_YET} <= set(boxes["told"])


def test_bands_are_what_they_are_said_to_be():
    runs = np.random.default_rng(0).normal(size=(4, 6))
    mean, low, high = spread(runs, "range")
    np.testing.assert_allclose([mean, low, high], [runs.mean(1), runs.min(1), runs.max(1)])
    mean, low, high = spread(runs, "interval")
    for row, m, a, b in zip(runs, mean, low, high, strict=True):
        expected = stats.t.interval(0.95, 5, row.mean(), stats.sem(row))
        assert (m, a, b) == pytest.approx((row.mean(), *expected))
    mean, low, high = spread(np.array([[1.0, np.nan], [np.nan, np.nan]]), "interval")
    assert mean[0] == 1.0
    assert np.isnan([low[0], high[0], mean[1]]).all()


def test_a_seed_is_averaged_over_and_other_parameters_have_a_value():
    grid = {"c": [1.0, 2.0], "steps": [1, 2], "start": ["one", "c"], "seed": [0, 1, 2]}
    view = of_shape(View("root", "c", "steps"), grid)
    assert view.at == {"start": "one", "seed": MEAN}
    assert of_shape(View("root", "gone", ""), {"seed": [0, 1], "c": [1.0, 2.0]}).x == "c"
    numbers = np.random.default_rng(1).normal(size=(2, 2, 2, 3))
    table = _table(numbers, **grid)
    image = next(layer for layer in draw_view(Halving, table, view) if type(layer) is hv.Image)
    np.testing.assert_allclose(image.dimension_values("z", flat=False), numbers[:, :, 0].mean(-1).T, rtol=1e-6)
    lines = draw_view(Halving, table, of_shape(View("root", "c", "steps", kind="lines"), grid))
    curves = [layer for layer in lines if type(layer) is hv.Curve]
    areas = [layer for layer in lines if isinstance(layer, hv.Area)]
    np.testing.assert_allclose(curves[1].dimension_values(1), numbers[:, 1, 0].mean(-1))
    np.testing.assert_allclose(areas[1].dimension_values(2), numbers[:, 1, 0].max(-1))


def test_scales_are_logarithmic_where_that_shows_more():
    assert is_log([1e-3, 1.0], "auto")
    assert not is_log([0.0, 1e-3, 1.0], "auto")
    assert not is_log([1.0, 2.0], "auto")
    assert is_log([1.0, 2.0], "log")
    assert not is_log([-1.0, 0.0], "log")


@pytest.mark.slow
def test_a_click_chooses_the_cell_under_it_and_its_run_can_be_opened():
    chosen = []
    tab = _run(_tab(chosen=chosen, c="1,4,9", steps="1,6,12"))
    pictures = tab.pictures
    assert (pictures.view.x, pictures.view.y) == ("c", "steps")
    figure = figure_of(shown(tab, pn.pane.HoloViews)[0])
    event(figure, Tap, 2.2, 0.9)
    assert tab.cells.point(pictures.chosen) == {"c": 9.0, "steps": 6}
    assert "<h3>c = 9, n = 6</h3>" in text(tab)
    event(figure, Tap, 7.0, 0.0)  # beside the map
    assert tab.cells.point(pictures.chosen) == {"c": 9.0, "steps": 6}
    pictures.set("kind", "lines")
    event(figure_of(shown(tab, pn.pane.HoloViews)[0]), Tap, 3.6, 2.4)
    assert tab.cells.point(pictures.chosen) == {"c": 4.0, "steps": 1}  # 2.5, the others are near 2
    buttons(tab)["Open this run on the page"].clicks += 1
    assert (chosen[-1].c, chosen[-1].steps) == (4.0, 1)


@pytest.mark.slow
def test_the_kind_of_picture_follows_the_sweep_until_one_is_chosen():
    tab = _run(_tab(c="1,4,9"))
    pictures = tab.pictures
    assert pictures.view.kind == "lines"

    def sweep(**texts):
        tab.set_axes(texts)
        wait(lambda: not tab.stage)
        return pictures.view.kind

    assert sweep(c="1,4,9", steps="1,6,12") == "map"  # so it was where a first plan over two axes was too long
    assert sweep(c="1,4,9") == "lines"
    assert sweep(c="1,4,9", steps="1,6") == "map"
    pictures.set("kind", "lines")
    assert sweep(c="1,4,9", steps="1,6,12") == "lines"


@pytest.mark.slow
def test_a_row_of_runs_goes_through_the_chosen_cell():
    tab = _run(_tab(c="1,4,9", steps="1,2,3,4,5,6,7"))
    tab.pictures.set("picture", "iterates")
    tab.pictures.set("along", "steps")
    for steps, row in ((2, "1 2 5 7"), (6, "1 3 6 7"), (1, "1 3 5 7")):
        tab.pictures.choose(tab.cells.place({"c": 4.0, "steps": steps}))
        wait(lambda row=row: re.findall(r">n = (\d+)<", text(tab)) == row.split())


@pytest.mark.slow
def test_the_studys_own_sweep_picture_is_drawn_from_the_cells():
    tab = _run(_tab(c="1,4,9", steps="1,6"))
    wait(lambda: "<h3>Roots</h3>" in text(tab))
    np.testing.assert_allclose(
        picture_of(shown(tab, pn.pane.HoloViews)[-1]).Curve.I.dimension_values(1), [1, 2, 3], rtol=1e-3
    )
    other = _run(_tab(steps="1,6"))
    wait(lambda: "Drawn when the sweep has what they need: Roots (c)" in text(other))
    assert "<h3>Roots</h3>" not in text(other)


def test_pictures_side_by_side_have_the_same_ends():
    one = draw.plot(draw.curve([0, 1], [0, 1]), xlabel="x", ylabel="y")
    two = draw.plot(draw.curve([0, 1], [5, 9]), xlabel="x", ylabel="y")
    other = draw.plot(draw.curve([0, 1], [5, 9]), xlabel="x", ylabel="z")
    alike([one, two])
    ends = [hv.Store.lookup_options("bokeh", each, "plot").kwargs["ylim"] for each in (one, two)]
    assert ends[0] == ends[1]
    assert ends[0][0] <= 0
    assert ends[0][1] >= 9
    alike([one, other])
    assert hv.Store.lookup_options("bokeh", other, "plot").kwargs["ylim"] != ends[0]


# ---- files -----------------------------------------------------------------------------------------------------------


def _set_file(tab, name, value):
    of_files = next(view for view in shown(tab, Choose) if name in {field["name"] for field in state(view)["fields"]})
    send(of_files, {"name": name, "value": value})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "format"), [("map", "pdf"), ("lines", "svg"), ("map", "png")])
def test_a_figure_of_a_sweep_can_be_made_again_from_itself(tmp_path, kind, format):
    tab = _run(_tab(c="1,4,9", steps="1,6"))
    tab.pictures.set("kind", kind)
    _set_file(tab, "format", format)
    made = download(buttons(tab)["Download the figure"])
    path = tmp_path / made["name"]
    path.write_bytes(made["content"])
    recipe = figures.read_recipe(path)
    assert recipe["figure"]["swept"] == {"c": [1.0, 4.0, 9.0], "steps": [1, 6]}
    assert recipe["figure"]["view"]["kind"] == kind
    again = figures.reproduce(path)
    assert again.data_agrees, again.sentences
    assert again.picture_agrees, again.sentences


@pytest.mark.slow
def test_a_figure_that_was_made_of_other_numbers_is_found_out(tmp_path):
    view = View("root", "c", "")
    made = lab.sweep(Halving, c=[1.0, 4.0])
    made["root"] = made.root + 1e-3
    path = tmp_path / "map.pdf"
    figures.export_sweep(Halving, view, made, path)
    again = figures.reproduce(path)
    assert not again.data_agrees
    assert not again.picture_agrees


@pytest.mark.slow
def test_a_sweep_with_failed_cells_can_be_made_again(tmp_path):
    _run(_tab(opened(Gradual), gamma="1,2", fail="false,true"))
    made = lab.sweep(Gradual, gamma=[1.0, 2.0], fail=[False, True], keep=["total"])
    path = tmp_path / "map.png"
    figures.export_sweep(
        Gradual, of_shape(View("total", "gamma", "fail"), {"gamma": [1.0, 2.0], "fail": [False, True]}), made, path
    )
    assert figures.reproduce(path).data_agrees


@pytest.mark.slow
def test_the_numbers_and_the_whole_runs_as_files():
    tab = _run(_tab(c="1,4", steps="1,6"))
    button = buttons(tab)["Download the sweep (.nc)"]
    read = xr.load_dataset(io.BytesIO(download(button)["content"]), engine="h5netcdf")
    assert set(read.data_vars) == {"root", "converged"}
    np.testing.assert_allclose(read.root.sel(c=4, steps=1), 2.5)
    assert json.loads(read.attrs["swept"]) == {"c": [1.0, 4.0], "steps": [1, 6]}
    _set_file(tab, "content", "all")
    whole = xr.load_dataset(io.BytesIO(download(button)["content"]), engine="h5netcdf")
    assert {"root", "history", "mass"} <= set(whole.data_vars)


def test_a_picture_says_where_it_does_not_apply():
    picture = sweep_picture(Halving, View("root", "c", "steps"))
    with pytest.raises(ValueError, match="no sweep over"):
        picture(_table([1.0, 2.0], c=[1.0, 2.0]))


# ---- the page --------------------------------------------------------------------------------------------------------


def test_a_held_run_is_read_when_it_is_opened_but_not_under_a_slider():
    cold = Gradual(gamma=2.0).run()
    session = opened(Gradual)
    Store().fetch(json.loads(cold.attrs["recipe"]), lambda: cold)
    session.open(Gradual(gamma=2.0))
    wait(lambda: session.fresh and not session.busy)
    assert session.from_store
    assert session.kept == "kept"
    xr.testing.assert_identical(session.result, cold)
    session.set(gamma=2.5)
    wait(lambda: session.fresh and not session.busy)
    assert not session.from_store
    assert session.kept == ""
    session.set(gamma=2.0)  # shown before on this page
    wait(lambda: session.fresh and not session.busy)
    assert session.from_store
    xr.testing.assert_identical(session.result, cold)
    other = opened(Gradual)
    other.set(gamma=2.0)  # takes less than reading it
    wait(lambda: other.fresh and not other.busy)
    assert other.result.attrs["run_seconds"] < 0.1
    assert not other.from_store
    other.close()


def test_cells_know_the_nearest_to_what_the_page_has():
    cells = SweepCells(Plan(Gradual, {"gamma": [0.01, 1.0, 100.0], "rate": [0.1, 0.5]}, store=Store()))
    assert cells.point(cells.nearest({"gamma": 20.0, "rate": 0.2})) == {"gamma": 100.0, "rate": 0.1}
    assert cells.point(cells.nearest({"gamma": 0.2, "rate": 0.5})) == {"gamma": 1.0, "rate": 0.5}


@pytest.mark.browser
def test_the_tab_in_a_browser(tmp_path):
    made = []

    def app():
        session = Session(Halving)
        page = StudyPage(session, address=False)
        made.append(page)
        session.start()
        return page.main

    with open_page(app) as (page, log):
        page.get_by_role("tab", name="Measure").click()
        page.locator("input[name=axis-c]").fill("1,4,9")
        page.locator("input[name=axis-c]").press("Enter")
        page.locator("input[name=axis-steps]").fill("8:1")
        page.locator("input[name=axis-steps]").press("Enter")
        page.get_by_text("runs backwards").wait_for()
        page.locator("input[name=axis-steps]").fill("1,6")
        page.locator("input[name=axis-steps]").press("Enter")
        page.get_by_text("3 × 2 = 6 cells").wait_for()
        page.get_by_role(
            "button", name=re.compile("^Run the (sweep|other)")
        ).click()  # a card may have made some of them
        page.get_by_text("Nothing is left to compute.").wait_for()
        figure = page.locator(".bk-Figure >> visible=true").first
        figure.wait_for()
        box = figure.bounding_box()
        page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
        page.get_by_text("c = 9, n = 6").wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the figure").click()
        path = Path(tmp_path / "figure.pdf")
        download.value.save_as(path)
        assert figures.reproduce(path).picture_agrees
        page.get_by_role("button", name="Open this run on the page").click()
        wait(lambda: made[0].session.study.c == 9.0 and made[0].session.fresh and not made[0].session.busy)
        assert log.outside == []
        assert log.wrong == []
