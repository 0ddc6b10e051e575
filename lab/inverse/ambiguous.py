r"""A measurement in the plane that leaves two answers open, and how FLAIR decides between them.

The prior is $\sum_k w_k N(m_k, s^2 I)$ with three modes, of which two agree with $y = x_2 + \sigma\varepsilon$; its
velocity and its posterior are known exactly, so that what the trajectory adjustment does to the law of the answers can be
measured.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.denoise.posterior import Posterior
from lab.inverse.flair import Flair, calibrate
from lab.inverse.linear import Dense
from lab.inverse.problems import Problem, posterior, problem
from lab.inverse.solving import solve
from lab.numerics import Loop, first_failure
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture

SHAPE = (1, 1, 2)
_CLEAN = 500  # draws from the prior that a calibration looks at
_POINTS = 2000  # at which two distribution functions are compared


class Answers(NamedTuple):
    """Of two ways: the method, and the same without trajectory adjustment."""

    path: Float[Array, "ways frames seeds 2"]  # x_t of each step, and the answers last
    mode: Int[Array, "ways seeds"]  # that each answer is in
    share: Float[Array, "rows modes"]  # of the posterior, and of the answers of both ways
    distance: Float[Array, " ways"]  # Wasserstein-1, from the posterior, of the first coordinate
    reason: Any


def prior() -> Mixture:
    """The law of x."""
    return Mixture([0.3, 0.4, 0.3], [[-1.0, 1.0], [1.0, 1.0], [0.0, -1.0]], [0.04, 0.04, 0.04])


def given(noise: ArrayLike) -> Problem:
    """What was measured: the second coordinate is 1."""
    return problem(Dense(jnp.asarray([[0.0, 1.0]]), SHAPE), jnp.ones(1), noise)


def decide(method: Flair, noise: ArrayLike, key: PRNGKeyArray, seeds: int, loop: Loop) -> Answers:
    """Many answers with the exact denoiser, with adjustment and without, from the same noise.

    The method's own calibration, where it has one, is replaced by that of this denoiser.
    """
    law, task, clean, second, third = _begun(noise, key)
    denoiser = Posterior(law, SHAPE)
    if method.calibration is not None:
        method = method._replace(calibration=calibrate(denoiser, clean, second))
    ways, reasons = [], []
    for each in (method, method._replace(adjust_scale=0.0)):
        found = solve(task, denoiser, each, key=third, seeds=seeds, keep=True, loop=loop)
        assert found.beside is not None
        ways.append((found.beside["x_t"], found.x, jnp.asarray(found.iterations)))
        reasons.append(found.reason)
    return Answers(*_beside(law, task, ways), first_failure(*reasons))


@jit
def _begun(noise: ArrayLike, key: PRNGKeyArray) -> tuple[Mixture, Problem, Array, PRNGKeyArray, PRNGKeyArray]:
    """The law and the measurement, draws to calibrate on with the key of their noise, and the key of the answers."""
    law, (first, second, third) = prior(), jax.random.split(key, 3)
    return law, given(noise), law.sample(first, _CLEAN), second, third


@jit
def _beside(law: Mixture, task: Problem, ways: list[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array, Array]:
    known, paths, ends = posterior(task, law), [], []
    for seen, found, iterations in ways:
        way, end = seen.reshape(len(seen), -1, 2), found.reshape(-1, 2)
        way = jnp.where(jnp.arange(len(way))[:, None, None] < iterations, way, jnp.nan)
        paths.append(jnp.concatenate([way, end[None]]))
        ends.append(end)
    ends = jnp.stack(ends)
    mode = jax.vmap(law.responsibilities)(ends).argmax(axis=2)
    shares = jax.nn.one_hot(mode, len(law.weights)).mean(axis=1)
    distance = jax.vmap(lambda x: _wasserstein(known, x[:, 0]))(ends)
    return jnp.stack(paths), mode, jnp.concatenate([known.weights[None], shares]), distance


def _wasserstein(known: Mixture, x: Float[Array, " seeds"]) -> Float[Array, ""]:
    r"""$\int |F_n - F|$ of the first coordinate, which is the Wasserstein-1 distance on a line."""
    mean, spread = known.means[:, 0], jnp.sqrt(known.covariances[:, 0, 0])
    reach = jnp.maximum(jnp.abs(x).max(), jnp.abs(mean).max() + 8 * spread.max())
    at = jnp.linspace(-reach, reach, _POINTS)
    exact = jax.scipy.stats.norm.cdf((at[:, None] - mean[None]) / spread[None]) @ known.weights
    ours = jnp.searchsorted(jnp.sort(x), at, side="right") / len(x)
    return jnp.abs(ours - exact).sum() * (at[1] - at[0])


@jit
def density(
    noise: ArrayLike, t: Float[Array, " frames"], x: Float[Array, " columns"], y: Float[Array, " rows"]
) -> Float[Array, "frames rows columns"]:
    r"""Of $(1 - t) x_0 + t \varepsilon$ with $x_0$ from the posterior: what an exact sampler would follow."""
    known = posterior(given(noise), prior())
    across, up = jnp.meshgrid(x, y)
    points = jnp.stack([across.ravel(), up.ravel()], axis=1)

    def at(t: Array) -> Array:
        wide = (1 - t) ** 2 * known.covariances + t**2 * jnp.eye(2)[None]
        return jnp.exp(Mixture(known.weights, (1 - t) * known.means, wide).log_prob(points))

    return jax.lax.map(at, t).reshape(len(t), len(y), len(x))
