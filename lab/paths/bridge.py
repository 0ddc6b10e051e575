r"""The bridge of Schroedinger between two mixtures, as near as the latent noise of a linear path can come to it.

Of the paths $x_t = (1-t) x_0 + t x_1 + \gamma z$ of independent ends, the drift $b_F = b + \epsilon s$ of the diffusion
$dX = b_F\,dt + \sqrt{2\epsilon}\,dW$ has the energy

$$ \mathcal E(\gamma) = \int_0^1 E |b_F(t, x_t)|^2\,dt, $$

and the bridge of $\sqrt{2\epsilon}\,W$ is the least over all paths. With $\gamma^2 = t(1-t)\,e^{p(t)}$ this is a few numbers to
be found, here by Newton's method on the exact fields. Between Gaussians on a line it is the bridge itself, with
$e^p = 2\sqrt{\sigma_0^2\sigma_1^2 + \epsilon^2}$ at all times; else the energy is an upper bound.

Source: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025), on the
Schroedinger bridge by optimising the interpolant.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, pure, random
from lab.paths.fields import exact
from lab.paths.laws import Mixture
from lab.paths.schedules import ExpPolynomial, Linear, interpolate

_NODES, _WEIGHTS = (values / 2 for values in np.polynomial.legendre.leggauss(16))
_NODES = _NODES + 0.5


class Work(eqx.Module):
    """Whose bridge, and where the expectation is taken."""

    source: Mixture
    target: Mixture
    epsilon: Array
    tolerance: Array
    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]
    z: Float[Array, "n d"]
    start: Float[Array, " m"]


class State(NamedTuple):
    coefficients: Float[Array, " m"]
    energy: Float[Array, ""]
    gradient: Float[Array, " m"]  # where the last step began
    steps: Int[Array, ""]


class Bridge(NamedTuple):
    """The best latent noise."""

    latent: ExpPolynomial
    energy: Float[Array, ""]
    energies: Float[Array, " steps"]  # after each step
    iterations: Any
    reason: Any  # a Reason

    @property
    def schedule(self) -> Linear:
        return Linear(self.latent)


def drift_energy(work: Work, coefficients: Float[Array, " m"]) -> Float[Array, ""]:
    """$\\int E|b + \\epsilon s|^2 dt$ at 16 times; on a line by a grid of 256 points, else over the draws."""
    schedule = Linear(ExpPolynomial(coefficients))
    field = exact(schedule, work.source, work.target)

    def at(t: Array) -> Array:
        if work.x0.shape[1] == 1:
            c, first, second = schedule(t), work.source.moments(), work.target.moments()
            variance = c.alpha**2 * first.covariance + c.beta**2 * second.covariance + c.gamma**2
            y = jnp.linspace(-6.0, 6.0, 256, dtype=work.x0.dtype)[:, None]
            x = (c.alpha * first.mean + c.beta * second.mean)[None] + jnp.sqrt(variance) * y
            found = field(t, x)
            weights = jax.nn.softmax(found.log_density)
        else:
            x = interpolate(schedule, t, work.x0, work.x1, work.z)
            found = field(t, x)
            weights = jnp.full(x.shape[0], 1 / x.shape[0], x.dtype)
        return weights @ ((found.velocity + work.epsilon * found.score) ** 2).sum(axis=1)

    times = jnp.asarray(_NODES, work.x0.dtype)
    return jnp.asarray(_WEIGHTS, work.x0.dtype) @ jax.lax.map(jax.checkpoint(at), times)


def _init(work: Work) -> State:
    unknown = jnp.full((), jnp.inf, work.start.dtype)
    return State(work.start, unknown, jnp.full_like(work.start, jnp.inf), jnp.int32(0))


def _step(work: Work, state: State) -> State:
    """Newton's, with the curvatures made positive; of six lengths that which falls most."""

    def slope(coefficients: Array) -> tuple[Array, Array]:
        gradient = jax.grad(partial(drift_energy, work))(coefficients)
        return gradient, gradient

    curvature, gradient = jax.jacfwd(slope, has_aux=True)(state.coefficients)
    values, vectors = jnp.linalg.eigh(curvature)
    values = jnp.maximum(jnp.abs(values), 1e-8 * jnp.abs(values).max())
    move = -vectors @ ((vectors.T @ gradient) / values)
    lengths = jnp.asarray([0.0, 1.0, 0.5, 0.25, 0.1, 0.01], move.dtype)
    each = jax.lax.map(lambda length: drift_energy(work, state.coefficients + length * move), lengths)
    best = jnp.nanargmin(each)
    return State(state.coefficients + lengths[best] * move, each[best], gradient, state.steps + 1)


