"""Samplers: equalities between them, laws at the end, and what goes wrong. (Their errors: ``test_sampler_comparison``.)

Grids have eight steps where nothing hangs on it, so that a sampler is one program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion_demo import LINE, NAMES, PLANE

from lab import diffusion, paths
from lab.diffusion.predictions import Exact
from lab.diffusion.samplers import DDIM, SDE, EDMHeun, Langevin
from lab.numerics import Chunked, NotConverged, Reason
from lab.numerics.mixtures import Mixture, gaussian

VP = diffusion.noise("vp")
STARTS = jnp.asarray(np.random.default_rng(3).normal(size=(16, 2)))
EXACT = Exact(PLANE)


@pytest.mark.slow
def test_on_the_same_log_snr_all_schedules_end_in_the_same_points():
    # between noise levels that every schedule reaches
    noises = [diffusion.noise(name) for name in NAMES]
    low = max(float(noise(noise.last).log_snr) for noise in noises)
    high = min(float(noise(noise.first).log_snr) for noise in noises)
    wanted = jnp.linspace(low + 0.1, high - 0.1, 9)
    for sampler in ("edm-heun", "ddim", "dpm-2", "dpm++1s", "dpm++2m"):
        ends = []
        for noise in noises:
            times = noise.time(wanted)
            level = noise(times)
            end = diffusion.sample(EXACT, noise, times, STARTS * level.s[0], sampler).end
            ends.append(np.asarray(end / level.a[-1]))
        # the starts are the same y = x / a only up to digits of s / a
        for name, end in zip(NAMES, ends, strict=True):
            np.testing.assert_allclose(end, ends[0], rtol=1e-7, atol=1e-8, err_msg=f"{sampler} {name}")


@pytest.mark.slow
def test_ddim_is_dpm_solver_of_order_one_and_on_straight_lines_euler():
    times = diffusion.grid(VP, 8)
    ddim = diffusion.sample(EXACT, VP, times, STARTS, "ddim").x
    np.testing.assert_allclose(diffusion.sample(EXACT, VP, times, STARTS, "dpm++1s").x, ddim, atol=1e-12)
    level, x, mean = VP(times), np.asarray(STARTS), jax.jit(lambda x, a, s: EXACT(x, a, s))
    for i in range(8):  # DPM-Solver-1 as its paper has it
        (a, a_r), (s, s_r) = (np.asarray(each)[i : i + 2] for each in (level.a, level.s))
        h = np.log(a_r / s_r) - np.log(a / s)
        eps = (x - a * np.asarray(mean(x, a, s))) / s
        x = a_r / a * x - s_r * np.expm1(h) * eps
    np.testing.assert_allclose(x, ddim[-1], atol=1e-11)
    linear = diffusion.noise("linear")
    times = diffusion.grid(linear, 8, "time")
    straight = (diffusion.sample(EXACT, linear, times, STARTS, name).end for name in ("ddim", "euler"))
    np.testing.assert_allclose(*straight, atol=1e-12)


def test_a_step_of_ancestral_sampling_has_the_posterior_of_ddpm():
    t, r = 0.6, 0.5
    now, later = VP(t), VP(r)
    x = jnp.tile(jnp.array([[0.7, -0.2]]), (200_000, 1))
    data = np.asarray(EXACT(x[:1], now.a, now.s))[0]
    end = np.asarray(diffusion.sample(EXACT, VP, jnp.array([t, r]), x, "ancestral", keep=False).end)
    between = now.s**2 - (now.a / later.a * later.s) ** 2
    mean = (
        now.a * later.s**2 / (later.a * now.s**2) * x[0]
        + later.a * (1 - (now.a / later.a * later.s / now.s) ** 2) * data
    )
    variance = float(later.s**2 * between / now.s**2)
    np.testing.assert_allclose(end.mean(0), mean, atol=5 * np.sqrt(variance / len(end)))
    np.testing.assert_allclose(end.var(0), variance, rtol=5 * np.sqrt(2 / len(end)))
    np.testing.assert_allclose(np.cov(end.T)[0, 1], 0, atol=5 * variance / np.sqrt(len(end)))


N = 4_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sampler", "steps", "spacing"),
    [
        ("vp", "heun", 100, "time"),
        ("vp", "dpm++2m", 60, "log-snr"),
        ("edm", EDMHeun(churn=20.0, churn_from=0.05, churn_to=50.0, inflation=1.0), 60, "karras"),
        ("vp", "ancestral", 200, "log-snr"),
        ("vp", SDE(1.0), 400, "quadratic"),
        ("vp", SDE(0.5), 400, "quadratic"),
        ("vp", "corrected", 200, "quadratic"),
        ("ve", DDIM(0.7), 300, "log-snr"),
        ("ve", Langevin(0.05, 10), 60, "log-snr"),
    ],
    ids=str,
)
def test_the_law_at_the_end_is_that_of_the_data(name, sampler, steps, spacing):
    noise = diffusion.noise(name)
    x = diffusion.start(noise, jax.random.key(1), N, 1)
    times = diffusion.grid(noise, steps, spacing)
    end = np.asarray(diffusion.sample(Exact(LINE), noise, times, x, sampler, key=jax.random.key(2), keep=False).end)[
        :, 0
    ]
    draws = np.asarray(LINE.sample(jax.random.key(3), N))[:, 0]
    moments = LINE.moments()
    mean, deviation = float(moments.mean[0]), float(jnp.sqrt(moments.covariance[0, 0]))
    bias = 0.03 if name == "vp" else 0.06  # of the steps, and of a start that is not quite N(0, s^2)
    assert abs(end.mean() - mean) < 4 * deviation / np.sqrt(N) + bias
    assert abs(end.std() / deviation - 1) < 0.05
    apart = np.abs(np.sort(end) - np.sort(draws)).mean()  # W1; of two independent samples some 0.03
    assert apart < 0.1


@pytest.mark.slow
def test_ode_and_sde_have_the_variance_of_a_gaussian():
    law, noise = gaussian([0.5], [[0.49]]), VP
    x = diffusion.start(noise, jax.random.key(4), N, 1)
    for sampler in ("heun", "sde"):
        end = diffusion.sample(Exact(law), noise, diffusion.grid(noise, 300, "quadratic"), x, sampler, keep=False).end
        assert abs(float(end.var()) / 0.49 - 1) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m", "edm-heun", "heun", "dpm-2"])
def test_samplers_turn_and_shift_with_the_law(sampler):
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = Mixture(PLANE.weights, PLANE.means @ turn.T, np.einsum("ab,kbc,dc->kad", turn, PLANE.covariances, turn))
    times = diffusion.grid(VP, 8)
    one = diffusion.sample(EXACT, VP, times, STARTS, sampler).end
    two = diffusion.sample(Exact(turned), VP, times, STARTS @ turn.T, sampler).end
    np.testing.assert_allclose(two, one @ turn.T, atol=1e-10)
    shift = jnp.array([0.4, -1.1])
    edm = diffusion.noise("edm")
    times = diffusion.grid(edm, 8, "karras")
    moved = Mixture(PLANE.weights, PLANE.means + shift[None, :], PLANE.covariances)
    one = diffusion.sample(EXACT, edm, times, 80 * STARTS, sampler).end
    two = diffusion.sample(Exact(moved), edm, times, 80 * STARTS + shift[None, :], sampler).end
    np.testing.assert_allclose(two, one + shift[None, :], atol=1e-9)


@pytest.mark.slow
def test_a_grid_may_end_without_noise():
    edm = diffusion.noise("edm")
    times = jnp.concatenate([diffusion.grid(edm, 7, "karras"), jnp.zeros(1)])
    for sampler in ("edm-heun", "ddim", "dpm-2", "dpm++1s", "dpm++2m", "ancestral"):
        found = diffusion.sample(EXACT, edm, times, 80 * STARTS, sampler)
        assert np.isfinite(np.asarray(found.end)).all()
        # the last step is to the denoised point
        np.testing.assert_allclose(found.end, EXACT(found.x[-2], jnp.ones(()), times[-2]), atol=1e-9)


def test_points_of_the_data_are_the_law_of_narrow_components():
    data = np.random.default_rng(5).normal(size=(40, 3))
    narrow = Exact(Mixture(np.full(40, 1 / 40), data, np.full(40, 1e-10)))
    x = jnp.asarray(np.random.default_rng(6).normal(size=(7, 3)))
    for t in (0.1, 0.5, 0.9):
        level = VP(t)
        points = Exact(paths.Empirical(data))
        np.testing.assert_allclose(points(x, level.a, level.s), narrow(x, level.a, level.s), atol=1e-6)
        some = diffusion.of_class(points.law, [3, 7])
        np.testing.assert_allclose(Exact(some)(x, level.a, level.s).min(0) >= data[[3, 7]].min(0) - 1e-12, True)


def test_a_run_that_is_lost_says_after_which_step():
    def breaks(x, a, s):
        return jnp.where(s < 0.5, jnp.nan, 0.5 * x)

    times = diffusion.grid(VP, 10)
    first = int(np.argmax(np.asarray(VP(times).s) < 0.5)) + 1
    with pytest.warns(NotConverged, match=f"by DDIM is not finite after step {first}"):
        found = diffusion.sample(breaks, VP, times, STARTS, "ddim")
    assert int(found.lost) == first
    assert int(found.reason) == Reason.NOT_FINITE
    assert np.isfinite(np.asarray(found.x[:first])).all()
    assert np.isnan(np.asarray(found.end)).all()


@pytest.mark.slow
def test_it_stops_when_asked_and_is_the_same_in_chunks():
    times = diffusion.grid(VP, 30)
    whole = diffusion.sample(EXACT, VP, times, STARTS, "ancestral")
    chunks = diffusion.sample(EXACT, VP, times, STARTS, "ancestral", loop=Chunked())
    np.testing.assert_array_equal(whole.x, chunks.x)
    stopped = diffusion.sample(EXACT, VP, times, STARTS, "ancestral", loop=Chunked(report=lambda progress: True))
    assert int(stopped.reason) == Reason.STOPPED
    done = int(stopped.evaluations)
    np.testing.assert_array_equal(stopped.end, stopped.x[done])
    assert done < 30
    assert np.isnan(np.asarray(stopped.x[done + 1 :])).all()
    last = diffusion.sample(EXACT, VP, times, STARTS, "ddim", keep=False, loop=Chunked(report=lambda progress: True))
    assert float(last.t[0]) == pytest.approx(float(times[int(last.evaluations)]))


@pytest.mark.slow
def test_evaluations_are_counted():
    def of(sampler):
        return int(diffusion.sample(EXACT, VP, diffusion.grid(VP, 8), STARTS, sampler).evaluations)

    assert [of(name) for name in ("euler", "heun", "dpm++2m", "corrected", Langevin(0.1, 3))] == [8, 16, 8, 16, 24]


def test_bad_times_get_a_sentence():
    with pytest.raises(ValueError, match="the times must fall, from noise to data"):
        diffusion.sample(EXACT, VP, jnp.array([0.1, 0.5]), STARTS)
    with pytest.raises(ValueError, match="but those of the schedule between 0 and 1"):
        diffusion.sample(EXACT, VP, jnp.array([1.5, 0.5]), STARTS)
    with pytest.raises(ValueError, match="a row of at least two is needed"):
        diffusion.sample(EXACT, VP, jnp.array([1.0]), STARTS)
    times = diffusion.grid(VP, 3)
    for wrong, got in (
        (lambda x, a, s: x[:1], r"shape \(1, 2\) for points \(16, 2\)"),
        (lambda x, a, s: (x, x), "a tuple for points"),
        (lambda x: x, "can't be asked at points"),
    ):
        with pytest.raises(ValueError, match=got):
            diffusion.sample(wrong, VP, times, STARTS)
    with pytest.raises(ValueError, match=r"x has shape \(2,\): shape \(n, d\) is needed"):
        diffusion.sample(lambda x, a, s: x, VP, times, jnp.ones(2))
    with pytest.raises(ValueError, match=r"x\[0, 0\] = nan is not allowed"):
        diffusion.sample(EXACT, VP, times, STARTS.at[0, 0].set(jnp.nan))
    with pytest.raises(TypeError, match="'vp' is no schedule"):
        diffusion.sample(EXACT, "vp", times, STARTS)
    with pytest.raises(TypeError, match="is no sampler"):
        diffusion.sample(EXACT, VP, times, STARTS, DDIM)
    with pytest.raises(ValueError, match="sampler = 'dpm3', but it must be one of 'euler'"):
        diffusion.sample(EXACT, VP, diffusion.grid(VP, 3), STARTS, "dpm3")


@pytest.mark.slow
def test_a_sampler_of_ones_own_and_float32():
    class Twice:
        evaluations = 1

        def begin(self, x):
            return None

        def __call__(self, predict, step, x, memory):
            return diffusion.SAMPLERS["ddim"](predict, step, x, memory)

    times = diffusion.grid(VP, 8)
    own = diffusion.sample(EXACT, VP, times, STARTS, Twice()).end
    np.testing.assert_allclose(own, diffusion.sample(EXACT, VP, times, STARTS, "ddim").end, atol=1e-14)
    single = Exact(Mixture(*(np.asarray(each, np.float32) for each in (PLANE.weights, PLANE.means, PLANE.covariances))))
    end = diffusion.sample(single, VP, times, STARTS.astype(jnp.float32), "dpm++2m").end
    assert end.dtype == jnp.float32
    np.testing.assert_allclose(end, diffusion.sample(EXACT, VP, times, STARTS, "dpm++2m").end, atol=2e-4)
