"""The study of sparsity-constrained transport beyond the contract that every study keeps."""

import json

import holoviews as hv
import numpy as np
import pytest
import xarray as xr

from lab import figures
from lab.app import numbers
from lab.cli import commands, main
from lab.datasets import Data
from lab.studies import draw
from lab.studies.ot.sparse_ot import SparseOT

PRESETS = [preset.name for preset in SparseOT.presets]
OWN_PROGRAMS = {"digits"}  # of a shape that no other preset has: seconds to compile
QUICK = [name for name in PRESETS if name not in OWN_PROGRAMS]
PAPER_NAMES = (
    "value transport_cost lp_gap row_error_l1 nnz max_col_nnz n_ties iterations converged plan alpha beta history"
)


class Runs(dict[str, xr.Dataset]):
    """The run of each preset, made when it is first asked for."""

    def __missing__(self, name: str) -> xr.Dataset:
        self[name] = (SparseOT() if name == "default" else SparseOT.preset(name)).run()
        return self[name]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.fixture(scope="module")
def sweeps(runs) -> dict[str, xr.Dataset]:
    """What each picture draws, of the smallest data that have it; one sweep serves all that need the same."""
    study = SparseOT.preset("figure-1d")
    made, known = {}, {}
    for picture in SparseOT.pictures:
        if picture.along is not None:
            grid = picture.grid(study, study.load())
            grid |= {"k": [1, 4]} if "k" in grid else {}
            key = (str(grid), picture.keep)
            known[key] = known.get(key) or study.along(keep=picture.keep, **grid)
            made[picture.name] = known[key]
    return made


# ---- results -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in PAPER_NAMES.split():
        assert name in runs["figure-1d"]
    assert runs["figure-1d"].plan.dims == ("row", "col")
    assert runs["figure-1d"].row.attrs["long_name"] == "source bin"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in OWN_PROGRAMS)) for name in PRESETS]
)
def test_preset_converges_to_a_plan(runs, name):
    run, parameters = runs[name], SparseOT.preset(name).values()
    plan = run.plan.values
    assert run.attrs["converged"], run.attrs["advice"]
    assert (plan >= 0).all()
    mass = float(run.a.sum())
    columns = parameters["constraint"] == "columns"
    if parameters["plan"] == "relaxed":
        assert float(run.row_error_l1 + run.column_error_l1) < 1e-5 * mass
    else:
        np.testing.assert_allclose(plan.sum(0 if columns else 1), run.b if columns else run.a, rtol=1e-10)
        if parameters["regularizer"] == "k-sparse":
            assert int((plan > 0).sum(0 if columns else 1).max()) <= parameters["k"]
            assert int(run["max_col_nnz" if columns else "max_row_nnz"]) <= parameters["k"]
    np.testing.assert_allclose(run.row_error_l1, np.abs(plan.sum(1) - run.a.values).sum(), atol=1e-12 * mass)
    np.testing.assert_allclose(run.lp_gap, run.value - run.lp, atol=1e-12)
    assert run.nnz == np.count_nonzero(plan)
    if "lower" in run:
        slack = 1e-8 * (abs(float(run.value)) + 1)
        assert run.lower - slack <= run.value <= run.upper + slack


def test_history_ends_at_the_value_and_never_falls(runs):
    for run in (runs[name] for name in QUICK):
        history = run.history.values
        assert len(history) == run.iterations
        if len(history):
            assert (np.diff(history) >= -1e-9 * abs(history[-1])).all()
            np.testing.assert_allclose(history[-1], run.value, rtol=1e-5, atol=1e-9)


