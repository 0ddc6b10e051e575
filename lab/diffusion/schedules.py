r"""Noise schedules: how much of the data and of the noise is in a point at each time.

$$ x_t = a(t)\,x_0 + s(t)\,\varepsilon, \qquad \varepsilon \sim N(0, I), $$

with the data at early times and noise at late ones. The drift, the square of the diffusion and half the logarithm of the
signal-to-noise ratio follow:

$$ f = \frac{a'}{a}, \qquad g^2 = 2 s s' - 2 f s^2, \qquad \lambda = \log\frac{a}{s} . $$

| name | a | s | times |
|---|---|---|---|
| vp | $e^{-t^2 (b_1 - b_0) / 4 - t b_0 / 2}$ | $\sqrt{1 - a^2}$ | 0.001 to 1 |
| cosine | $\cos(\frac\pi2 \frac{t + 0.008}{1.008})$ over its value at 0 | $\sqrt{1 - a^2}$ | 0.001 to 0.9946 |
| subvp | as vp | $1 - a^2$ | 0.001 to 1 |
| ve | 1 | $\sigma_{min} (\sigma_{max}/\sigma_{min})^t$ | 0 to 1 |
| edm | 1 | t | 0.002 to 80 |
| linear | $1 - t$ | t | 0.001 to 0.999 |
| trigonometric | $\cos \frac{\pi t}{2}$ | $\sin \frac{\pi t}{2}$ | 0.001 to 0.999 |

The ends are where $\lambda$ is finite; others may be given. The schedules of ``lab.paths`` are the same ones seen from the
noise, at $1 - t$: ``Reversed`` takes any of them, also one of your own.

Source: Lai, Song, Kim, Mitsufuji, Ermon, *The Principles of Diffusion Models*, 2025; Song et al., *Score-Based Generative
Modeling through SDEs*, ICLR 2021; Karras et al., *Elucidating the Design Space*, NeurIPS 2022; Nichol, Dhariwal, *Improved
Denoising Diffusion Probabilistic Models*, ICML 2021.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics.arguments import real
from lab.numerics.differentiation import at_root
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths import schedules as paths
from lab.paths.schedules import Schedule, checked_time, has_latent, known

_BISECTIONS = 100  # until the time has all its digits, from any bracket
_OFFSET = 0.008

type Name = Literal["vp", "cosine", "subvp", "ve", "edm", "linear", "trigonometric"] | str


class Level(NamedTuple):
    """A schedule at a time; every field has the shape of the time."""

    a: Array
    s: Array
    da: Array
    ds: Array

    @property
    def drift(self) -> Array:
        r"""$f = a'/a$."""
        return self.da / self.a

    @property
    def diffusion(self) -> Array:
        r"""$g^2 = 2 s s' - 2 f s^2$."""
        return 2 * self.s * (self.ds - self.drift * self.s)

    @property
    def sigma(self) -> Array:
        """Noise beside one unit of data, s / a."""
        return self.s / self.a

    @property
    def log_snr(self) -> Array:
        r"""$\lambda = \log(a / s)$."""
        return jnp.log(self.a) - jnp.log(self.s)


class Noise(eqx.Module):
    """A schedule with its first and its last time. It is called at times."""

    first: eqx.AbstractVar[float | Array]
    last: eqx.AbstractVar[float | Array]

    @abstractmethod
    def __call__(self, t: ArrayLike | Sequence) -> Level: ...

    def time(self, log_snr: ArrayLike | Sequence) -> Float[Array, "*times"]:
        r"""The time at which $\lambda$ has a value, by bisection; the nearer end where none between the ends has it.

        Differentiable in $\lambda$ and in the schedule, by Newton's method at the solution.
        """
        return self._time(real("log_snr", log_snr, finite=False))

    @jit
    def _time(self, log_snr: Array) -> Array:
        low = jnp.full_like(log_snr, self.first)
        high = jnp.full_like(log_snr, self.last)

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            early = self(middle).log_snr > log_snr  # lambda falls
            return jnp.where(early, middle, low), jnp.where(early, high, middle)

        low, high = jax.lax.stop_gradient(jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high)))
        found = (low + high) / 2
        first, last = jnp.asarray(self.first, found.dtype), jnp.asarray(self.last, found.dtype)
        early, late = log_snr >= self(first).log_snr, log_snr <= self(last).log_snr
        ended = early | late
        # where lambda has the value between the ends; the middle is any place where it has a slope
        root = at_root(
            jnp.where(ended, (first + last) / 2, found),
            lambda t: jnp.where(ended, t - found, self(t).log_snr - log_snr),
        )
        end = jnp.where(early, first, last)
        return jnp.where(ended, found + (end - jax.lax.stop_gradient(end)), root)


class Reversed(Noise):
    """A schedule of ``lab.paths`` at 1 - t.

    Args:
        schedule: without latent noise.
        first, last: between 0 and 1.
    """

    schedule: Schedule
    first: float | Array
    last: float | Array

    def __init__(self, schedule: Schedule, first: ArrayLike = 1e-3, last: ArrayLike = 1.0):
        if has_latent(schedule):
            raise ValueError("the schedule has latent noise beside that of its source: leave it out")
        self.schedule, (self.first, self.last) = schedule, _ends(first, last, 0.0, 1.0)

    def __call__(self, t: ArrayLike | Sequence) -> Level:
        c = self.schedule(1 - checked_time(jnp.asarray(t, float)))
        return Level(c.beta, c.alpha, -c.d_beta, -c.d_alpha)


