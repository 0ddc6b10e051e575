r"""The schedule of least kinetic energy, and the energy of any schedule, from one curve of the data.

Data $x_1 \sim q$ in R^d with $E|x_1|^2 = d$ and noise $x_0 \sim N(0, I)$, mixed by a schedule without latent,
$x_t = \alpha x_0 + \beta x_1$. With the angle $\tan\theta = \beta / \alpha$ (the root of the signal-to-noise ratio s) and
$r^2 = \alpha^2 + \beta^2$ the marginal velocity has the energy

$$ E = \frac1d \int_0^1 E|u_t(x_t)|^2 dt = \int_0^1 \big( \dot r^2 + r^2 \dot\theta^2\, \gamma(\theta) \big) dt, \qquad
   \gamma(\theta) = \frac{1 + s^2}{d}\, E\Big| D(y) - \frac{s y}{1 + s^2} \Big|^2, \quad y = s x_1 + x_0, $$

where D is the denoiser $E[x_1 | y]$: $\gamma \ge 0$ tells how much better it is than the best linear one, and
$\lambda = (s^2 + \gamma)/(1 + s^2)$ is the data separation function of the paper. The metric is flat, so the best path is a
chord of the unit circle: with $\varphi(\theta) = \int_0^\theta \sqrt\gamma$ and $\Phi = \varphi(\pi/2)$,

$$ \varphi_t = \arg\big( 1 + t (e^{i\Phi} - 1) \big), \qquad r_t^2 = 1 - b t + b t^2, \qquad E^* = b = 4 \sin^2(\Phi / 2) . $$

Only paths of this family are compared: $W_2^2(N(0, I), q) \le d\, E^*$. Source: Shaul, Chen, Nickel, Le, Lipman, *On Kinetic
Optimal Probability Paths for Generative Models*, ICML 2023.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics.jit import jit
from lab.paths.schedules import Coefficients, Schedule, has_latent, known

_CELLS = 1_000_000  # of a block of logits: 8 MB, near the cache
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


# --- the data separation curve ---


@runtime_checkable
class Law(Protocol):
    """What ``of_law`` asks for: any of ``lab.paths.laws``."""

    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]: ...

    def denoise(self, y: Float[Array, "n d"], scale: Array, covariance: Array) -> tuple[Array, Array]: ...


class Separation(eqx.Module):
    r"""$\gamma$ on a grid of angles from 0 to $\pi/2$, with its standard error (0 where it is exact)."""

    theta: Float[Array, " angles"]
    gamma: Float[Array, " angles"]
    error: Float[Array, " angles"]

    @property
    def lam(self) -> Float[Array, " angles"]:
        r"""The data separation function $\lambda = \sin^2\theta + \gamma \cos^2\theta$."""
        return jnp.sin(self.theta) ** 2 + self.gamma * jnp.cos(self.theta) ** 2

    @property
    def total(self) -> Float[Array, ""]:
        r"""$\Phi = \int_0^{\pi/2} \sqrt\gamma\, d\theta$, between 0 and $\pi/2$."""
        return _curve(self).integrals[-1]

    @property
    def least(self) -> Float[Array, ""]:
        r"""The least energy, $E^* = 4 \sin^2(\Phi/2)$."""
        return 4 * jnp.sin(self.total / 2) ** 2

    @property
    def deficit(self) -> Float[Array, ""]:
        r"""$\int_0^\infty (1 - \lambda)\, ds = \int_0^{\pi/2} (1 - \gamma)\, d\theta$; of n points at most $3 n / \sqrt d$."""
        return jnp.trapezoid(1 - self.gamma, self.theta)

    def __call__(self, theta: ArrayLike) -> Array:
        r"""$\gamma$ at any angle: the square of a monotone cubic through $\sqrt\gamma$."""
        return _curve(self).value(jnp.asarray(theta, self.theta.dtype)) ** 2


class Normalized(NamedTuple):
    """Data of mean 0 and of mean square 1 per dimension; the data are centre + scale x."""

    x: Float[Array, "n d"]
    centre: Float[Array, " d"]
    scale: Float[Array, ""]


def normalize(x: Float[Array, "n d"], weights: Float[Array, " masses"] | None = None) -> Normalized:
    """Centre, and divide by one scale: not by one of each feature, which would change what is separated.

    Raises:
        ValueError: values that are not finite, or no variance.
    """
    weights = _masses(x, weights)
    centre = weights @ x
    x = x - centre[None, :]
    scale = jnp.sqrt(weights @ (x * x).mean(axis=1))
    if not isinstance(scale, Tracer):
        if not jnp.isfinite(scale):
            raise ValueError("the data have values that are not finite: leave these points out")
        if not scale > 0:
            raise ValueError("the data have no variance: at least two distinct points are needed")
    return Normalized(x / scale, centre, scale)


def of_points(
    key: PRNGKeyArray,
    x: Float[Array, "n d"],
    theta: Float[Array, " inner"] | None = None,
    weights: Float[Array, " masses"] | None = None,
    draws: int | None = None,
) -> Separation:
    r"""The separation of a finite set of points, normalized first; Monte Carlo over the noise only.

    All angles share the noise, which comes in antithetic pairs and is scaled to mean square 1, so that the curve is smooth,
    not negative and 1 at $\pi/2$. With $z = x_0$ and the posterior mean error $e = \sum_j w_j (x_j - x_i)$,
    $\sqrt{1+s^2} (D - s y / (1+s^2)) = x_i \cos\theta - z \sin\theta + e / \cos\theta$: nothing cancels, at any angle.

    Args:
        x: distinct points; a point twice is one of twice the mass.
        theta: angles inside (0, pi/2); 200 equidistant ones when omitted.
        weights: masses of the points; equal when omitted.
        draws: pairs of noise for each point; when omitted 4 from 700 points on, and of fewer points more, in all 200,000 for
            two points, 40,000 for 50.

    The error takes the points as drawn too, so it is on the safe side. Time O(angles draws n^2 d), memory O(n d) and
    8 MB: 1797 points of 64 dimensions take half a minute of one core.

    Raises:
        ValueError: angles outside (0, pi/2), or data as in ``normalize``.
    """
    weights = _masses(x, weights)
    x = normalize(x, weights).x
    if draws is None:
        n = x.shape[0]
        draws = max(4, round(min(200_000, 2_000_000 / n) / n))
    return _of_points(key, x, weights, _angles(theta, x.dtype), draws)


@jit
def _of_points(key, x, weights, theta, draws: int) -> Separation:
    n, d = x.shape
    rows = n * draws
    block = min(rows, max(1, _CELLS // n))
    blocks = -(-rows // block)
    square = (x * x).sum(axis=1)
    log_weights = jnp.log(weights)

    def draw(number):
        return jax.random.normal(jax.random.fold_in(key, number), (block, d), x.dtype)

    def taken(number):
        """The points of a block, and their masses."""
        row = number * block + jnp.arange(block)
        return row % n, jnp.where(row < rows, weights[row % n] / draws, 0.0)

    def energy(sum_, number):
        return sum_ + taken(number)[1] @ (draw(number) ** 2).sum(axis=1), None

    total, _ = jax.lax.scan(energy, jnp.zeros((), x.dtype), jnp.arange(blocks))
    unit = jnp.sqrt(d / total)

    def of_block(sums, number):
        (at, mass), z = taken(number), unit * draw(number)
        x_i = x[at]
        # |x_i - x_j|^2 / 2 and z . (x_i - x_j), 0 at j = i
        apart = jnp.maximum((square[at][:, None] + square[None, :]) / 2 - x_i @ x.T, 0.0)
        along = (z * x_i).sum(axis=1)[:, None] - z @ x.T

        def at_angle(_, angle):
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            s = sin / cos

            def square_of(sign):
                logits = log_weights[None, :] - s * sign * along - s * s * apart
                w = jnp.exp(logits - logits.max(axis=1, keepdims=True))
                e = w @ x / w.sum(axis=1, keepdims=True) - x_i
                return ((cos * x_i - sign * sin * z + e / cos) ** 2).sum(axis=1) / d

            value = (square_of(1.0) + square_of(-1.0)) / 2
            return None, jnp.stack([mass @ value, mass**2 @ value, mass**2 @ value**2])

        return sums + jax.lax.scan(at_angle, None, theta)[1], None

    sums, _ = jax.lax.scan(of_block, jnp.zeros((theta.shape[0], 3), x.dtype), jnp.arange(blocks))
    gamma, first, second = sums.T
    variance = second - 2 * gamma * first + gamma**2 * (weights @ weights) / draws
    return _with_ends(theta, gamma, jnp.sqrt(jnp.maximum(variance, 0.0)), 1.0)


def of_law(
    key: PRNGKeyArray,
    law: Law,
    theta: Float[Array, " inner"] | None = None,
    n: int = 10_000,
    end: ArrayLike = 0.0,
) -> Separation:
    r"""The separation of a law with an exact denoiser (mixtures, boxes), by Monte Carlo over data and noise.

    Args:
        law: of mean 0 and mean square 1 per dimension, with ``sample(key, n)`` and ``denoise(y, scale, covariance)``.
        theta: as in ``of_points``.
        n: antithetic pairs of noise, shared by the angles as in ``of_points``; static.
        end: $\gamma$ at $\pi/2$: 0 for a law with a density, 1 for a discrete one.

    Raises:
        ValueError: a law of another mean or mean square, by its ``moments()``, or, without these, by six standard errors of
            the draws; ``end`` outside [0, 1].

    Time: 2 calls of the denoiser an angle.
    """
    if not isinstance(end, Tracer) and not 0 <= end <= 1:  # type: ignore[operator]
        raise ValueError(f"end = {end}, but gamma at pi/2 is from 0 (a density) to 1 (points)")
    if known((key, law)):
        _check_normalized(key, law, n)
    dtype = jax.eval_shape(lambda key: law.sample(key, 1), key).dtype
    return _of_law(key, law, _angles(theta, dtype), n, end)


def _check_normalized(key: Array, law: Law, n: int) -> None:
    if hasattr(law, "moments"):
        mean, covariance = law.moments()  # type: ignore[attr-defined]
        d, apart = mean.shape[0], 1e-4
        square = float(mean @ mean + jnp.trace(jnp.atleast_2d(covariance))) / d
        shift = float(jnp.sqrt(mean @ mean / d))
        wrong = shift > apart or abs(square - 1) > apart
    else:
        x = np.asarray(law.sample(jax.random.split(key)[0], n), float)
        each = (x * x).mean(axis=1)
        square, shift = each.mean(), float(np.sqrt((x.mean(axis=0) ** 2).mean()))
        wrong = abs(square - 1) > 6 * each.std() / n**0.5 + 1e-4 or shift > 6 * (square / n) ** 0.5 + 1e-4
    if wrong:
        raise ValueError(
            f"the law has mean {shift:.4g} (root mean square) and mean square {square:.4g} per dimension, but 0 and 1 are "
            "needed: centre it, and divide it by one scale"
        )


@jit
def _of_law(key: Array, law: Law, theta: Array, n: int, end: ArrayLike) -> Separation:
    first, second = jax.random.split(key)
    x = law.sample(first, n)
    d = x.shape[1]
    z = jax.random.normal(second, x.shape, x.dtype)
    z *= jnp.sqrt(z.size / (z * z).sum())
    one = jnp.ones((), x.dtype)

    def at_angle(angle):
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        s = sin / cos

        def square_of(sign):
            e = law.denoise(s * x + sign * z, s, one)[0] - x
            return ((cos * x - sign * sin * z + e / cos) ** 2).sum(axis=1) / d

        value = (square_of(1.0) + square_of(-1.0)) / 2
        return value.mean(), value.std() / jnp.sqrt(n)

    gamma, error = jax.lax.map(at_angle, theta)
    return _with_ends(theta, gamma, error, end)


def of_gaussian(eigenvalues: Float[Array, " d"], theta: Float[Array, " inner"] | None = None) -> Separation:
    r"""Exactly, for $N(0, \Sigma)$ with these eigenvalues, of mean 1:
    $\gamma = (1+s^2)\, \mathrm{mean}_i \big(\frac{s e_i}{1+s^2 e_i} - \frac{s}{1+s^2}\big)^2 (1 + s^2 e_i)$.

    The source is isotropic, so that $\gamma = 0$ for $\Sigma = I$. With two distinct eigenvalues the best path is that of
    optimal transport, with more it is not.

    Raises:
        ValueError: eigenvalues that are negative or not of mean 1.
    """
    eigenvalues = jnp.asarray(eigenvalues)
    if not isinstance(eigenvalues, Tracer):
        known = np.asarray(eigenvalues)
        if not (known >= 0).all():
            raise ValueError(f"the eigenvalues are {known}, but a covariance has none below 0")
        if not abs(known.mean() - 1) <= 1e-6:
            raise ValueError(f"the eigenvalues have mean {known.mean():.6g}, but 1 is needed: rescale the data")
    theta = _angles(theta, eigenvalues.dtype)
    e = eigenvalues[None, :]
    cos2, sin2 = jnp.cos(theta)[:, None] ** 2, jnp.sin(theta)[:, None] ** 2
    # with both fractions over one denominator, s (e - 1) / ((1 + s^2 e)(1 + s^2))
    gamma = (sin2 * cos2 * (e - 1) ** 2 / (cos2 + sin2 * e)).mean(axis=1)
    return _with_ends(theta, gamma, jnp.zeros_like(theta), (eigenvalues == 0).mean(dtype=theta.dtype))


def of_two_points(theta: Float[Array, " inner"] | None = None, dtype=None) -> Separation:
    r"""By quadrature, for mass 1/2 at -1 and at 1 on the line: $D = \tanh(s y)$."""
    theta = _angles(theta, dtype or jnp.zeros(()).dtype)
    z = jnp.linspace(-12, 12, 2401, dtype=theta.dtype)
    density = jnp.exp(-z * z / 2)
    density /= density.sum()
    cos, sin = jnp.cos(theta)[:, None], jnp.sin(theta)[:, None]
    s = sin / cos
    e = -2 * jax.nn.sigmoid(-2 * s * (s + z[None, :]))  # tanh - 1
    gamma = (cos - sin * z[None, :] + e / cos) ** 2 @ density
    return _with_ends(theta, gamma, jnp.zeros_like(theta), 1.0)


# --- schedules and their energy ---


class KineticOptimal(eqx.Module):
    r"""The schedule of least energy for data with this separation: $\alpha = r \cos\theta,\ \beta = r \sin\theta$ on the chord.

    Derivatives are exact: $\dot r = b (2t - 1) / 2r$, $\dot\theta = \sin\Phi / (r^2 \sqrt{\gamma(\theta)})$. For data of mean
    0, $\gamma(0) = 0$ and $\beta \sim \sqrt t$: $\beta'(0)$ is infinite, while $\beta\beta'$ and the velocity stay finite. The
    conditional energy of such a path diverges, logarithmically, unless the covariance is the identity.
    """

    curve: "_Curve"

    def __init__(self, separation: Separation):
        self.curve = _curve(separation)

    @property
    def separation(self) -> Separation:
        theta, root = self.curve.knots, self.curve.values
        return Separation(theta, root**2, jnp.zeros_like(theta))

    def __call__(self, t: ArrayLike) -> Coefficients:
        total = self.curve.integrals[-1]
        t = jnp.asarray(t, total.dtype)
        x, y = 1 - 2 * t * jnp.sin(total / 2) ** 2, t * jnp.sin(total)
        b = 4 * jnp.sin(total / 2) ** 2
        r = jnp.hypot(x, y)
        theta = self.curve.inverse(jnp.arctan2(y, x))
        theta = jnp.where(t >= 1, jnp.pi / 2, theta)
        root = self.curve.value(theta)
        d_r = b * (2 * t - 1) / (2 * r)
        d_theta = jnp.sin(total) / (r * r) / jnp.where(root > 0, root, 1)
        cos, sin = jnp.where(t >= 1, 0.0, jnp.cos(theta)), jnp.sin(theta)
        d_alpha, d_beta = d_r * cos - r * sin * d_theta, d_r * sin + r * cos * d_theta
        infinite = jnp.inf * jnp.ones_like(t)
        d_alpha = jnp.where((root > 0) | (sin == 0), d_alpha, -infinite)
        d_beta = jnp.where((root > 0) | (cos == 0), d_beta, infinite)
        none = jnp.zeros_like(t)
        return Coefficients(r * cos, r * sin, none, d_alpha, d_beta, none)


class Energy(NamedTuple):
    """Per dimension, of a path."""

    marginal: Float[Array, "*batch"]  # of the velocity field: E
    conditional: Float[Array, "*batch"]  # of single pairs, int alpha'^2 + beta'^2: never smaller


def _without_latent(schedule: Schedule) -> None:
    if known(schedule) and has_latent(schedule):
        raise ValueError("the schedule has latent noise, but the separation is of paths without: leave gamma out of it")


def energy_density(schedule: Schedule, separation: Separation, t: Float[Array, " times"]) -> Energy:
    r"""The integrands, $\dot r^2 + r^2 \dot\theta^2 \gamma(\theta)$ and $\alpha'^2 + \beta'^2$, at times inside (0, 1).

    Raises:
        ValueError: a schedule with latent noise, of which the separation says nothing.
    """
    _without_latent(schedule)
    c = jax.vmap(schedule)(t)
    squared = c.alpha**2 + c.beta**2
    radial = (c.alpha * c.d_alpha + c.beta * c.d_beta) ** 2 / squared
    angular = (c.alpha * c.d_beta - c.beta * c.d_alpha) ** 2 / squared
    gamma = separation(jnp.arctan2(c.beta, c.alpha))
    return Energy(radial + angular * gamma, c.d_alpha**2 + c.d_beta**2)


def energy(
    schedule: Schedule, separation: Separation, start: ArrayLike = 0.0, stop: ArrayLike = 1.0, panels: int = 256
) -> Energy:
    r"""The kinetic energy of a schedule without latent between two times, by Gauss-Legendre quadrature.

    Differentiable in the schedule. The conditional energy of VP diffusions diverges at t = 1: stop before it, and say where.

    Raises:
        ValueError: a schedule with latent noise, or times that do not go forward within [0, 1].
    """
    if known((start, stop)) and not 0 <= start <= stop <= 1:  # type: ignore[operator]
        raise ValueError(f"the times go from {start} to {stop}, but 0 <= start <= stop <= 1 is needed")
    _without_latent(schedule)
    dtype = separation.theta.dtype
    return _energy(schedule, separation, jnp.asarray(start, dtype), jnp.asarray(stop, dtype), panels)


@jit
def _energy(schedule: Schedule, separation: Separation, start: Array, stop: Array, panels: int) -> Energy:
    dtype = separation.theta.dtype
    edges = jnp.linspace(start, stop, panels + 1)
    half = jnp.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (1 + jnp.asarray(_NODES, dtype)[None, :])).ravel()
    weights = (half * jnp.asarray(_WEIGHTS, dtype)[None, :]).ravel()
    found = energy_density(schedule, separation, t)
    return Energy(weights @ found.marginal, weights @ found.conditional)


# --- monotone cubic interpolation ---


class _Curve(eqx.Module):
    """A piecewise cubic, not negative, and its integral from the first knot."""

    knots: Float[Array, " n"]
    values: Float[Array, " n"]
    slopes: Float[Array, " n"]
    integrals: Float[Array, " n"]

    def _cell(self, i: Array) -> tuple[Array, Array, Array, Array, Array]:
        h = self.knots[i + 1] - self.knots[i]
        return h, self.values[i], self.values[i + 1], self.slopes[i], self.slopes[i + 1]

    def _find(self, at: Array, among: Array) -> Array:
        return jnp.clip(jnp.searchsorted(among, at, side="right") - 1, 0, self.knots.shape[0] - 2)

    def value(self, x: Array) -> Array:
        i = self._find(x, self.knots)
        inside = jnp.maximum(_hermite(x - self.knots[i], *self._cell(i))[0], 0.0)
        return jnp.where(x >= self.knots[-1], self.values[-1], inside)

    def inverse(self, integral: Array) -> Array:
        """Where the integral has this value. Differentiable once, by a last step of Newton's method."""
        fixed = jax.lax.stop_gradient(self)
        wanted = jax.lax.stop_gradient(integral)
        i = fixed._find(wanted, fixed.integrals)
        cell = fixed._cell(i)
        h, low, high = cell[:3]
        left = wanted - fixed.integrals[i]
        # exact for a straight line, the square root at a zero included
        u = 2 * left / (low + jnp.sqrt(jnp.maximum(low**2 + 2 * left * (high - low) / h, 0.0)) + _TINY)
        for _ in range(6):
            value, area = _hermite(u, *cell)
            u = jnp.clip(u - (area - left) / jnp.maximum(value, _TINY), 0.0, h)
        value, area = _hermite(u, *self._cell(i))
        step = (self.integrals[i] + area - integral) / jnp.where(value > 0, value, 1)
        return self.knots[i] + u - jnp.where(value > 0, step - jax.lax.stop_gradient(step), 0.0)


