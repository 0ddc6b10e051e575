r"""Episodes: a policy in an environment, for at most H steps."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.numerics import arguments

from .policies import Gaussian, Policy, Softmax


class Task(eqx.Module):
    """What is to be learned: an environment, a policy for it, the steps of an episode and the discount of a step."""

    environment: Any
    policy: Any
    horizon: int = eqx.field(static=True)
    discount: Float[Array, ""]


class Episode(NamedTuple):
    """What was observed, done and earned. After the end of an episode ``alive`` is False and rewards are 0."""

    observations: Float[Array, "*n H o"]
    actions: Any  # (*n, H) whole numbers, or (*n, H, m)
    rewards: Float[Array, "*n H"]
    alive: Bool[Array, "*n H"]


class Shown(NamedTuple):
    """An episode to be looked at."""

    lines: Float[Array, "H k 2"]  # what ``drawn`` makes of the state before each step
    episode: Episode


def task(environment: Any, policy: Policy, horizon: int, discount: Any) -> Task:
    r"""A task whose parts fit together: $J(\theta) = E \sum_{h < H} \gamma^h r_h$ is to be large.

    Args:
        environment: where one acts.
        policy: who acts.
        horizon: H, at least 1.
        discount: gamma in (0, 1].

    Returns:
        the task.

    Raises:
        ValueError: a number that is not allowed, or a policy for other observations or actions.

    Source:
        Fatkhullin, Barakat, Kireeva and He (2023).

    Examples:
        >>> from lab import policy
        >>> policy.task(policy.named("CartPole"), policy.network("discrete", 4, 2, ()), 10, 0.99).horizon
        10
    """
    horizon = arguments.whole("horizon", horizon, 1)
    if np.ndim(discount):
        raise ValueError(f"discount has shape {np.shape(discount)}: one number is needed")
    if not isinstance(discount, Tracer) and not 0 < np.asarray(discount) <= 1:
        raise ValueError(f"discount = {discount}, but it must be above 0 and at most 1")
    wanted = {"discrete": Softmax, "continuous": Gaussian}[environment.kind]
    if isinstance(policy, Softmax | Gaussian):
        if not isinstance(policy, wanted):
            raise ValueError(
                f"the actions of the environment are {environment.kind}, but the policy is a {type(policy).__name__}: give it "
                f"a {wanted.__name__}"
            )
        ends, needed = (policy.sizes[0], policy.sizes[-1]), (environment.observations, environment.actions)
        if ends != needed:
            raise ValueError(
                f"the policy takes {ends[0]} numbers and gives {ends[1]}, but the environment shows {needed[0]} and takes "
                f"{needed[1]}: make its sizes ({needed[0]}, ..., {needed[1]})"
            )
    return Task(environment, policy, horizon, jnp.asarray(discount, float))


def rollout(task: Task, theta: Any, key: PRNGKeyArray) -> Episode:
    """One episode $(s_0, a_0, r_0, s_1, ...)$ of at most H steps.

    What an environment does after it is done is not seen, also where it begins again by itself. Under a Gaussian policy the
    episode is differentiable in theta, along the same noise; drawn actions of a softmax have no derivative, which raises an
    error.

    Args:
        task: environment, policy and horizon.
        theta: parameters of the policy, (d,).
        key: of all that is drawn.

    Returns:
        observations (H, o), actions, rewards (H,), and whether the episode was still alive.

    Raises:
        ValueError: theta of another size than the policy has, or not finite.

    Source:
        Fatkhullin, Barakat, Kireeva and He (2023).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> count = policy.own(lambda s, a: (s + 1, s, s >= 2), 0.0, 1)  # 0, 1, 2, and it ends
        >>> task = policy.task(count, policy.network("discrete", 1, 1, ()), 4, 1.0)
        >>> policy.rollout(task, jnp.zeros(2), jax.random.key(0)).rewards.tolist()
        [0.0, 1.0, 2.0, 0.0]
    """
    size = getattr(task.policy, "size", None)
    theta = arguments.real("theta", theta, (size,))
    return _episode(task, theta, key, lambda state: None)[1]


def rollouts(task: Task, theta: Float[Array, " d"], key: PRNGKeyArray, n: int) -> Episode:
    """n episodes, each with a key of its own."""
    return jax.vmap(lambda one: rollout(task, theta, one))(jax.random.split(key, n))


def shown(task: Task, theta: Float[Array, " d"], key: PRNGKeyArray) -> Shown:
    """One episode with its pictures; it is that of ``rollout`` with the same key."""
    return Shown(*_episode(task, theta, key, task.environment.drawn))


def _episode(task: Task, theta: Array, key: Array, look: Any) -> tuple[Any, Episode]:
    first, rest = jax.random.split(key)
    x, state = task.environment.reset(first)

    def step(carry: Any, keys: Array) -> tuple[Any, tuple[Any, Episode]]:
        x, state, alive = carry
        action = task.policy.sample(theta, x, keys[0])
        after = task.environment.step(keys[1], state, action)
        reward = jnp.where(alive, after.reward, 0.0)
        seen = look(state), Episode(x, action, reward, alive)
        return (after.observation, after.state, alive & ~after.done), seen

    keys = jax.random.split(rest, (task.horizon, 2))
    return jax.lax.scan(step, (x, state, jnp.ones((), bool)), keys)[1]
