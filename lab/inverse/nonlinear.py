"""Measurements that no matrix makes: magnitudes of a spectrum, a clipped exposure, blur of light that a screen encodes."""

from math import ceil

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from lab.inverse.kernels import Blur
from lab.inverse.operators import Operator, Shape
from lab.numerics.arguments import real

_DARK = 1e-3  # of the range of grey values: light below it is taken for it, where the root is too steep


class PhaseRetrieval(Operator):
    r"""$y = |F\,P x|$: magnitudes of the orthonormal spectrum of the image in a dark frame, ``oversampling`` times as large.

    An image, the image turned by half a turn, and either one shifted in the frame have the same magnitudes.
    """

    inputs: Shape = eqx.field(static=True)
    oversampling: float = eqx.field(static=True, default=2.0)

    def __check_init__(self) -> None:
        if not self.oversampling >= 1:
            raise ValueError(
                f"oversampling = {self.oversampling}, but the frame must be at least as large as the image"
            )

    def apply(self, x: Array) -> Array:
        frame = [ceil((self.oversampling - 1) / 2 * side) for side in x.shape[1:]]
        spectrum = jnp.fft.fft2(jnp.pad(x, [(0, 0), *((each, each) for each in frame)]), norm="ortho")
        power = spectrum.real**2 + spectrum.imag**2
        return jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1)), 0)  # its derivative at 0 is 0


class Clip(Operator):
    """An exposure too long: ``gain`` x, cut at -1 and 1."""

    inputs: Shape = eqx.field(static=True)
    gain: ArrayLike = 2.0

    def __check_init__(self) -> None:
        real("gain", self.gain, ())

    def apply(self, x: Array) -> Array:
        return jnp.clip(self.gain * x, -1, 1)


class LinearLightBlur(Operator):
    r"""Blur as a lens does it, of light: grey values g between -1 and 1 stand for light $((g + 1) / 2)^\gamma$."""

    blur: Blur
    gamma: float = 2.2

    def __check_init__(self) -> None:
        real("gamma", self.gamma, (), low=0, strict=True)

    @property
    def inputs(self) -> Shape:  # type: ignore[override]
        return self.blur.inputs

    def apply(self, x: Array) -> Array:
        light = jnp.maximum((x + 1) / 2, _DARK) ** self.gamma
        return 2 * jnp.maximum(self.blur.apply(light), _DARK**self.gamma) ** (1 / self.gamma) - 1
