r"""Samplers beside each other and beside the exact flow: errors by the number of evaluations, on every grid, and what is seen.

Points of all times are shown on the scale of the data, $x\,\sqrt{v / (a^2 v + s^2)}$ with v the mean variance of the data, so
that noise and data are equally wide whatever the schedule.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.diffusion import grids, walk
from lab.diffusion.parametrisations import KINDS, error_ratios
from lab.diffusion.predictions import Exact, Prediction
from lab.diffusion.samplers import SAMPLERS, DPMSolver2M
from lab.diffusion.schedules import Level, Noise, noise
from lab.diffusion.walk import Knot, Sampler
from lab.numerics.jit import jit

COMPARED = ("euler", "heun", "edm-heun", "ddim", "dpm-2", "dpm++2m")
COUNTS = (5, 10, 20, 40, 80, 160)
SPACINGS = ("time", "log-snr", "karras", "quadratic", "change")
SCHEDULES = ("vp", "cosine", "subvp", "ve", "edm", "linear", "trigonometric")


class Errors(NamedTuple):
    """Root mean square distances of ends from those of the exact flow, and how often the prediction was asked."""

    error: Float[Array, "samplers counts"]
    calls: Int[Array, "samplers counts"]
    order: Float[Array, " samplers"]  # observed, between the last two counts


@jit
def errors(
    predict: Prediction, noise: Noise, x: Float[Array, "n d"], truth: Float[Array, "n d"], spacing: str, rho: Any = 7.0
) -> Errors:
    """Of ``COMPARED`` with ``COUNTS`` steps, each all at once."""
    counts = jnp.asarray(COUNTS)
    times = jax.vmap(lambda steps: grids.padded(noise, steps, COUNTS[-1], spacing, rho))(counts)
    # of few steps too the last of dpm++2m is of second order, so that it has one order for all
    made: list[Any] = [DPMSolver2M(steady=False) if name == "dpm++2m" else SAMPLERS[name] for name in COMPARED]
    along = _along(noise, times, x)
    found = jnp.stack([_ends_apart(predict, along, counts, x, truth, sampler) for sampler in made])
    calls = jnp.stack([sampler.evaluations * counts for sampler in made])
    return Errors(found, calls, jnp.log2(found[:, -2] / found[:, -1]))


@jit
def errors_of_grids(
    predict: Prediction,
    noise: Noise,
    times: Float[Array, "grids times"],
    x: Float[Array, "n d"],
    truth: Float[Array, "n d"],
    sampler: Sampler,
) -> Float[Array, " grids"]:
    """Of one sampler on several grids of the same number of steps."""
    steps = jnp.full(times.shape[0], times.shape[1] - 1)
    return _ends_apart(predict, _along(noise, times, x), steps, x, truth, sampler)


def _along(noise: Noise, times: Array, x: Array) -> tuple[Knot, Knot]:
    return jax.vmap(lambda each: walk.knots(noise, each, x.dtype))(times)


def _ends_apart(predict: Any, along: Any, steps: Array, x: Array, truth: Array, sampler: Any) -> Array:
    key = jax.random.key(0)  # of no draw: these are deterministic
    ends = jax.vmap(lambda each, steps: walk.between(predict, each, steps, x, sampler, key))(along, steps)
    return jnp.sqrt(((ends - truth[None]) ** 2).sum(axis=2).mean(axis=1))


def scale(level: Level, variance: Any) -> Array:
    """How many times as wide as the data points at a level are."""
    return jnp.sqrt((level.a**2 * variance + level.s**2) / variance)


@jit
def densities(
    law: Exact, noise: Noise, log_snr: Float[Array, " times"], places: Float[Array, "k d"], variance: Any
) -> Float[Array, "times k"]:
    """Of the noised law at each time, of points on the scale of the data."""
    levels = noise(noise.time(log_snr))

    def one(level):
        wide = scale(level, variance)
        return jnp.exp(law.log_density(places * wide, level.a, level.s) + places.shape[1] * jnp.log(wide))

    return jax.lax.map(one, levels)


class Tilted(NamedTuple):
    r"""The law $\propto p(x \mid c)^{1+w} p(x)^{-w}$ at the places of a grid, as masses; and its standard deviation."""

    mass: Float[Array, " k"]
    spread: Float[Array, ""]  # root of the mean variance of a coordinate


@jit
def tilted(conditional: Exact, whole: Exact, w: Any, level: Level, places: Float[Array, "k d"]) -> Tilted:
    """Of places that stand for equal cells; NaN where the law has no finite mass, so that it is largest at an edge."""
    logs = (1 + w) * conditional.log_density(places, level.a, level.s) - w * whole.log_density(places, level.a, level.s)
    mass = jax.nn.softmax(logs)
    mean = mass @ places
    return Tilted(mass, jnp.sqrt((mass @ (places - mean[None, :]) ** 2).mean()))


@jit
def share_of(conditional: Exact, whole: Exact, part: Any, level: Level, x: Float[Array, "n d"]) -> Float[Array, ""]:
    """Mean probability of the class, which has ``part`` of the mass, at the points."""
    return jnp.minimum(
        part * jnp.exp(conditional.log_density(x, level.a, level.s) - whole.log_density(x, level.a, level.s)), 1.0
    ).mean()


class Table(NamedTuple):
    """All schedules, from their last time to their first."""

    a: Float[Array, "schedules clock"]
    s: Float[Array, "schedules clock"]
    log_snr: Float[Array, "schedules clock"]
    weight: Float[Array, "schedules kinds clock"]  # of the squared error of the data, where the loss is in that kind


@jit
def table(clock: Float[Array, " clock"]) -> Table:
    """At shares of the way from noise to data."""
    rows = []
    for name in SCHEDULES:
        made = noise(name)
        level = made(made.last + clock * (made.first - made.last))
        rows.append(Table(level.a, level.s, level.log_snr, jnp.stack([error_ratios(level)[kind] for kind in KINDS])))
    return jax.tree.map(lambda *each: jnp.stack(each), *rows)


def knots(
    predict: Prediction, noise: Noise, x: Float[Array, "n d"], steps: int, rho: Any
) -> Float[Array, "grids times"]:
    """The times of all ``SPACINGS``; x at the last time tell how much the denoised points change."""
    even = [grids.grid(noise, steps, spacing, rho=rho) for spacing in SPACINGS[:-1]]
    return jnp.stack([*even, grids.by_change(noise, predict, x, steps)])
