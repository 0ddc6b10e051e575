"""The study of survival from bags beyond the contract that every study keeps."""

import re

import holoviews as hv
import numpy as np
import pytest
import xarray as xr

from lab import datasets
from lab.studies.survival.otsurv import OTSurv

SHEET_NAMES = "cindex risk mass row_mass loss km chi2 p"
SHORT = OTSurv(epochs=2)  # its programs serve every number of epochs


class Runs(dict):
    """Runs by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = SHORT.but(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def arrays(run: xr.Dataset, *names: str) -> list[np.ndarray]:
    return [run[name].values for name in names]


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
def test_result_agrees_with_lifelines(runs):
    """Of the risks that it holds: the C-index, the log-rank test and the curves of its test bags."""
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test
    from lifelines.utils import concordance_index

    run = runs()
    risk, time, event, tested = arrays(run, "risk", "time", "event", "tested")
    assert (np.flatnonzero(tested) == np.arange(160, 240)).all()
    r, t, e = (v[tested] for v in (risk, time, event))
    assert float(run.cindex) == pytest.approx(concordance_index(t, -r, e), abs=1e-12)
    learnt = concordance_index(time[~tested], -risk[~tested], event[~tested])
    assert float(run.cindex_train) == pytest.approx(learnt, abs=1e-12)
    high = r > np.median(r)
    theirs = logrank_test(t[high], t[~high], e[high], e[~high])
    np.testing.assert_allclose([run.chi2, run.p], [theirs.test_statistic, theirs.p_value], rtol=1e-8)
    for group, which in (("high", high), ("low", ~high)):
        fit = KaplanMeierFitter().fit(t[which], e[which])
        expected = fit.survival_function_at_times(run.km_time.values).values
        np.testing.assert_allclose(run.km.sel(group=group), expected, atol=1e-10)
        last = fit.confidence_interval_.iloc[-2].to_numpy()
        place = int(np.searchsorted(run.km_time.values, fit.confidence_interval_.index[-2], side="right")) - 1
        np.testing.assert_allclose(
            [run.km_low.sel(group=group)[place], run.km_high.sel(group=group)[place]], last, atol=1e-8
        )


@pytest.mark.slow
def test_shown_plan_is_that_of_its_cost(runs):
    from lab import ot
    from lab.ot import partial

    run = runs(slide=7, share=0.3)
    cost, plan, slack = arrays(run, "cost", "plan", "slack")
    found = partial.solve(ot.problem(cost), ot.Entropic(0.1), rho=0.3, lam=1.0).plan()
    np.testing.assert_allclose(plan, found, atol=1e-9)
    np.testing.assert_allclose(plan.sum(1) + slack, 0.01, atol=1e-12)
    np.testing.assert_allclose(run.row_mass[7], 100 * plan.sum(1), atol=1e-7)
    np.testing.assert_array_equal(run.main[7], plan.argmax(1))
    np.testing.assert_allclose(run.row_mass.mean("patch"), 0.3, atol=1e-8)
    np.testing.assert_allclose(run.mass.sum("prototype"), 1, atol=1e-8)
    assert cost.min() >= 0
    assert cost.max() == pytest.approx(1, abs=1e-15)  # each machine rounds its own way
    kind, row = run.patch_kind.values, run.row_mass.values
    np.testing.assert_allclose(run.kind_mass, [row[kind == k].mean() for k in range(6)], atol=1e-12)
    assert float(run.least_pooled) == pytest.approx(min(row[kind == k].mean() for k in range(6)), abs=1e-12)
    assert 0 < float(run.least_pooled) < 0.3  # of the mean over all patches, which is the shown share


@pytest.mark.slow
def test_neighbours_that_train_alike_share_the_training(runs):
    """The shown bag and share reuse it, with the very result of a run from the start; other values train anew."""
    first = SHORT.execute()
    again = SHORT.but(slide=7, share=0.3).execute(warm=first.warm)
    assert again.result.attrs["run_seconds"] < 0.5 * first.result.attrs["run_seconds"] + 0.1
    xr.testing.assert_equal(again.result, runs(slide=7, share=0.3))
    other = SHORT.but(rate=2e-3).execute(warm=first.warm)
    assert float(abs(other.result.risk - first.result.risk).max()) > 1e-3
    stopped = SHORT.execute(lambda progress: True)
    finished = SHORT.execute(warm=stopped.warm)
    xr.testing.assert_equal(finished.result, first.result)
    moved = OTSurv(epochs=2, data=datasets.load("morphology-bags", seed=5)).execute(warm=first.warm)
    assert float(abs(moved.result.loss - first.result.loss).max()) > 1e-3


@pytest.mark.slow
def test_share_grows_to_rho_and_epochs_have_their_loss(runs):
    run = runs(epochs=6, ramp=4, rho=0.6)
    expected = np.minimum(0.6, 0.1 + np.exp(-5 * (1 - np.minimum(np.arange(6) / 4, 1)) ** 2))
    np.testing.assert_allclose(run.pooled_share, expected, atol=1e-12)
    assert run.sizes["epoch"] == 6
    assert int(run.iterations) == 60
    assert float(run.loss[-1]) < float(run.loss[0])


@pytest.mark.slow
def test_an_unfinished_training_says_so():
    stopped = SHORT.but(epochs=4).run(lambda progress: True)
    assert stopped.attrs["reason"] == "stopped"
    assert "The training ended in epoch 1 of 4" in stopped.attrs["advice"]
    assert np.isnan(stopped.loss[1:]).all()
    assert np.isfinite(stopped.risk).all()
    for name in ("training", "km"):
        hv.renderer("matplotlib").get_plot(OTSurv.pictures[name](stopped))
    untrained = SHORT.but(epochs=0).run()
    assert untrained.attrs["reason"] == "converged"
    assert "Nothing was trained" in untrained.attrs["advice"]
    assert untrained.sizes["epoch"] == 0


@pytest.mark.slow
def test_patience_ends_the_training_on_the_next_fold(runs):
    run = SHORT.but(pooling="mean", epochs=30, patience=2, rate=0.2).run()
    checked = run.loss_check.values[np.isfinite(run.loss_check.values)]
    assert run.attrs["reason"] == "converged"
    assert run.attrs["advice"] == "" or "lower the epochs" in run.attrs["advice"]
    assert checked.size == 10 + int(checked[10:].argmin()) + 1 + 2 < 30
    assert int(run.iterations) == checked.size * 10  # five batches to learn from and five to check
    hv.renderer("bokeh").get_plot(OTSurv.pictures.training(run))
    two = datasets.bags.from_arrays("two folds", mine(fold=np.arange(12) // 2 % 2))
    with pytest.raises(ValueError, match=r"patience = 1 is not allowed.*for with two folds none is left to check"):
        OTSurv(data=two, patience=1).run()


@pytest.mark.slow
def test_mean_pooling_weighs_all_alike(runs):
    mean = runs(pooling="mean")
    np.testing.assert_allclose(mean.row_mass, 1, atol=1e-12)
    assert mean.sizes["prototype"] == 1
    assert "plan" not in mean


@pytest.mark.slow
def test_artefacts_are_left_out_for_every_seed():
    for seed in range(2):
        run = OTSurv(data="artefact-bags", rho=0.5, share=0.4, seed=seed).run()
        assert float(run.kind_mass[-1]) < 0.75 * float(run.kind_mass[:-1].mean())


def mine(n: int = 12, **change) -> dict:
    """A user's bags of different sizes, patches in random order."""
    rng = np.random.default_rng(3)
    bag = rng.permutation(np.repeat(np.arange(n), rng.integers(3, 30, n)))
    made = {"x": rng.normal(size=(bag.size, 3)), "bag": bag, "time": rng.exponential(1, n), "event": np.arange(n) % 2}
    return made | change


