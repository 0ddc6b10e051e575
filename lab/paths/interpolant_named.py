"""Interpolants by their names: what has to be found for one, a bridge or a coupling, is found."""

from typing import Any, Literal, NamedTuple

import jax
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Reason, pure
from lab.paths import bridge, interpolants
from lab.paths.interpolant_costs import FINE
from lab.paths.interpolants import ONE_SIDED, Interpolant, Latent
from lab.paths.laws import Mixture

type Coupling = Literal["independent", "rectified"] | str


@chosen
class Made(NamedTuple):
    """A path, its latent noise, and why what had to be found for it ended."""

    path: Interpolant
    latent: Latent
    size: Any  # a, or the coefficients of the bridge
    reason: Any


@chosen
def named(
    name: str,
    latent: Latent,
    coupling: Coupling,
    a: ArrayLike,
    epsilon: ArrayLike,
    source: Any,
    target: Any,
    key: PRNGKeyArray,
    loop: Loop = pure,
) -> Made:
    """The path of one of ``SCHEDULES`` with latent noise of size ``a``.

    Args:
        source, target: laws of ``lab.paths``.
        latent: *bridge* is that of least drift energy at the noise level ``epsilon``; one-sided schedules have none, so
            that nothing is fitted to them.
        coupling: *independent*, or *rectified*: each start with where the flow of independent ends takes it.
    """
    latent = "none" if latent == "bridge" and name in ONE_SIDED else latent
    size, reason = a, Reason.CONVERGED
    if latent == "bridge":
        assert isinstance(source, Mixture)
        assert isinstance(target, Mixture)
        fitted = bridge.fit(source, target, epsilon, key=jax.random.fold_in(key, 3), loop=loop)
        size, reason = fitted.latent.coefficients, fitted.reason
    path = interpolants.interpolant(name, latent, size, source, target)
    if coupling == "rectified":
        joint, reason = interpolants.coupled_by_flow(path, jax.random.fold_in(key, 4), FINE, loop)
        path = interpolants.interpolant(name, latent, size, source, target, joint)
    return Made(path, latent, size, reason)
