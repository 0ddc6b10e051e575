"""The study of the principles of diffusion, beyond the contract."""

import json

import numpy as np
import pytest

from lab import datasets, diffusion, figures
from lab.datasets import Data
from lab.studies.diffusion.principles_of_diffusion import PrinciplesOfDiffusion

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guided():
    return PrinciplesOfDiffusion(guided=True, w=3.0, steps=40).run()


def test_guidance_moves_away_from_the_other_modes(guided):
    """The first mode is at the left of both others: guided samples lie further left, and closer together."""
    data = PrinciplesOfDiffusion().load().arrays
    first, deviation = data["centres"][0], np.sqrt(data["variances"][0])
    ends = guided.paths.sel(way="sampler").values[-1]
    assert ends[:, 0].mean() < first[0] - 0.3 * deviation
    assert float(guided.spread) < 0.9 * deviation
    assert float(guided.share) > 0.999
    assert float(guided.tilted.sum()) == pytest.approx(1, rel=1e-9)


def test_what_only_some_runs_have_is_absent_from_others(guided):
    plain = PrinciplesOfDiffusion(sampler="sde").run()
    assert {"error", "grid_error", "share", "tilted", "line"}.isdisjoint(plain)
    assert {"share", "tilted", "error"} <= set(guided.data_vars)
    churned = PrinciplesOfDiffusion(sampler="edm-heun", churn=5.0).run()
    assert "error" not in churned


def mine(x, **more) -> Data:
    return Data("mine", "Mine", "samples", {"x": x, **more}, "a test", "none")


def two_places(axes: int) -> np.ndarray:
    """Thirty points about -3 on every axis, and thirty about 3."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(30, axes)) - 3, rng.normal(size=(30, axes)) + 3])


def test_points_alone_on_the_grid_of_change():
    run = PrinciplesOfDiffusion(data=mine(two_places(3)), spacing="change", particles=20).run()
    assert run.attrs["converged"]
    assert np.isfinite(run.paths).all()
    assert float(run.errors.sel(compared="heun", budget=160)) < float(run.errors.sel(compared="heun", budget=20))
    assert "density" not in run


def test_a_class_of_ones_own_on_a_line_whose_map_a_network_learns(tmp_path):
    """A few steps of a training: enough for all that is told of it, and for its pictures. Classes are labels by number."""
    data = mine(two_places(1), classes=np.repeat([3, 8], 30))
    study = PrinciplesOfDiffusion(data=data, guided=True, condition=1, w=0.0, particles=20, train_steps=8, units=4)
    run = study.run()
    assert float(run.share) > 0.999
    assert json.loads(run.attrs["parameters"])["condition"] == 1
    assert datasets.entry_of("three-gaussians").kind == PrinciplesOfDiffusion.kind
    assert run.attrs["converged"]
    assert np.isfinite(run.paths).all()
    assert run.curve_loss.shape == (8,)
    assert float(run.one_error) == float(run.few_errors.sel(maker="map", few=1))
    assert np.isnan(run.few_errors.sel(maker="map", few=[2, 4, 8])).all()
    assert float(run.few_errors.sel(maker="ddim", few=8)) < float(run.few_errors.sel(maker="ddim", few=1))
    for name in ("few", "calls"):
        assert PrinciplesOfDiffusion.pictures[name].applies(run) == ""
        figures.export(PrinciplesOfDiffusion.pictures[name](run), tmp_path / f"{name}.svg")


def test_what_is_not_allowed_gets_a_sentence():
    with pytest.raises(ValueError, match=r"condition = 7 is not allowed: it must be a whole number from 0 to 2"):
        PrinciplesOfDiffusion(guided=True, condition=7).run()
    with pytest.raises(ValueError, match="the data have one class only"):
        PrinciplesOfDiffusion(data="two-moons", guided=True).run()


def test_data_that_noise_does_not_cover_are_told():
    x = 1e4 * np.random.default_rng(0).normal(size=(20, 2))
    run = PrinciplesOfDiffusion(data=Data("far", "Far", "samples", {"x": x}, "a test", "none")).run()
    assert "scale the data to a spread of 1" in run.attrs["advice"]


def test_pictures_of_sweeps_are_drawn():
    import holoviews as hv

    study = PrinciplesOfDiffusion(guided=True, steps=40)  # the programs of the other guided run
    picture = study.pictures["guidance"]
    swept = study.along(**{name: list(values)[:2] for name, values in picture.grid(study, study.load()).items()})
    assert not picture.applies(swept)
    hv.renderer("matplotlib").get_plot(picture(swept))
    assert "no class is chosen" in study.pictures["guidance"].applies(PrinciplesOfDiffusion().run())


def test_the_sampler_is_the_one_of_the_library():
    study = PrinciplesOfDiffusion(sampler="dpm-2")
    run = study.run()
    law = diffusion.Exact(study.inputs(study.load())["law"])
    noise = diffusion.noise("vp")
    x = np.asarray(run.paths.sel(way="exact flow").values[0])  # at the last time, on the scale of the data
    variance = float(np.trace(law.law.moments().covariance)) / 2
    last, first = noise(noise.last), noise(noise.first)
    scale = [float(np.sqrt((each.a**2 * variance + each.s**2) / variance)) for each in (last, first)]
    end = diffusion.sample(law, noise, diffusion.grid(noise, 10), x * scale[0], "dpm-2").end
    np.testing.assert_allclose(run.paths.sel(way="sampler").values[-1] * scale[1], end, atol=1e-8)
