r"""Stochastic interpolants by name: a path between any two laws, its exact field, and the coupling of its flow.

$$ x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z, \qquad (x_0, x_1) \sim \nu, \quad z \sim N(0, I) $$

Source: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025).
"""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Real

from lab.choices import chosen
from lab.numerics import Loop, pure, random
from lab.numerics.jit import jit
from lab.numerics.mixtures import standard
from lab.paths import schedules
from lab.paths.carry import carry
from lab.paths.fields import Exact, exact
from lab.paths.laws import Joint, Mixture, Pairs
from lab.paths.likelihood import divergence
from lab.paths.sampling import graded
from lab.paths.schedules import Coefficients, Mirror, Schedule, interpolate

SCHEDULES = (
    "linear",
    "trigonometric",
    "encoder-decoder",
    "one-sided-linear",
    "one-sided-trigonometric",
    "sbdm",
    "mirror",
)
type Latent = Literal["brownian", "quadratic", "sine-squared", "bump", "bridge", "none"] | str
LATENTS = ("brownian", "quadratic", "sine-squared", "bump", "bridge", "none")
MIXING = ("linear", "trigonometric")
"""Schedules in which source and data are there at once, beside a latent noise."""
ONE_SIDED = ("one-sided-linear", "one-sided-trigonometric", "sbdm")
"""Schedules that begin at N(0, I), which is their latent noise."""
PAIRS = 1000
"""So many pairs stand for the coupling of a flow without a closed form."""


@chosen
def schedule_named(name: str, latent: Latent, a: ArrayLike) -> Schedule:
    """A schedule of ``SCHEDULES`` with a latent noise of ``LATENTS``.

    Args:
        a: size of the latent noise; of "bridge" its coefficients (m,). Traced; not read where there is none.
    """
    if name not in SCHEDULES:
        raise ValueError(f"name = {name!r} is not allowed: name must be one of {', '.join(map(repr, SCHEDULES))}")
    if name in ONE_SIDED:
        kinds = {"one-sided-linear": schedules.Linear, "sbdm": schedules.ConstantSpeedVP}
        return kinds.get(name, schedules.Trigonometric)()
    noise = {
        "brownian": lambda: schedules.Brownian(a),
        "quadratic": lambda: schedules.Quadratic(a),
        "sine-squared": lambda: schedules.SineSquared(a),
        "bump": schedules.Bump,
        "bridge": lambda: schedules.ExpPolynomial(a),
        "none": lambda: None,
    }[latent]()
    kinds = {"linear": schedules.Linear, "trigonometric": schedules.Trigonometric, "mirror": schedules.Mirror}
    return kinds.get(name, schedules.EncoderDecoder)(noise)


@chosen
@jit
def table(latent: Latent, a: ArrayLike, t: Float[Array, " times"]) -> Coefficients:
    """The coefficients of all ``SCHEDULES`` with one latent noise, (schedules, times) each; those that have no path without
    latent noise have "sine-squared" instead."""

    def of(name):
        needed = latent == "none" and name in ("encoder-decoder", "mirror")
        return schedule_named(name, "sine-squared" if needed else latent, a)(t)

    return jax.tree.map(lambda *rows: jnp.stack(rows), *[of(name) for name in SCHEDULES])


