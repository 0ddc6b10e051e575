"""Environments step for step against Gymnasium; episodes, and environments of one's own."""

from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.policy import environments, lqr, mdp, policies, rollouts

KEY = jax.random.key(0)


def ours(environment, states, actions):
    return jax.jit(jax.vmap(partial(environment.step, KEY)))(jnp.asarray(states), jnp.asarray(actions))


def theirs(name, states, actions):
    """Gymnasium's physics, one step from each state."""
    env: Any = gymnasium.make(name).unwrapped
    rows = []
    for state, action in zip(states, actions, strict=True):
        env.reset(seed=0)
        env.state = np.array(state, float)
        if hasattr(env, "last_u"):
            env.last_u = None
        seen, reward, done, _, _ = env.step(action)
        rows.append((seen, np.array(env.state, float), float(reward), done))
    return [np.stack([np.asarray(row[part]) for row in rows]) for part in range(4)]


@pytest.mark.parametrize("name", ["CartPole", "Acrobot", "pendulum"])
def test_a_step_is_that_of_gymnasium(name):
    rng = np.random.default_rng(2)
    scale = {"CartPole": [2.5, 2, 0.22, 2], "Acrobot": [3, 3, 9, 20], "pendulum": [9, 8]}[name]
    states = rng.uniform(-1, 1, (300, len(scale))) * scale
    count = {"CartPole": 2, "Acrobot": 3}.get(name)
    actions = rng.integers(0, count, 300) if count else rng.uniform(-3, 3, (300, 1))
    found = ours(environments.named(name), states, actions)
    seen, after, reward, done = theirs(f"{name.title() if name == 'pendulum' else name}-v1", states, actions)
    np.testing.assert_allclose(found.state, after, atol=1e-11)
    np.testing.assert_allclose(found.observation, seen, rtol=1e-6, atol=1e-5)  # of float32 there
    np.testing.assert_array_equal(found.done, done)
    np.testing.assert_allclose(found.reward, reward, atol=1e-11)
    assert name == "pendulum" or 0 < done.sum() < 300


@pytest.mark.parametrize("name", ["CartPole", "Acrobot", "pendulum"])
def test_states_are_drawn_and_seen(name):
    made = environments.named(name)
    x, state = made.reset(KEY)
    assert x.shape == (made.observations,)
    line = made.drawn(state)
    assert line.ndim == 2
    assert line.shape[1] == 2
    assert made.seen(jnp.zeros(()), jnp.zeros(())).shape == (made.observations,)
    if name == "CartPole":
        np.testing.assert_allclose(np.hypot(*(line[-1] - line[-2])), 1, atol=1e-12)
        np.testing.assert_allclose(made.seen(jnp.asarray(0.1), jnp.asarray(-1.0)), [0, 0, 0.1, -1])


def test_moves_and_starts_of_a_table_have_their_probabilities():
    rng = np.random.default_rng(0)
    known = mdp.checked(rng.dirichlet(np.ones(3), (3, 2)), rng.normal(size=(3, 2)), np.array([0.2, 0.0, 0.8]))
    made = environments.Tabular(known)
    keys = jax.random.split(KEY, 6000)
    x, first = jax.jit(jax.vmap(made.reset))(keys)
    np.testing.assert_allclose(x.mean(axis=0), known.start, atol=0.02)
    assert not (first == 1).any()
    moved = jax.jit(jax.vmap(lambda key: made.step(key, jnp.int32(2), jnp.int32(1))))(keys)
    np.testing.assert_allclose(np.bincount(moved.state, minlength=3) / 6000, known.transitions[2, 1], atol=0.025)
    np.testing.assert_allclose(moved.reward, known.rewards[2, 1])


class Restarting:
    """In the form of gymnax: it ends after three steps and begins again by itself, with rewards of the next episode."""

    def __init__(self, values: int):
        self.values = values

    def reset(self, key, params):
        return jnp.zeros(2), jnp.int32(0)

    def step(self, key, state, action, params):
        done = state >= 2
        after = jnp.where(done, 0, state + 1)
        x = jnp.stack([after, action]).astype(float)
        ends = (done, jnp.zeros((), bool)) if self.values == 6 else (done,)
        return x, after, params * (1.0 + state), *ends, {"final": x}


