"""The compare tab: what is kept, what is found, what differs."""

import json

import numpy as np
import panel as pn
import pytest
from browsing import open_page
from gradual import Gradual
from halving import Halving
from visitor import opened, shown
from waiting import animation_frames, wait

import lab
from lab import studies
from lab.app.compare_tab import CompareTab, Keep, differences, kept_runs, scalar_rows, told_apart
from lab.app.session import Session
from lab.app.study_page import StudyPage
from lab.store import Store


@pytest.fixture(autouse=True)
def known(home, monkeypatch):
    monkeypatch.setattr("lab.app.runner._CALM", 0.0)
    studies.register(Halving)
    studies.register(Gradual)


def _tab(session, chosen=None):
    tab = CompareTab(session, (chosen if chosen is not None else []).append)
    tab.active = True
    wait(lambda: tab.ready)
    return tab


def _chosen(tab, *keys):
    for key in keys:
        tab.choose(key, True)
    wait(lambda: all(key in tab.read for key in tab.chosen))
    return tab


def test_the_present_run_is_kept_once():
    session = opened(Halving, c=9.0)
    button = Keep(session)
    assert json.loads(button.state) == {"kept": "", "ready": True}
    session.keep()
    wait(lambda: session.kept == "kept")
    runs, total = kept_runs(Store(), Halving)
    assert (len(runs), total) == (1, 1)
    assert runs[0].parameters["c"] == 9.0
    assert runs[0].numbers["root"] == pytest.approx(3.0, abs=1e-4)
    session.keep()  # which it is already
    assert session.kept == "kept"
    session.set(c=2.0)
    wait(lambda: session.fresh and not session.busy)
    assert session.kept == ""


def test_a_run_that_began_from_its_neighbour_is_kept_as_made_from_the_start():
    session = opened(Gradual)
    session.set(gamma=2.0)
    wait(lambda: session.fresh and not session.busy)
    assert session.result.attrs["warm_start"] == 1
    session.keep()
    wait(lambda: session.kept == "kept")
    kept = lab.store.unpack(Store().read([Store.key(session.study.recipe(session.data))]), 0)
    assert kept.attrs["warm_start"] == 0
    np.testing.assert_array_equal(kept["values"], Gradual(gamma=2.0).run()["values"])


def test_runs_of_sweeps_are_listed_one_by_one_and_found_by_their_parameters():
    lab.sweep(Halving, c=[1.0, 4.0, 9.0], steps=[1, 6])
    lab.sweep(Gradual, gamma=[1.0, 2.0])
    tab = _tab(opened(Halving))
    assert (len(tab.runs), tab.total) == (6, 6)
    tab.set_choice("words", "c=4 n=6")
    found = tab.matching()
    assert [(run.parameters["c"], run.parameters["steps"]) for run in found] == [(4.0, 6)]
    assert found[0].numbers["root"] == pytest.approx(2.0, rel=1e-3)
    assert [row["parameters"] for row in json.loads(tab.list.state)["rows"]] == ["c = 4"]
    tab.runs = [run._replace(ended="did not converge") for run in tab.runs]
    tab.list.refresh()
    assert [row["parameters"] for row in json.loads(tab.list.state)["rows"]] == ["c = 4 · did not converge"]
    tab.set_choice("words", "c=5")
    assert tab.matching() == []
    assert "No kept run has all these words" in json.loads(tab.list.state)["says"]


def test_failed_cells_are_no_runs():
    lab.sweep(Gradual, gamma=[1.0, 2.0], fail=[False, True])
    runs, total = kept_runs(Store(), Gradual)
    assert (len(runs), total) == (2, 2)
    assert all(run.parameters["fail"] is False for run in runs)


def test_chosen_runs_stand_side_by_side_with_what_differs():
    chosen = []
    lab.sweep(Halving, c=[1.0, 4.0], steps=[1, 6])
    tab = _tab(opened(Halving), chosen)
    by = {(run.parameters["c"], run.parameters["steps"]): run.key for run in tab.runs}
    _chosen(tab, by[1.0, 6], by[4.0, 1])
    tab.set_choice("picture", "iterates")
    wait(lambda: len(shown(tab, pn.pane.HoloViews)) == 2)
    results = [tab.read[key].result for key in tab.chosen]
    assert differences(Halving, results) == [("c", ["1", "4"]), ("n", ["6", "1"])]
    assert tab.differing() == ["c = 1, n = 6", "c = 4, n = 1"]
    root = next(row for row in scalar_rows(Halving, results) if row["label"] == "root")
    assert root["values"] == ["1", "2.5"]
    assert root["apart"] == ["", "+1.5"]
    assert root["differ"]
    tab.open_run(by[4.0, 1])
    assert (chosen[0].c, chosen[0].steps) == (4.0, 1)
    tab.choose(by[1.0, 6], False)
    wait(lambda: len(shown(tab, pn.pane.HoloViews)) == 1)


def test_no_more_than_four():
    lab.sweep(Halving, c=[1.0, 2.0, 3.0, 4.0, 5.0])
    tab = _tab(opened(Halving))
    _chosen(tab, *(run.key for run in tab.runs))
    assert len(tab.chosen) == 4
    assert json.loads(tab.list.state)["full"]


def test_a_run_that_is_removed_leaves_the_comparison():
    lab.sweep(Halving, c=[1.0, 2.0])
    tab = _chosen(_tab(opened(Halving)), *[run.key for run in kept_runs(Store(), Halving)[0]])
    Store().remove(Store().entries())
    tab.active = False
    tab.active = True
    wait(lambda: not tab.runs)
    assert tab.chosen == []
    assert "No run of this study is kept yet" in json.loads(tab.list.state)["says"]


@pytest.mark.browser
def test_the_tab_in_a_browser():
    lab.sweep(Halving, c=[1.0, 4.0, 9.0])
    made = []

    def app():
        session = Session(Halving(c=16.0))
        page = StudyPage(session)
        made.append(page)
        session.start()
        return page

    with open_page(app) as (page, log):
        page.get_by_role("button", name="Keep this run").click()
        page.get_by_text("✓ kept").wait_for()
        page.get_by_role("tab", name="Measure").click()
        rows = page.locator("tbody tr", has=page.get_by_role("checkbox"))
        wait(
            lambda: page.wait_for_timeout(20) or rows.count() >= 4
        )  # and the one that the sweep beside it measures its time by
        page.get_by_role("checkbox", name="compare c = 16").click()
        nine = page.get_by_role("checkbox", name="compare c = 9")

        def beside():  # the list may be drawn anew under the hand
            if not nine.is_checked():
                nine.click()
            animation_frames(page)
            return page.get_by_text("B · c = 9").is_visible()

        wait(beside)
        page.locator("select[name=picture]").select_option("iterates")
        wait(
            lambda: page.wait_for_timeout(20) or page.locator(".bk-Figure >> visible=true").count() == 3
        )  # and the map of the sweep above
        page.get_by_role("button", name="Open").last.click()
        wait(lambda: page.wait_for_timeout(20) or made[0].session.study.c == 9.0)
        assert log.outside == []
        assert log.wrong == []


def test_numbers_that_differ_late_are_told_apart():
    assert told_apart([25.6412, 25.6409]) == ["25.6412", "25.6409"]
    assert told_apart([1.0, 2.5, 2.5]) == ["1", "2.5", "2.5"]
    assert told_apart([]) == []
    assert len({*told_apart([1.0, 1.0 + 1e-12])}) == 1  # no more than nine digits
