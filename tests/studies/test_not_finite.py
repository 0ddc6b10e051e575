"""A number that is NaN or infinite stands beside "converged" only where the study states why it is not defined."""

from typing import Any, ClassVar

import numpy as np
import pytest

from lab import datasets, studies
from lab.app.numbers import headline
from lab.cli.commands import _with_interval
from lab.datasets import Data
from lab.datasets.packaged import folder
from lab.figures import card_of
from lab.numerics import Loop
from lab.store import files, packing
from lab.studies import DataSource, Paper, Result, Study
from lab.studies.contract.registry import _found
from lab.studies.contract.telling import is_whole, told

WHY = "all scores are equal"
LINE = datasets.from_arrays("line", {"x": [[0.0], [1.0]], "y": [[0.0], [1.0]]})


class Scored(Study):
    slug = "scored"
    title = "Scored"
    field = "Tests"
    paper = Paper("A", "B", "C", 2000)
    about = "One. Two. Three."
    kind = "transport"
    replaced: ClassVar[dict[str, Any]] = {}
    results = (
        Result("score", (), "score", "of the points", headline=True),
        Result("correlation", (), "correlation", "of points and scores", headline=True, undefined=WHY),
        Result("other", (), "other", "a number that is not shown large"),
        Result("path", ("time",), "path", "of a particle"),
        Result("rate", ("time",), "rate", "of the path", undefined="the particle stands still"),
        Result("history", ("iteration",), "error", "of each step"),
    )
    data = DataSource("line", doc="points")

    def load(self) -> Data:
        return LINE

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        whole = {"score": 1.0, "correlation": 0.5, "other": 1.0, "path": np.ones(2), "rate": np.ones(2)}
        return whole | {"history": np.ones(1), "iterations": 1} | cls.replaced


def run(monkeypatch, **given):
    monkeypatch.setattr(Scored, "replaced", given)
    monkeypatch.setitem(_found, "scored", Scored)
    return Scored().run()


@pytest.mark.parametrize("given", [
    {"score": np.nan}, {"score": np.inf}, {"other": np.inf}, {"path": np.array([0.0, -np.inf])},
], ids=str)  # fmt: skip
def test_a_number_that_is_not_finite_without_a_reason_has_not_converged(monkeypatch, given):
    result = run(monkeypatch, **given)
    assert (result.attrs["converged"], result.attrs["reason"], result.attrs["ended"]) == (0, "not_finite", "not finite")
    assert "infinite or NaN" in result.attrs["advice"]
    assert "not finite" in headline(Scored(), result)[-2]
    assert "not finite" in card_of(result)
    assert "not defined" not in card_of(result) + "".join(headline(Scored(), result))


@pytest.mark.parametrize("given", [
    {"correlation": np.nan}, {"correlation": np.inf}, {"other": np.nan}, {"path": np.array([0.0, np.nan])},
    {"rate": np.array([np.inf, np.nan])}, {"history": np.array([np.inf])},
], ids=str)  # fmt: skip
def test_a_number_that_is_not_defined_for_a_stated_reason_leaves_the_run_converged(monkeypatch, given):
    assert run(monkeypatch, **given).attrs["converged"] == 1


def test_the_reason_replaces_the_number_on_every_interface(monkeypatch):
    result = run(monkeypatch, correlation=np.nan)
    declared, shown = Scored.results[1], f"not defined: {WHY}"
    assert shown in headline(Scored(), result)[1]
    assert shown in card_of(result)
    assert _with_interval(declared, result) == shown
    known = run(monkeypatch)
    assert "not defined" not in card_of(known) + "".join(headline(Scored(), known)) + _with_interval(declared, known)


def test_no_sentence_of_a_summary_has_a_number_that_is_not_defined(monkeypatch):
    result = run(monkeypatch, correlation=np.nan)
    assert not is_whole(told("The correlation is {correlation:.2f}.", result))


@pytest.mark.parametrize("study", studies.catalogue(), ids=lambda study: study.slug)
def test_no_precomputed_run_that_converged_breaks_the_rule(study):
    """Scalars alone: to read every array takes a minute."""
    scalars = [each for each in study.results if not each.dims]
    for path in sorted((folder() / "results").glob(f"{study.slug}-*{files.SUFFIX}")):
        cells, _ = files.read(path, [each.name for each in scalars])
        if cells.attrs["study"] != study.slug:
            continue
        converged = np.asarray(packing.cell_attrs(cells, "converged"), bool)
        for each in scalars:
            if each.name in cells:
                assert all(map(each.is_sound, cells[each.name].values[converged])), (path.name, each.name)
