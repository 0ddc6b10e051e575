"""The verdicts on a page are those that were measured, kept only while nothing that they depend on changes."""

import json
import math
import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from browsing import wait
from halving import Halving
from visitor import buttons, text

from lab.app import kept, verdicts
from lab.app.claims_tab import ClaimsTab
from lab.app.gallery import Gallery
from lab.app.session import Session
from lab.disk import cache
from lab.numerics import Reason
from lab.studies import Claim, Measured, verify

pytestmark = pytest.mark.usefixtures("home")


def _measured(tab):
    wait(lambda: tab.current is None and "… checking" not in text(tab))  # the table follows a moment later


def _opened():
    tab = ClaimsTab(Session(Halving))
    tab.check_quick()
    _measured(tab)
    return tab


def _rows(tab):
    return [row.partition("</tr>")[0] for row in text(tab).split("<tr ")[1:]]


def test_opening_measures_the_quick_ones_and_says_what_came_of_each():
    tab = ClaimsTab(Session(Halving))
    assert tab.title == "0 / 5"
    tab.check_quick()
    _measured(tab)
    assert tab.title == "3 / 5"
    rows = _rows(tab)
    assert ["✓ holds" in row for row in rows] == [True, True, True, False, False]
    assert "✗ fails, as known" in rows[3]
    assert "the error is squared only from there on" in rows[3]
    assert "1.5</td>" in rows[3]
    assert "long, not checked" in rows[4]
    assert "≥ 1.4142136" in rows[2]
    assert "1 is known not to hold here" in text(tab)


def test_the_long_ones_are_run_when_asked_for():
    tab = _opened()
    buttons(tab)["Run the one long one too"].clicks += 1
    _measured(tab)
    wait(lambda: "Run the one long one too" not in buttons(tab))
    assert tab.title == "4 / 5"


def test_a_claim_that_should_hold_and_does_not_is_shown_as_failing(monkeypatch):
    wrong = Claim("wrong", "The root of two is <b>1.5</b>.", lambda runs: runs().root, 1.5, "nowhere", tolerance=1e-3)
    monkeypatch.setattr(Halving, "claims", (Halving.claims[0], wrong))
    tab = _opened()
    assert "✗ fails<" in _rows(tab)[1]
    assert "&lt;b&gt;" in _rows(tab)[1]
    assert "1 that should hold does not" in text(tab)
    card = Gallery([Halving]).cards[Halving].pane.object
    assert 'class="mark second"' in card
    assert re.search("✗ .*1 / 2</span>", card)


@pytest.mark.parametrize(
    ("relation", "bound", "says"),
    [(">=", 1.43, "✓ holds, a tie"), (">", 1.39, "✗ fails, a tie"), (">=", 1.0, "✓ holds<"), (">=", 1.45, "✗ fails<")],
)
def test_an_estimate_has_an_interval_and_a_bound_inside_it_is_a_tie(monkeypatch, relation, bound, says):
    claim = Claim("mean", "At least.", lambda runs: Measured(1.41, 1.38, 1.44), bound, "a sample", relation=relation)
    monkeypatch.setattr(Halving, "claims", (claim,))
    for tab in (_opened(), _opened()):  # measured, and from what was kept
        assert says in _rows(tab)[0]
        assert "95%: 1.38 to 1.44" in _rows(tab)[0]


def test_a_run_that_is_stopped_ends_all_verdicts(monkeypatch):
    made: Any = Halving.compute
    monkeypatch.setattr(Halving, "compute", staticmethod(lambda *a, **k: made(*a, **k) | {"reason": Reason.STOPPED}))
    begun = []
    with pytest.raises(KeyboardInterrupt):
        list(verify(Halving, begin=begun.append))
    assert [claim.name for claim in begun] == ["two"]


def test_a_claim_that_can_not_be_measured_gives_its_error_and_is_kept(monkeypatch):
    broken = Claim("broken", "c may be negative.", lambda runs: runs(c=-1.0).root, 0.0, "nowhere")
    monkeypatch.setattr(Halving, "claims", (broken,))
    tab = _opened()
    assert "✗ no answer" in _rows(tab)[0]
    assert "c = -1.0 is not allowed" in _rows(tab)[0]
    again = verdicts.load(Halving)["broken"]
    assert math.isnan(again.measured)
    assert again.surprising
    json.loads(cache.read(next(kept.folder("verdicts").iterdir())), parse_constant=pytest.fail)  # strict JSON


def test_kept_verdicts_are_shown_without_measuring(monkeypatch):
    _opened()
    monkeypatch.setattr(Halving, "run", lambda *args: pytest.fail("it ran again"))
    tab = _opened()
    assert tab.title == "3 / 5"
    assert "3 / 5</span>" in Gallery([Halving]).cards[Halving].pane.object


@pytest.mark.parametrize(
    ("of", "name", "value"), [(Halving, "version", 2), (kept.code, "floors", lambda *names: "another")]
)
def test_nothing_is_shown_of_what_other_code_gave(monkeypatch, of, name, value):
    _opened()
    monkeypatch.setattr(of, name, value)
    assert ClaimsTab(Session(Halving)).title == "0 / 5"
    assert "width:0%" in Gallery([Halving]).cards[Halving].pane.object
    assert set(verdicts.usual_seconds(Halving)) == {"two", "nine", "bound", "one step"}


def test_two_servers_add_to_each_other():
    bench = verdicts.Bench(Halving)
    first, second = (bench.measure(claim) for claim in Halving.claims[:2])
    verdicts.save(Halving, [first])
    verdicts.save(Halving, [second])
    found = verdicts.load(Halving)
    assert found["two"] == replace(first, seconds=found["two"].seconds)
    assert list(found) == ["two", "nine"]


def test_a_broken_file_is_as_good_as_none():
    _opened()
    path = next(kept.folder("verdicts").iterdir())
    path.write_text('{"two": 3')
    assert verdicts.load(Halving) == {}
    cache.write(path, b'{"two": {"holds": true}}')
    assert verdicts.load(Halving) == {}


def test_stop_leaves_the_rest_unmeasured(monkeypatch):
    going, release = threading.Event(), threading.Event()

    def slow(runs):
        going.set()
        release.wait(10)
        return 0.0

    claim = Claim("slow", "It ends.", slow, 0.0, "patience")
    monkeypatch.setattr(Halving, "claims", (Halving.claims[1], claim, Halving.claims[0]))
    tab = ClaimsTab(Session(Halving))
    tab.check_quick()
    assert going.wait(20)
    wait(lambda: tab.current is claim)
    buttons(tab)["Stop"].clicks += 1
    assert tab.current is None
    assert "Stop" not in buttons(tab)
    release.set()
    assert tab.title == "1 / 3"
    assert [("not checked" in row) for row in _rows(tab)] == [False, True, True]


def test_checking_again_measures_anew(monkeypatch):
    tab = _opened()
    count = []
    run = Halving.run
    monkeypatch.setattr(Halving, "run", lambda *args: count.append(1) or run(*args))
    buttons(tab)["Check again"].clicks += 1
    _measured(tab)
    assert len(count) == 3  # four claims, three different runs
    assert tab.title == "3 / 5"
