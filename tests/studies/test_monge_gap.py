"""The study of the Monge gap: names and numbers of the sheet, refusals, a map that is learned."""

import itertools

import numpy as np
import ot as pot
import pytest

from lab import datasets, studies
from lab.studies import MongeGap, draw

SMALL = {"points": 40}


@pytest.fixture(scope="module")
def result():
    return MongeGap(**SMALL).run()


@pytest.fixture(scope="module")
def learned():
    return MongeGap(**SMALL, data="planted-map", train_steps=20, batch=32).run()


@pytest.mark.slow
def test_numbers_are_those_of_the_pairs(result):
    assert result.attrs["converged"]
    source, mapped = result.source.values, result.mapped.values
    cost = pot.dist(source, mapped)
    assert float(result.displacement) == pytest.approx(np.diag(cost).mean(), rel=1e-12)
    assert float(result.least) == pytest.approx(pot.emd2([], [], cost), rel=1e-9)
    assert float(result.gap) == pytest.approx(float(result.share_of_gap.mean()), abs=1e-12)
    assert float(result.gap_closed.sel(turn=0)) == pytest.approx(0, abs=1e-12)
    assert float(result.gap_turned.sel(turn=0)) < 1e-9
    slack = 1e-5
    assert (result.low_by - slack <= result.entropic_by).all()
    assert (result.entropic_by <= result.high_by + slack).all()
    assert (result.kl_by <= result.gap + slack).all()
    assert "uvp" not in result


@pytest.mark.slow
def test_a_map_is_learned(learned):
    assert int(learned.iterations) == 20
    assert [str(name) for name in learned.rival.values] == ["constant", "Gaussian", "entropic", "learned"]
    assert float(learned.uvp_of.sel(rival="learned")) == pytest.approx(float(learned.uvp), abs=1e-9)
    assert float(learned.uvp_of.sel(rival="Gaussian")) < 3  # the sheet: .84
    assert 90 < float(learned.uvp_of.sel(rival="constant")) < 115
    assert float(learned.gap_of.sel(rival="constant")) < 1e-12
    assert float(learned.gap_of.sel(rival="learned")) == pytest.approx(float(learned.gap), abs=1e-9)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cost": "distance", "form": "convex", "train_steps": 5}, "form = convex is of the cost squared"),
        ({"cost": "geodesic"}, "are off the unit sphere by"),
        (
            {"cost": "distance", "form": "structured", "train_steps": 5},
            "form = structured has no map for the cost distance",
        ),
        ({"data": "patches-of-the-sphere", "cost": "geodesic", "train_steps": 5}, "go together"),
    ],
)
def test_refusals(given, told):
    study = MongeGap(**given)
    with pytest.raises(ValueError, match=told):
        study.check(study.load())


def test_points_on_a_line_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 1)) * [1.0, 2.0]
    study = MongeGap(data=datasets.Data("line", "Line", "samples", {"x": x, "x0": x}, "me", "mine"))
    with pytest.raises(ValueError, match="lie in one place or on a line"):
        study.check(study.load())


def test_the_planted_map_is_the_gradient_of_a_convex_function():
    data = datasets.load("planted-map", dimensions=3, n=400).arrays
    matrix = pot.dist(data["x0"], data["moved"])
    assert pot.emd2([], [], matrix) == pytest.approx(np.diag(matrix).mean(), rel=1e-12)
    assert data["x"].shape == (400, 3)
    off = abs(data["x"].mean(0) - data["moved"].mean(0)) / (data["x"].std(0) * (2 / 400) ** 0.5)
    assert off.max() < 4  # of its standard error
    sphere = datasets.load("patches-of-the-sphere").arrays
    np.testing.assert_allclose(np.linalg.norm(sphere["x"], axis=1), 1, atol=1e-12)


@pytest.mark.slow
def test_a_map_of_ones_own_is_a_study():
    x = np.random.default_rng(4).normal(size=(80, 2))

    def swirl(points):  # of NumPy alone
        assert isinstance(points, np.ndarray)
        return points + 0.8 * np.stack([-points[:, 1], points[:, 0]], axis=1)

    made = studies.map_study("Swirl", swirl, x, best=x, points=40)
    result = made(cost="squared").run()
    np.testing.assert_allclose(result.mapped, swirl(result.source.values), atol=1e-12)
    assert float(result.displacement) == pytest.approx(0.64 * (result.source**2).sum("axis").mean().item(), rel=1e-12)
    cost = pot.dist(x[1::2], swirl(x[1::2]))
    assert float(result.gap) == pytest.approx(np.diag(cost).mean() - pot.emd2([], [], cost), rel=1e-9)
    assert float(result.gap) > 0.1
    assert str(result.rival.values[-1]) == "own"
    variance = np.var(x[1::2], axis=0).sum()
    assert float(result.uvp) == pytest.approx(100 * 0.64 * (x[1::2] ** 2).sum(1).mean() / variance, rel=1e-9)
    assert "train_steps" not in made.parameters()
    for picture in made.pictures:
        assert bool(picture.applies(result)) == (picture.name == "sphere")
        if picture.name != "sphere":
            picture(result)


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("the map gives", ("Short", lambda x: x[:, :1], np.eye(4))),
        ("what is not finite", ("Log", np.log, -np.ones((4, 2)))),
        ("can't be called", ("Long", lambda x: x[100], np.eye(4))),
        ("has no letters", ("!!", lambda x: x, np.eye(4))),
        ("finite points", ("Flat", lambda x: x, np.ones(4))),
    ],
)
def test_a_map_that_does_not_fit_is_refused(told, given):
    with pytest.raises((ValueError, TypeError), match=told), np.errstate(invalid="ignore"):
        studies.map_study(*given)


@pytest.mark.slow
def test_a_convex_network_is_learned_in_the_same_way():
    result = MongeGap(**SMALL, data="planted-map", form="convex", train_steps=20, batch=32, learning_rate=0.03).run()
    assert float(result.gap) < 1e-9  # a gradient of a convex function
    assert float(result.uvp) < 5


@pytest.mark.slow
def test_the_turned_maps_are_drawn_for_a_cost_without_a_closed_form(result):
    other = result.drop_vars("gap_closed")
    assert "of Gaussians" not in str(MongeGap.pictures.turns(other))
    MongeGap.pictures.turns(result)


@pytest.mark.parametrize("preset", [each.name for each in MongeGap.presets])
def test_what_the_cards_of_a_preset_train_fits_together(preset):
    study = MongeGap.preset(preset)
    data = study.load()
    for picture in MongeGap.pictures:
        grid = picture.grid(study, data)
        for values in itertools.product(*grid.values()):
            part = study.but(**dict(zip(grid, values, strict=True)))
            part.check(part.load())


@pytest.mark.slow
def test_a_sphere_is_shown_in_space():
    result = MongeGap(**SMALL, data="patches-of-the-sphere", cost="geodesic").run()
    np.testing.assert_allclose(np.linalg.norm(result.mapped_on_sphere, axis=1), 1, atol=1e-12)
    cost = np.arccos(np.clip((result.on_sphere * result.mapped_on_sphere).sum("space"), -1, 1))
    assert float(cost.mean()) == pytest.approx(float(result.displacement), rel=1e-9)
    assert not MongeGap.pictures.sphere.applies(result)
    assert MongeGap.pictures.arrows.applies(result)
    with draw.theme("light", backend="bokeh"):
        assert MongeGap.pictures.sphere(result) is not None