def test_run_in_a_file_holds_the_recipe(runs, tmp_path):
    commands.save(runs["figure-1d"], tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc") as opened:
        xr.testing.assert_identical(opened.load(), runs["figure-1d"])
        again = SparseOT.from_recipe(json.loads(opened.attrs["recipe"])).run()
    xr.testing.assert_equal(again, runs["figure-1d"])


@pytest.mark.slow
def test_own_data_with_a_cost_only_and_more_targets_than_sources():
    rng = np.random.default_rng(3)
    arrays = {"cost": rng.random((9, 17)), "a": np.full(9, 1 / 9), "b": np.full(17, 1 / 17)}
    mine = Data("mine", "Mine", "transport", arrays, "a test", "none")
    run = SparseOT(data=mine, gamma=0.5, solver="lbfgs", k=9).run()
    assert run.plan.shape == (9, 17)
    assert float(run.row_error_l1 + run.column_error_l1) < 1e-5
    assert "x" not in run


def test_moving_k_or_gamma_compiles_nothing(runs):
    study = SparseOT.preset("ties")
    study.but(k=3, gamma=0.5).run()
    for values in ({"k": 5}, {"gamma": 0.07}, {"k": 1}, {"k": 32}, {"tolerance": 1e-5}):
        assert study.but(**values).run().attrs["programs_compiled"] == 0, values


@pytest.mark.slow
def test_warm_start_agrees_with_a_cold_one():
    study = SparseOT.preset("figure-1d").but(k=8)
    warm = study.execute().warm
    near = study.but(gamma=1.1)
    started = near.execute(warm=warm).result
    assert started.attrs["warm_start"]
    np.testing.assert_allclose(started.value, near.run().value, rtol=1e-6)
    other = near.but(constraint="rows")  # a state of the other side must do no harm
    np.testing.assert_allclose(other.execute(warm=warm).result.value, other.run().value, rtol=1e-6)


@pytest.mark.slow
def test_large_plans_are_kept_by_their_nonzeros(monkeypatch):
    study = SparseOT.preset("figure-1d")
    dense = study.run()
    monkeypatch.setattr("lab.studies.ot.sparse_ot.experiment.DENSE", 100)
    large = study.run()
    assert "plan" not in large
    plan = np.zeros((32, 32))
    plan[large.plan_row, large.plan_col] = large.plan_value
    np.testing.assert_array_equal(plan, dense.plan)
    for name in ("plan", "links"):
        hv.renderer("bokeh").get_plot(SparseOT.pictures[name](large))


# ---- what is refused, and what is advised ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"k": 0}, "k = 0 is not allowed: it must be a whole number of at least 1"),
        ({"k": 2.5}, "k = 2.5 is not allowed: it must be a whole number of at least 1"),
        ({"gamma": 0.0}, "gamma = 0.0 is not allowed: it must be a number greater than 0"),
        ({"gamma": -1.0}, "gamma = -1.0 is not allowed"),
        ({"regularizer": "lasso"}, "regularizer = 'lasso' is not allowed: it must be one of k-sparse, quadratic"),
        ({"n": 1}, "n = 1 is not allowed"),
        ({"kk": 1}, "sparse-ot has no parameter 'kk'; did you mean k?"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        SparseOT(**values)
    assert str(refusal.value).startswith(sentence)


def test_k_is_limited_by_what_it_counts():
    with pytest.raises(ValueError, match=r"k = 33 .* from 1 to 32, the number of sources \(rows\) of these data"):
        SparseOT(data="bump-to-bump", k=33).run()
    tokens = SparseOT(data="tokens-to-experts", k=9)
    assert tokens.limits(tokens.load())["k"].high == 256
    with pytest.raises(ValueError, match=r"k = 9 .* from 1 to 8, the number of targets \(columns\) of these data"):
        tokens.but(constraint="rows").run()
    assert SparseOT(data="bump-to-bump", k=33, regularizer="quadratic").run().attrs["converged"]


def test_advice_names_the_ties_and_what_to_do(runs):
    run = runs["ties"]
    assert run.n_ties > 1
    assert run.attrs["advice"] == (
        f"{int(run.n_ties)} columns tie at the optimum, so this plan misses the source marginal by "
        f"{float(run.row_error_l1):.3g}. Raise k, or show the relaxed plan."
    )
    assert runs["relaxed"].attrs["advice"] == ""
    for values in ({"regularizer": "entropic", "gamma": 2e-3}, {"regularizer": "quadratic", "gamma": 0.1}):
        assert SparseOT(data="bump-to-bump", **values).run().attrs["advice"] == ""


@pytest.mark.slow
def test_advice_tells_of_a_plan_that_misses_a_marginal():
    draws = np.random.default_rng(5)
    cost, mass = draws.uniform(size=(20, 20)), 1e6 * draws.dirichlet(np.full(20, 5.0), 2)
    arrays = {"cost": cost, "a": mass[0], "b": mass[1] * mass[0].sum() / mass[1].sum()}
    heavy = Data("heavy", "Heavy", "transport", arrays, "a test", "none")
    run = SparseOT(k=2, data=heavy).run()
    assert run.attrs["converged"]
    assert float(run.row_error_l1) > 1e-4 * 1e6
    assert f"{int(run.n_ties)} columns tie at the optimum" in run.attrs["advice"]
    assert "Raise k, or show the relaxed plan." in run.attrs["advice"]
    relaxed = SparseOT(k=2, plan="relaxed", data=heavy).run()
    assert float(relaxed.row_error_l1) < 1e-9 * 1e6
    assert relaxed.attrs["advice"] == ""
    loose = SparseOT(data="bump-to-bump", k=4, solver="lbfgs", tolerance=0.1).run()
    assert loose.attrs["converged"]
    assert int(loose.n_ties) == 0
    assert "Lower the tolerance, or show the relaxed plan." in loose.attrs["advice"]


@pytest.mark.slow
def test_advice_says_what_stopped_short():
    run = SparseOT(data="bump-to-bump", k=4, solver="lbfgs", max_iterations=3).run()
    assert not run["converged"]
    assert "raise max_iterations" in run.attrs["advice"]


# ---- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
def test_pictures_of_presets_are_drawn(runs, backend):
    drawn = set()
    for run in (runs[name] for name in ("default", *QUICK)):
        for picture in SparseOT.pictures:
            if picture.along is None and not picture.applies(run):
                hv.renderer(backend).get_plot(picture(run))
                drawn.add(picture.name)
    assert drawn == {picture.name for picture in SparseOT.pictures if picture.along is None}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
def test_pictures_of_sweeps_are_drawn(sweeps, backend):
    for name, result in sweeps.items():
        picture = SparseOT.pictures[name]
        assert picture.applies(result) == ""
        with draw.theme("dark"):
            hv.renderer(backend).get_plot(picture(result))


def test_a_picture_that_does_not_apply_says_why(runs):
    for name, why in (("transfer", "two pictures"), ("routing", "gates")):
        with pytest.raises(ValueError, match=why):
            SparseOT.pictures[name](runs["figure-1d"])


@pytest.mark.slow
def test_value_against_k_draws_what_the_runs_say(sweeps):
    sweep = sweeps["value"]
    drawn = SparseOT.pictures.value(sweep)
    curves = [e for e in drawn.traverse(lambda e: e, [hv.Curve]) if type(e) is hv.Curve]  # an Area is a Curve too
    np.testing.assert_allclose(curves[0].dimension_values(1), sweep.value.squeeze())
    top = [e.data for e in drawn.traverse(lambda e: e, [hv.HLine])]
    np.testing.assert_allclose(sorted(top), sorted([float(sweep.value.min()), float(sweep.value.max())]), rtol=1e-3)


def test_transfer_of_a_sweep_has_a_panel_for_each_value(runs):
    sweep = SparseOT().along(k=[1, 4], keep=("transferred", "source_image", "target_image"))
    images = SparseOT.pictures.transfer(sweep).traverse(lambda e: e, [hv.RGB])
    assert len(images) == 4


def test_at_k1_a_target_is_served_by_the_source_that_owns_its_laguerre_cell():
    run = SparseOT(data="gaussians-2d", k=1, gamma=1.0).run()
    served = run.plan.values.argmax(0)
    score = run.alpha.values[:, None] - ((run.x.values[:, None] - run.y.values[None]) ** 2).sum(-1)
    clear = np.diff(np.sort(score, axis=0)[-2:], axis=0)[0] > 1e-6
    assert clear.any()
    np.testing.assert_array_equal(score.argmax(0)[clear], served[clear])


def test_a_plan_that_misses_its_marginals_is_marked_wherever_the_run_is_shown():
    """At equal points all costs tie: the dual converges, and each column sends its mass to the same source."""
    same = np.full((3, 2), 0.1)
    study = SparseOT(data={"x": same, "y": same}, k=1)
    result = study.run()
    assert result.attrs["converged"]
    assert result.row_error_l1 > 1
    status = "dual converged, plan infeasible"
    assert study.ended(result) == (status, "warn")
    assert result.attrs["ended"] == status  # the header of an exported file
    assert (
        "<b>plan infeasible</b><span>dual converged</span>"
        in numbers.numbers_html(study, result).partition("<details")[0]
    )
    assert status in figures.card_of(result)
    assert status in figures.caption(study, ["plan"], result)
    assert SparseOT.ended(study.but(plan="relaxed").run()) == ("converged", "good")


def test_the_command_line_states_that_the_plan_misses_its_marginals(tmp_path, capsys):
    np.savez(tmp_path / "equal.npz", x=np.full((3, 2), 0.1), y=np.full((3, 2), 0.1))
    assert main(["run", "sparse-ot", "--data", str(tmp_path / "equal.npz"), "--k", "1"]) == 0
    assert "dual converged, plan infeasible" in capsys.readouterr().out
