"""A file of one's own becomes the data, or gives its sentence; nothing in it is run."""

import io
import pickle

import numpy as np
import pytest
from browsing import open_page, wait
from halving import Halving
from visitor import opened, send, state

from lab import datasets
from lab.app import limits, upload
from lab.app.session import Session
from lab.app.upload import Upload

pytestmark = pytest.mark.usefixtures("home")
_HIT = []
TOO_LARGE = (
    "an upload may have at most 64 MiB. Reduce the data, or run the study on your own machine: "
    f"lab run {Halving.slug} --data FILE"
)


@pytest.fixture
def session():
    return opened(Halving)


def _npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _clouds(m=5, n=7, seed=3):
    rng = np.random.default_rng(seed)
    return _npz(x=rng.normal(size=(m, 2)), y=rng.normal(size=(n, 2)))


def _said(drop):
    return state(drop)["says"], state(drop)["wrong"]


def _taken(drop, files):
    drop.take(files)
    wait(lambda: not _said(drop)[0].startswith("Reading"))
    return _said(drop)


def test_a_file_becomes_the_data(session):
    drop = Upload(session)
    says, wrong = _taken(drop, {"mine.npz": _clouds()})
    assert not wrong
    assert says.startswith("Took mine.npz.")
    assert session.data.arrays["x"].shape == (5, 2)
    assert session.data.name == "mine.npz"
    wait(lambda: session.fresh and not session.busy)
    assert session.result.sizes["source"] == 5


class _Bomb:
    def __reduce__(self):
        return (_HIT.append, (1,))


def _objects():
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Bomb()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", _objects()),
        ("a.npz", _npz(x=np.array([_Bomb()], dtype=object))),
        ("a.pkl", pickle.dumps(_Bomb())),
        ("a.npz", b"PK\x03\x04 not a zip"),
        ("a.csv", b"\x00\x01\x02\xff"),
        ("a.png", b"\x89PNG\r\n\x1a\n cut short"),
        ("a.npz", _npz(x=np.full((3, 2), np.nan), y=np.ones((3, 2)))),
        ("a.npz", b""),
    ],
)
def test_what_can_not_be_taken_gives_one_sentence_and_changes_nothing(session, name, content):
    before = session.data
    says, wrong = _taken(Upload(session), {name: content})
    assert wrong
    assert "a.n" in says.lower() or "a.p" in says.lower() or "a.c" in says.lower()
    assert "\n" not in says
    assert session.data is before
    assert session.error == ""
    assert not _HIT, "something in the file was run"


def test_a_fault_of_a_reader_says_what_to_bring_and_not_its_own_words(session, monkeypatch, caplog):
    def broken(*_, **__):
        raise KeyError("x_of_the_reader")

    monkeypatch.setattr(upload.datasets, "read_bytes", broken)
    says, wrong = _taken(Upload(session), {"mine.npz": _clouds()})
    assert wrong
    assert says == f"mine.npz can't be read (KeyError): bring {datasets.kind_named(Halving.kind).takes}"
    assert "x_of_the_reader" in caplog.text


def test_a_fault_of_the_page_that_takes_the_data_leaves_no_message_that_waits(session, monkeypatch):
    drop, failed = Upload(session), []

    def broken(data):
        failed.append(data)
        raise KeyError("x")

    monkeypatch.setattr(session, "set_data", broken)
    drop.take({"mine.npz": _clouds()})
    wait(lambda: failed)
    assert _said(drop) == ("", False)


def _send(drop, *pieces):
    send(drop, {"step": "begin"})
    for index, name, content in pieces:
        send(drop, {"step": "piece", "index": index, "name": name, "content": content})
    send(drop, {"step": "end"})


def test_pieces_are_put_together(session):
    drop, whole = Upload(session), _clouds(m=400)
    _send(drop, *((0, "mine.npz", whole[at : at + 1000]) for at in range(0, len(whole), 1000)))
    wait(lambda: _said(drop)[0].startswith("Took"))
    assert session.data.arrays["x"].shape == (400, 2)
    assert drop.held() == sum(array.nbytes for array in session.data.arrays.values())  # the file is released


