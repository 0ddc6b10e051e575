r"""The schedule of least kinetic energy beside the usual ones: one family, whose members are known by number.

So one compiled program serves them all, and ``vmap`` over numbers compares them on the exact fields of one law.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, first_failure, pure
from lab.numerics.jit import jit
from lab.paths import network, training
from lab.paths.fields import Exact, exact
from lab.paths.kinetic import KineticOptimal, density_of, energy, nodes
from lab.paths.laws import standard
from lab.paths.schedules import VP, Coefficients, Linear, Trigonometric
from lab.paths.separation import Separation

SCHEDULES = ("kinetic optimal", "linear", "trigonometric", "VP", "between")
CUT = 1e-3
"""Of the times at which an energy diverges."""
_BETWEEN, _VP = SCHEDULES.index("between"), SCHEDULES.index("VP")


class Member(eqx.Module):
    """The schedule of this number in ``SCHEDULES``. "between": $(1 - w)$ of the optimal one and $w$ of the linear one."""

    optimal: KineticOptimal
    weight: ArrayLike
    number: ArrayLike

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = jnp.asarray(t, self.optimal.curve.knots.dtype)
        optimal, linear = self.optimal(t), Linear()(t)
        w = jnp.asarray(self.weight, t.dtype)
        between = jax.tree.map(lambda a, b: (1 - w) * a + w * b, optimal, linear)
        members = optimal, linear, Trigonometric()(t), VP()(t), between
        return jax.tree.map(lambda *values: jnp.stack(values)[self.number], *members)


class ExactVelocities(eqx.Module):
    """Of some members, from N(0, I) to one law: called at t and (members, n, d)."""

    optimal: KineticOptimal
    weight: ArrayLike
    numbers: Int[Array, " members"]
    target: Any

    def field(self, number: ArrayLike) -> Exact:
        """The exact field of one member."""
        return exact(Member(self.optimal, self.weight, number), standard(self.target.dimension), self.target)

    def __call__(self, t: ArrayLike, x: Float[Array, "members n d"]) -> Float[Array, "members n d"]:
        return jax.vmap(lambda number, x: self.field(number).velocity(t, x))(self.numbers, x)


class LearnedVelocities(eqx.Module):
    """Of trained networks, stacked: called at t and (members, n, d)."""

    networks: Any

    def __call__(self, t: ArrayLike, x: Float[Array, "members n d"]) -> Float[Array, "members n d"]:
        return jax.vmap(lambda net, x: net(t, x))(self.networks, x)


class Energies(NamedTuple):
    """Of all members, per dimension, with the schedules themselves."""

    beta: Float[Array, "members times"]
    alpha: Float[Array, "members times"]
    density: Float[Array, "members times"]  # of the marginal velocity, at each time
    density_conditional: Float[Array, "members times"]  # of single pairs
    energy: Float[Array, " members"]  # of the marginal velocity
    energy_conditional: Float[Array, " members"]


@jit
def energies(separation: Separation, weight: ArrayLike, t: Float[Array, " times"]) -> Energies:
    """Of every member on data with this separation.

    Energies that diverge are cut: of VP at 1 - ``CUT``, those of pairs of the optimal schedule and of the one between
    (unless it is the linear one) from ``CUT`` on. Densities at the ends are those at ``CUT`` and 1 - ``CUT``.
    """
    dtype = separation.theta.dtype
    optimal = KineticOptimal(separation)
    inner = jnp.clip(t, CUT, 1 - CUT)  # a derivative may be infinite at the ends

    def of_member(number):
        schedule = Member(optimal, weight, number)
        stop = jnp.where(number == _VP, 1 - CUT, 1.0)
        steep = (number == 0) | (number == _BETWEEN) & (jnp.asarray(weight) < 1)
        starts = jnp.stack([jnp.zeros((), dtype), jnp.where(steep, CUT, 0.0).astype(dtype)])
        times, weights = jax.vmap(lambda start: nodes(start, stop, dtype))(starts)
        c = jax.vmap(schedule)(jnp.concatenate([t, inner, times.ravel()]))  # once: it is long to compile
        found = density_of(c, separation)
        here, there = slice(t.size), slice(t.size, 2 * t.size)
        marginal, conditional = ((weights * each[2 * t.size :].reshape(weights.shape)).sum(axis=1) for each in found)
        return Energies(
            c.beta[here], c.alpha[here], found.marginal[there], found.conditional[there], marginal[0], conditional[1]
        )

    return jax.vmap(of_member)(jnp.arange(len(SCHEDULES)))


@jit
def densities(
    velocities: ExactVelocities, times: Float[Array, " times"], points: Float[Array, "p d"]
) -> Float[Array, "members times p"]:
    """The exact density of the path of each member."""

    def of_member(number):
        field = velocities.field(number)
        return jax.lax.map(lambda t: jnp.exp(field.log_density(t, points)), times)

    return jax.vmap(of_member)(velocities.numbers)


class Learned(NamedTuple):
    """What networks learnt, one of each member."""

    velocities: LearnedVelocities
    loss: Float[Array, "members steps"]  # NaN of steps that a stop left out
    least: Float[Array, " members"]  # loss of the exact velocity
    reason: Int[Array, ""]


def learn(key: PRNGKeyArray, velocities: ExactVelocities, steps: int, loop: Loop = pure) -> Learned:
    """Train a small network for each member, from the same first weights.

    Args:
        key: of the weights, and of what is drawn.
        velocities: the members and the data.
        steps: of each training, of 256 pairs; static.
    """
    target = velocities.target
    d, dtype = target.dimension, velocities.optimal.curve.knots.dtype
    first, drawing = jax.random.split(key)
    model = network.small(first, d, dtype)
    settings = training.Settings(warmup=50.0, anneal=1.0, clip=10.0, earliest=CUT, latest=1 - CUT)
    runs = [
        training.train(
            drawing,
            model,
            standard(d),
            target,
            Member(velocities.optimal, velocities.weight, number),
            None,
            settings,
            steps=steps,
            latent=False,
            loop=loop,
        )
        for number in velocities.numbers
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.average for run in runs))
    losses = jnp.stack([training.padded(run.loss, steps) for run in runs])
    reason = first_failure(*(run.reason for run in runs))
    return Learned(LearnedVelocities(stacked), losses, d * _least_loss(velocities), reason)


@jit
def _least_loss(velocities: ExactVelocities) -> Array:
    """Per dimension, over the times that training draws from."""

    def of_member(number):
        schedule = Member(velocities.optimal, velocities.weight, number)
        found = energy(schedule, velocities.optimal.separation, CUT, 1 - CUT)
        return (found.conditional - found.marginal) / (1 - 2 * CUT)

    return jax.vmap(of_member)(velocities.numbers)
