"""The similarity and the majorization-minimization loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import clustering
from lab.clustering import semantic
from lab.clustering.semantic import Similarity, similarity
from lab.ot import partial
from lab.ot.problem import Problem, problem
from lab.ot.regularizers import Entropic


def blobs(n: int = 60, k: int = 4, seed: int = 0):
    """Samples around k centres, their noisy costs, and their nearest-neighbour similarity."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(k, 3))[np.arange(n) % k] * 2 + rng.normal(size=(n, 3)) * 0.5
    cost = -np.asarray(jax.nn.log_softmax(jnp.asarray(2 * rng.normal(size=(n, k))), axis=1))
    return jnp.asarray(x), problem(cost), similarity(jnp.asarray(x), 6)


def objective(p: Problem, s: np.ndarray, q: np.ndarray, epsilon, rho, lam, strength) -> float:
    """The formula of the module's text, with S as a matrix."""
    whole = np.c_[q, np.asarray(p.a) - q.sum(1)]
    entropy = np.where(whole > 1e-300, whole * np.log(np.maximum(whole, 1e-300)), 0).sum()
    prior = rho * np.asarray(p.b)
    penalty = (q.sum(0) * np.log(q.sum(0) / prior) - q.sum(0) + prior).sum()
    return (q * np.asarray(p.cost)).sum() - strength * (s * (q @ q.T)).sum() + lam * penalty + epsilon * entropy


@pytest.mark.slow
def test_similarity_is_that_of_the_definition():
    x, _, s = blobs()
    n, d = x.shape
    full = np.exp(-((np.asarray(x)[:, None] - np.asarray(x)[None]) ** 2).sum(-1) / (2 * 4 * d))
    np.fill_diagonal(full, 0)
    keep = np.argsort(-full, axis=1)[:, :6]
    expected = np.zeros((n, n))
    np.put_along_axis(expected, keep, np.take_along_axis(full, keep, 1), 1)
    np.testing.assert_allclose(s.dense(), expected, atol=1e-12)
    q = np.random.default_rng(0).random((n, 4))
    for each in (s, s.shifted()):
        dense = np.asarray(each.dense())
        np.testing.assert_allclose(each.spread(jnp.asarray(q)), (dense + dense.T) @ q, atol=1e-12)
        numerical = jax.grad(lambda q, m=dense: (m * (q @ q.T)).sum())(jnp.asarray(q))
        np.testing.assert_allclose(each.spread(jnp.asarray(q)), numerical, atol=1e-12)
    assert np.linalg.eigvalsh(s.dense() + s.dense().T)[0] < -0.1
    assert abs(np.linalg.eigvalsh(s.shifted().dense() + s.shifted().dense().T)[0]) < 1e-12


def solve(p, s, strength, **options):
    """With one limit of steps, since each is compiled on its own."""
    return semantic.solve(p, Entropic(0.1), s, rho=0.8, lam=1.0, strength=strength, max_iterations=500, **options)


@pytest.mark.slow
def test_objective_is_the_one_written_down_and_falls_where_the_similarity_is_positive():
    _, p, s = blobs()
    for strength in (12.0, 60.0):
        found = solve(p, s.shifted(), strength, tolerance=1e-9)
        assert found.converged
        assert float(found.rise) <= 1e-9
        expected = objective(p, np.asarray(s.shifted().dense()), np.asarray(found.plan), 0.1, 0.8, 1.0, strength)
        np.testing.assert_allclose(found.objective, expected, atol=1e-9)
        changes = np.asarray(found.trace["change"])[1 : int(found.iterations)]
        assert changes.max() <= 1e-9
        assert changes.min() < -1e-4


@pytest.mark.slow
def test_objective_of_a_given_plan_is_the_one_written_down():
    _, p, s = blobs()
    q = np.random.default_rng(0).dirichlet(np.ones(4), 60) * 0.7 * np.asarray(p.a)[:, None]
    for lam in (1.5, np.inf):
        found = clustering.sp2ot_objective(p, Entropic(0.1), s, jnp.asarray(q), rho=0.7, lam=lam, strength=2.0)
        expected = objective(p, np.asarray(s.dense()), q, 0.1, 0.7, 0.0 if lam == np.inf else lam, 2.0)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.slow
