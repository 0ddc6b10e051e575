"""Derivatives of ``lab.survival``."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import survival

TIME, EVENT = np.array([3.0, 1.0, 4.0, 1.0, 5.0]), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
ORDER = {"time": "times count by their order: a jump", "event": "0 or 1"}
BAGS = survival.bags(np.random.default_rng(0).normal(size=(7, 3)), [0, 0, 0, 1, 1, 2, 2], [3.0, 1.0, 2.0], [1, 1, 0])
MODEL = survival.model(jax.random.key(0), 3, k=2, width=2)
TRANSPORT = survival.Transport(rho=0.8, epsilon=0.3, lam=0.7, tolerance=1e-12)


def _loss(function):
    def make(rng):
        return function, {"risk": rng.normal(size=5), "time": TIME, "event": EVENT}

    return make


def _nll(rng):
    def function(logits, alpha, bin, event):
        return survival.nll(jnp.asarray(logits), bin, event, alpha=alpha)

    return function, {
        "logits": rng.normal(size=(5, 3)),
        "alpha": 0.4,
        "bin": np.array([0.0, 1, 2, 1, 0]),
        "event": EVENT,
    }


def _statistic(function):
    return lambda rng: (function, {"time": TIME, "event": EVENT})


def _at(rng):
    return lambda at: survival.kaplan_meier(TIME, EVENT, at), {"at": np.array([1.5, 3.5])}


def _with(x):
    return eqx.tree_at(lambda bags: bags.x, BAGS, jnp.asarray(x))


def _score(read):
    def make(rng):
        given = {"x": np.asarray(BAGS.x) + 0.1 * rng.normal(size=(7, 3)), "rho": 0.8, "epsilon": 0.3, "lam": 0.7}
        given |= {"prototypes": np.asarray(MODEL.pooling.prototypes)}

        def function(x, prototypes, **transport):
            model = eqx.tree_at(lambda model: model.pooling.prototypes, MODEL, jnp.asarray(prototypes))
            return read(survival.score(model, _with(x), TRANSPORT._replace(**transport)))

        return function, given

    return make


def _pooled(rng):
    def function(x, prototypes, **transport):
        pooling = eqx.tree_at(lambda pooling: pooling.prototypes, MODEL.pooling, prototypes)
        return pooling(x, jnp.array([True, True, True, False]), TRANSPORT._replace(**transport))[:3]

    return function, {
        "x": rng.normal(size=(4, 2)),
        "prototypes": rng.normal(size=(2, 2)),
        "rho": 0.8,
        "epsilon": 0.3,
        "lam": 0.7,
    }


def _plan(rng):
    given = {"potentials": 0.1 * rng.normal(size=(3, 3)), "epsilon": 0.3, "x": np.asarray(BAGS.x)}

    def function(potentials, epsilon, x):
        transport = TRANSPORT._replace(epsilon=jnp.asarray(epsilon))
        found = survival.bag_plan(MODEL, _with(x), jnp.asarray(0), jnp.asarray(potentials), transport)
        return found.cost[:3], found.plan[:3], found.slack[:3]

    return function, given


def _evaluate(rng):
    def function(risk, true_risk):
        return survival.evaluate(BAGS, jnp.asarray(risk), jnp.arange(2), jnp.asarray(true_risk)).cindex

    return function, {"risk": rng.normal(size=3), "true_risk": rng.normal(size=3)}


def _train(rng):
    def function(rate, x):
        settings = survival.Settings(rate=rate)
        return survival.train(
            jax.random.key(0), _with(x), settings, pooling="mean", width=2, epochs=1, batch=3
        ).curves.loss

    return function, {"rate": 1e-3, "x": np.asarray(BAGS.x)}


_COUNTS = "pairs are counted: a jump"
TABLE = {
    "OTPooling": Entry((Case(_pooled, ("x", "prototypes", "rho", "epsilon", "lam")),)),
    "bag_plan": Entry(
        (Case(_plan, ("potentials", "epsilon", "x")),), ("index",), {"model": "x", "bags": "x", "transport": "epsilon"}
    ),
    "bags": Entry(
        (
            Case(
                lambda rng: (lambda x: survival.bags(x, [0, 0, 1], [1.0, 2.0], [1, 1]).x, {"x": rng.random((3, 2))}),
                ("x",),
                compiled=False,
            ),
        ),
        ("bag", "time", "event"),
    ),
    "cindex": Entry((Case(_loss(survival.cindex), refused=ORDER | {"risk": _COUNTS}),), ("present",)),
    "cox": Entry(
        (
            Case(_loss(survival.cox), ("risk",), ORDER),
            Case(_loss(lambda **given: survival.cox(ties="efron", **given)), ("risk",), ORDER),
        ),
        ("present", "ties"),
    ),
    "evaluate": Entry((Case(_evaluate, refused=dict.fromkeys(("risk", "true_risk"), _COUNTS)),), ("bags", "test")),
    "kaplan_meier": Entry(
        (
            Case(_statistic(lambda time, event: survival.kaplan_meier(time, event, TIME)), refused=ORDER),
            Case(_at, refused={"at": "a step function"}),
        ),
        ("present",),
    ),
    "log_rank": Entry(
        (
            Case(
                _statistic(lambda time, event: survival.log_rank(time, event, np.array([0, 1, 0, 1, 0]))), refused=ORDER
            ),
        ),
        ("group", "present"),
    ),
    "mean_by_kind": Entry(
        (
            Case(
                lambda rng: (
                    lambda values: survival.mean_by_kind(jnp.array([[0, 1], [0, -1]]), jnp.asarray(values), 3),
                    {"values": rng.random((2, 2))},
                ),
                ("values",),
            ),
        ),
        ("kind", "kinds"),
    ),
    "model": Entry(fixed=("key", "d", "pooling", "k", "width", "out", "dtype")),
    "nll": Entry(
        (Case(_nll, ("logits", "alpha"), {"bin": "a whole number", "event": "0 or 1"}),),
        ("present",),
    ),
    "ranking": Entry((Case(_loss(survival.ranking), ("risk",), ORDER),), ("present",)),
    "score": Entry(
        (
            Case(
                _score(lambda found: (found.risk, found.mass, found.row_mass)),
                ("x", "prototypes", "rho", "epsilon", "lam"),
                tolerance=1e-4,
            ),
        ),
        ("chunk",),
        {"model": "prototypes", "bags": "x", "transport": "rho"},
    ),
    "train": Entry(
        (Case(_train, refused={"rate": "a training on random batches", "x": "the same"}),),
        ("key", "which", "check", "pooling", "k", "width", "loss", "epochs", "batch", "loop"),
        {"bags": "x", "settings": "rate"},
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("survival", TABLE)
test_derivative = pytest.mark.slow(test_derivative)
