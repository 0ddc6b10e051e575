"""Shortest paths: the sheet's tables, closed forms, and geodesics of matrices by SciPy."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy import fft

from lab.diffusion import shortest, spectra
from lab.diffusion import shortest_sampling as back
from lab.numerics import Chunked, Reason, pure
from lab.paths.carry import carry

POWER = np.asarray(spectra.power_law((32, 32))).ravel()
T = 100
TAU = shortest.times(T)


def spd(gamma=1.0, warp=1.0, tau=TAU):
    return shortest.shortest(jnp.asarray(POWER), tau, gamma, warp)


TABLE = {  # Fisher length, sum of KLs, KL by large and small variance, DDIM
    "shortest": (101.2964, 50.029, 0.0031, 4.514, 0.3402),
    "cosine": (106.6319, 98.308, 1.3918, 18.312, 6.549),
    "linear": (106.6267, 179.599, 6.7399, 43.036, 16.04),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TABLE))
def test_the_table_of_the_sheet(name):
    corruption = spd() if name == "shortest" else getattr(shortest, name)(T)
    spectra = corruption.spectra(jnp.asarray(POWER))
    found = [float(shortest.length(spectra)), float(shortest.divergence(spectra[:-1], spectra[1:]).sum())]
    found += [float(back.outcome(jnp.asarray(POWER), corruption, v).kl) for v in ("large", "small", "none")]
    for value, told in zip(found, TABLE[name], strict=True):
        assert value == pytest.approx(told, rel=2e-3, abs=6e-5)


def test_at_few_steps():
    kls = {"shortest": 0.0657, "cosine": 2.902, "linear": 204.7}
    for name, told in kls.items():
        corruption = spd(tau=shortest.times(25)) if name == "shortest" else getattr(shortest, name)(25)
        assert float(back.outcome(jnp.asarray(POWER), corruption).kl) == pytest.approx(told, rel=2e-3)


@pytest.mark.slow
def test_one_schedule_for_all_frequencies_is_the_straight_line_of_covariances():
    """Whatever its betas: its length is that of D + s (1 - D), here by fine pieces."""
    s = np.linspace(0, 1, 20_001)[:, None] ** 3
    straight = float(shortest.length(jnp.asarray(POWER[None] * (1 - s) + s)))
    for corruption in (shortest.cosine(T), shortest.linear(T), spd(gamma=1e-9)):
        assert float(shortest.length(corruption.spectra(jnp.asarray(POWER)))) == pytest.approx(straight, rel=1e-3)
    for corruption in (shortest.cosine(4000), shortest.linear(4000)):
        assert float(shortest.length(corruption.spectra(jnp.asarray(POWER)))) == pytest.approx(straight, rel=1e-5)


def test_other_schedules_in_continuous_time():
    t = jnp.arange(1, 1001) / 1000
    found, told = shortest.cosine_at(t), shortest.cosine(1000)
    np.testing.assert_allclose(found.signal[:-1], told.signal[:-1], rtol=1e-9)
    np.testing.assert_allclose(found.noise[:-1], told.noise[:-1], rtol=1e-9)
    np.testing.assert_allclose(shortest.linear_at(t).signal, shortest.linear(1000).signal, atol=1e-3)
    np.testing.assert_allclose(
        shortest.linear_at(jnp.array([0.0, 1.0])).noise[:, 0], [0, -np.expm1(-10.05)], atol=1e-12
    )
    radius = np.array([0.0, 1.0, 16.0])
    blurred = shortest.blurring_at(jnp.array([0.0, 0.25, 1.0]), radius)
    np.testing.assert_allclose(blurred.signal[0], 1, rtol=1e-12)
    np.testing.assert_allclose(blurred.signal[1:, 0], found.signal[np.array([249, 999]), 0], rtol=1e-9, atol=1e-20)
    pixels = 20 * np.sin(np.pi / 8) ** 2  # of the blur at a quarter, in pixels of 32
    heat = 0.999 * np.exp(-((2 * np.pi * radius / 32) ** 2) * pixels**2 / 2) + 0.001
    np.testing.assert_allclose(blurred.signal[1], float(found.signal[249, 0]) * heat**2, rtol=1e-9)
    at_steps = shortest.blurring(4, radius)
    np.testing.assert_allclose(at_steps.signal[0], blurred.signal[1], rtol=1e-9)
    assert (np.asarray(at_steps.beta) > 0).all()


def test_the_best_schedule_of_both_families_is_the_shortest_path():
    gammas = {0.5: (4.30, 102.923), 0.75: (0.472, 101.587), 0.9: (0.0535, 101.330), 1: (0.0031, 101.296)}
    gammas |= {1.1: (0.0202, 101.323), 1.25: (0.0906, 101.448), 2: (0.494, 104.056)}
    for gamma, (kl, length) in gammas.items():
        corruption = spd(gamma)
        assert float(back.outcome(jnp.asarray(POWER), corruption).kl) == pytest.approx(kl, rel=1e-2, abs=6e-5)
        assert float(shortest.length(corruption.spectra(jnp.asarray(POWER)))) == pytest.approx(length, abs=1e-3)
    for warp, kl in {0.5: 0.130, 0.9: 0.0040, 1: 0.0031, 1.1: 0.0038, 2: 0.0473}.items():
        corruption = spd(warp=warp)
        assert float(back.outcome(jnp.asarray(POWER), corruption).kl) == pytest.approx(kl, rel=2e-2, abs=6e-5)
    exact = float(np.sqrt((np.log(POWER) ** 2).sum() / 2))
    for corruption in (spd(0.8), spd(1.3), shortest.blended(spd(), shortest.cosine(T), 0.3)):
        assert float(shortest.length(corruption.spectra(jnp.asarray(POWER)))) > exact + 1e-3
    assert float(shortest.length(spd(warp=2.0).spectra(jnp.asarray(POWER)))) == pytest.approx(exact, rel=1e-9)


def test_the_spectrum_along_the_way_is_a_power():
    powers = np.geomspace(1e-8, 1.3e6, 57)
    tau = np.linspace(0, 1, 23)
    a, b = (np.asarray(f(np.log(powers)[None, :], tau[:, None])) for f in (shortest.signal, shortest.noise))
    np.testing.assert_allclose(a * powers + b, powers[None, :] ** tau[:, None], rtol=1e-10)
    np.testing.assert_allclose(a + b, 1, rtol=1e-12)
    np.testing.assert_allclose(a[-1], 1, rtol=1e-12)
    np.testing.assert_allclose(a[0], 0, atol=1e-15)
    assert (np.diff(a[1:-1], axis=1) < 0).all()  # a strong frequency is lost first
    near = 1 - 1e-9
    np.testing.assert_allclose(
        shortest.noise(np.log(powers), near), (1 - near) * np.log(powers) * powers / (powers - 1), rtol=1e-6
    )
    np.testing.assert_allclose(shortest.signal(np.array([0.0, 1e-12, 1e-9]), 0.3), 0.3, rtol=1e-8)
    half = 1 - np.log((1 + powers) / 2) / np.log(powers)
    np.testing.assert_allclose(shortest.signal(np.log(powers), 1 - half), 0.5, rtol=1e-8)
    alpha = np.asarray(spd(tau=shortest.times(40)).alpha)
    assert ((alpha > 0) & (alpha < 1)).all()


def test_white_data_go_at_once():
    white = shortest.shortest(jnp.ones(5), TAU)
    np.testing.assert_allclose(white.signal, np.tile(np.asarray(TAU)[:, None], 5), rtol=1e-12)
    assert float(shortest.length(white.spectra(jnp.ones(5)))) == pytest.approx(0, abs=1e-10)


@pytest.mark.slow
def test_more_steps_bring_the_law_of_the_data():
    found = {}
    for steps in (100, 200, 400):
        corruption = spd(tau=shortest.times(steps))
        found[steps] = [float(back.outcome(jnp.asarray(POWER), corruption, v).kl) for v in ("large", "small")]
    assert found[100][0] / found[200][0] == pytest.approx(4, rel=0.15)
    assert found[200][0] / found[400][0] == pytest.approx(4, rel=0.15)
    assert found[400][1] < found[200][1] < found[100][1]


def test_no_other_path_nearby_is_shorter():
    logs = jnp.log(spd(tau=shortest.times(9, "exact")).spectra(jnp.asarray(POWER))[:-1])

    def squared(inner):  # energy, which the geodesic at constant speed makes least too
        path = jnp.concatenate([logs[:1], inner, logs[-1:]])
        return (jnp.diff(path, axis=0) ** 2).sum() / 2

    def length(inner):
        return shortest.length(jnp.exp(jnp.concatenate([logs[:1], inner, logs[-1:]])))

    for f in (length, squared):
        np.testing.assert_allclose(jax.grad(f)(logs[1:-1]), 0, atol=1e-6)


def positive(rng, d=4):
    root = rng.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


def test_geodesics_of_matrices():
    rng = np.random.default_rng(0)
    first, last, third = (positive(rng) for _ in range(3))
    middle = np.asarray(shortest.geodesic(jnp.asarray(first), jnp.asarray(last), 0.5))
    np.testing.assert_allclose(middle @ np.linalg.solve(first, middle), last, rtol=1e-8, atol=1e-10)
    d = float(shortest.distance(jnp.asarray(first), jnp.asarray(last)))
    values = scipy.linalg.eigvalsh(last, first)
    assert d == pytest.approx(np.sqrt((np.log(values) ** 2).sum() / 2), rel=1e-10)
    assert float(shortest.distance(jnp.asarray(last), jnp.asarray(first))) == pytest.approx(d, rel=1e-9)
    m = rng.normal(size=(4, 4))
    moved = (jnp.asarray(m @ each @ m.T) for each in (first, last))
    assert float(shortest.distance(*moved)) == pytest.approx(d, rel=1e-7)
    around = [float(shortest.distance(*map(jnp.asarray, pair))) for pair in ((first, third), (third, last))]
    assert d < sum(around)
    pieces = [shortest.geodesic(jnp.asarray(first), jnp.asarray(last), s) for s in np.linspace(0, 1, 6)]
    gone = [float(shortest.distance(a, b)) for a, b in pairwise(pieces)]
    np.testing.assert_allclose(gone, d / 5, rtol=1e-7)
    assert float(shortest.path_length(jnp.stack(pieces))) == pytest.approx(d, rel=1e-7)
    straight = jnp.stack([jnp.asarray(first * (1 - s) + last * s) for s in np.linspace(0, 1, 6)])
    assert float(shortest.path_length(straight)) > 1.001 * d
    thin = shortest.geodesic(jnp.ones((2, 2)), jnp.eye(2), 0.5)  # the eigenvalue 0 is raised to 2e-12
    np.testing.assert_allclose(np.linalg.eigvalsh(thin), [np.sqrt(2e-12), np.sqrt(2)], rtol=1e-3)
    white = shortest.geodesic(jnp.diag(jnp.array([4.0, 0.25])), jnp.eye(2), 0.5)
    np.testing.assert_allclose(white, np.diag([2.0, 0.5]), atol=1e-12)


def test_the_mean_of_a_step_is_the_posteriors():
    power = jnp.asarray(POWER[::97])
    corruption = shortest.shortest(power, shortest.times(20))
    a, b = np.asarray(corruption.signal), np.asarray(corruption.noise)
    steps = back.steps_of(corruption)
    u = np.random.default_rng(2).normal(size=power.shape)
    for j in (3, 10, 19):
        alpha, beta = a[j] / a[j - 1], 1 - a[j] / a[j - 1]
        data = np.sqrt(a[j]) * power / (a[j] * power + b[j]) * u
        eps = (u - np.sqrt(a[j]) * data) / np.sqrt(b[j])
        told = (u - beta / np.sqrt(b[j]) * eps) / np.sqrt(alpha)  # in eps, as the released code has it
        step = jax.tree.map(lambda each, j=j: each[j], steps)
        np.testing.assert_allclose(back.moved(step, u, data, "large"), told, rtol=1e-9)
        flow = np.sqrt(a[j - 1]) * data + np.sqrt(b[j - 1]) * eps
        np.testing.assert_allclose(back.moved(step, u, data, "none"), flow, rtol=1e-10)
        np.testing.assert_allclose(back.added(step, "small"), beta * b[j - 1] / b[j], rtol=1e-9)


def test_a_step_of_any_corruption_is_that_of_joint_gaussians():
    """Of (u_0, u_before, u) as one Gaussian: the mean of u_before given the two others, by solving with its covariance."""
    corruption = shortest.blurring(12, np.array([0.0, 0.4, 1.5, 6.0]))
    power = np.array([3.0, 1.0, 0.2, 0.01])
    steps = back.steps_of(corruption)
    for j in (1, 6, 10):
        step = jax.tree.map(lambda each, j=j: np.asarray(each[j]), steps)
        for k in range(4):
            a, b, a0, b0, alpha = (float(each[k]) for each in step[:5])
            assert float(step.beta[k]) > 0
            assert alpha * b0 + float(step.beta[k]) == pytest.approx(b, rel=1e-12)
            d = power[k]
            across = np.sqrt(alpha) * (a0 * d + b0)
            given = np.array([[d, np.sqrt(a) * d], [np.sqrt(a) * d, a * d + b]])  # of u_0 and u
            with_before = np.array([np.sqrt(a0) * d, across])
            found = np.linalg.solve(given, with_before)
            one = jax.tree.map(lambda each, k=k: each[k], step)
            np.testing.assert_allclose(back.moved(one, 0.0, 1.0, "large"), found[0], rtol=1e-7)
            np.testing.assert_allclose(back.moved(one, 1.0, 0.0, "large"), found[1], rtol=1e-7)
            left = a0 * d + b0 - with_before @ found
            np.testing.assert_allclose(back.added(one, "small"), left, rtol=1e-6)


@pytest.mark.slow
def test_a_chain_over_data_ends_at_the_data_and_over_a_gaussian_in_its_law():
    rng = np.random.default_rng(3)
    data = jnp.asarray(fft.dctn(rng.normal(size=(50, 4, 4)), axes=(1, 2), norm="ortho").reshape(50, 16))
    power = (data**2).mean(axis=0)
    corruption = shortest.shortest(power, shortest.times(60))
    found = back.sample(back.OfData(data), corruption, jax.random.key(1), 200, 16, "small", follow=7)
    assert found.path.shape == (61, 7, 16)
    np.testing.assert_array_equal(found.path[0], found.end[:7])
    end = np.asarray(found.end)
    nearest = np.sqrt(((end[:, None] - np.asarray(data)[None]) ** 2).sum(2).min(1))
    assert np.median(nearest) < 1e-3  # the last step is to the denoised point
    power = jnp.array([9.0, 0.2])
    for corruption in (shortest.shortest(power, shortest.times(30)), shortest.blurring(30, np.array([0.0, 3.0]))):
        for variance in ("large", "none"):
            law = back.outcome(power, corruption, variance).variance
            end = back.sample(back.OfGaussian(power), corruption, jax.random.key(2), 4000, 2, variance).end
            np.testing.assert_allclose(np.var(end, axis=0), law, rtol=4 * np.sqrt(2 / 4000))


def test_a_way_back_that_is_stopped_says_so():
    power = jnp.array([2.0, 0.5])
    loop = Chunked(lambda progress: progress.iteration >= 3)
    found = back.sample(
        back.OfGaussian(power), shortest.shortest(power, shortest.times(9)), jax.random.key(0), 5, 2, loop=loop
    )
    assert found.reason == Reason.STOPPED
    assert 3 <= int(found.steps) < 9
    assert np.isnan(found.end).all()
    assert np.isfinite(found.path[-int(found.steps) :]).all()


def test_few_of_many_steps():
    many = shortest.cosine(100)
    few = shortest.thinned(many, 5)
    np.testing.assert_array_equal(few.signal, np.asarray(many.signal)[[19, 39, 59, 79, 99]])
    power = jnp.asarray(POWER)
    found = [float(back.outcome(power, shortest.thinned(spd(), steps)).kl) for steps in (5, 10, 25, 50, 100)]
    assert (np.diff(found) < 0).all()
    with pytest.raises(ValueError, match="steps = 101 is not allowed"):
        shortest.thinned(many, 101)


def test_in_continuous_time_the_flow_is_that_of_the_covariances():
    power = jnp.asarray(POWER[[0, 1, 40, 500]])
    u = jnp.asarray(np.random.default_rng(5).normal(size=(3, 4)))
    predict = back.OfGaussian(power)

    def field(tau, u):
        a, b = (of(jnp.log(power), tau) for of in (shortest.signal, shortest.noise))
        return shortest.velocity(power, tau, u, predict(u, a, b))

    np.testing.assert_allclose(field(jnp.array(0.3), u), np.log(power)[None] / 2 * u, rtol=1e-9)
    end = carry(pure, field, u, jnp.linspace(0.02, 0.97, 61)).end
    np.testing.assert_allclose(end, u * power[None] ** (0.95 / 2), rtol=1e-5)


def test_bad_input_gets_a_sentence():
    with pytest.raises(ValueError, match=r"the power at frequency \[1\] is -1"):
        shortest.shortest(jnp.array([1.0, -1.0]), TAU)
    with pytest.raises(ValueError, match=r"tau = 1\.5 is not allowed"):
        shortest.filters(jnp.eye(2), 1.5)
    with pytest.raises(ValueError, match=r"tau\[0\] = 2 is not allowed"):
        shortest.shortest(jnp.ones(2), jnp.array([2.0]))
    with pytest.raises(ValueError, match=r"a row .* is needed: ravel it"):
        back.outcome(jnp.ones((2, 2)), shortest.cosine(3))
    with pytest.raises(ValueError, match="must be of one size"):
        shortest.distance(jnp.eye(2), jnp.eye(3))
    assert np.isfinite(np.asarray(shortest.linear(4).signal)).all()
    with pytest.raises(ValueError, match="steps = 1 is not allowed"):
        shortest.times(1)
    with pytest.raises(ValueError, match="last has the eigenvalue -1, but it must be positive definite"):
        shortest.geodesic(jnp.eye(2), jnp.diag(jnp.array([1.0, -1.0])), 0.5)
    with pytest.raises(ValueError, match=r"first, of shape \(2, 2\), is not a symmetric matrix"):
        shortest.distance(jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.eye(2))
    with pytest.raises(ValueError, match=r"variance = 'huge', but it must be one of 'large'"):
        back.outcome(jnp.ones(2), shortest.shortest(jnp.ones(2), TAU), "huge")
