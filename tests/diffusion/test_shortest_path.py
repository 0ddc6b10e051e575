"""Shortest paths: the sheet's tables, closed forms, and geodesics of matrices by SciPy."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy import fft

from lab.diffusion import shortest

POWER = np.asarray(shortest.power_law((32, 32))).ravel()
T = 100
TAU = shortest.times(T)


def spd(gamma=1.0, warp=1.0, tau=TAU):
    return shortest.shortest(jnp.asarray(POWER), tau, gamma, warp)


def test_the_sheets_spectrum():
    assert POWER.min() == pytest.approx(0.0031031, rel=1e-4)
    assert POWER.max() == pytest.approx(21498.1, rel=1e-5)
    assert (POWER > 1).sum() == 5
    assert np.sqrt((np.log(POWER) ** 2).sum() / 2) == pytest.approx(101.29639, rel=1e-7)


TABLE = {  # Fisher length, sum of KLs, KL by large and small variance, DDIM
    "shortest": (101.2964, 50.029, 0.0031, 4.514, 0.3402),
    "cosine": (106.6319, 98.308, 1.3918, 18.312, 6.549),
    "linear": (106.6267, 179.599, 6.7399, 43.036, 16.04),
}


@pytest.mark.parametrize("name", list(TABLE))
def test_the_table_of_the_sheet(name):
    corruption = spd() if name == "shortest" else getattr(shortest, name)(T)
    spectra = corruption.spectra(jnp.asarray(POWER))
    found = [float(shortest.length(spectra)), float(shortest.divergence(spectra[:-1], spectra[1:]).sum())]
    found += [float(shortest.outcome(jnp.asarray(POWER), corruption, v).kl) for v in ("large", "small", "none")]
    for value, told in zip(found, TABLE[name], strict=True):
        assert value == pytest.approx(told, rel=2e-3, abs=6e-5)


def test_the_best_schedule_of_both_families_is_the_shortest_path():
    gammas = {0.5: (4.30, 102.923), 0.75: (0.472, 101.587), 0.9: (0.0535, 101.330), 1: (0.0031, 101.296)}
    gammas |= {1.1: (0.0202, 101.323), 1.25: (0.0906, 101.448), 2: (0.494, 104.056)}
    for gamma, (kl, length) in gammas.items():
        corruption = spd(gamma)
        assert float(shortest.outcome(jnp.asarray(POWER), corruption).kl) == pytest.approx(kl, rel=1e-2, abs=6e-5)
        assert float(shortest.length(corruption.spectra(jnp.asarray(POWER)))) == pytest.approx(length, abs=1e-3)
    for warp, kl in {0.5: 0.130, 0.9: 0.0040, 1: 0.0031, 1.1: 0.0038, 2: 0.0473}.items():
        corruption = spd(warp=warp)
        assert float(shortest.outcome(jnp.asarray(POWER), corruption).kl) == pytest.approx(kl, rel=2e-2, abs=6e-5)
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


def test_more_steps_bring_the_law_of_the_data():
    found = {}
    for steps in (100, 200, 400):
        corruption = spd(tau=shortest.times(steps))
        found[steps] = [float(shortest.outcome(jnp.asarray(POWER), corruption, v).kl) for v in ("large", "small")]
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
    white = shortest.geodesic(jnp.diag(jnp.array([4.0, 0.25])), jnp.eye(2), 0.5)
    np.testing.assert_allclose(white, np.diag([2.0, 0.5]), atol=1e-12)


def test_images_are_corrupted_along_the_way():
    rng = np.random.default_rng(1)
    power = np.asarray(shortest.power_law((8, 8), 2.0, 0.5, 2.0))
    white = np.fft.fft2(rng.normal(size=(20_000, 8, 8)), norm="ortho")
    images = np.fft.ifft2(np.sqrt(power) * white, norm="ortho").real
    tau = 0.4
    a, b = (f(np.log(power), tau) for f in (shortest.signal, shortest.noise))
    found = shortest.spectrum(shortest.corrupt(jnp.asarray(images), a, b, jax.random.key(0)))
    # a real frequency has half as many numbers
    np.testing.assert_allclose(found, power**tau, rtol=4 * np.sqrt(2 / 20_000))
    np.testing.assert_allclose(shortest.spectrum(jnp.asarray(images)), power, rtol=4 * np.sqrt(2 / 20_000))


def test_the_mean_of_a_step_is_the_posteriors():
    power = jnp.asarray(POWER[::97])
    corruption = shortest.shortest(power, shortest.times(20))
    a, b = np.asarray(corruption.signal), np.asarray(corruption.noise)
    u = np.random.default_rng(2).normal(size=power.shape)
    for j in (3, 10, 19):
        alpha, beta = a[j] / a[j - 1], 1 - a[j] / a[j - 1]
        data = np.sqrt(a[j]) * power / (a[j] * power + b[j]) * u
        eps = (u - np.sqrt(a[j]) * data) / np.sqrt(b[j])
        one = np.sqrt(a[j - 1]) * beta / b[j] * data + np.sqrt(alpha) * b[j - 1] / b[j] * u
        two = (u - beta / np.sqrt(b[j]) * eps) / np.sqrt(alpha)
        np.testing.assert_allclose(one, two, rtol=1e-9)
        step = jax.tree.map(lambda each, j=j: each[j], shortest._steps(corruption))
        np.testing.assert_allclose(shortest._back(power, step, "large")[0] * u, two, rtol=1e-9)


def test_a_chain_over_data_ends_at_the_data_and_over_a_gaussian_in_its_law():
    rng = np.random.default_rng(3)
    data = jnp.asarray(fft.dctn(rng.normal(size=(50, 4, 4)), axes=(1, 2), norm="ortho").reshape(50, 16))
    power = (data**2).mean(axis=0)
    corruption = shortest.shortest(power, shortest.times(60))
    path = np.asarray(shortest.sample(data, corruption, jax.random.key(1), 200, "small"))
    assert path.shape == (61, 200, 16)
    nearest = np.sqrt(((path[0][:, None] - np.asarray(data)[None]) ** 2).sum(2).min(1))
    assert np.median(nearest) < 1e-3  # the last step is to the denoised point
    many = jnp.asarray(rng.normal(size=(5_000, 2)) * np.sqrt([9.0, 0.2]))
    corruption = shortest.shortest(jnp.array([9.0, 0.2]), shortest.times(30))
    end = np.asarray(shortest.sample(many, corruption, jax.random.key(2), 2000))[0]
    exact = np.asarray(shortest.outcome(jnp.array([9.0, 0.2]), corruption).variance)
    np.testing.assert_allclose(end.var(0), exact, rtol=0.12)


def test_bad_input_gets_a_sentence():
    with pytest.raises(ValueError, match=r"the power at frequency \[0, 1\] is 0, but a positive number is needed"):
        shortest.spectrum(jnp.ones((3, 4, 4)))
    with pytest.raises(ValueError, match="the spectrum differs between f and -f"):
        shortest.checked(jnp.asarray(np.random.default_rng(4).uniform(1, 2, (5, 5))), symmetric=True)
    shortest.checked(shortest.power_law((5, 6)), symmetric=True)
    with pytest.raises(ValueError, match=r"the power at frequency \[1\] is -1"):
        shortest.shortest(jnp.array([1.0, -1.0]), TAU)
    with pytest.raises(ValueError, match=r"tau must lie in \[0, 1\]"):
        shortest.shortest(jnp.ones(2), jnp.array([2.0]))
    with pytest.raises(ValueError, match=r"a row .* is needed: ravel it"):
        shortest.outcome(jnp.ones((2, 2)), shortest.cosine(3))
    with pytest.raises(ValueError, match="must be of one size"):
        shortest.distance(jnp.eye(2), jnp.eye(3))
    assert np.isfinite(np.asarray(shortest.linear(4).signal)).all()
    with pytest.raises(ValueError, match="steps = 1, but at least two are needed"):
        shortest.times(1)
    with pytest.raises(ValueError, match="the last covariance has the eigenvalue -1, but it must be positive definite"):
        shortest.geodesic(jnp.eye(2), jnp.diag(jnp.array([1.0, -1.0])), 0.5)
    with pytest.raises(ValueError, match=r"the first covariance, of shape \(2, 2\), is not a symmetric matrix"):
        shortest.distance(jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.eye(2))
    with pytest.raises(ValueError, match=r"variance = 'huge', but it must be one of 'large'"):
        shortest.outcome(jnp.ones(2), shortest.shortest(jnp.ones(2), TAU), "huge")
