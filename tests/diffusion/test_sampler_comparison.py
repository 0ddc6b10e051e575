"""The comparison of samplers: padded grids are the grids, errors are those one by one, and what is shown is what is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion_demo import LINE, PLANE

from lab import diffusion
from lab.diffusion import flow_maps, grids
from lab.diffusion.predictions import Exact
from lab.diffusion.samplers import DPMSolver2M
from lab.studies.diffusion import sampler_comparison

VP = diffusion.noise("vp")
STARTS = jnp.asarray(np.random.default_rng(3).normal(size=(16, 2)))
EXACT = Exact(PLANE)
TABLE = {  # of the sheet: RMS errors at the end, 10, 20, 40 and 80 steps even in log-SNR
    "euler": (0.199, 0.0944, 0.0450, 0.0219),
    "heun": (0.0376, 0.0116, 0.00346, 0.000931),
    "edm-heun": (0.182, 0.0368, 0.00821, 0.00195),
    "ddim": (0.287, 0.141, 0.0691, 0.0342),
    "dpm-2": (0.0987, 0.0171, 0.00394, 0.000947),
    "dpm++2m": (0.0957, 0.0213, 0.00490, 0.00121),
}


@pytest.mark.parametrize("spacing", ["time", "log-snr", "karras", "quadratic"])
def test_a_padded_grid_is_the_grid_and_then_stays(spacing):
    times = np.asarray(grids.padded(VP, jnp.asarray(7), 12, spacing))
    np.testing.assert_allclose(times[:8], diffusion.grid(VP, 7, spacing), rtol=1e-12)
    assert (times[7:] == float(VP.first)).all()


@pytest.fixture(scope="module")
def truth():
    return flow_maps.solved(EXACT, VP, STARTS, VP.last, VP.first)


@pytest.fixture(scope="module")
def errors(truth):
    return sampler_comparison.errors(EXACT, VP, STARTS, truth, "log-snr", 7.0)


@pytest.mark.slow
def test_errors_are_those_of_the_table_and_fall_with_the_order(errors):
    assert sampler_comparison.COUNTS[1:5] == (10, 20, 40, 80)
    np.testing.assert_allclose(errors.error[:, 1:5], [TABLE[name] for name in sampler_comparison.COMPARED], rtol=0.03)
    np.testing.assert_allclose(errors.order, [1, 2, 2, 1, 2, 2], atol=0.25)


def apart(ends, truth):
    return np.sqrt(((np.asarray(ends) - np.asarray(truth)) ** 2).sum(-1).mean(-1))


@pytest.mark.slow
def test_errors_all_at_once_are_those_one_by_one(errors, truth):
    times = diffusion.grid(VP, sampler_comparison.COUNTS[1])
    for i, name in enumerate(sampler_comparison.COMPARED):
        # the last step of dpm++2m is of second order there, though the sheet has the other as the default
        sampler = DPMSolver2M(steady=False) if name == "dpm++2m" else name
        run = diffusion.sample(EXACT, VP, times, STARTS, sampler)
        assert float(errors.error[i, 1]) == pytest.approx(apart(run.end, truth), rel=1e-6)
        assert int(errors.calls[i, 1]) == int(run.evaluations)
    times = sampler_comparison.knots(EXACT, VP, STARTS, 10, 7.0)
    own = sampler_comparison.errors_of_grids(EXACT, VP, times, STARTS, truth, diffusion.SAMPLERS["dpm-2"])
    ends = [diffusion.sample(EXACT, VP, grid, STARTS, "dpm-2").end for grid in times]
    np.testing.assert_allclose(own, [apart(end, truth) for end in ends], rtol=1e-6)


@pytest.mark.slow
def test_errors_are_of_the_grids_that_were_asked_for(monkeypatch):
    """Written out without compiling: in place of where points end, they are told on which grid, and for how many steps."""
    monkeypatch.setattr(
        sampler_comparison.walk, "between", lambda p, along, steps, x, *_: x + (along[0].t.sum() + steps)
    )
    found = sampler_comparison.errors.__wrapped__(EXACT, VP, STARTS, STARTS, "karras", 5.0)
    wanted = [
        np.asarray(diffusion.grid(VP, count, "karras", rho=5.0)).sum() + (160 - count) * float(VP.first) + count
        for count in sampler_comparison.COUNTS
    ]
    np.testing.assert_allclose(found.error, np.tile(np.sqrt(2) * np.array(wanted), (6, 1)), rtol=1e-10)


@pytest.mark.parametrize("name", ["vp", "edm"])
def test_densities_have_mass_one_on_the_scale_of_the_data(name):
    noise = diffusion.noise(name)
    variance = float(LINE.moments().covariance[0, 0])
    places = np.linspace(-15, 15, 4001)
    log_snr = jnp.linspace(noise(noise.last).log_snr, noise(noise.first).log_snr, 5)
    density = np.asarray(
        sampler_comparison.densities(Exact(LINE), noise, log_snr, jnp.asarray(places[:, None]), variance)
    )
    step = places[1] - places[0]
    np.testing.assert_allclose(density.sum(1) * step, 1, rtol=1e-5)
    second = (density * places**2).sum(1) * step - ((density * places).sum(1) * step) ** 2
    np.testing.assert_allclose(second, variance, rtol=1e-3)


def test_a_tilted_law_is_narrower_than_the_class_and_the_share_of_a_class_is_its_probability():
    whole = Exact(LINE)
    one = Exact(diffusion.of_class(LINE, [1]))
    level = VP(VP.first)
    places = jnp.linspace(-10, 10, 2001)[:, None]
    plain = sampler_comparison.tilted(one, whole, 0.0, level, places)
    spread = float(jnp.sqrt(level.a**2 * 0.64 + level.s**2))
    assert float(plain.spread) == pytest.approx(spread, rel=1e-6)
    assert float(sampler_comparison.tilted(one, whole, 3.0, level, places).spread) < 0.95 * spread
    x = LINE.sample(jax.random.key(0), 4000)
    share = float(sampler_comparison.share_of(one, whole, 0.5, level, level.a * x))
    assert share == pytest.approx(0.5, abs=0.03)


def test_the_table_of_schedules():
    clock = jnp.linspace(0.0, 1.0, 5)
    found = sampler_comparison.table(clock)
    linear = sampler_comparison.SCHEDULES.index("linear")
    noise = diffusion.noise("linear")
    t = float(noise.last) + np.asarray(clock) * (float(noise.first) - float(noise.last))
    np.testing.assert_allclose(found.a[linear], 1 - t, rtol=1e-9)
    np.testing.assert_allclose(found.log_snr[linear], np.log((1 - t) / t), rtol=1e-9)
    np.testing.assert_allclose(found.weight[linear, 3], 1 / t**2, rtol=1e-9)  # of the velocity: den = 1
