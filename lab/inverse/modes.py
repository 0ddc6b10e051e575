r"""A posterior with several modes that can be drawn: three Gaussians in the plane, of which the first coordinate is measured.

$$ p(x) = \sum_k w_k N(x;\, m_k, C_k), \qquad y = x_1 + \sigma\varepsilon . $$

A solver that fits one narrow law ends in one of the modes, seed by seed; the law of many seeds is not the posterior.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.denoise.posterior import Posterior
from lab.inverse.linear import Mask
from lab.inverse.problems import Problem, posterior, problem
from lab.inverse.solving import Method, solve
from lab.numerics import Loop, random
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture

SHAPE = (1, 1, 2)
Y = 0.1  # what is measured of the first coordinate
_START = 0.5


class Descent(NamedTuple):
    """Seeds on their way, and how their ends lie beside the posterior.

    Of the hidden coordinate, within each mode: ``width`` is the posterior's standard deviation, ``spread`` that of the seeds,
    each counted by its responsibilities; NaN where less than two seeds ended.
    """

    path: Float[Array, "times seeds 2"]  # the start first
    weights: Float[Array, " modes"]
    share: Float[Array, " modes"]  # of the seeds
    width: Float[Array, " modes"]
    spread: Float[Array, " modes"]
    reason: Any


def prior() -> Mixture:
    """The law of x."""
    means = jnp.asarray([[0.0, 1.0], [0.3, 0.0], [-0.2, -1.0]])
    across, up, tilt = 0.5, 0.15, jnp.asarray([0.5, -0.5, 0.3]) * 0.5 * 0.15
    covariances = jnp.stack([jnp.asarray([[across**2, 0.0], [0.0, up**2]])] * 3)
    covariances = covariances.at[:, 0, 1].set(tilt).at[:, 1, 0].set(tilt)
    return Mixture(jnp.asarray([0.4, 0.35, 0.25]), means, covariances)


def given(noise: ArrayLike) -> Problem:
    """What was measured: the first coordinate is ``Y``."""
    return problem(Mask(jnp.asarray([[[True, False]]])), jnp.asarray([[[Y, 0.0]]]), noise)


def descend(method: Method, noise: ArrayLike, key: PRNGKeyArray, seeds: int, loop: Loop) -> Descent:
    """Seeds from places of their own, drawn from N(0, 1/4), with the exact denoiser of the prior; NaN after it was stopped."""
    law, task, start = _begun(noise, key, seeds)
    found = solve(task, Posterior(law, SHAPE), method, key=key, seeds=seeds, start=start, keep=True, loop=loop)
    assert found.path is not None
    return Descent(*_beside(law, task, start, found.path, found.x, jnp.asarray(found.iterations)), found.reason)


@jit
def _begun(noise: ArrayLike, key: PRNGKeyArray, seeds: int) -> tuple[Mixture, Problem, Array]:
    return prior(), given(noise), _START * random.normal(jax.random.fold_in(key, 1), (seeds, *SHAPE))


@jit
def _beside(
    prior: Mixture, task: Problem, start: Array, path: Array, ends: Array, steps: Array
) -> tuple[Array, Array, Array, Array, Array]:
    start, ends, path = start.reshape(-1, 2), ends.reshape(-1, 2), path.reshape(len(path), -1, 2)
    law = posterior(task, prior)
    belongs = law.responsibilities(ends)
    count, hidden = belongs.sum(axis=0), ends[:, 1]
    mean = hidden @ belongs / count
    off = (belongs * (hidden[:, None] - mean[None, :]) ** 2).sum(axis=0)
    spread = jnp.where(count >= 2, jnp.sqrt(off / (count - 1)), jnp.nan)
    way = jnp.where(jnp.arange(len(path))[:, None, None] < steps, path, jnp.nan)
    width = jnp.sqrt(law.covariances[:, 1, 1])
    return jnp.concatenate([start[None], way]), law.weights, count / len(ends), width, spread


@jit
def density(noise: ArrayLike, x: Float[Array, " columns"], y: Float[Array, " rows"]) -> Float[Array, "rows columns"]:
    """Of the posterior on a grid."""
    across, up = jnp.meshgrid(x, y)
    points = jnp.stack([across.ravel(), up.ravel()], axis=1)
    return jnp.exp(posterior(given(noise), prior()).log_prob(points)).reshape(len(y), len(x))
