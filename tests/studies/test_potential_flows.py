"""The study of potential flows beyond the contract that every study keeps."""

from pathlib import Path

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from lab import studies
from lab.cli import main
from lab.datasets import Data
from lab.studies.paths.potential_flows import PotentialFlows

NAMES = "accuracy residual ic jvp vp energy w2 path c"
TINY = {"potentials": 3, "times": 3, "units": 8, "particles": 20}


def _data(x, **axes) -> Data:
    return Data("mine", "Mine", "samples", {"x": np.asarray(x, float)}, "a test", "none", axes=axes)


@pytest.fixture(scope="module")
def own():
    """A generator of one's own, of images of 2 x 2 pixels;"""
    return studies.traversal_study("Own", lambda z: jnp.stack([z, z**2]), 2, train_steps=30, **TINY)


@pytest.fixture(scope="module")
def trained(own) -> xr.Dataset:
    return own().run()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(trained):
    for name in NAMES.split():
        assert name in trained, name
    assert trained.path.dims == ("k", "start", "step", "entry")
    assert trained.images.shape == (3, 3, 4, 2, 2)
    assert trained.sizes["train_step"] == 30


@pytest.mark.slow
def test_what_is_told_of_a_training_is_consistent(trained):
    step = np.diff(trained.path.values, axis=2)
    energy = 3 * (step**2).sum(axis=3).mean(axis=1).sum(axis=1)  # of the starts that are shown
    np.testing.assert_allclose(trained.energy_of, energy, rtol=0.6)
    assert (trained.energy_of.values >= (1 - 1e-5) * trained.w2_of.values).all()
    np.testing.assert_allclose(trained.accuracy, trained.curve_accuracy.mean(), rtol=1e-5)
    assert (np.diff(trained.vp_length) > 0).all()
    np.testing.assert_allclose(
        trained.ways[0, :, :, 0], trained.path[0, :, :, 0].T, atol=1.1e-3
    )  # of the plane as it is


@pytest.mark.slow
@pytest.mark.parametrize("name", ["climbing", "images", "vp"])
def test_pictures_of_a_training_are_drawn(trained, name):
    picture = PotentialFlows.pictures[name]
    assert picture.applies(trained) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(trained))


@pytest.mark.slow
def test_a_picture_that_does_not_apply_says_why(trained):
    with pytest.raises(ValueError, match="it shows a sweep over pde"):
        PotentialFlows.pictures.equations(trained)
    with pytest.raises(ValueError, match="no potentials were trained: set the training steps above 0"):
        PotentialFlows.pictures.vp(trained.drop_vars(["vp", "vp_error"]))


@pytest.mark.slow
def test_frames_have_the_same_layers(trained):
    for picture in (PotentialFlows.pictures.motion, PotentialFlows.pictures.climbing):
        first, last = picture.frames(trained)[[0, -1]]
        kinds = [[type(layer) for layer in picture(trained, at=float(at))] for at in (first, last)]
        assert kinds[0] == kinds[1]


@pytest.mark.slow
def test_stop_ends_a_training_and_keeps_what_there_is(own):
    seen = []

    def report(progress):
        seen.extend(["ce"] if "ce" in progress.trace and "residual" in progress.trace else [])
        return len(seen) > 1

    run = own(train_steps=3000).run(report)
    assert run.attrs["reason"] == "stopped"
    assert 0 < int(np.isfinite(run.curve_loss).sum()) < 428
    assert run.sizes["train_step"] == 428  # means of 7 steps


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"times": 1}, "times = 1 is not allowed: it must be a whole number from 2 to 50"),
        ({"potentials": 1}, "potentials = 1 is not allowed"),
        ({"pde": "sound"}, "pde = 'sound' is not allowed: it must be one of wave, heat, hamilton-jacobi"),
        ({"latent": 0}, "latent = 0 is not allowed"),
        ({"time": 0.0}, "time = 0.0 is not allowed"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        PotentialFlows(**values)
    assert str(refusal.value).startswith(sentence)


def test_data_that_do_not_spread_are_refused():
    line = np.linspace(0, 1, 20)[:, None] * np.ones((1, 2))
    with pytest.raises(ValueError, match="on a line or in one place"):
        PotentialFlows(data=_data(line)).run()
    flat = np.random.default_rng(0).normal(size=(20, 2)) @ np.ones((2, 3)) + np.random.default_rng(1).normal(
        size=(20, 3)
    )
    with pytest.raises(ValueError, match="vary along 3 axes"):
        PotentialFlows(data=_data(flat), train_steps=10, generator="linear", latent=4).run()


@pytest.mark.slow
def test_a_generator_of_ones_own_is_one_small_file(tmp_path, capsys, own):
    path = Path(tmp_path, "my_generator.py")
    path.write_text(
        "import jax.numpy as jnp\nfrom lab import studies\n"
        "grid = jnp.linspace(-1, 1, 3)\n"
        "study = studies.traversal_study('My generator', lambda z: jnp.tanh(grid[:, None] * z[0] + grid[None] * z[1]), 2)\n"
    )
    assert main(["show", str(path), "--json"]) == 0
    told = capsys.readouterr().out
    assert '"my-generator-data"' in told
    assert '"name": "decoder_steps"' not in told
    assert main(["run", str(path), "--potentials", "-3"]) == 2
    assert "potentials = -3" in capsys.readouterr().err


@pytest.mark.slow
def test_a_generator_of_ones_own_is_what_is_trained_on(own, trained):
    z = trained.path.values[1, :3]
    np.testing.assert_allclose(trained.images.values[1], np.stack([z, z**2], axis=2), atol=1e-5)
    assert studies.find("own") is own
    for given, match in (
        ((lambda z: z * jnp.nan, 2), "not finite"),
        ((lambda z: z @ jnp.ones((3, 3)), 2), "fails on a latent point of 2 numbers"),
        ((lambda z: z, 1), "at least 2 dimensions"),
    ):
        with pytest.raises(ValueError, match=match):
            studies.traversal_study("Wrong", *given)
    with pytest.raises(ValueError, match="steppes: no such parameter"):
        studies.traversal_study("Wrong", lambda z: z, 2, steppes=3)
