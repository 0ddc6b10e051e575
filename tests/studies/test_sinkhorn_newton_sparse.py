"""The study of Sinkhorn-Newton-Sparse beyond the contract that every study keeps."""

import equinox as eqx
import holoviews as hv
import numpy as np
import ot as pot
import pytest
import xarray as xr

from lab import datasets
from lab.cli import main
from lab.datasets import Data
from lab.ot.traces import COUNTS
from lab.studies.ot.sinkhorn_newton_sparse import SinkhornNewtonSparse
from lab.studies.ot.sinkhorn_newton_sparse.pictures import hessians

SMALL = SinkhornNewtonSparse(data="digits-pixels", side=6, epsilon=0.02, max_sweeps=2000)
SHEET_NAMES = "err f_gap newton_steps cg_iters nnz_row dropped_mass alpha s2 plan"


class Runs(dict):
    """Runs of small images by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = SMALL.but(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.fixture(scope="module")
def sweeps() -> dict[str, xr.Dataset]:
    """What each picture of a sweep draws, of two values a parameter."""
    made, known = {}, {}
    for picture in SinkhornNewtonSparse.pictures:
        if picture.along is not None and picture.name != "ratio":  # which compiles for every size
            grid = {name: list(values)[:2] for name, values in picture.grid(SMALL, SMALL.load()).items()}
            key = (str(grid), picture.keep)
            known[key] = known.get(key) or SMALL.along(keep=picture.keep, **grid)
            made[picture.name] = known[key]
    return made


# ---- data --------------------------------------------------------------------------------------------------------


def test_images_keep_their_ink_when_they_shrink():
    whole, half = (datasets.load("mnist-pixels", side=side).arrays for side in (28, 14))
    ink = whole["a"].reshape(28, 28)
    ink = ink - ink.min()
    small = half["a"].reshape(14, 14)
    small = small - small.min()
    blocks = ink.reshape(14, 2, 14, 2).sum((1, 3))
    np.testing.assert_allclose(small / small.sum(), blocks / blocks.sum(), atol=1e-3)
    for arrays in (whole, half):  # row 0 of the image on top, the unit square whole
        assert arrays["x"].min() == 0
        assert arrays["x"].max() == 1
        np.testing.assert_array_equal(arrays["x"][0], [0, 1])
        assert (arrays["a"] > 0).all()
    odd = datasets.load("mnist-pixels", side=11).arrays["b"]
    assert len(odd) == 121
    np.testing.assert_allclose(odd.sum(), 1, atol=1e-12)


def test_normal_clouds_are_those_of_the_sheet():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(40, 3)), 0.8 * rng.normal(size=(40, 3)) + 0.5
    arrays = datasets.load("normal-clouds", n=40, dimension=3, seed=5).arrays
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["y"], y)
    assert "x_2d" in arrays


# ---- results -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    run = runs()
    for name in SHEET_NAMES.split():
        assert name in run, name
    assert run.err.dims == ("solver", "count")
    assert list(run.solver.values) == ["Sinkhorn-Newton-Sparse", "Sinkhorn"]


@pytest.mark.slow
@pytest.mark.parametrize("ground", ["given", "manhattan"])
def test_plan_cost_and_errors_are_pots(runs, ground):
    run = runs(ground=ground, tolerance=1e-10, max_sweeps=1)
    arrays = SMALL.load().arrays
    apart = np.abs(arrays["x"][:, None] - arrays["y"][None])
    cost = apart.sum(-1) if ground == "manhattan" else (apart**2).sum(-1)
    epsilon = 0.02 * (cost.mean() - cost.min())
    settings = {"method": "sinkhorn_log", "stopThr": 1e-13, "numItermax": 50_000}
    plan = np.asarray(pot.sinkhorn(arrays["a"], arrays["b"], cost, epsilon, **settings))
    np.testing.assert_allclose(run.plan, plan, atol=1e-10)
    np.testing.assert_allclose(run.transport_cost, (plan * cost).sum(), atol=1e-9)
    np.testing.assert_allclose(run.value, (plan * cost).sum() + epsilon * (plan * np.log(plan)).sum(), atol=1e-9)
    np.testing.assert_allclose(run.eta, (cost.max() - cost.min()) / epsilon, rtol=1e-12)
    np.testing.assert_allclose(run.row_error_l1, np.abs(run.plan.values.sum(1) - arrays["a"]).sum(), atol=1e-15)
    # potentials are prices: the plan is exponential in them
    again = np.exp((run.row_potential.values[:, None] + run.column_potential.values - cost) / epsilon - 1)
    np.testing.assert_allclose(again, run.plan, atol=1e-14)


@pytest.mark.slow
def test_second_singular_value_is_numpys(runs):
    run = runs()
    plan = run.plan.values
    scaled = plan / np.sqrt(np.outer(plan.sum(1), plan.sum(0)))
    values = np.linalg.svd(scaled, compute_uv=False)
    np.testing.assert_allclose(values[0], 1, atol=1e-12)
    np.testing.assert_allclose(run.s2, values[1], atol=1e-10)
    np.testing.assert_allclose(run.spectral_gap, 1 - values[1] ** 2, atol=1e-10)


@pytest.mark.slow
def test_the_observed_rate_is_that_of_sinkhorns_iteration_written_out(runs):
    run = runs(tolerance=1e-9)
    arrays = SMALL.load().arrays
    cost = ((arrays["x"][:, None] - arrays["y"][None]) ** 2).sum(-1)
    kernel = np.exp(-cost / (0.02 * (cost.mean() - cost.min())))
    a, b = arrays["a"], arrays["b"]
    u, v = np.ones_like(a), b / (kernel.T @ np.ones_like(a))
    errors = []
    while not errors or errors[-1] > 1e-9:
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
        errors.append(np.abs(u * (kernel @ v) - a).sum())
    assert abs(int(run.sinkhorn_sweeps) - len(errors)) <= 1
    near = np.argmax(np.array(errors) <= 10 * errors[-1])
    observed = (len(errors) - 1 - near) / np.log10(errors[near] / errors[-1])
    np.testing.assert_allclose(run.sweeps_per_decade_observed, observed, rtol=0.02)
    kept = run.err.sel(solver="Sinkhorn").dropna("count")
    np.testing.assert_allclose(kept, np.array(errors)[kept["count"].values - 1], rtol=1e-5, atol=1e-14)


@pytest.mark.slow
def test_traces_of_both_methods_are_kept_at_their_iterations(runs):
    run = runs()
    steps = int(run.iterations)
    assert run.sizes["iteration"] == steps
    ours = run.err.sel(solver="Sinkhorn-Newton-Sparse")
    np.testing.assert_array_equal(ours[:steps], run.history_error)
    assert np.isnan(ours[steps:]).all()
    assert int(np.isfinite(run.nnz_row).sum()) == int(run.newton_steps)
    assert (COUNTS[:64] == np.arange(1, 65)).all()
    for name in ("cg_iters", "alpha", "dropped_mass"):
        np.testing.assert_array_equal(np.isfinite(run[name]), np.isfinite(run.nnz_row))
    gap = run.f_gap.values
    assert (gap[np.isfinite(gap)] >= 0).all()
    assert (np.diff(run.f_gap.sel(solver="Sinkhorn").dropna("count")) <= 1e-15).all()  # it never goes down
    last = run.history_epsilon.values == run.history_epsilon.values[-1]
    assert (np.diff(run.f_gap.values[0, :steps][last]) <= 1e-12).all()


@pytest.mark.slow
def test_work_is_counted(runs):
    """Without a ladder and with full steps: the passes and products, written out."""
    run = runs(ladder=False, sweeps=30, epsilon=0.1)
    m, n = run.plan.shape
    newton = np.isfinite(run.nnz_row.values)
    assert (run.alpha.values[newton] == 1).all()
    each = 10.0 * m * n + np.where(newton, m * n + 2 * np.nan_to_num(run.cg_iters * run.nnz_row * m), 0)
    np.testing.assert_allclose(run.total_work[0], 10 * m * n + each.sum())
    np.testing.assert_allclose(run.total_work[1], 2 * m * n * int(run.sinkhorn_sweeps))
    np.testing.assert_allclose(run.work_ratio, run.total_work[1] / run.total_work[0])


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"threshold": "entries", "per_row": 3.0}, lambda p: np.sort(p.ravel())[-3 * len(p)]),
        pytest.param({"threshold": "absolute", "rho": 1e-4}, lambda p: 1e-4, marks=pytest.mark.slow),  # compiles anew
    ],
    ids=["entries", "absolute"],
)
def test_the_hessian_is_what_the_threshold_leaves(runs, values, kept):
    run = runs(**values)
    plan = run.plan.values
    np.testing.assert_allclose(run.cutoff, kept(plan), rtol=1e-9)
    whole, sparse = hessians(run)
    m = len(plan)
    np.testing.assert_allclose(whole[:m, m:], plan)
    np.testing.assert_array_equal(np.diag(sparse), np.diag(whole))  # full sums, whatever is dropped
    assert np.linalg.eigvalsh(sparse)[0] >= -1e-15
    assert np.count_nonzero(sparse) < np.count_nonzero(whole)
    null = np.r_[np.ones(m), -np.ones(plan.shape[1])]
    np.testing.assert_allclose(whole @ null, 0, atol=1e-15)


def test_sorted_entries(runs):
    run = runs()
    plan = np.sort(run.plan.values.ravel())[::-1]
    at = np.round(run["rank"].values * run.sizes["row"]).astype(int)
    np.testing.assert_allclose(run.sorted_entry, plan[at - 1] * run.sizes["row"], rtol=1e-12)


@pytest.mark.slow
def test_backends_agree_and_dense_keeps_everything(runs):
    host = runs(tolerance=1e-10)
    for backend in ("ell", "dense"):
        run = runs(tolerance=1e-10, backend=backend)
        np.testing.assert_allclose(run.plan, host.plan, atol=1e-9)
    assert (run.nnz_row.dropna("iteration") == run.sizes["col"]).all()
    assert float(run.cutoff) == 0


@pytest.mark.slow
def test_own_cost_of_more_targets_than_sources_and_other_mass(runs):
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0.5, 1, 9), rng.uniform(0.5, 1, 17)
    arrays = {"cost": rng.random((9, 17)), "a": a, "b": b * a.sum() / b.sum()}
    mine = Data("mine", "Mine", "transport", arrays, "a test", "none")
    run = SinkhornNewtonSparse(data=mine, epsilon=0.05, max_sweeps=2000).run()
    np.testing.assert_allclose(run.plan.sum("row"), arrays["b"], rtol=1e-12)
    np.testing.assert_allclose(run.plan.sum("col"), arrays["a"], rtol=1e-6)
    assert abs(float(run.duality_gap)) < 1e-9
    with pytest.raises(ValueError, match=r"ground = 'manhattan' is not allowed: .* a cost but no points"):
        SinkhornNewtonSparse(data=mine, ground="manhattan").run()


@pytest.mark.slow
def test_a_limit_that_was_met_is_told(runs):
    run = runs(max_sweeps=5)
    assert run["converged"]
    assert run.attrs["advice"].startswith("Sinkhorn met its limit of 5 sweeps at an error of ")
    assert runs(max_sweeps=1).attrs["advice"] == ""
    short = runs(max_iterations=3)
    assert not short["converged"]
    assert "raise max_iterations" in short.attrs["advice"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epsilon": 0.0}, "epsilon = 0.0 is not allowed: it must be a number greater than 0"),
        ({"epsilon": -1.0}, "epsilon = -1.0 is not allowed"),
        ({"per_row": 0.5}, "per_row = 0.5 is not allowed: it must be a number of at least 1"),
        ({"theta": 2.0}, "theta = 2.0 is not allowed"),
        ({"backend": "sparse"}, "backend = 'sparse' is not allowed: it must be one of host, ell, dense"),
        ({"sweeps": -1}, "sweeps = -1 is not allowed"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        SinkhornNewtonSparse(**values)
    assert str(refusal.value).startswith(sentence)


# ---- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
def test_pictures_of_sweeps_are_drawn(sweeps, backend):
    """The others are drawn by the contract."""
    for name, result in sweeps.items():
        picture = SinkhornNewtonSparse.pictures[name]
        assert picture.applies(result) == "", name
        hv.renderer(backend).get_plot(picture(result))


@pytest.mark.slow
def test_the_map_of_ratios_has_a_cell_for_each_size_and_epsilon():
    picture = SinkhornNewtonSparse.pictures.ratio
    study = SMALL.but(side=None)
    assert picture.along is not None
    grid = picture.grid(study, study.load())
    assert grid["side"] == [6, 8]
    result = study.along(keep=picture.keep, side=[6, 8], epsilon=[0.1, 0.01])
    drawn = picture(result)
    words = {
        str(text).replace("\u00a0", " ")
        for e in drawn.traverse(lambda e: e, [hv.Labels])
        for text in e.dimension_values("text")
    }
    assert f"{float(result.work_ratio.sel(side=8, epsilon=0.01)):.2g}" in words
    hv.renderer("matplotlib").get_plot(drawn)


def test_pictures_that_need_more_say_so(runs):
    pictures = SinkhornNewtonSparse.pictures
    with pytest.raises(ValueError, match="it shows a sweep over epsilon"):
        pictures.rate(runs())
    bumps = SinkhornNewtonSparse(data="random-assignment")
    mine = Data("mine", "Mine", "transport", dict(bumps.load().arrays), "a test", "none")
    with pytest.raises(ValueError, match="the size of these data can't be changed"):
        bumps.but(data=mine).picture_result(pictures.ratio)


def test_the_paper_cases_are_presets():
    for name, m, eta in (("table-assignment", 500, 1200), ("table-mnist-l2", 784, 1200), ("table-mnist-l1", 784, 1200)):
        study = SinkhornNewtonSparse.preset(name)
        assert len(study.load().arrays["a"]) == m
        assert 1 / study.values()["epsilon"] == pytest.approx(eta)
        assert study.values()["cost_unit"] == "largest"


@pytest.mark.slow
def test_the_command_draws_a_figure(tmp_path):
    target = tmp_path / "gap.svg"
    words = ["--data", "digits-pixels", "--side", "6", "--max-sweeps", "2000", "--width", "column", "-o", str(target)]
    assert main(["figure", "sinkhorn-newton-sparse:gap", *words]) == 0
    assert "first Newton step" in target.read_text().replace("\u00a0", " ")


@pytest.mark.slow
def test_an_unfinished_run_knows_no_spectrum_of_the_optimal_plan():
    run = SinkhornNewtonSparse(max_iterations=2).run()
    assert run.attrs["reason"] == "max_iterations"
    assert np.isnan(run.spectral_gap)
    assert np.isnan(run.s2)


@pytest.mark.parametrize("points", [1, 2])
def test_equal_points_need_no_sweep_and_have_no_error(points):
    """Both methods end where they start: no step is taken, and the error is that of the start."""
    data = datasets.from_arrays("equal", {"x": np.ones((points, 2)), "y": np.ones((points, 2))})
    result = SinkhornNewtonSparse(data=data, max_iterations=5, max_sweeps=5).run()
    assert result.attrs["reason"] == "converged"
    assert result.attrs["advice"] == ""
    assert result.sinkhorn_sweeps.item() == result.iterations.item() == 0
    assert result.sinkhorn_error.item() == pytest.approx(0, abs=1e-8)
    assert result.work_ratio.item() == 1


def test_a_run_whose_error_is_no_number_has_not_converged(monkeypatch):
    """Whatever ended its loop: every study inherits it."""
    data = datasets.from_arrays("equal", {"x": np.ones((1, 2)), "y": np.ones((1, 2))})
    study, compute = SinkhornNewtonSparse(data=data, max_iterations=5, max_sweeps=5), SinkhornNewtonSparse.compute

    def spoiled(*given):
        run = compute(*given)
        return run._replace(outputs=eqx.tree_at(lambda outputs: outputs.row_error_l1, run.outputs, np.nan))

    monkeypatch.setattr(SinkhornNewtonSparse, "compute", staticmethod(spoiled))
    result = study.run()
    assert (result.attrs["converged"], result.attrs["reason"], bool(result.converged)) == (0, "not_finite", False)
    assert "infinite or NaN" in result.attrs["advice"]
