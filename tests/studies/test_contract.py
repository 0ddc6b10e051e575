"""The contract, on every registered study: a new study inherits all of this."""

import contextlib
import json
import os
import re
import shlex
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import get_type_hints
from urllib.parse import parse_qsl, urlsplit

import holoviews as hv
import jax
import numpy as np
import pytest
import xarray as xr

from docs.make import measure
from lab import datasets, memory, numerics, studies, sweeps
from lab.cli import commands, told
from lab.store import Key, Store, shipped, unpack
from lab.studies import Choice, Claim, Picture, Real, Study, Whole, bounds_of
from lab.studies.contract import curve, reported
from lab.studies.contract.outputs import OF_RUNS, outputs_of
from lab.studies.contract.registry import flaw
from lab.studies.contract.verify import judge

STUDIES = [study for study in studies.catalogue() if not study.__module__.startswith("lab_user_")]  # of no test
CHECKS = {  # independent values and symmetries, by study
    path.stem: import_module(f"studies.checks.{path.stem}").CHECKS
    for path in (Path(__file__).parent / "checks").glob("*.py")
}
CLAIMS = [
    (study, claim)
    for study in STUDIES
    for claim in (*study.claims, *CHECKS.get(study.slug.replace("-", "_"), ()))
    if claim.quick or "LAB_ALL_CLAIMS" in os.environ
]
TRAINING = {"train_steps", "epochs"}  # parameters that are 0 where nothing is trained
FIRST = "sparse-ot"  # `make check` runs this one; the others are only looked at there


MOST = {"pictures": 8, "presets": 6, "claims": 12}  # of a study in the typed form; negative findings are not counted


def _marked(study: type[Study]) -> list[pytest.MarkDecorator]:
    return [] if study.slug == FIRST else [pytest.mark.slow]


running = pytest.mark.parametrize(
    "study", [pytest.param(study, marks=_marked(study), id=study.slug) for study in STUDIES], scope="module"
)


@pytest.fixture(scope="module", params=STUDIES, ids=lambda study: study.slug)
def study(request) -> type[Study]:
    return request.param


@pytest.fixture(scope="module")
def result(study) -> xr.Dataset:
    return _at_hand(study(), computed=True)


@pytest.fixture(scope="module")
def moved(study) -> tuple[str, list]:
    """A traced parameter, its default and a value near it."""
    name = next(n for n, p in study.parameters().items() if p.traced and p.sweepable and isinstance(p, Real | Whole))
    return name, [getattr(study(), name), _neighbour(study, name)]


@pytest.fixture(scope="module")
def swept(study, moved) -> xr.Dataset:
    name, values = moved
    return study().along(**{name: values})


def test_declaration_is_whole(study):
    assert flaw(study) == ""
    names = [picture.name for picture in study.pictures]
    assert names
    assert len(set(names)) == len(names)
    assert len({claim.name for claim in study.claims}) == len(study.claims) >= 5
    assert len({preset.name for preset in study.presets}) == len(study.presets) >= 2
    assert 2 <= study.about.count(".") <= 5
    assert any(result.headline for result in study.results)
    assert 2 <= len(study.reported) <= 8
    assert all(row.where and row.paper_setting and row.our_setting for row in study.reported)


def test_description_is_json_with_the_promised_keys(study):
    described = json.loads(json.dumps(told.describe(study)))
    promised = "name title field paper about parameters data presets pictures claims reported results"
    assert set(described) == set(promised.split())
    for parameter in described["parameters"]:
        assert set(parameter) == set("name type default bounds scale unit doc sweepable allowed".split())
    assert described["data"]
    assert {"name", "dims", "unit", "doc"} == set(described["results"][0])


@running
def test_our_numbers_beside_the_papers_are_those_that_ship(study, monkeypatch):
    """None is typed: each is read again from its precomputed run or its stored verdict."""
    monkeypatch.delenv("LAB_RESULTS")
    runs = reported.Shipped(study)
    found = reported.measured(study, measure.load()[study.slug], runs)
    assert set(found) == set(reported.load()[study.slug])
    for name, stored in reported.load()[study.slug].items():
        again = f"{name} has changed: python -m docs.make.measure --tables {study.slug}"
        assert _near(stored, found[name]), again
    for row, line in zip(study.reported, reported.lines(study), strict=True):
        assert row.holds is None or row.holds(runs), line.note
        assert (line.ours == "not computed here") == (not row.ours and not row.claim), (
            f"python -m docs.make.measure --tables {study.slug}"
        )
        assert not re.search(r"–|nan|None", f"{line.ours} {line.paper}"), line


