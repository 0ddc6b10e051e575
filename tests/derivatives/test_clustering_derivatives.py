"""Derivatives of ``lab.clustering``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import clustering, ot
from lab.clustering.training import Model

NEAR = clustering.Similarity(jnp.array([[1], [2], [0], [2]]), jnp.full((4, 1), 0.5))


def _terms(rng):
    plan = rng.dirichlet(np.ones(8)).reshape(4, 2) * 0.7
    given = {"cost": rng.random((4, 2)), "a": np.full(4, 0.3), "b": np.full(2, 0.5), "values": rng.random((4, 1))}
    return given | {"plan": plan, "epsilon": 0.2, "rho": 0.7, "lam": 0.8, "strength": 0.3}


def _objective(rng):
    given = _terms(rng)
    given |= {"a": given["plan"].sum(axis=1) + 0.1, "rho": 0.6}

    def function(cost, a, b, values, plan, epsilon, **numbers):
        problem = ot.Problem(*map(jnp.asarray, (cost, a, b)))
        near = NEAR._replace(values=jnp.asarray(values))
        return clustering.sp2ot_objective(problem, ot.Entropic(epsilon), near, jnp.asarray(plan), **numbers)

    return function, given


def _solved(rng):
    given = _terms(rng)
    for name in ("plan", "a", "b"):
        del given[name]

    def function(cost, values, epsilon, **numbers):
        problem = ot.Problem(jnp.asarray(cost), jnp.full(4, 0.25), jnp.full(2, 0.5))
        near = NEAR._replace(values=jnp.asarray(values))
        return clustering.sp2ot(problem, ot.Entropic(epsilon), near, **numbers).plan

    return function, given


def _label(similarity):
    def make(rng):
        given = {"cost": rng.random((4, 2)), "epsilon": 0.3, "lam": 0.8, "rho": 0.7}

        def function(cost, rho, **settings):
            problem = ot.Problem(jnp.asarray(cost), jnp.full(4, 0.25), jnp.full(2, 0.5))
            found = clustering.label(problem, clustering.Settings(strength=0.1, **settings), rho, similarity)
            return found.plan, found.objective

        return function, given

    return make


def _judge(rng):
    model = Model(jnp.eye(2), jnp.eye(2)[::-1])
    given = {"plan": 0.6 * rng.dirichlet(np.ones(8)).reshape(4, 2), "potentials": rng.normal(size=3), "rho": 0.7}
    given |= {"x": rng.normal(size=(4, 2)), "sizes": np.array([2.0, 2.0])}

    def function(plan, potentials, rho, x, sizes):
        found = clustering.judge(plan, potentials, rho, model, jnp.asarray(x), jnp.array([0, 1, 0, 1]), sizes)
        return found._replace(scores=None, recall=None)

    return function, given


def _train(rng):
    def function(x, lam):
        settings = clustering.Settings(lam=lam)
        return clustering.train(jax.random.key(0), jnp.asarray(x), jnp.arange(4) % 2, settings, k=2, epochs=1).plan

    return function, {"x": rng.normal(size=(4, 2)), "lam": 1.0}


_NUMBERS = ("epsilon", "rho", "lam", "strength")
_MINIMA = "several local minima; the plan jumps between them"
_COUNTS = "clusters and their scores are counted: a jump"
TABLE = {
    "judge": Entry(
        (Case(_judge, ("plan", "potentials", "rho"), {"x": _COUNTS, "sizes": _COUNTS}),), ("classes",), {"model": "x"}
    ),
    "label": Entry(
        (
            Case(_label(None), ("cost", "epsilon", "lam", "rho"), tolerance=1e-4),
            Case(_label(NEAR), refused=dict.fromkeys(("cost", "epsilon"), _MINIMA)),
        ),
        ("solver", "loop"),
        {"costs": "cost", "settings": "lam", "similarity": "cost"},
    ),
    "similarity": Entry(
        (
            Case(
                lambda rng: (
                    lambda features, width: clustering.similarity(features, 2, width).values,
                    {"features": rng.normal(size=(5, 2)), "width": 0.8},
                ),
                ("features", "width"),
            ),
        ),
        ("k",),
    ),
    "sp2ot": Entry(
        (Case(_solved, refused=dict.fromkeys(("cost", "values", *_NUMBERS), _MINIMA)),),
        ("tolerance", "max_iterations", "init", "loop"),
        {"problem": "cost", "regularizer": "epsilon", "similarity": "values"},
    ),
    "sp2ot_objective": Entry(
        (Case(_objective, ("cost", "a", "b", "values", "plan", *_NUMBERS)),),
        also={"problem": "cost", "regularizer": "epsilon", "similarity": "values"},
    ),
    "train": Entry(
        (Case(_train, refused=dict.fromkeys(("x", "lam"), "k-means, whose clusters jump")),),
        ("key", "classes", "k", "neighbours", "epochs", "prior", "loop"),
        {"settings": "lam"},
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("clustering", TABLE)
test_derivative = pytest.mark.slow(test_derivative)
