r"""The shortest path from the law of the data to white noise: a noise schedule for each frequency, with no free number.

Of Gaussians N(0, S) with the Fisher metric $ds^2 = \frac12 \mathrm{tr}[(S^{-1} dS)^2]$ the geodesic from $S_0$ to $S_1$ and its
length are

$$ S(s) = S_0^{1/2} (S_0^{-1/2} S_1 S_0^{-1/2})^s S_0^{1/2}, \qquad
   d = \sqrt{\tfrac12 \textstyle\sum_i \log^2 \lambda_i(S_0^{-1} S_1)} . $$

To white noise it is $S_0^{\tau}$, $\tau = 1 - s$. Where $S_0$ has eigenvalues D (of images in the Fourier basis: their power
spectrum), $u_\tau = \sqrt{\bar a}\,u_0 + \sqrt{1 - \bar a}\,\varepsilon$ goes along it when

$$ \bar a\,D + 1 - \bar a = D^\tau, \qquad \bar a = \frac{1 - D^\tau}{1 - D} . $$

Of Gaussian data all is known: the best denoiser is $\hat u_0 = g u$ with $g = \sqrt{\bar a} D / D^\tau$, the reverse chain is
linear, and ``outcome`` is the law that a sampler ends in.

Source: Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu, Bernacchia, *Image generation with shortest path diffusion*, ICML
2023; the deviations from it (gamma, warp, blend) are ours.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics.jit import jit
from lab.paths.schedules import known

_WHITE = 1e-12  # |log D| below which a frequency is white
_MOST = 0.999  # of a step's beta, as in the released code

type Grid = Literal["official", "exact"] | str
type Variance = Literal["large", "small", "none"] | str


# ------------------------------------------------------------------------------------------------------- spectra


def power_law(
    shape: tuple[int, int], c1: ArrayLike = 1.59, c2: ArrayLike = 0.0086, m: ArrayLike = 2.0
) -> Float[Array, "h w"]:
    r"""$D(f) = c_1 / (c_2 + |f|)^m$ at the whole frequencies of an image; the defaults are the fit of the paper to CIFAR-10.

    >>> [round(float(power_law((32, 32))[at]), 7) for at in ((16, 16), (0, 0))]
    [0.0031031, 21498.1070849]
    """
    rows, columns = (np.fft.fftfreq(size, 1 / size) for size in shape)
    return jnp.asarray(c1) / (jnp.asarray(c2) + np.hypot(rows[:, None], columns[None, :])) ** m


def spectrum(images: Float[Array, "n h w"], *, center: bool = False) -> Float[Array, "h w"]:
    r"""$D_k = \mathrm{mean}_i |F x_i|_k^2$, F the unitary Fourier transform, the same at f and -f.

    Args:
        center: without the mean image.

    Raises:
        ValueError: no image, or a frequency that none has: what has no power can't be part of a Gaussian model.
    """
    if images.ndim != 3 or images.shape[0] < 1:
        raise ValueError(f"the images have shape {images.shape}, but (number, height, width) is needed")
    images = images - images.mean(axis=0)[None] if center else images
    power = (jnp.abs(jnp.fft.fft2(images, norm="ortho")) ** 2).mean(axis=0)
    found = (power + mirrored(power)) / 2
    checked(found)
    return found


def mirrored(power: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """At -f for each f."""
    return jnp.roll(power[::-1, ::-1], (1, 1), (0, 1))


def checked(power: Array, symmetric: bool = False) -> None:
    """Refuse a spectrum that no Gaussian has; traced ones are not looked at.

    Raises:
        ValueError: names the first frequency that is not positive and finite, or differs from the one at -f.
    """
    if not known(power):
        return
    given = np.asarray(power)
    bad = ~(np.isfinite(given) & (given > 0))
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"the power at frequency {place} is {given[tuple(place)]:g}, but a positive number is needed"
            + (": add a little of white noise to the data" if given[tuple(place)] == 0 else "")
        )
    if symmetric and not np.allclose(given, np.asarray(mirrored(power)), rtol=1e-6):
        raise ValueError("the spectrum differs between f and -f, which no real image's does: take the mean of both")


# ------------------------------------------------------------------------------------------- geodesics of Gaussians


def geodesic(first: Float[Array, "d d"], last: Float[Array, "e e"], s: float | Float[Array, ""]) -> Float[Array, "d d"]:
    """S(s) at one s, of two symmetric positive definite matrices.

    Raises:
        ValueError: a matrix that is not symmetric or not positive definite.
    """
    root, inner = _between(first, last)
    values, vectors = jnp.linalg.eigh(inner)
    power = (vectors * (values**s)[None, :]) @ vectors.T
    found = root @ power @ root
    return (found + found.T) / 2


def distance(first: Float[Array, "d d"], last: Float[Array, "e e"]) -> Float[Array, ""]:
    """The length of the geodesic."""
    values = jnp.linalg.eigvalsh(_between(first, last)[1])
    return jnp.sqrt((jnp.log(values) ** 2).sum() / 2)


def _between(first: Array, last: Array) -> tuple[Array, Array]:
    for name, each in (("first", first), ("last", last)):
        if known(each):
            given = np.asarray(each)
            square = given.ndim == 2 and given.shape[0] == given.shape[1]
            if not square or not np.allclose(given, given.T, rtol=1e-6, atol=1e-12 * np.abs(given).max()):
                raise ValueError(f"the {name} covariance, of shape {given.shape}, is not a symmetric matrix")
            least = float(np.linalg.eigvalsh(given)[0])
            if least <= 0:
                raise ValueError(
                    f"the {name} covariance has the eigenvalue {least:.6g}, but it must be positive definite"
                )
    if first.shape != last.shape:
        raise ValueError(f"the covariances have shapes {first.shape} and {last.shape}, but they must be of one size")
    values, vectors = jnp.linalg.eigh(first)
    root = (vectors * jnp.sqrt(values)[None, :]) @ vectors.T
    inverse = (vectors / jnp.sqrt(values)[None, :]) @ vectors.T
    inner = inverse @ last @ inverse
    return root, (inner + inner.T) / 2


def length(spectra: Float[Array, "times *k"]) -> Float[Array, ""]:
    r"""The Fisher length of a path of spectra, $\sum_j \sqrt{\frac12 \sum_k \log^2(D_{j+1} / D_j)}$: of geodesic pieces."""
    logs = jnp.log(spectra.reshape(spectra.shape[0], -1))
    return jnp.sqrt((jnp.diff(logs, axis=0) ** 2).sum(axis=1) / 2).sum()


def divergence(first: Float[Array, "*times k"], last: Float[Array, "*times k"]) -> Float[Array, "*times"]:
    r"""$KL(N(0, D_1) \| N(0, D_2))$, over the last axis."""
    ratio = first / last
    return (ratio - 1 - jnp.log(ratio)).sum(axis=-1) / 2


# ------------------------------------------------------------------------------------------------------- corruption


def signal(log_power: ArrayLike, tau: ArrayLike) -> Array:
    r"""$\bar a = (1 - D^\tau) / (1 - D)$ from $\log D$; tau where the frequency is white."""
    l, tau = jnp.asarray(log_power, float), jnp.asarray(tau, float)
    white = jnp.abs(l) < _WHITE
    l = jnp.where(white, 1.0, l)
    # by the one of D and 1/D that is below 1: neither overflows
    low = jnp.expm1(tau * -jnp.abs(l)) / jnp.expm1(-jnp.abs(l))
    return jnp.where(white, tau, jnp.where(l > 0, jnp.exp((tau - 1) * l) * low, low))


def noise(log_power: ArrayLike, tau: ArrayLike) -> Array:
    r"""$1 - \bar a = (D^\tau - D) / (1 - D)$, not as a difference, which would lose it near the data."""
    l, tau = jnp.asarray(log_power, float), jnp.asarray(tau, float)
    white = jnp.abs(l) < _WHITE
    l = jnp.where(white, 1.0, l)
    low = jnp.expm1((1 - tau) * -jnp.abs(l)) / jnp.expm1(-jnp.abs(l))
    return jnp.where(white, 1 - tau, jnp.where(l > 0, low, jnp.exp(tau * l) * low))


@chosen
def times(steps: int, grid: Grid = "official") -> Float[Array, " steps"]:
    """(T,) falling tau of the steps 1 to T: "official" ends at 1/T, as the released code does, "exact" at 0.

    Raises:
        ValueError: fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"steps = {steps}, but at least two are needed")
    if grid == "exact":
        return jnp.asarray(1 - np.arange(1, steps + 1) / steps)
    return jnp.asarray((steps - np.linspace(1, steps - 1, steps)) / steps)


