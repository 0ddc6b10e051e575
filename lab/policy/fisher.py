r"""Spectra of the Fisher matrix $F(\theta) = E\,[\nabla \log \pi_\theta(a|s)\, \nabla \log \pi_\theta(a|s)^\top]$.

The mean is over the discounted occupancy, $d(s) \propto \sum_h \gamma^h P(s_h = s)$. Where F >= mu I for all theta
(Gaussian policies with full-rank features), a small gradient means a return near the best; a tabular softmax has a null
direction for each state.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random

from .policies import Policy
from .rollouts import Episode


def scores(
    policy: Policy, theta: Float[Array, " d"], observations: Float[Array, "m o"], actions: Array
) -> Float[Array, "m d"]:
    r"""$\nabla \log \pi_\theta(a|s)$ of pairs of states and actions."""
    return jax.vmap(jax.grad(policy.log_prob), (None, 0, 0))(theta, observations, actions)


def pairs(batch: Episode, discount: ArrayLike, key: PRNGKeyArray, m: int) -> tuple[Float[Array, "m o"], Array]:
    """m pairs of state and action out of a batch, drawn by the discounted occupancy."""
    steps = jnp.asarray(discount, batch.rewards.dtype) ** jnp.arange(batch.rewards.shape[1])
    mass = jnp.cumsum((batch.alive * steps[None, :]).reshape(-1))
    at = jnp.searchsorted(mass, random.uniform(key, (m,), mass.dtype) * mass[-1], side="right")
    observations, actions = (
        x.reshape(-1, *x.shape[2:])[jnp.minimum(at, mass.size - 1)] for x in (batch.observations, batch.actions)
    )
    return observations, actions


def matrix(score: Float[Array, "m d"], weights: Float[Array, " m"] | None = None) -> Float[Array, "d d"]:
    """The mean of score score^T, with weights that sum to 1."""
    weights = jnp.full(len(score), 1 / len(score), score.dtype) if weights is None else weights
    return score.T @ (weights[:, None] * score)


def spectrum(score: Float[Array, "m d"]) -> Float[Array, " k"]:
    """The largest eigenvalues of the mean of score score^T, in falling order, k = min(m, d): of the smaller Gram matrix."""
    m, d = score.shape
    gram = score.T @ score if d <= m else score @ score.T
    return jnp.maximum(jnp.linalg.eigvalsh(gram / m)[::-1], 0)