@pytest.mark.slow
def test_own_bags(tmp_path):
    np.savez(tmp_path / "mine.npz", **mine(), note=np.zeros(2))
    own = OTSurv(data=str(tmp_path / "mine.npz"), pooling="mean", epochs=1, batch=4)
    data = own.load()
    assert data.kind == "bags"
    assert "note in mine.npz ignored" in data.notices[0]
    assert [data.arrays["event"][data.arrays["fold"] == k].sum() for k in range(3)] == [2, 2, 2]
    given = mine()
    for i in (0, 5):
        np.testing.assert_array_equal(data.arrays["x"][data.arrays["bag"] == i], given["x"][given["bag"] == i])
    run = own.run()
    assert "true_risk" not in run
    assert np.isfinite(run.risk).all()
    sizes = np.bincount(given["bag"])
    np.testing.assert_array_equal((run.main.values >= 0).sum(1), sizes)
    for name in ("km", "slide", "training"):
        hv.renderer("matplotlib").get_plot(OTSurv.pictures[name](run))
    with pytest.raises(ValueError, match="the true risk of these data is not known"):
        OTSurv.pictures.truth(run)
    assert datasets.unpack(datasets.pack(data)).sha256 == data.sha256
    assert own.but(seed=1).load().sha256 != data.sha256  # other folds
    np.save(tmp_path / "mine.npy", given["x"])
    with pytest.raises(
        ValueError, match=re.escape("mine.npy can't be read as such data: bring .npz or .nc with x, bag, time")
    ):
        own.but(data=str(tmp_path / "mine.npy")).load()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"time": None},
            "mine has no time, but x (patches, d), bag (patches,), time (bags,), event (bags,) are needed",
        ),
        ({"bag": np.zeros(200, int)}, "bag in mine has shape (200,), but (patches,) is needed, and x has patches = "),
        ({"event": np.full(12, 2)}, "event of mine is 2 for bag 0, but it must be 1 (it came) or 0 (censored)"),
        ({"event": np.zeros(12)}, "all bags of mine to learn from in fold 0 are censored"),
        ({"time": -np.ones(12)}, "time of mine is -1.0 for bag 0, but it must be finite and not negative"),
        ({"fold": np.zeros(12, int)}, "the folds of mine have [12] bags, but two folds or more are needed"),
        ({"fold": np.arange(11)}, "fold in mine has shape (11,), but (bags,) is needed, and time has bags = 12"),
        ({"kind": np.full(12, -1)}, "kind in mine has shape (12,), but (patches,) is needed"),
    ],
)
def test_bags_that_are_none_get_a_sentence(change, sentence):
    given = {key: value for key, value in mine(**change).items() if value is not None}
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        datasets.bags.from_arrays("mine", given)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"k": 0}, "k = 0 is not allowed: it must be a whole number from 1 to 256"),
        ({"rho": 0.0}, "rho = 0.0 is not allowed: it must be a number above 0 and up to 1"),
        ({"share": 1.5}, "share = 1.5 is not allowed"),
        ({"epsilon": 0.0}, "epsilon = 0.0 is not allowed"),
        ({"pooling": "max"}, "pooling = 'max' is not allowed: it must be one of ot, mean, attention"),
        ({"objective": "mse"}, "objective = 'mse' is not allowed"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        OTSurv(**values)


@pytest.mark.slow
@pytest.mark.parametrize("name", [picture.name for picture in OTSurv.pictures if picture.along is not None])
def test_pictures_of_sweeps_are_drawn(name):
    """Of two values a parameter; the others are drawn by the contract."""
    picture = OTSurv.pictures[name]
    grid = {key: list(values)[:2] for key, values in picture.grid(SHORT, SHORT.load()).items()}
    result = SHORT.along(keep=picture.keep, **grid)
    assert picture.applies(result) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(result))


