"""The study of diverse subsets beyond the contract that every study keeps."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from lab.datasets import Data
from lab.studies.sampling.diverse_subset import DiverseSubset

X = np.random.default_rng(5).normal(size=(40, 3))
MINE: dict[str, Any] = {"k": 6, "draws": 50, "length": 0.4}


def mine(x: Any = X, **more: Any) -> Data:
    return Data("mine", "Mine", "samples", {"x": np.asarray(x, float), **more}, "a test", "none")


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return DiverseSubset(data=mine(), **MINE).run()


def kernel(x: np.ndarray, length: float = 0.4) -> np.ndarray:
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    return np.exp(-((apart / (length * np.median(apart[np.triu_indices(len(x), 1)] ** 2) ** 0.5)) ** 2) / 2)


@pytest.mark.slow
def test_everything_is_that_of_the_kernel(run):
    """Residuals, errors, distances and volumes of the first draw, by NumPy from the rows."""
    apart = np.linalg.norm(X[:, None] - X[None], axis=2)
    median = np.median(apart[np.triu_indices(40, 1)] ** 2) ** 0.5
    l = kernel(X)
    np.testing.assert_allclose(run["median"], median, rtol=1e-10)
    for way in ("k-DPP", "random", "greedy"):
        s = run.indices.sel(way=way).values
        assert len(set(s)) == 6
        one = run.sel(way=way).isel(draw=0)
        near = apart[:, s].min(axis=1) / median
        np.testing.assert_allclose([one.coverage, one.farthest], [near.mean(), near.max()], rtol=1e-6)
        np.testing.assert_allclose(one.volume, np.linalg.slogdet(l[np.ix_(s, s)])[1], rtol=1e-8)
        w = run.weights.values if way == "k-DPP" else np.full(6, 40 / 6)
        wrong = l.mean() - 2 * w @ l[s].mean(axis=1) / 40 + w @ l[np.ix_(s, s)] @ w / 1600
        np.testing.assert_allclose(one.mmd**2, wrong, rtol=1e-8)
        best = l.mean() - l[s].mean(axis=1) @ np.linalg.solve(l[np.ix_(s, s)], l[s].mean(axis=1))
        np.testing.assert_allclose(one.mmd_best**2, best, rtol=1e-6)
    s = run.indices.sel(way="k-DPP").values
    for j in (0, 2, 6):
        a = s[:j]
        left = 1 - np.einsum("ij,ji->i", l[:, a], np.linalg.solve(l[np.ix_(a, a)], l[a])) if j else np.ones(40)
        np.testing.assert_allclose(run.residual[j], left, atol=1e-9)
    np.testing.assert_allclose(run.weights * run.probability.values[s], 1.0, rtol=1e-12)
    assert float(run.probability.sum()) == pytest.approx(6, rel=1e-9)


@pytest.mark.slow
def test_greedy_takes_the_row_that_adds_most(run):
    l, chosen = kernel(X), []
    for _ in range(6):
        left = np.diag(l) - np.einsum("ij,ji->i", l[:, chosen], np.linalg.solve(l[np.ix_(chosen, chosen)], l[chosen]))
        chosen.append(int(left.argmax()))
    assert run.indices.sel(way="greedy").values.tolist() == chosen


@pytest.mark.slow
def test_repulsion_shows(run):
    volume = run.volume.mean("draw")
    assert float(volume.sel(way="k-DPP")) > float(volume.sel(way="random"))
    assert float(volume.sel(way="greedy")) > float(volume.sel(way="k-DPP"))
    assert (run.mmd_best <= run.mmd + 1e-9).all()


@pytest.mark.slow
def test_units_do_not_matter_once_standardised():
    wide = X * np.array([1.0, 1000.0, 1e-3])
    one = DiverseSubset(data=mine(X), standardise=True, **MINE).run()
    two = DiverseSubset(data=mine(wide), standardise=True, **MINE).run()
    np.testing.assert_allclose(one.probability, two.probability, rtol=1e-8)


@pytest.mark.slow
def test_classes_are_counted():
    classes = np.repeat(np.arange(4, dtype=np.int32), 10)
    found = DiverseSubset(data=mine(classes=classes), **(MINE | {"length": 1e-3})).run()
    # of six of forty rows in four tens at random: 4 (1 - C(30,6) / C(40,6))
    wanted = 4 * (1 - np.prod([(30 - i) / (40 - i) for i in range(6)]))
    assert abs(float(found.classes_random) - wanted) < 0.35
    assert abs(float(found.classes_found) - wanted) < 0.35
    assert "classes_found" not in DiverseSubset(data=mine(), **MINE).run()


@pytest.mark.slow
def test_bad_input_is_told_in_a_sentence():
    for data, values, words in (
        (mine(X[:1]), {"k": 1}, "mine has n = 1 samples, but 2 to 20,000 are taken here"),
        (mine(np.ones((5, 2))), {"k": 1}, "5 rows, all equal"),
        (mine(np.r_[np.zeros((9, 2)), np.ones((1, 2))]), {"k": 1}, "more than half of the pairs of rows"),
        (mine(), {"k": 41}, "it must be a whole number from 1 to 40, the number of distinct rows"),
        (mine(np.full((5, 2), np.nan)), {}, "x in mine is nan"),
        (mine(np.r_[X, X]), {"k": 41}, "from 1 to 40"),
        (mine(), MINE | {"length": 100.0, "k": 35}, "the kernel has numerical rank"),
        (
            mine(np.zeros((20_001, 1))),
            {},
            "n = 20,001 samples, but 2 to 20,000 are taken here: choose .*, or keep fewer of them",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            DiverseSubset(data=data, **values).run()
