r"""What Gibbs weights do to a coupling: the tilt of its marginals, and the exact weighted field.

Weights $e^{-c(x, y)/\varepsilon}$ on independent pairs of $\mu$ and $\nu$ (``couplings.Weighted``) are the coupling

$$ d\pi_w = \frac1Z e^{-c/\varepsilon}\, d\mu\, d\nu, \qquad
   \frac{d\mu_w}{d\mu} = \frac{\tau_\mu}{Z}, \quad \tau_\mu(x) = \int e^{-c(x, y)/\varepsilon} \nu(dy), \qquad
   \frac{d\nu_w}{d\nu} = \frac{\tau_\nu}{Z}, $$

which is entropic transport at this $\varepsilon$ of its own marginals, not of $\mu$ and $\nu$: they are met only where
$\tau$ is constant. With the potentials of $\mu$ and $\nu$, $e^{(f + g - c)/\varepsilon}$, they are.

The exact field of a path from a Gaussian source to points under such weights is ``fields.exact`` with a tilt from here:

>>> import jax.numpy as jnp
>>> from lab.paths import fields, laws, schedules
>>> points = jnp.asarray([[-2.0], [-0.5], [1.0], [3.0]])
>>> field = fields.exact(schedules.Linear(), laws.standard(1), points, tilt=Gibbs(1.0, "half-squared"))
>>> field.velocity(0.5, jnp.zeros((1, 1))).shape
(1, 1)

Source: Calvo-Ordonez et al., *Weighted Conditional Flow Matching*, arXiv 2507.22270, 2025.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab import ot, precision
from lab.choices import chosen
from lab.numerics import Loop, Reason, pure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.mixtures import checked_weights
from lab.paths.couplings import Cost, cost_matrix, cost_of_squared, positive
from lab.paths.fields import Pairing
from lab.paths.metrics import Estimate
from lab.paths.schedules import known

_CELLS = 4_000_000  # of a block of costs: 32 MB


# --- exact fields ---


@chosen
class Gibbs(eqx.Module):
    r"""The tilt $-c(x_0, x_1) / \varepsilon$: the exact field of W-CFM. At $\varepsilon \to \infty$ that of I-CFM.

    Args:
        epsilon: positive, in units of the cost; traced.
        cost: as in ``couplings.Weighted``. A function costs memory O(n m d) a block, the named ones O(n m).
    """

    epsilon: ArrayLike
    cost: Cost = eqx.field(static=True, default="norm")

    def __check_init__(self):
        positive("epsilon", self.epsilon)

    def __call__(self, pair: Pairing) -> Float[Array, "b c"]:
        return _cost(pair, self.cost) / -jnp.asarray(self.epsilon)


@chosen
class Entropic(eqx.Module):
    r"""The tilt $(f(x_0) + g_j - c(x_0, y_j)) / \varepsilon$ with potentials: the exact field of EOT-CFM, without bias.

    $$ f(x) = -\varepsilon \log \sum_j \nu_j e^{(g_j - c(x, y_j))/\varepsilon} $$

    Made by ``entropic``. Time O(n m^2 d) for n particles and m points: for up to some 500 points, beyond which see
    ``tabulated``.
    """

    epsilon: ArrayLike
    points: Float[Array, "m d"]
    weights: Float[Array, " m"]
    g: Float[Array, " m"]
    cost: Cost = eqx.field(static=True, default="norm")
    reason: Int[Array, ""] | int = Reason.CONVERGED  # why the search for g ended; what did not converge is biased

    def potential(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f, at any points of the source."""
        epsilon = jnp.asarray(self.epsilon)
        level = jnp.log(self.weights) + self.g / epsilon

        def of_one(point):
            return -epsilon * jax.nn.logsumexp(level - cost_matrix(point[None], self.points, self.cost)[0] / epsilon)

        return jax.lax.map(of_one, x, batch_size=max(1, _CELLS // self.points.shape[0]))

    def __call__(self, pair: Pairing) -> Float[Array, "b c"]:
        x0 = pair.x0
        f = self.potential(x0.reshape(-1, x0.shape[-1])).reshape(x0.shape[:-1])
        return (f + self.g[pair.index][None, :] - _cost(pair, self.cost)) / self.epsilon


class Tabulated(eqx.Module):
    """``Entropic`` whose f is interpolated, linearly, between places on a line or a grid in the plane: time O(n m).

    Beyond the table f is that of its edge, where a source that the table covers has no mass. Made by ``tabulated``.
    """

    exact: Entropic
    low: Float[Array, " d"]
    spacing: Float[Array, " d"]
    cells: Array  # (cells, ..., 2^d): f at the corners of each cell, one gather for all

    def potential(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f, at any points of the source."""
        return self._at([x[:, axis] for axis in range(x.shape[1])])

    def _at(self, x: list[Array]) -> Array:
        """f at the points with these coordinates, of any one shape."""
        count = self.cells.shape[0]
        at = [jnp.clip((z - self.low[k]) / self.spacing[k], 0, count) for k, z in enumerate(x)]
        cell = [jnp.minimum(z.astype(jnp.int32), count - 1) for z in at]
        index = jnp.zeros_like(cell[0])
        for one in cell:
            index = index * count + one
        # without the barriers XLA gathers anew for each use of f, ten times slower
        corners = self.cells.reshape(-1, 2 ** len(x))[jax.lax.optimization_barrier(index)]
        total = jnp.zeros_like(at[0])
        for number, corner in enumerate(np.ndindex(*(2,) * len(x))):
            weight = jnp.ones_like(total)
            for axis, step in enumerate(corner):
                share = at[axis] - cell[axis]
                weight = weight * (share if step else 1 - share)
            total = total + weight * corners[..., number]
        return jax.lax.optimization_barrier(total)

    def __call__(self, pair: Pairing) -> Float[Array, "b c"]:
        exact = self.exact
        x0 = [(pair.x[:, None, k] - pair.beta * pair.atoms[None, :, k]) / pair.alpha for k in range(pair.x.shape[1])]
        return (self._at(x0) + exact.g[pair.index][None, :] - _cost(pair, exact.cost)) / exact.epsilon


def tabulated(exact: Entropic, low: Float[Array, " d"], high: Float[Array, " d"], size: int) -> Tabulated:
    """``exact`` with f from a table of ``size`` places a side, from corner to corner. On a line or in the plane.

    Time O(size^d m). The error of f is that of linear interpolation, at most spacing^2 / 8 times its second derivative, which
    is at most that of the cost and grows like 1 / epsilon where cells of the points meet.
    """
    d = exact.points.shape[1]
    if d > 2:
        raise ValueError(f"the points have {d} dimensions, but a table serves 1 or 2: take the exact potentials")
    if size < 2:
        raise ValueError(f"size = {size}, but a table has at least 2 places a side")
    _corners(low, high)
    axes = jnp.meshgrid(*(jnp.linspace(low[k], high[k], size) for k in range(d)), indexing="ij")
    f = exact.potential(jnp.stack([axis.ravel() for axis in axes], axis=1)).reshape((size,) * d)
    inner = (slice(None, -1), slice(1, None))
    cells = jnp.stack([f[tuple(inner[step] for step in corner)] for corner in np.ndindex(*(2,) * d)], axis=-1)
    return Tabulated(exact, low, (high - low) / (size - 1), cells)


@chosen
def entropic(
    source: Float[Array, "n d"],
    points: Float[Array, "m d"],
    epsilon: ArrayLike,
    cost: Cost = "norm",
    weights: Float[Array, " m"] | None = None,
    tolerance: float | None = None,
    *,
    max_iterations: int | None = None,
    loop: Loop = pure,
) -> Entropic:
    r"""The potentials of entropic transport from a law, known by a sample, to points: $\min \langle C, P \rangle +
    \varepsilon\, \mathrm{KL}(P | \mu \times \nu)$.

    Args:
        source: a sample of the source; the larger, the nearer g is to that of the law, at the rate of Monte Carlo.
        points, weights: of the target; the masses are equal when omitted.
        epsilon, cost: as in ``Gibbs``.
        tolerance: of the marginals of the sample; 1e-8 when omitted, in float32 1e-5.
        max_iterations, loop: as in ``ot.solve``; the answer says in ``reason`` how it ended.

    Time O(n m) a sweep of Sinkhorn, memory O(n m).
    """
    positive("epsilon", epsilon)
    tolerance = precision.reachable(1e-8, points.dtype) if tolerance is None else tolerance
    n, weights = source.shape[0], _masses(points, weights)
    epsilon = jnp.asarray(epsilon, points.dtype)
    # exact sums on the side of the points
    costs = cost_matrix(source, points, cost)
    found = ot.solve(
        ot.Problem(costs, placed(np.full(n, 1 / n, points.dtype)), weights),
        ot.Entropic(epsilon),
        method="sinkhorn",
        tolerance=tolerance,
        max_iterations=max_iterations,
        loop=loop,
    )
    return Entropic(epsilon, points, weights, _potential(epsilon, found.alpha, costs, weights), cost, found.reason)


@jit
def _potential(epsilon: Array, alpha: Array, costs: Array, weights: Array) -> Array:
    # the plan is exp((alpha_i - c_ij) / eps) of column sums weights
    g = -epsilon * jax.nn.logsumexp((alpha[:, None] - costs) / epsilon, axis=0)
    return g - weights @ g


class Uniform(eqx.Module):
    r"""The tilt that makes of a source N(0, I) one that is uniform on a box: $\log 1_{[l, h]}(x_0) + |x_0|^2 / 2$.

    Add it to another: ``lambda pair: uniform(pair) + gibbs(pair)``. Outside of what the path can reach from the box there is
    no field, and the answer is NaN.
    """

    low: Float[Array, " d"]
    high: Float[Array, " d"]

    def __check_init__(self):
        _corners(self.low, self.high)

    def __call__(self, pair: Pairing) -> Float[Array, "b c"]:
        x0 = pair.x0
        inside = ((x0 >= self.low[None, None]) & (x0 <= self.high[None, None])).all(axis=-1)
        return jnp.where(inside, pair.squared_x0 / 2, -jnp.inf)


def _corners(low: Array, high: Array) -> None:
    if known((low, high)) and not (np.asarray(low) < np.asarray(high)).all():
        raise ValueError(f"the corners are {low} and {high}, but low < high is needed in each coordinate")


def _cost(pair: Pairing, cost: Cost) -> Array:
    if callable(cost):
        return jax.vmap(jax.vmap(cost))(pair.x0, jnp.broadcast_to(pair.x1, pair.x0.shape))
    return cost_of_squared(pair.squared_distance, cost)


# --- the tilt of the marginals ---


class Tilt(NamedTuple):
    """How the weights tilt both marginals, on samples of them."""

    source: Float[Array, " n"]  # d mu_w / d mu at the sample of the source, of mean 1
    target: Float[Array, " m"]  # d nu_w / d nu at the points, of mean 1 under their masses
    z: Estimate  # E exp(-c / epsilon); its logarithm is log_z
    log_z: Float[Array, ""]
    ess: Float[Array, ""]  # (E w)^2 / E w^2
    source_variance: Float[Array, ""]  # R = Var[tau] / E[tau]^2, of each side
    target_variance: Float[Array, ""]
    transport: Float[Array, ""]  # E c under the weights
    divergence: Float[Array, ""]  # KL(pi_w | mu x nu)


@chosen
def tilt(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    epsilon: ArrayLike,
    cost: Cost = "norm",
    weights: Float[Array, " m"] | None = None,
) -> Tilt:
    r"""The tilt by the Gibbs weights at $\varepsilon$ of a source, known by a sample, and of points.

    Everything is exact for the sample; the error of Z is that of both samples (of the source alone where the points are the
    whole target, it is less). The variances of the tilt have a floor of sampling, about 1 / (sample of the other side).

    Where ``ess`` is below 0.01 the weights are degenerate: raise epsilon. Rule of the paper: $\varepsilon = \kappa\sqrt d$ for
    the norm, with $\kappa$ at the elbow of the variances.

    Time O(n m d), memory O(n m).

    Raises:
        ValueError: epsilon not positive, weights that are negative or not of sum 1, or a cost of one's own that is negative or
            not finite somewhere.
    """
    positive("epsilon", epsilon)
    if callable(cost) and not any(isinstance(each, Tracer) for each in (x, y)):
        costs = np.asarray(cost_matrix(x, y, cost))
        if not (costs >= 0).all() or not np.isfinite(costs).all():
            raise ValueError(
                f"the cost is {np.nanmin(costs):.6g} somewhere, or not a number: it must be finite and not negative"
            )
    return _tilt(x, y, epsilon, cost, jnp.log(_masses(y, weights)))


def _masses(points: Float[Array, "m d"], weights: ArrayLike | None) -> Float[Array, " m"]:
    m = points.shape[0]
    if weights is None:
        return placed(np.full(m, 1 / m, points.dtype))
    return checked_weights(jnp.asarray(weights, points.dtype), m)


@jit
def _tilt(x: Array, y: Array, epsilon: ArrayLike, cost: Cost, log_nu: Array) -> Tilt:
    n = x.shape[0]
    costs = cost_matrix(x, y, cost)
    log_w = -costs / epsilon
    log_pairs = log_w + log_nu[None, :] - jnp.log(jnp.asarray(n, y.dtype))
    log_z = jax.nn.logsumexp(log_pairs)
    source = jnp.exp(jax.nn.logsumexp(log_w + log_nu[None, :], axis=1) - log_z)
    target = jnp.exp(jax.nn.logsumexp(log_w, axis=0) - jnp.log(jnp.asarray(n, y.dtype)) - log_z)
    ess = jnp.exp(2 * log_z - jax.nn.logsumexp(log_pairs + log_w))
    nu = jnp.exp(log_nu)
    source_variance, target_variance = ((source - 1) ** 2).mean(), nu @ (target - 1) ** 2
    z = jnp.exp(log_z)
    error = z * jnp.sqrt(source_variance / n + (nu**2) @ (target - 1) ** 2)
    plan = jnp.exp(log_pairs - log_z)
    transport = (plan * costs).sum()
    return Tilt(
        source,
        target,
        Estimate(z, error),
        log_z,
        ess,
        source_variance,
        target_variance,
        transport,
        -transport / epsilon - log_z,
    )


@chosen
def divergence_from_entropic(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    epsilon: ArrayLike,
    cost: Cost = "norm",
    weights: Float[Array, " m"] | None = None,
    tolerance: float | None = None,
) -> Float[Array, ""]:
    r"""$\mathrm{KL}(\pi_w | \pi_\varepsilon)$ of the weighted coupling from entropic transport of the sample and the points.

    0 where the weights tilt nothing, and in the limit of large epsilon. Time and memory as in ``entropic``.
    """
    n = x.shape[0]
    potentials = entropic(x, y, epsilon, cost, weights, tolerance)
    f = potentials.potential(x)
    log_w = -cost_matrix(x, y, cost) / epsilon
    log_pairs = log_w + jnp.log(potentials.weights)[None, :] - jnp.log(jnp.asarray(n, y.dtype))
    log_plan = jax.nn.log_softmax(log_pairs.ravel()).reshape(log_pairs.shape)
    log_entropic = log_pairs + (f[:, None] + potentials.g[None, :]) / epsilon
    return (jnp.exp(log_plan) * (log_plan - log_entropic)).sum()


class GaussianTilt(NamedTuple):
    """The weighted coupling of two Gaussians on the line: Gaussian again."""

    mean: Float[Array, "2"]  # of source and target
    covariance: Float[Array, "2 2"]
    z: Float[Array, ""]
    ess: Float[Array, ""]

    def velocity(self, t: ArrayLike, x: Array) -> Array:
        r"""$E[Y - X | (1 - t) X + t Y = x]$."""
        a, d = jnp.stack([1 - jnp.asarray(t), jnp.asarray(t)]), jnp.asarray([-1.0, 1.0])
        return d @ self.mean + (d @ self.covariance @ a) / (a @ self.covariance @ a) * (x - a @ self.mean)


def gaussian_tilt(m: ArrayLike, s: ArrayLike, epsilon: ArrayLike) -> GaussianTilt:
    r"""N(0, 1) and N(m, s^2) with the cost $(x - y)^2 / 2$: with $D = 1 + s^2 + \varepsilon$ the means are
    $m / D$ and $m (1 - s^2 / D)$, the variances $1 - 1/D$ and $s^2 - s^4 / D$, the covariance $s^2 / D$, and
    $Z = \sqrt{\varepsilon / D}\, e^{-m^2 / 2D}$, $\mathrm{ESS} = Z(\varepsilon)^2 / Z(\varepsilon / 2)$."""
    positive("epsilon", epsilon)
    m, s2, epsilon = (jnp.asarray(value, float) for value in (m, jnp.square(s), epsilon))

    def z(epsilon):
        total = 1 + s2 + epsilon
        return jnp.sqrt(epsilon / total) * jnp.exp(-(m**2) / (2 * total))

    total = 1 + s2 + epsilon
    covariance = jnp.stack([jnp.stack([1 - 1 / total, s2 / total]), jnp.stack([s2 / total, s2 - s2**2 / total])])
    mean = jnp.stack([m / total, m * (1 - s2 / total)])
    return GaussianTilt(mean, covariance, z(epsilon), z(epsilon) ** 2 / z(epsilon / 2))
