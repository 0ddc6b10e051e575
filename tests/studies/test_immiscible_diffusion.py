"""The study of immiscible diffusion beyond the contract that every study keeps."""

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import xarray as xr

from lab.datasets import Data
from lab.datasets.samples import THREE_POINTS as POINTS
from lab.paths import immiscible
from lab.paths import immiscible_rules as rules
from lab.paths.chi_squared import kolmogorov
from lab.paths.couplings import Nearest
from lab.paths.immiscible_denoisers import Denoisers, misplaced_by_chance
from lab.paths.immiscible_rules import RULES
from lab.studies import draw
from lab.studies.paths.immiscible_diffusion import ImmiscibleDiffusion

SHEET_NAMES = "H eps_mse reduction norm_drift cluster_dist w"


class Runs(dict):
    """Runs of the default data by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = ImmiscibleDiffusion(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
def test_one_noise_is_the_usual_diffusion(runs):
    """The noise bit for bit; and so is a batch of one."""
    run = runs(k=1)
    for name in ("norm_drift", "reduction", "ks", "pair_noise"):
        np.testing.assert_array_equal(run[name][2], run[name][0], err_msg=name)
    for name in ("H", "eps_mse", "collision", "w"):
        np.testing.assert_allclose(run[name][2], run[name][0], atol=1e-12, err_msg=name)
    alone = rules.Batches(jax.random.key(0), jnp.asarray(POINTS), 5, 1, "norm")
    drawn = rules.pair(alone, jnp.zeros((5, 1), jnp.int32), jnp.int32(1))
    np.testing.assert_array_equal(drawn.noise[1], drawn.noise[0])


@pytest.mark.slow
def test_miscibility_falls_with_k_and_with_the_data(runs):
    """Within 3 standard errors; and nothing is left to tell at the end."""
    for name in ("H", "eps_mse"):
        for fewer, more in ((1, 2), (2, 4), (4, 8)):
            a, b = runs(k=fewer).sel(rule="nearest"), runs(k=more).sel(rule="nearest")
            error = np.hypot(a[f"{name}_error"], b[f"{name}_error"])
            assert (b[name] <= a[name] + 3 * error + 1e-9).all(), (name, more)
    H = runs().H
    assert (H.isel(t=-1) < 1e-6).all()
    assert abs(float(H.sel(rule="independent")[0]) - 1) < 1e-9
    assert (runs().collision.isel(t=-1) > 1 - 1e-6).all()


@pytest.mark.slow
def test_error_of_the_denoiser_is_what_it_says(runs):
    """The e-MSE again, from the posterior: half the mean variance of the noise under it."""
    run = runs()
    w, level = run.w.values, 0.1
    spread = (w @ (POINTS**2).sum(1) - ((w @ POINTS) ** 2).sum(-1)) * level / (1 - level) / 2
    assert abs(spread[0].mean() - float(run.eps_mse_here[0])) < 0.1


@pytest.mark.slow
def test_law_of_the_noise(runs):
    """Assignment keeps it to the last bit of a permutation; the nearest of 8 does not, also in 64 dimensions."""
    run = runs(k=8)
    independent, assignment, nearest = run.ks_p.values
    assert independent > 0.01
    np.testing.assert_allclose(assignment, independent, rtol=1e-9)
    np.testing.assert_allclose(run.norm_drift[1], run.norm_drift[0], atol=1e-9)
    assert nearest < 1e-6
    x = jnp.zeros((4000, 64)) + 0.8
    noise = jax.random.normal(jax.random.key(0), x.shape)
    near = Nearest(8)(jax.random.key(1), noise, x).x0
    for some, holds in ((noise, True), (near, False)):
        squared = (some**2).sum(1)
        statistic, p = kolmogorov(squared, 64)
        wanted = scipy.stats.kstest(np.asarray(squared), scipy.stats.chi2(64).cdf)
        np.testing.assert_allclose(statistic, wanted.statistic, rtol=1e-9)
        np.testing.assert_allclose(p, wanted.pvalue, rtol=0.05, atol=1e-12)
        assert (p > 0.01) == holds


@pytest.mark.slow
def test_scaling_is_another_noise_level(runs):
    """Under the independent rule, to rounding."""
    other = float(immiscible.scaled(0.1, 2.0))
    run, same = runs(scaling=2.0), runs(alpha_bar=other)
    np.testing.assert_allclose(run.H_independent, same.H_independent, atol=1e-12)
    np.testing.assert_allclose(run.w[0], same.w[0], atol=1e-12)


@pytest.mark.slow
def test_noise_comes_to_the_image_as_k_grows(runs):
    run = runs(k=512)
    apart = np.linalg.norm(run.pair_noise[2] - run.pair_image[2], axis=1)
    assert np.median(apart) < 0.15
    assert float(run.H_nearest) < 1e-6


@pytest.mark.slow
def test_samples_end_at_images(runs):
    """Of the independent rule in fair shares; of the nearest not."""
    run = runs(k=64)
    assert float(run.miss[0]) < 0.01
    floor = float(run.share_floor)
    assert float(run.share_error[0]) < 3 * floor
    assert float(run.share_error[2]) > 1.5 * floor
    np.testing.assert_allclose(
        misplaced_by_chance(3, 500), 1.5 * np.abs(_binomial(500, 3) - 500 / 3).mean() / 500, rtol=0.02
    )


def _binomial(count: int, n: int) -> np.ndarray:
    return np.random.default_rng(0).binomial(count, 1 / n, 200_000)


@pytest.mark.slow
def test_euler_moves_along_the_exact_field(runs):
    """One step goes to what the denoiser makes of pure noise."""
    run = runs(euler_steps=1)
    start, end = run.paths.values[0], run.paths.values[-1]
    np.testing.assert_allclose(end[0], np.broadcast_to(POINTS.mean(0), end[0].shape), atol=1e-6)
    known = Denoisers(jnp.asarray(POINTS), jnp.asarray(4.0), jnp.zeros((1, 3)), "norm")
    w = known.weights(jnp.asarray(start, float), 0.0, 1.0)
    np.testing.assert_allclose(end[2], w[2] @ POINTS, atol=1e-5)


@pytest.fixture(scope="module")
def digits() -> xr.Dataset:
    return ImmiscibleDiffusion(
        data="digit-samples", n=80, k=8, draws=20, euler_steps=2, batch=16, timed=True, training_steps=12
    ).run()


@pytest.mark.slow
def test_many_images_and_networks(digits):
    """More than 64 images have no denoiser under assignment, and say so by NaN; all else is there."""
    assert np.isnan(digits.H.sel(rule="assignment")).all()
    assert np.isfinite(digits.H.sel(rule=["independent", "nearest"])).all()
    assert "territory" not in digits
    assert digits.denoised.shape == (3, 8, 8, 8)
    assert digits.loss.shape == (12, 3)
    assert np.isfinite(digits.loss).all()
    assert np.isfinite(digits.sliced_w2sq).all()
    assert (digits.time_ms > 0).all()
    assert bool(digits.converged)
    np.testing.assert_allclose(digits.reduction.sel(rule="nearest"), digits.reduction_predicted, rtol=0.2)


@pytest.mark.slow
def test_pictures_of_images_and_networks(digits):
    for name in ("denoised", "training", "learnt", "trajectories", "posterior", "sampling"):
        with draw.theme("dark"):
            hv.renderer("bokeh").get_plot(ImmiscibleDiffusion.pictures[name](digits))
    with pytest.raises(ValueError, match="at most 64 images"):
        ImmiscibleDiffusion.pictures.territories(digits)


@pytest.mark.slow
def test_sweep_pictures(runs):
    study = ImmiscibleDiffusion()
    table = xr.concat([runs(k=k) for k in (1, 2, 4, 8)], "k", coords="different", compat="equals", join="outer")
    table = table.assign_coords(k=[1, 2, 4, 8])
    for name in ("curves", "bargain"):
        hv.renderer("bokeh").get_plot(study.pictures[name](table))
    for name in ("times", "features", "batches", "scales", "sizes"):
        with pytest.raises(ValueError, match="can't be drawn"):
            study.pictures[name](table)
    digits = study.but(data="digit-samples")
    for name, of, grid in (
        ("sizes", digits, {"n": [4, 16, 64, 256]}),
        ("curves", study, {"k": [1, 2, 4, 8, 16, 32, 64]}),
    ):
        assert study.pictures[name].grid(of, of.load()) == grid


def test_refusals():
    def data(x):
        return Data("mine", "Mine", "samples", {"x": np.asarray(x, float)}, "a test", "none")

    for made, sentence in (
        ({"data": data([[1.0, 2.0]])}, "mine has n = 1 samples, but at least 2 are taken here: choose "),
        ({"data": data([[1.0, 2.0]] * 3)}, "mine has one point, 3 times"),
        ({"data": data([[1.0, np.nan], [0, 0]])}, "every entry must be finite"),
        ({"k": 0}, "k = 0 is not allowed: it must be a whole number from 1 to 4096"),
        ({"k": 2.5}, "k = 2.5 is not allowed"),
        ({"scaling": 0.0}, "scaling = 0.0 is not allowed: it must be a number greater than 0"),
        ({"alpha_bar": 1.0}, "alpha_bar = 1.0 is not allowed"),
        (
            {"data": "digit-samples", "batch": 4096, "draws": 1000},
            "it must be a whole number from 2 to 190, which fit into the memory at batch = 4096 and d = 64",
        ),
    ):
        with pytest.raises((ValueError, TypeError), match=sentence):
            ImmiscibleDiffusion(**made).run()


@pytest.mark.slow
def test_a_line_and_a_stop():
    line = Data("line", "Line", "samples", {"x": np.array([[-1.0], [1.0]])}, "a test", "none")
    run = ImmiscibleDiffusion(data=line, draws=20, batch=4).run()
    assert bool(run.converged)
    for picture in ImmiscibleDiffusion.pictures:
        if picture.along is None and not picture.applies(run):
            hv.renderer("bokeh").get_plot(picture(run))
    stopped = ImmiscibleDiffusion(data=line, draws=20, batch=4).run(lambda progress: True)
    assert stopped.attrs["reason"] == "stopped"
    assert np.isnan(stopped.saved_assignment)  # of batches that were not assigned nothing is claimed
    assert tuple(stopped.rule.values) == RULES