@pytest.mark.slow
def test_pictures_show_the_numbers_of_the_result(runs):
    run = runs()
    curves = [e for e in OTSurv.pictures.km(run).traverse(lambda e: e, [hv.Curve]) if type(e) is hv.Curve]
    for curve, group in zip(curves, ("high", "low"), strict=True):
        x, y = (np.asarray(curve.dimension_values(i)) for i in (0, 1))
        for at in (0.05, 0.4, 1.1):  # a curve of stairs, from the right
            expected = run.km.sel(group=group)[int((run.km_time <= at).sum()) - 1]
            assert y[np.flatnonzero(x <= at)[-1]] == pytest.approx(float(expected))
    drawn = OTSurv.pictures.kinds(run).traverse(lambda e: e, [hv.Rectangles])[0]
    np.testing.assert_allclose(drawn.dimension_values(3), run.kind_mass, rtol=1e-6)


@pytest.mark.slow
def test_a_picture_that_does_not_apply_says_why(runs):
    mean = runs(pooling="mean")
    with pytest.raises(ValueError, match="mean and attention have no plan: choose ot"):
        OTSurv.pictures.plan(mean)
    with pytest.raises(ValueError, match="it shows a sweep over lam"):
        OTSurv.pictures.tail(runs())
    with pytest.raises(ValueError, match="it shows a sweep over pooling and fold"):
        OTSurv.pictures.folds(runs())
    with pytest.raises(ValueError, match="nothing was trained: set epochs above 0"):
        OTSurv.pictures.training(runs(epochs=0))
    swept = SHORT.along(lam=[0.1, 1.0], keep=["mass"], seed=[0, 1])
    with pytest.raises(ValueError, match="the sweep is also over seed: choose one value"):
        OTSurv.pictures.tail(swept)
