r"""How well the points of the data are told apart at each level of noise: one curve, from which energies of paths follow.

Data $x_1 \sim q$ in R^d with $E|x_1|^2 = d$ and noise $x_0 \sim N(0, I)$, seen as $y = s x_1 + x_0$. With the angle
$\tan\theta = s$ (s is the root of the signal-to-noise ratio) and the denoiser $D = E[x_1 | y]$ the curve is

$$ \gamma(\theta) = \frac{1 + s^2}{d}\, E\Big| D(y) - \frac{s y}{1 + s^2} \Big|^2 \ge 0 : $$

it tells how much better the denoiser is than the best linear one, and $\lambda = (s^2 + \gamma)/(1 + s^2)$ is the data
separation function of the paper. ``kinetic`` has the energies.

Source: Shaul, Chen, Nickel, Le, Lipman, *On Kinetic Optimal Probability Paths for Generative Models*, ICML 2023.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.numerics.arguments import real
from lab.numerics.jit import jit
from lab.paths.cubic import MonotoneCubic
from lab.paths.laws import Boxes, Mixture
from lab.paths.schedules import known

_CELLS = 1_000_000  # of a block of logits: 8 MB, near the cache


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
    def speed(self) -> MonotoneCubic:
        r"""$\sqrt\gamma$ by a monotone cubic, and its integral $\varphi(\theta) = \int_0^\theta \sqrt\gamma$."""
        knots, gamma = self.theta, self.gamma
        floor = jnp.finfo(gamma.dtype).eps  # of the speed: where all is still (data N(0, I)), any schedule is as good
        positive = gamma > 0
        values = jnp.where(positive, jnp.sqrt(jnp.where(positive, gamma, 1.0)), 0.0)
        still = jnp.maximum(values[1:], values[:-1]) <= floor
        still = jnp.concatenate([still[:1], still]) | jnp.concatenate([still, still[-1:]])
        return MonotoneCubic.through(knots, jnp.where(still, floor, values))

    @property
    def total(self) -> Float[Array, ""]:
        r"""$\Phi = \int_0^{\pi/2} \sqrt\gamma\, d\theta$, between 0 and $\pi/2$."""
        return self.speed.integrals[-1]

    @property
    def total_error(self) -> Float[Array, ""]:
        r"""Standard error of $\Phi$, if those of all angles went the same way."""
        root = jnp.sqrt(jnp.maximum(self.gamma, 1e-12))
        return jnp.trapezoid(jnp.minimum(self.error / (2 * root), jnp.sqrt(self.error)), self.theta)

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
        return self.speed.value(jnp.asarray(theta, self.theta.dtype)) ** 2


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


class NormalizedLaw(NamedTuple):
    """A law of mean 0 and of mean square 1 per dimension; the data are centre + scale x."""

    law: Mixture | Boxes
    centre: Float[Array, " d"]
    scale: Float[Array, ""]


@jit
def normalize_law(law: Mixture | Boxes) -> NormalizedLaw:
    """The law of data that are centred and divided by one scale, by its exact moments."""
    mean, covariance = law.moments()
    scale = jnp.sqrt(jnp.trace(covariance) / mean.size)
    if isinstance(law, Mixture):
        moved: Mixture | Boxes = Mixture(law.weights, (law.means - mean[None, :]) / scale, law.covariances / scale**2)
    else:
        moved = Boxes((law.low - mean[None, :]) / scale, (law.high - mean[None, :]) / scale, law.weights)
    return NormalizedLaw(moved, mean, scale)


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
        return random.normal(jax.random.fold_in(key, number), (block, d), x.dtype)

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
    z = random.normal(second, x.shape, x.dtype)
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


def of_gaussian(eigenvalues: ArrayLike | Sequence, theta: Float[Array, " inner"] | None = None) -> Separation:
    r"""The separation of $N(0, \Sigma)$, exactly, from its eigenvalues, of mean 1.

    $$ \gamma = (1+s^2)\, \mathrm{mean}_i \big(\tfrac{s e_i}{1+s^2 e_i} - \tfrac{s}{1+s^2}\big)^2 (1 + s^2 e_i) $$

    The source is isotropic, so that $\gamma = 0$ for $\Sigma = I$. With two distinct eigenvalues the best path is that of
    optimal transport, with more it is not.

    Args:
        eigenvalues: (d,), not negative, of mean 1.
        theta: angles inside (0, pi/2), $s = \tan\theta$; 200 equidistant ones when omitted.

    Returns:
        a ``Separation``, on these angles and both ends.

    Raises:
        ValueError: eigenvalues that are negative or not of mean 1.

    Source:
        Shaul, Chen, Nickel, Le, Lipman, On Kinetic Optimal Probability Paths for Generative Models, ICML 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> float(abs(paths.separation.of_gaussian(jnp.ones(3)).gamma).max())
        0.0
    """
    eigenvalues = real("eigenvalues", eigenvalues, ("d",))
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
    theta = _angles(theta, dtype or jnp.result_type(float))
    z = jnp.linspace(-12, 12, 2401, dtype=theta.dtype)
    density = jnp.exp(-z * z / 2)
    density /= density.sum()
    cos, sin = jnp.cos(theta)[:, None], jnp.sin(theta)[:, None]
    s = sin / cos
    e = -2 * jax.nn.sigmoid(-2 * s * (s + z[None, :]))  # tanh - 1
    gamma = (cos - sin * z[None, :] + e / cos) ** 2 @ density
    return _with_ends(theta, gamma, jnp.zeros_like(theta), 1.0)


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
