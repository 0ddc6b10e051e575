r"""The density that a velocity field gives to a point.

Along the flow $\dot X = b(t, X)$ that ends at $X_1 = x$,

$$ \log p_1(x) = \log p_0(X_0) - \int_0^1 \mathrm{div}\, b(t, X_t)\,dt , $$

and for the forward drift $b_F = b + \epsilon s$ of a diffusion (Feynman-Kac)

$$ p_1(x) = E\Big[ p_0(Y_0)\, e^{-\int_0^1 \mathrm{div}\, b_F(t, Y_t)\,dt} \Big], \qquad
   Y_1 = x, \quad dY = b_F\,dt + \sqrt{2\epsilon}\,d\bar W \ \text{ run down.} $$

Source: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025), theorem 2.20.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit
from lab.paths.fields import Exact
from lab.paths.metrics import Estimate
from lab.paths.sampling import Solver, _both, _checked, _grid, _levels, _velocity, ode


class Likelihood(NamedTuple):
    """Log-densities in nats, with their standard errors."""

    log_density: Float[Array, " n"]
    error: Float[Array, " n"]
    start: Float[Array, "n d"]  # where the flow that ends at the points began
    nfe: Int[Array, ""]  # evaluations of the velocity, each with its divergence


def divergence(
    velocity: Callable | Exact,
    t: Any,
    x: ArrayLike | Sequence,
    key: PRNGKeyArray | None = None,
    probes: int = 16,
) -> Estimate:
    r"""The divergence $\mathrm{div}\, b(t, x)$ at each point.

    Time d directional derivatives, or ``probes``; memory O(n d).

    Args:
        velocity: called at (t, x) it returns (n, d) or a ``Field``; each row may depend on its own point only.
        t: the time.
        x: (n, d).
        key: when given, Hutchinson's estimate with random signs $v$, $E[v^\top (\partial b)\, v]$; else the exact trace.
        probes: number of signs, at least 2.

    Returns:
        an ``Estimate``: ``value`` (n,), in units of one over time, and ``error``, its standard error, 0 of the exact trace.

    Source:
        Hutchinson (1990); Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, FFJORD, ICLR 2019.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> paths.divergence(lambda t, x: -x, 0.0, jnp.ones((1, 2))).value.tolist()  # minus the dimension
        [-2.0]
    """
    x = real("x", x, ("n", "d"))
    traces = _traces(lambda x: _velocity(velocity, t, x), x, _directions(x, key, probes))
    return _estimate(traces) if key is not None else Estimate(traces.sum(axis=0), jnp.zeros_like(x[:, 0]))


@chosen
def log_density(
    velocity: Callable | Exact,
    x: ArrayLike | Sequence,
    source: Any,
    steps: int = 100,
    *,
    grid: Any = None,
    interval: Any = None,
    solver: Solver = "rk4",
    key: PRNGKeyArray | None = None,
    probes: int = 16,
) -> Likelihood:
    r"""The log-density at the end of a flow, by the integral of its divergence.

    $$ \log p_1(x) = \log p_0(X_0) - \int_0^1 \mathrm{div}\, b(t, X_t)\,dt, \qquad \dot X = b(t, X), \quad X_1 = x $$

    Args:
        velocity: called at (t, x) it returns (n, d) or a ``Field``, as in ``ode``.
        x: (n, d), at the last time.
        source: a law with ``log_prob``, or a function of points that returns log-densities, at the first time.
        steps: number of steps, as in ``ode``.
        grid: forward times (K + 1,) instead, integrated backward.
        interval: first and last time of equal steps, instead.
        solver: "euler", "midpoint", "heun", "rk4".
        key: of the random signs of Hutchinson's estimate, the same along a trajectory; the exact trace when omitted, which
            costs d derivatives an evaluation.
        probes: number of signs.

    Returns:
        a ``Likelihood``: log-densities (n,) in nats. Their standard error is over the probes; the error of the grid is not
        in it.

    Raises:
        ValueError: what ``ode`` refuses.

    Source:
        Chen, Rubanova, Bettencourt, Duvenaud, Neural ordinary differential equations, NeurIPS 2018, theorem 1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> found = paths.log_density(lambda t, x: -x, jnp.zeros((1, 1)), paths.standard(1), steps=10)
        >>> round(float(found.log_density[0]), 4)  # 1 - log(2 pi) / 2
        0.0811
    """
    x = real("x", x, ("n", "d"))
    times = _grid(velocity, x, steps, grid, interval, True)
    _checked(velocity, times, 1.0)
    both = _WithDivergence(velocity, _directions(x, key, probes), key is None)
    columns = 1 if key is None else probes
    begin = jnp.concatenate([x, jnp.zeros((x.shape[0], columns), x.dtype)], axis=1)
    path = ode(both, begin, grid=times, solver=solver, keep=False)
    start, integrals = path.end[:, : x.shape[1]], path.end[:, x.shape[1] :]
    # run down, the integral of the divergence has the sign that is wanted
    change = Estimate(integrals[:, 0], jnp.zeros_like(x[:, 0])) if key is None else _estimate(integrals.T)
    return Likelihood(_log_prob(source, start) + change.value, change.error, start, path.nfe)


def feynman_kac(
    field: Callable | Exact | tuple[Callable, Callable],
    x: ArrayLike | Sequence,
    source: Any,
    key: PRNGKeyArray,
    epsilon: Any = 0.1,
    rollouts: int = 64,
    steps: int = 100,
    *,
    grid: Any = None,
    interval: Any = None,
) -> Likelihood:
    r"""The log-density at the end of a diffusion with noise level epsilon, by rollouts that run down from the points.

    $$ p_1(x) = E\Big[ p_0(Y_0)\, e^{-\int_0^1 \mathrm{div}\, b_F(t, Y_t)\,dt} \Big], \qquad b_F = b + \epsilon s $$

    For inexact fields it is the density of ``sde``'s samples, which is not that of ``ode``'s. Densities are averaged, never
    their logarithms; for a large epsilon few rollouts carry the mean, and the standard error says so. ``log_density`` is the
    better estimate where the field is exact. Time rollouts x 2 steps x d derivatives.

    Args:
        field: called at (t, x) it returns a ``Field``, or two functions (velocity, score), as in ``sde``.
        x: (n, d), at the last time.
        source: a law with ``log_prob``, or a function of points that returns log-densities, at the first time.
        key: of the noise.
        epsilon: noise level, >= 0, a number or a function of the time.
        rollouts: number of trajectories from each point, at least 2.
        steps: number of steps, as in ``ode``.
        grid: times (K + 1,) to use instead.
        interval: first and last time of equal steps, instead.

    Returns:
        a ``Likelihood``: log-densities (n,) in nats; the error is the relative standard error of the density. ``start`` is the
        mean start of the rollouts.

    Raises:
        ValueError: fewer rollouts than 2, or what ``sde`` refuses.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025), theorem 2.20.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import paths
        >>> field, x = (lambda t, x: -x, lambda t, x: -x), jnp.zeros((1, 1))
        >>> found = paths.feynman_kac(field, x, paths.standard(1), jax.random.key(0), epsilon=0.0, rollouts=2, steps=10)
        >>> round(float(found.log_density[0]), 4)  # without noise that of the flow, 1 - log(2 pi) / 2
        0.0811
    """
    rollouts = whole("rollouts", rollouts, 2)  # of fewer there is no standard error
    x = real("x", x, ("n", "d"))
    times = _grid(field, x, steps, grid, interval, True)
    _checked(field, times, 1.0)
    level = _levels(epsilon, times)
    starts, changes = _rolled(field, jnp.repeat(x, rollouts, axis=0), key, level, times)
    logs = (_log_prob(source, starts) + changes).reshape(x.shape[0], rollouts)
    mean = jax.nn.logsumexp(logs, axis=1) - jnp.log(rollouts)
    relative = jnp.exp(logs - mean[:, None]).std(axis=1, ddof=1) / rollouts**0.5
    nfe = jnp.int32(2 * (times.shape[0] - 1))
    return Likelihood(mean, relative, starts.reshape(x.shape[0], rollouts, -1).mean(axis=1), nfe)


@jit
def _rolled(field: Any, y: Array, key: Array, level: Array, times: Array) -> tuple[Array, Array]:
    directions = _directions(y, None, 0)

    def slope(t, y, epsilon):
        def drift(y):
            velocity, score = _both(field, t, y)
            return velocity + epsilon * score

        return drift(y), _traces(drift, y, directions).sum(axis=0)

    def step(carry, span):
        y, change = carry
        now, later, before, after, k = span
        h = later - now  # negative
        noise = jnp.sqrt(-2 * before * h) * random.normal(jax.random.fold_in(key, k), y.shape, y.dtype)
        first, growth = slope(now, y, before)
        second, later_growth = slope(later, y + h * first + noise, after)
        return (y + h * (first + second) / 2 + noise, change + h * (growth + later_growth) / 2), None

    spans = times[:-1], times[1:], level[:-1], level[1:], jnp.arange(times.shape[0] - 1)
    return jax.lax.scan(step, (y, jnp.zeros_like(y[:, 0])), spans)[0]


class _WithDivergence(eqx.Module):
    """The velocity of a point and of the integrals of its divergence along each direction."""

    velocity: Callable
    directions: Array
    summed: bool = eqx.field(static=True)

    def __call__(self, t: Array, both: Array) -> Array:
        x = both[:, : self.directions.shape[-1]]
        traces = _traces(lambda x: _velocity(self.velocity, t, x), x, self.directions)
        traces = traces.sum(axis=0, keepdims=True) if self.summed else traces
        return jnp.concatenate([_velocity(self.velocity, t, x), traces.T], axis=1)


def _directions(x: Array, key: Array | None, probes: int) -> Array:
    """(d, 1, d) unit vectors, or (probes, n, d) random signs."""
    if key is None:
        return jnp.eye(x.shape[1], dtype=x.dtype)[:, None, :]
    probes = whole("probes", probes, 2)  # of fewer there is no standard error
    return random.rademacher(key, (probes, *x.shape), x.dtype)


def _traces(function: Callable, x: Array, directions: Array) -> Array:
    """v . (df v) for each direction and row, eight directions at a time."""

    def one(v):
        v = jnp.broadcast_to(v, x.shape)
        return (v * jax.jvp(function, (x,), (v,))[1]).sum(axis=1)

    return jax.lax.map(one, directions, batch_size=min(8, directions.shape[0]))


def _estimate(draws: Array) -> Estimate:
    return Estimate(draws.mean(axis=0), draws.std(axis=0, ddof=1) / draws.shape[0] ** 0.5)


def _log_prob(source: Any, x: Array) -> Array:
    value = source.log_prob(x) if hasattr(source, "log_prob") else source(x)
    if value.shape != x.shape[:1]:
        raise ValueError(
            f"the source's log-density has shape {value.shape} for {x.shape[0]} points: one each is needed"
        )
    return value
