r"""The shortest path from the law of the data to white noise: a noise schedule for each frequency, with no free number.

Of Gaussians N(0, S) with the Fisher metric $ds^2 = \frac12 \mathrm{tr}[(S^{-1} dS)^2]$ the geodesic from $S_0$ to $S_1$ and its
length are

$$ S(s) = S_0^{1/2} (S_0^{-1/2} S_1 S_0^{-1/2})^s S_0^{1/2}, \qquad
   d = \sqrt{\tfrac12 \textstyle\sum_i \log^2 \lambda_i(S_0^{-1} S_1)} . $$

To white noise it is $S_0^{\tau}$, $\tau = 1 - s$. Where $S_0$ has eigenvalues D (of images in the Fourier basis: their power
spectrum), $u_\tau = \sqrt{\bar a}\,u_0 + \sqrt{1 - \bar a}\,\varepsilon$ goes along it when

$$ \bar a\,D + 1 - \bar a = D^\tau, \qquad \bar a = \frac{1 - D^\tau}{1 - D} . $$

Beside it the schedules of others: cosine and linear, one for all frequencies, whose covariances go along the straight line from
$S_0$ to I, and blurring with noise. The way back is in ``shortest_sampling``, spectra and bases are in ``spectra``.

Source: Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu, Bernacchia, *Image generation with shortest path diffusion*, ICML
2023; the deviations from it (gamma, warp, blend) are ours. Blurring: Hoogeboom, Salimans, *Blurring diffusion models*, ICLR
2023.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.diffusion.spectra import checked
from lab.numerics.arguments import real, whole
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import phi, symmetric
from lab.paths.schedules import known

_WHITE = 1.0  # |log D| below which a frequency is nearly white
_MOST = 0.999  # of a step's beta, as in the released code
_OFFSET = 0.008  # of the cosine schedule
_LEAST = 0.001  # of what a blur leaves of a frequency
_WIDEST = 20 / 32  # deviation of the widest blur, in sides of an image
_TINY = 1e-12  # of the largest eigenvalue: below it, none

type Grid = Literal["official", "exact"] | str


# ------------------------------------------------------------------------------------------- geodesics of Gaussians


def geodesic(first: ArrayLike | Sequence, last: ArrayLike | Sequence, s: ArrayLike) -> Float[Array, "d d"]:
    """The geodesic between two Gaussians of mean 0, $S(s) = S_0^{1/2} (S_0^{-1/2} S_1 S_0^{-1/2})^s S_0^{1/2}$, at one s.

    Eigenvalues below 1e-12 of the largest are raised to that.

    Args:
        first: S_0 (d, d), symmetric positive definite.
        last: S_1 (d, d), likewise.
        s: 0 at the first, 1 at the last.

    Returns:
        the covariance there, (d, d).

    Raises:
        ValueError: a matrix that is not symmetric, or has a negative eigenvalue.

    Source:
        Skovgaard, A Riemannian geometry of the multivariate normal model, Scandinavian Journal of Statistics 1984.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion import shortest
        >>> shortest.geodesic(jnp.eye(1), 4 * jnp.eye(1), 0.5).round(6).tolist()  # the geometric mean
        [[2.0]]
    """
    return _geodesic(*_checked(first, last), real("s", s, ()))


@jit
def _geodesic(first: Array, last: Array, s: Any) -> Array:
    root, inner = _between(first, last)
    found = root @ symmetric(inner, _TINY).function(jnp.power, s) @ root
    return (found + found.T) / 2


def distance(first: ArrayLike | Sequence, last: ArrayLike | Sequence) -> Float[Array, ""]:
    r"""The length of the geodesic between two Gaussians of mean 0, $d = \sqrt{\frac12 \sum_i \log^2 \lambda_i(S_0^{-1} S_1)}$.

    Of singular matrices it is that of the raised ones, which says little.

    Args:
        first: (d, d), symmetric positive definite.
        last: (d, d), likewise.

    Returns:
        the distance, without unit.

    Raises:
        ValueError: a matrix that is not symmetric, or has a negative eigenvalue (by the check that it calls).

    Source:
        Skovgaard, A Riemannian geometry of the multivariate normal model, Scandinavian Journal of Statistics 1984.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion import shortest
        >>> round(float(shortest.distance(jnp.eye(2), jnp.exp(2.0) * jnp.eye(2))), 6)  # the root of (4 + 4) / 2
        2.0
    """
    return _distance(*_checked(first, last))


@jit
def _distance(first: Array, last: Array) -> Array:
    values = _raised(jnp.linalg.eigvalsh(_between(first, last)[1]))
    squared = (jnp.log(values) ** 2).sum() / 2
    apart = squared > 0  # the derivative of a length is taken as 0 at 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)


def path_length(path: ArrayLike | Sequence) -> Float[Array, ""]:
    r"""The length of a path of covariances, $\sum_k d(S_k, S_{k+1})$: the distances from each to the next.

    Args:
        path: (times, d, d), each symmetric positive definite.

    Returns:
        the length, at least the ``distance`` of its ends.

    Raises:
        ValueError: a matrix that is not symmetric, or has a negative eigenvalue.

    Source:
        Das et al., Image generation with shortest path diffusion, ICML 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion import shortest
        >>> path = jnp.exp(jnp.asarray([0.0, 1.0, 2.0]))[:, None, None] * jnp.eye(2)
        >>> round(float(shortest.path_length(path)), 6)  # 1 + 1
        2.0
    """
    path = real("path", path, ("times", "d", "d"))
    if path.shape[0] < 2:
        raise ValueError(f"path has shape {path.shape}: at least two covariances are needed")
    for at, each in enumerate(path) if known(path) else ():
        _covariance(f"path[{at}]", each)
    return _path_length(path)


@jit
def _path_length(path: Array) -> Array:
    return jax.vmap(_distance)(path[:-1], path[1:]).sum()


def filters(covariance: ArrayLike | Sequence, tau: ArrayLike) -> tuple[Float[Array, "d d"], Float[Array, "d d"]]:
    r"""$\Phi = [(I - S_0)^{-1} (I - S_0^\tau)]^{1/2}$ and $\Psi = (I - \Phi^2)^{1/2}$, of signal and of noise.

    Raises:
        ValueError: a matrix that is not symmetric, or has a negative eigenvalue; a tau outside [0, 1].
    """
    return _filters(_covariance("covariance", covariance), real("tau", tau, (), low=0, high=1))


@jit
def _filters(covariance: Array, tau: Any) -> tuple[Array, Array]:
    made = symmetric(covariance, _TINY)
    return made.function(_filter_of_signal, tau), made.function(_filter_of_noise, tau)


def _filter_of_signal(values: Array, tau: Array) -> Array:
    return jnp.sqrt(signal(jnp.log(values), tau))


def _filter_of_noise(values: Array, tau: Array) -> Array:
    return jnp.sqrt(noise(jnp.log(values), tau))


def _covariance(name: str, value: Any) -> Array:
    covariance = real(name, value, ("d", "d"))
    if covariance.shape[0] != covariance.shape[1] or 0 in covariance.shape:
        raise ValueError(f"{name} has shape {covariance.shape}, but a symmetric matrix is needed")
    if known(covariance):
        given = np.asarray(covariance)
        if not np.allclose(given, given.T, rtol=1e-6, atol=1e-12 * np.abs(given).max()):
            raise ValueError(f"{name}, of shape {given.shape}, is not a symmetric matrix")
        values = np.linalg.eigvalsh(given)
        if not values[0] > -_TINY * max(values[-1], 0.0):
            raise ValueError(f"{name} has the eigenvalue {values[0]:.6g}, but it must be positive definite")
    return covariance


def _checked(first: Any, last: Any) -> tuple[Array, Array]:
    first, last = _covariance("first", first), _covariance("last", last)
    if first.shape != last.shape:
        raise ValueError(f"the covariances have shapes {first.shape} and {last.shape}, but they must be of one size")
    return first, last


def _raised(values: Array) -> Array:
    return jnp.maximum(values, _TINY * values.max())


def _between(first: Array, last: Array) -> tuple[Array, Array]:
    made = symmetric(first, _TINY)
    inverse = made.function(jax.lax.rsqrt)
    inner = inverse @ last @ inverse
    return made.function(jnp.sqrt), (inner + inner.T) / 2


def length(spectra: Float[Array, "times *k"]) -> Float[Array, ""]:
    r"""The Fisher length of a path of spectra, $\sum_j \sqrt{\frac12 \sum_k \log^2(D_{j+1} / D_j)}$: of geodesic pieces."""
    logs = jnp.log(spectra.reshape(spectra.shape[0], -1))
    return jnp.sqrt((jnp.diff(logs, axis=0) ** 2).sum(axis=1) / 2).sum()


def divergence(first: Float[Array, "*times k"], last: Float[Array, "*times k"]) -> Float[Array, "*times"]:
    r"""$KL(N(0, D_1) \| N(0, D_2))$, over the last axis."""
    ratio = first / last
    return (ratio - 1 - jnp.log(ratio)).sum(axis=-1) / 2


# ------------------------------------------------------------------------------------------------------- corruption


def signal(log_power: ArrayLike | Sequence, tau: ArrayLike | Sequence) -> Array:
    r"""$\bar a = (1 - D^\tau) / (1 - D)$ from $\log D$; tau where the frequency is white."""
    l, tau = jnp.asarray(log_power, float), jnp.asarray(tau, float)
    white, l, small = _white(l)
    # by the one of D and 1/D that is below 1: neither overflows
    low = jnp.expm1(tau * -jnp.abs(l)) / jnp.expm1(-jnp.abs(l))
    return jnp.where(white, _near(small, tau), jnp.where(l > 0, jnp.exp((tau - 1) * l) * low, low))


def noise(log_power: ArrayLike | Sequence, tau: ArrayLike | Sequence) -> Array:
    r"""$1 - \bar a = (D^\tau - D) / (1 - D)$, not as a difference, which would lose it near the data."""
    l, tau = jnp.asarray(log_power, float), jnp.asarray(tau, float)
    white, l, small = _white(l)
    low = jnp.expm1((1 - tau) * -jnp.abs(l)) / jnp.expm1(-jnp.abs(l))
    near = jnp.exp(tau * small) * _near(small, 1 - tau)
    return jnp.where(white, near, jnp.where(l > 0, low, jnp.exp(tau * l) * low))


def _white(l: Array) -> tuple[Array, Array, Array]:
    """Which frequencies are nearly white, log D with 1 there, and log D there with 0 elsewhere."""
    white = jnp.abs(l) < _WHITE
    return white, jnp.where(white, 1.0, l), jnp.where(white, l, 0.0)


def _near(l: Array, tau: Array) -> Array:
    """The signal of nearly white frequencies: its derivatives do not cancel, as those of the quotient do."""
    return tau * phi(tau * l) / phi(l)


@chosen
def times(steps: int, grid: Grid = "official") -> Float[Array, " steps"]:
    """(T,) falling tau of the steps 1 to T: "official" ends at 1/T, as the released code does, "exact" at 0.

    Raises:
        ValueError: fewer than two steps.
    """
    return placed(host_times(steps, grid))


@chosen
def host_times(steps: int, grid: Grid = "official") -> np.ndarray:
    """``times``, on the host."""
    steps = whole("steps", steps, 2)
    if grid == "exact":
        return 1 - np.arange(1, steps + 1) / steps
    return (steps - np.linspace(1, steps - 1, steps)) / steps


class Corruption(NamedTuple):
    """What is left of the data after each of T steps, by frequency; one column where all frequencies have the same.

    The two add to 1, but where images are blurred as well.
    """

    signal: Float[Array, "steps k"]  # abar
    noise: Float[Array, "steps k"]  # 1 - abar

    @property
    def alpha(self) -> Float[Array, "steps k"]:
        """Of each step, the signal over that before; 0 where nothing is left."""
        before = jnp.concatenate([jnp.ones_like(self.signal[:1]), self.signal[:-1]])
        return jnp.where(before > 0, self.signal / jnp.where(before > 0, before, 1.0), 0.0)

    @property
    def beta(self) -> Float[Array, "steps k"]:
        r"""The variance that each step adds, $b_t - \alpha_t b_{t-1}$, b the noise; $1 - \alpha_t$ where both add to 1."""
        before = jnp.concatenate([jnp.zeros_like(self.noise[:1]), self.noise[:-1]])
        return self.noise - self.alpha * before

    def spectra(self, power: Float[Array, " k"]) -> Float[Array, "times k"]:
        """Of the data, after each step, and white at last."""
        there = self.signal * power[None, :] + self.noise
        return jnp.concatenate([power[None, :], there, jnp.ones_like(power)[None, :]])


def shortest(
    power: ArrayLike | Sequence, tau: ArrayLike | Sequence, gamma: ArrayLike = 1.0, warp: ArrayLike = 1.0
) -> Corruption:
    r"""The corruption along the geodesic, and two deviations from it.

    Args:
        power: (k,) D.
        tau: as ``times`` gives it.
        gamma: the schedule is that of $D^\gamma$; at 0 all frequencies go together.
        warp: p of $\tau^p$: the same path at another speed.

    Raises:
        ValueError: a power that is not positive, tau outside [0, 1], a gamma that is not finite, a warp that is not positive.
    """
    power, tau = real("power", power, ("k",), finite=False), real("tau", tau, ("steps",), low=0, high=1)
    checked(power)
    gamma, warp = real("gamma", gamma, ()), real("warp", warp, (), low=0, strict=True)
    return _shortest(power, tau, gamma, warp)


@jit
def _shortest(power: Array, tau: Array, gamma: Any, warp: Any) -> Corruption:
    l = (gamma * jnp.log(power))[None, :]
    tau = (tau**warp)[:, None]
    return Corruption(signal(l, tau), noise(l, tau))


def cosine(steps: int) -> Corruption:
    """The same for all frequencies: the cosine schedule of T steps, whose betas are at most 0.999."""
    return Corruption(*map(placed, host_schedule("cosine", steps)))


def linear(steps: int) -> Corruption:
    """The same for all frequencies: betas from 1e-4 to 2e-2, times 1000 / T, at most 0.999."""
    return Corruption(*map(placed, host_schedule("linear", steps)))


@chosen
def host_schedule(name: Literal["cosine", "linear"], steps: int) -> tuple[Any, Any]:
    """Signal and noise (T, 1) of a schedule that all frequencies have, on the host."""
    steps = whole("steps", steps, 1)
    t = np.arange(steps + 1) / steps
    level = np.cos((t + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
    betas = 1 - level[1:] / level[:-1] if name == "cosine" else np.linspace(1e-4, 2e-2, steps) * 1000 / steps
    logs = np.cumsum(np.log1p(-np.minimum(betas, _MOST)))[:, None]
    return np.exp(logs), -np.expm1(logs)


def blended(one: Corruption, other: Corruption, share: ArrayLike) -> Corruption:
    """(1 - share) of the one and share of the other.

    Raises:
        ValueError: a share outside [0, 1].
    """
    share = real("share", share, low=0, high=1)
    return Corruption((1 - share) * one.signal + share * other.signal, (1 - share) * one.noise + share * other.noise)


def cosine_at(t: ArrayLike | Sequence) -> Corruption:
    """The cosine schedule at times between 0, the data, and 1.

    Raises:
        ValueError: a time outside [0, 1].
    """
    angle, first = ((at + _OFFSET) / (1 + _OFFSET) * np.pi / 2 for at in (_times_of(t), 0.0))
    kept = (jnp.cos(angle) / np.cos(first)) ** 2
    return Corruption(kept[:, None], (jnp.sin(angle + first) * jnp.sin(angle - first) / np.cos(first) ** 2)[:, None])


def linear_at(t: ArrayLike | Sequence) -> Corruption:
    """The linear schedule at times between 0 and 1, as T goes to infinity.

    Raises:
        ValueError: a time outside [0, 1].
    """
    t = _times_of(t)
    spent = 1000 * (1e-4 * t + (2e-2 - 1e-4) * t**2 / 2)
    return Corruption(jnp.exp(-spent)[:, None], -jnp.expm1(-spent)[:, None])


def _times_of(t: Any) -> Array:
    return real("t", t, ("times",), low=0, high=1, dtype=float)


def blurring_at(t: ArrayLike | Sequence, radius: ArrayLike | Sequence) -> Corruption:
    r"""Heat that blurs, with the noise of the cosine schedule: $\bar a\, d_k^2$ of the signal, $1 - \bar a$ of noise.

    $d_k = (1 - 10^{-3}) e^{-(2 \pi |f| \sigma)^2 / 2} + 10^{-3}$ with $\sigma = 0.625 \sin^2(\pi t / 2)$ sides of an image, 20
    pixels of 32.

    Args:
        radius: (k,) |f|, as ``spectra.radii`` gives it.

    Raises:
        ValueError: a time outside [0, 1], or a negative radius.
    """
    return blurred(cosine_at(t), _times_of(t), real("radius", radius, ("k",), low=0))


def blurred(plain: Corruption, t: Float[Array, " times"], radius: Float[Array, " k"]) -> Corruption:
    """A schedule for all frequencies at these times, with the blur of ``blurring_at`` besides."""
    width = _WIDEST * jnp.sin(np.pi / 2 * t) ** 2
    heat = (2 * np.pi * radius[None, :] * width[:, None]) ** 2 / 2
    left = (1 - _LEAST) * jnp.exp(-heat) + _LEAST
    return Corruption(plain.signal * left**2, jnp.broadcast_to(plain.noise, left.shape))


def blurring(steps: int, radius: ArrayLike | Sequence) -> Corruption:
    """``blurring_at`` the times 1/T to 1, with the noise of ``cosine``."""
    return blurred(cosine(steps), jnp.arange(1, steps + 1) / steps, real("radius", radius, ("k",), low=0))


def thinned(corruption: Corruption, steps: int) -> Corruption:
    """So many of its steps, the last among them: for sampling in fewer steps than there are.

    Raises:
        ValueError: fewer than two, or more than there are.
    """
    count = corruption.signal.shape[0]
    steps = whole("steps", steps, 2, count)
    at = np.round(np.linspace(0, count, steps + 1)).astype(int)[1:] - 1
    return Corruption(corruption.signal[at], corruption.noise[at])


def velocity(
    power: Float[Array, " k"], tau: Float[Array, ""], u: Float[Array, "n k"], data: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    r"""$du / d\tau = \frac{d\sqrt{\bar a}}{d\tau}\, \hat u_0 + \frac{d\sqrt{1 - \bar a}}{d\tau}\, \hat\varepsilon$.

    The flow in continuous time, from white noise at tau = 0 towards the data at 1, where it is not defined: end just before. Of
    the Gaussian itself it is
    $\frac12 \log D\, u$.

    Args:
        u: the points at tau, in (0, 1).
        data: what a denoiser says of them, $E[u_0 \mid u]$.
    """
    l = jnp.log(power)
    (a, b), (da, db) = jax.jvp(
        lambda tau: (jnp.sqrt(signal(l, tau)), jnp.sqrt(noise(l, tau))), (tau,), (jnp.ones_like(tau),)
    )
    return da[None] * data + db[None] * (u - a[None] * data) / b[None]
