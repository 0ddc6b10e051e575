"""Exact flow maps against the equation solved, identities, densities, and guidance in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion_demo import COVARIANCES, LINE, MEANS, PLANE, WEIGHTS
from scipy import integrate, stats

from lab import denoise, diffusion, paths
from lab.diffusion import flow_maps, predictions
from lab.diffusion.predictions import Exact, Guided
from lab.numerics.mixtures import gaussian

VP, EDM, LINEAR = (diffusion.noise(name) for name in ("vp", "edm", "linear"))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [VP, EDM, LINEAR], ids=["vp", "edm", "linear"])
def test_on_a_line_the_flow_matches_quantiles(noise):
    t, r = (0.9, 0.05) if noise is not EDM else (30.0, 0.1)
    level = noise(t)
    x = jnp.asarray(np.random.default_rng(1).normal(size=12)) * jnp.sqrt(level.a**2 * 3 + level.s**2)
    found = flow_maps.on_line(LINE, noise, x, t, r)
    solved = flow_maps.solved(Exact(LINE), noise, x[:, None], t, r, rtol=1e-12, atol=1e-12)[:, 0]
    np.testing.assert_allclose(found, solved, atol=1e-7)
    assert (np.diff(np.asarray(flow_maps.on_line(LINE, noise, jnp.sort(x), t, r))) > 0).all()
    np.testing.assert_allclose(flow_maps.on_line(LINE, noise, found, r, t), x, rtol=1e-6)
    # distribution functions by SciPy
    later = noise(r)

    def below(y, level):
        spread = np.sqrt(np.asarray(level.a) ** 2 * np.asarray(LINE.covariances) + np.asarray(level.s) ** 2)
        return (
            stats.norm.cdf((np.asarray(y)[:, None] - np.asarray(level.a) * np.asarray(LINE.means)[:, 0]) / spread)
            @ WEIGHTS
        )

    np.testing.assert_allclose(below(found, later), below(x, level), atol=1e-10)


@pytest.mark.slow
def test_far_in_the_tails_the_map_keeps_its_digits():
    x = jnp.array([-9.0, 9.0] * 6)  # probabilities of 1e-19, which 1 - p would lose
    solved = flow_maps.solved(Exact(LINE), VP, x[:, None], 1.0, 0.01, rtol=1e-12, atol=1e-12)[:, 0]
    np.testing.assert_allclose(flow_maps.on_line(LINE, VP, x, 1.0, 0.01), solved, atol=1e-6)
    assert np.isnan(float(flow_maps.on_line(LINE, VP, jnp.full(12, 60.0), 1.0, 0.01)[0]))
    with pytest.raises(ValueError, match=r"but a row \(n,\) and a line are needed"):
        flow_maps.on_line(PLANE, VP, x, 1.0, 0.01)
    with pytest.raises(ValueError, match="must be finite at both times"):
        flow_maps.solved(Exact(LINE), EDM, x[:, None], 80.0, 0.0)


@pytest.mark.slow
def test_of_one_gaussian():
    law = gaussian(MEANS[0], COVARIANCES[0])
    x = jnp.asarray(np.random.default_rng(2).normal(size=(6, 2)))
    found = flow_maps.of_gaussian(law.means[0], law.covariances[0], VP, x, 1.0, 1e-3)
    np.testing.assert_allclose(found, flow_maps.solved(Exact(law), VP, x, 1.0, 1e-3, rtol=1e-12, atol=1e-12), atol=1e-8)


@pytest.mark.slow
def test_the_exact_map_obeys_every_identity_and_another_does_not():
    x = jnp.asarray(np.random.default_rng(3).normal(size=12))

    def psi(x, t, r):
        return flow_maps.on_line(LINE, VP, x, t, r)

    def u(x, t):
        return flow_maps.velocity(Exact(LINE), VP, x[:, None], t)[:, 0]

    for t, r in ((0.8, 0.3), (0.5, 0.02)):
        for name, left in flow_maps.identities(psi, u, x, t, r)._asdict().items():
            np.testing.assert_allclose(left, 0, atol=1e-6, err_msg=name)
        wrong = flow_maps.identities(lambda x, t, r: x + (r - t) * u(x, t), u, x, t, r)  # an Euler step is no flow
        assert all(np.abs(np.asarray(left)).max() > 1e-2 for left in wrong)


def test_the_average_velocity_and_the_map_of_consistency_models():
    x = jnp.asarray(np.random.default_rng(4).normal(size=12)) * 3
    t, r = 2.0, 0.5
    image = flow_maps.on_line(LINE, EDM, x, t, r)
    mean = flow_maps.average_velocity(lambda *at: flow_maps.on_line(LINE, EDM, *at), x, jnp.array(t), jnp.array(r))
    np.testing.assert_allclose(x - (t - r) * mean, image, rtol=1e-12)
    # CTM's g = (G - (r/t) x) / (1 - r/t) comes to the denoiser as r comes to t
    near = t * (1 - 1e-5)
    g = (flow_maps.on_line(LINE, EDM, x, t, near) - near / t * x) / (1 - near / t)
    np.testing.assert_allclose(g, Exact(LINE)(x[:, None], jnp.ones(()), jnp.array(t))[:, 0], atol=1e-4)


def test_what_a_distilled_step_must_predict():
    x = jnp.asarray(np.random.default_rng(5).normal(size=(4, 2)))
    two = diffusion.sample(Exact(PLANE), VP, jnp.array([0.8, 0.7, 0.6]), x, "ddim").end
    data = flow_maps.distilled(VP, x, 0.8, 0.6, two)
    once = diffusion.sample(lambda x, a, s: data, VP, jnp.array([0.8, 0.6]), x, "ddim").end
    np.testing.assert_allclose(once, two, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vp", "edm"])
def test_densities_by_the_flow_are_the_exact_ones(name):
    noise = diffusion.noise(name)
    x = PLANE.sample(jax.random.key(6), 8)
    first = noise(noise.first)
    found = flow_maps.log_density(Exact(PLANE), noise, x, 200)
    exact = Exact(PLANE).log_density(x, first.a, first.s)
    # at the last time the law is not quite N(0, s^2): of vp by a = 0.0066, of edm by 1 / 80
    np.testing.assert_allclose(found.log_density, exact, atol=0.03)
    law = gaussian([0.0, 0.0], 1.0)  # which vp keeps
    if name == "vp":
        found = flow_maps.log_density(Exact(law), noise, x, 100)
        np.testing.assert_allclose(found.log_density, law.log_prob(x), atol=1e-4)  # but that s(1)^2 is 4e-5 below 1


@pytest.mark.slow
def test_guidance_of_gaussians_in_closed_form():
    for mean, deviation, w in ((1.5, 0.5, 2.0), (-0.7, 0.8, 0.5), (1.0, 0.6, 0.0)):
        guided = Guided(Exact(gaussian([mean], deviation**2)), Exact(gaussian([0.0], 1.0)), w)
        x = jnp.array([[-1.0], [0.0], [1.0]])
        end = np.asarray(diffusion.sample(guided, VP, diffusion.grid(VP, 400), x).end)[:, 0]
        exact = predictions.guided_gaussian(mean, deviation, w)
        a = float(VP(VP.last).a)  # the start is N(0, 1) though a little of the data is left
        np.testing.assert_allclose((end[2] - end[0]) / 2, exact.deviation, rtol=5e-3)
        np.testing.assert_allclose(end[1], exact.mean, atol=3 * a + 2e-3)
    for mean, deviation, w in ((1.5, 0.03, 1.0), (1.5, 0.001, 1.0), (1.0, 0.001, 0.0), (0.4, 1.5, 2.0)):
        v = lambda a, s0=deviation: 1 - a**2 * (1 - s0**2)  # noqa: E731
        power = (1 + w) / 2
        integrand = lambda a, m=mean, p=power, w=w, s0=deviation, v=v: (1 + w) * m * (s0**2 / v(a)) ** p / v(a)  # noqa: E731
        exact = integrate.quad(integrand, 0, 1, points=[1 - deviation**2, 1 - 30 * deviation**2], limit=500)[0]
        np.testing.assert_allclose(predictions.guided_gaussian(mean, deviation, w).mean, exact, rtol=1e-6)
    tilted = predictions.tilted_gaussian(1.5, 0.5, 2.0)
    grid = np.linspace(-6, 8, 200_001)
    density = stats.norm.pdf(grid, 1.5, 0.5) ** 3 / stats.norm.pdf(grid) ** 2
    mass = density.sum()
    np.testing.assert_allclose(tilted.mean, (grid * density).sum() / mass, rtol=1e-6)
    np.testing.assert_allclose(tilted.deviation**2, ((grid - 1.8) ** 2 * density).sum() / mass, rtol=1e-5)
    assert np.isnan(float(predictions.tilted_gaussian(0.0, 2.0, 1.0).deviation))


def test_guidance_at_the_ends_of_its_range_and_in_every_parametrisation():
    one = diffusion.of_class(PLANE, [0])
    both = diffusion.of_class(PLANE, [1, 2])
    np.testing.assert_allclose(both.weights, WEIGHTS[1:] / 0.7, rtol=1e-12)
    conditional, whole = Exact(one), Exact(PLANE)
    x = jnp.asarray(np.random.default_rng(7).normal(size=(5, 2)))
    level = VP(0.4)
    a, s = level.a, level.s
    np.testing.assert_allclose(Guided(conditional, whole, 0.0)(x, a, s), conditional(x, a, s), atol=1e-14)
    np.testing.assert_allclose(Guided(conditional, whole, -1.0)(x, a, s), whole(x, a, s), atol=1e-14)
    w = 1.7
    guided = Guided(conditional, whole, w)(x, a, s)

    # classifier guidance: the score of the condition moved along the gradient of log p(c | x)
    def log_class(x):
        return (conditional.log_density(x, a, s) - whole.log_density(x, a, s)).sum()

    score = diffusion.convert(level, x, conditional(x, a, s), "data", "score") + w * jax.grad(log_class)(x)
    np.testing.assert_allclose(diffusion.convert(level, x, guided, "data", "score"), score, atol=1e-10)
    np.testing.assert_allclose(diffusion.of_class(PLANE, np.array([1, 1, 2])).weights, both.weights)
    with pytest.raises(ValueError, match=r"members = \[3\], but whole numbers from 0 to 2 are needed"):
        diffusion.of_class(PLANE, [3])


def test_a_denoiser_of_the_lab_is_a_prediction():
    images = np.random.default_rng(8).uniform(-1, 1, size=(30, 1, 3, 3))
    x = jnp.asarray(np.random.default_rng(9).normal(size=(4, 9)))
    level = VP(0.5)
    points = Exact(paths.Empirical(images.reshape(30, 9)))
    prediction = diffusion.Denoised(denoise.Optimal(denoise.Images(images)))
    np.testing.assert_allclose(prediction(x, level.a, level.s), points(x, level.a, level.s), atol=1e-8)