def _near(one: dict, other: dict) -> bool:
    """Whether the numbers agree to rounding, and everything else is equal."""
    flat = [[each["measured"], each.get("expected") or 0.0, *(each["interval"] or [])] for each in (one, other)]
    rest = [{**each, "measured": 0, "expected": 0, "interval": 0} for each in (one, other)]
    return rest[0] == rest[1] and len(flat[0]) == len(flat[1]) and np.allclose(*flat, rtol=1e-9, atol=0)


@running
def test_result_is_labelled(study, result):
    for declared in study.results:
        if declared.name not in result:
            assert declared.absent, declared.name
            continue
        assert result[declared.name].dims == declared.dims
        assert result[declared.name].attrs["long_name"]
    for dim in result.dims:
        assert result[dim].attrs["long_name"], dim
    for key in ("study", "parameters", "data_name", "data_sha256", "seed", "versions", "device", "dtype", "recipe"):
        assert result.attrs[key] not in (None, ""), key
    assert result.attrs["dtype"] == "float64"
    assert result.attrs["converged"] == int(result["converged"])


@running
@pytest.mark.slow
def test_the_steps_of_its_story_hold(study, monkeypatch):
    """On what ships, which test_what_ships_is_what_is_computed guards; computed where a step does not ship."""
    monkeypatch.delenv("LAB_RESULTS")
    if study.story is None:
        return
    before = _at_hand(study())
    for step in study.story.steps:
        after = _at_hand(study(**step.change))
        assert step.holds(before, after), step.question
        assert "{" not in step.told(before, after)
        assert "–" not in step.told(before, after)
        assert not study.pictures[step.look or study.story.hero[0]].applies(after)


@running
def test_its_pictures_say_what_they_show(study, monkeypatch):
    """Of what ships: the default, presets and steps, and the runs along a parameter that a picture needs."""
    monkeypatch.delenv("LAB_RESULTS")
    if study.story is None:
        return
    story = study.story
    grouped = {name for group in story.groups for name in group.pictures}
    assert all(study.pictures[name].finds for name in grouped)
    states = [
        study(),
        *(study(**step.change) for step in story.steps),
        *(study.preset(each.name) for each in study.presets),
    ]
    keys = [Store.key(made.recipe(made.load())) for made in states]
    ships = [(made, _read(key)) for made, key in zip(states, keys, strict=True) if shipped.find(key) is not None]
    assert ships
    said = {name: [] for name in grouped}
    for made, result in ships:
        for name in said:
            drawn = _sweep_that_ships(made, study.pictures[name]) if study.pictures[name].along is not None else result
            if drawn is not None and not study.pictures[name].applies(drawn):
                said[name].append(study.pictures[name].finding(drawn))
    for name, texts in said.items():
        for text in texts:
            assert text, f"{name} shows something, and nothing is said of it"
            assert len(text) <= 95, text
            assert not re.search(r"–|nan|\binf|[{}]|\.$|e[+-]\d", text), text


def _sweep_that_ships(made: Study, picture: Picture) -> xr.Dataset | None:
    plan = sweeps.Plan(made, picture.grid(made, made.load()), store=Store(), keep=picture.keep)
    return sweeps.run(plan) if plan.complete else None


@running
def test_the_curve_of_its_slider_ships(study, monkeypatch):
    monkeypatch.delenv("LAB_RESULTS")
    made, moved = study(), curve(study)
    if moved is not None and not moved.idle(made, made.load()):
        plan = sweeps.Plan(made, moved.grid(made, made.load()), store=Store(), keep=moved.keep, exact=True)
        assert plan.complete, f"not all of the curve of {study.slug} ships: make data"


