"""A denoiser from what one holds: a function of one's own, or a law."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.denoise.base import Denoiser, Shape
from lab.denoise.posterior import Posterior
from lab.paths.laws import law
from lab.paths.schedules import as_pytree

_HOW = 'call the other library by jax.pure_callback, as the how-to "Your own model" (docs/how-to/own-model.md) shows'


def _check_library(given: Any) -> None:
    """Reject a module of a library whose code JAX cannot trace."""
    library = next((base.__module__ for base in type(given).__mro__ if base.__module__.split(".")[0] == "torch"), None)
    if library is not None:
        raise TypeError(f"the denoiser is a PyTorch object ({type(given).__name__}), which JAX cannot trace: {_HOW}")


class Given(Denoiser):
    """A function of one's own as a denoiser.

    Args:
        function: ``(x, sigma)``, images (B, C, H, W) and their levels (B,), to images. It is called with B = 1, under ``vmap``:
            a level can meet no other image, nor the columns of its own, however the function lets it broadcast.
        shape: (C, H, W).
        name: what a legend says.
        levels: the (smallest, largest) sigma that it knows.

    Raises:
        TypeError: something that cannot be called; when called, a function that takes no arrays of JAX.
        ValueError: levels that do not rise or are negative.
    """

    function: Callable[[Array, Array], Array]
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)
    levels: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[Array, Array], Array],
        shape: Shape,
        name: str = "yours",
        levels: tuple[float, float] = (0.0, float("inf")),
    ):
        _check_library(function)
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}, but a function of images and levels is needed")
        low, high = (float(level) for level in levels)
        if not 0 <= low < high:
            raise ValueError(f"levels = {levels}, but the smallest sigma and then the largest are needed, from 0 on")
        c, h, w = shape
        self.function, self.shape, self.name, self.levels = as_pytree(function), (c, h, w), name, (low, high)

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self.denoise_each(x, jnp.full(len(x), sigma))

    def denoise_each(self, x: Float[Array, "b n"], sigma: Float[Array, " b"]) -> Float[Array, "b n"]:
        def one(row, level):
            image = row.reshape(1, *self.shape)
            try:
                found = self.function(image, level[None])
            except jax.errors.TracerArrayConversionError as problem:
                raise TypeError(
                    f"the denoiser {self.name!r} converts its arguments to NumPy arrays: write it with jax.numpy, or {_HOW}"
                ) from problem
            if found.shape not in (image.shape, (1, self.n)):
                raise ValueError(f"the denoiser {self.name!r} made {found.shape} of {image.shape}: both must agree")
            return found.reshape(self.n).astype(row.dtype)

        return jax.vmap(one)(x, sigma)

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.levels


def denoiser(given: Any, shape: Shape) -> Denoiser:
    r"""A denoiser from what one holds: a denoiser, a law (``lab.paths.laws.law`` says which), or a function.

    Of a law it is the posterior mean $E[x_0 \mid x_0 + \sigma\varepsilon = x]$.

    Args:
        given: a ``Denoiser``, a law of (n,) or points, or a function (x, sigma) of images (B, C, H, W) and levels (B,).
        shape: (C, H, W) of an image.

    Returns:
        a ``Denoiser`` of images of that shape.

    Raises:
        TypeError: anything else, a PyTorch module among it.
        ValueError: a denoiser of images of another shape.

    Source:
        Robbins, An empirical Bayes approach to statistics, 1956; Efron, Tweedie's formula and selection bias, 2011.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise, paths
        >>> D = denoise.denoiser(paths.standard(1), (1, 1, 1))
        >>> float(D(jnp.ones((1, 1)), 1.0)[0, 0])  # x / (1 + sigma^2)
        0.5
    """
    _check_library(given)
    if isinstance(given, Denoiser):
        if given.shape != tuple(shape):
            raise ValueError(f"the denoiser {given.name!r} is of images {given.shape}, but {tuple(shape)} is needed")
        return given
    if callable(given) and not hasattr(given, "denoise"):
        function: Any = given
        return Given(function, shape)
    return Posterior(law(given), shape)
