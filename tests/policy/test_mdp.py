"""Tabular processes against sums over all trajectories, differences and brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.policy import mdp

S, A, H, GAMMA = 3, 2, 4, 0.9


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(7)
    return mdp.checked(rng.dirichlet(np.ones(S), (S, A)), rng.normal(size=(S, A)), rng.dirichlet(np.ones(S)))


@pytest.fixture(scope="module")
def theta():
    return jnp.asarray(np.random.default_rng(8).normal(size=(S, A)))


def policy(theta):
    p = np.exp(theta - theta.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def walks(small, theta):
    """By NumPy, for every trajectory: probability, discounted return, score of the whole (S, A)."""
    pi, (P, R, rho) = (
        policy(np.asarray(theta)),
        (np.asarray(x) for x in (small.transitions, small.rewards, small.start)),
    )
    chances, returns, scores, seen = [], [], [], []
    for steps in itertools.product(itertools.product(range(S), range(A)), repeat=H):
        chance, earned, score, before = 1.0, 0.0, np.zeros((S, A)), None
        for h, (s, a) in enumerate(steps):
            chance *= pi[s, a] * (rho[s] if before is None else P[before[0], before[1], s])
            earned += GAMMA**h * R[s, a]
            score[s] -= pi[s]
            score[s, a] += 1
            before = s, a
        chances.append(chance)
        returns.append(earned)
        scores.append(score)
        seen.append([s for s, _ in steps])
    return np.array(chances), np.array(returns), np.array(scores), np.array(seen)


@jax.jit
def told(small, theta):
    """All that is known of a process, in one program."""
    known = (of(small, theta, H, GAMMA) for of in (mdp.hessian, mdp.occupancy, mdp.fisher))
    return *mdp.value_and_gradient(small, theta, H, GAMMA), *known


@pytest.fixture(scope="module")
def all_walks(small, theta):
    return walks(small, theta)


def test_value_gradient_and_hessian_are_sums_over_all_trajectories(small, theta, all_walks):
    chances, returns, scores, _ = all_walks
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    J, slope, known = told(small, theta)[:3]
    assert float(J) == pytest.approx(chances @ returns, abs=1e-12)
    np.testing.assert_allclose(slope, np.einsum("n,n,nsa->sa", chances, returns, scores), atol=1e-12)
    # E R (score score^T + sum_h grad^2 log pi), where grad^2 log pi = -(diag pi - pi pi^T) of the state of step h
    pi = policy(np.asarray(theta))
    flat = scores.reshape(len(scores), -1)
    curved = np.einsum("n,ni,nj->ij", chances * returns, flat, flat)
    visited = np.stack([(all_walks[3] == s).sum(axis=1) for s in range(S)], axis=1)
    for s in range(S):
        block = np.diag(pi[s]) - np.outer(pi[s], pi[s])
        curved[s * A : (s + 1) * A, s * A : (s + 1) * A] -= (chances * returns) @ visited[:, s] * block
    np.testing.assert_allclose(known, curved, atol=1e-11)


def test_enumeration_is_that_of_brute_force(small, theta, all_walks):
    found = mdp.enumerated(small, H)
    pi = policy(np.asarray(theta))
    chances = np.asarray(found.chance) * pi[np.asarray(found.states), np.asarray(found.actions)].prod(axis=1)
    np.testing.assert_allclose(chances, all_walks[0], atol=1e-15)  # both in the order of digits
    np.testing.assert_array_equal(found.states, all_walks[3])


def test_occupancy_and_fisher(small, theta, all_walks):
    chances, _, _, seen = all_walks
    weights = GAMMA ** np.arange(H)
    law = np.array([(chances[:, None] * (seen == s)).sum(axis=0) @ weights for s in range(S)]) / weights.sum()
    _, _, _, found, F = map(np.asarray, told(small, theta))
    np.testing.assert_allclose(found, law, atol=1e-12)
    negative = -sum(
        law[s] * policy(np.asarray(theta))[s, a] * np.asarray(_curved(theta, np.int32(s), np.int32(a)))
        for s in range(S)
        for a in range(A)
    )
    np.testing.assert_allclose(F, negative, atol=1e-12)  # -E grad^2 log pi
    eigen = np.linalg.eigvalsh(F)
    assert (np.abs(eigen) < 1e-12).sum() == S  # a constant shift of each state
    assert eigen[S] > 1e-3


@jax.jit
def _curved(theta, s, a):
    return jax.hessian(lambda x: jax.nn.log_softmax(x.reshape(S, A)[s])[a])(theta.reshape(-1))


def test_integral_of_the_hessian_is_the_difference_of_gradients(small, theta):
    """The identity by which HARPG corrects: over the mid-point, by quadrature."""
    other = theta + 0.7 * jnp.asarray(np.random.default_rng(9).normal(size=(S, A)))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    mids = [np.asarray(other) + (1 + node) / 2 * np.asarray(theta - other) for node in nodes]
    curved = np.stack([told(small, jnp.asarray(x))[2] for x in mids])
    along = np.einsum("q,qij,j->i", weights / 2, curved, np.asarray(theta - other).reshape(-1))
    apart = np.asarray(told(small, theta)[1] - told(small, other)[1])
    np.testing.assert_allclose(along, apart.reshape(-1), atol=1e-10)
    assert np.abs(apart).max() > 0.01


def test_a_shift_of_all_rewards_moves_the_value_alone(small, theta):
    shifted = mdp.MDP(small.transitions, small.rewards + 3.0, small.start)
    J, slope = told(small, theta)[:2]
    more, same = told(shifted, theta)[:2]
    assert float(more - J) == pytest.approx(3 * (1 - GAMMA**H) / (1 - GAMMA), abs=1e-12)
    np.testing.assert_allclose(same, slope, atol=1e-12)


def test_optimum_is_that_of_all_plans(small):
    """Over all rules that look at the step, for three steps."""
    P, R, rho = (np.asarray(x) for x in (small.transitions, small.rewards, small.start))
    best = -np.inf
    for plan in itertools.product(itertools.product(range(A), repeat=S), repeat=3):
        law, earned = rho, 0.0
        for h, act in enumerate(plan):
            earned += GAMMA**h * sum(law[s] * R[s, act[s]] for s in range(S))
            law = sum(law[s] * P[s, act[s]] for s in range(S))
        best = max(best, earned)
    assert float(mdp.optimum(small, 3, GAMMA)) == pytest.approx(best, abs=1e-12)


def test_the_process_of_the_sheet():
    rng = np.random.default_rng(1)
    P, R = rng.dirichlet(0.5 * np.ones(5), (5, 3)), rng.random((5, 3))
    known = mdp.checked(P, R, np.full(5, 0.2))
    assert float(mdp.value(known, jnp.zeros((5, 3)), 20, 0.95)) == pytest.approx(6.105, abs=5e-4)
    of = jax.jit(jax.vmap(lambda x: mdp.value(known, x, 20, 0.95)))
    plans = np.array(list(itertools.product(range(3), repeat=5)))
    best = float(of(jnp.asarray(300 * np.eye(3)[plans])).max())
    assert best == pytest.approx(9.779, abs=5e-4)  # of rules that do not look at the clock
    assert best < float(mdp.optimum(known, 20, 0.95)) < best + 0.01


def test_what_is_no_process_is_refused():
    P, R, rho = np.full((2, 2, 2), 0.5), np.zeros((2, 2)), np.full(2, 0.5)
    bad = P.copy()
    bad[1, 0] = (0.7, 0.7)
    for told, given in (
        (r"transitions have the shape \(2, 2\)", (P[0], R, rho)),
        (r"transitions of state and action \(1, 0\) are \[0.7 0.7\]", (bad, R, rho)),
        (r"start are \[-0.5  1.5\]", (P, R, np.array([-0.5, 1.5]))),
        (r"state and action \(0, 1\) is nan", (P, np.array([[0, np.nan], [0, 0]]), rho)),
    ):
        with pytest.raises(ValueError, match=told):
            mdp.checked(*given)
    with pytest.raises(ValueError, match="at most 2,000,000 are enumerated"):
        mdp.enumerated(mdp.checked(P, R, rho), 12)
    with pytest.raises(ValueError, match="at least one step"):
        mdp.enumerated(mdp.checked(P, R, rho), 0)
