"""Exact fields: the transport equation for every pair of laws, then brute force, closed forms and the sheets' numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp, softmax
from scipy.stats import chisquare, norm

from lab.paths import fields, laws
from lab.paths.laws import Boxes, Empirical, Joint, Mixture, Pairs, checkerboard, gaussian, standard
from lab.paths.schedules import (
    VE,
    VP,
    Brownian,
    ConstantSpeedVP,
    Custom,
    EncoderDecoder,
    Linear,
    Mirror,
    Quadratic,
    SineSquared,
    SubVP,
    Trigonometric,
)

RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(40, 2)), RNG.normal(size=(30, 2)) + 1
FULL = [[[0.5, 0.2], [0.2, 0.4]], [[0.7, -0.3], [-0.3, 0.6]], [[0.3, 0.1], [0.1, 0.9]]]
THREE = Mixture([0.3, 0.5, 0.2], [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]], FULL)
TWO = Mixture([0.4, 0.6], [[-1.0, 0.3], [1.0, 0.5]], [0.6, 0.8])
DIAGONAL = Mixture([0.4, 0.6], [[-1.0, 0.3], [1.0, 0.5]], [[0.6, 0.4], [0.8, 0.9]])
COUPLED = Joint([0.3, 0.5, 0.2], THREE.means, THREE.means + 1, FULL, FULL, RNG.normal(size=(3, 2, 2)) * 0.1)
NOISY = Linear(Brownian(0.7))


def test_cross_covariance_of_both_ends_counts_what_is_between_components_too():
    x, y, w = (np.asarray(z) for z in (COUPLED.source, COUPLED.target, COUPLED.weights))
    product = np.einsum("k,kab->ab", w, np.asarray(COUPLED.cross) + x[:, :, None] * y[:, None, :])
    np.testing.assert_allclose(COUPLED.cross_covariance(), product - np.outer(w @ x, w @ y), atol=1e-14)
    pairs = Pairs(A[:30], B)
    np.testing.assert_allclose(pairs.cross_covariance(), np.cov(A[:30].T, B.T, bias=True)[:2, 2:], atol=1e-14)


CASES = {
    "isotropic mixtures": (NOISY, TWO, TWO),
    "isotropic and full": (Trigonometric(Quadratic()), TWO, THREE),
    "diagonal and full, through the latent": (EncoderDecoder(), DIAGONAL, THREE),
    "joint mixture": (NOISY, COUPLED, None),
    "noise to points, vp": (VP(), standard(2), Empirical(A)),
    "noise to points, constant speed": (ConstantSpeedVP(), standard(2), Empirical(A)),
    "mixture to points": (Linear(), DIAGONAL, Empirical(A)),
    "full mixture to points": (SubVP(), THREE, Empirical(A)),
    "points to mixture": (Linear(), Empirical(A), gaussian([0.5, 0.0], [0.8, 1.2])),
    "points to points": (Linear(Brownian(2.0)), A, B),
    "noise to boxes": (Linear(), standard(2), checkerboard()),
    "mixture to boxes, latent": (Trigonometric(SineSquared(0.5)), DIAGONAL, checkerboard()),
    "boxes to noise": (Linear(), checkerboard(), standard(2)),
    "points to boxes": (Linear(Brownian(2.0)), A, checkerboard()),
    "pairs": (Linear(), Pairs(A[:30], B, 0.5), None),
    "mirror": (Mirror(Brownian(2.0)), THREE, None),
    "mirror of points": (Mirror(Brownian(2.0)), A, None),
    "variance exploding": (VE(0.3, 5.0), standard(2), Empirical(A)),
    "own schedule": (Custom(lambda t: (1 - t) ** 2, lambda t: t**1.5, lambda t: t * (1 - t)), TWO, TWO),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_transport_equation_score_and_sum_of_means(name):
    """d_t p + div(b p) = 0 over p, the score as the gradient of log p, alpha x0 + beta x1 + gamma z = x."""
    schedule, source, target = CASES[name]
    field = fields.exact(schedule, source, target)
    x, t, h = np.asarray([[0.3, -0.4], [-1.1, 0.7], [0.9, 1.3]]), 0.45, 1e-4
    step = np.concatenate([np.zeros((1, 2)), h * np.eye(2), -h * np.eye(2)])
    cloud = jnp.asarray((x[None] + step[:, None]).reshape(-1, 2))
    now, after, before = ([np.asarray(z).reshape(5, 3, -1) for z in field(time, cloud)] for time in (t, t + h, t - h))
    velocity, score, x0, x1, z, log_density = now
    slope = np.stack([(log_density[1 + k] - log_density[3 + k])[:, 0] for k in range(2)], 1) / (2 * h)
    np.testing.assert_allclose(score[0], slope, rtol=1e-5, atol=1e-6)
    change = (after[-1][0] - before[-1][0])[:, 0] / (2 * h)
    spread = sum((velocity[1 + k] - velocity[3 + k])[:, k] for k in range(2)) / (2 * h)
    flux = spread + (velocity[0] * slope).sum(1)
    scale = np.abs(change) + np.abs(spread) + np.abs((velocity[0] * slope).sum(1))
    np.testing.assert_allclose(change / scale, -flux / scale, atol=2e-6)
    c = schedule(t)
    if name != "pairs":  # whose smoothing is a fourth term
        np.testing.assert_allclose(c.alpha * x0[0] + c.beta * x1[0] + c.gamma * z[0], x, atol=1e-13)
        np.testing.assert_allclose(z, -float(c.gamma) * score, atol=1e-14)


@pytest.mark.slow
def test_ends_have_the_given_laws():
    field = fields.exact(Trigonometric(Brownian(2.0)), TWO, THREE)
    x = jnp.asarray(A[:5] * 2)
    np.testing.assert_allclose(field.log_density(0, x), TWO.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(field.log_density(1, x), THREE.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(field.score(1.0, x), THREE.score(x), rtol=1e-12)


def test_velocity_at_the_ends_of_a_brownian_latent():
    """b(0, x) = E x1 - x - (a/2) s_0(x), b(1, x) = x - E x0 + (a/2) s_1(x)."""
    a = 1.4
    field = fields.exact(Linear(Brownian(a)), TWO, THREE)
    x = jnp.asarray(A[:5])
    first = THREE.moments().mean[None] - x - a / 2 * TWO.score(x)
    last = x - TWO.moments().mean[None] + a / 2 * THREE.score(x)
    np.testing.assert_allclose(field.velocity(0, x), first, atol=1e-12)
    np.testing.assert_allclose(field.velocity(1, x), last, atol=1e-12)


def test_one_sided_limit_where_the_derivative_is_infinite():
    """N(0, 1) to N(0, v), alpha = sqrt(1 - t^2): x_t is Gaussian of variance V = 1 - t^2 + v t^2, b = V' x / (2 V)."""
    field = fields.exact(ConstantSpeedVP(), standard(1), gaussian([0.0], 0.25))
    x = jnp.asarray([[0.7], [-1.2]])
    np.testing.assert_allclose(field.velocity(1, x), -0.75 / 0.25 * x, rtol=1e-6)
    np.testing.assert_allclose(field.velocity(0.6, x), 0.6 * -0.75 / (1 - 0.75 * 0.36) * x, rtol=1e-12)


