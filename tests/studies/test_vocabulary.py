"""The vocabulary of the studies: which results a picture shows, measures, the story; on studies made up here."""

from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr

from lab.studies import Claim, Picture, Pictures, Result, find, verify
from lab.studies.contract import Group, Step, Story, sweeping, told
from lab.studies.contract.study import Study
from lab.studies.vocabulary import apart, interval, largest, least, mean, number, of, rise
from lab.studies.vocabulary.own import OwnStudy, definition_of, name_of
from lab.studies.vocabulary.training import Trained, course

HERE = Path(__file__).parent


def result(parameters="{}", **sizes):
    dims = list(sizes)
    values = xr.DataArray(
        np.zeros(tuple(sizes.values())), dims=dims, coords={d: np.arange(n) for d, n in sizes.items()}
    )
    return xr.Dataset({"value": values}, attrs={"parameters": parameters})


ASKED = '{"k": 1, "gamma": 1.0, "seed": 0}'


def picture(**rest):
    return Picture("p", "T", "C", lambda result: result, **rest)


def test_without_along_it_shows_one_run():
    one = picture()
    assert one.applies(result(ASKED, point=3)) == ""
    assert one.applies(result(ASKED, k=3, point=3)) == "it shows one run, and this is a sweep over k: choose one value"
    assert one.applies(result(ASKED, k=1, point=3)) == ""
    assert one(result(ASKED, k=1, point=3)).value.dims == ("point",)  # a single value is no axis


def test_with_along_it_shows_that_sweep_and_no_other():
    swept = picture(along={"k": (1, 2, 4), "gamma": (0.5,)})
    assert swept.applies(result(ASKED, point=3)) == "it shows a sweep over k"
    assert swept.applies(result(ASKED, k=3)) == ""
    assert swept.applies(result(ASKED, k=3, gamma=1)) == ""
    assert swept.applies(result(ASKED, k=3, gamma=2)) == "the sweep is also over gamma: choose one value"
    assert swept.applies(result(ASKED, k=3, seed=2)) == "the sweep is also over seed: choose one value"
    assert swept(result(ASKED, k=3, gamma=1, seed=1)).value.dims == ("k",)
    assert swept.grid(None, None) == {"k": [1, 2, 4], "gamma": [0.5]}


def test_values_may_depend_on_the_study():
    swept = picture(along={"k": lambda study, data: range(1, study + data)})
    assert swept.grid(2, 3) == {"k": [1, 2, 3, 4]}
    assert swept.applies(result(ASKED)) == "it shows a sweep over k"


def test_any_sweep():
    anything = picture(sweeps=True)
    assert anything.applies(result(ASKED, k=3, gamma=2)) == ""
    assert anything(result(ASKED, k=1)).value.dims == ("k",)


def test_what_is_absent_is_told_by_the_result_that_declares_it():
    declared = (Result("loss", ("step",), "loss", "of it", absent="nothing was trained: set steps above 0"),)
    (needy,) = Pictures(picture(needs=("loss", "value"))).of(declared, {})
    assert needy.applies(result(ASKED, point=3)) == "nothing was trained: set steps above 0"
    assert "was kept without" in picture(needs=("other",)).applies(result(ASKED, point=3))


RUNS = {(k, seed): 10.0 * k + seed for k in (1, 2, 4) for seed in range(4)}


def runs(k=1, seed=0):
    return xr.Dataset({"value": RUNS[k, seed], "path": ("at", [k, 2.0 * k, seed])}, coords={"at": [0.0, 0.5, 1.0]})


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (number("value"), 10),
        (number("value", k=4), 40),
        (2 * number("value") - number("value", seed=3), 7),
        (number("value", k=4) / number("value"), 4),
        (1 - number("value"), -9),
        (abs(1 - number("value")), 9),
        (number("path", at={"at": 0.45}, k=2), 4),
        (number("path", place={"at": -1}, seed=3), 3),
        (number("path", reduce=np.max, k=4), 8),
        (mean(number("value"), seed=range(4)), 11.5),
        (largest(number("value"), k=(1, 4), seed=(0, 2)), 42),
        (least(number("value", k=2), seed=(1, 3)), 21),
        (rise(number("value"), k=(1, 2, 4)), 20),
        (rise(-1 * number("value"), k=(1, 2, 4)), -10),
        (of(lambda run: run.path.sum(), k=2), 6),
        (apart("path", [1, 2, 7]), 7),
        (mean(number("value") - number("value", k=2), seed=range(2)), -10),
    ],
)
def test_measures(measure, expected):
    assert measure(runs) == pytest.approx(expected)


def test_an_interval_is_students():
    found = interval(number("value"), seed=range(4))(runs)
    assert found.value == 11.5
    half = 3.182446305284263 * np.std([10, 11, 12, 13], ddof=1) / 2  # of a table, 3 degrees of freedom
    assert (found.low, found.high) == pytest.approx((11.5 - half, 11.5 + half), abs=1e-9)


def test_parameters_of_a_shared_part_come_after_the_studys_own():
    from lab.studies import DataSource, Real

    class Learning(Trained):
        slug = "learning"
        kind = "points"
        data = DataSource("x", doc="d")
        epsilon = Real(1.0, doc="width")
        results = (Result("value", (), "v", "v"), *Trained.results)

    assert list(Learning.parameters()) == ["data", "epsilon", "train_steps", "units", "learning_rate", "seed"]
    assert [r.name for r in Learning.results] == ["value", "curve_loss", "iterations", "converged"]
    assert issubclass(Learning, Study)