@running
def test_result_survives_a_file(study, result, tmp_path):
    commands.save(result, tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc") as opened:
        xr.testing.assert_identical(opened.load(), result)
    commands.save(result, tmp_path / "run.zarr")
    with xr.open_zarr(tmp_path / "run.zarr", consolidated=False) as opened:
        xr.testing.assert_equal(opened.load(), result)


@pytest.fixture(scope="module")
def again(study, result, swept) -> xr.Dataset:
    """The default run as the sweep has made it and put into the store, found by the recipe of the other."""
    made = study.from_recipe(json.loads(result.attrs["recipe"]))
    return Store().fetch(made.recipe(made.load()), lambda: pytest.fail("the sweep has kept it"))


@running
def test_recipe_gives_the_same_numbers(study, result, again):
    xr.testing.assert_equal(again, result)  # bitwise: a run is deterministic


def test_recipe_carries_data_that_have_no_name(study):
    data = study().load()
    mine = datasets.Data("mine", "Mine", data.kind, dict(data.arrays), "me", "mine", axes=data.axes)
    first = study(data=mine)
    again = study.from_recipe(json.loads(json.dumps(first.recipe())))
    assert again.load().sha256 == mine.sha256
    assert again.load().axes == mine.axes


def test_recipe_refuses_other_data(study):
    recipe = study().recipe()
    recipe["data"]["sha256"] = "0" * 64
    with pytest.raises(ValueError, match="are not those of the recipe"):
        study.from_recipe(recipe)


def test_command_and_link_give_the_same_study(study):
    for preset in study.presets:
        made = study.preset(preset.name)
        words = shlex.split(made.as_command())
        assert words[:3] == ["lab", "run", study.slug]
        again, _ = commands._study("run", study.slug, words[3:], lambda parser: None)
        assert again.values() == made.values()
        query = dict(parse_qsl(urlsplit(made.as_link()).query))
        parsed = {name: study.parameters()[name].parse(text) for name, text in query.items()}
        assert study(**parsed).values() == made.values()


def test_python_gives_the_same_study(study):
    made = study.preset(study.presets[0].name)
    space: dict = {}
    code = made.as_python().replace("lab.notebook()", "").replace("result = study.run()", "")
    exec(code, space)
    assert space["study"].values() == made.values()


@running
def test_traced_parameters_compile_nothing(study, again):
    """All of them changed at once, after three runs: one that compiled anything would do so here too."""
    traced = [n for n, p in study.parameters().items() if p.traced and isinstance(p, Real | Whole)]
    near = study(**{name: _neighbour(study, name) for name in traced})
    if near.run().attrs["programs_compiled"]:  # an earlier test may have released programs: start without any
        memory.make_room(0, left=0)
        study().run()
        assert near.run().attrs["programs_compiled"] == 0


@pytest.mark.slow
@running
def test_compute_is_pure(study, result):
    """Under jit and vmap, with every traced parameter a tracer, the scalars have the shapes and dtypes of those of runs.

    That a batch has the numbers of its cells is tested where batches run, in tests/sweeps; here nothing is compiled.
    """
    made = study()
    inputs = study.inputs(made.load())
    traced = {n: v for n, v in made.values().items() if study.parameters()[n].traced and not isinstance(v, str)}

    def scalars(values):
        output = study.by_name(inputs, made.given().but(**values), numerics.pure)
        return {r.name: output[r.name] for r in study.results if r.headline and r.name in output and not r.dims}

    batch = {name: np.array([value, _neighbour(study, name)]) for name, value in traced.items()}
    shapes = jax.eval_shape(jax.jit(jax.vmap(scalars)), batch)
    assert shapes
    for name, shape in shapes.items():
        assert shape.shape == (2,), name
        assert np.issubdtype(shape.dtype, np.floating) == np.issubdtype(result[name].dtype, np.floating), name


@running
def test_stop_keeps_what_there_is_and_says_so(study):
    reports = []

    def stop(progress):
        reports.append(progress)
        return True

    stopped = study().run(stop)
    if reports and stopped.attrs["reason"] != "converged":  # a method without iterations has nothing to stop
        assert stopped.attrs["reason"] == "stopped"
        assert not stopped["converged"]
        assert "stopped" in stopped.attrs["advice"]


@running
def test_an_exception_in_the_report_abandons_the_run(study):
    class Abandoned(Exception): ...

    def abandon(progress):
        raise Abandoned

    with pytest.raises(Abandoned):
        study(seed=29).run(abandon)  # a seed of no other test: what runs have in common may be remembered


def test_bad_values_are_refused_with_name_and_value(study):
    with pytest.raises(ValueError, match="has no parameter 'nonsense'"):
        study(nonsense=1)
    for name, parameter in study.parameters().items():
        if not isinstance(parameter, Real | Whole):
            continue
        for bad in [b for b in (_outside(bound, side) for side, bound in enumerate(bounds_of(parameter) or [])) if b]:
            with pytest.raises(ValueError, match=rf"^{name} = .* is not allowed: it must be"):
                study(**{name: bad})
        for bad in (float("nan"), "three", True):
            with pytest.raises((TypeError, ValueError), match=rf"^{name} = .* is not allowed: it must be"):
                study(**{name: bad})


def test_limits_of_the_data_are_enforced(study):
    made = study()
    for name, limit in made.limits(made.load()).items():
        with pytest.raises(ValueError, match=re.escape(f"{limit.high:g}, {limit.why}")):
            made.but(**{name: type(limit.high)(limit.high + 1)}).run()


@running
@pytest.mark.slow
def test_what_is_said_to_have_no_effect_has_none(study, result):
    made = study()
    traced = [name for name, p in study.parameters().items() if isinstance(p, Real) and p.traced]
    idle = {name: _neighbour(study, name) for name in traced if made.idle(name)}
    if idle:
        after = made.but(**idle).run()
        for name in result.data_vars:
            np.testing.assert_array_equal(after[name], result[name], err_msg=name)


def test_an_option_of_data_has_an_effect_where_they_have_it(study):
    made = study()
    for name in set(study.data_options) - {"seed"}:
        sets = [entry for entry in study.sets() if not study.parameters()[name].when]
        for entry in sets:
            idle = study(data=entry.name).idle(name)
            assert bool(idle) == (name not in entry.options)
            assert not idle or idle.startswith("has an effect only when data is ")
        if sets:
            mine = datasets.Data("mine", "Mine", made.load().kind, dict(made.load().arrays), "me", "mine")
            assert study(data=mine).idle(name)


@running
def test_sweep_is_the_run_with_one_dimension_more(study, result, moved, swept):
    name, values = moved
    assert list(swept[name].values) == values
    for declared in study.results:
        if declared.name in result and "iteration" not in declared.dims:
            np.testing.assert_array_equal(swept[declared.name].isel({name: 0}), result[declared.name])


@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
@running
def test_applicable_pictures_are_drawn(study, result, backend):
    drawn = 0
    for picture in study.pictures:
        if picture.along is None and not picture.applies(result):
            hv.renderer(backend).get_plot(picture(result))
            drawn += 1
    assert drawn >= 1


def test_a_sweep_kept_without_variables_gets_a_sentence(study):
    made = study()
    name = next(n for n, p in study.parameters().items() if p.sweepable and isinstance(p, Real | Whole))
    value = getattr(made, name)
    attrs = made.attributes(made.load()) | {"swept": json.dumps({name: [value, value]})}
    refused = []
    for swept in ({}, {name: [value, value]}):
        bare = xr.Dataset(coords=swept, attrs=attrs)
        for picture in study.pictures:
            try:
                picture(bare)  # one that can do without variables is drawn
            except ValueError as problem:
                refused.append((f"the picture {picture.name} can't be drawn: ", str(problem)))
    assert [told for begins, told in refused if not told.startswith(begins)] == []
    assert len(refused) >= len(study.pictures)


def test_options_that_hold_commas_are_told_apart():
    assert Choice(["2", "2,10"]).allowed() == "it must be one of 2; 2,10"
    assert Choice(["a", "b"]).allowed() == "it must be one of a, b"


class _Asked(Exception): ...


def _trains(study: type[Study], claim: Claim) -> bool:
    """Whether the first run of a claim trains a network."""
    asked = []

    def runs(**parameters):
        asked.append(study(**parameters))
        raise _Asked

    with contextlib.suppress(_Asked):
        claim.measure(runs)
    return any(
        getattr(made, name) and not made.idle(name) for made in asked for name in TRAINING & {*study.parameters()}
    )


def test_a_typed_study_keeps_to_what_makes_the_argument(study):
    if study.__module__.endswith(".study"):
        claims = [claim for claim in study.claims if claim.should_hold]
        counts = {"pictures": len(study.pictures), "presets": len(study.presets), "claims": len(claims)}
        assert {name: number for name, number in counts.items() if number > MOST[name]} == {}


def test_outputs_have_their_annotated_types(study, result):
    experiment = outputs_of(study.compute)
    for name, annotation in (get_type_hints(experiment) if experiment else {}).items():
        if name in result and name not in OF_RUNS:
            assert isinstance(jax.numpy.asarray(result[name].values), annotation), name


def _identity(claim: Claim) -> bool:
    """Whether it states an equation to 1e-3 or finer, which holds for every seed or fails."""
    fine = claim.tolerance <= 1e-3
    return fine and (claim.relation == "==" or (claim.expected == 0.0 and claim.tolerance > 0))


def test_no_claim_depends_on_one_seed_silently(study):
    """A claim is an equation, averages over at least five seeds, or states why one run suffices (and that it is a training)."""
    silent = []
    for claim in study.claims:
        if claim.seeds:
            assert len(set(claim.seeds)) >= 5, claim.name
            assert not claim.one_run, claim.name
        elif not _identity(claim):
            known = claim.one_run.startswith(("one training", "exact:")) or (
                claim.one_run and not TRAINING & {*study.parameters()}
            )
            if not known and (not claim.one_run or _trains(study, claim)):
                silent.append(claim.name)
    assert not silent


@pytest.mark.slow
@pytest.mark.parametrize(("study", "claim"), CLAIMS, ids=[f"{study.slug}-{claim.name}" for study, claim in CLAIMS])
def test_quick_claims_hold(study, claim, monkeypatch):
    """On what ships, as the steps (``lab verify`` computes it); a claim finer than its rounding holds on what is computed."""
    monkeypatch.delenv("LAB_RESULTS")
    verdict = judge(claim, lambda **values: _at_hand(study(**values)))
    if verdict.surprising:
        verdict = judge(claim, lambda **values: _at_hand(study(**values), computed=True))
    assert not verdict.error, verdict.error
    assert not verdict.surprising, f"measured {verdict.measured}, expected {verdict.expected}"


@lru_cache(maxsize=1)
def _known(slug: str) -> dict[tuple[str, bool], xr.Dataset]:
    """Runs of the study that has its turn: what steps and claims share is made once."""
    return {}


def _at_hand(made: Study, computed: bool = False) -> xr.Dataset:
    """What ships, whichever state of the code made it, else what is computed. Numbers that ship are rounded."""
    known, key = _known(made.slug), Store.key(made.recipe(made.load()))
    ships = not computed and shipped.find(key) is not None
    if (key, ships) not in known:
        known[key, ships] = _read(key) if ships else made.run()
    return known[key, ships]


def _read(key: Key) -> xr.Dataset:
    ((cells, (row,)),) = shipped.read([key])
    return unpack(cells, row)


def _neighbour(study: type[Study], name: str):
    """Another allowed value, near the default."""
    value, parameter = getattr(study(), name), study.parameters()[name]
    high = (parameter.bounds or (None, None))[1]

    def moved(steps: int):
        if isinstance(parameter, Whole):
            return value + steps
        return value * 1.1**steps if parameter.scale == "log" else value + 1e-3 * steps

    return moved(-1 if high is not None and moved(1) > high else 1)  # downward from the upper end


def _outside(bound: float | None, side: int):
    return None if bound is None else bound + (1 if side else -1)


@running
def test_what_ships_is_what_is_computed(study, result, monkeypatch):
    """Computed elsewhere, by code compiled otherwise, and rounded: a training forks there, what it comes to does not."""
    monkeypatch.delenv("LAB_RESULTS")
    key = Store.key(study().recipe(study().load()))
    assert shipped.find(key), f"no default run of {study.slug} ships: make data"
    known = _read(key)
    assert set(result.data_vars) <= set(known.data_vars)  # a result that was removed ships until the next `make data`
    apart = {}
    for name, variable in result.data_vars.items():
        assert known[name].dims == variable.dims
        assert known[name].dtype == variable.dtype
        if variable.dtype.kind == "f":
            np.testing.assert_array_equal(np.isfinite(known[name]), np.isfinite(variable), name)
            finite = np.isfinite(variable.values)
            scale = np.abs(variable.values[finite]).max(initial=0.0) + 1e-6
            apart[name] = np.abs(known[name].values - variable.values)[finite].max(initial=0.0) / scale
    off = {name: share for name, share in apart.items() if share > 1e-3}
    assert len(off) <= 0.1 * len(apart), off
    assert max(apart.values()) < 0.05, off
