"""The study of where denoisers look beyond the contract that every study keeps, on digits of 8 x 8 pixels."""

from typing import Any

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets, denoise
from lab.datasets import Data
from lab.denoise import Images
from lab.denoise.lineup import METHODS, NETWORKS
from lab.denoise.reference import reference
from lab.numerics import Chunked
from lab.numerics.statistics import mean_interval
from lab.store import Store, weights
from lab.studies import LocalityDenoisers
from lab.studies.denoise.locality_denoisers.experiment import FIELDS, LEVELS
from lab.studies.draw import mosaic, signed, tile_at

SHEET_NAMES = "mse_clean sensitivity mask_size eigenvalue"
DIGITS = LocalityDenoisers(
    data="digit-images",
    train=60,
    tests=3,
    samples=2,
    row=3,
    column=4,
    others=True,
    networks="perceptron",
    train_steps=30,
)  # one lineup, so that all compile the same
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def first():
    return DIGITS.execute()


@pytest.fixture(scope="module")
def training():
    """The training images of ``DIGITS``, as the lab's own denoisers take them."""
    arrays = datasets.load("digit-images").arrays
    return Images(jnp.asarray(arrays["pixels"][~arrays["held_out"]][:60], float))


def mine(pixels: Any, held: int = 2) -> Data:
    pixels = np.asarray(pixels, np.float32)
    arrays = {"pixels": pixels, "held_out": np.arange(len(pixels)) >= len(pixels) - held}
    return Data("mine", "Mine", "images", arrays, "a test", "none")


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(first):
    for name in SHEET_NAMES.split():
        assert name in first.result, name
    np.testing.assert_allclose(first.result.level[[0, 1, 6, 9]], [60.8, 25.7, 1.24, 0.01], rtol=5e-3)


@pytest.mark.slow
def test_everything_is_what_the_denoisers_themselves_give(first, training):
    """Estimates, fields and masks, at the levels and at that of the slider, each made without the study."""
    run = first.result
    basis = denoise.spectrum(training)
    np.testing.assert_allclose(run.eigenvalue, basis.values, atol=1e-10)
    made = {
        "optimal": denoise.Optimal(training),
        "Wiener": denoise.Wiener(basis, training.shape),
        "PCA locality": denoise.PCALocality(training, basis),
        "LS": denoise.LS(training, 5),
        "PSPC": denoise.SquareComposite(training, 5),
        "nearest": denoise.Nearest(training),
    }
    arrays = datasets.load("digit-images").arrays
    clean = jnp.asarray(arrays["pixels"][arrays["held_out"]][:3].reshape(3, 64), float)
    noise = np.random.default_rng(0).standard_normal((3, 64))
    np.testing.assert_allclose(run.noisy.values.ravel(), clean[0] + 0.5 * noise[0], atol=1e-12)
    q, level = 3 * 8 + 4, 5
    sigma = float(LEVELS[level])
    for name, each in made.items():
        here = each(clean[:1] + 0.5 * noise[:1], 0.5)[0]
        np.testing.assert_allclose(run.estimate_here.sel(denoiser=name).values.ravel(), here, atol=1e-9, err_msg=name)
        there = each(clean + sigma * noise, sigma)
        error = run.mse_clean.sel(denoiser=name).isel(level=level)
        np.testing.assert_allclose(error, ((there - clean) ** 2).mean(axis=1), atol=1e-9, err_msg=name)
        error = run.table_mse.sel(denoiser=name, table_level=0.3)
        wanted = denoise.mse(each(clean + 0.3 * noise, 0.3), clean)
        np.testing.assert_allclose(error, wanted, atol=1e-9, err_msg=name)
        if name != "nearest":
            field = each.sensitivity(clean + sigma * noise, sigma, q).mean(axis=0)
            found = run.sensitivity.sel(denoiser=name).isel(field_level=FIELDS.index(level))
            np.testing.assert_allclose(found.values.ravel(), field, atol=1e-8, err_msg=name)
    size = (made["PCA locality"].mask(0.3) != 0).sum(axis=0).mean()
    np.testing.assert_allclose(run.table_mask_size.sel(table_level=0.3), size)
    mask = made["PCA locality"].mask(0.5)
    np.testing.assert_array_equal(run.mask_here.values.ravel(), mask[:, q])
    np.testing.assert_allclose(run.mask_pixels, (mask != 0).sum(axis=0).mean())
    there = np.isfinite(run.estimate_here).all(["channel", "y", "x"])
    assert set(run.denoiser.values[there]) == {*made, "perceptron"}
    absent = {"ELS", *NETWORKS} - {"perceptron"}
    assert set(run.denoiser.values[~there]) == absent <= set(METHODS)


