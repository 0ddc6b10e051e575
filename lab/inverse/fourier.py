r"""Magnetic resonance with few measurements: some frequencies of the orthonormal Fourier transform of real images."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.inverse.operators import Linear, Shape, known

_CENTRE = 0.08  # of the lines, always measured


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

    @property
    def measurements(self) -> Any:
        return 2 * self.inputs[0] * self.seen.sum()

    def _weights(self, dtype: Any) -> Array:
        """Half the times that a frequency or its conjugate is measured."""
        turned = jnp.roll(self.seen[::-1, ::-1], (1, 1), (0, 1))
        return (self.seen.astype(dtype) + turned.astype(dtype)) / 2


def lines(key: PRNGKeyArray, sides: tuple[int, int], acceleration: float) -> Bool[Array, "h w"]:
    """A mask of whole columns: a twelfth in the middle of the spectrum, the others at random, H W / acceleration in all."""
    if not acceleration >= 1:
        raise ValueError(f"acceleration = {acceleration}, but it must be at least 1, which measures all")
    h, w = sides
    count = max(1, round(w / acceleration))
    centre = min(count, max(1, round(_CENTRE * w)))
    frequency = jnp.abs(jnp.fft.fftfreq(w) * w)
    score = jnp.where(frequency <= centre // 2, -1.0, jax.random.uniform(key, (w,)))
    chosen = jnp.zeros(w, bool).at[jnp.argsort(score)[:count]].set(True)
    return jnp.broadcast_to(chosen[None, :], (h, w))
