"""The study of stochastic interpolants beyond the contract that every study keeps."""

from functools import partial

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from lab import datasets, paths, studies
from lab.datasets import Data
from lab.datasets.gaussians import gaussian_pair
from lab.paths import interpolant_costs, interpolants, metrics, misfits
from lab.paths.laws import source_of, target_of
from lab.paths.misfit_divergence import divergence_by_rollouts
from lab.paths.sampling import graded
from lab.studies.paths.stochastic_interpolants import StochasticInterpolants
from lab.studies.paths.stochastic_interpolants.pictures import vertex

SHEET_NAMES = "samples kl w2sq logrho drift_energy paths"


class Runs(dict):
    def __call__(self, **values) -> xr.Dataset:
        key = repr(sorted(values.items()))
        if key not in self:
            self[key] = StochasticInterpolants(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def test_points_that_a_one_sided_path_leaves_out_do_not_hide_its_divergence():
    """It begins at N(0, I), whatever the data say of a source."""
    given = StochasticInterpolants(data="three-gaussians").load()
    kept = {name: v for name, v in given.arrays.items() if not name.startswith("source_")}
    inputs = StochasticInterpolants.prepare(Data("mine", "Mine", given.kind, kept | {"x0": kept["x"]}, "me", "mine"))
    for schedule, found in (("one-sided-linear", True), ("mirror", True), ("linear", False)):
        path = interpolants.interpolant(schedule, "brownian", 2.0, source_of(inputs), target_of(inputs))
        assert interpolant_costs.is_sampled(path, learned=False) is found


@pytest.mark.slow
def test_divergence_of_mixtures_agrees_with_likelihood_and_rollouts(runs):
    run = runs(a=1.0, misfit_b=0.2, misfit_s=0.3, epsilon=0.5)
    given = StochasticInterpolants().load().arrays
    path = interpolants.interpolant("linear", "brownian", 1.0, source_of(given), target_of(given))
    used = misfits.FieldInUse(path.field, misfits.Misfit(0.2, 0.3))
    x = jnp.linspace(-9.5, 9.5, 4000)[:, None]
    density = jnp.exp(path.target.log_prob(x))
    found = jnp.exp(paths.log_density(used, x, path.source, steps=200).log_density)
    lost = density * jnp.log(density / found) + found - density
    assert float(run.kl_ode) == pytest.approx(float(lost.sum() / density.sum()), rel=2e-2)
    assert abs(float(run.kl_ode) - float(lost.sum() / density.sum())) < 3 * float(run.kl_ode_error)
    times = jnp.asarray(graded(60))
    level, key = jnp.full(times.shape, 0.5), jax.random.key(3)
    value, error = metrics.mean(
        jax.jit(partial(divergence_by_rollouts, n=1000, rollouts=16))(path, used, times, level, key)
    )
    assert abs(float(run.kl) - float(value)) < 4 * float(error)
    assert float(run.kl) <= float(run.kl_girsanov) <= float(run.kl_bound) + 1e-12


def test_vertex_of_a_parabola_in_the_logarithm():
    a = np.geomspace(0.1, 10, 7)
    at, least = vertex(list(a), 2 + 3 * np.log(a / 1.7) ** 2)
    assert at == pytest.approx(1.7)
    assert least == pytest.approx(2)
    assert vertex(list(a), a)[0] == pytest.approx(0.1)  # at an end there is no parabola


def test_misfits_may_have_either_sign():
    assert "misfit_b" in StochasticInterpolants(misfit_b=-0.5, slope_s=-0.2).values()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(a=1.0, misfit_b=0.2, misfit_s=0.3, epsilon=0.5), name


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_samplers_have_the_moments_and_weights_of_the_data(runs, epsilon):
    """Of three modes that no setting was chosen on; 4 standard errors. Of two runs of the default size, for its programs."""
    n, weights = 1000, np.array([0.2, 0.5, 0.3])
    arrays = gaussian_pair((1.0, 0.5), (0.0, 1.0)) | {
        "weights": weights,
        "centres": np.array([[-5.0], [0.5], [4.0]]),
        "variances": np.array([0.4, 0.3, 0.6]),
    }
    mine = Data("mine", "Mine", "samples", arrays, "a test", "none")
    pair = [runs(data=mine, epsilon=epsilon, seed=seed).samples.values[..., 0] for seed in (5, 6)]
    mean = weights @ arrays["centres"][:, 0]
    variance = weights @ (arrays["variances"] + arrays["centres"][:, 0] ** 2) - mean**2
    for x in np.concatenate(pair, axis=1):
        assert len(x) == n
        assert abs(x.mean() - mean) < 4 * np.sqrt(variance / n)
        fourth = ((x - x.mean()) ** 4).mean()
        assert abs(x.var() - variance) < 4 * np.sqrt((fourth - variance**2) / n)
        shares = np.histogram(x, [-20, -2.5, 2.25, 20])[0] / n
        assert (np.abs(shares - weights) < 4 * np.sqrt(weights * (1 - weights) / n)).all()


@pytest.mark.slow
def test_without_noise_both_samplers_and_all_trajectories_of_one_start_are_one(runs):
    run = runs(a=1.0, epsilon=0.0)
    ode, sde = run.samples.values
    np.testing.assert_allclose(sde, ode, atol=0.1)  # of orders 2 and 4, and some pass between two modes
    assert np.ptp(run.bundle.values, axis=1).max() < 1e-12
    assert abs(float(run.kl)) < 1e-20
    assert np.ptp(runs(a=1.0, epsilon=2.0).bundle.values[-1]) > 3


@pytest.mark.slow
def test_points_to_points_through_latent_noise_and_images():
    """Sixteen pixels: no density, but images, and noise that fades."""
    rng = np.random.default_rng(2)
    arrays = {"x": rng.normal(size=(12, 16)), "x0": rng.normal(size=(9, 16))}
    mine = Data("mine", "Mine", "samples", arrays, "a test", "none", axes={"image": (4, 4)})
    study = StochasticInterpolants(data=mine, particles=30, steps=60)
    run = study.run()
    apart = np.sqrt(((run.samples.values[:, :, None] - arrays["x"]) ** 2).sum(-1)).min(-1)
    assert apart.max() < 0.1  # the noise that is left at t = 1 - 1e-4 has length 0.057
    assert {"kl", "logrho", "density", "log_likelihood", "drift_energy"}.isdisjoint(run)
    for name in ("images", "motion", "samples"):
        hv.renderer("matplotlib").get_plot(StochasticInterpolants.pictures[name](run))
    with pytest.raises(ValueError, match="without latent noise points to points have no velocity; choose brownian"):
        study.but(latent="none").run()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epsilon": -0.1}, "epsilon = -0.1 is not allowed: it must be a number of at least 0"),
        ({"a": 0.0}, "a = 0.0 is not allowed: it must be a number greater than 0"),
        ({"schedule": "cubic"}, "schedule = 'cubic' is not allowed: it must be one of linear, trigonometric"),
        ({"steps": 0}, "steps = 0 is not allowed: it must be a whole number from 1"),
        ({"schedule": "trigonometric", "a": 4.1}, "a = 4.1 is not allowed: .* gamma must not exceed 1"),
        (
            {"schedule": "trigonometric", "latent": "sine-squared", "a": 1.5},
            "a = 1.5 is not allowed: .* from 0 to 1, as",
        ),
        ({"schedule": "encoder-decoder", "latent": "none"}, "latent = 'none' .* all meet in one point at t = 1/2"),
        (
            {"schedule": "mirror", "latent": "none"},
            "latent = 'none' is not allowed: without latent noise nothing moves",
        ),
        ({"latent": "none", "training": 10}, "latent = 'none' is not allowed: .* no network can learn the score"),
        ({"coupling": "rectified", "schedule": "mirror"}, "coupling = 'rectified' .* its ends are one already; "),
        ({"coupling": "rectified", "schedule": "sbdm"}, "coupling = 'rectified' .* source is the latent noise itself"),
        (
            {"coupling": "rectified", "latent": "none"},
            "latent = 'none' is not allowed: .* pairs of a flow have no velocity, unless both ends are single Gaussians",
        ),
        ({"latent": "bridge", "schedule": "trigonometric"}, "latent = 'bridge' is not allowed: .* among linear paths"),
        ({"latent": "bridge", "coupling": "rectified"}, "latent = 'bridge' is not allowed: .* of independent ends; "),
        ({"latent": "bridge", "data": "checkerboard"}, "latent = 'bridge' .* it needs ends that are mixtures"),
        (
            {"latent": "bridge", "epsilon": 0.0},
            "epsilon = 0.0 is not allowed: .* a number of at least 0.001, as the bridge .* needs noise",
        ),
        ({"particles": 10**9}, "particles = 1000000000 is not allowed: .* fit into memory"),
    ],
)
def test_bad_input_gets_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError), match=f"^{sentence}"):
        StochasticInterpolants(**values).run()


