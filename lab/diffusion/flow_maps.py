r"""Where the probability flow carries a point from one time to another: $\Psi_{t \to r}$, and what few-step models learn of it.

In $y = x / a$ along $\lambda = \log(a/s)$ the flow of every schedule is $dy/d\lambda = D - y$. Of one Gaussian

$$ \Psi_{t \to r}(x) = a_r m + V_r^{1/2} V_t^{-1/2} (x - a_t m), \qquad V = a^2 C + s^2 I, $$

and on a line, where the flow keeps the order of points, $\Psi_{t \to r} = F_r^{-1} \circ F_t$ of the distribution functions.

What a map must obey to be that of a flow with velocity u (``identities``), and the losses of few-step models drive to zero:

| name | identity | learned by |
|---|---|---|
| semigroup | $\Psi_{r \to q} \Psi_{t \to r} = \Psi_{t \to q}$ | |
| eulerian | $\partial_t \Psi + (\nabla \Psi)\,u(x, t) = 0$ | consistency models (r = 0), CTM |
| lagrangian | $\partial_r \Psi = u(\Psi, r)$ | |
| meanflow | $\bar u = u - (t - r)\,\frac{d}{dt} \bar u$ with $\bar u = \frac{x - \Psi}{t - r}$ | MeanFlow |
| shortcut | $\bar u$ over two equal steps is the mean of the two | shortcut models |

Source: Lai, Song, Kim, Mitsufuji, Ermon, *The Principles of Diffusion Models*, 2025; Song, Dhariwal, Chen, Sutskever, ICML 2023
(consistency models); Kim et al., ICLR 2024 (CTM); Frans et al., ICLR 2025 (shortcut models); Geng et al., 2025 (MeanFlow);
Salimans, Ho, ICLR 2022 (progressive distillation).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.diffusion.parametrisations import convert
from lab.diffusion.predictions import Prediction
from lab.diffusion.schedules import Noise
from lab.numerics.differentiation import at_root
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import symmetric
from lab.numerics.mixtures import Mixture, gaussian, widened
from lab.paths import likelihood, sampling
from lab.paths.schedules import known

_REACH = 40.0  # standard deviations beyond all means that a quantile is looked for
_BISECTIONS = 80


class Flow(eqx.Module):
    r"""The velocity of the flow in $y = x/a$, $dy/d\lambda = D - y$, by a clock from 0 to 1 that turns $\lambda$ evenly."""

    predict: Prediction
    begin: Array  # lambda at 0
    end: Array  # and at 1

    def __call__(self, clock: Array, y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        whole = self.end - self.begin
        sigma = jnp.exp(-(self.begin + clock * whole))
        return whole * (self.predict(y, jnp.ones_like(sigma), sigma) - y)


@jit
def velocity(predict: Prediction, noise: Noise, x: Float[Array, "n d"], t: ArrayLike) -> Float[Array, "n d"]:
    """u(x, t), of the clock of the schedule."""
    level = noise(t)
    return convert(level, x, predict(x, level.a, level.s), "data", "velocity")


def solved(
    predict: Prediction,
    noise: Noise,
    x: Float[Array, "n d"],
    t: ArrayLike,
    r: ArrayLike,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
) -> Float[Array, "n d"]:
    r"""Where the probability flow carries points from t to r, $\Psi_{t \to r}(x)$, t and r either way.

    By adaptive steps of order 8, whose tolerances hold for the whole cloud.

    $$ \frac{dy}{d\lambda} = D - y, \qquad y = x / a, \quad \lambda = \log(a / s) $$

    Args:
        predict: the mean of the data, a ``Prediction``.
        noise: the schedule.
        x: (n, d) at t.
        t: time of the points.
        r: time where they go.
        rtol: relative tolerance of a step, for the whole cloud.
        atol: absolute tolerance of the same.

    Returns:
        (n, d) at r.

    Raises:
        ValueError: a time at which there is no noise, or nothing of the data.

    Source:
        Lai, Song, Kim, Mitsufuji, Ermon, The Principles of Diffusion Models, 2025.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> from lab.numerics.mixtures import standard
        >>> law, edm = diffusion.Exact(standard(1)), diffusion.noise("edm")
        >>> end = diffusion.flow_maps.solved(law, edm, jnp.full((1, 1), 5.0), 7.0, 1.0)
        >>> round(float(end[0, 0]), 6)  # 5 times the root of (1 + 1) / (1 + 49)
        1.0
    """
    now, later = noise(t), noise(r)
    if known((now, later)) and not np.isfinite([float(now.log_snr), float(later.log_snr)]).all():
        raise ValueError("log(a/s) must be finite at both times: begin where data are left, and end in a little noise")
    flow = Flow(predict, now.log_snr, later.log_snr)
    found = sampling.adaptive(flow, x / now.a, (0.0, 1.0), solver="dopri8", rtol=rtol, atol=atol)
    return later.a * found.end


@jit
def solved_at(
    predict: Prediction,
    noise: Noise,
    x: Float[Array, "n d"],
    log_snr: Float[Array, " times"],
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
) -> Float[Array, "times n d"]:
    """The way of points x, which are at the first of rising log-SNRs, at all of them."""
    flow = Flow(predict, log_snr[0], log_snr[-1])
    clock = (log_snr - log_snr[0]) / (log_snr[-1] - log_snr[0])
    levels = noise(noise.time(log_snr))
    found = sampling.adaptive(flow, x / levels.a[0], clock, solver="dopri8", rtol=rtol, atol=atol)
    return levels.a[:, None, None] * found.x


@jit
def of_gaussian(
    mean: Float[Array, " d"], covariance: Float[Array, "d d"], noise: Noise, x: Float[Array, "n d"], t: Any, r: Any
) -> Float[Array, "n d"]:
    r"""The map of the probability flow of one Gaussian from t to r, in closed form.

    $$ \Psi_{t \to r}(x) = a_r m + V_r^{1/2} V_t^{-1/2} (x - a_t m), \qquad V = a^2 C + s^2 I $$

    Args:
        mean: m (d,).
        covariance: C (d, d), symmetric, positive semi-definite.
        noise: the schedule.
        x: (n, d) at t.
        t: time of the points, with noise where C is singular.
        r: time where they go.

    Returns:
        (n, d) at r.

    Source:
        Lai, Song, Kim, Mitsufuji, Ermon, The Principles of Diffusion Models, 2025.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> one, edm = jnp.eye(1), diffusion.noise("edm")
        >>> end = diffusion.flow_maps.of_gaussian(jnp.zeros(1), one, edm, 5.0 * one, 7.0, 1.0)
        >>> round(float(end[0, 0]), 6)  # 5 times the root of (1 + 1) / (1 + 49)
        1.0
    """
    now, later = noise(t), noise(r)
    made = symmetric(covariance)
    wide, narrow = (made.affine(level.a**2, level.s**2) for level in (now, later))
    scale = wide.function(jax.lax.rsqrt) @ narrow.function(jnp.sqrt)
    return (later.a * mean)[None, :] + (x - (now.a * mean)[None, :]) @ scale


def on_line(law: Mixture, noise: Noise, x: Float[Array, " n"], t: Any, r: Any) -> Float[Array, " n"]:
    """The map of a mixture in one dimension, by quantiles; its first derivatives in x, t and r are exact too.

    Beyond some 37 standard deviations of all components, where no probability is left, it is NaN.

    Raises:
        ValueError: a law that is not on a line, or x that is no row.
    """
    if law.dimension != 1 or x.ndim != 1:
        raise ValueError(
            f"x has shape {x.shape} and the law {law.dimension} dimensions, but a row (n,) and a line are needed"
        )
    return _on_line(law, noise, x, t, r)


@jit
def _on_line(law: Mixture, noise: Noise, x: Array, t: Any, r: Any) -> Array:
    # of the smaller tail, which keeps its digits
    below, above = _tails(law, noise, x, t)
    upper = below > above
    here = jnp.where(upper, above, below)

    def apart(y):
        """Rises with y, zero at the image of x."""
        lower, higher = _tails(law, noise, y, r)
        return jnp.where(upper, here - higher, lower - here)

    means, deviations = _parts(law, noise, r)
    ends = (means - _REACH * deviations).min(), (means + _REACH * deviations).max()

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        rises = apart(middle) < 0
        return jnp.where(rises, middle, low), jnp.where(rises, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, tuple(jnp.full_like(x, end) for end in ends))
    found = jax.lax.stop_gradient((low + high) / 2)
    # a last step of Newton's method, for the last digits
    z = (found[:, None] - means[None, :]) / deviations[None, :]
    density = (law.weights[None, :] * jnp.exp(-(z**2) / 2) / deviations[None, :]).sum(axis=1) / jnp.sqrt(2 * jnp.pi)
    moved = found - apart(found) / jnp.maximum(density, jnp.finfo(x.dtype).tiny)
    return jnp.where(here > 0, at_root(moved, apart), jnp.nan)


def _parts(law: Mixture, noise: Noise, t: Any) -> tuple[Array, Array]:
    level = noise(t)
    variances = widened(law.covariances, 2, 1).reshape(-1)
    return level.a * law.means[:, 0], jnp.sqrt(level.a**2 * variances + level.s**2)


def _tails(law: Mixture, noise: Noise, x: Array, t: Any) -> tuple[Array, Array]:
    """The probability below and above each x at the time t."""
    means, deviations = _parts(law, noise, t)
    z = (x[:, None] - means[None, :]) / deviations[None, :]
    return jax.scipy.special.ndtr(z) @ law.weights, jax.scipy.special.ndtr(-z) @ law.weights


class Identities(NamedTuple):
    """What is left of each identity at each point, (n, d)."""

    semigroup: Array
    eulerian: Array
    lagrangian: Array
    meanflow: Array
    shortcut: Array


type Map = Callable[[Array, Array, Array], Array]


def average_velocity(psi: Map, x: Array, t: Array, r: Array) -> Array:
    r"""$\bar u(x, r, t) = (x - \Psi_{t \to r}(x)) / (t - r)$."""
    return (x - psi(x, t, r)) / (t - r)


def identities(psi: Map, u: Callable[[Array, Array], Array], x: Array, t: ArrayLike, r: ArrayLike) -> Identities:
    """How far a map is from being that of the flow with velocity u(x, t), for t > r; the middle of both is asked too.

    Args:
        psi: called at (x, t, r), differentiable.
    """
    t, r = jnp.asarray(t, x.dtype), jnp.asarray(r, x.dtype)
    zero, one = jnp.zeros_like(t), jnp.ones_like(t)
    middle, half = (t + r) / 2, (t - r) / 2
    here = u(x, t)
    image, change = jax.jvp(lambda x, t: psi(x, t, r), (x, t), (here, one))
    _, along = jax.jvp(lambda r: psi(x, t, r), (r,), (one,))
    mean, turned = jax.jvp(lambda x, t, r: average_velocity(psi, x, t, r), (x, t, r), (here, one, zero))
    first = average_velocity(psi, x, t, middle)
    second = average_velocity(psi, x - half * first, middle, r)
    return Identities(
        psi(psi(x, t, middle), middle, r) - image,
        change,
        along - u(image, r),
        mean - (here - (t - r) * turned),
        mean - (first + second) / 2,
    )


def distilled(noise: Noise, x: Array, t: Any, r: Any, image: Array) -> Array:
    r"""The prediction of data whose one DDIM step from (x, t) ends at ``image`` at r.

    It is $\frac{x_r - (s_r/s_t) x}{a_r - a_t s_r/s_t}$, the target of progressive distillation where ``image`` is two steps of
    a teacher.
    """
    now, later = noise(t), noise(r)
    return (image - later.s / now.s * x) / (later.a - now.a * later.s / now.s)


def log_density(
    predict: Prediction, noise: Noise, x: Float[Array, "n d"], steps: int = 100, *, t: ArrayLike | None = None
) -> likelihood.Likelihood:
    r"""$\log p_t(x)$ by the flow from N(0, $s(T)^2$ I) at the last time T, with the exact divergence (d derivatives a step).

    Args:
        t: the time that x is of; the first one when omitted.
        steps: of fourth order, even in log-SNR.
    """
    here, end = noise(noise.first if t is None else t), noise(noise.last)
    d = x.shape[1]
    source = gaussian(jnp.zeros(d, x.dtype), end.sigma**2)
    flow = Flow(predict, end.log_snr, here.log_snr)
    found = likelihood.log_density(flow, x / here.a, source, steps, interval=(0.0, 1.0))
    return found._replace(log_density=found.log_density - d * jnp.log(here.a))
