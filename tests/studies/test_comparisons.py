"""Comparisons: every sentence that ranks methods agrees with the arrays that ship, and nothing here is computed."""

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from lab import studies, sweeps
from lab.store import Store, shipped, unpack
from lab.studies import Study
from lab.studies.contract import Comparison, comparisons, told

STUDIES = [study for study in studies.catalogue() if not study.__module__.startswith("lab_user_")]


def every(test):
    return pytest.mark.slow(
        pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.slug, scope="module")(test)
    )


@pytest.fixture(autouse=True)
def ships(monkeypatch):
    monkeypatch.delenv("LAB_RESULTS", raising=False)


@lru_cache(maxsize=1)
def _shipped(study: type[Study]) -> dict[str, xr.Dataset]:
    """The default run, and those of steps, presets and best places, where they ship."""
    assert study.story is not None
    changes = {"default": {}} | {f"step-{at}": dict(step.change) for at, step in enumerate(study.story.steps, 1)}
    changes |= {f"best-{each.name}": dict(each.best_at or {}) for each in study.story.compares if each.best_at}
    changes |= {f"preset-{preset.name}": dict(preset.values) for preset in study.presets}
    found = {}
    for name, change in changes.items():
        try:
            made = study(**change)
            key = Store.key(made.recipe(made.load()))
        except (ValueError, OSError):  # its data are elsewhere
            continue
        if shipped.find(key) is not None:
            ((cells, (row,)),) = shipped.read([key])
            found[name] = unpack(cells, row)
    assert "default" in found
    return found


def _expected(comparison: Comparison, result: xr.Dataset) -> tuple[list[str], int] | None:
    """The best methods and the number of seeds, by the definition, apart from ``Comparison.standing``."""
    known, rows = json.loads(result.attrs["parameters"]), {}
    for method in comparison.methods:
        variable = comparison.result or method
        if variable not in result or (comparison.along and method not in result[comparison.along]):
            continue
        chosen = result[variable].sel({comparison.along: method} if comparison.along else {})
        chosen = chosen.isel({dim: -1 for dim, at in comparison.at.items() if at == -1})
        labels = {dim: known.get(at, at) for dim, at in comparison.at.items() if at != -1}
        if any(label not in chosen[dim] for dim, label in labels.items()):
            continue
        chosen = chosen.sel(labels)
        chosen = chosen.dropna(comparison.over)[:1] if method in comparison.single else chosen
        if np.isfinite(chosen).all():
            rows[method] = np.ravel(chosen.values)
    if len(rows) < 2:
        return None
    if comparison.stored:
        asked = {n: v for n, v in json.loads(result.attrs["parameters"]).items() if n != "seed"}
        for state in comparisons.recorded(shipped.folder()).get(result.attrs.get("study", ""), {}).values():
            if state["of"] == comparisons.signature(asked, result.attrs["data_name"]):
                rows = {method: np.array(state["values"][comparison.name][method]) for method in rows}
    sign = 1 if comparison.better == "lower" else -1
    means = {method: sign * row.mean() for method, row in rows.items()}
    first = min(means, key=lambda method: means[method])
    same = [m for m in means if means[m] - means[first] <= 1e-3 * max(abs(means[m]), abs(means[first]))]
    if not comparison.random:
        return same, 0
    if comparison.error:
        count = json.loads(result.attrs["parameters"]).get(comparison.count, comparison.count)
        error = {m: float(result[comparison.error].sel({comparison.along: m}).values) for m in rows}
    else:
        count = min((len(row) for method, row in rows.items() if method not in comparison.single), default=1)
        error = {method: stats.sem(row) if len(row) > 1 else 0.0 for method, row in rows.items()}
    if count < 5:
        return same, count
    half = {method: stats.t.ppf(0.975, count - 1) * error[method] for method in rows}
    return [m for m in means if m == first or means[m] - means[first] <= half[m] + half[first]], count


