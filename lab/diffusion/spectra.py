r"""Power spectra of images: the variance D of each coefficient in a basis, measured, by a law, and fitted.

Coefficients are rows of real numbers in an orthonormal basis:

- "fft": the real form of the Fourier basis, $\cos + \sin$ (Hartley), whose power at f and -f together is that of the Fourier
  transform; whatever a filter that is even in f does to Fourier coefficients it does to these;
- "dct": cosines, without the jump from one border to the other;
- an orthogonal matrix V, one column for each coefficient: principal axes, say.

Source: Das et al., *Image generation with shortest path diffusion*, ICML 2023 (the law of powers).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import check_choice, chosen
from lab.numerics.arguments import real
from lab.numerics.differentiation import at_root
from lab.numerics.jit import jit
from lab.paths.schedules import known

type Name = Literal["fft", "dct"]
type Basis = Name | str | Float[Array, "k e"]

_KNEES = (1e-4, 1e2)  # between which c2 is looked for
_GRID, _GOLDEN = 241, 60


# ------------------------------------------------------------------------------------------------------------ bases


@chosen
def coefficients(images: Float[Array, "n h w"], basis: Basis = "fft") -> Float[Array, "n k"]:
    """Rows of real coefficients, k = h w; norms are kept.

    Raises:
        ValueError: no images, an unknown basis, or one that is not orthonormal or of another size.
    """
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(f"the images have shape {images.shape}, but (number, height, width) is needed")
    _check(basis, images.shape[1:])
    return _coefficients(images, basis)


@chosen
def composed(rows: Float[Array, "n k"], shape: tuple[int, int], basis: Basis = "fft") -> Float[Array, "n h w"]:
    """The images that have these coefficients.

    Raises:
        ValueError: rows of another length than h w, an unknown basis, or one that is not orthonormal or of another size.
    """
    if rows.ndim != 2 or rows.shape[1] != shape[0] * shape[1]:
        raise ValueError(f"the coefficients have shape {rows.shape}, but (number, {shape[0] * shape[1]}) is needed")
    _check(basis, shape)
    return _composed(rows, shape, basis)


@jit
def _coefficients(images: Array, basis: Basis) -> Array:
    rows = images.reshape(images.shape[0], -1)
    if not isinstance(basis, str):
        return rows @ basis
    if basis == "dct":
        return jax.scipy.fft.dctn(images, axes=(1, 2), norm="ortho").reshape(rows.shape)
    whole = jnp.fft.fft2(images, norm="ortho")
    return (whole.real - whole.imag).reshape(rows.shape)


@jit
def _composed(rows: Array, shape: tuple[int, int], basis: Basis) -> Array:
    images = rows.reshape(-1, *shape)
    if not isinstance(basis, str):
        return (rows @ basis.T).reshape(images.shape)
    if basis == "dct":
        return jax.scipy.fft.idctn(images, axes=(1, 2), norm="ortho")
    return _coefficients(images, basis).reshape(images.shape)  # Hartley's transform is its own inverse


def _check(basis: Basis, shape: tuple[int, ...]) -> None:
    if isinstance(basis, str):
        return check_choice("basis", basis, Name)
    size = int(np.prod(shape))
    if basis.shape != (size, size):
        raise ValueError(f"the basis has shape {basis.shape}, but images of {size} pixels need ({size}, {size})")
    if known(basis):
        given = np.asarray(basis)
        off = float(np.abs(given.T @ given - np.eye(size)).max())
        if not off < 1e-4:
            raise ValueError(f"the columns of the basis are not orthonormal, by {off:.2g}: take those of np.linalg.qr")


@chosen
def radii(shape: tuple[int, int], basis: Basis = "fft") -> ArrayLike:
    r"""(k,) |f| of each coefficient, in periods over a square image; over a side of $\sqrt{h w}$ where it is none.

    Of a matrix the root mean square over the Fourier power of each column.
    """
    side = np.sqrt(shape[0] * shape[1])
    if isinstance(basis, str) and basis == "dct":
        rows, columns = (side * np.arange(size) / (2 * size) for size in shape)
    else:
        rows, columns = (side * np.fft.fftfreq(size) for size in shape)
    found = np.hypot(rows[:, None], columns[None, :]).ravel()
    return found if isinstance(basis, str) else _radii_of(basis, shape, found)


@jit
def _radii_of(basis: Array, shape: tuple[int, int], radius: Array) -> Array:
    power = jnp.abs(jnp.fft.fft2(basis.T.reshape(-1, *shape), norm="ortho")) ** 2
    return jnp.sqrt(power.reshape(basis.shape[1], -1) @ radius**2)


def principal(rows: Float[Array, "n k"]) -> Float[Array, "k e"]:
    """Axes in which rows of numbers are uncorrelated about 0, the strongest first: a basis of one's own."""
    return jnp.linalg.eigh(rows.T @ rows / rows.shape[0])[1][:, ::-1]


# ---------------------------------------------------------------------------------------------------------- spectra