STORY = Story(
    "It falls.",
    ("a",),
    ("k",),
    tuple(
        Step(f"{i}?", {"k": i}, "From {before.value:.2f} to {value:.1f}.", lambda before, after: True)
        for i in (1, 2, 3)
    ),
    (Group("All", "They are {value:.3g}, not {missing:.2f}.", ("b",)),),
)
TWO = Pictures(Picture("a", "A", "c", print), Picture("b", "B", "c", print))


def test_a_story_tells_live_numbers():
    before, after = runs(), runs(k=2)
    assert STORY.steps[0].told(before, after) == "From 10.00 to 20.0."
    assert told(STORY.groups[0].finding, after) == "They are 20, not –."
    assert told("{path:.1f} of {at:.2f}", after) == "– of –"  # numbers alone
    small = xr.Dataset({"some": 2.1e-4, "none": 1e-17, "zero": 0.0, "many": 12345.0})
    assert (
        told("{some:.2f}, {some:.0%}, {none:.2f}, {zero:.1f}, {zero:.1%}, {many:.0f}", small)
        == "0.00021, 0.02%, 0, 0.0, 0%, 12,345"
    )


def test_a_picture_says_what_is_so_in_the_result_that_it_draws():
    def finds(result):
        return f"It falls by {float(result.path[0] - result.path[-1]):.0e}"

    pictures = Pictures(Picture("a", "A", "c", print, needs=("path",)), Picture("b", "B", "c", print)).of(
        [Result("path", ("at",), "p", "p", absent="no path")], {"a": finds, "b": "At {value:.1f} now"}
    )
    given = xr.Dataset({"path": ("at", [1.0, 0.9998]), "value": -0.25}, attrs={"parameters": "{}"})
    assert pictures.a.finding(given) == "It falls by 2·10⁻⁴"
    assert pictures.b.finding(given) == "At −0.2 now"
    assert pictures.a.finding(given.drop_vars("path")) == ""  # it can't be drawn
    assert pictures.b.finding(given.drop_vars("value")) == ""  # a number is missing, as of a run that was stopped
    assert pictures.a.finding(given * np.nan) == ""


def test_a_study_of_ones_own_keeps_the_pictures_of_the_study_that_does_the_work():
    base = find("sparse-ot")
    own = type("Own", (OwnStudy, base), {"slug": "own-sparse", "__module__": __name__})
    assert [picture.name for picture in own.pictures] == [picture.name for picture in base.pictures]
    assert own.pictures.value.finds is base.pictures.value.finds


def test_a_story_is_whole():
    numbers = [Result(name, (), name, "") for name in ("value", "missing")]
    assert STORY.flaw(TWO, {"k": None}, numbers) == ""
    others = Pictures(*TWO, Picture("c", "C", "c", print))
    assert STORY.flaw(others, {"k": None}, numbers) == "leaves out the picture c: name it in a group"
    assert "is moved by k" in STORY.flaw(TWO, {}, numbers)
    assert "tells of missing, which is no number" in STORY.flaw(TWO, {"k": None}, numbers[:1])
    assert "names the picture d" in replace(STORY, finds={"d": "It is so"}).flaw(TWO, {"k": None}, numbers)
    assert "tells of nothing" in replace(STORY, finds={"b": "{nothing}"}).flaw(TWO, {"k": None}, numbers)
    assert "names the picture b" in STORY.flaw(Pictures(TWO.a), {"k": None}, numbers)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["red_diff", "policy_gradient"])
def test_a_sketch_runs_whole(name):
    """Studies to come, written in the vocabulary before the old ones were."""
    study = find(str(HERE / "sketches" / f"{name}.py"))
    found = study().run()
    assert found.attrs["converged"]
    for each in study.pictures:
        if each.along is None:
            each(found)
        else:
            assert each.applies(found).startswith("it shows a sweep over ")
    assert all(verdict.holds for verdict in verify(study))
    assert all(isinstance(claim, Claim) for claim in study.claims)


def test_what_is_swept_is_read_from_the_recipe():
    assert sweeping.swept(result(ASKED, k=2, point=3)) == ["k"]


def test_a_definition_has_code_numbers_and_no_place_in_memory():
    def net(seed, activation=jax.nn.relu):
        return eqx.nn.MLP(2, 1, 3, 1, activation, key=jax.random.key(seed))

    twice = lambda x: 2 * x  # noqa: E731
    told = definition_of(net(0), twice, [np.arange(3.0)], None)
    assert "twice = lambda x: 2 * x" in told
    assert " at 0x" not in told
    assert told == definition_of(net(0), twice, [np.arange(3.0)], None)
    others = [net(1), net(0, jax.numpy.tanh)]
    assert len({definition_of(each) for each in (net(0), *others)}) == 3
    assert definition_of([np.arange(4.0)]) != definition_of([np.arange(4.0).reshape(2, 2)])


@pytest.mark.parametrize(("title", "slug", "name"), [("My Own: 2", "", "my-own-2"), ("!", "mine", "mine")])
def test_a_name_is_made_of_the_title(title, slug, name):
    assert name_of(title, slug) == name


def test_the_course_of_a_loss_in_words():
    falling = np.r_[np.linspace(4.0, 1.0, 40), np.nan]
    assert course(falling) == "The loss falls from 4 to 1"
    assert course(falling[39::-1]) == "The loss does not fall: it goes from 1 to 4"
    assert course(np.full(3, np.nan)) == "The loss was not finite in any step"
    assert course([1.0, 1.0]) == "The loss does not fall: it goes from 1 to 1"
