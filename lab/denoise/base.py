r"""One interface for all denoisers: ``D(x, sigma)`` estimates $E[x_0 \mid x_\sigma = x]$, and what follows from it is here.

Coordinates are variance exploding, $x_\sigma = x_0 + \sigma\varepsilon$. The others are changes of units:

| coordinates | noisy point | x | sigma |
|---|---|---|---|
| VP | $z = \sqrt{\bar a}\,x_0 + \sqrt{1 - \bar a}\,\varepsilon$ | $z / \sqrt{\bar a}$ | $\sqrt{(1 - \bar a) / \bar a}$ |
| flow | $z = (1 - t)\,x_0 + t\,\varepsilon$ | $z / (1 - t)$ | $t / (1 - t)$ |

An image is a vector of $n = C H W$ pixels in the order C, H, W, between -1 and 1.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab import precision
from lab.numerics import random
from lab.numerics.jit import jit

type Shape = tuple[int, int, int]


class Curve(NamedTuple):
    """The mean squared error per pixel at each level, over images."""

    sigma: Float[Array, " levels"]
    mean: Float[Array, " levels"]
    error: Float[Array, " levels"]  # standard error of the mean
    each: Float[Array, "levels images"]


class Denoiser(eqx.Module):
    """A denoiser is a pytree. A new one writes ``denoise``, and whatever else it knows a shorter way to.

    Attributes:
        shape: (C, H, W) of an image.
        name: what a legend says.
    """

    shape: eqx.AbstractVar[Shape]
    name: eqx.AbstractVar[str]
    differentiable: ClassVar[bool] = True

    # ---- what a denoiser writes ------------------------------------------------------------------------------

    @abstractmethod
    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        """The estimate at one level, pure, without checks."""

    def denoise_each(self, x: Float[Array, "b n"], sigma: Float[Array, " b"]) -> Float[Array, "b n"]:
        """The estimate with a level for each row."""
        return jax.lax.map(lambda row: self.denoise(row[0][None], row[1])[0], (x, sigma))

    def pixel(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, " b"]:
        """One pixel of the estimate; overridden where that is cheaper than all."""
        return self.denoise(x, sigma)[:, q]

    def row(self, x: Float[Array, "b n"], sigma: Float[Array, ""], q: Array) -> Float[Array, "b n"]:
        r"""$\partial D_q / \partial x$ at each x."""
        return jax.grad(lambda y: self.pixel(y, sigma, q).sum())(x)

    def density(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, " b"]:
        """The log-density of x at the level, where it is known."""
        raise TypeError(f"the denoiser {self.name!r} is not the score of a known density")

    def at(self, sigma: float) -> "Denoiser":
        """The same at one level, with what depends on the level alone prepared."""
        return self

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The levels that are allowed, both ends included; an end at 0 or infinity is not."""
        return 0.0, float("inf")

    # ---- what follows ----------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """How many numbers an image has."""
        c, h, w = self.shape
        return c * h * w

    def __call__(self, x: Any, sigma: ArrayLike) -> Array:
        """The estimate of the clean image.

        Args:
            x: (..., n) or (..., C, H, W), float32 or float64, which decides the precision of the work.
            sigma: positive; one for all, or one for each image.

        Returns:
            an array of the shape of x.

        Raises:
            ValueError: a shape that does not fit, pixels that are not finite, sigma that is not positive or outside
                ``sigma_range``.
        """
        x, rows, sigma = self._given(x, sigma)
        if sigma.ndim:
            return _each(self, rows, sigma).reshape(x.shape)
        return _all(self._at(sigma), rows, sigma).reshape(x.shape)

    def score(self, x: Any, sigma: ArrayLike) -> Array:
        r"""$\nabla\log p_\sigma(x) = (D - x) / \sigma^2$."""
        denoised = self(x, sigma)
        return (denoised - jnp.asarray(x, denoised.dtype)) / _beside(sigma, denoised) ** 2

    def log_density(self, x: Any, sigma: ArrayLike) -> Array:
        """$\\log p_\\sigma(x)$ of each image, where the denoiser is the score of a known density.

        Raises:
            TypeError: it is not.
        """
        x, rows, sigma = self._given(x, sigma)
        batch = x.shape[: x.ndim - self._axes(x)]
        if sigma.ndim:
            return jax.lax.map(lambda row: self.density(row[0][None], row[1])[0], (rows, sigma)).reshape(batch)
        return _density(self, rows, sigma).reshape(batch)

    def x0_from_vp(self, z: Any, abar: ArrayLike) -> Array:
        r"""The clean image from VP coordinates, $D(z / \sqrt{\bar a}, \sqrt{(1 - \bar a) / \bar a})$; 0 < abar < 1."""
        _between("abar", abar)
        z, abar = _real(z), jnp.asarray(abar)
        return self(z / jnp.sqrt(_beside(abar, z)), jnp.sqrt((1 - abar) / abar))

    def eps(self, z: Any, abar: ArrayLike) -> Array:
        r"""The noise in VP coordinates, $(z - \sqrt{\bar a}\,\hat x_0) / \sqrt{1 - \bar a}$."""
        x0 = self.x0_from_vp(z, abar)
        a = _beside(abar, x0)
        return (jnp.asarray(z, x0.dtype) - jnp.sqrt(a) * x0) / jnp.sqrt(1 - a)

    def x0_from_flow(self, z: Any, t: ArrayLike) -> Array:
        r"""The clean image from flow coordinates, $D(z / (1 - t), t / (1 - t))$; 0 < t < 1."""
        _between("t", t)
        z, t = _real(z), jnp.asarray(t)
        return self(z / (1 - _beside(t, z)), t / (1 - t))

    def velocity(self, z: Any, t: ArrayLike) -> Array:
        r"""$E[\varepsilon - x_0 \mid z] = (z - D) / t$ in flow coordinates."""
        x0 = self.x0_from_flow(z, t)
        return (jnp.asarray(z, x0.dtype) - x0) / _beside(t, x0)

    def x1_hat(self, z: Any, t: ArrayLike) -> Array:
        r"""The noise end in flow coordinates, $(z - (1 - t) D) / t$."""
        x0 = self.x0_from_flow(z, t)
        return (jnp.asarray(z, x0.dtype) - (1 - _beside(t, x0)) * x0) / _beside(t, x0)

    def sensitivity(self, x: Any, sigma: ArrayLike, q: ArrayLike) -> Array:
        r"""$\partial D_q / \partial x$: where output pixel q looks.

        Args:
            x: (..., n) or (..., C, H, W).
            sigma: one level.
            q: index of a pixel in the order C, H, W; several (Q,) give a leading axis. Traced: a click compiles nothing.

        Returns:
            (..., n) or (..., C, H, W), as x.

        Raises:
            ValueError: q is outside the image, or the denoiser has no derivative.
        """
        if not self.differentiable:
            raise ValueError(f"the denoiser {self.name!r} is piecewise constant: it has no sensitivity")
        x, rows, sigma = self._given(x, sigma)
        if sigma.ndim:
            raise ValueError(f"sigma has shape {sigma.shape}, but a sensitivity needs one level")
        if not isinstance(q, Tracer):
            chosen = np.asarray(q)
            if chosen.dtype.kind not in "iu" or chosen.ndim > 1 or (chosen < 0).any() or (chosen >= self.n).any():
                raise ValueError(f"q = {q}, but pixels have the whole numbers from 0 to {self.n - 1}")
        q = jnp.asarray(q)
        found = _sensitivity(self._at(sigma), rows, sigma, q)
        return found.reshape(q.shape + x.shape)

    def pullback(self, x: Any, sigma: ArrayLike, v: Any) -> Array:
        r"""$\partial \langle v, D \rangle / \partial x$: where the part of the output along v looks, a planted pattern say.

        Args:
            x: (..., n) or (..., C, H, W).
            sigma: one level.
            v: (n,) or (C, H, W).

        Returns:
            as x.

        Raises:
            ValueError: the denoiser has no derivative.
        """
        if not self.differentiable:
            raise ValueError(f"the denoiser {self.name!r} is piecewise constant: it has no sensitivity")
        x, rows, sigma = self._given(x, sigma)
        if sigma.ndim:
            raise ValueError(f"sigma has shape {sigma.shape}, but a sensitivity needs one level")
        return _pullback(self._at(sigma), rows, sigma, jnp.asarray(v, x.dtype).reshape(self.n)).reshape(x.shape)

    def mse_curve(self, images: Any, sigmas: Any, key: PRNGKeyArray) -> Curve:
        r"""$\frac1n |D(x + \sigma\varepsilon, \sigma) - x|^2$ of each clean image at each level, one noise for all levels.

        Args:
            images: clean, (B, n) or (B, C, H, W).
            sigmas: (S,).
            key: of the noise.
        """
        clean = _real(images)
        if clean.ndim - self._axes(clean) != 1 or not len(clean):
            raise ValueError(f"the images have shape {clean.shape}, but (count, {self.n}) is needed")
        noise = random.normal(key, clean.shape, clean.dtype)
        levels = jnp.atleast_1d(jnp.asarray(sigmas, clean.dtype))
        each = [((self(clean + s * noise, s) - clean) ** 2).reshape(len(clean), -1).mean(axis=1) for s in levels]
        each = jnp.stack(each)
        count = each.shape[1]
        spread = each.std(axis=1, ddof=1) if count > 1 else jnp.full(len(levels), jnp.nan, each.dtype)
        return Curve(levels, each.mean(axis=1), spread / count**0.5, each)

    # ---- checks ----------------------------------------------------------------------------------------------

    def _axes(self, x: Array) -> int:
        """How many trailing axes of x are an image."""
        if x.ndim >= 3 and x.shape[-3:] == self.shape:
            return 3
        if x.ndim and x.shape[-1] == self.n:
            return 1
        raise ValueError(
            f"x has shape {x.shape}, but images of {self.n} pixels, (..., {self.n}) or {self.shape}, are needed"
        )

    def _given(self, x: Any, sigma: ArrayLike) -> tuple[Array, Array, Array]:
        """x, its rows (B, n), and sigma () or (B,)."""
        x = _real(x)
        batch = x.shape[: x.ndim - self._axes(x)]
        if not isinstance(x, Tracer) and not np.isfinite(np.asarray(x)).all():
            raise ValueError("x has pixels that are not finite: mask them, or fill them in, first")
        if not isinstance(sigma, Tracer):
            level = np.asarray(sigma, float)
            low, high = self.sigma_range
            if not (np.isfinite(level) & (level > 0)).all():
                raise ValueError(f"sigma must be positive, but it is {sigma}")
            if not ((level >= low * (1 - 1e-6)) & (level <= high * (1 + 1e-6))).all():
                raise ValueError(f"sigma = {sigma}, but the denoiser {self.name!r} knows {low:.4g} to {high:.4g} only")
        sigma = jnp.asarray(sigma, x.dtype)
        if sigma.shape == (1,) and batch != (1,):
            sigma = sigma[0]
        if sigma.ndim and sigma.shape != batch:
            raise ValueError(f"sigma has shape {sigma.shape}, but one level or one for each image, {batch}, is needed")
        return x, x.reshape(-1, self.n), sigma.reshape(-1) if sigma.ndim else sigma

    def _at(self, sigma: Array) -> "Denoiser":
        return self if isinstance(sigma, Tracer) else self.at(float(sigma))


_all = jit(lambda denoiser, x, sigma: denoiser.denoise(x, sigma))
_each = jit(lambda denoiser, x, sigma: denoiser.denoise_each(x, sigma))
_density = jit(lambda denoiser, x, sigma: denoiser.density(x, sigma))


@jit
def _sensitivity(denoiser: Denoiser, x: Array, sigma: Array, q: Array) -> Array:
    return jax.lax.map(lambda each: denoiser.row(x, sigma, each), q) if q.ndim else denoiser.row(x, sigma, q)


@jit
def _pullback(denoiser: Denoiser, x: Array, sigma: Array, v: Array) -> Array:
    return jax.grad(lambda y: (denoiser.denoise(y, sigma) @ v).sum())(x)


def _real(x: Any) -> Array:
    precision.uncut(x=x)
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _beside(value: ArrayLike, x: Array) -> Array:
    """A scalar, or a value for each image, so that it broadcasts beside x."""
    value = jnp.asarray(value, x.dtype)
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim))


def _between(name: str, value: ArrayLike) -> None:
    if not isinstance(value, Tracer) and not ((np.asarray(value) > 0) & (np.asarray(value) < 1)).all():
        raise ValueError(f"{name} = {value}, but it must lie between 0 and 1, both excluded")
