"""The numpyro distributions: normalised, differentiable, never NaN, and fit for inference."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from lab import sampling
from lab.sampling import ensembles
from lab.sampling.distributions import KDPP, ContinuousDPP, LEnsemble, ProjectionDPP

X = np.linspace(0, 3, 6)
MASKS = np.array(list(itertools.product([False, True], repeat=6)))
TRIPLES = np.array(list(itertools.combinations(range(6), 3)))


def kernel(length):
    apart = (X[:, None] - X[None, :]) / length
    return 1.5 * jnp.exp(-(apart**2) / 2) + 1e-4 * jnp.eye(6)


@pytest.mark.slow
def test_they_sum_to_one():
    features = np.random.default_rng(0).normal(size=(6, 3))
    for law, values in (
        (LEnsemble(kernel(0.8)), MASKS),
        (KDPP(kernel(0.8), 3), TRIPLES),
        (ProjectionDPP(features), TRIPLES),
    ):
        logs = jax.jit(lambda values, law=law: law.log_prob(values))(values)
        np.testing.assert_allclose(np.exp(logs).sum(), 1, atol=1e-10)
    wide = np.concatenate([features, np.zeros((80, 3))])  # the route for many items
    np.testing.assert_allclose(jax.jit(lambda: ProjectionDPP(wide).log_prob(TRIPLES))(), logs, atol=1e-10)


@pytest.mark.slow
def test_gradients():
    """With respect to the whole kernel, against central differences."""
    start = kernel(0.8)
    mask, triple = MASKS[37], TRIPLES[5]
    for function in (
        lambda l: LEnsemble((l + l.T) / 2).log_prob(mask),
        lambda l: KDPP((l + l.T) / 2, 3).log_prob(triple),
        lambda l: ProjectionDPP(l[:, :3]).log_prob(triple),
    ):
        slope = jax.jit(jax.grad(function))(start)
        compiled = jax.jit(function)
        for i, j in ((0, 0), (1, 2), (4, 1)):
            step = jnp.zeros((6, 6)).at[i, j].set(1e-6)
            wanted = (compiled(start + step) - compiled(start - step)) / 2e-6
            np.testing.assert_allclose(slope[i, j], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_what_is_impossible():
    low = np.outer(X, X) + 1.0  # rank 2
    law = LEnsemble(low)
    assert law.log_prob(MASKS[-1]) == -jnp.inf
    assert jnp.isfinite(jax.grad(lambda c: LEnsemble(c * low).log_prob(MASKS[-1]))(1.0))
    law = KDPP(kernel(0.8), 3)
    for bad in ([1, 1, 2], [0, 1, 6], [-1, 2, 3]):
        assert law.log_prob(np.array(bad)) == -jnp.inf
        assert not law.support(np.array(bad))
    with pytest.raises(ValueError, match="rank 2"):
        KDPP(low, 3).sample(jax.random.key(0))
    with pytest.raises(ValueError, match="k = 7"):
        KDPP(low, 7)
    with pytest.raises(ValueError, match="N >= m"):
        ProjectionDPP(np.ones((2, 3)))
    with pytest.raises(ValueError, match="square"):
        LEnsemble(np.ones((2, 3)))


@pytest.mark.slow
def test_what_is_refused_and_never_nan():
    """L that is indefinite or of too low a rank, known or traced; values of another size; bases without a density."""
    low, wrong = np.outer(X, X) + 1.0, kernel(0.8) - 0.5 * jnp.eye(6)
    features = np.random.default_rng(0).normal(size=(6, 3))
    subsets, points = KDPP(kernel(0.8), 3), ContinuousDPP(sampling.legendre(3))
    for call, sentence in (
        (lambda: KDPP(low, 3), "L has rank 2"),
        (lambda: KDPP(wrong, 2), "not positive semi-definite"),
        (lambda: LEnsemble(wrong), "not positive semi-definite"),
        (lambda: ProjectionDPP(features[:, [0, 1, 1]]), "linearly dependent"),
        (lambda: subsets.log_prob(np.array([0, 1])), r"shape \(2,\), but draws of shape \(..., 3,\) are needed"),
        (lambda: ProjectionDPP(features).log_prob(np.array([0, 1])), "but draws of shape"),
        (lambda: LEnsemble(kernel(0.8)).log_prob(np.ones(5)), "but draws of shape"),
        (lambda: points.log_prob(np.ones((3, 2))), r"shape \(3, 2\), but draws of shape \(..., 3, 1\) are needed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
    with pytest.raises(TypeError, match="take a Product"):
        ContinuousDPP(sampling.finite(features))
    for traced in (low, wrong, jnp.zeros((6, 6))):
        values = jax.jit(lambda l: (KDPP(l, 3).log_prob(TRIPLES), LEnsemble(l).log_prob(MASKS)))(traced)
        assert not any(np.isnan(each).any() for each in values)
        assert (values[0] == -jnp.inf).all()
    assert LEnsemble(jnp.zeros((6, 6))).log_prob(np.zeros(6, bool)) == 0
    assert LEnsemble(kernel(0.8)).log_prob(2 * MASKS[-1]) == -jnp.inf
    assert points.log_prob(jnp.asarray([[0.1], [0.2], [1.5]])) == -jnp.inf
    far = ContinuousDPP(sampling.hermite(3)).log_prob(jnp.asarray([[1.0], [-1e200], [1e120]]))
    assert far == -jnp.inf
    rows = jnp.asarray(features)
    assert ensembles.log_volume(rows, jnp.asarray([0, 1, 1, 2])) == -jnp.inf
    with pytest.raises(ValueError, match="the subset has 2 rows"):
        ensembles.log_volume(rows, jnp.asarray([0, 1]))


@pytest.mark.slow
def test_a_continuous_one_is_a_density():
    """For Lebesgue measure: its integral over the square is 1, on the line, on an interval and on the circle."""
    for law, (low, high) in (
        (ContinuousDPP(sampling.legendre(2)), (-1, 1)),
        (ContinuousDPP(sampling.hermite(2)), (-8, 8)),
        (ContinuousDPP(sampling.haar(2)), (0, 1)),
    ):
        at = low + (high - low) * (np.arange(80) + 0.5) / 80
        pairs = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2, 1)
        np.testing.assert_allclose(jnp.exp(law.log_prob(pairs)).sum() * ((high - low) / 80) ** 2, 1, atol=2e-3)
        # back and forth, with the slope of the way
        way = dist.biject_to(law.support)
        free = jnp.asarray([[0.3], [-1.2]])
        np.testing.assert_allclose(way._inverse(way(free)), free, atol=1e-12)
        slope = jax.jacobian(lambda x, way=way: way(x).ravel())(free).reshape(2, 2)
        np.testing.assert_allclose(way.log_abs_det_jacobian(free, way(free)), jnp.linalg.slogdet(slope)[1], atol=1e-12)
        assert law.support(way(free))


@pytest.mark.slow
def test_a_continuous_one_is_a_latent_site():
    r"""NUTS finds the exact laws: $E x^2 = 2$ and $E x y = -1$ of two Hermite points, $E \cos 2 \pi (x - y) = -1/3$ of three
    Fourier points; and of a plane, whose law is that of two Legendre points across, $E x y = -1/3$ and $E x^2 = 7/15$."""
    plane = sampling.Product((sampling.legendre(2).families[0], sampling.hermite(2).families[0]), ((0, 0), (1, 0)))

    def model():
        numpyro.sample("h", ContinuousDPP(sampling.hermite(2)))
        numpyro.sample("f", ContinuousDPP(sampling.fourier(3)))
        numpyro.sample("p", ContinuousDPP(plane))

    nuts = numpyro.infer.MCMC(numpyro.infer.NUTS(model), num_warmup=200, num_samples=1200, progress_bar=False)
    nuts.run(jax.random.key(0))
    drawn = {name: np.asarray(values) for name, values in nuts.get_samples().items()}
    (h, g), fourier = (drawn[name][..., 0].T for name in "hf")
    pairs = np.mean([np.cos(2 * np.pi * (fourier[i] - fourier[j])) for i, j in ((0, 1), (1, 2), (2, 0))], axis=0)
    across, up = drawn["p"][..., 0], drawn["p"][..., 1]
    for values, wanted in (
        ((h**2 + g**2) / 2, 2),
        (h * g, -1),
        (pairs, -1 / 3),  # the mean over pairs: a chain rarely exchanges two points, where the density vanishes
        (across.prod(axis=1), -1 / 3),
        ((across**2).mean(axis=1), 7 / 15),
        ((up**2).mean(axis=1), 1),
    ):
        blocks = values.reshape(20, 60).mean(axis=1)
        assert abs(blocks.mean() - wanted) < 4.5 * blocks.std(ddof=1) / 20**0.5


@pytest.mark.slow
def test_samples():
    key = jax.random.key(0)
    law = KDPP(kernel(0.8), 3)
    drawn = law.sample(key, (2, 200))
    assert drawn.shape == (2, 200, 3)
    logs, seen = jax.jit(lambda drawn: (law.log_prob(TRIPLES), -law.log_prob(drawn)))(drawn)
    assert seen.shape == (2, 200)
    entropy = -np.sum(np.exp(logs) * np.asarray(logs))
    assert abs(seen.mean() - entropy) < 4 * seen.std() / 20
    assert LEnsemble(kernel(0.8)).sample(key).shape == (6,)
    basis = sampling.legendre(3)
    law = ContinuousDPP(basis)
    points = law.sample(key, (4,))
    assert points.shape == (4, 3, 1)
    wanted = 2 * np.log(abs(np.linalg.det(np.asarray(basis(points[1]))))) - np.log(6) - 3 * np.log(2)
    np.testing.assert_allclose(law.log_prob(points)[1], wanted, rtol=1e-10)


@pytest.mark.slow
def test_a_length_scale_is_inferred():
    """From 80 subsets, by NUTS: the posterior holds the truth, and is that of a grid."""
    observed = LEnsemble(kernel(0.8)).sample(jax.random.key(2), (80,))

    def model(observed):
        length = numpyro.sample("length", dist.LogNormal(0.0, 1.0))
        with numpyro.plate("subsets", len(observed)):
            numpyro.sample("S", LEnsemble(kernel(length)), obs=observed)

    nuts = numpyro.infer.MCMC(numpyro.infer.NUTS(model), num_warmup=80, num_samples=150, progress_bar=False)
    nuts.run(jax.random.key(1), observed)
    length = np.asarray(nuts.get_samples()["length"])
    assert abs(length.mean() - 0.8) < 4 * length.std()
    grid = jnp.linspace(0.3, 2, 100)
    joint = lambda s: LEnsemble(kernel(s)).log_prob(observed).sum() + dist.LogNormal(0.0, 1.0).log_prob(s)  # noqa: E731
    logs = jax.lax.map(joint, grid)
    weights = jax.nn.softmax(logs)
    mean = weights @ grid
    spread = jnp.sqrt(weights @ (grid - mean) ** 2)
    assert abs(length.mean() - mean) < 0.5 * spread
    assert 0.6 < length.std() / spread < 1.6
