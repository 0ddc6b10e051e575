"""What a study needs of its data: every named set that it lists is taken, every other one is refused before it is made."""

import json
import re

import pytest

from lab import datasets, studies
from lab.app.controls import DataCard
from lab.app.session import Session
from lab.cli import main
from lab.cli.told import describe
from lab.datasets import Needs, registry
from lab.studies.contract.registry import flaw
from lab.studies.paths.weighted_cfm import WeightedCFM

STUDIES = [study for study in studies.catalogue() if study.__module__.startswith("lab.studies.")]
DOWNLOADED = ("cifar-10", "fashion-mnist")


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.slug)
def test_a_study_takes_the_sets_that_it_lists_and_no_other(study, monkeypatch):
    """Each listed set is checked as a run does, with few points, after parameters have moved into what it allows."""
    listed = [entry.name for entry in study.sets()]
    assert study().data in listed
    assert [told["name"] for told in describe(study)["data"]] == listed
    for name in (name for name in listed if name not in DOWNLOADED):
        low, high = datasets.entry_of(name).allowed.get("n", (0, 0))
        data = datasets.load(name, **({"n": min(max(40, low), high)} if high else {}))
        made, _ = study(data=data).fitted(data)
        made.check(made.load())

    def never(*_):
        raise AssertionError("a set was made before it was refused")

    monkeypatch.setattr(registry, "_load", never)
    others = [entry.name for entry in datasets.catalogue() if entry.name not in listed]
    assert {"photographs", "checkerboard"} & {*others}
    for name in others:
        same = datasets.entry_of(name).kind == study.kind
        why = "(is needed|taken) here" if same else f"of kind .*{study.kind} is needed here"
        with pytest.raises(ValueError, match=f"{why}: choose {listed[0]}, "):
            study(data=name).load()


SENTENCE = (
    "the data photographs are of kind transport, but samples is needed here: choose checkerboard, eight-gaussians, "
)


def test_every_face_refuses_in_one_sentence_before_anything_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_load", lambda *_: 1 / 0)
    monkeypatch.setattr(WeightedCFM, "compute", lambda *_: 1 / 0)
    picture = next(iter(WeightedCFM.pictures))
    for words in (
        ["run", "weighted-cfm", "--data", "photographs"],
        ["sweep", "weighted-cfm", "--data", "photographs", "--seed", "0,1"],
        ["figure", f"weighted-cfm:{picture.name}", "--data", "photographs", "-o", str(tmp_path / "a.pdf")],
    ):
        assert main(words) != 0
        said = " ".join(capsys.readouterr().err.split())
        assert SENTENCE in said
        assert "Traceback" not in said
    study = WeightedCFM(data="photographs")
    for act in (study.run, lambda: study.along(seed=[0, 1]), lambda: study.picture_result(picture)):
        with pytest.raises(ValueError, match=re.escape(SENTENCE)):
            act()


def test_the_page_lists_the_sets_that_fit(monkeypatch):
    monkeypatch.setattr(WeightedCFM, "needs", Needs("source density", "classes"))
    groups = json.loads(DataCard(Session(WeightedCFM)).state)["groups"]
    assert [name for _, names in groups for name, _ in names] == ["digit-samples", "mnist-samples"]


def test_needs_that_no_data_have_are_a_flaw():
    class Wanting(WeightedCFM):
        slug = "wanting"

    assert flaw(Wanting) == ""
    Wanting.needs = Needs("colour")
    assert flaw(Wanting).startswith("it needs 'colour', which data of kind samples do not have: they have x, x0,")
    Wanting.kind = "weather"
    assert flaw(Wanting) == "it has needs, but nobody declared the kind weather: add_kind(Kind('weather', ...))"