def test_the_limit_holds_on_the_server_too(session, monkeypatch):
    monkeypatch.setattr(datasets, "UPLOAD_LIMIT", 5000)
    monkeypatch.setattr(upload.datasets, "read_bytes", lambda *a, **k: pytest.fail("it was read"))
    drop = Upload(session)
    _send(drop, (0, "a.npz", b"x" * 3000), (1, "b.npz", b"x" * 3000), (1, "b.npz", b"x"))
    assert _said(drop) == (f"b.npz is too large: {TOO_LARGE}", True)
    assert drop.held() == 0


@pytest.mark.parametrize(
    ("pieces", "sentence"),
    [
        ([(0, "a", b"1"), (1, "b", b"2"), (2, "c", b"3")], "An upload may have 2 files at most."),
        ([(7, "a", b"1")], "An upload may have 2 files at most."),
        ([(None, "a", b"1")], "An upload may have 2 files at most."),
        ([(0, "a.npz", b"1"), (1, "a.npz", b"2")], "Both files are called a.npz: rename one of them."),
    ],
)
def test_more_files_than_two_are_refused(session, pieces, sentence):
    drop = Upload(session)
    _send(drop, *pieces)
    assert _said(drop) == (sentence, True)


def test_what_is_too_large_is_refused_before_its_pieces(session, monkeypatch):
    """With the limit in the message, and at once: 200 pieces of a MiB would travel for nothing."""
    drop = Upload(session)
    send(drop, {"step": "begin", "size": 200 * 2**20})
    assert _said(drop) == (f"200 MiB are too much: {TOO_LARGE}", True)
    for _ in range(200):
        send(drop, {"step": "piece", "index": 0, "name": "a.npz", "content": b"x"})
    assert drop.held() == 0
    send(drop, {"step": "end"})
    assert _said(drop)[1]
    monkeypatch.setattr(limits, "present", limits.LOCAL.but(uploads=1))
    send(drop, {"step": "begin", "size": 2**21})
    assert _said(drop)[0].startswith("There is no room for this file: your pages hold")


def test_an_upload_of_exactly_the_limit_is_taken_and_one_byte_more_is_refused(session, monkeypatch):
    whole = _clouds()
    monkeypatch.setattr(datasets, "UPLOAD_LIMIT", len(whole))
    drop = Upload(session)
    send(drop, {"step": "begin", "size": len(whole)})
    for at in range(0, len(whole), 100):
        send(drop, {"step": "piece", "index": 0, "name": "mine.npz", "content": whole[at : at + 100]})
    assert _said(drop) == ("Receiving …", False)
    send(drop, {"step": "end"})
    wait(lambda: _said(drop)[0].startswith("Took"))
    send(drop, {"step": "begin", "size": len(whole) + 1})
    assert _said(drop)[1]
    assert state(drop)["refused"]


def test_each_upload_has_an_answer_before_its_pieces(session):
    """The page waits for it, also where the answer is the same as before."""
    drop = Upload(session)
    for count in (1, 2):
        send(drop, {"step": "begin", "size": 2**40})
        assert (state(drop)["begun"], state(drop)["refused"]) == (count, True)
    send(drop, {"step": "begin", "size": 1})
    assert [state(drop)[name] for name in ("begun", "refused", "says")] == [3, False, "Receiving …"]


@pytest.mark.parametrize("content", [2**40, "x", [1, 2], {"a": 1}, 1.5])
def test_a_piece_that_is_no_bytes_takes_no_memory(session, content):
    drop = Upload(session)
    send(drop, {"step": "begin", "size": 1})
    with pytest.raises(ValueError, match="no bytes"):
        send(drop, {"step": "piece", "index": 0, "name": "a.npz", "content": content})
    assert drop.held() == 0


