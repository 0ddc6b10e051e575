"""The study of progressive partial transport beyond the contract that every study keeps."""

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from lab import datasets
from lab.clustering.metrics import scores
from lab.datasets import Data
from lab.ot import partial
from lab.ot.problem import problem
from lab.ot.regularizers import Entropic
from lab.studies.clustering.sp2ot import SP2OT

BLOBS = SP2OT(data="long-tailed-blobs")
SHEET_NAMES = (
    "plan row_weight cluster_mass potential objective iterations row_residual mass_residual macro_acc nmi f1 "
    "precision_labelled recall_labelled"
)


class Runs(dict):
    """Runs of the blobs by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = BLOBS.but(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["p2ot", "uot", "balanced"])
def test_plan_is_the_solvers_in_the_order_of_the_classes(runs, method):
    """Costs from the start of the training, written out here; the plan from them, columns permuted."""
    from sklearn.cluster import KMeans

    from lab.clustering import kmeans

    run = runs(algorithm=method)
    x = jnp.asarray(BLOBS.load().arrays["x"])
    start = kmeans.start(jax.random.split(jax.random.key(0))[0], x, 5)
    centres = KMeans(5, init=np.asarray(start), n_init=1, tol=0).fit(x).cluster_centers_
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (centres / np.linalg.norm(centres, axis=1)[:, None]).T
    rho, lam = (0.3, 1.0) if method == "p2ot" else (1.0, 1.0 if method == "uot" else np.inf)
    cost = -np.asarray(jax.nn.log_softmax(10 * cosine, axis=1))
    found = partial.solve(problem(cost), Entropic(0.1), rho=rho, lam=lam)
    order = np.argsort(np.abs(run.cluster_mass.values[:, None] - np.asarray(found.plan().sum(0))[None]).argmin(0))
    n = len(x)
    if method != "balanced":  # there all masses are equal
        np.testing.assert_allclose(n * run.plan, n * np.asarray(found.plan())[:, order], atol=1e-7)
    np.testing.assert_allclose(run.objective, found.value, atol=1e-9)
    np.testing.assert_allclose(run.row_weight, n * found.plan().sum(1), atol=1e-7)
    classes = run.true_class.values.astype(np.int32)
    judged = scores(jnp.asarray(classes), jnp.asarray(cosine.argmax(1).astype(np.int32)), 5)
    np.testing.assert_allclose([run.macro_acc, run.nmi, run.f1], judged[:3], atol=1e-12)


@pytest.mark.slow
def test_precision_and_recall_are_counted(runs):
    run = runs(rho=0.5)
    weight = run.row_weight.values
    right = run.label.values == run.true_class.values  # the clusters are named by their classes
    np.testing.assert_allclose(run.precision_labelled, weight[right].sum() / weight.sum(), atol=1e-9)
    np.testing.assert_allclose(run.recall_labelled, (weight * right).mean(), atol=1e-9)
    assert float(run.precision_labelled) > 0.9


@pytest.mark.slow
def test_semantic_term_rises_as_it_is_and_descends_with_the_shift(runs):
    rising = runs(algorithm="sp2ot", rho=0.8, strength=2.0)
    assert float(rising.rise) > 1e-4
    assert "indefinite" in rising.attrs["advice"]
    falling = runs(algorithm="sp2ot", rho=0.8, strength=2.0, psd_shift=True)
    assert float(falling.rise) <= 1e-9
    assert (np.diff(falling.history_objective) <= 1e-9).all()
    none = runs(algorithm="sp2ot", strength=0.0)
    np.testing.assert_allclose(none.plan, runs().plan, atol=1e-9)


@pytest.mark.slow
def test_training_has_a_row_for_each_epoch_and_learns_its_labels(runs):
    trained = runs(epochs=15, rho=1.0)
    assert trained.sizes["epoch"] == 15
    np.testing.assert_allclose(trained.curve_rho[0], 0.1 + 0.9 * np.exp(-5), atol=1e-12)
    np.testing.assert_allclose(trained.curve_acc[-1], trained.macro_acc, atol=1e-12)
    assert float(trained.macro_acc) > 0.9
    # the loss alone need not fall, for the labels move and become more; what is minimized in turns is the objective
    for algorithm in ("p2ot", "uot", "balanced"):
        before, after = (runs(epochs=epochs, rho=1.0, algorithm=algorithm).objective for epochs in (0, 15))
        assert float(after) < float(before) - 0.02


@pytest.mark.slow
def test_own_data():
    """Of the shape of the blobs, whose programs are there."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(5), [230, 100, 50, 30, 20])
    angle = 2 * np.pi * classes / 5
    x = np.c_[np.cos(angle), np.sin(angle)] + 0.05 * rng.normal(size=(430, 2))
    arrays = {"x": x, "classes": classes, "x_2d": x}
    run = SP2OT(data=Data("mine", "Mine", "labelled", arrays, "a test", "none"), rho=0.6).run()
    np.testing.assert_array_equal(run.true_class, classes)
    np.testing.assert_array_equal(run.position, x)
    assert float(run.precision_labelled) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rho": 0.0}, "rho = 0.0 is not allowed: it must be a number above 0 and up to 1"),
        ({"rho": 1.5}, "rho = 1.5 is not allowed"),
        ({"lam": 0.0}, "lam = 0.0 is not allowed: it must be a number greater than 0"),
        ({"epsilon": -1.0}, "epsilon = -1.0 is not allowed"),
        ({"strength": -1.0}, "strength = -1.0 is not allowed: it must be a number of at least 0"),
        ({"algorithm": "kmeans"}, "algorithm = 'kmeans' is not allowed: it must be one of p2ot, sp2ot, uot, balanced"),
        ({"epochs": -1}, "epochs = -1 is not allowed"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        SP2OT(**values)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves", *(p.name for p in SP2OT.pictures if p.along is not None)])
def test_pictures_are_drawn(runs, name):
    """Those that the contract has no result for; of sweeps two values a parameter."""
    picture = SP2OT.pictures[name]
    study = BLOBS.but(algorithm="sp2ot", strength=2.0, rho=0.8) if name == "outer" else BLOBS
    grid = {} if name == "curves" else picture.grid(study, study.load())
    few = {key: list(values)[:2] for key, values in grid.items()}
    result = study.along(keep=picture.keep, **few) if few else runs(epochs=3)
    assert picture.applies(result) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(result))


