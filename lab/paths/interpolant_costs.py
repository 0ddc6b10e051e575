r"""What the samplers of an interpolant cost: energies, and the divergences and their bounds when fields are missed.

With the mean square misfits of the velocity and the score, $\Delta_b$ and $\Delta_s$ at each time,

$$ \mathrm{KL}(\rho | \hat\rho) \le \frac14 \int \frac{E|\Delta_b + \epsilon \Delta_s|^2}{\epsilon}\, dt
   \le \frac12 \int \Big( \frac{E|\Delta_b|^2}{\epsilon} + \epsilon\, E|\Delta_s|^2 \Big) dt . $$
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import Loop, Reason, map_rows, pure
from lab.numerics.jit import jit
from lab.paths.interpolants import Interpolant, are_gaussians
from lab.paths.metrics import Estimate, mean
from lab.paths.misfit_divergence import divergence_by_rollouts, divergence_on_line
from lab.paths.misfits import NODES, WEIGHTS, Energies, FieldInUse, energies, expectation_points

_BLOCKS = 16  # of the points at which divergences are sampled: so often can that be stopped
_DRAWS = 1000  # for expectations
FINE = 200
"""Steps for the divergence, whatever those of the samplers."""


class NoiseLevel(eqx.Module):
    r"""$\epsilon(t)$: constant, or going to 0 at both ends like the square of gamma, with $\epsilon$ as its largest value.

    Where there is no gamma it goes like the square of alpha beta; where the source is the noise (``from_noise``) of alpha.
    """

    path: Interpolant
    epsilon: ArrayLike
    fades: bool = eqx.field(static=True)
    from_noise: bool = eqx.field(static=True)

    def __call__(self, t: Float[Array, "*times"]) -> Float[Array, "*times"]:
        if not self.fades:
            return jnp.broadcast_to(jnp.asarray(self.epsilon), jnp.shape(t))
        return jnp.asarray(self.epsilon) * self._square(t) / self._square(jnp.linspace(0.0, 1.0, 129)).max()

    def _square(self, t: Array) -> Array:
        c = self.path.schedule(t)
        return jnp.where(c.gamma > 0, c.gamma, c.alpha if self.from_noise else c.alpha * c.beta) ** 2


class EnergiesAt(eqx.Module):
    """``misfits.energies``, called at one of the ``nodes``."""

    path: Interpolant
    used: FieldInUse

    def __call__(self, node: tuple[Array, Array, Array]) -> Energies:
        t, level, key = node
        return energies(self.path, self.used, t, level, *expectation_points(self.path, t, key, _DRAWS))


@jit
def nodes(noise: NoiseLevel, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
    """Times of the quadrature, the noise levels there, and a key of each."""
    t = jnp.asarray(NODES)
    return t, noise(t), jax.random.split(key, len(NODES))


def is_sampled(path: Interpolant, learned: bool) -> bool:
    """Whether divergences are found by sampling; that of networks takes as many passes as there are dimensions."""
    return path.smooth and path.dimension > 1 and not (path.dimension > 3 and learned)


def block_keys(key: PRNGKeyArray) -> PRNGKeyArray:
    """The keys at which ``DivergencesOfBlock`` is called."""
    return jax.random.split(key, _BLOCKS)


class DivergencesOfBlock(eqx.Module):
    """Of the SDE and of the ODE, point by point, of one of so many blocks: called at its key."""

    path: Interpolant
    used: FieldInUse
    noise: NoiseLevel

    def __call__(self, key: PRNGKeyArray) -> tuple[Float[Array, " n"], Float[Array, " m"]]:
        times = self.path.grid(FINE // 2)
        level = self.noise(times)
        first, second = jax.random.split(key)
        given = self.path, self.used, times
        sde = divergence_by_rollouts(*given, level, first, n=256 // _BLOCKS, rollouts=16)
        ode = divergence_by_rollouts(*given, 0 * times, second, n=1008 // _BLOCKS, rollouts=2)
        return sde, ode


class Costs(NamedTuple):
    """Of the path and of what is missed; None where there is no such number."""

    excess_b: Float[Array, ""]  # half the mean square misfit of the velocity
    excess_s: Float[Array, ""]
    path_energy: Float[Array, ""] | None = None  # integrals of E|b|^2, E|b_F|^2, E|s|^2
    drift_energy: Float[Array, ""] | None = None
    score_energy: Float[Array, ""] | None = None
    bridge_a: Float[Array, ""] | None = None  # the a with which a linear path is the bridge of Schroedinger
    kl: Float[Array, ""] | None = None  # of the SDE
    kl_error: Float[Array, ""] | None = None
    kl_ode: Float[Array, ""] | None = None
    kl_ode_error: Float[Array, ""] | None = None
    kl_bound: Float[Array, ""] | None = None
    kl_bound_quoted: Float[Array, ""] | None = None  # half of it: with the losses' half squares it is wrong
    kl_girsanov: Float[Array, ""] | None = None  # sharper
    epsilon_star: Float[Array, ""] | None = None  # the noise level of the least bound


@jit
def costs(
    path: Interpolant,
    used: FieldInUse,
    noise: NoiseLevel,
    found: Energies,
    sampled: tuple[Array, Array] | None = None,
) -> Costs:
    """All together.

    Args:
        found: at all ``nodes``.
        sampled: divergences of all blocks, where ``is_sampled`` says so. On a line they are computed here.
    """
    weights, level = jnp.asarray(WEIGHTS), noise(jnp.asarray(NODES))
    total = jax.tree.map(lambda values: weights @ values, found)
    made = Costs(total.missed_velocity / 2, total.missed_score / 2)
    if path.smooth:
        made = made._replace(path_energy=total.velocity, drift_energy=total.drift, score_energy=total.score)
        if path.dimension == 1 and are_gaussians(path.source, path.target):
            made = made._replace(bridge_a=_bridge_size(path, noise.epsilon))
    if sampled is not None:
        kl, ode = (mean(values.ravel()) for values in sampled)
    elif path.dimension == 1 and path.smooth:
        kl, ode = _on_line(path, used, noise)
    else:
        return made

    def over(values):
        """The integral of values over epsilon(t): not finite where that fades, if the velocity is missed."""
        finite = (level > 0) & ~((total.missed_velocity > 0) & noise.fades)
        shares = jnp.where(finite, values / jnp.where(level > 0, level, 1), jnp.inf)
        return weights @ jnp.where(values > 0, shares, 0)

    bound = (over(found.missed_velocity) + weights @ (level * found.missed_score)) / 2
    return made._replace(
        kl=kl.value,
        kl_error=kl.error,
        kl_ode=ode.value,
        kl_ode_error=ode.error,
        kl_bound=bound,
        kl_bound_quoted=bound / 2,
        kl_girsanov=over(found.missed_drift) / 4,
        epsilon_star=jnp.sqrt(total.missed_velocity / total.missed_score),
    )


class Measured(NamedTuple):
    """Costs, and why their two parts ended."""

    costs: Costs
    energies: Any  # reason
    divergences: Any  # reason


def measure(path: Interpolant, used: FieldInUse, noise: NoiseLevel, key: PRNGKeyArray, loop: Loop = pure) -> Measured:
    """All costs, node by node and block by block, so that it can be stopped and told."""
    at = _begun(noise, key)
    found, weighed = map_rows(loop, EnergiesAt(path, used), at)
    sampled, parted = None, Reason.CONVERGED
    if is_sampled(path, used.misfit.networks is not None):
        blocks = block_keys(jax.random.fold_in(key, 2))
        sampled, parted = map_rows(loop, DivergencesOfBlock(path, used, noise), blocks)
    return Measured(costs(path, used, noise, found, sampled), weighed, parted)


@jit
def _begun(noise: NoiseLevel, key: PRNGKeyArray) -> Any:
    return nodes(noise, jax.random.split(key, 3)[0])


def _bridge_size(path: Interpolant, epsilon: Any) -> Array:
    spread = path.source.moments().covariance[0, 0] * path.target.moments().covariance[0, 0]
    root = jnp.sqrt(spread + epsilon**2)
    return 2 * (root - (0 if path.joint is None else path.joint.cross_covariance()[0, 0]))


def _on_line(path: Interpolant, used: FieldInUse, noise: NoiseLevel) -> tuple[Estimate, Estimate]:
    """Of the SDE and of the ODE."""
    times = path.grid(FINE)
    level = noise(times)
    found = jax.vmap(lambda level: divergence_on_line(path, used, times, level))(jnp.stack([level, 0 * level]))
    sde, ode = (
        Estimate(jnp.where(jnp.abs(value) < 1e-14, 0, value), error) for value, error in zip(*found, strict=True)
    )
    return sde, ode