@pytest.mark.slow
def test_samples_are_those_of_the_sampler(first, training):
    start = np.random.default_rng([0, 1]).standard_normal((2, 64)) * np.sqrt(1 + LEVELS[0] ** 2)
    each = denoise.Wiener(denoise.spectrum(training), training.shape)
    wanted = denoise.sample(each, jnp.asarray(start), jnp.asarray(np.append(LEVELS, 0.0)), keep=True)
    found = first.result.path.sel(denoiser="Wiener").values.reshape(10, 2, 64)
    assert wanted.path is not None
    np.testing.assert_allclose(found, wanted.path, atol=1e-9)
    ends = found[-1]
    numbers = np.asarray(training.numbers())
    far = np.sqrt(((ends[:, None] - numbers[None]) ** 2).mean(axis=2)).min(axis=1)
    np.testing.assert_allclose(first.result.nearest_distance.sel(denoiser="Wiener"), far, atol=1e-7)


@pytest.mark.slow
def test_a_click_computes_only_fields_and_gives_the_same_numbers(first):
    DIGITS.but(row=4, column=3).execute(warm=first.warm)  # programs may have been given up between two tests
    moved = DIGITS.but(row=5, column=2)
    reports = []
    warm = moved.execute(reports.append, warm=first.warm)
    assert not reports  # the loop over levels did not run
    assert warm.result.attrs["programs_compiled"] == 0
    cold = moved.run()
    for name in cold.data_vars:
        np.testing.assert_array_equal(warm.result[name], cold[name], err_msg=str(name))
    reseeded = DIGITS.but(seed=1).execute(warm=first.warm).result  # images of the same shapes
    assert not np.allclose(reseeded.mse_clean.sel(denoiser="Wiener"), first.result.mse_clean.sel(denoiser="Wiener"))


@pytest.mark.slow
def test_stopped_runs_say_so_and_are_not_remembered(first):
    stopped = DIGITS.but(theta=0.3).execute(lambda progress: True)
    assert stopped.result.attrs["reason"] == "stopped"
    known = np.isfinite(stopped.result.mse_clean.sel(denoiser="Wiener")).all("test").sum()
    assert 0 < int(known) < 10
    whole = DIGITS.but(theta=0.3).execute(warm=stopped.warm).result
    assert whole.attrs["reason"] == "converged"
    assert np.isfinite(whole.mse_clean.sel(denoiser="Wiener")).all()


