r"""The study's mathematics: the path that its parameters name, fields that miss by a known amount, and what that costs.

The divergence of the exact law from that of a sampler with other fields comes from the logarithm of their ratio. For
$\rho$ of the exact forward drift $b_F = b + \epsilon s$ and $\hat\rho = \rho e^u$ of the drift $b_F + \delta$,

$$ \partial_t e^u = -(b - \epsilon s + \delta)\cdot\nabla e^u + \epsilon\Delta e^u
   - (\nabla\cdot\delta + \delta\cdot s)\, e^u, $$

so that with the exact diffusion run down from x, $Y_1 = x$, of drift $b - \epsilon s + \delta$,

$$ e^{u(1, x)} = E\, e^{-\int_0^1 (\nabla\cdot\delta + \delta\cdot s)(t, Y_t)\,dt}, \qquad
   \mathrm{KL}(\rho|\hat\rho) = E_\rho[-u] = E_\rho[e^u - 1 - u]. $$

It is 1 where nothing is missed, and stays near 1: the variance is that of the misfit, not of the densities as in the formula
of Feynman and Kac for $\hat\rho$ itself.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab import paths
from lab.paths.fields import Field
from lab.paths.metrics import Estimate

SCHEDULES = (
    "linear", "trigonometric", "encoder-decoder", "one-sided-linear", "one-sided-trigonometric", "sbdm", "mirror",
)  # fmt: skip
LATENTS = ("brownian", "quadratic", "sine-squared", "bump", "bridge", "none")
MIXING = ("linear", "trigonometric")  # schedules in which source and data are there at once, beside a latent noise
PAIRS = 1000  # that stand for the coupling of a flow without a closed form
ONE_SIDED = ("one-sided-linear", "one-sided-trigonometric", "sbdm")
EARLIEST = (
    1e-3  # networks are neither trained nor used before it, nor after 1 - it: the score of a latent is eta / gamma
)
NODES, WEIGHTS = (np.array(values) / 2 for values in np.polynomial.legendre.leggauss(24))
NODES = NODES + 0.5


def schedule_of(name: str, latent: str, a: Any) -> paths.Schedule:
    """The schedule that the parameters name; ``a`` may be traced, and of "bridge" it is the coefficients (m,)."""
    if name in ONE_SIDED:
        return {"one-sided-linear": paths.Linear, "sbdm": paths.ConstantSpeedVP}.get(name, paths.Trigonometric)()
    noise = {
        "brownian": lambda: paths.Brownian(a),
        "quadratic": lambda: paths.Quadratic(a),
        "sine-squared": lambda: paths.SineSquared(a),
        "bump": paths.Bump,
        "bridge": lambda: paths.ExpPolynomial(a),
        "none": lambda: None,
    }[latent]()
    kinds = {"linear": paths.Linear, "trigonometric": paths.Trigonometric, "mirror": paths.Mirror}
    return kinds.get(name, paths.EncoderDecoder)(noise)


class Way(NamedTuple):
    """A path: its schedule, its ends, its exact field, between which times that has values, and the law of both ends where
    they are not independent."""

    schedule: paths.Schedule
    source: Any
    target: Any
    field: paths.Exact
    low: float
    high: float
    joint: paths.Joint | paths.Pairs | None = None

    @property
    def smooth(self) -> bool:
        """Whether both ends are mixtures of Gaussians, and no pairs of points."""
        return are_smooth(self.source, self.target) and not isinstance(self.joint, paths.Pairs)

    def draw(self, key: Any, n: int) -> tuple[Any, Any]:
        """Pairs of ends."""
        if self.joint is not None:
            return self.joint.sample(key, n)
        first, second = jax.random.split(key)
        x1 = self.target.sample(second, n)
        return x1 if isinstance(self.schedule, paths.Mirror) else self.source.sample(first, n), x1

    def moments(self, t: Any) -> tuple[Any, Any]:
        """Mean and covariance at a time."""
        c, source, target = self.schedule(t), self.source.moments(), self.target.moments()
        noise = c.gamma**2 * jnp.eye(self.target.dimension)
        covariance = c.alpha**2 * source.covariance + c.beta**2 * target.covariance + noise
        if self.joint is not None:
            cross = self.joint.cross_covariance()
            covariance = covariance + c.alpha * c.beta * (cross + cross.T)
        return c.alpha * source.mean + c.beta * target.mean, covariance


def are_smooth(*ends: Any) -> bool:
    """Whether all are mixtures of Gaussians."""
    return all(isinstance(end, paths.Mixture) for end in ends)


def start_of(name: str, source: Any, target: Any) -> Any:
    """What the path begins in: of a one-sided schedule N(0, I), of a mirror the data, else the source."""
    if name == "mirror":
        return target
    return paths.standard(target.dimension) if name in ONE_SIDED else source


def are_gaussians(*ends: Any) -> bool:
    """Whether all are single Gaussians."""
    return are_smooth(*ends) and all(end.weights.size == 1 for end in ends)


def starts(source: Any, target: Any, key: Any) -> Any:
    """Points (n, d) that say all of a flow from source to target when it has carried them: between two Gaussians, where it
    is affine, the mean and one unit from it along each axis; else ``PAIRS`` draws of the source."""
    if are_gaussians(source, target):
        return source.means + jnp.eye(target.dimension + 1, target.dimension, k=-1)
    return source.sample(key, PAIRS)


def rectified(source: Any, target: Any, x0: Any, x1: Any) -> paths.Joint | paths.Pairs:
    r"""The law of $(X_0, T(X_0))$ for the map T of a flow that has carried the ``starts`` x0 to x1.

    Between two Gaussians $T(x) = T(m_0) + A(x - m_0)$, so that the covariance of both ends is $C_0 A^\top$, and of the last
    one $A C_0 A^\top$; else the pairs.
    """
    if not are_gaussians(source, target):
        return paths.Pairs(x0, x1)
    slope = (x1[1:] - x1[:1]).T  # A
    first = source.moments().covariance
    cross = first @ slope.T
    return paths.Joint(jnp.ones(1), x0[:1], x1[:1], first[None], (slope @ cross)[None], cross[None])


def way(name: str, latent: str, a: Any, source: Any, target: Any, joint: Any = None) -> Way:
    """The path between two laws, independent unless a joint law of both is given; see ``start_of``."""
    schedule = schedule_of(name, latent, a)
    margin = 1e-4 if jnp.zeros(()).dtype == jnp.float64 else 1e-3
    source = start_of(name, source, target)
    if joint is not None:
        field = paths.exact(schedule, joint)
    else:
        field = paths.exact(schedule, source) if name == "mirror" else paths.exact(schedule, source, target)
    points = isinstance(joint, paths.Pairs)
    low, high = (margin if points or not isinstance(end, paths.Mixture) else 0.0 for end in (source, target))
    return Way(schedule, source, target, field, low, 1 - high, joint)


class Missed(NamedTuple):
    """By how much the fields in use miss: shifts along (1, ..., 1) and multiples of x, and networks for velocity and noise if
    trained."""

    velocity: Any
    score: Any
    velocity_slope: Any = 0.0
    score_slope: Any = 0.0
    networks: Any = None

    def __call__(self, schedule: paths.Schedule, t: Any, x: Any, exact: Field) -> tuple[Any, Any]:
        along = jnp.ones_like(x) / x.shape[1] ** 0.5
        velocity = self.velocity * along + self.velocity_slope * x
        score = self.score * along + self.score_slope * x
        if self.networks is not None:
            c = schedule(t)
            noise = jnp.where(c.gamma > 0, c.gamma, c.alpha)
            velocity = velocity + self.networks[0](t, x) - exact.velocity
            score = score - self.networks[1](t, x) / noise - exact.score
        return velocity, score


class Used(eqx.Module):
    """The field that samplers use: the exact one, and what is missed."""

    exact: paths.Exact
    missed: Missed

    def __call__(self, t: Any, x: Any) -> Field:
        field = self.exact(t, x)
        velocity, score = self.missed(self.exact.schedule, t, x, field)
        return field._replace(velocity=field.velocity + velocity, score=field.score + score)


def node(path: Way, t: Any, key: Any, n: int) -> tuple[Any, Any]:
    """Points (n, d) and weights (n,) for expectations at a time: on a line a grid of 512 points, else draws with both signs
    of the latent noise."""
    if path.target.dimension == 1:
        mean, covariance = path.moments(t)
        y = jnp.linspace(-6.0, 6.0, 512)
        x = (mean + jnp.sqrt(covariance[0, 0]) * y)[:, None]
        density = jnp.exp(path.field.log_density(t, x))
        return x, density / density.sum()
    first, second = jax.random.split(key)
    x0, x1 = path.draw(first, (n + 1) // 2)
    z = jax.random.normal(second, x1.shape, x1.dtype)
    x = jnp.concatenate([paths.interpolate(path.schedule, t, x0, x1, sign * z) for sign in (1, -1)])
    return x, jnp.full(x.shape[0], 1 / x.shape[0])


def energies(path: Way, used: Used, t: Any, level: Any, x: Any, weights: Any) -> dict[str, Any]:
    """At a time E|b|^2, E|b_F|^2 and E|s|^2, and those of what ``used`` misses of b, s and b_F."""
    exact = path.field(t, x)
    velocity, score = used.missed(path.schedule, t, x, exact)
    drift = exact.velocity + level * exact.score
    values = {
        "path_energy": exact.velocity, "drift_energy": drift, "score_energy": exact.score,
        "missed_b": velocity, "missed_s": score, "missed_drift": velocity + level * score,
    }  # fmt: skip
    return {name: weights @ (v**2).sum(axis=1) for name, v in values.items()}


def over_time(path: Way, used: Used, level: Any, key: Any, n: int) -> dict[str, Any]:
    """``energies`` at all times ``NODES``, of one noise level."""

    def at(each):
        t, key = each
        return energies(path, used, t, level, *node(path, t, key, n))

    return jax.lax.map(at, (jnp.asarray(NODES), jax.random.split(key, len(NODES))))


def _drifts(path: Way, used: Used, level: Any, t: Any, y: Any) -> tuple[Any, Any]:
    """The drift of the exact diffusion run down, with what is missed, and the rate of the logarithm of the ratio."""

    def at(y):
        exact = path.field(t, y)
        velocity, score = used.missed(path.schedule, t, y, exact)
        return velocity + level * score, (exact.velocity - level * exact.score, exact.score)

    missed = used.missed
    if missed.networks is None:  # what is affine has one divergence everywhere
        delta, (drift, score) = at(y)
        spread = jnp.full_like(y[:, 0], y.shape[1] * (missed.velocity_slope + level * missed.score_slope))
    else:
        directions = jnp.broadcast_to(jnp.eye(y.shape[1])[:, None], (y.shape[1], *y.shape))
        one = jax.vmap(lambda v: jax.jvp(at, (y,), (v,), has_aux=True), out_axes=(None, 0, None))
        delta, slopes, (drift, score) = one(directions)
        spread = jnp.einsum("inj,inj->n", slopes, directions)
    return drift + delta, spread + (delta * score).sum(axis=1)


def _back(path: Way, used: Used, span: tuple, y: Any, noise: Any) -> tuple[Any, Any]:
    """One step down by Heun's method, and what it adds to the logarithm of the ratio."""
    now, later, before, after = span  # later is where y is
    h = later - now
    move = jnp.sqrt(2 * before * h) * noise
    first, rate = _drifts(path, used, after, later, y)
    second, other = _drifts(path, used, before, now, y - h * first + move)
    return y - h * (first + second) / 2 + move, -h * (rate + other) / 2