@pytest.mark.parametrize("values", [5, 6])
def test_nothing_after_the_end_counts_and_no_next_episode_leaks(values):
    made = environments.foreign(Restarting(values), 2.0, 2)
    policy = policies.network("discrete", 2, 2, ())
    short, long = (rollouts.task(made, policy, steps, 1.0) for steps in (4, 9))
    for task in (short, long):
        episode = rollouts.rollout(task, policy.init(KEY), KEY)
        np.testing.assert_allclose(episode.rewards[:3], [2, 4, 6])
        np.testing.assert_allclose(episode.rewards[3:], 0)
        np.testing.assert_array_equal(episode.alive, np.arange(task.horizon) < 3)


def test_an_episode_that_is_looked_at_is_the_same():
    task = rollouts.task(environments.CartPole(), policies.network("discrete", 4, 2, (8,)), 30, 1.0)
    theta = task.policy.init(KEY)
    look, same = rollouts.shown(task, theta, KEY), rollouts.rollout(task, theta, KEY)
    np.testing.assert_array_equal(look.episode.rewards, same.rewards)
    assert look.lines.shape == (30, 8, 2)
    # by Gymnasium from the same state with the same actions
    env: Any = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    env.state = np.asarray(same.observations[0])
    for h in range(int(same.alive.sum())):
        np.testing.assert_allclose(same.observations[h], env.state, atol=1e-10)
        done = env.step(int(same.actions[h]))[2]
    assert done or same.alive.all()


def test_a_step_function_of_ones_own():
    class State(NamedTuple):
        x: Any
        v: Any

    def step(state, action):
        v = state.v + 0.1 * (action - 1.0)
        return State(state.x + v, v), -(state.x**2), jnp.abs(state.x) > 3

    made = environments.own(step, State(1.0, 0.0), 3)
    assert (made.observations, made.kind) == (2, "discrete")
    after = made.step(KEY, made.reset(KEY)[1], jnp.int32(2))
    np.testing.assert_allclose(after.observation, [1.1, 0.1], atol=1e-12)
    noisy = environments.own(
        lambda s, a, key: (s + a + jax.random.normal(key, (2,)), -(s @ s), False),
        lambda key: jax.random.normal(key, (2,)),
        2,
        kind="continuous",
        observe=lambda s: s[:1],
    )
    assert noisy.observations == 1
    assert noisy.drawn(jnp.ones(2)).shape == (1, 2)
    assert not bool(noisy.step(KEY, jnp.ones(2), jnp.ones(2)).done)


@pytest.mark.slow
def test_policies_are_what_they_say():
    from scipy.stats import norm

    gaussian = policies.network("continuous", 3, 2, (5, 4))
    assert isinstance(gaussian, policies.Gaussian)
    theta = gaussian.init(KEY).at[-2:].set(jnp.array([0.3, -0.4]))
    assert theta.size == gaussian.size == 4 * 5 + 6 * 4 + 5 * 2 + 2
    x, action = jnp.array([0.1, -0.2, 0.5]), jnp.array([0.4, 1.2])
    known = norm.logpdf(action, gaussian.mean(theta, x), np.exp([0.3, -0.4])).sum()
    assert float(gaussian.log_prob(theta, x, action)) == pytest.approx(known, abs=1e-12)
    softmax = policies.network("discrete", 3, 4, (6,))
    assert isinstance(softmax, policies.Softmax)
    theta = 5 * softmax.init(KEY)
    told = [float(softmax.log_prob(theta, x, jnp.int32(a))) for a in range(4)]
    assert np.exp(told).sum() == pytest.approx(1, abs=1e-12)
    drawn = jax.jit(jax.vmap(lambda key: softmax.sample(theta, x, key)))(jax.random.split(KEY, 8000))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 8000, np.exp(told), atol=0.025)
    # the same network in NumPy: layers one after the other, each with its bias last
    w1, w2 = np.asarray(theta[:24]).reshape(6, 4), np.asarray(theta[24:]).reshape(4, 7)
    out = w2[:, :6] @ np.tanh(w1[:, :3] @ np.asarray(x) + w1[:, 3]) + w2[:, 6]
    np.testing.assert_allclose(softmax.logits(theta, x), out, atol=1e-12)


