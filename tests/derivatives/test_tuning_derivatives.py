"""Derivatives of ``lab.tuning``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import tuning
from lab.numerics import pure
from lab.tuning import hypergradient
from lab.tuning.problem import Constants

ROWS, LABELS = np.arange(6), np.array([0, 1, 2, 0, 1, 2])


def _problem(data):
    h = lambda x, theta, data: 0.5 * ((data @ x - 1) ** 2).sum() + 0.5 * (jnp.exp(theta) * x**2).sum()  # noqa: E731
    return tuning.Own(h, lambda x, data: ((x - 0.3) ** 4).sum(), jnp.zeros(2), few=True, data=data)


def _implicit(rng):
    given = {"theta": rng.normal(size=2), "x": np.zeros(2), "data": rng.normal(size=(4, 2))}
    return lambda theta, x, data: tuning.implicit(_problem(jnp.asarray(data)), theta, x), given


def _descent(solve):
    def make(rng):
        given = {"theta": np.zeros(2), "eps": 0.1, "delta": 0.1, "alpha": 0.1, "data": rng.normal(size=(4, 2))}

        def function(theta, eps, delta, alpha, data):
            return solve(_problem(jnp.asarray(data)), theta, eps, delta, alpha, max_iterations=2).theta

        return function, given

    return make


def _multinomial(rng):
    given = {"a": rng.normal(size=(6, 2)), "other": rng.normal(size=(6, 2))}
    return lambda a, other: tuning.multinomial(jnp.asarray(a), LABELS, jnp.asarray(other), LABELS, 3), given


def _loss(rng):
    """Upper and lower loss of a multinomial problem, by weights and decays."""
    a, other = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    problem = tuning.multinomial(a, LABELS, other, LABELS, 3)
    given = {"x": rng.normal(size=(2, 3)), "theta": rng.normal(size=2)}
    call = lambda x, theta: (problem.lower(jnp.asarray(x), jnp.asarray(theta)), problem.upper(jnp.asarray(x)))  # noqa: E731
    return call, given


def _tune(rng):
    ridge = tuning.ridge.made(jax.random.key(0), 0.1, jnp.ones((2, 1)), n=4, tests=4)
    given = {"starts": np.zeros((1, 1)), "sigma": 0.5, "learning": 0.01, "schedule": np.zeros((1, 1, 1))}

    def function(starts, sigma, learning, schedule):
        task, rates = tuning.ridge.RidgeTask(ridge, 2), tuning.Rates(learning=learning)
        return tuning.tune(pure, task, jax.random.key(1), starts, frames=1, every=1, sigma=sigma, rates=rates,
                           schedule=schedule).now.lam  # fmt: skip

    return function, given


def _bound(rng):
    names = ("mu", "upper", "inverse", "cross", "size", "pull", "eps", "delta")

    def function(mu, upper, **rest):
        return hypergradient.bound(Constants(mu, 1.0, upper), **rest)  # type: ignore[arg-type]

    return function, dict(zip(names, 0.5 + rng.random(8), strict=True))


def _ridge(rng):
    ridge = tuning.ridge.made(
        jax.random.key(0), 0.1, jnp.eye(3)[:, :2] + jnp.eye(3)[:, 2:] * jnp.array([[0.0, 1.0]]), n=9
    )
    return lambda lam: (ridge.best(lam), ridge.validated(lam), ridge.hypergradient(lam)), {"lam": rng.normal(size=2)}


_RANGES = tuning.Range(low=0.0, high=4.0), tuning.Range(log=True), tuning.Range(low=1.0), tuning.Range(high=1.0)
_WHOLE = (tuning.Range(low=0.0, high=5.0, whole=True),)
_STEPS = dict.fromkeys(("theta", "eps", "delta", "alpha", "data"), "accepted steps and accuracies jump")
_OF_DESCENT = {"problem": "data"}
TABLE = {
    "hoag": Entry(
        (Case(_descent(tuning.hoag), refused=_STEPS),),
        ("schedule", "rules", "max_iterations", "loop", "strict"),
        _OF_DESCENT,
    ),
    "hypergradient.bound": Entry(
        (Case(_bound, ("mu", "upper", "inverse", "cross", "size", "pull", "eps", "delta")),),
    ),
    "implicit": Entry(
        (Case(_implicit, ("theta", "data"), {"x": "a start, without effect on the root"}),),
        ("tolerance",),
        {"problem": "data"},
    ),
    "minimise": Entry(
        (Case(_descent(tuning.minimise), refused=_STEPS),),
        ("rules", "adaptive", "max_iterations", "loop", "strict"),
        _OF_DESCENT,
    ),
    "multinomial": Entry(
        (Case(_multinomial, ("a", "other")), Case(_loss, ("x", "theta"))),
        ("labels", "others", "classes", "share", "bounds"),
    ),
    "psnr": Entry(
        (
            Case(
                lambda rng: (
                    tuning.psnr,
                    {"x": rng.random((2, 3, 3)), "clean": rng.random((2, 3, 3)), "span": 1.3},
                ),
                ("x", "clean", "span"),
            ),
        )
    ),
    "random_quadratic": Entry(
        (Case(lambda rng: (lambda noise: tuning.random_quadratic(0, 5, 2, noise), {"noise": 0.1}), ("noise",)),),
        ("seed", "n", "d"),
    ),
    "ridge.Ridge": Entry((Case(_ridge, ("lam",)),)),
    "tune": Entry(
        (
            Case(
                _tune,
                refused=dict.fromkeys(("starts", "sigma", "learning", "schedule"), "a training on random batches"),
            ),
        ),
        ("loop", "task", "key", "frames", "every", "rules", "optimizer", "state"),
        {"rates": "learning"},
    ),
    "values": Entry(
        (
            Case(lambda rng: (lambda lam: tuning.values(_RANGES, lam), {"lam": rng.normal(size=(2, 4))}), ("lam",)),
            Case(
                lambda rng: (lambda lam: tuning.values(_WHOLE, lam), {"lam": rng.normal(size=1)}), (), {"lam": "whole"}
            ),
        ),
        ("ranges",),
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("tuning", TABLE)
test_derivative = pytest.mark.slow(test_derivative)
