"""The study of road agents, beyond the contract that every study keeps."""

import holoviews as hv
import numpy as np
import pytest

from lab import datasets
from lab.studies import RoadAgents

pytestmark = pytest.mark.slow

TRAINED = {"train_steps": 6, "units": 8, "batch": 4, "forecast": "two streams"}


@pytest.fixture(scope="module")
def run():
    return RoadAgents().run()


@pytest.fixture(scope="module")
def trained():
    return RoadAgents(**TRAINED).run()


def test_the_road_is_the_first_that_tests(run):
    data = RoadAgents().load()
    np.testing.assert_array_equal(run.position, data.arrays["positions"][12])
    np.testing.assert_array_equal(run.driver, data.arrays["profile"][12])
    away = np.linalg.norm(run.position.values[:, :, None] - run.position.values[:, None], axis=-1)
    expected = np.where((away < 10) & (away > 0), np.exp(-away), 0)
    np.testing.assert_allclose(run.weight, expected, atol=1e-14)
    np.testing.assert_allclose(run.theta, expected.sum(axis=2), atol=1e-14)


def test_errors_and_labels_are_those_of_the_definitions(run):
    """Constant velocity on the roads that test, and the rule on all windows, in NumPy."""
    arrays = RoadAgents().load().arrays
    positions = arrays["positions"]
    apart, labels = [], []
    for road, start in np.ndindex(16, 3):
        frames = positions[road, 8 * start : 8 * start + 16]
        known = frames[5] + np.arange(1, 11)[:, None, None] * (frames[5] - frames[4])
        if road >= 12:
            apart.append(np.linalg.norm(known - frames[6:], axis=-1))
        theta = []
        for at in (frames[5], frames[15]):
            away = np.linalg.norm(at[:, None] - at[None], axis=-1)
            theta.append(np.where((away < 10) & (away > 0), np.exp(-away), 0).sum(axis=1))
        rate = (theta[1] - theta[0]) / 5
        labels.append(np.sign(rate) * (np.abs(rate) > 5e-4))
    apart = np.array(apart)
    assert float(run.ade_velocity) == pytest.approx(apart.mean(), rel=1e-9)
    assert float(run.fde_velocity) == pytest.approx(apart[:, -1].mean(), rel=1e-9)
    np.testing.assert_allclose(run.rmse[0], np.sqrt((apart**2).mean(axis=(0, 2))), rtol=1e-9)
    np.testing.assert_array_equal(run.label.sel(kind="rule"), labels)
    drivers = np.repeat(arrays["profile"], 3, axis=0)
    counts = [[((drivers == a) & (np.array(labels) == b)).sum() for b in (-1, 0, 1)] for a in (-1, 0, 1)]
    np.testing.assert_array_equal(run.confusion[0], counts)
    assert float(run.accuracy_driver) == pytest.approx((np.array(labels) == drivers).mean())


def test_behaviour_at_a_moment_is_the_rule_from_there(run):
    theta = run.theta.values
    rate = (theta[15:] - theta[5:22]) / 5
    np.testing.assert_array_equal(run.behaviour, np.sign(rate) * (np.abs(rate) > 5e-4))


def test_ellipses_hold_what_they_should(run):
    """Of the road that is shown: about two thirds of a Gaussian's points within 1.5 deviations of its mean."""
    within = []
    assert run.sizes["moment"] == 17
    np.testing.assert_allclose(run.moment, 0.5 * np.arange(5, 22))
    for moment in range(17):
        away = run.position.values[moment + 15] - run.path.values[moment, :, -1]
        along, across, rho = run.ellipse.values[moment].T
        z = (away[:, 0] / along) ** 2 + (away[:, 1] / across) ** 2
        z = (z - 2 * rho * away[:, 0] * away[:, 1] / (along * across)) / (1 - rho**2)
        within.append(z < 1.5**2)
    assert 0.5 < np.mean(within) < 0.9


def test_a_training_is_kept_and_drawn(trained):
    reports = []
    again = RoadAgents(**TRAINED).run(lambda told: reports.append(told) and False)
    for name, variable in trained.data_vars.items():
        np.testing.assert_array_equal(again[name], variable, name)
    assert all(report.max_iterations == 16 for report in reports)  # roads; the streams come from the store
    assert np.isfinite(trained.rmse).all()
    assert trained.sizes["train_step"] == 6
    assert "not yet as good as the ridge" in trained.attrs["advice"]
    study = RoadAgents(**TRAINED)
    for name in ("training", "confusion", "play", "rmse"):
        hv.renderer("matplotlib").get_plot(study.pictures[name](trained))


def test_a_stopped_training_is_shown_and_not_kept():
    given = TRAINED | {"seed": 5}
    half = RoadAgents(**given).run(lambda told: told.max_iterations == 6 and told.iteration >= 2)
    assert half.attrs["reason"] == "stopped"
    assert np.isnan(half.curve_loss[-1])
    whole = RoadAgents(**given).run()
    assert whole.attrs["reason"] == "converged"
    assert np.isfinite(whole.curve_loss).all()


def test_agents_come_and_go():
    found = RoadAgents(data="highway-section").run()
    away = np.isnan(found.position.values[..., 0])
    assert away.any()
    assert (found.weight.values[away] == 0).all()
    assert np.isnan(found.theta.values[away]).all()
    assert np.isfinite(found.ade_ridge)
    for name in ("play", "degrees", "regions", "confusion"):
        hv.renderer("matplotlib").get_plot(found_picture(found, name))


def found_picture(result, name):
    return RoadAgents.pictures[name](result)


def test_a_road_of_ones_own(tmp_path):
    """One road, whose first part is learned from; nobody says who drives."""
    positions = RoadAgents().load().arrays["positions"][:2].reshape(64, 20, 2)[:50, :5]
    rows = [
        "frame,agent,x,y",
        *(f"{t},{i},{x},{y}" for (t, i), (x, y) in zip(np.ndindex(50, 5), positions.reshape(-1, 2), strict=True)),
    ]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    found = RoadAgents(data=str(tmp_path / "mine.csv"), radius=30.0, scale=10.0).run()
    assert "correlation_driver" not in found
    assert "driver types are unknown" in RoadAgents.pictures.radius.applies(found) or found.sizes["frame"] == 50
    assert 0 < float(found.tested) <= 5 * 50
    for name in ("play", "regions", "confusion"):
        hv.renderer("matplotlib").get_plot(found_picture(found, name))


@pytest.mark.parametrize(
    ("sentence", "made"),
    [
        ("slow = 0.7 and fast = 0.6 are more than all", lambda: RoadAgents(slow=0.7, fast=0.6).run()),
        (
            "forecast = 'one stream' is not allowed with train_steps = 0",
            lambda: RoadAgents(forecast="one stream").run(),
        ),
        ("12 frames are too few for 6 seen and 10", lambda: RoadAgents(recorded=12).run()),
        ("road = 9 is not allowed", lambda: RoadAgents(road=9).run()),
        ("radius = 0.0 is not allowed", lambda: RoadAgents(radius=0.0)),
        ("threshold = -1.0 is not allowed", lambda: RoadAgents(threshold=-1.0)),
        (
            "20 frames of one road are too few to learn from",
            lambda: RoadAgents(data=datasets.held({"positions": np.ones((20, 4, 2))}, "trajectories")).run(),
        ),
        (
            "whose graphs are too many",
            lambda: RoadAgents(data=datasets.held({"positions": np.ones((90, 200, 2))}, "trajectories")).run(),
        ),
    ],
)
def test_what_is_not_allowed_gets_a_sentence(sentence, made):
    with pytest.raises(ValueError, match=sentence):
        made()
