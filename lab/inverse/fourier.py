r"""Magnetic resonance with few measurements: some frequencies of the orthonormal Fourier transform of real images."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.inverse.operators import Basis, Linear, Shape, known, turned
from lab.numerics import random

_CENTRE = 0.08  # of the lines, always measured


class Hartley(Linear):
    r"""The orthonormal basis $\cos + \sin$ of each channel, real and its own inverse: the singular vectors of what acts on
    frequencies, f and -f alike."""

    inputs: Shape = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        spectrum = jnp.fft.fft2(x, norm="ortho")
        return (spectrum.real - spectrum.imag).astype(x.dtype)

    def back(self, y: Array) -> Array:
        return self.apply(y)

    def invert(self, y: Array) -> Array:
        return self.apply(y)

    def norm(self) -> Float[Array, ""]:
        return jnp.ones(())


class MaskedFourier(Linear):
    r"""$y = M\,F x$ of each channel, with F orthonormal; frequencies that are not measured are 0.

    Of a real image the frequencies f and -f are conjugates, so that $A^* A = F^* \tfrac{M + M'}{2} F$ with M' the mask
    turned about 0: norm and pseudo-inverse follow.

    Args:
        inputs: (C, H, W).
        seen: (H, W), in the order of ``fft2``: frequency 0 first. Traced.
    """

    seen: Bool[Array, "h w"]
    inputs: Shape = eqx.field(static=True)

    def __init__(self, inputs: Shape, seen: Any):
        self.inputs, self.seen = tuple(inputs), jnp.asarray(seen, bool)
        if len(self.inputs) != 3 or self.seen.shape != self.inputs[1:]:
            raise ValueError(
                f"the mask has shape {self.seen.shape}, but images (channels, height, width) of {self.inputs}"
            )
        if known(self.seen) and not np.asarray(self.seen).any():
            raise ValueError("the mask hides everything: let at least one frequency be measured")

    def apply(self, x: Array) -> Array:
        return jnp.where(self.seen, jnp.fft.fft2(x, norm="ortho"), 0)

    def back(self, y: Array) -> Array:
        return jnp.fft.ifft2(jnp.where(self.seen, y, 0), norm="ortho").real

    def invert(self, y: Array) -> Array:
        weight = self._weights(y.real.dtype)[None]
        spectrum = jnp.fft.fft2(self.back(y))
        return jnp.fft.ifft2(jnp.where(weight > 0, spectrum / jnp.where(weight > 0, weight, 1), 0)).real

    def norm(self) -> Float[Array, ""]:
        return jnp.sqrt(self._weights(jnp.result_type(float)).max())

    def basis(self) -> Basis:
        turn = Hartley(inputs=self.inputs)
        values = jnp.broadcast_to(jnp.sqrt(self._weights(jnp.result_type(float))), self.inputs)
        return Basis(turn, values, turned(turn, self))

    @property
    def noisy(self) -> Any:
        return self.seen

    @property
    def measurements(self) -> Any:
        return 2 * self.inputs[0] * self.seen.sum()

    def _weights(self, dtype: Any) -> Array:
        """Half the times that a frequency or its conjugate is measured."""
        turned = jnp.roll(self.seen[::-1, ::-1], (1, 1), (0, 1))
        return (self.seen.astype(dtype) + turned.astype(dtype)) / 2


def lines(key: PRNGKeyArray, sides: tuple[int, int], acceleration: ArrayLike) -> Bool[Array, "h w"]:
    r"""A mask of whole columns of the spectrum: a twelfth of them in the middle, the others at random.

    $\max(1, \mathrm{round}(W / a))$ columns in all are measured, the middle ones first.

    Args:
        key: of the order of the others.
        sides: (H, W) of the mask; static.
        acceleration: a, at least 1, which measures all; traced.

    Returns:
        (H, W), True where a frequency is measured, in the order of the FFT.

    Raises:
        ValueError: an acceleration below 1.

    Source:
        Lustig, Donoho, Pauly, Sparse MRI, Magnetic Resonance in Medicine 2007.

    Examples:
        >>> import jax
        >>> from lab import inverse
        >>> seen = inverse.lines(jax.random.key(0), (2, 8), 2)
        >>> seen.sum(axis=1).tolist(), bool(seen[:, 0].all())  # half of the columns, with that of frequency 0
        ([4, 4], True)
    """
    if known(acceleration) and not np.asarray(acceleration) >= 1:
        raise ValueError(f"acceleration = {acceleration}, but it must be at least 1, which measures all")
    h, w = sides
    count = jnp.maximum(1, jnp.round(w / jnp.asarray(acceleration)))
    centre = jnp.minimum(count, max(1, round(_CENTRE * w)))
    frequency = jnp.abs(jnp.fft.fftfreq(w) * w)
    score = jnp.where(frequency <= centre // 2, -1.0, random.uniform(key, (w,)))
    rank = jnp.argsort(jnp.argsort(score))
    return jnp.broadcast_to(rank[None, :] < count, (h, w))