def _best_of_one(comparison: Comparison, result: xr.Dataset) -> str:
    """The method with the best mean in this result."""
    params, means = json.loads(result.attrs["parameters"]), {}
    for method in comparison.methods:
        value = result[comparison.result or method]
        value = value.sel({comparison.along: method}) if comparison.along else value
        value = value.dropna(comparison.over)[:1] if method in comparison.single else value
        value = value.isel({dim: -1 for dim, at in comparison.at.items() if at == -1})
        value = value.sel({dim: params.get(at, at) for dim, at in comparison.at.items() if at != -1})
        means[method] = float(value.mean(skipna=False))
    known = {method: mean for method, mean in means.items() if np.isfinite(mean)}
    return (min if comparison.better == "lower" else max)(known, key=lambda method: known[method])


def wrong(text: str, comparison: Comparison, result: xr.Dataset) -> str:
    """What a sentence says about the best methods that the arrays do not; "" where it agrees."""
    expected = _expected(comparison, result)
    if expected is None:
        return f"it says {text!r} of methods that are absent" if text else ""
    best, count = expected
    head = re.split(r" has the (?:low|high)est | tie for the (?:low|high)est ", text)[0]
    head = re.sub(r"^(?:With )?(?:one|\d+) seeds?[,:] ", "", head, flags=re.IGNORECASE)
    words = {method: comparison.methods[method].lower() for method in comparison.methods}
    many = re.fullmatch(r"[Aa]ll (\d+) methods|(\d+) of \d+ methods", head)
    named = set(re.split(r", | and ", head.lower()))
    if many and int(many[1] or many[2]) != len(best):
        return f"{head} are said to tie, but {best} do"
    if not many and named != {words[method] for method in best}:
        return f"{sorted(named)} is said to be best, but {best} is"
    if (0 < count < 5) != bool(re.match(r"(?:With )?(?:one|\d+) seeds?[,:] ", text, re.IGNORECASE)):
        return f"it is silent on, or wrong about, its {count} seeds"
    side = "lowest" if comparison.better == "lower" else "highest"
    return "" if f" {side} {comparison.quantity}" in text else f"it does not name the {side} {comparison.quantity}"


@every
def test_its_sentences_name_the_best_of_all_methods(study):
    """Over defaults, steps, presets and precomputed sweeps."""
    for name, result in _shipped(study).items():
        for comparison in study.story.compares:
            assert len(comparison.finding(result)) <= comparisons.MOST
            for text in (comparison.sentence(result), comparison.finding(result)):
                assert not wrong(text, comparison, result), (name, text)
            if name == "default" and comparison in study.story.compares[:2] and comparison.sentence(result):
                assert comparison.sentence(result) in study.story.summary(result)


@every
def test_its_sentences_over_precomputed_sweeps(study):
    """Each run of a picture over several runs that keeps what is compared."""
    made = study()
    for picture in study.pictures:
        for comparison in study.story.compares:
            if picture.along is None or not set(comparison.keep) <= set(picture.keep):
                continue
            plan = sweeps.Plan(made, picture.grid(made, made.load()), store=Store(), keep=picture.keep)
            if not plan.complete:
                continue
            swept = sweeps.run(plan).squeeze()
            if len(axes := [name for name in plan.grid if name in swept.dims]) == 1:
                for value, best in comparison.best_by(swept, axes[0]):
                    assert best == _best_of_one(comparison, swept.sel({axes[0]: value})), value
            for key in plan.keys:
                ((cells, (row,)),) = shipped.read([key], picture.keep)
                result = unpack(cells, row)
                for text in (comparison.sentence(result), comparison.finding(result)):
                    assert not wrong(text, comparison, result), text


@every
def test_it_says_when_the_method_of_the_paper_is_the_best(study):
    """Where it is not at the default: with ``best_at`` it is among the best, and without it in no precomputed run."""
    runs = _shipped(study)
    for comparison in study.story.compares:
        at_default = _expected(comparison, runs["default"])
        if not comparison.ours or at_default is None:
            continue
        if comparison.best_at == {}:
            assert comparison.ours in at_default[0], comparison.name
        elif comparison.best_at:
            place = runs.get(f"best-{comparison.name}")
            if place is None:  # only its values over seeds ship
                assert comparison.stored, f"ship a run of {study.slug} with {comparison.best_at}, as a step or preset"
                told_of = {"parameters": _parameters(study, comparison.best_at)}
                place = runs["default"].assign_attrs(told_of, data_name=study(**comparison.best_at).load().name)
            standing = comparison.standing(place)
            assert standing.certain
            assert comparison.ours in standing.best
        else:
            for name, result in runs.items():
                best = _expected(comparison, result)
                assert best is None or comparison.ours not in best[0], name


