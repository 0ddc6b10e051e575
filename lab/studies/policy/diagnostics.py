r"""What one looks at in a policy that was learned: its way, its choices, an episode, spectra, and the spread of estimates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics.jit import jit
from lab.policy import estimators, fisher, mdp
from lab.policy.environments import Tabular
from lab.policy.policies import Softmax
from lab.policy.rollouts import Task, rollouts, shown

SIDE = 31
"""Places along a coordinate of a map of choices."""
PAIRS = 256
"""Pairs of state and action from which a Fisher matrix is estimated."""


class Way(NamedTuple):
    """Parameters on the two axes along which they vary most: theta_t, and where episodes were drawn."""

    theta: Float[Array, "p r 2"]
    sampled: Float[Array, "p r 2"]


class Choices(NamedTuple):
    """Of a finite process the probability of each action in each state; else the mean action over a plane.

    A discrete action counts as its number divided by the largest, so that 0 is the first and 1 the last.
    """

    x: Float[Array, " n"]
    y: Float[Array, " m"]
    value: Float[Array, "m n"]


class Spread(NamedTuple):
    """Estimates of single episodes at one point, along one unit direction v."""

    gradient: Float[Array, " n"]  # |g|
    curvature: Float[Array, " n"]  # |B v|
    each: Float[Array, " d"]  # the mean of B v
    error: Float[Array, ""]  # the standard error of that mean, as a length
    means: Float[Array, " d"]  # the product of means, which is biased


class Episodes(NamedTuple):
    """Two episodes, at first and at the end: the line that shows each state, rewards, whether they went on."""

    line: Float[Array, "2 H k 2"]
    reward: Float[Array, "2 H"]
    alive: Float[Array, "2 H"]


@jit
def way(theta: Float[Array, "p r d"], sampled: Float[Array, "p r d"]) -> Way:
    """Projections on principal axes of all theta that were reached; NaN stays NaN."""
    p, r, d = theta.shape
    flat = theta.reshape(p * r, d)
    known = jnp.isfinite(flat).all(axis=1)
    centre = jnp.where(known[:, None], flat, 0).sum(axis=0) / known.sum()
    apart = jnp.where(known[:, None], flat - centre[None], 0)
    if d <= p * r:
        axes = jnp.linalg.eigh(apart.T @ apart)[1][:, ::-1]
    else:
        columns = jnp.linalg.eigh(apart @ apart.T)[1][:, ::-1]
        axes = apart.T @ columns
        axes = axes / jnp.maximum(jnp.linalg.norm(axes, axis=0), 1e-12)[None]
    axes = axes[:, :2]
    axes = jnp.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    axes = axes * jnp.where(axes.sum(axis=0) < 0, -1.0, 1.0)[None]  # a sign that does not change by chance
    return Way((theta - centre[None, None]) @ axes, (sampled - centre[None, None]) @ axes)


@jit
def choices(task: Task, theta: Float[Array, " d"], key: PRNGKeyArray) -> Choices:
    """What the policy does where; of an environment that names no plane, over what it visits."""
    environment, policy = task.environment, task.policy
    if isinstance(environment, Tabular):
        x, y = (jnp.arange(n, dtype=float) for n in (environment.actions, environment.observations))
        seen = jnp.eye(environment.observations)
        return Choices(x, y, jax.vmap(lambda one: jax.nn.softmax(policy.logits(theta, one)))(seen))
    plane = getattr(environment, "plane", None)
    if plane is None:
        visited = rollouts(task, theta, key, 8)
        seen = visited.observations.reshape(-1, environment.observations)
        seen = jnp.pad(seen, ((0, 0), (0, max(0, 2 - environment.observations))))
        inside = visited.alive.reshape(-1, 1)
        low = jnp.where(inside, seen, jnp.inf).min(axis=0)
        high = jnp.where(inside, seen, -jnp.inf).max(axis=0)
        low, high = low - 1e-3, high + 1e-3
        x, y = (jnp.linspace(low[i], high[i], SIDE) for i in range(2))
    else:
        x, y = (jnp.linspace(low, high, SIDE) for low, high in (plane.x, plane.y))

    def done(u: Array, v: Array) -> Array:
        seen = environment.seen(u, v)
        if isinstance(policy, Softmax):
            chances = jax.nn.softmax(policy.logits(theta, seen))
            return chances @ jnp.linspace(0, 1, chances.size)
        return policy.mean(theta, seen)[0]

    return Choices(x, y, jax.vmap(lambda v: jax.vmap(lambda u: done(u, v))(x))(y))


@jit
def episodes(task: Task, first: Float[Array, " d"], last: Float[Array, " d"], key: PRNGKeyArray) -> Episodes:
    """One episode before and one after, of the same key."""
    told = jax.vmap(lambda theta: shown(task, theta, key))(jnp.stack([first, last]))
    return Episodes(told.lines, told.episode.rewards, told.episode.alive.astype(told.lines.dtype))


@jit
def spectra(task: Task, thetas: Float[Array, "f d"], key: PRNGKeyArray, n: int) -> Float[Array, "f k"]:
    """Eigenvalues of the Fisher matrix at some points: of a finite process exactly, else from ``PAIRS`` pairs of n episodes."""
    environment = task.environment

    def at(theta: Array) -> Array:
        if isinstance(environment, Tabular):
            table = mdp.table(environment.mdp, theta)
            F = mdp.fisher(environment.mdp, table, task.horizon, task.discount)
            return jnp.maximum(jnp.linalg.eigvalsh(F)[::-1], 0)
        draw, choose = jax.random.split(key)
        batch = rollouts(task, theta, draw, n)
        x, actions = fisher.pairs(batch, task.discount, choose, PAIRS)
        return fisher.spectrum(fisher.scores(task.policy, theta, x, actions))

    return jax.lax.map(at, thetas)


@chosen
@jit
def spread(
    task: Task,
    theta: Float[Array, " d"],
    v: Float[Array, " d"],
    key: PRNGKeyArray,
    n: int,
    kind: estimators.Curvature,
    baseline: estimators.Baseline,
) -> Spread:
    """Gradients and Hessian-vector products of n single episodes. Without a direction (v = 0) along all ones."""
    length = jnp.linalg.norm(v)
    v = jnp.where(length > 0, v / jnp.where(length > 0, length, 1), 1 / jnp.sqrt(v.size))
    batch = rollouts(task, theta, key, n)
    less: Any = estimators.baseline(batch, task.discount, baseline)
    g = estimators.gradients(task.policy, theta, batch, task.discount, less)
    curved = estimators.hvps(task.policy, theta, batch, v, task.discount, less, kind)
    error = jnp.linalg.norm(curved.std(axis=0)) / jnp.sqrt(n)
    means = estimators.product_of_means(task.policy, theta, batch, v, task.discount)
    return Spread(jnp.linalg.norm(g, axis=1), jnp.linalg.norm(curved, axis=1), curved.mean(axis=0), error, means)