class Cosine(Noise):
    """See the table of the module."""

    first: float | Array
    last: float | Array

    def __init__(self, first: ArrayLike = 1e-3, last: ArrayLike = 0.9946):
        self.first, self.last = _ends(first, last, 0.0, 1.0)

    def __call__(self, t: ArrayLike | Sequence) -> Level:
        t = checked_time(jnp.asarray(t, float))
        rate, start = jnp.pi / 2 / (1 + _OFFSET), jnp.pi / 2 * _OFFSET / (1 + _OFFSET)
        here = start + rate * t
        a, da = jnp.cos(here) / jnp.cos(start), -rate * jnp.sin(here) / jnp.cos(start)
        # 1 - a^2 = (cos^2 start - cos^2 here) / cos^2 start, as a product that keeps its digits near t = 0
        s = jnp.sqrt(jnp.sin(rate * t) * jnp.sin(2 * start + rate * t)) / jnp.cos(start)
        return Level(a, s, da, jnp.where(s > 0, -a * da / jnp.where(s > 0, s, 1), jnp.inf))


class Karras(Noise):
    """$a = 1$ and $s = t$: the noise level is the time (EDM)."""

    first: float | Array
    last: float | Array

    def __init__(self, first: ArrayLike = 0.002, last: ArrayLike = 80.0):
        self.first, self.last = _ends(first, last, 0.0, jnp.inf)

    def __call__(self, t: ArrayLike | Sequence) -> Level:
        t = checked_time(jnp.asarray(t, float), jnp.inf)
        one, zero = jnp.ones_like(t), jnp.zeros_like(t)
        return Level(one, t, zero, one)


@chosen
def noise(name: Name, *, first: ArrayLike | None = None, last: ArrayLike | None = None) -> Noise:
    r"""A schedule by its name in the table of the module, with other ends where they are given.

    $$ x_t = a(t)\,x_0 + s(t)\,\varepsilon $$

    Args:
        name: "vp", "cosine", "subvp", "ve", "edm", "linear" or "trigonometric".
        first: the earliest time, with the least noise; that of the table when omitted.
        last: the latest time; that of the table when omitted.

    Returns:
        a ``Noise``, called at times; of "edm" the time is the noise level sigma.

    Raises:
        ValueError: an unknown name, or ends that do not rise within those of the schedule.

    Source:
        Song et al., Score-based generative modeling through SDEs, ICLR 2021; Karras et al. (2022); Nichol, Dhariwal (2021).

    Examples:
        >>> from lab import diffusion
        >>> float(diffusion.noise("edm").last), float(diffusion.noise("edm")(3.0).sigma)
        (80.0, 3.0)
    """
    ends = {key: value for key, value in (("first", first), ("last", last)) if value is not None}
    if name in ("edm", "cosine"):
        return (Karras if name == "edm" else Cosine)(**ends)
    schedule = {
        "vp": paths.VP,
        "subvp": paths.SubVP,
        "ve": paths.VE,
        "linear": paths.Linear,
        "trigonometric": paths.Trigonometric,
    }[name]()
    own = {"ve": {"first": 0.0}, "linear": {"last": 0.999}, "trigonometric": {"last": 0.999}}.get(name, {})
    return Reversed(schedule, **own | ends)


def _ends(first: ArrayLike, last: ArrayLike, low: float, high: float) -> tuple:
    for name, end in (("first", first), ("last", last)):
        real(name, end, ())
    if known((first, last)):
        least, most = float(np.asarray(first)), float(np.asarray(last))
        if not (low <= least < most <= high):
            raise ValueError(f"first = {least:g} and last = {most:g}, but times must rise between {low:g} and {high:g}")
        return placed(np.asarray(first, float)), placed(np.asarray(last, float))
    return jnp.asarray(first, float), jnp.asarray(last, float)


class Variational(NamedTuple):
    """The terms of the bound of ``-log p``, in nats."""

    terms: Float[Array, " steps"]
    limit: Float[Array, ""]  # of infinitely many steps


def bound(snr: ArrayLike | Sequence, error: ArrayLike | Sequence) -> Variational:
    r"""What each step of a chain adds to the variational bound, and the integral that the steps come to.

    $$ \tfrac12 (\mathrm{SNR}_r - \mathrm{SNR}_t)\,E|x_0 - D_t|^2 \text{ from t to the next r}, \qquad
       \tfrac12 \int E|x_0 - D|^2\,d\mathrm{SNR} \text{ (by trapezoids)} $$

    Of the optimal denoiser the integral from 0 is the mutual information of $x_0$ and $x_t$ (I-MMSE).

    Args:
        snr: (T,) rising, $a^2 / s^2$.
        error: (T,) the squared error of the denoiser at each, summed over coordinates.

    Returns:
        a ``Variational``: the terms (T - 1,) and their limit, in nats.

    Raises:
        ValueError: fewer than two, shapes that differ, ratios that fall, or a negative number.

    Source:
        Kingma, Salimans, Poole, Ho, Variational diffusion models, NeurIPS 2021; Guo, Shamai, Verdú (2005), I-MMSE.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> found = diffusion.bound(jnp.asarray([0.0, 1.0]), jnp.asarray([1.0, 0.5]))
        >>> found.terms.tolist(), float(found.limit)  # 1 * 1 / 2, and 1 * 0.75 / 2
        ([0.5], 0.375)
    """
    snr = real("snr", snr, ("times",), low=0)
    if snr.shape[0] < 2:
        raise ValueError(f"snr has shape {snr.shape}: at least two ratios are needed")
    error = real("error", error, snr.shape, low=0)
    if known(snr) and not (np.diff(np.asarray(snr)) >= 0).all():
        raise ValueError("the signal-to-noise ratios must rise")
    rise = jnp.diff(snr)
    return Variational(rise * error[:-1] / 2, (rise * (error[1:] + error[:-1])).sum() / 4)