class Corruption(NamedTuple):
    """What is left of the data after each of T steps, by frequency; one column where all frequencies have the same."""

    signal: Float[Array, "steps k"]  # abar
    noise: Float[Array, "steps k"]  # 1 - abar

    @property
    def alpha(self) -> Float[Array, "steps k"]:
        """Of each step, abar over that before, at least 0.001."""
        before = jnp.concatenate([jnp.ones_like(self.signal[:1]), self.signal[:-1]])
        return jnp.maximum(self.signal / before, 1 - _MOST)

    def spectra(self, power: Float[Array, " k"]) -> Float[Array, "times k"]:
        """Of the data, after each step, and white at last."""
        there = self.signal * power[None, :] + self.noise
        return jnp.concatenate([power[None, :], there, jnp.ones_like(power)[None, :]])


def shortest(
    power: Float[Array, " k"], tau: Float[Array, " steps"], gamma: ArrayLike = 1.0, warp: ArrayLike = 1.0
) -> Corruption:
    r"""The corruption along the geodesic, and two deviations from it.

    Args:
        power: (k,) D.
        tau: as ``times`` gives it.
        gamma: the schedule is that of $D^\gamma$; at 0 all frequencies go together.
        warp: p of $\tau^p$: the same path at another speed.

    Raises:
        ValueError: a power that is not positive, tau outside [0, 1].
    """
    checked(power)
    if known(tau) and not ((np.asarray(tau) >= 0) & (np.asarray(tau) <= 1)).all():
        raise ValueError("tau must lie in [0, 1], from white noise to the data")
    return _shortest(power, tau, gamma, warp)


