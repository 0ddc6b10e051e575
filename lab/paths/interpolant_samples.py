"""Samples of an interpolant: where its samplers begin, how likely what they reach is, and the flow without latent noise."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics.jit import jit
from lab.paths.interpolant_costs import NoiseLevel
from lab.paths.interpolants import Interpolant
from lab.paths.laws import Empirical, Mixture, Pairs
from lab.paths.likelihood import log_density
from lab.paths.misfits import FieldInUse
from lab.paths.sampling import Solver, between, ode

_MOST = 8  # dimensions in which a divergence is integrated


class Starts(NamedTuple):
    """Where particles of the SDE begin, then strands of it from one start, then the same particles for the ODE."""

    x: Float[Array, "particles+strands+particles d"]
    times: Float[Array, " steps+1"]
    level: Float[Array, " steps+1"]  # of the noise
    key: PRNGKeyArray  # of the noise on the way


@jit
def starts(path: Interpolant, noise: NoiseLevel, key: PRNGKeyArray, steps: int, particles: int, strands: int) -> Starts:
    """Pairs of ends with latent noise, where the path begins."""
    ends, latent, after = jax.random.split(key, 3)
    times = path.grid(steps)
    start = path.points(path.low, path.draw(ends, particles), latent)
    whole = jnp.concatenate([start, jnp.broadcast_to(start[:1], (strands, start.shape[1])), start])
    return Starts(whole, times, noise(times), after)


class Likelihoods(NamedTuple):
    """Of samples, by the integral of the divergence along the ODE, and by the path's law where it ends."""

    log_likelihood: Float[Array, "*samples"]
    log_target: Float[Array, "*samples"]


def has_likelihoods(path: Interpolant) -> bool:
    """Whether ends and coupling have densities, in at most 8 dimensions."""
    smooth = isinstance(path.source, Mixture) and not isinstance(path.target, Empirical)
    return smooth and not isinstance(path.joint, Pairs) and path.dimension <= _MOST


@chosen
@jit
def likelihoods(
    path: Interpolant, used: FieldInUse, samples: Float[Array, "*samples d"], steps: int, solver: Solver
) -> Likelihoods:
    """Log-densities of samples under the ODE of the field in use and under the path; see ``has_likelihoods``."""
    shape, ends = samples.shape[:-1], samples.reshape(-1, samples.shape[-1])
    found = log_density(used, ends, path.source, grid=path.grid(steps), solver=solver).log_density
    return Likelihoods(found.reshape(shape), path.field.log_density(path.high, ends).reshape(shape))


class Flow(NamedTuple):
    """The density of a path at places, and trajectories of its ODE."""

    log_density: Float[Array, "times places"]
    x: Float[Array, "times strands d"]


@jit
def flow(path: Interpolant, places: Float[Array, "places d"], key: PRNGKeyArray, frames: int, strands: int) -> Flow:
    """Both at ``frames`` times, with two steps between them."""
    times, fine = jnp.linspace(0.0, 1.0, frames), jnp.linspace(0.0, 1.0, 2 * (frames - 1) + 1)
    moved: Any = ode(path.field, path.draw(key, strands)[0], grid=fine)
    inner = jnp.clip(times, path.low, path.high)
    return Flow(jax.lax.map(lambda t: path.field.log_density(t, places), inner), between(fine, moved.x, times))
