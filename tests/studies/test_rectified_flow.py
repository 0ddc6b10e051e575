"""The study of rectified flow beyond the contract that every study keeps."""

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from studies.checks.rectified_flow import T

from lab import paths
from lab.datasets import Data
from lab.studies.paths.rectified_flow import RectifiedFlow
from lab.studies.paths.rectified_flow.experiment import FRAMES, SCHEDULES

PAPER_NAMES = "paths S V cost w2sq"


class Runs(dict):
    """Runs of the default data by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = RectifiedFlow(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def _line(source: float, mean: float, target: float) -> Data:
    """Gaussians on a line that no named set has: N(0, source^2) to N(mean, target^2)."""
    rng, one = np.random.default_rng(5), np.ones(1)
    arrays = {
        "x": mean + target * rng.normal(size=(50, 1)),
        "weights": one,
        "centres": np.array([[mean]]),
        "variances": np.array([target**2]),
        "x0": source * rng.normal(size=(50, 1)),
        "source_weights": one,
        "source_centres": np.zeros((1, 1)),
        "source_variances": np.array([source**2]),
    }
    return Data("mine", "Mine", "samples", arrays, "a test", "none")


LINE = RectifiedFlow(data=_line(0.7, -1.0, 1.6), particles=1000, pairs=20, euler_steps=6)


@pytest.fixture(scope="module")
def line() -> dict[str, xr.Dataset]:
    """By schedule."""
    return {name: LINE.but(schedule=name).run() for name in ("linear", "vp")}


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper(runs):
    for name in PAPER_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
def test_gaussians_on_a_line_have_the_closed_forms(line):
    run, (s0, s1) = line["linear"], (0.7, 1.6)
    way = run.paths.values[..., 0]
    t = FRAMES[:, None]
    spread = np.sqrt((1 - t) ** 2 * s0**2 + t**2 * s1**2)
    np.testing.assert_allclose(way, -t + spread / s0 * way[0], atol=1e-6)
    for name, value in (("V_before", np.pi / 2 * s0 * s1), ("S", (2 - np.pi / 2) * s0 * s1)):
        error = float(run.S_error) if name == "S" else 0.04 * value
        assert abs(float(run[name]) - value) < 4 * error, name
    np.testing.assert_allclose(run.square_cost, (s1 - s0) ** 2 + 1, rtol=0.08)
    assert abs(float(run.identity_gap)) < 4 * float(run.identity_error)
    np.testing.assert_allclose(run.energy, run.square_cost + run.S, rtol=1e-3)
    assert float(run.above_optimal) < 1e-12  # on a line


@pytest.mark.slow
def test_euler_of_a_gaussian_is_the_product_over_its_steps(line):
    """The field is affine in x, with slope sigma' / sigma."""
    s0, s1 = 0.7, 1.6
    t = np.arange(6) / 6
    square = (1 - t) ** 2 * s0**2 + t**2 * s1**2
    stretch = np.prod(1 + (t * s1**2 - (1 - t) * s0**2) / square / 6)
    way = line["linear"].euler.values[..., 0]
    np.testing.assert_allclose(np.polyfit(way[0], way[-1], 1)[0], stretch, rtol=1e-10)


@pytest.mark.slow
def test_any_schedule_keeps_the_marginals(line):
    """And of VP between Gaussians the spread is known: sqrt(alpha^2 s0^2 + beta^2 s1^2)."""
    c = SCHEDULES["vp"](jnp.asarray(FRAMES))
    way = line["vp"].paths.values[..., 0]
    spread = np.sqrt(c.alpha**2 * 0.7**2 + c.beta**2 * 1.6**2)
    np.testing.assert_allclose(way.std(axis=1) / way[0].std(), spread / spread[0], rtol=1e-4)
    assert float(line["vp"].S) > float(line["linear"].S)


@pytest.mark.slow
def test_flow_and_lines_have_the_same_moments(runs):
    """Mean and covariance within 4 standard errors, at three times, of particles that are not the lines' own."""
    run, other = runs(), runs(seed=1)
    for t in (0.25, 0.5, 0.75):
        a, b = run.paths.sel(t=t).values, other.lines.sel(t=t).values
        for f in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
            error = np.sqrt((f(a).var(axis=0) + f(b).var(axis=0)) / 400)
            assert (abs(f(a).mean(axis=0) - f(b).mean(axis=0)) < 4 * error).all(), t