@jit
def _shortest(power: Array, tau: Array, gamma: Any, warp: Any) -> Corruption:
    l = (gamma * jnp.log(power))[None, :]
    tau = (tau**warp)[:, None]
    return Corruption(signal(l, tau), noise(l, tau))


def cosine(steps: int) -> Corruption:
    """The same for all frequencies: the cosine schedule of T steps, whose betas are at most 0.999."""
    t = np.arange(steps + 1) / steps
    level = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return _isotropic(1 - level[1:] / level[:-1])


def linear(steps: int) -> Corruption:
    """The same for all frequencies: betas from 1e-4 to 2e-2, times 1000 / T, at most 0.999."""
    return _isotropic(np.linspace(1e-4, 2e-2, steps) * 1000 / steps)


def _isotropic(betas: np.ndarray) -> Corruption:
    if not betas.size:
        raise ValueError("steps = 0, but at least one is needed")
    logs = np.cumsum(np.log1p(-np.minimum(betas, _MOST)))
    return Corruption(jnp.asarray(np.exp(logs))[:, None], jnp.asarray(-np.expm1(logs))[:, None])


def blended(one: Corruption, other: Corruption, share: ArrayLike) -> Corruption:
    """(1 - share) of the one and share of the other."""
    share = jnp.asarray(share)
    return Corruption((1 - share) * one.signal + share * other.signal, (1 - share) * one.noise + share * other.noise)


# ---------------------------------------------------------------------------------------------------- the way back


class Outcome(NamedTuple):
    """The law that the reverse chain of the best denoiser ends in, N(0, v), and how far it is from N(0, D)."""

    variance: Float[Array, " k"]
    kl: Float[Array, ""]
    w2_squared: Float[Array, ""]


@chosen
def outcome(power: Float[Array, "*k"], corruption: Corruption, variance: Variance = "large") -> Outcome:
    r"""Exactly, from white noise: $v_{t-1} = k_t^2 v_t + \mathrm{variance}_t$.

    Args:
        variance: "large" $\beta_t$, "small" $\beta_t (1 - \bar a_{t-1}) / (1 - \bar a_t)$, or "none": DDIM.

    Raises:
        ValueError: a power that is not positive, or not a row.
    """
    checked(power)
    if power.ndim != 1:
        raise ValueError(f"the power has shape {power.shape}, but a row (k,) is needed: ravel it")
    return _outcome(power, corruption, variance)


@jit
def _outcome(power: Array, corruption: Corruption, variance: str) -> Outcome:
    def back(v, step):
        factor, added = _back(power, step, variance)
        return factor**2 * v + added, None

    v, _ = jax.lax.scan(back, jnp.ones_like(power), _steps(corruption), reverse=True)
    apart = (jnp.sqrt(v) - jnp.sqrt(power)) ** 2
    return Outcome(v, divergence(v, power), apart.sum())