def divergence_on_line(path: Way, used: Used, times: Any, level: Any) -> Estimate:
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


def _cubic(grid: Any, values: Any, at: Any) -> Any:
    """Lagrange interpolation by the four nearest values on an even grid; the end values beyond it."""
    place = jnp.clip((at - grid[0]) / (grid[1] - grid[0]), 0, grid.size - 1)
    first = jnp.clip(jnp.floor(place).astype(int) - 1, 0, grid.size - 4)
    s = place - first
    weights = (
        -(s - 1) * (s - 2) * (s - 3) / 6, s * (s - 2) * (s - 3) / 2, -s * (s - 1) * (s - 3) / 2, s * (s - 1) * (s - 2) / 6,
    )  # fmt: skip
    return sum((w * values[first + k] for k, w in enumerate(weights)), jnp.zeros_like(at))


def divergence_by_rollouts(path: Way, used: Used, times: Any, level: Any, key: Any, n: int, rollouts: int) -> Any:
    """(n,) values whose mean is KL(rho | rho^) at the last time, in any dimension: of n exact samples with so many rollouts
    of each.

    The bias of the logarithm of a mean is taken off to first order.
    """
    first, second, third = jax.random.split(key, 3)
    x0, x1 = path.draw(first, n)
    x = paths.interpolate(path.schedule, times[-1], x0, x1, jax.random.normal(second, x1.shape, x1.dtype))
    y = jnp.repeat(x, rollouts, axis=0)

    def step(carry, span):
        y, u = carry
        noise = jax.random.normal(jax.random.fold_in(third, span[-1]), y.shape, y.dtype)
        y, change = _back(path, used, span[:-1], y, noise)
        return (y, u + change), None

    spans = times[:-1], times[1:], level[:-1], level[1:], jnp.arange(times.size - 1)
    (_, u), _ = jax.lax.scan(step, (y, jnp.zeros_like(y[:, 0])), jax.tree.map(lambda z: z[::-1], spans))
    ratio = jnp.exp(u).reshape(n, rollouts)
    mean = ratio.mean(axis=1)
    bias = ratio.var(axis=1, ddof=1) / (2 * rollouts * mean**2)
    return mean - 1 - jnp.log(mean) - bias