def _parameters(study: type[Study], change) -> str:
    made = study(**change)
    return json.dumps(made.recipe(made.load())["parameters"])


@every
def test_its_default_has_five_seeds_which_agree_with_what_ships(study):
    runs = _shipped(study)
    for comparison in study.story.compares:
        if _expected(comparison, runs["default"]) is not None:
            assert comparison.standing(runs["default"]).certain or "default" not in study.story.repeats
    for name, state in comparisons.recorded(shipped.folder()).get(study.slug, {}).items():
        change = comparisons.states(study)[name]
        assert state["of"] == comparisons.signature(json.loads(_parameters(study, change)), study(**change).load().name)
        if name not in runs or (seed := runs[name].attrs["seed"]) not in state["seeds"]:
            continue
        for comparison in study.story.compares:
            for method, (value,) in comparison.values(runs[name]).items() if comparison.stored else ():
                row = np.array(state["values"][comparison.name][method])
                near = stats.t.ppf(0.975, len(row) - 1) * row.std(ddof=1) * (1 + 1 / len(row)) ** 0.5
                apart = abs(row[state["seeds"].index(seed)] - value)  # of trainings elsewhere, whose rounding has grown
                assert apart <= max(0.05 * abs(value), 1e-9) or abs(row.mean() - value) <= near, (name, method)


@every
def test_no_other_text_of_it_ranks_methods(study):
    """A sentence with a superlative is made by a comparison, or its story names the claim or test that owns it."""
    story, claims = study.story, {claim.name for claim in study.claims}
    for owner in story.owners.values():
        assert owner in claims or re.fullmatch(r"tests/[\w/]+\.py::\w+", owner), owner
    texts = {story.phenomenon, story.question, *(text for text in story.says if isinstance(text, str))}
    texts |= {picture.title for picture in study.pictures} | {picture.caption for picture in study.pictures}
    texts |= {study.about} | {text for preset in study.presets for text in (preset.title, preset.doc)}
    texts |= {text for group in story.groups for text in (group.title, group.finding) if isinstance(text, str)}
    for result in _shipped(study).values():
        made = {text for each in story.compares for text in (each.sentence(result), each.finding(result))}
        live = {told(group.finding, result) for group in story.groups if not isinstance(group.finding, str)}
        live |= {picture.finding(result) for picture in study.pictures if picture.along is None}
        texts |= {_without(text, made) for text in live}
    ranks = [text for text in texts if comparisons.RANKS.search(_without(re.sub(r"\{[^}]*\}", "", text), story.owners))]
    assert not ranks


def _without(text, owned) -> str:
    for part in sorted(filter(None, owned), key=len, reverse=True):
        text = text.replace(part, "")
    return text


def _result(values, **attrs) -> xr.Dataset:
    dims = ("way", "seed") if np.ndim(values[0]) else ("way",)
    return xr.Dataset({"w2": (dims, np.array(values))}, {"way": ["a", "b", "c"]}, attrs={"parameters": "{}"} | attrs)


def _of(**options: Any) -> Comparison:
    methods = {"a": "the flow", "b": "DPM-OT", "c": "annealing"}
    options = {"ours": "b"} | options
    return Comparison("w2", "W₂", methods, result="w2", along="way", **options)


