"""Blur by a kernel, with what lies beyond the edge."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.inverse.fourier import Hartley
from lab.inverse.operators import Basis, Linear, Shape, checked, known, turned
from lab.numerics.arguments import real, whole

type Boundary = Literal["circular", "reflect", "edge", "zero"] | str

_PAD = {"circular": "wrap", "reflect": "symmetric", "edge": "edge", "zero": "constant"}
_NOTHING = 1e-10  # of the largest factor of a circular blur: a frequency that is lost


@chosen
class Blur(Linear):
    r"""$(k * x)_p = \sum_q k_q\, x_{p - q}$ for each channel of images (C, H, W), with q counted from the kernel's middle.

    Args:
        inputs: (C, H, W).
        kernel: (a, b) of odd sides, none longer than the image. Traced.
        boundary: what is beyond the edge: ``circular``, the image again (norm and pseudo-inverse are then exact, by Fourier);
            ``reflect``, mirrored with the edge twice; ``edge``, the last pixel; ``zero``.
    """

    kernel: Float[Array, "a b"]
    inputs: Shape = eqx.field(static=True)
    boundary: Boundary = eqx.field(static=True)

    def __init__(self, inputs: Shape, kernel: Any, boundary: Boundary = "circular"):
        self.inputs, self.boundary = tuple(inputs), boundary
        self.kernel = jnp.asarray(kernel, jnp.result_type(float))
        sides = self.kernel.shape
        if len(self.inputs) != 3 or len(sides) != 2 or any(side % 2 == 0 for side in sides):
            raise ValueError(
                f"a kernel of shape {sides} for images of shape {self.inputs}: odd sides and (channels, height, width) are "
                "needed"
            )
        if sides[0] > self.inputs[1] or sides[1] > self.inputs[2]:
            raise ValueError(f"the kernel has shape {sides}, more than the images, {self.inputs[1:]}: make it smaller")
        if known(self.kernel):
            checked("the kernel", self.kernel)

    def apply(self, x: Array) -> Array:
        reach = [side // 2 for side in self.kernel.shape]
        wide = jnp.pad(x, [(0, 0), *((each, each) for each in reach)], _PAD[self.boundary])
        turned = self.kernel[::-1, ::-1].astype(x.dtype)
        return jax.lax.conv_general_dilated(wide[:, None], turned[None, None], (1, 1), "VALID")[:, 0]

    @property
    def is_tame(self) -> bool:
        return False

    def norm(self) -> Float[Array, ""]:
        return jnp.abs(self._factors()).max() if self.boundary == "circular" else super().norm()

    def basis(self) -> Basis | None:
        if self.boundary != "circular":
            return None
        size = jnp.abs(self._factors())
        values = jnp.broadcast_to(jnp.where(size > _NOTHING * size.max(), size, 0), self.inputs)
        turn = Hartley(inputs=self.inputs)
        return Basis(turn, values, turned(turn, self))

    def invert(self, y: Array) -> Array:
        if self.boundary != "circular":
            return super().invert(y)
        factors = self._factors()
        there = jnp.abs(factors) > _NOTHING * jnp.abs(factors).max()
        inverse = jnp.where(there, 1 / jnp.where(there, factors, 1), 0)
        return jnp.fft.ifft2(jnp.fft.fft2(y) * inverse[None]).real.astype(y.dtype)

    def _factors(self) -> Array:
        """Of each frequency of a circular blur."""
        a, b = self.kernel.shape
        whole = jnp.zeros(self.inputs[1:], self.kernel.dtype).at[:a, :b].set(self.kernel)
        return jnp.fft.fft2(jnp.roll(whole, (-(a // 2), -(b // 2)), (0, 1)))


def gaussian(sigma: ArrayLike, size: int | None = None) -> Any:
    r"""A kernel of sum 1, $k_{ij} \propto e^{-(i^2 + j^2) / (2 \sigma^2)}$, traced where a size is given.

    Args:
        sigma: standard deviation in pixels, above 0.
        size: odd, pixels a side; 2 ceil(3 sigma) + 1 when omitted.

    Returns:
        (size, size).

    Raises:
        ValueError: sigma that is not positive, or a size that is not odd.

    Source:
        Gonzalez, Woods, Digital Image Processing, on linear filters.

    Examples:
        >>> from lab import inverse
        >>> kernel = inverse.gaussian(1.0)
        >>> kernel.shape, round(float(kernel.sum()), 6), round(float(kernel[3, 4] / kernel[3, 3]), 4)  # exp(-1/2)
        ((7, 7), 1.0, 0.6065)
    """
    real("sigma", sigma, (), low=0, strict=True)
    size = 2 * int(np.ceil(3 * np.asarray(sigma))) + 1 if size is None else _odd(size)
    exponents = -0.5 * ((np.arange(size) - size // 2) / sigma) ** 2
    side = np.exp(exponents) if known(sigma) else jnp.exp(exponents)
    kernel = side[:, None] * side[None, :]
    return kernel / kernel.sum()


def uniform(size: int) -> np.ndarray:
    """A square of equal weights, $1 / s^2$ each, of sum 1.

    Args:
        size: s, odd, pixels a side.

    Returns:
        (size, size).

    Raises:
        ValueError: a size that is not odd (by the check that it calls).

    Source:
        Kawar, Elad, Ermon, Song, Denoising diffusion restoration models, NeurIPS 2022, of deblurring.

    Examples:
        >>> from lab import inverse
        >>> [round(float(each), 4) for each in inverse.uniform(3)[0]]
        [0.1111, 0.1111, 0.1111]
    """
    return np.full((_odd(size), size), 1 / size**2)


def motion(length: int, angle: ArrayLike = 0.0) -> Any:
    r"""A line of so many pixels through the middle, of sum 1, at an angle.

    $$ k \propto \int_{-r}^{r} \delta\big(\cdot - s\,(-\sin\theta, \cos\theta)\big)\,ds, \qquad r = \lfloor l / 2 \rfloor, $$

    in rows and columns, l the length, spread linearly over the pixels around each of its points.

    Args:
        length: odd, in pixels.
        angle: in degrees from the right, counted upwards; traced.

    Returns:
        (length, length).

    Raises:
        ValueError: a length that is not odd (by the check that it calls).

    Source:
        Gonzalez, Woods, Digital Image Processing, on blur by motion.

    Examples:
        >>> from lab import inverse
        >>> kernel = inverse.motion(3)
        >>> round(float(kernel.sum()), 6), round(float(kernel[1].sum()), 6)  # all in the middle row
        (1.0, 1.0)
    """
    size, reach = _odd(length), length // 2
    turn = real("angle", angle, ()) * (np.pi / 180)
    steps, pixels = np.linspace(-reach, reach, 8 * size + 1), np.arange(size)
    far = [jnp.abs(reach + sign * steps[:, None] - pixels[None]) for sign in (-jnp.sin(turn), jnp.cos(turn))]
    rows, columns = (jnp.maximum(1 - each, 0) for each in far)
    kernel = rows.T @ columns
    kernel = kernel / kernel.sum()
    return np.asarray(kernel) if known(kernel) else kernel


def _odd(size: int) -> int:
    whole("the size of a kernel", size, 1)
    if size % 2 == 0:
        raise ValueError(f"a kernel has an odd number of pixels a side, at least 1, but {size} was given")
    return size