@pytest.mark.slow
def test_what_an_unfinished_network_shows_is_not_remembered(monkeypatch, tmp_path):
    """Its training is stopped, and nothing else."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    study = DIGITS.but(seed=7)
    stopped = study.execute(lambda progress: progress.max_iterations == 30).result
    assert stopped.attrs["reason"] == "stopped"
    whole = study.run()
    assert whole.attrs["reason"] == "converged"
    shown = (result.estimate_here.sel(denoiser="perceptron") for result in (stopped, whole))
    assert not np.allclose(*shown)


@pytest.mark.slow
def test_a_planted_pattern_is_looked_for(first):
    """Against the Wiener filter of images that NumPy has planted it in."""
    run = DIGITS.but(plant=True, strength=5.0, sigma=2.0, row=0, column=1).run()
    P = run.pattern.values.ravel()
    np.testing.assert_allclose(P @ P, 1, rtol=1e-12)
    arrays = datasets.load("digit-images").arrays
    x = arrays["pixels"][~arrays["held_out"]][:60].reshape(60, 64).astype(float)
    S = np.cov((x + 5.0 * np.outer(np.random.default_rng([0, 2]).standard_normal(63)[:60], P)).T)
    back = np.linalg.solve(S + 4.0 * np.eye(64), S @ P)
    np.testing.assert_allclose(run.pattern_field.sel(denoiser="Wiener").values.ravel(), back, atol=1e-9)
    np.testing.assert_allclose(run.pattern_match.sel(denoiser="Wiener"), np.corrcoef(P, back)[0, 1], atol=1e-9)
    assert (run.pattern_match.sel(denoiser=["Wiener", "PCA locality"]) > 0.9).all()
    fields = np.linalg.solve(S + 4.0 * np.eye(64), S)
    strong = np.argsort(-P)[: (P.max() / 2 <= P).sum()]
    wanted = sorted(np.corrcoef(fields[q], P)[0, 1] for q in strong)
    found = run.pattern_rows.sel(denoiser="Wiener").dropna("stroke")
    np.testing.assert_allclose(sorted(found.values), wanted, atol=1e-9)
    single = run.pattern_pixel.sel(denoiser="Wiener")
    np.testing.assert_allclose(single, np.corrcoef(fields[1], P)[0, 1], atol=1e-9)
    assert (run.pattern_rows.sel(denoiser="LS").max() < found.min()).all()  # it sees its patch only
    pattern = LocalityDenoisers.pictures["pattern"]
    assert pattern.clicked(run, 1 * 9 + 5.5, 2 * 9 - 1 - 1.5) == {"row": 1, "column": 5}
    hv.renderer("matplotlib").get_plot(pattern(run))
    assert "pattern_field" not in first.result


@pytest.mark.slow
def test_networks_are_trained_once_and_compared_with(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    study = DIGITS.but(seed=8)
    steps = []
    made = study.execute(lambda progress: steps.append(progress.max_iterations))
    assert 30 in steps
    run = made.result
    assert run.attrs["converged"]
    np.testing.assert_allclose(run.r2_net.sel(denoiser="perceptron"), 1, rtol=1e-12)
    assert "worse than PCA locality" in run.attrs["advice"]
    each = mean_interval(run.r2_net.sel(denoiser="Wiener").mean("level"))
    np.testing.assert_allclose(run.r2_wiener, each.mean)
    np.testing.assert_allclose(run.r2_wiener_half, each.high - each.mean)
    at = mean_interval(run.r2_net.sel(denoiser="LS").isel(level=3))
    np.testing.assert_allclose(run.r2_half.sel(denoiser="LS").isel(level=3), at.high - at.mean)
    steps.clear()
    again = study.execute(lambda progress: steps.append(progress.max_iterations))
    assert 30 not in steps
    np.testing.assert_array_equal(again.result.r2_net, run.r2_net)
    assert [entry.study for entry in Store().entries()] == ["weights"]
    hv.renderer("matplotlib").get_plot(LocalityDenoisers.pictures["agreement"](run))
    pixels = RNG.normal(size=(20, 64))
    halt = Chunked(lambda progress: True)
    trained = reference("perceptron", jnp.asarray(pixels), (1, 8, 8), 30, 0)
    assert trained.loss.shape == (30,)
    assert float(trained.loss[-5:].mean()) < 1
    stopped = reference("perceptron", jnp.asarray(pixels), (1, 8, 8), 30, 0, loop=halt, keep=weights.kept)
    assert 0 < int(np.isfinite(stopped.loss).sum()) < 30
    assert [entry.study for entry in Store().entries()] == ["weights"]  # the half trained one is not kept


@pytest.mark.slow
def test_pooled_colour_images(first):
    pixels = RNG.uniform(-1, 1, size=(8, 3, 11, 13))
    run = LocalityDenoisers(data=mine(pixels), train=6, pool=2, tests=2, samples=1, row=0, column=5).run()
    assert run.clean.shape == (3, 5, 6)
    wanted = pixels[6, :, :10, :12].reshape(3, 5, 2, 6, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(run.clean, wanted, atol=1e-6)
    x = pixels[:6, :, :10, :12].reshape(6, 3, 5, 2, 6, 2).mean(axis=(3, 5)).reshape(6, 90)
    S = np.cov(x.T)
    W = np.linalg.solve(S + 0.25 * np.eye(90), S).reshape(3, 30, 3, 30)
    np.testing.assert_allclose(
        run.field.sel(denoiser="Wiener").values.ravel(), W[:, 5].mean(axis=0).sum(axis=0), atol=1e-6
    )
    for picture in ("look", "samples"):
        hv.renderer("matplotlib").get_plot(LocalityDenoisers.pictures[picture](run))


@pytest.mark.slow
def test_clicks(first):
    """What is drawn at a place is what a click there chooses."""
    run, pictures = first.result, LocalityDenoisers.pictures
    h = w = 8
    down = h + 1
    assert pictures["look"].clicked(run, 2 * (w + 1) + 5.5, h - 1.5) == {"row": 1, "column": 5}
    assert pictures["look"].clicked(run, w + 0.5, h - 1.5) == {}
    rows = 6  # of which the mask is the last, at the bottom; the levels rise to the right
    found = pictures["sensitivity"].clicked(run, 0.5, rows * down - 1 - 0.5)
    assert found == {"row": 0, "column": 0, "sigma": 0.342}
    assert pictures["spectrum"].clicked(run, 3.0, 0.25) == {"sigma": 0.5}
    assert pictures["errors"].clicked(run, 2.0, 0.1) == {"sigma": 2.0}


def test_mosaics():
    tiles = RNG.uniform(-1, 1, size=(2, 3, 4, 5))
    tiles[1, 2] = np.nan
    made = mosaic(tiles, ["a", "b"], marks=[(1, 2)])
    canvas = next(layer for layer in made if isinstance(layer, hv.RGB))
    bounds: Any = canvas.bounds
    left, bottom, right, top = bounds.lbrt()
    assert (left, bottom, right, top) == (0, 0, 17, 9)
    x, y = 1 * 6 + 2.5, top - 1 * 5 - 3.5
    assert tile_at(x, y, (2, 3, 4, 5)) == (1, 1, 3, 2)
    np.testing.assert_allclose(canvas.data[5 + 3, 6 + 2, 0] / 127.5 - 1, tiles[1, 1, 3, 2], atol=0.01)
    assert tile_at(5.5, 2.0, (2, 3, 4, 5)) is None
    colours = signed(np.array([[[[0.0, 2.0, -2.0]]]]))
    assert colours[0, 0, 0, 1, 0] > colours[0, 0, 0, 1, 2]  # orange above zero
    assert colours[0, 0, 0, 2, 0] < colours[0, 0, 0, 2, 2]  # blue below
    with pytest.raises(ValueError, match="a mosaic needs images of shape"):
        mosaic(np.zeros((2, 3, 4)))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sigma": 0.0}, "sigma = 0.0 is not allowed: it must be a number from 0.003"),
        ({"theta": 1.5}, "theta = 1.5 is not allowed: it must be a number from 0 to 1"),
        ({"row": 14}, "row = 14 is not allowed: it must be a whole number from 0 to 13, since the images have 14 rows"),
        ({"example": 8}, "example = 8 is not allowed: it must be a whole number from 0 to 7"),
        (
            {"pool": 6},
            "pool = 6 is not allowed: at most 5 leaves 5 pixels a side of these images",
        ),
        ({"data": mine(np.zeros((5, 1, 100, 90))), "pool": 1}, "images of 1 x 100 x 90 have 9000 numbers"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        LocalityDenoisers(**values).run()
    assert str(refusal.value).startswith(sentence)


@pytest.mark.slow
def test_constant_images_are_no_error():
    run = LocalityDenoisers(
        data=mine(np.full((8, 3, 11, 13), 0.3)), train=6, pool=2, tests=2, samples=1, row=0, column=5
    ).run()
    np.testing.assert_allclose(
        run.estimate_here.sel(denoiser=["Wiener", "optimal", "PCA locality", "LS"]), 0.3, atol=1e-6
    )
    assert run.attrs["advice"].startswith("All training images are equal")
