r"""Gradients of what a policy earns: environments, estimators, and ascent with few trajectories.

$$ J(\theta) = E \sum_{h < H} \gamma^h r_h, \qquad a_h \sim \pi_\theta(\cdot \mid s_h) $$

>>> import jax
>>> import jax.numpy as jnp
>>> from lab import policy
>>> swing = policy.task(policy.named("pendulum"), policy.network("continuous", 3, 1, (8,)), horizon=5, discount=0.99)
>>> theta = swing.policy.init(jax.random.key(0))
>>> policy.rollout(swing, theta, jax.random.key(1)).rewards.shape
(5,)

What one names often is here. The rest, by concept:

- where one acts: ``environments``, ``mdp`` (finite processes, exactly), ``lqr`` (with closed forms);
- who acts: ``policies``; episodes: ``rollouts``;
- from episodes to gradients and curvature: ``estimators``, ``fisher``;
- gradient ascent: ``ascent``.
"""

from lab.parts import parts
from lab.policy.ascent import RULES, Rule, ascend, sampled
from lab.policy.environments import Acrobot, CartPole, Pendulum, named, own
from lab.policy.estimators import gradient, hvp
from lab.policy.lqr import LQR, double_integrator
from lab.policy.mdp import MDP
from lab.policy.policies import Gaussian, Softmax, network, tabular
from lab.policy.rollouts import Episode, Task, rollout, task

__all__ = [
    "LQR",
    "MDP",
    "RULES",
    "Acrobot",
    "CartPole",
    "Episode",
    "Gaussian",
    "Pendulum",
    "Rule",
    "Softmax",
    "Task",
    "ascend",
    "double_integrator",
    "gradient",
    "hvp",
    "named",
    "network",
    "own",
    "rollout",
    "sampled",
    "tabular",
    "task",
]

__getattr__, __dir__ = parts(__name__)