def _done(work: Work, state: State) -> Array:
    small = jnp.isfinite(state.energy) & (jnp.abs(state.gradient).max() <= work.tolerance * jnp.abs(state.energy))
    reason = jnp.where(small, Reason.CONVERGED, Reason.RUNNING)
    known = jnp.isfinite(state.energy) | (state.steps == 0)
    return jnp.where(known, reason, Reason.NOT_FINITE).astype(jnp.int32)


NEWTON = Method(_init, _step, _done, lambda work, state: {"energy": state.energy})


def fit(
    source: Mixture,
    target: Mixture,
    epsilon: Any,
    degree: int = 2,
    *,
    key: PRNGKeyArray | None = None,
    draws: int = 1000,
    tolerance: float = 1e-8,
    max_iterations: int = 30,
    loop: Loop = pure,
) -> Bridge:
    r"""The latent noise of least drift energy, by Newton's method.

    $$ \min_\gamma \int_0^1 E |b_F(t, x_t)|^2\,dt, \qquad x_t = (1-t) x_0 + t x_1 + \gamma z, \quad
       \gamma^2 = t(1-t)\,e^{p(t)} $$

    Time of an iteration: about degree + 9 evaluations of the field at 16 times and all draws; memory those of one time.

    Args:
        source: a mixture of Gaussians.
        target: a mixture of Gaussians of the same dimension.
        epsilon: above 0, of the diffusion; traced.
        degree: of the polynomial p; static.
        key: of the draws; needed beyond the line.
        draws: pairs with both signs of the noise that stand for the expectation, beyond the line.
        tolerance: of the gradient, relative to the energy; at least what the precision of the mixtures allows.
        max_iterations: static.
        loop: ``lab.numerics.pure`` or a ``Chunked``.

    Returns:
        a ``Bridge``: the latent noise, the energy, and its way there.

    Raises:
        ValueError: epsilon or degree out of range, or no key where one is needed.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025).

    Examples:
        >>> import numpy as np
        >>> from lab import paths
        >>> found = paths.bridge.fit(paths.standard(1), paths.standard(1), 0.75, degree=0)
        >>> round(float(np.exp(found.latent.coefficients[0])), 6)  # 2 times the root of 1 + 9/16
        2.5
    """
    if not isinstance(epsilon, Tracer) and not float(epsilon) > 0:
        raise ValueError(f"epsilon = {epsilon}, but it must be positive: without noise there is no bridge")
    if degree < 0:
        raise ValueError(f"degree = {degree}, but it must be at least 0")
    d = target.dimension
    if d > 1 and key is None:
        raise ValueError("beyond the line the expectation is over draws: give a key")
    dtype = target.means.dtype
    if d == 1:
        x0 = x1 = z = jnp.zeros((1, 1), dtype)
    else:
        keys = jax.random.split(key, 3)  # type: ignore[arg-type]
        x0, x1 = source.sample(keys[0], draws), target.sample(keys[1], draws)
        z = random.normal(keys[2], x1.shape, dtype)
        x0, x1, z = jnp.concatenate([x0, x0]), jnp.concatenate([x1, x1]), jnp.concatenate([z, -z])
    epsilon = jnp.asarray(epsilon, dtype)
    # that of Gaussians of the same spread
    spread = [jnp.trace(law.moments().covariance) / d for law in (source, target)]
    start = jnp.zeros(degree + 1, dtype).at[0].set(jnp.log(2 * jnp.sqrt(spread[0] * spread[1] + epsilon**2)))
    tolerance = max(tolerance, 30 * float(jnp.finfo(dtype).eps))
    work = Work(source, target, epsilon, jnp.asarray(tolerance, dtype), x0, x1, z, start)
    run = loop(NEWTON, work, max_iterations=max_iterations)
    return Bridge(
        ExpPolynomial(run.state.coefficients), run.state.energy, run.trace["energy"], run.iterations, run.reason
    )
