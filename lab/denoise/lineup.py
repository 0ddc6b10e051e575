"""All denoisers that are compared with each other, made of one training set."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.denoise.base import Denoiser, Shape
from lab.denoise.composites import SquareComposite
from lab.denoise.images import Images, Spectrum
from lab.denoise.locality import Masked, PCALocality
from lab.denoise.patches import ELS as Equivariant
from lab.denoise.patches import LS as Patches
from lab.denoise.posterior import Nearest, Optimal, Wiener

OPTIMAL, NEAREST, WIENER, LOCAL, LS, SQUARES, ELS = ANALYTIC = (
    "optimal",
    "nearest",
    "Wiener",
    "PCA locality",
    "LS",
    "PSPC",
    "ELS",
)
NETWORKS = ("U-Net", "perceptron", "transformer")
METHODS = (*ANALYTIC, *NETWORKS)
ELS_IMAGES = 100  # whose patches compete: the cost grows with the square of the pixels


@chosen
class Design(NamedTuple):
    """Which denoisers there are, and what their programs are compiled for."""

    shape: Shape
    names: tuple[str, ...]  # analytic methods, in the order of METHODS
    normalize: Literal["row", "symmetric"] | str  # "symmetric" or "row", of the mask
    orientation: Literal["column", "row"] | str  # "column" or "row", of the mask
    chunk: int | None  # of softmaxes that are averaged as released
    patch: int  # of ELS

    @classmethod
    def of(
        cls,
        shape: Shape,
        *,
        others: bool = False,
        equivariant: int | None = None,
        normalize: str = "symmetric",
        orientation: str = "column",
        chunk: int | None = None,
    ) -> "Design":
        """The usual ones; ``others`` are the nearest image and composites of squares, ``equivariant`` pixels a side of ELS."""
        names = [OPTIMAL, *([NEAREST] if others else []), WIENER, LOCAL, LS]
        names += [*([SQUARES] if others else []), *([ELS] if equivariant else [])]
        return cls(shape, tuple(names), normalize, orientation, chunk, equivariant or 3)


class Lineup(eqx.Module):
    """Training images, their spectrum, and what the denoisers are made with."""

    pixels: Float[Array, "N n"]
    spectrum: Spectrum
    networks: tuple[Denoiser, ...]
    theta: Float[Array, ""]
    radius: Int[Array, ""]
    tau: Float[Array, ""]
    design: Design = eqx.field(static=True)

    @property
    def images(self) -> Images:
        return Images(self.pixels, self.design.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all denoisers, in the order of ``denoisers``."""
        return (*self.design.names, *(network.name for network in self.networks))

    @property
    def count(self) -> int:
        return len(self.design.names) + len(self.networks)

    def mask(self, sigma: Float[Array, ""]) -> Float[Array, "n n"]:
        """Which input pixels, in rows, each output pixel looks at in PCA locality."""
        design = self.design
        how = {"normalize": design.normalize, "orientation": design.orientation, "chunk": design.chunk}
        accumulate = "exact" if design.chunk is None else "chunk_mean"
        return PCALocality(self.images, self.spectrum, self.theta, self.tau, accumulate=accumulate, **how).mask(sigma)

    def denoisers(self, mask: Float[Array, "n n"]) -> list[Denoiser]:
        """All of them at one level, whose mask is given."""
        design, images = self.design, self.images
        side = jnp.minimum(2 * self.radius + 1, min(design.shape[1:]))
        make = {
            OPTIMAL: lambda: Optimal(images, self.tau),
            NEAREST: lambda: Nearest(images),
            WIENER: lambda: Wiener(self.spectrum, design.shape),
            LOCAL: lambda: Masked(images, mask, self.tau, design.chunk),
            LS: lambda: Patches(images, 2 * self.radius + 1, tau=self.tau),
            SQUARES: lambda: SquareComposite(images, side, self.tau),
            ELS: lambda: Equivariant(Images(self.pixels[:ELS_IMAGES], design.shape), design.patch, "broken", self.tau),
        }
        return [*(make[name]() for name in design.names), *self.networks]

    def averaged(self, noisy: Float[Array, "B n"], sigma: Float[Array, ""]) -> Float[Array, " B"]:
        r"""$1 / \sum_k w_k^2$: how many training images the optimal denoiser averages."""
        weights = Optimal(self.images, self.tau)._weights(noisy, sigma.astype(noisy.dtype))
        return 1 / (weights**2).sum(axis=1)

    def rows(self, values: Float[Array, "M *rest"]) -> Float[Array, "methods *rest"]:
        """Numbers of the denoisers that there are with a row for each of METHODS, NaN for the others."""
        at = np.array([METHODS.index(name) for name in self.names])
        return jnp.full((len(METHODS), *values.shape[1:]), jnp.nan, values.dtype).at[at].set(values)
