r"""The divergence of the exact law of a path from that of a sampler whose fields miss, in any dimension.

It comes from the logarithm of their ratio. For
$\rho$ of the exact forward drift $b_F = b + \epsilon s$ and $\hat\rho = \rho e^u$ of the drift $b_F + \delta$,

$$ \partial_t e^u = -(b - \epsilon s + \delta)\cdot\nabla e^u + \epsilon\Delta e^u
   - (\nabla\cdot\delta + \delta\cdot s)\, e^u, $$

so that with the exact diffusion run down from x, $Y_1 = x$, of drift $b - \epsilon s + \delta$,

$$ e^{u(1, x)} = E\, e^{-\int_0^1 (\nabla\cdot\delta + \delta\cdot s)(t, Y_t)\,dt}, \qquad
   \mathrm{KL}(\rho|\hat\rho) = E_\rho[-u] = E_\rho[e^u - 1 - u]. $$

It is 1 where nothing is missed, and stays near 1: the variance is that of the misfit, not of the densities as in the formula
of Feynman and Kac for $\hat\rho$ itself.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.paths.interpolants import Interpolant
from lab.paths.metrics import Estimate
from lab.paths.misfits import FieldInUse


def _drifts(path: Interpolant, used: FieldInUse, level: ArrayLike, t: ArrayLike, y: Array) -> tuple[Array, Array]:
    """The drift of the exact diffusion run down, with what is missed, and the rate of the logarithm of the ratio."""

    def missing(y):
        field = path.field(t, y)
        velocity, score = used.misfit(path.schedule, t, y, field)
        return velocity + level * score, (field.velocity - level * field.score, field.score)

    misfit = used.misfit
    if misfit.networks is None:  # what is affine has one divergence everywhere
        delta, (drift, score) = missing(y)
        spread = jnp.full_like(y[:, 0], y.shape[1] * (misfit.velocity_slope + level * misfit.score_slope))
    else:
        directions = jnp.broadcast_to(jnp.eye(y.shape[1])[:, None], (y.shape[1], *y.shape))
        along = jax.vmap(lambda v: jax.jvp(missing, (y,), (v,), has_aux=True), out_axes=(None, 0, None))
        delta, slopes, (drift, score) = along(directions)
        spread = jnp.einsum("inj,inj->n", slopes, directions)
    return drift + delta, spread + (delta * score).sum(axis=1)


def _back(path: Interpolant, used: FieldInUse, span: tuple, y: Array, noise: Array) -> tuple[Array, Array]:
    """One step down by Heun's method, and what it adds to the logarithm of the ratio."""
    now, later, before, after = span  # later is where y is
    h = later - now
    move = jnp.sqrt(2 * before * h) * noise
    first, rate = _drifts(path, used, after, later, y)
    second, other = _drifts(path, used, before, now, y - h * first + move)
    return y - h * (first + second) / 2 + move, -h * (rate + other) / 2


def divergence_on_line(
    path: Interpolant, used: FieldInUse, times: Float[Array, " times"], level: Float[Array, " times"]
) -> Estimate:
    """KL(rho | rho^) at the last time, in one dimension, without sampling.

    The ratio of the laws goes forward over the steps on a grid that moves with the mean and the spread of the path: at each
    of its points the expectation over a step down takes three values of the noise (of weak order 2), and the logarithm is
    interpolated by cubics, exact where the laws are Gaussian. The error is by how much the mass of the ratio misses 1: without
    noise particles part ever more sharply between modes, and the grid can't follow them.
    """
    y = jnp.linspace(-6.0, 6.0, 1280)
    noise, log_weight = jnp.array([-(3**0.5), 0.0, 3**0.5]), jnp.log(jnp.array([1 / 6, 2 / 3, 1 / 6]))

    def place(t):
        mean, covariance = path.moments(t)
        return mean[0], jnp.sqrt(covariance[0, 0])

    def step(u, span):
        mean, scale = place(span[1])
        x = jnp.repeat(mean + scale * y, 3)[:, None]
        x, change = _back(path, used, span, x, jnp.tile(noise, y.size)[:, None])
        mean, scale = place(span[0])
        before = _cubic(y, u, (x[:, 0] - mean) / scale)
        return jax.nn.logsumexp((before + change).reshape(-1, 3) + log_weight[None, :], axis=1), None

    spans = times[:-1], times[1:], level[:-1], level[1:]
    u, _ = jax.lax.scan(step, jnp.zeros_like(y), spans)
    mean, scale = place(times[-1])
    density = jnp.exp(path.field.log_density(times[-1], (mean + scale * y)[:, None]))
    weights = density / density.sum()
    excess = weights * (jnp.exp(u) - 1)
    return Estimate((excess - weights * u).sum(), abs(excess.sum()))


def _cubic(grid: Array, values: Array, wanted: Array) -> Array:
    """Lagrange interpolation by the four nearest values on an even grid; the end values beyond it."""
    place = jnp.clip((wanted - grid[0]) / (grid[1] - grid[0]), 0, grid.size - 1)
    first = jnp.clip(jnp.floor(place).astype(int) - 1, 0, grid.size - 4)
    s = place - first
    weights = (
        -(s - 1) * (s - 2) * (s - 3) / 6,
        s * (s - 2) * (s - 3) / 2,
        -s * (s - 1) * (s - 3) / 2,
        s * (s - 1) * (s - 2) / 6,
    )
    return sum((w * values[first + k] for k, w in enumerate(weights)), jnp.zeros_like(wanted))


def divergence_by_rollouts(
    path: Interpolant,
    used: FieldInUse,
    times: Float[Array, " times"],
    level: Float[Array, " times"],
    key: PRNGKeyArray,
    n: int,
    rollouts: int,
) -> Float[Array, " n"]:
    """Values whose mean is KL(rho | rho^) at the last time, in any dimension: of n exact samples with so many rollouts
    of each.

    The bias of the logarithm of a mean is taken off to first order.
    """
    first, second, third = jax.random.split(key, 3)
    x = path.points(times[-1], path.draw(first, n), second)
    y = jnp.repeat(x, rollouts, axis=0)

    def step(carry, span):
        y, u = carry
        noise = random.normal(jax.random.fold_in(third, span[-1]), y.shape, y.dtype)
        y, change = _back(path, used, span[:-1], y, noise)
        return (y, u + change), None

    spans = times[:-1], times[1:], level[:-1], level[1:], jnp.arange(times.size - 1)
    (_, u), _ = jax.lax.scan(step, (y, jnp.zeros_like(y[:, 0])), jax.tree.map(lambda z: z[::-1], spans))
    ratio = jnp.exp(u).reshape(n, rollouts)
    mean = ratio.mean(axis=1)
    bias = ratio.var(axis=1, ddof=1) / (2 * rollouts * mean**2)
    return mean - 1 - jnp.log(mean) - bias