def test_an_upload_of_the_largest_size_arrives_in_as_many_pieces(session):
    """64 pieces, each a hundredth of its size, after a refused upload of the same page."""
    drop, whole = Upload(session), _clouds(m=18_000)
    each = -(-len(whole) // 64)
    send(drop, {"step": "begin", "size": 2**40})
    send(drop, {"step": "end"})
    _send(drop, *((0, "mine.npz", whole[at : at + each]) for at in range(0, len(whole), each)))
    wait(lambda: _said(drop)[0].startswith("Took"))
    assert session.data.arrays["x"].shape == (18_000, 2)


def test_five_uploads_at_once_stay_apart():
    """Their pieces arrive in turns; each page gets its own points."""
    sessions, wholes = [opened(Halving) for _ in range(5)], [_clouds(m=20 + k, seed=k) for k in range(5)]
    drops = [Upload(own) for own in sessions]
    for drop in drops:
        send(drop, {"step": "begin", "size": 2000})
    for at in range(0, max(map(len, wholes)), 100):
        for drop, whole in zip(drops, wholes, strict=True):
            if at < len(whole):
                piece = {"index": 0, "name": "mine.npz", "content": whole[at : at + 100]}
                send(drop, {"step": "piece", **piece})
    for drop in drops:
        send(drop, {"step": "end"})
    for k, (own, drop) in enumerate(zip(sessions, drops, strict=True)):
        wait(lambda drop=drop: _said(drop)[0].startswith("Took"))
        expected = np.random.default_rng(k).normal(size=(20 + k, 2))
        np.testing.assert_array_equal(own.data.arrays["x"], expected)


def test_it_says_what_it_takes(session):
    for what in (".npz", ".csv", ".parquet", "pictures", "64 MiB"):
        assert what in Upload(session).state


@pytest.mark.browser
def test_in_the_browser(tmp_path, monkeypatch):
    sessions = []

    def app():
        session = Session(Halving)
        sessions.append(session)
        session.start()
        return Upload(session)

    with open_page(app) as (page, log):
        chooser = page.locator("input[type=file]")
        chooser.wait_for(state="attached")
        session = sessions[-1]
        many = _clouds(m=300_000)  # in two pieces
        assert len(many) > 4 * 2**20
        chooser.set_input_files([{"name": "mine.npz", "mimeType": "application/octet-stream", "buffer": many}])
        page.get_by_text("Took mine.npz").wait_for()
        assert session.data.arrays["x"].shape == (300_000, 2)
        page.get_by_text("Draw points").click()
        use = page.get_by_role("button", name="Use these points")
        for cloud, along in (("source", 0.25), ("target", 0.75)):  # a vertical stroke left, one right
            page.get_by_label("cloud that is drawn").select_option(cloud)
            assert use.is_disabled()
            box = page.locator("canvas").bounding_box()
            page.mouse.move(box["x"] + along * box["width"], box["y"] + 0.3 * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + along * box["width"], box["y"] + 0.5 * box["height"], steps=20)
            page.mouse.up()
        use.click()
        page.get_by_text("Took drawn source.csv and drawn target.csv.").wait_for()
        x, y = session.data.arrays["x"], session.data.arrays["y"]
        assert len(x) == len(y) == 63
        np.testing.assert_allclose([x[:, 0].mean(), y[:, 0].mean()], [-2, 2], atol=0.1)
        np.testing.assert_allclose(y[:, 1].max(), 1.6, atol=0.5)
        chooser.set_input_files([{"name": "bad.npy", "mimeType": "text/plain", "buffer": _objects()}])
        page.locator(".says.wrong").wait_for()
        assert "never loaded" in page.locator(".says").inner_text()
        files = [{"name": f"{k}.csv", "mimeType": "text/csv", "buffer": b"1,2\n"} for k in range(3)]
        chooser.set_input_files(files)
        page.get_by_text("An upload may have 2 files at most.").wait_for()
        for name in ("big.npz", "too.npz"):
            with (tmp_path / name).open("wb") as file:
                file.truncate(40 * 2**20)
        chooser.set_input_files([tmp_path / "big.npz", tmp_path / "too.npz"])
        page.get_by_text("big.npz and too.npz have 80 MiB, but an upload may have at most 64 MiB.").wait_for()
        monkeypatch.setattr(datasets, "UPLOAD_LIMIT", 2**20)
        chooser.set_input_files([tmp_path / "big.npz"])
        page.get_by_text("40 MiB are too much").wait_for()  # as the server says
        chooser.set_input_files([tmp_path / "big.npz"])  # the same answer again
        page.locator("button.zone:enabled").wait_for()
        assert not _HIT
        assert log.outside == []
        assert log.wrong == []
