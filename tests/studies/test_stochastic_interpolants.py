"""The study of stochastic interpolants beyond the contract that every study keeps."""

from functools import partial

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import integrate, optimize, stats

from lab import datasets, paths, studies
from lab.datasets import Data
from lab.datasets.gaussians import gaussian_pair
from lab.paths import couplings, interpolant_costs, interpolants, metrics, misfits
from lab.paths.laws import source_of, target_of
from lab.paths.misfit_divergence import divergence_by_rollouts, divergence_on_line
from lab.paths.sampling import graded
from lab.studies.paths.stochastic_interpolants import StochasticInterpolants
from lab.studies.paths.stochastic_interpolants.pictures import vertex

SHEET_NAMES = "samples kl w2sq logrho drift_energy paths"
KEY = jax.random.key(0)
NODES, WEIGHTS = jnp.asarray(misfits.NODES), misfits.WEIGHTS


class Runs(dict):
    def __call__(self, **values) -> xr.Dataset:
        key = repr(sorted(values.items()))
        if key not in self:
            self[key] = StochasticInterpolants(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def line(s0, s1, schedule="linear", latent="brownian", a=1.0, shift=2.0, d=1):
    """From N(0, s0^2 I) to N((shift, 0, ...), s1^2 I)."""
    mean = np.zeros(d)
    mean[0] = shift
    return interpolants.interpolant(
        schedule, latent, a, paths.gaussian(np.zeros(d), s0**2), paths.gaussian(mean, s1**2)
    )


def affine_gaussian(epsilon, b, s, slope_b, slope_s):
    """KL from N(0, 1) to N(2, 1/4) along the Brownian linear path, by the linear equations of mean and variance of the
    diffusion whose drift misses by an affine function."""

    def variance(t):
        return (1 - t) ** 2 + t**2 / 4 + t * (1 - t)

    def slope(t, state):
        own = ((-1 + t / 2) / 2 - epsilon) / variance(t)
        more = slope_b + epsilon * slope_s
        move = 2 + own * (state[0] - 2 * t) + b + epsilon * s + more * state[0]
        return [move, 2 * (own + more) * state[1] + 2 * epsilon]

    at, spread = integrate.solve_ivp(slope, (0, 1), [0.0, 1.0], rtol=1e-9, atol=1e-11).y[:, -1]
    ratio = variance(1.0) / spread
    return (ratio - 1 - np.log(ratio) + (2 - at) ** 2 / spread) / 2


@pytest.mark.slow
def test_misfits_of_either_sign_and_affine_ones():
    """On a line against the moments of the Gaussian that they lead to; by rollouts the same."""
    path = line(1.0, 0.5)
    times = jnp.asarray(graded(interpolant_costs.FINE, path.low, path.high))

    @jax.jit
    def found(missed, level):
        used, level = misfits.FieldInUse(path.field, misfits.Misfit(*missed)), jnp.full(times.shape, level)
        rolled = divergence_by_rollouts(path, used, times[::4], level[::4], KEY, n=256, rollouts=16)
        return divergence_on_line(path, used, times, level).value, metrics.mean(rolled)

    for missed, epsilon in (
        ((-0.3, 0.0, 0.0, 0.0), 0.5), ((0.3, -0.2, 0.0, 0.0), 0.5), ((0.0, 0.0, 0.4, 0.0), 0.5), ((0.2, 0.1, -0.3, -0.5), 1.0),
    ):  # fmt: skip
        kl, rolled = found(missed, epsilon)
        wanted = affine_gaussian(epsilon, *missed)
        np.testing.assert_allclose(kl, wanted, rtol=2e-3, atol=2e-5)
        assert abs(rolled.value - wanted) < 5 * rolled.error + 0.03 * wanted
    assert "misfit_b" in StochasticInterpolants(misfit_b=-0.5, slope_s=-0.2).values()


def shifted_gaussian(path, epsilon, b, s):
    """KL by the linear equation of the mean: the drift of the difference of means is its slope times it, and the misfit."""

    def variance(t):
        return float(path.moments(jnp.asarray(t))[1][0, 0])

    def slope(t, apart):
        h = 1e-5
        rate = (variance(min(t + h, 1)) - variance(max(t - h, 0))) / (min(t + h, 1) - max(t - h, 0))
        return (rate / 2 - epsilon) / variance(t) * apart + b + epsilon * s

    apart = integrate.solve_ivp(slope, (0, 1), [0.0], rtol=1e-9, atol=1e-11).y[0, -1]
    return apart**2 / (2 * variance(1.0))


@partial(jax.jit, static_argnames="how")
def divergence(path, epsilon, b, s, how="line"):
    used = misfits.FieldInUse(path.field, misfits.Misfit(b, s))
    times = jnp.asarray(graded(200 if how == "line" else 60))
    level = jnp.full(times.shape, epsilon)
    if how == "line":
        return divergence_on_line(path, used, times, level)
    return metrics.mean(divergence_by_rollouts(path, used, times, level, jax.random.key(3), 1000, 16))


# ---- the mathematics ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "epsilon", "b", "s"),
    [
        (line(0.7, 1.6, a=2.0), 0.4, 0.2, 0.5),
        (line(1.0, 0.6, "trigonometric", "quadratic", 2.0), 1.5, 0.4, 0.3),
        (line(1.0, 1.3, "one-sided-linear"), 0.0, 0.3, 9.0),
    ],
    ids=["linear", "trigonometric", "one-sided"],
)
def test_divergence_between_gaussians_is_that_of_their_means(path, epsilon, b, s):
    assert float(divergence(path, epsilon, b, s)[0]) == pytest.approx(shifted_gaussian(path, epsilon, b, s), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 64])
