"""The study of data sources, beyond the contract of all studies."""

import holoviews as hv
import numpy as np
import ot as pot
import pytest

from lab import datasets
from lab.datasets.sources import skewed
from lab.studies import draw
from lab.studies.valuation.projektor import Projektor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run():
    return Projektor().run()


def test_weights_are_on_the_simplex(run):
    np.testing.assert_allclose(run.shares.sum("source"), 1, atol=1e-12)
    np.testing.assert_allclose(run.mix, [0.6, 0.3, 0.1], atol=1e-12)


def test_the_distance_of_a_corner_is_pots(run):
    """Of the first source alone, from the data anew: features, label metric, entropy, debiasing."""
    given = Projektor.prepare(Projektor().load()).sources
    source = np.asarray(given.source)[given.pilots]
    x, labels = np.asarray(given.features)[given.pilots], np.asarray(given.labels)[given.pilots]
    y, others = np.asarray(given.y), np.asarray(given.y_labels)

    def gaussians(points, of):
        return [(points[of == c].mean(0), np.cov(points[of == c].T, ddof=0)) for c in range(10)]

    def root(product):
        return np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()

    def cost(one, ones, other, twos):
        between = [
            [((m - n) ** 2).sum() + np.trace(s + t) - 2 * root(s @ t) for n, t in gaussians(other, twos)]
            for m, s in gaussians(one, ones)
        ]
        return pot.dist(one, other) / 2 + np.array(between)[ones][:, twos] / 2

    def value(a, b, matrix):
        plan = pot.sinkhorn(a, b, matrix, epsilon, method="sinkhorn_log", stopThr=1e-8, numItermax=20_000)
        return (plan * matrix).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum()

    whole = cost(x, labels, y, others)
    epsilon = 0.05 * whole.mean()
    first = source == 0
    a, b = np.full(first.sum(), 1 / first.sum()), np.full(len(y), 1 / len(y))
    own = cost(x, labels, x, labels)[first][:, first]
    known = value(a, b, whole[first]) - (value(a, a, own) + value(b, b, cost(y, others, y, others))) / 2
    corner = int(np.flatnonzero(run.shares.sel(source="digits 0-3") == 1)[0])
    assert float(run.ot[corner]) == pytest.approx(known, rel=1e-5)


def test_the_projection_is_the_line_through_both_fits(run):
    a, b = run.pilot.sel(of="N₀"), run.pilot.sel(of="N₁")
    known = np.clip(a + (b - a) * np.log(400 / 100) / np.log(2), 0, 100)
    np.testing.assert_allclose(run.pilot.sel(of="N"), known, atol=1e-9)
    terms = run.coef.sel(fit="linear-OT").values
    fitted = terms[:, :1] + terms[:, 1:2] * run.ot.values[None]
    low, high = fitted
    np.testing.assert_allclose(run.proj, np.clip(2 * high - low, 0, 100), atol=1e-8)


def test_errors_and_worth_are_what_they_say(run):
    held = run.fitted.sel(split="extrapolation").values == 0
    assert (held == (run.shares.values[:, 1] > 0.45)).all()
    apart = np.abs(run.pred - run.score).sel(split="extrapolation", size="N₁").values[:, held].mean(1)
    np.testing.assert_allclose(run.mae.sel(split="extrapolation", size="N₁"), apart, rtol=1e-9)
    means = np.array([run.potential.values[run.sample_source.values == i].mean() for i in range(3)])
    mix = run.mix.values
    np.testing.assert_allclose(run.worth, -(means - mix @ means) / (1 - mix), rtol=1e-9)
    score = np.median(run.accuracy.values, axis=2)
    np.testing.assert_allclose(run.score, score)
    assert float(run.correlation) == pytest.approx(np.corrcoef(run.ot, score[1])[0, 1])


def test_a_click_moves_the_mixture(run):
    p = np.array([0.2, 0.5, 0.3])
    x, y = draw.ternary_place(p)
    for name in ("map", "distances"):
        assert Projektor.pictures[name].clicked(run, x, y) == {"first": 0.2, "second": 0.5, "third": 0.3}
        assert Projektor.pictures[name].clicked(run, 0.02, 0.7) == {}
    corner = Projektor.pictures.map.clicked(run, -0.01, -0.02)
    assert corner["first"] > 0.99
    assert min(corner.values()) == 0
    moved = Projektor(**Projektor.pictures.map.clicked(run, x, y)).run()
    np.testing.assert_allclose(moved.mix, p, atol=1e-12)
    np.testing.assert_array_equal(moved.accuracy, run.accuracy)  # nothing of the grid is trained anew
    assert moved.attrs["programs_compiled"] == 0


def test_one_source_alone_and_a_run_of_one_mixture_are_drawn():
    alone = Projektor(second=0.0, third=0.0).run()
    assert np.isnan(alone.worth[0])
    for name in ("worth", "map", "sizes", "checks"):
        hv.renderer("matplotlib").get_plot(Projektor.pictures[name](alone))


def test_a_table_of_ones_own_is_read_and_its_rest_held_out(tmp_path):
    rng = np.random.default_rng(0)
    classes, source = rng.integers(3, 6, 240), rng.integers(0, 3, 240)
    x = rng.normal(size=(240, 2)) + np.c_[classes, classes % 2]
    rows = np.c_[x, classes, source]
    np.savetxt(tmp_path / "mine.csv", rows, delimiter=",", header="a,b,classes,source", comments="")
    data = Projektor(data=str(tmp_path / "mine.csv")).load()
    assert "a quarter of the rows is held out" in data.notices[-1]
    assert (data.arrays["source"] == -1).sum() == 60
    assert sorted(set(data.arrays["classes"])) == [0, 1, 2]
    marked = np.where(np.arange(240) < 80, -1, source)
    known = datasets.held({"x": x, "classes": classes, "source": marked}, "sources")
    assert not known.notices
    assert known.axes["sources"] == ("source 0", "source 1", "source 2")


def test_what_is_not_allowed_gets_a_sentence():
    x, classes = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    two = {"x": x, "classes": classes, "source": np.arange(60) % 2}
    for told, call in (
        ("the small pilot must be below the large one", lambda: Projektor(n0=200, n1=200).run()),
        (
            "all 0: at least one mixture weight must be positive",
            lambda: Projektor(first=0.0, second=0.0, third=0.0).run(),
        ),
        ("has 2 sources, but three are needed", lambda: Projektor(data=two).run()),
        ("noise = 0.9 is not allowed", lambda: Projektor(noise=0.9)),
        ("has -2|are \\[-2", lambda: datasets.held(two | {"source": np.arange(60) % 3 - 2}, "sources")),
        ("source in .* has 0.5", lambda: datasets.held(two | {"source": np.arange(60) / 2}, "sources")),
        ("all samples of .* are of one class", lambda: datasets.held(two | {"classes": 0 * classes}, "sources")),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def test_sources_are_skewed_as_released():
    classes = np.repeat(np.arange(10), 180)
    source = skewed(classes, 300, 600, 0)
    assert [(source == i).sum() for i in (-2, -1, 0, 1, 2)] == [300, 600, 300, 300, 300]
    of = [np.bincount(classes[source == i], minlength=10) / 300 for i in range(3)]
    np.testing.assert_allclose(of[0][:4].sum(), 0.97, atol=0.03)
    np.testing.assert_allclose(of[1][4:7].sum(), 0.96, atol=0.03)
    np.testing.assert_allclose(of[2][7:].sum(), 0.99, atol=0.02)
