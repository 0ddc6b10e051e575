"""Arguments of ``lab.policy``: lists are taken, and invalid values are named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import policy
from lab.policy import lqr, mdp

PROCESS = mdp.checked([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.3, 0.7]]], [[0.0, 1.0], [2.0, 0.0]], [0.5, 0.5])
TASK = policy.task(policy.double_integrator(), policy.Gaussian((2, 1), sigma=0.3), 3, 0.9)
KEYS = jax.random.split(jax.random.key(0), 1)


def _ascend(start=((0.0, 0.0, 0.0),), keys=KEYS, **given):
    return policy.ascend(policy.sampled(TASK, 2), start, keys, rules=["PG"], **({"g0": 0.1, "updates": 2} | given))


@pytest.mark.parametrize(
    ("told", "call"),
    [
        ("sigma = 0 is not allowed", lambda: policy.Gaussian((2, 1), sigma=0.0)),
        ("sizes = 0 is not allowed", lambda: policy.Softmax((2, 0))),
        (r"sizes = \(2,\) is not allowed", lambda: policy.Gaussian((2,))),
        ("horizon = 0 is not allowed", lambda: mdp.value(PROCESS, np.zeros((2, 2)), 0, 0.9)),
        ("horizon = 0 is not allowed", lambda: mdp.gradient(PROCESS, np.zeros((2, 2)), 0, 0.9)),
        ("horizon = 0 is not allowed", lambda: mdp.optimum(PROCESS, 0, 0.9)),
        (r"theta has shape \(2, 1\)", lambda: mdp.value(PROCESS, np.zeros((2, 1)), 2, 0.9)),
        ("discount = -1 is not allowed", lambda: mdp.value(PROCESS, np.zeros((2, 2)), 2, -1.0)),
        ("tau = 0 is not allowed", lambda: policy.double_integrator(0.0)),
        ("horizon = 0 is not allowed", lambda: lqr.value(policy.double_integrator(), [[0.0, 0.0]], 0.1, 0, 0.9)),
        (r"K has shape \(2,\)", lambda: lqr.value(policy.double_integrator(), [0.0, 0.0], 0.1, 2, 0.9)),
        (r"start has shape \(3,\)", lambda: _ascend(start=[0.0, 0.0, 0.0])),
        ("keys have shape", lambda: _ascend(keys=jax.random.split(KEYS[0], 2))),
        ("at = .* is not allowed", lambda: _ascend(at=[5])),
        ("batch = 0 is not allowed", lambda: policy.sampled(TASK, 0)),
        (r"theta has shape \(1,\)", lambda: policy.rollout(TASK, [0.0], KEYS[0])),
        ("units = 0 is not allowed", lambda: policy.network("discrete", 2, 2, (0,))),
        (r"discount has shape \(1,\)", lambda: policy.task(TASK.environment, TASK.policy, 3, [0.9])),
    ],
)
def test_invalid_arguments_are_named(told, call):
    with pytest.raises(ValueError, match=told):
        call()


def test_lists_are_taken():
    theta = [[0, 1], [1, 0]]
    known = mdp.value(PROCESS, jnp.asarray(theta, float), 2, 0.9)
    made = mdp.MDP(np.asarray(PROCESS.transitions).tolist(), [[0, 1], [2, 0]], [0.5, 0.5])
    assert float(mdp.value(made, theta, 2, 0.9)) == pytest.approx(float(known), rel=1e-14)
