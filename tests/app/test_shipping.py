"""What ships is taken as it is and said to be so; what is not asked for, or spoilt, is computed."""

import json
import logging

import numpy as np
import pytest
from halving import Halving

import lab
import lab.studies.draw as draw
from lab import sweeps
from lab.app import shipping, thumbnails
from lab.store import Store, shipped
from lab.studies import Picture, Pictures, Preset

ROOTS = Picture(
    "roots", "Roots", "by c", lambda r: draw.over(r.c, {"root": r.root}), along={"c": (1.0, 4.0, 9.0)}, needs=("root",)
)


class Rooted(Halving):
    """With a picture over several runs, and a preset whose data are nowhere."""

    pictures = Pictures(*Halving.pictures, ROOTS)
    presets = (Preset("nine", "Nine", "c = 9", {"c": 9.0}), Preset("lost", "Lost", "nowhere", {"data": "lost.npz"}))
    computed = 0

    def execute(self, *given, **named):
        type(self).computed += 1
        return super().execute(*given, **named)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shipped, "_lost", set())
    made = tmp_path / "results"
    made.mkdir()
    index = shipping.make(Rooted, made, Store(tmp_path / "made"))
    (made / shipped.INDEX).write_text(json.dumps(index))
    monkeypatch.setenv("LAB_RESULTS", str(made))
    monkeypatch.setattr(Rooted, "computed", 0)
    return made


def ask(study, **named):
    return Store().fetch(study.recipe(study.load()), study.run, **named)


def test_what_ships_is_not_computed_and_says_who_did(folder):
    exact = Rooted().run()
    Rooted.computed = 0
    for study in (Rooted(), Rooted(c=9.0)):
        assert ask(study).attrs["shipped"] == f"lab {lab.__version__}"
    found = ask(Rooted())
    assert Rooted.computed == 0
    assert float(found.root) == float(exact.root)  # numbers are whole, arrays rounded to single precision
    assert found.history.dtype == np.float64
    assert 0 < np.abs(found.history - exact.history).max() < 1e-7
    assert found.attrs["parameters"] == exact.attrs["parameters"]


def test_what_is_asked_for_otherwise_is_computed(folder):
    assert "shipped" not in ask(Rooted(c=3.0)).attrs
    assert "shipped" not in ask(Rooted(), again=True).attrs
    assert Rooted.computed == 2
    assert "shipped" not in ask(Rooted()).attrs, "one's own run is above what ships"


def test_of_a_picture_over_several_runs_what_it_draws_ships(folder):
    study = Rooted()
    drawn = study.picture_result(study.pictures.roots)
    assert Rooted.computed == 0
    assert np.allclose(drawn.root, [1, 2, 3])
    whole = sweeps.sweep(study, c=[1.0, 4.0])  # asks for all variables
    assert "history" in whole
    assert Rooted.computed > 0
    assert drawn.attrs["shipped"] == f"lab {lab.__version__}"
    assert sweeps.sweep(study, c=[2.0, 3.0]).attrs["shipped"] == f"lab {lab.__version__} (1 of 2 cells)"
    assert "shipped" not in sweeps.sweep(study, c=[3.0, 5.0]).attrs


def test_other_code_is_told(folder, monkeypatch):
    told = json.loads((folder / shipped.INDEX).read_text())
    changed = {asked: [[*p[:2], "another", *p[3:]] for p in places] for asked, places in told.items()}
    other = folder.parent / "other"
    folder.rename(other)
    (other / shipped.INDEX).write_text(json.dumps(changed))
    monkeypatch.setenv("LAB_RESULTS", str(other))
    assert ask(Rooted()).attrs["shipped"] == f"another state of lab {lab.__version__}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "value"), [(0, "../results/rooted"), (0, "other.zarr.zip"), (1, 1), (1, 99), (1, -1), (1, "0")]
)
def test_an_index_that_lies_ships_nothing(folder, monkeypatch, place, value):
    told = json.loads((folder / shipped.INDEX).read_text())
    for places in told.values():
        for each in places:
            each[place] = value
    other = folder.parent / "other"
    folder.rename(other)
    (other / shipped.INDEX).write_text(json.dumps(told))
    monkeypatch.setenv("LAB_RESULTS", str(other))
    assert "shipped" not in ask(Rooted()).attrs
    assert Rooted.computed == 1


def test_what_is_spoilt_is_computed_and_said_once(folder, caplog):
    for path in folder.glob("*.zarr.zip"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING, "lab.store"):
        assert np.allclose(ask(Rooted()).root, 2**0.5)
    assert Rooted.computed == 1
    assert "missing or damaged" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{]", '{"a": 1}', '{"a": [[1]]}', '{"a": [["../x", 0, "", "", []]]}'])
def test_an_index_that_is_none_ships_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LAB_RESULTS", str(tmp_path))
    (tmp_path / shipped.INDEX).write_text(text)
    assert "shipped" not in ask(Rooted()).attrs


def test_nothing_ships_where_nothing_is_meant_to(folder, monkeypatch):
    monkeypatch.setenv("LAB_RESULTS", "")
    assert "shipped" not in ask(Rooted()).attrs


def test_the_gallery_has_a_picture_at_once(folder, monkeypatch):
    monkeypatch.setattr(thumbnails.code, "of_user", lambda study: "")  # as one of the lab's own
    images = thumbnails.shipping(Rooted)
    assert images is not None
    assert all(png.startswith(b"\x89PNG") for png in images.values())
    assert thumbnails.make(Rooted) == images
    assert thumbnails.find(Rooted) is None
    monkeypatch.setattr(thumbnails.kept, "identity_of_code", lambda study: "changed")
    assert thumbnails.shipping(Rooted) == images
    drawn = thumbnails.make(Rooted)
    assert thumbnails.find(Rooted) == drawn