@pytest.mark.slow
def test_straight_gaussian_coupling_is_a_fixed_point():
    """Of the exact reflow of (Z0, T Z0): the field of that joint Gaussian takes z to T z."""
    from lab.datasets.gaussians import S0, S1

    exact_map = paths.ode(
        paths.exact(paths.Linear(), paths.gaussian(jnp.zeros(2), S0), paths.gaussian(jnp.zeros(2), S1)), jnp.eye(2), 200
    ).end.T
    np.testing.assert_allclose(exact_map, T, atol=1e-5)
    joint = paths.Joint(
        np.ones(1), np.zeros((1, 2)), np.zeros((1, 2)), S0[None], (T @ S0 @ T.T)[None], (S0 @ T.T)[None]
    )
    again = paths.ode(paths.exact(paths.Linear(), joint), jnp.eye(2), 200, interval=(0.0, 1 - 1e-9)).end.T
    np.testing.assert_allclose(again, T, atol=1e-4)


@pytest.mark.slow
def test_rounds_are_bookkept(runs):
    """S and V fall, the cost never rises, and a run of k rounds begins like one of fewer."""
    zero, one, three = runs(k=0), runs(), runs(k=3)
    assert float(zero.S) == 0
    assert float(zero.V) == float(one.V_before)
    assert zero.sizes["iteration"] == 0
    np.testing.assert_array_equal(zero.lines[-1], one.lines[-1])
    np.testing.assert_allclose(three.history_S[0], one.S, rtol=1e-12)
    np.testing.assert_allclose(three.history_cost[0], one.square_cost, rtol=1e-12)
    assert float(three.history_S[1]) < 0.05 * float(three.history_S[0])
    assert (np.diff(three.history_cost) < 1e-6).all()
    np.testing.assert_allclose(one.cost.sel(p=2.0), one.square_cost, rtol=1e-12)
    move = np.linalg.norm(one.paths.values[-1] - one.paths.values[0], axis=1)
    np.testing.assert_allclose(one.cost, [(move**p).mean() for p in one.p.values], rtol=1e-9)
    np.testing.assert_array_equal(runs(euler_steps=4).w2sq, one.w2sq_steps.sel(few=4))


@pytest.mark.slow
def test_reflow_makes_one_step_enough(runs):
    assert float(runs().w2sq) > 8
    assert "raise K, or straighten" in runs().attrs["advice"]
    two = runs(k=2)
    np.testing.assert_allclose(two.w2sq, two.w2sq_fine, atol=1e-6)
    np.testing.assert_allclose(
        two.w2sq, runs().w2sq_distilled, rtol=1e-3
    )  # one step of the next flow is the distilled one
    assert two.attrs["advice"] == ""
    narrow = runs(k=2, bandwidth=1e-4)
    assert float(narrow.neighbours) < 2
    assert "pairs at a time" in narrow.attrs["advice"]


@pytest.mark.slow
def test_points_are_reached_and_one_step_is_their_mean():
    """Of data known by points only: five points in the plane, reached in equal shares."""
    rng = np.random.default_rng(3)
    x = 3 * rng.normal(size=(5, 2))
    run = RectifiedFlow(data=Data("mine", "Mine", "samples", {"x": x}, "a test", "none"), pairs=20).run()
    far = np.linalg.norm(run.paths.values[-1][:, None] - x[None], axis=2)
    assert far.min(axis=1).max() < 1e-3
    counts = np.bincount(far.argmin(axis=1), minlength=5)
    assert (abs(counts - 80) < 4 * np.sqrt(400 * 0.2 * 0.8)).all()
    np.testing.assert_allclose(run.euler.values[-1], np.broadcast_to(x.mean(0), (400, 2)), atol=1e-10)
    assert abs(float(run.identity_gap)) < 4 * float(run.identity_error) + 0.01 * float(run.square_cost)


