"""The study of RED-diff beyond the contract that every study keeps."""

import holoviews as hv
import numpy as np
import pytest
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies.inverse.red_diff import REDDiff

SHEET_NAMES = "psnr data_misfit distance_to_posterior_mean mu_path lambda_t trace_data trace_reg"
SIDE, TRAIN = 6, 40


def images() -> Data:
    """Waves of random phase, which no named set has: 6 x 6, forty to train on and six to test on."""
    rng = np.random.default_rng(11)
    at = np.arange(SIDE)
    phase = rng.uniform(0, 2 * np.pi, (TRAIN + 6, 2))
    waves = np.cos(at[None, :, None] + phase[:, :1, None]) * np.cos(0.7 * at[None, None, :] + phase[:, 1:, None])
    pixels = (0.8 * waves + 0.15 * rng.normal(size=waves.shape))[:, None].clip(-1, 1).astype(np.float32)
    held = np.arange(TRAIN + 6) >= TRAIN
    return Data(
        "mine",
        "Mine",
        "images",
        {"pixels": pixels, "held_out": held},
        "a test",
        "none",
    )


MINE = REDDiff(data=images(), steps=60, rate=0.05, tests=6, seeds=3)


class Runs(dict):
    """Runs on the waves by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = MINE.but(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def moments() -> tuple[np.ndarray, np.ndarray]:
    x = images().arrays["pixels"][:TRAIN].reshape(TRAIN, -1).astype(float)
    return x.mean(axis=0), np.cov(x.T)


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
def test_the_posterior_is_that_of_numpy(runs):
    run, (m, s) = runs(example=2), moments()
    y = run.start.values.ravel()
    seen = y != 0
    gain = s[:, seen] @ np.linalg.inv(s[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum()))
    np.testing.assert_allclose(run.posterior_mean.values.ravel(), m + gain @ (y - m)[seen], atol=1e-8)
    np.testing.assert_allclose(run.posterior_std.values.ravel() ** 2, np.diag(s - gain @ s[seen]), atol=1e-8)
    clean = images().arrays["pixels"][TRAIN + 2].ravel()
    np.testing.assert_allclose(run.clean.values.ravel(), clean, atol=1e-12)
    mse = ((run.answers.values.reshape(3, -1) - clean) ** 2).mean(axis=1)
    np.testing.assert_allclose(run.psnr.sel(test=2), 10 * np.log10(4 / mse), rtol=1e-9)


@pytest.mark.slow
def test_the_film_ends_in_the_first_answer(runs):
    run = runs(example=2)
    np.testing.assert_allclose(run.mu_path[-1], run.answers[0], atol=1e-12)
    assert float(run.psnr_path[-1]) == pytest.approx(float(run.psnr[0, 2]))
    assert run.frame.values[-1] == 60
    # the noise that the denoiser sees falls
    away = ((run.x_path - run.mu_path) ** 2).mean(("channel", "y", "x"))
    assert float(away[0]) > 100 * float(away[-1])


@pytest.mark.slow
def test_falling_noise_ends_nearer_than_rising(runs):
    falling, rising, mixed = runs(), runs(order="ascending"), runs(order="random")
    assert float(falling.apart) < 0.8 * float(rising.apart)
    assert float(falling.apart) < 0.8 * float(mixed.apart)
    assert float(falling.quality) > float(falling.quality_start) + 3
    assert float(falling.quality) <= float(falling.quality_posterior) + 0.3


@pytest.mark.slow
def test_a_prior_of_the_training_images_themselves(runs):
    """Its posterior chooses among them, for damages that are not linear too, where nothing else is known."""
    run = runs(prior="optimal", damage="clip")
    train = images().arrays["pixels"][:TRAIN].reshape(TRAIN, -1)
    assert float(run.nearest_draw.max()) < 1e-6
    assert "quality_rest" not in run
    seen = np.clip(2.0 * train, -1, 1)  # gain 2, before the cut
    assert np.isfinite(run.quality_posterior)
    assert seen.shape == (TRAIN, SIDE**2)
    other = runs(damage="clip")
    assert "posterior_mean" not in other
    assert "quality_posterior" not in other
    for name in ("film", "answers", "seeds", "perception"):
        hv.renderer("matplotlib").get_plot(REDDiff.pictures[name](other))
    with pytest.raises(ValueError, match="known of linear damages"):
        REDDiff.pictures.spread(other)


@pytest.mark.slow
def test_what_is_wrong_is_said(runs):
    wild = runs(optimizer="sgd", reduction="sum", rate=1e6, v=1e6)
    assert int(wild.lost) == 18
    assert not bool(wild.converged)
    assert "18 of 18 answers diverged" in wild.attrs["advice"]
    assert np.isfinite(wild.answers).all()
    assert "choose descending" in runs(order="ascending").attrs["advice"]
    assert "miss the data" in runs(lam=300.0, weight="const").attrs["advice"]


@pytest.mark.slow
def test_it_stops(runs):
    run = MINE.but(seed=3).run(lambda progress: progress.iteration >= 5)
    assert run.attrs["reason"] == "stopped"
    assert np.isfinite(run.answers).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"weight": "cubic"},
            "weight = 'cubic' is not allowed: it must be one of linear, sqrt, square, log, trunc_linear",
        ),
        ({"lam": -1.0}, "lam = -1.0 is not allowed: it must be a number of at least 0"),
        ({"rate": 0.0}, "rate = 0.0 is not allowed: it must be a number greater than 0"),
        ({"steps": 0}, "steps = 0 is not allowed: it must be a whole number from 1"),
        ({"latest": 0.0}, "latest = 0.0 is not allowed: it must be a number from 0.01 to 1"),
        ({"order": "up"}, "order = 'up' is not allowed: it must be one of descending, random, ascending"),
        ({"seeds": 0}, "seeds = 0 is not allowed"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        REDDiff(**values)
    assert str(refusal.value).startswith(sentence)


def test_images_with_holes_are_refused():
    broken = dict(images().arrays)
    broken["pixels"] = np.where(np.arange(SIDE) == 2, np.nan, broken["pixels"])
    with pytest.raises(ValueError, match="finite"):
        REDDiff(data=Data("mine", "Mine", "images", broken, "a test", "none")).run()
    broken["pixels"] = np.full(broken["pixels"].shape, 7, np.uint8)
    with pytest.raises(ValueError, match="all images of mine are equal: nothing is to be restored"):
        REDDiff(data=Data("mine", "Mine", "images", broken, "a test", "none")).run()


@pytest.mark.slow
def test_frames_have_the_same_layers(runs):
    picture = REDDiff.pictures.film
    kinds = [[type(layer) for layer in picture(runs(), at=at)] for at in (1.0, 30.0, 60.0)]
    assert kinds[0] == kinds[1] == kinds[2]


@pytest.mark.slow
def test_a_picture_of_a_sweep_is_drawn():
    picture = REDDiff.pictures.order
    result = MINE.picture_result(picture)
    assert picture.applies(result) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(result))


def test_named_sets_fit():
    assert {entry.name for entry in REDDiff.sets()} <= {entry.name for entry in datasets.catalogue("images")}
    assert "mnist-images" in {entry.name for entry in REDDiff.sets()}