def test_a_best_method_is_named_with_its_interval():
    apart = _result([[1.0, 1.1, 0.9, 1.0, 1.0], [2.0, 2.1, 1.9, 2.0, 2.0], [3.0, 3.1, 2.9, 3.0, 3.0]])
    comparison = _of(over="seed", best_at={"k": 0})
    assert comparison.sentence(apart) == (
        "The flow has the lowest W₂ among 3 methods, 1 ± 0.088 (means over 5 seeds with 95% intervals); then DPM-OT 2 ± 0.088, "
        "annealing 3 ± 0.088. DPM-OT is best (or tied) at k = 0."
    )
    assert comparison.finding(apart) == "The flow has the lowest W₂, 1 ± 0.088; DPM-OT 2 ± 0.088"
    standing = comparison.standing(apart)
    assert standing is not None
    half = stats.t.ppf(0.975, 4) * stats.sem(apart.w2.values[0])
    assert standing.halves["a"] == pytest.approx(half, rel=1e-3)


def test_overlapping_intervals_are_a_tie_and_one_seed_is_not_certain():
    near = _result([[1.0, 1.3, 0.9], [1.1, 1.4, 0.9], [3.0, 3.1, 2.9]])
    five = _result([[1.0, 1.3, 0.9, 1.2, 0.8], [1.1, 1.4, 0.9, 1.2, 0.8], [3.0, 3.1, 2.9, 3.0, 3.0]])
    assert _of(over="seed").finding(five).startswith("The flow and DPM-OT tie for the lowest W₂")
    beside = _result([[1.0, 1.3, 0.9, 1.2, 0.8], [1.1, 1.4, 1.0, 1.3, 0.91], [3.0, 3.1, 2.9, 3.0, 3.0]])
    assert "In paired differences the flow is ahead of DPM-OT by 0.102 ± 0.0056." in _of(over="seed").sentence(beside)
    assert "paired" not in _of(over="seed").sentence(five)
    assert _of(over="seed").sentence(near).startswith("With 3 seeds, the flow has the lowest W₂ among 3 methods")
    assert _of().finding(_result([1.0, 2.0, 3.0])).startswith("One seed: the flow has")
    assert (
        _of().finding(_result([0.0, 0.0, 0.0])) == "One seed: the flow, DPM-OT and annealing tie for the lowest W₂, 0"
    )
    assert _of(random=False).finding(_result([1.0, 1.0005, 3.0])).startswith("The flow and DPM-OT tie")
    assert (
        _of(better="higher", random=False).finding(_result([1.0, 2.0, 3.0])).startswith("Annealing has the highest W₂")
    )
    assert _of().sentence(_result([1.0, np.nan, np.nan])) == ""


def test_the_test_finds_a_sentence_that_flatters():
    result = _result([1.0, 2.0, 3.0])
    comparison = _of(random=False)
    assert not wrong(comparison.sentence(result), comparison, result)
    assert wrong("DPM-OT has the lowest W₂ among 3 methods, 2", comparison, result)
    assert wrong("The flow and DPM-OT tie for the lowest W₂", comparison, result)
    assert wrong("One seed: the flow has the lowest W₂", comparison, result)
    assert wrong("The flow has the highest W₂", comparison, result)
    unsure = _of()
    assert wrong("The flow has the lowest W₂", unsure, result)
    assert comparisons.RANKS.search("DPM-OT is nearest to the data")
    assert not comparisons.RANKS.search("at most 3 of at least 2")


def test_which_method_is_best_along_a_parameter():
    along = xr.concat([_result(row) for row in ([2.0, 1.0, 3.0], [2.0, 3.0, 4.0], [1.0, 3.0, 4.0])], "k").assign_coords(
        k=[8, 1, 2]
    )
    comparison = _of()
    assert comparison.best_by(along, "k") == [(1, "a"), (2, "a"), (8, "b")]
    assert comparison.finding_by(along, "k") == "One seed: the flow has the lowest W₂ up to k = 2, DPM-OT from 8 on"
    assert (
        _of(random=False).finding_by(along.isel(k=[1, 2]), "k") == "The flow has the lowest W₂ at every k from 1 to 2"
    )


def test_a_wrong_declaration_is_found():
    study = studies.find("sparse-ot")
    flaw = Comparison("x", "error", {"nothing": "it", "value": "that"}).flaw(study.results, study.parameters())
    assert flaw.startswith("compares nothing, which is no result")