_TINY = 1e-30


def _hermite(u, h, low, high, first, last) -> tuple[Array, Array]:
    """The cubic of a cell, and its integral from the start of the cell."""
    mean = (high - low) / h
    c2 = (3 * mean - 2 * first - last) / h
    c3 = (first + last - 2 * mean) / (h * h)
    return low + u * (first + u * (c2 + u * c3)), u * (low + u * (first / 2 + u * (c2 / 3 + u * c3 / 4)))


def _curve(separation: Separation) -> _Curve:
    knots, gamma = separation.theta, separation.gamma
    floor = jnp.finfo(gamma.dtype).eps  # of the speed: where all is still (data N(0, I)), any schedule is as good
    positive = gamma > 0
    values = jnp.where(positive, jnp.sqrt(jnp.where(positive, gamma, 1.0)), 0.0)
    still = jnp.maximum(values[1:], values[:-1]) <= floor
    still = jnp.concatenate([still[:1], still]) | jnp.concatenate([still, still[-1:]])
    values = jnp.where(still, floor, values)
    h, slope = jnp.diff(knots), jnp.diff(values) / jnp.diff(knots)
    slopes = _slopes(h, slope)
    area = h * (values[:-1] + values[1:]) / 2 + h * h * (slopes[:-1] - slopes[1:]) / 12
    return _Curve(knots, values, slopes, jnp.concatenate([jnp.zeros(1, area.dtype), jnp.cumsum(area)]))