def test_divergence_in_more_dimensions_is_within_its_error(d):
    """The shift goes along the diagonal, and the laws are isotropic: the same linear equation."""
    path = line(0.8, 0.6, d=d)
    value, error = divergence(path, 0.5, 0.3, 0.6, how="rollouts")
    expected = shifted_gaussian(path, 0.5, 0.3, 0.6)
    assert abs(float(value) - expected) < 4 * float(error)
    assert float(error) < 0.1 * expected


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
    value, error = divergence(path, 0.5, 0.2, 0.3, how="rollouts")
    assert abs(float(run.kl) - float(value)) < 4 * float(error)
    assert float(run.kl) <= float(run.kl_girsanov) <= float(run.kl_bound) + 1e-12


@pytest.mark.slow
def test_energies_are_those_of_gaussians():
    """E|b|^2 = (m')^2 + (Var'/2)^2/Var, E|b_F|^2 with Var'/2 - epsilon, E|s|^2 = 1/Var, on the line and in the plane."""
    for d, tolerance in ((1, 1e-7), (2, 0.1)):
        path = line(0.7, 1.6, a=1.5, d=d)

        @jax.jit
        def found(path):
            used = misfits.FieldInUse(path.field, misfits.Misfit(0.3, 0.2))
            return misfits.energies_over_time(path, used, 0.6, jax.random.key(0), 2000)

        var = (1 - NODES) ** 2 * 0.49 + NODES**2 * 2.56 + 1.5 * NODES * (1 - NODES)
        half = -(1 - NODES) * 0.49 + NODES * 2.56 + 0.75 * (1 - 2 * NODES)
        got = found(path)
        for name, expected in (
            ("velocity", 4 + d * half**2 / var),
            ("drift", 4 + d * (half - 0.6) ** 2 / var),
            ("score", d / var),
            ("missed_velocity", 0.09 + 0 * var),
            ("missed_score", 0.04 + 0 * var),
            ("missed_drift", (0.3 + 0.6 * 0.2) ** 2 + 0 * var),
        ):
            np.testing.assert_allclose(getattr(got, name), expected, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize(("s0", "s1", "epsilon", "best"), [(0.7, 1.6, 1.0, 3.0029319), (1.2, 0.4, 0.25, None)])
def test_bridge_is_where_the_drift_energy_is_least(s0, s1, epsilon, best):
    @jax.jit
    def energy(a):
        path = line(s0, s1, a=a)
        used = misfits.FieldInUse(path.field, misfits.Misfit(0.0, 0.0))
        return WEIGHTS @ misfits.energies_over_time(path, used, epsilon, jax.random.key(0), 0).drift

    closed = 2 * np.sqrt(s0**2 * s1**2 + epsilon**2)
    assert best is None or closed == pytest.approx(best, abs=1e-6)
    least = optimize.minimize_scalar(lambda a: float(energy(a)), bounds=(0.1, 10), options={"xatol": 1e-6})
    assert least.x == pytest.approx(closed, rel=1e-3)


def between(source, target, schedule, joint=None):
    field = paths.exact(schedule, source, target) if joint is None else paths.exact(schedule, joint)
    return interpolants.Interpolant(schedule, source, target, field, 0.0, 1.0, joint)


@jax.jit
def carried(path):
    """The starts of a coupling, 50 points of the source, and where the flow takes them."""
    start = jnp.concatenate([interpolants.flow_starts(path.source, path.target, KEY), path.source.sample(KEY, 50)])
    return start, paths.ode(path.field, start, steps=200, keep=False).end


@pytest.mark.slow
def test_rectified_path_between_gaussians_has_the_map_of_the_first():
    """Of covariances that do not commute. On the lines of the map, that is without latent noise: with it the map moves."""
    source = paths.gaussian([0.5, -1.0], [[1.2, 0.9], [0.9, 1.0]])
    target = paths.gaussian([2.0, 0.0], [[0.4, -0.3], [-0.3, 0.6]])
    first = between(source, target, paths.Linear())
    start, end = carried(first)
    law = interpolants.flow_coupling(source, target, start[:3], end[:3])
    x0, x1 = law.sample(KEY, 1000)
    pairs = couplings.Rectified(first.field, 200)(KEY, x0, x0)
    np.testing.assert_allclose(pairs.x1, x1, atol=1e-6)  # the coupling is that of the flow
    second = between(source, target, paths.Linear(), law)
    np.testing.assert_allclose(carried(second)[1], end, atol=1e-6)
    for t in (0.0, 1.0):
        np.testing.assert_allclose(second.moments(t)[1], first.moments(t)[1], atol=1e-9)
    assert float(jnp.abs(second.moments(0.5)[1] - first.moments(0.5)[1]).max()) > 0.1
    noisy = carried(between(source, target, paths.Linear(paths.Brownian(1.0)), law))[1]
    assert float(jnp.abs(noisy - end).max()) > 0.01


@pytest.mark.slow
def test_pairs_of_mixtures_keep_their_order_and_are_carried_to_their_ends():
    """On a line the flow takes quantiles to quantiles."""
    source = paths.Mixture([0.5, 0.5], [[-3.0], [3.0]], [0.25, 0.25])
    target = paths.Mixture([0.2, 0.5, 0.3], [[-5.0], [0.5], [4.0]], [0.4, 0.3, 0.6])
    start, end = carried(between(source, target, paths.Linear(paths.Brownian(1.0))))

    def quantile(law, x):
        return stats.norm.cdf(x, law.means[:, 0], np.sqrt(law.covariances)) @ np.asarray(law.weights)

    np.testing.assert_allclose(quantile(target, end), quantile(source, start), atol=1e-4)
    law = interpolants.flow_coupling(source, target, start[:200], end[:200])
    assert isinstance(law, paths.Pairs)
    path = interpolants.interpolant("linear", "brownian", 1.0, source, target, law)
    assert (path.low, path.high, path.smooth) == (1e-4, 1 - 1e-4, False)
    again = paths.ode(path.field, law.x0, grid=graded(200, path.low, path.high), keep=False).end
    np.testing.assert_allclose(again, law.x1, atol=0.1)  # the noise that is left at both ends is 0.01


def test_vertex_of_a_parabola_in_the_logarithm():
    a = np.geomspace(0.1, 10, 7)
    at, least = vertex(list(a), 2 + 3 * np.log(a / 1.7) ** 2)
    assert at == pytest.approx(1.7)
    assert least == pytest.approx(2)
    assert vertex(list(a), a)[0] == pytest.approx(0.1)  # at an end there is no parabola


@pytest.mark.slow
def test_one_sided_velocity_needs_one_field():
    target = paths.Mixture([0.3, 0.7], [[-1.0, 0.5], [2.0, 0.0]], [0.2, 0.6])
    x = jax.random.normal(jax.random.key(0), (20, 2))
    for name in interpolants.ONE_SIDED:
        path = interpolants.interpolant(
            name, "none", 1.0, paths.gaussian([9.0, 9.0], 4.0), target
        )  # that source has no part in it
        c, field = path.schedule(0.4), path.field(0.4, x)
        noise = -c.alpha * field.score
        by_noise = c.d_beta / c.beta * x + (c.d_alpha - c.alpha * c.d_beta / c.beta) * noise
        np.testing.assert_allclose(field.velocity, by_noise, atol=1e-12)
        c = path.schedule(0.0)
        start = c.d_alpha * x + c.d_beta * (path.target.weights @ path.target.means)[None]  # its limit
        np.testing.assert_allclose(path.field.velocity(0.0, x), start, atol=1e-6)


# ---- the study -----------------------------------------------------------------------------------------------------


def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(a=1.0, misfit_b=0.2, misfit_s=0.3, epsilon=0.5), name


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_samplers_have_the_moments_and_weights_of_the_data(runs, epsilon):
    """Of three modes that no setting was chosen on; 4 standard errors."""
    n, weights = 4000, np.array([0.2, 0.5, 0.3])
    arrays = gaussian_pair((1.0, 0.5), (0.0, 1.0)) | {
        "weights": weights, "centres": np.array([[-5.0], [0.5], [4.0]]), "variances": np.array([0.4, 0.3, 0.6]),
    }  # fmt: skip
    mine = Data("mine", "Mine", "samples", arrays, "a test", "none")
    run = runs(data=mine, epsilon=epsilon, particles=n, seed=5)
    mean = weights @ arrays["centres"][:, 0]
    variance = weights @ (arrays["variances"] + arrays["centres"][:, 0] ** 2) - mean**2
    for x in run.samples.values[..., 0]:
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


def test_bad_laws_get_a_sentence():
    for key, value, sentence in (
        ("weights", [0.5], "the weights sum to 0.5"),
        ("variances", [-1.0], "covariance 0 has the eigenvalue -1"),
        ("source_centres", [[0.0, 0.0]], "source and target have dimensions 2 and 1"),
    ):
        arrays = gaussian_pair((0.0, 1.0), (2.0, 0.25), 10) | {key: np.array(value)}
        with pytest.raises(ValueError, match=sentence):
            interpolants.interpolant("linear", "brownian", 1.0, source_of(arrays), target_of(arrays))


@pytest.mark.slow
def test_pictures_of_one_run_and_of_sweeps_are_drawn(runs):
    """Sweeps are small here; the grids themselves are looked at."""
    pictures = StochasticInterpolants.pictures
    study, one = StochasticInterpolants(a=1.0), runs(a=1.0, epsilon=2.0)
    own = {
        "gammas": study.along(a=[1.0, 4.0]),
        "kl": study.along(epsilon=[0.0, 0.5, 1.0], misfit_b=[0.2], misfit_s=[0.3]),
        "drift": study.along(epsilon=[0.5], a=[0.5, 1.0, 4.0, 8.0]),
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
        for backend in ("bokeh", "matplotlib"):
            hv.renderer(backend).get_plot(picture(result))
    with pytest.raises(ValueError, match="nothing was trained: set training steps above 0"):
        pictures.training(runs(a=1.0, epsilon=2.0))
    with pytest.raises(ValueError, match="it shows a sweep over epsilon"):
        pictures.kl(runs(a=1.0, epsilon=2.0))


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
