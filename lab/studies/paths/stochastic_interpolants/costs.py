"""What the paths of the study cost, and what it costs to miss their fields."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from lab import paths
from lab.paths import metrics
from lab.paths.laws import source_of, target_of
from lab.paths.sampling import graded

from . import fields
from .fields import EARLIEST, NODES, ONE_SIDED, WEIGHTS, Missed, Used, Way

_BLOCKS = 16  # of the points at which divergences are sampled: so often can that be stopped
FINE = 200  # steps for the divergence, whatever those of the samplers


class Case(NamedTuple):
    """What the program is compiled for."""

    schedule: str
    latent: str
    profile: str
    learned: bool


def way_of(inputs: Any, case: Case, a: Any) -> Way:
    """The path; that of networks within the times they were trained at."""
    path = fields.way(case.schedule, case.latent, a, source_of(inputs), target_of(inputs), inputs.get("joint"))
    if case.learned:
        path = path._replace(low=max(path.low, EARLIEST), high=min(path.high, 1 - EARLIEST))
    return path


def fields_of(inputs: Any, p: Any, networks: Any, case: Case) -> tuple[Way, Used]:
    """The path, and the field that samplers use in place of the exact one."""
    path = way_of(inputs, case, p["a"])
    return path, Used(path.field, Missed(p["misfit_b"], p["misfit_s"], p["slope_b"], p["slope_s"], networks))


def _fades(path: Way, case: Case) -> bool:
    """Whether the noise level goes to 0 at both ends."""
    return case.profile == "fading" or (case.profile == "auto" and not path.smooth)


def noise_level(path: Way, case: Case, epsilon: Any, t: Any) -> Any:
    """The noise level over time."""

    def square(t):
        c = path.schedule(t)
        return jnp.where(c.gamma > 0, c.gamma, c.alpha if case.schedule in ONE_SIDED else c.alpha * c.beta) ** 2

    if not _fades(path, case):
        return jnp.broadcast_to(epsilon, jnp.shape(t))
    return epsilon * square(t) / square(jnp.linspace(0.0, 1.0, 129)).max()


class _Part(eqx.Module):
    """A piece of the work, with what all of it needs."""

    inputs: Any
    values: Any
    networks: Any
    case: Case = eqx.field(static=True)

    def fields(self) -> tuple[Way, Used]:
        return fields_of(self.inputs, self.values, self.networks, self.case)


class Energies(_Part):
    """Of the path at one of the times ``NODES``: see ``fields.energies``."""

    def __call__(self, node: tuple) -> Any:
        path, used = self.fields()
        t, level, key = node
        return fields.energies(path, used, t, level, *fields.node(path, t, key, 1000))


@partial(jax.jit, static_argnames="case")
def nodes(inputs: Any, p: Any, key: Any, case: Case) -> tuple:
    """The items of ``Energies``."""
    level = noise_level(way_of(inputs, case, p["a"]), case, p["epsilon"], jnp.asarray(NODES))
    return jnp.asarray(NODES), level, jax.random.split(jax.random.split(key, 3)[0], len(NODES))


def is_rolled(inputs: Any, case: Case) -> bool:
    """Whether divergences are found by sampling; that of networks takes as many passes as there are dimensions."""
    source, target = source_of(inputs), target_of(inputs)
    smooth = fields.are_smooth(fields.start_of(case.schedule, source, target), target)
    smooth = smooth and not isinstance(inputs.get("joint"), paths.Pairs)
    return smooth and target.dimension > 1 and not (target.dimension > 3 and case.learned)


def blocks(key: Any) -> Any:
    """The items of ``Divergences``."""
    return jax.random.split(jax.random.fold_in(key, 2), _BLOCKS)


class Divergences(_Part):
    """Of the SDE and the ODE, point by point, of one of so many blocks."""

    def __call__(self, key: Any) -> Any:
        path, used = self.fields()
        times = jnp.asarray(graded(FINE // 2, path.low, path.high))
        noise = noise_level(path, self.case, self.values["epsilon"], times)
        first, second = jax.random.split(key)
        sde = fields.divergence_by_rollouts(path, used, times, noise, first, n=256 // _BLOCKS, rollouts=16)
        ode = fields.divergence_by_rollouts(path, used, times, 0 * times, second, n=1008 // _BLOCKS, rollouts=2)
        return sde, ode


@partial(jax.jit, static_argnames="case")
def summary(inputs: Any, p: Any, networks: Any, of: Any, rolled: Any, case: Case) -> dict[str, Any]:
    """Energies of the path, and what the misfit costs."""
    path, used = fields_of(inputs, p, networks, case)
    epsilon, weights = p["epsilon"], jnp.asarray(WEIGHTS)
    level = noise_level(path, case, epsilon, jnp.asarray(NODES))
    total = {name: weights @ values for name, values in of.items()}
    output = {"excess_b": total["missed_b"] / 2, "excess_s": total["missed_s"] / 2}
    d, source, target = path.target.dimension, path.source, path.target
    if path.smooth:
        output |= {name: total[name] for name in ("path_energy", "drift_energy", "score_energy")}
        if d == 1 and fields.are_gaussians(source, target):
            spread = source.moments().covariance[0, 0] * target.moments().covariance[0, 0]
            root = jnp.sqrt(spread + epsilon**2)
            output["bridge_a"] = 2 * (root - (0 if path.joint is None else path.joint.cross_covariance()[0, 0]))
    if rolled is not None:
        kl, ode = (metrics.mean(values.ravel()) for values in rolled)
    elif d == 1 and path.smooth:
        times = jnp.asarray(graded(FINE, path.low, path.high))
        noise = noise_level(path, case, epsilon, times)
        found = jax.vmap(lambda level: fields.divergence_on_line(path, used, times, level))(
            jnp.stack([noise, 0 * noise])
        )
        kl, ode = (
            metrics.Estimate(jnp.where(jnp.abs(value) < 1e-14, 0, value), error)
            for value, error in zip(*found, strict=True)
        )
    else:
        return output

    def over(values):
        """The integral of values over epsilon(t): not finite where that fades, if the velocity is missed."""
        finite = (level > 0) & ~((total["missed_b"] > 0) & _fades(path, case))
        each = jnp.where(finite, values / jnp.where(level > 0, level, 1), jnp.inf)
        return weights @ jnp.where(values > 0, each, 0)

    bound = (over(of["missed_b"]) + weights @ (level * of["missed_s"])) / 2
    return output | {
        "kl": kl.value, "kl_error": kl.error, "kl_ode": ode.value, "kl_ode_error": ode.error,
        "kl_bound": bound, "kl_bound_quoted": bound / 2, "kl_girsanov": over(of["missed_drift"]) / 4,
        "epsilon_star": jnp.sqrt(total["missed_b"] / total["missed_s"]),
    }  # fmt: skip