def modes(log_density: Any) -> Any:
    """How many local maxima each row has inside."""
    middle = log_density[:, 1:-1]
    return ((middle > log_density[:, :-2]) & (middle >= log_density[:, 2:])).sum(axis=1)


def residuals(path: Way, key: Any) -> tuple[Any, Any]:
    r"""How far the field is from solving $\partial_t\log\rho + \nabla\cdot b + b\cdot s = 0$, relative to the terms, and from
    $\alpha\eta_0 + \beta\eta_1 + \gamma\eta_z = x$; largest of 5 times and 64 points."""

    def at(each):
        t, key = each
        first, second = jax.random.split(key)
        x0, x1 = path.draw(first, 64)
        x = paths.interpolate(path.schedule, t, x0, x1, jax.random.normal(second, x1.shape, x1.dtype))
        field, c = path.field(t, x), path.schedule(t)
        rate = jax.jvp(lambda t: path.field.log_density(t, x), (t,), (jnp.ones_like(t),))[1]
        spread = paths.divergence(path.field, t, x).value
        carried = (field.velocity * field.score).sum(axis=1)
        miss = abs(rate + spread + carried) / (1 + abs(rate) + abs(spread) + abs(carried))
        # of a mirror both ends are one
        whole = c.alpha * field.x0 + c.beta * field.x1 + c.gamma * field.z - x
        return miss.max(), abs(whole).max()

    both = jax.lax.map(at, (jnp.array([0.11, 0.27, 0.48, 0.63, 0.86]), jax.random.split(key, 5)))
    return tuple(values.max() for values in both)