def test_rectified_flow_of_two_gaussians_that_do_not_commute():
    """v = A x + m with A = (t S1 - (1-t) S0)((1-t)^2 S0 + t^2 S1)^-1 for a source of mean 0."""
    s0, s1 = np.asarray([[1, 0.6], [0.6, 0.5]]), np.asarray([[0.4, -0.2], [-0.2, 1.2]])
    field = fields.exact(Linear(), gaussian([0.0, 0.0], s0), gaussian([1.0, -2.0], s1))
    x = RNG.normal(size=(4, 2))
    for t in (0.0, 0.3, 1.0):
        a = (t * s1 - (1 - t) * s0) @ np.linalg.inv((1 - t) ** 2 * s0 + t**2 * s1)
        m = np.asarray([1.0, -2.0])
        np.testing.assert_allclose(field.velocity(t, x), (x - t * m) @ a.T + m, rtol=1e-10)


def test_coupled_gaussians_by_conditioning_written_out():
    c0, c1, cross = np.asarray(FULL[0]), np.asarray(FULL[1]), np.asarray([[0.2, -0.1], [0.05, 0.3]])
    m0, m1, schedule, t = np.asarray([0.5, 0.0]), np.asarray([-1.0, 1.0]), Linear(Brownian(0.3)), 0.37
    field = fields.exact(schedule, Joint([1.0], [m0], [m1], [c0], [c1], [cross]))
    c = schedule(t)
    a, b, g = (float(v) for v in (c.alpha, c.beta, c.gamma))
    whole = np.block([[c0, cross, np.zeros((2, 2))], [cross.T, c1, np.zeros((2, 2))], [np.zeros((2, 4)), np.eye(2)]])
    row = np.hstack([a * np.eye(2), b * np.eye(2), g * np.eye(2)])
    x = np.asarray([[0.3, 0.8], [-1.0, 0.1]])
    means = np.concatenate([m0, m1, [0, 0]])
    gain = whole @ row.T @ np.linalg.inv(row @ whole @ row.T)
    expected = means[None] + (x - (row @ means)[None]) @ gain.T
    found = field(t, x)
    np.testing.assert_allclose(np.hstack([found.x0, found.x1, found.z]), expected, atol=1e-12)
    # z of gamma' z: the velocity by the latent itself
    velocity = (
        expected[:, :2] * float(c.d_alpha) + expected[:, 2:4] * float(c.d_beta) + expected[:, 4:] * float(c.gg) / g
    )
    np.testing.assert_allclose(found.velocity, velocity, atol=1e-12)


