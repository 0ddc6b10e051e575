"""The study of DPM-OT, beyond the contract."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab.datasets import Data
from lab.ot import semidiscrete
from lab.studies.diffusion import expressway_comparison
from lab.studies.diffusion.dpm_ot import DPMOT

pytestmark = pytest.mark.slow
SMALL = {"m": 60, "iterations": 150, "batch": 500, "particles": 60, "levels": 30}


@pytest.fixture(scope="module")
def small():
    return DPMOT(**SMALL).run()


def test_newtons_path_ends_balanced(small):
    """In the square, for some stored points brought into it."""
    sites = small.stored.values[:40]
    low, high = sites.min(axis=0), sites.max(axis=0)
    sites = 0.5 + 0.8 * (sites - (low + high) / 2) / (high - low).max()
    path = semidiscrete.in_square(sites).path
    areas = np.stack([semidiscrete.areas(sites, heights) for heights in path])
    np.testing.assert_allclose(areas.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(areas[-1], 1 / len(sites), atol=1e-11)
    np.testing.assert_allclose(path[0], semidiscrete.voronoi(jnp.asarray(sites)), atol=1e-12)
    gone = 0.5 * np.abs(areas - 1 / len(sites)).sum(axis=1)
    assert (np.diff(gone) < 1e-12).all()


def test_cells_balance_along_their_film(small):
    apart = 0.5 * np.abs(small.cell_mass.values - 1 / 60).sum(axis=1)
    assert apart[0] > 0.3
    assert apart[-1] < 0.2 * apart[0]
    np.testing.assert_array_equal(small.stage, expressway_comparison.marks(150))


def test_films_begin_at_noise_and_end_at_the_samples(small):
    for film in small.film.values:
        ends = small.samples.sel(way=film).values[:60]
        np.testing.assert_allclose(small.paths.sel(film=film).values[-1], ends, atol=1e-12)
    # DPM-OT: a straight jump, along which all frames are even
    jump = small.paths.sel(film="DPM-OT").values[: int(expressway_comparison.JUMP * expressway_comparison.FRAMES)]
    np.testing.assert_allclose(np.diff(jump, axis=0)[1:], np.diff(jump, axis=0)[:-1], atol=1e-12)


def test_ways_have_as_many_evaluations(small):
    nfe = {str(way): int(value) for way, value in zip(small.way.values, small.nfe.values, strict=True)}
    assert nfe["DPM-OT"] == nfe["no map"] == nfe["flow"] == nfe["annealed"] == 6
    assert nfe["full"] == 5 * 30 + 1
    none = DPMOT(**SMALL | {"k": 0}).run()
    assert int(none.nfe_express) == 1
    assert float(none.from_own) < float(small.from_own)


def test_what_is_not_known_is_absent():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)) @ np.diag([3.0, 1.0, 0.5])
    data = Data("mine", "Mine", "samples", {"x": x}, "a test", "none")
    run = DPMOT(data=data, **SMALL).run()
    assert {"mmr", "off_mode", "heights", "targets", "images"}.isdisjoint(run)
    assert np.isfinite(run.w2).all()
    assert float(run.tv) < 0.15
    study = DPMOT(data=data, **SMALL)
    assert "the data are not in the plane" in study.pictures["balance"].applies(run)
    off = next(result for result in DPMOT.results if result.name == "off_mode")
    assert off.absent == "the modes of these data are unknown: choose data with few Gaussians or with classes"


def test_images_and_classes():
    run = DPMOT(data="digit-samples", score="points", **SMALL | {"m": 100}).run()
    assert run.images.shape == (4, 10, 8, 8)
    assert list(run.kind.values) == list(expressway_comparison.IMAGES)
    # with the score of the stored digits a sample is one of them
    np.testing.assert_allclose(run.images[0], run.images[2], atol=1e-6)
    assert float(run.nn_express) < 1e-6
    assert 0 < float(run.mmr_fresh) < 0.4


def test_rejected_starts_and_bounds(small):
    rejected = DPMOT(**SMALL | {"on_singular": "reject", "threshold": 0.3}).run()
    assert float(rejected.kept) < 1
    assert float(rejected.singular.sum()) == 0
    assert float(small.kept) == 1
    with pytest.raises(
        ValueError, match=r"k = 31 is not allowed: it must be a whole number from 0 to 30, as many steps"
    ):
        DPMOT(**SMALL | {"k": 31}).run()
    with pytest.raises(ValueError, match=r"m = 1001 is not allowed: .* all, or all but a fifth"):
        DPMOT(m=1001).run()


def test_cells_that_are_not_balanced_are_told():
    run = DPMOT(**SMALL | {"iterations": 3}).run()
    assert "The cells are not balanced" in run.attrs["advice"]