@pytest.mark.slow
def test_pictures_of_one_run_and_of_sweeps_are_drawn(runs):
    """Sweeps are small here; the grids themselves are looked at. What a run without more has is drawn by the contract."""
    pictures = StochasticInterpolants.pictures
    study, one = StochasticInterpolants(a=1.0), runs(a=1.0, epsilon=2.0)
    sizes = study.along(epsilon=[0.5], a=[1.0, 4.0, 8.0])
    own = {
        "gammas": sizes.isel(epsilon=0, drop=True),
        "kl": study.along(epsilon=[0.0, 0.5, 1.0], misfit_b=[0.2], misfit_s=[0.3]),
        "drift": sizes,
        "accuracy": study.along(steps=[4, 120]),
        "map": one.assign(map_before=one.paths[-1, 0].drop_vars(["t", "sampler"])),
        "latents": study.along(latent=["bridge"], keep=list(pictures.latents.keep)),
    }
    assert own["latents"].drift_energy.item() < 16.76  # the best a has 16.88
    for picture in pictures:
        result = own.get(picture.name, one)
        if picture.name in ("images", "training"):
            assert picture.applies(result)
            continue
        assert picture.applies(result) == "", picture.name
        if picture.along is not None:
            assert set(picture.keep) <= {declared.name for declared in study.results}
            swept = picture.grid(study, study.load())
            assert set(swept) <= set(study.parameters())
            assert all(len(values) for values in swept.values())
        for backend in ("bokeh", "matplotlib") if picture.name in own else ():
            hv.renderer(backend).get_plot(picture(result))
    with pytest.raises(ValueError, match="nothing was trained: set training steps above 0"):
        pictures.training(runs(a=1.0, epsilon=2.0))
    with pytest.raises(ValueError, match="it shows a sweep over epsilon"):
        pictures.kl(runs(a=1.0, epsilon=2.0))


