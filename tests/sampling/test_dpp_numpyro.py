"""The numpyro distributions: normalised, differentiable, never NaN, and fit for inference."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from lab import sampling
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
        np.testing.assert_allclose(jnp.exp(law.log_prob(values)).sum(), 1, atol=1e-10)
    wide = np.concatenate([features, np.zeros((80, 3))])  # the route for many items
    np.testing.assert_allclose(
        ProjectionDPP(wide).log_prob(TRIPLES), ProjectionDPP(features).log_prob(TRIPLES), atol=1e-10
    )


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
        assert not law.support(np.array(bad)) or max(bad) == 6
    with pytest.raises(ValueError, match="rank 2"):
        KDPP(low, 3).sample(jax.random.key(0))
    with pytest.raises(ValueError, match="k = 7"):
        KDPP(low, 7)
    with pytest.raises(ValueError, match="N >= m"):
        ProjectionDPP(np.ones((2, 3)))
    with pytest.raises(ValueError, match="square"):
        LEnsemble(np.ones((2, 3)))


@pytest.mark.slow
def test_samples():
    key = jax.random.key(0)
    law = KDPP(kernel(0.8), 3)
    drawn = law.sample(key, (2, 200))
    assert drawn.shape == (2, 200, 3)
    assert law.log_prob(drawn).shape == (2, 200)
    entropy = -jnp.sum(jnp.exp(law.log_prob(TRIPLES)) * law.log_prob(TRIPLES))
    seen = -law.log_prob(drawn)
    assert abs(seen.mean() - entropy) < 4 * seen.std() / 20
    assert LEnsemble(kernel(0.8)).sample(key).shape == (6,)
    basis = sampling.legendre(3)
    law = ContinuousDPP(basis)
    points = law.sample(key, (4,))
    assert points.shape == (4, 3, 1)
    wanted = 2 * np.log(abs(np.linalg.det(np.asarray(basis(points[1]))))) - np.log(6)
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