@chosen
def spectrum(images: Float[Array, "n h w"], *, basis: Basis = "fft", center: bool = False) -> Float[Array, "*k"]:
    r"""The power spectrum of images, $D_k = \mathrm{mean}_i |F x_i|_k^2$, F orthonormal.

    Args:
        images: (n, h, w).
        basis: "fft", "dct", or an orthogonal matrix with a column for each coefficient.
        center: without the mean image.

    Returns:
        of "fft" and "dct" (h, w), at f and -f the same; of a matrix (k,).

    Raises:
        ValueError: no image, or a coefficient that none has: what has no power can't be part of a Gaussian model.

    Source:
        Das et al., Image generation with shortest path diffusion, ICML 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion import spectra
        >>> spectra.spectrum(jnp.zeros((1, 2, 2)).at[0, 0, 0].set(2.0)).round(6).tolist()  # a point has all frequencies
        [[1.0, 1.0], [1.0, 1.0]]
    """
    if images.ndim != 3 or images.shape[0] < 1:
        raise ValueError(f"the images have shape {images.shape}, but (number, height, width) is needed")
    if not isinstance(basis, str) or basis != "fft":
        _check(basis, images.shape[1:])
    found = _spectrum(images, basis, center)
    checked(found)
    return found


@jit
def _spectrum(images: Array, basis: Basis, center: bool) -> Array:
    images = images - images.mean(axis=0)[None] if center else images
    power = (_coefficients(images, basis) ** 2).mean(axis=0)
    if not isinstance(basis, str):
        return power
    power = power.reshape(images.shape[1:])
    return (power + mirrored(power)) / 2 if basis == "fft" else power


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
    if symmetric:
        even(power)


def even(power: Array) -> None:
    """Refuse what differs between f and -f; what is traced is not looked at."""
    if known(power) and not np.allclose(np.asarray(power), np.asarray(mirrored(power)), rtol=1e-6):
        raise ValueError("the spectrum differs between f and -f, which no real image's does: take the mean of both")


@chosen
def power_law(
    shape: tuple[int, int], c1: ArrayLike = 1.59, c2: ArrayLike = 0.0086, m: ArrayLike = 2.0, basis: Basis = "fft"
) -> Float[Array, "h w"]:
    r"""$D(f) = c_1 / (c_2 + |f|)^m$ at the frequencies of an image; the defaults are the fit of the paper to CIFAR-10.

    >>> [round(float(power_law((32, 32))[at]), 7) for at in ((16, 16), (0, 0))]
    [0.0031031, 21498.1070849]
    """
    return jnp.asarray(c1) / (jnp.asarray(c2) + jnp.asarray(radii(shape, basis)).reshape(shape)) ** m


class PowerLaw(NamedTuple):
    """A law of powers, and how far it is from what it was fitted to."""

    c1: Float[Array, ""]
    c2: Float[Array, ""]
    m: Float[Array, ""]
    error: Float[Array, ""]  # root mean square of log D


def fit(power: ArrayLike | Sequence, radius: ArrayLike | Sequence) -> PowerLaw:
    r"""The law of powers of least squares in $\log D$, every coefficient counting alike.

    For each c2 the rest is a line in $\log(c_2 + |f|)$; c2 is looked for between 1e-4 and 100, on a grid and then by golden
    section.

    Args:
        power: D, all positive.
        radius: |f|, as ``radii`` gives it.

    Raises:
        ValueError: a power that is not positive, a negative radius, fewer than three coefficients, or shapes that differ.
    """
    power = real("power", power, low=0, strict=True)
    radius = real("radius", radius, power.shape, low=0)
    if power.size < 3:
        raise ValueError(f"power has shape {power.shape}: three coefficients are needed for three numbers")
    return _fit(power, radius)


@jit
def _fit(power: Array, radius: Array) -> PowerLaw:
    r, y = radius.ravel(), jnp.log(power.ravel())

    def line(log_knee):
        x = jnp.log(jnp.exp(log_knee) + r)
        x, mean = x - x.mean(), x.mean()
        slope = (x @ y) / jnp.maximum(x @ x, 1e-300)
        return slope, y.mean() - slope * mean, jnp.sqrt(((y - y.mean() - slope * x) ** 2).mean())

    knees = jnp.linspace(jnp.log(_KNEES[0]), jnp.log(_KNEES[1]), _GRID)
    best = jnp.argmin(jax.lax.map(lambda knee: line(knee)[2], knees))
    share = (np.sqrt(5) - 1) / 2

    def narrower(_, ends):
        low, high = ends
        left, right = high - share * (high - low), low + share * (high - low)
        lower = line(left)[2] < line(right)[2]
        return jnp.where(lower, low, left), jnp.where(lower, right, high)

    ends = knees[jnp.maximum(best - 1, 0)], knees[jnp.minimum(best + 1, _GRID - 1)]
    low, high = jax.lax.fori_loop(0, _GOLDEN, narrower, ends)
    found = (low + high) / 2

    def apart(log_knee):  # 0 at the minimum
        return jax.grad(lambda at: line(at)[2] ** 2)(log_knee)

    inner = (best > 0) & (best < _GRID - 1)  # else the end of the range
    knee = jnp.where(inner, at_root(found, lambda at: jnp.where(inner, apart(at), at - found)), found)
    slope, level, error = line(knee)
    return PowerLaw(jnp.exp(level), jnp.exp(knee), -slope, error)


@chosen
def gaussian_images(
    power: Float[Array, "h w"], fresh: Float[Array, "n h w"], basis: Basis = "fft"
) -> Float[Array, "n h w"]:
    """Images of the Gaussian with this spectrum, out of standard normal numbers.

    Raises:
        ValueError: a power that is not positive, or in "fft" differs between f and -f.
    """
    checked(power, symmetric=isinstance(basis, str) and basis == "fft")
    return _gaussian_images(power, fresh, basis)


@jit
def _gaussian_images(power: Array, fresh: Array, basis: Basis) -> Array:
    rows = jnp.sqrt(power).reshape(1, -1) * fresh.reshape(fresh.shape[0], -1)
    return _composed(rows, (power.shape[0], power.shape[1]), basis)