@pytest.mark.slow
def test_frames_move_particles_and_nothing_else(runs):
    result = runs(a=1.0, epsilon=2.0)
    first, last = (StochasticInterpolants.pictures.motion(result, at) for at in (0.0, 1.0))
    assert [type(layer) for layer in first] == [type(layer) for layer in last]
    assert [len(layer) for layer in first.traverse(lambda e: e, [hv.Segments])] == [
        len(layer) for layer in last.traverse(lambda e: e, [hv.Segments])
    ]
    dots = last.traverse(lambda e: e, [hv.Points])[0]
    np.testing.assert_allclose(np.sort(dots.dimension_values(1)), np.sort(result.samples.values[0, :, 0]), rtol=1e-5)


@pytest.mark.slow
def test_training_learns_the_fields_and_stops_when_asked(monkeypatch):
    monkeypatch.setattr(interpolant_costs, "FINE", 60)  # networks are slow
    study = StochasticInterpolants(data="two-gaussians", a=1.0, training=300)
    run = study.run(lambda progress: False)  # by the programs that stop, too
    assert run.sizes["step"] == 300
    for name in ("b", "eta"):
        start, end, least = (
            float(run[f"loss_{name}"][:20].mean()),
            float(run[f"loss_{name}"][-60:].mean()),
            float(run[f"floor_{name}"]),
        )
        assert least < start
        assert end < start
        assert end > 0.8 * least  # none beats the exact field, but for the noise of a batch
    assert 0 < float(run.excess_b) < 1
    assert 0 < float(run.kl) <= float(run.kl_bound)
    StochasticInterpolants.pictures.training(run)
    stopped = study.run(lambda progress: True)
    assert stopped.attrs["reason"] == "stopped"
    assert np.isfinite(stopped.samples).all()


@pytest.mark.slow
def test_two_gaussians_on_a_line_however_they_are_given_and_pairs_on_a_line_are_drawn():
    studies.find("rectified-flow")  # whose set it is
    run = StochasticInterpolants(data="gaussians-1d", epsilon=0.3, particles=40, steps=8).run()
    arrays = datasets.load("gaussians-1d").arrays
    first, second = (arrays[f"{name}variances"][0, 0, 0] for name in ("source_", ""))
    assert float(run.bridge_a) == pytest.approx(2 * np.sqrt(first * second + 0.3**2))
    StochasticInterpolants.pictures.samples(run)
    bare = run.drop_vars("log_likelihood")  # as of ends that are pairs
    shares = StochasticInterpolants.pictures.samples(bare)
    curves = [layer for layer in shares if isinstance(layer, hv.Curve)]
    assert len(curves) == 3
    for cloud, curve in zip([*run.samples.values[..., 0], run.target.values[:, 0]], curves, strict=True):
        np.testing.assert_array_equal(curve.dimension_values(0), np.sort(cloud))