class _Step(NamedTuple):
    signal: Array
    noise: Array
    before: Array  # signal one step nearer to the data
    noise_before: Array
    alpha: Array


def _steps(corruption: Corruption) -> _Step:
    ones = jnp.ones_like(corruption.signal[:1])
    before = jnp.concatenate([ones, corruption.signal[:-1]])
    noise_before = jnp.concatenate([0 * ones, corruption.noise[:-1]])
    return _Step(*corruption, before, noise_before, corruption.alpha)


def _back(power: Array, step: _Step, variance: str) -> tuple[Array, Array]:
    """What the point is multiplied by, and the variance that is added, under the best denoiser; none is added at the end."""
    gain = jnp.sqrt(step.signal) * power / (step.signal * power + step.noise)
    predicted = (1 - jnp.sqrt(step.signal) * gain) / jnp.sqrt(step.noise)  # noise, per unit of the point
    return _multiplied(step, 1.0, gain, predicted, variance), _added(step, variance)


def _multiplied(step: _Step, u: Any, data: Any, predicted: Any, variance: str) -> Any:
    if variance == "none":
        return jnp.sqrt(step.before) * data + jnp.sqrt(step.noise_before) * predicted
    return (u - (1 - step.alpha) / jnp.sqrt(step.noise) * predicted) / jnp.sqrt(step.alpha)


def _added(step: _Step, variance: str) -> Array:
    beta = 1 - step.alpha
    added = {"large": beta, "small": beta * step.noise_before / step.noise, "none": 0 * beta}[variance]
    return jnp.where(step.noise_before > 0, added, 0.0)


@jit
def corrupt(
    x: Float[Array, "n h w"], signal: Float[Array, "h w"], noise: Float[Array, "h w"], key: PRNGKeyArray
) -> Float[Array, "n h w"]:
    """Images after corruption, whose Fourier coefficients keep ``signal`` of their power and get ``noise``."""
    fresh = jax.random.normal(key, x.shape, x.dtype)
    both = jnp.sqrt(signal)[None] * jnp.fft.fft2(x, norm="ortho") + jnp.sqrt(noise)[None] * jnp.fft.fft2(
        fresh, norm="ortho"
    )
    return jnp.fft.ifft2(both, norm="ortho").real


@jit
def denoised(
    data: Float[Array, "N k"], u: Float[Array, "n k"], signal: Float[Array, " k"], noise: Float[Array, " k"]
) -> Float[Array, "n k"]:
    r"""$E[u_0 \mid u]$ under the data themselves, in a real orthonormal basis; noise must be positive."""
    scale = jnp.sqrt(signal) / noise
    kept = jnp.sqrt(signal / noise)[None, :] * data
    logits = (u * scale[None, :]) @ data.T - (kept**2).sum(axis=1)[None, :] / 2
    return jax.nn.softmax(logits, axis=1) @ data


@chosen
def sample(
    data: Float[Array, "N k"],
    corruption: Corruption,
    key: PRNGKeyArray,
    n: int,
    variance: Variance = "large",
) -> Float[Array, "times n k"]:
    """The way back from white noise under the best denoiser of the data: coefficients at all times, the last ones first.

    Args:
        data: (N, k) coefficients in a real orthonormal basis.
    """
    return _sample(data, corruption, key, n, variance)


@jit
def _sample(data: Array, corruption: Corruption, key: PRNGKeyArray, n: int, variance: str) -> Array:
    first, second = jax.random.split(key)
    u = jax.random.normal(first, (n, data.shape[1]), data.dtype)
    steps = _steps(corruption)
    count = corruption.signal.shape[0]

    def back(u, each):
        step, number = each
        rows = jnp.broadcast_to(step.signal, data.shape[1:]), jnp.broadcast_to(step.noise, data.shape[1:])
        guess = denoised(data, u, *rows)
        predicted = (u - jnp.sqrt(step.signal)[None, :] * guess) / jnp.sqrt(step.noise)[None, :]
        wide = jax.tree.map(lambda row: row[None, :], step)
        fresh = jax.random.normal(jax.random.fold_in(second, number), u.shape, u.dtype)
        u = _multiplied(wide, u, guess, predicted, variance) + jnp.sqrt(_added(wide, variance)) * fresh
        return u, u

    _, path = jax.lax.scan(back, u, (steps, jnp.arange(count)), reverse=True)
    return jnp.concatenate([path, u[None]])