def _slopes(h: Array, slope: Array) -> Array:
    """PCHIP (Fritsch, Butland 1984): harmonic means inside, three points limited at the ends."""
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    same = slope[1:] * slope[:-1] > 0
    a, b = jnp.where(same, slope[:-1], 1.0), jnp.where(same, slope[1:], 1.0)
    inner = jnp.where(same, (w1 + w2) / (w1 / a + w2 / b), 0.0)

    def end(h0, h1, d0, d1):
        found = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        found = jnp.where(found * d0 <= 0, 0.0, found)
        return jnp.where((d0 * d1 <= 0) & (jnp.abs(found) > 3 * jnp.abs(d0)), 3 * d0, found)

    first, last = end(h[0], h[1], slope[0], slope[1]), end(h[-1], h[-2], slope[-1], slope[-2])
    return jnp.concatenate([first[None], inner, last[None]])


def _with_ends(theta: Array, gamma: Array, error: Array, end: ArrayLike) -> Separation:
    """Of centred data, whose gamma is 0 at the angle 0."""
    zero = jnp.zeros(1, theta.dtype)
    last = jnp.asarray(end, theta.dtype)[None]
    return Separation(
        jnp.concatenate([zero, theta, zero + jnp.pi / 2]),
        jnp.concatenate([zero, gamma, last]),
        jnp.concatenate([zero, error, zero]),
    )


def _angles(theta: Array | None, dtype) -> Array:
    if theta is None:
        return jnp.linspace(0, jnp.pi / 2, 202, dtype=dtype)[1:-1]
    theta = jnp.asarray(theta, dtype)
    if not isinstance(theta, Tracer):
        edges = np.r_[0.0, np.asarray(theta), np.pi / 2]
        if not (np.diff(edges) > 0).all():
            raise ValueError("the angles theta must increase and lie inside (0, pi/2)")
    return theta


def _masses(x: Array, weights: Array | None) -> Array:
    n = x.shape[0]
    if weights is None:
        return jnp.full(n, 1 / n, x.dtype)
    weights = jnp.asarray(weights, x.dtype)
    if weights.shape != (n,):
        raise ValueError(f"the weights have shape {weights.shape}, but {n} points need shape ({n},)")
    if not isinstance(weights, Tracer) and not ((np.asarray(weights) >= 0).all() and np.asarray(weights).sum() > 0):
        raise ValueError("the weights must not be negative, and not all zero")
    return weights / weights.sum()
