"""The plan against POT and the partial solver, its laws, its invariances, its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab import ot
from lab.ot import partial
from lab.survival import pooling
from lab.survival.pooling import AttentionPooling, MeanPooling, OTPooling, Transport
from lab.survival.training import model

N, D0, D, K = 14, 4, 5, 3
ALL = jnp.ones(N, bool)


def bag(seed: int = 0, n: int = N) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, D0)))


@pytest.fixture(scope="module")
def made():
    """A model of K prototypes, the log risk and pooled bag, and the risk with its slopes.

    All bags are given room for 2 N patches, so that one program serves them.
    """
    net = model(jax.random.key(1), D0, pooling="ot", k=K, width=D)

    def risk(net, x, present, rho, epsilon, lam):
        said, pooled = net(x, present, Transport(rho, epsilon, lam, 1e-12))
        return said[0], pooled

    compiled = jax.jit(risk)
    slopes = jax.jit(jax.value_and_grad(lambda *at: risk(*at)[0], argnums=(0, 1, 3, 4, 5)))

    def room(function):
        def given(net, x, present, *strengths):
            wide = np.zeros((2 * N, D0)), np.zeros(2 * N, bool)
            wide[0][: len(x)], wide[1][: len(x)] = x, present
            return function(net, *wide, *map(float, strengths))

        return given

    return net, room(compiled), room(slopes)


def reference_cost(h, z) -> np.ndarray:
    """The definition, entry by entry."""
    h, z = (v - v.min(axis=1, keepdims=True) for v in (np.asarray(h), np.asarray(z)))
    d = np.array([[np.linalg.norm(a - b) for b in z] for a in h])
    return d / d.max()


@pytest.mark.slow
def test_cost_is_its_definition_and_absent_patches_do_not_count():
    rng = np.random.default_rng(0)
    h, z = rng.normal(size=(N, D)), rng.normal(size=(K, D))
    cost = jax.jit(pooling.cost)
    np.testing.assert_allclose(cost(h, z), reference_cost(h, z), atol=1e-12)
    found = cost(np.r_[h, 1e3 * rng.normal(size=(4, D))], z, np.arange(N + 4) < N)
    np.testing.assert_allclose(found[:N], reference_cost(h, z), atol=1e-12)
    same = jnp.ones((N, D))  # all distances are 0
    value, slope = jax.jit(jax.value_and_grad(lambda h: pooling.cost(h, jnp.zeros((K, D))).sum()))(same)
    assert float(value) == 0
    assert np.isfinite(slope).all()


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.3, 1.0])
def test_plan_is_the_solvers_and_at_full_mass_pots(made, rho):
    net, run, _ = made
    x = bag()
    _, pooled = run(net, x, ALL, rho, 0.1, 1.0)
    assert not pooled.weights[N:].any()
    weights, h = np.asarray(pooled.weights[:N]), np.asarray(net.features(x))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-12)
    assert weights.sum(1).max() <= 1 / (N * rho) + 1e-12
    np.testing.assert_allclose(pooled.vectors, weights.T @ h, atol=1e-12)
    cost = reference_cost(h, net.pooling.prototypes)
    found = partial.solve(ot.problem(cost), ot.Entropic(0.1), rho=rho, lam=1.0).plan()
    np.testing.assert_allclose(rho * weights, found, atol=1e-10)
    if rho == 1:
        np.testing.assert_allclose(weights.sum(1), 1 / N, atol=1e-12)
        uniform = np.full(N, 1 / N), np.full(K, 1 / K)
        theirs = pot.sinkhorn_unbalanced(
            *uniform, cost, 0.1, (np.inf, 1.0), reg_type="entropy", numItermax=100_000, stopThr=1e-15
        )
        np.testing.assert_allclose(weights, theirs, atol=1e-7)


@pytest.mark.slow
def test_one_prototype_at_full_mass_is_the_mean():
    h = jnp.asarray(np.random.default_rng(0).normal(size=(N, D)))
    pool = OTPooling(1, D, jax.random.key(0))
    one = jax.jit(lambda h: pool(h, ALL, Transport()))(h)
    mean = MeanPooling()(h, ALL)
    np.testing.assert_allclose(one.vectors, h.mean(0)[None], atol=1e-9)
    np.testing.assert_allclose(mean.vectors, h.mean(0)[None], atol=1e-12)


@pytest.mark.slow
def test_risk_does_not_feel_order_repetition_or_padding(made):
    net, run, _ = made
    x, rho = bag(), 0.4
    risk, pooled = run(net, x, ALL, rho, 0.1, 1.0)
    order = np.random.default_rng(1).permutation(N)
    moved, after = run(net, x[order], ALL, rho, 0.1, 1.0)
    np.testing.assert_allclose(moved, risk, atol=1e-8)
    np.testing.assert_allclose(after.weights[:N], pooled.weights[order], atol=1e-9)
    wide = jnp.concatenate([x, x])
    twice, _ = run(net, wide, jnp.ones(2 * N, bool), rho, 0.1, 1.0)
    np.testing.assert_allclose(twice, risk, atol=1e-8)
    junk = jnp.concatenate([x, 50 * bag(9)])
    padded, held = run(net, junk, jnp.arange(2 * N) < N, rho, 0.1, 1.0)
    np.testing.assert_allclose(padded, risk, atol=1e-8)
    np.testing.assert_array_equal(held.weights[N:], 0)


def test_attention_is_a_masked_softmax():
    pool = AttentionPooling(D, jax.random.key(2))
    h = np.random.default_rng(0).normal(size=(N, D))
    here = jnp.arange(N) < 10
    found = pool(jnp.asarray(h), here)
    scores = (
        np.tanh(h @ np.asarray(pool.inner.weight).T + np.asarray(pool.inner.bias)) @ np.asarray(pool.score.weight)[0]
    )
    weights = np.exp(scores) * np.asarray(here)
    np.testing.assert_allclose(found.weights[:, 0], weights / weights.sum(), atol=1e-12)


@pytest.mark.slow
def test_gradients_are_those_of_differences(made):
    """In patches, prototypes, encoder, rho, epsilon and lam at once, along random directions; nothing in absent patches."""
    net, run, slope = made
    x, here = bag(2 * N, 2 * N), np.arange(2 * N) < N
    at = jax.tree.map(np.asarray, (net, x, 0.6, 0.1, 0.8))

    def risk(net, x, rho, epsilon, lam):
        return run(net, x, here, rho, epsilon, lam)[0]

    _, slopes = slope(*at[:2], here, *at[2:])
    np.testing.assert_array_equal(slopes[1][N:], 0)
    rng = np.random.default_rng(3)
    for part in (slopes[0].pooling.prototypes, slopes[0].encoder.weight, slopes[1]):
        assert float(jnp.abs(part).max()) > 1e-5
    for which in range(5):
        way = [
            jax.tree.map(lambda v, on=which == i: on * np.asarray(rng.normal(size=v.shape)), value)
            for i, value in enumerate(at)
        ]
        h = 1e-5
        ends = [risk(*jax.tree.map(lambda v, w, h=h: v + h * w, at, tuple(way))) for h in (h, -h)]
        told = sum(jax.tree.leaves(jax.tree.map(lambda s, w: (np.asarray(s) * w).sum(), slopes, tuple(way))))
        np.testing.assert_allclose(told, (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_implicit_gradient_is_that_of_unrolled_scaling(made):
    """500 steps of the authors' scaling algorithm, differentiated through."""
    net, _, slopes = made
    x, rho, lam, epsilon = bag(4), 0.5, 1.0, 0.1

    def unrolled(net):
        h = net.features(x)
        cost = jnp.concatenate([pooling.cost(h, net.pooling.prototypes), jnp.zeros((N, 1))], axis=1)
        kernel = jnp.exp(-cost / epsilon)
        prior = jnp.append(jnp.full(K, rho / K), 1 - rho)
        power = jnp.append(jnp.full(K, lam / (lam + epsilon)), 1.0)

        def sweep(b, _):
            a = 1 / N / (kernel @ b)
            return (prior / (kernel.T @ a)) ** power, None

        b, _ = jax.lax.scan(sweep, jnp.ones(K + 1), None, length=500)
        plan = (1 / N / (kernel @ b))[:, None] * kernel * b[None, :]
        vectors = plan[:, :K].T @ h / rho
        return net.head(jax.vmap(net.mix)(vectors.T)[:, 0])[0]

    value, slope = jax.jit(jax.value_and_grad(unrolled))(net)
    ours, (implicit, *_) = slopes(net, x, ALL, rho, epsilon, lam)
    np.testing.assert_allclose(ours, value, atol=1e-9)
    for one, other in zip(jax.tree.leaves(implicit), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_more_mass_uses_more_patches_and_artefacts_come_last():
    rng = np.random.default_rng(0)
    pool = OTPooling(K, D, jax.random.key(5))
    near = np.asarray(pool.prototypes)[rng.integers(0, K, 11)] + 0.3 * rng.normal(size=(11, D))
    h = jnp.asarray(np.r_[near, 6 * rng.normal(size=(3, D))])
    run = jax.jit(lambda rho: N * rho * pool(h, ALL, Transport(rho)).weights.sum(axis=1))
    used = []
    for rho in (0.1, 0.3, 0.5, 0.7, 0.9):
        row = np.asarray(run(rho))
        used.append((row > 0.5).sum())
        np.testing.assert_allclose(row.mean(), rho, atol=1e-9)
        assert row[11:].max() < row[:11].min()
    assert (np.diff(used) >= 0).all()
    assert used[-1] > used[0]


@pytest.mark.slow
def test_single_precision_stays(made):
    net, run, _ = made
    small = jax.tree.map(lambda v: v.astype(jnp.float32), net)
    said, pooled = jax.jit(lambda net, x: net(x, ALL, Transport(0.5, 0.1, 1.0)))(small, bag().astype(jnp.float32))
    assert said.dtype == pooled.weights.dtype == jnp.float32
    exact, _ = run(net, bag(), ALL, 0.5, 0.1, 1.0)
    np.testing.assert_allclose(said, exact, atol=1e-4)


def test_refusals():
    with pytest.raises(ValueError, match="k = 0, but pooling needs at least one prototype"):
        OTPooling(0, D, jax.random.key(0))
    with pytest.raises(ValueError, match="pooling = 'max', but it must be one of 'ot', 'mean', 'attention'"):
        model(jax.random.key(0), D0, pooling="max")
    with pytest.raises(ValueError, match=r"rho = 1\.5, but"):
        OTPooling(2, D, jax.random.key(0))(jnp.ones((3, D)), jnp.ones(3, bool), Transport(rho=1.5))