@pytest.mark.slow
def test_linear_quadratic_closed_forms():
    """The value by simulation with exact moments in NumPy, the gradient by differences, the optimum by Riccati in NumPy."""
    system, sigma, H, gamma = lqr.double_integrator(), 0.3, 12, 0.9
    K = jnp.array([[-0.7, -0.9]])
    A, B, Q, R = (np.asarray(x) for x in (system.A, system.B, system.Q, system.R))
    W, S0 = np.asarray(system.noise @ system.noise.T), np.asarray(system.first @ system.first.T)

    def by_moments(gains):
        moments, J = S0, 0.0
        for h, gain in enumerate(gains):
            J -= gamma**h * (np.trace(moments @ (Q + gain.T @ R @ gain)) + sigma**2 * np.trace(R))
            closed = A + B @ gain
            moments = closed @ moments @ closed.T + sigma**2 * B @ B.T + W
        return J

    J, slope = jax.jit(lqr.value_and_gradient, static_argnums=3)(system, K, sigma, H, gamma)
    assert float(J) == pytest.approx(by_moments([np.asarray(K)] * H), rel=1e-12)
    for i in range(2):
        step = 1e-5 * np.eye(2)[i][None]
        ends = [by_moments([np.asarray(K) + sign * step] * H) for sign in (1, -1)]
        assert float(slope[0, i]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)
    gains, P = [], np.zeros((2, 2))
    for _ in range(H):
        gains.insert(0, -np.linalg.solve(R + gamma * B.T @ P @ B, gamma * B.T @ P @ A))
        P = Q + gains[0].T @ R @ gains[0] + gamma * (A + B @ gains[0]).T @ P @ (A + B @ gains[0])
    best = float(lqr.optimum(system, sigma, H, gamma))
    assert best == pytest.approx(by_moments(gains), rel=1e-12)
    assert best > float(J)
    # and by episodes
    task = rollouts.task(system, lqr.linear(system, sigma), H, gamma)
    batch = jax.jit(lambda key: rollouts.rollouts(task, K.reshape(-1), key, 4000))(KEY)
    earned = np.asarray(batch.rewards) @ gamma ** np.arange(H)
    assert abs(earned.mean() - float(J)) < 4 * earned.std() / np.sqrt(4000)


def test_what_does_not_fit_is_refused():
    cart = environments.CartPole()
    for told, call in (
        ("there are CartPole, Acrobot, pendulum", lambda: environments.named("cart")),
        ("horizon = 0", lambda: rollouts.task(cart, policies.network("discrete", 4, 2, ()), 0, 1.0)),
        ("discount = 1.5", lambda: rollouts.task(cart, policies.network("discrete", 4, 2, ()), 9, 1.5)),
        (
            "are discrete, but the policy is a Gaussian",
            lambda: rollouts.task(cart, policies.network("continuous", 4, 2, ()), 9, 1.0),
        ),
        (r"make its sizes \(4, ..., 2\)", lambda: rollouts.task(cart, policies.network("discrete", 4, 3, ()), 9, 1.0)),
        ("must give three things", lambda: environments.own(lambda s, a: (s, 0.0), 0.0, 2)),
        ("it must be the same", lambda: environments.own(lambda s, a: (jnp.stack([s, s]), 0.0, False), 0.0, 2)),
        ("each must be one number", lambda: environments.own(lambda s, a: (s, jnp.zeros(2), False), 0.0, 2)),
        ("actions = 0", lambda: environments.own(lambda s, a: (s, 0.0, False), 0.0, 0)),
        ("gives 4 values", lambda: environments.foreign(Short(), None, 2)),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(TypeError, match="can't be called"):
        environments.own(lambda s, a: (s.nothing, 0.0, False), 0.0, 2)
    with pytest.raises(TypeError, match="has no reset and no step"):
        environments.foreign(object(), None, 2)


class Short:
    def reset(self, key, params):
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, key, state, action, params):
        return state, state, 0.0, False