@pytest.mark.parametrize("d", [3, 40])  # distances by coordinates, and by a product of matrices
def test_points_in_blocks_equal_all_at_once(d):
    a, y = RNG.normal(size=(300, d)), RNG.normal(size=(35, d))
    points, weights, x = jnp.asarray(a), softmax(RNG.normal(size=300)), jnp.asarray(y)
    blocks = fields.exact(
        Linear(), standard(d), Empirical(points, weights, block_bytes=1)
    )  # of 12 rows, one of them filled up
    t = 0.8
    logits = np.log(weights)[None] - ((y[:, None] - t * a[None]) ** 2).sum(2) / (2 * (1 - t) ** 2)
    found = blocks(t, x)
    np.testing.assert_allclose(found.x1, softmax(logits, axis=1) @ a, atol=1e-10)
    expected = logsumexp(logits, axis=1) - d / 2 * np.log(2 * np.pi * (1 - t) ** 2)
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-11)
    np.testing.assert_allclose(found.velocity, (found.x1 - x) / (1 - t), atol=1e-9)
    if d == 3:  # reverse mode goes through the blocks
        slope = jax.jit(jax.grad(lambda x: blocks(t, x).log_density.sum()))(x)
        np.testing.assert_allclose(slope, found.score, atol=1e-9)
        one = Empirical(points.astype(jnp.float32), jnp.float32(weights), block_bytes=1)
        single = fields.exact(Linear(), standard(d, jnp.float32), one)(t, x.astype(jnp.float32))
        assert {z.dtype for z in single} == {jnp.dtype(jnp.float32)}
        np.testing.assert_allclose(single.velocity, found.velocity, atol=1e-4)


def test_far_points_do_not_underflow():
    field = fields.exact(Linear(), standard(2), Empirical([[0.0, 0.0], [1.0, 0.0]]))
    found = field(0.999, jnp.asarray([[0.4, 80.0], [900.0, 0.0]]))
    np.testing.assert_allclose(found.x1, [[0, 0], [1, 0]], atol=1e-12)
    assert all(bool(jnp.isfinite(z).all()) for z in found)


