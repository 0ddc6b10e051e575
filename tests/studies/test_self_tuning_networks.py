"""The study of self-tuning networks, beyond the contract."""

from typing import Any

import holoviews as hv
import numpy as np
import pytest

from lab.studies.tuning.self_tuning_networks import SelfTuningNetworks, experiment

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"problem": "perceptron", "cycles": 150, "units": 16, "batch": 8, "starts": 2, "warmup": 10}


@pytest.fixture(scope="module")
def grid():
    return SelfTuningNetworks(**SMALL, compare="grid search", decays=True).run()


def test_a_run_whose_starts_diverge_has_not_converged():
    result = SelfTuningNetworks(**SMALL, decays=True, lowest=-1.0, highest=1.0, learning_rate=1.0).run()
    assert np.isnan(result.val_loss.values[-1]).all()
    assert not result.attrs["converged"]
    assert "2 of the starts diverged: lower the learning rate, or start from other λ." in result.attrs["advice"]


def test_a_ridge_regression_is_told_as_it_is():
    result = SelfTuningNetworks().run()
    assert result.attrs["converged"]
    frames = result.lam.values[:, :, 0]
    np.testing.assert_allclose(result.begin, np.linspace(-6, 2, 4))
    assert (frames[:10] == result.begin.values).all()  # until the warm-up is over
    assert (frames[10] != result.begin.values).all()
    np.testing.assert_allclose(result.value.values, np.exp(result.lam.values))
    at = np.interp(float(result.lam_end), result.strength.values, result.valley.values)
    assert float(result.val) == pytest.approx(at, rel=0.01)
    assert float(result.known) == pytest.approx(result.valley.values.min(), rel=1e-3)
    assert float(result.known) <= result.valley.values.min()
    assert float(result.excess) == pytest.approx(100 * (result.val_loss.values[-1].max() / float(result.known) - 1))
    here = np.interp(frames[-1], result.strength.values, result.curve.values)
    np.testing.assert_allclose(result.here.values[-1], here, rtol=0.05)
    steep = np.gradient(result.curve.values, result.strength.values)
    np.testing.assert_allclose(
        result.tilt.values[-1, :, 0], np.interp(frames[-1], result.strength.values, steep), rtol=0.1
    )
    assert {"rival_val", "accuracy", "plain"}.isdisjoint(result)


def test_two_strengths_have_a_landscape_and_a_schedule_is_followed_again():
    result = SelfTuningNetworks(groups=2, rows=60, compare="schedules").run()
    plain = result.plain.values
    assert float(result.known) == pytest.approx(plain.min(), rel=1e-2)
    assert float(result.known) <= plain.min()
    assert float(result.excess) < 1
    assert list(result.rival.values) == list(experiment.WHATS)
    end = result.lam.values[-1].mean(axis=0)
    np.testing.assert_allclose(result.rival_lam.values[:2], [end, end])
    np.testing.assert_allclose(result.rival_lam.values[3], result.lam.values[:, 0].mean(axis=0))
    held = float(result.rival_val.values[-1, 0])
    assert held == pytest.approx(float(result.known), rel=0.02)
    for picture in (SelfTuningNetworks.pictures.plain, SelfTuningNetworks.pictures.rivals):
        assert isinstance(picture(result), hv.Overlay)


def test_networks_are_tuned_beside_a_grid(grid):
    assert grid.sizes["hyper"] == 4
    assert grid.sizes["rival"] == 25
    assert float(grid.rival_least) == pytest.approx(np.fmin.reduce(grid.rival_val.values, axis=0).min())
    held = grid.rival_lam.values.reshape(5, 5, 4)
    share = np.linspace(0.03, 0.9, 5)
    np.testing.assert_allclose(held[:, 0, 0], np.log(share / (1 - share)), rtol=1e-5)
    np.testing.assert_allclose(held[0, :, 1], np.log(share / (1 - share)), rtol=1e-5)
    value, lam = grid.value.values, grid.lam.values
    np.testing.assert_allclose(value[..., :3], 0.95 / (1 + np.exp(-lam[..., :3])), rtol=1e-5)
    np.testing.assert_allclose(value[..., 3], np.exp(lam[..., 3]), rtol=1e-5)
    best = grid.val_loss.values.argmin(axis=0)
    assert float(grid.accuracy_end) == pytest.approx(grid.accuracy.values[best, [0, 1]].mean(), rel=1e-5)
    for name in ("rivals", "schedules", "losses"):
        assert isinstance(SelfTuningNetworks.pictures[name](grid), hv.Overlay)
    assert {"known", "curve", "jac_error"}.isdisjoint(grid)


def test_a_run_that_is_stopped_is_told_as_far_as_it_came():
    half = SelfTuningNetworks().run(lambda told: told.iteration >= 5)
    assert half.attrs["reason"] == "stopped"
    seen = np.isfinite(half.val_loss.values).all(axis=1)
    assert 5 <= seen.sum() < experiment.FRAMES
    assert np.isfinite(float(half.excess))
    assert isinstance(SelfTuningNetworks.pictures.schedules(half), hv.Overlay)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lowest": 3.0, "highest": 1.0}, "lowest = 3 is above highest = 1: exchange them"),
        (
            {"problem": "convolutional network", "data": "disc-in-ring"},
            "needs square images, and these samples have 2 features",
        ),
        ({"sigma": 0.0}, "sigma"),
        ({"entropy": -1.0}, "entropy"),
        ({"trains": 0}, "trains"),
    ],
)
def test_what_cannot_be_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        SelfTuningNetworks(**given).run()
