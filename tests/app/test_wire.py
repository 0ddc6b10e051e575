"""What a browser may send: what its page does, and nothing that would open a file, keep what it likes or starve others."""

import asyncio
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Range1d
from browsing import wait
from panel.io.state import set_curdoc
from visitor import send, state

from lab.app import faults, limits, wire
from lab.app.controls import Controls, DataCard
from lab.app.session import Session
from lab.app.sweep_tab import SweepTab
from lab.studies import SparseOT


@pytest.fixture
def page():
    document = Document()
    points, span = ColumnDataSource(data={"x": np.zeros(100), "y": np.zeros(100)}), Range1d(0, 1)
    document.add_root(points)
    document.add_root(span)
    return SimpleNamespace(document=document, points=points, span=span)


def changed(model, attr, new):
    return {"kind": "ModelChanged", "model": {"id": model.id}, "attr": attr, "new": new}


def columns(array):
    return {"type": "map", "entries": [["x", array], ["y", array]]}


def test_what_a_page_does_is_let_through(page):
    array = {
        "type": "ndarray",
        "array": {"type": "bytes", "data": "p1"},
        "shape": [100],
        "dtype": "float64",
        "order": "little",
    }
    for event in (
        changed(page.span, "start", 0.25),
        changed(page.points.selected, "indices", [3]),
        changed(page.points, "data", columns([0.1234567890123] * 100)),
        changed(page.points, "data", columns({**array, "array": {"type": "bytes", "data": {"id": "p1"}}})),
        {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": {}},
    ):
        assert wire.allowed(page.document, event, {"p1": 800}), event


def test_what_no_page_does_is_not(page):
    deep = [1.5]
    for _ in range(100_000):  # no recursion
        deep = [deep]
    array = {"type": "ndarray", "array": {"type": "bytes", "data": {"id": "p1"}}}
    for event in (
        changed(page.points, "tags", [0.5] * 3_000_000),
        changed(page.points, "tags", ["a" * 5000]),
        changed(page.points, "tags", [{"a" * 5000: 1}]),
        changed(page.points, "tags", deep),
        changed(page.points, "data", columns([0.5] * 100_000)),
        changed(page.points, "data", columns(array)),
        changed(SimpleNamespace(id="absent"), "tags", []),
        {"kind": "ColumnsStreamed", "model": {"id": page.points.id}, "data": {"x": [1.0]}},
        {"kind": "RootAdded", "model": {"type": "object", "name": "Range1d", "id": "x"}},
        {"kind": "TitleChanged", "title": "x"},
    ):
        assert not wire.allowed(page.document, event, {"p1": 2**20}), str(event)[:80]


def test_columns_never_grow(page):
    """Not by a change after the other either: what a column may have is its rows, not its bytes."""
    for column in (
        [0] * 101,
        [[0] * 50] * 100,
        {"type": "ndarray", "array": {"type": "bytes", "data": "AA=="}, "shape": [800]},
    ):
        event = changed(page.points, "data", columns(column))
        try:
            assert not wire.allowed(page.document, event, {})
        except ValueError:
            assert isinstance(column[0], list)
    assert not wire.allowed(page.document, changed(page.points, "data", {"type": "map", "entries": [["z", [0]]]}), {})


@pytest.mark.parametrize("name", wire._LOGS)
def test_the_log_repeats_no_token_and_no_long_message(name, caplog, monkeypatch):
    wire.install()
    log = logging.getLogger(name)
    for setting, value in {"disabled": False, "propagate": False, "level": logging.DEBUG}.items():
        monkeypatch.setattr(log, setting, value)  # whatever a server in this process has set
    log._cache.clear()  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    log.error("429 GET /?a=1&token=%s (127.0.0.1)", "secret")
    try:
        json.loads("[" * 100_000)
    except RecursionError as problem:
        log.error("Unhandled exception receiving a message: %r: %r", problem, "[" * 100_000)
        if name.startswith("bokeh."):
            log.error("error handling message %r", "x" * 100_000, exc_info=True)
    assert "secret" not in caplog.text
    assert "429 GET /?a=1&token=... (127.0.0.1)" in caplog.text
    assert max(map(len, caplog.text.splitlines())) < 300
    assert "Traceback" not in caplog.text


def test_a_fault_of_a_page_is_logged_with_short_lines_and_no_token(caplog):
    def fail():
        raise KeyError("GET /?token=secret&a=1 " + "x" * 10**6)

    with pytest.raises(KeyError) as raised:
        fail()
    faults.fault(raised.value, "the page /?token=secret can't be drawn " + "y" * 10**6)
    assert "secret" not in caplog.text
    assert "/?token=... can't be drawn" in caplog.text
    assert "in fail" in caplog.text  # the traceback is there
    assert "KeyError: " in caplog.text
    assert max(map(len, caplog.text.splitlines())) < 300


@pytest.mark.parametrize(
    "data",
    [{}, None, 3, "x", [], [[]], {"other": 1}, {"preset": None}, {"preset": "x" * 10**6}, {"preset": float("nan")}],
)
def test_a_malformed_message_is_a_sentence_and_no_traceback(data, caplog):
    from lab.app.controls import Presets

    session = Session(SparseOT)
    document = Document()
    with set_curdoc(document):
        faults.attach(session.refuse)
        send(Presets(session), data)
    assert 0 < len(session.error) < 1000
    assert "Traceback" not in caplog.text
    assert max(map(len, caplog.text.splitlines()), default=0) < 300
    session.apply_preset(SparseOT.presets[0].name)
    assert session.error == ""


@pytest.mark.parametrize("name", ["zzz", "x" * 10**6, "", "None"])
def test_an_unknown_parameter_is_a_sentence(name, caplog):
    session = Session(SparseOT)
    session.set_text(name, "1")
    assert "has no parameter" in session.error
    assert len(session.error) < 300
    assert caplog.text == ""


def test_a_visitor_who_sends_much_waits_and_others_do_not():
    limits.apply(limits.PUBLIC)
    waits = [limits.sent.owe("ann", wire.MESSAGE) for _ in range(16)]
    assert waits[:10] == [0.0] * 10
    assert 2.5 < waits[-1] <= 3.0
    assert limits.sent.owe("bob", wire.MESSAGE) == 0.0
    limits.apply(limits.LOCAL)
    assert limits.sent.owe("ann", 2**26) == 0.0  # a whole upload


def test_the_socket_takes_no_document_and_leaves_out_what_it_refuses(page, monkeypatch):
    handled, told = [], []

    async def handle(self, message):
        handled.append(message.content["events"])

    monkeypatch.setattr(wire.WSHandler, "_handle", handle)
    socket = object.__new__(wire.Socket)
    socket.connection = SimpleNamespace(session=SimpleNamespace(document=page.document), ok=lambda message: "ok")
    socket._protocol_error = told.append
    good, bad = changed(page.span, "start", 0.25), changed(page.points, "tags", [0.5] * 10_000)
    for kind, events in (("PATCH-DOC", [bad, good]), ("PATCH-DOC", [bad]), ("PUSH-DOC", [])):
        message = SimpleNamespace(msgtype=kind, content={"events": events}, buffers=[])
        asyncio.run(socket._handle(message))
    for events in (
        [{}],
        [3],
        ["x"],
        [changed(page.span, "start", 0.2) | {"model": 3}],
        [changed(page.points, "data", 3)],
    ):
        asyncio.run(socket._handle(SimpleNamespace(msgtype="PATCH-DOC", content={"events": events}, buffers=[])))
    for closed in (None, SimpleNamespace(_session=None)):  # Bokeh's connection refuses to be asked for a session then
        socket.connection = closed
        assert asyncio.run(socket._handle(message)) is None
    assert handled == [[good]]
    assert told == ["a page is made by the server", *["that is no change of a page"] * 5]


@pytest.mark.parametrize(
    "say",
    [
        lambda session, name: send(DataCard(session), {"data": name}),
        lambda session, name: send(Controls(session), {"name": "data", "text": name}),
    ],
)
def test_a_message_opens_no_file(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "mine.npz", cost=np.eye(3))
    session = Session(SparseOT)
    session.start()
    before = session.study
    for name in ("mine.npz", str(tmp_path / "mine.npz"), "mine.npz,mine.npz", "absent.npz", "/etc/passwd"):
        say(session, name)
        assert session.study is before
        assert "is no data set that this page has" in session.error
    say(session, "bump-to-bump")
    assert session.study.data == "bump-to-bump"


def test_a_study_on_a_file_of_its_owner_stays_on_it(tmp_path):
    np.savez(tmp_path / "mine.npz", cost=np.random.default_rng(0).random((4, 4)))
    session = Session(SparseOT(data=str(tmp_path / "mine.npz"), k=2))
    session.start()
    session.set(k=3)
    assert session.error == ""
    assert session.study.k == 3


@pytest.mark.slow
def test_a_sweep_is_as_large_as_the_server_has_it(monkeypatch):
    monkeypatch.setattr(limits, "present", limits.PUBLIC)
    session = Session(SparseOT)
    session.start()
    tab = SweepTab(session, lambda study: None)
    tab.active = True
    tab.set_axes({"gamma": "0.001:1:1000000"})
    refused = lambda: state(tab.form)["refused"]  # noqa: E731
    assert refused() == {
        "gamma": "γ = 0.001:1:1000000 has 1,000,000 values: a sweep takes at most 2,500 of one parameter"
    }
    tab.set_axes({"gamma": "0.001:1:100", "k": "1:50"})
    wait(lambda: not tab.stage)
    assert tab.wrong == "the grid has 5,000 cells: a sweep takes at most 2,500 here, so split it"
    tab.set_axes({"max_iterations": "1000,1000000"})
    assert "too large for this server" in refused()["max_iterations"]
    tab.set_axes({"max_iterations": "1000,100000", "n": "64,1024"})  # each alone is not
    wait(lambda: not tab.stage)
    assert refused() == {}
    assert "too large for this server" in tab.wrong


@pytest.mark.parametrize(("code", "closed"), [(1001, True), (1000, True), (1006, False), (None, False)])
def test_a_page_that_its_visitor_closes_is_known(code, closed, monkeypatch):
    """By the browser's code; a connection that was lost may come back."""
    monkeypatch.setattr(wire.WSHandler, "on_close", lambda self: None)
    session = SimpleNamespace(lab_closed=False)
    socket = wire.Socket.__new__(wire.Socket)
    socket.connection, socket.close_code = SimpleNamespace(_session=session), code  # pyright: ignore
    socket.on_close()
    assert session.lab_closed == closed