@pytest.mark.parametrize(
    ("y", "scale", "spread"), [(0.3, 0.5, 0.4), (6.0, 1.0, 0.3), (-4.0, 0.8, 0.2), (0.7, 1e-3, 1.0), (0.2, 0.0, 1.0)]
)
def test_boxes_by_quadrature(y, scale, spread):
    boxes = Boxes([[-1.0], [0.5]], [[0.0], [2.0]], [0.3, 0.7])
    mean, log_density = boxes.denoise(jnp.asarray([[y]]), scale, spread**2)
    height = {(-1.0, 0.0): 0.3, (0.5, 2.0): 0.7 / 1.5}
    shift = norm.logpdf(y, scale * np.clip(y / scale if scale else 0, -1, 2), spread)  # the far tails underflow

    def integral(power):
        def density(u):
            return u**power * np.exp(norm.logpdf(y, scale * u, spread) - shift)

        return sum(h * quad(density, *ends, epsabs=0, epsrel=1e-12, limit=200)[0] for ends, h in height.items())

    total = integral(0)
    np.testing.assert_allclose(log_density[0], np.log(total) + shift, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(mean[0, 0], integral(1) / total, rtol=1e-9)


@pytest.mark.slow
def test_boxes_far_outside_and_their_gradient():
    boxes = checkerboard()
    mean, log_density = boxes.denoise(jnp.asarray([[60.0, -55.0], [0.1, 0.2]]), 1.0, 0.04)
    assert jnp.isfinite(log_density).all()
    assert bool((jnp.abs(mean) <= 2 / (4 / 3) ** 0.5 + 1e-12).all())
    slope = jax.jit(jax.grad(lambda y: boxes.denoise(y, 0.7, 0.1)[1].sum()))
    assert jnp.isfinite(slope(jnp.asarray([[0.0, 0.0], [30.0, 1.0]]))).all()
    moments = boxes.moments()
    np.testing.assert_allclose(moments.mean, 0, atol=1e-14)
    np.testing.assert_allclose(jnp.diag(moments.covariance), 1, rtol=1e-14)
    assert jnp.isfinite(boxes.log_prob(boxes.sample(jax.random.key(0), 50))).all()


@pytest.mark.slow
def test_a_tilt_is_the_weighted_coupling_of_the_sheet():
    """N(0, 1) to four points with w = exp(-(x-y)^2/2): against sums over a fine grid of the source."""
    y, t, z = np.asarray([-2, -0.5, 1, 3.0]), 0.55, np.asarray([[-0.9], [0.2], [1.3]])
    field = fields.exact(Linear(), standard(1), Empirical(y[:, None]), tilt=lambda pair: -pair.squared_distance / 2)
    found = field(t, z)
    source = (z - t * y[None]) / (1 - t)  # of each point and atom
    logits = -(source**2) / 2 - (source - y[None]) ** 2 / 2
    q = np.exp(logits - logits.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    np.testing.assert_allclose(found.velocity[:, 0], (q * (y[None] - source)).sum(1), rtol=1e-12)
    np.testing.assert_allclose(found.x0[:, 0], (q * source).sum(1), rtol=1e-12)
    # tilted target masses, from the density at the end of the path: (.1679, .4287, .3554, .0481)
    ends = np.concatenate([np.linspace(c - 0.08, c + 0.08, 401) for c in y])[:, None]
    mass = np.exp(field.log_density(0.99, ends)).reshape(4, 401).sum(1)
    np.testing.assert_allclose(mass / mass.sum(), [0.1679, 0.4287, 0.3554, 0.0481], atol=6e-4)
    h = 1e-5
    slope = (field.log_density(t, z + h) - field.log_density(t, z - h)) / (2 * h)
    np.testing.assert_allclose(found.score[:, 0], slope, rtol=1e-7)


@pytest.mark.slow
def test_a_tilt_sees_true_pairs():
    """With a source that is not centred, in one dimension less trivial: x0, x1 and the squares agree with each other."""
    seen = {}

    def tilt(pair):
        seen.update(
            x0=pair.squared_x0 - (pair.x0**2).sum(2),
            x1=pair.squared_x1 - (pair.x1**2).sum(2),
            apart=pair.squared_distance - ((pair.x1 - pair.x0) ** 2).sum(2),
            back=pair.alpha * pair.x0 + pair.beta * pair.x1 - pair.x[:, None],
        )
        return sum(jnp.abs(v).max() for v in seen.values()) * jnp.ones_like(pair.squared_x0)

    source = gaussian([1.0, -2.0], 0.5)
    tilted = fields.exact(Trigonometric(), source, A, tilt=tilt)(0.4, B[:4])
    plain = fields.exact(Trigonometric(), source, A)(0.4, B[:4])
    np.testing.assert_allclose(tilted.log_density, plain.log_density, atol=1e-11)  # so all differences are 0
    np.testing.assert_allclose(tilted.velocity, plain.velocity, atol=1e-11)
    np.testing.assert_allclose(tilted.score, plain.score, atol=1e-10)


def test_pairs_are_the_nadaraya_watson_mean():
    x0, x1, h, t = A[:30], B, 0.3, 0.6
    field = fields.exact(Linear(), Pairs(x0, x1, h))
    x = RNG.normal(size=(4, 2))
    w = np.exp(-((x[:, None] - ((1 - t) * x0 + t * x1)[None]) ** 2).sum(2) / (2 * h * h))
    w /= w.sum(1, keepdims=True)
    np.testing.assert_allclose(field.velocity(t, x), w @ (x1 - x0), atol=1e-12)


def test_mirror_has_no_velocity_but_that_of_the_noise():
    field = fields.exact(Mirror(Brownian(1.0)), THREE)
    x = jnp.asarray(A[:4])
    found = field(0.2, x)
    np.testing.assert_allclose(found.velocity, -(1 - 2 * 0.2) / 2 * found.score, atol=1e-14)
    np.testing.assert_array_equal(found.x0, found.x1)
    widened = Mixture(THREE.weights, THREE.means, THREE.covariances + 0.16 * jnp.eye(2)[None])
    np.testing.assert_allclose(found.score, widened.score(x), atol=1e-12)


@pytest.mark.slow
def test_gradient_in_the_schedule_and_a_sweep_of_it():
    x = jnp.asarray(A[:3])

    @jax.jit
    def energy(a):
        return (fields.exact(Linear(Brownian(a)), TWO, THREE)(0.3, x).velocity ** 2).sum()

    h = 1e-5
    np.testing.assert_allclose(jax.jit(jax.grad(energy))(0.8), (energy(0.8 + h) - energy(0.8 - h)) / (2 * h), rtol=1e-7)
    levels = jnp.asarray([0.5, 0.8])
    np.testing.assert_allclose(jax.vmap(energy)(levels), [energy(0.5), energy(0.8)], rtol=1e-12)


def test_the_transport_of_a_law_of_your_own():
    class Line:
        """Two atoms, in the form that the lab asks for."""

        dimension = 1
        compiled = 0

        def denoise(self, y, scale, covariance):
            self.compiled += 1
            mean = jnp.tanh(scale * y / covariance)
            log = -(y[:, 0] ** 2 + scale**2) / (2 * covariance) + jnp.log(jnp.cosh(scale * y[:, 0] / covariance))
            return mean, log - jnp.log(2 * jnp.pi * covariance) / 2

    x, line = jnp.asarray([[0.3], [-1.0]]), Line()
    for fastest, t in ((20.0, 0.7), (10.0, 0.6)):
        own = fields.exact(VP(0.1, fastest), standard(1), line)(t, x)
        points = fields.exact(VP(0.1, fastest), standard(1), [[-1.0], [1.0]])(t, x)
        for mine, theirs in zip(own, points, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)
    assert line.compiled == 1  # one program serves every number of a schedule


@pytest.mark.slow
def test_numpyro_distributions_are_laws():
    npd = pytest.importorskip("numpyro.distributions")
    mixing = npd.Categorical(jnp.asarray(THREE.weights))
    full = laws.law(npd.MixtureSameFamily(mixing, npd.MultivariateNormal(THREE.means, THREE.covariances)))
    for mine, theirs in zip(jax.tree.leaves(full), jax.tree.leaves(THREE), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    diagonal = laws.law(npd.MixtureSameFamily(mixing, npd.Normal(THREE.means, 0.5).to_event(1)))
    np.testing.assert_array_equal(diagonal.covariances, np.full((3, 2), 0.25))
    np.testing.assert_array_equal(diagonal.means, THREE.means)
    one = laws.law(npd.MultivariateNormal(jnp.asarray([1.0, 0.0]), jnp.asarray(FULL[0])))
    np.testing.assert_allclose(one.covariances, FULL[:1], atol=1e-12)
    np.testing.assert_array_equal(one.means, [[1, 0]])
    np.testing.assert_allclose(laws.law(npd.Uniform(-jnp.ones(2), 1.0).to_event(1)).high, [[1, 1]])
    with pytest.raises(TypeError, match="numpyro's Gamma is not supported"):
        laws.law(npd.Gamma(1.0, 1.0))


def test_joint_samples_have_the_cross_covariance():
    x0, x1 = COUPLED.sample(jax.random.key(0), 20_000)
    weights, m0, m1, c01 = (np.asarray(z) for z in (COUPLED.weights, COUPLED.source, COUPLED.target, COUPLED.cross))
    mean0, mean1 = weights @ m0, weights @ m1
    x0, x1 = np.asarray(x0), np.asarray(x1)
    products = (x0 - mean0[None])[:, :, None] * (x1 - mean1[None])[:, None, :]
    between = np.einsum("k,ka,kb->ab", weights, m0 - mean0[None], m1 - mean1[None])
    expected = np.einsum("k,kab->ab", weights, c01) + between
    assert (np.abs(products.mean(0) - expected) < 4 * products.std(0) / 20_000**0.5).all()


def test_points_are_drawn_by_weight_and_those_without_weight_never():
    weights = np.asarray([0.0, 0.5, 0.2, 0.3, 0.0])
    law = Empirical(np.arange(5.0)[:, None], weights)
    counts = np.bincount(np.asarray(law.sample(jax.random.key(0), 20_000))[:, 0].astype(int), minlength=5)
    assert counts[0] == counts[4] == 0
    assert chisquare(counts[1:4], 20_000 * weights[1:4]).pvalue > 0.01
    x = jnp.asarray([[0.5], [2.0]])
    field = fields.exact(Linear(Brownian()), law, [[1.0], [2.0]])
    without = fields.exact(Linear(Brownian()), Empirical(np.arange(1.0, 4)[:, None], weights[1:4]), [[1.0], [2.0]])
    np.testing.assert_allclose(field.velocity(0.5, x), without.velocity(0.5, x), atol=1e-13)
    times = jax.vmap(lambda t: field.log_density(t, x))(jnp.asarray([0.3, 0.5]))  # a picture of space and time
    np.testing.assert_allclose(times[1], field.log_density(0.5, x), rtol=1e-13)


def test_refusals_say_what_to_do():
    field = fields.exact(Linear(), standard(2), A)
    with pytest.raises(ValueError, match=r"at t = 1: use t < 1, for example 0.9999"):
        field(1.0, A)
    with pytest.raises(ValueError, match=r"at t = 0: use t > 0"):
        fields.exact(Linear(Brownian()), A, B)(0, A)
    with pytest.raises(ValueError, match=r"t = 1.2, but"):
        field(1.2, A)
    with pytest.raises(ValueError, match=r"shape \(n, 2\) is needed"):
        field(0.5, A[:, :1])
    with pytest.raises(ValueError, match="latent noise"):
        fields.exact(Linear(), A, B)
    with pytest.raises(ValueError, match="bandwidth"):
        fields.exact(Linear(), Pairs(A[:30], B))
    with pytest.raises(ValueError, match="dimensions 1 and 2"):
        fields.exact(Linear(), standard(1), A)
    with pytest.raises(ValueError, match="dimensions 1 and 2"):
        fields.exact(Linear(), standard(1), THREE)
    with pytest.raises(ValueError, match="without latent noise"):
        fields.exact(NOISY, standard(2), A, tilt=lambda pair: 0.0)
    with pytest.raises(ValueError, match="Empirical target"):
        fields.exact(Linear(), standard(2), THREE, tilt=lambda pair: 0.0)
    with pytest.raises(ValueError, match="no exact field"):
        fields.exact(NOISY, checkerboard(), checkerboard())
    with pytest.raises(ValueError, match="independent coordinates"):
        fields.exact(Linear(), THREE, checkerboard())(0.5, A)
    with pytest.raises(TypeError, match="no joint law"):
        fields.exact(Linear(), THREE)
    with pytest.raises(TypeError, match="is no law"):
        laws.law("moons")
    with pytest.raises(ValueError, match="low < high"):
        Boxes([[0.0]], [[0.0]])
    with pytest.raises(ValueError, match="must sum to one"):
        Empirical(A, np.ones(40))
    with pytest.raises(ValueError, match="cross is too large"):
        Joint([1.0], [[0.0]], [[0.0]], [1.0], [1.0], [[[2.0]]])