@pytest.mark.slow
def test_from_points_to_points_there_are_lines_only():
    rng = np.random.default_rng(4)
    arrays = {"x": rng.normal(size=(60, 2)) + np.array([4, 0]), "x0": rng.normal(size=(50, 2))}
    study = RectifiedFlow(
        data=Data("mine", "Mine", "samples", arrays, "a test", "none"), particles=60, pairs=60, bandwidth=0.4
    )
    run = study.run()
    assert np.linalg.norm(run.paths.values[-1].mean(0) - [4, 0]) < 0.6
    assert "density" not in run
    with pytest.raises(ValueError, match="schedule = 'vp' needs the distribution of the source or of the data"):
        study.but(schedule="vp").run()


@pytest.mark.slow
def test_a_network_is_trained_on_images(runs):
    """Data of 49 dimensions in a few steps of training: the loss falls, and pictures are drawn."""
    run = RectifiedFlow(data="mnist-samples", particles=24, pairs=24, euler_steps=2, train_steps=60, units=16).run()
    assert run.sizes["train_step"] == 60
    assert float(run.curve_loss[-10:].mean()) < float(run.curve_loss[:10].mean())
    assert np.isfinite(run.net_w2sq)
    for name in ("training", "motion"):
        hv.renderer("matplotlib").get_plot(RectifiedFlow.pictures[name](run))


@pytest.mark.slow
def test_training_reports_and_stops():
    """The loss of a stopped training is as long as the training was."""
    study, seen = RectifiedFlow(train_steps=5000, units=4), []

    def report(progress):
        seen.extend(["loss"] if "loss" in progress.trace else [])
        return len(seen) > 3

    run = study.run(report)
    assert run.attrs["reason"] == "stopped"
    assert run.sizes["train_step"] < 5000
    assert np.isfinite(run.curve_loss).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"k": 5}, "k = 5 is not allowed: it must be a whole number from 0 to 4"),
        ({"k": -1}, "k = -1 is not allowed"),
        ({"euler_steps": 0}, "euler_steps = 0 is not allowed: it must be a whole number from 1"),
        ({"bandwidth": 0.0}, "bandwidth = 0.0 is not allowed: it must be a number greater than 0"),
        ({"schedule": "ve"}, "schedule = 've' is not allowed: it must be one of linear, vp, sub-vp, constant-speed-vp"),
        ({"pairs": 1}, "pairs = 1 is not allowed"),
        ({"learns": "all"}, "learns = 'all' is not allowed: it must be one of flow, one step"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        RectifiedFlow(**values)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.slow
@pytest.mark.parametrize("name", [p.name for p in RectifiedFlow.pictures if p.along is not None])
def test_pictures_of_sweeps_are_drawn(name):
    picture = RectifiedFlow.pictures[name]
    study = RectifiedFlow()
    grid = {name: list(values)[:3] for name, values in picture.grid(study, study.load()).items()}
    result = study.along(keep=picture.keep, **grid)
    assert picture.applies(result) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(result))


@pytest.mark.slow
def test_frames_have_the_same_layers(runs):
    picture = RectifiedFlow.pictures.motion
    kinds = [[type(layer) for layer in picture(runs(), at=at)] for at in (0.0, 0.4, 1.0)]
    assert kinds[0] == kinds[1] == kinds[2]


@pytest.mark.slow
def test_a_picture_that_does_not_apply_says_why(runs):
    with pytest.raises(ValueError, match="no network was trained: set the training steps above 0"):
        RectifiedFlow.pictures.training(runs())
    line = RectifiedFlow(data="gaussians-1d", particles=20, pairs=20).run()
    with pytest.raises(ValueError, match="straight couplings on a line are optimal: choose data in the plane"):
        RectifiedFlow.pictures.optimal(line)
    with pytest.raises(ValueError, match="it shows a sweep over k"):
        RectifiedFlow.pictures.steps(runs())
    with pytest.raises(ValueError, match="with k = 1 there is nothing to show: choose 2"):
        RectifiedFlow.pictures.blur(runs().expand_dims(bandwidth=[0.1, 0.2]))
