"""Derivatives of ``lab.policy``."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import policy
from lab.policy import fisher, lqr, mdp

LINEAR = policy.Gaussian((2, 1))
TABLE_POLICY = policy.tabular(2, 3)


def _batch(rng):
    return {
        "theta": 0.3 * rng.normal(size=LINEAR.size),
        "observations": rng.normal(size=(3, 4, 2)),
        "actions": rng.normal(size=(3, 4, 1)),
        "rewards": rng.normal(size=(3, 4)),
        "discount": 0.9,
        "less": rng.normal(size=(1, 4)),
        "v": rng.normal(size=LINEAR.size),
    }


def _episodes(observations, actions, rewards):
    alive = jnp.ones((3, 4), bool)
    return policy.Episode(*map(jnp.asarray, (observations, actions, rewards)), alive)


def _gradient(rng):
    def function(theta, discount, less, **batch):
        return policy.gradient(LINEAR, theta, _episodes(**batch), discount, less)

    given = _batch(rng)
    del given["v"]
    return function, given


def _hvp(kind):
    def function(theta, discount, less, v, **batch):
        return policy.hvp(LINEAR, theta, _episodes(**batch), v, discount, less, kind)

    return lambda rng: (function, _batch(rng))


def _rollout(kind):
    def make(rng):
        if kind == "continuous":
            task = policy.task(policy.double_integrator(), LINEAR, 4, 0.9)
        else:
            process = mdp.MDP(*_process(rng))
            task = policy.task(policy.environments.Tabular(process), TABLE_POLICY, 4, 0.9)

        def function(theta):
            found = policy.rollout(task, theta, jax.random.key(0))
            return found.rewards, found.observations

        return function, {"theta": 0.3 * rng.normal(size=task.policy.size)}

    return make


def _process(rng):
    return rng.dirichlet(np.ones(2), (2, 3)), rng.normal(size=(2, 3)), rng.dirichlet(np.ones(2))


def _mdp(function):
    """Of theta, the process and the discount."""

    def make(rng):
        transitions, rewards, start = _process(rng)
        given = {"theta": rng.normal(size=(2, 3)), "transitions": transitions, "rewards": rewards, "start": start}
        call = lambda theta, discount, **process: function(mdp.MDP(**process), theta, 3, discount)  # noqa: E731
        return call, given | {"discount": 0.8}

    return make


def _lqr(rng):
    given = {"K": 0.3 * rng.normal(size=(1, 2)), "sigma": 0.4, "discount": 0.9, "tau": 0.3}

    def function(K, sigma, discount, tau):
        system = policy.double_integrator(tau)
        return lqr.value_and_gradient(system, K, sigma, 3, discount), lqr.optimum(system, sigma, 3, discount)

    return function, given


def _log_prob(one, action):
    def make(rng):
        given = {"theta": jnp.asarray(rng.normal(size=one.size)), "x": jnp.asarray(rng.normal(size=one.sizes[0]))}
        if action is None:
            return one.log_prob, given | {"action": jnp.asarray(rng.normal(size=one.sizes[-1]))}
        return lambda theta, x: one.log_prob(theta, x, jnp.asarray(action)), given

    return make


def _natural(rng):
    """A natural gradient: F^-1 g at the scores of some pairs."""
    observations, actions = jnp.asarray(rng.normal(size=(9, 2))), jnp.asarray(rng.normal(size=(9, 1)))
    given = {name: 0.3 * jnp.asarray(rng.normal(size=LINEAR.size)) for name in ("theta", "g")}

    def function(theta, g):
        matrix = fisher.matrix(fisher.scores(LINEAR, theta, observations, actions))
        return jnp.linalg.solve(matrix + jnp.eye(LINEAR.size), g)

    return function, given


class _Bowl(eqx.Module):
    exact = None

    def gradient(self, theta, key):
        return -theta, policy.ascent.Told(*jnp.zeros(3))

    def curvature(self, theta, v, key):
        return -v, policy.ascent.Told(*jnp.zeros(3))


def _ascend(rng):
    def function(start, g0, eta0):
        keys = jax.random.split(jax.random.key(0), 1)
        return policy.ascend(_Bowl(), start, keys, rules=["N-PG-M"], g0=g0, eta0=eta0, updates=1).theta

    return function, {"start": np.ones((1, 2)), "g0": 0.5, "eta0": 0.5}


def _identity(rng):
    task = lambda discount: policy.task(policy.double_integrator(), LINEAR, 4, discount).discount  # noqa: E731
    return task, {"discount": 0.9}


_PROCESS = ("theta", "transitions", "rewards", "start", "discount")
_OF_MDP = {"mdp": "rewards"}
TABLE = {
    "Gaussian.log_prob": Entry((Case(_log_prob(LINEAR, None), ("theta", "x", "action")),)),
    "Softmax.log_prob": Entry((Case(_log_prob(policy.Softmax((2, 3)), 1), ("theta", "x")),)),
    "ascend": Entry(
        (Case(_ascend, refused=dict.fromkeys(("start", "g0", "eta0"), "sampling, and a loop of steps")),),
        ("oracle", "keys", "rules", "updates", "at", "loop", "state"),
    ),
    "double_integrator": Entry((Case(_lqr, ("tau",)),)),
    "fisher.matrix": Entry((Case(_natural, ("theta", "g")),)),
    "gradient": Entry(
        (Case(_gradient, ("theta", "observations", "actions", "rewards", "discount", "less")),),
        ("policy",),
        {"batch": "rewards"},
    ),
    "hvp": Entry(
        (
            Case(_hvp("product"), ("theta", "observations", "actions", "rewards", "discount", "less", "v")),
            Case(
                _hvp("dice"),
                ("rewards", "discount", "less", "v"),
                dict.fromkeys(
                    ("theta", "observations", "actions"), "DiCE estimates derivatives of J: those are not of its value"
                ),
            ),
        ),
        ("policy", "kind"),
        {"batch": "rewards"},
    ),
    "lqr.value_and_gradient": Entry((Case(_lqr, ("K", "sigma", "discount")),)),
    "mdp.fisher": Entry((Case(_mdp(mdp.fisher), ("theta", "transitions", "start", "discount")),)),
    "mdp.hessian": Entry((Case(_mdp(mdp.hessian), _PROCESS),)),
    "mdp.value_and_gradient": Entry((Case(_mdp(mdp.value_and_gradient), _PROCESS),)),
    "mdp.optimum": Entry(
        (
            Case(
                _mdp(lambda process, theta, horizon, discount: mdp.optimum(process, horizon, discount)),
                ("transitions", "rewards", "start", "discount"),
            ),
        )
    ),
    "named": Entry(fixed=("name",)),
    "network": Entry(fixed=("kind", "observations", "actions", "units")),
    "own": Entry(fixed=("step", "start", "actions", "kind", "observe")),
    "rollout": Entry(
        (
            Case(_rollout("continuous"), ("theta",)),
            Case(_rollout("discrete"), refused={"theta": "sampling: actions are whole numbers"}),
        ),
        ("task", "key"),
    ),
    "sampled": Entry(fixed=("task", "batch", "curvature_batch", "baseline", "kind", "exact")),
    "tabular": Entry(fixed=("states", "actions")),
    "task": Entry((Case(_identity, ("discount",)),), ("environment", "policy", "horizon")),
}

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("policy", TABLE)
test_derivative = pytest.mark.slow(test_derivative)