class Interpolant(eqx.Module):
    """A path: its schedule, its ends, its exact field, between which times that has values, and the law of both ends where
    they are not independent."""

    schedule: Any
    source: Any
    target: Any
    field: Exact
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    joint: Joint | Pairs | None = None

    @property
    def dimension(self) -> int:
        return self.target.dimension

    @property
    def smooth(self) -> bool:
        """Whether both ends are mixtures of Gaussians, and no pairs of points."""
        return are_smooth(self.source, self.target) and not isinstance(self.joint, Pairs)

    def draw(self, key: PRNGKeyArray, n: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Pairs of ends."""
        if self.joint is not None:
            return self.joint.sample(key, n)
        first, second = jax.random.split(key)
        x1 = self.target.sample(second, n)
        return x1 if isinstance(self.schedule, Mirror) else self.source.sample(first, n), x1

    def points(self, t: ArrayLike, ends: tuple[Array, Array], key: PRNGKeyArray) -> Float[Array, "n d"]:
        """Of the path at a time, between these ends."""
        x0, x1 = ends
        return interpolate(self.schedule, t, x0, x1, random.normal(key, x1.shape, x1.dtype))

    def moments(self, t: ArrayLike) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Mean and covariance at a time."""
        c, source, target = self.schedule(t), self.source.moments(), self.target.moments()
        noise = c.gamma**2 * jnp.eye(self.target.dimension)
        covariance = c.alpha**2 * source.covariance + c.beta**2 * target.covariance + noise
        if self.joint is not None:
            cross = self.joint.cross_covariance()
            covariance = covariance + c.alpha * c.beta * (cross + cross.T)
        return c.alpha * source.mean + c.beta * target.mean, covariance

    @jit
    def variance(self, times: Float[Array, " times"]) -> Float[Array, " times"]:
        """Mean over coordinates, at each time."""
        return jax.vmap(lambda t: jnp.trace(self.moments(t)[1]) / self.dimension)(times)

    def within(self, low: float, high: float) -> "Interpolant":
        """The same path, used between these times only."""
        return dataclasses.replace(self, low=max(self.low, low), high=min(self.high, high))

    def uncoupled(self) -> "Interpolant":
        """Of the ends, what they are without the joint law; the field stays as it is."""
        return dataclasses.replace(self, joint=None)

    def grid(self, steps: int) -> Float[Array, " times"]:
        """So many steps, shorter toward an end where there are only points."""
        return jnp.asarray(graded(steps, self.low, self.high))


def are_smooth(*ends: Any) -> bool:
    """Whether all are mixtures of Gaussians."""
    return all(isinstance(end, Mixture) for end in ends)


def are_gaussians(*ends: Any) -> bool:
    """Whether all are single Gaussians."""
    return are_smooth(*ends) and all(end.weights.size == 1 for end in ends)


@chosen
def interpolant(
    name: str, latent: Latent, a: ArrayLike, source: Any, target: Any, joint: Joint | Pairs | None = None
) -> Interpolant:
    r"""The path between two laws, independent unless a joint law of both is given.

    $$ x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z $$

    Args:
        name: of the schedule, one of ``SCHEDULES``. A one-sided one begins at N(0, I) and a mirror at the data, whatever the
            source is.
        latent: name of the latent noise, one of ``LATENTS``.
        a: size of the latent noise; of "bridge" its coefficients (m,).
        source: law at t = 0.
        target: law at t = 1.
        joint: of both ends, with these marginals.

    Returns:
        an ``Interpolant``: the schedule, both ends, the exact field, and the times between which that has values.

    Raises:
        ValueError: names outside what is allowed, or laws that ``exact`` refuses.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025).

    Examples:
        >>> from lab import paths
        >>> path = paths.interpolant("linear", "none", 1.0, paths.standard(1), paths.gaussian([4.0]))
        >>> mean, covariance = path.moments(0.5)
        >>> float(mean[0]), float(covariance[0, 0])  # 4 / 2, and 1/4 + 1/4
        (2.0, 0.5)
    """
    schedule = schedule_named(name, latent, a)
    margin = 1e-4 if jnp.result_type(float) == jnp.float64 else 1e-3
    source = target if name == "mirror" else standard(target.dimension) if name in ONE_SIDED else source
    if joint is not None:
        field = exact(schedule, joint)
    else:
        field = exact(schedule, source) if name == "mirror" else exact(schedule, source, target)
    points = isinstance(joint, Pairs)
    low, high = (margin if points or not isinstance(end, Mixture) else 0.0 for end in (source, target))
    return Interpolant(schedule, source, target, field, low, 1 - high, joint)


# --- the coupling of a flow ---


def flow_starts(source: Any, target: Any, key: PRNGKeyArray) -> Float[Array, "n d"]:
    """Points that say all of a flow from source to target when it has carried them: between two Gaussians, where it is
    affine, the mean and one unit from it along each axis; else ``PAIRS`` draws of the source."""
    if are_gaussians(source, target):
        return source.means + jnp.eye(target.dimension + 1, target.dimension, k=-1)
    return source.sample(key, PAIRS)


def flow_coupling(source: Any, target: Any, x0: Float[Array, "n d"], x1: Float[Array, "n d"]) -> Joint | Pairs:
    r"""The law of $(X_0, T(X_0))$ for the map T of a flow that has carried the ``flow_starts`` x0 to x1.

    Between two Gaussians $T(x) = T(m_0) + A(x - m_0)$, so that the covariance of both ends is $C_0 A^\top$, and of the last
    one $A C_0 A^\top$; else the pairs.
    """
    if not are_gaussians(source, target):
        return Pairs(x0, x1)
    slope = (x1[1:] - x1[:1]).T  # A
    first = source.moments().covariance
    cross = first @ slope.T
    return Joint(jnp.ones(1), x0[:1], x1[:1], first[None], (slope @ cross)[None], cross[None])


def coupled_by_flow(path: Interpolant, key: PRNGKeyArray, steps: int, loop: Loop = pure) -> tuple[Joint | Pairs, Any]:
    """The law of both ends of the exact flow of a path, by so many steps of it, and why that ended."""
    run = carry(loop, path.field, flow_starts(path.source, path.target, key), path.grid(steps), keep=False)
    return flow_coupling(path.source, path.target, run.x[0], run.end), run.reason


# --- what is looked at ---


class LogDensity(eqx.Module):
    """Of the path, at some points: called at a time."""

    path: Interpolant
    points: Float[Array, "p d"]

    def __call__(self, t: Float[Array, ""]) -> Float[Array, " p"]:
        return self.path.field.log_density(jnp.clip(t, self.path.low, self.path.high), self.points)


def count_modes(log_density: Real[Array, "rows n"] | Real[np.ndarray, "rows n"]) -> Int[Array, " rows"] | np.ndarray:
    """How many local maxima each row has inside."""
    middle = log_density[:, 1:-1]
    return ((middle > log_density[:, :-2]) & (middle >= log_density[:, 2:])).sum(axis=1)


@jit
def residuals(path: Interpolant, key: PRNGKeyArray) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""How far the field is from solving $\partial_t\log\rho + \nabla\cdot b + b\cdot s = 0$, relative to the terms, and from
    $\alpha\eta_0 + \beta\eta_1 + \gamma\eta_z = x$; largest of 5 times and 64 points."""

    def of_time(given):
        t, key = given
        first, second = jax.random.split(key)
        x = path.points(t, path.draw(first, 64), second)
        field, c = path.field(t, x), path.schedule(t)
        rate = jax.jvp(lambda t: path.field.log_density(t, x), (t,), (jnp.ones_like(t),))[1]
        spread = divergence(path.field, t, x).value
        carried = (field.velocity * field.score).sum(axis=1)
        miss = abs(rate + spread + carried) / (1 + abs(rate) + abs(spread) + abs(carried))
        # of a mirror both ends are one
        whole = c.alpha * field.x0 + c.beta * field.x1 + c.gamma * field.z - x
        return miss.max(), abs(whole).max()

    transport, identity = jax.lax.map(of_time, (jnp.array([0.11, 0.27, 0.48, 0.63, 0.86]), jax.random.split(key, 5)))
    return transport.max(), identity.max()
