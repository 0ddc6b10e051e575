"""Fields that miss the exact ones by a known amount, as learned ones do by an unknown one, and the energy of the misfit."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.paths.fields import Exact, Field
from lab.paths.interpolants import Interpolant
from lab.paths.schedules import Schedule, interpolate

NODES, WEIGHTS = (np.array(values) / 2 for values in np.polynomial.legendre.leggauss(24))
NODES = NODES + 0.5
"""Times and weights of the quadrature of Gauss and Legendre over [0, 1]."""


class Misfit(NamedTuple):
    """By how much the fields in use miss: shifts along (1, ..., 1) and multiples of x, and networks for velocity and noise if
    trained."""

    velocity: ArrayLike
    score: ArrayLike
    velocity_slope: ArrayLike = 0.0
    score_slope: ArrayLike = 0.0
    networks: tuple[Any, Any] | None = None

    def __call__(
        self, schedule: Schedule, t: ArrayLike, x: Float[Array, "n d"], field: Field
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Of velocity and score at a time and points, where the exact field is ``field``."""
        along = jnp.ones_like(x) / x.shape[1] ** 0.5
        velocity = self.velocity * along + self.velocity_slope * x
        score = self.score * along + self.score_slope * x
        if self.networks is not None:
            c = schedule(t)
            noise = jnp.where(c.gamma > 0, c.gamma, c.alpha)
            velocity = velocity + self.networks[0](t, x) - field.velocity
            score = score - self.networks[1](t, x) / noise - field.score
        return velocity, score


class FieldInUse(eqx.Module):
    """The field that samplers use: the exact one, and what is missed."""

    exact: Exact
    misfit: Misfit

    def __call__(self, t: ArrayLike, x: Float[Array, "n d"]) -> Field:
        field = self.exact(t, x)
        velocity, score = self.misfit(self.exact.schedule, t, x, field)
        return field._replace(velocity=field.velocity + velocity, score=field.score + score)


def expectation_points(
    path: Interpolant, t: ArrayLike, key: PRNGKeyArray, n: int
) -> tuple[Float[Array, "p d"], Float[Array, " p"]]:
    """Points and weights for expectations at a time: on a line a grid of 512 points, else n draws with both signs of the
    latent noise."""
    if path.dimension == 1:
        mean, covariance = path.moments(t)
        y = jnp.linspace(-6.0, 6.0, 512)
        x = (mean + jnp.sqrt(covariance[0, 0]) * y)[:, None]
        density = jnp.exp(path.field.log_density(t, x))
        return x, density / density.sum()
    first, second = jax.random.split(key)
    x0, x1 = path.draw(first, (n + 1) // 2)
    z = random.normal(second, x1.shape, x1.dtype)
    x = jnp.concatenate([interpolate(path.schedule, t, x0, x1, sign * z) for sign in (1, -1)])
    return x, jnp.full(x.shape[0], 1 / x.shape[0])


class Energies(NamedTuple):
    r"""Expectations of squares at a time, of $b$, $b_F = b + \epsilon s$ and $s$, and of what is missed of them."""

    velocity: Float[Array, "*times"]
    drift: Float[Array, "*times"]
    score: Float[Array, "*times"]
    missed_velocity: Float[Array, "*times"]
    missed_score: Float[Array, "*times"]
    missed_drift: Float[Array, "*times"]


def energies(
    path: Interpolant,
    used: FieldInUse,
    t: ArrayLike,
    level: ArrayLike,
    x: Float[Array, "n d"],
    weights: Float[Array, " n"],
) -> Energies:
    """At a time and a noise level, by the points and weights of ``expectation_points``."""
    field = path.field(t, x)
    velocity, score = used.misfit(path.schedule, t, x, field)
    drift = field.velocity + level * field.score
    squared = field.velocity, drift, field.score, velocity, score, velocity + level * score
    return Energies(*(weights @ (v**2).sum(axis=1) for v in squared))


def energies_over_time(path: Interpolant, used: FieldInUse, level: ArrayLike, key: PRNGKeyArray, n: int) -> Energies:
    """``energies`` at all times ``NODES``, of one noise level."""

    def of_time(given):
        t, key = given
        return energies(path, used, t, level, *expectation_points(path, t, key, n))

    return jax.lax.map(of_time, (jnp.asarray(NODES), jax.random.split(key, len(NODES))))