@pytest.mark.slow
def test_a_picture_that_does_not_apply_says_why(runs):
    with pytest.raises(ValueError, match="nothing was trained: set epochs above 0"):
        SP2OT.pictures.curves(runs())
    with pytest.raises(ValueError, match="only sp2ot has outer steps: choose sp2ot"):
        SP2OT.pictures.outer(runs())
    with pytest.raises(ValueError, match="all samples are labelled: choose p2ot or sp2ot"):
        SP2OT.pictures.quality(runs(algorithm="uot"))
    with pytest.raises(ValueError, match="it shows a sweep over rho"):
        SP2OT.pictures.quality(runs())
    swept = BLOBS.along(rho=[0.3, 0.5], lam=[1.0, 2.0])
    with pytest.raises(ValueError, match="the sweep is also over lam: choose one value"):
        SP2OT.pictures.quality(swept)


def test_scores_are_means_over_seeds_with_students_interval():
    """Of a sweep that lacks some algorithms."""
    from scipy import stats

    from lab.numerics.statistics import mean_interval

    values = np.array([0.61, 0.72, 0.58, 0.9])
    mean, _, *ends = mean_interval(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(ends, [low, high], rtol=1e-12)
    assert mean == values.mean()
    swept = BLOBS.along(seed=[0, 1, 2], algorithm=["uot", "p2ot"], epochs=[0])
    drawn = SP2OT.pictures.scores(swept)
    middles = [e for e in drawn.traverse(lambda e: e, [hv.Points]) if len(e) == 3]
    assert len(middles) == 3  # k-means and two algorithms
    np.testing.assert_allclose(middles[-1].dimension_values(1)[0], swept.macro_acc.sel(algorithm="p2ot").mean())


@pytest.mark.slow
def test_labelled_samples_of_ones_own(tmp_path):
    rng = np.random.default_rng(4)
    classes = np.repeat([7, 3, 5], [10, 40, 20])
    x = rng.normal(size=(70, 4)) + 6 * np.eye(4)[classes % 4]
    np.savez(tmp_path / "mine.npz", x=x, classes=classes)
    data = datasets.read(tmp_path / "mine.npz", kind="labelled")
    np.testing.assert_array_equal(np.bincount(data.arrays["classes"]), [40, 20, 10])  # the largest first
    np.testing.assert_allclose(data.arrays["x"], x - x.mean(axis=0))
    found = SP2OT(data=str(tmp_path / "mine.npz"), algorithm="p2ot").run()
    assert float(found.converged)
    for bad, message in (
        ({"x": x}, "no classes"),
        ({"x": x, "classes": classes[1:]}, "classes in .* and x has n = 70 samples"),
        ({"x": x, "classes": 0 * classes}, "1 classes"),
    ):
        np.savez(tmp_path / "bad.npz", **bad)
        with pytest.raises(ValueError, match=message):
            datasets.read(tmp_path / "bad.npz", kind="labelled")
