"""Estimators: their means over all trajectories are exact gradients and Hessians; what is biased is seen to be."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.policy import environments, estimators, fisher, mdp, policies, rollouts

S, A, H, GAMMA = 2, 2, 3, 0.9
D = S * A
POLICY = policies.tabular(S, A)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(3)
    return mdp.checked(rng.dirichlet(np.ones(S), (S, A)), rng.normal(size=(S, A)), rng.dirichlet(np.ones(S)))


@pytest.fixture(scope="module")
def theta():
    return jnp.asarray(np.random.default_rng(4).normal(size=D))


@pytest.fixture(scope="module")
def everything(small, theta):
    """All episodes as one batch, and the probability of each."""
    walks = mdp.enumerated(small, H)
    batch = rollouts.Episode(
        jax.nn.one_hot(walks.states, S),
        walks.actions,
        small.rewards[walks.states, walks.actions],
        jnp.ones(walks.states.shape, bool),
    )
    logits = np.asarray(mdp.table(small, theta))
    pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return batch, np.asarray(walks.chance) * pi[np.asarray(walks.states), np.asarray(walks.actions)].prod(axis=1)


@pytest.fixture(scope="module")
def exact(small, theta):
    """J, gradient and Hessian in the flat parameters, by other means: of the sum that J is."""
    order = np.arange(D).reshape(S, A).T.reshape(-1)

    @jax.jit
    def told(small, theta):
        return *mdp.Exact(small, H, jnp.asarray(GAMMA))(theta), mdp.hessian(small, mdp.table(small, theta), H, GAMMA)

    J, slope, curved = map(np.asarray, told(small, theta))
    return J, slope, curved[order][:, order]


@partial(jax.jit, static_argnames="kind")
def all_hvps(theta, batch, v, less, kind):
    return estimators.hvps(POLICY, theta, batch, v, GAMMA, less, kind)


@jax.jit
def all_gradients(theta, batch, less):
    return estimators.gradients(POLICY, theta, batch, GAMMA, less)


V = jnp.asarray(np.random.default_rng(5).normal(size=D))


def test_mean_of_g_is_the_gradient(theta, everything, exact):
    batch, chances = everything
    g = all_gradients(theta, batch, jnp.zeros((1, H)))
    np.testing.assert_allclose(chances @ g, exact[1], atol=1e-12)
    assert np.abs(exact[1]).max() > 0.05
    mean = jax.jit(lambda x: estimators.gradient(POLICY, x, batch, GAMMA))(theta)
    np.testing.assert_allclose(mean, g.mean(axis=0), atol=1e-13)


@pytest.mark.parametrize("kind", ["product", "dice"])
def test_mean_of_b_is_the_hessian(theta, everything, exact, kind):
    batch, chances = everything
    columns = [chances @ all_hvps(theta, batch, v, jnp.zeros((1, H)), kind) for v in jnp.eye(D)]
    np.testing.assert_allclose(np.stack(columns, axis=1), exact[2], atol=1e-12)
    assert np.abs(exact[2]).max() > 0.05


@pytest.mark.slow
def test_product_of_means_is_biased(theta, everything, exact):
    """Over ever larger batches it comes to E grad^2 Phi, since a score has mean 0: not to the Hessian."""
    batch, chances = everything
    three = jax.tree.map(lambda x: x[5:8], batch)

    @jax.jit
    def told(theta, three, batch, chances):
        g = estimators.gradients(POLICY, theta, three, GAMMA)
        scores = jax.jacrev(lambda x: estimators.log_probs(POLICY, x, three).sum(axis=1))(theta)
        curved = jax.hessian(lambda x: estimators.phi(POLICY, x, three, GAMMA).mean())(theta) @ V
        whole = jax.hessian(lambda x: chances @ estimators.phi(POLICY, x, batch, GAMMA))(theta) @ V
        found = estimators.product_of_means(POLICY, theta, three, V, GAMMA)
        return g, scores, curved, whole, found, estimators.hvp(POLICY, theta, three, V, GAMMA)

    g, scores, curved, whole, found, product = map(np.asarray, told(theta, three, batch, jnp.asarray(chances)))
    np.testing.assert_allclose(found, curved + g.mean(axis=0) * (scores @ V).mean(), atol=1e-12)
    own = curved + np.mean(g * (scores @ V)[:, None], axis=0)  # the product of each
    np.testing.assert_allclose(product, own, atol=1e-12)
    formed = curved + sum(np.outer(a, b) @ np.asarray(V) for a, b in zip(g, scores, strict=True)) / 3
    np.testing.assert_allclose(own, formed, atol=1e-12)
    assert np.linalg.norm(whole - exact[2] @ V) > 0.1


def test_constant_baselines_change_no_mean(theta, everything, exact):
    batch, chances = everything
    less = jnp.asarray(np.random.default_rng(6).normal(size=(1, H)) * 3)
    np.testing.assert_allclose(chances @ all_gradients(theta, batch, less), exact[1], atol=1e-11)
    for kind in ("product", "dice"):
        np.testing.assert_allclose(chances @ all_hvps(theta, batch, V, less, kind), exact[2] @ V, atol=1e-11)


def test_twice_differentiated_has_less_variance(theta, everything):
    batch, chances = everything
    spread = {}
    for kind in ("product", "dice"):
        each = np.asarray(all_hvps(theta, batch, V, jnp.zeros((1, H)), kind))
        spread[kind] = chances @ ((each - chances @ each) ** 2).sum(axis=1)
    assert spread["dice"] < 0.9 * spread["product"]


def test_the_mean_of_others_is_no_bias_and_that_of_all_is_one(theta, everything, exact):
    """Over all pairs of episodes."""
    batch, chances = everything
    n = len(chances)
    first, second = (x.reshape(-1) for x in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    weights = chances[first] * chances[second]
    q = estimators.to_go(batch, GAMMA)
    pair = jax.tree.map(lambda x: x[np.array([3, 11])], batch)
    less = estimators.baseline(pair, GAMMA, "others")
    np.testing.assert_allclose(less, q[np.array([11, 3])], atol=1e-14)
    zero = all_gradients(theta, batch, jnp.zeros((1, H)))
    ones = [all_gradients(theta, batch, jnp.eye(H)[h][None]) for h in range(H)]
    each = np.stack([np.asarray(zero - one) for one in ones])  # (H, n, d): the score of step h
    q, zero = np.asarray(q), np.asarray(zero)
    from_others = zero[first] - np.einsum("ph,hpd->pd", q[second], each[:, first])
    np.testing.assert_allclose(weights @ from_others, exact[1], atol=1e-12)
    from_all = zero[first] - np.einsum("ph,hpd->pd", (q[first] + q[second]) / 2, each[:, first])
    assert np.abs(weights @ from_all - exact[1]).max() > 0.02
    with pytest.raises(ValueError, match="at least 2 of them"):
        estimators.baseline(jax.tree.map(lambda x: x[:1], batch), GAMMA, "others")
    with pytest.raises(ValueError, match="kind = 'mean'"):
        estimators.baseline(batch, GAMMA, "mean")  # pyright: ignore[reportArgumentType]


def test_discounts_are_counted_from_the_first_step():
    rewards = jnp.array([[1.0, 2.0, 4.0]])
    batch = rollouts.Episode(jnp.zeros((1, 3, 1)), jnp.zeros((1, 3), jnp.int32), rewards, jnp.ones((1, 3), bool))
    np.testing.assert_allclose(estimators.to_go(batch, 0.5), [[1 + 1 + 1, 1 + 1, 1]], atol=1e-15)


def test_one_gaussian_step_has_its_closed_form():
    """s ~ N(0, 1), a = th s + sigma xi, reward -(a - k s)^2 - c a^2; means by Gauss and Hermite."""
    th, k, c, sigma = 0.4, 1.3, 0.2, 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    s, xi = (x.reshape(-1) for x in np.meshgrid(nodes, nodes, indexing="ij"))
    w = np.outer(weights, weights).reshape(-1) / (2 * np.pi)
    a = th * s + sigma * xi
    policy = policies.Gaussian((1, 1), bias=False, sigma=sigma)
    reward = -((a - k * s) ** 2) - c * a**2
    batch = rollouts.Episode(
        *map(jnp.asarray, (s[:, None, None], a[:, None, None], reward[:, None])), jnp.ones((64, 1), bool)
    )
    at = jnp.array([th])
    J = -((th - k) ** 2 + sigma**2) - c * (th**2 + sigma**2)
    assert w @ reward == pytest.approx(J, abs=1e-12)

    @jax.jit
    def told(at, batch):
        score = fisher.scores(policy, at, batch.observations[:, 0], batch.actions[:, 0])
        F = fisher.matrix(score, jnp.asarray(w))
        curved = estimators.hvps(policy, at, batch, jnp.ones(1), 1.0)
        return estimators.gradients(policy, at, batch, 1.0), curved, F

    g, curved, F = told(at, batch)
    np.testing.assert_allclose(w @ g, [-2 * (th - k) - 2 * c * th], atol=1e-12)
    np.testing.assert_allclose(w @ curved, [-2 - 2 * c], atol=1e-11)
    np.testing.assert_allclose(F, [[1 / sigma**2]], atol=1e-12)


def test_spectrum_is_that_of_the_matrix_either_way():
    score = jnp.asarray(np.random.default_rng(0).normal(size=(5, 9)))
    for x in (score, score.T):
        known = np.linalg.svd(np.asarray(x), compute_uv=False) ** 2 / len(x)
        np.testing.assert_allclose(fisher.spectrum(x), known[: min(x.shape)], atol=1e-12)


def test_pairs_follow_the_discounted_occupancy(small, theta):
    task = rollouts.task(environments.Tabular(small), POLICY, H, GAMMA)

    @jax.jit
    def told(theta, small):
        batch = rollouts.rollouts(task, theta, jax.random.key(0), 4000)
        x, actions = fisher.pairs(batch, GAMMA, jax.random.key(1), 8000)
        table = mdp.table(small, theta)
        F = fisher.matrix(fisher.scores(POLICY, theta, x, actions)), mdp.fisher(small, table, H, GAMMA)
        g = estimators.gradients(POLICY, theta, batch, GAMMA)
        law = mdp.occupancy(small, table, H, GAMMA)
        return (
            x.mean(axis=0),
            law,
            *F,
            g,
            mdp.Exact(small, H, jnp.asarray(GAMMA))(theta),
            estimators.discounted(batch, GAMMA),
        )

    seen, law, found, known, g, exact, earned = told(theta, small)
    np.testing.assert_allclose(seen, law, atol=4 * 0.5 / np.sqrt(3000))
    order = np.arange(D).reshape(S, A).T.reshape(-1)
    np.testing.assert_allclose(found, np.asarray(known)[order][:, order], atol=0.02)
    error = np.asarray(g).std(axis=0) / np.sqrt(len(g))
    assert (np.abs(g.mean(axis=0) - exact[1]) < 4 * error).all()
    earned = np.asarray(earned).sum(axis=1)
    assert abs(earned.mean() - float(exact[0])) < 4 * earned.std() / np.sqrt(len(earned))