def test_a_stationary_plan_solves_its_own_linearized_problem():
    _, p, s = blobs(seed=1)
    found = solve(p, s.shifted(), 30.0, tolerance=1e-13)
    pull = 30.0 * s.shifted().spread(found.plan)
    again = partial.solve(Problem(p.cost - pull, p.a, p.b), Entropic(0.1), rho=0.8, lam=1.0)
    np.testing.assert_allclose(again.plan(), found.plan, atol=1e-7)


@pytest.mark.slow
def test_an_indefinite_similarity_need_not_descend_and_says_so():
    """Two samples that pull each other's plan round: the surrogate is no majorizer, and the objective rises."""
    s = Similarity(jnp.asarray([[1], [0]]), jnp.ones((2, 1)))
    p = Problem(jnp.asarray([[0.0, 0.1], [0.1, 0.0]]), jnp.full(2, 0.5), jnp.full(2, 0.5))

    def solve(s, strength, start=None):
        return semantic.solve(p, Entropic(0.05), s, rho=1.0, lam=1.0, strength=strength, init=start, max_iterations=20)

    start = solve(s, 0.0)
    found = solve(s, 1.0, start)
    assert float(found.rise) > 1e-3
    calm = solve(s.shifted(), 1.0, start)
    assert float(calm.rise) <= 1e-12


@pytest.mark.slow
def test_no_similarity_is_partial_transport_in_one_step():
    _, p, s = blobs(seed=2)
    found = solve(p, s, 0.0)
    assert found.converged
    assert int(found.iterations) == 1
    plain = partial.solve(p, Entropic(0.1), rho=0.8, lam=1.0)
    np.testing.assert_allclose(found.plan, plain.plan(), atol=1e-10)


@pytest.mark.slow
def test_similar_samples_are_drawn_together():
    """Of costs that say nothing, the similarity makes clusters of the blobs."""
    _, p, s = blobs(seed=3)
    found = solve(p, s, 60.0)
    plain = partial.solve(p, Entropic(0.1), rho=0.8, lam=1.0).plan()

    def agreement(q):
        q = np.asarray(q) / np.asarray(q).sum(1, keepdims=True)
        return float((np.asarray(s.dense()) * (q @ q.T)).sum() / np.asarray(s.dense()).sum())

    assert agreement(found.plan) > agreement(plain) + 0.2


@pytest.mark.slow
def test_one_program_serves_a_batch():
    _, p, s = blobs(seed=4)
    whole = solve(p, s, 20.0)
    batch = jax.jit(jax.vmap(lambda strength: solve(p, s, strength).plan))(jnp.asarray([0.0, 20.0]))
    np.testing.assert_allclose(batch[1], whole.plan, atol=1e-9)


def test_refusals():
    x, p, s = blobs()
    for change, sentence in (
        (
            {"similarity": Similarity(s.columns[:5], s.values[:5])},
            r"the similarity has shape \(5, 6\), but the problem",
        ),
        ({"similarity": s._replace(values=-s.values)}, "the similarity has negative"),
        ({"similarity": s._replace(values=s.values * jnp.nan)}, "undefined entries"),
        ({"strength": -1.0}, "strength = -1.0, but it must be at least 0"),
        ({"rho": 0.0}, "rho = 0.0"),
    ):
        given = {"similarity": s, "rho": 0.5, "lam": 1.0, "strength": 1.0} | change
        with pytest.raises(ValueError, match=sentence):
            semantic.solve(p, Entropic(0.1), given.pop("similarity"), **given)
    with pytest.raises(ValueError, match="k = 60 neighbours of 60 samples, but k must be between 1 and 59"):
        similarity(x, 60)
