r"""The schedule of least kinetic energy, and the energy of any schedule, from one curve of the data.

Data $x_1 \sim q$ in R^d with $E|x_1|^2 = d$ and noise $x_0 \sim N(0, I)$, mixed by a schedule without latent,
$x_t = \alpha x_0 + \beta x_1$. With the angle $\tan\theta = \beta / \alpha$ (the root of the signal-to-noise ratio s) and
$r^2 = \alpha^2 + \beta^2$ the marginal velocity has the energy

$$ E = \frac1d \int_0^1 E|u_t(x_t)|^2 dt = \int_0^1 \big( \dot r^2 + r^2 \dot\theta^2\, \gamma(\theta) \big) dt, \qquad
   \gamma(\theta) = \frac{1 + s^2}{d}\, E\Big| D(y) - \frac{s y}{1 + s^2} \Big|^2, \quad y = s x_1 + x_0, $$

where D is the denoiser $E[x_1 | y]$ and $\gamma$ the separation of the data (``separation``). The metric is flat, so the best
path is a chord of the unit circle: with $\varphi(\theta) = \int_0^\theta \sqrt\gamma$ and $\Phi = \varphi(\pi/2)$,

$$ \varphi_t = \arg\big( 1 + t (e^{i\Phi} - 1) \big), \qquad r_t^2 = 1 - b t + b t^2, \qquad E^* = b = 4 \sin^2(\Phi / 2) . $$

Only paths of this family are compared: $W_2^2(N(0, I), q) \le d\, E^*$. Source: Shaul, Chen, Nickel, Le, Lipman, *On Kinetic
Optimal Probability Paths for Generative Models*, ICML 2023.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit
from lab.paths.cubic import MonotoneCubic
from lab.paths.schedules import Coefficients, Schedule, checked_time, has_latent, known
from lab.paths.separation import Separation

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


class KineticOptimal(eqx.Module):
    r"""The schedule of least energy for data with this separation: $\alpha = r \cos\theta,\ \beta = r \sin\theta$ on the chord.

    Derivatives are exact: $\dot r = b (2t - 1) / 2r$, $\dot\theta = \sin\Phi / (r^2 \sqrt{\gamma(\theta)})$. For data of mean
    0, $\gamma(0) = 0$ and $\beta \sim \sqrt t$: $\beta'(0)$ is infinite, while $\beta\beta'$ and the velocity stay finite. The
    conditional energy of such a path diverges, logarithmically, unless the covariance is the identity.
    """

    curve: MonotoneCubic

    def __init__(self, separation: Separation):
        self.curve = separation.speed

    @property
    def separation(self) -> Separation:
        theta, root = self.curve.knots, self.curve.values
        return Separation(theta, root**2, jnp.zeros_like(theta))

    def __call__(self, t: ArrayLike) -> Coefficients:
        total = self.curve.integrals[-1]
        t = checked_time(jnp.asarray(t, total.dtype))
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
    return density_of(jax.vmap(schedule)(t), separation)


def density_of(c: Coefficients, separation: Separation) -> Energy:
    """``energy_density`` of coefficients that are known."""
    squared = c.alpha**2 + c.beta**2
    radial = (c.alpha * c.d_alpha + c.beta * c.d_beta) ** 2 / squared
    angular = (c.alpha * c.d_beta - c.beta * c.d_alpha) ** 2 / squared
    gamma = separation(jnp.arctan2(c.beta, c.alpha))
    return Energy(radial + angular * gamma, c.d_alpha**2 + c.d_beta**2)


def energy(
    schedule: Schedule, separation: Separation, start: ArrayLike = 0.0, stop: ArrayLike = 1.0, panels: int = 256
) -> Energy:
    r"""The kinetic energy of a schedule without latent between two times, by Gauss-Legendre quadrature.

    $$ E = \int \big( \dot r^2 + r^2 \dot\theta^2\, \gamma(\theta) \big) dt, \qquad \int (\alpha'^2 + \beta'^2)\, dt $$

    of the velocity field and of single pairs. Differentiable in the schedule. The conditional energy of VP diffusions diverges
    at t = 1: stop before it, and say where.

    Args:
        schedule: called at t it returns ``Coefficients``, without latent noise.
        separation: of the data.
        start: the first time.
        stop: the last time.
        panels: of the quadrature, with four nodes each; static.

    Returns:
        an ``Energy``, per dimension.

    Raises:
        ValueError: a schedule with latent noise, or times that do not go forward within [0, 1].

    Source:
        Shaul, Chen, Nickel, Le, Lipman, On Kinetic Optimal Probability Paths for Generative Models, ICML 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> found = paths.kinetic.energy(paths.Trigonometric(), paths.separation.of_gaussian(jnp.ones(2)))
        >>> round(float(found.marginal), 6), round(float(found.conditional), 6)  # N(0, I) stays; (pi / 2)^2
        (0.0, 2.467401)
    """
    dtype = separation.theta.dtype
    start = real("start", start, (), low=0, high=1, dtype=dtype)
    stop = real("stop", stop, (), low=0, high=1, dtype=dtype)
    if known((start, stop)) and not float(start) <= float(stop):
        raise ValueError(f"the times go from {start} to {stop}, but 0 <= start <= stop <= 1 is needed")
    _without_latent(schedule)
    return _energy(schedule, separation, start, stop, whole("panels", panels, 1))


@jit
def _energy(schedule: Schedule, separation: Separation, start: Array, stop: Array, panels: int) -> Energy:
    t, weights = nodes(start, stop, separation.theta.dtype, panels)
    found = energy_density(schedule, separation, t)
    return Energy(weights @ found.marginal, weights @ found.conditional)


def nodes(start: Array, stop: Array, dtype: Any, panels: int = 256) -> tuple[Array, Array]:
    """Times between two, and their weights, of the quadrature of ``energy``."""
    edges = jnp.linspace(start, stop, panels + 1)
    half = jnp.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (1 + jnp.asarray(_NODES, dtype)[None, :])).ravel()
    return t, (half * jnp.asarray(_WEIGHTS, dtype)[None, :]).ravel()
